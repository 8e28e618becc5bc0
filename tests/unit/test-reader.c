/* SPDX-License-Identifier: Apache-2.0 */
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
	atomic_uint_fast64_t bytes, ops, hints, hinted, over_budget, twice, canceled;
	atomic_uchar busy[UNITS];
	pthread_mutex_t lock;
	struct slu_op *held[256]; /* hanging */
	unsigned nheld;
};

static void units(struct driver *d, const struct slu_op *op, bool begin)
{
	for (uint64_t u = op->off / (64 * KIB); u * 64 * KIB < op->off + op->len; u++) {
		if (begin)
			d->twice += atomic_fetch_add(&d->busy[u], 1) > 0;
		else
			atomic_fetch_sub(&d->busy[u], 1);
	}
}

static void work(struct slu_work *w)
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

static void submit(struct slu_store *s, struct slu_op *op)
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

static void cancel(struct slu_store *s, struct slu_op *op)
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
static void release(struct driver *d)
{
	d->hang = false;
	pthread_mutex_lock(&d->lock);
	while (d->nheld)
		slu_pool_add(d->pool, &d->held[--d->nheld]->work);
	pthread_mutex_unlock(&d->lock);
}

static void driver_free(struct slu_store *s)
{
	(void)s;
}

static const struct slu_store_ops driver_ops = {
	.name = "test", .submit = submit, .cancel = cancel, .free = driver_free};

struct env {
	struct driver d;
	struct slu_readers *rs;
	struct slu_reader *r;
};

static int setup(void **state)
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

static void close_reader(struct env *v)
{
	slu_reader_unref(v->r);
	v->r = NULL;
	if (!v->rs)
		return;
	assert_int_equal(slu_readers_drain(v->rs, slu_deadline_in(10 * SLU_SEC)), 0);
	assert_int_equal(slu_readers_used(v->rs), 0);
	slu_readers_free(v->rs);
	v->rs = NULL;
	slu_budget_free(v->d.budget); /* which is empty */
	v->d.budget = NULL;
	assert_int_equal(v->d.over_budget, 0);
}

static int teardown(void **state)
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

static void open_with(struct env *v, uint64_t size, uint64_t budget, struct slu_readers_conf conf)
{
	close_reader(v);
	assert_int_equal(slu_budget_new(budget, &v->d.budget), 0);
	conf.budget = v->d.budget;
	assert_int_equal(slu_readers_new(&conf, &v->rs), 0);
	assert_int_equal(slu_reader_new(v->rs, &v->d.s, "file", "id", size, &v->r), 0);
	v->d.bytes = v->d.ops = v->d.hints = v->d.hinted = v->d.twice = 0;
}

static void open_reader(struct env *v, uint64_t size)
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

static void read_done(struct slu_read *rd)
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

static void read_start(struct wait *w, struct slu_reader *r, uint64_t off, size_t len)
{
	*w = (struct wait){.rd = {.off = off, .len = len, .done = read_done, .user = w}};
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	w->copy = malloc(len + 1);
	slu_reader_read(r, &w->rd);
}

/* The length read, checked against the known bytes, or -errno. */
static int64_t read_end(struct wait *w, uint64_t off)
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

static int64_t read_at(struct slu_reader *r, uint64_t off, size_t len)
{
	struct wait w;

	read_start(&w, r, off, len);
	return read_end(&w, off);
}

/* --- blocks --- */

static void sequential_reads_fetch_each_byte_once(void **state)
{
	struct env *v = *state;
	size_t steps[] = {4096, 131072, 524288, 1048576, 99999};
	uint64_t sizes[] = {1, 65536, 65537, 3 * MIB, 40 * MIB + 17};

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
			if (sizes[i] / steps[k] > 2000)
				continue;
			open_reader(v, sizes[i]);
			for (uint64_t off = 0; off < sizes[i]; off += steps[k]) {
				uint64_t left = sizes[i] - off;

				assert_int_equal(read_at(v->r, off, steps[k]),
						 left < steps[k] ? left : steps[k]);
			}
			assert_int_equal(read_at(v->r, sizes[i], 100), 0);
			assert_int_equal(read_at(v->r, sizes[i] + 5, 100), 0);
			assert_int_equal(read_at(v->r, 0, 0), 0);
			close_reader(v);
			assert_true(v->d.bytes * 100 <= sizes[i] * 105);
			assert_int_equal(v->d.twice, 0);
		}
	}
}

/* The store answers late: what is ahead is on its way before it is asked for. */
static void a_stream_is_read_ahead(void **state)
{
	struct env *v = *state;

	open_reader(v, 64 * MIB);
	for (uint64_t off = 0; off < 16 * MIB; off += 512 * KIB)
		assert_int_equal(read_at(v->r, off, 512 * KIB), 512 * KIB);
	close_reader(v);
	assert_true(v->d.bytes > 17 * MIB);
	/* As much again as was read, and the rest of a block. */
	assert_true(v->d.bytes <= 33 * MIB);
}

static void random_reads_fetch_little(void **state)
{
	struct env *v = *state;
	unsigned seed = 3;

	for (size_t len = 4096; len <= 65536; len *= 16) {
		open_with(v, 256 * MIB, 4 * MIB, (struct slu_readers_conf){0});
		for (int i = 0; i < 600; i++) {
			uint64_t off = (uint64_t)rand_r(&seed) % (256 * MIB - len);

			if (len == 4096)
				off &= ~4095ull;
			assert_int_equal(read_at(v->r, off, len), len);
		}
		close_reader(v);
		assert_true(v->d.bytes <= 600 * len * (len == 4096 ? 16 : 2));
	}
}

static void streams_in_turns_are_all_streams(void **state)
{
	struct env *v = *state;

	open_reader(v, 256 * MIB);
	for (uint64_t off = 0; off < 16 * MIB; off += 256 * KIB)
		for (uint64_t k = 0; k < 4; k++)
			assert_int_equal(read_at(v->r, k * 64 * MIB + off, 256 * KIB), 256 * KIB);
	close_reader(v);
	assert_true(v->d.bytes > 4 * 17 * MIB && v->d.bytes <= 4 * 34 * MIB);
	assert_int_equal(v->d.twice, 0);
}

/* As the kernel's read-ahead comes through several threads. */
static void reads_out_of_order_are_a_stream(void **state)
{
	struct env *v = *state;
	struct wait w[4];
	const unsigned order[] = {2, 0, 3, 1};

	v->d.slow = 300;
	open_reader(v, 32 * MIB);
	for (uint64_t off = 0; off < 32 * MIB; off += 512 * KIB) {
		for (unsigned i = 0; i < 4; i++)
			read_start(&w[i], v->r, off + order[i] * 128 * KIB, 128 * KIB);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(read_end(&w[i], off + order[i] * 128 * KIB), 128 * KIB);
	}
	close_reader(v);
	assert_true(v->d.bytes * 100 <= 32 * MIB * 105);
	assert_int_equal(v->d.twice, 0);
	assert_true(v->d.ops < 120);
}

static void many_readers_share_one_fetch(void **state)
{
	struct env *v = *state;
	struct wait w[16];

	v->d.hang = true; /* until all have asked */
	open_reader(v, 8 * MIB);
	for (unsigned i = 0; i < 16; i++)
		read_start(&w[i], v->r, 3 * MIB + 100, 300000);
	release(&v->d);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(read_end(&w[i], 3 * MIB + 100), 300000);
	close_reader(v);
	assert_int_equal(v->d.twice, 0);
	assert_int_equal(v->d.ops, 1);
}

static void the_budget_is_kept_and_reads_go_on(void **state)
{
	struct env *v = *state;
	uint64_t budgets[] = {2 * MIB, 3 * MIB, 8 * MIB, 20 * MIB};

	v->d.slow = 100;
	for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
		struct wait w[8];

		open_with(v, 16 * MIB, budgets[i], (struct slu_readers_conf){0});
		for (uint64_t off = 0; off < 16 * MIB; off += 8 * 256 * KIB) {
			for (unsigned k = 0; k < 8; k++)
				read_start(&w[k], v->r, off + k * 256 * KIB, 256 * KIB);
			for (unsigned k = 0; k < 8; k++)
				assert_int_equal(read_end(&w[k], off + k * 256 * KIB), 256 * KIB);
		}
		assert_true(slu_readers_used(v->rs) <= budgets[i]);
		close_reader(v);
	}
}

/* Pieces of many small blocks: more than a reply takes. */
static void a_read_over_many_blocks_is_one_answer(void **state)
{
	struct env *v = *state;

	open_reader(v, 4 * MIB);
	for (uint64_t off = 64 * KIB; off < 2 * MIB; off += 128 * KIB)
		assert_int_equal(read_at(v->r, off + 5, 100), 100);
	assert_int_equal(read_at(v->r, 1, MIB), MIB);
	assert_int_equal(read_at(v->r, 64 * KIB + 1, MIB), MIB);
	close_reader(v);
	assert_int_equal(v->d.twice, 0);
}

static void trim_frees_what_is_idle(void **state)
{
	struct env *v = *state;

	open_reader(v, 64 * MIB);
	for (uint64_t off = 0; off < 8 * MIB; off += 512 * KIB)
		read_at(v->r, off, 512 * KIB);
	for (int i = 0; i < 1000 && v->d.bytes < 15 * MIB; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_true(slu_readers_used(v->rs) >= 4 * MIB);
	slu_readers_trim(v->rs, 60 * SLU_SEC);
	assert_true(slu_readers_used(v->rs) >= 4 * MIB);
	while (slu_readers_used(v->rs))
		slu_readers_trim(v->rs, 0);
	assert_int_equal(read_at(v->r, 8 * MIB, 1000), 1000);
}

/* --- failures --- */

static void errors_are_the_readers(void **state)
{
	struct env *v = *state;
	int codes[] = {-EIO, -ESTALE, -ETIMEDOUT, -EACCES};

	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
		open_reader(v, 8 * MIB);
		v->d.fail = codes[i];
		assert_int_equal(read_at(v->r, 0, 100000), codes[i]);
		assert_int_equal(read_at(v->r, 100000, 100000), codes[i]);
		v->d.fail = 0;
		/* Nothing of it stays. */
		assert_int_equal(read_at(v->r, 0, 200000), 200000);
	}
	open_reader(v, 8 * MIB);
	v->d.fail = -ENOENT;
	assert_int_equal(read_at(v->r, 0, 1000), -ESTALE);
	v->d.fail = 0;
}

/* What was only read ahead and failed is asked for again when somebody wants it. */
static void failed_read_ahead_is_no_error(void **state)
{
	struct env *v = *state;

	v->d.fail_ahead = -EIO;
	v->d.slow = 500;
	open_reader(v, 16 * MIB);
	for (uint64_t off = 0; off < 16 * MIB; off += 256 * KIB)
		assert_int_equal(read_at(v->r, off, 256 * KIB), 256 * KIB);
	v->d.fail_ahead = 0;
	v->d.slow = 0;
}

static void cancel_ends_what_hangs(void **state)
{
	struct env *v = *state;
	struct wait w[5];

	for (int caps = 0; caps < 2; caps++) {
		v->d.s.caps |= caps ? SLU_CAP_PREFETCH : 0;
		open_reader(v, 16 * MIB);
		v->d.hang = true;
		for (unsigned i = 0; i < 5; i++)
			read_start(&w[i], v->r, i * MIB, 100000);
		slu_reader_cancel(v->r);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(read_end(&w[i], i * MIB), -ECANCELED);
		v->d.hang = false;
		assert_int_equal(read_at(v->r, 0, 1000), 1000);
	}
}

/* The last reference goes while blocks are on their way: they are canceled, and drain ends. */
static void a_closed_reader_leaves_nothing(void **state)
{
	struct env *v = *state;

	open_reader(v, 64 * MIB);
	for (uint64_t off = 0; off < 4 * MIB; off += 512 * KIB)
		read_at(v->r, off, 512 * KIB);
	v->d.hang = true;
	for (uint64_t off = 4 * MIB; off < 6 * MIB && !v->d.nheld; off += 512 * KIB)
		read_at(v->r, off, 512 * KIB);
	assert_true(v->d.nheld > 0);
	slu_reader_unref(v->r);
	v->r = NULL;
	assert_int_equal(slu_readers_drain(v->rs, slu_deadline_in(5 * SLU_SEC)), 0);
	assert_true(v->d.canceled > 0);
	v->d.hang = false;
}

static void drain_has_a_limit(void **state)
{
	struct env *v = *state;

	open_reader(v, MIB);
	assert_int_equal(slu_readers_drain(v->rs, slu_deadline_in(20 * SLU_MS)), -ETIMEDOUT);
}

/* The Nth allocation fails, for every N: an error or the right bytes. */
static void no_memory_is_an_error_or_nothing(void **state)
{
	struct env *v = *state;
	int64_t got = -1;

	v->d.at_once = true;
	for (long n = 1; n < 200; n++) {
		bool clean = true;

		open_reader(v, 8 * MIB);
		slu_fault_arm(SLU_FAULT_MALLOC, n, false);
		for (uint64_t off = 0; off < 2 * MIB; off += 128 * KIB) {
			got = read_at(v->r, off, 128 * KIB);
			assert_true(got == 128 * (int64_t)KIB || got == -ENOMEM);
		}
		clean = slu_fault_count(SLU_FAULT_MALLOC) < n;
		slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
		if (clean)
			return;
	}
	fail_msg("allocates without end");
}

/* --- stores that read ahead by themselves --- */

static void cold_streams_get_hints(void **state)
{
	struct env *v = *state;

	v->d.s.caps |= SLU_CAP_PREFETCH;
	open_reader(v, 32 * MIB);
	for (uint64_t off = 0; off < 32 * MIB; off += 256 * KIB)
		assert_int_equal(read_at(v->r, off, 256 * KIB), 256 * KIB);
	close_reader(v);
	assert_int_equal(v->d.bytes, 32 * MIB);
	assert_true(v->d.hinted > 16 * MIB && v->d.hinted <= 32 * MIB);
	assert_true(v->d.hints < 64);
}

static void hot_streams_and_random_reads_get_none(void **state)
{
	struct env *v = *state;
	unsigned seed = 9;

	v->d.s.caps |= SLU_CAP_PREFETCH;
	v->d.at_once = true;
	open_reader(v, 32 * MIB);
	for (uint64_t off = 0; off < 32 * MIB; off += 256 * KIB)
		assert_int_equal(read_at(v->r, off, 256 * KIB), 256 * KIB);
	assert_int_equal(v->d.hints, 0);
	v->d.at_once = false;
	for (int i = 0; i < 300; i++)
		read_at(v->r, (uint64_t)rand_r(&seed) % (31 * MIB), 4096);
	close_reader(v);
	assert_true(v->d.hints < 5);
	assert_int_equal(v->d.bytes, 32 * MIB + 300 * 4096);
}

/* --- everything at once --- */

struct job {
	struct env *v;
	unsigned seed;
	int bad;
};

static void *hammer(void *arg)
{
	struct job *j = arg;
	uint64_t at = 0;

	for (int i = 0; i < 400 && !j->bad; i++) {
		size_t len = 1 + (size_t)rand_r(&j->seed) % 300000;
		int what = rand_r(&j->seed) % 10;

		if (what == 0)
			at = (uint64_t)rand_r(&j->seed) % (20 * MIB);
		if (what == 1)
			slu_readers_trim(j->v->rs, 0);
		int64_t got = read_at(j->v->r, at, len);

		if (got < 0)
			j->bad = 1;
		at = at + len < 20 * MIB ? at + len : 0;
	}
	return NULL;
}

static void all_at_once_reads_the_right_bytes(void **state)
{
	struct env *v = *state;
	struct job jobs[6];
	pthread_t t[6];

	v->d.slow = 200;
	for (int round = 0; round < 2; round++) {
		v->d.s.caps |= round ? SLU_CAP_PREFETCH : 0;
		open_with(v, 20 * MIB + 4321, 5 * MIB,
			  (struct slu_readers_conf){.block = 256 * KIB});
		for (unsigned i = 0; i < 6; i++) {
			jobs[i] = (struct job){v, i + 1, 0};
			pthread_create(&t[i], NULL, hammer, &jobs[i]);
		}
		for (unsigned i = 0; i < 6; i++) {
			pthread_join(t[i], NULL);
			assert_int_equal(jobs[i].bad, 0);
		}
		close_reader(v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(sequential_reads_fetch_each_byte_once),
		T(a_stream_is_read_ahead),
		T(random_reads_fetch_little),
		T(streams_in_turns_are_all_streams),
		T(reads_out_of_order_are_a_stream),
		T(many_readers_share_one_fetch),
		T(the_budget_is_kept_and_reads_go_on),
		T(a_read_over_many_blocks_is_one_answer),
		T(trim_frees_what_is_idle),
		T(errors_are_the_readers),
		T(failed_read_ahead_is_no_error),
		T(cancel_ends_what_hangs),
		T(a_closed_reader_leaves_nothing),
		T(drain_has_a_limit),
		T(no_memory_is_an_error_or_nothing),
		T(cold_streams_get_hints),
		T(hot_streams_and_random_reads_get_none),
		T(all_at_once_reads_the_right_bytes),
	};

	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
