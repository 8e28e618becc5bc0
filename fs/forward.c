/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces (forward.h) stand in a queue in the order of their places in the file, without gaps, from where the
 * reading is: they are asked for when others were read, and their buffers used again.  The queue belongs to the
 * thread that reads; completions only say that a piece is there.  The window is what was read since the last jump, so
 * that a program which reads a little here and there fetches nothing in vain.
 */
#include "fs/forward.h"

#include "common/mem.h"
#include "fs/budget.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/types.h>

#define PIECES 6
#define PIECE_MIN (1u << 20)
#define PIECE_MAX (4u << 20)
#define START PIECE_MIN /* bytes read in order before something is fetched ahead */

struct piece {
	struct slu_op op;
	struct slu_forward *f;
	struct piece *next;
	uint64_t off;
	size_t len;
	bool busy; /* under f->lock */
	char *buf;
};

struct slu_forward {
	struct slu_forward_file file;
	size_t piece; /* the longest */
	pthread_mutex_t reading;
	uint64_t at, streak; /* where the last read ended, bytes since the last jump */
	struct piece *first, *last, *spare;
	unsigned pieces, most; /* that have a buffer; that may have one */
	pthread_mutex_t lock;
	pthread_cond_t came;
};

int slu_forward_new(const struct slu_forward_file *file, struct slu_forward **ret)
{
	struct slu_forward *f = slu_new0(struct slu_forward);
	size_t best = file->store->block;

	if (!f)
		return -ENOMEM;
	f->file = *file;
	f->piece = best < PIECE_MIN ? PIECE_MIN : best > PIECE_MAX ? PIECE_MAX : best;
	f->most = file->store->pieces ? file->store->pieces : PIECES;
	pthread_mutex_init(&f->reading, NULL);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->came, NULL);
	*ret = f;
	return 0;
}

/* --- ops --- */

static void make_op(const struct slu_forward *f, struct slu_op *op, uint64_t off, size_t n,
		    void *buf)
{
	slu_op_read(op, f->file.path, off, n, buf, f->file.id);
	op->version = f->file.version;
	op->size = f->file.size;
}

static int direct(const struct slu_forward *f, void *buf, size_t n, uint64_t off, struct slu_err *e)
{
	struct slu_op op;

	make_op(f, &op, off, n, buf);
	return slu_store_wait(f->file.store, &op, e);
}

static void piece_done(struct slu_op *op)
{
	struct piece *p = op->user;
	struct slu_forward *f = p->f;

	pthread_mutex_lock(&f->lock);
	p->busy = false;
	pthread_cond_signal(&f->came);
	pthread_mutex_unlock(&f->lock);
}

static void wait_for(struct piece *p)
{
	pthread_mutex_lock(&p->f->lock);
	while (p->busy)
		pthread_cond_wait(&p->f->came, &p->f->lock);
	pthread_mutex_unlock(&p->f->lock);
}

/* --- the queue --- */

/* NULL: no memory for another one. */
static struct piece *piece_get(struct slu_forward *f)
{
	struct slu_budget *budget = slu_budget_process();
	struct piece *p = f->spare;

	if (p) {
		f->spare = p->next;
		return p;
	}
	if (f->pieces == f->most || !budget || !slu_budget_try(budget, SLU_BUDGET_AHEAD, f->piece))
		return NULL;
	p = slu_new0(struct piece);
	if (p)
		p->buf = slu_malloc(f->piece);
	if (!p || !p->buf) {
		free(p);
		slu_budget_give(budget, SLU_BUDGET_AHEAD, f->piece);
		return NULL;
	}
	p->f = f;
	f->pieces++;
	return p;
}

static void drop_first(struct slu_forward *f)
{
	struct piece *p = f->first;

	f->first = p->next;
	p->next = f->spare;
	f->spare = p;
}

static void drop_all(struct slu_forward *f)
{
	for (struct piece *p = f->first; p; p = p->next)
		slu_store_cancel(f->file.store, &p->op);
	while (f->first) {
		wait_for(f->first);
		drop_first(f);
	}
}

/* Half of what was read in order, in whole MiB, so that pieces grow as the window does; none crosses a multiple of the
 * longest, and so no block of the store. */
static size_t piece_len(const struct slu_forward *f, uint64_t off)
{
	uint64_t left = f->file.size - off, n = f->streak / 2, edge = f->piece - off % f->piece;

	n -= n % PIECE_MIN;
	if (n < PIECE_MIN)
		n = PIECE_MIN;
	if (n > edge)
		n = edge;
	return (size_t)(n < left ? n : left);
}

/* Asks for what comes after the queue, of which `off` is wanted now. */
static void top_up(struct slu_forward *f, uint64_t off)
{
	uint64_t end = f->first ? f->last->off + f->last->len : off;

	while (end < f->file.size && (end == off || end - off < f->streak)) {
		struct piece *p = piece_get(f);

		if (!p)
			return;
		p->off = end;
		p->len = piece_len(f, end);
		p->busy = true;
		p->next = NULL;
		*(f->first ? &f->last->next : &f->first) = p;
		f->last = p;
		end += p->len;
		make_op(f, &p->op, p->off, p->len, p->buf);
		p->op.done = piece_done;
		p->op.user = p;
		slu_store_submit(f->file.store, &p->op);
	}
}

/* --- reading --- */

/* What the first piece has of [off, off + n), n > 0.  The number of bytes, or -errno. */
static ssize_t take(struct slu_forward *f, char *buf, size_t n, uint64_t off, struct slu_err *e)
{
	struct piece *p = f->first;
	size_t skip = (size_t)(off - p->off), k = p->len - skip;

	wait_for(p);
	if (p->op.rc < 0) {
		if (e)
			*e = p->op.err;
		return p->op.rc;
	}
	if (k > n)
		k = n;
	memcpy(buf, p->buf + skip, k);
	if (skip + k == p->len)
		drop_first(f);
	return (ssize_t)k;
}

static int read_on(struct slu_forward *f, char *buf, size_t n, uint64_t off, struct slu_err *e)
{
	while (n) {
		ssize_t k;

		top_up(f, off);
		if (!f->first)
			return direct(f, buf, n, off, e);
		k = take(f, buf, n, off, e);
		if (k < 0)
			return (int)k;
		buf += k;
		off += (uint64_t)k;
		n -= (size_t)k;
		f->streak += (uint64_t)k;
	}
	top_up(f, off);
	return 0;
}

int slu_forward_read(struct slu_forward *f, void *buf, size_t n, uint64_t off, struct slu_err *e)
{
	int r;

	if (!n)
		return 0;
	/* Several at once are no reading in order. */
	if (slu_store_can(f->file.store, SLU_CAP_INLINE_READ) || pthread_mutex_trylock(&f->reading))
		return direct(f, buf, n, off, e);
	if (off != f->at) {
		drop_all(f);
		f->streak = 0;
	}
	if (f->streak >= START) {
		r = read_on(f, buf, n, off, e);
	} else {
		r = direct(f, buf, n, off, e);
		f->streak += n;
	}
	if (r < 0) {
		drop_all(f);
		f->streak = 0;
	}
	f->at = off + n;
	pthread_mutex_unlock(&f->reading);
	return r;
}

void slu_forward_free(struct slu_forward *f)
{
	if (!f)
		return;
	drop_all(f);
	while (f->spare) {
		struct piece *p = f->spare;

		f->spare = p->next;
		free(p->buf);
		free(p);
	}
	if (f->pieces)
		slu_budget_give(slu_budget_process(), SLU_BUDGET_AHEAD, f->pieces * f->piece);
	pthread_mutex_destroy(&f->reading);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->came);
	free(f);
}
