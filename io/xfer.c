/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public side of an exchange: sending, cancelling, reading and freeing its result.  Sending
 * needs no memory (the request itself is the queue's link), so it cannot fail: what goes wrong
 * later arrives by done() on the loop's thread.
 */
#include "io/exchange.h"

#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <string.h>

void slu_xfer_send(struct slu_loop *l, struct slu_xfer *x)
{
	x->rc = 0;
	x->err = (struct slu_err){0};
	x->status = 0;
	x->got = 0;
	x->loop = l;
	x->next = NULL;
	slu_buf_clear(&x->resp);
	slu_buf_done(&x->errbody);
	x->errbody = SLU_BUF(SLU_XFER_ERRBODY);

	pthread_mutex_lock(&l->lock);
	*l->sends_end = x;
	l->sends_end = &x->next;
	slu_loop_wake_locked(l);
	pthread_mutex_unlock(&l->lock);
}

void slu_xfer_cancel(struct slu_xfer *x)
{
	struct slu_loop *l = x->loop;
	__atomic_store_n(&x->canceled, true, __ATOMIC_RELEASE);
	if (!l)
		return; /* not sent yet: it will end as soon as it is */
	pthread_mutex_lock(&l->lock);
	l->cancels = true;
	slu_loop_wake_locked(l);
	pthread_mutex_unlock(&l->lock);
}

const char *slu_xfer_header(const struct slu_xfer *x, const char *name)
{
	return x->state ? slu_reply_get(&x->state->reply, name) : NULL;
}

const char *slu_xfer_next_header(const struct slu_xfer *x, const char *prefix, const char *last,
				 const char **ret_value)
{
	const struct slu_buf *b = x->state ? &x->state->reply.text : NULL;
	const char *at = last, *end = b && b->p ? b->p + b->len : NULL;

	if (!end)
		return NULL;
	for (at = at ? at : b->p; at < end; last = NULL) {
		const char *value = at + strlen(at) + 1;

		if (!last && slu_starts(at, prefix)) {
			*ret_value = value;
			return at;
		}
		at = value + strlen(value) + 1;
	}
	return NULL;
}

void slu_xfer_done(struct slu_xfer *x)
{
	size_t max = x->resp.max;
	slu_buf_done(&x->errbody);
	slu_buf_done(&x->resp);
	x->resp = SLU_BUF(max);
	if (x->state) {
		slu_reply_done(&x->state->reply);
		free(x->state);
	}
	x->state = NULL;
	x->loop = NULL;
	x->canceled = false;
}

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool over;
};

static void wake(struct slu_xfer *x)
{
	struct waiter *w = x->user;
	pthread_mutex_lock(&w->lock);
	w->over = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

int slu_xfer_wait(struct slu_loop *l, struct slu_xfer *x)
{
	if (slu_loop_self())
		return slu_fail(&x->err, EDEADLK, "an I/O thread cannot wait for an exchange");
	struct waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
	void (*done)(struct slu_xfer *) = x->done;
	void *user = x->user;
	x->done = wake;
	x->user = &w;
	slu_xfer_send(l, x);
	pthread_mutex_lock(&w.lock);
	while (!w.over)
		pthread_cond_wait(&w.cond, &w.lock);
	pthread_mutex_unlock(&w.lock);
	pthread_cond_destroy(&w.cond);
	pthread_mutex_destroy(&w.lock);
	x->done = done;
	x->user = user;
	return x->rc;
}
