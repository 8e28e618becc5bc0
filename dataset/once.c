/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put-if-absent whose answer can be relied on.  A store may lose the reply of a put that it did
 * carry out, so neither "exists" nor a timeout says whose object it is: the object does, once it is
 * read back.  Nothing else in dataset/ puts with SLU_OPF_ABSENT where the answer decides something.
 */
#include "dataset/once.h"

#include "common/mem.h"

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
	case EHOSTDOWN:
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
	SLU_AUTO(slu_freep) char *is = slu_calloc(n + 1, 1);
	struct slu_op op = {0};
	size_t len = 0;

	/* One request says enough, mostly.  Ours ends where a whole text does, so nothing longer begins with it. */
	slu_op_read(&op, path, 0, n, is, NULL);
	if (is && n && !ret_other && slu_store_wait(st, &op, NULL) == 0)
		return memcmp(is, text, n) != 0;
	free(slu_take(is));
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

static int once_put(struct slu_store *st, const char *path, const char *text, size_t n,
		    struct slu_attr *ret_attr, char **ret_other, size_t *ret_other_len,
		    struct slu_err *e)
{
	int r = 0;

	if (!slu_store_can(st, SLU_CAP_PUT_ABSENT))
		return slu_fail(e, ENOTSUP,
				"the store of '%s' cannot create an object only if it is absent: "
				"put the registry's root on another store",
				path);
	for (int i = 0; i < TRIES; i++) {
		struct slu_err why;

		r = slu_store_put(st, path, text, n, SLU_OPF_ABSENT | SLU_OPF_DURABLE, ret_attr, e);
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

int slu_once_put_at(struct slu_store *st, const char *path, const char *text, size_t n,
		    int64_t *ret_ns, struct slu_err *e)
{
	struct slu_attr a = {0};
	int r = once_put(st, path, text, n, &a, NULL, NULL, e);

	/* Found to be ours after a lost answer: that says nothing of when. */
	if (r == 0 && !a.mtime_ns)
		r = slu_store_stat(st, path, &a, e);
	if (r == 0)
		*ret_ns = a.mtime_ns;
	return r;
}

int slu_once_put(struct slu_store *st, const char *path, const char *text, size_t n,
		 char **ret_other, size_t *ret_other_len, struct slu_err *e)
{
	return once_put(st, path, text, n, NULL, ret_other, ret_other_len, e);
}
