/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Tokens (RFC 7519): what an application proves itself with, and what a token says of itself. */
#ifndef SLU_BLOB_JWT_H
#define SLU_BLOB_JWT_H

#include "common/err.h"
#include "io/cert.h"

struct json_t;

/* The assertion by which `client` signs in at the token endpoint `audience` ("Microsoft identity platform
 * application authentication certificate credentials"): for ten minutes, PS256.  Caller frees and wipes. */
int slu_jwt_assertion(const struct slu_cert *c, const char *client, const char *audience,
		      char **ret, struct slu_err *e);
/* The claims of a token, unverified: for people and for the time of its end.  NULL: it is none that can be
 * read.  Caller frees. */
struct json_t *slu_jwt_claims(const char *token);

#endif
