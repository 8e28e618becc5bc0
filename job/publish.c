/* SPDX-License-Identifier: Apache-2.0 */
/* Logs of a run to a store that is no local folder, at the end of the run. */
#include "job/run.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "fs/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { CHUNK = 256 << 10, DEPTH_MAX = 16 };

static int put_file(int fd, struct slu_store *store, const char *to, struct slu_err *e)
{
	SLU_AUTO(slu_writer_freep) struct slu_writer *w = NULL;
	SLU_AUTO(slu_freep) char *chunk = slu_malloc(CHUNK);
	size_t done = 0;
	int rc = chunk ? slu_writer_new(store, to, 0, NULL, &w, e) : slu_fail_oom(e);

	while (rc == 0 && done < SLU_RUN_LOG_MAX) {
		ssize_t n = read(fd, chunk, CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return slu_fail_sys(e, errno, "cannot read the log for '%s'", to);
		if (n == 0)
			break;
		rc = slu_writer_write(w, chunk, (size_t)n, e);
		done += (size_t)n;
	}
	return rc < 0 ? rc : slu_writer_commit(w, NULL, e);
}

static int put_dir(int dirfd, const char *name, struct slu_store *store, const char *to, int depth,
		   struct slu_err *e);

static int put_entry(int dirfd, const char *name, struct slu_store *store, const char *to,
		     int depth, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_path_join(to, name);
	struct stat st;

	if (!path)
		return slu_fail_oom(e);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISDIR(st.st_mode))
		return put_dir(dirfd, name, store, path, depth + 1, e);
	if (!S_ISREG(st.st_mode))
		return 0;
	SLU_AUTO(slu_closep) int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? 0 : put_file(fd, store, path, e);
}

static int put_dir(int dirfd, const char *name, struct slu_store *store, const char *to, int depth,
		   struct slu_err *e)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	SLU_AUTO(slu_closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;
	int rc = 0;

	if (!d) {
		rc = errno == ENOENT ? 0 : slu_fail_sys(e, errno, "cannot list '%s'", name);
		slu_closep(&fd);
		return rc;
	}
	while (rc == 0 && depth < DEPTH_MAX && (ent = readdir(d)))
		if (!slu_streq(ent->d_name, ".") && !slu_streq(ent->d_name, ".."))
			rc = put_entry(fd, ent->d_name, store, to, depth, e);
	return rc;
}

int slu_run_upload(struct slu_run *r, const char *folder, struct slu_store *store, const char *to,
		   struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_path_join(to, folder);

	return path ? put_dir(r->fd, folder, store, path, 0, e) : slu_fail_oom(e);
}

int slu_run_publish(struct slu_run *r, struct slu_err *e)
{
	static const char *const folders[] = {"logs", "user_logs", "system_logs"};
	int rc = 0;

	for (size_t i = 0; r->store && i < sizeof folders / sizeof *folders && rc == 0; i++)
		rc = slu_run_upload(r, folders[i], r->store, r->store_dir, e);
	return rc;
}
