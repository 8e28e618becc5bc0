/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HDFS driver: a folder of a file system as a store, by Hadoop's RPC and data transfer where that is
 * possible (native.h), else by WebHDFS.  Identity is "<fileId>-<mtime ms>-<length>" in hex; a
 * pinned READ opens the inode, not the name, and looks at time and length again after the bytes are there
 * (natively: unless it did within a second): -ESTALE.  What that cannot see is truncate and append to the old length
 * within one millisecond, and natively between two looks.
 *
 * A PUT goes to `.sluice-<id>` beside the target, blocks to files in `.sluice-<txn>/`, joined by
 * CONCAT; nothing of that is listed.  When the length is what was sent, RENAME makes it visible: with
 * NONE for ABSENT, which is atomic, else with OVERWRITE.  A kill leaves at most such a file.
 *
 * Data is redirected to a DataNode: that step is made here, and no credential goes along but the
 * token that the NameNode put into the address.  Nothing blocks; completions run on the loops.
 */
#ifndef SLU_HDFS_HDFS_H
#define SLU_HDFS_HDFS_H

#include "fs/store.h"
#include "io/gss.h"

#include <stdbool.h>

struct slu_loops;
struct slu_pool;
struct slu_signin_gate;

/* By what it is reached: Hadoop's own protocols or WebHDFS. */
enum slu_hdfs_protocol {
	SLU_HDFS_AUTO, /* its own where rpc is known and answers */
	SLU_HDFS_NATIVE,
	SLU_HDFS_WEB
};

/* Copied by slu_hdfs_new. */
struct slu_hdfs_conf {
	const char *web; /* host:port of the NameNode's HTTP server; of several: joined by commas */
	const char *rpc; /* host[:port] of its RPC server, or servers; NULL: webhdfs:// URIs */
	const char *name; /* of several: the logical one, which URIs have; NULL: there is but one */
	const char
		*path; /* of URLs, before a file's; NULL: "/webhdfs/v1".  A gateway's is another */
	const char *doas; /* on behalf of whom; NULL: of the user */
	const char *csrf; /* the header against cross-site requests; NULL: "X-XSRF-HEADER" */
	/* What programs on Hadoop have to know to find `name`: an object; NULL: nothing. */
	const struct json_t *properties;
	const struct json_t *env; /* of Hadoop's programs; NULL: nothing */
	bool tls;
	bool plain_ok;               /* http beyond loopback is wanted */
	const char *root;            /* absolute path of the store's folder; NULL: "/" */
	const char *user;            /* user.name; NULL: none is sent */
	const char *token;           /* delegation token, sent instead of the user; NULL: none */
	const char *token_file;      /* where it was read; NULL: nowhere */
	const char *const *services; /* what tokens in it may be for (hdfs/token.h), NULL-ended */
	const struct slu_signin_gate *gate;  /* NULL: none; else neither user nor token is sent */
	const struct slu_gss_conf *kerberos; /* NULL: none; then neither user nor token is sent */
	const char *ca_file;                 /* NULL: the system's */
	bool hostnames;                      /* DataNodes are reached by name, natively */
	bool observers; /* of the NameNodes, that may answer what only reads, are asked */
	const char *domain_socket; /* of DataNodes on this machine (shortcircuit.h); NULL: none */
	enum slu_hdfs_protocol protocol;
};

/* Makes no request.  -EINVAL: a user, path or root that HDFS would refuse.  -ENOTSUP: no Kerberos.  Loops and pool stay
 * the caller's. */
int slu_hdfs_new(const struct slu_hdfs_conf *conf, struct slu_loops *loops, struct slu_pool *pool,
		 struct slu_store **ret, struct slu_err *e);

#endif
