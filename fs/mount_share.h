/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the workers of one mount share, one after the other, and with their supervisor: a memory file
 * that outlives each of them.  A mount without a supervisor has the same in private memory, so its
 * code is the same.  Everything here is plain data: no pointers, nothing that a worker that was
 * killed in the middle of a store could leave half-done (atomics, or written before it is announced).
 */
#ifndef SLU_FS_MOUNT_SHARE_H
#define SLU_FS_MOUNT_SHARE_H

#include "common/cleanup.h"
#include "common/err.h"

#include <limits.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLU_MSHARE_LAYOUT 3u /* another one: a worker of another version of sluice cannot go on */
#define SLU_MSHARE_FLIGHTS 1024u

/* Areas that modules of the worker use as they like; memory is spent on what was touched. */
enum slu_marea {
	SLU_MAREA_STATS, /* counters: they go on counting in the next worker */
	SLU_MAREA_FLOOR, /* backing ids, and what was decided for the whole mount */
	SLU_MAREAS
};
#define SLU_MAREA_SIZE (128u << 10) /* each */

/* A request that was taken from the kernel and is not answered. */
struct slu_mflight {
	_Atomic uint64_t unique; /* 0: free.  As the kernel gave it, bit 63 (asked again) too */
	_Atomic int64_t since;   /* slu_now() */
};

/* A request that was in flight when a worker crashed.  Written while there is none. */
struct slu_mblame {
	uint64_t unique;
	uint32_t crashes;
};
#define SLU_MSHARE_BLAMES 64u
#define SLU_MSHARE_CRASHES 3u /* so many workers may a request cost */

struct slu_mshare {
	uint64_t magic;
	uint32_t layout, size;
	_Atomic uint32_t generation;   /* of the worker, from 1; the supervisor counts */
	_Atomic uint64_t beat;         /* the worker's time keeper lives */
	_Atomic int64_t limit;         /* ns: a request older than that is stuck */
	_Atomic bool ended;            /* a worker has ended the mount: none is to follow */
	_Atomic bool handed;           /* a worker has stopped and left the mount to the next */
	_Atomic uint32_t fell_back;    /* programs that could not take over */
	_Atomic bool resend;           /* the kernel gives requests a second time (6.9) */
	_Atomic uint32_t refused;      /* requests that got EIO as a worker died */
	_Atomic uint64_t newest;       /* unique of the latest request taken */
	_Atomic uint64_t taken, again; /* requests; those that came a second time */

	/* Written by the first worker before it says that the mount is usable. */
	uint32_t major, minor; /* of the mount */
	uint64_t mount_id;     /* struct slu_mid */
	char where[PATH_MAX];  /* canonical */
	uint32_t init_len;     /* INIT as the kernel sent it */
	alignas(8) unsigned char init[256];

	struct slu_mflight flights[SLU_MSHARE_FLIGHTS];
	struct slu_mblame blames[SLU_MSHARE_BLAMES];
	_Atomic uint32_t area_layout[SLU_MAREAS];
	alignas(4096) unsigned char area[SLU_MAREAS][SLU_MAREA_SIZE];
};

/* *ret_fd: the memory file, close-on-exec and the caller's; NULL: private memory. */
int slu_mshare_new(int *ret_fd, struct slu_mshare **ret, struct slu_err *e);
/* Maps the memory of another process; fd stays the caller's.  -EPROTO: it is of another version. */
int slu_mshare_attach(int fd, struct slu_mshare **ret, struct slu_err *e);
void slu_mshare_free(struct slu_mshare *s); /* unmaps; NULL fine */

/* The area of a module: SLU_MAREA_SIZE bytes, all zero when new or when the worker before used another
 * `layout` (> 0, the module's own number; change it with what the bytes mean).  One call per worker,
 * before its threads.  *ret_new may be NULL. */
void *slu_mshare_area(struct slu_mshare *s, enum slu_marea which, uint32_t layout, bool *ret_new);

/* --- requests in flight: any thread --- */

void slu_mshare_taken(struct slu_mshare *s, uint64_t unique); /* before it is handled */
void slu_mshare_answered(struct slu_mshare *s,
			 uint64_t unique); /* after the reply; unknown: fine */
/* The worker has crashed or hung: maybe over one of those in flight. */
void slu_mshare_blame(struct slu_mshare *s);
/* True: enough workers have crashed while this one was in flight; it is not tried again. */
bool slu_mshare_blamed(const struct slu_mshare *s, uint64_t unique);
void slu_mshare_forget(struct slu_mshare *s); /* none is: the kernel gives them again */
unsigned slu_mshare_flying(const struct slu_mshare *s);
int64_t slu_mshare_oldest(const struct slu_mshare *s); /* its `since`; 0: none */
/* Answers with EIO whatever a worker that is gone may have taken and not answered; then none is in
 * flight.  Nobody may read requests meanwhile.  How many there were. */
unsigned slu_mshare_refuse(struct slu_mshare *s, int fuse_fd);

#endif
