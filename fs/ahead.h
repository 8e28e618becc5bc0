/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order ahead: which file a program will read next, so that it can be fetched before it is opened.
 * Files are places in the manifest; a mount may see no opens, so all that is known are READs.
 *
 * Three sources of an order, in this order of trust:
 *   given     a list that somebody handed over (a shuffled epoch): followed from the start
 *   learned   the order in which files were read for the first time, until they began to repeat
 *   listing   the manifest's, also every second, third, ... sixteenth file of it
 * The last two are guesses.  A guess has to come true twice before anything is fetched for it (once where
 * the walk began with the first file of a folder, four times where files are large), then goes a few files ahead, and further each time that
 * its reader had to wait, as long as that makes it faster: never more than SLU_AHEAD_FIRST or four times of
 * what came true.  It ends at once when it is wrong; each time that happens, more is asked of the
 * next.  Small files are fetched whole, others their beginning; how much in all is bounded by the memory
 * budget, which `fetch` knows.  Any thread.
 */
#ifndef SLU_FS_AHEAD_H
#define SLU_FS_AHEAD_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SLU_AHEAD_WHOLE (1u << 20) /* files up to that are fetched whole, of others so much */
#define SLU_AHEAD_FILES 512u       /* at most so many files ahead of what was read */
#define SLU_AHEAD_FIRST 32u /* so many at first, if that is not more than SLU_AHEAD_FIRST_BYTES */
#define SLU_AHEAD_FIRST_BYTES (2u << 20)

#define SLU_AHEAD_NEEDLESS UINT64_MAX

struct slu_ahead;

struct slu_ahead_conf {
	uint32_t files;                            /* of the manifest */
	uint64_t (*size)(void *user, uint32_t at); /* of a file */
	/* Begins to fetch [0, len); how many bytes of it are there or on their way: 0, no room now;
	 * SLU_AHEAD_NEEDLESS: it is read as fast without, and does not count as fetched. */
	uint64_t (*fetch)(void *user, uint32_t at, uint64_t len);
	bool (*first)(void *user,
		      uint32_t at); /* is it the first of its folder?  NULL: not known */
	void *user;
	bool no_guess; /* only what is handed over */
	bool in_place; /* fetch in the thread that reads; else a thread of our own does it */
};

int slu_ahead_new(const struct slu_ahead_conf *conf, struct slu_ahead **ret); /* 0, -ENOMEM */
void slu_ahead_stop(struct slu_ahead *a); /* fetch is not called any more once this returns */
void slu_ahead_free(struct slu_ahead *a); /* stops; NULL fine */

/* A program reads [off, off + len) of file `at`, which has `size` bytes; waits: those were not there yet.
 * Blocks for nothing. */
void slu_ahead_read(struct slu_ahead *a, uint32_t at, uint64_t size, uint64_t off, uint64_t len,
		    bool waits);

/* --- a given order --- */

/* A new order, empty; what was left of the one before is dropped.  0, -ENOMEM. */
int slu_ahead_order_begin(struct slu_ahead *a);
/* The next files of it; fetching begins at once.  A file that is in it already stays where it was.
 * *ret_twice: how many of them.  0, -ENOMEM. */
int slu_ahead_order_add(struct slu_ahead *a, const uint32_t *at, uint32_t n, uint32_t *ret_twice);
/* No more order. */
void slu_ahead_order_drop(struct slu_ahead *a);
/* Is an order being followed, and what was fetched for it to be kept? */
bool slu_ahead_keeps(struct slu_ahead *a);

/* --- from one process to the next --- */

/* What a process before this one followed. */
struct slu_ahead_legacy {
	const uint32_t *order, *learned;
	uint32_t n, nlearned;
	uint32_t front, read; /* of the order: slu_ahead_state */
};
/* Goes on with it, from where it was read.  What is no file here is left out.  0, -ENOMEM. */
int slu_ahead_inherit(struct slu_ahead *a, const struct slu_ahead_legacy *l);
/* Copies the learned order, if it has at most `max` files; how many; *ret_version: learnings of the state. */
uint32_t slu_ahead_learned(struct slu_ahead *a, uint32_t *ret, uint32_t max, uint32_t *ret_version);

struct slu_ahead_state {
	uint32_t order, order_read, order_fetched; /* files; order 0: none */
	uint32_t order_front;                      /* one after the furthest that was read */
	uint32_t learnings;                        /* how often another order was learned */
	uint32_t learned;                          /* files of the learned order */
	uint32_t window;                           /* files that guesses fetch ahead now */
	uint64_t fetched, hits, lost; /* files: fetched; read after that; given up unread */
	uint64_t stops;               /* guesses that were wrong too often */
};
void slu_ahead_get(struct slu_ahead *a, struct slu_ahead_state *ret);

#endif
