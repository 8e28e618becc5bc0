/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How files of a mount are opened.  Either the kernel opens them by itself, without asking ("no-open":
 * what many small files want), or every OPEN comes here: then a file that is whole in the disk cache is
 * passed through, and the kernel reads it there without us (what a few large files want).  It is one or the other for a
 * whole mount, decided by its first worker and kept for those that follow.  Any thread, but new and decide.
 */
#ifndef SLU_FS_MOUNT_OPEN_H
#define SLU_FS_MOUNT_OPEN_H

#include "fs/mount_opened.h"
#include "fs/mount_share.h"
#include "fs/settings.h"
#include "fs/tree.h"

struct slu_mount;
struct slu_mopens;

enum slu_mmode {
	SLU_MMODE_KERNEL = 1, /* no OPEN comes */
	SLU_MMODE_PASS,       /* passed through where possible */
	SLU_MMODE_DIRECT,     /* past the page cache, for who reads once and in large pieces */
	SLU_MMODE_ASKED,      /* OPEN comes, all through the page cache */
};

/* What t gains: is more saved by passing files through than their OPEN requests cost?  cached: its
 * sources have a disk cache. */
enum slu_mmode slu_mopens_suggest(const struct slu_tree *t, const struct slu_settings *set,
				  bool cached);

/* Before INIT: what is wanted, by the settings or as the worker before had it. */
int slu_mopens_new(struct slu_tree *t, const struct slu_settings *set, struct slu_mshare *share,
		   struct slu_mopens **ret);
void slu_mopens_free(struct slu_mopens *os); /* NULL fine */
/* The stack depth that INIT has to allow for passing through: 0: it is not wanted. */
unsigned slu_mopens_depth(const struct slu_mopens *os);
/* After INIT: fuse_fd is the session's, borrowed; can_skip: the kernel can open by itself; can_pass: it agreed to pass
 * through.  What cannot be is left, with a line for the debug log. */
void slu_mopens_decide(struct slu_mopens *os, int fuse_fd, bool can_skip, bool can_pass);
enum slu_mmode slu_mopens_mode(const struct slu_mopens *os);

/* An OPEN of file `at` of the manifest, node ino.  Its way, and the backing id if it is passed through. */
enum slu_mway slu_mopens_open(struct slu_mopens *os, uint64_t ino, uint32_t at, int32_t *ret_id);
/* again: the request came a second time, so it may have been counted. */
void slu_mopens_release(struct slu_mopens *os, uint64_t ino, enum slu_mway way, bool again);

#endif
