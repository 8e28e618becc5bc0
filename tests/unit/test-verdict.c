/* SPDX-License-Identifier: Apache-2.0 */
/* The sentence that names the bottleneck, from recorded numbers. */
#include "unit.h"

#include "common/json.h"
#include "fs/stats.h"

/* What a mount tells, as far as the sentence looks at it: 1,000 reads of 128 KiB in 10 s, half of which
 * took 20 ms, from a store whose answers take as long.  Each case bends this. */
static const char base[] =
	"{\"stats\":{\"at_ms\":20000,"
	"\"counters\":{\"asked\":131072000,\"answered\":131072000,\"fetched\":131072000,"
	"\"hit_memory\":0,\"hit_joined\":0,\"throttled\":0,\"retries\":0,\"prefetches\":0,"
	"\"prefetch_lost\":0},"
	"\"gauges\":{\"queued\":{\"now\":0,\"peak\":0}},"
	"\"errors\":{},"
	"\"kinds\":{\"fuse_read\":{\"count\":1000,\"errors\":0,\"us\":20000000,"
	"\"hist\":{\"20480\":1000}},"
	"\"store_read\":{\"count\":1000,\"errors\":0,\"us\":20000000,\"hist\":{\"20480\":1000}}},"
	"\"budget\":{\"limit\":104857600,\"used\":1048576,\"waited\":0},"
	"\"process\":{\"cpu_us\":1000000,\"cores\":4}}}";
static const char begun[] = "{\"stats\":{\"at_ms\":10000}}";

static struct json_t *parsed(const char *text)
{
	struct json_t *j = NULL;
	struct slu_err e = {0};

	assert_int_equal(slu_json_parse(text, strlen(text), "numbers", &j, &e), 0);
	return j;
}

static struct json_t *below(struct json_t *j, const char *path)
{
	char copy[128], *rest = copy, *name;

	snprintf(copy, sizeof copy, "%s", path);
	while ((name = strsep(&rest, ".")) && rest)
		j = slu_json_get(j, name);
	return j;
}

/* Sets "stats.a.b" and so on to n, in pairs ended by NULL; then the sentence must hold the text. */
static void says(const char *text, const char *before, ...)
{
	struct json_t *now = parsed(base), *old = before ? parsed(before) : NULL;
	char out[SLU_VERDICT];
	const char *path;
	va_list ap;

	va_start(ap, before);
	while ((path = va_arg(ap, const char *)))
		assert_int_equal(
			slu_json_set_int(below(now, path), strrchr(path, '.') + 1, va_arg(ap, int)),
			0);
	va_end(ap);
	slu_stats_verdict(now, old, out);
	assert_contains(out, text);
	assert_true(out[strlen(out) - 1] == '.');
	slu_json_free(now);
	slu_json_free(old);
}

#define END ((const char *)NULL)

static void test_sentences(void **state)
{
	(void)state;
	says("Idle", begun, "stats.kinds.fuse_read.count", 0, END);
	says("Reads fail: 50 of 1000, mostly ESTALE", begun, "stats.kinds.fuse_read.errors", 50,
	     "stats.errors.ESTALE", 48, "stats.errors.EIO", 2, END);
	says("throttles: it refused 40 of 1000", begun, "stats.counters.throttled", 40, END);
	says("unsteady: 90 of 1000", begun, "stats.counters.retries", 90, END);
	says("CPU of this machine: sluice uses 90 %", begun, "stats.process.cpu_us", 36000000, END);
	says("memory budget: 200 reads", begun, "stats.budget.waited", 200, "stats.budget.used",
	     99000000, END);
	says("reading program itself: it waited for sluice 10 %", begun, "stats.kinds.fuse_read.us",
	     1000000, END);
	says("too small: 4 KiB each, for which 16.0 times", begun, "stats.counters.asked", 4096000,
	     "stats.counters.answered", 4096000, "stats.counters.fetched", 65536000, END);
	says("Wrong guesses: 80 of 100", begun, "stats.counters.prefetches", 100,
	     "stats.counters.prefetch_lost", 80, END);
	says("requests at once: 70 wait", begun, "stats.gauges.queued.now", 70, END);
	says("Nothing much", begun, "stats.counters.hit_memory", 131000000, END);
	says("latency of the store: half of its answers take 20.5 ms or more; more readers", begun,
	     END);
	says("The store is near: half of its answers take 0.3 ms", begun,
	     "stats.kinds.store_read.hist.20480", 0, "stats.kinds.store_read.hist.320", 1000, END);
	says("no request went to the store", begun, "stats.kinds.store_read.count", 0,
	     "stats.kinds.store_read.hist.20480", 0, END);
}

static void test_disk_of_the_cache(void **state)
{
	struct json_t *now = parsed(base), *old = parsed(begun), *cache = slu_json_object();
	char out[SLU_VERDICT];

	(void)state;
	slu_json_set_int(cache, "hit_bytes", 131072000);
	assert_int_equal(slu_json_set(now, "cache", cache), 0);
	slu_stats_verdict(now, old, out);
	assert_contains(out, "disk of the cache");
	slu_json_free(now);
	slu_json_free(old);
}

/* Without a time nothing is said of CPU and program; only what came between two looks counts. */
static void test_time(void **state)
{
	struct json_t *now = parsed(base), *old = parsed(base);
	char out[SLU_VERDICT];

	(void)state;
	says("latency of the store", NULL, "stats.process.cpu_us", 36000000, END);
	slu_stats_verdict(now, old, out);
	assert_contains(out, "Idle");
	slu_json_free(now);
	slu_json_free(old);
}

/* Numbers of another version, or nonsense, must do no harm. */
static void test_nonsense(void **state)
{
	static const char *const bad[] = {"{}", "[]", "{\"stats\":7}",
					  "{\"stats\":{\"kinds\":{\"fuse_read\":{\"count\":3}}}}",
					  "{\"stats\":{\"kinds\":[],\"errors\":\"x\"}}"};
	char out[SLU_VERDICT];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct json_t *now = parsed(bad[i]), *old = parsed(bad[(i + 1) % 5]);

		slu_stats_verdict(now, old, out);
		assert_true(out[0]);
		slu_stats_verdict(now, NULL, out);
		assert_true(out[0]);
		slu_json_free(now);
		slu_json_free(old);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_disk_of_the_cache),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
