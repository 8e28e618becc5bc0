/* SPDX-License-Identifier: Apache-2.0 */
/* From a job file to a run with a supervisor of its own. */
#ifndef SLU_JOB_LAUNCH_H
#define SLU_JOB_LAUNCH_H

#include "dataset/context.h"
#include "job/spec.h"

/* Reads and checks everything, then makes the runs (code snapshots included) and starts the supervisor.
 * settings: {"inputs": {...}, "set": {...}, "name": id, "force_rerun": bool} or NULL.  On failure no run is left.  *ret_id: caller frees. */
int slu_launch(struct sluice *s, const char *yaml_path, const struct json_t *settings,
	       char **ret_id, struct slu_err *e);

/* What slu_launch does before it makes anything: {"type", "steps": [{"name", "type", "compute"}], "notes"}. */
int slu_launch_validate(struct sluice *s, const char *yaml_path, const struct json_t *settings,
			struct json_t **ret, struct slu_err *e);

/* The same from the records of a run that is over.  settings: {"steps": [names], "name": id} or NULL: which steps
 * run again, with all that need them (rerun.h); the others take what they wrote. */
int slu_launch_again(struct sluice *s, const char *run, const struct json_t *settings,
		     char **ret_id, struct slu_err *e);

/* check.c: what a job names must be there: datastores, datasets, local paths.  Nothing is listed. */
int slu_launch_check(struct sluice *s, const struct slu_job *job, struct slu_err *e);

#endif
