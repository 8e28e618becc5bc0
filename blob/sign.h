/* SPDX-License-Identifier: Apache-2.0 */
/* The SharedKey signature of Azure Storage requests (service version 2015-02-21 and later).  Any
 * thread; nothing here keeps state. */
#ifndef SLU_BLOB_SIGN_H
#define SLU_BLOB_SIGN_H

#include "common/buf.h"
#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

struct slu_blob_pair {
	const char *name; /* of a header: in lower case, but for that of metadata */
	const char *value;
};

/* What of a request is signed. */
struct slu_blob_req {
	const char *method;
	const char *path;                  /* as in the URL, encoded, from its first '/' on */
	const struct slu_blob_pair *param; /* decoded, sorted by name */
	size_t params;
	const struct slu_blob_pair *header; /* in any order */
	size_t headers;
	uint64_t body_len;
};

/* Appends the text that is signed. */
void slu_blob_signed_text(const struct slu_blob_req *q, const char *account, struct slu_buf *b);
/* The value of the Authorization header, caller frees. */
int slu_blob_sign(const struct slu_blob_req *q, const char *account, const void *key,
		  size_t key_len, char **ret, struct slu_err *e);

#endif
