/* SPDX-License-Identifier: Apache-2.0 */
/* The two files of a replica: its bytes, and their checksums behind a header of seven bytes.  (BlockMetadataHeader.java)
 * Any thread; blocks. */
#ifndef SLU_HDFS_REPLICA_H
#define SLU_HDFS_REPLICA_H

#include <stddef.h>
#include <stdint.h>

struct slu_replica {
	int data, meta; /* descriptors, the caller's */
	int type;       /* of the checksums: 1 CRC32, 2 CRC32C */
	size_t chunk;   /* bytes of each */
	uint64_t size;  /* of the block */
};

/* Reads the header, and looks whether these can be the files of a block of that many bytes.  -EPROTO. */
int slu_replica_open(struct slu_replica *r, int data, int meta, uint64_t size);
/* Reads [off, off + len) and compares each checksum.  -EBADMSG, -errno. */
int slu_replica_read(const struct slu_replica *r, uint64_t off, size_t len, char *buf);
/* Asks at the socket for the replica's descriptors.  request: version, op and message.  0, -ENOTSUP: the DataNode does
 * not do that; -EACCES: others could stand in for it; -errno. */
int slu_replica_ask(const char *socket, const void *request, size_t len, int ret_fds[2]);

#endif
