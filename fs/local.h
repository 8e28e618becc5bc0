/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local driver: a folder as a store.  Identity is "<mtime ns>-<size>" in hex; device, inode and
 * ctime pin between open and close only.  A read first tries the page cache in the caller's thread
 * (preadv2 RWF_NOWAIT) and goes to the pool when it would wait.  PUT and COMMIT: temporary file
 * `.sluice-<txn>` beside the target (never listed), fsync when DURABLE, then link(2) for ABSENT or
 * rename(2).  Symlinks resolve while they stay beneath the folder; leaving is -EXDEV.
 */
#ifndef SLU_FS_LOCAL_H
#define SLU_FS_LOCAL_H

#include "fs/store.h"

/* root: an absolute path of an existing folder (made when `make`); pool stays the caller's. */
int slu_local_new(const char *root, bool make, struct slu_pool *pool, struct slu_store **ret,
		  struct slu_err *e);

#endif
