/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exchange with a web server, redirects included: each hop is judged by io/url.h, carries the same
 * condition and no credential.  Messages name the URL that the user gave: where a redirect leads may be
 * a signed URL, hence a secret.
 */
#include "web/request.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/http.h"
#include "io/loop.h"
#include "io/url_join.h"
#include "web/web.h"

#include <errno.h>
#include <string.h>

#define URL_MAX (64u << 10)

void slu_web_end(struct slu_web_req *q, int rc)
{
	struct slu_op *op = q->op;

	pthread_mutex_lock(&q->w->lock); /* a cancel may be looking */
	op->drv = NULL;
	pthread_mutex_unlock(&q->w->lock);
	slu_xfer_done(&q->x);
	if (q->url)
		explicit_bzero(q->url, strlen(q->url));
	free(q->url);
	free(q);
	slu_op_finish(op, rc);
}

void slu_web_end_err(struct slu_web_req *q)
{
	struct slu_op *op = q->op;

	slu_web_end(q, slu_fail_more(&op->err, "cannot %s '%s/%s'", slu_op_name(op->type),
				     q->w->origin, op->path));
}

int slu_web_result(struct slu_web_req *q)
{
	struct slu_xfer *x = &q->x;
	struct slu_op *op = q->op;
	const char *wait;

	if (x->rc >= 0)
		return 0;
	if (x->rc != -EREMOTEIO) {
		op->err = x->err;
		op->err.code = -x->rc;
		return x->rc;
	}
	wait = slu_xfer_header(x, "Retry-After");
	if (!wait || !slu_http_retry_after(wait, slu_wall(), &op->retry_after))
		op->retry_after = 0;
	if (x->status == 416 && op->if_match)
		return slu_web_status(412, &op->err);
	return slu_web_status(x->status, &op->err);
}

int slu_web_check_pin(struct slu_web_req *q)
{
	struct slu_op *op = q->op;
	int r;

	if (!op->if_match)
		return 0;
	r = slu_web_id_check(&q->pin, slu_xfer_header(&q->x, "ETag"),
			     slu_xfer_header(&q->x, "Last-Modified"));
	if (r == -ESTALE)
		return slu_web_status(412, &op->err);
	if (r < 0)
		return slu_fail(&op->err, EPROTO,
				"the answer does not say of which state of the file it is: the "
				"server has to send its ETag or Last-Modified with a range");
	return 0;
}

/* --- sending --- */

static void on_done(struct slu_xfer *x);

/* With q->url and q->x ready. */
static void go(struct slu_web_req *q)
{
	struct slu_web *w = q->w;
	struct slu_loop *loop = slu_loops_pick(w->loops, w->origin, w->turn++);
	bool canceled;

	q->x.url = q->url;
	pthread_mutex_lock(&w->lock);
	canceled = slu_op_canceled(q->op);
	if (!canceled)
		slu_xfer_send(loop, &q->x);
	pthread_mutex_unlock(&w->lock);
	if (!canceled)
		return;
	q->x.rc = slu_fail(&q->x.err, ECANCELED, "canceled");
	q->next(q);
}

static bool is_redirect(const struct slu_xfer *x)
{
	return x->rc == -EREMOTEIO && (x->status == 301 || x->status == 302 || x->status == 303 ||
				       x->status == 307 || x->status == 308);
}

/* x as it was before it was sent, with other memory behind it. */
static void again(struct slu_web_req *q)
{
	struct slu_xfer keep = {
		.method = q->x.method,
		.headers = q->headers,
		.ca_file = q->x.ca_file,
		.plain_ok = q->x.plain_ok,
		.deadline = q->x.deadline,
		.sink = q->x.sink,
		.buf = q->x.buf,
		.off = q->x.off,
		.len = q->x.len,
		.total = q->x.total,
		.resp = SLU_BUF(q->x.resp.max),
		.done = on_done,
		.user = q,
	};

	pthread_mutex_lock(&q->w->lock); /* a cancel may be looking */
	slu_xfer_done(&q->x);
	q->x = keep;
	pthread_mutex_unlock(&q->w->lock);
}

static int follow(struct slu_web_req *q, char **ret)
{
	const char *to = slu_xfer_header(&q->x, "Location");
	struct slu_err *e = &q->x.err;

	if (!to)
		return slu_fail(e, EPROTO, "the server redirects to nowhere");
	if (++q->hops > SLU_WEB_HOPS)
		return slu_fail(e, EPROTO, "it is redirected more than %d times", SLU_WEB_HOPS);
	return slu_url_join(q->url, to, ret, e);
}

static void on_done(struct slu_xfer *x)
{
	struct slu_web_req *q = x->user;
	char *url = NULL;
	int r;

	if (!is_redirect(x)) {
		q->next(q);
		return;
	}
	r = follow(q, &url);
	if (r < 0) {
		x->rc = r;
		q->next(q);
		return;
	}
	again(q);
	free(q->url);
	q->url = url;
	go(q);
}

static char *make_url(const struct slu_web_req *q)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(URL_MAX);

	slu_buf_fmt(&b, "%s/", q->w->origin);
	slu_url_encode(&b, q->op->path, strlen(q->op->path), "/!$&'()*+,;=:@");
	return slu_buf_take(&b);
}

void slu_web_send(struct slu_web_req *q, const char *method, const struct slu_xfer *sink,
		  slu_web_step *next)
{
	size_t n = 0;

	/* what a server makes of a file to send it faster is not the file */
	q->headers[n++] = "Accept-Encoding: identity";
	if (q->range[0])
		q->headers[n++] = q->range;
	if (q->condition[0])
		q->headers[n++] = q->condition;
	q->headers[n] = NULL;
	q->next = next;
	q->hops = 0;
	again(q);
	q->x.method = method;
	q->x.ca_file = q->w->ca_file;
	q->x.plain_ok = slu_starts(q->w->origin, "http:");
	q->x.deadline = q->op->deadline;
	q->x.sink = sink->sink;
	q->x.buf = sink->buf;
	q->x.off = sink->off;
	q->x.len = sink->len;
	q->x.total = sink->total;
	q->x.resp = sink->resp;
	free(q->url);
	q->url = make_url(q);
	if (q->url) {
		go(q);
		return;
	}
	q->x.rc = slu_fail_oom(&q->x.err);
	next(q);
}
