/* SPDX-License-Identifier: Apache-2.0 */
/* Many blocking store operations at a time. */
#ifndef SLU_DATASET_GANG_H
#define SLU_DATASET_GANG_H

#include "common/err.h"

#include <stddef.h>

typedef int slu_gang_fn(void *user, size_t i, struct slu_err *e);

/* Calls fn(user, i, e) for every i in [0, n), on the caller's thread and at most threads - 1 others,
 * and returns when all are done.  Begins nothing new after an error; of several errors that of the
 * lowest i is returned.  The threads are its own, not the pool's: fn waits for store operations that
 * may need a pool thread. */
int slu_gang(size_t n, unsigned threads, slu_gang_fn *fn, void *user, struct slu_err *e);

#endif
