/* SPDX-License-Identifier: Apache-2.0 */
/* Delays between tries, and the random numbers behind them (SplitMix64, by Steele, Lea and Flood,
 * 2014: one 64-bit state a thread). */
#include "io/backoff.h"

#include "common/time.h"
#include "io/crypt.h"

#include <stdbool.h>

uint64_t slu_random(void)
{
	static _Thread_local uint64_t state;
	static _Thread_local bool seeded;
	if (!seeded) {
		/* Without a seed the address of a thread-local still tells threads apart. */
		if (slu_random_bytes(&state, sizeof(state)) < 0)
			state = (uint64_t)slu_now() ^ (uint64_t)(uintptr_t)&state;
		seeded = true;
	}
	state += 0x9e3779b97f4a7c15u;
	uint64_t z = state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

int64_t slu_backoff_delay(const struct slu_backoff *b, unsigned tries, int64_t at_least)
{
	int64_t top = b->base_ns < b->cap_ns ? b->base_ns : b->cap_ns;
	while (tries-- > 0 && top < b->cap_ns)
		top = top > b->cap_ns / 2 ? b->cap_ns : 2 * top;
	int64_t d = top > 0 ? (int64_t)(slu_random() % ((uint64_t)top + 1)) : 0;
	/* Added, not the larger of both: everybody was told the same Retry-After. */
	if (at_least > 0 && __builtin_add_overflow(d, at_least, &d))
		d = INT64_MAX;
	return d;
}
