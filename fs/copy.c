/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workers of a copy: threads that take the next file each, and the caller's thread, which tells of
 * progress and failures.  How many requests a store gets at once is its limit layer's business; how
 * many workers there are only has to be enough to keep it busy with small files.
 */
#include "fs/copy_impl.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <string.h>

#define JOBS 32
#define TICK_NS (100 * SLU_MS)

struct slu_copy_bad {
	struct slu_copy_bad *next;
	const struct slu_copy_file *f;
	struct slu_err why;
};

void slu_copy_file_done(struct slu_copy_file *f)
{
	free(f->path);
	free(f->to);
	*f = (struct slu_copy_file){0};
}

/* Without memory for the note the failure still counts. */
static void note(struct slu_copy *c, const struct slu_copy_file *f, const struct slu_err *why)
{
	struct slu_copy_bad *b = slu_new0(struct slu_copy_bad);

	if (b) {
		b->f = f;
		b->why = *why;
	}
	pthread_mutex_lock(&c->lock);
	c->failed++;
	if (b) {
		*c->bad_end = b;
		c->bad_end = &b->next;
	}
	pthread_mutex_unlock(&c->lock);
}

static const struct slu_copy_file *take(struct slu_copy *c)
{
	const struct slu_copy_file *f;

	pthread_mutex_lock(&c->lock);
	f = c->next < c->n && !atomic_load(&c->stop) ? &c->f[c->next++] : NULL;
	pthread_mutex_unlock(&c->lock);
	return f;
}

/* 1: the same; 0: not; -1: nobody knows. */
static int same_sums(struct slu_store *to, const struct slu_copy_file *f, const struct slu_attr *a)
{
	if (!slu_sums_compare(a->sum, f->sum) ||
	    !slu_sum_stands(f->from, f->path, f->version, f->id, f->sum) ||
	    !slu_sum_stands(to, f->to, NULL, a->id, a->sum))
		return -1;
	return slu_streq(a->sum, f->sum);
}

int slu_copy_needed(struct slu_store *to, const struct slu_copy_file *f, enum slu_copy_skip skip,
		    struct slu_err *e)
{
	struct slu_err why = {0};
	struct slu_attr a;
	int same;
	int r = skip == SLU_COPY_ALL ? -ENOENT : slu_store_stat(to, f->to, &a, &why);

	if (r == -ENOENT)
		return 1;
	if (r < 0) {
		if (e)
			*e = why;
		return r;
	}
	if (a.kind != SLU_KIND_FILE)
		return 1; /* the copy says what is wrong with that */
	if (skip == SLU_COPY_NEW)
		return 0;
	if (a.size != f->size)
		return 1;
	same = same_sums(to, f, &a);
	return same < 0 ? f->mtime_ns > a.mtime_ns : !same;
}

/* 0: copied; 1: not needed; -errno */
static int copy_or_skip(struct slu_copy *c, const struct slu_copy_file *f, char *buf,
			struct slu_err *e)
{
	int r = slu_copy_needed(c->to, f, c->o->skip, e);

	if (r == 1)
		r = slu_copy_one(c, f, buf, e);
	else if (r == 0)
		r = 1;
	/* another was quicker */
	return r == -EEXIST && c->o->skip == SLU_COPY_NEW ? 1 : r;
}

static void *work(void *arg)
{
	struct slu_copy *c = arg;
	SLU_AUTO(slu_freep) char *buf = slu_malloc(SLU_COPY_SMALL);
	const struct slu_copy_file *f;

	while ((f = take(c))) {
		struct slu_err e = {0};
		int r = buf ? copy_or_skip(c, f, buf, &e) : slu_fail_oom(&e);

		if (r < 0)
			note(c, f, &e);
		pthread_mutex_lock(&c->lock);
		c->files += r == 0;
		if (r == 1) {
			c->skipped++;
			c->skipped_bytes += f->size;
			atomic_fetch_add(&c->bytes, f->size);
		}
		pthread_cond_signal(&c->ended);
		pthread_mutex_unlock(&c->lock);
	}
	pthread_mutex_lock(&c->lock);
	c->running--;
	pthread_cond_signal(&c->ended);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* --- the caller's thread --- */

struct outcome {
	uint64_t total;
	size_t failed;
	struct slu_err first;
};

static void tell_failures(struct slu_copy *c, struct outcome *out)
{
	struct slu_copy_bad *b;

	pthread_mutex_lock(&c->lock);
	b = c->bad;
	c->bad = NULL;
	c->bad_end = &c->bad;
	out->failed = c->failed;
	pthread_mutex_unlock(&c->lock);
	while (b) {
		struct slu_copy_bad *next = b->next;

		if (!out->first.code)
			out->first = b->why;
		if (c->o->failed && !atomic_load(&c->stop))
			c->o->failed(c->o->user, b->f, &b->why);
		free(b);
		b = next;
	}
}

static void tell_progress(struct slu_copy *c, const struct outcome *out)
{
	struct slu_progress p = {.files_total = c->n, .bytes_total = out->total};

	if (!c->o->progress)
		return;
	pthread_mutex_lock(&c->lock);
	p.files = c->files + c->skipped;
	pthread_mutex_unlock(&c->lock);
	p.bytes = atomic_load(&c->bytes);
	if (c->o->progress(c->o->user, &p))
		atomic_store(&c->stop, true);
}

static void wait_workers(struct slu_copy *c, struct outcome *out)
{
	int64_t tick = slu_deadline_in(TICK_NS);

	pthread_mutex_lock(&c->lock);
	while (c->running) {
		struct timespec at = {.tv_sec = tick / SLU_SEC, .tv_nsec = tick % SLU_SEC};

		pthread_cond_timedwait(&c->ended, &c->lock, &at);
		if (!slu_expired(tick))
			continue;
		pthread_mutex_unlock(&c->lock);
		tell_failures(c, out);
		tell_progress(c, out);
		tick = slu_deadline_in(TICK_NS);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	tell_failures(c, out);
	tell_progress(c, out);
}

/* One worker less when a thread cannot be had, as long as there is one. */
static int run(struct slu_copy *c, unsigned jobs, struct outcome *out, struct slu_err *e)
{
	SLU_AUTO(slu_freep) pthread_t *t = slu_calloc(jobs, sizeof(*t));
	unsigned n = 0;
	int r = 0;

	if (!t)
		return slu_fail_oom(e);
	c->running = jobs;
	while (n < jobs && (r = pthread_create(&t[n], NULL, work, c)) == 0)
		n++;
	pthread_mutex_lock(&c->lock);
	c->running -= jobs - n;
	pthread_mutex_unlock(&c->lock);
	if (!n)
		return slu_fail_sys(e, r, "cannot start a thread");
	wait_workers(c, out);
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	return 0;
}

static int result(const struct slu_copy *c, const struct outcome *out, struct slu_err *e)
{
	if (atomic_load(&c->stop))
		return slu_fail(e, ECANCELED, "the copy was canceled after %zu of %zu files",
				c->files, c->n);
	if (!out->failed)
		return 0;
	if (!out->first.code)
		return slu_fail_oom(e);
	if (e) {
		*e = out->first;
		if (out->failed > 1)
			slu_fail_more(e, "%zu of %zu files failed, first", out->failed, c->n);
	}
	return -out->first.code;
}

int slu_copy(const struct slu_copy_file *f, size_t n, struct slu_store *to, struct slu_pool *pool,
	     const struct slu_copy_opts *o, struct slu_err *e)
{
	struct slu_copy c = {.f = f, .n = n, .to = to, .pool = pool, .o = o};
	unsigned jobs = o->jobs ? o->jobs : JOBS;
	struct outcome out = {0};
	pthread_condattr_t attr;
	int r;

	for (size_t i = 0; i < n; i++)
		out.total += f[i].size;
	c.bad_end = &c.bad;
	pthread_mutex_init(&c.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c.ended, &attr);
	pthread_condattr_destroy(&attr);
	r = run(&c, n < jobs ? (unsigned)(n ? n : 1) : jobs, &out, e);
	if (r == 0)
		r = result(&c, &out, e);
	if (o->totals)
		*o->totals = (struct slu_copy_totals){
			.files = c.files,
			.bytes = atomic_load(&c.bytes) - c.skipped_bytes,
			.skipped = c.skipped,
			.failed = c.failed,
		};
	pthread_cond_destroy(&c.ended);
	pthread_mutex_destroy(&c.lock);
	return r;
}
