/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading blocks from DataNodes by the data transfer protocol, version 28 (Sender.java, DataXceiver.java,
 * BlockSender.java, PacketHeader.java).  Every checksum is compared before its bytes count.  A connection
 * that ended a read well is used again.  One `struct slu_dn` a loop; everything on that loop's thread.
 */
#ifndef SLU_HDFS_DATANODE_H
#define SLU_HDFS_DATANODE_H

#include "common/err.h"
#include "hdfs/hdfs.pb-c.h"
#include "io/loop.h"
#include "io/pool.h"

#include <stdbool.h>
#include <stdint.h>

struct slu_dn;
struct slu_dn_conn;
struct slu_dn_trust;

/* trust NULL: data transfer is not protected. */
int slu_dn_new(struct slu_loop *loop, struct slu_pool *pool, struct slu_dn_trust *trust,
	       const char *client, struct slu_dn **ret);
void slu_dn_free(struct slu_dn *dn); /* no read in flight; NULL fine */

/* A range of one replica.  In the caller's memory until done(). */
struct slu_dn_read {
	const Slu__Pb__ExtendedBlock *block;
	const Slu__Pb__Token *token;
	const Slu__Pb__DatanodeInfo *node; /* all three live until done() */
	uint64_t off;                      /* in the block */
	size_t len;
	char *buf;
	int64_t deadline;
	int64_t patience; /* ns without a byte after which another one is better asked; 0: 15 s */
	void (*done)(struct slu_dn_read *rd);
	void *user;

	/* 0: all is there and right.  -EBADMSG: a checksum says otherwise.  -EKEYEXPIRED: the block's token.
	 * -ENOENT: the DataNode has not these bytes of the block, in that state.  Else the way to it failed. */
	int rc;
	struct slu_err err;
	size_t good; /* so many bytes of buf are right, also after a failure */

	struct slu_dn_conn *conn; /* datanode.c only */
};

void slu_dn_read(struct slu_dn *dn, struct slu_dn_read *rd);
void slu_dn_cancel(struct slu_dn_read *rd); /* done() comes inside or soon */

#endif
