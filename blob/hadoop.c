/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How Hadoop reaches a container: by abfss://, over the Blob service where the namespace is flat.  The older
 * wasbs:// is for those who ask for it and for public containers, which the newer driver cannot read; Hadoop
 * 3.5 has it no more.  Each property names its account, so that stores of several accounts go together.
 * Secrets stay references.
 */
#include "blob/call.h"
#include "blob/identity_impl.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>

static bool is_gen2(const struct slu_blob *b)
{
	return b->at.gen2 || b->hierarchical;
}

static bool is_wasb(const struct slu_blob *b)
{
	return b->at.suffix && !is_gen2(b) && !b->identity && (b->wasbs || !b->cred_ref);
}

/* The host by which the driver names the account, whatever the endpoint. */
static char *host_of(const struct slu_blob *b)
{
	const char *suffix = b->at.suffix ? b->at.suffix : "core.windows.net";
	const char *kind = is_wasb(b) ? "blob" : "dfs";

	return slu_asprintf("%s.%s.%s", b->at.account, kind, suffix);
}

static int set_for(struct json_t *o, const char *property, const char *host, const char *value)
{
	SLU_AUTO(slu_freep) char *key = slu_asprintf("%s.%s", property, host);

	return key ? slu_json_set_str(o, key, value) : -ENOMEM;
}

/* A flat account by the Blob service: the other one refuses accounts that have soft delete or events. */
static int set_flat(struct json_t *conf, const char *host)
{
	if (set_for(conf, "fs.azure.account.hns.enabled", host, "false") < 0)
		return -ENOMEM;
	return set_for(conf, "fs.azure.fns.account.service.type", host, "BLOB");
}

/* An endpoint of one's own, checked with Hadoop 3.4 against the emulator.  https is a matter of all accounts:
 * abfss:// has it whatever this says. */
static int set_endpoint(const struct slu_blob *b, const char *host, struct json_t *conf)
{
	bool tls = slu_starts(b->at.base, "https://");
	const char *at = strstr(b->at.base, "://") + 3;
	SLU_AUTO(slu_freep) char *authority = slu_strndup(at, (size_t)(b->at.path - at));

	if (!authority || set_flat(conf, host) < 0 ||
	    set_for(conf, "fs.azure.abfs.endpoint", host, authority) < 0 ||
	    set_for(conf, "fs.azure.networking.library", host, "JDK_HTTP_URL_CONNECTION") < 0)
		return -ENOMEM;
	return tls ? set_for(conf, "fs.azure.ssl.channel.mode", host, "Default_JSSE")
		   : slu_json_set_str(conf, "fs.azure.always.use.https", "false");
}

static int set_driver(const struct slu_blob *b, const char *host, struct json_t *conf)
{
	/* Where accounts are served by path, Hadoop 3.4 knows no place of the dfs endpoint. */
	bool folders = b->hierarchical && (b->at.suffix || !*b->at.path);

	if (folders)
		return set_for(conf, "fs.azure.account.hns.enabled", host, "true");
	if (!b->at.suffix)
		return set_endpoint(b, host, conf);
	return is_wasb(b) || is_gen2(b) ? 0 : set_flat(conf, host);
}

/* A SAS is of the container; Hadoop 3.4.1 looks for one of the account only. */
static int set_sas(const struct slu_blob *b, const char *host, struct slu_hadoop *h)
{
	SLU_AUTO(slu_freep) char *own = slu_asprintf("%s.%s", b->at.container, host);

	if (!own)
		return -ENOMEM;
	if (is_wasb(b))
		return set_for(h->secret_refs, "fs.azure.sas", own, b->cred_ref);
	if (set_for(h->conf, "fs.azure.account.auth.type", host, "SAS") < 0 ||
	    set_for(h->secret_refs, "fs.azure.sas.fixed.token", host, b->cred_ref) < 0)
		return -ENOMEM;
	return set_for(h->secret_refs, "fs.azure.sas.fixed.token", own, b->cred_ref);
}

static int set_secret(const struct slu_blob *b, enum slu_blob_secret_kind kind, const char *host,
		      struct slu_hadoop *h)
{
	if (kind == SLU_BLOB_ANONYMOUS)
		return 0;
	if (kind == SLU_BLOB_SAS)
		return set_sas(b, host, h);
	/* Beside an account that is reached by SAS or as somebody, in the same program. */
	if (!is_wasb(b) && set_for(h->conf, "fs.azure.account.auth.type", host, "SharedKey") < 0)
		return -ENOMEM;
	return set_for(h->secret_refs, "fs.azure.account.key", host, b->cred_ref);
}

/* --- identities: the token providers of hadoop-azure ("ABFS: OAuth 2.0" of its documentation) --- */

enum provider { PROVIDER_NONE, PROVIDER_CLIENT, PROVIDER_MANAGED, PROVIDER_WORKLOAD };

/* By which one an identity signs in; *ret_cannot: what stands in the way of any. */
static enum provider provider_of(const struct json_t *o, const char *type, const char **ret_cannot)
{
	*ret_cannot = type;
	if (slu_streq(type, "workload_identity"))
		return PROVIDER_WORKLOAD;
	if (slu_streq(type, "service_principal")) {
		*ret_cannot = "an application without client_secret";
		return slu_json_get(o, "client_secret") ? PROVIDER_CLIENT : PROVIDER_NONE;
	}
	if (slu_streq(type, "managed_identity")) {
		*ret_cannot = "a managed identity that is not named by its client_id";
		return slu_json_get(o, "object_id") || slu_json_get(o, "resource_id")
			       ? PROVIDER_NONE
			       : PROVIDER_MANAGED;
	}
	return PROVIDER_NONE;
}

static int set_oauth(struct json_t *conf, const char *host, const char *name, const char *value)
{
	SLU_AUTO(slu_freep) char *property = slu_asprintf("fs.azure.account.oauth2.%s", name);

	return !value ? 0 : property ? set_for(conf, property, host, value) : -ENOMEM;
}

static int set_client(const struct slu_blob *b, const char *host, struct slu_hadoop *h)
{
	const char *tenant = slu_json_str(b->entry, "tenant_id");
	SLU_AUTO(slu_freep) char *authority = slu_identity_authority(b->identity);
	SLU_AUTO(slu_freep)
	char *endpoint = slu_asprintf("%s/%s/oauth2/token", authority ? authority : "",
				      tenant ? tenant : "");

	if (!authority || !endpoint || set_oauth(h->conf, host, "client.endpoint", endpoint) < 0 ||
	    set_oauth(h->conf, host, "client.id", slu_json_str(b->entry, "client_id")) < 0)
		return -ENOMEM;
	return set_for(h->secret_refs, "fs.azure.account.oauth2.client.secret", host,
		       slu_identity_secret_ref(b->identity));
}

/* What the platform tells programs by their environment Hadoop wants to be told. */
static int set_workload(const struct slu_blob *b, const char *host, struct slu_hadoop *h)
{
	const char *tenant = slu_json_str(b->entry, "tenant_id");
	const char *client = slu_json_str(b->entry, "client_id");
	SLU_AUTO(slu_freep) char *authority = slu_identity_authority(b->identity);

	tenant = tenant ? tenant : slu_identity_env("AZURE_TENANT_ID");
	client = client ? client : slu_identity_env("AZURE_CLIENT_ID");
	if (!authority || set_oauth(h->conf, host, "msi.authority", authority) < 0 ||
	    set_oauth(h->conf, host, "msi.tenant", tenant) < 0 ||
	    set_oauth(h->conf, host, "client.id", client) < 0)
		return -ENOMEM;
	return set_oauth(h->conf, host, "token.file",
			 slu_identity_env("AZURE_FEDERATED_TOKEN_FILE"));
}

/* Hadoop asks the metadata service of the machine, and knows of no other. */
static int set_managed(const struct slu_blob *b, const char *host, struct slu_hadoop *h)
{
	const char *service = slu_identity_env("AZURE_POD_IDENTITY_AUTHORITY_HOST");
	SLU_AUTO(slu_freep)
	char *endpoint = slu_asprintf("%s/metadata/identity/oauth2/token", service ? service : "");

	if (!endpoint || set_oauth(h->conf, host, "msi.endpoint", service ? endpoint : NULL) < 0)
		return -ENOMEM;
	return set_oauth(h->conf, host, "client.id", slu_json_str(b->entry, "client_id"));
}

static int set_identity(const struct slu_blob *b, const char *host, struct slu_hadoop *h,
			struct slu_err *e)
{
	static const char *const names[] = {[PROVIDER_CLIENT] = "ClientCreds",
					    [PROVIDER_MANAGED] = "Msi",
					    [PROVIDER_WORKLOAD] = "WorkloadIdentity"};
	const struct json_t *o = b->entry;
	const char *type = slu_json_is_object(o) ? slu_json_str(o, "type") : slu_json_string(o);
	const char *cannot;
	enum provider p = provider_of(o, type, &cannot);
	SLU_AUTO(slu_freep) char *name = NULL;
	int r;

	if (p == PROVIDER_NONE)
		return slu_fail(e, ENOTSUP,
				"Hadoop cannot sign in as \"%s\": give the datastore a managed or "
				"workload identity, a service principal with a secret, a key or a "
				"SAS",
				cannot);
	name = slu_asprintf("org.apache.hadoop.fs.azurebfs.oauth2.%sTokenProvider", names[p]);
	if (!name || set_for(h->conf, "fs.azure.account.auth.type", host, "OAuth") < 0 ||
	    set_for(h->conf, "fs.azure.account.oauth.provider.type", host, name) < 0)
		return slu_fail_oom(e);
	if (p == PROVIDER_CLIENT)
		r = set_client(b, host, h);
	else if (p == PROVIDER_WORKLOAD)
		r = set_workload(b, host, h);
	else
		r = set_managed(b, host, h);
	return r < 0 ? slu_fail_oom(e) : 0;
}

static const char *scheme_of(const struct slu_blob *b)
{
	if (b->at.suffix)
		return is_wasb(b) ? "wasbs" : "abfss";
	return slu_starts(b->at.base, "https://") ? "abfss" : "abfs";
}

/* As in a Hadoop path: nothing is percent-encoded. */
int slu_blob_hadoop(struct slu_store *s, const char *path, struct slu_hadoop *ret,
		    struct slu_err *e)
{
	struct slu_blob *b = (struct slu_blob *)s;
	SLU_AUTO(slu_freep) char *host = host_of(b);
	struct slu_hadoop h = {.conf = slu_json_object(), .secret_refs = slu_json_object()};
	struct slu_blob_secret now = {0};
	int r = slu_blob_cred_get(b->cred, &now, e);

	if (r == 0 && now.account)
		r = slu_fail(
			e, ENOTSUP,
			"Hadoop takes no connection string: give the datastore an \"account_key\" "
			"or a \"sas_token\"");
	if (r == 0) {
		h.uri = slu_asprintf("%s://%s@%s/%s", scheme_of(b), b->at.container,
				     host ? host : "", path);
		if (!h.uri || !host || !h.conf || !h.secret_refs ||
		    set_driver(b, host, h.conf) < 0 || set_secret(b, now.kind, host, &h) < 0)
			r = slu_fail_oom(e);
		else if (b->identity)
			r = set_identity(b, host, &h, e);
	}
	slu_blob_secret_done(&now);
	if (r < 0)
		slu_hadoop_done(&h);
	else
		*ret = h;
	return r;
}
