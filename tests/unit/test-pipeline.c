/* SPDX-License-Identifier: Apache-2.0 */
/* A block is written to a DataNode that is played by a thread: what it receives, and what becomes of what it
 * answers. */
#include "hdfs/pipeline.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/time.h"
#include "hdfs/rpc.h"
#include "io/crypt.h"
#include "tests/unit/corpus.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <unistd.h>

#define LLVMFuzzerTestOneInput fuzz_acks
#include "tests/fuzz/fuzz-acks.c"
#undef LLVMFuzzerTestOneInput

#define LEN (700u << 10) /* packets of more than one size */
#define CHUNK 512u

enum how {
	TAKE,      /* all of it, an acknowledgement a packet */
	REFUSE,    /* the second node cannot be reached */
	TOKEN,     /* the token is too old */
	FAIL_LATE, /* the second node fails with the second packet */
	HANG_UP,   /* after the first packet */
	RESTART,   /* it says that it is about to */
	GARBAGE,
	SILENT,
	STOPPED, /* nothing at all */
	LATE,    /* nothing until it was asked in vain whether it is alive; then all of it */
	ALIVE    /* it takes data and says no more, but answers what else it is asked */
};

struct node {
	enum how how;
	int listener;
	uint16_t port;
	pthread_t thread;
	/* what came */
	uint8_t *got;
	size_t n;
	bool whole, synced;
	unsigned bad_sums;
	Slu__Pb__OpWriteBlock *op;
};

static struct slu_loops *loops;
static struct slu_pool *pool;

/* --- the DataNode --- */

static void say(int fd, const ProtobufCMessage *m)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);

	slu_pb_message(&b, m);
	for (size_t i = 0; i < b.len; i++) /* in pieces */
		if (send(fd, b.p + i, 1, MSG_NOSIGNAL) != 1)
			return;
}

static void answer(int fd, uint32_t status, const char *link)
{
	Slu__Pb__BlockOpResponse m = SLU__PB__BLOCK_OP_RESPONSE__INIT;

	m.status = status;
	m.first_bad_link = (char *)link;
	m.message = status ? (char *)"because\n\tat java" : NULL;
	say(fd, &m.base);
}

static void ack(int fd, int64_t seqno, uint32_t second)
{
	Slu__Pb__PipelineAck m = SLU__PB__PIPELINE_ACK__INIT;
	uint32_t replies[] = {0, second};

	m.seqno = seqno;
	m.n_reply = 2;
	m.reply = replies;
	say(fd, &m.base);
}

static bool take_request(struct node *d, int fd)
{
	uint8_t head[3], c, msg[8192];
	size_t len = 0;

	if (!unit_read_all(fd, head, 3))
		return false;
	assert_memory_equal(head, "\0\x1c\x50", 3);
	for (unsigned i = 0;; i += 7) {
		assert_true(unit_read_all(fd, &c, 1));
		len |= (size_t)(c & 0x7f) << i;
		if (!(c & 0x80))
			break;
	}
	assert_true(len <= sizeof(msg) && unit_read_all(fd, msg, len));
	d->op = slu__pb__op_write_block__unpack(NULL, len, msg);
	assert_non_null(d->op);
	return true;
}

static uint64_t le(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

/* A packet: its number, or -1 at the end of the connection, which may come in the middle of one: who was told of a failure
 * sends no more. */
static int64_t take_packet(struct node *d, int fd)
{
	uint8_t lens[6], h[64];
	size_t plen, hlen, n, nsums;

	if (!unit_read_all(fd, lens, 6))
		return -1;
	plen = slu_be32(lens);
	hlen = (size_t)lens[4] << 8 | lens[5];
	assert_true(hlen <= sizeof(h));
	if (!unit_read_all(fd, h, hlen))
		return -1;
	assert_int_equal(h[0], 0x09);
	assert_int_equal(le(h + 1, 8), d->n); /* offset in the block */
	assert_int_equal(h[18], 0x18);
	assert_int_equal(h[20], 0x25);
	n = (size_t)le(h + 21, 4);
	nsums = 4 * ((n + CHUNK - 1) / CHUNK);
	assert_int_equal(plen, 4 + nsums + n);
	assert_true(d->n + n <= LEN);
	SLU_AUTO(slu_freep) uint8_t *sums = malloc(nsums + 1);

	if (!unit_read_all(fd, sums, nsums) || !unit_read_all(fd, d->got + d->n, n))
		return -1;
	for (size_t i = 0; i < n; i += CHUNK)
		d->bad_sums += slu_crc32c(0, d->got + d->n + i, n - i < CHUNK ? n - i : CHUNK) !=
			       slu_be32(sums + i / CHUNK * 4);
	d->n += n;
	d->whole = h[19];
	d->synced = hlen > 25 && h[25] == 0x28 && h[26];
	assert_int_equal(d->whole, n == 0);
	return (int64_t)le(h + 10, 8);
}

static void take_data(struct node *d, int fd)
{
	int64_t k;

	while (!d->whole && (k = take_packet(d, fd)) >= 0) {
		if (d->how == HANG_UP)
			return;
		if (d->how == RESTART)
			ack(fd, -2, 0);
		else
			ack(fd, k, d->how == FAIL_LATE && k == 1 ? 1 : 0);
	}
}

/* Until it is given up. */
static void drain(int fd)
{
	char c[4096];

	while (read(fd, c, sizeof(c)) > 0)
		;
}

static void serve(struct node *d, int fd)
{
	if (!take_request(d, fd))
		return;
	if (d->how == REFUSE)
		answer(fd, 1, "127.0.0.2:7");
	else if (d->how == TOKEN)
		answer(fd, 5, NULL);
	else if (d->how == GARBAGE)
		send(fd, "\xff\xff\xff\xff\xff\xff", 6, MSG_NOSIGNAL);
	else if (d->how == SILENT)
		drain(fd);
	else
		answer(fd, 0, "");
	if (d->how != SILENT)
		take_data(d, fd);
}

/* Whatever it is asked: it does not know that block. */
static void be_alive(struct node *d)
{
	int fd = accept(d->listener, NULL, NULL);
	char c[4096];

	if (fd < 0)
		return;
	if (recv(fd, c, sizeof(c), 0) > 0)
		answer(fd, 1, NULL);
	close(fd);
}

static void *run(void *arg)
{
	struct node *d = arg;
	int fd = accept(d->listener, NULL, NULL);

	if (fd < 0)
		return NULL;
	if (d->how == ALIVE) {
		if (take_request(d, fd))
			answer(fd, 0, "");
		be_alive(d);
		drain(fd);
	} else if (d->how == STOPPED) {
		drain(fd);
	} else if (d->how == LATE) {
		int asked = accept(d->listener, NULL, NULL);

		if (asked >= 0) {
			drain(asked);
			close(asked);
			serve(d, fd);
		}
	} else {
		serve(d, fd);
	}
	close(fd);
	return NULL;
}

static void node_start(struct node *d, enum how how)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);

	*d = (struct node){.how = how,
			   .got = malloc(LEN),
			   .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_non_null(d->got);
	assert_int_equal(bind(d->listener, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(d->listener, 1), 0);
	assert_int_equal(getsockname(d->listener, (struct sockaddr *)&a, &n), 0);
	d->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&d->thread, NULL, run, d), 0);
}

static void node_stop(struct node *d)
{
	shutdown(d->listener, SHUT_RDWR);
	pthread_join(d->thread, NULL);
	close(d->listener);
	free(d->got);
	if (d->op)
		slu__pb__op_write_block__free_unpacked(d->op, NULL);
}

/* --- the client --- */

struct client {
	struct slu_pipe p;
	sem_t done;
	uint8_t *data;
	Slu__Pb__ExtendedBlock b;
	Slu__Pb__Token token;
	Slu__Pb__DatanodeID ids[2];
	Slu__Pb__DatanodeInfo nodes[2], *locs[2];
	Slu__Pb__LocatedBlock block;
};

static void done(struct slu_pipe *p)
{
	struct client *k = p->user;

	sem_post(&k->done);
}

static void start(void *arg)
{
	struct client *k = arg;

	slu_pipe_start(&k->p);
}

static void cancel(void *arg)
{
	struct client *k = arg;

	slu_pipe_cancel(&k->p);
}

static void fill_node(struct client *k, unsigned i, const char *ip, uint16_t port)
{
	k->ids[i] = (Slu__Pb__DatanodeID)SLU__PB__DATANODE_ID__INIT;
	k->ids[i].ip_addr = (char *)ip;
	k->ids[i].host_name = k->ids[i].datanode_uuid = (char *)"n";
	k->ids[i].xfer_port = port;
	k->nodes[i] = (Slu__Pb__DatanodeInfo)SLU__PB__DATANODE_INFO__INIT;
	k->nodes[i].id = &k->ids[i];
	k->locs[i] = &k->nodes[i];
}

static void client_init(struct client *k, uint16_t port)
{
	memset(k, 0, sizeof(*k));
	sem_init(&k->done, 0, 0);
	k->data = malloc(LEN);
	assert_non_null(k->data);
	for (size_t i = 0; i < LEN; i++)
		k->data[i] = (uint8_t)(i * 7 + i / 251);
	k->b = (Slu__Pb__ExtendedBlock)SLU__PB__EXTENDED_BLOCK__INIT;
	k->b.pool_id = (char *)"BP-1";
	k->b.block_id = 11;
	k->b.generation_stamp = 1001;
	k->token = (Slu__Pb__Token)SLU__PB__TOKEN__INIT;
	k->token.kind = k->token.service = (char *)"";
	fill_node(k, 0, "127.0.0.1", port);
	fill_node(k, 1, "127.0.0.2", 7);
	k->block = (Slu__Pb__LocatedBlock)SLU__PB__LOCATED_BLOCK__INIT;
	k->block.b = &k->b;
	k->block.token = &k->token;
	k->block.n_locs = 2;
	k->block.locs = k->locs;
	k->p = (struct slu_pipe){
		.loop = slu_loops_pick(loops, "x", 0),
		.pool = pool,
		.client = "me",
		.block = &k->block,
		.data = k->data,
		.len = LEN,
		.sum_type = 2,
		.chunk = CHUNK,
		.sync = true,
		.deadline = slu_deadline_in(60 * SLU_SEC),
		.patience = 15 * SLU_SEC, /* a busy machine is no DataNode that stands still */
		.done = done,
		.user = k};
}

static void client_run(struct client *k)
{
	assert_int_equal(slu_loop_post(k->p.loop, start, k), 0);
	assert_int_equal(sem_wait(&k->done), 0);
}

static void client_done(struct client *k)
{
	sem_destroy(&k->done);
	free(k->data);
}

static void test_all_of_a_block_arrives_with_its_checksums(void **state)
{
	struct node d;
	struct client k;

	(void)state;
	node_start(&d, TAKE);
	client_init(&k, d.port);
	client_run(&k);
	if (k.p.rc)
		fail_msg("%s", k.p.err.msg);
	assert_int_equal(d.n, LEN);
	assert_memory_equal(d.got, k.data, LEN);
	assert_int_equal(d.bad_sums, 0);
	assert_true(d.whole && d.synced);
	assert_int_equal(d.op->stage, 6);
	assert_int_equal(d.op->n_targets, 1);
	assert_string_equal(d.op->targets[0]->id->ip_addr, "127.0.0.2");
	assert_int_equal(d.op->pipeline_size, 2);
	assert_int_equal(d.op->latest_generation_stamp, 1001);
	client_done(&k);
	node_stop(&d);
}

static void test_who_failed_is_known(void **state)
{
	static const struct {
		enum how how;
		int rc;
		unsigned bad;
		const char *text;
	} cases[] = {
		{REFUSE, -EREMOTEIO, 1, "'127.0.0.2:7' does not take the block: because"},
		{TOKEN, -EKEYEXPIRED, 0, "because"},
		{FAIL_LATE, -EREMOTEIO, 1, "'127.0.0.2:7' failed"},
		{RESTART, -EREMOTEIO, 0, "restart"},
		{GARBAGE, -EPROTO, 0, "protocol"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct node d;
		struct client k;

		node_start(&d, cases[i].how);
		client_init(&k, d.port);
		client_run(&k);
		assert_int_equal(k.p.rc, cases[i].rc);
		assert_int_equal(k.p.bad, cases[i].bad);
		if (!strstr(k.p.err.msg, cases[i].text) || strchr(k.p.err.msg, '\n'))
			fail_msg("%s", k.p.err.msg);
		client_done(&k);
		node_stop(&d);
	}
}

static void test_a_connection_that_breaks(void **state)
{
	struct node d;
	struct client k;

	(void)state;
	node_start(&d, HANG_UP);
	client_init(&k, d.port);
	client_run(&k);
	assert_true(k.p.rc == -ECONNRESET || k.p.rc == -EPIPE);
	assert_int_equal(k.p.bad, 0);
	client_done(&k);
	node_stop(&d);
}

static void test_nobody_there(void **state)
{
	struct client k;
	uint16_t port;

	(void)state;
	SLU_AUTO(slu_closep) int fd = unit_refusing(&port);

	client_init(&k, port);
	client_run(&k);
	assert_int_equal(k.p.rc, -ECONNREFUSED);
	assert_non_null(strstr(k.p.err.msg, "DataNode"));
	client_done(&k);
}

/* The one behind it accepts connections, as the kernel does for a process that is stopped, and does nothing. */
static void test_who_stands_still_is_found(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct node d, behind;
		struct client k;

		node_start(&d, first ? SILENT : ALIVE);
		node_start(&behind, STOPPED);
		client_init(&k, d.port);
		fill_node(&k, 1, "127.0.0.1", behind.port);
		/* long enough for the one that lives to say so, however busy this machine is */
		k.p.patience = first ? SLU_SEC : 5 * SLU_SEC;
		client_run(&k);
		assert_int_equal(k.p.rc, -ETIMEDOUT);
		assert_int_equal(k.p.bad, !first);
		assert_int_equal(k.p.still, first ? 3 : 2);
		assert_non_null(strstr(k.p.err.msg, "stands still"));
		client_done(&k);
		node_stop(&d);
		node_stop(&behind);
	}
}

/* It may be this machine that is slow, or the one behind it that wakes. */
static void test_none_that_answers_is_asked_again(void **state)
{
	struct node d, behind;
	struct client k;

	(void)state;
	node_start(&d, LATE);
	node_start(&behind, STOPPED);
	client_init(&k, d.port);
	fill_node(&k, 1, "127.0.0.1", behind.port);
	k.p.patience = 4 * SLU_SEC;
	client_run(&k);
	if (k.p.rc)
		fail_msg("%s", k.p.err.msg);
	assert_int_equal(d.n, LEN);
	client_done(&k);
	node_stop(&d);
	node_stop(&behind);
}

static void test_silence_and_cancel(void **state)
{
	(void)state;
	for (int how = 0; how < 2; how++) {
		struct node d;
		struct client k;

		node_start(&d, SILENT);
		client_init(&k, d.port);
		if (how)
			k.p.deadline = slu_deadline_in(200 * SLU_MS);
		assert_int_equal(slu_loop_post(k.p.loop, start, &k), 0);
		if (!how)
			assert_int_equal(slu_loop_post(k.p.loop, cancel, &k), 0);
		assert_int_equal(sem_wait(&k.done), 0);
		assert_int_equal(k.p.rc, how ? -ETIMEDOUT : -ECANCELED);
		client_done(&k);
		node_stop(&d);
	}
}

static void test_corpus(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "acks", fuzz_acks) > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_a_block_arrives_with_its_checksums),
		cmocka_unit_test(test_who_failed_is_known),
		cmocka_unit_test(test_a_connection_that_breaks),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_who_stands_still_is_found),
		cmocka_unit_test(test_none_that_answers_is_asked_again),
		cmocka_unit_test(test_silence_and_cancel),
		cmocka_unit_test(test_corpus),
	};
	struct slu_loops_conf conf = {.threads = 2};
	struct slu_err e;
	int r;

	if (slu_loops_new(&conf, &loops, &e) || slu_pool_new(2, &pool, &e))
		return 1;
	r = cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
	slu_loops_free(loops);
	slu_pool_free(pool);
	return r;
}
