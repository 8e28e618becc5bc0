/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the local driver share: local.c (the store), local_files.c (open descriptors),
 * local_read.c (stat, list, read), local_write.c (put, commit, delete, rename). */
#ifndef SLU_FS_LOCAL_PARTS_H
#define SLU_FS_LOCAL_PARTS_H

#include "fs/store.h"

#include <stdatomic.h>
#include <sys/stat.h>

#define LOCAL_TEMP ".sluice-"

struct local_files;

struct local {
	struct slu_store s;
	struct slu_pool *pool; /* borrowed */
	struct local_files *files;
	char *root;             /* absolute, for messages and URIs */
	int root_fd;            /* everything is opened beneath it */
	atomic_bool no_nowait;  /* the file system knows no RWF_NOWAIT */
	atomic_bool no_tmpfile; /* no O_TMPFILE, or no link from one */
};

/* --- local_files.c: an LRU of descriptors open for reading, by identity and path --- */

struct local_file; /* fixed once made; lives while a reference or the cache holds it */

int local_files_new(struct local_files **ret); /* 0 or -ENOMEM */
void local_files_free(struct local_files *fs);
/* NULL: not in the cache.  Else a reference for the caller. */
struct local_file *local_files_get(struct local_files *fs, const char *key);
/* Takes fd over, also on failure (NULL: no memory).  Returns a reference; the cache keeps another. */
struct local_file *local_files_add(struct local_files *fs, const char *key, int fd);
void local_files_drop(struct local_files *fs, struct local_file *f); /* out of the cache */
void local_files_put(struct local_files *fs, struct local_file *f);  /* the reference back */
int local_file_fd(const struct local_file *f);

/* --- local_read.c.  All block unless said otherwise; 0 or -errno with op->err filled --- */

/* The one way in which the driver fails: "cannot <verb> '<path>' in '<root>': <why>". */
int local_fail(const struct local *l, struct slu_err *e, int code, const char *verb,
	       const char *path);
/* As slu_path_open (links resolve beneath), failures explained.  Returns the descriptor. */
int local_open(const struct local *l, const char *path, int flags, const char *verb,
	       struct slu_err *e);
void local_attr(const struct stat *st, struct slu_attr *ret);
int local_stat(struct local *l, struct slu_op *op);
int local_list(struct local *l, struct slu_op *op);
int local_read(struct local *l, struct slu_op *op);
/* From the page cache only, never waits.  False: ask local_read. */
bool local_read_now(struct local *l, struct slu_op *op);
int local_prefetch(struct local *l, struct slu_op *op);

/* --- local_write.c --- */

int local_put(struct local *l, struct slu_op *op);
int local_put_block(struct local *l, struct slu_op *op);
int local_commit(struct local *l, struct slu_op *op);
int local_abort(struct local *l, struct slu_op *op);
int local_delete(struct local *l, struct slu_op *op);
int local_rename(struct local *l, struct slu_op *op);
int local_mkdir(struct local *l, struct slu_op *op);

#endif
