/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of a live mount that the store has to answer (mount_live.h).  An ask is freed only with the
 * mount: an interrupt may still look at one that has gone on to another request.
 */
#include "fs/mount_live.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/time.h"

#include <errno.h>
#include <string.h>

#define TICK_NS SLU_SEC
#define TELL_NS (10 * SLU_SEC) /* a store that is away is told of that often */

/* Lock held. */
static bool claim(struct slu_mask *a)
{
	struct slu_mlive *l = a->l;

	if (a->claimed)
		return false;
	a->claimed = true;
	*(a->prev ? &a->prev->succ : &l->due) = a->succ;
	*(a->succ ? &a->succ->prev : &l->due_last) = a->prev;
	return true;
}

bool slu_mask_claim(struct slu_mask *a)
{
	bool mine;

	pthread_mutex_lock(&a->l->lock);
	mine = claim(a);
	pthread_mutex_unlock(&a->l->lock);
	return mine;
}

bool slu_mask_over(struct slu_mask *a)
{
	bool over;

	pthread_mutex_lock(&a->l->lock);
	over = a->claimed;
	pthread_mutex_unlock(&a->l->lock);
	return over;
}

/* libfuse: the program was interrupted, or killed. */
static void interrupted(fuse_req_t req, void *ask)
{
	struct slu_mask *a = ask;
	uint64_t unique;
	bool mine;

	if (slu_minit_early(req))
		return;
	pthread_mutex_lock(&a->l->lock);
	mine = a->req == req && claim(a);
	unique = a->unique;
	pthread_mutex_unlock(&a->l->lock);
	if (!mine)
		return;
	fuse_reply_err(req, EINTR);
	slu_minit_answered(a->l->m, unique);
}

void slu_mask_replied(struct slu_mask *a)
{
	slu_minit_answered(a->l->m, a->unique);
}

struct slu_mask *slu_mask_new(struct slu_mlive *l, fuse_req_t req, uint64_t ino,
			      void (*answer)(struct slu_mask *a))
{
	struct slu_mask *a;
	bool wake = false;

	pthread_mutex_lock(&l->lock);
	a = l->free;
	if (a) {
		l->free = a->next;
	} else if ((a = slu_new0(struct slu_mask))) {
		a->every = l->every;
		l->every = a;
	}
	if (a) {
		*a = (struct slu_mask){.l = l,
				       .every = a->every,
				       .req = req,
				       .unique = slu_minit_defer(),
				       .answer = answer,
				       .refs = 1,
				       .ino = ino,
				       .begun = slu_now(),
				       .prev = l->due_last};
		a->due = a->begun + l->timeout;
		*(l->due_last ? &l->due_last->succ : &l->due) = a;
		l->due_last = a;
		l->busy++;
		wake = !l->ticking;
		l->ticking = true;
	}
	pthread_mutex_unlock(&l->lock);
	if (wake)
		slu_mount_wake(l->m);
	if (a)
		slu_minit_on_interrupt(req, interrupted, a);
	else
		fuse_reply_err(req, ENOMEM);
	return a;
}

/* Lock held. */
static void unref(struct slu_mask *a)
{
	struct slu_mlive *l = a->l;

	if (--a->refs)
		return;
	if (a->dir)
		slu_mlive_list_put(l, a->dir);
	a->dir = NULL;
	free(a->path);
	free(a->buf);
	slu_list_done(&a->list);
	a->path = a->buf = NULL;
	a->req = NULL;
	a->next = l->free;
	l->free = a;
	if (!--l->busy)
		pthread_cond_broadcast(&l->quiet);
}

void slu_mask_end(struct slu_mask *a)
{
	struct slu_mlive *l = a->l;

	pthread_mutex_lock(&l->lock);
	unref(a);
	pthread_mutex_unlock(&l->lock);
	slu_mlive_list_turn(l);
}

static void op_done(struct slu_op *op)
{
	struct slu_mask *a = op->user;
	bool claimed;

	pthread_mutex_lock(&a->l->lock);
	a->sent = false;
	claimed = a->claimed && !a->dir; /* a page is kept, for the program that asks again */
	pthread_mutex_unlock(&a->l->lock);
	if (claimed)
		slu_mask_end(a);
	else
		a->answer(a);
}

void slu_mask_send(struct slu_mask *a)
{
	struct slu_mlive *l = a->l;
	bool go;

	a->op.deadline = a->due - l->timeout / 16; /* the store gives up first: it knows why */
	a->op.done = op_done;
	a->op.user = a;
	pthread_mutex_lock(&l->lock);
	go = a->sent = !a->claimed && !l->stopping;
	l->sending += go;
	pthread_mutex_unlock(&l->lock);
	if (!go) {
		slu_mask_end(a);
		return;
	}
	slu_store_submit(l->store, &a->op);
	pthread_mutex_lock(&l->lock);
	if (!--l->sending && l->stopping)
		pthread_cond_broadcast(&l->quiet);
	pthread_mutex_unlock(&l->lock);
}

static int errno_of(int rc)
{
	switch (rc) {
	case -ESTALE:
	case -ETIMEDOUT:
	case -EACCES:
	case -EPERM:
	case -ENOMEM:
	case -ENOENT:
	case -ENOTDIR:
	case -ENAMETOOLONG:
	case -EINTR:
		return -rc;
	default:
		return EIO;
	}
}

void slu_mask_fail(struct slu_mask *a, int rc)
{
	struct slu_mlive *l = a->l;
	int64_t now = slu_now();
	bool tell = rc != -ENOENT && rc != -ESTALE && rc != -ENOTDIR;

	pthread_mutex_lock(&l->lock);
	tell = tell && (!l->told || now - l->told > TELL_NS);
	if (tell)
		l->told = now;
	pthread_mutex_unlock(&l->lock);
	if (tell)
		slu_warn("mount", "'%s': the store could not be asked: %s", a->path ? a->path : "",
			 a->op.err.msg[0] ? a->op.err.msg : strerror(-rc));
	fuse_reply_err(a->req, errno_of(rc));
	slu_mask_replied(a);
}

/* Lock held. */
static struct slu_mask *take_due(struct slu_mlive *l, bool all)
{
	struct slu_mask *list = NULL;
	int64_t now = slu_now();

	for (struct slu_mask *a = l->due, *succ; a && (all || a->due <= now); a = succ) {
		succ = a->succ;
		claim(a);
		a->refs++;
		a->next = list;
		list = a;
	}
	return list;
}

static void answer_late(struct slu_mask *list, int rc)
{
	while (list) {
		struct slu_mask *a = list;

		list = a->next;
		slu_mask_fail(a, rc);
		slu_mask_end(a);
	}
}

/* Lock held, nothing is being sent any more.  Those too that were answered long ago. */
static struct slu_mask *take_sent(struct slu_mlive *l)
{
	struct slu_mask *list = NULL;

	for (struct slu_mask *a = l->every; a; a = a->every) {
		if (!a->sent)
			continue;
		a->refs++;
		a->next = list;
		list = a;
	}
	return list;
}

int64_t slu_mlive_tick(struct slu_mlive *l)
{
	int64_t now = slu_now(), wait = l->timeout / 4 < TICK_NS ? l->timeout / 4 : TICK_NS;
	struct slu_mask *late;
	bool idle;

	pthread_mutex_lock(&l->lock);
	late = take_due(l, false);
	idle = !l->busy && !l->lists;
	if (idle)
		l->ticking = false;
	if (l->due && l->due->due - now < wait)
		wait = l->due->due > now ? l->due->due - now : 0;
	pthread_mutex_unlock(&l->lock);
	answer_late(late, -ETIMEDOUT); /* the op ends by its own deadline */
	slu_mlive_lists_trim(l, false);
	return idle ? -1 : wait;
}

int slu_mlive_stop(struct slu_mlive *l, int64_t deadline)
{
	struct timespec at = {.tv_sec = deadline / SLU_SEC, .tv_nsec = deadline % SLU_SEC};
	struct slu_mask *open, *sent = NULL;
	int r = 0;

	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	open = take_due(l, true);
	while (l->sending && !r)
		r = pthread_cond_timedwait(&l->quiet, &l->lock, &at);
	pthread_mutex_unlock(&l->lock);
	answer_late(open, -EIO);
	pthread_mutex_lock(&l->lock);
	if (!r)
		sent = take_sent(l);
	pthread_mutex_unlock(&l->lock);
	while (sent) {
		struct slu_mask *a = sent;

		sent = a->next;
		slu_store_cancel(l->store, &a->op);
		slu_mask_end(a);
	}
	pthread_mutex_lock(&l->lock);
	while (l->busy && !r)
		r = pthread_cond_timedwait(&l->quiet, &l->lock, &at);
	pthread_mutex_unlock(&l->lock);
	return r ? -ETIMEDOUT : 0;
}
