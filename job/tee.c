/* SPDX-License-Identifier: Apache-2.0 */
/* Log files and the pipes that feed them.  One thread a step; what is kept in memory is less than a line. */
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

	*t = (struct slu_tee){
		.from = {-1, -1}, .give = {-1, -1}, .log = {-1, -1}, .both = -1, .open_line = -1};
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

/* A line of the other stream that is cut here, because it is long or was never ended, stays a line of its own. */
static void put_both(struct slu_tee *t, int i, const char *p, size_t n)
{
	if (!n)
		return;
	if (t->open_line >= 0 && t->open_line != i)
		put(t, t->both, "\n", 1);
	put(t, t->both, p, n);
	t->open_line = p[n - 1] == '\n' ? -1 : i;
}

static void put_held(struct slu_tee *t, int i)
{
	put_both(t, i, t->line[i], t->held[i]);
	t->held[i] = 0;
}

static void put_lines(struct slu_tee *t, int i, const char *p, size_t n)
{
	const char *end = memrchr(p, '\n', n);
	size_t whole = end ? (size_t)(end + 1 - p) : 0, room;

	if (whole) {
		put_held(t, i);
		put_both(t, i, p, whole);
	}
	for (size_t at = whole, k; at < n; at += k) {
		if (t->held[i] == SLU_TEE_LINE)
			put_held(t, i);
		room = SLU_TEE_LINE - t->held[i];
		k = n - at < room ? n - at : room;
		memcpy(t->line[i] + t->held[i], p + at, k);
		t->held[i] += k;
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
			put_held(t, i);
			close_one(&t->from[i]);
			return;
		}
		put(t, t->log[i], chunk, (size_t)n);
		put_lines(t, i, chunk, (size_t)n);
	}
}

void slu_tee_close(struct slu_tee *t)
{
	for (int i = 0; i < 2; i++) {
		if (t->both >= 0)
			put_held(t, i);
		close_one(&t->from[i]);
		close_one(&t->give[i]);
		close_one(&t->log[i]);
	}
	close_one(&t->both);
}
