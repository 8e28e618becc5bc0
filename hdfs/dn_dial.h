/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to DataNodes, with SASL where the cluster protects its data transfer: by the NameNode's key where that
 * encrypts all, else by the block's token (SaslDataTransferClient.java, DataTransferSaslUtil.java).  Whoever dials gets a descriptor that plain data transfer is
 * spoken on: what is protected goes through a relay on the same loop, which costs a copy and only there.  Loop thread.
 */
#ifndef SLU_HDFS_DN_DIAL_H
#define SLU_HDFS_DN_DIAL_H

#include "common/buf.h"
#include "hdfs/dn_key.h"
#include "hdfs/hdfs.pb-c.h"
#include "io/dial.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* What DataNodes of one cluster want is found out by the first one that answers. */
enum slu_dn_way {
	SLU_DN_UNKNOWN, /* SASL is tried; a DataNode without it hangs up */
	SLU_DN_PLAIN,
	SLU_DN_SASL,
	SLU_DN_CANNOT /* it wants a protection that we do not know */
};

struct slu_dn_relay;

/* The same for all loops. */
struct slu_dn_trust {
	atomic_int way;
	bool hostnames; /* DataNodes are reached by their names; the caller's to set, after init */
	struct slu_dn_keys keys;
	pthread_mutex_t lock; /* relays */
	struct slu_dn_relay *relays;
};

/* secured: the NameNode was signed in to; without that nobody does SASL. */
void slu_dn_trust_init(struct slu_dn_trust *t, bool secured);
/* On the loop's thread, when nothing of it is used any more. */
void slu_dn_trust_close(struct slu_dn_trust *t, const struct slu_loop *loop);
void slu_dn_trust_done(struct slu_dn_trust *t);

/* In the caller's memory until dial.done() is called, which gets &dial. */
struct slu_dn_dial {
	struct slu_dial dial; /* filled in as dial.h says */
	struct slu_dn_trust *trust;
	const Slu__Pb__DatanodeID *id; /* whose it is; this and the token live until done() */
	const Slu__Pb__Token *token;   /* of the block */

	/* dn_dial.c only */
	void (*done)(struct slu_dial *d);
	void *user;
	struct slu_sasl *sasl;
	struct slu_watch *watch;
	struct slu_timer *timer;
	struct slu_buf in, out;
	int steps;
	struct slu_dn_key_wait wait; /* its key: with which it talks */
	bool heard, talking, plain, waiting, again;
};

void slu_dn_dial_start(struct slu_dn_dial *d);
void slu_dn_dial_cancel(struct slu_dn_dial *d); /* done() comes inside or soon */

/* dn_relay.c: what protects a connection. */
struct slu_dn_codec {
	struct slu_sasl *sasl;       /* by messages, each behind its length; NULL: by the ciphers */
	struct slu_cipher *in, *out; /* all owned */
};
void slu_dn_codec_done(struct slu_dn_codec *c);
/* Takes fd and *c over on success: what is written to *ret_fd goes protected to fd, and back.  0 or -errno. */
int slu_dn_relay_new(struct slu_dn_trust *t, struct slu_loop *loop, int fd, struct slu_dn_codec *c,
		     int *ret_fd);

#endif
