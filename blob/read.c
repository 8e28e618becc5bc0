/* SPDX-License-Identifier: Apache-2.0 */
/* STAT and LIST.  A blob that is not there may still be a folder, so both of the former may
 * need a second request; the path of a file needs one. */
#include "blob/call.h"
#include "blob/dfs.h"
#include "blob/errors.h"
#include "blob/list.h"
#include "blob/sum.h"
#include "common/mem.h"
#include "common/str.h"
#include "fs/summer.h"

#include <errno.h>
#include <stddef.h>

char *slu_blob_prefix(const char *path)
{
	return *path ? slu_asprintf("%s/", path) : slu_strdup("");
}

void slu_blob_ask_list(struct slu_call *c, const struct slu_blob_ask *ask,
		       void (*step)(struct slu_call *c))
{
	SLU_AUTO(slu_freep)
	char *prefix = slu_blob_prefix(c->op->path);

	slu_call_begin(c, "GET", NULL);
	slu_call_param(c, "comp", "list");
	if (!ask->flat)
		slu_call_param(c, "delimiter", "/");
	if (ask->versions)
		slu_call_param(c, "include", "versions");
	else if (ask->metadata)
		slu_call_param(c, "include", "metadata");
	if (ask->marker)
		slu_call_param(c, "marker", ask->marker);
	slu_call_param(c, "maxresults", ask->max);
	if (prefix && ask->start) {
		char *both = slu_asprintf("%s%s", prefix, ask->start);

		free(prefix);
		prefix = both;
	}
	if (!prefix)
		c->oom = true;
	else if (*prefix)
		slu_call_param(c, "prefix", prefix);
	slu_call_param(c, "restype", "container");
	c->x.sink = SLU_SINK_BUF;
	c->x.resp = SLU_BUF(SLU_BLOB_LIST_MAX);
	slu_call_send(c, step);
}

int slu_blob_take_list(struct slu_call *c, struct slu_blob_page *page, struct slu_list *ret,
		       struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *prefix = slu_blob_prefix(c->op->path);
	int r;

	if (!prefix)
		return slu_fail_oom(e);
	page->prefix = prefix;
	page->no_md5 = c->b->no_md5;
	r = slu_blob_list_parse(c->x.resp.p ? c->x.resp.p : "", c->x.resp.len, page, ret, e);
	page->prefix = NULL;
	return r;
}

static int no_such(struct slu_call *c)
{
	return slu_fail(&c->op->err, ENOENT,
			"'%s' is not in container '%s' of account '%s': no such file or folder",
			c->op->path, c->b->at.container, c->b->at.account);
}

/* --- STAT --- */

#define EMPTY_MAX 1000 /* pages */

static void on_below(struct slu_call *c);

static void ask_below(struct slu_call *c, const char *marker)
{
	slu_blob_ask_list(c, &(struct slu_blob_ask){.flat = true, .max = "1", .marker = marker},
			  on_below);
}

static void on_below(struct slu_call *c)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	struct slu_blob_page page = {0};
	int r;

	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	r = slu_blob_take_list(c, &page, &list, &c->op->err);
	if (r == 0 && !list.n && !page.marks && list.next) {
		/* the service may give a page with nothing but a marker */
		if (++c->tree_gone < EMPTY_MAX) {
			ask_below(c, list.next);
			return;
		}
		r = slu_fail(&c->op->err, EPROTO,
			     "the listing of '%s' in container '%s' does not end: %d empty pages",
			     c->op->path, c->b->at.container, EMPTY_MAX);
	}
	if (r == 0 && !list.n && !page.marks && *c->op->path)
		r = no_such(c);
	if (r == 0)
		c->op->attr = (struct slu_attr){.kind = SLU_KIND_DIR};
	if (r == 0 && c->b->hierarchical && c->op->flags & SLU_OPF_DETAIL)
		slu_dfs_access(c);
	else
		slu_call_finish(c, r);
}

static void on_head(struct slu_call *c)
{
	if (c->x.rc == 0) {
		int r = slu_call_attr(c, &c->op->attr);

		if (c->b->no_md5)
			c->op->attr.sum[0] = '\0';
		if (r == 0 && c->op->flags & SLU_OPF_DETAIL)
			slu_blob_detail(c);
		else if (r == 0 && c->op->flags & SLU_OPF_SUM &&
			 slu_starts(c->op->attr.sum, SLU_CRC64_SUM))
			slu_blob_confirm_sum(c);
		else
			slu_call_finish(c, r);
	} else if (slu_call_is(c, 404, NULL) && c->op->version) {
		slu_call_finish(c, slu_fail(&c->op->err, ENOENT,
					    "'%s' in container '%s' has no %s: it was deleted, or "
					    "never was",
					    c->op->path, c->b->at.container, c->op->version));
	} else if (slu_call_is(c, 404, NULL) && !slu_call_is(c, 404, "ContainerNotFound")) {
		if (c->b->hierarchical || c->op->flags & SLU_OPF_FILE)
			slu_call_finish(c, no_such(c));
		else
			ask_below(c, NULL);
	} else {
		slu_call_fail(c);
	}
}

/* The container itself is asked by a listing, which needs no right beyond that to list. */
void slu_blob_stat(struct slu_call *c)
{
	if (!*c->op->path) {
		ask_below(c, NULL);
		return;
	}
	slu_call_begin(c, "HEAD", c->op->path);
	slu_blob_version(c);
	slu_call_send(c, on_head);
}

/* --- LIST --- */

void slu_blob_folder_there(struct slu_call *c)
{
	struct slu_attr a;
	int r;

	if (c->x.rc < 0 && !slu_call_is(c, 404, NULL)) {
		slu_call_fail(c);
		return;
	}
	r = c->x.rc < 0 ? no_such(c) : slu_call_attr(c, &a);
	if (r == 0 && a.kind != SLU_KIND_DIR)
		r = slu_fail(&c->op->err, ENOTDIR, "'%s' in container '%s' is a file, not a folder",
			     c->op->path, c->b->at.container);
	slu_call_finish(c, r);
}

static void parse_page(struct slu_work *w)
{
	struct slu_call *c = (struct slu_call *)((char *)w - offsetof(struct slu_call, work));
	struct slu_op *op = c->op;
	struct slu_blob_page page = {.flat = op->flags & SLU_OPF_RECURSIVE,
				     .versions = op->flags & SLU_OPF_VERSIONS};
	int r = slu_blob_take_list(c, &page, op->list, &op->err);

	if (r == 0 && !op->list->n && !op->list->next && !op->marker && !page.marks && *op->path &&
	    !op->start) {
		/* nothing is below it: an empty folder, a file, or nothing at all? */
		slu_call_begin(c, "HEAD", op->path);
		slu_call_send(c, slu_blob_folder_there);
		return;
	}
	slu_call_finish(c, r);
}

static void on_page(struct slu_call *c)
{
	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	c->work = (struct slu_work){.fn = parse_page};
	slu_pool_add(c->b->pool, &c->work);
}

/* hdi_isfolder, which tells a folder's stub from an empty file, is metadata: it is asked for here only. */
void slu_blob_list(struct slu_call *c)
{
	struct slu_blob_ask ask = {.flat = c->op->flags & SLU_OPF_RECURSIVE,
				   .metadata = true,
				   .versions = c->op->flags & SLU_OPF_VERSIONS,
				   .max = "5000",
				   .start = c->op->start,
				   .marker = c->op->marker};

	slu_blob_ask_list(c, &ask, on_page);
}
