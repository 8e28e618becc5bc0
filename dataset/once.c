/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put-if-absent whose answer can be relied on.  A store may lose the reply of a put that it did
 * carry out, so neither "exists" nor a timeout says whose object it is: the object does, once it is
 * read back.  Nothing else in dataset/ puts with SLU_OPF_ABSENT where the answer decides something.
 */
#include "dataset/once.h"

#include <errno.h>
#include <string.h>

#define TRIES 4

/* May the put have been carried out, or succeed when it is sent again? */
static bool worth_again(int rc)
{
	switch (-rc) {
	case EEXIST: /* ... and then nothing there to be read: look again */
	case EIO:
	case EAGAIN:
	case EINTR:
	case EPIPE:
	case ETIMEDOUT:
	case ECONNRESET:
	case ECONNREFUSED:
	case ECONNABORTED:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTUNREACH:
		return true;
	default:
		return false;
	}
}

/* What is at path now: 0 ours, 1 another's, -ENOENT nothing. */
static int look(struct slu_store *st, const char *path, const char *text, size_t n,
		char **ret_other, size_t *ret_other_len, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *is = NULL;
	size_t len = 0;
	int r = slu_store_get(st, path, SLU_ONCE_MAX, &is, &len, e);

	if (r < 0)
		return r;
	if (len == n && memcmp(is, text, n) == 0)
		return 0;
	if (ret_other) {
		*ret_other = slu_take(is);
		*ret_other_len = len;
	}
	return 1;
}

int slu_once_put(struct slu_store *st, const char *path, const char *text, size_t n,
		 char **ret_other, size_t *ret_other_len, struct slu_err *e)
{
	int r = 0;

	if (!slu_store_can(st, SLU_CAP_PUT_ABSENT))
		return slu_fail(e, ENOTSUP,
				"the store of '%s' cannot create an object only if it is absent: "
				"put the registry's root on another store",
				path);
	for (int i = 0; i < TRIES; i++) {
		struct slu_err why;

		r = slu_store_put(st, path, text, n, SLU_OPF_ABSENT | SLU_OPF_DURABLE, NULL, e);
		if (r == 0)
			return 0;
		int seen = look(st, path, text, n, ret_other, ret_other_len, &why);
		if (seen >= 0)
			return seen;
		/* The put's own error is the better story, unless it only said "exists". */
		if (seen != -ENOENT) {
			if (r != -EEXIST)
				return r;
			if (e)
				*e = why;
			return seen;
		}
		if (!worth_again(r))
			return r;
	}
	return r;
}
