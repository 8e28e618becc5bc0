/* SPDX-License-Identifier: Apache-2.0 */
/* A mount and its supervisor, by exec of this very program: deaths of workers as a reader sees them. */
#include "tests/unit/mount.h"

#include "fs/mount_link.h"

/* worker --worker-fd=N SRC MNT LOG MASK FAULT; MASK "die": it does not come to serving. */
static int work(char **argv)
{
	struct env v = {.lifeline = -1};
	struct slu_manifest *m = NULL;
	struct slu_mlink link;
	struct slu_err e = {0};
	int fd = atoi(argv[2] + strlen("--worker-fd="));
	int ready = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (slu_mlink_open(&link, fd, &e)) {
		slu_mount_say_failed(ready, &e);
		return 1;
	}
	if (slu_mlink_heir(&link) && !strcmp(argv[6], "die"))
		_exit(7);
	snprintf(v.src, sizeof v.src, "%s", argv[3]);
	snprintf(v.mnt, sizeof v.mnt, "%s", argv[4]);
	snprintf(v.log, sizeof v.log, "%s", argv[5]);
	/* Parsed for its own sake: what is served is the same. */
	if (slu_mlink_heir(&link) && slu_mlink_manifest(&link, &m, &e))
		return 1;
	slu_manifest_free(m);

	struct how h = {.mask = strcmp(argv[6], "die") ? argv[6] : NULL,
			.fault = argv[7][0] ? argv[7] : NULL,
			.link = &link};

	serve(&v, &h, ready, slu_mlink_kept(&link, SLU_KEEP_LIFELINE));
	return 1;
}

/* how: the worker's MASK and FAULT. */
static void supervise(struct env *v, const void *how, int ready, int lifeline)
{
	const char *const *h = how;
	const char *argv[] = {"test", "worker", v->src, v->mnt, v->log, h[0], h[1], NULL};
	struct slu_err e = {0};

	slu_log_to_file(v->log);
	_exit(slu_mount_supervise(argv, ready, lifeline, &e) ? 1 : 0);
}

/* "" or what it had to say. */
static void start_super(struct env *v, const char *mask, const char *fault, char *said, size_t size)
{
	const char *how[] = {mask, fault};

	start_by(v, supervise, how, said, size);
}

static void start_super_ok(struct env *v, const char *mask, const char *fault)
{
	char said[800];

	start_super(v, mask, fault, said, sizeof said);
	if (strcmp(said, "R"))
		fail_msg("mount: %s", said);
}

/* The child of the supervisor that is not `not`. */
static pid_t worker_of(const struct env *v, pid_t not )
{
	char path[64], text[256];

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", v->pid, v->pid);
	for (;;) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

		if (fd < 0)
			return 0; /* the supervisor has ended */
		close(fd);
		text[n > 0 ? n : 0] = '\0';
		for (char *p = text, *end; *p; p = *end ? end + 1 : end) {
			pid_t pid = (pid_t)strtol(p, &end, 10);

			if (pid && pid != not )
				return pid;
			if (end == p)
				break;
		}
		siginfo_t ended = {0};

		assert_int_equal(waitid(P_PID, (id_t)v->pid, &ended, WEXITED | WNOHANG | WNOWAIT),
				 0);
		if (ended.si_pid)
			return 0;
		poll(NULL, 0, 1);
	}
}

static pid_t kill_worker(const struct env *v, int sig)
{
	pid_t old = worker_of(v, 0);

	assert_int_equal(kill(old, sig), 0);
	return worker_of(v, old);
}

static void it_serves_and_ends(void **state)
{
	struct env *v = *state;

	start_super_ok(v, "", "");
	check_content(v);
	stop(v);
	assert_false(mounted(v));
}

static void a_killed_worker_is_not_noticed(void **state)
{
	struct env *v = *state;
	char first[1000], *p = malloc(2999000);
	ssize_t n = 0, r = 1;

	start_super_ok(v, "", "seed=1,read:0.3:delay=2ms");
	int fd = open_at(v, "big");

	assert_int_equal(read(fd, first, sizeof first), sizeof first);
	views_check(first, 0, sizeof first);
	for (int i = 0; i < 5; i++)
		assert_true(kill_worker(v, SIGKILL) > 0);
	while (n < 2999000 && (r = read(fd, p + n, (size_t)(2999000 - n))) > 0)
		n += r;
	assert_int_equal(n, 2999000);
	views_check(p, 1000, (size_t)n);
	free(p);
	close(fd);
	check_content(v);
	stop(v);
	assert_false(mounted(v));
}

static void an_older_kernel_is_enough(void **state)
{
	struct env *v = *state;

	start_super_ok(v, "ffffffffffffffff", "");
	check_content(v);
	assert_true(kill_worker(v, SIGKILL) > 0);
	check_content(v);
	stop(v);
	assert_false(mounted(v));
}

static void a_worker_that_cannot_live_is_given_up(void **state)
{
	struct env *v = *state;
	char log[4096];
	int fd;

	start_super_ok(v, "die", "");
	kill(worker_of(v, 0), SIGKILL);
	assert_int_equal(WEXITSTATUS(end_status(v)), 1);
	assert_true(mounted(v));
	fd = open_at(v, "big");
	assert_int_equal(fd, -1);
	assert_int_equal(errno, ENOTCONN);
	log_text(v, log, sizeof log);
	assert_contains(log, "another one goes on");
}

static void the_lifeline_ends_it(void **state)
{
	struct env *v = *state;

	start_super_ok(v, "", "");
	close(v->lifeline);
	v->lifeline = -1;
	assert_int_equal(end_status(v), 0);
	assert_false(mounted(v));
}

static void an_unmount_from_outside_ends_it(void **state)
{
	struct env *v = *state;

	start_super_ok(v, "", "");
	kill_worker(v, SIGKILL);
	while (umount2(v->mnt, 0))
		assert_int_equal(errno, EBUSY);
	assert_int_equal(end_status(v), 0);
}

static void it_says_why_not(void **state)
{
	struct env *v = *state;
	char said[800];

	assert_int_equal(slu_mount_check(v->mnt, NULL), 1); /* made */
	views_file(v->dir.fd, "mnt/x", 1);
	start_super(v, "", "", said, sizeof said);
	assert_contains(said, "39 ");
	assert_contains(said, "is not empty");
	assert_int_equal(WEXITSTATUS(end_status(v)), 1);
	start_super(v, "nonsense", "", said, sizeof said);
	assert_contains(said, "SLUICE_FUSE_MASK");
	assert_int_equal(WEXITSTATUS(end_status(v)), 1);
}

static void another_program_takes_over(void **state)
{
	struct env *v = *state;
	char log[4096];
	pid_t old;

	start_super_ok(v, "", "");
	old = worker_of(v, 0);
	int fd = open_at(v, "big");

	assert_int_equal(kill(v->pid, SIGUSR2), 0);
	assert_true(worker_of(v, old) > 0);
	check_content(v);
	close(fd);
	stop(v);
	log_text(v, log, sizeof log);
	assert_string_equal(log, "");
}

static void copy_program(const char *from, const char *to)
{
	char tmp[256], buf[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	ssize_t n;

	snprintf(tmp, sizeof tmp, "%s.new", to);
	out = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof buf)) > 0)
		assert_int_equal(write(out, buf, (size_t)n), n);
	assert_int_equal(n, 0);
	close(in);
	close(out);
	assert_int_equal(rename(tmp, to), 0);
}

/* As a package manager would: the program in its place is another one, or none. */
static void start_installed(struct env *v, const char *program)
{
	char number[16], byte;
	int ready[2];

	assert_int_equal(pipe(ready), 0);
	v->pid = fork();
	assert_true(v->pid >= 0);
	if (v->pid == 0) {
		close(ready[0]);
		snprintf(number, sizeof number, "%d", ready[1]);
		execl(program, program, "supervise", v->src, v->mnt, v->log, number, NULL);
		_exit(99);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 'R');
	close(ready[0]);
}

static void wait_for_falls(const struct env *v, unsigned want)
{
	char log[8192];
	unsigned n = 0;

	while (n < want) {
		poll(NULL, 0, 1);
		log_text(v, log, sizeof log);
		n = 0;
		for (char *p = log; (p = strstr(p, "cannot take over")); p++)
			n++;
	}
	assert_int_equal(n, want);
	assert_null(strstr(log, "another one goes on"));
}

static void a_program_that_cannot_take_over_does_not(void **state)
{
	struct env *v = *state;
	char program[256];
	pid_t old;

	snprintf(program, sizeof program, "%s-program", v->src);
	copy_program("/proc/self/exe", program);
	start_installed(v, program);
	copy_program("/bin/false", program);
	assert_int_equal(kill(v->pid, SIGUSR2), 0);
	wait_for_falls(v, 1);
	check_content(v);
	assert_int_equal(unlink(program), 0);
	assert_int_equal(kill(v->pid, SIGUSR2), 0);
	wait_for_falls(v, 2);
	check_content(v);
	/* A worker that dies is the old program too, though that is nowhere any more. */
	assert_true(kill_worker(v, SIGKILL) > 0);
	check_content(v);
	copy_program("/proc/self/exe", program);
	old = worker_of(v, 0);
	assert_int_equal(kill(v->pid, SIGUSR2), 0);
	assert_true(worker_of(v, old) > 0);
	check_content(v);
	stop(v);
	unlink(program);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(it_serves_and_ends),
		T(a_killed_worker_is_not_noticed),
		T(an_older_kernel_is_enough),
		T(a_worker_that_cannot_live_is_given_up),
		T(the_lifeline_ends_it),
		T(an_unmount_from_outside_ends_it),
		T(it_says_why_not),
		T(another_program_takes_over),
		T(a_program_that_cannot_take_over_does_not),
	};

	if (argc == 8 && !strcmp(argv[1], "worker"))
		return work(argv);
	if (argc == 6 && !strcmp(argv[1], "supervise")) {
		struct env v = {.lifeline = -1};

		snprintf(v.src, sizeof v.src, "%s", argv[2]);
		snprintf(v.mnt, sizeof v.mnt, "%s", argv[3]);
		snprintf(v.log, sizeof v.log, "%s", argv[4]);
		supervise(&v, (const char *[]){"", ""}, atoi(argv[5]), -1);
	}
	if (no_fuse())
		return 0;
	alarm(250);
	return cmocka_run_group_tests_name("mountsuper", tests, NULL, NULL);
}
