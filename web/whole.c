/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers without ranges: the whole file is fetched once, within a bound, and the last one is kept, so
 * that the reads of a stream cost one request.  One fetch at a time; the reads that come meanwhile wait
 * for it and look again.
 */
#include "common/mem.h"
#include "common/str.h"
#include "web/request.h"
#include "web/web.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Locked. */
static bool is_kept(const struct slu_web_req *q)
{
	const struct slu_web *w = q->w;
	const struct slu_op *op = q->op;

	return w->whole_path && slu_streq(w->whole_path, op->path) && op->if_match &&
	       slu_streq(w->whole_id, op->if_match);
}

/* 0, or -EIO when the file ends before. */
static int copy_part(struct slu_op *op, const char *p, size_t n)
{
	if (op->off > n || op->len > n - op->off)
		return slu_fail(&op->err, EIO, "the file ends before the bytes that are wanted");
	memcpy(op->buf, p + op->off, op->len);
	return 0;
}

bool slu_web_whole_serve(struct slu_web_req *q)
{
	struct slu_web *w = q->w;
	bool kept;
	int r = 0;

	pthread_mutex_lock(&w->lock);
	kept = is_kept(q);
	if (kept)
		r = copy_part(q->op, w->whole, w->whole_n);
	pthread_mutex_unlock(&w->lock);
	if (!kept)
		return false;
	if (r < 0)
		slu_web_end_err(q);
	else
		slu_web_end(q, 0);
	return true;
}

/* Keeps what q fetched, when it is pinned: else nobody could say later of which state it is. */
static void keep(struct slu_web_req *q)
{
	struct slu_web *w = q->w;
	char *path = q->op->if_match ? slu_strdup(q->op->path) : NULL;
	char *old_path = NULL, *old = NULL;

	if (!path)
		return;
	pthread_mutex_lock(&w->lock);
	old_path = w->whole_path;
	old = w->whole;
	w->whole_path = path;
	snprintf(w->whole_id, sizeof(w->whole_id), "%s", q->op->if_match);
	w->whole_n = q->x.resp.len;
	w->whole = slu_buf_take(&q->x.resp);
	if (!w->whole) {
		free(w->whole_path);
		w->whole_path = NULL;
	}
	pthread_mutex_unlock(&w->lock);
	free(old_path);
	free(old);
}

/* The fetch is over: whoever waited looks again. */
static void next_one(struct slu_web *w)
{
	struct slu_web_req *q, *all;

	pthread_mutex_lock(&w->lock);
	all = w->waiting;
	w->waiting = NULL;
	w->fetching = false;
	pthread_mutex_unlock(&w->lock);
	while ((q = all)) {
		all = q->wait_next;
		slu_web_whole_read(q);
	}
}

static int check(struct slu_web_req *q)
{
	struct slu_op *op = q->op;
	int r = slu_web_result(q);

	if (r == -EMSGSIZE)
		return slu_fail(&op->err, ENOTSUP,
				"the server serves no ranges, and the file is larger than the %u "
				"MiB that are fetched whole then; download it by other means into "
				"a datastore",
				SLU_WEB_WHOLE_MAX >> 20);
	if (r == 0)
		r = slu_web_check_pin(q);
	if (r == 0 && op->if_match && q->pin.size != UINT64_MAX && q->pin.size != q->x.resp.len)
		r = slu_fail(&op->err, ESTALE,
			     "it has changed since it was resolved (it has %zu bytes now, it had "
			     "%" PRIu64 "): " SLU_STALE_REMEDY,
			     q->x.resp.len, q->pin.size);
	return r;
}

static void on_whole(struct slu_web_req *q)
{
	struct slu_web *w = q->w;
	int r = check(q);

	if (r == 0)
		r = copy_part(q->op, q->x.resp.p ? q->x.resp.p : "", q->x.resp.len);
	if (r == 0)
		keep(q);
	next_one(w); /* first: the store may go when the last op has ended */
	if (r < 0)
		slu_web_end_err(q);
	else
		slu_web_end(q, 0);
}

void slu_web_whole_read(struct slu_web_req *q)
{
	struct slu_web *w = q->w;
	bool wait;

	if (slu_web_whole_serve(q))
		return;
	pthread_mutex_lock(&w->lock);
	wait = w->fetching;
	w->fetching = true;
	if (wait) {
		q->wait_next = w->waiting;
		w->waiting = q;
	}
	pthread_mutex_unlock(&w->lock);
	if (wait)
		return;
	q->range[0] = '\0';
	slu_web_send(q, "GET",
		     &(struct slu_xfer){.sink = SLU_SINK_BUF, .resp = SLU_BUF(SLU_WEB_WHOLE_MAX)},
		     on_whole);
}
