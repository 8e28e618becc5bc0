/* SPDX-License-Identifier: Apache-2.0 */
/* Order ahead: what is fetched for which readers, what wrong guesses cost, and the given order. */
#include "unit.h"

#include "fs/ahead.h"

#include <pthread.h>
#include <semaphore.h>

#define FILES 20000u

/* Files of 10 KiB that are there or on their way, as a reader would have them. */
struct world {
	struct slu_ahead *a;
	uint8_t *there; /* fetched and not read */
	uint64_t size;
	unsigned held, room; /* files; room 0: any number */
	unsigned fetched, hits, misses;
	bool needless; /* what is fetched is not, since it pays not */
	bool late;     /* what was fetched is not there yet when it is read */
	sem_t got;
};

static uint64_t world_size(void *user, uint32_t at)
{
	const struct world *w = user;

	(void)at;
	return w->size;
}

static uint64_t world_fetch(void *user, uint32_t at, uint64_t len)
{
	struct world *w = user;

	assert_true(at < FILES);
	if (w->needless)
		return SLU_AHEAD_NEEDLESS;
	if (w->there[at])
		return len;
	if (w->room && w->held == w->room)
		return 0;
	w->there[at] = 1;
	w->held++;
	w->fetched++;
	sem_post(&w->got);
	return len;
}

static void world_make(struct world *w, bool thread)
{
	struct slu_ahead_conf conf = {.files = FILES,
				      .size = world_size,
				      .fetch = world_fetch,
				      .user = w,
				      .in_place = !thread};

	*w = (struct world){.size = 10240};
	w->there = calloc(FILES, 1);
	sem_init(&w->got, 0, 0);
	assert_non_null(w->there);
	assert_int_equal(slu_ahead_new(&conf, &w->a), 0);
}

static void world_done(struct world *w)
{
	slu_ahead_free(w->a);
	free(w->there);
	sem_destroy(&w->got);
}

static void visit(struct world *w, uint32_t at)
{
	if (w->there[at]) {
		w->there[at] = 0;
		w->held--;
		w->hits++;
	} else {
		w->misses++;
	}
	slu_ahead_read(w->a, at, w->size, 0, w->size, w->late);
}

static void count_anew(struct world *w)
{
	w->fetched = w->hits = w->misses = 0;
}

static uint64_t chance = 7;

static uint32_t random_below(uint32_t n)
{
	chance = chance * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((chance >> 33) % n);
}

static uint32_t *shuffled(uint32_t n)
{
	uint32_t *p = calloc(n, sizeof *p);

	assert_non_null(p);
	for (uint32_t i = 0; i < n; i++)
		p[i] = i;
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t k = random_below(i + 1), was = p[i];

		p[i] = p[k];
		p[k] = was;
	}
	return p;
}

static void test_listing_order(void **state)
{
	struct slu_ahead_state s;
	struct world w;

	(void)state;
	world_make(&w, false);
	for (uint32_t i = 100; i < 2100; i++)
		visit(&w, i);
	assert_true(w.misses <= 3);
	assert_true(w.hits >= 1997);
	assert_true(w.fetched <= w.hits + SLU_AHEAD_FILES);
	slu_ahead_get(w.a, &s);
	assert_int_equal(s.fetched, w.fetched);
	assert_int_equal(s.hits, w.hits);
	assert_int_equal(s.window, SLU_AHEAD_FIRST); /* nobody ever waits: no reason for more */
	world_done(&w);
}

/* Who waits for what was fetched too late has more fetched, as much as came true allows. */
static void test_the_window_grows_where_readers_wait(void **state)
{
	struct slu_ahead_state s;
	struct world w;

	(void)state;
	world_make(&w, false);
	w.late = true;
	for (uint32_t i = 100; i < 112; i++)
		visit(&w, i);
	slu_ahead_get(w.a, &s);
	assert_int_equal(s.window, SLU_AHEAD_FIRST);
	for (uint32_t i = 112; i < 300; i++)
		visit(&w, i);
	slu_ahead_get(w.a, &s);
	assert_in_range(s.window, 2 * SLU_AHEAD_FIRST, SLU_AHEAD_FILES);
	w.late = false;
	count_anew(&w);
	for (uint32_t i = 300; i < 2100; i++)
		visit(&w, i);
	assert_int_equal(w.misses, 0);
	assert_true(w.fetched <= 1800 + SLU_AHEAD_FILES);
	world_done(&w);
}

static void test_what_needs_no_fetching_is_not_credited(void **state)
{
	const uint32_t order[] = {7, 3, 9};
	struct slu_ahead_state s;
	struct world w;
	uint32_t twice;

	(void)state;
	world_make(&w, false);
	w.needless = true;
	assert_int_equal(slu_ahead_order_begin(w.a), 0);
	assert_int_equal(slu_ahead_order_add(w.a, order, 3, &twice), 0);
	visit(&w, 7);
	for (uint32_t i = 100; i < 300; i++)
		visit(&w, i);
	slu_ahead_get(w.a, &s);
	assert_int_equal(s.fetched + s.hits + s.lost + s.stops + s.order_fetched, 0);
	assert_int_equal(s.order_read, 1);
	world_done(&w);
}

static bool is_first(void *user, uint32_t at)
{
	(void)user;
	return at % 1000 == 0;
}

static void test_a_folder_from_its_first_file(void **state)
{
	struct slu_ahead_conf conf = {.files = FILES,
				      .size = world_size,
				      .fetch = world_fetch,
				      .first = is_first,
				      .in_place = true};
	struct world w;

	(void)state;
	world_make(&w, false);
	slu_ahead_free(w.a);
	conf.user = &w;
	assert_int_equal(slu_ahead_new(&conf, &w.a), 0);
	visit(&w, 3001);
	visit(&w, 3002);
	assert_int_equal(w.fetched, 0);
	visit(&w, 5000);
	assert_int_equal(w.fetched, 0);
	visit(&w, 5001);
	assert_int_equal(w.fetched, SLU_AHEAD_FIRST);
	assert_int_equal(w.there[5002] + w.there[5001 + SLU_AHEAD_FIRST], 2);
	world_done(&w);
}

static void test_a_short_walk_wastes_little(void **state)
{
	struct world w;

	(void)state;
	world_make(&w, false);
	visit(&w, 10);
	visit(&w, 11);
	assert_int_equal(w.fetched, 0);
	visit(&w, 12);
	assert_int_equal(w.fetched, SLU_AHEAD_FIRST);
	world_done(&w);
	/* of larger files fewer, and later: what is wasted counts in bytes */
	world_make(&w, false);
	w.size = SLU_AHEAD_FIRST_BYTES;
	for (uint32_t i = 10; i < 14; i++)
		visit(&w, i);
	assert_int_equal(w.fetched, 0);
	visit(&w, 14);
	assert_in_range(w.fetched, 1, 8);
	world_done(&w);
}

/* Where there are few files, any two of them are near one another. */
static void test_large_files_of_a_small_folder_at_random(void **state)
{
	uint32_t *p = shuffled(64);
	unsigned fetched = 0;

	(void)state;
	for (int turn = 0; turn < 20; turn++) {
		struct world w;

		world_make(&w, false);
		w.size = 64u << 20;
		for (uint32_t i = 0; i < 16; i++)
			visit(&w, p[(i + 3 * (unsigned)turn) % 64]);
		fetched += w.fetched;
		world_done(&w);
	}
	/* of 320 that were read */
	assert_in_range(fetched, 0, 32);
	free(p);
}

static void test_every_second_file(void **state)
{
	struct world w;

	(void)state;
	world_make(&w, false);
	for (uint32_t i = 0; i < 4000; i += 2)
		visit(&w, i);
	assert_true(w.hits >= 1997);
	for (uint32_t i = 1; i < FILES; i += 2)
		assert_false(w.there[i]);
	world_done(&w);
}

static void test_random_reads_cost_nothing(void **state)
{
	uint32_t *p = shuffled(FILES);
	struct world w;

	(void)state;
	world_make(&w, false);
	for (uint32_t i = 0; i < FILES; i++)
		visit(&w, p[i]);
	assert_true(w.fetched < FILES / 100);
	world_done(&w);
	free(p);
}

/* Several readers, each with its own part, that overtake one another. */
static void test_many_walkers(void **state)
{
	uint32_t at[8];
	struct world w;

	(void)state;
	world_make(&w, false);
	for (int i = 0; i < 8; i++)
		at[i] = (uint32_t)i * 2000;
	for (int n = 0; n < 8 * 1000;) {
		uint32_t i = random_below(8);

		if (at[i] == i * 2000 + 1500)
			continue;
		visit(&w, at[i]++);
		n++;
	}
	assert_true(w.misses <= 8 * 4);
	world_done(&w);
}

/* Threads of one reader that take the next file each: near each other, in any order. */
static void test_disorder(void **state)
{
	struct world w;

	(void)state;
	world_make(&w, false);
	for (uint32_t i = 0; i < 4000; i += 8)
		for (uint32_t k = 0; k < 8; k++)
			visit(&w, i + (k * 5 + 3) % 8);
	assert_true(w.hits >= 3950);
	world_done(&w);
}

static void test_an_order_that_repeats_is_learnt(void **state)
{
	uint32_t *p = shuffled(FILES), *q = shuffled(FILES);
	struct slu_ahead_state s;
	struct world w;

	(void)state;
	world_make(&w, false);
	for (uint32_t i = 0; i < FILES; i++)
		visit(&w, p[i]);
	for (int epoch = 0; epoch < 2; epoch++) {
		count_anew(&w);
		for (uint32_t i = 0; i < FILES; i++) /* pairs swapped: two processes */
			visit(&w, p[i ^ 1]);
		assert_true(w.hits > FILES * 98 / 100);
		assert_true(w.fetched < FILES + 2 * SLU_AHEAD_FILES);
	}
	slu_ahead_get(w.a, &s);
	assert_true(s.learned >= FILES - 64);
	/* another order: the old one is not believed for long, the new one is learnt */
	count_anew(&w);
	for (uint32_t i = 0; i < FILES; i++)
		visit(&w, q[i]);
	assert_true(w.fetched < FILES / 10);
	count_anew(&w);
	for (uint32_t i = 0; i < FILES; i++)
		visit(&w, q[i]);
	assert_true(w.hits > FILES * 95 / 100);
	world_done(&w);
	free(p);
	free(q);
}

static void test_wrong_guesses_stop_at_once(void **state)
{
	struct slu_ahead_state s;
	struct world w;
	unsigned before;

	(void)state;
	world_make(&w, false);
	/* runs of six files, then somewhere else: what is beyond a run is fetched in vain */
	for (uint32_t i = 0; i < 300; i++) {
		uint32_t at = random_below(FILES - 100);

		for (uint32_t k = 0; k < 6; k++)
			visit(&w, at + k);
	}
	before = w.fetched;
	slu_ahead_get(w.a, &s);
	assert_true(before < 300 * 6); /* the first ones, until more is asked of the next */
	/* files that alternate with what nobody reads any more */
	count_anew(&w);
	for (uint32_t i = 0; i < 200; i++)
		visit(&w, i);
	for (uint32_t i = 200; i < 8000; i += 1 + random_below(16))
		visit(&w, i);
	slu_ahead_get(w.a, &s);
	assert_true(s.stops >= 1);
	assert_true(w.fetched < 200 + 2 * SLU_AHEAD_FILES + 1000);
	world_done(&w);
}

static void test_no_room_is_no_miss(void **state)
{
	struct world w;

	(void)state;
	world_make(&w, false);
	w.room = 5;
	for (uint32_t i = 0; i < 1000; i++) {
		visit(&w, i);
		assert_true(w.held <= 5);
	}
	assert_true(w.misses <= 4);
	world_done(&w);
}

static void test_long_files_at_their_end(void **state)
{
	const uint64_t size = 100u << 20;
	struct world w;

	(void)state;
	world_make(&w, false);
	w.size = size;
	for (uint32_t i = 0; i < 5; i++) {
		for (uint64_t off = 0; off < size; off += 1 << 20) {
			unsigned before = w.fetched;

			slu_ahead_read(w.a, i, size, off, 1 << 20, false);
			if (off < size / 2)
				assert_int_equal(w.fetched, before);
		}
	}
	assert_true(w.fetched >= 1);
	world_done(&w);
}

static void test_given_order(void **state)
{
	uint32_t *p = shuffled(FILES), twice = 9;
	struct slu_ahead_state s;
	struct world w;

	(void)state;
	world_make(&w, false);
	assert_int_equal(slu_ahead_order_begin(w.a), 0);
	for (uint32_t i = 0; i < FILES; i += 500)
		assert_int_equal(slu_ahead_order_add(w.a, p + i, 500, &twice), 0);
	assert_int_equal(twice, 0);
	assert_int_equal(w.fetched, SLU_AHEAD_FILES); /* before the first read */
	assert_true(slu_ahead_keeps(w.a));
	for (uint32_t i = 0; i < FILES; i++)
		visit(&w, p[i ^ 3]);
	assert_int_equal(w.misses, 0);
	assert_int_equal(w.fetched, FILES);
	slu_ahead_get(w.a, &s);
	assert_int_equal(s.order, FILES);
	assert_int_equal(s.order_read, FILES);
	assert_int_equal(s.order_fetched, FILES);
	assert_int_equal(s.lost, 0);
	assert_false(slu_ahead_keeps(w.a));
	world_done(&w);
	free(p);
}

static void test_given_order_with_holes(void **state)
{
	uint32_t *p = shuffled(FILES), twice;
	struct world w;

	(void)state;
	world_make(&w, false);
	assert_int_equal(slu_ahead_order_begin(w.a), 0);
	assert_int_equal(slu_ahead_order_add(w.a, p, 5000, &twice), 0);
	/* most are in the kernel's cache: they are never asked for */
	for (uint32_t i = 0; i < 5000; i += 7)
		visit(&w, p[i]);
	assert_int_equal(w.misses, 0);
	world_done(&w);
	free(p);
}

/* Eight processes that take turns of 32 files each, wait for nobody, and are slowed by what is missing. */
static void test_given_order_for_many(void **state)
{
	uint32_t *p = shuffled(FILES), next[8], twice;
	uint64_t free_at[8] = {0};
	struct world w;

	(void)state;
	world_make(&w, false);
	assert_int_equal(slu_ahead_order_begin(w.a), 0);
	assert_int_equal(slu_ahead_order_add(w.a, p, FILES, &twice), 0);
	for (uint32_t i = 0; i < 8; i++)
		next[i] = i * 32;
	for (uint32_t n = 0; n < FILES; n++) {
		unsigned misses = w.misses;
		int who = -1;

		for (int i = 0; i < 8; i++)
			if (next[i] < FILES && (who < 0 || free_at[i] < free_at[who]))
				who = i;
		visit(&w, p[next[who]]);
		free_at[who] += w.misses > misses ? 500 : 5 + random_below(10);
		next[who] += next[who] % 32 == 31 ? 7 * 32 + 1 : 1;
	}
	assert_true(w.misses < FILES / 50);
	assert_true(w.fetched <= FILES);
	world_done(&w);
	free(p);
}

static void test_a_new_order_replaces_the_old(void **state)
{
	const uint32_t one[] = {1, 2, 3, 2, 1}, two[] = {7, 8};
	struct slu_ahead_state s;
	uint32_t twice = 0;
	struct world w;

	(void)state;
	world_make(&w, false);
	assert_int_equal(slu_ahead_order_begin(w.a), 0);
	assert_int_equal(slu_ahead_order_add(w.a, one, 5, &twice), 0);
	assert_int_equal(twice, 2);
	assert_int_equal(w.fetched, 3);
	visit(&w, 1);
	assert_int_equal(slu_ahead_order_begin(w.a), 0);
	assert_int_equal(slu_ahead_order_add(w.a, two, 2, &twice), 0);
	slu_ahead_get(w.a, &s);
	assert_int_equal(s.order, 2);
	assert_int_equal(s.order_read, 0);
	assert_int_equal(s.order_fetched, 2);
	assert_int_equal(s.lost, 2);
	slu_ahead_order_drop(w.a);
	slu_ahead_get(w.a, &s);
	assert_int_equal(s.order, 0);
	world_done(&w);
}

static void test_given_order_waits_for_room(void **state)
{
	uint32_t *p = shuffled(FILES), twice;
	struct world w;

	(void)state;
	world_make(&w, false);
	w.room = 20;
	assert_int_equal(slu_ahead_order_begin(w.a), 0);
	assert_int_equal(slu_ahead_order_add(w.a, p, 2000, &twice), 0);
	assert_int_equal(w.fetched, 20);
	for (uint32_t i = 0; i < 2000; i++)
		visit(&w, p[i]);
	assert_int_equal(w.misses, 0);
	world_done(&w);
	free(p);
}

/* With the thread: what it fetches is only looked at here once it has stopped. */
/* Another process goes on: with what was handed over from where it was read, and with what was learned. */
static void test_what_one_process_leaves_to_the_next(void **state)
{
	uint32_t *order = shuffled(2000), *learned = calloc(FILES, sizeof *learned), twice, version;
	struct slu_ahead_legacy l = {.order = order, .n = 2000, .learned = learned};
	struct slu_ahead_state s;
	struct world one, two;

	(void)state;
	world_make(&one, false);
	for (int epoch = 0; epoch < 2; epoch++)
		for (uint32_t i = 0; i < 1000; i++)
			visit(&one, 19999 - order[i]);
	assert_int_equal(slu_ahead_order_add(one.a, order, 2000, &twice), 0);
	for (uint32_t i = 0; i < 700; i++)
		visit(&one, order[i]);
	slu_ahead_get(one.a, &s);
	l.front = s.order_front;
	l.read = s.order_read;
	assert_int_equal(l.front, 700);
	assert_true(s.learnings > 0);
	l.nlearned = slu_ahead_learned(one.a, learned, FILES, &version);
	assert_int_equal(version, s.learnings);
	assert_true(l.nlearned >= 1000);
	assert_int_equal(slu_ahead_learned(one.a, learned, l.nlearned - 1, &version), 0);
	world_done(&one);

	world_make(&two, false);
	order[1999] = FILES; /* no file here */
	assert_int_equal(slu_ahead_inherit(two.a, &l), 0);
	slu_ahead_get(two.a, &s);
	assert_int_equal(s.order, 1999);
	assert_int_equal(s.order_read, 700);
	assert_int_equal(s.learned, l.nlearned);
	assert_true(two.fetched >= SLU_AHEAD_FILES / 2);
	for (uint32_t i = 700; i < 1999; i++)
		visit(&two, order[i]);
	assert_int_equal(two.misses, 0);
	assert_int_equal(two.fetched, 1299);
	count_anew(&two);
	for (uint32_t i = 0; i < 1000; i++)
		visit(&two, 19999 - order[i]);
	assert_true(two.misses < 100);
	world_done(&two);
	free(order);
	free(learned);
}

static void test_thread(void **state)
{
	uint32_t *p = shuffled(FILES), twice;
	struct world w;

	(void)state;
	world_make(&w, true);
	assert_int_equal(slu_ahead_order_begin(w.a), 0);
	assert_int_equal(slu_ahead_order_add(w.a, p, 5000, &twice), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		sem_wait(&w.got);
		slu_ahead_read(w.a, p[i], w.size, 0, w.size, false);
	}
	slu_ahead_stop(w.a);
	assert_int_equal(w.fetched, 5000);
	world_done(&w);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listing_order),
		cmocka_unit_test(test_the_window_grows_where_readers_wait),
		cmocka_unit_test(test_a_folder_from_its_first_file),
		cmocka_unit_test(test_what_needs_no_fetching_is_not_credited),
		cmocka_unit_test(test_a_short_walk_wastes_little),
		cmocka_unit_test(test_large_files_of_a_small_folder_at_random),
		cmocka_unit_test(test_every_second_file),
		cmocka_unit_test(test_random_reads_cost_nothing),
		cmocka_unit_test(test_many_walkers),
		cmocka_unit_test(test_disorder),
		cmocka_unit_test(test_an_order_that_repeats_is_learnt),
		cmocka_unit_test(test_wrong_guesses_stop_at_once),
		cmocka_unit_test(test_no_room_is_no_miss),
		cmocka_unit_test(test_long_files_at_their_end),
		cmocka_unit_test(test_given_order),
		cmocka_unit_test(test_given_order_with_holes),
		cmocka_unit_test(test_given_order_for_many),
		cmocka_unit_test(test_a_new_order_replaces_the_old),
		cmocka_unit_test(test_given_order_waits_for_room),
		cmocka_unit_test(test_what_one_process_leaves_to_the_next),
		cmocka_unit_test(test_thread),
	};

	return cmocka_run_group_tests_name("ahead", tests, NULL, NULL);
}
