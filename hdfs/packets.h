/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a DataNode sends when a block is read, checked while it is received: BlockOpResponseProto and packets of
 * data transfer version 28 (PacketReceiver.java, PacketHeader.java, BlockSender.java).  Every checksum is
 * compared before its bytes count.  No I/O; one thread.
 */
#ifndef SLU_HDFS_PACKETS_H
#define SLU_HDFS_PACKETS_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define SLU_PACKETS_PRE (8u << 10)
#define SLU_PACKETS_IOV 4
#define SLU_PACKETS_END 2

struct slu_packets {
	const char *who; /* the DataNode, for messages; these three are the caller's to set */
	uint64_t block;
	struct slu_err *err;
	size_t good;   /* so many bytes of the range are there and right, also after a failure */
	bool answered; /* the DataNode has taken the request on, or refused it */

	/* packets.c only */
	uint64_t off;
	size_t len;
	char *buf;
	int phase;
	int type;                   /* of the checksums */
	size_t chunk;               /* bytes under one checksum; 0: there are none */
	uint64_t at;                /* where in the block the packet begins */
	uint64_t pos;               /* in the block: so far its data has come */
	size_t data, nsums, sums_n; /* bytes of the packet; checksum bytes that have come */
	bool last;
	size_t want; /* bytes of data that slu_packets_room() made room for */
	uint8_t *sums;
	size_t sums_cap;
	uint8_t *edge; /* chunk bytes before the range, then as many behind it */
	uint8_t pre[SLU_PACKETS_PRE];
	size_t pre_off, pre_len;
};

/* For the range [off, off + len) of the block, len > 0.  Of a zeroed one, or one used before. */
void slu_packets_begin(struct slu_packets *c, uint64_t off, size_t len, char *buf);
/* Where the next bytes are to be received: how many parts. */
int slu_packets_room(struct slu_packets *c, struct iovec iov[SLU_PACKETS_IOV]);
/* n > 0 bytes were.  0: more has to come; SLU_PACKETS_END: all is there and right; -errno with *err: -EBADMSG
 * a checksum, -EKEYEXPIRED the block's token, -ENOENT the DataNode has not these bytes; -EPROTO and -ENOMEM
 * without *err. */
int slu_packets_got(struct slu_packets *c, size_t n);
/* Has more come than belongs to the answer? */
bool slu_packets_left(const struct slu_packets *c);
void slu_packets_done(struct slu_packets *c); /* frees what it holds */

#endif
