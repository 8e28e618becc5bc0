/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which versions and runs used a dataset: empty objects uses/<dataset id>/data/<name>/<version> and
 * uses/<dataset id>/runs/<run>.  Each is there before the record or outcome that it tells of, so none
 * is missing; one whose record never came, or is another's, says nothing, because who follows it
 * reads the record.
 */
#ifndef SLU_DATASET_USES_H
#define SLU_DATASET_USES_H

#include "dataset/record.h"

/* Before a record: inputs as in it.  Idempotent. */
int slu_uses_version(const struct slu_registry *g, const struct json_t *inputs, const char *name,
		     const char *version, struct slu_err *e);
int slu_uses_run(const struct slu_registry *g, const struct json_t *inputs, const char *run,
		 struct slu_err *e);
/* Do these inputs name this dataset? */
bool slu_uses_has(const struct json_t *inputs, const char *id);

#endif
