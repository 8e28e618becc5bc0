/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the workers of a mount.  Normally it is the very file that runs here, also after a new
 * version was installed over it; the new one is taken when that is asked for.  Descriptors of ours are
 * close-on-exec, what we were given otherwise goes on to the worker.
 */
#include "fs/mount_super.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>

#define ARGS_MAX 512

extern char **environ;

int slu_mspawn_init(struct slu_mspawn *p, const char *const *argv, struct slu_err *e)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	*p = (struct slu_mspawn){.argv = argv, .program = -1, .installed = -1};
	if (n < 0)
		return slu_fail_sys(e, errno, "cannot read /proc/self/exe");
	path[n] = '\0';
	p->program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (p->program < 0)
		return slu_fail_sys(e, errno, "cannot open /proc/self/exe");
	p->path = slu_strdup(path);
	return p->path ? 0 : slu_fail_oom(e);
}

void slu_mspawn_done(struct slu_mspawn *p)
{
	slu_closep(&p->program);
	slu_closep(&p->installed);
	free(p->path);
}

void slu_mspawn_adopt(struct slu_mspawn *p)
{
	if (p->installed < 0)
		return;
	slu_closep(&p->program);
	p->program = slu_take_fd(p->installed);
}

/* A group of its own: the terminal's signals are for us, and we pass them on in our way. */
static int set_attr(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r = posix_spawnattr_setflags(
		attr,
		(short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));

	sigemptyset(&none);
	sigfillset(&all);
	if (!r)
		r = posix_spawnattr_setsigmask(attr, &none);
	return r ? r : posix_spawnattr_setsigdefault(attr, &all);
}

/* The worker keeps `sock` at its number. */
static int spawn(int program, const char *const *argv, int sock, pid_t *ret)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	char path[40];
	int r = posix_spawn_file_actions_init(&fa);

	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r) {
		posix_spawn_file_actions_destroy(&fa);
		return -r;
	}
	snprintf(path, sizeof path, "/proc/self/fd/%d", program);
	r = posix_spawn_file_actions_adddup2(&fa, sock, sock);
	if (!r)
		r = set_attr(&attr);
	if (!r)
		r = posix_spawn(ret, path, &fa, &attr, (char *const *)argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return -r;
}

int slu_mspawn_start(struct slu_mspawn *p, bool anew, pid_t *ret_pid, int *ret_sock)
{
	const char *argv[ARGS_MAX];
	char worker[32];
	int sv[2], r;
	size_t n = 0;

	*ret_pid = 0;
	*ret_sock = -1;
	slu_closep(&p->installed);
	p->installed = anew ? open(p->path, O_PATH | O_CLOEXEC) : -1;
	if (anew && p->installed < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return -errno;
	snprintf(worker, sizeof worker, "--worker-fd=%d", sv[1]);
	for (size_t i = 0; p->argv[i] && n < ARGS_MAX - 2; i++) {
		if (i == 2)
			argv[n++] = worker;
		argv[n++] = p->argv[i];
	}
	argv[n] = NULL;
	r = spawn(anew ? p->installed : p->program, argv, sv[1], ret_pid);
	close(sv[1]);
	if (r) {
		*ret_pid = 0;
		close(sv[0]);
	} else {
		*ret_sock = sv[0];
	}
	return r;
}
