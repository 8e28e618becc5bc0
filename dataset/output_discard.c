/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run that failed had written, taken away again.  Files that were there before stay, also those that
 * it replaced: their old bytes are gone.
 */
#include "dataset/output_parts.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/vec.h"
#include "fs/remove.h"

#include <errno.h>

typedef SLU_VEC(char *) paths_t;

static void paths_done(paths_t *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->p[i]);
	free(p->p);
}

/* The full paths of the files that were not there before; of those that were and changed the first. */
static int find_new(const struct slu_output *o, const struct slu_manifest *now, paths_t *ret,
		    const char **ret_changed, struct slu_err *e)
{
	bool file = slu_output_is_file(o);

	for (size_t i = 0; i < slu_manifest_count(now); i++) {
		const struct slu_file *f = slu_manifest_at(now, i);
		size_t was = slu_manifest_find(o->before, f->path);
		char *path;

		if (was != SIZE_MAX) {
			if (!*ret_changed && !slu_output_same(slu_manifest_at(o->before, was), f))
				*ret_changed = f->path;
			continue;
		}
		path = file ? slu_strdup(o->path) : slu_path_join(o->path, f->path);
		if (!path || !slu_vec_push(ret, path)) {
			free(path);
			return slu_fail_oom(e);
		}
	}
	return 0;
}

static int take_away(const struct slu_output *o, const paths_t *paths, struct slu_err *e)
{
	const struct slu_remove_opts opts = {0};

	/* With its folders, where all of it is ours. */
	if (!slu_manifest_count(o->before) && !slu_output_is_file(o))
		return slu_remove_tree(o->store, o->path, &opts, e);
	return slu_remove(o->store, (const char *const *)paths->p, paths->n, &opts, e);
}

int slu_output_discard(struct slu_output *o, size_t *ret_files, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *now = NULL;
	SLU_AUTO(paths_done) paths_t paths = {0};
	const char *changed = NULL;
	int r;

	if (!o->claim || !o->before)
		return slu_fail(e, EINVAL, "output '%s' is not open: nothing of it is known",
				o->name);
	r = slu_output_list(o->store, o->path, slu_output_is_file(o), o->uri, o->uri, &now, e);
	if (r == 0)
		r = find_new(o, now, &paths, &changed, e);
	if (r == 0 && paths.n)
		r = take_away(o, &paths, e);
	if (r == -ENOENT)
		r = 0;
	if (r < 0)
		return slu_fail_more(e, "output '%s'", o->name);
	if (changed)
		slu_warn("output",
			 "'%s' at '%s' was there before and stays as the run that failed left it",
			 changed, o->uri);
	*ret_files = paths.n;
	return 0;
}
