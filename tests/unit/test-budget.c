/* SPDX-License-Identifier: Apache-2.0 */
/* The memory budget: who is admitted, who waits, who yields; how much a machine has. */
#include "tests/unit/unit.h"

#include "common/time.h"
#include "fs/budget.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1ull << 20)

static struct slu_budget *make(uint64_t limit)
{
	struct slu_budget *b = NULL;

	assert_int_equal(slu_budget_new(limit, &b), 0);
	return b;
}

static uint64_t used(struct slu_budget *b)
{
	struct slu_budget_gauges g;

	slu_budget_read(b, &g);
	return g.used;
}

/* Fills one class as far as it goes. */
static uint64_t fill(struct slu_budget *b, enum slu_budget_class c)
{
	uint64_t n = 0;

	while (slu_budget_try(b, c, MIB))
		n += MIB;
	return n;
}

static void each_class_leaves_room_for_those_before_it(void **state)
{
	struct slu_budget *b = make(64 * MIB);
	const enum slu_budget_class order[] = {SLU_BUDGET_PREFETCH, SLU_BUDGET_CACHE,
					       SLU_BUDGET_AHEAD, SLU_BUDGET_LIST,
					       SLU_BUDGET_DEMAND};
	uint64_t got[5], sum = 0;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		got[i] = fill(b, order[i]);
		assert_true(got[i] >= 8 * MIB);
		sum += got[i];
		assert_true(sum <= slu_budget_ceiling(b, order[i]));
		/* Those behind it are shut out. */
		for (unsigned k = 0; k <= i; k++)
			assert_false(slu_budget_try(b, order[k], MIB));
	}
	assert_int_equal(sum, 64 * MIB);
	assert_int_equal(used(b), 64 * MIB);
	for (unsigned i = 0; i < 5; i++)
		slu_budget_give(b, order[i], got[i]);
	assert_int_equal(used(b), 0);
	slu_budget_free(b);
}

static void what_never_fits_goes_alone(void **state)
{
	struct slu_budget *b = make(1000);

	(void)state;
	assert_true(slu_budget_try(b, SLU_BUDGET_DEMAND, 5000));
	assert_false(slu_budget_try(b, SLU_BUDGET_DEMAND, 5000));
	slu_budget_give(b, SLU_BUDGET_DEMAND, 5000);
	assert_true(slu_budget_try(b, SLU_BUDGET_DEMAND, 5000));
	slu_budget_give(b, SLU_BUDGET_DEMAND, 5000);
	slu_budget_free(b);
}

struct waiter {
	struct slu_budget_wait w;
	unsigned *clock, at;
};

static void granted(struct slu_budget_wait *w)
{
	struct waiter *me = w->user;

	me->at = ++*me->clock;
}

static void waiters_are_served_in_order(void **state)
{
	struct slu_budget *b = make(16 * MIB);
	unsigned clock = 0;
	struct waiter w[6];
	const uint64_t n[] = {8 * MIB, MIB, 2 * MIB, 4 * MIB, MIB, MIB};

	(void)state;
	assert_true(slu_budget_try(b, SLU_BUDGET_DEMAND, 16 * MIB));
	for (unsigned i = 0; i < 6; i++) {
		w[i] = (struct waiter){.w = {.granted = granted}, .clock = &clock};
		w[i].w.user = &w[i];
		/* The fourth is of a class behind: after all the others, whatever fits. */
		assert_false(slu_budget_wait(b, &w[i].w,
					     i == 3 ? SLU_BUDGET_COPY : SLU_BUDGET_DEMAND, n[i]));
	}
	/* Room for the small ones, but the first is the large one. */
	slu_budget_give(b, SLU_BUDGET_DEMAND, 4 * MIB);
	assert_int_equal(clock, 0);
	assert_false(slu_budget_try(b, SLU_BUDGET_DEMAND, MIB));
	slu_budget_give(b, SLU_BUDGET_DEMAND, 5 * MIB);
	assert_int_equal(w[0].at, 1);
	assert_int_equal(w[1].at, 2);
	assert_int_equal(clock, 2);
	/* One gives up; those behind it move on. */
	assert_true(slu_budget_cancel(b, &w[2].w));
	assert_false(slu_budget_cancel(b, &w[2].w));
	assert_int_equal(clock, 2);
	slu_budget_give(b, SLU_BUDGET_DEMAND, 7 * MIB);
	assert_int_equal(w[4].at, 3);
	assert_int_equal(w[5].at, 4);
	/* 11 in use: the ceiling of copies is 14, so its 4 must wait for one more. */
	assert_int_equal(w[3].at, 0);
	slu_budget_give(b, SLU_BUDGET_DEMAND, MIB);
	assert_int_equal(w[3].at, 5);
	slu_budget_give(b, SLU_BUDGET_DEMAND, 10 * MIB);
	slu_budget_give(b, SLU_BUDGET_COPY, 4 * MIB);
	slu_budget_free(b);
}

struct holder {
	struct slu_budget_yield y;
	struct slu_budget *b;
	uint64_t held;
	unsigned asked;
};

static void let_go(struct slu_budget_yield *y, enum slu_budget_class c, uint64_t n)
{
	struct holder *h = (struct holder *)y;

	h->asked++;
	if (c >= SLU_BUDGET_PREFETCH || h->held < n)
		return;
	h->held -= n;
	slu_budget_give(h->b, SLU_BUDGET_PREFETCH, n);
}

/* A reader that waits is served by what prefetch lets go, before wait() even returns. */
static void prefetch_yields_to_a_reader(void **state)
{
	struct slu_budget *b = make(16 * MIB);
	struct holder h = {.y = {.yield = let_go}, .b = b};
	unsigned clock = 0;
	struct waiter w = {.w = {.granted = granted}, .clock = &clock};

	(void)state;
	w.w.user = &w;
	slu_budget_yield_add(b, &h.y);
	h.held = fill(b, SLU_BUDGET_PREFETCH);
	assert_true(slu_budget_try(b, SLU_BUDGET_DEMAND, 8 * MIB));
	assert_int_equal(h.asked, 0);
	assert_false(slu_budget_wait(b, &w.w, SLU_BUDGET_DEMAND, MIB));
	assert_int_equal(h.asked, 1);
	assert_int_equal(w.at, 1);
	slu_budget_give(b, SLU_BUDGET_DEMAND, 9 * MIB);
	slu_budget_give(b, SLU_BUDGET_PREFETCH, h.held);
	slu_budget_yield_remove(b, &h.y);
	slu_budget_free(b);
}

static void spare_buffers_count_for_the_limit_only(void **state)
{
	struct slu_budget *b = make(16 * MIB);

	(void)state;
	assert_true(slu_budget_try(b, SLU_BUDGET_AHEAD, 12 * MIB));
	assert_false(slu_budget_try(b, SLU_BUDGET_AHEAD, MIB));
	slu_budget_turn(b, SLU_BUDGET_AHEAD, SLU_BUDGET_SPARE, 8 * MIB);
	assert_int_equal(used(b), 12 * MIB);
	assert_true(slu_budget_swap(b, SLU_BUDGET_SPARE, 4 * MIB, SLU_BUDGET_PREFETCH, 4 * MIB));
	assert_false(slu_budget_swap(b, SLU_BUDGET_SPARE, MIB, SLU_BUDGET_PREFETCH, MIB));
	assert_true(slu_budget_swap(b, SLU_BUDGET_SPARE, 4 * MIB, SLU_BUDGET_DEMAND, 4 * MIB));
	assert_true(slu_budget_try(b, SLU_BUDGET_DEMAND, 4 * MIB));
	assert_false(slu_budget_try(b, SLU_BUDGET_DEMAND, 1));
	assert_int_equal(used(b), 16 * MIB);
	slu_budget_give(b, SLU_BUDGET_AHEAD, 4 * MIB);
	slu_budget_give(b, SLU_BUDGET_PREFETCH, 4 * MIB);
	slu_budget_give(b, SLU_BUDGET_DEMAND, 8 * MIB);
	slu_budget_free(b);
}

struct job {
	struct slu_budget *b;
	unsigned seed;
	atomic_uint_fast64_t *over;
};

static void *hammer(void *arg)
{
	struct job *j = arg;

	for (int i = 0; i < 3000; i++) {
		enum slu_budget_class c = (enum slu_budget_class)(rand_r(&j->seed) % 6);
		uint64_t n = 1 + (uint64_t)rand_r(&j->seed) % MIB;

		if (c <= SLU_BUDGET_LIST)
			slu_budget_take(j->b, c, n);
		else if (!slu_budget_try(j->b, c, n))
			continue;
		if (used(j->b) > slu_budget_limit(j->b))
			(*j->over)++;
		slu_budget_give(j->b, c, n);
	}
	return NULL;
}

static void many_threads_keep_the_limit(void **state)
{
	struct slu_budget *b = make(3 * MIB);
	atomic_uint_fast64_t over = 0;
	struct job jobs[8];
	pthread_t t[8];
	struct slu_budget_gauges g;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		jobs[i] = (struct job){b, i + 1, &over};
		assert_int_equal(pthread_create(&t[i], NULL, hammer, &jobs[i]), 0);
	}
	for (unsigned i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	slu_budget_read(b, &g);
	assert_int_equal(over, 0);
	assert_int_equal(g.used, 0);
	assert_int_equal(g.waiting, 0);
	assert_true(g.peak <= 3 * MIB);
	slu_budget_free(b);
}

static void a_lower_limit_shuts_out_at_once(void **state)
{
	struct slu_budget *b = make(16 * MIB);

	(void)state;
	assert_true(slu_budget_try(b, SLU_BUDGET_AHEAD, 8 * MIB));
	slu_budget_set_limit(b, 8 * MIB);
	assert_false(slu_budget_try(b, SLU_BUDGET_AHEAD, 1));
	slu_budget_give(b, SLU_BUDGET_AHEAD, 8 * MIB);
	assert_true(slu_budget_try(b, SLU_BUDGET_AHEAD, 6 * MIB));
	slu_budget_give(b, SLU_BUDGET_AHEAD, 6 * MIB);
	slu_budget_free(b);
}

/* --- how much there is --- */

static void put(const struct unit_dir *d, const char *path, const char *text)
{
	char *dir = slu_path_dir(path);

	assert_int_equal(slu_path_mkdirs(d->fd, dir, 0755), 0);
	free(dir);
	int fd = openat(d->fd, path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

#define V1_MOUNT(top) "35 31 0:32 " top " /cg/memory rw,relatime - cgroup cgroup rw,memory\n"
#define V2_MOUNT "31 23 0:28 / /cg/all rw shared:9 - cgroup2 cgroup2 rw\n"

static void machine(const struct unit_dir *d, const char *mounts, const char *groups)
{
	put(d, "proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n");
	put(d, "proc/self/mountinfo", mounts);
	put(d, "proc/self/cgroup", groups);
}

static void the_tightest_group_counts(void **state)
{
	struct unit_dir d;
	const uint64_t all = 16384 * MIB;

	(void)state;
	unit_dir_make(&d);
	assert_int_equal(slu_budget_machine(d.path), 0);
	machine(&d, V1_MOUNT("/"), "9:cpu:/\n4:cpuacct,memory:/a/b\n0::/\n");
	assert_int_equal(slu_budget_machine(d.path), all);
	put(&d, "cg/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(slu_budget_machine(d.path), all);
	put(&d, "cg/memory/a/memory.limit_in_bytes", "536870912\n");
	assert_int_equal(slu_budget_machine(d.path), 512 * MIB);
	put(&d, "cg/memory/a/b/memory.limit_in_bytes", "268435456\n");
	assert_int_equal(slu_budget_machine(d.path), 256 * MIB);
	/* Not ours. */
	put(&d, "cg/memory/c/memory.limit_in_bytes", "1\n");
	assert_int_equal(slu_budget_machine(d.path), 256 * MIB);
	/* A container: only its own group is mounted; the path is the host's. */
	machine(&d, V1_MOUNT("/a"), "4:memory:/a/b\n");
	put(&d, "cg/memory/b/memory.limit_in_bytes", "134217728\n");
	assert_int_equal(slu_budget_machine(d.path), 128 * MIB);
	machine(&d, V1_MOUNT("/docker/x"), "4:memory:/elsewhere/y\n");
	put(&d, "cg/memory/memory.limit_in_bytes", "67108864\n");
	assert_int_equal(slu_budget_machine(d.path), 64 * MIB);
	/* Version 2, also beside version 1. */
	machine(&d, V2_MOUNT, "0::/user/job\n");
	put(&d, "cg/all/user/job/memory.max", "max\n");
	assert_int_equal(slu_budget_machine(d.path), all);
	put(&d, "cg/all/user/memory.max", "1073741824\n");
	assert_int_equal(slu_budget_machine(d.path), 1024 * MIB);
	machine(&d, V2_MOUNT V1_MOUNT("/"), "4:memory:/a\n0::/user/job\n");
	assert_int_equal(slu_budget_machine(d.path), 64 * MIB);
	/* Nonsense is no limit. */
	machine(&d, "x - y\n\n35 31 - cgroup\n", "memory\n:::\n");
	assert_int_equal(slu_budget_machine(d.path), all);
	unit_dir_done(&d);
}

static void the_default_is_a_part_within_bounds(void **state)
{
	(void)state;
	assert_int_equal(slu_budget_default(0), SLU_BUDGET_MAX);
	assert_int_equal(slu_budget_default(1 * MIB), SLU_BUDGET_MIN);
	assert_int_equal(slu_budget_default(512 * MIB), 64 * MIB);
	assert_int_equal(slu_budget_default(1ull << 40), SLU_BUDGET_MAX);
	assert_non_null(slu_budget_process());
	assert_ptr_equal(slu_budget_process(), slu_budget_process());
	assert_true(slu_budget_limit(slu_budget_process()) >= SLU_BUDGET_MIN);
	assert_string_equal(slu_budget_name(SLU_BUDGET_AHEAD), "ahead");
}

static atomic_bool enough;

static void *take_and_give(void *arg)
{
	struct slu_budget *b = slu_budget_process();

	(void)arg;
	while (!atomic_load(&enough))
		if (slu_budget_try(b, SLU_BUDGET_DEMAND, 4096))
			slu_budget_give(b, SLU_BUDGET_DEMAND, 4096);
	return NULL;
}

/* Its parent's threads may have had the lock, and memory, when it was made. */
static void a_child_has_a_budget_of_its_own(void **state)
{
	pthread_t t[3];
	uint64_t limit = slu_budget_limit(slu_budget_process());

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, take_and_give, NULL), 0);
	for (int i = 0; i < 100; i++) {
		int status = -1;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct slu_budget *b = slu_budget_process();

			alarm(60);
			_exit(used(b) || slu_budget_limit(b) != limit ||
			      !slu_budget_try(b, SLU_BUDGET_DEMAND, limit));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	atomic_store(&enough, true);
	for (size_t i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(used(slu_budget_process()), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_class_leaves_room_for_those_before_it),
		cmocka_unit_test(what_never_fits_goes_alone),
		cmocka_unit_test(waiters_are_served_in_order),
		cmocka_unit_test(prefetch_yields_to_a_reader),
		cmocka_unit_test(spare_buffers_count_for_the_limit_only),
		cmocka_unit_test(many_threads_keep_the_limit),
		cmocka_unit_test(a_lower_limit_shuts_out_at_once),
		cmocka_unit_test(the_tightest_group_counts),
		cmocka_unit_test(the_default_is_a_part_within_bounds),
		cmocka_unit_test(a_child_has_a_budget_of_its_own),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
