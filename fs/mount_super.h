/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the supervisor of a mount: how it starts workers (mount_spawn.c). */
#ifndef SLU_FS_MOUNT_SUPER_H
#define SLU_FS_MOUNT_SUPER_H

#include "fs/mount_link.h"

#include <sys/types.h>

struct slu_mspawn {
	const char *const *argv; /* borrowed */
	char *path;              /* where the program is installed */
	int program;             /* the one that we run, also when it was replaced; O_PATH */
	int installed;           /* the one at path, while it is tried; -1: none */
};

/* 0, or why this program cannot be started again. */
int slu_mspawn_init(struct slu_mspawn *p, const char *const *argv, struct slu_err *e);
void slu_mspawn_done(struct slu_mspawn *p);
/* Starts argv[0] argv[1] --worker-fd=N argv[2]..., N being one end of a socket; *ret_sock is the other.
 * anew: the program that is installed now.  0 or -errno, then *ret_sock = -1, *ret_pid = 0. */
int slu_mspawn_start(struct slu_mspawn *p, bool anew, pid_t *ret_pid, int *ret_sock);
/* The program that was started anew is the one from now on. */
void slu_mspawn_adopt(struct slu_mspawn *p);

#endif
