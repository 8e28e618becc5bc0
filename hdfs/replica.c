/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a replica (replica.h), and how a DataNode is asked for them. */
#include "hdfs/replica.h"

#include "common/cleanup.h"
#include "common/mem.h"
#include "common/str.h"
#include "hdfs/hdfs.pb-c.h"
#include "hdfs/rpc.h"
#include "io/crypt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define META_HEADER 7
#define CHUNK_MAX (64u << 10)
#define PIECE (128u << 10) /* that is read and checked at a time: it stays in the cache */
#define ANSWER_MAX 4096
#define WAIT_S 5
#define UNSUPPORTED 7 /* ERROR_UNSUPPORTED of datatransfer.proto */

/* --- the socket --- */

/* May somebody else have put it there? */
static int check_place(const char *path)
{
	SLU_AUTO(slu_freep) char *dir = slu_strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	struct stat st;

	if (!dir)
		return -ENOMEM;
	if (!slash)
		return -EINVAL;
	slash[slash == dir] = '\0';
	if (stat(dir, &st))
		return -errno;
	return st.st_mode & (S_IWGRP | S_IWOTH) ? -EACCES : 0;
}

static int reach(const char *path)
{
	const struct timeval wait = {.tv_sec = WAIT_S};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	SLU_AUTO(slu_closep) int fd = -1;
	int r = check_place(path);

	if (r < 0)
		return r;
	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return -errno;
	return slu_take_fd(fd);
}

static int get(int fd, void *p, size_t n)
{
	for (char *c = p; n;) {
		ssize_t r = recv(fd, c, n, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r ? -errno : -ECONNRESET;
		c += r;
		n -= (size_t)r;
	}
	return 0;
}

/* Not a byte more than the answer: the descriptors come with the next one. */
static int get_answer(int fd)
{
	uint8_t buf[ANSWER_MAX];
	uint32_t len = 0;
	int used = 0, r;

	for (size_t n = 1; !used; n++) {
		r = get(fd, buf + n - 1, 1);
		if (r < 0)
			return r;
		used = slu_pb_varint(buf, n, &len);
	}
	if (used < 0 || len > sizeof(buf))
		return -EPROTO;
	r = get(fd, buf, len);
	if (r < 0)
		return r;
	Slu__Pb__BlockOpResponse *m = slu__pb__block_op_response__unpack(NULL, len, buf);

	if (!m)
		return -EPROTO;
	r = m->status == UNSUPPORTED ? -ENOTSUP : m->status ? -EREMOTEIO : 0;
	slu__pb__block_op_response__free_unpacked(m, NULL);
	return r;
}

static int get_fds(int fd, int ret[2])
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} c;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = c.room,
			   .msg_controllen = sizeof(c.room)};
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *h = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;

	if (n < 0)
		return -errno;
	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int got[2] = {-1, -1};

	memcpy(got, CMSG_DATA(h), (count < 2 ? count : 2) * sizeof(int));
	if (count == 2 && !(m.msg_flags & MSG_CTRUNC)) {
		memcpy(ret, got, sizeof(got));
		return 0;
	}
	for (size_t i = 0; i < 2; i++)
		if (got[i] >= 0)
			close(got[i]);
	return -EPROTO;
}

int slu_replica_ask(const char *path, const void *request, size_t len, int ret_fds[2])
{
	SLU_AUTO(slu_closep) int fd = reach(path);
	int r;

	if (fd < 0)
		return fd;
	if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
		return -EPIPE;
	r = get_answer(fd);
	return r < 0 ? r : get_fds(fd, ret_fds);
}

/* --- the files --- */

static int read_at(int fd, void *p, size_t n, uint64_t off)
{
	for (char *c = p; n;) {
		ssize_t r = pread(fd, c, n, (off_t)off);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r ? -errno : -ENODATA;
		c += r;
		n -= (size_t)r;
		off += (uint64_t)r;
	}
	return 0;
}

int slu_replica_open(struct slu_replica *r, int data, int meta, uint64_t size)
{
	uint8_t h[META_HEADER];
	struct stat st;
	int rc = read_at(meta, h, sizeof(h), 0);

	if (rc < 0)
		return rc;
	*r = (struct slu_replica){
		.data = data, .meta = meta, .type = h[2], .chunk = slu_be32(h + 3), .size = size};
	if (h[0] || h[1] != 1 || r->type < 1 || r->type > 2 || !r->chunk || r->chunk > CHUNK_MAX)
		return -EPROTO;
	if (fstat(data, &st))
		return -errno;
	return S_ISREG(st.st_mode) && (uint64_t)st.st_size >= size ? 0 : -EPROTO;
}

static int check(const struct slu_replica *r, const char *p, size_t n, const uint8_t *sums)
{
	for (size_t i = 0; i < n; i += r->chunk, sums += 4) {
		size_t len = n - i < r->chunk ? n - i : r->chunk;
		uint32_t crc = r->type == 1 ? slu_crc32(0, p + i, len) : slu_crc32c(0, p + i, len);

		if (crc != slu_be32(sums))
			return -EBADMSG;
	}
	return 0;
}

/* Whole chunks, or those up to the end of the block. */
static int read_chunks(const struct slu_replica *r, uint64_t off, size_t len, char *buf)
{
	uint8_t sums[4096];
	size_t most = sizeof(sums) / 4 * r->chunk;
	int rc = 0;

	if (most > PIECE && PIECE >= r->chunk)
		most = PIECE - PIECE % r->chunk;
	while (rc == 0 && len) {
		size_t n = len < most ? len : most;

		rc = read_at(r->meta, sums, (n + r->chunk - 1) / r->chunk * 4,
			     META_HEADER + off / r->chunk * 4);
		if (rc == 0)
			rc = read_at(r->data, buf, n, off);
		if (rc == 0)
			rc = check(r, buf, n, sums);
		off += n;
		buf += n;
		len -= n;
	}
	return rc;
}

/* A part of one chunk. */
static int read_part(const struct slu_replica *r, uint64_t off, size_t len, char *buf)
{
	uint64_t at = off - off % r->chunk;
	size_t n = r->size - at < r->chunk ? (size_t)(r->size - at) : r->chunk;
	SLU_AUTO(slu_freep) char *all = slu_malloc(n);
	int rc = all ? read_chunks(r, at, n, all) : -ENOMEM;

	if (rc == 0)
		memcpy(buf, all + (off - at), len);
	return rc;
}

int slu_replica_read(const struct slu_replica *r, uint64_t off, size_t len, char *buf)
{
	uint64_t end = off + len;

	if (end > r->size)
		return -ENODATA;
	while (off < end) {
		uint64_t next = off - off % r->chunk + r->chunk;
		uint64_t last = end == r->size ? end : end - end % r->chunk;
		uint64_t stop = off % r->chunk == 0 && last > off ? last : next < end ? next : end;
		bool whole = off % r->chunk == 0 && last > off;
		int rc = whole ? read_chunks(r, off, (size_t)(stop - off), buf)
			       : read_part(r, off, (size_t)(stop - off), buf);

		if (rc < 0)
			return rc;
		buf += stop - off;
		off = stop;
	}
	return 0;
}
