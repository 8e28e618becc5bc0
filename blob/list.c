/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML of the Blob service.  Elements that are not known are skipped, since the service adds some with
 * every version; what a reader relies on (name, size, ETag) has to be there and well-formed.
 */
#include "blob/list.h"
#include "blob/sum.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/xml.h"
#include "fs/manifest.h"
#include "io/crypt.h"
#include "io/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_BYTES (16u << 10) /* 1,024 characters of up to 6 bytes, percent-encoded */

void slu_blob_set_etag(struct slu_attr *a, const char *etag)
{
	size_t n = strlen(etag);

	if (n >= 2 && etag[0] == '"' && etag[n - 1] == '"') {
		etag++;
		n -= 2;
	}
	a->id[0] = '\0';
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)etag[i] <= ' ' || (unsigned char)etag[i] >= 0x7f ||
		    etag[i] == '"')
			return;
	if (n < sizeof(a->id)) {
		memcpy(a->id, etag, n);
		a->id[n] = '\0';
	}
}

void slu_blob_set_md5(struct slu_attr *a, const char *base64)
{
	uint8_t sum[16];
	size_t n;

	a->sum[0] = '\0';
	if (!slu_base64_decode(base64, sum, sizeof(sum), &n) || n != sizeof(sum))
		return;
	memcpy(a->sum, "md5:", 4);
	slu_hex(a->sum + 4, sum, sizeof(sum));
}

/* --- List Blobs --- */

struct entry {
	struct slu_attr attr;
	struct slu_buf name;
	bool prefix; /* a BlobPrefix */
	bool sized, dated;
	char version[SLU_STATE_MAX]; /* "": none */
	char kept[80];               /* metadata of sum.h */
};

struct parser {
	struct slu_xml *x;
	struct slu_blob_page *page;
	struct slu_list *list;
	struct slu_err *e;
	char in[33][24]; /* names of the open elements, by depth; long ones cut */
	bool root;
	bool encoded; /* the <Name> being read is percent-encoded */
	struct entry entry;
};

static int bad(struct parser *p, const char *what)
{
	return slu_fail(p->e, EPROTO, "the listing of '%s' has a blob with %s", p->page->prefix,
			what);
}

/* To the entry that was added last. */
static int add_version(struct parser *p)
{
	struct slu_dirent *d = &p->list->p[p->list->n - 1];

	d->version = slu_asprintf("versionid=%s", p->entry.version);
	if (!d->version)
		return slu_fail_oom(p->e);
	return slu_manifest_version_ok(d->version) ? 0 : bad(p, "a version that is none");
}

static int add_file(struct parser *p, const char *name, size_t n)
{
	struct entry *t = &p->entry;

	if (!t->sized || !t->attr.id[0])
		return bad(p, "no size or no ETag");
	if (!p->page->no_md5)
		slu_blob_kept_sum(&t->attr, t->kept);
	if (p->page->all)
		return slu_list_add(p->list, name, n, &t->attr) < 0 ? slu_fail_oom(p->e) : 0;
	if (t->attr.kind == SLU_KIND_DIR) {
		if (p->page->flat)
			return 0;
		t->attr = (struct slu_attr){.kind = SLU_KIND_DIR, .mtime_ns = t->attr.mtime_ns};
	}
	if (n && name[n - 1] == '/' && !t->attr.size)
		return 0; /* the marker of a folder below */
	if (slu_list_add(p->list, name, n, &t->attr) < 0)
		return slu_fail_oom(p->e);
	return p->page->versions && *t->version ? add_version(p) : 0;
}

static int add_entry(struct parser *p)
{
	struct entry *t = &p->entry;
	const char *name = t->name.p ? t->name.p : "", *rel = slu_after(name, p->page->prefix);
	size_t n = t->name.len;
	int r = slu_buf_err(&t->name);

	if (r < 0)
		return r == -ENOMEM ? slu_fail_oom(p->e) : bad(p, "a name that is too long");
	if (strlen(name) != n)
		return bad(p, "a NUL in its name");
	if (!n || !rel)
		return slu_fail(p->e, EPROTO,
				"the listing of '%s' has '%s' in it, which is not there",
				p->page->prefix, name);
	n -= (size_t)(rel - name);
	if (!n) {
		p->page->marks = true;
		return p->page->all ? add_file(p, rel, n) : 0;
	}
	if (!t->prefix)
		return add_file(p, rel, n);
	if (p->page->flat)
		return 0;
	n -= rel[n - 1] == '/';
	t->attr = (struct slu_attr){.kind = SLU_KIND_DIR};
	return slu_list_add(p->list, rel, n, &t->attr) < 0 ? slu_fail_oom(p->e) : 0;
}

static bool within(const struct parser *p, unsigned depth, const char *name)
{
	return slu_streq(p->in[depth], name);
}

static int on_open(struct parser *p)
{
	int d = slu_xml_depth(p->x);
	const char *name = slu_xml_name(p->x);
	size_t n = strnlen(name, sizeof(p->in[d]) - 1);

	memcpy(p->in[d], name, n);
	p->in[d][n] = '\0';
	if (d == 1) {
		p->root = slu_streq(name, "EnumerationResults");
		return p->root ? 0 : slu_fail(p->e, EPROTO, "'%s' is no listing of blobs", name);
	}
	if (d == 3 && within(p, 2, "Blobs")) {
		slu_buf_clear(&p->entry.name);
		p->entry.attr = (struct slu_attr){.kind = SLU_KIND_FILE};
		p->entry.prefix = slu_streq(name, "BlobPrefix");
		p->entry.sized = p->entry.dated = false;
		p->entry.version[0] = p->entry.kept[0] = '\0';
	} else if (d == 4 && slu_streq(name, "Name")) {
		const char *encoded = slu_xml_attr(p->x, "Encoded");

		p->encoded = encoded && strcasecmp(encoded, "true") == 0;
	}
	return 0;
}

static int set_property(struct parser *p, const char *name, const char *text)
{
	struct slu_attr *a = &p->entry.attr;

	if (slu_streq(name, "Content-Length")) {
		p->entry.sized = slu_u64(text, &a->size);
		return p->entry.sized && a->size <= INT64_MAX ? 0 : bad(p, "a size that is none");
	}
	if (slu_streq(name, "Last-Modified"))
		return slu_http_date(text, &a->mtime_ns) ? 0 : bad(p, "a time that is none");
	if (slu_streq(name, "Etag"))
		slu_blob_set_etag(a, text);
	else if (slu_streq(name, "Content-MD5") && !p->page->no_md5)
		slu_blob_set_md5(a, text);
	else if (slu_streq(name, "ResourceType") && slu_streq(text, "directory"))
		a->kind = SLU_KIND_DIR;
	return 0;
}

static int set_name(struct parser *p, const char *text)
{
	if (!p->encoded)
		slu_buf_str(&p->entry.name, text);
	else if (!slu_url_decode(&p->entry.name, text, strlen(text)))
		return bad(p, "a name that is badly encoded");
	return 0;
}

static void set_metadata(struct parser *p, const char *name, const char *text)
{
	if (strcasecmp(name, "hdi_isfolder") == 0 && strcasecmp(text, "true") == 0)
		p->entry.attr.kind = SLU_KIND_DIR;
	else if (strcasecmp(name, SLU_BLOB_SUM_META) == 0)
		snprintf(p->entry.kept, sizeof(p->entry.kept), "%s", text);
}

static int on_text(struct parser *p)
{
	int d = slu_xml_depth(p->x);
	const char *text = slu_xml_text(p->x), *name = p->in[d];

	if (d == 2 && slu_streq(name, "NextMarker")) {
		free(p->list->next);
		p->list->next = slu_strdup(text);
		return p->list->next ? 0 : slu_fail_oom(p->e);
	}
	if (d < 4 || !within(p, 2, "Blobs"))
		return 0;
	if (d == 4 && slu_streq(name, "Name"))
		return set_name(p, text);
	if (d == 4 && slu_streq(name, "VersionId"))
		snprintf(p->entry.version, sizeof(p->entry.version), "%s", text);
	if (d == 5 && within(p, 4, "Properties"))
		return set_property(p, name, text);
	if (d == 5 && within(p, 4, "Metadata"))
		set_metadata(p, name, text);
	return 0;
}

static int on_event(struct parser *p, int event)
{
	if (event == SLU_XML_OPEN)
		return on_open(p);
	if (event == SLU_XML_TEXT)
		return on_text(p);
	if (slu_xml_depth(p->x) == 3 && within(p, 2, "Blobs") &&
	    (slu_streq(slu_xml_name(p->x), "Blob") || p->entry.prefix))
		return add_entry(p);
	return 0;
}

int slu_blob_list_parse(const char *xml, size_t n, struct slu_blob_page *page, struct slu_list *ret,
			struct slu_err *e)
{
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	struct parser p = {.page = page, .list = ret, .e = e};
	int r = slu_xml_new(xml, n, "a listing of blobs", &x, e);

	if (r < 0)
		return r;
	p.x = x;
	p.entry.name = SLU_BUF(NAME_MAX_BYTES);
	page->marks = false;
	while ((r = slu_xml_next(x, e)) > 0) {
		r = on_event(&p, r);
		if (r < 0)
			break;
	}
	slu_buf_done(&p.entry.name);
	if (r == 0 && !p.root)
		r = slu_fail(e, EPROTO, "a listing of blobs is empty");
	return r;
}

/* --- Get Block List --- */

int slu_blob_blocks_parse(const char *xml, size_t n, void (*id)(void *user, uint64_t i, char *out),
			  void *user, uint64_t blocks, bool *ret, struct slu_err *e)
{
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	bool committed = false, name = false, same = true;
	uint64_t i = 0;
	int r = slu_xml_new(xml, n, "a block list", &x, e);

	while (r >= 0 && (r = slu_xml_next(x, e)) > 0) {
		int d = slu_xml_depth(x);
		char want[SLU_BLOB_BLOCK_ID];

		if (r == SLU_XML_OPEN) {
			if (d == 2)
				committed = slu_streq(slu_xml_name(x), "CommittedBlocks");
			name = committed && d == 4 && slu_streq(slu_xml_name(x), "Name");
		} else if (r == SLU_XML_TEXT && name && same) {
			same = i < blocks;
			if (same) {
				id(user, i++, want);
				same = slu_streq(want, slu_xml_text(x));
			}
		} else if (r == SLU_XML_CLOSE) {
			name = false;
		}
	}
	if (r < 0)
		return r;
	*ret = same && i == blocks;
	return 0;
}

/* One <Block>, by its children. */
struct block_seen {
	char id[SLU_BLOB_BLOCK_ID];
	uint64_t size;
	bool committed, sized;
	enum { NONE, NAME, SIZE } in;
};

static void block_opened(struct block_seen *b, const char *name, int depth)
{
	if (depth == 2)
		b->committed = slu_streq(name, "CommittedBlocks");
	if (depth == 3) {
		b->id[0] = '\0';
		b->sized = false;
	}
	b->in = depth != 4                ? NONE
		: slu_streq(name, "Name") ? NAME
		: slu_streq(name, "Size") ? SIZE
					  : NONE;
}

static void block_text(struct block_seen *b, const char *text)
{
	if (b->in == NAME)
		snprintf(b->id, sizeof(b->id), "%s", text);
	else if (b->in == SIZE)
		b->sized = slu_u64(text, &b->size);
}

int slu_blob_each_block(const char *xml, size_t n,
			int (*each)(void *user, const char *id, uint64_t size, bool committed),
			void *user, struct slu_err *e)
{
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	struct block_seen b = {0};
	int r = slu_xml_new(xml, n, "a block list", &x, e);

	while (r >= 0 && (r = slu_xml_next(x, e)) > 0) {
		int d = slu_xml_depth(x);

		if (r == SLU_XML_OPEN)
			block_opened(&b, slu_xml_name(x), d);
		else if (r == SLU_XML_TEXT)
			block_text(&b, slu_xml_text(x));
		else if (r == SLU_XML_CLOSE && d == 3 && b.id[0] && b.sized)
			r = each(user, b.id, b.size, b.committed);
		if (r == SLU_XML_CLOSE)
			b.in = NONE;
	}
	return r;
}

/* --- errors --- */

static void keep(char *to, size_t size, const char *text)
{
	size_t n = strcspn(text, "\r\n");

	if (n >= size)
		n = size - 1;
	memcpy(to, text, n);
	to[n] = '\0';
}

void slu_blob_error_parse(const char *xml, size_t n, char *code, size_t code_size, char *text,
			  size_t text_size)
{
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	char in[24] = "";
	int r = 0;

	code[0] = text[0] = '\0';
	/* some proxies and emulators put a byte order mark or nothing there */
	if (n >= 3 && memcmp(xml, "\xef\xbb\xbf", 3) == 0) {
		xml += 3;
		n -= 3;
	}
	if (!n || slu_xml_new(xml, n, "an error", &x, NULL) < 0)
		return;
	while ((r = slu_xml_next(x, NULL)) > 0) {
		if (r == SLU_XML_OPEN)
			snprintf(in, sizeof(in), "%.23s", slu_xml_name(x));
		else if (r == SLU_XML_CLOSE)
			in[0] = '\0';
		else if (slu_streq(in, "Code"))
			keep(code, code_size, slu_xml_text(x));
		else if (slu_streq(in, "Message"))
			keep(text, text_size, slu_xml_text(x));
	}
}
