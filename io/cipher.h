/* SPDX-License-Identifier: Apache-2.0 */
/* Ciphers as streams: AES in counter mode and 3DES with two keys in CBC mode, over OpenSSL; RC4.  One thread at a time. */
#ifndef SLU_IO_CIPHER_H
#define SLU_IO_CIPHER_H

#include "common/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum slu_cipher_kind { SLU_AES_CTR, SLU_3DES_CBC, SLU_RC4 };

struct slu_cipher;
/* key_len: 16, 24 or 32 for AES, 16 for the others.  iv: 16 bytes, 8 for 3DES, none for RC4.  0, -EINVAL, -ENOMEM, -EIO. */
int slu_cipher_new(enum slu_cipher_kind kind, bool encrypt, const uint8_t *key, size_t key_len,
		   const uint8_t *iv, struct slu_cipher **ret);
/* out may be in; 3DES takes whole blocks of 8 only.  0 or -EIO. */
int slu_cipher_run(struct slu_cipher *c, const void *in, void *out, size_t n);
void slu_cipher_free(struct slu_cipher *c); /* NULL fine */
SLU_DEFINE_CLEANUP(struct slu_cipher *, slu_cipher_free, slu_cipher_freep)

int slu_hmac_md5(const void *key, size_t key_len, const void *p, size_t n, uint8_t out[16]);

#endif
