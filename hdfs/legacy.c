/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rename of HttpFS.  It does not know renameoptions: it answers {"boolean": false} when the target is there, and
 * moves into a target that is a folder.  So a file gets a name that is free in one step, as elsewhere; one that is
 * taken cannot be replaced, and a folder not renamed so that nobody can come between.  What came of it is seen by
 * the inode, or by time and length where the server tells none.
 */
#include "common/mem.h"
#include "common/path.h"
#include "hdfs/request.h"
#include "io/crypt.h"

#include <errno.h>

enum { UNKNOWN, WITH_OPTIONS, LEGACY };

bool slu_hdfs_was_legacy(struct slu_hdfs_req *q)
{
	bool legacy = q->x.rc == 0 && q->x.resp.len &&
		      slu_hdfs_boolean(q->x.resp.p, q->x.resp.len, &q->moved, NULL) == 0;

	if (q->x.rc == 0)
		atomic_store(&q->h->rename, legacy ? LEGACY : WITH_OPTIONS);
	return legacy;
}

enum slu_hdfs_moved slu_hdfs_where_moved(struct slu_hdfs_req *q)
{
	struct slu_hdfs_id id;
	struct slu_attr a;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_status(q->x.resp.p, q->x.resp.len, &a, &id, &q->op->err);
	if (r == -ENOENT)
		return SLU_MOVED_NOT;
	if (r < 0)
		return SLU_MOVED_UNKNOWN;
	if (id.inode == q->id.inode && id.mtime == q->id.mtime && id.size == q->id.size)
		return SLU_MOVED;
	return a.kind == SLU_KIND_DIR ? SLU_MOVED_INTO : SLU_MOVED_TAKEN;
}

int slu_hdfs_cannot_replace(struct slu_hdfs_req *q)
{
	return slu_fail(&q->op->err, ENOTSUP,
			"'%s' is there, and this gateway (HttpFS) cannot replace it in one step: "
			"remove it before, or give the datastore the NameNode's own address",
			q->op->to ? q->op->to : q->op->path);
}

/* --- which kind it is, before something depends on it --- */

bool slu_hdfs_is_legacy(const struct slu_hdfs *h)
{
	return atomic_load(&h->rename) == LEGACY;
}

static void probed(struct slu_hdfs_req *q)
{
	slu_hdfs_step *next = q->sent;
	int r = slu_hdfs_was_legacy(q) ? 0 : slu_hdfs_result(q);

	if (r < 0 && r != -ENOENT) {
		slu_hdfs_end(q, slu_hdfs_harmless(q, r));
		return;
	}
	if (r == -ENOENT)
		atomic_store(&q->h->rename, WITH_OPTIONS);
	q->op->err = (struct slu_err){0};
	next(q);
}

void slu_hdfs_probe(struct slu_hdfs_req *q, slu_hdfs_step *next)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(60 << 10);
	char name[] = SLU_HDFS_TEMP "probe-0123456789abcdef";

	if (atomic_load(&q->h->rename) != UNKNOWN) {
		next(q);
		return;
	}
	/* Of what is not there: an error, or "no". */
	if (slu_random_id(name + sizeof(name) - 17, 8)) {
		slu_hdfs_end_fail(q, EIO, "the kernel gives no random bytes");
		return;
	}
	q->sent = next;
	slu_buf_str(&b, "op=RENAME&destination=");
	slu_hdfs_add_path(q->h, &b, name);
	slu_buf_str(&b, "-2&renameoptions=NONE");
	slu_hdfs_ask(q, "PUT", name, slu_buf_err(&b) ? NULL : b.p, probed);
}

/* --- before data is sent for what could not get its name --- */

static void target_seen(struct slu_hdfs_req *q)
{
	slu_hdfs_step *next = q->sent;
	struct slu_hdfs_id id;
	struct slu_attr a;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_status(q->x.resp.p, q->x.resp.len, &a, &id, &q->op->err);
	if (r == 0 && a.kind == SLU_KIND_DIR)
		slu_hdfs_end_fail(q, EISDIR, "a folder of that name is there");
	else if (r == 0)
		slu_hdfs_end(q, slu_hdfs_cannot_replace(q));
	else if (r != -ENOENT)
		slu_hdfs_end(q, slu_hdfs_harmless(q, r));
	else {
		q->op->err = (struct slu_err){0};
		next(q);
	}
}

static void kind_known(struct slu_hdfs_req *q)
{
	slu_hdfs_step *next = q->replaced;

	q->sent = next;
	if (slu_hdfs_is_legacy(q->h))
		slu_hdfs_ask(q, "GET", q->op->path, "op=GETFILESTATUS", target_seen);
	else
		next(q);
}

void slu_hdfs_may_replace(struct slu_hdfs_req *q, slu_hdfs_step *next)
{
	q->replaced = next;
	slu_hdfs_probe(q, kind_known);
}
