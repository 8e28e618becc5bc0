/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of ClientProtocol to the NameNodes of one file system: which of them is active, what is sent again,
 * and where.  A call that may have been executed is sent again with its id and a higher count, by which
 * the NameNode's retry cache knows it: it is executed once.  (RetryCache.java, RetryInvocationHandler.java,
 * and the defaults of dfs.client.failover.*)
 */
#ifndef SLU_HDFS_NAMENODE_H
#define SLU_HDFS_NAMENODE_H

#include "common/cleanup.h"
#include "hdfs/hdfs.pb-c.h"
#include "hdfs/rpc.h"

#include <stdatomic.h>

#define SLU_NN_MAX 8

/* The same for all loops. */
struct slu_nn_set {
	struct slu_pool *pool;
	struct {
		char *host;
		uint16_t port;
	} at[SLU_NN_MAX];
	unsigned n;
	char *user;
	const struct slu_rpc_who
		*who; /* NULL: the user, unproven; the caller's to set, after init */
	uint8_t client_id[SLU_RPC_CLIENT_ID];
	atomic_int next_id;
	atomic_uint active; /* the one that answered last */
	atomic_bool heard;  /* one has answered some time */
};

/* addresses: "host:port" or "host" (8020), joined by commas.  -EINVAL. */
int slu_nn_set_init(struct slu_nn_set *s, const char *addresses, const char *user,
		    struct slu_pool *pool, struct slu_err *e);
void slu_nn_set_done(struct slu_nn_set *s);

struct slu_nn; /* of one loop; everything below on its thread */

int slu_nn_new(struct slu_nn_set *set, struct slu_loop *loop, struct slu_nn **ret);
void slu_nn_free(struct slu_nn *nn); /* no call in flight; NULL fine */

/* In the caller's memory until done(). */
struct slu_nn_call {
	struct slu_rpc_call rpc; /* rc, err, resp: as rpc.h says */
	void (*done)(struct slu_nn_call *c);
	void *user;

	/* namenode.c only */
	struct slu_nn *nn;
	unsigned at, moves, again;
	int64_t until; /* how long others are tried */
	struct slu_timer *timer;
	void *msg;
};

/* Packs and sends it; done() may come inside. */
void slu_nn_send(struct slu_nn *nn, struct slu_nn_call *c, const char *method,
		 const ProtobufCMessage *request, int64_t deadline);
void slu_nn_cancel(struct slu_nn_call *c); /* done() comes inside */

#endif
