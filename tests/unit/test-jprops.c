/* SPDX-License-Identifier: Apache-2.0 */
/* Java's .properties files: what java.util.Properties makes of the same text is in the scenario test_spark. */
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/fault.h"
#include "common/jprops.h"

static struct slu_jprops *read_text(const char *text)
{
	static struct slu_jprops p;
	struct slu_err e = {0};

	slu_jprops_done(&p);
	if (slu_jprops_parse(&p, text, strlen(text), "x.conf", &e))
		fail_msg("%s", e.msg);
	return &p;
}

static void expect(const char *text, const char *key, const char *value)
{
	const struct slu_jprops *p = read_text(text);
	const char *has = slu_jprops_get(p, key);

	if (!value) {
		assert_null(has);
		return;
	}
	if (!has || strcmp(has, value) != 0)
		fail_msg("'%s' of \"%s\" is '%s', not '%s'", key, text, has ? has : "(none)",
			 value);
}

static void keys_and_values(void **state)
{
	(void)state;
	expect("a=1", "a", "1");
	expect("a 1", "a", "1");
	expect("a\t:  1 ", "a", "1 ");
	expect("  a = = 1\n", "a", "= 1");
	expect("a", "a", "");
	expect("a=1\ra=2\r\na=3", "a", "3");
	expect("=x", "", "x");
	expect("\\ a\\:b\\=c=d", " a:b=c", "d");
}

static void comments_and_lines_that_go_on(void **state)
{
	(void)state;
	expect("# a=1\n! a=2\n\n  #a=3\n", "a", NULL);
	expect("# a comment ends \\\na=1", "a", "1");
	expect("a=1\\\n   2\\\r\n3", "a", "123");
	expect("a=1\\\\\nb=2", "a", "1\\");
	expect("a=1\\\\\nb=2", "b", "2");
	expect("a=1\\\n\nb=2", "a", "1");
	expect("a=1\\\n#2", "a", "1#2");
	expect("a=1\\", "a", "1");
	expect("\\\n#a=1", "#a", NULL);
	expect("\\\n\n \\\n a=1\\", "a", "1");
	expect("\\\n\\", "", "");
	assert_int_equal(read_text("\\\n ")->all.n, 0);
}

static void escapes(void **state)
{
	(void)state;
	expect("a=\\t\\n\\r\\f\\q\\\"", "a", "\t\n\r\fq\"");
	expect("a=\\u00e9\\u20AC", "a", "\xc3\xa9\xe2\x82\xac");
	expect("a=\\uD83D\\uDE00", "a", "\xf0\x9f\x98\x80");
	expect("\\u0061=1", "a", "1");
}

static void bad_text(void **state)
{
	SLU_AUTO(slu_jprops_done) struct slu_jprops p = {0};
	struct slu_err e = {0};

	(void)state;
	assert_failed(slu_jprops_parse(&p, "b=1\na=\\u12g4", 12, "x.conf", &e), e, EBADMSG,
		      "'x.conf:2'");
	assert_failed(slu_jprops_parse(&p, "a=\\ud83d", 8, "x.conf", &e), e, EBADMSG, "\\u");
	assert_failed(slu_jprops_parse(&p, "a\0b", 3, "x.conf", &e), e, EBADMSG, "NUL");
}

static void what_is_written_is_read_back(void **state)
{
	static const char *const odd[] = {"",     " a ",   "\t",   "#a", "!",   "a=b:c",
					  "\\u0", "a\\\n", "\r\f", "é",  "a#!", "\\"};
	SLU_AUTO(slu_jprops_done) struct slu_jprops p = {0}, q = {0};
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);
	struct slu_err e = {0};
	const size_t n = sizeof odd / sizeof *odd;

	(void)state;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(slu_jprops_set(&p, odd[i], odd[n - 1 - i]), 0);
	slu_jprops_write(&p, &b);
	assert_int_equal(slu_jprops_parse(&q, b.p, b.len, "x", &e), 0);
	assert_int_equal(q.all.n, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(slu_jprops_get(&q, odd[i]), odd[n - 1 - i]);
}

static void lists_are_joined(void **state)
{
	SLU_AUTO(slu_jprops_done) struct slu_jprops p = {0};

	(void)state;
	assert_int_equal(slu_jprops_join(&p, "k", "a,b"), 0);
	assert_int_equal(slu_jprops_join(&p, "k", "b,c,,a,bc"), 0);
	assert_string_equal(slu_jprops_get(&p, "k"), "a,b,c,bc");
}

static void no_memory_is_an_error(void **state)
{
	static const char text[] = "a=1\nb = \\u00e9\\\n 2\n";
	struct slu_err e = {0};

	(void)state;
	for (long n = 1; n < 100; n++) {
		SLU_AUTO(slu_jprops_done) struct slu_jprops p = {0};

		slu_fault_arm(SLU_FAULT_MALLOC, n, false);
		int r = slu_jprops_parse(&p, text, sizeof text - 1, "x", &e);
		bool clean = slu_fault_count(SLU_FAULT_MALLOC) < n;

		slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
		assert_int_equal(r, clean ? 0 : -ENOMEM);
		if (clean)
			return;
	}
	fail_msg("allocates without end");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_and_values),
		cmocka_unit_test(comments_and_lines_that_go_on),
		cmocka_unit_test(escapes),
		cmocka_unit_test(bad_text),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(lists_are_joined),
		cmocka_unit_test(no_memory_is_an_error),
	};

	read_text(""); /* frees at its next call what it keeps */
	int r = cmocka_run_group_tests_name("jprops", tests, NULL, NULL);

	read_text("");
	return r;
}
