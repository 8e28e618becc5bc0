/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sources of a token, each a function that asks and waits, in the pool.  A source whose settings are
 * not there answers -ENOENT, so that the default chain can go on to the next.  Nothing here shows what
 * it was given as a secret.
 */
#include "blob/identity_impl.h"

#include "blob/cred_run.h"
#include "blob/jwt.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/loop.h"
#include "io/url.h"
#include "io/xfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MAX (64u << 10)
#define LIFE_UNKNOWN (5 * 60 * SLU_SEC)
#define CERT_MAX (256u << 10)
#define AUDIENCE "https://storage.azure.com" /* of every cloud that Microsoft runs */
#define ASSERTION "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"

/* --- asking --- */

const char *slu_identity_env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

/* A number that some endpoints write as a string; 0 when there is none. */
static int64_t seconds(const struct json_t *o, const char *key)
{
	const char *text = slu_json_str(o, key);
	int64_t n = slu_json_int(o, key, 0);

	if (n <= 0 && text && !slu_i64(text, 0, INT32_MAX * (int64_t)4, &n))
		n = 0;
	return n > 0 && n <= INT32_MAX * (int64_t)4 ? n : 0;
}

/* When the token ends, wall clock ns; 0: it is not told. */
static int64_t ends(const struct json_t *o)
{
	int64_t life = seconds(o, "expires_in"), at = seconds(o, "expires_on"), when;
	const char *text =
		slu_json_str(o, "expiresOn"); /* of the developer CLI; az has no zone in it */

	if (life > 0)
		return slu_wall() + life * SLU_SEC;
	if (at <= 0 && text && slu_time_parse(text, &when))
		return when;
	return at > 0 ? at * SLU_SEC : 0;
}

/* By what the token says of itself, where who gave it did not say. */
static int64_t ends_by_claim(const char *token)
{
	SLU_AUTO(slu_json_freep) struct json_t *claims = slu_jwt_claims(token);
	int64_t at = seconds(claims, "exp");

	return at > 0 ? at * SLU_SEC : slu_wall() + LIFE_UNKNOWN;
}

/* "b64token" of RFC 6750: nothing else may come into a header. */
static bool is_token(const char *text)
{
	return *text && !text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvw"
					   "xyz0123456789-._~+/=")];
}

int slu_identity_read(const char *json, size_t n, const char *who, struct slu_token *ret,
		      struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const char *text;

	if (slu_json_parse(json, n, who, &o, NULL) < 0 || !slu_json_is_object(o))
		return slu_fail(e, EPROTO, "%s answered with something that is no token", who);
	text = slu_json_str(o, "access_token");
	if (!text)
		text = slu_json_str(o, "accessToken");
	if (!text)
		text = slu_json_str(o, "token");
	if (!text || !is_token(text))
		return slu_fail(e, EPROTO, "%s answered without a token", who);
	ret->ends = ends(o);
	if (!ret->ends)
		ret->ends = ends_by_claim(text);
	ret->text = slu_strdup(text);
	return ret->text ? 0 : slu_fail_oom(e);
}

/* What the authority says in other words than its own. */
static const char *remedy(const char *text)
{
	static const struct {
		const char *code, *say;
	} known[] = {
		{"AADSTS7000215",
		 "the client secret is wrong: put the value of a valid one in its place"},
		{"AADSTS7000222", "the client secret has expired: make a new one"},
		{"AADSTS700016", "no such application in this tenant: correct the client id"},
		{"AADSTS90002", "no such tenant: correct the tenant id"},
		{"AADSTS900023", "no such tenant: correct the tenant id"},
		{"AADSTS700024", "the federated token has expired or is not valid yet"},
		{"AADSTS70021", "no federated credential of the application fits this token"},
		{"AADSTS700027", "the certificate is not one of the application"},
		{"Identity not found", "no such identity is assigned to this machine"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strstr(text, known[i].code))
			return known[i].say;
	return NULL;
}

static int refused(const struct slu_xfer *x, const char *who, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const char *text = NULL;
	size_t n;

	if (x->errbody.len && slu_json_parse(x->errbody.p, x->errbody.len, who, &o, NULL) == 0)
		text = slu_json_str(o, "error_description");
	if (!text)
		text = "no reason given";
	n = strcspn(text, "\r\n");
	if (n > 200)
		n = 200;
	return slu_fail(e, x->status == 404 || x->status >= 500 ? EIO : EACCES,
			"%s gave no token: %s (%d, %.*s)", who,
			remedy(text) ? remedy(text) : "see what it says", x->status, (int)n, text);
}

int slu_identity_ask(struct slu_identity *id, const char *who, const char *url,
		     const char *const *headers, const char *body, int64_t wait,
		     struct slu_token *ret, struct slu_err *e)
{
	static const char *const form[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
	bool near =
		slu_starts(url, "http://169.254."); /* on this machine: in the clear, no proxy */
	struct slu_xfer x = {.method = body ? "POST" : "GET",
			     .url = url,
			     .headers = headers ? headers : form,
			     .body = body,
			     .body_len = body ? strlen(body) : 0,
			     .plain_ok = near,
			     .proxy = near ? "" : NULL,
			     .deadline = slu_deadline_in(wait),
			     .connect_ns = wait < 10 * SLU_SEC ? wait : 0,
			     .sink = SLU_SINK_BUF,
			     .total = UINT64_MAX,
			     .resp = SLU_BUF(ANSWER_MAX)};
	int r = slu_xfer_wait(slu_loops_pick(id->loops, "identity", 0), &x);

	if (r == 0) {
		r = slu_identity_read(x.resp.p ? x.resp.p : "", x.resp.len, who, ret, e);
	} else if (r == -EREMOTEIO) {
		r = refused(&x, who, e);
	} else if (e) {
		*e = x.err;
		slu_fail_more(e, "%s gave no token", who);
	}
	if (x.resp.p)
		explicit_bzero(x.resp.p, x.resp.len);
	slu_xfer_done(&x);
	return r;
}

static void add_endpoint(const struct slu_identity *id, const char *tenant, struct slu_buf *url)
{
	SLU_AUTO(slu_freep) char *authority = slu_identity_authority(id);

	if (!authority) {
		url->err = ENOMEM;
		return;
	}
	slu_buf_fmt(url, "%s/", authority);
	slu_url_encode(url, tenant, strlen(tenant), "");
	slu_buf_str(url, "/oauth2/v2.0/token");
}

/* POSTs to the token endpoint of a tenant; proof: "client_secret=..." encoded. */
static int ask_authority(struct slu_identity *id, const char *who, const char *tenant,
			 const char *client, const char *proof, struct slu_token *ret,
			 struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf url = SLU_BUF(4096), body = SLU_BUF(64u << 10);
	int r;

	add_endpoint(id, tenant, &url);
	slu_buf_str(&body, "grant_type=client_credentials&scope=");
	slu_url_encode(&body, id->audience, strlen(id->audience), "");
	slu_buf_str(&body, "%2F.default&client_id=");
	slu_url_encode(&body, client, strlen(client), "");
	slu_buf_fmt(&body, "&%s", proof);
	if (slu_buf_err(&url) < 0 || slu_buf_err(&body) < 0)
		return slu_fail(e, EINVAL, "%s: its settings are too long", who);
	r = slu_identity_ask(id, who, url.p, NULL, body.p, SLU_IDENTITY_WAIT, ret, e);
	explicit_bzero(body.p, body.len);
	return r;
}

/* --- secrets --- */

/* What a reference leads to. */
static int read_whole(const char *ref, const char *who, struct slu_buf *b, struct slu_err *e)
{
	const char *arg;
	struct stat st;

	if ((arg = slu_after(ref, "env:"))) {
		if (!slu_identity_env(arg))
			return slu_fail(e, ENOENT, "%s: the environment variable '%s' is not set",
					who, arg);
		slu_buf_str(b, slu_identity_env(arg));
		return slu_buf_err(b) < 0 ? slu_fail(e, EINVAL, "%s: its secret is too long", who)
					  : 0;
	}
	if ((arg = slu_after(ref, "file:"))) {
		if (stat(arg, &st) == 0 && st.st_mode & 077)
			return slu_fail(e, EACCES,
					"%s: others may read '%s': make it private with `chmod "
					"600`",
					who, arg);
		return slu_buf_read_file(b, arg, e);
	}
	return slu_cred_run(slu_after(ref, "cmd:"), who, b, e);
}

/* Of a text: without blanks behind it. */
static int read_secret(const char *ref, const char *who, struct slu_buf *b, struct slu_err *e)
{
	int r = read_whole(ref, who, b, e);

	while (r == 0 && b->len && strchr(" \t\r\n", b->p[b->len - 1]))
		b->p[--b->len] = '\0';
	if (r == 0 && !b->len)
		return slu_fail(e, EINVAL, "%s: its secret is empty", who);
	return r;
}

static int with_proof(struct slu_identity *id, const char *who, const char *tenant,
		      const char *client, const char *name, struct slu_buf *secret,
		      struct slu_token *ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf proof = SLU_BUF(60u << 10);
	int r;

	slu_buf_str(&proof, name);
	slu_url_encode(&proof, secret->p, secret->len, "");
	r = slu_buf_err(&proof) < 0 ? slu_fail(e, EINVAL, "%s: its secret is too long", who)
				    : ask_authority(id, who, tenant, client, proof.p, ret, e);
	if (proof.p)
		explicit_bzero(proof.p, proof.len);
	explicit_bzero(secret->p, secret->len);
	return r;
}

/* --- the sources --- */

/* By a certificate: what proves it is made anew for each token. */
static int with_certificate(struct slu_identity *id, const char *who, const char *tenant,
			    const char *client, const struct slu_buf *file, const char *password,
			    struct slu_token *ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf proof = SLU_BUF(60u << 10), url = SLU_BUF(4096);
	SLU_AUTO(slu_cert_freep) struct slu_cert *cert = NULL;
	char *jwt = NULL;
	int r = slu_cert_read(file->p ? file->p : "", file->len, password, who, &cert, e);

	add_endpoint(id, tenant, &url);
	if (r == 0)
		r = slu_buf_err(&url) < 0 ? slu_fail_oom(e)
					  : slu_jwt_assertion(cert, client, url.p, &jwt, e);
	if (r < 0)
		return r;
	slu_buf_fmt(&proof, "client_assertion_type=%s&client_assertion=%s", ASSERTION, jwt);
	r = slu_buf_err(&proof) < 0 ? slu_fail_oom(e)
				    : ask_authority(id, who, tenant, client, proof.p, ret, e);
	explicit_bzero(jwt, strlen(jwt));
	free(jwt);
	if (proof.p)
		explicit_bzero(proof.p, proof.len);
	return r;
}

static int principal_by_certificate(struct slu_identity *id, const char *who, struct slu_token *ret,
				    struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf file = SLU_BUF(CERT_MAX);
	SLU_AUTO(slu_buf_done) struct slu_buf password = SLU_BUF(SLU_CRED_TEXT_MAX);
	int r = read_whole(id->cert_ref, who, &file, e);

	if (r == 0 && id->cert_password_ref)
		r = read_secret(id->cert_password_ref, who, &password, e);
	if (r == 0)
		r = with_certificate(id, who, id->tenant, id->client, &file, password.p, ret, e);
	if (file.p)
		explicit_bzero(file.p, file.len);
	if (password.p)
		explicit_bzero(password.p, password.len);
	return r;
}

static int principal(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	static const char who[] = "the service principal";
	SLU_AUTO(slu_buf_done) struct slu_buf secret = SLU_BUF(SLU_CRED_TEXT_MAX);
	const char *name = id->assertion_ref ? "client_assertion_type=" ASSERTION
					       "&client_assertion="
					     : "client_secret=";
	int r;

	if (id->cert_ref)
		return principal_by_certificate(id, who, ret, e);
	r = read_secret(id->assertion_ref ? id->assertion_ref : id->secret_ref, who, &secret, e);
	return r < 0 ? r : with_proof(id, who, id->tenant, id->client, name, &secret, ret, e);
}

static int environment_certificate(struct slu_identity *id, const char *who, struct slu_token *ret,
				   struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf file = SLU_BUF(CERT_MAX);
	int r = slu_buf_read_file(&file, slu_identity_env("AZURE_CLIENT_CERTIFICATE_PATH"), e);

	if (r == 0)
		r = with_certificate(id, who, slu_identity_env("AZURE_TENANT_ID"),
				     slu_identity_env("AZURE_CLIENT_ID"), &file,
				     slu_identity_env("AZURE_CLIENT_CERTIFICATE_PASSWORD"), ret, e);
	if (file.p)
		explicit_bzero(file.p, file.len);
	return r;
}

static int environment(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	static const char who[] = "the service principal of the environment";
	SLU_AUTO(slu_buf_done) struct slu_buf secret = SLU_BUF(SLU_CRED_TEXT_MAX);
	const char *tenant = slu_identity_env("AZURE_TENANT_ID"),
		   *client = slu_identity_env("AZURE_CLIENT_ID");

	if (tenant && client && !slu_identity_env("AZURE_CLIENT_SECRET") &&
	    slu_identity_env("AZURE_CLIENT_CERTIFICATE_PATH"))
		return environment_certificate(id, who, ret, e);
	if (!tenant || !client || !slu_identity_env("AZURE_CLIENT_SECRET"))
		return slu_fail(e, ENOENT,
				"%s: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (or "
				"AZURE_CLIENT_CERTIFICATE_PATH) are not all set",
				who);
	slu_buf_str(&secret, slu_identity_env("AZURE_CLIENT_SECRET"));
	if (slu_buf_err(&secret) < 0)
		return slu_fail(e, EINVAL, "%s: its secret is too long", who);
	return with_proof(id, who, tenant, client, "client_secret=", &secret, ret, e);
}

/* The file is replaced every hour or so: it is read each time. */
static int workload(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	static const char who[] = "the workload identity";
	SLU_AUTO(slu_buf_done) struct slu_buf token = SLU_BUF(SLU_CRED_TEXT_MAX);
	const char *file = slu_identity_env("AZURE_FEDERATED_TOKEN_FILE"),
		   *tenant = slu_identity_env("AZURE_TENANT_ID");
	const char *client = id->client ? id->client : slu_identity_env("AZURE_CLIENT_ID");
	int r;

	if (!file || !tenant || !client)
		return slu_fail(
			e, ENOENT,
			"%s: AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID and AZURE_CLIENT_ID "
			"are not all set",
			who);
	r = slu_buf_read_file(&token, file, e);
	if (r < 0)
		return r;
	while (token.len && strchr(" \t\r\n", token.p[token.len - 1]))
		token.len--;
	if (!token.len)
		return slu_fail(e, EINVAL, "%s: '%s' is empty", who, file);
	return with_proof(id, who, tenant, client,
			  "client_assertion_type=" ASSERTION "&client_assertion=", &token, ret, e);
}

static int by_program(const char *command, const char *who, const char *sign_in,
		      struct slu_token *ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(ANSWER_MAX);
	struct slu_err why = {0};
	int r = slu_cred_run(command, who, &b, &why);

	if (r == -ENOENT)
		return slu_fail(e, ENOENT, "%s is not installed", who);
	if (r < 0)
		return slu_fail(e, EACCES, "%s gave no token: sign in with `%s` (%s)", who, sign_in,
				why.msg);
	r = slu_identity_read(b.p ? b.p : "", b.len, who, ret, e);
	if (b.p)
		explicit_bzero(b.p, b.len);
	return r;
}

static int az_cli(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	static const char fine[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/._-";
	SLU_AUTO(slu_freep)
	char *command = slu_asprintf("az account get-access-token --resource %s/ --output json",
				     id->audience);

	if (!command)
		return slu_fail_oom(e);
	if (id->audience[strspn(id->audience, fine)])
		return slu_fail(e, EINVAL, "the audience '%s' is no URI", id->audience);
	return by_program(command, "the Azure CLI", "az login", ret, e);
}

static int azd_cli(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	(void)id;
	return by_program("azd auth token --output json --scope "
			  "https://storage.azure.com/.default",
			  "the Azure Developer CLI", "azd auth login", ret, e);
}

/* A token, or the JSON in which a program gives one, that somebody else keeps fresh. */
static int given(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	static const char who[] = "the token's source";
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_CRED_TEXT_MAX);
	struct slu_token t = {0};
	int r = read_secret(id->token_ref, who, &b, e);

	if (r == 0 && *b.p == '{') {
		r = slu_identity_read(b.p, b.len, who, &t, e);
	} else if (r == 0 && !is_token(b.p)) {
		r = slu_fail(e, EINVAL, "%s leads to something that is no token", who);
	} else if (r == 0) {
		t = (struct slu_token){.text = slu_strdup(b.p), .ends = ends_by_claim(b.p)};
		r = t.text ? 0 : slu_fail_oom(e);
	}
	if (r == 0 && t.ends <= slu_wall())
		r = slu_fail(e, EACCES, "%s leads to a token that has expired", who);
	if (b.p)
		explicit_bzero(b.p, b.len);
	if (r < 0)
		slu_token_done(&t);
	else
		*ret = t;
	return r;
}

/* The first that answers; why each of the others did not is the error.  An application that was given and is
 * refused ends the search: to go on as somebody else would be a surprise. */
static int chain(struct slu_identity *id, struct slu_token *ret, struct slu_err *e)
{
	static const struct slu_identity_source links[] = {
		{"the environment", environment},
		{"a workload identity", workload},
		{"a managed identity", slu_identity_managed},
		{"the Azure CLI", az_cli},
		{"the Azure Developer CLI", azd_cli}};
	SLU_AUTO(slu_buf_done) struct slu_buf all = SLU_BUF(4096);

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		struct slu_err why = {0};
		int r = links[i].fetch(id, ret, &why);

		if (r == 0) {
			atomic_store(&id->link, links[i].name);
			return 0;
		}
		if (r != -ENOENT && (links[i].fetch == environment || links[i].fetch == workload)) {
			if (e)
				*e = why;
			return r;
		}
		slu_debug("identity", "%s", why.msg);
		slu_buf_fmt(&all, "%s%s", i ? "; " : "", why.msg);
	}
	return slu_fail(e, EACCES, "nobody to sign in as: %s", all.p ? all.p : "");
}

/* --- the identity --- */

static const struct slu_identity_source sources[] = {
	{"service_principal", principal},
	{"workload_identity", workload},
	{"managed_identity", slu_identity_managed},
	{"az_cli", az_cli},
	{"azd_cli", azd_cli},
	{"token", given},
	{"default", chain},
};

static const struct slu_identity_source *find(const struct json_t *credential)
{
	const char *name = slu_json_is_object(credential) ? slu_json_str(credential, "type")
							  : slu_json_string(credential);

	for (size_t i = 0; name && i < sizeof(sources) / sizeof(sources[0]); i++)
		if (slu_streq(sources[i].name, name))
			return &sources[i];
	return NULL;
}

bool slu_identity_is(const struct json_t *credential)
{
	return find(credential);
}

const char *slu_identity_authority_of(const char *suffix)
{
	if (suffix && slu_ends(suffix, "usgovcloudapi.net"))
		return "https://login.microsoftonline.us";
	if (suffix && slu_ends(suffix, "chinacloudapi.cn"))
		return "https://login.chinacloudapi.cn";
	return "https://login.microsoftonline.com";
}

static char *absolute(const char *ref, const char *dir)
{
	const char *path = slu_after(ref, "file:");

	return path && *path != '/' ? slu_asprintf("file:%s/%s", dir, path) : slu_strdup(ref);
}

static int fetch_any(void *arg, struct slu_token *ret, struct slu_err *e)
{
	struct slu_identity *id = arg;

	return id->source->fetch(id, ret, e);
}

/* A reference of the entry. */
static bool copy_ref(char **to, const struct json_t *o, const char *key, const char *dir)
{
	const char *ref = slu_json_is_object(o) ? slu_json_str(o, key) : NULL;

	*to = ref ? absolute(ref, dir) : NULL;
	return !ref || *to;
}

static bool copy(char **to, const struct json_t *o, const char *key)
{
	const char *v = slu_json_is_object(o) ? slu_json_str(o, key) : NULL;

	*to = slu_strdup(v);
	return !v || *to;
}

static bool copy_audience(struct slu_identity *id, const struct json_t *o)
{
	const char *v = slu_json_is_object(o) ? slu_json_str(o, "audience") : NULL;
	size_t n;

	v = v ? v : AUDIENCE;
	for (n = strlen(v); n && v[n - 1] == '/'; n--)
		;
	id->audience = slu_strndup(v, n);
	return id->audience;
}

/* What the entry says. */
static bool copy_entry(struct slu_identity *id, const struct json_t *o, const char *dir)
{
	const struct {
		const char *key;
		char **to;
		bool ref;
	} all[] = {{"tenant_id", &id->tenant, false},
		   {"client_id", &id->client, false},
		   {"object_id", &id->object, false},
		   {"resource_id", &id->resource, false},
		   {"client_secret", &id->secret_ref, true},
		   {"certificate", &id->cert_ref, true},
		   {"certificate_password", &id->cert_password_ref, true},
		   {"client_assertion", &id->assertion_ref, true},
		   {"token", &id->token_ref, true}};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].ref ? !copy_ref(all[i].to, o, all[i].key, dir)
			       : !copy(all[i].to, o, all[i].key))
			return false;
	return copy_audience(id, o);
}

int slu_identity_new(const struct json_t *credential, const char *dir, const char *suffix,
		     struct slu_loops *loops, struct slu_pool *pool, struct slu_identity **ret,
		     struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *job = NULL;
	struct slu_identity *id;
	const char *url;
	bool ok;
	int r = slu_identity_replace(credential, &job, e);

	if (r < 0)
		return r;
	credential = job ? job : credential;
	id = slu_new0(struct slu_identity);
	if (!id)
		return slu_fail_oom(e);
	id->source = find(credential);
	id->loops = loops;
	url = slu_json_is_object(credential) ? slu_json_str(credential, "authority_url") : NULL;
	id->authority = slu_strdup(url ? url : slu_identity_authority_of(suffix));
	ok = id->authority && copy_entry(id, credential, dir) &&
	     slu_tokens_new(pool, fetch_any, id, &id->tokens) == 0;
	if (!ok) {
		slu_identity_free(id);
		return slu_fail_oom(e);
	}
	*ret = id;
	return 0;
}

void slu_identity_free(struct slu_identity *id)
{
	if (!id)
		return;
	slu_tokens_free(id->tokens);
	free(id->tenant);
	free(id->client);
	free(id->object);
	free(id->resource);
	free(id->secret_ref);
	free(id->cert_ref);
	free(id->cert_password_ref);
	free(id->assertion_ref);
	free(id->token_ref);
	free(id->authority);
	free(id->audience);
	free(id);
}

struct slu_tokens *slu_identity_tokens(struct slu_identity *id)
{
	return id->tokens;
}

char *slu_identity_authority(const struct slu_identity *id)
{
	const char *authority = slu_identity_env("AZURE_AUTHORITY_HOST");
	size_t n;

	if (!authority)
		authority = id->authority;
	for (n = strlen(authority); n && authority[n - 1] == '/'; n--)
		;
	return slu_asprintf("%s%.*s", strstr(authority, "://") ? "" : "https://", (int)n,
			    authority);
}

const char *slu_identity_secret_ref(const struct slu_identity *id)
{
	return id->secret_ref;
}

const char *slu_identity_type(const struct slu_identity *id)
{
	return id->source->name;
}

const char *slu_identity_link(const struct slu_identity *id)
{
	return atomic_load(&id->link);
}
