/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exchanges against a real server on loopback that misbehaves in every way we could think of: the
 * result is the right bytes or a clean errno, within the time allowed, and done() runs once.
 */
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/backoff.h"
#include "io/core.h"
#include "io/xfer.h"
#include "tests/lib/httpd.h"

#include <setjmp.h>

#include <cmocka.h>

#define SIZE 1000000u /* of the object that the server pretends to have */

static struct httpd srv;
static struct slu_loops *loops;
static struct slu_loop *loop;

static unsigned char byte_at(uint64_t i)
{
	return (unsigned char)((i * 2654435761u) >> 11);
}

static bool send_range(struct hconn *c, uint64_t from, uint64_t n)
{
	char b[16384];
	while (n > 0) {
		size_t k = n < sizeof(b) ? (size_t)n : sizeof(b);
		for (size_t i = 0; i < k; i++)
			b[i] = (char)byte_at(from + i);
		if (!hsend(c, b, k))
			return false;
		from += k;
		n -= k;
	}
	return true;
}

static bool head206(struct hconn *c, uint64_t a, uint64_t b, const char *more)
{
	return hprintf(c,
		       "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %llu-%llu/%u\r\n"
		       "Content-Length: %llu\r\n%s\r\n",
		       (unsigned long long)a, (unsigned long long)b, SIZE,
		       (unsigned long long)(b - a + 1), more);
}

static bool serve_ok(struct hconn *c)
{
	if (c->first > c->last)
		return hprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", SIZE) &&
		       send_range(c, 0, SIZE);
	return head206(c, c->first, c->last, "ETag: \"one\"\r\nx-a: 1\r\nX-A:  two \r\n") &&
	       send_range(c, c->first, c->last - c->first + 1);
}

static bool serve_cut(struct hconn *c)
{
	head206(c, c->first, c->last, "");
	send_range(c, c->first, 1000);
	return false;
}

static bool serve_rst(struct hconn *c)
{
	head206(c, c->first, c->last, "");
	send_range(c, c->first, 1000);
	hreset(c);
	return false;
}

static bool serve_rst_at_once(struct hconn *c)
{
	hreset(c);
	return false;
}

static bool serve_fin_at_once(struct hconn *c)
{
	(void)c;
	return false;
}

static bool serve_badrange(struct hconn *c)
{
	return head206(c, c->first + 1, c->last + 1, "") &&
	       send_range(c, c->first + 1, c->last - c->first + 1);
}

static bool serve_shortrange(struct hconn *c)
{
	return head206(c, c->first, c->last - 1, "") && send_range(c, c->first, c->last - c->first);
}

static bool serve_norange(struct hconn *c)
{
	uint64_t n = c->last - c->first + 1;
	return hprintf(c, "HTTP/1.1 206 Partial Content\r\nContent-Length: %llu\r\n\r\n",
		       (unsigned long long)n) &&
	       send_range(c, c->first, n);
}

static bool serve_badlen(struct hconn *c)
{
	hprintf(c,
		"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %llu-%llu/%u\r\n"
		"Content-Length: 10\r\n\r\n0123456789",
		(unsigned long long)c->first, (unsigned long long)c->last, SIZE);
	return true;
}

static bool serve_full200(struct hconn *c)
{
	return hprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", SIZE) &&
	       send_range(c, 0, SIZE);
}

/* 200 without a length, closed at its end; the path says how many bytes. */
static bool serve_open200(struct hconn *c)
{
	hprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	send_range(c, 0, strtoull(c->path + strlen("/open200/"), NULL, 10));
	return false;
}

/* An answer nobody asked for, right behind the right one, in one piece. */
static bool serve_extra(struct hconn *c)
{
	static const char extra[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX";
	size_t n = (size_t)(c->last - c->first + 1), more = sizeof(extra) - 1;
	char *b = malloc(n + more);
	for (size_t i = 0; b && i < n; i++)
		b[i] = (char)byte_at(c->first + i);
	bool ok = b && head206(c, c->first, c->last, "");
	if (ok) {
		memcpy(b + n, extra, more);
		ok = hsend(c, b, n + more);
	}
	free(b);
	return ok;
}

/* The same when the client may have sent its next request already. */
static bool serve_lateextra(struct hconn *c)
{
	return serve_ok(c) && hprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX");
}

static bool serve_duplen(struct hconn *c)
{
	return head206(c, c->first, c->last, "Content-Length: 77\r\n") &&
	       send_range(c, c->first, c->last - c->first + 1);
}

static bool serve_duprange(struct hconn *c)
{
	return head206(c, c->first, c->last, "Content-Range: bytes 0-9/10\r\n") &&
	       send_range(c, c->first, c->last - c->first + 1);
}

static bool serve_gzip(struct hconn *c)
{
	return head206(c, c->first, c->last, "Content-Encoding: gzip\r\n") &&
	       send_range(c, c->first, c->last - c->first + 1);
}

static bool chunks(struct hconn *c, uint64_t n, bool whole)
{
	hprintf(c,
		"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %llu-%llu/%u\r\n"
		"Transfer-Encoding: chunked\r\n\r\n",
		(unsigned long long)c->first, (unsigned long long)c->last, SIZE);
	for (uint64_t at = 0; at < n; at += 1000) {
		uint64_t k = n - at < 1000 ? n - at : 1000;
		if (!hprintf(c, "%llx\r\n", (unsigned long long)k) ||
		    !send_range(c, c->first + at, k) || !hprintf(c, "\r\n"))
			return false;
	}
	/* Trailers that contradict the head must not be heard. */
	return whole && hprintf(c, "0\r\nContent-Range: bytes 0-0/1\r\nx-late: 1\r\n\r\n");
}

static bool serve_chunked(struct hconn *c)
{
	return chunks(c, c->last - c->first + 1, true);
}

static bool serve_chunkedcut(struct hconn *c)
{
	return chunks(c, (c->last - c->first + 1) / 2, false);
}

static bool serve_chunkedshort(struct hconn *c)
{
	return chunks(c, (c->last - c->first + 1) / 2, true);
}

static bool serve_chunkedlong(struct hconn *c)
{
	return chunks(c, 2 * (c->last - c->first + 1), true);
}

static bool serve_err20k(struct hconn *c)
{
	char b[20480];
	memset(b, 'e', sizeof(b));
	return hprintf(c, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: %zu\r\n\r\n",
		       sizeof(b)) &&
	       hsend(c, b, sizeof(b));
}

static bool serve_errhuge(struct hconn *c)
{
	hprintf(c, "HTTP/1.1 500 Oops\r\n\r\n");
	while (send_range(c, 0, 65536))
		;
	return false;
}

static bool serve_errcut(struct hconn *c)
{
	hprintf(c, "HTTP/1.1 404 Gone\r\nContent-Length: 100\r\n\r\nNot");
	return false;
}

static bool serve_bighdr(struct hconn *c)
{
	char line[1002];
	memset(line, 'h', sizeof(line));
	line[0] = 'x';
	line[1] = ':';
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	hprintf(c, "HTTP/1.1 206 Partial Content\r\n");
	for (int i = 0; i < 1000; i++)
		if (!hsend(c, line, sizeof(line)))
			return false;
	return hprintf(c, "\r\n");
}

static bool serve_manyhdr(struct hconn *c)
{
	hprintf(c, "HTTP/1.1 206 Partial Content\r\n");
	for (int i = 0; i < 5000; i++)
		if (!hprintf(c, "x: y\r\n"))
			return false;
	return hprintf(c, "\r\n");
}

static bool serve_many100(struct hconn *c)
{
	while (hprintf(c, "HTTP/1.1 100 Continue\r\n\r\n"))
		;
	return false;
}

static bool serve_one100(struct hconn *c)
{
	return hprintf(c, "HTTP/1.1 100 Continue\r\nETag: \"no\"\r\n\r\n") && serve_ok(c);
}

static bool serve_folded(struct hconn *c)
{
	return head206(c, c->first, c->last, "x: a\r\n b\r\n") &&
	       send_range(c, c->first, c->last - c->first + 1);
}

static bool serve_garbage(struct hconn *c)
{
	hprintf(c, "\1\2\3 nothing like http at all\r\n\r\n");
	return false;
}

static bool serve_drip(struct hconn *c)
{
	head206(c, c->first, c->last, "");
	while (hpause(c, 10) && hsend(c, "d", 1))
		;
	return false;
}

static bool serve_never(struct hconn *c)
{
	hpause(c, 60000);
	return false;
}

static bool serve_redirect(struct hconn *c)
{
	return hprintf(c,
		       "HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:%u/ok\r\n"
		       "Content-Length: 0\r\n\r\n",
		       c->srv->port);
}

/* Says back what was asked: the request's head (up to its body) and the body. */
static bool serve_echo(struct hconn *c)
{
	char *b = malloc(c->body_len + 1);
	bool ok = b && hbody(c, b) &&
		  hprintf(c, "HTTP/1.1 201 Created\r\nContent-Length: %zu\r\n\r\n",
			  c->head_len + c->body_len) &&
		  hsend(c, c->head, c->head_len) && hsend(c, b, c->body_len);
	free(b);
	return ok;
}

/* Takes no more of a request's body than what came with its head. */
static bool serve_deaf(struct hconn *c)
{
	return serve_never(c);
}

static bool serve_big(struct hconn *c)
{
	hprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	while (send_range(c, 0, 65536))
		;
	return false;
}

static bool serve_mirror(struct hconn *c)
{
	return hprintf(c, "HTTP/1.1 418 Look\r\nContent-Length: %zu\r\n\r\n", c->head_len) &&
	       hsend(c, c->head, c->head_len);
}

static bool serve_created(struct hconn *c)
{
	return hbody(c, NULL) && hprintf(c, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
}

/* Promises to keep the connection and closes it: the next request meets a dead one. */
static bool serve_closing(struct hconn *c)
{
	serve_ok(c);
	return false;
}

static const struct {
	const char *path;
	bool (*serve)(struct hconn *c);
} scripts[] = {
	{"/ok", serve_ok},
	{"/cut", serve_cut},
	{"/rst", serve_rst},
	{"/rst0", serve_rst_at_once},
	{"/fin0", serve_fin_at_once},
	{"/badrange", serve_badrange},
	{"/shortrange", serve_shortrange},
	{"/norange", serve_norange},
	{"/badlen", serve_badlen},
	{"/full200", serve_full200},
	{"/extra", serve_extra},
	{"/lateextra", serve_lateextra},
	{"/duplen", serve_duplen},
	{"/duprange", serve_duprange},
	{"/gzip", serve_gzip},
	{"/chunked", serve_chunked},
	{"/chunkedcut", serve_chunkedcut},
	{"/chunkedshort", serve_chunkedshort},
	{"/chunkedlong", serve_chunkedlong},
	{"/err20k", serve_err20k},
	{"/errhuge", serve_errhuge},
	{"/errcut", serve_errcut},
	{"/bighdr", serve_bighdr},
	{"/manyhdr", serve_manyhdr},
	{"/many100", serve_many100},
	{"/one100", serve_one100},
	{"/folded", serve_folded},
	{"/garbage", serve_garbage},
	{"/drip", serve_drip},
	{"/never", serve_never},
	{"/redirect", serve_redirect},
	{"/deaf", serve_deaf},
	{"/big", serve_big},
	{"/mirror", serve_mirror},
	{"/created", serve_created},
	{"/closing", serve_closing},
};

static bool serve(struct hconn *c)
{
	size_t n = strcspn(c->path, "?");
	if (strncmp(c->path, "/echo", 5) == 0)
		return serve_echo(c);
	if (strncmp(c->path, "/open200/", 9) == 0)
		return serve_open200(c);
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		if (strlen(scripts[i].path) == n && memcmp(scripts[i].path, c->path, n) == 0)
			return scripts[i].serve(c);
	return hprintf(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

/* One exchange with its memory. */
struct job {
	struct slu_xfer x;
	char url[256];
	atomic_int dones;
};

static void job_init(struct job *j, const char *path)
{
	*j = (struct job){.x = {.method = "GET", .url = j->url, .total = SIZE}};
	snprintf(j->url, sizeof(j->url), "http://127.0.0.1:%u%s", srv.port, path);
}

static int get_range(struct job *j, const char *path, uint64_t off, size_t len)
{
	job_init(j, path);
	j->x.off = off;
	j->x.len = len;
	j->x.buf = len ? malloc(len) : NULL;
	if (len) {
		assert_non_null(j->x.buf);
		memset(j->x.buf, 0xee, len);
	}
	return slu_xfer_wait(loop, &j->x);
}

static void job_done(struct job *j)
{
	slu_xfer_done(&j->x);
	free(j->x.buf);
	j->x.buf = NULL;
}

static void check_bytes(const struct job *j)
{
	const unsigned char *p = j->x.buf;
	assert_int_equal(j->x.got, j->x.len);
	for (size_t i = 0; i < j->x.len; i++)
		if (p[i] != byte_at(j->x.off + i))
			fail_msg("byte %zu is wrong", i);
}

static void check_untouched(const struct job *j)
{
	const unsigned char *p = j->x.buf;
	assert_int_equal(j->x.got, 0);
	for (size_t i = 0; i < j->x.len; i++)
		if (p[i] != 0xee)
			fail_msg("byte %zu was written", i);
}

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
	assert_int_equal(get_range(&j, "/full200", 0, SIZE), 0);
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

static void time_limits(void **state)
{
	(void)state;
	struct job j;
	/* The stall limits of this program: 1 KiB/s for 250 ms.  The drip is 100 B/s. */
	int64_t t = slu_now();
	assert_int_equal(get_range(&j, "/drip", 0, 100000), -ETIMEDOUT);
	assert_non_null(strstr(j.x.err.msg, "stalled"));
	assert_true(j.x.got > 0);
	job_done(&j);
	/* Silence before the head of a ranged answer is a stall too. */
	assert_int_equal(get_range(&j, "/never", 0, 1000), -ETIMEDOUT);
	assert_non_null(strstr(j.x.err.msg, "stalled"));
	job_done(&j);
	assert_true(slu_now() - t < 20 * SLU_SEC);

	/* Elsewhere it is a server at work: only the deadline ends it. */
	job_init(&j, "/never");
	j.x.sink = SLU_SINK_BUF;
	j.x.resp = SLU_BUF(1000);
	j.x.deadline = slu_deadline_in(600 * SLU_MS);
	t = slu_now();
	assert_int_equal(slu_xfer_wait(loop, &j.x), -ETIMEDOUT);
	assert_null(strstr(j.x.err.msg, "stalled"));
	assert_true(slu_now() >= j.x.deadline);
	job_done(&j);
	job_init(&j, "/ok");
	j.x.sink = SLU_SINK_NONE;
	j.x.deadline = slu_now() - 1;
	assert_int_equal(slu_xfer_wait(loop, &j.x), -ETIMEDOUT);
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
	assert_non_null(strstr(j.x.err.msg, "stalled"));
	job_done(&j);
	free(body);
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

static void connections_are_kept(void **state)
{
	(void)state;
	struct job j;
	assert_int_equal(get_range(&j, "/ok", 0, 100), 0);
	job_done(&j);
	int conns = atomic_load(&srv.conns);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(get_range(&j, "/ok", (uint64_t)i, 100), 0);
		check_bytes(&j);
		job_done(&j);
	}
	assert_int_equal(atomic_load(&srv.conns), conns);
	/* A kept connection that died is replaced, without an error. */
	for (int i = 0; i < 5; i++) {
		assert_int_equal(get_range(&j, "/closing", 0, 100), 0);
		job_done(&j);
	}
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

/* Asynchronous: many at once, from done() too. */
#define MANY 200

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int finished;

static void count_done(struct slu_xfer *x)
{
	struct job *j = x->user;
	assert_ptr_equal(slu_loop_self(), x->loop);
	atomic_fetch_add(&j->dones, 1);
	pthread_mutex_lock(&lock);
	finished++;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void again_done(struct slu_xfer *x)
{
	struct slu_loop *l = x->loop;
	if (x->rc == 0 && x->off == 0) {
		slu_xfer_done(x);
		x->off = 4096;
		slu_xfer_send(l, x);
		return;
	}
	count_done(x);
}

static void wait_finished(int n)
{
	pthread_mutex_lock(&lock);
	while (finished < n)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
}

static struct job *send_many(struct slu_loops *ls, const char *path, size_t len,
			     void (*done)(struct slu_xfer *))
{
	struct job *jobs = calloc(MANY, sizeof(*jobs));
	finished = 0;
	for (int i = 0; i < MANY; i++) {
		struct job *j = &jobs[i];
		job_init(j, path);
		j->x.len = len;
		j->x.buf = malloc(len);
		j->x.done = done;
		j->x.user = j;
		slu_xfer_send(slu_loops_pick(ls, "h", (unsigned)i), &j->x);
	}
	return jobs;
}

static void free_many(struct job *jobs)
{
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(atomic_load(&jobs[i].dones), 1);
		job_done(&jobs[i]);
	}
	free(jobs);
}

static void many_at_once(void **state)
{
	(void)state;
	struct job *jobs = send_many(loops, "/ok", 20000, again_done);
	wait_finished(MANY);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(jobs[i].x.rc, 0);
		assert_int_equal(jobs[i].x.off, 4096);
		check_bytes(&jobs[i]);
	}
	free_many(jobs);
}

static void cancels(void **state)
{
	(void)state;
	struct job *jobs = send_many(loops, "/drip", 20000, count_done);
	for (int i = 0; i < MANY; i++)
		slu_xfer_cancel(&jobs[i].x);
	wait_finished(MANY);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(jobs[i].x.rc, -ECANCELED);
	free_many(jobs);

	/* Raced against completion: canceled or right, once. */
	jobs = send_many(loops, "/ok", 50000, count_done);
	for (int i = 0; i < MANY; i++)
		slu_xfer_cancel(&jobs[i].x);
	wait_finished(MANY);
	for (int i = 0; i < MANY; i++) {
		if (jobs[i].x.rc == 0)
			check_bytes(&jobs[i]);
		else
			assert_int_equal(jobs[i].x.rc, -ECANCELED);
	}
	free_many(jobs);

	struct job j; /* before it is sent */
	job_init(&j, "/created");
	j.x.sink = SLU_SINK_NONE;
	slu_xfer_cancel(&j.x);
	assert_int_equal(slu_xfer_wait(loop, &j.x), -ECANCELED);
	job_done(&j);
	assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
	job_done(&j);
}

static void loops_end_with_things_in_flight(void **state)
{
	(void)state;
	for (int round = 0; round < 4; round++) {
		struct slu_loops *ls;
		struct slu_loops_conf conf = {.threads = 2, .conns_per_host = 8};
		assert_int_equal(slu_loops_new(&conf, &ls, NULL), 0);
		struct job *jobs = send_many(ls, "/never", 1000, count_done);
		if (round & 1) {
			/* Some have been started: the server has their requests. */
			int n = atomic_load(&srv.requests);
			struct job j;
			assert_int_equal(get_range(&j, "/ok", 0, 10), 0);
			job_done(&j);
			assert_true(atomic_load(&srv.requests) > n);
		}
		slu_loops_free(ls);
		assert_int_equal(finished, MANY);
		for (int i = 0; i < MANY; i++)
			assert_int_equal(jobs[i].x.rc, -ECANCELED);
		free_many(jobs);
	}
}

static void wait_on_loop(void *arg)
{
	struct job *j = arg;
	int r = slu_xfer_wait(loop, &j->x);
	atomic_store(&j->dones, r == -EDEADLK ? 1 : 2);
	pthread_mutex_lock(&lock);
	finished = 1;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void a_loop_cannot_wait(void **state)
{
	(void)state;
	struct job j;
	job_init(&j, "/created");
	finished = 0;
	assert_int_equal(slu_loop_post(loop, wait_on_loop, &j), 0);
	wait_finished(1);
	assert_int_equal(atomic_load(&j.dones), 1);
	job_done(&j);
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

static int setup(void **state)
{
	(void)state;
	/* The stall limits are too short for a busy machine under a sanitizer only if a thread is
	 * not run for a quarter of a second five times in a row. */
	struct slu_loops_conf conf = {.threads = 2};
	httpd_start(&srv, serve);
	if (slu_loops_new(&conf, &loops, NULL) < 0)
		return -1;
	slu_loops_set_stall(loops, 1250 * SLU_MS, 1024);
	loop = slu_loops_pick(loops, "127.0.0.1", 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	slu_loops_free(loops);
	httpd_stop(&srv);
	return 0;
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
		cmocka_unit_test(time_limits),
		cmocka_unit_test(bodies_are_sent),
		cmocka_unit_test(range_header),
		cmocka_unit_test(reply_limits),
		cmocka_unit_test(head_has_no_body),
		cmocka_unit_test(connections_are_kept),
		cmocka_unit_test(connect_fails),
		cmocka_unit_test(refused_requests),
		cmocka_unit_test(malformed_requests),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(cancels),
		cmocka_unit_test(loops_end_with_things_in_flight),
		cmocka_unit_test(a_loop_cannot_wait),
		cmocka_unit_test(urls_are_shown_safely),
	};
	return cmocka_run_group_tests_name("xfer", tests, setup, teardown);
}
