/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The credential of a store: an account key, a SAS, or none, read from where the reference says
 * (env:NAME, file:PATH, cmd:COMMAND).  A file that changed is read again before the next request; a command
 * is run again before the SAS that it gave ends, while the old one serves.
 * Secrets are wiped before their memory is freed and are in no message.
 */
#ifndef SLU_BLOB_CRED_H
#define SLU_BLOB_CRED_H

#include "blob/token.h"
#include "common/cleanup.h"
#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

enum slu_blob_secret_kind {
	SLU_BLOB_ANONYMOUS,
	SLU_BLOB_KEY,
	SLU_BLOB_SAS,
	SLU_BLOB_TOKEN /* identity.h; never of a reference */
};

#define SLU_BLOB_KEY_MAX 128

struct slu_blob_secret {
	enum slu_blob_secret_kind kind;
	uint8_t key[SLU_BLOB_KEY_MAX];
	size_t key_len;
	char *sas; /* a query without '?' */
	char *token;
	/* What a connection string says beside; NULL: nothing. */
	char *account, *endpoint, *suffix, *protocol;
};

/* text: an account key, a SAS, or a connection string; blanks around it are no part of it.  where:
 * what messages call it.  -EINVAL, never showing the text. */
int slu_blob_secret_parse(const char *text, const char *where, struct slu_blob_secret *ret,
			  struct slu_err *e);
void slu_blob_secret_done(struct slu_blob_secret *s);

struct slu_blob_cred;
struct slu_pool;

/* ref NULL: anonymous.  Reads it once, so that what is wrong is told at once; a command may take a minute.  Not on a loop thread. */
int slu_blob_cred_new(const char *ref, const char *where, struct slu_blob_cred **ret,
		      struct slu_err *e);
/* A copy of what holds now (slu_blob_secret_done).  Any thread; looks at the file, waits for
 * nothing. */
int slu_blob_cred_get(struct slu_blob_cred *c, struct slu_blob_secret *ret, struct slu_err *e);
/* From now on a command is run again, in the pool, before the SAS that it gave ends by its "se". */
int slu_blob_cred_renew(struct slu_blob_cred *c, struct slu_pool *pool); /* 0 or -ENOMEM */
/* As slu_blob_cred_get; -EINPROGRESS when what was given has ended and the command runs: w->fn will be called,
 * then ask again. */
int slu_blob_cred_ask(struct slu_blob_cred *c, struct slu_token_wait *w,
		      struct slu_blob_secret *ret, struct slu_err *e);
/* When a SAS ends by its "se", wall clock ns; 0: it does not say. */
int64_t slu_blob_sas_ends(const char *sas);
void slu_blob_cred_free(struct slu_blob_cred *c);
SLU_DEFINE_CLEANUP(struct slu_blob_cred *, slu_blob_cred_free, slu_blob_cred_freep)

#endif
