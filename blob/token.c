/* SPDX-License-Identifier: Apache-2.0 */
/* The state of one token: held, being fetched, failed lately.  All under one lock, nothing called under it. */
#include "blob/token.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#define MARGIN (5 * 60 * SLU_SEC) /* renewed so long before its end, or at half of its life */
#define ENDED                                                                                      \
	(5 * 60 * SLU_SEC)  /* what has ended by our clock serves so long: the service decides */
#define AGAIN (2 * SLU_SEC) /* after a failure */

struct slu_tokens {
	struct slu_pool *pool;
	slu_token_fetch *fetch;
	void *arg;
	struct slu_work work;

	pthread_mutex_t lock; /* everything below */
	pthread_cond_t idle;
	bool busy;
	struct slu_token now; /* text NULL: none */
	int64_t renew;        /* wall clock ns */
	struct slu_err err;   /* of the last fetch; code 0: it went well */
	int64_t failed;       /* slu_now ns */
	struct slu_token_wait *waiting;
};

void slu_token_done(struct slu_token *t)
{
	if (t->text)
		explicit_bzero(t->text, strlen(t->text));
	free(t->text);
	*t = (struct slu_token){0};
}

int slu_tokens_new(struct slu_pool *pool, slu_token_fetch *fetch, void *arg,
		   struct slu_tokens **ret)
{
	struct slu_tokens *t = slu_new0(struct slu_tokens);

	if (!t)
		return -ENOMEM;
	t->pool = pool;
	t->fetch = fetch;
	t->arg = arg;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->idle, NULL);
	*ret = t;
	return 0;
}

void slu_tokens_free(struct slu_tokens *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	while (t->busy)
		pthread_cond_wait(&t->idle, &t->lock);
	pthread_mutex_unlock(&t->lock);
	slu_token_done(&t->now);
	pthread_cond_destroy(&t->idle);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static void keep_locked(struct slu_tokens *t, struct slu_token *fresh)
{
	int64_t now = slu_wall(), life = fresh->ends - now;

	slu_token_done(&t->now);
	t->now = *fresh;
	t->renew = fresh->ends - (life / 2 < MARGIN ? life / 2 : MARGIN);
	t->err = (struct slu_err){0};
}

void slu_tokens_put(struct slu_tokens *t, struct slu_token *first)
{
	pthread_mutex_lock(&t->lock);
	keep_locked(t, first);
	pthread_mutex_unlock(&t->lock);
}

static void fetch(struct slu_work *w)
{
	struct slu_tokens *t = (struct slu_tokens *)((char *)w - offsetof(struct slu_tokens, work));
	struct slu_token fresh = {0};
	struct slu_token_wait *waiting;
	struct slu_err e = {0};
	int r = t->fetch(t->arg, &fresh, &e);

	pthread_mutex_lock(&t->lock);
	if (r == 0) {
		int64_t now = slu_wall();

		if (fresh.ends <= now)
			fresh.ends = now + ENDED;
		keep_locked(t, &fresh);
	} else {
		t->err = e;
		t->failed = slu_now();
	}
	waiting = t->waiting;
	t->waiting = NULL;
	t->busy = false;
	pthread_cond_broadcast(&t->idle);
	pthread_mutex_unlock(&t->lock);
	while (waiting) {
		struct slu_token_wait *next = waiting->next;

		waiting->fn(waiting);
		waiting = next;
	}
}

int slu_tokens_get(struct slu_tokens *t, struct slu_token_wait *w, char **ret, struct slu_err *e)
{
	int64_t now = slu_wall();
	bool start = false;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	bool valid = t->now.text && now < t->now.ends;
	bool rests = t->err.code && slu_now() - t->failed < AGAIN;

	if ((!valid || now >= t->renew) && !t->busy && !rests)
		start = t->busy = true;
	if (valid) {
		*ret = slu_strdup(t->now.text);
		r = *ret ? 0 : slu_fail_oom(e);
	} else if (t->busy) {
		w->next = t->waiting;
		t->waiting = w;
		r = -EINPROGRESS;
	} else {
		if (e)
			*e = t->err;
		r = -t->err.code;
	}
	pthread_mutex_unlock(&t->lock);
	if (start) {
		t->work = (struct slu_work){.fn = fetch};
		slu_pool_add(t->pool, &t->work);
	}
	return r;
}

void slu_tokens_refused(struct slu_tokens *t, const char *text)
{
	pthread_mutex_lock(&t->lock);
	if (t->now.text && slu_streq(t->now.text, text))
		slu_token_done(&t->now);
	pthread_mutex_unlock(&t->lock);
}
