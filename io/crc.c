/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC32, CRC32C and CRC-64/NVME, all bit-reflected with all-ones start and end.
 *
 * By tables: eight bytes a step ("slicing-by-8"); CRC32, which only old files of HDFS have, in no other
 * way.  By instructions (x86-64 with SSE4.2 and PCLMUL):
 * CRC32C as three independent chains of crc32 that are joined by carry-less products, CRC-64 by
 * folding eight 128-bit lanes.  The constants of both are powers of x modulo the polynomial and are
 * computed at first use.  A product of two reflected values comes out one bit low, which is why the
 * powers are one less than the distance they stand for.
 */
#include "io/crc.h"

#include "io/crypt.h"

#include <pthread.h>
#include <string.h>

#define POLY32 0x82f63b78u
#define POLY_IEEE 0xedb88320u
#define POLY64 0x9a6c9329ac4bc9b5u
#define CHAIN 1024 /* bytes of one of the three CRC32C chains; a multiple of 8 */

static uint32_t tab32[8][256], tab_ieee[8][256];
static uint64_t tab64[8][256];
static uint32_t join1, join2;       /* x^(8 CHAIN - 33), x^(16 CHAIN - 33) */
static uint64_t fold8[2], fold1[2]; /* over 8 lanes and over one: low half, high half */
static bool hard;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill32(uint32_t tab[8][256], uint32_t poly)
{
	for (unsigned i = 0; i < 256; i++) {
		uint32_t a = i;
		for (int k = 0; k < 8; k++)
			a = a >> 1 ^ (a & 1 ? poly : 0);
		tab[0][i] = a;
	}
	for (int t = 1; t < 8; t++)
		for (unsigned i = 0; i < 256; i++)
			tab[t][i] = tab[t - 1][i] >> 8 ^ tab[0][tab[t - 1][i] & 255];
}

static uint32_t power32(unsigned n)
{
	uint32_t v = 1u << 31;
	while (n--)
		v = v >> 1 ^ (v & 1 ? POLY32 : 0);
	return v;
}

static uint64_t power64(unsigned n)
{
	uint64_t v = 1ull << 63;
	while (n--)
		v = v >> 1 ^ (v & 1 ? POLY64 : 0);
	return v;
}

static void setup(void)
{
	fill32(tab32, POLY32);
	fill32(tab_ieee, POLY_IEEE);
	for (unsigned i = 0; i < 256; i++) {
		uint64_t b = i;
		for (int k = 0; k < 8; k++)
			b = b >> 1 ^ (b & 1 ? POLY64 : 0);
		tab64[0][i] = b;
	}
	for (int t = 1; t < 8; t++)
		for (unsigned i = 0; i < 256; i++)
			tab64[t][i] = tab64[t - 1][i] >> 8 ^ tab64[0][tab64[t - 1][i] & 255];
	join1 = power32(8 * CHAIN - 33);
	join2 = power32(16 * CHAIN - 33);
	fold8[0] = power64(1024 + 64 - 1);
	fold8[1] = power64(1024 - 1);
	fold1[0] = power64(128 + 64 - 1);
	fold1[1] = power64(128 - 1);
#ifdef __x86_64__
	__builtin_cpu_init();
	hard = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
#endif
}

static inline uint64_t load_le(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

/* The eight table steps for one word. */
#define SLICE(tab, v)                                                                              \
	((tab)[7][(v)&255] ^ (tab)[6][(v) >> 8 & 255] ^ (tab)[5][(v) >> 16 & 255] ^                \
	 (tab)[4][(v) >> 24 & 255] ^ (tab)[3][(v) >> 32 & 255] ^ (tab)[2][(v) >> 40 & 255] ^       \
	 (tab)[1][(v) >> 48 & 255] ^ (tab)[0][(v) >> 56])

/* Without the inversions at start and end. */
static uint32_t raw32(uint32_t tab[8][256], uint32_t c, const uint8_t *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v = load_le(p) ^ c;
		c = SLICE(tab, v);
	}
	for (; n > 0; n--, p++)
		c = c >> 8 ^ tab[0][(c ^ *p) & 255];
	return c;
}

static uint64_t raw64(uint64_t c, const uint8_t *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v = load_le(p) ^ c;
		c = SLICE(tab64, v);
	}
	for (; n > 0; n--, p++)
		c = c >> 8 ^ tab64[0][(c ^ *p) & 255];
	return c;
}

uint32_t slu_crc32c_soft(uint32_t crc, const void *p, size_t n)
{
	pthread_once(&once, setup);
	return ~raw32(tab32, ~crc, p, n);
}

uint32_t slu_crc32(uint32_t crc, const void *p, size_t n)
{
	pthread_once(&once, setup);
	return ~raw32(tab_ieee, ~crc, p, n);
}

uint64_t slu_crc64_soft(uint64_t crc, const void *p, size_t n)
{
	pthread_once(&once, setup);
	return ~raw64(~crc, p, n);
}

bool slu_crc_hard(void)
{
	pthread_once(&once, setup);
	return hard;
}

#ifdef __x86_64__
#include <immintrin.h>

#define HARD __attribute__((target("sse4.2,pclmul")))

/* crc32 over the 64-bit carry-less product of a chain's value and its power of x. */
HARD static uint64_t joined(uint64_t c, uint32_t power)
{
	__m128i a = _mm_cvtsi64_si128((long long)c), b = _mm_cvtsi64_si128((long long)power);
	__m128i prod = _mm_clmulepi64_si128(a, b, 0x00);
	return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(prod));
}

HARD uint32_t slu_crc32c_hard(uint32_t crc, const void *buf, size_t n)
{
	const uint8_t *p = buf;
	uint64_t c = ~crc;
	for (; n >= 3 * CHAIN; n -= 3 * CHAIN, p += 3 * CHAIN) {
		uint64_t c1 = 0, c2 = 0;
		for (size_t i = 0; i < CHAIN; i += 8) {
			c = _mm_crc32_u64(c, load_le(p + i));
			c1 = _mm_crc32_u64(c1, load_le(p + i + CHAIN));
			c2 = _mm_crc32_u64(c2, load_le(p + i + 2 * CHAIN));
		}
		c = joined(c, join2) ^ joined(c1, join1) ^ c2;
	}
	for (; n >= 8; n -= 8, p += 8)
		c = _mm_crc32_u64(c, load_le(p));
	for (; n > 0; n--, p++)
		c = _mm_crc32_u8((uint32_t)c, *p);
	return ~(uint32_t)c;
}

HARD static inline __m128i folded(__m128i a, __m128i k, __m128i next)
{
	__m128i lo = _mm_clmulepi64_si128(a, k, 0x00), hi = _mm_clmulepi64_si128(a, k, 0x11);
	return _mm_xor_si128(_mm_xor_si128(lo, hi), next);
}

HARD uint64_t slu_crc64_hard(uint64_t crc, const void *buf, size_t n)
{
	const uint8_t *p = buf;
	if (n < 256)
		return ~raw64(~crc, p, n);

	const __m128i k8 = _mm_set_epi64x((long long)fold8[1], (long long)fold8[0]);
	const __m128i k1 = _mm_set_epi64x((long long)fold1[1], (long long)fold1[0]);
	__m128i a[8];
	for (int i = 0; i < 8; i++)
		a[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
	a[0] = _mm_xor_si128(a[0], _mm_cvtsi64_si128((long long)~crc));
	for (p += 128, n -= 128; n >= 128; n -= 128, p += 128)
		for (int i = 0; i < 8; i++)
			a[i] = folded(a[i], k8,
				      _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)));
	for (int i = 1; i < 8; i++)
		a[i] = folded(a[i - 1], k1, a[i]);

	uint8_t rest[16];
	_mm_storeu_si128((__m128i *)(void *)rest, a[7]);
	return ~raw64(raw64(0, rest, sizeof(rest)), p, n);
}
#else
uint32_t slu_crc32c_hard(uint32_t crc, const void *p, size_t n)
{
	return slu_crc32c_soft(crc, p, n);
}

uint64_t slu_crc64_hard(uint64_t crc, const void *p, size_t n)
{
	return slu_crc64_soft(crc, p, n);
}
#endif

uint32_t slu_crc32c(uint32_t crc, const void *p, size_t n)
{
	return slu_crc_hard() ? slu_crc32c_hard(crc, p, n) : slu_crc32c_soft(crc, p, n);
}

uint64_t slu_crc64(uint64_t crc, const void *p, size_t n)
{
	return slu_crc_hard() ? slu_crc64_hard(crc, p, n) : slu_crc64_soft(crc, p, n);
}

/* The product modulo the polynomial.  one: the bit that stands for 1, the highest of the width. */
static uint64_t times(uint64_t a, uint64_t b, uint64_t poly, uint64_t one)
{
	uint64_t v = 0;

	for (uint64_t bit = one; a; bit >>= 1) {
		if (a & bit)
			v ^= b;
		a &= ~bit;
		b = b >> 1 ^ (b & 1 ? poly : 0);
	}
	return v;
}

static uint64_t join(uint64_t a, uint64_t b, uint64_t b_len, uint64_t poly, uint64_t one)
{
	uint64_t shift = one, square = one >> 8; /* 1 and x^8 */

	for (; b_len; b_len >>= 1) {
		if (b_len & 1)
			shift = times(shift, square, poly, one);
		square = times(square, square, poly, one);
	}
	return times(shift, a, poly, one) ^ b;
}

uint32_t slu_crc32c_join(uint32_t a, uint32_t b, uint64_t b_len)
{
	return (uint32_t)join(a, b, b_len, POLY32, 1u << 31);
}

uint64_t slu_crc64_join(uint64_t a, uint64_t b, uint64_t b_len)
{
	return join(a, b, b_len, POLY64, 1ull << 63);
}
