/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes by lanes: each takes the next path when its op is done.  How many requests the store gets at
 * once is its limit layer's business. */
#include "fs/remove.h"

#include "common/mem.h"
#include "common/vec.h"
#include "fs/walk.h"

#include <errno.h>
#include <pthread.h>

#define LANES 64
#define BATCH 5000 /* files of a tree, listed before they are deleted */

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

/* How many failed; the first of them is in *first. */
static size_t remove_all(struct slu_store *s, const char *const *path, size_t n,
			 const struct slu_remove_opts *o, struct slu_err *first)
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
	if (r.failed)
		*first = r.first;
	return r.failed;
}

static int result(size_t failed, size_t n, const struct slu_err *first, struct slu_err *e)
{
	if (!failed)
		return 0;
	if (e) {
		*e = *first;
		if (failed > 1)
			slu_fail_more(e, "%zu of %zu files failed, first", failed, n);
	}
	return -first->code;
}

int slu_remove(struct slu_store *s, const char *const *path, size_t n,
	       const struct slu_remove_opts *o, struct slu_err *e)
{
	struct slu_err first = {0};
	size_t failed = remove_all(s, path, n, o, &first);

	return result(failed, n, &first, e);
}

/* --- trees --- */

struct tree {
	struct slu_store *s;
	const struct slu_remove_opts *o;
	SLU_VEC(char *) paths; /* listed, not deleted yet */
	size_t n, failed;
	struct slu_err first;
};

static void forget(struct tree *t)
{
	for (size_t i = 0; i < t->paths.n; i++)
		free(t->paths.p[i]);
	t->paths.n = 0;
}

/* -ECANCELED: nothing of it could be deleted, so the rest is not tried. */
static int flush(struct tree *t)
{
	struct slu_err first = {0};
	size_t n = t->paths.n,
	       failed = n ? remove_all(t->s, (const char *const *)t->paths.p, n, t->o, &first) : 0;

	if (failed && !t->failed)
		t->first = first;
	t->failed += failed;
	t->n += n;
	forget(t);
	return failed && failed == n ? -ECANCELED : 0;
}

static int on_file(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	struct tree *t = user;
	char *copy = slu_strdup(path);

	(void)a;
	if (!copy || !slu_vec_push(&t->paths, copy)) {
		free(copy);
		return slu_fail_oom(e);
	}
	return t->paths.n < BATCH ? 0 : flush(t);
}

int slu_remove_tree(struct slu_store *s, const char *path, const struct slu_remove_opts *o,
		    struct slu_err *e)
{
	struct tree t = {.s = s, .o = o};
	int r;

	if (!slu_store_can(s, SLU_CAP_FLAT_LIST) || slu_store_can(s, SLU_CAP_REAL_DIRS))
		return slu_store_delete(s, path, SLU_OPF_TREE, e);
	r = slu_walk_with(s, path, SLU_WALK_ANY_ORDER | SLU_WALK_NO_SUMS | SLU_WALK_QUIET, on_file,
			  &t, e);
	if (r == 0)
		r = flush(&t);
	forget(&t);
	free(t.paths.p);
	if (t.failed)
		return result(t.failed, t.n, &t.first, e);
	return r == 0 || r == -ENOENT ? slu_store_delete(s, path, SLU_OPF_TREE, e) : r;
}
