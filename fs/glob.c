/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Globs on path text.  Braces are expanded first; what is left is matched part by part, and inside
 * a part character by character.  Both levels remember only the last `**` or `*`: a token matches
 * the same wherever it stands, so an earlier one never has to be tried again, and matching takes
 * at most (pattern x path) steps.  A character is one of UTF-8; a byte that is not UTF-8 is a
 * character of its own.  Listing folders is walk.c's part.
 */
#include "fs/glob.h"

#include "common/cleanup.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/vec.h"
#include "fs/walk.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define GLOB_MAX 4096 /* bytes of a pattern, with NUL */
#define GROUPS_MAX 16 /* `{` in a pattern */
#define ALTS_MAX 1024 /* patterns it expands to */

/* The character at p (p < end): its number, and its length in *ret_n. */
static uint32_t character(const char *p, const char *end, size_t *ret_n)
{
	const unsigned char *s = (const unsigned char *)p;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80   ? 1
		   : s[0] < 0xc2 ? 0
		   : s[0] < 0xe0 ? 2
		   : s[0] < 0xf0 ? 3
		   : s[0] < 0xf5 ? 4
				 : 0;
	uint32_t c;

	*ret_n = 1;
	if (n == 1)
		return s[0];
	if (n == 0 || (size_t)(end - p) < n)
		return 0x110000u + s[0];
	c = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0x110000u + s[0];
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0x110000u + s[0];
	*ret_n = n;
	return c;
}

/* The `]` that ends the class whose `[` is at p, or NULL.  A `]` at its beginning is an element; a
 * class does not reach over a '/'. */
static const char *class_end(const char *p, const char *end)
{
	const char *q = p + 1;

	if (q < end && (*q == '!' || *q == '^'))
		q++;
	if (q < end && *q == ']')
		q++;
	for (; q < end && *q != '/'; q++) {
		if (*q == ']')
			return q;
		if (*q == '\\' && q + 1 < end && q[1] != '/')
			q++;
	}
	return NULL;
}

/* Past the token at p: an escaped character, a class, or one byte. */
static const char *token_end(const char *p, const char *end)
{
	const char *q;

	if (*p == '\\' && p + 1 < end)
		return p + 2;
	q = *p == '[' ? class_end(p, end) : NULL;
	return q ? q + 1 : p + 1;
}

/* One element of a class, escapes resolved; moves *p past it. */
static uint32_t class_char(const char **p, const char *end)
{
	size_t n;
	uint32_t c;

	if (**p == '\\' && *p + 1 < end)
		(*p)++;
	c = character(*p, end, &n);
	*p += n;
	return c;
}

/* p is past the `[`, end at the `]`. */
static bool class_has(const char *p, const char *end, uint32_t c)
{
	bool negated = p < end && (*p == '!' || *p == '^'), hit = false;

	p += negated;
	while (p < end) {
		uint32_t lo = class_char(&p, end), hi = lo;

		if (p + 1 < end && *p == '-') {
			p++;
			hi = class_char(&p, end);
		}
		hit |= c >= lo && c <= hi;
	}
	return hit != negated;
}

/* Does the token at *p (not `*`) match the character at *s?  Moves both past it when so. */
static bool match_one(const char **p, const char *pe, const char **s, const char *se)
{
	const char *q = *p, *close;
	size_t n, pn;
	uint32_t c = character(*s, se, &n);
	bool ok;

	close = *q == '[' ? class_end(q, pe) : NULL;
	if (*q == '?') {
		ok = true;
		q++;
	} else if (close) {
		ok = class_has(q + 1, close, c);
		q = close + 1;
	} else {
		q += *q == '\\' && q + 1 < pe;
		ok = character(q, pe, &pn) == c;
		q += pn;
	}
	if (ok) {
		*p = q;
		*s += n;
	}
	return ok;
}

bool slu_glob_part_match(const struct slu_glob_part *g, const char *s, size_t n)
{
	const char *p = g->p, *se = s + n, *star = NULL, *from = NULL;
	size_t one;

	for (;;) {
		if (p < g->end && *p == '*') {
			star = ++p;
			from = s;
		} else if (s == se) {
			return p == g->end;
		} else if (p == g->end || !match_one(&p, g->end, &s, se)) {
			if (!star)
				return false;
			/* the star takes one character more */
			character(from, se, &one);
			s = from += one;
			p = star;
		}
	}
}

/* The part of a brace-free pattern at p; its end is at '/' or NUL. */
static struct slu_glob_part part_at(const char *p)
{
	const char *end = p + strlen(p), *q = p;

	while (q < end && *q != '/') {
		if (*q == '\\' && q[1] == '/')
			q++; /* an escaped '/' separates too: no name has one */
		else
			q = token_end(q, end);
	}
	return (struct slu_glob_part){p, q, q - p == 2 && p[0] == '*' && p[1] == '*'};
}

/* A brace-free pattern against a whole path. */
static bool match_path(const char *p, const char *s)
{
	const char *deep = NULL, *from = NULL;

	for (;;) {
		struct slu_glob_part g = part_at(p);
		size_t n = strcspn(s, "/");

		if (g.deep && !*g.end)
			return *s != '\0'; /* files below, so one part at least */
		if (g.deep) {
			p = deep = g.end + 1;
			from = s;
			continue;
		}
		if (n && slu_glob_part_match(&g, s, n) && !*g.end == !s[n]) {
			if (!*g.end)
				return true;
			p = g.end + 1;
			s += n + 1;
			continue;
		}
		n = deep ? strcspn(from, "/") : 0;
		if (!deep || !from[n])
			return false;
		s = from += n + 1;
		p = deep;
	}
}

/* Finds the first group: its `{` and its `}`. */
static bool find_group(const char *s, const char **ret_open, const char **ret_close)
{
	const char *end = s + strlen(s), *open = NULL;
	size_t depth = 0;

	for (const char *p = s; p < end; p = token_end(p, end)) {
		if (*p == '{' && depth++ == 0)
			open = p;
		if (*p == '}' && depth && --depth == 0) {
			*ret_open = open;
			*ret_close = p;
			return true;
		}
	}
	return false;
}

/* The end of the alternative at p: a ',' of this group, or its `}` at close. */
static const char *alt_end(const char *p, const char *close)
{
	size_t depth = 0;

	for (; p < close; p = token_end(p, close)) {
		if (*p == ',' && !depth)
			return p;
		depth += *p == '{';
		depth -= *p == '}' && depth;
	}
	return close;
}

typedef int alt_fn(void *user, const char *pattern);

/* Calls fn for each brace-free alternative; stops with what fn returns when not 0. */
static int expand(const char *s, unsigned level, alt_fn *fn, void *user)
{
	const char *open, *close, *p, *q;
	char text[GLOB_MAX];
	int r = 0;

	if (!find_group(s, &open, &close))
		return fn(user, s);
	if (level == GROUPS_MAX || strlen(s) >= GLOB_MAX)
		return -E2BIG;
	for (p = open + 1; r == 0; p = q + 1) {
		size_t head = (size_t)(open - s), mid;

		q = alt_end(p, close);
		mid = (size_t)(q - p);
		memcpy(text, s, head);
		memcpy(text + head, p, mid);
		memcpy(text + head + mid, close + 1, strlen(close + 1) + 1);
		r = expand(text, level + 1, fn, user);
		if (q == close)
			break;
	}
	return r;
}

static int count_alt(void *user, const char *pattern)
{
	size_t *n = user;

	(void)pattern;
	return ++*n > ALTS_MAX ? -E2BIG : 0;
}

int slu_glob_check(const char *pattern, struct slu_err *e)
{
	const char *end = pattern + strlen(pattern);
	size_t depth = 0, n = 0;

	if (end - pattern >= GLOB_MAX)
		return slu_fail(e, EINVAL, "a pattern of %zu bytes is too long, %d are allowed",
				(size_t)(end - pattern), GLOB_MAX - 1);
	for (const char *p = pattern; p < end; p = token_end(p, end)) {
		if (*p == '[' && !class_end(p, end))
			return slu_fail(
				e, EINVAL,
				"the pattern '%s' has '[' without ']': write '\\[' for the character itself",
				pattern);
		if (*p == '\\' && (p + 1 == end || p[1] == '/'))
			return slu_fail(
				e, EINVAL,
				"the pattern '%s' has a part that ends in '\\': write '\\\\' for the character itself",
				pattern);
		depth += *p == '{';
		depth -= *p == '}' && depth;
	}
	if (depth)
		return slu_fail(
			e, EINVAL,
			"the pattern '%s' has '{' without '}': write '\\{' for the character itself",
			pattern);
	if (expand(pattern, 0, count_alt, &n) < 0)
		return slu_fail(
			e, EINVAL,
			"the pattern '%s' has too many alternatives: write several patterns",
			pattern);
	return 0;
}

bool slu_glob_is(const char *s)
{
	for (; *s; s++) {
		if (strchr("*?[{", *s))
			return true;
		if (*s == '\\' && s[1])
			s++;
	}
	return false;
}

static int match_alt(void *user, const char *pattern)
{
	return match_path(pattern, user);
}

bool slu_glob_match(const char *pattern, const char *path)
{
	return expand(pattern, 0, match_alt, (void *)(uintptr_t)path) == 1;
}

size_t slu_glob_prefix(const char *pattern)
{
	size_t slash = 0;

	for (const char *p = pattern; *p && !strchr("*?[{", *p); p++) {
		if (*p == '\\' && p[1])
			p++;
		else if (*p == '/')
			slash = (size_t)(p - pattern);
	}
	return slash;
}

char *slu_glob_unescape(const char *pattern, size_t n)
{
	char *out = slu_malloc(n + 1), *q = out;

	if (!out)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (pattern[i] == '\\' && i + 1 < n)
			i++;
		*q++ = pattern[i];
	}
	*q = '\0';
	return out;
}

static int add_alt(void *user, const char *pattern)
{
	SLU_VEC(struct slu_glob_part) parts = {0};
	struct slu_glob *g = user;
	char *text = slu_strdup(pattern);

	for (const char *p = text; p;) {
		struct slu_glob_part part = part_at(p);

		if (!slu_vec_push(&parts, part))
			goto oom;
		p = *part.end ? part.end + 1 : NULL;
	}
	if (!text || !slu_vec_room((void **)&g->alt, &g->cap, g->n, sizeof(*g->alt)))
		goto oom;
	g->alt[g->n++] = (struct slu_glob_alt){.part = parts.p, .n = parts.n, .text = text};
	return 0;
oom:
	free(parts.p);
	free(text);
	return -ENOMEM;
}

int slu_glob_parse(const char *pattern, struct slu_glob *ret, struct slu_err *e)
{
	struct slu_glob g = {0};
	int r = slu_glob_check(pattern, e);

	if (r < 0)
		return r;
	r = expand(pattern, 0, add_alt, &g);
	if (r < 0) {
		slu_glob_done(&g);
		return slu_fail_oom(e);
	}
	*ret = g;
	return 0;
}

void slu_glob_done(struct slu_glob *g)
{
	for (size_t i = 0; i < g->n; i++) {
		free(g->alt[i].part);
		free(g->alt[i].text);
	}
	free(g->alt);
	*g = (struct slu_glob){0};
}
