/* SPDX-License-Identifier: Apache-2.0 */
/* The growing buffer. */
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/fault.h"

#include <errno.h>
#include <sys/stat.h>

static void a_chain_makes_a_text(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(100);

	(void)state;
	slu_buf_str(&b, "ab");
	slu_buf_ch(&b, 'c');
	slu_buf_add(&b, "\0d", 2);
	slu_buf_fmt(&b, "%d%s", 12, "x");
	assert_int_equal(slu_buf_err(&b), 0);
	assert_int_equal(b.len, 8);
	assert_memory_equal(b.p, "abc\0d12x", 9);
}

static void take_gives_the_text_away(void **state)
{
	struct slu_buf b = SLU_BUF(100);
	char *empty = slu_buf_take(&b), *text;

	(void)state;
	assert_string_equal(empty, "");
	free(empty);
	slu_buf_str(&b, "one");
	text = slu_buf_take(&b);
	assert_string_equal(text, "one");
	free(text);
	assert_null(b.p);
	slu_buf_str(&b, "two");
	assert_string_equal(b.p, "two");
	slu_buf_done(&b);
}

static void the_maximum_holds_and_sticks(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(5);

	(void)state;
	slu_buf_str(&b, "12345");
	assert_int_equal(slu_buf_err(&b), 0);
	slu_buf_str(&b, "");
	assert_int_equal(slu_buf_err(&b), 0);
	slu_buf_ch(&b, '6');
	assert_int_equal(slu_buf_err(&b), -EMSGSIZE);
	slu_buf_str(&b, "");
	assert_string_equal(b.p, "12345");
	assert_null(slu_buf_take(&b));
	assert_int_equal(slu_buf_err(&b), -EMSGSIZE);
	slu_buf_clear(&b);
	slu_buf_fmt(&b, "%s", "abcde");
	assert_string_equal(b.p, "abcde");
	slu_buf_fmt(&b, "%s", "f");
	assert_int_equal(slu_buf_err(&b), -EMSGSIZE);
}

static void a_maximum_of_nothing_holds(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(0);

	(void)state;
	slu_buf_add(&b, NULL, 0);
	assert_string_equal(b.p, "");
	slu_buf_ch(&b, 'x');
	assert_int_equal(slu_buf_err(&b), -EMSGSIZE);
}

static void sizes_that_overflow_fail(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SIZE_MAX);

	(void)state;
	slu_buf_str(&b, "x");
	slu_buf_add(&b, "y", SIZE_MAX - 1);
	assert_int_equal(slu_buf_err(&b), -EMSGSIZE);
	assert_string_equal(b.p, "x");
}

static void out_of_memory_sticks(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1000);

	(void)state;
	slu_fault_arm(SLU_FAULT_MALLOC, 1, false);
	slu_buf_str(&b, "x");
	slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
	slu_buf_str(&b, "y");
	assert_int_equal(slu_buf_err(&b), -ENOMEM);
	assert_null(slu_buf_take(&b));
	slu_buf_clear(&b);
	slu_buf_str(&b, "z");
	assert_string_equal(b.p, "z");
}

static void write_file(int dir, const char *name, size_t n)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(write(fd, i % 7 ? "a" : "b", 1), 1);
	close(fd);
}

static void files_are_read_up_to_the_maximum(void **state)
{
	static const size_t sizes[] = {0, 1, 63, 64, 65, 1000, 5000};
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct slu_buf fits = SLU_BUF(sizes[i]),
			       small = SLU_BUF(sizes[i] ? sizes[i] - 1 : 0);

		write_file(d.fd, "f", sizes[i]);
		assert_int_equal(slu_buf_read_at(&fits, d.fd, "f"), 0);
		assert_int_equal(fits.len, sizes[i]);
		if (sizes[i])
			assert_int_equal(fits.p[sizes[i] - 1], (sizes[i] - 1) % 7 ? 'a' : 'b');
		assert_int_equal(slu_buf_read_at(&small, d.fd, "f"), sizes[i] ? -EFBIG : 0);
		slu_buf_done(&fits);
		slu_buf_done(&small);
		unlinkat(d.fd, "f", 0);
	}
	unit_dir_done(&d);
}

static void a_big_file_is_read_whole(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(10 << 20);
	enum { SIZE = 3000001 };
	struct unit_dir d;
	int fd;

	(void)state;
	unit_dir_make(&d);
	fd = openat(d.fd, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	assert_int_equal(pwrite(fd, "end", 3, SIZE - 3), 3);
	slu_buf_str(&b, ">");
	assert_int_equal(slu_buf_read_fd(&b, fd), 0);
	assert_int_equal(b.len, SIZE + 1);
	assert_string_equal(b.p + SIZE - 2, "end");
	close(fd);
	unit_dir_done(&d);
}

static void reading_reports_what_is_wrong(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(10);
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	assert_int_equal(slu_buf_read_at(&b, d.fd, "absent"), -ENOENT);
	assert_int_equal(slu_buf_read_at(&b, d.fd, "."), -EISDIR);
	/* nobody writes to it */
	assert_int_equal(mkfifoat(d.fd, "fifo", 0600), 0);
	assert_int_equal(slu_buf_read_at(&b, d.fd, "fifo"), 0);
	assert_int_equal(b.len, 0);
	write_file(d.fd, "f", 3);
	slu_fault_arm(SLU_FAULT_IO, 2, false);
	assert_int_equal(slu_buf_read_at(&b, d.fd, "f"), -EIO);
	slu_fault_arm(SLU_FAULT_IO, 0, false);
	slu_buf_str(&b, "this is too long");
	assert_int_equal(slu_buf_read_at(&b, d.fd, "f"), -EMSGSIZE);
	unit_dir_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain_makes_a_text),
		cmocka_unit_test(take_gives_the_text_away),
		cmocka_unit_test(the_maximum_holds_and_sticks),
		cmocka_unit_test(a_maximum_of_nothing_holds),
		cmocka_unit_test(sizes_that_overflow_fail),
		cmocka_unit_test(out_of_memory_sticks),
		cmocka_unit_test(files_are_read_up_to_the_maximum),
		cmocka_unit_test(a_big_file_is_read_whole),
		cmocka_unit_test(reading_reports_what_is_wrong),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
