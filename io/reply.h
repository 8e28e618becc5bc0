/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP answer: header lines as they come, kept within limits, and the judgement
 * whether the body that follows is the one that was asked for.  Knows nothing of sockets or curl.
 */
#ifndef SLU_IO_REPLY_H
#define SLU_IO_REPLY_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLU_REPLY_LINES 256 /* header lines of one exchange, interim answers and trailers too */

struct slu_reply {
	struct slu_buf text; /* "name\0value\0", names in lower case; of the newest answer */
	size_t bytes;        /* of all answers of the exchange */
	unsigned lines;
	int status;    /* 0 until a status line came */
	bool complete; /* the head of a final answer is there: what follows is no header */
	bool has_length, has_range, chunked, coded;
	uint64_t length, first, last, total;
};

/* What a body has to be for its bytes to go into the caller's buffer. */
struct slu_want {
	uint64_t off;
	uint64_t len;
	uint64_t total; /* UINT64_MAX: not known */
	bool coded_ok;
};

/* One line with its line end, status line and empty line too.  0, -EPROTO, -ENOMEM; `what` names
 * the exchange in messages. */
int slu_reply_line(struct slu_reply *r, const char *p, size_t n, const char *what,
		   struct slu_err *e);
/* 0 when a complete 2xx head announces exactly the wanted range; -EPROTO; -ESTALE when it is the
 * range but of an object of another length. */
int slu_reply_check_range(const struct slu_reply *r, const struct slu_want *w, const char *what,
			  struct slu_err *e);
/* 0 when the body's content is not coded; -EPROTO. */
int slu_reply_check_coding(const struct slu_reply *r, bool coded_ok, const char *what,
			   struct slu_err *e);
const char *slu_reply_get(const struct slu_reply *r, const char *name); /* the last one, or NULL */
void slu_reply_done(struct slu_reply *r);

#endif
