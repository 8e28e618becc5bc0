/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON reader (RFC 8259, declared in json.h).  Ours, because jansson's crashes or loses bytes
 * when an allocation fails inside a token, skips NUL bytes, and takes a depth of 2048.  The values
 * it makes are jansson's.  It is strict: no comments, no trailing commas, no NaN, no lone
 * surrogates, no NUL in strings, no key twice; only a byte order mark is let pass.
 */
#include "common/buf.h"
#include "common/json.h"
#include "common/str.h"

#include <errno.h>
#include <langinfo.h>
#include <math.h>
#include <stdarg.h>

enum { DEPTH_MAX = 64 };

struct parser {
	const char *start, *p, *end;
	const char *what;
	struct slu_buf token; /* the string or number being read */
	int depth;
	struct slu_err *e;
};

static int read_value(struct parser *ps, struct json_t **ret);

/* The place is counted only now: errors are rare, characters are not. */
static int __attribute__((format(printf, 3, 4)))
fail_at(struct parser *ps, const char *at, const char *fmt, ...)
{
	const char *line_start = ps->start;
	char text[200];
	int line = 1, col = 1;
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	for (const char *p = ps->start; p < at; p++) {
		if (*p == '\n') {
			line++;
			line_start = p + 1;
		}
	}
	for (const char *p = line_start; p < at; p++)
		col += ((unsigned char)*p & 0xc0) != 0x80;
	return slu_fail(ps->e, EBADMSG, "'%s:%d:%d': %s", ps->what, line, col, text);
}

static int unexpected(struct parser *ps, const char *wanted)
{
	char unit[SLU_SHOW_UNIT];
	size_t n;

	if (ps->p == ps->end)
		return fail_at(ps, ps->p, "the text ends where %s should be", wanted);
	slu_show_unit(ps->p, (size_t)(ps->end - ps->p), unit, &n);
	return fail_at(ps, ps->p, "'%.*s' stands where %s should be", (int)n, unit, wanted);
}

static void skip_blanks(struct parser *ps)
{
	while (ps->p < ps->end &&
	       (*ps->p == ' ' || *ps->p == '\t' || *ps->p == '\n' || *ps->p == '\r'))
		ps->p++;
}

/* The next character that counts, or NUL at the end (a NUL in the text is no token either). */
static char peek(struct parser *ps)
{
	skip_blanks(ps);
	return ps->p < ps->end ? *ps->p : '\0';
}

static bool next_is(struct parser *ps, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(ps->end - ps->p) < n || memcmp(ps->p, word, n) != 0)
		return false;
	ps->p += n;
	return true;
}

/* Four hex digits at p, or -1. */
static int hex4(const struct parser *ps, const char *p)
{
	int v = 0;

	if (ps->end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];

		v <<= 4;
		if (c >= '0' && c <= '9')
			v |= c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v |= (c | 32) - 'a' + 10;
		else
			return -1;
	}
	return v;
}

static void add_utf8(struct slu_buf *b, unsigned c)
{
	char u[4];
	size_t n = 0;

	if (c < 0x80) {
		u[n++] = (char)c;
	} else if (c < 0x800) {
		u[n++] = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		u[n++] = (char)(0xe0 | c >> 12);
		u[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		u[n++] = (char)(0xf0 | c >> 18);
		u[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		u[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80)
		u[n++] = (char)(0x80 | (c & 0x3f));
	slu_buf_add(b, u, n);
}

/* p stands on the u of \uXXXX. */
static int read_unicode(struct parser *ps)
{
	const char *at = ps->p - 1;
	int c = hex4(ps, ps->p + 1), low;

	if (c < 0)
		return fail_at(ps, at, "\\u needs four hex digits");
	if (c == 0)
		return fail_at(ps, at, "\\u0000 is not accepted");
	ps->p += 5;
	if (c >= 0xd800 && c <= 0xdfff) {
		bool pair = c < 0xdc00 && next_is(ps, "\\u");

		low = pair ? hex4(ps, ps->p) : -1;
		if (low < 0xdc00 || low > 0xdfff)
			return fail_at(ps, at, "half of a surrogate pair");
		ps->p += 4;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	add_utf8(&ps->token, (unsigned)c);
	return 0;
}

/* p stands on the backslash. */
static int read_escape(struct parser *ps)
{
	static const char names[] = "\"\"\\\\//b\bf\fn\nr\rt\t";

	if (++ps->p == ps->end)
		return unexpected(ps, "the rest of an escape");
	if (*ps->p == 'u')
		return read_unicode(ps);
	for (const char *n = names; *n; n += 2) {
		if (n[0] == *ps->p) {
			slu_buf_ch(&ps->token, n[1]);
			ps->p++;
			return 0;
		}
	}
	return fail_at(ps, ps->p - 1, "an unknown escape in a string");
}

/* p stands on the opening quote; the string goes into token. */
static int read_string(struct parser *ps)
{
	const char *open = ps->p++;
	int r = 0;

	slu_buf_clear(&ps->token);
	slu_buf_str(&ps->token, "");
	while (r == 0) {
		const char *from = ps->p;
		size_t len = 1;

		while (ps->p < ps->end && *ps->p != '"' && *ps->p != '\\' &&
		       (unsigned char)*ps->p >= ' ') {
			len = slu_utf8_len(ps->p, (size_t)(ps->end - ps->p));
			if (len == 0)
				break;
			ps->p += len;
		}
		slu_buf_add(&ps->token, from, (size_t)(ps->p - from));
		if (ps->p == ps->end)
			return fail_at(ps, open, "a string has no end");
		if (len == 0)
			return fail_at(ps, ps->p, "byte 0x%02x is no UTF-8", (unsigned char)*ps->p);
		if (*ps->p == '"')
			break;
		if (*ps->p != '\\')
			return fail_at(ps, ps->p, "a control character in a string");
		r = read_escape(ps);
	}
	ps->p++;
	return r < 0 ? r : slu_buf_err(&ps->token) < 0 ? slu_fail_oom(ps->e) : 0;
}

static size_t count_digits(const struct parser *ps, const char *p)
{
	size_t n = 0;

	while (p + n < ps->end && p[n] >= '0' && p[n] <= '9')
		n++;
	return n;
}

/* The end of the number at p, or NULL; *ret_real: it has a fraction or an exponent. */
static const char *number_end(const struct parser *ps, bool *ret_real)
{
	const char *p = ps->p + (*ps->p == '-');
	size_t n = count_digits(ps, p);

	*ret_real = false;
	if (n == 0 || (n > 1 && *p == '0'))
		return NULL;
	p += n;
	if (p < ps->end && *p == '.') {
		n = count_digits(ps, ++p);
		if (n == 0)
			return NULL;
		p += n;
		*ret_real = true;
	}
	if (p < ps->end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < ps->end && (*p == '+' || *p == '-');
		n = count_digits(ps, p);
		if (n == 0)
			return NULL;
		p += n;
		*ret_real = true;
	}
	return p;
}

/* strtod wants the locale's decimal point. */
static bool to_double(struct slu_buf *b, const char *p, const char *end, double *ret)
{
	slu_buf_clear(b);
	for (; p < end; p++) {
		if (*p == '.')
			slu_buf_str(b, nl_langinfo(RADIXCHAR));
		else
			slu_buf_ch(b, *p);
	}
	if (slu_buf_err(b) < 0)
		return false;
	*ret = strtod(b->p, NULL);
	return true;
}

static int read_number(struct parser *ps, struct json_t **ret)
{
	const char *start = ps->p, *end;
	bool real;
	int64_t i;
	double v;

	end = number_end(ps, &real);
	if (!end)
		return fail_at(ps, start, "a malformed number");
	ps->p = end;
	if (real) {
		if (!to_double(&ps->token, start, end, &v))
			return slu_fail_oom(ps->e);
		if (!isfinite(v))
			return fail_at(ps, start, "a real number overflows");
		*ret = slu_json_new_real(v);
	} else {
		slu_buf_clear(&ps->token);
		slu_buf_add(&ps->token, start, (size_t)(end - start));
		if (slu_buf_err(&ps->token) < 0)
			return slu_fail_oom(ps->e);
		if (!slu_i64(ps->token.p, INT64_MIN, INT64_MAX, &i))
			return fail_at(ps, start, "an integer is beyond 64 bits");
		*ret = slu_json_new_int(i);
	}
	return *ret ? 0 : slu_fail_oom(ps->e);
}

/* After an element: 1 when a comma says that another follows, 0 at the closing bracket. */
static int more(struct parser *ps, char close)
{
	char c = peek(ps);

	if (c != ',' && c != close)
		return unexpected(ps, close == ']' ? "',' or ']'" : "',' or '}'");
	ps->p++;
	return c == ',';
}

static int read_array(struct parser *ps, struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *a = slu_json_array();
	int r = 1;

	if (!a)
		return slu_fail_oom(ps->e);
	ps->p++;
	if (peek(ps) == ']') {
		ps->p++;
		r = 0;
	}
	while (r > 0) {
		struct json_t *v;

		r = read_value(ps, &v);
		if (r == 0 && slu_json_append(a, v) < 0)
			r = slu_fail_oom(ps->e);
		if (r == 0)
			r = more(ps, ']');
	}
	if (r == 0)
		*ret = slu_take(a);
	return r;
}

/* "key": value, into o. */
static int read_member(struct parser *ps, struct json_t *o)
{
	SLU_AUTO(slu_freep) char *key = NULL;
	const char *at;
	struct json_t *v;
	int r;

	if (peek(ps) != '"')
		return unexpected(ps, "a key in double quotes");
	at = ps->p;
	r = read_string(ps);
	if (r < 0)
		return r;
	key = slu_buf_take(&ps->token);
	if (!key)
		return slu_fail_oom(ps->e);
	if (slu_json_get(o, key))
		return fail_at(ps, at, "key '%s' stands here twice", key);
	if (peek(ps) != ':')
		return unexpected(ps, "':'");
	ps->p++;
	r = read_value(ps, &v);
	if (r == 0 && slu_json_set(o, key, v) < 0)
		r = slu_fail_oom(ps->e);
	return r;
}

static int read_object(struct parser *ps, struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int r = 1;

	if (!o)
		return slu_fail_oom(ps->e);
	ps->p++;
	if (peek(ps) == '}') {
		ps->p++;
		r = 0;
	}
	while (r > 0) {
		r = read_member(ps, o);
		if (r == 0)
			r = more(ps, '}');
	}
	if (r == 0)
		*ret = slu_take(o);
	return r;
}

static int read_word(struct parser *ps, struct json_t **ret)
{
	if (next_is(ps, "true"))
		*ret = slu_json_new_bool(true);
	else if (next_is(ps, "false"))
		*ret = slu_json_new_bool(false);
	else if (next_is(ps, "null"))
		*ret = slu_json_new_null();
	else
		return unexpected(ps, "a value");
	return 0;
}

static int read_value(struct parser *ps, struct json_t **ret)
{
	char c = peek(ps);
	int r;

	if (c == '"') {
		r = read_string(ps);
		if (r < 0)
			return r;
		*ret = slu_json_new_str(ps->token.p);
		return *ret ? 0 : slu_fail_oom(ps->e);
	}
	if (c == '-' || (c >= '0' && c <= '9'))
		return read_number(ps, ret);
	if (c != '{' && c != '[')
		return read_word(ps, ret);
	if (ps->depth == DEPTH_MAX)
		return fail_at(ps, ps->p, "nested deeper than %d levels", DEPTH_MAX);
	ps->depth++;
	r = c == '{' ? read_object(ps, ret) : read_array(ps, ret);
	ps->depth--;
	return r;
}

int slu_json_parse(const char *text, size_t n, const char *what, struct json_t **ret,
		   struct slu_err *e)
{
	static const char bom[] = "\xef\xbb\xbf";
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	struct parser ps = {.what = what, .token = SLU_BUF(SIZE_MAX), .e = e};
	int r;

	if (n >= 3 && memcmp(text, bom, 3) == 0) {
		text += 3;
		n -= 3;
	}
	ps.start = ps.p = text;
	ps.end = text + n;
	skip_blanks(&ps);
	if (ps.p == ps.end)
		return slu_fail(e, EBADMSG, "'%s' is empty: JSON was expected", what);
	r = read_value(&ps, &j);
	if (r == 0) {
		skip_blanks(&ps);
		if (ps.p < ps.end)
			r = unexpected(&ps, "the end");
	}
	slu_buf_done(&ps.token);
	if (r == 0)
		*ret = slu_take(j);
	return r;
}
