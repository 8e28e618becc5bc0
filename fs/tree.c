/* SPDX-License-Identifier: Apache-2.0 */
/* What the views show: where each file of a manifest lies.  Owns the manifest, not the stores. */
#include "fs/tree.h"

#include "common/mem.h"
#include "common/path.h"

#include <errno.h>

void slu_tree_free(struct slu_tree *t)
{
	if (!t)
		return;
	for (size_t i = 0; t->manifest && t->sources && i < slu_manifest_sources(t->manifest); i++)
		free(t->sources[i].base);
	free(t->sources);
	slu_manifest_free(t->manifest);
	free(t);
}

int slu_tree_locate(const struct slu_tree *t, size_t i, struct slu_store **ret, char **ret_path)
{
	const char *rest;
	const struct slu_tree_source *s = &t->sources[slu_manifest_locate(t->manifest, i, &rest)];
	char *path = slu_path_join(s->base, rest);

	if (!path)
		return -ENOMEM;
	*ret = s->store;
	*ret_path = path;
	return 0;
}
