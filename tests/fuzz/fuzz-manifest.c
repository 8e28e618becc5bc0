/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: what is read is written back byte for byte, and found again. */
#include "common/buf.h"
#include "fs/manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL;
	struct slu_buf b = SLU_BUF(64u << 20);
	struct slu_err e = {0};

	if (slu_manifest_parse((const char *)data, n, "input", &m, &e) < 0)
		return 0;
	if (slu_manifest_write(m, &b) < 0 || b.len != n || memcmp(b.p, data, n) != 0)
		abort();
	for (size_t i = 0; i < slu_manifest_count(m); i++) {
		const char *path;

		if (slu_manifest_find(m, slu_manifest_at(m, i)->path) != i ||
		    slu_manifest_locate(m, i, &path) >= slu_manifest_sources(m) || !*path)
			abort();
	}
	slu_buf_done(&b);
	return 0;
}
