/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the reader: blocks and the reads that wait for them.  Everything here is guarded by
 * readers->lock unless it says otherwise; the lock is never held across submit, cancel or done.
 *
 * A block is an extent of one file:
 *
 *   FILLING  its READ is on the way; waiters hold the reads that want it (single flight)
 *   CLEAN    has its bytes; on the LRU list; dropped once all of it was read, or for the budget
 *   DEAD     out of the reader's list; freed with its last pin
 *
 * pins: one for each read that shows its bytes and for each cancel on its way.  Blocks of a reader
 * do not overlap and stand in reader->b in order.
 */
#ifndef SLU_FS_READER_IMPL_H
#define SLU_FS_READER_IMPL_H

#include "fs/reader.h"
#include "fs/streams.h"

#include <pthread.h>

#define SLU_READ_UNIT (64u << 10) /* what a random read fetches at least */
#define SLU_READ_PIECES 20        /* blocks one read may touch: 1 MiB in units, and its ends */

enum slu_block_state { SLU_BLOCK_FILLING, SLU_BLOCK_CLEAN, SLU_BLOCK_DEAD };

struct slu_read_state;

/* One block's part in one read. */
struct slu_piece {
	struct slu_block *b;
	struct slu_read_state *st;
	struct slu_piece *next; /* waiter of b */
	size_t off, len;        /* in the block */
};

struct slu_block {
	struct slu_reader *r;
	uint64_t off;
	size_t len;
	char *p;
	enum slu_block_state state;
	bool demand;     /* a program waits; else read ahead */
	bool prefetched; /* slu_reader_prefetch asked for it */
	bool canceling;
	unsigned pins;
	uint64_t eaten; /* bytes shown to reads */
	int64_t stamp;  /* last touched */
	struct slu_piece *waiters;
	struct slu_block *older, *newer; /* LRU, CLEAN only */
	struct slu_block *next;          /* of a list that one function builds */
	struct slu_op op;
};

/* One slu_reader_read() in progress: either all of it in pieces, or op reads it into rd->buf. */
struct slu_read_state {
	struct slu_read *rd;
	struct slu_reader *r;
	struct slu_read_state *next;        /* free list, ready list */
	struct slu_read_state *prev, *succ; /* direct reads in flight of r */
	unsigned np, pending;
	int rc;
	bool again;    /* only read-ahead failed: ask for it directly */
	bool unhinted; /* nothing was asked for ahead of it */
	unsigned pins; /* cancels on their way */
	bool over;     /* completed while pinned */
	struct slu_piece p[SLU_READ_PIECES];
	struct slu_op op;
	struct slu_err err;
};

struct slu_reader {
	struct slu_readers *rs;
	struct slu_store *store;
	char *path, *id;
	uint64_t size;
	unsigned users; /* references of callers */
	unsigned refs;  /* users, reads, blocks and hints in flight */
	bool cold;      /* reads of this file had to wait: hints are worth it */
	unsigned hints; /* PREFETCH ops in flight */
	struct slu_streams streams;
	struct slu_block **b;
	size_t nb, cap;
	struct slu_read_state *direct;
	struct slu_reader_stats stats;
};

struct slu_readers {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct slu_readers_conf conf;
	uint64_t used;
	unsigned readers, steady;
	struct slu_block *oldest, *newest;
	void *spare; /* buffers of conf.block bytes, linked through their first word */
	uint64_t spare_bytes;
	struct slu_read_state *states;
	unsigned nstates;
	struct slu_reader_stats stats;
};

/* Lock held: counts for the reader and for all of them. */
#define SLU_READER_COUNT(r, what, n)                                                               \
	do {                                                                                       \
		(r)->stats.what += (n);                                                            \
		(r)->rs->stats.what += (n);                                                        \
	} while (0)

/* --- reader_block.c; lock held --- */

/* A new FILLING block, in r's list; NULL: no budget or memory.  demand may push out what was read
 * ahead, read-ahead itself only what nobody touched for a while. */
struct slu_block *slu_block_new(struct slu_reader *r, uint64_t off, size_t len, bool demand);
void slu_block_clean(struct slu_block *b); /* FILLING -> CLEAN */
void slu_block_kill(struct slu_block *b);  /* any -> DEAD; frees it when nothing pins it */
void slu_block_unpin(struct slu_block *b, size_t eaten);
size_t slu_block_find(const struct slu_reader *r, uint64_t pos); /* first that ends after pos */
void slu_block_drop_idle(struct slu_reader *r); /* every CLEAN block that nothing pins */
struct slu_read_state *slu_read_state_get(struct slu_reader *r, struct slu_read *rd);
void slu_read_state_put(struct slu_read_state *st);

/* --- reader.c; lock held --- */
void slu_reader_hold(struct slu_reader *r);
void slu_reader_drop(struct slu_reader *r); /* frees it with the last one */

#endif
