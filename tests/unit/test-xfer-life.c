/* SPDX-License-Identifier: Apache-2.0 */
/* The life of exchanges: connections kept, many at once, canceled, cut off by the end of the loops;
 * done() runs exactly once in all of them. */
#include "tests/unit/xfer.h"

static void connections_are_kept(void **state)
{
	(void)state;
	struct job j;
	assert_int_equal(get_range(&j, "/ok", 0, 100), 0);
	job_done(&j);
	int conns = atomic_load(&srv.conns);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(get_range(&j, "/ok", (uint64_t)i, 100), 0);
		check_bytes(&j);
		job_done(&j);
	}
	assert_int_equal(atomic_load(&srv.conns), conns);
	/* A kept connection that died is replaced, without an error. */
	for (int i = 0; i < 5; i++) {
		assert_int_equal(get_range(&j, "/closing", 0, 100), 0);
		job_done(&j);
	}
}

/* On a kept connection that ends without an answer, what is sent again is the caller's to say. */
static void some_are_sent_once(void **state)
{
	(void)state;
	for (int once = 0; once < 2; once++) {
		struct job j;
		assert_int_equal(get_range(&j, "/ok", 0, 100), 0);
		job_done(&j);
		int requests = atomic_load(&srv.requests);
		job_init(&j, "/fin0");
		j.x.method = "PUT";
		j.x.sink = SLU_SINK_NONE;
		j.x.once = once;
		assert_int_equal(slu_xfer_wait(loop, &j.x), -ECONNRESET);
		assert_int_equal(atomic_load(&srv.requests), requests + (once ? 1 : 2));
		job_done(&j);
	}
}

/* Asynchronous: many at once, from done() too. */
#define MANY 200

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int finished;

static void count_done(struct slu_xfer *x)
{
	struct job *j = x->user;
	assert_ptr_equal(slu_loop_self(), x->loop);
	atomic_fetch_add(&j->dones, 1);
	pthread_mutex_lock(&lock);
	finished++;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void again_done(struct slu_xfer *x)
{
	struct slu_loop *l = x->loop;
	if (x->rc == 0 && x->off == 0) {
		slu_xfer_done(x);
		x->off = 4096;
		slu_xfer_send(l, x);
		return;
	}
	count_done(x);
}

static void wait_finished(int n)
{
	pthread_mutex_lock(&lock);
	while (finished < n)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
}

static struct job *send_many(struct slu_loops *ls, const char *path, size_t len,
			     void (*done)(struct slu_xfer *))
{
	struct job *jobs = calloc(MANY, sizeof(*jobs));
	finished = 0;
	for (int i = 0; i < MANY; i++) {
		struct job *j = &jobs[i];
		job_init(j, path);
		j->x.len = len;
		j->x.buf = malloc(len);
		j->x.done = done;
		j->x.user = j;
		slu_xfer_send(slu_loops_pick(ls, "h", (unsigned)i), &j->x);
	}
	return jobs;
}

static void free_many(struct job *jobs)
{
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(atomic_load(&jobs[i].dones), 1);
		job_done(&jobs[i]);
	}
	free(jobs);
}

static void many_at_once(void **state)
{
	(void)state;
	struct job *jobs = send_many(loops, "/ok", 20000, again_done);
	wait_finished(MANY);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(jobs[i].x.rc, 0);
		assert_int_equal(jobs[i].x.off, 4096);
		check_bytes(&jobs[i]);
	}
	free_many(jobs);
}

static void cancels(void **state)
{
	(void)state;
	struct job *jobs = send_many(loops, "/drip", 20000, count_done);
	for (int i = 0; i < MANY; i++)
		slu_xfer_cancel(&jobs[i].x);
	wait_finished(MANY);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(jobs[i].x.rc, -ECANCELED);
	free_many(jobs);

	/* Raced against completion: canceled or right, once. */
	jobs = send_many(loops, "/ok", 50000, count_done);
	for (int i = 0; i < MANY; i++)
		slu_xfer_cancel(&jobs[i].x);
	wait_finished(MANY);
	for (int i = 0; i < MANY; i++) {
		if (jobs[i].x.rc == 0)
			check_bytes(&jobs[i]);
		else
			assert_int_equal(jobs[i].x.rc, -ECANCELED);
	}
	free_many(jobs);

	struct job j; /* before it is sent */
	job_init(&j, "/created");
	j.x.sink = SLU_SINK_NONE;
	slu_xfer_cancel(&j.x);
	assert_int_equal(slu_xfer_wait(loop, &j.x), -ECANCELED);
	job_done(&j);
	assert_int_equal(slu_xfer_wait(loop, &j.x), 0);
	job_done(&j);
}

static void loops_end_with_things_in_flight(void **state)
{
	(void)state;
	for (int round = 0; round < 4; round++) {
		struct slu_loops *ls;
		struct slu_loops_conf conf = {.threads = 2, .conns_per_host = 8};
		assert_int_equal(slu_loops_new(&conf, &ls, NULL), 0);
		struct job *jobs = send_many(ls, "/never", 1000, count_done);
		if (round & 1) {
			/* Some have been started: the server has their requests. */
			int n = atomic_load(&srv.requests);
			struct job j;
			assert_int_equal(get_range(&j, "/ok", 0, 10), 0);
			job_done(&j);
			assert_true(atomic_load(&srv.requests) > n);
		}
		slu_loops_free(ls);
		assert_int_equal(finished, MANY);
		for (int i = 0; i < MANY; i++)
			assert_int_equal(jobs[i].x.rc, -ECANCELED);
		free_many(jobs);
	}
}

static void wait_on_loop(void *arg)
{
	struct job *j = arg;
	int r = slu_xfer_wait(loop, &j->x);
	atomic_store(&j->dones, r == -EDEADLK ? 1 : 2);
	pthread_mutex_lock(&lock);
	finished = 1;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void a_loop_cannot_wait(void **state)
{
	(void)state;
	struct job j;
	job_init(&j, "/created");
	finished = 0;
	assert_int_equal(slu_loop_post(loop, wait_on_loop, &j), 0);
	wait_finished(1);
	assert_int_equal(atomic_load(&j.dones), 1);
	job_done(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_are_kept),
		cmocka_unit_test(some_are_sent_once),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(cancels),
		cmocka_unit_test(loops_end_with_things_in_flight),
		cmocka_unit_test(a_loop_cannot_wait),
	};
	return cmocka_run_group_tests_name("xfer-life", tests, setup, teardown);
}
