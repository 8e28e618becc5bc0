/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: removal of objects.  Never of datasets: what is registered stays, and its files are
 * found by its manifest.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/vec.h"
#include "dataset/filter.h"
#include "fs/remove.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

static const struct sluice_remove_options no_options = SLUICE_REMOVE_OPTIONS_INIT;

struct removal {
	const struct sluice_remove_options *o;
	struct slu_filter filter;
	SLU_VEC(char *) paths;
	SLU_VEC(char *) trees; /* folders that a pattern matches */
	size_t parts;          /* of that pattern */
	size_t strip;          /* bytes of a path before what is relative to the operand */
	char *base;            /* slu_api_shown_base */
	bool keep;             /* a dry run */
};

static const char *below(const struct removal *r, const char *path)
{
	path += r->strip;
	while (*path == '/')
		path++;
	return path;
}

/* Tells of a file in the words of the caller. */
static void tell(const struct removal *r, const char *path, uint64_t size,
		 const struct sluice_error *error)
{
	SLU_AUTO(slu_freep) char *shown = slu_asprintf("%s%s", r->base, below(r, path));

	if (r->o->file)
		r->o->file(r->o->user, shown ? shown : path, NULL, size, error);
}

static int on_file(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	struct removal *r = user;
	const char *rel = below(r, path);
	char *copy;

	if (!slu_filter_takes(&r->filter, *rel ? rel : path))
		return 0;
	if (r->keep) {
		tell(r, path, a->size, NULL);
		return 0;
	}
	copy = slu_strdup(path);
	if (copy && slu_vec_push(&r->paths, copy))
		return 0;
	free(copy);
	return slu_fail_oom(e);
}

static void failed(void *user, const char *path, const struct slu_err *why)
{
	const struct removal *r = user;
	struct sluice_error e;

	slu_api_error(&e, why, -why->code);
	tell(r, path, 0, &e);
}

/* The folder that the pattern itself matches, above a file in it: once. */
static int on_below(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	struct removal *r = user;
	const char *end = path - 1, *last = r->trees.n ? r->trees.p[r->trees.n - 1] : NULL;
	char *copy;

	if (r->keep)
		return on_file(user, path, a, e);
	for (size_t i = 0; i < r->parts && end; i++)
		end = strchr(end + 1, '/');
	if (!end || (last && !strncmp(path, last, (size_t)(end - path)) && !last[end - path]))
		return 0;
	copy = slu_strndup(path, (size_t)(end - path));
	if (copy && slu_vec_push(&r->trees, copy))
		return 0;
	free(copy);
	return slu_fail_oom(e);
}

/* The folders that a pattern matches, with all in them: not one with `**` or alternatives, which say
 * themselves how deep they go.  -ENOENT: none. */
static int remove_folders(struct removal *r, const struct slu_place *p, struct slu_err *e)
{
	struct slu_remove_opts o = {.failed = failed, .user = r};
	SLU_AUTO(slu_freep) char *below = NULL;
	int rc;

	if (strstr(p->path, "**") || strchr(p->path, '{'))
		return -ENOENT;
	below = slu_asprintf("%s/**", p->path);
	if (!below)
		return slu_fail_oom(e);
	r->parts = 1;
	for (const char *s = p->path; *s; s++)
		r->parts += *s == '/';
	rc = slu_walk_glob(p->store, below, on_below, r, NULL);
	for (size_t i = 0; i < r->trees.n; i++) {
		if (rc == 0)
			rc = slu_remove_tree(p->store, r->trees.p[i], &o, e);
		free(r->trees.p[i]);
	}
	free(r->trees.p);
	return rc;
}

/* Of a pattern, or of a folder, what the filter takes: file by file. */
static int remove_matches(struct removal *r, const struct slu_place *p, struct slu_err *e)
{
	struct slu_remove_opts o = {.failed = failed, .user = r};
	int rc = p->glob ? slu_walk_glob(p->store, p->path, on_file, r, e)
			 : slu_walk_with(p->store, p->path, SLU_WALK_NO_SUMS, on_file, r, e);

	if (rc == 0 && !r->keep)
		rc = slu_remove(p->store, (const char *const *)r->paths.p, r->paths.n, &o, e);
	for (size_t i = 0; i < r->paths.n; i++)
		free(r->paths.p[i]);
	free(r->paths.p);
	return rc;
}

static int remove_pattern(struct removal *r, const struct slu_place *p, const char *ref,
			  bool recursive, struct slu_err *e)
{
	int gone = -ENOENT, rc;

	r->strip = slu_glob_prefix(p->path);
	r->base = slu_api_shown_base(ref, false, true);
	if (!r->base)
		return slu_fail_oom(e);
	if (recursive && !slu_filter_any(&r->filter))
		gone = remove_folders(r, p, e);
	if (gone < 0 && gone != -ENOENT)
		return gone;
	rc = remove_matches(r, p, e);
	return rc == -ENOENT && gone == 0 ? 0 : rc;
}

static int remove_place(struct removal *r, const struct slu_place *p, const char *ref,
			bool recursive, struct slu_err *e)
{
	struct slu_remove_opts o = {.failed = failed, .user = r};
	struct slu_attr a;
	int rc;

	if (p->dataset)
		return slu_fail(
			e, EINVAL,
			"'%s' is a dataset, and versions are never removed; name its files by "
			"the path of their datastore",
			ref);
	if (p->glob)
		return remove_pattern(r, p, ref, recursive, e);
	if (!p->path[0])
		return slu_fail(e, EINVAL,
				"'%s' is the root of a datastore; name what in it is to go", ref);
	rc = slu_store_stat(p->store, p->path, &a, e);
	if (rc < 0)
		return rc;
	if (a.kind == SLU_KIND_DIR && !recursive)
		return slu_fail(e, EISDIR, "'%s' is a folder; give --recursive to remove it", ref);
	r->strip = strlen(p->path);
	r->base = slu_api_shown_base(ref, a.kind == SLU_KIND_FILE, false);
	if (!r->base)
		return slu_fail_oom(e);
	if (r->keep || slu_filter_any(&r->filter))
		return remove_matches(r, p, e);
	if (a.kind == SLU_KIND_DIR)
		return slu_remove_tree(p->store, p->path, &o, e);
	rc = slu_store_delete(p->store, p->path, 0, e);
	/* in a flat container a name may be a file and a folder */
	if (rc == 0 && recursive && !slu_store_can(p->store, SLU_CAP_REAL_DIRS))
		rc = slu_remove_tree(p->store, p->path, &o, e);
	return rc;
}

int sluice_remove(struct sluice *s, const char *ref, const struct sluice_remove_options *o,
		  struct sluice_error *e)
{
	SLU_AUTO(slu_place_done) struct slu_place p = {0};
	struct removal r = {.o = o ? o : &no_options};
	struct slu_err er = {0};
	int rc = 0;

	if (r.o->size != sizeof no_options)
		rc = slu_fail(&er, EINVAL, "sluice_remove_options.size is %zu, not %zu", r.o->size,
			      sizeof no_options);
	r.keep = r.o->flags & SLUICE_DRY_RUN;
	if (rc == 0) {
		r.filter = (struct slu_filter){r.o->include, r.o->exclude};
		rc = slu_filter_check(&r.filter, &er);
	}
	if (rc == 0)
		rc = slu_place_find(s, ref, &p, &er);
	if (rc == 0)
		rc = remove_place(&r, &p, ref, r.o->flags & SLUICE_RECURSIVE, &er);
	free(r.base);
	return slu_api_error(e, &er, rc);
}
