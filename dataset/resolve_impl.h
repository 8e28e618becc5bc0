/* SPDX-License-Identifier: Apache-2.0 */
/* What resolve*.c and definition.c share. */
#ifndef SLU_DATASET_RESOLVE_IMPL_H
#define SLU_DATASET_RESOLVE_IMPL_H

#include "dataset/resolve.h"

/* -ENOENT for a canonical path or pattern, with the store and what was listed in the nearest folder that
 * exists. */
int slu_resolve_missing(struct sluice *s, const struct slu_uri *c, struct slu_err *e);
/* The dataset that a job's output is, whole: u->path is the caller's. */
int slu_resolve_job(struct sluice *s, const struct slu_uri *u, struct slu_dataset **ret,
		    struct slu_err *e);

#endif
