/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a download can know before it copies a byte: names that the file system refuses, a target
 * that is not empty (download_place.c), another download there, too little room.
 */
#include "fs/download.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "fs/download_record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/quota.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

static int no_writing(int err, const char *where, struct slu_err *e)
{
	if (err == EROFS)
		return slu_fail(
			e, err,
			"'%s' is on a file system that is mounted read-only: choose another "
			"target, or have it mounted read-write",
			where);
	return slu_fail(e, err,
			"this user may not make files in '%s': choose another target, or ask its "
			"owner for write permission",
			where);
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
			return errno == EROFS || errno == EACCES
				       ? no_writing(errno, d->target, e)
				       : slu_fail_sys(e, errno, "cannot make the folder '%s'", p);
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

int slu_download_writable(const struct slu_download *d, struct slu_err *e)
{
	if (!faccessat(d->dirfd, ".", W_OK | X_OK, AT_EACCESS))
		return 0;
	if (errno == EROFS || errno == EACCES)
		return no_writing(errno, d->target, e);
	return slu_fail_sys(e, errno, "cannot look at the target '%s'", d->target);
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
	/* Ours are the names that mean unfinished, and complete. */
	if (slu_starts(path, SLU_DL_PREFIX) || slu_streq(path, SLU_DL_RECORD))
		return slu_fail(e, EINVAL,
				"'%s' has a name that marks downloads, unfinished or complete: "
				"rename it",
				path);
	return 0;
}

int slu_download_names(const struct slu_download *d, struct slu_err *e)
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

/* What the journal's parts hold already. */
static uint64_t part_bytes(const struct slu_download *d)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < d->old_n; i++)
		if (d->old[i].kind == SLU_DJ_CHUNK)
			bytes += d->old[i].unit;
	return bytes;
}

/* The room that the user's quota leaves, where the kernel tells; less than *room. */
static void quota(const struct slu_download *d, uint64_t *room, uint64_t *files)
{
#ifdef SYS_quotactl_fd
	struct if_dqblk q = {0};

	if (syscall(SYS_quotactl_fd, d->dirfd, QCMD((unsigned)Q_GETQUOTA, USRQUOTA), (int)geteuid(),
		    &q))
		return;
	if (q.dqb_valid & QIF_BLIMITS && q.dqb_bhardlimit) {
		uint64_t limit = q.dqb_bhardlimit * 1024;
		uint64_t left = limit > q.dqb_curspace ? limit - q.dqb_curspace : 0;

		if (left < *room)
			*room = left;
	}
	if (q.dqb_valid & QIF_ILIMITS && q.dqb_ihardlimit) {
		uint64_t left =
			q.dqb_ihardlimit > q.dqb_curinodes ? q.dqb_ihardlimit - q.dqb_curinodes : 0;

		if (left < *files)
			*files = left;
	}
#else
	(void)d, (void)room, (void)files;
#endif
}

/* back: what the files that are replaced give back, little by little. */
int slu_download_room(const struct slu_download *d, uint64_t back, struct slu_err *e)
{
	uint64_t need = d->todo_bytes, have = back + part_bytes(d), room, files;
	struct statvfs s;

	if (fstatvfs(d->dirfd, &s))
		return slu_fail_sys(e, errno, "cannot look at the file system of '%s'", d->target);
	room = (uint64_t)s.f_bavail * s.f_frsize;
	files = s.f_files ? s.f_favail : UINT64_MAX;
	quota(d, &room, &files);
	room += have;
	if (need > room)
		return slu_fail(e, ENOSPC,
				"'%s' has room for %llu bytes, and the dataset has %llu: "
				"free some space, choose another target, or use a mount",
				d->target, (unsigned long long)room, (unsigned long long)need);
	if (d->todo > files && !have)
		return slu_fail(e, ENOSPC,
				"'%s' has room for %llu files, and the dataset has %zu: "
				"choose another target, or use a mount",
				d->target, (unsigned long long)files, d->todo);
	return 0;
}

/* Emptying one of these is a mistake, whatever was asked. */
int slu_download_may_empty(const struct slu_download *d, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *home = slu_path_home();
	struct stat a, b;

	if (d->o->policy != SLU_POLICY_REPLACE)
		return 0;
	if (fstat(d->dirfd, &a))
		return slu_fail_sys(e, errno, "cannot look at the target '%s'", d->target);
	for (int i = 0; i < 2; i++) {
		const char *never = i ? home : "/";

		if (never && *never && !stat(never, &b) && a.st_ino == b.st_ino &&
		    a.st_dev == b.st_dev)
			return slu_fail(e, EINVAL,
					"'%s' is not emptied for a download: choose a folder of "
					"its own",
					d->target);
	}
	return 0;
}

void slu_download_count(struct slu_download *d)
{
	for (size_t i = 0; i < slu_manifest_count(d->t->manifest); i++) {
		const struct slu_file *f = slu_download_file(d, i);
		bool there = d->known[i].state == SLU_DS_THERE;

		d->totals.there += there;
		d->totals.kept += d->known[i].state == SLU_DS_KEPT;
		if (there || d->known[i].state == SLU_DS_KEPT) {
			d->progress.files++;
			d->progress.bytes += f->size;
		} else {
			d->todo++;
			d->todo_bytes += f->size;
		}
	}
	d->progress.files_total = slu_manifest_count(d->t->manifest);
	d->progress.bytes_total = slu_manifest_bytes(d->t->manifest);
}

int slu_download_check(struct slu_download *d, struct slu_err *e)
{
	uint64_t back;
	int r = open_target(d, e);

	if (!r)
		r = slu_download_writable(d, e);
	if (!r)
		r = slu_download_names(d, e);
	if (!r)
		r = slu_download_may_empty(d, e);
	if (!r)
		r = slu_download_lock(d, e);
	if (!r && slu_download_folds(d))
		r = slu_download_fold(d->t->manifest, d->target, e);
	if (!r)
		r = slu_download_recall(d, e);
	if (!r)
		r = slu_download_places(d, &back, e);
	if (!r)
		r = slu_download_others(d, e);
	if (r)
		return r;
	slu_download_count(d);
	r = slu_download_room(d, back, e);
	return r ? r : slu_download_begin(d, e);
}
