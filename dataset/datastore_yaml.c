/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datastore YAML of Azure ML (CLI v2; what `az ml datastore show` and `list` print, too; types and ids of v1 are
 * understood) turned into entries.  Keys of ours may stand beside.  Credentials by reference only: where the file
 * names a kind of secret and holds none, as printed ones do, whoever runs sluice signs in as himself.
 */
#include "dataset/datastore_yaml.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/yaml.h"
#include "dataset/datastore.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)
#define KEYS_MAX 48

struct reading {
	struct slu_yaml *y;
	const char *dir;  /* of the file: what relative paths start from */
	const char *name; /* instead of the file's; NULL: none */
	bool list;        /* one of several */
	struct slu_err *e;
};

/* One document. */
struct doc {
	const struct json_t *in;
	const char *name;
	enum slu_datastore_type type;
	struct json_t *entry, *notes;
};

/* As the document is written: the type names of v1 have other letters. */
static const struct {
	const char *v1, *type;
} types[] = {
	{"AzureBlob", "azure_blob"},
	{"AzureDataLakeGen2", "azure_data_lake_gen2"},
	{"Hdfs", "hdfs"},
	{"AzureFile", "azure_file"},
	{"AzureDataLake", "azure_data_lake_gen1"},
	{"AzureDataLakeGen1", "azure_data_lake_gen1"},
	{"OneLake", "one_lake"},
	{"AzureSqlDatabase", "azure_sql_database"},
	{"AzurePostgreSql", "azure_postgre_sql"},
	{"AzureMySql", "azure_my_sql"},
	{"DBFS", "dbfs"},
	{"Git", "git"},
	{"Custom", "custom"},
};

static const char *type_of(const char *text)
{
	for (size_t i = 0; text && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcasecmp(types[i].v1, text) == 0)
			return types[i].type;
	return text;
}

static int note(const struct reading *rd, struct doc *d, const char *text)
{
	return slu_json_append(d->notes, slu_json_new_str(text)) < 0 ? slu_fail_oom(rd->e) : 0;
}

/* --- name and id --- */

/* The name at the end of ".../workspaces/W/datastores/NAME", NULL when the id is none of a datastore. */
static const char *name_in_id(const char *id)
{
	const char *at = strrchr(id, '/');
	static const char folder[] = "/datastores";
	size_t n = sizeof(folder) - 1;

	if (!at || !at[1] || (size_t)(at - id) < n || strncasecmp(at - n, folder, n) != 0)
		return NULL;
	return at + 1;
}

static int find_name(const struct reading *rd, struct doc *d)
{
	const char *id = slu_json_str(d->in, "id"), *in_id = id ? name_in_id(id) : NULL;
	const char *name = slu_json_str(d->in, "name");

	if (id && !in_id)
		return slu_yaml_fail(rd->y, d->in, "id", rd->e,
				     "this is no id of a datastore: it ends in /datastores/NAME");
	if (name && in_id && strcasecmp(name, in_id) != 0)
		return slu_yaml_fail(rd->y, d->in, "id", rd->e,
				     "the id is of datastore '%s', and the name is '%s'", in_id,
				     name);
	d->name = rd->name ? rd->name : name ? name : in_id;
	return d->name ? 0
		       : slu_yaml_fail(rd->y, d->in, NULL, rd->e,
				       "the datastore has no 'name': write one, or give it as an "
				       "argument");
}

/* --- keys --- */

enum { SKIPPED, COPIED, ENDPOINT_PROTOCOL, CREDENTIALS, NAMENODE, CERTIFICATE };

/* What Azure ML has and is no key of ours, or is another. */
static const struct {
	const char *key;
	int what;
	unsigned of; /* types, as bits; 0: all */
} known[] = {
	{"$schema", SKIPPED, 0},
	{"name", SKIPPED, 0},
	{"id", SKIPPED, 0},
	{"resourceGroup", SKIPPED, 0},
	{"creation_context", SKIPPED, 0},
	{"is_default", SKIPPED, 0},
	{"properties", SKIPPED, 0},
	{"type", COPIED, 0},
	{"description", COPIED, 0},
	{"tags", COPIED, 0},
	{"protocol", ENDPOINT_PROTOCOL,
	 1u << SLU_DATASTORE_AZURE_BLOB | 1u << SLU_DATASTORE_AZURE_DATA_LAKE_GEN2},
	{"credentials", CREDENTIALS,
	 1u << SLU_DATASTORE_AZURE_BLOB | 1u << SLU_DATASTORE_AZURE_DATA_LAKE_GEN2 |
		 1u << SLU_DATASTORE_HDFS},
	{"name_node_address", NAMENODE, 1u << SLU_DATASTORE_HDFS},
	{"hdfs_server_certificate", CERTIFICATE, 1u << SLU_DATASTORE_HDFS},
};

#define KNOWN_KEYS (sizeof(known) / sizeof(known[0]))

static int what_of(const struct doc *d, const char *key)
{
	for (size_t i = 0; i < KNOWN_KEYS; i++)
		if (slu_streq(known[i].key, key) && (!known[i].of || known[i].of & 1u << d->type))
			return known[i].what;
	return COPIED;
}

static int check_keys(const struct reading *rd, const struct doc *d)
{
	const char *keys[KEYS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < KNOWN_KEYS; i++)
		if (!known[i].of || known[i].of & 1u << d->type)
			keys[n++] = known[i].key;
	slu_datastore_keys(d->type, keys + n, KEYS_MAX - n);
	return slu_yaml_known_keys(rd->y, d->in, keys, rd->e);
}

static int copy(const struct reading *rd, struct doc *d, const char *key, const struct json_t *v)
{
	return slu_json_set(d->entry, key, slu_json_copy(v)) < 0 ? slu_fail_oom(rd->e) : 0;
}

/* wasbs and abfss say by which driver Spark reaches it; what stays is whether there is TLS. */
static int set_protocol(const struct reading *rd, struct doc *d, const struct json_t *v)
{
	static const char *const plain[] = {"http", "wasb", "abfs"};
	static const char *const tls[] = {"https", "wasbs", "abfss"};
	const char *text = slu_json_is_string(v) ? slu_json_string(v) : "", *set = NULL;

	for (size_t i = 0; i < 3; i++)
		set = slu_streq(text, plain[i]) ? "http" : slu_streq(text, tls[i]) ? "https" : set;
	if (!set)
		return slu_yaml_fail(rd->y, d->in, "protocol", rd->e,
				     "'protocol' is https, http, wasbs, wasb, abfss or abfs");
	return slu_json_set_str(d->entry, "protocol", set) < 0 ? slu_fail_oom(rd->e) : 0;
}

/* A file beside the document, under `key` of o.  What is none may be the secret itself: not shown. */
static int set_file(const struct reading *rd, const struct json_t *in, const char *from,
		    struct json_t *o, const char *key)
{
	const char *text = slu_json_str(in, from);
	SLU_AUTO(slu_freep) char *full = NULL;

	if (text && *text && strlen(text) < 4096)
		full = *text == '/' ? slu_strdup(text) : slu_path_join(rd->dir, text);
	if (!full || access(full, F_OK) < 0)
		return slu_yaml_fail(rd->y, in, from, rd->e,
				     "'%s' has to be the path of a file that is there: its content "
				     "has no place in config.json",
				     from);
	return slu_json_set_str(o, key, full) < 0 ? slu_fail_oom(rd->e) : 0;
}

/* --- credentials --- */

static bool has(const struct json_t *o, const char *key)
{
	const struct json_t *v = slu_json_get(o, key);

	return v && !slu_json_is_null(v);
}

/* A reference, nothing else. */
static int set_secret(const struct reading *rd, const struct doc *d, const struct json_t *in,
		      const char *from, struct json_t *o, const char *key)
{
	SLU_AUTO(slu_freep) char *where = slu_asprintf("'%s' of datastore '%s'", from, d->name);
	const char *text = slu_json_str(in, from);
	struct slu_err why = {0};
	struct slu_cred c;

	if (!where)
		return slu_fail_oom(rd->e);
	int r = slu_cred_parse(text ? text : "", where, &c, &why);

	if (r < 0)
		return slu_yaml_fail(rd->y, in, from, rd->e, "%s", why.msg);
	return slu_json_set_str(o, key, text) < 0 ? slu_fail_oom(rd->e) : 0;
}

static int set_principal(const struct reading *rd, struct doc *d, const struct json_t *in)
{
	static const char *const texts[] = {"tenant_id", "client_id", "authority_url"};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const char *audience = slu_json_str(in, "resource_url");
	int r = 0;

	if (slu_json_set_str(o, "type", "service_principal") < 0)
		return slu_fail_oom(rd->e);
	for (size_t i = 0; i < 3; i++)
		if (slu_json_set_str(o, texts[i], slu_json_str(in, texts[i])) < 0)
			return slu_fail_oom(rd->e);
	if (audience && *audience) {
		size_t n = strlen(audience);
		SLU_AUTO(slu_freep)
		char *plain = slu_strndup(audience, n - (audience[n - 1] == '/'));

		if (!plain)
			return slu_fail_oom(rd->e);
		if (!slu_streq(plain, "https://storage.azure.com") &&
		    slu_json_set_str(o, "audience", plain) < 0)
			return slu_fail_oom(rd->e);
	}
	if (has(in, "client_secret"))
		r = set_secret(rd, d, in, "client_secret", o, "client_secret");
	else if (has(in, "certificate"))
		r = set_secret(rd, d, in, "certificate", o, "certificate");
	else
		return slu_yaml_fail(rd->y, in, "client_id", rd->e,
				     "the service principal of datastore '%s' has no secret here: "
				     "write client_secret: env:NAME or file:PATH",
				     d->name);
	if (r < 0)
		return r;
	return slu_json_set(d->entry, "credential", slu_json_ref(o)) < 0 ? slu_fail_oom(rd->e) : 0;
}

static int set_kerberos(const struct reading *rd, struct doc *d, const struct json_t *in)
{
	static const char *const from[] = {"kerberos_realm", "kerberos_principal"};
	static const char *const to[] = {"realm", "principal"};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int r = o ? 0 : slu_fail_oom(rd->e);

	for (size_t i = 0; r == 0 && i < 2; i++)
		if (slu_json_set_str(o, to[i], slu_json_str(in, from[i])) < 0)
			r = slu_fail_oom(rd->e);
	if (r == 0 && has(in, "kerberos_keytab"))
		r = set_file(rd, in, "kerberos_keytab", o, "keytab");
	if (r == 0 && has(in, "kerberos_password"))
		r = set_secret(rd, d, in, "kerberos_password", o, "password");
	if (r == 0 && has(in, "kerberos_kdc_address"))
		r = note(rd, d, "the KDC is taken from krb5.conf, not from the file");
	if (r == 0 && slu_json_count(o) && slu_json_set(d->entry, "kerberos", slu_json_ref(o)) < 0)
		r = slu_fail_oom(rd->e);
	return r;
}

/* What the caller has: the first of workload identity, managed identity and the command lines that answers. */
static int set_own(const struct reading *rd, struct doc *d, const char *kind)
{
	SLU_AUTO(slu_freep)
	char *text = kind ? slu_asprintf("the file holds no secret (%s): whoever runs sluice signs "
					 "in as himself (credential: default)",
					 kind)
			  : NULL;

	if (slu_json_set_str(d->entry, "credential", "default") < 0 || (kind && !text))
		return slu_fail_oom(rd->e);
	return kind ? note(rd, d, text) : 0;
}

static int set_azure(const struct reading *rd, struct doc *d, const struct json_t *in)
{
	const char *kind = slu_json_str(in, "type");

	if (has(in, "account_key"))
		return set_secret(rd, d, in, "account_key", d->entry, "account_key");
	if (has(in, "sas_token"))
		return set_secret(rd, d, in, "sas_token", d->entry, "sas_token");
	if (has(in, "client_id"))
		return set_principal(rd, d, in);
	return set_own(rd, d, kind && strcasecmp(kind, "none") != 0 ? kind : NULL);
}

static int set_credentials(const struct reading *rd, struct doc *d, const struct json_t *in)
{
	static const char *const azure[] = {"type",
					    "account_key",
					    "sas_token",
					    "tenant_id",
					    "client_id",
					    "client_secret",
					    "authority_url",
					    "resource_url",
					    "certificate",
					    "thumbprint",
					    NULL};
	static const char *const hdfs[] = {"type",
					   "kerberos_realm",
					   "kerberos_kdc_address",
					   "kerberos_principal",
					   "kerberos_keytab",
					   "kerberos_password",
					   NULL};
	bool is_hdfs = d->type == SLU_DATASTORE_HDFS;

	if (slu_json_is_null(in))
		return 0;
	if (!slu_json_is_object(in))
		return slu_yaml_fail(rd->y, d->in, "credentials", rd->e,
				     "'credentials' has to be a mapping");
	int r = slu_yaml_known_keys(rd->y, in, is_hdfs ? hdfs : azure, rd->e);

	if (r < 0)
		return r;
	return is_hdfs ? set_kerberos(rd, d, in) : set_azure(rd, d, in);
}

/* --- one document --- */

static int set_key(const struct reading *rd, struct doc *d, const char *key, const struct json_t *v)
{
	switch (what_of(d, key)) {
	case SKIPPED:
		return 0;
	case ENDPOINT_PROTOCOL:
		return set_protocol(rd, d, v);
	case CREDENTIALS:
		return set_credentials(rd, d, v);
	case NAMENODE:
		return copy(rd, d, "namenode", v);
	case CERTIFICATE:
		return set_file(rd, d->in, key, d->entry, "ca_file");
	default:
		/* as it is printed where there is none */
		return slu_json_is_null(v) ? 0 : copy(rd, d, key, v);
	}
}

static int read_entry(const struct reading *rd, struct doc *d, const char *type)
{
	bool azure = d->type == SLU_DATASTORE_AZURE_BLOB ||
		     d->type == SLU_DATASTORE_AZURE_DATA_LAKE_GEN2;
	int r = check_keys(rd, d);

	for (void *it = slu_json_iter(d->in); r == 0 && it; it = slu_json_next(d->in, it))
		r = set_key(rd, d, slu_json_iter_key(it), slu_json_iter_value(it));
	if (r == 0 && slu_json_set_str(d->entry, "type", type) < 0)
		r = slu_fail_oom(rd->e);
	if (r == 0 && azure && !has(d->entry, "credential") && !has(d->entry, "account_key") &&
	    !has(d->entry, "sas_token"))
		r = set_own(rd, d, NULL);
	return r < 0 ? r : slu_datastore_check_at(d->name, d->entry, rd->y, d->in, rd->e);
}

static int add_skipped(const struct reading *rd, const struct doc *d, const char *type,
		       const char *why, struct json_t *out)
{
	struct json_t *o = slu_json_object();

	if (slu_json_set_str(o, "name", d->name) < 0 || slu_json_set_str(o, "type", type) < 0 ||
	    slu_json_set_str(o, "skipped", why) < 0) {
		slu_json_free(o);
		return slu_fail_oom(rd->e);
	}
	return slu_json_append(out, o) < 0 ? slu_fail_oom(rd->e) : 0;
}

static bool find_type(const char *type, enum slu_datastore_type *ret)
{
	for (int t = SLU_DATASTORE_LOCAL; type && t <= SLU_DATASTORE_HDFS; t++)
		if (slu_streq(slu_datastore_type_name((enum slu_datastore_type)t), type)) {
			*ret = (enum slu_datastore_type)t;
			return true;
		}
	return false;
}

static int read_doc(const struct reading *rd, struct doc *d, struct json_t *out)
{
	const char *type = type_of(slu_json_str(d->in, "type"));
	const char *why = slu_datastore_other_type(type);

	if (!slu_json_is_object(d->in))
		return slu_yaml_fail(rd->y, d->in, NULL, rd->e, "a datastore has to be a mapping");
	int r = find_name(rd, d);

	if (r < 0)
		return r;
	if (why && rd->list)
		return add_skipped(rd, d, type, why, out);
	if (!find_type(type, &d->type)) {
		/* says what is wrong with it, and where */
		if (type && slu_json_set_str(d->entry, "type", type) < 0)
			return slu_fail_oom(rd->e);
		return slu_datastore_check_at(d->name, d->entry, rd->y, d->in, rd->e);
	}
	r = read_entry(rd, d, type);
	if (r < 0)
		return r;
	struct json_t *o = slu_json_object();

	if (slu_json_set_str(o, "name", d->name) < 0 ||
	    slu_json_set(o, "entry", slu_json_ref(d->entry)) < 0 ||
	    slu_json_set(o, "notes", slu_json_ref(d->notes)) < 0) {
		slu_json_free(o);
		return slu_fail_oom(rd->e);
	}
	return slu_json_append(out, o) < 0 ? slu_fail_oom(rd->e) : 0;
}

static int add_doc(const struct reading *rd, const struct json_t *in, struct json_t *out)
{
	struct doc d = {.in = in, .entry = slu_json_object(), .notes = slu_json_array()};
	int r = d.entry && d.notes ? read_doc(rd, &d, out) : slu_fail_oom(rd->e);

	slu_json_free(d.entry);
	slu_json_free(d.notes);
	return r;
}

static int read_all(struct reading *rd, struct json_t *out)
{
	const struct json_t *root = slu_yaml_root(rd->y), *value = slu_json_get(root, "value");
	const struct json_t *list = slu_json_is_array(root) ? root : value;

	if (!list)
		return add_doc(rd, root, out);
	if (rd->name)
		return slu_yaml_fail(rd->y, root, NULL, rd->e,
				     "the file is a list: its datastores have names of their own, "
				     "and '%s' is given for one",
				     rd->name);
	rd->list = true;
	for (size_t i = 0; i < slu_json_count(list); i++) {
		int r = add_doc(rd, slu_json_at(list, i), out);

		if (r < 0)
			return r;
	}
	return 0;
}

int slu_datastore_yaml(const char *path, const char *name, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(FILE_MAX);
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *out = slu_json_array();
	SLU_AUTO(slu_freep) char *abs = NULL, *dir = NULL;
	bool in = slu_streq(path, "-");
	int r = in ? slu_buf_read_fd(&b, STDIN_FILENO) : slu_buf_read_at(&b, AT_FDCWD, path);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot read '%s'", in ? "standard input" : path);
	r = slu_path_absolute(in ? "." : path, &abs, e);
	if (r == 0)
		r = slu_yaml_parse(b.p ? b.p : "", b.len, in ? "standard input" : path, &y, e);
	if (r < 0)
		return r;
	dir = in ? slu_strdup(abs) : slu_path_dir(abs);
	if (!dir || !out)
		return slu_fail_oom(e);

	struct reading rd = {.y = y, .dir = dir, .name = name, .e = e};

	r = read_all(&rd, out);
	if (r == 0)
		*ret = slu_take(out);
	return r;
}
