/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timers of a loop: a binary heap ordered by time, then by order of arming.  Places in the heap
 * are reserved when a timer is made, so arming one cannot fail.  A timer that fires is taken out
 * first and not touched after its fn was called, which may free it.
 */
#include "common/mem.h"
#include "common/time.h"
#include "io/core.h"

#include <errno.h>

static bool before(const struct slu_timer *a, const struct slu_timer *b)
{
	return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

static void place(struct slu_loop *l, size_t i, struct slu_timer *t)
{
	l->heap[i] = t;
	t->pos = i;
}

static void sift_up(struct slu_loop *l, size_t i, struct slu_timer *t)
{
	while (i > 0 && before(t, l->heap[(i - 1) / 2])) {
		place(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(l, i, t);
}

static void sift_down(struct slu_loop *l, size_t i, struct slu_timer *t)
{
	for (;;) {
		size_t c = 2 * i + 1;
		if (c >= l->n_heap)
			break;
		if (c + 1 < l->n_heap && before(l->heap[c + 1], l->heap[c]))
			c++;
		if (!before(l->heap[c], t))
			break;
		place(l, i, l->heap[c]);
		i = c;
	}
	place(l, i, t);
}

static void take_out(struct slu_timer *t)
{
	struct slu_loop *l = t->loop;
	if (t->pos == SLU_TIMER_OUT)
		return;
	size_t i = t->pos;
	struct slu_timer *last = l->heap[--l->n_heap];
	t->pos = SLU_TIMER_OUT;
	if (last == t)
		return;
	if (i > 0 && before(last, l->heap[(i - 1) / 2]))
		sift_up(l, i, last);
	else
		sift_down(l, i, last);
}

int slu_timer_init(struct slu_timer *t, struct slu_loop *l, void (*fn)(void *), void *arg)
{
	int r = 0;
	*t = (struct slu_timer){.loop = l, .fn = fn, .arg = arg, .pos = SLU_TIMER_OUT};
	pthread_mutex_lock(&l->lock);
	if (l->n_timers == l->cap_heap) {
		size_t cap = l->cap_heap ? 2 * l->cap_heap : 16;
		struct slu_timer **h = slu_reallocarray(l->heap, cap, sizeof(*h));
		if (h) {
			l->heap = h;
			l->cap_heap = cap;
		} else {
			r = -ENOMEM;
		}
	}
	if (!r)
		l->n_timers++;
	pthread_mutex_unlock(&l->lock);
	return r;
}

void slu_timer_fini(struct slu_timer *t)
{
	struct slu_loop *l = t->loop;
	pthread_mutex_lock(&l->lock);
	take_out(t);
	while (l->running == t && slu_loop_self() != l)
		pthread_cond_wait(&l->fn_ended, &l->lock);
	take_out(t); /* fn may have armed it again */
	l->n_timers--;
	pthread_mutex_unlock(&l->lock);
}

int slu_timer_new(struct slu_loop *l, void (*fn)(void *), void *arg, struct slu_timer **ret)
{
	struct slu_timer *t = slu_new0(struct slu_timer);
	if (!t)
		return -ENOMEM;
	int r = slu_timer_init(t, l, fn, arg);
	if (r < 0) {
		free(t);
		return r;
	}
	*ret = t;
	return 0;
}

int slu_timer_set(struct slu_timer *t, int64_t at)
{
	struct slu_loop *l = t->loop;
	pthread_mutex_lock(&l->lock);
	take_out(t);
	t->at = at;
	t->seq = l->seq++;
	t->fired = false;
	sift_up(l, l->n_heap++, t);
	if (at < l->sleeps_until)
		slu_loop_wake_locked(l);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

bool slu_timer_cancel(struct slu_timer *t)
{
	struct slu_loop *l = t->loop;
	pthread_mutex_lock(&l->lock);
	take_out(t);
	bool r = !t->fired && !(l->running == t && slu_loop_self() != l);
	pthread_mutex_unlock(&l->lock);
	return r;
}

void slu_timer_free(struct slu_timer *t)
{
	if (!t)
		return;
	slu_timer_fini(t);
	free(t);
}

int64_t slu_timers_next_locked(const struct slu_loop *l)
{
	return l->n_heap ? l->heap[0]->at : INT64_MAX;
}

void slu_timers_run(struct slu_loop *l)
{
	pthread_mutex_lock(&l->lock);
	int64_t now = l->n_heap ? slu_now() : 0;
	/* At most as many as there are now: one that re-arms itself for the past must not starve the
	 * rest of the loop. */
	for (size_t n = l->n_heap; n > 0 && l->n_heap && l->heap[0]->at <= now; n--) {
		struct slu_timer *t = l->heap[0];
		take_out(t);
		t->fired = true;
		l->running = t;
		pthread_mutex_unlock(&l->lock);
		t->fn(t->arg);
		pthread_mutex_lock(&l->lock);
		l->running = NULL;
		pthread_cond_broadcast(&l->fn_ended);
	}
	pthread_mutex_unlock(&l->lock);
}
