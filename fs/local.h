/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local driver: a folder as a store.  Identity is "<mtime ns>-<size>" in hex; device, inode and
 * ctime pin between open and close only.  What it cannot see is a write into a file within one tick
 * of the file system's clock that leaves the size.
 *
 * Threads: a pinned READ (if_match) is first tried from the page cache in the submitting thread
 * (RWF_NOWAIT), which never waits.  Everything else runs in that thread when it is in slu_store_wait
 * for this op, else in the pool.
 *
 * PUT is written to a file without a name (O_TMPFILE; where there is none, `.sluice-<id>`), blocks to
 * `.sluice-<txn>` beside the target, never listed; fsync when DURABLE; then link(2) or a rename that
 * refuses to replace for ABSENT, else rename(2).  A kill leaves at most such a file, which nobody
 * sees and who owns the folder may remove when it is old.  if_match is checked just before the rename
 * (no SLU_CAP_PUT_MATCH).  A PUT over a symlink replaces the link.
 *
 * Symlinks resolve while they stay beneath the folder; leaving is -EXDEV, a dangling one -ENOENT,
 * each naming the link, also in a LIST.  Files that are neither files nor folders are left out of a
 * LIST and -EINVAL by name.  LIST gives one page.
 */
#ifndef SLU_FS_LOCAL_H
#define SLU_FS_LOCAL_H

#include "fs/store.h"

/* root: an absolute path of an existing folder (made when `make`); pool stays the caller's. */
int slu_local_new(const char *root, bool make, struct slu_pool *pool, struct slu_store **ret,
		  struct slu_err *e);

#endif
