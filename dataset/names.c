/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What datasets there are and what versions each has, by one listing.  A folder may be there whose record never came.
 */
#include "dataset/names.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "fs/walk.h"

#include <errno.h>
#include <stdlib.h>

void slu_names_done(struct slu_names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->p[i]);
	free(l->p);
}

static int add(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	struct slu_names *l = user;
	const char *base = slu_path_base(path);

	if (attr->kind != SLU_KIND_DIR || !slu_is_name(base))
		return 0;
	char *copy = slu_strdup(base);

	if (!copy || !slu_vec_push(l, copy)) {
		free(copy);
		return slu_fail_oom(e);
	}
	return 0;
}

int slu_names_list(const struct slu_registry *g, const char *path, struct slu_names *l,
		   struct slu_err *e)
{
	int r = slu_walk_dir(g->store, path, add, l, e);

	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}
