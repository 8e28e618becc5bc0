/* SPDX-License-Identifier: Apache-2.0 */
/* Put-if-absent over a store that loses replies, and the gang. */
#include "tests/unit/unit.h"

#include "common/mem.h"
#include "dataset/gang.h"
#include "dataset/once.h"
#include "fs/local.h"
#include "io/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

/* A layer that spoils the first `spoil` puts: before they are carried out, or after. */
struct lossy {
	struct slu_store store;
	int spoil, rc;
	bool after;
	int puts;
};

static void spoiled(struct slu_op *op)
{
	struct lossy *l = slu_op_pop(op);

	l->spoil--;
	slu_fail(&op->err, -l->rc, "reply lost");
	slu_op_finish(op, l->rc);
}

static void lossy_submit(struct slu_store *s, struct slu_op *op)
{
	struct lossy *l = (struct lossy *)s;

	if (op->type != SLU_OP_PUT) {
		slu_store_submit(s->below, op);
		return;
	}
	l->puts++;
	if (l->spoil == 0) {
		slu_store_submit(s->below, op);
	} else if (l->after) {
		slu_op_push(op, spoiled, l);
		slu_store_submit(s->below, op);
	} else {
		l->spoil--;
		slu_fail(&op->err, -l->rc, "not sent");
		slu_op_finish(op, l->rc);
	}
}

static void lossy_free(struct slu_store *s)
{
	(void)s;
}

static const struct slu_store_ops lossy_ops = {
	.name = "lossy", .submit = lossy_submit, .free = lossy_free};

struct bench {
	struct unit_dir dir;
	struct slu_pool *pool;
	struct lossy l;
};

static void bench_make(struct bench *b)
{
	struct slu_err e = {0};

	memset(b, 0, sizeof *b);
	unit_dir_make(&b->dir);
	assert_int_equal(slu_pool_new(2, &b->pool, &e), 0);
	assert_int_equal(slu_local_new(b->dir.path, false, b->pool, &b->l.store.below, &e), 0);
	b->l.store.ops = &lossy_ops;
	b->l.store.caps = b->l.store.below->caps;
	b->l.store.max_put = b->l.store.below->max_put;
	b->l.store.block = b->l.store.below->block;
}

static void bench_done(struct bench *b)
{
	slu_store_free(b->l.store.below);
	slu_pool_free(b->pool);
	unit_dir_done(&b->dir);
}

static int put(struct bench *b, const char *text, char **other, struct slu_err *e)
{
	size_t n = 0;

	return slu_once_put(&b->l.store, "a/b.json", text, strlen(text), other, &n, e);
}

static void test_plain(void **state)
{
	struct bench b;
	struct slu_err e = {0};
	char *other = NULL;

	(void)state;
	bench_make(&b);
	assert_int_equal(put(&b, "one", NULL, &e), 0);
	assert_int_equal(put(&b, "one", NULL, &e), 0); /* our own, found again */
	assert_int_equal(put(&b, "two", &other, &e), 1);
	assert_string_equal(other, "one");
	free(other);
	assert_int_equal(put(&b, "three", NULL, &e), 1); /* nobody wants to know what it is */
	bench_done(&b);
}

static void test_lost_reply(void **state)
{
	static const int codes[] = {-ETIMEDOUT, -EIO, -ECONNRESET, -EEXIST};
	struct slu_err e = {0};

	(void)state;
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		struct bench b;

		bench_make(&b);
		b.l.spoil = 1;
		b.l.rc = codes[i];
		b.l.after = true;
		assert_int_equal(put(&b, "mine", NULL, &e), 0);
		assert_int_equal(b.l.puts, 1); /* it was read, not put again */
		bench_done(&b);
	}
}

static void test_not_sent(void **state)
{
	struct bench b;
	struct slu_err e = {0};

	(void)state;
	bench_make(&b);
	b.l.spoil = 2;
	b.l.rc = -ETIMEDOUT;
	assert_int_equal(put(&b, "mine", NULL, &e), 0);
	assert_int_equal(b.l.puts, 3);

	/* Another's object came in the meantime: not ours, whatever was lost. */
	b.l.spoil = 1;
	assert_int_equal(put(&b, "later", NULL, &e), 1);
	bench_done(&b);
}

static void test_refused(void **state)
{
	struct bench b;
	struct slu_err e = {0};
	struct slu_attr a;

	(void)state;
	bench_make(&b);
	b.l.spoil = 1;
	b.l.rc = -EACCES;
	assert_failed(put(&b, "mine", NULL, &e), e, EACCES, "not sent");
	assert_int_equal(b.l.puts, 1);
	assert_int_equal(slu_store_stat(&b.l.store, "a/b.json", &a, &e), -ENOENT);

	b.l.spoil = 100;
	b.l.rc = -ETIMEDOUT;
	assert_failed(put(&b, "mine", NULL, &e), e, ETIMEDOUT, "not sent");
	assert_true(b.l.puts < 10);

	b.l.spoil = 0;
	b.l.store.caps &= ~SLU_CAP_PUT_ABSENT;
	assert_failed(put(&b, "mine", NULL, &e), e, ENOTSUP, "another store");
	bench_done(&b);
}

struct sum {
	atomic_size_t n;
	size_t fail_at;
	unsigned char seen[1000];
};

static int add(void *user, size_t i, struct slu_err *e)
{
	struct sum *s = user;

	s->seen[i]++;
	atomic_fetch_add(&s->n, 1);
	return i >= s->fail_at ? slu_fail(e, EIO, "item %zu", i) : 0;
}

static void test_gang(void **state)
{
	struct slu_err e = {0};
	struct sum s = {.fail_at = 5000};

	(void)state;
	assert_int_equal(slu_gang(1000, 7, add, &s, &e), 0);
	assert_int_equal(s.n, 1000);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(s.seen[i], 1);
	assert_int_equal(slu_gang(0, 7, add, &s, &e), 0);
	assert_int_equal(slu_gang(3, 1000, add, &s, &e), 0);

	struct sum f = {.fail_at = 10};

	assert_int_equal(slu_gang(1000, 4, add, &f, &e), -EIO);
	assert_contains(e.msg, "item 1"); /* of 10 to 13 the lowest that ran */
	assert_true(f.n < 100);
	assert_int_equal(slu_gang(1000, 1, add, &f, NULL), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),    cmocka_unit_test(test_lost_reply),
		cmocka_unit_test(test_not_sent), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_gang),
	};

	return cmocka_run_group_tests_name("once", tests, NULL, NULL);
}
