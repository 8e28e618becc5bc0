/* SPDX-License-Identifier: Apache-2.0 */
/* Ciphers (cipher.h).  Only what Hadoop's protection of data transfer and RPC needs.  RC4 is ours: OpenSSL 3 has it in a provider
 * that may be missing, and a cluster that is set to it takes nothing else. */
#include "io/cipher.h"

#include "common/mem.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

struct slu_cipher {
	EVP_CIPHER_CTX *ctx; /* NULL: RC4 */
	uint8_t state[256], i, j;
};

/* --- RC4 --- */

static void rc4_begin(struct slu_cipher *c, const uint8_t *key, size_t n)
{
	uint8_t *s = c->state, j = 0;

	for (unsigned i = 0; i < 256; i++)
		s[i] = (uint8_t)i;
	for (unsigned i = 0; i < 256; i++) {
		uint8_t v = s[i];

		j = (uint8_t)(j + v + key[i % n]);
		s[i] = s[j];
		s[j] = v;
	}
}

static void rc4_run(struct slu_cipher *c, const uint8_t *in, uint8_t *out, size_t n)
{
	uint8_t *s = c->state;

	for (size_t k = 0; k < n; k++) {
		uint8_t v = s[++c->i];

		c->j = (uint8_t)(c->j + v);
		s[c->i] = s[c->j];
		s[c->j] = v;
		out[k] = in[k] ^ s[(uint8_t)(v + s[c->i])];
	}
}

/* --- OpenSSL's --- */

static const EVP_CIPHER *algorithm(enum slu_cipher_kind kind, size_t key_len)
{
	if (kind == SLU_3DES_CBC)
		return key_len == 16 ? EVP_des_ede_cbc() : NULL;
	switch (key_len) {
	case 16:
		return EVP_aes_128_ctr();
	case 24:
		return EVP_aes_192_ctr();
	case 32:
		return EVP_aes_256_ctr();
	default:
		return NULL;
	}
}

int slu_cipher_new(enum slu_cipher_kind kind, bool encrypt, const uint8_t *key, size_t key_len,
		   const uint8_t *iv, struct slu_cipher **ret)
{
	bool rc4 = kind == SLU_RC4;
	const EVP_CIPHER *a = rc4 ? NULL : algorithm(kind, key_len);
	struct slu_cipher *c;

	if (rc4 ? key_len != 16 : !a)
		return -EINVAL;
	c = slu_new0(struct slu_cipher);
	if (!c)
		return -ENOMEM;
	if (rc4) {
		rc4_begin(c, key, key_len);
		*ret = c;
		return 0;
	}
	c->ctx = EVP_CIPHER_CTX_new();
	if (!c->ctx || EVP_CipherInit_ex(c->ctx, a, NULL, key, iv, encrypt) != 1) {
		int r = c->ctx ? -EIO : -ENOMEM;

		slu_cipher_free(c);
		return r;
	}
	EVP_CIPHER_CTX_set_padding(c->ctx, 0);
	*ret = c;
	return 0;
}

int slu_cipher_run(struct slu_cipher *c, const void *in, void *out, size_t n)
{
	const uint8_t *from = in;
	uint8_t *to = out;

	if (!c->ctx) {
		rc4_run(c, from, to, n);
		return 0;
	}
	while (n) {
		int part = n > INT_MAX / 2 ? INT_MAX / 2 & ~7 : (int)n, got = 0;

		if (EVP_CipherUpdate(c->ctx, to, &got, from, part) != 1 || got != part)
			return -EIO;
		from += part;
		to += part;
		n -= (size_t)part;
	}
	return 0;
}

void slu_cipher_free(struct slu_cipher *c)
{
	if (!c)
		return;
	EVP_CIPHER_CTX_free(c->ctx);
	OPENSSL_cleanse(c, sizeof(*c));
	free(c);
}

int slu_hmac_md5(const void *key, size_t key_len, const void *p, size_t n, uint8_t out[16])
{
	unsigned got = 16;

	if (key_len > INT_MAX || !HMAC(EVP_md5(), key, (int)key_len, p, n, out, &got) || got != 16)
		return -EIO;
	return 0;
}
