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
#define SLU_NN_ADDRESS 264 /* of a message */

/* Observers answer what only reads, each as far as it knows the edits: it waits until that is as far as we have seen. */
struct slu_nn_observers {
	bool wanted;         /* the caller's to set, after init */
	atomic_uint which;   /* a bit a NameNode */
	atomic_llong asked;  /* when they were asked what they are */
	atomic_llong state;  /* the last transaction that we have seen */
	atomic_llong synced; /* when the active one last said which is its last */
	atomic_uint turn;
	int64_t wait_ns; /* for one that lags behind; 0: as it should be */
};

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
	atomic_llong
		silent[SLU_NN_MAX]; /* pulse.c: counts as standing still until then; 0: does not */
	struct slu_nn_observers observers;
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
	int64_t until;    /* how long others are tried */
	int64_t deadline; /* with `observing`: of the whole call */
	bool observing;
	struct slu_timer *timer;
	void *msg;
};

/* Packs and sends it; done() may come inside. */
void slu_nn_send(struct slu_nn *nn, struct slu_nn_call *c, const char *method,
		 const ProtobufCMessage *request, int64_t deadline);
void slu_nn_cancel(struct slu_nn_call *c); /* done() comes inside */

/* observer.c */
/* Where c, a call that is not sent yet, may be answered by an observer: true, and it goes there. */
bool slu_nn_observe(struct slu_nn_set *set, struct slu_nn_call *c);
/* An observer could not: false, it did, or what it said stands.  Else the active one is to be asked. */
bool slu_nn_observed(struct slu_nn_set *set, struct slu_nn_call *c);
/* The active one has answered. */
void slu_nn_synced(struct slu_nn_set *set, struct slu_nn_call *c);
struct slu_rpc *slu_nn_rpc(struct slu_nn *nn, unsigned i); /* NULL: no memory */

/* pulse.c: which of the NameNodes that have calls of this loop stand still. */
struct slu_pulse;
int slu_pulse_new(struct slu_nn *nn, struct slu_nn_set *set, struct slu_loop *loop,
		  struct slu_pulse **ret);
void slu_pulse_feel(struct slu_pulse *p); /* a call was sent */
/* The address of one that stands still, as a message has it: false, none does. */
bool slu_pulse_silent(struct slu_nn_set *set, char *buf, size_t n);
void slu_pulse_free(struct slu_pulse *p); /* after the connections; NULL fine */

#endif
