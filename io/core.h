/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a loop is made of.  Private to io/: shared by loop.c, timer.c, watch.c, engine.c and xfer.c.
 * Fields are grouped by who may touch them; `lock` is a leaf (nothing is called with it held).
 */
#ifndef SLU_IO_CORE_H
#define SLU_IO_CORE_H

#include "io/loop.h"
#include "io/xfer.h"

#include <poll.h>
#include <pthread.h>
#include <stddef.h>

/* Virtual size only: what is not touched costs nothing.  Sanitizers need larger frames. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLU_STACK (2048 * 1024)
#else
#define SLU_STACK (256 * 1024)
#endif

struct slu_engine;

struct slu_timer {
	struct slu_loop *loop;
	void (*fn)(void *);
	void *arg;
	int64_t at;
	uint64_t seq; /* equal times fire in the order they were set */
	size_t pos;   /* in the heap, SLU_TIMER_OUT: not armed */
	bool fired;   /* since it was last armed */
};
#define SLU_TIMER_OUT SIZE_MAX

struct slu_watch {
	struct slu_loop *loop;
	int fd;
	short events;
	void (*fn)(void *, short);
	void *arg;
	size_t idx;
};

struct slu_post {
	void (*fn)(void *);
	void *arg;
	struct slu_post *next;
};

struct slu_loop {
	/* Constant after start. */
	struct slu_loops *set;
	pthread_t thread;
	int wake_fd;
	unsigned conns_per_host;
	int64_t stall_ns;   /* a transfer below stall_bps for this long is given up */
	uint64_t stall_bps; /* bytes a second */

	pthread_mutex_t lock;    /* guards this group */
	pthread_cond_t fn_ended; /* `running` became NULL */
	struct slu_post *posts, **posts_end;
	struct slu_xfer *sends, **sends_end;
	struct slu_timer **heap, *running;
	size_t n_heap, cap_heap, n_timers; /* cap_heap >= n_timers: arming cannot fail */
	uint64_t seq;
	bool cancels;         /* some transfer has its canceled flag set */
	bool stop;            /* end when nothing is left */
	bool sleeping;        /* in poll, or about to be: wake it */
	int64_t sleeps_until; /* then for timers: earlier ones have to wake it */
	bool woken;           /* wake_fd was written since it began to sleep */

	/* Loop thread only. */
	struct slu_watch **watch; /* NULL: freed, closed up before the next poll */
	struct pollfd *pfd;       /* [0] is wake_fd, [i + 1] is watch[i] */
	size_t n_watch, cap_watch;
	struct slu_engine *engine; /* NULL until the first transfer */
	bool stopping;
};

/* loop.c */
void slu_loop_wake_locked(struct slu_loop *l);
int slu_thread_start(pthread_t *t, void *(*fn)(void *), void *arg, const char *name);
unsigned slu_cores(void);
/* Tests only: other limits of the stall detection, before the first transfer. */
void slu_loops_set_stall(struct slu_loops *l, int64_t ns, uint64_t bytes_per_s);

/* timer.c: a timer in the caller's memory; init reserves its place in the heap (0 or -ENOMEM). */
int slu_timer_init(struct slu_timer *t, struct slu_loop *l, void (*fn)(void *), void *arg);
void slu_timer_fini(struct slu_timer *t);
int64_t slu_timers_next_locked(const struct slu_loop *l); /* INT64_MAX: none */
void slu_timers_run(struct slu_loop *l);

/* watch.c */
int slu_watch_setup(struct slu_loop *l);   /* room for the wake descriptor: 0 or -ENOMEM */
size_t slu_watch_fill(struct slu_loop *l); /* l->pfd for a poll; the number of entries */
void slu_watch_fire(struct slu_loop *l, size_t n);

/* engine.c: all on the loop's thread. */
void slu_engine_start(struct slu_loop *l, struct slu_xfer *x); /* takes one from the inbox */
void slu_engine_cancel(struct slu_loop *l, bool all);          /* those flagged, or all */
void slu_engine_run(struct slu_loop *l);
bool slu_engine_busy(const struct slu_loop *l);
void slu_engine_wait(struct slu_loop *l, size_t n, int64_t ns); /* in poll; ns < 0: no limit */
void slu_engine_free(struct slu_loop *l);

#endif
