/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of HTTP answers.  What could be read in two ways is refused: a repeated Content-Length or
 * Content-Range, a length beside chunked coding, folded lines, NUL bytes, names that are no tokens
 * (RFC 9112 sections 5 and 6).  Trailers are counted and dropped: they come after the judgement.
 */
#include "io/reply.h"

#include "common/str.h"
#include "io/http.h"
#include "io/xfer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

static bool is_token(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		bool alnum =
			(c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		if (!alnum && (!c || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return n > 0;
}

static void begin(struct slu_reply *r, int status)
{
	slu_buf_clear(&r->text);
	r->text.max = SLU_XFER_HEADERS;
	r->status = status;
	r->has_length = r->has_range = r->chunked = r->coded = false;
}

/* "HTTP/1.1 206 Partial Content" */
static int status_line(struct slu_reply *r, const char *p, size_t n, const char *what,
		       struct slu_err *e)
{
	const char *sp = memchr(p, ' ', n);
	int v = 0;
	size_t i = sp ? (size_t)(sp - p) + 1 : n;
	for (size_t k = 0; k < 3; k++, i++) {
		if (i >= n || p[i] < '0' || p[i] > '9')
			return slu_fail(e, EPROTO, "'%s' answered with a malformed status line",
					what);
		v = 10 * v + (p[i] - '0');
	}
	if (v < 100 || (i < n && p[i] != ' '))
		return slu_fail(e, EPROTO, "'%s' answered with a malformed status line", what);
	begin(r, v);
	return 0;
}

/* Headers that decide about the body. */
static bool body_header(struct slu_reply *r, const char *name, const char *value)
{
	if (slu_streq(name, "content-length")) {
		bool ok = !r->has_length && slu_http_length(value, &r->length);
		r->has_length = true;
		return ok && !r->chunked;
	}
	if (slu_streq(name, "content-range")) {
		if (r->has_range)
			return false;
		/* An unsatisfied range ("*" before the slash) comes with 416 and says nothing about a body. */
		r->has_range = true;
		return slu_http_content_range(value, &r->first, &r->last, &r->total) ||
		       r->status == 416;
	}
	if (slu_streq(name, "transfer-encoding")) {
		r->chunked = true;
		return !r->has_length;
	}
	if (slu_streq(name, "content-encoding"))
		r->coded = r->coded || strcasecmp(value, "identity") != 0;
	return true;
}

static void add_trimmed(struct slu_buf *b, const char *from, const char *to)
{
	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	slu_buf_add(b, from, (size_t)(to - from));
}

static int header(struct slu_reply *r, const char *p, size_t n, const char *what, struct slu_err *e)
{
	const char *colon = memchr(p, ':', n);
	if (!colon || !is_token(p, (size_t)(colon - p)) || memchr(p, '\0', n))
		return slu_fail(e, EPROTO, "'%s' answered with a malformed header line", what);

	size_t at = r->text.len;
	slu_buf_add(&r->text, p, (size_t)(colon - p));
	for (size_t i = at; i < r->text.len; i++)
		if (r->text.p[i] >= 'A' && r->text.p[i] <= 'Z')
			r->text.p[i] |= 0x20;
	slu_buf_ch(&r->text, '\0');
	size_t value = r->text.len;
	add_trimmed(&r->text, colon + 1, p + n);
	slu_buf_ch(&r->text, '\0');
	if (slu_buf_err(&r->text) == -ENOMEM)
		return slu_fail_oom(e);
	if (slu_buf_err(&r->text))
		return slu_fail(e, EPROTO, "'%s' answered with too many headers", what);
	if (!body_header(r, r->text.p + at, r->text.p + value))
		return slu_fail(e, EPROTO, "'%s' answered with an invalid or repeated '%s' header",
				what, r->text.p + at);
	return 0;
}

int slu_reply_line(struct slu_reply *r, const char *p, size_t n, const char *what,
		   struct slu_err *e)
{
	if (__builtin_add_overflow(r->bytes, n, &r->bytes) || r->bytes > SLU_XFER_HEADERS ||
	    ++r->lines > SLU_REPLY_LINES)
		return slu_fail(e, EPROTO, "'%s' answered with too many headers", what);
	if (r->complete)
		return 0;
	while (n > 0 && (p[n - 1] == '\n' || p[n - 1] == '\r'))
		n--;
	if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
		return status_line(r, p, n, what, e);
	if (n > 0)
		return header(r, p, n, what, e);
	r->complete = r->status >= 200;
	return 0;
}

int slu_reply_check_coding(const struct slu_reply *r, bool coded_ok, const char *what,
			   struct slu_err *e)
{
	if (!r->coded || coded_ok)
		return 0;
	return slu_fail(e, EPROTO, "'%s' answered with the Content-Encoding '%s', not asked for",
			what, slu_reply_get(r, "content-encoding"));
}

/* The whole object, without Content-Range: good only when the whole object is what was wanted. */
static int check_whole(const struct slu_reply *r, const struct slu_want *w, const char *what,
		       struct slu_err *e)
{
	if (w->off != 0 || r->has_range)
		return slu_fail(e, EPROTO,
				"'%s' answered a request for %" PRIu64 " bytes from %" PRIu64
				" on with the whole object: the server does not serve ranges",
				what, w->len, w->off);
	if (r->has_length && r->length != w->len)
		return slu_fail(e, EPROTO,
				"'%s' answered with all of %" PRIu64 " bytes where %" PRIu64
				" were asked for",
				what, r->length, w->len);
	return 0;
}

int slu_reply_check_range(const struct slu_reply *r, const struct slu_want *w, const char *what,
			  struct slu_err *e)
{
	int rc = slu_reply_check_coding(r, w->coded_ok, what, e);
	if (rc < 0)
		return rc;
	if (r->status == 200)
		return check_whole(r, w, what, e);
	if (r->status != 206 || !r->has_range)
		return slu_fail(e, EPROTO,
				"'%s' answered a request for a range with status %d and no range",
				what, r->status);
	if (w->total != UINT64_MAX && r->total != UINT64_MAX && r->total != w->total)
		return slu_fail(e, ESTALE,
				"'%s' changed: it has %" PRIu64 " bytes now, it had %" PRIu64, what,
				r->total, w->total);
	uint64_t len = r->last - r->first + 1; /* last >= first: the parser saw to it */
	if (r->first != w->off || len != w->len || (r->has_length && r->length != len))
		return slu_fail(e, EPROTO,
				"'%s' answered with bytes %" PRIu64 "-%" PRIu64 " where %" PRIu64
				" bytes from %" PRIu64 " on were asked for",
				what, r->first, r->last, w->len, w->off);
	return 0;
}

const char *slu_reply_get(const struct slu_reply *r, const char *name)
{
	const char *found = NULL, *p = r->text.p;
	if (!p || slu_buf_err(&r->text))
		return NULL;
	for (const char *end = p + r->text.len; p < end;) {
		const char *value = p + strlen(p) + 1;
		if (strcasecmp(p, name) == 0)
			found = value;
		p = value + strlen(value) + 1;
	}
	return found;
}

void slu_reply_done(struct slu_reply *r)
{
	slu_buf_done(&r->text);
	*r = (struct slu_reply){0};
}
