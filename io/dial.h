/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a TCP connection without blocking a loop: the name is looked up in the pool, its addresses are
 * tried one after the other. */
#ifndef SLU_IO_DIAL_H
#define SLU_IO_DIAL_H

#include "common/err.h"
#include "io/loop.h"
#include "io/pool.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

/* In the caller's memory until done() is called. */
struct slu_dial {
	struct slu_loop *loop;
	struct slu_pool *pool;
	const char *host; /* name or address; must live as long */
	uint16_t port;
	int64_t deadline;                 /* slu_now ns */
	void (*done)(struct slu_dial *d); /* on the loop's thread; may free d */
	void *user;

	int fd; /* non-blocking, close-on-exec, without Nagle's delay: the receiver's; -1: see rc */
	int rc; /* 0 or -errno, in err "cannot reach 'host:port': ..." */
	struct slu_err err;

	/* dial.c only */
	struct slu_work work;
	struct addrinfo *found;
	const struct addrinfo *next;
	struct slu_watch *watch;
	struct slu_timer *timer;
	int lookup; /* getaddrinfo's result */
	bool canceled, looking;
};

/* Fields above the line are filled in; the rest is zero.  On the loop's thread. */
void slu_dial_start(struct slu_dial *d);
/* done() comes soon, with -ECANCELED.  On the loop's thread, before done(). */
void slu_dial_cancel(struct slu_dial *d);

#endif
