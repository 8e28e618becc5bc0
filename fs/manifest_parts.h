/* SPDX-License-Identifier: Apache-2.0 */
/* What manifest.c and manifest_text.c share. */
#ifndef SLU_FS_MANIFEST_PARTS_H
#define SLU_FS_MANIFEST_PARTS_H

#include "fs/manifest.h"

/* Strings never move: an entry points to them while more are added. */
struct slu_manifest_chunk {
	struct slu_manifest_chunk *next;
	size_t size, used;
	char text[];
};

struct slu_manifest {
	struct slu_file *files;
	size_t files_n, files_cap;
	struct slu_msource *sources;
	size_t sources_n, sources_cap;
	struct slu_manifest_chunk *chunks;
	uint64_t bytes;
	char *text; /* NULL, or what it was parsed from */
	size_t text_n;
	bool finished;
	bool pinned; /* some file has a version */
};

/* n bytes that live as long as the manifest; NULL: no memory. */
char *slu_manifest_room(struct slu_manifest *m, size_t n);
/* The strings are the manifest's own.  -EINVAL, -ENOMEM. */
int slu_manifest_link_source(struct slu_manifest *m, const char *prefix, const char *uri);
/* Everything that finish promises but the sorting; *ret_at: the entry at fault, or SIZE_MAX. */
int slu_manifest_check(struct slu_manifest *m, size_t *ret_at, struct slu_err *e);

#endif
