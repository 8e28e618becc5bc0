/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation: we say NEGOTIATE, the server what it takes; we INITIATE one of those; CHALLENGE and RESPONSE until
 * SUCCESS.  A server that takes less than what we can prove ourselves by is refused.
 */
#include "hdfs/rpc_sign.h"

#include "common/mem.h"
#include "common/str.h"
#include "hdfs/errors.h"
#include "hdfs/hdfs.pb-c.h"
#include "hdfs/rpc.h"
#include "hdfs/sasl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define SASL_ID (-33)
#define OUT_MAX (64u << 20)
#define STEP_MAX (128u << 10)

enum { SUCCESS, NEGOTIATE, INITIATE, CHALLENGE, RESPONSE, WRAP };

/* One step on a thread of the pool; lives on when who wanted it does not. */
struct step {
	struct slu_work work;
	struct slu_rpc_sign *s; /* NULL: nobody wants it any more.  The loop's thread only */
	struct slu_sasl *sasl;  /* owned while it runs */
	struct slu_loop *loop;
	uint8_t *in;
	size_t n;
	struct slu_buf out;
	bool done;
	int rc;
	struct slu_err err;
};

struct slu_rpc_sign {
	struct slu_rpc_sign_conf conf;
	struct slu_sasl *sasl;
	struct step *step; /* under way */
	Slu__Pb__SaslAuth auth;
	char *method, *mechanism, *protocol, *server;
	struct slu_buf out;
	bool initiated, done, over;
};

int slu_rpc_sign_new(const struct slu_rpc_sign_conf *conf, struct slu_rpc_sign **ret)
{
	struct slu_rpc_sign *s = slu_new0(struct slu_rpc_sign);

	if (!s)
		return -ENOMEM;
	s->conf = *conf;
	s->out = SLU_BUF(OUT_MAX);
	*ret = s;
	return 0;
}

void slu_rpc_sign_free(struct slu_rpc_sign *s)
{
	if (!s)
		return;
	if (s->step)
		s->step->s = NULL;
	slu_sasl_free(s->sasl);
	slu_buf_done(&s->out);
	free(s->method);
	free(s->mechanism);
	free(s->protocol);
	free(s->server);
	free(s);
}

bool slu_rpc_sign_over(const struct slu_rpc_sign *s)
{
	return s->over;
}

bool slu_rpc_sign_seals(const struct slu_rpc_sign *s)
{
	return s->over && s->sasl && slu_sasl_qop(s->sasl) != SLU_QOP_AUTH;
}

void slu_rpc_sign_take(struct slu_rpc_sign *s, struct slu_buf *out)
{
	if (slu_buf_err(&s->out))
		out->err = s->out.err;
	slu_buf_add(out, s->out.p, s->out.len);
	slu_buf_clear(&s->out);
}

/* --- frames --- */

static void add_frame(struct slu_buf *b, Slu__Pb__RpcSasl *m)
{
	Slu__Pb__RpcRequestHeader h = SLU__PB__RPC_REQUEST_HEADER__INIT;
	size_t at = b->len, n;

	slu_buf_add(b, "\0\0\0\0", 4);
	h.has_rpc_kind = h.has_rpc_op = h.has_retry_count = 1;
	h.rpc_kind = 2;
	h.call_id = SASL_ID;
	h.retry_count = -1;
	h.client_id.data = (uint8_t *)"";
	slu_pb_message(b, &h.base);
	slu_pb_message(b, &m->base);
	if (slu_buf_err(b))
		return;
	n = b->len - at - 4;
	for (unsigned i = 0; i < 4; i++)
		b->p[at + i] = (char)(n >> (24 - 8 * i));
}

void slu_rpc_sign_begin(struct slu_rpc_sign *s, struct slu_buf *out)
{
	Slu__Pb__RpcSasl m = SLU__PB__RPC_SASL__INIT;

	(void)s;
	slu_buf_add(out, "hrpc\x09\0\xdf", 7); /* version 9, service class 0, SASL */
	m.state = NEGOTIATE;
	add_frame(out, &m);
}

static void answer(struct slu_rpc_sign *s, const struct slu_buf *token)
{
	Slu__Pb__RpcSasl m = SLU__PB__RPC_SASL__INIT;
	Slu__Pb__SaslAuth *auths[] = {&s->auth};

	m.state = s->initiated ? RESPONSE : INITIATE;
	m.has_token = 1;
	m.token.data = token->p ? (uint8_t *)token->p : (uint8_t *)"";
	m.token.len = token->len;
	if (!s->initiated) {
		m.auths = auths;
		m.n_auths = 1;
	}
	s->initiated = true;
	add_frame(&s->out, &m);
}

/* --- steps --- */

/* A refusal is no reason to ask another server: err.svc says that somebody has looked at it. */
static void fail(struct slu_rpc_sign *s, int rc, struct slu_err *e)
{
	if (rc != -ENOMEM && !e->svc[0])
		snprintf(e->svc, sizeof(e->svc), "SaslException");
	s->conf.event(s->conf.user, rc, e);
}

static void stepped(struct slu_rpc_sign *s, int rc, bool done, const struct slu_buf *out,
		    struct slu_err *e)
{
	if (rc < 0) {
		fail(s, rc, e);
		return;
	}
	s->done = done;
	if (s->over) { /* that was the server's last word */
		if (slu_sasl_complete(s->sasl))
			s->conf.event(s->conf.user, 0, NULL);
		else
			fail(s, slu_fail(e, EPROTO, "the server ended SASL too early"), e);
		return;
	}
	answer(s, out);
	s->conf.event(s->conf.user, slu_buf_err(&s->out), e);
}

static void step_back(void *arg)
{
	struct step *t = arg;
	struct slu_rpc_sign *s = t->s;

	if (s) {
		s->step = NULL;
		s->sasl = t->sasl;
		stepped(s, t->rc, t->done, &t->out, &t->err);
	} else {
		slu_sasl_free(t->sasl);
	}
	slu_buf_done(&t->out);
	free(t->in);
	free(t);
}

static void step_work(struct slu_work *w)
{
	struct step *t = (struct step *)((char *)w - offsetof(struct step, work));

	t->rc = slu_sasl_step(t->sasl, t->in, t->n, &t->out, &t->done, &t->err);
	while (slu_loop_post(t->loop, step_back, t))
		; /* no memory for a link of a list: soon there will be */
}

static void step_in_pool(struct slu_rpc_sign *s, const void *in, size_t n)
{
	struct step *t = slu_new0(struct step);
	struct slu_err e = {0};

	if (t)
		t->in = slu_malloc(n + 1);
	if (!t || !t->in) {
		free(t);
		fail(s, slu_fail_oom(&e), &e);
		return;
	}
	if (n)
		memcpy(t->in, in, n);
	t->n = n;
	t->s = s;
	t->loop = s->conf.loop;
	t->out = SLU_BUF(STEP_MAX);
	t->sasl = slu_take(s->sasl);
	t->work.fn = step_work;
	s->step = t;
	slu_pool_add(s->conf.pool, &t->work);
}

static void step(struct slu_rpc_sign *s, const void *in, size_t n)
{
	SLU_AUTO(slu_buf_done) struct slu_buf out = SLU_BUF(STEP_MAX);
	struct slu_err e = {0};
	bool done = false;
	int rc;

	if (slu_sasl_waits(s->sasl)) {
		step_in_pool(s, in, n);
		return;
	}
	rc = slu_sasl_step(s->sasl, in, n, &out, &done, &e);
	stepped(s, rc, done, &out, &e);
}

/* --- what the server says --- */

static bool is_name(const char *host)
{
	uint8_t a[16];

	return inet_pton(AF_INET, host, a) != 1 && inet_pton(AF_INET6, host, a) != 1;
}

static const Slu__Pb__SaslAuth *choose(const struct slu_rpc_who *who, const Slu__Pb__RpcSasl *m)
{
	const Slu__Pb__SaslAuth *kerberos = NULL;

	for (size_t i = 0; i < m->n_auths; i++) {
		const Slu__Pb__SaslAuth *a = m->auths[i];

		if (who->token_name && slu_streq(a->method, "TOKEN") &&
		    slu_streq(a->mechanism, "DIGEST-MD5"))
			return a;
		if (who->gss && slu_streq(a->method, "KERBEROS") &&
		    slu_streq(a->mechanism, "GSSAPI"))
			kerberos = a;
	}
	return kerberos;
}

static int keep_auth(struct slu_rpc_sign *s, const Slu__Pb__SaslAuth *a)
{
	s->method = slu_strdup(a->method);
	s->mechanism = slu_strdup(a->mechanism);
	s->protocol = slu_strdup(a->protocol ? a->protocol : "");
	s->server = slu_strdup(a->server_id ? a->server_id : "");
	if (!s->method || !s->mechanism || !s->protocol || !s->server)
		return -ENOMEM;
	slu__pb__sasl_auth__init(&s->auth);
	s->auth.method = s->method;
	s->auth.mechanism = s->mechanism;
	s->auth.protocol = s->protocol;
	s->auth.server_id = s->server;
	return 0;
}

static int make_sasl(struct slu_rpc_sign *s, bool token)
{
	const struct slu_rpc_who *who = s->conf.who;
	SLU_AUTO(slu_freep) char *uri = slu_asprintf("%s/%s", s->protocol, s->server);

	if (!uri)
		return -ENOMEM;
	if (token)
		return slu_sasl_digest(who->token_name, who->token_password, uri,
				       SLU_QOP_AUTH | SLU_QOP_INTEGRITY | SLU_QOP_PRIVACY,
				       &s->sasl);
	return slu_sasl_gssapi(who->gss, s->protocol, s->server, &s->sasl);
}

static void negotiated(struct slu_rpc_sign *s, const Slu__Pb__RpcSasl *m)
{
	const Slu__Pb__SaslAuth *a = choose(s->conf.who, m);
	struct slu_err e = {0};
	bool token;

	if (!a) {
		fail(s,
		     slu_fail(&e, EACCES,
			      "the NameNode '%s' takes neither Kerberos nor tokens: nobody proves "
			      "there who is who (if that is as it should be, remove \"kerberos\" "
			      "or \"credential\" from the datastore)",
			      s->conf.host),
		     &e);
		return;
	}
	token = slu_streq(a->method, "TOKEN");
	if (keep_auth(s, a) || make_sasl(s, token)) {
		fail(s, slu_fail_oom(&e), &e);
		return;
	}
	/* Another service's key must not do: who has one could play the NameNode. */
	if (!token && is_name(s->conf.host) && strcasecmp(s->conf.host, s->server) != 0) {
		fail(s,
		     slu_fail(&e, ENOTSUP, "the NameNode '%s' calls itself '%s/%s'", s->conf.host,
			      s->protocol, s->server),
		     &e);
		return;
	}
	if (token && !a->has_challenge) {
		struct slu_buf none = SLU_BUF(1);

		answer(s, &none);
		s->conf.event(s->conf.user, slu_buf_err(&s->out), &e);
		return;
	}
	step(s, token ? a->challenge.data : NULL, token ? a->challenge.len : 0);
}

static void succeeded(struct slu_rpc_sign *s, const Slu__Pb__RpcSasl *m)
{
	struct slu_err e = {0};

	s->over = true;
	if (s->sasl && !slu_sasl_complete(s->sasl) && m->has_token && m->token.len)
		step(s, m->token.data, m->token.len);
	else if (s->sasl && slu_sasl_complete(s->sasl))
		s->conf.event(s->conf.user, 0, NULL);
	else
		fail(s, slu_fail(&e, EPROTO, "the server ended SASL too early"), &e);
}

static void said(struct slu_rpc_sign *s, const Slu__Pb__RpcSasl *m)
{
	struct slu_err e = {0};

	if (!s->step && m->state == NEGOTIATE && !s->method)
		negotiated(s, m);
	else if (!s->step && m->state == CHALLENGE && s->sasl && m->has_token)
		step(s, m->token.data, m->token.len);
	else if (!s->step && m->state == SUCCESS && s->initiated)
		succeeded(s, m);
	else
		fail(s, slu_fail(&e, EPROTO, "'%s' does not keep to SASL", s->conf.host), &e);
}

/* The message behind a header of an answer; NULL: malformed. */
static Slu__Pb__RpcSasl *message(const uint8_t *p, size_t n, struct slu_err *e, int *ret_rc)
{
	Slu__Pb__RpcResponseHeader *h;
	Slu__Pb__RpcSasl *m = NULL;
	uint32_t len;
	int used = slu_pb_varint(p, n, &len);

	*ret_rc = slu_fail(e, EPROTO, "the NameNode does not keep to its protocol");
	if (used <= 0 || len > n - (size_t)used)
		return NULL;
	h = slu__pb__rpc_response_header__unpack(NULL, len, p + used);
	if (!h)
		return NULL;
	p += (size_t)used + len;
	n -= (size_t)used + len;
	if (h->status) {
		*ret_rc = slu_hdfs_error_of(h->exception_class ? h->exception_class : "",
					    h->error_msg ? h->error_msg : "", e);
	} else {
		used = slu_pb_varint(p, n, &len);
		if (used > 0 && len <= n - (size_t)used)
			m = slu__pb__rpc_sasl__unpack(NULL, len, p + used);
	}
	slu__pb__rpc_response_header__free_unpacked(h, NULL);
	return m;
}

void slu_rpc_sign_frame(struct slu_rpc_sign *s, const uint8_t *p, size_t n)
{
	struct slu_err e = {0};
	int rc;
	Slu__Pb__RpcSasl *m = message(p, n, &e, &rc);

	if (!m) {
		fail(s, rc, &e);
		return;
	}
	said(s, m);
	slu__pb__rpc_sasl__free_unpacked(m, NULL);
}

/* --- afterwards --- */

int slu_rpc_sign_seal(struct slu_rpc_sign *s, struct slu_buf *out, size_t at, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf plain = SLU_BUF(OUT_MAX);
	size_t limit = slu_sasl_limit(s->sasl);

	slu_buf_add(&plain, out->p + at, out->len - at);
	if (slu_buf_err(out) || slu_buf_err(&plain))
		return slu_fail_oom(e);
	out->len = at;
	for (size_t i = 0; i < plain.len;) {
		SLU_AUTO(slu_buf_done) struct slu_buf sealed = SLU_BUF(1u << 20);
		Slu__Pb__RpcSasl m = SLU__PB__RPC_SASL__INIT;
		size_t n = plain.len - i < limit ? plain.len - i : limit;
		int r = slu_sasl_wrap(s->sasl, plain.p + i, n, &sealed, e);

		if (r < 0)
			return r;
		m.state = WRAP;
		m.has_token = 1;
		m.token.data = (uint8_t *)sealed.p;
		m.token.len = sealed.len;
		add_frame(out, &m);
		i += n;
	}
	return slu_buf_err(out) ? slu_fail_oom(e) : 0;
}

int slu_rpc_sign_open(struct slu_rpc_sign *s, const uint8_t *p, size_t n, struct slu_buf *out,
		      struct slu_err *e)
{
	int rc;
	Slu__Pb__RpcSasl *m = message(p, n, e, &rc);

	if (!m)
		return rc;
	rc = m->state == WRAP && m->has_token
		     ? slu_sasl_unwrap(s->sasl, m->token.data, m->token.len, out, e)
		     : slu_fail(e, EPROTO, "'%s' sent what is not protected", s->conf.host);
	slu__pb__rpc_sasl__free_unpacked(m, NULL);
	return rc;
}
