/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the command of a cmd: reference.  What it prints goes nowhere but to the caller's buffer. */
#include "blob/cred_run.h"

#include "common/cleanup.h"
#include "common/tail.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT (60 * SLU_SEC)

extern char **environ;

/* In a process group of its own, so that what it started can be ended with it. */
static int start(const char *command, int out, int err, pid_t *ret)
{
	char sh[] = "sh", dash_c[] = "-c";
	char *const argv[] = {sh, dash_c, (char *)command, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int r;

	r = posix_spawn_file_actions_init(&files);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r) {
		posix_spawn_file_actions_destroy(&files);
		return -r;
	}
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setpgroup(&attr, 0);
	r = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&files, out, 1);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&files, err, 2);
	if (!r)
		r = posix_spawn(ret, "/bin/sh", &files, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return -r;
}

/* Until the end of the output: 0, or -errno. */
static int collect(int fd, struct slu_buf *b)
{
	int64_t end = slu_deadline_in(LIMIT);

	for (;;) {
		int64_t left = end - slu_now();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char chunk[1024];
		ssize_t n;

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)(left / SLU_MS) + 1) <= 0)
			continue;
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0)
			slu_buf_add(b, chunk, (size_t)n);
		explicit_bzero(chunk, sizeof(chunk));
		if (n <= 0)
			return n < 0 ? -errno : 0;
		if (slu_buf_err(b) < 0)
			return slu_buf_err(b) == -EMSGSIZE ? -EFBIG : -ENOMEM;
	}
}

/* What it said last, for people; nothing that looks like a secret. */
static void last_words(int fd, char *out, size_t max)
{
	static const char *const secret[] = {"sig=", "AccountKey=", "eyJ", "Bearer "};
	char text[4096], *line = slu_tail(fd, text, sizeof(text));

	*out = '\0';
	for (char *c = line; *c; c++)
		*c = (unsigned char)*c < ' ' || *c == 0x7f ? ' ' : *c;
	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		if (strstr(line, secret[i]))
			return;
	snprintf(out, max, "%.*s", (int)max - 1, line);
}

static int ended(int status, int err, const char *where, struct slu_err *e)
{
	char words[200];

	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	last_words(err, words, sizeof(words));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return slu_fail(e, ENOENT, "%s: its command names a program that is not there%s%s",
				where, *words ? ": " : "", words);
	return slu_fail(e, EIO, "%s: its command failed: %s", where,
			*words ? words : "run it by hand to see why");
}

int slu_cred_run(const char *command, const char *where, struct slu_buf *b, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int in = -1, out = -1;
	SLU_AUTO(slu_closep) int err = memfd_create("stderr", MFD_CLOEXEC);
	int fds[2], status = 0, r;
	pid_t pid = -1;

	if (err < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return slu_fail_sys(e, errno, "%s: cannot run its command", where);
	in = fds[0];
	out = fds[1];
	r = start(command, out, err, &pid);
	if (r < 0)
		return slu_fail_sys(e, -r, "%s: cannot run its command", where);
	close(slu_take_fd(out));
	r = collect(in, b);
	if (r < 0)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return slu_fail_sys(e, -r, "%s: its command gave no secret", where);
	return ended(status, err, where, e);
}
