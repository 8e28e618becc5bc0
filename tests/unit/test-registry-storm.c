/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exactly once, under fire.  Eight processes decide and register the same runs, several of them each
 * run, while the parent kills, stops and continues them at random; killed ones start again from the
 * beginning.  Afterwards: versions dense from 1, each run there once, what was acknowledged is there
 * under the number that was told, all that a record points to exists.  SLUICE_STORM_SEED repeats a
 * choice of victims (their timing is the kernel's).  SLUICE_STORM_CONFIG: the config.json of another
 * store, whose registry is empty; then that storm is all there is, of SLUICE_STORM_RUNS runs.
 *
 * The second test kills one registering process at each of its system calls, by ptrace.
 */
#include "tests/unit/storm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define WORKERS 8
#define RUNS 96

static int runs = RUNS; /* that are registered */

/* --- a worker: everything here happens in a process of its own --- */

/* Decides the run, if nobody has, and registers what the outcome says. */
static void finish_run(struct sluice *s, int run, int acks)
{
	struct json_t *done = NULL;
	struct slu_err e = {0};
	char id[16], line[64];
	uint64_t seen;
	bool won;

	run_name(run, id);
	char *dataset = space_saved(s, id);

	if (slu_registry_latest(s, data_name(run), &seen, &e) < 0)
		die("latest", &e);
	struct json_t *o = space_outcome(id, "Completed", dataset, data_name(run), seen);

	if (slu_outcome_put(s, id, o, &won, NULL, &e) < 0)
		die("outcome", &e);
	if (slu_outcome_replay(s, id, &done, &e) < 0)
		die("replay", &e);
	/* Lists are made of the index, which is compacted meanwhile. */
	if (rnd(4) == 0) {
		struct json_t *list = NULL;

		if (slu_registry_search(s, &(struct slu_search){.all_versions = true}, &list, &e) <
		    0)
			die("search", &e);
		slu_json_free(list);
	}
	int n = snprintf(line, sizeof line, "%d %s\n", run,
			 slu_json_str(slu_json_get(done, "out"), "version"));

	if (acks >= 0 && write(acks, line, (size_t)n) != n)
		_exit(4);
	slu_json_free(done);
	slu_json_free(o);
	free(dataset);
}

/* Shared with the workers: it was a storm.  Before that they do the same again, however slow the parent is. */
static atomic_bool *enough;

/* Its own runs and those of two neighbours, in an order of its own. */
static void work(const char *dir, int worker, int acks)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct sluice *s = space_context(dir);

	rng ^= (uint64_t)getpid();
	do
		for (int k = 0, at = (int)rnd((unsigned)runs); k < runs; k++) {
			int run = (at + k) % runs, owner = run % WORKERS;

			if (owner == worker || (owner + 1) % WORKERS == worker ||
			    (owner + 3) % WORKERS == worker)
				finish_run(s, run, acks);
		}
	while (!atomic_load(enough));
	slu_context_free(s);
	_exit(0);
}

/* --- the parent --- */

struct storm {
	struct unit_dir dir;
	int acks;
	pid_t pid[WORKERS];
	bool stopped[WORKERS], done[WORKERS];
	unsigned kills, stops, starts;
	bool faults; /* the store fails, and workers may say so: then another tries */
};

static struct storm storm;

/* After a failed assertion, too: nobody is left behind. */
static int calm(void **state)
{
	(void)state;
	for (int i = 0; i < WORKERS; i++) {
		if (storm.pid[i] > 0 && !storm.done[i]) {
			kill(storm.pid[i], SIGKILL);
			waitpid(storm.pid[i], NULL, 0);
		}
	}
	unsetenv("SLUICE_FAULT");
	return 0;
}

static void start(struct storm *t, int i)
{
	fflush(NULL);
	t->pid[i] = fork();
	assert_true(t->pid[i] >= 0);
	if (t->pid[i] == 0)
		work(t->dir.path, i, t->acks);
	t->stopped[i] = false;
	t->starts++;
}

/* Worker i has ended by itself. */
static void ended(struct storm *t, int i, int status)
{
	assert_true(WIFEXITED(status));
	if (t->faults && WEXITSTATUS(status) == TOLD) {
		start(t, i);
		return;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	t->done[i] = true;
}

/* Takes in who has ended.  False: none is left. */
static bool reap(struct storm *t)
{
	bool left = false;

	for (int i = 0; i < WORKERS; i++) {
		int status;

		if (!t->done[i] && waitpid(t->pid[i], &status, WNOHANG) == t->pid[i])
			ended(t, i, status);
		left = left || !t->done[i];
	}
	return left;
}

static void strike(struct storm *t)
{
	int i = (int)rnd(WORKERS), status;

	if (t->done[i])
		return;
	if (t->stopped[i]) {
		kill(t->pid[i], SIGCONT);
		t->stopped[i] = false;
	} else if (rnd(3)) {
		kill(t->pid[i], SIGSTOP);
		t->stopped[i] = true;
		t->stops++;
	} else {
		kill(t->pid[i], SIGKILL);
		assert_int_equal(waitpid(t->pid[i], &status, 0), t->pid[i]);
		/* It may have ended just before. */
		if (WIFEXITED(status)) {
			ended(t, i, status);
			return;
		}
		t->kills++;
		start(t, i);
	}
}

static void rage(struct storm *t, int64_t ns)
{
	int64_t end = slu_now() + ns;

	atomic_store(enough, false);
	for (int i = 0; i < WORKERS; i++)
		start(t, i);
	while (reap(t) && (slu_now() < end || !atomic_load(enough))) {
		poll(NULL, 0, (int)rnd(6));
		strike(t);
		atomic_store(enough, t->kills > 2 && t->stops > 2);
	}
	for (int i = 0; i < WORKERS; i++)
		if (!t->done[i])
			kill(t->pid[i], SIGCONT);
	while (reap(t))
		poll(NULL, 0, 5);
}

static void check_record(struct sluice *s, const struct json_t *r, size_t at, int *versions)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	const char *run = slu_json_str(r, "run");
	struct slu_err e = {0};
	char want[24], id[16];
	int n;

	snprintf(want, sizeof want, "%zu", at + 1);
	assert_string_equal(slu_json_str(r, "version"), want); /* dense from 1 */
	assert_non_null(run);
	n = atoi(run + 3);
	assert_in_range(n, 0, runs - 1);
	run_name(n, id);
	assert_string_equal(run, id);
	assert_string_equal(slu_json_str(r, "output"), "out");
	assert_string_equal(slu_json_str(r, "name"), data_name(n));
	if (versions[n])
		fail_msg("%s is registered twice: %d and %zu", run, versions[n], at + 1);
	versions[n] = (int)at + 1;
	if (slu_registry_by_id(s, slu_json_str(r, "dataset"), &d, &e) < 0)
		fail_msg("%s@%s: %s", slu_json_str(r, "name"), want, e.msg);
	assert_string_equal(d->digest, slu_json_str(r, "manifest"));
	assert_non_null(strstr(d->def->paths[0], id));
}

static void check_acks(const struct unit_dir *dir, const int *versions)
{
	FILE *f = fdopen(openat(dir->fd, "acks", O_RDONLY | O_CLOEXEC), "r");
	int run, version, n = 0;

	assert_non_null(f);
	for (; fscanf(f, "%d %d", &run, &version) == 2; n++)
		if (version != versions[run])
			fail_msg("run%d was told %d and is %d", run, version, versions[run]);
	assert_true(feof(f));
	assert_true(n >= runs);
	fclose(f);
}

/* Everything there is for the names, and how many runs that makes. */
static int check_all(const char *path, int *versions)
{
	struct sluice *s = space_context(path);
	struct slu_err e = {0};
	int found = 0;

	for (int k = 0; k < NAMES; k++) {
		SLU_AUTO(slu_json_freep) struct json_t *all = NULL;
		uint64_t latest = 0;

		int r = slu_registry_versions(s, data_name(k), &all, &e);

		assert_true(r == 0 || r == -ENOENT);
		for (size_t i = 0; i < slu_json_count(all); i++, found++)
			check_record(s, slu_json_at(all, i), i, versions);
		assert_int_equal(slu_registry_latest(s, data_name(k), &latest, &e), 0);
		assert_int_equal(latest, slu_json_count(all));
	}
	check_index(s, (size_t)found);
	slu_context_free(s);
	return found;
}

static void run_storm(int64_t ns, const char *faults)
{
	int versions[RUNS] = {0};
	struct storm *t = &storm;
	char rules[64];

	*t = (struct storm){.faults = faults};
	seed();
	workspace(&t->dir);
	if (getenv("SLUICE_STORM_CONFIG"))
		use_config(&t->dir, getenv("SLUICE_STORM_CONFIG"));
	t->acks = openat(t->dir.fd, "acks", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(t->acks >= 0);
	if (faults) {
		snprintf(rules, sizeof rules, "%s,seed=%u", faults, rnd(10000));
		assert_int_equal(setenv("SLUICE_FAULT", rules, 1), 0);
	}
	rage(t, ns);
	unsetenv("SLUICE_FAULT");
	close(t->acks);
	print_message("# %u starts, %u kills, %u stops\n", t->starts, t->kills, t->stops);
	assert_int_equal(check_all(t->dir.path, versions), runs);
	check_acks(&t->dir, versions);
	assert_true(t->kills > 2 && t->stops > 2);
	unit_dir_done(&t->dir);
}

static void test_storm(void **state)
{
	(void)state;
	run_storm(4 * SLU_SEC, NULL);
}

/* Replies are lost: of three things that were put, the writer is told of two. */
static void test_lost_replies(void **state)
{
	(void)state;
	run_storm(2 * SLU_SEC, "put:0.3:lost");
}

/* --- killed at every system call --- */

/* One process that saves, decides and registers run 0, killed at its nth stop at a system call (each
 * call has two: on entry and on return).  *ret_ended: it came to its end before. */
static bool killed_at(const char *dir, long nth, bool *ret_ended)
{
	int status;
	long n = 0;
	pid_t child, p;

	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct sluice *s = space_context(dir); /* no thread yet */

		raise(SIGSTOP); /* until it is traced */
		finish_run(s, 0, -1);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	if (ptrace(PTRACE_SEIZE, child, NULL,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) < 0) {
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		return false;
	}
	kill(child, SIGCONT);
	*ret_ended = false;
	while ((p = waitpid(-1, &status, __WALL)) > 0) {
		int sig = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;

		if (!WIFSTOPPED(status)) {
			if (p != child)
				continue;
			if (WIFEXITED(status)) {
				assert_int_equal(WEXITSTATUS(status), 0);
				*ret_ended = true;
			}
			break; /* the last of its threads */
		}
		if (sig == (SIGTRAP | 0x80) && ++n == nth)
			kill(child, SIGKILL);
		/* Group stops and events are ptrace's, other signals the child's. */
		if (sig == (SIGTRAP | 0x80) || sig == SIGTRAP || sig == SIGSTOP || sig == SIGCONT)
			sig = 0;
		ptrace(PTRACE_SYSCALL, p, NULL, (void *)(intptr_t)sig);
	}
	return true;
}

static void check_after_kill(const char *path, long nth)
{
	int versions[RUNS] = {0};
	pid_t child;
	int status;

	/* In a process: this one must have no threads when it forks again. */
	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct sluice *s = space_context(path);

		finish_run(s, 0, -1);
		slu_context_free(s);
		_exit(check_all(path, versions) == 1 && versions[0] == 1 ? 0 : 5);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("killed at system call stop %ld: status %d", nth, status);
}

static void test_each_call(void **state)
{
	bool ended = false;
	long nth = 1 + rnd(2); /* one of the two stops of each call tells as much as both */

	(void)state;
	for (; !ended; nth += 2) {
		struct unit_dir dir;

		workspace(&dir);
		if (!killed_at(dir.path, nth, &ended)) {
			unit_dir_done(&dir);
			skip(); /* no ptrace here */
		}
		check_after_kill(dir.path, nth);
		unit_dir_done(&dir);
	}
	print_message("# killed at every second of %ld stops\n", nth);
	assert_true(nth > 50);
}

int main(void)
{
	enough = mmap(NULL, sizeof *enough, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(enough != MAP_FAILED);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_storm, calm),
		cmocka_unit_test_teardown(test_lost_replies, calm),
		cmocka_unit_test(test_each_call),
	};

	const struct CMUnitTest elsewhere[] = {cmocka_unit_test_teardown(test_storm, calm)};

	if (getenv("SLUICE_STORM_RUNS"))
		runs = atoi(getenv("SLUICE_STORM_RUNS"));
	if (runs < 8 || runs > RUNS)
		return 2;
	if (getenv("SLUICE_STORM_CONFIG"))
		return cmocka_run_group_tests_name("registry-storm", elsewhere, NULL, NULL);
	return cmocka_run_group_tests_name("registry-storm", tests, NULL, NULL);
}
