/* SPDX-License-Identifier: Apache-2.0 */
/* XML answers of the Blob service: listings, block lists, errors.  What is taken from a listing is a
 * name that is not empty and an attribute that a manifest can hold; a failure has a reason. */
#include "blob/list.h"
#include "common/cleanup.h"

#include <stdlib.h>
#include <string.h>

static int fuzz_left(void *user, const char *id, uint64_t size, bool committed)
{
	(void)user, (void)size, (void)committed;
	if (!*id || strlen(id) >= SLU_BLOB_BLOCK_ID)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_block_id(void *user, uint64_t i, char *out)
{
	(void)user;
	out[0] = 'M';
	out[1] = i ? 'Q' : 'A';
	memcpy(out + 2, "==", 3);
}

static void fuzz_page(const char *xml, size_t n, struct slu_blob_page page)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	struct slu_err e = {0};
	int r = slu_blob_list_parse(xml, n, &page, &list, &e);

	if (r < 0 && (e.code != -r || !e.msg[0]))
		abort();
	for (size_t i = 0; i < list.n; i++) {
		const struct slu_dirent *d = &list.p[i];

		if ((!d->name[0] && !page.all) || d->attr.size > INT64_MAX)
			abort();
		if (d->attr.kind == SLU_KIND_FILE ? !d->attr.id[0] : d->attr.size && !page.all)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *xml = (const char *)data;
	char code[16], text[16];
	struct slu_err e = {0};
	bool same;

	fuzz_page(xml, size, (struct slu_blob_page){.prefix = ""});
	fuzz_page(xml, size, (struct slu_blob_page){.prefix = "in/"});
	fuzz_page(xml, size, (struct slu_blob_page){.prefix = "in/", .flat = true});
	fuzz_page(xml, size, (struct slu_blob_page){.prefix = "in/", .flat = true, .all = true});
	if (slu_blob_blocks_parse(xml, size, fuzz_block_id, NULL, 2, &same, &e) < 0 && !e.msg[0])
		abort();
	if (slu_blob_each_block(xml, size, fuzz_left, NULL, &e) < 0 && !e.msg[0])
		abort();
	slu_blob_error_parse(xml, size, code, sizeof(code), text, sizeof(text));
	if (strlen(code) >= sizeof(code) || strlen(text) >= sizeof(text))
		abort();
	return 0;
}
