/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key by which a cluster encrypts all that goes to and from its DataNodes (dfs.encrypt.data.transfer): the NameNode
 * says whether it does, and gives the key, which lives some hours.  (DataEncryptionKey.java, DFSClient.java)
 */
#ifndef SLU_HDFS_DN_KEY_H
#define SLU_HDFS_DN_KEY_H

#include "common/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct slu_loop;
struct slu_nn;

struct slu_dn_key {
	atomic_uint refs;
	char *name, *password; /* of DIGEST-MD5 */
	int64_t until;
};
struct slu_dn_key *slu_dn_key_ref(struct slu_dn_key *k);
void slu_dn_key_unref(struct slu_dn_key *k); /* NULL fine */

/* What all loops know. */
struct slu_dn_keys {
	pthread_mutex_t lock;
	struct slu_dn_key *key;     /* the one in use */
	int64_t plain_until;        /* nothing is encrypted, and nobody is asked till then */
	struct slu_dn_asker *asker; /* one a loop */
};

void slu_dn_keys_init(struct slu_dn_keys *k);
void slu_dn_keys_done(struct slu_dn_keys *k);
/* A DataNode does not know it (any more). */
void slu_dn_key_refused(struct slu_dn_keys *k, const struct slu_dn_key *key);

/* Asks on behalf of one loop.  The rest of this file is for its thread, but for new. */
struct slu_dn_asker;
int slu_dn_asker_new(struct slu_dn_keys *k, struct slu_loop *loop, struct slu_nn *nn,
		     struct slu_dn_asker **ret);
void slu_dn_asker_free(struct slu_dn_asker *a); /* nobody waits; NULL fine */

/* In the caller's memory until done(). */
struct slu_dn_key_wait {
	void (*done)(struct slu_dn_key_wait *w);

	int rc; /* 0 or -errno, in err why */
	struct slu_err err;
	struct slu_dn_key *key; /* the caller's; NULL: data is not encrypted so */

	/* dn_key.c only */
	struct slu_dn_asker *asker; /* NULL: it does not wait */
	struct slu_dn_key_wait *next;
};

/* done() may come inside. */
void slu_dn_key_get(struct slu_dn_keys *k, struct slu_loop *loop, struct slu_dn_key_wait *w);
/* True: it waited, and done() will not come. */
bool slu_dn_key_cancel(struct slu_dn_key_wait *w);

#endif
