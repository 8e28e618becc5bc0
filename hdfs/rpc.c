/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a NameNode (rpc.h).  Frames are four bytes of length and messages each behind its own
 * length.  What goes wrong with the connection ends all its calls; who called decides what to send again.
 * Not here: which NameNode, and what a call means (namenode.c).
 */
#include "hdfs/rpc.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/errors.h"
#include "hdfs/hdfs.pb-c.h"
#include "io/dial.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROTOCOL "org.apache.hadoop.hdfs.protocol.ClientProtocol"
#define CONTEXT_ID (-3)
#define KIND_PROTOBUF 2
#define FATAL 2                /* status: the server ends the connection */
#define FRAME_MAX (128u << 20) /* ipc.maximum.data.length */
#define OUT_MAX (64u << 20)
#define IN_SIZE (64u << 10)
#define CONNECT_NS (5 * SLU_SEC)
#define IDLE_NS (10 * SLU_SEC) /* ipc.client.connection.maxidletime */

enum state { IDLE, DIALING, SIGNING, READY };

struct slu_rpc {
	struct slu_rpc_conf conf;
	enum state state;
	struct slu_dial dial;
	int fd;
	struct slu_watch *watch;
	struct slu_timer *timer;
	struct slu_rpc_call *first, *last; /* not answered, oldest first */
	struct slu_rpc_sign *sign;         /* NULL: simple authentication */
	struct slu_buf out, inner;         /* inner: frames that came protected */
	size_t out_off;
	uint8_t *in;
	size_t in_len, in_cap;
	int64_t since;    /* something came last, or the first call */
	bool ours;        /* signing in: the next word is ours, and a KDC may be asked for it */
	bool freed, busy; /* busy: inside a callback of ours, which looks at `freed` afterwards */
};

/* --- messages --- */

static void add_header(struct slu_buf *b, const struct slu_rpc *r, int32_t id, int32_t retry,
		       int64_t state)
{
	Slu__Pb__RpcRequestHeader h = SLU__PB__RPC_REQUEST_HEADER__INIT;

	h.has_rpc_kind = h.has_rpc_op = h.has_retry_count = 1;
	h.rpc_kind = KIND_PROTOBUF;
	h.call_id = id;
	h.retry_count = retry;
	h.has_state_id = state != 0;
	h.state_id = state;
	h.client_id.data = (uint8_t *)r->conf.client_id;
	h.client_id.len = SLU_RPC_CLIENT_ID;
	slu_pb_message(b, &h.base);
}

/* Puts the length in front of what was added since `at`. */
static void end_frame(struct slu_buf *b, size_t at)
{
	size_t n = b->len - at - 4;

	if (b->err)
		return;
	for (unsigned i = 0; i < 4; i++)
		b->p[at + i] = (char)(n >> (24 - 8 * i));
}

static size_t begin_frame(struct slu_buf *b)
{
	size_t at = b->len;

	slu_buf_add(b, "\0\0\0\0", 4);
	return at;
}

static void add_greeting(struct slu_rpc *r)
{
	Slu__Pb__UserInformation user = SLU__PB__USER_INFORMATION__INIT;
	Slu__Pb__IpcConnectionContext c = SLU__PB__IPC_CONNECTION_CONTEXT__INIT;
	size_t at;

	if (!r->sign) {
		slu_buf_add(&r->out, "hrpc\x09\0\0", 7); /* version 9, service class 0, no SASL */
		user.effective_user = (char *)r->conf.user;
	}
	c.user_info = &user;
	c.protocol = (char *)PROTOCOL;
	at = begin_frame(&r->out);
	add_header(&r->out, r, CONTEXT_ID, -1, 0);
	slu_pb_message(&r->out, &c.base);
	end_frame(&r->out, at);
}

static void add_call(struct slu_rpc *r, const struct slu_rpc_call *c)
{
	Slu__Pb__RequestHeader h = SLU__PB__REQUEST_HEADER__INIT;
	size_t at = begin_frame(&r->out);

	add_header(&r->out, r, c->id, c->retry, c->state);
	h.method = (char *)c->method;
	h.protocol = (char *)PROTOCOL;
	h.version = 1;
	slu_pb_message(&r->out, &h.base);
	slu_pb_add(&r->out, c->msg, c->msg_len);
	end_frame(&r->out, at);
}

/* --- calls --- */

static void list_add(struct slu_rpc *r, struct slu_rpc_call *c)
{
	c->next = NULL;
	c->prev = r->last;
	*(r->last ? &r->last->next : &r->first) = c;
	r->last = c;
}

static void list_del(struct slu_rpc *r, struct slu_rpc_call *c)
{
	*(c->prev ? &c->prev->next : &r->first) = c->next;
	*(c->next ? &c->next->prev : &r->last) = c->prev;
}

static void end_call(struct slu_rpc *r, struct slu_rpc_call *c, int rc)
{
	list_del(r, c);
	c->rc = rc;
	c->done(c);
}

static void set_timer(struct slu_rpc *r)
{
	int64_t at = INT64_MAX;

	for (const struct slu_rpc_call *c = r->first; c; c = c->next)
		if (c->deadline < at)
			at = c->deadline;
	if (!r->first && r->state == READY)
		at = slu_deadline_in(IDLE_NS);
	if (at != INT64_MAX)
		slu_timer_set(r->timer, at);
}

static void close_socket(struct slu_rpc *r)
{
	slu_watch_free(r->watch);
	r->watch = NULL;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	r->state = IDLE;
	slu_rpc_sign_free(r->sign);
	r->sign = NULL;
	slu_buf_clear(&r->out);
	slu_buf_clear(&r->inner);
	r->out_off = 0;
	r->in_len = 0;
}

/* The connection is over: with it all calls, those that begin meanwhile on a new one. */
static void end_all(struct slu_rpc *r, const struct slu_err *why)
{
	struct slu_rpc_call *all = r->first;

	close_socket(r);
	r->first = r->last = NULL;
	while (all) {
		struct slu_rpc_call *c = all;

		all = c->next;
		c->err = *why;
		c->rc = -why->code;
		c->done(c);
	}
}

static void broken(struct slu_rpc *r, int code, const char *what)
{
	struct slu_err e;

	slu_fail_sys(&e, code, "%s '%s:%u'", what, r->conf.host, r->conf.port);
	end_all(r, &e);
}

/* --- answers --- */

static void take_error(struct slu_rpc_call *c, const Slu__Pb__RpcResponseHeader *h)
{
	c->rc = slu_hdfs_error_of(h->exception_class ? h->exception_class : "",
				  h->error_msg ? h->error_msg : "", &c->err);
	c->sent = false; /* it has been looked at: nothing is unknown */
}

/* To whom it is.  A fatal answer does not always say, and ends all. */
static struct slu_rpc_call *find_call(struct slu_rpc *r, const Slu__Pb__RpcResponseHeader *h)
{
	struct slu_rpc_call *c = r->first;

	while (c && (uint32_t)c->id != h->call_id)
		c = c->next;
	return c || h->status != FATAL ? c : r->first;
}

/* The message at p behind its length: -EPROTO when it is cut. */
static int cut_message(const uint8_t **p, size_t *n, const uint8_t **ret, size_t *ret_len)
{
	uint32_t len;
	int used = slu_pb_varint(*p, *n, &len);

	if (used <= 0 || len > *n - (size_t)used)
		return -EPROTO;
	*ret = *p + used;
	*ret_len = len;
	*p += (size_t)used + len;
	*n -= (size_t)used + len;
	return 0;
}

/* One frame.  Negative: nothing after it can be trusted. */
static int take_frame(struct slu_rpc *r, const uint8_t *p, size_t n)
{
	Slu__Pb__RpcResponseHeader *h;
	struct slu_rpc_call *c;
	const uint8_t *m = NULL;
	size_t len = 0;
	bool fatal;

	if (cut_message(&p, &n, &m, &len))
		return -EPROTO;
	h = slu__pb__rpc_response_header__unpack(NULL, len, m);
	if (!h)
		return -EPROTO;
	fatal = h->status == FATAL;
	c = find_call(r, h);
	if (c)
		c->seen = h->has_state_id ? h->state_id : 0;
	if (c && h->status) {
		take_error(c, h);
		end_call(r, c, c->rc);
	} else if (c && !cut_message(&p, &n, &c->resp, &c->resp_len)) {
		end_call(r, c, 0);
	} else if (c) {
		fatal = true;
	}
	slu__pb__rpc_response_header__free_unpacked(h, NULL);
	return fatal ? -ECONNRESET : 0;
}

/* A frame that others are in; those may be cut anywhere. */
static int take_sealed(struct slu_rpc *r, const uint8_t *p, size_t n)
{
	struct slu_buf *b = &r->inner;
	struct slu_err e;
	size_t at = 0;
	int rc = slu_rpc_sign_open(r->sign, p, n, b, &e);

	while (!rc && !r->freed && r->state == READY && b->len - at >= 4) {
		uint32_t len = slu_be32((uint8_t *)b->p + at);

		if (len > FRAME_MAX)
			return -EPROTO;
		if (b->len - at - 4 < len)
			break;
		rc = take_frame(r, (uint8_t *)b->p + at + 4, len);
		at += 4 + (size_t)len;
	}
	if (at && at <= b->len) {
		memmove(b->p, b->p + at, b->len - at);
		b->len -= at;
	}
	return rc;
}

static int take_any(struct slu_rpc *r, const uint8_t *p, size_t n)
{
	if (r->state == SIGNING) {
		r->ours = true;
		slu_rpc_sign_frame(r->sign, p, n);
		return 0;
	}
	if (r->sign && slu_rpc_sign_seals(r->sign))
		return take_sealed(r, p, n);
	return take_frame(r, p, n);
}

/* All whole frames of what is there. */
static int take_frames(struct slu_rpc *r)
{
	size_t at = 0;
	int rc = 0;

	while (!rc && !r->freed && r->fd >= 0 && r->in_len - at >= 4) {
		uint32_t n = slu_be32(r->in + at);

		if (n > FRAME_MAX)
			return -EPROTO;
		if (r->in_len - at - 4 < n)
			break;
		rc = take_any(r, r->in + at + 4, n);
		at += 4 + (size_t)n;
	}
	if (r->fd < 0)
		return rc;
	if (at) {
		memmove(r->in, r->in + at, r->in_len - at);
		r->in_len -= at;
	}
	return rc;
}

/* Room for the frame that has begun. */
static int make_room(struct slu_rpc *r)
{
	size_t want = r->in_len >= 4 ? 4 + (size_t)slu_be32(r->in) : 0;
	uint8_t *p;

	if (want < IN_SIZE)
		want = IN_SIZE;
	if (want == r->in_cap || (want < r->in_cap && r->in_len))
		return 0;
	p = slu_reallocarray(r->in, want, 1);
	if (!p)
		return -ENOMEM;
	r->in = p;
	r->in_cap = want;
	return 0;
}

static int receive(struct slu_rpc *r)
{
	for (;;) {
		int rc = make_room(r);
		size_t room = r->in_cap - r->in_len;
		ssize_t n = rc ? rc : recv(r->fd, r->in + r->in_len, room, 0);

		if (rc)
			return rc;
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (n == 0)
			return -ECONNRESET;
		r->since = slu_now();
		r->in_len += (size_t)n;
		rc = take_frames(r);
		if (rc || r->freed || r->fd < 0 || (size_t)n < room)
			return rc;
	}
}

static int transmit(struct slu_rpc *r)
{
	while (r->out_off < r->out.len) {
		ssize_t n =
			send(r->fd, r->out.p + r->out_off, r->out.len - r->out_off, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			slu_watch_set(r->watch, POLLIN | POLLOUT);
			return 0;
		}
		if (n < 0)
			return -errno;
		r->out_off += (size_t)n;
	}
	slu_buf_clear(&r->out);
	r->out_off = 0;
	slu_watch_set(r->watch, POLLIN);
	return 0;
}

/* What was added since at is protected, where that was agreed. */
static int seal(struct slu_rpc *r, size_t at, struct slu_err *e)
{
	if (!r->sign || !slu_rpc_sign_seals(r->sign))
		return 0;
	return slu_rpc_sign_seal(r->sign, &r->out, at, e);
}

static void really_free(struct slu_rpc *r)
{
	slu_timer_free(r->timer);
	slu_rpc_sign_free(r->sign);
	slu_buf_done(&r->out);
	slu_buf_done(&r->inner);
	free(r->in);
	free(r);
}

static void leave(struct slu_rpc *r)
{
	r->busy = false;
	if (r->freed)
		really_free(r);
	else
		set_timer(r);
}

static void on_socket(void *arg, short revents)
{
	struct slu_rpc *r = arg;
	int rc = 0;

	r->busy = true;
	if (revents & POLLOUT)
		rc = transmit(r);
	if (!rc && revents & (POLLIN | POLLERR | POLLHUP))
		rc = receive(r);
	if (rc && !r->freed && r->fd >= 0)
		broken(r, -rc, "the connection was lost to");
	leave(r);
}

/* --- connecting --- */

/* From now on calls are sent: those that wait first. */
static int get_ready(struct slu_rpc *r, struct slu_err *e)
{
	size_t at = r->out.len;
	int rc;

	r->state = READY;
	add_greeting(r);
	for (struct slu_rpc_call *c = r->first; c; c = c->next) {
		add_call(r, c);
		c->sent = true;
	}
	rc = slu_buf_err(&r->out);
	if (rc)
		return slu_fail_oom(e);
	rc = seal(r, at, e);
	if (!rc && (rc = transmit(r)))
		slu_fail_sys(e, -rc, "the connection was lost to '%s:%u'", r->conf.host,
			     r->conf.port);
	return rc;
}

/* Signing in goes on, or is over. */
static void on_sign(void *user, int rc, const struct slu_err *why)
{
	struct slu_rpc *r = user;
	bool was_busy = r->busy;
	struct slu_err e = {0};

	r->busy = true;
	if (rc) {
		e = *why;
		e.code = -rc;
		slu_fail_more(&e, "signing in at '%s:%u'", r->conf.host, r->conf.port);
	} else {
		r->ours = false;
		r->since = slu_now();
		slu_rpc_sign_take(r->sign, &r->out);
		if (slu_rpc_sign_over(r->sign))
			rc = get_ready(r, &e);
		else if ((rc = slu_buf_err(&r->out) ? -ENOMEM : transmit(r)))
			slu_fail_sys(&e, -rc, "the connection was lost to '%s:%u'", r->conf.host,
				     r->conf.port);
	}
	if (rc)
		end_all(r, &e);
	r->busy = was_busy;
	if (!was_busy)
		leave(r);
}

static int begin_signing(struct slu_rpc *r, struct slu_err *e)
{
	struct slu_rpc_sign_conf conf = {
		.who = r->conf.who,
		.loop = r->conf.loop,
		.pool = r->conf.pool,
		.host = r->conf.host,
		.event = on_sign,
		.user = r,
	};

	r->state = SIGNING;
	r->ours = false;
	if (slu_rpc_sign_new(&conf, &r->sign))
		return slu_fail_oom(e);
	slu_rpc_sign_begin(r->sign, &r->out);
	if (slu_buf_err(&r->out))
		return slu_fail_oom(e);
	int rc = transmit(r);

	return rc < 0 ? slu_fail_sys(e, -rc, "the connection was lost to '%s:%u'", r->conf.host,
				     r->conf.port)
		      : 0;
}

static void dialed(struct slu_dial *d)
{
	struct slu_rpc *r = d->user;
	bool was_busy = r->busy;
	int rc = d->rc;

	r->busy = true;
	r->state = IDLE;
	if (!rc) {
		r->since = slu_now();
		r->fd = d->fd;
		rc = slu_watch_new(r->conf.loop, r->fd, POLLIN, on_socket, r, &r->watch);
		if (rc)
			slu_fail_oom(&d->err);
	}
	if (!rc) {
		rc = r->conf.who ? begin_signing(r, &d->err) : get_ready(r, &d->err);
	}
	if (rc)
		end_all(r, &d->err);
	r->busy = was_busy;
	if (!was_busy)
		leave(r);
}

static void dial(struct slu_rpc *r)
{
	int64_t end = slu_deadline_in(CONNECT_NS);

	r->state = DIALING;
	r->dial = (struct slu_dial){
		.loop = r->conf.loop,
		.pool = r->conf.pool,
		.host = r->conf.host,
		.port = r->conf.port,
		.deadline = r->first->deadline < end ? r->first->deadline : end,
		.done = dialed,
		.user = r,
	};
	slu_dial_start(&r->dial);
}

void slu_rpc_send(struct slu_rpc *r, struct slu_rpc_call *c)
{
	bool was_busy = r->busy;
	int rc = 0;

	r->busy = true;
	c->rc = 0;
	c->sent = false;
	c->err = (struct slu_err){0};
	if (!r->first)
		r->since = slu_now();
	list_add(r, c);
	if (r->state == READY) {
		bool idle = r->out_off == r->out.len;
		size_t at = r->out.len;

		c->sent = true;
		add_call(r, c);
		rc = slu_buf_err(&r->out);
		if (!rc)
			rc = seal(r, at, NULL);
		if (!rc && idle)
			rc = transmit(r);
		if (rc)
			broken(r, -rc, "the connection was lost to");
	} else if (r->state == IDLE) {
		dial(r);
	}
	r->busy = was_busy;
	if (!was_busy)
		leave(r);
}

void slu_rpc_cancel(struct slu_rpc *r, struct slu_rpc_call *c)
{
	slu_fail(&c->err, ECANCELED, "canceled");
	end_call(r, c, -ECANCELED);
}

int64_t slu_rpc_quiet(const struct slu_rpc *r)
{
	if (!r->first)
		return 0;
	return r->state == SIGNING && r->ours ? slu_now() : r->since;
}

void slu_rpc_give_up(struct slu_rpc *r, const struct slu_err *why)
{
	bool was_busy = r->busy;

	if (r->state == DIALING)
		return;
	r->busy = true;
	end_all(r, why);
	r->busy = was_busy;
	if (!was_busy)
		leave(r);
}

static void on_timer(void *arg)
{
	struct slu_rpc *r = arg;
	int64_t now = slu_now();

	r->busy = true;
	if (!r->first && r->state == READY)
		close_socket(r);
	for (struct slu_rpc_call *c = r->first; c && !r->freed;) {
		if (c->deadline > now) {
			c = c->next;
			continue;
		}
		slu_fail(&c->err, ETIMEDOUT, "'%s:%u' did not answer in time", r->conf.host,
			 r->conf.port);
		end_call(r, c, -ETIMEDOUT);
		c = r->first; /* done() may have ended others */
	}
	leave(r);
}

int slu_rpc_new(const struct slu_rpc_conf *conf, struct slu_rpc **ret)
{
	struct slu_rpc *r = slu_new0(struct slu_rpc);
	int rc;

	if (!r)
		return -ENOMEM;
	r->conf = *conf;
	r->fd = -1;
	r->out = SLU_BUF(OUT_MAX);
	r->inner = SLU_BUF(2 * (size_t)FRAME_MAX);
	rc = slu_timer_new(conf->loop, on_timer, r, &r->timer);
	if (rc) {
		free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

void slu_rpc_free(struct slu_rpc *r)
{
	struct slu_err e;

	if (!r)
		return;
	slu_fail(&e, ECANCELED, "canceled");
	if (r->state == DIALING) {
		r->busy = true;
		slu_dial_cancel(&r->dial);
		r->busy = false;
	}
	end_all(r, &e);
	r->freed = true;
	if (!r->busy && r->state != DIALING)
		really_free(r);
}
