/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a DataNode on this machine answers when it is asked for a replica, and as the replica's two files: the
 * descriptors that come are ours or closed, and what is read is in the file and agrees with its checksums.
 */
#include "common/mem.h"
#include "hdfs/replica.h"
#include "tests/lib/sendfds.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REPLICA_HEAD 5

static struct {
	char dir[32], path[48];
	int listener;
	const uint8_t *say; /* before the descriptors */
	size_t n;
	int fds[SENDFDS_MAX], nfds;
} node = {.listener = -1};

/* --- the DataNode --- */

static void *give(void *arg)
{
	int fd = accept4(node.listener, NULL, NULL, SOCK_CLOEXEC);
	char request[16];

	(void)arg;
	if (fd < 0)
		abort();
	(void)!recv(fd, request, sizeof(request), 0);
	(void)!send(fd, node.say, node.n, MSG_NOSIGNAL);
	if (node.nfds)
		(void)send_fds(fd, node.fds, (size_t)node.nfds);
	close(fd);
	return NULL;
}

static void socket_close(void)
{
	close(node.listener);
	unlink(node.path);
	rmdir(node.dir);
}

static void socket_open(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	if (node.listener >= 0)
		return;
	strcpy(node.dir, "/tmp/fuzz-XXXXXX");
	if (!mkdtemp(node.dir))
		abort();
	snprintf(node.path, sizeof(node.path), "%s/dn", node.dir);
	memcpy(a.sun_path, node.path, sizeof(node.path));
	node.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(node.listener, (struct sockaddr *)&a, sizeof(a)) || listen(node.listener, 1))
		abort();
	atexit(socket_close);
}

/* --- the files --- */

static int file_of(const uint8_t *p, size_t n)
{
	int fd = memfd_create("replica", MFD_CLOEXEC);

	if (fd < 0 || write(fd, p, n) != (ssize_t)n)
		abort();
	return fd;
}

static void read_some(const struct slu_replica *r, const uint8_t *data, size_t n, size_t off,
		      size_t len)
{
	char *buf = malloc(len ? len : 1);

	if (!buf)
		return;
	if (!slu_replica_read(r, off, len, buf) && (off + len > n || memcmp(buf, data + off, len)))
		abort();
	free(buf);
}

static void read_files(int data_fd, int meta_fd, const uint8_t *head, const uint8_t *data, size_t n)
{
	struct slu_replica r;
	uint64_t size = head[1] | (uint64_t)head[2] << 8;

	if (slu_replica_open(&r, data_fd, meta_fd, size))
		return;
	if (r.size > n)
		abort();
	read_some(&r, data, n, 0, (size_t)size);
	read_some(&r, data, n, head[3], head[4]);
	read_some(&r, data, n, (size_t)size, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *head = data;
	int data_fd, meta_fd, fds[2] = {-1, -1}, r;
	size_t answer, meta;
	pthread_t thread;

	if (size < REPLICA_HEAD)
		return 0;
	socket_open();
	data += REPLICA_HEAD;
	size -= REPLICA_HEAD;
	answer = head[0] >> 2 < size ? head[0] >> 2 : size;
	node.say = data;
	node.n = answer;
	node.nfds = head[0] & 3;
	data += answer;
	size -= answer;
	meta = size < 7 + 4 * 8 ? size : 7 + 4 * 8;
	meta_fd = file_of(data, meta);
	data_fd = file_of(data + meta, size - meta);
	node.fds[0] = node.fds[2] = data_fd;
	node.fds[1] = meta_fd;
	if (pthread_create(&thread, NULL, give, NULL))
		abort();
	r = slu_replica_ask(node.path, "\0\x1c\x57", 3, fds);
	pthread_join(thread, NULL);
	if (!r) {
		read_files(fds[0], fds[1], head, data + meta, size - meta);
		close(fds[0]);
		close(fds[1]);
	} else if (fds[0] >= 0 || fds[1] >= 0 || r > 0) {
		abort();
	}
	read_files(data_fd, meta_fd, head, data + meta, size - meta);
	close(data_fd);
	close(meta_fd);
	/* each that came is closed again: none is left above */
	r = dup(0);
	if (r > 200)
		abort();
	close(r);
	return 0;
}
