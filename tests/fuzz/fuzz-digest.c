/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a server says in DIGEST-MD5, in parts that a NUL ends: which protections are good enough, its challenge, its
 * last word, and a protected message.  Nothing is agreed on that was not asked for, and nobody is believed without proof.
 */
#include "hdfs/digest.h"
#include "hdfs/sasl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is before the next NUL, which is taken off. */
static const uint8_t *part(const uint8_t **p, size_t *n, size_t *ret_len)
{
	const uint8_t *from = *p, *nul = *n ? memchr(from, '\0', *n) : NULL;
	size_t len = nul ? (size_t)(nul - from) : *n, used = nul ? len + 1 : len;

	*p += used;
	*n -= used;
	*ret_len = len;
	return from;
}

static void protect(struct slu_digest_md5 *d, const uint8_t *p, size_t n)
{
	struct slu_buf sealed = SLU_BUF(1 << 20), plain = SLU_BUF(1 << 20);
	struct slu_err e = {0};

	if (slu_digest_md5_wrap(d, p, n, &sealed, &e) || sealed.len < n + 16)
		abort();
	/* ours, coming back, are not the server's */
	if (!slu_digest_md5_unwrap(d, sealed.p, sealed.len, &plain, &e) || !e.msg[0])
		abort();
	if (!slu_digest_md5_unwrap(d, p, n, &plain, &e) && plain.len + 16 > n)
		abort();
	slu_buf_done(&sealed);
	slu_buf_done(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slu_digest_md5 *d = NULL;
	struct slu_buf out = SLU_BUF(1 << 20);
	struct slu_err e = {0};
	bool complete = false;
	const uint8_t *p;
	unsigned qops;
	size_t n;

	if (!size)
		return 0;
	qops = data[0] % 8;
	data++;
	size--;
	if (slu_digest_md5_new("chris", "secret", "imap/elwood.innosoft.com", qops, &d))
		return 0;
	slu_digest_md5_set_cnonce(d, "OA6MHXh6VqTrRk");
	p = part(&data, &size, &n);
	int r = slu_digest_md5_step(d, p, n, &out, &complete, &e);

	if (complete || (r < 0 && (e.code != -r || !e.msg[0])) ||
	    (r == 0 && !(slu_digest_md5_qop(d) & qops)))
		abort();
	if (r == 0) {
		p = part(&data, &size, &n);
		r = slu_digest_md5_step(d, p, n, &out, &complete, &e);
		if ((r == 0) != complete)
			abort();
		if (slu_digest_md5_qop(d) != SLU_QOP_AUTH)
			protect(d, data, size);
	}
	slu_buf_done(&out);
	slu_digest_md5_free(d);
	return 0;
}
