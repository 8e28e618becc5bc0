/* SPDX-License-Identifier: Apache-2.0 */
/* What changes: blobs, blocks, their commit, deletion, properties, snapshots, leases. */
#include "tests/blobd/blobd.h"

#include "common/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS_MAX 50000
#define UNCOMMITTED_MAX 100000

static void *gone(struct request *q, struct content *c)
{
	if (!c)
		q->close = true;
	return c;
}

/* --- digests of what came --- */

bool check_body(struct request *q, const struct content *c)
{
	const char *md5 = header(q, "content-md5"), *crc = header(q, "x-ms-content-crc64");
	unsigned char out[16], want[16];
	char text[40];

	if (opt.lax)
		return true;
	if (crc && !header(q, "x-ms-copy-source")) {
		uint64_t v = crc64_of(c, 0, c->size);

		for (int i = 0; i < 8; i++)
			out[i] = (unsigned char)(v >> (8 * i));
		if (unbase64(want, sizeof(want), crc) != 8 || memcmp(out, want, 8) != 0) {
			answer_error(q, 400, "Crc64Mismatch", "The CRC64 is not that of the body.");
			return false;
		}
		base64(text, out, 8);
		out_header(q, "x-ms-content-crc64", "%s", text);
	}
	if (md5) {
		md5_of(c, 0, c->size, out);
		if (unbase64(want, sizeof(want), md5) != 16 || memcmp(out, want, 16) != 0) {
			answer_error(q, 400, "Md5Mismatch", "The MD5 is not that of the body.");
			return false;
		}
		out_header(q, "Content-MD5", "%s", md5);
	}
	return true;
}

/* --- properties --- */

static void take_tags(struct blob *b, const char *text)
{
	struct pairs all = {0};

	query_read(&all, text, false);
	pairs_done(&b->tags);
	b->tags = all;
}

void take_properties(struct request *q, struct blob *b)
{
	static const struct {
		const char *header, *keep;
	} names[] = {
		{"x-ms-blob-content-type", "content-type"},
		{"x-ms-blob-content-md5", "content-md5"},
		{"x-ms-blob-content-encoding", "content-encoding"},
		{"x-ms-blob-content-language", "content-language"},
		{"x-ms-blob-cache-control", "cache-control"},
		{"x-ms-blob-content-disposition", "content-disposition"},
		{"x-ms-access-tier", "x-ms-access-tier"},
	};
	const char *v;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((v = header(q, names[i].header)) && *v)
			pairs_add(&b->headers, names[i].keep, v);
	for (size_t i = 0; i < q->header.n; i++)
		if ((v = slu_after(q->header.p[i].name, "x-ms-meta-")))
			pairs_add(&b->meta, v, q->header.p[i].value);
	if ((v = header(q, "x-ms-tags")))
		take_tags(b, v);
}

/* Of a Put Blob: the plain headers count as well, and the MD5 is kept even when none was given. */
static void take_plain(struct request *q, struct blob *b)
{
	unsigned char out[16];
	char text[40];
	const char *v;

	if (!pairs_get(&b->headers, "content-type") && (v = header(q, "content-type")))
		pairs_add(&b->headers, "content-type", v);
	if (!pairs_get(&b->headers, "content-encoding") && (v = header(q, "content-encoding")))
		pairs_add(&b->headers, "content-encoding", v);
	if (!pairs_get(&b->headers, "content-md5")) {
		md5_of(b->c, 0, b->c->size, out);
		base64(text, out, 16);
		pairs_add(&b->headers, "content-md5", text);
	}
}

static bool lease_ok(struct request *q, const struct blob *b)
{
	if (!b || !b->leased || header(q, "x-ms-lease-id"))
		return true;
	answer_error(q, 412, "LeaseIdMissing", "There is a lease on the blob.");
	return false;
}

/* In a hierarchical namespace a folder is no file, and a file has nothing below it. */
static bool hns_ok(struct request *q, struct container *c, const struct name *n)
{
	if (!(n->now && n->now->folder) && !dfs_is_file_above(c, q->name))
		return true;
	answer_error(q, 409, "ResourceTypeMismatch", "A folder and a file have one name.");
	return false;
}

/* Makes b what the name is, unless a condition does not hold.  Takes b. */
static void publish(struct request *q, struct container *c, struct blob *b, int status)
{
	struct name *n;

	pthread_mutex_lock(&lock);
	n = name_make(c, q->name);
	if (opt.hns && !hns_ok(q, c, n)) {
		name_drop(c, n);
		pthread_mutex_unlock(&lock);
		return blob_free(b);
	}
	if (!conditions_ok(q, n->now, "", false) || !lease_ok(q, n->now)) {
		name_drop(c, n);
		pthread_mutex_unlock(&lock);
		return blob_free(b);
	}
	blob_publish(n, b);
	name_blocks_drop(n);
	if (opt.hns)
		dfs_parents(c, q->name);
	out_header(q, "ETag", "\"0x%llX\"", (unsigned long long)b->etag);
	if (*b->version)
		out_header(q, "x-ms-version-id", "%s", b->version);
	char date[40];

	http_date(date, b->modified / 1000000000);
	out_header(q, "Last-Modified", "%s", date);
	out_header(q, "x-ms-request-server-encrypted", "true");
	pthread_mutex_unlock(&lock);
	answer_empty(q, status);
}

/* --- Put Blob --- */

static bool name_ok(struct request *q)
{
	size_t n = strlen(q->name), segments = 1;

	for (const char *p = q->name; *p; p++)
		segments += *p == '/';
	if (n <= 1024 && segments <= 254 && n > 0)
		return true;
	answer_error(q, 400, "InvalidUri", "The name is too long.");
	return false;
}

void do_put(struct request *q, struct container *c)
{
	const char *type = header(q, "x-ms-blob-type");
	struct content *bytes;
	struct blob *b;

	if (!type)
		return answer_error(q, 400, "MissingRequiredHeader", "x-ms-blob-type is missing.");
	if (!name_ok(q) || !gone(q, bytes = body_content(q)))
		return;
	if (!check_body(q, bytes))
		return content_unref(bytes);
	b = blob_new(bytes);
	b->kind = *type;
	take_properties(q, b);
	if (b->kind == 'B')
		take_plain(q, b);
	b->folder = opt.hns && pairs_get(&b->meta, "hdi_isfolder");
	publish(q, c, b, 201);
}

/* --- blocks --- */

static void add_block(struct request *q, struct container *c, const char *id, struct content *bytes)
{
	struct name *n;

	pthread_mutex_lock(&lock);
	n = name_make(c, q->name);
	for (size_t i = 0; i < n->nblock; i++)
		if (!strcmp(n->block[i].id, id)) {
			content_unref(n->block[i].c);
			n->block[i].c = bytes;
			n->block[i].size = bytes->size;
			pthread_mutex_unlock(&lock);
			return answer_empty(q, 201);
		}
	if (n->nblock && strlen(n->block[0].id) != strlen(id)) {
		pthread_mutex_unlock(&lock);
		content_unref(bytes);
		return answer_error(q, 400, "InvalidBlobOrBlock", "Ids are of one length.");
	}
	if (n->nblock == UNCOMMITTED_MAX) {
		pthread_mutex_unlock(&lock);
		content_unref(bytes);
		return answer_error(q, 409, "BlockCountExceedsLimit", "Too many blocks.");
	}
	n->block = must(realloc(n->block, (n->nblock + 1) * sizeof(*n->block)));
	n->block[n->nblock++] = (struct block){must(strdup(id)), bytes->size, bytes};
	pthread_mutex_unlock(&lock);
	answer_empty(q, 201);
}

void do_put_block(struct request *q, struct container *c)
{
	const char *id = query(q, "blockid");
	struct content *bytes;
	char room[64];

	if (!id || unbase64(room, sizeof(room), id) < 1)
		return answer_error(q, 400, "InvalidQueryParameterValue", "blockid is no base64.");
	if (!name_ok(q) || !gone(q, bytes = body_content(q)))
		return;
	if (!check_body(q, bytes))
		return content_unref(bytes);
	add_block(q, c, id, bytes);
}

void put_block(struct request *q, struct container *c, const char *id, struct content *bytes)
{
	add_block(q, c, id, bytes);
}

static const struct block *find_block(const struct block *v, size_t n, const char *id, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (!strncmp(v[i].id, id, len) && !v[i].id[len])
			return &v[i];
	return NULL;
}

/* The block that an element of the list means. */
static const struct block *meant(const struct name *n, char tag, const char *id, size_t len)
{
	const struct block *b = NULL;

	if (tag != 'C')
		b = find_block(n->block, n->nblock, id, len);
	if (!b && tag != 'U' && n->now)
		b = find_block(n->now->blocks, n->now->nblocks, id, len);
	return b;
}

/* Under the lock: the blob that the list makes; NULL: a block is not there. */
static struct blob *assembled(struct name *n, const char *xml, bool *ret_many)
{
	struct block *v = NULL;
	struct content **parts = NULL;
	size_t count = 0;
	struct blob *b = NULL;

	for (const char *p = xml; (p = strchr(p, '<'));) {
		const char *tag = ++p, *id = strchr(p, '>'), *end = id ? strchr(id, '<') : NULL;
		const struct block *k;

		if (!slu_starts(tag, "Committed>") && !slu_starts(tag, "Uncommitted>") &&
		    !slu_starts(tag, "Latest>"))
			continue;
		k = end ? meant(n, *tag, id + 1, (size_t)(end - id - 1)) : NULL;
		if (!k)
			goto out;
		v = must(realloc(v, (count + 1) * sizeof(*v)));
		parts = must(realloc(parts, (count + 1) * sizeof(*parts)));
		v[count] = (struct block){must(strdup(k->id)), k->size, content_ref(k->c)};
		parts[count++] = k->c;
	}
	*ret_many = count > BLOCKS_MAX;
	b = blob_new(content_join(parts, count));
	b->blocks = v;
	b->nblocks = count;
	v = NULL;
out:
	for (size_t i = 0; v && i < count; i++) {
		free(v[i].id);
		content_unref(v[i].c);
	}
	free(v);
	free(parts);
	return b;
}

void do_put_list(struct request *q, struct container *c)
{
	char *xml = body_text(q, NULL);
	struct content *bytes;
	struct blob *b = NULL;
	struct name *n;
	bool many = false;

	if (!xml) {
		q->close = true;
		return;
	}
	bytes = content_bytes(xml, strlen(xml));
	if (!check_body(q, bytes))
		goto out;
	pthread_mutex_lock(&lock);
	n = name_make(c, q->name);
	b = assembled(n, xml, &many);
	name_drop(c, n);
	pthread_mutex_unlock(&lock);
	if (!b || many) {
		answer_error(q, 400, b ? "BlockListTooLong" : "InvalidBlockList",
			     "The list is wrong.");
		blob_free(b);
		goto out;
	}
	take_properties(q, b);
	publish(q, c, b, 201);
out:
	content_unref(bytes);
	free(xml);
}

void do_append(struct request *q, struct container *c)
{
	struct content *bytes = body_content(q), *parts[2];
	struct name *n;
	struct blob *b;

	if (!gone(q, bytes))
		return;
	if (!check_body(q, bytes))
		return content_unref(bytes);
	pthread_mutex_lock(&lock);
	b = blob_asked(q, c, &n);
	if (!b)
		return content_unref(bytes);
	if (b->kind != 'A') {
		pthread_mutex_unlock(&lock);
		content_unref(bytes);
		return answer_error(q, 409, "InvalidBlobType", "It is no append blob.");
	}
	parts[0] = b->c;
	parts[1] = bytes;
	out_header(q, "x-ms-blob-append-offset", "%" PRIu64, b->c->size);
	b->c = content_join(parts, 2);
	blob_touch(b);
	content_unref(parts[0]);
	content_unref(parts[1]);
	out_header(q, "ETag", "\"0x%llX\"", (unsigned long long)b->etag);
	pthread_mutex_unlock(&lock);
	answer_empty(q, 201);
}

/* --- deletion --- */

static bool has_snapshots(const struct name *n)
{
	for (const struct blob *b = n->old; b; b = b->next)
		if (b->is_snapshot)
			return true;
	return false;
}

static void drop_old(struct name *n, const struct blob *which)
{
	struct blob **at = &n->old;

	while (*at) {
		struct blob *b = *at;

		if (which ? b == which : b->is_snapshot) {
			*at = b->next;
			blob_free(b);
		} else {
			at = &b->next;
		}
	}
}

void do_delete(struct request *q, struct container *c)
{
	const char *snaps = header(q, "x-ms-delete-snapshots");
	struct name *n;
	struct blob *b;

	pthread_mutex_lock(&lock);
	b = blob_asked(q, c, &n);
	if (!b)
		return;
	if (!conditions_ok(q, b, "", false) || !lease_ok(q, b)) {
		pthread_mutex_unlock(&lock);
		return;
	}
	if (b->folder && dfs_has_children(c, q->name)) {
		pthread_mutex_unlock(&lock);
		return answer_error(q, 409, "DirectoryIsNotEmpty", "The folder is not empty.");
	}
	if (b != n->now) {
		drop_old(n, b);
	} else if (has_snapshots(n) && !snaps) {
		pthread_mutex_unlock(&lock);
		return answer_error(q, 409, "SnapshotsPresent", "The blob has snapshots.");
	} else {
		if (snaps)
			drop_old(n, NULL);
		if (!snaps || strcmp(snaps, "only")) {
			n->now = NULL;
			if (opt.versions && !query(q, "versionid")) {
				b->next = n->old;
				n->old = b;
			} else {
				blob_free(b);
			}
		}
	}
	name_drop(c, n);
	pthread_mutex_unlock(&lock);
	out_header(q, "x-ms-delete-type-permanent", opt.versions ? "false" : "true");
	answer_empty(q, 202);
}

/* --- tier, metadata, tags, properties --- */

static char *between(const char *xml, const char *from, const char *to)
{
	const char *p = strstr(xml, from), *end = p ? strstr(p, to) : NULL;

	return end ? must(strndup(p + strlen(from), (size_t)(end - p - (long)strlen(from)))) : NULL;
}

static void set_tags(struct blob *b, const char *xml)
{
	pairs_done(&b->tags);
	for (const char *p = xml; (p = strstr(p, "<Tag>")); p++) {
		char *key = between(p, "<Key>", "</Key>"),
		     *value = between(p, "<Value>", "</Value>");

		if (key && value)
			pairs_add(&b->tags, key, value);
		free(key);
		free(value);
	}
}

static void drop_header(struct blob *b, const char *name)
{
	for (size_t i = 0; i < b->headers.n; i++)
		if (!strcmp(b->headers.p[i].name, name)) {
			free(b->headers.p[i].name);
			free(b->headers.p[i].value);
			b->headers.p[i] = b->headers.p[--b->headers.n];
			return;
		}
}

void do_set(struct request *q, struct container *c, const char *what)
{
	char *body = body_text(q, NULL);
	const char *tier = header(q, "x-ms-access-tier");
	struct name *n;
	struct blob *b;

	pthread_mutex_lock(&lock);
	b = body ? blob_asked(q, c, &n) : NULL;
	if (!b) {
		q->close |= !body;
		if (!body)
			pthread_mutex_unlock(&lock);
		free(body);
		return;
	}
	if (!conditions_ok(q, b, "", false) || !lease_ok(q, b))
		goto out;
	if (!strcmp(what, "tags")) {
		set_tags(b, body);
	} else if (!strcmp(what, "tier")) {
		drop_header(b, "x-ms-access-tier");
		pairs_add(&b->headers, "x-ms-access-tier", tier ? tier : "Hot");
	} else if (!strcmp(what, "meta")) {
		pairs_done(&b->meta);
		take_properties(q, b);
		blob_touch(b);
	} else {
		pairs_done(&b->headers);
		take_properties(q, b);
		blob_touch(b);
	}
	out_header(q, "ETag", "\"0x%llX\"", (unsigned long long)b->etag);
	pthread_mutex_unlock(&lock);
	free(body);
	return answer_empty(q, !strcmp(what, "tags") ? 204 : 200);
out:
	pthread_mutex_unlock(&lock);
	free(body);
}

void do_snapshot(struct request *q, struct container *c)
{
	struct name *n;
	struct blob *b, *s;

	pthread_mutex_lock(&lock);
	b = blob_asked(q, c, &n);
	if (!b)
		return;
	s = blob_clone(b);
	s->is_snapshot = true;
	time_text(s->snapshot, now_ns());
	s->next = n->old;
	n->old = s;
	out_header(q, "x-ms-snapshot", "%s", s->snapshot);
	out_header(q, "ETag", "\"0x%llX\"", (unsigned long long)b->etag);
	pthread_mutex_unlock(&lock);
	answer_empty(q, 201);
}

void do_lease(struct request *q, struct container *c)
{
	const char *action = header(q, "x-ms-lease-action");
	struct name *n;
	struct blob *b;

	pthread_mutex_lock(&lock);
	b = blob_asked(q, c, &n);
	if (!b)
		return;
	b->leased = action && !strcmp(action, "acquire");
	out_header(q, "x-ms-lease-id", "%s", "00000000-0000-0000-0000-000000000001");
	pthread_mutex_unlock(&lock);
	answer_empty(q, action && !strcmp(action, "acquire") ? 201 : 200);
}

void put_blob(struct request *q, struct container *c, struct blob *b, int status)
{
	publish(q, c, b, status);
}
