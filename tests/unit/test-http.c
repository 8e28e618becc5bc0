/* SPDX-License-Identifier: Apache-2.0 */
/* Header values and answer heads: what is accepted, and that everything else is refused. */
#include "common/time.h"
#include "io/http.h"
#include "io/reply.h"
#include "io/xfer.h"
#include "tests/fuzz/fuzz-http.c"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void content_ranges(void **state)
{
	(void)state;
	uint64_t a, b, n;
	assert_true(slu_http_content_range("bytes 0-0/1", &a, &b, &n));
	assert_true(a == 0 && b == 0 && n == 1);
	assert_true(slu_http_content_range("BYTES 5-9/*", &a, &b, &n));
	assert_true(a == 5 && b == 9 && n == UINT64_MAX);
	assert_true(slu_http_content_range("bytes 0-18446744073709551613/18446744073709551614", &a,
					   &b, &n));
	assert_true(b == UINT64_MAX - 2 && n == UINT64_MAX - 1);

	static const char *const bad[] = {
		"",
		"bytes",
		"bytes ",
		"bytes 1-2",
		"bytes 1-2/",
		"bytes 2-1/9",
		"bytes 0-9/9",
		"bytes 0-9/5",
		"bytes */9",
		"bytes -1/9",
		"bytes 1-/9",
		"bytes  1-2/9",
		"bytes 1-2/9 ",
		"bytes +1-2/9",
		"bytes 1-2/-9",
		"bytes 0x1-2/9",
		"bytes 1 -2/9",
		"bytes=1-2/9",
		"octets 1-2/9",
		"bytes 0-0/18446744073709551615",
		"bytes 0-0/18446744073709551616",
		"bytes 0-18446744073709551615/*",
		"bytes 18446744073709551616-18446744073709551617/*",
		"bytes 1-2/9,3-4/9",
	};
	a = 42;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (slu_http_content_range(bad[i], &a, &b, &n))
			fail_msg("'%s' was accepted", bad[i]);
	assert_true(a == 42); /* set only on success */
}

static void lengths(void **state)
{
	(void)state;
	uint64_t n = 7;
	static const char *const bad[] = {
		"", " 1", "1 ", "-1", "+1", "0x1", "1,1", "18446744073709551616", "1.0", "1e3"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(slu_http_length(bad[i], &n));
	assert_true(n == 7);
	assert_true(slu_http_length("0", &n) && n == 0);
	assert_true(slu_http_length("18446744073709551615", &n) && n == UINT64_MAX);
}

static void dates(void **state)
{
	(void)state;
	int64_t t;
	assert_true(slu_http_date("Sun, 06 Nov 1994 08:49:37 GMT", &t));
	assert_int_equal(t / SLU_SEC, 784111777);
	assert_true(slu_http_date("Thu, 01 Jan 1970 00:00:00 GMT", &t));
	assert_int_equal(t, 0);
	assert_true(slu_http_date("Tue, 29 Feb 2028 23:59:59 GMT", &t));
	assert_int_equal(t / SLU_SEC, 1835481599);
	assert_true(slu_http_date("Sat, 31 Dec 2016 23:59:60 GMT", &t)); /* a leap second */
	assert_true(slu_http_date("Sat, 31 Dec 2261 23:59:59 GMT", &t) && t > 0);

	static const char *const bad[] = {
		"",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		"Sun, 06 Nov 1994 24:49:37 GMT",
		"Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Wed, 29 Feb 2023 08:49:37 GMT",
		"Wed, 29 Feb 2100 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1969 08:49:37 GMT",
		"Sun, 06 Nov 9999 08:49:37 GMT",
		"Xyz, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nox 1994 08:49:37 GMT",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (slu_http_date(bad[i], &t))
			fail_msg("'%s' was accepted", bad[i]);
}

static void retry_after(void **state)
{
	(void)state;
	const int64_t now = 784111777 * SLU_SEC, hour = 3600 * SLU_SEC;
	int64_t d;
	assert_true(slu_http_retry_after("0", now, &d) && d == 0);
	assert_true(slu_http_retry_after("7", now, &d) && d == 7 * SLU_SEC);
	assert_true(slu_http_retry_after("3600", now, &d) && d == hour);
	assert_true(slu_http_retry_after("3601", now, &d) && d == hour);
	assert_true(slu_http_retry_after("99999999999999999999999", now, &d) && d == hour);
	assert_true(slu_http_retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now, &d));
	assert_true(d == 10 * SLU_SEC);
	assert_true(slu_http_retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now, &d) && d == 0);
	assert_true(slu_http_retry_after("Sun, 06 Nov 2094 08:49:00 GMT", now, &d) && d == hour);
	assert_true(slu_http_retry_after("Sun, 06 Nov 2094 08:49:00 GMT", INT64_MIN / 2, &d));
	assert_true(d == hour);
	assert_false(slu_http_retry_after("", now, &d));
	assert_false(slu_http_retry_after("-1", now, &d));
	assert_false(slu_http_retry_after("7s", now, &d));
	assert_false(slu_http_retry_after(" 7", now, &d));
	assert_false(slu_http_retry_after("Sun, 06 Nov 2094 08:49:00 GMT", INT64_MIN, &d));
}

static int feed(struct slu_reply *r, const char *text)
{
	int rc = 0;
	while (*text && rc == 0) {
		size_t n = strcspn(text, "\n") + 1;
		rc = slu_reply_line(r, text, n, "x", NULL);
		text += n;
	}
	return rc;
}

static void heads(void **state)
{
	(void)state;
	struct slu_reply r = {0};
	assert_int_equal(feed(&r, "HTTP/1.1 100 Continue\r\nA: no\r\n\r\n"), 0);
	assert_false(r.complete);
	assert_int_equal(
		feed(&r, "HTTP/1.1 206\r\nA: 1\r\nContent-Length:5\r\na:\t2 \r\nb:\r\n\r\n"), 0);
	assert_true(r.complete && r.has_length && r.length == 5 && r.status == 206);
	assert_string_equal(slu_reply_get(&r, "A"), "2");
	assert_string_equal(slu_reply_get(&r, "b"), "");
	assert_null(slu_reply_get(&r, "c"));
	assert_int_equal(feed(&r, "Content-Length: 9\r\nB: late\r\n"), 0); /* trailers */
	assert_int_equal(r.length, 5);
	assert_string_equal(slu_reply_get(&r, "b"), "");
	slu_reply_done(&r);

	static const char *const bad[] = {
		"HTTP/1.1 2x6 a\r\n",
		"HTTP/1.1\r\n",
		"HTTP/1.1 2061\r\n",
		"HTTP/1.1 099 a\r\n",
		"A: 1\r\n", /* before any status */
		"HTTP/1.1 200 a\r\nno colon\r\n",
		"HTTP/1.1 200 a\r\n: x\r\n",
		"HTTP/1.1 200 a\r\na b: x\r\n",
		"HTTP/1.1 200 a\r\n a: x\r\n",
		"HTTP/1.1 200 a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
		"HTTP/1.1 200 a\r\nContent-Length: 1, 1\r\n",
		"HTTP/1.1 200 a\r\nContent-Length: -1\r\n",
		"HTTP/1.1 200 a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
		"HTTP/1.1 200 a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n",
		"HTTP/1.1 206 a\r\nContent-Range: bytes 0-1\r\n",
		"HTTP/1.1 206 a\r\nContent-Range: bytes 0-1/2\r\nContent-Range: bytes 0-1/2\r\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct slu_reply b = {0};
		if (feed(&b, bad[i]) != -EPROTO)
			fail_msg("'%s' was accepted", bad[i]);
		slu_reply_done(&b);
	}
	struct slu_reply nul = {0};
	assert_int_equal(feed(&nul, "HTTP/1.1 200 a\r\n"), 0);
	assert_int_equal(slu_reply_line(&nul, "a: b\0c\r\n", 8, "x", NULL), -EPROTO);
	slu_reply_done(&nul);
}

static void head_limits(void **state)
{
	(void)state;
	struct slu_reply r = {0};
	int rc = 0, n = 0;
	assert_int_equal(feed(&r, "HTTP/1.1 200 a\r\n"), 0);
	for (; rc == 0 && n < 100000; n++)
		rc = slu_reply_line(&r, "a: b\r\n", 6, "x", NULL);
	assert_int_equal(rc, -EPROTO);
	assert_int_equal(n, SLU_REPLY_LINES);
	slu_reply_done(&r);

	static char line[30000];
	memset(line, 'v', sizeof(line));
	memcpy(line, "a: ", 3);
	assert_int_equal(feed(&r, "HTTP/1.1 200 a\r\n"), 0);
	assert_int_equal(slu_reply_line(&r, line, sizeof(line), "x", NULL), 0);
	assert_int_equal(slu_reply_line(&r, line, sizeof(line), "x", NULL), 0);
	assert_int_equal(slu_reply_line(&r, line, sizeof(line), "x", NULL), -EPROTO);
	slu_reply_done(&r);
}

static int check(const char *head, uint64_t off, uint64_t len, uint64_t total)
{
	struct slu_reply r = {0};
	struct slu_want w = {.off = off, .len = len, .total = total};
	assert_int_equal(feed(&r, head), 0);
	int rc = slu_reply_check_range(&r, &w, "x", NULL);
	slu_reply_done(&r);
	return rc;
}

#define R206 "HTTP/1.1 206 P\r\nContent-Range: bytes 10-19/100\r\n"

static void wanted_ranges(void **state)
{
	(void)state;
	const uint64_t any = UINT64_MAX;
	assert_int_equal(check(R206 "\r\n", 10, 10, 100), 0);
	assert_int_equal(check(R206 "Content-Length: 10\r\n\r\n", 10, 10, any), 0);
	assert_int_equal(check(R206 "Content-Encoding: identity\r\n\r\n", 10, 10, 100), 0);
	assert_int_equal(check(R206 "\r\n", 10, 10, 101), -ESTALE);
	assert_int_equal(check(R206 "\r\n", 10, 11, 100), -EPROTO);
	assert_int_equal(check(R206 "\r\n", 9, 10, 100), -EPROTO);
	assert_int_equal(check(R206 "\r\n", 0, 10, 100), -EPROTO);
	assert_int_equal(check(R206 "Content-Length: 11\r\n\r\n", 10, 10, 100), -EPROTO);
	assert_int_equal(check(R206 "Content-Encoding: br\r\n\r\n", 10, 10, 100), -EPROTO);
	assert_int_equal(check("HTTP/1.1 206 P\r\n\r\n", 10, 10, 100), -EPROTO);
	assert_int_equal(check("HTTP/1.1 204 N\r\n\r\n", 0, 0, 0), -EPROTO);
	assert_int_equal(check("HTTP/1.1 200 O\r\nContent-Length: 10\r\n\r\n", 0, 10, 100), 0);
	assert_int_equal(check("HTTP/1.1 200 O\r\n\r\n", 0, 10, 10), 0);
	assert_int_equal(check("HTTP/1.1 200 O\r\nContent-Length: 100\r\n\r\n", 0, 10, 100),
			 -EPROTO);
	assert_int_equal(check("HTTP/1.1 200 O\r\nContent-Length: 10\r\n\r\n", 10, 10, 100),
			 -EPROTO);
	assert_int_equal(check("HTTP/1.1 200 O\r\nContent-Range: bytes 0-9/10\r\n\r\n", 0, 10, 10),
			 -EPROTO);
}

/* Every file of the fuzzer's corpus once more, as an ordinary test. */
static void corpus(void **state)
{
	(void)state;
	char path[4096];
	const char *slash = strrchr(__FILE__, '/');
	snprintf(path, sizeof(path), "%.*s/../corpus/http", (int)(slash - __FILE__), __FILE__);
	DIR *d = opendir(path);
	if (!d)
		fail_msg("no corpus at '%s'", path);
	int files = 0;
	static uint8_t data[1 << 20];
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		char name[4096 + 300];
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		FILE *f = fopen(name, "re");
		assert_non_null(f);
		size_t n = fread(data, 1, sizeof(data), f);
		fclose(f);
		LLVMFuzzerTestOneInput(data, n);
		files++;
	}
	closedir(d);
	assert_true(files > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_ranges), cmocka_unit_test(lengths),
		cmocka_unit_test(dates),          cmocka_unit_test(retry_after),
		cmocka_unit_test(heads),          cmocka_unit_test(head_limits),
		cmocka_unit_test(wanted_ranges),  cmocka_unit_test(corpus),
	};
	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
