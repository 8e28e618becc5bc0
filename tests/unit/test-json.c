/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: reading with limits, getters, makers, writing. */
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/fault.h"
#include "common/json.h"
#include "common/json_text.h"
#include "common/str.h"

#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>

static struct json_t *parse(const char *text)
{
	struct slu_err e = {0};
	struct json_t *j = NULL;

	if (slu_json_parse(text, strlen(text), "t.json", &j, &e) < 0)
		fail_msg("%s", e.msg);
	return j;
}

static void refused(const char *text, size_t n, const char *says)
{
	struct slu_err e = {0};
	struct json_t *j = NULL;

	assert_failed(slu_json_parse(text, n, "t.json", &j, &e), e, EBADMSG, says);
	assert_contains(e.msg, "'t.json");
	assert_null(j);
}

static void values_are_read(void **state)
{
	SLU_AUTO(slu_json_freep)
	struct json_t *j = parse("\xef\xbb\xbf{\"s\":\"x\\u00e4\",\"i\":-5,\"r\":1.5,\"b\":true,"
				 "\"n\":null,\"a\":[1,2,3],\"o\":{}}");
	const char *s;

	(void)state;
	assert_true(slu_json_is_object(j));
	assert_int_equal(slu_json_count(j), 7);
	assert_string_equal(slu_json_str(j, "s"), "x\xc3\xa4");
	assert_int_equal(slu_json_int(j, "i", 9), -5);
	assert_true(slu_json_number(slu_json_get(j, "r")) == 1.5);
	assert_true(slu_json_number(slu_json_get(j, "i")) == -5.0);
	assert_true(slu_json_is_real(slu_json_get(j, "r")));
	assert_true(slu_json_bool(j, "b", false));
	assert_true(slu_json_true(slu_json_get(j, "b")));
	assert_true(slu_json_is_null(slu_json_get(j, "n")));
	assert_int_equal(slu_json_count(slu_json_get(j, "a")), 3);
	assert_int_equal(slu_json_integer(slu_json_at(slu_json_get(j, "a"), 2)), 3);
	assert_null(slu_json_at(slu_json_get(j, "a"), 3));
	assert_int_equal(slu_json_need_str(j, "s", "t", &s, NULL), 0);
	assert_string_equal(s, "x\xc3\xa4");
}

static void what_is_absent_or_other_gives_the_default(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = parse("{\"s\":\"x\",\"i\":1}");
	struct slu_err e = {0};
	const char *s = NULL;

	(void)state;
	assert_null(slu_json_get(NULL, "x"));
	assert_null(slu_json_str(NULL, "x"));
	assert_null(slu_json_str(j, "i"));
	assert_null(slu_json_str(j, "absent"));
	assert_int_equal(slu_json_int(j, "s", 7), 7);
	assert_int_equal(slu_json_int(NULL, "s", 7), 7);
	assert_true(slu_json_bool(j, "s", true));
	assert_null(slu_json_string(NULL));
	assert_int_equal(slu_json_count(NULL), 0);
	assert_null(slu_json_at(j, 0));
	assert_null(slu_json_iter(NULL));
	assert_failed(slu_json_need_str(j, "gone", "job.yml", &s, &e), e, EINVAL, "'gone'");
	assert_failed(slu_json_need_str(j, "i", "job.yml", &s, &e), e, EINVAL, "must be a string");
	assert_null(s);
	slu_json_free(NULL);
}

static void bad_documents_are_refused_with_their_place(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "empty"},
		{" \n", "empty"},
		{"\xef\xbb\xbf", "empty"},
		{"{", "t.json:1:2\': the text ends where a key"},
		{"{\n \"a\": 1,\n \"a\": 2}", "t.json:3:2\': key 'a' stands here twice"},
		{"[1,]", "t.json:1:4\': ']' stands where a value should be"},
		{"{\"a\":1,}", "'}' stands where a key"},
		{"{\"a\" 1}", "'1' stands where ':' should be"},
		{"{a:1}", "'a' stands where a key"},
		{"[1 2]", "'2' stands where ',' or ']'"},
		{"{\"a\":1 \"b\"}", "where ',' or '}'"},
		{"{\"a\":1} x", "'x' stands where the end should be"},
		{"[9223372036854775808]", "t.json:1:2\': an integer is beyond 64 bits"},
		{"[-9223372036854775809]", "an integer is beyond 64 bits"},
		{"[1e999]", "overflows"},
		{"[01]", "malformed number"},
		{"[-]", "malformed number"},
		{"[1.]", "malformed number"},
		{"[.5]", "a value should be"},
		{"[1e]", "malformed number"},
		{"[+1]", "a value should be"},
		{"[\"\\u0000\"]", "\\u0000"},
		{"[\"\\ud800\"]", "surrogate"},
		{"[\"\\ud800\\u0041\"]", "surrogate"},
		{"[\"\\udc00\"]", "surrogate"},
		{"[\"\\u12g4\"]", "four hex digits"},
		{"[\"\\u12", "four hex digits"},
		{"[\"\\x\"]", "unknown escape"},
		{"[\"\\", "the rest of an escape"},
		{"[\"a", "t.json:1:2\': a string has no end"},
		{"[\"a\nb\"]", "control character"},
		{"[NaN]", "'N' stands where a value"},
		{"['a']", "a value should be"},
		{"{\n\"a\":\n  tru}", "t.json:3:3\'"},
		{"[\"\xc3\xa4\xff\"]", "t.json:1:4\': byte 0xff is no UTF-8"},
		{"[\"\xed\xa0\x80\"]", "is no UTF-8"},
		{"// no\n1", "t.json:1:1\'"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(cases[i].text, strlen(cases[i].text), cases[i].says);
	refused("[1\0]", 4, "'\\x00' stands where");
}

static void depth_is_limited(void **state)
{
	char text[200000];

	(void)state;
	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	text[128] = '\0';
	slu_json_free(parse(text));
	memset(text, '[', sizeof(text));
	refused(text, sizeof(text), "deeper than 64");
	refused(text, 65, "deeper than 64");
	/* brackets in strings do not count */
	memcpy(text, "[\"\\\"", 4);
	text[100] = '"';
	text[101] = ']';
	text[102] = '\0';
	slu_json_free(parse(text));
}

static void files_are_read_with_a_limit(void **state)
{
	struct json_t *j = NULL;
	struct slu_err e = {0};
	struct unit_dir d;
	char path[128];

	(void)state;
	unit_dir_make(&d);
	snprintf(path, sizeof(path), "%s/c.json", d.path);
	assert_failed(slu_json_read_file(path, 100, &j, &e), e, ENOENT, "c.json");
	assert_int_equal(slu_path_write_atomic(d.fd, "c.json", "{\"a\":[1,2]}", 11), 0);
	assert_int_equal(slu_json_read_file(path, 11, &j, &e), 0);
	slu_json_free(j);
	assert_failed(slu_json_read_file(path, 10, &j, &e), e, EFBIG, "larger than 10 bytes");
	assert_failed(slu_json_read_file(d.path, 10, &j, &e), e, EISDIR, d.path);
	unit_dir_done(&d);
}

static void writes(const struct json_t *j, enum slu_json_style style, const char *want)
{
	SLU_AUTO(slu_freep) char *s = slu_json_text(j, style);

	assert_string_equal(s, want);
}

static void three_styles(void **state)
{
	SLU_AUTO(slu_json_freep)
	struct json_t *j = parse("{\"b\":[1,{}],\"a\":{\"z\":[],\"y\":null}}");

	(void)state;
	writes(j, SLU_JSON_COMPACT, "{\"b\":[1,{}],\"a\":{\"z\":[],\"y\":null}}");
	writes(j, SLU_JSON_CANONICAL, "{\"a\":{\"y\":null,\"z\":[]},\"b\":[1,{}]}");
	writes(j, SLU_JSON_PRETTY,
	       "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": {\n    \"z\": [],\n"
	       "    \"y\": null\n  }\n}");
	assert_null(slu_json_text(NULL, SLU_JSON_COMPACT));
}

static void strings_are_escaped_as_needed(void **state)
{
	SLU_AUTO(slu_json_freep)
	struct json_t *j =
		slu_json_new_str("a\"\\/\b\f\n\r\t\x01\x7f \xc3\xa4 \xe2\x80\xa8 \xf0\x9f\x98\x80");
	SLU_AUTO(slu_json_freep) struct json_t *back = NULL;
	SLU_AUTO(slu_freep) char *s = slu_json_text(j, SLU_JSON_COMPACT);

	(void)state;
	assert_string_equal(s, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u007f \xc3\xa4 \\u2028 "
			       "\xf0\x9f\x98\x80\"");
	back = parse(s);
	assert_true(slu_json_equal(j, back));
}

static void bytes_that_are_not_utf8_are_percent_encoded(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = slu_json_object();

	(void)state;
	assert_int_equal(slu_json_set_str(j, "k\xff",
					  "a\xff"
					  "b\xc3\xa4\xc3%"),
			 0);
	writes(j, SLU_JSON_COMPACT, "{\"k%FF\":\"a%FFb\xc3\xa4%C3%\"}");
}

static void real(double v, const char *want)
{
	struct slu_buf b = SLU_BUF(100);

	slu_json_put_real(&b, v);
	assert_string_equal(b.p, want);
	slu_buf_done(&b);
}

static void reals_are_short_and_exact(void **state)
{
	uint64_t bits = 1;

	(void)state;
	real(0.1, "0.1");
	real(1, "1.0");
	real(-0.0, "-0.0");
	real(1e20, "1.0e+20");
	real(1.5e300, "1.5e+300");
	real(0.1 + 0.2, "0.30000000000000004");
	real(DBL_MIN, "2.2250738585072014e-308");
	for (int i = 0; i < 20000; i++) {
		struct json_t *j, *back = NULL;
		char *s;
		double v;

		bits = bits * 6364136223846793005u + 1442695040888963407u;
		memcpy(&v, &bits, sizeof(v));
		if (!isfinite(v) || fpclassify(v) == FP_SUBNORMAL)
			continue;
		j = slu_json_new_real(v);
		s = slu_json_text(j, SLU_JSON_COMPACT);
		assert_int_equal(slu_json_parse(s, strlen(s), "t", &back, NULL), 0);
		assert_true(slu_json_number(back) == v);
		slu_json_free(j);
		slu_json_free(back);
		free(s);
	}
	assert_null(slu_json_new_real(NAN));
	assert_null(slu_json_new_real(INFINITY));
}

static void the_locale_does_not_matter(void **state)
{
	static const char *const commas[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	bool found = false;

	(void)state;
	for (size_t i = 0; i < sizeof(commas) / sizeof(commas[0]) && !found; i++)
		found = setlocale(LC_ALL, commas[i]) != NULL;
	if (!found)
		skip();
	real(0.5, "0.5");
	j = parse("[0.25]");
	setlocale(LC_ALL, "C");
	assert_true(slu_json_number(slu_json_at(j, 0)) == 0.25);
}

static void makers_nest_and_own(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_json_freep) struct json_t *copy = NULL;
	struct json_t *a = slu_json_array();

	(void)state;
	assert_int_equal(slu_json_append(a, slu_json_new_int(INT64_MIN)), 0);
	assert_int_equal(slu_json_append(a, slu_json_new_bool(false)), 0);
	assert_int_equal(slu_json_append(a, slu_json_new_null()), 0);
	assert_int_equal(slu_json_append(a, NULL), -ENOMEM);
	assert_int_equal(slu_json_set(o, "a", slu_json_ref(a)), 0);
	slu_json_free(a);
	assert_int_equal(slu_json_set_str(o, "s", "x"), 0);
	assert_int_equal(slu_json_set_str(o, "none", NULL), 0);
	assert_int_equal(slu_json_set_int(o, "i", 1), 0);
	assert_int_equal(slu_json_set_bool(o, "b", true), 0);
	assert_int_equal(slu_json_set(o, "x", NULL), -ENOMEM);
	assert_int_equal(slu_json_set(NULL, "x", slu_json_new_int(1000)), -ENOMEM);
	copy = slu_json_copy(o);
	slu_json_del(o, "a");
	writes(o, SLU_JSON_COMPACT, "{\"s\":\"x\",\"i\":1,\"b\":true}");
	writes(copy, SLU_JSON_COMPACT,
	       "{\"a\":[-9223372036854775808,false,null],\"s\":\"x\",\"i\":1,\"b\":true}");
	assert_false(slu_json_equal(o, copy));
}

static void objects_are_walked_in_order(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = parse("{\"z\":0,\"y\":1,\"x\":2}");
	int64_t i = 0;

	(void)state;
	for (void *it = slu_json_iter(j); it; it = slu_json_next(j, it), i++) {
		assert_int_equal(slu_json_iter_key(it)[0], 'z' - i);
		assert_int_equal(slu_json_integer(slu_json_iter_value(it)), i);
	}
	assert_int_equal(i, 3);
}

static void every_failed_allocation_is_out_of_memory(void **state)
{
	static const char text[] =
		"{\"a\":[1,2.5,\"long enough to be allocated\"],\"b\":{\"c\":null}}";
	long nth;

	(void)state;
	for (nth = 1;; nth++) {
		struct slu_err e = {0};
		struct json_t *j = NULL;
		int r;

		slu_fault_arm(SLU_FAULT_MALLOC, nth, false);
		r = slu_json_parse(text, strlen(text), "t", &j, &e);
		slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
		if (r == 0) {
			slu_json_free(j);
			break;
		}
		assert_failed(r, e, ENOMEM, "out of memory");
	}
	/* not one was overlooked */
	assert_true(nth > 10);
	assert_int_equal(slu_fault_count(SLU_FAULT_MALLOC), nth - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(what_is_absent_or_other_gives_the_default),
		cmocka_unit_test(bad_documents_are_refused_with_their_place),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(files_are_read_with_a_limit),
		cmocka_unit_test(three_styles),
		cmocka_unit_test(strings_are_escaped_as_needed),
		cmocka_unit_test(bytes_that_are_not_utf8_are_percent_encoded),
		cmocka_unit_test(reals_are_short_and_exact),
		cmocka_unit_test(the_locale_does_not_matter),
		cmocka_unit_test(makers_nest_and_own),
		cmocka_unit_test(objects_are_walked_in_order),
		cmocka_unit_test(every_failed_allocation_is_out_of_memory),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
