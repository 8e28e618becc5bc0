/* SPDX-License-Identifier: Apache-2.0 */
/* A question to a DataNode (dnask.h): a request of some hundred bytes, a BlockOpResponseProto. */
#include "hdfs/dnask.h"

#include "common/mem.h"
#include "common/time.h"
#include "hdfs/rpc.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRANSFER_VERSION 28
#define TOKEN_REFUSED 5
#define IN_PROGRESS 12
#define STALL_NS (15 * SLU_SEC)

void slu_dn_request(struct slu_buf *b, uint8_t op, const ProtobufCMessage *m)
{
	const uint8_t head[] = {0, TRANSFER_VERSION, op};

	slu_buf_add(b, head, sizeof(head));
	slu_pb_message(b, m);
}

static void end(struct slu_dn_ask *a, int rc)
{
	slu_watch_free(a->watch);
	slu_timer_free(a->timer);
	a->watch = NULL;
	a->timer = NULL;
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
	a->rc = rc;
	a->done(a);
}

static void fail(struct slu_dn_ask *a, int code, const char *what)
{
	end(a,
	    slu_fail(&a->err, code, "the DataNode '%s:%u' %s", a->host, a->dial.dial.port, what));
}

static void take(struct slu_dn_ask *a, Slu__Pb__BlockOpResponse *m)
{
	const char *text = m->message && *m->message ? m->message : "no reason given";

	if (!m->status) {
		a->answer = m;
		end(a, 0);
		return;
	}
	slu_fail(&a->err, m->status == TOKEN_REFUSED ? EKEYEXPIRED : EREMOTEIO,
		 "the DataNode '%s:%u' refused: %.*s", a->host, a->dial.dial.port,
		 (int)strcspn(text, "\r\n"), text);
	slu__pb__block_op_response__free_unpacked(m, NULL);
	end(a, -a->err.code);
}

/* Is a whole answer there? */
static void look(struct slu_dn_ask *a)
{
	uint32_t len;
	int used = slu_pb_varint(a->buf, a->n, &len);
	Slu__Pb__BlockOpResponse *m;

	if (used < 0 || (used > 0 && len > sizeof(a->buf) - 5)) {
		fail(a, EPROTO, "does not keep to the protocol");
		return;
	}
	if (!used || a->n - (size_t)used < len)
		return;
	m = slu__pb__block_op_response__unpack(NULL, len, a->buf + used);
	if (!m) {
		fail(a, EPROTO, "does not keep to the protocol");
	} else if (m->status == IN_PROGRESS) {
		slu__pb__block_op_response__free_unpacked(m, NULL);
		a->n -= (size_t)used + len;
		memmove(a->buf, a->buf + used + len, a->n);
	} else {
		take(a, m);
	}
}

static void on_socket(void *arg, short revents)
{
	struct slu_dn_ask *a = arg;
	ssize_t n = recv(a->fd, a->buf + a->n, sizeof(a->buf) - a->n, 0);

	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(a, n ? errno : ECONNRESET, "hung up");
		return;
	}
	a->n += (size_t)n;
	look(a);
}

static void on_timer(void *arg)
{
	fail(arg, ETIMEDOUT, "does not answer");
}

static void dialed(struct slu_dial *d)
{
	struct slu_dn_ask *a = d->user;
	int64_t at = slu_deadline_in(STALL_NS);

	if (d->rc) {
		a->err = d->err;
		slu_fail_more(&a->err, "DataNode");
		end(a, d->rc);
		return;
	}
	a->fd = d->fd;
	if (slu_watch_new(a->loop, a->fd, POLLIN, on_socket, a, &a->watch)) {
		end(a, slu_fail_oom(&a->err));
		return;
	}
	slu_timer_set(a->timer, a->deadline && a->deadline < at ? a->deadline : at);
	/* Into an empty buffer: less than all means that it is dead. */
	if (send(a->fd, a->request, a->request_len, MSG_NOSIGNAL) != (ssize_t)a->request_len)
		fail(a, EPIPE, "hung up");
}

void slu_dn_ask(struct slu_dn_ask *a)
{
	const Slu__Pb__DatanodeID *id = a->node->id;

	a->fd = -1;
	a->n = 0;
	a->rc = 0;
	a->answer = NULL;
	a->err = (struct slu_err){0};
	a->watch = NULL;
	a->timer = NULL;
	if (slu_timer_new(a->loop, on_timer, a, &a->timer)) {
		end(a, slu_fail_oom(&a->err));
		return;
	}
	snprintf(a->host, sizeof(a->host), "%.60s", id->ip_addr);
	a->dial = (struct slu_dn_dial){.dial = {.loop = a->loop,
						.pool = a->pool,
						.host = a->host,
						.port = (uint16_t)id->xfer_port,
						.deadline = a->deadline,
						.done = dialed,
						.user = a},
				       .trust = a->trust,
				       .id = id,
				       .token = a->token};
	slu_dn_dial_start(&a->dial);
}

void slu_dn_ask_cancel(struct slu_dn_ask *a)
{
	if (a->fd < 0)
		slu_dn_dial_cancel(&a->dial);
	else
		end(a, slu_fail(&a->err, ECANCELED, "canceled"));
}
