/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of checksum that stores know, behind one door (summer.h). */
#include "fs/summer.h"

#include "common/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int slu_summer_begin(struct slu_summer *s, const char *want)
{
	*s = (struct slu_summer){.crc = slu_starts(want, SLU_CRC_SUM),
				 .crc64 = slu_starts(want, SLU_CRC64_SUM)};
	if (slu_starts(want, "md5:"))
		return slu_hasher_new(SLU_MD5, &s->md5);
	if (slu_starts(want, SLU_HADOOP_SUM) && slu_hadoopsum_new(want, &s->hadoop) == -ENOMEM)
		return -ENOMEM;
	return 0;
}

int slu_summer_add(struct slu_summer *s, const void *p, size_t n)
{
	if (s->crc)
		s->c = slu_crc32c(s->c, p, n);
	if (s->crc64)
		s->c64 = slu_crc64(s->c64, p, n);
	if (s->hadoop)
		return slu_hadoopsum_add(s->hadoop, p, n);
	return s->md5 && slu_hasher_add(s->md5, p, n) < 0 ? -EIO : 0;
}

void slu_crc64_text(uint64_t crc, char ret[SLU_ID_MAX])
{
	snprintf(ret, SLU_ID_MAX, SLU_CRC64_SUM "%016" PRIx64, crc);
}

bool slu_crc64_read(const char *sum, uint64_t *ret)
{
	static const char digits[] = "0123456789abcdef";
	const char *s = slu_after(sum, SLU_CRC64_SUM);
	uint64_t v = 0;

	if (!s || strlen(s) != 16 || strspn(s, digits) != 16)
		return false;
	for (; *s; s++)
		v = v << 4 | (uint64_t)(strchr(digits, *s) - digits);
	*ret = v;
	return true;
}

void slu_md5_text(const uint8_t md5[16], char ret[SLU_ID_MAX])
{
	memcpy(ret, "md5:", 4);
	slu_hex(ret + 4, md5, 16);
}

int slu_summer_end(struct slu_summer *s, char ret[SLU_ID_MAX])
{
	uint8_t digest[SLU_DIGEST_MAX];

	ret[0] = '\0';
	if (s->crc)
		snprintf(ret, SLU_ID_MAX, SLU_CRC_SUM "%08x", s->c);
	if (s->crc64)
		slu_crc64_text(s->c64, ret);
	if (s->hadoop)
		return slu_hadoopsum_end(s->hadoop, ret);
	if (!s->md5)
		return 0;
	if (slu_hasher_end(s->md5, digest) < 0)
		return -EIO;
	slu_md5_text(digest, ret);
	return 0;
}

void slu_summer_done(struct slu_summer *s)
{
	slu_hasher_free(s->md5);
	slu_hadoopsum_free(s->hadoop);
	*s = (struct slu_summer){0};
}
