/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads.  One is started with the pool, so that adding work can never fail; more come
 * when work arrives and nobody is idle.  A thread that could not be started is no error: those
 * that exist do the work later.
 */
#include "io/pool.h"

#include "common/mem.h"
#include "io/core.h"

#include <errno.h>

#define MAX_THREADS 256

struct list {
	struct slu_work *head, **end;
};

struct slu_pool {
	pthread_mutex_t lock; /* guards everything below */
	pthread_cond_t more;
	struct list todo[2]; /* [1]: low */
	size_t queued;
	unsigned n, waiting, max; /* threads; those in cond_wait, woken or not */
	bool stop;
	pthread_t thread[];
};

static struct slu_work *take_locked(struct slu_pool *p)
{
	for (int i = 0; i < 2; i++) {
		struct list *t = &p->todo[i];
		struct slu_work *w = t->head;
		if (!w)
			continue;
		t->head = w->next;
		if (!t->head)
			t->end = &t->head;
		p->queued--;
		return w;
	}
	return NULL;
}

static void *worker(void *arg)
{
	struct slu_pool *p = arg;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct slu_work *w = take_locked(p);
		if (w) {
			pthread_mutex_unlock(&p->lock);
			w->fn(w);
			pthread_mutex_lock(&p->lock);
			continue;
		}
		if (p->stop)
			break;
		p->waiting++;
		pthread_cond_wait(&p->more, &p->lock);
		p->waiting--;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int slu_pool_new(unsigned threads, struct slu_pool **ret, struct slu_err *e)
{
	unsigned max = threads ? threads : 2 * slu_cores();
	if (!threads && max < 4)
		max = 4;
	if (max > MAX_THREADS)
		max = MAX_THREADS;
	struct slu_pool *p = slu_calloc(1, sizeof(*p) + max * sizeof(p->thread[0]));
	if (!p)
		return slu_fail_oom(e);
	p->max = max;
	for (int i = 0; i < 2; i++)
		p->todo[i].end = &p->todo[i].head;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	int r = slu_thread_start(&p->thread[0], worker, p, "slu-pool");
	if (r < 0) {
		slu_pool_free(p);
		return slu_fail_sys(e, -r, "cannot start a worker thread");
	}
	p->n = 1;
	*ret = p;
	return 0;
}

void slu_pool_add(struct slu_pool *p, struct slu_work *w)
{
	w->next = NULL;
	pthread_mutex_lock(&p->lock);
	struct list *t = &p->todo[w->low];
	*t->end = w;
	t->end = &w->next;
	/* As many were woken as there are pieces in the queue: one more, or a new thread. */
	if (++p->queued <= p->waiting) {
		pthread_cond_signal(&p->more);
	} else if (p->n < p->max && !p->stop) {
		if (slu_thread_start(&p->thread[p->n], worker, p, "slu-pool") == 0)
			p->n++;
	}
	pthread_mutex_unlock(&p->lock);
}

bool slu_pool_cancel(struct slu_pool *p, struct slu_work *w)
{
	bool found = false;
	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < 2 && !found; i++) {
		struct list *t = &p->todo[i];
		for (struct slu_work **at = &t->head; *at; at = &(*at)->next) {
			if (*at != w)
				continue;
			*at = w->next;
			if (!*at)
				t->end = at;
			p->queued--;
			found = true;
			break;
		}
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

void slu_pool_free(struct slu_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
