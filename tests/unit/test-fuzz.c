/* SPDX-License-Identifier: Apache-2.0 */
/* Replays the corpora of the fuzzers that look at what servers and configurations say: one program for those
 * whose subject has its own unit tests elsewhere. */
#include "tests/unit/corpus.h"

#define LLVMFuzzerTestOneInput fuzz_secret
#include "tests/fuzz/fuzz-secret.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_endpoint
#include "tests/fuzz/fuzz-endpoint.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_blobfault
#include "tests/fuzz/fuzz-blobfault.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_web
#include "tests/fuzz/fuzz-web.c"
#undef LLVMFuzzerTestOneInput

static void secrets(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "secret", fuzz_secret) > 5);
}

static void endpoints(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "endpoint", fuzz_endpoint) > 5);
}

static void blob_faults(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "blobfault", fuzz_blobfault) > 5);
}

static void web_answers(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "web", fuzz_web) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(blob_faults),
		cmocka_unit_test(web_answers),
	};

	return cmocka_run_group_tests_name("fuzz", tests, NULL, NULL);
}
