/* SPDX-License-Identifier: Apache-2.0 */
/* Which reads belong together, and how far ahead of them it pays to fetch. */
#include "tests/unit/unit.h"

#include "common/time.h"
#include "fs/streams.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define SIZE (1ull << 40)

static enum slu_pattern note(struct slu_streams *st, uint64_t off, size_t len,
			     struct slu_stream **ret)
{
	int change;

	return slu_streams_note(st, off, len, SIZE, ret, &change);
}

static void streams_are_told_by_offset(void **state)
{
	struct slu_streams st = {0};
	struct slu_stream *s, *other;
	int change;

	(void)state;
	assert_int_equal(slu_streams_note(&st, 0, 100, SIZE, &s, &change), SLU_RANDOM);
	assert_int_equal(change, 0);
	assert_int_equal(slu_streams_note(&st, 100, 100, SIZE, &s, &change), SLU_FORWARD);
	assert_int_equal(change, 1);
	assert_int_equal(s->head, 200);
	assert_int_equal(s->run, 200);
	/* Another one far away, read in turns. */
	assert_int_equal(note(&st, 1 << 30, 100, &other), SLU_RANDOM);
	assert_int_equal(note(&st, 200, 100, &other), SLU_FORWARD);
	assert_ptr_equal(other, s);
	assert_int_equal(slu_streams_note(&st, (1 << 30) + 100, 100, SIZE, &other, &change),
			 SLU_FORWARD);
	assert_int_equal(change, 1);
	assert_int_equal(slu_streams_steady(&st), 2);
	/* Out of order: a little ahead, a little late. */
	assert_int_equal(note(&st, 400, 100, &other), SLU_FORWARD);
	assert_ptr_equal(other, s);
	assert_int_equal(s->head, 500);
	assert_int_equal(note(&st, 300, 100, &other), SLU_FORWARD);
	assert_int_equal(s->head, 500);
	/* Far from everything. */
	assert_int_equal(note(&st, 5000000, 100, &other), SLU_RANDOM);
}

static void random_reads_make_no_stream(void **state)
{
	struct slu_streams st = {0};
	struct slu_stream *s;
	unsigned seed = 1;
	int change, steady = 0, hits = 0;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		hits += slu_streams_note(&st, (uint64_t)rand_r(&seed) * 4096, 4096, SIZE, &s,
					 &change) != SLU_RANDOM;
		steady += change;
	}
	assert_true(hits < 10);
	assert_int_equal(steady, (int)slu_streams_steady(&st));
}

/* The end of an archive is found backwards: its last bytes, then the directory before them. */
static void a_footer_is_no_stream(void **state)
{
	struct slu_streams st = {0};
	struct slu_stream *s;

	(void)state;
	assert_int_equal(note(&st, 1000000 - 8, 8, &s), SLU_RANDOM);
	assert_int_equal(note(&st, 1000000 - 5008, 5000, &s), SLU_RANDOM);
	assert_int_equal(note(&st, 4, 60000, &s), SLU_RANDOM);
	assert_int_equal(slu_streams_steady(&st), 0);
}

static void backward_reads_are_a_stream(void **state)
{
	struct slu_streams st = {0};
	struct slu_stream *s;

	(void)state;
	assert_int_equal(note(&st, 10 * MIB, 64 * KIB, &s), SLU_RANDOM);
	assert_int_equal(note(&st, 10 * MIB - 64 * KIB, 64 * KIB, &s), SLU_RANDOM);
	for (uint64_t k = 2; k < 20; k++) {
		assert_int_equal(note(&st, 10 * MIB - k * 64 * KIB, 64 * KIB, &s), SLU_BACKWARD);
		assert_int_equal(s->run, (k + 1) * 64 * KIB);
		assert_int_equal(s->start, 10 * MIB - k * 64 * KIB);
	}
}

static void equal_distances_are_strides(void **state)
{
	const int64_t way[] = {5000000, -5000000};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct slu_streams st = {0};
		struct slu_stream *s;
		uint64_t at = 1ull << 30;

		for (unsigned k = 0; k < 50; k++, at += (uint64_t)way[i]) {
			enum slu_pattern kind = note(&st, at, 4096, &s);

			assert_int_equal(kind, k < 3 ? SLU_RANDOM : SLU_STRIDED);
			if (k >= 3)
				assert_int_equal(s->stride, way[i]);
			/* The segment may be several reads; none of them starts a stream. */
			if (k >= 3)
				assert_int_equal(s->segment, 4096);
		}
		/* One that breaks the pattern ends it. */
		assert_int_equal(note(&st, at + 12345, 4096, &s), SLU_RANDOM);
	}
}

static void segments_of_strides_may_be_several_reads(void **state)
{
	struct slu_streams st = {0};
	struct slu_stream *s;

	(void)state;
	for (uint64_t k = 0; k < 20; k++) {
		enum slu_pattern a = note(&st, k * 8 * MIB, 128 * KIB, &s);
		enum slu_pattern b = note(&st, k * 8 * MIB + 128 * KIB, 128 * KIB, &s);

		if (k >= 3) {
			assert_int_equal(a, SLU_STRIDED);
			assert_int_equal(b, SLU_STRIDED);
			assert_int_equal(s->segment, 256 * KIB);
		}
	}
	/* The last segment goes on: it is a stream after all. */
	assert_int_equal(note(&st, 19 * 8 * MIB + 256 * KIB, 128 * KIB, &s), SLU_FORWARD);
}

static void a_stream_ends_with_the_file(void **state)
{
	struct slu_streams st = {0};
	struct slu_stream *s;
	int change, steady = 0;

	(void)state;
	for (uint64_t off = 0; off < 1000; off += 100) {
		slu_streams_note(&st, off, 100, 1000, &s, &change);
		steady += change;
		assert_int_equal(steady, off && off < 900);
	}
	assert_int_equal(slu_streams_steady(&st), 0);
	assert_null(s);
}

static void a_window_follows_what_was_read(void **state)
{
	struct slu_stream s = {.head = 1000, .run = 500};

	(void)state;
	assert_int_equal(slu_stream_window(&s, 10000, false), 500);
	assert_int_equal(slu_stream_window(&s, 100, false), 100);
	s.strides = 4;
	s.segment = 64;
	assert_int_equal(slu_stream_window(&s, 10000, false), 256);
	/* Of a scan more. */
	s = (struct slu_stream){.head = MIB, .run = MIB - 1};
	assert_int_equal(slu_stream_window(&s, SIZE, false), MIB - 1);
	s.run = MIB;
	assert_int_equal(slu_stream_window(&s, SIZE, false), 3 * MIB);
	/* From the start of the file on: more, unless that was wrong too often. */
	assert_int_equal(slu_stream_window(&s, SIZE, true), 8 * MIB);
	assert_int_equal(slu_stream_window(&s, 4 * MIB, true), 4 * MIB);
	s.start = 4096;
	assert_int_equal(slu_stream_window(&s, SIZE, true), 3 * MIB);
	/* Half of one is what a single touch of a mapping brings about. */
	s = (struct slu_stream){.head = MIB / 2, .run = MIB / 2};
	assert_int_equal(slu_stream_window(&s, SIZE, true), MIB / 2);
}

/* A large read at the start needs no second one to be believed; elsewhere, or a small one, it does. */
static void a_large_first_read_begins_a_stream(void **state)
{
	struct slu_streams st = {0};
	struct slu_stream *s;
	int change;

	(void)state;
	assert_int_equal(slu_streams_note(&st, 0, MIB / 2, SIZE, &s, &change), SLU_FORWARD);
	assert_int_equal(change, 1);
	assert_int_equal(s->ahead, MIB / 2);
	assert_int_equal(slu_streams_note(&st, MIB / 2, MIB / 2, SIZE, &s, &change), SLU_FORWARD);
	assert_int_equal(change, 0);
	assert_int_equal(note(&st, SIZE / 2, MIB, &s), SLU_RANDOM);
	st = (struct slu_streams){0};
	assert_int_equal(note(&st, 0, MIB / 2 - 1, &s), SLU_RANDOM);
	/* The whole file: nothing is ahead of it. */
	st = (struct slu_streams){0};
	assert_int_equal(slu_streams_note(&st, 0, MIB, MIB, &s, &change), SLU_RANDOM);
	assert_int_equal(slu_streams_steady(&st), 0);
}

/* --- how far ahead: a link of our own, in whose time the program takes all that is there --- */

struct link {
	double bytes_s;   /* of all connections */
	double conn_s;    /* of one */
	int64_t latency;  /* of a request */
	double program_s; /* what the program takes; 0: anything */
};

#define BLOCK MIB

struct took {
	double all, half; /* seconds: of the file, of its second half */
	uint64_t most;    /* the largest window in that */
};

/* Reads n bytes in order, with as much in flight as the pace and, unless NULL, the stream say.  Blocks arrive
 * in order: each by its own connection, and all of them through the link. */
static struct took simulate_all(const struct link *l, uint64_t n, uint64_t cap,
				struct slu_stream *s, bool trust)
{
	struct took took = {0};
	struct slu_pace pace = {0};
	struct slu_pace_time time = {0};
	uint64_t asked = 0, arrived = 0, blocks = n / BLOCK;
	int64_t now = 1, half_at = 0, free_at = 0;
	int64_t *sent = calloc(blocks, sizeof *sent), *due = calloc(blocks, sizeof *due);

	assert_non_null(sent);
	assert_non_null(due);
	while (arrived < blocks) {
		uint64_t window = slu_pace_window(&pace, &time);

		if (window > cap)
			window = cap;
		if (s)
			window = slu_stream_window(s, window, trust);
		if (window < BLOCK)
			window = BLOCK;
		if (window > took.most && arrived > blocks / 2)
			took.most = window;
		while (asked < blocks && (asked - arrived) * BLOCK < window) {
			int64_t whole = (int64_t)((double)BLOCK / l->bytes_s * 1e9);
			int64_t own = now + l->latency + (int64_t)((double)BLOCK / l->conn_s * 1e9);

			free_at = (free_at > now + l->latency ? free_at : now + l->latency) + whole;
			sent[asked] = now;
			due[asked++] = own > free_at ? own : free_at;
		}
		if (due[arrived] > now)
			now = due[arrived];
		slu_pace_fetched(&time, due[arrived] - sent[arrived], now);
		if (l->program_s > 0)
			now += (int64_t)((double)BLOCK / l->program_s * 1e9);
		slu_pace_read(&pace, &time, BLOCK, now);
		if (s)
			s->run += BLOCK;
		if (++arrived == blocks / 2)
			half_at = now;
	}
	free(sent);
	free(due);
	took.all = (double)now / 1e9;
	took.half = (double)(now - half_at) / 1e9;
	return took;
}

/* Bytes a second of the last half. */
static double simulate(const struct link *l, uint64_t n, uint64_t cap, uint64_t *ret_most)
{
	struct took took = simulate_all(l, n, cap, NULL, false);

	*ret_most = took.most;
	return (double)(n / 2) / took.half;
}

/* Seconds of a whole file whose first read was half a mebibyte. */
static double whole(const struct link *l, uint64_t n, bool trust)
{
	struct slu_stream s = {.head = MIB / 2, .run = MIB / 2, .way = SLU_FORWARD, .steady = true};

	return simulate_all(l, n, 144 * MIB, &s, trust).all;
}

static void the_window_fills_the_link(void **state)
{
	const double gbit = 1e9 / 8;
	const double links[] = {1 * gbit, 10 * gbit, 25 * gbit};
	const int64_t latencies[] = {5 * SLU_MS, 20 * SLU_MS, 50 * SLU_MS};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned k = 0; k < 3; k++) {
			struct link l = {links[i], 60e6, latencies[k], 0};
			uint64_t most;
			double got = simulate(&l, 8192 * MIB, 1024 * MIB, &most);
			double block_s = (double)latencies[k] / 1e9 + (double)BLOCK / 60e6;

			if (got < 0.95 * links[i])
				fail_msg("%.0f of %.0f bytes/s at %lld ms", got, links[i],
					 (long long)(latencies[k] / SLU_MS));
			/* And not much more than is of use. */
			if ((double)most > 3 * links[i] * block_s + 8.0 * (double)MIB)
				fail_msg("%llu MiB, of use are %.0f",
					 (unsigned long long)(most / MIB),
					 links[i] * block_s / (double)MIB);
		}
	}
}

/* Limited by the processor: no latency worth hiding, so no memory for it. */
static void the_window_is_small_where_it_does_not_pay(void **state)
{
	struct link l = {1.5e9, 1.5e9, SLU_MS / 10, 0};
	uint64_t most;

	(void)state;
	assert_true(simulate(&l, 4096 * MIB, 1024 * MIB, &most) > 0.95 * 1.5e9);
	assert_true(most <= 12 * MIB);
}

static void a_slow_program_gets_a_small_window(void **state)
{
	struct link l = {3e9, 60e6, 20 * SLU_MS, 20e6};
	uint64_t most;

	(void)state;
	assert_true(simulate(&l, 1024 * MIB, 1024 * MIB, &most) > 0.95 * 20e6);
	assert_true(most <= 4 * MIB);
}

/* Where blocks take long, the window does not begin with what is enough for a near store. */
static void a_young_stream_grows_fast(void **state)
{
	struct slu_pace p = {0};
	struct slu_pace_time far = {0}, near = {0};
	int64_t now = SLU_SEC;

	(void)state;
	slu_pace_fetched(&far, 20 * SLU_MS, now);
	slu_pace_fetched(&near, SLU_MS, now);
	assert_int_equal(slu_pace_window(&p, &far), 32 * MIB);
	assert_int_equal(slu_pace_window(&p, &near), 4 * MIB);
	for (unsigned i = 0; i < 20; i++, now += 20 * SLU_MS)
		slu_pace_read(&p, &far, MIB, now);
	assert_int_equal(slu_pace_window(&p, &far), 4 * MIB);
}

/* What one stream of a store had, the next begins with; it is forgotten when it is not seen again. */
static void a_stream_begins_with_what_another_had(void **state)
{
	struct slu_pace first = {0}, next = {0};
	struct slu_pace_time t = {0};
	int64_t now = SLU_SEC;

	(void)state;
	slu_pace_fetched(&t, 5 * SLU_MS, now);
	assert_int_equal(slu_pace_window(&next, &t), 4 * MIB);
	for (unsigned i = 0; i < 20; i++, now += 5 * SLU_MS)
		slu_pace_read(&first, &t, 10 * MIB, now);
	uint64_t window = slu_pace_window(&next, &t);

	assert_true(window > 16 * MIB && window < 30 * MIB);
	for (unsigned i = 0; i < 2; i++) {
		now += 10 * SLU_SEC;
		slu_pace_fetched(&t, 5 * SLU_MS, now);
	}
	assert_int_equal(slu_pace_window(&next, &t), 4 * MIB);
	/* An old stream believes itself. */
	t.rate = 1ull << 40;
	for (unsigned i = 0; i < 2 * SLU_PACE_ROUNDS; i++, now += 5 * SLU_MS)
		slu_pace_read(&next, &t, MIB / 8, now);
	assert_int_equal(slu_pace_window(&next, &t), 4 * MIB);
}

/* A file of 192 MiB is read in little more than the line's time: the window must not be late. */
static void a_file_is_not_over_before_the_window_is_open(void **state)
{
	const double line = 1e9;
	const uint64_t n = 192 * MIB;
	const struct link l = {line, 60e6, 20 * SLU_MS, 0};
	double first = whole(&l, n, false), trusting = whole(&l, n, true);
	double best = (double)n / line + (double)l.latency / 1e9 + (double)BLOCK / l.conn_s;

	(void)state;
	if (trusting > 1.3 * best)
		fail_msg("%.3f s, the line needs %.3f", trusting, best);
	assert_true(trusting < first);
}

static void a_pause_is_forgotten(void **state)
{
	struct slu_pace p = {0};
	struct slu_pace_time t = {0};
	int64_t now = SLU_SEC;

	(void)state;
	slu_pace_fetched(&t, 20 * SLU_MS, now);
	for (unsigned i = 0; i < 100; i++, now += 10 * SLU_MS)
		slu_pace_read(&p, &t, 10 * MIB, now);
	uint64_t before = slu_pace_window(&p, &t);

	assert_true(before > 30 * MIB && before < 70 * MIB);
	slu_pace_read(&p, &t, MIB, now + 100 * SLU_SEC);
	assert_int_equal(slu_pace_window(&p, &t), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_told_by_offset),
		cmocka_unit_test(random_reads_make_no_stream),
		cmocka_unit_test(a_footer_is_no_stream),
		cmocka_unit_test(backward_reads_are_a_stream),
		cmocka_unit_test(equal_distances_are_strides),
		cmocka_unit_test(segments_of_strides_may_be_several_reads),
		cmocka_unit_test(a_stream_ends_with_the_file),
		cmocka_unit_test(a_window_follows_what_was_read),
		cmocka_unit_test(a_large_first_read_begins_a_stream),
		cmocka_unit_test(a_young_stream_grows_fast),
		cmocka_unit_test(the_window_fills_the_link),
		cmocka_unit_test(the_window_is_small_where_it_does_not_pay),
		cmocka_unit_test(a_slow_program_gets_a_small_window),
		cmocka_unit_test(a_stream_begins_with_what_another_had),
		cmocka_unit_test(a_file_is_not_over_before_the_window_is_open),
		cmocka_unit_test(a_pause_is_forgotten),
	};

	return cmocka_run_group_tests_name("streams", tests, NULL, NULL);
}
