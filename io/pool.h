/* SPDX-License-Identifier: Apache-2.0 */
/* Worker threads for what blocks: disk, hashing, name look-ups.  FIFO per priority. */
#ifndef SLU_IO_POOL_H
#define SLU_IO_POOL_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>

struct slu_pool;

/* One piece of work, in the caller's memory until fn is called (fn may free it). */
struct slu_work {
	void (*fn)(struct slu_work *w); /* on a pool thread; may block */
	struct slu_work *next;
	bool low; /* prefetch and the like: after all others */
};

/* threads 0: 2 x cores, at least 4; started as needed, never stopped before free. */
int slu_pool_new(unsigned threads, struct slu_pool **ret, struct slu_err *e);
void slu_pool_add(struct slu_pool *p, struct slu_work *w); /* any thread; never fails */
/* Takes back work that no thread has begun.  True: fn will not run. */
bool slu_pool_cancel(struct slu_pool *p, struct slu_work *w);
void slu_pool_free(struct slu_pool *p); /* runs what is queued, joins */
SLU_DEFINE_CLEANUP(struct slu_pool *, slu_pool_free, slu_pool_freep)

#endif
