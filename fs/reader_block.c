/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader's memory: blocks, charged to the process's budget, least recently used first out.  Freed
 * buffers of whole units are kept a while, inside the budget, since a fresh mebibyte costs more in page
 * faults than in copying.  All functions run with readers->lock held (reader_impl.h); none does I/O.
 */
#include "common/mem.h"
#include "common/time.h"
#include "fs/reader_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STALE_NS (3 * SLU_SEC)
#define PREFETCH_KEEP_NS (20 * SLU_SEC)
#define STATES_MAX 64
#define SPARE_MAX (8ull << 20) /* and what a stream has ahead at least */
#define LEFT_MAX (16ull << 20)

/* --- what may be dropped --- */

static struct slu_block_list *list_of(struct slu_block *b)
{
	struct slu_readers *rs = b->r->rs;

	if (b->why == SLU_BUDGET_DEMAND)
		return &rs->left;
	return b->cls == SLU_BUDGET_PREFETCH ? &rs->prefetch : &rs->ahead;
}

static void idle_del(struct slu_block *b)
{
	struct slu_block_list *l = list_of(b);

	*(b->older ? &b->older->newer : &l->oldest) = b->newer;
	*(b->newer ? &b->newer->older : &l->newest) = b->older;
	b->older = b->newer = NULL;
	l->bytes -= b->cost;
}

static void idle_add(struct slu_block *b)
{
	struct slu_block_list *l = list_of(b);

	b->older = l->newest;
	b->newer = NULL;
	*(l->newest ? &l->newest->newer : &l->oldest) = b;
	l->newest = b;
	l->bytes += b->cost;
	b->stamp = slu_now();
}

/* --- buffers --- */

/* 0: not one that is kept for reuse. */
static unsigned units_of(size_t cost)
{
	size_t n = cost / SLU_READ_UNIT;

	return cost % SLU_READ_UNIT || n > SLU_SPARE_UNITS ? 0 : (unsigned)n;
}

static char *spare_pop(struct slu_readers *rs, unsigned units)
{
	void *p = rs->spare[units];

	memcpy(&rs->spare[units], p, sizeof p);
	rs->spare_bytes -= (uint64_t)units * SLU_READ_UNIT;
	return p;
}

/* Frees spare buffers until n bytes are owed; they are charged as spare until then. */
static void spare_drop(struct slu_readers *rs, uint64_t n)
{
	for (unsigned u = SLU_SPARE_UNITS; u && rs->owed < n; u--) {
		while (rs->spare[u] && rs->owed < n) {
			free(spare_pop(rs, u));
			rs->owed += (uint64_t)u * SLU_READ_UNIT;
		}
	}
}

/* The memory of a block that was charged as cls. */
static void buffer_put(struct slu_readers *rs, char *p, size_t cost, enum slu_budget_class cls)
{
	unsigned units = units_of(cost);

	slu_budget_turn(rs->budget, cls, SLU_BUDGET_SPARE, cost);
	if (!p || !units || rs->spare_bytes + cost > SPARE_MAX + rs->ahead_least) {
		free(p);
		rs->owed += cost;
		return;
	}
	memcpy(p, &rs->spare[units], sizeof(void *));
	rs->spare[units] = p;
	rs->spare_bytes += cost;
}

/* Drops blocks, oldest first, until n bytes are owed; before: only those not touched since then. */
static void drop_blocks(struct slu_readers *rs, struct slu_block_list *l, uint64_t n,
			int64_t before)
{
	while (l->oldest && l->oldest->stamp <= before && rs->owed < n) {
		slu_block_kill(l->oldest);
		spare_drop(rs, n);
	}
}

/* Lets go of what is needed less than c, until n bytes are owed or nothing is left. */
static void make_room(struct slu_readers *rs, enum slu_budget_class c, uint64_t n)
{
	int64_t stale = slu_now() - STALE_NS;

	spare_drop(rs, n);
	drop_blocks(rs, &rs->left, n, INT64_MAX);
	/* What was ordered first is wanted first: it does not make room for what was ordered later. */
	if (c < SLU_BUDGET_PREFETCH)
		drop_blocks(rs, &rs->prefetch, n, INT64_MAX);
	drop_blocks(rs, &rs->ahead, n, c < SLU_BUDGET_AHEAD ? INT64_MAX : stale);
}

void slu_readers_unlock(struct slu_readers *rs)
{
	enum slu_budget_class c;
	uint64_t n;

	/* What could not be let go when somebody began to wait may be idle by now. */
	if (slu_budget_wanted(rs->budget, &c, &n))
		make_room(rs, c, n);
	n = rs->owed;
	rs->owed = 0;
	rs->giving += n > 0;
	pthread_mutex_unlock(&rs->lock);
	if (!n)
		return;
	slu_budget_give(rs->budget, SLU_BUDGET_SPARE, n);
	pthread_mutex_lock(&rs->lock);
	if (!--rs->giving && !rs->readers)
		pthread_cond_broadcast(&rs->idle);
	pthread_mutex_unlock(&rs->lock);
}

void slu_readers_yield(struct slu_budget_yield *y, enum slu_budget_class c, uint64_t n)
{
	struct slu_readers *rs = (struct slu_readers *)y;

	pthread_mutex_lock(&rs->lock);
	make_room(rs, c, n);
	slu_readers_unlock(rs);
}

static bool pay_owed(struct slu_readers *rs, enum slu_budget_class c, size_t cost)
{
	uint64_t n = rs->owed < cost ? rs->owed : cost;

	if (!slu_budget_swap(rs->budget, SLU_BUDGET_SPARE, n, c, cost))
		return false;
	rs->owed -= n;
	return true;
}

/* Charges cost to c and gives the memory for it; NULL: *ret_poor, or none to be had. */
static char *buffer_get(struct slu_readers *rs, enum slu_budget_class c, size_t cost,
			struct slu_read_state *st, bool *ret_poor)
{
	unsigned units = units_of(cost);
	bool paid = st && st->grant >= cost;
	char *p;

	*ret_poor = false;
	if (paid)
		st->grant -= cost;
	if (units && rs->spare[units]) {
		if (paid)
			rs->owed += cost;
		else if (!slu_budget_swap(rs->budget, SLU_BUDGET_SPARE, cost, c, cost))
			goto poor;
		return spare_pop(rs, units);
	}
	if (!paid && !pay_owed(rs, c, cost)) {
		make_room(rs, c, cost);
		if (!pay_owed(rs, c, cost))
			goto poor;
	}
	p = slu_malloc(cost);
	if (!p)
		buffer_put(rs, NULL, cost, c);
	return p;
poor:
	*ret_poor = true;
	return NULL;
}

/* --- blocks --- */

static void list_del(struct slu_reader *r, struct slu_block *b)
{
	size_t i = slu_block_find(r, b->off);

	assert(i < r->nb && r->b[i] == b);
	memmove(&r->b[i], &r->b[i + 1], (r->nb - i - 1) * sizeof r->b[0]);
	r->nb--;
}

static bool list_add(struct slu_reader *r, struct slu_block *b)
{
	if (r->nb == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 4;
		struct slu_block **p = slu_reallocarray(r->b, cap, sizeof *p);

		if (!p)
			return false;
		r->b = p;
		r->cap = cap;
	}
	size_t i = slu_block_find(r, b->off);

	memmove(&r->b[i + 1], &r->b[i], (r->nb - i) * sizeof r->b[0]);
	r->b[i] = b;
	r->nb++;
	return true;
}

size_t slu_block_find(const struct slu_reader *r, uint64_t pos)
{
	size_t lo = 0, hi = r->nb;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->b[mid]->off + r->b[mid]->len > pos)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static void loose_add(struct slu_reader *r, struct slu_block *b)
{
	b->newer = r->loose;
	if (r->loose)
		r->loose->older = b;
	r->loose = b;
}

static void loose_del(struct slu_reader *r, struct slu_block *b)
{
	*(b->older ? &b->older->newer : &r->loose) = b->newer;
	if (b->newer)
		b->newer->older = b->older;
	b->older = b->newer = NULL;
}

static void block_free(struct slu_block *b)
{
	struct slu_readers *rs = b->r->rs;

	rs->used -= b->cost;
	buffer_put(rs, b->p, b->cost, b->cls);
	free(b);
}

void slu_block_kill(struct slu_block *b)
{
	if (b->state == SLU_BLOCK_CLEAN && !b->pins && !b->loose)
		idle_del(b);
	if (b->state == SLU_BLOCK_CLEAN && b->why != SLU_BUDGET_DEMAND &&
	    b->unread == (b->len + SLU_READ_PAGE - 1) / SLU_READ_PAGE)
		SLU_READER_COUNT(b->r, waste, b->len);
	if (b->state == SLU_BLOCK_FILLING && b->loose)
		loose_del(b->r, b);
	else if (b->state != SLU_BLOCK_DEAD && !b->loose)
		list_del(b->r, b);
	b->state = SLU_BLOCK_DEAD;
	if (!b->pins)
		block_free(b);
}

struct slu_block *slu_block_new(struct slu_reader *r, uint64_t off, size_t len,
				enum slu_budget_class why, struct slu_read_state *st, bool loose,
				bool *ret_poor)
{
	struct slu_readers *rs = r->rs;
	size_t cost = (len + SLU_READ_PAGE - 1) / SLU_READ_PAGE * SLU_READ_PAGE;
	struct slu_block *b;

	*ret_poor = false;
	b = slu_malloc(sizeof *b);
	if (!b)
		return NULL;
	*b = (struct slu_block){.r = r, .off = off, .len = len, .cost = cost, .loose = loose};
	b->cls = b->why = why;
	b->unread = (unsigned)(cost / SLU_READ_PAGE);
	b->p = buffer_get(rs, why, cost, st, ret_poor);
	if (!b->p) {
		free(b);
		return NULL;
	}
	rs->used += cost;
	if (loose) {
		loose_add(r, b);
	} else if (!list_add(r, b)) {
		block_free(b);
		return NULL;
	}
	slu_reader_hold(r);
	return b;
}

/* CLEAN, and nobody waits for it: it may be dropped from now on.  Of what random reads fetched beside
 * what they asked for, some is kept, in case that they are not so random. */
static void settle(struct slu_block *b)
{
	struct slu_readers *rs = b->r->rs;

	if (b->cls == SLU_BUDGET_DEMAND) {
		slu_budget_turn(rs->budget, SLU_BUDGET_DEMAND, SLU_BUDGET_AHEAD, b->cost);
		b->cls = SLU_BUDGET_AHEAD;
	}
	idle_add(b);
	while (rs->left.bytes > LEFT_MAX)
		slu_block_kill(rs->left.oldest);
}

void slu_block_clean(struct slu_block *b)
{
	if (b->loose)
		loose_del(b->r, b);
	b->state = SLU_BLOCK_CLEAN;
	if (!b->pins && !b->loose)
		settle(b);
}

void slu_block_pin(struct slu_block *b)
{
	if (b->state == SLU_BLOCK_CLEAN && !b->pins && !b->loose)
		idle_del(b);
	b->pins++;
}

void slu_block_unpin(struct slu_block *b)
{
	assert(b->pins);
	if (--b->pins || b->state == SLU_BLOCK_FILLING)
		return;
	if (b->state == SLU_BLOCK_DEAD) {
		block_free(b);
		return;
	}
	if (b->loose || !b->unread || !b->r->users) {
		b->pins++;
		slu_block_kill(b);
		b->pins--;
		block_free(b);
		return;
	}
	settle(b);
}

/* A page counts when its last byte was shown. */
void slu_block_seen(struct slu_block *b, size_t off, size_t len)
{
	size_t end = off + len;

	for (size_t i = off / SLU_READ_PAGE; i * SLU_READ_PAGE < end; i++) {
		uint64_t bit = 1ull << (i % 64);
		size_t last = (i + 1) * SLU_READ_PAGE;

		if ((last <= end || end == b->len) && !(b->seen[i / 64] & bit)) {
			b->seen[i / 64] |= bit;
			b->unread--;
		}
	}
}

void slu_block_drop_idle(struct slu_reader *r)
{
	for (size_t i = r->nb; i-- > 0;)
		if (r->b[i]->state == SLU_BLOCK_CLEAN && !r->b[i]->pins)
			slu_block_kill(r->b[i]);
}

/* --- reads --- */

struct slu_read_state *slu_read_state_get(struct slu_reader *r, struct slu_read *rd)
{
	struct slu_readers *rs = r->rs;
	struct slu_read_state *st = rs->states;

	if (st) {
		rs->states = st->next;
		rs->nstates--;
	} else {
		st = slu_malloc(sizeof *st);
		if (!st)
			return NULL;
	}
	st->rd = rd;
	st->r = r;
	st->next = st->prev = st->succ = NULL;
	st->np = st->pending = 0;
	st->rc = 0;
	st->again = st->unhinted = st->noted = st->poor = false;
	st->wait.queued = false;
	st->grant = 0;
	st->err.code = 0;
	st->err.msg[0] = '\0';
	return st;
}

void slu_read_state_put(struct slu_read_state *st)
{
	struct slu_readers *rs = st->r->rs;

	if (rs->nstates >= STATES_MAX) {
		free(st);
		return;
	}
	st->next = rs->states;
	rs->states = st;
	rs->nstates++;
}

void slu_readers_trim(struct slu_readers *rs, int64_t idle_ns)
{
	int64_t before = slu_now() - idle_ns;

	pthread_mutex_lock(&rs->lock);
	drop_blocks(rs, &rs->left, UINT64_MAX, before);
	drop_blocks(rs, &rs->prefetch, UINT64_MAX, before - (idle_ns ? PREFETCH_KEEP_NS : 0));
	drop_blocks(rs, &rs->ahead, UINT64_MAX, before);
	spare_drop(rs, UINT64_MAX);
	while (rs->states) {
		struct slu_read_state *st = rs->states;

		rs->states = st->next;
		free(st);
	}
	rs->nstates = 0;
	slu_readers_unlock(rs);
}

uint64_t slu_readers_used(struct slu_readers *rs)
{
	pthread_mutex_lock(&rs->lock);
	uint64_t used = rs->used;
	pthread_mutex_unlock(&rs->lock);

	return used;
}
