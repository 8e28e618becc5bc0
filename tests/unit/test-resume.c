/* SPDX-License-Identifier: Apache-2.0 */
/* Downloads that go on where another ended, that find what they want there, and that find something else. */
#include "tests/unit/download.h"

#include "common/log.h"
#include "fs/budget.h"

#define MIB (1024 * 1024)

static struct slu_download_totals totals;

static int again(struct env *v, struct slu_download_opts o)
{
	o.totals = &totals;
	return download(v, o);
}

static void again_ok(struct env *v, struct slu_download_opts o)
{
	o.totals = &totals;
	download_ok(v, o);
}

/* The store without the faults of before. */
static void heal(struct env *v)
{
	slu_store_free(v->s);
	slu_pool_free(v->pool);
	open_store(v);
	resolve(v);
}

/* A download that ends in the middle of `big`, the other files are there. */
static void broken_off(struct env *v)
{
	fill(v);
	fault(v, "read:#6:EACCES");
	assert_failed(again(v, (struct slu_download_opts){.jobs = 1}), v->e, EACCES,
		      "the same command goes on");
	assert_int_equal(totals.failed, 1);
	assert_int_equal(totals.files, 4);
	heal(v);
}

static void the_second_run_fetches_nothing(void **state)
{
	struct env *v = *state;

	fill(v);
	again_ok(v, (struct slu_download_opts){0});
	assert_int_equal(totals.files, 5);
	assert_int_equal(totals.there, 0);
	fault(v, "read:1:EIO");
	again_ok(v, (struct slu_download_opts){0});
	assert_int_equal(totals.files + totals.bytes + totals.resumed, 0);
	assert_int_equal(totals.there, 5);
	check_all(v);
}

static void what_is_gone_or_changed_is_fetched_again(void **state)
{
	struct env *v = *state;
	struct timespec t[2] = {{.tv_sec = 77}, {.tv_sec = 77}};

	fill(v);
	again_ok(v, (struct slu_download_opts){0});
	unlinkat(v->out, "d/one", 0);
	again_ok(v, (struct slu_download_opts){0});
	assert_int_equal(totals.files, 1);
	assert_int_equal(totals.there, 4);
	check_all(v);
	views_file(v->out, "d/e/more", 7);
	assert_failed(again(v, (struct slu_download_opts){0}), v->e, ENOTEMPTY, "'d/e/more'");
	again_ok(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE});
	assert_int_equal(totals.files, 1);
	assert_int_equal(utimensat(v->out, "big", t, 0), 0);
	again_ok(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE});
	assert_int_equal(totals.files, 1);
	check_all(v);
}

/* In the store: the same name, length and time, other bytes; the identity tells. */
static void a_new_version_is_fetched(void **state)
{
	struct env *v = *state;

	fill(v);
	again_ok(v, (struct slu_download_opts){0});
	views_file(v->src, "d/one", 2);
	resolve(v);
	assert_failed(again(v, (struct slu_download_opts){0}), v->e, ENOTEMPTY, "'d/one'");
	again_ok(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE});
	assert_int_equal(totals.files, 1);
	check_file(v, "d/one", 2);
	again_ok(v, (struct slu_download_opts){0});
	assert_int_equal(totals.there, 5);
}

/* Of the right length and time, other bytes: only reading tells. */
static void reading_again_tells_what_times_do_not(void **state)
{
	struct env *v = *state;
	struct timespec t[2];
	struct stat st;
	int fd;

	fill(v);
	again_ok(v, (struct slu_download_opts){0});
	fd = openat(v->out, "d/e/more", O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, "?", 1, 12345), 1);
	t[0] = t[1] = st.st_mtim;
	assert_int_equal(futimens(fd, t), 0);
	close(fd);
	again_ok(v, (struct slu_download_opts){0});
	assert_int_equal(totals.there, 5);
	slu_log_level(SLU_LOG_ERROR);
	assert_failed(again(v, (struct slu_download_opts){.rehash = true}), v->e, ENOTEMPTY,
		      "'d/e/more'");
	again_ok(v, (struct slu_download_opts){.rehash = true, .policy = SLU_POLICY_MERGE});
	slu_log_level(SLU_LOG_WARNING);
	assert_int_equal(totals.files, 1);
	assert_int_equal(totals.there, 4);
	check_all(v);
	again_ok(v, (struct slu_download_opts){.rehash = true});
	assert_int_equal(totals.there, 5);
}

static void a_damaged_record_is_no_record(void **state)
{
	struct env *v = *state;
	char c;
	int fd;

	fill(v);
	again_ok(v, (struct slu_download_opts){0});
	fd = openat(v->out, ".sluice-complete", O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, &c, 1, 40), 1);
	c ^= 1;
	assert_int_equal(pwrite(fd, &c, 1, 40), 1);
	close(fd);
	slu_log_level(SLU_LOG_ERROR);
	assert_int_equal(again(v, (struct slu_download_opts){0}), -ENOTEMPTY);
	again_ok(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE});
	slu_log_level(SLU_LOG_WARNING);
	assert_int_equal(totals.files, 5);
	check_all(v);
	again_ok(v, (struct slu_download_opts){0});
	assert_int_equal(totals.there, 5);
}

static void only_what_is_missing_is_fetched(void **state)
{
	struct env *v = *state;

	broken_off(v);
	again_ok(v, (struct slu_download_opts){.jobs = 3});
	assert_int_equal(totals.there, 4);
	assert_int_equal(totals.files, 1);
	assert_int_equal(totals.resumed, 5 * MIB);
	assert_int_equal(totals.bytes, 4 * MIB + 77);
	check_all(v);
}

/* Where the folder of parts is. */
static int open_parts(struct env *v)
{
	int fd = openat(v->out, ".sluice-part-1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int open_part_file(struct env *v)
{
	DIR *d = fdopendir(open_parts(v));
	const struct dirent *de;
	int fd = -1;

	while ((de = readdir(d)))
		if (strlen(de->d_name) == 32)
			fd = openat(dirfd(d), de->d_name, O_RDWR | O_CLOEXEC);
	closedir(d);
	assert_true(fd >= 0);
	return fd;
}

/* A byte of the part file is not what the journal says: that chunk, and no other, comes anew. */
static void a_damaged_part_is_fetched_again(void **state)
{
	struct env *v = *state;
	char c = 1;
	int fd;

	broken_off(v);
	fd = open_part_file(v);
	assert_int_equal(pwrite(fd, &c, 1, 2 * MIB + 9), 1);
	close(fd);
	again_ok(v, (struct slu_download_opts){0});
	assert_int_equal(totals.resumed, 4 * MIB);
	assert_int_equal(totals.bytes, 5 * MIB + 77);
	check_all(v);
}

static void a_part_that_is_gone_or_short_is_fetched_again(void **state)
{
	struct env *v = *state;
	int fd, dir;

	broken_off(v);
	fd = open_part_file(v);
	assert_int_equal(ftruncate(fd, 3 * MIB), 0);
	close(fd);
	again_ok(v, (struct slu_download_opts){0});
	assert_int_equal(totals.resumed, 3 * MIB);
	check_all(v);

	forget(v);
	unlinkat(v->out, "big", 0);
	fault(v, "read:#6:EACCES");
	assert_int_equal(
		again(v, (struct slu_download_opts){.jobs = 1, .policy = SLU_POLICY_MERGE}),
		-EACCES);
	heal(v);
	dir = open_parts(v);
	assert_int_equal(unlinkat(dir, "journal", 0), 0);
	close(dir);
	again_ok(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE});
	assert_int_equal(totals.resumed, 0);
	assert_int_equal(totals.files, 5);
	check_all(v);
}

/* What was fetched in large chunks is gone on with in small ones, and one wrong byte costs one of those. */
static void chunks_may_have_another_size(void **state)
{
	struct env *v = *state;
	struct slu_budget *b = slu_budget_process();

	fill(v);
	v->s->caps &= ~(unsigned)SLU_CAP_INLINE_READ;
	v->s->block = 4 * MIB;
	fault(v, "read:#3:EACCES");
	assert_int_equal(again(v, (struct slu_download_opts){.jobs = 1}), -EACCES);
	/* of the two before, one may still have been under way: that is given up then */
	uint64_t had = totals.bytes - (MIB + 1 + MIB + 1);

	assert_true(had == 4 * MIB || had == 8 * MIB);
	heal(v);
	slu_budget_set_limit(b, 8 * MIB);
	again_ok(v, (struct slu_download_opts){.jobs = 4});
	slu_budget_set_limit(b, 0);
	assert_int_equal(totals.resumed, had);
	assert_int_equal(totals.bytes, 9 * MIB + 77 - had);
	check_all(v);
}

/* Cut at every length, the journal gives what is whole of it, and the files come out right. */
static void a_torn_journal_is_no_harm(void **state)
{
	struct env *v = *state;

	for (long cut = 9 * 40; cut >= 0; cut -= 29) {
		int dir, fd;

		broken_off(v);
		dir = open_parts(v);
		fd = openat(dir, "journal", O_RDWR | O_CLOEXEC);
		assert_int_equal(ftruncate(fd, cut), 0);
		close(fd);
		close(dir);
		again_ok(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE});
		assert_true(totals.resumed <= 5 * MIB);
		check_all(v);
		forget(v);
		slu_path_rmtree(v->dir.fd, "out");
		assert_int_equal(mkdirat(v->dir.fd, "out", 0755), 0);
		close(v->out);
		v->out = openat(v->dir.fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
}

/* What was begun of one version is not gone on with for another. */
static void another_identity_begins_anew(void **state)
{
	struct env *v = *state;

	broken_off(v);
	views_file(v->src, "big", 9 * MIB + 77);
	resolve(v);
	again_ok(v, (struct slu_download_opts){0});
	assert_int_equal(totals.there, 4);
	assert_int_equal(totals.resumed, 0);
	assert_int_equal(totals.bytes, 9 * MIB + 77);
	check_all(v);
}

static void something_foreign_is_refused_before_anything_moves(void **state)
{
	struct env *v = *state;
	const char *const names[] = {"other", "d/other", "d/e/f/other"};

	broken_off(v);
	for (size_t i = 0; i < 3; i++) {
		struct stat st;

		views_file(v->out, names[i], 3);
		assert_failed(again(v, (struct slu_download_opts){0}), v->e, ENOTEMPTY, "holds");
		assert_int_equal(totals.bytes, 0);
		assert_int_equal(fstatat(v->out, "big", &st, 0), -1);
		unlinkat(v->out, names[i], 0);
	}
	unlinkat(v->out, "d/e/f", AT_REMOVEDIR);
	assert_int_equal(symlinkat("/nowhere", v->out, "d/link"), 0);
	assert_failed(again(v, (struct slu_download_opts){0}), v->e, ENOTEMPTY, "'d/link'");
	unlinkat(v->out, "d/link", 0);
	again_ok(v, (struct slu_download_opts){0});
	assert_int_equal(totals.resumed, 5 * MIB);
	check_all(v);
}

static void one_that_is_done_once_leaves_nothing(void **state)
{
	struct env *v = *state;
	struct stat st;

	fill(v);
	fault(v, "read:#6:EACCES");
	assert_int_equal(again(v, (struct slu_download_opts){.jobs = 1, .once = true}), -EACCES);
	count_top(v);
	heal(v);
	again_ok(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE, .once = true});
	assert_int_equal(fstatat(v->out, ".sluice-complete", &st, 0), -1);
	check_all(v);
	again_ok(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE, .no_record = true});
	assert_int_equal(totals.files, 5);
	assert_int_equal(fstatat(v->out, ".sluice-complete", &st, 0), -1);
	check_all(v);
}

/* --- policies --- */

static void a_conflict_is_refused_and_others_stay(void **state)
{
	struct env *v = *state;
	const struct slu_download_opts o = {.policy = SLU_POLICY_CONFLICT};

	fill(v);
	views_file(v->out, "other", 3);
	views_file(v->out, "d/one", 3);
	assert_failed(again(v, o), v->e, EEXIST, "'d/one'");
	assert_int_equal(totals.bytes, 0);
	unlinkat(v->out, "d/one", 0);
	again_ok(v, o);
	assert_int_equal(totals.files, 5);
	assert_int_equal(count_top(v), 4);
	again_ok(v, o);
	assert_int_equal(totals.there, 5);
}

static void what_is_there_is_kept(void **state)
{
	struct env *v = *state;
	const struct slu_download_opts o = {.policy = SLU_POLICY_APPEND};
	struct stat st;

	fill(v);
	views_file(v->out, "big", 3);
	again_ok(v, o);
	assert_int_equal(totals.files, 4);
	assert_int_equal(totals.kept, 1);
	assert_int_equal(fstatat(v->out, "big", &st, 0), 0);
	assert_int_equal(st.st_size, 3);
	check_file(v, "d/e/more", MIB + 1);
	again_ok(v, o);
	assert_int_equal(totals.kept, 5);
}

static void all_else_is_removed(void **state)
{
	struct env *v = *state;
	const struct slu_download_opts o = {.policy = SLU_POLICY_REPLACE};
	struct stat st;

	fill(v);
	again_ok(v, o);
	views_file(v->out, "other/deep/er", 3);
	views_file(v->out, "d/other", 3);
	unlinkat(v->out, "empty", 0);
	views_file(v->out, "empty/folder", 3);
	assert_int_equal(mkdirat(v->dir.fd, "victim", 0755), 0);
	views_file(v->dir.fd, "victim/file", 5);
	assert_int_equal(symlinkat("../victim", v->out, "link"), 0);
	again_ok(v, o);
	assert_int_equal(totals.files, 1);
	assert_int_equal(totals.there, 4);
	check_all(v);
	assert_int_equal(fstatat(v->out, "d/other", &st, 0), -1);
	assert_int_equal(fstatat(v->dir.fd, "victim/file", &st, 0), 0);
	slu_path_rmtree(v->out, "d");
	assert_int_equal(symlinkat("../victim", v->out, "d"), 0);
	again_ok(v, o);
	check_all(v);
	assert_int_equal(fstatat(v->dir.fd, "victim/file", &st, 0), 0);
}

static void a_home_is_not_emptied(void **state)
{
	struct env *v = *state;

	fill(v);
	views_file(v->out, "mine", 3);
	setenv("HOME", v->target, 1);
	assert_failed(again(v, (struct slu_download_opts){.policy = SLU_POLICY_REPLACE}), v->e,
		      EINVAL, "not emptied");
	assert_int_equal(count_top(v), 1);
}

/* --- failures of files --- */

static int seen;

static void on_failed(void *user, const char *path, const struct slu_err *why)
{
	assert_ptr_equal(user, &seen);
	assert_true(why->code > 0 && why->msg[0]);
	assert_non_null(strstr(why->msg, path));
	seen++;
}

static void failures_are_told_together(void **state)
{
	struct env *v = *state;

	fill(v);
	unlinkat(v->src, "d/one", 0);
	unlinkat(v->src, "d/e/more", 0);
	seen = 0;
	assert_failed(again(v, (struct slu_download_opts){.failed = on_failed, .user = &seen}),
		      v->e, ESTALE, "2 of 5 files failed");
	assert_int_equal(seen, 2);
	assert_int_equal(totals.failed, 2);
	assert_int_equal(totals.files, 3);
	check_file(v, "d/e/exact", MIB);
}

static void vanished_files_may_be_left_out(void **state)
{
	struct env *v = *state;
	const struct slu_download_opts o = {.ignore_not_found = true};

	fill(v);
	unlinkat(v->src, "d/one", 0);
	slu_log_level(SLU_LOG_ERROR);
	again_ok(v, o);
	assert_int_equal(totals.missing, 1);
	assert_int_equal(totals.files, 4);
	again_ok(v, o);
	slu_log_level(SLU_LOG_WARNING);
	assert_int_equal(totals.missing, 1);
	assert_int_equal(totals.there, 4);
}

/* The Nth system call fails, for every N: an error, or all is right; the same call again goes on. */
static void failing_calls_leave_what_can_be_gone_on_with(void **state)
{
	struct env *v = *state;

	views_file(v->src, "a/b", 100);
	views_file(v->src, "c", 0);
	views_file(v->src, "d", 2 * MIB + 5);
	resolve(v);
	slu_log_level(SLU_LOG_ERROR);
	for (long n = 1; n < 300; n++) {
		slu_fault_arm(SLU_FAULT_IO, n, false);
		int r = again(v, (struct slu_download_opts){.jobs = 2});
		bool clean = slu_fault_count(SLU_FAULT_IO) < n;

		slu_fault_arm(SLU_FAULT_IO, 0, false);
		if (r)
			assert_string_not_equal(v->e.msg, "");
		again_ok(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE});
		check_file(v, "a/b", 100);
		check_file(v, "c", 0);
		check_file(v, "d", 2 * MIB + 5);
		assert_int_equal(count_top(v), 3);
		slu_path_rmtree(v->dir.fd, "out");
		assert_int_equal(mkdirat(v->dir.fd, "out", 0755), 0);
		close(v->out);
		v->out = openat(v->dir.fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (clean) {
			slu_log_level(SLU_LOG_WARNING);
			return;
		}
	}
	fail_msg("calls without end");
}

/* When nothing comes at all, it is not tried a million times. */
static void it_ends_when_all_fail(void **state)
{
	struct env *v = *state;

	for (int i = 0; i < 2000; i++) {
		char name[64];

		snprintf(name, sizeof name, "f%04d", i);
		views_file(v->src, name, 10);
	}
	resolve(v);
	fault(v, "read:1:EACCES");
	assert_failed(again(v, (struct slu_download_opts){.jobs = 4}), v->e, EACCES, "failed");
	assert_in_range(totals.failed, 64, 70);
}

/* --- zeros --- */

static void zeros_are_left_out(void **state)
{
	struct env *v = *state;
	int fd = openat(v->src, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	const off_t size = 40 * MIB + 5;
	char *a = malloc(MIB), *b = malloc(MIB);
	struct stat st;

	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(pwrite(fd, "x", 1, 20 * MIB + 3), 1);
	resolve(v);
	again_ok(v, (struct slu_download_opts){0});
	int out = openat(v->out, "sparse", O_RDONLY | O_CLOEXEC);

	assert_int_equal(fstat(out, &st), 0);
	assert_int_equal(st.st_size, size);
	assert_true(st.st_blocks * 512 < 4 * MIB);
	for (off_t at = 0; at < size; at += MIB) {
		ssize_t n = pread(fd, a, MIB, at);

		assert_int_equal(pread(out, b, MIB, at), n);
		assert_memory_equal(a, b, (size_t)n);
	}
	free(a);
	free(b);
	close(fd);
	close(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(the_second_run_fetches_nothing),
		T(what_is_gone_or_changed_is_fetched_again),
		T(a_new_version_is_fetched),
		T(reading_again_tells_what_times_do_not),
		T(a_damaged_record_is_no_record),
		T(only_what_is_missing_is_fetched),
		T(a_damaged_part_is_fetched_again),
		T(a_part_that_is_gone_or_short_is_fetched_again),
		T(chunks_may_have_another_size),
		T(a_torn_journal_is_no_harm),
		T(another_identity_begins_anew),
		T(something_foreign_is_refused_before_anything_moves),
		T(one_that_is_done_once_leaves_nothing),
		T(a_conflict_is_refused_and_others_stay),
		T(what_is_there_is_kept),
		T(all_else_is_removed),
		T(a_home_is_not_emptied),
		T(failures_are_told_together),
		T(vanished_files_may_be_left_out),
		T(failing_calls_leave_what_can_be_gone_on_with),
		T(it_ends_when_all_fail),
		T(zeros_are_left_out),
	};

	return cmocka_run_group_tests_name("resume", tests, NULL, NULL);
}
