/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum of Hadoop's file systems, against what a NameNode of Hadoop 3.4.2 told. */
#include "fs/hadoopsum.h"

#include "tests/unit/unit.h"

#include <errno.h>

#define BYTES 100000

static void check(size_t n, size_t piece, const char *want)
{
	static uint8_t p[BYTES];
	char got[SLU_ID_MAX];
	struct slu_hadoopsum *h;

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i % 251);
	assert_int_equal(slu_hadoopsum_new(want, &h), 0);
	for (size_t i = 0; i < n; i += piece)
		assert_int_equal(slu_hadoopsum_add(h, p + i, n - i < piece ? n - i : piece), 0);
	assert_int_equal(slu_hadoopsum_end(h, got), 0);
	assert_string_equal(got, want);
	slu_hadoopsum_free(h);
}

static void test_blocks(void **state)
{
	static const size_t pieces[] = {1, 511, 4096, 16384, BYTES};

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		check(BYTES, pieces[i], "hadoop:512:16384:22b4d2c4d1517e81b58f2c55c891fcd5");
		check(1000, pieces[i], "hadoop:512:0:5398e0bf4dd7d043de555fd13485c7ab");
	}
	check(0, 1, "hadoop:512:0:70bc8f4b72a86921468bf8e8441dce51");
}

static void test_what_is_none(void **state)
{
	static const char *const wrong[] = {
		"",           "md5:00", "hadoop:", "hadoop:512", "hadoop:0:0:", "hadoop:512:7:",
		"hadoop:x:0:"};
	struct slu_hadoopsum *h;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(slu_hadoopsum_new(wrong[i], &h), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_what_is_none),
	};

	return cmocka_run_group_tests_name("hadoopsum", tests, NULL, NULL);
}
