/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing a tree and replacing a file, beneath a folder.  Removal goes through descriptors, so a
 * folder that is swapped for a symlink meanwhile is not followed; a tree of any depth is removed
 * with a bounded number of descriptors, by moving what lies too deep up to the tree's top.
 */
#include "common/cleanup.h"
#include "common/fault.h"
#include "common/path.h"
#include "common/str.h"
#include "common/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 48, TRIES_MAX = 100 };

struct rmtree {
	int top;      /* the tree's first folder; -1 before it is open */
	unsigned seq; /* of names for folders moved up */
	bool moved;   /* something was moved to the top since it was last read */
	bool mine;    /* what keeps this user out of his own folders is lifted */
};

static int rm_entry(struct rmtree *t, int dirfd, const char *name, int depth);

/* A folder of this user that he may not read, write or enter: now he may (true).  fd may be an O_PATH one. */
static bool let_in(int fd)
{
	char path[40];
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & S_IRWXU) == S_IRWXU)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, (st.st_mode & ALLPERMS) | S_IRWXU) == 0;
}

/* The same of one that is not open; true: it may be worth another try. */
static bool let_into(const struct rmtree *t, int dirfd, const char *name)
{
	int fd, err = errno;
	bool can;

	if (!t->mine || err != EACCES)
		return false;
	fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	can = fd >= 0 && let_in(fd);
	if (fd >= 0)
		close(fd);
	errno = err;
	return can;
}

/* A folder too deep to enter: it becomes an entry of the top folder, which is read again. */
static int move_up(struct rmtree *t, int dirfd, const char *name)
{
	char to[40];

	for (int i = 0; i < TRIES_MAX; i++) {
		snprintf(to, sizeof(to), SLU_TMP_PREFIX "rm-%u", t->seq++);
		if (SLU_IO(renameat(dirfd, name, t->top, to)) == 0) {
			t->moved = true;
			return 0;
		}
		if (let_into(t, dirfd, name))
			continue;
		if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
			return -errno;
	}
	return -EEXIST;
}

/* Removes what is in dir; *ret_n counts it. */
static int rm_entries(struct rmtree *t, DIR *dir, int depth, size_t *ret_n)
{
	size_t n = 0;

	rewinddir(dir);
	for (;;) {
		struct dirent *d;
		int r;

		errno = 0;
		d = readdir(dir);
		if (!d) {
			*ret_n = n;
			return -errno;
		}
		if (slu_streq(d->d_name, ".") || slu_streq(d->d_name, ".."))
			continue;
		r = rm_entry(t, dirfd(dir), d->d_name, depth + 1);
		if (r < 0)
			return r;
		n++;
	}
}

bool slu_path_is_mount(int dirfd, const char *name)
{
	const int how = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
	struct statx st;

	return statx(dirfd, name, how | (*name ? 0 : AT_EMPTY_PATH), STATX_TYPE, &st) == 0 &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int open_dir(const struct rmtree *t, int parent, const char *name)
{
	int fd;

	do
		fd = SLU_IO(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	while (fd < 0 && let_into(t, parent, name));
	if (fd >= 0 && t->mine)
		(void)let_in(fd);
	return fd;
}

static int rm_dir(struct rmtree *t, int parent, const char *name, int depth)
{
	SLU_AUTO(slu_closedirp) DIR *dir = NULL;
	size_t n;
	int fd, r;

	if (slu_path_is_mount(parent, name)) /* what is mounted there is not ours to remove */
		return -EBUSY;
	fd = open_dir(t, parent, name);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	if (depth == 0)
		t->top = fd;
	for (;;) {
		t->moved = false;
		r = rm_entries(t, dir, depth, &n);
		if (r < 0)
			return r;
		if (SLU_IO(unlinkat(parent, name, AT_REMOVEDIR)) == 0 || errno == ENOENT)
			return 0;
		/* something came in while it was read: go on as long as that makes progress */
		if (errno != ENOTEMPTY && errno != EEXIST)
			return -errno;
		if (n == 0 && !(depth == 0 && t->moved))
			return -ENOTEMPTY;
	}
}

static int rm_entry(struct rmtree *t, int dirfd, const char *name, int depth)
{
	int err;

	if (SLU_IO(unlinkat(dirfd, name, 0)) == 0 || errno == ENOENT)
		return 0;
	err = errno; /* EISDIR; EPERM on file systems that follow POSIX to the letter */
	if (err != EISDIR && err != EPERM)
		return -err;
	if (depth > DEPTH_MAX)
		return move_up(t, dirfd, name);
	err = rm_dir(t, dirfd, name, depth);
	return err == -ENOTDIR || err == -ELOOP ? -EPERM : err;
}

static int rmtree(int dirfd, const char *rel, bool mine)
{
	struct rmtree t = {.top = -1, .mine = mine};
	const char *name = NULL;
	SLU_AUTO(slu_closep)
	int parent = slu_path_parent(dirfd, rel, false, SLU_LINKS_NONE, &name);

	if (parent < 0)
		return parent == -ENOENT ? 0 : parent;
	return rm_entry(&t, parent, name, 0);
}

int slu_path_rmtree(int dirfd, const char *rel)
{
	return rmtree(dirfd, rel, false);
}

int slu_path_rmtree_mine(int dirfd, const char *rel)
{
	return rmtree(dirfd, rel, true);
}

/* A new file under a name that nobody else uses; a crash leaves it, its prefix tells cleaners. */
static int open_temp(int dirfd, char *name, size_t size)
{
	static atomic_uint seq;

	for (int i = 0; i < TRIES_MAX; i++) {
		uint64_t random = 0;
		int fd;

		if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
			random = (uint64_t)getpid();
		snprintf(name, size, SLU_TMP_PREFIX "%016llx-%u", (unsigned long long)random,
			 atomic_fetch_add(&seq, 1));
		fd = SLU_IO(openat(dirfd, name,
				   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int sync_dir(int dirfd)
{
	SLU_AUTO(slu_closep)
	int fd = SLU_IO(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	if (fd < 0 || SLU_IO(fsync(fd)) < 0)
		return -errno;
	return 0;
}

int slu_path_write_atomic(int dirfd, const char *name, const void *p, size_t n)
{
	SLU_AUTO(slu_closep) int fd = -1;
	char temp[64];
	int r;

	if (*name == '\0' || strchr(name, '/') || !slu_path_ok(name))
		return -EINVAL;
	fd = open_temp(dirfd, temp, sizeof(temp));
	if (fd < 0)
		return fd;
	r = slu_write_all(fd, p, n);
	if (r == 0 && SLU_IO(fsync(fd)) < 0)
		r = -errno;
	if (r == 0 && SLU_IO(renameat(dirfd, temp, dirfd, name)) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, temp, 0);
		return r;
	}
	return sync_dir(dirfd);
}
