/* SPDX-License-Identifier: Apache-2.0 */
/* A run made again from its record: the steps that are wanted run, the others take what they wrote. */
#ifndef SLU_JOB_RERUN_H
#define SLU_JOB_RERUN_H

#include "job/launch.h"

/* Of a job that is to be launched: which of its steps run, and whose outputs the others take. */
struct slu_rerun {
	char *of;            /* the run that is made again */
	struct slu_job *job; /* as its records say */
	size_t n;            /* of its steps */
	char **from; /* of each step: the run that it takes; NULL: it runs, whatever ran before */
};

/* Reads the records of a run that is over.  steps: array of names, with all that need them, or NULL: those that
 * did not complete, with all that need them; of a run that is no pipeline the one.  Code is taken from
 * where it was, or, when that is gone, from the run's copy. */
int slu_rerun_read(struct sluice *s, const char *run, const struct json_t *steps,
		   struct slu_rerun *ret, struct slu_err *e);
void slu_rerun_done(struct slu_rerun *a); /* job is freed unless it was taken */

#endif
