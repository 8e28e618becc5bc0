/* SPDX-License-Identifier: Apache-2.0 */
/* The hedge layer: whose answer counts, who waits for whom, and how often it asks twice. */
#include "tests/unit/fs.h"

#include "common/time.h"
#include "fs/layers.h"

#include <pthread.h>
#include <sched.h>

/* A driver that keeps what it gets until the test lets it go, in any thread. */
static struct {
	struct slu_store s;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct slu_op *op[16];
	int n, came;
	bool slow_cancel; /* a cancel is noted, and the op ends by let_go */
	int cancels;
} held = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void held_submit(struct slu_store *s, struct slu_op *op)
{
	(void)s;
	pthread_mutex_lock(&held.lock);
	held.op[held.n++] = op;
	held.came++;
	pthread_cond_broadcast(&held.cond);
	pthread_mutex_unlock(&held.lock);
}

static struct slu_op *take(const struct slu_op *want)
{
	struct slu_op *op = NULL;

	for (int i = 0; i < held.n && !op; i++)
		if (!want || held.op[i] == want) {
			op = held.op[i];
			held.op[i] = held.op[--held.n];
		}
	return op;
}

static void held_cancel(struct slu_store *s, struct slu_op *op)
{
	struct slu_op *mine;

	(void)s;
	pthread_mutex_lock(&held.lock);
	held.cancels++;
	mine = held.slow_cancel ? NULL : take(op);
	pthread_cond_broadcast(&held.cond);
	pthread_mutex_unlock(&held.lock);
	if (mine)
		slu_op_finish(mine, -ECANCELED);
}

static void held_free(struct slu_store *s)
{
	(void)s;
}

static const struct slu_store_ops held_ops = {
	.name = "held", .submit = held_submit, .cancel = held_cancel, .free = held_free};

static void let_go(struct slu_op *op, int rc, char fill)
{
	pthread_mutex_lock(&held.lock);
	assert_ptr_equal(take(op), op);
	pthread_mutex_unlock(&held.lock);
	if (rc == 0 && op->type == SLU_OP_READ)
		memset(op->buf, fill, op->len);
	slu_op_finish(op, rc);
}

static void await(const int *n, int least)
{
	pthread_mutex_lock(&held.lock);
	while (*n < least)
		pthread_cond_wait(&held.cond, &held.lock);
	pthread_mutex_unlock(&held.lock);
}

/* The one that is not op. */
static struct slu_op *other(const struct slu_op *op)
{
	struct slu_op *found = NULL;

	await(&held.came, 2);
	pthread_mutex_lock(&held.lock);
	for (int i = 0; i < held.n; i++)
		if (held.op[i] != op)
			found = held.op[i];
	pthread_mutex_unlock(&held.lock);
	return found;
}

static struct slu_loops *loops;
static struct slu_store *store;
static int done;
static char buf[8];
static struct slu_op op;
static char path[8];

static void noted(struct slu_op *o)
{
	(void)o;
	pthread_mutex_lock(&held.lock);
	done++;
	pthread_cond_broadcast(&held.cond);
	pthread_mutex_unlock(&held.lock);
}

static void begin(struct slu_op *o)
{
	slu_op_read(o, path, 0, sizeof(buf), buf, NULL);
	o->done = noted;
	slu_store_submit(store, o);
}

static int setup(void **state)
{
	struct slu_loops_conf conf = {.threads = 1};

	(void)state;
	held.s = (struct slu_store){.ops = &held_ops, .caps = ~(unsigned)SLU_CAP_READ_ONLY};
	held.n = held.came = held.cancels = done = 0;
	held.slow_cancel = false;
	memset(buf, 0, sizeof(buf));
	strcpy(path, "f");
	store = &held.s;
	assert_int_equal(slu_loops_new(&conf, &loops, NULL), 0);
	return slu_hedge_push(&store, &(struct slu_hedge_conf){SLU_MS, SLU_MS}, loops);
}

static int teardown(void **state)
{
	(void)state;
	slu_store_free(store);
	slu_loops_free(loops);
	return 0;
}

static void the_second_wins_and_the_first_ends_before_it_is_told(void **state)
{
	(void)state;
	held.slow_cancel = true;
	begin(&op);
	let_go(other(&op), 0, 'b');
	await(&held.cancels, 1);
	assert_int_equal(done, 0);
	memset(buf, 'x', 3); /* as a transfer that is being cut may do */
	let_go(&op, -ECANCELED, 0);
	await(&done, 1);
	assert_int_equal(op.rc, 0);
	assert_memory_equal(buf, "bbbbbbbb", 8);
}

static void the_second_wins_at_once(void **state)
{
	(void)state;
	begin(&op);
	let_go(other(&op), 0, 'b');
	await(&done, 1);
	assert_int_equal(op.rc, 0);
	assert_int_equal(op.err.code, 0);
	assert_memory_equal(buf, "bbbbbbbb", 8);
}

static void the_first_wins_and_the_second_is_canceled(void **state)
{
	struct slu_op *second;

	(void)state;
	held.slow_cancel = true;
	begin(&op);
	second = other(&op);
	assert_true(second->flags & SLU_OPF_BESIDE); /* so that a driver takes another way */
	assert_false(op.flags & SLU_OPF_BESIDE);
	let_go(&op, 0, 'a');
	await(&done, 1);
	assert_memory_equal(buf, "aaaaaaaa", 8);
	memset(path, 'z', sizeof(path)); /* the caller's again */
	assert_string_equal(second->path, "f");
	let_go(second, -ECANCELED, 0);
	assert_int_equal(held.cancels, 1);
}

static void a_first_that_fails_waits_for_the_second(void **state)
{
	struct slu_op *second;

	(void)state;
	begin(&op);
	second = other(&op);
	let_go(&op, -ECONNRESET, 0);
	assert_int_equal(done, 0);
	let_go(second, 0, 'b');
	await(&done, 1);
	assert_int_equal(op.rc, 0);
	assert_memory_equal(buf, "bbbbbbbb", 8);
}

static void both_fail(void **state)
{
	struct slu_op *second;

	(void)state;
	begin(&op);
	second = other(&op);
	let_go(second, -ECONNREFUSED, 0);
	assert_int_equal(done, 0);
	let_go(&op, -ETIMEDOUT, 0);
	await(&done, 1);
	assert_int_equal(op.rc, -ETIMEDOUT);
}

static void what_is_not_there_is_not_asked_for_again(void **state)
{
	(void)state;
	begin(&op);
	other(&op);
	let_go(&op, -ENOENT, 0);
	await(&done, 1);
	assert_int_equal(op.rc, -ENOENT);
	assert_int_equal(held.cancels, 1);
}

static void a_cancel_reaches_the_second_too(void **state)
{
	struct slu_op *second;

	(void)state;
	begin(&op);
	second = other(&op);
	let_go(&op, -EIO, 0);
	assert_non_null(second);
	slu_store_cancel(store, &op);
	await(&done, 1);
	assert_int_equal(op.rc, -EIO);
	assert_int_equal(held.n, 0);
}

static void a_cancel_of_the_first_ends_both(void **state)
{
	(void)state;
	begin(&op);
	other(&op);
	slu_store_cancel(store, &op);
	await(&done, 1);
	assert_int_equal(op.rc, -ECANCELED);
	assert_int_equal(held.n, 0);
}

static void *end_it(void *arg)
{
	sched_yield();
	let_go(arg, -ECANCELED, 0);
	return NULL;
}

/* The caller has its answer and may take the store away; what lost is waited for. */
static void the_layer_outlives_what_lost(void **state)
{
	struct slu_op *second;
	pthread_t t;

	(void)state;
	held.slow_cancel = true;
	begin(&op);
	second = other(&op);
	let_go(&op, 0, 'a');
	await(&done, 1);
	assert_int_equal(pthread_create(&t, NULL, end_it, second), 0);
	slu_store_free(store);
	store = NULL;
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(held.n, 0);
}

static void passed(void *arg)
{
	pthread_mutex_lock(&held.lock);
	++*(int *)arg;
	pthread_cond_broadcast(&held.cond);
	pthread_mutex_unlock(&held.lock);
}

/* The credit at the start pays for two.  A timer behind all the others tells that they have fired. */
static void few_are_asked_for_twice(void **state)
{
	struct slu_timer *last;
	struct slu_op many[5];
	int fired = 0;

	(void)state;
	for (int i = 0; i < 5; i++)
		begin(&many[i]);
	assert_int_equal(slu_timer_new(slu_loops_pick(loops, "", 0), passed, &fired, &last), 0);
	slu_timer_set(last, slu_now() + 20 * SLU_MS);
	await(&fired, 1);
	assert_int_equal(held.came, 7);
	for (int i = 0; i < 5; i++)
		let_go(&many[i], 0, 'a');
	await(&done, 5);
	assert_int_equal(held.n, 0); /* the seconds were canceled */
	slu_timer_free(last);
}

static void what_changes_things_is_never_done_twice(void **state)
{
	struct slu_timer *last;
	int fired = 0;

	(void)state;
	slu_op_put(&op, path, "x", 1, 0);
	op.done = noted;
	slu_store_submit(store, &op);
	assert_int_equal(slu_timer_new(slu_loops_pick(loops, "", 0), passed, &fired, &last), 0);
	slu_timer_set(last, slu_now() + 20 * SLU_MS);
	await(&fired, 1);
	assert_int_equal(held.came, 1);
	let_go(&op, 0, 0);
	await(&done, 1);
	slu_timer_free(last);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_second_wins_and_the_first_ends_before_it_is_told),
		T(the_second_wins_at_once),
		T(the_first_wins_and_the_second_is_canceled),
		T(a_first_that_fails_waits_for_the_second),
		T(both_fail),
		T(what_is_not_there_is_not_asked_for_again),
		T(a_cancel_reaches_the_second_too),
		T(a_cancel_of_the_first_ends_both),
		T(the_layer_outlives_what_lost),
		T(few_are_asked_for_twice),
		T(what_changes_things_is_never_done_twice),
	};

	return cmocka_run_group_tests_name("hedge", tests, NULL, NULL);
}
