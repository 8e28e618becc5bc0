/* SPDX-License-Identifier: Apache-2.0 */
/* Asking after files that may be open for writing (unclosed.h): a window of questions goes over the list. */
#include "dataset/unclosed.h"

#include "common/mem.h"
#include "common/vec.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define WINDOW 32

struct file {
	struct slu_store *store;
	char *path, *name;
};

struct slu_unclosed {
	SLU_VEC(struct file) files;
};

struct question {
	struct slu_op op;
	struct asking *a;
	const struct file *f;
};

struct asking {
	pthread_mutex_t lock;
	pthread_cond_t over;
	unsigned busy;
	struct question q[WINDOW];
};

int slu_unclosed_add(struct slu_unclosed **u, struct slu_store *store, const char *path,
		     const char *name)
{
	struct file f = {store, slu_strdup(path), slu_strdup(name)};

	if (!*u)
		*u = slu_new0(struct slu_unclosed);
	if (*u && f.path && f.name && slu_vec_push(&(*u)->files, f))
		return 0;
	free(f.path);
	free(f.name);
	return -ENOMEM;
}

void slu_unclosed_free(struct slu_unclosed *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->files.n; i++) {
		free(u->files.p[i].path);
		free(u->files.p[i].name);
	}
	free(u->files.p);
	free(u);
}

static void answered(struct slu_op *op)
{
	struct asking *a = ((struct question *)op->user)->a;

	pthread_mutex_lock(&a->lock);
	if (!--a->busy)
		pthread_cond_signal(&a->over);
	pthread_mutex_unlock(&a->lock);
}

/* One that is gone meanwhile is found out when it is read. */
static int judge(const struct question *q, struct slu_err *e)
{
	if (q->op.rc < 0 && q->op.rc != -ENOENT) {
		if (e)
			*e = q->op.err;
		return q->op.rc;
	}
	if (q->op.rc < 0 || !q->op.attr.open)
		return 0;
	return slu_fail(
		e, EBUSY,
		"'%s' is still being written: wait until its writer has closed it, or leave it out "
		"of the dataset (one whose writer is gone: hdfs debug recoverLease -path)",
		q->f->name);
}

/* Asks for the next files and waits for all: how many, or -errno. */
static int ask(struct asking *a, const struct slu_unclosed *u, const struct slu_manifest *m,
	       size_t *at, struct slu_err *e)
{
	unsigned n = 0;
	int r = 0;

	for (; n < WINDOW && *at < u->files.n; ++*at) {
		const struct file *f = &u->files.p[*at];

		if (slu_manifest_find(m, f->name) == SIZE_MAX)
			continue;
		a->q[n].a = a;
		a->q[n].f = f;
		slu_op_stat(&a->q[n].op, f->path);
		a->q[n].op.flags = SLU_OPF_OPEN;
		a->q[n].op.done = answered;
		a->q[n].op.user = &a->q[n];
		n++;
	}
	a->busy = n;
	for (unsigned i = 0; i < n; i++)
		slu_store_submit(a->q[i].f->store, &a->q[i].op);
	pthread_mutex_lock(&a->lock);
	while (a->busy)
		pthread_cond_wait(&a->over, &a->lock);
	pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < n && r == 0; i++)
		r = judge(&a->q[i], e);
	return r < 0 ? r : (int)n;
}

int slu_unclosed_check(struct slu_unclosed *u, const struct slu_manifest *m, struct slu_err *e)
{
	struct asking *a;
	size_t at = 0;
	int r = 1;

	if (!u)
		return 0;
	a = slu_new0(struct asking);
	if (!a)
		return slu_fail_oom(e);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->over, NULL);
	while (r > 0)
		r = ask(a, u, m, &at, e);
	pthread_cond_destroy(&a->over);
	pthread_mutex_destroy(&a->lock);
	free(a);
	return r;
}
