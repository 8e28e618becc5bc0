/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a mount in the process that serves it: checks, session, workers, the time keeper's
 * loop, and an end that is bounded in time.  The thread that calls slu_mount_serve becomes the time
 * keeper: it waits for signals, for the lifeline, and for what mount_read.c wants done later; it
 * never touches the mounted tree, so nothing can make it wait for itself.
 */
#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/ahead.h"
#include "fs/mount_impl.h"
#include "fs/mount_live.h"
#include "fs/mount_point.h"
#include "fs/mount_rw.h"
#include "fs/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define READ_AHEAD_KB "512"
#define INIT_MS 10000            /* the kernel sends INIT as soon as the mount is there */
#define GRACE_NS (5 * SLU_SEC)   /* for programs that are still in the mount at its end */
#define STORE_NS (5 * SLU_SEC)   /* for the store to give its requests back */
#define COMMIT_NS (60 * SLU_SEC) /* for files that were closed as the mount ended */
#define STEP_MS 50
#define BEAT_NS (SLU_SEC / 2) /* the supervisor looks every second */
#define STACK (256u << 10)

static _Atomic(struct slu_mount *) serving; /* for the signal handlers: one mount a process */
static atomic_int signals;

void slu_mount_wake(struct slu_mount *m)
{
	uint64_t one = 1;
	ssize_t r = write(m->wake, &one, sizeof one); /* full: it is awake */

	(void)r;
}

/* --- signals --- */

static void on_end(int sig)
{
	int saved = errno;
	struct slu_mount *m = atomic_load(&serving);

	(void)sig;
	atomic_fetch_add(&signals, 1);
	if (m)
		slu_mount_wake(m);
	errno = saved;
}

/* Only makes a worker's read(2) return. */
static void on_nudge(int sig)
{
	(void)sig;
}

static const struct {
	int sig;
	void (*fn)(int);
} handlers[] = {{SIGTERM, on_end},
		{SIGINT, on_end},
		{SIGHUP, SIG_IGN},
		{SIGPIPE, SIG_IGN},
		{SIGUSR1, on_nudge}};
#define NHANDLERS (sizeof handlers / sizeof handlers[0])

static void signals_set(struct sigaction old[NHANDLERS])
{
	for (size_t i = 0; i < NHANDLERS; i++) {
		struct sigaction sa = {.sa_handler = handlers[i].fn};

		sigemptyset(&sa.sa_mask);
		sigaction(handlers[i].sig, &sa, &old[i]);
	}
}

static void signals_restore(const struct sigaction old[NHANDLERS])
{
	for (size_t i = 0; i < NHANDLERS; i++)
		sigaction(handlers[i].sig, &old[i], NULL);
}

/* --- workers --- */

static int worker_start(struct slu_mount *m);

static void *worker_run(void *arg)
{
	struct slu_mworker *w = arg;
	struct slu_mount *m = w->m;

	if (m->uring)
		slu_muring_loop(m);
	while (!m->uring && !atomic_load(&m->stop)) {
		int r = slu_minit_receive(m, &w->buf);

		if (r == -EINTR)
			continue;
		if (r <= 0)
			break;
		/* Nobody else waits for the next request: another worker, while there may be more. */
		if (atomic_fetch_sub(&m->idle, 1) == 1)
			(void)worker_start(m);
		int kind = slu_mcount_kind(&w->buf);
		int64_t begun = slu_now();

		slu_minit_process(m, &w->buf);
		if (kind >= 0)
			slu_stat_since((enum slu_stat_kind)kind, begun, 0);
		atomic_fetch_add(&m->idle, 1);
	}
	atomic_store(&w->ended, true);
	slu_mount_wake(m);
	return NULL;
}

/* Does nothing when all that may run do. */
static int worker_start(struct slu_mount *m)
{
	pthread_attr_t attr;
	sigset_t block, old;
	int r = 0;

	pthread_mutex_lock(&m->lock);
	if (m->nworkers < m->max_workers && !atomic_load(&m->stop)) {
		struct slu_mworker *w = &m->workers[m->nworkers];

		w->m = m;
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, STACK);
		sigfillset(&block);
		sigdelset(&block, SIGUSR1);
		pthread_sigmask(SIG_SETMASK, &block, &old);
		atomic_fetch_add(&m->idle, 1);
		/* Here, so that a thread has what it needs once it runs: its end is the mount's. */
		r = m->uring ? 0 : slu_minit_room(m, &w->buf);
		if (!r)
			r = -pthread_create(&w->thread, &attr, worker_run, w);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		pthread_attr_destroy(&attr);
		if (r) {
			atomic_fetch_sub(&m->idle, 1);
			free(w->buf.mem);
			w->buf.mem = NULL;
		} else {
			m->nworkers++;
		}
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

static bool any_ended(struct slu_mount *m)
{
	bool ended = false;

	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < m->nworkers; i++)
		ended |= atomic_load(&m->workers[i].ended);
	pthread_mutex_unlock(&m->lock);
	return ended;
}

/* A nudge can come between a worker's look at `stop` and its read: so again until all are out. */
static void workers_stop(struct slu_mount *m)
{
	unsigned n;

	atomic_store(&m->stop, true);
	if (m->uring && m->se)
		fuse_session_exit(m->se);
	pthread_mutex_lock(&m->lock);
	n = m->nworkers;
	pthread_mutex_unlock(&m->lock);
	for (unsigned i = 0; i < n; i++) {
		while (!atomic_load(&m->workers[i].ended)) {
			pthread_kill(m->workers[i].thread, SIGUSR1);
			poll(NULL, 0, 1);
		}
		pthread_join(m->workers[i].thread, NULL);
		free(m->workers[i].buf.mem);
	}
}

/* --- the beginning --- */

/* Secrets are in this process: no core dump, no debugger of the same user. */
static void harden(void)
{
	const struct rlimit none = {0, 0};

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
	/* libcurl takes a quarter of a mebibyte for each request: from the heap, which is there already; from a
	 * mapping of its own it costs more in page faults than all our copying.  Blocks are more. */
	(void)mallopt(M_ARENA_MAX, 2);
	(void)mallopt(M_MMAP_THRESHOLD, 768 << 10);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

/* A mount inside a folder that it shows would be part of what it shows, next time. */
static int check_outside(const struct slu_mount *m, struct slu_err *e)
{
	const struct slu_tree *t = m->t;

	for (size_t i = 0; i < slu_manifest_sources(t->manifest); i++) {
		struct slu_hadoop h = {0};
		char real[PATH_MAX];
		const char *dir, *rest;
		int r = slu_store_hadoop(t->sources[i].store, t->sources[i].base, &h, NULL);

		if (r)
			continue;
		dir = slu_after(h.uri, "file://");
		if (dir && realpath(dir, real))
			dir = real;
		rest = dir ? slu_after(m->where, dir) : NULL;
		bool inside = rest && (!*rest || *rest == '/' || slu_ends(dir, "/"));

		if (inside)
			r = slu_fail(e, EINVAL,
				     "the mount point '%s' lies inside the folder '%s' "
				     "that it would show: choose one outside",
				     m->where, dir);
		slu_hadoop_done(&h);
		if (inside)
			return r;
	}
	return 0;
}

/* Gives libfuse a descriptor of the device.  It has to be told as a place to mount at. */
static int session_open(struct slu_mount *m, struct slu_err *e)
{
	char path[32];
	int fd = fcntl(m->device, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return slu_fail_sys(e, errno, "cannot use /dev/fuse for '%s'", m->where);
	snprintf(path, sizeof path, "/dev/fd/%d", fd);
	if (!fuse_session_mount(m->se, path))
		return 0;
	close(fd);
	return slu_fail(e, EIO, "cannot use /dev/fuse for '%s'", m->where);
}

static int session_new(struct slu_mount *m, struct slu_err *e)
{
	char name[] = "sluice", opt[] = "-o", size[64];
	struct fuse_lowlevel_ops ops;
	char *argv[] = {name, opt, size, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	int r;

	snprintf(size, sizeof size, "max_read=%u%s", SLU_MREAD_MAX, m->uring ? ",io_uring" : "");
	slu_muring_ops(m, &ops);
	m->se = fuse_session_new(&args, &ops, sizeof ops, m);
	fuse_opt_free_args(&args);
	if (!m->se)
		return slu_fail_oom(e);
	if (slu_mlink_heir(&m->link)) {
		r = m->given < 0 ? -1 : slu_mpoint_take(m->given, NULL);
		if (r >= 0)
			close(r); /* the supervisor's copy is the one that counts */
		r = m->device = slu_mheir_device(m, e);
	} else if (m->given >= 0) {
		r = m->device = slu_mpoint_take(m->given, e);
	} else {
		slu_mheir_note_place(m); /* the supervisor cleans up, should we not come further */
		r = slu_mpoint_attach(m->where, m->o, SLU_MREAD_MAX, &m->device, e);
	}
	if (r < 0)
		return r;
	if (!slu_mlink_heir(&m->link) && m->given < 0) {
		m->attached = true;
		(void)slu_mpoint_id(m->where, &m->id);
	}
	return session_open(m, e);
}

/* Answers INIT here, before any worker: one exchange that nothing can overtake. */
static int session_init(struct slu_mount *m, struct slu_err *e)
{
	struct pollfd p = {.fd = m->device, .events = POLLIN};
	struct fuse_buf buf = {0};
	int r = slu_minit_room(m, &buf);

	if (r < 0)
		return slu_fail_oom(e);
	while (!m->init.answered) {
		r = slu_mlink_heir(&m->link) ? 1 : poll(&p, 1, INIT_MS);
		if (r < 0 && errno == EINTR)
			continue;
		if (r > 0)
			r = slu_minit_receive(m, &buf);
		if (r == -EINTR)
			continue;
		if (r <= 0 || slu_minit_answer(m, &buf) || fuse_session_exited(m->se))
			break;
	}
	free(buf.mem);
	if (m->init.answered)
		return 0;
	return slu_fail(e, EPROTO, "the kernel and this program do not agree on a FUSE protocol");
}

/* The kernel's read-ahead can be raised only here, and only by root; without it a mount works. */
static void raise_read_ahead(struct slu_mount *m)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", m->id.major, m->id.minor);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, READ_AHEAD_KB, sizeof READ_AHEAD_KB - 1) < 0)
		slu_debug("mount", "'%s': %s: %s", m->where, path, strerror(errno));
	close(fd);
}

static void log_left_out(const struct slu_mount *m)
{
	const char *first;
	size_t n = slu_mtree_left_out(m->nodes, &first);

	if (n)
		slu_warn("mount", "'%s' leaves out %zu names longer than %u bytes, such as in '%s'",
			 m->where, n, SLU_MNAME_MAX, first);
}

/* False: who asked for the mount has gone meanwhile. */
static bool say(int fd, const char *text)
{
	bool heard;

	if (fd < 0)
		return true;
	heard = write(fd, text, strlen(text)) >= 0;
	if (!heard)
		slu_debug("mount", "nobody waits for this mount: %s", strerror(errno));
	close(fd);
	return heard;
}

void slu_mount_say_failed(int ready_fd, const struct slu_err *e)
{
	char text[SLU_ERR_MSG + 16];

	snprintf(text, sizeof text, "%d %s", e->code, e->msg);
	(void)say(ready_fd, text);
}

static int find_place(struct slu_mount *m, const char *mountpoint, struct slu_err *e)
{
	if (m->given >= 0) {
		m->where = slu_strdup(mountpoint);
		return m->where ? 0 : slu_fail_oom(e);
	}

	int r = slu_mpoint_canon(mountpoint, &m->where, e);

	if (!r)
		r = check_outside(m, e);
	if (r == 0)
		r = slu_mount_check(m->where, e);
	return r < 0 ? r : 0;
}

/* What serves the requests. */
static int parts_new(struct slu_mount *m, struct slu_err *e)
{
	int r = slu_mtree_new(m->t->manifest, &m->nodes, e);

	if (r)
		return r;
	r = slu_mopens_new(m->t, m->set, m->link.share, &m->opens);
	if (!r)
		r = slu_mreads_new(m, &m->reads);
	if (!r)
		r = slu_mahead_new(m);
	if (r)
		return slu_fail_oom(e);
	if (m->set->live)
		r = slu_mlive_new(m, &m->live, e);
	return r || !m->set->writable ? r : slu_mrw_new(m, &m->rw, e);
}

static int begin(struct slu_mount *m, const char *mountpoint, struct slu_err *e)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int r;

	m->max_workers = cores > 1 ? (cores < SLU_MWORKERS ? (unsigned)cores : SLU_MWORKERS) : 1;
	m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->wake < 0)
		return slu_fail_sys(e, errno, "cannot make an event descriptor");
	slu_mcontrol_numbers(m);
	r = slu_minit_setup(&m->init, e);
	if (!r)
		r = slu_mlink_heir(&m->link) ? slu_mheir_take(m, e) : find_place(m, mountpoint, e);
	if (r)
		return r;
	r = parts_new(m, e);
	if (!r)
		r = slu_muring_choose(m, e);
	if (!r)
		r = session_new(m, e);
	if (!r)
		r = session_init(m, e);
	if (r)
		return r;
	slu_mopens_decide(m->opens, fuse_session_fd(m->se), m->can_skip_open,
			  slu_minit_can_pass(&m->init));
	if (!slu_mlink_heir(&m->link)) {
		raise_read_ahead(m);
		log_left_out(m);
		r = slu_mheir_leave(m, e);
		if (r)
			return r;
	}
	r = worker_start(m);
	if (r)
		return slu_fail_sys(e, -r, "cannot start a thread");
	slu_mheir_ask_again(m);
	slu_mrw_start(m->rw);
	slu_morder_start(m);
	slu_mcontrol_start(m);
	m->attached = m->given < 0; /* ours, from now on */
	m->ours = true;
	if (m->o->link)
		slu_mlink_untie(&m->link);
	return 0;
}

/* --- the middle --- */

/* Takes in what the supervisor asks; true: to hand over. */
static bool heed(struct slu_mount *m)
{
	enum slu_mwish wish = slu_mheir_listen(m);
	int none = 0;

	if (wish == SLU_MWISH_END || wish == SLU_MWISH_NOW)
		(void)atomic_compare_exchange_strong(&signals, &none, 1);
	m->hurry |= wish == SLU_MWISH_NOW;
	return wish == SLU_MWISH_HAND;
}

static int64_t tick(struct slu_mount *m)
{
	int64_t reads = slu_mreads_tick(m->reads), live = m->live ? slu_mlive_tick(m->live) : -1;

	return reads < 0 || (live >= 0 && live < reads) ? live : reads;
}

/* ms until the time keeper has to look again; -1: when it is woken. */
static int next_look(struct slu_mount *m, bool *trimmed)
{
	int64_t wait = tick(m);

	if (wait < 0 && !*trimmed)
		malloc_trim(0);
	*trimmed = wait < 0;
	atomic_fetch_add(&m->link.share->beat, 1);
	slu_morder_note(m);
	if (!slu_mlink_alone(&m->link) && (wait < 0 || wait > BEAT_NS))
		wait = BEAT_NS;
	return wait < 0 ? -1 : (int)((wait + SLU_MS - 1) / SLU_MS);
}

/* Returns when the mount is to end: unmounted, a signal, the lifeline, the supervisor.  True: it is not,
 * another worker goes on. */
static bool serve(struct slu_mount *m)
{
	bool trimmed = false;

	while (!atomic_load(&signals)) {
		struct pollfd p[] = {
			{.fd = m->wake, .events = POLLIN},
			{.fd = m->o->lifeline_fd, .events = POLLIN},
			{.fd = slu_mlink_alone(&m->link) ? -1 : m->link.fd, .events = POLLIN}};
		int r = poll(p, 3, next_look(m, &trimmed));
		uint64_t n;
		char byte[16];

		if (r > 0 && (p[0].revents & POLLIN) && read(m->wake, &n, sizeof n) < 0)
			n = 0;
		if (any_ended(m))
			break;
		if (r > 0 && p[1].revents && read(m->o->lifeline_fd, byte, sizeof byte) <= 0)
			break;
		if (r > 0 && p[2].revents && heed(m))
			return true;
	}
	return false;
}

/* --- the end --- */

/* Where our mount is now; NULL: nowhere. */
static const char *find_mount(const struct slu_mount *m, char **ret_moved)
{
	struct pollfd p = {.fd = fuse_session_fd(m->se)};

	/* It has ended: what has its number now is perhaps another. */
	if (!m->id.id && (poll(&p, 1, 0) < 0 || p.revents & (POLLERR | POLLNVAL)))
		return NULL;
	return slu_mpoint_trace(m->where, &m->id, ret_moved);
}

/* Programs in the mount get a moment to leave, still being served; a second signal ends that. */
static void detach(struct slu_mount *m)
{
	int64_t end = slu_deadline_in(GRACE_NS);
	int first = atomic_load(&signals) > 0; /* what ended it; a second may be here already */
	struct slu_err e;

	while (m->attached) {
		SLU_AUTO(slu_freep) char *moved = NULL;
		const char *where = find_mount(m, &moved);
		bool lazy = slu_expired(end) || atomic_load(&signals) > first || m->hurry ||
			    m->nworkers == 0;

		if (!where || !slu_mpoint_detach(where, false, &e))
			break;
		if (lazy && !slu_mpoint_detach(where, true, &e)) {
			m->left = true;
			break;
		}
		if (lazy) {
			m->hurry = m->left = true;
			slu_warn("mount", "%s", e.msg);
			break;
		}
		(void)tick(m);
		poll(NULL, 0, STEP_MS);
		(void)heed(m);
	}
	m->attached = false;
}

/* -ETIMEDOUT: the store still holds requests into our memory: nothing is freed. */
static int end(struct slu_mount *m, bool hand_over)
{
	int r;

	if (!hand_over && (m->ours || !slu_mlink_heir(&m->link)) && m->link.share)
		atomic_store(&m->link.share->ended, true);
	if (!hand_over)
		detach(m);
	slu_mcontrol_stop(m, hand_over);
	workers_stop(m);
	if (hand_over)
		slu_mheir_drain(m);
	if (m->ahead)
		slu_ahead_stop(m->ahead);
	r = slu_mrw_stop(m->rw, !hand_over, slu_deadline_in(COMMIT_NS));
	if (m->live && !r)
		r = slu_mlive_stop(m->live, slu_deadline_in(STORE_NS));
	if (m->reads && !r)
		r = slu_mreads_stop(m->reads, slu_deadline_in(STORE_NS));
	atomic_store(&serving, NULL);
	if (r)
		return r;
	slu_stats_home(NULL);
	if (m->se) {
		slu_minit_flush(m);
		fuse_session_destroy(m->se);
	}
	slu_closep(&m->device);
	slu_morder_free(m);
	slu_ahead_free(m->ahead);
	slu_mreads_free(m->reads);
	slu_mopens_free(m->opens);
	slu_mrw_free(m->rw);
	slu_mlive_free(m->live);
	slu_mtree_free(m->nodes);
	slu_mlink_close(&m->link);
	if (m->wake >= 0)
		close(m->wake);
	free(m->where);
	pthread_mutex_destroy(&m->lock);
	free(m);
	return 0;
}

int slu_mount_serve(struct slu_tree *t, const char *mountpoint, const struct slu_mount_opts *o,
		    struct slu_err *e)
{
	struct sigaction old[NHANDLERS];
	struct slu_err here, *err = e ? e : &here;
	struct slu_mount *m = slu_new0(struct slu_mount);
	bool hand_over = false;
	int r, r2;

	if (!m) {
		if (o->link)
			slu_mlink_close(o->link);
		r = slu_fail_oom(err);
		slu_mount_say_failed(o->ready_fd, err);
		return r;
	}
	m->t = t;
	m->o = o;
	m->set = o->set ? o->set : slu_settings_default();
	m->wake = m->device = -1;
	m->given = slu_mpoint_given(mountpoint);
	slu_mlink_init(&m->link);
	if (o->link) {
		m->link = *o->link;
		slu_mlink_init(o->link);
	}
	pthread_mutex_init(&m->lock, NULL);
	harden();
	atomic_store(&signals, 0);
	signals_set(old);
	atomic_store(&serving, m);
	r = o->link ? 0 : slu_mlink_open(&m->link, -1, err);
	if (!r)
		r = begin(m, mountpoint, err);
	if (r) {
		slu_mount_say_failed(o->ready_fd, err);
	} else if (say(o->ready_fd, "R") || slu_mlink_heir(&m->link)) {
		if (slu_mlink_alone(&m->link))
			slu_notify("READY=1");
		hand_over = serve(m);
		if (slu_mlink_alone(&m->link))
			slu_notify("STOPPING=1");
	}
	r2 = end(m, hand_over);
	signals_restore(old);
	if (!r && r2)
		r = slu_fail(err, -r2,
			     "the store did not give back its requests at the end of the "
			     "mount");
	return r;
}
