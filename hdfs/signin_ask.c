/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a server of WebHDFS to sign in there, and about tokens (signin_impl.h).  Every request here carries
 * a token of SPNEGO of its own.  Blocks: pool threads only.
 */
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/errors.h"
#include "hdfs/request.h"
#include "hdfs/signin_impl.h"
#include "io/crypt.h"
#include "io/gss.h"
#include "io/loop.h"
#include "io/xfer.h"

#include <errno.h>
#include <string.h>

#define ASK_NS (30 * SLU_SEC)
#define CANCEL_NS (3 * SLU_SEC)
#define GSS_MAX (64u << 10)

static void wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(slu_take(*s));
}

/* The host of a base, without port and brackets. */
static char *host_of(const char *base)
{
	const char *host = strstr(base, "://");
	size_t n;

	host = host ? host + 3 : base;
	if (*host == '[')
		return slu_strndup(host + 1, strcspn(host + 1, "]"));
	n = strcspn(host, ":/");
	return slu_strndup(host, n);
}

/* "Authorization: Negotiate ..." for the server at base. */
static int negotiate(struct slu_signin *s, const char *base, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf said = SLU_BUF(GSS_MAX);
	SLU_AUTO(slu_gss_endp) struct slu_gss_ctx *c = NULL;
	SLU_AUTO(slu_freep) char *host = host_of(base);
	SLU_AUTO(slu_freep) char *text = NULL;
	bool done;
	int r;

	if (!host)
		return slu_fail_oom(e);
	r = slu_gss_begin(s->gss, "HTTP", host, SLU_GSS_SPNEGO, SLU_GSS_MUTUAL, &c, e);
	if (r == 0)
		r = slu_gss_step(c, NULL, 0, &said, &done, e);
	if (r < 0)
		return r;
	text = slu_base64(said.p ? said.p : "", said.len);
	*ret = text ? slu_asprintf("Authorization: Negotiate %s", text) : NULL;
	if (text)
		explicit_bzero(text, strlen(text));
	return *ret ? 0 : slu_fail_oom(e);
}

/* One request; x is to be freed by slu_xfer_done.  query: "op=...". */
static int ask(struct slu_signin *s, const char *base, const char *method, const char *query,
	       int64_t deadline, struct slu_xfer *x, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *url = slu_asprintf("%s/?%s", base, query);
	SLU_AUTO(slu_freep) char *auth = NULL;
	int r = negotiate(s, base, &auth, e);
	const char *headers[] = {auth, s->csrf, NULL};

	*x = (struct slu_xfer){.method = method, .resp = SLU_BUF(1u << 20)};
	if (r < 0)
		return r;
	if (!url)
		return slu_fail_oom(e);
	x->url = url;
	x->headers = headers;
	x->sink = SLU_SINK_BUF;
	x->ca_file = s->ca_file;
	x->plain_ok = s->plain_ok;
	x->deadline = deadline;
	r = slu_xfer_wait(slu_loops_pick(s->loops, base, 0), x);
	if (r == -EREMOTEIO)
		r = slu_hdfs_error(x->errbody.p, x->errbody.len, x->status, e);
	else if (r < 0 && e)
		*e = x->err;
	explicit_bzero(auth, strlen(auth));
	explicit_bzero(url, strlen(url)); /* a token may be in it */
	x->url = NULL;
	x->headers = NULL;
	return r;
}

/* The cookie that says who we are; NULL: none was given. */
static char *cookie_of(const struct slu_xfer *x)
{
	const char *value, *at = NULL;

	while ((at = slu_xfer_next_header(x, "set-cookie", at, &value)))
		if (slu_starts(value, "hadoop.auth=") && value[12] && value[12] != ';' &&
		    !slu_starts(value + 12, "\"\""))
			return slu_asprintf("Cookie: %.*s", (int)strcspn(value, ";"), value);
	return NULL;
}

/* It was signed in, and answered; who is unknown to it gets no cookie. */
static int take_cookie(const struct slu_xfer *x, const char *base, char **ret, struct slu_err *e)
{
	*ret = cookie_of(x);
	if (*ret)
		return 0;
	return slu_fail(e, EACCES,
			"'%s' does not ask for Kerberos, so nobody proves who is who: if that is "
			"as it should be, remove \"kerberos\" from the datastore",
			base);
}

static int refused(struct slu_signin *s, const char *base, int r, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *principal = NULL;
	SLU_AUTO(slu_freep) char *why = NULL;
	int64_t left;

	if (!e || (e->http != 401 && e->http != 403))
		return r;
	if (slu_gss_whoami(s->gss, &principal, &left, NULL) < 0)
		return r;
	why = slu_strdup(e->http == 401 || strstr(e->msg, "answered with status") ? "" : e->msg);
	return slu_fail(
		e, EACCES,
		"'%s' does not take the Kerberos ticket of '%s'%s%s (set the clocks alike, name "
		"the server as its HTTP principal does, and check its keytab)",
		base, principal, why && *why ? ": " : "", why ? why : "");
}

static char *token_of(const struct slu_xfer *x)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;

	if (slu_json_parse(x->resp.p ? x->resp.p : "", x->resp.len, "the answer", &j, NULL) < 0)
		return NULL;
	return slu_strdup(slu_json_str(slu_json_get(j, "Token"), "urlString"));
}

/* After a token was asked for, with r as the result: a server may have none and still know us. */
static int take_token(const struct slu_xfer *x, const char *base, int r, struct slu_signin_got *ret,
		      const struct slu_err *e)
{
	ret->asked = true;
	if (r == 0)
		ret->token = token_of(x);
	ret->cookie = cookie_of(x);
	if (r == 0 || !ret->cookie)
		return r;
	slu_debug("hdfs", "'%s' gives no delegation token: %s", base, e->msg);
	return 0;
}

int slu_signin_ask(struct slu_signin *s, const char *base, bool token, struct slu_signin_got *ret,
		   struct slu_err *e)
{
	struct slu_xfer x;
	bool again;
	int r = ask(s, base, "GET", token ? "op=GETDELEGATIONTOKEN" : "op=GETHOMEDIRECTORY",
		    slu_deadline_in(ASK_NS), &x, e);

	if (token)
		r = take_token(&x, base, r, ret, e);
	again = token && r == 0 && ret->token && !ret->cookie; /* HttpFS sets none with a token */
	if (r == 0 && !ret->cookie && !again)
		r = take_cookie(&x, base, &ret->cookie, e);
	else if (r < 0)
		r = refused(s, base, r, e);
	if (x.resp.p)
		explicit_bzero(x.resp.p, x.resp.len);
	slu_xfer_done(&x);
	return again ? slu_signin_ask(s, base, false, ret, e) : r;
}

int slu_signin_renew(struct slu_signin *s, const char *base, const char *token, int64_t *ret_until,
		     struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	char *query = slu_hdfs_query("op=RENEWDELEGATIONTOKEN&token=", token);
	struct slu_xfer x;
	int64_t ms = 0;
	int r;

	if (!query)
		return slu_fail_oom(e);
	r = ask(s, base, "PUT", query, slu_deadline_in(ASK_NS), &x, e);
	wipe(&query);
	if (r == 0)
		r = slu_json_parse(x.resp.p ? x.resp.p : "", x.resp.len, "the answer", &j, e);
	if (r == 0)
		ms = slu_json_int(j, "long", 0);
	if (r == 0 && (ms <= 0 || ms > INT64_MAX / SLU_MS))
		r = slu_fail(e, EPROTO, "the server does not say until when");
	if (r == 0)
		*ret_until = ms * SLU_MS;
	slu_xfer_done(&x);
	return r;
}

void slu_signin_cancel(struct slu_signin *s, const char *base, const char *token)
{
	char *query = slu_hdfs_query("op=CANCELDELEGATIONTOKEN&token=", token);
	struct slu_err e = {0};
	struct slu_xfer x;

	if (!query)
		return;
	if (ask(s, base, "PUT", query, slu_deadline_in(CANCEL_NS), &x, &e) < 0)
		slu_debug("hdfs", "a delegation token was not cancelled: %s", e.msg);
	wipe(&query);
	slu_xfer_done(&x);
}
