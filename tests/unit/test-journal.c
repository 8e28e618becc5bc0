/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "common/fault.h"
#include "fs/download_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static int setup(void **state)
{
	struct unit_dir *d = calloc(1, sizeof *d);

	unit_dir_make(d);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	unit_dir_done(*state);
	free(*state);
	return 0;
}

/* Entry i of the test's journals; keys are neither in order nor all different. */
static struct slu_dj_entry entry(unsigned i)
{
	struct slu_dj_entry d = {.n = i * 1000003ull, .crc = i * 2654435761u};

	d.kind = i % 3 ? SLU_DJ_CHUNK : SLU_DJ_WHOLE;
	d.unit = d.kind == SLU_DJ_CHUNK ? 1u << 20 : 0;
	memset(d.key, (int)(i * 7 % 11), sizeof d.key);
	return d;
}

static bool same(const struct slu_dj_entry *a, const struct slu_dj_entry *b)
{
	return a->n == b->n && a->unit == b->unit && a->crc == b->crc && a->kind == b->kind &&
	       !memcmp(a->key, b->key, sizeof a->key);
}

static void write_journal(int dirfd, unsigned n)
{
	struct slu_err e = {0};
	struct slu_dj *j;

	assert_int_equal(slu_dj_new(dirfd, &j, &e), 0);
	assert_int_equal(slu_dj_start(j, &e), 0);
	for (unsigned i = 0; i < n; i++) {
		struct slu_dj_entry d = entry(i);

		assert_int_equal(slu_dj_add(j, &d, 1, &e), 0);
	}
	assert_int_equal(slu_dj_count(j), n);
	assert_int_equal(slu_dj_flush(j, &e), 0);
	slu_dj_free(j);
}

/* The journal holds the entries before n, and no other. */
static void check_journal(int dirfd, size_t n)
{
	struct slu_dj_entry *p;
	struct slu_err e = {0};
	size_t got, many;

	if (slu_dj_read(dirfd, &p, &got, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(got, n);
	for (unsigned i = 0; i < n; i++) {
		struct slu_dj_entry d = entry(i);
		size_t at = slu_dj_find(p, got, d.key, &many);
		bool found = false;

		for (size_t k = at; k < at + many; k++)
			found |= same(&p[k], &d);
		assert_true(found);
	}
	free(p);
}

static void what_is_added_is_read(void **state)
{
	struct unit_dir *d = *state;
	unsigned counts[] = {0, 1, 63, 64, 65, 1000, 9000};

	check_journal(d->fd, 0);
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		write_journal(d->fd, counts[i]);
		check_journal(d->fd, counts[i]);
	}
}

static void a_key_has_all_its_entries_and_no_other(void **state)
{
	struct unit_dir *d = *state;
	struct slu_dj_entry *p;
	uint8_t absent[SLU_DJ_KEY];
	size_t n, many, sum = 0;

	write_journal(d->fd, 1000);
	assert_int_equal(slu_dj_read(d->fd, &p, &n, NULL), 0);
	for (unsigned i = 0; i < 11; i++) {
		struct slu_dj_entry one = entry(i);
		size_t at = slu_dj_find(p, n, one.key, &many);

		for (size_t k = at; k < at + many; k++) {
			assert_memory_equal(p[k].key, one.key, sizeof one.key);
			assert_true(k == at || p[k].kind > p[k - 1].kind ||
				    (p[k].kind == p[k - 1].kind && p[k].n > p[k - 1].n));
		}
		sum += many;
	}
	assert_int_equal(sum, 1000);
	memset(absent, 5, sizeof absent);
	absent[15] = 6;
	slu_dj_find(p, n, absent, &many);
	assert_int_equal(many, 0);
	free(p);
}

/* What is not started does not take the place of the one before. */
static void an_unstarted_journal_does_not_count(void **state)
{
	struct unit_dir *d = *state;
	struct slu_dj_entry one = entry(1);
	struct slu_dj *j;

	write_journal(d->fd, 3);
	assert_int_equal(slu_dj_new(d->fd, &j, NULL), 0);
	assert_int_equal(slu_dj_add(j, &one, 1 << 30, NULL), 0);
	check_journal(d->fd, 3);
	slu_dj_free(j);
	check_journal(d->fd, 3);
}

/* Small files are kept back until there are some, large ones are written at once. */
static void a_large_chunk_is_written_at_once(void **state)
{
	struct unit_dir *d = *state;
	struct slu_dj_entry zero = entry(0), one = entry(1);
	struct slu_dj *j;

	assert_int_equal(slu_dj_new(d->fd, &j, NULL), 0);
	assert_int_equal(slu_dj_start(j, NULL), 0);
	assert_int_equal(slu_dj_add(j, &zero, 10, NULL), 0);
	check_journal(d->fd, 0);
	assert_int_equal(slu_dj_add(j, &one, 1 << 20, NULL), 0);
	check_journal(d->fd, 2);
	slu_dj_free(j);
}

/* Cut at every byte: what was whole before it is there. */
static void a_torn_journal_keeps_what_is_whole(void **state)
{
	struct unit_dir *d = *state;

	write_journal(d->fd, 7);
	for (long n = 8 * SLU_DJ_RECORD; n >= 0; n--) {
		int fd = openat(d->fd, SLU_DJ_NAME, O_RDWR | O_CLOEXEC);

		assert_int_equal(ftruncate(fd, n), 0);
		close(fd);
		check_journal(d->fd, n < SLU_DJ_RECORD ? 0 : (size_t)n / SLU_DJ_RECORD - 1);
	}
}

/* Every bit of every byte flipped: what is before it is there, it and what is behind are not. */
static void a_flipped_journal_ends_there(void **state)
{
	struct unit_dir *d = *state;
	int fd;

	write_journal(d->fd, 5);
	fd = openat(d->fd, SLU_DJ_NAME, O_RDWR | O_CLOEXEC);
	for (long at = 0; at < 6 * SLU_DJ_RECORD; at++)
		for (int bit = 0; bit < 8; bit++) {
			unsigned char c, bad;

			assert_int_equal(pread(fd, &c, 1, at), 1);
			bad = (unsigned char)(c ^ 1u << bit);
			assert_int_equal(pwrite(fd, &bad, 1, at), 1);
			check_journal(d->fd,
				      at < SLU_DJ_RECORD ? 0 : (size_t)at / SLU_DJ_RECORD - 1);
			assert_int_equal(pwrite(fd, &c, 1, at), 1);
		}
	close(fd);
	check_journal(d->fd, 5);
}

static void something_else_is_no_journal(void **state)
{
	struct unit_dir *d = *state;
	struct slu_dj_entry *p;
	size_t n;

	assert_int_equal(mkdirat(d->fd, SLU_DJ_NAME, 0700), 0);
	assert_int_equal(slu_dj_read(d->fd, &p, &n, NULL), 0);
	assert_int_equal(n, 0);
	unlinkat(d->fd, SLU_DJ_NAME, AT_REMOVEDIR);
	assert_int_equal(symlinkat("elsewhere", d->fd, SLU_DJ_NAME), 0);
	assert_int_equal(slu_dj_read(d->fd, &p, &n, NULL), -ELOOP);
	unlinkat(d->fd, SLU_DJ_NAME, 0);
	assert_int_equal(mkfifoat(d->fd, SLU_DJ_NAME, 0600), 0);
	assert_int_equal(slu_dj_read(d->fd, &p, &n, NULL), 0);
	assert_int_equal(n, 0);
}

/* The Nth system call fails: an error, and what is read later is a beginning of what was added. */
static void failing_writes_leave_a_beginning(void **state)
{
	struct unit_dir *d = *state;

	for (long n = 1; n < 40; n++) {
		struct slu_err e = {0};
		struct slu_dj_entry *p;
		struct slu_dj *j = NULL;
		size_t got;
		int r;

		unlinkat(d->fd, SLU_DJ_NAME, 0);
		slu_fault_arm(SLU_FAULT_IO, n, false);
		r = slu_dj_new(d->fd, &j, &e);
		if (r == 0)
			r = slu_dj_start(j, &e);
		for (unsigned i = 0; i < 300 && r == 0; i++) {
			struct slu_dj_entry one = entry(i);

			r = slu_dj_add(j, &one, 1, &e);
			if (r) /* and the next try is at the same place */
				r = slu_dj_add(j, &one, 1, &e);
		}
		if (r == 0)
			r = slu_dj_flush(j, &e);
		bool clean = slu_fault_count(SLU_FAULT_IO) < n;

		slu_fault_arm(SLU_FAULT_IO, 0, false);
		if (r)
			assert_string_not_equal(e.msg, "");
		assert_int_equal(slu_dj_read(d->fd, &p, &got, NULL), 0);
		free(p);
		if (r == 0)
			check_journal(d->fd, 300);
		slu_dj_free(j);
		if (clean)
			return;
	}
	fail_msg("calls without end");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(what_is_added_is_read),
		T(a_key_has_all_its_entries_and_no_other),
		T(an_unstarted_journal_does_not_count),
		T(a_large_chunk_is_written_at_once),
		T(a_torn_journal_keeps_what_is_whole),
		T(a_flipped_journal_ends_there),
		T(something_else_is_no_journal),
		T(failing_writes_leave_a_beginning),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
