/* SPDX-License-Identifier: Apache-2.0 */
/* Strings, numbers, sizes, durations, names, what is shown. */
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/str.h"

static void prefixes_and_suffixes(void **state)
{
	(void)state;
	assert_true(slu_starts("abc", "ab"));
	assert_true(slu_starts("abc", ""));
	assert_false(slu_starts("ab", "abc"));
	assert_true(slu_ends("abc", "bc"));
	assert_false(slu_ends("bc", "abc"));
	assert_string_equal(slu_after("azureml://x", "azureml://"), "x");
	assert_null(slu_after("azure", "azureml"));
	assert_string_equal(slu_iafter("Content-MD5: x", "content-md5:"), " x");
	assert_null(slu_iafter("Cont", "content"));
}

static void whole_numbers(void **state)
{
	static const char *const bad[] = {"",
					  " 1",
					  "1 ",
					  "+1",
					  "-1",
					  "1.0",
					  "0x1",
					  "18446744073709551616",
					  "99999999999999999999"};
	uint64_t v = 7;

	(void)state;
	assert_true(slu_u64("0", &v));
	assert_int_equal(v, 0);
	assert_true(slu_u64("18446744073709551615", &v));
	assert_true(v == UINT64_MAX);
	v = 7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(slu_u64(bad[i], &v));
	assert_int_equal(v, 7);
}

static void signed_numbers_in_range(void **state)
{
	int64_t v = 7;

	(void)state;
	assert_true(slu_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &v));
	assert_true(v == INT64_MIN);
	assert_true(slu_i64("9223372036854775807", INT64_MIN, INT64_MAX, &v));
	assert_true(v == INT64_MAX);
	assert_false(slu_i64("9223372036854775808", INT64_MIN, INT64_MAX, &v));
	assert_false(slu_i64("-9223372036854775809", INT64_MIN, INT64_MAX, &v));
	assert_true(slu_i64("-0", -1, 1, &v));
	assert_int_equal(v, 0);
	assert_false(slu_i64("--1", -9, 9, &v));
	assert_false(slu_i64("-", -9, 9, &v));
	assert_false(slu_i64("10", 0, 9, &v));
	assert_false(slu_i64("-1", 0, 9, &v));
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t want;
	} good[] = {
		{"0", 0},
		{"64", 64},
		{"64B", 64},
		{"64K", 65536},
		{"64k", 65536},
		{"64KiB", 65536},
		{"64KB", 64000},
		{"1.5G", 1610612736},
		{"10MB", 10000000},
		{"0.1K", 102},
		{"1.0", 1},
		{"16P", 16ull << 50},
		{"1.000000000001T", (1ull << 40) + 1},
	};
	static const char *const bad[] = {"",    "K",   ".5K",   "1.K", "1.5",          "1 K",
					  "-1K", "1KK", "1kiBx", "1E",  "99999999999P", "1.5B",
					  "1e3"};
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!slu_size(good[i].text, &v) || v != good[i].want)
			fail_msg("%s", good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (slu_size(bad[i], &v))
			fail_msg("%s was taken", bad[i]);
	}
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t want;
	} good[] = {
		{"30", 30000000000},    {"30s", 30000000000},
		{"500ms", 500000000},   {"5m", 300000000000},
		{"2h", 7200000000000},  {"0.1", 100000000},
		{"1d", 86400000000000}, {"7ns", 7},
		{"1.5us", 1500},
	};
	static const char *const bad[] = {"", "s", "-1s", "1 s", "1.5ns", "300000d", "1min", "inf"};
	int64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!slu_duration(good[i].text, &v) || v != good[i].want)
			fail_msg("%s", good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (slu_duration(bad[i], &v))
			fail_msg("%s was taken", bad[i]);
	}
}

static void percent_encoding_goes_both_ways(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(10000);
	SLU_AUTO(slu_buf_done) struct slu_buf back = SLU_BUF(10000);
	char all[255];

	(void)state;
	slu_url_encode(&b, "a/b c#?%~\xc3\xa4", 11, "/");
	assert_string_equal(b.p, "a/b%20c%23%3F%25~%C3%A4");
	slu_buf_clear(&b);
	for (int i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	slu_url_encode(&b, all, sizeof(all), NULL);
	assert_true(slu_url_decode(&back, b.p, b.len));
	assert_int_equal(back.len, sizeof(all));
	assert_memory_equal(back.p, all, sizeof(all));
	slu_buf_clear(&back);
	assert_true(slu_url_decode(&back, "%c3%A4+", 7));
	assert_string_equal(back.p, "\xc3\xa4+");
	assert_false(slu_url_decode(&back, "%", 1));
	assert_false(slu_url_decode(&back, "%2", 2));
	assert_false(slu_url_decode(&back, "%2g", 3));
	assert_false(slu_url_decode(&back, "%00", 3));
	assert_false(slu_url_decode(&back, "%41", 2));
}

static void names(void **state)
{
	char longest[257];

	(void)state;
	memset(longest, 'a', 256);
	longest[256] = '\0';
	assert_false(slu_is_ident(longest));
	assert_false(slu_is_name(longest));
	longest[255] = '\0';
	assert_true(slu_is_ident(longest));
	assert_true(slu_is_name(longest));
	assert_true(slu_is_ident("_a1"));
	assert_false(slu_is_ident(""));
	assert_false(slu_is_ident("1a"));
	assert_false(slu_is_ident("a-b"));
	assert_false(slu_is_ident("\xc3\xa4"));
	assert_true(slu_is_name("1.2-3_x"));
	assert_false(slu_is_name(""));
	assert_false(slu_is_name("."));
	assert_false(slu_is_name(".."));
	assert_false(slu_is_name("-a"));
	assert_false(slu_is_name("a/b"));
	assert_false(slu_is_name("a~"));
	assert_false(slu_is_name("a b"));
}

static void utf8_is_told_from_other_bytes(void **state)
{
	static const struct {
		const char *text;
		size_t want;
	} cases[] = {
		{"a", 1},
		{"\xc3\xa4", 2},
		{"\xe2\x82\xac", 3},
		{"\xf0\x9f\x98\x80", 4},
		{"\xf4\x8f\xbf\xbf", 4},
		{"\xed\x9f\xbf", 3},
		{"\xee\x80\x80", 3},
		{"\x80", 0},
		{"\xc0\xaf", 0},
		{"\xc1\xbf", 0},
		{"\xe0\x9f\xbf", 0},
		{"\xed\xa0\x80", 0},
		{"\xf0\x8f\xbf\xbf", 0},
		{"\xf4\x90\x80\x80", 0},
		{"\xf5\x80\x80\x80", 0},
		{"\xff", 0},
		{"\xc3", 0},
		{"\xe2\x82", 0},
		{"\xe2\x28\xa1", 0},
		{"\xf0\x9f\x98", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (slu_utf8_len(cases[i].text, strlen(cases[i].text)) != cases[i].want)
			fail_msg("case %zu", i);
	}
}

static void mistyped_words_are_near(void **state)
{
	static const struct {
		const char *a, *b;
		size_t d;
		bool near;
	} cases[] = {
		{"", "", 0, true},
		{"", "abc", 3, false},
		{"umount", "unmount", 1, true},
		{"unmount", "umount", 1, true},
		{"d0wnl0ad", "download", 2, true},
		{"cache-size", "cache_size", 1, true},
		{"list", "ls", 2, false},
		{"kitten", "sitting", 3, false},
		{"mount", "count", 1, true},
		{"x", "y", 1, false},
	};
	char longer[66] = "";

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (slu_distance(cases[i].a, cases[i].b) != cases[i].d ||
		    (slu_nearer(cases[i].a, NULL, cases[i].b) != NULL) != cases[i].near)
			fail_msg("case %zu", i);
	}
	memset(longer, 'a', 64);
	assert_int_equal(slu_distance(longer, ""), 64);
	longer[64] = 'a';
	assert_true(slu_distance(longer, longer) == SIZE_MAX && !slu_nearer(longer, NULL, longer));
	assert_string_equal(slu_nearer("unmont", "unmount", "mount"), "unmount");
	assert_string_equal(slu_nearer("unmont", "mount", "unmount"), "unmount");
	assert_string_equal(slu_nearer("frob", "mount", "stat"), "mount");
}

static void what_is_shown_is_harmless(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1000);

	(void)state;
	slu_show(&b, "a\nb\x1b[1m\x7f \xc3\xa4\xff \xc2\x85 \xe2\x80\xae"
		     "x\\");
	assert_string_equal(b.p,
			    "a\\x0ab\\x1b[1m\\x7f \xc3\xa4\\xff \\xc2\\x85 \\xe2\\x80\\xaex\\");
}

static void hex(void **state)
{
	char out[9];

	(void)state;
	slu_hex(out, "\x00\x7f\x80\xff", 4);
	assert_string_equal(out, "007f80ff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes_and_suffixes),
		cmocka_unit_test(whole_numbers),
		cmocka_unit_test(signed_numbers_in_range),
		cmocka_unit_test(sizes),
		cmocka_unit_test(durations),
		cmocka_unit_test(percent_encoding_goes_both_ways),
		cmocka_unit_test(names),
		cmocka_unit_test(utf8_is_told_from_other_bytes),
		cmocka_unit_test(mistyped_words_are_near),
		cmocka_unit_test(what_is_shown_is_harmless),
		cmocka_unit_test(hex),
	};

	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
