/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parsed reference written back in its canonical form, one for each kind: what two spellings of the
 * same thing have in common.
 */
#include "dataset/uri.h"

#include "common/buf.h"
#include "common/str.h"
#include "dataset/uri_path.h"

#include <string.h>

#define TEXT_MAX (1u << 18)

static void part(struct slu_buf *b, const char *key, const char *value)
{
	if (!value)
		return;
	slu_buf_str(b, key);
	slu_buf_ch(b, '/');
	slu_url_encode(b, value, strlen(value), "");
	slu_buf_ch(b, '/');
}

static void head(struct slu_buf *b, const struct slu_uri *u)
{
	slu_buf_str(b, "azureml://");
	part(b, "subscriptions", u->subscription);
	part(b, "resourcegroups", u->resource_group);
	part(b, "registries", u->registry);
	part(b, "locations", u->location);
	part(b, "workspaces", u->workspace);
}

static void tail(struct slu_buf *b, const char *path)
{
	if (*path)
		slu_buf_ch(b, '/');
	slu_uri_path_encode(b, path);
}

static void data(struct slu_buf *b, const struct slu_uri *u)
{
	bool part = u->path && *u->path;

	if (!u->workspace && !u->registry && !part) {
		slu_buf_fmt(b, "azureml:%s%c%s", u->name, u->version ? ':' : '@',
			    u->version ? u->version : "latest");
		return;
	}
	head(b, u);
	slu_buf_fmt(b, "data/%s/%s/%s", u->name, u->version ? "versions" : "labels",
		    u->version ? u->version : "latest");
	if (part) {
		slu_buf_str(b, "/paths");
		tail(b, u->path);
	}
}

static void word(struct slu_buf *b, const struct slu_uri *u)
{
	/* Without the "./" it could read as a name. */
	if (u->kind == SLU_URI_LOCAL && u->path[0] != '/' && u->path[0] != '.')
		slu_buf_str(b, "./");
	slu_buf_str(b, u->path);
}

char *slu_uri_text(const struct slu_uri *u)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);

	switch (u->kind) {
	case SLU_URI_DATASTORE:
		head(&b, u);
		slu_buf_fmt(&b, "datastores/%s/paths", u->name);
		tail(&b, u->path);
		if (u->state)
			slu_buf_fmt(&b, "?%s", u->state);
		break;
	case SLU_URI_DATA:
		data(&b, u);
		break;
	case SLU_URI_DATA_ID:
		slu_buf_str(&b, u->name);
		break;
	case SLU_URI_JOB:
		head(&b, u);
		slu_buf_fmt(&b, "jobs/%s/outputs/%s/paths", u->name, u->output);
		tail(&b, u->path);
		break;
	case SLU_URI_LOCAL:
		if (u->path[0] == '/') {
			slu_buf_str(&b, "file://");
			slu_uri_path_encode(&b, u->path);
			break;
		}
		word(&b, u);
		break;
	case SLU_URI_WORD:
		word(&b, u);
		break;
	default:
		slu_buf_fmt(&b, "%s://%s", u->scheme, u->name);
		tail(&b, u->path);
		break;
	}
	return slu_buf_take(&b);
}
