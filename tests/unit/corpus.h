/* SPDX-License-Identifier: Apache-2.0 */
/* Replays tests/corpus/NAME through a fuzz entry: each file as it is, then changed in small ways by a
 * fixed sequence, so that a failure comes again. */
#ifndef SLU_TESTS_CORPUS_H
#define SLU_TESTS_CORPUS_H

#include "tests/unit/unit.h"

#include "common/buf.h"

#include <dirent.h>

static inline void corpus_change(char *p, size_t n, uint32_t *seed)
{
	static const char bytes[] = "*?[]{}!,-/\\% .0\n\xc3\xff";

	for (int i = 0; i < 3; i++) {
		*seed = *seed * 1664525 + 1013904223;
		p[(*seed >> 8) % n] = bytes[(*seed >> 3) % (sizeof(bytes) - 1)];
	}
}

/* The folder is found from this source file, so that it is also when building elsewhere. */
static inline size_t corpus_replay(const char *source, const char *name,
				   int (*entry)(const uint8_t *data, size_t n))
{
	const char *slash = strrchr(source, '/');
	char dir[1024];
	uint32_t seed = 1;
	struct dirent *d;
	size_t n = 0;
	DIR *all;

	snprintf(dir, sizeof(dir), "%.*s/../corpus/%s", slash ? (int)(slash - source) : 1,
		 slash ? source : ".", name);
	all = opendir(dir);
	if (!all)
		fail_msg("no corpus in %s", dir);
	while ((d = readdir(all))) {
		struct slu_buf b = SLU_BUF(16 << 20);

		if (d->d_name[0] == '.')
			continue;
		assert_int_equal(slu_buf_read_at(&b, dirfd(all), d->d_name), 0);
		entry((const uint8_t *)(b.p ? b.p : ""), b.len);
		for (int i = 0; i < 300 && b.len; i++) {
			char *copy = malloc(b.len); /* of its exact size, for the sanitizer */

			assert_non_null(copy);
			memcpy(copy, b.p, b.len);
			corpus_change(copy, b.len, &seed);
			entry((const uint8_t *)copy, i & 1 ? b.len : seed % b.len);
			free(copy);
		}
		slu_buf_done(&b);
		n++;
	}
	closedir(all);
	return n;
}

#endif
