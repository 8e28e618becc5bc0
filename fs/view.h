/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three views of a tree behind one interface: open returns when it is usable, where() is a
 * folder, a mount point or a Hadoop URI, wait() blocks until it ends, close() is idempotent.
 */
#ifndef SLU_FS_VIEW_H
#define SLU_FS_VIEW_H

#include "common/cleanup.h"
#include "fs/settings.h"
#include "fs/tree.h"

struct json_t;
struct slu_mlink;
struct slu_pool;
struct slu_view;

enum slu_view_kind { SLU_VIEW_DOWNLOAD, SLU_VIEW_MOUNT, SLU_VIEW_HDFS };

struct slu_view_ops {
	enum slu_view_kind kind;
	int (*wait)(struct slu_view *v,
		    struct slu_err *e); /* mount: until it is gone; others: at once */
	int (*close)(struct slu_view *v, struct slu_err *e); /* may be called again */
	void (*free)(struct slu_view *v);                    /* after close */
};

struct slu_view {
	const struct slu_view_ops *ops;
	char *where; /* folder, mount point or URI */
	/* hdfs: slu_hadoop_json() and "options": what spark.read needs beside the URI */
	struct json_t *props;
};

int slu_view_wait(struct slu_view *v, struct slu_err *e);
int slu_view_close(struct slu_view *v, struct slu_err *e);
void slu_view_free(struct slu_view *v); /* closes first */
SLU_DEFINE_CLEANUP(struct slu_view *, slu_view_free, slu_view_freep)

/* --- download.c: the files on disk --- */

struct slu_progress {
	uint64_t files, files_total;
	uint64_t bytes, bytes_total;
};
/* Called at most 10 times a second and once at the end, by one thread at a time.  Non-zero cancels. */
typedef int slu_progress_fn(void *user, const struct slu_progress *p);

/* What becomes of bytes whose stored checksum says otherwise, as azcopy's --check-md5 has it. */
enum slu_check {
	SLU_CHECK_DIFFERENT, /* an error; none stored is fine */
	SLU_CHECK_MISSING,   /* none stored is an error too */
	SLU_CHECK_LOG,       /* a warning */
	SLU_CHECK_OFF
};
/* Judges a file: want as the store tells it, or "", got: the same of its bytes, "" when it was not computed.
 * 0 or -EBADMSG. */
int slu_check_sum(enum slu_check check, const char *path, const char *want, const char *got,
		  struct slu_err *e);
/* Are they of one kind, so that they say whether bytes are the same? */
bool slu_sums_compare(const char *a, const char *b);
/* A sum "crc64:" that was listed is kept beside the bytes of `path` in s.  Is it of these?  Asks the store (blocks), which
 * may say that others wrote the bytes since; true also of other kinds, of another state than id, and when nobody knows. */
bool slu_sum_stands(struct slu_store *s, const char *path, const char *version, const char *id,
		    const char *sum);
/* slu_check_sum() of file `name`, which is `path` of s; a sum that is of other bytes counts as none.  Blocks when they
 * differ. */
int slu_check_kept(enum slu_check check, struct slu_store *s, const char *path, const char *version,
		   const char *id, const char *name, const char *want, const char *got,
		   struct slu_err *e);

/* What a download does about what is in its target.  Azure ML's copy policies; what is there already, as
 * this very version has it and as a download of ours put it there, is never in the way and not fetched. */
enum slu_policy {
	SLU_POLICY_FAIL,     /* anything else there is -ENOTEMPTY */
	SLU_POLICY_CONFLICT, /* a file's name that is taken is -EEXIST; others stay */
	SLU_POLICY_MERGE,    /* files are replaced; others stay */
	SLU_POLICY_APPEND,   /* files that are there stay as they are, and so do others */
	SLU_POLICY_REPLACE   /* all else in the target is removed first */
};

struct slu_download_totals {
	uint64_t files, bytes; /* fetched; bytes also of what was begun */
	uint64_t resumed;      /* bytes that an earlier download had left, within files */
	uint64_t cloned;       /* bytes that were had by reflinks, within files */
	uint64_t there;        /* files that were there as they should be */
	uint64_t kept;         /* files that SLU_POLICY_APPEND left alone */
	uint64_t missing;      /* vanished files, with ignore_not_found */
	uint64_t failed;       /* files */
};

struct slu_download_opts {
	enum slu_policy policy; /* refusals come before anything is copied */
	unsigned jobs;          /* files in flight; 0: 4 x cores, at most 32 */
	bool nosync;            /* no syncfs before the renames */
	bool once;      /* nothing is kept to go on with after a failure, no record is left */
	bool no_record; /* SLU_DL_RECORD is not left in the target */
	bool rehash;    /* what is there is read again before it is taken for what it should be */
	bool ignore_not_found; /* files that vanished from the store are warned of */
	enum slu_check check;
	slu_progress_fn *progress;
	/* A file could not be fetched; the others go on.  The caller's thread; may be NULL. */
	void (*failed)(void *user, const char *path, const struct slu_err *why);
	void *user;                         /* of both */
	struct slu_download_totals *totals; /* what was done, also of a failure; NULL */
	const struct slu_settings *set;     /* NULL: the defaults */
};
/* Every file in `.sluice-part-1/` first; a batch is synced (syncfs) and then renamed.  A final name present
 * means complete.  What was fetched survives a kill and a failure: the same call again goes on from there,
 * after it has read it again.  When all is there `.sluice-complete` is, last: a manifest of it.  Files that
 * fail do not stop the others; the first failure is the result.  Blocks.  target: absolute. */
int slu_download_open(struct slu_tree *t, const char *target, const struct slu_download_opts *o,
		      struct slu_pool *pool, struct slu_view **ret, struct slu_err *e);

/* --- mount.c: the mount itself, in the process that serves it --- */

struct slu_mount_opts {
	bool allow_other;
	unsigned uid, gid, umask; /* owner shown; umask of the modes 0555 and 0444 */
	const char *source;       /* first field of the mount table, "titanic@1" */
	int64_t io_timeout;       /* every request is answered by then; 0: 60 s */
	int ready_fd; /* when usable: "R" is written; when not: the error's code and text; then closed.  -1: none */
	int lifeline_fd;        /* end of file on it unmounts and ends the process.  -1: none */
	struct slu_mlink *link; /* of a worker, to its supervisor: taken; NULL: there is none */
	uint64_t budget;        /* of the data of this process, bytes; 0: by the cgroup */
	const struct slu_settings *set; /* NULL: the defaults */
};
/* Mounts and serves until unmounted, SIGTERM, SIGINT or the lifeline's end; unmounts.  Blocks.  One
 * mount a process; call it before other threads exist except pool and loops.  */
int slu_mount_serve(struct slu_tree *t, const char *mountpoint, const struct slu_mount_opts *o,
		    struct slu_err *e);
/* For a server that fails before it comes to slu_mount_serve: writes e to the ready pipe, closes it. */
void slu_mount_say_failed(int ready_fd, const struct slu_err *e);
/* For a process that does nothing else: starts argv[0] argv[1] --worker-fd=N argv[2]... (the program that
 * runs here, whatever argv[0] says) as the worker of a mount, and another one whenever that dies or
 * hangs, until the mount ends.  Programs in the mount notice a pause.  SIGTERM, SIGINT and the lifeline
 * end it, SIGUSR2 hands over to the program that is installed now.  ready_fd, lifeline_fd as above. */
int slu_mount_supervise(const char *const *argv, int ready_fd, int lifeline_fd, struct slu_err *e);
/* Checks that a mount could be put there: a folder (made when absent), empty, not a mount point.  How many
 * folders it made; slu_mount_uncheck() removes as many again, for a mount that did not come about. */
int slu_mount_check(const char *mountpoint, struct slu_err *e);
void slu_mount_uncheck(const char *mountpoint, int made);
/* Unmounts (mount point of ours only: type fuse.sluice), lazily after timeout_ns; waits until gone. */
int slu_unmount(const char *mountpoint, int64_t timeout_ns, struct slu_err *e);

/* --- mountproc.c: a mount in a process of its own (exec), seen from the one that asked --- */

/* argv: the program that will call slu_mount_serve with the ready pipe at descriptor 3 and the lifeline
 * at 4.  detached: the mount outlives this process (no lifeline, own session).  log_path: where its
 * stderr goes, NULL = /dev/null.  Returns when it is usable, with its error when not.  wait(): until the
 * process ends; close(): ends it, in bounded time, but leaves a detached one alone. */
int slu_mount_open(const char *const *argv, const char *mountpoint, bool detached,
		   const char *log_path, struct slu_view **ret, struct slu_err *e);

/* --- hdfsview.c: the URI that Hadoop and Spark read --- */

/* The URI of the single file, of the folder when the tree is all that the folder holds (names that
 * Spark skips, `_x` and `.x`, apart), of the tree's own pattern where Hadoop can say that, of a brace glob
 * of the files otherwise.  Checks that the store still holds what
 * the manifest says (-ESTALE).  Several sources: -EINVAL with the remedy. */
int slu_hdfs_open(struct slu_tree *t, struct slu_view **ret, struct slu_err *e);

#endif
