/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: what it understands, whom it hears, and that no client can make it wait. */
#include "unit.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/time.h"
#include "fs/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int echo(void *user, uint64_t conn, const struct json_t *request, struct json_t *answer,
		struct slu_err *e)
{
	const char *what = slu_json_str(request, "do");

	(void)user;
	if (!strcmp(what, "echo"))
		return slu_json_set(answer, "text",
				    slu_json_new_str(slu_json_str(request, "text")));
	if (!strcmp(what, "conn"))
		return slu_json_set_int(answer, "conn", (int64_t)conn);
	if (!strcmp(what, "large")) {
		char *text = malloc(600000);

		memset(text, 'x', 599999);
		text[599999] = '\0';
		slu_json_set_str(answer, "text", text);
		free(text);
		return 0;
	}
	return slu_fail(e, EOPNOTSUPP, "no '%s'", what);
}

static const struct slu_control_conf echo_conf = {.handle = echo};

static struct json_t *answered(const char *line, size_t n)
{
	struct slu_buf b = SLU_BUF(SLU_CONTROL_ANSWER);
	struct json_t *j = NULL;
	struct slu_err e = {0};

	assert_int_equal(slu_control_answer(&echo_conf, 1, line, n, &b), 0);
	assert_true(b.len > 1 && b.p[b.len - 1] == '\n');
	assert_null(memchr(b.p, '\n', b.len - 1));
	assert_int_equal(slu_json_parse(b.p, b.len - 1, "answer", &j, &e), 0);
	assert_int_equal(slu_json_int(j, "v", 0), SLU_CONTROL_VERSION);
	slu_buf_done(&b);
	return j;
}

static void refused(const char *line, const char *code, const char *text)
{
	struct json_t *j = answered(line, strlen(line));
	const struct json_t *e = slu_json_get(j, "error");

	assert_false(slu_json_bool(j, "ok", true));
	assert_string_equal(slu_json_str(e, "code"), code);
	assert_contains(slu_json_str(e, "message"), text);
	slu_json_free(j);
}

static void test_requests(void **state)
{
	const char *good = "{\"v\":1,\"do\":\"echo\",\"text\":\"a\\nb\"}";
	struct json_t *j = answered(good, strlen(good));

	(void)state;
	assert_true(slu_json_bool(j, "ok", false));
	assert_string_equal(slu_json_str(j, "text"), "a\nb");
	slu_json_free(j);
	refused("", "EBADMSG", "request");
	refused("hello", "EBADMSG", "request");
	refused("[1]", "EINVAL", "object");
	refused("{}", "EPROTO", "version");
	refused("{\"v\":2,\"do\":\"echo\"}", "EPROTO", "version");
	refused("{\"v\":1}", "EINVAL", "'do'");
	refused("{\"v\":1,\"do\":7}", "EINVAL", "'do'");
	refused("{\"v\":1,\"do\":\"dance\"}", "EOPNOTSUPP", "no 'dance'");
}

/* Whatever comes in, one line of JSON goes out. */
static void test_bent_requests(void **state)
{
	const char good[] = "{\"v\":1,\"do\":\"echo\",\"text\":\"\\u00e4b\",\"x\":[1,2.5,null,{}]}";
	uint64_t chance = 42;
	char line[sizeof good];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t n = sizeof good - 1;

		memcpy(line, good, sizeof good);
		for (int k = 0; k < 1 + i % 4; k++) {
			chance = chance * 6364136223846793005ull + 1442695040888963407ull;
			line[(chance >> 33) % n] = (char)(chance >> 20);
		}
		if (i % 3 == 0)
			n = (chance >> 40) % n;
		slu_json_free(answered(line, n));
	}
}

/* --- on a socket --- */

struct end {
	struct unit_dir dir;
	int listen;
	struct slu_control *server;
};

static void setup(struct end *s, int64_t patience, uint32_t uid)
{
	struct slu_control_conf conf = {.handle = echo, .patience = patience, .uid = uid};
	struct slu_err e = {0};

	unit_dir_make(&s->dir);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", s->dir.path, 1), 0);
	assert_int_equal(slu_control_listen("mount-0-77.sock", &s->listen, &e), 0);
	assert_int_equal(slu_control_start(&conf, s->listen, &s->server, &e), 0);
}

static void teardown(struct end *s)
{
	slu_control_stop(s->server);
	close(s->listen);
	unit_dir_done(&s->dir);
}

static int dial(void)
{
	struct slu_err e = {0};
	int fd = slu_control_connect(0, 77, geteuid(), &e);

	assert_true(fd >= 0);
	return fd;
}

static int ask(int fd, const char *what, struct json_t **ret, struct slu_err *e)
{
	struct json_t *request = slu_json_object();
	int r;

	slu_json_set_int(request, "v", 1);
	slu_json_set_str(request, "do", what);
	slu_json_set_str(request, "text", "hello");
	r = slu_control_ask(fd, request, 60 * SLU_SEC, ret, e);
	slu_json_free(request);
	return r;
}

static void test_asking(void **state)
{
	struct json_t *j;
	struct slu_err e = {0};
	struct stat st;
	char path[128];
	struct end s;
	int fd;

	(void)state;
	setup(&s, 0, geteuid());
	snprintf(path, sizeof path, "%s/sluice/mount-0-77.sock", s.dir.path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fd = dial();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask(fd, "echo", &j, &e), 0);
		assert_string_equal(slu_json_str(j, "text"), "hello");
		slu_json_free(j);
	}
	assert_failed(ask(fd, "dance", &j, &e), e, EOPNOTSUPP, "no 'dance'");
	assert_int_equal(ask(fd, "large", &j, &e), 0);
	assert_int_equal(strlen(slu_json_str(j, "text")), 599999);
	slu_json_free(j);
	close(fd);
	teardown(&s);
}

/* Many that say nothing, or half a line, or do not take their answers: one more is still served. */
static void test_bad_company(void **state)
{
	const char large[] = "{\"v\":1,\"do\":\"large\"}\n";
	int silent[2 * SLU_CONTROL_CLIENTS], fd;
	struct json_t *j;
	struct slu_err e = {0};
	struct end s;

	(void)state;
	setup(&s, 0, geteuid());
	for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++) {
		silent[i] = dial();
		if (i % 3 == 1)
			assert_int_equal(send(silent[i], "{\"v\":", 5, MSG_NOSIGNAL), 5);
		for (int k = 0; i % 3 == 2 && k < 50; k++)
			(void)send(silent[i], large, sizeof large - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	fd = dial();
	assert_int_equal(ask(fd, "echo", &j, &e), 0);
	slu_json_free(j);
	close(fd);
	for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
		close(silent[i]);
	teardown(&s);
}

/* Reads until the server hangs up. */
static void hung_up(int fd)
{
	char buf[4096];
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		assert_int_equal(poll(&p, 1, 60000), 1);
		ssize_t n = recv(fd, buf, sizeof buf, 0);

		if (n <= 0)
			return;
	}
}

static void test_too_long_a_line(void **state)
{
	static char junk[65536];
	struct end s;
	int fd;

	(void)state;
	setup(&s, 0, geteuid());
	fd = dial();
	memset(junk, 'x', sizeof junk);
	for (int i = 0; i < 64; i++) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};

		assert_int_equal(poll(&p, 1, 60000), 1);
		if (send(fd, junk, sizeof junk, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
			break;
	}
	hung_up(fd);
	close(fd);
	teardown(&s);
}

static void test_half_a_line_is_not_waited_for(void **state)
{
	struct end s;
	int fd;

	(void)state;
	setup(&s, SLU_MS, geteuid());
	fd = dial();
	assert_int_equal(send(fd, "{", 1, MSG_NOSIGNAL), 1);
	hung_up(fd);
	close(fd);
	teardown(&s);
}

/* Root may ask anything, so this needs another user. */
static void test_others_are_not_heard(void **state)
{
	struct end s;
	int fd;

	(void)state;
	if (geteuid() == 0)
		skip();
	setup(&s, 0, geteuid() + 1);
	fd = dial();
	hung_up(fd);
	close(fd);
	teardown(&s);
}

/* Names that no server stands behind are replaced, and others swept. */
/* Fewer descriptors than the server has places for clients; then none at all; then some again. */
static void test_few_descriptors(void **state)
{
	struct rlimit old, few;
	int one, two, held[64], n = 0;
	struct json_t *j;
	struct slu_err e = {0};
	struct end s;

	(void)state;
	setup(&s, 0, geteuid());
	one = dial();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	two = dial(); /* has a place by the time that the limit counts, or waits in the queue */
	few = (struct rlimit){(rlim_t)two + 3, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(ask(one, "echo", &j, &e), 0);
	slu_json_free(j);
	assert_int_equal(ask(two, "echo", &j, &e), 0);
	slu_json_free(j);
	close(two);

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	two = dial();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (n < 64 && (held[n] = dup(0)) >= 0)
		n++;
	assert_int_equal(ask(one, "echo", &j, &e), 0);
	slu_json_free(j);
	few.rlim_cur = 1; /* not even what is open now may be */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(write(one, "\n", 1), 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	while (n > 0)
		close(held[--n]);
	assert_int_equal(ask(two, "echo", &j, &e), 0);
	slu_json_free(j);
	close(one);
	close(two);
	teardown(&s);
}

static void test_leftovers(void **state)
{
	struct unit_dir dir;
	struct slu_err e = {0};
	char five[128], other[128];
	int fd, fd2;

	(void)state;
	unit_dir_make(&dir);
	snprintf(five, sizeof five, "%s/sluice/mount-0-5.sock", dir.path);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", dir.path, 1), 0);
	assert_int_equal(slu_control_listen("mount-0-5.sock", &fd, &e), 0);
	close(fd);
	assert_int_equal(access(five, F_OK), 0);
	assert_failed(slu_control_connect(0, 5, geteuid(), &e), e, ECONNREFUSED, "gone");
	assert_int_equal(slu_control_listen("mount-0-5.sock", &fd, &e), 0);
	fd2 = slu_control_connect(0, 5, geteuid(), &e);
	assert_true(fd2 >= 0);
	close(fd2);
	close(fd);
	assert_int_equal(slu_control_listen("mount-0-6.sock", &fd, &e), 0);
	assert_int_equal(access(five, F_OK), -1); /* swept */
	snprintf(other, sizeof other, "%s/sluice", dir.path);
	assert_int_equal(chmod(other, 0750), 0);
	assert_failed(slu_control_connect(0, 6, geteuid(), &e), e, ENOENT, "no control socket");
	close(fd);
	unit_dir_done(&dir);
}

/* A device number is used again before the mount that had it has ended wholly. */
static void test_a_name_that_is_anothers_by_now(void **state)
{
	struct unit_dir dir;
	struct slu_err e = {0};
	char name[128];
	int old, young, fd;

	(void)state;
	unit_dir_make(&dir);
	snprintf(name, sizeof name, "%s/sluice/mount-0-5.sock", dir.path);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", dir.path, 1), 0);
	assert_int_equal(slu_control_listen("mount-0-5.sock", &old, &e), 0);
	assert_int_equal(slu_control_listen("mount-0-5.sock", &young, &e), 0);
	slu_control_forget("mount-0-5.sock", old);
	close(old);
	fd = slu_control_connect(0, 5, geteuid(), &e);
	assert_true(fd >= 0);
	close(fd);
	slu_control_forget("mount-0-5.sock", young);
	assert_int_equal(access(name, F_OK), -1);
	close(young);
	unit_dir_done(&dir);
}

/* Many servers come at once where dead ones left names: each is found in the end. */
static void *come(void *arg)
{
	struct slu_err e = {0};
	char name[SLU_CONTROL_NAME];
	int *fd = arg;

	slu_control_name(0, (uint32_t)*fd, name);
	assert_int_equal(slu_control_listen(name, fd, &e), 0);
	return NULL;
}

static void test_many_come_at_once(void **state)
{
	struct unit_dir dir;
	struct slu_err e = {0};
	pthread_t t[8];
	int fd[8], conn;

	(void)state;
	unit_dir_make(&dir);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", dir.path, 1), 0);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 8; i++) {
			fd[i] = i + 1;
			assert_int_equal(pthread_create(&t[i], NULL, come, &fd[i]), 0);
		}
		for (int i = 0; i < 8; i++)
			assert_int_equal(pthread_join(t[i], NULL), 0);
		for (int i = 0; i < 8; i++) {
			conn = slu_control_connect(0, (uint32_t)i + 1, geteuid(), &e);
			assert_true(conn >= 0);
			close(conn);
		}
		for (int i = 0; i < 8; i++)
			close(fd[i]);
	}
	unit_dir_done(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_bent_requests),
		cmocka_unit_test(test_asking),
		cmocka_unit_test(test_bad_company),
		cmocka_unit_test(test_too_long_a_line),
		cmocka_unit_test(test_half_a_line_is_not_waited_for),
		cmocka_unit_test(test_others_are_not_heard),
		cmocka_unit_test(test_few_descriptors),
		cmocka_unit_test(test_leftovers),
		cmocka_unit_test(test_a_name_that_is_anothers_by_now),
		cmocka_unit_test(test_many_come_at_once),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
