/* SPDX-License-Identifier: Apache-2.0 */
/* Listings of the dfs endpoint.  What is taken from one is a name below the folder and an attribute that a
 * manifest can hold; a failure has a reason. */
#include "blob/dfs.h"
#include "common/cleanup.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_folder(const char *text, size_t n, const char *folder, bool recursive)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	struct slu_err e = {0};
	int r = slu_dfs_list_parse(text, n, folder, recursive, &list, &e);

	if (r < 0 && (e.code != -r || !e.msg[0]))
		abort();
	for (size_t i = 0; i < list.n; i++) {
		const struct slu_dirent *d = &list.p[i];

		if (!d->name[0] || d->attr.size > INT64_MAX)
			abort();
		if (recursive ? d->attr.kind == SLU_KIND_DIR : strchr(d->name, '/') != NULL)
			abort();
		if (d->attr.kind == SLU_KIND_FILE ? !d->attr.id[0] : d->attr.size)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	fuzz_folder(text, size, "", false);
	fuzz_folder(text, size, "in", false);
	fuzz_folder(text, size, "in", true);
	return 0;
}
