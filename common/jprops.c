/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Java's .properties files (jprops.h).  A line is taken together first, with its escapes, then cut into key
 * and value, each of which loses its escapes.  ISO 8859-1, which some programs read them as, is not meant.
 */
#include "common/jprops.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES (1u << 20)

static void wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void slu_jprops_done(struct slu_jprops *p)
{
	for (size_t i = 0; i < p->all.n; i++) {
		free(p->all.p[i].key);
		wipe(p->all.p[i].value);
	}
	free(p->all.p);
	*p = (struct slu_jprops){0};
}

static struct slu_jprop *find(const struct slu_jprops *p, const char *key)
{
	for (size_t i = 0; i < p->all.n; i++)
		if (slu_streq(p->all.p[i].key, key))
			return &p->all.p[i];
	return NULL;
}

const char *slu_jprops_get(const struct slu_jprops *p, const char *key)
{
	const struct slu_jprop *x = find(p, key);

	return x ? x->value : NULL;
}

int slu_jprops_set(struct slu_jprops *p, const char *key, const char *value)
{
	struct slu_jprop *has = find(p, key);
	struct slu_jprop x = {.value = slu_strdup(value)};

	if (x.value && has) {
		wipe(has->value);
		has->value = x.value;
		return 0;
	}
	x.key = x.value ? slu_strdup(key) : NULL;
	if (x.key && slu_vec_push(&p->all, x))
		return 0;
	free(x.key);
	wipe(x.value);
	return -ENOMEM;
}

static bool has_name(const char *list, const char *name, size_t n)
{
	for (size_t len; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		if (len == n && strncmp(list, name, n) == 0)
			return true;
	}
	return false;
}

int slu_jprops_join(struct slu_jprops *p, const char *key, const char *list)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(LINE_MAX_BYTES);
	const char *old = slu_jprops_get(p, key);

	slu_buf_str(&b, old ? old : "");
	for (size_t n; *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (n && !has_name(b.len ? b.p : "", list, n))
			slu_buf_fmt(&b, "%s%.*s", b.len ? "," : "", (int)n, list);
	}
	return slu_buf_err(&b) ? -ENOMEM : slu_jprops_set(p, key, b.len ? b.p : "");
}

/* --- reading --- */

struct text {
	const char *p, *end;
	unsigned line; /* of p, from 1 */
	const char *what;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f';
}

static bool is_end(char c)
{
	return c == '\n' || c == '\r';
}

/* Goes over the end of a line, of whatever kind. */
static void next_line(struct text *t)
{
	if (t->p < t->end && *t->p == '\r' && t->p + 1 < t->end && t->p[1] == '\n')
		t->p++;
	t->p += t->p < t->end;
	t->line++;
}

static void skip_blanks(struct text *t)
{
	while (t->p < t->end && is_blank(*t->p))
		t->p++;
}

/* Over lines that are empty or comments. */
static void skip_comments(struct text *t)
{
	for (skip_blanks(t); t->p < t->end; skip_blanks(t)) {
		if (*t->p == '#' || *t->p == '!')
			while (t->p < t->end && !is_end(*t->p))
				t->p++;
		else if (!is_end(*t->p))
			break;
		next_line(t);
	}
}

/* What is left of a line, escapes as they are; true: it goes on in the next one, where t is then.  *lone: the
 * text ends where it would go on. */
static bool take_rest(struct text *t, struct slu_buf *b, bool *lone)
{
	while (t->p < t->end && !is_end(*t->p)) {
		if (*t->p != '\\') {
			slu_buf_ch(b, *t->p++);
			continue;
		}
		t->p++;
		*lone = t->p >= t->end;
		if (*lone)
			break;
		if (is_end(*t->p)) {
			next_line(t);
			*lone = t->p >= t->end;
			skip_blanks(t);
			return true;
		}
		slu_buf_ch(b, '\\');
		slu_buf_ch(b, *t->p++);
	}
	return false;
}

/* The next line with all that it goes on in: true when there is one.  As long as nothing was read of it,
 * comments are comments. */
static bool take_line(struct text *t, struct slu_buf *b)
{
	bool lone = false;

	slu_buf_clear(b);
	do {
		if (!b->len)
			skip_comments(t);
	} while (take_rest(t, b, &lone) || (!b->len && !slu_buf_err(b) && t->p < t->end));
	return b->len || slu_buf_err(b) || lone;
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const char *s, const char *end)
{
	int32_t v = 0;

	if (end - s < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		const char *digits = "0123456789abcdef";
		const char *at = s[i] ? strchr(digits, s[i] | 0x20) : NULL;

		if (!at)
			return -1;
		v = v << 4 | (int32_t)(at - digits);
	}
	return v;
}

static void add_utf8(struct slu_buf *b, uint32_t c)
{
	if (c < 0x80) {
		slu_buf_ch(b, (char)c);
	} else if (c < 0x800) {
		slu_buf_ch(b, (char)(0xc0 | c >> 6));
	} else if (c < 0x10000) {
		slu_buf_ch(b, (char)(0xe0 | c >> 12));
		slu_buf_ch(b, (char)(0x80 | (c >> 6 & 0x3f)));
	} else {
		slu_buf_ch(b, (char)(0xf0 | c >> 18));
		slu_buf_ch(b, (char)(0x80 | (c >> 12 & 0x3f)));
		slu_buf_ch(b, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	if (c >= 0x80)
		slu_buf_ch(b, (char)(0x80 | (c & 0x3f)));
}

/* What follows "\u"; bytes gone over, 0: no character. */
static size_t add_unicode(struct slu_buf *b, const char *s, const char *end)
{
	int32_t c = hex4(s, end), low = -1;

	if (c <= 0)
		return 0;
	if (c >= 0xd800 && c < 0xdc00 && end - s >= 10 && s[4] == '\\' && s[5] == 'u')
		low = hex4(s + 6, end);
	if (low >= 0xdc00 && low < 0xe000) {
		add_utf8(b, 0x10000u + ((uint32_t)(c - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
		return 10;
	}
	if (c >= 0xd800 && c < 0xe000) /* half of one */
		return 0;
	add_utf8(b, (uint32_t)c);
	return 4;
}

static char plain(char c)
{
	return c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c;
}

/* s without its escapes into b: false when there is a \u that is none. */
static bool add_plain(struct slu_buf *b, const char *s, const char *end)
{
	while (s < end) {
		size_t n;

		if (*s != '\\' || s + 1 >= end) {
			slu_buf_ch(b, *s++);
			continue;
		}
		s++;
		if (*s != 'u') {
			slu_buf_ch(b, plain(*s++));
			continue;
		}
		n = add_unicode(b, s + 1, end);
		if (!n)
			return false;
		s += 1 + n;
	}
	return true;
}

/* Where the key ends. */
static const char *key_end(const char *s, const char *end)
{
	while (s < end && !is_blank(*s) && *s != '=' && *s != ':')
		s += *s == '\\' && s + 1 < end ? 2 : 1;
	return s;
}

static const char *value_start(const char *s, const char *end)
{
	while (s < end && is_blank(*s))
		s++;
	s += s < end && (*s == '=' || *s == ':');
	while (s < end && is_blank(*s))
		s++;
	return s;
}

static int add_line(struct slu_jprops *p, const struct slu_buf *line, const struct text *t,
		    struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf key = SLU_BUF(LINE_MAX_BYTES);
	SLU_AUTO(slu_buf_done) struct slu_buf value = SLU_BUF(LINE_MAX_BYTES);
	const char *s = line->len ? line->p : "", *end = s + line->len;
	const char *stop = key_end(s, end);
	bool good = add_plain(&key, s, stop) && add_plain(&value, value_start(stop, end), end);
	int r = 0;

	if (!good)
		r = slu_fail(e, EBADMSG, "'%s:%u': a \\u without the four digits of a character",
			     t->what, t->line);
	else if (slu_buf_err(&key) || slu_buf_err(&value) ||
		 slu_jprops_set(p, key.len ? key.p : "", value.len ? value.p : "") < 0)
		r = slu_fail_oom(e);
	if (value.p)
		explicit_bzero(value.p, value.len);
	return r;
}

int slu_jprops_parse(struct slu_jprops *p, const char *text, size_t n, const char *what,
		     struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf line = SLU_BUF(n + 1);
	struct text t = {.p = text, .end = text + n, .line = 1, .what = what};
	int r = 0;

	if (n && memchr(text, '\0', n))
		return slu_fail(e, EBADMSG, "'%s' is no properties file: there is a NUL in it",
				what);
	while (r == 0 && take_line(&t, &line))
		r = slu_buf_err(&line) ? slu_fail_oom(e) : add_line(p, &line, &t, e);
	if (line.p)
		explicit_bzero(line.p, line.len);
	return r;
}

/* --- writing --- */

static void add_escaped(struct slu_buf *b, const char *s, bool key)
{
	static const char controls[] = "\t\n\r\f", names[] = "tnrf";

	for (bool first = true; *s; s++, first = false) {
		const char *control = strchr(controls, *s);

		if (control) {
			slu_buf_ch(b, '\\');
			slu_buf_ch(b, names[control - controls]);
			continue;
		}
		if (*s == '\\' || (key && strchr(" :=#!", *s)) || (first && *s == ' '))
			slu_buf_ch(b, '\\');
		slu_buf_ch(b, *s);
	}
}

void slu_jprops_write(const struct slu_jprops *p, struct slu_buf *b)
{
	for (size_t i = 0; i < p->all.n; i++) {
		add_escaped(b, p->all.p[i].key, true);
		slu_buf_ch(b, '=');
		add_escaped(b, p->all.p[i].value, false);
		slu_buf_ch(b, '\n');
	}
}
