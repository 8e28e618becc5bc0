/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is fetched for a read, and ahead of it.  Nothing here submits: blocks go into a plan.
 *
 * A store with SLU_CAP_PREFETCH is read by loose blocks of just the bytes asked, and gets hints once
 * reads had to wait.  Any other store is read in blocks that reads share: a gap under a read becomes
 * demand blocks of 64 KiB units, a stream gets blocks ahead of it.  The first two reads of a stream
 * fetch what they ask, the next as much ahead as was read before, so small reads of a header or a
 * footer cost no more than themselves; a large read at the start of a file is believed at once, and once
 * a mebibyte was read in a row, three times as much is fetched ahead.
 */
#include "common/mem.h"
#include "common/time.h"
#include "fs/reader_impl.h"
#include "fs/stats.h"

#include <assert.h>
#include <stdlib.h>

#define HINT_MAX (4u << 20)
#define HINTS 4
#define HINT_PRIO 5
#define WASTE_PART 16          /* of what was fetched ahead: so little may be for nothing */
#define WASTE_FREE (64u << 20) /* before that counts */
#define AHEAD_PRIOS 8          /* 1 to 8 by distance */

#define STRIDES_MAX 64

static uint64_t down(uint64_t n, uint64_t grain)
{
	return n - n % grain;
}

static uint64_t up(uint64_t n, uint64_t grain)
{
	return down(n + grain - 1, grain);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void block_op(struct slu_block *b, int64_t deadline, uint8_t prio, struct slu_plan *plan)
{
	struct slu_reader *r = b->r;

	slu_op_read(&b->op, r->path, b->off, b->len, b->p, r->id[0] ? r->id : NULL);
	b->op.size = r->size; /* for the disk cache */
	b->op.deadline = deadline;
	b->op.prio = prio;
	b->op.done = slu_reader_block_done;
	b->op.user = b;
	b->stamp = slu_now();
	SLU_READER_COUNT(r, requests, 1);
	b->next = NULL;
	*plan->tail = b;
	plan->tail = &b->next;
}

static void count_hit(struct slu_reader *r, bool there, size_t len)
{
	if (there)
		SLU_READER_COUNT(r, hits, len);
	else
		SLU_READER_COUNT(r, joined, len);
	slu_stat_add(there ? SLU_STAT_HIT_MEMORY : SLU_STAT_HIT_JOINED, len);
}

/* Makes st show `from` of block b. */
static void attach(struct slu_read_state *st, struct slu_block *b, uint64_t pos, uint64_t end)
{
	uint64_t z = least(b->off + b->len, end);
	struct slu_piece *p = &st->p[st->np++];

	*p = (struct slu_piece){
		.b = b, .st = st, .off = (size_t)(pos - b->off), .len = (size_t)(z - pos)};
	slu_block_pin(b);
	if (b->state == SLU_BLOCK_CLEAN) {
		count_hit(st->r, true, p->len);
		return;
	}
	if (b->waiters || b->why != SLU_BUDGET_DEMAND)
		count_hit(st->r, false, p->len);
	p->next = b->waiters;
	b->waiters = p;
	st->pending++;
}

/* A demand block in the gap at pos, before the block after it. */
static struct slu_block *fill_gap(struct slu_read_state *st, uint64_t pos, uint64_t end, size_t i,
				  struct slu_plan *plan, bool *ret_poor)
{
	struct slu_reader *r = st->r;
	uint64_t a = down(pos, SLU_READ_UNIT), z, stop = r->size;

	if (i < r->nb && r->b[i]->off < stop)
		stop = r->b[i]->off;
	z = least(up(end, SLU_READ_UNIT), stop);
	/* The last unit is a whole one: two footers are often in it. */
	if (z == r->size && z - a < SLU_READ_UNIT)
		a = z > SLU_READ_UNIT ? z - SLU_READ_UNIT : 0;
	if (i > 0 && r->b[i - 1]->off + r->b[i - 1]->len > a)
		a = r->b[i - 1]->off + r->b[i - 1]->len;
	z = least(z, a + r->rs->conf.block);
	struct slu_block *b =
		slu_block_new(r, a, (size_t)(z - a), SLU_BUDGET_DEMAND, st, false, ret_poor);

	if (b)
		block_op(b, st->rd->deadline, 0, plan);
	return b;
}

/* Undoes a cover() that could not be completed. */
static void uncover(struct slu_read_state *st, struct slu_plan *plan)
{
	for (unsigned i = 0; i < st->np; i++) {
		struct slu_piece **pp = &st->p[i].b->waiters;

		while (*pp && *pp != &st->p[i])
			pp = &(*pp)->next;
		if (*pp)
			*pp = st->p[i].next;
		slu_block_unpin(st->p[i].b);
	}
	st->np = st->pending = 0;
	while (plan->submit) {
		struct slu_block *b = plan->submit;

		plan->submit = b->next;
		slu_block_kill(b);
		slu_reader_drop(st->r);
	}
	plan->tail = &plan->submit;
}

/* Lays blocks, old and new, under the whole read; *ret_loose: too many for one answer. */
static enum slu_laid cover(struct slu_read_state *st, struct slu_plan *plan, bool *ret_loose)
{
	struct slu_reader *r = st->r;
	uint64_t pos = st->rd->off, end = pos + st->rd->len;
	size_t i = slu_block_find(r, pos);
	bool poor = false;

	while (pos < end) {
		struct slu_block *b = i < r->nb && r->b[i]->off <= pos ? r->b[i] : NULL;

		if (st->np == SLU_READ_IOV) {
			*ret_loose = true;
			return SLU_LAID_POOR;
		}
		if (!b) {
			size_t n = r->nb;

			b = fill_gap(st, pos, end, i, plan, &poor);
			if (!b)
				return poor ? SLU_LAID_POOR : SLU_LAID_NO_MEM;
			/* Making room may have taken blocks of this very reader. */
			if (r->nb != n + 1)
				i = slu_block_find(r, pos);
		}
		attach(st, b, pos, end);
		pos = b->off + b->len;
		i++;
	}
	return SLU_LAID;
}

/* A block for this read alone. */
static enum slu_laid lay_loose(struct slu_read_state *st, struct slu_plan *plan)
{
	struct slu_read *rd = st->rd;
	bool poor;
	struct slu_block *b =
		slu_block_new(st->r, rd->off, rd->len, SLU_BUDGET_DEMAND, st, true, &poor);

	if (!b)
		return poor ? SLU_LAID_POOR : SLU_LAID_NO_MEM;
	block_op(b, rd->deadline, 0, plan);
	attach(st, b, rd->off, rd->off + rd->len);
	return SLU_LAID;
}

uint64_t slu_reader_need(const struct slu_read_state *st)
{
	uint64_t a = down(st->rd->off, SLU_READ_UNIT);

	/* Whole units, the longer last one, and the rounding of every block to pages. */
	return up(st->rd->off + st->rd->len, SLU_READ_UNIT) - a + SLU_READ_UNIT +
	       (uint64_t)SLU_READ_IOV * SLU_READ_PAGE;
}

/* --- ahead --- */

uint64_t slu_reader_lay(struct slu_reader *r, uint64_t off, uint64_t end, enum slu_budget_class why,
			uint8_t prio, struct slu_plan *plan)
{
	size_t size = r->rs->conf.block;

	while (off < end) {
		size_t i = slu_block_find(r, off);
		uint64_t z = least(down(off, size) + size, end);
		bool poor;

		if (i < r->nb && r->b[i]->off <= off) {
			off = r->b[i]->off + r->b[i]->len;
			continue;
		}
		if (i < r->nb && r->b[i]->off < z)
			z = r->b[i]->off;
		struct slu_block *b =
			slu_block_new(r, off, (size_t)(z - off), why, NULL, false, &poor);

		if (!b)
			return off;
		block_op(b, 0, prio, plan);
		off = z;
	}
	return end;
}

/* Bytes that one stream may have ahead of it: what pays, and a fair part of the budget. */
static uint64_t window_of(const struct slu_reader *r, const struct slu_stream *s)
{
	const struct slu_readers *rs = r->rs;
	uint64_t n = slu_pace_window(&s->pace, &r->time);
	uint64_t part =
		slu_budget_ceiling(rs->budget, SLU_BUDGET_AHEAD) / (rs->steady ? rs->steady : 1);

	if (part < 2 * rs->conf.block)
		part = 2 * rs->conf.block;
	n = least(n > r->store->ahead ? n : r->store->ahead, part);
	return rs->conf.window_max ? least(n, rs->conf.window_max) : n;
}

/* Requests of a young stream are small, as little has been read; those of an older one are blocks. */
static uint64_t grain_of(const struct slu_reader *r, const struct slu_stream *s)
{
	uint64_t n = SLU_READ_UNIT;

	while (n < r->rs->conf.block && n * 4 <= s->run)
		n *= 2;
	return least(n, r->rs->conf.block);
}

/* Is it worth it to believe in much from the start of a file on?  As long as hardly anything that was fetched
 * ahead was for nothing. */
static bool trusts(const struct slu_reader *r)
{
	const struct slu_reader_stats *s = &r->rs->stats;

	return s->waste * WASTE_PART <= s->ahead + WASTE_FREE;
}

/* How far ahead a stream asks. */
static uint64_t reach(const struct slu_reader *r, const struct slu_stream *s)
{
	return slu_stream_window(s, window_of(r, s), trusts(r));
}

static uint8_t prio_of(const struct slu_reader *r, uint64_t distance)
{
	uint64_t n = distance / r->rs->conf.block / 2;

	return (uint8_t)(1 + least(n, AHEAD_PRIOS - 1));
}

static void ahead_forward(struct slu_reader *r, struct slu_stream *s, struct slu_plan *plan)
{
	uint64_t window = reach(r, s);
	uint64_t target = least(up(s->head + least(window, r->size), grain_of(r, s)), r->size);

	while (s->ahead < target) {
		uint64_t z = least(target, down(s->ahead, r->rs->conf.block) + r->rs->conf.block);
		uint64_t got = slu_reader_lay(r, s->ahead, z, SLU_BUDGET_AHEAD,
					      prio_of(r, s->ahead - s->head), plan);

		s->ahead = got > s->ahead ? got : s->ahead;
		if (got < z)
			return;
	}
}

static void ahead_backward(struct slu_reader *r, struct slu_stream *s, struct slu_plan *plan)
{
	uint64_t window = reach(r, s);
	uint64_t target = s->start > window ? down(s->start - window, grain_of(r, s)) : 0;

	while (s->ahead > target) {
		uint64_t a = down(s->ahead - 1, r->rs->conf.block);

		if (a < target)
			a = target;
		if (slu_reader_lay(r, a, s->ahead, SLU_BUDGET_AHEAD, prio_of(r, s->start - a),
				   plan) < s->ahead)
			return;
		s->ahead = a;
	}
}

/* The k-th place after this one; false: outside of the file. */
static bool stride_at(const struct slu_reader *r, const struct slu_stream *s, unsigned k,
		      uint64_t *ret)
{
	uint64_t way = (uint64_t)(s->stride < 0 ? -s->stride : s->stride), left;

	left = s->stride < 0 ? s->start : r->size - s->start;
	if (way > left / k)
		return false;
	*ret = s->stride < 0 ? s->start - way * k : s->start + way * k;
	return *ret < r->size;
}

static void ahead_strided(struct slu_reader *r, struct slu_stream *s, struct slu_plan *plan)
{
	uint64_t len = s->segment > s->run ? s->segment : s->run, at;
	uint64_t depth = reach(r, s) / len;

	depth = least(depth ? depth : 1, STRIDES_MAX);
	if (s->laid > depth / 2)
		return;
	while (s->laid < depth && stride_at(r, s, s->laid + 1, &at)) {
		uint64_t z = least(up(at + len, SLU_READ_UNIT), r->size);

		if (slu_reader_lay(r, down(at, SLU_READ_UNIT), z, SLU_BUDGET_AHEAD,
				   prio_of(r, s->laid * len), plan) < z)
			return;
		s->laid++;
	}
}

/* Asks the store to read ahead by itself, half a window at a time. */
static void hint_ahead(struct slu_reader *r, struct slu_stream *s, struct slu_plan *plan)
{
	uint64_t window = HINT_MAX, target;
	struct slu_op *op;

	if (r->rs->conf.window_max)
		window = least(window, r->rs->conf.window_max);
	target = least(s->head + slu_stream_window(s, window, trusts(r)), r->size);
	if (!r->cold || r->hints >= HINTS || target <= s->ahead ||
	    (s->ahead - s->head > window / 2 && target < r->size))
		return;
	op = slu_malloc(sizeof *op);
	if (!op)
		return;
	slu_op_prefetch(op, r->path, s->ahead, (size_t)(target - s->ahead),
			r->id[0] ? r->id : NULL);
	op->prio = HINT_PRIO;
	op->done = slu_reader_hint_done;
	op->user = r;
	r->hints++;
	slu_reader_hold(r);
	s->ahead = target;
	plan->hint = op;
}

/* --- a read --- */

/* What the read is part of; *ret NULL: nothing to be fetched ahead of. */
static enum slu_pattern note(struct slu_read_state *st, struct slu_stream **ret)
{
	struct slu_reader *r = st->r;
	struct slu_read *rd = st->rd;
	enum slu_pattern kind;
	int change;

	*ret = NULL;
	if (st->noted)
		return SLU_RANDOM;
	st->noted = true;
	if (!r->streams && rd->len < r->size)
		r->streams = slu_new0(struct slu_streams);
	if (!r->streams)
		return SLU_RANDOM;
	kind = slu_streams_note(r->streams, rd->off, rd->len, r->size, ret, &change);
	r->rs->steady += (unsigned)change;
	if (kind == SLU_RANDOM)
		*ret = NULL;
	else
		slu_pace_read(&(*ret)->pace, &r->time, rd->len, slu_now());
	return kind;
}

static void go_ahead(struct slu_reader *r, enum slu_pattern kind, struct slu_stream *s,
		     struct slu_plan *plan)
{
	if (kind == SLU_FORWARD)
		ahead_forward(r, s, plan);
	else if (kind == SLU_BACKWARD)
		ahead_backward(r, s, plan);
	else if (kind == SLU_STRIDED)
		ahead_strided(r, s, plan);
}

/* What a read was granted and did not need goes back. */
static void return_grant(struct slu_read_state *st)
{
	struct slu_readers *rs = st->r->rs;

	if (st->grant)
		slu_budget_turn(rs->budget, SLU_BUDGET_DEMAND, SLU_BUDGET_SPARE, st->grant);
	rs->owed += st->grant;
	st->grant = 0;
}

enum slu_laid slu_reader_plan(struct slu_read_state *st, struct slu_plan *plan)
{
	struct slu_reader *r = st->r;
	bool loose = slu_store_can(r->store, SLU_CAP_PREFETCH);
	struct slu_stream *s;
	enum slu_laid laid = SLU_LAID_POOR;
	uint64_t end = st->rd->off + st->rd->len, before = 0;
	enum slu_pattern kind;

	kind = note(st, &s);
	if (s)
		before = s->ahead;
	if (!loose) {
		laid = cover(st, plan, &loose);
		if (laid != SLU_LAID)
			uncover(st, plan);
		else if (s)
			go_ahead(r, kind, s, plan);
	} else {
		st->unhinted = !s || st->rd->off >= before || before == end;
		if (kind == SLU_FORWARD)
			hint_ahead(r, s, plan);
	}
	if (laid == SLU_LAID_POOR && (loose || st->grant))
		laid = lay_loose(st, plan);
	return_grant(st);
	return laid;
}
