/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing one block through a pipeline of DataNodes by the data transfer protocol, version 28
 * (DataStreamer.java, BlockReceiver.java, PipelineAckProto).  All bytes of the block are in memory, so a
 * pipeline that breaks is not mended: the caller gives the block up and writes another one without the
 * DataNode that failed.  Everything on one loop's thread.
 */
#ifndef SLU_HDFS_PIPELINE_H
#define SLU_HDFS_PIPELINE_H

#include "common/err.h"
#include "hdfs/hdfs.pb-c.h"
#include "io/loop.h"
#include "io/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slu_dn_trust;
struct slu_pipe_conn;

/* In the caller's memory until done(). */
struct slu_pipe {
	struct slu_loop *loop;
	struct slu_pool *pool;
	struct slu_dn_trust *trust;         /* NULL: data transfer is not protected */
	const char *client;                 /* who holds the lease */
	const Slu__Pb__LocatedBlock *block; /* with the DataNodes, nearest first; at least one */
	const void *data;
	size_t len;
	uint32_t sum_type, chunk; /* 1: CRC32, 2: CRC32C, each of so many bytes */
	bool sync;                /* on disk before it counts as written */
	int64_t deadline;
	int64_t patience; /* ns that nothing moves before the DataNodes are asked who is alive; 0: some seconds */
	void (*done)(struct slu_pipe *p);
	void *user;

	/* 0: every DataNode of the pipeline has all of it.  -EKEYEXPIRED: the block's token.  Else the
	 * pipeline broke, at the DataNode with this number. */
	int rc;
	struct slu_err err;
	unsigned bad;
	uint64_t
		still; /* all that stand still, a bit each: bad is the first of them; 0: that is not why */

	struct slu_pipe_conn *conn; /* pipeline.c only */
};

void slu_pipe_start(struct slu_pipe *p);  /* done() may come inside */
void slu_pipe_cancel(struct slu_pipe *p); /* done() comes inside or soon */

/* What a DataNode answers while a block is written, apart from sockets: bytes as they come. */
struct slu_acks {
	const char *who; /* for messages */
	struct slu_err *err;
	unsigned nodes; /* of the pipeline */
	int64_t last;   /* number of the last packet */
	bool ready;     /* the pipeline stands: data may be sent */
	int64_t acked;  /* the newest packet that all have, -1: none */
	unsigned bad;   /* after a failure */
	char **names;   /* "ip:port" of the nodes, as the first bad one is named */
	uint8_t buf[4096];
	size_t n;
};

#define SLU_ACKS_END 1

/* Where the next bytes go, and how many at most. */
static inline uint8_t *slu_acks_room(struct slu_acks *a, size_t *ret_n)
{
	*ret_n = sizeof(a->buf) - a->n;
	return a->buf + a->n;
}
/* n bytes came.  0: go on; SLU_ACKS_END: the last packet is everywhere; -errno with *err. */
int slu_acks_got(struct slu_acks *a, size_t n);

#endif
