/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON writer.  Ours, not jansson's, because canonical text is hashed and must not change with
 * a library's version, and because 0.1 is to be written as 0.1.
 */
#include "common/json_text.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>

enum { DEPTH_MAX = 1024 };

struct writer {
	struct slu_buf *b;
	enum slu_json_style style;
	int depth;
};

static void put_value(struct writer *w, const struct json_t *j);

/* printf's %g with the locale's decimal point, of any length, made a '.'. */
static void plain_point(char *s)
{
	char *out = s;
	bool in_point = false;

	for (; *s; s++) {
		bool known = (*s >= '0' && *s <= '9') || *s == '-' || *s == '+' || *s == 'e';

		if (known)
			*out++ = *s;
		else if (!in_point)
			*out++ = '.';
		in_point = !known;
	}
	*out = '\0';
}

void slu_json_put_real(struct slu_buf *b, double v)
{
	char s[64];
	char *exp;

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(s, sizeof(s), "%.*g", digits, v);
		if (strtod(s, NULL) == v) /* the same locale wrote it */
			break;
	}
	plain_point(s);
	exp = strchr(s, 'e');
	if (strchr(s, '.')) {
		slu_buf_str(b, s);
	} else if (exp) {
		slu_buf_add(b, s, (size_t)(exp - s));
		slu_buf_str(b, ".0");
		slu_buf_str(b, exp);
	} else {
		slu_buf_str(b, s);
		slu_buf_str(b, ".0");
	}
}

static void put_escape(struct slu_buf *b, unsigned code)
{
	static const char names[] = "\bb\ff\nn\rr\tt\"\"\\\\";

	for (const char *p = names; *p; p += 2) {
		if ((unsigned char)p[0] == code) {
			slu_buf_ch(b, '\\');
			slu_buf_ch(b, p[1]);
			return;
		}
	}
	slu_buf_fmt(b, "\\u%04x", code);
}

/* Must the character be escaped, and as which code?  Beside JSON's own these are what YAML does not
 * call printable, and its line breaks. */
static bool must_escape(const unsigned char *u, size_t len, unsigned *ret)
{
	unsigned c = u[0];

	if (len == 1) {
		*ret = c;
		return c < 0x20 || c == '"' || c == '\\' || c == 0x7f;
	}
	if (len == 2) {
		*ret = (c & 0x1fu) << 6 | (u[1] & 0x3fu);
		return *ret < 0xa0;
	}
	if (len == 3) {
		*ret = (c & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
		return *ret == 0x2028 || *ret == 0x2029 || *ret == 0xfeff || *ret >= 0xfffe;
	}
	return false;
}

void slu_json_put_string(struct slu_buf *b, const char *s, size_t n)
{
	size_t start = 0, i = 0;
	unsigned code;

	slu_buf_ch(b, '"');
	while (i < n) {
		size_t len = slu_utf8_len(s + i, n - i);

		len = len ? len : 1;
		if (must_escape((const unsigned char *)s + i, len, &code)) {
			slu_buf_add(b, s + start, i - start);
			put_escape(b, code);
			start = i + len;
		}
		i += len;
	}
	slu_buf_add(b, s + start, n - start);
	slu_buf_ch(b, '"');
}

static void put_break(struct writer *w)
{
	if (w->style != SLU_JSON_PRETTY)
		return;
	slu_buf_ch(w->b, '\n');
	for (int i = 0; i < w->depth; i++)
		slu_buf_str(w->b, "  ");
}

static void put_array(struct writer *w, const struct json_t *j)
{
	size_t n = slu_json_count(j);

	slu_buf_ch(w->b, '[');
	w->depth++;
	for (size_t i = 0; i < n; i++) {
		if (i)
			slu_buf_ch(w->b, ',');
		put_break(w);
		put_value(w, slu_json_at(j, i));
	}
	w->depth--;
	if (n)
		put_break(w);
	slu_buf_ch(w->b, ']');
}

struct member {
	const char *key;
	const struct json_t *value;
};

static int by_key(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static void put_members(struct writer *w, const struct member *m, size_t n)
{
	slu_buf_ch(w->b, '{');
	w->depth++;
	for (size_t i = 0; i < n; i++) {
		if (i)
			slu_buf_ch(w->b, ',');
		put_break(w);
		slu_json_put_string(w->b, m[i].key, strlen(m[i].key));
		slu_buf_str(w->b, w->style == SLU_JSON_PRETTY ? ": " : ":");
		put_value(w, m[i].value);
	}
	w->depth--;
	if (n)
		put_break(w);
	slu_buf_ch(w->b, '}');
}

static void put_object(struct writer *w, const struct json_t *j)
{
	size_t n = slu_json_count(j), i = 0;
	SLU_AUTO(slu_freep) struct member *m = slu_reallocarray(NULL, n, sizeof(*m));

	if (!m) {
		w->b->err = w->b->err ? w->b->err : ENOMEM;
		return;
	}
	for (void *it = slu_json_iter(j); it; it = slu_json_next(j, it))
		m[i++] = (struct member){slu_json_iter_key(it), slu_json_iter_value(it)};
	if (w->style == SLU_JSON_CANONICAL)
		qsort(m, n, sizeof(*m), by_key);
	put_members(w, m, n);
}

bool slu_json_put_simple(struct slu_buf *b, const struct json_t *j)
{
	if (slu_json_is_null(j))
		slu_buf_str(b, "null");
	else if (slu_json_is_bool(j))
		slu_buf_str(b, slu_json_true(j) ? "true" : "false");
	else if (slu_json_is_int(j))
		slu_buf_fmt(b, "%lld", (long long)slu_json_integer(j));
	else if (slu_json_is_real(j))
		slu_json_put_real(b, slu_json_number(j));
	else
		return false;
	return true;
}

static void put_value(struct writer *w, const struct json_t *j)
{
	const char *s = slu_json_string(j);

	if (w->depth > DEPTH_MAX)
		w->b->err = w->b->err ? w->b->err : EMSGSIZE;
	else if (s)
		slu_json_put_string(w->b, s, strlen(s));
	else if (slu_json_is_object(j))
		put_object(w, j);
	else if (slu_json_is_array(j))
		put_array(w, j);
	else
		slu_json_put_simple(w->b, j);
}

char *slu_json_text(const struct json_t *j, enum slu_json_style style)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SIZE_MAX);
	struct writer w = {&b, style, 0};

	if (!j)
		return NULL;
	put_value(&w, j);
	return slu_buf_take(&b);
}
