/* SPDX-License-Identifier: Apache-2.0 */
/* What is read: blobs, their properties, lists of blocks, tags; and the conditions of all requests. */
#include "tests/blobd/blobd.h"

#include "common/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- conditions --- */

static bool etag_is(const char *want, const struct blob *b)
{
	unsigned long long v;

	if (!strcmp(want, "*"))
		return true;
	want += *want == '"';
	return sscanf(want, "0x%llx", &v) == 1 && v == b->etag;
}

static int64_t date_of(const char *text)
{
	struct tm tm = {0};

	return text && strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) ? (int64_t)timegm(&tm) : 0;
}

static const char *prefixed(const struct request *q, const char *prefix, const char *name)
{
	char full[64];

	snprintf(full, sizeof(full), "%s%s", prefix, name);
	return header(q, full);
}

static bool none_match_ok(struct request *q, const struct blob *b, const char *none,
			  const char *code, bool reading)
{
	if (!none || !b || !etag_is(none, b))
		return true;
	if (reading)
		answer_error(q, 304, code, "Not modified.");
	else if (!strcmp(none, "*"))
		answer_error(q, 409, "BlobAlreadyExists", "The blob exists.");
	else
		answer_error(q, 412, code, "The condition is not met.");
	return false;
}

bool conditions_ok(struct request *q, const struct blob *b, const char *prefix, bool reading)
{
	const char *match = prefixed(q, prefix, "if-match");
	const char *since = prefixed(q, prefix, "if-modified-since");
	const char *until = prefixed(q, prefix, "if-unmodified-since");
	const char *code = *prefix ? "SourceConditionNotMet" : "ConditionNotMet";
	int64_t changed = b ? b->modified / 1000000000 : 0;

	if ((match && (!b || !etag_is(match, b))) || (until && b && changed > date_of(until))) {
		answer_error(q, 412, code, "The condition is not met.");
		return false;
	}
	if (!none_match_ok(q, b, prefixed(q, prefix, "if-none-match"), code, reading))
		return false;
	if (since && b && changed <= date_of(since)) {
		answer_error(q, reading ? 304 : 412, code, "Not modified.");
		return false;
	}
	return true;
}

/* --- which blob --- */

/* Under the lock.  NULL: answered, with the lock given back. */
struct blob *blob_asked(struct request *q, struct container *c, struct name **ret_n)
{
	struct name *n = name_find(c, q->name);
	const char *version = query(q, "versionid"), *snapshot = query(q, "snapshot");
	struct blob *b = n ? n->now : NULL;

	if (version && n && !(b && !strcmp(b->version, version)))
		for (b = n->old; b && (b->is_snapshot || strcmp(b->version, version)); b = b->next)
			;
	if (snapshot && n)
		for (b = n->old; b && (!b->is_snapshot || strcmp(b->snapshot, snapshot));
		     b = b->next)
			;
	if (!b) {
		pthread_mutex_unlock(&lock);
		answer_error(q, 404, "BlobNotFound", "The specified blob does not exist.");
		return NULL;
	}
	*ret_n = n;
	return b;
}

/* --- what is told of one --- */

void blob_headers(struct request *q, const struct blob *b, bool current)
{
	char date[40];

	http_date(date, b->modified / 1000000000);
	out_header(q, "Last-Modified", "%s", date);
	out_header(q, "ETag", "\"0x%llX\"",
		   (unsigned long long)b->etag ^ (q->fault.kind == FAULT_ETAG ? 0xFFFF : 0));
	http_date(date, b->created / 1000000000);
	out_header(q, "x-ms-creation-time", "%s", date);
	out_header(q, "x-ms-blob-type", "%s",
		   b->kind == 'A'   ? "AppendBlob"
		   : b->kind == 'P' ? "PageBlob"
				    : "BlockBlob");
	out_header(q, "x-ms-lease-status", b->leased ? "locked" : "unlocked");
	out_header(q, "x-ms-lease-state", b->leased ? "leased" : "available");
	out_header(q, "x-ms-server-encrypted", "true");
	if (*b->version) {
		out_header(q, "x-ms-version-id", "%s", b->version);
		if (current)
			out_header(q, "x-ms-is-current-version", "true");
	}
	if (b->kind == 'A')
		out_header(q, "x-ms-blob-committed-block-count", "%zu", b->nblocks);
	if (b->tags.n)
		out_header(q, "x-ms-tag-count", "%zu", b->tags.n);
	for (size_t i = 0; i < b->meta.n; i++) {
		char name[1100];

		snprintf(name, sizeof(name), "x-ms-meta-%s", b->meta.p[i].name);
		out_header(q, name, "%s", b->meta.p[i].value);
	}
	if (opt.hns) {
		out_header(q, "x-ms-resource-type", b->folder ? "directory" : "file");
		out_header(q, "x-ms-owner", "%s", b->owner);
		out_header(q, "x-ms-group", "%s", b->group);
		out_header(q, "x-ms-permissions", "%s", b->mode);
		if (b->folder)
			out_header(q, "x-ms-meta-hdi_isfolder", "true");
	}
}

static void kept_headers(struct request *q, const struct blob *b, bool part)
{
	bool typed = false, tiered = false;

	for (size_t i = 0; i < b->headers.n; i++) {
		const char *name = b->headers.p[i].name;

		typed |= !strcmp(name, "content-type");
		tiered |= !strcmp(name, "x-ms-access-tier");
		if (part && !strcmp(name, "content-md5"))
			name = "x-ms-blob-content-md5"; /* Content-MD5 is of what is sent */
		out_header(q, name, "%s", b->headers.p[i].value);
	}
	if (!typed)
		out_header(q, "Content-Type", "application/octet-stream");
	if (!tiered && b->kind == 'B') {
		out_header(q, "x-ms-access-tier", "Hot");
		out_header(q, "x-ms-access-tier-inferred", "true");
	}
	out_header(q, "Accept-Ranges", "bytes");
}

/* --- Get Blob --- */

struct range {
	bool asked;
	uint64_t off, len;
};

/* What is no range of bytes is left out of account, as the service does. */
static struct range range_of(const struct request *q)
{
	const char *text = header(q, "x-ms-range") ?: header(q, "range");
	struct range r = {0};
	char *end;

	text = text ? slu_after(text, "bytes=") : NULL;
	if (!text || *text < '0' || *text > '9' || q->fault.kind == FAULT_NO_RANGE)
		return r;
	r.off = strtoull(text, &end, 10);
	if (*end != '-' || strchr(end, ','))
		return r;
	r.len = end[1] ? strtoull(end + 1, &end, 10) : UINT64_MAX - 1;
	if (r.len < r.off)
		return (struct range){0};
	r.len = r.len - r.off + 1;
	r.asked = true;
	return r;
}

static void digest_headers(struct request *q, const struct content *c, const struct range *r)
{
	const char *md5 = header(q, "x-ms-range-get-content-md5");
	const char *crc = header(q, "x-ms-range-get-content-crc64");
	unsigned char out[16];
	char text[40];

	if (md5 && !strcasecmp(md5, "true")) {
		md5_of(c, r->off, r->len, out);
		base64(text, out, 16);
		out_header(q, "Content-MD5", "%s", text);
	}
	if (crc && !strcasecmp(crc, "true")) {
		uint64_t v = crc64_of(c, r->off, r->len);

		for (int i = 0; i < 8; i++)
			out[i] = (unsigned char)(v >> (8 * i));
		base64(text, out, 8);
		out_header(q, "x-ms-content-crc64", "%s", text);
	}
}

static void send_range(struct request *q, const struct content *c, struct range *r)
{
	const char *md5 = header(q, "x-ms-range-get-content-md5");
	const char *crc = header(q, "x-ms-range-get-content-crc64");
	uint64_t total = c->size;

	if (r->off >= c->size) {
		out_header(q, "Content-Range", "bytes */%" PRIu64, c->size);
		return answer_error(q, 416, "InvalidRange", "The range is beyond the end.");
	}
	if (r->len > c->size - r->off)
		r->len = c->size - r->off;
	if ((md5 || crc) && r->len > 4u << 20)
		return answer_error(q, 400, "OutOfRangeInput",
				    "A range with a digest has at most 4 MiB.");
	digest_headers(q, c, r);
	if (q->fault.kind == FAULT_TOTAL)
		total += 1000;
	if (q->fault.kind == FAULT_OTHER_RANGE)
		r->off = r->off ? r->off - 1 : r->off + 1, r->len -= r->off + r->len > c->size;
	if (q->fault.kind == FAULT_EMPTY_RANGE)
		r->len = 0;
	out_header(q, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, r->off,
		   r->off + (r->len ? r->len : 1) - 1, total);
	answer_content(q, 206, c, r->off, r->len);
}

void do_get(struct request *q, struct container *c)
{
	struct range r = range_of(q);
	struct content *bytes;
	struct name *n;
	struct blob *b;
	const char *tier;

	pthread_mutex_lock(&lock);
	b = blob_asked(q, c, &n);
	if (!b)
		return;
	tier = pairs_get(&b->headers, "x-ms-access-tier");
	if (tier && !strcmp(tier, "Archive")) {
		pthread_mutex_unlock(&lock);
		return answer_error(q, 409, "BlobArchived", "The blob is archived.");
	}
	b = blob_clone(b);
	pthread_mutex_unlock(&lock);
	bytes = content_ref(b->c);
	if (conditions_ok(q, b, "", true)) {
		blob_headers(q, b, !query(q, "versionid"));
		kept_headers(q, b, r.asked);
		if (r.asked)
			send_range(q, bytes, &r);
		else
			answer_content(q, 200, bytes, 0, bytes->size);
	}
	content_unref(bytes);
	blob_free(b);
}

void do_head(struct request *q, struct container *c)
{
	struct name *n;
	struct blob *b;

	pthread_mutex_lock(&lock);
	b = blob_asked(q, c, &n);
	if (!b)
		return;
	b = blob_clone(b);
	pthread_mutex_unlock(&lock);
	if (conditions_ok(q, b, "", true)) {
		blob_headers(q, b, !query(q, "versionid"));
		kept_headers(q, b, false);
		answer_content(q, 200, b->c, 0, b->c->size);
	}
	blob_free(b);
}

/* --- lists of blocks, tags --- */

static void blocks_xml(struct slu_buf *b, const char *tag, const struct block *v, size_t n)
{
	slu_buf_fmt(b, "<%s>", tag);
	for (size_t i = 0; i < n; i++)
		slu_buf_fmt(b, "<Block><Name>%s</Name><Size>%" PRIu64 "</Size></Block>", v[i].id,
			    v[i].size);
	slu_buf_fmt(b, "</%s>", tag);
}

void do_get_blocks(struct request *q, struct container *c)
{
	const char *type = query(q, "blocklisttype");
	struct slu_buf b = {.max = 64 << 20};
	struct name *n;

	if (!type)
		type = "committed";
	pthread_mutex_lock(&lock);
	n = name_find(c, q->name);
	if (!n || (!n->now && !n->nblock)) {
		pthread_mutex_unlock(&lock);
		return answer_error(q, 404, "BlobNotFound", "The specified blob does not exist.");
	}
	slu_buf_str(&b, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
	if (strcmp(type, "uncommitted"))
		blocks_xml(&b, "CommittedBlocks", n->now ? n->now->blocks : NULL,
			   n->now ? n->now->nblocks : 0);
	if (strcmp(type, "committed"))
		blocks_xml(&b, "UncommittedBlocks", n->block, n->nblock);
	slu_buf_str(&b, "</BlockList>");
	if (n->now) {
		char date[40];

		out_header(q, "ETag", "\"0x%llX\"", (unsigned long long)n->now->etag);
		http_date(date, n->now->modified / 1000000000);
		out_header(q, "Last-Modified", "%s", date);
		out_header(q, "x-ms-blob-content-length", "%" PRIu64, n->now->c->size);
	}
	pthread_mutex_unlock(&lock);
	answer(q, 200, b.p, b.len, "application/xml");
	slu_buf_done(&b);
}

void do_get_tags(struct request *q, struct container *c)
{
	struct slu_buf b = {.max = 1 << 20};
	struct name *n;
	struct blob *t;

	pthread_mutex_lock(&lock);
	t = blob_asked(q, c, &n);
	if (!t)
		return;
	slu_buf_str(&b, "<?xml version=\"1.0\" encoding=\"utf-8\"?><Tags><TagSet>");
	for (size_t i = 0; i < t->tags.n; i++) {
		slu_buf_str(&b, "<Tag><Key>");
		xml_text(&b, t->tags.p[i].name);
		slu_buf_str(&b, "</Key><Value>");
		xml_text(&b, t->tags.p[i].value);
		slu_buf_str(&b, "</Value></Tag>");
	}
	pthread_mutex_unlock(&lock);
	slu_buf_str(&b, "</TagSet></Tags>");
	answer(q, 200, b.p, b.len, "application/xml");
	slu_buf_done(&b);
}
