/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to DataNodes (datanode.h): a request is a version, an op and a message; what is answered is
 * for packets.c; at the end we say whether it was right, and keep the connection a while.
 */
#include "hdfs/datanode.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/time.h"
#include "hdfs/dn_dial.h"
#include "hdfs/packets.h"
#include "hdfs/rpc.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define TRANSFER_VERSION 28
#define OP_READ 81
#define REQUEST_MAX (64u << 10) /* tokens are some hundred bytes */
#define KEEP_NS (3 * SLU_SEC)   /* dfs.datanode.socket.reuse.keepalive is 4 s */
#define KEEP_MAX 32             /* unused connections of a loop */
#define OWE_NS (5 * SLU_MS)     /* how a read went is told with the next request, or after that */
#define STALL_NS (15 * SLU_SEC)

/* Status of datatransfer.proto. */
enum { DN_ERROR_CHECKSUM = 2, DN_CHECKSUM_OK = 6 };
#define STATUS(x) 2, 8, (x) /* a message: its length, field 1 as varint, the value */

enum phase { DIALING, READING, UNUSED };

struct slu_dn_conn {
	struct slu_dn *dn;
	struct slu_dn_conn *prev, *next; /* of dn->unused */
	struct slu_dn_read *rd;          /* NULL: unused */
	struct slu_dn_dial dial;
	char host[64], key[80];
	int fd;
	struct slu_watch *watch;
	struct slu_timer *timer;
	enum phase phase;
	bool reused;   /* nothing was heard on it since it was taken from the unused */
	bool owes;     /* it was not yet told that the last read was right */
	int64_t since; /* when something last came, or when it became unused */
	struct slu_packets packets;
};

struct slu_dn {
	struct slu_loop *loop;
	struct slu_pool *pool;
	struct slu_dn_trust *trust;
	char *client;
	struct slu_dn_conn *unused, *unused_last; /* newest first */
	unsigned nunused;
};

static void start(struct slu_dn *dn, struct slu_dn_read *rd, bool fresh);

/* --- connections --- */

static void unused_del(struct slu_dn_conn *c)
{
	struct slu_dn *dn = c->dn;

	*(c->prev ? &c->prev->next : &dn->unused) = c->next;
	*(c->next ? &c->next->prev : &dn->unused_last) = c->prev;
	dn->nunused--;
}

static int send_all(struct slu_dn_conn *c, const void *p, size_t n)
{
	/* Some hundred bytes into a buffer that is empty: less than all means that it is dead. */
	ssize_t r = send(c->fd, p, n, MSG_NOSIGNAL);

	return r == (ssize_t)n ? 0 : r < 0 && errno != EAGAIN ? -errno : -EPIPE;
}

/* Tells how it went, as the protocol wants; the read is over whether or not this arrives. */
static int send_status(struct slu_dn_conn *c, uint32_t status)
{
	const uint8_t m[] = {STATUS((uint8_t)status)};

	return send_all(c, m, sizeof(m));
}

static void conn_free(struct slu_dn_conn *c)
{
	if (c->phase == UNUSED)
		unused_del(c);
	if (c->owes)
		(void)send_status(c, DN_CHECKSUM_OK);
	slu_watch_free(c->watch);
	slu_timer_free(c->timer);
	if (c->fd >= 0)
		close(c->fd);
	slu_packets_done(&c->packets);
	free(c);
}

/* The read is over, and the connection is good for another one. */
static void conn_keep(struct slu_dn_conn *c)
{
	struct slu_dn *dn = c->dn;

	c->rd = NULL;
	c->phase = UNUSED;
	c->prev = NULL;
	c->next = dn->unused;
	*(dn->unused ? &dn->unused->prev : &dn->unused_last) = c;
	dn->unused = c;
	dn->nunused++;
	c->since = slu_now();
	c->owes = true;
	slu_timer_set(c->timer, c->since + OWE_NS);
	if (dn->nunused > KEEP_MAX)
		conn_free(dn->unused_last);
}

static void end(struct slu_dn_conn *c, int rc, bool keep)
{
	struct slu_dn_read *rd = c->rd;

	rd->conn = NULL;
	rd->rc = rc;
	if (keep)
		conn_keep(c);
	else
		conn_free(c);
	rd->done(rd);
}

static void fail(struct slu_dn_conn *c, int code, const char *what)
{
	end(c, slu_fail(&c->rd->err, code, "the DataNode '%s' %s", c->key, what), false);
}

/* The connection broke.  One that had been waiting to be used again may have been closed by the other
 * side just then: that says nothing, so a new one is made. */
static void broke(struct slu_dn_conn *c, int code)
{
	struct slu_dn_read *rd = c->rd;
	struct slu_dn *dn = c->dn;

	if (c->reused && !slu_expired(rd->deadline)) {
		rd->conn = NULL;
		conn_free(c);
		start(dn, rd, true);
		return;
	}
	slu_fail_sys(&rd->err, code, "the connection to the DataNode '%s' was lost", c->key);
	end(c, -code, false);
}

static int64_t stalled_at(const struct slu_dn_conn *c)
{
	return c->since + (c->rd->patience ? c->rd->patience : STALL_NS);
}

static void set_timer(struct slu_dn_conn *c)
{
	int64_t at = stalled_at(c);

	if (c->rd->deadline && c->rd->deadline < at)
		at = c->rd->deadline;
	slu_timer_set(c->timer, at);
}

static void unused_late(struct slu_dn_conn *c)
{
	bool told = c->owes && !send_status(c, DN_CHECKSUM_OK);

	c->owes = false;
	if (told)
		slu_timer_set(c->timer, c->since + KEEP_NS);
	else
		conn_free(c);
}

static void on_timer(void *arg)
{
	struct slu_dn_conn *c = arg;

	if (c->phase == UNUSED)
		unused_late(c);
	else if (slu_expired(c->rd->deadline) || slu_now() >= stalled_at(c))
		fail(c, ETIMEDOUT, "stopped sending");
	else
		set_timer(c);
}

/* --- sending --- */

static int send_request(struct slu_dn_conn *c)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(REQUEST_MAX);
	Slu__Pb__BaseHeader base = SLU__PB__BASE_HEADER__INIT;
	Slu__Pb__ClientOperationHeader header = SLU__PB__CLIENT_OPERATION_HEADER__INIT;
	Slu__Pb__OpReadBlock op = SLU__PB__OP_READ_BLOCK__INIT;
	const struct slu_dn_read *rd = c->rd;
	const uint8_t head[] = {0, TRANSFER_VERSION, OP_READ}, right[] = {STATUS(DN_CHECKSUM_OK)};

	base.block = (Slu__Pb__ExtendedBlock *)rd->block;
	base.token = (Slu__Pb__Token *)rd->token;
	header.base_header = &base;
	header.client_name = c->dn->client;
	op.header = &header;
	op.offset = rd->off;
	op.len = rd->len;
	op.has_send_checksums = op.send_checksums = 1;
	if (c->owes)
		slu_buf_add(&b, right, sizeof(right));
	c->owes = false;
	slu_buf_add(&b, head, sizeof(head));
	slu_pb_message(&b, &op.base);
	return slu_buf_err(&b) ? -ENOMEM : send_all(c, b.p, b.len);
}

/* --- receiving --- */

static void on_data(struct slu_dn_conn *c)
{
	for (;;) {
		struct iovec iov[SLU_PACKETS_IOV];
		ssize_t n = readv(c->fd, iov, slu_packets_room(&c->packets, iov));
		int r;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			broke(c, n ? errno : ECONNRESET);
			return;
		}
		c->since = slu_now();
		r = slu_packets_got(&c->packets, (size_t)n);
		c->rd->good = c->packets.good;
		c->reused &= !c->packets.answered;
		if (r == -EBADMSG)
			(void)send_status(c, DN_ERROR_CHECKSUM);
		if (r == -EPROTO)
			fail(c, EPROTO, "does not keep to the protocol");
		else if (r == -ENOMEM)
			end(c, slu_fail_oom(&c->rd->err), false);
		else if (r < 0)
			end(c, r, false);
		else if (r)
			end(c, 0, !slu_packets_left(&c->packets));
		if (r)
			return;
	}
}

static void on_socket(void *arg, short revents)
{
	struct slu_dn_conn *c = arg;

	(void)revents;
	if (c->phase == UNUSED)
		conn_free(c); /* it closes, or says what nobody asked */
	else
		on_data(c);
}

/* --- beginning --- */

static void begin(struct slu_dn_conn *c)
{
	int r;

	c->phase = READING;
	c->packets.who = c->key;
	c->packets.block = c->rd->block->block_id;
	c->packets.err = &c->rd->err;
	slu_packets_begin(&c->packets, c->rd->off, c->rd->len, c->rd->buf);
	c->since = slu_now();
	r = send_request(c);
	if (r == -ENOMEM)
		end(c, slu_fail_oom(&c->rd->err), false);
	else if (r)
		broke(c, -r);
	else
		set_timer(c);
}

static void dialed(struct slu_dial *d)
{
	struct slu_dn_conn *c = d->user;
	int r = d->rc;

	if (!r) {
		c->fd = d->fd;
		r = slu_watch_new(c->dn->loop, c->fd, POLLIN, on_socket, c, &c->watch);
		if (r)
			slu_fail_oom(&d->err);
	}
	if (r) {
		c->rd->err = d->err;
		slu_fail_more(&c->rd->err, "DataNode");
		end(c, r, false);
	} else {
		begin(c);
	}
}

static struct slu_dn_conn *find_unused(struct slu_dn *dn, const char *key)
{
	struct slu_dn_conn *c = dn->unused;

	while (c && strcmp(c->key, key))
		c = c->next;
	if (c)
		unused_del(c);
	return c;
}

static struct slu_dn_conn *conn_new(struct slu_dn *dn)
{
	struct slu_dn_conn *c = slu_new0(struct slu_dn_conn);

	if (!c)
		return NULL;
	c->dn = dn;
	c->fd = -1;
	if (slu_timer_new(dn->loop, on_timer, c, &c->timer)) {
		free(c);
		return NULL;
	}
	return c;
}

static void start(struct slu_dn *dn, struct slu_dn_read *rd, bool fresh)
{
	const Slu__Pb__DatanodeID *id = rd->node->id;
	char key[80];
	struct slu_dn_conn *c;

	snprintf(key, sizeof(key), "%.60s:%u", id->ip_addr, id->xfer_port & 0xffff);
	c = fresh ? NULL : find_unused(dn, key);
	if (c) {
		c->rd = rd;
		rd->conn = c;
		c->reused = true;
		begin(c);
		return;
	}
	c = conn_new(dn);
	if (!c) {
		rd->rc = slu_fail_oom(&rd->err);
		rd->done(rd);
		return;
	}
	c->rd = rd;
	rd->conn = c;
	c->phase = DIALING;
	snprintf(c->key, sizeof(c->key), "%s", key);
	snprintf(c->host, sizeof(c->host), "%.60s", id->ip_addr);
	c->dial = (struct slu_dn_dial){.dial = {.loop = dn->loop,
						.pool = dn->pool,
						.host = c->host,
						.port = (uint16_t)id->xfer_port,
						.deadline = rd->deadline,
						.done = dialed,
						.user = c},
				       .trust = dn->trust,
				       .id = id,
				       .token = rd->token};
	slu_dn_dial_start(&c->dial);
}

void slu_dn_read(struct slu_dn *dn, struct slu_dn_read *rd)
{
	rd->rc = 0;
	rd->good = 0;
	rd->err = (struct slu_err){0};
	start(dn, rd, false);
}

void slu_dn_cancel(struct slu_dn_read *rd)
{
	struct slu_dn_conn *c = rd->conn;

	if (!c) /* it is being read from files */
		return;
	if (c->phase == DIALING)
		slu_dn_dial_cancel(&c->dial);
	else
		end(c, slu_fail(&rd->err, ECANCELED, "canceled"), false);
}

int slu_dn_new(struct slu_loop *loop, struct slu_pool *pool, struct slu_dn_trust *trust,
	       const char *client, struct slu_dn **ret)
{
	struct slu_dn *dn = slu_new0(struct slu_dn);

	if (!dn)
		return -ENOMEM;
	dn->loop = loop;
	dn->pool = pool;
	dn->trust = trust;
	dn->client = slu_strdup(client);
	if (!dn->client) {
		free(dn);
		return -ENOMEM;
	}
	*ret = dn;
	return 0;
}

void slu_dn_free(struct slu_dn *dn)
{
	if (!dn)
		return;
	while (dn->unused)
		conn_free(dn->unused);
	free(dn->client);
	free(dn);
}
