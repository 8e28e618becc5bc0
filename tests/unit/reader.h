/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the reader share: a store that knows what it was asked for, and reads that wait. */
#ifndef SLU_TESTS_READER_H
#define SLU_TESTS_READER_H

#include "tests/unit/views.h"

#include "common/fault.h"
#include "common/time.h"
#include "fs/budget.h"
#include "fs/reader.h"

#include <stdatomic.h>
#include <time.h>

#define KIB 1024ull
#define MIB (1024 * KIB)
#define UNITS 4096 /* of 64 KiB: 256 MiB */

/* A store that answers from the pool, later and in any order, and knows what it was asked for. */
struct driver {
	struct slu_store s;
	struct slu_pool *pool;
	struct slu_budget *budget;
	bool at_once;          /* answer inside submit */
	atomic_uint slow;      /* microseconds at most */
	atomic_int fail;       /* -errno of every read */
	atomic_int fail_ahead; /* of those that nobody waits for */
	atomic_bool hang;
	atomic_uint_fast64_t bytes, ops, hints, hinted, over_budget, twice, canceled, hurried;
	atomic_uchar busy[UNITS];
	pthread_mutex_t lock;
	struct slu_op *held[256]; /* hanging */
	unsigned nheld;
};

static inline void units(struct driver *d, const struct slu_op *op, bool begin)
{
	for (uint64_t u = op->off / (64 * KIB); u * 64 * KIB < op->off + op->len; u++) {
		if (begin)
			d->twice += atomic_fetch_add(&d->busy[u], 1) > 0;
		else
			atomic_fetch_sub(&d->busy[u], 1);
	}
}

static inline void work(struct slu_work *w)
{
	struct slu_op *op = (struct slu_op *)((char *)w - offsetof(struct slu_op, work));
	struct driver *d = op->drv;

	if (d->slow) {
		struct timespec ts = {.tv_nsec = rand() % (int)(d->slow * 1000)};

		nanosleep(&ts, NULL);
	}
	if (d->budget) {
		struct slu_budget_gauges g;

		slu_budget_read(d->budget, &g);
		d->over_budget += g.used > g.limit;
	}
	units(d, op, false);
	if (op->type == SLU_OP_PREFETCH) {
		d->hints++;
		d->hinted += op->len;
		slu_op_finish(op, 0);
		return;
	}
	d->ops++;
	d->bytes += op->len;
	int rc = op->prio ? d->fail_ahead : 0;

	if (d->fail)
		rc = d->fail;
	if (!rc)
		views_fill(op->buf, op->off, op->len);
	else
		memset(op->buf, 0x5a, op->len);
	slu_op_finish(op, rc);
}

static inline void submit(struct slu_store *s, struct slu_op *op)
{
	struct driver *d = (struct driver *)s;

	op->drv = d;
	op->work = (struct slu_work){.fn = work};
	units(d, op, true);
	if (d->hang) {
		pthread_mutex_lock(&d->lock);
		d->held[d->nheld++] = op;
		pthread_mutex_unlock(&d->lock);
	} else if (d->at_once) {
		work(&op->work);
	} else {
		slu_pool_add(d->pool, &op->work);
	}
}

static inline void cancel(struct slu_store *s, struct slu_op *op)
{
	struct driver *d = (struct driver *)s;
	bool mine = false;

	d->canceled++;
	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < d->nheld && !mine; i++) {
		if (d->held[i] == op) {
			d->held[i] = d->held[--d->nheld];
			mine = true;
		}
	}
	pthread_mutex_unlock(&d->lock);
	if (mine) {
		units(d, op, false);
		slu_op_finish(op, -ECANCELED);
	}
}

/* What hangs goes on. */
static inline void release(struct driver *d)
{
	d->hang = false;
	pthread_mutex_lock(&d->lock);
	while (d->nheld)
		slu_pool_add(d->pool, &d->held[--d->nheld]->work);
	pthread_mutex_unlock(&d->lock);
}

static inline void hurry(struct slu_store *s, struct slu_op *op)
{
	struct driver *d = (struct driver *)s;

	(void)op;
	d->hurried++;
}

static inline void driver_free(struct slu_store *s)
{
	(void)s;
}

static const struct slu_store_ops driver_ops = {
	.name = "test", .submit = submit, .cancel = cancel, .hurry = hurry, .free = driver_free};

struct env {
	struct driver d;
	struct slu_readers *rs;
	struct slu_reader *r;
};

static inline int setup(void **state)
{
	struct env *v = calloc(1, sizeof *v);

	v->d.s = (struct slu_store){.ops = &driver_ops,
				    .caps = SLU_CAP_RANGE_READ | SLU_CAP_COND_READ,
				    .block = 1 << 20};
	pthread_mutex_init(&v->d.lock, NULL);
	assert_int_equal(slu_pool_new(8, &v->d.pool, NULL), 0);
	*state = v;
	return 0;
}

static inline void close_reader(struct env *v)
{
	slu_reader_unref(v->r);
	v->r = NULL;
	if (!v->rs)
		return;
	assert_int_equal(slu_readers_drain(v->rs, slu_deadline_in(100 * SLU_SEC)), 0);
	assert_int_equal(slu_readers_used(v->rs), 0);
	slu_readers_free(v->rs);
	v->rs = NULL;
	slu_budget_free(v->d.budget); /* which is empty */
	v->d.budget = NULL;
	assert_int_equal(v->d.over_budget, 0);
}

static inline int teardown(void **state)
{
	struct env *v = *state;

	slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
	v->d.over_budget = 0;
	close_reader(v);
	slu_pool_free(v->d.pool);
	pthread_mutex_destroy(&v->d.lock);
	free(v);
	return 0;
}

static inline void open_with(struct env *v, uint64_t size, uint64_t budget,
			     struct slu_readers_conf conf)
{
	close_reader(v);
	assert_int_equal(slu_budget_new(budget, &v->d.budget), 0);
	conf.budget = v->d.budget;
	assert_int_equal(slu_readers_new(&conf, &v->rs), 0);
	assert_int_equal(slu_reader_new(v->rs, &v->d.s, "file", "id", size, &v->r), 0);
	v->d.bytes = v->d.ops = v->d.hints = v->d.hinted = v->d.twice = 0;
}

static inline void open_reader(struct env *v, uint64_t size)
{
	open_with(v, size, 64 * MIB, (struct slu_readers_conf){0});
}

/* A read that is waited for. */
struct wait {
	struct slu_read rd;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int rc;
	size_t len;
	char *copy;
};

static inline void read_done(struct slu_read *rd)
{
	struct wait *w = rd->user;
	size_t at = 0;

	w->rc = rd->rc;
	assert_true(rd->niov <= SLU_READ_IOV);
	for (int i = 0; i < rd->niov; i++) {
		memcpy(w->copy + at, rd->iov[i].iov_base, rd->iov[i].iov_len);
		at += rd->iov[i].iov_len;
	}
	w->len = at;
	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static inline void read_start(struct wait *w, struct slu_reader *r, uint64_t off, size_t len)
{
	*w = (struct wait){.rd = {.off = off, .len = len, .done = read_done, .user = w}};
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	w->copy = malloc(len + 1);
	slu_reader_read(r, &w->rd);
}

/* The length read, checked against the known bytes, or -errno. */
static inline int64_t read_end(struct wait *w, uint64_t off)
{
	pthread_mutex_lock(&w->lock);
	while (!w->done)
		pthread_cond_wait(&w->cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
	if (!w->rc)
		views_check(w->copy, off, w->len);
	free(w->copy);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->cond);
	return w->rc ? w->rc : (int64_t)w->len;
}

static inline int64_t read_at(struct slu_reader *r, uint64_t off, size_t len)
{
	struct wait w;

	read_start(&w, r, off, len);
	return read_end(&w, off);
}

#endif
