/* SPDX-License-Identifier: Apache-2.0 */
/* A command that prints a secret. */
#ifndef SLU_BLOB_CRED_RUN_H
#define SLU_BLOB_CRED_RUN_H

#include "common/buf.h"
#include "common/err.h"

#define SLU_CRED_TEXT_MAX 16384 /* bytes of a secret, however it is read */

/* Runs `sh -c command` and appends what it prints; the last line of its stderr is in the error.  -ENOENT:
 * there is no such program, -ETIMEDOUT after a minute (it is killed then), -EIO when it fails, -EFBIG when it
 * prints too much.  Blocks. */
int slu_cred_run(const char *command, const char *where, struct slu_buf *b, struct slu_err *e);

#endif
