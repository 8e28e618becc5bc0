/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "common/tail.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void test_last_lines(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {{"", ""},
		     {" \n\t\r\n", ""},
		     {"one", "one"},
		     {"a\nb\n", "b"},
		     {"a\n b \r\n\n", " b"},
		     {"\n\nx", "x"},
		     {"0123456789", "3456789"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = memfd_create("text", MFD_CLOEXEC);
		size_t n = strlen(cases[i].text);
		char text[8];

		assert_true(fd >= 0);
		assert_int_equal(write(fd, cases[i].text, n), n);
		assert_string_equal(slu_tail(fd, text, sizeof(text)), cases[i].want);
		close(fd);
	}
}

static void test_nothing_to_read(void **state)
{
	char text[8] = "before";

	(void)state;
	assert_string_equal(slu_tail(-1, text, sizeof(text)), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_lines),
		cmocka_unit_test(test_nothing_to_read),
	};

	return cmocka_run_group_tests_name("tail", tests, NULL, NULL);
}
