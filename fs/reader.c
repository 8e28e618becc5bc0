/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads of one file: which blocks serve them, what is fetched for them, what is fetched ahead.
 *
 * A store with SLU_CAP_PREFETCH reads straight into the caller's buffer and gets hints, once reads
 * had to wait.  Any other store is read in blocks: a gap under a read becomes a demand block of
 * 64 KiB units, a steady stream gets blocks ahead of it.  Without budget a read goes straight into
 * the caller's buffer, so that it never waits for memory.  No retries and no timers here: the
 * layers below and the caller have them.
 */
#include "fs/reader.h"

#include "common/mem.h"
#include "common/time.h"
#include "fs/reader_impl.h"
#include "fs/stats.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define BUDGET (64u << 20)
#define BLOCK (1u << 20)
#define WINDOW (32u << 20)
#define READ_MAX (1u << 20)
#define HINT_MAX (4u << 20)
#define HINTS 4
#define HINT_PRIO 5
#define PREFETCH_PRIO 9

struct hint {
	struct slu_op op;
	struct slu_reader *r;
};

/* What a read leaves to do once the lock is free. */
struct plan {
	struct slu_block *submit, **tail;
	struct hint *hint;
	bool direct;
};

/* The read this thread is submitting: tells a completion inside submit from a later one. */
static _Thread_local struct slu_read_state *submitting;

int slu_readers_new(const struct slu_readers_conf *conf, struct slu_readers **ret)
{
	struct slu_readers *rs = slu_new0(struct slu_readers);
	pthread_condattr_t attr;

	if (!rs)
		return -ENOMEM;
	if (conf)
		rs->conf = *conf;
	if (!rs->conf.budget)
		rs->conf.budget = BUDGET;
	if (!rs->conf.block)
		rs->conf.block = BLOCK;
	if (!rs->conf.window_max)
		rs->conf.window_max = WINDOW;
	pthread_mutex_init(&rs->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&rs->idle, &attr);
	pthread_condattr_destroy(&attr);
	*ret = rs;
	return 0;
}

int slu_readers_drain(struct slu_readers *rs, int64_t deadline)
{
	struct timespec at = {.tv_sec = deadline / SLU_SEC, .tv_nsec = deadline % SLU_SEC};
	int r = 0;

	pthread_mutex_lock(&rs->lock);
	while (rs->readers && !r)
		r = deadline ? pthread_cond_timedwait(&rs->idle, &rs->lock, &at)
			     : pthread_cond_wait(&rs->idle, &rs->lock);
	r = rs->readers ? -ETIMEDOUT : 0;
	pthread_mutex_unlock(&rs->lock);
	return r;
}

void slu_readers_free(struct slu_readers *rs)
{
	if (!rs)
		return;
	assert(!rs->readers);
	slu_readers_trim(rs, 0);
	assert(!rs->used);
	pthread_cond_destroy(&rs->idle);
	pthread_mutex_destroy(&rs->lock);
	free(rs);
}

int slu_reader_new(struct slu_readers *rs, struct slu_store *store, const char *path,
		   const char *id, uint64_t size, struct slu_reader **ret)
{
	struct slu_reader *r = slu_new0(struct slu_reader);

	if (!r)
		return -ENOMEM;
	r->path = slu_strdup(path);
	r->id = slu_strdup(id ? id : "");
	if (!r->path || !r->id) {
		free(r->path);
		free(r->id);
		free(r);
		return -ENOMEM;
	}
	r->rs = rs;
	r->store = store;
	r->size = size;
	r->users = r->refs = 1;
	pthread_mutex_lock(&rs->lock);
	rs->readers++;
	pthread_mutex_unlock(&rs->lock);
	*ret = r;
	return 0;
}

void slu_reader_hold(struct slu_reader *r)
{
	r->refs++;
}

void slu_reader_drop(struct slu_reader *r)
{
	struct slu_readers *rs = r->rs;

	assert(r->refs);
	if (--r->refs)
		return;
	assert(!r->nb && !r->direct);
	rs->steady -= slu_streams_steady(&r->streams);
	if (!--rs->readers)
		pthread_cond_broadcast(&rs->idle);
	free(r->b);
	free(r->path);
	free(r->id);
	free(r);
}

void slu_reader_ref(struct slu_reader *r)
{
	pthread_mutex_lock(&r->rs->lock);
	r->users++;
	r->refs++;
	pthread_mutex_unlock(&r->rs->lock);
}

/* Cancels the ops in flight of r: those that nobody waits for, or all.  Each is pinned while its
 * cancel is on the way, since the lock cannot be held across it. */
static void cancel_ops(struct slu_reader *r, bool all)
{
	struct slu_readers *rs = r->rs;
	struct slu_block *blocks = NULL;
	struct slu_read_state *reads = NULL;

	for (size_t i = 0; i < r->nb; i++) {
		struct slu_block *b = r->b[i];

		if (b->state != SLU_BLOCK_FILLING || (b->waiters && !all) || b->canceling)
			continue;
		b->canceling = true;
		b->pins++;
		b->next = blocks;
		blocks = b;
	}
	for (struct slu_read_state *st = all ? r->direct : NULL; st; st = st->succ) {
		if (st->pins)
			continue;
		st->pins++;
		st->next = reads;
		reads = st;
	}
	pthread_mutex_unlock(&rs->lock);
	for (struct slu_block *b = blocks; b; b = b->next)
		slu_store_cancel(r->store, &b->op);
	for (struct slu_read_state *st = reads; st; st = st->next)
		slu_store_cancel(r->store, &st->op);
	pthread_mutex_lock(&rs->lock);
	while (blocks) {
		struct slu_block *b = blocks;

		blocks = b->next;
		slu_block_unpin(b, 0);
	}
	while (reads) {
		struct slu_read_state *st = reads;

		reads = st->next;
		if (!--st->pins && st->over)
			slu_read_state_put(st);
	}
}

void slu_reader_cancel(struct slu_reader *r)
{
	struct slu_readers *rs = r->rs;

	pthread_mutex_lock(&rs->lock);
	slu_reader_hold(r);
	cancel_ops(r, true);
	slu_reader_drop(r);
	pthread_mutex_unlock(&rs->lock);
}

void slu_reader_unref(struct slu_reader *r)
{
	struct slu_readers *rs;

	if (!r)
		return;
	rs = r->rs;
	pthread_mutex_lock(&rs->lock);
	assert(r->users);
	if (!--r->users) {
		slu_block_drop_idle(r);
		cancel_ops(r, false);
	}
	slu_reader_drop(r);
	pthread_mutex_unlock(&rs->lock);
}

/* A pinned object that is gone has changed: its name is in the manifest. */
static int fail_rc(const struct slu_reader *r, const struct slu_op *op, struct slu_err *e)
{
	*e = op->err;
	if (op->rc == -ENOENT && r->id[0])
		return slu_fail(e, ESTALE, "'%s' is gone; it was %s", r->path, r->id);
	if (!e->code)
		slu_fail_sys(e, -op->rc, "cannot read '%s'", r->path);
	return op->rc;
}

/* Hands the read its data or its error, then lets go of everything.  No lock held. */
static void finish(struct slu_read_state *st)
{
	struct slu_read *rd = st->rd;
	struct slu_reader *r = st->r;
	struct slu_readers *rs = r->rs;

	rd->rc = st->rc;
	rd->niov = 0;
	if (st->rc) {
		rd->err = st->err;
	} else if (!st->np) {
		rd->iov[rd->niov++] = (struct iovec){rd->buf, rd->len};
	} else if (st->np <= SLU_READ_IOV) {
		for (unsigned i = 0; i < st->np; i++)
			rd->iov[rd->niov++] =
				(struct iovec){st->p[i].b->p + st->p[i].off, st->p[i].len};
	} else {
		char *to = rd->buf;

		for (unsigned i = 0; i < st->np; to += st->p[i].len, i++)
			memcpy(to, st->p[i].b->p + st->p[i].off, st->p[i].len);
		rd->iov[rd->niov++] = (struct iovec){rd->buf, rd->len};
	}
	rd->done(rd);

	pthread_mutex_lock(&rs->lock);
	for (unsigned i = 0; i < st->np; i++)
		slu_block_unpin(st->p[i].b, st->rc ? 0 : st->p[i].len);
	if (st->pins)
		st->over = true;
	else
		slu_read_state_put(st);
	slu_reader_drop(r);
	pthread_mutex_unlock(&rs->lock);
}

static void direct_done(struct slu_op *op)
{
	struct slu_read_state *st = op->user;
	struct slu_reader *r = st->r;
	bool inline_done = submitting == st;

	if (inline_done)
		submitting = NULL;
	pthread_mutex_lock(&r->rs->lock);
	*(st->prev ? &st->prev->succ : &r->direct) = st->succ;
	if (st->succ)
		st->succ->prev = st->prev;
	if (op->rc)
		st->rc = fail_rc(r, op, &st->err);
	else
		SLU_READER_COUNT(r, fetched, op->len);
	if (op->rc)
		;
	else if (!inline_done)
		r->cold = true;
	else if (st->unhinted)
		r->cold = false;
	pthread_mutex_unlock(&r->rs->lock);
	finish(st);
}

/* Lock held. */
static void direct_add(struct slu_read_state *st)
{
	struct slu_reader *r = st->r;

	st->np = 0;
	st->succ = r->direct;
	st->prev = NULL;
	if (r->direct)
		r->direct->prev = st;
	r->direct = st;
	slu_op_read(&st->op, r->path, st->rd->off, st->rd->len, st->rd->buf,
		    r->id[0] ? r->id : NULL);
	st->op.size = r->size;
	st->op.deadline = st->rd->deadline;
	st->op.done = direct_done;
	st->op.user = st;
	SLU_READER_COUNT(r, requests, 1);
}

static void direct_submit(struct slu_read_state *st)
{
	struct slu_read_state *outer = submitting;
	struct slu_store *store = st->r->store;

	submitting = st;
	slu_store_submit(store, &st->op);
	submitting = outer;
}

/* Only read-ahead failed under these reads: now somebody asks for the bytes, so ask again. */
static void read_again(struct slu_read_state *st)
{
	struct slu_readers *rs = st->r->rs;

	pthread_mutex_lock(&rs->lock);
	for (unsigned i = 0; i < st->np; i++)
		slu_block_unpin(st->p[i].b, 0);
	st->rc = 0;
	st->again = false;
	direct_add(st);
	pthread_mutex_unlock(&rs->lock);
	direct_submit(st);
}

static void run_ready(struct slu_read_state *ready)
{
	while (ready) {
		struct slu_read_state *st = ready;

		ready = st->next;
		if (st->rc && st->again)
			read_again(st);
		else
			finish(st);
	}
}

/* Lock held.  Takes the result of b to one read that waited for it. */
static void wake(struct slu_read_state *st, const struct slu_block *b)
{
	if (b->op.rc && (!st->rc || st->again)) {
		st->rc = fail_rc(st->r, &b->op, &st->err);
		st->again = !b->demand && st->rc != -ESTALE && st->rc != -ECANCELED;
	}
	st->pending--;
}

static void block_done(struct slu_op *op)
{
	struct slu_block *b = op->user;
	struct slu_reader *r = b->r;
	struct slu_readers *rs = r->rs;
	struct slu_read_state *ready = NULL;

	pthread_mutex_lock(&rs->lock);
	for (struct slu_piece *p = b->waiters; p; p = p->next) {
		wake(p->st, b);
		if (p->st->pending)
			continue;
		p->st->next = ready;
		ready = p->st;
	}
	b->waiters = NULL;
	if (op->rc) {
		slu_block_kill(b);
	} else {
		SLU_READER_COUNT(r, fetched, b->len);
		if (b->prefetched)
			SLU_READER_COUNT(r, prefetched, b->len);
		else if (!b->demand)
			SLU_READER_COUNT(r, ahead, b->len);
		slu_block_clean(b);
		if (!r->users && !b->pins)
			slu_block_kill(b);
	}
	slu_reader_drop(r);
	pthread_mutex_unlock(&rs->lock);
	run_ready(ready);
}

static void block_op(struct slu_block *b, int64_t deadline, uint8_t prio)
{
	struct slu_reader *r = b->r;

	slu_op_read(&b->op, r->path, b->off, b->len, b->p, r->id[0] ? r->id : NULL);
	b->op.size = r->size;
	b->op.deadline = deadline;
	b->op.prio = prio;
	b->op.done = block_done;
	b->op.user = b;
	SLU_READER_COUNT(r, requests, 1);
}

/* Lock held. */
static void count_hit(struct slu_reader *r, bool there, size_t len)
{
	if (there)
		SLU_READER_COUNT(r, hits, len);
	else
		SLU_READER_COUNT(r, joined, len);
	slu_stat_add(there ? SLU_STAT_HIT_MEMORY : SLU_STAT_HIT_JOINED, len);
}

/* Lock held.  Makes st show `from` of block b. */
static void attach(struct slu_read_state *st, struct slu_block *b, uint64_t pos, uint64_t end)
{
	uint64_t z = b->off + b->len < end ? b->off + b->len : end;
	struct slu_piece *p = &st->p[st->np++];

	*p = (struct slu_piece){
		.b = b, .st = st, .off = (size_t)(pos - b->off), .len = (size_t)(z - pos)};
	b->pins++;
	if (b->state == SLU_BLOCK_FILLING) {
		if (b->waiters || !b->demand)
			count_hit(st->r, false, p->len);
		p->next = b->waiters;
		b->waiters = p;
		st->pending++;
	} else {
		count_hit(st->r, true, p->len);
	}
}

/* Lock held.  The block that fills the gap at pos before the block after it. */
static struct slu_block *fill_gap(struct slu_read_state *st, uint64_t pos, uint64_t end, size_t i,
				  struct plan *plan)
{
	struct slu_reader *r = st->r;
	uint64_t a = pos & ~(uint64_t)(SLU_READ_UNIT - 1), z = end, stop = r->size;

	if (i < r->nb && r->b[i]->off < stop)
		stop = r->b[i]->off;
	if (i > 0 && r->b[i - 1]->off + r->b[i - 1]->len > a)
		a = r->b[i - 1]->off + r->b[i - 1]->len;
	z = (z + SLU_READ_UNIT - 1) & ~(uint64_t)(SLU_READ_UNIT - 1);
	if (z > stop)
		z = stop;
	struct slu_block *b = slu_block_new(r, a, (size_t)(z - a), true);

	if (!b)
		return NULL;
	block_op(b, st->rd->deadline, 0);
	b->next = NULL;
	*plan->tail = b;
	plan->tail = &b->next;
	return b;
}

/* Lock held.  Undoes a cover() that could not be completed. */
static void uncover(struct slu_read_state *st, struct plan *plan)
{
	for (unsigned i = 0; i < st->np; i++) {
		struct slu_piece **pp = &st->p[i].b->waiters;

		while (*pp && *pp != &st->p[i])
			pp = &(*pp)->next;
		if (*pp)
			*pp = st->p[i].next;
		slu_block_unpin(st->p[i].b, 0);
	}
	st->np = st->pending = 0;
	while (plan->submit) {
		struct slu_block *b = plan->submit;

		plan->submit = b->next;
		slu_block_kill(b);
	}
	plan->tail = &plan->submit;
}

/* Lock held.  Lays blocks, old and new, under the whole read; false: too many, or no budget. */
static bool cover(struct slu_read_state *st, struct plan *plan)
{
	struct slu_reader *r = st->r;
	uint64_t pos = st->rd->off, end = pos + st->rd->len;
	size_t i = slu_block_find(r, pos);

	while (pos < end) {
		struct slu_block *b = i < r->nb && r->b[i]->off <= pos ? r->b[i] : NULL;

		if (st->np == SLU_READ_PIECES)
			return false;
		if (!b) {
			size_t n = r->nb;

			b = fill_gap(st, pos, end, i, plan);
			if (!b)
				return false;
			/* Making room may have taken blocks of this very reader. */
			if (r->nb != n + 1)
				i = slu_block_find(r, pos);
		}
		attach(st, b, pos, end);
		pos = b->off + b->len;
		i++;
	}
	return true;
}

/* Lock held.  Bytes that one stream may have ahead of it: a fair part of the budget. */
static uint64_t window_of(const struct slu_readers *rs)
{
	uint64_t part = rs->conf.budget / (rs->steady ? rs->steady : 1);

	if (part < 2 * rs->conf.block)
		part = 2 * rs->conf.block;
	return part < rs->conf.window_max ? part : rs->conf.window_max;
}

/* Lock held.  Blocks ahead of the stream, each up to the next multiple of the block size. */
static void read_ahead(struct slu_reader *r, struct slu_stream *s, struct plan *plan)
{
	size_t size = r->rs->conf.block;
	uint64_t target = slu_stream_target(s, window_of(r->rs), r->size);

	while (s->ahead < target) {
		size_t i = slu_block_find(r, s->ahead);
		uint64_t z = s->ahead - s->ahead % size + size;
		uint64_t far = (s->ahead - s->head) / size / 2;

		if (z > r->size)
			z = r->size;
		if (i < r->nb && r->b[i]->off <= s->ahead) {
			s->ahead = r->b[i]->off + r->b[i]->len;
			continue;
		}
		if (i < r->nb && r->b[i]->off < z)
			z = r->b[i]->off;
		struct slu_block *b = slu_block_new(r, s->ahead, (size_t)(z - s->ahead), false);

		if (!b)
			return;
		block_op(b, 0, (uint8_t)(1 + (far < 8 ? far : 8)));
		b->next = NULL;
		*plan->tail = b;
		plan->tail = &b->next;
		s->ahead = z;
	}
}

static void hint_done(struct slu_op *op)
{
	struct hint *h = op->user;
	struct slu_reader *r = h->r;
	struct slu_readers *rs = r->rs;

	pthread_mutex_lock(&rs->lock);
	r->hints--;
	slu_reader_drop(r);
	pthread_mutex_unlock(&rs->lock);
	free(h);
}

/* Lock held.  Asks the store to read ahead by itself, half a window at a time. */
static void hint_ahead(struct slu_reader *r, struct slu_stream *s, struct plan *plan)
{
	uint64_t window = r->rs->conf.window_max < HINT_MAX ? r->rs->conf.window_max : HINT_MAX;
	uint64_t target = slu_stream_target(s, window, r->size);

	if (!r->cold || r->hints >= HINTS || target <= s->ahead ||
	    (s->ahead - s->head > window / 2 && target < r->size))
		return;
	struct hint *h = slu_malloc(sizeof *h);
	if (!h)
		return;
	h->r = r;
	slu_op_prefetch(&h->op, r->path, s->ahead, (size_t)(target - s->ahead),
			r->id[0] ? r->id : NULL);
	h->op.prio = HINT_PRIO;
	h->op.done = hint_done;
	h->op.user = h;
	r->hints++;
	slu_reader_hold(r);
	s->ahead = target;
	plan->hint = h;
}

/* Lock held. */
static void make_plan(struct slu_read_state *st, struct plan *plan)
{
	struct slu_reader *r = st->r;
	struct slu_read *rd = st->rd;
	int change;
	struct slu_stream *s;
	uint64_t ahead;

	s = slu_streams_note(&r->streams, rd->off, rd->len, &change);
	r->rs->steady += (unsigned)change;
	ahead = s ? s->ahead : 0;
	if (slu_store_can(r->store, SLU_CAP_PREFETCH)) {
		plan->direct = true;
		st->unhinted = rd->off >= ahead || ahead == rd->off + rd->len;
		if (s)
			hint_ahead(r, s, plan);
	} else {
		plan->direct = !cover(st, plan);
		if (plan->direct)
			uncover(st, plan);
		if (s && !plan->direct)
			read_ahead(r, s, plan);
	}
	if (plan->direct)
		direct_add(st);
	for (struct slu_block *b = plan->submit; b; b = b->next)
		slu_reader_hold(r);
}

void slu_reader_read(struct slu_reader *r, struct slu_read *rd)
{
	struct plan plan = {.tail = &plan.submit};
	struct slu_read_state *st;
	bool ready = false;

	rd->rc = 0;
	rd->niov = 0;
	rd->err.code = 0;
	if (rd->off >= r->size || !rd->len) {
		rd->len = 0;
		rd->done(rd);
		return;
	}
	if (rd->len > READ_MAX)
		rd->len = READ_MAX;
	if (rd->len > r->size - rd->off)
		rd->len = (size_t)(r->size - rd->off);

	pthread_mutex_lock(&r->rs->lock);
	st = slu_read_state_get(r, rd);
	if (st) {
		slu_reader_hold(r);
		SLU_READER_COUNT(r, reads, 1);
		SLU_READER_COUNT(r, asked, rd->len);
		make_plan(st, &plan);
		ready = !plan.direct && !st->pending;
	}
	pthread_mutex_unlock(&r->rs->lock);
	if (!st) {
		rd->rc = slu_fail_oom(&rd->err);
		rd->done(rd);
		return;
	}
	/* From here on r, st and rd may be gone as soon as the last thing they wait for is under way. */
	struct slu_store *store = r->store;

	if (ready)
		finish(st);
	else if (plan.direct)
		direct_submit(st);
	for (struct slu_block *b = plan.submit, *next; b; b = next) {
		next = b->next;
		slu_store_submit(store, &b->op);
	}
	if (plan.hint)
		slu_store_submit(store, &plan.hint->op);
}

/* Lock held.  Blocks under the gaps of [off, end), as the budget allows; where they end. */
static uint64_t lay_prefetch(struct slu_reader *r, uint64_t off, uint64_t end, struct plan *plan)
{
	size_t size = r->rs->conf.block;

	while (off < end) {
		size_t i = slu_block_find(r, off);
		uint64_t z = off - off % size + size;

		if (i < r->nb && r->b[i]->off <= off) {
			off = r->b[i]->off + r->b[i]->len;
			continue;
		}
		if (z > end)
			z = end;
		if (i < r->nb && r->b[i]->off < z)
			z = r->b[i]->off;
		struct slu_block *b = slu_block_new(r, off, (size_t)(z - off), false);

		if (!b)
			break;
		b->prefetched = true;
		block_op(b, 0, PREFETCH_PRIO);
		slu_reader_hold(r);
		b->next = NULL;
		*plan->tail = b;
		plan->tail = &b->next;
		off = z;
	}
	return off < end ? off : end;
}

uint64_t slu_reader_prefetch(struct slu_reader *r, uint64_t off, uint64_t len)
{
	struct plan plan = {.tail = &plan.submit};
	uint64_t end;

	if (off >= r->size)
		return 0;
	end = len < r->size - off ? off + len : r->size;
	if (slu_store_can(r->store, SLU_CAP_PREFETCH))
		return end - off; /* its own read-ahead, and the kernel's cache, are as good */
	pthread_mutex_lock(&r->rs->lock);
	end = lay_prefetch(r, off, end, &plan);
	pthread_mutex_unlock(&r->rs->lock);
	for (struct slu_block *b = plan.submit, *next; b; b = next) {
		next = b->next;
		slu_store_submit(r->store, &b->op);
	}
	return end - off;
}

void slu_reader_get_stats(struct slu_reader *r, struct slu_reader_stats *ret)
{
	pthread_mutex_lock(&r->rs->lock);
	*ret = r->stats;
	pthread_mutex_unlock(&r->rs->lock);
}

void slu_readers_get_stats(struct slu_readers *rs, struct slu_reader_stats *ret)
{
	pthread_mutex_lock(&rs->lock);
	*ret = rs->stats;
	pthread_mutex_unlock(&rs->lock);
}
