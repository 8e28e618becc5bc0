/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as all that a NameNode or a DataNode says on a connection (the first byte chooses whom we asked, and how):
 * every question ends, soon, with an answer or with a reason.
 */
#include "common/mem.h"
#include "common/time.h"
#include "hdfs/dnask.h"
#include "hdfs/rpc.h"
#include "io/crypt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A closed connection keeps its port for a minute: so there are many addresses. */
#define SERVERS 32
#define INPUT_MAX 60000 /* fits into the buffers of a socket */
#define CALLS 3
#define DIALS_MAX 8

enum { RPC, RPC_TOKEN, DATANODE, DATANODE_TOKEN, MODES };

static struct {
	struct slu_loops *loops;
	struct slu_pool *pool;
	struct slu_loop *loop;
	int listener[SERVERS], over;
	uint16_t port[SERVERS];
	unsigned turn;
	int dialed[DIALS_MAX], ndialed;
} all;

struct talk {
	int mode, left;
	char host[24];
	uint16_t port;
	struct slu_rpc *rpc;
	struct slu_rpc_call call[CALLS];
	struct slu_dn_trust trust;
	struct slu_dn_ask ask;
	Slu__Pb__DatanodeID id;
	Slu__Pb__DatanodeInfo node;
	Slu__Pb__Token token;
};

static void listen_at(int i)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001u + i)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 8) ||
	    getsockname(fd, (struct sockaddr *)&a, &n))
		abort();
	all.listener[i] = fd;
	all.port[i] = ntohs(a.sin_port);
}

static void close_all(void)
{
	slu_loops_free(all.loops);
	slu_pool_free(all.pool);
	for (int i = 0; i < SERVERS; i++)
		close(all.listener[i]);
	close(all.over);
}

static void begin(void)
{
	struct slu_loops_conf conf = {.threads = 1};

	uint8_t digest[SLU_DIGEST_MAX];

	if (all.loops)
		return;
	/* so that OpenSSL tidies up after the loop has ended, not before */
	if (slu_digest(SLU_MD5, "", 0, digest))
		abort();
	if (slu_pool_new(1, &all.pool, NULL) || slu_loops_new(&conf, &all.loops, NULL))
		abort();
	all.loop = slu_loops_pick(all.loops, "x", 0);
	all.over = eventfd(0, EFD_CLOEXEC);
	for (int i = 0; i < SERVERS; i++)
		listen_at(i);
	atexit(close_all);
}

static void one_less(struct talk *t)
{
	uint64_t one = 1;

	if (!--t->left && write(all.over, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void check(int rc, const struct slu_err *e)
{
	/* the other side has hung up: nothing is waited for */
	if (rc == -ETIMEDOUT || (rc && (e->code != -rc || !e->msg[0])))
		abort();
}

static void called(struct slu_rpc_call *c)
{
	check(c->rc, &c->err);
	if (!c->rc && c->resp_len) { /* all of it is there */
		uint8_t *copy = malloc(c->resp_len);

		if (copy)
			memcpy(copy, c->resp, c->resp_len);
		free(copy);
	}
	one_less(c->user);
}

static void asked(struct slu_dn_ask *a)
{
	check(a->rc, &a->err);
	if (!a->rc)
		slu__pb__block_op_response__free_unpacked(a->answer, NULL);
	one_less(a->user);
}

static void start_rpc(struct talk *t)
{
	static const uint8_t id[SLU_RPC_CLIENT_ID] = "0123456789abcde";
	static const struct slu_rpc_who who = {.token_name = "bmFtZQ==",
					       .token_password = "c2VjcmV0"};
	struct slu_rpc_conf conf = {.loop = all.loop,
				    .pool = all.pool,
				    .host = t->host,
				    .port = t->port,
				    .user = "me",
				    .who = t->mode == RPC_TOKEN ? &who : NULL,
				    .client_id = id};

	if (slu_rpc_new(&conf, &t->rpc))
		abort();
	t->left = CALLS;
	for (int i = 0; i < CALLS; i++) {
		t->call[i] = (struct slu_rpc_call){.method = "getFileInfo",
						   .msg = "\x0a\x01/",
						   .msg_len = 3,
						   .id = i,
						   .deadline = slu_deadline_in(20 * SLU_SEC),
						   .done = called,
						   .user = t};
		slu_rpc_send(t->rpc, &t->call[i]);
	}
}

static void start_ask(struct talk *t)
{
	slu_dn_trust_init(&t->trust, t->mode == DATANODE_TOKEN);
	slu__pb__datanode_id__init(&t->id);
	slu__pb__datanode_info__init(&t->node);
	slu__pb__token__init(&t->token);
	t->id.ip_addr = t->host;
	t->id.xfer_port = t->port;
	t->node.id = &t->id;
	t->token.identifier.data = (uint8_t *)"identifier";
	t->token.identifier.len = 10;
	t->token.password.data = (uint8_t *)"password";
	t->token.password.len = 8;
	t->left = 1;
	t->ask = (struct slu_dn_ask){.loop = all.loop,
				     .pool = all.pool,
				     .trust = &t->trust,
				     .token = &t->token,
				     .node = &t->node,
				     .request = "\0\x1c\x55",
				     .request_len = 3,
				     .deadline = slu_deadline_in(20 * SLU_SEC),
				     .done = asked,
				     .user = t};
	slu_dn_ask(&t->ask);
}

static void start(void *arg)
{
	struct talk *t = arg;

	if (t->mode <= RPC_TOKEN)
		start_rpc(t);
	else
		start_ask(t);
}

static void stop(void *arg)
{
	struct talk *t = arg;

	if (t->mode <= RPC_TOKEN) {
		slu_rpc_free(t->rpc);
	} else {
		slu_dn_trust_close(&t->trust, all.loop);
		slu_dn_trust_done(&t->trust);
	}
	t->left = 1;
	one_less(t);
}

static void answer(int listener, const uint8_t *data, size_t size)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 || all.ndialed == DIALS_MAX)
		abort(); /* it never ends */
	all.dialed[all.ndialed++] = fd;
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		data += n;
		size -= (size_t)n;
	}
	shutdown(fd, SHUT_WR);
}

/* Until the talk is over; meanwhile whoever dials hears the same. */
static void serve(int listener, const uint8_t *data, size_t size)
{
	struct pollfd p[] = {{.fd = all.over, .events = POLLIN},
			     {.fd = listener, .events = POLLIN}};
	uint64_t n;

	for (;;) {
		int r = poll(p, 2, -1);

		if (r < 0 && errno != EINTR) /* the fuzzer's alarms */
			abort();
		if (r > 0 && p[0].revents)
			break;
		if (r > 0)
			answer(listener, data, size);
	}
	if (read(all.over, &n, sizeof(n)) != sizeof(n))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct talk *t;
	unsigned i;

	if (!size || size > INPUT_MAX)
		return 0;
	begin();
	t = slu_new0(struct talk);
	if (!t)
		return 0;
	i = all.turn++ % SERVERS;
	t->mode = data[0] % MODES;
	t->port = all.port[i];
	snprintf(t->host, sizeof(t->host), "127.0.0.%u", i + 1);
	if (slu_loop_post(all.loop, start, t))
		abort();
	serve(all.listener[i], data + 1, size - 1);
	if (slu_loop_post(all.loop, stop, t))
		abort();
	serve(all.listener[i], NULL, 0);
	while (all.ndialed)
		close(all.dialed[--all.ndialed]);
	free(t);
	return 0;
}
