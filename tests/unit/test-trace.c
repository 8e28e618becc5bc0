/* SPDX-License-Identifier: Apache-2.0 */
/* The trace layer: what it counts and the line it writes. */
#include "tests/unit/fs.h"

#include "common/json.h"
#include "common/log.h"
#include "fs/layers.h"

static int odd_reads_fail(struct fake *f, struct slu_op *op)
{
	(void)f;
	return op->type == SLU_OP_READ && op->off % 2 ? -EIO : 0;
}

static void counts(void **state)
{
	struct json_t *all, *one;
	struct fake f;
	struct slu_store *s = fake_init(&f, odd_reads_fail);
	struct slu_op op;
	char buf[10];

	(void)state;
	assert_null(slu_trace_stats(s));
	assert_int_equal(slu_trace_push(&s, "t"), 0);
	for (int i = 0; i < 10; i++) {
		slu_op_read(&op, "p", (uint64_t)i, 10, buf, NULL);
		slu_store_wait(s, &op, NULL);
	}
	slu_op_put(&op, "p", "abc", 3, 0);
	assert_int_equal(slu_store_wait(s, &op, NULL), 0);
	all = slu_trace_stats(s);
	assert_int_equal(slu_json_count(all), 2);
	one = slu_json_get(all, "read");
	assert_int_equal(slu_json_int(one, "ops", -1), 10);
	assert_int_equal(slu_json_int(one, "errors", -1), 5);
	assert_int_equal(slu_json_int(one, "bytes", -1), 50);
	assert_true(slu_json_int(one, "us", -1) >= 0);
	assert_int_equal(slu_json_int(slu_json_get(all, "put"), "bytes", -1), 3);
	slu_json_free(all);
	slu_store_free(s);
}

static char line[1024];

static void keep(void *user, enum slu_log_level level, const char *module, const char *text)
{
	(void)user;
	(void)level;
	assert_string_equal(module, "store");
	snprintf(line, sizeof(line), "%s", text);
}

static void one_line_an_op(void **state)
{
	struct fake f;
	struct slu_store *s = fake_init(&f, odd_reads_fail);
	uint64_t id;
	struct slu_op op;
	char buf[10];

	(void)state;
	assert_int_equal(slu_trace_push(&s, "mine"), 0);
	slu_log_set(keep, NULL);
	slu_log_level(SLU_LOG_DEBUG);
	slu_op_read(&op, "a\nb", 7, 10, buf, NULL);
	assert_int_equal(slu_store_wait(s, &op, NULL), -EIO);
	slu_log_level(SLU_LOG_WARNING);
	slu_log_set(NULL, NULL);
	assert_contains(line, "mine read 'a");
	assert_contains(line, "7+10 rc -5");
	assert_null(strchr(line, '\n'));
	id = op.id;
	assert_true(id > 0);
	slu_op_stat(&op, "x");
	slu_store_wait(s, &op, NULL);
	assert_true(op.id > id);
	slu_store_free(s);
}

static void *reads(void *arg)
{
	char c;

	for (int i = 0; i < 5000; i++) {
		struct slu_op op;

		slu_op_read(&op, "p", 0, 1, &c, NULL);
		slu_store_wait(arg, &op, NULL);
	}
	return NULL;
}

static void counts_are_exact_with_many_threads(void **state)
{
	struct json_t *all;
	struct fake f;
	struct slu_store *s = fake_init(&f, odd_reads_fail);
	pthread_t t[4];

	(void)state;
	assert_int_equal(slu_trace_push(&s, "t"), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reads, s), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	all = slu_trace_stats(s);
	assert_int_equal(slu_json_int(slu_json_get(all, "read"), "ops", 0), 20000);
	slu_json_free(all);
	slu_store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),
		cmocka_unit_test(one_line_an_op),
		cmocka_unit_test(counts_are_exact_with_many_threads),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
