/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a download: preflight (download_check.c), copying (download_copy.c), making visible
 * (download_commit.c); download.c ties them.
 *
 *   target/.sluice-part-<id>/<n>   one folder a download, locked while it lives; part files in it
 *   target/<path>                  appears by rename, complete
 *
 * A folder of parts whose lock is free is left over from a download that was killed: the next one
 * removes it.
 */
#ifndef SLU_FS_DOWNLOAD_H
#define SLU_FS_DOWNLOAD_H

#include "fs/view.h"
#include "io/crypt.h"
#include "io/pool.h"

#include <pthread.h>
#include <stdatomic.h>

#define SLU_DL_PREFIX ".sluice-part-"

/* A file that is being copied, or was and waits for its batch. */
struct slu_dfile {
	struct slu_dfile *next; /* of a batch */
	size_t at;              /* in the manifest */
	struct slu_store *store;
	char *path; /* in the store */
	int fd;
	uint64_t given, left; /* bytes handed out to lanes; bytes not written yet */
	unsigned lanes;       /* working on it */
	size_t chunk;

	/* download_hash.c; NULL: there is no checksum to be compared */
	struct slu_hasher *hasher;
	uint64_t hashed;     /* bytes */
	bool hashing;        /* a lane is at it */
	unsigned char *done; /* of each chunk: is it written? */
};

struct slu_lane;

struct slu_download {
	struct slu_tree *t;
	const char *target;
	const struct slu_download_opts *o;
	struct slu_pool *pool;
	int dirfd, partfd; /* the target; its folder of parts */
	char part[64];     /* name of that folder */

	pthread_mutex_t lock;  /* everything below */
	pthread_cond_t cond;   /* something ended */
	size_t next;           /* file to open */
	unsigned opening;      /* files that are being opened */
	pthread_cond_t opened; /* none is any more */
	struct slu_dfile *cur;
	struct slu_dfile *batch, **batch_tail;
	size_t batch_n;
	uint64_t batch_bytes;
	bool committing;
	unsigned nlanes, running; /* lanes not at their end */
	struct slu_lane *lanes;
	struct slu_progress progress;
	int rc; /* first failure: all lanes end */
	struct slu_err err;
};

/* --- download_check.c --- */

/* Everything that can be known before a byte is copied; opens the target (made when absent) and
 * makes the folder of parts. */
int slu_download_check(struct slu_download *d, struct slu_err *e);
void slu_download_part_name(size_t at, char out[24]); /* in the folder of parts */

/* --- download_copy.c --- */

/* Starts the lanes; each ends when nothing is left to hand out, or after a failure. */
int slu_download_start(struct slu_download *d, struct slu_err *e);
void slu_download_cancel(struct slu_download *d); /* after rc was set: what is in flight */
void slu_download_lanes_free(struct slu_download *d);
/* Any thread, no lock held.  Notes the first failure. */
void slu_download_fail(struct slu_download *d, int rc, const struct slu_err *e);

/* --- download_hash.c --- */

/* When it is opened: prepares what the file needs to be checked, if it has to be. */
int slu_download_hash_begin(const struct slu_download *d, struct slu_dfile *f, struct slu_err *e);
/* A chunk was written, of which buf (f->chunk bytes long) still holds the bytes; buf is rubbish afterwards.
 * Hashes what follows on what is hashed already, in the calling lane, no lock held. */
int slu_download_hash(struct slu_download *d, struct slu_dfile *f, char *buf, uint64_t off,
		      size_t len, struct slu_err *e);
/* All is written and hashed: the judgement. */
int slu_download_hash_end(const struct slu_download *d, struct slu_dfile *f, struct slu_err *e);

/* --- download_commit.c: no lock held; blocks --- */

/* Renames the files of a batch to their names, after one sync for all; frees the list. */
int slu_download_commit(struct slu_download *d, struct slu_dfile *batch, struct slu_err *e);
void slu_dfile_free(struct slu_dfile *f); /* closes it; NULL fine */

#endif
