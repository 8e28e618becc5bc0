/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP exchange.  Status, Content-Range and length are validated before the first body byte
 * lands in the caller's buffer; an error body goes into a bounded buffer of its own; a body shorter
 * or longer than announced is an error, never EOF.  Redirects are never followed here.
 */
#ifndef SLU_IO_XFER_H
#define SLU_IO_XFER_H

#include "common/buf.h"
#include "common/err.h"
#include "io/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLU_XFER_ERRBODY 16384 /* bytes of an error body that are kept */
#define SLU_XFER_HEADERS 65536 /* bytes of response headers that are accepted */

/* Where a successful body goes. */
enum slu_sink {
	SLU_SINK_RANGE, /* exactly [off, off+len) of the object into buf; 206 (or 200 for a whole
			 * body: off 0 and just len bytes).  A Range header is added unless `headers`
			 * has a Range or x-ms-range, or the whole known object (len == total) is
			 * wanted.  buf holds rubbish when rc < 0. */
	SLU_SINK_BUF,   /* any length up to body.max into body */
	SLU_SINK_NONE   /* no body wanted; one that comes is skipped up to 64 KiB */
};

struct slu_xfer {
	/* The request; the caller's memory until done().  Strings are not copied. */
	const char *method; /* "GET", "HEAD", "PUT", "POST", "DELETE", ... */
	const char *url;
	const char *const *headers; /* "Name: value", NULL-ended; NULL: none */
	const void *body;           /* request body, NULL: none */
	size_t body_len;
	const char *ca_file; /* NULL: the system's */
	const char *proxy;   /* NULL: the environment's, "": none; never for loopback */
	bool plain_ok;       /* http:// beyond loopback allowed */
	bool coded_ok;       /* a Content-Encoding is a stored property of the object (Blob), the
			      * bytes are wanted as they are; false: such an answer is refused */
	bool once;           /* never sent again on its own: -ECONNRESET says that nobody knows */
	int64_t deadline;    /* slu_now ns, 0: 60 s from now */
	int64_t connect_ns;  /* 0: 10 s */
	int64_t answer_ns;   /* for an answer to begin, roughly; 0: until the deadline */

	enum slu_sink sink;
	void *buf; /* SLU_SINK_RANGE */
	uint64_t off;
	size_t len;
	uint64_t total;      /* the object's pinned length; UINT64_MAX: unknown */
	struct slu_buf resp; /* SLU_SINK_BUF: set .max before */

	/* The result, valid in done().  rc: 0 when the status is 2xx and everything was validated;
	 * -errno else: transport errors by kind (-ETIMEDOUT for deadline, answer_ns and stall (< 1 KiB/s for
	 * 15 s), -ECONNREFUSED, -ECONNRESET also for a body cut short, -EPROTO for an invalid
	 * answer, -EHOSTUNREACH for names, -EKEYREJECTED for a certificate, -ECANCELED), -ESTALE: the
	 * right range of an object whose length is not `total`, -EMSGSIZE: more than resp.max,
	 * -EINVAL: a request that cannot be sent, -EACCES: plain http not allowed, -ENOMEM;
	 * -EREMOTEIO for any status that is not 2xx (with err.http; 3xx too). */
	int rc;
	struct slu_err err;
	int status;
	size_t got;             /* body bytes delivered */
	struct slu_buf errbody; /* of a non-2xx answer */

	void (*done)(struct slu_xfer *x); /* loop thread, exactly once; may free x */
	void *user;

	/* io/ only; zero before the first send. */
	struct slu_xfer_state *state;
	struct slu_loop *loop;
	struct slu_xfer *next;
	bool canceled;
};

/* Starts it on the loop.  Any thread; errors arrive by done(), never from
 * within this call.  A POST is never repeated on its own; other methods may be sent
 * twice when a kept connection turns out to be dead, unless `once`. */
void slu_xfer_send(struct slu_loop *l, struct slu_xfer *x);
/* Best effort; done() still runs exactly once (with -ECANCELED when it was in time).  Any thread; x
 * must not be freed while this runs (hold what your done() takes, or call it on x's loop). */
void slu_xfer_cancel(struct slu_xfer *x);
/* A response header by name (case ignored; the last one of that name), valid in done() and until
 * slu_xfer_done.  NULL: none. */
const char *slu_xfer_header(const struct slu_xfer *x, const char *name);
/* The next response header whose name begins with prefix (small letters), behind the one that the last call
 * returned; NULL: the first, or no more.  The name; *ret_value lives as long. */
const char *slu_xfer_next_header(const struct slu_xfer *x, const char *prefix, const char *last,
				 const char **ret_value);
/* Frees what the exchange allocated (not x; the memory of errbody and resp too: take what you want
 * to keep before) and makes x ready to be sent again: call it in or after done(), once a send. */
void slu_xfer_done(struct slu_xfer *x);
/* Blocking form for threads that are not loops: sends, waits, returns x->rc.  x->done is not called.
 * -EDEADLK on a loop thread. */
int slu_xfer_wait(struct slu_loop *l, struct slu_xfer *x);

/* A URL as it may be shown: user info and query removed.  The only printer of URLs. */
void slu_url_show(struct slu_buf *b, const char *url);

#endif
