/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: removal of objects.  Never of datasets: what is registered stays, and its files are
 * found by its manifest.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/vec.h"
#include "fs/remove.h"
#include "fs/walk.h"

#include <errno.h>

struct removal {
	SLU_VEC(char *) paths;
	bool keep; /* a dry run */
	sluice_file_fn *file;
	void *user;
};

static int on_file(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	struct removal *r = user;
	char *copy;

	if (r->keep) {
		if (r->file)
			r->file(r->user, path, NULL, a->size, NULL);
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

	if (!r->file)
		return;
	slu_api_error(&e, why, -why->code);
	r->file(r->user, path, NULL, 0, &e);
}

static int remove_matches(struct removal *r, const struct slu_place *p, struct slu_err *e)
{
	struct slu_remove_opts o = {.failed = failed, .user = r};
	int rc = slu_walk_glob(p->store, p->path, on_file, r, e);

	if (rc == 0 && !r->keep)
		rc = slu_remove(p->store, (const char *const *)r->paths.p, r->paths.n, &o, e);
	for (size_t i = 0; i < r->paths.n; i++)
		free(r->paths.p[i]);
	free(r->paths.p);
	return rc;
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
		return remove_matches(r, p, e);
	if (!p->path[0])
		return slu_fail(e, EINVAL,
				"'%s' is the root of a datastore; name what in it is to go", ref);
	rc = slu_store_stat(p->store, p->path, &a, e);
	if (rc < 0)
		return rc;
	if (a.kind == SLU_KIND_DIR && !recursive)
		return slu_fail(e, EISDIR, "'%s' is a folder; give --recursive to remove it", ref);
	if (r->keep)
		return slu_walk_with(p->store, p->path, SLU_WALK_NO_SUMS, on_file, r, e);
	return a.kind == SLU_KIND_DIR ? slu_remove_tree(p->store, p->path, &o, e)
				      : slu_store_delete(p->store, p->path, 0, e);
}

int sluice_remove(struct sluice *s, const char *ref, unsigned flags, sluice_file_fn *file,
		  void *user, struct sluice_error *e)
{
	SLU_AUTO(slu_place_done) struct slu_place p = {0};
	struct removal r = {.keep = flags & SLUICE_DRY_RUN, .file = file, .user = user};
	struct slu_err er = {0};
	int rc = slu_place_find(s, ref, &p, &er);

	if (rc == 0)
		rc = remove_place(&r, &p, ref, flags & SLUICE_RECURSIVE, &er);
	return slu_api_error(e, &er, rc);
}
