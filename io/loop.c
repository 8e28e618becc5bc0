/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop threads: inbox, sleeping and waking, start and end.  One turn is: what was posted, what
 * was sent, due timers, HTTP progress, then one poll over sockets, watches and the wake descriptor.
 * An eventfd wakes the loop in both kinds of poll, with a curl multi and before there is one (it is
 * made at the first transfer, so that a process that only waits stays small); it is written at most
 * once for each sleep, under the lock, so that nobody writes to it once the loop may be freed.
 */
#include "common/fault.h"
#include "common/hash.h"
#include "common/mem.h"
#include "common/time.h"
#include "io/core.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_LOOPS 64
#define DEFAULT_LOOPS 8
#define DEFAULT_CONNS 64

struct slu_loops {
	unsigned n; /* started */
	struct slu_loop loop[];
};

static _Thread_local struct slu_loop *self;

struct slu_loop *slu_loop_self(void)
{
	return self;
}

unsigned slu_cores(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	int n = CPU_COUNT(&set);
	return n > 0 ? (unsigned)n : 1;
}

/* Starts a thread with a small stack that takes no signals: those are the main program's. */
int slu_thread_start(pthread_t *t, void *(*fn)(void *), void *arg, const char *name)
{
	if (slu_fault(SLU_FAULT_IO))
		return -EAGAIN;
	pthread_attr_t a;
	int r = pthread_attr_init(&a);
	if (r)
		return -r;
	sigset_t all, old;
	sigfillset(&all);
	pthread_attr_setstacksize(&a, SLU_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(t, &a, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&a);
	if (!r)
		pthread_setname_np(*t, name);
	return -r;
}

void slu_loop_wake_locked(struct slu_loop *l)
{
	if (!l->sleeping || l->woken)
		return;
	l->woken = true;
	const uint64_t one = 1;
	/* Cannot fail but by a full counter, and then it wakes as well. */
	while (write(l->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

int slu_loop_post(struct slu_loop *l, void (*fn)(void *), void *arg)
{
	struct slu_post *p = slu_new0(struct slu_post);
	if (!p)
		return -ENOMEM;
	*p = (struct slu_post){.fn = fn, .arg = arg};
	pthread_mutex_lock(&l->lock);
	*l->posts_end = p;
	l->posts_end = &p->next;
	slu_loop_wake_locked(l);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

/* Takes everything that came in, once, so that a function that posts itself starves nobody. */
static void inbox(struct slu_loop *l)
{
	pthread_mutex_lock(&l->lock);
	struct slu_post *p = l->posts;
	l->posts = NULL;
	l->posts_end = &l->posts;
	struct slu_xfer *x = l->sends;
	l->sends = NULL;
	l->sends_end = &l->sends;
	bool cancels = l->cancels;
	l->cancels = false;
	l->stopping = l->stop;
	pthread_mutex_unlock(&l->lock);

	while (p) {
		struct slu_post *next = p->next;
		p->fn(p->arg);
		free(p);
		p = next;
	}
	while (x) {
		struct slu_xfer *next = x->next;
		slu_engine_start(l, x);
		x = next;
	}
	if (cancels || l->stopping)
		slu_engine_cancel(l, l->stopping);
}

static bool inbox_empty_locked(const struct slu_loop *l)
{
	return !l->posts && !l->sends && !l->cancels;
}

static void drain_wake_fd(struct slu_loop *l)
{
	uint64_t n;
	while (read(l->wake_fd, &n, sizeof(n)) < 0 && errno == EINTR)
		;
}

/* Waits at most ns (< 0: for ever) for any descriptor; sets revents in l->pfd. */
static void wait_fds(struct slu_loop *l, size_t n, int64_t ns)
{
	if (slu_engine_busy(l)) {
		slu_engine_wait(l, n, ns);
		return;
	}
	struct timespec ts = {.tv_sec = ns / SLU_SEC, .tv_nsec = ns % SLU_SEC};
	if (ppoll(l->pfd, n, ns < 0 ? NULL : &ts, NULL) <= 0)
		for (size_t i = 0; i < n; i++)
			l->pfd[i].revents = 0;
}

static void nap(struct slu_loop *l)
{
	size_t n = slu_watch_fill(l);
	int64_t ns = 0;

	pthread_mutex_lock(&l->lock);
	if (inbox_empty_locked(l) && l->stopping == l->stop) {
		int64_t next = slu_timers_next_locked(l);
		int64_t left = next == INT64_MAX ? -1 : next - slu_now();
		ns = next == INT64_MAX || left > 0 ? left : 0;
		l->sleeping = ns != 0;
		l->sleeps_until = next;
	}
	pthread_mutex_unlock(&l->lock);
	if (ns == 0 && n == 1)
		return; /* nothing to look at but curl's own sockets, which perform looks at */

	wait_fds(l, n, ns);

	pthread_mutex_lock(&l->lock);
	l->sleeping = false;
	l->woken = false;
	pthread_mutex_unlock(&l->lock);
	if (l->pfd[0].revents)
		drain_wake_fd(l);
	slu_watch_fire(l, n);
}

static void *loop_main(void *arg)
{
	struct slu_loop *l = arg;
	self = l;
	for (;;) {
		inbox(l);
		slu_timers_run(l);
		slu_engine_run(l);
		if (l->stopping) {
			pthread_mutex_lock(&l->lock);
			bool done = inbox_empty_locked(l);
			pthread_mutex_unlock(&l->lock);
			if (done && !slu_engine_busy(l))
				return NULL;
			continue;
		}
		nap(l);
	}
}

static void loop_fini(struct slu_loop *l)
{
	for (size_t i = 0; i < l->n_watch; i++)
		free(l->watch[i]);
	free(l->watch);
	free(l->pfd);
	free(l->heap);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	pthread_cond_destroy(&l->fn_ended);
	pthread_mutex_destroy(&l->lock);
}

static int loop_start(struct slu_loop *l, unsigned idx)
{
	char name[16];
	snprintf(name, sizeof(name), "slu-loop%u", idx % MAX_LOOPS);
	l->posts_end = &l->posts;
	l->sends_end = &l->sends;
	l->stall_ns = 15 * SLU_SEC;
	l->stall_bps = 1024;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->fn_ended, NULL);
	errno = EIO;
	l->wake_fd = slu_fault(SLU_FAULT_IO) ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = l->wake_fd < 0 ? -errno : slu_watch_setup(l);
	if (!r)
		r = slu_thread_start(&l->thread, loop_main, l, name);
	if (r < 0)
		loop_fini(l);
	return r;
}

int slu_loops_new(const struct slu_loops_conf *conf, struct slu_loops **ret, struct slu_err *e)
{
	unsigned n = conf ? conf->threads : 0;
	if (!n)
		n = slu_cores() < DEFAULT_LOOPS ? slu_cores() : DEFAULT_LOOPS;
	if (n > MAX_LOOPS)
		return slu_fail(e, EINVAL, "'%u' loop threads are too many: at most %d", n,
				MAX_LOOPS);

	struct slu_loops *ls = slu_calloc(1, sizeof(*ls) + n * sizeof(ls->loop[0]));
	if (!ls)
		return slu_fail_oom(e);
	for (unsigned i = 0; i < n; i++) {
		struct slu_loop *l = &ls->loop[i];
		l->set = ls;
		l->conns_per_host =
			conf && conf->conns_per_host ? conf->conns_per_host : DEFAULT_CONNS;
		int r = loop_start(l, i);
		if (r < 0) {
			slu_loops_free(ls);
			if (r == -ENOMEM)
				return slu_fail_oom(e);
			return slu_fail_sys(e, -r, "cannot start I/O thread '%u'", i);
		}
		ls->n++;
	}
	*ret = ls;
	return 0;
}

/* What loops posted to each other while they ended: run here, as the loop it was meant for. */
static void run_leftovers(struct slu_loops *ls)
{
	bool again = true;
	while (again) {
		again = false;
		for (unsigned i = 0; i < ls->n; i++) {
			self = &ls->loop[i];
			if (inbox_empty_locked(self))
				continue;
			inbox(self);
			again = true;
		}
	}
	self = NULL;
}

void slu_loops_free(struct slu_loops *ls)
{
	if (!ls)
		return;
	for (unsigned i = 0; i < ls->n; i++) {
		struct slu_loop *l = &ls->loop[i];
		pthread_mutex_lock(&l->lock);
		l->stop = true;
		slu_loop_wake_locked(l);
		pthread_mutex_unlock(&l->lock);
	}
	for (unsigned i = 0; i < ls->n; i++)
		pthread_join(ls->loop[i].thread, NULL);
	run_leftovers(ls);
	for (unsigned i = 0; i < ls->n; i++) {
		self = &ls->loop[i];
		slu_engine_free(self);
		self = NULL;
		loop_fini(&ls->loop[i]);
	}
	free(ls);
}

struct slu_loop *slu_loops_pick(struct slu_loops *ls, const char *key, unsigned n)
{
	return &ls->loop[(slu_hash_bytes(key, strlen(key)) + n) % ls->n];
}

void slu_loops_set_stall(struct slu_loops *ls, int64_t ns, uint64_t bytes_per_s)
{
	for (unsigned i = 0; i < ls->n; i++) {
		ls->loop[i].stall_ns = ns;
		ls->loop[i].stall_bps = bytes_per_s;
	}
}
