/* SPDX-License-Identifier: Apache-2.0 */
/* Loops: posting, timers, descriptors, the trampoline, and ends with things still to do. */
#include "common/time.h"
#include "io/backoff.h"
#include "io/core.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct slu_loops *loops;
static struct slu_loop *loop;

/* A gate that a loop opens and the test waits at. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int count;

static void bump(void)
{
	pthread_mutex_lock(&lock);
	count++;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
}

static void wait_count(int n)
{
	pthread_mutex_lock(&lock);
	while (count < n)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
}

static void bump_arg(void *arg)
{
	assert_ptr_equal(slu_loop_self(), arg);
	bump();
}

static void nothing(void *arg)
{
	(void)arg;
	bump();
}

/* Returns when the loop has done what was posted to it before. */
static void sync_loop(struct slu_loop *l)
{
	pthread_mutex_lock(&lock);
	int n = count + 1;
	pthread_mutex_unlock(&lock);
	assert_int_equal(slu_loop_post(l, nothing, NULL), 0);
	wait_count(n);
}

static int order[1000], n_order;

static void note(void *arg)
{
	order[n_order++] = (int)(intptr_t)arg;
}

static void posts_run_in_order(void **state)
{
	(void)state;
	n_order = 0;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(slu_loop_post(loop, note, (void *)(intptr_t)i), 0);
	sync_loop(loop);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(order[i], i);
	assert_null(slu_loop_self());
	count = 0;
	assert_int_equal(slu_loop_post(loop, bump_arg, loop), 0);
	wait_count(1);
}

static void *post_many(void *arg)
{
	for (int i = 0; i < 2000; i++)
		if (slu_loop_post(arg, nothing, NULL) < 0)
			abort();
	return NULL;
}

static void posts_from_many_threads(void **state)
{
	(void)state;
	pthread_t t[4];
	count = 0;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, post_many, loop), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	wait_count(8000);
	sync_loop(loop);
	assert_int_equal(count, 8001);
}

static void picking(void **state)
{
	(void)state;
	struct slu_loop *a = slu_loops_pick(loops, "host-a", 0);
	assert_ptr_equal(slu_loops_pick(loops, "host-a", 0), a);
	assert_ptr_not_equal(slu_loops_pick(loops, "host-a", 1), a);
	assert_ptr_equal(slu_loops_pick(loops, "host-a", 3), a); /* there are three */
}

/* The loop does nothing else between hold() and go(): what is armed meanwhile is armed at once for it, however slow
 * this thread is. */
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void wait_held(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
}

static void hold(void)
{
	pthread_mutex_lock(&held);
	assert_int_equal(slu_loop_post(loop, wait_held, NULL), 0);
}

static void go(void)
{
	pthread_mutex_unlock(&held);
}

static void timers_fire_in_order(void **state)
{
	(void)state;
	struct slu_timer *t[200];
	int64_t now = slu_now() + 50 * SLU_MS;
	n_order = 0;
	hold();
	for (int i = 0; i < 200; i++) {
		int at = (i * 77) % 200; /* a permutation */
		assert_int_equal(slu_timer_new(loop, note, (void *)(intptr_t)at, &t[i]), 0);
		assert_int_equal(slu_timer_set(t[i], now + at * 10000), 0);
	}
	struct slu_timer *last;
	count = 0;
	assert_int_equal(slu_timer_new(loop, nothing, NULL, &last), 0);
	slu_timer_set(last, now + 200 * 10000);
	go();
	wait_count(1);
	assert_true(slu_now() >= now + 200 * 10000);
	assert_int_equal(n_order, 200);
	for (int i = 0; i < 200; i++)
		assert_int_equal(order[i], i);
	for (int i = 0; i < 200; i++) {
		assert_false(slu_timer_cancel(t[i])); /* it ran */
		slu_timer_free(t[i]);
	}
	/* Equal times: as they were armed.  The past: at once. */
	n_order = 0;
	for (int i = 0; i < 50; i++) {
		slu_timer_new(loop, note, (void *)(intptr_t)i, &t[i]);
		slu_timer_set(t[i], 1);
	}
	count = 0;
	slu_timer_set(last, 1);
	wait_count(1);
	sync_loop(loop);
	assert_int_equal(n_order, 50);
	for (int i = 0; i < 50; i++)
		slu_timer_free(t[i]);
	slu_timer_free(last);
	slu_timer_free(NULL);
}

static void timers_cancel_and_rearm(void **state)
{
	(void)state;
	struct slu_timer *t[500];
	n_order = 0;
	for (int i = 0; i < 500; i++) {
		assert_int_equal(slu_timer_new(loop, note, NULL, &t[i]), 0);
		assert_true(slu_timer_cancel(t[i])); /* never armed: will not run */
		slu_timer_set(t[i], slu_now() + 3600 * SLU_SEC + (int64_t)(slu_random() % 1000000));
	}
	for (int i = 0; i < 500; i++)
		if (slu_random() & 1)
			assert_true(slu_timer_cancel(t[i]));
		else
			slu_timer_set(t[i], slu_now() + 3600 * SLU_SEC);
	for (int i = 0; i < 500; i++)
		slu_timer_free(t[i]);
	sync_loop(loop);
	assert_int_equal(n_order, 0);

	/* An earlier time wakes a loop that sleeps for a later one. */
	struct slu_timer *a;
	count = 0;
	assert_int_equal(slu_timer_new(loop, nothing, NULL, &a), 0);
	slu_timer_set(a, slu_now() + 3600 * SLU_SEC);
	slu_timer_set(a, slu_now() + SLU_MS);
	wait_count(1);
	assert_false(slu_timer_cancel(a));
	sync_loop(loop); /* fn has returned: a running one could not be canceled */
	slu_timer_set(a, slu_now() + 3600 * SLU_SEC);
	assert_true(slu_timer_cancel(a));
	slu_timer_free(a);
}

/* A timer that arms itself nine times, then frees itself. */
struct selfish {
	struct slu_timer *t;
	int left;
};

static void fire_again(void *arg)
{
	struct selfish *s = arg;
	if (--s->left > 0) {
		slu_timer_set(s->t, slu_now());
		return;
	}
	slu_timer_free(s->t);
	bump();
}

static void timers_may_free_themselves(void **state)
{
	(void)state;
	struct selfish s = {.left = 10};
	count = 0;
	assert_int_equal(slu_timer_new(loop, fire_again, &s, &s.t), 0);
	slu_timer_set(s.t, slu_now());
	wait_count(1);
	assert_int_equal(s.left, 0);
}

/* fn runs until the freeing thread is seen to wait for it (its state in /proc is "S"). */
static atomic_int freer;
static atomic_bool inside, freed;

static bool sleeps(int tid)
{
	char path[64], line[256] = "";
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	FILE *f = fopen(path, "re");
	bool got = f && fgets(line, sizeof(line), f);
	if (f)
		fclose(f);
	const char *end = got ? strrchr(line, ')') : NULL;
	return end && end[2] == 'S';
}

static void long_fn(void *arg)
{
	(void)arg;
	atomic_store(&inside, true);
	bump();
	while (!atomic_load(&freer) || !sleeps(atomic_load(&freer)))
		sched_yield();
	assert_false(atomic_load(&freed));
	atomic_store(&inside, false);
}

static void freeing_waits_for_a_running_timer(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		struct slu_timer *t;
		count = 0;
		atomic_store(&freer, 0);
		atomic_store(&freed, false);
		assert_int_equal(slu_timer_new(loop, long_fn, NULL, &t), 0);
		slu_timer_set(t, slu_now());
		wait_count(1);
		assert_false(slu_timer_cancel(t));
		atomic_store(&freer, gettid());
		slu_timer_free(t);
		atomic_store(&freed, true);
		assert_false(atomic_load(&inside));
	}
}

/* Descriptors. */
static struct {
	int fd[2];
	struct slu_watch *a, *b;
	char got[64];
	size_t n;
	short seen;
	int calls_b;
} w;

static void on_b(void *arg, short revents)
{
	(void)arg;
	w.calls_b++;
	w.seen |= revents;
	bump();
}

static void on_a(void *arg, short revents)
{
	assert_ptr_equal(arg, &w);
	w.seen = revents;
	if (revents & POLLIN) {
		ssize_t r = read(w.fd[0], w.got + w.n, sizeof(w.got) - w.n);
		if (r > 0)
			w.n += (size_t)r;
	}
	if (revents & (POLLHUP | POLLERR) || (w.n && w.got[w.n - 1] == '!')) {
		slu_watch_free(w.a);
		w.a = NULL;
	}
	bump();
}

static void make_watch(void *arg)
{
	(void)arg;
	assert_int_equal(slu_watch_new(loop, w.fd[0], POLLIN, on_a, &w, &w.a), 0);
	bump();
}

static void watches(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w.fd), 0);
	count = 0;
	assert_int_equal(slu_loop_post(loop, make_watch, NULL), 0);
	wait_count(1);
	assert_int_equal(write(w.fd[1], "abc", 3), 3);
	wait_count(2);
	assert_int_equal(write(w.fd[1], "de!", 3), 3);
	wait_count(3);
	sync_loop(loop);
	assert_null(w.a);
	assert_memory_equal(w.got, "abcde!", 6);

	/* A hang-up is told, once, and a freed watch is silent. */
	assert_int_equal(slu_loop_post(loop, make_watch, NULL), 0);
	wait_count(5);
	close(w.fd[1]);
	wait_count(6);
	sync_loop(loop);
	assert_true(w.seen & POLLHUP);
	assert_int_equal(count, 7);
	close(w.fd[0]);
}

/* Two watches ready in one round, the first called frees the other. */
static void free_other(void *arg, short revents)
{
	(void)revents;
	struct slu_watch **other = arg;
	slu_watch_free(*other);
	slu_watch_free(*other == w.a ? w.b : w.a);
	w.a = w.b = NULL;
	bump();
}

static void make_two(void *arg)
{
	(void)arg;
	assert_int_equal(slu_watch_new(loop, w.fd[0], POLLIN, free_other, &w.b, &w.a), 0);
	assert_int_equal(slu_watch_new(loop, w.fd[0], POLLIN, free_other, &w.a, &w.b), 0);
	bump();
}

static void make_paused(void *arg)
{
	(void)arg;
	assert_int_equal(slu_watch_new(loop, w.fd[0], 0, on_b, NULL, &w.b), 0);
	slu_watch_set(w.b, POLLIN);
	slu_watch_set(w.b, 0);
	bump();
}

static void resume(void *arg)
{
	slu_watch_set(w.b, arg ? POLLOUT : 0);
	bump();
}

static atomic_bool dropped;

static void drop(void *arg)
{
	(void)arg;
	slu_watch_free(w.b);
	atomic_store(&dropped, true);
}

static void watches_change_while_called(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w.fd), 0);
	assert_int_equal(write(w.fd[1], "x", 1), 1);
	count = 0;
	assert_int_equal(slu_loop_post(loop, make_two, NULL), 0);
	wait_count(2);
	sync_loop(loop);
	sync_loop(loop);
	assert_int_equal(count, 4);

	/* Paused: neither the byte nor the hang-up is told. */
	assert_int_equal(slu_loop_post(loop, make_paused, NULL), 0);
	wait_count(5);
	close(w.fd[1]);
	sync_loop(loop);
	sync_loop(loop);
	assert_int_equal(w.calls_b, 0);
	assert_int_equal(slu_loop_post(loop, resume, &w), 0);
	wait_count(9);
	/* The watch counts as well, so a count tells nothing of what was posted. */
	atomic_store(&dropped, false);
	assert_int_equal(slu_loop_post(loop, drop, NULL), 0);
	while (!atomic_load(&dropped))
		sched_yield();
	assert_true(w.calls_b > 0);
	close(w.fd[0]);
}

/* The trampoline: a chain of a million nested completions needs no stack. */
static struct slu_bounce node;
static int hops, depth, deepest;

static void hop(void *arg)
{
	(void)arg;
	if (++depth > deepest)
		deepest = depth;
	if (++hops < 1000000)
		slu_bounce(&node, hop, NULL);
	depth--;
}

static struct slu_bounce three[3];

static void nested(void *arg)
{
	note(arg);
	if ((intptr_t)arg == 0) {
		slu_bounce(&three[1], nested, (void *)1);
		slu_bounce(&three[2], nested, (void *)2);
		note((void *)3); /* before the nested ones */
	}
}

static void bouncing(void **state)
{
	(void)state;
	hops = depth = deepest = 0;
	slu_bounce(&node, hop, NULL);
	assert_int_equal(hops, 1000000);
	assert_int_equal(deepest, 1);
	n_order = 0;
	slu_bounce(&three[0], nested, NULL);
	assert_int_equal(n_order, 4);
	const int want[] = {0, 3, 1, 2};
	assert_memory_equal(order, want, sizeof(want));
}

/* Ends. */
static struct slu_loops *two;
static atomic_int posted;

static void post_other(void *arg)
{
	intptr_t left = (intptr_t)arg;
	atomic_fetch_add(&posted, 1);
	if (left == 0)
		return;
	struct slu_loop *other = slu_loops_pick(two, "", 0);
	if (other == slu_loop_self())
		other = slu_loops_pick(two, "", 1);
	assert_int_equal(slu_loop_post(other, post_other, (void *)(left - 1)), 0);
}

static void everything_posted_runs(void **state)
{
	(void)state;
	struct slu_loops_conf conf = {.threads = 2};
	for (int i = 0; i < 50; i++) {
		atomic_store(&posted, 0);
		assert_int_equal(slu_loops_new(&conf, &two, NULL), 0);
		slu_loop_post(slu_loops_pick(two, "", 0), post_other, (void *)99);
		slu_loops_free(two);
		assert_int_equal(atomic_load(&posted), 100);
	}
}

static void odd_sets(void **state)
{
	(void)state;
	struct slu_loops *l = NULL;
	struct slu_err e;
	struct slu_loops_conf many = {.threads = 100000};
	assert_int_equal(slu_loops_new(&many, &l, &e), -EINVAL);
	assert_null(l);
	assert_int_equal(slu_loops_new(NULL, &l, &e), 0);
	slu_loops_free(l);
	slu_loops_free(NULL);
}

/* A loop with nothing to do does not turn. */
static void idle_loops_sleep(void **state)
{
	(void)state;
	struct rusage a, b;
	struct slu_timer *t;
	assert_int_equal(slu_timer_new(loop, nothing, NULL, &t), 0);
	sync_loop(loop);
	getrusage(RUSAGE_SELF, &a);
	count = 0;
	slu_timer_set(t, slu_now() + 200 * SLU_MS);
	wait_count(1);
	getrusage(RUSAGE_SELF, &b);
	int64_t us =
		(b.ru_utime.tv_sec - a.ru_utime.tv_sec + b.ru_stime.tv_sec - a.ru_stime.tv_sec) *
			1000000 +
		b.ru_utime.tv_usec - a.ru_utime.tv_usec + b.ru_stime.tv_usec - a.ru_stime.tv_usec;
	assert_true(us < 100000);
	slu_timer_free(t);
}

static int setup(void **state)
{
	(void)state;
	struct slu_loops_conf conf = {.threads = 3};
	if (slu_loops_new(&conf, &loops, NULL) < 0)
		return -1;
	loop = slu_loops_pick(loops, "some host", 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	slu_loops_free(loops);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(posts_run_in_order),
		cmocka_unit_test(posts_from_many_threads),
		cmocka_unit_test(picking),
		cmocka_unit_test(timers_fire_in_order),
		cmocka_unit_test(timers_cancel_and_rearm),
		cmocka_unit_test(timers_may_free_themselves),
		cmocka_unit_test(freeing_waits_for_a_running_timer),
		cmocka_unit_test(watches),
		cmocka_unit_test(watches_change_while_called),
		cmocka_unit_test(bouncing),
		cmocka_unit_test(everything_posted_runs),
		cmocka_unit_test(odd_sets),
		cmocka_unit_test(idle_loops_sleep),
	};
	return cmocka_run_group_tests_name("loop", tests, setup, teardown);
}
