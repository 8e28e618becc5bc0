/* SPDX-License-Identifier: Apache-2.0 */
/* The limit layer: how many, in which order, and how the number moves. */
#include "tests/unit/fs.h"

#include "common/time.h"
#include "fs/layers.h"

/* A driver that keeps what it gets until the test lets it go. */
struct held {
	struct slu_store s;
	struct slu_op *op[512];
	int n;
	char order[512];
};

static void held_submit(struct slu_store *s, struct slu_op *op)
{
	struct held *h = (struct held *)s;

	h->order[strlen(h->order)] = op->path[0];
	h->op[h->n] = op;
	__atomic_add_fetch(&h->n, 1, __ATOMIC_RELEASE);
}

static void held_cancel(struct slu_store *s, struct slu_op *op)
{
	struct held *h = (struct held *)s;

	for (int i = 0; i < h->n; i++) {
		if (h->op[i] == op) {
			h->op[i] = h->op[--h->n];
			slu_op_finish(op, -ECANCELED);
			return;
		}
	}
}

static void held_free(struct slu_store *s)
{
	(void)s;
}

static const struct slu_store_ops held_ops = {
	.name = "held", .submit = held_submit, .cancel = held_cancel, .free = held_free};

/* Lets the oldest go. */
static void let_go(struct held *h, int rc)
{
	struct slu_op *op = h->op[0];

	memmove(h->op, h->op + 1, (size_t)--h->n * sizeof(h->op[0]));
	slu_op_finish(op, rc);
}

static void noted(struct slu_op *op)
{
	++*(int *)op->user;
}

static struct slu_window *window;

static int done_with_it(void **state)
{
	(void)state;
	slu_window_free(window);
	window = NULL;
	return 0;
}

static struct slu_store *held_init(struct held *h)
{
	*h = (struct held){.s = {.ops = &held_ops, .caps = ~(unsigned)SLU_CAP_READ_ONLY}};
	return &h->s;
}

static struct slu_store *stack(struct held *h, unsigned start, unsigned max)
{
	struct slu_store *s = held_init(h);

	assert_int_equal(slu_window_new(&(struct slu_limit_conf){start, max}, NULL, &window), 0);
	assert_int_equal(slu_limit_push(&s, window), 0);
	return s;
}

static void submit(struct slu_store *s, struct slu_op *op, const char *path, uint8_t prio,
		   int *done)
{
	slu_op_stat(op, path);
	op->prio = prio;
	op->done = noted;
	op->user = done;
	slu_store_submit(s, op);
}

static void by_priority_then_order(void **state)
{
	static const struct {
		const char *path;
		uint8_t prio;
	} in[] = {{"a", 0}, {"b", 9}, {"c", 5}, {"d", 0}, {"e", 9}, {"f", 5}, {"g", 0}, {"h", 200}};
	struct slu_op op[8];
	struct held h;
	struct slu_store *s = stack(&h, 1, 1);
	int done = 0;

	(void)state;
	for (int i = 0; i < 8; i++)
		submit(s, &op[i], in[i].path, in[i].prio, &done);
	assert_string_equal(h.order, "a");
	for (int i = 0; i < 8; i++) {
		assert_int_equal(h.n, 1);
		let_go(&h, 0);
	}
	assert_string_equal(h.order, "adgcfbeh");
	assert_int_equal(done, 8);
	slu_store_free(s);
}

/* What is waited for now is not behind what nobody waits for, whenever it came. */
static void hurried_ops_come_first(void **state)
{
	struct slu_op op[6];
	struct held h;
	struct slu_store *s = stack(&h, 1, 1);
	int done = 0;

	(void)state;
	for (int i = 0; i < 6; i++)
		submit(s, &op[i], (const char *[]){"a", "b", "c", "d", "e", "f"}[i], i == 1 ? 0 : 9,
		       &done);
	slu_store_hurry(s, &op[4]);
	slu_store_hurry(s, &op[0]); /* under way already */
	slu_store_hurry(s, &op[4]);
	for (int i = 0; i < 6; i++)
		let_go(&h, 0);
	assert_string_equal(h.order, "abecdf");
	assert_int_equal(done, 6);
	slu_store_hurry(s, &op[5]); /* over */
	slu_store_free(s);
}

static void it_grows_by_one_a_window_and_halves_once(void **state)
{
	static struct slu_op op[400];
	struct held h;
	struct slu_store *s = stack(&h, 8, 20);
	int done = 0;

	(void)state;
	for (int i = 0; i < 400; i++)
		submit(s, &op[i], "x", 0, &done);
	assert_int_equal(h.n, 8);
	/* nothing was refused yet: it doubles */
	for (int i = 0; i < 8; i++)
		let_go(&h, 0);
	assert_int_equal(h.n, 16);
	for (int i = 0; i < 16; i++)
		let_go(&h, -EAGAIN);
	assert_int_equal(h.n, 8);
	/* eight successes: one more */
	for (int i = 0; i < 9; i++)
		let_go(&h, 0);
	assert_int_equal(h.n, 9);
	/* all nine refused: all were under way, so it halves once */
	for (int i = 0; i < 9; i++)
		let_go(&h, -EAGAIN);
	assert_int_equal(h.n, 4);
	/* those four began after that: the first of them halves again, and no other error does */
	let_go(&h, -EAGAIN);
	let_go(&h, -EIO);
	assert_int_equal(h.n, 2);
	while (done < 300)
		let_go(&h, 0);
	assert_int_equal(h.n, 20);  /* the maximum */
	for (int i = 0; i < 5; i++) /* down to one, never to none */
		while (h.n > 1)
			let_go(&h, -EAGAIN);
	while (h.n)
		let_go(&h, -EAGAIN);
	assert_int_equal(done, 400);
	slu_store_free(s);
}

/* One op after the other tells nothing about how many there may be at a time. */
static void it_does_not_grow_unused(void **state)
{
	static struct slu_op op[100];
	struct held h;
	struct slu_store *s = stack(&h, 4, 64);
	int done = 0;

	(void)state;
	for (int i = 0; i < 50; i++) {
		submit(s, &op[i], "x", 0, &done);
		let_go(&h, 0);
	}
	for (int i = 50; i < 100; i++)
		submit(s, &op[i], "x", 0, &done);
	assert_int_equal(h.n, 4);
	while (h.n)
		let_go(&h, 0);
	assert_int_equal(done, 100);
	slu_store_free(s);
}

static void queued_ops_can_be_canceled(void **state)
{
	struct slu_op op[5];
	struct held h;
	struct slu_store *s = stack(&h, 1, 1);
	int done = 0;

	(void)state;
	for (int i = 0; i < 4; i++)
		submit(s, &op[i], (const char *[]){"a", "b", "c", "d"}[i], 3, &done);
	slu_store_cancel(s, &op[3]); /* the last of the queue, then the first */
	assert_int_equal(op[3].rc, -ECANCELED);
	slu_store_cancel(s, &op[1]);
	assert_int_equal(op[1].rc, -ECANCELED);
	assert_int_equal(done, 2);
	submit(s, &op[4], "e", 3, &done);
	slu_store_cancel(s, &op[0]); /* below: passed on */
	assert_int_equal(op[0].rc, -ECANCELED);
	while (h.n)
		let_go(&h, 0);
	assert_string_equal(h.order, "ace");
	assert_int_equal(done, 5);
	slu_store_free(s);
}

static void too_late_in_the_queue(void **state)
{
	struct slu_op op[3];
	struct held h;
	struct slu_store *s = stack(&h, 1, 1);
	int done = 0;

	(void)state;
	submit(s, &op[0], "a", 0, &done);
	slu_op_stat(&op[1], "b");
	op[1].done = noted;
	op[1].user = &done;
	op[1].deadline = slu_now(); /* passed by the time it is looked at */
	slu_store_submit(s, &op[1]);
	submit(s, &op[2], "c", 0, &done);
	let_go(&h, 0);
	assert_failed(op[1].rc, op[1].err, ETIMEDOUT, "'b'");
	assert_string_equal(h.order, "ac");
	let_go(&h, 0);
	assert_int_equal(done, 3);
	slu_store_free(s);
}

static atomic_int below, most;

static int busy(struct fake *f, struct slu_op *op)
{
	int n = atomic_fetch_add(&below, 1) + 1, m = atomic_load(&most);

	(void)f;
	while (n > m && !atomic_compare_exchange_weak(&most, &m, n))
		;
	sched_yield();
	atomic_fetch_sub(&below, 1);
	return op->off % 7 == 3 ? -EAGAIN : 0;
}

static void *storm(void *arg)
{
	char c;

	for (int i = 0; i < 2000; i++) {
		struct slu_op op;

		slu_op_read(&op, "p", (uint64_t)i, 1, &c, NULL);
		op.prio = (uint8_t)(i % 10);
		assert_int_equal(slu_store_wait(arg, &op, NULL), i % 7 == 3 ? -EAGAIN : 0);
	}
	return NULL;
}

static void never_more_than_the_maximum(void **state)
{
	struct fake f;
	struct slu_store *s = fake_init(&f, busy);
	pthread_t t[8];

	(void)state;
	assert_int_equal(slu_pool_new(8, &f.pool, NULL), 0);
	assert_int_equal(slu_window_new(&(struct slu_limit_conf){2, 3}, NULL, &window), 0);
	assert_int_equal(slu_limit_push(&s, window), 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&t[i], NULL, storm, s), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	assert_in_range(most, 1, 3);
	slu_store_free(s);
	slu_pool_free(f.pool);
}

static void two_stores_of_a_service_share_it(void **state)
{
	struct held a, b;
	struct slu_store *s = stack(&a, 2, 2), *t = held_init(&b);
	struct slu_op op[4];
	int done = 0;

	(void)state;
	assert_int_equal(slu_limit_push(&t, window), 0);
	submit(s, &op[0], "a", 0, &done);
	submit(t, &op[1], "b", 0, &done);
	submit(t, &op[2], "c", 0, &done);
	submit(s, &op[3], "d", 0, &done);
	assert_int_equal(a.n, 1);
	assert_int_equal(b.n, 1);
	let_go(&a, 0); /* the one that waited first is of the other store */
	assert_string_equal(b.order, "bc");
	let_go(&b, 0);
	assert_string_equal(a.order, "ad");
	let_go(&b, 0);
	let_go(&a, 0);
	assert_int_equal(done, 4);
	slu_store_free(s);
	slu_store_free(t);
}

struct waited {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int n;
};

static void ended(struct slu_op *op)
{
	struct waited *w = op->user;

	pthread_mutex_lock(&w->lock);
	w->n++;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void wait_for(struct waited *w, int n)
{
	pthread_mutex_lock(&w->lock);
	while (w->n < n)
		pthread_cond_wait(&w->cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

/* Nothing moves the queue, and yet it ends. */
static void a_deadline_in_the_queue_is_kept(void **state)
{
	struct waited w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
	struct slu_loops *loops;
	struct slu_store *s;
	struct slu_op op[2];
	struct held h;
	int done = 0;

	(void)state;
	s = held_init(&h);
	assert_int_equal(slu_loops_new(&(struct slu_loops_conf){.threads = 1}, &loops, NULL), 0);
	assert_int_equal(slu_window_new(&(struct slu_limit_conf){1, 1}, loops, &window), 0);
	assert_int_equal(slu_limit_push(&s, window), 0);
	submit(s, &op[0], "a", 0, &done);
	slu_op_stat(&op[1], "b");
	op[1].deadline = slu_deadline_in(20 * SLU_MS);
	op[1].done = ended;
	op[1].user = &w;
	slu_store_submit(s, &op[1]);
	wait_for(&w, 1);
	assert_int_equal(op[1].rc, -ETIMEDOUT);
	assert_int_equal(h.n, 1);
	let_go(&h, 0);
	assert_int_equal(done, 1);
	slu_store_free(s);
	slu_window_free(slu_take(window));
	slu_loops_free(loops);
}

/* Asked to wait once, the service is left alone by all until then. */
static void a_pause_holds_for_all(void **state)
{
	struct waited w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
	struct slu_loops *loops;
	struct slu_store *s;
	struct held h;
	struct slu_op op[2];
	int64_t begun, wait = 50 * SLU_MS;
	int done = 0;

	(void)state;
	s = held_init(&h);
	assert_int_equal(slu_loops_new(&(struct slu_loops_conf){.threads = 1}, &loops, NULL), 0);
	assert_int_equal(slu_window_new(&(struct slu_limit_conf){8, 8}, loops, &window), 0);
	assert_int_equal(slu_limit_push(&s, window), 0);
	submit(s, &op[0], "a", 0, &done);
	begun = slu_now();
	op[0].retry_after = wait;
	let_go(&h, -EAGAIN);
	slu_op_stat(&op[1], "b");
	op[1].done = ended;
	op[1].user = &w;
	slu_store_submit(s, &op[1]);
	while (!__atomic_load_n(&h.n, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_true(slu_now() - begun >= wait);
	let_go(&h, 0);
	wait_for(&w, 1);
	slu_store_free(s);
	slu_window_free(slu_take(window));
	slu_loops_free(loops);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(by_priority_then_order, done_with_it),
		cmocka_unit_test_teardown(hurried_ops_come_first, done_with_it),
		cmocka_unit_test_teardown(it_grows_by_one_a_window_and_halves_once, done_with_it),
		cmocka_unit_test_teardown(it_does_not_grow_unused, done_with_it),
		cmocka_unit_test_teardown(queued_ops_can_be_canceled, done_with_it),
		cmocka_unit_test_teardown(too_late_in_the_queue, done_with_it),
		cmocka_unit_test_teardown(never_more_than_the_maximum, done_with_it),
		cmocka_unit_test_teardown(two_stores_of_a_service_share_it, done_with_it),
		cmocka_unit_test_teardown(a_deadline_in_the_queue_is_kept, done_with_it),
		cmocka_unit_test_teardown(a_pause_holds_for_all, done_with_it),
	};

	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
