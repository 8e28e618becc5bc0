/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of many files between stores, several at once: small ones are read whole and PUT, long ones go
 * in blocks, of which several are read and written at a time straight out of one buffer each, and where
 * both stores can, the services copy among themselves (SLU_OP_COPY).  Each file appears whole or not
 * at all; reads are pinned to the identity that the caller gives.
 */
#ifndef SLU_FS_COPY_H
#define SLU_FS_COPY_H

#include "fs/store.h"
#include "fs/view.h"
#include "io/pool.h"

struct slu_copy_file {
	struct slu_store *from;
	char *path, *to;     /* in `from`, in the destination */
	const char *version; /* of struct slu_op, the caller's; NULL: what is current */
	uint64_t size;
	int64_t mtime_ns;     /* of the source */
	const void *tag;      /* the caller's */
	char id[SLU_ID_MAX];  /* that the source has to have; "": not known */
	char sum[SLU_ID_MAX]; /* "md5:<hex>" that its bytes should have, or "" */
};
void slu_copy_file_done(struct slu_copy_file *f); /* frees path and to */

/* What is not copied, and is no failure. */
enum slu_copy_skip {
	SLU_COPY_ALL, /* nothing */
	SLU_COPY_NEW, /* what is there */
	SLU_COPY_CHANGED, /* what is there with the same length and checksum; not older, where one of the
			   * two has no checksum */
};

struct slu_copy_totals {
	uint64_t files, bytes, skipped, failed;
};

struct slu_copy_opts {
	unsigned flags; /* of what is written: SLU_OPF_ABSENT, SLU_OPF_DURABLE */
	enum slu_copy_skip skip;
	struct slu_copy_totals *totals; /* what was done, also of a failure; NULL */
	unsigned jobs;                  /* files at once; 0: chosen */
	enum slu_check check;           /* of stored checksums */
	const struct slu_props *props;  /* of what is written; NULL: none */
	slu_progress_fn *progress;
	/* A file could not be copied; the others go on.  The caller's thread; may be NULL. */
	void (*failed)(void *user, const struct slu_copy_file *f, const struct slu_err *why);
	void *user;
};

/* 1: it is to be copied; 0: skip says no; -errno: the destination cannot be looked at. */
int slu_copy_needed(struct slu_store *to, const struct slu_copy_file *f, enum slu_copy_skip skip,
		    struct slu_err *e);

/* Blocks until every file is copied or failed, or progress refused (-ECANCELED).  The first failure is
 * the result; "N of M files" is in its message when there are more.  The pool is for hashing. */
int slu_copy(const struct slu_copy_file *f, size_t n, struct slu_store *to, struct slu_pool *pool,
	     const struct slu_copy_opts *o, struct slu_err *e);

#endif
