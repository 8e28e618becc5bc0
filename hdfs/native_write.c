/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT, PUT_BLOCK, COMMIT and ABORT by RPC, in the steps and under the names of write.c: a temporary file, its
 * length looked at, a rename.  A call that was lost is sent again under its number and executed once; only
 * when nobody answers any more is removing the temporary file what tells whether the rename took place.
 */
#include "hdfs/native_write.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/errors.h"
#include "hdfs/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CONCAT_MAX 4096 /* files in one call */
#define DIR_MODE 0755

/* --- calls --- */

void slu_native_info(struct slu_nreq *q, const char *path, void (*done)(struct slu_nn_call *c))
{
	Slu__Pb__GetFileInfoRequest m = SLU__PB__GET_FILE_INFO_REQUEST__INIT;

	m.src = (char *)path;
	slu_nreq_ask(q, "getFileInfo", &m.base, done);
}

void slu_native_rename2(struct slu_nreq *q, const char *from, const char *to,
			void (*done)(struct slu_nn_call *c))
{
	Slu__Pb__Rename2Request m = SLU__PB__RENAME2_REQUEST__INIT;

	m.src = (char *)from;
	m.dst = (char *)to;
	m.overwrite = !(q->op->flags & SLU_OPF_ABSENT);
	slu_nreq_ask(q, "rename2", &m.base, done);
}

void slu_native_remove(struct slu_nreq *q, const char *path, bool tree,
		       void (*done)(struct slu_nn_call *c))
{
	Slu__Pb__DeleteRequest m = SLU__PB__DELETE_REQUEST__INIT;

	m.src = (char *)path;
	m.recursive = tree;
	slu_nreq_ask(q, "delete", &m.base, done);
}

void slu_native_make_dir(struct slu_nreq *q, const char *path, void (*done)(struct slu_nn_call *c))
{
	Slu__Pb__Permission mode = SLU__PB__PERMISSION__INIT;
	Slu__Pb__MkdirsRequest m = SLU__PB__MKDIRS_REQUEST__INIT;

	mode.perm = DIR_MODE;
	m.src = (char *)path;
	m.masked = &mode;
	m.create_parent = 1;
	slu_nreq_ask(q, "mkdirs", &m.base, done);
}

int slu_native_dir_made(struct slu_nreq *q, const struct slu_nn_call *c)
{
	if (!c->rpc.rc)
		return 0;
	q->op->err = c->rpc.err;
	if (c->rpc.rc == -EEXIST)
		q->op->err.code = ENOTDIR;
	return -q->op->err.code;
}

int slu_native_info_read(const struct slu_nn_call *c, struct slu_attr *ret,
			 struct slu_hdfs_id *ret_id, struct slu_err *e)
{
	Slu__Pb__GetFileInfoResponse *m;
	int r = 0;

	if (c->rpc.rc) {
		*e = c->rpc.err;
		return c->rpc.rc;
	}
	m = slu__pb__get_file_info_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);
	if (m && !m->fs)
		r = slu_fail(e, ENOENT, "there is no such file or folder");
	else if (!m || !slu_native_attr(m->fs, ret, ret_id))
		r = slu_fail(e, EPROTO, SLU_NATIVE_NONSENSE);
	if (m)
		slu__pb__get_file_info_response__free_unpacked(m, NULL);
	return r;
}

int slu_native_yes(const struct slu_nn_call *c)
{
	Slu__Pb__ResultResponse *m =
		slu__pb__result_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);
	int yes = m ? !!m->result : -EPROTO;

	if (m)
		slu__pb__result_response__free_unpacked(m, NULL);
	return yes;
}

bool slu_native_lost(const struct slu_nn_call *c)
{
	return c->rpc.rc && c->rpc.rc != -ENOMEM && !c->rpc.err.svc[0];
}

/* --- the end --- */

void slu_native_write_done(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;

	if (!w)
		return;
	slu_native_file_done(q);
	slu_list_done(&w->list);
	free(w->temp);
	free(w->folder);
	free(w->target);
	free(slu_take(q->w));
}

void slu_native_write_cancel(struct slu_nreq *q)
{
	if (q->w->cleaning)
		return;
	if (q->info_busy)
		slu_nn_cancel(&q->info);
	else
		slu_native_file_cancel(q);
}

static void ended(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;

	q->op->err = w->err;
	if (w->rc == 0)
		q->op->attr = w->attr;
	if (w->rc < 0 && w->back && (!q->n->conf.only || w->rc == -ENOTSUP))
		(w->rc == -ENOTSUP ? slu_nreq_hand_back_file : slu_nreq_hand_back)(q, w->back);
	else
		slu_nreq_end(q, w->rc);
}

static void cleaned(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;

	q->info_busy = false;
	ended(q);
}

/* Blocks stay until COMMIT has succeeded or ABORT comes; what cannot be removed is not listed. */
static void clean(struct slu_nreq *q, int rc)
{
	struct slu_nwrite *w = q->w;

	w->rc = rc;
	w->err = q->op->err;
	w->cleaning = true;
	if (w->folder && rc == 0 && q->op->type == SLU_OP_COMMIT)
		slu_native_remove(q, w->folder, true, cleaned);
	else if (!w->folder && w->temp && rc < 0 && w->file_id)
		slu_native_remove(q, w->temp, false, cleaned);
	else
		ended(q);
}

/* Before the rename nothing has had an effect: another try is safe. */
static int harmless(struct slu_nreq *q, int rc)
{
	if (slu_hdfs_is_transport(rc) && rc != -ECANCELED && rc != -EPROTO &&
	    !slu_expired(q->op->deadline))
		q->op->err.code = EAGAIN;
	slu_nreq_explain(q);
	return -q->op->err.code;
}

static void give_up(struct slu_nreq *q, int rc)
{
	clean(q, harmless(q, rc));
}

static void give_up_as(struct slu_nreq *q, int code, const char *why)
{
	slu_fail(&q->op->err, code, "%s", why);
	slu_nreq_explain(q);
	clean(q, -code);
}

static void exists_already(struct slu_nreq *q)
{
	clean(q, slu_fail(&q->op->err, EEXIST, "'%s' exists already in '%s'", q->op->path,
			  q->n->where));
}

/* --- the rename, and what became of it --- */

static void target_seen(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_hdfs_id id = {0};
	struct slu_attr a;
	struct slu_err why;

	q->info_busy = false;
	if (slu_native_info_read(c, &a, &id, &why) == 0 && id.inode == q->w->id.inode) {
		q->op->err = (struct slu_err){0};
		clean(q, 0);
	} else {
		give_up_as(q, EIO, SLU_HDFS_RENAME_LOST);
	}
}

/* Was the temporary file still there?  Then the rename did not take place, and now cannot. */
static void temp_removed(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_nwrite *w = q->w;
	int yes = c->rpc.rc ? c->rpc.rc : slu_native_yes(c);

	q->info_busy = false;
	q->op->err = w->err;
	if (yes < 0) {
		give_up_as(q, EIO, "nobody answers whether the rename took place");
	} else if (!yes) {
		slu_native_info(q, w->target, target_seen);
	} else {
		w->file_id = 0;
		/* the blocks of a COMMIT are gone with it: that cannot be tried again */
		if (w->folder)
			slu_nreq_explain(q);
		w->rc = w->folder ? -q->op->err.code : harmless(q, w->rc);
		w->err = q->op->err;
		ended(q);
	}
}

/* Files of another kind in the way are a plain IOException. */
static void target_kind(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_hdfs_id id;
	struct slu_attr a = {0};
	struct slu_err why;
	int r = slu_native_info_read(c, &a, &id, &why);

	q->info_busy = false;
	if (r == 0 && q->op->flags & SLU_OPF_ABSENT) {
		exists_already(q);
	} else if (r == 0 && a.kind == SLU_KIND_DIR) {
		give_up_as(q, EISDIR, "a folder of that name is there");
	} else {
		q->op->err = q->w->err;
		slu_nreq_explain(q);
		clean(q, q->w->rc);
	}
}

static void renamed(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_nwrite *w = q->w;
	int r = c->rpc.rc;

	q->info_busy = false;
	if (r == 0) {
		clean(q, 0);
		return;
	}
	w->rc = r;
	q->op->err = w->err = c->rpc.err;
	w->cleaning = true; /* also when it is late */
	if (r == -EEXIST) {
		exists_already(q);
	} else if (slu_native_lost(c) || r == -ENOENT) {
		/* a NameNode that took over may not know of it, and finds no source the second time */
		slu_native_remove(q, w->temp, false, temp_removed);
	} else if (r == -EIO) {
		slu_native_info(q, w->target, target_kind);
	} else {
		give_up(q, r);
	}
}

static void parent_made(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;

	q->info_busy = false;
	if (slu_native_dir_made(q, c) < 0)
		give_up(q, -q->op->err.code);
	else
		slu_native_rename2(q, q->w->temp, q->w->target, renamed);
}

/* What lies beside the target was made with its folder; the blocks may lie above it. */
static void make_parent(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;
	SLU_AUTO(slu_freep) char *dir = slu_path_dir(q->op->path);
	SLU_AUTO(slu_freep) char *full = dir ? slu_native_path(q->n, dir) : NULL;

	if (!full)
		give_up_as(q, ENOMEM, "out of memory");
	else if (w->folder && strchr(dir, ','))
		slu_native_make_dir(q, full, parent_made);
	else
		slu_native_rename2(q, w->temp, w->target, renamed);
}

/* The store promises no atomic PUT_MATCH: another writer may come between this and the rename. */
static void matched(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_attr a = {.id = ""};
	struct slu_hdfs_id id;
	int r = slu_native_info_read(c, &a, &id, &q->op->err);

	q->info_busy = false;
	if (r < 0 && r != -ENOENT)
		give_up(q, r);
	else if (!slu_streq(a.id, q->op->if_match))
		clean(q,
		      slu_fail(&q->op->err, ESTALE,
			       "'%s' in '%s' has been changed by somebody else (was %s, now %s)",
			       q->op->path, q->n->where, q->op->if_match, a.id[0] ? a.id : "gone"));
	else
		make_parent(q);
}

static void written_seen(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_nwrite *w = q->w;
	uint64_t want = q->op->type == SLU_OP_COMMIT ? q->op->size : q->op->len;
	int r = slu_native_info_read(c, &w->attr, &w->id, &q->op->err);

	q->info_busy = false;
	if (r < 0) {
		give_up(q, r);
	} else if (w->attr.kind != SLU_KIND_FILE || w->attr.size != want) {
		char why[120];

		snprintf(why, sizeof(why), "%" PRIu64 " of %" PRIu64 " bytes arrived", w->attr.size,
			 want);
		give_up_as(q, EIO, why);
	} else if (q->op->if_match) {
		slu_native_info(q, w->target, matched);
	} else {
		make_parent(q);
	}
}

/* w->temp becomes the target. */
static void publish(struct slu_nreq *q)
{
	slu_native_info(q, q->w->temp, written_seen);
}

/* --- put --- */

static void put_written(struct slu_nreq *q, int rc)
{
	if (rc < 0)
		give_up(q, rc);
	else
		publish(q);
}

/* Absolute, of a path in the store that may be NULL. */
static char *absolute(const struct slu_nreq *q, char *path)
{
	char *full = path ? slu_native_path(q->n, path) : NULL;

	free(path);
	return full;
}

void slu_native_put(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;
	char *temp = NULL;
	int r = slu_hdfs_temp_of(q->op, &temp);

	w->temp = absolute(q, temp);
	w->target = slu_native_path(q->n, q->op->path);
	if (r < 0 || !w->temp || !w->target)
		give_up_as(q, r < 0 ? -r : ENOMEM, "no name for a temporary file");
	else
		slu_native_file(q, w->temp, put_written);
}

/* --- blocks --- */

static bool name_blocks(struct slu_nreq *q, uint64_t off)
{
	struct slu_nwrite *w = q->w;

	w->folder = absolute(q, slu_hdfs_folder_of(q->op));
	w->temp = w->folder ? slu_hdfs_block_path(w->folder, off) : NULL;
	w->target = slu_native_path(q->n, q->op->path);
	if (w->temp && w->target)
		return true;
	give_up_as(q, ENOMEM, "out of memory");
	return false;
}

static void block_written(struct slu_nreq *q, int rc)
{
	if (rc < 0)
		give_up(q, rc);
	else
		clean(q, 0);
}

void slu_native_put_block(struct slu_nreq *q)
{
	if (name_blocks(q, q->op->off))
		slu_native_file(q, q->w->temp, block_written);
}

/* --- abort --- */

static void aborted(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	const char *why = slu_nreq_closed(q, c);

	q->info_busy = false;
	q->op->err = c->rpc.err;
	if (why)
		slu_nreq_hand_back(q, why);
	else if (c->rpc.rc)
		give_up(q, c->rpc.rc);
	else
		slu_nreq_end(q, 0);
}

void slu_native_abort(struct slu_nreq *q)
{
	if (name_blocks(q, 0))
		slu_native_remove(q, q->w->folder, true, aborted);
}

/* --- commit --- */

static void join(struct slu_nreq *q);

static void joined(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;

	q->info_busy = false;
	if (c->rpc.rc) {
		q->op->err = c->rpc.err;
		give_up(q, c->rpc.rc);
	} else {
		join(q);
	}
}

/* Appends as many of the blocks to the first one as go into a call. */
static void join(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;
	size_t n = w->list.n > w->joined ? w->list.n - w->joined : 0;
	Slu__Pb__ConcatRequest m = SLU__PB__CONCAT_REQUEST__INIT;
	bool fine = true;

	if (!n) {
		publish(q);
		return;
	}
	if (n > CONCAT_MAX)
		n = CONCAT_MAX;
	char **names = slu_calloc(n, sizeof(*names));

	for (size_t i = 0; names && i < n; i++) {
		names[i] = slu_asprintf("%s/%s", w->folder, w->list.p[w->joined + i].name);
		fine &= names[i] != NULL;
	}
	if (names && fine) {
		m.trg = w->temp;
		m.n_srcs = n;
		m.srcs = names;
		w->joined += n;
		slu_nreq_ask(q, "concat", &m.base, joined);
	} else {
		give_up_as(q, ENOMEM, "out of memory");
	}
	for (size_t i = 0; names && i < n; i++)
		free(names[i]);
	free(names);
}

static void list_blocks(struct slu_nreq *q);

static void end_listed(struct slu_nreq *q, int r)
{
	if (r == -ENOENT)
		r = 0;
	if (r < 0)
		slu_nreq_explain(q);
	slu_nreq_end(q, r < 0 ? -q->op->err.code : 0);
}

/* A page: 1 when there are more. */
static int read_page(struct slu_nwrite *w, const Slu__Pb__DirectoryListing *d, struct slu_err *e)
{
	for (size_t i = 0; i < d->n_partial_listing; i++) {
		const Slu__Pb__FileStatus *fs = d->partial_listing[i];
		struct slu_hdfs_id id;
		struct slu_attr a;

		if (!slu_native_attr(fs, &a, &id))
			return slu_fail(e, EPROTO, SLU_NATIVE_NONSENSE);
		if (slu_list_add(&w->list, (const char *)fs->path.data, fs->path.len, &a))
			return slu_fail_oom(e);
	}
	return d->remaining_entries && d->n_partial_listing;
}

static void all_listed(struct slu_nreq *q, int r)
{
	if (q->op->type == SLU_OP_BLOCKS) {
		*q->op->list = q->w->list;
		q->w->list = (struct slu_list){0};
		end_listed(q, r);
		return;
	}
	if (r == -ENOENT && q->op->size == 0) {
		slu_native_file(q, q->w->temp, put_written); /* a file without blocks */
		return;
	}
	if (r == -ENOENT)
		slu_fail(&q->op->err, ENOENT, "its blocks are gone");
	if (r == 0)
		r = slu_hdfs_check_blocks(&q->w->list, q->op->size, &q->op->err);
	if (r < 0) {
		give_up(q, r);
		return;
	}
	q->w->joined = 1;
	join(q);
}

static void blocks_listed(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	const char *why = slu_nreq_closed(q, c);
	Slu__Pb__GetListingResponse *m = NULL;
	int r = c->rpc.rc;

	q->info_busy = false;
	if (why) {
		slu_nreq_hand_back(q, why);
		return;
	}
	if (r)
		q->op->err = c->rpc.err;
	else
		m = slu__pb__get_listing_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);
	if (!r && !m)
		r = slu_fail(&q->op->err, EPROTO, SLU_NATIVE_NONSENSE);
	else if (!r)
		r = m->dir_list ? read_page(q->w, m->dir_list, &q->op->err) : -ENOENT;
	if (m)
		slu__pb__get_listing_response__free_unpacked(m, NULL);
	if (r == 1)
		list_blocks(q);
	else
		all_listed(q, r);
}

static void list_blocks(struct slu_nreq *q)
{
	const struct slu_list *l = &q->w->list;
	const char *after = l->n ? l->p[l->n - 1].name : "";
	Slu__Pb__GetListingRequest m = SLU__PB__GET_LISTING_REQUEST__INIT;

	m.src = q->w->folder;
	m.start_after.data = (uint8_t *)after;
	m.start_after.len = strlen(after);
	slu_nreq_ask(q, "getListing", &m.base, blocks_listed);
}

void slu_native_commit(struct slu_nreq *q)
{
	if (name_blocks(q, 0))
		list_blocks(q);
}

/* What COMMIT would look at. */
void slu_native_blocks(struct slu_nreq *q)
{
	slu_native_commit(q);
}
