/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl before 8.0 takes a kept connection for a new request even when bytes that nobody asked
 * for wait in it, and would read them as the answer; and it cannot say during a transfer which
 * socket carries it.  So its sockets are opened and closed here and found again by their addresses.
 */
#include "io/sock.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

curl_socket_t slu_sock_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct slu_socks *s = arg;
	(void)purpose;
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	/* One that is not in the list works too, it is only not looked after. */
	(void)!slu_vec_push(&s->v, (struct slu_sock){.fd = fd});
	return fd;
}

int slu_sock_close(void *arg, curl_socket_t fd)
{
	struct slu_socks *s = arg;
	for (size_t i = 0; i < s->v.n; i++)
		if (s->v.p[i].fd == fd) {
			s->v.p[i] = s->v.p[--s->v.n];
			break;
		}
	return close(fd);
}

static int local_port(int fd)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = {0};
	socklen_t n = sizeof(a);
	if (getsockname(fd, &a.sa, &n) < 0)
		return 0;
	if (a.sa.sa_family == AF_INET)
		return ntohs(a.v4.sin_port);
	return a.sa.sa_family == AF_INET6 ? ntohs(a.v6.sin6_port) : 0;
}

int slu_sock_find(struct slu_socks *s, const char *ip, int port, int local)
{
	for (size_t i = 0; i < s->v.n; i++) {
		struct slu_sock *k = &s->v.p[i];
		if (!k->port && local_port(k->fd) == local) {
			k->port = port;
			k->local_port = local;
			snprintf(k->ip, sizeof(k->ip), "%s", ip);
		}
		if (k->local_port == local && k->port == port && strcmp(k->ip, ip) == 0)
			return k->fd;
	}
	return -1;
}

bool slu_sock_clean(int fd)
{
	char c;
	return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	       (errno == EAGAIN || errno == EWOULDBLOCK);
}

uint64_t slu_sock_queued(const struct slu_socks *s, int fd)
{
	int n = 0;
	for (size_t i = 0; i < s->v.n; i++)
		if (s->v.p[i].fd == fd && ioctl(fd, SIOCOUTQ, &n) == 0 && n > 0)
			return (uint64_t)n;
	return 0;
}
