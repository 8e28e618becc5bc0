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

static const char *of(const struct json_t *all, const char *name, const char *what)
{
	for (size_t i = 0; i < slu_json_count(all); i++)
		if (slu_streq(slu_json_str(slu_json_at(all, i), "name"), name))
			return slu_json_str(slu_json_at(all, i), what);
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
	assert_string_equal(of(all, "io_timeout", "origin"), "option");
	assert_string_equal(of(all, "read_ahead", "origin"),
			    "DATASET_MOUNT_READ_BUFFER_BLOCK_COUNT");
	assert_string_equal(of(all, "memory", "origin"), "default");
	assert_string_equal(of(all, "jobs", "origin"), "nowhere");
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
		   {"memory=0", "the command line's 'memory' is '0'"},
		   {"memory=1", "from 4MiB to 64TiB, or auto"},
		   {"read_block=0", "'read_block' is '0'"},
		   {"read_block=1", "from 64KiB to 1GiB, or auto"},
		   {"cache_threads=0", "from 1 to 1024, or auto"},
		   {"cache_queue=1", "from 1MiB to"},
		   {"cache_size=0", "'cache_size' is 0"},
		   {"retries=255", "from 0 to 254"},
		   {"umask=1000", "from 0 to 0777"},
		   {"read_ahead=4097", "from 0 to 4096, or auto"},
		   {"io_timeout=0", "'io_timeout' is '0': it wants a time"},
		   {"io_timeout=2d", "from 1ms to 86400s"},
		   {"io_timeout=auto", "'io_timeout' is 'auto'"},
		   {"cache_prune_at=1.5", "a share from 0 to 1"},
		   {"cache_prune_at=.", "a share from 0 to 1"},
		   {"cache_prune_at=0.1", "at most 'cache_prune_at'"},
		   {"live=maybe", "true or false"},
		   {"scanners=eat", "warn, refuse or allow"},
		   {"io_uring=always", "on, auto or off"},
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
	setenv("DATASET_MOUNT_READ_BLOCK_SIZE", "1", 1);
	assert_failed(slu_settings_resolve('m', NULL, NULL, &s, &e), e, EINVAL,
		      "DATASET_MOUNT_READ_BLOCK_SIZE is '1': it wants a number of bytes");
	unsetenv("DATASET_MOUNT_READ_BLOCK_SIZE");
	setenv("SLUICE_MEMORY", "1", 1);
	assert_failed(slu_settings_resolve('m', NULL, NULL, &s, &e), e, EINVAL,
		      "SLUICE_MEMORY is '1'");
	unsetenv("SLUICE_MEMORY");
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
	setenv("AZUREML_DATASET_ENVIRONMENT_VARS", "a:mount", 1); /* which steps have */
	setenv("SLUICE_MEMROY", "1", 1);
	setenv("SLUICE_MINE", "1", 1);
	setenv("SLUICE_BUILD", "/b", 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(slu_settings_resolve('m', NULL, NULL, &s, NULL), 0);
		assert_int_equal(s.attr_timeout, 1500 * SLU_MS);
		assert_int_equal(s.unmount_timeout, 30 * SLU_SEC);
		assert_true(s.chosen[SLU_SET_memory]);
	}

	unsetenv("SLUICE_MEMROY");
	unsetenv("SLUICE_MINE");
	unsetenv("SLUICE_BUILD");
	unsetenv("AZUREML_DATASET_ENVIRONMENT_VARS");
	assert_lacks(logged, "AZUREML_DATASET_ENVIRONMENT_VARS");
	assert_contains(logged, "RSLEX_NO_SUCH_THING is ignored");
	assert_contains(logged, "SLUICE_MEMROY is ignored: did you mean SLUICE_MEMORY?");
	assert_lacks(logged, "SLUICE_MINE");
	assert_lacks(logged, "SLUICE_BUILD");
	assert_null(strstr(strstr(logged, "RSLEX_NO") + 1, "RSLEX_NO"));
	assert_lacks(logged, "DATASET_MOUNT_MEMORY_CACHE_SIZE");
}

/* All that the vendor documents: none of them is only told to be ignored, but for a switch that a choice by
 * file has taken the place of. */
static void every_documented_name_means_something(void **state)
{
	static const struct {
		const char *env, *value, *name, *shown;
		char view;
	} all[] = {
		{"RSLEX_DOWNLOADER_THREADS", "3", "jobs", "3", 'd'},
		{"AZUREML_DATASET_HTTP_RETRY_COUNT", "7", "retries", "7", 'm'},
		{"DATASET_MOUNT_ATTRIBUTE_CACHE_TTL", "1500", "attr_timeout", "1500ms", 'm'},
		{"DATASET_RESERVED_FREE_DISK_SPACE", "1GB", "cache_reserve", "1GB", 'm'},
		{"DATASET_MOUNT_CACHE_SIZE", "-5GB", "cache_size", "-5GB", 'm'},
		{"DATASET_MOUNT_FILE_CACHE_PRUNE_THRESHOLD", "0.9", "cache_prune_at", "0.9", 'm'},
		{"DATASET_MOUNT_FILE_CACHE_PRUNE_TARGET", "0.5", "cache_prune_to", "0.5", 'm'},
		{"DATASET_MOUNT_READ_BLOCK_SIZE", "2MB", "read_block", "2MB", 'm'},
		{"DATASET_MOUNT_READ_BUFFER_BLOCK_COUNT", "0", "read_ahead", "0", 'm'},
		{"DATASET_MOUNT_READ_THREADS", "8", "read_threads", "8", 'm'},
		{"DATASET_MOUNT_MEMORY_CACHE_SIZE", "128MB", "memory", "128MB", 'm'},
		{"DATASET_MOUNT_BLOCK_FILE_CACHE_ENABLED", "true", "cache", "true", 'm'},
		{"DATASET_MOUNT_BLOCK_FILE_CACHE_MAX_QUEUE_SIZE", "256MB", "cache_queue", "256MB",
		 'm'},
		{"DATASET_MOUNT_BLOCK_FILE_CACHE_WRITE_THREADS", "4", "cache_threads", "4", 'm'},
		{"DATASET_UNMOUNT_TIMEOUT_SECONDS", "30", "unmount_timeout", "30s", 'u'},
	};

	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		struct slu_settings s;
		struct json_t *j;

		setenv(all[i].env, all[i].value, 1);
		assert_int_equal(slu_settings_resolve(all[i].view, NULL, NULL, &s, NULL), 0);
		unsetenv(all[i].env);
		j = slu_settings_json(all[i].view, &s);
		assert_string_equal(of(j, all[i].name, "origin"), all[i].env);
		assert_string_equal(of(j, all[i].name, "value"), all[i].shown);
		slu_json_free(j);
	}
}

int main(void)
{
	/* The first of them, so that what is told once is told there. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_engines_names),
		cmocka_unit_test(the_nearest_place_wins),
		cmocka_unit_test(every_documented_name_means_something),
		cmocka_unit_test(values_of_every_type),
		cmocka_unit_test(nonsense_is_told_with_name_value_and_what_is_wanted),
	};

	slu_log_set(keep_log, NULL);
	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
