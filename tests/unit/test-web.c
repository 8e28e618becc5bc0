/* SPDX-License-Identifier: Apache-2.0 */
/* What the headers of a web server make of a file's identity, and where redirects may lead. */
#include "tests/unit/unit.h"

#include "common/mem.h"
#include "io/url_join.h"
#include "web/answer.h"

#include <errno.h>
#include <string.h>

#define DATE "Tue, 15 Nov 1994 08:12:31 GMT"

static void make(const char *etag, const char *modified, const char *want)
{
	char id[SLU_ID_MAX];

	assert_int_equal(slu_web_id_make(255, etag, modified, id), *want != '\0');
	assert_string_equal(id, want);
}

static void identity(void **state)
{
	(void)state;
	make("\"abc\"", DATE, "ff\"abc\"");
	make("W/\"abc\"", DATE, "ff-2ec86d6f");
	make("\"a b\"", DATE, "ff-2ec86d6f");
	make("\"", DATE, "ff-2ec86d6f");
	make(NULL, DATE, "ff-2ec86d6f");
	make("W/\"abc\"", NULL, "");
	make(NULL, "yesterday", "");
}

/* Both as long as they may be, and then the length gives way. */
static void long_etag(void **state)
{
	char etag[SLU_ID_MAX + 2], id[SLU_ID_MAX];
	struct slu_web_id back;

	(void)state;
	memset(etag, 'x', sizeof(etag));
	etag[0] = etag[SLU_ID_MAX - 2] = '"';
	etag[SLU_ID_MAX - 1] = '\0';
	assert_true(slu_web_id_make(255, etag, NULL, id));
	assert_string_equal(id, etag);
	assert_true(slu_web_id_parse(id, &back));
	assert_int_equal(back.size, UINT64_MAX);
	etag[SLU_ID_MAX - 2] = 'x';
	etag[SLU_ID_MAX - 1] = '"';
	etag[SLU_ID_MAX] = '\0';
	assert_false(slu_web_id_make(255, etag, NULL, id));
}

static void compare(void **state)
{
	struct slu_web_id id;

	(void)state;
	assert_true(slu_web_id_parse("ff\"abc\"", &id));
	assert_int_equal(id.size, 255);
	assert_int_equal(slu_web_id_check(&id, "\"abc\"", NULL), 0);
	assert_int_equal(slu_web_id_check(&id, "\"abd\"", DATE), -ESTALE);
	assert_int_equal(slu_web_id_check(&id, NULL, DATE), -EPROTO);
	assert_true(slu_web_id_parse("ff-2ec86d6f", &id));
	assert_int_equal(slu_web_id_check(&id, NULL, DATE), 0);
	assert_int_equal(slu_web_id_check(&id, "\"x\"", "Tue, 15 Nov 1994 08:12:32 GMT"), -ESTALE);
	assert_int_equal(slu_web_id_check(&id, "\"x\"", NULL), -EPROTO);
}

static void no_identity(void **state)
{
	static const char *const bad[] = {
		"",          "ff",    "ff-",   "-1",    "f-0001",
		"FF-1",      "ff-1x", "ff\"a", "0ff-1", "ff-fffffffffffffffff",
		"ff W/\"a\""};
	struct slu_web_id id;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(slu_web_id_parse(bad[i], &id));
}

static void date(void **state)
{
	char text[SLU_WEB_DATE];

	(void)state;
	slu_web_date(0x2ec86d6f, text);
	assert_string_equal(text, DATE);
}

static void join(const char *base, const char *to, int rc, const char *want)
{
	SLU_AUTO(slu_freep) char *got = NULL;
	struct slu_err e = {0};

	assert_int_equal(slu_url_join(base, to, &got, &e), rc);
	if (rc == 0)
		assert_string_equal(got, want);
	else
		assert_null(strstr(e.msg, "hush"));
}

static void redirects(void **state)
{
	(void)state;
	join("https://h/a/b?q", "c", 0, "https://h/a/c");
	join("https://h/a/b", "/c?d=1#e", 0, "https://h/c?d=1");
	join("https://h/a", "//other:8443/x", 0, "https://other:8443/x");
	join("http://h/a", "https://h/a", 0, "https://h/a");
	join("https://h/a", "http://h/a?hush", -EACCES, NULL);
	join("https://h/a", "https://me:hush@h/a", -EPROTO, NULL);
	join("https://h/a", "ftp://h/hush", -EPROTO, NULL);
	join("https://h/a", "file:///etc/hush", -EPROTO, NULL);
}

static void statuses(void **state)
{
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_web_status(404, &e), -ENOENT);
	assert_int_equal(slu_web_status(403, &e), -EACCES);
	assert_int_equal(slu_web_status(412, &e), -ESTALE);
	assert_int_equal(slu_web_status(503, &e), -EAGAIN);
	assert_int_equal(slu_web_status(500, &e), -EIO);
	assert_int_equal(slu_web_status(418, &e), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity), cmocka_unit_test(long_etag),
		cmocka_unit_test(compare),  cmocka_unit_test(no_identity),
		cmocka_unit_test(date),     cmocka_unit_test(redirects),
		cmocka_unit_test(statuses),
	};

	return cmocka_run_group_tests_name("web", tests, NULL, NULL);
}
