/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One life of the HDFS driver, from its making to its end with an op of each kind, again and again,
 * with the Nth allocation failing, N = 1.. until none is hit any more; once with only that one
 * failing, once with all from it on.  What succeeds is right, what fails says why and shows nothing
 * half-written, and the sanitizer finds nothing left over.
 */
#include "tests/unit/unit.h"

#include "common/fault.h"
#include "common/str.h"
#include "hdfs/hdfs.h"
#include "tests/lib/fakehdfs.h"

#include <errno.h>

#define TXN "0123456789abcdef"

static struct slu_loops *loops;

/* 0, or an error that a lack of memory may make: EIO where the answer to a rename was lost in it. */
static int check(int rc, const struct slu_err *e, const char *what)
{
	if (rc == 0)
		return 0;
	if (rc != -ENOMEM && rc != -EIO)
		fail_msg("%s gave %d: %s", what, rc, e->msg);
	if (e->code != -rc || !e->msg[0])
		fail_msg("%s gave %d with code %d: '%s'", what, rc, e->code, e->msg);
	return rc;
}

static int run(struct slu_store *s, struct slu_op *op)
{
	struct slu_err e = {0};

	return check(slu_store_wait(s, op, &e), &e, slu_op_name(op->type));
}

/* What is there under the name of a PUT is all of it; it is there when the PUT says so. */
static void check_file(const char *path, const char *want, int rc)
{
	pthread_mutex_lock(&fake.lock);
	struct fake_file *f = fake_find(path);
	bool right = f && f->len == strlen(want) && !memcmp(f->data, want, f->len);

	pthread_mutex_unlock(&fake.lock);
	if (f && !right)
		fail_msg("'%s' is there, but other bytes", path);
	if (!f && rc == 0)
		fail_msg("'%s' was put and is not there", path);
	if (f && rc == -ENOMEM)
		fail_msg("'%s' is there, but its PUT failed", path);
}

static int put_blocks(struct slu_store *s)
{
	struct slu_op op;
	int r;

	slu_op_put_block(&op, "d/b", TXN, 0, "aaa", 3);
	r = run(s, &op);
	slu_op_put_block(&op, "d/b", TXN, 3, "bb", 2);
	r = r ? r : run(s, &op);
	if (r < 0) {
		slu_op_abort(&op, "d/b", TXN);
		(void)run(s, &op);
		return r;
	}
	slu_op_commit(&op, "d/b", TXN, 5, SLU_OPF_ABSENT);
	r = run(s, &op);
	check_file("/r/d/b", "aaabb", r);
	return r;
}

static int look(struct slu_store *s)
{
	struct slu_list l = {0};
	char buf[5], id[SLU_ID_MAX];
	struct slu_op op;
	int r;

	slu_op_stat(&op, "fixed");
	r = run(s, &op);
	if (r < 0)
		return r;
	memcpy(id, op.attr.id, sizeof(id));
	for (int i = 0; i < 2 && r == 0; i++) { /* by the NameNode, by the remembered place */
		slu_op_read(&op, "fixed", 0, 5, buf, id);
		r = run(s, &op);
		if (r == 0)
			assert_memory_equal(buf, "fixed", 5);
	}
	slu_op_list(&op, "", NULL, &l);
	r = r ? r : run(s, &op);
	slu_list_done(&l);
	return r;
}

static int change(struct slu_store *s)
{
	struct slu_op op;
	int r;

	slu_op_put(&op, "d/f", "hello", 5, SLU_OPF_ABSENT);
	r = run(s, &op);
	check_file("/r/d/f", "hello", r);
	if (r < 0)
		return r;
	slu_op_rename(&op, "d/f", "new/g", SLU_OPF_ABSENT);
	r = run(s, &op);
	slu_op_delete(&op, "new", SLU_OPF_TREE);
	r = r ? r : run(s, &op);
	slu_op_mkdir(&op, "m/n");
	return r ? r : run(s, &op);
}

static int life(void)
{
	SLU_AUTO(slu_store_freep) struct slu_store *s = NULL;
	struct slu_err e = {0};
	char web[32];
	struct slu_hdfs_conf c = {.web = web, .root = "/r", .user = "ann"};
	int r;

	snprintf(web, sizeof(web), "127.0.0.1:%u", fake.srv.port);
	r = check(slu_hdfs_new(&c, loops, NULL, &s, &e), &e, "new");
	if (r == 0)
		r = look(s);
	if (r == 0)
		r = change(s);
	return r ? r : put_blocks(s);
}

static void torture(bool all)
{
	long n = 1;

	for (;; n++) {
		fake_start(); /* it keeps a record of every connection */
		fake_put("/r/fixed", "fixed", 5);
		slu_fault_arm(SLU_FAULT_MALLOC, n, all);
		int r = life();
		bool hit = slu_fault_count(SLU_FAULT_MALLOC) >= n;

		slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
		httpd_stop(&fake.srv);
		if (!hit) {
			assert_int_equal(r, 0);
			break;
		}
	}
	assert_true(n > 50);
}

static void one_allocation_fails(void **state)
{
	(void)state;
	torture(false);
}

static void all_allocations_fail_from_one_on(void **state)
{
	(void)state;
	torture(true);
}

static int setup(void **state)
{
	struct slu_loops_conf conf = {.threads = 1};

	(void)state;
	return slu_loops_new(&conf, &loops, NULL);
}

static int teardown(void **state)
{
	(void)state;
	slu_loops_free(loops);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_allocation_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(all_allocations_fail_from_one_on, setup, teardown),
	};

	return cmocka_run_group_tests_name("torture-hdfs", tests, NULL, NULL);
}
