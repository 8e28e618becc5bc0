/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of fs/ share: a local store in a folder of its own, and a driver whose behaviour
 * is a function of the test. */
#ifndef SLU_TESTS_FS_H
#define SLU_TESTS_FS_H

#include "tests/unit/unit.h"

#include "common/mem.h"
#include "common/str.h"
#include "fs/store.h"
#include "io/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "fs/local.h"

struct fs_env {
	struct unit_dir dir;
	struct slu_pool *pool;
	struct slu_store *s;
};

static inline int fs_setup(void **state)
{
	struct fs_env *v = calloc(1, sizeof(*v));

	assert_non_null(v);
	unit_dir_make(&v->dir);
	assert_int_equal(slu_pool_new(4, &v->pool, NULL), 0);
	assert_int_equal(slu_local_new(v->dir.path, false, v->pool, &v->s, NULL), 0);
	*state = v;
	return 0;
}

static inline int fs_teardown(void **state)
{
	struct fs_env *v = *state;

	slu_store_free(v->s);
	slu_pool_free(v->pool);
	unit_dir_done(&v->dir);
	free(v);
	return 0;
}

#define FS_TEST(f) cmocka_unit_test_setup_teardown(f, fs_setup, fs_teardown)

static inline void fs_put(struct slu_store *s, const char *path, const char *text)
{
	struct slu_err e = {0};

	if (slu_store_put(s, path, text, strlen(text), 0, NULL, &e) < 0)
		fail_msg("put '%s': %s", path, e.msg);
}

static inline struct slu_attr fs_stat(struct slu_store *s, const char *path)
{
	struct slu_attr a = {0};
	struct slu_err e = {0};

	if (slu_store_stat(s, path, &a, &e) < 0)
		fail_msg("stat '%s': %s", path, e.msg);
	return a;
}

/* The content must be this. */
static inline void fs_expect(struct slu_store *s, const char *path, const char *text)
{
	struct slu_err e = {0};
	char *got;
	size_t n;

	if (slu_store_get(s, path, 1 << 30, &got, &n, &e) < 0)
		fail_msg("get '%s': %s", path, e.msg);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, n);
	free(got);
}

/* A driver that asks fn for each result, in the pool when there is one, else at once. */
struct fake {
	struct slu_store s;
	int (*fn)(struct fake *f, struct slu_op *op);
	struct slu_pool *pool;
	void *user;
	atomic_int calls;
	atomic_int freed;
	atomic_int canceled;
};

static inline void fake_work(struct slu_work *w)
{
	struct slu_op *op = (struct slu_op *)((char *)w - offsetof(struct slu_op, work));
	struct fake *f = op->drv;

	slu_op_finish(op, f->fn(f, op));
}

static inline void fake_submit(struct slu_store *s, struct slu_op *op)
{
	struct fake *f = (struct fake *)s;

	atomic_fetch_add(&f->calls, 1);
	op->drv = f;
	op->work = (struct slu_work){.fn = fake_work};
	if (f->pool)
		slu_pool_add(f->pool, &op->work);
	else
		fake_work(&op->work);
}

static inline void fake_cancel(struct slu_store *s, struct slu_op *op)
{
	(void)op;
	atomic_fetch_add(&((struct fake *)s)->canceled, 1);
}

static inline void fake_free(struct slu_store *s)
{
	atomic_fetch_add(&((struct fake *)s)->freed, 1);
}

static const struct slu_store_ops fake_ops = {
	.name = "fake", .submit = fake_submit, .cancel = fake_cancel, .free = fake_free};

/* The struct is the test's own; free of the store does not free it. */
static inline struct slu_store *fake_init(struct fake *f,
					  int (*fn)(struct fake *f, struct slu_op *op))
{
	*f = (struct fake){
		.s = {.ops = &fake_ops,
		      .caps = ~(unsigned)(SLU_CAP_READ_ONLY | SLU_CAP_TREE_ORDER |
					  SLU_CAP_BARE_READ),
		      .block = 4096,
		      .max_put = SIZE_MAX},
		.fn = fn,
	};
	return &f->s;
}

#endif
