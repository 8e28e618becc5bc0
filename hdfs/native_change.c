/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DELETE, RENAME and MKDIR by RPC.  RENAME looks at its source first: by the inode, which a rename keeps, it
 * knows what became of it when nobody answers any more.
 */
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "hdfs/native_write.h"

#include <errno.h>

static void end(struct slu_nreq *q, int r)
{
	if (r < 0) {
		slu_nreq_explain(q);
		r = -q->op->err.code;
	}
	slu_nreq_end(q, r);
}

static void end_no_sense(struct slu_nreq *q)
{
	end(q, slu_fail(&q->op->err, EPROTO, SLU_NATIVE_NONSENSE));
}

/* True: the op is gone, handed back.  Else op->err is what the call says. */
static bool begun(struct slu_nreq *q, const struct slu_nn_call *c)
{
	const char *why = slu_nreq_closed(q, c);

	q->info_busy = false;
	q->op->err = c->rpc.err;
	if (why)
		slu_nreq_hand_back(q, why);
	return why;
}

static char *absolute(struct slu_nreq *q, const char *path)
{
	char *full = path ? slu_native_path(q->n, path) : NULL;

	if (!full)
		end(q, slu_fail_oom(&q->op->err));
	return full;
}

/* --- delete --- */

static void deleted(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	int r = c->rpc.rc, yes = r ? 0 : slu_native_yes(c);

	if (begun(q, c))
		return;
	if (yes < 0) {
		end_no_sense(q);
		return;
	}
	if (r == 0 && !yes)
		r = slu_fail(&q->op->err, ENOENT, "there is no such file or folder");
	if (r == -ENOENT && q->op->flags & SLU_OPF_TREE)
		r = 0;
	end(q, r);
}

/* In one state: its inode, which whatever replaces it does not have. */
static char *doomed(struct slu_nreq *q)
{
	struct slu_hdfs_id id;

	if (!q->op->if_match)
		return absolute(q, q->op->path);
	if (!slu_hdfs_id_parse(q->op->if_match, &id) || !id.inode) {
		end(q, slu_fail(&q->op->err, EINVAL, "'%s' is no state of a file on HDFS",
				q->op->if_match));
		return NULL;
	}
	char *path = slu_asprintf("/.reserved/.inodes/%llu", (unsigned long long)id.inode);

	if (!path)
		end(q, slu_fail_oom(&q->op->err));
	return path;
}

void slu_native_delete(struct slu_nreq *q)
{
	SLU_AUTO(slu_freep) char *path = doomed(q);

	if (path)
		slu_native_remove(q, path, q->op->flags & SLU_OPF_TREE, deleted);
}

/* --- mkdir --- */

static void made(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	int r = c->rpc.rc, yes = r ? 0 : slu_native_yes(c);

	if (begun(q, c))
		return;
	if (r == 0 && yes < 1)
		r = slu_fail(&q->op->err, EIO, "the NameNode refused and gave no reason");
	if (r == -EEXIST)
		q->op->err.code = ENOTDIR;
	end(q, r);
}

void slu_native_mkdir(struct slu_nreq *q)
{
	SLU_AUTO(slu_freep) char *path = absolute(q, q->op->path);

	if (path)
		slu_native_make_dir(q, path, made);
}

/* --- rename --- */

static void renamed(struct slu_nn_call *c);

static void do_rename(struct slu_nreq *q)
{
	SLU_AUTO(slu_freep) char *from = absolute(q, q->op->path);

	if (from)
		slu_native_rename2(q, from, q->w->target, renamed);
}

/* The rename failed: because its target is there, or was the target made by it? */
static void target_seen(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_nwrite *w = q->w;
	struct slu_hdfs_id id = {0};
	struct slu_attr a;
	struct slu_err why;
	int r = slu_native_info_read(c, &a, &id, &why);

	q->info_busy = false;
	q->op->err = w->err;
	if (r == 0 && id.inode && id.inode == w->id.inode) {
		q->op->err = (struct slu_err){0};
		slu_nreq_end(q, 0);
		return;
	}
	if (r == 0 && w->rc == -EIO && q->op->flags & SLU_OPF_ABSENT)
		q->op->err.code = EEXIST; /* one of another kind is a plain IOException */
	end(q, w->rc);
}

static void parent_made(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;

	q->info_busy = false;
	if (slu_native_dir_made(q, c) < 0)
		end(q, -q->op->err.code);
	else
		do_rename(q);
}

/* The source was there, so it may be the folder of the target that is not. */
static void make_parent(struct slu_nreq *q)
{
	SLU_AUTO(slu_freep) char *dir = slu_path_dir(q->op->to);
	SLU_AUTO(slu_freep) char *full = absolute(q, dir);

	q->w->again = true;
	if (full)
		slu_native_make_dir(q, full, parent_made);
}

static void renamed(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_nwrite *w = q->w;
	int r = c->rpc.rc;

	q->info_busy = false;
	q->op->err = c->rpc.err;
	if (r == 0 || r == -EEXIST) {
		end(q, r);
	} else if (r == -ENOENT && !w->again) {
		make_parent(q);
	} else {
		w->rc = r;
		w->err = c->rpc.err;
		w->cleaning = true; /* looked at also when it is late */
		slu_native_info(q, w->target, target_seen);
	}
}

static void source_seen(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_nwrite *w = q->w;
	int r;

	if (begun(q, c))
		return;
	r = slu_native_info_read(c, &w->attr, &w->id, &q->op->err);
	w->target = r < 0 ? NULL : slu_native_path(q->n, q->op->to);
	if (r < 0)
		end(q, r);
	else if (!w->target)
		end(q, slu_fail_oom(&q->op->err));
	else if (q->op->if_match && !slu_streq(q->op->if_match, w->attr.id))
		slu_nreq_end(q, slu_native_stale(q, w->attr.id, &q->op->err));
	else
		do_rename(q);
}

void slu_native_rename(struct slu_nreq *q)
{
	SLU_AUTO(slu_freep) char *path = absolute(q, q->op->path);

	if (path)
		slu_native_info(q, path, source_seen);
}
