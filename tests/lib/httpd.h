/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scripted HTTP server for tests: raw sockets on a free loopback port, one thread a connection.
 * The test's `serve` gets each request and writes whatever bytes it likes; false closes the
 * connection.  It uses the C library's malloc, so that fault counters do not count it.
 * Include it in one file of a test program.
 */
#ifndef SLU_TESTS_LIB_HTTPD_H
#define SLU_TESTS_LIB_HTTPD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define HTTPD_CONNS 512
#define HTTPD_HEAD 65536

struct httpd;

struct hconn {
	struct httpd *srv;
	int fd, idx; /* idx: how many connections were accepted before this one */
	pthread_t thread;
	char head[HTTPD_HEAD]; /* of the request, NUL-ended */
	char method[16], path[1024];
	uint64_t first, last; /* of a Range header; first > last: there was none */
	size_t have;          /* bytes of the body that came with the head, behind it */
	size_t head_len, body_len;
};

struct httpd {
	int fd, stop_fd;
	uint16_t port;
	bool (*serve)(struct hconn *c);
	pthread_t thread;
	atomic_int conns, requests;
	struct hconn *conn[HTTPD_CONNS];
};

static inline bool hsend(struct hconn *c, const void *p, size_t n)
{
	const char *at = p;
	while (n > 0) {
		ssize_t r = send(c->fd, at, n, MSG_NOSIGNAL);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		at += r;
		n -= (size_t)r;
	}
	return true;
}

__attribute__((format(printf, 2, 3))) static inline bool hprintf(struct hconn *c, const char *fmt,
								 ...)
{
	char b[4096];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(b, sizeof(b), fmt, ap);
	va_end(ap);
	return n >= 0 && (size_t)n < sizeof(b) && hsend(c, b, (size_t)n);
}

/* Waits ms or until the server is stopped or the peer went away: false in these cases. */
static inline bool hpause(struct hconn *c, int ms)
{
	struct pollfd p[2] = {{.fd = c->srv->stop_fd, .events = POLLIN},
			      {.fd = c->fd, .events = POLLRDHUP}};
	return poll(p, 2, ms) == 0;
}

/* Closes with a reset: what the peer has not read yet is lost too. */
static inline void hreset(struct hconn *c)
{
	struct linger l = {.l_onoff = 1, .l_linger = 0};
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* Reads the request body into p (NULL: away); false when it does not come whole. */
static inline bool hbody(struct hconn *c, char *p)
{
	size_t got = c->have < c->body_len ? c->have : c->body_len;
	char sink[65536];
	if (p)
		memcpy(p, c->head + c->head_len, got);
	while (got < c->body_len) {
		size_t left = c->body_len - got;
		ssize_t r = recv(c->fd, p ? p + got : sink,
				 p || left < sizeof(sink) ? left : sizeof(sink), 0);
		if (r <= 0)
			return false;
		got += (size_t)r;
	}
	return true;
}

static inline bool hread_head(struct hconn *c)
{
	size_t n = 0;
	char *end = NULL;
	while (!end) {
		ssize_t r =
			n < HTTPD_HEAD - 1 ? recv(c->fd, c->head + n, HTTPD_HEAD - 1 - n, 0) : -1;
		if (r <= 0)
			return false;
		n += (size_t)r;
		c->head[n] = '\0';
		end = memmem(c->head, n, "\r\n\r\n", 4);
	}
	c->head_len = (size_t)(end + 4 - c->head);
	c->have = n - c->head_len;
	c->body_len = 0;
	c->first = 1;
	c->last = 0;
	const char *h = strcasestr(c->head, "\r\nContent-Length: ");
	if (h && h < end)
		c->body_len = strtoull(h + 18, NULL, 10);
	h = strcasestr(c->head, "\r\nRange: bytes=");
	if (h && h < end) {
		char *dash;
		c->first = strtoull(h + 15, &dash, 10);
		c->last = strtoull(dash + 1, NULL, 10);
	}
	return sscanf(c->head, "%15s %1023s", c->method, c->path) == 2;
}

static inline void *hconn_main(void *arg)
{
	struct hconn *c = arg;
	int one = 1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	while (hread_head(c)) {
		atomic_fetch_add(&c->srv->requests, 1);
		if (!c->srv->serve(c))
			break;
	}
	struct linger l;
	socklen_t n = sizeof(l);
	if (getsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, &n) == 0 && l.l_onoff) {
		/* The number stays taken until the server stops, so that nobody else gets it. */
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		dup2(fd, c->fd);
		close(fd);
	} else {
		shutdown(c->fd, SHUT_WR);
	}
	return NULL;
}

static inline void *httpd_main(void *arg)
{
	struct httpd *s = arg;
	for (;;) {
		struct pollfd p[2] = {{.fd = s->stop_fd, .events = POLLIN},
				      {.fd = s->fd, .events = POLLIN}};
		if (poll(p, 2, -1) < 0 && errno == EINTR)
			continue;
		if (p[0].revents)
			return NULL;
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		int i = atomic_load(&s->conns);
		struct hconn *c = i < HTTPD_CONNS ? calloc(1, sizeof(*c)) : NULL;
		if (!c) {
			close(fd);
			continue;
		}
		*c = (struct hconn){.srv = s, .fd = fd, .idx = i};
		s->conn[i] = c;
		atomic_store(&s->conns, i + 1);
		if (pthread_create(&c->thread, NULL, hconn_main, c))
			abort();
	}
}

static inline void httpd_start(struct httpd *s, bool (*serve)(struct hconn *c))
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	memset(s, 0, sizeof(*s));
	s->serve = serve;
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->stop_fd < 0 || s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(s->fd, 128) < 0 || getsockname(s->fd, (struct sockaddr *)&a, &n) < 0 ||
	    pthread_create(&s->thread, NULL, httpd_main, s)) {
		perror("httpd_start");
		abort();
	}
	s->port = ntohs(a.sin_port);
}

static inline void httpd_stop(struct httpd *s)
{
	uint64_t one = 1;
	if (write(s->stop_fd, &one, sizeof(one)) < 0)
		abort();
	pthread_join(s->thread, NULL);
	for (int i = 0; i < atomic_load(&s->conns); i++) {
		shutdown(s->conn[i]->fd, SHUT_RDWR);
		pthread_join(s->conn[i]->thread, NULL);
		close(s->conn[i]->fd);
		free(s->conn[i]);
	}
	close(s->fd);
	close(s->stop_fd);
}

#endif
