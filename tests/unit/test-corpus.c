/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays the fuzzers' corpora of common/ as they are, then every file changed in many small ways
 * (cut, bytes replaced, inserted, removed, doubled) by a fixed sequence, so that a failure comes
 * again.  The fuzzers' own checks decide.
 */
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/cleanup.h"

#include <dirent.h>

#define LLVMFuzzerTestOneInput fuzz_json
#include "tests/fuzz/fuzz-json.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_yaml
#include "tests/fuzz/fuzz-yaml.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_xml
#include "tests/fuzz/fuzz-xml.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_path
#include "tests/fuzz/fuzz-path.c"
#undef LLVMFuzzerTestOneInput

enum { CHANGES = 400 };

static uint64_t seed;

static uint32_t next_random(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33);
}

static void change(char *p, size_t *n, size_t room)
{
	static const char bytes[] = "\"'{}[]:,-?&*!|>#%@`<>/=;\n\t \\\x00\xff\xc3\xe2.0e";
	size_t at = *n ? next_random() % *n : 0;

	switch (next_random() % 5) {
	case 0:
		*n = at;
		break;
	case 1:
		if (*n)
			p[at] = bytes[next_random() % (sizeof(bytes) - 1)];
		break;
	case 2:
		if (*n)
			memmove(p + at, p + at + 1, --*n - at);
		break;
	case 3:
		if (*n < room) {
			memmove(p + at + 1, p + at, (*n)++ - at);
			p[at] = bytes[next_random() % (sizeof(bytes) - 1)];
		}
		break;
	default:
		if (*n && *n * 2 - at <= room) {
			memmove(p + *n, p + at, *n - at);
			*n += *n - at;
		}
	}
}

/* A copy of its own, exactly as long, so that reading beyond it shows. */
static void run_one(int (*fuzz)(const uint8_t *, size_t), const char *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	memcpy(copy, p, n);
	fuzz(copy, n);
	free(copy);
}

static void replay_file(int (*fuzz)(const uint8_t *, size_t), int dirfd, const char *name)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
	char *work;
	size_t n;

	assert_int_equal(slu_buf_read_at(&b, dirfd, name), 0);
	run_one(fuzz, b.p, b.len);
	work = malloc(b.len * 2 + 16);
	assert_non_null(work);
	seed = b.len;
	for (int i = 0; i < CHANGES; i++) {
		memcpy(work, b.p, n = b.len);
		for (uint32_t k = next_random() % 4 + 1; k > 0; k--)
			change(work, &n, b.len * 2 + 16);
		run_one(fuzz, work, n);
	}
	free(work);
}

/* Corpora lie beside this file's folder, wherever the build is. */
static void replay(const char *corpus, int (*fuzz)(const uint8_t *, size_t))
{
	const char *slash = strrchr(__FILE__, '/');
	char path[4096];
	struct dirent *d;
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%.*s/../corpus/%s", (int)(slash - __FILE__), __FILE__,
		 corpus);
	dir = opendir(path);
	if (!dir)
		fail_msg("no corpus at %s", path);
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		replay_file(fuzz, dirfd(dir), d->d_name);
		n++;
	}
	closedir(dir);
	assert_true(n >= 5);
}

static void json(void **state)
{
	(void)state;
	replay("json", fuzz_json);
}

static void yaml(void **state)
{
	(void)state;
	replay("yaml", fuzz_yaml);
}

static void xml(void **state)
{
	(void)state;
	replay("xml", fuzz_xml);
}

static void paths(void **state)
{
	(void)state;
	replay("path", fuzz_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json),
		cmocka_unit_test(yaml),
		cmocka_unit_test(xml),
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests_name("corpus", tests, NULL, NULL);
}
