/* SPDX-License-Identifier: Apache-2.0 */
/* Livy: states, a log whose window moves on, and sizes of Spark steps against what a compute has. */
#include "tests/unit/job.h"

#include "job/compute.h"
#include "job/livy.h"

static struct json_t *json(const char *text)
{
	struct json_t *o = NULL;

	if (slu_json_parse(text, strlen(text), "test", &o, NULL) < 0)
		fail_msg("%s", text);
	return o;
}

static void state(const char *text, enum slu_livy_state want, const char *word)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = json(text);
	const char *got;

	assert_int_equal(slu_livy_judge(o, &got), want);
	assert_string_equal(got, word);
}

static void test_states(void **unused)
{
	(void)unused;
	state("{\"state\":\"starting\"}", SLU_LIVY_WAITS, "starting");
	state("{\"state\":\"recovering\"}", SLU_LIVY_WAITS, "recovering");
	state("{}", SLU_LIVY_WAITS, "not_started");
	state("{\"state\":\"running\",\"result\":\"Uncertain\"}", SLU_LIVY_RUNS, "running");
	state("{\"state\":\"success\"}", SLU_LIVY_DONE, "success");
	state("{\"state\":\"killed\"}", SLU_LIVY_FAILED, "killed");
	state("{\"state\":\"success\",\"result\":\"Failed\"}", SLU_LIVY_FAILED, "Failed");
}

struct told {
	char text[2][256];
};

static void tell(void *user, int stream, const char *line)
{
	struct told *t = user;
	size_t n = strlen(t->text[stream]);

	snprintf(t->text[stream] + n, sizeof(t->text[stream]) - n, "%s;", line);
}

static void add(struct slu_livy_log *l, const char *lines, struct told *t)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = json(lines);

	assert_int_equal(slu_livy_log_add(l, o, tell, t), 0);
}

static void test_log(void **unused)
{
	struct slu_livy_log l = {0};
	struct told t = {0};

	(void)unused;
	add(&l, "[\"stdout: \",\"a\",\"b\",\"\\nstderr: \"]", &t);
	add(&l, "[\"stdout: \",\"a\",\"b\",\"b\",\"\\nstderr: \",\"x\"]", &t);
	add(&l, "[\"stdout: \",\"b\",\"c\",\"\\nstderr: \",\"x\"]", &t);
	add(&l, "[]", &t);
	add(&l, "[\"stdout: \",\"c\",\"d\",\"\\nstderr: \",\"x\",\"\\nYARN Diagnostics: \",\"y\"]",
	    &t);
	/* Nothing of the last answer is left: all is new. */
	add(&l, "[\"stdout: \",\"q\"]", &t);
	assert_string_equal(t.text[0], "a;b;b;c;d;q;");
	assert_string_equal(t.text[1], "x;y;");
	slu_livy_log_done(&l);
}

static void memory(const char *text, uint64_t want)
{
	uint64_t got = 0;

	assert_int_equal(slu_compute_memory(text, 1 << 20, &got), want != 0);
	assert_true(got == want);
}

static void test_memory(void **unused)
{
	(void)unused;
	memory("28g", 28ULL << 30);
	memory("28GB", 28ULL << 30);
	memory("512m", 512ULL << 20);
	memory("512", 512ULL << 20);
	memory("1t", 1ULL << 40);
	memory("28x", 0);
	memory("g", 0);
	memory("1.5g", 0);
	memory("99999999999999t", 0);
}

static int sizes(const struct slu_compute *c, const char *conf, char **ret, struct slu_err *e)
{
	struct slu_spec_step st = {.kind = SLU_JOB_SPARK, .spark.conf = json(conf)};
	int r = slu_compute_sizes(c, &st, ret, e);

	slu_json_free(st.spark.conf);
	return r;
}

#define SIX                                                                                        \
	"\"spark.driver.cores\":\"4\",\"spark.driver.memory\":\"28g\",\"spark.executor.cores\":"   \
	"\"4\",\"spark.executor.memory\":\"28g\""

static void test_sizes(void **unused)
{
	struct slu_compute pool = {.name = (char *)"pool", .kind = SLU_COMPUTE_LIVY};
	SLU_AUTO(slu_freep) char *words = NULL;
	struct slu_err e = {0};

	(void)unused;
	assert_int_equal(sizes(&pool, "{" SIX ",\"spark.executor.instances\":\"6\"}", &words, &e),
			 0);
	assert_contains(words, "6 executors x 4 cores x 28 GB = 24 cores, 168 GB");
	assert_contains(words, "driver 4 cores, 28 GB");
	free(slu_take(words));
	assert_int_equal(sizes(&pool, "{\"spark.x\":\"1\"}", &words, &e), 0);
	assert_null(words);
	pool.room = (struct slu_compute_room){.cores = 27};
	assert_failed(sizes(&pool, "{" SIX ",\"spark.executor.instances\":\"6\"}", &words, &e), e,
		      ENOSPC, "27 cores");
	pool.room = (struct slu_compute_room){.node_cores = 4, .node_memory = 16ULL << 30};
	assert_failed(sizes(&pool, "{" SIX "}", &words, &e), e, ENOSPC, "16 GB on each node");
	/* A dynamic allocation begins with less than its most. */
	pool.room = (struct slu_compute_room){.cores = 8};
	assert_int_equal(sizes(&pool,
			       "{" SIX ",\"spark.dynamicAllocation.enabled\":\"true\","
			       "\"spark.dynamicAllocation.maxExecutors\":\"6\"}",
			       &words, &e),
			 0);
	assert_contains(words, "at most 6 executors");
	free(slu_take(words));
	assert_failed(sizes(&pool, "{\"spark.executor.memory\":\"lots\"}", &words, &e), e, EINVAL,
		      "lots");
	/* Times the executors it would be next to nothing. */
	assert_failed(sizes(&pool,
			    "{\"spark.executor.memory\":\"8192p\","
			    "\"spark.executor.instances\":\"2\"}",
			    &words, &e),
		      e, EINVAL, "8192p");
	assert_failed(sizes(&pool, "{\"spark.executor.cores\":\"0\"}", &words, &e), e, EINVAL,
		      "spark.executor.cores");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests_name("livy", tests, NULL, NULL);
}
