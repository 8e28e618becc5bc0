/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All ops by Hadoop's own protocols: RPC to the NameNodes, data transfer from and to the DataNodes.
 * What it cannot do (files of encryption zones, writing erasure-coded ones, NameNodes whose RPC port
 * does not answer) it hands back, for WebHDFS.
 */
#ifndef SLU_HDFS_NATIVE_H
#define SLU_HDFS_NATIVE_H

#include "fs/store.h"
#include "hdfs/rpc_sign.h"

struct slu_loops;
struct slu_native;

struct slu_native_conf {
	const char *namenodes; /* "host:port", several joined by commas */
	const char *root;      /* "" or "/a/b" */
	const char *user;
	const struct slu_rpc_who *who; /* NULL: the user, unproven; the caller's, lives as long */
	const char *where;             /* what messages call the file system: "hdfs://..." */
	bool hostnames;                /* DataNodes are reached by name, not by address */
	bool observers;                /* those among the NameNodes are asked as well */
	const char *domain_socket;     /* of DataNodes on this machine; NULL: none */
	bool only;                     /* nothing is handed back but what it cannot do at all */
	struct slu_loops *loops;
	struct slu_pool *pool;
	/* Takes an op that is handed back. */
	void (*hand_back)(void *user, struct slu_op *op);
	void *user_data;
};

int slu_native_new(const struct slu_native_conf *conf, struct slu_native **ret, struct slu_err *e);
/* Any thread.  False: not for it, nothing was done. */
bool slu_native_submit(struct slu_native *n, struct slu_op *op);
/* Why ops are handed back now, NULL: they are not. */
const char *slu_native_closed(const struct slu_native *n);
bool slu_native_cancel(struct slu_native *n, struct slu_op *op); /* false: it is not there */
void slu_native_free(struct slu_native *n); /* no op in flight; not on a loop's thread; NULL fine */

#endif
