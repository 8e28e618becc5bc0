/* SPDX-License-Identifier: Apache-2.0 */
/* Globs: whatever the pattern, check, match, prefix and parse agree and stay in bounds.  Input: the
 * pattern, a NUL, a path. */
#include "fs/glob.h"
#include "fs/walk.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slu_glob g;
	char *text, *path, *lit;
	bool any = false, hit;

	if (n > 8192)
		return 0;
	text = malloc(n + 2);
	if (!text)
		return 0;
	memcpy(text, data, n);
	text[n] = text[n + 1] = '\0';
	path = text + strlen(text) + 1;
	hit = slu_glob_match(text, path);
	lit = slu_glob_unescape(text, slu_glob_prefix(text));
	free(lit);
	if (slu_glob_check(text, NULL) == 0 && slu_glob_parse(text, &g, NULL) == 0) {
		for (size_t i = 0; i < g.n; i++)
			any |= slu_glob_match(g.alt[i].text, path);
		if (any != hit)
			abort();
		slu_glob_done(&g);
	}
	free(text);
	return 0;
}
