/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening beneath a folder.  There are two ways and they give the same results:
 *   strict   no symlink anywhere: openat2(RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS), or one
 *            O_NOFOLLOW open per part on kernels without it;
 *   resolve  symlinks are read here, as text, into a path without symlinks, which then is opened
 *            strictly.  Whoever swaps a part in between makes the strict open fail (it is tried
 *            again), never escape.
 * openat2(RESOLVE_BENEATH) alone serves relative links, the usual case, in one call; but it
 * refuses every absolute link, also one that points back beneath the same folder.
 */
#include "common/cleanup.h"
#include "common/fault.h"
#include "common/path.h"
#include "common/path_impl.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { LINKS_MAX = 40, RACES_MAX = 16 };
enum { UNKNOWN, HAVE, LACK };

static atomic_int openat2_state;

static int sys_openat2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {.flags = (unsigned)flags, .resolve = resolve};

	if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)))
		how.mode = mode & 07777;
	return (int)SLU_IO(syscall(SYS_openat2, dirfd, path, &how, sizeof(how)));
}

void slu_path_no_openat2(bool on)
{
	atomic_store(&openat2_state, on ? LACK : UNKNOWN);
}

/* Some container sandboxes answer EPERM for system calls that they do not know. */
static bool have_openat2(void)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
	int state = atomic_load_explicit(&openat2_state, memory_order_relaxed);

	if (state == UNKNOWN) {
		int fd = (int)syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how));

		state = fd < 0 && (errno == ENOSYS || errno == EPERM) ? LACK : HAVE;
		if (getenv("SLUICE_NO_OPENAT2"))
			state = LACK;
		if (fd >= 0)
			close(fd);
		atomic_store(&openat2_state, state);
	}
	return state == HAVE;
}

/* O_DIRECTORY|O_NOFOLLOW reports a symlink as ENOTDIR.  One that is a folder by now was a symlink a
 * moment ago. */
static bool was_link(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode));
}

/* One step of a walk: the part [p, p + n) beneath cur, not followed. */
static int step(int cur, const char *p, size_t n, int flags, mode_t mode)
{
	char name[NAME_MAX + 1];
	int fd, err;

	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, p, n);
	name[n] = '\0';
	fd = SLU_IO(openat(cur, name, flags | O_NOFOLLOW | O_CLOEXEC, mode));
	if (fd >= 0)
		return fd;
	err = errno;
	return err == ENOTDIR && was_link(cur, name) ? -ELOOP : -err;
}

static int open_walk(int dirfd, const char *rel, int flags, mode_t mode)
{
	SLU_AUTO(slu_closep) int owned = -1;
	int cur = dirfd;

	for (;;) {
		size_t n = strcspn(rel, "/");
		int fd;

		if (rel[n] == '\0')
			return step(cur, rel, n, flags, mode);
		fd = step(cur, rel, n, O_PATH | O_DIRECTORY, 0);
		if (fd < 0)
			return fd;
		slu_closep(&owned);
		owned = cur = fd;
		rel += n + 1;
	}
}

/* O_PATH|O_NOFOLLOW and a walk's last step open a symlink itself; that was not asked for. */
static int refuse_link(int fd, int flags)
{
	struct stat st;

	if (fd < 0 || !(flags & O_PATH) || (flags & O_NOFOLLOW))
		return fd;
	if (fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
		close(fd);
		return -ELOOP;
	}
	return fd;
}

/* rel, which is not "", without any symlink. */
static int open_strict(int dirfd, const char *rel, int flags, mode_t mode)
{
	int fd;

	if (!have_openat2())
		return refuse_link(open_walk(dirfd, rel, flags, mode), flags);
	fd = sys_openat2(dirfd, rel, flags | O_CLOEXEC, mode,
			 RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
	return fd < 0 ? -errno : fd;
}

/* Where a descriptor's file is, as the kernel names it. */
static int fd_path(int fd, char out[PATH_MAX])
{
	char name[40];
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	n = readlink(name, out, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	return out[0] == '/' ? 0 : -EXDEV;
}

/* path without root in front: "" for root itself, NULL when it is not beneath. */
static const char *beneath(const char *root, const char *path)
{
	const char *rest = slu_streq(root, "/") ? path : slu_after(path, root);

	if (!rest || (*rest && *rest != '/'))
		return NULL;
	return rest + strspn(rest, "/");
}

static int copy_path(char out[PATH_MAX], const char *s)
{
	size_t n = strlen(s);

	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	memmove(out, s, n + 1);
	return 0;
}

/* Errors that say nothing about the path. */
static bool own_trouble(int err)
{
	return err == EIO || err == ENOMEM || err == EMFILE || err == ENFILE;
}

/*
 * target (absolute, or beginning with "..") has left the folder by name.  Does it come back?  Then
 * the part beneath the folder goes into out.  A target that does not exist comes back only when
 * its text says so.
 */
static int reenter(int dirfd, const char *target, char out[PATH_MAX])
{
	char root[PATH_MAX], real[PATH_MAX];
	SLU_AUTO(slu_closep) int fd = -1, here = -1;
	const char *rest;
	int r;

	here = SLU_IO(openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (here < 0)
		return -errno;
	r = fd_path(here, root);
	if (r < 0)
		return r;
	rest = beneath(root, target);
	if (!rest) {
		fd = SLU_IO(openat(dirfd, target, O_PATH | O_CLOEXEC));
		if (fd < 0)
			return own_trouble(errno) ? -errno : -EXDEV;
		r = fd_path(fd, real);
		if (r < 0)
			return r;
		rest = beneath(root, real);
	}
	return rest ? copy_path(out, rest) : -EXDEV;
}

/* The state of resolving: done has no symlinks, todo is still to be looked at. */
struct resolve {
	int dirfd;
	int links;
	size_t len;
	char done[PATH_MAX];
	char todo[PATH_MAX];
};

/* "<link><rest>" becomes todo; it starts over at the folder when the link is absolute. */
static int follow(struct resolve *w, const char *link, const char *rest)
{
	char all[PATH_MAX];
	int n;

	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if (link[0] == '/') {
		char inside[PATH_MAX];
		int r = reenter(w->dirfd, link, inside);

		if (r < 0)
			return r;
		w->len = 0;
		w->done[0] = '\0';
		n = snprintf(all, sizeof(all), "%s%s", inside, rest);
	} else {
		n = snprintf(all, sizeof(all), "%s%s", link, rest);
	}
	if (n >= (int)sizeof(all))
		return -ENAMETOOLONG;
	return copy_path(w->todo, all);
}

static int go_up(struct resolve *w, const char *rest)
{
	char above[PATH_MAX];
	int n;

	if (w->len) {
		while (w->len && w->done[w->len - 1] != '/')
			w->len--;
		w->len -= w->len > 0;
		w->done[w->len] = '\0';
		return copy_path(w->todo, rest);
	}
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	n = snprintf(above, sizeof(above), "..%s", rest);
	if (n >= (int)sizeof(above))
		return -ENAMETOOLONG;
	return reenter(w->dirfd, above, w->todo);
}

/* One plain part: appended to done when it is no symlink, else replaced by what it says. */
static int go_into(struct resolve *w, const char *part, size_t n, const char *rest, bool last,
		   bool keep_last)
{
	char link[PATH_MAX];
	size_t old = w->len;
	ssize_t got;

	if (w->len + n + 2 > sizeof(w->done))
		return -ENAMETOOLONG;
	if (w->len)
		w->done[w->len++] = '/';
	memcpy(w->done + w->len, part, n);
	w->len += n;
	w->done[w->len] = '\0';
	if (last && keep_last)
		return copy_path(w->todo, rest);
	got = SLU_IO(readlinkat(w->dirfd, w->done, link, sizeof(link) - 1));
	if (got < 0) /* no link, or not there: the open that follows will say what is wrong */
		return own_trouble(errno) ? -errno : copy_path(w->todo, rest);
	link[got] = '\0';
	w->done[w->len = old] = '\0';
	return got ? follow(w, link, rest) : -ENOENT;
}

static int resolve(struct resolve *w, bool keep_last)
{
	for (;;) {
		char part[NAME_MAX + 1], rest[PATH_MAX];
		const char *p = w->todo + strspn(w->todo, "/");
		size_t n = strcspn(p, "/");
		int r;

		if (n == 0)
			return 0;
		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(part, p, n);
		part[n] = '\0';
		r = copy_path(rest, p + n);
		if (r < 0)
			return r;
		if (slu_streq(part, "."))
			r = copy_path(w->todo, rest);
		else if (slu_streq(part, ".."))
			r = go_up(w, rest);
		else
			r = go_into(w, part, n, rest, rest[strspn(rest, "/")] == '\0', keep_last);
		if (r < 0)
			return r;
	}
}

static int open_root(int dirfd, int flags, mode_t mode)
{
	int fd = SLU_IO(openat(dirfd, ".", flags | O_CLOEXEC, mode));

	return fd < 0 ? -errno : fd;
}

static int open_resolved(int dirfd, const char *rel, int flags, mode_t mode)
{
	bool keep_last = (flags & O_NOFOLLOW) || (flags & O_EXCL);

	for (int i = 0;; i++) {
		struct resolve w = {.dirfd = dirfd};
		int r = copy_path(w.todo, rel);

		if (r == 0)
			r = resolve(&w, keep_last);
		if (r < 0)
			return r;
		r = w.len ? open_strict(dirfd, w.done, flags, mode) : open_root(dirfd, flags, mode);
		/* a part became a symlink after it was looked at; the last one may be meant */
		if (r != -ELOOP || keep_last || i == RACES_MAX)
			return r;
	}
}

int slu_path_open(int dirfd, const char *rel, int flags, mode_t mode, enum slu_links links)
{
	if (!slu_path_ok(rel))
		return -EINVAL;
	if (*rel == '\0')
		return open_root(dirfd, flags, mode);
	if (links == SLU_LINKS_NONE)
		return open_strict(dirfd, rel, flags, mode);
	for (int i = 0; have_openat2(); i++) {
		int fd = sys_openat2(dirfd, rel, flags | O_CLOEXEC, mode,
				     RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);

		if (fd >= 0)
			return fd;
		if (errno == EXDEV)
			break;
		/* EAGAIN: a rename somewhere made ".." uncertain */
		if (errno != EAGAIN || i == RACES_MAX)
			return -errno;
	}
	return open_resolved(dirfd, rel, flags, mode);
}

int slu_path_mkdirs(int dirfd, const char *rel, mode_t mode)
{
	SLU_AUTO(slu_closep) int owned = -1;
	int cur = dirfd;

	if (!slu_path_ok(rel))
		return -EINVAL;
	while (*rel) {
		char name[NAME_MAX + 1];
		size_t n = strcspn(rel, "/");
		int fd;

		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, rel, n);
		name[n] = '\0';
		if (SLU_IO(mkdirat(cur, name, mode)) < 0 && errno != EEXIST)
			return -errno;
		fd = step(cur, name, n, O_PATH | O_DIRECTORY, 0);
		if (fd < 0)
			return fd;
		slu_closep(&owned);
		owned = cur = fd;
		rel += n;
		rel += *rel == '/';
	}
	return 0;
}

/* Makes the folder `dir` (a buffer that may be written to) below the deepest part that is there,
 * which may be reached through symlinks. */
static int make_dir(int dirfd, char *dir, enum slu_links links)
{
	size_t len = strlen(dir), end = len;
	int r;

	do {
		while (end && dir[end - 1] != '/')
			end--;
		end -= end > 0;
		char saved = dir[end];

		dir[end] = '\0';
		SLU_AUTO(slu_closep)
		int fd = slu_path_open(dirfd, dir, O_PATH | O_DIRECTORY, 0, links);

		dir[end] = saved;
		if (fd >= 0)
			return slu_path_mkdirs(fd, dir + end + (end > 0), 0777);
		r = fd;
	} while (end && r == -ENOENT);
	return r;
}

int slu_path_parent(int dirfd, const char *rel, bool make, enum slu_links links,
		    const char **ret_name)
{
	const char *name = slu_path_base(rel);
	char dir[PATH_MAX];
	size_t n = name > rel ? (size_t)(name - rel) - 1 : 0;
	int fd, r;

	if (*rel == '\0' || !slu_path_ok(rel))
		return -EINVAL;
	if (n >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, rel, n);
	dir[n] = '\0';
	fd = slu_path_open(dirfd, dir, O_RDONLY | O_DIRECTORY, 0, links);
	if (fd == -ENOENT && make && n) {
		r = make_dir(dirfd, dir, links);
		if (r < 0)
			return r;
		fd = slu_path_open(dirfd, dir, O_RDONLY | O_DIRECTORY, 0, links);
	}
	if (fd >= 0)
		*ret_name = name;
	return fd;
}
