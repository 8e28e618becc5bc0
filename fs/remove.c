/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes by lanes: each takes the next path when its op is done.  How many requests the store gets at
 * once is its limit layer's business. */
#include "fs/remove.h"

#include <errno.h>
#include <pthread.h>

#define LANES 64

struct removal {
	struct slu_store *s;
	const char *const *path;
	size_t n;
	const struct slu_remove_opts *o;

	pthread_mutex_t lock; /* everything below, and o->failed */
	pthread_cond_t idle;
	size_t next, failed;
	unsigned running;
	struct slu_err first;
};

static void deleted(struct slu_op *op);

/* The lane goes on, or ends when nothing is left. */
static void next(struct removal *r, struct slu_op *op)
{
	const char *path;

	pthread_mutex_lock(&r->lock);
	path = r->next < r->n ? r->path[r->next++] : NULL;
	if (!path) {
		r->running--;
		pthread_cond_signal(&r->idle);
	}
	pthread_mutex_unlock(&r->lock);
	if (!path)
		return;
	slu_op_delete(op, path, 0);
	op->done = deleted;
	op->user = r;
	slu_store_submit(r->s, op);
}

static void deleted(struct slu_op *op)
{
	struct removal *r = op->user;

	if (op->rc < 0 && op->rc != -ENOENT) {
		pthread_mutex_lock(&r->lock);
		if (!r->failed++)
			r->first = op->err;
		if (r->o->failed)
			r->o->failed(r->o->user, op->path, &op->err);
		pthread_mutex_unlock(&r->lock);
	}
	next(r, op);
}

int slu_remove(struct slu_store *s, const char *const *path, size_t n,
	       const struct slu_remove_opts *o, struct slu_err *e)
{
	struct removal r = {.s = s, .path = path, .n = n, .o = o};
	struct slu_op op[LANES];

	pthread_mutex_init(&r.lock, NULL);
	pthread_cond_init(&r.idle, NULL);
	r.running = LANES;
	for (int i = 0; i < LANES; i++)
		next(&r, &op[i]);
	pthread_mutex_lock(&r.lock);
	while (r.running)
		pthread_cond_wait(&r.idle, &r.lock);
	pthread_mutex_unlock(&r.lock);
	pthread_cond_destroy(&r.idle);
	pthread_mutex_destroy(&r.lock);
	if (!r.failed)
		return 0;
	if (e) {
		*e = r.first;
		if (r.failed > 1)
			slu_fail_more(e, "%zu of %zu files failed, first", r.failed, n);
	}
	return -r.first.code;
}
