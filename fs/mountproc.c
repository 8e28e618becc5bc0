/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount in a process of its own, seen from the one that asked.  The server is started by
 * posix_spawn, since the caller may have threads, and gets exactly five descriptors: the standard
 * ones, the ready pipe (3) and the lifeline (4).  The caller never holds /dev/fuse nor anything in
 * the mount.  Not here: what the server does (mount.c), and how it knows what to mount.
 */
#include "fs/mount_point.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#define READY_FD 3
#define LIFELINE_FD 4
#define READY_NS (600 * SLU_SEC) /* the server may have to list its dataset first */
#define END_NS (100 * SLU_SEC)   /* its supervisor's patience with the one that serves, and more */
#define STEP_MS 10

extern char **environ;

struct mount_view {
	struct slu_view v;
	pid_t pid; /* 0: reaped */
	int lifeline;
	struct slu_mid id; /* once it was usable */
	bool detached, closed;
};

/* The descriptors of the child, in order: nothing may be overwritten before it was copied. */
static int add_files(posix_spawn_file_actions_t *fa, int ready, int lifeline, const char *log_path)
{
	int r = posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0);

	if (!r)
		r = posix_spawn_file_actions_addopen(fa, 1, "/dev/null", O_WRONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_addopen(fa, 2, log_path ? log_path : "/dev/null",
						     O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (!r)
		r = posix_spawn_file_actions_adddup2(fa, ready, READY_FD);
	if (!r && lifeline >= 0)
		r = posix_spawn_file_actions_adddup2(fa, lifeline, LIFELINE_FD);
	if (!r)
		r = posix_spawn_file_actions_addclosefrom_np(fa, lifeline >= 0 ? LIFELINE_FD + 1
									       : LIFELINE_FD);
	return r;
}

/* A session of its own, or at least a process group: the terminal's signals are not for it. */
static int set_attr(posix_spawnattr_t *attr, bool detached)
{
	sigset_t none, all;
	short how = detached ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP;
	int r = posix_spawnattr_setflags(
		attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | how));

	sigemptyset(&none);
	sigfillset(&all);
	if (!r)
		r = posix_spawnattr_setsigmask(attr, &none);
	return r ? r : posix_spawnattr_setsigdefault(attr, &all);
}

static int spawn(const char *const *argv, int ready, int lifeline, bool detached,
		 const char *log_path, pid_t *ret)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	int r = posix_spawn_file_actions_init(&fa);

	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r) {
		posix_spawn_file_actions_destroy(&fa);
		return -r;
	}
	r = add_files(&fa, ready, lifeline, log_path);
	if (!r)
		r = set_attr(&attr, detached);
	if (!r)
		r = posix_spawnp(ret, argv[0], &fa, &attr, (char *const *)argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return -r;
}

/* A pipe whose ends stand above the numbers that the child's copies get. */
static int high_pipe(int p[2])
{
	int low[2], r = 0;

	if (pipe2(low, O_CLOEXEC))
		return -errno;
	for (int i = 0; i < 2; i++) {
		p[i] = fcntl(low[i], F_DUPFD_CLOEXEC, LIFELINE_FD + 1);
		if (p[i] < 0 && !r)
			r = -errno;
		close(low[i]);
	}
	for (int i = 0; r && i < 2; i++) {
		slu_closep(&p[i]);
		p[i] = -1;
	}
	return r;
}

/* Reads what the server says until it closes its end: 1 when that was "R". */
static int read_ready(int fd, char *text, size_t size)
{
	int64_t end = slu_deadline_in(READY_NS);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t n = 0;

	for (;;) {
		int64_t left = (end - slu_now()) / SLU_MS;
		int r = poll(&p, 1, left > 0 ? (int)left : 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r == 0)
			return -ETIMEDOUT;
		ssize_t got = r < 0 ? -1 : read(fd, text + n, size - 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		n += (size_t)got;
		text[n] = '\0';
		if (!got || n == size - 1)
			return n == 1 && text[0] == 'R';
	}
}

/* Reaps the server, waiting until `end` (0: for ever).  True: it is gone; *ret_status is its status,
 * -1 when somebody else took that. */
static bool reap(struct mount_view *mv, int64_t end, int *ret_status)
{
	while (mv->pid) {
		int status;
		pid_t got = waitpid(mv->pid, &status, end ? WNOHANG : 0);

		if (got == mv->pid || (got < 0 && errno == ECHILD)) {
			*ret_status = got > 0 ? status : -1;
			mv->pid = 0;
		} else if (end && slu_expired(end)) {
			return false;
		} else if (end) {
			poll(NULL, 0, STEP_MS);
		}
	}
	return true;
}

static int view_wait(struct slu_view *v, struct slu_err *e)
{
	struct mount_view *mv = (struct mount_view *)v;
	int status = -1;

	if (!mv->pid)
		return 0;
	(void)reap(mv, 0, &status);
	if (status == -1 || (WIFEXITED(status) && !WEXITSTATUS(status)))
		return 0;
	if (WIFSIGNALED(status))
		return slu_fail(e, EIO, "the process that served '%s' was killed by signal %d",
				v->where, WTERMSIG(status));
	return slu_fail(e, EIO, "the process that served '%s' ended with status %d", v->where,
			WEXITSTATUS(status));
}

/* Nobody serves it any more: what it left mounted goes too.  A living mount is not ours. */
static int clear_leftover(const struct mount_view *mv, struct slu_err *e)
{
	int r = slu_mpoint_clear(mv->v.where, e);

	return r == -EBUSY ? 0 : r;
}

/* The supervisor was killed: the one that serves has the lifeline too, and ends by itself. */
static void outlast_worker(const struct mount_view *mv)
{
	int64_t end = slu_deadline_in(END_NS);
	bool late = false;

	while (!late) {
		SLU_AUTO(slu_freep) char *moved = NULL;
		const char *there = slu_mpoint_trace(mv->v.where, &mv->id, &moved);

		if (!there)
			return;
		late = slu_expired(end);
		if (late)
			(void)slu_unmount(there, 0, NULL);
		else
			poll(NULL, 0, STEP_MS);
	}
}

static int view_close(struct slu_view *v, struct slu_err *e)
{
	struct mount_view *mv = (struct mount_view *)v;
	int status = -1;

	if (mv->closed)
		return 0;
	mv->closed = true;
	if (mv->detached) {
		/* It was asked to outlive us. */
		if (mv->pid)
			(void)waitpid(mv->pid, &status, WNOHANG);
		mv->pid = 0;
		return 0;
	}
	slu_closep(&mv->lifeline);
	mv->lifeline = -1;
	if (!reap(mv, slu_deadline_in(END_NS), &status)) {
		kill(mv->pid, SIGKILL);
		(void)reap(mv, 0, &status);
	}
	if (status != -1 && WIFSIGNALED(status) && slu_mpoint_clear(v->where, NULL) == -EBUSY)
		outlast_worker(mv);
	return clear_leftover(mv, e);
}

static void view_free(struct slu_view *v)
{
	struct mount_view *mv = (struct mount_view *)v;

	slu_closep(&mv->lifeline);
	free(v->where);
	free(mv);
}

static const struct slu_view_ops view_ops = {
	.kind = SLU_VIEW_MOUNT, .wait = view_wait, .close = view_close, .free = view_free};

/* "39 the mount point ..." as slu_mount_say_failed wrote it; a text without a code is EIO. */
static int pass_on(char *said, struct slu_err *e)
{
	char *text = strchr(said, ' ');
	uint64_t code;

	if (text) {
		*text = '\0';
		if (slu_u64(said, &code) && code > 0 && code < 4096)
			return slu_fail(e, (int)code, "%s", text + 1);
		*text = ' ';
	}
	return slu_fail(e, EIO, "%s", said);
}

static int not_ready(struct mount_view *mv, int r, char *said, const char *log_path,
		     struct slu_err *e)
{
	int status = -1;

	if (r == -ETIMEDOUT) {
		kill(mv->pid, SIGTERM);
		slu_fail(e, ETIMEDOUT, "the mount at '%s' was not ready within %lld s", mv->v.where,
			 READY_NS / SLU_SEC);
	}
	if (!reap(mv, slu_deadline_in(END_NS), &status)) {
		kill(mv->pid, SIGKILL);
		(void)reap(mv, 0, &status);
	}
	(void)clear_leftover(mv, NULL);
	if (r == -ETIMEDOUT)
		return r;
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot hear from the mount at '%s'", mv->v.where);
	if (said[0])
		return pass_on(said, e);
	if (status != -1 && WIFSIGNALED(status))
		return slu_fail(e, EIO,
				"the process for the mount at '%s' was killed by signal %d%s%s",
				mv->v.where, WTERMSIG(status), log_path ? ": see " : "",
				log_path ? log_path : "");
	return slu_fail(e, EIO, "the process for the mount at '%s' ended with status %d%s%s",
			mv->v.where, status == -1 ? -1 : WEXITSTATUS(status),
			log_path ? ": see " : "", log_path ? log_path : "");
}

static int view_new(const char *mountpoint, bool detached, struct mount_view **ret,
		    struct slu_err *e)
{
	struct mount_view *mv = slu_new0(struct mount_view);
	int r;

	if (!mv)
		return slu_fail_oom(e);
	mv->v.ops = &view_ops;
	mv->lifeline = -1;
	mv->detached = detached;
	r = slu_mpoint_canon(mountpoint, &mv->v.where, e);
	if (r) {
		view_free(&mv->v);
		return r;
	}
	*ret = mv;
	return 0;
}

/* What the child could not open would look like a program that is not there. */
static int check_log(const char *path, struct slu_err *e)
{
	SLU_AUTO(slu_closep)
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600)
		      : -1;

	return path && fd < 0 ? slu_fail_sys(e, errno, "cannot write the log file '%s'", path) : 0;
}

int slu_mount_open(const char *const *argv, const char *mountpoint, bool detached,
		   const char *log_path, struct slu_view **ret, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int ready_in = -1;
	int ready[2], life[2] = {-1, -1}, r;
	struct mount_view *mv = NULL;
	char said[SLU_ERR_MSG];

	r = check_log(log_path, e);
	if (!r)
		r = view_new(mountpoint, detached, &mv, e);
	if (r)
		return r;
	r = high_pipe(ready);
	if (!r) {
		ready_in = ready[0];
		if (!detached)
			r = high_pipe(life);
		mv->lifeline = life[1];
		if (!r)
			r = spawn(argv, ready[1], life[0], detached, log_path, &mv->pid);
		close(ready[1]);
		slu_closep(&life[0]);
	}
	if (r) {
		mv->pid = 0;
		r = slu_fail_sys(e, -r, "cannot start '%s'", argv[0]);
		view_free(&mv->v);
		return r;
	}
	r = read_ready(ready_in, said, sizeof said);
	if (r == 1) {
		(void)slu_mpoint_id(mv->v.where, &mv->id);
		*ret = &mv->v;
		return 0;
	}
	r = not_ready(mv, r, said, log_path, e);
	view_free(&mv->v);
	return r;
}
