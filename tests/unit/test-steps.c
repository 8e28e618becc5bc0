/* SPDX-License-Identifier: Apache-2.0 */
/* Steps over the files of a definition, and the expressions of filters. */
#include "tests/unit/unit.h"

#include "common/json.h"
#include "common/time.h"
#include "dataset/fileexpr.h"
#include "dataset/steps.h"

#include <errno.h>

static struct slu_steps *steps(const char *transformations)
{
	char text[1024];
	struct json_t *doc = NULL;
	struct slu_steps *st = NULL;
	struct slu_err e = {0};

	snprintf(text, sizeof text, "{\"transformations\": %s}", transformations);
	assert_int_equal(slu_json_parse(text, strlen(text), "test", &doc, &e), 0);
	if (slu_steps_new(doc, "test", &st, &e) < 0)
		fail_msg("%s", e.msg);
	slu_json_free(doc);
	return st;
}

static void refused(const char *transformations, int code, const char *word)
{
	char text[1024];
	struct json_t *doc = NULL;
	struct slu_steps *st = NULL;
	struct slu_err e = {0};

	snprintf(text, sizeof text, "{\"transformations\": %s}", transformations);
	assert_int_equal(slu_json_parse(text, strlen(text), "test", &doc, &e), 0);
	assert_failed(slu_steps_new(doc, "test", &st, &e), e, code, word);
	assert_null(st);
	slu_json_free(doc);
}

/* Which of f0 ... f<n-1> are in, as a text of 0 and 1; ends where the steps say so. */
static void run(struct slu_steps *st, int n, char *out)
{
	struct slu_attr a = {.kind = SLU_KIND_FILE};
	struct slu_err e = {0};
	char path[32];

	for (int i = 0; i < n; i++) {
		a.size = (uint64_t)i;
		snprintf(path, sizeof path, "f%d", i);
		*out++ = slu_steps_end(st)                              ? '.'
			 : slu_steps_takes(st, path, path, &a, &e) == 1 ? '1'
									: '0';
	}
	*out = '\0';
	slu_steps_free(st);
}

#define assert_run(transformations, want)                                                          \
	do {                                                                                       \
		char out_[64];                                                                     \
		run(steps(transformations), (int)strlen(want), out_);                              \
		assert_string_equal(out_, (want));                                                 \
	} while (0)

static void test_order(void **state)
{
	(void)state;
	assert_run("[{\"take\": 3}]", "111.....");
	assert_run("[{\"skip\": 2}]", "00111111");
	assert_run("[{\"skip\": 2}, {\"take\": 3}]", "00111...");
	assert_run("[{\"take\": 3}, {\"skip\": 2}]", "001.....");
	assert_run("[{\"filter\": \"Size > 4\"}, {\"take\": 2}]", "0000011.");
	assert_run("[{\"take\": 6}, {\"filter\": \"col('Size') > 4\"}]", "000001..");
	assert_run("[{\"skip\": 0}]", "11");
	/* What stands behind a reading is about rows, and some steps are about columns. */
	assert_run("[{\"keep_columns\": \"a\"}, {\"skip\": 1}]", "011");
	assert_null(steps("[{\"read_delimited\": {}}, {\"take\": 1}]"));
	assert_null(steps("[]"));
}

static void test_sampling(void **state)
{
	char first[64], second[64], other[64], part[64];
	int ones = 0;

	(void)state;
	/* These are the same for ever: a version that was made by one of them can be made again. */
	assert_run("[{\"take_random_sample\": {\"probability\": 0.5, \"seed\": 1}}]",
		   "000001011111001101100011");
	run(steps("[{\"sample\": {\"sampler\": \"random_percent\", \"sampler_arguments\": "
		  "{\"probability\": 0.7, \"probability_lower_bound\": 0.0, \"seed\": 42}}}]"),
	    60, first);
	run(steps("[{\"sample\": {\"sampler\": \"random_percent\", \"sampler_arguments\": "
		  "{\"probability\": 1, \"probability_lower_bound\": 0.7, \"seed\": 42}}}]"),
	    60, second);
	for (int i = 0; i < 60; i++) {
		assert_int_not_equal(first[i], second[i]); /* disjoint and complete */
		ones += first[i] == '1';
	}
	assert_in_range(ones, 32, 52);
	run(steps("[{\"take_random_sample\": {\"probability\": 0.7, \"seed\": 43}}]"), 60, other);
	assert_string_not_equal(first, other);
	run(steps("[{\"take_random_sample\": {\"probability\": 0.7, \"seed\": 42}}]"), 60, part);
	assert_string_equal(first, part);
	/* A file's fate does not depend on those before it. */
	run(steps("[{\"skip\": 10}, {\"take_random_sample\": {\"probability\": 0.7, \"seed\": 42}}]"),
	    60, part);
	assert_memory_equal(first + 10, part + 10, 50);
}

static void test_partition_columns(void **state)
{
	struct slu_steps *st = steps(
		"[{\"extract_columns_from_partition_format\": {\"partition_format\": "
		"\"{dept}/{when:yyyy/MM/dd}/x.csv\"}}, {\"filter\": \"dept == 'hr' and when >= "
		"'2024-02-01'\"}]");
	struct slu_attr a = {.kind = SLU_KIND_FILE};
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_steps_takes(st, "x", "data/hr/2024/03/01/x.csv", &a, &e), 1);
	assert_int_equal(slu_steps_takes(st, "x", "data/hr/2024/01/31/x.csv", &a, &e), 0);
	assert_int_equal(slu_steps_takes(st, "x", "data/it/2024/03/01/x.csv", &a, &e), 0);
	assert_int_equal(slu_steps_takes(st, "x", "data/other.csv", &a, &e), 0); /* no columns */
	slu_steps_free(st);
	refused("[{\"filter\": \"dept == 'hr'\"}]", EINVAL, "no column 'dept'");
}

static void test_refused(void **state)
{
	(void)state;
	refused("[{\"take\": 0}]", EINVAL, "from 1");
	refused("[{\"take\": \"x\"}]", EINVAL, "'take'");
	refused("[{\"skip\": -1}]", EINVAL, "from 0");
	refused("[{\"take_random_sample\": {\"probability\": 1.5}}]", EINVAL, "probability");
	refused("[{\"take_random_sample\": {\"seed\": 1}}]", EINVAL, "probability");
	refused("[{\"take_random_sample\": {\"probability\": 0}}]", EINVAL, "no file");
	refused("[{\"take_random_sample\": {\"probability\": 0.5, \"seed\": \"x\"}}]", EINVAL,
		"seed");
	refused("[{\"sample\": {\"sampler\": \"top_n\"}}]", ENOTSUP, "top_n");
	refused("[{\"filter\": 3}]", EINVAL, "expression");
	refused("[{\"filter\": \"Size >\"}]", EINVAL, "character 7");
	refused("[{\"shuffle\": 3}]", ENOTSUP, "shuffle");
}

static bool takes(const char *text, const char *path, uint64_t size, const char *when)
{
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = size};
	struct slu_fileexpr *x = NULL;
	struct slu_err e = {0};

	assert_true(slu_time_parse(when, &a.mtime_ns));
	if (slu_fileexpr_new(text, NULL, NULL, &x, &e) < 0)
		fail_msg("%s", e.msg);
	bool r = slu_fileexpr_takes(x, path, &a, NULL, NULL);

	slu_fileexpr_free(x);
	return r;
}

static void test_filters(void **state)
{
	static const char *const yes[] = {
		"Size == 1500",
		"Size = 1500",
		"Size != 1",
		"col('Size') >= 1500 and file_metadata(\"Size\") <= 1500",
		"Size > 1.5",
		"Size > '1K'",
		"-1 < Size",
		"Extension == '.jpg'",
		"not Extension == '.png'",
		"~(Extension == '.png')",
		"!(Size < 3)",
		"(Size > 1) & (Extension == \".jpg\")",
		"(Size < 1) | (Extension == \".jpg\")",
		"Size < 1 && Size > 5 || Size > 2",
		"LastModifiedTime > '2024-01-31'",
		"LastModifiedTime < datetime(2024, 2, 1, 8, 0, 1)",
		"LastModifiedTime < datetime(2024, 2, 1, 8, 0, 0, 1)",
		"LastModifiedTime > datetime(2024, 2, 1, 7, 59, 59, 999999)",
		"LastModifiedTime == datetime('2024-02-01T08:00:00Z')",
		"LastModifiedTime == '2024-02-01 08:00:00'",
		"Path.startswith('a/') and Path.endswith('.jpg') and Path.contains('b c')",
		"CanSeek",
		"CanSeek == True",
		"(CanSeek == False) != (Size == 1500)",
		"'a' < 'b'",
		"Path == 'a/b c\\'d.jpg'",
	};
	static const char *const no[] = {
		"Size < 1500",         "Extension == '.JPG'",  "LastModifiedTime < '2024-02-01'",
		"not CanSeek",         "Path.startswith('b')", "Size == 1500 and False",
		"Path.contains('zz')", "Extension == 'jpg'",   "Size > '1M'",
	};

	(void)state;
	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		if (!takes(yes[i], "a/b c'd.jpg", 1500, "2024-02-01T08:00:00Z"))
			fail_msg("not taken: %s", yes[i]);
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		if (takes(no[i], "a/b c'd.jpg", 1500, "2024-02-01T08:00:00Z"))
			fail_msg("taken: %s", no[i]);
	assert_true(takes("Extension == ''", "a.b/.hidden", 0, "2024-02-01T08:00:00Z"));
	assert_true(takes("Extension == '.gz'", "a.tar.gz", 0, "2024-02-01T08:00:00Z"));
}

static void test_bad_filters(void **state)
{
	static const char *const bad[][2] = {
		{"", "wanted"},
		{"Size", "comparison is wanted"},
		{"Size > 'x'", "different kinds"},
		{"Size > '2024-01-31'", "different kinds"},
		{"LastModifiedTime > 'soon'", "different kinds"},
		{"Size > 1 and", "wanted"},
		{"Size > 1 Size", "does not belong"},
		{"(Size > 1", "')' is missing"},
		{"col(Size) > 1", "quotes"},
		{"col('Size'", "')' is missing"},
		{"Extension == 'x", "closing quote"},
		{"Size.startswith('x')", "texts only"},
		{"Path.matches('x')", "known are"},
		{"Path.startswith(3)", "quotes"},
		{"colour == 'red'", "no column 'colour'"},
		{"Size > 1e9", "no number"},
		{"Size and CanSeek", "brackets"},
		{"CanSeek > False", "no order"},
		{"not Size", "not wants"},
		{"datetime(2024, 1) < LastModifiedTime", "year, month, day"},
		{"datetime(2024, 13, 1) < LastModifiedTime", "no time"},
		{"datetime(2024, 1, 1, 0, 0, 0, 1000000) < LastModifiedTime", "microseconds"},
		{"Size > 99999999999999999999", "no number"},
	};
	struct slu_fileexpr *x = NULL;
	struct slu_err e = {0};
	char deep[4000];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_failed(slu_fileexpr_new(bad[i][0], NULL, NULL, &x, &e), e, EINVAL,
			      bad[i][1]);
	assert_failed(slu_fileexpr_new("CreationTime > '2024-01-31'", NULL, NULL, &x, &e), e,
		      ENOTSUP, "LastModifiedTime");
	memset(deep, '(', sizeof deep - 1);
	deep[sizeof deep - 1] = '\0';
	assert_failed(slu_fileexpr_new(deep, NULL, NULL, &x, &e), e, EINVAL, "deep");
	memset(deep, '~', sizeof deep - 1);
	assert_failed(slu_fileexpr_new(deep, NULL, NULL, &x, &e), e, EINVAL, "deep");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),       cmocka_unit_test(test_sampling),
		cmocka_unit_test(test_refused),     cmocka_unit_test(test_filters),
		cmocka_unit_test(test_bad_filters), cmocka_unit_test(test_partition_columns),
	};

	return cmocka_run_group_tests_name("steps", tests, NULL, NULL);
}
