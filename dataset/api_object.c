/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API, part two: listing, stat, and reading of single objects.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "fs/forward.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

struct sluice_file {
	struct slu_place place; /* keeps the dataset's tree alive; empty in a match of a pattern */
	struct slu_store *store;
	char *path;
	char id[SLU_ID_MAX];
	uint64_t size;
	struct slu_forward *forward;
};

/* --- listing --- */

struct lister {
	sluice_entry_fn *fn;
	void *user;
	size_t strip; /* bytes of the path that are the listed folder */
	const char *detail;
};

static int give(const struct lister *l, const char *path, const struct slu_attr *a)
{
	struct sluice_entry entry = {
		.path = path,
		.is_dir = a->kind == SLU_KIND_DIR,
		.size = a->size,
		.mtime_ns = a->mtime_ns,
		.identity = a->kind == SLU_KIND_DIR ? "" : a->id,
		.detail = l->detail,
	};

	return l->fn(l->user, &entry);
}

static int list_entry(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	const struct lister *l = user;
	const char *rel = path + l->strip;

	(void)e;
	while (*rel == '/')
		rel++;
	return give(l, rel, a);
}

/* The entries of a manifest; without recursion a folder stands once, for all below it. */
static int list_manifest(const struct slu_manifest *m, bool recursive, const struct lister *l)
{
	SLU_AUTO(slu_freep) char *last = NULL;

	for (size_t i = 0; i < slu_manifest_count(m); i++) {
		const struct slu_file *f = slu_manifest_at(m, i);
		const char *slash = recursive ? NULL : strchr(f->path, '/');
		struct slu_attr a = {.kind = slash ? SLU_KIND_DIR : SLU_KIND_FILE};
		int r;

		if (slash) {
			size_t n = (size_t)(slash - f->path);

			if (last && strlen(last) == n && memcmp(last, f->path, n) == 0)
				continue;
			free(last);
			last = slu_strndup(f->path, n);
			if (!last)
				return -ENOMEM;
			a.mtime_ns = f->mtime_ns;
			r = give(l, last, &a);
		} else {
			a.size = f->size;
			a.mtime_ns = f->mtime_ns;
			snprintf(a.id, sizeof a.id, "%s", f->id);
			r = give(l, f->path, &a);
		}
		if (r != 0)
			return r;
	}
	return 0;
}

static int list_place(const struct slu_place *p, bool recursive, struct lister *l,
		      struct slu_err *e)
{
	struct slu_attr a;

	if (p->dataset)
		return list_manifest(p->dataset->tree->manifest, recursive, l);
	if (p->glob) {
		l->strip = slu_glob_prefix(p->path);
		return slu_walk_glob(p->store, p->path, list_entry, l, e);
	}
	int r = slu_place_stat(p, &a, NULL, e);

	if (r < 0)
		return r;
	if (a.kind == SLU_KIND_FILE)
		return give(l, slu_path_base(p->path), &a);
	l->strip = strlen(p->path);
	return recursive ? slu_walk_with(p->store, p->path, SLU_WALK_NO_SUMS, list_entry, l, e)
			 : slu_walk_dir(p->store, p->path, list_entry, l, e);
}

int sluice_list(struct sluice *s, const char *ref, unsigned flags, sluice_entry_fn *fn, void *user,
		struct sluice_error *e)
{
	SLU_AUTO(slu_place_done) struct slu_place p = {0};
	struct lister l = {.fn = fn, .user = user};
	struct slu_err er = {0};
	int r = slu_place_find(s, ref, &p, &er);

	if (r == 0)
		r = list_place(&p, flags & SLUICE_RECURSIVE, &l, &er);
	return slu_api_error(e, &er, slu_resolve_hint(s, ref, r, &er));
}

static int stat_dataset(const struct slu_dataset *d, const char *ref, const struct lister *l)
{
	const struct slu_manifest *m = d->tree->manifest;
	struct slu_attr a = {.kind = SLU_KIND_DIR, .size = slu_manifest_bytes(m)};

	for (size_t i = 0; i < slu_manifest_count(m); i++)
		if (slu_manifest_at(m, i)->mtime_ns > a.mtime_ns)
			a.mtime_ns = slu_manifest_at(m, i)->mtime_ns;
	if (d->tree->single_file) {
		const struct slu_file *f = slu_manifest_at(m, 0);

		a.kind = SLU_KIND_FILE;
		snprintf(a.id, sizeof a.id, "%s", f->id);
		return give(l, f->path, &a);
	}
	return give(l, ref, &a);
}

static int stat_place(const struct slu_place *p, struct lister *l, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *detail = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_attr a;
	int r = slu_place_stat(p, &a, &detail, e);

	if (r < 0)
		return r;
	if (detail && !(text = slu_json_text(detail, SLU_JSON_COMPACT)))
		return slu_fail_oom(e);
	l->detail = text;
	return give(l, p->path[0] ? p->path : "/", &a);
}

struct matches {
	struct slu_store *store;
	SLU_VEC(struct sluice_file) v;
};

static int add_match(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	struct matches *m = user;
	struct sluice_file f = {.store = m->store, .size = a->size, .path = slu_strdup(path)};

	memcpy(f.id, a->id, sizeof f.id);
	if (f.path && slu_vec_push(&m->v, f))
		return 0;
	free(f.path);
	return slu_fail_oom(e);
}

static void matches_done(struct matches *m)
{
	for (size_t i = 0; i < m->v.n; i++)
		free(m->v.p[i].path);
	free(m->v.p);
}

static int stat_matches(const struct slu_place *p, struct lister *l, struct slu_err *e)
{
	SLU_AUTO(matches_done) struct matches m = {.store = p->store};
	int r = slu_walk_glob(p->store, p->path, add_match, &m, e);

	for (size_t i = 0; r == 0 && i < m.v.n; i++) {
		struct slu_place one = {.store = p->store, .path = m.v.p[i].path};

		r = stat_place(&one, l, e);
	}
	return r;
}

int sluice_stat(struct sluice *s, const char *ref, sluice_entry_fn *fn, void *user,
		struct sluice_error *e)
{
	SLU_AUTO(slu_place_done) struct slu_place p = {0};
	struct lister l = {.fn = fn, .user = user};
	struct slu_err er = {0};
	int r = slu_place_find(s, ref, &p, &er);

	if (r == 0 && p.glob)
		r = stat_matches(&p, &l, &er);
	else if (r == 0 && p.dataset)
		r = stat_dataset(p.dataset, ref, &l);
	else if (r == 0) {
		r = stat_place(&p, &l, &er);
	}
	return slu_api_error(e, &er, slu_resolve_hint(s, ref, r, &er));
}

/* --- reading --- */

static int open_file(struct slu_place *p, const char *ref, struct sluice_file *f, struct slu_err *e)
{
	if (p->dataset) {
		const struct slu_manifest *m = p->dataset->tree->manifest;

		if (slu_manifest_count(m) != 1)
			return slu_fail(
				e, EISDIR,
				"'%s' has %zu files; name one, as '%s/NAME' (`sluice ls` shows them)",
				ref, slu_manifest_count(m), ref);
		const struct slu_file *mf = slu_manifest_at(m, 0);

		snprintf(f->id, sizeof f->id, "%s", mf->id);
		f->size = mf->size;
		int r = slu_tree_locate(p->dataset->tree, 0, &f->store, &f->path);
		return r < 0 ? slu_fail_oom(e) : 0;
	}
	struct slu_attr a;

	if (p->glob)
		return slu_fail(e, EINVAL, "'%s' is a pattern; name one file", ref);
	int r = slu_place_stat(p, &a, NULL, e);

	if (r < 0)
		return r;
	if (a.kind != SLU_KIND_FILE)
		return slu_fail(e, EISDIR, "'%s' is a folder; name a file", ref);
	f->store = p->store;
	f->size = a.size;
	snprintf(f->id, sizeof f->id, "%s", a.id);
	f->path = slu_strdup(p->path);
	return f->path ? 0 : slu_fail_oom(e);
}

/* f stays where it is. */
static int ready(struct sluice_file *f, struct slu_err *e)
{
	struct slu_forward_file file = {.store = f->store,
					.path = f->path,
					.id = f->id[0] ? f->id : NULL,
					.version = f->place.version,
					.size = f->size};

	return slu_forward_new(&file, &f->forward) < 0 ? slu_fail_oom(e) : 0;
}

int sluice_file_open(struct sluice *s, const char *ref, struct sluice_file **ret,
		     uint64_t *ret_size, struct sluice_error *e)
{
	struct slu_err er = {0};
	struct sluice_file *f = slu_new0(struct sluice_file);
	int r = f ? slu_context_default_cache(s, &er) : slu_fail_oom(&er);

	if (r == 0)
		r = slu_place_find(s, ref, &f->place, &er);
	if (r == 0)
		r = open_file(&f->place, ref, f, &er);
	r = slu_resolve_hint(s, ref, r, &er);
	if (r == 0)
		r = ready(f, &er);
	if (r < 0) {
		sluice_file_close(f);
		return slu_api_error(e, &er, r);
	}
	*ret = f;
	if (ret_size)
		*ret_size = f->size;
	return 0;
}

int sluice_file_pread(struct sluice_file *f, void *buf, size_t n, uint64_t off, size_t *ret_got,
		      struct sluice_error *e)
{
	struct slu_err er = {0};

	if (off >= f->size)
		n = 0;
	else if (n > f->size - off)
		n = (size_t)(f->size - off);
	int r = slu_forward_read(f->forward, buf, n, off, &er);

	if (r < 0)
		return slu_api_error(e, &er, r);
	*ret_got = n;
	return 0;
}

const char *sluice_file_identity(const struct sluice_file *f)
{
	return f->id;
}

void sluice_file_close(struct sluice_file *f)
{
	if (!f)
		return;
	slu_forward_free(f->forward);
	slu_place_done(&f->place);
	free(f->path);
	free(f);
}

static int each(struct sluice_file *f, sluice_opened_fn *fn, void *user, struct slu_err *e)
{
	int r = ready(f, e);

	if (r < 0)
		return r;
	r = fn(user, f->path, f, f->size);
	slu_forward_free(slu_take(f->forward));
	return r;
}

int sluice_file_each(struct sluice *s, const char *ref, sluice_opened_fn *fn, void *user,
		     struct sluice_error *e)
{
	SLU_AUTO(slu_place_done) struct slu_place p = {0};
	struct sluice_file *f = NULL;
	struct slu_err er = {0};
	uint64_t size;
	int r = slu_place_find(s, ref, &p, &er);

	if (r == 0 && p.glob) {
		SLU_AUTO(matches_done) struct matches m = {.store = p.store};

		r = slu_walk_glob(p.store, p.path, add_match, &m, &er);
		for (size_t i = 0; r == 0 && i < m.v.n; i++)
			r = each(&m.v.p[i], fn, user, &er);
		return slu_api_error(e, &er, r);
	}
	if (r < 0)
		return slu_api_error(e, &er, slu_resolve_hint(s, ref, r, &er));
	r = sluice_file_open(s, ref, &f, &size, e);
	if (r == 0)
		r = fn(user, f->path, f, size);
	sluice_file_close(f);
	return r;
}
