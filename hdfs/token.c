/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens taken apart (token.h).  A file is "HDTS", a version, and then either Writables (0: numbers as of
 * WritableUtils.writeVLong) or one message of protocol buffers (1: security.proto).  Secret keys that follow the tokens
 * are not looked at.
 */
#include "hdfs/token.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "hdfs/hdfs.pb-c.h"
#include "hdfs/rpc.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>

#define TEXT_MAX 65536
#define TOKENS_MAX 4096

struct cursor {
	const uint8_t *p;
	size_t n;
};

void slu_hdfs_token_done(struct slu_hdfs_token *t)
{
	if (t->id)
		explicit_bzero(t->id, t->id_len);
	if (t->password)
		explicit_bzero(t->password, t->password_len);
	free(t->id);
	free(t->password);
	free(t->kind);
	free(t->service);
	*t = (struct slu_hdfs_token){0};
}

/* --- Writables --- */

/* A length: never negative, at most 2^31-1. */
static bool take_vint(struct cursor *c, size_t *ret)
{
	uint64_t v = 0;
	int8_t first;
	size_t more;

	if (!c->n)
		return false;
	first = (int8_t)*c->p++;
	c->n--;
	if (first >= 0) {
		*ret = (size_t)first;
		return true;
	}
	if (first < -116 || first > -113) /* -113: one more byte, ... -116: four */
		return false;
	more = (size_t)(-112 - first);
	if (more > c->n)
		return false;
	for (size_t i = 0; i < more; i++)
		v = v << 8 | c->p[i];
	c->p += more;
	c->n -= more;
	if (v > INT32_MAX)
		return false;
	*ret = (size_t)v;
	return true;
}

/* Bytes behind their length; they stay where they are. */
static bool take_bytes(struct cursor *c, const uint8_t **ret, size_t *ret_len)
{
	size_t n;

	if (!take_vint(c, &n) || n > c->n)
		return false;
	*ret = c->p;
	*ret_len = n;
	c->p += n;
	c->n -= n;
	return true;
}

/* A token that is not copied. */
struct view {
	const uint8_t *id, *password, *kind, *service;
	size_t id_len, password_len, kind_len, service_len;
};

static bool take_token(struct cursor *c, struct view *ret)
{
	return take_bytes(c, &ret->id, &ret->id_len) &&
	       take_bytes(c, &ret->password, &ret->password_len) &&
	       take_bytes(c, &ret->kind, &ret->kind_len) &&
	       take_bytes(c, &ret->service, &ret->service_len);
}

static int copy(const struct view *v, struct slu_hdfs_token *ret, struct slu_err *e)
{
	struct slu_hdfs_token t = {
		.id = slu_malloc(v->id_len + 1),
		.password = slu_malloc(v->password_len + 1),
		.kind = slu_strndup((const char *)v->kind, v->kind_len),
		.service = slu_strndup((const char *)v->service, v->service_len),
	};

	if (!t.id || !t.password || !t.kind || !t.service) {
		slu_hdfs_token_done(&t);
		return slu_fail_oom(e);
	}
	t.id_len = v->id_len;
	t.password_len = v->password_len;
	if (v->id_len)
		memcpy(t.id, v->id, v->id_len);
	if (v->password_len)
		memcpy(t.password, v->password, v->password_len);
	*ret = t;
	return 0;
}

/* --- as text --- */

/* Base64 for URLs, without padding, to the usual one. */
static char *usual_base64(const char *text)
{
	size_t n = strlen(text), pad = (4 - n % 4) % 4;
	char *s = slu_malloc(n + pad + 1);

	if (!s)
		return NULL;
	for (size_t i = 0; i < n; i++)
		s[i] = (char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
	memset(s + n, '=', pad);
	s[n + pad] = '\0';
	return s;
}

int slu_hdfs_token_parse(const char *text, struct slu_hdfs_token *ret, struct slu_err *e)
{
	size_t cap = strlen(text), n = 0;
	SLU_AUTO(slu_freep) uint8_t *raw = NULL;
	SLU_AUTO(slu_freep) char *usual = NULL;
	struct view v;
	int r;

	if (cap > TEXT_MAX)
		return slu_fail(e, EINVAL, "the delegation token is too long to be one");
	raw = slu_malloc(cap + 1);
	usual = usual_base64(text);
	if (!raw || !usual)
		return slu_fail_oom(e);
	struct cursor c = {raw, 0};

	if (slu_base64_decode(usual, raw, cap, &n)) {
		c.n = n;
		r = take_token(&c, &v) && !c.n && v.id_len ? copy(&v, ret, e) : -EINVAL;
	} else {
		r = -EINVAL;
	}
	explicit_bzero(usual, strlen(usual));
	explicit_bzero(raw, cap);
	if (r == -EINVAL)
		return slu_fail(e, EINVAL,
				"the credential is no delegation token of HDFS: give the text that "
				"GETDELEGATIONTOKEN or 'hdfs fetchdt' gives, or a token file");
	return r;
}

static void add_vint(struct slu_buf *b, size_t n)
{
	unsigned bytes = n > 0xffffff ? 4 : n > 0xffff ? 3 : n > 0xff ? 2 : 1;

	if (n <= 127) {
		slu_buf_ch(b, (char)n);
		return;
	}
	slu_buf_ch(b, (char)(-112 - (int)bytes));
	while (bytes--)
		slu_buf_ch(b, (char)(n >> (8 * bytes)));
}

static void add_bytes(struct slu_buf *b, const void *p, size_t n)
{
	add_vint(b, n);
	slu_buf_add(b, p, n);
}

char *slu_hdfs_token_text(const struct slu_hdfs_token *t)
{
	struct slu_buf b = SLU_BUF(TEXT_MAX);
	char *text = NULL;

	add_bytes(&b, t->id, t->id_len);
	add_bytes(&b, t->password, t->password_len);
	add_bytes(&b, t->kind, strlen(t->kind));
	add_bytes(&b, t->service, strlen(t->service));
	if (!slu_buf_err(&b))
		text = slu_base64(b.p, b.len);
	if (b.p)
		explicit_bzero(b.p, b.len);
	slu_buf_done(&b);
	if (!text)
		return NULL;
	text[strcspn(text, "=")] = '\0';
	for (char *p = text; *p; p++)
		*p = (char)(*p == '+' ? '-' : *p == '/' ? '_' : *p);
	return text;
}

/* --- files --- */

bool slu_hdfs_token_is_file(const void *p, size_t n)
{
	return n >= 4 && memcmp(p, "HDTS", 4) == 0;
}

/* The best token so far. */
struct pick {
	const char *const *services;
	struct view best;
	unsigned fit; /* 0: none, 1: one of HDFS, 2: for the service */
	unsigned n;   /* of HDFS, of different services */
	struct slu_buf seen;
};

static bool is_text(const uint8_t *p, size_t n, const char *text)
{
	return strlen(text) == n && memcmp(p, text, n) == 0;
}

static bool is_hdfs(const struct view *v)
{
	return is_text(v->kind, v->kind_len, "HDFS_DELEGATION_TOKEN") ||
	       is_text(v->kind, v->kind_len, "WEBHDFS delegation") ||
	       is_text(v->kind, v->kind_len, "SWEBHDFS delegation");
}

static void consider(struct pick *k, const struct view *v)
{
	unsigned fit = 1;

	if (!is_hdfs(v) || !v->id_len)
		return;
	for (const char *const *s = k->services; s && *s; s++)
		if (is_text(v->service, v->service_len, *s))
			fit = 2;
	if (!k->fit || v->service_len != k->best.service_len ||
	    memcmp(v->service, k->best.service, v->service_len) != 0)
		k->n++;
	if (k->seen.len < 300) {
		slu_buf_str(&k->seen, k->seen.len ? ", '" : "'");
		for (size_t i = 0; i < v->service_len && i < 100; i++)
			slu_buf_ch(&k->seen, v->service[i] < 0x20 ? '?' : (char)v->service[i]);
		slu_buf_ch(&k->seen, '\'');
	}
	if (fit > k->fit) {
		k->fit = fit;
		k->best = *v;
	}
}

static bool pick_writable(struct cursor *c, struct pick *k)
{
	const uint8_t *alias;
	size_t n, len;

	if (!take_vint(c, &n) || n > TOKENS_MAX)
		return false;
	while (n--) {
		struct view v;

		if (!take_bytes(c, &alias, &len) || !take_token(c, &v))
			return false;
		consider(k, &v);
	}
	return true;
}

/* m lives as long as what is picked. */
static void pick_message(const Slu__Pb__Credentials *m, struct pick *k)
{
	for (size_t i = 0; i < m->n_tokens; i++) {
		const Slu__Pb__Token *t = m->tokens[i]->token;

		if (t) {
			struct view v = {
				.id = t->identifier.data,
				.id_len = t->identifier.len,
				.password = t->password.data,
				.password_len = t->password.len,
				.kind = (const uint8_t *)t->kind,
				.kind_len = strlen(t->kind),
				.service = (const uint8_t *)t->service,
				.service_len = strlen(t->service),
			};

			consider(k, &v);
		}
	}
}

static int picked(struct pick *k, bool strict, struct slu_hdfs_token *ret, struct slu_err *e)
{
	int r;

	if (k->fit == 2 || (k->fit == 1 && k->n == 1 && !strict))
		r = copy(&k->best, ret, e);
	else if (k->fit)
		r = slu_fail(e, ENOENT,
			     "the token file has no token for this file system, but for %s: name "
			     "its NameNode so, or get another token",
			     k->seen.p ? k->seen.p : "others");
	else
		r = slu_fail(e, ENOENT, "the token file has no delegation token for HDFS");
	slu_buf_done(&k->seen);
	return r;
}

int slu_hdfs_token_pick(const void *p, size_t n, const char *const *services, bool strict,
			struct slu_hdfs_token *ret, struct slu_err *e)
{
	struct pick k = {.services = services, .seen = SLU_BUF(1024)};
	struct cursor c = {p, n};
	Slu__Pb__Credentials *m = NULL;
	uint32_t len = 0;
	int used, version;
	bool ok;

	if (!slu_hdfs_token_is_file(p, n) || n < 5 || n > SLU_TOKEN_FILE_MAX)
		return slu_fail(e, EINVAL, "it is no token file of Hadoop");
	version = c.p[4];
	c.p += 5;
	c.n -= 5;
	if (version == 0) {
		ok = pick_writable(&c, &k);
	} else {
		used = version == 1 ? slu_pb_varint(c.p, c.n, &len) : 0;
		if (used > 0 && len <= c.n - (size_t)used)
			m = slu__pb__credentials__unpack(NULL, len, c.p + used);
		ok = m != NULL;
		if (m)
			pick_message(m, &k);
	}
	if (ok) {
		used = picked(&k, strict, ret, e);
	} else {
		slu_buf_done(&k.seen);
		used = slu_fail(e, EINVAL, "the token file is damaged");
	}
	if (m)
		slu__pb__credentials__free_unpacked(m, NULL);
	return used;
}
