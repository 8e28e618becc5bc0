/* SPDX-License-Identifier: Apache-2.0 */
/* DIGEST-MD5 (RFC 2831), client side: the conversation and the protection of messages.  Inside of sasl.h. */
#ifndef SLU_HDFS_DIGEST_H
#define SLU_HDFS_DIGEST_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

struct slu_digest_md5;

int slu_digest_md5_new(const char *name, const char *password, const char *uri, unsigned qops,
		       struct slu_digest_md5 **ret);
void slu_digest_md5_free(struct slu_digest_md5 *d);
/* The challenge gives the response; then the server's rspauth is checked, which gives nothing. */
int slu_digest_md5_step(struct slu_digest_md5 *d, const void *in, size_t n, struct slu_buf *out,
			bool *ret_complete, struct slu_err *e);
unsigned slu_digest_md5_qop(const struct slu_digest_md5 *d);
int slu_digest_md5_wrap(struct slu_digest_md5 *d, const void *p, size_t n, struct slu_buf *out,
			struct slu_err *e);
int slu_digest_md5_unwrap(struct slu_digest_md5 *d, const void *p, size_t n, struct slu_buf *out,
			  struct slu_err *e);
/* Tests only: instead of random bytes. */
void slu_digest_md5_set_cnonce(struct slu_digest_md5 *d, const char *cnonce);

#endif
