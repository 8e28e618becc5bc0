/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the local driver share: local.c (the store), local_files.c (open descriptors),
 * local_read.c (stat, list, read), local_write.c (put, commit, delete, rename). */
#ifndef SLU_FS_LOCAL_PARTS_H
#define SLU_FS_LOCAL_PARTS_H

#include "fs/store.h"

#include <stdatomic.h>
#include <sys/stat.h>

#define LOCAL_TEMP ".sluice-"

struct slu_local_files;
struct slu_local_temps;

struct slu_local {
	struct slu_store s;
	struct slu_pool *pool; /* borrowed */
	struct slu_local_files *files;
	struct slu_local_temps *temps;
	char *root;             /* absolute, for messages and URIs */
	int root_fd;            /* everything is opened beneath it */
	atomic_bool no_nowait;  /* the file system knows no RWF_NOWAIT */
	atomic_bool no_tmpfile; /* no O_TMPFILE, or no link from one */
};

/* --- local_files.c: an LRU of descriptors open for reading, by identity and path --- */

struct slu_local_file; /* fixed once made; lives while a reference or the cache holds it */

int slu_local_files_new(struct slu_local_files **ret); /* 0 or -ENOMEM */
void slu_local_files_free(struct slu_local_files *fs);
/* NULL: not in the cache.  Else a reference for the caller. */
struct slu_local_file *slu_local_files_get(struct slu_local_files *fs, const char *key);
/* Takes fd over, also on failure (NULL: no memory).  Returns a reference; the cache keeps another. */
struct slu_local_file *slu_local_files_add(struct slu_local_files *fs, const char *key, int fd);
void slu_local_files_drop(struct slu_local_files *fs,
			  struct slu_local_file *f); /* out of the cache */
void slu_local_files_put(struct slu_local_files *fs,
			 struct slu_local_file *f); /* the reference back */
/* A file had this path and has another one now, which moves its ctime: that is no reason to distrust it when it comes
 * back. */
void slu_local_files_renamed(struct slu_local_files *fs, const char *path);
/* Has the pool close those that were not asked for within idle_ns and whose files nobody can open any more: they only
 * hold room on the disk. */
void slu_local_files_trim(struct slu_local_files *fs, struct slu_pool *pool, int64_t idle_ns);
int slu_local_file_fd(const struct slu_local_file *f);
/* Has the ctime moved since it was opened, and neither links nor mode nor owner say why?  Asked when
 * the identity is still the same, it means that the bytes may not be. */
bool slu_local_file_touched(const struct slu_local_file *f, const struct stat *now);

/* --- local_read.c.  All block unless said otherwise; 0 or -errno with op->err filled --- */

/* The one way in which the driver fails: "cannot <verb> '<path>' in '<root>': <why>". */
int slu_local_fail(const struct slu_local *l, struct slu_err *e, int code, const char *verb,
		   const char *path);
/* As slu_path_open (links resolve beneath), failures explained.  Returns the descriptor. */
int slu_local_open(const struct slu_local *l, const char *path, int flags, const char *verb,
		   struct slu_err *e);
void slu_local_attr(const struct stat *st, struct slu_attr *ret);
int slu_local_stat(struct slu_local *l, struct slu_op *op);
int slu_local_descriptor(struct slu_store *s, const char *path, const char *id, int *ret_fd);
int slu_local_list(struct slu_local *l, struct slu_op *op);
int slu_local_read(struct slu_local *l, struct slu_op *op);
/* From the page cache only, never waits.  False: ask slu_local_read. */
bool slu_local_read_now(struct slu_local *l, struct slu_op *op);
int slu_local_prefetch(struct slu_local *l, struct slu_op *op);

/* --- local_write.c --- */

int slu_local_put(struct slu_local *l, struct slu_op *op);
int slu_local_put_block(struct slu_local *l, struct slu_op *op);
int slu_local_commit(struct slu_local *l, struct slu_op *op);
int slu_local_abort(struct slu_local *l, struct slu_op *op);
int slu_local_delete(struct slu_local *l, struct slu_op *op);
int slu_local_rename(struct slu_local *l, struct slu_op *op);
int slu_local_mkdir(struct slu_local *l, struct slu_op *op);

#endif
