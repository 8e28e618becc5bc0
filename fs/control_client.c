/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where control sockets are, and the side that asks.  A folder of sockets belongs to the user and lets
 * nobody else in, or it is not used.  Addresses of sockets are short: they are always reached through
 * a descriptor of their folder.
 */
#include "fs/control.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#define BACKLOG 16
#define CONNECT_S 5
#define OWN "new-" /* of a socket that has no name yet */
#define OWN_TRIES 5
/* About five seconds. */
#define LOCK_TRIES 500
#define LOCK_PAUSE 10 /* ms */

/* --- folders --- */

static char *cache_dir(void)
{
	const char *set = getenv("XDG_CACHE_HOME");

	if (set && set[0] == '/')
		return slu_asprintf("%s/sluice-run", set);

	SLU_AUTO(slu_freep) char *home = slu_path_home();

	if (home)
		return slu_asprintf("%s/.cache/sluice-run", home);
	return slu_strdup("");
}

int slu_control_dirs(uint32_t uid, char *ret[SLU_CONTROL_DIRS])
{
	const char *set = getenv("XDG_RUNTIME_DIR");
	bool mine = uid == geteuid();

	ret[0] = mine && set && set[0] == '/' ? slu_asprintf("%s/sluice", set) : slu_strdup("");
	ret[1] = uid ? slu_asprintf("/run/user/%u/sluice", uid) : slu_strdup("/run/sluice");
	ret[2] = mine ? cache_dir() : slu_strdup("");
	for (int i = 0; i < SLU_CONTROL_DIRS; i++) {
		if (ret[i])
			continue;
		for (int k = 0; k < SLU_CONTROL_DIRS; k++)
			free(slu_take(ret[k]));
		return -ENOMEM;
	}
	return 0;
}

static void dirs_done(char *(*dirs)[SLU_CONTROL_DIRS])
{
	for (int i = 0; i < SLU_CONTROL_DIRS; i++)
		free((*dirs)[i]);
}

void slu_control_name(uint32_t major, uint32_t minor, char out[SLU_CONTROL_NAME])
{
	snprintf(out, SLU_CONTROL_NAME, "mount-%u-%u.sock", major, minor);
}

/* Makes the folder and those above it that are missing; the last one is for its owner alone. */
static int make_dir(const char *path)
{
	SLU_AUTO(slu_freep) char *p = slu_strdup(path);

	if (!p)
		return -ENOMEM;
	for (char *s = p + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		if (mkdir(p, 0700) && errno != EEXIST)
			return -errno;
		*s = '/';
	}
	return mkdir(p, 0700) && errno != EEXIST ? -errno : 0;
}

/* A descriptor of a folder that belongs to `uid` and that nobody else may use; or -errno. */
static int open_dir(const char *path, uint32_t uid)
{
	SLU_AUTO(slu_closep)
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (st.st_uid != uid || st.st_mode & 077)
		return -EPERM;
	return slu_take_fd(fd);
}

static int address(int dirfd, const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", dirfd, name);

	return n < (int)sizeof ret->sun_path ? 0 : -ENAMETOOLONG;
}

/* wait: for a server that has many clients to take. */
static int connect_at(int dirfd, const char *name, bool wait)
{
	SLU_AUTO(slu_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval most = {.tv_sec = CONNECT_S};
	struct sockaddr_un a;
	int r = fd < 0 ? -errno : address(dirfd, name, &a);

	if (!r && (wait ? setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most)
			: fcntl(fd, F_SETFL, O_NONBLOCK)))
		r = -errno;
	if (!r && connect(fd, (struct sockaddr *)&a, sizeof a))
		r = -errno; /* EAGAIN: its queue is full, so somebody listens */
	return r ? r : slu_take_fd(fd);
}

/* --- the server's end --- */

/* Who adds or removes names has the folder for itself: device numbers are used again, so that the name which a
 * dead server left may become a new one's at any moment.  A folder that cannot be locked (NFS), or that
 * a stopped process holds, is used as it is. */
static void lock_dir(int dirfd)
{
	for (int i = 0; i < LOCK_TRIES && flock(dirfd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
	     i++)
		poll(NULL, 0, LOCK_PAUSE);
}

/* Names under which nobody listens: their servers were killed. */
static void sweep(int dirfd)
{
	int copy = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	SLU_AUTO(slu_closedirp) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;

	if (!dir) {
		slu_closep(&copy);
		return;
	}
	while ((d = readdir(dir))) {
		int fd;

		if (!slu_starts(d->d_name, OWN) &&
		    !(slu_starts(d->d_name, "mount-") && slu_ends(d->d_name, ".sock")))
			continue;
		fd = connect_at(dirfd, d->d_name, false);
		if (fd == -ECONNREFUSED)
			(void)unlinkat(dirfd, d->d_name, 0);
		slu_closep(&fd);
	}
}

/* Bound under a name of its own first: the one that counts never stands for a socket without a server.
 * The own one tells this socket from all others (is_of). */
static int listen_at(int dirfd, const char *name)
{
	SLU_AUTO(slu_closep)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a;
	char own[64];
	int r;

	snprintf(own, sizeof own, OWN "%ld-%lld", (long)getpid(), (long long)slu_now());
	if (fd < 0 || fchmod(fd, 0600))
		return -errno;
	r = address(dirfd, own, &a);
	if (r)
		return r;
	if (bind(fd, (struct sockaddr *)&a, sizeof a))
		return -errno;
	if (listen(fd, BACKLOG) || renameat(dirfd, own, dirfd, name)) {
		r = -errno;
		(void)unlinkat(dirfd, own, 0);
		return r;
	}
	return slu_take_fd(fd);
}

int slu_control_listen(const char *name, int *ret_fd, struct slu_err *e)
{
	SLU_AUTO(dirs_done) char *dirs[SLU_CONTROL_DIRS] = {NULL};
	int r = slu_control_dirs(geteuid(), dirs);
	const char *last = "";

	if (r)
		return slu_fail_oom(e);
	r = -ENOENT;
	for (int i = 0; i < SLU_CONTROL_DIRS && r < 0; i++) {
		SLU_AUTO(slu_closep) int dirfd = -1;

		if (!dirs[i][0])
			continue;
		last = dirs[i];
		r = make_dir(dirs[i]);
		if (!r)
			r = dirfd = open_dir(dirs[i], geteuid());
		if (r < 0)
			continue;
		lock_dir(dirfd);
		sweep(dirfd);
		/* Where it could not be locked another's sweep may come before the own name is listened at. */
		r = -ENOENT;
		for (int k = 0; k < OWN_TRIES && r == -ENOENT; k++)
			r = listen_at(dirfd, name);
		if (r < 0)
			continue;
		*ret_fd = r;
		return 0;
	}
	return slu_fail_sys(
		e, -r,
		"no folder for the control socket (tried '%s' last): set XDG_RUNTIME_DIR "
		"to one of your own",
		last);
}

/* Is what listens under the name this socket?  A connection knows the address that its server was bound to. */
static bool is_of(int dirfd, const char *name, int fd)
{
	SLU_AUTO(slu_closep) int conn = connect_at(dirfd, name, false);
	struct sockaddr_un there = {0}, here = {0};
	socklen_t n = sizeof there, m = sizeof here;

	return conn >= 0 && !getpeername(conn, (struct sockaddr *)&there, &n) &&
	       !getsockname(fd, (struct sockaddr *)&here, &m) &&
	       slu_streq(there.sun_path, here.sun_path);
}

void slu_control_forget(const char *name, int fd)
{
	SLU_AUTO(dirs_done) char *dirs[SLU_CONTROL_DIRS] = {NULL};

	if (slu_control_dirs(geteuid(), dirs))
		return;
	for (int i = 0; i < SLU_CONTROL_DIRS; i++) {
		SLU_AUTO(slu_closep) int dirfd = dirs[i][0] ? open_dir(dirs[i], geteuid()) : -1;

		if (dirfd < 0)
			continue;
		lock_dir(dirfd);
		if (is_of(dirfd, name, fd))
			(void)unlinkat(dirfd, name, 0);
	}
}

/* --- the client's end --- */

static int no_answer(int code, struct slu_err *e)
{
	if (code == ENOENT)
		return slu_fail(
			e, ENOENT,
			"this mount has no control socket that is known here: it is served in "
			"another container, with another XDG_RUNTIME_DIR, by an older sluice, or "
			"by nobody any more, and then `sluice unmount` takes it away");
	if (code == ECONNREFUSED)
		return slu_fail(e, code, "the process of this mount is gone: unmount it");
	return slu_fail_sys(e, code, "the process of this mount does not answer");
}

int slu_control_connect(uint32_t major, uint32_t minor, uint32_t uid, struct slu_err *e)
{
	SLU_AUTO(dirs_done) char *dirs[SLU_CONTROL_DIRS] = {NULL};
	char name[SLU_CONTROL_NAME];
	int r = slu_control_dirs(uid, dirs), why = -ENOENT;

	if (r)
		return slu_fail_oom(e);
	slu_control_name(major, minor, name);
	for (int i = 0; i < SLU_CONTROL_DIRS; i++) {
		SLU_AUTO(slu_closep) int dirfd = dirs[i][0] ? open_dir(dirs[i], uid) : -1;

		r = dirfd < 0 ? -ENOENT : connect_at(dirfd, name, true);
		if (r >= 0)
			return r;
		if (r != -ENOENT)
			why = r;
	}
	return no_answer(-why, e);
}

static int wait_for(int fd, short what, int64_t end)
{
	struct pollfd p = {.fd = fd, .events = what};
	int64_t left = (end - slu_now()) / SLU_MS;
	int r = poll(&p, 1, left > 0 ? (int)left : 0);

	return r > 0 ? 0 : r == 0 ? -ETIMEDOUT : errno == EINTR ? 0 : -errno;
}

static int send_all(int fd, const char *p, size_t n, int64_t end)
{
	while (n) {
		ssize_t did = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r = did < 0 && errno == EAGAIN ? wait_for(fd, POLLOUT, end) : 0;

		if (r)
			return r;
		if (did < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		p += did > 0 ? did : 0;
		n -= did > 0 ? (size_t)did : 0;
	}
	return 0;
}

/* Up to and with the newline. */
static int receive_line(int fd, struct slu_buf *b, int64_t end)
{
	char chunk[16384];

	while (!b->len || b->p[b->len - 1] != '\n') {
		ssize_t n = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);
		int r = n < 0 && errno == EAGAIN ? wait_for(fd, POLLIN, end) : 0;

		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0)
			slu_buf_add(b, chunk, (size_t)n);
		if (!r)
			r = slu_buf_err(b);
		if (r)
			return r;
	}
	return 0;
}

static int errno_named(const char *name)
{
	for (int i = 1; name && i < 160; i++) {
		const char *s = strerrorname_np(i);

		if (s && slu_streq(s, name))
			return i;
	}
	return EIO;
}

int slu_control_ask(int fd, const struct json_t *request, int64_t timeout_ns, struct json_t **ret,
		    struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = slu_json_text(request, SLU_JSON_COMPACT);
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_CONTROL_ANSWER + 1);
	SLU_AUTO(slu_json_freep) struct json_t *answer = NULL;
	int64_t end = slu_deadline_in(timeout_ns);
	int r = text ? send_all(fd, text, strlen(text), end) : -ENOMEM;

	if (!r)
		r = send_all(fd, "\n", 1, end);
	if (!r)
		r = receive_line(fd, &b, end);
	if (r)
		return slu_fail_sys(e, -r, "the mount's process does not answer");
	r = slu_json_parse(b.p, b.len - 1, "answer", &answer, e);
	if (r)
		return r;
	if (!slu_json_bool(answer, "ok", false)) {
		const struct json_t *err = slu_json_get(answer, "error");
		const char *why = slu_json_str(err, "message");

		return slu_fail(e, errno_named(slu_json_str(err, "code")), "%s",
				why ? why : "the mount's process refused");
	}
	*ret = slu_take(answer);
	return 0;
}
