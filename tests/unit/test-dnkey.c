/* SPDX-License-Identifier: Apache-2.0 */
/* The key of encrypted data transfer: a NameNode and a DataNode are played on one port, and told apart by how a
 * connection begins. */
#include "hdfs/dnask.h"
#include "hdfs/namenode.h"

#include "common/mem.h"
#include "common/time.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASKS 4

static struct play {
	bool encrypted, mute; /* mute: the NameNode gives no key */
	unsigned status;      /* of what the DataNode says: 1: it does not know the key */
	int listener;
	uint16_t port;
	pthread_t thread, talk[16];
	atomic_uint talks, defaults, keys, handshakes, plain;
} play;

static struct slu_loops *loops;
static struct slu_pool *pool;
static struct slu_loop *loop;
static struct slu_nn_set set;
static struct slu_dn_trust trust;
static struct slu_nn *nn;
static struct slu_dn_asker *asker;
static struct slu_dn_ask ask[ASKS];
static sem_t done;

/* --- the servers --- */

static bool get(int fd, void *p, size_t n)
{
	return recv(fd, p, n, MSG_WAITALL) == (ssize_t)n;
}

static const uint8_t *cut(const uint8_t **p, size_t *ret_n)
{
	uint32_t n;
	int used = slu_pb_varint(*p, 5, &n);
	const uint8_t *m = *p + used;

	assert_true(used > 0);
	*p = m + n;
	*ret_n = n;
	return m;
}

static void reply(int fd, uint32_t id, const ProtobufCMessage *m)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);
	Slu__Pb__RpcResponseHeader h = SLU__PB__RPC_RESPONSE_HEADER__INIT;

	h.call_id = id;
	slu_buf_add(&b, "\0\0\0\0", 4);
	slu_pb_message(&b, &h.base);
	slu_pb_message(&b, m);
	b.p[2] = (char)((b.len - 4) >> 8);
	b.p[3] = (char)(b.len - 4);
	assert_int_equal(send(fd, b.p, b.len, MSG_NOSIGNAL), b.len);
}

static void give_defaults(int fd, uint32_t id)
{
	Slu__Pb__GetServerDefaultsResponse m = SLU__PB__GET_SERVER_DEFAULTS_RESPONSE__INIT;
	Slu__Pb__FsServerDefaults f = SLU__PB__FS_SERVER_DEFAULTS__INIT;

	play.defaults++;
	f.has_encrypt_data_transfer = 1;
	f.encrypt_data_transfer = play.encrypted;
	m.defaults = &f;
	reply(fd, id, &m.base);
}

static void give_key(int fd, uint32_t id)
{
	Slu__Pb__GetDataEncryptionKeyResponse m = SLU__PB__GET_DATA_ENCRYPTION_KEY_RESPONSE__INIT;
	Slu__Pb__DataEncryptionKey k = SLU__PB__DATA_ENCRYPTION_KEY__INIT;

	k.key_id = ++play.keys;
	k.pool_id = (char *)"BP-1";
	k.nonce.data = k.key.data = (uint8_t *)"12345678";
	k.nonce.len = k.key.len = 8;
	k.expiry = (uint64_t)(slu_wall() / SLU_MS) + 3600000;
	m.key = play.mute ? NULL : &k;
	reply(fd, id, &m.base);
}

static void be_namenode(int fd)
{
	uint8_t head[4], buf[4096];
	const uint8_t *p, *m;
	size_t n;

	while (get(fd, head, 4) && get(fd, buf, (size_t)head[2] << 8 | head[3])) {
		p = buf;
		m = cut(&p, &n);
		Slu__Pb__RpcRequestHeader *h = slu__pb__rpc_request_header__unpack(NULL, n, m);

		assert_non_null(h);
		if (h->call_id >= 0) {
			m = cut(&p, &n);
			Slu__Pb__RequestHeader *r = slu__pb__request_header__unpack(NULL, n, m);

			assert_non_null(r);
			if (strcmp(r->method, "getServerDefaults") == 0)
				give_defaults(fd, (uint32_t)h->call_id);
			else
				give_key(fd, (uint32_t)h->call_id);
			slu__pb__request_header__free_unpacked(r, NULL);
		}
		slu__pb__rpc_request_header__free_unpacked(h, NULL);
	}
}

static void be_datanode(int fd)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);
	Slu__Pb__DataTransferEncryptorMessage m = SLU__PB__DATA_TRANSFER_ENCRYPTOR_MESSAGE__INIT;
	char rest[64];

	play.handshakes++;
	m.status = play.status;
	m.message = (char *)"Can't re-compute encryption key for nonce";
	slu_pb_message(&b, &m.base);
	(void)!recv(fd, rest, sizeof(rest), 0);
	assert_int_equal(send(fd, b.p, b.len, MSG_NOSIGNAL), b.len);
	(void)!recv(fd, rest, 1, 0);
}

static void *talk(void *arg)
{
	int fd = (int)(intptr_t)arg;
	uint8_t head[4], rest[3];

	if (!get(fd, head, 3)) {
		close(fd);
		return NULL;
	}
	if (memcmp(head, "hrp", 3) == 0) {
		assert_true(get(fd, rest, 1) && get(fd, rest, 3));
		be_namenode(fd);
	} else if (memcmp(head, "\xde\xad\xbe", 3) == 0) {
		be_datanode(fd);
	} else {
		play.plain++;
		send(fd, "\2\10\0", 3, MSG_NOSIGNAL);
	}
	close(fd);
	return NULL;
}

static void *listen_all(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept(play.listener, NULL, NULL)) >= 0)
		assert_int_equal(
			pthread_create(&play.talk[play.talks++], NULL, talk, (void *)(intptr_t)fd),
			0);
	return NULL;
}

/* --- the client --- */

static void on_loop(void (*fn)(void *))
{
	assert_int_equal(slu_loop_post(loop, fn, NULL), 0);
	sem_wait(&done);
}

static void make(void *arg)
{
	(void)arg;
	assert_int_equal(slu_nn_new(&set, loop, &nn), 0);
	assert_int_equal(slu_dn_asker_new(&trust.keys, loop, nn, &asker), 0);
	sem_post(&done);
}

static void drop(void *arg)
{
	(void)arg;
	slu_dn_asker_free(asker);
	slu_nn_free(nn);
	slu_dn_trust_close(&trust, loop);
	sem_post(&done);
}

static int begin(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct slu_loops_conf conf = {.threads = 1};
	socklen_t n = sizeof(a);
	char address[32];

	(void)state;
	memset(&play, 0, sizeof(play));
	play.encrypted = true;
	play.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(play.listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(play.listener, 16), 0);
	assert_int_equal(getsockname(play.listener, (struct sockaddr *)&a, &n), 0);
	play.port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&play.thread, NULL, listen_all, NULL), 0);
	sem_init(&done, 0, 0);
	assert_int_equal(slu_pool_new(1, &pool, NULL), 0);
	assert_int_equal(slu_loops_new(&conf, &loops, NULL), 0);
	loop = slu_loops_pick(loops, "x", 0);
	snprintf(address, sizeof(address), "127.0.0.1:%u", play.port);
	assert_int_equal(slu_nn_set_init(&set, address, "me", pool, NULL), 0);
	slu_dn_trust_init(&trust, false);
	on_loop(make);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	on_loop(drop);
	slu_loops_free(loops);
	slu_pool_free(pool);
	slu_nn_set_done(&set);
	slu_dn_trust_done(&trust);
	shutdown(play.listener, SHUT_RDWR);
	pthread_join(play.thread, NULL);
	close(play.listener);
	for (unsigned i = 0; i < play.talks; i++)
		pthread_join(play.talk[i], NULL);
	sem_destroy(&done);
	return 0;
}

static void asked(struct slu_dn_ask *a)
{
	if (!a->rc)
		slu__pb__block_op_response__free_unpacked(a->answer, NULL);
	sem_post(&done);
}

static void ask_all(void *arg)
{
	static Slu__Pb__DatanodeID id = SLU__PB__DATANODE_ID__INIT;
	static Slu__Pb__DatanodeInfo node = SLU__PB__DATANODE_INFO__INIT;
	static Slu__Pb__Token token = SLU__PB__TOKEN__INIT;
	unsigned n = *(unsigned *)arg;

	id.ip_addr = (char *)"127.0.0.1";
	id.xfer_port = play.port;
	id.host_name = (char *)"localhost";
	if (trust.hostnames)
		id.ip_addr = (char *)"192.0.2.1"; /* an address that nobody has */
	node.id = &id;
	for (unsigned i = 0; i < n; i++) {
		ask[i] = (struct slu_dn_ask){.loop = loop,
					     .pool = pool,
					     .trust = &trust,
					     .token = &token,
					     .node = &node,
					     .request = "\0\x1c\x55",
					     .request_len = 3,
					     .deadline = slu_deadline_in(20 * SLU_SEC),
					     .done = asked,
					     .user = NULL};
		slu_dn_ask(&ask[i]);
	}
}

static void ask_datanode(unsigned n)
{
	assert_int_equal(slu_loop_post(loop, ask_all, &n), 0);
	for (unsigned i = 0; i < n; i++)
		sem_wait(&done);
}

/* --- tests --- */

static void a_cluster_without_is_asked_once(void **state)
{
	(void)state;
	play.encrypted = false;
	ask_datanode(ASKS);
	ask_datanode(1);
	for (unsigned i = 0; i < ASKS; i++)
		assert_int_equal(ask[i].rc, 0);
	assert_int_equal(play.defaults, 1);
	assert_int_equal(play.keys, 0);
	assert_int_equal(play.handshakes, 0);
	assert_int_equal(play.plain, ASKS + 1);
}

static void a_key_that_is_refused_is_got_anew_once(void **state)
{
	(void)state;
	play.status = 1;
	ask_datanode(1);
	assert_failed(ask[0].rc, ask[0].err, EAGAIN, "does not know the NameNode's key");
	assert_int_equal(play.keys, 2);
	assert_int_equal(play.handshakes, 2);
	assert_int_equal(play.plain, 0);
}

/* Nothing is ever sent in the clear to one that is to get it encrypted. */
static void without_a_key_nothing_is_sent(void **state)
{
	(void)state;
	play.mute = true;
	ask_datanode(1);
	assert_failed(ask[0].rc, ask[0].err, EPROTO, "no key for encrypted data");
	assert_int_equal(play.handshakes, 0);
	assert_int_equal(play.plain, 0);
}

/* As dfs.client.use.datanode.hostname has it. */
static void a_datanode_by_its_name(void **state)
{
	(void)state;
	play.encrypted = false;
	trust.hostnames = true;
	ask_datanode(1);
	assert_int_equal(ask[0].rc, 0);
	assert_int_equal(play.plain, 1);
}

static void ask_two_and_stop_one(void *arg)
{
	unsigned n = 2;

	(void)arg;
	ask_all(&n);
	slu_dn_ask_cancel(&ask[0]);
}

static void who_waits_for_a_key_can_stop(void **state)
{
	(void)state;
	play.encrypted = false;
	assert_int_equal(slu_loop_post(loop, ask_two_and_stop_one, NULL), 0);
	sem_wait(&done);
	sem_wait(&done);
	assert_int_equal(ask[0].rc, -ECANCELED);
	assert_int_equal(ask[1].rc, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_cluster_without_is_asked_once, begin, finish),
		cmocka_unit_test_setup_teardown(a_key_that_is_refused_is_got_anew_once, begin,
						finish),
		cmocka_unit_test_setup_teardown(without_a_key_nothing_is_sent, begin, finish),
		cmocka_unit_test_setup_teardown(a_datanode_by_its_name, begin, finish),
		cmocka_unit_test_setup_teardown(who_waits_for_a_key_can_stop, begin, finish),
	};

	return cmocka_run_group_tests_name("dnkey", tests, NULL, NULL);
}
