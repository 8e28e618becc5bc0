/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a program was killed, by what the kernel says of it. */
#include "tests/unit/unit.h"

#include "fs/mount_impl.h"

#include <unistd.h>

static void a_pending_kill_is_seen(void **state)
{
	static const struct {
		const char *text;
		bool killed;
	} cases[] = {
		{"Name:\tdd\nState:\tD\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n",
		 true},
		{"Name:\tdd\nSigPnd:\t0000000000004b02\nShdPnd:\t0\n", true},
		{"Name:\tdd\nSigPnd:\tffffffffffffffff\n", true},
		{"Name:\tdd\nSigPnd:\t0000000000000a00\nShdPnd:\t0000000000000100\n", false},
		{"Name:\tdd\nSigPnd:\t0000000000004202\nShdPnd:\t0\n", false},
		{"Name:\tdd\nSigPnd:\tfffffffffffffeff\n", false},
		{"Name:\tSigPnd:\t0000000000000100\nSigPnd:\t0000000000000000\n", false},
		{"SigPnd:\t", false},
		{"\nSigPnd:\t10", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (slu_mkilled_text(cases[i].text) != cases[i].killed)
			fail_msg("case %zu", i);
	assert_false(slu_mkilled(getpid()));
	assert_false(slu_mkilled(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_pending_kill_is_seen)};

	return cmocka_run_group_tests_name("mountkilled", tests, NULL, NULL);
}
