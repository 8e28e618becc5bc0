/* SPDX-License-Identifier: Apache-2.0 */
/* Between signin.c (what is held, who waits), signin_ask.c (what is asked of the servers) and signin_gate.c (gateways). */
#ifndef SLU_HDFS_SIGNIN_IMPL_H
#define SLU_HDFS_SIGNIN_IMPL_H

#include "hdfs/signin.h"
#include "io/pool.h"

#include <pthread.h>
#include <stdint.h>

struct slu_timer;

struct slu_signin_cookie {
	char *base, *header;
	struct slu_signin_cookie *next;
};

struct slu_signin {
	struct slu_gss *gss;
	struct slu_loops *loops;
	struct slu_pool *pool;
	char *user; /* "" or "&user.name=x" */
	char *token_file, *ca_file, *csrf;
	char *gate_user, *gate_file; /* signin_gate.c */
	char **services;
	bool plain_ok;
	struct slu_work work, renewal;
	struct slu_timer *timer; /* of the renewal; NULL without Kerberos */

	pthread_mutex_t lock; /* everything below */
	pthread_cond_t idle;
	bool busy, renewing, closing;
	struct slu_signin_wait *waiting;
	struct slu_signin_cookie *cookies;
	char *gate;               /* a header, NULL: none */
	char *token, *token_base; /* base: where it was got */
	int64_t token_again;      /* slu_now ns: no server is asked for one before */
};

struct slu_signin_got {
	char *cookie; /* a header */
	char *token;  /* NULL: there is none */
	bool asked;   /* for a token */
};

/* All by Kerberos, waiting.  0 or -errno. */
int slu_signin_ask(struct slu_signin *s, const char *base, bool token, struct slu_signin_got *ret,
		   struct slu_err *e);
int slu_signin_renew(struct slu_signin *s, const char *base, const char *token, int64_t *ret_until,
		     struct slu_err *e); /* wall clock ns */
void slu_signin_cancel(struct slu_signin *s, const char *base, const char *token);

/* With the lock.  Points to the one of base, or to the NULL where it belongs. */
struct slu_signin_cookie **slu_signin_find_cookie(struct slu_signin *s, const char *base);
void slu_signin_drop_cookie(struct slu_signin_cookie **at);
int slu_signin_keep_cookie(struct slu_signin *s, const char *base,
			   char *header); /* takes header over */

int slu_signin_gate_set(struct slu_signin *s, const struct slu_signin_gate *g, struct slu_err *e);
bool slu_signin_gate_refused(struct slu_signin *s, const struct slu_signin_wait *w);
void slu_signin_gate_done(struct slu_signin *s);

#endif
