/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of few threads: everything runs once and in its order, one at a time unless they wait. */
#include "tests/unit/unit.h"

#include "fs/few.h"

#include "common/time.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>

#define WAIT_NS 1000000
#define MANY 1000u

struct piece {
	struct slu_work w;
	unsigned nr;
	unsigned again; /* how often it adds itself */
};

static struct slu_few q;
static struct slu_pool *pool;
static atomic_uint running, most, ran, next, wrong;
static sem_t go, here, over;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(slu_pool_new(8, &pool, NULL), 0);
	assert_int_equal(sem_init(&go, 0, 0) | sem_init(&here, 0, 0) | sem_init(&over, 0, 0), 0);
	running = most = ran = next = wrong = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	slu_few_done(&q);
	slu_pool_free(pool);
	return 0;
}

static struct piece *piece_of(struct slu_work *w)
{
	return (struct piece *)((char *)w - offsetof(struct piece, w));
}

static void enter(void)
{
	unsigned n = atomic_fetch_add(&running, 1) + 1, old = most;

	while (n > old && !atomic_compare_exchange_weak(&most, &old, n))
		;
}

static void counted(struct slu_work *w)
{
	struct piece *p = piece_of(w);

	enter();
	if (atomic_fetch_add(&next, 1) != p->nr && !p->again)
		wrong++;
	ran++;
	running--;
	sem_post(&over);
}

static void in_order_one_at_a_time(void **state)
{
	static struct piece p[MANY];

	(void)state;
	slu_few_init(&q, pool, 1, 1);
	for (unsigned i = 0; i < MANY; i++) {
		p[i] = (struct piece){.w.fn = counted, .nr = i};
		slu_few_add(&q, &p[i].w);
	}
	for (unsigned i = 0; i < MANY; i++)
		sem_wait(&over);
	assert_int_equal(ran, MANY);
	assert_int_equal(wrong, 0);
	assert_int_equal(most, 1);
}

static void never_above_max(void **state)
{
	static struct piece p[MANY];

	(void)state;
	slu_few_init(&q, pool, 3, 3);
	for (unsigned i = 0; i < MANY; i++) {
		p[i] = (struct piece){.w.fn = counted, .nr = i, .again = 1};
		slu_few_add(&q, &p[i].w);
	}
	for (unsigned i = 0; i < MANY; i++)
		sem_wait(&over);
	assert_int_equal(ran, MANY);
	assert_true(most >= 1 && most <= 3);
}

static void repeats(struct slu_work *w)
{
	struct piece *p = piece_of(w);

	ran++;
	if (p->again--)
		slu_few_add(&q, w);
	else
		sem_post(&over);
}

static void a_piece_may_add_itself(void **state)
{
	struct piece p[4];

	(void)state;
	slu_few_init(&q, pool, 2, 2);
	for (unsigned i = 0; i < 4; i++) {
		p[i] = (struct piece){.w.fn = repeats, .again = 50};
		slu_few_add(&q, &p[i].w);
	}
	for (unsigned i = 0; i < 4; i++)
		sem_wait(&over);
	assert_int_equal(ran, 4 * 51);
}

static void waits(struct slu_work *w)
{
	(void)w;
	sem_post(&here);
	sem_wait(&go);
}

/* Two that are through only together. */
static void meets(struct slu_work *w)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	sem_post(piece_of(w)->nr ? &go : &here);
	if (sem_timedwait(piece_of(w)->nr ? &here : &go, &until))
		wrong++;
	sem_post(&over);
}

static void more_where_they_wait(void **state)
{
	struct piece p[16], pair[2];

	(void)state;
	slu_few_init(&q, pool, 1, 2);
	for (unsigned i = 0; i < 16; i++) {
		p[i] = (struct piece){.w.fn = waits};
		slu_few_add(&q, &p[i].w);
	}
	for (unsigned i = 0; i < 2; i++) {
		pair[i] = (struct piece){.w.fn = meets, .nr = i};
		slu_few_add(&q, &pair[i].w);
	}
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(slu_few_limit(&q), 1);
		sem_wait(&here);
		for (int64_t at = slu_now(); slu_now() - at < WAIT_NS;)
			;
		sem_post(&go);
	}
	sem_wait(&over);
	sem_wait(&over);
	assert_int_equal(slu_few_limit(&q), 2);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_order_one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(never_above_max, setup, teardown),
		cmocka_unit_test_setup_teardown(a_piece_may_add_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(more_where_they_wait, setup, teardown),
	};

	return cmocka_run_group_tests_name("few", tests, NULL, NULL);
}
