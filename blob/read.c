/* SPDX-License-Identifier: Apache-2.0 */
/* STAT and LIST.  A blob that is not there may still be a folder, so both of the former may
 * need a second request; the path of a file needs one. */
#include "blob/call.h"
#include "blob/errors.h"
#include "blob/list.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <stddef.h>

char *slu_blob_prefix(const char *path)
{
	return *path ? slu_asprintf("%s/", path) : slu_strdup("");
}

void slu_blob_ask_list(struct slu_call *c, const char *path, bool flat, const char *max,
		       const char *marker, void (*step)(struct slu_call *c))
{
	SLU_AUTO(slu_freep) char *prefix = slu_blob_prefix(path);

	slu_call_begin(c, "GET", NULL);
	slu_call_param(c, "comp", "list");
	if (!flat)
		slu_call_param(c, "delimiter", "/");
	slu_call_param(c, "include", "metadata"); /* hdi_isfolder */
	if (marker)
		slu_call_param(c, "marker", marker);
	slu_call_param(c, "maxresults", max);
	if (!prefix)
		c->oom = true;
	else if (*prefix)
		slu_call_param(c, "prefix", prefix);
	slu_call_param(c, "restype", "container");
	c->x.sink = SLU_SINK_BUF;
	c->x.resp = SLU_BUF(SLU_BLOB_LIST_MAX);
	slu_call_send(c, step);
}

static int no_such(struct slu_call *c)
{
	return slu_fail(&c->op->err, ENOENT,
			"'%s' is not in container '%s' of account '%s': no such file or folder",
			c->op->path, c->b->at.container, c->b->at.account);
}

/* --- STAT --- */

static void on_below(struct slu_call *c)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	SLU_AUTO(slu_freep) char *prefix = slu_blob_prefix(c->op->path);
	struct slu_blob_page page = {.prefix = prefix};
	int r;

	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	r = prefix ? slu_blob_list_parse(c->x.resp.p ? c->x.resp.p : "", c->x.resp.len, &page,
					 &list, &c->op->err)
		   : slu_fail_oom(&c->op->err);
	if (r == 0 && !list.n && !page.marks && list.next) {
		/* the service may give a page with nothing but a marker */
		slu_blob_ask_list(c, c->op->path, true, "1", list.next, on_below);
		return;
	}
	if (r == 0 && !list.n && !page.marks && *c->op->path)
		r = no_such(c);
	if (r == 0)
		c->op->attr = (struct slu_attr){.kind = SLU_KIND_DIR};
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
		else
			slu_call_finish(c, r);
	} else if (slu_call_is(c, 404, NULL) && c->op->version) {
		slu_call_finish(c, slu_fail(&c->op->err, ENOENT,
					    "'%s' in container '%s' has no %s: it was deleted, or "
					    "never was",
					    c->op->path, c->b->at.container, c->op->version));
	} else if (slu_call_is(c, 404, NULL) && !slu_call_is(c, 404, "ContainerNotFound")) {
		slu_blob_ask_list(c, c->op->path, true, "1", NULL, on_below);
	} else {
		slu_call_fail(c);
	}
}

/* The container itself is asked by a listing, which needs no right beyond that to list. */
void slu_blob_stat(struct slu_call *c)
{
	if (!*c->op->path) {
		slu_blob_ask_list(c, "", true, "1", NULL, on_below);
		return;
	}
	slu_call_begin(c, "HEAD", c->op->path);
	slu_blob_version(c);
	slu_call_send(c, on_head);
}

/* --- LIST --- */

/* Nothing is below it: an empty folder, a file, or nothing at all? */
static void on_empty(struct slu_call *c)
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
	SLU_AUTO(slu_freep) char *prefix = slu_blob_prefix(op->path);
	struct slu_blob_page page = {
		.prefix = prefix, .flat = op->flags & SLU_OPF_RECURSIVE, .no_md5 = c->b->no_md5};
	int r;

	r = prefix ? slu_blob_list_parse(c->x.resp.p ? c->x.resp.p : "", c->x.resp.len, &page,
					 op->list, &op->err)
		   : slu_fail_oom(&op->err);
	if (r == 0 && !op->list->n && !op->list->next && !op->marker && !page.marks && *op->path) {
		slu_call_begin(c, "HEAD", op->path);
		slu_call_send(c, on_empty);
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

void slu_blob_list(struct slu_call *c)
{
	slu_blob_ask_list(c, c->op->path, c->op->flags & SLU_OPF_RECURSIVE, "5000", c->op->marker,
			  on_page);
}
