/* SPDX-License-Identifier: Apache-2.0 */
/* Compute files of the Azure ML CLI, version 2. */
#ifndef SLU_JOB_COMPUTE_YAML_H
#define SLU_JOB_COMPUTE_YAML_H

#include "common/err.h"
#include "common/json.h"

/* {"name", "entry": as config.json has it, "notes": [TEXT]}.  Mistakes with line and column. */
int slu_compute_yaml(const char *path, struct json_t **ret, struct slu_err *e);

#endif
