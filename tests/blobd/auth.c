/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may: SharedKey, service and account SAS, bearer tokens (any, when the option says so).  Texts that
 * are signed: "Authorize with Shared Key", "Create a service SAS", "Create an account SAS" of the REST
 * reference.  Written apart from the driver, so that the two check each other.
 */
#include "tests/blobd/blobd.h"

#include "common/str.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- digests --- */

void base64(char *out, const void *p, size_t n)
{
	EVP_EncodeBlock((unsigned char *)out, p, (int)n);
}

long unbase64(void *out, size_t room, const char *text)
{
	size_t n = strlen(text), pad = 0;
	unsigned char *all = must(malloc(n + 4));
	int got;

	while (pad < 2 && pad < n && text[n - 1 - pad] == '=')
		pad++;
	got = n % 4 ? -1 : EVP_DecodeBlock(all, (const unsigned char *)text, (int)n);
	got -= got < 0 ? 0 : (int)pad;
	if (got >= 0 && (size_t)got <= room)
		memcpy(out, all, (size_t)got);
	free(all);
	return got >= 0 && (size_t)got <= room ? got : -1;
}

static void sign(const struct slu_buf *text, char out[48])
{
	unsigned char mac[32];

	HMAC(EVP_sha256(), opt.secret, (int)opt.secret_len, (const unsigned char *)text->p,
	     text->len, mac, NULL);
	base64(out, mac, sizeof(mac));
}

static void each_part(const struct content *c, uint64_t off, uint64_t len,
		      void (*fn)(void *arg, const void *p, size_t n), void *arg)
{
	size_t room = 1 << 20;
	char *p = must(malloc(room));

	while (len) {
		size_t n = len < room ? (size_t)len : room;

		if (content_read(c, off, p, n) < 0)
			break;
		fn(arg, p, n);
		off += n;
		len -= n;
	}
	free(p);
}

static void md5_part(void *arg, const void *p, size_t n)
{
	EVP_DigestUpdate(arg, p, n);
}

void md5_of(const struct content *c, uint64_t off, uint64_t len, unsigned char out[16])
{
	EVP_MD_CTX *x = must(EVP_MD_CTX_new());

	EVP_DigestInit_ex(x, EVP_md5(), NULL);
	each_part(c, off, len, md5_part, x);
	EVP_DigestFinal_ex(x, out, NULL);
	EVP_MD_CTX_free(x);
}

/* The CRC-64 of the storage service: polynomial 0x9A6C9329AC4BC9B5 reflected, all ones in and out. */
static uint64_t crc_table[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_fill(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t v = i;

		for (int k = 0; k < 8; k++)
			v = v & 1 ? v >> 1 ^ 0x9A6C9329AC4BC9B5ULL : v >> 1;
		crc_table[0][i] = v;
	}
	for (unsigned i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			crc_table[k][i] =
				crc_table[k - 1][i] >> 8 ^ crc_table[0][crc_table[k - 1][i] & 255];
}

static void crc_part(void *arg, const void *data, size_t n)
{
	uint64_t crc = *(uint64_t *)arg;
	const unsigned char *p = data;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		v ^= crc;
		crc = 0;
		for (int k = 0; k < 8; k++)
			crc ^= crc_table[7 - k][v >> (8 * k) & 255];
	}
	for (; n; n--, p++)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 255];
	*(uint64_t *)arg = crc;
}

uint64_t crc64_of(const struct content *c, uint64_t off, uint64_t len)
{
	uint64_t crc = ~0ULL;

	pthread_once(&crc_once, crc_fill);
	each_part(c, off, len, crc_part, &crc);
	return ~crc;
}

/* --- SharedKey --- */

static int by_name(const void *a, const void *b)
{
	return strcasecmp(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

static void lower(struct slu_buf *b, const char *s)
{
	for (; *s; s++)
		slu_buf_ch(b, (char)tolower((unsigned char)*s));
}

static void ms_headers(const struct request *q, struct slu_buf *b)
{
	struct pair v[BLOBD_PAIRS];
	size_t n = 0;

	for (size_t i = 0; i < q->header.n && n < BLOBD_PAIRS; i++)
		if (slu_starts(q->header.p[i].name, "x-ms-"))
			v[n++] = q->header.p[i];
	qsort(v, n, sizeof(*v), by_name);
	for (size_t i = 0; i < n; i++) {
		lower(b, v[i].name);
		slu_buf_fmt(b, ":%s\n", v[i].value);
	}
}

static void resource(const struct request *q, struct slu_buf *b)
{
	struct pair v[BLOBD_PAIRS];
	size_t n = q->query.n < BLOBD_PAIRS ? q->query.n : BLOBD_PAIRS;

	slu_buf_fmt(b, "/%s%s", opt.account, q->raw_path);
	if (n)
		memcpy(v, q->query.p, n * sizeof(*v));
	qsort(v, n, sizeof(*v), by_name);
	for (size_t i = 0; i < n; i++)
		slu_buf_fmt(b, "\n%s:%s", v[i].name, v[i].value);
}

static bool shared_key(const struct request *q, const char *given)
{
	static const char *const names[] = {
		"content-encoding",
		"content-language",
		"content-length",
		"content-md5",
		"content-type",
		"date",
		"if-modified-since",
		"if-match",
		"if-none-match",
		"if-unmodified-since",
		"range",
	};
	struct slu_buf b = {.max = 1 << 20};
	size_t n = strlen(opt.account);
	char mac[48];
	bool ok;

	slu_buf_fmt(&b, "%s\n", q->method);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *v = header(q, names[i]);

		if (i == 2 && v && !strcmp(v, "0"))
			v = NULL;
		if (!strcmp(names[i], "date") && header(q, "x-ms-date"))
			v = NULL;
		slu_buf_fmt(&b, "%s\n", v ? v : "");
	}
	ms_headers(q, &b);
	resource(q, &b);
	sign(&b, mac);
	ok = !strncmp(given, opt.account, n) && given[n] == ':' && !strcmp(given + n + 1, mac);
	slu_buf_done(&b);
	return ok;
}

/* The clocks of the two may differ by 15 minutes. */
static bool fresh(const struct request *q)
{
	const char *date = header(q, "x-ms-date") ?: header(q, "date");
	struct tm tm = {0};
	int64_t diff;

	if (!date || !strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return false;
	diff = (int64_t)timegm(&tm) - (now_ns() / 1000000000 + opt.skew);
	return diff < 900 && diff > -900;
}

/* --- SAS --- */

struct sas {
	const struct pairs *v;
	const char *container, *name;
};

static const char *field(const struct sas *s, const char *name)
{
	const char *v = pairs_get(s->v, name);

	return v ? v : "";
}

static void service_text(const struct sas *s, struct slu_buf *b)
{
	const char *sr = field(s, "sr");

	slu_buf_fmt(b, "%s\n%s\n%s\n/blob/%s/%s", field(s, "sp"), field(s, "st"), field(s, "se"),
		    opt.account, s->container);
	if (*sr != 'c')
		slu_buf_fmt(b, "/%s", s->name);
	slu_buf_fmt(b, "\n%s\n%s\n%s\n%s\n%s\n%s\n", field(s, "si"), field(s, "sip"),
		    field(s, "spr"), field(s, "sv"), sr,
		    *sr == 'b' && sr[1] ? field(s, "snapshot") : "");
	if (strcmp(field(s, "sv"), "2020-12-06") >= 0)
		slu_buf_fmt(b, "%s\n", field(s, "ses"));
	slu_buf_fmt(b, "%s\n%s\n%s\n%s\n%s", field(s, "rscc"), field(s, "rscd"), field(s, "rsce"),
		    field(s, "rscl"), field(s, "rsct"));
}

static void account_text(const struct sas *s, struct slu_buf *b)
{
	slu_buf_fmt(b, "%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n", opt.account, field(s, "sp"),
		    field(s, "ss"), field(s, "srt"), field(s, "st"), field(s, "se"),
		    field(s, "sip"), field(s, "spr"), field(s, "sv"));
	if (strcmp(field(s, "sv"), "2020-12-06") >= 0)
		slu_buf_fmt(b, "%s\n", field(s, "ses"));
}

static int64_t sas_time(const char *text)
{
	struct tm tm = {0};

	if (!strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) && !strptime(text, "%Y-%m-%dT%H:%MZ", &tm) &&
	    !strptime(text, "%Y-%m-%d", &tm))
		return 0;
	return (int64_t)timegm(&tm);
}

/* NULL, or the error code. */
static const char *sas_bad(const struct sas *s, const char *need)
{
	struct slu_buf b = {.max = 1 << 20};
	int64_t now = now_ns() / 1000000000 + opt.skew;
	char mac[48];
	bool account = pairs_get(s->v, "ss");
	bool ok;

	if (account)
		account_text(s, &b);
	else
		service_text(s, &b);
	sign(&b, mac);
	ok = !strcmp(mac, field(s, "sig"));
	slu_buf_done(&b);
	if (!ok || sas_time(field(s, "se")) <= now ||
	    (*field(s, "st") && sas_time(field(s, "st")) > now))
		return "AuthenticationFailed";
	if (!strcmp(field(s, "spr"), "https") && !opt.tls)
		return "AuthorizationProtocolMismatch";
	if (account &&
	    (!strchr(field(s, "ss"), 'b') || !strpbrk(field(s, "srt"), *s->name ? "o" : "cs")))
		return "AuthorizationResourceTypeMismatch";
	for (; *need; need++)
		if (strchr(field(s, "sp"), *need))
			return NULL;
	return "AuthorizationPermissionMismatch";
}

/* Any one of these letters is enough. */
static const char *needed(const struct request *q)
{
	static const struct {
		const char *op, *letters;
	} by_op[] = {
		{"get", "r"},       {"head", "r"},        {"getblocks", "r"},
		{"list", "l"},      {"put", "wc"},        {"putblock", "wc"},
		{"putlist", "wc"},  {"putfromurl", "wc"}, {"blockfromurl", "wc"},
		{"copy", "wc"},     {"append", "wca"},    {"delete", "d"},
		{"gettags", "t"},   {"settags", "t"},     {"snapshot", "wc"},
		{"container", "r"}, {"containers", "l"},  {"dfs", "racwdlmeop"},
	};

	for (size_t i = 0; i < sizeof(by_op) / sizeof(by_op[0]); i++)
		if (!strcmp(by_op[i].op, q->op))
			return by_op[i].letters;
	return "w";
}

static bool refuse(struct request *q, const char *code)
{
	answer_error(q, 403, code, "The request may not be made so.");
	return false;
}

static bool public_ok(struct request *q)
{
	struct container *c;

	pthread_mutex_lock(&lock);
	c = container_find(q->container);
	pthread_mutex_unlock(&lock);
	if (c && c->open && (!strcmp(q->method, "GET") || !strcmp(q->method, "HEAD")))
		return true;
	answer_error(q, c ? 409 : 404, c ? "PublicAccessNotPermitted" : "ResourceNotFound",
		     "Public access is not permitted.");
	return false;
}

static bool bearer_ok(struct request *q)
{
	if (opt.bearer && opt.tls)
		return true;
	out_header(q, "WWW-Authenticate", "Bearer resource_id=https://storage.azure.com");
	answer_error(q, 401, "InvalidAuthenticationInfo", "No such token.");
	return false;
}

bool auth_ok(struct request *q)
{
	const char *auth = header(q, "authorization"), *bad;

	if (opt.anonymous)
		return true;
	if (auth && slu_starts(auth, "Bearer "))
		return bearer_ok(q);
	if (auth) {
		auth = slu_after(auth, "SharedKey ");
		return (auth && shared_key(q, auth) && fresh(q)) ||
		       refuse(q, "AuthenticationFailed");
	}
	if (!query(q, "sig"))
		return public_ok(q);
	bad = sas_bad(&(struct sas){&q->query, q->container, q->name}, needed(q));
	return !bad || refuse(q, bad);
}
