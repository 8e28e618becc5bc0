/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claims: at most one run at a time writes to a place, to what is above it or to what is below it.
 * A claim is an object of its own, claims/<random>.json, under a name that is never used again:
 *
 *   {"format": 1, "run": ID, "output": NAME, "uri": URI, "place": URI, "time": ...}
 *
 * Put it, then list the others: of two that overlap, whoever listed second sees the first.  So no two
 * runs hold one place; two that start in the same instant may both step back, wait and try again.  A
 * claim is over when it is removed or when its run has an outcome; then anybody may remove it, and
 * because names are never used again nobody can remove a newer one by mistake.
 */
#ifndef SLU_DATASET_CLAIM_H
#define SLU_DATASET_CLAIM_H

#include "dataset/context.h"

/* place: the canonical URI by which overlaps are found, without a trailing '/'; uri: what people read.
 * -EBUSY names the run that is there.  *ret: the claim's path, caller frees. */
int slu_claim_take(struct sluice *s, const char *run, const char *output, const char *place,
		   const char *uri, char **ret, struct slu_err *e);
int slu_claim_drop(struct sluice *s, const char *claim, struct slu_err *e); /* absent is fine */

#endif
