/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/download.h"

#include "fs/download_record.h"
#include "fs/verify.h"

static struct slu_verify_counts n;
static char told[1000]; /* "M path\n" of each finding */

static int on_found(void *user, enum slu_verify_what what, size_t at, const char *path,
		    const char *why)
{
	size_t len = strlen(told);

	assert_true(why[0]);
	assert_int_equal(what == SLU_VERIFY_EXTRA, at == SIZE_MAX);
	snprintf(told + len, sizeof told - len, "%c %s\n", "MDXU"[what], path);
	return user ? *(int *)user : 0;
}

/* The target against its record. */
static int verify(struct env *v, unsigned jobs, int *user)
{
	const struct slu_verify_opts o = {
		.jobs = jobs, .extra = true, .found = on_found, .user = user};
	struct slu_manifest *m;
	int r;

	told[0] = '\0';
	memset(&n, 0, sizeof n);
	assert_int_equal(slu_dlrecord_read(v->out, v->target, &m, &v->e), 0);
	r = slu_verify(m, v->out, v->target, &o, v->pool, &n, &v->e);
	slu_manifest_free(m);
	return r;
}

static void what_was_downloaded_is_the_same(void **state)
{
	struct env *v = *state;

	fill(v);
	download_ok(v, (struct slu_download_opts){0});
	for (unsigned jobs = 0; jobs < 4; jobs++) {
		assert_int_equal(verify(v, jobs, NULL), 0);
		assert_string_equal(told, "");
		assert_int_equal(n.files, 5);
		assert_int_equal(n.bytes, slu_manifest_bytes(v->t->manifest));
		assert_int_equal(n.unchecked + n.missing + n.different + n.extra + n.unreadable, 0);
	}
}

/* Every kind of difference, one at a time. */
static void each_difference_is_found(void **state)
{
	struct env *v = *state;
	struct stat st;
	int fd;

	fill(v);
	download_ok(v, (struct slu_download_opts){0});

	views_file(v->out, "d/e/other", 3);
	assert_int_equal(verify(v, 2, NULL), 0);
	assert_string_equal(told, "X d/e/other\n");
	unlinkat(v->out, "d/e/other", 0);

	unlinkat(v->out, "d/one", 0);
	assert_int_equal(verify(v, 2, NULL), 0);
	assert_string_equal(told, "M d/one\n");
	assert_int_equal(n.files, 4);
	assert_int_equal(symlinkat("../empty", v->out, "d/one"), 0);
	assert_int_equal(verify(v, 2, NULL), 0);
	assert_string_equal(told, "D d/one\n");
	unlinkat(v->out, "d/one", 0);
	assert_int_equal(mkdirat(v->out, "d/one", 0755), 0);
	assert_int_equal(verify(v, 2, NULL), 0);
	assert_string_equal(told, "D d/one\n");
	unlinkat(v->out, "d/one", AT_REMOVEDIR);
	assert_int_equal(mkfifoat(v->out, "d/one", 0600), 0);
	assert_int_equal(verify(v, 2, NULL), 0);
	assert_string_equal(told, "D d/one\n");
	unlinkat(v->out, "d/one", 0);
	views_file(v->out, "d/one", 1);

	/* the last byte of a file of many pieces */
	fd = openat(v->out, "big", O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, "?", 1, st.st_size - 1), 1);
	assert_int_equal(verify(v, 1, NULL), 0);
	assert_string_equal(told, "D big\n");
	assert_int_equal(n.different, 1);
	assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
	assert_int_equal(verify(v, 1, NULL), 0);
	assert_string_equal(told, "D big\n");
	close(fd);
}

static void a_folder_gone_is_all_its_files_gone(void **state)
{
	struct env *v = *state;

	fill(v);
	download_ok(v, (struct slu_download_opts){0});
	slu_path_rmtree(v->out, "d");
	assert_int_equal(verify(v, 1, NULL), 0);
	assert_string_equal(told, "M d/e/exact\nM d/e/more\nM d/one\n");
	views_file(v->out, "d", 3);
	assert_int_equal(verify(v, 1, NULL), 0);
	assert_string_equal(told, "M d/e/exact\nM d/e/more\nM d/one\nX d\n");
}

/* The store's MD5 does as well; without any checksum that is said. */
static void checksums_are_of_any_kind(void **state)
{
	struct env *v = *state;
	const struct slu_verify_opts o = {.found = on_found};
	const char *const sums[] = {"md5:25e64aa754b310d45c1e084d574c1bb0",
				    "md5:00e64aa754b310d45c1e084d574c1bb0", "", "sha1:00"};
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = 1, .id = "x"};
	char byte = (char)views_byte(0), hex[33];
	uint8_t digest[16];

	views_file(v->out, "one", 1);
	slu_digest(SLU_MD5, &byte, 1, digest);
	slu_hex(hex, digest, 16);
	for (int i = 0; i < 4; i++) {
		struct slu_manifest *m;

		snprintf(a.sum, sizeof a.sum, "%s", sums[i]);
		if (i == 0)
			snprintf(a.sum, sizeof a.sum, "md5:%s", hex);
		assert_int_equal(slu_manifest_new(&m), 0);
		slu_manifest_add_source(m, "", "file:///x");
		slu_manifest_add(m, "one", &a);
		assert_int_equal(slu_manifest_finish(m, &v->e), 0);
		told[0] = '\0';
		assert_int_equal(slu_verify(m, v->out, v->target, &o, v->pool, &n, &v->e), 0);
		assert_string_equal(told, i == 1 ? "D one\n" : "");
		assert_int_equal(n.unchecked, i >= 2);
		slu_manifest_free(m);
	}
}

static void who_is_told_can_end_it(void **state)
{
	struct env *v = *state;
	int stop = -EPIPE;

	fill(v);
	download_ok(v, (struct slu_download_opts){0});
	unlinkat(v->out, "d/one", 0);
	assert_int_equal(verify(v, 1, &stop), -EPIPE);
}

static void the_disk_failing_is_no_difference(void **state)
{
	struct env *v = *state;

	fill(v);
	download_ok(v, (struct slu_download_opts){0});
	for (long i = 1; i < 30; i++) {
		struct slu_manifest *m;
		const struct slu_verify_opts o = {.jobs = 1, .found = on_found};

		assert_int_equal(slu_dlrecord_read(v->out, v->target, &m, &v->e), 0);
		told[0] = '\0';
		slu_fault_arm(SLU_FAULT_IO, i, false);
		assert_int_equal(slu_verify(m, v->out, v->target, &o, v->pool, &n, &v->e), 0);
		bool clean = slu_fault_count(SLU_FAULT_IO) < i;

		slu_fault_arm(SLU_FAULT_IO, 0, false);
		slu_manifest_free(m);
		assert_int_equal(n.different + n.missing, 0);
		assert_int_equal(n.unreadable, !clean);
		if (clean)
			return;
	}
	fail_msg("calls without end");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(what_was_downloaded_is_the_same),
		T(each_difference_is_found),
		T(a_folder_gone_is_all_its_files_gone),
		T(checksums_are_of_any_kind),
		T(who_is_told_can_end_it),
		T(the_disk_failing_is_no_difference),
	};

	return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
