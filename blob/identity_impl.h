/* SPDX-License-Identifier: Apache-2.0 */
/* What the sources of tokens share (identity.c, identity_managed.c). */
#ifndef SLU_BLOB_IDENTITY_IMPL_H
#define SLU_BLOB_IDENTITY_IMPL_H

#include "blob/identity.h"

#include "common/time.h"

#include <stdatomic.h>

#define SLU_IDENTITY_WAIT (20 * SLU_SEC)
#define SLU_IDENTITY_METADATA "http://169.254.169.254"

typedef int slu_identity_fetch(struct slu_identity *id, struct slu_token *ret, struct slu_err *e);

struct slu_identity_source {
	const char *name;
	slu_identity_fetch *fetch;
};

struct slu_identity {
	const struct slu_identity_source *source;
	/* Of the entry; NULL: none. */
	char *tenant, *client, *object, *resource;
	char *secret_ref, *cert_ref, *cert_password_ref, *assertion_ref, *token_ref;
	_Atomic(const char *) link; /* who gave the newest token; NULL: nobody yet */
	char *authority;
	char *audience; /* without '/' behind it */
	struct slu_loops *loops;
	struct slu_tokens *tokens;
};

const char *slu_identity_env(const char *name); /* NULL: not set, or empty */
/* One exchange: a POST of a form with a body (headers NULL: none but that of the form), else a GET with these headers. */
int slu_identity_ask(struct slu_identity *id, const char *who, const char *url,
		     const char *const *headers, const char *body, int64_t wait,
		     struct slu_token *ret, struct slu_err *e);
slu_identity_fetch slu_identity_managed;

#endif
