/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store without checks on the way of its bytes says a file sums up to.  It is asked when the file is begun and
 * answers while the chunks come; who is through with the file before waits without a thread.  A question outlives a
 * file that failed, and is counted among what runs, so that the download ends after it.
 */
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "fs/download.h"

#include <errno.h>
#include <string.h>

struct slu_dask {
	struct slu_op op;
	struct slu_dask *next; /* of all; they are used again and freed at the end */
	struct slu_download *d;
	struct slu_dfile *f; /* NULL: nobody wants the answer */
	struct slu_store *store;
	char *path;
	char id[SLU_ID_MAX];
	bool busy;
};

static void answered(struct slu_op *op)
{
	struct slu_dask *a = op->user;
	struct slu_download *d = a->d;
	struct slu_pool *pool = d->pool;
	struct slu_summer sum = {0};
	struct slu_lane *wake = NULL;
	bool same = !a->id[0] || slu_streq(op->attr.id, a->id);
	bool known = op->rc == 0 && op->attr.sum[0] && same;

	if (op->rc < 0)
		slu_debug("download", "no checksum to compare with: %s", op->err.msg);
	/* a CRC32C is put together from those of the chunks */
	if (known && !slu_starts(op->attr.sum, SLU_CRC_SUM))
		known = slu_summer_begin(&sum, op->attr.sum) == 0;
	pthread_mutex_lock(&d->lock);
	if (a->f) {
		if (known) {
			memcpy(a->f->want, op->attr.sum, SLU_ID_MAX);
			a->f->sum = sum;
			sum = (struct slu_summer){0};
		}
		a->f->ask = NULL;
		wake = slu_take(a->f->waits);
	}
	free(slu_take(a->path));
	a->busy = false;
	d->running--;
	pthread_cond_broadcast(&d->cond);
	pthread_mutex_unlock(&d->lock); /* without a lane to wake, d may be gone from here on */
	slu_summer_done(&sum);
	if (wake)
		slu_pool_add(pool, slu_download_work(wake));
}

/* With the lock.  NULL: no memory. */
static struct slu_dask *idle(struct slu_download *d)
{
	struct slu_dask *a = d->asks;

	while (a && a->busy)
		a = a->next;
	if (a)
		return a;
	a = slu_new0(struct slu_dask);
	if (!a)
		return NULL;
	a->next = d->asks;
	d->asks = a;
	return a;
}

/* With the lock. */
static struct slu_dask *begin(struct slu_download *d, struct slu_dfile *f)
{
	const struct slu_file *mf = slu_download_file(d, f->at);
	struct slu_dask *a = idle(d);

	if (!a || !(a->path = slu_strdup(f->path)))
		return NULL;
	a->d = d;
	a->f = f;
	a->store = f->store;
	memcpy(a->id, mf->id, sizeof(a->id));
	slu_op_stat(&a->op, a->path);
	a->op.flags = SLU_OPF_SUM;
	a->op.if_match = a->id[0] ? a->id : NULL;
	a->op.prio = 1;
	a->op.done = answered;
	a->op.user = a;
	a->busy = true;
	f->ask = a;
	d->running++;
	return a;
}

int slu_download_ask(struct slu_download *d, struct slu_dfile *f, struct slu_err *e)
{
	struct slu_dask *a = NULL;
	bool skip;

	pthread_mutex_lock(&d->lock);
	skip = d->rc || f->asked || f->want[0] || d->o->check == SLU_CHECK_OFF;
	f->asked = true;
	if (!skip)
		a = begin(d, f);
	pthread_mutex_unlock(&d->lock);
	if (skip)
		return 0;
	if (!a)
		return slu_fail_oom(e);
	slu_store_submit(a->store, &a->op);
	return 0;
}

bool slu_download_ask_wait(struct slu_dfile *f, struct slu_lane *l)
{
	bool wait;

	if (!f->asked)
		return false;
	pthread_mutex_lock(&f->d->lock);
	wait = f->ask;
	if (wait)
		f->waits = l;
	pthread_mutex_unlock(&f->d->lock);
	return wait;
}

void slu_download_ask_drop(struct slu_dfile *f)
{
	if (!f->asked)
		return;
	pthread_mutex_lock(&f->d->lock);
	if (f->ask)
		f->ask->f = NULL;
	pthread_mutex_unlock(&f->d->lock);
}

/* After d->rc was set: none is begun any more. */
void slu_download_ask_cancel(struct slu_download *d)
{
	struct slu_dask *a;

	pthread_mutex_lock(&d->lock);
	a = d->asks;
	while (a) {
		bool busy = a->busy;

		pthread_mutex_unlock(&d->lock);
		if (busy)
			slu_store_cancel(a->store, &a->op);
		pthread_mutex_lock(&d->lock);
		a = a->next;
	}
	pthread_mutex_unlock(&d->lock);
}

void slu_download_asks_free(struct slu_download *d)
{
	while (d->asks) {
		struct slu_dask *a = d->asks;

		d->asks = a->next;
		free(a);
	}
}
