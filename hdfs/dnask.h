/* SPDX-License-Identifier: Apache-2.0 */
/* One question to a DataNode that a single message answers, on a connection of its own.  On the loop's thread. */
#ifndef SLU_HDFS_DNASK_H
#define SLU_HDFS_DNASK_H

#include "common/buf.h"
#include "common/err.h"
#include "hdfs/dn_dial.h"
#include "hdfs/hdfs.pb-c.h"

#define SLU_DN_ANSWER 4096

/* In the caller's memory until done(). */
struct slu_dn_ask {
	struct slu_loop *loop;
	struct slu_pool *pool;
	struct slu_dn_trust *trust;  /* NULL: data transfer is not protected */
	const Slu__Pb__Token *token; /* of the block */
	const Slu__Pb__DatanodeInfo *node;
	const void *request; /* with version and op */
	size_t request_len;
	int64_t deadline;
	void (*done)(struct slu_dn_ask *a);
	void *user;

	/* 0, -EKEYEXPIRED: the block's token; -EREMOTEIO: refused; else the way there failed. */
	int rc;
	struct slu_err err;
	Slu__Pb__BlockOpResponse *answer; /* the caller's when rc is 0 */

	/* dnask.c only */
	struct slu_dn_dial dial;
	char host[64];
	int fd;
	struct slu_watch *watch;
	struct slu_timer *timer;
	uint8_t buf[SLU_DN_ANSWER];
	size_t n;
};

void slu_dn_ask(struct slu_dn_ask *a);        /* done() may come inside */
void slu_dn_ask_cancel(struct slu_dn_ask *a); /* done() comes inside or soon */
/* What stands before a request's message: the version and the op. */
void slu_dn_request(struct slu_buf *b, uint8_t op, const ProtobufCMessage *m);

#endif
