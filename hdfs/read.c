/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STAT, LIST, READ.  A pinned READ goes to the inode, so that a file that was replaced cannot answer
 * under its old name, and asks for time and length afterwards, since append and truncate keep the
 * inode.  The address of the DataNode is remembered for a while: one question to the NameNode less
 * for each read of a file.
 */
#include "common/json.h"
#include "common/log.h"
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

/* --- what is pinned --- */

static void stale(struct slu_hdfs_req *q, const char *now)
{
	const struct slu_hdfs *h = q->h;

	slu_hdfs_end(q, slu_fail(&q->op->err, ESTALE,
				 "'%s' in 'hdfs://%s%s' has changed since it was resolved (was "
				 "%s, now %s): " SLU_STALE_REMEDY,
				 q->op->path, h->rpc ? h->rpc : h->web, h->root, q->op->if_match,
				 now));
}

static const char *read_path(const struct slu_hdfs_req *q)
{
	return q->id.inode ? NULL : q->op->path;
}

/* What the op is pinned to, into q->id; false: nothing of this store's. */
static bool take_pin(struct slu_hdfs_req *q)
{
	if (q->op->if_match && !slu_hdfs_id_parse(q->op->if_match, &q->id))
		return false;
	if (slu_hdfs_frozen(q->h->root, q->op->path))
		q->id.inode = 0; /* the name says more */
	return true;
}

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

/* The file is known; its checksum is wanted too, if it is that of the bytes which are read. */
static void sum_wanted(struct slu_hdfs_req *q)
{
	const char *coded = slu_hdfs_coded(q->x.resp.p, q->x.resp.len);

	if (q->op->if_match && !slu_streq(q->op->attr.id, q->op->if_match))
		stale(q, q->op->attr.id);
	else if (coded)
		slu_hdfs_no_sum(q, coded);
	else
		slu_hdfs_sum(q, read_path(q));
}

static void stat_end(struct slu_hdfs_req *q)
{
	if (q->acl)
		slu_hdfs_ask(q, "GET", q->op->path, "op=GETACLSTATUS", acl_done);
	else
		slu_hdfs_end(q, 0);
}

/* What a gateway does not tell is taken for no. */
static void blocks_seen(struct slu_hdfs_req *q)
{
	struct slu_op *op = q->op;

	if (q->x.rc == 0)
		op->attr.open = slu_hdfs_is_being_written(q->x.resp.p, q->x.resp.len);
	else if (q->x.rc != -ECANCELED)
		slu_debug("hdfs", "it is not told whether '%s' is being written", op->path);
	if (op->attr.open && op->detail && slu_json_set_bool(op->detail, "being_written", true) < 0)
		slu_hdfs_end_fail(q, ENOMEM, "out of memory");
	else if (q->x.rc == -ECANCELED)
		slu_hdfs_end_fail(q, ECANCELED, "canceled");
	else
		stat_end(q);
}

static void stat_done(struct slu_hdfs_req *q)
{
	struct slu_op *op = q->op;
	struct slu_hdfs_id id;
	int r = slu_hdfs_result(q);

	if (r == -ENOENT && q->id.inode) {
		stale(q, "gone");
		return;
	}
	if (r == 0)
		r = slu_hdfs_status(q->x.resp.p, q->x.resp.len, &op->attr, &id, &op->err);
	if (r == 0 && op->flags & SLU_OPF_DETAIL) {
		slu_json_free(op->detail); /* of a try before */
		op->detail = NULL;
		r = slu_hdfs_detail(q->x.resp.p, q->x.resp.len, &op->detail, &q->acl, &op->err);
	}
	if (r < 0)
		slu_hdfs_end(q, slu_hdfs_explain(q));
	else if (op->flags & SLU_OPF_SUM && op->attr.kind == SLU_KIND_FILE)
		sum_wanted(q);
	else if (op->attr.kind == SLU_KIND_FILE &&
		 (op->flags & SLU_OPF_OPEN || (op->flags & SLU_OPF_DETAIL && op->attr.unsure)))
		slu_hdfs_ask(q, "GET", op->path, "op=GET_BLOCK_LOCATIONS&offset=0&length=1",
			     blocks_seen);
	else
		stat_end(q);
}

void slu_hdfs_stat(struct slu_hdfs_req *q)
{
	if (q->op->flags & SLU_OPF_SUM && !take_pin(q))
		stale(q, "another store's");
	else
		slu_hdfs_ask(q, "GET", read_path(q), "op=GETFILESTATUS", stat_done);
}

/* --- list --- */

static void list_done(struct slu_hdfs_req *q)
{
	struct slu_op *op = q->op;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_listing(q->x.resp.p, q->x.resp.len, op->flags & SLU_OPF_TEMPS,
				     op->list, &op->err);
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

/* A DataNode answers, looks for other copies of what is damaged, and breaks off when there is none. */
static void note_cut(struct slu_hdfs_req *q, int r)
{
	if (q->x.status == 200 && slu_hdfs_is_transport(r) && r != -ECANCELED)
		atomic_store(&q->h->cut, q->id.inode);
}

static int explain_read(struct slu_hdfs_req *q)
{
	uint64_t cut = atomic_load(&q->h->cut);

	if (cut && cut == q->id.inode && slu_hdfs_is_transport(-q->op->err.code))
		slu_fail_more(&q->op->err,
			      "DataNodes broke off in the middle, as they do when all "
			      "copies are damaged ('hdfs fsck' tells; then write the file "
			      "anew from its source)");
	return slu_hdfs_explain(q);
}

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
	note_cut(q, r);
	if ((!length && slu_hdfs_try_other(q, r)) || q->placed)
		locate(q);
	else if (length && q->op->if_match)
		wrong_length(q, r);
	else if (length)
		slu_hdfs_end_fail(q, EIO, "the file ended before the bytes that are wanted");
	else if (q->op->if_match && r == -ENOENT)
		stale(q, "gone");
	else
		slu_hdfs_end(q, explain_read(q));
}

static void fetch(struct slu_hdfs_req *q, const char *place)
{
	slu_hdfs_data(q, "GET", slu_hdfs_ranged(place, q->op->off, q->op->len), NULL, q->op->len,
		      body_done);
}

/* A gateway before another one answers with the bytes themselves. */
static bool took_bytes(struct slu_hdfs_req *q)
{
	const char *type = slu_xfer_header(&q->x, "Content-Type");

	if (!q->h->gateway || q->x.rc != 0 || q->x.status != 200 || q->x.resp.len != q->op->len ||
	    !type || !slu_iafter(type, "application/octet-stream"))
		return false;
	memcpy(q->op->buf, q->x.resp.p, q->op->len);
	return true;
}

static void located(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_freep) char *url = NULL;
	int r;

	if (took_bytes(q)) {
		verify(q);
		return;
	}
	r = slu_hdfs_redirect(q, &url);

	if (slu_hdfs_ask_again(q, r)) {
		locate(q);
	} else if (r == -ENOENT && q->op->if_match) {
		stale(q, "gone");
	} else if (r < 0) {
		slu_hdfs_end(q, slu_hdfs_explain(q));
	} else {
		if (slu_hdfs_is_open(url) && !slu_hdfs_is_home(q))
			place_set(q, url);
		fetch(q, url);
	}
}

static void locate(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);

	q->placed = false;
	slu_buf_fmt(&b, "op=OPEN%s&offset=%" PRIu64 "&length=%zu", slu_hdfs_two_steps(q->h),
		    q->op->off, q->op->len);
	slu_hdfs_add_exclude(q, &b);
	slu_hdfs_ask(q, "GET", read_path(q), slu_buf_err(&b) ? NULL : b.p, located);
}

void slu_hdfs_read(struct slu_hdfs_req *q)
{
	struct slu_op *op = q->op;
	SLU_AUTO(slu_freep) char *place = NULL;

	op->unchecked = true;
	if (!take_pin(q)) {
		stale(q, "another store's");
		return;
	}
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
