/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of the Blob driver against a scripted server: pins, checksums of ranges, versions. */
#include "tests/unit/blob-play.h"

static void reads_are_pinned(void **state)
{
	struct slu_op op;
	char buf[4];

	(void)state;
	PLAY({"GET /acct/data/f ", "x-ms-range: bytes=2-5",
	      "HTTP/1.1 206 Partial Content\r\nx-ms-request-id: 1\r\nContent-Range: bytes 2-5/9\r\nContent-Encoding: "
	      "gzip\r\n",
	      "abcd"},
	     {"GET", "if-match: \"0x1\"",
	      NONE("412 The condition specified using HTTP conditional header(s) is not met.",
		   "ConditionNotMet"),
	      NULL},
	     {"GET", NULL, NONE("404 Not Found", "BlobNotFound"), NULL},
	     {"GET", NULL, NONE("409 Conflict", "BlobArchived"), NULL},
	     {"GET", NULL, "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\n", "whole body"});
	slu_op_read(&op, "f", 2, 4, buf, "0x1");
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	assert_memory_equal(buf, "abcd", 4);
	assert_int_equal(slu_store_wait(store, &op, NULL), -ESTALE);
	assert_int_equal(slu_store_wait(store, &op, NULL), -ESTALE);
	assert_int_equal(slu_store_wait(store, &op, NULL), -EBUSY);
	assert_contains(op.err.msg, "archive tier");
	assert_int_equal(slu_store_wait(store, &op, NULL), -EPROTO);
	played();
}

#define STATE(etag)                                                                                \
	"HTTP/1.1 206 Partial Content\r\nx-ms-request-id: 1\r\nETag: " etag                        \
	"\r\nContent-Range: bytes 2-5/9\r\n"

/* A cache on the way that knows no If-Match. */
static void another_state_is_not_what_was_asked_for(void **state)
{
	struct slu_op op;
	char buf[4];

	(void)state;
	PLAY({"GET", "if-match: \"0x1\"", STATE("\"0x2\""), "abcd"},
	     {"GET", "if-match: \"0x1\"", STATE("\"0x2\"") "Content-Length: 4\r\n\r\nab", cut_here},
	     {"GET", "if-match: \"0x1\"", STATE("W/\"0x1\""), "abcd"},
	     {"GET", NULL, STATE("\"0x2\""), "abcd"});
	slu_op_read(&op, "f", 2, 4, buf, "0x1");
	assert_int_equal(slu_store_wait(store, &op, NULL), -EIO);
	assert_contains(op.err.msg, "0x2");
	assert_int_equal(slu_store_wait(store, &op, NULL), -ECONNRESET);
	assert_int_equal(op.kept, 0);
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	slu_op_read(&op, "f", 2, 4, buf, NULL);
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	played();
}

#define CUT(range, more)                                                                           \
	"HTTP/1.1 206 Partial Content\r\nx-ms-request-id: 1\r\nContent-Range: bytes " range        \
	"/9\r\nContent-Length: 4\r\n\r\n" more,                                                    \
		cut_here

/* The retry layer would send it again. */
static void a_body_that_breaks_off_goes_on_where_it_was(void **state)
{
	struct slu_op op;
	char buf[4];

	(void)state;
	PLAY({"GET", "x-ms-range: bytes=2-5", CUT("2-5", "ab")},
	     {"GET", "x-ms-range: bytes=4-5",
	      "HTTP/1.1 206 Partial Content\r\nx-ms-request-id: 1\r\nContent-Range: bytes 4-5/9\r\n",
	      "cd"});
	slu_op_read(&op, "f", 2, 4, buf, "0x1");
	assert_int_equal(slu_store_wait(store, &op, NULL), -ECONNRESET);
	assert_int_equal(op.kept, 2);
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	assert_memory_equal(buf, "abcd", 4);
	played();
}

static void it_goes_on_in_the_same_blob_only(void **state)
{
	struct slu_op op;
	char buf[4];

	(void)state;
	PLAY({"GET", "if-match: \"0x1\"", CUT("2-5", "ab")},
	     {"GET", "if-match: \"0x1\"", NONE("412 No", "ConditionNotMet"), NULL},
	     {"GET", "x-ms-range: bytes=2-5", CUT("2-5", "ab")},
	     {"GET", "x-ms-range: bytes=2-5", CUT("2-5", "abc")});
	slu_op_read(&op, "f", 2, 4, buf, "0x1");
	assert_int_equal(slu_store_wait(store, &op, NULL), -ECONNRESET);
	assert_int_equal(slu_store_wait(store, &op, NULL), -ESTALE);
	slu_op_read(&op, "f", 2, 4, buf, NULL); /* of whatever is there: from the start again */
	assert_int_equal(slu_store_wait(store, &op, NULL), -ECONNRESET);
	assert_int_equal(op.kept, 0);
	assert_int_equal(slu_store_wait(store, &op, NULL), -ECONNRESET);
	played();
}

/* Reads of 4 bytes of "abcd", all at once, of a store with that mode of check_ranges. */
static int read_checked(struct slu_store *s, struct slu_err *e)
{
	struct slu_op op;
	char buf[4];
	int r;

	slu_op_read(&op, "f", 0, 4, buf, "0x1");
	r = slu_store_wait(s, &op, e);
	if (r == 0)
		assert_memory_equal(buf, "abcd", 4);
	return r;
}

#define PART(more)                                                                                 \
	"HTTP/1.1 206 Partial Content\r\nx-ms-request-id: 1\r\nContent-Range: bytes 0-3/9\r\n" more
#define CRC64_ABCD "FlyTWDs+fqE="
#define MD5_ABCD "4vxxTEcn7pOV8yTNLn8zHw=="

static void ranges_are_checked_in_four_modes(void **state)
{
	static const char *const modes[] = {"no-check", "log-only", "fail-if-different",
					    "fail-if-different-or-missing"};
	static const int refused[] = {0, 0, -EIO, -EIO};
	struct slu_err e = {0};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct slu_store *s;
		char more[80];

		snprintf(more, sizeof(more), ", \"check_ranges\": \"%s\"", modes[i]);
		s = open_store(more);
		PLAY({"GET", NULL, PART("x-ms-content-crc64: " CRC64_ABCD "\r\n"), "abcd"},
		     {"GET", NULL, PART("x-ms-content-crc64: AAAAAAAAAAA=\r\n"), "abcd"});
		assert_int_equal(read_checked(s, &e), 0);
		assert_int_equal(read_checked(s, &e), refused[i]);
		if (refused[i])
			assert_contains(e.msg, "arrived damaged: the CRC64 of its bytes 0 to 3");
		played();
		slu_store_free(s);
	}
}

static void a_service_without_crc64_is_asked_for_md5(void **state)
{
	struct slu_err e = {0};
	struct slu_store *s = open_store(", \"check_ranges\": \"fail-if-different-or-missing\"");

	(void)state;
	PLAY({"GET", "x-ms-range-get-content-crc64: true", PART(""), "abcd"},
	     {"GET", "x-ms-range-get-content-md5: true", PART("Content-MD5: " MD5_ABCD "\r\n"),
	      "abcd"},
	     /* it is not asked for CRC64 again */
	     {"GET", "x-ms-range-get-content-md5: true", PART("Content-MD5: " MD5_OF_HELLO "\r\n"),
	      "abcd"},
	     {"GET", "x-ms-range-get-content-md5: true", PART(""), "abcd"});
	assert_int_equal(read_checked(s, &e), 0);
	assert_failed(read_checked(s, &e), e, EIO, "the MD5 of its bytes");
	assert_failed(read_checked(s, &e), e, EBADMSG, "cannot be checked");
	slu_store_free(s);
	played();
}

static void checked_ranges_are_of_4_mib(void **state)
{
	static char buf[(4 << 20) + 1];
	struct slu_op op;
	struct slu_store *s = open_store(", \"check_ranges\": \"fail-if-different\"");

	(void)state;
	PLAY({"GET", "x-ms-range: bytes=10-4194313", NONE("412 No", "ConditionNotMet"), NULL});
	slu_op_read(&op, "f", 10, sizeof(buf), buf, "0x1");
	assert_int_equal(slu_store_wait(s, &op, NULL), -ESTALE);
	slu_store_free(s);
	played();
}

static void versions_and_snapshots_are_asked_for(void **state)
{
	struct slu_op op;
	char buf[4];

	(void)state;
	PLAY({"HEAD /acct/data/f?versionid=2026-11-21T06%3A00%3A00.1Z ", NULL, HEAD("4", ""), NULL},
	     {"GET /acct/data/f?snapshot=2026-11-21T06%3A00%3A00.2Z ", "if-match: \"0x1\"",
	      PART(""), "abcd"},
	     {"HEAD /acct/data/f?versionid=x ", NULL, NONE("404 Not Found", "BlobNotFound"), NULL});
	slu_op_stat(&op, "f");
	op.version = "versionid=2026-11-21T06:00:00.1Z";
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	assert_int_equal(op.attr.size, 4);
	slu_op_read(&op, "f", 0, 4, buf, "0x1");
	op.version = "snapshot=2026-11-21T06:00:00.2Z";
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	slu_op_stat(&op, "f");
	op.version = "versionid=x";
	assert_int_equal(slu_store_wait(store, &op, NULL), -ENOENT);
	assert_contains(op.err.msg, "versionid=x");
	played();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_are_pinned),
		cmocka_unit_test(another_state_is_not_what_was_asked_for),
		cmocka_unit_test(a_body_that_breaks_off_goes_on_where_it_was),
		cmocka_unit_test(it_goes_on_in_the_same_blob_only),
		cmocka_unit_test(ranges_are_checked_in_four_modes),
		cmocka_unit_test(a_service_without_crc64_is_asked_for_md5),
		cmocka_unit_test(checked_ranges_are_of_4_mib),
		cmocka_unit_test(versions_and_snapshots_are_asked_for),
	};
	return cmocka_run_group_tests_name("blob-read", tests, setup, teardown);
}
