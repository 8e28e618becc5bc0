/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate with its private key, for signing (PEM or PKCS#12).  Any thread; a cert is one thread's. */
#ifndef SLU_IO_CERT_H
#define SLU_IO_CERT_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

struct slu_cert;

/* data: the whole file.  password may be NULL.  -EINVAL: no certificate, no RSA key, one that does not
 * belong to the other, or a wrong password; what names it in messages. */
int slu_cert_read(const void *data, size_t n, const char *password, const char *what,
		  struct slu_cert **ret, struct slu_err *e);
void slu_cert_free(struct slu_cert *c);
SLU_DEFINE_CLEANUP(struct slu_cert *, slu_cert_free, slu_cert_freep)
void slu_cert_sha256(const struct slu_cert *c, uint8_t out[32]); /* of its DER form */
/* RSASSA-PSS with SHA-256, salt of 32 bytes (PS256 of RFC 7518): caller frees. */
int slu_cert_sign(const struct slu_cert *c, const void *p, size_t n, uint8_t **ret,
		  size_t *ret_len);

#endif
