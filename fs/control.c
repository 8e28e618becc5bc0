/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server of a control socket: one thread, poll(2), a few clients.  All its sockets are non-blocking.
 * A client's answer is taken away before its next request is looked at, so that one line in and one
 * line out are all that a connection costs.
 */
#include "fs/control.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define PATIENCE (10 * SLU_SEC)
#define IDLE (600 * SLU_SEC) /* between requests */
#define STACK (256u << 10)
#define CHUNK 16384
#define AGAIN (SLU_SEC / 4) /* until a client is looked for again that there was no room for */
#define PLACES (2 + SLU_CONTROL_CLIENTS)

struct client {
	int fd; /* -1: free */
	uint64_t conn;
	struct slu_buf in, out;
	size_t sent;   /* of out */
	int64_t since; /* the last time that a whole line came or went */
	bool ended;    /* it sends no more */
};

struct slu_control {
	struct slu_control_conf conf;
	int listen, wake;
	pthread_t thread;
	uint64_t last;
	int64_t again; /* no client is let in before; 0: they may come */
	bool told;     /* why not */
	struct client client[SLU_CONTROL_CLIENTS];
};

/* --- one request --- */

static int set_error(struct json_t *o, int rc, const struct slu_err *e)
{
	struct json_t *err = slu_json_object();
	const char *name = strerrorname_np(-rc);

	if (slu_json_set(o, "error", err) || slu_json_set_str(err, "code", name ? name : "EIO") ||
	    slu_json_set_str(err, "message", e->msg[0] ? e->msg : strerror(-rc)))
		return -ENOMEM;
	return 0;
}

static int begin_answer(bool ok, struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (!o || slu_json_set_int(o, "v", SLU_CONTROL_VERSION) || slu_json_set_bool(o, "ok", ok))
		return -ENOMEM;
	*ret = slu_take(o);
	return 0;
}

static int understand(const struct slu_control_conf *conf, uint64_t conn, const char *line,
		      size_t n, struct json_t *answer, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *request = NULL;
	int r = slu_json_parse(line, n, "request", &request, e);

	if (r)
		return r;
	if (!slu_json_is_object(request))
		return slu_fail(e, EINVAL, "a request is a JSON object");
	if (slu_json_int(request, "v", 0) != SLU_CONTROL_VERSION)
		return slu_fail(e, EPROTO,
				"this mount speaks version %d of its protocol: use the sluice that "
				"made it, or mount anew",
				SLU_CONTROL_VERSION);
	if (!slu_json_str(request, "do"))
		return slu_fail(e, EINVAL, "a request says in 'do' what is to be done");
	return conf->handle(conf->user, conn, request, answer, e);
}

int slu_control_answer(const struct slu_control_conf *conf, uint64_t conn, const char *line,
		       size_t n, struct slu_buf *out)
{
	SLU_AUTO(slu_json_freep) struct json_t *answer = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_err e = {0};
	int r = begin_answer(true, &answer);

	if (r)
		return r;
	r = understand(conf, conn, line, n, answer, &e);
	if (r) {
		slu_json_free(slu_take(answer));
		if (begin_answer(false, &answer) || set_error(answer, r, &e))
			return -ENOMEM;
	}
	text = slu_json_text(answer, SLU_JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	slu_buf_str(out, text);
	slu_buf_ch(out, '\n');
	return slu_buf_err(out);
}

/* --- clients --- */

static void client_drop(struct client *c)
{
	if (c->fd < 0)
		return;
	close(c->fd);
	slu_buf_done(&c->in);
	slu_buf_done(&c->out);
	*c = (struct client){.fd = -1};
}

static bool may_speak(const struct slu_control *s, int fd)
{
	struct ucred who;
	socklen_t n = sizeof who;

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) &&
	       (who.uid == s->conf.uid || who.uid == 0);
}

/* A free place, else that of the client that was silent for longest. */
static struct client *place(struct slu_control *s)
{
	struct client *best = &s->client[0];

	for (int i = 0; i < SLU_CONTROL_CLIENTS; i++) {
		struct client *c = &s->client[i];

		if (c->fd < 0)
			return c;
		if (c->since < best->since)
			best = c;
	}
	client_drop(best);
	return best;
}

/* A client waits in the queue of the socket while there is no descriptor for it: it is looked for again a
 * little later, not at once and for ever. */
static void no_room(struct slu_control *s, int err)
{
	if (err != EMFILE && err != ENFILE && err != ENOBUFS && err != ENOMEM && err != EINVAL)
		return;
	if (!s->told)
		slu_warn("control",
			 "no client can be heard for the moment (%s): too many files are open, or "
			 "the limit on open files (ulimit -n) is too low",
			 strerror(err));
	s->told = true;
	s->again = slu_deadline_in(AGAIN);
}

static void take_client(struct slu_control *s)
{
	int fd = accept4(s->listen, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *c;

	if (fd < 0) {
		no_room(s, errno);
		return;
	}
	s->told = false;
	if (!may_speak(s, fd)) {
		slu_warn("control", "another user's process was not heard");
		close(fd);
		return;
	}
	c = place(s);
	*c = (struct client){.fd = fd,
			     .conn = ++s->last,
			     .in = SLU_BUF(SLU_CONTROL_LINE + CHUNK),
			     .out = SLU_BUF(SLU_CONTROL_ANSWER),
			     .since = slu_now()};
}

/* Sends what is there.  False: the client is gone. */
static bool push_out(struct client *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.p + c->sent, c->out.len - c->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		c->sent += (size_t)n;
	}
	if (c->out.len)
		c->since = slu_now();
	slu_buf_clear(&c->out);
	c->sent = 0;
	return true;
}

/* Answers the whole lines that are there, one at a time.  False: the client is to go. */
static bool answer_lines(struct slu_control *s, struct client *c)
{
	while (!c->out.len) {
		char *end = c->in.len ? memchr(c->in.p, '\n', c->in.len) : NULL;
		size_t n = end ? (size_t)(end - c->in.p) : 0;

		if (!end)
			return c->in.len <= SLU_CONTROL_LINE && !c->ended;
		if (n > SLU_CONTROL_LINE ||
		    slu_control_answer(&s->conf, c->conn, c->in.p, n, &c->out))
			return false;
		memmove(c->in.p, end + 1, c->in.len - n - 1);
		c->in.len -= n + 1;
		c->since = slu_now();
		if (!push_out(c))
			return false;
	}
	return true;
}

/* False: the client is gone, or sends too much. */
static bool pull_in(struct client *c)
{
	char chunk[CHUNK];
	ssize_t n = recv(c->fd, chunk, sizeof chunk, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		c->ended = true;
	if (!c->in.len)
		c->since = slu_now();
	slu_buf_add(&c->in, chunk, (size_t)n);
	return !slu_buf_err(&c->in);
}

static void serve_client(struct slu_control *s, struct client *c, short what)
{
	bool stay = true;

	if (what & (POLLERR | POLLNVAL))
		stay = false;
	if (stay && what & POLLOUT)
		stay = push_out(c);
	if (stay && what & (POLLIN | POLLHUP))
		stay = pull_in(c);
	if (stay)
		stay = answer_lines(s, c);
	if (!stay)
		client_drop(c);
}

static int64_t limit_of(const struct slu_control *s, const struct client *c)
{
	return c->since + (c->in.len || c->out.len ? s->conf.patience : IDLE);
}

/* ms until the first client's time is over, -1: there is none; drops those whose time it is. */
static int expire(struct slu_control *s)
{
	int64_t now = slu_now(), first = INT64_MAX;

	for (int i = 0; i < SLU_CONTROL_CLIENTS; i++) {
		struct client *c = &s->client[i];

		if (c->fd < 0)
			continue;
		if (limit_of(s, c) <= now)
			client_drop(c);
		else if (limit_of(s, c) < first)
			first = limit_of(s, c);
	}
	if (s->again <= now)
		s->again = 0;
	else if (s->again < first)
		first = s->again;
	return first == INT64_MAX ? -1 : (int)((first - now) / SLU_MS + 1);
}

/* What is waited for, without gaps: poll(2) refuses more entries than files may be open. */
static nfds_t gather(struct slu_control *s, struct pollfd *p, struct client **ret_whose)
{
	nfds_t n = 0;

	p[n++] = (struct pollfd){.fd = s->wake, .events = POLLIN};
	p[n++] = (struct pollfd){.fd = s->again ? -1 : s->listen, .events = POLLIN};
	for (int i = 0; i < SLU_CONTROL_CLIENTS; i++) {
		struct client *c = &s->client[i];

		if (c->fd < 0)
			continue;
		ret_whose[n] = c;
		p[n++] = (struct pollfd){.fd = c->fd, .events = c->out.len ? POLLOUT : POLLIN};
	}
	return n;
}

static void *run(void *arg)
{
	struct slu_control *s = arg;

	for (;;) {
		struct client *whose[PLACES];
		struct pollfd p[PLACES];
		int wait = expire(s);
		uint64_t woken;
		bool stop = false;
		nfds_t n = gather(s, p, whose);

		if (poll(p, n, wait) < 0) {
			if (errno == EINTR)
				continue;
			/* Fewer may be open than are: it is said once, and tried again. */
			no_room(s, errno);
			(void)poll(NULL, 0, AGAIN / SLU_MS);
			for (nfds_t i = 0; i < n; i++)
				p[i].revents = 0;
			stop = read(s->wake, &woken, sizeof woken) > 0;
		}
		if (stop || p[0].revents)
			return NULL;
		for (nfds_t i = 2; i < n; i++)
			if (p[i].revents)
				serve_client(s, whose[i], p[i].revents);
		if (p[1].revents & POLLIN)
			take_client(s);
	}
}

int slu_control_start(const struct slu_control_conf *conf, int fd, struct slu_control **ret,
		      struct slu_err *e)
{
	struct slu_control *s = slu_new0(struct slu_control);
	pthread_attr_t attr;
	sigset_t block, old;
	int r;

	if (!s)
		return slu_fail_oom(e);
	s->conf = *conf;
	if (!s->conf.patience)
		s->conf.patience = PATIENCE;
	s->listen = fd;
	for (int i = 0; i < SLU_CONTROL_CLIENTS; i++)
		s->client[i].fd = -1;
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake < 0) {
		free(s);
		return slu_fail_sys(e, errno, "cannot make an event descriptor");
	}
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&block);
	pthread_sigmask(SIG_SETMASK, &block, &old);
	r = pthread_create(&s->thread, &attr, run, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r) {
		close(s->wake);
		free(s);
		return slu_fail_sys(e, r, "cannot start a thread");
	}
	*ret = s;
	return 0;
}

void slu_control_stop(struct slu_control *s)
{
	uint64_t one = 1;

	if (!s)
		return;
	while (write(s->wake, &one, sizeof one) < 0 && errno == EINTR)
		;
	pthread_join(s->thread, NULL);
	for (int i = 0; i < SLU_CONTROL_CLIENTS; i++)
		client_drop(&s->client[i]);
	close(s->wake);
	free(s);
}
