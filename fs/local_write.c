/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local driver's changes.  Data first goes to a file that no listing shows: PUT to one without
 * a name (O_TMPFILE) where the file system has that, so that a killed process leaves nothing at
 * all; blocks to `.sluice-<txn>` beside the target.  Then one link or rename makes it visible.
 * What a killed writer of blocks leaves behind is hidden, and swept by the next one (local_temp.c).
 */
#include "fs/local_parts.h"

#include "common/cleanup.h"
#include "common/fault.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/write.h"
#include "fs/local_temp.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define TEMP_MAX (sizeof(LOCAL_TEMP) + SLU_TXN_MAX)

/* A file being written in the folder `dir`. */
struct temp {
	int dir, fd;
	bool made;           /* dir, or one above it, is new */
	char name[TEMP_MAX]; /* "" = it has no name: nothing to remove */
};

#define TEMP_INIT ((struct temp){.dir = -1, .fd = -1})

static void temp_done(struct temp *t)
{
	if (t->name[0] && t->dir >= 0)
		unlinkat(t->dir, t->name, 0);
	slu_closep(&t->fd);
	slu_closep(&t->dir);
}

/* Opens the folder that holds path, made when `made` is given (and then it says whether). */
static int open_parent(const struct slu_local *l, const char *path, bool *made,
		       const char **ret_name)
{
	int fd = slu_path_parent(l->root_fd, path, false, SLU_LINKS_BENEATH, ret_name);

	if (fd != -ENOENT || !made)
		return fd;
	*made = true;
	return slu_path_parent(l->root_fd, path, true, SLU_LINKS_BENEATH, ret_name);
}

static int write_fail(const struct slu_local *l, struct slu_op *op, int code, const char *verb)
{
	if (code == EXDEV)
		return slu_fail(&op->err, EXDEV,
				"cannot %s '%s': its folder leads out of '%s' by a symbolic link",
				verb, op->path, l->root);
	return slu_local_fail(l, &op->err, code, verb, op->path);
}

static int temp_name(char out[TEMP_MAX])
{
	memcpy(out, LOCAL_TEMP, sizeof(LOCAL_TEMP));
	return slu_random_id(out + sizeof(LOCAL_TEMP) - 1, (SLU_TXN_MAX - 1) / 2);
}

static int temp_open(struct slu_local *l, struct temp *t, bool named)
{
	int r;

	if (!named && !atomic_load(&l->no_tmpfile)) {
		t->fd = SLU_IO(openat(t->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
		if (t->fd >= 0) {
			(void)flock(t->fd, LOCK_EX); /* it gets a hidden name for a moment */
			return 0;
		}
		if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT)
			return -errno;
		atomic_store(&l->no_tmpfile, true);
	}
	r = temp_name(t->name);
	if (r == 0) {
		t->fd = SLU_IO(openat(t->dir, t->name,
				      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
		r = t->fd < 0 ? -errno : 0;
		if (r == 0)
			(void)flock(t->fd, LOCK_EX);
	}
	if (r < 0)
		t->name[0] = '\0';
	return r;
}

/* Gives the nameless file a name.  -ENOTSUP: this cannot be done here. */
static int temp_link(const struct temp *t, const char *name)
{
	char self[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", t->fd);
	if (SLU_IO(linkat(AT_FDCWD, self, t->dir, name, AT_SYMLINK_FOLLOW)) == 0)
		return 0;
	if (errno == ENOENT || errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS ||
	    errno == EMLINK || errno == EXDEV)
		return -ENOTSUP;
	return -errno;
}

/* A rename that refuses to replace; by link and unlink where rename cannot. */
static int rename_absent(int from_dir, const char *from, int to_dir, const char *to)
{
	if (SLU_IO(renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE)) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -errno;
	if (SLU_IO(linkat(from_dir, from, to_dir, to, 0)) < 0)
		return errno == EPERM ? -ENOTSUP : -errno;
	(void)unlinkat(from_dir, from, 0);
	return 0;
}

/* Who replaces a file of the folder durably, and who deletes one in a certain state, come one after the other.  The kernel
 * gives the lock back when its holder dies; where there are no such locks there is none. */
static int folder_lock(int dir, int *ret)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
		close(fd);
		return -EAGAIN; /* for the layer that tries again */
	}
	*ret = fd;
	return 0;
}

/* The store promises no atomic PUT_MATCH: another writer may come between this and the rename. */
static int check_match(const struct slu_local *l, struct slu_op *op, int dir, const char *name)
{
	struct slu_attr a = {.id = ""};
	struct stat st;

	if (!op->if_match)
		return 0;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		slu_local_attr(&st, &a);
	else if (errno != ENOENT)
		return slu_local_fail(l, &op->err, errno, "look at", op->path);
	if (!slu_streq(a.id, op->if_match))
		return slu_fail(&op->err, ESTALE,
				"'%s' in '%s' has been changed by somebody else (was %s, now %s)",
				op->path, l->root, op->if_match, a.id[0] ? a.id : "gone");
	return 0;
}

/* A device, fifo or socket is no file that could be replaced: /dev/null has to stay what it is. */
static int check_replaced(const struct slu_local *l, struct slu_op *op, const struct temp *t,
			  const char *name)
{
	struct stat st;

	if (op->flags & SLU_OPF_ABSENT || fstatat(t->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode))
		return 0;
	return slu_fail(&op->err, EINVAL,
			"'%s' in '%s' is a device, fifo or socket, which is never replaced",
			op->path, l->root);
}

/* The written file becomes `name`.  -ENOTSUP: it cannot, the way it was written. */
static int publish(struct slu_op *op, struct temp *t, const char *name)
{
	int r = 0;

	if (!t->name[0] && (op->flags & SLU_OPF_ABSENT))
		return temp_link(t, name);
	if (!t->name[0]) {
		char tmp[TEMP_MAX];

		r = temp_name(tmp);
		if (r == 0)
			r = temp_link(t, tmp);
		if (r < 0)
			return r;
		memcpy(t->name, tmp, sizeof(tmp));
	}
	if (op->flags & SLU_OPF_ABSENT)
		r = rename_absent(t->dir, t->name, t->dir, name);
	else if (SLU_IO(renameat(t->dir, t->name, t->dir, name)) < 0)
		r = -errno;
	if (r == 0)
		t->name[0] = '\0';
	return r;
}

/* Some file systems know no fsync of a folder: there a rename is as durable as it gets. */
static int sync_dir(int fd)
{
	if (SLU_IO(fsync(fd)) == 0 || errno == EINVAL)
		return 0;
	return -errno;
}

/* fsync of the folder of path, and when some were made of all above it. */
static int sync_dirs(const struct slu_local *l, const struct slu_op *op, const struct temp *t)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	int r;

	if (!(op->flags & SLU_OPF_DURABLE))
		return 0;
	r = sync_dir(t->dir);
	if (r < 0)
		return r;
	path = t->made ? slu_path_dir(op->path) : NULL;
	if (t->made && !path)
		return -ENOMEM;
	while (path && *path) {
		char *up = slu_path_dir(path);

		if (!up)
			return -ENOMEM;
		free(path);
		path = up;

		SLU_AUTO(slu_closep)
		int fd = slu_path_open(l->root_fd, path, O_RDONLY | O_DIRECTORY, 0,
				       SLU_LINKS_BENEATH);

		r = fd < 0 ? fd : sync_dir(fd);
		if (r < 0)
			return r;
	}
	return 0;
}

static int publish_alone(struct slu_op *op, struct temp *t, const char *name)
{
	SLU_AUTO(slu_closep) int lock = -1;
	int r = 0;

	if ((op->flags & (SLU_OPF_DURABLE | SLU_OPF_ABSENT)) == SLU_OPF_DURABLE)
		r = folder_lock(t->dir, &lock);
	return r < 0 ? r : publish(op, t, name);
}

/* Durable if asked, then visible.  1: write it again, to a temporary file that has a name. */
static int finish(struct slu_local *l, struct slu_op *op, struct temp *t, const char *name)
{
	struct stat st;
	int r;

	if ((op->flags & SLU_OPF_DURABLE) && SLU_IO(fsync(t->fd)) < 0)
		return write_fail(l, op, errno, "write");
	r = check_match(l, op, t->dir, name);
	if (r < 0)
		return r;
	if (SLU_IO(fstat(t->fd, &st)) < 0)
		return write_fail(l, op, errno, "write");
	r = check_replaced(l, op, t, name);
	if (r < 0)
		return r;
	r = publish_alone(op, t, name);
	if (r == -ENOTSUP && !t->name[0])
		return 1;
	if (r == -ENOTSUP)
		return slu_fail(&op->err, ENOTSUP,
				"the file system of '%s' cannot create '%s' only when it is absent",
				l->root, op->path);
	if (r == -EEXIST)
		return slu_fail(&op->err, EEXIST, "'%s' exists already in '%s'", op->path, l->root);
	if (r < 0)
		return write_fail(l, op, -r, "write");
	slu_local_attr(&st, &op->attr);
	r = sync_dirs(l, op, t);
	return r < 0 ? write_fail(l, op, -r, "write") : 0;
}

static int put_as(struct slu_local *l, struct slu_op *op, bool named)
{
	SLU_AUTO(temp_done) struct temp t = TEMP_INIT;
	const char *name;
	int r;

	t.dir = open_parent(l, op->path, &t.made, &name);
	if (t.dir < 0)
		return write_fail(l, op, -t.dir, "write");
	r = temp_open(l, &t, named);
	if (r == 0)
		r = slu_pwrite_all(t.fd, op->data, op->len, 0);
	if (r < 0)
		return write_fail(l, op, -r, "write");
	return finish(l, op, &t, name);
}

int slu_local_put(struct slu_local *l, struct slu_op *op)
{
	int r = put_as(l, op, false);

	if (r <= 0)
		return r;
	atomic_store(&l->no_tmpfile, true);
	return put_as(l, op, true);
}

static void txn_name(const struct slu_op *op, char out[TEMP_MAX])
{
	snprintf(out, TEMP_MAX, "%s%s", LOCAL_TEMP, op->txn);
}

int slu_local_put_block(struct slu_local *l, struct slu_op *op)
{
	SLU_AUTO(slu_freep) char *where = slu_path_dir(op->path);
	SLU_AUTO(slu_closep) int dir = -1;
	char tmp[TEMP_MAX];
	const char *name;
	bool made = false;
	int r;

	if (!where)
		return slu_fail_oom(&op->err);
	txn_name(op, tmp);
	dir = open_parent(l, op->path, &made, &name);
	if (dir < 0)
		return write_fail(l, op, -dir, "write");
	r = slu_local_temps_get(l->temps, dir, where, tmp);
	if (r >= 0)
		r = slu_pwrite_all(r, op->data, op->len, op->off);
	return r < 0 ? write_fail(l, op, -r, "write") : 0;
}

int slu_local_commit(struct slu_local *l, struct slu_op *op)
{
	SLU_AUTO(slu_freep) char *where = slu_path_dir(op->path);
	SLU_AUTO(slu_closep) int dir = -1;
	struct temp t = TEMP_INIT;
	char tmp[TEMP_MAX];
	const char *name;
	struct stat st;

	if (!where)
		return slu_fail_oom(&op->err);
	txn_name(op, tmp);
	memcpy(t.name, tmp, sizeof(tmp));
	/* folders were made for the blocks: whether they are new is not known here any more */
	t.made = true;
	t.dir = dir = open_parent(l, op->path, NULL, &name);
	if (dir < 0)
		return write_fail(l, op, -dir, "commit");
	t.fd = slu_local_temps_find(l->temps, where, tmp);
	if (t.fd < 0)
		return slu_fail(&op->err, ENOENT, "cannot commit '%s' in '%s': its blocks are gone",
				op->path, l->root);
	if (SLU_IO(fstat(t.fd, &st)) < 0)
		return write_fail(l, op, errno, "commit");
	if ((uint64_t)st.st_size != op->size)
		return slu_fail(&op->err, EIO,
				"cannot commit '%s' in '%s': %lld of %llu bytes were written",
				op->path, l->root, (long long)st.st_size,
				(unsigned long long)op->size);
	int r = finish(l, op, &t, name);

	if (r == 0)
		slu_local_temps_drop(l->temps, where, tmp);
	return r;
}

int slu_local_abort(struct slu_local *l, struct slu_op *op)
{
	SLU_AUTO(slu_freep) char *where = slu_path_dir(op->path);
	SLU_AUTO(slu_closep) int dir = -1;
	char tmp[TEMP_MAX];
	const char *name;

	if (!where)
		return slu_fail_oom(&op->err);
	txn_name(op, tmp);
	dir = open_parent(l, op->path, NULL, &name);
	if (dir >= 0 && SLU_IO(unlinkat(dir, tmp, 0)) < 0 && errno != ENOENT)
		return write_fail(l, op, errno, "abort");
	slu_local_temps_drop(l->temps, where, tmp);
	return dir >= 0 || dir == -ENOENT ? 0 : write_fail(l, op, -dir, "abort");
}

int slu_local_delete(struct slu_local *l, struct slu_op *op)
{
	SLU_AUTO(slu_closep) int dir = -1, lock = -1;
	bool tree = op->flags & SLU_OPF_TREE;
	const char *name;
	int r = 0;

	dir = open_parent(l, op->path, NULL, &name);
	if (dir == -ENOENT && tree)
		return 0;
	if (dir < 0)
		return write_fail(l, op, -dir, "delete");
	if (op->if_match)
		r = folder_lock(dir, &lock);
	if (r == 0 && op->if_match) {
		r = check_match(l, op, dir, name);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return write_fail(l, op, -r, "delete");
	if (tree) {
		r = slu_path_rmtree(dir, name);
	} else {
		r = SLU_IO(unlinkat(dir, name, 0)) < 0 ? -errno : 0;
		if (r == -EISDIR)
			r = SLU_IO(unlinkat(dir, name, AT_REMOVEDIR)) < 0 ? -errno : 0;
	}
	return r < 0 ? write_fail(l, op, -r, "delete") : 0;
}

int slu_local_rename(struct slu_local *l, struct slu_op *op)
{
	SLU_AUTO(slu_closep) int from = -1, to = -1;
	const char *from_name, *to_name;
	bool made = false;
	int r;

	from = open_parent(l, op->path, NULL, &from_name);
	if (from < 0)
		return write_fail(l, op, -from, "rename");
	to = open_parent(l, op->to, &made, &to_name);
	if (to < 0)
		return slu_local_fail(l, &op->err, -to, "rename to", op->to);
	if (op->flags & SLU_OPF_ABSENT)
		r = rename_absent(from, from_name, to, to_name);
	else
		r = SLU_IO(renameat(from, from_name, to, to_name)) < 0 ? -errno : 0;
	if (r == -EEXIST)
		return slu_fail(&op->err, EEXIST, "'%s' exists already in '%s'", op->to, l->root);
	if (r == 0)
		slu_local_files_renamed(l->files, op->path);
	return r < 0 ? write_fail(l, op, -r, "rename") : 0;
}

int slu_local_mkdir(struct slu_local *l, struct slu_op *op)
{
	SLU_AUTO(slu_closep) int dir = -1;
	const char *name;
	bool made = false;
	struct stat st;

	if (*op->path == '\0')
		return 0;
	dir = open_parent(l, op->path, &made, &name);
	if (dir < 0)
		return write_fail(l, op, -dir, "make the folder");
	if (SLU_IO(mkdirat(dir, name, 0777)) == 0)
		return 0;
	if (errno != EEXIST)
		return write_fail(l, op, errno, "make the folder");

	SLU_AUTO(slu_closep) int fd = slu_local_open(l, op->path, O_PATH, "look at", &op->err);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		return slu_fail(&op->err, ENOTDIR, "'%s' in '%s' is a file, not a folder", op->path,
				l->root);
	return 0;
}
