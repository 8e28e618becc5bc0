/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which DataNodes of a pipeline stand still.  One that is stopped or cut off holds up those before it, and from
 * outside only the first is seen to do nothing; so each is asked something that any of them answers at once.  On the
 * loop's thread.
 */
#ifndef SLU_HDFS_PIPE_PROBE_H
#define SLU_HDFS_PIPE_PROBE_H

#include "hdfs/pipeline.h"

struct slu_pipe_probe;

/* Asks all DataNodes of p, at most 64, for at most `wait`.  done() gets a bit for each that did not answer, and comes
 * once, later.  What p points to stays until then.  -ENOMEM. */
int slu_pipe_probe_new(const struct slu_pipe *p, int64_t wait,
		       void (*done)(void *user, uint64_t still), void *user,
		       struct slu_pipe_probe **ret);
void slu_pipe_probe_free(
	struct slu_pipe_probe *b); /* without done(), if that did not come; NULL fine */

#endif
