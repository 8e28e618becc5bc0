/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COPY from another account, or from any URL: the service fetches the bytes itself.  A short blob is
 * one Put Blob From URL; a long one is blocks by Put Block From URL, several at a time, and one commit
 * that keeps the content headers and metadata of the source.  Whatever the service refuses to fetch is
 * -ENOTSUP, and the bytes go through the caller; a host that was refused once is not tried again.
 */
#include "blob/block.h"
#include "blob/call.h"
#include "blob/errors.h"
#include "blob/sum.h"
#include "common/hash.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/blocks.h"
#include "io/crypt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ONE_MAX (64u << 20) /* in one request */
#define PART (64u << 20)
#define KIDS 8
#define TRIES 4 /* of a part */
#define WAIT_NS (200 * SLU_MS)
#define KEPT_MAX 40

struct slu_blob_fetch {
	char txn[SLU_TXN_MAX];
	uint64_t next; /* offset of the part to be asked for */
	unsigned running;
	bool refused; /* the service does not fetch it: others may */
	int rc;       /* the first failure, and err */
	struct slu_err err;
	struct slu_blob_pair kept[KEPT_MAX]; /* headers of the source, both texts ours */
	size_t n_kept;
};

void slu_blob_fetch_free(struct slu_blob_fetch *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n_kept; i++) {
		free((char *)f->kept[i].name);
		free((char *)f->kept[i].value);
	}
	free(f);
}

/* --- what the service does not fetch --- */

static uint64_t host_of(const char *url)
{
	const char *at = strstr(url, "://");
	uint64_t h = slu_hash_bytes(url, at ? (size_t)(at - url) + 3 + strcspn(at + 3, "/") : 0);

	return h ? h : 1;
}

static void not_served(struct slu_call *c)
{
	slu_call_finish(c, slu_fail(&c->op->err, ENOTSUP,
				    "the service cannot fetch what is to be copied to '%s'",
				    c->op->path));
}

/* Is it the fetching that was refused, so that the bytes can still go through us? */
static bool is_refused(struct slu_call *c)
{
	static const char *const codes[] = {
		"CannotVerifyCopySource", "CopyAcrossAccountsNotSupported",
		"InvalidHeaderValue",     "UnsupportedHeader",
		"FeatureNotSupported",    "InvalidInput",
		"InvalidSourceBlobUrl",   "InvalidBlobOrBlock"};
	struct slu_blob_fault f;

	if (c->x.rc != -EREMOTEIO)
		return false;
	if (c->x.status == 405 || c->x.status == 501)
		return true;
	slu_blob_fault_read(&c->x, &f);
	if (c->x.status == 500 && !f.code[0])
		return true; /* the emulator's way to say that it cannot */
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (slu_streq(f.code, codes[i]))
			return true;
	return false;
}

/* A source that is gone, or what lies at the destination, says nothing about the host. */
static void remember_host(struct slu_call *c)
{
	if (c->x.status != 404 && !slu_call_is(c, 400, "InvalidBlobOrBlock"))
		atomic_store(&c->b->refused, host_of(c->op->from->url));
}

static int changed(struct slu_call *c)
{
	return slu_fail(&c->op->err, ESTALE,
			"what was to be copied to '%s' was changed by somebody else", c->op->path);
}

static void source_headers(struct slu_call *c)
{
	const struct slu_source *from = c->op->from;

	slu_call_header(c, "x-ms-copy-source", "%s", from->url);
	if (from->authorization)
		slu_call_header(c, "x-ms-copy-source-authorization", "%s", from->authorization);
	if (from->id[0])
		slu_call_header(c, "x-ms-source-if-match", "\"%s\"", from->id);
}

/* --- short ones --- */

/* A lost answer.  What is not there can be written in another way; what is there may be ours. */
static void on_look(struct slu_call *c)
{
	if (slu_call_is(c, 404, NULL) ||
	    (c->x.rc == 0 && !(c->op->flags & SLU_OPF_ABSENT) && !c->op->if_match))
		not_served(c);
	else
		slu_blob_give_up(c, false);
}

static void on_put(struct slu_call *c)
{
	if (c->x.rc == 0) {
		c->total = c->op->from->size;
		slu_blob_put_done(c);
	} else if (slu_call_is(c, 412, "SourceConditionNotMet")) {
		slu_call_finish(c, changed(c));
	} else if (is_refused(c)) {
		remember_host(c);
		not_served(c);
	} else if (slu_call_unknown(c)) {
		slu_blob_remember(c);
		slu_call_begin(c, "HEAD", c->op->path);
		slu_call_send(c, on_look);
	} else {
		slu_call_fail(c);
	}
}

static void put_from_url(struct slu_call *c)
{
	const struct slu_props *p = c->op->props;
	int r;

	slu_call_begin(c, "PUT", c->op->path);
	slu_call_header(c, "x-ms-blob-type", "BlockBlob");
	if (p && p->content_type) {
		slu_call_header(c, "x-ms-copy-source-blob-properties", "false");
		slu_blob_type(c);
	}
	source_headers(c);
	slu_call_conditions(c);
	r = slu_blob_props(c);
	if (r < 0)
		slu_call_finish(c, r);
	else
		slu_call_send(c, on_put);
}

/* --- long ones --- */

static void next_part(struct slu_call *k);

static void all_ended(struct slu_call *c)
{
	struct slu_blob_fetch *f = c->fetch;

	if (f->refused) {
		not_served(c);
	} else if (f->rc < 0) {
		c->op->err = f->err;
		slu_call_finish(c, f->rc);
	} else {
		c->txn = f->txn;
		c->total = c->op->from->size;
		c->id_len = SLU_BLOB_ID_LEN;
		slu_blob_commit_list(c);
	}
}

static void end_kid(struct slu_call *k)
{
	struct slu_call *c = k->parent;

	slu_call_free(k);
	if (--c->fetch->running == 0)
		all_ended(c);
}

static void fail_part(struct slu_call *k)
{
	struct slu_blob_fetch *f = k->parent->fetch;
	int r;

	if (slu_call_is(k, 412, NULL))
		r = changed(k);
	else
		r = slu_blob_fail(k->op, &k->b->at, &k->x, k->secret.sas);
	if (f->rc == 0) {
		f->rc = r;
		f->err = k->op->err;
		f->refused = is_refused(k);
		if (f->refused)
			remember_host(k);
	}
	end_kid(k);
}

static void send_part(void *arg);

static void on_part(struct slu_call *k)
{
	bool passes = slu_call_unknown(k) || slu_call_is(k, 503, NULL) || slu_call_is(k, 429, NULL);

	if (k->x.rc == 0) {
		k->tries = 0;
		next_part(k);
		return;
	}
	if (passes && !is_refused(k) && ++k->tries < TRIES &&
	    (k->timer || slu_timer_new(k->loop, send_part, k, &k->timer) == 0))
		slu_timer_set(k->timer, slu_deadline_in(WAIT_NS << k->tries));
	else
		fail_part(k);
}

static void send_part(void *arg)
{
	struct slu_call *k = arg;
	uint64_t off = k->total;
	char id[SLU_BLOB_BLOCK_ID];

	slu_blob_block_id(k->parent->fetch->txn, off, SLU_BLOB_ID_LEN, id);
	slu_call_begin(k, "PUT", k->op->path);
	slu_call_param(k, "blockid", id);
	slu_call_param(k, "comp", "block");
	source_headers(k);
	slu_call_header(k, "x-ms-source-range", "bytes=%" PRIu64 "-%" PRIu64, off,
			off + k->part_len - 1);
	k->oom |= !*id;
	slu_call_send(k, on_part);
}

/* total: where the kid's part begins. */
static void next_part(struct slu_call *k)
{
	struct slu_call *c = k->parent;
	struct slu_blob_fetch *f = c->fetch;
	uint64_t left = c->op->from->size - f->next;

	if (!left || f->rc < 0) {
		end_kid(k);
		return;
	}
	k->total = f->next;
	k->part_len = left < c->unit ? (size_t)left : c->unit;
	f->next += k->part_len;
	send_part(k);
}

static int keep(struct slu_blob_fetch *f, const char *prefix, const char *name, const char *value)
{
	struct slu_blob_pair *p = &f->kept[f->n_kept];

	if (f->n_kept == KEPT_MAX)
		return -ENOTSUP;
	p->name = slu_asprintf("%s%s", prefix, name);
	p->value = slu_strdup(value);
	f->n_kept++;
	return p->name && p->value ? 0 : -ENOMEM;
}

/* What Copy Blob would keep as well; metadata only when none is given. */
static int keep_source(struct slu_call *c)
{
	static const char *const content[] = {"content-type",        "content-encoding",
					      "content-language",    "content-md5",
					      "content-disposition", "cache-control"};
	const struct slu_props *p = c->op->props;
	const char *name = NULL, *value;
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(content) / sizeof(content[0]); i++) {
		value = slu_xfer_header(&c->x, content[i]);
		if (value && !(i == 0 && p && p->content_type))
			r = keep(c->fetch, "x-ms-blob-", content[i], value);
	}
	while (r == 0 && (name = slu_xfer_next_header(&c->x, "x-ms-meta-", name, &value)))
		/* that sum is of the source's own blocks */
		if (!(p && p->metadata) && strcasecmp(name, "x-ms-meta-" SLU_BLOB_SUM_META) != 0)
			r = keep(c->fetch, "", name, value);
	return r;
}

void slu_blob_fetch_headers(struct slu_call *c)
{
	const struct slu_blob_fetch *f = c->fetch;

	for (size_t i = 0; i < f->n_kept; i++)
		slu_call_header(c, f->kept[i].name, "%s", f->kept[i].value);
	if (c->op->props && c->op->props->content_type)
		slu_blob_type(c);
}

static void start_kids(struct slu_call *c)
{
	struct slu_call *kids[KIDS];
	unsigned n = 0;

	while (n < KIDS && (kids[n] = slu_call_kid(c)))
		n++;
	if (!n) {
		slu_call_finish(c, slu_fail_oom(&c->op->err));
		return;
	}
	c->fetch->running = n;
	for (unsigned i = 0; i < n; i++)
		next_part(kids[i]); /* the last one that ends may finish c */
}

/* Whatever is wrong with the source, the caller's own reading will tell better. */
static void on_source(struct slu_call *c)
{
	const struct slu_source *from = c->op->from;
	struct slu_attr a;
	int r;

	if (c->x.rc < 0) {
		not_served(c);
		return;
	}
	r = slu_call_attr(c, &a);
	if (r == 0 && (a.size != from->size || (from->id[0] && !slu_streq(a.id, from->id))))
		r = changed(c);
	if (r == 0)
		r = keep_source(c);
	if (r < 0)
		slu_call_finish(c, r == -ENOMEM ? slu_fail_oom(&c->op->err) : r);
	else
		start_kids(c);
}

static void fetch_parts(struct slu_call *c)
{
	size_t unit = slu_blocks_unit(&c->b->s, c->op->from->size);
	struct slu_blob_fetch *f = slu_new0(struct slu_blob_fetch);
	int r = f ? slu_random_id(f->txn, (SLU_TXN_MAX - 1) / 2) : -ENOMEM;

	c->fetch = f;
	if (r < 0 || !unit) {
		slu_call_finish(
			c, r < 0 ? slu_fail_sys(&c->op->err, -r, "cannot copy to '%s'", c->op->path)
				 : slu_fail(&c->op->err, EFBIG, "'%s' is too long for a blob",
					    c->op->path));
		return;
	}
	c->unit = unit > PART ? unit : PART;
	slu_call_begin(c, "HEAD", NULL);
	slu_call_send_url(c, c->op->from->url, c->op->from->authorization, on_source);
}

void slu_blob_fetch(struct slu_call *c)
{
	if (atomic_load(&c->b->refused) == host_of(c->op->from->url))
		not_served(c);
	else if (c->op->from->size <= ONE_MAX)
		put_from_url(c);
	else
		fetch_parts(c);
}
