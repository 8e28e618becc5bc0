/* SPDX-License-Identifier: Apache-2.0 */
/* Following a run. */
#ifndef SLU_JOB_WATCH_H
#define SLU_JOB_WATCH_H

#include "job/run.h"

/* {"run", "step"?, "status", "time", "reason"?, "exit_code"?,
 * "reused_from"?}, in order of time; non-zero ends it. */
typedef int slu_watch_fn(void *user, const struct json_t *event);

/* Tells every state of the run and its children, those that are past first, until it is over; with output also
 * what their programs print, as {"run", "step"?, "output"}.  Reacts to
 * changes of the records and to the supervisor's death at once (inotify, pidfd), otherwise within a
 * second.  0 Completed, -ECHILD Failed, -ECANCELED Canceled, with *e saying why; fn's result. */
int slu_watch(struct sluice *s, const char *run, bool output, slu_watch_fn *fn, void *user,
	      struct slu_err *e);

#endif
