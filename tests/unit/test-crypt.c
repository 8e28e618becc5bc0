/* SPDX-License-Identifier: Apache-2.0 */
/* Digests against published vectors, both ways to each CRC against each other, base64, ids. */
#include "common/str.h"
#include "io/backoff.h"
#include "io/crc.h"
#include "io/crypt.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void check_hex(const uint8_t *p, size_t n, const char *want)
{
	char hex[2 * SLU_DIGEST_MAX + 1];
	slu_hex(hex, p, n);
	assert_string_equal(hex, want);
}

static void digests(void **state)
{
	(void)state;
	uint8_t d[SLU_DIGEST_MAX];
	assert_int_equal(slu_digest_len(SLU_MD5), 16);
	assert_int_equal(slu_digest_len(SLU_SHA256), 32);
	/* RFC 1321 A.5, FIPS 180-4 examples */
	assert_int_equal(slu_digest(SLU_MD5, "", 0, d), 0);
	check_hex(d, 16, "d41d8cd98f00b204e9800998ecf8427e");
	assert_int_equal(slu_digest(SLU_MD5, "message digest", 14, d), 0);
	check_hex(d, 16, "f96b697d7cb7938d525a2f31aaf161d0");
	assert_int_equal(slu_digest(SLU_SHA256, "abc", 3, d), 0);
	check_hex(d, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

	struct slu_hasher *h;
	assert_int_equal(slu_hasher_new(SLU_SHA256, &h), 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(slu_hasher_add(h, "a", 1), 0);
		assert_int_equal(slu_hasher_add(h, "", 0), 0);
		assert_int_equal(slu_hasher_add(h, "bc", 2), 0);
		assert_int_equal(slu_hasher_end(h, d), 0);
		check_hex(d, 32,
			  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	}
	slu_hasher_free(h);
	slu_hasher_free(NULL);
}

static void hmac(void **state)
{
	(void)state;
	uint8_t d[32], key[20], data[50];
	/* RFC 4231 cases 1, 2, 3; then an empty key and text */
	memset(key, 0x0b, sizeof(key));
	assert_int_equal(slu_hmac_sha256(key, 20, "Hi There", 8, d), 0);
	check_hex(d, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_int_equal(slu_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, d), 0);
	check_hex(d, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	memset(data, 0xdd, sizeof(data));
	assert_int_equal(slu_hmac_sha256(key, 20, data, 50, d), 0);
	check_hex(d, 32, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
	assert_int_equal(slu_hmac_sha256(NULL, 0, "", 0, d), 0);
	check_hex(d, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void crc_vectors(void **state)
{
	(void)state;
	uint8_t b[32];
	assert_true(slu_crc32c(0, "123456789", 9) == 0xe3069283);
	assert_true(slu_crc64(0, "123456789", 9) == 0xae8b14860a799888);
	assert_true(slu_crc32c(0, "", 0) == 0);
	assert_true(slu_crc64(0, "", 0) == 0);
	/* RFC 3720 B.4 */
	memset(b, 0, sizeof(b));
	assert_true(slu_crc32c(0, b, 32) == 0x8a9136aa);
	memset(b, 0xff, sizeof(b));
	assert_true(slu_crc32c(0, b, 32) == 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)i;
	assert_true(slu_crc32c(0, b, 32) == 0x46dd794e);
}

#define MAX 20000

static void crc_ways_agree(void **state)
{
	(void)state;
	static uint8_t b[MAX + 64];
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)slu_random();
	if (!slu_crc_hard()) {
		print_message("this CPU has no CRC instructions: only the tables are tested\n");
		return;
	}
	for (int i = 0; i < 6000; i++) {
		size_t at = slu_random() % 64;
		size_t n = i < 600 ? (size_t)i : (size_t)(slu_random() % MAX);
		uint64_t start = slu_random();
		uint32_t start32 = (uint32_t)start;
		assert_true(slu_crc32c_soft(start32, b + at, n) ==
			    slu_crc32c_hard(start32, b + at, n));
		assert_true(slu_crc64_soft(start, b + at, n) == slu_crc64_hard(start, b + at, n));
	}
}

static void crc_in_pieces(void **state)
{
	(void)state;
	static uint8_t b[MAX];
	for (size_t i = 0; i < MAX; i++)
		b[i] = (uint8_t)slu_random();
	uint32_t whole32 = slu_crc32c(0, b, MAX), c32 = 0, s32 = 0, j32 = 0;
	uint64_t whole64 = slu_crc64(0, b, MAX), c64 = 0, s64 = 0, j64 = 0, shares = 0;
	for (size_t at = 0, n; at < MAX; at += n) {
		n = slu_random() % 5000;
		n = n < MAX - at ? n : MAX - at;
		c32 = slu_crc32c(c32, b + at, n);
		c64 = slu_crc64(c64, b + at, n);
		s32 = slu_crc32c_soft(s32, b + at, n);
		j32 = slu_crc32c_join(j32, slu_crc32c(0, b + at, n), n);
		s64 = slu_crc64_soft(s64, b + at, n);
		j64 = slu_crc64_join(j64, slu_crc64(0, b + at, n), n);
		shares ^=
			slu_crc64_join(slu_crc64(0, b + at, n), 0, MAX - at - n); /* in any order */
	}
	assert_true(c32 == whole32 && s32 == whole32 && j32 == whole32);
	assert_true(c64 == whole64 && s64 == whole64 && j64 == whole64 && shares == whole64);
	b[MAX / 2] ^= 1;
	assert_true(slu_crc32c(0, b, MAX) != whole32 && slu_crc64(0, b, MAX) != whole64);
}

static void base64(void **state)
{
	(void)state;
	/* RFC 4648 section 10 */
	static const char *const s[][2] = {{"", ""},
					   {"f", "Zg=="},
					   {"fo", "Zm8="},
					   {"foo", "Zm9v"},
					   {"foob", "Zm9vYg=="},
					   {"fooba", "Zm9vYmE="},
					   {"foobar", "Zm9vYmFy"},
					   {"\xff\xfe\xfd", "//79"}};
	char out[64];
	size_t n;
	for (size_t i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		char *t = slu_base64(s[i][0], strlen(s[i][0]));
		assert_string_equal(t, s[i][1]);
		assert_true(slu_base64_decode(t, out, sizeof(out), &n));
		assert_int_equal(n, strlen(s[i][0]));
		assert_memory_equal(out, s[i][0], n);
		free(t);
	}
	static const char *const bad[] = {"Z",
					  "Zg",
					  "Zg=",
					  "Zg===",
					  "=Zg=",
					  "Zg==Zg==",
					  "Zh==",
					  "Zm9=",
					  "Zm9v\n",
					  " Zm9v",
					  "Zm-v",
					  "Zm_v",
					  "====",
					  "Z===",
					  "Zm9vZ",
					  "Zm9\x80",
					  "Zg=A",
					  "AA=="
					  "AAAA"};
	n = 99;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (slu_base64_decode(bad[i], out, sizeof(out), &n))
			fail_msg("'%s' was accepted", bad[i]);
	assert_int_equal(n, 99);
	assert_false(slu_base64_decode("Zm9vYmFy", out, 5, &n));
	assert_true(slu_base64_decode("Zm9vYmFy", out, 6, &n));
	for (size_t len = 0; len < 48; len++) {
		uint8_t b[48], c[48];
		assert_int_equal(slu_random_bytes(b, len), 0);
		char *t = slu_base64(b, len);
		assert_true(slu_base64_decode(t, c, sizeof(c), &n));
		assert_int_equal(n, len);
		assert_memory_equal(b, c, len);
		free(t);
	}
}

static void ids(void **state)
{
	(void)state;
	char a[33], b[33];
	assert_int_equal(slu_random_id(a, 16), 0);
	assert_int_equal(slu_random_id(b, 16), 0);
	assert_int_equal(strlen(a), 32);
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	assert_string_not_equal(a, b);
	assert_int_equal(slu_random_id(a, 1000), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests),       cmocka_unit_test(hmac),
		cmocka_unit_test(crc_vectors),   cmocka_unit_test(crc_ways_agree),
		cmocka_unit_test(crc_in_pieces), cmocka_unit_test(base64),
		cmocka_unit_test(ids),
	};
	return cmocka_run_group_tests_name("crypt", tests, NULL, NULL);
}
