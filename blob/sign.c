/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SharedKey: HMAC-SHA256 over the verb, eleven standard headers, the x-ms- headers and the resource.
 * The path is signed as it is sent, so whoever encodes it encodes it once, for both.
 */
#include "blob/sign.h"

#include "common/mem.h"
#include "common/str.h"
#include "io/crypt.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define TEXT_MAX (256u << 10)
#define HEADERS_MAX 64

static const char *header(const struct slu_blob_req *q, const char *name)
{
	for (size_t i = 0; i < q->headers; i++)
		if (slu_streq(q->header[i].name, name))
			return q->header[i].value;
	return "";
}

static void add_standard(const struct slu_blob_req *q, struct slu_buf *b)
{
	static const char *const after[] = {
		"content-md5", "content-type",  "date", "if-modified-since",
		"if-match",    "if-none-match", "range"};

	slu_buf_fmt(b, "%s\n%s\n%s\n", q->method, header(q, "content-encoding"),
		    header(q, "content-language"));
	if (q->body_len)
		slu_buf_fmt(b, "%" PRIu64, q->body_len);
	slu_buf_ch(b, '\n');
	for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
		if (slu_streq(after[i], "range"))
			slu_buf_fmt(b, "%s\n", header(q, "if-unmodified-since"));
		slu_buf_fmt(b, "%s\n", header(q, after[i]));
	}
}

static void add_lower(struct slu_buf *b, const char *name)
{
	for (; *name; name++)
		slu_buf_ch(b, *name >= 'A' && *name <= 'Z' ? (char)(*name + 'a' - 'A') : *name);
}

/* The service sorts like a dictionary: '_' before digits, digits before letters, and '-' does not count
 * unless nothing else differs. */
static int weight(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c + 'a' - 'A';
	return c == '_' ? 1 : (unsigned char)c;
}

static int compare_names(const char *a, const char *b)
{
	const char *p = a, *q = b;

	for (;; p++, q++) {
		p += strspn(p, "-");
		q += strspn(q, "-");
		if (weight(*p) != weight(*q))
			return weight(*p) - weight(*q);
		if (!*p)
			break;
	}
	while (*a && (*a == '-') == (*b == '-')) {
		a++;
		b++;
	}
	return (*a == '-') - (*b == '-');
}

/* There are few: insertion is the simplest sort. */
static void add_ms(const struct slu_blob_req *q, struct slu_buf *b)
{
	const struct slu_blob_pair *sorted[HEADERS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < q->headers && n < HEADERS_MAX; i++) {
		size_t at = n;

		if (!slu_starts(q->header[i].name, "x-ms-"))
			continue;
		for (; at > 0 && compare_names(sorted[at - 1]->name, q->header[i].name) > 0; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = &q->header[i];
		n++;
	}
	for (size_t i = 0; i < n; i++) {
		add_lower(b, sorted[i]->name);
		slu_buf_fmt(b, ":%s\n", sorted[i]->value);
	}
}

void slu_blob_signed_text(const struct slu_blob_req *q, const char *account, struct slu_buf *b)
{
	add_standard(q, b);
	add_ms(q, b);
	slu_buf_fmt(b, "/%s%s", account, q->path);
	for (size_t i = 0; i < q->params; i++) {
		slu_buf_ch(b, '\n');
		add_lower(b, q->param[i].name);
		slu_buf_fmt(b, ":%s", q->param[i].value);
	}
}

int slu_blob_sign(const struct slu_blob_req *q, const char *account, const void *key,
		  size_t key_len, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	SLU_AUTO(slu_freep) char *code = NULL;
	uint8_t mac[32];
	int r;

	if (q->headers > HEADERS_MAX)
		return slu_fail(e, EINVAL, "a request to '%s' has too many headers", account);
	slu_blob_signed_text(q, account, &b);
	r = slu_buf_err(&b);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot sign a request to '%s'", account);
	r = slu_hmac_sha256(key, key_len, b.p, b.len, mac);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot sign a request to '%s'", account);
	code = slu_base64(mac, sizeof(mac));
	*ret = code ? slu_asprintf("SharedKey %s:%s", account, code) : NULL;
	return *ret ? 0 : slu_fail_oom(e);
}
