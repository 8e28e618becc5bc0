/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Managed identities: the metadata service of a virtual machine, the endpoint of App Service and its
 * kin, the agent of Azure Arc.
 */
#include "blob/identity_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "io/loop.h"
#include "io/url.h"
#include "io/xfer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PROBE_NS (2 * SLU_SEC)                /* the metadata service is near, or not there */
#define ARC_KEYS "/var/opt/azcmagent/tokens/" /* where the agent of Azure Arc leaves them */
#define ARC_KEY_MAX 4096

/* Asks without proof, for the header in which the agent says which it wants. */
static int challenged(struct slu_identity *id, const char *who, const char *url, char **ret,
		      struct slu_err *e)
{
	const char *headers[] = {"Metadata: true", NULL}, *v;
	struct slu_xfer x = {.method = "GET",
			     .url = url,
			     .headers = headers,
			     .deadline = slu_deadline_in(SLU_IDENTITY_WAIT),
			     .sink = SLU_SINK_NONE,
			     .total = UINT64_MAX};
	int r = slu_xfer_wait(slu_loops_pick(id->loops, "identity", 0), &x);

	v = slu_xfer_header(&x, "www-authenticate");
	if (r == -EREMOTEIO && x.status == 401 && v) {
		*ret = slu_strdup(v);
		r = *ret ? 0 : slu_fail_oom(e);
	} else {
		r = slu_fail(e, EACCES, "%s gave no token: its agent asked for no proof (%d)", who,
			     x.status);
	}
	slu_xfer_done(&x);
	return r;
}

static void add_resource(struct slu_buf *url, const struct slu_identity *id)
{
	slu_buf_str(url, "resource=");
	slu_url_encode(url, id->audience, strlen(id->audience), "");
	slu_buf_str(url, "%2F");
}

/* "&client_id=..." and so on: each endpoint has its own names for them. */
static void add_which(struct slu_buf *url, const struct slu_identity *id, const char *object,
		      const char *resource)
{
	const struct {
		const char *name, *value;
	} which[] = {{"client_id", id->client}, {object, id->object}, {resource, id->resource}};

	for (size_t i = 0; i < 3; i++) {
		if (!which[i].value)
			continue;
		slu_buf_fmt(url, "&%s=", which[i].name);
		slu_url_encode(url, which[i].value, strlen(which[i].value), "");
	}
}

static int app_service(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf url = SLU_BUF(8192);
	SLU_AUTO(slu_freep)
	char *header = slu_asprintf("X-IDENTITY-HEADER: %s", slu_identity_env("IDENTITY_HEADER"));

	slu_buf_fmt(&url, "%s?api-version=2019-08-01&", slu_identity_env("IDENTITY_ENDPOINT"));
	add_resource(&url, id);
	add_which(&url, id, "principal_id", "mi_res_id");
	if (!header || slu_buf_err(&url) < 0)
		return slu_fail_oom(e);
	return slu_identity_ask(id, "the managed identity of the service", url.p,
				(const char *const[]){header, NULL}, NULL, SLU_IDENTITY_WAIT, ret,
				e);
}

/* The agent proves that we are on its machine: it names a file that only its group may read. */
static int arc_key(const char *challenge, struct slu_buf *key, struct slu_err *e)
{
	static const char who[] = "the managed identity of Azure Arc";
	const char *path = challenge ? strstr(challenge, "realm=") : NULL;
	SLU_AUTO(slu_closep) int fd = -1;
	struct stat st;

	path = path ? path + 6 : "";
	if (!slu_starts(path, ARC_KEYS) || strstr(path, "..") || !slu_ends(path, ".key"))
		return slu_fail(e, EACCES, "%s: its agent names no key in '" ARC_KEYS "'", who);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return slu_fail(e, EACCES,
				"%s: '%s' cannot be read: add this user to the group 'himds'", who,
				path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > ARC_KEY_MAX ||
	    slu_buf_read_fd(key, fd) < 0)
		return slu_fail(e, EACCES, "%s: '%s' is no key of its agent", who, path);
	return 0;
}

static int only_the_system(const struct slu_identity *id, const char *who, struct slu_err *e)
{
	if (!id->client && !id->object && !id->resource)
		return 0;
	return slu_fail(e, EINVAL,
			"%s has one identity only: take \"client_id\", \"object_id\" and "
			"\"resource_id\" out of the credential",
			who);
}

static int arc(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	static const char who[] = "the managed identity of Azure Arc";
	SLU_AUTO(slu_buf_done) struct slu_buf url = SLU_BUF(8192), key = SLU_BUF(ARC_KEY_MAX);
	SLU_AUTO(slu_freep) char *challenge = NULL, *header = NULL;
	int r = only_the_system(id, who, e);

	if (r < 0)
		return r;
	slu_buf_fmt(&url, "%s?api-version=2020-06-01&", slu_identity_env("IDENTITY_ENDPOINT"));
	add_resource(&url, id);
	if (slu_buf_err(&url) < 0)
		return slu_fail_oom(e);
	r = challenged(id, who, url.p, &challenge, e);
	if (r == 0)
		r = arc_key(challenge, &key, e);
	if (r < 0)
		return r;
	header = slu_asprintf("Authorization: Basic %s", key.p ? key.p : "");
	r = header ? slu_identity_ask(id, who, url.p,
				      (const char *const[]){"Metadata: true", header, NULL}, NULL,
				      SLU_IDENTITY_WAIT, ret, e)
		   : slu_fail_oom(e);
	if (header)
		explicit_bzero(header, strlen(header));
	if (key.p)
		explicit_bzero(key.p, key.len);
	return r;
}

static int azure_ml(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	static const char who[] = "the managed identity of Azure ML";
	SLU_AUTO(slu_buf_done) struct slu_buf url = SLU_BUF(8192);
	SLU_AUTO(slu_freep)
	char *header = slu_asprintf("secret: %s", slu_identity_env("MSI_SECRET"));

	if (id->object || id->resource)
		return slu_fail(e, EINVAL, "%s is named by its \"client_id\" only", who);
	slu_buf_fmt(&url, "%s?api-version=2017-09-01&", slu_identity_env("MSI_ENDPOINT"));
	add_resource(&url, id);
	if (id->client)
		slu_buf_fmt(&url, "&clientid=%s", id->client);
	if (!header || slu_buf_err(&url) < 0)
		return slu_fail_oom(e);
	return slu_identity_ask(id, who, url.p, (const char *const[]){header, NULL}, NULL,
				SLU_IDENTITY_WAIT, ret, e);
}

static int cloud_shell(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	static const char who[] = "the identity of Cloud Shell";
	static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
					      "Metadata: true", NULL};
	SLU_AUTO(slu_buf_done) struct slu_buf body = SLU_BUF(4096);
	int r = only_the_system(id, who, e);

	if (r < 0)
		return r;
	add_resource(&body, id);
	if (slu_buf_err(&body) < 0)
		return slu_fail_oom(e);
	return slu_identity_ask(id, who, slu_identity_env("MSI_ENDPOINT"), headers, body.p,
				SLU_IDENTITY_WAIT, ret, e);
}

/* Each place sets variables of its own. */
static slu_identity_fetch *of_this_place(void)
{
	bool at = slu_identity_env("IDENTITY_ENDPOINT");

	if (at && slu_identity_env("IDENTITY_HEADER"))
		return app_service;
	if (at && slu_identity_env("IMDS_ENDPOINT"))
		return arc;
	if (slu_identity_env("MSI_ENDPOINT"))
		return slu_identity_env("MSI_SECRET") ? azure_ml : cloud_shell;
	return NULL;
}

int slu_identity_managed(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	const char *host = slu_identity_env("AZURE_POD_IDENTITY_AUTHORITY_HOST");
	SLU_AUTO(slu_buf_done) struct slu_buf url = SLU_BUF(8192);

	if (of_this_place())
		return of_this_place()(id, ret, e);
	slu_buf_fmt(&url, "%s/metadata/identity/oauth2/token?api-version=2018-02-01&",
		    host ? host : SLU_IDENTITY_METADATA);
	add_resource(&url, id);
	add_which(&url, id, "object_id", "msi_res_id");
	if (slu_buf_err(&url) < 0)
		return slu_fail_oom(e);
	return slu_identity_ask(id, "the managed identity of the machine", url.p,
				(const char *const[]){"Metadata: true", NULL}, NULL,
				host ? SLU_IDENTITY_WAIT : PROBE_NS, ret, e);
}
