/* SPDX-License-Identifier: Apache-2.0 */
/* The copy of a code folder that a step runs in, taken when its job is made. */
#ifndef SLU_JOB_SNAPSHOT_H
#define SLU_JOB_SNAPSHOT_H

#include "common/err.h"
#include "dataset/registry.h"

#include <stdint.h>

#define SLU_SNAPSHOT_FILES 2000
#define SLU_SNAPSHOT_BYTES (300u << 20)

struct slu_snapshot {
	uint64_t files, bytes;
	uint64_t skipped; /* links that lead out or nowhere, sockets and the like: not copied */
	char hash[SLU_DIGEST_HEX]; /* SHA-256 over names and bytes, in order of names */
};

/* Copies folder (or the one file) `code` (absolute) into the folder `name` of dirfd, which is made and
 * must not be there yet.  Honours ignore files; links that stay inside are copied as links.  `without`: absolute path of a
 * folder to leave out, NULL: none.  Beyond the limits: -E2BIG with the remedy, nothing is left behind. */
int slu_snapshot_take(const char *code, int dirfd, const char *name, const char *without,
		      struct slu_snapshot *ret, struct slu_err *e);

#endif
