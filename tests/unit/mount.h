/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of mounts share: a real mount in a process of its own, over a local store, and the
 * tree that it shows.  Readiness and ends are told by descriptors and waitpid. */
#ifndef SLU_TESTS_MOUNT_H
#define SLU_TESTS_MOUNT_H

#include "tests/unit/views.h"

#include "common/fault.h"
#include "common/log.h"
#include "common/time.h"
#include "fs/cache.h"
#include "fs/layers.h"
#include "fs/mount_link.h"
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

struct how {
	const char *mask, *fault;
	int64_t io_timeout;
	bool lifeline;
	struct slu_mlink *link; /* of a worker */
	long fail_at;           /* this allocation of the server fails */
	const char *cache, *open_mode;
};

/* As h says; *ret_cache NULL: none. */
static inline void serve_cached(const struct how *h, struct slu_store **s,
				struct slu_cache **ret_cache)
{
	struct slu_cache_conf conf = {.dir = h->cache};

	*ret_cache = NULL;
	if (h->cache && (slu_cache_open(&conf, ret_cache, NULL) ||
			 slu_cache_push(s, *ret_cache, "file://test", "")))
		_exit(102);
}

/* The child: never returns. */
static inline void serve(const struct env *v, const struct how *h, int ready, int lifeline)
{
	struct slu_mount_opts o = {.uid = 7,
				   .gid = 8,
				   .umask = 0022,
				   .source = "sluice:test, it",
				   .io_timeout = h->io_timeout,
				   .ready_fd = ready,
				   .lifeline_fd = lifeline,
				   .link = h->link};
	struct slu_settings set = *slu_settings_default();
	struct slu_cache *c;
	struct slu_err e = {0};
	struct slu_pool *pool;
	struct slu_loops *loops = NULL;
	struct slu_store *s;
	struct slu_tree *t;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (h->mask && *h->mask)
		setenv("SLUICE_FUSE_MASK", h->mask, 1);
	slu_log_to_file(v->log);
	if (slu_pool_new(4, &pool, &e) || slu_local_new(v->src, false, pool, &s, &e))
		_exit(100);
	serve_cached(h, &s, &c);
	if (h->open_mode)
		snprintf(set.open_mode, sizeof set.open_mode, "%s", h->open_mode);
	o.set = &set;
	t = views_tree(s);
	if (h->fault) {
		struct slu_loops_conf conf = {.threads = 1};

		if (slu_loops_new(&conf, &loops, &e) || slu_faulty_push(&s, h->fault, loops, &e))
			_exit(101);
		t->sources[0].store = s;
	}
	if (h->link && !slu_mlink_heir(h->link) && slu_mlink_leave(h->link, t->manifest, &e))
		_exit(102);
	slu_fault_arm(SLU_FAULT_MALLOC, h->fail_at, false);
	r = slu_mount_serve(t, v->mnt, &o, &e);
	slu_tree_free(t);
	slu_store_free(s);
	slu_cache_free(c);
	slu_loops_free(loops);
	slu_pool_free(pool);
	/* Not _exit: the leak checker wants its say. */
	exit(r ? 1 : 0);
}

/* A child that runs, and its lifeline.  said: "" or what it had to say on the descriptor ready. */
static inline void start_by(struct env *v, void (*run)(struct env *, const void *, int, int),
			    const void *how, char *said, size_t size)
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
		run(v, how, ready[1], life[0]);
	}
	close(ready[1]);
	close(life[0]);
	v->lifeline = life[1];
	while (n < size - 1 && (r = read(ready[0], said + n, size - 1 - n)) > 0)
		n += (size_t)r;
	said[n] = '\0';
	close(ready[0]);
}

static inline void run_serve(struct env *v, const void *how, int ready, int lifeline)
{
	const struct how *h = how;

	serve(v, h, ready, h->lifeline ? lifeline : -1);
}

/* Starts a mount; "" or what it had to say. */
static inline void start(struct env *v, const struct how *h, char *said, size_t size)
{
	start_by(v, run_serve, h, said, size);
}

static inline void start_ok(struct env *v, struct how h)
{
	char said[800];

	start(v, &h, said, sizeof said);
	if (strcmp(said, "R"))
		fail_msg("mount: %s", said);
}

static inline int end_status(struct env *v)
{
	int status = 0;

	if (v->pid > 0)
		assert_int_equal(waitpid(v->pid, &status, 0), v->pid);
	v->pid = 0;
	close(v->lifeline);
	v->lifeline = -1;
	return status;
}

static inline void stop(struct env *v)
{
	kill(v->pid, SIGTERM);
	int status = end_status(v);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static inline bool mounted(const struct env *v)
{
	struct slu_mpoint mp;

	return slu_mpoint_find(v->mnt, &mp) > 0;
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline int open_at(const struct env *v, const char *path)
{
	char full[256];

	snprintf(full, sizeof full, "%s/%s", v->mnt, path);
	return open(full, O_RDONLY | O_CLOEXEC);
}

static inline void check_file(const struct env *v, const char *path, size_t n)
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

static inline size_t log_text(const struct env *v, char *out, size_t size)
{
	int fd = open(v->log, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	return (size_t)(n > 0 ? n : 0);
}

static inline void stat_at(const struct env *v, const char *path, struct stat *st)
{
	char full[256];

	snprintf(full, sizeof full, "%s/%s", v->mnt, path);
	if (stat(full, st))
		fail_msg("stat %s: %s", full, strerror(errno));
}

static inline void check_content(struct env *v)
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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Without the device there is nothing to test. */
static inline bool no_fuse(void)
{
	if (!access("/dev/fuse", R_OK | W_OK))
		return false;
	printf("1..0 # SKIP /dev/fuse cannot be used here\n");
	return true;
}

#endif
