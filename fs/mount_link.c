/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets with descriptors between a worker and the supervisor of its mount, and the worker's end of
 * it.  What the supervisor does with them is in mount_super.c.
 */
#include "fs/mount_link.h"

#include "common/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define START_MS 10000 /* the supervisor sends what it has before the worker starts */

union ancillary {
	struct cmsghdr h;
	char space[CMSG_SPACE(sizeof(int))];
};

int slu_mlink_send(int sock, const char *text, int fd)
{
	union ancillary c = {0};
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fd >= 0) {
		msg.msg_control = c.space;
		msg.msg_controllen = sizeof c.space;
		c.h = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd),
				       .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&c.h), &fd, sizeof fd);
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int fd_of(struct msghdr *msg)
{
	struct cmsghdr *h = CMSG_FIRSTHDR(msg);
	int fd = -1;

	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(h), sizeof fd);
	return fd;
}

ssize_t slu_mlink_receive(int sock, bool wait, char *text, size_t size, int *ret_fd)
{
	union ancillary c = {0};
	struct iovec iov = {text, size - 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = c.space,
			     .msg_controllen = sizeof c.space};
	struct pollfd p = {.fd = sock, .events = POLLIN};
	ssize_t n;

	if (wait && poll(&p, 1, START_MS) == 0)
		return -ETIMEDOUT;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	*ret_fd = fd_of(&msg);
	text[n] = '\0';
	return n;
}

/* True: that was the last of the start. */
static bool take_in(struct slu_mlink *l, const char *text, int fd, int *ret, struct slu_err *e)
{
	unsigned kind = (unsigned)(text[1] - '0');

	*ret = 0;
	if (text[0] == 'S' && fd >= 0) {
		*ret = slu_mshare_attach(fd, &l->share, e);
	} else if (text[0] == 'K' && fd >= 0 && kind < SLU_KEEPS && l->kept[kind] < 0) {
		l->kept[kind] = slu_take_fd(fd);
	}
	slu_closep(&fd);
	return text[0] == 'G';
}

static int start(struct slu_mlink *l, struct slu_err *e)
{
	char text[64];
	bool all = false;
	int r = 0, fd;

	while (!all && !r) {
		ssize_t n = slu_mlink_receive(l->fd, true, text, sizeof text, &fd);

		if (n <= 0)
			return slu_fail_sys(e, n < 0 ? (int)-n : EPIPE,
					    "cannot hear from the supervisor of the mount");
		all = take_in(l, text, fd, &r, e);
	}
	if (!r && !l->share)
		r = slu_fail(e, EPROTO, "the supervisor of the mount sent no memory");
	return r;
}

void slu_mlink_init(struct slu_mlink *l)
{
	*l = (struct slu_mlink){.fd = -1};
	for (unsigned i = 0; i < SLU_KEEPS; i++)
		l->kept[i] = -1;
}

int slu_mlink_open(struct slu_mlink *ret, int fd, struct slu_err *e)
{
	struct slu_mlink l;
	int r;

	slu_mlink_init(&l);
	l.fd = fd;
	r = fd < 0 ? slu_mshare_new(NULL, &l.share, e) : start(&l, e);
	if (r)
		slu_mlink_close(&l);
	else
		*ret = l;
	return r;
}

void slu_mlink_close(struct slu_mlink *l)
{
	for (unsigned i = 0; i < SLU_KEEPS; i++)
		slu_closep(&l->kept[i]);
	slu_mshare_free(l->share);
	slu_closep(&l->fd);
	slu_mlink_init(l);
}

bool slu_mlink_heir(const struct slu_mlink *l)
{
	return l->kept[SLU_KEEP_FUSE] >= 0;
}

bool slu_mlink_tie(const struct slu_mlink *l)
{
	struct pollfd p = {.fd = l->fd};

	if (slu_mlink_heir(l))
		return true;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return poll(&p, 1, 0) <= 0 || !(p.revents & (POLLHUP | POLLERR));
}

void slu_mlink_untie(const struct slu_mlink *l)
{
	if (!slu_mlink_heir(l))
		(void)prctl(PR_SET_PDEATHSIG, 0);
}

bool slu_mlink_alone(const struct slu_mlink *l)
{
	return l->fd < 0 || atomic_load(&l->gone);
}

int slu_mlink_keep(const struct slu_mlink *l, enum slu_keep kind, int fd)
{
	const char text[] = {'K', (char)('0' + kind), '\0'};

	return slu_mlink_alone(l) ? 0 : slu_mlink_send(l->fd, text, fd);
}

int slu_mlink_kept(const struct slu_mlink *l, enum slu_keep kind)
{
	return l->kept[kind];
}

int slu_mlink_upgrade(const struct slu_mlink *l)
{
	return slu_mlink_alone(l) ? -ENOTCONN : slu_mlink_send(l->fd, "U", -1);
}
