/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An op as a chain of exchanges.  Redirects are followed here: to the scheme that was asked for and
 * with no credential of ours.  A cancel reaches the exchange under way, or the next one before it is
 * sent; what cleans up goes out all the same.
 */
#include "hdfs/request.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/errors.h"
#include "hdfs/native.h"
#include "io/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define URL_MAX (60u << 10) /* servers take 64 KiB of headers */
#define ANSWER_MAX (64u << 20)
#define EXCLUDE_MAX 1024
#define DATANODES_MAX 3 /* tried for one op, before the layers above try again */
#define CLEAN_NS (10 * SLU_SEC)
#define CONNECT_NS (5 * SLU_SEC) /* where there is another one to ask */

char *slu_hdfs_query(const char *head, const char *value)
{
	struct slu_buf b = SLU_BUF(64 << 10);
	char *text;

	slu_buf_str(&b, head);
	slu_url_encode(&b, value, strlen(value), "");
	text = slu_buf_take(&b);
	slu_buf_done(&b);
	return text;
}

struct slu_hdfs_req *slu_hdfs_begin(struct slu_hdfs *h, struct slu_op *op)
{
	struct slu_hdfs_req *q = slu_new0(struct slu_hdfs_req);

	if (!q) {
		slu_op_finish(op, slu_fail_oom(&op->err));
		return NULL;
	}
	q->h = h;
	q->op = op;
	q->exclude = SLU_BUF(EXCLUDE_MAX);
	pthread_mutex_lock(&h->lock);
	op->drv = q;
	pthread_mutex_unlock(&h->lock);
	return q;
}

void slu_hdfs_end(struct slu_hdfs_req *q, int rc)
{
	struct slu_op *op = q->op;
	struct slu_hdfs *h = q->h;

	pthread_mutex_lock(&h->lock); /* a cancel may be looking */
	op->drv = NULL;
	pthread_mutex_unlock(&h->lock);
	slu_xfer_done(&q->x);
	/* the port that a person gave is the one to look at, not the one that was tried instead of it */
	const char *closed = slu_hdfs_is_transport(rc) && rc != -ECANCELED && h->native
				     ? slu_native_closed(h->native)
				     : NULL;

	if (closed)
		slu_fail_more(&op->err, "%s: check '%s'; by WebHDFS", closed, h->rpc);
	slu_timer_free(q->pause);
	slu_buf_done(&q->exclude);
	slu_list_done(&q->list);
	slu_signin_wait_done(&q->sign);
	free(q->base);
	free(q->plain);
	free(q->url);
	free(q->host);
	free(q->temp);
	free(q->folder);
	free(q);
	slu_op_finish(op, rc);
}

int slu_hdfs_explain(struct slu_hdfs_req *q)
{
	const struct slu_op *op = q->op;

	return slu_fail_more(&q->op->err, "cannot %s '%s' in 'hdfs://%s%s'", slu_op_verb(op->type),
			     *op->path ? op->path : ".", q->h->rpc ? q->h->rpc : q->h->web,
			     q->h->root);
}

void slu_hdfs_end_fail(struct slu_hdfs_req *q, int code, const char *why)
{
	slu_fail(&q->op->err, code, "%s", why);
	slu_hdfs_end(q, slu_hdfs_explain(q));
}

bool slu_hdfs_is_transport(int rc)
{
	switch (-rc) {
	case ETIMEDOUT:
	case ECONNREFUSED:
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
	case ENETUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ECANCELED:
	case EPROTO:
	case EIO:
		return true;
	default:
		return false;
	}
}

/* What a status says; a filter against cross-site requests says nothing. */
static int refused(struct slu_hdfs_req *q)
{
	const struct slu_xfer *x = &q->x;
	struct slu_err *e = &q->op->err;
	int r = 0;

	if (x->status == 401)
		r = slu_signin_unauthorized(q->h->signin, slu_xfer_header(x, "WWW-Authenticate"),
					    e);
	else if (x->status == 400 && !x->errbody.len && !slu_streq(x->method, "GET"))
		r = slu_fail(e, EINVAL,
			     "the server answered with status 400 and nothing else: if it wants "
			     "another header against cross-site requests than '%.*s', name that as "
			     "\"csrf_header\" of the datastore",
			     (int)strcspn(q->h->csrf, ":"), q->h->csrf);
	return r ? r : slu_hdfs_error(x->errbody.p, x->errbody.len, x->status, e);
}

int slu_hdfs_result(struct slu_hdfs_req *q)
{
	struct slu_xfer *x = &q->x;

	if (x->rc == -EREMOTEIO && slu_buf_err(&x->errbody) == -ENOMEM)
		return slu_fail_oom(&q->op->err);
	if (x->rc == -EREMOTEIO)
		return refused(q);
	if (x->rc < 0) {
		q->op->err = x->err;
		q->op->err.code = -x->rc;
		if (!q->asking && (x->rc == -ECONNREFUSED || x->rc == -EHOSTUNREACH))
			slu_fail_more(&q->op->err,
				      "the DataNode that the NameNode named does not "
				      "answer ('hdfs dfsadmin -report' tells which are "
				      "running)");
	}
	return x->rc;
}

/* --- sending --- */

static void clear(struct slu_hdfs_req *q, const char *method);
static void sign_and_send(struct slu_hdfs_req *q);

/* Was it refused for who asks, and is there something else to ask with?  A cookie and a token end some time. */
static bool signed_anew(struct slu_hdfs_req *q)
{
	const struct slu_xfer *x = &q->x;
	struct slu_err e;

	if (!q->asking || q->resigned || x->rc != -EREMOTEIO)
		return false;
	if (x->status != 401 &&
	    slu_hdfs_error(x->errbody.p, x->errbody.len, x->status, &e) != -EKEYEXPIRED)
		return false;
	if (!slu_signin_refused(q->h->signin, &q->sign))
		return false;
	q->resigned = true;
	clear(q, q->method);
	q->x.sink = SLU_SINK_BUF;
	sign_and_send(q);
	return true;
}

static void on_done(struct slu_xfer *x)
{
	struct slu_hdfs_req *q = x->user;

	if (q->asking && x->rc != -ECANCELED)
		slu_signin_seen(q->h->signin, q->base, x);
	if (!signed_anew(q) && (!q->asking || !slu_hdfs_fail_over(q)))
		q->next(q);
}

/* Takes url over. */
static void send(struct slu_hdfs_req *q, char *url, slu_hdfs_step *next)
{
	struct slu_hdfs *h = q->h;
	struct slu_xfer *x = &q->x;
	bool canceled;

	free(q->url);
	q->url = url;
	q->next = next;
	x->url = url;
	x->headers = q->headers;
	x->ca_file = h->ca_file;
	x->plain_ok = h->plain_ok;
	x->connect_ns = q->asking && h->nodes > 1 ? CONNECT_NS : 0;
	x->answer_ns = q->asking ? slu_hdfs_answer_ns(q) : 0;
	x->deadline = q->cleaning ? slu_deadline_in(CLEAN_NS) : q->op->deadline;
	x->done = on_done;
	x->user = q;

	struct slu_loop *loop = slu_loops_pick(h->loops, h->web, q->h->turn++);

	pthread_mutex_lock(&h->lock);
	canceled = !q->cleaning && slu_op_canceled(q->op);
	if (!canceled)
		slu_xfer_send(loop, x);
	pthread_mutex_unlock(&h->lock);
	if (!canceled)
		return;
	x->rc = slu_fail(&x->err, ECANCELED, "canceled");
	next(q);
}

static void no_memory(struct slu_hdfs_req *q, slu_hdfs_step *next)
{
	q->x.rc = slu_fail_oom(&q->x.err);
	next(q);
}

/* For the server that was signed in to.  Those with the filter against cross-site requests want its header, the others
 * ignore it. */
static void add_headers(struct slu_hdfs_req *q, const char *method, const char *type)
{
	const char *all[] = {type, slu_streq(method, "GET") ? NULL : q->h->csrf, q->sign.cookie,
			     q->sign.authorization};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i])
			q->headers[n++] = all[i];
	q->headers[n] = NULL;
}

static void signed_in(struct slu_signin_wait *w)
{
	struct slu_hdfs_req *q = w->user;
	char *url;

	if (w->rc < 0) {
		q->x.rc = w->rc;
		q->x.err = w->err;
		if (!slu_hdfs_fail_over(q))
			q->next(q);
		return;
	}
	add_headers(q, q->method, NULL);
	url = slu_asprintf("%s%s%s", q->plain, w->query, q->h->doas);
	if (url)
		send(q, url, q->next);
	else
		no_memory(q, q->next);
}

static void sign_and_send(struct slu_hdfs_req *q)
{
	slu_signin_wait_done(&q->sign);
	q->sign = (struct slu_signin_wait){
		.base = q->base,
		.data = q->sign.data,
		.done = signed_in,
		.user = q,
	};
	slu_signin_get(q->h->signin, &q->sign);
}

/* What is redirected to a DataNode.  Not on behalf of others: a token would be theirs. */
static bool leads_to_data(const struct slu_hdfs *h, const char *query)
{
	if (*h->doas)
		return false;
	return slu_starts(query, "op=OPEN&") || slu_starts(query, "op=CREATE&") ||
	       slu_starts(query, "op=APPEND") || slu_starts(query, "op=GETFILECHECKSUM");
}

/* Where the NameNode that is asked has WebHDFS; false: no memory. */
static bool set_base(struct slu_hdfs_req *q)
{
	const struct slu_hdfs *h = q->h;

	free(q->base);
	q->base = slu_asprintf("%s://%s%s", h->tls ? "https" : "http", h->node[q->at], h->prefix);
	return q->base != NULL;
}

void slu_hdfs_add_path(const struct slu_hdfs *h, struct slu_buf *b, const char *path)
{
	slu_url_encode(b, h->root, strlen(h->root), "/");
	if (*path) {
		slu_buf_ch(b, '/');
		slu_url_encode(b, path, strlen(path), "/");
	} else if (!*h->root) {
		slu_buf_ch(b, '/');
	}
}

void slu_hdfs_add_exclude(struct slu_hdfs_req *q, struct slu_buf *b)
{
	if (!q->exclude.len)
		return;
	slu_buf_str(b, "&excludedatanodes=");
	slu_url_encode(b, q->exclude.p, q->exclude.len, ":,");
}

/* With the lock: a cancel may be looking. */
static void clear(struct slu_hdfs_req *q, const char *method)
{
	pthread_mutex_lock(&q->h->lock);
	slu_xfer_done(&q->x);
	q->x = (struct slu_xfer){.method = method, .resp = SLU_BUF(ANSWER_MAX)};
	pthread_mutex_unlock(&q->h->lock);
}

void slu_hdfs_ask(struct slu_hdfs_req *q, const char *method, const char *path, const char *query,
		  slu_hdfs_step *next)
{
	struct slu_hdfs *h = q->h;
	struct slu_buf b = SLU_BUF(URL_MAX);
	int r;

	clear(q, method);
	slu_hdfs_ask_active(q, method, query);
	if (!set_base(q)) {
		no_memory(q, next);
		return;
	}
	slu_buf_str(&b, q->base);
	if (path)
		slu_hdfs_add_path(h, &b, path);
	else
		slu_buf_fmt(&b, "/.reserved/.inodes/%" PRIu64, q->id.inode);
	slu_buf_fmt(&b, "?%s", query ? query : "");
	r = query ? slu_buf_err(&b) : -ENOMEM;
	if (r < 0) {
		slu_buf_done(&b);
		if (r == -ENOMEM) {
			no_memory(q, next);
		} else {
			q->x.rc = slu_fail(&q->x.err, ENAMETOOLONG, "the name is too long");
			next(q);
		}
		return;
	}
	free(q->plain);
	q->plain = slu_buf_take(&b);
	q->method = method;
	q->next = next;
	q->resigned = false;
	q->sign.data = leads_to_data(h, query);
	q->x.sink = SLU_SINK_BUF;
	sign_and_send(q);
}

void slu_hdfs_resend(struct slu_hdfs_req *q)
{
	size_t n = strlen(q->base);
	char *plain = set_base(q) ? slu_asprintf("%s%s", q->base, q->plain + n) : NULL;

	clear(q, q->method);
	q->x.sink = SLU_SINK_BUF;
	if (!plain) {
		no_memory(q, q->next);
		return;
	}
	free(q->plain);
	q->plain = plain;
	sign_and_send(q);
}

void slu_hdfs_data(struct slu_hdfs_req *q, const char *method, char *url, const void *body,
		   size_t len, slu_hdfs_step *next)
{
	const char *type =
		slu_streq(method, "GET") ? NULL : "Content-Type: application/octet-stream";
	struct slu_xfer *x = &q->x;

	clear(q, method);
	q->asking = false;
	if (!url) {
		no_memory(q, next);
		return;
	}
	q->headers[0] = type;
	q->headers[1] = NULL;
	if (slu_hdfs_is_home(q))
		add_headers(q, method, type);
	if (slu_streq(method, "GET") && q->op->type != SLU_OP_READ) {
		x->sink = SLU_SINK_BUF;
	} else if (slu_streq(method, "GET")) {
		/* the range stands in the address: what comes is the whole of it */
		x->sink = SLU_SINK_RANGE;
		x->buf = q->op->buf;
		x->len = len;
		x->total = len;
	} else {
		x->sink = SLU_SINK_NONE;
		x->body = len ? body : NULL;
		x->body_len = len;
	}
	send(q, url, next);
}

const char *slu_hdfs_two_steps(const struct slu_hdfs *h)
{
	return h->gateway ? "" : "&noredirect=true";
}

bool slu_hdfs_is_home(const struct slu_hdfs_req *q)
{
	const char *home = q->h->node[q->at], *port = q->h->tls ? ":443" : ":80";
	const char *rest;

	if (!q->host || !(q->sign.authorization || q->sign.cookie))
		return false;
	rest = slu_iafter(home, q->host);
	return rest && (!*rest || slu_streq(rest, port));
}

int slu_hdfs_redirect(struct slu_hdfs_req *q, char **ret)
{
	SLU_AUTO(slu_freep) char *url = NULL;
	struct slu_err *e = &q->op->err;
	const char *to = NULL;
	int r;

	if (q->x.rc == -EREMOTEIO && q->x.status == 307)
		to = slu_xfer_header(&q->x, "Location");
	if (to) { /* a server before Hadoop 2.8 */
		url = slu_strdup(to);
		r = url ? 0 : slu_fail_oom(e);
	} else {
		r = slu_hdfs_result(q);
		if (r == 0)
			r = slu_hdfs_location(q->x.resp.p, q->x.resp.len, &url, e);
	}
	if (r == 0) {
		free(q->host);
		q->host = NULL;
		r = slu_hdfs_check_location(url, q->h->tls, &q->host, e);
	}
	if (r == 0 && q->sign.authorization && !slu_hdfs_is_home(q))
		r = slu_fail(
			e, EACCES,
			"the gateway leads to '%s' for the data, and its %s is for '%s' alone: if that "
			"is its own other name, give the datastore this one",
			q->host, "password or token", q->h->node[q->at]);
	if (r == 0)
		*ret = slu_take(url);
	return r;
}

bool slu_hdfs_try_other(struct slu_hdfs_req *q, int rc)
{
	if (!slu_hdfs_is_transport(rc) || rc == -ECANCELED || ++q->tries >= DATANODES_MAX ||
	    !q->host || slu_expired(q->op->deadline))
		return false;
	slu_debug("hdfs", "DataNode '%s' is left out: %s", q->host, q->op->err.msg);
	/* The server takes host:port for the address of the native protocol, a bare host for a name. */
	size_t n = strcspn(q->host, ":");

	slu_buf_fmt(&q->exclude, "%s%s", q->exclude.len ? "," : "", q->host);
	if (q->host[0] != '[')
		slu_buf_fmt(&q->exclude, ",%.*s", (int)n, q->host);
	if (slu_buf_err(&q->exclude)) {
		slu_buf_clear(&q->exclude);
		return false;
	}
	return true;
}

bool slu_hdfs_ask_again(struct slu_hdfs_req *q, int rc)
{
	if (rc != -EIO || !q->exclude.len || q->x.rc != -EREMOTEIO)
		return false;
	slu_buf_clear(&q->exclude); /* there is no other one: the failed one may be back */
	q->tries = DATANODES_MAX;
	return true;
}
