/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one step: Preparing (inputs, outputs, environment), Running (its program), Finalizing
 * (inputs closed, outputs collected), then the outcome, which decides, then registration and the record.
 */
#ifndef SLU_JOB_STEP_H
#define SLU_JOB_STEP_H

#include "job/reuse.h"
#include "job/task.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum slu_step_end { SLU_STEP_COMPLETED, SLU_STEP_FAILED, SLU_STEP_CANCELED };

struct slu_step {
	struct slu_task task;
	struct slu_run *run; /* its record; owned unless it is the root's own */
	bool own_run;
	int cancel_fd;              /* an eventfd: readable when it is to end */
	const char *_Atomic reason; /* why: a string that outlives the step */
	slu_edge_fn *edge;
	void *user;
	const struct rlimit *core; /* RLIMIT_CORE of the program; NULL: as here */
	bool reuse;                /* an earlier run of the same step may be taken */
	int done_fd; /* an eventfd, written when the thread is about to end; -1: none */
	pthread_t thread;
	atomic_bool over; /* set before done_fd is written */

	struct slu_reuse earlier; /* what it is, and the run that is taken */

	/* results, after it was joined */
	enum slu_step_end end;
	bool lost;             /* somebody else had decided how the run ends */
	char why[SLU_ERR_MSG]; /* of a failure */
};

/* Reads the step from its record.  run: taken when own.  On failure slu_step_done is still to be called. */
int slu_step_init(struct slu_step *st, struct slu_run *run, bool own, struct slu_err *e);
void slu_step_done(struct slu_step *st);
/* Runs it from beginning to end on the calling thread, which must live until then. */
void slu_step_run(struct slu_step *st);
/* Asks it to end: SIGTERM, and SIGKILL after a grace.  Any thread; the first reason counts. */
void slu_step_cancel(struct slu_step *st, const char *reason);
/* Ends a step that never ran: its outcome is Canceled. */
void slu_step_skip(struct slu_step *st, const char *reason);

/* How long a program may take to end after SIGTERM. */
#define SLU_STEP_GRACE (5 * SLU_SEC)

#endif
