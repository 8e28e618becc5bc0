/* SPDX-License-Identifier: Apache-2.0 */
#include "dataset/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

static void names_and_paths(void **state)
{
	static const char *const include[] = {"*.csv", "d/*.txt", NULL};
	static const char *const exclude[] = {"_*", "**/tmp/**", NULL};
	const struct slu_filter f = {include, exclude};

	(void)state;
	assert_true(slu_filter_any(&f));
	assert_true(slu_filter_takes(&f, "a.csv"));
	assert_true(slu_filter_takes(&f, "x/y/a.csv")); /* by its name */
	assert_true(slu_filter_takes(&f, "d/a.txt"));
	assert_false(slu_filter_takes(&f, "x/d/a.txt")); /* by its whole path */
	assert_false(slu_filter_takes(&f, "a.txt"));
	assert_false(slu_filter_takes(&f, "x/_a.csv")); /* exclude wins */
	assert_false(slu_filter_takes(&f, "x/tmp/a.csv"));
}

static void none_given(void **state)
{
	static const char *const empty[] = {NULL};
	const struct slu_filter f = {NULL, empty};

	(void)state;
	assert_false(slu_filter_any(&f));
	assert_true(slu_filter_takes(&f, "whatever"));
}

static void what_is_no_pattern(void **state)
{
	static const char *const bad[] = {"fine", "a[", NULL};
	const struct slu_filter f = {NULL, bad};
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_filter_check(&f, &e), -EINVAL);
	assert_true(e.msg[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_paths),
		cmocka_unit_test(none_given),
		cmocka_unit_test(what_is_no_pattern),
	};

	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
