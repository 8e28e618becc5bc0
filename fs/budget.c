/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory budget (budget.h).  Counters, ceilings and queues under one lock that nothing else is
 * called under.  How much there is to share out is budget_limit.c's.
 */
#include "fs/budget.h"

#include "common/mem.h"

#include <stdlib.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define YIELDS_MAX 8

/* Eighths of the limit up to which a class is admitted. */
static const uint8_t ceilings[SLU_BUDGET_CLASSES] = {
	[SLU_BUDGET_DEMAND] = 8, [SLU_BUDGET_COPY] = 7,  [SLU_BUDGET_LIST] = 7,
	[SLU_BUDGET_AHEAD] = 6,  [SLU_BUDGET_CACHE] = 5, [SLU_BUDGET_PREFETCH] = 4,
	[SLU_BUDGET_SPARE] = 8,
};

static const char *const names[SLU_BUDGET_CLASSES] = {"demand", "copy",     "list", "ahead",
						      "cache",  "prefetch", "spare"};

struct queue {
	struct slu_budget_wait *head, **end;
};

struct slu_budget {
	pthread_mutex_t lock; /* guards what follows */
	struct slu_budget_gauges g;
	struct queue queue[SLU_BUDGET_CLASSES];
	atomic_bool wanted; /* a queue is not empty; also read without the lock */
	struct slu_budget_yield *yields;
	unsigned yielding; /* threads that are calling them */
	pthread_cond_t yielded;
};

const char *slu_budget_name(enum slu_budget_class c)
{
	return (unsigned)c < SLU_BUDGET_CLASSES ? names[c] : "?";
}

static void begin(struct slu_budget *b, uint64_t limit)
{
	*b = (struct slu_budget){.g.limit = limit};
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->yielded, NULL);
	for (unsigned i = 0; i < SLU_BUDGET_CLASSES; i++)
		b->queue[i].end = &b->queue[i].head;
}

int slu_budget_new(uint64_t limit, struct slu_budget **ret)
{
	struct slu_budget *b = slu_new0(struct slu_budget);

	if (!b)
		return -ENOMEM;
	begin(b, 0);
	slu_budget_set_limit(b, limit);
	*ret = b;
	return 0;
}

void slu_budget_free(struct slu_budget *b)
{
	if (!b)
		return;
	assert(!b->g.used && !b->g.waiting && !b->yields);
	pthread_cond_destroy(&b->yielded);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static struct slu_budget *the_process;

/* The threads that hold the lock, wait or yield are the parent's, and what they took is. */
static void after_fork(void)
{
	begin(the_process, the_process->g.limit);
}

static void make_process(void)
{
	if (slu_budget_new(0, &the_process) < 0)
		the_process = NULL;
	else
		(void)pthread_atfork(NULL, NULL, after_fork);
}

struct slu_budget *slu_budget_process(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_process);
	return the_process;
}

/* --- lock held --- */

static uint64_t ceiling(const struct slu_budget *b, enum slu_budget_class c)
{
	return b->g.limit / 8 * ceilings[c];
}

/* What counts as in use: buffers that wait for reuse are given up by who keeps them. */
static uint64_t busy(const struct slu_budget *b)
{
	return b->g.used - b->g.by[SLU_BUDGET_SPARE];
}

static bool fits(const struct slu_budget *b, enum slu_budget_class c, uint64_t n)
{
	uint64_t top = ceiling(b, c);

	/* What can never fit goes alone of its class, lest it never goes. */
	if (n > top)
		return !b->g.by[c];
	return b->g.used + n <= b->g.limit && busy(b) <= top && n <= top - busy(b);
}

static void add(struct slu_budget *b, enum slu_budget_class c, uint64_t n)
{
	struct slu_budget_gauges *g = &b->g;

	g->by[c] += n;
	g->used += n;
	if (g->by[c] > g->peak_by[c])
		g->peak_by[c] = g->by[c];
	if (g->used > g->peak)
		g->peak = g->used;
}

static void sub(struct slu_budget *b, enum slu_budget_class c, uint64_t n)
{
	assert(b->g.by[c] >= n);
	b->g.by[c] -= n;
	b->g.used -= n;
}

static bool queued_before(const struct slu_budget *b, enum slu_budget_class c)
{
	for (unsigned i = 0; i <= c; i++)
		if (b->queue[i].head)
			return true;
	return false;
}

static bool try_locked(struct slu_budget *b, enum slu_budget_class c, uint64_t n)
{
	if (queued_before(b, c) || !fits(b, c, n))
		return false;
	add(b, c, n);
	return true;
}

/* Those whose turn it is, taken out and paid for. */
static struct slu_budget_wait *take_granted(struct slu_budget *b)
{
	struct slu_budget_wait *list = NULL, **tail = &list;

	for (unsigned c = 0; c < SLU_BUDGET_CLASSES && b->g.waiting; c++) {
		struct queue *q = &b->queue[c];

		while (q->head && fits(b, c, q->head->n)) {
			struct slu_budget_wait *w = q->head;

			q->head = w->next;
			if (!q->head)
				q->end = &q->head;
			w->queued = false;
			w->next = NULL;
			b->g.waiting--;
			add(b, c, w->n);
			*tail = w;
			tail = &w->next;
		}
		if (q->head)
			break;
	}
	atomic_store(&b->wanted, b->g.waiting > 0);
	return list;
}

static void grant(struct slu_budget_wait *list) /* no lock */
{
	while (list) {
		struct slu_budget_wait *w = list;

		list = w->next;
		w->granted(w);
	}
}

/* --- taking and giving --- */

void slu_budget_set_limit(struct slu_budget *b, uint64_t limit)
{
	struct slu_budget_wait *list;

	if (!limit)
		limit = slu_budget_default(slu_budget_machine(""));
	pthread_mutex_lock(&b->lock);
	b->g.limit = limit;
	list = take_granted(b);
	pthread_mutex_unlock(&b->lock);
	grant(list);
}

uint64_t slu_budget_limit(struct slu_budget *b)
{
	return slu_budget_ceiling(b, SLU_BUDGET_SPARE);
}

uint64_t slu_budget_ceiling(struct slu_budget *b, enum slu_budget_class c)
{
	pthread_mutex_lock(&b->lock);
	uint64_t n = c == SLU_BUDGET_SPARE ? b->g.limit : ceiling(b, c);
	pthread_mutex_unlock(&b->lock);

	return n;
}

void slu_budget_read(struct slu_budget *b, struct slu_budget_gauges *ret)
{
	pthread_mutex_lock(&b->lock);
	*ret = b->g;
	pthread_mutex_unlock(&b->lock);
}

bool slu_budget_try(struct slu_budget *b, enum slu_budget_class c, uint64_t n)
{
	pthread_mutex_lock(&b->lock);
	bool ok = try_locked(b, c, n);

	if (!ok)
		b->g.refused[c]++;
	pthread_mutex_unlock(&b->lock);
	return ok;
}

void slu_budget_give(struct slu_budget *b, enum slu_budget_class c, uint64_t n)
{
	struct slu_budget_wait *list;

	pthread_mutex_lock(&b->lock);
	sub(b, c, n);
	list = take_granted(b);
	pthread_mutex_unlock(&b->lock);
	grant(list);
}

void slu_budget_turn(struct slu_budget *b, enum slu_budget_class from, enum slu_budget_class to,
		     uint64_t n)
{
	pthread_mutex_lock(&b->lock);
	sub(b, from, n);
	add(b, to, n);
	pthread_mutex_unlock(&b->lock);
}

bool slu_budget_swap(struct slu_budget *b, enum slu_budget_class from, uint64_t n,
		     enum slu_budget_class to, uint64_t m)
{
	assert(n <= m);
	pthread_mutex_lock(&b->lock);
	sub(b, from, n);
	bool ok = try_locked(b, to, m);

	if (!ok) {
		b->g.by[from] += n;
		b->g.used += n;
		b->g.refused[to]++;
	}
	pthread_mutex_unlock(&b->lock);
	return ok;
}

/* --- waiting --- */

/* Asks all who can to let go of n bytes.  What they let go may lead to another squeeze, within. */
static void squeeze(struct slu_budget *b, enum slu_budget_class c, uint64_t n)
{
	struct slu_budget_yield *y[YIELDS_MAX];
	unsigned count = 0;

	pthread_mutex_lock(&b->lock);
	for (struct slu_budget_yield *at = b->yields; at && count < YIELDS_MAX; at = at->next)
		y[count++] = at;
	b->yielding++;
	pthread_mutex_unlock(&b->lock);
	for (unsigned i = 0; i < count; i++)
		y[i]->yield(y[i], c, n);
	pthread_mutex_lock(&b->lock);
	if (!--b->yielding)
		pthread_cond_broadcast(&b->yielded);
	pthread_mutex_unlock(&b->lock);
}

bool slu_budget_wait(struct slu_budget *b, struct slu_budget_wait *w, enum slu_budget_class c,
		     uint64_t n)
{
	pthread_mutex_lock(&b->lock);
	bool ok = try_locked(b, c, n);

	w->c = c;
	w->n = n;
	w->next = NULL;
	w->queued = !ok;
	if (!ok) {
		*b->queue[c].end = w;
		b->queue[c].end = &w->next;
		b->g.waiting++;
		atomic_store(&b->wanted, true);
		b->g.waited[c]++;
		b->g.refused[c]++;
	}
	pthread_mutex_unlock(&b->lock);
	/* Whoever lets go grants what is first in the queue: w is not ours to look at any more. */
	if (!ok)
		squeeze(b, c, n);
	return ok;
}

bool slu_budget_cancel(struct slu_budget *b, struct slu_budget_wait *w)
{
	bool mine;

	pthread_mutex_lock(&b->lock);
	mine = w->queued;
	if (mine) {
		struct queue *q = &b->queue[w->c];
		struct slu_budget_wait **p = &q->head;

		while (*p != w)
			p = &(*p)->next;
		*p = w->next;
		if (!*p)
			q->end = p;
		w->queued = false;
		b->g.waiting--;
		atomic_store(&b->wanted, b->g.waiting > 0);
	}
	pthread_mutex_unlock(&b->lock);
	return mine;
}

struct sleeper {
	struct slu_budget_wait w;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool granted;
};

static void wake(struct slu_budget_wait *w)
{
	struct sleeper *s = w->user;

	pthread_mutex_lock(&s->lock);
	s->granted = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

void slu_budget_take(struct slu_budget *b, enum slu_budget_class c, uint64_t n)
{
	struct sleeper s = {.w = {.granted = wake}};

	s.w.user = &s;
	pthread_mutex_init(&s.lock, NULL);
	pthread_cond_init(&s.cond, NULL);
	if (!slu_budget_wait(b, &s.w, c, n)) {
		pthread_mutex_lock(&s.lock);
		while (!s.granted)
			pthread_cond_wait(&s.cond, &s.lock);
		pthread_mutex_unlock(&s.lock);
	}
	pthread_cond_destroy(&s.cond);
	pthread_mutex_destroy(&s.lock);
}

bool slu_budget_wanted(struct slu_budget *b, enum slu_budget_class *ret_class, uint64_t *ret_n)
{
	bool wanted = false;

	if (!atomic_load(&b->wanted))
		return false;
	pthread_mutex_lock(&b->lock);
	for (unsigned c = 0; c < SLU_BUDGET_CLASSES && !wanted; c++) {
		wanted = b->queue[c].head != NULL;
		if (wanted) {
			*ret_class = c;
			*ret_n = b->queue[c].head->n;
		}
	}
	pthread_mutex_unlock(&b->lock);
	return wanted;
}

void slu_budget_yield_add(struct slu_budget *b, struct slu_budget_yield *y)
{
	pthread_mutex_lock(&b->lock);
	y->next = b->yields;
	b->yields = y;
	pthread_mutex_unlock(&b->lock);
}

void slu_budget_yield_remove(struct slu_budget *b, struct slu_budget_yield *y)
{
	pthread_mutex_lock(&b->lock);
	struct slu_budget_yield **p = &b->yields;

	while (*p != y)
		p = &(*p)->next;
	*p = y->next;
	while (b->yielding)
		pthread_cond_wait(&b->yielded, &b->lock);
	pthread_mutex_unlock(&b->lock);
}
