/* SPDX-License-Identifier: Apache-2.0 */
/* Where a redirect leads. */
#ifndef SLU_IO_URL_JOIN_H
#define SLU_IO_URL_JOIN_H

#include "common/err.h"

/* The URL that `to`, absolute or relative, means when base redirects to it, without a fragment; caller
 * frees, it may hold a secret.  -EPROTO: no http(s) URL, or with user info; -EACCES: from https to http;
 * -ENOMEM.  Messages show neither. */
int slu_url_join(const char *base, const char *to, char **ret, struct slu_err *e);

#endif
