/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting ops, one timer each.  Whoever takes an op off the list, its timer or a cancel, owns it
 * from then on; both look under the lock, so exactly one does.
 */
#include "fs/park.h"

#include "common/mem.h"

#include <errno.h>
#include <pthread.h>

struct parked {
	struct slu_park *park;
	struct slu_op *op;
	struct slu_timer *timer; /* NULL: only a cancel ends it */
	void (*fn)(struct slu_op *op, void *arg);
	void *arg;
	bool listed; /* not yet owned by timer or cancel */
	struct parked *prev, *next;
};

struct slu_park {
	struct slu_loops *loops;
	pthread_mutex_t lock; /* guards what follows */
	struct parked head;   /* of a ring */
	unsigned n;           /* ops ever parked: spreads them over the loops */
};

int slu_park_new(struct slu_loops *loops, struct slu_park **ret)
{
	struct slu_park *p = slu_new0(struct slu_park);

	if (!p)
		return -ENOMEM;
	p->loops = loops;
	pthread_mutex_init(&p->lock, NULL);
	p->head.prev = p->head.next = &p->head;
	*ret = p;
	return 0;
}

void slu_park_free(struct slu_park *p)
{
	if (!p)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static bool take_locked(struct parked *k)
{
	if (!k->listed)
		return false;
	k->listed = false;
	k->prev->next = k->next;
	k->next->prev = k->prev;
	return true;
}

static void finish_canceled(struct slu_op *op)
{
	slu_fail(&op->err, ECANCELED, "cannot %s '%s': canceled", slu_op_name(op->type), op->path);
	slu_op_finish(op, -ECANCELED);
}

/* The time has come.  When a cancel was first it waits for this to return, then frees k. */
static void wake(void *arg)
{
	struct parked *k = arg, copy;

	pthread_mutex_lock(&k->park->lock);
	bool mine = take_locked(k);
	pthread_mutex_unlock(&k->park->lock);
	if (!mine)
		return;
	copy = *k;
	slu_timer_free(k->timer);
	free(k);
	if (slu_op_canceled(copy.op))
		finish_canceled(copy.op);
	else
		copy.fn(copy.op, copy.arg);
}

int slu_park_op(struct slu_park *p, struct slu_op *op, int64_t at,
		void (*fn)(struct slu_op *op, void *arg), void *arg)
{
	struct parked *k = slu_new0(struct parked);
	int r = 0;

	if (!k)
		return -ENOMEM;
	*k = (struct parked){.park = p, .op = op, .fn = fn, .arg = arg, .listed = true};
	if (at) {
		unsigned n = __atomic_fetch_add(&p->n, 1, __ATOMIC_RELAXED);

		r = slu_timer_new(slu_loops_pick(p->loops, "park", n), wake, k, &k->timer);
		if (r < 0) {
			free(k);
			return r;
		}
	}
	/* armed with the lock held: neither wake nor a cancel can get at k before it is whole */
	pthread_mutex_lock(&p->lock);
	k->prev = &p->head;
	k->next = p->head.next;
	k->prev->next = k->next->prev = k;
	if (slu_op_canceled(op))
		r = -ECANCELED;
	else if (k->timer)
		r = slu_timer_set(k->timer, at);
	if (r < 0)
		take_locked(k);
	pthread_mutex_unlock(&p->lock);
	if (r < 0) {
		slu_timer_free(k->timer);
		free(k);
	}
	return r;
}

bool slu_park_cancel(struct slu_park *p, struct slu_op *op)
{
	struct parked *k;

	pthread_mutex_lock(&p->lock);
	for (k = p->head.next; k != &p->head && k->op != op; k = k->next)
		;
	if (k == &p->head)
		k = NULL;
	else
		take_locked(k);
	pthread_mutex_unlock(&p->lock);
	if (!k)
		return false;
	slu_timer_free(k->timer);
	free(k);
	finish_canceled(op);
	return true;
}
