/* SPDX-License-Identifier: Apache-2.0 */
/* A dataset made from another one by steps over its files. */
#ifndef SLU_DATASET_DERIVE_H
#define SLU_DATASET_DERIVE_H

#include "dataset/resolve.h"

/* The files that the reference pins, or has now, through the steps (a list of transformations, may be
 * NULL).  *ret_source: what the reference is.  The definition is that of the source with the steps behind
 * its own, in front of its reading.  None left: -ENOENT. */
int slu_derive(struct sluice *s, const char *ref, const struct json_t *steps,
	       struct slu_dataset **ret, struct slu_dataset **ret_source, struct slu_err *e);

#endif
