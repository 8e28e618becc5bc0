/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DELETE, RENAME, MKDIR.  RENAME looks at its source first: by the inode, which a rename keeps, it
 * knows afterwards what became of it when an answer was lost.  So does DELETE where there are several NameNodes.
 */
#include "common/mem.h"
#include "common/path.h"
#include "hdfs/request.h"

#include <errno.h>
#include <string.h>

#define LOOKS_MAX 3 /* after answers that were lost */

/* --- delete --- */

static void do_delete(struct slu_hdfs_req *q);

/* An answer was lost: is it gone?  Another one of its name is somebody else's. */
static void deleted_seen(struct slu_hdfs_req *q)
{
	struct slu_hdfs_id id;
	struct slu_attr a;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_status(q->x.resp.p, q->x.resp.len, &a, &id, &q->op->err);
	if (r == 0 && id.inode == q->id.inode)
		do_delete(q);
	else
		slu_hdfs_end(q, r < 0 && r != -ENOENT ? slu_hdfs_explain(q) : 0);
}

static void deleted(struct slu_hdfs_req *q)
{
	bool was_there = false, known = q->id.inode;
	bool lost = q->x.rc < 0 && q->x.rc != -EREMOTEIO && q->x.rc != -ECANCELED;
	int r = slu_hdfs_result(q);

	if (known && lost && slu_hdfs_is_transport(r) && q->tries++ < LOOKS_MAX) {
		slu_hdfs_ask(q, "GET", q->op->path, "op=GETFILESTATUS", deleted_seen);
		return;
	}
	if (r == 0)
		r = slu_hdfs_boolean(q->x.resp.p, q->x.resp.len, &was_there, &q->op->err);
	/* a connection that died makes the client send it twice: what was there before is gone now */
	if (r == 0 && !was_there && !known)
		r = slu_fail(&q->op->err, ENOENT, "there is no such file or folder");
	if (r == -ENOENT && (q->op->flags & SLU_OPF_TREE))
		r = 0;
	slu_hdfs_end(q, r < 0 ? slu_hdfs_explain(q) : 0);
}

static void do_delete(struct slu_hdfs_req *q)
{
	bool tree = q->op->flags & SLU_OPF_TREE;

	/* In one state: its inode, which whatever replaces it does not have. */
	slu_hdfs_ask(q, "DELETE", q->op->if_match ? NULL : q->op->path,
		     tree ? "op=DELETE&recursive=true" : "op=DELETE&recursive=false", deleted);
}

static void doomed_seen(struct slu_hdfs_req *q)
{
	struct slu_attr a;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_status(q->x.resp.p, q->x.resp.len, &a, &q->id, &q->op->err);
	if (r == 0)
		do_delete(q);
	else
		slu_hdfs_end(
			q, r == -ENOENT && (q->op->flags & SLU_OPF_TREE) ? 0 : slu_hdfs_explain(q));
}

/* Where one of several NameNodes may die under it, its inode tells afterwards what became of it. */
void slu_hdfs_delete(struct slu_hdfs_req *q)
{
	if (q->op->if_match && (!slu_hdfs_id_parse(q->op->if_match, &q->id) || !q->id.inode))
		slu_hdfs_end(q, slu_fail(&q->op->err, EINVAL, "'%s' is no state of a file on HDFS",
					 q->op->if_match));
	else if (q->h->nodes > 1 && !q->op->if_match)
		slu_hdfs_ask(q, "GET", q->op->path, "op=GETFILESTATUS", doomed_seen);
	else
		do_delete(q);
}

/* --- mkdir --- */

static void made(struct slu_hdfs_req *q)
{
	bool yes = false;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_boolean(q->x.resp.p, q->x.resp.len, &yes, &q->op->err);
	if (r == 0 && !yes)
		r = slu_fail(&q->op->err, EIO, "the NameNode refused and gave no reason");
	if (r == -EEXIST)
		q->op->err.code = ENOTDIR;
	slu_hdfs_end(q, r < 0 ? slu_hdfs_explain(q) : 0);
}

void slu_hdfs_mkdir(struct slu_hdfs_req *q)
{
	slu_hdfs_ask(q, "PUT", q->op->path, "op=MKDIRS", made);
}

/* --- rename --- */

static void do_rename(struct slu_hdfs_req *q, slu_hdfs_step *next)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(60 << 10);

	slu_buf_str(&b, "op=RENAME&destination=");
	slu_hdfs_add_path(q->h, &b, q->op->to);
	slu_buf_fmt(&b, "&renameoptions=%s", q->op->flags & SLU_OPF_ABSENT ? "NONE" : "OVERWRITE");
	slu_hdfs_ask(q, "PUT", q->op->path, slu_buf_err(&b) ? NULL : b.p, next);
}

/* The rename failed: because its target is there, or was the target made by it? */
static void target_seen(struct slu_hdfs_req *q)
{
	struct slu_hdfs_id id;
	struct slu_attr a;
	struct slu_err why;
	int r = q->x.rc == 0 ? slu_hdfs_status(q->x.resp.p, q->x.resp.len, &a, &id, &why) : -EIO;

	q->op->err = q->err;
	if (r == 0 && id.inode && id.inode == q->id.inode) {
		q->op->err = (struct slu_err){0};
		slu_hdfs_end(q, 0);
		return;
	}
	if (r == 0 && q->rc == -EIO && (q->op->flags & SLU_OPF_ABSENT))
		q->op->err.code = EEXIST; /* one of another kind is a plain IOException */
	slu_hdfs_end(q, slu_hdfs_explain(q));
}

static void moved_back(struct slu_hdfs_req *q)
{
	q->op->err = q->err;
	slu_hdfs_end(q, slu_hdfs_explain(q));
}

/* It lies in the folder that is the target: back to where it was. */
static void move_back(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(60 << 10);
	SLU_AUTO(slu_freep) char *inside = slu_path_join(q->op->to, slu_path_base(q->op->path));

	slu_fail(&q->err, q->op->flags & SLU_OPF_ABSENT ? EEXIST : EISDIR,
		 "'%s' is there: a folder", q->op->to);
	if (!q->moved || !inside) {
		moved_back(q);
		return;
	}
	q->cleaning = true;
	slu_buf_str(&b, "op=RENAME&destination=");
	slu_hdfs_add_path(q->h, &b, q->op->path);
	slu_hdfs_ask(q, "PUT", inside, slu_buf_err(&b) ? NULL : b.p, moved_back);
}

static void do_rename_again(struct slu_hdfs_req *q);

/* A legacy rename says no more than yes or no. */
static void legacy_seen(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_freep) char *dir = NULL;

	switch (slu_hdfs_where_moved(q)) {
	case SLU_MOVED:
		slu_hdfs_end(q, 0);
		break;
	case SLU_MOVED_INTO:
		move_back(q);
		break;
	case SLU_MOVED_TAKEN:
		if (q->op->flags & SLU_OPF_ABSENT)
			slu_hdfs_end_fail(q, EEXIST, "the target is there already");
		else
			slu_hdfs_end(q, slu_hdfs_cannot_replace(q));
		break;
	case SLU_MOVED_NOT: /* the folder of the target may be missing */
		dir = slu_path_dir(q->op->to);
		if (q->tries++ || !dir)
			slu_hdfs_end_fail(q, EIO, "the gateway refused and gave no reason");
		else
			slu_hdfs_ask(q, "PUT", dir, "op=MKDIRS", do_rename_again);
		break;
	default:
		slu_hdfs_end(q, slu_hdfs_explain(q));
	}
}

static void end_renamed(struct slu_hdfs_req *q, int r)
{
	if (r == 0 && slu_hdfs_was_legacy(q)) {
		slu_hdfs_ask(q, "GET", q->op->to, "op=GETFILESTATUS", legacy_seen);
		return;
	}
	if (r == 0 || r == -EEXIST) {
		slu_hdfs_end(q, r < 0 ? slu_hdfs_explain(q) : 0);
		return;
	}
	q->rc = r;
	q->err = q->op->err;
	q->cleaning = true; /* looked at also when it is late */
	slu_hdfs_ask(q, "GET", q->op->to, "op=GETFILESTATUS", target_seen);
}

static void renamed_again(struct slu_hdfs_req *q)
{
	end_renamed(q, slu_hdfs_result(q));
}

static void do_rename_again(struct slu_hdfs_req *q)
{
	int r = slu_hdfs_result(q);

	if (r == -EEXIST)
		q->op->err.code = ENOTDIR;
	if (r < 0)
		slu_hdfs_end(q, slu_hdfs_explain(q));
	else
		do_rename(q, renamed_again);
}

static void renamed(struct slu_hdfs_req *q)
{
	int r = slu_hdfs_result(q);
	SLU_AUTO(slu_freep) char *dir = NULL;

	if (r != -ENOENT) {
		end_renamed(q, r);
		return;
	}
	/* the source is there, so it is the folder of the target that is not */
	dir = slu_path_dir(q->op->to);
	if (dir)
		slu_hdfs_ask(q, "PUT", dir, "op=MKDIRS", do_rename_again);
	else
		slu_hdfs_end_fail(q, ENOMEM, "out of memory");
}

static void rename_it(struct slu_hdfs_req *q)
{
	do_rename(q, renamed);
}

static void rename_folder(struct slu_hdfs_req *q)
{
	if (slu_hdfs_is_legacy(q->h))
		slu_hdfs_end_fail(
			q, ENOTSUP,
			"this gateway (HttpFS) cannot rename a folder in one step: give the "
			"datastore the NameNode's own address");
	else
		rename_it(q);
}

static void source_seen(struct slu_hdfs_req *q)
{
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_status(q->x.resp.p, q->x.resp.len, &q->attr, &q->id, &q->op->err);
	if (r < 0)
		slu_hdfs_end(q, slu_hdfs_explain(q));
	else if (q->attr.kind == SLU_KIND_DIR)
		slu_hdfs_probe(q, rename_folder);
	else
		rename_it(q);
}

void slu_hdfs_rename(struct slu_hdfs_req *q)
{
	slu_hdfs_ask(q, "GET", q->op->path, "op=GETFILESTATUS", source_seen);
}
