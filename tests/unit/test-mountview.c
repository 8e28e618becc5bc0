/* SPDX-License-Identifier: Apache-2.0 */
/* A mount in a process of its own, by exec of this very program, seen from the one that asked. */
#include "tests/unit/mount.h"

static const char *self;

static int spawn_mount(struct env *v, bool detached, struct slu_view **ret, struct slu_err *e)
{
	const char *argv[] = {self, "--serve", v->src, v->mnt, v->log, NULL};

	return slu_mount_open(argv, v->mnt, detached, v->log, ret, e);
}

static void a_view_mounts_and_unmounts(void **state)
{
	struct env *v = *state;
	struct slu_view *view = NULL;
	struct slu_err e = {0};

	if (spawn_mount(v, false, &view, &e))
		fail_msg("%s", e.msg);
	assert_string_equal(view->where, v->mnt);
	check_content(v);
	assert_int_equal(slu_view_close(view, &e), 0);
	assert_false(mounted(v));
	assert_int_equal(slu_view_close(view, &e), 0);
	assert_int_equal(slu_view_wait(view, &e), 0);
	slu_view_free(view);
}

static void a_view_says_why_not(void **state)
{
	struct env *v = *state;
	struct slu_view *view = NULL;
	struct slu_err e = {0};
	const char *no[] = {"/nonexistent/program", NULL}, *dies[] = {"/bin/false", NULL};

	assert_int_equal(slu_mount_check(v->mnt, &e), 1);
	views_file(v->dir.fd, "mnt/x", 1);
	assert_failed(spawn_mount(v, false, &view, &e), e, ENOTEMPTY, "is not empty");
	assert_failed(slu_mount_open(no, v->mnt, false, NULL, &view, &e), e, ENOENT,
		      "/nonexistent/program");
	assert_failed(slu_mount_open(dies, v->mnt, false, NULL, &view, &e), e, EIO,
		      "ended with status 1");
	assert_null(view);
}

static void a_view_outlived_by_its_mount(void **state)
{
	struct env *v = *state;
	struct slu_view *view = NULL;
	struct slu_err e = {0};

	if (spawn_mount(v, true, &view, &e))
		fail_msg("%s", e.msg);
	slu_view_free(view);
	check_content(v);
	assert_int_equal(slu_unmount(v->mnt, SLU_SEC, &e), 0);
	assert_true(waitpid(-1, NULL, 0) > 0);
}

/* The server is killed: wait says so, close clears the dead mount. */
static void a_view_of_a_killed_server(void **state)
{
	struct env *v = *state;
	struct slu_view *view = NULL;
	struct slu_err e = {0};
	char path[64], text[64] = "";
	FILE *f;
	long pid = 0;

	if (spawn_mount(v, false, &view, &e))
		fail_msg("%s", e.msg);
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "re");
	if (!f || !fgets(text, sizeof text, f))
		skip();
	fclose(f);
	pid = strtol(text, NULL, 10);
	kill((pid_t)pid, SIGKILL);
	assert_failed(slu_view_wait(view, &e), e, EIO, "was killed by signal 9");
	assert_true(mounted(v));
	slu_view_free(view);
	assert_false(mounted(v));
}

/* The server has its descriptors and no others; nobody else has /dev/fuse. */
static void a_server_has_no_descriptors_of_its_parent(void **state)
{
	struct env *v = *state;
	struct slu_view *view = NULL;
	struct slu_err e = {0};
	char path[64], text[64] = "", link[256];
	int leak = open("/dev/null", O_RDONLY), pid; /* not close-on-exec */
	const struct dirent *d;
	FILE *f;

	assert_true(leak >= 0);
	if (spawn_mount(v, false, &view, &e))
		fail_msg("%s", e.msg);
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "re");
	if (!f || !fgets(text, sizeof text, f))
		skip();
	fclose(f);
	pid = (int)strtol(text, NULL, 10);
	snprintf(path, sizeof path, "/proc/%d/fd", pid);
	DIR *dir = opendir(path);

	while (dir && (d = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), d->d_name, link, sizeof link - 1);

		link[n > 0 ? n : 0] = '\0';
		if (strtol(d->d_name, NULL, 10) > 2 && d->d_name[0] != '.')
			assert_string_not_equal(link, "/dev/null");
	}
	if (dir)
		closedir(dir);
	slu_view_free(view);
	close(leak);
}

static int serve_by_exec(char **argv)
{
	struct env v = {.lifeline = -1};

	snprintf(v.src, sizeof v.src, "%s", argv[2]);
	snprintf(v.mnt, sizeof v.mnt, "%s", argv[3]);
	snprintf(v.log, sizeof v.log, "%s", argv[4]);
	serve(&v, &(struct how){0}, 3, fcntl(4, F_GETFD) < 0 ? -1 : 4);
	return 1;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(a_view_mounts_and_unmounts),
		T(a_view_says_why_not),
		T(a_view_outlived_by_its_mount),
		T(a_view_of_a_killed_server),
		T(a_server_has_no_descriptors_of_its_parent),
	};

	self = argv[0];
	if (argc == 5 && !strcmp(argv[1], "--serve"))
		return serve_by_exec(argv);
	if (no_fuse())
		return 0;
	alarm(250);
	return cmocka_run_group_tests_name("mountview", tests, NULL, NULL);
}
