/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the service: building, signing, sending, and the end of an op.  Memory that runs out
 * while a request is built is noted, and told when it would be sent.
 */
#include "blob/call.h"

#include "blob/errors.h"
#include "blob/list.h"
#include "blob/sum.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"
#include "io/http.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define API_VERSION "2021-12-02"
#define DFS_VERSION "2023-08-03" /* knows paginated deletion */
#define URL_MAX (64u << 10)

/* --- calls --- */

static void enlist(struct slu_call *c)
{
	struct slu_blob *b = c->b;

	pthread_mutex_lock(&b->lock);
	c->next = b->calls;
	if (c->next)
		c->next->prev = c;
	b->calls = c;
	pthread_mutex_unlock(&b->lock);
}

static void forget_request(struct slu_call *c)
{
	for (size_t i = 0; i < c->params; i++)
		free((char *)c->param[i].value);
	for (size_t i = 0; i < c->headers; i++) {
		char *v = (char *)c->header[i].value;

		explicit_bzero(v, strlen(v));
		free(v);
	}
	for (size_t i = 0; i < SLU_CALL_HEADERS && c->line[i]; i++) {
		explicit_bzero(c->line[i], strlen(c->line[i]));
		free(c->line[i]);
		c->line[i] = NULL;
	}
	if (c->url)
		explicit_bzero(c->url, strlen(c->url));
	free(c->url);
	free(c->path);
	free(c->body);
	c->url = c->path = c->body = NULL;
	c->params = c->headers = 0;
	slu_blob_secret_done(&c->secret);
}

struct slu_call *slu_call_new(struct slu_blob *b, struct slu_op *op)
{
	struct slu_call *c = slu_new0(struct slu_call);

	if (!c) {
		slu_op_finish(op, slu_fail_oom(&op->err));
		return NULL;
	}
	c->b = b;
	c->op = op;
	c->loop = slu_loop_self();
	if (!c->loop)
		c->loop = slu_loops_pick(b->loops, b->at.base, atomic_fetch_add(&b->turn, 1));
	enlist(c);
	return c;
}

struct slu_call *slu_call_kid(struct slu_call *parent)
{
	struct slu_call *c = slu_new0(struct slu_call);

	if (!c)
		return NULL;
	c->b = parent->b;
	c->op = parent->op;
	c->loop = parent->loop;
	c->parent = parent;
	enlist(c);
	return c;
}

void slu_call_free(struct slu_call *c)
{
	struct slu_blob *b = c->b;

	pthread_mutex_lock(&b->lock);
	if (c->prev)
		c->prev->next = c->next;
	else
		b->calls = c->next;
	if (c->next)
		c->next->prev = c->prev;
	pthread_mutex_unlock(&b->lock);
	slu_timer_free(c->timer);
	slu_xfer_done(&c->x);
	forget_request(c);
	slu_list_done(&c->tree);
	slu_blob_fetch_free(c->fetch);
	free(c);
}

void slu_call_finish(struct slu_call *c, int rc)
{
	struct slu_op *op = c->op;

	slu_call_free(c);
	slu_op_finish(op, rc);
}

void slu_call_fail(struct slu_call *c)
{
	slu_call_finish(c, slu_blob_fail(c->op, &c->b->at, &c->x, c->secret.sas));
}

/* --- building --- */

static void begin(struct slu_call *c, const char *method, const char *base_path, const char *path)
{
	struct slu_buf b = SLU_BUF(URL_MAX);

	/* a cancel may be flagging x just now */
	pthread_mutex_lock(&c->b->lock);
	slu_xfer_done(&c->x);
	c->x = (struct slu_xfer){.method = method,
				 .total = UINT64_MAX,
				 .sink = SLU_SINK_NONE,
				 .coded_ok = true,
				 .once = !slu_streq(method, "GET") && !slu_streq(method, "HEAD"),
				 .ca_file = c->b->ca_file,
				 .proxy = c->b->proxy,
				 .plain_ok = c->b->at.plain_ok,
				 .deadline = c->op->deadline};
	pthread_mutex_unlock(&c->b->lock);
	forget_request(c);
	c->oom = c->renewed = false;

	slu_buf_str(&b, base_path);
	slu_buf_ch(&b, '/');
	slu_buf_str(&b, c->b->at.container);
	if (path) {
		slu_buf_ch(&b, '/');
		slu_url_encode(&b, path, strlen(path), "/");
	}
	c->path = slu_buf_take(&b);
	c->oom |= !c->path;
}

void slu_call_begin(struct slu_call *c, const char *method, const char *path)
{
	c->dfs = false;
	begin(c, method, c->b->at.path, path);
}

void slu_call_begin_dfs(struct slu_call *c, const char *method, const char *path)
{
	c->dfs = true;
	begin(c, method, c->b->at.dfs_path, path);
}

void slu_call_param(struct slu_call *c, const char *name, const char *value)
{
	char *copy = slu_strdup(value);

	if (!copy || c->params == SLU_CALL_PARAMS) {
		free(copy);
		c->oom = true;
		return;
	}
	c->param[c->params++] = (struct slu_blob_pair){name, copy};
}

void slu_call_header(struct slu_call *c, const char *name, const char *fmt, ...)
{
	va_list ap;
	char *value;

	va_start(ap, fmt);
	value = slu_vasprintf(fmt, ap);
	va_end(ap);
	if (!value || c->headers == SLU_CALL_HEADERS) {
		free(value);
		c->oom = true;
		return;
	}
	c->header[c->headers++] = (struct slu_blob_pair){name, value};
}

/* Name and value share their memory, which is that of the value. */
void slu_call_meta(struct slu_call *c, const char *name, const char *value)
{
	size_t n = strlen(value);
	char *both = slu_asprintf("%s%cx-ms-meta-%s", value, '\0', name);

	if (!both || c->headers == SLU_CALL_HEADERS) {
		free(both);
		c->oom = true;
		return;
	}
	c->header[c->headers++] = (struct slu_blob_pair){both + n + 1, both};
}

void slu_call_conditions(struct slu_call *c)
{
	if (c->op->flags & SLU_OPF_ABSENT)
		slu_call_header(c, "if-none-match", "*");
	else if (c->op->if_match)
		slu_call_header(c, "if-match", "\"%s\"", c->op->if_match);
}

/* strftime would use the program's language. */
static void set_date(struct slu_call *c)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = (time_t)(slu_wall() / SLU_SEC);
	struct tm t;

	gmtime_r(&now, &t);
	slu_call_header(c, "x-ms-date", "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
			days + 3 * t.tm_wday, t.tm_mday, months + 3 * t.tm_mon, t.tm_year + 1900,
			t.tm_hour, t.tm_min, t.tm_sec);
}

static int sign(struct slu_call *c)
{
	struct slu_blob_req q = {.method = c->x.method,
				 .path = c->path,
				 .param = c->param,
				 .params = c->params,
				 .header = c->header,
				 .headers = c->headers,
				 .body_len = c->x.body_len};
	char *value = NULL;
	int r = slu_blob_sign(&q, c->b->at.account, c->secret.key, c->secret.key_len, &value,
			      &c->op->err);

	if (r == 0)
		slu_call_header(c, "authorization", "%s", value);
	free(value);
	return r;
}

static void set_url(struct slu_call *c)
{
	struct slu_buf b = SLU_BUF(URL_MAX);
	char mark = '?';

	if (c->dfs)
		slu_buf_add(&b, c->b->at.dfs, (size_t)(c->b->at.dfs_path - c->b->at.dfs));
	else
		slu_buf_add(&b, c->b->at.base, (size_t)(c->b->at.path - c->b->at.base));
	slu_buf_str(&b, c->path);
	for (size_t i = 0; i < c->params; i++, mark = '&') {
		slu_buf_fmt(&b, "%c%s=", mark, c->param[i].name);
		slu_url_encode(&b, c->param[i].value, strlen(c->param[i].value), "");
	}
	if (c->secret.kind == SLU_BLOB_SAS)
		slu_buf_fmt(&b, "%c%s", mark, c->secret.sas);
	c->url = slu_buf_take(&b);
	c->oom |= !c->url;
}

static void on_token(struct slu_token_wait *w);

/* -EINPROGRESS: on_token will send it. */
static int get_secret(struct slu_call *c)
{
	int r;

	c->wait.fn = on_token;
	if (!c->b->identity)
		return slu_blob_cred_ask(c->b->cred, &c->wait, &c->secret, &c->op->err);
	r = slu_tokens_get(slu_identity_tokens(c->b->identity), &c->wait, &c->secret.token,
			   &c->op->err);
	if (r == 0)
		c->secret.kind = SLU_BLOB_TOKEN;
	return r;
}

static int prepare(struct slu_call *c)
{
	char id[33] = "";
	int r = c->oom ? -ENOMEM : get_secret(c);

	if (r < 0)
		return r == -ENOMEM ? slu_fail_oom(&c->op->err) : r;
	c->own_headers = c->headers;
	if (c->secret.kind == SLU_BLOB_TOKEN)
		slu_call_header(c, "authorization", "Bearer %s", c->secret.token);
	set_date(c);
	slu_call_header(c, "x-ms-version", "%s", c->dfs ? DFS_VERSION : API_VERSION);
	if (slu_random_id(id, 16) == 0)
		slu_call_header(c, "x-ms-client-request-id", "%s", id);
	if (c->secret.kind == SLU_BLOB_KEY && !c->oom) {
		r = sign(c);
		if (r < 0)
			return r;
	}
	set_url(c);
	for (size_t i = 0; i < c->headers && !c->oom; i++) {
		c->line[i] = slu_asprintf("%s: %s", c->header[i].name, c->header[i].value);
		c->oom |= !c->line[i];
	}
	return c->oom ? slu_fail_oom(&c->op->err) : 0;
}

/* Takes back what prepare() did, so that the request can be sent anew. */
static void unprepare(struct slu_call *c)
{
	while (c->headers > c->own_headers) {
		char *v = (char *)c->header[--c->headers].value;

		explicit_bzero(v, strlen(v));
		free(v);
	}
	for (size_t i = 0; i < SLU_CALL_HEADERS && c->line[i]; i++) {
		explicit_bzero(c->line[i], strlen(c->line[i]));
		free(c->line[i]);
		c->line[i] = NULL;
	}
	free(c->url);
	c->url = NULL;
	slu_blob_secret_done(&c->secret);
	pthread_mutex_lock(&c->b->lock); /* against a cancel just now */
	slu_xfer_done(&c->x);
	pthread_mutex_unlock(&c->b->lock);
}

/* The service numbers all its answers; a sign-in page or a proxy's word does not have one. */
static void check_sender(struct slu_call *c)
{
	if (c->x.rc != 0 || slu_xfer_header(&c->x, "x-ms-request-id"))
		return;
	c->x.rc =
		slu_fail(&c->x.err, EPROTO,
			 "what answered is no Blob service: see whether '%s' is right, and whether "
			 "a proxy or a sign-in page is in between",
			 c->b->at.base);
}

/* A token that the service no longer takes is replaced, once for a request. */
static void on_done(struct slu_xfer *x)
{
	struct slu_call *c = x->user;

	check_sender(c);
	if (x->rc != -EREMOTEIO || x->status != 401 || c->secret.kind != SLU_BLOB_TOKEN ||
	    c->renewed) {
		c->step(c);
		return;
	}
	slu_tokens_refused(slu_identity_tokens(c->b->identity), c->secret.token);
	c->renewed = true;
	unprepare(c);
	slu_call_send(c, c->step);
}

/* What could not even be sent ends as if it had been, on the loop. */
static void not_sent(void *arg)
{
	struct slu_call *c = arg;

	c->step(c);
}

static void send_again(void *arg)
{
	struct slu_call *c = arg;

	slu_call_send(c, c->step);
}

static void on_token(struct slu_token_wait *w)
{
	struct slu_call *c = (struct slu_call *)((char *)w - offsetof(struct slu_call, wait));

	if (slu_loop_post(c->loop, send_again, c) < 0)
		send_again(c);
}

/* r: what came of its preparation. */
static void send_prepared(struct slu_call *c, int r)
{
	c->x.url = c->url;
	c->x.headers = (const char *const *)c->line;
	c->x.done = on_done;
	c->x.user = c;
	if (r == 0 && slu_op_canceled(c->op))
		r = slu_fail(&c->op->err, ECANCELED, "canceled");
	if (r == 0) {
		pthread_mutex_lock(&c->b->lock); /* against a cancel just now */
		slu_xfer_send(c->loop, &c->x);
		pthread_mutex_unlock(&c->b->lock);
		return;
	}
	c->x.rc = r;
	c->x.err = c->op->err;
	if (slu_loop_post(c->loop, not_sent, c) < 0)
		not_sent(c);
}

void slu_call_send(struct slu_call *c, void (*step)(struct slu_call *c))
{
	int r;

	c->step = step;
	r = prepare(c);
	if (r != -EINPROGRESS)
		send_prepared(c, r);
}

void slu_call_send_url(struct slu_call *c, const char *url, const char *authorization,
		       void (*step)(struct slu_call *c))
{
	int r = 0;

	if (authorization)
		slu_call_header(c, "authorization", "%s", authorization);
	set_date(c);
	slu_call_header(c, "x-ms-version", API_VERSION);
	c->url = slu_strdup(url);
	for (size_t i = 0; i < c->headers && !c->oom; i++) {
		c->line[i] = slu_asprintf("%s: %s", c->header[i].name, c->header[i].value);
		c->oom |= !c->line[i];
	}
	if (c->oom || !c->url)
		r = slu_fail_oom(&c->op->err);
	c->step = step;
	send_prepared(c, r);
}

/* --- answers --- */

bool slu_call_is(const struct slu_call *c, int status, const char *code)
{
	struct slu_blob_fault f;

	if (c->x.rc != -EREMOTEIO || c->x.status != status)
		return false;
	if (!code)
		return true;
	slu_blob_fault_read(&c->x, &f);
	return slu_streq(f.code, code);
}

bool slu_call_unknown(const struct slu_call *c)
{
	if (c->x.rc == -EREMOTEIO)
		return c->x.status >= 500 || c->x.status == 408;
	return c->x.rc == -ETIMEDOUT || c->x.rc == -ECONNRESET || c->x.rc == -EPIPE ||
	       c->x.rc == -EPROTO || c->x.rc == -EIO;
}

static bool is_folder(const struct slu_call *c)
{
	const char *v = slu_xfer_header(&c->x, "x-ms-meta-hdi_isfolder");

	if (v && strcasecmp(v, "true") == 0)
		return true;
	v = slu_xfer_header(&c->x, "x-ms-resource-type");
	return v && slu_streq(v, "directory");
}

int slu_call_attr(struct slu_call *c, struct slu_attr *ret)
{
	const char *etag = slu_xfer_header(&c->x, "etag");
	const char *when = slu_xfer_header(&c->x, "last-modified");
	const char *size = slu_xfer_header(&c->x, "content-length");
	const char *md5 = slu_xfer_header(&c->x, "content-md5");
	const char *kept = slu_xfer_header(&c->x, "x-ms-meta-" SLU_BLOB_SUM_META);
	struct slu_attr a = {.kind = SLU_KIND_FILE};

	if (etag)
		slu_blob_set_etag(&a, etag);
	if (!a.id[0] || !when || !slu_http_date(when, &a.mtime_ns))
		return slu_fail(
			&c->op->err, EPROTO,
			"the answer about '%s' in container '%s' has no ETag or no time: is "
			"'%s' really a Blob service?",
			c->op->path, c->b->at.container, c->b->at.base);
	if (slu_streq(c->x.method, "HEAD")) {
		if (!size || !slu_u64(size, &a.size) || a.size > INT64_MAX)
			return slu_fail(&c->op->err, EPROTO,
					"the answer about '%s' in container '%s' has no length",
					c->op->path, c->b->at.container);
		if (md5)
			slu_blob_set_md5(&a, md5);
		if (kept)
			slu_blob_kept_sum(&a, kept);
	}
	if (slu_streq(c->x.method, "HEAD") && is_folder(c))
		a = (struct slu_attr){.kind = SLU_KIND_DIR, .mtime_ns = a.mtime_ns};
	*ret = a;
	return 0;
}
