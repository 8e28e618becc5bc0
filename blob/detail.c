/* SPDX-License-Identifier: Apache-2.0 */
/* What a stat tells beside the attributes: all that the service keeps with a blob. */
#include "blob/call.h"
#include "blob/dfs.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

#define META "x-ms-meta-"

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
	{"x-ms-tag-count", "tag_count"},
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

void slu_blob_detail(struct slu_call *c)
{
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
	c->op->detail = slu_take(o);
	if (c->b->hierarchical)
		slu_dfs_access(c);
	else
		slu_call_finish(c, 0);
}
