/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event loops: N threads, each with one curl multi, a timer heap, raw descriptors and an inbox, all
 * waiting in one curl_multi_poll.  Chosen over one easy handle per thread and over epoll: at 1 MiB
 * all cost the same, at 64 KiB threads pay 1.5-1.8x, epoll wins only beyond 128 connections a loop.
 * A callback runs on its loop's thread, must not block, and must not free the loops.
 */
#ifndef SLU_IO_LOOP_H
#define SLU_IO_LOOP_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

struct slu_loops; /* a set of loop threads */
struct slu_loop;  /* one of them */
struct slu_timer;
struct slu_watch;

struct slu_loops_conf {
	unsigned threads;        /* 0: min(cores, 8) */
	unsigned conns_per_host; /* of one loop; 0: 64 */
};

/* Starts the threads.  Call it after any fork: threads do not survive one. */
int slu_loops_new(const struct slu_loops_conf *conf, struct slu_loops **ret, struct slu_err *e);
/* Cancels what is in flight (each done() runs, with -ECANCELED), runs what was posted, joins.  Armed
 * timers do not fire; free timers and watches before.  Not from a loop thread. */
void slu_loops_free(struct slu_loops *l);
SLU_DEFINE_CLEANUP(struct slu_loops *, slu_loops_free, slu_loops_freep)

/* The loop for a key (a host name): the same key, the same loop, so connections are shared, until
 * `spread` callers of one key are wanted: then key and n choose.  Any thread. */
struct slu_loop *slu_loops_pick(struct slu_loops *l, const char *key, unsigned n);
struct slu_loop *slu_loop_self(void); /* the loop whose thread this is, or NULL */

/* Runs fn(arg) on the loop's thread, in order of arrival.  Any thread.  0 or -ENOMEM. */
int slu_loop_post(struct slu_loop *l, void (*fn)(void *), void *arg);

/* A timer that fires once at `at` (slu_now ns) on the loop's thread.  Any thread may make and cancel
 * it.  Cancel returns true when fn will not run; false when it ran or is running (on the loop's own
 * thread never "running").  Free cancels too and waits out a running fn unless called by it. */
int slu_timer_new(struct slu_loop *l, void (*fn)(void *), void *arg, struct slu_timer **ret);
int slu_timer_set(struct slu_timer *t, int64_t at); /* (re)arms; always 0: new() has the memory */
bool slu_timer_cancel(struct slu_timer *t);
void slu_timer_free(struct slu_timer *t);

/* Watches a raw descriptor (HDFS sockets, control sockets) for POLLIN/POLLOUT; fn gets revents.
 * Loop thread only (post yourself there).  The descriptor stays the caller's. */
int slu_watch_new(struct slu_loop *l, int fd, short events, void (*fn)(void *, short revents),
		  void *arg, struct slu_watch **ret);
void slu_watch_set(struct slu_watch *w, short events);
void slu_watch_free(struct slu_watch *w);

/*
 * The trampoline.  An operation that completes inside submit() would recurse submit -> done ->
 * submit ...; run through here, a nested call is queued and runs when the outermost one returns.
 * Per thread; works on any thread, loop or not.  Never fails: `node` is the caller's memory and
 * belongs to the queue until fn runs.
 */
struct slu_bounce {
	void (*fn)(void *arg);
	void *arg;
	struct slu_bounce *next;
};
void slu_bounce(struct slu_bounce *node, void (*fn)(void *arg), void *arg);

#endif
