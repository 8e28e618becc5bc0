/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bearer token and its renewal: fetched when first wanted, again some minutes before it ends while the
 * old one still serves, by one fetch at a time, whoever asks.  After a fetch that failed the next one
 * waits a little, so that a dead endpoint is not hammered.
 */
#ifndef SLU_BLOB_TOKEN_H
#define SLU_BLOB_TOKEN_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

struct slu_pool;
struct slu_tokens;

struct slu_token {
	char *text;   /* a secret */
	int64_t ends; /* wall clock ns */
};
void slu_token_done(struct slu_token *t); /* wiped */

/* Runs in the pool and may block. */
typedef int slu_token_fetch(void *arg, struct slu_token *ret, struct slu_err *e);

/* In the memory of who waits; fn is called once, in the pool. */
struct slu_token_wait {
	struct slu_token_wait *next;
	void (*fn)(struct slu_token_wait *w);
};

int slu_tokens_new(struct slu_pool *pool, slu_token_fetch *fetch, void *arg,
		   struct slu_tokens **ret); /* 0 or -ENOMEM */
/* One that is had already; taken over.  Before the first get. */
void slu_tokens_put(struct slu_tokens *t, struct slu_token *first);
/* Waits for a fetch that is under way; nobody waits for a token. */
void slu_tokens_free(struct slu_tokens *t);

/* A copy of the token that holds now (caller wipes it), or -EINPROGRESS: w->fn will be called, then ask
 * again; or why there is none.  Any thread, does not block. */
int slu_tokens_get(struct slu_tokens *t, struct slu_token_wait *w, char **ret, struct slu_err *e);
/* The service refused this one: the next who asks waits for another. */
void slu_tokens_refused(struct slu_tokens *t, const char *text);

#endif
