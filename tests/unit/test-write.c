/* SPDX-License-Identifier: Apache-2.0 */
/* Writing all of it. */
#include "tests/unit/unit.h"

#include "common/fault.h"
#include "common/write.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BIG = 1 << 20 };

struct reader {
	int fd;
	size_t got;
	bool right;
};

/* Little at a time, so that the pipe is full most of the time. */
static void *read_slowly(void *arg)
{
	struct reader *r = arg;
	unsigned char b[4096];
	ssize_t n;

	while ((n = read(r->fd, b, sizeof(b))) > 0)
		for (ssize_t i = 0; i < n; i++)
			r->right &= b[i] == (unsigned char)(r->got++ % 251);
	return NULL;
}

static void a_pipe_gets_it_all(void **state)
{
	static unsigned char text[BIG];
	struct reader r = {.right = true};
	pthread_t thread;
	int fds[2];

	(void)state;
	for (size_t i = 0; i < BIG; i++)
		text[i] = (unsigned char)(i % 251);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	r.fd = fds[0];
	assert_int_equal(pthread_create(&thread, NULL, read_slowly, &r), 0);
	assert_int_equal(slu_write_all(fds[1], text, BIG), 0);
	close(fds[1]);
	pthread_join(thread, NULL);
	close(fds[0]);
	assert_int_equal(r.got, BIG);
	assert_true(r.right);
}

static void a_place_is_kept(void **state)
{
	int fd = memfd_create("write", MFD_CLOEXEC);
	char got[8] = "";

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(slu_write_all(fd, "abcdef", 6), 0);
	assert_int_equal(slu_pwrite_all(fd, "XY", 2, 1), 0);
	assert_int_equal(slu_pwrite_all(fd, "", 0, 9), 0);
	assert_int_equal(slu_write_all(fd, "g", 1), 0); /* pwrite moves nothing */
	assert_int_equal(pread(fd, got, sizeof(got), 0), 7);
	assert_string_equal(got, "aXYdefg");
	close(fd);
}

static void failures_are_told(void **state)
{
	int fd = memfd_create("write", MFD_CLOEXEC), none = -1;

	(void)state;
	slu_fault_arm(SLU_FAULT_IO, 1, false);
	assert_int_equal(slu_write_all(fd, "a", 1), -EIO);
	slu_fault_arm(SLU_FAULT_IO, 1, false);
	assert_int_equal(slu_pwrite_all(fd, "a", 1, 0), -EIO);
	slu_fault_arm(SLU_FAULT_IO, 0, false);
	assert_int_equal(slu_write_all(none, "a", 1), -EBADF);
	assert_int_equal(slu_write_all(none, "", 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_pipe_gets_it_all),
					   cmocka_unit_test(a_place_is_kept),
					   cmocka_unit_test(failures_are_told)};

	return cmocka_run_group_tests_name("write", tests, NULL, NULL);
}
