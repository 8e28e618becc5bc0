/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake of protected data transfer (dn_dial.h): a number that no version of the protocol is, then messages, each
 * behind its length, with the steps of DIGEST-MD5 by the NameNode's key or the block's token.  With privacy AES is offered; a DataNode without it
 * stays with what DIGEST-MD5 has.
 */
#include "hdfs/dn_dial.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/rpc.h"
#include "hdfs/sasl.h"
#include "io/cipher.h"
#include "io/crypt.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX (64u << 10)
#define PRIVILEGED 1024 /* ports below are root's: such a DataNode needs no SASL */
#define SHAKE_NS (15 * SLU_SEC)
#define AES_CTR 2
#define IV 16
#define SERVICE "hdfs/0"

enum { GOOD, UNKNOWN_KEY, ERROR };

static void dial_plain(struct slu_dn_dial *d);
static void begin(struct slu_dn_dial *d);

/* --- the end --- */

static void clean(struct slu_dn_dial *d)
{
	slu_watch_free(d->watch);
	slu_timer_free(d->timer);
	slu_sasl_free(d->sasl);
	slu_buf_done(&d->in);
	slu_buf_done(&d->out);
	slu_dn_key_unref(slu_take(d->wait.key));
	d->watch = NULL;
	d->timer = NULL;
	d->sasl = NULL;
	d->talking = false;
}

static void finish(struct slu_dn_dial *d, int rc)
{
	struct slu_dial *dial = &d->dial;

	clean(d);
	if (rc && dial->fd >= 0) {
		close(dial->fd);
		dial->fd = -1;
	}
	dial->rc = rc;
	dial->user = d->user;
	d->done(dial);
}

static void fail(struct slu_dn_dial *d, int code, const char *what)
{
	finish(d, slu_fail(&d->dial.err, code, "'%s:%u' %s", d->dial.host, d->dial.port, what));
}

/* It hung up: one without SASL does so, when it is told a version that it does not know.  That one did says nothing of the
 * others: it may just have died. */
static void hung_up(struct slu_dn_dial *d)
{
	if (d->heard || d->wait.key || atomic_load(&d->trust->way) != SLU_DN_UNKNOWN) {
		fail(d, ECONNRESET, "hung up");
		return;
	}
	clean(d);
	close(d->dial.fd);
	dial_plain(d);
}

/* The NameNode has a newer one, unless that is the one. */
static void key_refused(struct slu_dn_dial *d)
{
	slu_dn_key_refused(&d->trust->keys, d->wait.key);
	if (d->again) {
		fail(d, EAGAIN, "does not know the NameNode's key for encrypted data");
		return;
	}
	clean(d);
	close(d->dial.fd);
	d->again = true;
	d->heard = false;
	d->steps = 0;
	begin(d);
}

static void cannot(struct slu_dn_dial *d, const char *what)
{
	atomic_store(&d->trust->way, SLU_DN_CANNOT);
	fail(d, ECONNRESET, what);
}

/* --- what is agreed --- */

static int open_key(struct slu_dn_dial *d, const ProtobufCBinaryData *sealed, struct slu_buf *ret)
{
	return slu_sasl_unwrap(d->sasl, sealed->data, sealed->len, ret, NULL);
}

static int make_aes(struct slu_dn_dial *d, const Slu__Pb__CipherOption *o, struct slu_dn_codec *c)
{
	struct slu_buf in = SLU_BUF(256), out = SLU_BUF(256);
	int r = -EPROTO;

	if (o->suite == AES_CTR && o->in_iv.len == IV && o->out_iv.len == IV &&
	    !open_key(d, &o->in_key, &in) && !open_key(d, &o->out_key, &out)) {
		/* in and out are the DataNode's */
		r = slu_cipher_new(SLU_AES_CTR, false, (uint8_t *)out.p, out.len, o->out_iv.data,
				   &c->in);
		if (!r)
			r = slu_cipher_new(SLU_AES_CTR, true, (uint8_t *)in.p, in.len,
					   o->in_iv.data, &c->out);
	}
	if (in.p)
		explicit_bzero(in.p, in.len);
	if (out.p)
		explicit_bzero(out.p, out.len);
	slu_buf_done(&in);
	slu_buf_done(&out);
	return r;
}

static void agreed(struct slu_dn_dial *d, const Slu__Pb__DataTransferEncryptorMessage *m)
{
	struct slu_dn_codec c = {0};
	int fd, r = 0;

	if (!d->wait.key)
		atomic_store(&d->trust->way, SLU_DN_SASL);
	if (d->in.len) {
		fail(d, EPROTO, "does not keep to SASL");
		return;
	}
	if (slu_sasl_qop(d->sasl) == SLU_QOP_AUTH) {
		finish(d, 0);
		return;
	}
	if (m->n_cipher_options)
		r = make_aes(d, m->cipher_options[0], &c);
	else
		c.sasl = slu_take(d->sasl);
	slu_watch_free(slu_take(d->watch)); /* the relay has its own */
	if (!r)
		r = slu_dn_relay_new(d->trust, d->dial.loop, d->dial.fd, &c, &fd);
	slu_dn_codec_done(&c);
	if (r < 0) {
		fail(d, -r, "cannot be spoken to as was agreed");
	} else {
		d->dial.fd = fd;
		finish(d, 0);
	}
}

/* --- messages --- */

static int transmit(struct slu_dn_dial *d)
{
	/* Some hundred bytes into a buffer that is empty: less than all means that it is dead. */
	ssize_t n = send(d->dial.fd, d->out.p, d->out.len, MSG_NOSIGNAL);
	bool all = n == (ssize_t)d->out.len;

	slu_buf_clear(&d->out);
	return all ? 0 : -ECONNRESET;
}

static void add_message(struct slu_dn_dial *d, const void *p, size_t n, bool offer)
{
	Slu__Pb__DataTransferEncryptorMessage m = SLU__PB__DATA_TRANSFER_ENCRYPTOR_MESSAGE__INIT;
	Slu__Pb__CipherOption aes = SLU__PB__CIPHER_OPTION__INIT, *all[] = {&aes};

	m.status = GOOD;
	m.has_payload = 1;
	m.payload.data = n ? (uint8_t *)p : (uint8_t *)"";
	m.payload.len = n;
	aes.suite = AES_CTR;
	if (offer) {
		m.cipher_options = all;
		m.n_cipher_options = 1;
	}
	slu_pb_message(&d->out, &m.base);
}

static void said(struct slu_dn_dial *d, const Slu__Pb__DataTransferEncryptorMessage *m)
{
	SLU_AUTO(slu_buf_done) struct slu_buf answer = SLU_BUF(MESSAGE_MAX);
	bool done;
	int r;

	if (m->status != GOOD || !m->has_payload) {
		if (d->wait.key && m->status == UNKNOWN_KEY)
			key_refused(d);
		else if (m->access_token_error)
			finish(d, slu_fail(&d->dial.err, EKEYEXPIRED,
					   "'%s:%u' does not take the block's token", d->dial.host,
					   d->dial.port));
		else
			cannot(d, "wants to be spoken to in another way");
		return;
	}
	r = slu_sasl_step(d->sasl, m->payload.data, m->payload.len, &answer, &done, &d->dial.err);
	if (r == -ENOTSUP || r == -EPROTO) {
		cannot(d, "wants a protection that is not known");
	} else if (r < 0) {
		finish(d, r);
	} else if (slu_sasl_complete(d->sasl)) {
		agreed(d, m);
	} else if (d->steps++) {
		fail(d, EPROTO, "does not keep to SASL");
	} else {
		add_message(d, answer.p, answer.len, slu_sasl_qop(d->sasl) == SLU_QOP_PRIVACY);
		if (slu_buf_err(&d->out))
			finish(d, slu_fail_oom(&d->dial.err));
		else if (transmit(d))
			fail(d, ECONNRESET, "hung up");
	}
}

/* One message, if it is there. */
static void take_message(struct slu_dn_dial *d)
{
	Slu__Pb__DataTransferEncryptorMessage *m;
	uint32_t len;
	int used = slu_pb_varint((uint8_t *)d->in.p, d->in.len, &len);

	if (used == 0 || (used > 0 && len < MESSAGE_MAX && d->in.len < (size_t)used + len))
		return;
	m = used < 0 || len >= MESSAGE_MAX ? NULL
					   : slu__pb__data_transfer_encryptor_message__unpack(
						     NULL, len, (uint8_t *)d->in.p + used);
	if (!m) {
		fail(d, EPROTO, "does not keep to SASL");
		return;
	}
	memmove(d->in.p, d->in.p + used + len, d->in.len - len - (size_t)used);
	d->in.len -= len + (size_t)used;
	d->heard = true;
	said(d, m);
	slu__pb__data_transfer_encryptor_message__free_unpacked(m, NULL);
}

static void on_socket(void *arg, short revents)
{
	struct slu_dn_dial *d = arg;
	char piece[4096];
	ssize_t n = recv(d->dial.fd, piece, sizeof(piece), 0);

	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hung_up(d);
		return;
	}
	slu_buf_add(&d->in, piece, (size_t)n);
	if (slu_buf_err(&d->in))
		fail(d, EPROTO, "does not keep to SASL");
	else
		take_message(d);
}

static void on_late(void *arg)
{
	fail(arg, ETIMEDOUT, "does not answer");
}

/* --- the beginning --- */

static int make_token_sasl(struct slu_dn_dial *d)
{
	const Slu__Pb__Token *t = d->token;
	SLU_AUTO(slu_freep) char *name = slu_base64(t->identifier.data, t->identifier.len);
	SLU_AUTO(slu_freep) char *password = slu_base64(t->password.data, t->password.len);
	int r = -ENOMEM;

	if (name && password)
		r = slu_sasl_digest(name, password, SERVICE,
				    SLU_QOP_AUTH | SLU_QOP_INTEGRITY | SLU_QOP_PRIVACY, &d->sasl);
	if (password)
		explicit_bzero(password, strlen(password));
	return r;
}

static int make_sasl(struct slu_dn_dial *d)
{
	const struct slu_dn_key *key = d->wait.key;

	return key ? slu_sasl_digest(key->name, key->password, SERVICE, SLU_QOP_PRIVACY, &d->sasl)
		   : make_token_sasl(d);
}

static void shake(struct slu_dn_dial *d)
{
	int64_t end = slu_deadline_in(SHAKE_NS);

	d->talking = true;
	d->in = d->out = SLU_BUF(2 * MESSAGE_MAX);
	slu_buf_add(&d->out, "\xde\xad\xbe\xef", 4);
	add_message(d, NULL, 0, false);
	if (make_sasl(d) || slu_buf_err(&d->out) ||
	    slu_watch_new(d->dial.loop, d->dial.fd, POLLIN, on_socket, d, &d->watch) ||
	    slu_timer_new(d->dial.loop, on_late, d, &d->timer)) {
		finish(d, slu_fail_oom(&d->dial.err));
		return;
	}
	slu_timer_set(d->timer,
		      d->dial.deadline && d->dial.deadline < end ? d->dial.deadline : end);
	if (transmit(d))
		hung_up(d);
}

static void connected(struct slu_dial *dial)
{
	struct slu_dn_dial *d = dial->user;

	if (dial->rc || d->plain)
		finish(d, dial->rc);
	else
		shake(d);
}

static void dial_again(struct slu_dn_dial *d)
{
	struct slu_dial *dial = &d->dial;

	*dial = (struct slu_dial){.loop = dial->loop,
				  .pool = dial->pool,
				  .host = dial->host,
				  .port = dial->port,
				  .deadline = dial->deadline,
				  .done = connected,
				  .user = d};
	slu_dial_start(dial);
}

static void dial_plain(struct slu_dn_dial *d)
{
	d->plain = true;
	dial_again(d);
}

/* With the key, or as the block's token and the others have it. */
static void keyed(struct slu_dn_key_wait *w)
{
	struct slu_dn_dial *d =
		(struct slu_dn_dial *)((char *)w - offsetof(struct slu_dn_dial, wait));
	bool token = d->token && d->token->identifier.len;

	d->waiting = false;
	if (w->rc) {
		d->dial.err = w->err;
		slu_fail_more(&d->dial.err, "how '%s:%u' wants to be spoken to", d->dial.host,
			      d->dial.port);
		finish(d, w->rc);
		return;
	}
	d->plain = !w->key && (atomic_load(&d->trust->way) == SLU_DN_PLAIN || !token ||
			       d->dial.port < PRIVILEGED);
	dial_again(d);
}

static void begin(struct slu_dn_dial *d)
{
	d->dial.fd = -1;
	d->wait = (struct slu_dn_key_wait){.done = keyed};
	d->waiting = true;
	slu_dn_key_get(&d->trust->keys, d->dial.loop, &d->wait);
}

void slu_dn_dial_start(struct slu_dn_dial *d)
{
	d->done = d->dial.done;
	d->user = d->dial.user;
	if (d->trust && d->trust->hostnames && d->id && *d->id->host_name)
		d->dial.host = d->id->host_name;
	if (d->trust)
		begin(d);
	else
		slu_dial_start(&d->dial);
}

void slu_dn_dial_cancel(struct slu_dn_dial *d)
{
	if (d->talking || (d->waiting && slu_dn_key_cancel(&d->wait)))
		finish(d, slu_fail(&d->dial.err, ECANCELED, "canceled"));
	else
		slu_dial_cancel(&d->dial);
}
