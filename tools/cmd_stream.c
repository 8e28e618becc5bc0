/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cat, and cp from standard input or to standard output: bytes that pass through, of any length, in one
 * buffer.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/write.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (1u << 20)
#define TICK_MS 100 /* between two looks at what SIGINT said */

struct stream {
	struct cli *c;
	char *buf;
	struct sluice_error e;
	int64_t from; /* negative: from the end */
	uint64_t most;
	struct progress progress;
	struct sluice_progress done;
};

static int fail_output(struct stream *t, int r)
{
	snprintf(t->e.message, sizeof t->e.message, "cannot write the output: %s", strerror(-r));
	return r;
}

static int write_all(struct stream *t, const char *p, size_t n)
{
	int r = slu_write_all(STDOUT_FILENO, p, n);

	return r < 0 ? fail_output(t, r) : 0;
}

static int tick(struct stream *t, size_t n)
{
	t->done.bytes += n;
	if (!progress_show(&t->progress, &t->done))
		return 0;
	snprintf(t->e.message, sizeof t->e.message, "canceled after %llu bytes",
		 (unsigned long long)t->done.bytes);
	return -ECANCELED;
}

/* The part of one file that is asked for. */
static int print_file(void *user, const char *path, struct sluice_file *f, uint64_t size)
{
	struct stream *t = user;
	uint64_t back = t->from < 0 ? -(uint64_t)t->from : 0;
	uint64_t off = t->from >= 0 ? (uint64_t)t->from : size > back ? size - back : 0;
	uint64_t left = off < size ? size - off : 0;
	int r = 0;

	(void)path;
	if (left > t->most)
		left = t->most;
	t->done.bytes_total += left;
	t->done.files_total++;
	while (r == 0 && left > 0) {
		size_t got = 0;

		r = sluice_file_pread(f, t->buf, left < CHUNK ? (size_t)left : CHUNK, off, &got,
				      &t->e);
		if (r == 0)
			r = write_all(t, t->buf, got);
		if (r == 0)
			r = tick(t, got);
		off += got;
		left -= got;
	}
	t->done.files += r == 0;
	return r;
}

static int out(struct stream *t, const char *ref)
{
	int r = sluice_file_each(t->c->s, ref, print_file, t, &t->e);

	if (r == -EPIPE) /* the reader has seen enough */
		return 0;
	progress_clear(&t->progress);
	return r < 0 ? cli_fail(t->c, r, &t->e) : 0;
}

/* "100", "64K", "-1M" */
static bool signed_size(const char *text, int64_t *ret)
{
	uint64_t n;

	if (!slu_size(text + (*text == '-'), &n) || n > INT64_MAX)
		return false;
	*ret = *text == '-' ? -(int64_t)n : (int64_t)n;
	return true;
}

int cmd_cat(struct cli *c)
{
	SLU_AUTO(slu_freep) char *buf = slu_malloc(CHUNK);
	struct stream t = {.c = c, .buf = buf, .most = UINT64_MAX};
	const char *offset = cli_get(c, "offset"), *length = cli_get(c, "length");

	if (offset && !signed_size(offset, &t.from))
		return cli_usage(c, "--offset wants bytes such as 100, 64K or -1M, not '%s'",
				 offset);
	if (length && !slu_size(length, &t.most))
		return cli_usage(c, "--length wants bytes such as 100 or 64K, not '%s'", length);
	int status = buf ? cli_open(c, SLUICE_OPTIONAL) : sluice_exit_code(-ENOMEM);

	for (int i = 0; status == 0 && i < c->nargs; i++)
		status = out(&t, c->args[i]);
	return status;
}

/* What has come on standard input; 0 at its end. */
static int read_some(struct stream *t, size_t *ret_got)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	int r = tick(t, 0);

	*ret_got = 0;
	while (r == 0 && *ret_got < CHUNK) {
		if (poll(&in, 1, TICK_MS) <= 0) {
			r = tick(t, 0);
			continue;
		}
		ssize_t k = read(STDIN_FILENO, t->buf + *ret_got, CHUNK - *ret_got);

		if (k < 0 && errno != EINTR && errno != EAGAIN) {
			r = -errno;
			snprintf(t->e.message, sizeof t->e.message,
				 "cannot read standard input: %s", strerror(errno));
		}
		if (k == 0)
			break;
		if (k > 0)
			*ret_got += (size_t)k;
	}
	return r;
}

static int in(struct stream *t, struct sluice_writer *w)
{
	size_t got = CHUNK;
	int r = 0;

	while (r == 0 && got == CHUNK) {
		r = read_some(t, &got);
		if (r == 0 && got)
			r = sluice_writer_write(w, t->buf, got, &t->e);
		if (r == 0)
			r = tick(t, got);
	}
	return r == 0 ? sluice_writer_commit(w, &t->e) : r;
}

static int from_input(struct stream *t, const char *dst)
{
	unsigned flags = (cli_has(t->c, "overwrite") ? SLUICE_OVERWRITE : 0) |
			 (cli_has(t->c, "no-sync") ? SLUICE_NO_SYNC : 0);
	struct sluice_writer *w = NULL;
	int r = sluice_writer_open(t->c->s, dst, flags, &w, &t->e);

	if (r == 0) {
		progress_begin(&t->progress, t->c, "copy");
		r = in(t, w);
		progress_end(&t->progress);
	}
	sluice_writer_free(w); /* SIGINT leaves nothing: only a commit makes it appear */
	return r < 0 ? cli_fail(t->c, r, &t->e) : 0;
}

bool cmd_cp_streams(const struct cli *c)
{
	for (int i = 0; i < c->nargs; i++)
		if (slu_streq(c->args[i], "-"))
			return true;
	return false;
}

int cmd_cp_stream(struct cli *c)
{
	static const char *const not_here[] = {
		"recursive", "dry-run", "content-type", "tier", "metadata",  "tag", "include",
		"exclude",   "update",  "no-clobber",   "jobs", "check-md5", NULL};
	SLU_AUTO(slu_freep) char *buf = slu_malloc(CHUNK);
	struct stream t = {.c = c, .buf = buf, .most = UINT64_MAX};

	if (c->nargs != 2 || (slu_streq(c->args[0], "-") && slu_streq(c->args[1], "-")))
		return cli_usage(c, "'-' is copied to one file, or one file to '-'");
	for (size_t i = 0; not_here[i]; i++)
		if (cli_has(c, not_here[i]))
			return cli_usage(c, "--%s does not go with '-'", not_here[i]);
	int status = buf ? cli_open(c, SLUICE_OPTIONAL) : sluice_exit_code(-ENOMEM);

	if (status)
		return status;
	if (slu_streq(c->args[0], "-"))
		return from_input(&t, c->args[1]);
	progress_begin(&t.progress, c, "copy");
	status = out(&t, c->args[0]);
	progress_end(&t.progress);
	return status;
}
