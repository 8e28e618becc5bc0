/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The download view: checks, lanes, progress in the caller's thread, the last batch, the record.  What is
 * complete stays when a later file fails, and what is not is gone on with the next time.
 */
#include "fs/download.h"

#include "common/mem.h"
#include "common/time.h"

#include <errno.h>
#include <string.h>

#define TICK_NS (100 * SLU_MS)

static void progress_now(struct slu_download *d, struct slu_progress *ret)
{
	pthread_mutex_lock(&d->lock);
	*ret = d->progress;
	pthread_mutex_unlock(&d->lock);
}

/* Tells how far it is; a refusal is a failure like any other, but too late at the end. */
static void report(struct slu_download *d, bool end)
{
	struct slu_progress p;
	struct slu_err e;

	if (!d->o->progress)
		return;
	progress_now(d, &p);
	if (d->o->progress(d->o->user, &p) && !end) {
		int r = slu_fail(&e, ECANCELED, "the download to '%s' was canceled", d->target);

		slu_download_fail(d, r, &e);
	}
}

/* Tells of the files that failed. */
static void tell_bad(struct slu_download *d)
{
	struct slu_dbad *bad, *next;

	pthread_mutex_lock(&d->lock);
	bad = d->bad;
	d->bad = NULL;
	d->bad_tail = &d->bad;
	pthread_mutex_unlock(&d->lock);
	for (; bad; bad = next) {
		next = bad->next;
		d->o->failed(d->o->user, slu_download_file(d, bad->at)->path, &bad->err);
		free(bad);
	}
}

/* Until all lanes ended.  Ten looks a second; after a failure what is in flight is canceled, again
 * at each look, since a lane may have been just about to submit. */
static void wait_lanes(struct slu_download *d)
{
	int64_t tick = slu_deadline_in(TICK_NS);

	pthread_mutex_lock(&d->lock);
	while (d->running) {
		struct timespec at = {.tv_sec = tick / SLU_SEC, .tv_nsec = tick % SLU_SEC};
		int r = pthread_cond_timedwait(&d->cond, &d->lock, &at);
		bool failed = d->rc;

		if (!d->running || (r != ETIMEDOUT && !failed))
			continue;
		pthread_mutex_unlock(&d->lock);
		tell_bad(d);
		if (failed)
			slu_download_cancel(d);
		else
			report(d, false);
		if (slu_expired(tick))
			tick = slu_deadline_in(TICK_NS);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
}

/* What is finished becomes visible, but not after what ended all. */
static int finish(struct slu_download *d, struct slu_err *e)
{
	struct slu_dfile *batch = d->batch;
	size_t n = d->batch_n;
	int r;

	d->batch = NULL;
	if (d->rc) {
		while (batch) {
			struct slu_dfile *f = batch;

			batch = f->next;
			slu_dfile_free(f);
		}
		return 0;
	}
	r = slu_download_commit(d, batch, e);
	if (!r) {
		d->progress.files += n;
		d->totals.files += n;
	}
	return r;
}

static int copy(struct slu_download *d, struct slu_err *e)
{
	int r = slu_download_start(d, e);

	if (!r) {
		wait_lanes(d);
		tell_bad(d);
		r = finish(d, e);
	}
	slu_download_lanes_free(d);
	if (r)
		slu_download_fail(d, r, e);
	else if (!d->rc)
		report(d, true);
	return r;
}

/* The result in words: what ended it, or the first file that failed, and how to go on. */
static int judge(struct slu_download *d, struct slu_err *e)
{
	struct slu_err why = d->rc ? d->err : d->bad_first;
	int r = d->rc;

	if (!d->rc && !d->totals.failed)
		return 0;
	if (!r)
		r = -why.code;

	/* What the dataset pins and nobody has any more, the same command does not bring. */
	const char *kept = !d->journal || !slu_download_keeps(d) ? ""
			   : r == -ESTALE                        ? "; what came is kept"
					  : "; what came is kept: the same command goes on";

	if (d->totals.failed > 1)
		slu_fail(&why, -r, "%s (%llu of %llu files failed%s)", why.msg,
			 (unsigned long long)d->totals.failed,
			 (unsigned long long)d->progress.files_total, kept);
	else if (*kept)
		slu_fail(&why, -r, "%s%s", why.msg, kept);
	if (e) {
		why.http = (d->rc ? d->err : d->bad_first).http;
		memcpy(why.svc, (d->rc ? d->err : d->bad_first).svc, sizeof why.svc);
		*e = why;
	}
	return r;
}

static int run_all(struct slu_download *d, struct slu_err *e)
{
	struct slu_err why = {0}, *to = e ? e : &why;
	int r = slu_download_check(d, to), r2;

	if (!r) {
		copy(d, to);
		r = judge(d, to);
	}
	r2 = slu_download_leave(d, !r, r ? NULL : to);
	if (d->o->totals)
		*d->o->totals = d->totals;
	return r ? r : r2;
}

static void view_free(struct slu_view *v)
{
	free(v->where);
	free(v);
}

static const struct slu_view_ops view_ops = {.kind = SLU_VIEW_DOWNLOAD, .free = view_free};

int slu_download_open(struct slu_tree *t, const char *target, const struct slu_download_opts *o,
		      struct slu_pool *pool, struct slu_view **ret, struct slu_err *e)
{
	static const struct slu_download_opts defaults;
	struct slu_download d = {.t = t,
				 .target = target,
				 .o = o ? o : &defaults,
				 .pool = pool,
				 .dirfd = -1,
				 .partfd = -1};
	struct slu_view *v = slu_new0(struct slu_view);
	pthread_condattr_t attr;
	int r;

	if (v)
		v->where = slu_strdup(target);
	if (!v || !v->where) {
		free(v);
		return slu_fail_oom(e);
	}
	v->ops = &view_ops;
	pthread_mutex_init(&d.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d.cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&d.opened, NULL);
	r = run_all(&d, e);
	pthread_cond_destroy(&d.cond);
	pthread_cond_destroy(&d.opened);
	pthread_mutex_destroy(&d.lock);
	if (r) {
		view_free(v);
		return r;
	}
	*ret = v;
	return 0;
}
