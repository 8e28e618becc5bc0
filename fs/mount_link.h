/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket between a worker and the supervisor of its mount.  The supervisor keeps descriptors for
 * the workers to come; whatever else those need is in the memory that they share (mount_share.h).
 *
 * Messages, each one packet, the descriptor in it:
 *   worker to supervisor   K<kind>        keep this; the one of that kind from before is closed
 *                          R              usable;  <errno> <text>: it will not be (as the ready pipe)
 *                          U              start the program that is installed now in my place
 *   supervisor to worker   K<kind>        kept from before; S: the shared memory; G: that was all
 *                          E              end the mount;  N: and do not wait for programs in it
 *                          H              hand over: answer what was taken, then exit
 */
#ifndef SLU_FS_MOUNT_LINK_H
#define SLU_FS_MOUNT_LINK_H

#include "fs/mount_share.h"

enum slu_keep {
	SLU_KEEP_FUSE,     /* /dev/fuse, mounted */
	SLU_KEEP_MANIFEST, /* the text of the manifest that the first worker resolved */
	SLU_KEEP_LIFELINE,
	SLU_KEEP_CONTROL, /* the listening socket: the path keeps answering */
	SLU_KEEP_LIVE,    /* what programs have open in a live mount */
	SLU_KEEP_ORDER,   /* the order of files that is followed */
	SLU_KEEP_STAGE,   /* the folder of what is staged, locked by it */
	SLU_KEEP_META,    /* modes and times that no store keeps */
	SLU_KEEPS
};

struct slu_manifest;

struct slu_mlink {
	int fd;            /* -1: no supervisor */
	_Atomic bool gone; /* there was one */
	struct slu_mshare *share;
	int kept[SLU_KEEPS]; /* -1: none.  The link's */
};

void slu_mlink_init(struct slu_mlink *l); /* as after slu_mlink_close() */
/* The worker's end: receives all that the supervisor has.  Takes fd.  ret->share is always there after
 * success.  fd -1: no supervisor, private memory. */
int slu_mlink_open(struct slu_mlink *ret, int fd, struct slu_err *e);
void slu_mlink_close(struct slu_mlink *l); /* the memory too */
/* True: a worker before this one has mounted; this one goes on. */
bool slu_mlink_heir(const struct slu_mlink *l);
/* Until there is a mount, a worker whose supervisor dies ends as well, whatever it waits for; from
 * slu_mlink_untie() on it goes on alone.  False: the supervisor is gone. */
bool slu_mlink_tie(const struct slu_mlink *l);
void slu_mlink_untie(const struct slu_mlink *l);
bool slu_mlink_alone(const struct slu_mlink *l); /* no supervisor, or it is gone */
/* Gives the supervisor a copy of fd for the workers after this one.  0, also when there is no
 * supervisor; -errno.  Any thread. */
int slu_mlink_keep(const struct slu_mlink *l, enum slu_keep kind, int fd);
/* What a worker before this one (or the supervisor) left of this kind; -1: nothing.  Borrowed. */
int slu_mlink_kept(const struct slu_mlink *l, enum slu_keep kind);
/* Leaves a manifest to the workers after this one; takes one over, parsed anew.  Without a supervisor the
 * first does nothing. */
int slu_mlink_leave(const struct slu_mlink *l, const struct slu_manifest *m, struct slu_err *e);
int slu_mlink_manifest(const struct slu_mlink *l, struct slu_manifest **ret, struct slu_err *e);
/* Asks for the program that is installed now.  -ENOTCONN: there is no supervisor.  Any thread. */
int slu_mlink_upgrade(const struct slu_mlink *l);

/* --- both ends --- */

/* fd -1: none.  0 or -errno; -EPIPE: the other end is gone. */
int slu_mlink_send(int sock, const char *text, int fd);
/* One message, NUL-terminated.  *ret_fd: close-on-exec, the caller's, or -1.  Its length, 0: the other
 * end is gone, -EAGAIN: none (when !wait), -errno. */
ssize_t slu_mlink_receive(int sock, bool wait, char *text, size_t size, int *ret_fd);

#endif
