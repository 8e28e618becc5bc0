/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT_BLOCK, COMMIT and ABORT.  A block's id tells transaction and offset, so that a lost answer to a
 * commit is settled by looking whether the blob is made of this transaction's blocks.  Blocks that
 * another writer left uncommitted force the length of their ids on ours: that is learnt at the first
 * refusal and kept until the transaction ends.
 */
#include "blob/block.h"

#include "blob/call.h"
#include "blob/errors.h"
#include "blob/sum.h"
#include "common/mem.h"
#include "common/str.h"
#include "fs/blocks.h"
#include "io/crypt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ID_TXN (SLU_TXN_MAX - 1)
#define ID_STEP SLU_BLOB_ID_STEP

/* A transaction whose ids are as long as those of foreign blocks. */
struct slu_blob_odd {
	struct slu_blob_odd *next;
	char txn[SLU_TXN_MAX];
	unsigned len;
};

/* --- ids --- */

/* 32 bytes of transaction, filled up, and 16 digits. */
static void usual_id(const char *txn, uint64_t off, uint8_t *out)
{
	char text[SLU_BLOB_ID_LEN + 1];
	size_t n = strnlen(txn, ID_TXN);

	memset(text, '-', ID_TXN);
	memcpy(text, txn, n);
	snprintf(text + ID_TXN, sizeof(text) - ID_TXN, "%016" PRIx64, off);
	memcpy(out, text, SLU_BLOB_ID_LEN);
}

/* As much of the transaction's hash as there is room for, and four bytes of offset. */
static bool odd_id(const char *txn, uint64_t off, unsigned len, uint8_t *out)
{
	uint8_t hash[SLU_DIGEST_MAX];
	uint32_t i = (uint32_t)(off / ID_STEP);

	if (slu_digest(SLU_SHA256, txn, strlen(txn), hash) < 0)
		return false;
	for (unsigned k = 0; k < len - 4; k++)
		out[k] = hash[k % sizeof(hash)];
	for (unsigned k = 0; k < 4; k++)
		out[len - 4 + k] = (uint8_t)(i >> (8 * k));
	return true;
}

void slu_blob_block_id(const char *txn, uint64_t off, unsigned len, char *out)
{
	uint8_t id[SLU_BLOB_ID_MAX];
	char *text = NULL;

	if (len == SLU_BLOB_ID_LEN)
		usual_id(txn, off, id);
	if (len == SLU_BLOB_ID_LEN || odd_id(txn, off, len, id))
		text = slu_base64(id, len);
	snprintf(out, SLU_BLOB_BLOCK_ID, "%s", text ? text : "");
	free(text);
}

void slu_blob_nth_id(void *user, uint64_t i, char *out)
{
	const struct slu_blob_ids *ids = user;

	slu_blob_block_id(ids->txn, slu_blocks_start(ids->s, ids->unit, i), ids->len, out);
}

char *slu_blob_block_list(const struct slu_blob_ids *ids, uint64_t n, size_t *ret_len)
{
	struct slu_buf b = SLU_BUF(16u << 20);
	char id[SLU_BLOB_BLOCK_ID];
	bool ok = true;

	slu_buf_str(&b, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
	for (uint64_t i = 0; i < n && ok; i++) {
		slu_blob_nth_id((void *)ids, i, id);
		ok = *id;
		slu_buf_fmt(&b, "<Uncommitted>%s</Uncommitted>", id);
	}
	slu_buf_str(&b, "</BlockList>");
	*ret_len = b.len;
	if (ok)
		return slu_buf_take(&b);
	slu_buf_done(&b);
	return NULL;
}

/* --- ids as long as those of others --- */

static unsigned id_len(struct slu_blob *b, const char *txn)
{
	unsigned len = SLU_BLOB_ID_LEN;

	pthread_mutex_lock(&b->lock);
	for (const struct slu_blob_odd *o = b->odd; o; o = o->next)
		if (slu_streq(o->txn, txn))
			len = o->len;
	pthread_mutex_unlock(&b->lock);
	return len;
}

static int learn(struct slu_blob *b, const char *txn, unsigned len)
{
	struct slu_blob_odd *o;

	pthread_mutex_lock(&b->lock);
	for (o = b->odd; o && !slu_streq(o->txn, txn); o = o->next)
		;
	if (!o) {
		o = slu_new0(struct slu_blob_odd);
		if (o) {
			snprintf(o->txn, sizeof(o->txn), "%s", txn);
			o->next = b->odd;
			b->odd = o;
		}
	}
	if (o)
		o->len = len;
	pthread_mutex_unlock(&b->lock);
	return o ? 0 : -ENOMEM;
}

static void forget(struct slu_blob *b, const char *txn)
{
	struct slu_blob_odd *gone = NULL;

	pthread_mutex_lock(&b->lock);
	for (struct slu_blob_odd **p = &b->odd; *p; p = &(*p)->next) {
		if (!slu_streq((*p)->txn, txn))
			continue;
		gone = *p;
		*p = gone->next;
		break;
	}
	pthread_mutex_unlock(&b->lock);
	free(gone);
}

void slu_blob_odd_free(struct slu_blob *b)
{
	while (b->odd)
		forget(b, b->odd->txn);
}

/* --- PUT_BLOCK --- */

static void send_block(struct slu_call *c);

static int take_first(void *user, const char *id, uint64_t size, bool committed)
{
	(void)size, (void)committed;
	snprintf(user, SLU_BLOB_BLOCK_ID, "%s", id);
	return -ECANCELED;
}

/* Which ids do the leftovers have?  With ours of that length the block is sent again. */
static void on_leftovers(struct slu_call *c)
{
	struct slu_op *op = c->op;
	char id[SLU_BLOB_BLOCK_ID] = "";
	uint8_t plain[SLU_BLOB_ID_MAX];
	size_t n = 0;

	if (c->x.rc == 0 && c->x.resp.p)
		(void)slu_blob_each_block(c->x.resp.p, c->x.resp.len, take_first, id, NULL);
	if (!slu_base64_decode(id, plain, sizeof(plain), &n) || n < SLU_BLOB_ID_MIN ||
	    n == c->id_len || learn(c->b, op->txn, (unsigned)n) < 0) {
		slu_blob_give_up(c, false);
		return;
	}
	send_block(c);
}

static void on_block(struct slu_call *c)
{
	if (c->x.rc == 0) {
		slu_call_finish(c, 0);
	} else if (slu_call_is(c, 400, "InvalidBlobOrBlock") && !c->again) {
		c->again = true;
		slu_blob_remember(c);
		slu_blob_ask_blocks(c, "uncommitted", on_leftovers);
	} else {
		slu_call_fail(c);
	}
}

static int check_block(struct slu_op *op)
{
	if (op->off % ID_STEP)
		return slu_fail(&op->err, EINVAL,
				"'%s': a block of %zu bytes at %" PRIu64
				" is not one of those that make a blob",
				op->path, op->len, op->off);
	if (op->len > SLU_BLOB_BLOCK_MAX || op->off + op->len > SLU_BLOB_SIZE_MAX)
		return slu_fail(&op->err, EFBIG,
				"'%s' is too long: a blob has at most %d blocks of %u MiB",
				op->path, SLU_BLOB_BLOCKS_MAX, SLU_BLOB_BLOCK_MAX >> 20);
	return 0;
}

void slu_blob_set_crc64(struct slu_call *c, uint64_t crc)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	uint8_t le[8];

	for (size_t i = 0; i < sizeof(le); i++)
		le[i] = (uint8_t)(crc >> (8 * i));
	text = slu_base64(le, sizeof(le));
	slu_call_header(c, "x-ms-content-crc64", "%s", text ? text : "");
	c->oom |= !text;
}

static void send_block(struct slu_call *c)
{
	struct slu_op *op = c->op;
	char id[SLU_BLOB_BLOCK_ID];

	c->id_len = id_len(c->b, op->txn);
	slu_blob_block_id(op->txn, op->off, c->id_len, id);
	slu_call_begin(c, "PUT", op->path);
	slu_call_param(c, "blockid", id);
	slu_call_param(c, "comp", "block");
	slu_call_header(c, "content-type", SLU_BLOB_TYPE);
	slu_blob_set_crc64(c, op->crc64 ? *op->crc64 : slu_crc64(0, op->data, op->len));
	c->oom |= !*id;
	c->x.body = op->data;
	c->x.body_len = op->len;
	slu_call_send(c, on_block);
}

void slu_blob_put_block(struct slu_call *c)
{
	int r = check_block(c->op);

	if (r < 0)
		slu_call_finish(c, r);
	else
		send_block(c);
}

/* --- COMMIT and ABORT --- */

static struct slu_blob_ids ids_of(const struct slu_call *c)
{
	return (struct slu_blob_ids){
		.s = &c->b->s, .txn = c->txn, .unit = c->unit, .len = c->id_len};
}

static void commit_done(struct slu_call *c)
{
	forget(c->b, c->txn);
	slu_blob_put_done(c);
}

static void on_committed(struct slu_call *c)
{
	struct slu_blob_ids ids = ids_of(c);
	bool ours = false;

	if (c->x.rc == 0 && c->x.resp.p)
		slu_blob_blocks_parse(c->x.resp.p, c->x.resp.len, slu_blob_nth_id, &ids,
				      slu_blocks_count(ids.s, ids.unit, c->total), &ours, NULL);
	if (ours)
		commit_done(c);
	else
		/* not there: another commit of these very blocks can do no harm */
		slu_blob_give_up(c, (c->x.rc == 0 || slu_call_is(c, 404, NULL)) &&
					    c->rc != -EEXIST && c->rc != -ESTALE &&
					    c->rc != -EBUSY && c->rc != -EACCES);
}

/* Who else may have seen to it that the blob is as it is? */
static bool commit_must_look(const struct slu_call *c)
{
	return slu_call_unknown(c) || slu_call_is(c, 400, "InvalidBlockList") ||
	       slu_call_is(c, 409, NULL) || slu_call_is(c, 412, NULL);
}

void slu_blob_ask_blocks(struct slu_call *c, const char *which, void (*step)(struct slu_call *c))
{
	slu_call_begin(c, "GET", c->op->path);
	slu_call_param(c, "blocklisttype", which);
	slu_call_param(c, "comp", "blocklist");
	slu_blob_version(c);
	c->x.sink = SLU_SINK_BUF;
	c->x.resp = SLU_BUF(SLU_BLOB_LIST_MAX);
	slu_call_send(c, step);
}

static void on_commit(struct slu_call *c)
{
	if (c->x.rc == 0) {
		commit_done(c);
	} else if (!commit_must_look(c)) {
		slu_call_fail(c);
	} else {
		slu_blob_remember(c);
		slu_blob_ask_blocks(c, "committed", on_committed);
	}
}

void slu_blob_commit_list(struct slu_call *c)
{
	struct slu_op *op = c->op;
	struct slu_blob_ids ids = ids_of(c);
	uint64_t n = slu_blocks_count(ids.s, ids.unit, c->total);
	int r;

	if (n > SLU_BLOB_BLOCKS_MAX) {
		slu_call_finish(c, slu_fail(&op->err, EFBIG,
					    "'%s' is too long: a blob has at most %d blocks",
					    op->path, SLU_BLOB_BLOCKS_MAX));
		return;
	}
	slu_call_begin(c, "PUT", op->path);
	c->body = slu_blob_block_list(&ids, n, &c->x.body_len);
	c->oom |= !c->body;
	c->x.body = c->body;
	slu_call_param(c, "comp", "blocklist");
	slu_call_header(c, "content-type", "application/xml");
	if (c->fetch) {
		slu_blob_fetch_headers(c);
	} else {
		slu_blob_type(c);
		slu_blob_keep_md5(c);
	}
	if (op->props && op->props->crc64)
		slu_blob_keep_crc64(c, *op->props->crc64);
	slu_call_conditions(c);
	r = slu_blob_props(c);
	if (r < 0)
		slu_call_finish(c, r);
	else
		slu_call_send(c, on_commit);
}

void slu_blob_commit(struct slu_call *c)
{
	c->txn = c->op->txn;
	c->unit = c->op->len;
	c->total = c->op->size;
	c->id_len = id_len(c->b, c->txn);
	slu_blob_commit_list(c);
}

/* One of ours is told by the beginning of its id.  A transaction that is over is not gone on with: its next
 * commit would find these blocks, and take another's success for its own. */
static int take_block(void *user, const char *id, uint64_t size, bool committed)
{
	struct slu_call *c = user;
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = size};
	uint8_t got[SLU_BLOB_ID_MAX], want[SLU_BLOB_ID_LEN];
	size_t n = 0;

	usual_id(c->op->txn, 0, want);
	if (!slu_base64_decode(id, got, sizeof(got), &n) || n != SLU_BLOB_ID_LEN ||
	    memcmp(got, want, ID_TXN) != 0)
		return 0;
	if (committed)
		return slu_fail(&c->op->err, EEXIST, "'%s' is made of these blocks already",
				c->op->path);
	return slu_list_add(c->op->list, (const char *)got + ID_TXN, n - ID_TXN, &a);
}

static void on_blocks(struct slu_call *c)
{
	int r = 0;

	if (c->x.rc == 0 && c->x.resp.p)
		r = slu_blob_each_block(c->x.resp.p, c->x.resp.len, take_block, c, &c->op->err);
	if (c->x.rc == 0 || slu_call_is(c, 404, "BlobNotFound"))
		slu_call_finish(c, r);
	else
		slu_call_fail(c);
}

void slu_blob_blocks(struct slu_call *c)
{
	slu_blob_ask_blocks(c, "all", on_blocks);
}

/* The blocks themselves nobody can see, and the service forgets them. */
void slu_blob_abort(struct slu_call *c)
{
	forget(c->b, c->op->txn);
	slu_call_finish(c, 0);
}
