/* SPDX-License-Identifier: Apache-2.0 */
/* What a blob carries beside its bytes, as headers of the request that writes it. */
#include "blob/call.h"
#include "blob/sum.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"
#include "io/crypt.h"
#include "io/url.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define METADATA_MAX 40 /* headers of one request */
#define TAGS_MAX 10     /* of the service */
#define MD5_LEN 16

static bool is_tier(const char *s)
{
	static const char *const tiers[] = {"Hot", "Cool", "Cold", "Archive"};

	for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++)
		if (strcasecmp(tiers[i], s) == 0)
			return true;
	return false;
}

/* Header values are printable ASCII, without blanks at their ends that would be lost. */
static bool is_value(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~')
			return false;
	return !n || (s[0] != ' ' && s[n - 1] != ' ');
}

/* The service takes identifiers of C#. */
static bool is_name(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	return n && !s[n] && !(*s >= '0' && *s <= '9');
}

static int add_metadata(struct slu_call *c, const struct json_t *all)
{
	if (slu_json_count(all) > METADATA_MAX)
		return slu_fail(&c->op->err, EINVAL, "'%s': more than %d metadata", c->op->path,
				METADATA_MAX);
	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it)) {
		const char *name = slu_json_iter_key(it);
		const char *value = slu_json_string(slu_json_iter_value(it));

		if (!is_name(name) || !value || !is_value(value))
			return slu_fail(&c->op->err, EINVAL,
					"'%s': metadata '%s' is refused by the service: names are "
					"letters, digits and '_', values printable ASCII",
					c->op->path, name);
		if (strcasecmp(name, "hdi_isfolder") == 0)
			return slu_fail(&c->op->err, EINVAL,
					"'%s': metadata '%s' would make a folder of the file: make "
					"folders with `sluice mkdir`",
					c->op->path, name);
		if (strcasecmp(name, SLU_BLOB_SUM_META) != 0) /* of other bytes */
			slu_call_meta(c, name, value);
	}
	return 0;
}

static int add_tags(struct slu_call *c, const struct json_t *all)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(16u << 10);

	if (slu_json_count(all) > TAGS_MAX)
		return slu_fail(&c->op->err, EINVAL, "'%s': a blob has at most %d tags",
				c->op->path, TAGS_MAX);
	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it)) {
		const char *name = slu_json_iter_key(it);
		const char *value = slu_json_string(slu_json_iter_value(it));

		if (b.len)
			slu_buf_ch(&b, '&');
		slu_url_encode(&b, name, strlen(name), "");
		slu_buf_ch(&b, '=');
		if (value)
			slu_url_encode(&b, value, strlen(value), "");
	}
	if (slu_buf_err(&b) < 0)
		return slu_fail(&c->op->err, EINVAL, "'%s': its tags are too long", c->op->path);
	if (b.len)
		slu_call_header(c, "x-ms-tags", "%s", b.p);
	return 0;
}

int slu_blob_props(struct slu_call *c)
{
	const struct slu_props *p = c->op->props;
	int r = 0;

	if (!p)
		return 0;
	if (p->tier && !is_tier(p->tier))
		return slu_fail(
			&c->op->err, EINVAL,
			"'%s': there is no tier '%s'; there are Hot, Cool, Cold and Archive",
			c->op->path, p->tier);
	if (p->content_type && !is_value(p->content_type))
		return slu_fail(&c->op->err, EINVAL, "'%s': '%s' is no content type", c->op->path,
				p->content_type);
	if (p->tier)
		slu_call_header(c, "x-ms-access-tier", "%s", p->tier);
	if (p->metadata)
		r = add_metadata(c, p->metadata);
	return r == 0 && p->tags ? add_tags(c, p->tags) : r;
}

void slu_blob_type(struct slu_call *c)
{
	const struct slu_props *p = c->op->props;

	slu_call_header(c, "x-ms-blob-content-type", "%s",
			p && p->content_type ? p->content_type : SLU_BLOB_TYPE);
}

void slu_blob_keep_md5(struct slu_call *c)
{
	SLU_AUTO(slu_freep) char *text = NULL;

	if (!c->op->props || !c->op->props->md5)
		return;
	text = slu_base64(c->op->props->md5, MD5_LEN);
	if (text)
		snprintf(c->md5, sizeof(c->md5), "%s", text);
	slu_call_header(c, "x-ms-blob-content-md5", "%s", text ? text : "");
	c->oom |= !text;
}
