/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: what is copied, what is left out, limits, and that nothing leads outside. */
#include "tests/unit/job.h"

#include "job/ignore.h"
#include "job/snapshot.h"

static bool has(const struct unit_dir *d, const char *path)
{
	struct stat st;

	return fstatat(d->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int take(const struct unit_dir *d, const char *code, const char *to, const char *without,
		struct slu_snapshot *ret, struct slu_err *e)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", d->path, code);
	*e = (struct slu_err){0};
	return slu_snapshot_take(path, d->fd, to, without, ret, e);
}

static void test_copy(void **state)
{
	struct slu_snapshot a, b, c;
	struct unit_dir d;
	struct slu_err e;
	struct stat st;

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "src/a.py", "one");
	job_write(&d, "src/sub/deep/b.sh", "two!");
	assert_int_equal(fchmodat(d.fd, "src/sub/deep/b.sh", 0777, 0), 0);
	job_write(&d, "src/.git/config", "no");
	job_write(&d, "src/.sluice/root/x", "no");
	assert_int_equal(take(&d, "src", "c1", NULL, &a, &e), 0);
	assert_int_equal(a.files, 2);
	assert_int_equal(a.bytes, 7);
	assert_int_equal(a.skipped, 0);
	assert_true(has(&d, "c1/a.py") && has(&d, "c1/sub/deep/b.sh"));
	assert_false(has(&d, "c1/.git") || has(&d, "c1/.sluice"));
	assert_int_equal(fstatat(d.fd, "c1/sub/deep/b.sh", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0755);

	/* The same bytes give the same hash, another name or byte another one. */
	assert_int_equal(take(&d, "src", "c2", NULL, &b, &e), 0);
	assert_string_equal(a.hash, b.hash);
	job_write(&d, "src/a.py", "eno");
	assert_int_equal(take(&d, "src", "c3", NULL, &c, &e), 0);
	assert_string_not_equal(a.hash, c.hash);
	assert_failed(take(&d, "src", "c3", NULL, &c, &e), e, EEXIST, "c3");
	assert_failed(take(&d, "none", "c4", NULL, &c, &e), e, ENOENT, "none");
	unit_dir_done(&d);
}

static void test_one_file(void **state)
{
	struct slu_snapshot a;
	struct unit_dir d;
	struct slu_err e;

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "src/a.py", "one");
	job_write(&d, "src/b.py", "two");
	assert_int_equal(take(&d, "src/a.py", "c", NULL, &a, &e), 0);
	assert_int_equal(a.files, 1);
	assert_true(has(&d, "c/a.py"));
	assert_false(has(&d, "c/b.py"));
	unit_dir_done(&d);
}

static void test_without(void **state)
{
	struct slu_snapshot a;
	struct unit_dir d;
	struct slu_err e;
	char root[128];

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "src/a.py", "one");
	job_write(&d, "src/store/runs/x", "no");
	snprintf(root, sizeof root, "%s/src/store", d.path);
	assert_int_equal(take(&d, "src", "c", root, &a, &e), 0);
	assert_int_equal(a.files, 1);
	assert_false(has(&d, "c/store"));
	unit_dir_done(&d);
}

static void test_links(void **state)
{
	struct slu_snapshot a;
	struct unit_dir d;
	struct slu_err e;
	char target[64];

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "secret", "outside");
	job_write(&d, "src/dir/f", "in");
	assert_int_equal(symlinkat("dir/f", d.fd, "src/inside"), 0);
	assert_int_equal(symlinkat("../secret", d.fd, "src/out"), 0);
	assert_int_equal(symlinkat("/etc/passwd", d.fd, "src/abs"), 0);
	assert_int_equal(symlinkat("gone", d.fd, "src/dangling"), 0);
	assert_int_equal(symlinkat("..", d.fd, "src/dir/up"), 0);
	assert_int_equal(mkfifoat(d.fd, "src/fifo", 0600), 0);
	assert_int_equal(take(&d, "src", "c", NULL, &a, &e), 0);
	assert_int_equal(a.skipped, 4);
	assert_int_equal(readlinkat(d.fd, "c/inside", target, sizeof target), 5);
	assert_true(has(&d, "c/dir/up"));
	assert_false(has(&d, "c/out") || has(&d, "c/abs") || has(&d, "c/dangling") ||
		     has(&d, "c/fifo"));
	unit_dir_done(&d);
}

static void test_limits(void **state)
{
	struct slu_snapshot a;
	struct unit_dir d;
	struct slu_err e;
	char name[32];

	(void)state;
	unit_dir_make(&d);
	for (int i = 0; i < SLU_SNAPSHOT_FILES; i++) {
		snprintf(name, sizeof name, "src/f%d", i);
		job_write(&d, name, "");
	}
	assert_int_equal(take(&d, "src", "c", NULL, &a, &e), 0);
	assert_int_equal(a.files, SLU_SNAPSHOT_FILES);
	job_write(&d, "src/more", "");
	assert_failed(take(&d, "src", "c2", NULL, &a, &e), e, E2BIG, ".amlignore");
	assert_false(has(&d, "c2"));
	job_write(&d, "src/.amlignore", "f1*\n.amlignore\n");
	assert_int_equal(take(&d, "src", "c2", NULL, &a, &e), 0);

	/* A sparse file takes no room here and is too much all the same. */
	job_write(&d, "big/x", "");
	int fd = openat(d.fd, "big/x", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, (long)SLU_SNAPSHOT_BYTES + 1), 0);
	close(fd);
	assert_failed(take(&d, "big", "c3", NULL, &a, &e), e, E2BIG, "300 MB");
	unit_dir_done(&d);
}

static void check_ignore(const char *rules, const char *path, bool is_dir, bool want)
{
	SLU_AUTO(slu_ignore_freep) struct slu_ignore *g = NULL;
	struct slu_err e = {0};

	assert_int_equal(slu_ignore_parse(rules, &g, &e), 0);
	if (slu_ignore_match(g, path, is_dir) != want)
		fail_msg("'%s' %s '%s'", rules, want ? "does not match" : "matches", path);
}

static void test_ignore(void **state)
{
	(void)state;
	check_ignore("", "a", false, false);
	check_ignore("", ".git", true, true);
	check_ignore("*.pyc", "a/b/c.pyc", false, true);
	check_ignore("*.pyc", "a.py", false, false);
	check_ignore("# *.py\n\n  \n", "a.py", false, false);
	check_ignore("data/", "x/data", true, true);
	check_ignore("data/", "data", false, false);
	check_ignore("/data", "data", false, true);
	check_ignore("/data", "x/data", false, false);
	check_ignore("x/data", "x/data", false, true);
	check_ignore("x/data", "y/x/data", false, false);
	check_ignore("**/tmp", "a/b/tmp", true, true);
	check_ignore("logs/**", "logs/a/b", false, true);
	check_ignore("*.csv\n!keep.csv", "keep.csv", false, false);
	check_ignore("!keep.csv\n*.csv", "keep.csv", false, true);
	check_ignore("a?c\r\n", "abc", false, true);
	check_ignore("[ab].txt", "b.txt", false, true);
	check_ignore("{a,b}", "a", false, false);
	check_ignore("{a,b}", "{a,b}", false, true);
	check_ignore("\\#x", "#x", false, true);
}

static void test_ignore_files(void **state)
{
	struct slu_snapshot a;
	struct unit_dir d;
	struct slu_err e;

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "src/a", "");
	job_write(&d, "src/b", "");
	job_write(&d, "src/.gitignore", "a\n");
	assert_int_equal(take(&d, "src", "c1", NULL, &a, &e), 0);
	assert_true(has(&d, "c1/b") && !has(&d, "c1/a"));
	job_write(&d, "src/.amlignore", "b\n"); /* instead of the other, not in addition */
	assert_int_equal(take(&d, "src", "c2", NULL, &a, &e), 0);
	assert_true(has(&d, "c2/a") && !has(&d, "c2/b"));
	unit_dir_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy),        cmocka_unit_test(test_one_file),
		cmocka_unit_test(test_without),     cmocka_unit_test(test_links),
		cmocka_unit_test(test_limits),      cmocka_unit_test(test_ignore),
		cmocka_unit_test(test_ignore_files)};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
