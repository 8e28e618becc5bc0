/* SPDX-License-Identifier: Apache-2.0 */
/* Mount points: what is mounted where, putting a mount there and taking it away.  No libfuse here. */
#ifndef SLU_FS_MOUNT_POINT_H
#define SLU_FS_MOUNT_POINT_H

#include "fs/view.h"

#define SLU_MPOINT_TYPE "fuse.sluice"

/* What /proc/self/mountinfo says of one mount. */
struct slu_mpoint {
	uint32_t major, minor;
	char type[64];
	char source[256];
	uint32_t uid; /* that has mounted it; UINT32_MAX: not said */
	bool writable;
};

/* The absolute path without symlinks, also of a mount point whose server is dead.  Caller frees. */
int slu_mpoint_canon(const char *path, char **ret, struct slu_err *e);
/* The topmost mount at exactly this canonical path: 1 and *ret, 0 when there is none, -errno. */
int slu_mpoint_find(const char *canon, struct slu_mpoint *ret);

/* One mount among all that there ever are: the numbers of devices are used again. */
struct slu_mid {
	uint32_t major, minor;
	uint64_t id; /* 0: not known, as before Linux 6.8 */
};
/* Of the topmost mount at this place, which is not asked anything.  False: none of ours is there. */
bool slu_mpoint_id(const char *canon, struct slu_mid *ret);
/* Where this mount is now, since folders above it may be renamed; `canon` itself, in doubt and where it still
 * is, which needs no memory; else *ret_moved, which the caller frees.  NULL: nowhere, or another one covers
 * it.  Without its id it must not have ended yet, else what has its number now may be the next one. */
const char *slu_mpoint_trace(const char *canon, const struct slu_mid *id, char **ret_moved);
/* Ends what the kernel still waits for from a server that is stopped or stuck: a program whose request
 * was taken cannot even be killed.  False: it may not be done here. */
bool slu_mpoint_abort(uint32_t minor);

/* Every mount of ours.  Non-zero of fn ends it and is returned; -errno. */
typedef int slu_mpoint_fn(void *user, const char *path, const struct slu_mpoint *mp);
int slu_mpoint_each(slu_mpoint_fn *fn, void *user);

/* Takes away what dead servers of ours left there.  0: nothing is mounted there now.  -EBUSY: a mount
 * that is alive, or not ours. */
int slu_mpoint_clear(const char *canon, struct slu_err *e);

/* mount_attach.c: opens /dev/fuse and mounts it, read-only; by mount(2), or by fusermount3 where that
 * is not allowed.  *ret_fd is close-on-exec and the caller's. */
int slu_mpoint_attach(const char *canon, const struct slu_mount_opts *o, uint32_t max_read,
		      int *ret_fd, struct slu_err *e);
/* "/dev/fd/N", where a container's runtime has mounted a device that it hands over: N, else -1. */
int slu_mpoint_given(const char *path);
/* A copy of that device, the caller's.  -EINVAL: it is none. */
int slu_mpoint_take(int fd, struct slu_err *e);
/* 0, -EBUSY (somebody is in it; not when lazy), -errno.  Nothing mounted is -EINVAL. */
int slu_mpoint_detach(const char *canon, bool lazy, struct slu_err *e);

#endif
