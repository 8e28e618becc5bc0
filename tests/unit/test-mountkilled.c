/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a program was killed, by what the kernel says of it; and a kill that was there before the request. */
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

static void how_a_program_ends_is_seen(void **state)
{
	static const char tail[] =
		"S 1 1 1 0 -1 %u 1 0 0 0 0 0 0 0 20 0 1 0 7 4464640 773 1 9 9 1 0 0 0 0 4 "
		"65536 1 0 0 17 3 0 0 0 0 0 9 9 9 1 1 1 1 %u\n";
	static const struct {
		const char *name;
		unsigned flags, code;
		int sig;
	} cases[] = {
		{"dd", 0x400004, 9, 9},     {"dd", 0x400004, 15, 15}, {"dd", 0x400000, 9, 0},
		{"dd", 0x400004, 0, 0},     {"dd", 4, 3 << 8, 0},     {"a b) c (d", 4, 0x86, 6},
		{"1 2 3 4 5 6 7", 4, 9, 9},
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int n = snprintf(text, sizeof text, "77 (%s) ", cases[i].name);

		snprintf(text + n, sizeof text - (size_t)n, tail, cases[i].flags, cases[i].code);
		if (slu_mkilled_by_text(text) != cases[i].sig)
			fail_msg("case %zu: %d", i, slu_mkilled_by_text(text));
	}
	assert_int_equal(slu_mkilled_by_text("77 (dd) S 1 1"), 0);
	assert_int_equal(slu_mkilled_by_text(""), 0);
	assert_int_equal(slu_mkilled_by(getpid()), 0);
	assert_int_equal(slu_mkilled_by(0), 0);
}

/* In place of libfuse's: INTERRUPT was there before; a lock in the request is held. */
static bool was_there, locked;

void fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	locked = true;
	if (was_there)
		func(req, data);
	locked = false;
}

static void interrupted(fuse_req_t req, void *replies)
{
	if (slu_minit_early(req))
		return;
	assert_false(locked);
	++*(int *)replies;
}

static void who_was_interrupted_before_is_answered_without_the_lock(void **state)
{
	fuse_req_t req = (fuse_req_t)state;
	int replies = 0;

	was_there = true;
	slu_minit_on_interrupt(req, interrupted, &replies);
	assert_int_equal(replies, 1);
	was_there = false;
	slu_minit_on_interrupt(req, interrupted, &replies);
	assert_int_equal(replies, 1);
	interrupted(req, &replies); /* later */
	assert_int_equal(replies, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pending_kill_is_seen),
		cmocka_unit_test(how_a_program_ends_is_seen),
		cmocka_unit_test(who_was_interrupted_before_is_answered_without_the_lock),
	};

	return cmocka_run_group_tests_name("mountkilled", tests, NULL, NULL);
}
