/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How Hadoop reaches a container: wasbs:// for Blob accounts, abfss:// for those with a hierarchical
 * namespace, abfs:// over the Blob service for an emulator or another endpoint of one's own.  Secrets
 * stay references.
 */
#include "blob/call.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>

static bool is_gen2(const struct slu_blob *b)
{
	return b->at.gen2 || b->hierarchical;
}

/* The older driver knows no identities. */
static bool is_wasb(const struct slu_blob *b)
{
	return b->at.suffix && !is_gen2(b) && !b->identity;
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

/* An endpoint of one's own, checked with Hadoop 3.4 against the emulator. */
static int set_endpoint(const struct slu_blob *b, struct json_t *conf)
{
	bool tls = slu_starts(b->at.base, "https://");
	const char *host = strstr(b->at.base, "://") + 3;
	SLU_AUTO(slu_freep) char *authority = slu_strndup(host, (size_t)(b->at.path - host));
	/* Where accounts are served by path, Hadoop 3.4 knows no place of the dfs endpoint. */
	bool folders = b->hierarchical && !*b->at.path;

	if (!authority)
		return -ENOMEM;
	if (folders)
		return slu_json_set_str(conf, "fs.azure.account.hns.enabled", "true");
	if (slu_json_set_str(conf, "fs.azure.abfs.endpoint", authority) < 0 ||
	    slu_json_set_str(conf, "fs.azure.account.hns.enabled", "false") < 0 ||
	    slu_json_set_str(conf, "fs.azure.fns.account.service.type", "BLOB") < 0 ||
	    slu_json_set_str(conf, "fs.azure.always.use.https", tls ? "true" : "false") < 0 ||
	    slu_json_set_str(conf, "fs.azure.networking.library", "JDK_HTTP_URL_CONNECTION") < 0)
		return -ENOMEM;
	return 0;
}

static int set_secret(const struct slu_blob *b, enum slu_blob_secret_kind kind, const char *host,
		      struct slu_hadoop *h)
{
	SLU_AUTO(slu_freep) char *wasb = NULL;

	if (kind == SLU_BLOB_ANONYMOUS)
		return 0;
	if (kind == SLU_BLOB_KEY)
		return set_for(h->secret_refs, "fs.azure.account.key", host, b->cred_ref);
	if (is_wasb(b)) {
		wasb = slu_asprintf("fs.azure.sas.%s", b->at.container);
		return wasb ? set_for(h->secret_refs, wasb, host, b->cred_ref) : -ENOMEM;
	}
	if (set_for(h->conf, "fs.azure.account.auth.type", host, "SAS") < 0)
		return -ENOMEM;
	return set_for(h->secret_refs, "fs.azure.sas.fixed.token", host, b->cred_ref);
}

/* What its token providers cannot do; NULL: this one they can. */
static const char *cannot(const struct json_t *o, const char *type)
{
	if (slu_streq(type, "service_principal"))
		return slu_json_get(o, "client_secret") ? NULL
							: "an application without client_secret";
	if (slu_streq(type, "managed_identity"))
		return slu_json_get(o, "object_id") || slu_json_get(o, "resource_id")
			       ? "a managed identity that is not named by its client_id"
			       : NULL;
	return type;
}

/* A flat account by the Blob service, since the other driver cannot sign in like this; from the documentation
 * of Hadoop 3.4.2, no real account has confirmed it. */
static int set_flat(struct json_t *conf)
{
	return slu_json_set_str(conf, "fs.azure.account.hns.enabled", "false") < 0
		       ? -ENOMEM
		       : slu_json_set_str(conf, "fs.azure.fns.account.service.type", "BLOB");
}

static int set_principal(const struct slu_blob *b, const char *host, struct slu_hadoop *h)
{
	const char *tenant = slu_json_str(b->entry, "tenant_id");
	SLU_AUTO(slu_freep)
	char *endpoint = slu_asprintf("%s/%s/oauth2/token", slu_identity_authority(b->identity),
				      tenant ? tenant : "");

	if (!endpoint)
		return -ENOMEM;
	if (set_for(h->conf, "fs.azure.account.oauth2.client.endpoint", host, endpoint) < 0)
		return -ENOMEM;
	return set_for(h->secret_refs, "fs.azure.account.oauth2.client.secret", host,
		       slu_identity_secret_ref(b->identity));
}

/* The token providers of hadoop-azure ("ABFS: OAuth 2.0" of its documentation). */
static int set_identity(const struct slu_blob *b, const char *host, struct slu_hadoop *h,
			struct slu_err *e)
{
	static const char prefix[] = "org.apache.hadoop.fs.azurebfs.oauth2.";
	const struct json_t *o = b->entry;
	const char *type = slu_json_is_object(o) ? slu_json_str(o, "type") : slu_json_string(o);
	const char *provider = NULL, *client = slu_json_str(o, "client_id");
	SLU_AUTO(slu_freep) char *name = NULL;

	if (cannot(o, type))
		return slu_fail(e, ENOTSUP,
				"Hadoop cannot sign in as \"%s\": give the datastore a managed "
				"identity, a service principal with a secret, a key or a SAS",
				cannot(o, type));
	provider = slu_streq(type, "managed_identity") ? "MsiTokenProvider"
						       : "ClientCredsTokenProvider";
	name = slu_asprintf("%s%s", prefix, provider);
	if (!name || (b->at.suffix && !is_gen2(b) && set_flat(h->conf) < 0) ||
	    set_for(h->conf, "fs.azure.account.auth.type", host, "OAuth") < 0 ||
	    set_for(h->conf, "fs.azure.account.oauth.provider.type", host, name) < 0 ||
	    (client && set_for(h->conf, "fs.azure.account.oauth2.client.id", host, client) < 0))
		return slu_fail_oom(e);
	if (slu_streq(type, "managed_identity"))
		return 0;
	return set_principal(b, host, h) < 0 ? slu_fail_oom(e) : 0;
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
		    (!b->at.suffix && set_endpoint(b, h.conf) < 0) ||
		    set_secret(b, now.kind, host, &h) < 0)
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
