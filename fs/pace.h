/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far ahead of its reader a stream should fetch: what arrives during the time that one block takes,
 * both measured, three times while that makes it faster, else twice; of much, half as much again.  It begins
 * with what a stream of this store had lately, else with a few MiB, where a block takes long with more.  While latency is what limits, the
 * window grows round by round, and the rate with it; once the link, the service or the program is what
 * limits, the rate stands, and the window with it.  A slow program gets a small one.  What is in flight
 * makes blocks slower by itself, so now and then a round asks for less, to see the time that a block
 * takes alone.  (After BBR, Cardwell et al. 2016, for a reader.)  Pure: the time is the caller's.  One
 * thread at a time.
 */
#ifndef SLU_FS_PACE_H
#define SLU_FS_PACE_H

#include <stddef.h>
#include <stdint.h>

#define SLU_PACE_ROUNDS 8

/* Of one stream; zeroes: a new one. */
struct slu_pace {
	int64_t since;                  /* when this round began; 0: not yet */
	uint64_t bytes;                 /* read in it */
	uint64_t rate[SLU_PACE_ROUNDS]; /* bytes a second, of the last rounds */
	unsigned round;
};

/* Of one store: the least time that a block took, and the highest rate of one stream, this epoch and the one
 * before; 0: not known. */
struct slu_pace_time {
	int64_t least, before;
	uint64_t rate, rate_before;
	int64_t until; /* end of the epoch */
};

void slu_pace_fetched(struct slu_pace_time *t, int64_t ns, int64_t now);
/* The stream's reader has taken n more bytes. */
void slu_pace_read(struct slu_pace *p, struct slu_pace_time *t, uint64_t n, int64_t now);
/* Bytes to have ahead. */
uint64_t slu_pace_window(const struct slu_pace *p, const struct slu_pace_time *t);

#endif
