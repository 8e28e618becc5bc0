/* SPDX-License-Identifier: Apache-2.0 */
/* What a DataNode does that hands out a replica: open files with one byte. */
#ifndef SLU_TESTS_LIB_SENDFDS_H
#define SLU_TESTS_LIB_SENDFDS_H

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define SENDFDS_MAX 3

/* True: the other end may take them. */
static inline bool send_fds(int fd, const int *fds, size_t n)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(SENDFDS_MAX * sizeof(int))];
	} c = {0};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = c.room,
			   .msg_controllen = CMSG_SPACE(n * sizeof(int))};

	c.h.cmsg_level = SOL_SOCKET;
	c.h.cmsg_type = SCM_RIGHTS;
	c.h.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&c.h), fds, n * sizeof(int));
	return sendmsg(fd, &m, MSG_NOSIGNAL) == 1;
}

#endif
