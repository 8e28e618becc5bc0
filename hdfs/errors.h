/* SPDX-License-Identifier: Apache-2.0 */
/* What a refusal of HDFS means: the one place where Java class names become errno values. */
#ifndef SLU_HDFS_ERRORS_H
#define SLU_HDFS_ERRORS_H

#include "common/err.h"

#include <stddef.h>

#define SLU_HDFS_RENAME_LOST                                                                         \
	"the answer to the rename was lost, and the target is not what was written: another client " \
	"replaced or removed it"

/* Reads the body of an answer that is not 2xx and fills *e: code, http, svc (the class without its
 * package), msg (the server's first line, with a remedy where one is known).  A body that is no
 * RemoteException is judged by the status alone.  -ENOMEM is our own.  Returns -e->code.  e is
 * not NULL. */
int slu_hdfs_error(const char *body, size_t n, int http, struct slu_err *e);

/* The same of a refusal by RPC: a Java class with its package, and its message. */
int slu_hdfs_error_of(const char *class, const char *text, struct slu_err *e);

#endif
