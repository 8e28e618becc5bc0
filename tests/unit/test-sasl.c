/* SPDX-License-Identifier: Apache-2.0 */
/* DIGEST-MD5: the example of RFC 2831, messages between two of its ends, and what is spoilt. */
#include "tests/unit/unit.h"

#include "hdfs/digest.h"
#include "hdfs/sasl.h"
#include "io/cipher.h"

#include <errno.h>

static struct slu_digest_md5 *chris(unsigned qops)
{
	struct slu_digest_md5 *d = NULL;

	assert_int_equal(
		slu_digest_md5_new("chris", "secret", "imap/elwood.innosoft.com", qops, &d), 0);
	slu_digest_md5_set_cnonce(d, "OA6MHXh6VqTrRk");
	return d;
}

static int say(struct slu_digest_md5 *d, const char *text, struct slu_buf *out, bool *done,
	       struct slu_err *e)
{
	return slu_digest_md5_step(d, text, strlen(text), out, done, e);
}

#define CHALLENGE(more)                                                                            \
	"realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\"," more                             \
	"algorithm=md5-sess,charset=utf-8"

static void the_example(void **state)
{
	struct slu_digest_md5 *d = chris(SLU_QOP_AUTH);
	struct slu_buf b = SLU_BUF(4096);
	struct slu_err e = {0};
	bool done = true;

	(void)state;
	assert_int_equal(say(d, CHALLENGE("qop=\"auth\","), &b, &done, &e), 0);
	assert_false(done);
	assert_non_null(strstr(b.p, "response=d388dad90d4bbd760a152321f2143af7,"));
	assert_non_null(strstr(b.p, "username=\"chris\""));
	slu_buf_clear(&b);
	assert_int_equal(say(d, "rspauth=ea40f60335c427b5527b84dbabcdfffd", &b, &done, &e), 0);
	assert_true(done);
	assert_int_equal(b.len, 0);
	slu_buf_done(&b);
	slu_digest_md5_free(d);
}

/* A server that does not know the password is told by its last word. */
static void a_server_that_pretends(void **state)
{
	static const char *const last[] = {"rspauth=ea40f60335c427b5527b84dbabcdfffe", "",
					   "rspauth", "x=\"", "a=1,b=2"};

	(void)state;
	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
		struct slu_digest_md5 *d = chris(SLU_QOP_AUTH);
		struct slu_buf b = SLU_BUF(4096);
		struct slu_err e = {0};
		bool done = false;

		assert_int_equal(say(d, CHALLENGE("qop=\"auth\","), &b, &done, &e), 0);
		assert_true(say(d, last[i], &b, &done, &e) < 0);
		assert_false(done);
		slu_buf_done(&b);
		slu_digest_md5_free(d);
	}
}

static void bad_challenges(void **state)
{
	static const char *const bad[] = {
		"",
		"nonce",
		"nonce=\"a",
		"realm=\"x\"",
		"nonce=\"a\",algorithm=md5",
		"=\"a\"",
		"a_name_that_is_far_too_long_for_one=1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct slu_digest_md5 *d = chris(SLU_QOP_AUTH);
		struct slu_buf b = SLU_BUF(4096);
		struct slu_err e = {0};
		bool done;

		assert_failed(say(d, bad[i], &b, &done, &e), e, EPROTO, "malformed");
		slu_buf_done(&b);
		slu_digest_md5_free(d);
	}
}

static void a_weaker_server_is_refused(void **state)
{
	struct slu_digest_md5 *d = chris(SLU_QOP_PRIVACY);
	struct slu_buf b = SLU_BUF(4096);
	struct slu_err e = {0};
	bool done;

	(void)state;
	assert_failed(say(d, CHALLENGE("qop=\"auth,auth-int\","), &b, &done, &e), e, ENOTSUP,
		      "protection");
	slu_buf_done(&b);
	slu_digest_md5_free(d);
}

/* What is sealed differs from what was said, is longer by the stated bytes, and each message by its number. */
static void messages_are_sealed(void **state)
{
	static const unsigned qops[] = {SLU_QOP_INTEGRITY, SLU_QOP_PRIVACY};
	static const char text[] = "the same text twice";

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct slu_digest_md5 *d = chris(qops[i]);
		struct slu_buf b = SLU_BUF(4096), one = SLU_BUF(4096), two = SLU_BUF(4096);
		struct slu_err e = {0};
		bool done;

		assert_int_equal(say(d,
				     CHALLENGE("qop=\"auth-conf,auth-int\",cipher=\"rc4,3des\","),
				     &b, &done, &e),
				 0);
		assert_int_equal(slu_digest_md5_qop(d), qops[i]);
		assert_int_equal(slu_digest_md5_wrap(d, text, sizeof(text), &one, &e), 0);
		assert_int_equal(slu_digest_md5_wrap(d, text, sizeof(text), &two, &e), 0);
		assert_int_equal(one.len, i ? 38 : 36);
		assert_true(memcmp(one.p, two.p, one.len) != 0);
		assert_int_equal(memcmp(one.p, text, sizeof(text)) == 0, i == 0);
		/* our own messages are not the server's */
		assert_failed(slu_digest_md5_unwrap(d, one.p, one.len, &b, &e), e, EBADMSG,
			      "not as the server sent");
		for (size_t n = 0; n < one.len; n++)
			assert_true(slu_digest_md5_unwrap(d, one.p, n, &b, &e) < 0);
		slu_buf_done(&one);
		slu_buf_done(&two);
		slu_buf_done(&b);
		slu_digest_md5_free(d);
	}
}

/* NIST SP 800-38A, F.5.1, in pieces. */
static void aes_in_counter_mode(void **state)
{
	static const uint8_t key[16] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
					0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
	static const uint8_t iv[16] = {0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,
				       0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff};
	static const uint8_t plain[16] = {0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96,
					  0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a};
	static const uint8_t sealed[16] = {0x87, 0x4d, 0x61, 0x91, 0xb6, 0x20, 0xe3, 0x26,
					   0x1b, 0xef, 0x68, 0x64, 0x99, 0x0d, 0xb6, 0xce};
	struct slu_cipher *c = NULL;
	uint8_t out[16];

	(void)state;
	assert_int_equal(slu_cipher_new(SLU_AES_CTR, true, key, sizeof(key), iv, &c), 0);
	assert_int_equal(slu_cipher_run(c, plain, out, 5), 0);
	assert_int_equal(slu_cipher_run(c, plain + 5, out + 5, 11), 0);
	assert_memory_equal(out, sealed, sizeof(sealed));
	slu_cipher_free(c);
	assert_int_equal(slu_cipher_new(SLU_AES_CTR, true, key, 5, iv, &c), -EINVAL);
}

/* RFC 6229, with 128 bits of key, in pieces. */
static void rc4(void **state)
{
	static const uint8_t sealed[32] = {0x9a, 0xc7, 0xcc, 0x9a, 0x60, 0x9d, 0x1e, 0xf7,
					   0xb2, 0x93, 0x28, 0x99, 0xcd, 0xe4, 0x1b, 0x97,
					   0x52, 0x48, 0xc4, 0x95, 0x90, 0x14, 0x12, 0x6a,
					   0x6e, 0x8a, 0x84, 0xf1, 0x1d, 0x1a, 0x9e, 0x1c};
	struct slu_cipher *c = NULL;
	uint8_t key[16], out[32] = {0};

	(void)state;
	for (uint8_t i = 0; i < 16; i++)
		key[i] = i + 1;
	assert_int_equal(slu_cipher_new(SLU_RC4, true, key, sizeof(key), NULL, &c), 0);
	assert_int_equal(slu_cipher_run(c, out, out, 5), 0);
	assert_int_equal(slu_cipher_run(c, out + 5, out + 5, 27), 0);
	assert_memory_equal(out, sealed, sizeof(sealed));
	slu_cipher_free(c);
	assert_int_equal(slu_cipher_new(SLU_RC4, true, key, 5, NULL, &c), -EINVAL);
}

/* The only cipher of a server that is set to it. */
static void messages_are_sealed_by_rc4(void **state)
{
	struct slu_digest_md5 *d = chris(SLU_QOP_PRIVACY);
	struct slu_buf b = SLU_BUF(4096), one = SLU_BUF(4096);
	struct slu_err e = {0};
	bool done;

	(void)state;
	assert_int_equal(
		say(d, CHALLENGE("qop=\"auth-conf\",cipher=\"rc4-56,rc4\","), &b, &done, &e), 0);
	assert_non_null(strstr(b.p, "cipher=\"rc4\""));
	assert_int_equal(slu_digest_md5_wrap(d, "text", 4, &one, &e), 0);
	assert_int_equal(one.len, 4 + 16); /* no padding */
	for (size_t n = 0; n <= one.len; n++)
		assert_true(slu_digest_md5_unwrap(d, one.p, n, &b, &e) < 0);
	slu_buf_done(&one);
	slu_buf_done(&b);
	slu_digest_md5_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example),
		cmocka_unit_test(a_server_that_pretends),
		cmocka_unit_test(bad_challenges),
		cmocka_unit_test(a_weaker_server_is_refused),
		cmocka_unit_test(messages_are_sealed),
		cmocka_unit_test(aes_in_counter_mode),
		cmocka_unit_test(rc4),
		cmocka_unit_test(messages_are_sealed_by_rc4),
	};

	return cmocka_run_group_tests_name("sasl", tests, NULL, NULL);
}
