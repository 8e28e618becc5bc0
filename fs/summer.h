/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checksum of a file in the words of another one: "md5:<hex>", "crc32c:<hex>", "crc64:<hex>" or as in hadoopsum.h.  The bytes
 * come in their order.
 */
#ifndef SLU_FS_SUMMER_H
#define SLU_FS_SUMMER_H

#include "fs/hadoopsum.h"
#include "io/crypt.h"

#include <stdbool.h>

#define SLU_CRC_SUM "crc32c:"
#define SLU_CRC64_SUM "crc64:"

struct slu_summer {
	struct slu_hasher *md5;
	struct slu_hadoopsum *hadoop;
	bool crc, crc64;
	uint32_t c;
	uint64_t c64;
};

/* Computes what compares with `want`: nothing, when it is no such text.  0 or -ENOMEM. */
int slu_summer_begin(struct slu_summer *s, const char *want);
static inline bool slu_summer_on(const struct slu_summer *s)
{
	return s->md5 || s->hadoop || s->crc || s->crc64;
}
int slu_summer_add(struct slu_summer *s, const void *p, size_t n); /* 0 or -errno */
/* "" when it computes nothing. */
int slu_summer_end(struct slu_summer *s, char ret[SLU_ID_MAX]);
void slu_crc64_text(uint64_t crc, char ret[SLU_ID_MAX]); /* "crc64:<hex>" */
bool slu_crc64_read(const char *sum, uint64_t *ret);     /* of such a text */
void slu_md5_text(const uint8_t md5[16], char ret[SLU_ID_MAX]);
void slu_summer_done(struct slu_summer *s); /* may be begun again */

#endif
