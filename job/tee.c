/* SPDX-License-Identifier: Apache-2.0 */
/* Log files and the pipes that feed them.  One thread a step; nothing is kept in memory. */
#include "job/tee.h"

#include "common/log.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { CHUNK = 64 << 10, ROUNDS = 16 };

static int open_log(const struct slu_run *r, const char *name, struct slu_err *e)
{
	int fd = openat(r->fd, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : slu_fail_sys(e, errno, "cannot write '%s/%s'", r->dir, name);
}

static int open_pipe(struct slu_tee *t, int i, struct slu_err *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
		return slu_fail_sys(e, errno, "cannot make a pipe");
	t->from[i] = fds[0];
	t->give[i] = fds[1];
	return 0;
}

int slu_tee_open(struct slu_tee *t, const struct slu_run *r, struct slu_err *e)
{
	int rc;

	*t = (struct slu_tee){{-1, -1}, {-1, -1}, {-1, -1}, -1, false};
	t->log[0] = rc = open_log(r, SLU_RUN_STDOUT, e);
	if (rc >= 0)
		t->log[1] = rc = open_log(r, SLU_RUN_STDERR, e);
	if (rc >= 0)
		t->both = rc = open_log(r, SLU_RUN_STDLOG, e);
	if (rc >= 0)
		rc = open_pipe(t, 0, e);
	if (rc >= 0)
		rc = open_pipe(t, 1, e);
	if (rc < 0)
		slu_tee_close(t);
	return rc < 0 ? rc : 0;
}

static void close_one(int *fd)
{
	slu_closep(fd);
	*fd = -1;
}

void slu_tee_given(struct slu_tee *t)
{
	close_one(&t->give[0]);
	close_one(&t->give[1]);
}

static void put(struct slu_tee *t, int fd, const char *p, size_t n)
{
	while (n && !t->full) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			t->full = true;
			slu_warn("job", "the step's output is lost from here on: %s",
				 strerror(errno));
			return;
		}
		p += k;
		n -= (size_t)k;
	}
}

void slu_tee_pump(struct slu_tee *t, int i)
{
	char chunk[CHUNK];

	for (int round = 0; t->from[i] >= 0 && round < ROUNDS; round++) {
		ssize_t n = read(t->from[i], chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close_one(&t->from[i]);
			return;
		}
		put(t, t->log[i], chunk, (size_t)n);
		put(t, t->both, chunk, (size_t)n);
	}
}

void slu_tee_close(struct slu_tee *t)
{
	for (int i = 0; i < 2; i++) {
		close_one(&t->from[i]);
		close_one(&t->give[i]);
		close_one(&t->log[i]);
	}
	close_one(&t->both);
}
