/* SPDX-License-Identifier: Apache-2.0 */
/*
 * References parsed: azureml:// short and long, azureml:NAME:VERSION, STORE:path, NAME@VERSION, dataset
 * ids, storage URLs, file:// and plain paths.  Pure text; what is written back is in uri_text.c, the
 * pattern form of paths in uri_path.c.  Messages show no query and no user info: both may be secret.
 */
#include "dataset/uri.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "dataset/uri_path.h"
#include "fs/walk.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#define STATE_MAX 100 /* bytes of a version's name */
#define URI_MAX 16384 /* bytes of a reference; PATH_MAX and all its escapes fit */

struct parser {
	const char *text; /* for messages; nothing secret */
	struct slu_uri *u;
	struct slu_err *e;
};

static int bad(const struct parser *p, const char *why)
{
	return slu_fail(p->e, EINVAL, "reference '%.200s': %s", p->text, why);
}

static int set_text(const struct parser *p, char **field, const char *s, size_t n)
{
	if (*field)
		return bad(p, "a part of it is given twice");
	*field = slu_strndup(s, n);
	return *field ? 0 : slu_fail_oom(p->e);
}

/* One '/'-ended segment of *s, decoded; NULL at the end or on a bad escape (then *ret_rc is set). */
static char *segment(const struct parser *p, const char **s, int *ret_rc)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(URI_MAX);
	size_t n = strcspn(*s, "/");

	*ret_rc = 0;
	if (n == 0)
		return NULL;
	if (!slu_url_decode(&b, *s, n) || b.err) {
		*ret_rc =
			b.err == ENOMEM
				? slu_fail_oom(p->e)
				: bad(p, "a percent escape in it is malformed; write '%' as '%25'");
		return NULL;
	}
	*s += n;
	*s += **s == '/';

	char *text = slu_buf_take(&b);

	if (!text)
		*ret_rc = slu_fail_oom(p->e);
	return text;
}

/* A segment that has to be there. */
static int need(const struct parser *p, const char **s, const char *what, char **ret)
{
	int r;
	char *v = segment(p, s, &r);

	if (r < 0)
		return r;
	if (!v)
		return slu_fail(p->e, EINVAL, "reference '%.200s': %s is missing in it", p->text,
				what);
	*ret = v;
	return 0;
}

static int need_name(const struct parser *p, const char **s, const char *what, char **field)
{
	SLU_AUTO(slu_freep) char *v = NULL;
	int r = need(p, s, what, &v);

	if (r < 0)
		return r;
	if (!slu_is_name(v))
		return slu_fail(p->e, EINVAL,
				"reference '%.200s': '%.80s' is no name of a %s: use letters, "
				"digits, '_', '.', '-'",
				p->text, v, what);
	if (*field)
		return bad(p, "a part of it is given twice");
	*field = slu_take(v);
	return 0;
}

/* Subscription, group, workspace: labels; anything printable. */
static int need_label(const struct parser *p, const char **s, const char *what, char **field)
{
	SLU_AUTO(slu_freep) char *v = NULL;
	int r = need(p, s, what, &v);

	if (r < 0)
		return r;
	for (const char *c = v; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == '/' || *c == 0x7f)
			return bad(p, "a name in it holds a control character or '/'");
	if (*field)
		return bad(p, "a part of it is given twice");
	*field = slu_take(v);
	return 0;
}

/* ["paths/" PATH] to the end. */
static int tail_path(const struct parser *p, const char *s)
{
	const char *path = s;

	if (*s) {
		path = slu_iafter(s, "paths");
		if (!path || (*path && *path != '/'))
			return bad(p, "after the name, '/paths/PATH' is expected");
	}
	return slu_uri_path(p->text, path, SLU_URI_PATH_ENCODED | SLU_URI_PATH_ROOTED, &p->u->path,
			    p->e);
}

static int set_version(const struct parser *p, const char *v, size_t n)
{
	SLU_AUTO(slu_freep) char *text = slu_strndup(v, n);

	if (!text)
		return slu_fail_oom(p->e);
	if (strcasecmp(text, "latest") == 0)
		return 0;
	if (!slu_is_name(text))
		return bad(p, "its version must be made of letters, digits, '_', '.', '-'");
	p->u->version = slu_take(text);
	return 0;
}

/* "versions/V" or "labels/latest", with "/paths/PATH" or without; or nothing. */
static int tail_version(const struct parser *p, const char *s)
{
	SLU_AUTO(slu_freep) char *key = NULL;
	SLU_AUTO(slu_freep) char *v = NULL;
	int r;

	if (!*s)
		return 0;
	r = need(p, &s, "'versions'", &key);
	if (r == 0)
		r = need(p, &s, "the version", &v);
	if (r < 0)
		return r;
	if (strcasecmp(key, "labels") == 0 && strcasecmp(v, "latest") != 0)
		return bad(p, "the only label is 'latest'");
	if (strcasecmp(key, "labels") != 0 && strcasecmp(key, "versions") != 0)
		return bad(p, "after the name, '/versions/VERSION' is expected");
	r = set_version(p, v, strlen(v));
	return r < 0 || !*s ? r : tail_path(p, s);
}

static int parse_job(const struct parser *p, const char *s)
{
	SLU_AUTO(slu_freep) char *key = NULL;
	int r = need_name(p, &s, "job", &p->u->name);

	if (r == 0)
		r = need(p, &s, "'outputs'", &key);
	if (r < 0)
		return r;
	if (strcasecmp(key, "outputs") != 0)
		return bad(p, "after the job, '/outputs/OUTPUT' is expected");
	p->u->kind = SLU_URI_JOB;
	r = need_name(p, &s, "output", &p->u->output);
	return r < 0 ? r : tail_path(p, s);
}

/* NAME, NAME:VERSION, NAME@VERSION, the last two with /PATH. */
static int parse_asset(const struct parser *p, const char *s)
{
	size_t n = strcspn(s, ":@");
	SLU_AUTO(slu_freep) char *name = slu_strndup(s, n);

	if (!name)
		return slu_fail_oom(p->e);
	if (!slu_is_name(name))
		return bad(p, "it names no dataset: use letters, digits, '_', '.', '-'");
	p->u->kind = SLU_URI_DATA;
	p->u->name = slu_take(name);
	if (!s[n])
		return 0;
	s += n + 1;
	n = strcspn(s, "/");
	int r = set_version(p, s, n);

	if (r < 0 || !s[n])
		return r;
	return slu_uri_path(p->text, s + n, SLU_URI_PATH_ROOTED, &p->u->path, p->e);
}

/* A key of the workspace scope and its value; 1: key is none of them. */
static int scope(const struct parser *p, const char *key, const char **s)
{
	static const struct {
		const char *key;
		const char *what;
		size_t field;
	} keys[] = {
		{"subscriptions", "subscription", offsetof(struct slu_uri, subscription)},
		{"resourcegroups", "resource group", offsetof(struct slu_uri, resource_group)},
		{"workspaces", "workspace", offsetof(struct slu_uri, workspace)},
		{"locations", "location", offsetof(struct slu_uri, location)},
		{"registries", "registry", offsetof(struct slu_uri, registry)},
	};

	if (strcasecmp(key, "providers") == 0) {
		SLU_AUTO(slu_freep) char *v = NULL;
		int r = need(p, s, "provider", &v);

		if (r == 0 && strcasecmp(v, "Microsoft.MachineLearningServices") != 0)
			r = bad(p, "its provider is not Microsoft.MachineLearningServices");
		return r;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcasecmp(key, keys[i].key) == 0)
			return need_label(p, s, keys[i].what,
					  (char **)((char *)p->u + keys[i].field));
	return 1;
}

static int check_scope(const struct parser *p)
{
	const struct slu_uri *u = p->u;
	bool any = u->subscription || u->resource_group || u->location;

	if (any && !u->workspace)
		return bad(p, "it names a subscription, group or location but no workspace");
	if (u->registry && (any || u->workspace))
		return bad(p, "it names both a registry and a workspace");
	return 0;
}

/* The part after "azureml://". */
static int parse_azureml(const struct parser *p, const char *s)
{
	if (!strchr(s, '/')) {
		if (!strpbrk(s, ":@"))
			return bad(p, "it is not whole; azureml://datastores/NAME/paths/PATH and "
				      "azureml:NAME:VERSION are");
		return parse_asset(p, s);
	}
	for (;;) {
		SLU_AUTO(slu_freep) char *key = NULL;
		int r = need(p, &s, "'datastores', 'data' or 'jobs'", &key);

		if (r == 0)
			r = scope(p, key, &s);
		if (r == 0)
			continue;
		if (r == 1)
			r = check_scope(p);
		if (r < 0)
			return r;
		if (strcasecmp(key, "datastores") == 0) {
			p->u->kind = SLU_URI_DATASTORE;
			r = need_name(p, &s, "datastore", &p->u->name);
			return r < 0 ? r : tail_path(p, s);
		}
		if (strcasecmp(key, "data") == 0 || strcasecmp(key, "datasets") == 0) {
			p->u->kind = SLU_URI_DATA;
			r = need_name(p, &s, "dataset", &p->u->name);
			return r < 0 ? r : tail_version(p, s);
		}
		if (strcasecmp(key, "jobs") == 0)
			return parse_job(p, s);
		return slu_fail(p->e, EINVAL,
				"reference '%.200s': '%.80s' is no part of an azureml URI; "
				"azureml://datastores/NAME/paths/PATH is the short form",
				p->text, key);
	}
}

/* ":1" to ":65535" */
static bool port_ok(const char *s, size_t n)
{
	char text[8];
	int64_t port;

	if (n < 2 || n > 6 || s[0] != ':')
		return false;
	memcpy(text, s + 1, n - 1);
	text[n - 1] = '\0';
	return slu_i64(text, 1, 65535, &port);
}

/* Length of the host at the beginning of s[0, n): a name, an address, or [v6]; 0: none. */
static size_t host_len(const char *s, size_t n)
{
	size_t i = 0;

	if (s[0] != '[') {
		while (i < n && (isalnum((unsigned char)s[i]) || strchr(".-_", s[i])))
			i++;
		return i;
	}
	for (i = 1; i < n && (isxdigit((unsigned char)s[i]) || strchr(":.", s[i])); i++)
		;
	return i >= 3 && i < n && s[i] == ']' ? i + 1 : 0;
}

static bool host_ok(const char *s, size_t n)
{
	size_t host = n ? host_len(s, n) : 0;

	return host && (host == n || port_ok(s + host, n - host));
}

static bool container_ok(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("-_$", s[i]))
			return false;
	return n > 0 && n <= 63;
}

enum authority { AUTH_HOST, AUTH_CONTAINER, AUTH_MAYBE };

static const struct {
	const char *scheme;
	enum slu_uri_kind kind;
	enum authority auth;
} schemes[] = {
	{"abfs", SLU_URI_ABFS, AUTH_CONTAINER}, {"abfss", SLU_URI_ABFS, AUTH_CONTAINER},
	{"wasb", SLU_URI_WASB, AUTH_CONTAINER}, {"wasbs", SLU_URI_WASB, AUTH_CONTAINER},
	{"adl", SLU_URI_ADL, AUTH_HOST},        {"http", SLU_URI_HTTP, AUTH_HOST},
	{"https", SLU_URI_HTTP, AUTH_HOST},     {"hdfs", SLU_URI_HDFS, AUTH_MAYBE},
	{"webhdfs", SLU_URI_HDFS, AUTH_HOST},   {"swebhdfs", SLU_URI_HDFS, AUTH_HOST},
};

static int authority(struct parser *p, enum authority auth, const char *s, size_t n)
{
	const char *at = memchr(s, '@', n);

	if (auth == AUTH_CONTAINER) {
		if (!at || !container_ok(s, (size_t)(at - s)))
			return bad(p, "it must begin with CONTAINER@ACCOUNT.HOST after '//'");
	} else if (at) {
		p->text = p->u->scheme; /* what stands before the '@' may be a password */
		return bad(p, "a user or password has no place in a URL; make a datastore with a "
			      "credential reference");
	}
	const char *host = at ? at + 1 : s;
	size_t hn = n - (size_t)(host - s);

	if (!(auth == AUTH_MAYBE && n == 0) && !host_ok(host, hn))
		return bad(p, "the host in it is malformed");
	int r = set_text(p, &p->u->name, s, n);
	if (r == 0)
		for (char *c = p->u->name + (host - s); *c; c++)
			*c = (char)tolower((unsigned char)*c);
	return r;
}

/* Storage URLs.  s: past "scheme://". */
static int parse_storage(struct parser *p, size_t which, const char *s)
{
	size_t n = strcspn(s, "/?#");
	SLU_AUTO(slu_freep) char *shown = NULL;

	if ((schemes[which].kind == SLU_URI_HTTP && strpbrk(s, "?#")) || strcasestr(s, "sig=")) {
		shown = slu_asprintf("%s://...", p->u->scheme);
		if (!shown)
			return slu_fail_oom(p->e);
		p->text = shown;
		return bad(p,
			   "a URL with a query (a SAS, for one) is a secret; make a datastore with "
			   "a credential reference and name the path in it");
	}
	p->u->kind = schemes[which].kind;
	int r = authority(p, schemes[which].auth, s, n);

	if (r < 0)
		return r;
	return slu_uri_path(p->text, s + n, SLU_URI_PATH_ENCODED | SLU_URI_PATH_ROOTED, &p->u->path,
			    p->e);
}

/* file:///p, file://localhost/p, file:/p.  s: past "file:". */
static int parse_file(const struct parser *p, const char *s)
{
	const char *path = slu_after(s, "//");

	if (path) {
		const char *local = slu_iafter(path, "localhost/");

		path = local ? local - 1 : path;
	} else {
		path = s;
	}
	if (*path != '/')
		return bad(p, "a file URI needs an absolute path: file:///folder/name");
	p->u->kind = SLU_URI_LOCAL;
	return slu_uri_path(p->text, path, SLU_URI_PATH_ENCODED, &p->u->path, p->e);
}

static bool is_guid(const char *s)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	size_t i;

	for (i = 0; form[i]; i++)
		if (form[i] == '-' ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
			return false;
	return s[i] == '\0';
}

/* Length of "scheme" when s begins with "scheme:", else 0. */
static size_t scheme_len(const char *s)
{
	size_t n = 0;

	if (!isalpha((unsigned char)*s))
		return 0;
	while (isalnum((unsigned char)s[n]) || (s[n] && strchr("+-.", s[n])))
		n++;
	return s[n] == ':' ? n : 0;
}

static int set_scheme(const struct parser *p, size_t n)
{
	int r = set_text(p, &p->u->scheme, p->text, n);

	if (r == 0)
		for (char *c = p->u->scheme; *c; c++)
			*c = (char)tolower((unsigned char)*c);
	return r;
}

static int parse_url(struct parser *p, size_t n, const char *rest)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strlen(schemes[i].scheme) == n &&
		    strncasecmp(p->text, schemes[i].scheme, n) == 0) {
			int r = set_scheme(p, n);

			return r < 0 ? r : parse_storage(p, i, rest);
		}
	return slu_fail(
		p->e, EINVAL,
		"'%.*s://' is no scheme that sluice knows; they are azureml, file, abfs[s], "
		"wasb[s], adl, http[s], hdfs, [s]webhdfs",
		(int)(n > 40 ? 40 : n), p->text);
}

/* Texts with a scheme; 1: this one has none that we know, and no "//" after it. */
static int parse_scheme(struct parser *p, const char *s)
{
	size_t n = scheme_len(s);
	const char *rest = s + n + 1;
	int r;

	if (n == 0)
		return 1;
	if (slu_iafter(s, "azureml:")) {
		r = set_scheme(p, n);
		if (r < 0)
			return r;
		if (slu_starts(rest, "//"))
			return parse_azureml(p, rest + 2);
		return *rest == '/' ? parse_azureml(p, rest + 1) : parse_asset(p, rest);
	}
	if (slu_iafter(s, "file:/")) {
		r = set_scheme(p, n);
		return r < 0 ? r : parse_file(p, rest);
	}
	return slu_starts(rest, "//") ? parse_url(p, n, rest + 2) : 1;
}

/* NAME@VERSION without '/' or ':' */
static bool is_name_at_version(const char *s)
{
	const char *at = strchr(s, '@');
	char name[256], version[256];
	size_t n = at ? strcspn(at + 1, "/") : 0;

	if (!at || (size_t)(at - s) >= sizeof(name) || n >= sizeof(version))
		return false;
	memcpy(name, s, (size_t)(at - s));
	name[at - s] = '\0';
	memcpy(version, at + 1, n);
	version[n] = '\0';
	return slu_is_name(name) && slu_is_name(version);
}

/* STORE:path; 1: what stands before the ':' is no datastore. */
static int parse_store_path(const struct parser *p, const char *s,
			    bool (*is_store)(void *user, const char *name), void *user)
{
	size_t n = strcspn(s, ":/");
	SLU_AUTO(slu_freep) char *name = NULL;

	if (!is_store || s[n] != ':')
		return 1;
	name = slu_strndup(s, n);
	if (!name)
		return slu_fail_oom(p->e);
	if (!slu_is_name(name) || !is_store(user, name))
		return 1;
	p->u->kind = SLU_URI_DATASTORE;
	p->u->name = slu_take(name);
	return slu_uri_path(p->text, s + n + 1, SLU_URI_PATH_ROOTED, &p->u->path, p->e);
}

static int parse_plain(const struct parser *p, const char *s)
{
	if (is_guid(s)) {
		p->u->kind = SLU_URI_DATA_ID;
		int r = set_text(p, &p->u->name, s, strlen(s));

		for (char *c = p->u->name; r == 0 && *c; c++)
			*c = (char)tolower((unsigned char)*c);
		return r;
	}
	if (is_name_at_version(s))
		return parse_asset(p, s);
	int r = slu_uri_path(p->text, s, 0, &p->u->path, p->e);

	if (r < 0)
		return r;
	/* What had to be tidied or unescaped was written as a path, not as a name; not so "WORD:PATH/", which is
	 * rather a datastore's path than a local one. */
	const char *rest = slu_after(s, p->u->path);
	size_t slashes = rest ? strspn(rest, "/") : 0;
	bool same = rest && !rest[slashes];
	bool word = *s != '/' && *s != '.' && same && (!slashes || s[strcspn(s, ":/")] == ':');

	p->u->kind = word ? SLU_URI_WORD : SLU_URI_LOCAL;
	return 0;
}

static int parse_text(const char *text, bool (*is_store)(void *user, const char *name), void *user,
		      struct slu_uri **ret, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = slu_new0(struct slu_uri);

	if (!u)
		return slu_fail_oom(e);

	struct parser p = {.text = text, .u = u, .e = e};
	int r = parse_store_path(&p, text, is_store, user);

	if (r == 1)
		r = parse_scheme(&p, text);
	if (r == 1)
		r = parse_plain(&p, text);
	if (r < 0)
		return r;
	*ret = slu_take(u);
	return 0;
}

/* The '?' before the state of a file at the end of text, or NULL.  A wildcard before such words is not
 * what anybody means, and a name that has them is written with the '?' escaped. */
static const char *find_state(const char *text)
{
	const char *at = strrchr(text, '?'), *value;

	if (!at || at == text || at[-1] == '\\')
		return NULL;
	value = slu_after(at + 1, "versionid=");
	if (!value)
		value = slu_after(at + 1, "snapshot=");
	if (!value || !*value || strlen(value) > STATE_MAX)
		return NULL;
	return value[strspn(value, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   ":.-_+")]
		       ? NULL
		       : at;
}

/* 1: it has none, or what it has is part of a name. */
static int parse_state(const char *text, bool (*is_store)(void *user, const char *name), void *user,
		       struct slu_uri **ret, struct slu_err *e)
{
	const char *at = find_state(text);
	SLU_AUTO(slu_freep) char *before = at ? slu_strndup(text, (size_t)(at - text)) : NULL;
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	int r;

	if (!at)
		return 1;
	if (!before)
		return slu_fail_oom(e);
	r = parse_text(before, is_store, user, &u, e);
	if (r < 0 || u->kind != SLU_URI_DATASTORE)
		return r < 0 ? r : 1;
	u->state = slu_strdup(at + 1);
	if (!u->state)
		return slu_fail_oom(e);
	if (slu_glob_is(u->path))
		return slu_fail(e, EINVAL,
				"reference '%.200s': a version or snapshot is one of one file, not "
				"of a pattern",
				text);
	*ret = slu_take(u);
	return 0;
}

int slu_uri_parse(const char *text, bool (*is_store)(void *user, const char *name), void *user,
		  struct slu_uri **ret, struct slu_err *e)
{
	int r;

	if (!text || !*text)
		return slu_fail(e, EINVAL,
				"a reference is empty: give a datastore path, a dataset or a local "
				"path");
	if (strnlen(text, URI_MAX + 1) > URI_MAX)
		return slu_fail(e, EINVAL, "reference '%.60s...' is longer than %d bytes", text,
				URI_MAX);
	r = parse_state(text, is_store, user, ret, e);
	return r == 1 ? parse_text(text, is_store, user, ret, e) : r;
}

void slu_uri_free(struct slu_uri *u)
{
	if (!u)
		return;
	free(u->subscription);
	free(u->resource_group);
	free(u->workspace);
	free(u->registry);
	free(u->location);
	free(u->name);
	free(u->version);
	free(u->output);
	free(u->path);
	free(u->state);
	free(u->scheme);
	free(u);
}
