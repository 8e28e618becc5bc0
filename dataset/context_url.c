/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage URLs (abfss, wasbs, hdfs, https of a Blob account) are places in datastores: the one of the workspace over
 * that container or folder is looked for, and it has the credential.  Nothing is opened here.  And the other way: the
 * forms in which a place can be named, each of which leads back to it.
 */
#include "dataset/context_url.h"

#include "blob/endpoint.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/context_impl.h"
#include "dataset/datastore.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define SUFFIX "core.windows.net"
#define RPC_PORT ":8020"
#define KEEP "/,!=@:" /* beside letters, digits and -._~ not percent-encoded */

/* What a URL names, in the words of an entry. */
struct place {
	char *account, *container; /* NULL: a NameNode, or a web server */
	char *host;                /* host[:port] */
	char *path;                /* pattern form, in the container or file system */
};

static void place_done(struct place *p)
{
	free(p->account);
	free(p->container);
	free(p->host);
	free(p->path);
}

static bool is_blob_host(const char *host)
{
	return strstr(host, ".blob.") || strstr(host, ".dfs.");
}

/* ACCOUNT.blob.SUFFIX or ACCOUNT.dfs.SUFFIX -> SUFFIX */
static const char *suffix_of(const char *host)
{
	const char *dot = strchr(host, '.');
	const char *rest = dot ? slu_after(dot, ".blob.") : NULL;

	return rest ? rest : dot ? slu_after(dot, ".dfs.") : NULL;
}

/* The first part of a path, which must be no pattern; *ret_rest is what is behind it. */
static char *first_part(const char *path, const char **ret_rest)
{
	size_t n = strcspn(path, "/");

	if (!n || strcspn(path, "*?[]{}\\") < n)
		return NULL;
	*ret_rest = path + n + (path[n] == '/');
	return slu_strndup(path, n);
}

static int set_account(const struct slu_uri *u, const char *host, struct place *p)
{
	p->host = slu_strdup(host);
	p->account = slu_strndup(host, strcspn(host, "."));
	return p->host && p->account && (p->path || (p->path = slu_strdup(u->path))) ? 0 : -ENOMEM;
}

/* 1: it names no account, container or NameNode. */
static int place_of(const struct slu_uri *u, struct place *p)
{
	const char *at = strchr(u->name, '@'), *rest = "";

	switch (u->kind) {
	case SLU_URI_ABFS:
	case SLU_URI_WASB:
		p->container = slu_strndup(u->name, (size_t)(at - u->name));
		return p->container ? set_account(u, at + 1, p) : -ENOMEM;
	case SLU_URI_HTTP:
		if (!is_blob_host(u->name)) {
			p->host = slu_strdup(u->name);
			p->path = slu_strdup(u->path);
			return p->host && p->path ? 0 : -ENOMEM;
		}
		p->container = first_part(u->path, &rest);
		p->path = slu_strdup(rest);
		return !p->container ? 1 : p->path ? set_account(u, u->name, p) : -ENOMEM;
	case SLU_URI_HDFS:
		p->host = slu_strdup(u->name);
		p->path = slu_strdup(u->path);
		return p->host && p->path ? 0 : -ENOMEM;
	default:
		return 1;
	}
}

/* What is behind the folder `base` (plain) in path (pattern form); NULL: path is not in it. */
static const char *below(const char *path, const char *base)
{
	base += *base == '/';
	SLU_AUTO(slu_freep) char *folder = slu_uri_escape(base);
	size_t n = folder ? strlen(folder) : 0;

	while (n && folder[n - 1] == '/')
		folder[--n] = '\0';
	if (!folder || !slu_starts(path, folder))
		return NULL;
	if (n && path[n] && path[n] != '/')
		return NULL;
	return path + n + (n && path[n] == '/');
}

/* Is the account of the entry served by the host of the URL? */
static bool is_served(const struct place *p, const struct slu_blob_place *at)
{
	const char *host = strstr(at->base, "://") + 3;
	size_t n = (size_t)(at->path - host);

	return strlen(p->host) == n && strncasecmp(host, p->host, n) == 0;
}

/* The path of a URL that names the account behind the host, or not at all. */
static const char *below_endpoint(const struct place *p, const struct slu_blob_place *at)
{
	SLU_AUTO(slu_freep)
	char *base = slu_path_join(*at->path ? at->path + 1 : "", at->container);

	return base && is_served(p, at) ? below(p->path, base) : NULL;
}

/* The path in a blob or dfs datastore; NULL: it is another one. */
static const char *in_azure(const struct place *p, const struct json_t *entry)
{
	const char *account = slu_json_str(entry, "account_name");
	const char *container = slu_json_str(entry, "container_name");
	SLU_AUTO(slu_blob_place_done) struct slu_blob_place at = {0};

	if (!container)
		container = slu_json_str(entry, "filesystem");
	if (!account || !container ||
	    slu_blob_place_init(&at, account, container, slu_json_str(entry, "endpoint"), NULL,
				true, NULL) < 0)
		return NULL;
	if (!p->container)
		return below_endpoint(p, &at);
	if (!p->account || !slu_streq(p->container, container) ||
	    strcasecmp(p->account, account) != 0)
		return NULL;
	if (!*at.path && is_served(p, &at))
		return p->path;
	/* Hadoop names accounts of every other endpoint as if they were the vendor's. */
	const char *suffix = suffix_of(p->host);

	return suffix && strcasecmp(suffix, at.suffix ? at.suffix : SUFFIX) == 0 ? p->path : NULL;
}

static bool host_in(const char *list, const char *host)
{
	for (const char *s = list; s && *s; s += strcspn(s, ","), s += *s == ',') {
		size_t n = strcspn(s, ","), h = strlen(host);

		if (n == h && strncasecmp(s, host, n) == 0)
			return true;
		/* without a port on one of the sides the usual one is meant */
		if (n == h + 5 && strncasecmp(s, host, h) == 0 && strncmp(s + h, RPC_PORT, 5) == 0)
			return true;
		if (h == n + 5 && strncasecmp(s, host, n) == 0 && slu_streq(host + n, RPC_PORT))
			return true;
	}
	return false;
}

static const char *in_hdfs(const struct place *p, const struct json_t *entry)
{
	const char *path = slu_json_str(entry, "path");
	bool same = !*p->host || host_in(slu_json_str(entry, "nameservice"), p->host) ||
		    host_in(slu_json_str(entry, "namenode"), p->host) ||
		    host_in(slu_json_str(entry, "rpc_address"), p->host) ||
		    host_in(slu_json_str(entry, "http_address"), p->host);

	return same ? below(p->path, path ? path : "") : NULL;
}

static const char *in_entry(const struct slu_uri *u, const struct place *p,
			    const struct json_t *entry)
{
	enum slu_datastore_type type = slu_datastore_type(entry);

	if (type == SLU_DATASTORE_AZURE_BLOB || type == SLU_DATASTORE_AZURE_DATA_LAKE_GEN2)
		return u->kind == SLU_URI_HDFS ? NULL : in_azure(p, entry);
	if (type == SLU_DATASTORE_HDFS && u->kind == SLU_URI_HDFS)
		return in_hdfs(p, entry);
	return NULL;
}

/* The datastore that holds it with the longest folder of its own; of equal ones the default, then the first. */
static const char *find(struct sluice *s, const struct slu_uri *u, const struct place *p,
			const char **ret_path)
{
	const struct json_t *all = s->ws ? slu_json_get(s->ws->config, "datastores") : NULL;
	const char *dflt = slu_context_default_store(s), *best = NULL;

	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it)) {
		const char *key = slu_json_iter_key(it);
		const char *path = in_entry(u, p, slu_json_iter_value(it));

		if (!path)
			continue;
		size_t n = strlen(path), m = best ? strlen(*ret_path) : SIZE_MAX;

		if (n < m || (n == m && dflt && strcasecmp(dflt, key) == 0)) {
			best = key;
			*ret_path = path;
		}
	}
	return best;
}

static int unknown(const struct slu_uri *u, const struct place *p, struct slu_err *e)
{
	if (p->container)
		return slu_fail(e, ENOENT,
				"'%s://%s' is container '%s' of account '%s', and no datastore is "
				"over that: make one with `sluice datastore create NAME --type "
				"azure_blob --set account_name=%s --set container_name=%s --set "
				"credential=default`",
				u->scheme, u->name, p->container, p->account, p->account,
				p->container);
	return slu_fail(
		e, ENOENT,
		"'%s://%s/%.200s' is in no datastore: make one with `sluice datastore create "
		"NAME --type hdfs --set namenode=%s --set protocol=hdfs`",
		u->scheme, u->name, u->path, *p->host ? p->host : "HOST:PORT");
}

int slu_context_url(struct sluice *s, const struct slu_uri *u, char **ret_name, char **ret_path,
		    struct slu_err *e)
{
	SLU_AUTO(place_done) struct place p = {0};
	const char *path = "";
	int r;

	if (u->kind == SLU_URI_ADL)
		return slu_fail(e, ENOTSUP,
				"'adl://%s' is Data Lake Storage Gen1, which was retired: name the "
				"Gen2 account that the data was moved to",
				u->name);
	r = place_of(u, &p);
	if (r < 0)
		return slu_fail_oom(e);
	if (r > 0)
		return slu_fail(e, EINVAL, "'%s://%s' names no container: write it behind the host",
				u->scheme, u->name);
	const char *key = find(s, u, &p, &path);

	/* a plain web server */
	if (!key && u->kind == SLU_URI_HTTP && !p.container)
		return 1;
	if (!key)
		return unknown(u, &p, e);
	*ret_name = slu_strdup(key);
	*ret_path = slu_strdup(path);
	return *ret_name && *ret_path ? 0 : slu_fail_oom(e);
}

/* --- the other way --- */

/* https://ACCOUNT.blob.SUFFIX/CONTAINER/PATH, or below the endpoint that the account is served by. */
static char *https_of(const struct slu_store *store, const struct json_t *entry, const char *path)
{
	const char *container = slu_json_str(entry, "container_name");
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1u << 18);

	if (!container)
		container = slu_json_str(entry, "filesystem");
	slu_buf_fmt(&b, "%s/%s", store->host, container);
	if (*path)
		slu_buf_ch(&b, '/');
	slu_url_encode(&b, path, strlen(path), KEEP);
	return slu_buf_take(&b);
}

static int set_taken(struct json_t *o, const char *key, char *text)
{
	int r = text ? slu_json_set_str(o, key, text) : -ENOMEM;

	free(text);
	return r;
}

/* Hadoop takes the path behind the host as it stands; in a reference it is percent-encoded, as in every URI. */
static int set_hadoop(struct json_t *o, struct slu_store *store, const char *path)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1u << 18);
	struct slu_hadoop h = {0};

	/* What Hadoop cannot reach has no such form. */
	if (slu_store_hadoop(store, path, &h, NULL) < 0)
		return 0;
	const char *host = strstr(h.uri, "://");
	size_t n = host ? (size_t)(host + 3 - h.uri) + strcspn(host + 3, "/") : 0;

	slu_buf_add(&b, h.uri, n);
	slu_url_encode(&b, h.uri + n, strlen(h.uri + n), KEEP);
	slu_hadoop_done(&h);
	return slu_buf_err(&b) < 0 ? -ENOMEM : slu_json_set_str(o, "storage", b.p);
}

static int forms_of_store(struct sluice *s, const struct slu_uri *c, struct json_t *o,
			  struct slu_err *e)
{
	const struct slu_workspace *w = s->ws;
	const struct json_t *entry = slu_json_get(slu_json_get(w->config, "datastores"), c->name);
	SLU_AUTO(slu_freep) char *plain = slu_glob_unescape(c->path, strlen(c->path));
	struct slu_store *store;
	int r = plain ? slu_context_store(s, c->name, &store, e) : slu_fail_oom(e);

	if (r < 0)
		return r;
	if (set_taken(o, "short", slu_uri_datastore(c->name, plain)) < 0 ||
	    set_taken(o, "long",
		      slu_uri_datastore_long(w->subscription_id, w->resource_group, w->name,
					     c->name, plain)) < 0 ||
	    set_hadoop(o, store, plain) < 0)
		return slu_fail_oom(e);
	if ((slu_datastore_type(entry) == SLU_DATASTORE_AZURE_BLOB ||
	     slu_datastore_type(entry) == SLU_DATASTORE_AZURE_DATA_LAKE_GEN2) &&
	    set_taken(o, "https", https_of(store, entry, plain)) < 0)
		return slu_fail_oom(e);
	return 0;
}

int slu_context_forms(struct sluice *s, const char *uri, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL, *c = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int r = o ? slu_context_parse(s, uri, &u, e) : slu_fail_oom(e);

	if (r == 0)
		r = slu_context_canon(s, u, &c, e);
	if (r == 0 && c->kind == SLU_URI_DATASTORE)
		r = forms_of_store(s, c, o, e);
	else if (r == 0 && slu_json_set_str(o, "storage", uri) < 0)
		r = slu_fail_oom(e);
	if (r == 0)
		*ret = slu_take(o);
	return r;
}
