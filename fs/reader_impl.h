/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the reader: reader.c (life, reads and their ends), reader_plan.c (what is fetched for a read,
 * and ahead of it) and reader_block.c (memory).  Everything here is guarded by readers->lock unless it
 * says otherwise; the lock is never held across submit, cancel, done or a call that gives memory back
 * to the budget (slu_readers_unlock does that).
 *
 * A block is an extent of one file:
 *
 *   FILLING  its READ is on the way; waiters hold the reads that want it (single flight)
 *   CLEAN    has its bytes; on a list of what may be dropped while nothing pins it; dropped once all
 *            of it was read, or for the budget
 *   DEAD     out of the reader; freed with its last pin
 *
 * pins: one for each read that shows its bytes and for each cancel on its way.  Blocks of a reader
 * do not overlap and stand in reader->b in order; loose ones belong to one read alone.
 */
#ifndef SLU_FS_READER_IMPL_H
#define SLU_FS_READER_IMPL_H

#include "fs/budget.h"
#include "fs/pace.h"
#include "fs/reader.h"
#include "fs/streams.h"

#include <pthread.h>

#define SLU_READ_UNIT (64u << 10) /* what a random read fetches at least */
#define SLU_READ_PAGE (4u << 10)  /* the grain of what was read of a block */
#define SLU_BLOCK_MAX (1u << 20)
#define SLU_READER_PREFETCH_PRIO 9

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
	size_t len, cost; /* cost: bytes of memory */
	char *p;
	enum slu_block_state state;
	enum slu_budget_class cls; /* what it is charged to */
	enum slu_budget_class why; /* what it was fetched for */
	bool loose, canceling;
	bool hurried; /* fetched ahead, and waited for now */
	unsigned pins;
	unsigned unread; /* pages that nobody has seen */
	uint64_t seen[SLU_BLOCK_MAX / SLU_READ_PAGE / 64];
	int64_t stamp; /* submitted, or last touched */
	struct slu_piece *waiters;
	struct slu_block *older, *newer; /* CLEAN and not pinned; loose and FILLING */
	struct slu_block *next;          /* of a list that one function builds */
	struct slu_op op;
};

/* One slu_reader_read() in progress. */
struct slu_read_state {
	struct slu_read *rd;
	struct slu_reader *r;
	struct slu_read_state *next; /* free list, ready list */
	unsigned np, pending;
	int rc;
	bool again;                         /* only read-ahead failed: ask for it anew */
	bool unhinted;                      /* nothing was asked for ahead of it */
	bool noted;                         /* the streams know of it */
	bool poor;                          /* waits for the budget; in r->poor */
	struct slu_read_state *prev, *succ; /* of r->poor */
	struct slu_budget_wait wait;
	struct slu_bounce bounce;
	uint64_t grant; /* bytes of SLU_BUDGET_DEMAND that it has and did not use */
	struct slu_piece p[SLU_READ_IOV];
	struct slu_err err;
};

struct slu_reader {
	struct slu_readers *rs;
	struct slu_store *store;
	char *path, *id;
	uint64_t size;
	unsigned users;              /* references of callers */
	unsigned refs;               /* users, reads, blocks and hints in flight */
	bool cold;                   /* reads of this file had to wait: hints are worth it */
	unsigned hints;              /* PREFETCH ops in flight */
	struct slu_streams *streams; /* NULL: not read yet, or one block has it all */
	struct slu_pace_time time;
	struct slu_block **b;
	size_t nb, cap;
	struct slu_block *loose;
	struct slu_read_state *poor;
	struct slu_reader_stats stats;
};

/* Oldest first. */
struct slu_block_list {
	struct slu_block *oldest, *newest;
	uint64_t bytes;
};

#define SLU_SPARE_UNITS (SLU_BLOCK_MAX / SLU_READ_UNIT)

struct slu_readers {
	struct slu_budget_yield yield; /* first */
	struct slu_budget *budget;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct slu_readers_conf conf;
	uint64_t used;   /* bytes of blocks */
	uint64_t owed;   /* bytes of SLU_BUDGET_SPARE to give back once the lock is free */
	unsigned giving; /* threads that are giving back what was owed */
	unsigned readers, steady;
	struct slu_pace_time time;                   /* what a new reader begins with */
	struct slu_block_list left, ahead, prefetch; /* what may be dropped */
	void *spare[SLU_SPARE_UNITS + 1]; /* buffers by units, linked through their first word */
	uint64_t spare_bytes;
	uint64_t ahead_least; /* the most that a store wants */
	struct slu_read_state *states;
	unsigned nstates;
	struct slu_reader_stats stats;
};

/* What a read, or a prefetch, leaves to do once the lock is free. */
struct slu_plan {
	struct slu_block *submit, **tail;
	struct slu_op *hint;
};

/* Lock held: counts for the reader and for all of them. */
#define SLU_READER_COUNT(r, what, n)                                                               \
	do {                                                                                       \
		(r)->stats.what += (n);                                                            \
		(r)->rs->stats.what += (n);                                                        \
	} while (0)

/* --- reader_block.c; lock held but where said --- */

void slu_readers_unlock(struct slu_readers *rs);
/* A new FILLING block, in r's list unless loose; holds r.  Charged to why; st: whose grant pays first, may
 * be NULL.  NULL: no budget (*ret_poor) or no memory. */
struct slu_block *slu_block_new(struct slu_reader *r, uint64_t off, size_t len,
				enum slu_budget_class why, struct slu_read_state *st, bool loose,
				bool *ret_poor);
void slu_block_clean(struct slu_block *b); /* FILLING -> CLEAN */
void slu_block_kill(struct slu_block *b);  /* any -> DEAD; frees it when nothing pins it */
void slu_block_pin(struct slu_block *b);
void slu_block_unpin(struct slu_block *b);
void slu_block_seen(struct slu_block *b, size_t off, size_t len);
size_t slu_block_find(const struct slu_reader *r, uint64_t pos); /* first that ends after pos */
void slu_block_drop_idle(struct slu_reader *r); /* every CLEAN block that nothing pins */
/* slu_budget_yield: no lock held. */
void slu_readers_yield(struct slu_budget_yield *y, enum slu_budget_class c, uint64_t n);
struct slu_read_state *slu_read_state_get(struct slu_reader *r, struct slu_read *rd);
/* Also gives back what is left of its grant. */
void slu_read_state_put(struct slu_read_state *st);

/* --- reader_plan.c; lock held --- */

enum slu_laid {
	SLU_LAID,       /* blocks are under the whole read */
	SLU_LAID_POOR,  /* no budget: nothing is laid */
	SLU_LAID_NO_MEM /* nothing is laid */
};
/* Lays blocks, old and new, under the read, and ahead of it. */
enum slu_laid slu_reader_plan(struct slu_read_state *st, struct slu_plan *plan);
/* Bytes of budget with which that succeeds. */
uint64_t slu_reader_need(const struct slu_read_state *st);
/* Blocks under the gaps of [off, end), as the budget allows; returns where they end. */
uint64_t slu_reader_lay(struct slu_reader *r, uint64_t off, uint64_t end, enum slu_budget_class why,
			uint8_t prio, struct slu_plan *plan);

/* --- reader.c --- */

void slu_reader_hold(struct slu_reader *r);    /* lock held */
void slu_reader_drop(struct slu_reader *r);    /* lock held; frees it with the last one */
void slu_reader_block_done(struct slu_op *op); /* of a block; no lock */
void slu_reader_hint_done(struct slu_op *op);  /* no lock; frees op */

#endif
