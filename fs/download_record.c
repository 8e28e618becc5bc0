/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing the record of a download.  What is in it is download_state.c's.
 */
#include "fs/download_record.h"

#include "common/buf.h"
#include "common/fault.h"
#include "common/str.h"
#include "common/write.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MAX (1ull << 32)
#define LAST "crc32c "
#define LAST_LEN (sizeof LAST - 1 + 8 + 1) /* with its newline */

/* The length of the manifest's text when the last line is right; 0: it is not. */
static size_t checked(const struct slu_buf *b)
{
	size_t n = b->len > LAST_LEN ? b->len - LAST_LEN : 0;
	char last[LAST_LEN + 1];

	if (!n)
		return 0;
	snprintf(last, sizeof last, LAST "%08x\n", slu_crc32c(0, b->p, n));
	return memcmp(b->p + n, last, LAST_LEN) == 0 ? n : 0;
}

int slu_dlrecord_read(int dirfd, const char *what, struct slu_manifest **ret, struct slu_err *e)
{
	SLU_AUTO(slu_closep)
	int fd = SLU_IO(
		openat(dirfd, SLU_DL_RECORD, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(MAX);
	int r;

	if (fd < 0 && errno == ENOENT)
		return slu_fail(e, ENOENT, "there is no '%s/" SLU_DL_RECORD "'", what);
	r = fd < 0 ? -errno : slu_buf_read_fd(&b, fd);
	if (r == -ENOMEM)
		return slu_fail_oom(e);
	if (r == -EISDIR || r == -ELOOP)
		return slu_fail(e, -r,
				"'%s/" SLU_DL_RECORD
				"' is no file, and is where a complete download "
				"is noted: remove it, or rename it",
				what);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot read '%s/" SLU_DL_RECORD "'", what);

	size_t n = checked(&b);

	if (!n)
		return slu_fail(e, EBADMSG, "'%s/" SLU_DL_RECORD "' is damaged: download again",
				what);
	return slu_manifest_parse(b.p, n, SLU_DL_RECORD, ret, e);
}

int slu_dlrecord_write(int dirfd, const char *temp, int to, const struct slu_manifest *m, bool sync,
		       struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(MAX);
	int r = slu_manifest_write(m, &b);

	if (r == 0) {
		slu_buf_fmt(&b, LAST "%08x\n", slu_crc32c(0, b.p, b.len));
		r = slu_buf_err(&b);
	}
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot write '" SLU_DL_RECORD "'");

	SLU_AUTO(slu_closep)
	int fd = SLU_IO(
		openat(dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666));

	r = fd < 0 ? -errno : slu_write_all(fd, b.p, b.len);
	if (r == 0 && sync && SLU_IO(fsync(fd)))
		r = -errno;
	if (r == 0 && SLU_IO(renameat(dirfd, temp, to, SLU_DL_RECORD)))
		r = -errno;
	if (r == 0 && sync && SLU_IO(fsync(to)))
		r = -errno;
	return r ? slu_fail_sys(e, -r, "cannot write '" SLU_DL_RECORD "'") : 0;
}
