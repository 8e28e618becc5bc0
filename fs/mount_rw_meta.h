/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs set of files and folders and no store keeps: mode, owner, times.  By path below the root, as long as
 * the mount lasts, also over the death of a worker.  Any thread; the lock inside is a leaf.
 */
#ifndef SLU_FS_MOUNT_RW_META_H
#define SLU_FS_MOUNT_RW_META_H

#include "fs/mount_link.h"

#include <sys/stat.h>

struct slu_mmetas;

/* Which fields of a struct stat are set. */
enum {
	SLU_MMETA_MODE = 1,
	SLU_MMETA_UID = 2,
	SLU_MMETA_GID = 4,
	SLU_MMETA_MTIME = 8,
	SLU_MMETA_ATIME = 16
};

/* With what the worker before this one had. */
int slu_mmetas_new(const struct slu_mlink *link, struct slu_mmetas **ret, struct slu_err *e);
void slu_mmetas_free(struct slu_mmetas *t); /* NULL fine */
/* st: as the store has it; becomes what is to be shown.  of: the number of its node, 0: of a file whose time is in
 * its stage. */
void slu_mmeta_show(struct slu_mmetas *t, const char *path, uint64_t of, struct stat *st);
/* what: SLU_MMETA_*.  of: the node of a file; a time set holds for that only, as it is another one when it was
 * written.  What there is no memory for is not kept. */
void slu_mmeta_set(struct slu_mmetas *t, const char *path, const struct stat *st, unsigned what,
		   uint64_t of);
/* The time that was set of it.  False: none. */
bool slu_mmeta_time(struct slu_mmetas *t, const char *path, uint64_t of, int64_t *ret);
/* It changed just now, but for its bytes; content: what is in the folder. */
void slu_mmeta_touch(struct slu_mmetas *t, const char *path, bool content);
/* It has another name; was, now: the node of the file before and after, 0: a folder, with all that is below it. */
void slu_mmeta_move(struct slu_mmetas *t, const char *from, const char *to, uint64_t was,
		    uint64_t now);
void slu_mmeta_drop(struct slu_mmetas *t, const char *path); /* the name is gone, or new */

#endif
