/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparing datasets.  Manifests are sorted, so pairing is a merge.  Bytes are read only of files that
 * neither their place nor a checksum tells apart, several at a time and before anything is told, so
 * that what is told is in order.
 */
#include "dataset/compare.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "dataset/gang.h"
#include "fs/view.h"

#include <errno.h>
#include <string.h>

#define PIECE (1u << 20) /* bytes of one read */
#define READERS 8u
#define ASKERS 32u

struct pair {
	size_t a, b; /* SIZE_MAX: none */
	enum slu_difference what;
};

struct comparison {
	const struct slu_tree *a, *b;
	SLU_VEC(struct pair) pairs;
	SLU_VEC(size_t) unsure; /* pairs whose bytes have to be read */
};

/* Same folder of the same store? */
static bool same_place(const struct slu_tree *a, size_t i, const struct slu_tree *b, size_t j)
{
	const char *pa, *pb;
	size_t sa = slu_manifest_locate(a->manifest, i, &pa);
	size_t sb = slu_manifest_locate(b->manifest, j, &pb);
	SLU_AUTO(slu_freep)
	char *fa = slu_asprintf("%s/%s", slu_manifest_source(a->manifest, sa)->uri, pa);
	SLU_AUTO(slu_freep)
	char *fb = slu_asprintf("%s/%s", slu_manifest_source(b->manifest, sb)->uri, pb);

	return fa && fb && slu_streq(fa, fb);
}

bool slu_tree_sum_stands(const struct slu_tree *t, size_t i)
{
	const struct slu_file *f = slu_manifest_at(t->manifest, i);
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_store *store;

	/* who cannot be asked has not said otherwise */
	return slu_tree_locate(t, i, &store, &path) < 0 ||
	       slu_sum_stands(store, path, f->version, f->id, f->sum);
}

/* 1: yes; 0: no; -1: nobody knows. */
static int told_apart(const struct comparison *c, size_t i, size_t j)
{
	const struct slu_file *a = slu_manifest_at(c->a->manifest, i);
	const struct slu_file *b = slu_manifest_at(c->b->manifest, j);

	if (a->size != b->size)
		return 1;
	if (a->size == 0)
		return 0;
	if (slu_streq(a->id, b->id) && slu_streq(a->sum, b->sum) && same_place(c->a, i, c->b, j))
		return 0;
	if (slu_sums_compare(a->sum, b->sum) && slu_tree_sum_stands(c->a, i) &&
	    slu_tree_sum_stands(c->b, j))
		return !slu_streq(a->sum, b->sum);
	if (same_place(c->a, i, c->b, j))
		return !slu_streq(a->id, b->id);
	return -1;
}

static int add(struct comparison *c, size_t a, size_t b, struct slu_err *e)
{
	struct pair p = {.a = a, .b = b, .what = a == SIZE_MAX ? SLU_ADDED : SLU_REMOVED};
	size_t at = c->pairs.n;
	int apart = 0;

	if (a != SIZE_MAX && b != SIZE_MAX) {
		apart = told_apart(c, a, b);
		p.what = apart > 0 ? SLU_CHANGED : SLU_SAME;
	}
	if (!slu_vec_push(&c->pairs, p) || (apart < 0 && !slu_vec_push(&c->unsure, at)))
		return slu_fail_oom(e);
	return 0;
}

static int merge(struct comparison *c, struct slu_err *e)
{
	const struct slu_manifest *a = c->a->manifest, *b = c->b->manifest;
	size_t i = 0, j = 0, n = slu_manifest_count(a), m = slu_manifest_count(b);
	int r = 0;

	while (r == 0 && (i < n || j < m)) {
		int order =
			i == n   ? 1
			: j == m ? -1
				 : strcmp(slu_manifest_at(a, i)->path, slu_manifest_at(b, j)->path);

		r = add(c, order <= 0 ? i : SIZE_MAX, order >= 0 ? j : SIZE_MAX, e);
		i += order <= 0;
		j += order >= 0;
	}
	return r;
}

/* --- by their bytes --- */

static int read_piece(const struct slu_tree *t, size_t i, uint64_t off, size_t n, void *buf,
		      struct slu_err *e)
{
	const struct slu_file *f = slu_manifest_at(t->manifest, i);
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_store *store;
	struct slu_op op;

	if (slu_tree_locate(t, i, &store, &path) < 0)
		return slu_fail_oom(e);
	slu_op_read(&op, path, off, n, buf, f->id);
	op.size = f->size;
	int r = slu_store_wait(store, &op, e);

	if (r == -ESTALE || r == -ENOENT)
		return slu_fail(e, ESTALE,
				"'%s' is not what it was, so its bytes cannot be compared: freeze "
				"a version to keep them",
				f->path);
	return r;
}

static int read_both(void *user, size_t k, struct slu_err *e)
{
	struct comparison *c = user;
	struct pair *p = &c->pairs.p[c->unsure.p[k]];
	uint64_t size = slu_manifest_at(c->a->manifest, p->a)->size;
	SLU_AUTO(slu_freep) char *x = slu_malloc(PIECE);
	SLU_AUTO(slu_freep) char *y = slu_malloc(PIECE);
	int r = 0;

	if (!x || !y)
		return slu_fail_oom(e);
	for (uint64_t off = 0; off < size && p->what == SLU_SAME; off += PIECE) {
		size_t n = size - off < PIECE ? (size_t)(size - off) : PIECE;

		r = read_piece(c->a, p->a, off, n, x, e);
		if (r == 0)
			r = read_piece(c->b, p->b, off, n, y, e);
		if (r < 0)
			return r;
		if (memcmp(x, y, n) != 0)
			p->what = SLU_CHANGED;
	}
	return 0;
}

static int tell(const struct comparison *c, slu_difference_fn *fn, void *user)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->pairs.n; i++) {
		const struct pair *p = &c->pairs.p[i];

		r = fn(user, p->what,
		       p->a == SIZE_MAX ? NULL : slu_manifest_at(c->a->manifest, p->a),
		       p->b == SIZE_MAX ? NULL : slu_manifest_at(c->b->manifest, p->b));
	}
	return r;
}

static void comparison_done(struct comparison *c)
{
	free(c->pairs.p);
	free(c->unsure.p);
}

int slu_compare(struct sluice *s, const struct slu_tree *before, const struct slu_tree *after,
		slu_difference_fn *fn, void *user, struct slu_err *e)
{
	SLU_AUTO(comparison_done) struct comparison c = {.a = before, .b = after};
	int r = merge(&c, e);

	(void)s;
	if (r == 0)
		r = slu_gang(c.unsure.n, READERS, read_both, &c, e);
	return r < 0 ? r : tell(&c, fn, user);
}

/* --- with what is there now --- */

static bool same_sources(const struct slu_manifest *a, const struct slu_manifest *b)
{
	size_t n = slu_manifest_sources(a);

	if (n != slu_manifest_sources(b))
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct slu_msource *x = slu_manifest_source(a, i);
		const struct slu_msource *y = slu_manifest_source(b, i);

		if (!slu_streq(x->uri, y->uri) || !slu_streq(x->prefix, y->prefix))
			return false;
	}
	return true;
}

struct asking {
	const struct slu_tree *t;
	uint8_t *what; /* of each file */
};

static int ask(void *user, size_t i, struct slu_err *e)
{
	struct asking *a = user;
	const struct slu_file *f = slu_manifest_at(a->t->manifest, i);
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_store *store;
	struct slu_attr attr;

	if (slu_tree_locate(a->t, i, &store, &path) < 0)
		return slu_fail_oom(e);
	int r = slu_store_stat(store, path, &attr, e);

	if (r == -ENOENT || r == -ENOTDIR || (r == 0 && attr.kind != SLU_KIND_FILE))
		a->what[i] = SLU_REMOVED;
	else if (r == 0 && (attr.size != f->size || !slu_streq(attr.id, f->id)))
		a->what[i] = SLU_CHANGED;
	else if (r < 0)
		return r;
	return 0;
}

/* Is it one of the files of d, by its place? */
static bool has(const struct slu_dataset *d, const struct slu_tree *now, size_t i)
{
	const struct slu_file *f = slu_manifest_at(now->manifest, i);
	size_t at = slu_manifest_find(d->tree->manifest, f->path);

	return at != SIZE_MAX && same_place(d->tree, at, now, i);
}

/* One by one; what is new is known from `now` (NULL: nothing is there). */
static int one_by_one(const struct slu_dataset *d, const struct slu_tree *now,
		      slu_difference_fn *fn, void *user, struct slu_err *e)
{
	size_t n = slu_manifest_count(d->tree->manifest);
	SLU_AUTO(slu_freep) uint8_t *what = slu_calloc(n ? n : 1, 1);
	struct asking a = {.t = d->tree, .what = what};

	if (!what)
		return slu_fail_oom(e);
	int r = slu_gang(n, ASKERS, ask, &a, e);

	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct slu_file *f = slu_manifest_at(d->tree->manifest, i);

		r = fn(user, (enum slu_difference)what[i], f, what[i] == SLU_SAME ? f : NULL);
	}
	if (!now || !same_sources(d->tree->manifest, now->manifest))
		return r;
	for (size_t i = 0; r == 0 && i < slu_manifest_count(now->manifest); i++)
		if (!has(d, now, i))
			r = fn(user, SLU_ADDED, NULL, slu_manifest_at(now->manifest, i));
	return r;
}

/* Of one file in one place only its state counts, not its checksum. */
static int by_state(const struct slu_dataset *d, const struct slu_tree *now, slu_difference_fn *fn,
		    void *user)
{
	const struct slu_manifest *a = d->tree->manifest, *b = now->manifest;
	size_t i = 0, j = 0, n = slu_manifest_count(a), m = slu_manifest_count(b);
	int r = 0;

	while (r == 0 && (i < n || j < m)) {
		const struct slu_file *x = i < n ? slu_manifest_at(a, i) : NULL;
		const struct slu_file *y = j < m ? slu_manifest_at(b, j) : NULL;
		int order = !x ? 1 : !y ? -1 : strcmp(x->path, y->path);
		bool same = order == 0 && x->size == y->size && slu_streq(x->id, y->id);

		r = fn(user,
		       order < 0   ? SLU_REMOVED
		       : order > 0 ? SLU_ADDED
		       : same      ? SLU_SAME
				   : SLU_CHANGED,
		       order <= 0 ? x : NULL, order >= 0 ? y : NULL);
		i += order <= 0;
		j += order >= 0;
	}
	return r;
}

int slu_compare_now(struct sluice *s, const struct slu_dataset *d, slu_difference_fn *fn,
		    void *user, struct slu_err *e)
{
	SLU_AUTO(slu_tree_freep) struct slu_tree *now = NULL;
	struct slu_err why = {0};

	/* What is there now of the same names does not matter to earlier states that the store keeps. */
	if (slu_manifest_pinned(d->tree->manifest))
		return one_by_one(d, NULL, fn, user, e);
	int r = slu_resolve_definition(s, d->def, &now, &why);

	/* Nothing there, or a file where a folder was: each file is asked for by its own name. */
	if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -EINVAL) {
		if (e)
			*e = why;
		return r;
	}
	if (now && !slu_definition_chooses(d->def) &&
	    same_sources(d->tree->manifest, now->manifest))
		return by_state(d, now, fn, user);
	return one_by_one(d, now, fn, user, e);
}
