/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guessing which files come next.  A cursor walks an order (the listing's or the learned one) and
 * believes in it as far as its guesses came true.  Several readers walk at once, and threads of one
 * reader overtake each other, so a cursor accepts a little disorder; its step is the greatest common
 * divisor of the distances that it saw.  What nobody reads counts against it; a cursor that fetches in
 * vain is dropped on the spot.
 *
 * The learned order is what was read for the first time, in that order.  It is kept as long as it
 * holds; when files begin to repeat and it did not hold, the newest recording takes its place.
 */
#include "fs/ahead_impl.h"
#include "fs/stats.h"

#include <string.h>

#define SPAN 16u          /* steps of disorder */
#define SPAN_OPEN 64u     /* of a cursor that was right before */
#define NEAR 4u           /* steps to the next file, of a cursor that has to show that it is one */
#define NEED_LARGE 2u     /* times as much is asked for, where a file is fetched in part only */
#define IDLE 128u         /* visits after which a cursor's reader has gone */
#define SPAN_LEARNED 256u /* several processes have made that order together */
#define STEP_MAX 16u
#define NEED_MAX 512u
#define STEADY 128u   /* files ahead, after which more has to show that it pays */
#define LEARN_MIN 32u /* files that an order has at least */
#define AGAIN_FAR 64u /* files after which reading one again means something */
#define AGAIN_MAX 16u
#define FORGET 64u

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* --- places --- */

static uint32_t places(const struct slu_ahead *a, const struct slu_cursor *c)
{
	return c->learned ? a->learned.n : a->conf.files;
}

static uint32_t file_at(const struct slu_ahead *a, const struct slu_cursor *c, uint32_t place)
{
	return c->learned ? a->learned.seq[place] : place;
}

static uint8_t kind_of(const struct slu_cursor *c)
{
	return c->learned ? SLU_AHEAD_LEARNED : SLU_AHEAD_LISTING;
}

/* False: that order does not have the file. */
static bool place_of(const struct slu_ahead *a, bool learned, uint32_t at, uint32_t *ret)
{
	if (!learned) {
		*ret = at;
		return true;
	}
	if (!a->learned.pos || !a->learned.pos[at])
		return false;
	*ret = a->learned.pos[at] - 1;
	return true;
}

/* --- cursors --- */

/* Whatever was fetched up to `end` and not read will not be. */
static void sweep(struct slu_ahead *a, struct slu_cursor *c, uint32_t end)
{
	for (; c->tail < end; c->tail++) {
		uint32_t at = file_at(a, c, c->tail);

		if (a->fetched[at] & kind_of(c) && slu_ahead_settle(a, at, false))
			c->bad++;
	}
}

/* What was in vain weighs against what came true: the next guess has to show more. */
static void retire(struct slu_ahead *a, struct slu_cursor *c)
{
	if (c->used && c->window) {
		sweep(a, c, c->tip < places(a, c) ? c->tip : places(a, c));
		if (2 * c->bad > c->run) {
			a->sum.stops++;
			slu_stat_add(SLU_STAT_GUESS_STOPS, 1);
			a->need = a->need * 2 < NEED_MAX ? a->need * 2 : NEED_MAX;
		}
	}
	*c = (struct slu_cursor){0};
}

/* Does the place fit what the cursor has seen? */
static bool fits(const struct slu_cursor *c, uint32_t place)
{
	uint32_t d = place > c->head ? place - c->head : c->head - place;

	if (c->window)
		return d <= (uint64_t)(c->learned ? SPAN_LEARNED : SPAN_OPEN) * c->step;
	if (d > SPAN)
		return false;
	/* In a small folder any two files are near: a walk's distances have a common measure. */
	return c->learned || !c->run || !d || d / gcd(c->step, d) <= NEAR;
}

/* How often it has to come true first: a file of which the beginning is fetched gains one round trip, and
 * costs as much as hundreds of small ones when the guess is wrong. */
static uint32_t need_of(const struct slu_ahead *a, const struct slu_cursor *c)
{
	bool large = a->conf.size(a->conf.user, file_at(a, c, c->head)) > SLU_AHEAD_WHOLE;

	if (large)
		return a->need * NEED_LARGE;
	if (a->conf.first && a->need == SLU_AHEAD_NEED && !c->learned &&
	    a->conf.first(a->conf.user, c->start))
		return 1;
	return a->need;
}

/* Few enough not to matter when the guess is wrong. */
static uint32_t first_window(const struct slu_ahead *a, const struct slu_cursor *c)
{
	uint64_t size = a->conf.size(a->conf.user, file_at(a, c, c->head));
	uint64_t n = size ? SLU_AHEAD_FIRST_BYTES / size : SLU_AHEAD_FIRST;

	if (n < 2ull * c->run)
		n = 2ull * c->run;
	return n < SLU_AHEAD_FIRST ? (uint32_t)n : SLU_AHEAD_FIRST;
}

/* The reader waits for what is on its way: would it help to begin earlier?  Up to STEADY files it is tried, from
 * there on only while it does, since what is slow may as well be the line or the store. */
static void widen(struct slu_cursor *c, int64_t now)
{
	uint64_t visits = c->run - c->mark, most = 4ull * c->run, to = 4ull * c->window;
	uint64_t took = (uint64_t)(now - c->marked) + 1;
	uint64_t rate = visits * 1000000000u / took;

	if (visits < c->window / 2)
		return; /* what the last step brought is not seen yet */
	c->mark = c->run;
	c->marked = now;
	if (c->window >= STEADY) {
		if (c->rate && rate < c->rate + c->rate / 8)
			return;
		c->rate = rate;
		to = 2ull * c->window;
	}
	to = to < most ? to : most;
	to = to < SLU_AHEAD_FILES ? to : SLU_AHEAD_FILES;
	if (to > c->window)
		c->window = (uint32_t)to;
}

/* How far the cursor may go from what it has seen come true. */
static void open_window(struct slu_ahead *a, struct slu_cursor *c, const struct slu_visit *v)
{
	if (c->step > STEP_MAX)
		return;
	if (c->window) {
		if (v->waits)
			widen(c, v->now);
		return;
	}
	/* most of what lies between would not be read */
	if (c->run < need_of(a, c) || 2ull * c->run * c->step < c->head - c->start)
		return;
	c->tip = c->head + c->step;
	c->tail = c->head;
	c->window = first_window(a, c);
	c->mark = c->run;
	c->marked = v->now;
}

/* The guess came true. */
static void advance(struct slu_ahead *a, struct slu_cursor *c, uint32_t place,
		    const struct slu_visit *v)
{
	uint32_t d = place > c->head ? place - c->head : c->head - place;
	uint32_t behind;

	c->turn = atomic_load_explicit(&a->visits, memory_order_relaxed);
	if (!d)
		return;
	c->step = gcd(c->step, d);
	/* a walk goes forward, be it that some overtake others */
	c->run += c->learned || c->window || place > c->head;
	c->good += v->hit;
	if (place > c->head)
		c->head = place;
	behind = 2 * (c->learned ? SPAN_LEARNED : SPAN_OPEN) * c->step;
	if (c->window && c->head > behind)
		sweep(a, c, c->head - behind);
	if (c->bad > 4 && 2 * c->bad > c->good) {
		c->run = 0;
		retire(a, c);
		return;
	}
	if (c->good >= FORGET) {
		c->good /= 2;
		c->bad /= 2;
		a->need = a->need / 2 > SLU_AHEAD_NEED ? a->need / 2 : SLU_AHEAD_NEED;
	}
	open_window(a, c, v);
	if (c->tip <= c->head)
		c->tip = c->head + c->step;
}

/* A free cursor, or the one least missed: those that never came true go first. */
static struct slu_cursor *spare(struct slu_ahead *a)
{
	struct slu_cursor *best = &a->cursors[0];

	for (int i = 0; i < SLU_AHEAD_CURSORS; i++) {
		struct slu_cursor *c = &a->cursors[i];

		if (!c->used)
			return c;
		if (!c->run != !best->run ? !c->run : c->turn < best->turn)
			best = c;
	}
	return best;
}

/* The visit in one of the two orders.  False: no cursor of it expected that. */
static bool visit_in(struct slu_ahead *a, bool learned, const struct slu_visit *v)
{
	struct slu_cursor *c;
	uint32_t place;
	bool any = false;

	if (!place_of(a, learned, v->at, &place))
		return false;
	for (int i = 0; i < SLU_AHEAD_CURSORS && !any; i++) {
		c = &a->cursors[i];
		any = c->used && c->learned == learned && fits(c, place);
		if (any)
			advance(a, c, place, v);
	}
	if (any)
		return true;
	c = spare(a);
	retire(a, c);
	*c = (struct slu_cursor){.used = true,
				 .learned = learned,
				 .start = place,
				 .head = place,
				 .serial = ++a->serial,
				 .turn = atomic_load_explicit(&a->visits, memory_order_relaxed)};
	return false;
}

/* --- learning --- */

static void forget_learned(struct slu_ahead *a)
{
	for (int i = 0; i < SLU_AHEAD_CURSORS; i++)
		if (a->cursors[i].used && a->cursors[i].learned)
			retire(a, &a->cursors[i]);
	slu_order_clear(&a->learned);
}

/* Files repeat: the recording is over. */
static void turn_over(struct slu_ahead *a)
{
	bool holds = 2 * (uint64_t)a->held > a->record.n;

	if (!holds && a->record.n >= LEARN_MIN) {
		forget_learned(a);
		a->learned = a->record;
		a->learnings++;
		a->record = (struct slu_order){0};
	}
	slu_order_clear(&a->record);
	a->held = a->again = 0;
}

static void record(struct slu_ahead *a, uint32_t at)
{
	uint32_t pos = a->record.pos ? a->record.pos[at] : 0;

	if (pos) {
		if (a->record.n - pos >= AGAIN_FAR || 2 * (a->record.n - pos) >= a->record.n)
			a->again += 2;
	} else {
		a->again -= a->again > 0;
		(void)slu_order_add(&a->record, a->conf.files, at); /* else it is not learnt */
	}
	if (a->again >= AGAIN_MAX)
		turn_over(a);
}

void slu_guess_visit(struct slu_ahead *a, const struct slu_visit *v)
{
	uint32_t now = atomic_load_explicit(&a->visits, memory_order_relaxed);
	struct slu_cursor *old = &a->cursors[now % SLU_AHEAD_CURSORS];

	if (old->used && now - (uint32_t)old->turn > IDLE)
		retire(a, old);
	record(a, v->at);
	a->held += visit_in(a, true, v);
	(void)visit_in(a, false, v);
}

/* --- what to fetch --- */

bool slu_guess_next(struct slu_ahead *a, uint32_t *ret_at, uint64_t *ret_serial)
{
	for (int i = 0; i < SLU_AHEAD_CURSORS; i++) {
		struct slu_cursor *c = &a->cursors[i];

		if (!c->used || !c->window)
			continue;
		while (c->tip < places(a, c) && c->tip <= c->head + (uint64_t)c->window * c->step) {
			uint32_t at = file_at(a, c, c->tip);

			c->tip += c->step;
			/* somebody else may have been here already */
			if (a->fetched[at] & SLU_AHEAD_FETCHED ||
			    (a->record.pos && a->record.pos[at]))
				continue;
			a->fetched[at] &= (uint8_t)~SLU_AHEAD_GUESSED;
			a->fetched[at] |= kind_of(c);
			*ret_at = at;
			*ret_serial = c->serial;
			return true;
		}
	}
	return false;
}

void slu_guess_undo(struct slu_ahead *a, uint64_t serial)
{
	for (int i = 0; i < SLU_AHEAD_CURSORS; i++)
		if (a->cursors[i].used && a->cursors[i].serial == serial &&
		    a->cursors[i].tip >= a->cursors[i].step)
			a->cursors[i].tip -= a->cursors[i].step;
}

/* A quarter of a window at a time: the thread is not woken for each file. */
bool slu_guess_peek(const struct slu_ahead *a)
{
	for (int i = 0; i < SLU_AHEAD_CURSORS; i++) {
		const struct slu_cursor *c = &a->cursors[i];
		uint64_t end;

		if (!c->used || !c->window)
			continue;
		end = c->head + (uint64_t)c->window * c->step;
		if (c->tip < places(a, c) && c->tip + (uint64_t)c->window / 4 * c->step <= end)
			return true;
	}
	return false;
}

void slu_guess_rewind(struct slu_ahead *a)
{
	for (int i = 0; i < SLU_AHEAD_CURSORS; i++) {
		struct slu_cursor *c = &a->cursors[i];

		if (!c->used || !c->window)
			continue;
		sweep(a, c, c->tip < places(a, c) ? c->tip : places(a, c));
		c->bad = 0;
		c->tail = c->head;
		c->tip = c->head + c->step;
	}
}
