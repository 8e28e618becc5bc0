/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STAT, LIST, READ.  A pinned READ goes to the inode, so that a file that was replaced cannot answer
 * under its old name, and asks for time and length afterwards, since append and truncate keep the
 * inode.  The address of the DataNode is remembered for a while: one question to the NameNode less
 * for each read of a file.
 */
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"
#include "hdfs/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PLACES_MAX 256
#define PLACE_SPAN (64u << 20) /* bytes of a file that share an address: about a block */
#define KEY_MAX 48

/* --- stat --- */

/* Who may look at it may not be allowed to see who else may; and the server may have no lists. */
static void acl_done(struct slu_hdfs_req *q)
{
	struct slu_op *op = q->op;
	bool refused = q->x.rc == -EREMOTEIO && q->x.status < 500;
	int r = refused ? 0 : slu_hdfs_result(q);

	if (r == 0 && !refused)
		r = slu_hdfs_acl(q->x.resp.p, q->x.resp.len, op->detail, &op->err);
	slu_hdfs_end(q, r < 0 ? slu_hdfs_explain(q) : 0);
}

static void stat_done(struct slu_hdfs_req *q)
{
	struct slu_op *op = q->op;
	struct slu_hdfs_id id;
	bool acl = false;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_status(q->x.resp.p, q->x.resp.len, &op->attr, &id, &op->err);
	if (r == 0 && op->flags & SLU_OPF_DETAIL) {
		slu_json_free(op->detail); /* of a try before */
		op->detail = NULL;
		r = slu_hdfs_detail(q->x.resp.p, q->x.resp.len, &op->detail, &acl, &op->err);
	}
	if (acl)
		slu_hdfs_ask(q, "GET", op->path, "op=GETACLSTATUS", acl_done);
	else if (r == 0 && op->flags & SLU_OPF_SUM && op->attr.kind == SLU_KIND_FILE)
		slu_hdfs_sum(q);
	else
		slu_hdfs_end(q, r < 0 ? slu_hdfs_explain(q) : 0);
}

void slu_hdfs_stat(struct slu_hdfs_req *q)
{
	slu_hdfs_ask(q, "GET", q->op->path, "op=GETFILESTATUS", stat_done);
}

/* --- list --- */

static void list_done(struct slu_hdfs_req *q)
{
	struct slu_op *op = q->op;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_listing(q->x.resp.p, q->x.resp.len, false, op->list, &op->err);
	slu_hdfs_end(q, r < 0 ? slu_hdfs_explain(q) : 0);
}

void slu_hdfs_list(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(16 << 10);

	slu_buf_str(&b, "op=LISTSTATUS_BATCH");
	if (q->op->marker) {
		slu_buf_str(&b, "&startAfter=");
		slu_url_encode(&b, q->op->marker, strlen(q->op->marker), "");
	}
	slu_hdfs_ask(q, "GET", q->op->path, slu_buf_err(&b) ? NULL : b.p, list_done);
}

/* --- where the bytes are --- */

static void place_key(const struct slu_hdfs_req *q, char out[KEY_MAX])
{
	snprintf(out, KEY_MAX, "%" PRIx64 "+%" PRIx64, q->id.inode, q->op->off / PLACE_SPAN);
}

static char *place_get(struct slu_hdfs_req *q)
{
	char key[KEY_MAX], *url;

	if (!q->id.inode || q->tries)
		return NULL;
	place_key(q, key);
	pthread_mutex_lock(&q->h->lock);
	url = slu_strdup(slu_hash_get(q->h->places, key));
	pthread_mutex_unlock(&q->h->lock);
	return url;
}

static void drop_one(const char *key, void *value, void *user)
{
	const char **any = user;

	(void)value;
	*any = key;
}

/* url NULL: forget it.  A table that is full loses one that comes first. */
static void place_set(struct slu_hdfs_req *q, const char *url)
{
	SLU_AUTO(slu_freep) char *copy = slu_strdup(url);
	struct slu_hash *places = q->h->places;
	char key[KEY_MAX];

	if (!q->id.inode)
		return;
	place_key(q, key);
	pthread_mutex_lock(&q->h->lock);
	free(slu_hash_del(places, key));
	if (copy && slu_hash_count(places) >= PLACES_MAX) {
		SLU_AUTO(slu_freep) char *old = NULL;
		const char *any = NULL;

		slu_hash_each(places, drop_one, &any);
		old = slu_strdup(any);
		if (old)
			free(slu_hash_del(places, old));
	}
	if (copy && slu_hash_put(places, key, copy))
		copy = NULL;
	pthread_mutex_unlock(&q->h->lock);
}

/* --- read --- */

static void stale(struct slu_hdfs_req *q, const char *now)
{
	const struct slu_hdfs *h = q->h;

	slu_hdfs_end(q, slu_fail(&q->op->err, ESTALE,
				 "'%s' in 'hdfs://%s%s' has changed since it was resolved (was "
				 "%s, now %s): resolve the data again, or register a new version",
				 q->op->path, h->rpc ? h->rpc : h->web, h->root, q->op->if_match,
				 now));
}

/* The bytes are there: are they still those of the identity? */
static void verified(struct slu_hdfs_req *q)
{
	struct slu_op *op = q->op;
	struct slu_hdfs_id id;
	struct slu_attr a;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_status(q->x.resp.p, q->x.resp.len, &a, &id, &op->err);
	if (r == -ENOENT)
		stale(q, "gone");
	else if (r < 0)
		slu_hdfs_end(q, slu_hdfs_explain(q));
	else if (!slu_streq(a.id, op->if_match))
		stale(q, a.id);
	else if (q->rc < 0)
		slu_hdfs_end_fail(q, EIO, "a DataNode answered with another length");
	else
		slu_hdfs_end(q, 0);
}

static const char *read_path(const struct slu_hdfs_req *q)
{
	return q->id.inode ? NULL : q->op->path;
}

static void verify(struct slu_hdfs_req *q)
{
	if (!q->op->if_match)
		slu_hdfs_end(q, 0);
	else
		slu_hdfs_ask(q, "GET", read_path(q), "op=GETFILESTATUS", verified);
}

/* Whose length is it?  No success comes of this. */
static void wrong_length(struct slu_hdfs_req *q, int rc)
{
	q->rc = rc;
	verify(q);
}

static void locate(struct slu_hdfs_req *q);

static void body_done(struct slu_hdfs_req *q)
{
	int r = slu_hdfs_result(q);
	/* an answer that is right but for its length: the file is another one now, or ends here */
	bool length = (r == -EPROTO || r == -ESTALE) && q->x.status == 200;

	if (r == 0) {
		verify(q);
		return;
	}
	place_set(q, NULL);
	if ((!length && slu_hdfs_try_other(q, r)) || q->placed)
		locate(q);
	else if (length && q->op->if_match)
		wrong_length(q, r);
	else if (length)
		slu_hdfs_end_fail(q, EIO, "the file ended before the bytes that are wanted");
	else if (q->op->if_match && r == -ENOENT)
		stale(q, "gone");
	else
		slu_hdfs_end(q, slu_hdfs_explain(q));
}

static void fetch(struct slu_hdfs_req *q, const char *place)
{
	slu_hdfs_data(q, "GET", slu_hdfs_ranged(place, q->op->off, q->op->len), NULL, q->op->len,
		      body_done);
}

static void located(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_freep) char *url = NULL;
	int r = slu_hdfs_redirect(q, &url);

	if (slu_hdfs_ask_again(q, r)) {
		locate(q);
	} else if (r == -ENOENT && q->op->if_match) {
		stale(q, "gone");
	} else if (r < 0) {
		slu_hdfs_end(q, slu_hdfs_explain(q));
	} else {
		place_set(q, url);
		fetch(q, url);
	}
}

static void locate(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);

	q->placed = false;
	slu_buf_fmt(&b, "op=OPEN&noredirect=true&offset=%" PRIu64 "&length=%zu", q->op->off,
		    q->op->len);
	slu_hdfs_add_exclude(q, &b);
	slu_hdfs_ask(q, "GET", read_path(q), slu_buf_err(&b) ? NULL : b.p, located);
}

void slu_hdfs_read(struct slu_hdfs_req *q)
{
	struct slu_op *op = q->op;
	SLU_AUTO(slu_freep) char *place = NULL;

	if (op->if_match && !slu_hdfs_id_parse(op->if_match, &q->id)) {
		stale(q, "another store's");
		return;
	}
	if (slu_hdfs_frozen(q->h->root, op->path))
		q->id.inode = 0; /* the name says more */
	if (op->if_match && op->off + op->len > q->id.size) {
		slu_hdfs_end_fail(q, EIO, "the file ends before the bytes that are wanted");
		return;
	}
	if (!op->len) {
		verify(q);
		return;
	}
	place = place_get(q);
	q->placed = place && slu_hdfs_check_location(place, q->h->tls, &q->host, NULL) == 0;
	if (q->placed)
		fetch(q, place);
	else
		locate(q);
}
