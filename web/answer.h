/* SPDX-License-Identifier: Apache-2.0 */
/* What the head of a web server's answer says of a file: its state, and what went wrong.  No I/O. */
#ifndef SLU_WEB_ANSWER_H
#define SLU_WEB_ANSWER_H

#include "common/err.h"
#include "fs/op.h"

#include <stdbool.h>
#include <stdint.h>

/* What an identity pins. */
struct slu_web_id {
	char etag[SLU_ID_MAX]; /* strong, with its quotes; "" = by time */
	uint64_t size;         /* UINT64_MAX: not in it */
	int64_t time_s;        /* wall clock; only without etag */
};

/* Writes the identity of a file of `size` bytes; etag, modified: header values or NULL.  False: they pin
 * nothing. */
bool slu_web_id_make(uint64_t size, const char *etag, const char *modified, char ret[SLU_ID_MAX]);
bool slu_web_id_parse(const char *text, struct slu_web_id *ret);
/* Is an answer with these headers of the pinned state?  0; -ESTALE: of another; -EPROTO: it does not say. */
int slu_web_id_check(const struct slu_web_id *id, const char *etag, const char *modified);

/* "Tue, 15 Nov 1994 08:12:31 GMT" */
#define SLU_WEB_DATE 32
void slu_web_date(int64_t wall_s, char ret[SLU_WEB_DATE]);

/* The error of a status that is neither 2xx nor a redirect: returns -errno with *e. */
int slu_web_status(int status, struct slu_err *e);

#endif
