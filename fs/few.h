/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue in front of the pool for small pieces of work that meet in one place, such as making files in one
 * folder: the kernel lets one thread in at a time, and the others burn their processor while they wait
 * for it.  So few threads run it, one after another without being woken for each piece.
 *
 * How many: `base`, and one more each time that they turn out to wait for something else, as on a network's
 * file system, up to `max`; fewer again once they do not.
 */
#ifndef SLU_FS_FEW_H
#define SLU_FS_FEW_H

#include "io/pool.h"

#include <pthread.h>
#include <stdint.h>

#define SLU_FEW_MAX 64u

struct slu_few;

struct slu_few_runner {
	struct slu_work work; /* in the pool */
	struct slu_few *q;
	int64_t wall, cpu; /* when the pieces were last counted */
	unsigned pieces;
	bool busy;
};

struct slu_few {
	struct slu_pool *pool;
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t idle;  /* nobody runs it any more */
	struct slu_work *head, **end;
	unsigned base, max, limit, running;
	struct slu_few_runner runner[SLU_FEW_MAX];
};

void slu_few_init(struct slu_few *q, struct slu_pool *pool, unsigned base, unsigned max);
/* Any thread; never fails.  The work's fn may add it again. */
void slu_few_add(struct slu_few *q, struct slu_work *w);
/* Nothing is queued or running any more: waits until the last runner has let go of it. */
void slu_few_done(struct slu_few *q);
unsigned slu_few_limit(struct slu_few *q); /* threads that may run it now */

#endif
