/* SPDX-License-Identifier: Apache-2.0 */
/* What a stat tells beside the attributes: all that the service keeps with a blob. */
#include "blob/call.h"
#include "blob/dfs.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/xml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define META "x-ms-meta-"
#define TAGS_MAX (64u << 10) /* bytes of an answer: ten tags of 128 and 256 characters */

static const struct {
	const char *header, *key;
} kept[] = {
	{"content-type", "content_type"},
	{"content-encoding", "content_encoding"},
	{"content-language", "content_language"},
	{"content-md5", "content_md5"},
	{"cache-control", "cache_control"},
	{"content-disposition", "content_disposition"},
	{"x-ms-blob-type", "blob_type"},
	{"x-ms-access-tier", "tier"},
	{"x-ms-archive-status", "archive_status"},
	{"x-ms-creation-time", "created"},
	{"x-ms-version-id", "version"},
	{"x-ms-lease-state", "lease_state"},
	{"x-ms-copy-status", "copy_status"},
	{"x-ms-owner", "owner"},
	{"x-ms-group", "group"},
	{"x-ms-permissions", "permissions"},
	{"x-ms-acl", "acl"},
};

static int add_metadata(const struct slu_call *c, struct json_t *o)
{
	struct json_t *m = NULL;
	const char *name = NULL, *value;
	int r = 0;

	while (r == 0 && (name = slu_xfer_next_header(&c->x, META, name, &value))) {
		if (!m && !(m = slu_json_object()))
			return -ENOMEM;
		r = slu_json_set_str(m, name + strlen(META), value);
	}
	if (r < 0)
		slu_json_free(m);
	return r == 0 && m ? slu_json_set(o, "metadata", m) : r;
}

static void rest(struct slu_call *c)
{
	if (c->b->hierarchical && !c->op->version)
		slu_dfs_access(c);
	else
		slu_call_finish(c, 0);
}

/* Element names are those of "Get Blob Tags" of the REST reference. */
static int read_tags(const char *xml, size_t n, struct json_t *o, struct slu_err *e)
{
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	SLU_AUTO(slu_freep) char *key = NULL;
	char in[8] = "";
	int r = slu_xml_new(xml, n, "the tags", &x, e);

	while (r >= 0 && (r = slu_xml_next(x, e)) > 0) {
		if (r == SLU_XML_OPEN)
			snprintf(in, sizeof(in), "%.7s", slu_xml_name(x));
		else if (r == SLU_XML_CLOSE)
			in[0] = '\0';
		else if (slu_streq(in, "Key")) {
			free(key);
			key = slu_strdup(slu_xml_text(x));
			r = key ? 0 : slu_fail_oom(e);
		} else if (key && slu_streq(in, "Value"))
			r = slu_json_set_str(o, key, slu_xml_text(x)) < 0 ? slu_fail_oom(e) : 0;
	}
	return r;
}

static void on_tags(struct slu_call *c)
{
	struct json_t *tags;
	int r;

	/* Who may read it may not be allowed to see its tags. */
	if (slu_call_is(c, 403, NULL)) {
		rest(c);
		return;
	}
	if (c->x.rc < 0) {
		slu_call_fail(c);
		return;
	}
	tags = slu_json_object();
	r = tags ? read_tags(c->x.resp.p ? c->x.resp.p : "", c->x.resp.len, tags, &c->op->err)
		 : slu_fail_oom(&c->op->err);
	if (r < 0)
		slu_json_free(tags);
	else if (slu_json_set(c->op->detail, "tags", tags) < 0)
		r = slu_fail_oom(&c->op->err);
	if (r < 0)
		slu_call_finish(c, r);
	else
		rest(c);
}

static void ask_tags(struct slu_call *c)
{
	slu_call_begin(c, "GET", c->op->path);
	slu_call_param(c, "comp", "tags");
	slu_blob_version(c);
	c->x.sink = SLU_SINK_BUF;
	c->x.resp = SLU_BUF(TAGS_MAX);
	slu_call_send(c, on_tags);
}

void slu_blob_detail(struct slu_call *c)
{
	bool tagged = slu_xfer_header(&c->x, "x-ms-tag-count");
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int r = o ? 0 : -ENOMEM;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]) && r == 0; i++) {
		const char *v = slu_xfer_header(&c->x, kept[i].header);

		if (v)
			r = slu_json_set_str(o, kept[i].key, v);
	}
	if (r == 0)
		r = add_metadata(c, o);
	if (r < 0) {
		slu_call_finish(c, slu_fail_oom(&c->op->err));
		return;
	}
	slu_json_free(c->op->detail); /* of a try before */
	c->op->detail = slu_take(o);
	if (tagged)
		ask_tags(c);
	else
		rest(c);
}
