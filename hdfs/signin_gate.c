/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing in at a gateway (signin.h): what goes along with each request there, and the cookies that it sets, by which it
 * need not ask for the password again.  Both are for the gateway's own address and nobody else.
 */
#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "hdfs/signin_impl.h"
#include "io/crypt.h"
#include "io/xfer.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SECRET_MAX 16384
#define COOKIES_MAX 8192

static void wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(slu_take(*s));
}

/* --- the header --- */

/* NULL: no memory. */
static char *header_of(const char *user, const char *secret)
{
	SLU_AUTO(slu_freep) char *both = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	char *header;

	if (!user)
		return slu_asprintf("Authorization: Bearer %s", secret);
	both = slu_asprintf("%s:%s", user, secret);
	text = both ? slu_base64(both, strlen(both)) : NULL;
	header = text ? slu_asprintf("Authorization: Basic %s", text) : NULL;
	if (both)
		explicit_bzero(both, strlen(both));
	if (text)
		explicit_bzero(text, strlen(text));
	return header;
}

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if (iscntrl((unsigned char)*s))
			return false;
	return true;
}

int slu_signin_gate_set(struct slu_signin *s, const struct slu_signin_gate *g, struct slu_err *e)
{
	if (!g)
		return 0;
	if (!*g->secret || !is_plain(g->secret))
		return slu_fail(e, EINVAL, "the gateway's %s is empty or more than one line",
				g->user ? "password" : "token");
	if (g->user && (strchr(g->user, ':') || !is_plain(g->user)))
		return slu_fail(e, EINVAL, "'%s' is no user that a gateway can be told", g->user);
	s->gate = header_of(g->user, g->secret);
	s->gate_user = slu_strdup(g->user);
	s->gate_file = slu_strdup(g->file);
	return !s->gate || (g->user && !s->gate_user) || (g->file && !s->gate_file)
		       ? slu_fail_oom(e)
		       : 0;
}

void slu_signin_gate_done(struct slu_signin *s)
{
	wipe(&s->gate);
	free(s->gate_user);
	free(s->gate_file);
}

/* Tokens end, and somebody writes new ones. */
static bool another_in_file(struct slu_signin *s, const char *used)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SECRET_MAX);
	char *header = NULL;
	bool other = false;

	if (!s->gate_file || slu_buf_read_at(&b, AT_FDCWD, s->gate_file) < 0)
		return false;
	while (b.len && isspace((unsigned char)b.p[b.len - 1]))
		b.p[--b.len] = '\0';
	if (b.len && is_plain(b.p))
		header = header_of(s->gate_user, b.p);
	if (b.p)
		explicit_bzero(b.p, b.len);
	if (header && !slu_streq(header, used)) {
		other = true;
		pthread_mutex_lock(&s->lock);
		wipe(&s->gate);
		s->gate = slu_take(header);
		pthread_mutex_unlock(&s->lock);
	}
	wipe(&header);
	return other;
}

bool slu_signin_gate_refused(struct slu_signin *s, const struct slu_signin_wait *w)
{
	struct slu_signin_cookie **c;
	bool dropped = false;

	pthread_mutex_lock(&s->lock);
	c = slu_signin_find_cookie(s, w->base);
	if (w->cookie && *c && slu_streq((*c)->header, w->cookie)) {
		slu_signin_drop_cookie(c);
		dropped = true;
	}
	pthread_mutex_unlock(&s->lock);
	return another_in_file(s, w->authorization) || dropped;
}

/* --- cookies --- */

static bool is_over(const char *cookie)
{
	const char *age = strcasestr(cookie, "max-age=");

	return age && (age[8] == '0' || age[8] == '-');
}

/* Adds those of `old` ("Cookie: a=b; c=d") that are not called name. */
static void add_others(struct slu_buf *b, const char *old, const char *name, size_t n)
{
	const char *at = slu_after(old, "Cookie: ");

	while (at && *at) {
		size_t one = strcspn(at, ";");

		if (strcspn(at, "=") != n || memcmp(at, name, n) != 0)
			slu_buf_fmt(b, "%s%.*s", b->len ? "; " : "Cookie: ", (int)one, at);
		at += one;
		at += strspn(at, "; ");
	}
}

/* With the lock. */
static void take_cookie(struct slu_signin *s, const char *base, const char *cookie)
{
	struct slu_buf b = SLU_BUF(COOKIES_MAX);
	struct slu_signin_cookie **held = slu_signin_find_cookie(s, base);
	size_t name = strcspn(cookie, "=;"), all = strcspn(cookie, ";");
	char *header;

	if (!name || cookie[name] != '=' || !is_plain(cookie))
		return;
	if (*held)
		add_others(&b, (*held)->header, cookie, name);
	if (!is_over(cookie) && all > name + 1)
		slu_buf_fmt(&b, "%s%.*s", b.len ? "; " : "Cookie: ", (int)all, cookie);
	header = slu_buf_err(&b) || !b.len ? NULL : slu_buf_take(&b);
	slu_buf_done(&b);
	if (header)
		(void)slu_signin_keep_cookie(s, base, header); /* without it the header says all */
}

void slu_signin_seen(struct slu_signin *s, const char *base, const struct slu_xfer *x)
{
	const char *value, *at = NULL;

	if (!s->gate)
		return;
	pthread_mutex_lock(&s->lock);
	while ((at = slu_xfer_next_header(x, "set-cookie", at, &value)))
		take_cookie(s, base, value);
	pthread_mutex_unlock(&s->lock);
}

int slu_signin_unauthorized(const struct slu_signin *s, const char *wanted, struct slu_err *e)
{
	if (s->gate && s->gate_user)
		slu_fail(
			e, EACCES,
			"the gateway does not take the password of '%s': correct what \"gateway\" of "
			"the datastore refers to",
			s->gate_user);
	else if (s->gate)
		slu_fail(
			e, EACCES,
			"the gateway does not take the token: get a new one where \"gateway\" of the "
			"datastore refers to");
	else if (wanted && (slu_iafter(wanted, "basic") || slu_iafter(wanted, "bearer")))
		slu_fail(
			e, EACCES,
			"a gateway that wants a user and a password, or a token: give the datastore a "
			"\"gateway\" with them");
	else
		return 0;
	e->http = 401;
	return -EACCES;
}
