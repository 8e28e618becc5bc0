/* SPDX-License-Identifier: Apache-2.0 */
/* Readers that fail, are canceled, closed, hinted at and used by many threads. */
#include "tests/unit/reader.h"

static void trim_frees_what_is_idle(void **state)
{
	struct env *v = *state;

	open_reader(v, 64 * MIB);
	for (uint64_t off = 0; off < 8 * MIB; off += 512 * KIB)
		read_at(v->r, off, 512 * KIB);
	for (int i = 0; i < 1000 && v->d.bytes < 15 * MIB; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	for (int i = 0; i < 60000 && slu_readers_used(v->rs) < 4 * MIB; i++)
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

/* The last reference goes while blocks are on their way: they are canceled, and drain ends.  As much is ahead
 * as the limit, whatever the pace: the first read goes beyond that, and needs nothing that hangs. */
static void a_closed_reader_leaves_nothing(void **state)
{
	struct env *v = *state;

	open_with(v, 64 * MIB, 64 * MIB, (struct slu_readers_conf){.window_max = 4 * MIB});
	for (uint64_t off = 0; off < 4 * MIB; off += 512 * KIB)
		read_at(v->r, off, 512 * KIB);
	v->d.hang = true;
	assert_int_equal(read_at(v->r, 4 * MIB, 512 * KIB), 512 * KIB);
	assert_true(v->d.nheld > 0);
	slu_reader_unref(v->r);
	v->r = NULL;
	assert_int_equal(slu_readers_drain(v->rs, slu_deadline_in(100 * SLU_SEC)), 0);
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

	return cmocka_run_group_tests_name("readerlife", tests, NULL, NULL);
}
