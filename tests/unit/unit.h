/* SPDX-License-Identifier: Apache-2.0 */
/* What unit tests share: cmocka with the headers that it wants, errors by code and text, and a
 * temporary folder.  Include it first. */
#ifndef SLU_TESTS_UNIT_H
#define SLU_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/path.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* rc and e must be this failure, and the message must hold this text. */
#define assert_failed(rc, e, want, text)                                                           \
	do {                                                                                       \
		assert_int_equal((rc), -(want));                                                   \
		assert_int_equal((e).code, (want));                                                \
		if (!strstr((e).msg, (text)))                                                      \
			fail_msg("'%s' is not in: %s", (text), (e).msg);                           \
	} while (0)

/* For messages on top of the address: assert_contains(log, "needle"). */
#define assert_contains(hay, needle)                                                               \
	do {                                                                                       \
		if (!strstr((hay), (needle)))                                                      \
			fail_msg("'%s' is not in: %s", (needle), (hay));                           \
	} while (0)
#define assert_lacks(hay, needle)                                                                  \
	do {                                                                                       \
		if (strstr((hay), (needle)))                                                       \
			fail_msg("'%s' is in: %s", (needle), (hay));                               \
	} while (0)

/* A folder of the test's own: its path, and a descriptor.  Pair with unit_dir_done. */
struct unit_dir {
	char path[64];
	int fd;
};

static inline void unit_dir_make(struct unit_dir *d)
{
	const char *base = getenv("TMPDIR");

	snprintf(d->path, sizeof(d->path), "%s/slu-unit-XXXXXX",
		 base && strlen(base) < 40 ? base : "/tmp");
	assert_non_null(mkdtemp(d->path));
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(d->fd >= 0);
}

static inline void unit_dir_done(struct unit_dir *d)
{
	const char *base = strrchr(d->path, '/');
	int up = openat(d->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	close(d->fd);
	assert_int_equal(slu_path_rmtree(up, base + 1), 0);
	close(up);
}

/* False: it ended before n bytes came. */
static inline bool unit_read_all(int fd, void *p, size_t n)
{
	for (char *c = p; n;) {
		ssize_t r = read(fd, c, n);

		if (r <= 0)
			return false;
		c += r;
		n -= (size_t)r;
	}
	return true;
}

/* A socket that holds a port of 127.0.0.1 at which nobody listens: no other program gets it meanwhile. */
static inline int unit_refusing(uint16_t *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* n letters that tell their place; the caller frees. */
static inline char *unit_pattern(size_t n)
{
	char *p = malloc(n + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)('a' + (i * 31 + i / 4096) % 26);
	p[n] = '\0';
	return p;
}

#endif
