/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one file from its beginning on, by one program that waits for each read: what will be wanted next is
 * fetched meanwhile, in pieces whose number and size grow with how long the reading has gone forward.  A read
 * elsewhere gives up what was fetched and goes to the store as it is, and so do reads beside another one.
 * For files that the library opens; a mount has its own reader (reader.h).
 */
#ifndef SLU_FS_FORWARD_H
#define SLU_FS_FORWARD_H

#include "fs/store.h"

struct slu_forward;

struct slu_forward_file {
	struct slu_store *store;
	const char *path, *id, *version; /* as of struct slu_op; id NULL: not pinned */
	uint64_t size;
};

/* What file points to stays until it is freed.  -ENOMEM. */
int slu_forward_new(const struct slu_forward_file *file, struct slu_forward **ret);
/* Exactly n bytes, which the file has.  Any thread that may wait. */
int slu_forward_read(struct slu_forward *f, void *buf, size_t n, uint64_t off, struct slu_err *e);
void slu_forward_free(
	struct slu_forward *f); /* nobody reads; waits for what is under way; NULL fine */

#endif
