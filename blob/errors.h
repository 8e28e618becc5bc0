/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, as errno and one line that names object, cause and remedy. */
#ifndef SLU_BLOB_ERRORS_H
#define SLU_BLOB_ERRORS_H

#include "blob/endpoint.h"
#include "fs/op.h"
#include "io/xfer.h"

/* An answer that is no success. */
struct slu_blob_fault {
	int status;
	char code[80];  /* of the service, "" = it gave none */
	char text[256]; /* its message */
	char request[64];
	int64_t skew_ns; /* our clock minus the service's, 0 = not known */
};

/* Reads it from an exchange that ended with -EREMOTEIO. */
void slu_blob_fault_read(const struct slu_xfer *x, struct slu_blob_fault *ret);
/* The positive errno for what op wanted.  -EAGAIN's: refused before any effect. */
int slu_blob_errno(const struct slu_op *op, const struct slu_blob_fault *f);
/* Fills op->err and op->retry_after from a finished exchange that failed; returns -errno.  sas: the one
 * in use, to see whether it has expired; NULL: none. */
int slu_blob_fail(struct slu_op *op, const struct slu_blob_place *at, const struct slu_xfer *x,
		  const char *sas);

#endif
