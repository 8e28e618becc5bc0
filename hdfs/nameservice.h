/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a file system is, by Hadoop's configuration: a NameNode, or the NameNodes of a logical name
 * (dfs.nameservices), of which one is active.  What Hadoop's own clients derive from the same properties
 * (DFSUtilClient.java, HAUtilClient.java).
 */
#ifndef SLU_HDFS_NAMESERVICE_H
#define SLU_HDFS_NAMESERVICE_H

#include "hdfs/conf.h"

struct json_t;

#define SLU_NAMESERVICE_NODES 8

struct slu_nameservice {
	char *name; /* of hdfs:// URIs: the logical name, or host:port */
	char *rpc;  /* host:port of the RPC servers, joined by commas; NULL: none is known */
	char *web;  /* of their web servers, in the same order */
	bool tls;   /* the web servers speak https */
	bool logical;
};

void slu_nameservice_done(struct slu_nameservice *s); /* for SLU_AUTO(slu_nameservice_done) too */

/* which: a logical name, host[:port] or a URI; NULL: what fs.defaultFS says.  -EINVAL: it is none that sluice can
 * speak to (viewfs and others: the reason is said), or the configuration has not what it takes. */
int slu_nameservice_find(const struct slu_hconf *c, const char *which, struct slu_nameservice *ret,
			 struct slu_err *e);

/* The properties by which a program on Hadoop finds the NameNodes of a logical name: adds them to the object
 * conf.  others: further logical names, joined by commas, that it has to know still (NULL: none).  s->rpc or s->web may be
 * NULL.  -ENOMEM. */
int slu_nameservice_properties(const struct slu_nameservice *s, const char *others,
			       struct json_t *conf);

#endif
