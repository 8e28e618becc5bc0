/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runners take pieces until none is left.  Each compares, every so many pieces, the time that went by with
 * what it used of the processor: the difference is waiting.  A thread that waits for a processor is not
 * told from one that waits for a disk, which does no harm: then there are a few more of them.
 */
#include "fs/few.h"

#include "common/time.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#define PIECES 16
#define WAITS_NS 300000 /* a piece: one more thread pays */
#define RUNS_NS 60000   /* a piece: one less is enough */

static int64_t cpu_now(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t))
		return 0;
	return t.tv_sec * SLU_SEC + t.tv_nsec;
}

/* Lock held. */
static struct slu_few_runner *spare(struct slu_few *q)
{
	if (q->running >= q->limit)
		return NULL;
	for (unsigned i = 0; i < q->max; i++)
		if (!q->runner[i].busy)
			return &q->runner[i];
	return NULL;
}

/* Lock held.  One who is to be started, or NULL. */
static struct slu_few_runner *engage(struct slu_few *q)
{
	struct slu_few_runner *r = spare(q);

	if (!r)
		return NULL;
	r->busy = true;
	q->running++;
	return r;
}

/* Lock held. */
static void measure(struct slu_few *q, struct slu_few_runner *r)
{
	int64_t wall = slu_now(), cpu = cpu_now();
	int64_t waited = (wall - r->wall - (cpu - r->cpu)) / PIECES;

	if (waited > WAITS_NS && q->limit < q->max)
		q->limit++;
	else if (waited < RUNS_NS && q->limit > q->base)
		q->limit--;
	r->wall = wall;
	r->cpu = cpu;
	r->pieces = 0;
}

static void run(struct slu_work *w)
{
	struct slu_few_runner *r =
		(struct slu_few_runner *)((char *)w - offsetof(struct slu_few_runner, work));
	struct slu_few *q = r->q;

	r->wall = slu_now();
	r->cpu = cpu_now();
	r->pieces = 0;
	pthread_mutex_lock(&q->lock);
	while (q->head && q->running <= q->limit) {
		struct slu_work *todo = q->head;
		struct slu_few_runner *more;

		q->head = todo->next;
		if (!q->head)
			q->end = &q->head;
		more = q->head ? engage(q) : NULL;
		pthread_mutex_unlock(&q->lock);
		if (more)
			slu_pool_add(q->pool, &more->work);
		todo->fn(todo);
		pthread_mutex_lock(&q->lock);
		if (++r->pieces == PIECES)
			measure(q, r);
	}
	r->busy = false;
	if (!--q->running)
		pthread_cond_broadcast(&q->idle);
	pthread_mutex_unlock(&q->lock);
}

void slu_few_add(struct slu_few *q, struct slu_work *w)
{
	struct slu_few_runner *r;

	w->next = NULL;
	pthread_mutex_lock(&q->lock);
	*q->end = w;
	q->end = &w->next;
	r = engage(q);
	pthread_mutex_unlock(&q->lock);
	if (r)
		slu_pool_add(q->pool, &r->work);
}

unsigned slu_few_limit(struct slu_few *q)
{
	unsigned n;

	pthread_mutex_lock(&q->lock);
	n = q->limit;
	pthread_mutex_unlock(&q->lock);
	return n;
}

void slu_few_init(struct slu_few *q, struct slu_pool *pool, unsigned base, unsigned max)
{
	memset(q, 0, sizeof(*q));
	q->pool = pool;
	q->max = max > SLU_FEW_MAX ? SLU_FEW_MAX : max ? max : 1;
	q->base = base > q->max ? q->max : base ? base : 1;
	q->limit = q->base;
	q->end = &q->head;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->idle, NULL);
	for (unsigned i = 0; i < q->max; i++)
		q->runner[i] = (struct slu_few_runner){.work.fn = run, .q = q};
}

void slu_few_done(struct slu_few *q)
{
	pthread_mutex_lock(&q->lock);
	while (q->running)
		pthread_cond_wait(&q->idle, &q->lock);
	pthread_mutex_unlock(&q->lock);
	pthread_cond_destroy(&q->idle);
	pthread_mutex_destroy(&q->lock);
}
