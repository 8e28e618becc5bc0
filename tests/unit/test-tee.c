/* SPDX-License-Identifier: Apache-2.0 */
/* Two streams of a step in one log: by whole lines, whatever comes when. */
#include "tests/unit/job.h"

#include "job/tee.h"

static void make_folders(const struct unit_dir *d)
{
	static const char *const names[] = {"logs", "logs/azureml", "logs/azureml/driver",
					    "user_logs"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_int_equal(mkdirat(d->fd, names[i], 0755), 0);
}

static void say(struct slu_tee *t, int i, const char *text)
{
	assert_int_equal(write(t->give[i], text, strlen(text)), (ssize_t)strlen(text));
	slu_tee_pump(t, i);
}

static void assert_log(const struct unit_dir *d, const char *name, const char *want)
{
	char text[4096];
	int fd = openat(d->fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, want);
}

static void test_lines_stay_whole(void **state)
{
	struct unit_dir d;
	struct slu_err e = {0};
	struct slu_tee t;

	(void)state;
	unit_dir_make(&d);
	make_folders(&d);
	struct slu_run r = {.fd = d.fd, .dir = d.path};

	assert_int_equal(slu_tee_open(&t, &r, &e), 0);
	say(&t, 0, "out 1\nout");
	say(&t, 1, "err 1\nerr");
	assert_log(&d, SLU_RUN_STDOUT, "out 1\nout");
	assert_log(&d, SLU_RUN_STDERR, "err 1\nerr");
	assert_log(&d, SLU_RUN_STDLOG, "out 1\nerr 1\n");
	say(&t, 0, " 2\nlast of out");
	say(&t, 1, " 2\n");
	slu_tee_given(&t);
	slu_tee_pump(&t, 0);
	slu_tee_pump(&t, 1);
	slu_tee_close(&t);
	assert_log(&d, SLU_RUN_STDLOG, "out 1\nerr 1\nout 2\nerr 2\nlast of out");
	assert_log(&d, SLU_RUN_STDOUT, "out 1\nout 2\nlast of out");
	unit_dir_done(&d);
}

/* A line that was never ended, and then the other stream. */
static void test_an_open_line_is_not_gone_on_with(void **state)
{
	struct unit_dir d;
	struct slu_err e = {0};
	struct slu_tee t;

	(void)state;
	unit_dir_make(&d);
	make_folders(&d);
	struct slu_run r = {.fd = d.fd, .dir = d.path};

	assert_int_equal(slu_tee_open(&t, &r, &e), 0);
	say(&t, 0, "done 5");
	close(t.give[0]);
	t.give[0] = -1;
	slu_tee_pump(&t, 0);
	say(&t, 1, "WARN: of stderr\n");
	slu_tee_close(&t);
	assert_log(&d, SLU_RUN_STDLOG, "done 5\nWARN: of stderr\n");
	assert_log(&d, SLU_RUN_STDOUT, "done 5");
	unit_dir_done(&d);
}

static void test_a_long_line_comes_in_pieces(void **state)
{
	struct unit_dir d;
	struct slu_err e = {0};
	struct slu_tee t;
	struct stat st;
	char part[1001];

	(void)state;
	unit_dir_make(&d);
	make_folders(&d);
	struct slu_run r = {.fd = d.fd, .dir = d.path};

	memset(part, 'x', sizeof(part) - 1);
	part[sizeof(part) - 1] = '\0';
	assert_int_equal(slu_tee_open(&t, &r, &e), 0);
	for (int i = 0; i < 50; i++)
		say(&t, 1, part);
	assert_int_equal(fstatat(d.fd, SLU_RUN_STDLOG, &st, 0), 0);
	assert_int_equal(st.st_size, 3 * SLU_TEE_LINE);
	slu_tee_close(&t);
	assert_int_equal(fstatat(d.fd, SLU_RUN_STDLOG, &st, 0), 0);
	assert_int_equal(st.st_size, 50000);
	unit_dir_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_stay_whole),
		cmocka_unit_test(test_an_open_line_is_not_gone_on_with),
		cmocka_unit_test(test_a_long_line_comes_in_pieces),
	};

	return cmocka_run_group_tests_name("tee", tests, NULL, NULL);
}
