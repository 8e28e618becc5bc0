/* SPDX-License-Identifier: Apache-2.0 */
/* A folder, file by file: what is staged for a cluster is small (a code snapshot has at most 2,000 files). */
#include "job/upload.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "fs/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { CHUNK = 1 << 20, DEPTH_MAX = 64 };

static int send_fd(int fd, struct slu_store *store, const char *to, struct slu_err *e)
{
	SLU_AUTO(slu_writer_freep) struct slu_writer *w = NULL;
	SLU_AUTO(slu_freep) char *chunk = slu_malloc(CHUNK);
	int r = chunk ? slu_writer_new(store, to, 0, NULL, &w, e) : slu_fail_oom(e);

	while (r == 0) {
		ssize_t n = read(fd, chunk, CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return slu_fail_sys(e, errno, "cannot read what is staged as '%s'", to);
		if (n == 0)
			return slu_writer_commit(w, NULL, e);
		r = slu_writer_write(w, chunk, (size_t)n, e);
	}
	return r;
}

int slu_upload_file(const char *path, struct slu_store *store, const char *to, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? slu_fail_sys(e, errno, "cannot read '%s'", path)
		      : send_fd(fd, store, to, e);
}

static int send_dir(int dirfd, struct slu_store *store, const char *to, int depth,
		    struct slu_err *e);

static int send_entry(int dirfd, const char *name, struct slu_store *store, const char *to,
		      int depth, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_path_join(to, name);
	SLU_AUTO(slu_closep) int fd = -1;
	struct stat st;

	if (!path)
		return slu_fail_oom(e);
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && (errno == ELOOP || errno == ENXIO))
		return 0; /* a link or socket */
	if (fd < 0 || fstat(fd, &st) < 0)
		return slu_fail_sys(e, errno, "cannot read '%s' of the code", name);
	if (S_ISDIR(st.st_mode))
		return send_dir(slu_take_fd(fd), store, path, depth + 1, e);
	return S_ISREG(st.st_mode) ? send_fd(fd, store, path, e) : 0;
}

/* dirfd: taken. */
static int send_dir(int dirfd, struct slu_store *store, const char *to, int depth,
		    struct slu_err *e)
{
	SLU_AUTO(slu_closedirp) DIR *dir = depth < DEPTH_MAX ? fdopendir(dirfd) : NULL;
	int r = 0;

	if (!dir) {
		r = depth < DEPTH_MAX ? errno : ELOOP;
		close(dirfd);
		return slu_fail_sys(e, r, "cannot send the folder '%s'", to);
	}
	for (struct dirent *d; r == 0 && (d = readdir(dir));)
		if (!slu_streq(d->d_name, ".") && !slu_streq(d->d_name, ".."))
			r = send_entry(dirfd, d->d_name, store, to, depth, e);
	return r;
}

int slu_upload_tree(const char *folder, struct slu_store *store, const char *to, struct slu_err *e)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? slu_fail_sys(e, errno, "cannot read '%s'", folder)
		      : send_dir(fd, store, to, 0, e);
}
