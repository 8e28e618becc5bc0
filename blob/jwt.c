/* SPDX-License-Identifier: Apache-2.0 */
#include "blob/jwt.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>

#define LIFE_S 600
#define CLAIMS_MAX (16u << 10)

/* base64url of RFC 4648 section 5, without padding. */
static void add_base64url(struct slu_buf *b, const void *p, size_t n)
{
	char *text = slu_base64(p, n);

	if (!text) {
		b->err = ENOMEM;
		return;
	}
	for (const char *s = text; *s && *s != '='; s++)
		slu_buf_ch(b, *s == '+' ? '-' : *s == '/' ? '_' : *s);
	free(text);
}

static void add_json(struct slu_buf *b, struct json_t *o, bool bad)
{
	char *text = bad ? NULL : slu_json_text(o, SLU_JSON_COMPACT);

	if (text)
		add_base64url(b, text, strlen(text));
	else
		b->err = ENOMEM;
	free(text);
	slu_json_free(o);
}

static void add_header(struct slu_buf *b, const struct slu_cert *c)
{
	SLU_AUTO(slu_buf_done) struct slu_buf print = SLU_BUF(64);
	struct json_t *o = slu_json_object();
	uint8_t sha[32];

	slu_cert_sha256(c, sha);
	add_base64url(&print, sha, sizeof(sha));
	add_json(b, o,
		 !o || slu_json_set_str(o, "alg", "PS256") < 0 ||
			 slu_json_set_str(o, "typ", "JWT") < 0 ||
			 slu_json_set_str(o, "x5t#S256", print.p) < 0);
}

static void add_claims(struct slu_buf *b, const char *client, const char *audience)
{
	struct json_t *o = slu_json_object();
	int64_t now = slu_wall() / SLU_SEC;
	char id[33] = "";

	add_json(b, o,
		 !o || slu_random_id(id, 16) < 0 || slu_json_set_str(o, "aud", audience) < 0 ||
			 slu_json_set_str(o, "iss", client) < 0 ||
			 slu_json_set_str(o, "sub", client) < 0 ||
			 slu_json_set_str(o, "jti", id) < 0 ||
			 slu_json_set_int(o, "iat", now) < 0 ||
			 slu_json_set_int(o, "nbf", now) < 0 ||
			 slu_json_set_int(o, "exp", now + LIFE_S) < 0);
}

int slu_jwt_assertion(const struct slu_cert *c, const char *client, const char *audience,
		      char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(CLAIMS_MAX);
	SLU_AUTO(slu_freep) uint8_t *sig = NULL;
	size_t n = 0;

	add_header(&b, c);
	slu_buf_ch(&b, '.');
	add_claims(&b, client, audience);
	if (slu_buf_err(&b) < 0)
		return slu_fail_oom(e);
	if (slu_cert_sign(c, b.p, b.len, &sig, &n) < 0)
		return slu_fail(e, EIO, "the certificate's key does not sign");
	slu_buf_ch(&b, '.');
	add_base64url(&b, sig, n);
	*ret = slu_buf_take(&b);
	return *ret ? 0 : slu_fail_oom(e);
}

struct json_t *slu_jwt_claims(const char *token)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(CLAIMS_MAX);
	SLU_AUTO(slu_freep) char *text = slu_malloc(CLAIMS_MAX);
	const char *at = strchr(token, '.'), *end = at ? strchr(at + 1, '.') : NULL;
	struct json_t *o = NULL;
	size_t n = 0;

	if (!end || !text)
		return NULL;
	for (const char *s = at + 1; s < end; s++)
		slu_buf_ch(&b, *s == '-' ? '+' : *s == '_' ? '/' : *s);
	while (b.len % 4)
		slu_buf_ch(&b, '=');
	if (slu_buf_err(&b) < 0 || !b.p || !slu_base64_decode(b.p, text, CLAIMS_MAX, &n) ||
	    slu_json_parse(text, n, "token", &o, NULL) < 0)
		return NULL;
	return o;
}
