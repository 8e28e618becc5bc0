/* SPDX-License-Identifier: Apache-2.0 */
/* Ops: constructors, hooks, the one end, listings. */
#include "tests/unit/fs.h"

static void names_are_complete(void **state)
{
	(void)state;
	for (int i = 0; i < _SLU_OP_MAX; i++) {
		assert_non_null(slu_op_name(i));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(slu_op_name(i), slu_op_name(k));
	}
	assert_string_equal(slu_op_name(SLU_OP_READ), "read");
	assert_string_equal(slu_op_name(_SLU_OP_MAX), "?");
}

static void constructors_fill_and_clear(void **state)
{
	struct slu_list list = {0};
	struct slu_op op;
	char buf[4];

	(void)state;
	memset(&op, 0xee, sizeof(op));
	slu_op_read(&op, "p", 5, 4, buf, "id");
	assert_int_equal(op.type, SLU_OP_READ);
	assert_string_equal(op.path, "p");
	assert_int_equal(op.off, 5);
	assert_int_equal(op.len, 4);
	assert_ptr_equal(op.buf, buf);
	assert_string_equal(op.if_match, "id");
	assert_int_equal(op.depth, 0);
	assert_int_equal(op.deadline, 0);
	assert_false(op.canceled);
	assert_int_equal(op.err.code, 0);
	assert_null(op.done);
	slu_op_list(&op, "d", "m", &list);
	assert_int_equal(op.type, SLU_OP_LIST);
	assert_string_equal(op.marker, "m");
	assert_ptr_equal(op.list, &list);
	slu_op_prefetch(&op, "p", 1, 2, "id");
	assert_int_equal(op.prio, 9);
	slu_op_commit(&op, "p", "t1", 77, SLU_OPF_ABSENT);
	assert_int_equal(op.size, 77);
	assert_int_equal(op.flags, SLU_OPF_ABSENT);
	assert_string_equal(op.txn, "t1");
	slu_op_rename(&op, "a", "b", 0);
	assert_string_equal(op.to, "b");
}

static char trail[16];

static void note(struct slu_op *op)
{
	strncat(trail, op->user, sizeof(trail) - strlen(trail) - 1);
}

static void hook(struct slu_op *op)
{
	char *name = slu_op_pop(op);

	strncat(trail, name, sizeof(trail) - strlen(trail) - 1);
	op->done(op);
}

static void hooks_unwind_in_reverse(void **state)
{
	char a[] = "a", b[] = "b", c[] = "c";
	struct slu_op op;

	(void)state;
	trail[0] = '\0';
	slu_op_stat(&op, "x");
	op.done = note;
	op.user = c;
	slu_op_push(&op, hook, b);
	*slu_op_at(&op) = 11;
	slu_op_push(&op, hook, a);
	assert_int_equal(*slu_op_at(&op), 0);
	slu_op_finish(&op, 0);
	assert_string_equal(trail, "abc");
	assert_int_equal(op.depth, 0);
	assert_int_equal(op.rc, 0);
}

static void finish_always_has_a_reason(void **state)
{
	char none[] = "";
	struct slu_op op;

	(void)state;
	slu_op_stat(&op, "some/path");
	op.done = note;
	op.user = none;
	slu_op_finish(&op, -ENOENT);
	assert_failed(op.rc, op.err, ENOENT, "'some/path'");
	/* of an earlier try: does not stick to a success, nor to another failure */
	slu_op_finish(&op, -EACCES);
	assert_failed(op.rc, op.err, EACCES, "'some/path'");
	slu_op_finish(&op, 0);
	assert_int_equal(op.err.code, 0);
	/* the driver's own words stay */
	op.rc = slu_fail(&op.err, EIO, "broken disk");
	slu_op_finish(&op, -EIO);
	assert_failed(op.rc, op.err, EIO, "broken disk");
}

static int left;

static int succeed(struct fake *f, struct slu_op *op)
{
	(void)f;
	(void)op;
	return 0;
}

static void again(struct slu_op *op)
{
	if (left-- > 0)
		slu_store_submit(op->user, op);
}

/* A million submits from done(), each completing inside submit: the stack must not grow. */
static void chains_do_not_recurse(void **state)
{
	struct fake f;
	struct slu_store *s = fake_init(&f, succeed);
	struct slu_op op;

	(void)state;
	left = 1000000;
	slu_op_stat(&op, "x");
	op.done = again;
	op.user = s;
	slu_store_submit(s, &op);
	assert_int_equal(left, -1);
	assert_int_equal(f.calls, 1000001);
}

static int waits;

static void wait_inside(struct slu_op *op)
{
	struct slu_op inner;

	slu_op_stat(&inner, "y");
	assert_int_equal(slu_store_wait(op->user, &inner, NULL), 0);
	waits++;
}

/* A done() that blocks is wrong, but it must not wait for itself. */
static void waiting_inside_done_ends(void **state)
{
	struct fake f;
	struct slu_store *s = fake_init(&f, succeed);
	struct slu_op op;

	(void)state;
	slu_op_stat(&op, "x");
	op.done = wait_inside;
	op.user = s;
	slu_store_submit(s, &op);
	assert_int_equal(waits, 1);
}

static void lists_copy_and_free(void **state)
{
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = 3, .id = "x"};
	struct slu_list l = {0};
	char name[] = "abcdef";

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(slu_list_add(&l, name, 3, &a), 0);
	memset(name, 'z', 3);
	assert_int_equal(l.n, 1000);
	assert_string_equal(l.p[999].name, "abc");
	assert_int_equal(l.p[999].attr.size, 3);
	slu_list_done(&l);
	assert_null(l.p);
	assert_int_equal(l.n, 0);
	slu_list_done(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_complete),
		cmocka_unit_test(constructors_fill_and_clear),
		cmocka_unit_test(hooks_unwind_in_reverse),
		cmocka_unit_test(finish_always_has_a_reason),
		cmocka_unit_test(chains_do_not_recurse),
		cmocka_unit_test(waiting_inside_done_ends),
		cmocka_unit_test(lists_copy_and_free),
	};

	return cmocka_run_group_tests_name("op", tests, NULL, NULL);
}
