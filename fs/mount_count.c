/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which kind of request the kernel sent, for the statistics.  Seen where requests are taken, so that
 * no handler has to count.  READs are counted where they are answered (mount_read.c).
 */
#include "fs/mount_impl.h"

#include <linux/fuse.h>
#include <string.h>

int slu_mcount_kind(const struct fuse_buf *buf)
{
	struct fuse_in_header h;

	if (buf->size < sizeof h)
		return -1;
	memcpy(&h, buf->mem, sizeof h);
	switch (h.opcode) {
	case FUSE_READ:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return -1;
	case FUSE_LOOKUP:
		return SLU_STAT_FUSE_LOOKUP;
	case FUSE_GETATTR:
		return SLU_STAT_FUSE_GETATTR;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		return SLU_STAT_FUSE_OPEN;
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return SLU_STAT_FUSE_READDIR;
	default:
		return SLU_STAT_FUSE_OTHER;
	}
}
