/* SPDX-License-Identifier: Apache-2.0 */
/* Delays between tries: exponential with full jitter, delay = random(0, min(cap, base * 2^try))
 * (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). */
#ifndef SLU_IO_BACKOFF_H
#define SLU_IO_BACKOFF_H

#include <stdint.h>

struct slu_backoff {
	int64_t base_ns, cap_ns;
};

#define SLU_BACKOFF_DEFAULT ((struct slu_backoff){.base_ns = 100000000LL, .cap_ns = 20000000000LL})

/* try counts from 0.  at_least: the server's Retry-After, 0 when it gave none.  Any thread. */
int64_t slu_backoff_delay(const struct slu_backoff *b, unsigned tries, int64_t at_least);
uint64_t slu_random(void); /* per-thread generator seeded by getrandom; not for secrets */

#endif
