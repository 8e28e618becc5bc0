/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reads found out about DataNodes: those that do not answer, and replicas that are damaged, are asked last for a while.
 * Damaged ones are told to the NameNode, which has another copy made of a good one.  Nothing of it is lasting.
 */
#include "hdfs/native_impl.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <inttypes.h>
#include <stdio.h>

#define SHUN_NS (60 * SLU_SEC)
#define SHUN_MAX 1024
#define REPORT_NS (2 * SLU_SEC) /* the end waits for it */
#define KEY_MAX 112

static void take_one(const char *key, void *value, void *user)
{
	const char **any = user;

	(void)value;
	*any = key;
}

/* A table that is full loses one that comes first. */
void slu_native_make_room(struct slu_hash *h, size_t max, void (*drop)(void *))
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

static void make_key(const Slu__Pb__DatanodeInfo *d, const Slu__Pb__LocatedBlock *b,
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

	make_key(d, b, key);
	until = slu_hash_get(s->dead, key);
	return until && *until > slu_now();
}

/* What a loop found out about a DataNode the others need not find out. */
static void note_silent(struct slu_native *n, const char *at, int64_t until)
{
	unsigned i = 0;

	pthread_mutex_lock(&n->lock);
	while (i < SLU_NATIVE_SILENT && !slu_streq(n->silent[i].at, at))
		i++;
	if (i == SLU_NATIVE_SILENT)
		i = atomic_fetch_add(&n->nsilent, 1) % SLU_NATIVE_SILENT;
	snprintf(n->silent[i].at, sizeof(n->silent[i].at), "%s", at);
	n->silent[i].until = until;
	pthread_mutex_unlock(&n->lock);
}

static bool is_silent(struct slu_native *n, const Slu__Pb__DatanodeInfo *d)
{
	char at[KEY_MAX];
	bool yes = false;

	if (!atomic_load(&n->nsilent))
		return false;
	make_key(d, NULL, at);
	pthread_mutex_lock(&n->lock);
	for (unsigned i = 0; i < SLU_NATIVE_SILENT; i++)
		yes |= slu_streq(n->silent[i].at, at) && n->silent[i].until > slu_now();
	pthread_mutex_unlock(&n->lock);
	return yes;
}

bool slu_native_shuns(struct slu_shard *s, const Slu__Pb__DatanodeInfo *d,
		      const Slu__Pb__LocatedBlock *b)
{
	return is_silent(s->n, d) || (slu_hash_count(s->dead) && is_noted(s, d, b));
}

bool slu_native_shun(struct slu_shard *s, const Slu__Pb__DatanodeInfo *d,
		     const Slu__Pb__LocatedBlock *b)
{
	bool news = b && !is_noted(s, d, b);
	int64_t *until = b ? slu_malloc(sizeof(*until)) : NULL;
	char key[KEY_MAX];

	make_key(d, b, key);
	if (!b)
		note_silent(s->n, key, slu_deadline_in(SHUN_NS));
	if (!until)
		return news;
	*until = slu_deadline_in(SHUN_NS);
	free(slu_hash_del(s->dead, key));
	slu_native_make_room(s->dead, SHUN_MAX, free);
	if (!slu_hash_put(s->dead, key, until))
		free(until);
	return news;
}

static void reported(struct slu_nn_call *c)
{
	struct slu_shard *s = c->user;

	if (!--s->reports && s->closing)
		slu_native_close(s->closing);
	if (c->rpc.rc)
		slu_debug("hdfs", "a damaged replica was not reported: %s", c->rpc.err.msg);
	free(c);
}

/* Of the block with this replica alone: the NameNode takes no list of others that is longer or shorter. */
static void report_one(struct slu_shard *s, const Slu__Pb__LocatedBlock *b, size_t i)
{
	Slu__Pb__ReportBadBlocksRequest m = SLU__PB__REPORT_BAD_BLOCKS_REQUEST__INIT;
	Slu__Pb__LocatedBlock one = *b, *list = &one;
	struct slu_nn_call *c = slu_new0(struct slu_nn_call);

	slu_warn("hdfs",
		 "the copy of block %" PRIu64
		 " on the DataNode '%s:%u' is damaged: the NameNode is told",
		 b->b->block_id, b->locs[i]->id->ip_addr, b->locs[i]->id->xfer_port);
	if (!c)
		return;
	one.n_locs = 1;
	one.locs = b->locs + i;
	one.n_storage_types = b->n_storage_types == b->n_locs;
	one.storage_types = b->storage_types + (one.n_storage_types ? i : 0);
	one.n_storage_ids = b->n_storage_ids == b->n_locs;
	one.storage_ids = b->storage_ids + (one.n_storage_ids ? i : 0);
	m.n_blocks = 1;
	m.blocks = &list;
	c->done = reported;
	c->user = s;
	s->reports++;
	slu_nn_send(s->nn, c, "reportBadBlocks", &m.base, slu_deadline_in(REPORT_NS));
}

void slu_native_report(struct slu_shard *s, const Slu__Pb__LocatedBlock *b, uint64_t which)
{
	for (size_t i = 0; which && i < b->n_locs && i < 64; i++)
		if (which >> i & 1)
			report_one(s, b, i);
}
