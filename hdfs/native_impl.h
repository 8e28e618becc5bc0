/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the native driver: native.c (life, ops by loop), native_names.c (stat, list), native_read.c (read),
 * and for what changes something native_write.h.
 * An op stays on one loop from beginning to end, with connections of that loop; nothing but the way there
 * and a cancel takes the lock.
 */
#ifndef SLU_HDFS_NATIVE_IMPL_H
#define SLU_HDFS_NATIVE_IMPL_H

#include "common/hash.h"
#include "hdfs/answer.h"
#include "hdfs/datanode.h"
#include "hdfs/dn_dial.h"
#include "hdfs/namenode.h"
#include "hdfs/native.h"
#include "hdfs/shortcircuit.h"

#include <pthread.h>

#define SLU_NATIVE_SHARDS 16
#define SLU_NATIVE_SILENT 8
#define SLU_NATIVE_NONSENSE "the NameNode's answer makes no sense"

struct slu_lease;
struct slu_nsum;
struct slu_nwrite;
struct slu_shun; /* native_file.c: DataNodes that failed while something was written */

/* What the NameNode says about new files. */
struct slu_defaults {
	int64_t until; /* asked for again after that */
	uint64_t block_size;
	uint32_t replication, sum_type, chunk;
};

/* What one loop has. */
struct slu_shard {
	struct slu_native *n;
	struct slu_loop *loop;
	struct slu_nn *nn;
	struct slu_dn *dn;
	struct slu_dn_asker *asker;
	unsigned ops;            /* under way; under n->lock */
	struct slu_hash *places; /* identity -> struct slu_place */
	struct slu_hash
		*dead;    /* "ip:port/block" -> int64_t *: until when that replica is asked last */
	unsigned reports; /* native_shun.c: under way */
	void *closing;    /* the end of the shard, which waits for them; NULL: not yet */
	struct slu_defaults defaults;
	struct slu_shun *shun;
	struct slu_lease *lease;
};

struct slu_native {
	struct slu_native_conf conf;
	char *root, *where, *client;
	struct slu_nn_set set;
	struct slu_dn_trust trust;
	struct slu_sc *sc; /* NULL: no local replicas */
	atomic_uint turn;
	atomic_llong closed_until;     /* the RPC port does not answer: handed back till then */
	_Atomic(const char *) closed;  /* why; a constant */
	atomic_llong unwritable_until; /* no DataNode took data: writes are handed back till then */
	atomic_llong renewed;          /* the lease, last */
	int64_t renew_ns;              /* how often it is */
	atomic_bool told, told_file;
	pthread_mutex_t lock; /* shard[], nshards, their ops, op->drv of all ops (and silent[]) */
	atomic_uint nsilent;  /* how many were ever noted */
	struct {
		char at[112];
		int64_t until;
	} silent[SLU_NATIVE_SILENT]; /* DataNodes that one of the loops gave up */
	struct slu_shard *shard[SLU_NATIVE_SHARDS];
	unsigned nshards;
};

struct slu_place; /* native_read.c */
struct slu_block_read;

/* One op.  refs: the op itself, and a cancel on its way. */
struct slu_nreq {
	struct slu_native *n;
	struct slu_shard *s;
	struct slu_op *op;
	unsigned refs; /* under n->lock */
	bool canceled, over;
	int64_t deadline;
	struct slu_nn_call info, blocks; /* calls under way; but for READ only the first */
	bool info_busy, blocks_busy;

	/* native_read.c */
	struct slu_hdfs_id id; /* the pinned one */
	struct slu_place *place;
	struct slu_block_read *reads;
	size_t nreads, next, busy;
	unsigned rounds;
	struct slu_timer *timer; /* between two rounds */
	int64_t asked_at;        /* when the identity was asked for */
	const char *back;        /* why it has to be handed back */
	bool back_file;          /* that is of this file alone */
	bool fresh;              /* other locations are wanted */
	bool slow; /* a DataNode failed otherwise than by refusing to be connected to */
	int rc;

	struct slu_nwrite *w; /* of an op that changes something, else NULL */
	struct slu_nsum *sum; /* of a STAT that wants a checksum, else NULL */
	bool acl;             /* of a STAT: has to be asked for */
};

/* --- native.c; loop thread --- */
void slu_nreq_end(struct slu_nreq *q, int rc);
/* "cannot VERB 'path' in 'hdfs://...': " and what op->err says already. */
void slu_nreq_explain(struct slu_nreq *q);
/* For another way to do it; nothing of it may have been done.  Said once: of the first file, where it is of the file. */
void slu_nreq_hand_back(struct slu_nreq *q, const char *why);
void slu_nreq_hand_back_file(struct slu_nreq *q, const char *why);
/* Sends a call in q->info; done() ends its being busy first. */
void slu_nreq_ask(struct slu_nreq *q, const char *method, const ProtobufCMessage *m,
		  void (*done)(struct slu_nn_call *c));
/* How long a NameNode may take to answer: while none ever did, the other way needs time as well. */
int64_t slu_nreq_patience(const struct slu_nreq *q);
/* Why an op whose call ended so is better handed back; NULL: it is not. */
const char *slu_nreq_closed(struct slu_nreq *q, const struct slu_nn_call *c);
/* Do the DataNodes want what is not ours to give?  Then data goes the other way. */
bool slu_native_locked_out(const struct slu_native *n);
/* root and path, to be freed; NULL: no memory. */
char *slu_native_path(const struct slu_native *n, const char *path);
int slu_native_stale(const struct slu_nreq *q, const char *now, struct slu_err *e); /* -ESTALE */

/* --- native_names.c --- */
void slu_native_stat(struct slu_nreq *q);
void slu_native_list(struct slu_nreq *q);
/* false: it is none that could be. */
bool slu_native_attr(const Slu__Pb__FileStatus *fs, struct slu_attr *ret,
		     struct slu_hdfs_id *ret_id);

/* --- native_sum.c --- */
/* The end of a STAT that wants a checksum: op->attr is there. */
void slu_native_sum(struct slu_nreq *q);
void slu_native_sum_cancel(struct slu_nreq *q); /* no call is under way */
void slu_native_sum_done(struct slu_nreq *q);   /* frees q->sum */

/* --- native_shun.c --- */
/* For a minute the DataNode (b NULL), or its replica of b, is asked last.  True: a replica of which
 * that was not known. */
bool slu_native_shun(struct slu_shard *s, const Slu__Pb__DatanodeInfo *d,
		     const Slu__Pb__LocatedBlock *b);
bool slu_native_shuns(struct slu_shard *s, const Slu__Pb__DatanodeInfo *d,
		      const Slu__Pb__LocatedBlock *b);
/* Tells of damaged replicas, a bit each of b's. */
void slu_native_report(struct slu_shard *s, const Slu__Pb__LocatedBlock *b, uint64_t which);
/* The shard may go on with its end; loop thread. */
void slu_native_close(void *closing);
/* A table that is full loses one that comes first. */
void slu_native_make_room(struct slu_hash *h, size_t max, void (*drop)(void *));

/* --- native_read.c --- */
void slu_native_read(struct slu_nreq *q);
void slu_native_read_cancel(struct slu_nreq *q);
void slu_native_read_done(struct slu_nreq *q); /* frees what a READ holds */
void slu_place_free(void *place);

#endif
