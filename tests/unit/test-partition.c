/* SPDX-License-Identifier: Apache-2.0 */
/* partition_format: what is one, and the columns that it makes of paths. */
#include "tests/unit/unit.h"

#include "common/mem.h"
#include "dataset/partition.h"

#include <errno.h>

static const struct {
	const char *format, *path;
	const char *values[4]; /* "-": null; NULL ends */
} cases[] = {
	{"/{dept}/{date:yyyy/MM/dd}/data.csv",
	 "raw/Accounting/2019/01/01/data.csv",
	 {"Accounting", "2019-01-01T00:00:00Z"}},
	{"/{dept}/{date:yyyy/MM/dd}/data.csv", "raw/Accounting/2019/01/01/data.csv.gz", {"-", "-"}},
	{"/{dept}/{date:yyyy/MM/dd}/data.csv", "raw/Accounting/2019/1/1/data.csv", {"-", "-"}},
	{"/{dept}/{date:yyyy/MM/dd}/data.csv",
	 "raw/Accounting/2019/13/01/data.csv",
	 {"Accounting", "-"}},
	{"/{dept}/{date:yyyy/MM/dd}/data.csv",
	 "raw/Accounting/2019/02/29/data.csv",
	 {"Accounting", "-"}},
	{"/{a}/{b}.csv", "x/y/z.csv", {"y", "z"}},
	{"{a}.csv", "x/y/z.csv", {"z"}},
	{"{a}.csv", "x/y/.csv", {"-"}},
	{"{a}.csv", "x/y.z.csv", {"z"}},
	{"{a}-{b}.csv", "x/1-2-3.csv", {"1-2", "3"}}, /* the first takes what it can */
	{"{t:yyyyMMddHHmmss}.log", "l/20260131085959.log", {"2026-01-31T08:59:59Z"}},
	{"{t:ss.mm.HH dd-MM-yyyy}", "l/59.58.23 31-12-1999", {"1999-12-31T23:58:59Z"}},
	{"y={t:yyyy}/{k}/*.parquet",
	 "t/y=2026/de/a/b/part-0.snappy.parquet",
	 {"de", "2026-01-01T00:00:00Z"}},
	{"/*/{k}.csv", "a/b/c.csv", {"c"}},
	{"{{{k}}}.csv", "a/{x}.csv", {"x"}},
	{"{k}/{k}.csv", "a/b/c.csv", {"b"}}, /* again: matches, makes no column */
	{"v={k}/", "v=1", {"-"}},
	{"{k}", "a\\b", {"b"}},
	{"{jahr}/{größe}.csv", "2026/ü.csv", {"2026", "ü"}},
};

static void columns(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		SLU_AUTO(slu_partition_freep) struct slu_partition *p = NULL;
		struct slu_err e = {0};
		char *values[4] = {NULL};
		bool matched;

		if (slu_partition_parse(cases[i].format, &p, &e) < 0)
			fail_msg("%s: %s", cases[i].format, e.msg);
		assert_int_equal(slu_partition_match(p, cases[i].path, values, &matched), 0);
		for (size_t k = 0; k < 4; k++) {
			const char *want = cases[i].values[k];

			assert_true((k < slu_partition_columns(p)) == (want != NULL));
			if (want && strcmp(want, values[k] ? values[k] : "-") != 0)
				fail_msg("'%s' of '%s': column %zu is '%s', not '%s'",
					 cases[i].format, cases[i].path, k,
					 values[k] ? values[k] : "-", want);
			free(values[k]);
		}
	}
}

static void the_time_is_last(void **state)
{
	SLU_AUTO(slu_partition_freep) struct slu_partition *p = NULL;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_partition_parse("{t:yyyy}/{a}/{b}", &p, &e), 0);
	assert_int_equal(slu_partition_columns(p), 3);
	assert_string_equal(slu_partition_name(p, 0), "a");
	assert_string_equal(slu_partition_name(p, 2), "t");
	assert_true(slu_partition_is_time(p, 2) && !slu_partition_is_time(p, 0));
}

static const struct {
	const char *format, *says;
} wrongs[] = {
	{"", "no {name}"},           {"/a/b.csv", "no {name}"},
	{"/{}/b", "name between"},   {"/{:yyyy}/b", "name between"},
	{"/{a", "not closed"},       {"/a}", "without its"},
	{"/{a{b}}", "in braces"},    {"{t:}", "missing"},
	{"{t:MM}", "year"},          {"{t:yyyy}{u:yyyy}", "only one"},
	{"{t:yyyyyyyy}", "twice"},   {"{t:yyyy/xx}", "made of"},
	{"{t}/{t:yyyy}", "as well"}, {"{t:yyyy}/{t}", "as well"},
	{"{_sys_yyyy}", "reserved"}, {"{_sys_ss:yyyy}", "reserved"},
};

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct slu_partition *p = NULL;
		struct slu_err e = {0};

		assert_int_equal(slu_partition_parse(wrongs[i].format, &p, &e), -EINVAL);
		if (!strstr(e.msg, wrongs[i].says))
			fail_msg("'%s': %s", wrongs[i].format, e.msg);
	}
}

/* A format made to be slow ends, and matches nothing. */
static void bounded(void **state)
{
	SLU_AUTO(slu_partition_freep) struct slu_partition *p = NULL;
	struct slu_err e = {0};
	char path[4001], *values[1];
	bool matched = true;

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(slu_partition_parse("*a*a*a*a*a*a*a{k}b", &p, &e), 0);
	assert_int_equal(slu_partition_match(p, path, values, &matched), 0);
	assert_false(matched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns),
		cmocka_unit_test(the_time_is_last),
		cmocka_unit_test(refused),
		cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests_name("partition", tests, NULL, NULL);
}
