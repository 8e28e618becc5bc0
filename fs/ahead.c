/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order ahead: what is told by reads, the order that somebody handed over, and the thread that has
 * files fetched.  Guessing is in ahead_guess.c.
 *
 * A visit is the first READ of a file in a while; of a long file, the first near its end, since only
 * then the next one is of interest.  Most READs are of a file that was visited just now: those cost one
 * look at `recent`.
 */
#include "fs/ahead.h"

#include "common/mem.h"
#include "common/time.h"
#include "fs/ahead_impl.h"
#include "fs/stats.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define LONG (8u << 20) /* files whose visit is near their end */
#define NEAR_END (4u << 20)
#define SAME 32               /* visits after which a file may be visited again */
#define GONE_NS (5 * SLU_SEC) /* unread for so long, what was fetched may be gone */
#define KEEP_NS (60 * SLU_SEC)
#define STACK (256u << 10)
#define SPREAD_MIN 64u
#define SPREAD_MAX 4096u
#define SPREAD_FADE 512u

int slu_order_add(struct slu_order *o, uint32_t files, uint32_t at)
{
	if (!o->pos) {
		o->pos = slu_calloc(files, sizeof *o->pos);
		if (!o->pos)
			return -ENOMEM;
	}
	if (o->pos[at])
		return 1;
	if (o->n == o->cap) {
		uint32_t cap = o->cap ? 2 * o->cap : 1024;
		uint32_t *seq = slu_reallocarray(o->seq, cap, sizeof *seq);

		if (!seq)
			return -ENOMEM;
		o->seq = seq;
		o->cap = cap;
	}
	o->seq[o->n++] = at;
	o->pos[at] = o->n;
	return 0;
}

void slu_order_clear(struct slu_order *o)
{
	free(o->seq);
	free(o->pos);
	*o = (struct slu_order){0};
}

bool slu_ahead_settle(struct slu_ahead *a, uint32_t at, bool read)
{
	if (!(a->fetched[at] & SLU_AHEAD_FETCHED))
		return false;
	if (!(a->fetched[at] & SLU_AHEAD_GUESSED) && a->order_out)
		a->order_out--;
	a->fetched[at] &= (uint8_t) ~(SLU_AHEAD_FETCHED | SLU_AHEAD_GUESSED);
	if (read)
		a->sum.hits++;
	else
		a->sum.lost++;
	slu_stat_add(read ? SLU_STAT_PREFETCH_HITS : SLU_STAT_PREFETCH_LOST, 1);
	return true;
}

/* --- the given order: lock held --- */

static bool order_next(struct slu_ahead *a, uint32_t *ret)
{
	while (a->tip < a->order.n && a->order_out < SLU_AHEAD_FILES) {
		*ret = a->order.seq[a->tip];
		if (!(a->fetched[*ret] & (SLU_AHEAD_FETCHED | SLU_AHEAD_READ)))
			return true;
		a->tip++;
	}
	return false;
}

/* Files that lie further back than anybody reads are not waited for: the kernel has them. */
static void order_sweep(struct slu_ahead *a)
{
	uint32_t behind = 2 * a->spread + SPREAD_MIN;
	uint32_t end = a->front > behind ? a->front - behind : 0;

	for (; a->tail < end; a->tail++)
		(void)slu_ahead_settle(a, a->order.seq[a->tail], false);
	if (a->tip < end)
		a->tip = end;
}

/* False: the file is not in it. */
static bool order_visit(struct slu_ahead *a, uint32_t at)
{
	uint32_t pos = a->order.pos ? a->order.pos[at] : 0, d;

	if (!pos)
		return false;
	if (!(a->fetched[at] & SLU_AHEAD_READ)) {
		a->fetched[at] |= SLU_AHEAD_READ;
		a->order_read++;
	}
	if (pos > a->front)
		a->front = pos;
	d = a->front - pos;
	a->spread -= a->spread / SPREAD_FADE;
	if (d > a->spread)
		a->spread = d < SPREAD_MAX ? d : SPREAD_MAX;
	order_sweep(a);
	return true;
}

/* What was fetched long ago is not there any more. */
static void order_rewind(struct slu_ahead *a)
{
	for (; a->tail < a->tip; a->tail++)
		(void)slu_ahead_settle(a, a->order.seq[a->tail], false);
	a->tail = a->tip = a->front;
	a->spread = 0;
}

static void order_drop(struct slu_ahead *a)
{
	for (uint32_t i = 0; i < a->order.n; i++) {
		(void)slu_ahead_settle(a, a->order.seq[i], false);
		a->fetched[a->order.seq[i]] = 0;
	}
	slu_order_clear(&a->order);
	a->front = a->tip = a->tail = a->spread = 0;
	a->order_read = a->order_fetched = a->order_out = 0;
}

/* --- fetching --- */

/* Lock held.  It was not fetched after all. */
static void unfetched(struct slu_ahead *a, uint32_t at)
{
	if (!(a->fetched[at] & SLU_AHEAD_FETCHED))
		return; /* it was read meanwhile */
	if (!(a->fetched[at] & SLU_AHEAD_GUESSED) && a->order_out)
		a->order_out--;
	a->fetched[at] &= (uint8_t) ~(SLU_AHEAD_FETCHED | SLU_AHEAD_GUESSED);
}

/* Lock held.  Fetches the file, if that is of use: how many bytes of it are on their way; *ret_room: there is room for more. */
static uint64_t fetch(struct slu_ahead *a, uint32_t at, bool *ret_room)
{
	uint64_t size, got, want;

	a->fetched[at] |= SLU_AHEAD_FETCHED;
	pthread_mutex_unlock(&a->lock);
	size = a->conf.size(a->conf.user, at);
	want = size < SLU_AHEAD_WHOLE ? size : SLU_AHEAD_WHOLE;
	got = want ? a->conf.fetch(a->conf.user, at, want) : 0;
	pthread_mutex_lock(&a->lock);
	*ret_room = got >= want;
	if (!got || got == SLU_AHEAD_NEEDLESS) {
		unfetched(a, at);
		return 0;
	}
	a->sum.fetched++;
	slu_stat_add(SLU_STAT_PREFETCHES, 1);
	return got;
}

/* Lock held.  Fetches until nothing is wanted or there is no room. */
static void pump(struct slu_ahead *a)
{
	uint64_t serial;
	uint32_t at;
	bool room = true;

	while (room && !a->stop && order_next(a, &at)) {
		uint32_t tip = a->tip++;
		bool begun;

		a->order_out++;
		begun = fetch(a, at, &room);
		a->order_fetched += begun;
		if (!room && !begun && a->tip == tip + 1)
			a->tip = tip;
	}
	while (room && !a->stop && slu_guess_next(a, &at, &serial))
		if (!fetch(a, at, &room) && !room)
			slu_guess_undo(a, serial);
}

static void *run(void *arg)
{
	struct slu_ahead *a = arg;

	pthread_mutex_lock(&a->lock);
	while (!a->stop) {
		if (!a->wanted) {
			pthread_cond_wait(&a->work, &a->lock);
			continue;
		}
		a->wanted = false;
		pump(a);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static int start(struct slu_ahead *a)
{
	pthread_attr_t attr;
	sigset_t block, old;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&block);
	pthread_sigmask(SIG_SETMASK, &block, &old);
	r = -pthread_create(&a->thread, &attr, run, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	a->running = !r;
	return r;
}

/* Lock held.  Without a thread, which only a machine without memory refuses, nothing is fetched. */
static void want(struct slu_ahead *a)
{
	if (a->stop)
		return;
	if (a->conf.in_place) {
		pump(a);
	} else if (a->running || start(a) == 0) {
		a->wanted = true;
		pthread_cond_signal(&a->work);
	}
}

/* --- what happens --- */

/* True: the file was visited just now. */
static bool seen(struct slu_ahead *a, uint32_t at)
{
	_Atomic uint64_t *slot = &a->recent[at % SLU_AHEAD_RECENT];
	uint64_t was = atomic_load_explicit(slot, memory_order_relaxed);
	uint32_t visit = atomic_load_explicit(&a->visits, memory_order_relaxed);

	return was && was >> 32 == at && visit - (uint32_t)was < SAME;
}

void slu_ahead_read(struct slu_ahead *a, uint32_t at, uint64_t size, uint64_t off, uint64_t len,
		    bool waits)
{
	uint32_t visit, unused;
	int64_t now;
	bool hit;

	if (size > LONG && off + len + NEAR_END < size)
		return;
	if (seen(a, at))
		return;
	now = slu_now();
	pthread_mutex_lock(&a->lock);
	visit = atomic_fetch_add_explicit(&a->visits, 1, memory_order_relaxed) + 1;
	atomic_store_explicit(&a->recent[at % SLU_AHEAD_RECENT], (uint64_t)at << 32 | visit,
			      memory_order_relaxed);
	if (now - a->last >= KEEP_NS)
		order_rewind(a);
	if (now - a->last >= GONE_NS)
		slu_guess_rewind(a);
	a->last = now;
	hit = slu_ahead_settle(a, at, true);
	if (!order_visit(a, at) && !a->conf.no_guess)
		slu_guess_visit(a, &(struct slu_visit){at, hit, hit && waits, now});
	if (order_next(a, &unused) || slu_guess_peek(a))
		want(a);
	pthread_mutex_unlock(&a->lock);
}

int slu_ahead_order_begin(struct slu_ahead *a)
{
	pthread_mutex_lock(&a->lock);
	order_drop(a);
	pthread_mutex_unlock(&a->lock);
	return 0;
}

int slu_ahead_order_add(struct slu_ahead *a, const uint32_t *at, uint32_t n, uint32_t *ret_twice)
{
	uint32_t twice = 0;
	int r = 0;

	pthread_mutex_lock(&a->lock);
	a->last = slu_now();
	for (uint32_t i = 0; i < n && r >= 0; i++) {
		r = slu_order_add(&a->order, a->conf.files, at[i]);
		twice += r == 1;
	}
	want(a);
	pthread_mutex_unlock(&a->lock);
	if (r < 0)
		return r;
	*ret_twice = twice;
	return 0;
}

void slu_ahead_order_drop(struct slu_ahead *a)
{
	(void)slu_ahead_order_begin(a);
}

/* Lock held. */
static int order_resume(struct slu_ahead *a, const struct slu_ahead_legacy *l)
{
	int r = 0;

	order_drop(a);
	for (uint32_t i = 0; i < l->n && r >= 0; i++)
		if (l->order[i] < a->conf.files)
			r = slu_order_add(&a->order, a->conf.files, l->order[i]);
	if (r < 0) {
		order_drop(a);
		return r;
	}
	a->front = l->front < a->order.n ? l->front : a->order.n;
	a->tip = a->tail = a->front;
	a->order_read = l->read < a->order.n ? l->read : a->order.n;
	for (uint32_t i = 0; i < a->front; i++)
		a->fetched[a->order.seq[i]] |= SLU_AHEAD_READ;
	return 0;
}

int slu_ahead_inherit(struct slu_ahead *a, const struct slu_ahead_legacy *l)
{
	int r;

	pthread_mutex_lock(&a->lock);
	a->last = slu_now();
	r = order_resume(a, l);
	slu_order_clear(&a->learned);
	for (uint32_t i = 0; i < l->nlearned && r >= 0; i++)
		if (l->learned[i] < a->conf.files)
			r = slu_order_add(&a->learned, a->conf.files, l->learned[i]);
	if (a->learned.n)
		a->learnings++;
	if (a->order.n)
		want(a);
	pthread_mutex_unlock(&a->lock);
	return r < 0 ? r : 0;
}

uint32_t slu_ahead_learned(struct slu_ahead *a, uint32_t *ret, uint32_t max, uint32_t *ret_version)
{
	uint32_t n;

	pthread_mutex_lock(&a->lock);
	n = a->learned.n <= max ? a->learned.n : 0;
	if (n)
		memcpy(ret, a->learned.seq, n * sizeof *ret);
	*ret_version = a->learnings;
	pthread_mutex_unlock(&a->lock);
	return n;
}

bool slu_ahead_keeps(struct slu_ahead *a)
{
	bool keeps;

	pthread_mutex_lock(&a->lock);
	keeps = a->front < a->order.n && slu_now() - a->last < KEEP_NS;
	pthread_mutex_unlock(&a->lock);
	return keeps;
}

void slu_ahead_get(struct slu_ahead *a, struct slu_ahead_state *ret)
{
	pthread_mutex_lock(&a->lock);
	*ret = a->sum;
	ret->order = a->order.n;
	ret->order_read = a->order_read;
	ret->order_front = a->front;
	ret->learnings = a->learnings;
	ret->order_fetched = a->order_fetched;
	ret->learned = a->learned.n;
	ret->window = 0;
	for (int i = 0; i < SLU_AHEAD_CURSORS; i++)
		if (a->cursors[i].used)
			ret->window += a->cursors[i].window;
	pthread_mutex_unlock(&a->lock);
}

int slu_ahead_new(const struct slu_ahead_conf *conf, struct slu_ahead **ret)
{
	struct slu_ahead *a = slu_new0(struct slu_ahead);

	if (!a)
		return -ENOMEM;
	a->fetched = slu_calloc(conf->files ? conf->files : 1, 1);
	if (!a->fetched) {
		free(a);
		return -ENOMEM;
	}
	a->conf = *conf;
	a->need = SLU_AHEAD_NEED;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->work, NULL);
	*ret = a;
	return 0;
}

void slu_ahead_stop(struct slu_ahead *a)
{
	bool running;

	pthread_mutex_lock(&a->lock);
	a->stop = true;
	running = a->running;
	a->running = false;
	pthread_cond_signal(&a->work);
	pthread_mutex_unlock(&a->lock);
	if (running)
		pthread_join(a->thread, NULL);
}

void slu_ahead_free(struct slu_ahead *a)
{
	if (!a)
		return;
	slu_ahead_stop(a);
	slu_order_clear(&a->order);
	slu_order_clear(&a->learned);
	slu_order_clear(&a->record);
	free(a->fetched);
	pthread_cond_destroy(&a->work);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
