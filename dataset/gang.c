/* SPDX-License-Identifier: Apache-2.0 */
/* Short-lived threads that take indices from one counter.  When none can be started the caller's
 * own thread does all the work. */
#include "dataset/gang.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define THREADS_MAX 32

struct gang {
	size_t n;
	slu_gang_fn *fn;
	void *user;
	atomic_size_t next;
	atomic_bool stop;
	pthread_mutex_t lock; /* guards what follows */
	int rc;
	size_t at; /* the index that failed */
	struct slu_err err;
};

static void failed(struct gang *g, size_t i, int rc, const struct slu_err *err)
{
	atomic_store(&g->stop, true);
	pthread_mutex_lock(&g->lock);
	if (g->rc == 0 || i < g->at) {
		g->rc = rc;
		g->at = i;
		g->err = *err;
	}
	pthread_mutex_unlock(&g->lock);
}

static void *work(void *arg)
{
	struct gang *g = arg;

	while (!atomic_load(&g->stop)) {
		size_t i = atomic_fetch_add(&g->next, 1);
		struct slu_err err = {0};

		if (i >= g->n)
			break;
		int r = g->fn(g->user, i, &err);
		if (r < 0)
			failed(g, i, r, &err);
	}
	return NULL;
}

int slu_gang(size_t n, unsigned threads, slu_gang_fn *fn, void *user, struct slu_err *e)
{
	struct gang g = {.n = n, .fn = fn, .user = user};
	pthread_t t[THREADS_MAX];
	unsigned started = 0;

	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	pthread_mutex_init(&g.lock, NULL);
	while (started + 1 < threads && started + 1 < n) {
		if (pthread_create(&t[started], NULL, work, &g) != 0)
			break;
		started++;
	}
	work(&g);
	for (unsigned i = 0; i < started; i++)
		pthread_join(t[i], NULL);
	pthread_mutex_destroy(&g.lock);
	if (g.rc < 0 && e)
		*e = g.err;
	return g.rc;
}
