/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers: their life, reads on their way, and how they end.  What is fetched is reader_plan.c's.  A
 * read that finds no budget waits in the budget's queue, in no thread, and is planned again when it is
 * its turn.  No retries and no timers here: the layers below and the caller have them.
 */
#include "fs/reader.h"

#include "common/mem.h"
#include "common/time.h"
#include "fs/reader_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_MAX (1u << 20)

/* The loose block this thread is submitting: tells a completion inside submit from a later one. */
static _Thread_local struct slu_block *submitting;

int slu_readers_new(const struct slu_readers_conf *conf, struct slu_readers **ret)
{
	struct slu_readers *rs = slu_new0(struct slu_readers);
	pthread_condattr_t attr;

	if (!rs)
		return -ENOMEM;
	if (conf)
		rs->conf = *conf;
	rs->budget = rs->conf.budget ? rs->conf.budget : slu_budget_process();
	if (!rs->budget) {
		free(rs);
		return -ENOMEM;
	}
	rs->conf.block -= rs->conf.block % SLU_READ_UNIT;
	if (!rs->conf.block || rs->conf.block > SLU_BLOCK_MAX)
		rs->conf.block = SLU_BLOCK_MAX;
	pthread_mutex_init(&rs->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&rs->idle, &attr);
	pthread_condattr_destroy(&attr);
	rs->yield.yield = slu_readers_yield;
	slu_budget_yield_add(rs->budget, &rs->yield);
	*ret = rs;
	return 0;
}

int slu_readers_drain(struct slu_readers *rs, int64_t deadline)
{
	struct timespec at = {.tv_sec = deadline / SLU_SEC, .tv_nsec = deadline % SLU_SEC};
	int r = 0;

	pthread_mutex_lock(&rs->lock);
	while ((rs->readers || rs->giving) && !r)
		r = deadline ? pthread_cond_timedwait(&rs->idle, &rs->lock, &at)
			     : pthread_cond_wait(&rs->idle, &rs->lock);
	r = rs->readers || rs->giving ? -ETIMEDOUT : 0;
	slu_readers_unlock(rs);
	return r;
}

void slu_readers_free(struct slu_readers *rs)
{
	if (!rs)
		return;
	assert(!rs->readers);
	slu_budget_yield_remove(rs->budget, &rs->yield);
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
	r->time = rs->time;
	if (store->ahead > rs->ahead_least)
		rs->ahead_least = store->ahead;
	slu_readers_unlock(rs);
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
	assert(!r->nb && !r->loose && !r->poor);
	if (r->streams)
		rs->steady -= slu_streams_steady(r->streams);
	if (!--rs->readers)
		pthread_cond_broadcast(&rs->idle);
	free(r->streams);
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
	slu_readers_unlock(r->rs);
}

/* --- the end of a read --- */

/* A pinned object that is gone has changed: its name is in the manifest. */
static int fail_rc(const struct slu_reader *r, const struct slu_op *op, struct slu_err *e)
{
	*e = op->err;
	if (op->rc == -ENOENT && r->id[0])
		return slu_fail(e, ESTALE, "'%s' is gone (it was %s): " SLU_STALE_REMEDY, r->path,
				r->id);
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
	if (st->rc)
		rd->err = st->err;
	for (unsigned i = 0; i < st->np && !st->rc; i++)
		rd->iov[rd->niov++] = (struct iovec){st->p[i].b->p + st->p[i].off, st->p[i].len};
	rd->done(rd);

	pthread_mutex_lock(&rs->lock);
	for (unsigned i = 0; i < st->np; i++) {
		if (!st->rc)
			slu_block_seen(st->p[i].b, st->p[i].off, st->p[i].len);
		slu_block_unpin(st->p[i].b);
	}
	slu_read_state_put(st);
	slu_reader_drop(r);
	slu_readers_unlock(rs);
}

/* Ends reads that wait for the budget or hang, as cancel wants it. */
static void finish_all(struct slu_read_state *list)
{
	while (list) {
		struct slu_read_state *st = list;

		list = st->next;
		finish(st);
	}
}

/* --- reads on their way --- */

static void poor_add(struct slu_read_state *st)
{
	struct slu_reader *r = st->r;

	st->poor = true;
	st->prev = NULL;
	st->succ = r->poor;
	if (r->poor)
		r->poor->prev = st;
	r->poor = st;
}

static void poor_del(struct slu_read_state *st)
{
	*(st->prev ? &st->prev->succ : &st->r->poor) = st->succ;
	if (st->succ)
		st->succ->prev = st->prev;
	st->poor = false;
}

static void resume(void *state);

static void granted(struct slu_budget_wait *w)
{
	struct slu_read_state *st = w->user;

	slu_bounce(&st->bounce, resume, st);
}

static void submit(struct slu_store *store, struct slu_plan *plan)
{
	struct slu_block *outer = submitting;

	for (struct slu_block *b = plan->submit, *next; b; b = next) {
		next = b->next;
		submitting = b->loose ? b : NULL;
		slu_store_submit(store, &b->op);
	}
	submitting = outer;
	if (plan->hint)
		slu_store_submit(store, plan->hint);
}

/* Lock held, and let go of meanwhile.  What is on its way ahead of the read, which waits for it now, is as
 * urgent as what was asked for on its account.  Pinned meanwhile, as for a cancel. */
static void hurry(struct slu_read_state *st)
{
	struct slu_readers *rs = st->r->rs;
	struct slu_store *store = st->r->store;
	struct slu_block *late[SLU_READ_IOV];
	unsigned n = 0;

	for (unsigned i = 0; i < st->np; i++) {
		struct slu_block *b = st->p[i].b;

		if (b->state != SLU_BLOCK_FILLING || b->why == SLU_BUDGET_DEMAND || b->hurried)
			continue;
		b->hurried = true;
		slu_block_pin(b);
		late[n++] = b;
	}
	if (!n)
		return;
	slu_readers_unlock(rs);
	for (unsigned i = 0; i < n; i++)
		slu_store_hurry(store, &late[i]->op);
	pthread_mutex_lock(&rs->lock);
	for (unsigned i = 0; i < n; i++)
		slu_block_unpin(late[i]);
}

/* Plans the read and does what the plan says.  Takes the lock, held, and lets go of it.  r, st and the
 * read may be gone as soon as the last thing that they wait for is under way. */
static void advance(struct slu_read_state *st)
{
	struct slu_reader *r = st->r;
	struct slu_readers *rs = r->rs;
	struct slu_store *store = r->store;
	struct slu_plan plan = {.tail = &plan.submit};
	enum slu_laid laid = slu_reader_plan(st, &plan);
	bool ready = laid == SLU_LAID && !st->pending;
	uint64_t need = 0;

	if (laid == SLU_LAID_POOR) {
		poor_add(st);
		need = slu_reader_need(st);
		st->wait = (struct slu_budget_wait){.granted = granted, .user = st};
	} else if (laid == SLU_LAID_NO_MEM) {
		st->rc = slu_fail_oom(&st->err);
		ready = true;
	}
	slu_reader_hold(r); /* hurry needs it, and its blocks need it */
	if (laid == SLU_LAID && !ready)
		hurry(st);
	slu_reader_drop(r);
	slu_readers_unlock(rs);
	if (ready)
		finish(st);
	submit(store, &plan);
	if (laid == SLU_LAID_POOR &&
	    slu_budget_wait(rs->budget, &st->wait, SLU_BUDGET_DEMAND, need))
		resume(st);
}

/* The budget gave what the read needs. */
static void resume(void *state)
{
	struct slu_read_state *st = state;

	pthread_mutex_lock(&st->r->rs->lock);
	poor_del(st);
	st->grant = st->wait.n;
	advance(st);
}

/* Only read-ahead failed under the read: now somebody asks for the bytes, so ask again. */
static void read_again(struct slu_read_state *st)
{
	pthread_mutex_lock(&st->r->rs->lock);
	for (unsigned i = 0; i < st->np; i++)
		slu_block_unpin(st->p[i].b);
	st->np = 0;
	st->rc = 0;
	st->again = false;
	advance(st);
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
		st->again =
			b->why != SLU_BUDGET_DEMAND && st->rc != -ESTALE && st->rc != -ECANCELED;
	}
	st->pending--;
}

/* Lock held.  A block has arrived: what it tells of the store. */
static void learn(struct slu_block *b, bool inline_done)
{
	struct slu_reader *r = b->r;

	SLU_READER_COUNT(r, fetched, b->len);
	if (b->why == SLU_BUDGET_PREFETCH)
		SLU_READER_COUNT(r, prefetched, b->len);
	else if (b->why == SLU_BUDGET_AHEAD)
		SLU_READER_COUNT(r, ahead, b->len);
	if (b->loose) {
		if (!inline_done)
			r->cold = true;
		else if (b->waiters && b->waiters->st->unhinted)
			r->cold = false;
		return;
	}
	if (b->len == r->rs->conf.block || !r->time.until) {
		int64_t now = slu_now();

		slu_pace_fetched(&r->time, now - b->stamp, now);
		r->rs->time = r->time;
	}
}

void slu_reader_block_done(struct slu_op *op)
{
	struct slu_block *b = op->user;
	struct slu_reader *r = b->r;
	struct slu_readers *rs = r->rs;
	struct slu_read_state *ready = NULL;
	bool inline_done = submitting == b;

	pthread_mutex_lock(&rs->lock);
	if (!op->rc)
		learn(b, inline_done);
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
		slu_block_clean(b);
		if (!r->users && !b->pins)
			slu_block_kill(b);
	}
	slu_reader_drop(r);
	slu_readers_unlock(rs);
	run_ready(ready);
}

void slu_reader_hint_done(struct slu_op *op)
{
	struct slu_reader *r = op->user;
	struct slu_readers *rs = r->rs;

	pthread_mutex_lock(&rs->lock);
	r->hints--;
	slu_reader_drop(r);
	slu_readers_unlock(rs);
	free(op);
}

void slu_reader_read(struct slu_reader *r, struct slu_read *rd)
{
	struct slu_readers *rs = r->rs;
	struct slu_read_state *st;

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

	pthread_mutex_lock(&rs->lock);
	st = slu_read_state_get(r, rd);
	if (!st) {
		slu_readers_unlock(rs);
		rd->rc = slu_fail_oom(&rd->err);
		rd->done(rd);
		return;
	}
	slu_reader_hold(r);
	SLU_READER_COUNT(r, reads, 1);
	SLU_READER_COUNT(r, asked, rd->len);
	advance(st);
}

uint64_t slu_reader_prefetch(struct slu_reader *r, uint64_t off, uint64_t len)
{
	struct slu_plan plan = {.tail = &plan.submit};
	uint64_t end;

	if (off >= r->size)
		return 0;
	end = len < r->size - off ? off + len : r->size;
	if (slu_store_can(r->store, SLU_CAP_PREFETCH))
		return end - off; /* its own read-ahead, and the kernel's cache, are as good */
	pthread_mutex_lock(&r->rs->lock);
	uint64_t got =
		slu_reader_lay(r, off, end, SLU_BUDGET_PREFETCH, SLU_READER_PREFETCH_PRIO, &plan);

	slu_readers_unlock(r->rs);
	submit(r->store, &plan);
	return (got < end ? got : end) - off;
}

/* --- letting go --- */

/* Lock held, and let go of meanwhile.  Cancels the blocks in flight of r: those that nobody waits for, or
 * all.  Each is pinned while its cancel is on the way, since the lock cannot be held across it. */
static void cancel_blocks(struct slu_reader *r, bool all)
{
	struct slu_readers *rs = r->rs;
	struct slu_block *list = NULL;

	for (size_t i = 0; i < r->nb; i++) {
		struct slu_block *b = r->b[i];

		if (b->state != SLU_BLOCK_FILLING || (b->waiters && !all) || b->canceling)
			continue;
		b->next = list;
		list = b;
	}
	for (struct slu_block *b = all ? r->loose : NULL; b; b = b->newer) {
		if (b->canceling)
			continue;
		b->next = list;
		list = b;
	}
	for (struct slu_block *b = list; b; b = b->next) {
		b->canceling = true;
		slu_block_pin(b);
	}
	slu_readers_unlock(rs);
	for (struct slu_block *b = list; b; b = b->next)
		slu_store_cancel(r->store, &b->op);
	pthread_mutex_lock(&rs->lock);
	while (list) {
		struct slu_block *b = list;

		list = b->next;
		slu_block_unpin(b);
	}
}

/* Lock held.  Takes out the reads that wait for the budget. */
static struct slu_read_state *cancel_poor(struct slu_reader *r)
{
	struct slu_read_state *list = NULL;

	for (struct slu_read_state *st = r->poor, *succ; st; st = succ) {
		succ = st->succ;
		if (!slu_budget_cancel(r->rs->budget, &st->wait))
			continue;
		poor_del(st);
		st->rc = slu_fail(&st->err, ECANCELED, "reading '%s' was canceled", r->path);
		st->next = list;
		list = st;
	}
	return list;
}

void slu_reader_cancel(struct slu_reader *r)
{
	struct slu_readers *rs = r->rs;
	struct slu_read_state *list;

	pthread_mutex_lock(&rs->lock);
	slu_reader_hold(r);
	list = cancel_poor(r);
	cancel_blocks(r, true);
	slu_reader_drop(r);
	slu_readers_unlock(rs);
	finish_all(list);
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
		cancel_blocks(r, false);
	}
	slu_reader_drop(r);
	slu_readers_unlock(rs);
}

void slu_reader_get_stats(struct slu_reader *r, struct slu_reader_stats *ret)
{
	pthread_mutex_lock(&r->rs->lock);
	*ret = r->stats;
	slu_readers_unlock(r->rs);
}

void slu_readers_get_stats(struct slu_readers *rs, struct slu_reader_stats *ret)
{
	pthread_mutex_lock(&rs->lock);
	*ret = rs->stats;
	slu_readers_unlock(rs);
}
