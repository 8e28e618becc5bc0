/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading from a group of erasure-coded blocks: a range of one cell from the block that it lies in, or, when that is gone, from
 * as many others as it takes.  On the loop's thread.
 */
#ifndef SLU_HDFS_STRIPED_H
#define SLU_HDFS_STRIPED_H

#include "hdfs/datanode.h"
#include "hdfs/ec.h"
#include "hdfs/shortcircuit.h"

struct slu_stripe_part;

/* In the caller's memory, zeroed before its first use, until slu_stripe_done(). */
struct slu_stripe {
	struct slu_loop *loop;
	struct slu_dn *dn;
	struct slu_sc *sc; /* NULL: no local replicas */
	const struct slu_ec *ec;
	const Slu__Pb__LocatedBlock *group; /* both live as long */
	uint64_t off;                       /* in the group */
	size_t len;                         /* up to the end of the cell at most */
	char *buf;
	int64_t deadline;
	/* Is this DataNode, or its replica of the block, to be asked last? */
	bool (*avoid)(void *user, const Slu__Pb__DatanodeInfo *d, const Slu__Pb__ExtendedBlock *b);
	void (*failed)(void *user, const struct slu_dn_read *rd); /* one of the blocks, so */
	void (*done)(struct slu_stripe *t);
	void *user;

	/* 0, or -errno: no more blocks are left, or -EKEYEXPIRED: their tokens, -ECANCELED, -ENOMEM. */
	int rc;
	struct slu_err err;
	size_t good; /* so many bytes are there, also after a failure */

	/* striped.c only */
	uint64_t bad; /* a bit a unit */
	struct slu_stripe_part *parts;
	unsigned nparts, busy;
	size_t piece;
	bool decoding, canceled;
	uint8_t weight[SLU_EC_UNITS];
	uint8_t *room;
};

void slu_stripe_read(struct slu_stripe *t);   /* done() may come inside */
void slu_stripe_cancel(struct slu_stripe *t); /* done() comes inside or soon */
void slu_stripe_done(struct slu_stripe *t);   /* frees what it holds */

#endif
