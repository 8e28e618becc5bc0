/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READ.  Where the datastore wants its ranges checked, they are asked for in parts of at most 4 MiB, the
 * most for which the service computes a checksum: a CRC64, or an MD5 from services that give none.
 */
#include "blob/call.h"
#include "blob/errors.h"
#include "blob/list.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "io/crypt.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#define CHECKED_MAX (4u << 20)

static void ask(struct slu_call *c);

int slu_blob_check_mode(const char *text, enum slu_check *ret)
{
	static const char *const names[] = {
		[SLU_CHECK_DIFFERENT] = "fail-if-different",
		[SLU_CHECK_MISSING] = "fail-if-different-or-missing",
		[SLU_CHECK_LOG] = "log-only",
		[SLU_CHECK_OFF] = "no-check",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!slu_streq(names[i], text))
			continue;
		*ret = (enum slu_check)i;
		return 0;
	}
	return -EINVAL;
}

void slu_blob_version(struct slu_call *c)
{
	const char *v = c->op->version, *value;

	if (!v)
		return;
	value = slu_after(v, "versionid=");
	if (value) {
		slu_call_param(c, "versionid", value);
		return;
	}
	value = slu_after(v, "snapshot=");
	if (value)
		slu_call_param(c, "snapshot", value);
	else
		c->oom = true; /* the caller's mistake: dataset/uri.c knows only these two */
}

static char *part_start(const struct slu_call *c)
{
	return (char *)c->op->buf + c->part_off;
}

/* The part is right, or may pass as such: the next one, or the end. */
static void part_good(struct slu_call *c)
{
	c->part_off += c->part_len;
	if (c->part_off < c->op->len)
		ask(c);
	else
		slu_call_finish(c, 0);
}

/* EIO, so that the retry layer reads it once more. */
static void part_bad(struct slu_call *c, const char *kind, const char *got, const char *want)
{
	struct slu_op *op = c->op;
	uint64_t off = op->off + c->part_off;
	int r = slu_fail(&op->err, EIO,
			 "'%s' in container '%s' arrived damaged: the %s of its bytes %" PRIu64
			 " to %" PRIu64 " is %s, the service says %s",
			 op->path, c->b->at.container, kind, off, off + c->part_len - 1, got, want);

	if (c->b->check != SLU_CHECK_LOG) {
		slu_call_finish(c, r);
		return;
	}
	slu_warn("blob", "%s", op->err.msg);
	op->err = (struct slu_err){0};
	part_good(c);
}

static void part_missing(struct slu_call *c)
{
	int r;

	if (c->b->check != SLU_CHECK_MISSING) {
		part_good(c);
		return;
	}
	r = slu_fail(&c->op->err, EBADMSG,
		     "'%s' in container '%s' cannot be checked: the service gives no checksum of "
		     "ranges; set \"check_ranges\" of the datastore to \"fail-if-different\"",
		     c->op->path, c->b->at.container);
	slu_call_finish(c, r);
}

static void judge(struct slu_call *c, const char *kind, const void *sum, size_t n, const char *want)
{
	SLU_AUTO(slu_freep) char *got = slu_base64(sum, n);

	if (!got)
		slu_call_finish(c, slu_fail_oom(&c->op->err));
	else if (slu_streq(got, want))
		part_good(c);
	else
		part_bad(c, kind, got, want);
}

/* In the pool: it takes milliseconds. */
static void check_md5(struct slu_work *w)
{
	struct slu_call *c = (struct slu_call *)((char *)w - offsetof(struct slu_call, work));
	const char *want = slu_xfer_header(&c->x, "content-md5");
	uint8_t sum[SLU_DIGEST_MAX];

	if (slu_digest(SLU_MD5, part_start(c), c->part_len, sum) < 0)
		slu_call_finish(c, slu_fail(&c->op->err, EIO, "cannot compute the MD5 of '%s'",
					    c->op->path));
	else
		judge(c, "MD5", sum, slu_digest_len(SLU_MD5), want);
}

static void check_crc64(struct slu_call *c, const char *want)
{
	uint64_t crc = slu_crc64(0, part_start(c), c->part_len);
	uint8_t le[8];

	for (size_t i = 0; i < sizeof(le); i++)
		le[i] = (uint8_t)(crc >> (8 * i));
	judge(c, "CRC64", le, sizeof(le), want);
}

static void check_part(struct slu_call *c)
{
	const char *crc = slu_xfer_header(&c->x, "x-ms-content-crc64");

	if (crc) {
		check_crc64(c, crc);
	} else if (!c->part_md5) {
		/* this service gives none: from here on its MD5s */
		atomic_store(&c->b->no_crc64, true);
		ask(c);
	} else if (slu_xfer_header(&c->x, "content-md5")) {
		c->work = (struct slu_work){.fn = check_md5};
		slu_pool_add(c->b->pool, &c->work);
	} else {
		part_missing(c);
	}
}

/* The service has seen If-Match; a cache on the way may have answered without it. */
static bool is_pinned(const struct slu_call *c)
{
	const char *etag = slu_xfer_header(&c->x, "etag"), *weak;
	struct slu_attr a;

	if (!etag || !c->op->if_match)
		return true;
	weak = slu_after(etag, "W/");
	slu_blob_set_etag(&a, weak ? weak : etag);
	return slu_streq(a.id, c->op->if_match);
}

/* EIO, so that the retry layer reads it once more. */
static void unpinned(struct slu_call *c)
{
	struct slu_op *op = c->op;

	slu_call_finish(c, slu_fail(&op->err, EIO,
				    "'%s' in container '%s' came with the ETag %s though only %s "
				    "was asked for: look for a cache or proxy between here and the "
				    "service",
				    op->path, c->b->at.container, slu_xfer_header(&c->x, "etag"),
				    op->if_match));
}

/* A body that broke off: the next try asks for the rest, of the same ETag or version.  Where ranges are
 * checked, only whole parts have been. */
static void keep(struct slu_call *c)
{
	struct slu_op *op = c->op;
	size_t n = c->part_off;

	if (c->b->check == SLU_CHECK_OFF && (c->x.rc == -ECONNRESET || c->x.rc == -ETIMEDOUT))
		n += c->x.got;
	if ((op->if_match || op->version) && is_pinned(c))
		op->kept = n < op->len ? n : 0;
}

static void on_range(struct slu_call *c)
{
	if (c->x.rc == 0 && !is_pinned(c)) {
		unpinned(c);
	} else if (c->x.rc == 0 && c->b->check == SLU_CHECK_OFF) {
		slu_call_finish(c, 0);
	} else if (c->x.rc == 0) {
		check_part(c);
	} else if (c->b->check != SLU_CHECK_OFF && !c->part_md5 && c->x.rc == -EREMOTEIO &&
		   (slu_call_is(c, c->x.status, "FeatureNotSupported") ||
		    slu_call_is(c, c->x.status, "UnsupportedHeader"))) {
		atomic_store(&c->b->no_crc64, true);
		ask(c);
	} else {
		keep(c);
		slu_call_fail(c);
	}
}

static void ask(struct slu_call *c)
{
	struct slu_op *op = c->op;
	uint64_t off = op->off + c->part_off;
	bool checked = c->b->check != SLU_CHECK_OFF;

	c->part_len = op->len - c->part_off;
	if (checked && c->part_len > CHECKED_MAX)
		c->part_len = CHECKED_MAX;
	c->part_md5 = atomic_load(&c->b->no_crc64);
	slu_call_begin(c, "GET", op->path);
	slu_blob_version(c);
	slu_call_header(c, "x-ms-range", "bytes=%" PRIu64 "-%" PRIu64, off, off + c->part_len - 1);
	if (checked)
		slu_call_header(c,
				c->part_md5 ? "x-ms-range-get-content-md5"
					    : "x-ms-range-get-content-crc64",
				"true");
	slu_call_conditions(c);
	c->x.sink = SLU_SINK_RANGE;
	c->x.buf = part_start(c);
	c->x.off = off;
	c->x.len = c->part_len;
	slu_call_send(c, on_range);
}

void slu_blob_read(struct slu_call *c)
{
	c->part_off = c->op->kept;
	if (c->op->len)
		ask(c);
	else
		slu_call_finish(c, 0);
}
