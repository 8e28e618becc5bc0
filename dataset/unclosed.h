/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that somebody is still writing are no part of a dataset: what is there of them now is not what they will be,
 * and nobody would notice that the rest is missing.  A listing tells which files may be such (struct slu_attr, unsure).
 */
#ifndef SLU_DATASET_UNCLOSED_H
#define SLU_DATASET_UNCLOSED_H

#include "fs/manifest.h"
#include "fs/store.h"

struct slu_unclosed;

/* Notes a file to be asked for: its store (borrowed), its path there, its path in the manifest.  *u: NULL at first.  0 or
 * -ENOMEM. */
int slu_unclosed_add(struct slu_unclosed **u, struct slu_store *store, const char *path,
		     const char *name);
/* Asks the stores, several at a time, for those that are in m.  -EBUSY: one of them is open for writing.  Blocks. */
int slu_unclosed_check(struct slu_unclosed *u, const struct slu_manifest *m, struct slu_err *e);
void slu_unclosed_free(struct slu_unclosed *u); /* NULL fine */

#endif
