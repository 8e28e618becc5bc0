/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are being written, on local disk until the store has them (docs/write.md).  A stage is one such
 * file: its bytes in a data file, what it is in a record beside it.  A session is the folder of the stages of
 * one mount, locked as long as anybody has it open; what a session whose processes died has left is
 * taken over by the next one for the same place.  Knows nothing of FUSE.
 *
 *   stage.c         the set, reading and writing      stage_record.c  records, sessions, what was left
 *   stage_commit.c  filling, streaming, committing    stage_left.c  what is told of it
 *   stage_end.c     names, and the end     stage_report.c  what did not reach the store, and what did
 */
#ifndef SLU_FS_STAGE_H
#define SLU_FS_STAGE_H

#include "common/cleanup.h"
#include "fs/store.h"

struct slu_stages;
struct slu_stage;

struct slu_stages_conf {
	struct slu_store *store; /* borrowed */
	const char *base;        /* the folder in it that stages are relative to */
	const char *dir;         /* where sessions are; made, 0700 */
	int session; /* of a process before this one, which it goes on with (taken); -1: a new one */
	uint64_t max;     /* bytes staged at most; 0: any */
	uint64_t reserve; /* bytes of the disk that stay free */
	bool report;      /* dir/report tells what did not reach the store (stage_report.c) */
};

/* Opens a session, with what was in it and what dead sessions of the same place left.  0, -errno. */
int slu_stages_open(const struct slu_stages_conf *conf, struct slu_stages **ret, struct slu_err *e);
/* The mount is over: a session with nothing in it goes.  What is not committed stays on disk. */
void slu_stages_finish(struct slu_stages *t);
/* Leaves all on disk for the next process.  No stage is in use. */
void slu_stages_free(struct slu_stages *t);
SLU_DEFINE_CLEANUP(struct slu_stages *, slu_stages_free, slu_stages_freep)
int slu_stages_fd(const struct slu_stages *t); /* the session, locked by it; borrowed */
const char *slu_stages_where(const struct slu_stages *t);
uint64_t slu_stages_used(struct slu_stages *t); /* bytes staged */

struct slu_stages_counts {
	uint64_t files;  /* with a stage */
	uint64_t dirty;  /* of those, not in the store */
	uint64_t failed; /* of those, never to be */
	uint64_t links;  /* and what else is no file */
};
void slu_stages_count(struct slu_stages *t, struct slu_stages_counts *ret);

struct slu_settings;
/* The folder of all stages as the settings have it; the caller frees. */
int slu_stages_dir(const struct slu_settings *set, char **ret, struct slu_err *e);

/* What is on disk of sessions that ended. */
struct slu_stages_left {
	uint64_t files, bytes; /* to be committed by the next writable mount of their folder */
	uint64_t kept, kept_bytes;
	char names[200]; /* some of them, quoted */
};
/* Of one session (slu_stages_where()) once nobody has it open any more; its bytes set aside are counted with all others.
 * -EBUSY: somebody has it at the deadline. */
int slu_stages_left(const char *session, int64_t deadline, struct slu_stages_left *ret);
/* Of a stage folder: of all sessions that nobody has open. */
void slu_stages_left_in(const char *dir, struct slu_stages_left *ret);

/* What a stage is; plain values. */
struct slu_stage_info {
	uint64_t ino, up; /* the caller's numbers of the file and its folder; 0: not given yet */
	uint64_t size;
	int64_t mtime_ns;
	int failed; /* -errno: sticky */
	bool fresh; /* nothing of it is in the store */
	bool filled, dirty, removed, synced;
	bool adopted;  /* of a session that died */
	bool killed;   /* who closed it last had been killed: it may be a part only */
	bool loose;    /* the store has it, and may lose it with its power */
	bool own_time; /* mtime_ns was set, not made by writes */
	bool told;     /* somebody heard that it could not be committed; written to since: false */
	bool born;     /* no file was there before it, and the store has got an empty one at most */
	uint32_t
		type; /* 0: a file; else S_IFLNK, S_IFIFO, ...: no store has it, and the stage is all there is */
	struct slu_attr
		base; /* what it replaces, unless fresh; after a commit: what was committed */
};

/* All of these: any thread; each stage got has to be put.  "blocks": may wait for the store or the disk. */

/* A file at path.  base NULL: a new one, else what the store has.  0, -EEXIST: ino has one, -errno. */
int slu_stage_new(struct slu_stages *t, uint64_t ino, uint64_t up, const char *path,
		  const struct slu_attr *base, struct slu_stage **ret, struct slu_err *e);
/* What is no file: type S_IFLNK (text: where it leads), S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK (device: which).  It
 * stays until it is removed, over the end of the session. */
int slu_stage_node(struct slu_stages *t, uint64_t ino, uint64_t up, const char *path, uint32_t type,
		   uint64_t device, const char *text, struct slu_stage **ret, struct slu_err *e);
uint64_t slu_stage_device(struct slu_stage *s);
struct slu_stage *slu_stage_get(struct slu_stages *t, uint64_t ino); /* NULL: none */
void slu_stage_put(struct slu_stage *s);
SLU_DEFINE_CLEANUP(struct slu_stage *, slu_stage_put, slu_stage_putp)
/* The stages that exist, one after the other, each got; *pos 0 at first.  NULL: that was all. */
struct slu_stage *slu_stages_next(struct slu_stages *t, uint64_t *pos);
void slu_stage_info(struct slu_stage *s, struct slu_stage_info *ret);
char *slu_stage_path(struct slu_stage *s); /* the caller frees; NULL: no memory */
void slu_stage_number(struct slu_stage *s, uint64_t ino, uint64_t up);
/* True: a file with a name, in that folder or below. */
bool slu_stages_any_in(struct slu_stages *t, const char *folder);

/* Bytes written; -EAGAIN: only with `wait`, which blocks; else -errno, sticky. */
ssize_t slu_stage_write(struct slu_stage *s, uint64_t off, const void *p, size_t n, bool wait);
void slu_stage_spoil(struct slu_stage *s, int r); /* a write to it did not come so far: sticky */
ssize_t slu_stage_read(struct slu_stage *s, uint64_t off, void *p, size_t n, bool wait);
int slu_stage_truncate(struct slu_stage *s, uint64_t size, bool wait); /* as write */
void slu_stage_time(struct slu_stage *s, int64_t mtime_ns);            /* shown until committed */
void slu_stage_killed(struct slu_stage *s, bool killed);
/* Bytes and record are on the disk.  0 or -errno.  Blocks. */
int slu_stage_sync(struct slu_stage *s, struct slu_err *e);

/* Has the bytes of the store.  Blocks. */
int slu_stage_fill(struct slu_stage *s, struct slu_err *e);
/* True, once: blocks are full, so slu_stage_stream() has something to do. */
bool slu_stage_wants_stream(struct slu_stage *s);
void slu_stage_stream(struct slu_stage *s); /* blocks */
/* The store has it as it is now; nothing to do when it is not dirty.  -ESTALE: another writer was first,
 * sticky; other failures are not.  Blocks. */
int slu_stage_commit(struct slu_stage *s, struct slu_err *e);
/* Its opener's close has failed, as a write had. */
void slu_stage_heard(struct slu_stage *s);
/* What was born and can never be committed (a write failed, or its program was killed): the store has an empty file of it, */
bool slu_stage_lingers(struct slu_stage *s);
void slu_stage_take_back(
	struct slu_stage *s); /* and then has not.  Else nothing is done.  Blocks. */
/* Seized, failed: it loses its name, as far as this mount goes; what the store has there stays. */
void slu_stage_let_go(struct slu_stage *s);
/* Nobody fills or commits it, writes to it or ends it until slu_stage_release().  Blocks.  False: it has ended
 * meanwhile. */
bool slu_stage_seize(struct slu_stage *s);
void slu_stage_release(struct slu_stage *s);
/* Seized: it has another name, in the store too unless it is fresh; now: as what (NULL: as before). */
void slu_stage_rename(struct slu_stage *s, uint64_t up, const char *path,
		      const struct slu_attr *now);
void slu_stage_remove(struct slu_stage *s); /* seized: it has no name any more */
/* Nobody has it open.  Does not wait.  What was synced and could not be committed stays on disk for the next session, the rest
 * goes.  True: it is gone, and *ret what it was; false: it is dirty, or somebody is at it. */
bool slu_stage_end(struct slu_stage *s, bool give_up, struct slu_stage_info *ret);

/* --- the report; without one these do nothing --- */

/* What was written to path ("": of no single file) is not, or may not be, in the store. */
void slu_stages_lost(struct slu_stages *t, const char *path, const char *why);
/* The store has it in that state, as this mount wrote or renamed it ("": in one that is not known). */
void slu_stages_wrote(struct slu_stages *t, const char *path, const char *id);
void slu_stages_gone(struct slu_stages *t,
		     const char *path); /* its program has removed or renamed it */
void slu_stages_moved(struct slu_stages *t, const char *path, const char *old); /* a folder */
/* Its program was killed: a commit of it is a part of a file, unless somebody goes on writing. */
void slu_stage_suspect(struct slu_stage *s, const char *why);
void slu_stage_trust(struct slu_stage *s); /* who opened it closes it: it is not suspect any more */
/* The mount has ended and nothing is committed any more: says so, and what is not in the store. */
void slu_stages_report_end(struct slu_stages *t);

#endif
