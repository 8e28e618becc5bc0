/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs that are over: finding, hiding, fetching and deleting them.  Data that a run wrote is its datastore's
 * and is touched by none of these.
 */
#ifndef SLU_JOB_KEEP_H
#define SLU_JOB_KEEP_H

#include "job/run.h"

/* Runs as `job list` shows them, newest first.  query, NULL: all that are no step and not archived:
 *   {"archived": "no" | "yes" (too) | "only", "status": STATUS, "experiment": NAME, "parent": RUN (its steps),
 *    "older_than": "30d" (that ended so long ago), "limit": N} */
int slu_run_search(struct sluice *s, const struct json_t *query, struct json_t **ret,
		   struct slu_err *e);

/* Hides a run that is over from lists, or shows it again.  A step: -EINVAL; one that is not over: -EBUSY. */
int slu_run_archive(struct sluice *s, const char *id, bool archived, struct slu_err *e);
/* Removes the folder of a run that is over and those of its steps.  What stays is outcome.json, by which lineage
 * and references to its outputs go on and its id is not used again.  A step: -EINVAL; not over: -EBUSY.
 * After a crash the same call goes on. */
int slu_run_delete(struct sluice *s, const char *id, struct slu_err *e);

/* --- fetch.c --- */

/* Copies into the folder dir (absolute): the logs and what the program wrote to its `outputs` folder, as
 * dir/artifacts/..., or with output that one output, or with all both, outputs as dir/named-outputs/NAME/...; of a
 * pipeline for each step as dir/STEP/....  *ret: {"run", "directory", "files", "bytes"}. */
int slu_run_fetch(struct sluice *s, const char *id, const char *dir, const char *output, bool all,
		  struct json_t **ret, struct slu_err *e);

#endif
