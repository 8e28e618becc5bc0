/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What crashed writers left in a registry, cleared away: only what can be told to be ours by its name and its place,
 * and that nothing that is there points to.
 */
#ifndef SLU_DATASET_GC_H
#define SLU_DATASET_GC_H

#include "dataset/context.h"

/* grace: what is younger (ns) stays, since its writer may go on; claims of runs that are over need none.  *ret:
 * [{"what": "claim|note|generation|segment|temporary|dataset|manifest|question", "path", "bytes", "removed": bool}]; with
 * dry_run nothing is removed. */
int slu_gc(struct sluice *s, int64_t grace, bool dry_run, struct json_t **ret, struct slu_err *e);

#endif
