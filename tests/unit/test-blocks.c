/* SPDX-License-Identifier: Apache-2.0 */
/* How files are cut into blocks: both sides agree, and Blob's 50,000 suffice. */
#include "tests/unit/unit.h"

#include "fs/blocks.h"

#define MIB ((uint64_t)1 << 20)
#define TIB (MIB << 20)

static const struct slu_store blob = {
	.block = 8 * MIB, .blocks_max = 50000, .block_max = 4000 * MIB};
static const struct slu_store plain = {.block = 4096};

static void a_known_length_always_fits(void **state)
{
	static const uint64_t sizes[] = {0,
					 1,
					 8 * MIB,
					 50000 * 8 * MIB,
					 50000 * 8 * MIB + 1,
					 5 * TIB,
					 50000 * 4000 * MIB - 1,
					 50000 * 4000 * MIB};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t unit = slu_blocks_unit(&blob, sizes[i]);

		assert_in_range(unit, 8 * MIB, 4000 * MIB);
		assert_int_equal(unit % MIB, 0);
		assert_in_range(slu_blocks_count(&blob, unit, sizes[i]), 0, 50000);
	}
	assert_int_equal(slu_blocks_unit(&blob, 50000 * 8 * MIB), 8 * MIB);
	assert_int_equal(slu_blocks_unit(&blob, 50000 * 8 * MIB + 1), 9 * MIB);
	assert_int_equal(slu_blocks_unit(&blob, 50000 * 4000 * MIB + 1), 0);
	assert_int_equal(slu_blocks_unit(&plain, 1000 * TIB), 4096);
}

static void a_long_file_has_long_blocks_and_fewer_of_them_under_way(void **state)
{
	const struct slu_store s = {.block = 8 * MIB, .block_long = 15 * MIB, .lanes = 5};

	(void)state;
	assert_int_equal(slu_blocks_unit(&s, 60 * MIB - 1), 8 * MIB);
	assert_int_equal(slu_blocks_unit(&s, 60 * MIB), 15 * MIB);
	assert_int_equal(slu_blocks_unit(&s, 1000 * TIB), 15 * MIB);
	assert_int_equal(slu_blocks_len(&s, 0, 60 * MIB), 8 * MIB); /* nobody knows its length */
	assert_int_equal(slu_blocks_lanes(&s, 8 * MIB), 5);
	assert_int_equal(slu_blocks_lanes(&s, 15 * MIB), 3);
	assert_int_equal(slu_blocks_lanes(&s, 4000 * MIB), 1);
	assert_int_equal(slu_blocks_lanes(&blob, 4000 * MIB), 0);
}

static void blocks_grow_when_the_length_is_not_known(void **state)
{
	uint64_t off = 0, n = 0;
	size_t len, before = 0;

	(void)state;
	while ((len = slu_blocks_len(&blob, 0, off))) {
		assert_true(len >= before && len <= 4000 * MIB);
		assert_int_equal(off, slu_blocks_start(&blob, 0, n));
		assert_int_equal(slu_blocks_count(&blob, 0, off), n);
		assert_int_equal(slu_blocks_count(&blob, 0, off + 1), n + 1);
		off += before = len;
		n++;
	}
	assert_int_equal(n, 50000);
	assert_int_equal(off, slu_blocks_reach(&blob));
	assert_true(off > 90 * TIB);
	assert_int_equal(slu_blocks_len(&blob, 0, 30 * 1024 * MIB), 8 * MIB);
}

static void a_store_without_a_limit_has_one_length(void **state)
{
	(void)state;
	assert_int_equal(slu_blocks_len(&plain, 0, 1000 * TIB), 4096);
	assert_int_equal(slu_blocks_start(&plain, 0, 1000000), 4096000000);
	assert_int_equal(slu_blocks_count(&plain, 0, 4097), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_known_length_always_fits),
		cmocka_unit_test(blocks_grow_when_the_length_is_not_known),
		cmocka_unit_test(a_long_file_has_long_blocks_and_fewer_of_them_under_way),
		cmocka_unit_test(a_store_without_a_limit_has_one_length),
	};
	return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
