/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CRC64 of a long blob, which the service has no place for: metadata "sluice_crc64", written by the commit as
 * CRC64-LENGTH-TRANSACTION.  Other tools may write the bytes anew and keep metadata that they do not know.  So the
 * length has to fit, and where it matters the committed blocks are asked for: only those of that transaction
 * have that sum.
 */
#include "blob/sum.h"

#include "blob/block.h"
#include "common/buf.h"
#include "common/str.h"
#include "fs/summer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CRC_LEN 16

/* What the metadata says. */
struct kept {
	char crc[CRC_LEN + 1], txn[SLU_TXN_MAX];
	uint64_t size;
};

static bool read_kept(const char *value, struct kept *ret)
{
	const char *size = value + CRC_LEN + 1, *txn;
	char digits[21] = "";
	size_t n;

	if (strspn(value, "0123456789abcdef") != CRC_LEN || value[CRC_LEN] != '-')
		return false;
	n = strcspn(size, "-");
	if (!n || n >= sizeof(digits) || size[n] != '-')
		return false;
	memcpy(digits, size, n);
	txn = size + n + 1;
	memcpy(ret->crc, value, CRC_LEN);
	ret->crc[CRC_LEN] = '\0';
	return snprintf(ret->txn, sizeof(ret->txn), "%s", txn) < (int)sizeof(ret->txn) && *txn &&
	       slu_u64(digits, &ret->size);
}

void slu_blob_kept_sum(struct slu_attr *a, const char *value)
{
	struct kept k;

	if (!a->sum[0] && read_kept(value, &k) && k.size == a->size)
		snprintf(a->sum, sizeof(a->sum), SLU_CRC64_SUM "%s", k.crc);
}

void slu_blob_keep_crc64(struct slu_call *c, uint64_t crc)
{
	snprintf(c->crc64, sizeof(c->crc64), "%0*" PRIx64 "-%" PRIu64 "-%s", CRC_LEN, crc, c->total,
		 c->txn);
	slu_call_meta(c, SLU_BLOB_SUM_META, c->crc64);
}

void slu_blob_take_sum(struct slu_call *c, uint64_t crc)
{
	const char *value = slu_xfer_header(&c->x, "x-ms-meta-" SLU_BLOB_SUM_META);
	const char *etag = slu_xfer_header(&c->x, "etag");
	const struct slu_source *from = c->op->from;
	char want[CRC_LEN + 1];
	struct slu_attr a = {0};
	struct kept k;

	snprintf(want, sizeof(want), "%0*" PRIx64, CRC_LEN, crc);
	if (etag)
		slu_blob_set_etag(&a, etag);
	if (c->x.rc == 0 && value && from->id[0] && slu_streq(a.id, from->id) &&
	    read_kept(value, &k) && k.size == from->size && slu_streq(k.crc, want))
		snprintf(c->crc64, sizeof(c->crc64), "%s", value);
}

/* --- is it of these bytes? --- */

struct blocks {
	struct kept k;
	uint64_t off;
	bool other;
};

/* Each has to be the one that the transaction put at this offset. */
static int take(void *user, const char *id, uint64_t size, bool committed)
{
	struct blocks *b = user;
	char want[SLU_BLOB_BLOCK_ID];
	uint8_t plain[SLU_BLOB_ID_MAX];
	size_t n = 0;

	if (!committed || b->other)
		return 0;
	b->other = b->off % SLU_BLOB_ID_STEP || !slu_base64_decode(id, plain, sizeof(plain), &n) ||
		   n < SLU_BLOB_ID_MIN;
	if (b->other)
		return 0;
	slu_blob_block_id(b->k.txn, b->off, (unsigned)n, want);
	b->other = !slu_streq(id, want);
	b->off += size;
	return 0;
}

static void on_blocks(struct slu_call *c)
{
	struct slu_attr *a = &c->op->attr, now = {0};
	const char *etag = slu_xfer_header(&c->x, "etag");
	struct blocks b = {0};
	int r = 0;

	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	if (etag)
		slu_blob_set_etag(&now, etag);
	if (now.id[0] && !slu_streq(now.id, a->id)) { /* overwritten in between */
		slu_call_finish(c, slu_fail(&c->op->err, ESTALE, "'%s' is being written by others",
					    c->op->path));
		return;
	}
	b.other = !read_kept(c->crc64, &b.k);
	r = slu_blob_each_block(c->x.resp.p ? c->x.resp.p : "", c->x.resp.len, take, &b,
				&c->op->err);
	if (r == 0 && (b.other || b.off != a->size))
		a->sum[0] = '\0';
	slu_call_finish(c, r);
}

void slu_blob_confirm_sum(struct slu_call *c)
{
	const char *value = slu_xfer_header(&c->x, "x-ms-meta-" SLU_BLOB_SUM_META);

	snprintf(c->crc64, sizeof(c->crc64), "%s", value ? value : "");
	slu_blob_ask_blocks(c, "committed", on_blocks);
}
