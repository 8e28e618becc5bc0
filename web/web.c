/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The web driver: the store, STAT by HEAD (by a GET of one byte where HEAD is refused) and READ by
 * ranges.  See web.h for what pins a file.
 */
#include "web/web.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/http.h"
#include "io/loop.h"
#include "web/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BLOCK (8u << 20)

/* --- STAT --- */

/* The attr of a file of `size` bytes from the headers of the answer. */
static int take_attr(struct slu_web_req *q, uint64_t size)
{
	const char *coding = slu_xfer_header(&q->x, "Content-Encoding");
	const char *modified = slu_xfer_header(&q->x, "Last-Modified");
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = size};
	struct slu_err *e = &q->op->err;

	if (coding && strcasecmp(coding, "identity") != 0)
		return slu_fail(e, ENOTSUP,
				"the server sends it only with Content-Encoding '%.40s': those are "
				"not the bytes of the file",
				coding);
	if (size > INT64_MAX)
		return slu_fail(e, EPROTO, "its length %" PRIu64 " cannot be", size);
	if (!slu_web_id_make(size, slu_xfer_header(&q->x, "ETag"), modified, a.id))
		return slu_fail(e, ENOTSUP,
				"the server gives neither a strong ETag nor Last-Modified, so that "
				"a change could not be noticed; download it by other means into a "
				"datastore");
	if (!modified || !slu_http_date(modified, &a.mtime_ns))
		a.mtime_ns = 0;
	q->op->attr = a;
	return 0;
}

static int no_length(struct slu_web_req *q)
{
	return slu_fail(&q->op->err, ENOTSUP,
			"the server does not say how long it is: it is made anew for each "
			"request, and is no file that can be pinned");
}

static void end(struct slu_web_req *q, int r)
{
	if (r < 0)
		slu_web_end_err(q);
	else
		slu_web_end(q, 0);
}

static bool length_of(const struct slu_xfer *x, uint64_t *ret)
{
	const char *v = slu_xfer_header(x, "Content-Length");

	return v && slu_http_length(v, ret);
}

/* The answer to bytes=0-0: 206 with the length in Content-Range, 200 from a server without ranges, 416
 * of an empty file. */
static void on_byte(struct slu_web_req *q)
{
	const struct slu_xfer *x = &q->x;
	const char *range = slu_xfer_header(x, "Content-Range");
	uint64_t first, last, size = 0;
	bool known = false;
	int r = 0;

	if (x->status == 206 && x->rc == 0)
		known = range && slu_http_content_range(range, &first, &last, &size) &&
			size != UINT64_MAX;
	else if (x->status == 200 && (x->rc == 0 || x->rc == -EPROTO))
		known = length_of(x, &size);
	else if (x->status == 416)
		known = range && slu_streq(range, "bytes */0");
	else
		r = slu_web_result(q);
	if (r == 0 && known && x->status == 416) {
		/* such an answer has no ETag, and of nothing there is nothing to pin */
		q->op->attr = (struct slu_attr){.kind = SLU_KIND_FILE, .id = "0-0"};
	} else if (r == 0) {
		r = known ? take_attr(q, size) : no_length(q);
	}
	end(q, r);
}

static void ask_byte(struct slu_web_req *q)
{
	snprintf(q->range, sizeof(q->range), "Range: bytes=0-0");
	slu_web_send(q, "GET",
		     &(struct slu_xfer){
			     .sink = SLU_SINK_RANGE, .buf = &q->one, .len = 1, .total = UINT64_MAX},
		     on_byte);
}

/* A server that takes no HEAD, or an URL signed for GET alone. */
static bool no_head(const struct slu_xfer *x)
{
	return x->rc == -EREMOTEIO && (x->status == 400 || x->status == 401 || x->status == 403 ||
				       x->status == 405 || x->status == 501);
}

static void on_head(struct slu_web_req *q)
{
	uint64_t size;
	int r;

	if (no_head(&q->x) || (q->x.rc == 0 && !length_of(&q->x, &size))) {
		ask_byte(q);
		return;
	}
	r = slu_web_result(q);
	if (r == 0)
		r = length_of(&q->x, &size) ? take_attr(q, size) : no_length(q);
	end(q, r);
}

/* The server itself is no file. */
static void web_stat(struct slu_web_req *q)
{
	if (*q->op->path) {
		slu_web_send(q, "HEAD", &(struct slu_xfer){.sink = SLU_SINK_NONE}, on_head);
		return;
	}
	q->op->attr = (struct slu_attr){.kind = SLU_KIND_DIR};
	slu_web_end(q, 0);
}

/* --- READ --- */

static void on_range(struct slu_web_req *q)
{
	const struct slu_xfer *x = &q->x;
	int r;

	if (x->rc == -EPROTO && x->status == 200 && !slu_xfer_header(x, "Content-Encoding") &&
	    !slu_xfer_header(x, "Content-Range")) {
		slu_web_whole_read(q);
		return;
	}
	r = slu_web_result(q);
	end(q, r < 0 ? r : slu_web_check_pin(q));
}

/* 0; -ESTALE: pinned to what no web server said. */
static int make_condition(struct slu_web_req *q)
{
	const struct slu_op *op = q->op;
	char date[SLU_WEB_DATE];

	if (!op->if_match)
		return 0;
	if (!slu_web_id_parse(op->if_match, &q->pin))
		return slu_web_status(412, &q->op->err);
	if (q->pin.etag[0]) {
		snprintf(q->condition, sizeof(q->condition), "If-Match: %s", q->pin.etag);
	} else {
		slu_web_date(q->pin.time_s, date);
		snprintf(q->condition, sizeof(q->condition), "If-Unmodified-Since: %s", date);
	}
	return 0;
}

static void web_read(struct slu_web_req *q)
{
	const struct slu_op *op = q->op;
	int r = make_condition(q);

	if (r < 0 || !op->len) {
		end(q, r);
		return;
	}
	if (slu_web_whole_serve(q))
		return;
	snprintf(q->range, sizeof(q->range), "Range: bytes=%" PRIu64 "-%" PRIu64, op->off,
		 op->off + op->len - 1);
	slu_web_send(q, "GET",
		     &(struct slu_xfer){.sink = SLU_SINK_RANGE,
					.buf = op->buf,
					.off = op->off,
					.len = op->len,
					.total = op->if_match ? q->pin.size : UINT64_MAX},
		     on_range);
}

/* --- the store --- */

static void web_list(struct slu_web_req *q)
{
	slu_fail(&q->op->err, ENOTSUP,
		 "a web server's folders cannot be listed: a URL is one file; name each file");
	slu_web_end_err(q);
}

static slu_web_step *const steps[_SLU_OP_MAX] = {
	[SLU_OP_STAT] = web_stat,
	[SLU_OP_LIST] = web_list,
	[SLU_OP_READ] = web_read,
};

static void web_submit(struct slu_store *s, struct slu_op *op)
{
	struct slu_web *w = (struct slu_web *)s;
	struct slu_web_req *q;

	if (!steps[op->type]) {
		slu_op_finish(op, slu_fail(&op->err, EROFS, "'%s/%s': a URL can only be read",
					   w->origin, op->path));
		return;
	}
	q = slu_new0(struct slu_web_req);
	if (!q) {
		slu_op_finish(op, slu_fail_oom(&op->err));
		return;
	}
	q->w = w;
	q->op = op;
	pthread_mutex_lock(&w->lock);
	op->drv = q;
	pthread_mutex_unlock(&w->lock);
	if (slu_expired(op->deadline)) {
		slu_fail(&op->err, ETIMEDOUT, "its time was over before it was sent");
		slu_web_end_err(q);
		return;
	}
	steps[op->type](q);
}

static void web_cancel(struct slu_store *s, struct slu_op *op)
{
	struct slu_web *w = (struct slu_web *)s;
	struct slu_web_req *q;

	pthread_mutex_lock(&w->lock); /* q lives while op->drv points to it */
	q = op->drv;
	if (q && q->x.loop)
		slu_xfer_cancel(&q->x);
	pthread_mutex_unlock(&w->lock);
}

static int web_hadoop(struct slu_store *s, const char *path, struct slu_hadoop *ret,
		      struct slu_err *e)
{
	const struct slu_web *w = (const struct slu_web *)s;

	(void)ret;
	return slu_fail(e, ENOTSUP,
			"'%s/%s': Spark cannot read a plain URL; mount or download it instead",
			w->origin, path);
}

static void web_free(struct slu_store *s)
{
	struct slu_web *w = (struct slu_web *)s;

	free(w->origin);
	free(w->ca_file);
	free(w->whole_path);
	free(w->whole);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static const struct slu_store_ops web_ops = {
	.name = "web",
	.submit = web_submit,
	.cancel = web_cancel,
	.hadoop = web_hadoop,
	.free = web_free,
};

static bool is_loopback(const char *origin)
{
	const char *host = slu_after(origin, "http://");

	return host && (slu_starts(host, "127.") || slu_starts(host, "localhost") ||
			slu_starts(host, "[::1]"));
}

int slu_web_new(const char *origin, const char *ca_file, struct slu_loops *loops,
		struct slu_store **ret, struct slu_err *e)
{
	struct slu_web *w = slu_new0(struct slu_web);

	if (!w)
		return slu_fail_oom(e);
	pthread_mutex_init(&w->lock, NULL);
	w->s = (struct slu_store){
		.ops = &web_ops,
		.caps = SLU_CAP_RANGE_READ | SLU_CAP_COND_READ | SLU_CAP_READ_ONLY,
		.block = BLOCK,
	};
	w->loops = loops;
	w->origin = slu_strdup(origin);
	w->ca_file = slu_strdup(ca_file);
	if (!w->origin || (ca_file && !w->ca_file)) {
		web_free(&w->s);
		return slu_fail_oom(e);
	}
	if (slu_starts(origin, "http:") && !is_loopback(origin))
		slu_warn("web",
			 "'%s' is not encrypted: whoever is on the way can read and change what "
			 "comes from it",
			 origin);
	*ret = &w->s;
	return 0;
}
