/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexers in a mount: a nightly updatedb(8) or a desktop search that walks a data lake costs money and
 * time, and nobody asked for it.  Known by the name of the process that begins to read a directory.
 */
#ifndef SLU_FS_MOUNT_GUARD_H
#define SLU_FS_MOUNT_GUARD_H

#include "fs/mount_impl.h"

/* A directory is about to be listed from its beginning.  True: refuse it (EACCES).  As the setting
 * `scanners` says; each name is logged once. */
bool slu_mguard_refuses(struct slu_mount *m, fuse_req_t req);
/* Is that the name of an indexer's process (as /proc/PID/comm tells it, 15 bytes at most)? */
bool slu_mguard_is_scanner(const char *comm);

#endif
