/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One op under way: a chain of exchanges, each of which names the step that looks at its result.
 * web.c has the store, its STAT and READ; request.c the exchange; whole.c servers without ranges.
 * Private to web/.  One thread at a time is in a chain.
 */
#ifndef SLU_WEB_REQUEST_H
#define SLU_WEB_REQUEST_H

#include "fs/store.h"
#include "io/xfer.h"
#include "web/answer.h"

#include <pthread.h>
#include <stdatomic.h>

struct slu_web_req;
typedef void slu_web_step(struct slu_web_req *q);

struct slu_web {
	struct slu_store s;
	char *origin, *ca_file;
	struct slu_loops *loops; /* borrowed */
	atomic_uint turn;        /* spreads requests over the loops */
	pthread_mutex_t lock;    /* guards op->drv of all ops, and what is below */
	/* The file that was fetched whole last. */
	char *whole_path;
	char whole_id[SLU_ID_MAX];
	char *whole;
	size_t whole_n;
	bool fetching;               /* one is being fetched */
	struct slu_web_req *waiting; /* for that to end */
};

struct slu_web_req {
	struct slu_xfer x;
	struct slu_web *w;
	struct slu_op *op;
	slu_web_step *next; /* looks at the result of x */
	char *url;          /* where this exchange goes: may hold a secret after a redirect */
	unsigned hops;
	char range[72], condition[40 + SLU_ID_MAX];
	const char *headers[4];
	struct slu_web_id pin; /* READ with if_match */
	char one;              /* the byte of a STAT by GET */
	struct slu_web_req *wait_next;
};

/* Sends METHOD for the op's path with q->range and q->condition where they are not empty; follows
 * redirects; next sees the last answer.  Fill x's sink in `sink`. */
void slu_web_send(struct slu_web_req *q, const char *method, const struct slu_xfer *sink,
		  slu_web_step *next);
/* Ends the op, frees q. */
void slu_web_end(struct slu_web_req *q, int rc);
/* Ends it with the error in op->err (code set), named: "cannot read 'URL': ...". */
void slu_web_end_err(struct slu_web_req *q);
/* The exchange's result as -errno with op->err, or 0. */
int slu_web_result(struct slu_web_req *q);
/* Is what came the pinned state?  0 also when nothing is pinned. */
int slu_web_check_pin(struct slu_web_req *q);

/* --- whole.c --- */

/* Serves a READ from the kept file; false: it is not this one. */
bool slu_web_whole_serve(struct slu_web_req *q);
/* A READ of which the server sent the whole file: fetches it, one at a time. */
void slu_web_whole_read(struct slu_web_req *q);

#endif
