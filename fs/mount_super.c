/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor of a mount: a process that holds /dev/fuse and the memory of the mount, and starts
 * one worker after another to serve it.  It has one thread, holds nothing inside the mount and never
 * looks into it, so nothing that happens there can stop it.  What it notices:
 *
 *   a worker dies         the next one goes on: the kernel asks again for what was taken and not
 *                         answered, or, where it cannot, this process answers that with EIO at once
 *   no heartbeat          (stopped, stuck) killed after HANG_TICKS; the same for a request that is
 *                         older than any may become.  One that ends has none: it has LEAVE_NS
 *   it dies too often     the connection is closed, so that nobody waits for it, and the mount is
 *                         left as a dead one: an empty folder in its place would look like no data
 *
 * The worker mounts, since it knows the options.  Spawning is in mount_spawn.c, what a worker does
 * with its inheritance in mount.c and mount_init.c.
 */
#include "fs/mount_super.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/mount_point.h"
#include "fs/notify.h"
#include "fs/view.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define TICK_NS SLU_SEC
#define HANG_TICKS 5            /* without a heartbeat; counted, not timed: we may be frozen too */
#define STUCK_NS (10 * SLU_SEC) /* beyond the time in which every request is answered */
#define START_NS (15 * SLU_SEC) /* for a worker that inherits: it lists nothing */
#define REAP_NS (2 * SLU_SEC)   /* for a worker that was killed, before the next one starts */
#define HANDOVER_NS (8 * SLU_SEC)
#define END_NS (12 * SLU_SEC)    /* its grace for programs and store, and some more */
#define LEAVE_NS (90 * SLU_SEC)  /* the same with what it may take to commit */
#define WINDOW_NS (60 * SLU_SEC) /* in which deaths are counted */
#define POINTS_MAX 32
#define BAD_STARTS_MAX 3 /* in a row */
#define PAUSE_MS_MAX 200
#define STEP_MS 2

/* How a worker ended, as far as the next one is concerned; with the points that it counts. */
enum death { KILLED = 1, CRASHED = 4, HUNG = 8 };

enum phase { RUNNING, HANDING, ENDING };

struct super {
	struct slu_mspawn spawn;
	int ready, lifeline, signals;
	int sock, share_fd; /* sock -1: no worker, or it closed its end */
	int kept[SLU_KEEPS];
	struct slu_mshare *share;
	pid_t pid; /* 0: none */
	enum phase phase;
	bool usable; /* the first worker said so */
	bool up;     /* this one did */
	bool done, hung, upgrading;
	bool asked; /* for an upgrade, while a worker was starting */
	uint64_t beat;
	unsigned missed; /* ticks without one */
	int64_t since;   /* start of the worker, or of the phase */
	int64_t leaving; /* since when it ends by itself; 0 */
	int64_t killed;  /* when we did; 0 */
	int64_t next;    /* start of the next worker; 0: not waiting for that */
	int64_t window;
	unsigned points, bad_starts, deaths;
	int rc;
	struct slu_err *e;
};

/* --- what the one who asked hears --- */

static void say(struct super *s, const char *text)
{
	if (s->ready < 0)
		return;
	if (write(s->ready, text, strlen(text)) < 0)
		s->phase = ENDING; /* nobody waits for it any more */
	slu_closep(&s->ready);
	s->ready = -1;
}

/* The supervisor's own failure, before or after the mount was usable. */
static void fail(struct super *s, int rc)
{
	char text[SLU_ERR_MSG + 16];

	if (s->rc == 0)
		s->rc = rc;
	snprintf(text, sizeof text, "%d %s", s->e->code, s->e->msg);
	say(s, text);
	s->done = true;
}

/* --- the worker --- */

/* A new program that cannot take over is no death: the one from before goes on. */
static bool fell_back(struct super *s, const char *how)
{
	if (!s->upgrading || s->up)
		return false;
	s->upgrading = false;
	atomic_fetch_add(&s->share->fell_back, 1);
	slu_warn("mount",
		 "'%s': the program that is installed now cannot take over (%s%s%s); the one "
		 "from before goes on",
		 s->share->where, how, s->e->code ? ": " : "", s->e->code ? s->e->msg : "");
	s->e->code = 0;
	s->next = slu_now();
	return true;
}

static void start(struct super *s)
{
	s->next = 0;
	s->killed = 0;
	s->missed = 0;
	s->up = s->hung = false;
	s->since = slu_now();
	atomic_store(&s->share->handed, false);
	atomic_fetch_add(&s->share->generation, 1);
	int r = slu_mspawn_start(&s->spawn, s->upgrading, &s->pid, &s->sock);

	if (!r)
		r = slu_mlink_send(s->sock, "S", s->share_fd);
	for (unsigned i = 0; i < SLU_KEEPS && !r; i++) {
		const char text[] = {'K', (char)('0' + i), '\0'};

		if (s->kept[i] >= 0)
			r = slu_mlink_send(s->sock, text, s->kept[i]);
	}
	if (!r)
		r = slu_mlink_send(s->sock, "G", -1);
	if (!r)
		return;
	if (s->pid) {
		slu_debug("mount", "cannot speak to the worker: %s", strerror(-r));
		return; /* it has died, or will for want of a supervisor */
	}
	slu_fail_sys(s->e, -r, "cannot start the process that serves '%s'", s->share->where);
	if (fell_back(s, "it does not start"))
		return;
	if (!s->usable || ++s->bad_starts >= BAD_STARTS_MAX)
		fail(s, r);
	else
		s->next = slu_now() + SLU_SEC;
}

static void kill_worker(struct super *s)
{
	if (s->pid && !s->killed) {
		kill(s->pid, SIGKILL);
		s->killed = slu_now();
	}
}

static void ask_end(struct super *s)
{
	bool again = s->phase == ENDING;

	if (!again) {
		slu_notify("STOPPING=1");
		s->phase = ENDING;
		s->since = slu_now();
	}
	if (s->sock >= 0)
		(void)slu_mlink_send(s->sock, again ? "N" : "E", -1);
	/* It may be resolving, where it hears nothing, or have no memory of us. */
	if (s->pid && !s->usable)
		kill(s->pid, SIGTERM);
	if (!s->pid)
		s->done = true;
}

static void ask_upgrade(struct super *s)
{
	if (s->phase != RUNNING || !s->usable)
		return;
	/* One that is on its way was perhaps started from what is no longer installed. */
	s->asked = s->pid && !s->up;
	if (s->asked)
		return;
	s->upgrading = true;
	if (!s->up || slu_mlink_send(s->sock, "H", -1))
		return; /* whichever worker is next is the new one */
	s->phase = HANDING;
	s->since = slu_now();
}

/* A first worker: now there is a mount to look after.  A later one: it goes on. */
static void worker_up(struct super *s)
{
	s->up = true;
	s->bad_starts = 0;
	s->missed = 0;
	if (s->upgrading)
		slu_mspawn_adopt(&s->spawn);
	s->upgrading = false;
	if (s->asked)
		ask_upgrade(s);
	if (!s->usable) {
		s->usable = true;
		say(s, "R");
		slu_notify("READY=1");
		if (s->phase == ENDING)
			(void)slu_mlink_send(s->sock, "E", -1);
	}
}

/* "39 the mount point ...": of the first worker it is the answer, of a later one the reason why it
 * will exit. */
static void worker_failed(struct super *s, char *text)
{
	char *why = strchr(text, ' ');
	uint64_t code = EIO;

	if (!s->usable)
		say(s, text);
	if (why)
		*why++ = '\0';
	if (!slu_u64(text, &code) || !code || code > 4095)
		code = EIO;
	slu_fail(s->e, (int)code, "%s", why ? why : text);
	if (!s->usable)
		s->rc = -(int)code;
}

static void message(struct super *s, char *text, int *fd)
{
	unsigned kind = (unsigned)(text[1] - '0');

	switch (text[0]) {
	case 'K':
		if (*fd >= 0 && text[1] && kind < SLU_KEEPS) {
			slu_closep(&s->kept[kind]);
			s->kept[kind] = slu_take_fd(*fd);
		}
		break;
	case 'R':
		worker_up(s);
		break;
	case 'U':
		ask_upgrade(s);
		break;
	default:
		worker_failed(s, text);
	}
}

static void listen_to(struct super *s)
{
	char text[SLU_ERR_MSG + 32];
	int fd;

	while (s->sock >= 0) {
		ssize_t n = slu_mlink_receive(s->sock, false, text, sizeof text, &fd);

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			close(s->sock);
			s->sock = -1;
			return;
		}
		message(s, text, &fd);
		slu_closep(&fd);
	}
}

/* --- its death --- */

/* False: the last descriptor of ours, or an unmount, has ended the connection. */
static bool connected(const struct super *s)
{
	struct pollfd p = {.fd = s->kept[SLU_KEEP_FUSE]};

	return p.fd >= 0 && (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLERR | POLLNVAL)));
}

static void end_text(const struct super *s, int status, char *out, size_t size)
{
	if (s->hung)
		snprintf(out, size, "did not answer and was killed");
	else if (WIFSIGNALED(status))
		snprintf(out, size, "was killed by signal %d", WTERMSIG(status));
	else
		snprintf(out, size, "ended with status %d", WEXITSTATUS(status));
}

/* True: enough.  *ret_pause: ms before the next one is tried. */
static bool too_often(struct super *s, enum death how, unsigned *ret_pause)
{
	int64_t now = slu_now();

	if (!s->window || now - s->window > WINDOW_NS) {
		s->window = now;
		s->points = s->deaths = 0;
	}
	s->deaths++;
	s->points += how;
	if (!s->up && how != KILLED)
		s->bad_starts++;
	unsigned shift = s->deaths < 8 ? s->deaths : 8;

	*ret_pause = s->deaths == 1 ? 0 : 2u << shift;
	if (*ret_pause > PAUSE_MS_MAX)
		*ret_pause = PAUSE_MS_MAX;
	return s->points >= POINTS_MAX || s->bad_starts >= BAD_STARTS_MAX;
}

static void restart(struct super *s, int status)
{
	enum death how = s->hung                                              ? HUNG
			 : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? KILLED
									      : CRASHED;
	const char *where = s->share->where;
	char text[64];
	unsigned pause;

	end_text(s, status, text, sizeof text);
	if (fell_back(s, text))
		return;
	if (too_often(s, how, &pause)) {
		struct slu_err why = *s->e;

		slu_fail(
			s->e, EIO,
			"the process that served '%s' ended %u times within %lld s, at last it %s%s%s: "
			"the mount is dead; unmount it, or mount it again",
			where, s->deaths, (slu_now() - s->window) / SLU_SEC + 1, text,
			why.code ? ": " : "", why.code ? why.msg : "");
		fail(s, -EIO);
		return;
	}
	slu_warn("mount", "'%s': the process that served it %s%s%s; another one goes on", where,
		 text, s->e->code ? ": " : "", s->e->code ? s->e->msg : "");
	s->e->code = 0;
	s->next = slu_now() + pause * SLU_MS;
}

/* It has not mounted, or was told to end. */
static void last_death(struct super *s, int status)
{
	bool asked = s->phase == ENDING && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
	char text[64];

	s->done = true;
	if (s->rc || (s->usable && WIFEXITED(status) && !WEXITSTATUS(status)))
		return;
	end_text(s, status, text, sizeof text);
	if (s->usable)
		slu_fail(s->e, EIO, "the process that served '%s' %s", s->share->where, text);
	else if (asked)
		slu_fail(s->e, EINTR, "interrupted before the mount was usable");
	else
		slu_fail(s->e, EIO, "the process for the mount %s", text);
	fail(s, -s->e->code);
}

static void dead(struct super *s, int status)
{
	int fuse = s->kept[SLU_KEEP_FUSE];

	listen_to(s); /* its last words */
	slu_closep(&s->sock);
	s->sock = -1;
	s->pid = 0;
	if (!s->usable || s->phase == ENDING || atomic_load(&s->share->ended)) {
		last_death(s, status);
		return;
	}
	if (!connected(s)) {
		s->done = true; /* unmounted meanwhile */
		return;
	}
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL || s->hung)
		slu_mshare_blame(s->share);
	if (atomic_load(&s->share->resend))
		slu_mshare_forget(s->share);
	else
		(void)slu_mshare_refuse(s->share, fuse);
	s->phase = RUNNING;
	if (atomic_load(&s->share->handed))
		s->next = slu_now();
	else
		restart(s, status);
}

static void reap(struct super *s)
{
	int status;
	pid_t got;

	while ((got = waitpid(-1, &status, WNOHANG)) > 0)
		if (got == s->pid)
			dead(s, status);
}

/* --- time --- */

static void hung(struct super *s, const char *why)
{
	slu_warn("mount", "'%s': the process that serves it %s; it is killed", s->share->where,
		 why);
	s->hung = true;
	kill_worker(s);
}

/* The mount is over for it, or will be when its programs have left. */
static void check_leaving(struct super *s, int64_t now)
{
	if (!s->leaving)
		s->leaving = now;
	if (now - s->leaving > LEAVE_NS)
		hung(s, "does not end");
}

static void check_worker(struct super *s, int64_t now)
{
	uint64_t beat = atomic_load(&s->share->beat);
	int64_t oldest = slu_mshare_oldest(s->share), limit = atomic_load(&s->share->limit);
	bool ended = atomic_load(&s->share->ended);

	s->missed = beat == s->beat ? s->missed + 1 : 0;
	s->beat = beat;
	if (!s->up) {
		if (now - s->since > START_NS)
			hung(s, "does not take over");
	} else if (s->missed >= HANG_TICKS && !ended) {
		hung(s, "is stopped or stuck");
	} else if (oldest && limit && now - oldest > limit + STUCK_NS) {
		hung(s, "does not answer a request");
	} else if (ended) {
		check_leaving(s, now);
	}
}

/* A writable mount may have to commit what is still open; its requests have an hour. */
static int64_t end_ns(const struct super *s)
{
	return atomic_load(&s->share->limit) > LEAVE_NS ? LEAVE_NS : END_NS;
}

static void tick(struct super *s)
{
	int64_t now = slu_now();

	if (s->killed) {
		/* It sits in the kernel, where no signal comes.  It will do nothing any more. */
		if (now - s->killed > REAP_NS)
			dead(s, SIGKILL);
	} else if (s->phase == ENDING) {
		if (now - s->since > end_ns(s))
			kill_worker(s);
	} else if (s->phase == HANDING) {
		if (now - s->since > HANDOVER_NS)
			kill_worker(s);
	} else if (s->pid && s->usable) {
		check_worker(s, now);
	}
	if (!s->done && s->usable && !s->pid && !connected(s))
		s->done = true;
}

/* --- the loop --- */

static void on_signals(struct super *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof info) == sizeof info) {
		switch (info.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			ask_end(s);
			break;
		case SIGUSR2:
			ask_upgrade(s);
			break;
		default:
			reap(s);
		}
	}
}

static int wait_ms(const struct super *s, int64_t next_tick)
{
	int64_t until = s->next && s->next < next_tick ? s->next : next_tick,
		left = until - slu_now();

	return left > 0 ? (int)((left + SLU_MS - 1) / SLU_MS) : 0;
}

static void run(struct super *s)
{
	int64_t next_tick = slu_now() + TICK_NS;

	while (!s->done) {
		struct pollfd p[] = {
			{.fd = s->signals, .events = POLLIN},
			{.fd = s->sock, .events = POLLIN},
			{.fd = s->phase == ENDING ? -1 : s->lifeline, .events = POLLIN},
			{.fd = s->phase == ENDING ? -1 : s->ready}};
		int n = poll(p, 4, wait_ms(s, next_tick));

		if (n > 0 && p[1].revents)
			listen_to(s);
		if (n > 0 && p[0].revents)
			on_signals(s);
		if (n > 0 && (p[2].revents || p[3].revents))
			ask_end(s);
		if (slu_now() >= next_tick) {
			next_tick = slu_now() + TICK_NS;
			tick(s);
		}
		if (!s->done && s->next && slu_now() >= s->next)
			start(s);
	}
}

/* --- the end --- */

/* Not one of a worker that died before anybody could use it, nor one that was to end.  `ours`: it had not ended
 * before. */
static void leave_place(struct super *s, bool ours)
{
	const struct slu_mshare *h = s->share;
	const struct slu_mid id = {h->major, h->minor, h->mount_id};
	bool to_end = s->phase == ENDING || atomic_load(&h->ended);
	SLU_AUTO(slu_freep) char *moved = NULL;
	const char *where = NULL;

	if (!h->where[0])
		return;
	if (!s->usable) {
		/* Which one is ours it did not say, perhaps; a dead one may be taken away in any case. */
		for (int64_t end = slu_deadline_in(REAP_NS);
		     s->pid && !waitpid(s->pid, NULL, WNOHANG) && !slu_expired(end);)
			poll(NULL, 0, STEP_MS);
		(void)slu_mpoint_clear(h->where, NULL);
		return;
	}
	if (to_end && (ours || id.id))
		where = slu_mpoint_trace(h->where, &id, &moved);
	if (where && slu_mpoint_detach(where, true, NULL))
		slu_debug("mount", "'%s' is left mounted", where);
}

/* Nobody must wait for a connection that nobody serves; our descriptors go with this process. */
static void finish(struct super *s)
{
	const struct slu_mshare *h = s->share;
	bool orderly = atomic_load(&h->ended) && !s->pid && !s->hung && !s->rc;
	bool ours = connected(s); /* else what is there now may be the next one, with our number */

	kill_worker(s);
	if (!orderly && ours)
		(void)slu_mpoint_abort(h->minor);
	slu_closep(&s->kept[SLU_KEEP_FUSE]);
	s->kept[SLU_KEEP_FUSE] = -1;
	leave_place(s, ours);
	for (unsigned i = 0; i < SLU_KEEPS; i++)
		slu_closep(&s->kept[i]);
	slu_closep(&s->sock);
	slu_closep(&s->share_fd);
	slu_closep(&s->signals);
	slu_mshare_free(s->share);
	slu_mspawn_done(&s->spawn);
}

static void harden(void)
{
	const struct rlimit none = {0, 0};

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
}

/* Signals come as bytes: nothing interrupts anything. */
static int catch_signals(struct slu_err *e)
{
	static const int caught[] = {SIGTERM, SIGINT, SIGUSR2, SIGCHLD};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
		sigaddset(&set, caught[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

	return fd < 0 ? slu_fail_sys(e, errno, "cannot catch signals") : fd;
}

static int set_up(struct super *s, const char *const *argv)
{
	int r = slu_mspawn_init(&s->spawn, argv, s->e);

	if (!r)
		r = slu_mshare_new(&s->share_fd, &s->share, s->e);
	if (r)
		return r;
	s->signals = catch_signals(s->e);
	return s->signals < 0 ? s->signals : 0;
}

int slu_mount_supervise(const char *const *argv, int ready_fd, int lifeline_fd, struct slu_err *e)
{
	struct slu_err here = {0}, *err = e ? e : &here;
	struct super s = {.ready = ready_fd,
			  .lifeline = lifeline_fd,
			  .signals = -1,
			  .sock = -1,
			  .share_fd = -1,
			  .e = err};

	*err = (struct slu_err){0};
	for (unsigned i = 0; i < SLU_KEEPS; i++)
		s.kept[i] = -1;
	harden();
	/* The worker must not hold them: their ends tell. */
	if (ready_fd >= 0)
		(void)fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
	if (lifeline_fd >= 0)
		(void)fcntl(lifeline_fd, F_SETFD, FD_CLOEXEC);
	int r = set_up(&s, argv);

	if (r) {
		fail(&s, r);
	} else {
		s.kept[SLU_KEEP_LIFELINE] =
			lifeline_fd < 0 ? -1 : fcntl(lifeline_fd, F_DUPFD_CLOEXEC, 3);
		start(&s);
		run(&s);
	}
	if (s.share)
		finish(&s);
	slu_closep(&s.ready);
	return s.rc;
}
