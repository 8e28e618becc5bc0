/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As whom WebHDFS is asked: by name, by a delegation token that was given, or by Kerberos (SPNEGO, RFC 4559).  By
 * Kerberos a server is signed in to once; after that its cookie says who we are.  For what leads to a DataNode a
 * delegation token is got, since the NameNode would make one for each such request; it is renewed at half of its life
 * and cancelled at the end.
 *
 * A gateway (Knox) is told who we are by a header, a user with a password or a token, and sets cookies; it speaks for us
 * to the servers behind it.
 */
#ifndef SLU_HDFS_SIGNIN_H
#define SLU_HDFS_SIGNIN_H

#include "common/err.h"

#include <stdbool.h>

struct json_t;
struct slu_gss;
struct slu_loops;
struct slu_pool;
struct slu_signin;

struct slu_xfer;

/* Who we are at a gateway. */
struct slu_signin_gate {
	const char *user;   /* NULL: the secret is a bearer token */
	const char *secret; /* his password, or the token */
	const char *file;   /* where it was read, and is again when it is refused; NULL: nowhere */
};

struct slu_signin_conf {
	const char *user;  /* NULL: nobody is named */
	const char *token; /* as text; NULL: none */
	const char
		*token_file; /* where it was read; read again when it is refused.  NULL: nowhere */
	const char *const *services;        /* what token.h calls a token in it by; NULL-ended */
	const struct slu_signin_gate *gate; /* NULL: no gateway, or one that asks for nothing */
	struct slu_gss *gss;                /* NULL: no Kerberos; else stays the caller's */
	struct slu_loops *loops;
	struct slu_pool *pool;
	const char *ca_file;
	const char *csrf; /* a header against cross-site requests */
	bool plain_ok;
};

/* Copies what it is told; asks nobody. */
int slu_signin_new(const struct slu_signin_conf *conf, struct slu_signin **ret, struct slu_err *e);
/* Cancels the token that it got, which takes a few seconds at most.  Nobody waits any more; NULL fine. */
void slu_signin_free(struct slu_signin *s);

/* What goes along with one request.  In the caller's memory until done(). */
struct slu_signin_wait {
	const char *base; /* "http://host:port/webhdfs/v1"; lives as long */
	bool data;        /* the request leads to a DataNode */
	void (*done)(struct slu_signin_wait *w);
	void *user;

	int rc; /* 0 or -errno, in err why */
	struct slu_err err;
	char *query;         /* "", "&user.name=x", "&delegation=x" */
	char *cookie;        /* a header, or NULL */
	char *authorization; /* the same */

	struct slu_signin_wait *next; /* signin.c only */
};

/* done() may come inside; else on a thread of the pool. */
void slu_signin_get(struct slu_signin *s, struct slu_signin_wait *w);
/* A server does not take what w got.  True: there is something else, to be had by another get. */
bool slu_signin_refused(struct slu_signin *s, const struct slu_signin_wait *w);
/* An answer of the server at base: the cookies of a gateway are kept. */
void slu_signin_seen(struct slu_signin *s, const char *base, const struct slu_xfer *x);
/* What a 401 means here: -EACCES, or 0: Kerberos is wanted.  wanted: its WWW-Authenticate, or NULL. */
int slu_signin_unauthorized(const struct slu_signin *s, const char *wanted, struct slu_err *e);
void slu_signin_wait_done(struct slu_signin_wait *w); /* wipes and frees the result */

/* For a person who looks for a mistake (fs/store.h, inspect).  Waits. */
int slu_signin_inspect(struct slu_signin *s, struct json_t *ret, struct slu_err *e);

/* The token in a file (token.h), as text: the caller wipes and frees it.  Blocks. */
int slu_signin_read_token(const char *path, const char *const *services, bool strict, char **ret,
			  struct slu_err *e);

#endif
