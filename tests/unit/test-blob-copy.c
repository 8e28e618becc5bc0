/* SPDX-License-Identifier: Apache-2.0 */
/* Copies from other accounts that the service makes by itself, against a scripted server. */
#include "tests/unit/blob-play.h"

#define MIB ((uint64_t)1 << 20)
#define FROM "https://other.example/in/f?sig=CANARY"

static int copy(struct slu_store *s, const char *url, uint64_t size, unsigned flags,
		struct slu_err *e)
{
	struct slu_source from = {.url = (char *)url,
				  .authorization = (char *)"Bearer TOKEN",
				  .id = "0x9",
				  .size = size};
	struct slu_op op;
	int r;

	slu_op_copy(&op, "f", &from, flags);
	r = slu_store_wait(s, &op, e);
	if (r == 0)
		assert_int_equal(op.attr.size, size);
	if (r < 0 && e)
		assert_lacks(e->msg, "CANARY");
	return r;
}

static void a_short_blob_is_one_request(void **state)
{
	struct slu_store *s = open_store("");
	struct slu_err e = {0};

	(void)state;
	PLAY({"PUT /acct/data/f ", "x-ms-copy-source: " FROM, CREATED, NULL},
	     {"PUT", "x-ms-copy-source-authorization: Bearer TOKEN", CREATED, NULL},
	     {"PUT", "x-ms-source-if-match: \"0x9\"", CREATED, NULL},
	     {"PUT", "if-none-match: *", NONE("409 Conflict", "BlobAlreadyExists"), NULL},
	     {"PUT", NULL, NONE("412 No", "SourceConditionNotMet"), NULL});
	assert_int_equal(copy(s, FROM, 5, 0, NULL), 0);
	assert_int_equal(copy(s, FROM, 5, 0, NULL), 0);
	assert_int_equal(copy(s, FROM, 5, 0, NULL), 0);
	assert_int_equal(copy(s, FROM, 5, SLU_OPF_ABSENT, &e), -EEXIST);
	assert_failed(copy(s, FROM, 5, 0, &e), e, ESTALE, "changed by somebody else");
	slu_store_free(s);
	played();
}

static void what_the_service_cannot_fetch_is_not_asked_for_twice(void **state)
{
	struct slu_store *s = open_store("");

	(void)state;
	PLAY({"PUT", NULL, NONE("404 Not Found", "CannotVerifyCopySource"), NULL},
	     {"PUT", NULL, NONE("403 Forbidden", "CannotVerifyCopySource"), NULL},
	     {"PUT", "x-ms-copy-source: https://third.example/", CREATED, NULL});
	assert_int_equal(copy(s, FROM, 5, 0, NULL), -ENOTSUP);
	assert_int_equal(copy(s, FROM, 5, 0, NULL), -ENOTSUP);
	assert_int_equal(copy(s, FROM, 5, 0, NULL), -ENOTSUP);
	assert_int_equal(copy(s, "https://third.example/in/f", 5, 0, NULL), 0);
	slu_store_free(s);
	played();
}

static void a_lost_answer_goes_another_way_unless_something_is_there(void **state)
{
#define LOST NONE("500 Internal Server Error", "InternalError")
	struct slu_store *s = open_store("");

	(void)state;
	PLAY({"PUT", NULL, LOST, NULL}, {"HEAD", NULL, NONE("404 No", "BlobNotFound"), NULL},
	     {"PUT", NULL, LOST, NULL}, {"HEAD", NULL, HEAD("5", ""), NULL},
	     {"PUT", NULL, LOST, NULL}, {"HEAD", NULL, HEAD("5", ""), NULL});
	assert_int_equal(copy(s, FROM, 5, SLU_OPF_ABSENT, NULL), -ENOTSUP);
	assert_int_equal(copy(s, FROM, 5, 0, NULL), -ENOTSUP);
	assert_int_equal(copy(s, FROM, 5, SLU_OPF_ABSENT, NULL), -ECONNABORTED);
	slu_store_free(s);
	played();
}

/* The source is on the scripted server too, in another account. */
static const char *source_url(void)
{
	static char url[128];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/other/in/f?sig=CANARY", srv.port);
	return url;
}

#define SOURCE(size, more)                                                                                                \
	"HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nETag: \"0x9\"\r\nLast-Modified: Sat, 21 Nov 2026 00:00:00 GMT\r\n" more \
	"Content-Length: " size "\r\n\r\n"

static void a_long_blob_is_fetched_in_parts(void **state)
{
	struct slu_store *s = open_store("");
	struct slu_err e = {0};

	(void)state;
	PLAY({"HEAD /other/in/f?sig=CANARY ", "authorization: Bearer TOKEN",
	      SOURCE("104857600", "Content-Type: text/csv\r\nx-ms-meta-Owner: me\r\n"), NULL},
	     {"PUT /acct/data/f?blockid=", "x-ms-source-range: bytes=", CREATED, NULL},
	     {"PUT /acct/data/f?blockid=", "x-ms-source-if-match: \"0x9\"", CREATED, NULL},
	     {"PUT /acct/data/f?comp=blocklist ", "x-ms-blob-content-type: text/csv", CREATED,
	      NULL},
	     /* metadata; a part that fails once */
	     {"HEAD", NULL, SOURCE("67108865", "x-ms-meta-Owner: me\r\n"), NULL},
	     {"PUT /acct/data/f?blockid=", NULL, NONE("503 Busy", "ServerBusy"), NULL},
	     {"PUT /acct/data/f?blockid=", NULL, CREATED, NULL},
	     {"PUT /acct/data/f?blockid=", NULL, CREATED, NULL},
	     {"PUT /acct/data/f?comp=blocklist ", "x-ms-meta-owner: me", CREATED, NULL},
	     /* another state of it */
	     {"HEAD", NULL, SOURCE("7", ""), NULL});
	assert_int_equal(copy(s, source_url(), 100 * MIB, 0, NULL), 0);
	assert_int_equal(copy(s, source_url(), 64 * MIB + 1, 0, NULL), 0);
	assert_failed(copy(s, source_url(), 100 * MIB, 0, &e), e, ESTALE, "changed");
	slu_store_free(s);
	played();
}

static void parts_that_are_refused_go_another_way(void **state)
{
	struct slu_store *s = open_store("");
	struct slu_err e = {0};

	(void)state;
	PLAY({"HEAD", NULL, SOURCE("104857600", ""), NULL},
	     {"PUT", NULL, NONE("412 No", "ConditionNotMet"), NULL},
	     {"PUT", NULL, NONE("412 No", "ConditionNotMet"), NULL},
	     {"HEAD", NULL, NONE("403 Forbidden", "AuthenticationFailed"), NULL},
	     {"HEAD", NULL, SOURCE("104857600", ""), NULL},
	     {"PUT", NULL, NONE("403 Forbidden", "CannotVerifyCopySource"), NULL},
	     {"PUT", NULL, NONE("403 Forbidden", "CannotVerifyCopySource"), NULL});
	assert_failed(copy(s, source_url(), 100 * MIB, 0, &e), e, ESTALE, "changed");
	assert_int_equal(copy(s, source_url(), 100 * MIB, 0, NULL), -ENOTSUP);
	assert_int_equal(copy(s, source_url(), 100 * MIB, 0, NULL), -ENOTSUP);
	assert_int_equal(copy(s, source_url(), 100 * MIB, 0, NULL), -ENOTSUP);
	slu_store_free(s);
	played();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_short_blob_is_one_request),
		cmocka_unit_test(what_the_service_cannot_fetch_is_not_asked_for_twice),
		cmocka_unit_test(a_lost_answer_goes_another_way_unless_something_is_there),
		cmocka_unit_test(a_long_blob_is_fetched_in_parts),
		cmocka_unit_test(parts_that_are_refused_go_another_way),
	};
	return cmocka_run_group_tests_name("blob-copy", tests, setup, teardown);
}
