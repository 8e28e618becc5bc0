/* SPDX-License-Identifier: Apache-2.0 */
/* Inside order-ahead: what ahead.c (events, the given order) and ahead_guess.c share.  All of it is
 * guarded by `lock`, which is not held while something is fetched. */
#ifndef SLU_FS_AHEAD_IMPL_H
#define SLU_FS_AHEAD_IMPL_H

#include "fs/ahead.h"

#include <pthread.h>
#include <stdatomic.h>

#define SLU_AHEAD_CURSORS 16
#define SLU_AHEAD_RECENT 256
#define SLU_AHEAD_NEED 2u /* times that a guess has to come true at least */

/* Files in an order.  pos: by file, 1 + its place in seq, 0: not in it. */
struct slu_order {
	uint32_t *seq, *pos;
	uint32_t n, cap;
};

/* One walk through an order that seems to be going on.  Places, not files. */
struct slu_cursor {
	bool used, learned; /* else of the listing */
	uint32_t start;     /* where it began */
	uint32_t head;      /* the furthest place read */
	uint32_t tip;       /* the next to be fetched */
	uint32_t tail;      /* from here on fetched ones may still be read */
	uint32_t step, run; /* so many came true in a row */
	uint32_t good, bad; /* of late: fetched and read; fetched and not */
	uint32_t window;    /* may be fetched beyond head, in steps */
	uint32_t mark;      /* run when the window was last looked at */
	int64_t marked;     /* and when that was */
	uint64_t rate;      /* visits a second that the window of before gave; 0: not known */
	uint64_t turn;      /* when it last came true */
	uint64_t serial;
};

enum {
	SLU_AHEAD_FETCHED = 1,
	SLU_AHEAD_READ = 2,    /* of the given order */
	SLU_AHEAD_LEARNED = 4, /* fetched by a guess of this kind */
	SLU_AHEAD_LISTING = 8,
	SLU_AHEAD_GUESSED = SLU_AHEAD_LEARNED | SLU_AHEAD_LISTING
};

struct slu_ahead {
	struct slu_ahead_conf conf;
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_t thread;
	bool running, stop, wanted;
	_Atomic uint64_t recent[SLU_AHEAD_RECENT]; /* file << 32 | low bits of its visit */
	_Atomic uint32_t visits;
	int64_t last;     /* visit, or change of the order */
	uint8_t *fetched; /* by file: fetched and not yet read */

	struct slu_order order;
	/* Of it: one after the furthest read, the next to be fetched; what lies before tail was given up.
	 * Several programs read different parts of it at once: spread is how far apart they are. */
	uint32_t front, tip, tail, spread;
	uint32_t order_out; /* fetched and not read */
	uint32_t order_read, order_fetched;

	struct slu_order learned, record;
	uint32_t learnings; /* so many times `learned` became another */
	uint32_t again;     /* how much of what is read lately was recorded before */
	uint32_t held;      /* files that the learned order expected, since the recording began */
	uint64_t serial;
	uint32_t need; /* how often a guess has to come true */
	struct slu_cursor cursors[SLU_AHEAD_CURSORS];
	struct slu_ahead_state sum;
};

int slu_order_add(struct slu_order *o, uint32_t files, uint32_t at); /* 1: it is in it already */
void slu_order_clear(struct slu_order *o);                           /* memory too */

/* `at` was fetched before: it is read now, or given up. */
bool slu_ahead_settle(struct slu_ahead *a, uint32_t at, bool read);

/* --- ahead_guess.c --- */
/* A file is visited; hit: it was fetched, waits: and is not here yet. */
struct slu_visit {
	uint32_t at;
	bool hit, waits;
	int64_t now;
};
void slu_guess_visit(struct slu_ahead *a, const struct slu_visit *v);
/* The next file that a guess wants, or false. */
bool slu_guess_next(struct slu_ahead *a, uint32_t *ret_at, uint64_t *ret_serial);
void slu_guess_undo(struct slu_ahead *a, uint64_t serial); /* there was no room for it */
bool slu_guess_peek(const struct slu_ahead *a);            /* is it time to fetch? */
/* What was fetched long ago is not there any more. */
void slu_guess_rewind(struct slu_ahead *a);

#endif
