/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limit layer: at most w ops below it and its like over stores of the same service, the others
 * queue by priority, then order.  w doubles with w successes until the service first refuses (-EAGAIN), from
 * then on it grows by one; it halves at each refusal, once for all ops that were under way then.  One timer sees to it that a pause ends
 * and that an op whose deadline passes in the queue ends then.
 */
#include "common/mem.h"
#include "common/time.h"
#include "fs/layers.h"
#include "fs/stats.h"

#include <errno.h>
#include <pthread.h>

#define START 32
#define MAX 256
#define PRIOS 10
#define PAUSE_MAX (30 * SLU_SEC)

/* Queued ops hold their layer in `drv`. */
struct queue {
	struct slu_op *head, **end;
};

struct slu_window {
	double max;
	struct slu_timer *timer; /* NULL: no loops */
	pthread_mutex_t lock;    /* guards what follows */
	double w;
	unsigned below;   /* ops under way */
	int64_t cut;      /* when w was last halved */
	int64_t pause;    /* nothing is sent before */
	int64_t timer_at; /* 0: not set */
	struct queue queue[PRIOS];
};

struct limit {
	struct slu_store s;
	struct slu_window *w;
};

static struct queue *queue_of(struct slu_window *w, const struct slu_op *op)
{
	return &w->queue[op->prio < PRIOS ? op->prio : PRIOS - 1];
}

static void unlink_locked(struct queue *q, struct slu_op **at)
{
	slu_stat_move(SLU_GAUGE_QUEUED, -1);
	*at = (*at)->next;
	if (!*at)
		q->end = at;
}

static struct slu_op *pop_locked(struct slu_window *w)
{
	for (int i = 0; i < PRIOS; i++) {
		struct slu_op *op = w->queue[i].head;

		if (!op)
			continue;
		unlink_locked(&w->queue[i], &w->queue[i].head);
		return op;
	}
	return NULL;
}

/* One op whose time is over, taken out; else *next is when the first will be (0: none). */
static struct slu_op *pop_late_locked(struct slu_window *w, int64_t *next)
{
	*next = 0;
	for (int i = 0; i < PRIOS; i++) {
		for (struct slu_op **p = &w->queue[i].head; *p; p = &(*p)->next) {
			struct slu_op *op = *p;

			if (slu_expired(op->deadline)) {
				unlink_locked(&w->queue[i], p);
				return op;
			}
			if (op->deadline && (!*next || op->deadline < *next))
				*next = op->deadline;
		}
	}
	return NULL;
}

static void set_timer_locked(struct slu_window *w, int64_t at)
{
	if (!w->timer || !at || (w->timer_at && w->timer_at <= at))
		return;
	w->timer_at = at;
	slu_timer_set(w->timer, at);
}

static void adapt_locked(struct slu_window *w, const struct slu_op *op, int64_t begun)
{
	if (op->rc == -EAGAIN)
		slu_stat_add(SLU_STAT_THROTTLED, 1);
	if (op->rc == -EAGAIN && begun > w->cut) {
		w->w = w->w / 2 < 1 ? 1 : w->w / 2;
		w->cut = slu_now();
	} else if (op->rc == 0 && w->below >= (unsigned)w->w) { /* nothing is learnt from less */
		w->w += w->cut ? 1 / w->w : 1;
		if (w->w > w->max)
			w->w = w->max;
	}
	if (op->rc == -EAGAIN && op->retry_after > 0 && w->timer) {
		int64_t wait = op->retry_after < PAUSE_MAX ? op->retry_after : PAUSE_MAX;
		int64_t until = slu_deadline_in(wait);

		if (until > w->pause)
			w->pause = until;
		set_timer_locked(w, w->pause);
	}
}

static bool room_locked(const struct slu_window *w)
{
	return w->below < (unsigned)w->w && (!w->pause || slu_now() >= w->pause);
}

static void limited(struct slu_op *op);

static void send(struct limit *l, struct slu_op *op)
{
	slu_op_push(op, limited, l);
	*slu_op_at(op) = slu_now();
	slu_stat_move(SLU_GAUGE_FLIGHT, 1);
	slu_store_submit(l->s.below, op);
}

static void end_late(struct slu_op *op)
{
	slu_fail(&op->err, ETIMEDOUT, "cannot %s '%s' in time: too many requests were waiting",
		 slu_op_name(op->type), op->path);
	slu_op_finish(op, -ETIMEDOUT);
}

/* Sends down what now has room, ends what is too late. */
static void move_queue(struct slu_window *w)
{
	for (;;) {
		struct slu_op *op;
		bool late;

		pthread_mutex_lock(&w->lock);
		op = room_locked(w) ? pop_locked(w) : NULL;
		late = op && slu_expired(op->deadline);
		w->below += op && !late;
		pthread_mutex_unlock(&w->lock);
		if (!op)
			return;
		if (late)
			end_late(op);
		else
			send(op->drv, op);
	}
}

static void on_timer(void *arg)
{
	struct slu_window *w = arg;
	struct slu_op *op;
	int64_t next;

	pthread_mutex_lock(&w->lock);
	w->timer_at = 0;
	while ((op = pop_late_locked(w, &next))) {
		pthread_mutex_unlock(&w->lock);
		end_late(op);
		pthread_mutex_lock(&w->lock);
	}
	set_timer_locked(w, next);
	if (w->pause && slu_now() < w->pause)
		set_timer_locked(w, w->pause);
	pthread_mutex_unlock(&w->lock);
	move_queue(w);
}

static void limited(struct slu_op *op)
{
	int64_t begun = *slu_op_at(op);
	struct limit *l = slu_op_pop(op);
	struct slu_window *w = l->w;

	slu_stat_move(SLU_GAUGE_FLIGHT, -1);
	pthread_mutex_lock(&w->lock);
	adapt_locked(w, op, begun);
	w->below--;
	pthread_mutex_unlock(&w->lock);
	move_queue(w);
	op->done(op);
}

static void limit_submit(struct slu_store *s, struct slu_op *op)
{
	struct limit *l = (struct limit *)s;
	struct slu_window *w = l->w;
	struct queue *q = queue_of(w, op);
	bool now;

	pthread_mutex_lock(&w->lock);
	now = room_locked(w) && !q->head;
	if (now) {
		w->below++;
	} else {
		op->next = NULL;
		op->drv = l;
		*q->end = op;
		q->end = &op->next;
		slu_stat_move(SLU_GAUGE_QUEUED, 1);
		set_timer_locked(w, op->deadline);
	}
	pthread_mutex_unlock(&w->lock);
	if (now)
		send(l, op);
}

static bool unqueue_locked(struct queue *q, struct slu_op *op)
{
	for (struct slu_op **p = &q->head; *p; p = &(*p)->next) {
		if (*p != op)
			continue;
		unlink_locked(q, p);
		return true;
	}
	return false;
}

static void limit_cancel(struct slu_store *s, struct slu_op *op)
{
	struct slu_window *w = ((struct limit *)s)->w;
	bool mine;

	pthread_mutex_lock(&w->lock);
	mine = unqueue_locked(queue_of(w, op), op);
	pthread_mutex_unlock(&w->lock);
	if (!mine) {
		slu_store_cancel(s->below, op);
		return;
	}
	slu_fail(&op->err, ECANCELED, "cannot %s '%s': canceled", slu_op_name(op->type), op->path);
	slu_op_finish(op, -ECANCELED);
}

static void limit_hurry(struct slu_store *s, struct slu_op *op)
{
	struct slu_window *w = ((struct limit *)s)->w;
	bool mine = false;

	pthread_mutex_lock(&w->lock);
	for (int i = 1; i < PRIOS && !mine; i++)
		mine = unqueue_locked(&w->queue[i], op);
	if (mine) {
		op->prio = 0;
		op->next = NULL;
		*w->queue[0].end = op;
		w->queue[0].end = &op->next;
		slu_stat_move(SLU_GAUGE_QUEUED, 1);
	}
	pthread_mutex_unlock(&w->lock);
	if (!mine)
		slu_store_hurry(s->below, op);
}

static void limit_free(struct slu_store *s)
{
	free(s);
}

static const struct slu_store_ops limit_ops = {.name = "limit",
					       .submit = limit_submit,
					       .cancel = limit_cancel,
					       .hurry = limit_hurry,
					       .free = limit_free};

int slu_limit_push(struct slu_store **s, struct slu_window *w)
{
	struct limit *l = slu_new0(struct limit);

	if (!l)
		return -ENOMEM;
	l->w = w;
	l->s = **s;
	l->s.ops = &limit_ops;
	l->s.below = *s;
	*s = &l->s;
	return 0;
}

int slu_window_new(const struct slu_limit_conf *conf, struct slu_loops *loops,
		   struct slu_window **ret)
{
	struct slu_window *w = slu_new0(struct slu_window);

	if (!w)
		return -ENOMEM;
	if (loops && slu_timer_new(slu_loops_pick(loops, "limit", 0), on_timer, w, &w->timer) < 0) {
		free(w);
		return -ENOMEM;
	}
	pthread_mutex_init(&w->lock, NULL);
	w->max = conf && conf->max ? conf->max : MAX;
	w->w = conf && conf->start ? conf->start : START;
	if (w->w > w->max)
		w->w = w->max;
	for (int i = 0; i < PRIOS; i++)
		w->queue[i].end = &w->queue[i].head;
	*ret = w;
	return 0;
}

void slu_window_free(struct slu_window *w)
{
	if (!w)
		return;
	slu_timer_free(w->timer);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
