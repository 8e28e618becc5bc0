/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard runs in a fork of a process with threads, so from _Fork() on it makes system calls only: no
 * allocation, no locks, no stdio.  What it sends are struct news, which are atomic on a pipe.
 */
#include "job/guard.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Descriptors in the guard. */
enum { FD_REPORT = 3, FD_CWD = 4, FD_SAFE = 16 };
enum { ENVIRON_MAX = 8 << 20, CHILDREN_MAX = 1 << 20 };
enum { NEWS_PID = 'P', NEWS_ERROR = 'E', NEWS_END = 'X' };
/* Of /proc/PID/stat: fields, and flags in one. */
enum { STAT_FLAGS = 9, STAT_ENV_END = 51, FLAG_EXITING = 0x4, FLAG_KTHREAD = 0x200000 };

#define KILL_TIME (5 * SLU_SEC)

struct news {
	int kind;
	int value;
	struct slu_usage used; /* of NEWS_END */
};
_Static_assert(sizeof(struct news) <= 512, "what POSIX calls atomic");

/* --- in the guard: system calls only --- */

static uint64_t number_after(const char *text, const char *key)
{
	const char *p = strstr(text, key);
	uint64_t v = 0;

	for (p = p ? p + strlen(key) : NULL; p && *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	return v;
}

/* Of all that this process has reaped, and what that had reaped. */
static void used(struct slu_usage *u)
{
	int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
	char text[512] = "";
	struct rusage ru = {0};

	getrusage(RUSAGE_CHILDREN, &ru);
	u->user_us = (int64_t)ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec;
	u->system_us = (int64_t)ru.ru_stime.tv_sec * 1000000 + ru.ru_stime.tv_usec;
	u->largest = (uint64_t)ru.ru_maxrss * 1024;
	u->disk_read = (uint64_t)ru.ru_inblock * 512;
	u->disk_written = (uint64_t)ru.ru_oublock * 512;
	/* Only root may look, since the supervisor's memory is nobody else's. */
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0) {
		u->read = number_after(text, "rchar: ");
		u->written = number_after(text, "wchar: ");
	}
	close(fd);
}

static void tell(int kind, int value)
{
	struct news n = {.kind = kind, .value = value};
	ssize_t done;

	if (kind == NEWS_END)
		used(&n.used);
	do
		done = write(FD_REPORT, &n, sizeof(n));
	while (done < 0 && errno == EINTR);
}

static void step_main(const struct slu_guard_opts *o, pid_t guard, const sigset_t *none)
{
	struct sigaction dflt = {.sa_handler = SIG_DFL};

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != guard)
		_exit(127);
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dflt, NULL);
	sigprocmask(SIG_SETMASK, none, NULL);
	if (o->core)
		setrlimit(RLIMIT_CORE, o->core);
	if (fchdir(FD_CWD) < 0) {
		tell(NEWS_ERROR, errno);
		_exit(127);
	}
	close(FD_CWD);
	execve(o->argv[0], (char *const *)o->argv, o->envp);
	tell(NEWS_ERROR, errno);
	_exit(127);
}

/* Kills the children that the kernel lists for this process: orphans of the tree end up among them. */
static void kill_children(void)
{
	char text[4096];
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	long pid = 0;

	if (fd >= 0)
		close(fd);
	for (ssize_t i = 0; i < n; i++) {
		if (text[i] >= '0' && text[i] <= '9') {
			pid = pid * 10 + (text[i] - '0');
		} else {
			if (pid > 1)
				kill((pid_t)pid, SIGKILL);
			pid = 0;
		}
	}
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * SLU_SEC + t.tv_nsec;
}

/* Until no child is left, or the time is over (a process in an uninterruptible wait). */
static void kill_tree(pid_t step, const sigset_t *chld)
{
	const struct timespec tick = {0, 20 * 1000 * 1000};
	int64_t end = now_ns() + KILL_TIME;
	pid_t got;

	do {
		kill(-step, SIGKILL);
		kill_children();
		sigtimedwait(chld, NULL, &tick);
		do
			got = waitpid(-1, NULL, WNOHANG);
		while (got > 0);
	} while (got == 0 && now_ns() < end);
}

/* Has the step itself ended?  Seen without reaping it, so that its group's number stays taken. */
static bool step_ended(pid_t step)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)step, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == step;
}

static void reap_others(pid_t step)
{
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0 ||
		    info.si_pid == step)
			return;
		waitpid(info.si_pid, NULL, WNOHANG);
	}
}

static void guard_wait(pid_t step, const sigset_t *wanted, const sigset_t *chld)
{
	int status = 0, sig;

	for (;;) {
		if (step_ended(step))
			break;
		reap_others(step);
		sig = sigwaitinfo(wanted, NULL);
		if (sig == SIGTERM || sig == SIGINT || sig == SIGHUP)
			break;
	}
	kill(-step, SIGKILL);
	/* Killed just now, it ends soon; one that cannot is the kernel's. */
	for (int i = 0; i < 250 && !step_ended(step); i++) {
		const struct timespec tick = {0, 20 * 1000 * 1000};

		sigtimedwait(chld, NULL, &tick);
	}
	if (waitpid(step, &status, WNOHANG) != step)
		status = SIGKILL;
	kill_tree(step, chld);
	tell(NEWS_END, status);
	_exit(0);
}

static void guard_signals(sigset_t *ret_wanted, sigset_t *ret_chld, sigset_t *ret_none)
{
	struct sigaction dflt = {.sa_handler = SIG_DFL};

	sigemptyset(ret_none);
	sigemptyset(ret_chld);
	sigaddset(ret_chld, SIGCHLD);
	*ret_wanted = *ret_chld;
	sigaddset(ret_wanted, SIGTERM);
	sigaddset(ret_wanted, SIGINT);
	sigaddset(ret_wanted, SIGHUP);
	sigprocmask(SIG_SETMASK, ret_wanted, NULL);
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dflt, NULL);
	dflt.sa_handler = SIG_IGN; /* the supervisor may be gone when it is told */
	sigaction(SIGPIPE, &dflt, NULL);
}

/* Where this process keeps its arguments, as the kernel shows them. */
struct args {
	char *p;
	size_t n;
};

/* A fork shows its parent's command line, and people (and their scripts) would take it for a second
 * supervisor: it gets a line of its own. */
static void rename_self(const struct args *a)
{
	static const char name[] = "sluice-guard";

	if (!a->p || a->n < sizeof(name))
		return;
	memset(a->p, 0, a->n);
	memcpy(a->p, name, sizeof(name));
}

static void guard_main(const struct slu_guard_opts *o, pid_t parent, const int fds[5],
		       const struct args *args)
{
	sigset_t wanted, chld, none;
	pid_t self = getpid(), step;

	prctl(PR_SET_NAME, "sluice-guard");
	rename_self(args);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setpgid(0, 0);
	guard_signals(&wanted, &chld, &none);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	for (int i = 0; i < 5; i++) /* 0, 1, 2, FD_REPORT, FD_CWD */
		if (dup2(fds[i], i) < 0)
			_exit(1);
	syscall(SYS_close_range, FD_CWD + 1, ~0u, 0);
	fcntl(FD_REPORT, F_SETFD, FD_CLOEXEC);
	step = _Fork();
	if (step == 0)
		step_main(o, self, &none);
	if (step < 0) {
		tell(NEWS_ERROR, errno);
		_exit(1);
	}
	setpgid(step, step);
	tell(NEWS_PID, step);
	/* Nothing of the step's is held, so that its pipes end with it. */
	close(0);
	close(1);
	close(2);
	close(FD_CWD);
	guard_wait(step, &wanted, &chld);
}

/* --- in the supervisor --- */

/* Fields 48 and 49 of /proc/self/stat.  Not known: nothing is renamed. */
static struct args find_args(void)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);
	struct args a = {0};
	uint64_t at[2];
	char *p, *end;

	if (slu_buf_read_at(&b, AT_FDCWD, "/proc/self/stat") < 0 || !b.p)
		return a;
	p = strrchr(b.p, ')');
	for (int field = 2; p && field < 48; field++)
		p = strchr(p + 1, ' ');
	for (int i = 0; i < 2; i++, p = end) {
		end = p ? strchr(p + 1, ' ') : NULL;
		if (!end)
			return a;
		*end = '\0';
		if (!slu_u64(p + 1, &at[i]))
			return a;
	}
	if (at[0] && at[1] > at[0] && at[1] - at[0] < 1 << 20)
		a = (struct args){(char *)(uintptr_t)at[0], (size_t)(at[1] - at[0])};
	return a;
}

/* The variable that only this step's processes have. */
static const char *find_mark(char *const *envp)
{
	for (; envp && *envp; envp++)
		if (slu_starts(*envp, "AZUREML_RUN_ID="))
			return *envp;
	return NULL;
}

/* A copy above the numbers that the guard gives out. */
static int high(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, FD_SAFE);
}

int slu_guard_start(const struct slu_guard_opts *o, struct slu_guard *ret, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int null = -1, cwd = -1, out = -1, err = -1, rd = -1, wr = -1;
	int pipe_fds[2];
	pid_t parent = getpid(), pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return slu_fail_sys(e, errno, "cannot make a pipe");
	rd = pipe_fds[0];
	wr = high(pipe_fds[1]);
	close(pipe_fds[1]);
	SLU_AUTO(slu_closep) int low_null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	SLU_AUTO(slu_closep) int low_cwd = open(o->cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (low_cwd < 0)
		return slu_fail_sys(e, errno, "cannot enter '%s'", o->cwd);
	null = high(low_null);
	cwd = high(low_cwd);
	out = high(o->out);
	err = high(o->err);
	if (null < 0 || cwd < 0 || out < 0 || err < 0 || wr < 0 ||
	    fcntl(rd, F_SETFL, O_NONBLOCK) < 0)
		return slu_fail_sys(e, errno, "cannot prepare a process");
	const int fds[5] = {null, out, err, wr, cwd};
	const struct args args = find_args();
	pid = _Fork();
	if (pid == 0) {
		guard_main(o, parent, fds, &args);
		_exit(1);
	}
	if (pid < 0)
		return slu_fail_sys(e, errno, "cannot start a process");
	*ret = (struct slu_guard){
		.guard = pid, .report = slu_take_fd(rd), .mark = find_mark(o->envp)};
	return 0;
}

void slu_guard_news(struct slu_guard *g)
{
	struct news n;
	ssize_t got;

	while (g->report >= 0) {
		got = read(g->report, &n, sizeof(n));
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got != (ssize_t)sizeof(n)) {
			slu_closep(&g->report);
			g->report = -1;
		} else if (n.kind == NEWS_PID) {
			g->step = n.value;
		} else if (n.kind == NEWS_ERROR) {
			g->error = n.value;
		} else {
			g->status = n.value;
			g->used = n.used;
			g->ended = true;
		}
	}
}

void slu_guard_signal(const struct slu_guard *g, int sig)
{
	if (g->step > 0 && !g->ended)
		kill(-g->step, sig);
}

/* Waits for the guard's end, at most until the deadline. */
static bool wait_guard(struct slu_guard *g, int64_t deadline)
{
	SLU_AUTO(slu_closep) int fd = (int)syscall(SYS_pidfd_open, g->guard, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t left = deadline - slu_now();

	if (fd >= 0)
		poll(&p, 1, left > 0 ? (int)(left / SLU_MS) + 1 : 0);
	return waitpid(g->guard, NULL, WNOHANG) != 0;
}

/* In the middle of an exec a process has new memory and, for a moment, no environment there: the kernel shows none, as it
 * does of one that is empty or of a process that is gone.  This tells them apart, also when the exec is over by now. */
static bool was_in_exec(pid_t pid)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);
	uint64_t value[STAT_ENV_END + 1] = {0};
	char path[48];
	char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (slu_buf_read_at(&b, AT_FDCWD, path) < 0 || !b.p || !(p = strrchr(b.p, ')')) ||
	    slu_starts(p, ") Z") || slu_starts(p, ") X"))
		return false;
	for (int field = 3; p && field <= STAT_ENV_END; field++) {
		p = strchr(p + 1, ' ');
		for (const char *d = p ? p + 1 : ""; *d >= '0' && *d <= '9'; d++)
			value[field] = value[field] * 10 + (uint64_t)(*d - '0');
	}
	return p && !(value[STAT_FLAGS] & (FLAG_KTHREAD | FLAG_EXITING)) &&
	       (!value[STAT_ENV_END] || value[STAT_ENV_END] > value[STAT_ENV_END - 1]);
}

enum slu_marked slu_guard_marked(pid_t pid, const char *mark)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(ENVIRON_MAX);
	char path[64];
	size_t n = strlen(mark) + 1;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	if (slu_buf_read_at(&b, AT_FDCWD, path) < 0)
		return SLU_UNMARKED;
	if (!b.len)
		return was_in_exec(pid) ? SLU_MARK_UNKNOWN : SLU_UNMARKED;
	for (const char *p = b.p; p && (size_t)(b.p + b.len - p) >= n; p++) {
		if (memcmp(p, mark, n) == 0)
			return SLU_MARKED;
		p = memchr(p, '\0', (size_t)(b.p + b.len - p));
		if (!p)
			break;
	}
	return SLU_UNMARKED;
}

/* Kills those of the tree that left the step's group and were given to this process; how many there were, with those
 * that may be some. */
static unsigned kill_marked(const char *mark)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(CHILDREN_MAX);
	char path[64], *next = NULL;
	unsigned killed = 0;
	uint64_t pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	if (!mark || slu_buf_read_at(&b, AT_FDCWD, path) < 0)
		return 0;
	for (char *p = b.p; p && *p; p = next) {
		char *end = strchr(p, ' ');

		next = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
		enum slu_marked is = !slu_u64(p, &pid) || pid < 2
					     ? SLU_UNMARKED
					     : slu_guard_marked((pid_t)pid, mark);
		killed += is != SLU_UNMARKED;
		if (is != SLU_MARKED)
			continue;
		kill((pid_t)pid, SIGKILL);
		waitpid((pid_t)pid, NULL, WNOHANG);
	}
	return killed;
}

static void kill_orphans(pid_t group, const char *mark)
{
	int64_t deadline = slu_deadline_in(KILL_TIME);
	unsigned marked;
	pid_t got;

	do {
		if (group > 0)
			kill(-group, SIGKILL);
		got = group > 0 ? waitpid(-group, NULL, WNOHANG) : -1;
		marked = kill_marked(mark);
		if (got == 0 || marked)
			poll(NULL, 0, 20);
	} while ((got >= 0 || marked) && !slu_expired(deadline));
}

void slu_guard_end(struct slu_guard *g)
{
	if (g->guard <= 0)
		return;
	if (!g->ended)
		kill(g->guard, SIGTERM);
	if (!wait_guard(g, slu_deadline_in(KILL_TIME + 2 * SLU_SEC))) {
		slu_guard_signal(g, SIGKILL);
		kill(g->guard, SIGKILL);
		wait_guard(g, slu_deadline_in(2 * SLU_SEC));
	}
	slu_guard_news(g);
	/* A guard that was killed told nothing, perhaps not even which process the step is; then its children came to
	 * this process. */
	if (!g->ended)
		kill_orphans(g->step, g->mark);
	slu_closep(&g->report);
	g->report = -1;
	g->guard = 0;
}
