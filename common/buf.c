/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The growing buffer.  It doubles, never beyond max + 1 (the NUL is not counted against max).
 * After a failure the bytes so far stay readable, but the text is incomplete and slu_buf_err says
 * so; only clear and done forget it.
 */
#include "common/buf.h"

#include "common/cleanup.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/mem.h"
#include "common/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_CAP = 64, READ_STEP = 64 * 1024 };

/* Room for n more bytes and the NUL; false sets the sticky error. */
static bool reserve(struct slu_buf *b, size_t n)
{
	size_t cap;
	char *p;

	if (b->err)
		return false;
	if (n > b->max || b->len > b->max - n || b->len + n == SIZE_MAX) {
		b->err = EMSGSIZE;
		return false;
	}
	if (b->len + n < b->cap)
		return true;
	cap = b->cap ? b->cap : FIRST_CAP;
	while (cap <= b->len + n && cap <= SIZE_MAX / 2)
		cap *= 2;
	if (cap <= b->len + n || (b->max < SIZE_MAX && cap > b->max + 1))
		cap = b->max < SIZE_MAX ? b->max + 1 : b->len + n + 1;
	p = slu_realloc(b->p, cap);
	if (!p) {
		b->err = ENOMEM;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void slu_buf_add(struct slu_buf *b, const void *p, size_t n)
{
	if (!reserve(b, n))
		return;
	if (n)
		memcpy(b->p + b->len, p, n);
	b->len += n;
	b->p[b->len] = '\0';
}

void slu_buf_str(struct slu_buf *b, const char *s)
{
	slu_buf_add(b, s, strlen(s));
}

void slu_buf_ch(struct slu_buf *b, char c)
{
	slu_buf_add(b, &c, 1);
}

void slu_buf_fmt(struct slu_buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		if (!b->err)
			b->err = EMSGSIZE;
		return;
	}
	if (!reserve(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

int slu_buf_err(const struct slu_buf *b)
{
	return -b->err;
}

char *slu_buf_take(struct slu_buf *b)
{
	char *p;

	slu_buf_add(b, "", 0);
	if (b->err) {
		free(slu_take(b->p));
		b->len = b->cap = 0;
		return NULL;
	}
	p = slu_take(b->p);
	b->len = b->cap = 0;
	return p;
}

void slu_buf_clear(struct slu_buf *b)
{
	b->len = 0;
	b->err = 0;
	if (b->p)
		b->p[0] = '\0';
}

void slu_buf_done(struct slu_buf *b)
{
	free(slu_take(b->p));
	b->len = b->cap = 0;
	b->err = 0;
}

/* At the maximum, one byte more tells a file that just fits from one that is too big. */
static int read_probe(int fd)
{
	char c;
	ssize_t r;

	do
		r = SLU_IO(read(fd, &c, 1));
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r ? -EFBIG : 0;
}

int slu_buf_read_fd(struct slu_buf *b, int fd)
{
	ssize_t r;

	for (;;) {
		size_t left = b->max - b->len;
		size_t want = left < READ_STEP ? left : READ_STEP;

		if (b->err)
			return -b->err;
		if (b->len >= b->max)
			return read_probe(fd);
		if (b->cap > b->len + 1 + READ_STEP / 4 && want > b->cap - b->len - 1)
			want = b->cap - b->len - 1;
		if (!reserve(b, want))
			return -b->err;
		r = SLU_IO(read(fd, b->p + b->len, want));
		b->p[b->len + (r > 0 ? (size_t)r : 0)] = '\0';
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return 0;
		b->len += (size_t)r;
	}
}

bool slu_buf_write_fd(const struct slu_buf *b, int fd)
{
	int r = slu_write_all(fd, b->p, b->len);

	errno = r < 0 ? -r : errno;
	return r == 0;
}

int slu_buf_read_at(struct slu_buf *b, int dirfd, const char *path)
{
	/* A fifo that nobody writes to would block the open; it reads as empty instead. */
	SLU_AUTO(slu_closep)
	int fd = SLU_IO(openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));

	if (fd < 0 || fcntl(fd, F_SETFL, 0) < 0)
		return -errno;
	return slu_buf_read_fd(b, fd);
}

int slu_buf_read_file(struct slu_buf *b, const char *path, struct slu_err *e)
{
	int r = slu_buf_read_at(b, AT_FDCWD, path);

	if (r == -EFBIG)
		return slu_fail(e, EFBIG, "'%s' is larger than %zu bytes", path, b->max);
	return r < 0 ? slu_fail_sys(e, -r, "cannot read '%s'", path) : 0;
}
