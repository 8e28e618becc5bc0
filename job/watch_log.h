/* SPDX-License-Identifier: Apache-2.0 */
/* Following what a program prints: its run's std_log.txt, piece by piece. */
#ifndef SLU_JOB_WATCH_LOG_H
#define SLU_JOB_WATCH_LOG_H

#include "job/run.h"

struct slu_watch_log {
	int dir;       /* the run's folder; -1: it is not on this machine */
	int fd;        /* of the log; -1: it is not there yet */
	uint64_t told; /* bytes */
	bool spark;    /* what Spark says of its work is left out; the log has it */
};
#define SLU_WATCH_LOG                                                                              \
	{                                                                                          \
		.dir = -1, .fd = -1                                                                \
	}

/* notify: an inotify descriptor that is to wake when the log grows, or -1. */
void slu_watch_log_open(struct slu_watch_log *l, const struct slu_run *r, int notify);
/* Text that was not told yet, whole lines unless ended: the caller's; NULL: nothing.  Bytes that are
 * not UTF-8 are percent-encoded, zeros are '?'. */
struct json_t *slu_watch_log_next(struct slu_watch_log *l, bool ended);
void slu_watch_log_done(struct slu_watch_log *l);

#endif
