/* SPDX-License-Identifier: Apache-2.0 */
/* SASL (sasl.h): GSSAPI over io/gss.h, and the way to digest.c. */
#include "hdfs/sasl.h"

#include "common/mem.h"
#include "common/str.h"
#include "hdfs/digest.h"
#include "io/gss.h"

#include <errno.h>
#include <string.h>

#define LIMIT (60u << 10)
#define LAYER 4 /* bytes: the protections, and the largest message */

struct slu_sasl {
	struct slu_digest_md5 *digest; /* NULL: GSSAPI */
	struct slu_gss *gss;
	char *service, *host;
	struct slu_gss_ctx *ctx;
	bool stands, complete;
	unsigned qop;
	size_t limit;
};

int slu_sasl_gssapi(struct slu_gss *g, const char *service, const char *host, struct slu_sasl **ret)
{
	struct slu_sasl *s = slu_new0(struct slu_sasl);

	if (!s)
		return -ENOMEM;
	s->gss = slu_gss_ref(g);
	s->service = slu_strdup(service);
	s->host = slu_strdup(host);
	s->limit = LIMIT;
	if (!s->service || !s->host) {
		slu_sasl_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

int slu_sasl_digest(const char *name, const char *password, const char *uri, unsigned qops,
		    struct slu_sasl **ret)
{
	struct slu_sasl *s = slu_new0(struct slu_sasl);

	if (!s)
		return -ENOMEM;
	s->limit = LIMIT;
	if (slu_digest_md5_new(name, password, uri, qops, &s->digest)) {
		slu_sasl_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

void slu_sasl_free(struct slu_sasl *s)
{
	if (!s)
		return;
	slu_digest_md5_free(s->digest);
	slu_gss_end(s->ctx);
	slu_gss_free(s->gss);
	free(s->service);
	free(s->host);
	free(s);
}

bool slu_sasl_waits(const struct slu_sasl *s)
{
	return !s->digest;
}

bool slu_sasl_complete(const struct slu_sasl *s)
{
	return s->complete;
}

unsigned slu_sasl_qop(const struct slu_sasl *s)
{
	return s->digest ? slu_digest_md5_qop(s->digest) : s->qop;
}

size_t slu_sasl_limit(const struct slu_sasl *s)
{
	return s->limit;
}

/* What the server can, by RFC 4752: the strongest of it is taken. */
static int choose_layer(struct slu_sasl *s, const void *in, size_t n, struct slu_buf *out,
			struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1024);
	uint8_t ours[LAYER] = {0, 0, 0xff, 0xff};
	const uint8_t *p;
	size_t most;
	int r = slu_gss_unwrap(s->ctx, in, n, &b, e);

	if (r < 0)
		return r;
	if (b.len < LAYER)
		return slu_fail(e, EPROTO, "the server's SASL is malformed");
	p = (const uint8_t *)b.p;
	s->qop = p[0] & SLU_QOP_PRIVACY     ? SLU_QOP_PRIVACY
		 : p[0] & SLU_QOP_INTEGRITY ? SLU_QOP_INTEGRITY
					    : SLU_QOP_AUTH;
	most = (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	if (most > 1024 && most - 256 < s->limit) /* what is wrapped is longer */
		s->limit = most - 256;
	ours[0] = (uint8_t)s->qop;
	if (s->qop == SLU_QOP_AUTH)
		ours[2] = ours[3] = 0;
	r = slu_gss_wrap(s->ctx, false, ours, sizeof(ours), out, e);
	s->complete = r == 0;
	return r;
}

static int gss_step(struct slu_sasl *s, const void *in, size_t n, struct slu_buf *out,
		    struct slu_err *e)
{
	unsigned flags = SLU_GSS_MUTUAL | SLU_GSS_INTEGRITY | SLU_GSS_PRIVACY;
	int r = 0;

	if (s->stands)
		return choose_layer(s, in, n, out, e);
	if (!s->ctx)
		r = slu_gss_begin(s->gss, s->service, s->host, SLU_GSS_KRB5, flags, &s->ctx, e);
	return r < 0 ? r : slu_gss_step(s->ctx, in, n, out, &s->stands, e);
}

int slu_sasl_step(struct slu_sasl *s, const void *in, size_t n, struct slu_buf *out, bool *ret_done,
		  struct slu_err *e)
{
	int r = s->digest ? slu_digest_md5_step(s->digest, in, n, out, &s->complete, e)
			  : gss_step(s, in, n, out, e);

	if (r == 0)
		*ret_done = s->digest || s->complete;
	return r;
}

int slu_sasl_wrap(struct slu_sasl *s, const void *p, size_t n, struct slu_buf *out,
		  struct slu_err *e)
{
	return s->digest ? slu_digest_md5_wrap(s->digest, p, n, out, e)
			 : slu_gss_wrap(s->ctx, s->qop == SLU_QOP_PRIVACY, p, n, out, e);
}

int slu_sasl_unwrap(struct slu_sasl *s, const void *p, size_t n, struct slu_buf *out,
		    struct slu_err *e)
{
	return s->digest ? slu_digest_md5_unwrap(s->digest, p, n, out, e)
			 : slu_gss_unwrap(s->ctx, p, n, out, e);
}
