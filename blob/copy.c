/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COPY within an account: Copy Blob, which the service carries out by itself, then HEAD until it says
 * that the copy is complete.  Between accounts a pending copy could be seen half done: fetch.c.  Also
 * what lets a service read a blob of ours: a SAS that allows nothing else and ends within the hour,
 * or the token of an identity.
 */
#include "blob/call.h"
#include "blob/errors.h"
#include "blob/sum.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"
#include "io/url.h"

#include <errno.h>
#include <string.h>

#define SAS_NS (60 * 60 * SLU_SEC)
#define SAS_VERSION "2021-12-02"
#define POLL_MIN (50 * SLU_MS)
#define POLL_MAX (2 * SLU_SEC)

/* --- the source --- */

/* Service SAS, version 2020-12-06 and later ("Create a service SAS" of the REST reference). */
static char *make_sas(const struct slu_blob *b, const char *path, const struct slu_blob_secret *s,
		      int64_t end_ns)
{
	SLU_AUTO(slu_buf_done) struct slu_buf text = SLU_BUF(64u << 10);
	SLU_AUTO(slu_buf_done) struct slu_buf sas = SLU_BUF(4096);
	SLU_AUTO(slu_freep) char *code = NULL;
	const char *protocol = slu_starts(b->at.base, "https:") ? "https" : "https,http";
	char end[SLU_TIME_LEN];
	uint8_t mac[32];

	slu_time_fmt(end, end_ns);
	memcpy(end + sizeof("2026-01-31T08:00:00") - 1, "Z", 2);
	slu_buf_fmt(&text, "r\n\n%s\n/blob/%s/%s/%s\n\n\n%s\n" SAS_VERSION "\nb\n\n\n\n\n\n\n", end,
		    b->at.account, b->at.container, path, protocol);
	if (slu_buf_err(&text) < 0 ||
	    slu_hmac_sha256(s->key, s->key_len, text.p, text.len, mac) < 0)
		return NULL;
	code = slu_base64(mac, sizeof(mac));
	if (!code)
		return NULL;
	slu_buf_fmt(&sas, "sv=" SAS_VERSION "&spr=%s&se=%s&sr=b&sp=r&sig=", protocol, end);
	slu_url_encode(&sas, code, strlen(code), "");
	return slu_buf_take(&sas);
}

char *slu_blob_read_sas(const struct slu_blob *b, const char *path, const struct slu_blob_secret *s,
			int64_t end_ns)
{
	if (s->kind == SLU_BLOB_SAS)
		return slu_strdup(s->sas);
	return s->kind == SLU_BLOB_KEY ? make_sas(b, path, s, end_ns) : slu_strdup("");
}

struct token_wait {
	struct slu_token_wait w;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool there;
};

static void token_there(struct slu_token_wait *w)
{
	struct token_wait *t = (struct token_wait *)w;

	pthread_mutex_lock(&t->lock);
	t->there = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

static int ask_secret(struct slu_blob *b, struct slu_token_wait *w, struct slu_blob_secret *ret,
		      char **token, struct slu_err *e)
{
	return b->identity ? slu_tokens_get(slu_identity_tokens(b->identity), w, token, e)
			   : slu_blob_cred_ask(b->cred, w, ret, e);
}

int slu_blob_wait_secret(struct slu_blob *b, struct slu_blob_secret *ret, char **token,
			 struct slu_err *e)
{
	struct token_wait t = {
		{.fn = token_there}, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
	int r;

	while ((r = ask_secret(b, &t.w, ret, token, e)) == -EINPROGRESS) {
		pthread_mutex_lock(&t.lock);
		while (!t.there)
			pthread_cond_wait(&t.cond, &t.lock);
		t.there = false;
		pthread_mutex_unlock(&t.lock);
	}
	pthread_cond_destroy(&t.cond);
	pthread_mutex_destroy(&t.lock);
	return r;
}

int slu_blob_source(struct slu_store *s, const char *path, const struct slu_attr *attr,
		    struct slu_source *ret, struct slu_err *e)
{
	struct slu_blob *b = (struct slu_blob *)s;
	struct slu_blob_secret now = {0};
	SLU_AUTO(slu_buf_done) struct slu_buf url = SLU_BUF(64u << 10);
	SLU_AUTO(slu_freep) char *sas = NULL;
	SLU_AUTO(slu_freep) char *token = NULL;
	int r = slu_blob_wait_secret(b, &now, &token, e);

	if (r < 0)
		return r;
	sas = slu_blob_read_sas(b, path, &now, slu_wall() + SAS_NS);
	slu_blob_secret_done(&now);
	slu_buf_fmt(&url, "%s/%s/", b->at.base, b->at.container);
	slu_url_encode(&url, path, strlen(path), "/");
	if (sas && *sas)
		slu_buf_fmt(&url, "?%s", sas);
	*ret = (struct slu_source){.url = slu_buf_take(&url), .size = attr->size};
	memcpy(ret->id, attr->id, sizeof(ret->id));
	if (token) {
		ret->authorization = slu_asprintf("Bearer %s", token);
		explicit_bzero(token, strlen(token));
	}
	if (sas)
		explicit_bzero(sas, strlen(sas));
	if (sas && ret->url && (!token || ret->authorization))
		return 0;
	slu_source_done(ret);
	return slu_fail_oom(e);
}

/* --- the copy --- */

static void look(struct slu_call *c);

static void on_time(void *arg)
{
	look(arg);
}

/* The next look after a while; a cancel or the deadline is seen when that is sent. */
static int look_later(struct slu_call *c)
{
	c->poll_ns = c->poll_ns ? c->poll_ns * 2 : POLL_MIN;
	if (c->poll_ns > POLL_MAX)
		c->poll_ns = POLL_MAX;
	if (!c->timer && slu_timer_new(c->loop, on_time, c, &c->timer) < 0)
		return slu_fail_oom(&c->op->err);
	slu_timer_set(c->timer, slu_deadline_in(c->poll_ns));
	return 0;
}

static int complete(struct slu_call *c)
{
	int r = slu_call_attr(c, &c->op->attr);

	if (r == 0 && c->op->attr.size != c->op->from->size)
		r = slu_fail(&c->op->err, EIO, "'%s' has %llu bytes after %llu were copied",
			     c->op->path, (unsigned long long)c->op->attr.size,
			     (unsigned long long)c->op->from->size);
	return r;
}

static void on_look(struct slu_call *c)
{
	const char *status, *id;
	int r;

	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	status = slu_xfer_header(&c->x, "x-ms-copy-status");
	id = slu_xfer_header(&c->x, "x-ms-copy-id");
	if (!id || !status || !slu_streq(id, c->copy_id)) {
		r = slu_fail(&c->op->err, EBUSY,
			     "'%s' in container '%s' was written by somebody else while it was "
			     "copied to",
			     c->op->path, c->b->at.container);
	} else if (slu_streq(status, "pending")) {
		r = look_later(c);
		if (r == 0)
			return;
	} else if (slu_streq(status, "success")) {
		r = complete(c);
	} else {
		const char *why = slu_xfer_header(&c->x, "x-ms-copy-status-description");

		r = slu_fail(&c->op->err, EIO, "the service could not copy to '%s': %s %s",
			     c->op->path, status, why ? why : "");
	}
	slu_call_finish(c, r);
}

static void look(struct slu_call *c)
{
	slu_call_begin(c, "HEAD", c->op->path);
	slu_call_send(c, on_look);
}

/* Was it carried out though the answer is lost?  Not, when there is nothing. */
static void on_lost(struct slu_call *c)
{
	if (slu_call_is(c, 404, NULL)) {
		c->err.code = EAGAIN;
		c->rc = -EAGAIN;
	}
	c->op->err = c->err;
	slu_call_finish(c, c->rc);
}

static void on_copy(struct slu_call *c)
{
	const char *id = slu_xfer_header(&c->x, "x-ms-copy-id");

	if (c->x.rc == 0 && id) {
		snprintf(c->copy_id, sizeof(c->copy_id), "%s", id);
		look(c);
	} else if (slu_call_unknown(c)) {
		c->rc = slu_blob_fail(c->op, &c->b->at, &c->x, c->secret.sas);
		c->err = c->op->err;
		slu_call_begin(c, "HEAD", c->op->path);
		slu_call_send(c, on_lost);
	} else if (c->x.rc == 0) {
		slu_call_finish(c, slu_fail(&c->op->err, EPROTO,
					    "the answer about the copy to '%s' has no copy id",
					    c->op->path));
	} else if (slu_call_is(c, 412, "SourceConditionNotMet")) {
		slu_call_finish(c, slu_fail(&c->op->err, ESTALE,
					    "what was to be copied to '%s' was changed by somebody "
					    "else",
					    c->op->path));
	} else {
		slu_call_fail(c);
	}
}

static void send_copy(struct slu_call *c)
{
	const struct slu_source *from = c->op->from;
	int r;

	slu_call_begin(c, "PUT", c->op->path);
	slu_call_header(c, "x-ms-copy-source", "%s", from->url);
	if (from->id[0])
		slu_call_header(c, "x-ms-source-if-match", "\"%s\"", from->id);
	slu_call_conditions(c);
	if (c->crc64[0])
		slu_call_meta(c, SLU_BLOB_SUM_META, c->crc64);
	r = slu_blob_props(c);
	if (r < 0)
		slu_call_finish(c, r);
	else
		slu_call_send(c, on_copy);
}

/* Blocks are copied with their ids, so the sum of the source is of the copy as well.  Whatever is wrong with the source,
 * the copy will tell. */
static void on_source(struct slu_call *c)
{
	slu_blob_take_sum(c, *c->op->props->crc64);
	send_copy(c);
}

void slu_blob_copy(struct slu_call *c)
{
	const struct slu_source *from = c->op->from;
	const char *below = slu_after(from->url, c->b->at.base);
	const struct slu_props *p = c->op->props;

	if (!below || *below != '/') {
		slu_blob_fetch(c);
		return;
	}
	if (p && p->content_type) {
		slu_call_finish(c,
				slu_fail(&c->op->err, ENOTSUP,
					 "the service cannot copy to '%s' by itself", c->op->path));
		return;
	}
	/* metadata that are given take the place of all that the source has */
	if (!p || !p->metadata || !p->crc64) {
		send_copy(c);
		return;
	}
	slu_call_begin(c, "HEAD", NULL);
	slu_call_send_url(c, from->url, from->authorization, on_source);
}
