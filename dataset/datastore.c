/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datastore entries checked: names, types, keys, credential references.  Nothing is opened and no
 * secret is read here; a value that might be one is never shown in a message.
 */
#include "dataset/datastore.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/yaml.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

enum value {
	V_END,
	V_TEXT,      /* any text that is not empty */
	V_PATH,      /* a local path */
	V_ACCOUNT,   /* storage account */
	V_CONTAINER, /* container or file system */
	V_ENDPOINT,  /* host name suffix or URL without user info and query */
	V_HTTP,      /* "http" or "https" */
	V_MD5,       /* "check" or "ignore" */
	V_SUM,       /* "auto" or "md5" */
	V_NAMESPACE, /* "hierarchical" or "flat" */
	V_CHECK,     /* as --check-md5 has it */
	V_DRIVER,    /* "abfs" or "wasb" */
	V_HDFS,      /* "hdfs" or "http" or "https" */
	V_HOSTPORT,
	V_HOSTPORTS, /* one or more, joined by commas */
	V_SECRET,    /* a reference, never the thing itself */
	V_CRED,      /* a reference or a service principal object */
	V_KERBEROS,
	V_GATEWAY,
	V_PROXY, /* "direct" or a URL without user */
	V_BOOL,
	V_OBJECT
};

struct key {
	const char *name;
	enum value value;
	bool needed;
};

static const struct key local_keys[] = {{"path", V_PATH, true}, {NULL, V_END, false}};

/* clang-format off */
#define KEYS_OF_AN_ACCOUNT(container) \
	{"account_name", V_ACCOUNT, true}, \
	{container, V_CONTAINER, true}, \
	{"endpoint", V_ENDPOINT, false}, \
	{"protocol", V_HTTP, false}, \
	{"credential", V_CRED, false}, \
	{"account_key", V_SECRET, false}, \
	{"sas_token", V_SECRET, false}, \
	{"content_md5", V_MD5, false}, \
	{"checksum", V_SUM, false}, \
	{"hadoop_driver", V_DRIVER, false}, /* the one that reads it */ \
	{"namespace", V_NAMESPACE, false}, \
	{"dfs_endpoint", V_ENDPOINT, false}, \
	{"ca_file", V_PATH, false}, \
	{"proxy", V_PROXY, false}, \
	{"allow_plain_http", V_BOOL, false}, \
	{"check_ranges", V_CHECK, false}, \
	{NULL, V_END, false}
/* clang-format on */

static const struct key blob_keys[] = {KEYS_OF_AN_ACCOUNT("container_name")};

static const struct key gen2_keys[] = {KEYS_OF_AN_ACCOUNT("filesystem")};

static const struct key hdfs_keys[] = {
	{"namenode", V_HOSTPORTS, false},
	{"nameservice", V_TEXT, false},
	{"hadoop_conf", V_PATH, false},
	{"protocol", V_HDFS, false},
	{"path", V_PATH, false},
	{"user", V_TEXT, false},
	{"kerberos", V_KERBEROS, false},
	{"ca_file", V_PATH, false},
	{"credential", V_CRED, false},
	{"rpc_address", V_HOSTPORTS, false},
	{"http_address", V_HOSTPORTS, false},
	{"http_path", V_PATH, false},
	{"doas", V_TEXT, false},
	{"gateway", V_GATEWAY, false},
	{"csrf_header", V_TEXT, false},
	{"domain_socket", V_PATH, false},
	{NULL, V_END, false},
};

static const struct key principal_keys[] = {
	{"type", V_TEXT, true},
	{"tenant_id", V_TEXT, true},
	{"client_id", V_TEXT, true},
	{"client_secret", V_SECRET, false},
	{"certificate", V_SECRET, false},
	{"certificate_password", V_SECRET, false},
	{"client_assertion", V_SECRET, false},
	{"authority_url", V_ENDPOINT, false},
	{"audience", V_ENDPOINT, false},
	{NULL, V_END, false},
};

static const struct key token_keys[] = {
	{"type", V_TEXT, true}, {"token", V_SECRET, true}, {NULL, V_END, false}};

static const struct key managed_keys[] = {
	{"type", V_TEXT, true},          {"client_id", V_TEXT, false},
	{"object_id", V_TEXT, false},    {"resource_id", V_TEXT, false},
	{"audience", V_ENDPOINT, false}, {NULL, V_END, false}};

static const struct key kerberos_keys[] = {
	{"realm", V_TEXT, false},      {"principal", V_TEXT, false}, {"keytab", V_PATH, false},
	{"password", V_SECRET, false}, {"ccache", V_TEXT, false},    {NULL, V_END, false},
};

static const struct key gateway_keys[] = {{"user", V_TEXT, false},
					  {"password", V_SECRET, false},
					  {"token", V_SECRET, false},
					  {NULL, V_END, false}};

static const struct {
	const char *name;
	const struct key *keys;
} types[] = {
	[SLU_DATASTORE_LOCAL] = {"local", local_keys},
	[SLU_DATASTORE_AZURE_BLOB] = {"azure_blob", blob_keys},
	[SLU_DATASTORE_AZURE_DATA_LAKE_GEN2] = {"azure_data_lake_gen2", gen2_keys},
	[SLU_DATASTORE_HDFS] = {"hdfs", hdfs_keys},
};

#define NTYPES (sizeof(types) / sizeof(types[0]))

const char *slu_datastore_type_name(enum slu_datastore_type t)
{
	return types[t].name;
}

static int find_type(const char *name)
{
	for (size_t i = 0; name && i < NTYPES; i++)
		if (slu_streq(types[i].name, name))
			return (int)i;
	return -1;
}

enum slu_datastore_type slu_datastore_type(const struct json_t *entry)
{
	int t = find_type(slu_json_str(entry, "type"));

	return t < 0 ? SLU_DATASTORE_LOCAL : (enum slu_datastore_type)t;
}

const char *slu_datastore_find(const struct json_t *all, const char *name)
{
	if (slu_json_is_object(all))
		for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it))
			if (strcasecmp(slu_json_iter_key(it), name) == 0)
				return slu_json_iter_key(it);
	return NULL;
}

bool slu_datastore_any_remote(const struct json_t *all)
{
	if (slu_json_is_object(all))
		for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it))
			if (slu_datastore_type(slu_json_iter_value(it)) != SLU_DATASTORE_LOCAL)
				return true;
	return false;
}

/* --- credentials --- */

int slu_cred_parse(const char *text, const char *where, struct slu_cred *ret, struct slu_err *e)
{
	static const struct {
		const char *text;
		enum slu_cred_kind kind;
	} identities[] = {{"managed_identity", SLU_CRED_MANAGED_IDENTITY},
			  {"workload_identity", SLU_CRED_WORKLOAD_IDENTITY},
			  {"az_cli", SLU_CRED_AZ_CLI},
			  {"azd_cli", SLU_CRED_AZD_CLI},
			  {"default", SLU_CRED_DEFAULT}},
	  refs[] = {{"env:", SLU_CRED_ENV}, {"file:", SLU_CRED_FILE}, {"cmd:", SLU_CRED_CMD}};

	for (size_t i = 0; i < sizeof(identities) / sizeof(identities[0]); i++)
		if (slu_streq(text, identities[i].text)) {
			*ret = (struct slu_cred){identities[i].kind, NULL};
			return 0;
		}
	for (size_t i = 0; i < sizeof(refs) / sizeof(refs[0]); i++) {
		const char *arg = slu_after(text, refs[i].text);

		if (!arg)
			continue;
		if (refs[i].kind == SLU_CRED_ENV && !slu_is_ident(arg))
			return slu_fail(e, EINVAL,
					"%s: after 'env:' the name of an environment variable is "
					"expected",
					where);
		if (!*arg)
			return slu_fail(e, EINVAL, "%s: nothing stands after '%s'", where,
					refs[i].text);
		*ret = (struct slu_cred){refs[i].kind, arg};
		return 0;
	}
	return slu_fail(
		e, EINVAL,
		"%s holds a secret itself or no known reference: put the secret into an "
		"environment variable or a file of mode 0600 and write \"env:NAME\" or "
		"\"file:PATH\" (also cmd:COMMAND, managed_identity, workload_identity, az_cli, azd_cli, default)",
		where);
}

/* --- values --- */

static int check_keys(const char *what, const struct json_t *o, const struct key *keys,
		      struct slu_err *e);

static bool is_account(const char *s)
{
	size_t n = strlen(s);

	return n >= 3 && n <= 24 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789") == n;
}

static bool is_container(const char *s)
{
	size_t n = strlen(s);

	if (slu_streq(s, "$root") || slu_streq(s, "$web") || slu_streq(s, "$logs"))
		return true;
	return n >= 3 && n <= 63 && s[0] != '-' && s[n - 1] != '-' && !strstr(s, "--") &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static bool is_hostport(const char *s)
{
	size_t n = s[0] == '[' ? strspn(s + 1, "0123456789abcdefABCDEF:.") + 2
			       : strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789.-_");
	int64_t port;

	if (n == 0 || n > strlen(s) || (s[0] == '[' && s[n - 1] != ']'))
		return false;
	return !s[n] || (s[n] == ':' && slu_i64(s + n + 1, 1, 65535, &port));
}

static bool is_hostports(const char *s)
{
	for (;;) {
		char one[300];
		size_t n = strcspn(s, ",");

		if (n >= sizeof(one))
			return false;
		memcpy(one, s, n);
		one[n] = '\0';
		if (!is_hostport(one))
			return false;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

static bool is_endpoint(const char *s)
{
	const char *host = slu_after(s, "https://");

	if (!host)
		host = slu_after(s, "http://");
	if (!host)
		return is_hostport(s);

	char authority[256];
	size_t n = strcspn(host, "/");

	if (n >= sizeof(authority) || strpbrk(host, "?#@"))
		return false;
	memcpy(authority, host, n);
	authority[n] = '\0';
	return is_hostport(authority);
}

static bool is_one_of(const char *v, const char *a, const char *b)
{
	return slu_streq(v, a) || slu_streq(v, b);
}

static bool is_hdfs_protocol(const char *v)
{
	return slu_streq(v, "hdfs") || is_one_of(v, "https", "http") ||
	       is_one_of(v, "native", "webhdfs");
}

static bool is_check(const char *v)
{
	return slu_streq(v, "no-check") || slu_streq(v, "log-only") ||
	       slu_streq(v, "fail-if-different") || slu_streq(v, "fail-if-different-or-missing");
}

/* Of the kinds that are one of two words. */
static const struct {
	enum value kind;
	const char *a, *b, *says;
} pairs[] = {{V_HTTP, "https", "http", "https or http"},
	     {V_MD5, "check", "ignore", "check or ignore"},
	     {V_SUM, "auto", "md5", "auto or md5"},
	     {V_NAMESPACE, "hierarchical", "flat", "hierarchical or flat"},
	     {V_DRIVER, "abfs", "wasb", "abfs or wasb"}};

/* What a text of this kind has to look like, NULL when v does. */
static const char *text_wrong(enum value kind, const char *v)
{
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		if (pairs[i].kind == kind)
			return is_one_of(v, pairs[i].a, pairs[i].b) ? NULL : pairs[i].says;
	switch (kind) {
	case V_ACCOUNT:
		return is_account(v) ? NULL : "3 to 24 lower-case letters and digits";
	case V_CONTAINER:
		return is_container(v) ? NULL
				       : "3 to 63 lower-case letters, digits and single hyphens";
	case V_ENDPOINT:
		return is_endpoint(v) ? NULL : "a host name or a URL without user or query";
	case V_PROXY:
		return slu_streq(v, "direct") || is_endpoint(v)
			       ? NULL
			       : "direct, or the URL of a proxy without user and password";
	case V_CHECK:
		return is_check(v) ? NULL
				   : "no-check, log-only, fail-if-different or "
				     "fail-if-different-or-missing";
	case V_HDFS:
		return is_hdfs_protocol(v) ? NULL : "hdfs, https, http, native or webhdfs";
	case V_HOSTPORT:
		return is_hostport(v) ? NULL : "a host name, perhaps with ':PORT'";
	case V_HOSTPORTS:
		return is_hostports(v) ? NULL
				       : "a host name, perhaps with ':PORT', or several joined by "
					 "','";
	default:
		return *v ? NULL : "a text that is not empty";
	}
}

static int check_secret(const char *where, const struct json_t *v, struct slu_err *e)
{
	struct slu_cred c;
	int r = slu_cred_parse(slu_json_is_string(v) ? slu_json_string(v) : "", where, &c, e);

	if (r == 0 && !c.arg)
		return slu_fail(e, EINVAL,
				"%s has to be env:NAME, file:PATH or cmd:COMMAND; an "
				"identity is given as \"credential\"",
				where);
	return r;
}

/* Exactly so many of these keys. */
static int check_count(const char *where, const struct json_t *v, const char *const keys[3],
		       size_t least, struct slu_err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < 3; i++)
		n += slu_json_get(v, keys[i]) != NULL;
	if (n >= least && n <= 1)
		return 0;
	return slu_fail(e, EINVAL, "%s has %s one of \"%s\", \"%s\" and \"%s\"", where,
			least ? "exactly" : "at most", keys[0], keys[1], keys[2]);
}

static int check_client(const char *where, const struct json_t *v, struct slu_err *e)
{
	static const char *const keys[] = {"client_id", "object_id"};

	for (size_t i = 0; i < 2; i++) {
		const char *id = slu_json_str(v, keys[i]);

		if (id && id[strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
					"UVWXYZ-")])
			return slu_fail(e, EINVAL, "%s: '%s' is no client id", where, id);
	}
	return 0;
}

static int check_identity(const char *where, const struct json_t *v, struct slu_err *e)
{
	static const char *const which[3] = {"client_id", "object_id", "resource_id"};
	static const char *const proof[3] = {"client_secret", "certificate", "client_assertion"};
	const char *type = slu_json_str(v, "type");
	int r;

	if (type && slu_streq(type, "token"))
		return check_keys(where, v, token_keys, e);
	if (!type || !is_one_of(type, "service_principal", "managed_identity"))
		return slu_fail(e, EINVAL,
				"%s: the type of such an object is \"service_principal\", "
				"\"managed_identity\" or \"token\"",
				where);
	r = check_client(where, v, e);
	if (r < 0)
		return r;
	if (slu_streq(type, "managed_identity")) {
		r = check_keys(where, v, managed_keys, e);
		return r < 0 ? r : check_count(where, v, which, 0, e);
	}
	r = check_keys(where, v, principal_keys, e);
	return r < 0 ? r : check_count(where, v, proof, 1, e);
}

static int check_cred(const char *where, const struct json_t *v, struct slu_err *e)
{
	struct slu_cred c;

	if (!slu_json_is_object(v))
		return slu_cred_parse(slu_json_is_string(v) ? slu_json_string(v) : "", where, &c,
				      e);
	return check_identity(where, v, e);
}

static int check_kerberos(const char *where, const struct json_t *v, struct slu_err *e)
{
	if (!slu_json_is_object(v))
		return slu_fail(e, EINVAL, "%s has to be an object", where);
	static const char *const proof[3] = {"keytab", "password", "ccache"};
	int r;

	if (slu_json_get(v, "kdc"))
		return slu_fail(
			e, EINVAL,
			"%s names a KDC, which Kerberos takes from krb5.conf: write it there "
			"(KRB5_CONFIG names another file)",
			where);
	r = check_keys(where, v, kerberos_keys, e);
	if (r == 0)
		r = check_count(where, v, proof, 0, e);
	if (r == 0 && slu_json_get(v, "password") && !slu_json_get(v, "principal"))
		return slu_fail(e, EINVAL, "%s has a \"password\" and needs its \"principal\"",
				where);
	return r;
}

static int check_gateway(const char *where, const struct json_t *v, struct slu_err *e)
{
	bool user = slu_json_get(v, "user"), password = slu_json_get(v, "password");

	if (!slu_json_is_object(v) || user != password ||
	    password == (slu_json_get(v, "token") != NULL))
		return slu_fail(
			e, EINVAL,
			"%s has to be an object with \"user\" and \"password\", or \"token\"",
			where);
	return check_keys(where, v, gateway_keys, e);
}

static int check_value(const char *what, const struct key *k, const struct json_t *v,
		       struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *where = slu_asprintf("'%s' of %s", k->name, what);

	if (!where)
		return slu_fail_oom(e);
	switch (k->value) {
	case V_SECRET:
		return check_secret(where, v, e);
	case V_CRED:
		return check_cred(where, v, e);
	case V_KERBEROS:
		return check_kerberos(where, v, e);
	case V_GATEWAY:
		return check_gateway(where, v, e);
	case V_BOOL:
		return slu_json_is_bool(v)
			       ? 0
			       : slu_fail(e, EINVAL, "%s has to be true or false", where);
	case V_OBJECT:
		return slu_json_is_object(v) ? 0
					     : slu_fail(e, EINVAL, "%s has to be an object", where);
	default:
		break;
	}
	if (!slu_json_is_string(v))
		return slu_fail(e, EINVAL, "%s has to be a text", where);
	const char *wrong = text_wrong(k->value, slu_json_string(v));

	return wrong ? slu_fail(e, EINVAL, "%s has to be %s", where, wrong) : 0;
}

/* --- keys --- */

static bool looks_secret(const char *key)
{
	static const char *const words[] = {"key", "secret", "password",         "passwd",
					    "sas", "token",  "connection_string"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasestr(key, words[i]))
			return true;
	return false;
}

static int unknown_key(const char *what, const char *key, const struct key *keys, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1024);
	const char *near = NULL;

	for (const struct key *k = keys; k->name; k++) {
		slu_buf_fmt(&b, "%s%s", k == keys ? "" : ", ", k->name);
		near = slu_nearer(key, near, k->name);
	}
	return slu_fail(e, EINVAL, "%s has the unknown key '%s'%s%s%s%s; known are %s", what, key,
			near ? " (is '" : "", near ? near : "", near ? "' meant?)" : "",
			looks_secret(key) ? ", which may hold a secret (use \"credential\": "
					    "\"env:NAME\")"
					  : "",
			b.p ? b.p : "");
}

/* ret_bad (may be NULL): the key whose value is wrong, in o. */
static int check_members(const char *what, const struct json_t *o, const struct key *keys,
			 const char **ret_bad, struct slu_err *e)
{
	static const struct key common[] = {{"type", V_TEXT, false},
					    {"description", V_TEXT, false},
					    {"tags", V_OBJECT, false},
					    {NULL, V_END, false}};

	for (void *it = slu_json_iter(o); it; it = slu_json_next(o, it)) {
		const char *key = slu_json_iter_key(it);
		const struct key *k = keys;

		while (k->name && !slu_streq(k->name, key))
			k++;
		if (!k->name)
			for (k = common; k->name && !slu_streq(k->name, key); k++)
				;
		int r = k->name ? check_value(what, k, slu_json_iter_value(it), e)
				: unknown_key(what, key, keys, e);
		if (r < 0) {
			if (ret_bad)
				*ret_bad = key;
			return r;
		}
	}
	/* Last: it may be there under a name that was mistyped. */
	for (const struct key *k = keys; k->name; k++)
		if (k->needed && !slu_json_get(o, k->name))
			return slu_fail(e, EINVAL, "%s needs the key '%s'", what, k->name);
	return 0;
}

static int check_keys(const char *what, const struct json_t *o, const struct key *keys,
		      struct slu_err *e)
{
	return check_members(what, o, keys, NULL, e);
}

const char *slu_datastore_other_type(const char *type)
{
	static const struct {
		const char *name, *why;
	} others[] = {
		{"azure_file", "Azure Files is not opened yet: mount the share (SMB or NFS) and "
			       "make a local datastore of its folder"},
		{"azure_data_lake_gen1", "Data Lake Storage Gen1 was retired by its vendor: name "
					 "the Gen2 account that the data was moved to"},
		{"one_lake", "OneLake is not opened yet: copy the data to a Blob container or an "
			     "HDFS folder"},
		{"azure_sql_database", "it holds tables and no files: export them to files"},
		{"azure_postgre_sql", "it holds tables and no files: export them to files"},
		{"azure_my_sql", "it holds tables and no files: export them to files"},
		{"dbfs", "Databricks' file system is reached from its clusters only: name the "
			 "container behind it"},
		{"git", "it is no storage of data: clone it and make a local datastore"},
		{"custom", "what it is cannot be known: make a datastore of a known type"},
	};

	for (size_t i = 0; type && i < sizeof(others) / sizeof(others[0]); i++)
		if (slu_streq(others[i].name, type))
			return others[i].why;
	return NULL;
}

static int unknown_type(const char *what, const char *type, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1024);
	const char *why = slu_datastore_other_type(type);

	if (why)
		return slu_fail(e, ENOTSUP, "%s is of type '%s': %s", what, type, why);

	for (size_t i = 0; i < NTYPES; i++)
		slu_buf_fmt(&b, "%s%s", i ? ", " : "", types[i].name);
	if (!type)
		return slu_fail(e, EINVAL, "%s needs a \"type\": one of %s", what, b.p);
	return slu_fail(e, EINVAL, "%s is of the unknown type '%s'; known are %s", what, type, b.p);
}

static int check_name(const char *name, struct slu_err *e)
{
	static const char *const taken[] = {"azureml", "file", "abfs", "abfss", "wasb",
					    "wasbs",   "adl",  "http", "https", "hdfs"};

	if (!slu_is_name(name))
		return slu_fail(
			e, EINVAL,
			"'%s' is no name of a datastore: use letters, digits, '_', '.', '-'", name);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (strcasecmp(name, taken[i]) == 0)
			return slu_fail(
				e, EINVAL,
				"a datastore cannot be named '%s': references begin with it", name);
	return 0;
}

static int check_entry(const char *name, const struct json_t *entry, const char **ret_bad,
		       struct slu_err *e)
{
	int r = check_name(name, e);

	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *what = slu_asprintf("datastore '%s'", name);

	if (!what)
		return slu_fail_oom(e);
	if (!slu_json_is_object(entry))
		return slu_fail(e, EINVAL, "%s has to be an object with a \"type\"", what);

	const char *type = slu_json_str(entry, "type");
	int t = find_type(type);

	if (t < 0) {
		*ret_bad = "type";
		return unknown_type(what, type, e);
	}
	r = check_members(what, entry, types[t].keys, ret_bad, e);
	if (r < 0)
		return r;
	unsigned creds = !!slu_json_get(entry, "credential") +
			 !!slu_json_get(entry, "account_key") + !!slu_json_get(entry, "sas_token");

	if (creds > 1)
		return slu_fail(e, EINVAL, "%s has more than one credential: keep one", what);
	return 0;
}

int slu_datastore_check(const char *name, const struct json_t *entry, struct slu_err *e)
{
	const char *bad = NULL;

	return check_entry(name, entry, &bad, e);
}

int slu_datastore_check_at(const char *name, const struct json_t *entry, const struct slu_yaml *y,
			   const struct json_t *at, struct slu_err *e)
{
	struct slu_err why = {0};
	const char *bad = NULL;
	int r = check_entry(name, entry, &bad, &why);

	if (r == 0)
		return 0;
	slu_yaml_fail(y, at, bad && slu_json_get(at, bad) ? bad : NULL, e, "%s", why.msg);
	if (e)
		e->code = why.code;
	return r;
}

void slu_datastore_keys(enum slu_datastore_type t, const char **ret, size_t n)
{
	size_t i = 0;

	for (; types[t].keys[i].name && i + 1 < n; i++)
		ret[i] = types[t].keys[i].name;
	ret[i] = NULL;
}
