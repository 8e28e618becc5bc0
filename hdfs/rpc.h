/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of Hadoop RPC, version 9: calls of ClientProtocol, many at a time, told apart by number.
 * Connects with the first call and again after an end; closes when idle.  Facts: Client.java and
 * Server.java of org.apache.hadoop.ipc, RpcHeader.proto.  Everything here runs on the loop's thread.
 */
#ifndef SLU_HDFS_RPC_H
#define SLU_HDFS_RPC_H

#include "common/buf.h"
#include "common/err.h"
#include "hdfs/rpc_sign.h"
#include "io/loop.h"
#include "io/pool.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#define SLU_RPC_CLIENT_ID 16

struct slu_rpc;

/* Borrowed: they live longer than the connection. */
struct slu_rpc_conf {
	struct slu_loop *loop;
	struct slu_pool *pool;
	const char *host;
	uint16_t port;
	const char *user;              /* as whom, with simple authentication */
	const struct slu_rpc_who *who; /* NULL: that */
	const uint8_t
		*client_id; /* of the process: with a call's id, what the retry cache knows it by */
};

struct slu_rpc_call {
	const char *method;
	const void *msg; /* the packed request; the caller's until done() */
	size_t msg_len;
	int32_t id, retry; /* a call that is sent again keeps its id and counts up */
	int64_t deadline;  /* slu_now ns */
	int64_t state;     /* the transaction that is to be known there; 0: any */
	void (*done)(struct slu_rpc_call *c);
	void *user;

	/* 0 or -errno.  Refused by the server: err.svc is the Java class without its package.  Else with
	 * `sent`: nobody knows whether it was executed. */
	int rc;
	struct slu_err err;
	bool sent;
	int64_t seen;        /* the transaction that the server knows; 0: it does not say */
	const uint8_t *resp; /* the packed answer, inside done() only */
	size_t resp_len;

	struct slu_rpc_call *prev, *next; /* rpc.c only */
};

int slu_rpc_new(const struct slu_rpc_conf *conf, struct slu_rpc **ret);
void slu_rpc_send(struct slu_rpc *r, struct slu_rpc_call *c);   /* done() may come inside */
void slu_rpc_cancel(struct slu_rpc *r, struct slu_rpc_call *c); /* done() comes inside */
/* Since when nothing has come, while calls wait (slu_now ns); 0: none waits. */
int64_t slu_rpc_quiet(const struct slu_rpc *r);
/* Ends the connection, and with it all calls, with what `why` says.  Not one that is being made: that has a
 * limit of its own. */
void slu_rpc_give_up(struct slu_rpc *r, const struct slu_err *why);
void slu_rpc_free(struct slu_rpc *r); /* calls end with -ECANCELED; NULL fine */

/* A message behind its length as a varint: what frames and data transfer are made of. */
void slu_pb_add(struct slu_buf *b, const void *msg, size_t n);
/* The same of a message that is packed for it; b fails when there is no memory. */
void slu_pb_message(struct slu_buf *b, const ProtobufCMessage *m);
/* Reads a varint of at most 5 bytes: how many bytes it took, 0: there is more to come, -EPROTO. */
int slu_pb_varint(const uint8_t *p, size_t n, uint32_t *ret);

/* Lengths of frames and packets. */
static inline uint32_t slu_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

#endif
