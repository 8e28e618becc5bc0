/* SPDX-License-Identifier: Apache-2.0 */
/* The folders of a folder of the registry: datasets, versions. */
#ifndef SLU_DATASET_NAMES_H
#define SLU_DATASET_NAMES_H

#include "common/cleanup.h"
#include "dataset/record.h"

struct slu_names {
	char **p; /* sorted by bytes */
	size_t n, cap;
};

void slu_names_done(struct slu_names *l); /* frees the contents */
/* Those whose names are names; path: in the store.  None when there is no such folder. */
int slu_names_list(const struct slu_registry *g, const char *path, struct slu_names *l,
		   struct slu_err *e);

#endif
