/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader's memory: blocks under one budget, least recently used first out.  Freed block buffers
 * are kept a while, inside the budget, since a fresh mebibyte costs more in page faults than in
 * copying.  All functions run with readers->lock held (reader_impl.h); none does I/O.
 */
#include "common/mem.h"
#include "common/time.h"
#include "fs/reader_impl.h"

#include <assert.h>
#include <string.h>

#define STALE_NS (3 * SLU_SEC)
#define STATES_MAX 64

static void lru_del(struct slu_readers *rs, struct slu_block *b)
{
	*(b->older ? &b->older->newer : &rs->oldest) = b->newer;
	*(b->newer ? &b->newer->older : &rs->newest) = b->older;
	b->older = b->newer = NULL;
}

static void lru_add(struct slu_readers *rs, struct slu_block *b)
{
	b->older = rs->newest;
	b->newer = NULL;
	*(rs->newest ? &rs->newest->newer : &rs->oldest) = b;
	rs->newest = b;
	b->stamp = slu_now();
}

static void spare_drop(struct slu_readers *rs)
{
	void *p = rs->spare;

	memcpy(&rs->spare, p, sizeof rs->spare);
	rs->spare_bytes -= rs->conf.block;
	free(p);
}

static char *buffer_get(struct slu_readers *rs, size_t len)
{
	if (len == rs->conf.block && rs->spare) {
		void *p = rs->spare;

		memcpy(&rs->spare, p, sizeof rs->spare);
		rs->spare_bytes -= len;
		return p;
	}
	while (rs->spare && rs->used + rs->spare_bytes + len > rs->conf.budget)
		spare_drop(rs);
	return slu_malloc(len);
}

static void buffer_put(struct slu_readers *rs, char *p, size_t len)
{
	if (!p)
		return;
	if (len != rs->conf.block) {
		free(p);
		return;
	}
	memcpy(p, &rs->spare, sizeof rs->spare);
	rs->spare = p;
	rs->spare_bytes += len;
}

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
		size_t cap = r->cap ? 2 * r->cap : 16;
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

static void block_free(struct slu_block *b)
{
	struct slu_readers *rs = b->r->rs;

	rs->used -= b->len;
	buffer_put(rs, b->p, b->len);
	free(b);
}

void slu_block_kill(struct slu_block *b)
{
	if (b->state == SLU_BLOCK_CLEAN) {
		lru_del(b->r->rs, b);
		if (!b->demand && !b->eaten)
			SLU_READER_COUNT(b->r, waste, b->len);
	}
	if (b->state != SLU_BLOCK_DEAD)
		list_del(b->r, b);
	b->state = SLU_BLOCK_DEAD;
	if (!b->pins)
		block_free(b);
}

/* Makes room for n more bytes. */
static bool make_room(struct slu_readers *rs, size_t n, bool demand)
{
	int64_t stale = slu_now() - STALE_NS;
	struct slu_block *b = rs->oldest, *newer;

	for (; b && rs->used + n > rs->conf.budget; b = newer) {
		newer = b->newer;
		if (!demand && b->stamp > stale)
			break;
		if (!b->pins)
			slu_block_kill(b);
	}
	return rs->used + n <= rs->conf.budget;
}

struct slu_block *slu_block_new(struct slu_reader *r, uint64_t off, size_t len, bool demand)
{
	struct slu_readers *rs = r->rs;

	if (!make_room(rs, len, demand))
		return NULL;
	struct slu_block *b = slu_malloc(sizeof *b);
	if (!b)
		return NULL;
	*b = (struct slu_block){.r = r, .off = off, .len = len, .demand = demand};
	b->p = buffer_get(rs, len);
	if (!b->p || !list_add(r, b)) {
		buffer_put(rs, b->p, len);
		free(b);
		return NULL;
	}
	rs->used += len;
	return b;
}

void slu_block_clean(struct slu_block *b)
{
	b->state = SLU_BLOCK_CLEAN;
	lru_add(b->r->rs, b);
}

void slu_block_unpin(struct slu_block *b, size_t eaten)
{
	assert(b->pins);
	b->pins--;
	b->eaten += eaten;
	if (b->state == SLU_BLOCK_CLEAN && eaten) {
		lru_del(b->r->rs, b);
		lru_add(b->r->rs, b);
	}
	if (b->pins)
		return;
	if (b->state == SLU_BLOCK_DEAD)
		block_free(b);
	else if (b->state == SLU_BLOCK_CLEAN && (b->eaten >= b->len || !b->r->users))
		slu_block_kill(b);
}

void slu_block_drop_idle(struct slu_reader *r)
{
	for (size_t i = r->nb; i-- > 0;)
		if (r->b[i]->state == SLU_BLOCK_CLEAN && !r->b[i]->pins)
			slu_block_kill(r->b[i]);
}

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
	st->np = st->pending = st->pins = 0;
	st->rc = 0;
	st->again = st->unhinted = st->over = false;
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
	for (struct slu_block *b = rs->oldest, *newer; b && b->stamp <= before; b = newer) {
		newer = b->newer;
		if (!b->pins)
			slu_block_kill(b);
	}
	while (rs->spare)
		spare_drop(rs);
	while (rs->states) {
		struct slu_read_state *st = rs->states;

		rs->states = st->next;
		free(st);
	}
	rs->nstates = 0;
	pthread_mutex_unlock(&rs->lock);
}

uint64_t slu_readers_used(struct slu_readers *rs)
{
	pthread_mutex_lock(&rs->lock);
	uint64_t used = rs->used;
	pthread_mutex_unlock(&rs->lock);

	return used;
}
