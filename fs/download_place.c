/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in the target already: at the places of the files, and besides.  Nothing here follows a
 * symbolic link beneath the target, or changes anything but for SLU_POLICY_REPLACE.
 */
#include "fs/download.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "fs/download_record.h"
#include "fs/verify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#define NSEC 1000000000LL

/* File systems keep times to 100 ns, 1 us, 1 s or 2 s as well. */
bool slu_download_same(const struct stat *st, const struct slu_file *f)
{
	static const int64_t ticks[] = {1, 100, 1000, NSEC, 2 * NSEC};
	int64_t t = (int64_t)st->st_mtim.tv_sec * NSEC + st->st_mtim.tv_nsec;

	if (!S_ISREG(st->st_mode) || (uint64_t)st->st_size != f->size)
		return false;
	for (size_t i = 0; i < sizeof ticks / sizeof ticks[0]; i++) {
		int64_t rest = f->mtime_ns % ticks[i];

		if (t == f->mtime_ns - (rest < 0 ? rest + ticks[i] : rest))
			return true;
	}
	return false;
}

/* The folder of the last file that was looked at: they come sorted. */
struct folder {
	const char *path;
	size_t n;
	int fd; /* or -errno */
};

static void folder_close(struct folder *f)
{
	if (f->path && f->fd >= 0)
		close(f->fd);
	f->path = NULL;
}

static int folder_of(const struct slu_download *d, struct folder *f, const char *path)
{
	size_t n = (size_t)(slu_path_base(path) - path);
	const char *name;

	if (f->path && f->n == n && !memcmp(f->path, path, n))
		return f->fd;
	folder_close(f);
	f->path = path;
	f->n = n;
	f->fd = slu_path_parent(d->dirfd, path, false, SLU_LINKS_NONE, &name);
	return f->fd;
}

/* Something else is where file `at` has to be. */
static int taken(struct slu_download *d, size_t at, const struct stat *st, uint64_t *ret_back,
		 struct slu_err *e)
{
	const char *path = slu_download_file(d, at)->path;

	d->known[at] = (struct slu_dknown){.state = SLU_DS_FETCH};
	switch (d->o->policy) {
	case SLU_POLICY_APPEND:
		d->known[at].state = SLU_DS_KEPT;
		return 0;
	case SLU_POLICY_CONFLICT:
		return slu_fail(e, EEXIST,
				"'%s' is in '%s' already, and nothing is replaced by "
				"--policy=fail_on_file_conflict: remove it, or give --overwrite",
				path, d->target);
	case SLU_POLICY_FAIL:
		return slu_fail(e, ENOTEMPTY,
				"the target '%s' is not empty, and its '%s' is not what the "
				"dataset has now: choose an empty folder, or give --overwrite",
				d->target, path);
	case SLU_POLICY_MERGE:
		if (S_ISDIR(st->st_mode))
			return slu_fail(e, EISDIR,
					"'%s' is a folder in '%s': remove it, or choose another "
					"target",
					path, d->target);
		break;
	case SLU_POLICY_REPLACE: /* it goes with all else */
		return 0;
	}
	d->known[at].taken = true;
	*ret_back += (uint64_t)st->st_blocks * 512;
	return 0;
}

/* Nothing is at the place of a file. */
static void vacant(struct slu_download *d, size_t at, const struct slu_dknown *k)
{
	d->known[at].state = k->state == SLU_DS_FETCH || !d->old_n ? SLU_DS_FETCH : SLU_DS_PART;
}

static int no_folder(struct slu_download *d, size_t at, int r, struct slu_err *e)
{
	const char *path = slu_download_file(d, at)->path;

	if (d->o->policy == SLU_POLICY_REPLACE && (r == -ELOOP || r == -ENOTDIR))
		return 0;
	if (r == -ELOOP || r == -ENOTDIR)
		return slu_fail(e, -r,
				"'%s' needs a folder in '%s' where a file or a symbolic link is: "
				"remove that",
				path, d->target);
	return slu_fail_sys(e, -r, "cannot open the folder of '%s' in '%s'", path, d->target);
}

static int place(struct slu_download *d, size_t at, struct folder *dir, uint64_t *ret_back,
		 struct slu_err *e)
{
	const struct slu_file *f = slu_download_file(d, at);
	struct slu_dknown k;
	struct stat st;
	int r = slu_download_recalled(d, at, &k, e), fd;

	if (r)
		return r;
	fd = folder_of(d, dir, f->path);
	if (fd < 0 && fd != -ENOENT) {
		vacant(d, at, &k);
		return no_folder(d, at, fd, e);
	}
	r = fd < 0 ? fd : 0;
	if (!r && fstatat(fd, slu_path_base(f->path), &st, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	if (r == -ENOENT) {
		vacant(d, at, &k);
		return 0;
	}
	if (r)
		return slu_fail_sys(e, -r, "cannot look at '%s' in '%s'", f->path, d->target);
	if (k.state != SLU_DS_THERE || !slu_download_same(&st, f))
		return taken(d, at, &st, ret_back, e);
	d->known[at] = k;
	return 0;
}

/* --- reading again what is there --- */

struct rehash {
	struct slu_download *d;
	uint64_t back;
	struct slu_err *e;
};

static bool is_there(void *user, size_t at)
{
	const struct slu_download *d = ((const struct rehash *)user)->d;

	return d->known[at].state == SLU_DS_THERE;
}

static bool sum_there(void *user, size_t at, char ret[SLU_ID_MAX])
{
	const struct slu_download *d = ((const struct rehash *)user)->d;

	if (d->known[at].has_crc)
		snprintf(ret, SLU_ID_MAX, SLU_DL_SUM "%08x", d->known[at].crc);
	else
		snprintf(ret, SLU_ID_MAX, "%s", slu_download_file(d, at)->sum);
	return true;
}

static int not_same(void *user, enum slu_verify_what what, size_t at, const char *path,
		    const char *why)
{
	struct rehash *h = user;
	struct stat st = {0};

	(void)what, (void)path;
	slu_warn("download", "'%s' in '%s' is not what was put there: %s", path, h->d->target, why);
	return taken(h->d, at, &st, &h->back, h->e);
}

/* Those that look right are read. */
static int rehash(struct slu_download *d, uint64_t *back, struct slu_err *e)
{
	struct rehash h = {.d = d, .e = e};
	const struct slu_verify_opts o = {
		.wanted = is_there, .sum = sum_there, .found = not_same, .user = &h};
	struct slu_verify_counts n;
	struct slu_err why = {0};
	int r = slu_verify(d->t->manifest, d->dirfd, d->target, &o, d->pool, &n, &why);

	*back += h.back;
	if (r && e && !e->code)
		*e = why;
	return r;
}

int slu_download_places(struct slu_download *d, uint64_t *ret_back, struct slu_err *e)
{
	struct folder dir = {0};
	uint64_t back = 0;
	int r = 0;

	/* Without memory of an earlier download, what is there is refused as a whole. */
	if (d->o->policy != SLU_POLICY_FAIL || d->record || d->old_n)
		for (size_t i = 0; i < slu_manifest_count(d->t->manifest) && !r; i++)
			r = place(d, i, &dir, &back, e);
	folder_close(&dir);
	if (!r && d->o->rehash)
		r = rehash(d, &back, e);
	*ret_back = back;
	return r;
}

/* --- what else is there --- */

/* A folder of parts of another make: taken away when its download is dead. */
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

static int others_in(struct slu_download *d, int dirfd, const char *path, struct slu_err *e);

/* Does the dataset have files below the folder `path`? */
static bool is_folder(const struct slu_download *d, const char *path)
{
	SLU_AUTO(slu_freep) char *below = slu_asprintf("%s/", path);
	size_t i = below ? slu_manifest_lower(d->t->manifest, below)
			 : slu_manifest_count(d->t->manifest);

	return i < slu_manifest_count(d->t->manifest) &&
	       slu_starts(slu_download_file(d, i)->path, below);
}

static int other(struct slu_download *d, int dirfd, const char *name, const char *path,
		 struct slu_err *e)
{
	size_t at = slu_manifest_find(d->t->manifest, path);
	int fd, r;

	if (at != SIZE_MAX && d->known[at].state == SLU_DS_THERE)
		return 0;
	if ((d->o->policy == SLU_POLICY_REPLACE || d->record || d->old_n) && is_folder(d, path)) {
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			return others_in(d, fd, path, e);
		if (errno != ENOTDIR && errno != ELOOP)
			return slu_fail_sys(e, errno, "cannot open '%s' in '%s'", path, d->target);
	}
	if (d->o->policy == SLU_POLICY_FAIL)
		return slu_fail(e, ENOTEMPTY,
				"the target '%s' is not empty (it holds '%s'): choose an empty "
				"folder, or give --overwrite",
				d->target, path);
	if (d->planning) {
		d->removals++;
		return 0;
	}
	r = slu_path_rmtree(dirfd, name);
	return r ? slu_fail_sys(e, -r, "cannot remove '%s' from '%s'", path, d->target) : 0;
}

/* Ours at the top, and no content.  1: it is not. */
static int is_ours(const struct slu_download *d, const char *name, struct slu_err *e)
{
	if (slu_streq(name, SLU_DL_PARTS) || (slu_streq(name, SLU_DL_RECORD) && !d->o->once))
		return 0;
	if (!slu_starts(name, SLU_DL_PREFIX))
		return 1;
	return d->planning ? 0 : clear_part(d, name, e);
}

/* fd is closed. */
static int others_in(struct slu_download *d, int fd, const char *path, struct slu_err *e)
{
	bool all = d->o->policy == SLU_POLICY_FAIL || d->o->policy == SLU_POLICY_REPLACE;
	SLU_AUTO(slu_closedirp) DIR *dir = fdopendir(fd);
	const struct dirent *de;
	int r = 0;

	if (!dir) {
		r = slu_fail_sys(e, errno, "cannot read '%s' in '%s'", path, d->target);
		close(fd);
		return r;
	}
	while (!r && (de = readdir(dir))) {
		if (slu_streq(de->d_name, ".") || slu_streq(de->d_name, ".."))
			continue;
		r = *path ? 1 : is_ours(d, de->d_name, e);
		if (r != 1)
			continue;
		SLU_AUTO(slu_freep) char *whole = slu_path_join(path, de->d_name);

		r = 0;
		if (!whole)
			r = slu_fail_oom(e);
		else if (all)
			r = other(d, fd, de->d_name, whole, e);
	}
	return r;
}

int slu_download_others(struct slu_download *d, struct slu_err *e)
{
	int fd = openat(d->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return slu_fail_sys(e, errno, "cannot read the target '%s'", d->target);
	return others_in(d, fd, "", e);
}
