/* SPDX-License-Identifier: Apache-2.0 */
/* The whole path of a file of a view, from the root of its store or of the local file system: what a partition_format
 * is looked for in. */
#ifndef SLU_DATASET_FULLPATH_H
#define SLU_DATASET_FULLPATH_H

#include "common/vec.h"
#include "dataset/context.h"
#include "fs/manifest.h"

struct slu_full_paths {
	const struct slu_manifest *manifest; /* has to stay */
	SLU_VEC(char *) roots;               /* of each source, plain */
};

/* *ret is to be done with also after an error. */
int slu_full_paths_init(struct sluice *s, const struct slu_manifest *m, struct slu_full_paths *ret,
			struct slu_err *e);
void slu_full_paths_done(struct slu_full_paths *p);
/* path: as the manifest has it.  NULL: no memory; caller frees. */
char *slu_full_path(const struct slu_full_paths *p, const char *path);

#endif
