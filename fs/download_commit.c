/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making copied files visible.  A batch is synced once, by syncfs, before its first rename, so that
 * not even a power cut shows a name without its bytes; then the folders are synced.  Nothing here
 * follows a symbolic link beneath the target.
 */
#include "fs/download.h"

#include "common/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FSYNC_DIRS 8 /* folders of a batch that are synced one by one */

/* The folder of a path, made when absent. */
static int open_dir(const struct slu_download *d, const char *path, const char **ret_name,
		    struct slu_err *e)
{
	int fd = slu_path_parent(d->dirfd, path, true, SLU_LINKS_NONE, ret_name);

	if (fd == -ELOOP)
		return slu_fail(e, ELOOP,
				"'%s': there is a symbolic link on the way in '%s', which "
				"is never followed: remove it",
				path, d->target);
	return fd < 0 ? slu_fail_sys(e, -fd, "cannot make the folder of '%s' in '%s'", path,
				     d->target)
		      : fd;
}

static bool same_dir(const char *a, size_t an, const char *b, size_t bn)
{
	return an == bn && !strncmp(a, b, an);
}

/* Something is there that was not when the target was looked at. */
static int appeared(struct slu_download *d, const struct slu_dfile *f, const char *part,
		    struct slu_err *e)
{
	const char *path = slu_manifest_at(d->t->manifest, f->at)->path;

	if (d->o->policy == SLU_POLICY_MERGE || d->o->policy == SLU_POLICY_REPLACE)
		return slu_fail(e, EEXIST,
				"'%s' is in '%s' by now, made by somebody else or for a file whose "
				"name differs by case only: see what it is, and repeat the command",
				path, d->target);
	if (d->o->policy != SLU_POLICY_APPEND)
		return slu_fail(e, EEXIST,
				"'%s' is in '%s' by now, made by somebody else or for a file whose "
				"name differs by case only, and nothing is replaced: remove it, or "
				"give --overwrite",
				path, d->target);
	(void)unlinkat(d->partfd, part, 0);
	pthread_mutex_lock(&d->lock);
	d->known[f->at].state = SLU_DS_KEPT;
	d->totals.kept++;
	d->totals.files--; /* the batch is counted as a whole */
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static int put(struct slu_download *d, const struct slu_dfile *f, int fd, const char *name,
	       struct slu_err *e)
{
	/* Only what was seen there before anything was copied is replaced. */
	bool any = d->known[f->at].taken;
	char part[SLU_DL_PART_NAME];
	int r;

	slu_download_part_name(f->key, part);
	r = any ? renameat(d->partfd, part, fd, name)
		: renameat2(d->partfd, part, fd, name, RENAME_NOREPLACE);
	if (r && !any && errno == EEXIST)
		return appeared(d, f, part, e);
	if (r && !any && (errno == EINVAL || errno == ENOSYS)) /* the file system cannot tell */
		r = renameat(d->partfd, part, fd, name);
	if (r)
		return slu_fail_sys(e, errno, "cannot put '%s' in its place in '%s'",
				    slu_manifest_at(d->t->manifest, f->at)->path, d->target);
	d->known[f->at].state = SLU_DS_THERE;
	return 0;
}

/* Renames the batch; *ret_dirs counts the folders it touched. */
static int rename_all(struct slu_download *d, const struct slu_dfile *batch, size_t *ret_dirs,
		      struct slu_err *e)
{
	const char *dir = NULL, *name;
	size_t dir_n = 0, dirs = 0;
	int fd = -1, r = 0;

	for (const struct slu_dfile *f = batch; f && !r; f = f->next) {
		const char *path = slu_manifest_at(d->t->manifest, f->at)->path;
		size_t n;

		name = slu_path_base(path);
		n = (size_t)(name - path);
		if (!dir || !same_dir(dir, dir_n, path, n)) {
			slu_closep(&fd);
			fd = open_dir(d, path, &name, e);
			if (fd < 0)
				return fd;
			dir = path;
			dir_n = n;
			dirs++;
		}
		r = put(d, f, fd, name, e);
	}
	slu_closep(&fd);
	*ret_dirs = dirs;
	return r;
}

static int sync_dirs(const struct slu_download *d, const struct slu_dfile *batch, size_t dirs,
		     struct slu_err *e)
{
	const char *dir = NULL, *name;
	size_t dir_n = 0;

	if (dirs > FSYNC_DIRS)
		return syncfs(d->dirfd) ? slu_fail_sys(e, errno, "cannot sync '%s'", d->target) : 0;
	for (const struct slu_dfile *f = batch; f; f = f->next) {
		const char *path = slu_manifest_at(d->t->manifest, f->at)->path;
		size_t n = (size_t)(slu_path_base(path) - path);

		if (dir && same_dir(dir, dir_n, path, n))
			continue;
		SLU_AUTO(slu_closep) int fd = open_dir(d, path, &name, e);

		if (fd < 0)
			return fd;
		if (fsync(fd))
			return slu_fail_sys(e, errno, "cannot sync the folder of '%s' in '%s'",
					    path, d->target);
		dir = path;
		dir_n = n;
	}
	return 0;
}

int slu_download_commit(struct slu_download *d, struct slu_dfile *batch, struct slu_err *e)
{
	size_t dirs = 0;
	int r = 0;

	/* What has its name is ours: the next download must know it, so the journal comes first. */
	if (batch && d->journal)
		r = slu_dj_flush(d->journal, e);
	if (!r && batch && !d->o->nosync && syncfs(d->dirfd))
		r = slu_fail_sys(e, errno, "cannot sync '%s'", d->target);
	if (!r)
		r = rename_all(d, batch, &dirs, e);
	if (!r && !d->o->nosync)
		r = sync_dirs(d, batch, dirs, e);
	while (batch) {
		struct slu_dfile *f = batch;

		batch = f->next;
		slu_dfile_free(f);
	}
	return r;
}
