/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local driver's STAT, LIST, READ and PREFETCH.  A read is pinned by checking, after the bytes
 * are there, that the descriptor's mtime and size are still those of the identity, and its ctime that
 * of its opening; a write into the file within one tick of the file system's clock is what this
 * cannot see.
 */
#include "fs/local_parts.h"

#include "common/cleanup.h"
#include "common/fault.h"
#include "common/json.h"
#include "common/log.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* Opening a fifo or a terminal must neither wait nor have effects. */
#define READ_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define KEY_MAX (SLU_ID_MAX + PATH_MAX)

int slu_local_fail(const struct slu_local *l, struct slu_err *e, int code, const char *verb,
		   const char *path)
{
	return slu_fail_sys(e, code, "cannot %s '%s' in '%s'", verb, *path ? path : ".", l->root);
}

/* A failed open, in words.  A link is looked at only here, where it is the likely reason. */
static int explain(const struct slu_local *l, const char *path, int code, const char *verb,
		   struct slu_err *e)
{
	char target[PATH_MAX];
	ssize_t n;

	if (code == EXDEV)
		return slu_fail(e, EXDEV,
				"'%s' leads out of '%s' by a symbolic link: copy what it points to "
				"into the datastore, or define a datastore there",
				path, l->root);
	if (code == ENOENT && *path) {
		SLU_AUTO(slu_closep)
		int fd = slu_path_open(l->root_fd, path, O_PATH | O_NOFOLLOW, 0, SLU_LINKS_BENEATH);

		n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target) - 1);
		if (n >= 0) {
			target[n] = '\0';
			return slu_fail(e, ENOENT,
					"'%s' in '%s' is a symbolic link to '%s', which does not "
					"exist: repair or remove the link",
					path, l->root, target);
		}
	}
	return slu_local_fail(l, e, code, verb, path);
}

int slu_local_open(const struct slu_local *l, const char *path, int flags, const char *verb,
		   struct slu_err *e)
{
	int fd = slu_path_open(l->root_fd, path, flags, 0, SLU_LINKS_BENEATH);

	return fd < 0 ? explain(l, path, -fd, verb, e) : fd;
}

static int64_t mtime_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static void file_id(const struct stat *st, char out[SLU_ID_MAX])
{
	snprintf(out, SLU_ID_MAX, "%llx-%llx", (unsigned long long)mtime_ns(st),
		 (unsigned long long)st->st_size);
}

void slu_local_attr(const struct stat *st, struct slu_attr *ret)
{
	ret->mtime_ns = mtime_ns(st);
	ret->sum[0] = '\0';
	ret->unsure = ret->open = false;
	if (S_ISDIR(st->st_mode)) {
		ret->kind = SLU_KIND_DIR;
		ret->size = 0;
		snprintf(ret->id, sizeof(ret->id), "%llx:%llx", (unsigned long long)st->st_dev,
			 (unsigned long long)st->st_ino);
	} else {
		ret->kind = SLU_KIND_FILE;
		ret->size = (uint64_t)st->st_size;
		file_id(st, ret->id);
	}
}

static int not_a_file(const struct slu_local *l, struct slu_err *e, const char *path)
{
	return slu_fail(e, EINVAL,
			"'%s' in '%s' is neither a file nor a folder (a socket, fifo or device)",
			path, l->root);
}

/* The name of a user or group, its number when it has none. */
static int set_owner(struct json_t *o, const char *key, bool user, unsigned id)
{
	struct passwd pw, *p = NULL;
	struct group gr, *g = NULL;
	char room[4096], number[24];
	const char *name = number;

	snprintf(number, sizeof(number), "%u", id);
	if (user && getpwuid_r(id, &pw, room, sizeof(room), &p) == 0 && p)
		name = p->pw_name;
	if (!user && getgrgid_r(id, &gr, room, sizeof(room), &g) == 0 && g)
		name = g->gr_name;
	return slu_json_set_str(o, key, name);
}

static int detail(struct slu_op *op, const struct stat *st)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	char mode[12];

	for (int i = 0; i < 9; i++)
		mode[i] = st->st_mode & (0400u >> i) ? "rwx"[i % 3] : '-';
	mode[9] = '\0';
	if (!o || set_owner(o, "owner", true, st->st_uid) < 0 ||
	    set_owner(o, "group", false, st->st_gid) < 0 ||
	    slu_json_set_str(o, "permissions", mode) < 0 ||
	    slu_json_set_int(o, "links", (int64_t)st->st_nlink) < 0 ||
	    slu_json_set_int(o, "inode", (int64_t)st->st_ino) < 0)
		return slu_fail_oom(&op->err);
	op->detail = slu_take(o);
	return 0;
}

int slu_local_stat(struct slu_local *l, struct slu_op *op)
{
	SLU_AUTO(slu_closep) int fd = slu_local_open(l, op->path, O_PATH, "look at", &op->err);
	struct stat st;

	if (fd < 0)
		return fd;
	if (SLU_IO(fstat(fd, &st)) < 0)
		return slu_local_fail(l, &op->err, errno, "look at", op->path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return not_a_file(l, &op->err, op->path);
	slu_local_attr(&st, &op->attr);
	return op->flags & SLU_OPF_DETAIL ? detail(op, &st) : 0;
}

int slu_local_descriptor(struct slu_store *s, const char *path, const char *id, int *ret_fd)
{
	SLU_AUTO(slu_closep)
	int fd = slu_path_open(((const struct slu_local *)s)->root_fd, path, READ_FLAGS, 0,
			       SLU_LINKS_BENEATH);
	char now[SLU_ID_MAX];
	struct stat st;

	if (fd < 0)
		return fd;
	if (SLU_IO(fstat(fd, &st)) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	file_id(&st, now);
	if (!slu_streq(now, id))
		return -ESTALE;
	*ret_fd = slu_take_fd(fd);
	return 0;
}

/* What the symbolic link `name` in the listed folder leads to; 1: it has vanished since. */
static int stat_link(struct slu_local *l, struct slu_op *op, int dir, const char *name,
		     struct stat *ret)
{
	SLU_AUTO(slu_freep) char *path = slu_path_join(op->path, name);

	if (!path)
		return slu_fail_oom(&op->err);

	SLU_AUTO(slu_closep) int fd = slu_path_open(l->root_fd, path, O_PATH, 0, SLU_LINKS_BENEATH);
	struct stat here;

	if (fd == -ENOENT && fstatat(dir, name, &here, AT_SYMLINK_NOFOLLOW) < 0)
		return 1;
	if (fd < 0)
		return explain(l, path, -fd, "follow", &op->err);
	if (SLU_IO(fstat(fd, ret)) < 0)
		return slu_local_fail(l, &op->err, errno, "look at", path);
	return 0;
}

static bool is_no_entry(const struct slu_op *op, const char *name)
{
	if (slu_streq(name, ".") || slu_streq(name, ".."))
		return true;
	return slu_starts(name, LOCAL_TEMP) && !(op->flags & SLU_OPF_TEMPS);
}

static int list_entry(struct slu_local *l, struct slu_op *op, int dir, const struct dirent *d)
{
	struct slu_attr attr = {0};
	struct stat st;
	int r;

	if (is_no_entry(op, d->d_name))
		return 0;
	if (SLU_IO(fstatat(dir, d->d_name, &st, AT_SYMLINK_NOFOLLOW)) < 0) {
		if (errno == ENOENT)
			return 0; /* removed while we read */
		return slu_local_fail(l, &op->err, errno, "list", op->path);
	}
	if (S_ISLNK(st.st_mode)) {
		r = stat_link(l, op, dir, d->d_name, &st);
		if (r < 0 && r != -ENOMEM && (op->flags & SLU_OPF_LENIENT)) {
			slu_debug("local", "left out: %s", op->err.msg);
			if (!op->list->left++)
				op->list->left_one = slu_path_join(op->path, d->d_name);
			return 0;
		}
		if (r)
			return r < 0 ? r : 0;
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		slu_debug("local", "'%s' in '%s' left out: neither a file nor a folder", d->d_name,
			  op->path);
		return 0;
	}
	slu_local_attr(&st, &attr);
	r = slu_list_add(op->list, d->d_name, strlen(d->d_name), &attr);
	return r < 0 ? slu_fail_oom(&op->err) : 0;
}

/* All in one page: getdents has no marker that means the same after the folder changed. */
int slu_local_list(struct slu_local *l, struct slu_op *op)
{
	SLU_AUTO(slu_closep)
	int fd = slu_local_open(l, op->path, O_RDONLY | O_DIRECTORY, "list", &op->err);
	int r;

	if (fd < 0)
		return fd;

	SLU_AUTO(slu_closedirp) DIR *dir = fdopendir(fd);

	if (!dir)
		return slu_local_fail(l, &op->err, errno, "list", op->path);
	fd = -1; /* dir has it */
	for (;;) {
		struct dirent *d;

		errno = slu_fault(SLU_FAULT_IO) ? EIO : 0;
		d = errno ? NULL : readdir(dir);
		if (!d)
			return errno ? slu_local_fail(l, &op->err, errno, "list", op->path) : 0;
		r = list_entry(l, op, dirfd(dir), d);
		if (r < 0)
			return r;
	}
}

/* The bytes that op still lacks.  0; -EAGAIN: it would have to wait; -ENODATA: the file ends. */
static int fill(struct slu_local *l, struct slu_op *op, int fd, bool nowait)
{
	while (op->drv_n < op->len) {
		struct iovec iov = {(char *)op->buf + op->drv_n, op->len - op->drv_n};
		ssize_t n = SLU_IO(preadv2(fd, &iov, 1, (int64_t)(op->off + op->drv_n),
					   nowait ? RWF_NOWAIT : 0));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && nowait && errno == EOPNOTSUPP) {
			atomic_store(&l->no_nowait, true);
			return -EAGAIN;
		}
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		op->drv_n += (size_t)n;
	}
	return 0;
}

static int stale(const struct slu_local *l, struct slu_op *op, const char *now)
{
	return slu_fail(
		&op->err, ESTALE,
		"'%s' in '%s' has changed since it was resolved (was %s, now %s): " SLU_STALE_REMEDY,
		op->path, l->root, op->if_match, now);
}

/* Does the descriptor, perhaps of f, still have the identity that op wants?  Asked after the bytes
 * were copied: a write sets the time before it changes the first byte. */
static int check_id(const struct slu_local *l, struct slu_op *op, int fd,
		    const struct slu_local_file *f)
{
	char id[SLU_ID_MAX];
	struct stat st;

	if (SLU_IO(fstat(fd, &st)) < 0)
		return slu_local_fail(l, &op->err, errno, "look at", op->path);
	file_id(&st, id);
	if (op->if_match && !slu_streq(id, op->if_match))
		return stale(l, op, id);
	if (f && slu_local_file_touched(f, &st))
		return slu_fail(&op->err, ESTALE,
				"'%s' in '%s' was written to while it was open, and its time set "
				"back (it is %s again): register a new version",
				op->path, l->root, id);
	return 0;
}

static int read_fd(struct slu_local *l, struct slu_op *op, int fd, const struct slu_local_file *f)
{
	int r, got;

	op->drv_n = 0;
	got = fill(l, op, fd, false);
	r = check_id(l, op, fd, f);
	if (r < 0)
		return r;
	if (got == -ENODATA)
		return slu_fail(&op->err, EIO, "'%s' in '%s' ended at byte %llu, %llu are wanted",
				op->path, l->root, (unsigned long long)(op->off + op->drv_n),
				(unsigned long long)(op->off + op->len));
	return got < 0 ? slu_local_fail(l, &op->err, -got, "read", op->path) : 0;
}

/* A fresh descriptor of a regular file. */
static int open_file(const struct slu_local *l, struct slu_op *op)
{
	SLU_AUTO(slu_closep) int fd = slu_local_open(l, op->path, READ_FLAGS, "read", &op->err);
	struct stat st;

	if (op->if_match && (fd == -ENOENT || fd == -ENOTDIR))
		return stale(l, op, "gone");
	if (fd < 0)
		return fd;
	if (SLU_IO(fstat(fd, &st)) < 0)
		return slu_local_fail(l, &op->err, errno, "read", op->path);
	if (op->if_match && !S_ISREG(st.st_mode))
		return stale(l, op, S_ISDIR(st.st_mode) ? "a folder" : "no file");
	if (S_ISDIR(st.st_mode))
		return slu_fail(&op->err, EISDIR, "'%s' in '%s' is a folder, a file is wanted",
				*op->path ? op->path : ".", l->root);
	if (!S_ISREG(st.st_mode))
		return not_a_file(l, &op->err, op->path);
	return slu_take_fd(fd);
}

static bool make_key(const struct slu_op *op, char out[KEY_MAX])
{
	size_t a = strlen(op->if_match), b = strlen(op->path);

	if (a >= SLU_ID_MAX || b >= PATH_MAX - 1)
		return false;
	memcpy(out, op->if_match, a);
	out[a] = '/';
	memcpy(out + a + 1, op->path, b + 1);
	return true;
}

/* Reads and gives the reference back.  A file whose identity is another one leaves the cache; one that
 * has its identity and was written to all the same stays, since opened anew it would look right. */
static int read_file(struct slu_local *l, struct slu_op *op, struct slu_local_file *f,
		     bool *ret_again)
{
	int fd = slu_local_file_fd(f), r = read_fd(l, op, fd, f);
	struct stat st;
	char id[SLU_ID_MAX];

	*ret_again = false;
	if (r == -ESTALE && fstat(fd, &st) == 0) {
		file_id(&st, id);
		*ret_again = !slu_streq(id, op->if_match);
	}
	if (*ret_again)
		slu_local_files_drop(l->files, f);
	slu_local_files_put(l->files, f);
	return r;
}

/* A read pinned to an identity: through the cache of descriptors. */
static int read_pinned(struct slu_local *l, struct slu_op *op)
{
	struct slu_local_file *f;
	char key[KEY_MAX];
	bool again;
	int fd, r;

	if (!make_key(op, key))
		return slu_local_fail(l, &op->err, ENAMETOOLONG, "read", op->path);
	f = slu_local_files_get(l->files, key);
	if (f) {
		r = read_file(l, op, f, &again);
		if (!again)
			return r;
	}
	/* written to in place, or never open: what is there now may be what is wanted */
	fd = open_file(l, op);
	if (fd < 0)
		return fd;
	f = slu_local_files_add(l->files, key, fd);
	return f ? read_file(l, op, f, &again) : slu_fail_oom(&op->err);
}

int slu_local_read(struct slu_local *l, struct slu_op *op)
{
	if (op->if_match)
		return read_pinned(l, op);

	SLU_AUTO(slu_closep) int fd = open_file(l, op);

	return fd < 0 ? fd : read_fd(l, op, fd, NULL);
}

/* An open that gives up rather than wait for the disk. */
static int open_cached(const struct slu_local *l, const char *path)
{
	struct open_how how = {.flags = READ_FLAGS,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED};
	struct stat st;
	int fd = (int)SLU_IO(syscall(SYS_openat2, l->root_fd, path, &how, sizeof(how)));

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

bool slu_local_read_now(struct slu_local *l, struct slu_op *op)
{
	struct slu_local_file *f;
	char key[KEY_MAX];
	bool ok;

	if (!op->if_match || atomic_load_explicit(&l->no_nowait, memory_order_relaxed) ||
	    !make_key(op, key))
		return false;
	f = slu_local_files_get(l->files, key);
	if (!f) {
		int fd = open_cached(l, op->path);

		f = fd < 0 ? NULL : slu_local_files_add(l->files, key, fd);
		if (!f)
			return false;
	}
	op->drv_n = 0;
	ok = fill(l, op, slu_local_file_fd(f), true) == 0 &&
	     check_id(l, op, slu_local_file_fd(f), f) == 0;
	slu_local_files_put(l->files, f);
	return ok;
}

int slu_local_prefetch(struct slu_local *l, struct slu_op *op)
{
	struct slu_local_file *f;
	char key[KEY_MAX];
	int fd;

	if (!op->if_match || !make_key(op, key))
		return 0; /* nobody will find the descriptor again */
	f = slu_local_files_get(l->files, key);
	if (!f) {
		fd = open_file(l, op);
		if (fd < 0)
			return fd;
		f = slu_local_files_add(l->files, key, fd);
		if (!f)
			return slu_fail_oom(&op->err);
	}
	(void)posix_fadvise(slu_local_file_fd(f), (int64_t)op->off, (int64_t)op->len,
			    POSIX_FADV_WILLNEED);
	slu_local_files_put(l->files, f);
	return 0;
}
