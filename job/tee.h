/* SPDX-License-Identifier: Apache-2.0 */
/* A step's stdout and stderr, each into its own log as it comes, and both into std_log.txt, there by whole lines. */
#ifndef SLU_JOB_TEE_H
#define SLU_JOB_TEE_H

#include "job/run.h"

/* A longer line comes into std_log.txt in pieces. */
enum { SLU_TEE_LINE = 16 << 10 };

struct slu_tee {
	int from[2]; /* read ends: stdout, stderr; -1 at their end */
	int give[2]; /* write ends for the step; closed by slu_tee_given */
	int log[2], both;
	char line[2][SLU_TEE_LINE]; /* the begin of a line that is not whole yet, for std_log.txt */
	size_t held[2];             /* bytes of it */
	int open_line; /* the stream whose line std_log.txt stands in the midst of; -1: none */
	bool full;     /* a log could not be written: told once, what follows is dropped */
};

int slu_tee_open(struct slu_tee *t, const struct slu_run *r, struct slu_err *e);
void slu_tee_given(struct slu_tee *t); /* the step has its ends now */
/* Copies what is there from stream i; never waits. */
void slu_tee_pump(struct slu_tee *t, int i);
void slu_tee_close(struct slu_tee *t);

#endif
