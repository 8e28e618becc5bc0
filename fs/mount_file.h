/* SPDX-License-Identifier: Apache-2.0 */
/* The files behind READs, of a pinned mount (the manifest) and of a live one (the node table). */
#ifndef SLU_FS_MOUNT_FILE_H
#define SLU_FS_MOUNT_FILE_H

#include "fs/mount_impl.h"
#include "fs/reader.h"

/* *ret_at: the number under which READs know the file (of a pinned mount its place in the manifest), and
 * its length.  0, -ENOENT, -ESTALE, -EISDIR. */
int slu_mfile_find(struct slu_mount *m, fuse_ino_t ino, uint64_t *ret_at, uint64_t *ret_size);
/* A reader of it; one reference.  0, -ESTALE, -ENOMEM, ... */
int slu_mfile_reader(struct slu_mount *m, struct slu_readers *rs, uint64_t at,
		     struct slu_reader **ret);
/* Logs that bytes could not be read; -ESTALE: that it changed. */
void slu_mfile_tell(struct slu_mount *m, uint64_t at, uint64_t off, size_t len, int rc,
		    const struct slu_err *e);

#endif
