/* SPDX-License-Identifier: Apache-2.0 */
/* The retry layer: what it repeats, for how long, and who ends the waiting. */
#include "tests/unit/fs.h"

#include "common/time.h"
#include "fs/layers.h"
#include "io/loop.h"

struct flaky {
	int fail; /* how many more times */
	int rc;   /* with what */
	int then; /* after those */
	int64_t retry_after;
};

static int flaky(struct fake *f, struct slu_op *op)
{
	struct flaky *k = f->user;

	if (op->type == SLU_OP_LIST)
		assert_int_equal(slu_list_add(op->list, "x", 1, &op->attr), 0);
	if (k->fail == 0 && k->then == 0)
		return 0;
	if (k->fail == 0)
		return slu_fail(&op->err, -k->then, "the store says no more");
	k->fail--;
	op->retry_after = k->retry_after;
	return slu_fail(&op->err, -k->rc, "the store says no");
}

struct stack {
	struct fake f;
	struct flaky k;
	struct slu_loops *loops;
	struct slu_store *s;
};

static int setup(void **state)
{
	struct slu_retry_conf conf = {.tries = 4, .base_ns = 20000, .cap_ns = 100000};
	struct stack *st = calloc(1, sizeof(*st));

	assert_int_equal(slu_loops_new(&(struct slu_loops_conf){.threads = 2}, &st->loops, NULL),
			 0);
	st->s = fake_init(&st->f, flaky);
	st->f.user = &st->k;
	assert_int_equal(slu_retry_push(&st->s, &conf, st->loops), 0);
	*state = st;
	return 0;
}

static int teardown(void **state)
{
	struct stack *st = *state;

	slu_store_free(st->s);
	slu_loops_free(st->loops);
	free(st);
	return 0;
}

#define RETRY_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static int run(struct stack *st, struct slu_op *op, int fail, int rc, struct slu_err *e)
{
	st->k = (struct flaky){.fail = fail, .rc = rc};
	atomic_store(&st->f.calls, 0);
	return slu_store_wait(st->s, op, e);
}

static void failures_are_survived_up_to_the_limit(void **state)
{
	struct stack *st = *state;
	struct slu_err e = {0};
	struct slu_op op;

	for (int n = 0; n < 8; n++) {
		int r;

		slu_op_stat(&op, "a/b");
		r = run(st, &op, n, -EAGAIN, &e);
		if (n < 4) {
			assert_int_equal(r, 0);
			assert_int_equal(op.err.code, 0);
			assert_int_equal(st->f.calls, n + 1);
		} else {
			assert_failed(r, e, EAGAIN, "after 4 tries: the store says no");
			assert_int_equal(st->f.calls, 4);
		}
		assert_int_equal(op.deadline, 0); /* as it was given */
		assert_int_equal(op.depth, 0);
	}
}

/* Which of these codes lead to another try of an op. */
static const int codes[] = {EAGAIN, ETIMEDOUT, ECONNRESET, EIO,   ENOENT,
			    EACCES, ESTALE,    EEXIST,     ENOSPC};

static void one_kind(struct stack *st, const struct slu_op *like, const char *again)
{
	for (int c = 0; again[c]; c++) {
		struct slu_list list = {0};
		struct slu_op op = *like;
		int r;

		op.list = &list;
		r = run(st, &op, 1, -codes[c], NULL);
		if (r != (again[c] == 'y' ? 0 : -codes[c]) ||
		    st->f.calls != (again[c] == 'y' ? 2 : 1))
			fail_msg("%s, %s: rc %d after %d calls", slu_op_name(op.type),
				 strerror(codes[c]), r, st->f.calls);
		if (op.type == SLU_OP_LIST)
			assert_int_equal(list.n, 1); /* nothing of the failed page */
		slu_list_done(&list);
	}
}

static void reads_and_blocks_are_repeated(void **state)
{
	struct stack *st = *state;
	struct slu_list list;
	struct slu_op op;
	char buf[4];

	slu_op_stat(&op, "p");
	one_kind(st, &op, "yyyynnnnn");
	slu_op_list(&op, "p", NULL, &list);
	one_kind(st, &op, "yyyynnnnn");
	slu_op_read(&op, "p", 0, 4, buf, NULL);
	one_kind(st, &op, "yyyynnnnn");
	slu_op_put_block(&op, "p", "T", 0, "x", 1);
	one_kind(st, &op, "yyynnnnnn");
	slu_op_abort(&op, "p", "T");
	one_kind(st, &op, "yyynnnnnn");
	slu_op_mkdir(&op, "p");
	one_kind(st, &op, "yyynnnnnn");
	slu_op_put(&op, "p", "x", 1, 0);
	one_kind(st, &op, "yyynnnnnn");
	slu_op_delete(&op, "p", 0);
	one_kind(st, &op, "yyynnnnnn");
}

static void what_an_earlier_try_deleted_is_not_missing(void **state)
{
	struct stack *st = *state;
	struct slu_err e = {0};
	struct slu_op op;

	slu_op_delete(&op, "p", 0);
	st->k = (struct flaky){.fail = 1, .rc = -ECONNRESET, .then = -ENOENT};
	assert_int_equal(slu_store_wait(st->s, &op, &e), 0);
	assert_int_equal(op.err.code, 0);
	slu_op_delete(&op, "p", 0);
	st->k = (struct flaky){.then = -ENOENT};
	assert_failed(slu_store_wait(st->s, &op, &e), e, ENOENT, "the store says no more");
	slu_op_stat(&op, "p");
	st->k = (struct flaky){.fail = 1, .rc = -ECONNRESET, .then = -ENOENT};
	assert_failed(slu_store_wait(st->s, &op, &e), e, ENOENT, "the store says no more");
}

static int slowly(struct fake *f, struct slu_op *op)
{
	op->kept += (size_t)f->user;
	if (op->kept == 10u << 20 || f->calls > 20)
		return 0;
	return slu_fail(&op->err, ECONNRESET, "cut");
}

static char large[10u << 20];

/* A MiB that came is progress; less is not.  Nothing is kept from another op. */
static void progress_is_no_failure(void **state)
{
	struct stack *st = *state;
	struct slu_op op;

	st->f.fn = slowly;
	st->f.user = (void *)(uintptr_t)(1u << 20);
	slu_op_read(&op, "p", 0, sizeof(large), large, "i");
	op.kept = 1;
	assert_int_equal(slu_store_wait(st->s, &op, NULL), 0);
	assert_int_equal(st->f.calls, 10);
	atomic_store(&st->f.calls, 0);
	st->f.user = (void *)(uintptr_t)1000;
	slu_op_read(&op, "p", 0, sizeof(large), large, "i");
	assert_int_equal(slu_store_wait(st->s, &op, NULL), -ECONNRESET);
	assert_int_equal(st->f.calls, 4);
	st->f.user = &st->k;
}

static int64_t given;

static int gives(struct fake *f, struct slu_op *op)
{
	(void)f;
	given = op->deadline;
	return 0;
}

static void what_is_large_has_more_time(void **state)
{
	struct stack *st = *state;
	int64_t before = slu_now(), minute = 60 * SLU_SEC;
	struct slu_op op;

	st->f.fn = gives;
	slu_op_put_block(&op, "p", "T", 0, large, 128u << 20); /* of which nothing is read */
	assert_int_equal(slu_store_wait(st->s, &op, NULL), 0);
	assert_true(given >= before + minute + 4096 * SLU_SEC &&
		    given <= slu_now() + minute + 4096 * SLU_SEC);
	slu_op_commit(&op, "p", "T", 1, 0);
	op.len = 128u << 20; /* the length of its blocks */
	assert_int_equal(slu_store_wait(st->s, &op, NULL), 0);
	assert_true(given <= slu_now() + minute);
	op.deadline = before + 5 * minute;
	assert_int_equal(slu_store_wait(st->s, &op, NULL), 0);
	assert_true(given == before + 5 * minute);
}

static void the_rest_only_when_refused_before_any_effect(void **state)
{
	struct stack *st = *state;
	struct slu_op op;

	slu_op_put(&op, "p", "x", 1, SLU_OPF_ABSENT);
	one_kind(st, &op, "ynnnnnnnn");
	slu_op_put(&op, "p", "x", 1, 0);
	op.if_match = "id";
	one_kind(st, &op, "ynnnnnnnn");
	slu_op_commit(&op, "p", "T", 1, 0);
	one_kind(st, &op, "ynnnnnnnn");
	slu_op_rename(&op, "p", "q", SLU_OPF_ABSENT);
	one_kind(st, &op, "ynnnnnnnn");
	slu_op_prefetch(&op, "p", 0, 1, NULL);
	one_kind(st, &op, "nnnnnnnnn");
}

static void a_deadline_ends_it_before_it_waits_in_vain(void **state)
{
	struct stack *st = *state;
	struct slu_err e = {0};
	struct slu_op op;
	int64_t deadline = slu_deadline_in(60 * SLU_SEC);

	slu_op_stat(&op, "a");
	op.deadline = deadline;
	st->k = (struct flaky){.fail = 100, .rc = -EAGAIN, .retry_after = 3600 * SLU_SEC};
	assert_failed(slu_store_wait(st->s, &op, &e), e, EAGAIN, "the store says no");
	assert_true(slu_now() < deadline);
	assert_int_equal(st->f.calls, 1);
}

struct waiting {
	struct slu_op op;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int done;
};

static void wake(struct slu_op *op)
{
	struct waiting *w = op->user;

	pthread_mutex_lock(&w->lock);
	w->done++;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void wait_done(struct waiting *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->done)
		pthread_cond_wait(&w->cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static void a_cancel_ends_the_waiting(void **state)
{
	struct stack *st = *state;
	struct waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

	st->k = (struct flaky){.fail = 100, .rc = -EAGAIN, .retry_after = 1800 * SLU_SEC};
	slu_op_stat(&w.op, "a");
	w.op.deadline = slu_deadline_in(3600 * SLU_SEC);
	w.op.done = wake;
	w.op.user = &w;
	slu_store_submit(st->s, &w.op);
	assert_int_equal(st->f.calls, 1); /* and it waits now, for half an hour */
	slu_store_cancel(st->s, &w.op);
	wait_done(&w);
	assert_failed(w.op.rc, w.op.err, ECANCELED, "'a'");
	assert_int_equal(st->f.calls, 1);
	assert_int_equal(w.done, 1);
	/* canceled before: not tried again */
	slu_op_stat(&w.op, "b");
	w.op.canceled = true;
	w.op.done = wake;
	w.op.user = &w;
	w.done = 0;
	slu_store_submit(st->s, &w.op);
	wait_done(&w);
	assert_int_equal(st->f.calls, 2);
}

static int always_busy(struct fake *f, struct slu_op *op)
{
	(void)f;
	return op->off % 3 && op->tries < 3 ? -EAGAIN : 0;
}

/* Ops and cancels from several threads: each done() exactly once. */
static void *storm(void *arg)
{
	struct stack *st = arg;
	unsigned x = (unsigned)(uintptr_t)pthread_self() | 1;

	for (int i = 0; i < 150; i++) {
		struct waiting w[4];
		char buf[4];

		memset(w, 0, sizeof(w));
		for (int k = 0; k < 4; k++) {
			pthread_mutex_init(&w[k].lock, NULL);
			pthread_cond_init(&w[k].cond, NULL);
			slu_op_read(&w[k].op, "p", (uint64_t)(i + k), 1, buf + k, NULL);
			w[k].op.done = wake;
			w[k].op.user = &w[k];
			slu_store_submit(st->s, &w[k].op);
		}
		x = x * 1664525 + 1013904223;
		for (unsigned k = 0; k < x >> 30; k++)
			slu_store_cancel(st->s, &w[k].op);
		for (int k = 0; k < 4; k++) {
			wait_done(&w[k]);
			assert_true(w[k].op.rc == 0 || w[k].op.rc == -ECANCELED ||
				    (w[k].op.rc == -EAGAIN && w[k].op.canceled));
			assert_int_equal(w[k].done, 1);
		}
	}
	return NULL;
}

static void many_at_once(void **state)
{
	struct stack *st = *state;
	pthread_t t[4];

	st->f.fn = always_busy;
	assert_int_equal(slu_pool_new(4, &st->f.pool, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, storm, st), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	slu_pool_free(st->f.pool);
}

/* A hundred repetitions, then none before ten ops have gone well; what was refused is no failure. */
static void a_sick_store_is_not_asked_ever_more_often(void **state)
{
	struct stack *st = *state;
	struct slu_err e = {0};
	struct slu_op op;
	int asked = 0;

	for (int i = 0; i < 60; i++) {
		slu_op_stat(&op, "a");
		assert_int_equal(run(st, &op, 1000, -EIO, &e), -EIO);
		asked += atomic_load(&st->f.calls);
	}
	assert_in_range(asked, 60 + 100, 60 + 106);
	assert_non_null(strstr(e.msg, "too much fails"));
	slu_op_stat(&op, "a");
	assert_int_equal(run(st, &op, 2, -EAGAIN, &e), 0);
	assert_int_equal(atomic_load(&st->f.calls), 3);
	for (int i = 0; i < 20; i++) {
		slu_op_stat(&op, "a");
		assert_int_equal(run(st, &op, 0, 0, &e), 0);
	}
	slu_op_stat(&op, "a");
	assert_int_equal(run(st, &op, 2, -EIO, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RETRY_TEST(progress_is_no_failure),
		RETRY_TEST(what_is_large_has_more_time),
		RETRY_TEST(failures_are_survived_up_to_the_limit),
		RETRY_TEST(reads_and_blocks_are_repeated),
		RETRY_TEST(what_an_earlier_try_deleted_is_not_missing),
		RETRY_TEST(the_rest_only_when_refused_before_any_effect),
		RETRY_TEST(a_deadline_ends_it_before_it_waits_in_vain),
		RETRY_TEST(a_cancel_ends_the_waiting),
		RETRY_TEST(many_at_once),
		RETRY_TEST(a_sick_store_is_not_asked_ever_more_often),
	};

	return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
