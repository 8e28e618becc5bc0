/* SPDX-License-Identifier: Apache-2.0 */
/* The worker pool: everything runs once, in its order, urgent before low, and can be taken back. */
#include "io/pool.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

struct job {
	struct slu_work w; /* first: fn gets it */
	int id;
	atomic_int runs;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int order[5000], n_order, blocked;
static bool open_gate;

static void note(struct slu_work *w)
{
	struct job *j = (struct job *)w;
	atomic_fetch_add(&j->runs, 1);
	pthread_mutex_lock(&lock);
	order[n_order++] = j->id;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
}

/* Keeps its thread until the gate opens. */
static void block(struct slu_work *w)
{
	(void)w;
	pthread_mutex_lock(&lock);
	blocked++;
	pthread_cond_broadcast(&cond);
	while (!open_gate)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
}

static void wait_for(const int *what, int n)
{
	pthread_mutex_lock(&lock);
	while (*what < n)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
}

static void release(void)
{
	pthread_mutex_lock(&lock);
	open_gate = true;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
}

static int setup(void **state)
{
	(void)state;
	n_order = blocked = 0;
	open_gate = false;
	return 0;
}

static void low_runs_last_and_each_in_order(void **state)
{
	(void)state;
	static struct job stop, j[20];
	struct slu_pool *p;
	assert_int_equal(slu_pool_new(1, &p, NULL), 0);
	stop.w.fn = block;
	slu_pool_add(p, &stop.w);
	wait_for(&blocked, 1);
	for (int i = 0; i < 20; i++) {
		j[i] = (struct job){.w = {.fn = note, .low = i % 2 == 0}, .id = i};
		slu_pool_add(p, &j[i].w);
	}
	release();
	wait_for(&n_order, 20);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(order[i], 2 * i + 1);
		assert_int_equal(order[10 + i], 2 * i);
	}
	slu_pool_free(p);
}

static void cancel_takes_back_what_has_not_begun(void **state)
{
	(void)state;
	static struct job stop, j[10];
	struct slu_pool *p;
	assert_int_equal(slu_pool_new(1, &p, NULL), 0);
	stop.w.fn = block;
	slu_pool_add(p, &stop.w);
	wait_for(&blocked, 1);
	assert_false(slu_pool_cancel(p, &stop.w));
	for (int i = 0; i < 10; i++) {
		j[i] = (struct job){.w = {.fn = note, .low = i >= 5}, .id = i};
		slu_pool_add(p, &j[i].w);
	}
	static const int gone[] = {0, 4, 7, 9};
	for (int i = 0; i < 4; i++)
		assert_true(slu_pool_cancel(p, &j[gone[i]].w));
	assert_false(slu_pool_cancel(p, &j[0].w));
	slu_pool_add(p, &j[9].w); /* the tail was mended: this one arrives */
	release();
	wait_for(&n_order, 7);
	static const int want[] = {1, 2, 3, 5, 6, 8, 9};
	assert_memory_equal(order, want, sizeof(want));
	assert_false(slu_pool_cancel(p, &j[1].w));
	slu_pool_free(p);
}

static void threads_come_as_needed(void **state)
{
	(void)state;
	static struct job j[6];
	struct slu_pool *p;
	assert_int_equal(slu_pool_new(4, &p, NULL), 0);
	for (int i = 0; i < 6; i++) {
		j[i].w.fn = block;
		slu_pool_add(p, &j[i].w);
	}
	wait_for(&blocked, 4); /* four block at once: four threads */
	assert_int_equal(blocked, 4);
	release();
	wait_for(&blocked, 6);
	slu_pool_free(p);
}

static struct slu_pool *pool;
static struct job many[4000];

static void *add_many(void *arg)
{
	struct job *j = arg;
	for (int i = 0; i < 1000; i++) {
		j[i] = (struct job){.w = {.fn = note, .low = i % 3 == 0}, .id = i};
		slu_pool_add(pool, &j[i].w);
	}
	return NULL;
}

static void many_threads_add(void **state)
{
	(void)state;
	pthread_t t[4];
	assert_int_equal(slu_pool_new(3, &pool, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, add_many, many + (ptrdiff_t)1000 * i),
				 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	slu_pool_free(pool); /* runs what is queued */
	assert_int_equal(n_order, 4000);
	for (int i = 0; i < 4000; i++)
		assert_int_equal(atomic_load(&many[i].runs), 1);
}

static struct job chain[50];

static void next_one(struct slu_work *w)
{
	struct job *j = (struct job *)w;
	note(w);
	if (j->id + 1 < 50)
		slu_pool_add(pool, &chain[j->id + 1].w);
}

static void work_may_add_work_while_the_pool_ends(void **state)
{
	(void)state;
	assert_int_equal(slu_pool_new(2, &pool, NULL), 0);
	for (int i = 0; i < 50; i++)
		chain[i] = (struct job){.w.fn = next_one, .id = i};
	slu_pool_add(pool, &chain[0].w);
	slu_pool_free(pool);
	assert_int_equal(n_order, 50);
}

static void sizes(void **state)
{
	(void)state;
	struct slu_pool *p;
	assert_int_equal(slu_pool_new(0, &p, NULL), 0);
	slu_pool_free(p);
	assert_int_equal(slu_pool_new(1000000, &p, NULL), 0); /* as many as make sense */
	slu_pool_free(p);
	slu_pool_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(low_runs_last_and_each_in_order, setup),
		cmocka_unit_test_setup(cancel_takes_back_what_has_not_begun, setup),
		cmocka_unit_test_setup(threads_come_as_needed, setup),
		cmocka_unit_test_setup(many_threads_add, setup),
		cmocka_unit_test_setup(work_may_add_work_while_the_pool_ends, setup),
		cmocka_unit_test_setup(sizes, setup),
	};
	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
