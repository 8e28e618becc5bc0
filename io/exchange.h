/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange in flight and the curl handle that carries it: between engine.c, easy.c, xfer.c. */
#ifndef SLU_IO_EXCHANGE_H
#define SLU_IO_EXCHANGE_H

#include "io/core.h"
#include "io/reply.h"
#include "io/sock.h"
#include "io/url.h"

#include <curl/curl.h>

struct slu_easy {
	CURL *h;
	struct slu_easy *next; /* in the free list */
	char *origin;          /* the only one that this handle ever talks to */
	char text[CURL_ERROR_SIZE];
};

struct slu_xfer_state {
	struct slu_xfer *x;
	struct slu_loop *loop;
	struct slu_xfer_state *prev, *next; /* of those in flight */
	bool in_flight;
	struct slu_easy *easy;
	struct slu_url url;
	struct curl_slist *headers;
	char what[SLU_URL_SHOWN]; /* the URL as it may be shown */

	struct slu_socks *socks; /* the engine's */
	int fd;                  /* of the connection in use, -1: not known */
	bool unclean;            /* the kept connection was not: take a fresh one */
	bool begun;              /* once on its way */

	struct slu_reply reply;
	size_t sent;       /* of the request body, into curl */
	uint64_t received; /* bytes of head and body */
	uint64_t skipped;  /* body bytes that nobody keeps */
	int rc;            /* < 0: a callback ended it, x->err says why */

	struct slu_timer timer; /* deadline and stall samples */
	bool timer_made;
	int64_t deadline;
	uint64_t moved; /* progress at the last sample */
	unsigned slow;  /* samples in a row that were too slow */
	unsigned mute;  /* the same, without an answer to what was sent */
};

/* easy.c: sets everything that the exchange needs on st->easy (fresh or reset).  0, -EINVAL for a
 * method, header or range that cannot be sent, -ENOMEM; why goes into x->err. */
int slu_easy_setup(struct slu_xfer_state *st);
/* The file of certificates to trust: the exchange's, else what SSL_CERT_FILE names; NULL: the system's. */
const char *slu_easy_ca(const struct slu_xfer *x);
/* Bytes that verifiably moved in either direction: what waits in the kernel's send queue has not. */
uint64_t slu_easy_moved(const struct slu_xfer_state *st);
/* True when silence of the peer counts as a stall, not as a server that is at work. */
bool slu_easy_flowing(const struct slu_xfer_state *st);
/* True when all was sent and nothing of an answer has come. */
bool slu_easy_unanswered(const struct slu_xfer_state *st);
/* cause.c: c that ended the exchange, with its cause and the remedy in e; -errno. */
int slu_easy_explain(const struct slu_xfer_state *st, CURLcode c, struct slu_err *e);
void slu_easy_free_headers(struct slu_xfer_state *st);

#endif
