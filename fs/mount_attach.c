/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching /dev/fuse to a mount point and taking it off again.  Root does it by mount(2) and
 * umount2(2); anybody else through the setuid helper fusermount3, which gets an environment of our
 * making, exactly one descriptor and a time limit, and hands the device back over a socket.
 */
#include "fs/mount_point.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define HELPER_NS (20 * SLU_SEC)
#define SOCKET_FD 3 /* in the helper */
#define LOCK_NS (5 * SLU_SEC)
#define LOCK_STEP_MS 5

static const char *const helpers[] = {"/usr/bin/fusermount3", "/bin/fusermount3",
				      "/usr/local/bin/fusermount3"};

static const char not_allowed[] =
	"allow_other is for root only, unless /etc/fuse.conf has a line 'user_allow_other': add it "
	"there, or leave out allow_other";

static const char *find_helper(void)
{
	for (size_t i = 0; i < sizeof helpers / sizeof helpers[0]; i++)
		if (!access(helpers[i], X_OK))
			return helpers[i];
	return NULL;
}

/* A string option of fusermount3: commas and backslashes are escaped. */
static void add_escaped(struct slu_buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == ',' || *s == '\\')
			slu_buf_ch(b, '\\');
		slu_buf_ch(b, *s);
	}
}

/* The device the helper opened.  -errno, -ENODATA: it sent none. */
static int receive_fd(int sock, int64_t end)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} c;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = c.space,
			     .msg_controllen = sizeof c.space};
	struct pollfd p = {.fd = sock, .events = POLLIN};
	int64_t left = (end - slu_now()) / SLU_MS;
	int fd, r = poll(&p, 1, left > 0 ? (int)left : 0);

	if (r <= 0)
		return r ? -errno : -ETIMEDOUT;
	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return -ENODATA;
	struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
		return -ENODATA;
	memcpy(&fd, CMSG_DATA(h), sizeof fd);
	return fd;
}

/* What the helper had to say: its first line. */
static void read_complaint(int fd, char *out, size_t size)
{
	size_t n = 0;
	ssize_t r;

	while (n < size - 1 && (r = read(fd, out + n, size - 1 - n)) > 0)
		n += (size_t)r;
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static int wait_for(pid_t pid, int64_t end)
{
	int status;
	pid_t got;

	while ((got = waitpid(pid, &status, WNOHANG)) == 0 && !slu_expired(end))
		poll(NULL, 0, 5);
	if (got == 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return -ETIMEDOUT;
	}
	return got == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}

/* sock: its end of the socket, or -1; err: where its messages go. */
static int spawn_helper(const char *const *argv, int sock, int err, pid_t *ret)
{
	static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
					  "_FUSE_COMMFD=3", NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r = posix_spawn_file_actions_init(&fa);

	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r) {
		posix_spawn_file_actions_destroy(&fa);
		return -r;
	}
	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (!r)
		r = posix_spawnattr_setsigmask(&attr, &none);
	if (!r)
		r = posix_spawnattr_setsigdefault(&attr, &all);
	if (!r)
		r = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDWR, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&fa, 0, 1);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&fa, err, 2);
	if (!r && sock >= 0)
		r = posix_spawn_file_actions_adddup2(&fa, sock, SOCKET_FD);
	if (!r)
		r = posix_spawn_file_actions_addclosefrom_np(&fa,
							     sock >= 0 ? SOCKET_FD + 1 : SOCKET_FD);
	if (!r)
		r = posix_spawn(ret, argv[0], &fa, &attr, (char *const *)argv, (char *const *)env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return -r;
}

/* Runs fusermount3; *ret_fd: the device it sent, when sock is wanted.  0, -errno, or its exit code. */
static int run_helper(const char *const *argv, int *ret_fd, char *complaint, size_t size)
{
	SLU_AUTO(slu_closep) int mine = -1, out = -1;
	int sv[2] = {-1, -1}, errs[2], r;
	int64_t end = slu_deadline_in(HELPER_NS);
	pid_t pid;

	complaint[0] = '\0';
	if (ret_fd && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return -errno;
	mine = sv[0];
	if (pipe2(errs, O_CLOEXEC)) {
		r = -errno;
		if (sv[1] >= 0)
			close(sv[1]);
		return r;
	}
	out = errs[0];
	r = spawn_helper(argv, sv[1], errs[1], &pid);
	if (sv[1] >= 0)
		close(sv[1]);
	close(errs[1]);
	if (r)
		return r;
	int fd = ret_fd ? receive_fd(mine, end) : -1;

	r = wait_for(pid, end);
	read_complaint(out, complaint, size);
	if (ret_fd && !r) {
		if (fd < 0)
			return fd;
		*ret_fd = fd;
	} else if (fd >= 0) {
		close(fd);
	}
	return r;
}

/* May a user who is not root let others in?  fusermount3 says no as well, but not what to do. */
static int check_allow_other(struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64u << 10);

	if (geteuid() == 0 || slu_buf_read_at(&b, AT_FDCWD, "/etc/fuse.conf") < 0)
		return geteuid() == 0 ? 0 : slu_fail(e, EPERM, "%s", not_allowed);
	for (const char *line = b.p; line && *line; line = strchr(line, '\n')) {
		line += strspn(line, "\n \t");
		const char *rest = slu_after(line, "user_allow_other");

		if (rest && strchr(" \t\r\n#", *rest))
			return 0;
	}
	return slu_fail(e, EPERM, "%s", not_allowed);
}

static int attach_by_helper(const char *canon, const struct slu_mount_opts *o, uint32_t max_read,
			    int *ret_fd, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);
	const char *argv[] = {find_helper(), "-o", NULL, "--", canon, NULL};
	char complaint[256];

	if (o->allow_other && check_allow_other(e))
		return -EPERM;
	if (!argv[0])
		return slu_fail(e, ENOENT,
				"fusermount3 is not installed: it is needed to mount "
				"without being root (Debian: apt install fuse3)");
	slu_buf_fmt(&b, "%s,nosuid,nodev,default_permissions,max_read=%u,subtype=sluice,fsname=",
		    o->set && o->set->writable ? "rw" : "ro", max_read);
	add_escaped(&b, o->source ? o->source : "sluice");
	if (o->allow_other)
		slu_buf_str(&b, ",allow_other");
	if (slu_buf_err(&b))
		return slu_fail_oom(e);
	argv[2] = b.p;
	int r = run_helper(argv, ret_fd, complaint, sizeof complaint);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot mount at '%s' by fusermount3", canon);
	if (r)
		return slu_fail(e, EPERM, "cannot mount at '%s': %s", canon,
				complaint[0] ? complaint : "fusermount3 failed");
	return 0;
}

static int attach_by_root(const char *canon, const struct slu_mount_opts *o, uint32_t max_read,
			  int *ret_fd, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(256);

	if (fd < 0)
		return slu_fail_sys(e, errno,
				    "cannot open /dev/fuse (in a container it has to be "
				    "passed in: --device /dev/fuse --cap-add SYS_ADMIN)");
	slu_buf_fmt(&b,
		    "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,max_read=%u",
		    fd, geteuid(), getegid(), max_read);
	if (o->allow_other)
		slu_buf_str(&b, ",allow_other");
	if (slu_buf_err(&b))
		return slu_fail_oom(e);
	if (mount(o->source ? o->source : "sluice", canon, SLU_MPOINT_TYPE,
		  (o->set && o->set->writable ? 0 : MS_RDONLY) | MS_NOSUID | MS_NODEV, b.p))
		return slu_fail_sys(e, errno, "cannot mount at '%s'", canon);
	*ret_fd = slu_take_fd(fd);
	return 0;
}

/* Of two who mount at the same place at once the kernel would put one over the other: the folder is locked
 * while one of them does it.  *ret: to be closed then; -1 where it cannot be locked. */
static int lock_place(const char *canon, int *ret, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int fd = open(canon, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct slu_mpoint there;

	for (int64_t end = slu_deadline_in(LOCK_NS); fd >= 0 && flock(fd, LOCK_EX | LOCK_NB);) {
		if (errno != EWOULDBLOCK || slu_expired(end))
			break;
		poll(NULL, 0, LOCK_STEP_MS);
	}
	if (slu_mpoint_find(canon, &there) > 0)
		return slu_fail(e, EBUSY,
				"'%s' already shows %s: another process has just mounted it there",
				canon, there.source);
	*ret = slu_take_fd(fd);
	return 0;
}

int slu_mpoint_attach(const char *canon, const struct slu_mount_opts *o, uint32_t max_read,
		      int *ret_fd, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int lock = -1;
	int r = lock_place(canon, &lock, e);

	if (r)
		return r;
	if (geteuid() == 0) {
		r = attach_by_root(canon, o, max_read, ret_fd, e);
		if (r != -EPERM || !find_helper())
			return r;
	}
	return attach_by_helper(canon, o, max_read, ret_fd, e);
}

int slu_mpoint_given(const char *path)
{
	const char *n = slu_after(path, "/dev/fd/");
	uint64_t v;

	return n && slu_u64(n, &v) && v <= INT_MAX ? (int)v : -1;
}

int slu_mpoint_take(int fd, struct slu_err *e)
{
	struct stat st;
	int copy;

	if (fstat(fd, &st) || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(10, 229))
		return slu_fail(
			e, EINVAL,
			"'/dev/fd/%d' is no descriptor of /dev/fuse: open the device, mount "
			"it, and pass that descriptor",
			fd);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return slu_fail_sys(e, errno, "cannot use '/dev/fd/%d'", fd);
	close(fd); /* the mount ends with the last of them */
	return copy;
}

int slu_mpoint_detach(const char *canon, bool lazy, struct slu_err *e)
{
	const char *argv[] = {find_helper(), lazy ? "-zu" : "-u", "--", canon, NULL};
	char complaint[256];
	int r;

	if (!umount2(canon, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)))
		return 0;
	r = -errno;
	if (r != -EPERM || !argv[0])
		return slu_fail_sys(e, -r, "cannot unmount '%s'", canon);
	r = run_helper(argv, NULL, complaint, sizeof complaint);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot unmount '%s' by fusermount3", canon);
	if (!r)
		return 0;
	/* The helper does not say why by its code; being busy is the one reason that passes. */
	return slu_fail(e, strstr(complaint, "busy") || !complaint[0] ? EBUSY : EPERM,
			"cannot unmount '%s': %s", canon,
			complaint[0] ? complaint : "fusermount3 failed");
}
