/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DELETE.  A tree is listed page by page and its blobs deleted, several at once; then the listing
 * begins anew, until nothing is left.  A blob that cannot be deleted does not keep the others, unless
 * nothing of a page can be.  All calls of one op run on one loop, so they need no lock.
 */
#include "blob/call.h"
#include "blob/errors.h"
#include "blob/list.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>

#define KIDS 16

static void ask_delete(struct slu_call *c, const char *path, void (*step)(struct slu_call *c))
{
	slu_call_begin(c, "DELETE", path);
	slu_call_header(c, "x-ms-delete-snapshots", "include");
	if (c->op->if_match)
		slu_call_header(c, "if-match", "\"%s\"", c->op->if_match);
	slu_call_send(c, step);
}

/* --- one --- */

static void on_marker(struct slu_call *c)
{
	if (c->x.rc < 0)
		slu_call_fail(c);
	else
		slu_call_finish(c, 0);
}

/* No such blob: a folder with something in it, an empty one, or nothing. */
static void on_listed(struct slu_call *c)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	SLU_AUTO(slu_freep) char *prefix = slu_blob_prefix(c->op->path);
	struct slu_blob_page page = {0};
	int r;

	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	r = prefix ? slu_blob_take_list(c, &page, &list, &c->op->err) : slu_fail_oom(&c->op->err);
	if (r == 0 && (list.n || list.next))
		r = slu_fail(
			&c->op->err, ENOTEMPTY,
			"the folder '%s' in container '%s' is not empty: delete it with all that "
			"is in it, recursively",
			c->op->path, c->b->at.container);
	else if (r == 0 && !page.marks)
		r = slu_fail(&c->op->err, ENOENT, "'%s' is not in container '%s' of account '%s'",
			     c->op->path, c->b->at.container, c->b->at.account);
	if (r < 0)
		slu_call_finish(c, r);
	else
		ask_delete(c, prefix, on_marker);
}

/* Nobody knows whether it was deleted: not when it is there, or there again. */
static void on_still(struct slu_call *c)
{
	if (slu_call_is(c, 404, NULL))
		slu_call_finish(c, 0);
	else
		slu_blob_give_up(c, c->x.rc == 0);
}

static void on_deleted(struct slu_call *c)
{
	if (c->x.rc == 0) {
		slu_call_finish(c, 0);
		return;
	}
	if (slu_call_unknown(c)) {
		slu_blob_remember(c);
		slu_call_begin(c, "HEAD", c->op->path);
		slu_call_send(c, on_still);
		return;
	}
	if (slu_call_is(c, 404, NULL) && !slu_call_is(c, 404, "ContainerNotFound") &&
	    !c->op->if_match)
		slu_blob_ask_list(c, &(struct slu_blob_ask){.flat = true, .max = "2"}, on_listed);
	else
		slu_call_fail(c);
}

/* --- all --- */

static void on_names(struct slu_call *c);

static void ask_names(struct slu_call *c, const char *marker)
{
	slu_blob_ask_list(c, &(struct slu_blob_ask){.flat = true, .max = "5000", .marker = marker},
			  on_names);
}

static void on_last(struct slu_call *c)
{
	if (c->x.rc < 0 && !slu_call_is(c, 404, NULL))
		slu_call_fail(c);
	else
		slu_call_finish(c, 0);
}

static void tree_failed(struct slu_call *c)
{
	c->op->err = c->err;
	if (c->tree_failed > 1)
		slu_fail_more(&c->op->err, "%zu in '%s' could not be deleted, first",
			      c->tree_failed, c->op->path);
	slu_call_finish(c, c->rc);
}

static void page_ended(struct slu_call *c)
{
	SLU_AUTO(slu_freep) char *more = slu_take(c->tree.next);

	c->tree_all += c->tree_gone;
	if (c->rc < 0 && (c->tree_stop || !more || !c->tree_gone)) {
		tree_failed(c);
	} else if (more) {
		ask_names(c, more);
	} else if (c->tree_all) {
		c->tree_all = c->tree_left = 0;
		ask_names(c, NULL);
	} else if (c->tree_left) {
		slu_call_finish(c,
				slu_fail(&c->op->err, EBUSY,
					 "nothing in the folder '%s' can be deleted", c->op->path));
	} else {
		ask_delete(c, c->op->path, on_last);
	}
}

static void stop(struct slu_call *c, int rc)
{
	c->rc = rc;
	c->tree_stop = true;
}

static bool kid_next(struct slu_call *kid);

static void kid_failed(struct slu_call *kid)
{
	struct slu_call *c = kid->parent;

	if (c->tree_failed++)
		return;
	c->rc = slu_blob_fail(c->op, &c->b->at, &kid->x, kid->secret.sas);
	c->err = c->op->err;
	c->tree_stop |= c->rc == -ECANCELED;
}

static void on_kid(struct slu_call *kid)
{
	struct slu_call *c = kid->parent;

	/* a folder of a hierarchical account goes after what is in it, in another round */
	if (kid->x.rc == 0 || slu_call_is(kid, 404, NULL))
		c->tree_gone++;
	else if (slu_call_is(kid, 409, "DirectoryIsNotEmpty"))
		c->tree_left++;
	else
		kid_failed(kid);
	if (kid_next(kid))
		return;
	slu_call_free(kid);
	if (--c->kids == 0)
		page_ended(c);
}

static bool kid_next(struct slu_call *kid)
{
	struct slu_call *c = kid->parent;
	SLU_AUTO(slu_freep) char *path = NULL;

	if (c->tree_stop || c->tree_next == c->tree.n || slu_op_canceled(c->op))
		return false;
	path = slu_asprintf("%s/%s", c->op->path, c->tree.p[c->tree_next++].name);
	if (!path) {
		stop(c, slu_fail_oom(&c->err));
		return false;
	}
	ask_delete(kid, path, on_kid);
	return true;
}

/* Markers of folders are blobs like others here. */
static int read_names(struct slu_call *c)
{
	struct slu_blob_page page = {.all = true, .flat = true};

	slu_list_done(&c->tree);
	c->tree_next = c->tree_gone = 0;
	return slu_blob_take_list(c, &page, &c->tree, &c->err);
}

static void on_names(struct slu_call *c)
{
	int r;

	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	r = read_names(c);
	if (r < 0)
		stop(c, r);
	/* held by this function too, so that kids that end at once do not end the page */
	c->kids = 1;
	for (int i = 0; i < KIDS && !c->tree_stop && c->tree_next < c->tree.n; i++) {
		struct slu_call *kid = slu_call_kid(c);

		if (!kid) {
			if (c->kids == 1)
				stop(c, slu_fail_oom(&c->err));
			break;
		}
		c->kids++;
		if (!kid_next(kid)) {
			c->kids--;
			slu_call_free(kid);
		}
	}
	if (--c->kids == 0)
		page_ended(c);
}

void slu_blob_delete(struct slu_call *c)
{
	if (c->op->flags & SLU_OPF_TREE)
		ask_names(c, NULL);
	else
		ask_delete(c, c->op->path, on_deleted);
}
