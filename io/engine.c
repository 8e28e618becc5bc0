/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP side of a loop: one curl multi, the exchanges in flight, handles for reuse.  All of it
 * is made at the first exchange and given back after a minute and a half without one.
 *
 * An exchange is: in the inbox -> started (in `active`, with a timer) -> ended.  It is ended by
 * whichever comes first: curl's result, its deadline or a stall, a cancel, the end of the loop.
 * Ending takes it out of curl before done() runs, so nothing writes to the caller's memory later.
 */
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/exchange.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define FREE_HANDLES 32
#define IDLE_NS (90 * SLU_SEC)
#define SAMPLES 5 /* a stall is that many slow samples in a row */

struct slu_engine {
	struct slu_loop *loop;
	CURLM *multi;
	struct slu_easy *free; /* most recently used first */
	unsigned n_free;
	struct slu_xfer_state *active;
	size_t n_active;
	struct slu_timer idle;
	struct slu_socks socks;
};

static_assert(sizeof(struct curl_waitfd) == sizeof(struct pollfd) &&
		      offsetof(struct curl_waitfd, revents) == offsetof(struct pollfd, revents),
	      "one array serves poll and curl_multi_poll");

static bool curl_ready;
static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_setup(void)
{
	curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

static void easy_free(struct slu_easy *ez)
{
	if (ez->h)
		curl_easy_cleanup(ez->h);
	free(ez->origin);
	free(ez);
}

/* A handle that has only ever talked to this origin, or a new one.  NULL: no memory. */
static struct slu_easy *easy_get(struct slu_engine *en, const char *origin)
{
	for (struct slu_easy **at = &en->free; *at; at = &(*at)->next) {
		struct slu_easy *ez = *at;
		if (!slu_streq(ez->origin, origin))
			continue;
		*at = ez->next;
		en->n_free--;
		return ez;
	}
	struct slu_easy *ez = slu_new0(struct slu_easy);
	if (!ez)
		return NULL;
	ez->origin = slu_strdup(origin);
	ez->h = curl_easy_init();
	if (!ez->origin || !ez->h) {
		easy_free(ez);
		return NULL;
	}
	return ez;
}

static void easy_put(struct slu_engine *en, struct slu_easy *ez)
{
	curl_easy_reset(ez->h);
	ez->next = en->free;
	en->free = ez;
	if (++en->n_free <= FREE_HANDLES)
		return;
	struct slu_easy **at = &en->free;
	while ((*at)->next)
		at = &(*at)->next;
	easy_free(*at);
	*at = NULL;
	en->n_free--;
}

void slu_engine_free(struct slu_loop *l)
{
	struct slu_engine *en = l->engine;
	if (!en)
		return;
	assert(!en->active);
	l->engine = NULL;
	while (en->free) {
		struct slu_easy *ez = en->free;
		en->free = ez->next;
		easy_free(ez);
	}
	slu_timer_fini(&en->idle);
	curl_multi_cleanup(en->multi);
	free(en->socks.v.p);
	free(en);
}

static void on_idle(void *arg)
{
	struct slu_loop *l = arg;
	if (l->engine && !l->engine->n_active)
		slu_engine_free(l);
}

static int engine_new(struct slu_loop *l)
{
	pthread_once(&curl_once, curl_setup);
	struct slu_engine *en = curl_ready ? slu_new0(struct slu_engine) : NULL;
	if (!en || slu_timer_init(&en->idle, l, on_idle, l) < 0) {
		free(en);
		return -ENOMEM;
	}
	en->loop = l;
	en->multi = curl_multi_init();
	long conns = l->conns_per_host;
	if (!en->multi ||
	    curl_multi_setopt(en->multi, CURLMOPT_MAX_HOST_CONNECTIONS, conns) != CURLM_OK ||
	    curl_multi_setopt(en->multi, CURLMOPT_MAXCONNECTS, 2 * conns) != CURLM_OK) {
		if (en->multi)
			curl_multi_cleanup(en->multi);
		slu_timer_fini(&en->idle);
		free(en);
		return -ENOMEM;
	}
	l->engine = en;
	return 0;
}

static void link_active(struct slu_engine *en, struct slu_xfer_state *st)
{
	st->next = en->active;
	if (en->active)
		en->active->prev = st;
	en->active = st;
	en->n_active++;
	st->in_flight = true;
}

static void unlink_active(struct slu_engine *en, struct slu_xfer_state *st)
{
	if (st->prev)
		st->prev->next = st->next;
	else
		en->active = st->next;
	if (st->next)
		st->next->prev = st->prev;
	st->prev = st->next = NULL;
	st->in_flight = false;
	if (--en->n_active == 0)
		slu_timer_set(&en->idle, slu_now() + IDLE_NS);
}

/* The one way out: takes the exchange apart and calls done(), after which x is not ours. */
static void end(struct slu_xfer *x, int rc)
{
	struct slu_xfer_state *st = x->state;
	if (st) {
		struct slu_engine *en = st->loop->engine;
		if (st->in_flight) {
			curl_multi_remove_handle(en->multi, st->easy->h);
			unlink_active(en, st);
		}
		if (st->timer_made)
			slu_timer_fini(&st->timer);
		st->timer_made = false;
		if (st->easy)
			easy_put(en, st->easy);
		st->easy = NULL;
		slu_easy_free_headers(st);
		slu_url_done(&st->url);
	}
	x->rc = rc;
	x->done(x);
}

/* A failure that is ours, not curl's.  When the status already says what went wrong, the rest of
 * an error body is not worth another error. */
static void end_failed(struct slu_xfer_state *st, int code, const char *why)
{
	struct slu_xfer *x = st->x;
	if (code != ECANCELED && st->reply.complete && st->reply.status >= 300) {
		code = EREMOTEIO;
		slu_fail(&x->err, code, "'%s' answered with HTTP status %d", st->what, x->status);
		x->err.http = x->status;
	} else {
		slu_fail(&x->err, code, "'%s' %s", st->what, why);
	}
	end(x, -code);
}

static void on_timer(void *arg)
{
	struct slu_xfer_state *st = arg;
	const struct slu_loop *l = st->loop;
	int64_t now = slu_now(), sample = l->stall_ns / SAMPLES;
	if (now >= st->deadline) {
		end_failed(st, ETIMEDOUT, "did not answer in time");
		return;
	}
	uint64_t moved = slu_easy_moved(st);
	uint64_t least = l->stall_bps * (uint64_t)sample / SLU_SEC;
	bool slow = slu_easy_flowing(st) && moved < st->moved + (least ? least : 1);
	st->moved = moved;
	st->slow = slow ? st->slow + 1 : 0;
	if (st->slow >= SAMPLES) {
		end_failed(st, ETIMEDOUT, "stalled: almost nothing moved for too long");
		return;
	}
	st->mute = slu_easy_unanswered(st) ? st->mute + 1 : 0;
	if (st->x->answer_ns && (int64_t)st->mute * sample >= st->x->answer_ns) {
		end_failed(st, ETIMEDOUT, "was asked and has said nothing");
		return;
	}
	int64_t at = now + sample;
	slu_timer_set(&st->timer, at < st->deadline ? at : st->deadline);
}

/* Nothing was sent on a kept connection that turned out unclean: once more, on a fresh one. */
static bool restarted(struct slu_xfer_state *st)
{
	CURLM *m = st->loop->engine->multi;
	CURL *h = st->easy->h;
	st->unclean = false;
	st->easy->text[0] = '\0';
	return curl_multi_remove_handle(m, h) == CURLM_OK &&
	       curl_easy_setopt(h, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
	       curl_multi_add_handle(m, h) == CURLM_OK;
}

static void end_curl(struct slu_xfer_state *st, CURLcode c)
{
	struct slu_xfer *x = st->x;
	if (c != CURLE_OK && st->unclean) {
		if (!restarted(st))
			end(x, slu_fail_oom(&x->err));
	} else if (st->rc < 0) {
		end(x, st->rc);
	} else if (st->reply.complete && (st->reply.status < 200 || st->reply.status > 299)) {
		end_failed(st, EREMOTEIO, "");
	} else if (c == CURLE_ABORTED_BY_CALLBACK) {
		end_failed(st, ECONNRESET, "closed the connection without an answer");
	} else if (c != CURLE_OK) {
		end(x, slu_easy_explain(st, c, &x->err));
	} else if (!st->reply.complete) {
		end_failed(st, EPROTO, "answered without a complete head");
	} else if (x->sink == SLU_SINK_RANGE && x->got != x->len) {
		end_failed(st, EPROTO, "sent fewer bytes than were asked for");
	} else {
		end(x, 0);
	}
}

/* Everything up to curl having it.  On failure x->err is set. */
static int begin(struct slu_loop *l, struct slu_xfer *x)
{
	struct slu_xfer_state *st = slu_new0(struct slu_xfer_state);
	if (!st)
		return slu_fail_oom(&x->err);
	x->state = st;
	st->x = x;
	st->loop = l;
	st->fd = -1;
	slu_url_text(st->what, x->url);
	if (l->stopping || __atomic_load_n(&x->canceled, __ATOMIC_ACQUIRE))
		return slu_fail(&x->err, ECANCELED, "'%s' was canceled", st->what);
	int64_t now = slu_now();
	st->deadline = x->deadline ? x->deadline : slu_deadline_in(60 * SLU_SEC);
	if (now >= st->deadline)
		return slu_fail(&x->err, ETIMEDOUT, "'%s' was not asked: its time is over",
				st->what);

	int r = slu_url_parse(x->url, x->plain_ok, &st->url, &x->err);
	if (r < 0)
		return r;
	if (!l->engine && engine_new(l) < 0)
		return slu_fail_oom(&x->err);
	st->socks = &l->engine->socks;
	st->easy = easy_get(l->engine, st->url.origin);
	if (!st->easy)
		return slu_fail_oom(&x->err);
	r = slu_easy_setup(st);
	if (r < 0)
		return r;
	if (slu_timer_init(&st->timer, l, on_timer, st) < 0)
		return slu_fail_oom(&x->err);
	st->timer_made = true;
	if (curl_multi_add_handle(l->engine->multi, st->easy->h) != CURLM_OK)
		return slu_fail_oom(&x->err);
	link_active(l->engine, st);
	int64_t at = now + l->stall_ns / SAMPLES;
	slu_timer_set(&st->timer, at < st->deadline ? at : st->deadline);
	return 0;
}

void slu_engine_start(struct slu_loop *l, struct slu_xfer *x)
{
	int r = begin(l, x);
	if (r < 0)
		end(x, r);
}

void slu_engine_cancel(struct slu_loop *l, bool all)
{
	/* done() may end others only by flagging them, so `next` stays good; it may start none. */
	struct slu_xfer_state *st = l->engine ? l->engine->active : NULL;
	while (st) {
		struct slu_xfer_state *next = st->next;
		if (all || __atomic_load_n(&st->x->canceled, __ATOMIC_ACQUIRE))
			end_failed(st, ECANCELED, "was canceled");
		st = next;
	}
}

void slu_engine_run(struct slu_loop *l)
{
	struct slu_engine *en = l->engine;
	int n;
	if (!en || !en->n_active)
		return;
	curl_multi_perform(en->multi, &n);
	for (;;) {
		CURLMsg *m = curl_multi_info_read(en->multi, &n);
		if (!m)
			return;
		if (m->msg != CURLMSG_DONE)
			continue;
		CURLcode c = m->data.result;
		struct slu_xfer_state *st = NULL;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &st);
		end_curl(st, c);
	}
}

bool slu_engine_busy(const struct slu_loop *l)
{
	return l->engine && l->engine->n_active;
}

void slu_engine_wait(struct slu_loop *l, size_t n, int64_t ns)
{
	int ms = 60 * 1000;
	if (ns >= 0 && ns / SLU_MS < ms)
		ms = (int)((ns + SLU_MS - 1) / SLU_MS);
	/* Flags and layout of both structs are the same here (asserted above). */
	struct curl_waitfd *w = (struct curl_waitfd *)(void *)l->pfd;
	for (size_t i = 0; i < n; i++)
		l->pfd[i].revents = 0;
	curl_multi_poll(l->engine->multi, w, (unsigned)n, ms, NULL);
	/* curl reports no POLLHUP and POLLERR, and an unreported hang-up would spin: ask again. */
	if (n > 1 && poll(l->pfd, n, 0) < 0)
		for (size_t i = 0; i < n; i++)
			l->pfd[i].revents = 0;
}
