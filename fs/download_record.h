/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `.sluice-complete`: what a download put into a folder, left there last.  The text of a manifest, each
 * file with the identity it had in the store and the CRC32C of the bytes that were written ("crc32c:<hex>",
 * where it is not known the store's own checksum), and a line with the CRC32C of that text.  By it the next
 * download knows what it need not fetch, and slu_verify() what has to be there.
 *
 * A file, not a folder: programs that take the folders of a data set for its classes must not find one more.
 */
#ifndef SLU_FS_DOWNLOAD_RECORD_H
#define SLU_FS_DOWNLOAD_RECORD_H

#include "fs/manifest.h"

#define SLU_DL_RECORD ".sluice-complete"
#define SLU_DL_SUM "crc32c:"

/* -ENOENT: none; -EBADMSG: it is damaged.  what: the folder, for messages. */
int slu_dlrecord_read(int dirfd, const char *what, struct slu_manifest **ret, struct slu_err *e);
/* Written in dirfd as `temp`, put in its place in `to`.  sync: it survives a power cut. */
int slu_dlrecord_write(int dirfd, const char *temp, int to, const struct slu_manifest *m, bool sync,
		       struct slu_err *e);

#endif
