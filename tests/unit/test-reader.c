/* SPDX-License-Identifier: Apache-2.0 */
/* What the reader fetches for which pattern, counted, and how it shares the memory. */
#include "tests/unit/reader.h"

#include <sched.h>

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

	open_with(v, 64 * MIB, 64 * MIB, (struct slu_readers_conf){.window_max = 8 * MIB});
	for (uint64_t off = 0; off < 16 * MIB; off += 512 * KIB)
		assert_int_equal(read_at(v->r, off, 512 * KIB), 512 * KIB);
	close_reader(v);
	assert_true(v->d.bytes > 17 * MIB);
	/* The window, and the rest of a block. */
	assert_true(v->d.bytes <= 25 * MIB);
}

/* A store may want more on its way than the pace asks for, within the limit that was set: which there always is
 * here, since the pace of a thread that had to wait for a processor asks for more. */
static void a_store_says_how_much_is_ahead_at_least(void **state)
{
	const uint64_t wanted[] = {0, 16 * MIB, 16 * MIB}, most[] = {4 * MIB, 16 * MIB, 8 * MIB};
	const uint64_t ahead[] = {4 * MIB, 16 * MIB, 8 * MIB};
	struct env *v = *state;

	v->d.at_once = true;
	for (size_t i = 0, tries = 0; i < sizeof wanted / sizeof wanted[0];) {
		v->d.s.ahead = wanted[i];
		v->d.bytes = 0;
		open_with(v, 256 * MIB, 64 * MIB, (struct slu_readers_conf){.window_max = most[i]});
		for (uint64_t off = 0; off < 4 * MIB; off += MIB)
			assert_int_equal(read_at(v->r, off, MIB), MIB);
		close_reader(v);
		assert_true(v->d.bytes >= 4 * MIB + ahead[i]);
		/* A store that a busy machine made slow looks far away to the pace, which wants more then. */
		if (v->d.bytes == 4 * MIB + ahead[i])
			i++;
		else if (++tries == 200)
			fail_msg("%zu: always more, now %llu", i, (unsigned long long)v->d.bytes);
	}
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

/* Without a limit to speak of: what is kept of a unit may answer the next read, and no more is fetched. */
static void random_reads_of_a_small_file_fetch_it_once(void **state)
{
	struct env *v = *state;
	unsigned seed = 5;

	open_reader(v, 2 * MIB);
	for (int i = 0; i < 400; i++)
		assert_int_equal(read_at(v->r, (uint64_t)rand_r(&seed) % 512 * 4096, 4096), 4096);
	assert_true(slu_readers_used(v->rs) <= 2 * MIB);
	close_reader(v);
	assert_true(v->d.bytes <= 4 * MIB);
}

/* The next places of a stride are on their way before they are asked for; not much more is. */
static void strides_are_fetched_ahead(void **state)
{
	struct env *v = *state;
	const struct {
		int64_t way;
		size_t len;
	} how[] = {{1000000, 4096}, {-1000000, 4096}, {3 * (int64_t)MIB, 200000}, {300000, 131072}};

	for (unsigned i = 0; i < sizeof how / sizeof how[0]; i++) {
		struct slu_reader_stats st;
		uint64_t at = how[i].way < 0 ? 200 * MIB : 0, n = 0;

		open_reader(v, 256 * MIB);
		for (; n < 60; n++, at += (uint64_t)how[i].way)
			assert_int_equal(read_at(v->r, at, how[i].len), how[i].len);
		slu_reader_get_stats(v->r, &st);
		close_reader(v);
		/* All but the first few were there or under way; a unit more at each end of a place. */
		assert_true(st.hits + st.joined >= (n - 6) * how[i].len);
		assert_true(v->d.bytes <= 2 * n * (how[i].len + 2 * 64 * KIB));
		assert_int_equal(v->d.twice, 0);
	}
}

static void backward_reads_are_fetched_ahead(void **state)
{
	struct env *v = *state;
	struct slu_reader_stats st;

	open_reader(v, 40 * MIB);
	for (uint64_t k = 1; k <= 40 * 16; k++)
		assert_int_equal(read_at(v->r, 40 * MIB - k * 64 * KIB, 64 * KIB), 64 * KIB);
	slu_reader_get_stats(v->r, &st);
	close_reader(v);
	assert_true(st.hits + st.joined > 39 * MIB);
	assert_true(v->d.bytes * 100 <= 40 * MIB * 105);
	assert_true(v->d.ops < 80);
	assert_int_equal(v->d.twice, 0);
}

/* Parquet, ZIP: the last bytes, the footer before them, then something at the start. */
static void a_footer_costs_one_request(void **state)
{
	struct env *v = *state;

	open_reader(v, 100 * MIB + 77);
	assert_int_equal(read_at(v->r, 100 * MIB + 69, 8), 8);
	assert_int_equal(read_at(v->r, 100 * MIB + 77 - 30000, 29992), 29992);
	assert_int_equal(v->d.ops, 1);
	assert_int_equal(v->d.bytes, 64 * KIB);
	assert_int_equal(read_at(v->r, 4, 50000), 50000);
	close_reader(v);
	assert_int_equal(v->d.ops, 2);
	assert_int_equal(v->d.bytes, 128 * KIB);
}

/* As mmap asks, and as programs peek at headers: one read here and there, and nothing more. */
static void single_reads_fetch_their_units(void **state)
{
	struct env *v = *state;

	open_reader(v, 256 * MIB);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(read_at(v->r, (i * 37 % 50) * 5 * MIB + i * 4096, 4096), 4096);
	close_reader(v);
	assert_true(v->d.bytes <= 50 * 64 * KIB);
}

/* What is prefetched is there, counts as such, and goes first when others need the memory. */
static void prefetch_is_used_and_goes_first(void **state)
{
	struct env *v = *state;
	struct slu_reader_stats st;

	open_with(v, 64 * MIB, 16 * MIB, (struct slu_readers_conf){0});
	assert_int_equal(slu_reader_prefetch(v->r, 64 * MIB, 1), 0);
	assert_int_equal(slu_reader_prefetch(v->r, 64 * MIB - 10, 1000), 10);
	assert_int_equal(slu_reader_prefetch(v->r, 0, 3 * MIB), 3 * MIB);
	assert_int_equal(slu_reader_prefetch(v->r, MIB, MIB), MIB);
	assert_int_equal(read_at(v->r, MIB, MIB), MIB);
	slu_reader_get_stats(v->r, &st);
	assert_int_equal(st.hits + st.joined, MIB);
	/* Half of the budget, not more, however much is ordered. */
	uint64_t got = slu_reader_prefetch(v->r, 3 * MIB, 40 * MIB);

	assert_true(got >= 4 * MIB && got <= 8 * MIB);
	do /* all of it is there, and may be given up for others */
		slu_reader_get_stats(v->r, &st);
	while (st.prefetched < 3 * MIB + got && sched_yield() == 0);
	/* Reads that are many and long at once have all of it. */
	struct wait w[15];

	v->d.hang = true;
	for (unsigned i = 0; i < 15; i++)
		read_start(&w[i], v->r, (20 + 2 * i) * MIB, MIB);
	assert_int_equal(v->d.nheld, 15);
	release(&v->d);
	for (unsigned i = 0; i < 15; i++)
		assert_int_equal(read_end(&w[i], (20 + 2 * i) * MIB), MIB);
	slu_reader_get_stats(v->r, &st);
	assert_true(st.waste > 0);
	assert_true(st.prefetched >= st.waste);
}

/* 64 files read at once: each gets its share, none waits for another, and all of it comes back. */
static void many_files_share_the_budget(void **state)
{
	struct env *v = *state;
	struct slu_reader *r[64];
	struct wait w[64];
	struct slu_budget_gauges g;

	v->d.slow = 50;
	open_with(v, MIB, 24 * MIB, (struct slu_readers_conf){0});
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(slu_reader_new(v->rs, &v->d.s, "f", "id", 2 * MIB, &r[i]), 0);
	for (uint64_t off = 0; off < 2 * MIB; off += 512 * KIB) {
		for (unsigned i = 0; i < 64; i++)
			read_start(&w[i], r[i], off, 512 * KIB);
		for (unsigned i = 0; i < 64; i++)
			assert_int_equal(read_end(&w[i], off), 512 * KIB);
	}
	do /* a read lets go of its memory after it was answered */
		slu_budget_read(v->d.budget, &g);
	while (g.by[SLU_BUDGET_DEMAND] != 0 || g.waiting);
	assert_true(g.peak <= 24 * MIB);
	for (unsigned i = 0; i < 64; i++)
		slu_reader_unref(r[i]);
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

/* What is only just on its way for nobody is urgent once somebody wants it, once. */
static void what_is_waited_for_is_hurried(void **state)
{
	struct env *v = *state;
	struct wait w[3];

	open_reader(v, 8 * MIB);
	v->d.hang = true;
	assert_int_equal(slu_reader_prefetch(v->r, 0, 2 * MIB), 2 * MIB);
	assert_int_equal(v->d.hurried, 0);
	for (unsigned i = 0; i < 3; i++)
		read_start(&w[i], v->r, i * 4096, 4096);
	assert_int_equal(v->d.hurried, 1);
	release(&v->d);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(read_end(&w[i], i * 4096), 4096);
	close_reader(v);
	assert_int_equal(v->d.ops, 2);
}

/* Programs that only look at the beginnings of long files: that much is fetched ahead does not last. */
static void beginnings_stop_being_believed(void **state)
{
	struct env *v = *state;
	struct slu_reader *r;
	uint64_t before = 0;

	v->d.at_once = true;
	open_reader(v, MIB);
	for (unsigned i = 0; i < 64; i++) {
		before = v->d.bytes;
		assert_int_equal(slu_reader_new(v->rs, &v->d.s, "f", "id", 100 * MIB, &r), 0);
		assert_int_equal(read_at(r, 0, MIB), MIB);
		slu_reader_unref(r);
		if (!i)
			assert_true(v->d.bytes - before > 4 * MIB);
	}
	assert_true(v->d.bytes - before <= 4 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(sequential_reads_fetch_each_byte_once),
		T(a_stream_is_read_ahead),
		T(a_store_says_how_much_is_ahead_at_least),
		T(random_reads_fetch_little),
		T(random_reads_of_a_small_file_fetch_it_once),
		T(strides_are_fetched_ahead),
		T(backward_reads_are_fetched_ahead),
		T(a_footer_costs_one_request),
		T(single_reads_fetch_their_units),
		T(prefetch_is_used_and_goes_first),
		T(what_is_waited_for_is_hurried),
		T(many_files_share_the_budget),
		T(streams_in_turns_are_all_streams),
		T(reads_out_of_order_are_a_stream),
		T(many_readers_share_one_fetch),
		T(the_budget_is_kept_and_reads_go_on),
		T(a_read_over_many_blocks_is_one_answer),
		T(beginnings_stop_being_believed),
	};

	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
