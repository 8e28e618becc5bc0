/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CRC32C of a whole file, which any copy of its bytes has too: a DataNode of each block combines those of its
 * chunks (COMPOSITE_CRC), and we combine the blocks.  No bytes are moved.  (BlockChecksumHelper.java)
 */
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/dnask.h"
#include "hdfs/native_impl.h"
#include "hdfs/rpc.h"
#include "io/crypt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define OP_CHECKSUM 85
#define COMPOSITE 2
#define CRC32C 2
#define ASKS_MAX 8 /* at a time */

struct ask {
	struct slu_dn_ask a;
	struct slu_nreq *q;
	const Slu__Pb__LocatedBlock *b;
	struct slu_buf request;
	unsigned node; /* the one asked */
	bool busy;
	uint32_t crc;
};

struct slu_nsum {
	Slu__Pb__GetBlockLocationsResponse *where;
	struct ask *asks;
	size_t n, next, busy;
	int rc;
	bool none; /* it has no such checksum */
};

static void run(struct slu_nreq *q);

void slu_native_sum_done(struct slu_nreq *q)
{
	struct slu_nsum *s = q->sum;

	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		slu_buf_done(&s->asks[i].request);
	free(s->asks);
	if (s->where)
		slu__pb__get_block_locations_response__free_unpacked(s->where, NULL);
	free(slu_take(q->sum));
}

static void finish(struct slu_nreq *q)
{
	struct slu_nsum *s = q->sum;
	uint32_t crc = 0;

	if (s->rc < 0) {
		slu_nreq_explain(q);
		slu_nreq_end(q, -q->op->err.code);
		return;
	}
	for (size_t i = 0; i < s->n; i++)
		crc = slu_crc32c_join(crc, s->asks[i].crc, s->asks[i].b->b->num_bytes);
	if (!s->none)
		snprintf(q->op->attr.sum, SLU_ID_MAX, "crc32c:%08x", crc);
	slu_nreq_end(q, 0);
}

static bool take_answer(struct ask *k)
{
	const Slu__Pb__BlockChecksum *c = k->a.answer->checksum_response;

	if (!c || c->block_checksum.len != 4 || !c->options || c->options->type != COMPOSITE)
		return false;
	k->q->sum->none |= c->crc_type != CRC32C;
	k->crc = slu_be32(c->block_checksum.data);
	return true;
}

static void answered(struct slu_dn_ask *a);

/* False: no DataNode is left to be asked. */
static bool ask_node(struct ask *k)
{
	struct slu_nreq *q = k->q;

	if (k->node >= k->b->n_locs)
		return false;
	k->a.loop = q->s->loop;
	k->a.pool = q->n->conf.pool;
	k->a.trust = &q->n->trust;
	k->a.token = k->b->token;
	k->a.node = k->b->locs[k->node];
	k->a.request = k->request.p;
	k->a.request_len = k->request.len;
	k->a.deadline = q->deadline;
	k->a.done = answered;
	k->a.user = k;
	k->busy = true;
	q->sum->busy++;
	slu_dn_ask(&k->a);
	return true;
}

static void answered(struct slu_dn_ask *a)
{
	struct ask *k = a->user;
	struct slu_nreq *q = k->q;
	struct slu_nsum *s = q->sum;
	int r = a->rc;

	k->busy = false;
	if (!r) {
		/* one that knows no such checksums answers with another */
		if (!take_answer(k))
			s->none = true;
		slu__pb__block_op_response__free_unpacked(a->answer, NULL);
	} else {
		q->op->err = a->err;
		k->node++;
		if (r == -ECANCELED || r == -ENOMEM || s->rc || !ask_node(k))
			s->rc = r;
	}
	s->busy--;
	run(q);
}

static void run(struct slu_nreq *q)
{
	struct slu_nsum *s = q->sum;

	s->busy++; /* one that ends at once comes here again */
	while (s->busy <= ASKS_MAX && s->next < s->n && !s->rc && !s->none)
		if (!ask_node(&s->asks[s->next++]))
			s->rc = slu_fail(&q->op->err, EIO, "no DataNode has a block of it");
	if (!--s->busy)
		finish(q);
}

void slu_native_sum_cancel(struct slu_nreq *q)
{
	struct slu_nsum *s = q->sum;

	s->rc = slu_fail(&q->op->err, ECANCELED, "canceled");
	s->busy++;
	for (size_t i = 0; i < s->n; i++)
		if (s->asks[i].busy)
			slu_dn_ask_cancel(&s->asks[i].a);
	s->busy--;
	run(q);
}

static int make_request(struct ask *k)
{
	Slu__Pb__BaseHeader base = SLU__PB__BASE_HEADER__INIT;
	Slu__Pb__BlockChecksumOptions options = SLU__PB__BLOCK_CHECKSUM_OPTIONS__INIT;
	Slu__Pb__OpBlockChecksum op = SLU__PB__OP_BLOCK_CHECKSUM__INIT;

	base.block = k->b->b;
	base.token = k->b->token;
	options.has_type = 1;
	options.type = COMPOSITE;
	op.header = &base;
	op.options = &options;
	k->request = SLU_BUF(64 << 10);
	slu_dn_request(&k->request, OP_CHECKSUM, &op.base);
	return slu_buf_err(&k->request);
}

/* 0: the blocks are those of the whole file, each with a request. */
static int lay_out(struct slu_nreq *q, const Slu__Pb__LocatedBlocks *all)
{
	struct slu_nsum *s = q->sum;
	uint64_t end = 0;

	s->asks = slu_calloc(all->n_blocks ? all->n_blocks : 1, sizeof(*s->asks));
	if (!s->asks)
		return slu_fail_oom(&q->op->err);
	for (; s->n < all->n_blocks; s->n++) {
		struct ask *k = &s->asks[s->n];

		k->q = q;
		k->b = all->blocks[s->n];
		if (k->b->offset != end || k->b->b->num_bytes > INT64_MAX)
			break;
		end += k->b->b->num_bytes;
		if (make_request(k))
			return slu_fail_oom(&q->op->err);
	}
	if (s->n < all->n_blocks || end != q->op->attr.size)
		return slu_fail(&q->op->err, EAGAIN, "it changed while it was looked at");
	return 0;
}

static void got_blocks(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_nsum *s = q->sum;
	const Slu__Pb__LocatedBlocks *all;

	q->info_busy = false;
	if (c->rpc.rc) {
		q->op->err = c->rpc.err;
		s->rc = c->rpc.rc;
		finish(q);
		return;
	}
	s->where =
		slu__pb__get_block_locations_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);
	all = s->where ? s->where->locations : NULL;
	if (!all)
		s->rc = slu_fail(&q->op->err, ENOENT, "there is no such file");
	else if (all->under_construction || all->encryption || all->ec_policy)
		s->none = true;
	else
		s->rc = lay_out(q, all);
	run(q);
}

void slu_native_sum(struct slu_nreq *q)
{
	SLU_AUTO(slu_freep) char *path = slu_native_path(q->n, q->op->path);
	Slu__Pb__GetBlockLocationsRequest m = SLU__PB__GET_BLOCK_LOCATIONS_REQUEST__INIT;

	q->sum = path ? slu_new0(struct slu_nsum) : NULL;
	if (!q->sum) {
		slu_nreq_end(q, slu_fail_oom(&q->op->err));
		return;
	}
	m.src = path;
	m.length = q->op->attr.size;
	slu_nreq_ask(q, "getBlockLocations", &m.base, got_blocks);
}
