/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of somebody's MLTable file with nothing changed but its paths: comments, order, quotes and
 * keys stay.  A path is found by the position that the parser gives; what comes out is parsed again and
 * compared, and where that is not as it should be (a path over several lines, an alias) there is no
 * text, and one is made from the document instead.
 */
#include "dataset/definition_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/vec.h"
#include "common/yaml.h"

#include <errno.h>
#include <string.h>

struct patch {
	size_t at, n; /* bytes of the text */
	const char *by;
};

struct patches {
	SLU_VEC(struct patch) v;
};

static void patches_done(struct patches *p)
{
	free(p->v.p);
}

static struct json_t *path_value(const struct json_t *entry)
{
	static const char *const keys[] = {"file", "folder", "pattern"};

	for (size_t i = 0; i < 3; i++)
		if (slu_json_is_string(slu_json_get(entry, keys[i])))
			return slu_json_get(entry, keys[i]);
	return NULL;
}

/* The byte at line and column (characters), both from 1. */
static const char *find(const char *text, size_t n, int line, int column)
{
	const char *p = text, *end = text + n;

	for (; line > 1; line--) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			return NULL;
		p++;
	}
	for (; column > 1 && p < end; column--) {
		size_t k = slu_utf8_len(p, (size_t)(end - p));

		p += k ? k : 1;
	}
	return p;
}

/* How many bytes the scalar at p takes; 0: it is written in a way that is left alone. */
static size_t scalar(const char *p, size_t n, const char *value)
{
	size_t len = strlen(value), i = 1;

	if (n == 0)
		return 0;
	if (*p != '"' && *p != '\'')
		return len <= n && memcmp(p, value, len) == 0 ? len : 0;
	for (; i < n && p[i] != '\n'; i++) {
		if (*p == '"' && p[i] == '\\')
			i++;
		else if (p[i] == *p && !(*p == '\'' && i + 1 < n && p[i + 1] == '\''))
			return i + 1;
		else if (p[i] == *p)
			i++;
	}
	return 0;
}

static int find_all(const struct slu_yaml *y, const char *text, size_t n, const struct json_t *doc,
		    struct patches *p)
{
	const struct json_t *paths = slu_json_get(slu_yaml_root(y), "paths");
	const struct json_t *canon = slu_json_get(doc, "paths");

	for (size_t i = 0; i < slu_json_count(paths); i++) {
		const struct json_t *v = path_value(slu_json_at(paths, i));
		const char *by = slu_json_string(path_value(slu_json_at(canon, i)));
		int line, column;

		if (!v || !by || !slu_yaml_where(y, v, &line, &column))
			return -EINVAL;
		const char *at = find(text, n, line, column);
		struct patch one = {.at = at ? (size_t)(at - text) : 0, .by = by};

		one.n = at ? scalar(at, n - one.at, slu_json_string(v)) : 0;
		if (one.n == 0 || (p->v.n && one.at < p->v.p[p->v.n - 1].at))
			return -EINVAL;
		if (!slu_vec_push(&p->v, one))
			return -ENOMEM;
	}
	return 0;
}

static void add_quoted(struct slu_buf *b, const char *s)
{
	slu_buf_ch(b, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			slu_buf_ch(b, '\\');
		slu_buf_ch(b, *s);
	}
	slu_buf_ch(b, '"');
}

/* Does the text say what the file said, with the new paths? */
static bool right(const char *text, const struct json_t *root, const struct json_t *doc)
{
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	const struct json_t *canon = slu_json_get(doc, "paths"), *paths;

	if (slu_yaml_parse(text, strlen(text), "MLTable", &y, NULL) < 0)
		return false;
	paths = slu_json_get(slu_yaml_root(y), "paths");
	if (slu_json_count(paths) != slu_json_count(canon) ||
	    slu_json_count(slu_yaml_root(y)) != slu_json_count(root))
		return false;
	for (size_t i = 0; i < slu_json_count(paths); i++) {
		const char *is = slu_json_string(path_value(slu_json_at(paths, i)));
		const char *by = slu_json_string(path_value(slu_json_at(canon, i)));

		if (!is || !by || !slu_streq(is, by))
			return false;
	}
	for (void *it = slu_json_iter(root); it; it = slu_json_next(root, it))
		if (!slu_streq(slu_json_iter_key(it), "paths") &&
		    !slu_json_equal(slu_json_iter_value(it),
				    slu_json_get(slu_yaml_root(y), slu_json_iter_key(it))))
			return false;
	return true;
}

int slu_mltable_patch(const struct slu_yaml *y, const char *text, size_t n,
		      const struct json_t *doc, char **ret)
{
	SLU_AUTO(patches_done) struct patches p = {0};
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64u << 20);
	size_t at = 0;
	int r = find_all(y, text, n, doc, &p);

	*ret = NULL;
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	for (size_t i = 0; i < p.v.n; i++) {
		slu_buf_add(&b, text + at, p.v.p[i].at - at);
		add_quoted(&b, p.v.p[i].by);
		at = p.v.p[i].at + p.v.p[i].n;
	}
	slu_buf_add(&b, text + at, n - at);
	if (slu_buf_err(&b) < 0)
		return -ENOMEM;
	if (right(b.p, slu_yaml_root(y), doc))
		*ret = slu_buf_take(&b);
	return 0;
}
