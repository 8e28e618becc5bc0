/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the download share: a store, a target beside it, files of known bytes. */
#ifndef SLU_TESTS_DOWNLOAD_H
#define SLU_TESTS_DOWNLOAD_H

#include "tests/unit/views.h"

#include "common/fault.h"
#include "common/time.h"
#include "fs/layers.h"
#include "fs/view.h"
#include "io/crypt.h"
#include "io/loop.h"

#include <dirent.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* A store in src/, a target beside it. */
struct env {
	struct unit_dir dir;
	int src, out;
	char target[96];
	struct slu_pool *pool;
	struct slu_loops *loops;
	struct slu_store *s;
	struct slu_tree *t;
	struct slu_err e;
};

static inline void open_store(struct env *v)
{
	char src[96];

	snprintf(src, sizeof src, "%s/src", v->dir.path);
	assert_int_equal(slu_pool_new(4, &v->pool, NULL), 0);
	assert_int_equal(slu_local_new(src, false, v->pool, &v->s, NULL), 0);
}

static inline int setup(void **state)
{
	struct env *v = calloc(1, sizeof *v);
	char src[96];

	unit_dir_make(&v->dir);
	snprintf(src, sizeof src, "%s/src", v->dir.path);
	snprintf(v->target, sizeof v->target, "%s/out", v->dir.path);
	assert_int_equal(mkdir(src, 0755), 0);
	assert_int_equal(mkdir(v->target, 0755), 0);
	v->src = open(src, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	v->out = open(v->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	open_store(v);
	*state = v;
	return 0;
}

static inline int teardown(void **state)
{
	struct env *v = *state;

	slu_tree_free(v->t);
	slu_store_free(v->s);
	slu_loops_free(v->loops);
	slu_pool_free(v->pool);
	close(v->src);
	close(v->out);
	unit_dir_done(&v->dir);
	free(v);
	return 0;
}

static inline void resolve(struct env *v)
{
	slu_tree_free(v->t);
	v->t = views_tree(v->s);
}

static inline void fault(struct env *v, const char *rules)
{
	struct slu_loops_conf conf = {.threads = 1};

	if (!v->loops)
		assert_int_equal(slu_loops_new(&conf, &v->loops, NULL), 0);
	assert_int_equal(slu_faulty_push(&v->s, rules, v->loops, NULL), 0);
	v->t->sources[0].store = v->s;
}

static inline int download(struct env *v, struct slu_download_opts o)
{
	struct slu_view *view = NULL;
	int r = slu_download_open(v->t, v->target, &o, v->pool, &view, &v->e);

	if (!r) {
		assert_string_equal(view->where, v->target);
		assert_int_equal(slu_view_wait(view, NULL), 0);
		assert_int_equal(slu_view_close(view, NULL), 0);
		assert_int_equal(slu_view_close(view, NULL), 0);
	} else {
		assert_null(view);
	}
	slu_view_free(view);
	return r;
}

static inline void download_ok(struct env *v, struct slu_download_opts o)
{
	if (download(v, o))
		fail_msg("download: %s", v->e.msg);
}

/* A target file has n known bytes and the source's time. */
static inline void check_file(struct env *v, const char *path, size_t n)
{
	struct stat a, b;
	char *p = malloc(n + 1);
	int fd = openat(v->out, path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(fstatat(v->src, path, &b, 0), 0);
	assert_int_equal(a.st_size, n);
	assert_memory_equal(&a.st_mtim, &b.st_mtim, sizeof a.st_mtim);
	assert_int_equal(pread(fd, p, n + 1, 0), n);
	views_check(p, 0, n);
	free(p);
	close(fd);
}

/* How many names the top of the target has but ours; parts are left when a download may be gone on with. */
static inline int count_kept(struct env *v, bool kept)
{
	DIR *d = fdopendir(openat(v->out, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *de;
	int n = 0;

	while ((de = readdir(d))) {
		if (!strncmp(de->d_name, ".sluice", 7) && strcmp(de->d_name, ".sluice-complete") &&
		    !(kept && !strcmp(de->d_name, ".sluice-part-1")))
			fail_msg("'%s' is left over", de->d_name);
		n += de->d_name[0] != '.';
	}
	closedir(d);
	return n;
}

static inline int count_top(struct env *v)
{
	return count_kept(v, false);
}

/* Nothing is remembered: all is fetched again. */
static inline void forget(struct env *v)
{
	unlinkat(v->out, ".sluice-complete", 0);
}

static inline void fill(struct env *v)
{
	views_file(v->src, "big", 9 * 1024 * 1024 + 77);
	views_file(v->src, "empty", 0);
	views_file(v->src, "d/one", 1);
	views_file(v->src, "d/e/exact", 1024 * 1024);
	views_file(v->src, "d/e/more", 1024 * 1024 + 1);
	resolve(v);
}

static inline void check_all(struct env *v)
{
	check_file(v, "big", 9 * 1024 * 1024 + 77);
	check_file(v, "empty", 0);
	check_file(v, "d/one", 1);
	check_file(v, "d/e/exact", 1024 * 1024);
	check_file(v, "d/e/more", 1024 * 1024 + 1);
	assert_int_equal(count_top(v), 3);
}

#endif
