/* SPDX-License-Identifier: Apache-2.0 */
/* The mount itself: what it shows, how it answers, how it ends. */
#include "tests/unit/mount.h"

static void shows_the_tree(void **state)
{
	struct env *v = *state;
	char path[256], value[16];

	start_ok(v, (struct how){0});
	check_content(v);
	snprintf(path, sizeof path, "%s/a.txt", v->mnt);
	assert_int_equal(open(path, O_WRONLY | O_CLOEXEC), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(getxattr(path, "user.x", value, sizeof value), -1);
	assert_true(errno == ENODATA || errno == ENOTSUP);
	assert_int_equal(unlink(path), -1);
	assert_int_equal(errno, EROFS);
	snprintf(path, sizeof path, "%s/nothing", v->mnt);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(errno, ENOENT);
	stop(v);
	assert_false(mounted(v));
}

/* Every optional bit hidden, as an old kernel would; and some of them. */
static void works_with_older_kernels(void **state)
{
	struct env *v = *state;
	const char *masks[] = {"ffffffffffffffff", "20000",    "1000000", "2000", "400000", "40000",
			       "ffffffff00000000", "40000000", /* no second word of flags */
			       "2000000000",                   /* no passthrough */
			       "1000000000",                   /* no shared maps of direct files */
			       "8000000000" /* nothing is asked for again */};

	for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
		start_ok(v, (struct how){.mask = masks[i]});
		check_content(v);
		stop(v);
	}
}

static void refuses_a_bad_mask(void **state)
{
	struct env *v = *state;
	char said[800];

	start(v, &(struct how){.mask = "nonsense"}, said, sizeof said);
	assert_contains(said, "SLUICE_FUSE_MASK");
	assert_int_equal(WEXITSTATUS(end_status(v)), 1);
}

/* Listing: complete, sorted as the store sorts, numbers stable over remounts, seekdir works. */
static void lists_a_large_folder(void **state)
{
	struct env *v = *state;
	ino_t sum[2] = {0, 0};

	for (int i = 0; i < 10000; i++) {
		char name[64];

		snprintf(name, sizeof name, "many/file-%05d", i);
		if (i % 1000 == 0)
			views_file(v->srcfd, name, (size_t)i);
		else
			close(openat(v->srcfd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	}
	for (int round = 0; round < 2; round++) {
		char path[256];
		const struct dirent *d;
		int n = 0;

		start_ok(v, (struct how){.mask = round ? "2000" : NULL});
		snprintf(path, sizeof path, "%s/many", v->mnt);
		DIR *dir = opendir(path);
		long tell = 0;

		assert_non_null(dir);
		while ((d = readdir(dir))) {
			if (d->d_name[0] == '.')
				continue;
			struct stat st;
			char want[32];

			snprintf(want, sizeof want, "file-%05d", n);
			assert_string_equal(d->d_name, want);
			assert_int_equal(fstatat(dirfd(dir), d->d_name, &st, 0), 0);
			assert_int_equal(st.st_ino, d->d_ino);
			assert_int_equal(st.st_size, n % 1000 ? 0 : n);
			sum[round] += d->d_ino * (ino_t)(n + 1);
			n++;
			if (n == 5000)
				tell = telldir(dir);
		}
		assert_int_equal(n, 10000);
		seekdir(dir, tell);
		assert_string_equal(readdir(dir)->d_name, "file-05000");
		closedir(dir);
		stop(v);
	}
	assert_int_equal(sum[0], sum[1]);
}

static void maps_shared(void **state)
{
	struct env *v = *state;

	start_ok(v, (struct how){0});
	int fd = open_at(v, "big");
	char *p = mmap(NULL, 3000000, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(p != MAP_FAILED);
	views_check(p, 0, 3000000);
	munmap(p, 3000000);
	close(fd);
	stop(v);
}

static int read_errno(const struct env *v, const char *path, uint64_t off)
{
	char c;
	int fd = open_at(v, path), r;

	assert_true(fd >= 0);
	r = pread(fd, &c, 1, (off_t)off) < 0 ? errno : 0;
	close(fd);
	return r;
}

/* One log line a file, with its name; the rest of the mount goes on. */
static void a_changed_file_is_stale(void **state)
{
	struct env *v = *state;
	char text[8192], *second;

	start_ok(v, (struct how){0});
	views_file(v->srcfd, "big", 2999999);
	unlinkat(v->srcfd, "d/e-1", 0);
	for (uint64_t off = 0; off < 3000000; off += 600000)
		assert_int_equal(read_errno(v, "big", off), ESTALE);
	assert_int_equal(read_errno(v, "d/e-1", 0), ESTALE);
	check_file(v, "d/e/f", 70000);
	stop(v);
	log_text(v, text, sizeof text);
	assert_contains(text, "'big' is no longer what this mount shows");
	assert_contains(text, "'d/e-1' is no longer");
	assert_contains(text, "resolve the dataset again");
	second = strstr(text, "'big' is no longer") + 1;
	assert_null(strstr(second, "'big' is no longer"));
}

static void the_lifeline_ends_it(void **state)
{
	struct env *v = *state;
	int status;

	start_ok(v, (struct how){.lifeline = true});
	check_file(v, "a.txt", 11);
	close(v->lifeline);
	v->lifeline = -1;
	assert_int_equal(waitpid(v->pid, &status, 0), v->pid);
	v->pid = 0;
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	assert_false(mounted(v));
}

static void an_unmount_from_outside_ends_it(void **state)
{
	struct env *v = *state;
	struct slu_err e = {0};

	start_ok(v, (struct how){0});
	check_file(v, "a.txt", 11);
	assert_int_equal(slu_unmount(v->mnt, SLU_SEC, &e), 0);
	int status = end_status(v);

	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	assert_failed(slu_unmount(v->mnt, SLU_SEC, &e), e, EINVAL, "nothing is mounted");
}

/* Two signals that nobody has taken yet are one. */
static void wait_until_taken(pid_t pid, int sig)
{
	char path[64], text[4096], *at;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	for (bool pending = true; pending; poll(NULL, 0, 1)) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, text, sizeof text - 1);

		assert_true(n > 0);
		close(fd);
		text[n] = '\0';
		at = strstr(text, "\nShdPnd:\t");
		assert_non_null(at);
		pending = strtoull(at + 9, NULL, 16) >> (sig - 1) & 1;
	}
}

/* How long a mount takes to end that a program sits in, when it is told a second time. */
static int64_t time_to_end(struct env *v)
{
	char c;

	start_ok(v, (struct how){0});
	int fd = open_at(v, "big");

	assert_int_equal(pread(fd, &c, 1, 0), 1);
	int64_t begin = slu_now();

	kill(v->pid, SIGTERM);
	wait_until_taken(v->pid, SIGTERM);
	kill(v->pid, SIGTERM);
	int status = end_status(v);
	int64_t took = slu_now() - begin;

	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	assert_false(mounted(v));
	close(fd);
	return took;
}

/* The second signal does not wait for it, which takes five seconds; a busy machine may take them, but not always. */
static void a_busy_mount_ends_too(void **state)
{
	int64_t best = INT64_MAX;

	for (int i = 0; i < 8 && best >= 4 * SLU_SEC; i++) {
		int64_t took = time_to_end(*state);

		best = took < best ? took : best;
	}
	assert_true(best < 4 * SLU_SEC);
}

/* kill -9 leaves a dead mount; the next mount there takes it away. */
static void a_killed_server_is_replaced(void **state)
{
	struct env *v = *state;
	struct stat st;
	char path[256];

	start_ok(v, (struct how){0});
	check_file(v, "a.txt", 11);
	kill(v->pid, SIGKILL);
	end_status(v);
	assert_true(mounted(v));
	snprintf(path, sizeof path, "%s/never-seen", v->mnt);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(errno, ENOTCONN);
	start_ok(v, (struct how){0});
	check_content(v);
	stop(v);
	assert_false(mounted(v));
}

static void refuses_what_is_no_mount_point(void **state)
{
	struct env *v = *state;
	struct slu_err e = {0};
	char path[256], said[800];

	assert_failed(slu_mount_check(v->src, &e), e, ENOTEMPTY, "is not empty");
	snprintf(path, sizeof path, "%s/a.txt", v->src);
	assert_failed(slu_mount_check(path, &e), e, ENOTDIR, "is not a folder");
	assert_failed(slu_mount_check("/proc", &e), e, EBUSY, "already a mount point");
	assert_failed(slu_mount_check("/", &e), e, EINVAL, "cannot be a mount point");
	snprintf(path, sizeof path, "%s/new/deep", v->dir.path);
	assert_int_equal(slu_mount_check(path, &e), 2);
	slu_mount_uncheck(path, 2);
	snprintf(path, sizeof path, "%s/new", v->dir.path);
	assert_int_equal(access(path, F_OK), -1);
	start_ok(v, (struct how){0});
	assert_failed(slu_mount_check(v->mnt, &e), e, EBUSY, "already shows sluice:test, it");
	stop(v);
	/* Inside the folder that it would show. */
	snprintf(v->mnt, sizeof v->mnt, "%.80s/inside", v->src);
	start(v, &(struct how){0}, said, sizeof said);
	assert_contains(said, "lies inside the folder");
	assert_int_equal(WEXITSTATUS(end_status(v)), 1);
}

/* The store never answers: a killed reader dies at once, the mount ends in its bounds. */
static void hang(struct env *v, const char *mask)
{
	int64_t begin;
	int status;

	start_ok(v, (struct how){.fault = "read:1:hang", .mask = mask});
	pid_t reader = fork();

	if (reader == 0)
		_exit(read_errno(v, "big", 0));
	poll(NULL, 0, 100);
	assert_int_equal(waitpid(reader, &status, WNOHANG), 0);
	begin = slu_now();
	kill(reader, SIGKILL);
	assert_int_equal(waitpid(reader, &status, 0), reader);
	assert_true(WIFSIGNALED(status));
	/* Of the minute that the read has. */
	assert_true(slu_now() - begin < 30 * SLU_SEC);
	begin = slu_now();
	stop(v);
	assert_true(slu_now() - begin < 30 * SLU_SEC);
}

static void a_hanging_store_holds_nobody(void **state)
{
	hang(*state, NULL);
}

/* Without asynchronous reads the kernel waits for our answer even for a killed reader. */
static void an_interrupted_read_is_answered(void **state)
{
	hang(*state, "1");
}

static void every_read_is_answered_in_time(void **state)
{
	struct env *v = *state;
	char text[8192];
	int64_t begin;

	start_ok(v, (struct how){.fault = "read:1:hang", .io_timeout = 400 * SLU_MS});
	begin = slu_now();
	int err = read_errno(v, "big", 0);

	assert_true(err == ETIMEDOUT || err == EIO);
	assert_true(slu_now() - begin < 30 * SLU_SEC); /* of a minute otherwise */
	stop(v);
	log_text(v, text, sizeof text);
	assert_contains(text, "'big'");
}

static void errors_are_errors_never_an_end(void **state)
{
	struct env *v = *state;

	start_ok(v, (struct how){.fault = "read:1:ECONNRESET"});
	assert_int_equal(read_errno(v, "big", 0), EIO);
	stop(v);
	start_ok(v, (struct how){.fault = "read:1:short"});
	assert_true(read_errno(v, "big", 0) != 0);
	stop(v);
}

struct reader_job {
	struct env *v;
	unsigned seed;
	int bad;
};

static void *random_reads(void *arg)
{
	struct reader_job *j = arg;
	char buf[20000];
	int fd = open_at(j->v, "big");

	for (int i = 0; i < 300 && !j->bad; i++) {
		size_t off = (size_t)rand_r(&j->seed) % 2990000,
		       n = 1 + (size_t)rand_r(&j->seed) % 9999;
		ssize_t r = pread(fd, buf, n, (off_t)off);

		if (r != (ssize_t)n)
			j->bad = 1;
		for (ssize_t k = 0; k < r; k++)
			if ((unsigned char)buf[k] != views_byte(off + (uint64_t)k))
				j->bad = 1;
	}
	close(fd);
	return NULL;
}

/* Answers come late and out of order: still the right bytes, for everybody. */
static void many_readers_over_a_slow_store(void **state)
{
	struct env *v = *state;
	struct reader_job jobs[8];
	pthread_t threads[8];

	start_ok(v, (struct how){.fault = "seed=3,read:0.3:delay=2ms"});
	for (unsigned i = 0; i < 8; i++) {
		jobs[i] = (struct reader_job){v, i, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, random_reads, &jobs[i]), 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(jobs[i].bad, 0);
	}
	stop(v);
}

static void names_too_long_are_left_out(void **state)
{
	struct env *v = *state;
	(void)v;
	/* 255 bytes is the longest, and works. */
	char name[256];
	struct stat st;

	memset(name, 'n', 255);
	name[255] = '\0';
	close(openat(v->srcfd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	char odd[] = "odd \n\t#?%\xc3\xa9\xff";

	views_file(v->srcfd, odd, 5);
	start_ok(v, (struct how){0});
	char full[512];

	snprintf(full, sizeof full, "%s/%s", v->mnt, name);
	assert_int_equal(stat(full, &st), 0);
	check_file(v, odd, 5);
	snprintf(full, sizeof full, "%s/%sx", v->mnt, name);
	assert_int_equal(stat(full, &st), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	stop(v);
}

/* The Nth allocation fails: it says so and leaves nothing, or a single read fails. */
static void no_memory_is_an_error(void **state)
{
	struct env *v = *state;
	unsigned worked = 0;
	char said[800];

	for (long n = 1; n < 60; n++) {
		start(v, &(struct how){.fail_at = n}, said, sizeof said);
		if (!strcmp(said, "R")) {
			worked++;
			int err = read_errno(v, "big", 0);

			if (err && err != ENOMEM) {
				char text[4096];

				log_text(v, text, sizeof text);
				fail_msg("%ld: errno %d: %s", n, err, text);
			}
			stop(v);
		} else {
			assert_contains(said, "memory");
			assert_int_equal(WEXITSTATUS(end_status(v)), 1);
		}
		assert_false(mounted(v));
	}
	assert_true(worked > 10 && worked < 59);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(shows_the_tree),
		T(works_with_older_kernels),
		T(refuses_a_bad_mask),
		T(lists_a_large_folder),
		T(maps_shared),
		T(a_changed_file_is_stale),
		T(the_lifeline_ends_it),
		T(an_unmount_from_outside_ends_it),
		T(a_busy_mount_ends_too),
		T(a_killed_server_is_replaced),
		T(refuses_what_is_no_mount_point),
		T(a_hanging_store_holds_nobody),
		T(an_interrupted_read_is_answered),
		T(every_read_is_answered_in_time),
		T(errors_are_errors_never_an_end),
		T(many_readers_over_a_slow_store),
		T(names_too_long_are_left_out),
		T(no_memory_is_an_error),
	};

	if (no_fuse())
		return 0;
	alarm(250);
	return cmocka_run_group_tests_name("mount", tests, NULL, NULL);
}
