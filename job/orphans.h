/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a supervisor that was killed may leave on this machine when what watches its steps, or serves its mounts, was
 * killed too: processes of a step, mounts that nobody serves.
 */
#ifndef SLU_JOB_ORPHANS_H
#define SLU_JOB_ORPHANS_H

#include "job/run.h"

/* Kills this user's processes that have the run's id in their environment, and waits a little for their end. */
void slu_orphans_kill(const struct slu_run *r);
/* Unmounts what is mounted below the run's folder; what is in use is detached. */
void slu_orphans_unmount(const struct slu_run *r);

#endif
