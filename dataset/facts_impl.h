/* SPDX-License-Identifier: Apache-2.0 */
/* What facts.c and facts_put.c share. */
#ifndef SLU_DATASET_FACTS_IMPL_H
#define SLU_DATASET_FACTS_IMPL_H

#include "dataset/facts.h"

/* Fact n of a version, checked.  -ENOENT: none. */
int slu_facts_get(const struct slu_registry *g, const char *name, const char *version, uint64_t n,
		  struct json_t **ret, struct slu_err *e);
/* Puts its state into the record of the version. */
int slu_facts_apply(struct json_t *record, const struct json_t *fact, struct slu_err *e);

#endif
