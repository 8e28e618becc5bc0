/* SPDX-License-Identifier: Apache-2.0 */
/* Between copy.c (which file next, by whom) and copy_file.c (one file). */
#ifndef SLU_FS_COPY_IMPL_H
#define SLU_FS_COPY_IMPL_H

#include "fs/copy.h"

#include <pthread.h>
#include <stdatomic.h>

#define SLU_COPY_SMALL (4u << 20) /* read whole and PUT, bytes */

struct slu_copy {
	const struct slu_copy_file *f;
	size_t n;
	struct slu_store *to;
	struct slu_pool *pool;
	const struct slu_copy_opts *o;

	atomic_bool stop;       /* the caller wants no more */
	_Atomic uint64_t bytes; /* copied, also of files that failed later */

	pthread_mutex_t lock; /* everything below */
	pthread_cond_t ended; /* of a file or a worker */
	size_t next;          /* file to begin */
	size_t files, failed, skipped;
	uint64_t skipped_bytes;              /* within bytes */
	unsigned running;                    /* workers */
	struct slu_copy_bad *bad, **bad_end; /* failures that the caller was not told yet */
};

/* copy_resume.c: which blocks of a long file an earlier try left; one thread. */
struct slu_resume {
	char txn[SLU_TXN_MAX];
	size_t block, found; /* bytes; how many were there */
	uint8_t *there;      /* one for each block; NULL: none is there */
	int fd; /* holds the transaction; -1: it is random, and nothing can be found again */
};
/* 0, or -errno without a name for a transaction; slu_resume_end() is fine after both. */
int slu_resume_begin(struct slu_resume *r, const struct slu_copy *c, const struct slu_copy_file *f,
		     size_t block);
bool slu_resume_has(const struct slu_resume *r, uint64_t off); /* any thread */
/* After this failure: are the blocks worth keeping for the next try? */
bool slu_resume_keeps(const struct slu_resume *r, int rc);
void slu_resume_end(struct slu_resume *r);

/* One file, in the calling thread.  buf: SLU_COPY_SMALL bytes.  0 or -errno with *e. */
int slu_copy_one(struct slu_copy *c, const struct slu_copy_file *f, char *buf, struct slu_err *e);

#endif
