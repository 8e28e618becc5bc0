/* SPDX-License-Identifier: Apache-2.0 */
/* The public API: renaming within one datastore, where its store does that in one step, and making folders. */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>

/* The new path: that of dst, or in it when it is a folder.  Caller frees. */
static int target(const struct slu_place *from, const struct slu_place *to, char **ret,
		  struct slu_err *e)
{
	bool into = to->folder || !to->path[0];
	struct slu_attr a;
	int r;

	if (!into) {
		r = slu_place_stat(to, &a, NULL, e);
		if (r < 0 && r != -ENOENT)
			return r;
		into = r == 0 && a.kind == SLU_KIND_DIR;
	}
	*ret = into ? slu_path_join(to->path, slu_path_base(from->path)) : slu_strdup(to->path);
	return *ret ? 0 : slu_fail_oom(e);
}

static int cannot(const char *src, const char *dst, const char *why, struct slu_err *e)
{
	return slu_fail(e, ENOTSUP,
			"'%s' cannot become '%s' in one step, since %s: copy it with `sluice cp`, "
			"and then remove it with `sluice rm`",
			src, dst, why);
}

static int move(const struct slu_place *from, const struct slu_place *to, const char *src,
		const char *dst, unsigned flags, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	const char *rest;
	struct slu_op op;
	int r;

	if (from->dataset || to->dataset)
		return slu_fail(e, EINVAL, "'%s' is a dataset, and versions are never moved",
				from->dataset ? src : dst);
	if (from->glob || to->glob || !from->path[0])
		return slu_fail(e, EINVAL, "'%s': name one file or folder of a datastore",
				to->glob ? dst : src);
	if (from->store != to->store)
		return cannot(src, dst, "they are in different datastores or folders", e);
	r = target(from, to, &path, e);
	if (r < 0)
		return r;
	rest = slu_after(path, from->path);
	if (rest && *rest == '/')
		return slu_fail(e, EINVAL, "'%s' cannot go into itself", src);
	if (!slu_store_can(from->store, SLU_CAP_RENAME))
		return cannot(src, dst, "a flat container has no rename", e);
	slu_op_rename(&op, from->path, path, flags & SLUICE_OVERWRITE ? 0 : SLU_OPF_ABSENT);
	return slu_store_wait(from->store, &op, e);
}

int sluice_move(struct sluice *s, const char *src, const char *dst, unsigned flags,
		struct sluice_error *e)
{
	SLU_AUTO(slu_place_done) struct slu_place from = {0}, to = {0};
	struct slu_err er = {0};
	int r = slu_place_find(s, src, &from, &er);

	if (r == 0)
		r = slu_api_check_place(s, dst, &er);
	if (r == 0)
		r = slu_place_find(s, dst, &to, &er);
	if (r == 0)
		r = move(&from, &to, src, dst, flags, &er);
	return slu_api_error(e, &er, r);
}

int sluice_mkdir(struct sluice *s, const char *ref, struct sluice_error *e)
{
	SLU_AUTO(slu_place_done) struct slu_place p = {0};
	struct slu_err er = {0};
	struct slu_attr a;
	struct slu_op op;
	int r = slu_api_check_place(s, ref, &er);

	if (r == 0)
		r = slu_place_find(s, ref, &p, &er);
	if (r == 0 && (p.dataset || p.glob || p.version))
		r = slu_fail(&er, EINVAL, "'%s' is no path of a store, where a folder could be",
			     ref);
	bool there = r == 0 && slu_store_stat(p.store, p.path, &a, NULL) == 0;

	if (there && a.kind == SLU_KIND_FILE)
		r = slu_fail(&er, EEXIST, "'%s' is a file", ref);
	/* a container that is there needs no right to make one */
	if (r == 0 && !(there && !*p.path)) {
		slu_op_mkdir(&op, p.path);
		r = slu_store_wait(p.store, &op, &er);
	}
	return slu_api_error(e, &er, r);
}
