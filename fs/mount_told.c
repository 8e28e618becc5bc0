/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program sees ESTALE, which does not say which file changed nor what to do: the mount's log does.
 * Who started the mount reads it there, in one form only, which is why both sides are here.
 */
#include "fs/mount_told.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SAYS "' is no longer what this mount shows ("
#define THEN "): "
#define REMEDY "; unmount, resolve the dataset again and mount it anew"

enum { LOG_MOST = 1 << 20 }; /* of the beginning; it is a line a file */

void slu_mtold_changed(const char *path, const char *id, const char *why)
{
	/* An error: the program that reads it fails, so no level leaves it out. */
	slu_log(SLU_LOG_ERROR, "mount", "'%s" SAYS "%s" THEN "%s" REMEDY, path, id, why);
}

static void read_beginning(struct slu_buf *b, int fd)
{
	char piece[4096];
	ssize_t n;

	while (b->len < LOG_MOST) {
		n = pread(fd, piece, sizeof piece, (off_t)b->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		slu_buf_add(b, piece, (size_t)n);
	}
}

char *slu_mtold_find(int fd)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(LOG_MOST + 4096);
	char *p, *why, *end;

	read_beginning(&b, fd);
	if (!b.len || slu_buf_err(&b))
		return NULL;
	p = strstr(b.p, SAYS);
	if (!p)
		return NULL;
	p[strcspn(p, "\n")] = '\0';
	why = strstr(p, THEN);
	if (!why)
		return NULL;
	why += sizeof(THEN) - 1;
	end = strstr(why, REMEDY); /* not there when the line was cut */
	return slu_strndup(why, end ? (size_t)(end - why) : strlen(why));
}
