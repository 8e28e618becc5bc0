/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `sluice doctor` tells of a container: as whom we sign in, what the token or the SAS says of itself, how
 * far the clocks are apart.  Nothing is believed here that the service has to judge, and no secret is told.
 */
#include "blob/call.h"
#include "blob/cred.h"
#include "blob/errors.h"
#include "blob/jwt.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/loop.h"

#include <errno.h>
#include <string.h>

#define ASK_NS (10 * SLU_SEC)

static int set_time(struct json_t *o, const char *key, int64_t at)
{
	char text[SLU_TIME_LEN];

	slu_time_fmt(text, at);
	return slu_json_set_str(o, key, text);
}

/* Claims that name somebody or an end: the others are nobody's business. */
static int set_token(struct json_t *ret, const char *token)
{
	static const struct {
		const char *claim, *key;
	} shown[] = {{"aud", "token_audience"},
		     {"oid", "token_object_id"},
		     {"appid", "token_client_id"},
		     {"azp", "token_client_id"},
		     {"tid", "token_tenant_id"}};
	SLU_AUTO(slu_json_freep) struct json_t *claims = slu_jwt_claims(token);
	int64_t exp = slu_json_int(claims, "exp", 0);
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(shown) / sizeof(shown[0]); i++)
		if (slu_json_str(claims, shown[i].claim))
			r = slu_json_set_str(ret, shown[i].key,
					     slu_json_str(claims, shown[i].claim));
	if (r == 0 && exp > 0 && exp < INT32_MAX * (int64_t)4)
		r = set_time(ret, "token_ends", exp * SLU_SEC);
	return r;
}

/* The value of a parameter; it is of a few small letters, else it is not shown. */
static int set_parameter(struct json_t *ret, const char *sas, const char *name, const char *key)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	size_t len = strlen(name);

	for (const char *p = sas; p; p = strchr(p, '&')) {
		p += *p == '&';
		if (strncmp(p, name, len) != 0 || p[len] != '=')
			continue;

		size_t n = strspn(p + len + 1, letters);
		SLU_AUTO(slu_freep) char *v = slu_strndup(p + len + 1, n);

		if (!v)
			return -ENOMEM;
		return n <= 16 && (p[len + 1 + n] == '&' || !p[len + 1 + n])
			       ? slu_json_set_str(ret, key, v)
			       : 0;
	}
	return 0;
}

static int set_sas(struct json_t *ret, const char *sas)
{
	int64_t at = slu_blob_sas_ends(sas);
	bool delegated = slu_starts(sas, "skoid=") || strstr(sas, "&skoid=");
	const char *kind = slu_starts(sas, "ss=") || strstr(sas, "&ss=") ? "account SAS"
			   : delegated                                   ? "user delegation SAS"
									 : "service SAS";
	int r = slu_json_set_str(ret, "credential", kind);

	if (r == 0)
		r = set_parameter(ret, sas, "sp", "sas_permissions");
	if (r == 0)
		r = set_parameter(ret, sas, "srt", "sas_resource_types");
	return r == 0 && at ? set_time(ret, "sas_ends", at) : r;
}

static int set_secret(struct json_t *ret, const struct slu_blob_secret *s, const char *token)
{
	if (token)
		return set_token(ret, token);
	if (s->kind == SLU_BLOB_SAS)
		return set_sas(ret, s->sas);
	return slu_json_set_str(ret, "credential",
				s->kind == SLU_BLOB_KEY ? "account key" : "anonymous");
}

/* Where it is; a command's line may itself hold something secret. */
static int set_reference(const struct slu_blob *b, struct json_t *ret)
{
	if (!b->cred_ref)
		return 0;
	return slu_json_set_str(ret, "reference",
				slu_starts(b->cred_ref, "cmd:") ? "cmd:..." : b->cred_ref);
}

/* Any answer has a date, also one that refuses us. */
static int set_clock(struct slu_blob *b, struct json_t *ret)
{
	SLU_AUTO(slu_freep)
	char *url = slu_asprintf("%s/%s?restype=container", b->at.base, b->at.container);
	struct slu_xfer x = {.method = "HEAD",
			     .url = url,
			     .ca_file = b->ca_file,
			     .proxy = b->proxy,
			     .plain_ok = slu_starts(b->at.base, "http://"),
			     .deadline = slu_deadline_in(ASK_NS),
			     .sink = SLU_SINK_NONE,
			     .total = UINT64_MAX};
	struct slu_blob_fault f = {0};
	int r = 0;

	if (!url)
		return -ENOMEM;
	if (slu_xfer_wait(slu_loops_pick(b->loops, "inspect", 0), &x) == -EREMOTEIO || !x.rc) {
		slu_blob_fault_read(&x, &f);
		r = slu_json_set_int(ret, "clock_ahead_ms", f.skew_ns / SLU_MS);
	}
	slu_xfer_done(&x);
	return r;
}

int slu_blob_inspect(struct slu_store *s, struct json_t *ret, struct slu_err *e)
{
	struct slu_blob *b = (struct slu_blob *)s;
	struct slu_blob_secret now = {0};
	char *token = NULL;
	int r = slu_json_set_str(ret, "namespace", b->hierarchical ? "hierarchical" : "flat"), rs;

	if (r == 0)
		r = set_reference(b, ret);
	if (r == 0 && b->identity)
		r = slu_json_set_str(ret, "credential", slu_identity_type(b->identity));
	if (r == 0)
		r = set_clock(b, ret);
	if (r < 0)
		return slu_fail_oom(e);
	rs = slu_blob_wait_secret(b, &now, &token, e);
	if (rs == 0 && set_secret(ret, &now, token) < 0)
		rs = slu_fail_oom(e);
	if (rs == 0 && b->identity && slu_identity_link(b->identity) &&
	    slu_json_set_str(ret, "link", slu_identity_link(b->identity)) < 0)
		rs = slu_fail_oom(e);
	slu_blob_secret_done(&now);
	if (token)
		explicit_bzero(token, strlen(token));
	free(token);
	return rs;
}
