/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which reads of one file belong together, and how.  Told by offset alone, since a mount may see no
 * opens:
 *
 *   forward   a read begins where another ended, or is a large one at the start of the file; an
 *             established stream also takes reads a little before and beyond its head, since the kernel's own read-ahead arrives out of order
 *   backward  three reads in a row, each ending where the one before began: two are not enough, a
 *             footer is read so
 *   strided   segments (a read, or a few in sequence) at equal distances, four in a row
 *   random    everything else
 *
 * No I/O, no memory, no lock of its own: one thread at a time.
 */
#ifndef SLU_FS_STREAMS_H
#define SLU_FS_STREAMS_H

#include "fs/pace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLU_STREAMS 16

enum slu_pattern { SLU_RANDOM, SLU_FORWARD, SLU_BACKWARD, SLU_STRIDED };

struct slu_stream {
	uint64_t start, head; /* read so far: [start, head) */
	uint64_t run;         /* bytes read in sequence; 0: the slot is free */
	uint64_t ahead;       /* asked for in advance up to here (backward: down to here) */
	uint64_t used;        /* when, in reads of this file */
	uint64_t segment;     /* bytes read at the place before this one */
	int64_t stride;       /* distance from there */
	unsigned strides;     /* equal distances in a row */
	unsigned laid;        /* of the next strides, so many were asked for */
	unsigned joins;       /* reads that joined before it was steady */
	enum slu_pattern way; /* forward or backward, once steady */
	bool steady;
	struct slu_pace pace;
};

struct slu_streams {
	struct slu_stream s[SLU_STREAMS];
	unsigned last; /* slot of the read before */
	uint64_t clock;
};

/* Notes the read [off, off + len) of a file of `size` bytes; len > 0.  Returns what it is part of, and
 * the stream for all but random ones.  *ret_change: by how much the number of steady streams changed;
 * one that comes to the end of the file is none any more. */
enum slu_pattern slu_streams_note(struct slu_streams *st, uint64_t off, size_t len, uint64_t size,
				  struct slu_stream **ret, int *ret_change);
/* How far ahead, in bytes, the stream may ask: as much as it has read; once that is a mebibyte in a row,
 * three times as much, and eight times where it began with the file (trust: so far, who began so has read
 * on); at most max. */
uint64_t slu_stream_window(const struct slu_stream *s, uint64_t max, bool trust);
unsigned slu_streams_steady(const struct slu_streams *st); /* how many */

#endif
