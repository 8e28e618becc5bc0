/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which reads of one file belong together.  Told by offset alone, since a mount may see no opens:
 * a read that begins where another ended continues it.  The kernel's own read-ahead arrives slightly
 * out of order, so an established stream takes reads a little before and beyond its head as well.
 * No I/O, no memory, no lock of its own: one thread at a time.
 */
#ifndef SLU_FS_STREAMS_H
#define SLU_FS_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLU_STREAMS 8

struct slu_stream {
	uint64_t start, head; /* read so far: [start, head) */
	uint64_t run;         /* bytes read in sequence; 0: the slot is free */
	uint64_t ahead;       /* asked for in advance up to here */
	uint64_t used;        /* when, in reads of this file */
	bool steady;          /* at least two reads in sequence */
};

struct slu_streams {
	struct slu_stream s[SLU_STREAMS];
	uint64_t clock;
};

/* Notes the read [off, off + len).  Returns its stream when that one is steady, else NULL (a first
 * read anywhere, random access).  *ret_change: by how much the number of steady streams changed. */
struct slu_stream *slu_streams_note(struct slu_streams *st, uint64_t off, size_t len,
				    int *ret_change);
/* Where the stream's read-ahead should reach: as far ahead as it has read, at most max bytes, so that
 * a reader that stops wastes no more than it read. */
uint64_t slu_stream_target(const struct slu_stream *s, uint64_t max, uint64_t size);
unsigned slu_streams_steady(const struct slu_streams *st); /* how many */

#endif
