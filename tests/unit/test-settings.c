/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: where a value comes from, what makes no sense, other engines' names. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "common/json.h"
#include "common/log.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/settings.h"

static char logged[4096];

static void keep_log(void *user, enum slu_log_level level, const char *module, const char *line)
{
	size_t n = strlen(logged);

	(void)user;
	(void)level;
	(void)module;
	snprintf(logged + n, sizeof logged - n, "%s\n", line);
}

static struct json_t *config(const char *text)
{
	struct json_t *j;

	assert_int_equal(slu_json_parse(text, strlen(text), "config.json", &j, NULL), 0);
	return j;
}

static const char *origin_of(const struct json_t *all, const char *name)
{
	for (size_t i = 0; i < slu_json_count(all); i++)
		if (slu_streq(slu_json_str(slu_json_at(all, i), "name"), name))
			return slu_json_str(slu_json_at(all, i), "origin");
	return "nowhere";
}

static void the_nearest_place_wins(void **state)
{
	static const char *const options[] = {"io-timeout=5s", NULL};
	struct json_t *j = config("{\"settings\": {\"io_timeout\": \"2s\", \"read_ahead\": 7}}");
	struct slu_settings s;
	struct json_t *all;

	(void)state;
	assert_int_equal(slu_settings_resolve('m', NULL, NULL, &s, NULL), 0);
	assert_int_equal(s.io_timeout, 60 * SLU_SEC);
	assert_int_equal(slu_settings_resolve('m', j, NULL, &s, NULL), 0);
	assert_int_equal(s.io_timeout, 2 * SLU_SEC);
	assert_int_equal(s.read_ahead, 7);
	setenv("DATASET_MOUNT_READ_BUFFER_BLOCK_COUNT", "9", 1);
	setenv("SLUICE_IO_TIMEOUT", "3s", 1);
	assert_int_equal(slu_settings_resolve('m', j, NULL, &s, NULL), 0);
	assert_int_equal(s.io_timeout, 3 * SLU_SEC);
	assert_int_equal(s.read_ahead, 9);
	setenv("SLUICE_READ_AHEAD", "11", 1);
	assert_int_equal(slu_settings_resolve('m', j, options, &s, NULL), 0);
	assert_int_equal(s.io_timeout, 5 * SLU_SEC);
	assert_int_equal(s.read_ahead, 11);
	unsetenv("SLUICE_READ_AHEAD");
	assert_int_equal(slu_settings_resolve('m', j, options, &s, NULL), 0);
	all = slu_settings_json('m', &s);
	assert_string_equal(origin_of(all, "io_timeout"), "option");
	assert_string_equal(origin_of(all, "read_ahead"), "DATASET_MOUNT_READ_BUFFER_BLOCK_COUNT");
	assert_string_equal(origin_of(all, "memory"), "default");
	assert_string_equal(origin_of(all, "jobs"), "nowhere");
	slu_json_free(all);
	unsetenv("SLUICE_IO_TIMEOUT");
	unsetenv("DATASET_MOUNT_READ_BUFFER_BLOCK_COUNT");
	slu_json_free(j);
}

static void values_of_every_type(void **state)
{
	static const char *const options[] = {"memory=64MiB",    "cache_size=-10GB",
					      "cache=yes",       "cache-prune-to=.25",
					      "live=on",         "cache_dir=/x/y",
					      "jobs=3",          "attr_timeout=250ms",
					      "scanners=refuse", NULL};
	static const char *const mount_only[] = {"live=1", "attr-timeout=auto", NULL};
	struct slu_settings s;
	const char *some[9];
	size_t n = 0;

	(void)state;
	for (size_t i = 0; options[i]; i++)
		if (!slu_starts(options[i], "jobs"))
			some[n++] = options[i];
	some[n] = NULL;
	assert_int_equal(slu_settings_resolve('m', NULL, some, &s, NULL), 0);
	assert_int_equal(s.memory, 64 << 20);
	assert_true(s.cache_size == -10000000000ll);
	assert_true(s.cache && s.live);
	assert_true(s.cache_prune_to > 0.24 && s.cache_prune_to < 0.26);
	assert_string_equal(s.cache_dir, "/x/y");
	assert_int_equal(s.attr_timeout, 250 * SLU_MS);
	assert_string_equal(s.scanners, "refuse");
	assert_int_equal(slu_settings_resolve('m', NULL, mount_only, &s, NULL), 0);
	assert_int_equal(s.attr_timeout, -1);
	assert_true(s.chosen[SLU_SET_attr_timeout]);
	assert_int_equal(slu_settings_default()->cache_reserve, 150000000);
}

static void nonsense_is_told_with_name_value_and_what_is_wanted(void **state)
{
	static const struct {
		const char *option, *want;
	} bad[] = {{"memory=lots", "'memory' is 'lots': it wants a number of bytes"},
		   {"memory=-1", "'memory' is '-1'"},
		   {"read_ahead=4097", "from 0 to 4096, or auto"},
		   {"io_timeout=0", "'io_timeout' is '0': it wants a time"},
		   {"io_timeout=auto", "'io_timeout' is 'auto'"},
		   {"cache_prune_at=1.5", "a share from 0 to 1"},
		   {"cache_prune_at=.", "a share from 0 to 1"},
		   {"cache_prune_at=0.1", "at most 'cache_prune_at'"},
		   {"live=maybe", "true or false"},
		   {"scanners=eat", "warn, refuse or allow"},
		   {"live", "write live=VALUE"},
		   {"jobs=3", "no setting 'jobs' here"},
		   {"nope=3", "no setting 'nope' here"}};
	struct slu_settings s;
	struct slu_err e;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		const char *const options[] = {bad[i].option, NULL};

		assert_failed(slu_settings_resolve('m', NULL, options, &s, &e), e, EINVAL,
			      bad[i].want);
	}
	struct json_t *j = config("{\"settings\": {\"live\": 7}}");

	assert_failed(slu_settings_resolve('m', j, NULL, &s, &e), e, EINVAL,
		      "'settings.live' of config.json is '7'");
	slu_json_free(j);
	j = config("{\"settings\": {\"nope\": 7}}");
	assert_failed(slu_settings_resolve('m', j, NULL, &s, &e), e, EINVAL, "no setting 'nope'");
	slu_json_free(j);
	setenv("DATASET_MOUNT_READ_THREADS", "many", 1);
	assert_failed(slu_settings_resolve('m', NULL, NULL, &s, &e), e, EINVAL,
		      "DATASET_MOUNT_READ_THREADS is 'many'");
	assert_int_equal(slu_settings_resolve('u', NULL, NULL, &s, NULL), 0);
	unsetenv("DATASET_MOUNT_READ_THREADS");
}

static void other_engines_names(void **state)
{
	struct slu_settings s;

	(void)state;
	logged[0] = '\0';
	setenv("DATASET_MOUNT_ATTRIBUTE_CACHE_TTL", "1500", 1);
	setenv("DATASET_UNMOUNT_TIMEOUT_SECONDS", "30", 1);
	setenv("DATASET_MOUNT_MEMORY_CACHE_SIZE", "0", 1);
	setenv("DATASET_MOUNT_BLOCK_BASED_CACHE_ENABLED", "true", 1);
	setenv("RSLEX_NO_SUCH_THING", "1", 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(slu_settings_resolve('m', NULL, NULL, &s, NULL), 0);
		assert_int_equal(s.attr_timeout, 1500 * SLU_MS);
		assert_int_equal(s.unmount_timeout, 30 * SLU_SEC);
		assert_true(s.chosen[SLU_SET_memory]);
	}

	assert_contains(logged, "RSLEX_NO_SUCH_THING is ignored");
	assert_null(strstr(strstr(logged, "RSLEX_NO") + 1, "RSLEX_NO"));
	assert_lacks(logged, "DATASET_MOUNT_MEMORY_CACHE_SIZE");
}

int main(void)
{
	/* The first of them, so that what is told once is told there. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_engines_names),
		cmocka_unit_test(the_nearest_place_wins),
		cmocka_unit_test(values_of_every_type),
		cmocka_unit_test(nonsense_is_told_with_name_value_and_what_is_wanted),
	};

	slu_log_set(keep_log, NULL);
	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
