/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a Livy server: who we are, one exchange, what its answers mean.  A POST is never sent twice here; who
 * sends one names what it makes, so that it can be looked for.
 */
#include "job/livy.h"

#include "blob/cred_run.h"
#include "blob/identity.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/context.h"
#include "dataset/datastore.h"
#include "io/crypt.h"
#include "io/gss.h"
#include "io/xfer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { ANSWER_MAX = 16 << 20, SECRET_MAX = 16384, TRIES = 4, GSS_MAX = 1 << 20 };
enum { PAGE = 1000, LIST_MAX = 1000000 };

#define CALL_TIME (60 * SLU_SEC)
#define PAUSE_MS 200
#define AUDIENCE "https://dev.azuresynapse.net"

enum auth { NONE, BASIC, KERBEROS, TOKEN, CREDENTIAL };

struct slu_livy {
	struct sluice *s;
	char *name, *url, *ca_file;
	enum auth auth;
	bool log;
	int64_t until;         /* of all requests; 0: no such limit */
	char *user, *password; /* BASIC; a reference */
	char *token;           /* a reference */
	struct slu_gss *gss;
	struct slu_identity *identity;
};

void slu_livy_free(struct slu_livy *l)
{
	if (!l)
		return;
	free(l->name);
	free(l->url);
	free(l->ca_file);
	free(l->user);
	free(l->password);
	free(l->token);
	slu_gss_free(l->gss);
	slu_identity_free(l->identity);
	free(l);
}

const char *slu_livy_url(const struct slu_livy *l)
{
	return l->url;
}

bool slu_livy_has_log(const struct slu_livy *l)
{
	return l->log;
}

void slu_livy_hurry(struct slu_livy *l, int64_t ns)
{
	l->until = slu_deadline_in(ns);
}

/* --- opening --- */

static int find_auth(const char *name, const struct json_t *o, enum auth *ret, struct slu_err *e)
{
	static const char *const names[] = {"none", "basic", "kerberos", "token", "credential"};
	const char *said = slu_json_str(o, "auth");

	*ret = slu_json_get(o, "credential")                               ? CREDENTIAL
	       : slu_json_get(o, "token")                                  ? TOKEN
	       : slu_json_get(o, "user")                                   ? BASIC
	       : slu_json_get(o, "principal") || slu_json_get(o, "keytab") ? KERBEROS
									   : NONE;
	if (!said)
		return 0;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (slu_streq(names[i], said)) {
			*ret = (enum auth)i;
			return 0;
		}
	return slu_fail(e, EINVAL,
			"compute '%s': \"auth\" is none, basic, kerberos, token or credential, "
			"not '%s'",
			name, said);
}

int slu_livy_check_secrets(const char *what, const char *name, const struct json_t *o,
			   struct slu_err *e)
{
	static const char *const keys[] = {"password", "token"};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const struct json_t *v = slu_json_get(o, keys[i]);
		SLU_AUTO(slu_freep)
		char *where = slu_asprintf("'%s' of %s '%s'", keys[i], what, name);
		const char *text = slu_json_string(v);
		struct slu_cred c = {0};

		if (!where)
			return slu_fail_oom(e);
		if (v && (slu_cred_parse(text ? text : "", where, &c, NULL) < 0 || !c.arg))
			return slu_fail(e, EINVAL,
					"%s says where the secret is, which is not written there: "
					"env:NAME, file:PATH or cmd:COMMAND",
					where);
	}
	return 0;
}

static bool copy(char **to, const struct json_t *o, const char *key)
{
	const char *v = slu_json_str(o, key);

	*to = v ? slu_strdup(v) : NULL;
	return !v || *to;
}

/* A name alone, or an object; either gets Synapse's audience when it names none. */
static int open_identity(struct slu_livy *l, const struct json_t *o, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, "credential");
	SLU_AUTO(slu_json_freep)
	struct json_t *c = slu_json_is_object(v) ? slu_json_copy(v) : slu_json_object();
	const char *audience = slu_json_str(o, "audience");
	const char *type = slu_json_string(v) ? slu_json_string(v) : "default";

	if (!c || (!slu_json_is_object(v) && slu_json_set_str(c, "type", type) < 0) ||
	    (!slu_json_get(c, "audience") &&
	     slu_json_set_str(c, "audience", audience ? audience : AUDIENCE) < 0))
		return slu_fail_oom(e);
	if (!slu_identity_is(c))
		return slu_fail(e, EINVAL,
				"compute '%s': \"credential\" is no identity: managed_identity, "
				"workload_identity, az_cli, azd_cli, default or an object of one",
				l->name);
	return slu_identity_new(c, slu_context_workspace(l->s)->dir, NULL, slu_context_loops(l->s),
				slu_context_pool(l->s), &l->identity, e);
}

static int open_auth(struct slu_livy *l, const struct json_t *o, struct slu_err *e)
{
	struct slu_gss_conf g = {.principal = slu_json_str(o, "principal"),
				 .keytab = slu_json_str(o, "keytab")};

	if (l->auth == BASIC && (!l->user || !l->password))
		return slu_fail(
			e, EINVAL,
			"compute '%s' signs in as a user: it wants \"user\" and \"password\"",
			l->name);
	if (l->auth == TOKEN && !l->token)
		return slu_fail(e, EINVAL, "compute '%s' has no \"token\"", l->name);
	if (l->auth == KERBEROS)
		return slu_gss_new(&g, &l->gss, e);
	return l->auth == CREDENTIAL ? open_identity(l, o, e) : 0;
}

static int check_url(const struct slu_livy *l, struct slu_err *e)
{
	if (!l->url || !(slu_starts(l->url, "http://") || slu_starts(l->url, "https://")) ||
	    strpbrk(l->url, "?#@ "))
		return slu_fail(e, EINVAL,
				"compute '%s' wants a \"url\" such as https://host:8998, without a "
				"user or a query",
				l->name);
	if (slu_starts(l->url, "http://") && l->auth != NONE && l->auth != KERBEROS &&
	    !slu_starts(l->url, "http://127.") && !slu_starts(l->url, "http://localhost"))
		return slu_fail(e, EACCES,
				"compute '%s': a secret would go over http: use https, or Kerberos",
				l->name);
	return 0;
}

int slu_livy_open(struct sluice *s, const char *name, const struct json_t *o, struct slu_livy **ret,
		  struct slu_err *e)
{
	SLU_AUTO(slu_livy_freep) struct slu_livy *l = slu_new0(struct slu_livy);
	int r;

	if (!l)
		return slu_fail_oom(e);
	l->s = s;
	l->log = slu_json_bool(o, "log", true);
	l->name = slu_strdup(name);
	if (!l->name || !copy(&l->url, o, "url") || !copy(&l->ca_file, o, "ca_file") ||
	    !copy(&l->user, o, "user") || !copy(&l->password, o, "password") ||
	    !copy(&l->token, o, "token"))
		return slu_fail_oom(e);
	while (l->url && slu_ends(l->url, "/"))
		l->url[strlen(l->url) - 1] = '\0';
	if ((r = find_auth(name, o, &l->auth, e)) < 0 || (r = check_url(l, e)) < 0 ||
	    (r = open_auth(l, o, e)) < 0)
		return r;
	*ret = slu_take(l);
	return 0;
}

/* --- who we are --- */

static int read_ref(const struct slu_livy *l, const char *what, const char *ref, char **ret,
		    struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SECRET_MAX);
	const char *arg, *env;
	int r = 0;

	if ((arg = slu_after(ref, "env:"))) {
		env = getenv(arg);
		slu_buf_str(&b, env ? env : "");
	} else if ((arg = slu_after(ref, "file:"))) {
		r = slu_buf_read_file(&b, arg, e);
	} else if ((arg = slu_after(ref, "cmd:"))) {
		r = slu_cred_run(arg, what, &b, e);
	} else {
		return slu_fail(
			e, EINVAL,
			"compute '%s': \"%s\" says where the secret is: env:NAME, file:PATH "
			"or cmd:COMMAND",
			l->name, what);
	}
	while (r == 0 && b.len && strchr(" \t\r\n", b.p[b.len - 1]))
		b.p[--b.len] = '\0';
	if (r == 0 && (!b.len || strpbrk(b.p, "\r\n")))
		r = slu_fail(e, EACCES, "compute '%s': there is no %s at '%s'", l->name, what,
			     slu_starts(ref, "cmd:") ? "cmd:..." : ref);
	if (r == 0 && !(*ret = slu_strdup(b.p)))
		r = slu_fail_oom(e);
	if (b.p)
		explicit_bzero(b.p, b.len);
	return r;
}

static void wipe(char **text)
{
	if (*text)
		explicit_bzero(*text, strlen(*text));
	free(slu_take(*text));
}

static int header(const char *form, char **secret, char **ret, struct slu_err *e)
{
	*ret = slu_asprintf("Authorization: %s %s", form, *secret);
	wipe(secret);
	return *ret ? 0 : slu_fail_oom(e);
}

static int basic(const struct slu_livy *l, char **ret, struct slu_err *e)
{
	char *password = NULL, *pair, *code;
	int r = read_ref(l, "password", l->password, &password, e);

	if (r < 0)
		return r;
	pair = slu_asprintf("%s:%s", l->user, password);
	wipe(&password);
	code = pair ? slu_base64(pair, strlen(pair)) : NULL;
	wipe(&pair);
	return code ? header("Basic", &code, ret, e) : slu_fail_oom(e);
}

static int negotiate(const struct slu_livy *l, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf said = SLU_BUF(GSS_MAX);
	SLU_AUTO(slu_gss_endp) struct slu_gss_ctx *c = NULL;
	const char *at = strstr(l->url, "://") + 3;
	SLU_AUTO(slu_freep) char *host = slu_strndup(at, strcspn(at, ":/"));
	char *code;
	bool done;
	int r;

	if (!host)
		return slu_fail_oom(e);
	r = slu_gss_begin(l->gss, "HTTP", host, SLU_GSS_SPNEGO, SLU_GSS_MUTUAL, &c, e);
	if (r == 0)
		r = slu_gss_step(c, NULL, 0, &said, &done, e);
	if (r < 0)
		return r;
	code = slu_base64(said.p ? said.p : "", said.len);
	return code ? header("Negotiate", &code, ret, e) : slu_fail_oom(e);
}

struct waiter {
	struct slu_token_wait w;
	int fd;
};

static void token_came(struct slu_token_wait *w)
{
	const uint64_t one = 1;

	if (write(((struct waiter *)w)->fd, &one, sizeof(one)) < 0)
		return;
}

static int entra(const struct slu_livy *l, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int fd = eventfd(0, EFD_CLOEXEC);
	struct waiter w = {.w.fn = token_came, .fd = fd};
	char *token = NULL;
	uint64_t n;
	int r;

	if (fd < 0)
		return slu_fail_sys(e, errno, "cannot make an event descriptor");
	while ((r = slu_tokens_get(slu_identity_tokens(l->identity), &w.w, &token, e)) ==
	       -EINPROGRESS)
		while (read(fd, &n, sizeof(n)) < 0 && errno == EINTR)
			;
	return r < 0 ? slu_fail_more(e, "compute '%s'", l->name) : header("Bearer", &token, ret, e);
}

static int authorize(const struct slu_livy *l, char **ret, struct slu_err *e)
{
	char *token = NULL;
	int r;

	switch (l->auth) {
	case BASIC:
		return basic(l, ret, e);
	case KERBEROS:
		return negotiate(l, ret, e);
	case CREDENTIAL:
		return entra(l, ret, e);
	case TOKEN:
		r = read_ref(l, "token", l->token, &token, e);
		return r < 0 ? r : header("Bearer", &token, ret, e);
	default:
		return 0;
	}
}

/* --- one exchange --- */

/* What the server says of a request that it refused: {"msg"}, {"message"}, or text. */
static void words_of(const struct slu_xfer *x, char *out, size_t max)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const char *text = x->errbody.p ? x->errbody.p : "", *msg = NULL;

	if (slu_json_parse(text, strlen(text), "the answer", &o, NULL) == 0) {
		msg = slu_json_str(o, "msg");
		msg = msg ? msg : slu_json_str(o, "message");
		msg = msg ? msg : slu_json_str(o, "Message");
		msg = msg ? msg : slu_json_string(o);
	}
	msg = msg ? msg : *text == '<' ? "" : text;
	snprintf(out, max, "%s%.*s", *msg ? ": " : "", (int)strcspn(msg, "\r\n"), msg);
}

static int judge(const struct slu_livy *l, const char *method, const char *path,
		 const struct slu_xfer *x, struct slu_err *e)
{
	char words[300];

	if (x->rc != -EREMOTEIO) {
		slu_fail(e, -x->rc, "%s", x->err.msg);
		return slu_fail_more(e, "compute '%s'", l->name);
	}
	words_of(x, words, sizeof(words));
	if (x->status == 401 || x->status == 403)
		return slu_fail(e, EACCES, "compute '%s': '%s' does not let us in (%d)%s", l->name,
				l->url, x->status, words);
	if (x->status == 404)
		return slu_fail(e, ENOENT, "compute '%s': '%s%s' is not there%s", l->name, l->url,
				path, words);
	if (x->status == 429 || x->status >= 500)
		return slu_fail(e, EAGAIN, "compute '%s': '%s' answered %d to %s%s", l->name,
				l->url, x->status, method, words);
	return slu_fail(e, EINVAL, "compute '%s' refused the request (%d)%s", l->name, x->status,
			words);
}

static int exchange(struct slu_livy *l, const char *method, const char *path, const char *body,
		    struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *url = slu_asprintf("%s%s", l->url, path);
	char *auth = NULL;
	int64_t most = slu_deadline_in(CALL_TIME);
	int r = url ? authorize(l, &auth, e) : slu_fail_oom(e);
	/* X-Requested-By: what Livy's protection against forged requests asks for. */
	const char *headers[] = {"Accept: application/json", "X-Requested-By: sluice",
				 body ? "Content-Type: application/json" : auth, body ? auth : NULL,
				 NULL};
	struct slu_xfer x = {.method = method,
			     .url = url,
			     .headers = headers,
			     .body = body,
			     .body_len = body ? strlen(body) : 0,
			     .ca_file = l->ca_file,
			     .plain_ok = l->auth == NONE || l->auth == KERBEROS,
			     .once = slu_streq(method, "POST"),
			     .deadline = l->until && l->until < most ? l->until : most,
			     .sink = SLU_SINK_BUF,
			     .resp = SLU_BUF(ANSWER_MAX)};

	if (r < 0)
		return r;
	if (slu_xfer_wait(slu_loops_pick(slu_context_loops(l->s), l->url, 0), &x) < 0)
		r = judge(l, method, path, &x, e);
	else if (ret && x.resp.len)
		r = slu_json_parse(x.resp.p, x.resp.len, path, ret, e);
	slu_buf_done(&x.resp);
	slu_xfer_done(&x);
	wipe(&auth);
	return r;
}

bool slu_livy_passes(int r)
{
	return r == -EAGAIN || r == -ECONNREFUSED || r == -ECONNRESET || r == -ETIMEDOUT ||
	       r == -EHOSTUNREACH || r == -ENETUNREACH;
}

int slu_livy_call(struct slu_livy *l, const char *method, const char *path,
		  const struct json_t *body, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = body ? slu_json_text(body, SLU_JSON_COMPACT) : NULL;
	bool post = slu_streq(method, "POST");
	int r = -EAGAIN;

	if (body && !text)
		return slu_fail_oom(e);
	for (int i = 0; i < TRIES && slu_livy_passes(r); i++) {
		if (i && l->until && slu_expired(l->until))
			break;
		if (i)
			poll(NULL, 0, PAUSE_MS << i);
		r = exchange(l, method, path, text, ret, e);
		/* A POST that was not heard may be sent again; one of which nobody knows may not. */
		if (post && r != -ECONNREFUSED && r != -EHOSTUNREACH)
			break;
	}
	if (text)
		explicit_bzero(text, strlen(text));
	return r;
}

int slu_livy_list(struct slu_livy *l, const char *path, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = slu_json_array();
	size_t n = 0, total;

	if (!all)
		return slu_fail_oom(e);
	do {
		SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
		const struct json_t *list;
		char page[96];
		int r;

		snprintf(page, sizeof(page), "%s?from=%zu&size=%d", path, n, PAGE);
		if ((r = slu_livy_call(l, "GET", page, NULL, &o, e)) < 0)
			return r;
		list = slu_json_get(o, "sessions");
		for (size_t i = 0; i < slu_json_count(list); i++)
			if (slu_json_append(all, slu_json_ref(slu_json_at(list, i))) < 0)
				return slu_fail_oom(e);
		n += slu_json_count(list);
		total = slu_json_count(list) ? (size_t)slu_json_int(o, "total", 0) : 0;
	} while (n < total && n < LIST_MAX);
	*ret = slu_take(all);
	return 0;
}

/* --- whose, and how it is --- */

bool slu_livy_is_other(const struct json_t *o, const char *name)
{
	const char *is = slu_json_str(o, "name");

	/* null: somebody's who gave it no name. */
	return name && slu_json_get(o, "name") && !(is && slu_streq(is, name));
}

enum slu_livy_state slu_livy_judge(const struct json_t *o, const char **ret_state)
{
	static const struct {
		const char *name;
		enum slu_livy_state is;
	} states[] = {{"success", SLU_LIVY_DONE},       {"dead", SLU_LIVY_FAILED},
		      {"error", SLU_LIVY_FAILED},       {"killed", SLU_LIVY_FAILED},
		      {"running", SLU_LIVY_RUNS},       {"busy", SLU_LIVY_RUNS},
		      {"shutting_down", SLU_LIVY_RUNS}, {"idle", SLU_LIVY_RUNS}};
	const char *state = slu_json_str(o, "state"), *result = slu_json_str(o, "result");

	*ret_state = state ? state : "not_started";
	/* Synapse tells by "result" how it ended, also when the state says success. */
	if (result && (slu_streq(result, "Failed") || slu_streq(result, "Cancelled"))) {
		*ret_state = result;
		return SLU_LIVY_FAILED;
	}
	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		if (slu_streq(states[i].name, *ret_state))
			return states[i].is;
	return SLU_LIVY_WAITS;
}
