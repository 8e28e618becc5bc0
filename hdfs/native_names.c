/* SPDX-License-Identifier: Apache-2.0 */
/* STAT and LIST by RPC: getFileInfo, getAclStatus and getListing of ClientProtocol. */
#include "hdfs/native_impl.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ACL_MAX (64u << 10)
#define HAS_ACL 1u

enum { FOLDER = 1, SYMLINK = 3 };

bool slu_native_attr(const Slu__Pb__FileStatus *fs, struct slu_attr *ret,
		     struct slu_hdfs_id *ret_id)
{
	struct slu_hdfs_id id = {fs->file_id, (int64_t)fs->modification_time, fs->length};
	struct slu_attr a = {.kind = fs->type == FOLDER ? SLU_KIND_DIR : SLU_KIND_FILE};

	if (fs->type < FOLDER || fs->type > SYMLINK || id.mtime < 0 ||
	    id.mtime > INT64_MAX / 1000000 || fs->length > INT64_MAX || fs->file_id > INT64_MAX)
		return false;
	a.mtime_ns = id.mtime * 1000000;
	if (a.kind == SLU_KIND_FILE) {
		a.size = fs->length;
		a.unsure = slu_hdfs_unsure(fs->length, fs->block_size);
		slu_hdfs_id_text(&id, a.id);
	} else if (fs->file_id) {
		snprintf(a.id, sizeof(a.id), "%" PRIx64, fs->file_id);
	}
	*ret = a;
	*ret_id = id;
	return true;
}

static int broken(struct slu_nreq *q)
{
	return slu_fail(&q->op->err, EPROTO, SLU_NATIVE_NONSENSE);
}

static void end(struct slu_nreq *q, int r)
{
	if (r < 0)
		slu_nreq_explain(q);
	slu_nreq_end(q, r);
}

/* True: q is gone.  Else op->err is what the call says. */
static bool hand_back(struct slu_nreq *q, const struct slu_nn_call *c)
{
	const char *why = slu_nreq_closed(q, c);

	if (why)
		slu_nreq_hand_back(q, why);
	else
		q->op->err = c->rpc.err;
	return why;
}

/* --- stat --- */

static int add_acl(struct slu_nreq *q, const Slu__Pb__GetAclStatusResponse *m)
{
	static const char *const types[] = {"user", "group", "mask", "other"};
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(ACL_MAX);

	if (!m)
		return broken(q);
	for (size_t i = 0; i < m->result->n_entries; i++) {
		const Slu__Pb__AclEntry *a = m->result->entries[i];

		if (a->type > 3)
			return broken(q);
		slu_buf_fmt(&b, "%s%s%s:%s:%c%c%c", i ? "," : "", a->scope ? "default:" : "",
			    types[a->type], a->name ? a->name : "", a->permissions & 4 ? 'r' : '-',
			    a->permissions & 2 ? 'w' : '-', a->permissions & 1 ? 'x' : '-');
	}
	if (slu_buf_err(&b) || slu_json_set_str(q->op->detail, "acl", b.p ? b.p : ""))
		return slu_fail_oom(&q->op->err);
	return 0;
}

/* Who may look at it may not be allowed to see who else may; and the server may have no lists. */
static void got_acl(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	int r = 0;

	q->info_busy = false;
	if (c->rpc.rc && !c->rpc.err.svc[0]) {
		q->op->err = c->rpc.err;
		r = c->rpc.rc;
	} else if (!c->rpc.rc) {
		Slu__Pb__GetAclStatusResponse *m = slu__pb__get_acl_status_response__unpack(
			NULL, c->rpc.resp_len, c->rpc.resp);

		r = add_acl(q, m);
		if (m)
			slu__pb__get_acl_status_response__free_unpacked(m, NULL);
	}
	end(q, r);
}

static int add_detail(struct slu_nreq *q, const Slu__Pb__FileStatus *fs)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int r = 0;

	if (!o || slu_json_set_str(o, "owner", fs->owner) ||
	    slu_json_set_str(o, "group", fs->group) || slu_hdfs_set_mode(o, fs->permission->perm))
		r = -ENOMEM;
	if (!r && fs->replication)
		r = slu_json_set_int(o, "replication", fs->replication);
	if (!r && fs->block_size)
		r = slu_json_set_int(o, "block_size", (int64_t)fs->block_size);
	if (!r && fs->file_id)
		r = slu_json_set_int(o, "inode", (int64_t)fs->file_id);
	if (r)
		return slu_fail_oom(&q->op->err);
	slu_json_free(q->op->detail); /* of a try before */
	q->op->detail = slu_take(o);
	return 0;
}

static int read_info(struct slu_nreq *q, const Slu__Pb__GetFileInfoResponse *m)
{
	struct slu_op *op = q->op;
	struct slu_hdfs_id id;

	if (!m)
		return broken(q);
	if (!m->fs)
		return slu_fail(&op->err, ENOENT, "there is no such file or folder");
	if (m->fs->type == SYMLINK)
		return slu_fail(&op->err, EINVAL, "it is a symbolic link, which is not followed");
	if (!slu_native_attr(m->fs, &op->attr, &id))
		return broken(q);
	return op->flags & SLU_OPF_DETAIL ? add_detail(q, m->fs) : 0;
}

static void ask_acl(struct slu_nreq *q)
{
	SLU_AUTO(slu_freep) char *path = slu_native_path(q->n, q->op->path);
	Slu__Pb__GetAclStatusRequest m = SLU__PB__GET_ACL_STATUS_REQUEST__INIT;

	m.src = path;
	if (path)
		slu_nreq_ask(q, "getAclStatus", &m.base, got_acl);
	else
		end(q, slu_fail_oom(&q->op->err));
}

static void stat_end(struct slu_nreq *q)
{
	if (q->acl)
		ask_acl(q);
	else
		end(q, 0);
}

static void got_where(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	Slu__Pb__GetBlockLocationsResponse *m;
	struct slu_op *op = q->op;
	int r;

	q->info_busy = false;
	if (hand_back(q, c))
		return;
	r = c->rpc.rc && c->rpc.err.svc[0]
		    ? 0
		    : c->rpc.rc; /* who may see it may not be allowed to read */
	if (c->rpc.rc == 0) {
		m = slu__pb__get_block_locations_response__unpack(NULL, c->rpc.resp_len,
								  c->rpc.resp);
		op->attr.open = m && m->locations && m->locations->under_construction;
		if (op->attr.open && op->detail &&
		    slu_json_set_bool(op->detail, "being_written", true) < 0)
			r = slu_fail_oom(&op->err);
		if (m)
			slu__pb__get_block_locations_response__free_unpacked(m, NULL);
	}
	if (r < 0) {
		end(q, r);
		return;
	}
	op->err = (struct slu_err){0};
	stat_end(q);
}

static void ask_where(struct slu_nreq *q)
{
	SLU_AUTO(slu_freep) char *path = slu_native_path(q->n, q->op->path);
	Slu__Pb__GetBlockLocationsRequest m = SLU__PB__GET_BLOCK_LOCATIONS_REQUEST__INIT;

	m.src = path;
	m.length = 1;
	if (path)
		slu_nreq_ask(q, "getBlockLocations", &m.base, got_where);
	else
		end(q, slu_fail_oom(&q->op->err));
}

static void got_info(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	const struct slu_op *op = q->op;
	int r;

	q->info_busy = false;
	if (hand_back(q, c))
		return;
	r = c->rpc.rc;
	if (r == 0) {
		Slu__Pb__GetFileInfoResponse *m =
			slu__pb__get_file_info_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);

		r = read_info(q, m);
		q->acl = r == 0 && op->flags & SLU_OPF_DETAIL && m->fs->flags & HAS_ACL;
		if (m)
			slu__pb__get_file_info_response__free_unpacked(m, NULL);
	}
	if (r < 0)
		end(q, r);
	else if (op->flags & SLU_OPF_SUM && op->attr.kind == SLU_KIND_FILE)
		slu_native_sum(q);
	else if (op->attr.kind == SLU_KIND_FILE &&
		 (op->flags & SLU_OPF_OPEN || (op->flags & SLU_OPF_DETAIL && op->attr.unsure)))
		ask_where(q);
	else
		stat_end(q);
}

void slu_native_stat(struct slu_nreq *q)
{
	SLU_AUTO(slu_freep) char *path = slu_native_path(q->n, q->op->path);
	Slu__Pb__GetFileInfoRequest m = SLU__PB__GET_FILE_INFO_REQUEST__INIT;

	if (!path) {
		end(q, slu_fail_oom(&q->op->err));
		return;
	}
	m.src = path;
	slu_nreq_ask(q, "getFileInfo", &m.base, got_info);
}

/* --- list --- */

static int add_entry(struct slu_nreq *q, const Slu__Pb__FileStatus *fs, char **ret_last)
{
	SLU_AUTO(slu_freep) char *name = slu_strndup((const char *)fs->path.data, fs->path.len);
	struct slu_hdfs_id id;
	struct slu_attr a;

	if (!name)
		return slu_fail_oom(&q->op->err);
	if (!slu_native_attr(fs, &a, &id) || strlen(name) != fs->path.len || !*name ||
	    strchr(name, '/') || !slu_path_ok(name))
		return slu_fail(&q->op->err, EPROTO, "an entry has a name that no file can have");
	if (fs->type == SYMLINK)
		slu_debug("hdfs", "'%s' left out: a symbolic link", name);
	else if ((!slu_starts(name, SLU_HDFS_TEMP) || q->op->flags & SLU_OPF_TEMPS) &&
		 slu_list_add(q->op->list, name, strlen(name), &a) < 0)
		return slu_fail_oom(&q->op->err);
	free(*ret_last);
	*ret_last = slu_take(name);
	return 0;
}

static int read_list(struct slu_nreq *q, const Slu__Pb__GetListingResponse *m)
{
	const Slu__Pb__DirectoryListing *d = m ? m->dir_list : NULL;
	SLU_AUTO(slu_freep) char *last = NULL;
	int r = 0;

	if (!m)
		return broken(q);
	if (!d)
		return slu_fail(&q->op->err, ENOENT, "there is no such file or folder");
	if (d->n_partial_listing == 1 && !d->partial_listing[0]->path.len)
		return slu_fail(&q->op->err, ENOTDIR, "it is a file, not a folder");
	for (size_t i = 0; i < d->n_partial_listing && r == 0; i++)
		r = add_entry(q, d->partial_listing[i], &last);
	if (r < 0 || !d->remaining_entries)
		return r;
	if (!last)
		return broken(q);
	free(q->op->list->next);
	q->op->list->next = slu_take(last);
	return 0;
}

static void got_list(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	int r;

	q->info_busy = false;
	if (hand_back(q, c))
		return;
	r = c->rpc.rc;
	if (r == 0) {
		Slu__Pb__GetListingResponse *m =
			slu__pb__get_listing_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);

		r = read_list(q, m);
		if (m)
			slu__pb__get_listing_response__free_unpacked(m, NULL);
	}
	end(q, r);
}

void slu_native_list(struct slu_nreq *q)
{
	SLU_AUTO(slu_freep) char *path = slu_native_path(q->n, q->op->path);
	Slu__Pb__GetListingRequest m = SLU__PB__GET_LISTING_REQUEST__INIT;
	const char *after = q->op->marker ? q->op->marker : "";

	if (!path) {
		end(q, slu_fail_oom(&q->op->err));
		return;
	}
	m.src = path;
	m.start_after.data = (uint8_t *)after;
	m.start_after.len = strlen(after);
	slu_nreq_ask(q, "getListing", &m.base, got_list);
}
