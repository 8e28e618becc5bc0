/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mount points: finding, checking, leaving.  Never touches a mounted tree from this process, since
 * its server may be dead or stopped: the mount table is asked, and whether a mount still answers is
 * found out by a child that can be given up.
 */
#include "fs/mount_point.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define MOUNTINFO_MAX (64u << 20)
#define PROBE_NS (2 * SLU_SEC)
#define STEP_MS 50
#define STACKED_MAX 64
#ifndef STATX_MNT_ID_UNIQUE /* Linux 6.8 */
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif

/* --- the mount table --- */

/* Undoes the octal escapes of the mount table, in place. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

static void copy_field(char *to, size_t size, const char *from)
{
	size_t n = strnlen(from, size - 1);

	memcpy(to, from, n);
	to[n] = '\0';
}

/* The user that a FUSE mount is of, in its options; UINT32_MAX: it has none. */
static uint32_t user_of(const char *options)
{
	const char *at = options ? strstr(options, "user_id=") : NULL;
	SLU_AUTO(slu_freep) char *text = at ? slu_strndup(at + 8, strcspn(at + 8, ", ")) : NULL;
	uint64_t uid;

	return text && slu_u64(text, &uid) && uid < UINT32_MAX ? (uint32_t)uid : UINT32_MAX;
}

/* "36 35 98:0 /root /point opts [tags] - type source superopts" */
static bool parse_line(char *line, const char **ret_path, struct slu_mpoint *ret)
{
	char *field[5], *dash, *colon, *tail;
	uint64_t major, minor;

	dash = strstr(line, " - ");
	if (!dash)
		return false;
	*dash = '\0';
	tail = dash + 3;
	for (unsigned i = 0; i < 5; i++)
		field[i] = strsep(&line, " ");
	if (!field[4])
		return false;
	unescape(field[4]);
	*ret_path = field[4];
	colon = strchr(field[2], ':');
	if (!colon)
		return false;
	*colon = '\0';
	if (!slu_u64(field[2], &major) || !slu_u64(colon + 1, &minor))
		return false;
	ret->major = (uint32_t)major;
	ret->minor = (uint32_t)minor;
	field[0] = strsep(&tail, " ");
	field[1] = strsep(&tail, " ");
	if (!field[1])
		return false;
	ret->uid = user_of(tail);
	ret->writable = line && slu_starts(line, "rw");
	unescape(field[1]);
	copy_field(ret->type, sizeof ret->type, field[0]);
	copy_field(ret->source, sizeof ret->source, field[1]);
	return true;
}

int slu_mpoint_find(const char *canon, struct slu_mpoint *ret)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(MOUNTINFO_MAX);
	char *rest, *line;
	const char *path;
	struct slu_mpoint mp;
	int r = slu_buf_read_at(&b, AT_FDCWD, "/proc/self/mountinfo"), found = 0;

	if (r)
		return r;
	/* A later line is mounted over an earlier one. */
	for (rest = b.p; (line = strsep(&rest, "\n"));) {
		if (parse_line(line, &path, &mp) && slu_streq(path, canon)) {
			*ret = mp;
			found = 1;
		}
	}
	return found;
}

int slu_mpoint_each(slu_mpoint_fn *fn, void *user)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(MOUNTINFO_MAX);
	char *rest, *line;
	const char *path;
	struct slu_mpoint mp;
	int r = slu_buf_read_at(&b, AT_FDCWD, "/proc/self/mountinfo");

	for (rest = b.p; !r && (line = strsep(&rest, "\n"));)
		if (parse_line(line, &path, &mp) && slu_streq(mp.type, SLU_MPOINT_TYPE))
			r = fn(user, path, &mp);
	return r;
}

/* What the kernel calls the topmost mount there; an id of 0: it does not tell.  No request goes to a server. */
static bool kernel_id(const char *canon, struct slu_mid *ret)
{
	struct statx x;

	if (statx(AT_FDCWD, canon, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW,
		  STATX_MNT_ID_UNIQUE, &x))
		return false;
	*ret = (struct slu_mid){x.stx_dev_major, x.stx_dev_minor,
				x.stx_mask & STATX_MNT_ID_UNIQUE ? x.stx_mnt_id : 0};
	return true;
}

/* Without the table, for which no memory or no descriptor was free, its type is not known. */
bool slu_mpoint_id(const char *canon, struct slu_mid *ret)
{
	struct slu_mpoint mp;
	int r = slu_mpoint_find(canon, &mp);

	if (r == 0 || (r > 0 && !slu_streq(mp.type, SLU_MPOINT_TYPE)))
		return false;
	if (kernel_id(canon, ret))
		return true;
	if (r > 0)
		*ret = (struct slu_mid){mp.major, mp.minor, 0};
	return r > 0;
}

struct trace {
	const struct slu_mid *id;
	char *path;
};

static int trace(void *user, const char *path, const struct slu_mpoint *mp)
{
	struct trace *t = user;
	struct slu_mid there;

	if (mp->major != t->id->major || mp->minor != t->id->minor)
		return 0;
	/* The topmost one there is what an unmount would take. */
	if (!slu_mpoint_id(path, &there) || there.minor != mp->minor || there.id != t->id->id)
		return 0;
	t->path = slu_strdup(path);
	return 1;
}

const char *slu_mpoint_trace(const char *canon, const struct slu_mid *id, char **ret_moved)
{
	struct trace t = {.id = id};
	struct slu_mid there;

	if (slu_mpoint_id(canon, &there) && there.major == id->major && there.minor == id->minor &&
	    there.id == id->id)
		return canon;
	(void)slu_mpoint_each(trace, &t);
	*ret_moved = t.path;
	return t.path;
}

int slu_mpoint_canon(const char *path, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *abs = NULL, *dir = NULL;
	char real[PATH_MAX], link[2], *slash;
	int r = slu_path_absolute(path, &abs, e);

	if (r)
		return r;
	slash = strrchr(abs, '/');
	if (!slash[1]) {
		*ret = slu_take(abs);
		return 0;
	}
	/* The last part may be a dead mount: it is looked at only when it is a symlink. */
	if (readlink(abs, link, sizeof link) >= 0) {
		if (!realpath(abs, real))
			return slu_fail_sys(e, errno, "cannot resolve '%s'", path);
		*ret = slu_strdup(real);
		return *ret ? 0 : slu_fail_oom(e);
	}
	dir = slu_strndup(abs, slash > abs ? (size_t)(slash - abs) : 1);
	if (!dir)
		return slu_fail_oom(e);
	if (!realpath(dir, real)) {
		if (errno != ENOENT)
			return slu_fail_sys(e, errno, "cannot resolve '%s'", dir);
		*ret = slu_take(abs); /* the parents are made later, where they are named */
		return 0;
	}
	*ret = slu_asprintf("%s%s", slu_streq(real, "/") ? "" : real, slash);
	return *ret ? 0 : slu_fail_oom(e);
}

/* --- does a mount still answer? --- */

/* 0: it does.  -ENOTCONN: its server is gone.  -ETIMEDOUT: no answer.  Else -errno. */
static int probe(const char *canon)
{
	struct statfs s;
	int status = 0;
	pid_t pid = fork(), got = 0;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(statfs(canon, &s) ? errno : 0); /* always a request to the server */
	for (int64_t end = slu_deadline_in(PROBE_NS); !slu_expired(end) && got == 0;) {
		got = waitpid(pid, &status, WNOHANG);
		if (got == 0)
			poll(NULL, 0, STEP_MS / 10);
	}
	if (got == pid && WIFEXITED(status))
		return -WEXITSTATUS(status);
	kill(pid, SIGKILL); /* ends unless the server holds its request: then nothing can */
	waitpid(pid, &status, WNOHANG);
	return -ETIMEDOUT;
}

int slu_mpoint_clear(const char *canon, struct slu_err *e)
{
	struct slu_mpoint mp;
	int r;

	for (unsigned i = 0; (r = slu_mpoint_find(canon, &mp)) > 0; i++) {
		if (!slu_streq(mp.type, SLU_MPOINT_TYPE))
			return slu_fail(e, EBUSY,
					"'%s' is already a mount point (%s, type %s): "
					"choose another folder",
					canon, mp.source, mp.type);
		r = probe(canon);
		if (r == 0 || i == STACKED_MAX)
			return slu_fail(e, EBUSY,
					"'%s' already shows %s: unmount it first, with "
					"sluice unmount",
					canon, mp.source);
		if (r == -ETIMEDOUT)
			return slu_fail(e, EBUSY,
					"'%s' already shows %s, and its server does not "
					"answer: unmount it first, with sluice unmount",
					canon, mp.source);
		r = slu_mpoint_detach(canon, true, e);
		if (r)
			return slu_fail_more(e,
					     "a mount at '%s' is left over from a process that "
					     "ended",
					     canon);
	}
	return r ? slu_fail_sys(e, -r, "cannot read /proc/self/mountinfo") : 0;
}

/* --- the folder --- */

/* mkdir -p that follows symlinks: it is the user's own path.  How many were made. */
static int make_dirs(const char *path, struct slu_err *e)
{
	int made = 0;

	SLU_AUTO(slu_freep) char *p = slu_strdup(path);

	if (!p)
		return slu_fail_oom(e);
	for (char *s = p + 1;; s++) {
		char c = *s;

		if (c && c != '/')
			continue;
		*s = '\0';
		if (mkdir(p, 0777) == 0)
			made++;
		else if (errno != EEXIST)
			return slu_fail_sys(e, errno, "cannot make the folder '%s'", p);
		*s = c;
		if (!c)
			return made;
	}
}

static int check_empty(const char *canon, struct slu_err *e)
{
	int fd = open(canon, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *d;

	if (fd < 0 && errno == ENOTDIR)
		return slu_fail(e, ENOTDIR, "'%s' is not a folder: a mount needs one", canon);
	if (fd < 0)
		return slu_fail_sys(e, errno, "cannot open the mount point '%s'", canon);
	SLU_AUTO(slu_closedirp) DIR *dir = fdopendir(fd);

	if (!dir) {
		close(fd);
		return slu_fail_oom(e);
	}
	while ((d = readdir(dir)))
		if (!slu_streq(d->d_name, ".") && !slu_streq(d->d_name, ".."))
			return slu_fail(e, ENOTEMPTY,
					"the mount point '%s' is not empty (it holds '%s'): "
					"a mount would hide that; choose an empty folder",
					canon, d->d_name);
	return 0;
}

int slu_mount_check(const char *mountpoint, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *canon = NULL;
	int r = slu_mpoint_canon(mountpoint, &canon, e), made;

	if (r)
		return r;
	if (slu_streq(canon, "/"))
		return slu_fail(e, EINVAL, "'/' cannot be a mount point: choose an empty folder");
	r = slu_mpoint_clear(canon, e);
	if (r)
		return r;
	made = make_dirs(canon, e);
	if (made < 0)
		return made;
	r = check_empty(canon, e);
	if (r == -ENOTEMPTY) {
		int busy = slu_mpoint_clear(canon, e); /* what another mount shows since then? */

		r = busy < 0 ? busy : r;
	}
	return r ? r : made;
}

void slu_mount_uncheck(const char *mountpoint, int made)
{
	SLU_AUTO(slu_freep) char *canon = NULL;

	if (made <= 0 || slu_mpoint_canon(mountpoint, &canon, NULL))
		return;
	for (; made > 0 && rmdir(canon) == 0; made--)
		*strrchr(canon, '/') = '\0';
}

/* --- leaving --- */

/* Somebody else's lazy unmount may come first: nothing there is what was wanted. */
static int detach(const char *canon, bool lazy, struct slu_err *e)
{
	struct slu_mpoint mp;
	int r = slu_mpoint_detach(canon, lazy, e);

	return r && r != -EBUSY && slu_mpoint_find(canon, &mp) == 0 ? 0 : r;
}

bool slu_mpoint_abort(uint32_t minor)
{
	SLU_AUTO(slu_freep)
	char *path = slu_asprintf("/sys/fs/fuse/connections/%u/abort", minor);
	SLU_AUTO(slu_closep) int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;

	return fd >= 0 && write(fd, "1", 1) == 1;
}

int slu_unmount(const char *mountpoint, int64_t timeout_ns, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *canon = NULL;
	int64_t end = slu_deadline_in(timeout_ns);
	struct slu_mpoint mp;
	int r = slu_mpoint_canon(mountpoint, &canon, e);

	if (r)
		return r;
	r = slu_mpoint_find(canon, &mp);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot read /proc/self/mountinfo");
	if (r == 0)
		return slu_fail(e, EINVAL, "nothing is mounted at '%s'", canon);
	if (!slu_streq(mp.type, SLU_MPOINT_TYPE))
		return slu_fail(e, EINVAL,
				"'%s' is no mount of sluice (%s, type %s): use umount(8)", canon,
				mp.source, mp.type);
	while ((r = detach(canon, false, e)) == -EBUSY && !slu_expired(end))
		poll(NULL, 0, STEP_MS);
	/* Forbidden, both: then a detached mount is the most. */
	if (r == -EBUSY && probe(canon) == -ETIMEDOUT && !slu_mpoint_abort(mp.minor))
		(void)umount2(canon, UMOUNT_NOFOLLOW | MNT_FORCE);
	if (r != -EBUSY)
		return r;
	r = detach(canon, true, e);
	if (r == 0)
		slu_warn("mount",
			 "'%s' is still used: it is detached, and ends when the last program "
			 "leaves it",
			 canon);
	return r;
}
