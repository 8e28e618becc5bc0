/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop around write(2) and pwrite(2), once.  It does not wait for a descriptor that does not block.
 */
#include "common/write.h"

#include "common/fault.h"

#include <errno.h>
#include <unistd.h>

#define MOST ((size_t)1 << 30) /* what write(2) takes at once is less than 2 GiB */

static int write_at(int fd, const char *p, size_t n, uint64_t off, bool seek)
{
	while (n) {
		size_t want = n < MOST ? n : MOST;
		ssize_t got = SLU_IO(seek ? pwrite(fd, p, want, (off_t)off) : write(fd, p, want));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		p += got;
		n -= (size_t)got;
		off += (uint64_t)got;
	}
	return 0;
}

int slu_write_all(int fd, const void *p, size_t n)
{
	return write_at(fd, p, n, 0, false);
}

int slu_pwrite_all(int fd, const void *p, size_t n, uint64_t off)
{
	return write_at(fd, p, n, off, true);
}
