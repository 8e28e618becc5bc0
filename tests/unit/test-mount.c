/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real mount, each in a process of its own that calls slu_mount_serve over a local store.  Skipped
 * where /dev/fuse cannot be used.  Readiness and ends are told by descriptors and waitpid.
 */
#include "tests/unit/views.h"

#include "common/log.h"
#include "common/time.h"
#include "fs/layers.h"
#include "fs/mount_point.h"
#include "fs/view.h"
#include "io/loop.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>

struct env {
	struct unit_dir dir; /* src/, mnt/, log */
	char src[96], mnt[96], log[96];
	int srcfd;
	pid_t pid;
	int lifeline;
};

static const char *self;

struct how {
	const char *mask, *fault;
	int64_t io_timeout;
	bool lifeline;
};

/* The child: never returns. */
static void serve(const struct env *v, const struct how *h, int ready, int lifeline)
{
	struct slu_mount_opts o = {.uid = 7,
				   .gid = 8,
				   .umask = 0022,
				   .source = "sluice:test, it",
				   .io_timeout = h->io_timeout,
				   .ready_fd = ready,
				   .lifeline_fd = lifeline};
	struct slu_err e = {0};
	struct slu_pool *pool;
	struct slu_loops *loops = NULL;
	struct slu_store *s;
	struct slu_tree *t;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (h->mask)
		setenv("SLUICE_FUSE_MASK", h->mask, 1);
	slu_log_to_file(v->log);
	if (slu_pool_new(4, &pool, &e) || slu_local_new(v->src, false, pool, &s, &e))
		_exit(100);
	t = views_tree(s);
	if (h->fault) {
		struct slu_loops_conf conf = {.threads = 1};

		if (slu_loops_new(&conf, &loops, &e) || slu_faulty_push(&s, h->fault, loops, &e))
			_exit(101);
		t->sources[0].store = s;
	}
	r = slu_mount_serve(t, v->mnt, &o, &e);
	slu_tree_free(t);
	slu_store_free(s);
	slu_loops_free(loops);
	slu_pool_free(pool);
	/* Not _exit: the leak checker wants its say. */
	exit(r ? 1 : 0);
}

/* Starts a mount; "" or what it had to say. */
static void start(struct env *v, const struct how *h, char *said, size_t size)
{
	int ready[2], life[2];
	size_t n = 0;
	ssize_t r;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(life, O_CLOEXEC), 0);
	v->pid = fork();
	assert_true(v->pid >= 0);
	if (v->pid == 0) {
		close(ready[0]);
		close(life[1]);
		serve(v, h, ready[1], h->lifeline ? life[0] : -1);
	}
	close(ready[1]);
	close(life[0]);
	v->lifeline = life[1];
	while (n < size - 1 && (r = read(ready[0], said + n, size - 1 - n)) > 0)
		n += (size_t)r;
	said[n] = '\0';
	close(ready[0]);
}

static void start_ok(struct env *v, struct how h)
{
	char said[800];

	start(v, &h, said, sizeof said);
	if (strcmp(said, "R"))
		fail_msg("mount: %s", said);
}

static int end_status(struct env *v)
{
	int status = 0;

	if (v->pid > 0)
		assert_int_equal(waitpid(v->pid, &status, 0), v->pid);
	v->pid = 0;
	close(v->lifeline);
	v->lifeline = -1;
	return status;
}

static void stop(struct env *v)
{
	kill(v->pid, SIGTERM);
	int status = end_status(v);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static bool mounted(const struct env *v)
{
	struct slu_mpoint mp;

	return slu_mpoint_find(v->mnt, &mp) > 0;
}

static int setup(void **state)
{
	struct env *v = calloc(1, sizeof *v);
	char *real;

	unit_dir_make(&v->dir);
	real = realpath(v->dir.path, NULL);
	snprintf(v->src, sizeof v->src, "%s/src", real);
	snprintf(v->mnt, sizeof v->mnt, "%s/mnt", real);
	snprintf(v->log, sizeof v->log, "%s/log", real);
	free(real);
	assert_int_equal(mkdir(v->src, 0755), 0);
	v->srcfd = open(v->src, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	v->lifeline = -1;
	views_file(v->srcfd, "a.txt", 11);
	views_file(v->srcfd, "big", 3000000);
	views_file(v->srcfd, "d/e/f", 70000);
	views_file(v->srcfd, "d/e-1", 1);
	views_file(v->srcfd, "empty", 0);
	*state = v;
	return 0;
}

static int teardown(void **state)
{
	struct env *v = *state;

	if (v->pid > 0) {
		kill(v->pid, SIGKILL);
		end_status(v);
	}
	while (mounted(v) && !umount2(v->mnt, MNT_DETACH))
		;
	close(v->srcfd);
	unit_dir_done(&v->dir);
	free(v);
	return 0;
}

static int open_at(const struct env *v, const char *path)
{
	char full[256];

	snprintf(full, sizeof full, "%s/%s", v->mnt, path);
	return open(full, O_RDONLY | O_CLOEXEC);
}

static void check_file(const struct env *v, const char *path, size_t n)
{
	char *p = malloc(n + 1);
	int fd = open_at(v, path);
	size_t got = 0;
	ssize_t r;

	assert_true(fd >= 0);
	while ((r = read(fd, p + got, n + 1 - got)) > 0)
		got += (size_t)r;
	assert_int_equal(r, 0);
	assert_int_equal(got, n);
	views_check(p, 0, n);
	free(p);
	close(fd);
}

static size_t log_text(const struct env *v, char *out, size_t size)
{
	int fd = open(v->log, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	return (size_t)(n > 0 ? n : 0);
}

static void stat_at(const struct env *v, const char *path, struct stat *st)
{
	char full[256];

	snprintf(full, sizeof full, "%s/%s", v->mnt, path);
	if (stat(full, st))
		fail_msg("stat %s: %s", full, strerror(errno));
}

static void check_content(struct env *v)
{
	struct stat st, src;
	struct statvfs vfs;

	check_file(v, "a.txt", 11);
	check_file(v, "big", 3000000);
	check_file(v, "d/e/f", 70000);
	check_file(v, "d/e-1", 1);
	check_file(v, "empty", 0);
	stat_at(v, "big", &st);
	fstatat(v->srcfd, "big", &src, 0);
	assert_int_equal(st.st_mode, S_IFREG | 0444);
	assert_int_equal(st.st_size, 3000000);
	assert_int_equal(st.st_uid, 7);
	assert_int_equal(st.st_gid, 8);
	assert_int_equal(st.st_nlink, 1);
	assert_memory_equal(&st.st_mtim, &src.st_mtim, sizeof st.st_mtim);
	stat_at(v, "d", &st);
	assert_int_equal(st.st_mode, S_IFDIR | 0555);
	assert_int_equal(st.st_nlink, 3);
	assert_int_equal(statvfs(v->mnt, &vfs), 0);
	assert_int_equal(vfs.f_blocks, (3000000 + 70000 + 12 + 4095) / 4096);
	assert_true(vfs.f_flag & ST_RDONLY);
	assert_int_equal(vfs.f_files, 5 + 3);
}

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
	const char *masks[] = {"ffffffffffffffff", "20000", "1000000",         "2000",
			       "400000",           "40000", "ffffffff00000000"};

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

/* A program sits in the mount: the second signal does not wait for it. */
static void a_busy_mount_ends_too(void **state)
{
	struct env *v = *state;
	char c;

	start_ok(v, (struct how){0});
	int fd = open_at(v, "big");

	assert_int_equal(pread(fd, &c, 1, 0), 1);
	kill(v->pid, SIGTERM);
	int64_t begin = slu_now();

	poll(NULL, 0, 20);
	kill(v->pid, SIGTERM);
	int status = end_status(v);

	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	assert_true(slu_now() - begin < 4 * SLU_SEC);
	assert_false(mounted(v));
	close(fd);
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
	assert_int_equal(slu_mount_check(path, &e), 0);
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
static void a_hanging_store_holds_nobody(void **state)
{
	struct env *v = *state;
	int64_t begin;
	int status;

	start_ok(v, (struct how){.fault = "read:1:hang"});
	pid_t reader = fork();

	if (reader == 0)
		_exit(read_errno(v, "big", 0));
	poll(NULL, 0, 100);
	assert_int_equal(waitpid(reader, &status, WNOHANG), 0);
	begin = slu_now();
	kill(reader, SIGKILL);
	assert_int_equal(waitpid(reader, &status, 0), reader);
	assert_true(WIFSIGNALED(status));
	assert_true(slu_now() - begin < SLU_SEC);
	begin = slu_now();
	stop(v);
	assert_true(slu_now() - begin < 8 * SLU_SEC);
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
	assert_true(slu_now() - begin < 3 * SLU_SEC);
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

/* --- in a process of its own, by exec --- */

static int spawn_mount(struct env *v, bool detached, struct slu_view **ret, struct slu_err *e)
{
	const char *argv[] = {self, "--serve", v->src, v->mnt, v->log, NULL};

	return slu_mount_open(argv, v->mnt, detached, v->log, ret, e);
}

static void a_view_mounts_and_unmounts(void **state)
{
	struct env *v = *state;
	struct slu_view *view = NULL;
	struct slu_err e = {0};

	if (spawn_mount(v, false, &view, &e))
		fail_msg("%s", e.msg);
	assert_string_equal(view->where, v->mnt);
	check_content(v);
	assert_int_equal(slu_view_close(view, &e), 0);
	assert_false(mounted(v));
	assert_int_equal(slu_view_close(view, &e), 0);
	assert_int_equal(slu_view_wait(view, &e), 0);
	slu_view_free(view);
}

static void a_view_says_why_not(void **state)
{
	struct env *v = *state;
	struct slu_view *view = NULL;
	struct slu_err e = {0};
	const char *no[] = {"/nonexistent/program", NULL}, *dies[] = {"/bin/false", NULL};

	assert_int_equal(slu_mount_check(v->mnt, &e), 0);
	views_file(v->dir.fd, "mnt/x", 1);
	assert_failed(spawn_mount(v, false, &view, &e), e, ENOTEMPTY, "is not empty");
	assert_failed(slu_mount_open(no, v->mnt, false, NULL, &view, &e), e, ENOENT,
		      "/nonexistent/program");
	assert_failed(slu_mount_open(dies, v->mnt, false, NULL, &view, &e), e, EIO,
		      "ended with status 1");
	assert_null(view);
}

static void a_view_outlived_by_its_mount(void **state)
{
	struct env *v = *state;
	struct slu_view *view = NULL;
	struct slu_err e = {0};

	if (spawn_mount(v, true, &view, &e))
		fail_msg("%s", e.msg);
	slu_view_free(view);
	check_content(v);
	assert_int_equal(slu_unmount(v->mnt, SLU_SEC, &e), 0);
	assert_true(waitpid(-1, NULL, 0) > 0);
}

/* The server is killed: wait says so, close clears the dead mount. */
static void a_view_of_a_killed_server(void **state)
{
	struct env *v = *state;
	struct slu_view *view = NULL;
	struct slu_err e = {0};
	char path[64], text[64] = "";
	FILE *f;
	long pid = 0;

	if (spawn_mount(v, false, &view, &e))
		fail_msg("%s", e.msg);
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "re");
	if (!f || !fgets(text, sizeof text, f))
		skip();
	fclose(f);
	pid = strtol(text, NULL, 10);
	kill((pid_t)pid, SIGKILL);
	assert_failed(slu_view_wait(view, &e), e, EIO, "was killed by signal 9");
	assert_true(mounted(v));
	slu_view_free(view);
	assert_false(mounted(v));
}

/* The server has its descriptors and no others; nobody else has /dev/fuse. */
static void a_server_has_no_descriptors_of_its_parent(void **state)
{
	struct env *v = *state;
	struct slu_view *view = NULL;
	struct slu_err e = {0};
	char path[64], text[64] = "", link[256];
	int leak = open("/dev/null", O_RDONLY), pid; /* not close-on-exec */
	const struct dirent *d;
	FILE *f;

	assert_true(leak >= 0);
	if (spawn_mount(v, false, &view, &e))
		fail_msg("%s", e.msg);
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "re");
	if (!f || !fgets(text, sizeof text, f))
		skip();
	fclose(f);
	pid = (int)strtol(text, NULL, 10);
	snprintf(path, sizeof path, "/proc/%d/fd", pid);
	DIR *dir = opendir(path);

	while (dir && (d = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), d->d_name, link, sizeof link - 1);

		link[n > 0 ? n : 0] = '\0';
		if (strtol(d->d_name, NULL, 10) > 2 && d->d_name[0] != '.')
			assert_string_not_equal(link, "/dev/null");
	}
	if (dir)
		closedir(dir);
	slu_view_free(view);
	close(leak);
}

static int serve_by_exec(char **argv)
{
	struct env v = {.lifeline = -1};

	snprintf(v.src, sizeof v.src, "%s", argv[2]);
	snprintf(v.mnt, sizeof v.mnt, "%s", argv[3]);
	snprintf(v.log, sizeof v.log, "%s", argv[4]);
	serve(&v, &(struct how){0}, 3, fcntl(4, F_GETFD) < 0 ? -1 : 4);
	return 1;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
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
		T(every_read_is_answered_in_time),
		T(errors_are_errors_never_an_end),
		T(many_readers_over_a_slow_store),
		T(names_too_long_are_left_out),
		T(a_view_mounts_and_unmounts),
		T(a_view_says_why_not),
		T(a_view_outlived_by_its_mount),
		T(a_view_of_a_killed_server),
		T(a_server_has_no_descriptors_of_its_parent),
	};

	self = argv[0];
	if (argc == 5 && !strcmp(argv[1], "--serve"))
		return serve_by_exec(argv);

	if (access("/dev/fuse", R_OK | W_OK)) {
		printf("1..0 # SKIP /dev/fuse cannot be used here\n");
		return 0;
	}
	alarm(250);
	return cmocka_run_group_tests_name("mount", tests, NULL, NULL);
}
