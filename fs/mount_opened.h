/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files of a mount are open, and how: from our memory through the page cache, or passed through to
 * a descriptor that the kernel keeps under a backing id.  The kernel refuses with EIO an open that is not
 * as the others of its file are, so a file keeps its way from its first open to its last release.
 * Plain data in memory that the workers of a mount hand on (mount_share.h); no pointers, no lock: the
 * caller has one.  A worker that is killed in between, or a request that comes twice, leaves a count that
 * is too high, never one too low: the file then keeps its way for good, and its backing id.
 */
#ifndef SLU_FS_MOUNT_OPENED_H
#define SLU_FS_MOUNT_OPENED_H

#include <stdbool.h>
#include <stdint.h>

#define SLU_MOPENED_LAYOUT 1u
#define SLU_MOPENED_WAYS 8u
#define SLU_MOPENED_BUCKETS 640u

/* How an open was answered: what RELEASE brings back in its file handle. */
enum slu_mway {
	SLU_MWAY_CACHED = 1, /* from us, kept in the page cache */
	SLU_MWAY_PASSED,     /* the kernel reads the backing file */
	SLU_MWAY_LOOSE,      /* as CACHED, when there was no room to write that down */
	SLU_MWAY_DIRECT,     /* from us, past the page cache */
};

struct slu_mopened_file {
	uint64_t ino; /* 0: free */
	int32_t id;   /* of the backing file; 0: cached */
	uint32_t opens;
};

struct slu_mopened {
	uint32_t mode; /* of the whole mount, decided by its first worker; 0: not yet */
	uint32_t
		loose; /* opens that nobody wrote down: no file begins to be passed through meanwhile */
	struct slu_mopened_file file[SLU_MOPENED_BUCKETS][SLU_MOPENED_WAYS];
};

/* One more open of a file that is open: its way (*ret_id: the backing id, or 0); 0: it is not open. */
enum slu_mway slu_mopened_again(struct slu_mopened *t, uint64_t ino, int32_t *ret_id);
/* May a file that is not open be passed through now? */
bool slu_mopened_may_pass(const struct slu_mopened *t, uint64_t ino);
/* The first open of a file; id 0: cached.  How it is to be answered: LOOSE when there is no room, and
 * then id was not taken. */
enum slu_mway slu_mopened_first(struct slu_mopened *t, uint64_t ino, int32_t id);
/* A release.  The backing id to close now, or 0. */
int32_t slu_mopened_release(struct slu_mopened *t, uint64_t ino, enum slu_mway way);

#endif
