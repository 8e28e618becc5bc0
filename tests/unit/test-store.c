/* SPDX-License-Identifier: Apache-2.0 */
/* What every store has in common: the check at the door, blocking forms, cancel, free. */
#include "tests/unit/fs.h"

#include "fs/layers.h"

static int succeed(struct fake *f, struct slu_op *op)
{
	(void)f;
	(void)op;
	return 0;
}

static void bad_ops_are_refused_before_the_driver(void **state)
{
	static const char *const paths[] = {"/abs", "a//b", "a/../b", "..", ".", "a/", "a/./b"};
	struct fake f;
	struct slu_store *s = fake_init(&f, succeed);
	struct slu_list full = {.n = 1};
	struct slu_err e = {0};
	struct slu_op op;
	char buf[4];

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		slu_op_stat(&op, paths[i]);
		assert_failed(slu_store_wait(s, &op, &e), e, EINVAL, "'");
		slu_op_rename(&op, "ok", paths[i], 0);
		assert_failed(slu_store_wait(s, &op, &e), e, EINVAL, "'");
	}
	slu_op_read(&op, "a", UINT64_MAX - 1, 4, buf, NULL);
	assert_failed(slu_store_wait(s, &op, &e), e, EINVAL, "incomplete");
	slu_op_read(&op, "a", 0, 4, NULL, NULL);
	assert_failed(slu_store_wait(s, &op, &e), e, EINVAL, "incomplete");
	slu_op_list(&op, "a", NULL, &full);
	assert_failed(slu_store_wait(s, &op, &e), e, EINVAL, "incomplete");
	slu_op_put_block(&op, "a", "no/txn", 0, "x", 1);
	assert_failed(slu_store_wait(s, &op, &e), e, EINVAL, "incomplete");
	slu_op_abort(&op, "a", "");
	assert_failed(slu_store_wait(s, &op, &e), e, EINVAL, "incomplete");
	slu_op_put(&op, "", "x", 1, 0);
	assert_failed(slu_store_wait(s, &op, &e), e, EINVAL, "root");
	slu_op_delete(&op, "", SLU_OPF_TREE);
	assert_failed(slu_store_wait(s, &op, &e), e, EINVAL, "root");
	assert_int_equal(f.calls, 0);
}

static void capabilities_are_asked(void **state)
{
	struct slu_list list = {0};
	struct fake f;
	struct slu_store *s = fake_init(&f, succeed);
	struct slu_err e = {0};
	struct slu_op op;
	char buf[4];

	(void)state;
	s->caps = 0;
	slu_op_read(&op, "a", 0, 4, buf, "id");
	assert_failed(slu_store_wait(s, &op, &e), e, ENOTSUP, "'a'");
	slu_op_put(&op, "a", "x", 1, SLU_OPF_ABSENT);
	assert_failed(slu_store_wait(s, &op, &e), e, ENOTSUP, "'a'");
	slu_op_rename(&op, "a", "b", 0);
	assert_failed(slu_store_wait(s, &op, &e), e, ENOTSUP, "'a'");
	slu_op_list(&op, "a", NULL, &list);
	op.flags = SLU_OPF_RECURSIVE;
	assert_failed(slu_store_wait(s, &op, &e), e, ENOTSUP, "'a'");
	slu_op_prefetch(&op, "a", 0, 1, NULL);
	assert_failed(slu_store_wait(s, &op, &e), e, ENOTSUP, "'a'");
	s->caps = ~0u;
	slu_op_put(&op, "a", "x", 1, 0);
	assert_failed(slu_store_wait(s, &op, &e), e, EROFS, "'a'");
	slu_op_mkdir(&op, "a");
	assert_failed(slu_store_wait(s, &op, &e), e, EROFS, "'a'");
	assert_int_equal(f.calls, 0);
	slu_op_stat(&op, "");
	assert_int_equal(slu_store_wait(s, &op, &e), 0);
	assert_int_equal(f.calls, 1);
}

/* One place further down, the same check is not made again. */
static int check_depth(struct fake *f, struct slu_op *op)
{
	(void)f;
	return op->depth == 1 && slu_op_waited(op) ? 0 : -EIO;
}

static void waiting_is_known_to_the_driver(void **state)
{
	struct fake f;
	struct slu_store *s = fake_init(&f, check_depth);
	struct slu_op op;

	(void)state;
	assert_int_equal(slu_trace_push(&s, "t"), 0);
	slu_op_stat(&op, "x");
	assert_int_equal(slu_store_wait(s, &op, NULL), 0);
	assert_false(slu_op_waited(&op));
	slu_store_free(s);
	assert_int_equal(f.freed, 1);
}

static int not_waited(struct fake *f, struct slu_op *op)
{
	(void)f;
	return slu_op_waited(op) ? -EIO : 0;
}

static void in_the_pool_nobody_waits(void **state)
{
	struct fake f;
	struct slu_store *s = fake_init(&f, not_waited);
	struct slu_op op;

	(void)state;
	assert_int_equal(slu_pool_new(2, &f.pool, NULL), 0);
	for (int i = 0; i < 1000; i++) {
		slu_op_stat(&op, "x");
		assert_int_equal(slu_store_wait(s, &op, NULL), 0);
	}
	slu_pool_free(f.pool);
}

static int changing(struct fake *f, struct slu_op *op)
{
	int *stale = f->user;

	if (op->type == SLU_OP_STAT) {
		op->attr = (struct slu_attr){.kind = SLU_KIND_FILE, .size = 3, .id = "v"};
		return 0;
	}
	assert_string_equal(op->if_match, "v");
	if (*stale > 0) {
		--*stale;
		return -ESTALE;
	}
	memcpy(op->buf, "abc", 3);
	return 0;
}

static void get_looks_again_when_replaced(void **state)
{
	struct fake f;
	struct slu_store *s = fake_init(&f, changing);
	struct slu_err e = {0};
	int stale = 3;
	char *got = NULL;
	size_t n;

	(void)state;
	f.user = &stale;
	assert_int_equal(slu_store_get(s, "x", 100, &got, &n, &e), 0);
	assert_string_equal(got, "abc");
	assert_int_equal(n, 3);
	free(got);
	got = NULL;
	stale = 1000;
	assert_failed(slu_store_get(s, "x", 100, &got, &n, &e), e, ESTALE, "'x'");
	assert_null(got);
	assert_failed(slu_store_get(s, "x", 2, &got, &n, &e), e, EFBIG, "'x'");
}

static void local_blocking_forms(void **state)
{
	struct fs_env *v = *state;
	struct slu_attr a;
	struct slu_err e = {0};
	char *got;
	size_t n;

	assert_int_equal(slu_store_put(v->s, "d/f", "hello", 5, SLU_OPF_ABSENT, &a, &e), 0);
	assert_int_equal(a.size, 5);
	assert_int_equal(slu_store_get(v->s, "d/f", 5, &got, &n, &e), 0);
	assert_string_equal(got, "hello");
	free(got);
	assert_failed(slu_store_get(v->s, "d/f", 4, &got, &n, &e), e, EFBIG, "'d/f'");
	assert_failed(slu_store_get(v->s, "d", 4, &got, &n, &e), e, EISDIR, "'d'");
	assert_failed(slu_store_get(v->s, "no", 4, &got, &n, &e), e, ENOENT, "'no'");
	fs_put(v->s, "empty", "");
	assert_int_equal(slu_store_get(v->s, "empty", 0, &got, NULL, &e), 0);
	assert_string_equal(got, "");
	free(got);
	v->s->max_put = 4;
	assert_failed(slu_store_put(v->s, "big", "hello", 5, 0, &a, &e), e, EFBIG, "'big'");
	assert_int_equal(slu_store_delete(v->s, "d/f", 0, &e), 0);
	assert_failed(slu_store_delete(v->s, "d/f", 0, &e), e, ENOENT, "'d/f'");
	assert_int_equal(slu_store_delete(v->s, "d/f", SLU_OPF_TREE, &e), 0);
}

static void cancel_and_hadoop_pass_down(void **state)
{
	struct slu_hadoop h;
	struct fake f;
	struct slu_store *s = fake_init(&f, succeed);
	struct slu_err e = {0};
	struct slu_op op;

	(void)state;
	assert_int_equal(slu_trace_push(&s, "t"), 0);
	slu_op_stat(&op, "x");
	slu_store_cancel(s, &op);
	assert_true(slu_op_canceled(&op));
	assert_int_equal(f.canceled, 1);
	assert_failed(slu_store_hadoop(s, "p", &h, &e), e, ENOTSUP, "'p'");
	slu_store_free(s);
	slu_store_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_ops_are_refused_before_the_driver),
		cmocka_unit_test(capabilities_are_asked),
		cmocka_unit_test(waiting_is_known_to_the_driver),
		cmocka_unit_test(in_the_pool_nobody_waits),
		cmocka_unit_test(get_looks_again_when_replaced),
		FS_TEST(local_blocking_forms),
		cmocka_unit_test(cancel_and_hadoop_pass_down),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
