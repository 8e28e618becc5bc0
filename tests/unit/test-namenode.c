/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to NameNodes, played by threads that answer as a test says: what is sent again, and where. */
#include "hdfs/namenode.h"
#include "hdfs/native_write.h"

#include "common/mem.h"
#include "common/time.h"
#include "tests/unit/fs.h"

#include <arpa/inet.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/socket.h>

#define CALLS 64

enum how {
	ANSWER,    /* each call, in pieces of one byte */
	BACKWARDS, /* three calls, the last one first */
	REFUSE,    /* with a Java exception */
	STANDBY,
	HANG_UP_ONCE, /* after the first call, unanswered; then ANSWER */
	GARBAGE,
	OBSERVE, /* an observer, that answers */
	LAG,     /* one that is behind */
	ACTIVE,  /* says so, and answers */
	BUSY,    /* the same, but calls only after it was asked what it is */
	SILENT
};

struct server {
	enum how how;
	int listener;
	uint16_t port;
	pthread_t thread;
	/* What came, in order, but for questions what it is: who waits for long asks that at any time. */
	int32_t id[CALLS], retry[CALLS];
	char method[CALLS][40];
	int64_t state[CALLS];
	int64_t last; /* the transaction that it tells; 0: none */
	atomic_uint n, connections;
	bool of_role; /* the last call asked what it is */
	int32_t role_id;
	atomic_uint roles;
};

static struct slu_loops *loops;
static struct slu_pool *pool;

/* --- the NameNode --- */

static const uint8_t *cut(const uint8_t **p, const uint8_t *end, size_t *ret_n)
{
	uint32_t n;
	int used = slu_pb_varint(*p, (size_t)(end - *p), &n);
	const uint8_t *m = *p + used;

	assert_true(used > 0 && n <= (size_t)(end - m));
	*p = m + n;
	*ret_n = n;
	return m;
}

static void note(struct server *f, const Slu__Pb__RpcRequestHeader *h,
		 const Slu__Pb__RequestHeader *r)
{
	unsigned i = f->n < CALLS ? (unsigned)f->n : CALLS - 1;
	if ((f->of_role = strcmp(r->method, "getHAServiceState") == 0)) {
		f->role_id = h->call_id;
		f->roles++;
		return;
	}
	f->id[i] = h->call_id;
	f->retry[i] = h->retry_count;
	f->state[i] = h->has_state_id ? h->state_id : 0;
	snprintf(f->method[i], sizeof(f->method[i]), "%s", r->method);
	f->n = i + 1;
}

/* Reads one frame: false at the end.  Calls are noted, the greeting is not. */
static bool take(struct server *f, int fd)
{
	uint8_t len[4], buf[4096];
	const uint8_t *p = buf, *m;
	size_t n, k;

	if (!unit_read_all(fd, len, 4))
		return false;
	n = (size_t)len[2] << 8 | len[3];
	assert_true(!len[0] && !len[1] && n <= sizeof(buf));
	if (!unit_read_all(fd, buf, n))
		return false;
	m = cut(&p, buf + n, &k);
	Slu__Pb__RpcRequestHeader *h = slu__pb__rpc_request_header__unpack(NULL, k, m);

	assert_non_null(h);
	assert_int_equal(h->client_id.len, SLU_RPC_CLIENT_ID);
	if (h->call_id >= 0) {
		m = cut(&p, buf + n, &k);
		Slu__Pb__RequestHeader *r = slu__pb__request_header__unpack(NULL, k, m);

		assert_non_null(r);
		note(f, h, r);
		slu__pb__request_header__free_unpacked(r, NULL);
	}
	slu__pb__rpc_request_header__free_unpacked(h, NULL);
	return true;
}

/* What a NameNode is: 1, the active one; 3, an observer. */
static void tell_role(int fd, int32_t id, char role)
{
	Slu__Pb__RpcResponseHeader h = SLU__PB__RPC_RESPONSE_HEADER__INIT;
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);
	const char m[2] = {8, role};

	h.call_id = (uint32_t)id;
	slu_buf_add(&b, "\0\0\0", 4);
	slu_pb_message(&b, &h.base);
	slu_pb_add(&b, m, 2);
	b.p[3] = (char)(b.len - 4);
	(void)!send(fd, b.p, b.len, MSG_NOSIGNAL); /* who has its answer may be gone */
}

static void reply(const struct server *f, int fd, int32_t id, const char *class)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096), frame = SLU_BUF(4096);
	Slu__Pb__RpcResponseHeader h = SLU__PB__RPC_RESPONSE_HEADER__INIT;
	Slu__Pb__GetFileInfoResponse m = SLU__PB__GET_FILE_INFO_RESPONSE__INIT;
	uint8_t p[512];
	char len[4];

	h.call_id = (uint32_t)id;
	h.status = class ? 1 : 0;
	h.has_state_id = f->last != 0;
	h.state_id = f->last;
	h.exception_class = (char *)class;
	h.error_msg = class ? (char *)"it says so\n\tat java" : NULL;
	slu_pb_add(&b, p, slu__pb__rpc_response_header__pack(&h, p));
	if (!class)
		slu_pb_add(&b, p, slu__pb__get_file_info_response__pack(&m, p));
	for (int i = 0; i < 4; i++)
		len[i] = (char)(b.len >> (24 - 8 * i));
	slu_buf_add(&frame, len, 4);
	slu_buf_add(&frame, b.p, b.len);
	for (size_t i = 0; i < frame.len; i++)
		if (send(fd, frame.p + i, 1, MSG_NOSIGNAL) != 1)
			return;
}

static const char *refusal(enum how how)
{
	switch (how) {
	case LAG:
		return "org.apache.hadoop.ipc.ObserverRetryOnActiveException";
	case REFUSE:
		return "org.apache.hadoop.security.AccessControlException";
	case STANDBY:
		return "org.apache.hadoop.ipc.StandbyException";
	default:
		return NULL;
	}
}

/* It was asked what it is.  Who plays no role does not know that question. */
static void respond_role(struct server *f, int fd)
{
	static const char roles[] = {
		[OBSERVE] = 3, [LAG] = 3, [ACTIVE] = 1, [BUSY] = 1, [SILENT] = 0};

	if (roles[f->how])
		tell_role(fd, f->role_id, roles[f->how]);
	else if (f->how == REFUSE || f->how == STANDBY || f->how == ANSWER)
		reply(f, fd, f->role_id, refusal(f->how));
	if (f->how == BUSY)
		reply(f, fd, f->id[0], NULL);
}

/* Call i.  false: it hangs up. */
static bool respond(struct server *f, int fd, unsigned i)
{
	bool again = f->how == HANG_UP_ONCE && f->connections > 1;

	if (refusal(f->how))
		reply(f, fd, f->id[i], refusal(f->how));
	else if (f->how == ANSWER || f->how == OBSERVE || f->how == ACTIVE || again)
		reply(f, fd, f->id[i], NULL);
	else if (f->how == GARBAGE)
		send(fd, "\xff\xff\xff\xff", 4, MSG_NOSIGNAL);
	else if (f->how == BACKWARDS && i == 2)
		for (int k = 2; k >= 0; k--)
			reply(f, fd, f->id[k], NULL);
	return f->how != HANG_UP_ONCE || again;
}

static void serve(struct server *f, int fd)
{
	char greeting[7];

	if (!unit_read_all(fd, greeting, 7))
		return;
	assert_memory_equal(greeting, "hrpc\x09\0\0", 7);
	assert_true(take(f, fd)); /* who we are */
	while (take(f, fd))
		if (f->of_role)
			respond_role(f, fd);
		else if (!respond(f, fd, f->n - 1))
			return;
}

static void *run(void *arg)
{
	struct server *f = arg;

	for (;;) {
		int fd = accept(f->listener, NULL, NULL);

		if (fd < 0)
			return NULL;
		f->connections++;
		serve(f, fd);
		close(fd);
	}
}

static void server_start(struct server *f, enum how how)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);

	*f = (struct server){.how = how,
			     .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_int_equal(bind(f->listener, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(f->listener, 8), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&a, &n), 0);
	f->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

static void server_stop(struct server *f)
{
	shutdown(f->listener, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->listener);
}

/* --- the client --- */

struct client {
	struct slu_nn_set set;
	struct slu_loop *loop;
	struct slu_nn *nn;
	sem_t done;
	int64_t deadline;
	unsigned count; /* of calls to be made */
	struct slu_nn_call call[CALLS];
};

static void on_call(struct slu_nn_call *c)
{
	struct client *k = c->user;

	sem_post(&k->done);
}

static void send_calls(void *arg)
{
	struct client *k = arg;
	Slu__Pb__GetFileInfoRequest m = SLU__PB__GET_FILE_INFO_REQUEST__INIT;

	m.src = (char *)"/x";
	for (unsigned i = 0; i < k->count; i++) {
		k->call[i].done = on_call;
		k->call[i].user = k;
		slu_nn_send(k->nn, &k->call[i], "getFileInfo", &m.base, k->deadline);
	}
}

static void make_nn(void *arg)
{
	struct client *k = arg;

	assert_int_equal(slu_nn_new(&k->set, k->loop, &k->nn), 0);
	sem_post(&k->done);
}

static void drop_nn(void *arg)
{
	struct client *k = arg;

	slu_nn_free(k->nn);
	sem_post(&k->done);
}

static void on_loop(struct client *k, void (*fn)(void *), unsigned waits)
{
	assert_int_equal(slu_loop_post(k->loop, fn, k), 0);
	while (waits-- > 0)
		assert_int_equal(sem_wait(&k->done), 0);
}

static void client_start(struct client *k, const char *addresses)
{
	struct slu_err e;

	memset(k, 0, sizeof(*k));
	sem_init(&k->done, 0, 0);
	assert_int_equal(slu_nn_set_init(&k->set, addresses, "ann", pool, &e), 0);
	k->loop = slu_loops_pick(loops, "x", 0);
	on_loop(k, make_nn, 1);
}

static void client_stop(struct client *k)
{
	on_loop(k, drop_nn, 1);
	slu_nn_set_done(&k->set);
	sem_destroy(&k->done);
}

static void call(struct client *k, unsigned n, int64_t ns)
{
	k->count = n;
	k->deadline = slu_deadline_in(ns);
	on_loop(k, send_calls, n);
}

static void start_one(struct server *f, enum how how, struct client *k)
{
	char at[32];

	server_start(f, how);
	snprintf(at, sizeof(at), "127.0.0.1:%u", f->port);
	client_start(k, at);
}

static void test_answers_find_their_calls(void **state)
{
	struct server f;
	struct client k;

	(void)state;
	start_one(&f, BACKWARDS, &k);
	call(&k, 3, 20 * SLU_SEC);
	for (int i = 0; i < 3; i++)
		assert_int_equal(k.call[i].rpc.rc, 0);
	assert_int_equal(f.connections, 1);
	assert_string_equal(f.method[0], "getFileInfo");
	client_stop(&k);
	server_stop(&f);
}

static void test_an_exception_is_an_errno(void **state)
{
	struct server f;
	struct client k;

	(void)state;
	start_one(&f, REFUSE, &k);
	call(&k, 1, 20 * SLU_SEC);
	assert_int_equal(k.call[0].rpc.rc, -EACCES);
	assert_string_equal(k.call[0].rpc.err.svc, "AccessControlException");
	assert_string_equal(k.call[0].rpc.err.msg, "it says so");
	assert_int_equal(f.n, 1); /* it is no reason to ask again */
	client_stop(&k);
	server_stop(&f);
}

static void test_a_lost_answer_is_asked_for_again_under_the_same_number(void **state)
{
	struct server f;
	struct client k;

	(void)state;
	start_one(&f, HANG_UP_ONCE, &k);
	call(&k, 1, 20 * SLU_SEC);
	assert_int_equal(k.call[0].rpc.rc, 0);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.id[0], f.id[1]);
	assert_int_equal(f.retry[0], 0);
	assert_int_equal(f.retry[1], 1);
	client_stop(&k);
	server_stop(&f);
}

static void test_a_standby_leads_to_the_other_one(void **state)
{
	struct server standby, active;
	struct client k;
	char at[64];

	(void)state;
	server_start(&standby, STANDBY);
	server_start(&active, ANSWER);
	snprintf(at, sizeof(at), "127.0.0.1:%u,127.0.0.1:%u", standby.port, active.port);
	client_start(&k, at);
	call(&k, 1, 20 * SLU_SEC);
	assert_int_equal(k.call[0].rpc.rc, 0);
	call(&k, 1, 20 * SLU_SEC);
	assert_int_equal(standby.n, 1); /* not asked again */
	assert_int_equal(active.n, 2);
	client_stop(&k);
	server_stop(&standby);
	server_stop(&active);
}

static void test_one_that_is_dead_too(void **state)
{
	struct server active;
	struct client k;
	uint16_t gone;
	char at[64];

	(void)state;
	SLU_AUTO(slu_closep) int fd = unit_refusing(&gone);
	server_start(&active, ANSWER);
	snprintf(at, sizeof(at), "127.0.0.1:%u,127.0.0.1:%u", gone, active.port);
	client_start(&k, at);
	call(&k, 1, 20 * SLU_SEC);
	assert_int_equal(k.call[0].rpc.rc, 0);
	client_stop(&k);
	server_stop(&active);
}

/* It accepts all and says nothing; the other one has taken its office. */
static void test_one_that_stands_still_leads_to_the_active_one(void **state)
{
	struct server still, active;
	struct client k;
	char at[64];

	(void)state;
	server_start(&still, SILENT);
	server_start(&active, ACTIVE);
	snprintf(at, sizeof(at), "127.0.0.1:%u,127.0.0.1:%u", still.port, active.port);
	client_start(&k, at);
	call(&k, 1, 60 * SLU_SEC);
	assert_int_equal(k.call[0].rpc.rc, 0);
	assert_int_equal(k.set.active, 1);
	client_stop(&k);
	server_stop(&still);
	server_stop(&active);
	/* under the same number, since it may have been executed */
	assert_string_equal(active.method[active.n - 1], "getFileInfo");
	assert_int_equal(active.id[active.n - 1], still.id[0]);
	assert_int_equal(active.retry[active.n - 1], 1);
}

/* What lives is waited for, even if somebody else would do it. */
static void test_one_that_is_busy_is_waited_for(void **state)
{
	struct server busy, other;
	struct client k;
	char at[64];

	(void)state;
	server_start(&busy, BUSY);
	server_start(&other, STANDBY);
	snprintf(at, sizeof(at), "127.0.0.1:%u,127.0.0.1:%u", busy.port, other.port);
	client_start(&k, at);
	call(&k, 1, 60 * SLU_SEC);
	assert_int_equal(k.call[0].rpc.rc, 0);
	assert_int_equal(k.set.active, 0);
	client_stop(&k);
	server_stop(&busy);
	server_stop(&other);
	assert_true(busy.roles > 0);
	assert_int_equal(busy.n, 1); /* the call came once */
}

static void test_the_only_one_stands_still(void **state)
{
	struct server f;
	struct client k;

	(void)state;
	start_one(&f, SILENT, &k);
	atomic_store(&k.set.silent[0], INT64_MAX); /* so it was lately: less patience */
	call(&k, 2, 60 * SLU_SEC);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(k.call[i].rpc.rc, -EHOSTDOWN);
		assert_true(k.call[i].rpc.sent);
		assert_non_null(strstr(k.call[i].rpc.err.msg, "'127.0.0.1:"));
		assert_non_null(strstr(k.call[i].rpc.err.msg, "stands still"));
	}
	client_stop(&k);
	server_stop(&f);
}

struct writer {
	struct client *k;
	struct slu_native n;
	struct slu_shard s;
	struct slu_lease *lease;
};

static void open_files(void *arg)
{
	struct writer *w = arg;

	w->s.nn = w->k->nn;
	assert_int_equal(slu_lease_new(&w->s, &w->lease), 0);
	slu_lease_add(w->lease);
	slu_lease_add(w->lease);
	slu_lease_del(w->lease);
	sem_post(&w->k->done);
}

static void close_files(void *arg)
{
	struct writer *w = arg;

	slu_lease_del(w->lease);
	slu_lease_free(w->lease);
	sem_post(&w->k->done);
}

static void test_the_lease_is_renewed_while_a_file_is_open(void **state)
{
	struct server f;
	struct client k;

	(void)state;
	start_one(&f, ANSWER, &k);
	struct writer w = {.k = &k,
			   .n = {.client = (char *)"sluice_1", .renew_ns = 200 * SLU_MS},
			   .s = {.n = &w.n, .loop = k.loop}};

	assert_int_equal(slu_loop_post(k.loop, open_files, &w), 0);
	assert_int_equal(sem_wait(&k.done), 0);
	while (atomic_load(&f.n) < 3)
		sched_yield();
	assert_int_equal(slu_loop_post(k.loop, close_files, &w), 0);
	assert_int_equal(sem_wait(&k.done), 0);
	client_stop(&k);
	server_stop(&f);
	for (int i = 0; i < 3; i++)
		assert_string_equal(f.method[i], "renewLease");
}

static void test_what_is_no_answer(void **state)
{
	static const struct {
		enum how how;
		int rc;
	} cases[] = {{GARBAGE, -EPROTO}, {SILENT, -ETIMEDOUT}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct server f;
		struct client k;

		start_one(&f, cases[i].how, &k);
		call(&k, 1, cases[i].how == SILENT ? 200 * SLU_MS : 20 * SLU_SEC);
		assert_int_equal(k.call[0].rpc.rc, cases[i].rc);
		assert_non_null(strstr(k.call[0].rpc.err.msg, "127.0.0.1"));
		client_stop(&k);
		server_stop(&f);
	}
}

static void test_nobody_there(void **state)
{
	struct client k;
	uint16_t port;
	char at[32];
	(void)state;
	SLU_AUTO(slu_closep) int fd = unit_refusing(&port);
	snprintf(at, sizeof(at), "127.0.0.1:%u", port);
	client_start(&k, at);
	call(&k, 2, 20 * SLU_SEC);
	assert_int_equal(k.call[0].rpc.rc, -ECONNREFUSED);
	assert_false(k.call[0].rpc.sent);
	assert_non_null(strstr(k.call[0].rpc.err.msg, at));
	client_stop(&k);
}

static void test_addresses(void **state)
{
	struct slu_nn_set s;
	struct slu_err e;

	(void)state;
	assert_int_equal(slu_nn_set_init(&s, "a,b:9000,[::1]:7,[::2]", "u", NULL, &e), 0);
	assert_int_equal(s.n, 4);
	assert_string_equal(s.at[0].host, "a");
	assert_int_equal(s.at[0].port, 8020);
	assert_int_equal(s.at[1].port, 9000);
	assert_string_equal(s.at[2].host, "::1");
	assert_int_equal(s.at[2].port, 7);
	assert_string_equal(s.at[3].host, "::2");
	slu_nn_set_done(&s);
	assert_failed(slu_nn_set_init(&s, "a:0", "u", NULL, &e), e, EINVAL, "'a:0'");
	assert_failed(slu_nn_set_init(&s, "", "u", NULL, &e), e, EINVAL, "no NameNode");
	assert_failed(slu_nn_set_init(&s, ":9", "u", NULL, &e), e, EINVAL, "no host");
}

static void with_observer(enum how how, struct server *active, struct server *observer,
			  struct client *k)
{
	char at[64];

	server_start(active, ANSWER);
	active->last = 41;
	server_start(observer, how);
	snprintf(at, sizeof(at), "127.0.0.1:%u,127.0.0.1:%u", active->port, observer->port);
	client_start(k, at);
	k->set.observers.wanted = true;
	call(k, 1, 20 * SLU_SEC);
	assert_int_equal(k->call[0].rpc.rc, 0);
	while (!atomic_load(&k->set.observers.which))
		sched_yield();
	assert_int_equal(k->set.observers.which, 2);
	assert_true(observer->roles > 0);
	assert_int_equal(observer->n, 0);
	assert_int_equal(active->n, 1);
}

/* The active one was heard of just now, and the observer may take its time, however slow this machine is. */
static void just_heard(struct client *k)
{
	atomic_store(&k->set.observers.synced, slu_deadline_in(3600 * SLU_SEC));
	k->set.observers.wait_ns = 60 * SLU_SEC;
}

static void without_observer(struct server *active, struct server *observer, struct client *k)
{
	client_stop(k);
	server_stop(active);
	server_stop(observer);
}

static void test_an_observer_is_told_how_far_it_has_to_be(void **state)
{
	struct server active, observer;
	struct client k;

	(void)state;
	with_observer(OBSERVE, &active, &observer, &k);
	just_heard(&k);
	call(&k, 1, 20 * SLU_SEC);
	assert_int_equal(k.call[0].rpc.rc, 0);
	assert_int_equal(observer.n, 1);
	assert_int_equal(observer.state[0], 41);
	assert_int_equal(active.n, 1);
	/* who has not heard of the active one for a second asks that */
	atomic_store(&k.set.observers.synced, slu_now() - 2 * SLU_SEC);
	call(&k, 1, 20 * SLU_SEC);
	assert_int_equal(observer.n, 1);
	assert_int_equal(active.n, 2);
	assert_int_equal(active.state[1], 0);
	without_observer(&active, &observer, &k);
}

static void test_an_observer_that_lags_leads_to_the_active_one(void **state)
{
	struct server active, observer;
	struct client k;

	(void)state;
	with_observer(LAG, &active, &observer, &k);
	just_heard(&k);
	call(&k, 1, 20 * SLU_SEC);
	assert_int_equal(k.call[0].rpc.rc, 0);
	assert_int_equal(observer.n, 1);
	assert_int_equal(active.n, 2);
	assert_int_equal(k.set.observers.which, 2); /* it may catch up */
	assert_int_equal(k.set.active, 0);
	without_observer(&active, &observer, &k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_find_their_calls),
		cmocka_unit_test(test_an_exception_is_an_errno),
		cmocka_unit_test(test_a_lost_answer_is_asked_for_again_under_the_same_number),
		cmocka_unit_test(test_a_standby_leads_to_the_other_one),
		cmocka_unit_test(test_an_observer_is_told_how_far_it_has_to_be),
		cmocka_unit_test(test_an_observer_that_lags_leads_to_the_active_one),
		cmocka_unit_test(test_one_that_is_dead_too),
		cmocka_unit_test(test_one_that_stands_still_leads_to_the_active_one),
		cmocka_unit_test(test_one_that_is_busy_is_waited_for),
		cmocka_unit_test(test_the_only_one_stands_still),
		cmocka_unit_test(test_the_lease_is_renewed_while_a_file_is_open),
		cmocka_unit_test(test_what_is_no_answer),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_addresses),
	};
	struct slu_loops_conf conf = {.threads = 2};
	struct slu_err e;
	int r;

	if (slu_loops_new(&conf, &loops, &e) || slu_pool_new(2, &pool, &e))
		return 1;
	r = cmocka_run_group_tests_name("namenode", tests, NULL, NULL);
	slu_loops_free(loops);
	slu_pool_free(pool);
	return r;
}
