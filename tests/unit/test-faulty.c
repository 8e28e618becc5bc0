/* SPDX-License-Identifier: Apache-2.0 */
/* The fault layer: the rules and what each does to an op. */
#include "tests/unit/fs.h"

#include "common/time.h"
#include "fs/faulty.h"
#include "fs/layers.h"
#include "io/loop.h"

static void mistakes_are_named(void **state)
{
	static const struct {
		const char *rules, *text;
	} t[] = {
		{"read", "'read' is not"},
		{"read:1", "'read:1' is not"},
		{"frob:1:EIO", "'frob'"},
		{"read:2:EIO", "'2'"},
		{"read:1.5:EIO", "'1.5'"},
		{"read:x:EIO", "'x'"},
		{"read:#0:EIO", "'#0'"},
		{"read:#:EIO", "'#'"},
		{"read:0.:EIO", "'0.'"},
		{"read:1:EWHAT", "'EWHAT'"},
		{"read:1:delay=x", "delay"},
		{"seed=x", "seed=x"},
		{"read:1:EIO,,", ""},
		{"read:-1:EIO", "'-1'"},
		{"read:1:while=x", "while"},
		{"read:#+:EIO", "'#'"},
		{"read:1:while=/a,read:1:while=/b", "while"},
	};
	struct slu_faulty_rules *r = NULL;
	struct slu_err e = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_failed(slu_faulty_rules_parse(t[i].rules, &r, &e), e, EINVAL, t[i].text);
		assert_null(r);
	}
	assert_int_equal(slu_faulty_rules_parse("", &r, &e), 0);
	assert_int_equal(slu_faulty_rules_ask(r, SLU_OP_READ).what, SLU_FAULTY_NONE);
	slu_faulty_rules_free(r);
	slu_faulty_rules_free(NULL);
}

static int count(const char *rules, enum slu_op_type type, int n)
{
	struct slu_faulty_rules *r;
	int hits = 0;

	assert_int_equal(slu_faulty_rules_parse(rules, &r, NULL), 0);
	for (int i = 0; i < n; i++)
		hits += slu_faulty_rules_ask(r, type).what != SLU_FAULTY_NONE;
	slu_faulty_rules_free(r);
	return hits;
}

static void rates_and_counts(void **state)
{
	struct slu_faulty_rules *r, *r2;
	struct slu_faulty_action a;
	int same = 0;

	(void)state;
	assert_int_equal(count("read:1:EIO", SLU_OP_READ, 100), 100);
	assert_int_equal(count("read:0:EIO", SLU_OP_READ, 100), 0);
	assert_int_equal(count("read:1:EIO", SLU_OP_STAT, 100), 0);
	assert_int_equal(count("any:1:EIO", SLU_OP_STAT, 100), 100);
	assert_int_equal(count("any:1:short", SLU_OP_STAT, 100), 0);
	assert_int_equal(count("read:#3:EIO", SLU_OP_READ, 100), 1);
	assert_int_equal(count("read:#3+:EIO", SLU_OP_READ, 100), 98);
	assert_in_range(count("seed=1,read:0.25:EIO", SLU_OP_READ, 10000), 2300, 2700);
	assert_in_range(count("read:0.001:EIO", SLU_OP_READ, 100000), 50, 150);
	/* the same seed, the same faults; another one, others */
	assert_int_equal(slu_faulty_rules_parse("seed=7,any:0.5:EIO", &r, NULL), 0);
	assert_int_equal(slu_faulty_rules_parse("seed=7,any:0.5:EIO", &r2, NULL), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(slu_faulty_rules_ask(r, SLU_OP_PUT).what,
				 slu_faulty_rules_ask(r2, SLU_OP_PUT).what);
	slu_faulty_rules_free(r2);
	assert_int_equal(slu_faulty_rules_parse("seed=8,any:0.5:EIO", &r2, NULL), 0);
	for (int i = 0; i < 1000; i++)
		same += slu_faulty_rules_ask(r, SLU_OP_PUT).what ==
			slu_faulty_rules_ask(r2, SLU_OP_PUT).what;
	assert_in_range(same, 300, 700);
	slu_faulty_rules_free(r);
	slu_faulty_rules_free(r2);
	/* the first that fires */
	assert_int_equal(slu_faulty_rules_parse("read:#2:ESTALE,any:1:delay=5ms", &r, NULL), 0);
	a = slu_faulty_rules_ask(r, SLU_OP_READ);
	assert_int_equal(a.what, SLU_FAULTY_DELAY);
	assert_int_equal(a.ns, 5 * SLU_MS);
	a = slu_faulty_rules_ask(r, SLU_OP_READ);
	assert_int_equal(a.what, SLU_FAULTY_ERRNO);
	assert_int_equal(a.code, ESTALE);
	slu_faulty_rules_free(r);
}

static int succeed(struct fake *f, struct slu_op *op)
{
	(void)f;
	(void)op;
	return 0;
}

struct stack {
	struct fake f;
	struct slu_loops *loops;
	struct slu_store *s;
};

static void stack(struct stack *st, const char *rules)
{
	assert_int_equal(slu_loops_new(&(struct slu_loops_conf){.threads = 1}, &st->loops, NULL),
			 0);
	st->s = fake_init(&st->f, succeed);
	assert_int_equal(slu_faulty_push(&st->s, rules, st->loops, NULL), 0);
}

static void unstack(struct stack *st)
{
	slu_store_free(st->s);
	slu_loops_free(st->loops);
}

static void each_kind(void **state)
{
	struct slu_err e = {0};
	struct stack st;
	struct slu_op op;
	int64_t from;
	char buf[10];

	(void)state;
	stack(&st, "read:#1:EACCES,read:#1:short,read:#1:lost,read:#1:delay=30ms");
	slu_op_read(&op, "p", 0, 10, buf, NULL);
	assert_failed(slu_store_wait(st.s, &op, &e), e, EACCES, "'p'");
	assert_int_equal(st.f.calls, 0); /* refused before any effect */
	slu_op_read(&op, "p", 0, 10, buf, NULL);
	assert_failed(slu_store_wait(st.s, &op, &e), e, EIO, "5 of 10");
	assert_int_equal(st.f.calls, 1);
	slu_op_read(&op, "p", 0, 10, buf, NULL);
	assert_failed(slu_store_wait(st.s, &op, &e), e, ETIMEDOUT, "no answer");
	assert_int_equal(st.f.calls, 2); /* it was done */
	slu_op_read(&op, "p", 0, 10, buf, NULL);
	from = slu_now();
	assert_int_equal(slu_store_wait(st.s, &op, &e), 0);
	assert_true(slu_now() - from >= 30 * SLU_MS);
	slu_op_read(&op, "p", 0, 10, buf, NULL);
	assert_int_equal(slu_store_wait(st.s, &op, &e), 0);
	unstack(&st);
}

static void *cancel_it(void *arg)
{
	void **a = arg;

	slu_store_cancel(a[0], a[1]);
	return NULL;
}

static void done_now(struct slu_op *op)
{
	atomic_fetch_add((atomic_int *)op->user, 1);
}

static void a_hang_ends_by_deadline_or_cancel(void **state)
{
	struct slu_err e = {0};
	atomic_int done = 0;
	struct stack st;
	struct slu_op op;
	pthread_t t;

	(void)state;
	stack(&st, "stat:1:hang");
	slu_op_stat(&op, "p");
	op.deadline = slu_deadline_in(20 * SLU_MS);
	assert_failed(slu_store_wait(st.s, &op, &e), e, ETIMEDOUT, "'p'");
	slu_op_stat(&op, "p");
	op.done = done_now;
	op.user = &done;
	slu_store_submit(st.s, &op);
	assert_int_equal(done, 0);
	assert_int_equal(pthread_create(&t, NULL, cancel_it, (void *[]){st.s, &op}), 0);
	pthread_join(t, NULL);
	assert_int_equal(done, 1);
	assert_int_equal(op.rc, -ECANCELED);
	/* canceled before it began to wait */
	slu_op_stat(&op, "p");
	op.canceled = true;
	assert_int_equal(slu_store_wait(st.s, &op, &e), -ECANCELED);
	assert_int_equal(st.f.calls, 0);
	unstack(&st);
}

static void a_file_holds_an_op(void **state)
{
	struct unit_dir dir;
	atomic_int done = 0;
	struct stack st;
	struct slu_op op, held;
	char file[128], rules[160];

	(void)state;
	unit_dir_make(&dir);
	snprintf(file, sizeof(file), "%s/hold", dir.path);
	snprintf(rules, sizeof(rules), "stat:1:while=%s", file);
	assert_int_equal(close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	stack(&st, rules);
	slu_op_stat(&held, "p");
	held.done = done_now;
	held.user = &done;
	slu_store_submit(st.s, &held);
	slu_op_stat(&op, "q");
	op.done = done_now;
	op.user = &done;
	slu_store_submit(st.s, &op);
	assert_int_equal(done, 0);
	slu_store_cancel(st.s, &op);
	while (done < 1)
		sched_yield();
	assert_int_equal(op.rc, -ECANCELED);
	assert_int_equal(st.f.calls, 0);
	assert_int_equal(unlink(file), 0);
	while (done < 2)
		sched_yield();
	assert_int_equal(held.rc, 0);
	assert_int_equal(st.f.calls, 1);
	unstack(&st);
	unit_dir_done(&dir);
}

static void a_bad_rule_leaves_the_store_alone(void **state)
{
	struct fake f;
	struct slu_store *s = fake_init(&f, succeed), *was = s;
	struct slu_err e = {0};

	(void)state;
	assert_failed(slu_faulty_push(&s, "nonsense", NULL, &e), e, EINVAL, "'nonsense'");
	assert_ptr_equal(s, was);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(rates_and_counts),
		cmocka_unit_test(each_kind),
		cmocka_unit_test(a_hang_ends_by_deadline_or_cancel),
		cmocka_unit_test(a_file_holds_an_op),
		cmocka_unit_test(a_bad_rule_leaves_the_store_alone),
	};

	return cmocka_run_group_tests_name("faulty", tests, NULL, NULL);
}
