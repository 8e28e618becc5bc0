/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a log that grows. */
#include "job/watch_log.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Bytes told at a time; a longer line is cut. */
enum { CHUNK = 32 << 10 };

void slu_watch_log_open(struct slu_watch_log *l, const struct slu_run *r, int notify)
{
	SLU_AUTO(slu_freep) char *folder = slu_asprintf("%s/user_logs", r->dir);
	const char *type = slu_run_get(r, "type");

	if (r->fd < 0)
		return;
	l->spark = type && slu_streq(type, "spark");
	l->dir = fcntl(r->fd, F_DUPFD_CLOEXEC, 0);
	if (notify >= 0 && folder)
		inotify_add_watch(notify, folder, IN_MODIFY);
}

/* "26/11/21 23:18:41 INFO ...", as Spark's own log settings have it: hundreds of lines a step, among which nobody finds
 * those of the program.  Warnings and errors are told. */
static bool is_chatter(const char *line, size_t n)
{
	static const char form[] = "00/00/00 00:00:00 ";
	static const char *const levels[] = {"INFO ", "DEBUG ", "TRACE "};
	const size_t len = sizeof(form) - 1;

	for (size_t i = 0; i < len; i++)
		if (i >= n ||
		    (form[i] == '0' ? line[i] < '0' || line[i] > '9' : line[i] != form[i]))
			return false;
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
		if (n - len >= strlen(levels[i]) &&
		    memcmp(line + len, levels[i], strlen(levels[i])) == 0)
			return true;
	return false;
}

/* What is left of the n bytes. */
static size_t leave_out(char *text, size_t n)
{
	size_t kept = 0;

	for (size_t at = 0, len; at < n; at += len) {
		const char *end = memchr(text + at, '\n', n - at);

		len = end ? (size_t)(end + 1 - (text + at)) : n - at;
		if (is_chatter(text + at, len))
			continue;
		memmove(text + kept, text + at, len);
		kept += len;
	}
	return kept;
}

/* The next bytes that may be told now; how many. */
static size_t next_bytes(struct slu_watch_log *l, bool ended, char text[CHUNK])
{
	ssize_t n;

	do
		n = pread(l->fd, text, CHUNK, (off_t)l->told);
	while (n < 0 && errno == EINTR);
	const char *end = n > 0 ? memrchr(text, '\n', (size_t)n) : NULL;

	if (end)
		n = end + 1 - text;
	else if (n < CHUNK && !ended)
		return 0;
	if (n <= 0)
		return 0;
	l->told += (uint64_t)n;
	return (size_t)n;
}

struct json_t *slu_watch_log_next(struct slu_watch_log *l, bool ended)
{
	char text[CHUNK + 1];
	size_t n, left = 0;

	if (l->fd < 0 && l->dir >= 0)
		l->fd = openat(l->dir, SLU_RUN_STDLOG, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (l->fd < 0)
		return NULL;
	while (!left && (n = next_bytes(l, ended, text)))
		left = l->spark ? leave_out(text, n) : n;
	if (!left)
		return NULL;
	for (size_t i = 0; i < left; i++)
		if (!text[i])
			text[i] = '?';
	text[left] = '\0';
	return slu_json_new_str(text);
}

void slu_watch_log_done(struct slu_watch_log *l)
{
	slu_closep(&l->dir);
	slu_closep(&l->fd);
}
