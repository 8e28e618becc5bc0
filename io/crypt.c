/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests over OpenSSL's EVP, base64, random ids.  The algorithms are fetched once: an implicit
 * fetch at each use takes a lock and costs more than hashing a small block.  The CRCs are in crc.c.
 */
#include "io/crypt.h"

#include "common/fault.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

struct slu_hasher {
	EVP_MD_CTX *ctx;
	const EVP_MD *md;
};

static EVP_MD *fetched[2]; /* for the life of the process */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
	fetched[SLU_MD5] = EVP_MD_fetch(NULL, "MD5", NULL);
	fetched[SLU_SHA256] = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* NULL when this OpenSSL does not offer it (MD5 in FIPS mode). */
static const EVP_MD *algorithm(enum slu_digest_kind kind)
{
	pthread_once(&once, fetch);
	return fetched[kind];
}

size_t slu_digest_len(enum slu_digest_kind kind)
{
	return kind == SLU_MD5 ? 16 : 32;
}

int slu_digest(enum slu_digest_kind kind, const void *p, size_t n, uint8_t *out)
{
	const EVP_MD *md = algorithm(kind);
	return md && EVP_Digest(p, n, out, NULL, md, NULL) == 1 ? 0 : -EIO;
}

int slu_hasher_new(enum slu_digest_kind kind, struct slu_hasher **ret)
{
	struct slu_hasher *h = slu_new0(struct slu_hasher);
	if (!h)
		return -ENOMEM;
	h->md = algorithm(kind);
	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx || !h->md || EVP_DigestInit_ex2(h->ctx, h->md, NULL) != 1) {
		int r = h->ctx ? -EIO : -ENOMEM;
		slu_hasher_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

int slu_hasher_add(struct slu_hasher *h, const void *p, size_t n)
{
	return EVP_DigestUpdate(h->ctx, p, n) == 1 ? 0 : -EIO;
}

int slu_hasher_end(struct slu_hasher *h, uint8_t *out)
{
	bool ok = EVP_DigestFinal_ex(h->ctx, out, NULL) == 1;
	ok = EVP_DigestInit_ex2(h->ctx, h->md, NULL) == 1 && ok;
	return ok ? 0 : -EIO;
}

void slu_hasher_free(struct slu_hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

int slu_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n, uint8_t out[32])
{
	const EVP_MD *md = algorithm(SLU_SHA256);
	unsigned len = 0;
	if (!md || key_len > INT_MAX)
		return -EIO;
	/* A NULL key would mean "the one of last time". */
	return HMAC(md, key ? key : "", (int)key_len, p, n, out, &len) && len == 32 ? 0 : -EIO;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *slu_base64(const void *p, size_t n)
{
	const uint8_t *in = p;
	if (n > SIZE_MAX / 2)
		return NULL;
	char *s = slu_malloc((n + 2) / 3 * 4 + 1), *o = s;
	if (!s)
		return NULL;
	for (; n >= 3; n -= 3, in += 3, o += 4) {
		uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
		for (int i = 0; i < 4; i++)
			o[i] = alphabet[v >> (18 - 6 * i) & 63];
	}
	if (n) {
		uint32_t v = (uint32_t)in[0] << 16 | (n == 2 ? (uint32_t)in[1] << 8 : 0);
		o[0] = alphabet[v >> 18];
		o[1] = alphabet[v >> 12 & 63];
		o[2] = '=';
		if (n == 2)
			o[2] = alphabet[v >> 6 & 63];
		o[3] = '=';
		o += 4;
	}
	*o = '\0';
	return s;
}

static int sextet(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

/* Four characters to 3, 2 or 1 bytes; 0: malformed. */
static size_t quad(const char *s, uint8_t out[3])
{
	int v[4];
	size_t n = s[3] != '=' ? 3 : s[2] != '=' ? 2 : 1;
	for (size_t i = 0; i < 4; i++) {
		v[i] = i <= n ? sextet(s[i]) : 0;
		if (v[i] < 0)
			return 0;
	}
	uint32_t w =
		(uint32_t)v[0] << 18 | (uint32_t)v[1] << 12 | (uint32_t)v[2] << 6 | (uint32_t)v[3];
	/* Bits that no byte takes must be zero: one text for one value. */
	if ((n == 1 && (w & 0xffff)) || (n == 2 && (w & 0xff)))
		return 0;
	out[0] = (uint8_t)(w >> 16);
	out[1] = (uint8_t)(w >> 8);
	out[2] = (uint8_t)w;
	return n;
}

bool slu_base64_decode(const char *s, void *out, size_t max, size_t *ret_len)
{
	uint8_t *o = out, b[3];
	size_t n = strlen(s), got = 0;
	if (n % 4)
		return false;
	for (size_t i = 0; i < n; i += 4) {
		size_t k = quad(s + i, b);
		if (!k || (k < 3 && i + 4 < n) || k > max - got)
			return false;
		memcpy(o + got, b, k);
		got += k;
	}
	*ret_len = got;
	return true;
}

int slu_random_bytes(void *p, size_t n)
{
	char *at = p;
	while (n > 0) {
		if (slu_fault(SLU_FAULT_IO))
			return -EIO;
		ssize_t r = getrandom(at, n, 0);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		at += r;
		n -= (size_t)r;
	}
	return 0;
}

int slu_random_id(char *out, size_t n)
{
	uint8_t b[64];
	if (n > sizeof(b))
		return -EINVAL;
	int r = slu_random_bytes(b, n);
	if (r < 0)
		return r;
	slu_hex(out, b, n);
	return 0;
}
