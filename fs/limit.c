/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limit layer: at most w ops below it, the others queue by priority, then order.  w grows by
 * one for w successes and halves when the service refuses (-EAGAIN), once for all ops that were
 * under way when it did.  An op whose deadline passes in the queue ends when the queue moves: at
 * the latest when an op below ends, and those have deadlines of their own.
 */
#include "common/mem.h"
#include "common/time.h"
#include "fs/layers.h"

#include <errno.h>
#include <pthread.h>

#define START 16
#define MAX 256
#define PRIOS 10

struct queue {
	struct slu_op *head, **end;
};

struct limit {
	struct slu_store s;
	double max;
	pthread_mutex_t lock; /* guards what follows */
	double w;
	unsigned below; /* ops under way */
	int64_t cut;    /* when w was last halved */
	struct queue queue[PRIOS];
};

static struct queue *queue_of(struct limit *l, const struct slu_op *op)
{
	return &l->queue[op->prio < PRIOS ? op->prio : PRIOS - 1];
}

static struct slu_op *pop_locked(struct limit *l)
{
	for (int i = 0; i < PRIOS; i++) {
		struct slu_op *op = l->queue[i].head;

		if (!op)
			continue;
		l->queue[i].head = op->next;
		if (!op->next)
			l->queue[i].end = &l->queue[i].head;
		return op;
	}
	return NULL;
}

static void adapt_locked(struct limit *l, const struct slu_op *op, int64_t begun)
{
	if (op->rc == -EAGAIN && begun > l->cut) {
		l->w = l->w / 2 < 1 ? 1 : l->w / 2;
		l->cut = slu_now();
	} else if (op->rc == 0) {
		l->w += 1 / l->w;
		if (l->w > l->max)
			l->w = l->max;
	}
}

static void limited(struct slu_op *op);

static void send(struct limit *l, struct slu_op *op)
{
	slu_op_push(op, limited, l);
	*slu_op_at(op) = slu_now();
	slu_store_submit(l->s.below, op);
}

/* Sends down what now has room, ends what is too late. */
static void move_queue(struct limit *l)
{
	for (;;) {
		struct slu_op *op;
		bool late;

		pthread_mutex_lock(&l->lock);
		op = l->below < (unsigned)l->w ? pop_locked(l) : NULL;
		late = op && slu_expired(op->deadline);
		l->below += op && !late;
		pthread_mutex_unlock(&l->lock);
		if (!op)
			return;
		if (!late) {
			send(l, op);
			continue;
		}
		slu_fail(&op->err, ETIMEDOUT,
			 "cannot %s '%s' in time: too many requests were waiting",
			 slu_op_name(op->type), op->path);
		slu_op_finish(op, -ETIMEDOUT);
	}
}

static void limited(struct slu_op *op)
{
	int64_t begun = *slu_op_at(op);
	struct limit *l = slu_op_pop(op);

	pthread_mutex_lock(&l->lock);
	adapt_locked(l, op, begun);
	l->below--;
	pthread_mutex_unlock(&l->lock);
	move_queue(l);
	op->done(op);
}

static void limit_submit(struct slu_store *s, struct slu_op *op)
{
	struct limit *l = (struct limit *)s;
	struct queue *q = queue_of(l, op);
	bool now;

	pthread_mutex_lock(&l->lock);
	now = l->below < (unsigned)l->w; /* then nothing is queued */
	if (now) {
		l->below++;
	} else {
		op->next = NULL;
		*q->end = op;
		q->end = &op->next;
	}
	pthread_mutex_unlock(&l->lock);
	if (now)
		send(l, op);
}

static bool unqueue_locked(struct queue *q, struct slu_op *op)
{
	struct slu_op **p = &q->head;

	while (*p && *p != op)
		p = &(*p)->next;
	if (!*p)
		return false;
	*p = op->next;
	if (!*p)
		q->end = p;
	return true;
}

static void limit_cancel(struct slu_store *s, struct slu_op *op)
{
	struct limit *l = (struct limit *)s;
	bool mine;

	pthread_mutex_lock(&l->lock);
	mine = unqueue_locked(queue_of(l, op), op);
	pthread_mutex_unlock(&l->lock);
	if (!mine) {
		slu_store_cancel(s->below, op);
		return;
	}
	slu_fail(&op->err, ECANCELED, "cannot %s '%s': canceled", slu_op_name(op->type), op->path);
	slu_op_finish(op, -ECANCELED);
}

static void limit_free(struct slu_store *s)
{
	pthread_mutex_destroy(&((struct limit *)s)->lock);
	free(s);
}

static const struct slu_store_ops limit_ops = {
	.name = "limit", .submit = limit_submit, .cancel = limit_cancel, .free = limit_free};

int slu_limit_push(struct slu_store **s, const struct slu_limit_conf *conf)
{
	struct limit *l = slu_new0(struct limit);

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	l->max = conf && conf->max ? conf->max : MAX;
	l->w = conf && conf->start ? conf->start : START;
	if (l->w > l->max)
		l->w = l->max;
	for (int i = 0; i < PRIOS; i++)
		l->queue[i].end = &l->queue[i].head;
	l->s = **s;
	l->s.ops = &limit_ops;
	l->s.below = *s;
	*s = &l->s;
	return 0;
}
