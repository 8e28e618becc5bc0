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
#define PLACE_NS (600 * SLU_SEC) /* locations and tokens are taken anew after that */
#define PLACES_MAX 512
#define AHEAD (1ull << 30) /* bytes of a file whose blocks are asked for at once */
#define READS_MAX 4        /* blocks of one op read at a time */
#define ROUNDS_MAX 3       /* dfs.client.max.block.acquire.failures */
#define ROUND_NS (3 * SLU_SEC)
#define DEAD_NS (60 * SLU_SEC)
#define DEAD_MAX 1024

/* The blocks of one file in one state, as far as they were asked for.  A place is never changed but for
 * what is added: reads point into it. */
struct slu_place {
	unsigned refs;
	int64_t made, checked; /* when it was asked for: it, the identity last */
	SLU_VEC(Slu__Pb__GetBlockLocationsResponse *) parts;
};

struct slu_block_read {
	struct slu_dn_read rd;
	struct slu_nreq *q;
	const Slu__Pb__LocatedBlock *b;
	uint64_t pos; /* in the file */
	size_t len;
	char *buf;
	uint64_t tried; /* a bit a replica */
	bool busy, done;
};

static void run(struct slu_nreq *q);
static void ask(struct slu_nreq *q, bool blocks);

/* --- places --- */

void slu_place_free(void *place)
{
	struct slu_place *p = place;

	if (!p || --p->refs)
		return;
	for (size_t i = 0; i < p->parts.n; i++)
		slu__pb__get_block_locations_response__free_unpacked(p->parts.p[i], NULL);
	free(p->parts.p);
	free(p);
}

/* No block ends beyond what a length can say. */
static bool in_block(const Slu__Pb__LocatedBlock *b, uint64_t pos)
{
	return b->offset <= INT64_MAX && b->b->num_bytes <= INT64_MAX && pos >= b->offset &&
	       pos - b->offset < b->b->num_bytes;
}

static const Slu__Pb__LocatedBlock *find_block(const struct slu_place *p, uint64_t pos)
{
	for (size_t i = p ? p->parts.n : 0; i-- > 0;) {
		const Slu__Pb__LocatedBlocks *all = p->parts.p[i]->locations;

		for (size_t k = 0; k < all->n_blocks; k++)
			if (in_block(all->blocks[k], pos))
				return all->blocks[k];
	}
	return NULL;
}

static bool covers(const struct slu_place *p, uint64_t pos, size_t len)
{
	uint64_t end = pos + len;

	while (pos < end) {
		const Slu__Pb__LocatedBlock *b = find_block(p, pos);

		if (!b)
			return false;
		pos = b->offset + b->b->num_bytes;
	}
	return true;
}

static void take_one(const char *key, void *value, void *user)
{
	const char **any = user;

	(void)value;
	*any = key;
}

/* A table that is full loses one that comes first. */
static void make_room(struct slu_hash *h, size_t max, void (*drop)(void *))
{
	SLU_AUTO(slu_freep) char *key = NULL;
	const char *any = NULL;

	if (slu_hash_count(h) < max)
		return;
	slu_hash_each(h, take_one, &any);
	key = slu_strdup(any);
	if (key)
		drop(slu_hash_del(h, key));
}

static struct slu_place *place_get(struct slu_nreq *q)
{
	const char *key = q->op->if_match;
	struct slu_place *p = key ? slu_hash_get(q->s->places, key) : NULL;

	if (p && slu_now() - p->made > PLACE_NS) {
		slu_place_free(slu_hash_del(q->s->places, key));
		p = NULL;
	}
	if (p)
		p->refs++;
	return p;
}

/* A new one, of which q has a reference, and the table one if the file is pinned. */
static struct slu_place *place_new(struct slu_nreq *q)
{
	const char *key = q->op->if_match;
	struct slu_place *p = slu_new0(struct slu_place);

	if (!p)
		return NULL;
	p->refs = 1;
	p->made = q->asked_at;
	if (!key)
		return p;
	slu_place_free(slu_hash_del(q->s->places, key));
	make_room(q->s->places, PLACES_MAX, slu_place_free);
	if (slu_hash_put(q->s->places, key, p))
		p->refs++;
	return p;
}

/* --- DataNodes that do not answer, replicas that are damaged --- */

#define KEY_MAX 112

/* b NULL: the DataNode; else its replica of that block. */
static void dead_key(const Slu__Pb__DatanodeInfo *d, const Slu__Pb__LocatedBlock *b,
		     char out[KEY_MAX])
{
	int n = snprintf(out, KEY_MAX, "%.60s:%u", d->id->ip_addr, d->id->xfer_port);

	if (b)
		snprintf(out + n, KEY_MAX - (size_t)n, "/%" PRIu64, b->b->block_id);
}

static bool is_noted(struct slu_shard *s, const Slu__Pb__DatanodeInfo *d,
		     const Slu__Pb__LocatedBlock *b)
{
	char key[KEY_MAX];
	const int64_t *until;

	dead_key(d, b, key);
	until = slu_hash_get(s->dead, key);
	return until && *until > slu_now();
}

static bool is_dead(struct slu_shard *s, const Slu__Pb__DatanodeInfo *d,
		    const Slu__Pb__LocatedBlock *b)
{
	return slu_hash_count(s->dead) && (is_noted(s, d, NULL) || is_noted(s, d, b));
}

static void note_dead(struct slu_shard *s, const Slu__Pb__DatanodeInfo *d,
		      const Slu__Pb__LocatedBlock *b)
{
	int64_t *until = slu_malloc(sizeof(*until));
	char key[KEY_MAX];

	if (!until)
		return;
	*until = slu_deadline_in(DEAD_NS);
	dead_key(d, b, key);
	free(slu_hash_del(s->dead, key));
	make_room(s->dead, DEAD_MAX, free);
	if (!slu_hash_put(s->dead, key, until))
		free(until);
}

static void reported(struct slu_nn_call *c)
{
	free(c);
}

/* Said once: the NameNode has another copy made of a good one. */
static void note_damaged(struct slu_block_read *r)
{
	Slu__Pb__ReportBadBlocksRequest m = SLU__PB__REPORT_BAD_BLOCKS_REQUEST__INIT;
	Slu__Pb__LocatedBlock b = *r->b, *list = &b;
	Slu__Pb__DatanodeInfo *node = (Slu__Pb__DatanodeInfo *)r->rd.node;
	bool known = is_noted(r->q->s, r->rd.node, r->b);
	struct slu_nn_call *c;

	note_dead(r->q->s, r->rd.node, r->b);
	c = known ? NULL : slu_new0(struct slu_nn_call);
	if (!known)
		slu_warn("hdfs", "%s", r->rd.err.msg);
	if (!c)
		return;
	b.n_locs = 1;
	b.locs = &node;
	m.n_blocks = 1;
	m.blocks = &list;
	c->done = reported;
	slu_nn_send(r->q->s->nn, c, "reportBadBlocks", &m.base, slu_deadline_in(10 * SLU_SEC));
}

/* --- the end --- */

void slu_native_read_done(struct slu_nreq *q)
{
	slu_timer_free(q->timer);
	q->timer = NULL;
	slu_place_free(slu_take(q->place));
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

			if (!(r->tried >> i & 1) && (dead || !is_dead(r->q->s, b->locs[i], b))) {
				*ret_i = i;
				return b->locs[i];
			}
		}
	return NULL;
}

static void block_done(struct slu_dn_read *rd);

/* False: no replica is left to be tried. */
static bool block_start(struct slu_block_read *r)
{
	const Slu__Pb__DatanodeInfo *node;
	unsigned i = 0;

	node = choose(r, &i);
	if (!node)
		return false;
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
		.done = block_done,
		.user = r,
	};
	if (!r->q->n->sc || !slu_sc_read(r->q->n->sc, r->q->s->loop, r->q->s->dn, &r->rd))
		slu_dn_read(r->q->s->dn, &r->rd);
	return true;
}

/* What has come is kept; what that says of the replica is noted. */
static void block_failed(struct slu_block_read *r)
{
	struct slu_nreq *q = r->q;
	int rc = r->rd.rc;

	q->op->err = r->rd.err;
	r->pos += r->rd.good;
	r->buf += r->rd.good;
	r->len -= r->rd.good;
	if (rc == -EBADMSG)
		note_damaged(r);
	else if (rc == -EKEYEXPIRED)
		q->fresh = true;
	else if (rc == -ECANCELED || rc == -ENOMEM)
		q->rc = rc;
	else if (rc != -ENOENT)
		note_dead(q->s, r->rd.node, NULL);
	if (slu_expired(q->deadline) && !q->rc)
		q->rc = slu_fail(&q->op->err, ETIMEDOUT, "the DataNodes did not answer in time");
}

static void block_done(struct slu_dn_read *rd)
{
	struct slu_block_read *r = rd->user;
	struct slu_nreq *q = r->q;

	r->busy = false;
	if (!rd->rc)
		r->done = true;
	else
		block_failed(r);
	/* The count stays up meanwhile: nothing ends q before run() does. */
	if (rd->rc && !q->rc && !q->fresh && !block_start(r))
		q->fresh = true;
	q->busy--;
	run(q);
}

static void next_round(void *arg)
{
	ask(arg, true);
}

/* No replica could be read: perhaps others are known by now, perhaps the file is another. */
static void refetch(struct slu_nreq *q)
{
	int64_t pause = q->rounds ? (int64_t)(slu_random() % (uint64_t)ROUND_NS) : 0;

	q->fresh = false;
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

/* Starts what may be started; ends or goes on when nothing is under way. */
static void run(struct slu_nreq *q)
{
	q->busy++; /* a read that ends at once comes here again */
	while (q->busy <= READS_MAX && q->next < q->nreads && !q->rc && !q->fresh) {
		struct slu_block_read *r = &q->reads[q->next];

		if (!r->done && !r->busy && !block_start(r))
			q->fresh = true;
		else
			q->next++;
	}
	if (--q->busy)
		return;
	if (q->rc)
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

	for (; pos < end; n++) {
		const Slu__Pb__LocatedBlock *b = find_block(q->place, pos);

		pos = b->offset + b->b->num_bytes;
	}
	return n;
}

/* The blocks that the range lies in; or, after a refetch, new locations for those not read yet. */
static bool lay_out(struct slu_nreq *q)
{
	uint64_t pos = q->op->off, end = pos + q->op->len;

	q->next = 0;
	for (size_t i = 0; i < q->nreads; i++) {
		q->reads[i].tried = 0;
		q->reads[i].b = find_block(q->place, q->reads[i].pos);
	}
	if (q->reads)
		return true;
	q->nreads = count_blocks(q);
	q->reads = slu_calloc(q->nreads, sizeof(*q->reads));
	if (!q->reads)
		return false;
	for (size_t i = 0; i < q->nreads; i++) {
		const Slu__Pb__LocatedBlock *b = find_block(q->place, pos);
		uint64_t stop = b->offset + b->b->num_bytes;

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
	if (!covers(q->place, q->op->off, q->op->len))
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
		slu_nreq_hand_back(q, q->back);
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
		note(q, slu_fail(&e, EPROTO, "the NameNode's answer makes no sense"), &e);
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
			note(q, slu_fail(&e, EPROTO, "the NameNode's answer makes no sense"), &e);
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
	struct slu_err e;

	if (!m) {
		note(q, slu_fail(&e, EPROTO, "the NameNode's answer makes no sense"), &e);
	} else if (!all && q->op->if_match) {
		note_stale(q, "gone");
	} else if (!all) {
		note(q, slu_fail(&e, ENOENT, "there is no such file"), &e);
	} else if (all->encryption || all->ec_policy) {
		q->back = all->encryption ? "it has encrypted files" : "it has erasure-coded files";
	} else {
		if (!q->place)
			q->place = place_new(q);
		if (q->place && slu_vec_push(&q->place->parts, m))
			return;
		note(q, slu_fail_oom(&e), &e);
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
	if (blocks && covers(q->place, q->op->off, q->op->len))
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
		q->place = place_get(q);
		if (q->place && covers(q->place, op->off, op->len) && op->len)
			read_blocks(q);
		else
			ask(q, op->len > 0);
	}
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
		if (q->reads[i].busy)
			slu_dn_cancel(&q->reads[i].rd);
	q->busy--;
	run(q);
}
