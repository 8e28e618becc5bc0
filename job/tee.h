/* SPDX-License-Identifier: Apache-2.0 */
/* A step's stdout and stderr, each into its own log and both, as they come, into std_log.txt. */
#ifndef SLU_JOB_TEE_H
#define SLU_JOB_TEE_H

#include "job/run.h"

struct slu_tee {
	int from[2]; /* read ends: stdout, stderr; -1 at their end */
	int give[2]; /* write ends for the step; closed by slu_tee_given */
	int log[2], both;
	bool full; /* a log could not be written: told once, what follows is dropped */
};

int slu_tee_open(struct slu_tee *t, const struct slu_run *r, struct slu_err *e);
void slu_tee_given(struct slu_tee *t); /* the step has its ends now */
/* Copies what is there from stream i; never waits. */
void slu_tee_pump(struct slu_tee *t, int i);
void slu_tee_close(struct slu_tee *t);

#endif
