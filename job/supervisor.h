/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor: the process that runs one job, with all its steps, to its end. */
#ifndef SLU_JOB_SUPERVISOR_H
#define SLU_JOB_SUPERVISOR_H

#include "dataset/context.h"

/* The descriptor at which a supervisor may find the run's lock, handed down by whoever made the run. */
#define SLU_SUPERVISOR_LOCK_FD 3

/* Runs it in this process: 0 Completed, -ECHILD Failed, -ECANCELED Canceled (e says why), -ESTALE when
 * somebody else had declared the run ended.  SIGTERM, SIGINT and SIGHUP cancel.  One a process. */
int slu_supervise(struct sluice *s, const char *run, struct slu_err *e);

#endif
