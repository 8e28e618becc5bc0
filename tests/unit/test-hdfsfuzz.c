/* SPDX-License-Identifier: Apache-2.0 */
/* Replays the corpora of the fuzzers that play servers of HDFS. */
#include "tests/unit/corpus.h"

#define LLVMFuzzerTestOneInput fuzz_hdfswire
#include "tests/fuzz/fuzz-hdfswire.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_hdfspb
#include "tests/fuzz/fuzz-hdfspb.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_digest
#include "tests/fuzz/fuzz-digest.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_replica
#include "tests/fuzz/fuzz-replica.c"
#undef LLVMFuzzerTestOneInput

static void connections(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "hdfswire", fuzz_hdfswire) > 5);
}

static void messages(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "hdfspb", fuzz_hdfspb) > 5);
}

static void digests(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "digest", fuzz_digest) > 5);
}

static void replicas(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "replica", fuzz_replica) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections),
		cmocka_unit_test(messages),
		cmocka_unit_test(digests),
		cmocka_unit_test(replicas),
	};

	return cmocka_run_group_tests_name("hdfsfuzz", tests, NULL, NULL);
}
