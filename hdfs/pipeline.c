/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline (pipeline.h).  What is sent is a request, then packets: a header, the checksums, the data, which
 * goes to the socket from where it lies.  As nothing is kept back for another try, there is no window but
 * the socket's; and since data is always there, no heartbeat is needed.
 */
#include "hdfs/pipeline.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/dn_dial.h"
#include "hdfs/pipe_probe.h"
#include "hdfs/rpc.h"
#include "io/crypt.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define TRANSFER_VERSION 28
#define OP_WRITE 80
#define STAGE_CREATE 6
#define HEAD_MAX (2u << 20)
#define NODES_MAX 64
#define PACKET (256u << 10) /* of data: fewer calls and acks than Hadoop's 64 KiB */
#define HEADER_MAX (6 + 27)
/* A DataNode waits a minute for the one behind it before it says who stands still: so they are asked after a while, and
 * when all are alive, it goes on a while longer. */
#define PATIENCE_NS (3 * SLU_SEC)
#define ANSWER_NS (3 * SLU_SEC)
#define STALL_NS (20 * SLU_SEC)
/* When none of several answers, it may be this machine that is slow: so often in a row none has to. */
#define NONE_TIMES 4

struct slu_pipe_conn {
	struct slu_pipe *p;
	struct slu_dn_dial dial;
	char *names[NODES_MAX], *host;
	int fd;
	struct slu_watch *watch;
	struct slu_timer *timer;
	int64_t since; /* when something last moved */
	int64_t asked; /* when the DataNodes were asked last whether they are alive */
	unsigned none; /* how often in a row none of them answered */
	struct slu_pipe_probe *probe;
	struct slu_acks acks;
	/* What is being sent: head, then data. */
	struct slu_buf head;
	size_t head_off;
	const uint8_t *data;
	size_t data_len;
	size_t pos;    /* in the block: what was made into packets */
	int64_t seqno; /* of the next packet */
};

/* --- the end --- */

static void end(struct slu_pipe_conn *c, int rc)
{
	struct slu_pipe *p = c->p;

	p->conn = NULL;
	p->rc = rc;
	slu_pipe_probe_free(c->probe);
	slu_watch_free(c->watch);
	slu_timer_free(c->timer);
	if (c->fd >= 0)
		close(c->fd);
	for (unsigned i = 0; i < c->acks.nodes; i++)
		free(c->names[i]);
	slu_buf_done(&c->head);
	free(c->host);
	free(c);
	p->done(p);
}

static void fail(struct slu_pipe_conn *c, int code, const char *what)
{
	end(c, slu_fail(&c->p->err, code, "the DataNode '%s' %s", c->names[0], what));
}

static void broke(struct slu_pipe_conn *c, int code)
{
	slu_fail_sys(&c->p->err, code, "the connection to the DataNode '%s' was lost", c->names[0]);
	end(c, -code);
}

static int64_t patience(const struct slu_pipe_conn *c)
{
	return c->p->patience ? c->p->patience : PATIENCE_NS;
}

/* When they are asked next. */
static int64_t ask_at(const struct slu_pipe_conn *c)
{
	return (c->asked > c->since ? c->asked : c->since) + patience(c);
}

static void set_timer(struct slu_pipe_conn *c)
{
	int64_t at = c->since + STALL_NS, ask = ask_at(c);

	if (!c->probe && ask < at)
		at = ask;
	slu_timer_set(c->timer, c->p->deadline && c->p->deadline < at ? c->p->deadline : at);
}

/* Of those that were asked: is it known by now who stands still? */
static bool is_known(struct slu_pipe_conn *c, uint64_t still)
{
	uint64_t all = ~0ull >> (64 - c->acks.nodes);

	c->none = still == all && c->since <= c->asked ? c->none + 1 : 0;
	if (!still || c->since > c->asked)
		return false;
	return still != all || c->acks.nodes == 1 || c->none >= NONE_TIMES;
}

static void probed(void *user, uint64_t still)
{
	struct slu_pipe_conn *c = user;
	struct slu_pipe *p = c->p;

	slu_pipe_probe_free(slu_take(c->probe));
	if (!is_known(c, still)) {
		set_timer(c);
		return;
	}
	p->still = still;
	while (!(still >> p->bad & 1))
		p->bad++;
	end(c, slu_fail(&p->err, ETIMEDOUT, "the DataNode '%s' stands still while it should write",
			c->names[p->bad]));
}

static void on_timer(void *arg)
{
	struct slu_pipe_conn *c = arg;

	if (slu_expired(c->p->deadline) || slu_now() - c->since >= STALL_NS) {
		fail(c, ETIMEDOUT, "stopped taking data");
		return;
	}
	if (!c->probe && slu_now() >= ask_at(c)) {
		c->asked = slu_now();
		/* Without memory for that it is only known later. */
		(void)slu_pipe_probe_new(c->p, c->p->patience ? c->p->patience : ANSWER_NS, probed,
					 c, &c->probe);
	}
	set_timer(c);
}

/* --- what is sent --- */

static int make_request(struct slu_pipe_conn *c)
{
	const struct slu_pipe *p = c->p;
	const Slu__Pb__LocatedBlock *b = p->block;
	const uint8_t head[] = {0, TRANSFER_VERSION, OP_WRITE};
	Slu__Pb__BaseHeader base = SLU__PB__BASE_HEADER__INIT;
	Slu__Pb__ClientOperationHeader header = SLU__PB__CLIENT_OPERATION_HEADER__INIT;
	Slu__Pb__Checksum sum = SLU__PB__CHECKSUM__INIT;
	Slu__Pb__OpWriteBlock op = SLU__PB__OP_WRITE_BLOCK__INIT;

	base.block = b->b;
	base.token = b->token;
	header.base_header = &base;
	header.client_name = (char *)p->client;
	op.header = &header;
	op.n_targets = b->n_locs - 1;
	op.targets = b->locs + 1;
	op.stage = STAGE_CREATE;
	op.pipeline_size = (uint32_t)b->n_locs;
	op.latest_generation_stamp = b->b->generation_stamp;
	sum.type = p->sum_type;
	sum.bytes_per_checksum = p->chunk;
	op.requested_checksum = &sum;
	if (b->n_storage_types == b->n_locs) {
		op.has_storage_type = 1;
		op.storage_type = b->storage_types[0];
		op.n_target_storage_types = b->n_locs - 1;
		op.target_storage_types = b->storage_types + 1;
	}
	if (b->n_storage_ids == b->n_locs) {
		op.storage_id = b->storage_ids[0];
		op.n_target_storage_ids = b->n_locs - 1;
		op.target_storage_ids = b->storage_ids + 1;
	}
	slu_buf_add(&c->head, head, sizeof(head));
	slu_pb_message(&c->head, &op.base);
	return slu_buf_err(&c->head);
}

static uint8_t *put_le(uint8_t *p, uint8_t tag, uint64_t v, unsigned n)
{
	*p++ = tag;
	for (unsigned i = 0; i < n; i++)
		*p++ = (uint8_t)(v >> (8 * i));
	return p;
}

/* Lengths, and a PacketHeaderProto, of which every field has a fixed width. */
static void add_header(struct slu_pipe_conn *c, size_t data, size_t nsums)
{
	uint8_t h[HEADER_MAX], *p = h + 6;
	size_t plen = 4 + nsums + data;

	p = put_le(p, 1 << 3 | 1, c->pos, 8);
	p = put_le(p, 2 << 3 | 1, (uint64_t)c->seqno, 8);
	p = put_le(p, 3 << 3 | 0, !data, 1);
	p = put_le(p, 4 << 3 | 5, data, 4);
	if (!data && c->p->sync)
		p = put_le(p, 5 << 3 | 0, 1, 1);
	for (unsigned i = 0; i < 4; i++)
		h[i] = (uint8_t)(plen >> (24 - 8 * i));
	h[4] = 0;
	h[5] = (uint8_t)(p - h - 6);
	slu_buf_add(&c->head, h, (size_t)(p - h));
}

static void add_sums(struct slu_pipe_conn *c, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += c->p->chunk) {
		size_t len = n - i < c->p->chunk ? n - i : c->p->chunk;
		uint32_t crc =
			c->p->sum_type == 1 ? slu_crc32(0, p + i, len) : slu_crc32c(0, p + i, len);
		const uint8_t be[] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16),
				      (uint8_t)(crc >> 8), (uint8_t)crc};

		slu_buf_add(&c->head, be, 4);
	}
}

/* A packet holds whole chunks, but for the last one of the block. */
static size_t packet_len(const struct slu_pipe *p)
{
	return PACKET < p->chunk ? p->chunk : PACKET - PACKET % p->chunk;
}

/* False: there is no more. */
static bool next_packet(struct slu_pipe_conn *c)
{
	const struct slu_pipe *p = c->p;
	size_t n = p->len - c->pos, max = packet_len(p);

	if (c->seqno > c->acks.last)
		return false;
	if (n > max)
		n = max;
	slu_buf_clear(&c->head);
	c->head_off = 0;
	add_header(c, n, 4 * ((n + p->chunk - 1) / p->chunk));
	c->data = (const uint8_t *)p->data + c->pos;
	c->data_len = n;
	add_sums(c, c->data, n);
	c->pos += n;
	c->seqno++;
	return true;
}

static bool all_out(const struct slu_pipe_conn *c)
{
	return c->head_off == c->head.len && !c->data_len;
}

static void sent(struct slu_pipe_conn *c, size_t n)
{
	size_t head = c->head.len - c->head_off;

	if (head > n)
		head = n;
	c->head_off += head;
	c->data += n - head;
	c->data_len -= n - head;
	c->since = slu_now();
}

/* As much as the socket takes.  0 or -errno. */
static int transmit(struct slu_pipe_conn *c)
{
	for (;;) {
		if (all_out(c) && (!c->acks.ready || !next_packet(c))) {
			slu_watch_set(c->watch, POLLIN);
			return 0;
		}
		if (slu_buf_err(&c->head))
			return -ENOMEM;
		struct iovec iov[] = {{c->head.p + c->head_off, c->head.len - c->head_off},
				      {(void *)c->data, c->data_len}};
		struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
		ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			slu_watch_set(c->watch, POLLIN | POLLOUT);
			return 0;
		}
		if (n < 0)
			return -errno;
		sent(c, (size_t)n);
	}
}

/* --- what comes --- */

/* 0: go on; else c is gone. */
static int receive(struct slu_pipe_conn *c)
{
	for (;;) {
		size_t room;
		uint8_t *to = slu_acks_room(&c->acks, &room);
		ssize_t n = recv(c->fd, to, room, 0);
		int r;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n <= 0) {
			broke(c, n ? errno : ECONNRESET);
			return 1;
		}
		c->since = slu_now();
		r = slu_acks_got(&c->acks, (size_t)n);
		if (!r)
			continue;
		c->p->bad = c->acks.bad;
		if (r == -EPROTO)
			fail(c, EPROTO, "does not keep to the protocol");
		else
			end(c, r < 0 ? r : 0);
		return 1;
	}
}

static void on_socket(void *arg, short revents)
{
	struct slu_pipe_conn *c = arg;
	int r;

	/* What was said before it closed tells more than that it closed. */
	if (revents & (POLLIN | POLLERR | POLLHUP) && receive(c))
		return;
	r = transmit(c);
	if (r == -ENOMEM)
		end(c, slu_fail_oom(&c->p->err));
	else if (r)
		broke(c, -r);
}

/* --- the beginning --- */

static void dialed(struct slu_dial *d)
{
	struct slu_pipe_conn *c = d->user;
	int r = d->rc;

	if (r) {
		c->p->err = d->err;
		slu_fail_more(&c->p->err, "DataNode");
		end(c, r);
		return;
	}
	c->fd = d->fd;
	c->since = slu_now();
	r = slu_watch_new(c->p->loop, c->fd, POLLIN | POLLOUT, on_socket, c, &c->watch);
	if (r || make_request(c))
		end(c, slu_fail_oom(&c->p->err));
	else
		set_timer(c);
}

static bool fill_names(struct slu_pipe_conn *c)
{
	const Slu__Pb__LocatedBlock *b = c->p->block;

	for (unsigned i = 0; i < b->n_locs; i++) {
		const Slu__Pb__DatanodeID *id = b->locs[i]->id;

		c->names[i] = slu_asprintf("%s:%u", id->ip_addr, id->xfer_port);
		if (!c->names[i])
			return false;
		c->acks.nodes++;
	}
	c->host = slu_strdup(b->locs[0]->id->ip_addr);
	return c->host;
}

void slu_pipe_start(struct slu_pipe *p)
{
	struct slu_pipe_conn *c = slu_new0(struct slu_pipe_conn);
	size_t max = packet_len(p);

	p->bad = 0;
	p->still = 0;
	p->err = (struct slu_err){0};
	if (!c || p->block->n_locs > NODES_MAX) {
		free(c);
		p->rc = slu_fail_oom(&p->err);
		p->done(p);
		return;
	}
	p->conn = c;
	c->p = p;
	c->fd = -1;
	c->head = SLU_BUF(HEAD_MAX);
	c->acks.names = c->names;
	c->acks.err = &p->err;
	c->acks.acked = -1;
	c->acks.last = (int64_t)((p->len + max - 1) / max);
	if (!fill_names(c) || slu_timer_new(p->loop, on_timer, c, &c->timer)) {
		end(c, slu_fail_oom(&p->err));
		return;
	}
	c->acks.who = c->names[0];
	c->dial = (struct slu_dn_dial){
		.dial = {.loop = p->loop,
			 .pool = p->pool,
			 .host = c->host,
			 .port = (uint16_t)p->block->locs[0]->id->xfer_port,
			 .deadline = p->deadline,
			 .done = dialed,
			 .user = c},
		.trust = p->trust,
		.id = p->block->locs[0]->id,
		.token = p->block->token,
	};
	slu_dn_dial_start(&c->dial);
}

void slu_pipe_cancel(struct slu_pipe *p)
{
	struct slu_pipe_conn *c = p->conn;

	if (c->fd < 0)
		slu_dn_dial_cancel(&c->dial);
	else
		end(c, slu_fail(&p->err, ECANCELED, "canceled"));
}
