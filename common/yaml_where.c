/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Positions in a YAML document, and the messages that need them.  Positions are kept sorted beside
 * the tree and found by a value's address.
 */
#include "common/buf.h"
#include "common/hash.h"
#include "common/str.h"
#include "common/yaml_impl.h"

#include <errno.h>
#include <stdarg.h>

enum { WORD_MAX = 63, TEXT_MAX = 1024 };

uint64_t slu_yaml_key_hash(const char *key)
{
	uint64_t h = slu_hash_bytes(key, strlen(key));

	return h ? h : 1;
}

static int by_place(const void *a, const void *b)
{
	const struct slu_yaml_pos *x = a, *y = b;

	if (x->v != y->v)
		return (uintptr_t)x->v < (uintptr_t)y->v ? -1 : 1;
	return x->key < y->key ? -1 : x->key > y->key;
}

void slu_yaml_pos_sort(struct slu_yaml *y)
{
	if (y->pos.n)
		qsort(y->pos.p, y->pos.n, sizeof(*y->pos.p), by_place);
}

static const struct slu_yaml_pos *find(const struct slu_yaml *y, const void *v, const char *key)
{
	struct slu_yaml_pos want = {.v = v, .key = key ? slu_yaml_key_hash(key) : 0};

	if (!v || y->pos.n == 0)
		return NULL;
	return bsearch(&want, y->pos.p, y->pos.n, sizeof(want), by_place);
}

bool slu_yaml_where(const struct slu_yaml *y, const struct json_t *v, int *ret_line, int *ret_col)
{
	const struct slu_yaml_pos *p = find(y, v, NULL);

	if (!p)
		return false;
	*ret_line = p->line;
	*ret_col = p->col;
	return true;
}

int slu_yaml_fail(const struct slu_yaml *y, const struct json_t *v, const char *key,
		  struct slu_err *e, const char *fmt, ...)
{
	const struct slu_yaml_pos *p = key ? find(y, v, key) : NULL;
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	if (!p)
		p = find(y, v, NULL);
	/* An empty file begins there too. */
	if (!p && v == y->root)
		return slu_fail(e, EINVAL, "'%s:1:1': %s", y->what, text);
	if (!p)
		return slu_fail(e, EINVAL, "'%s': %s", y->what, text);
	return slu_fail(e, EINVAL, "'%s:%d:%d': %s", y->what, p->line, p->col, text);
}

static int min3(int a, int b, int c)
{
	int m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b; words too long are far apart. */
static int distance(const char *a, const char *b)
{
	int rows[3][WORD_MAX + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = (int)j;
	for (size_t i = 1; i <= n; i++) {
		int *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];

		row[0] = (int)i;
		for (size_t j = 1; j <= m; j++) {
			row[j] =
				min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    up2[j - 2] + 1 < row[j])
				row[j] = up2[j - 2] + 1;
		}
	}
	return rows[n % 3][m];
}

/* The known key that key was probably meant to be, or NULL. */
static const char *nearest(const char *key, const char *const *known)
{
	int best = 1 + (int)strlen(key) / 3;
	const char *found = NULL;

	for (; *known; known++) {
		int d = distance(key, *known);

		if (d < best || (d == best && !found)) {
			best = d;
			found = *known;
		}
	}
	return found;
}

static int unknown_key(const struct slu_yaml *y, const struct json_t *v, const char *key,
		       const char *const *known, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(400);
	const char *near = nearest(key, known);

	if (near)
		return slu_yaml_fail(y, v, key, e, "unknown key '%s': did you mean '%s'?", key,
				     near);
	for (size_t i = 0; known[i]; i++)
		slu_buf_fmt(&b, "%s%s", i ? ", " : "", known[i]);
	return slu_yaml_fail(y, v, key, e, "unknown key '%s': known are %s%s", key, b.p ? b.p : "",
			     b.err ? ", ..." : "");
}

int slu_yaml_known_keys(const struct slu_yaml *y, const struct json_t *v, const char *const *known,
			struct slu_err *e)
{
	if (!slu_json_is_object(v))
		return slu_yaml_fail(y, v, NULL, e, "a mapping (key: value) was expected here");
	for (void *it = slu_json_iter(v); it; it = slu_json_next(v, it)) {
		const char *key = slu_json_iter_key(it);
		bool found = false;

		for (size_t i = 0; known[i] && !found; i++)
			found = slu_streq(known[i], key);
		if (!found)
			return unknown_key(y, v, key, known, e);
	}
	return 0;
}
