/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kerberos (gss.h).  libcurl could negotiate by itself, but it would ask the KDC while its loop waits, and only ever
 * as the process's default principal; so tokens are made here, on threads that may wait.  Tickets by keytab are got with
 * libkrb5, into a cache in memory that has a name of its own: GSS-API would do it as well ("client_keytab"), but says of
 * what goes wrong only that there is no cache.
 */
#include "io/gss.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

#ifdef HAVE_GSSAPI
#include "common/time.h"
#include "io/crypt.h"

#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <pthread.h>
#include <stdatomic.h>

#define LEAST_S                                                                                    \
	300 /* tickets that end so soon are got anew; and those that are past half of their life */

struct slu_gss {
	atomic_uint refs;
	char *principal, *keytab, *password, *ccache, *source;
	pthread_mutex_t lock; /* one asks the KDC at a time; guards what follows */
	krb5_context k;       /* NULL: tickets are not ours to get */
	krb5_ccache own;      /* what they are got into; its name is ccache */
	int64_t renew, ends;  /* wall clock, s; 0: there are none yet */
};

struct slu_gss_ctx {
	gss_ctx_id_t ctx;
	gss_cred_id_t cred;
	gss_name_t target;
	gss_OID mech;
	OM_uint32 flags;
	char *service, *host;
};

static gss_OID_desc spnego_mech = {6, (void *)"\x2b\x06\x01\x05\x05\x02"};
static gss_OID_desc krb5_mech = {9, (void *)"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"};

/* --- what went wrong --- */

static const struct {
	long minor;
	int code;
	const char *remedy;
} remedies[] = {
	{KRB5KRB_AP_ERR_SKEW, EACCES,
	 "the clocks of this machine and of the KDC differ too much: set the clock"},
	{KRB5KRB_AP_ERR_TKT_NYV, EACCES,
	 "the ticket is not valid yet: set the clock of this machine"},
	{KRB5KRB_AP_ERR_TKT_EXPIRED, EACCES,
	 "the ticket has expired: run kinit, or give the datastore a keytab"},
	{KRB5_REALM_UNKNOWN, EACCES,
	 "no KDC of this realm is known: correct the principal, or name the KDC in krb5.conf"},
	{KRB5_REALM_CANT_RESOLVE, EHOSTUNREACH,
	 "the KDC that krb5.conf names has no address: correct it there"},
	{KRB5_KDC_UNREACH, EHOSTUNREACH,
	 "correct the realm's KDC in krb5.conf, or check the network"},
	{KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN, EACCES,
	 "correct the principal, or have it added at the KDC"},
	{KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN, EACCES,
	 "name the server as its principal does, and set rdns = false in krb5.conf if a "
	 "reverse look-up changes the name"},
	{KRB5_KT_NOTFOUND, EACCES,
	 "the keytab has no key of this principal: list it with klist -k"},
	{KRB5KDC_ERR_PREAUTH_FAILED, EACCES,
	 "the key is not the one that the KDC has: export the keytab anew, or correct the password"},
	{KRB5KRB_AP_ERR_BAD_INTEGRITY, EACCES,
	 "the key is not the one that the KDC has: export the keytab anew, or correct the password"},
	{KRB5KDC_ERR_KEY_EXP, EACCES, "the password has expired: change it with kpasswd"},
	{KRB5KDC_ERR_CLIENT_REVOKED, EACCES, "the KDC has locked this principal: have it unlocked"},
	{KRB5KDC_ERR_ETYPE_NOSUPP, EACCES,
	 "KDC and krb5.conf have no encryption type in common: correct permitted_enctypes"},
	{KRB5_CONFIG_BADFORMAT, EINVAL, "correct krb5.conf"},
	{KRB5_CONFIG_NODEFREALM, EINVAL,
	 "write the principal with its realm, or set default_realm in krb5.conf"},
};

/* Words of MIT's messages where the number is not told on. */
static const struct {
	const char *words;
	int code;
	const char *remedy;
} texts[] = {
	{"No Kerberos credentials available", EACCES,
	 "there is no ticket: run kinit, or give the datastore a keytab"},
	{"Can't find client principal", EACCES,
	 "the ticket cache has no ticket of this principal: run kinit for it, or correct "
	 "\"principal\""},
	{"expired", EACCES, "run kinit, or give the datastore a keytab"},
	{"Clock skew", EACCES, "set the clock of this machine"},
	{"Cannot find KDC", EACCES,
	 "correct the realm of the principal, or name its KDC in krb5.conf"},
	{"Cannot contact any KDC", EHOSTUNREACH,
	 "correct the realm's KDC in krb5.conf, or check the network"},
	{"not found in Kerberos database", EACCES,
	 "name the server as its principal does, and set rdns = false in krb5.conf if a "
	 "reverse look-up changes the name"},
	{"Key table file", EACCES, "correct the path of the keytab"},
	{"Decrypt integrity check failed", EACCES,
	 "export the keytab anew, or correct the password"},
	{"Preauthentication failed", EACCES, "export the keytab anew, or correct the password"},
};

static void display(OM_uint32 status, int type, char *out, size_t n)
{
	OM_uint32 minor, more = 0;
	gss_buffer_desc text = GSS_C_EMPTY_BUFFER;

	out[0] = '\0';
	if (gss_display_status(&minor, status, type, GSS_C_NO_OID, &more, &text) != GSS_S_COMPLETE)
		return;
	snprintf(out, n, "%.*s", (int)text.length, (const char *)text.value);
	gss_release_buffer(&minor, &text);
	for (char *p = out; *p; p++) /* one line, also of what a server put in */
		if ((unsigned char)*p < 0x20)
			*p = ' ';
}

/* c: a number of libkrb5, and its words. */
static int explain_text(long c, const char *text, const char *doing, struct slu_err *e)
{
	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (remedies[i].minor == c)
			return slu_fail(e, remedies[i].code, "%s: %s (%s)", doing, text,
					remedies[i].remedy);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strstr(text, texts[i].words))
			return slu_fail(e, texts[i].code, "%s: %s (%s)", doing, text,
					texts[i].remedy);
	return slu_fail(e, EACCES, "%s: %s", doing, text);
}

static int explain(OM_uint32 major, OM_uint32 minor, const char *doing, struct slu_err *e)
{
	char text[300], general[200];

	display(minor, GSS_C_MECH_CODE, text, sizeof(text));
	display(major, GSS_C_GSS_CODE, general, sizeof(general));
	if (!text[0] || strstr(text, "Unknown error") || strstr(text, "Success"))
		snprintf(text, sizeof(text), "%s", general);
	return explain_text((int32_t)minor, text, doing, e);
}

/* --- tickets --- */

static int make_source(struct slu_gss *g)
{
	if (g->keytab)
		g->source = slu_asprintf("the keytab '%s'", g->keytab);
	else if (g->password)
		g->source = slu_strdup("a password");
	else if (g->ccache)
		g->source = slu_asprintf("the ticket cache '%s'", g->ccache);
	else
		g->source = slu_strdup("the user's ticket cache");
	return g->source ? 0 : -ENOMEM;
}

static int copy_conf(struct slu_gss *g, const struct slu_gss_conf *c)
{
	char id[17];

	g->principal = slu_strdup(c->principal);
	g->keytab = slu_strdup(c->keytab);
	g->password = slu_strdup(c->password);
	g->ccache = slu_strdup(c->ccache);
	if (make_source(g) < 0)
		return -ENOMEM;
	if ((c->principal && !g->principal) || (c->keytab && !g->keytab) ||
	    (c->password && !g->password) || (c->ccache && !g->ccache))
		return -ENOMEM;
	if (!c->keytab && !c->password)
		return 0;
	free(g->ccache);
	g->ccache = slu_random_id(id, 8) < 0 ? NULL : slu_asprintf("MEMORY:sluice-%s", id);
	return g->ccache ? 0 : -ENOMEM;
}

int slu_gss_new(const struct slu_gss_conf *conf, struct slu_gss **ret, struct slu_err *e)
{
	struct slu_gss *g = slu_new0(struct slu_gss);

	if (!g)
		return slu_fail_oom(e);
	atomic_store(&g->refs, 1);
	pthread_mutex_init(&g->lock, NULL);
	if (copy_conf(g, conf) < 0) {
		slu_gss_free(g);
		return slu_fail_oom(e);
	}
	*ret = g;
	return 0;
}

void slu_gss_free(struct slu_gss *g)
{
	if (!g || atomic_fetch_sub(&g->refs, 1) > 1)
		return;
	if (g->own)
		krb5_cc_destroy(g->k, g->own);
	if (g->k)
		krb5_free_context(g->k);
	if (g->password)
		explicit_bzero(g->password, strlen(g->password));
	pthread_mutex_destroy(&g->lock);
	free(g->principal);
	free(g->keytab);
	free(g->password);
	free(g->ccache);
	free(g->source);
	free(g);
}

struct slu_gss *slu_gss_ref(struct slu_gss *g)
{
	atomic_fetch_add(&g->refs, 1);
	return g;
}

const char *slu_gss_source(const struct slu_gss *g)
{
	return g->source;
}

static int import_name(const char *text, gss_OID type, gss_name_t *ret, struct slu_err *e)
{
	gss_buffer_desc b = {strlen(text), (void *)text};
	OM_uint32 minor, major = gss_import_name(&minor, &b, type, ret);

	return GSS_ERROR(major) ? explain(major, minor, "Kerberos does not understand a name", e)
				: 0;
}

static gss_OID_set_desc *wanted_mechs(void)
{
	static gss_OID_desc both[2];
	static gss_OID_set_desc set = {2, both};

	both[0] = krb5_mech;
	both[1] = spnego_mech;
	return &set;
}

/* --- tickets by keytab or password --- */

static int krb5_failed(struct slu_gss *g, krb5_error_code c, struct slu_err *e)
{
	const char *text = g->k ? krb5_get_error_message(g->k, c) : NULL;
	char doing[400];
	int r;

	snprintf(doing, sizeof(doing), "no Kerberos ticket%s%s from %s", g->principal ? " of " : "",
		 g->principal ? g->principal : "", g->source);
	r = explain_text(c, text ? text : "libkrb5 cannot be used: krb5.conf is malformed", doing,
			 e);
	if (text)
		krb5_free_error_message(g->k, text);
	return r;
}

static krb5_error_code open_cache(struct slu_gss *g)
{
	krb5_error_code c = g->k ? 0 : krb5_init_context(&g->k);

	return c || g->own ? c : krb5_cc_resolve(g->k, g->ccache, &g->own);
}

/* The first principal that the keytab has a key of. */
static krb5_error_code first_of(krb5_context k, krb5_keytab kt, krb5_principal *ret)
{
	krb5_keytab_entry entry;
	krb5_kt_cursor at;
	krb5_error_code c = krb5_kt_start_seq_get(k, kt, &at);

	if (c)
		return c;
	c = krb5_kt_next_entry(k, kt, &entry, &at);
	if (!c) {
		c = krb5_copy_principal(k, entry.principal, ret);
		krb5_free_keytab_entry_contents(k, &entry);
	}
	krb5_kt_end_seq_get(k, kt, &at);
	return c == KRB5_KT_END ? KRB5_KT_NOTFOUND : c;
}

static krb5_error_code ask_kdc(struct slu_gss *g, krb5_keytab kt, krb5_principal *who,
			       krb5_creds *ret)
{
	krb5_error_code c =
		g->principal ? krb5_parse_name(g->k, g->principal, who) : first_of(g->k, kt, who);

	if (!c && kt)
		c = krb5_get_init_creds_keytab(g->k, ret, *who, kt, 0, NULL, NULL);
	else if (!c)
		c = krb5_get_init_creds_password(g->k, ret, *who, g->password, NULL, NULL, 0, NULL,
						 NULL);
	return c;
}

static krb5_error_code get_tickets(struct slu_gss *g)
{
	krb5_principal who = NULL;
	krb5_keytab kt = NULL;
	krb5_creds creds = {0};
	krb5_error_code c = open_cache(g);

	if (!c && g->keytab)
		c = krb5_kt_resolve(g->k, g->keytab, &kt);
	if (!c)
		c = ask_kdc(g, kt, &who, &creds);
	if (!c)
		c = krb5_cc_initialize(g->k, g->own, who);
	if (!c)
		c = krb5_cc_store_cred(g->k, g->own, &creds);
	if (!c) {
		int64_t now = slu_wall() / SLU_SEC;

		/* times of Kerberos are 32 bits without sign */
		g->ends = (uint32_t)creds.times.endtime;
		g->renew = now + (g->ends - now) / 2;
		if (g->ends - LEAST_S > now && g->ends - LEAST_S < g->renew)
			g->renew = g->ends - LEAST_S;
	}
	krb5_free_cred_contents(g->k, &creds);
	if (who)
		krb5_free_principal(g->k, who);
	if (kt)
		krb5_kt_close(g->k, kt);
	return c;
}

/* While the old ones are good, a KDC that does not answer is no reason to fail. */
static int need_tickets(struct slu_gss *g, struct slu_err *e)
{
	krb5_error_code c = 0;
	int r = 0;

	if (!g->keytab && !g->password)
		return 0;
	pthread_mutex_lock(&g->lock);
	if (slu_wall() / SLU_SEC >= g->renew)
		c = get_tickets(g);
	if (c && slu_wall() / SLU_SEC >= g->ends)
		r = krb5_failed(g, c, e);
	pthread_mutex_unlock(&g->lock);
	return r;
}

/* A KDC lets tickets be used a few minutes longer, as clocks differ; who is told of it then is told too late. */
static int check_life(const struct slu_gss *g, gss_cred_id_t *cred, struct slu_err *e)
{
	OM_uint32 minor, left = 0;

	if (gss_inquire_cred_by_mech(&minor, *cred, &krb5_mech, NULL, &left, NULL, NULL) !=
		    GSS_S_CREDENTIALS_EXPIRED &&
	    left)
		return 0;
	gss_release_cred(&minor, cred);
	if (g->keytab || g->password) /* it is a new one */
		return slu_fail(
			e, EACCES,
			"the Kerberos ticket of %s that the KDC gave has ended by the clock of this "
			"machine: set the clock",
			g->principal ? g->principal : "the keytab");
	return slu_fail(e, EACCES,
			"the Kerberos ticket%s%s from %s has expired (run kinit, or give the "
			"datastore a keytab)",
			g->principal ? " of " : "", g->principal ? g->principal : "", g->source);
}

static int acquire(struct slu_gss *g, gss_cred_id_t *ret, struct slu_err *e)
{
	gss_key_value_element_desc el = {"ccache", g->ccache};
	gss_key_value_set_desc store = {1, &el};
	gss_name_t name = GSS_C_NO_NAME;
	OM_uint32 major, minor = 0, ignored;
	char doing[400];
	int r = need_tickets(g, e);

	if (r == 0 && g->principal)
		r = import_name(g->principal, GSS_C_NT_USER_NAME, &name, e);
	if (r < 0)
		return r;
	major = gss_acquire_cred_from(&minor, name, GSS_C_INDEFINITE, wanted_mechs(),
				      GSS_C_INITIATE, g->ccache ? &store : GSS_C_NO_CRED_STORE, ret,
				      NULL, NULL);
	gss_release_name(&ignored, &name);
	if (!GSS_ERROR(major))
		return check_life(g, ret, e);
	snprintf(doing, sizeof(doing), "no Kerberos ticket%s%s from %s", g->principal ? " of " : "",
		 g->principal ? g->principal : "", g->source);
	return explain(major, minor, doing, e);
}

int slu_gss_whoami(struct slu_gss *g, char **ret_principal, int64_t *ret_seconds, struct slu_err *e)
{
	gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
	gss_cred_id_t cred = GSS_C_NO_CREDENTIAL;
	gss_name_t name = GSS_C_NO_NAME;
	OM_uint32 major, minor, ignored, left = 0;
	int r = acquire(g, &cred, e);

	if (r < 0)
		return r;
	major = gss_inquire_cred_by_mech(&minor, cred, &krb5_mech, &name, &left, NULL, NULL);
	if (!GSS_ERROR(major))
		major = gss_display_name(&minor, name, &text, NULL);
	if (GSS_ERROR(major))
		r = explain(major, minor, "no Kerberos ticket", e);
	else if (!(*ret_principal = slu_strndup(text.value, text.length)))
		r = slu_fail_oom(e);
	if (r == 0)
		*ret_seconds = left == GSS_C_INDEFINITE ? INT64_MAX : (int64_t)left;
	gss_release_buffer(&ignored, &text);
	gss_release_name(&ignored, &name);
	gss_release_cred(&ignored, &cred);
	return r;
}

/* --- contexts --- */

int slu_gss_begin(struct slu_gss *g, const char *service, const char *host, enum slu_gss_mech mech,
		  unsigned flags, struct slu_gss_ctx **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *target = slu_asprintf("%s@%s", service, host);
	SLU_AUTO(slu_gss_endp) struct slu_gss_ctx *c = slu_new0(struct slu_gss_ctx);
	int r;

	if (!c || !target)
		return slu_fail_oom(e);
	c->ctx = GSS_C_NO_CONTEXT;
	c->mech = mech == SLU_GSS_SPNEGO ? &spnego_mech : &krb5_mech;
	c->flags = (flags & SLU_GSS_MUTUAL ? GSS_C_MUTUAL_FLAG : 0) |
		   (flags & SLU_GSS_INTEGRITY ? GSS_C_INTEG_FLAG | GSS_C_SEQUENCE_FLAG : 0) |
		   (flags & SLU_GSS_PRIVACY ? GSS_C_CONF_FLAG : 0);
	c->service = slu_strdup(service);
	c->host = slu_strdup(host);
	if (!c->service || !c->host)
		return slu_fail_oom(e);
	r = import_name(target, GSS_C_NT_HOSTBASED_SERVICE, &c->target, e);
	if (r == 0)
		r = acquire(g, &c->cred, e);
	if (r < 0)
		return r;
	*ret = slu_take(c);
	return 0;
}

void slu_gss_end(struct slu_gss_ctx *c)
{
	OM_uint32 minor;

	if (!c)
		return;
	if (c->ctx)
		gss_delete_sec_context(&minor, &c->ctx, GSS_C_NO_BUFFER);
	gss_release_name(&minor, &c->target);
	if (c->cred)
		gss_release_cred(&minor, &c->cred);
	free(c->service);
	free(c->host);
	free(c);
}

static int take(gss_buffer_desc *b, struct slu_buf *out, struct slu_err *e)
{
	OM_uint32 minor;

	slu_buf_add(out, b->value, b->length);
	if (b->value)
		explicit_bzero(b->value, b->length);
	gss_release_buffer(&minor, b);
	return slu_buf_err(out) ? slu_fail_oom(e) : 0;
}

int slu_gss_step(struct slu_gss_ctx *c, const void *in, size_t n, struct slu_buf *out,
		 bool *ret_done, struct slu_err *e)
{
	gss_buffer_desc said = {n, (void *)in}, answer = GSS_C_EMPTY_BUFFER;
	OM_uint32 got = 0, minor = 0, ignored;
	OM_uint32 major = gss_init_sec_context(
		&minor, c->cred, &c->ctx, c->target, c->mech, c->flags, 0,
		GSS_C_NO_CHANNEL_BINDINGS, n ? &said : GSS_C_NO_BUFFER, NULL, &answer, &got, NULL);
	char doing[400];
	int r;

	if (GSS_ERROR(major)) {
		gss_release_buffer(&ignored, &answer);
		snprintf(doing, sizeof(doing), "Kerberos does not let us in at '%s/%s'", c->service,
			 c->host);
		return explain(major, minor, doing, e);
	}
	r = take(&answer, out, e);
	if (r == 0 && major == GSS_S_COMPLETE && (got & c->flags) != c->flags)
		r = slu_fail(e, EACCES, "Kerberos at '%s/%s' does not protect what is sent",
			     c->service, c->host);
	if (r == 0)
		*ret_done = major == GSS_S_COMPLETE;
	return r;
}

int slu_gss_wrap(struct slu_gss_ctx *c, bool privacy, const void *p, size_t n, struct slu_buf *out,
		 struct slu_err *e)
{
	gss_buffer_desc in = {n, (void *)p}, sealed = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor;
	int state = 0;
	OM_uint32 major =
		gss_wrap(&minor, c->ctx, privacy, GSS_C_QOP_DEFAULT, &in, &state, &sealed);

	if (GSS_ERROR(major))
		return explain(major, minor, "a message cannot be protected", e);
	if (privacy && !state) {
		gss_release_buffer(&minor, &sealed);
		return slu_fail(e, EACCES, "a message cannot be encrypted");
	}
	return take(&sealed, out, e);
}

int slu_gss_unwrap(struct slu_gss_ctx *c, const void *p, size_t n, struct slu_buf *out,
		   struct slu_err *e)
{
	gss_buffer_desc in = {n, (void *)p}, open = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, major = gss_unwrap(&minor, c->ctx, &in, &open, NULL, NULL);

	if (major != GSS_S_COMPLETE) { /* also one that is old, or out of order */
		gss_release_buffer(&minor, &open);
		return slu_fail(e, EBADMSG, "a message is not as '%s/%s' sent it", c->service,
				c->host);
	}
	return take(&open, out, e);
}

#else /* without Kerberos */

static int no_kerberos(struct slu_err *e)
{
	return slu_fail(e, ENOTSUP,
			"this build of sluice has no Kerberos: build it where libkrb5-dev is "
			"installed, or give a delegation token as the \"credential\"");
}

int slu_gss_new(const struct slu_gss_conf *conf, struct slu_gss **ret, struct slu_err *e)
{
	(void)conf;
	(void)ret;
	return no_kerberos(e);
}

void slu_gss_free(struct slu_gss *g)
{
	(void)g;
}

struct slu_gss *slu_gss_ref(struct slu_gss *g)
{
	return g;
}

const char *slu_gss_source(const struct slu_gss *g)
{
	(void)g;
	return "";
}

int slu_gss_whoami(struct slu_gss *g, char **ret_principal, int64_t *ret_seconds, struct slu_err *e)
{
	(void)g;
	(void)ret_principal;
	(void)ret_seconds;
	return no_kerberos(e);
}

int slu_gss_begin(struct slu_gss *g, const char *service, const char *host, enum slu_gss_mech mech,
		  unsigned flags, struct slu_gss_ctx **ret, struct slu_err *e)
{
	(void)g;
	(void)service;
	(void)host;
	(void)mech;
	(void)flags;
	(void)ret;
	return no_kerberos(e);
}

void slu_gss_end(struct slu_gss_ctx *c)
{
	(void)c;
}

int slu_gss_step(struct slu_gss_ctx *c, const void *in, size_t n, struct slu_buf *out,
		 bool *ret_done, struct slu_err *e)
{
	(void)c;
	(void)in;
	(void)n;
	(void)out;
	(void)ret_done;
	return no_kerberos(e);
}

int slu_gss_wrap(struct slu_gss_ctx *c, bool privacy, const void *p, size_t n, struct slu_buf *out,
		 struct slu_err *e)
{
	(void)c;
	(void)privacy;
	(void)p;
	(void)n;
	(void)out;
	return no_kerberos(e);
}

int slu_gss_unwrap(struct slu_gss_ctx *c, const void *p, size_t n, struct slu_buf *out,
		   struct slu_err *e)
{
	(void)c;
	(void)p;
	(void)n;
	(void)out;
	return no_kerberos(e);
}

#endif
