/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an account with a hierarchical namespace does better by its dfs endpoint ("Path" operations of
 * the Data Lake Storage Gen2 REST reference): list, make, rename and delete folders, owners and rights.
 * Bytes go by the Blob endpoint as on any account.
 *
 * No real account has confirmed this yet: it was tested with tests/blobd, written from the same
 * reference.
 */
#include "blob/dfs.h"

#include "blob/errors.h"
#include "blob/list.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "io/http.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define PAGE "5000"
#define ROUNDS_MAX 1000000 /* continuations of one op */

/* --- LIST --- */

/* The name below the listed folder; NULL: it is not there. */
static const char *below(const char *name, const char *folder)
{
	const char *rest = slu_after(name, folder);

	if (!*folder)
		return *name ? name : NULL;
	return rest && *rest == '/' && rest[1] ? rest + 1 : NULL;
}

static bool is_true(const struct json_t *o, const char *key)
{
	const char *v = slu_json_str(o, key);

	return v ? slu_streq(v, "true") : slu_json_bool(o, key, false);
}

static int read_attr(const struct json_t *o, struct slu_attr *a)
{
	const char *size = slu_json_str(o, "contentLength"), *etag = slu_json_str(o, "etag");
	const char *when = slu_json_str(o, "lastModified");

	*a = (struct slu_attr){.kind = is_true(o, "isDirectory") ? SLU_KIND_DIR : SLU_KIND_FILE};
	if (when && !slu_http_date(when, &a->mtime_ns))
		return -EPROTO;
	if (a->kind == SLU_KIND_DIR)
		return 0;
	if (!when || !size || !slu_u64(size, &a->size) || a->size > INT64_MAX || !etag)
		return -EPROTO;
	slu_blob_set_etag(a, etag);
	return a->id[0] ? 0 : -EPROTO;
}

int slu_dfs_list_parse(const char *text, size_t n, const char *folder, bool recursive,
		       struct slu_list *ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const struct json_t *paths;
	struct slu_err why = {0};

	if (slu_json_parse(text, n, "JSON", &o, &why) < 0)
		return slu_fail(e, why.code == ENOMEM ? ENOMEM : EPROTO,
				"the listing of '%s' cannot be read: %s", folder, why.msg);
	paths = slu_json_get(o, "paths");
	if (!slu_json_is_array(paths))
		return slu_fail(e, EPROTO, "the listing of '%s' has no paths", folder);
	for (size_t i = 0; i < slu_json_count(paths); i++) {
		const struct json_t *p = slu_json_at(paths, i);
		const char *name = slu_json_str(p, "name"), *rest;
		struct slu_attr a;

		rest = name ? below(name, folder) : NULL;
		if (!rest || (!recursive && strchr(rest, '/')))
			return slu_fail(e, EPROTO,
					"the listing of '%s' names '%s', which is not of it",
					folder, name ? name : "");
		if (read_attr(p, &a) < 0)
			return slu_fail(e, EPROTO,
					"the listing of '%s' has '%s' without a size, a time or an "
					"ETag",
					folder, name);
		if (recursive && a.kind == SLU_KIND_DIR)
			continue;
		int r = slu_list_add(ret, rest, strlen(rest), &a);
		if (r < 0)
			return r == -ENOMEM ? slu_fail_oom(e) : r;
	}
	return 0;
}

static void parse_page(struct slu_work *w)
{
	struct slu_call *c = (struct slu_call *)((char *)w - offsetof(struct slu_call, work));
	const char *more = slu_xfer_header(&c->x, "x-ms-continuation");
	struct slu_op *op = c->op;
	int r = slu_dfs_list_parse(c->x.resp.p ? c->x.resp.p : "", c->x.resp.len, op->path,
				   op->flags & SLU_OPF_RECURSIVE, op->list, &op->err);

	if (r == 0 && more && *more) {
		if (op->marker && slu_streq(op->marker, more))
			r = slu_fail(&op->err, EPROTO,
				     "the listing of '%s' in container '%s' does not end: the "
				     "service gives the same continuation again",
				     op->path, c->b->at.container);
		else if (!(op->list->next = slu_strdup(more)))
			r = slu_fail_oom(&op->err);
	}
	slu_call_finish(c, r);
}

/* A file, or nothing, when it is no folder. */
static bool is_absent(const struct slu_call *c)
{
	return slu_call_is(c, 404, NULL) && !slu_call_is(c, 404, "FilesystemNotFound") &&
	       !slu_call_is(c, 404, "ContainerNotFound");
}

static void on_page(struct slu_call *c)
{
	if (is_absent(c) && *c->op->path) {
		slu_call_begin(c, "HEAD", c->op->path);
		slu_call_send(c, slu_blob_folder_there);
		return;
	}
	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	c->work = (struct slu_work){.fn = parse_page};
	slu_pool_add(c->b->pool, &c->work);
}

/* The paths of this endpoint come without their MD5: who needs it has to ask the other. */
void slu_dfs_list(struct slu_call *c)
{
	const struct slu_op *op = c->op;

	if (!(op->flags & SLU_OPF_NO_SUMS) && !c->b->no_md5) {
		slu_blob_list(c);
		return;
	}
	slu_call_begin_dfs(c, "GET", NULL);
	if (op->marker)
		slu_call_param(c, "continuation", op->marker);
	if (*op->path)
		slu_call_param(c, "directory", op->path);
	slu_call_param(c, "maxResults", PAGE);
	slu_call_param(c, "recursive", op->flags & SLU_OPF_RECURSIVE ? "true" : "false");
	slu_call_param(c, "resource", "filesystem");
	c->x.sink = SLU_SINK_BUF;
	c->x.resp = SLU_BUF(SLU_BLOB_LIST_MAX);
	slu_call_send(c, on_page);
}

/* --- MKDIR --- */

/* Without the condition an existing folder would lose its metadata. */
static void ask_folder(struct slu_call *c, const char *path, void (*step)(struct slu_call *c))
{
	slu_call_begin_dfs(c, "PUT", path);
	slu_call_param(c, "resource", "directory");
	slu_call_header(c, "if-none-match", "*");
	slu_call_send(c, step);
}

static void on_made(struct slu_call *c)
{
	if (c->x.rc == 0) {
		slu_call_finish(c, 0);
	} else if (slu_call_is(c, 409, NULL) || slu_call_is(c, 412, NULL)) {
		/* a file or a folder */
		slu_call_begin(c, "HEAD", c->op->path);
		slu_call_send(c, slu_blob_folder_there);
	} else {
		slu_call_fail(c);
	}
}

void slu_dfs_mkdir(struct slu_call *c)
{
	if (*c->op->path)
		ask_folder(c, c->op->path, on_made);
	else
		slu_blob_mkdir(c);
}

/* A step was done: the next one, if the answer names it. */
static void go_on(struct slu_call *c, const char *what,
		  void (*ask)(struct slu_call *c, const char *more))
{
	const char *told = slu_xfer_header(&c->x, "x-ms-continuation");
	SLU_AUTO(slu_freep) char *more = told && *told ? slu_strdup(told) : NULL;
	struct slu_err *e = &c->op->err;

	if (!told || !*told)
		slu_call_finish(c, 0);
	else if (!more)
		slu_call_finish(c, slu_fail_oom(e));
	else if (++c->tree_gone > ROUNDS_MAX)
		slu_call_finish(
			c, slu_fail(e, EPROTO, "the %s of '%s' does not end", what, c->op->path));
	else
		ask(c, more);
}

/* --- RENAME --- */

static void ask_rename(struct slu_call *c, const char *more);

static void on_parent(struct slu_call *c)
{
	if (c->x.rc < 0 && !slu_call_is(c, 409, "PathAlreadyExists") && !slu_call_is(c, 412, NULL))
		slu_call_fail(c);
	else
		ask_rename(c, NULL);
}

static void make_parent(struct slu_call *c)
{
	const char *slash = strrchr(c->op->to, '/');
	SLU_AUTO(slu_freep) char *parent = slu_strndup(c->op->to, (size_t)(slash - c->op->to));

	c->again = true;
	if (parent)
		ask_folder(c, parent, on_parent);
	else
		slu_call_finish(c, slu_fail_oom(&c->op->err));
}

/* Is what the answer tells of what was to be renamed?  A file keeps its ETag when it is. */
static bool is_same(struct slu_call *c)
{
	struct slu_attr a;

	return c->x.rc == 0 && slu_call_attr(c, &a) == 0 && a.kind == c->from.kind &&
	       slu_streq(a.id, c->from.id);
}

/* A rename whose answer was lost has happened when the source is gone and the target is what it was. */
static void on_target(struct slu_call *c)
{
	if (is_same(c))
		slu_call_finish(c, 0);
	else
		slu_blob_give_up(c, false);
}

static void on_source(struct slu_call *c)
{
	bool refused = c->err.http >= 400 && c->err.http < 500;

	if (!is_absent(c)) {
		slu_blob_give_up(c, c->x.rc == 0 && !refused);
		return;
	}
	slu_call_begin(c, "HEAD", c->op->to);
	slu_call_send(c, on_target);
}

/* The source was there, so that it is not, or that the target is, may be our own doing: HTTP libraries
 * send a request again when a connection that was used before breaks without an answer. */
static bool may_have_happened(const struct slu_call *c)
{
	return slu_call_unknown(c) || slu_call_is(c, 404, NULL) || slu_call_is(c, 409, NULL) ||
	       slu_call_is(c, 412, NULL);
}

static void on_renamed(struct slu_call *c)
{
	if (!c->again && strchr(c->op->to, '/') &&
	    slu_call_is(c, 404, "RenameDestinationParentPathNotFound")) {
		make_parent(c);
		return;
	}
	if (may_have_happened(c)) {
		slu_blob_remember(c);
		slu_call_begin(c, "HEAD", c->op->path);
		slu_call_send(c, on_source);
		return;
	}
	if (c->x.rc < 0)
		slu_call_fail(c);
	else
		go_on(c, "rename", ask_rename);
}

static void ask_rename(struct slu_call *c, const char *more)
{
	SLU_AUTO(slu_buf_done) struct slu_buf from = SLU_BUF(64 << 10);
	struct slu_blob_secret s = {0};
	int r = c->b->identity ? 0 : slu_blob_cred_get(c->b->cred, &s, &c->op->err);

	if (r < 0) {
		slu_call_finish(c, r);
		return;
	}
	slu_buf_fmt(&from, "/%s/", c->b->at.container);
	slu_url_encode(&from, c->op->path, strlen(c->op->path), "/");
	if (s.kind == SLU_BLOB_SAS) /* the source needs it as well */
		slu_buf_fmt(&from, "?%s", s.sas);
	slu_blob_secret_done(&s);
	slu_call_begin_dfs(c, "PUT", c->op->to);
	if (more)
		slu_call_param(c, "continuation", more);
	/* later steps find the target that the first one made */
	if (!more && c->op->flags & SLU_OPF_ABSENT)
		slu_call_header(c, "if-none-match", "*");
	if (!more && c->op->if_match)
		slu_call_header(c, "x-ms-source-if-match", "\"%s\"", c->op->if_match);
	if (slu_buf_err(&from) < 0)
		c->oom = true;
	else
		slu_call_header(c, "x-ms-rename-source", "%s", from.p);
	slu_call_send(c, on_renamed);
}

static void on_from(struct slu_call *c)
{
	int r;

	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	r = slu_call_attr(c, &c->from);
	if (r < 0)
		slu_call_finish(c, r);
	else
		ask_rename(c, NULL);
}

/* What it is comes first: without it nobody could say later whose the target is. */
void slu_dfs_rename(struct slu_call *c)
{
	slu_call_begin(c, "HEAD", c->op->path);
	slu_call_send(c, on_from);
}

/* --- DELETE --- */

static void ask_delete(struct slu_call *c, const char *more);

static void on_deleted(struct slu_call *c)
{
	if (c->x.rc == 0)
		go_on(c, "deletion", ask_delete);
	else if (c->op->flags & SLU_OPF_TREE && is_absent(c))
		slu_call_finish(c, 0);
	else
		slu_call_fail(c);
}

/* Paginated: who has rights by access control lists only has them checked in steps, which would take
 * longer than a request may for a large folder; the deletion itself is the last step. */
static void ask_delete(struct slu_call *c, const char *more)
{
	bool tree = c->op->flags & SLU_OPF_TREE;

	slu_call_begin_dfs(c, "DELETE", c->op->path);
	if (more)
		slu_call_param(c, "continuation", more);
	if (tree && c->b->identity)
		slu_call_param(c, "paginated", "true");
	slu_call_param(c, "recursive", tree ? "true" : "false");
	slu_call_conditions(c);
	slu_call_send(c, on_deleted);
}

void slu_dfs_delete(struct slu_call *c)
{
	ask_delete(c, NULL);
}

/* --- who owns it, who may --- */

static void on_access(struct slu_call *c)
{
	static const struct {
		const char *header, *key;
	} names[] = {{"x-ms-owner", "owner"},
		     {"x-ms-group", "group"},
		     {"x-ms-permissions", "permissions"},
		     {"x-ms-acl", "acl"}};
	int r = 0;

	/* Who may read it may not be allowed to see who else may. */
	if (slu_call_is(c, 403, NULL)) {
		slu_call_finish(c, 0);
		return;
	}
	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	if (!c->op->detail && !(c->op->detail = slu_json_object()))
		r = -ENOMEM;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && r == 0; i++) {
		const char *v = slu_xfer_header(&c->x, names[i].header);

		if (v)
			r = slu_json_set_str(c->op->detail, names[i].key, v);
	}
	slu_call_finish(c, r < 0 ? slu_fail_oom(&c->op->err) : 0);
}

void slu_dfs_access(struct slu_call *c)
{
	slu_call_begin_dfs(c, "HEAD", c->op->path);
	slu_call_param(c, "action", "getAccessControl");
	slu_call_send(c, on_access);
}

/* --- is there one? --- */

static void on_root(struct slu_call *c)
{
	bool yes = c->x.rc == 0 || slu_call_is(c, 403, "AuthorizationPermissionMismatch");

	if (!yes && !slu_call_is(c, 400, NULL))
		slu_warn("blob",
			 "'%s' does not say whether account '%s' has a hierarchical namespace: it "
			 "is taken for flat (say it as \"namespace\")",
			 c->b->at.dfs, c->b->at.account);
	c->op->attr = (struct slu_attr){.kind = yes ? SLU_KIND_DIR : SLU_KIND_FILE};
	slu_call_finish(c, 0);
}

void slu_dfs_probe(struct slu_call *c)
{
	slu_call_begin_dfs(c, "HEAD", "");
	slu_call_param(c, "action", "getAccessControl");
	slu_call_send(c, on_root);
}
