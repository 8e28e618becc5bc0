/* SPDX-License-Identifier: Apache-2.0 */
/* Where the blocks of a file are, as far as that was asked for.  Inside the native driver; on the loop's thread. */
#ifndef SLU_HDFS_NATIVE_PLACE_H
#define SLU_HDFS_NATIVE_PLACE_H

#include "common/vec.h"
#include "hdfs/ec.h"
#include "hdfs/native_impl.h"

/* The blocks of one file in one state, as far as they were asked for.  A place is never changed but for
 * what is added: reads point into it. */
struct slu_place {
	unsigned refs;
	int64_t made, checked; /* when it was asked for: it, the identity last */
	bool striped;          /* erasure-coded, so */
	struct slu_ec ec;
	SLU_VEC(Slu__Pb__GetBlockLocationsResponse *) parts;
};

/* The one of the pinned file that q reads, with a reference; NULL: there is none, or it is old. */
struct slu_place *slu_place_get(struct slu_nreq *q);
/* Adds an answer to q->place, which is made when it is NULL.  ec NULL: replicas.  0: m is taken over.  -EPROTO: the layout is
 * another now. */
int slu_place_add(struct slu_nreq *q, Slu__Pb__GetBlockLocationsResponse *m,
		  const struct slu_ec *ec, struct slu_err *e);
/* The block (or group) with this byte of the file; NULL: none that is known.  p may be NULL. */
const Slu__Pb__LocatedBlock *slu_place_block(const struct slu_place *p, uint64_t pos);
bool slu_place_covers(const struct slu_place *p, uint64_t pos, size_t len);
/* How far from pos, which is in b, one read goes: to the end of the block, or of its cell. */
uint64_t slu_place_end(const struct slu_place *p, const Slu__Pb__LocatedBlock *b, uint64_t pos);

#endif
