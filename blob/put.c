/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT and MKDIR.  What a lost answer leaves open is settled by looking at the MD5 of what is there.
 * Long files: block.c.
 */
#include "blob/call.h"
#include "blob/errors.h"
#include "blob/list.h"
#include "blob/sum.h"
#include "common/mem.h"
#include "common/str.h"
#include "io/crypt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- one-shot --- */

void slu_blob_give_up(struct slu_call *c, bool absent)
{
	if (absent && c->err.code != ECANCELED) {
		c->err.code = EAGAIN;
		c->rc = -EAGAIN;
	}
	c->op->err = c->err;
	slu_call_finish(c, c->rc);
}

void slu_blob_remember(struct slu_call *c)
{
	c->rc = slu_blob_fail(c->op, &c->b->at, &c->x, c->secret.sas);
	c->err = c->op->err;
}

void slu_blob_put_done(struct slu_call *c)
{
	struct slu_op *op = c->op;
	int r = slu_call_attr(c, &op->attr);

	if (r == 0) {
		op->attr.size = op->type == SLU_OP_PUT ? op->len : c->total;
		if (c->md5[0])
			slu_blob_set_md5(&op->attr, c->md5);
		slu_blob_kept_sum(&op->attr, c->crc64);
	}
	slu_call_finish(c, r);
}

static void on_look(struct slu_call *c)
{
	struct slu_attr a, want = {0};

	slu_blob_set_md5(&want, c->md5);
	if (c->x.rc == 0 && slu_call_attr(c, &a) == 0 && a.kind == SLU_KIND_FILE &&
	    a.size == c->op->len && slu_streq(a.sum, want.sum))
		slu_blob_put_done(c);
	else
		slu_blob_give_up(c, slu_call_is(c, 404, NULL) && (c->op->flags & SLU_OPF_ABSENT));
}

/* A put without a condition may simply be sent again, which the retry layer does. */
static bool must_look(const struct slu_call *c)
{
	const struct slu_op *op = c->op;

	if (!(op->flags & SLU_OPF_ABSENT) && !op->if_match)
		return false;
	if (slu_call_unknown(c))
		return true;
	return op->tries > 1 &&
	       (slu_call_is(c, 409, "BlobAlreadyExists") || slu_call_is(c, 412, NULL));
}

static void on_put(struct slu_call *c)
{
	if (c->x.rc == 0) {
		slu_blob_put_done(c);
		return;
	}
	if (!must_look(c)) {
		slu_call_fail(c);
		return;
	}
	slu_blob_remember(c);
	slu_call_begin(c, "HEAD", c->op->path);
	slu_call_send(c, on_look);
}

static int set_md5(struct slu_call *c)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	uint8_t sum[SLU_DIGEST_MAX];

	if (slu_digest(SLU_MD5, c->op->data, c->op->len, sum) < 0)
		return slu_fail(&c->op->err, EIO, "cannot compute the MD5 of '%s'", c->op->path);
	text = slu_base64(sum, slu_digest_len(SLU_MD5));
	if (!text)
		return slu_fail_oom(&c->op->err);
	snprintf(c->md5, sizeof(c->md5), "%s", text);
	return 0;
}

void slu_blob_put(struct slu_call *c)
{
	int r = set_md5(c);

	if (r < 0) {
		slu_call_finish(c, r);
		return;
	}
	slu_call_begin(c, "PUT", c->op->path);
	slu_call_header(c, "x-ms-blob-type", "BlockBlob");
	slu_call_header(c, "content-type", SLU_BLOB_TYPE);
	slu_call_header(c, "content-md5", "%s", c->md5);
	slu_blob_type(c);
	slu_call_conditions(c);
	c->x.body = c->op->data;
	c->x.body_len = c->op->len;
	r = slu_blob_props(c);
	if (r < 0)
		slu_call_finish(c, r);
	else
		slu_call_send(c, on_put);
}

/* --- folders --- */

static void on_there(struct slu_call *c)
{
	struct slu_attr a;
	int r;

	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	r = slu_call_attr(c, &a);
	if (r == 0 && a.kind != SLU_KIND_DIR)
		r = slu_fail(&c->op->err, ENOTDIR, "'%s' in container '%s' is a file, not a folder",
			     c->op->path, c->b->at.container);
	slu_call_finish(c, r);
}

static void on_mkdir(struct slu_call *c)
{
	if (c->x.rc == 0) {
		slu_call_finish(c, 0);
	} else if (slu_call_is(c, 409, NULL) || slu_call_is(c, 412, NULL)) {
		slu_call_begin(c, "HEAD", c->op->path);
		slu_call_send(c, on_there);
	} else {
		slu_call_fail(c);
	}
}

static void on_container(struct slu_call *c)
{
	if (c->x.rc == 0 || slu_call_is(c, 409, "ContainerAlreadyExists"))
		slu_call_finish(c, 0);
	else
		slu_call_fail(c);
}

/* The root is the container itself, also where folders are real. */
void slu_blob_mkdir(struct slu_call *c)
{
	if (!*c->op->path) {
		slu_call_begin(c, "PUT", NULL);
		slu_call_param(c, "restype", "container");
		slu_call_send(c, on_container);
		return;
	}
	slu_call_begin(c, "PUT", c->op->path);
	slu_call_header(c, "x-ms-blob-type", "BlockBlob");
	slu_call_header(c, "content-type", SLU_BLOB_TYPE);
	slu_call_header(c, "x-ms-meta-hdi_isfolder", "true");
	slu_call_header(c, "if-none-match", "*");
	slu_call_send(c, on_mkdir);
}
