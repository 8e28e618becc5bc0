/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MD5-of-MD5-of-CRC32C (hadoopsum.h).  Hadoop hashes the whole of the buffer that it gathers the blocks' MD5s in,
 * which has 32 bytes and doubles: so zeros up to a power of two belong to it.  (FileChecksumHelper.java)
 */
#include "fs/hadoopsum.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/vec.h"
#include "io/crypt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MD5_LEN 16
#define BUFFER_MIN 32
#define CRCS 1024 /* gathered before they are hashed */
#define CHUNK_MAX (1u << 20)
#define BLOCKS_MAX (1u << 22)

struct md5 {
	uint8_t b[MD5_LEN];
};

struct slu_hadoopsum {
	uint64_t chunk, block;
	uint64_t in_chunk, in_block; /* bytes of the ones begun */
	uint32_t crc;
	uint8_t crcs[4 * CRCS];
	size_t ncrcs;
	struct slu_hasher *md5; /* of the block */
	SLU_VEC(struct md5) blocks;
};

bool slu_hadoopsum_parse(const char *text, uint64_t *ret_chunk, uint64_t *ret_block)
{
	const char *rest = slu_after(text, SLU_HADOOP_SUM);
	char copy[SLU_ID_MAX], *second, *third;

	if (!rest || strlen(rest) >= sizeof(copy))
		return false;
	memcpy(copy, rest, strlen(rest) + 1);
	second = strchr(copy, ':');
	third = second ? strchr(second + 1, ':') : NULL;
	if (!third)
		return false;
	*second = *third = '\0';
	return slu_u64(copy, ret_chunk) && slu_u64(second + 1, ret_block) && *ret_chunk &&
	       *ret_chunk <= CHUNK_MAX && *ret_block % *ret_chunk == 0;
}

int slu_hadoopsum_new(const char *like, struct slu_hadoopsum **ret)
{
	struct slu_hadoopsum *h = slu_new0(struct slu_hadoopsum);
	int r;

	if (!h)
		return -ENOMEM;
	r = slu_hadoopsum_parse(like, &h->chunk, &h->block) ? slu_hasher_new(SLU_MD5, &h->md5)
							    : -EINVAL;
	if (r < 0)
		slu_hadoopsum_free(h);
	else
		*ret = h;
	return r;
}

void slu_hadoopsum_free(struct slu_hadoopsum *h)
{
	if (!h)
		return;
	slu_hasher_free(h->md5);
	free(h->blocks.p);
	free(h);
}

static int flush(struct slu_hadoopsum *h)
{
	int r = h->ncrcs ? slu_hasher_add(h->md5, h->crcs, 4 * h->ncrcs) : 0;

	h->ncrcs = 0;
	return r;
}

static int end_chunk(struct slu_hadoopsum *h)
{
	uint8_t *p = h->crcs + 4 * h->ncrcs++;

	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(h->crc >> (24 - 8 * i));
	h->crc = 0;
	h->in_chunk = 0;
	return h->ncrcs == CRCS ? flush(h) : 0;
}

static int end_block(struct slu_hadoopsum *h)
{
	struct md5 m;
	int r = h->in_chunk ? end_chunk(h) : 0;

	if (r == 0)
		r = flush(h);
	if (r == 0)
		r = slu_hasher_end(h->md5, m.b);
	if (r < 0)
		return r;
	h->in_block = 0;
	return h->blocks.n < BLOCKS_MAX && slu_vec_push(&h->blocks, m) ? 0 : -ENOMEM;
}

int slu_hadoopsum_add(struct slu_hadoopsum *h, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n) {
		uint64_t len = h->chunk - h->in_chunk;
		int r = 0;

		if (len > n)
			len = n;
		h->crc = slu_crc32c(h->crc, p, (size_t)len);
		p += len;
		n -= (size_t)len;
		h->in_chunk += len;
		h->in_block += len;
		if (h->in_chunk == h->chunk)
			r = end_chunk(h);
		if (r == 0 && h->block && h->in_block == h->block)
			r = end_block(h);
		if (r < 0)
			return r;
	}
	return 0;
}

int slu_hadoopsum_end(struct slu_hadoopsum *h, char ret[SLU_ID_MAX])
{
	static const uint8_t zeros[64];
	char hex[2 * MD5_LEN + 1];
	size_t len = BUFFER_MIN, n;
	struct md5 all;
	int r = h->in_block ? end_block(h) : 0;

	n = h->blocks.n * MD5_LEN;
	while (len < n)
		len *= 2;
	if (r == 0 && n)
		r = slu_hasher_add(h->md5, h->blocks.p, n);
	for (; r == 0 && n < len; n += len - n < sizeof(zeros) ? len - n : sizeof(zeros))
		r = slu_hasher_add(h->md5, zeros,
				   len - n < sizeof(zeros) ? len - n : sizeof(zeros));
	if (r == 0)
		r = slu_hasher_end(h->md5, all.b);
	if (r < 0)
		return r;
	slu_hex(hex, all.b, MD5_LEN);
	snprintf(ret, SLU_ID_MAX, SLU_HADOOP_SUM "%" PRIu64 ":%" PRIu64 ":%s", h->chunk, h->block,
		 hex);
	return 0;
}
