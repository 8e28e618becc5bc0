/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates over OpenSSL.  Its error queue is emptied: nothing of it reaches a message. */
#include "io/cert.h"

#include "common/mem.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

struct slu_cert {
	X509 *x509;
	EVP_PKEY *key;
};

static int give_password(char *buf, int size, int rwflag, void *password)
{
	int n = password ? (int)strlen(password) : 0;

	(void)rwflag;
	if (n > size)
		return -1;
	if (n)
		memcpy(buf, password, (size_t)n);
	return n;
}

static void read_pem(struct slu_cert *c, const void *data, size_t n, const char *password)
{
	BIO *b = BIO_new_mem_buf(data, (int)n);

	if (!b)
		return;
	c->key = PEM_read_bio_PrivateKey(b, NULL, give_password, (void *)password);
	BIO_free(b);
	b = BIO_new_mem_buf(data, (int)n);
	if (b)
		c->x509 = PEM_read_bio_X509(b, NULL, give_password, (void *)password);
	BIO_free(b);
}

static void read_pkcs12(struct slu_cert *c, const void *data, size_t n, const char *password)
{
	const unsigned char *at = data;
	PKCS12 *p = d2i_PKCS12(NULL, &at, (long)n);

	if (p && PKCS12_parse(p, password ? password : "", &c->key, &c->x509, NULL) != 1)
		c->key = NULL;
	PKCS12_free(p);
}

int slu_cert_read(const void *data, size_t n, const char *password, const char *what,
		  struct slu_cert **ret, struct slu_err *e)
{
	SLU_AUTO(slu_cert_freep) struct slu_cert *c = slu_new0(struct slu_cert);

	if (!c)
		return slu_fail_oom(e);
	if (n > INT32_MAX)
		return slu_fail(e, EINVAL, "%s: the file is too long for a certificate", what);
	if (memmem(data, n, "-----BEGIN ", 11))
		read_pem(c, data, n, password);
	else
		read_pkcs12(c, data, n, password);
	ERR_clear_error();
	if (!c->key || EVP_PKEY_get_base_id(c->key) != EVP_PKEY_RSA)
		return slu_fail(
			e, EINVAL,
			"%s: no RSA private key can be read there: the file has to hold the "
			"certificate and its key (PEM or PKCS#12), and the password has to be "
			"right",
			what);
	if (!c->x509 || X509_check_private_key(c->x509, c->key) != 1) {
		ERR_clear_error();
		return slu_fail(e, EINVAL, "%s: no certificate of this key is there", what);
	}
	*ret = slu_take(c);
	return 0;
}

void slu_cert_free(struct slu_cert *c)
{
	if (!c)
		return;
	X509_free(c->x509);
	EVP_PKEY_free(c->key);
	free(c);
}

void slu_cert_sha256(const struct slu_cert *c, uint8_t out[32])
{
	unsigned n = 32;

	if (X509_digest(c->x509, EVP_sha256(), out, &n) != 1)
		memset(out, 0, 32);
}

int slu_cert_sign(const struct slu_cert *c, const void *p, size_t n, uint8_t **ret, size_t *ret_len)
{
	EVP_MD_CTX *x = EVP_MD_CTX_new();
	EVP_PKEY_CTX *k = NULL;
	uint8_t *out = NULL;
	size_t len = 0;
	bool ok = x && EVP_DigestSignInit(x, &k, EVP_sha256(), NULL, c->key) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(k, RSA_PKCS1_PSS_PADDING) == 1 &&
		  EVP_PKEY_CTX_set_rsa_pss_saltlen(k, RSA_PSS_SALTLEN_DIGEST) == 1 &&
		  EVP_DigestSign(x, NULL, &len, p, n) == 1 && (out = slu_malloc(len)) &&
		  EVP_DigestSign(x, out, &len, p, n) == 1;

	EVP_MD_CTX_free(x);
	ERR_clear_error();
	if (!ok) {
		free(out);
		return -EIO;
	}
	*ret = out;
	*ret_len = len;
	return 0;
}
