/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READ: where the blocks are, from which replica each is read, and whether they are still those of the
 * identity that is asked for.
 *
 * A pinned read goes by inode, and the blocks of an inode are never written again under their numbers, but
 * for append and truncate.  So the file is looked at before its first read and then, together with reads,
 * once a second: bytes that came more than that after the last look are given out after the next.
 */
#include "hdfs/native_impl.h"
#include "hdfs/native_place.h"
#include "hdfs/striped.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"
#include "io/backoff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHECK_NS SLU_SEC
#define AHEAD (1ull << 30) /* bytes of a file whose blocks are asked for at once */
#define READS_MAX 4        /* blocks of one op read at a time */
#define ROUNDS_MAX 3       /* dfs.client.max.block.acquire.failures */
#define ROUND_NS (3 * SLU_SEC)
#define SLOW_NS SLU_SEC
#define PATIENCE_NS (4 * SLU_SEC) /* where another replica is left */

struct slu_block_read {
	struct slu_dn_read rd;
	struct slu_stripe stripe; /* instead of it */
	struct slu_nreq *q;
	const Slu__Pb__LocatedBlock *b;
	uint64_t pos; /* in the file */
	size_t len;
	char *buf;
	unsigned at;            /* the replica that is asked */
	int64_t since;          /* when it was asked */
	uint64_t tried;         /* a bit a replica */
	uint64_t damaged, news; /* the same; news: it was not known yet */
	bool busy, done;
};

static void run(struct slu_nreq *q);
static void ask(struct slu_nreq *q, bool blocks);

/* --- the end --- */

void slu_native_read_done(struct slu_nreq *q)
{
	slu_timer_free(q->timer);
	q->timer = NULL;
	slu_place_free(slu_take(q->place));
	for (size_t i = 0; i < q->nreads; i++)
		slu_stripe_done(&q->reads[i].stripe);
	free(slu_take(q->reads));
}

static void fail(struct slu_nreq *q, int rc)
{
	slu_nreq_explain(q);
	slu_nreq_end(q, rc);
}

static void fail_as(struct slu_nreq *q, int code, const char *why)
{
	fail(q, slu_fail(&q->op->err, code, "%s", why));
}

/* This file is not for us. */
static void give_back(struct slu_nreq *q, const char *why)
{
	q->back = why;
	q->back_file = true;
}

static void hand_back(struct slu_nreq *q)
{
	if (q->back_file)
		slu_nreq_hand_back_file(q, q->back);
	else
		slu_nreq_hand_back(q, q->back);
}

/* All bytes are there. */
static void all_read(struct slu_nreq *q)
{
	if (!q->op->if_match || slu_now() - q->place->checked <= CHECK_NS)
		slu_nreq_end(q, 0);
	else
		ask(q, false);
}

/* --- blocks --- */

static const Slu__Pb__DatanodeInfo *choose(struct slu_block_read *r, unsigned *ret_i)
{
	const Slu__Pb__LocatedBlock *b = r->b;
	unsigned n = b->n_locs < 64 ? (unsigned)b->n_locs : 64;
	/* the first is what another read waits for */
	unsigned from = r->q->op->flags & SLU_OPF_BESIDE ? 1 : 0;

	/* They come sorted by distance.  First those of which nothing bad is known. */
	for (int dead = 0; dead < 2; dead++)
		for (unsigned k = 0; k < n; k++) {
			unsigned i = (k + from) % n;

			if (!(r->tried >> i & 1) &&
			    (dead || !slu_native_shuns(r->q->s, b->locs[i], b))) {
				*ret_i = i;
				return b->locs[i];
			}
		}
	return NULL;
}

static void block_done(struct slu_dn_read *rd);
static bool stripe_start(struct slu_block_read *r);

/* False: no replica is left to be tried. */
static bool block_start(struct slu_block_read *r)
{
	const Slu__Pb__DatanodeInfo *node;
	unsigned i = 0;

	if (r->q->place->striped)
		return stripe_start(r);
	node = choose(r, &i);
	if (!node)
		return false;
	r->at = i;
	r->since = slu_now();
	r->tried |= 1ull << i;
	r->busy = true;
	r->q->busy++;
	r->rd = (struct slu_dn_read){
		.block = r->b->b,
		.token = r->b->token,
		.node = node,
		.off = r->pos - r->b->offset,
		.len = r->len,
		.buf = r->buf,
		.deadline = r->q->deadline,
		.patience = choose(r, &i) ? PATIENCE_NS : 0,
		.done = block_done,
		.user = r,
	};
	if (!r->q->n->sc || !slu_sc_read(r->q->n->sc, r->q->s->loop, r->q->s->dn, &r->rd))
		slu_dn_read(r->q->s->dn, &r->rd);
	return true;
}

static void note_damaged(struct slu_block_read *r)
{
	struct slu_shard *s = r->q->s;

	r->damaged |= 1ull << r->at;
	if (slu_native_shun(s, r->rd.node, r->b))
		r->news |= 1ull << r->at;
}

/* No replica is left.  Where each is damaged, neither time nor another look helps; that what is damaged may be this
 * machine is why it is reported only where there is but one.  (DFSUtil, reportChecksumFailure) */
static void block_lost(struct slu_block_read *r)
{
	struct slu_nreq *q = r->q;
	size_t n = r->b->n_locs;

	q->fresh = true;
	if (!n || n > 63 || r->damaged != (1ull << n) - 1)
		return;
	if (n == 1)
		slu_native_report(q->s, r->b, r->news);
	if (q->rounds)
		q->rc = slu_fail(&q->op->err, EBADMSG,
				 "%s of its block %" PRIu64
				 " is damaged (the checksums do not fit): "
				 "write the file anew from its source",
				 n == 1 ? "the only copy" : "each copy", r->b->b->block_id);
}

/* What has come is kept; how the whole op goes on. */
static void take_failure(struct slu_block_read *r, int rc, size_t good, const struct slu_err *e)
{
	struct slu_nreq *q = r->q;

	q->op->err = *e;
	q->slow |= rc != -ECONNREFUSED;
	r->pos += good;
	r->buf += good;
	r->len -= good;
	if (rc == -EKEYEXPIRED)
		q->fresh = true;
	else if (rc == -ECANCELED || rc == -ENOMEM)
		q->rc = rc;
	if (slu_expired(q->deadline) && !q->rc)
		q->rc = slu_fail(&q->op->err, ETIMEDOUT, "the DataNodes did not answer in time");
}

/* Does it say something of the DataNode, not of the block? */
static bool is_unreachable(int rc)
{
	return rc != -EBADMSG && rc != -EKEYEXPIRED && rc != -ECANCELED && rc != -ENOMEM &&
	       rc != -ENOENT;
}

static void block_failed(struct slu_block_read *r)
{
	int rc = r->rd.rc;

	if (rc == -EBADMSG)
		note_damaged(r);
	else if (is_unreachable(rc))
		slu_native_shun(r->q->s, r->rd.node, NULL);
	take_failure(r, rc, r->rd.good, &r->rd.err);
}

static void block_done(struct slu_dn_read *rd)
{
	struct slu_block_read *r = rd->user;
	struct slu_nreq *q = r->q;

	r->busy = false;
	if (rd->rc) {
		block_failed(r);
	} else {
		r->done = true;
		slu_native_report(q->s, r->b, r->news);
	}
	/* The count stays up meanwhile: nothing ends q before run() does. */
	if (rd->rc && !q->rc && !q->fresh && !block_start(r))
		block_lost(r);
	q->busy--;
	run(q);
}

/* --- erasure-coded blocks --- */

/* One block of a group, with the DataNode it is on: to look at and to report.  node lives as long. */
static Slu__Pb__LocatedBlock one_of(const struct slu_block_read *r, Slu__Pb__DatanodeInfo **node,
				    const Slu__Pb__ExtendedBlock *b)
{
	Slu__Pb__LocatedBlock one = *r->b;

	one.b = (Slu__Pb__ExtendedBlock *)b;
	one.n_locs = 1;
	one.locs = node;
	one.has_block_indices = 0;
	one.n_block_tokens = one.n_storage_types = one.n_storage_ids = 0;
	return one;
}

static bool stripe_avoid(void *user, const Slu__Pb__DatanodeInfo *d,
			 const Slu__Pb__ExtendedBlock *b)
{
	Slu__Pb__DatanodeInfo *node = (Slu__Pb__DatanodeInfo *)d;
	struct slu_block_read *r = user;
	Slu__Pb__LocatedBlock one = one_of(r, &node, b);

	return slu_native_shuns(r->q->s, node, &one);
}

static void stripe_failed(void *user, const struct slu_dn_read *rd)
{
	Slu__Pb__DatanodeInfo *node = (Slu__Pb__DatanodeInfo *)rd->node;
	struct slu_block_read *r = user;
	Slu__Pb__LocatedBlock one = one_of(r, &node, rd->block);

	if (rd->rc == -EBADMSG && slu_native_shun(r->q->s, node, &one))
		r->news |= 1ull << (rd->block->block_id - r->b->b->block_id);
	else if (is_unreachable(rd->rc))
		slu_native_shun(r->q->s, node, NULL);
}

/* Others have given what the damaged ones had. */
static void report_stripe(struct slu_block_read *r)
{
	const ProtobufCBinaryData *units = &r->b->block_indices;

	for (size_t i = 0; r->news && i < units->len && i < r->b->n_locs; i++) {
		Slu__Pb__ExtendedBlock b = *r->b->b;
		Slu__Pb__LocatedBlock one = one_of(r, &r->b->locs[i], &b);

		b.block_id += units->data[i];
		b.num_bytes = slu_ec_length(&r->q->place->ec, b.num_bytes, units->data[i]);
		if (units->data[i] < 64 && r->news >> units->data[i] & 1)
			slu_native_report(r->q->s, &one, 1);
	}
}

static void stripe_done(struct slu_stripe *t)
{
	struct slu_block_read *r = t->user;
	struct slu_nreq *q = r->q;

	r->busy = false;
	if (!t->rc) {
		r->done = true;
		report_stripe(r);
	} else {
		take_failure(r, t->rc, t->good, &t->err);
		q->fresh = !q->rc;
	}
	if (t->rc == -ENOTSUP)
		give_back(q, t->err.msg);
	q->busy--;
	run(q);
}

static bool stripe_start(struct slu_block_read *r)
{
	struct slu_stripe *t = &r->stripe;
	struct slu_nreq *q = r->q;

	if (r->tried)
		return false;
	r->tried = 1;
	r->busy = true;
	q->busy++;
	t->loop = q->s->loop;
	t->dn = q->s->dn;
	t->sc = q->n->sc;
	t->ec = &q->place->ec;
	t->group = r->b;
	t->off = r->pos - r->b->offset;
	t->len = r->len;
	t->buf = r->buf;
	t->deadline = q->deadline;
	t->avoid = stripe_avoid;
	t->failed = stripe_failed;
	t->done = stripe_done;
	t->user = r;
	slu_stripe_read(t);
	return true;
}

/* --- the blocks of a range --- */

static void next_round(void *arg)
{
	ask(arg, true);
}

/* No replica could be read: perhaps others are known by now, perhaps the file is another. */
static void refetch(struct slu_nreq *q)
{
	/* Who refuses at once is asked again soon: all that are dead are known to be so before anybody gives up waiting. */
	int64_t longest = q->slow ? ROUND_NS : ROUND_NS / 10;
	int64_t pause = q->rounds ? (int64_t)(slu_random() % (uint64_t)longest) : 0;

	q->fresh = q->slow = false;
	if (q->rounds++ == ROUNDS_MAX || slu_now() + pause >= q->deadline) {
		fail(q, -q->op->err.code);
	} else if (!pause) {
		ask(q, true);
	} else if (!q->timer && slu_timer_new(q->s->loop, next_round, q, &q->timer)) {
		fail(q, slu_fail_oom(&q->op->err));
	} else {
		slu_timer_set(q->timer, slu_deadline_in(pause));
	}
}

static void nowhere(struct slu_block_read *r)
{
	r->q->fresh = true;
	if (!r->b->n_locs)
		slu_fail(&r->q->op->err, EIO,
			 "no DataNode that has its block %" PRIu64
			 " is running ('hdfs dfsadmin -report' "
			 "tells which are): start one of them",
			 r->b->b->block_id);
}

/* Starts what may be started; ends or goes on when nothing is under way. */
static void run(struct slu_nreq *q)
{
	q->busy++; /* a read that ends at once comes here again */
	while (q->busy <= READS_MAX && q->next < q->nreads && !q->rc && !q->fresh) {
		struct slu_block_read *r = &q->reads[q->next];

		if (!r->done && !r->busy && !block_start(r))
			nowhere(r);
		else
			q->next++;
	}
	if (--q->busy)
		return;
	if (q->back)
		hand_back(q);
	else if (q->rc)
		fail(q, q->rc);
	else if (q->fresh)
		refetch(q);
	else
		all_read(q);
}

static size_t count_blocks(const struct slu_nreq *q)
{
	uint64_t pos = q->op->off, end = pos + q->op->len;
	size_t n = 0;

	for (; pos < end; n++)
		pos = slu_place_end(q->place, slu_place_block(q->place, pos), pos);
	return n;
}

/* The blocks that the range lies in; or, after a refetch, new locations for those not read yet. */
static bool lay_out(struct slu_nreq *q)
{
	uint64_t pos = q->op->off, end = pos + q->op->len;

	q->next = 0;
	for (size_t i = 0; i < q->nreads; i++) {
		q->reads[i].tried = q->reads[i].damaged = q->reads[i].news = 0;
		q->reads[i].b = slu_place_block(q->place, q->reads[i].pos);
	}
	if (q->reads)
		return true;
	q->nreads = count_blocks(q);
	q->reads = slu_calloc(q->nreads, sizeof(*q->reads));
	if (!q->reads)
		return false;
	for (size_t i = 0; i < q->nreads; i++) {
		const Slu__Pb__LocatedBlock *b = slu_place_block(q->place, pos);
		uint64_t stop = slu_place_end(q->place, b, pos);

		if (stop > end)
			stop = end;
		q->reads[i] =
			(struct slu_block_read){.q = q,
						.b = b,
						.pos = pos,
						.len = (size_t)(stop - pos),
						.buf = (char *)q->op->buf + (pos - q->op->off)};
		pos = stop;
	}
	return true;
}

static void read_blocks(struct slu_nreq *q)
{
	if (!slu_place_covers(q->place, q->op->off, q->op->len))
		fail_as(q, EIO, "the file ended before the bytes that are wanted");
	else if (!lay_out(q))
		fail(q, slu_fail_oom(&q->op->err));
	else
		run(q);
}

/* --- questions to the NameNode --- */

static void answered(struct slu_nreq *q)
{
	bool all = true;

	for (size_t i = 0; i < q->nreads; i++)
		all &= q->reads[i].done;
	if (q->back) {
		hand_back(q);
	} else if (q->rc == -ESTALE) {
		slu_nreq_end(q, q->rc);
	} else if (q->rc) {
		fail(q, q->rc);
	} else {
		if (q->place)
			q->place->checked = q->asked_at;
		if (!q->op->len || (q->reads && all))
			slu_nreq_end(q, 0);
		else
			read_blocks(q);
	}
}

/* Notes the first thing that went wrong. */
static void note(struct slu_nreq *q, int rc, const struct slu_err *e)
{
	if (q->rc)
		return;
	q->rc = rc;
	if (e)
		q->op->err = *e;
}

static void note_stale(struct slu_nreq *q, const char *now)
{
	struct slu_err e;

	note(q, slu_native_stale(q, now, &e), &e);
}

static void note_call(struct slu_nreq *q, const struct slu_nn_call *c)
{
	const char *why = slu_nreq_closed(q, c);

	if (why)
		q->back = why;
	else if (c->rpc.rc == -ENOENT && q->op->if_match)
		note_stale(q, "gone");
	else
		note(q, c->rpc.rc, &c->rpc.err);
}

static void compare(struct slu_nreq *q, const Slu__Pb__FileStatus *fs)
{
	struct slu_hdfs_id id;
	struct slu_attr a;
	struct slu_err e;

	if (!fs)
		note_stale(q, "gone");
	else if (!slu_native_attr(fs, &a, &id))
		note(q, slu_fail(&e, EPROTO, SLU_NATIVE_NONSENSE), &e);
	else if (!slu_streq(a.id, q->op->if_match))
		note_stale(q, a.id);
}

static void got_info(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_err e;

	q->info_busy = false;
	if (c->rpc.rc) {
		note_call(q, c);
	} else {
		Slu__Pb__GetFileInfoResponse *m =
			slu__pb__get_file_info_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);

		if (!m)
			note(q, slu_fail(&e, EPROTO, SLU_NATIVE_NONSENSE), &e);
		else
			compare(q, m->fs);
		if (m)
			slu__pb__get_file_info_response__free_unpacked(m, NULL);
	}
	if (!q->blocks_busy)
		answered(q);
}

/* Takes m over. */
static void take_blocks(struct slu_nreq *q, Slu__Pb__GetBlockLocationsResponse *m)
{
	const Slu__Pb__LocatedBlocks *all = m ? m->locations : NULL;
	struct slu_ec ec = {0};
	struct slu_err e;

	if (!m) {
		note(q, slu_fail(&e, EPROTO, SLU_NATIVE_NONSENSE), &e);
	} else if (!all && q->op->if_match) {
		note_stale(q, "gone");
	} else if (!all) {
		note(q, slu_fail(&e, ENOENT, "there is no such file"), &e);
	} else if (all->encryption) {
		give_back(q, "it is encrypted");
	} else if (all->ec_policy && !slu_ec_policy(all->ec_policy, &ec)) {
		give_back(q, "its erasure coding is not known");
	} else {
		int rc = slu_place_add(q, m, all->ec_policy ? &ec : NULL, &e);

		if (!rc)
			return;
		note(q, rc, &e);
	}
	if (m)
		slu__pb__get_block_locations_response__free_unpacked(m, NULL);
}

static void got_blocks(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;

	q->blocks_busy = false;
	if (c->rpc.rc)
		note_call(q, c);
	else
		take_blocks(q, slu__pb__get_block_locations_response__unpack(NULL, c->rpc.resp_len,
									     c->rpc.resp));
	if (!q->info_busy)
		answered(q);
}

static char *read_path(const struct slu_nreq *q)
{
	/* the inode of what lies in a snapshot may be that of a file that has changed */
	return q->id.inode && !slu_hdfs_frozen(q->n->root, q->op->path)
		       ? slu_asprintf("/.reserved/.inodes/%" PRIu64, q->id.inode)
		       : slu_native_path(q->n, q->op->path);
}

/* Asks who the file is now, and with `blocks` where it lies: both on their way at the same time. */
static void ask(struct slu_nreq *q, bool blocks)
{
	SLU_AUTO(slu_freep) char *path = read_path(q);
	Slu__Pb__GetFileInfoRequest info = SLU__PB__GET_FILE_INFO_REQUEST__INIT;
	Slu__Pb__GetBlockLocationsRequest where = SLU__PB__GET_BLOCK_LOCATIONS_REQUEST__INIT;

	if (!path) {
		fail(q, slu_fail_oom(&q->op->err));
		return;
	}
	q->asked_at = slu_now();
	/* What is there already may be why: only what is not covered is added to it. */
	if (blocks && slu_place_covers(q->place, q->op->off, q->op->len))
		slu_place_free(slu_take(q->place));
	info.src = where.src = path;
	where.offset = q->op->off;
	where.length = q->op->len > AHEAD ? q->op->len : AHEAD;
	q->info.done = got_info;
	q->blocks.done = got_blocks;
	q->info.user = q->blocks.user = q;
	q->info_busy = q->op->if_match;
	q->blocks_busy = blocks;
	int64_t until = slu_nreq_patience(q);

	if (q->info_busy)
		slu_nn_send(q->s->nn, &q->info, "getFileInfo", &info.base, until);
	/* If that failed at once and ended all, there is nothing more to ask; blocks_busy kept q. */
	if (blocks)
		slu_nn_send(q->s->nn, &q->blocks, "getBlockLocations", &where.base, until);
}

void slu_native_read(struct slu_nreq *q)
{
	struct slu_op *op = q->op;

	if (op->if_match && !slu_hdfs_id_parse(op->if_match, &q->id)) {
		struct slu_err e;
		int r = slu_native_stale(q, "another store's", &e);

		op->err = e;
		slu_nreq_end(q, r);
	} else if (op->if_match && op->off + op->len > q->id.size) {
		fail_as(q, EIO, "the file ends before the bytes that are wanted");
	} else if (!op->if_match && !op->len) {
		slu_nreq_end(q, 0);
	} else {
		q->place = slu_place_get(q);
		if (q->place && slu_place_covers(q->place, op->off, op->len) && op->len)
			read_blocks(q);
		else
			ask(q, op->len > 0);
	}
}

/* Another read was faster, or nobody waits any longer: either way the next ones do better elsewhere. */
static void give_up(struct slu_block_read *r)
{
	if (slu_now() - r->since > SLOW_NS)
		slu_native_shun(r->q->s, r->rd.node, NULL);
	slu_dn_cancel(&r->rd);
}

void slu_native_read_cancel(struct slu_nreq *q)
{
	q->rc = slu_fail(&q->op->err, ECANCELED, "canceled");
	if (q->timer && slu_timer_cancel(q->timer)) {
		fail(q, q->rc);
		return;
	}
	q->busy++;
	for (size_t i = 0; i < q->nreads; i++)
		if (q->reads[i].busy && q->place->striped)
			slu_stripe_cancel(&q->reads[i].stripe);
		else if (q->reads[i].busy)
			give_up(&q->reads[i]);
	q->busy--;
	run(q);
}
