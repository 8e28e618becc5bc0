/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/download.h"

#include "fs/download.h"

static void copies_a_tree(void **state)
{
	struct env *v = *state;

	fill(v);
	download_ok(v, (struct slu_download_opts){0});
	check_all(v);
}

static void copies_with_any_number_of_jobs(void **state)
{
	struct env *v = *state;
	unsigned jobs[] = {1, 2, 3, 64, 1000};

	fill(v);
	for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
		download_ok(v, (struct slu_download_opts){.jobs = jobs[i],
							  .policy = i ? SLU_POLICY_MERGE
								      : SLU_POLICY_FAIL,
							  .nosync = i % 2});
		check_all(v);
		forget(v);
	}
}

/* Answers late and out of order, nothing inline: ranges of one file by many lanes. */
static void copies_from_a_slow_store(void **state)
{
	struct env *v = *state;

	fill(v);
	fault(v, "seed=5,read:0.5:delay=3ms");
	v->s->caps &= ~(unsigned)SLU_CAP_INLINE_READ;
	download_ok(v, (struct slu_download_opts){.jobs = 16});
	check_all(v);
}

static void copies_an_empty_tree(void **state)
{
	struct env *v = *state;

	resolve(v);
	download_ok(v, (struct slu_download_opts){0});
	assert_int_equal(count_top(v), 0);
}

static void makes_the_target(void **state)
{
	struct env *v = *state;
	struct stat st;

	fill(v);
	snprintf(v->target, sizeof v->target, "%.60s/new/deeper", v->dir.path);
	download_ok(v, (struct slu_download_opts){0});
	assert_int_equal(fstatat(v->dir.fd, "new/deeper/d/e/more", &st, 0), 0);
}

/* More than one batch: all complete, folders made on the way. */
static void copies_many_small_files(void **state)
{
	struct env *v = *state;
	struct stat st;

	for (int i = 0; i < 2500; i++) {
		char name[64];

		snprintf(name, sizeof name, "s%d/f%04d", i % 13, i);
		views_file(v->src, name, 10);
	}
	resolve(v);
	download_ok(v, (struct slu_download_opts){0});
	for (int i = 0; i < 2500; i++) {
		char name[64];

		snprintf(name, sizeof name, "s%d/f%04d", i % 13, i);
		assert_int_equal(fstatat(v->out, name, &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(st.st_size, 10);
	}
	check_file(v, "s7/f0007", 10);
	assert_int_equal(count_top(v), 13);
}

static void refuses_a_target_with_content(void **state)
{
	struct env *v = *state;

	fill(v);
	views_file(v->out, "other", 3);
	assert_failed(download(v, (struct slu_download_opts){0}), v->e, ENOTEMPTY, "other");
	assert_int_equal(count_top(v), 1);
	views_file(v->out, "big", 3);
	download_ok(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE});
	check_file(v, "big", 9 * 1024 * 1024 + 77);
	assert_int_equal(count_top(v), 4);
}

static void a_folder_in_the_place_of_a_file_is_found_first(void **state)
{
	struct env *v = *state;

	fill(v);
	assert_int_equal(mkdirat(v->out, "empty", 0755), 0);
	assert_failed(download(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE}), v->e,
		      EISDIR, "'empty' is a folder");
	views_file(v->out, "d", 3);
	unlinkat(v->out, "empty", AT_REMOVEDIR);
	assert_failed(download(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE}), v->e,
		      ENOTDIR, "needs a folder");
	assert_int_equal(count_top(v), 1);
}

/* What marks downloads is no file of ours, but something else by that name: the message says what to do. */
static void marks_of_the_wrong_kind_are_named(void **state)
{
	struct env *v = *state;
	struct slu_download_opts merge = {.policy = SLU_POLICY_MERGE};

	fill(v);
	assert_int_equal(mkdirat(v->out, ".sluice-complete", 0755), 0);
	assert_failed(download(v, merge), v->e, EISDIR, ".sluice-complete' is no file");
	assert_contains(v->e.msg, "remove it");
	assert_int_equal(unlinkat(v->out, ".sluice-complete", AT_REMOVEDIR), 0);
	views_file(v->out, ".sluice-part-1", 3);
	assert_failed(download(v, merge), v->e, ENOTDIR, ".sluice-part-1' is no folder");
	assert_int_equal(unlinkat(v->out, ".sluice-part-1", 0), 0);
	download_ok(v, merge);
	check_all(v);
}

static struct slu_manifest *manifest_of(const char *const *path, size_t n)
{
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = 1};
	struct slu_manifest *m;

	assert_int_equal(slu_manifest_new(&m), 0);
	assert_int_equal(slu_manifest_add_source(m, "", "file:///test"), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(slu_manifest_add(m, path[i], &a), 0);
	assert_int_equal(slu_manifest_finish(m, NULL), 0);
	return m;
}

static void names_that_differ_by_case_are_found(void **state)
{
	static const char *const fine[] = {"A/x",      "a/y",      "B",    "c",
					   "\xc3\x84", "\xc3\x8a", "\xff", "\xfe"};
	static const struct {
		const char *path[3];
		const char *one, *other;
	} pairs[] = {
		{{"A", "b", "a"}, "'A'", "'a'"},
		{{"d/File.TXT", "e", "D/file.txt"}, "'d/File.TXT'", "'D/file.txt'"},
		{{"\xc3\xa4", "z", "\xc3\x84"}, "'\xc3\xa4'", "'\xc3\x84'"},
		{{"\xff"
		  "A",
		  "z",
		  "\xff"
		  "a"},
		 "A'",
		 "a'"},
	};
	struct slu_manifest *m = manifest_of(fine, sizeof fine / sizeof *fine);
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_download_fold(m, "out", &e), 0);
	slu_manifest_free(m);
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		m = manifest_of(pairs[i].path, 3);
		assert_failed(slu_download_fold(m, "out", &e), e, EEXIST, pairs[i].one);
		assert_contains(e.msg, pairs[i].other);
		slu_manifest_free(m);
	}
}

/* A target is known to fold by what is there already: here a second name is given to it. */
static void a_target_that_ignores_case_is_refused_such_names(void **state)
{
	struct env *v = *state;
	struct slu_download_opts merge = {.policy = SLU_POLICY_MERGE};
	char a[128], b[128];

	if (geteuid())
		skip();
	views_file(v->src, "name", 3);
	views_file(v->src, "NAME", 3);
	resolve(v);
	snprintf(a, sizeof a, "%s/.sluice-part-1", v->target);
	snprintf(b, sizeof b, "%s/.SLUICE-PART-1", v->target);
	assert_int_equal(mkdir(a, 0700) | mkdir(b, 0700), 0);
	assert_int_equal(mount(a, b, NULL, MS_BIND, NULL), 0);
	int r = download(v, merge);

	assert_int_equal(umount2(b, MNT_DETACH), 0);
	assert_failed(r, v->e, EEXIST, "'NAME' and 'name'");
	assert_int_equal(rmdir(b), 0);
	download_ok(v, merge);
	check_file(v, "name", 3);
	check_file(v, "NAME", 3);
}

/* Nothing is written through a link that somebody planted in the target. */
static void links_in_the_target_are_not_followed(void **state)
{
	struct env *v = *state;
	struct stat st;

	fill(v);
	assert_int_equal(mkdirat(v->dir.fd, "victim", 0755), 0);
	views_file(v->dir.fd, "victim/file", 5);
	assert_int_equal(symlinkat("../victim", v->out, "d"), 0);
	assert_failed(download(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE}), v->e,
		      ELOOP, "symbolic link");
	assert_int_equal(unlinkat(v->out, "d", 0), 0);
	assert_int_equal(symlinkat("../victim/file", v->out, "big"), 0);
	download_ok(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE});
	check_all(v);
	assert_int_equal(fstatat(v->out, "big", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(fstatat(v->dir.fd, "victim/file", &st, 0), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(fstatat(v->dir.fd, "victim/one", &st, 0), -1);
}

/* A dead download's folder of parts is not content; a living one's is a refusal. */
static void leftovers_go_and_living_downloads_stay(void **state)
{
	struct env *v = *state;

	fill(v);
	views_file(v->out, ".sluice-part-dead/1", 100);
	int fd = openat(v->out, ".sluice-part-dead", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_failed(download(v, (struct slu_download_opts){0}), v->e, EBUSY, "another download");
	close(fd);
	views_file(v->out, ".sluice-part-file", 100);
	download_ok(v, (struct slu_download_opts){0});
	check_all(v);
}

static void names_too_long_are_found_first(void **state)
{
	struct env *v = *state;
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = 1, .id = "x"};
	char name[PATH_MAX + 10];

	memset(name, 'n', sizeof name);
	name[256] = '\0';
	for (int round = 0; round < 2; round++) {
		slu_tree_free(v->t);
		v->t = views_tree(v->s);
		slu_manifest_free(v->t->manifest);
		assert_int_equal(slu_manifest_new(&v->t->manifest), 0);
		slu_manifest_add_source(v->t->manifest, "", "file:///x");
		slu_manifest_add(v->t->manifest, "a", &a);
		slu_manifest_add(v->t->manifest, name, &a);
		assert_int_equal(slu_manifest_finish(v->t->manifest, &v->e), 0);
		assert_failed(download(v, (struct slu_download_opts){0}), v->e, ENAMETOOLONG,
			      round ? "bytes would be needed" : "part of 256 bytes");
		assert_int_equal(count_top(v), 0);
		for (size_t i = 0; i < sizeof name - 1; i++)
			name[i] = i % 100 == 99 ? '/' : 'n';
		name[PATH_MAX - 1] = '\0';
	}
}

static void too_little_room_is_found_first(void **state)
{
	struct env *v = *state;

	fill(v);
	if (mount("tmpfs", v->target, "tmpfs", 0, "size=1m"))
		skip();
	close(v->out);
	v->out = open(v->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = download(v, (struct slu_download_opts){0});

	assert_int_equal(count_top(v), 0);
	close(v->out);
	v->out = open(v->dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	umount2(v->target, MNT_DETACH);
	assert_failed(r, v->e, ENOSPC, "has room for 1048576 bytes, and the dataset has 11534415");
}

static void a_changed_file_is_stale(void **state)
{
	struct env *v = *state;

	fill(v);
	views_file(v->src, "d/one", 2);
	assert_failed(download(v, (struct slu_download_opts){0}), v->e, ESTALE,
		      "cannot download 'd/one'");
	assert_contains(v->e.msg, SLU_STALE_REMEDY);
	unlinkat(v->src, "d/one", 0);
	assert_failed(download(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE}), v->e,
		      ESTALE, "now gone");
	assert_contains(v->e.msg, SLU_STALE_REMEDY);
	count_kept(v, true);
}

static void a_failure_of_one_file_does_not_stop_the_others(void **state)
{
	struct env *v = *state;

	fill(v);
	fault(v, "read:#5:EACCES");
	assert_failed(download(v, (struct slu_download_opts){.jobs = 1}), v->e, EACCES,
		      "cannot download 'big'");
	assert_int_equal(count_kept(v, true), 2);
	check_file(v, "d/e/more", 1024 * 1024 + 1);
}

static void a_wrong_checksum_is_an_error(void **state)
{
	struct env *v = *state;
	struct slu_attr a = {0};
	uint8_t sum[16];
	char byte = (char)views_byte(0), hex[33];

	views_file(v->src, "one", 1);
	for (int good = 1; good >= 0; good--) {
		resolve(v);
		forget(v);
		slu_manifest_free(v->t->manifest);
		assert_int_equal(slu_manifest_new(&v->t->manifest), 0);
		slu_manifest_add_source(v->t->manifest, "", "file:///x");
		assert_int_equal(slu_store_stat(v->s, "one", &a, NULL), 0);
		slu_digest(SLU_MD5, &byte, 1, sum);
		slu_hex(hex, sum, 16);
		snprintf(a.sum, sizeof a.sum, "md5:%s", good ? hex : "00");
		slu_manifest_add(v->t->manifest, "one", &a);
		assert_int_equal(slu_manifest_finish(v->t->manifest, &v->e), 0);
		int r = download(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE});

		if (good)
			assert_int_equal(r, 0);
		else
			assert_failed(r, v->e, EBADMSG, "arrived damaged");
	}
}

/* The part file of a sparse file ends where its last bytes are, when the kernel gave it no room. */
static void zeros_that_were_left_out_are_hashed(void **state)
{
	struct env *v = *state;
	const size_t n = 1024 * 1024;
	struct slu_download_opts opts = {0};
	struct slu_download d = {.t = NULL, .target = v->target, .o = &opts};
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = 2 * n, .id = "1"};
	char *buf = calloc(2, n), hex[33];
	struct slu_dfile f = {.d = &d, .chunk = n, .nchunks = 2, .done = calloc(2, 1)};
	uint8_t sum[16];

	views_file(v->src, "sparse", 0);
	resolve(v);
	d.t = v->t;
	slu_manifest_free(v->t->manifest);
	assert_int_equal(slu_manifest_new(&v->t->manifest), 0);
	slu_manifest_add_source(v->t->manifest, "", "file:///x");
	memset(buf, 7, n);
	slu_digest(SLU_MD5, buf, 2 * n, sum);
	slu_hex(hex, sum, 16);
	snprintf(a.sum, sizeof a.sum, "md5:%s", hex);
	slu_manifest_add(v->t->manifest, "sparse", &a);
	assert_int_equal(slu_manifest_finish(v->t->manifest, &v->e), 0);
	pthread_mutex_init(&d.lock, NULL);
	f.fd = openat(v->out, "part", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(pwrite(f.fd, buf, n, 0), n);
	assert_int_equal(slu_download_hash_begin(&d, &f, &v->e), 0);
	/* The second chunk came first. */
	assert_int_equal(slu_download_hash(&d, &f, buf + n, n, n, &v->e), 0);
	assert_int_equal(slu_download_hash(&d, &f, buf, 0, n, &v->e), 0);
	assert_int_equal(slu_download_hash_end(&d, &f, 0, &v->e), 0);
	close(f.fd);
	free(f.done);
	free(buf);
	pthread_mutex_destroy(&d.lock);
}

struct seen {
	int calls, cancel_at;
	struct slu_progress last;
};

static int on_progress(void *user, const struct slu_progress *p)
{
	struct seen *s = user;

	assert_true(p->bytes >= s->last.bytes && p->files >= s->last.files);
	s->last = *p;
	return ++s->calls == s->cancel_at;
}

static void progress_is_told_and_can_cancel(void **state)
{
	struct env *v = *state;
	struct seen s = {0};

	fill(v);
	download_ok(v, (struct slu_download_opts){.progress = on_progress, .user = &s});
	assert_true(s.calls >= 1);
	assert_int_equal(s.last.files, 5);
	assert_int_equal(s.last.files_total, 5);
	assert_int_equal(s.last.bytes, s.last.bytes_total);
	forget(v);
	fault(v, "read:1:hang");
	s = (struct seen){.cancel_at = 2};
	int64_t begin = slu_now();

	assert_failed(download(v, (struct slu_download_opts){.policy = SLU_POLICY_MERGE,
							     .progress = on_progress,
							     .user = &s}),
		      v->e, ECANCELED, "canceled");
	assert_true(slu_now() - begin < 30 * SLU_SEC);
	assert_int_equal(s.calls, 2);
	count_kept(v, true);
}

/* The Nth allocation fails, for every N: an error, and nothing left behind. */
static void no_memory_is_an_error(void **state)
{
	struct env *v = *state;

	views_file(v->src, "a/b", 100);
	views_file(v->src, "c", 0);
	views_file(v->src, "d", 1500000);
	resolve(v);
	for (long n = 1; n < 500; n++) {
		slu_fault_arm(SLU_FAULT_MALLOC, n, false);
		int r = download(v,
				 (struct slu_download_opts){.policy = SLU_POLICY_MERGE, .jobs = 2});
		bool clean = slu_fault_count(SLU_FAULT_MALLOC) < n;

		slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
		if (r)
			assert_int_equal(r, -ENOMEM);
		count_kept(v, true);
		if (!r)
			forget(v);
		if (clean) {
			assert_int_equal(r, 0);
			check_file(v, "d", 1500000);
			return;
		}
	}
	fail_msg("allocates without end");
}

/* kill -9 anywhere: what has a final name is complete, and the next download cleans up. */
static void killed_downloads_show_only_whole_files(void **state)
{
	struct env *v = *state;

	for (int i = 0; i < 1500; i++) {
		char name[64];

		snprintf(name, sizeof name, "s%d/f%04d", i % 3, i);
		views_file(v->src, name, 3000);
	}
	/* Threads and fork do not go together. */
	slu_store_free(v->s);
	slu_pool_free(v->pool);
	for (unsigned round = 0; round < 12; round++) {
		pid_t pid = fork();
		struct stat st;

		if (pid == 0) {
			open_store(v);
			resolve(v);
			_exit(download(v, (struct slu_download_opts){0}) ? 1 : 0);
		}
		struct timespec ts = {.tv_nsec = (long)(round * 9 + 5) * 1000000};

		nanosleep(&ts, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		for (int i = 0; i < 1500; i++) {
			char name[64];

			snprintf(name, sizeof name, "s%d/f%04d", i % 3, i);
			if (!fstatat(v->out, name, &st, 0))
				assert_int_equal(st.st_size, 3000);
		}
	}
	open_store(v);
	resolve(v);
	download_ok(v, (struct slu_download_opts){0});
	check_file(v, "s0/f0003", 3000);
	assert_int_equal(count_top(v), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(copies_a_tree),
		T(copies_with_any_number_of_jobs),
		T(copies_from_a_slow_store),
		T(copies_an_empty_tree),
		T(makes_the_target),
		T(copies_many_small_files),
		T(refuses_a_target_with_content),
		T(a_folder_in_the_place_of_a_file_is_found_first),
		T(marks_of_the_wrong_kind_are_named),
		T(names_that_differ_by_case_are_found),
		T(a_target_that_ignores_case_is_refused_such_names),
		T(links_in_the_target_are_not_followed),
		T(leftovers_go_and_living_downloads_stay),
		T(names_too_long_are_found_first),
		T(too_little_room_is_found_first),
		T(a_changed_file_is_stale),
		T(a_failure_of_one_file_does_not_stop_the_others),
		T(a_wrong_checksum_is_an_error),
		T(zeros_that_were_left_out_are_hashed),
		T(progress_is_told_and_can_cancel),
		T(no_memory_is_an_error),
		T(killed_downloads_show_only_whole_files),
	};

	return cmocka_run_group_tests_name("download", tests, NULL, NULL);
}
