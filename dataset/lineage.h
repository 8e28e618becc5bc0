/* SPDX-License-Identifier: Apache-2.0 */
/* Where data came from (slu_registry_lineage of registry.h) and what became of it. */
#ifndef SLU_DATASET_LINEAGE_H
#define SLU_DATASET_LINEAGE_H

#include "dataset/registry.h"

#define SLU_LINEAGE_DEPTH 32
#define SLU_LINEAGE_NODES 2000

/* What was made from dataset `id`: {"ref", "dataset", "used_by": [{"registered", "version", ...,
 * "used_by"}, {"run", "status", "output", ...}]}.  frozen: another id of it, or NULL. */
int slu_lineage_down(struct sluice *s, const char *ref, const char *id, const char *frozen,
		     struct json_t **ret, struct slu_err *e);

#endif
