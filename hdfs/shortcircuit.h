/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of a DataNode on this machine, read from its own files: it hands their descriptors over a Unix socket
 * (REQUEST_SHORT_CIRCUIT_FDS of DataXceiver.java), and each checksum of what is read is compared with its meta
 * file.  Without shared memory: descriptors are kept five minutes at most and dropped after any mistake.
 */
#ifndef SLU_HDFS_SHORTCIRCUIT_H
#define SLU_HDFS_SHORTCIRCUIT_H

#include "hdfs/datanode.h"

struct slu_sc; /* of all loops */

/* path: dfs.domain.socket.path, "_PORT" in it stands for the DataNode's port. */
int slu_sc_new(const char *path, struct slu_pool *pool, struct slu_sc **ret);
void slu_sc_free(struct slu_sc *sc); /* no read in flight; NULL fine */

/* False: that is no way to this replica.  Else done() comes on the loop, whether it was read so or, when that
 * failed, by slu_dn_read(). */
bool slu_sc_read(struct slu_sc *sc, struct slu_loop *loop, struct slu_dn *dn,
		 struct slu_dn_read *rd);

#endif
