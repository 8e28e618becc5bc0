/* SPDX-License-Identifier: Apache-2.0 */
/* Ops that wait for a time to come: before another try (retry.c), or because a rule says so (faulty.c).
 * Any thread. */
#ifndef SLU_FS_PARK_H
#define SLU_FS_PARK_H

#include "fs/op.h"

struct slu_park;

int slu_park_new(struct slu_loops *loops, struct slu_park **ret); /* 0 or -ENOMEM */
void slu_park_free(struct slu_park *p);                           /* nothing waits in it */
/* Holds op until `at` (slu_now ns; 0: until it is canceled), then calls fn(op, arg) on a loop's thread,
 * which takes the op over.  A canceled op is finished with -ECANCELED instead.  Returns 0; -ENOMEM or,
 * for an op canceled before, -ECANCELED: then the op is still the caller's. */
int slu_park_op(struct slu_park *p, struct slu_op *op, int64_t at,
		void (*fn)(struct slu_op *op, void *arg), void *arg);
/* After slu_store_cancel has marked op.  True: it waited here, and has been finished. */
bool slu_park_cancel(struct slu_park *p, struct slu_op *op);

#endif
