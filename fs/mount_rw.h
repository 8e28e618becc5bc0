/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount that takes writes (docs/write.md): a live mount whose files may have a stage.  The thread that takes
 * a request answers it when local disk is enough; else it is a *job*, which a thread of its own pool runs and
 * answers, and which may wait for the store.
 *
 *   mount_rw.c        life, jobs, stages and nodes     mount_rw_file.c   reading and writing files
 *   mount_rw_names.c  making, removing, renaming     mount_rw_node.c   links, pipes and others, modes and times
 */
#ifndef SLU_FS_MOUNT_RW_H
#define SLU_FS_MOUNT_RW_H

#include "fs/mount_live.h"
#include "fs/mount_rw_meta.h"
#include "fs/stage.h"
#include "io/pool.h"

struct slu_mjob;

struct slu_mrw {
	struct slu_mount *m;
	struct slu_mlive *l;
	struct slu_stages *stages;
	struct slu_mmetas *metas;
	struct slu_pool *pool;
	bool sync_store; /* fsync commits */

	pthread_mutex_t seizing; /* of more than one stage */
	pthread_mutex_t lock;    /* what follows; opening and ending a stage */
	pthread_cond_t quiet;
	unsigned jobs;

	pthread_mutex_t breaking; /* what follows; a leaf */
	struct slu_mbroken *broken;
};

struct slu_mjob {
	struct slu_work work;
	struct slu_mrw *rw;
	fuse_req_t req; /* NULL: nobody waits for it */
	uint64_t unique;
	int (*run)(struct slu_mjob *j); /* replies and gives 0, or gives the -errno to reply */
	bool again;                     /* the request came a second time */
	uint64_t ino, to_ino;           /* of a write: to_ino is who mapped it */
	char name[SLU_MNAME_MAX + 1], to[SLU_MNAME_MAX + 1];
	struct slu_stage *s; /* got */
	char *data;
	size_t n;
	uint64_t off;
	int64_t mtime_ns;
	unsigned flags;
	struct slu_err why; /* of what run gives, for the log */
};

void slu_mrw_ops_of(struct fuse_lowlevel_ops *ret); /* --- mount_rw_file.c --- */

/* m->live is there.  Goes on with what the worker before had. */
int slu_mrw_new(struct slu_mount *m, struct slu_mrw **ret, struct slu_err *e);
void slu_mrw_start(struct slu_mrw *rw); /* mounted: commits what was left over; NULL fine */
/* No request comes any more.  Waits for what is being committed until the deadline; -ETIMEDOUT: then free
 * nothing.  over: the mount is.  NULL fine. */
int slu_mrw_stop(struct slu_mrw *rw, bool over, int64_t deadline);
void slu_mrw_free(struct slu_mrw *rw); /* stopped; NULL fine */

/* --- for mount_live*.c; m->rw NULL is fine --- */
bool slu_mrw_staged(const struct slu_mount *m, uint64_t ino);
/* As it is while it is written.  True: it has a stage, or had one under this number. */
bool slu_mrw_stat(const struct slu_mount *m, const struct slu_lnode *n, struct stat *st);
/* The names in a folder that the store does not know of, or knows otherwise. */
int slu_mrw_names(const struct slu_mount *m, uint64_t folder, struct slu_list *ret);
/* A file that nobody has open and that its name does not stand for any more: it was renamed, or written.  The
 * kernel, told ESTALE, looks the name up that it has. */
bool slu_mrw_past(const struct slu_mount *m, const struct slu_lnode *n);
/* With what programs have set of it.  staged: slu_mrw_stat() was true. */
void slu_mrw_show(const struct slu_mount *m, const struct slu_lnode *n, bool staged,
		  struct stat *st);
/* S_IFREG, or what else the name stands for as only this mount knows. */
uint32_t slu_mrw_type(const struct slu_mount *m, uint64_t folder, const char *name);
uint64_t slu_mrw_opener(fuse_req_t req); /* the process that opens: for fi->fh; 0: not known */

/* --- between the files of it --- */
struct slu_mrw *slu_mrw_of(fuse_req_t req);
/* NULL: no memory, and the request was answered so. */
struct slu_mjob *slu_mjob_new(struct slu_mrw *rw, fuse_req_t req, uint64_t ino,
			      int (*run)(struct slu_mjob *j));
void slu_mjob_add(struct slu_mjob *j);
/* The stage of a file, made when there is none (then it is empty, unless `fill`, which blocks).  0, -errno. */
int slu_mrw_stage(struct slu_mrw *rw, uint64_t ino, bool fill, struct slu_stage **ret,
		  struct slu_err *e);
/* Of a file that somebody has open: gets a stage before its name goes.  0, -errno.  Blocks. */
int slu_mrw_hold(struct slu_mrw *rw, uint64_t ino, struct slu_err *e);
/* One opener more, of a file with a stage.  False: it has none. */
bool slu_mrw_open(struct slu_mrw *rw, uint64_t ino);
/* It is to be opened, but can never be committed, and who wrote it knows that from close: the name is given
 * free, so that who opens it now begins anew; who has it open still has the error.  True: that answers. */
bool slu_mrw_let_go(struct slu_mrw *rw, fuse_req_t req, uint64_t ino);
/* The same for a request: as long as it is at it the stage does not end. */
bool slu_mrw_use(struct slu_mrw *rw, uint64_t ino);
void slu_mrw_unuse(struct slu_mrw *rw, uint64_t ino);
/* Somebody is done with the stage: when nobody has it open any more it is committed, and goes. */
void slu_mrw_settle(struct slu_mrw *rw, uint64_t ino);
void slu_mrw_stream(struct slu_mrw *rw, struct slu_stage *s);
void slu_mrw_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* --- mount_rw_file.c --- */
/* A new file with a stage, opened once.  0, -errno. */
int slu_mrw_create(struct slu_mrw *rw, uint64_t up, const char *name, struct slu_lnode *ret);

/* --- mount_rw_broken.c: a write that could not make a stage is a failed one all the same --- */
void slu_mrw_break(struct slu_mrw *rw, uint64_t ino, int error);
int slu_mrw_broken(struct slu_mrw *rw, uint64_t ino); /* 0, or the error of the first one */
void slu_mrw_mend(struct slu_mrw *rw, uint64_t ino);  /* it was closed, perhaps the last time */
void slu_mrw_broken_free(struct slu_mrw *rw);

/* --- mount_rw_node.c --- */
void slu_mrw_symlink(fuse_req_t req, const char *to, fuse_ino_t up, const char *name);
void slu_mrw_readlink(fuse_req_t req, fuse_ino_t ino);
void slu_mrw_mknod(fuse_req_t req, fuse_ino_t up, const char *name, mode_t mode, dev_t dev);
void slu_mrw_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t up, const char *name);
/* What was just made by ctx with this mode; its folder changed. */
void slu_mrw_made(struct slu_mrw *rw, const struct fuse_ctx *ctx, const struct slu_lnode *n,
		  mode_t mode);
void slu_mrw_changed(struct slu_mrw *rw, uint64_t folder); /* a name in it */
/* Mode, owner and times as SETATTR gives them.  0, -errno. */
int slu_mrw_set(struct slu_mrw *rw, uint64_t ino, const struct stat *st, int what);

/* --- mount_rw_names.c --- */
void slu_mrw_mkdir(fuse_req_t req, fuse_ino_t up, const char *name, mode_t mode);
void slu_mrw_unlink(fuse_req_t req, fuse_ino_t up, const char *name);
void slu_mrw_rmdir(fuse_req_t req, fuse_ino_t up, const char *name);
void slu_mrw_rename(fuse_req_t req, fuse_ino_t up, const char *name, fuse_ino_t to_up,
		    const char *to, unsigned flags);

#endif
