/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of ours as patterns of Hadoop (hdfsglob.h; checked against Hadoop 3.4 by the scenario test_spark).
 * Hadoop has no `**`: it is written as one alternative for each depth at which there are files.  A group with a
 * '/' in it is several patterns to Hadoop, and a file that two of them match is read twice; what a pattern
 * matches may be a folder, which then is read whole.  Such patterns are not used, nor are classes of more
 * than letters and digits, which mean something else in a regular expression.
 */
#include "fs/hdfsglob.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "fs/walk.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define SPECIAL "{}[]*?\\"
#define DEPTH_MAX 63
#define PATH_BYTES 8192

void slu_hdfs_escape(struct slu_buf *b, const char *s, size_t n, unsigned levels)
{
	for (size_t i = 0; i < n; i++) {
		if (strchr(SPECIAL, s[i]) || (levels > 1 && s[i] == ','))
			slu_buf_str(b, levels > 1 ? "\\\\\\" : "\\");
		slu_buf_ch(b, s[i]);
	}
}

/* --- may it be used? --- */

static size_t depth_of(const char *path)
{
	size_t n = 0;

	for (; (path = strchr(path, '/')); path++)
		n++;
	return n;
}

/* The `]` of the class at p when Hadoop means the same by it, else NULL. */
static const char *plain_class(const char *p, const char *end)
{
	const char *q = p + 1 + (p + 1 < end && p[1] == '!');
	const char *first = q;

	while (q < end && (isalnum((unsigned char)*q) || *q == '_' || (*q == '-' && q > first)))
		q++;
	return q < end && *q == ']' && q > first && q[-1] != '-' ? q : NULL;
}

static bool can_part(const struct slu_glob_part *g)
{
	for (const char *p = g->p; p < g->end; p++) {
		if (*p == '\\' && p + 1 < g->end) {
			p++;
		} else if (*p == '[') {
			p = plain_class(p, g->end);
			if (!p)
				return false;
		}
	}
	return g->p < g->end;
}

static bool can_say(const struct slu_glob *g)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct slu_glob_alt *a = &g->alt[i];
		size_t deep = 0;

		for (size_t k = 0; k < a->n; k++) {
			deep += a->part[k].deep;
			if (!a->part[k].deep && !can_part(&a->part[k]))
				return false;
		}
		if (deep > 1 || (a->n && a->part[a->n - 1].deep))
			return false;
	}
	return g->n > 0;
}

/* Does the pattern match a folder that the file is in? */
static bool matches_folder(const char *pattern, const char *path)
{
	char folder[PATH_BYTES];

	for (const char *s = path; (s = strchr(s, '/')); s++) {
		size_t n = (size_t)(s - path);

		if (n >= sizeof folder)
			return true;
		memcpy(folder, path, n);
		folder[n] = '\0';
		if (slu_glob_match(pattern, folder))
			return true;
	}
	return false;
}

static bool fits(const struct slu_hglob *g, const char *path)
{
	size_t hits = 0;

	for (size_t i = 0; i < g->alts.n; i++)
		hits += slu_glob_match(g->alts.alt[i].text, path);
	return hits == 1 && !matches_folder(g->pattern, path);
}

int slu_hglob_new(struct slu_hglob *ret, const char *pattern, const struct slu_manifest *m)
{
	struct slu_hglob g = {.pattern = pattern};
	struct slu_err why;
	int r = slu_glob_parse(pattern, &g.alts, &why);
	bool good = r == 0 && can_say(&g.alts);

	for (size_t i = 0; good && i < slu_manifest_count(m); i++) {
		const char *path = slu_manifest_at(m, i)->path;
		size_t depth = depth_of(path);

		good = depth <= DEPTH_MAX && fits(&g, path);
		if (good)
			g.depths |= UINT64_C(1) << depth;
	}
	if (good) {
		*ret = g;
		return 1;
	}
	slu_hglob_done(&g);
	return r == -ENOMEM ? r : 0;
}

void slu_hglob_done(struct slu_hglob *g)
{
	slu_glob_done(&g->alts);
}

bool slu_hglob_reaches(const struct slu_hglob *g, const char *path)
{
	return slu_glob_match(g->pattern, path) || matches_folder(g->pattern, path);
}

/* --- saying it --- */

static void add_part(struct slu_buf *b, const struct slu_glob_part *g, unsigned levels)
{
	for (const char *p = g->p; p < g->end; p++) {
		if (*p == '\\' && p + 1 < g->end) {
			slu_hdfs_escape(b, ++p, 1, levels);
		} else if (*p == '[') {
			const char *close = plain_class(p, g->end);

			slu_buf_add(b, p, (size_t)(close + 1 - p));
			p = close;
		} else if (*p == '*' || *p == '?') {
			slu_buf_ch(b, *p);
		} else {
			slu_hdfs_escape(b, p, 1, levels);
		}
	}
}

/* With `**` as this many folders. */
static void add_alt(struct slu_buf *b, const struct slu_glob_alt *a, size_t folders,
		    unsigned levels)
{
	for (size_t k = 0; k < a->n; k++) {
		for (size_t i = 0; a->part[k].deep && i < folders; i++)
			slu_buf_str(b, "/*");
		if (a->part[k].deep)
			continue;
		slu_buf_ch(b, '/');
		add_part(b, &a->part[k], levels);
	}
}

static bool is_deep(const struct slu_glob_alt *a)
{
	for (size_t k = 0; k < a->n; k++)
		if (a->part[k].deep)
			return true;
	return false;
}

/* Each way to write it, or only how many there are (b NULL). */
static size_t add_all(struct slu_buf *b, const struct slu_hglob *g, unsigned levels)
{
	size_t n = 0;

	for (size_t i = 0; i < g->alts.n; i++) {
		const struct slu_glob_alt *a = &g->alts.alt[i];
		bool deep = is_deep(a);
		size_t least = a->n - 1 - deep; /* folders that it names */

		for (size_t depth = 0; depth <= DEPTH_MAX; depth++) {
			bool here = g->depths >> depth & 1;

			if (!here || depth < least || (!deep && depth > least))
				continue;
			if (b && levels > 1 && n)
				slu_buf_ch(b, ',');
			if (b)
				add_alt(b, a, depth - least, levels);
			n++;
		}
	}
	return n;
}

void slu_hglob_write(const struct slu_hglob *g, struct slu_buf *b)
{
	bool one = add_all(NULL, g, 1) == 1;

	if (!one)
		slu_buf_ch(b, '{');
	add_all(b, g, one ? 1 : 2);
	if (!one)
		slu_buf_ch(b, '}');
}
