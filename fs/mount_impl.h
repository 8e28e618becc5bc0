/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a mount: what mount.c (life), mount_init.c (the INIT exchange), mount_ops.c (metadata) and
 * mount_read.c (data) share.  One mount a process.  Requests are served by a few worker threads, none
 * of which ever waits for a store; the thread that called slu_mount_serve keeps the time.
 */
#ifndef SLU_FS_MOUNT_IMPL_H
#define SLU_FS_MOUNT_IMPL_H

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 12)
#include "fs/mount_link.h"
#include "fs/mount_open.h"
#include "fs/mount_point.h"
#include "fs/mount_tree.h"
#include "fs/reader.h"
#include "fs/stats.h"
#include "fs/tree.h"
#include "fs/view.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#define SLU_MREAD_MAX (1u << 20)     /* one request */
#define SLU_MREQUEST_MAX (64u << 10) /* a worker's request buffer, where no writes come */
#define SLU_MWORKERS 4

struct slu_ahead;
struct slu_mcontrol;
struct slu_mlive;
struct slu_morder;
struct slu_mreads;
struct slu_mrw;

#define SLU_MINIT_PASSTHROUGH (1ull << 37)

/* The INIT exchange: read and written once, before any worker starts. */
struct slu_minit {
	uint64_t hide;   /* bits to keep from us: SLUICE_FUSE_MASK */
	uint64_t offer;  /* what the kernel offers, less that */
	uint64_t agreed; /* what the reply says */
	uint64_t unique; /* of the request */
	bool seen, answered;
	atomic_uint interrupts; /* requests of that kind so far */
};

struct slu_mworker {
	struct slu_mount *m;
	pthread_t thread;
	struct fuse_buf buf;
	atomic_bool ended;
};

struct slu_mount {
	struct slu_tree *t;
	struct slu_mtree *nodes;
	const struct slu_mount_opts *o;
	const struct slu_settings *set;
	char *where; /* mount point, without symlinks */
	struct fuse_session *se;
	struct slu_minit init;
	struct slu_mlink link; /* to the supervisor; link.share is always there */
	struct slu_mreads *reads;
	struct slu_mlive *live;       /* NULL: pinned content */
	struct slu_mrw *rw;           /* NULL: it takes no writes */
	struct slu_mcontrol *control; /* NULL: it has no socket */
	struct slu_ahead *ahead;      /* NULL: live content */
	struct slu_morder *order;     /* NULL: it is not kept */
	struct slu_mid id;            /* the mount's */
	struct slu_mopens *opens;
	bool can_skip_open, no_opendir, attached;
	bool uring;          /* requests may come by io_uring */
	atomic_bool by_ring; /* one has */
	int device;          /* until INIT is answered; then it is the session's, and this is -1 */
	int given;           /* a device that somebody else has mounted: /dev/fd/N; -1: none */
	bool ours;           /* this process has come to serve it */
	bool hurry;          /* the end does not wait for programs in the mount */
	bool left;           /* it has ended with programs in it */
	int wake;            /* eventfd: the time keeper has something to look at */

	atomic_bool stop;     /* workers end */
	atomic_int idle;      /* workers waiting for a request */
	pthread_mutex_t lock; /* workers[], nworkers */
	unsigned nworkers, max_workers;
	struct slu_mworker workers[SLU_MWORKERS];
};

void slu_mount_wake(struct slu_mount *m); /* any thread, and signal handlers */

/* --- mount_init.c: requests as they come, INIT --- */
size_t slu_minit_write_max(const struct slu_mount *m); /* bytes of one write */
/* Makes the memory of b, into which requests are received; free(b->mem) is the caller's. */
int slu_minit_room(const struct slu_mount *m, struct fuse_buf *b);
/* The next request, into b.  > 0, -EINTR: again, 0: the session is over. */
int slu_minit_receive(struct slu_mount *m, struct fuse_buf *b);
void slu_minit_process(struct slu_mount *m, struct fuse_buf *b);
/* Handles INIT, the first request: it is answered when m->init.answered says so.  0, -errno. */
int slu_minit_answer(struct slu_mount *m, struct fuse_buf *b);
/* In a handler that replies after it has returned, or may: the number for slu_minit_answered(). */
uint64_t slu_minit_defer(void);
void slu_minit_answered(struct slu_mount *m, uint64_t unique); /* after that reply; any thread */
/* As fuse_req_interrupt_func(); func may reply, if it does nothing where slu_minit_early() says so: it is
 * called again. */
void slu_minit_on_interrupt(fuse_req_t req, fuse_interrupt_func_t func, void *data);
bool slu_minit_early(fuse_req_t req);
/* The request that this thread took last came a second time. */
bool slu_minit_again(void);
/* The kernel passes files through when asked. */
bool slu_minit_can_pass(const struct slu_minit *in);
/* Before the session goes: libfuse keeps an interrupt of a request that it does not know until another
 * request comes, and would leak it. */
void slu_minit_flush(struct slu_mount *m);
/* SLUICE_FUSE_MASK=hex hides what the kernel offers; malformed: -EINVAL. */
int slu_minit_setup(struct slu_minit *in, struct slu_err *e);

/* --- mount_uring.c --- */
/* Sets m->uring as the setting and the host have it.  -ENOTSUP: it has to be, and cannot. */
int slu_muring_choose(struct slu_mount *m, struct slu_err *e);
void slu_muring_ops(const struct slu_mount *m, struct fuse_lowlevel_ops *ret);
void slu_muring_want(struct slu_mount *m, struct fuse_conn_info *c); /* m->uring: in INIT */
void slu_muring_loop(struct slu_mount *m); /* instead of a worker; until fuse_session_exit() */

/* --- mount_count.c --- */
/* The enum slu_stat_kind of a request as it came; -1: not counted there. */
int slu_mcount_kind(const struct fuse_buf *buf);

/* --- mount_heir.c: one worker after another --- */
int slu_mheir_take(struct slu_mount *m, struct slu_err *e); /* where it is mounted */
/* A copy of the device that is mounted: the caller's.  -errno. */
int slu_mheir_device(const struct slu_mount *m, struct slu_err *e);
size_t slu_mheir_init(const struct slu_mount *m, void *buf, size_t size); /* INIT of the kernel */
void slu_mheir_ask_again(struct slu_mount *m); /* for what was taken and not answered */
void slu_mheir_note_init(struct slu_mount *m, const void *request, size_t n);
void slu_mheir_note_place(struct slu_mount *m);
/* The mount is there: from now on it outlives this process. */
int slu_mheir_leave(struct slu_mount *m, struct slu_err *e);

enum slu_mwish { SLU_MWISH_NOTHING, SLU_MWISH_HAND, SLU_MWISH_END, SLU_MWISH_NOW };
enum slu_mwish slu_mheir_listen(struct slu_mount *m); /* to the supervisor; does not wait */
/* Waits, within bounds, until what was taken is answered; then the next worker may come. */
void slu_mheir_drain(struct slu_mount *m);

/* --- mount_ahead.c --- */
int slu_mahead_new(struct slu_mount *m); /* m->ahead, once there are reads; not of live content */

/* --- mount_order.c: the order that is followed, for the worker after this one --- */
void slu_morder_start(struct slu_mount *m); /* goes on with what there was, once it is mounted */
void slu_morder_free(struct slu_mount *m);
/* What control is told, which has handed it to m->ahead; its thread. */
void slu_morder_drop(struct slu_mount *m);
void slu_morder_add(struct slu_mount *m, const uint32_t *at, uint32_t n);
void slu_morder_note(struct slu_mount *m); /* how far it is; time keeper */

/* --- mount_control.c --- */
void slu_mcontrol_numbers(struct slu_mount *m); /* counting goes on where a worker before stopped */
void slu_mcontrol_start(struct slu_mount *m);   /* once it is mounted */
void slu_mcontrol_stop(struct slu_mount *m, bool hand_over); /* before anything it looks at goes */

/* --- mount_ops.c --- */
extern const struct fuse_lowlevel_ops slu_mount_ops;

/* --- mount_killed.c --- */
/* True: the thread was killed, and dies as soon as what it waits for is over. */
bool slu_mkilled(pid_t tid);
bool slu_mkilled_text(const char *status); /* of /proc/TID/status */
/* The signal by which the program of a thread ends at this moment; 0: none, or it is not ours to look at. */
int slu_mkilled_by(pid_t tid);
int slu_mkilled_by_text(const char *stat); /* of /proc/TID/stat */

/* --- mount_read.c --- */
int slu_mreads_new(struct slu_mount *m, struct slu_mreads **ret);
void slu_mread(struct slu_mount *m, fuse_req_t req, fuse_ino_t ino, size_t size, uint64_t off,
	       const struct fuse_file_info *fi);
/* slu_reader_prefetch of file `at` of the manifest; 0 also when it cannot be opened.  Any thread. */
uint64_t slu_mreads_prefetch(struct slu_mreads *rs, uint32_t at, uint64_t off, uint64_t len);
void slu_mreads_stats(struct slu_mreads *rs, struct slu_reader_stats *ret);
/* Time keeper only: answers what is due, frees what is idle.  ns until it wants to run again, -1:
 * not before slu_mount_wake(). */
int64_t slu_mreads_tick(struct slu_mreads *rs);
/* No worker runs any more: ends every request, waits for the store until the deadline.
 * -ETIMEDOUT: the store still holds requests; then free nothing. */
int slu_mreads_stop(struct slu_mreads *rs, int64_t deadline);
void slu_mreads_free(struct slu_mreads *rs); /* stopped; NULL fine */

#endif
