/* SPDX-License-Identifier: Apache-2.0 */
/* List Blobs and List Containers: pages of XML in the order of names. */
#include "tests/blobd/blobd.h"

#include "common/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void xml_text(struct slu_buf *b, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '&':
			slu_buf_str(b, "&amp;");
			break;
		case '<':
			slu_buf_str(b, "&lt;");
			break;
		case '>':
			slu_buf_str(b, "&gt;");
			break;
		case '"':
			slu_buf_str(b, "&quot;");
			break;
		default:
			slu_buf_ch(b, *s);
		}
}

/* A name that XML cannot hold comes percent-encoded. */
static void name_element(struct slu_buf *b, const char *s)
{
	bool odd = false;

	for (const char *p = s; *p; p++)
		odd |= (unsigned char)*p < 0x20;
	slu_buf_str(b, odd ? "<Name Encoded=\"true\">" : "<Name>");
	if (odd)
		slu_url_encode(b, s, strlen(s), "/");
	else
		xml_text(b, s);
	slu_buf_str(b, "</Name>");
}

static void pairs_xml(struct slu_buf *b, const char *tag, const struct pairs *l)
{
	slu_buf_fmt(b, "<%s>", tag);
	for (size_t i = 0; i < l->n; i++) {
		slu_buf_fmt(b, "<%s>", l->p[i].name);
		xml_text(b, l->p[i].value);
		slu_buf_fmt(b, "</%s>", l->p[i].name);
	}
	slu_buf_fmt(b, "</%s>", tag);
}

static void properties_xml(struct slu_buf *b, const struct blob *x, int64_t more)
{
	static const struct {
		const char *keep, *tag;
	} names[] = {
		{"content-type", "Content-Type"},         {"content-encoding", "Content-Encoding"},
		{"content-language", "Content-Language"}, {"content-md5", "Content-MD5"},
		{"cache-control", "Cache-Control"},       {"x-ms-access-tier", "AccessTier"}};
	char date[40];

	http_date(date, x->created / 1000000000);
	slu_buf_fmt(b, "<Properties><Creation-Time>%s</Creation-Time>", date);
	http_date(date, x->modified / 1000000000);
	slu_buf_fmt(b,
		    "<Last-Modified>%s</Last-Modified><Etag>0x%llX</Etag>"
		    "<Content-Length>%" PRIu64 "</Content-Length>",
		    date, (unsigned long long)x->etag, x->c->size + (uint64_t)more);
	if (opt.hns)
		slu_buf_fmt(b, "<ResourceType>%s</ResourceType>", x->folder ? "directory" : "file");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *v = pairs_get(&x->headers, names[i].keep);

		if (!v && i == 0)
			v = "application/octet-stream";
		if (!v)
			continue;
		slu_buf_fmt(b, "<%s>", names[i].tag);
		xml_text(b, v);
		slu_buf_fmt(b, "</%s>", names[i].tag);
	}
	slu_buf_fmt(
		b,
		"<BlobType>%s</BlobType><LeaseStatus>%s</LeaseStatus><LeaseState>%s</LeaseState>"
		"<ServerEncrypted>true</ServerEncrypted></Properties>",
		x->kind == 'A'   ? "AppendBlob"
		: x->kind == 'P' ? "PageBlob"
				 : "BlockBlob",
		x->leased ? "locked" : "unlocked", x->leased ? "leased" : "available");
}

struct page {
	struct request *q;
	struct slu_buf b;
	const char *prefix, *delimiter;
	bool meta, versions, snapshots;
	size_t max, n;
};

static void blob_xml(struct page *p, const char *name, const struct blob *x, bool current)
{
	slu_buf_str(&p->b, "<Blob>");
	name_element(&p->b, name);
	if (x->is_snapshot)
		slu_buf_fmt(&p->b, "<Snapshot>%s</Snapshot>", x->snapshot);
	if (*x->version && p->versions)
		slu_buf_fmt(&p->b, "<VersionId>%s</VersionId>%s", x->version,
			    current ? "<IsCurrentVersion>true</IsCurrentVersion>" : "");
	properties_xml(&p->b, x, p->q->fault.kind == FAULT_WRONG_SIZE);
	if (p->meta && (x->meta.n || x->folder)) {
		if (x->folder && !pairs_get(&x->meta, "hdi_isfolder")) {
			slu_buf_str(&p->b,
				    "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>");
		} else {
			pairs_xml(&p->b, "Metadata", &x->meta);
		}
	}
	slu_buf_str(&p->b, "</Blob>");
	p->n++;
	if (p->q->fault.kind == FAULT_TWICE && p->n == 1)
		blob_xml(p, name, x, current);
}

static void entry(struct page *p, const struct container *c, size_t at)
{
	char room[32];

	if (c->synthetic) {
		struct blob *x = synthetic_blob(at);

		blob_xml(p, name_at(c, at, room), x, true);
		blob_free(x);
		return;
	}
	if (p->versions || p->snapshots)
		for (const struct blob *x = c->v[at]->old; x; x = x->next)
			if (x->is_snapshot ? p->snapshots : p->versions)
				blob_xml(p, c->v[at]->text, x, false);
	if (c->v[at]->now)
		blob_xml(p, c->v[at]->text, c->v[at]->now, true);
}

static void prefix_xml(struct page *p, const char *text, size_t n)
{
	char *name = must(strndup(text, n));

	slu_buf_str(&p->b, "<BlobPrefix>");
	name_element(&p->b, name);
	slu_buf_str(&p->b, "</BlobPrefix>");
	free(name);
	p->n++;
}

/* The first place behind all that begin with text. */
static size_t behind(const struct container *c, const char *text, size_t n)
{
	struct slu_buf b = {.max = 1 << 20};
	size_t at;

	slu_buf_add(&b, text, n);
	slu_buf_str(&b, "\xFF\xFF");
	at = name_lower(c, b.p);
	slu_buf_done(&b);
	return at;
}

static struct name *folder_of(const struct container *c, const char *name, size_t n)
{
	char *text = must(strndup(name, n - 1));
	struct name *f = name_find(c, text);

	free(text);
	return f && f->now && f->now->folder ? f : NULL;
}

/* A folder of a hierarchical namespace is a prefix, also when nothing is in it. */
static void folder_prefix(struct page *p, const struct container *c, size_t *at)
{
	const char *name = c->v[*at]->text;
	char *full;

	if (asprintf(&full, "%s/", name) < 0)
		must(NULL);
	prefix_xml(p, full, strlen(full));
	free(full);
	++*at;
}

/* All names from *at on that begin with the n bytes of name, as one prefix. */
static void group(struct page *p, const struct container *c, size_t *at, const char *name, size_t n)
{
	size_t next = behind(c, name, n);
	bool any = c->synthetic;

	if (!any && opt.hns && folder_of(c, name, n)) {
		*at = next; /* told with the folder itself */
		return;
	}
	for (size_t i = *at; i < next && !any; i++)
		any = c->v[i]->now || (p->versions && c->v[i]->old);
	if (any)
		prefix_xml(p, name, n);
	*at = next;
}

static bool is_folder(const struct container *c, size_t at)
{
	return !c->synthetic && opt.hns && c->v[at]->now && c->v[at]->now->folder;
}

/* Fills the page from *at on; false: it is full, *at is where the next begins. */
static bool fill(struct page *p, const struct container *c, size_t *at)
{
	size_t np = strlen(p->prefix);
	bool flat = !p->delimiter || !*p->delimiter;
	char room[32];

	while (*at < name_count(c)) {
		const char *name = name_at(c, *at, room), *cut;

		if (strncmp(name, p->prefix, np) != 0)
			return true;
		if (p->n >= p->max)
			return false;
		cut = flat ? NULL : strstr(name + np, p->delimiter);
		if (cut)
			group(p, c, at, name, (size_t)(cut - name) + strlen(p->delimiter));
		else if (!flat && is_folder(c, *at))
			folder_prefix(p, c, at);
		else
			entry(p, c, (*at)++);
	}
	return true;
}

/* The marker is the name that the next page begins with, in hex. */
static void marker_xml(struct page *p, const struct container *c, size_t at, bool end)
{
	const char *asked = query(p->q, "marker");
	char room[32], *hex;
	const char *name;

	switch (p->q->fault.kind) {
	case FAULT_MARKER_SAME:
		slu_buf_fmt(&p->b, "<NextMarker>%s</NextMarker>",
			    asked && *asked ? asked : "2!same");
		return;
	case FAULT_MARKER_CYCLE:
		slu_buf_fmt(&p->b, "<NextMarker>%s</NextMarker>",
			    asked && !strcmp(asked, "2!a") ? "2!b" : "2!a");
		return;
	case FAULT_MARKER_ENDLESS: {
		static unsigned n;

		slu_buf_fmt(&p->b, "<NextMarker>2!%08x</NextMarker>",
			    __atomic_add_fetch(&n, 1, __ATOMIC_RELAXED));
		return;
	}
	default:
		break;
	}
	if (end) {
		slu_buf_str(&p->b, "<NextMarker />");
		return;
	}
	name = name_at(c, at, room);
	hex = must(malloc(2 * strlen(name) + 1));
	slu_hex(hex, name, strlen(name));
	slu_buf_fmt(&p->b, "<NextMarker>2!%s</NextMarker>", hex);
	free(hex);
}

static char *from_marker(const char *m)
{
	size_t n;
	char *out;

	m = slu_after(m, "2!");
	if (!m)
		return NULL;
	n = strlen(m) / 2;
	out = must(calloc(1, n + 1));
	for (size_t i = 0; i < n; i++) {
		unsigned v = 0;

		if (sscanf(m + 2 * i, "%2x", &v) != 1)
			break;
		out[i] = (char)v;
	}
	return out;
}

/* Names that a client must not take for paths, and one that is out of order. */
static void odd_entries(struct page *p)
{
	static const char *const names[] = {"../up", "a//b",      "./dot",
					    "/top",  "tab\tname", "a/../b"};
	struct blob *x = synthetic_blob(1);

	if (p->q->fault.kind == FAULT_HOSTILE)
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			char *full;

			if (asprintf(&full, "%s%s", p->prefix, names[i]) < 0)
				must(NULL);
			blob_xml(p, full, x, true);
			free(full);
		}
	if (p->q->fault.kind == FAULT_UNORDERED) {
		char *full;

		if (asprintf(&full, "%s!first", p->prefix) < 0)
			must(NULL);
		blob_xml(p, full, x, true);
		free(full);
	}
	blob_free(x);
}

void do_list(struct request *q, struct container *c)
{
	const char *prefix = query(q, "prefix"), *include = query(q, "include"), *start;
	const char *marker = query(q, "marker"), *max = query(q, "maxresults");
	struct page p = {
		.q = q, .b.max = 256 << 20, .prefix = prefix ? prefix : "", .max = opt.page};
	bool end;
	size_t at;

	p.delimiter = query(q, "delimiter");
	if (max && strtoul(max, NULL, 10) < p.max)
		p.max = strtoul(max, NULL, 10);
	p.meta = include && strstr(include, "metadata");
	p.versions = include && strstr(include, "versions");
	p.snapshots = include && strstr(include, "snapshots");
	start = opt.old ? NULL : query(q, "startfrom");
	slu_buf_fmt(&p.b,
		    "\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults "
		    "ServiceEndpoint=\"http://blobd/\" ContainerName=\"%s\"><Prefix>",
		    c->name);
	xml_text(&p.b, p.prefix);
	slu_buf_fmt(&p.b, "</Prefix><MaxResults>%zu</MaxResults><Blobs>", p.max);
	pthread_mutex_lock(&lock);
	at = name_lower(c, p.prefix);
	if (marker && *marker) {
		char *from = from_marker(marker);

		if (from && name_lower(c, from) > at)
			at = name_lower(c, from);
		free(from);
	} else if (start && name_lower(c, start) > at) {
		at = name_lower(c, start);
	}
	odd_entries(&p);
	end = fill(&p, c, &at);
	slu_buf_str(&p.b, "</Blobs>");
	marker_xml(&p, c, at, end);
	pthread_mutex_unlock(&lock);
	slu_buf_str(&p.b, "</EnumerationResults>");
	if (slu_buf_err(&p.b) < 0)
		must(NULL);
	answer(q, 200, p.b.p, p.b.len, "application/xml");
	slu_buf_done(&p.b);
}

void do_list_containers(struct request *q)
{
	static const char body[] = "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults>"
				   "<Containers></Containers><NextMarker /></EnumerationResults>";

	answer(q, 200, body, sizeof(body) - 1, "application/xml");
}
