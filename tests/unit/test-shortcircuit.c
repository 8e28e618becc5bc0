/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local replicas by descriptor passing.  A real DataNode needs Hadoop's native library for that, which no registry
 * has; so one is played that speaks what DataXceiver.requestShortCircuitFds does.
 */
#include "hdfs/shortcircuit.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/time.h"
#include "hdfs/replica.h"
#include "hdfs/rpc.h"
#include "io/crypt.h"
#include "tests/lib/sendfds.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SIZE 300001u
#define CHUNK 512u

enum how { GIVE, UNSUPPORTED, REFUSE, GARBAGE };

struct node {
	enum how how;
	struct unit_dir dir;
	char socket[200];
	int listener, data, meta;
	pthread_t thread;
	atomic_uint asked;
};

static struct slu_loops *loops;
static struct slu_pool *pool;
static uint8_t block[SIZE];

/* --- the DataNode --- */

static void serve(struct node *d, int fd)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);
	Slu__Pb__BlockOpResponse m = SLU__PB__BLOCK_OP_RESPONSE__INIT;
	uint8_t buf[4096];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);
	uint32_t len;

	assert_true(n > 4);
	assert_memory_equal(buf, "\0\x1c\x57", 3);
	int used = slu_pb_varint(buf + 3, (size_t)n - 3, &len);

	assert_true(used > 0 && len == (size_t)(n - 3 - used));
	Slu__Pb__OpRequestFds *op = slu__pb__op_request_fds__unpack(NULL, len, buf + 3 + used);

	assert_non_null(op);
	assert_int_equal(op->header->block->block_id, 11);
	slu__pb__op_request_fds__free_unpacked(op, NULL);
	d->asked++;
	m.status = d->how == UNSUPPORTED ? 7 : d->how == REFUSE ? 1 : 0;
	slu_pb_message(&b, &m.base);
	if (d->how == GARBAGE)
		send(fd, "\xff\xff\xff\xff\xff\xff", 6, MSG_NOSIGNAL);
	else
		send(fd, b.p, b.len, MSG_NOSIGNAL);
	if (d->how == GIVE)
		assert_true(send_fds(fd, (int[]){d->data, d->meta}, 2));
}

static void *run(void *arg)
{
	struct node *d = arg;
	int fd;

	while ((fd = accept(d->listener, NULL, NULL)) >= 0) {
		serve(d, fd);
		close(fd);
	}
	return NULL;
}

static int make_file(struct node *d, const char *name, const void *p, size_t n)
{
	int fd = openat(d->dir.fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	return fd;
}

static void make_replica(struct node *d)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);

	slu_buf_add(&b, "\0\1\2\0\0\2\0", 7);
	for (size_t i = 0; i < SIZE; i += CHUNK) {
		uint32_t c = slu_crc32c(0, block + i, SIZE - i < CHUNK ? SIZE - i : CHUNK);

		for (unsigned k = 0; k < 4; k++)
			slu_buf_ch(&b, (char)(c >> (24 - 8 * k)));
	}
	d->data = make_file(d, "blk", block, SIZE);
	d->meta = make_file(d, "blk.meta", b.p, b.len);
}

static void node_start(struct node *d, enum how how)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	memset(d, 0, sizeof(*d));
	d->how = how;
	unit_dir_make(&d->dir);
	make_replica(d);
	snprintf(d->socket, sizeof(d->socket), "%s/dn_PORT", d->dir.path);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/dn1", d->dir.path); /* port 1: nobody there */
	d->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(d->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(d->listener, 8), 0);
	assert_int_equal(pthread_create(&d->thread, NULL, run, d), 0);
}

static void node_stop(struct node *d)
{
	shutdown(d->listener, SHUT_RDWR);
	pthread_join(d->thread, NULL);
	close(d->listener);
	close(d->data);
	close(d->meta);
	unit_dir_done(&d->dir);
}

/* --- the client --- */

struct client {
	struct slu_sc *sc;
	struct slu_loop *loop;
	struct slu_dn *dn;
	sem_t done;
	struct slu_dn_read rd;
	char buf[SIZE];
	Slu__Pb__ExtendedBlock b;
	Slu__Pb__Token token;
	Slu__Pb__DatanodeID id;
	Slu__Pb__DatanodeInfo node;
	bool taken;
};

static void make_dn(void *arg)
{
	struct client *k = arg;

	assert_int_equal(slu_dn_new(k->loop, pool, NULL, "me", &k->dn), 0);
	sem_post(&k->done);
}

static void drop_dn(void *arg)
{
	struct client *k = arg;

	slu_dn_free(k->dn);
	sem_post(&k->done);
}

static void on_loop(struct client *k, void (*fn)(void *))
{
	assert_int_equal(slu_loop_post(k->loop, fn, k), 0);
	assert_int_equal(sem_wait(&k->done), 0);
}

static void client_start(struct client *k, const char *socket)
{
	memset(k, 0, sizeof(*k));
	sem_init(&k->done, 0, 0);
	k->loop = slu_loops_pick(loops, "x", 0);
	assert_int_equal(slu_sc_new(socket, pool, &k->sc), 0);
	on_loop(k, make_dn);
	k->b = (Slu__Pb__ExtendedBlock)SLU__PB__EXTENDED_BLOCK__INIT;
	k->b.pool_id = (char *)"BP-1";
	k->b.block_id = 11;
	k->b.has_num_bytes = 1;
	k->b.num_bytes = SIZE;
	k->token = (Slu__Pb__Token)SLU__PB__TOKEN__INIT;
	k->token.kind = k->token.service = (char *)"";
	k->id = (Slu__Pb__DatanodeID)SLU__PB__DATANODE_ID__INIT;
	k->id.ip_addr = (char *)"127.0.0.1";
	k->id.host_name = k->id.datanode_uuid = (char *)"n";
	k->id.xfer_port = 1;
	k->node = (Slu__Pb__DatanodeInfo)SLU__PB__DATANODE_INFO__INIT;
	k->node.id = &k->id;
}

static void client_stop(struct client *k)
{
	on_loop(k, drop_dn);
	slu_sc_free(k->sc);
	sem_destroy(&k->done);
}

static void read_done(struct slu_dn_read *rd)
{
	struct client *k = rd->user;

	sem_post(&k->done);
}

static void start(void *arg)
{
	struct client *k = arg;

	k->taken = slu_sc_read(k->sc, k->loop, k->dn, &k->rd);
	if (!k->taken)
		sem_post(&k->done);
}

/* Was it by way of the socket?  Otherwise it goes to port 1, where nobody is. */
static bool reads(struct client *k, uint64_t off, size_t len)
{
	memset(k->buf, 0, sizeof(k->buf));
	k->rd = (struct slu_dn_read){.block = &k->b,
				     .token = &k->token,
				     .node = &k->node,
				     .off = off,
				     .len = len,
				     .buf = k->buf,
				     .deadline = slu_deadline_in(20 * SLU_SEC),
				     .done = read_done,
				     .user = k};
	on_loop(k, start);
	if (!k->taken || k->rd.rc)
		return false;
	assert_int_equal(k->rd.good, len);
	assert_memory_equal(k->buf, block + off, len);
	return true;
}

static void test_any_range(void **state)
{
	static const struct {
		uint64_t off;
		size_t len;
	} r[] = {{0, SIZE},         {0, 1},         {1, CHUNK},
		 {CHUNK, CHUNK},    {CHUNK - 1, 2}, {SIZE - 1, 1},
		 {SIZE - 700, 700}, {777, 200000},  {CHUNK, SIZE - CHUNK}};
	struct client *k = malloc(sizeof(*k));
	struct node d;

	(void)state;
	node_start(&d, GIVE);
	client_start(k, d.socket);
	for (size_t i = 0; i < sizeof(r) / sizeof(r[0]); i++)
		assert_true(reads(k, r[i].off, r[i].len));
	assert_int_equal(d.asked, 1); /* the descriptors are kept */
	k->b.generation_stamp++;
	assert_true(reads(k, 5, 5));
	assert_int_equal(d.asked, 2); /* of one state of the block */
	client_stop(k);
	node_stop(&d);
	free(k);
}

static void test_damage_is_seen_and_left_to_the_datanode(void **state)
{
	struct client *k = malloc(sizeof(*k));
	struct node d;

	(void)state;
	node_start(&d, GIVE);
	assert_int_equal(pwrite(d.data, "x!", 2, 100000), 2);
	client_start(k, d.socket);
	assert_true(reads(k, 0, 1000));
	assert_false(reads(k, 99999, 10));
	assert_true(k->taken);
	assert_int_equal(k->rd.rc, -ECONNREFUSED);
	assert_true(reads(k, 0, 1000));
	assert_int_equal(d.asked, 2); /* the descriptors were dropped */
	client_stop(k);
	node_stop(&d);
	free(k);
}

static void test_what_cannot_be_had(void **state)
{
	static const enum how hows[] = {UNSUPPORTED, REFUSE, GARBAGE};

	(void)state;
	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		struct client *k = malloc(sizeof(*k));
		struct node d;

		node_start(&d, hows[i]);
		client_start(k, d.socket);
		assert_false(reads(k, 0, 10));
		assert_true(k->taken);
		assert_false(reads(k, 0, 10));
		/* a refusal is of one block; else it is not asked again for a while */
		assert_int_equal(k->taken, hows[i] == REFUSE);
		client_stop(k);
		node_stop(&d);
		free(k);
	}
}

static void test_whom_it_does_not_trust(void **state)
{
	struct client *k = malloc(sizeof(*k));
	struct node d;

	(void)state;
	node_start(&d, GIVE);
	assert_int_equal(fchmod(d.dir.fd, 0777), 0);
	client_start(k, d.socket);
	assert_false(reads(k, 0, 10));
	assert_int_equal(d.asked, 0);
	k->id.ip_addr = (char *)"192.0.2.1"; /* of another machine */
	assert_false(reads(k, 0, 10));
	assert_false(k->taken);
	client_stop(k);
	node_stop(&d);
	free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_range),
		cmocka_unit_test(test_damage_is_seen_and_left_to_the_datanode),
		cmocka_unit_test(test_what_cannot_be_had),
		cmocka_unit_test(test_whom_it_does_not_trust),
	};
	struct slu_loops_conf conf = {.threads = 2};
	struct slu_err e;
	int r;

	for (size_t i = 0; i < SIZE; i++)
		block[i] = (uint8_t)(i * 7 + i / 251);
	if (slu_loops_new(&conf, &loops, &e) || slu_pool_new(2, &pool, &e))
		return 1;
	r = cmocka_run_group_tests_name("shortcircuit", tests, NULL, NULL);
	slu_loops_free(loops);
	slu_pool_free(pool);
	return r;
}
