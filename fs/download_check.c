/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a download can know before it copies a byte: names that the file system refuses, a target
 * that is not empty, files in the place of folders, another download there, too little room.
 */
#include "fs/download.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "io/crypt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define ID_BYTES 8

void slu_download_part_name(size_t at, char out[24])
{
	snprintf(out, 24, "%zu", at);
}

/* mkdir -p that follows symlinks: the target's own path is the user's. */
static int open_target(struct slu_download *d, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *p = slu_strdup(d->target);

	if (!p)
		return slu_fail_oom(e);
	for (char *s = p + 1; *p;) {
		char c;

		s += strcspn(s, "/");
		c = *s;
		*s = '\0';
		if (mkdir(p, 0777) && errno != EEXIST)
			return slu_fail_sys(e, errno, "cannot make the folder '%s'", p);
		*s = c;
		if (!c)
			break;
		s++;
	}
	d->dirfd = open(d->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dirfd < 0 && errno == ENOTDIR)
		return slu_fail(e, ENOTDIR, "the target '%s' is not a folder", d->target);
	if (d->dirfd < 0)
		return slu_fail_sys(e, errno, "cannot open the target '%s'", d->target);
	return 0;
}

static int check_name(const struct slu_download *d, const char *path, size_t name_max,
		      struct slu_err *e)
{
	size_t whole = strlen(d->target) + 1 + strlen(path);

	if (whole >= PATH_MAX)
		return slu_fail(e, ENAMETOOLONG,
				"in '%.200s' a path of %zu bytes would be needed, more than the %d "
				"that programs can open: choose a shorter target, or rename '%s'",
				d->target, whole, PATH_MAX - 1, path);
	for (const char *s = path; *s; s += *s == '/') {
		size_t n = strcspn(s, "/");

		if (n > name_max)
			return slu_fail(e, ENAMETOOLONG,
					"'%s' has a part of %zu bytes, more than the %zu that '%s' "
					"can hold: use a mount or rename it",
					path, n, name_max, d->target);
		s += n;
	}
	/* Ours are the names that mean unfinished. */
	if (slu_starts(path, SLU_DL_PREFIX))
		return slu_fail(e, EINVAL,
				"'%s' begins with " SLU_DL_PREFIX
				", which marks unfinished downloads: rename it",
				path);
	return 0;
}

static int check_names(const struct slu_download *d, struct slu_err *e)
{
	const struct slu_manifest *m = d->t->manifest;
	struct statvfs s;
	int r = 0;

	if (fstatvfs(d->dirfd, &s))
		return slu_fail_sys(e, errno, "cannot look at the file system of '%s'", d->target);
	for (size_t i = 0; i < slu_manifest_count(m) && !r; i++)
		r = check_name(d, slu_manifest_at(m, i)->path, s.f_namemax ? s.f_namemax : 255, e);
	return r;
}

/* A folder of parts: taken away when its download is dead. */
static int clear_part(const struct slu_download *d, const char *name, struct slu_err *e)
{
	SLU_AUTO(slu_closep)
	int fd = openat(d->dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
		return slu_fail(e, EBUSY, "another download is writing to '%s': wait for its end",
				d->target);
	r = slu_path_rmtree(d->dirfd, name);
	return r ? slu_fail_sys(e, -r,
				"cannot remove '%s/%s', left over from an unfinished "
				"download",
				d->target, name)
		 : 0;
}

/* Looks at what is in the target: leftovers go, anything else counts unless it may be replaced. */
static int check_content(const struct slu_download *d, struct slu_err *e)
{
	int fd = openat(d->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	SLU_AUTO(slu_closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;

	if (!dir) {
		slu_closep(&fd);
		return slu_fail_sys(e, errno, "cannot read the target '%s'", d->target);
	}
	while (!r && (de = readdir(dir))) {
		if (slu_streq(de->d_name, ".") || slu_streq(de->d_name, ".."))
			continue;
		if (slu_starts(de->d_name, SLU_DL_PREFIX))
			r = clear_part(d, de->d_name, e);
		else if (!d->o->overwrite)
			r = slu_fail(
				e, ENOTEMPTY,
				"the target '%s' is not empty (it holds '%s'): choose an empty "
				"folder, or give --overwrite",
				d->target, de->d_name);
	}
	return r;
}

/* With overwrite: can this file's name be had?  *ret_bytes: what replacing it gives back. */
static int check_place(const struct slu_download *d, const char *path, uint64_t *ret_bytes,
		       struct slu_err *e)
{
	const char *name;
	struct stat st;
	int dir = slu_path_parent(d->dirfd, path, false, SLU_LINKS_NONE, &name);
	int r;

	*ret_bytes = 0;
	if (dir == -ENOENT)
		return 0;
	if (dir == -ELOOP || dir == -ENOTDIR)
		return slu_fail(e, -dir,
				"'%s' needs a folder in '%s' where a file or a symbolic link is: "
				"remove that",
				path, d->target);
	if (dir < 0)
		return slu_fail_sys(e, -dir, "cannot open the folder of '%s' in '%s'", path,
				    d->target);
	r = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
	close(dir);
	if (r == -ENOENT)
		return 0;
	if (r)
		return slu_fail_sys(e, -r, "cannot look at '%s' in '%s'", path, d->target);
	if (S_ISDIR(st.st_mode))
		return slu_fail(e, EISDIR,
				"'%s' is a folder in '%s': remove it, or choose another "
				"target",
				path, d->target);
	*ret_bytes = (uint64_t)st.st_blocks * 512;
	return 0;
}

static int check_places(const struct slu_download *d, uint64_t *ret_bytes, struct slu_err *e)
{
	const struct slu_manifest *m = d->t->manifest;
	uint64_t bytes = 0, one;
	int r = 0;

	for (size_t i = 0; d->o->overwrite && i < slu_manifest_count(m) && !r; i++) {
		r = check_place(d, slu_manifest_at(m, i)->path, &one, e);
		bytes += one;
	}
	*ret_bytes = bytes;
	return r;
}

/* back: what the files that are replaced give back, little by little. */
static int check_room(const struct slu_download *d, uint64_t back, struct slu_err *e)
{
	uint64_t need = slu_manifest_bytes(d->t->manifest), room;
	size_t files = slu_manifest_count(d->t->manifest);
	struct statvfs s;

	if (fstatvfs(d->dirfd, &s))
		return slu_fail_sys(e, errno, "cannot look at the file system of '%s'", d->target);
	room = (uint64_t)s.f_bavail * s.f_frsize + back;
	if (need > room)
		return slu_fail(e, ENOSPC,
				"'%s' has room for %llu bytes, and the dataset has %llu: "
				"free some space, choose another target, or use a mount",
				d->target, (unsigned long long)room, (unsigned long long)need);
	if (s.f_files && files > s.f_favail && !back)
		return slu_fail(e, ENOSPC,
				"'%s' has room for %llu files, and the dataset has %zu: "
				"choose another target, or use a mount",
				d->target, (unsigned long long)s.f_favail, files);
	return 0;
}

static int make_part(struct slu_download *d, struct slu_err *e)
{
	char id[2 * ID_BYTES + 1];
	int r = slu_random_id(id, ID_BYTES);

	if (r)
		return slu_fail_sys(e, -r, "cannot make a random name");
	snprintf(d->part, sizeof d->part, SLU_DL_PREFIX "%s", id);
	if (mkdirat(d->dirfd, d->part, 0700))
		return slu_fail_sys(e, errno, "cannot make '%s/%s'", d->target, d->part);
	d->partfd = openat(d->dirfd, d->part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (d->partfd < 0 || flock(d->partfd, LOCK_EX | LOCK_NB)) {
		r = errno;
		(void)unlinkat(d->dirfd, d->part, AT_REMOVEDIR);
		return slu_fail_sys(e, r, "cannot lock '%s/%s'", d->target, d->part);
	}
	return 0;
}

int slu_download_check(struct slu_download *d, struct slu_err *e)
{
	uint64_t back;
	int r = open_target(d, e);

	if (!r)
		r = check_names(d, e);
	if (!r)
		r = check_content(d, e);
	if (!r)
		r = check_places(d, &back, e);
	if (!r)
		r = check_room(d, back, e);
	return r ? r : make_part(d, e);
}
