/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, deadlines, RFC 3339.  The C library is the model for dates. */
#include "tests/unit/unit.h"

#include "common/time.h"

#include <time.h>

static void deadlines(void **state)
{
	int64_t now = slu_now();

	(void)state;
	assert_true(now > 0);
	assert_true(slu_now() >= now);
	assert_false(slu_expired(0));
	assert_true(slu_expired(1));
	assert_false(slu_expired(slu_deadline_in(3600 * SLU_SEC)));
	assert_true(slu_expired(slu_deadline_in(0)));
	assert_true(slu_deadline_in(INT64_MAX) == INT64_MAX);
	assert_true(slu_deadline_in(INT64_MIN) > 0);
}

static void known_times(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
		{"1970-01-01T00:00:00.000000Z", 0},
		{"1969-12-31T23:59:59.999999Z", -1000},
		{"2026-01-31T08:00:00.123456Z", 1769846400123456000},
		{"2000-02-29T12:00:00.000000Z", 951825600000000000},
		{"2262-04-11T23:47:16.854775Z", INT64_MAX / 1000 * 1000},
	};
	char out[SLU_TIME_LEN];
	int64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		slu_time_fmt(out, cases[i].ns);
		assert_string_equal(out, cases[i].text);
		assert_true(slu_time_parse(out, &v));
		assert_true(v == cases[i].ns);
	}
}

static void dates_agree_with_the_c_library(void **state)
{
	char ours[SLU_TIME_LEN], theirs[64];
	uint64_t seed = 42;
	struct tm tm;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		time_t t;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		t = (time_t)(seed >> 30) - 9000000000;
		if (t < -9223372036 || t > 9223372035)
			continue;
		slu_time_fmt(ours, (int64_t)t * SLU_SEC);
		gmtime_r(&t, &tm);
		strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
		assert_string_equal(ours, theirs);
	}
}

static void other_spellings_are_read(void **state)
{
	int64_t v;

	(void)state;
	assert_true(slu_time_parse("1970-01-01t01:00:00+01:00", &v));
	assert_int_equal(v, 0);
	assert_true(slu_time_parse("1969-12-31 18:30:00-05:30", &v));
	assert_int_equal(v, 0);
	assert_true(slu_time_parse("1970-01-01T00:00:00.5z", &v));
	assert_int_equal(v, SLU_SEC / 2);
	assert_true(slu_time_parse("1970-01-01T00:00:00.0000000019Z", &v));
	assert_int_equal(v, 1);
	assert_true(slu_time_parse("2016-12-31T23:59:60Z", &v));
	assert_int_equal(v / SLU_SEC, 1483228800);
}

static void nonsense_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"2026",
		"2026-01-31",
		"2026-01-31T08:00:00",
		"2026-02-29T00:00:00Z",
		"2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-01-00T00:00:00Z",
		"2026-04-31T00:00:00Z",
		"2026-01-01T24:00:00Z",
		"2026-01-01T00:60:00Z",
		"2026-01-01T00:00:61Z",
		"2026-01-01T00:00:00.Z",
		"2026-01-01T00:00:00Zx",
		"2026-01-01T00:00:00+1:00",
		"2026-01-01T00:00:00+24:00",
		"2026-1-01T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"9999-01-01T00:00:00Z",
		"0001-01-01T00:00:00Z",
		"2026-01-01T00:00:00+01:00x",
		"2262-04-11T23:47:16.999999999Z",
	};
	int64_t v = 5;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (slu_time_parse(bad[i], &v))
			fail_msg("%s was taken", bad[i]);
	}
	assert_int_equal(v, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deadlines),
		cmocka_unit_test(known_times),
		cmocka_unit_test(dates_agree_with_the_c_library),
		cmocka_unit_test(other_spellings_are_read),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests_name("time", tests, NULL, NULL);
}
