/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exchanges against a real server on loopback that misbehaves in every way we could think of: the
 * result is the right bytes or a clean errno, within the time allowed.
 */
#include "tests/unit/xfer.h"

static void ranges_arrive(void **state)
{
	(void)state;
	static const struct {
		uint64_t off;
		size_t len;
	} r[] = {{0, 1},        {0, SIZE},  {1, SIZE - 1},    {SIZE - 1, 1},
		 {12345, 4096}, {0, 65536}, {65536, 524289u}, {777, 16384}};
	for (size_t i = 0; i < sizeof(r) / sizeof(r[0]); i++) {
		struct job j;
		assert_int_equal(get_range(&j, "/ok", r[i].off, r[i].len), 0);
		assert_true(j.x.status == 206 || (j.x.status == 200 && r[i].len == SIZE));
		check_bytes(&j);
		if (j.x.status == 206) {
			assert_string_equal(slu_xfer_header(&j.x, "etag"), "\"one\"");
			assert_string_equal(slu_xfer_header(&j.x, "X-a"), "two");
			assert_null(slu_xfer_header(&j.x, "x-b"));
		}
		job_done(&j);
	}
}

/* What a body may look like and still be right. */
static void good_answers(void **state)
{
	(void)state;
	static const char *const path[] = {"/chunked", "/one100", "/extra", "/extra", "/ok"};
	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		struct job j;
		int r = get_range(&j, path[i], 5000, 30000);
		if (r < 0)
			fail_msg("%s gave %d: %s", path[i], r, j.x.err.msg);
		check_bytes(&j);
		assert_null(slu_xfer_header(&j.x, "x-late"));
		job_done(&j);
	}
	struct job j;
	for (int i = 0; i < 10; i++) {
		/* HTTP/1.1 cannot tell whose answer it is: a range tells, and the next one is fine. */
		int r = get_range(&j, "/lateextra", 5000, 300);
		assert_true(r == 0 || r == -EPROTO);
		if (r == 0)
			check_bytes(&j);
		job_done(&j);
	}
	int r = get_range(&j, "/full200", 0, SIZE);

	if (r == -EPROTO) { /* what was left over of the last one; that connection is gone now */
		job_done(&j);
		r = get_range(&j, "/full200", 0, SIZE);
	}
	assert_int_equal(r, 0);
	check_bytes(&j);
	job_done(&j);
	/* Length not announced, but exactly what was wanted. */
	job_init(&j, "/open200/5000");
	j.x.total = UINT64_MAX;
	j.x.len = 5000;
	j.x.buf = malloc(5000);
	assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
	check_bytes(&j);
	job_done(&j);
	/* An empty object. */
	job_init(&j, "/open200/0");
	j.x.total = 0;
	assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
	job_done(&j);
}

/* Refused by the head alone: not one byte reaches the buffer. */
static void wrong_heads(void **state)
{
	(void)state;
	static const char *const path[] = {
		"/badrange", "/shortrange", "/norange", "/badlen",  "/full200", "/duplen",
		"/duprange", "/gzip",       "/bighdr",  "/manyhdr", "/folded",  "/many100",
	};
	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		struct job j;
		int r = get_range(&j, path[i], 5000, 30000);
		if (r != -EPROTO)
			fail_msg("%s gave %d: %s", path[i], r, j.x.err.msg);
		assert_int_equal(j.x.err.code, EPROTO);
		assert_non_null(strstr(j.x.err.msg, path[i]));
		check_untouched(&j);
		job_done(&j);
	}
	struct job j;
	assert_int_equal(get_range(&j, "/garbage", 5000, 30000), -EPROTO);
	check_untouched(&j);
	job_done(&j);
	/* The server's 200 for a range, and its whole is longer than what was wanted from 0 on. */
	assert_int_equal(get_range(&j, "/full200", 0, 1000), -EPROTO);
	check_untouched(&j);
	job_done(&j);
}

static void coded_is_taken_when_wanted(void **state)
{
	(void)state;
	struct job j;
	job_init(&j, "/gzip");
	j.x.len = 100;
	j.x.buf = malloc(100);
	j.x.coded_ok = true;
	assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
	check_bytes(&j);
	job_done(&j);
}

static void changed_length_is_stale(void **state)
{
	(void)state;
	struct job j;
	job_init(&j, "/ok");
	j.x.total = SIZE + 1;
	j.x.off = 10;
	j.x.len = 20;
	j.x.buf = malloc(20);
	assert_int_equal(slu_xfer_wait(loop, &j.x), -ESTALE);
	job_done(&j);
	job_init(&j, "/ok");
	j.x.total = UINT64_MAX;
	j.x.off = 10;
	j.x.len = 20;
	j.x.buf = malloc(20);
	assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
	job_done(&j);
}

static void broken_bodies(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		int rc;
	} s[] = {
		{"/cut", -ECONNRESET},     {"/rst", -ECONNRESET},        {"/rst0", -ECONNRESET},
		{"/fin0", -ECONNRESET},    {"/chunkedcut", -ECONNRESET}, {"/chunkedshort", -EPROTO},
		{"/chunkedlong", -EPROTO},
	};
	for (size_t i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		struct job j;
		int r = get_range(&j, s[i].path, 5000, 30000);
		if (r != s[i].rc)
			fail_msg("%s gave %d: %s", s[i].path, r, j.x.err.msg);
		assert_true(j.x.got <= j.x.len);
		assert_int_equal(j.x.err.code, -s[i].rc);
		job_done(&j);
	}
	struct job j;
	static const char *const path[] = {"/open200/4999", "/open200/5001", "/open200/0"};
	for (size_t i = 0; i < 3; i++) {
		job_init(&j, path[i]);
		j.x.total = 5000;
		j.x.len = 5000;
		j.x.buf = malloc(5000);
		assert_int_equal(slu_xfer_wait(loop, &j.x), -EPROTO);
		job_done(&j);
	}
}

static void error_bodies(void **state)
{
	(void)state;
	struct job j;
	int conns = atomic_load(&srv.conns);
	assert_int_equal(get_range(&j, "/err20k", 0, 1000), -EREMOTEIO);
	assert_int_equal(j.x.status, 503);
	assert_int_equal(j.x.err.http, 503);
	assert_int_equal(j.x.errbody.len, SLU_XFER_ERRBODY);
	assert_int_equal(j.x.errbody.p[SLU_XFER_ERRBODY - 1], 'e');
	assert_string_equal(slu_xfer_header(&j.x, "Retry-After"), "7");
	check_untouched(&j);
	job_done(&j);
	/* The rest of it was read away: the connection is good for the next request. */
	assert_int_equal(get_range(&j, "/ok", 0, 1000), 0);
	job_done(&j);
	assert_true(atomic_load(&srv.conns) <= conns + 1);

	assert_int_equal(get_range(&j, "/errhuge", 0, 1000), -EREMOTEIO);
	assert_int_equal(j.x.status, 500);
	job_done(&j);
	assert_int_equal(get_range(&j, "/errcut", 0, 1000), -EREMOTEIO);
	assert_int_equal(j.x.status, 404);
	assert_string_equal(j.x.errbody.p, "Not");
	job_done(&j);
}

static void redirects_are_not_followed(void **state)
{
	(void)state;
	struct job j;
	int n = atomic_load(&srv.requests);
	assert_int_equal(get_range(&j, "/redirect", 0, 1000), -EREMOTEIO);
	assert_int_equal(j.x.status, 307);
	assert_non_null(strstr(slu_xfer_header(&j.x, "location"), "/ok"));
	assert_int_equal(atomic_load(&srv.requests), n + 1);
	job_done(&j);
}

/* Loops of their own, with stall limits that a test can wait for: 1 KiB/s for 0.6 s.  What is not
 * meant to stall is not run there, so a busy machine does no harm. */
static int short_stalls(void **state)
{
	struct slu_loops_conf conf = {.threads = 1};
	struct slu_loops *ls;
	if (slu_loops_new(&conf, &ls, NULL) < 0)
		return -1;
	slu_loops_set_stall(ls, 600 * SLU_MS, 1024);
	*state = loop;
	loop = slu_loops_pick(ls, "", 0);
	return 0;
}

static int usual_stalls(void **state)
{
	slu_loops_free(loop->set);
	loop = *state;
	return 0;
}

static void stalls(void **state)
{
	(void)state;
	struct job j;
	/* 100 bytes a second; on a busy machine perhaps not even those in time. */
	size_t got = 0;
	for (unsigned i = 0; i < 50 && !got; i++) {
		assert_int_equal(get_range(&j, "/drip", 0, 100000), -ETIMEDOUT);
		assert_contains(j.x.err.msg, "stalled");
		got = j.x.got;
		job_done(&j);
	}
	assert_true(got > 0);
	/* Silence before the head of a ranged answer is a stall too. */
	assert_int_equal(get_range(&j, "/never", 0, 1000), -ETIMEDOUT);
	assert_contains(j.x.err.msg, "stalled");
	job_done(&j);

	/* A server that takes no more of the body. */
	size_t n = 32u << 20;
	char *body = calloc(1, n);
	job_init(&j, "/deaf");
	j.x.method = "PUT";
	j.x.sink = SLU_SINK_NONE;
	j.x.body = body;
	j.x.body_len = n;
	assert_int_equal(slu_xfer_wait(loop, &j.x), -ETIMEDOUT);
	assert_contains(j.x.err.msg, "stalled");
	job_done(&j);
	free(body);

	/* Elsewhere silence is a server at work, unless one was to answer soon. */
	job_init(&j, "/never");
	j.x.sink = SLU_SINK_BUF;
	j.x.resp = SLU_BUF(1000);
	j.x.answer_ns = 300 * SLU_MS;
	assert_int_equal(slu_xfer_wait(loop, &j.x), -ETIMEDOUT);
	assert_contains(j.x.err.msg, "has said nothing");
	job_done(&j);

	/* Only the deadline ends that. */
	job_init(&j, "/never");
	j.x.sink = SLU_SINK_BUF;
	j.x.resp = SLU_BUF(1000);
	j.x.deadline = slu_deadline_in(1500 * SLU_MS);
	assert_int_equal(slu_xfer_wait(loop, &j.x), -ETIMEDOUT);
	assert_lacks(j.x.err.msg, "stalled");
	assert_true(slu_now() >= j.x.deadline);
	job_done(&j);
}

static void deadlines(void **state)
{
	(void)state;
	struct job j;
	job_init(&j, "/drip");
	j.x.len = 1000000 - 1;
	j.x.buf = malloc(j.x.len);
	j.x.deadline = slu_deadline_in(100 * SLU_MS);
	assert_int_equal(slu_xfer_wait(loop, &j.x), -ETIMEDOUT);
	assert_true(slu_now() >= j.x.deadline);
	job_done(&j);
	int n = atomic_load(&srv.requests);
	job_init(&j, "/ok");
	j.x.sink = SLU_SINK_NONE;
	j.x.deadline = slu_now() - 1;
	assert_int_equal(slu_xfer_wait(loop, &j.x), -ETIMEDOUT);
	assert_int_equal(atomic_load(&srv.requests), n);
	job_done(&j);
}

static void bodies_are_sent(void **state)
{
	(void)state;
	static const char *const headers[] = {"Authorization: secret",
					      "x-empty:", "x-ms-blank:  ", NULL};
	static const char *const methods[] = {"PUT", "POST", "PATCH"};
	size_t n = 3000000;
	char *body = malloc(n);
	for (size_t i = 0; i < n; i++)
		body[i] = (char)byte_at(i);
	for (size_t i = 0; i < 3; i++) {
		struct job j;
		job_init(&j, "/echo/a/../b?q=%2F");
		j.x.method = methods[i];
		j.x.headers = headers;
		j.x.sink = SLU_SINK_BUF;
		j.x.resp = SLU_BUF(4u << 20);
		j.x.body = body;
		j.x.body_len = n;
		assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
		assert_int_equal(j.x.status, 201);
		assert_true(j.x.resp.len > n);
		assert_memory_equal(j.x.resp.p + j.x.resp.len - n, body, n);
		const char *h = j.x.resp.p;
		assert_true(slu_starts(h, methods[i]));
		assert_non_null(strstr(h, " /echo/a/../b?q=%2F HTTP/1.1\r\n"));
		assert_non_null(strstr(h, "Authorization: secret\r\n"));
		assert_non_null(strstr(h, "x-empty:\r\n"));
		assert_non_null(strstr(h, "x-ms-blank:\r\n"));
		assert_non_null(strstr(h, "Content-Length: 3000000\r\n"));
		assert_null(strcasestr(h, "Expect:"));
		assert_null(strcasestr(h, "Accept-Encoding:"));
		assert_null(strcasestr(h, "Content-Type:"));
		job_done(&j);
	}
	free(body);

	struct job j;
	job_init(&j, "/echo");
	j.x.method = "PUT"; /* without a body: says so */
	j.x.sink = SLU_SINK_BUF;
	j.x.resp = SLU_BUF(65536);
	assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
	assert_non_null(strstr(j.x.resp.p, "Content-Length: 0\r\n"));
	job_done(&j);
	job_init(&j, "/echo");
	j.x.method = "DELETE";
	j.x.sink = SLU_SINK_BUF;
	j.x.resp = SLU_BUF(65536);
	assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
	assert_true(slu_starts(j.x.resp.p, "DELETE /echo "));
	job_done(&j);
}

/* Answers a range with an error whose body is the request: shows what was asked. */
static void range_header(void **state)
{
	(void)state;
	static const char *const own[] = {"x-ms-range: bytes=3-4", NULL};
	struct job j;
	for (int i = 0; i < 3; i++) {
		job_init(&j, "/mirror");
		j.x.off = i == 2 ? 0 : 3;
		j.x.len = i == 2 ? SIZE : 2;
		j.x.buf = calloc(1, SIZE);
		j.x.headers = i == 1 ? own : NULL;
		assert_int_equal(slu_xfer_wait(loop, &j.x), -EREMOTEIO);
		bool has = strstr(j.x.errbody.p, "\r\nRange: bytes=3-4\r\n") != NULL;
		assert_int_equal(has, i == 0);
		has = strstr(j.x.errbody.p, "\r\nx-ms-range: bytes=3-4\r\n") != NULL;
		assert_int_equal(has, i == 1);
		job_done(&j);
	}
}

static void reply_limits(void **state)
{
	(void)state;
	struct job j;
	job_init(&j, "/ok");
	j.x.sink = SLU_SINK_BUF;
	j.x.resp = SLU_BUF(SIZE - 1);
	assert_int_equal(slu_xfer_wait(loop, &j.x), -EMSGSIZE);
	assert_int_equal(j.x.got, 0);
	job_done(&j);
	job_init(&j, "/ok");
	j.x.sink = SLU_SINK_BUF;
	j.x.resp = SLU_BUF(SIZE);
	assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
	assert_int_equal(j.x.resp.len, SIZE);
	job_done(&j);
	assert_int_equal(j.x.resp.max, SIZE);
	job_init(&j, "/big");
	j.x.sink = SLU_SINK_BUF;
	j.x.resp = SLU_BUF(100000);
	assert_int_equal(slu_xfer_wait(loop, &j.x), -EMSGSIZE);
	job_done(&j);
	job_init(&j, "/big");
	j.x.sink = SLU_SINK_NONE;
	assert_int_equal(slu_xfer_wait(loop, &j.x), -EPROTO);
	job_done(&j);
	job_init(&j, "/created");
	j.x.sink = SLU_SINK_NONE;
	assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
	assert_int_equal(j.x.status, 201);
	job_done(&j);
}

static void head_has_no_body(void **state)
{
	(void)state;
	struct job j;
	job_init(&j, "/created");
	j.x.method = "HEAD";
	j.x.sink = SLU_SINK_BUF;
	j.x.resp = SLU_BUF(10);
	assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
	assert_string_equal(slu_xfer_header(&j.x, "Content-Length"), "0");
	job_done(&j);
}

static void connect_fails(void **state)
{
	(void)state;
	struct job j;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, not listening */
	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	job_init(&j, "");
	snprintf(j.url, sizeof(j.url), "http://127.0.0.1:%u/", ntohs(a.sin_port));
	j.x.sink = SLU_SINK_NONE;
	assert_int_equal(slu_xfer_wait(loop, &j.x), -ECONNREFUSED);
	job_done(&j);
	close(fd);

	/* TLS to a server that speaks none. */
	job_init(&j, "");
	snprintf(j.url, sizeof(j.url), "https://127.0.0.1:%u/garbage", srv.port);
	j.x.sink = SLU_SINK_NONE;
	j.x.deadline = slu_deadline_in(SLU_SEC);
	assert_true(slu_xfer_wait(loop, &j.x) < 0);
	job_done(&j);
}

static void refused_requests(void **state)
{
	(void)state;
	static const struct {
		const char *url;
		int rc;
	} s[] = {
		{"http://192.0.2.1/x", -EACCES},
		{"http://127.0.0.1.nip.invalid/x", -EACCES},
		{"http://localhost.invalid/x", -EACCES},
		{"ftp://127.0.0.1/x", -EINVAL},
		{"file:///etc/passwd", -EINVAL},
		{"gopher://127.0.0.1/x", -EINVAL},
		{"http://user:pw@127.0.0.1/x", -EINVAL},
		{"http://127.0.0.1/a b", -EINVAL},
		{"http://127.0.0.1/a\r\nX: y", -EINVAL},
		{"127.0.0.1/x", -EINVAL},
		{"", -EINVAL},
		{"http://", -EINVAL},
	};
	for (size_t i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		struct job j;
		job_init(&j, "");
		snprintf(j.url, sizeof(j.url), "%s", s[i].url);
		j.x.sink = SLU_SINK_NONE;
		int r = slu_xfer_wait(loop, &j.x);
		if (r != s[i].rc)
			fail_msg("'%s' gave %d: %s", s[i].url, r, j.x.err.msg);
		assert_null(strstr(j.x.err.msg, "pw"));
		assert_null(strchr(j.x.err.msg, '\n'));
		job_done(&j);
	}
}

static void malformed_requests(void **state)
{
	(void)state;
	static const char *const bad[] = {"no colon",     ": v",    "a b: v",
					  "a: b\r\nc: d", "a: b\1", "a;b: c"};
	int n = atomic_load(&srv.requests);
	struct job j;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *headers[] = {bad[i], NULL};
		job_init(&j, "/created");
		j.x.sink = SLU_SINK_NONE;
		j.x.headers = headers;
		assert_int_equal(slu_xfer_wait(loop, &j.x), -EINVAL);
		job_done(&j);
	}
	static const char *const methods[] = {"", "get", "GET /x", "GET\r\n"};
	for (size_t i = 0; i < 4; i++) {
		job_init(&j, "/created");
		j.x.sink = SLU_SINK_NONE;
		j.x.method = methods[i];
		assert_int_equal(slu_xfer_wait(loop, &j.x), -EINVAL);
		job_done(&j);
	}
	static const struct {
		uint64_t off, total;
		size_t len;
	} r[] = {{UINT64_MAX, UINT64_MAX, 2},
		 {UINT64_MAX - 1, UINT64_MAX, 10},
		 {0, 9, 10},
		 {5, 9, 5},
		 {0, 10, 0},
		 {3, 10, 0}};
	for (size_t i = 0; i < sizeof(r) / sizeof(r[0]); i++) {
		char b[16];
		job_init(&j, "/ok");
		j.x.off = r[i].off;
		j.x.total = r[i].total;
		j.x.len = r[i].len;
		j.x.buf = b;
		assert_int_equal(slu_xfer_wait(loop, &j.x), -EINVAL);
		j.x.buf = NULL;
		job_done(&j);
	}
	assert_int_equal(atomic_load(&srv.requests), n);
}

static void urls_are_shown_safely(void **state)
{
	(void)state;
	static const char *const s[][2] = {
		{"https://h/c/b?sig=abc&x=y", "https://h/c/b"},
		{"https://user:pw@h:1/c#f?x", "https://h:1/c"},
		{"https://a@b@h/c@d", "https://h/c@d"},
		{"http://h?sig=x@y/z", "http://h"},
		{"user:pw@h/x?y", "h/x"},
		{"https://h/a\nb", "https://h/a\\x0ab"},
		{"", ""},
		{"https://", "https://"},
	};
	for (size_t i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		struct slu_buf b = SLU_BUF(1000);
		slu_url_show(&b, s[i][0]);
		assert_int_equal(slu_buf_err(&b), 0);
		if (b.p || s[i][1][0])
			assert_string_equal(b.p, s[i][1]);
		slu_buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_arrive),
		cmocka_unit_test(good_answers),
		cmocka_unit_test(wrong_heads),
		cmocka_unit_test(coded_is_taken_when_wanted),
		cmocka_unit_test(changed_length_is_stale),
		cmocka_unit_test(broken_bodies),
		cmocka_unit_test(error_bodies),
		cmocka_unit_test(redirects_are_not_followed),
		cmocka_unit_test_setup_teardown(stalls, short_stalls, usual_stalls),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(bodies_are_sent),
		cmocka_unit_test(range_header),
		cmocka_unit_test(reply_limits),
		cmocka_unit_test(head_has_no_body),
		cmocka_unit_test(connect_fails),
		cmocka_unit_test(refused_requests),
		cmocka_unit_test(malformed_requests),
		cmocka_unit_test(urls_are_shown_safely),
	};
	return cmocka_run_group_tests_name("xfer", tests, setup, teardown);
}
