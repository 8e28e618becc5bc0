/* SPDX-License-Identifier: Apache-2.0 */
/* What the views show: a manifest and, for each of its sources, the store and the folder in it. */
#ifndef SLU_FS_TREE_H
#define SLU_FS_TREE_H

#include "fs/manifest.h"
#include "fs/store.h"

struct slu_tree_source {
	struct slu_store *store;  /* borrowed: lives longer than the tree; or `pinned` */
	struct slu_store *pinned; /* owned: the layer that slu_tree_pin put over it, or NULL */
	char *base;               /* relative store path of the folder */
};

struct slu_tree {
	struct slu_manifest *manifest; /* owned */
	char *glob; /* of one source: the pattern below its folder that its files were found by; NULL: unknown */
	struct slu_tree_source *sources; /* one for each manifest source, in that order */
	bool single_file; /* made from one file path: views may show the file itself (azureml.md 2.3) */
};

/* Of a manifest with versions: from here on what is read of its files by the tree's stores is those, whatever became
 * of the files since.  Else nothing is done.  -ENOTSUP: a store keeps none. */
int slu_tree_pin(struct slu_tree *t, struct slu_err *e);
void slu_tree_free(struct slu_tree *t);
SLU_DEFINE_CLEANUP(struct slu_tree *, slu_tree_free, slu_tree_freep)
/* The store of file i; *ret_path is its path there, caller frees.  -ENOMEM only. */
int slu_tree_locate(const struct slu_tree *t, size_t i, struct slu_store **ret, char **ret_path);

#endif
