/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT, PUT_BLOCK, COMMIT.  A DataNode closes a file with whatever arrived when a connection breaks,
 * so nothing is written under its final name: a temporary file, its checksum and length looked at, a rename.  When
 * the answer to the rename is lost, removing the temporary file tells what happened: it was still
 * there, so the rename did not happen and now cannot; or it was not, and the target tells the rest.
 */
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/errors.h"
#include "hdfs/request.h"
#include "io/crypt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CONCAT_MAX (24u << 10) /* bytes of names in one request */
#define LOOKS_MAX 3            /* after answers that were lost */
#define BLOCK_NAME 16          /* hex digits of the offset */

/* --- the end --- */

static void cleaned(struct slu_hdfs_req *q)
{
	q->op->err = q->err;
	slu_hdfs_end(q, q->rc);
}

void slu_hdfs_clean(struct slu_hdfs_req *q, int rc)
{
	q->rc = rc;
	q->err = q->op->err;
	if (rc == 0)
		q->op->attr = q->attr;
	q->cleaning = true;
	/* blocks stay until COMMIT has succeeded or ABORT comes; what cannot be removed is not listed */
	if (q->folder && rc == 0)
		slu_hdfs_ask(q, "DELETE", q->folder, "op=DELETE&recursive=true", cleaned);
	else if (!q->folder && q->temp && rc < 0)
		slu_hdfs_ask(q, "DELETE", q->temp, "op=DELETE&recursive=false", cleaned);
	else
		cleaned(q);
}

/* Before the rename nothing has had an effect: another try is safe. */
int slu_hdfs_harmless(struct slu_hdfs_req *q, int rc)
{
	if (slu_hdfs_is_transport(rc) && rc != -ECANCELED && rc != -EPROTO && rc != -EIO &&
	    !slu_expired(q->op->deadline))
		q->op->err.code = EAGAIN;
	return slu_hdfs_explain(q);
}

static void give_up(struct slu_hdfs_req *q, int rc)
{
	slu_hdfs_clean(q, slu_hdfs_harmless(q, rc));
}

static void give_up_as(struct slu_hdfs_req *q, int code, const char *why)
{
	slu_fail(&q->op->err, code, "%s", why);
	slu_hdfs_clean(q, slu_hdfs_explain(q));
}

/* --- the rename, and what became of it --- */

static void exists_already(struct slu_hdfs_req *q)
{
	const struct slu_hdfs *h = q->h;

	slu_hdfs_clean(q, slu_fail(&q->op->err, EEXIST, "'%s' exists already in 'hdfs://%s%s'",
				   q->op->path, h->rpc ? h->rpc : h->web, h->root));
}

/* The temporary file is gone and the rename said no, or nothing: is the target what we wrote? */
static void target_seen(struct slu_hdfs_req *q)
{
	struct slu_hdfs_id id;
	struct slu_attr a;
	struct slu_err why;
	int r = q->x.rc == 0 ? slu_hdfs_status(q->x.resp.p, q->x.resp.len, &a, &id, &why) : -EIO;

	if (r == 0 && id.inode == q->id.inode) {
		q->op->err = (struct slu_err){0};
		slu_hdfs_clean(q, 0);
	} else {
		give_up_as(q, EIO, SLU_HDFS_RENAME_LOST);
	}
}

static void temp_removed(struct slu_hdfs_req *q)
{
	bool was_there = false;
	struct slu_err why;
	int r = q->x.rc;

	if (r == 0)
		r = slu_hdfs_boolean(q->x.resp.p, q->x.resp.len, &was_there, &why);
	if (r < 0) {
		q->op->err = q->err;
		give_up_as(q, EIO, "nobody answers whether the rename took place");
	} else if (was_there) {
		free(slu_take(q->temp));
		q->op->err = q->err;
		/* the blocks of a COMMIT are gone with it: that cannot be tried again */
		slu_hdfs_end(q, q->folder ? slu_hdfs_explain(q) : slu_hdfs_harmless(q, q->rc));
	} else {
		slu_hdfs_ask(q, "GET", q->op->path, "op=GETFILESTATUS", target_seen);
	}
}

/* Files of another kind in the way are a plain IOException. */
static void target_kind(struct slu_hdfs_req *q)
{
	struct slu_hdfs_id id;
	struct slu_attr a;
	struct slu_err why;

	if (q->x.rc < 0 || slu_hdfs_status(q->x.resp.p, q->x.resp.len, &a, &id, &why) < 0) {
		q->op->err = q->err;
		slu_hdfs_clean(q, slu_hdfs_explain(q));
	} else if (q->op->flags & SLU_OPF_ABSENT) {
		exists_already(q);
	} else {
		give_up_as(q, a.kind == SLU_KIND_DIR ? EISDIR : EIO,
			   a.kind == SLU_KIND_DIR ? "a folder of that name is there" : q->err.msg);
	}
}

/* It lies in the folder that is the target: from there it is removed. */
static void was_moved_into(struct slu_hdfs_req *q)
{
	char *inside = slu_path_join(q->op->path, slu_path_base(q->temp));

	if (inside) {
		free(q->temp);
		q->temp = inside;
		free(slu_take(q->folder));
	}
	if (q->op->flags & SLU_OPF_ABSENT)
		exists_already(q);
	else
		give_up_as(q, EISDIR, "a folder of that name is there");
}

static void legacy_seen(struct slu_hdfs_req *q)
{
	switch (slu_hdfs_where_moved(q)) {
	case SLU_MOVED:
		slu_hdfs_clean(q, 0);
		break;
	case SLU_MOVED_INTO:
		if (q->moved)
			was_moved_into(q);
		else
			give_up_as(q, EISDIR, "a folder of that name is there");
		break;
	case SLU_MOVED_TAKEN:
		if (q->op->flags & SLU_OPF_ABSENT)
			exists_already(q);
		else
			slu_hdfs_clean(q, slu_hdfs_cannot_replace(q));
		break;
	case SLU_MOVED_NOT:
		give_up_as(q, EIO, "the gateway did not rename it and gave no reason");
		break;
	default:
		slu_hdfs_clean(q, slu_hdfs_explain(q));
	}
}

static void renamed(struct slu_hdfs_req *q)
{
	bool refused = q->x.rc == -EREMOTEIO;
	int r = slu_hdfs_result(q);

	if (r == 0 && slu_hdfs_was_legacy(q)) {
		slu_hdfs_ask(q, "GET", q->op->path, "op=GETFILESTATUS", legacy_seen);
		return;
	}
	if (r == 0) {
		slu_hdfs_clean(q, 0);
		return;
	}
	if (r == -EEXIST) {
		exists_already(q);
		return;
	}
	q->err = q->op->err;
	q->rc = r;
	q->cleaning = true;
	if (refused && r == -EIO)
		slu_hdfs_ask(q, "GET", q->op->path, "op=GETFILESTATUS", target_kind);
	else if (refused && r != -ENOENT && r != -ENOMEM)
		slu_hdfs_clean(q, slu_hdfs_explain(q));
	else /* lost, or sent twice by a connection that died: then the second finds no source */
		slu_hdfs_ask(q, "DELETE", q->temp, "op=DELETE&recursive=false", temp_removed);
}

static void do_rename(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(60 << 10);

	slu_buf_str(&b, "op=RENAME&destination=");
	slu_hdfs_add_path(q->h, &b, q->op->path);
	slu_buf_fmt(&b, "&renameoptions=%s", q->op->flags & SLU_OPF_ABSENT ? "NONE" : "OVERWRITE");
	slu_hdfs_ask(q, "PUT", q->temp, slu_buf_err(&b) ? NULL : b.p, renamed);
}

static void parent_made(struct slu_hdfs_req *q)
{
	int r = slu_hdfs_result(q);

	if (r == -EEXIST)
		q->op->err.code = ENOTDIR;
	if (r < 0)
		give_up(q, -q->op->err.code);
	else
		do_rename(q);
}

/* What lies beside the target was made with its folder; the blocks may lie above it. */
static void make_parent(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_freep) char *dir = slu_path_dir(q->op->path);

	if (!dir)
		give_up_as(q, ENOMEM, "out of memory");
	else if (q->folder && strchr(dir, ','))
		slu_hdfs_ask(q, "PUT", dir, "op=MKDIRS", parent_made);
	else
		do_rename(q);
}

/* The store promises no atomic PUT_MATCH: another writer may come between this and the rename. */
static void matched(struct slu_hdfs_req *q)
{
	struct slu_attr a = {.id = ""};
	struct slu_hdfs_id id;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_status(q->x.resp.p, q->x.resp.len, &a, &id, &q->op->err);
	if (r < 0 && r != -ENOENT) {
		give_up(q, r);
	} else if (!slu_streq(a.id, q->op->if_match)) {
		slu_hdfs_clean(q,
			       slu_fail(&q->op->err, ESTALE,
					"'%s' in 'hdfs://%s%s' has been changed by somebody else "
					"(was %s, now %s)",
					q->op->path, q->h->rpc ? q->h->rpc : q->h->web, q->h->root,
					q->op->if_match, a.id[0] ? a.id : "gone"));
	} else {
		make_parent(q);
	}
}

static void written_seen(struct slu_hdfs_req *q)
{
	struct slu_op *op = q->op;
	uint64_t want = op->type == SLU_OP_COMMIT ? op->size : op->len;
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_status(q->x.resp.p, q->x.resp.len, &q->attr, &q->id, &op->err);
	if (r < 0) {
		give_up(q, r);
	} else if (q->attr.kind != SLU_KIND_FILE || q->attr.size != want) {
		char why[120];

		snprintf(why, sizeof(why), "%" PRIu64 " of %" PRIu64 " bytes arrived", q->attr.size,
			 want);
		give_up_as(q, EIO, why);
	} else if (op->if_match) {
		slu_hdfs_ask(q, "GET", op->path, "op=GETFILESTATUS", matched);
	} else {
		make_parent(q);
	}
}

void slu_hdfs_publish(struct slu_hdfs_req *q)
{
	slu_hdfs_ask(q, "GET", q->temp, "op=GETFILESTATUS", written_seen);
}

/* --- CREATE, in two steps --- */

static void create(struct slu_hdfs_req *q, const char *path, slu_hdfs_step *next);

static void data_sent(struct slu_hdfs_req *q)
{
	int r = slu_hdfs_result(q);

	if (r < 0 && slu_hdfs_try_other(q, r))
		create(q, q->sent_path, q->sent);
	else if (r < 0)
		give_up(q, r);
	else
		slu_hdfs_check_written(q);
}

static void create_placed(struct slu_hdfs_req *q)
{
	char *url = NULL;
	int r = slu_hdfs_redirect(q, &url);

	if (slu_hdfs_ask_again(q, r))
		create(q, q->sent_path, q->sent);
	else if (r < 0)
		give_up(q, r);
	else
		slu_hdfs_data(q, "PUT", url, q->op->data, q->op->data ? q->op->len : 0, data_sent);
}

/* Writes the op's data to path, a temporary name of ours; path stays until then. */
static void create(struct slu_hdfs_req *q, const char *path, slu_hdfs_step *next)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);

	q->sent = next;
	q->sent_path = path;
	slu_buf_fmt(&b, "op=CREATE%s&overwrite=true&permission=644", slu_hdfs_two_steps(q->h));
	/* Knox breaks the comma: there a DataNode writes to its disk when it comes to it, as for all of Hadoop's clients */
	if (q->op->flags & SLU_OPF_DURABLE && !q->h->gateway)
		slu_buf_str(&b, "&createflag=CREATE,SYNC_BLOCK");
	slu_hdfs_add_exclude(q, &b);
	slu_hdfs_ask(q, "PUT", path, slu_buf_err(&b) ? NULL : b.p, create_placed);
}

int slu_hdfs_temp_of(const struct slu_op *op, char **ret)
{
	char name[sizeof(SLU_HDFS_TEMP) + SLU_TXN_MAX] = SLU_HDFS_TEMP;
	SLU_AUTO(slu_freep) char *dir = slu_path_dir(op->path);
	int r = slu_random_id(name + sizeof(SLU_HDFS_TEMP) - 1, (SLU_TXN_MAX - 1) / 2);

	*ret = dir && !r ? slu_path_join(dir, name) : NULL;
	return r ? r : *ret ? 0 : -ENOMEM;
}

static void put(struct slu_hdfs_req *q)
{
	int r = slu_hdfs_temp_of(q->op, &q->temp);

	if (r < 0)
		slu_hdfs_end_fail(q, -r, "no name for a temporary file");
	else
		create(q, q->temp, slu_hdfs_publish);
}

void slu_hdfs_put(struct slu_hdfs_req *q)
{
	if (q->op->flags & SLU_OPF_ABSENT)
		put(q);
	else
		slu_hdfs_may_replace(q, put);
}

/* --- blocks --- */

char *slu_hdfs_folder_of(const struct slu_op *op)
{
	char name[sizeof(SLU_HDFS_TEMP) + SLU_TXN_MAX];
	SLU_AUTO(slu_freep) char *dir = slu_path_dir(op->path);

	snprintf(name, sizeof(name), SLU_HDFS_TEMP "%s", op->txn);
	while (dir && strchr(dir, ',')) {
		char *up = slu_path_dir(dir);

		free(dir);
		dir = up;
	}
	return dir ? slu_path_join(dir, name) : NULL;
}

char *slu_hdfs_block_path(const char *folder, uint64_t off)
{
	return slu_asprintf("%s/%0*" PRIx64, folder, BLOCK_NAME, off);
}

static void block_done(struct slu_hdfs_req *q)
{
	slu_hdfs_end(q, 0);
}

static void put_block(struct slu_hdfs_req *q)
{
	q->folder = slu_hdfs_folder_of(q->op);
	q->temp = q->folder ? slu_hdfs_block_path(q->folder, q->op->off) : NULL;
	if (!q->temp)
		slu_hdfs_end_fail(q, ENOMEM, "out of memory");
	else
		create(q, q->temp, block_done);
}

/* Of a COMMIT nothing is known yet but its path: the first block finds out whether that can be had. */
void slu_hdfs_put_block(struct slu_hdfs_req *q)
{
	if (q->op->off)
		put_block(q);
	else
		slu_hdfs_may_replace(q, put_block);
}

static void aborted(struct slu_hdfs_req *q)
{
	int r = slu_hdfs_result(q);

	slu_hdfs_end(q, r < 0 && r != -ENOENT ? slu_hdfs_explain(q) : 0);
}

void slu_hdfs_abort(struct slu_hdfs_req *q)
{
	q->folder = slu_hdfs_folder_of(q->op);
	if (!q->folder)
		slu_hdfs_end_fail(q, ENOMEM, "out of memory");
	else
		slu_hdfs_ask(q, "DELETE", q->folder, "op=DELETE&recursive=true", aborted);
}

/* --- commit --- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct slu_dirent *)a)->name, ((const struct slu_dirent *)b)->name);
}

int slu_hdfs_check_blocks(struct slu_list *l, uint64_t size, struct slu_err *e)
{
	uint64_t end = 0;

	if (l->n)
		qsort(l->p, l->n, sizeof(*l->p), by_name);
	for (size_t i = 0; i < l->n; i++) {
		const struct slu_dirent *d = &l->p[i];
		char name[BLOCK_NAME + 1];

		snprintf(name, sizeof(name), "%0*" PRIx64, BLOCK_NAME, end);
		if (!slu_streq(name, d->name) || d->attr.kind != SLU_KIND_FILE)
			break;
		end += d->attr.size;
	}
	if (end == size)
		return 0;
	return slu_fail(e, EIO, "%" PRIu64 " of %" PRIu64 " bytes were written", end, size);
}

static void join(struct slu_hdfs_req *q);
static void list_blocks(struct slu_hdfs_req *q);

/* When its answer is lost, or it came twice, the blocks say how far it is: those that are joined are gone, and the first
 * one is as much longer. */
static void joined(struct slu_hdfs_req *q)
{
	bool sent = q->x.rc == -EREMOTEIO;
	int r = slu_hdfs_result(q);
	bool unknown = sent ? r == -ENOENT : slu_hdfs_is_transport(r) && r != -ECANCELED;

	if (r < 0 && unknown && q->looks++ < LOOKS_MAX) {
		slu_list_done(&q->list);
		list_blocks(q);
	} else if (r < 0)
		give_up(q, r);
	else
		join(q);
}

/* Appends as many of the blocks to the first one as fit into a request. */
static void join(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(60 << 10);
	const char *mark = "op=CONCAT&sources=";

	if (q->joined >= q->list.n) {
		slu_hdfs_publish(q);
		return;
	}
	for (; q->joined < q->list.n && b.len < CONCAT_MAX; q->joined++) {
		slu_buf_str(&b, mark);
		slu_hdfs_add_path(q->h, &b, q->folder);
		slu_buf_fmt(&b, "/%s", q->list.p[q->joined].name);
		mark = ",";
	}
	slu_hdfs_ask(q, "POST", q->temp, slu_buf_err(&b) ? NULL : b.p, joined);
}

static void blocks_listed(struct slu_hdfs_req *q);

static void list_blocks(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1024);

	slu_buf_str(&b, "op=LISTSTATUS_BATCH");
	if (q->list.next)
		slu_buf_fmt(&b, "&startAfter=%s", q->list.next);
	free(slu_take(q->list.next));
	slu_hdfs_ask(q, "GET", q->folder, slu_buf_err(&b) ? NULL : b.p, blocks_listed);
}

static void blocks_listed(struct slu_hdfs_req *q)
{
	int r = slu_hdfs_result(q);

	if (r == 0)
		r = slu_hdfs_listing(q->x.resp.p, q->x.resp.len, true, &q->list, &q->op->err);
	if (r == 0 && q->list.next) {
		list_blocks(q);
		return;
	}
	if (q->op->type == SLU_OP_BLOCKS) {
		*q->op->list = q->list;
		q->list = (struct slu_list){0};
		slu_hdfs_end(q, r == -ENOENT ? 0 : r < 0 ? slu_hdfs_explain(q) : r);
		return;
	}
	if (r == -ENOENT && q->op->size == 0) {
		create(q, q->temp, slu_hdfs_publish); /* a file without blocks */
		return;
	}
	if (r == -ENOENT)
		slu_fail(&q->op->err, ENOENT, "its blocks are gone");
	if (r == 0)
		r = slu_hdfs_check_blocks(&q->list, q->op->size, &q->op->err);
	if (r < 0) {
		slu_hdfs_clean(q, slu_hdfs_explain(q));
		return;
	}
	q->joined = 1;
	join(q);
}

void slu_hdfs_commit(struct slu_hdfs_req *q)
{
	q->folder = slu_hdfs_folder_of(q->op);
	q->temp = q->folder ? slu_hdfs_block_path(q->folder, 0) : NULL;
	if (!q->temp)
		slu_hdfs_end_fail(q, ENOMEM, "out of memory");
	else
		list_blocks(q);
}

/* What COMMIT would look at. */
void slu_hdfs_blocks(struct slu_hdfs_req *q)
{
	slu_hdfs_commit(q);
}
