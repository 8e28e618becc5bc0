/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Erasure-coded blocks (striped.h).  What cannot be read from its own block is decoded in pieces, each from the same bytes of as
 * many units as there are data units: those that are past the end of their block are zero and cost nothing, then other
 * data, then parity.  (StripedBlockUtil.java, StripeReader.java)
 */
#include "hdfs/striped.h"

#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <string.h>

#define PIECE (256u << 10)

/* A unit that is being read. */
struct slu_stripe_part {
	struct slu_stripe *t;
	struct slu_dn_read rd;
	Slu__Pb__ExtendedBlock block;
	uint8_t unit;
	uint8_t *buf;
	bool busy;
};

static void go_on(struct slu_stripe *t);

/* --- the layout --- */

static unsigned wanted(const struct slu_stripe *t)
{
	return (unsigned)(t->off / t->ec->cell % t->ec->data);
}

/* Where in the block of its unit a byte of the group lies. */
static uint64_t in_unit(const struct slu_ec *ec, uint64_t off)
{
	uint64_t stripe = (uint64_t)ec->cell * ec->data;

	return off / stripe * ec->cell + off % ec->cell;
}

static uint64_t length_of(const struct slu_stripe *t, unsigned unit)
{
	return slu_ec_length(t->ec, t->group->b->num_bytes, unit);
}

/* Where the unit is said to be; -1: nowhere. */
static int place_of(const struct slu_stripe *t, unsigned unit)
{
	const Slu__Pb__LocatedBlock *g = t->group;

	for (size_t i = 0; i < g->block_indices.len && i < g->n_locs; i++)
		if (g->block_indices.data[i] == unit)
			return (int)i;
	return -1;
}

static Slu__Pb__ExtendedBlock block_of(const struct slu_stripe *t, unsigned unit)
{
	Slu__Pb__ExtendedBlock b = *t->group->b;

	b.block_id += unit;
	b.has_num_bytes = 1;
	b.num_bytes = length_of(t, unit);
	return b;
}

static bool is_avoided(const struct slu_stripe *t, unsigned unit)
{
	Slu__Pb__ExtendedBlock b = block_of(t, unit);

	return t->avoid(t->user, t->group->locs[place_of(t, unit)], &b);
}

/* --- the end --- */

void slu_stripe_done(struct slu_stripe *t)
{
	free(slu_take(t->parts));
	free(slu_take(t->room));
}

static void finish(struct slu_stripe *t, int rc)
{
	t->rc = rc;
	t->done(t);
}

/* --- reading --- */

static void read_done(struct slu_dn_read *rd)
{
	struct slu_stripe_part *p = rd->user;
	struct slu_stripe *t = p->t;

	p->busy = false;
	if (rd->rc) {
		t->err = rd->err;
		t->bad |= 1ull << p->unit;
		if (rd->rc == -ENOMEM || rd->rc == -ECANCELED || rd->rc == -EKEYEXPIRED)
			t->rc = rd->rc;
		else
			t->failed(t->user, rd);
	}
	if (!--t->busy)
		go_on(t);
}

static void read_part(struct slu_stripe *t, struct slu_stripe_part *p, uint64_t off, size_t len)
{
	int at = place_of(t, p->unit);
	const Slu__Pb__LocatedBlock *g = t->group;

	p->t = t;
	p->block = block_of(t, p->unit);
	p->busy = true;
	p->rd = (struct slu_dn_read){
		.block = &p->block,
		.token = (size_t)at < g->n_block_tokens ? g->block_tokens[at] : g->token,
		.node = g->locs[at],
		.off = off,
		.len = len,
		.buf = (char *)p->buf,
		.deadline = t->deadline,
		.done = read_done,
		.user = p,
	};
	t->busy++;
	if (!t->sc || !slu_sc_read(t->sc, t->loop, t->dn, &p->rd))
		slu_dn_read(t->dn, &p->rd);
}

/* --- decoding --- */

/* The units that a piece is made of: false when there are not enough. */
static bool choose(struct slu_stripe *t, uint64_t off, uint8_t units[SLU_EC_UNITS])
{
	const struct slu_ec *ec = t->ec;
	unsigned n = 0, want = wanted(t);
	uint64_t taken = t->bad | 1ull << want;

	/* First what is known to be zero, then what is likely to answer, then the rest. */
	for (int round = 0; round < 3; round++)
		for (unsigned u = 0; u < ec->data + ec->parity && n < ec->data; u++) {
			bool zero = length_of(t, u) <= off;

			if (taken >> u & 1 || (u == want))
				continue;
			if (round == 0 ? !zero
				       : place_of(t, u) < 0 || (round == 1 && is_avoided(t, u)))
				continue;
			taken |= 1ull << u;
			units[n++] = (uint8_t)u;
		}
	return n == ec->data;
}

static int prepare(struct slu_stripe *t, const uint8_t *units)
{
	unsigned k = t->ec->data;

	if (!t->room) {
		t->room = slu_malloc((size_t)k * PIECE);
		free(slu_take(t->parts));
		t->parts = slu_calloc(k, sizeof(*t->parts));
	}
	if (!t->room || !t->parts)
		return slu_fail_oom(&t->err);
	t->nparts = k;
	for (unsigned i = 0; i < k; i++) {
		t->parts[i].unit = units[i];
		t->parts[i].buf = t->room + (size_t)i * PIECE;
	}
	return 0;
}

static int begin_piece(struct slu_stripe *t)
{
	uint64_t off = in_unit(t->ec, t->off);
	uint8_t units[SLU_EC_UNITS] = {0};
	int rc;

	if (!choose(t, off, units))
		return slu_fail(&t->err, EIO,
				"fewer blocks of a group are left than the %u that it takes",
				t->ec->data);
	if (!slu_ec_weights(t->ec, units, wanted(t), t->weight))
		return slu_fail(&t->err, ENOTSUP, "its erasure code cannot be decoded");
	rc = prepare(t, units);
	if (rc < 0)
		return rc;
	t->piece = t->len < PIECE ? t->len : PIECE;
	for (unsigned i = 0; i < t->nparts; i++) {
		struct slu_stripe_part *p = &t->parts[i];
		uint64_t end = length_of(t, p->unit);
		size_t there = end <= off             ? 0
			       : end - off < t->piece ? (size_t)(end - off)
						      : t->piece;

		memset(p->buf + there, 0, t->piece - there);
		if (there)
			read_part(t, p, off, there);
	}
	return 0;
}

static void advance(struct slu_stripe *t, size_t n)
{
	t->good += n;
	t->off += n;
	t->buf += n;
	t->len -= n;
}

static void combine(struct slu_stripe *t)
{
	memset(t->buf, 0, t->piece);
	for (unsigned i = 0; i < t->nparts; i++)
		slu_ec_add((uint8_t *)t->buf, t->parts[i].buf, t->piece, t->weight[i]);
	advance(t, t->piece);
}

/* A piece whose units have all come, or have not: then others are taken. */
static bool is_whole(const struct slu_stripe *t)
{
	for (unsigned i = 0; i < t->nparts; i++)
		if (t->bad >> t->parts[i].unit & 1)
			return false;
	return true;
}

static void decode(struct slu_stripe *t)
{
	int rc = 0;

	t->decoding = true;
	t->nparts = 0;
	/* One more than there are, so that one that ends at once does not come here again. */
	while (!rc && t->len && !t->rc && !t->busy) {
		t->busy = 1;
		rc = begin_piece(t);
		if (--t->busy)
			return;
		if (!rc && !t->rc && is_whole(t))
			combine(t);
	}
	if (t->canceled)
		rc = slu_fail(&t->err, ECANCELED, "canceled");
	finish(t, rc ? rc : t->rc);
}

static void go_on(struct slu_stripe *t)
{
	struct slu_stripe_part *own = t->parts;

	if (t->canceled) {
		finish(t, slu_fail(&t->err, ECANCELED, "canceled"));
	} else if (t->rc) {
		finish(t, t->rc);
	} else if (t->decoding) {
		if (is_whole(t))
			combine(t);
		decode(t);
	} else if (!own->rd.rc) {
		advance(t, t->len);
		finish(t, 0);
	} else {
		advance(t, own->rd.good);
		decode(t);
	}
}

/* --- the beginning --- */

void slu_stripe_read(struct slu_stripe *t)
{
	unsigned unit = wanted(t);

	t->rc = 0;
	t->good = 0;
	t->bad = 0;
	t->decoding = t->canceled = false;
	t->err = (struct slu_err){0};
	if (place_of(t, unit) < 0 || is_avoided(t, unit)) {
		decode(t);
		return;
	}
	slu_stripe_done(t);
	t->parts = slu_calloc(1, sizeof(*t->parts));
	if (!t->parts) {
		finish(t, slu_fail_oom(&t->err));
		return;
	}
	t->parts[0].unit = (uint8_t)unit;
	t->parts[0].buf = (uint8_t *)t->buf;
	t->nparts = 1;
	read_part(t, t->parts, in_unit(t->ec, t->off), t->len);
}

void slu_stripe_cancel(struct slu_stripe *t)
{
	t->canceled = true;
	t->busy++;
	for (unsigned i = 0; i < t->nparts; i++)
		if (t->parts[i].busy)
			slu_dn_cancel(&t->parts[i].rd);
	if (!--t->busy)
		go_on(t);
}
