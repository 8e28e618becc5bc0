/* SPDX-License-Identifier: Apache-2.0 */
/* Places (native_place.h): those of pinned files are kept a while, since their blocks do not change. */
#include "hdfs/native_place.h"

#include "common/mem.h"
#include "common/time.h"

#include <errno.h>

#define PLACE_NS (600 * SLU_SEC) /* locations and tokens are taken anew after that */
#define PLACES_MAX 512

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

const Slu__Pb__LocatedBlock *slu_place_block(const struct slu_place *p, uint64_t pos)
{
	for (size_t i = p ? p->parts.n : 0; i-- > 0;) {
		const Slu__Pb__LocatedBlocks *all = p->parts.p[i]->locations;

		for (size_t k = 0; k < all->n_blocks; k++)
			if (in_block(all->blocks[k], pos))
				return all->blocks[k];
	}
	return NULL;
}

bool slu_place_covers(const struct slu_place *p, uint64_t pos, size_t len)
{
	uint64_t end = pos + len;

	while (pos < end) {
		const Slu__Pb__LocatedBlock *b = slu_place_block(p, pos);

		if (!b)
			return false;
		pos = b->offset + b->b->num_bytes;
	}
	return true;
}

struct slu_place *slu_place_get(struct slu_nreq *q)
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
	slu_native_make_room(q->s->places, PLACES_MAX, slu_place_free);
	if (slu_hash_put(q->s->places, key, p))
		p->refs++;
	return p;
}

/* Reads point into the place: once it has a layout, that stays. */
int slu_place_add(struct slu_nreq *q, Slu__Pb__GetBlockLocationsResponse *m,
		  const struct slu_ec *ec, struct slu_err *e)
{
	bool fresh = !q->place;

	if (fresh)
		q->place = place_new(q);
	if (fresh && q->place && ec) {
		q->place->striped = true;
		q->place->ec = *ec;
	}
	if (q->place &&
	    (ec ? !q->place->striped || !slu_ec_same(&q->place->ec, ec) : q->place->striped))
		return slu_fail(e, EPROTO, SLU_NATIVE_NONSENSE);
	return q->place && slu_vec_push(&q->place->parts, m) ? 0 : slu_fail_oom(e);
}

uint64_t slu_place_end(const struct slu_place *p, const Slu__Pb__LocatedBlock *b, uint64_t pos)
{
	uint64_t end = b->offset + b->b->num_bytes, cell = p->ec.cell;

	if (p->striped && end - pos > cell - (pos - b->offset) % cell)
		end = pos + cell - (pos - b->offset) % cell;
	return end;
}
