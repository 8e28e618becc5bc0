/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges, histograms, and what they look like as JSON. */
#include "unit.h"

#include "common/json.h"
#include "fs/stats.h"

#include <errno.h>
#include <pthread.h>

static void test_buckets_meet(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SLU_HIST_BUCKETS - 1; i++) {
		int64_t end = slu_hist_end(i);

		assert_int_equal(slu_hist_bucket(end - 1), i);
		assert_int_equal(slu_hist_bucket(end), i + 1);
	}
	assert_int_equal(slu_hist_bucket(-5), 0);
	assert_int_equal(slu_hist_bucket(INT64_MAX), SLU_HIST_BUCKETS - 1);
	assert_true(slu_hist_end(SLU_HIST_BUCKETS - 2) > 3600 * SLU_SEC / 10);
}

static void test_quantiles(void **state)
{
	uint64_t counts[SLU_HIST_BUCKETS] = {0};
	int64_t q;

	(void)state;
	assert_int_equal(slu_hist_quantile(counts, 0.5), 0);
	for (int i = 1; i <= 1000; i++)
		counts[slu_hist_bucket(i * SLU_MS)]++;
	q = slu_hist_quantile(counts, 0.5);
	assert_true(q >= 500 * SLU_MS && q <= 625 * SLU_MS);
	q = slu_hist_quantile(counts, 0.99);
	assert_true(q >= 990 * SLU_MS && q <= 1240 * SLU_MS);
	assert_true(slu_hist_quantile(counts, 1.0) >= 1000 * SLU_MS);
}

static void test_every_thing_has_a_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SLU_STAT_COUNTERS; i++)
		assert_non_null(slu_stat_name(i));
	for (unsigned i = 0; i < SLU_STAT_KINDS; i++)
		assert_non_null(slu_stat_kind_name(i));
	for (unsigned i = 0; i < SLU_GAUGES; i++)
		assert_non_null(slu_stat_gauge_name(i));
}

static void test_json_tells_what_was_counted(void **state)
{
	struct json_t *j, *k;

	(void)state;
	slu_stats_reset();
	slu_stat_add(SLU_STAT_FETCHED, 4096);
	slu_stat_move(SLU_GAUGE_QUEUED, 3);
	slu_stat_move(SLU_GAUGE_QUEUED, -2);
	slu_stat_took(SLU_STAT_FUSE_READ, 10 * SLU_MS, 0);
	slu_stat_took(SLU_STAT_FUSE_READ, 10 * SLU_MS, -ESTALE);
	slu_stat_took(SLU_STAT_FUSE_READ, 10 * SLU_MS, -100000);
	j = slu_stats_json();
	assert_non_null(j);
	assert_int_equal(slu_json_int(slu_json_get(j, "counters"), "fetched", 0), 4096);
	k = slu_json_get(slu_json_get(j, "gauges"), "queued");
	assert_int_equal(slu_json_int(k, "now", 0), 1);
	assert_int_equal(slu_json_int(k, "peak", 0), 3);
	k = slu_json_get(slu_json_get(j, "kinds"), "fuse_read");
	assert_int_equal(slu_json_int(k, "count", 0), 3);
	assert_int_equal(slu_json_int(k, "errors", 0), 2);
	assert_int_equal(slu_json_int(k, "us", 0), 30000);
	assert_true(slu_json_int(k, "p50_us", 0) > 10000 && slu_json_int(k, "p50_us", 0) <= 12500);
	assert_int_equal(slu_json_int(slu_json_get(j, "errors"), "ESTALE", 0), 1);
	assert_int_equal(slu_json_int(slu_json_get(j, "errors"), "other", 0), 1);
	assert_null(slu_json_get(slu_json_get(j, "kinds"), "store_put"));
	assert_true(slu_json_int(slu_json_get(j, "budget"), "limit", 0) > 0);
	assert_true(slu_json_int(slu_json_get(j, "process"), "rss", 0) > 0);
	slu_json_free(j);
}

static void *count_much(void *arg)
{
	(void)arg;
	for (int i = 0; i < 10000; i++) {
		slu_stat_add(SLU_STAT_ASKED, 2);
		slu_stat_move(SLU_GAUGE_FLIGHT, 1);
		slu_stat_took(SLU_STAT_STORE + SLU_OP_READ, i * 1000, 0);
		slu_stat_move(SLU_GAUGE_FLIGHT, -1);
	}
	return NULL;
}

static void test_threads_lose_nothing(void **state)
{
	pthread_t t[4];
	struct json_t *j, *g;

	(void)state;
	slu_stats_reset();
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count_much, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(slu_stat_get(SLU_STAT_ASKED), 80000);
	j = slu_stats_json();
	assert_int_equal(
		slu_json_int(slu_json_get(slu_json_get(j, "kinds"), "store_read"), "count", 0),
		40000);
	g = slu_json_get(slu_json_get(j, "gauges"), "flight");
	assert_int_equal(slu_json_int(g, "now", -1), 0);
	assert_in_range(slu_json_int(g, "peak", -1), 1, 4);
	slu_json_free(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets_meet),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_every_thing_has_a_name),
		cmocka_unit_test(test_json_tells_what_was_counted),
		cmocka_unit_test(test_threads_lose_nothing),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
