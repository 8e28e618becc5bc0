/* SPDX-License-Identifier: Apache-2.0 */
/* What the views show: where each file of a manifest lies.  Owns the manifest, not the stores. */
#include "fs/tree.h"

#include "common/mem.h"
#include "common/path.h"
#include "fs/pinned.h"

#include <errno.h>

void slu_tree_free(struct slu_tree *t)
{
	if (!t)
		return;
	for (size_t i = 0; t->manifest && t->sources && i < slu_manifest_sources(t->manifest);
	     i++) {
		free(t->sources[i].base);
		slu_pinned_free(t->sources[i].pinned);
	}
	free(t->sources);
	free(t->glob);
	slu_manifest_free(t->manifest);
	free(t);
}

int slu_tree_pin(struct slu_tree *t, struct slu_err *e)
{
	int r = 0;

	if (!slu_manifest_pinned(t->manifest))
		return 0;
	for (size_t i = 0; r == 0 && i < slu_manifest_sources(t->manifest); i++) {
		struct slu_tree_source *s = &t->sources[i];

		r = slu_pinned_new(s->store, t->manifest, i, s->base, &s->pinned, e);
		if (r == 0)
			s->store = s->pinned;
	}
	return r;
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
