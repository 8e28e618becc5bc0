/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay between plain data transfer and a protected connection (dn_dial.h).  Nothing is read on one side before what
 * came from it has left on the other: so it holds one piece a direction.  It ends when either side does.
 */
#include "hdfs/dn_dial.h"

#include "common/mem.h"
#include "hdfs/rpc.h"
#include "hdfs/sasl.h"
#include "io/cipher.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE (64u << 10)
#define FRAME_MAX (16u << 20)

struct side {
	int fd;
	struct slu_watch *watch;
	struct slu_buf out; /* what this side gets */
	size_t off;
	bool ended; /* nothing more comes from it */
};

struct slu_dn_relay {
	struct slu_dn_trust *trust;
	struct slu_dn_relay *prev, *next;
	struct slu_loop *loop;
	struct slu_dn_codec codec;
	struct side net, own;
	struct slu_buf frame; /* a protected message that has begun */
};

void slu_dn_codec_done(struct slu_dn_codec *c)
{
	slu_sasl_free(c->sasl);
	slu_cipher_free(c->in);
	slu_cipher_free(c->out);
	*c = (struct slu_dn_codec){0};
}

static void side_done(struct side *s)
{
	slu_watch_free(s->watch);
	if (s->fd >= 0)
		close(s->fd);
	slu_buf_done(&s->out);
}

static void relay_free(struct slu_dn_relay *r)
{
	pthread_mutex_lock(&r->trust->lock);
	*(r->prev ? &r->prev->next : &r->trust->relays) = r->next;
	if (r->next)
		r->next->prev = r->prev;
	pthread_mutex_unlock(&r->trust->lock);
	side_done(&r->net);
	side_done(&r->own);
	slu_dn_codec_done(&r->codec);
	slu_buf_done(&r->frame);
	free(r);
}

/* --- what is done to the bytes --- */

static int protect(struct slu_dn_relay *r, uint8_t *p, size_t n)
{
	struct slu_buf *out = &r->net.out;
	size_t limit = r->codec.sasl ? slu_sasl_limit(r->codec.sasl) : n;

	if (r->codec.out) {
		int rc = slu_cipher_run(r->codec.out, p, p, n);

		slu_buf_add(out, p, n);
		return rc ? rc : slu_buf_err(out);
	}
	for (size_t i = 0; i < n;) {
		size_t len = n - i < limit ? n - i : limit, at = out->len;

		slu_buf_add(out, "\0\0\0\0", 4);
		if (slu_sasl_wrap(r->codec.sasl, p + i, len, out, NULL) || slu_buf_err(out))
			return -EIO;
		for (unsigned k = 0; k < 4; k++)
			out->p[at + k] = (char)((out->len - at - 4) >> (24 - 8 * k));
		i += len;
	}
	return 0;
}

static int unprotect(struct slu_dn_relay *r, uint8_t *p, size_t n)
{
	struct slu_buf *out = &r->own.out, *f = &r->frame;
	size_t at = 0;

	if (r->codec.in) {
		int rc = slu_cipher_run(r->codec.in, p, p, n);

		slu_buf_add(out, p, n);
		return rc ? rc : slu_buf_err(out);
	}
	slu_buf_add(f, p, n);
	while (!slu_buf_err(f) && f->len - at >= 4) {
		size_t len = slu_be32((uint8_t *)f->p + at);

		if (len > FRAME_MAX)
			return -EPROTO;
		if (f->len - at - 4 < len)
			break;
		if (slu_sasl_unwrap(r->codec.sasl, f->p + at + 4, len, out, NULL))
			return -EBADMSG;
		at += 4 + len;
	}
	if (at) {
		memmove(f->p, f->p + at, f->len - at);
		f->len -= at;
	}
	return slu_buf_err(f) ? -ENOMEM : slu_buf_err(out);
}

/* --- moving --- */

/* -errno: the other side of s is gone. */
static int flush(struct side *s)
{
	while (s->off < s->out.len) {
		ssize_t n = send(s->fd, s->out.p + s->off, s->out.len - s->off, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		s->off += (size_t)n;
	}
	slu_buf_clear(&s->out);
	s->off = 0;
	return 0;
}

/* From a side to the other one, while that takes it. */
static int carry(struct slu_dn_relay *r, struct side *from, struct side *to,
		 int (*turn)(struct slu_dn_relay *, uint8_t *, size_t))
{
	uint8_t piece[PIECE];
	int rc = flush(to);

	while (!rc && !to->out.len && !from->ended) {
		ssize_t n = recv(from->fd, piece, sizeof(piece), 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			from->ended = true;
			break;
		}
		rc = turn(r, piece, (size_t)n);
		if (!rc)
			rc = flush(to);
	}
	return rc;
}

static void set_events(struct side *s, const struct side *other)
{
	if (s->ended && s->watch && !s->out.len)
		slu_watch_free(slu_take(s->watch)); /* poll tells an end over and over */
	if (s->watch)
		slu_watch_set(s->watch, (short)((s->out.len ? POLLOUT : 0) |
						(other->out.len || s->ended ? 0 : POLLIN)));
}

static void on_side(void *arg, short revents)
{
	struct slu_dn_relay *r = arg;
	int rc = carry(r, &r->own, &r->net, protect);

	if (!rc)
		rc = carry(r, &r->net, &r->own, unprotect);
	bool over = (r->own.ended && !r->net.out.len) || (r->net.ended && !r->own.out.len);

	if (rc || over || (revents & POLLERR)) {
		relay_free(r);
		return;
	}
	set_events(&r->own, &r->net);
	set_events(&r->net, &r->own);
}

int slu_dn_relay_new(struct slu_dn_trust *t, struct slu_loop *loop, int fd, struct slu_dn_codec *c,
		     int *ret_fd)
{
	struct slu_dn_relay *r = slu_new0(struct slu_dn_relay);
	int pair[2] = {-1, -1}, rc;

	if (!r)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) {
		free(r);
		return -errno;
	}
	r->net.fd = fd;
	r->own.fd = pair[1];
	r->loop = loop;
	r->net.out = r->own.out = r->frame = SLU_BUF(2 * (size_t)FRAME_MAX);
	rc = slu_watch_new(loop, r->net.fd, POLLIN, on_side, r, &r->net.watch);
	if (!rc)
		rc = slu_watch_new(loop, r->own.fd, POLLIN, on_side, r, &r->own.watch);
	if (rc) {
		r->net.fd = -1; /* stays the caller's */
		side_done(&r->net);
		side_done(&r->own);
		close(pair[0]);
		free(r);
		return rc;
	}
	r->codec = *c;
	*c = (struct slu_dn_codec){0};
	r->trust = t;
	pthread_mutex_lock(&t->lock);
	r->next = t->relays;
	if (r->next)
		r->next->prev = r;
	t->relays = r;
	pthread_mutex_unlock(&t->lock);
	*ret_fd = pair[0];
	return 0;
}

void slu_dn_trust_init(struct slu_dn_trust *t, bool secured)
{
	atomic_store(&t->way, secured ? SLU_DN_UNKNOWN : SLU_DN_PLAIN);
	pthread_mutex_init(&t->lock, NULL);
	slu_dn_keys_init(&t->keys);
	t->hostnames = false;
	t->relays = NULL;
}

void slu_dn_trust_close(struct slu_dn_trust *t, const struct slu_loop *loop)
{
	for (;;) {
		struct slu_dn_relay *r;

		pthread_mutex_lock(&t->lock);
		for (r = t->relays; r && r->loop != loop;)
			r = r->next;
		pthread_mutex_unlock(&t->lock);
		if (!r)
			return;
		relay_free(r);
	}
}

void slu_dn_trust_done(struct slu_dn_trust *t)
{
	pthread_mutex_destroy(&t->lock);
	slu_dn_keys_done(&t->keys);
}
