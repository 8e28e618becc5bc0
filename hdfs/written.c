/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was sent by WebHDFS is compared with what HDFS has of it, before it gets a name or its block counts: between
 * us and the DataNode only TCP looks at the bytes.  The file is new and was written in one go, so that its blocks are
 * of one length, which the checksum tells.
 */
#include "common/log.h"
#include "common/str.h"
#include "fs/summer.h"
#include "hdfs/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void give_up(struct slu_hdfs_req *q, int rc)
{
	slu_hdfs_clean(q, slu_hdfs_harmless(q, rc));
}

/* A block goes too: whoever goes on with its transaction would take it for a right one. */
static void damaged(struct slu_hdfs_req *q)
{
	free(slu_take(q->folder));
	slu_hdfs_clean(q, slu_hdfs_explain(q));
}

static void goes_unchecked(struct slu_hdfs_req *q, const char *why)
{
	if (!atomic_exchange(&q->h->told_written, true))
		slu_warn(
			"hdfs",
			"'%s' in '%s' has no checksum that what was sent could be compared with (%s): "
			"what is written so is checked by its length",
			q->op->path, q->h->web, why);
	q->op->err = (struct slu_err){0};
	q->sent(q);
}

/* Is it other bytes, or are the bytes kept in another form? */
static void differs(struct slu_hdfs_req *q)
{
	const char *coded;
	struct slu_hdfs_id id;
	struct slu_attr a;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_status(q->x.resp.p, q->x.resp.len, &a, &id, &q->op->err);
	coded = r == 0 ? slu_hdfs_coded(q->x.resp.p, q->x.resp.len) : NULL;
	if (r < 0) {
		give_up(q, r);
	} else if (coded) {
		goes_unchecked(q, coded);
	} else {
		q->op->err = q->err;
		if (a.size != q->op->len)
			slu_fail(&q->op->err, EBADMSG, "%" PRIu64 " of %zu bytes arrived", a.size,
				 q->op->len);
		damaged(q);
	}
}

static int compute(const struct slu_op *op, const char *like, char ret[SLU_ID_MAX])
{
	SLU_AUTO(slu_summer_done) struct slu_summer s;
	int r = slu_summer_begin(&s, like);

	if (r == 0)
		r = slu_summer_add(&s, op->data, op->len);
	return r < 0 ? r : slu_summer_end(&s, ret);
}

/* No answer, or none for now: nothing has had an effect, so it is tried again.  Else the server has none. */
static bool may_come(const struct slu_hdfs_req *q, int rc)
{
	bool answered = q->x.rc == 0 || q->x.rc == -EREMOTEIO;

	return !answered || rc == -EAGAIN || rc == -ENOMEM || rc == -ENOENT || rc == -EKEYEXPIRED;
}

static void summed(struct slu_hdfs_req *q)
{
	char there[SLU_ID_MAX], sent[SLU_ID_MAX];
	int r = slu_hdfs_sum_text(q, there);

	if (r < 0 && may_come(q, r)) {
		give_up(q, r);
		return;
	}
	if (r < 0) {
		/* these do not change from one file to the next */
		if (r == -ENOTSUP || r == -EINVAL)
			atomic_store(&q->h->no_sums, true);
		goes_unchecked(q, q->op->err.msg);
		return;
	}
	r = compute(q->op, there, sent);
	if (r < 0) {
		slu_fail_oom(&q->op->err);
		give_up(q, -ENOMEM);
	} else if (slu_streq(there, sent)) {
		q->sent(q);
	} else {
		slu_fail(&q->err, EBADMSG,
			 "it arrived damaged: its checksum is %s, of what was sent it is %s", there,
			 sent);
		slu_hdfs_ask(q, "GET", q->sent_path, "op=GETFILESTATUS", differs);
	}
}

void slu_hdfs_check_written(struct slu_hdfs_req *q)
{
	const struct slu_op *op = q->op;

	if (op->type == SLU_OP_COMMIT || !op->len || op->flags & SLU_OPF_BARE ||
	    atomic_load(&q->h->no_sums))
		q->sent(q);
	else
		slu_hdfs_ask_sum(q, q->sent_path, summed);
}
