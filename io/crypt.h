/* SPDX-License-Identifier: Apache-2.0 */
/* Digests and codes: SHA-256, MD5 and HMAC over OpenSSL's EVP (the only place that includes it),
 * CRC32C (Castagnoli) and CRC-64/NVME (what Azure Storage calls CRC64), base64.  Any thread. */
#ifndef SLU_IO_CRYPT_H
#define SLU_IO_CRYPT_H

#include "common/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum slu_digest_kind { SLU_MD5, SLU_SHA256 };
#define SLU_DIGEST_MAX 32

/* Length of a digest: 16 or 32. */
size_t slu_digest_len(enum slu_digest_kind kind);
int slu_digest(enum slu_digest_kind kind, const void *p, size_t n, uint8_t *out); /* 0 or -EIO */

struct slu_hasher; /* the same, piece by piece */
int slu_hasher_new(enum slu_digest_kind kind, struct slu_hasher **ret); /* 0, -ENOMEM */
int slu_hasher_add(struct slu_hasher *h, const void *p, size_t n);
int slu_hasher_end(struct slu_hasher *h, uint8_t *out); /* h may be used anew afterwards */
void slu_hasher_free(struct slu_hasher *h);
SLU_DEFINE_CLEANUP(struct slu_hasher *, slu_hasher_free, slu_hasher_freep)

int slu_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n, uint8_t out[32]);

/* crc: the value so far, 0 to begin.  Hardware instructions where the CPU has them. */
uint32_t slu_crc32c(uint32_t crc, const void *p, size_t n); /* "123456789" -> 0xe3069283 */
uint32_t slu_crc32(uint32_t crc, const void *p, size_t n);  /* "123456789" -> 0xcbf43926 */
uint64_t slu_crc64(uint64_t crc, const void *p, size_t n);  /* "123456789" -> 0xae8b14860a799888 */
/* The CRC32C of a and then b, of which only the CRC32C are known, and of b the length in bytes. */
uint32_t slu_crc32c_join(uint32_t a, uint32_t b, uint64_t b_len);
uint64_t slu_crc64_join(uint64_t a, uint64_t b, uint64_t b_len); /* the same of CRC64s */

char *slu_base64(const void *p, size_t n); /* caller frees; NULL: no memory */
/* Strict (padding, no white space).  False: malformed or more than max bytes. */
bool slu_base64_decode(const char *s, void *out, size_t max, size_t *ret_len);

int slu_random_bytes(void *p, size_t n); /* getrandom(2): for ids and secrets; 0 or -errno */
/* A random id of 2n hex digits + NUL into out. */
int slu_random_id(char *out, size_t n);

#endif
