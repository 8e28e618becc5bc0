/* SPDX-License-Identifier: Apache-2.0 */
/* The error value and the exit codes. */
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/fault.h"
#include "common/str.h"

#include <errno.h>

static void a_failure_fills_the_error(void **state)
{
	struct slu_err e = {.http = 404, .svc = "BlobNotFound"};

	(void)state;
	assert_int_equal(slu_fail(&e, ENOENT, "datastore '%s' is unknown", "x"), -ENOENT);
	assert_int_equal(e.code, ENOENT);
	assert_string_equal(e.msg, "datastore 'x' is unknown");
	assert_int_equal(e.http, 0);
	assert_string_equal(e.svc, "");
	assert_int_equal(slu_fail(NULL, EPERM, "nobody listens"), -EPERM);
	assert_int_equal(slu_fail(&e, 0, "no code"), -EIO);
}

static void the_cause_comes_last(void **state)
{
	struct slu_err e = {0};
	char longish[3000];

	(void)state;
	slu_fail_sys(&e, ENOENT, "cannot open '%s'", "f");
	assert_string_equal(e.msg, "cannot open 'f': No such file or directory");
	memset(longish, 'a', sizeof(longish) - 1);
	longish[sizeof(longish) - 1] = '\0';
	slu_fail_sys(&e, EACCES, "'%s'", longish);
	assert_true(slu_ends(e.msg, "aaa': Permission denied"));
	slu_fail(&e, EACCES, "'%sb' in '%s': not so", longish, "there");
	assert_true(slu_starts(e.msg, "'aaa") && strstr(e.msg, "aaa...aaa"));
	assert_true(slu_ends(e.msg, "aab' in 'there': not so"));
	slu_fail(&e, EACCES, "'https://h/%s?sig=CANARY%s'", longish, longish);
	assert_null(strstr(e.msg, "CANARY"));
}

static void more_goes_in_front(void **state)
{
	struct slu_err e = {0};

	(void)state;
	slu_fail(&e, ESTALE, "'a' changed");
	e.http = 412;
	memcpy(e.svc, "ConditionNotMet", 16);
	assert_int_equal(slu_fail_more(&e, "input '%s'", "in"), -ESTALE);
	assert_string_equal(e.msg, "input 'in': 'a' changed");
	assert_int_equal(e.http, 412);
	assert_string_equal(e.svc, "ConditionNotMet");
	assert_int_equal(slu_fail_more(NULL, "x"), -EIO);
	slu_fail(&e, ENOENT, "inner");
	slu_fail(&e, EINVAL, "outer of %s", e.msg);
	assert_string_equal(e.msg, "outer of inner");
}

static void a_message_is_one_clean_line(void **state)
{
	struct slu_err e = {0};

	(void)state;
	slu_fail(&e, EIO, "'%s'", "a\nb\x1b]0;x\x07 \xff \xc3\xa4");
	assert_string_equal(e.msg, "'a\\x0ab\\x1b]0;x\\x07 \\xff \xc3\xa4'");
}

static void long_messages_end_at_a_character(void **state)
{
	struct slu_err e = {0};
	struct slu_buf b = SLU_BUF(100000);

	(void)state;
	for (int shift = 0; shift < 4; shift++) {
		size_t i = 0, n;

		slu_buf_clear(&b);
		slu_buf_fmt(&b, "%.*s", shift, "xyz");
		while (b.len < 2000)
			slu_buf_str(&b, "\xe2\x82\xac");
		slu_fail(&e, EIO, "%s", b.p);
		assert_true(strstr(e.msg, "...") && slu_ends(e.msg, "\xe2\x82\xac"));
		for (; e.msg[i]; i += n) {
			n = slu_utf8_len(e.msg + i, strlen(e.msg + i));
			assert_true(n > 0);
		}
		i = 0;
		slu_buf_clear(&b);
		slu_buf_fmt(&b, "%.*s", shift, "xyz");
		while (b.len < 2000)
			slu_buf_str(&b, "\xe2\x82\xac\xe2\x82\xac ");
		slu_fail(&e, EIO, "%s", b.p);
		assert_true(slu_ends(e.msg, "..."));
		assert_in_range(strlen(e.msg), SLU_ERR_MSG - 4, SLU_ERR_MSG - 1);
		for (; e.msg[i]; i += n) {
			n = slu_utf8_len(e.msg + i, strlen(e.msg + i));
			assert_true(n > 0);
		}
	}
	while (b.len < 20000)
		slu_buf_str(&b, "0123456789");
	slu_fail(&e, EIO, "%s", b.p);
	assert_true(slu_ends(e.msg, "..."));
	/* what just fits is not touched */
	slu_fail(&e, EIO, "%.*s", SLU_ERR_MSG - 1, b.p + 10000);
	assert_int_equal(strlen(e.msg), SLU_ERR_MSG - 1);
	assert_false(slu_ends(e.msg, "..."));
	slu_buf_done(&b);
}

static void secrets_do_not_show(void **state)
{
	struct slu_err e = {0};

	(void)state;
	slu_fail(&e, EIO, "GET 'https://a/b?sv=1&sig=S3CRET%%2B&se=2' failed");
	assert_string_equal(e.msg, "GET 'https://a/b?sv=1&sig=***&se=2' failed");
	slu_fail_more(&e, "password=%s", "S3CRET");
	assert_lacks(e.msg, "S3CRET");
}

static void out_of_memory_can_be_said_without_memory(void **state)
{
	struct slu_err e = {0};

	(void)state;
	slu_fault_arm(SLU_FAULT_MALLOC, 1, true);
	assert_int_equal(slu_fail_oom(&e), -ENOMEM);
	assert_int_equal(slu_fault_count(SLU_FAULT_MALLOC), 0);
	slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
	assert_string_equal(e.msg, "out of memory");
}

static void exit_codes(void **state)
{
	static const struct {
		int rc, want;
	} cases[] = {
		{0, 0},           {5, 1},          {-EINTR, 1},
		{-99999, 1},      {INT32_MIN, 1},  {-ENOENT, 3},
		{-EACCES, 4},     {-EROFS, 4},     {-EEXIST, 5},
		{-EBUSY, 5},      {-EINVAL, 6},    {-EBADMSG, 6},
		{-EXDEV, 6},      {-E2BIG, 6},     {-ESTALE, 7},
		{-EIO, 8},        {-ETIMEDOUT, 8}, {-ECONNREFUSED, 8},
		{-EAGAIN, 8},     {-ENOTCONN, 8},  {-ENOSPC, 9},
		{-ENOMEM, 9},     {-EFBIG, 9},     {-ECHILD, 10},
		{-ECANCELED, 11}, {-ENOSYS, 12},   {-EOPNOTSUPP, 12},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(slu_exit_code(cases[i].rc), cases[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_fills_the_error),
		cmocka_unit_test(the_cause_comes_last),
		cmocka_unit_test(more_goes_in_front),
		cmocka_unit_test(a_message_is_one_clean_line),
		cmocka_unit_test(long_messages_end_at_a_character),
		cmocka_unit_test(secrets_do_not_show),
		cmocka_unit_test(out_of_memory_can_be_said_without_memory),
		cmocka_unit_test(exit_codes),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
