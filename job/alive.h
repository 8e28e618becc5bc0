/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the supervisor of a run alive?  Three marks in the run's folder:
 *
 *   alive.lock  flock(2) held from before the supervisor starts until its last descriptor is gone: it
 *               is taken by whoever makes the run and handed down, so there is no moment without
 *   alive.json  {"host", "boot", "ns", "pid", "start"}: whom the lock means
 *   its time    renewed every beat by the supervisor's main loop
 *
 * Same host and boot: a free lock, or a process that is gone, is death; a held lock with a late beat is not
 * (stopped, or a machine under load): such a run does not respond and only a person decides.  Another
 * machine: no beat for dead_after (60 s; SLUICE_DEAD_AFTER) is taken for death.
 */
#ifndef SLU_JOB_ALIVE_H
#define SLU_JOB_ALIVE_H

#include "job/run.h"

#include <stdint.h>
#include <sys/types.h>

enum slu_life { SLU_LIFE_ALIVE, SLU_LIFE_LATE, SLU_LIFE_DEAD };

struct slu_alive {
	enum slu_life life;
	bool same_host; /* pid and start mean something here */
	pid_t pid;      /* 0: no supervisor has begun yet */
	uint64_t start;
	bool here;     /* it ran on this machine, since this was started */
	char why[192]; /* of a dead one: how that is known */
};

int64_t slu_alive_dead_after(void); /* ns */
int64_t slu_alive_beat_every(void); /* ns */

/* The lock of a run that this process makes or supervises: a descriptor, or -EBUSY when it is held. */
int slu_alive_lock(const struct slu_run *r, struct slu_err *e);
/* Is fd the run's lock, handed down and held?  Then it gets close-on-exec. */
bool slu_alive_adopt(const struct slu_run *r, int fd);
/* Writes alive.json; pid 0: nobody yet. */
int slu_alive_write(struct slu_run *r, pid_t pid, struct slu_err *e);
int slu_alive_beat(struct slu_run *r, struct slu_err *e);
int slu_alive_judge(struct slu_run *r, struct slu_alive *ret, struct slu_err *e);
/* Waits until no supervisor on this machine holds the lock; false: at the deadline one still does. */
bool slu_alive_await_end(const struct slu_run *r, int64_t deadline);

/* Start time of a process in clock ticks since boot; -ESRCH: there is none, or it has ended. */
int slu_proc_start(pid_t pid, uint64_t *ret);
/* A descriptor for exactly that process, or -ESRCH. */
int slu_proc_open(pid_t pid, uint64_t start);

#endif
