/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing in on a connection of Hadoop RPC (SaslRpcClient.java, SaslRpcServer.java, RpcHeader.proto), and what protects its
 * frames afterwards.  Part of rpc.c; everything on its loop's thread, only that what asks a KDC waits in the pool.
 */
#ifndef SLU_HDFS_RPC_SIGN_H
#define SLU_HDFS_RPC_SIGN_H

#include "common/buf.h"
#include "common/err.h"
#include "io/loop.h"
#include "io/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slu_gss;

/* Who we are; a token goes before Kerberos.  Borrowed. */
struct slu_rpc_who {
	struct slu_gss *gss;
	const char *token_name, *token_password; /* base64 of identifier and password */
};

struct slu_rpc_sign;

struct slu_rpc_sign_conf {
	const struct slu_rpc_who *who;
	struct slu_loop *loop;
	struct slu_pool *pool;
	const char *host; /* who is asked; lives as long */
	/* Something is in out to be sent; or signed in; or -errno.  May free it. */
	void (*event)(void *user, int rc, const struct slu_err *e);
	void *user;
};

int slu_rpc_sign_new(const struct slu_rpc_sign_conf *conf, struct slu_rpc_sign **ret);
void slu_rpc_sign_free(struct slu_rpc_sign *s); /* no event comes any more; NULL fine */
/* What a connection begins with, into out. */
void slu_rpc_sign_begin(struct slu_rpc_sign *s, struct slu_buf *out);
/* A frame has come, without its length; event() comes inside or later.  Not after slu_rpc_sign_over(). */
void slu_rpc_sign_frame(struct slu_rpc_sign *s, const uint8_t *p, size_t n);
/* What there is to send now is appended to out. */
void slu_rpc_sign_take(struct slu_rpc_sign *s, struct slu_buf *out);
bool slu_rpc_sign_over(const struct slu_rpc_sign *s); /* signed in */
/* Are frames protected from now on? */
bool slu_rpc_sign_seals(const struct slu_rpc_sign *s);
/* The bytes of out behind at become protected frames. */
int slu_rpc_sign_seal(struct slu_rpc_sign *s, struct slu_buf *out, size_t at, struct slu_err *e);
/* What a frame protects is appended to out. */
int slu_rpc_sign_open(struct slu_rpc_sign *s, const uint8_t *p, size_t n, struct slu_buf *out,
		      struct slu_err *e);

#endif
