/* SPDX-License-Identifier: Apache-2.0 */
/* The path of a reference in pattern form (dataset/uri.h), for uri*.c only. */
#ifndef SLU_DATASET_URI_PATH_H
#define SLU_DATASET_URI_PATH_H

#include "common/err.h"

struct slu_buf;

enum {
	SLU_URI_PATH_ENCODED = 1u << 0, /* percent escapes are decoded */
	SLU_URI_PATH_ROOTED = 1u << 1   /* a relative store path; else a local one, as it stands */
};

/* what: the whole reference, for messages. */
int slu_uri_path(const char *what, const char *raw, unsigned flags, char **ret, struct slu_err *e);
/* A path in pattern form, percent-encoded: escaped characters as %XX, wildcards bare. */
void slu_uri_path_encode(struct slu_buf *b, const char *pattern);

#endif
