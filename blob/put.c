/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT, PUT_BLOCK, COMMIT and MKDIR.  What a lost answer leaves open is settled by looking: at the
 * MD5 of a small file, at the ids of the blocks of a long one.
 */
#include "blob/call.h"
#include "blob/errors.h"
#include "blob/list.h"
#include "common/mem.h"
#include "common/str.h"
#include "io/crypt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ID_TXN (SLU_TXN_MAX - 1)

/* --- one-shot --- */

/* The error stands, except that what surely did not happen may be tried again. */
static void give_up(struct slu_call *c, bool absent)
{
	if (absent && c->err.code != ECANCELED) {
		c->err.code = EAGAIN;
		c->rc = -EAGAIN;
	}
	c->op->err = c->err;
	slu_call_finish(c, c->rc);
}

static void remember(struct slu_call *c)
{
	c->rc = slu_blob_fail(c->op, &c->b->at, &c->x, c->secret.sas);
	c->err = c->op->err;
}

static void put_done(struct slu_call *c)
{
	struct slu_op *op = c->op;
	int r = slu_call_attr(c, &op->attr);

	if (r == 0) {
		op->attr.size = op->type == SLU_OP_COMMIT ? op->size : op->len;
		if (c->md5[0])
			slu_blob_set_md5(&op->attr, c->md5);
	}
	slu_call_finish(c, r);
}

static void on_look(struct slu_call *c)
{
	struct slu_attr a, want = {0};

	slu_blob_set_md5(&want, c->md5);
	if (c->x.rc == 0 && slu_call_attr(c, &a) == 0 && a.kind == SLU_KIND_FILE &&
	    a.size == c->op->len && slu_streq(a.sum, want.sum))
		put_done(c);
	else
		give_up(c, slu_call_is(c, 404, NULL) && (c->op->flags & SLU_OPF_ABSENT));
}

/* A put without a condition may simply be sent again, which the retry layer does. */
static bool must_look(const struct slu_call *c)
{
	const struct slu_op *op = c->op;

	if (!(op->flags & SLU_OPF_ABSENT) && !op->if_match)
		return false;
	if (slu_call_unknown(c))
		return true;
	return op->tries > 1 &&
	       (slu_call_is(c, 409, "BlobAlreadyExists") || slu_call_is(c, 412, NULL));
}

static void on_put(struct slu_call *c)
{
	if (c->x.rc == 0) {
		put_done(c);
		return;
	}
	if (!must_look(c)) {
		slu_call_fail(c);
		return;
	}
	remember(c);
	slu_call_begin(c, "HEAD", c->op->path);
	slu_call_send(c, on_look);
}

static int set_md5(struct slu_call *c)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	uint8_t sum[SLU_DIGEST_MAX];

	if (slu_digest(SLU_MD5, c->op->data, c->op->len, sum) < 0)
		return slu_fail(&c->op->err, EIO, "cannot compute the MD5 of '%s'", c->op->path);
	text = slu_base64(sum, slu_digest_len(SLU_MD5));
	if (!text)
		return slu_fail_oom(&c->op->err);
	snprintf(c->md5, sizeof(c->md5), "%s", text);
	return 0;
}

void slu_blob_put(struct slu_call *c)
{
	int r = set_md5(c);

	if (r < 0) {
		slu_call_finish(c, r);
		return;
	}
	slu_call_begin(c, "PUT", c->op->path);
	slu_call_header(c, "x-ms-blob-type", "BlockBlob");
	slu_call_header(c, "content-type", SLU_BLOB_TYPE);
	slu_call_header(c, "content-md5", "%s", c->md5);
	slu_blob_type(c);
	slu_call_conditions(c);
	c->x.body = c->op->data;
	c->x.body_len = c->op->len;
	r = slu_blob_props(c);
	if (r < 0)
		slu_call_finish(c, r);
	else
		slu_call_send(c, on_put);
}

/* --- blocks --- */

/* All ids of a blob have to be of one length: the transaction is filled up. */
static void block_id(void *txn, uint64_t i, char *out)
{
	char plain[ID_TXN + 9], *text;

	snprintf(plain, sizeof(plain), "%.*s", ID_TXN, (const char *)txn);
	for (size_t n = strlen(plain); n < ID_TXN; n++)
		plain[n] = '-';
	snprintf(plain + ID_TXN, sizeof(plain) - ID_TXN, "%08" PRIx64, i & 0xffffffff);
	text = slu_base64(plain, sizeof(plain) - 1);
	snprintf(out, SLU_BLOB_BLOCK_ID, "%s", text ? text : "");
	free(text);
}

static void on_block(struct slu_call *c)
{
	if (c->x.rc < 0)
		slu_call_fail(c);
	else
		slu_call_finish(c, 0);
}

static int check_block(struct slu_op *op)
{
	if (op->off % SLU_BLOB_BLOCK || op->len > SLU_BLOB_BLOCK)
		return slu_fail(&op->err, EINVAL,
				"'%s': a block of %zu bytes at %" PRIu64
				" is not one of those that make a blob",
				op->path, op->len, op->off);
	if (op->off / SLU_BLOB_BLOCK >= SLU_BLOB_BLOCKS_MAX)
		return slu_fail(&op->err, EFBIG,
				"'%s' is too long: a blob has at most %d blocks of %u MiB here",
				op->path, SLU_BLOB_BLOCKS_MAX, SLU_BLOB_BLOCK >> 20);
	return 0;
}

void slu_blob_put_block(struct slu_call *c)
{
	struct slu_op *op = c->op;
	SLU_AUTO(slu_freep) char *sum = NULL;
	char id[SLU_BLOB_BLOCK_ID];
	uint8_t le[8];
	uint64_t crc;
	int r = check_block(op);

	if (r < 0) {
		slu_call_finish(c, r);
		return;
	}
	crc = slu_crc64(0, op->data, op->len);
	for (size_t i = 0; i < sizeof(le); i++)
		le[i] = (uint8_t)(crc >> (8 * i));
	sum = slu_base64(le, sizeof(le));
	block_id((void *)op->txn, op->off / SLU_BLOB_BLOCK, id);
	slu_call_begin(c, "PUT", op->path);
	slu_call_param(c, "blockid", id);
	slu_call_param(c, "comp", "block");
	slu_call_header(c, "content-type", SLU_BLOB_TYPE);
	slu_call_header(c, "x-ms-content-crc64", "%s", sum ? sum : "");
	c->oom |= !sum || !*id;
	c->x.body = op->data;
	c->x.body_len = op->len;
	slu_call_send(c, on_block);
}

/* --- commit --- */

static uint64_t count_blocks(const struct slu_op *op)
{
	return op->size / SLU_BLOB_BLOCK + !!(op->size % SLU_BLOB_BLOCK);
}

static void on_committed(struct slu_call *c)
{
	bool ours = false;

	if (c->x.rc == 0 && c->x.resp.p)
		slu_blob_blocks_parse(c->x.resp.p, c->x.resp.len, block_id, (void *)c->op->txn,
				      count_blocks(c->op), &ours, NULL);
	if (ours)
		put_done(c);
	else
		/* not there: another commit of these very blocks can do no harm */
		give_up(c, (c->x.rc == 0 || slu_call_is(c, 404, NULL)) && c->rc != -EEXIST &&
				   c->rc != -ESTALE && c->rc != -EBUSY && c->rc != -EACCES);
}

/* Who else may have seen to it that the blob is as it is? */
static bool commit_must_look(const struct slu_call *c)
{
	return slu_call_unknown(c) || slu_call_is(c, 400, "InvalidBlockList") ||
	       slu_call_is(c, 409, NULL) || slu_call_is(c, 412, NULL);
}

static void on_commit(struct slu_call *c)
{
	if (c->x.rc == 0) {
		put_done(c);
		return;
	}
	if (!commit_must_look(c)) {
		slu_call_fail(c);
		return;
	}
	remember(c);
	slu_call_begin(c, "GET", c->op->path);
	slu_call_param(c, "blocklisttype", "committed");
	slu_call_param(c, "comp", "blocklist");
	c->x.sink = SLU_SINK_BUF;
	c->x.resp = SLU_BUF(SLU_BLOB_LIST_MAX);
	slu_call_send(c, on_committed);
}

void slu_blob_commit(struct slu_call *c)
{
	struct slu_op *op = c->op;
	uint64_t n = count_blocks(op);
	struct slu_buf b = SLU_BUF(16u << 20);
	char id[SLU_BLOB_BLOCK_ID];
	int r;

	slu_call_begin(c, "PUT", op->path);
	slu_buf_str(&b, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
	for (uint64_t i = 0; i < n && i < SLU_BLOB_BLOCKS_MAX; i++) {
		block_id((void *)op->txn, i, id);
		slu_buf_fmt(&b, "<Uncommitted>%s</Uncommitted>", id);
	}
	slu_buf_str(&b, "</BlockList>");
	c->x.body_len = b.len;
	c->body = slu_buf_take(&b);
	c->oom |= !c->body;
	c->x.body = c->body;
	slu_call_param(c, "comp", "blocklist");
	slu_call_header(c, "content-type", "application/xml");
	slu_blob_type(c);
	slu_blob_keep_md5(c);
	slu_call_conditions(c);
	r = slu_blob_props(c);
	if (r < 0)
		slu_call_finish(c, r);
	else
		slu_call_send(c, on_commit);
}

/* --- folders --- */

static void on_there(struct slu_call *c)
{
	struct slu_attr a;
	int r;

	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	r = slu_call_attr(c, &a);
	if (r == 0 && a.kind != SLU_KIND_DIR)
		r = slu_fail(&c->op->err, ENOTDIR, "'%s' in container '%s' is a file, not a folder",
			     c->op->path, c->b->at.container);
	slu_call_finish(c, r);
}

static void on_mkdir(struct slu_call *c)
{
	if (c->x.rc == 0) {
		slu_call_finish(c, 0);
	} else if (slu_call_is(c, 409, NULL) || slu_call_is(c, 412, NULL)) {
		slu_call_begin(c, "HEAD", c->op->path);
		slu_call_send(c, on_there);
	} else {
		slu_call_fail(c);
	}
}

void slu_blob_mkdir(struct slu_call *c)
{
	if (!*c->op->path) {
		slu_call_finish(c, 0);
		return;
	}
	slu_call_begin(c, "PUT", c->op->path);
	slu_call_header(c, "x-ms-blob-type", "BlockBlob");
	slu_call_header(c, "content-type", SLU_BLOB_TYPE);
	slu_call_header(c, "x-ms-meta-hdi_isfolder", "true");
	slu_call_header(c, "if-none-match", "*");
	slu_call_send(c, on_mkdir);
}
