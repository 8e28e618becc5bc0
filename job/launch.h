/* SPDX-License-Identifier: Apache-2.0 */
/* From a job file to a run with a supervisor of its own. */
#ifndef SLU_JOB_LAUNCH_H
#define SLU_JOB_LAUNCH_H

#include "dataset/context.h"
#include "job/spec.h"

/* Reads and checks everything, then makes the runs (code snapshots included) and starts the supervisor.
 * settings: {"inputs": {...}, "name": id} or NULL.  On failure no run is left.  *ret_id: caller frees. */
int slu_launch(struct sluice *s, const char *yaml_path, const struct json_t *settings,
	       char **ret_id, struct slu_err *e);

/* check.c: what a job names must be there: datastores, datasets, local paths.  Nothing is listed. */
int slu_launch_check(struct sluice *s, const struct slu_job *job, struct slu_err *e);

#endif
