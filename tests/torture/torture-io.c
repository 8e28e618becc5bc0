/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One life of io/ (loops, timers, descriptors, pool, exchanges of every kind, hashes) again and
 * again, with the Nth allocation or guarded system call failing, N = 1.. until none is hit any more;
 * once with only that one failing, once with all from it on.  Whatever fails says ENOMEM (or what
 * the system call says), what succeeds is right, done() and every posted function run exactly once,
 * and the sanitizer finds nothing left over.
 */
#include "tests/unit/unit.h"

#include "common/fault.h"
#include "common/time.h"
#include "io/crypt.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/xfer.h"
#include "tests/lib/misbehave.h"

#define JOBS 6

static struct httpd srv;
static enum slu_fault_kind kind;

struct job {
	struct slu_xfer x;
	char url[128], buf[20000];
	int dones;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int finished, ran;

static bool acceptable(int rc)
{
	if (rc == 0)
		return true;
	return kind == SLU_FAULT_MALLOC ? rc == -ENOMEM : rc == -EIO || rc == -EAGAIN;
}

static void count(int *what)
{
	pthread_mutex_lock(&lock);
	++*what;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void wait_for(const int *what, int n)
{
	pthread_mutex_lock(&lock);
	while (*what < n)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
}

static void job_done(struct slu_xfer *x)
{
	struct job *j = x->user;
	j->dones++;
	count(&finished);
}

static void job_start(struct slu_loop *l, struct job *j, int i)
{
	static const char *const path[JOBS] = {"/ok",      "/ok",      "/err20k",
					       "/created", "/chunked", "/ok?a=1"};
	static const char *const headers[] = {"x-one: 1", "x-empty:", NULL};
	*j = (struct job){.x = {.method = i == 3 ? "PUT" : "GET",
				.url = j->url,
				.headers = headers,
				.total = SIZE,
				.off = 100,
				.len = sizeof(j->buf),
				.buf = j->buf,
				.done = job_done,
				.user = j}};
	if (i == 3)
		j->x.sink = SLU_SINK_NONE;
	if (i == 5) {
		j->x.sink = SLU_SINK_BUF;
		j->x.resp = SLU_BUF(2 * SIZE);
	}
	snprintf(j->url, sizeof(j->url), "http://127.0.0.1:%u%s", srv.port, path[i]);
	slu_xfer_send(l, &j->x);
}

/* Checks and frees; 0 when it did what it does without faults. */
static int job_end(struct job *j, int i)
{
	int want = i == 2 ? -EREMOTEIO : 0, rc = j->x.rc;
	assert_int_equal(j->dones, 1);
	if (rc != want && !acceptable(rc))
		fail_msg("%s gave %d: %s", j->url, rc, j->x.err.msg);
	if (rc < 0)
		assert_int_equal(j->x.err.code, -rc);
	if (rc == 0 && j->x.sink == SLU_SINK_RANGE)
		for (size_t k = 0; k < sizeof(j->buf); k++)
			assert_int_equal((unsigned char)j->buf[k], byte_at(100 + k));
	if (rc == 0 && j->x.sink == SLU_SINK_BUF)
		assert_int_equal(j->x.resp.len, SIZE);
	slu_xfer_header(&j->x, "etag");
	slu_xfer_done(&j->x);
	return rc == want ? 0 : rc;
}

static int exchanges(struct slu_loops *ls)
{
	static struct job jobs[JOBS];
	int r = 0;
	finished = 0;
	for (int i = 0; i < JOBS; i++)
		job_start(slu_loops_pick(ls, "h", (unsigned)i), &jobs[i], i);
	wait_for(&finished, JOBS);
	for (int i = 0; i < JOBS; i++) {
		int rc = job_end(&jobs[i], i);
		r = r ? r : rc;
	}
	return r;
}

static void on_count(void *arg)
{
	count(arg);
}

static int fd_pair[2];
static int watch_result;

static void on_fd(void *arg, short revents)
{
	(void)arg;
	(void)revents;
}

static void watch_some(void *arg)
{
	struct slu_watch *w[8] = {0};
	watch_result = 0;
	for (int i = 0; i < 8 && !watch_result; i++)
		watch_result =
			slu_watch_new(slu_loop_self(), fd_pair[0], POLLIN, on_fd, NULL, &w[i]);
	for (int i = 0; i < 8; i++)
		slu_watch_free(w[i]);
	count(arg);
}

static int timers(struct slu_loop *l)
{
	struct slu_timer *t[20] = {0};
	int r = 0, made = 0;
	ran = 0;
	for (; made < 20 && !r; made++) {
		r = slu_timer_new(l, on_count, &ran, &t[made]);
		if (r)
			break;
		slu_timer_set(t[made], slu_now());
	}
	wait_for(&ran, made);
	for (int i = 0; i < made; i++)
		slu_timer_free(t[i]);
	if (r)
		return r;
	ran = 0;
	r = slu_loop_post(l, watch_some, &ran);
	if (r)
		return r;
	wait_for(&ran, 1);
	return watch_result;
}

static void on_work(struct slu_work *w)
{
	(void)w;
	count(&ran);
}

static int pool(struct slu_err *e)
{
	struct slu_work w[20];
	struct slu_pool *p;
	int r = slu_pool_new(3, &p, e);
	if (r < 0) {
		assert_int_equal(e->code, -r);
		return r;
	}
	ran = 0;
	for (int i = 0; i < 20; i++) {
		w[i] = (struct slu_work){.fn = on_work, .low = i & 1};
		slu_pool_add(p, &w[i]);
	}
	slu_pool_free(p);
	assert_int_equal(ran, 20);
	return 0;
}

static int hashes(void)
{
	SLU_AUTO(slu_hasher_freep) struct slu_hasher *h = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	uint8_t d[32];
	char id[17];
	int r = slu_hasher_new(SLU_SHA256, &h);
	if (!r)
		r = slu_hasher_add(h, "abc", 3);
	if (!r)
		r = slu_hasher_end(h, d);
	if (r)
		return r;
	text = slu_base64(d, sizeof(d));
	if (!text)
		return -ENOMEM;
	return slu_random_id(id, 8);
}

/* 0 only when everything worked. */
static int life(void)
{
	struct slu_loops *ls;
	struct slu_loops_conf conf = {.threads = 2};
	struct slu_err e = {0};
	int first = slu_loops_new(&conf, &ls, &e), r;
	if (first < 0) {
		assert_int_equal(e.code, -first);
		assert_true(e.msg[0] != '\0');
		return first;
	}
	first = exchanges(ls);
	r = timers(slu_loops_pick(ls, "h", 0));
	first = first ? first : r;
	slu_loops_free(ls);
	r = pool(&e);
	first = first ? first : r;
	r = hashes();
	return first ? first : r;
}

static void torture(enum slu_fault_kind what, bool persistent)
{
	long n = 0, hit;
	int failures = 0, r;
	kind = what;
	do {
		httpd_start(&srv, misbehave); /* it keeps a record of every connection */
		slu_fault_arm(what, ++n, persistent);
		r = life();
		hit = slu_fault_count(what);
		slu_fault_arm(what, 0, false);
		httpd_stop(&srv);
		if (!acceptable(r))
			fail_msg("fault %ld gave %d", n, r);
		failures += r != 0;
		assert_true(n < 100000);
	} while (hit >= n);
	assert_int_equal(r, 0); /* none was hit any more, so nothing may have failed */
	print_message("# %ld places, %d of them made something fail\n", n - 1, failures);
	assert_true(failures > 0);
}

static void nth_allocation(void **state)
{
	(void)state;
	torture(SLU_FAULT_MALLOC, false);
}

static void nth_allocation_and_later(void **state)
{
	(void)state;
	torture(SLU_FAULT_MALLOC, true);
}

static void nth_call(void **state)
{
	(void)state;
	torture(SLU_FAULT_IO, false);
}

static void nth_call_and_later(void **state)
{
	(void)state;
	torture(SLU_FAULT_IO, true);
}

static int setup(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd_pair);
}

static int teardown(void **state)
{
	(void)state;
	close(fd_pair[0]);
	close(fd_pair[1]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nth_allocation),
		cmocka_unit_test(nth_allocation_and_later),
		cmocka_unit_test(nth_call),
		cmocka_unit_test(nth_call_and_later),
	};
	return cmocka_run_group_tests_name("torture-io", tests, setup, teardown);
}
