/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reader does about a run: whoever finds a supervisor dead before its run was decided declares
 * the run Failed; whoever finds it decided but not written down, registers and writes that down.  All
 * of it is idempotent and any number of readers may do it at once: outcome.json decides.
 */
#ifndef SLU_JOB_SETTLE_H
#define SLU_JOB_SETTLE_H

#include "job/alive.h"
#include "job/run.h"

/* An outcome as dataset/outcome.h puts it, with empty outputs.  exit_code < 0: none.  NULL: no memory. */
struct json_t *slu_outcome_new(const char *run, const char *status, const char *reason,
			       int exit_code, const char *by);
/* Puts the outcome (taken) or learns the one that stands; *ret is the one that counts, caller frees. */
int slu_outcome_decide(struct sluice *s, const char *run, struct json_t *outcome, bool *ret_won,
		       struct json_t **ret, struct slu_err *e);
/* Writes into the record what the outcome says; registered: {"OUTPUT": {"name","version"}} or NULL. */
int slu_run_finish(struct slu_run *r, const struct json_t *outcome, const struct json_t *registered,
		   struct slu_err *e);

/* root: the record of a run without parent, just read.  Afterwards its doc and those of its children are
 * up to date.  *ret_alive (may be NULL) is only told of runs that are not over. */
int slu_run_settle(struct slu_run *root, struct slu_alive *ret_alive, struct slu_err *e);
/* Opens a run for a reader, after the run that it is part of was settled.  *ret_status: what it is now,
 * NotResponding included; valid as long as *ret. */
int slu_run_look(struct sluice *s, const char *id, struct slu_run **ret, const char **ret_status,
		 struct slu_err *e);
/* The status of a run whose supervisor is late: how it was decided, else NotResponding. */
const char *slu_run_late_status(struct slu_run *r);
/* Calls fn for each child of a run that is there.  A child that cannot be read is an error. */
int slu_run_children(const struct slu_run *r,
		     int (*fn)(void *user, struct slu_run *child, const char *step,
			       struct slu_err *e),
		     void *user, struct slu_err *e);

#endif
