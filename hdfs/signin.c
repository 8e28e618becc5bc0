/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing in (signin.h).  One thread of the pool at a time signs in, for all who wait.  Everything that changes is under one
 * lock, nothing is called under it.  What is asked of the servers is in signin_ask.c.
 */
#include "hdfs/signin.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/request.h"
#include "hdfs/signin_impl.h"
#include "hdfs/token.h"
#include "io/gss.h"
#include "io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#define FIRST_NS                                                                                   \
	(2 * SLU_SEC) /* until it is asked how long a token lives: short commands need not know */
#define LEAST_NS (1 * SLU_SEC)     /* between two renewals */
#define TOKEN_AGAIN (60 * SLU_SEC) /* after a server gave none */

static void wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(slu_take(*s));
}

void slu_signin_wait_done(struct slu_signin_wait *w)
{
	wipe(&w->query);
	wipe(&w->cookie);
	wipe(&w->authorization);
}

/* --- what is held --- */

struct slu_signin_cookie **slu_signin_find_cookie(struct slu_signin *s, const char *base)
{
	struct slu_signin_cookie **at = &s->cookies;

	while (*at && !slu_streq((*at)->base, base))
		at = &(*at)->next;
	return at;
}

void slu_signin_drop_cookie(struct slu_signin_cookie **at)
{
	struct slu_signin_cookie *c = *at;

	*at = c->next;
	free(c->base);
	wipe(&c->header);
	free(c);
}

int slu_signin_keep_cookie(struct slu_signin *s, const char *base, char *header)
{
	struct slu_signin_cookie **at = slu_signin_find_cookie(s, base), *c;

	if (*at)
		slu_signin_drop_cookie(at);
	c = slu_new0(struct slu_signin_cookie);
	if (c)
		c->base = slu_strdup(base);
	if (!c || !c->base) {
		free(c);
		wipe(&header);
		return -ENOMEM;
	}
	c->header = header;
	c->next = s->cookies;
	s->cookies = c;
	return 0;
}

static bool wants_token(const struct slu_signin *s, const struct slu_signin_wait *w)
{
	return w->data && !s->token && slu_now() >= s->token_again;
}

/* With the lock.  False: it is not there yet. */
static bool fill(struct slu_signin *s, struct slu_signin_wait *w)
{
	const struct slu_signin_cookie *c;

	if (s->gate) {
		c = *slu_signin_find_cookie(s, w->base);
		w->query = slu_strdup("");
		w->authorization = slu_strdup(s->gate);
		w->cookie = c ? slu_strdup(c->header) : NULL;
		w->rc = w->query && w->authorization ? 0 : slu_fail_oom(&w->err);
		return true;
	}
	if (!s->gss || (w->data && s->token)) {
		w->query =
			s->token ? slu_hdfs_query("&delegation=", s->token) : slu_strdup(s->user);
		w->rc = w->query ? 0 : slu_fail_oom(&w->err);
		return true;
	}
	if (wants_token(s, w))
		return false;
	c = *slu_signin_find_cookie(s, w->base);
	if (!c)
		return false;
	w->query = slu_strdup("");
	w->cookie = slu_strdup(c->header);
	w->rc = w->query && w->cookie ? 0 : slu_fail_oom(&w->err);
	return true;
}

/* --- signing in --- */

/* What a sign-in brought is kept, and who it was for gets it. */
static struct slu_signin_wait *keep(struct slu_signin *s, const char *base, int rc,
				    struct slu_signin_got *got, struct slu_err *e)
{
	struct slu_signin_wait *over = NULL, **at = &s->waiting;
	bool timer = false;

	pthread_mutex_lock(&s->lock);
	if (rc == 0 && slu_signin_keep_cookie(s, base, slu_take(got->cookie)) < 0)
		rc = slu_fail_oom(e);
	if (rc == 0 && got->token) {
		wipe(&s->token);
		free(s->token_base);
		s->token = slu_take(got->token);
		s->token_base = slu_strdup(base);
		timer = s->timer && s->token_base;
	} else if (rc == 0 && got->asked) {
		s->token_again = slu_deadline_in(TOKEN_AGAIN);
	}
	while (*at) {
		struct slu_signin_wait *w = *at;

		if (rc < 0 && slu_streq(w->base, base)) {
			w->rc = rc;
			w->err = *e;
		} else if (!fill(s, w)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = over;
		over = w;
	}
	pthread_mutex_unlock(&s->lock);
	if (timer)
		slu_timer_set(s->timer, slu_deadline_in(FIRST_NS));
	wipe(&got->cookie);
	wipe(&got->token);
	return over;
}

static void sign_in(struct slu_work *work)
{
	struct slu_signin *s =
		(struct slu_signin *)((char *)work - offsetof(struct slu_signin, work));

	for (;;) {
		SLU_AUTO(slu_freep) char *base = NULL;
		struct slu_signin_wait *w;
		struct slu_signin_got got = {0};
		struct slu_err e = {0};
		bool token;
		int rc;

		pthread_mutex_lock(&s->lock);
		w = s->waiting;
		if (!w) {
			s->busy = false;
			pthread_cond_broadcast(&s->idle);
			pthread_mutex_unlock(&s->lock);
			return;
		}
		base = slu_strdup(w->base);
		token = wants_token(s, w);
		pthread_mutex_unlock(&s->lock);
		rc = base ? slu_signin_ask(s, base, token, &got, &e) : slu_fail_oom(&e);
		w = keep(s, base ? base : "", rc, &got, &e);
		while (w) {
			struct slu_signin_wait *next = w->next;

			w->done(w);
			w = next;
		}
	}
}

void slu_signin_get(struct slu_signin *s, struct slu_signin_wait *w)
{
	bool start = false, there;

	w->rc = 0;
	w->query = w->cookie = w->authorization = NULL;
	pthread_mutex_lock(&s->lock);
	there = fill(s, w);
	if (!there) {
		w->next = s->waiting;
		s->waiting = w;
		start = !s->busy;
		s->busy = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (start)
		slu_pool_add(s->pool, &s->work);
	else if (there)
		w->done(w);
}

/* --- what is refused --- */

int slu_signin_read_token(const char *path, const char *const *services, bool strict, char **ret,
			  struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_TOKEN_FILE_MAX);
	struct slu_hdfs_token t = {0};
	int r = slu_buf_read_at(&b, AT_FDCWD, path);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot read the delegation token in '%s'", path);
	if (slu_hdfs_token_is_file(b.p, b.len)) {
		r = slu_hdfs_token_pick(b.p, b.len, services, strict, &t, e);
	} else {
		while (b.len && strchr(" \t\r\n", b.p[b.len - 1]))
			b.p[--b.len] = '\0';
		r = slu_hdfs_token_parse(b.p ? b.p : "", &t, e);
	}
	if (b.p)
		explicit_bzero(b.p, b.len);
	if (r < 0)
		return slu_fail_more(e, "'%s'", path);
	*ret = slu_hdfs_token_text(&t);
	slu_hdfs_token_done(&t);
	return *ret ? 0 : slu_fail_oom(e);
}

static bool another_in_file(struct slu_signin *s, const char *query)
{
	SLU_AUTO(slu_freep) char *used = NULL;
	char *text = NULL;
	bool other;

	if (!s->token_file || slu_signin_read_token(s->token_file, (const char *const *)s->services,
						    false, &text, NULL) < 0)
		return false;
	used = slu_hdfs_query("&delegation=", text);
	other = used && !slu_streq(used, query);
	pthread_mutex_lock(&s->lock);
	if (other) {
		wipe(&s->token);
		s->token = slu_take(text);
	}
	pthread_mutex_unlock(&s->lock);
	wipe(&text);
	if (used)
		explicit_bzero(used, strlen(used));
	return other;
}

bool slu_signin_refused(struct slu_signin *s, const struct slu_signin_wait *w)
{
	struct slu_signin_cookie **c;

	if (s->gate)
		return slu_signin_gate_refused(s, w);
	if (!s->gss)
		return another_in_file(s, w->query);
	pthread_mutex_lock(&s->lock);
	c = slu_signin_find_cookie(s, w->base);
	if (w->cookie && *c && slu_streq((*c)->header, w->cookie))
		slu_signin_drop_cookie(c);
	if (slu_starts(w->query, "&delegation=") && s->token) {
		SLU_AUTO(slu_freep) char *held = slu_hdfs_query("&delegation=", s->token);

		if (held && slu_streq(held, w->query))
			wipe(&s->token);
	}
	pthread_mutex_unlock(&s->lock);
	return true;
}

/* --- the life of a token --- */

static void renew(struct slu_work *work)
{
	struct slu_signin *s =
		(struct slu_signin *)((char *)work - offsetof(struct slu_signin, renewal));
	SLU_AUTO(slu_freep) char *base = NULL;
	SLU_AUTO(slu_freep) char *token = NULL;
	struct slu_err e = {0};
	int64_t until = 0, left = 0;
	int r;

	pthread_mutex_lock(&s->lock);
	token = slu_strdup(s->token);
	base = slu_strdup(s->token_base);
	pthread_mutex_unlock(&s->lock);
	if (token && base) {
		r = slu_signin_renew(s, base, token, &until, &e);
		left = until - slu_wall();
		if (r < 0 || left <= 0) { /* the next request gets another one */
			slu_log(SLU_LOG_INFO, "hdfs", "a delegation token was not renewed: %s",
				r < 0 ? e.msg : "it has ended");
			pthread_mutex_lock(&s->lock);
			if (slu_streq(s->token, token))
				wipe(&s->token);
			pthread_mutex_unlock(&s->lock);
		} else {
			slu_debug("hdfs", "the delegation token lives for another %lld s",
				  (long long)(left / SLU_SEC));
		}
		explicit_bzero(token, strlen(token));
	}
	pthread_mutex_lock(&s->lock);
	s->renewing = false;
	if (s->token && left > 0 && !s->closing)
		slu_timer_set(s->timer, slu_deadline_in(left / 2 > LEAST_NS ? left / 2 : LEAST_NS));
	pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

static void on_timer(void *arg)
{
	struct slu_signin *s = arg;
	bool start;

	pthread_mutex_lock(&s->lock);
	start = !s->renewing && !s->closing && s->token;
	if (start)
		s->renewing = true;
	pthread_mutex_unlock(&s->lock);
	if (start)
		slu_pool_add(s->pool, &s->renewal);
}

/* --- life --- */

static int copy_services(struct slu_signin *s, const char *const *services)
{
	size_t n = 0;

	while (services && services[n])
		n++;
	s->services = slu_reallocarray(NULL, n + 1, sizeof(*s->services));
	if (!s->services)
		return -ENOMEM;
	memset(s->services, 0, (n + 1) * sizeof(*s->services));
	for (size_t i = 0; i < n; i++)
		if (!(s->services[i] = slu_strdup(services[i])))
			return -ENOMEM;
	return 0;
}

static bool copied(const char *from, char **to)
{
	*to = slu_strdup(from);
	return !from || *to;
}

/* 0 or -ENOMEM. */
static int copy_texts(struct slu_signin *s, const struct slu_signin_conf *conf)
{
	s->user = conf->user && !conf->gss ? slu_hdfs_query("&user.name=", conf->user)
					   : slu_strdup("");
	if (!s->user || !copied(conf->token, &s->token) ||
	    !copied(conf->token_file, &s->token_file) || !copied(conf->ca_file, &s->ca_file) ||
	    !copied(conf->csrf, &s->csrf))
		return -ENOMEM;
	return copy_services(s, conf->services);
}

int slu_signin_new(const struct slu_signin_conf *conf, struct slu_signin **ret, struct slu_err *e)
{
	struct slu_signin *s = slu_new0(struct slu_signin);
	int r;

	if (!s)
		return slu_fail_oom(e);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	s->gss = conf->gss;
	s->loops = conf->loops;
	s->pool = conf->pool;
	s->plain_ok = conf->plain_ok;
	s->work.fn = sign_in;
	s->renewal.fn = renew;
	if (copy_texts(s, conf) < 0 ||
	    (s->gss &&
	     slu_timer_new(slu_loops_pick(s->loops, "signin", 0), on_timer, s, &s->timer) < 0)) {
		slu_signin_free(s);
		return slu_fail_oom(e);
	}
	r = slu_signin_gate_set(s, conf->gate, e);
	if (r < 0) {
		slu_signin_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void slu_signin_free(struct slu_signin *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	while (s->busy || s->renewing)
		pthread_cond_wait(&s->idle, &s->lock);
	pthread_mutex_unlock(&s->lock);
	slu_timer_free(s->timer);
	if (s->gss && s->token && s->token_base && !slu_loop_self())
		slu_signin_cancel(s, s->token_base, s->token);
	while (s->cookies)
		slu_signin_drop_cookie(&s->cookies);
	slu_signin_gate_done(s);
	wipe(&s->user);
	wipe(&s->token);
	for (size_t i = 0; s->services && s->services[i]; i++)
		free(s->services[i]);
	free(s->services);
	free(s->token_base);
	free(s->token_file);
	free(s->ca_file);
	free(s->csrf);
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* What it is, whose, and where it was read; NULL: nothing to tell of that. */
static int tell(struct json_t *ret, const char *credential, const char *user, const char *from)
{
	int r = slu_json_set_str(ret, "credential", credential);

	if (r == 0 && user)
		r = slu_json_set_str(ret, "user", user);
	return r == 0 && from ? slu_json_set_str(ret, "reference", from) : r;
}

int slu_signin_inspect(struct slu_signin *s, struct json_t *ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *principal = NULL;
	char until[SLU_TIME_LEN] = "";
	int64_t seconds = 0;
	int r = 0;

	if (s->gss) {
		r = slu_gss_whoami(s->gss, &principal, &seconds, e);
		if (r < 0)
			return r;
		if (seconds < INT32_MAX)
			slu_time_fmt(until, slu_wall() + seconds * SLU_SEC);
		r = tell(ret, "Kerberos", NULL, slu_gss_source(s->gss));
		if (r == 0)
			r = slu_json_set_str(ret, "principal", principal);
		if (r == 0 && until[0])
			r = slu_json_set_str(ret, "ticket_ends", until);
	} else if (s->gate) {
		r = tell(ret, s->gate_user ? "a password at the gateway" : "a token at the gateway",
			 s->gate_user, s->gate_file);
	} else if (s->token) {
		r = tell(ret, "a delegation token", NULL, s->token_file);
	}
	return r < 0 ? slu_fail_oom(e) : 0;
}
