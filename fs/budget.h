/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory budget: one for the process, hard, drawn on by everything that holds data.  Classes
 * stand in order of need; each is admitted only while what is in use stays below its ceiling, so that
 * a class always finds room which those behind it cannot take: prefetch stops first, and a read that
 * a program waits for has the last eighth for itself.  When even that is in use, such a read waits
 * for its turn behind others of its kind (which end by their deadlines), never behind anything else;
 * one at least is always admitted, however small the budget.
 *
 * The budget counts; it allocates nothing.  Any thread.  Its lock is a leaf: try, turn, swap
 * and cancel may be called with locks held; give, wait and take may not (they call back).
 */
#ifndef SLU_FS_BUDGET_H
#define SLU_FS_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum slu_budget_class {
	SLU_BUDGET_DEMAND,   /* a program waits for these bytes */
	SLU_BUDGET_COPY,     /* lanes of downloads, copies and writers */
	SLU_BUDGET_LIST,     /* pages of listings */
	SLU_BUDGET_AHEAD,    /* a stream's read-ahead, and what was read and may be read again */
	SLU_BUDGET_CACHE,    /* on the way into the disk cache */
	SLU_BUDGET_PREFETCH, /* other files, by order or guess */
	SLU_BUDGET_SPARE, /* free buffers kept for reuse: anybody's, they do not count as in use */
	SLU_BUDGET_CLASSES
};

struct slu_budget;

struct slu_budget_gauges {
	uint64_t limit;
	uint64_t used, peak; /* bytes of all classes, spare ones too */
	uint64_t by[SLU_BUDGET_CLASSES], peak_by[SLU_BUDGET_CLASSES];
	uint64_t refused[SLU_BUDGET_CLASSES]; /* times that there was no room */
	uint64_t waited[SLU_BUDGET_CLASSES];  /* times that somebody had to wait */
	unsigned waiting;                     /* now */
};

const char *slu_budget_name(enum slu_budget_class c); /* "demand" */

/* --- which budget --- */

#define SLU_BUDGET_MIN (8ull << 20)
#define SLU_BUDGET_MAX (192ull << 20) /* that the default may be */

/* Bytes of memory that this process may have: of the machine, or of the tightest control group (v1 or
 * v2) it is in.  root: "" (tests: a folder with proc/ and sys/ beneath).  0: not known. */
uint64_t slu_budget_machine(const char *root);
/* The default for a machine of so many bytes: an eighth, SLU_BUDGET_MIN to SLU_BUDGET_MAX. */
uint64_t slu_budget_default(uint64_t machine);

/* The process's: made at the first call with the default limit, never freed.  NULL: no memory.  A child begins with
 * nothing in use: what its parent has open is not its own. */
struct slu_budget *slu_budget_process(void);
/* One of its own, for tests.  limit 0: the default. */
int slu_budget_new(uint64_t limit, struct slu_budget **ret);
void slu_budget_free(struct slu_budget *b); /* nothing held, nobody waits; NULL fine */
/* 0: the default.  What is held beyond a lower limit stays until it is given back. */
void slu_budget_set_limit(struct slu_budget *b, uint64_t limit);
uint64_t slu_budget_limit(struct slu_budget *b);
/* The highest total at which class c is admitted. */
uint64_t slu_budget_ceiling(struct slu_budget *b, enum slu_budget_class c);
void slu_budget_read(struct slu_budget *b, struct slu_budget_gauges *ret);

/* --- taking and giving --- */

/* n bytes, at once or not at all.  Never overtakes who waits for the same class or one before it. */
bool slu_budget_try(struct slu_budget *b, enum slu_budget_class c, uint64_t n);
void slu_budget_give(struct slu_budget *b, enum slu_budget_class c, uint64_t n);
/* n held bytes change their class; always granted (data that was read ahead is now waited for). */
void slu_budget_turn(struct slu_budget *b, enum slu_budget_class from, enum slu_budget_class to,
		     uint64_t n);
/* Gives n of `from` and tries m >= n of `to`, as one step; false: nothing changed. */
bool slu_budget_swap(struct slu_budget *b, enum slu_budget_class from, uint64_t n,
		     enum slu_budget_class to, uint64_t m);

struct slu_budget_wait {
	void (*granted)(struct slu_budget_wait *w); /* any thread, no lock held; must not block */
	void *user;
	/* the budget's */
	enum slu_budget_class c;
	uint64_t n;
	bool queued;
	struct slu_budget_wait *next;
};
/* True: n bytes are the caller's now.  False: w->granted(w) runs when they are, exactly once, unless
 * canceled.  w is the caller's memory until then. */
bool slu_budget_wait(struct slu_budget *b, struct slu_budget_wait *w, enum slu_budget_class c,
		     uint64_t n);
/* True: it will not be granted any more; who waits behind it moves on with the next give.  False: it was
 * granted, or is being. */
bool slu_budget_cancel(struct slu_budget *b, struct slu_budget_wait *w);
/* For threads that may wait. */
void slu_budget_take(struct slu_budget *b, enum slu_budget_class c, uint64_t n);

/* --- who holds what could be let go --- */

struct slu_budget_yield {
	/* Gives back about n bytes of classes after c, what is least needed first.  May lock. */
	void (*yield)(struct slu_budget_yield *y, enum slu_budget_class c, uint64_t n);
	struct slu_budget_yield *next; /* the budget's */
};
/* True: somebody waits for *ret_n bytes of *ret_class.  Who holds what could be let go looks here whenever
 * something becomes so, or the one who waits may wait for ever.  Cheap when nobody does. */
bool slu_budget_wanted(struct slu_budget *b, enum slu_budget_class *ret_class, uint64_t *ret_n);
/* Called when somebody waits or takes and there is no room, also from several threads at once.  At most 8
 * are called.  remove: returns when none is being called any more; not from within one. */
void slu_budget_yield_add(struct slu_budget *b, struct slu_budget_yield *y);
void slu_budget_yield_remove(struct slu_budget *b, struct slu_budget_yield *y);

#endif
