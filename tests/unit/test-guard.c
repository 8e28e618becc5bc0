/* SPDX-License-Identifier: Apache-2.0 */
/* A step's process tree: its end is told, and nothing of it outlives its guard or its supervisor. */
#include "tests/unit/unit.h"

#include "common/cleanup.h"
#include "common/time.h"
#include "job/guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

extern char **environ;

struct step {
	struct slu_guard g;
	int out; /* read end of the step's output */
};

static void start(struct step *s, const char *command)
{
	const char *const argv[] = {"/bin/sh", "-c", command, NULL};
	struct slu_err e = {0};
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	const struct slu_guard_opts o = {
		.argv = argv, .envp = environ, .cwd = "/", .out = fds[1], .err = fds[1]};

	if (slu_guard_start(&o, &s->g, &e) < 0)
		fail_msg("%s", e.msg);
	close(fds[1]);
	s->out = fds[0];
}

/* Waits for news until there will be none. */
static void finish(struct step *s)
{
	while (s->g.report >= 0) {
		struct pollfd p = {.fd = s->g.report, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 100000), 1);
		slu_guard_news(&s->g);
	}
	slu_guard_end(&s->g);
}

/* A word that the step writes: then it has come that far. */
static void expect(struct step *s, const char *word)
{
	char got[64] = "";
	size_t len = 0;

	while (!strstr(got, word)) {
		struct pollfd p = {.fd = s->out, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 100000), 1);
		ssize_t n = read(s->out, got + len, sizeof(got) - 1 - len);

		assert_true(n > 0);
		len += (size_t)n;
	}
}

/* The pipe ends when nobody of the tree is left to hold it. */
static void expect_gone(struct step *s)
{
	struct pollfd p = {.fd = s->out, .events = POLLIN};
	char c;

	assert_int_equal(poll(&p, 1, 100000), 1);
	assert_int_equal(read(s->out, &c, 1), 0);
	close(s->out);
}

static void test_status(void **state)
{
	struct step s;

	(void)state;
	start(&s, "exit 3");
	finish(&s);
	assert_true(s.g.ended && WIFEXITED(s.g.status));
	assert_int_equal(WEXITSTATUS(s.g.status), 3);
	expect_gone(&s);
	start(&s, "kill -9 $$");
	finish(&s);
	assert_true(s.g.ended && WIFSIGNALED(s.g.status));
	assert_int_equal(WTERMSIG(s.g.status), SIGKILL);
	expect_gone(&s);
}

static void test_no_program(void **state)
{
	const char *const argv[] = {"/no/such/program", NULL};
	struct slu_guard_opts o = {.argv = argv, .envp = environ, .cwd = "/", .out = 1, .err = 2};
	struct slu_err e = {0};
	struct step s = {.out = -1};

	(void)state;
	assert_int_equal(slu_guard_start(&o, &s.g, &e), 0);
	finish(&s);
	assert_int_equal(s.g.error, ENOENT);
	o.cwd = "/no/such/folder";
	assert_failed(slu_guard_start(&o, &s.g, &e), e, ENOENT, "/no/such/folder");
}

/* What runs on in the background, also in a session of its own, ends with the step. */
static void test_background(void **state)
{
	struct step s;

	(void)state;
	start(&s, "sleep 1000 & setsid sh -c 'sleep 1000 & echo up; wait' & kill -STOP $$; exit 0");
	expect(&s, "up");
	slu_guard_news(&s.g);
	while (s.g.report >= 0) { /* until it has stopped, and then gone on */
		struct pollfd p = {.fd = s.g.report, .events = POLLIN};

		slu_guard_signal(&s.g, SIGCONT);
		poll(&p, 1, 10);
		slu_guard_news(&s.g);
	}
	finish(&s);
	assert_int_equal(s.g.status, 0);
	expect_gone(&s);
}

static void test_end(void **state)
{
	struct step s;
	int64_t begun = slu_now();

	(void)state;
	start(&s,
	      "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo up; sleep 1000' & wait; sleep 1000");
	expect(&s, "up");
	slu_guard_news(&s.g);
	assert_true(s.g.step > 0);
	slu_guard_signal(&s.g, SIGTERM); /* it does not mind */
	slu_guard_end(&s.g);
	expect_gone(&s);
	assert_true(slu_now() - begun < 120 * SLU_SEC);
	slu_guard_end(&s.g);
}

/* It is not taken for a second supervisor. */
static void test_name(void **state)
{
	char path[48], text[64] = "";
	struct step s;

	(void)state;
	start(&s, "echo up; exec sleep 1000");
	expect(&s, "up");
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)s.g.guard);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_string_equal(text, "sluice-guard");
	slu_guard_end(&s.g);
	expect_gone(&s);
}

static void test_stopped(void **state)
{
	struct step s;

	(void)state;
	start(&s, "echo up; kill -STOP $$; echo never");
	expect(&s, "up");
	slu_guard_end(&s.g);
	expect_gone(&s);
}

/* The guard is killed: the step goes with it. */
static void test_guard_killed(void **state)
{
	struct step s;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	start(&s, "sleep 1000 & echo up; wait");
	expect(&s, "up");
	slu_guard_news(&s.g);
	kill(s.g.guard, SIGKILL);
	finish(&s);
	assert_false(s.g.ended);
	expect_gone(&s);
}

/* The supervisor is killed: guard and step go with it, also what left the step's group. */
static void test_supervisor_killed(void **state)
{
	struct step s = {.out = -1};
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();

	if (pid == 0) {
		const char *const argv[] = {"/bin/sh", "-c", "setsid sleep 1000 & echo up; wait",
					    NULL};
		const struct slu_guard_opts o = {
			.argv = argv, .envp = environ, .cwd = "/", .out = fds[1], .err = fds[1]};

		close(fds[0]);
		if (slu_guard_start(&o, &s.g, NULL) < 0)
			_exit(1);
		pause();
		_exit(0);
	}
	close(fds[1]);
	s.out = fds[0];
	expect(&s, "up");
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	expect_gone(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),       cmocka_unit_test(test_no_program),
		cmocka_unit_test(test_background),   cmocka_unit_test(test_end),
		cmocka_unit_test(test_name),         cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_guard_killed), cmocka_unit_test(test_supervisor_killed)};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
