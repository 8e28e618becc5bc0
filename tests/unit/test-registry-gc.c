/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clearing away while others register.  Processes that register by hand are stopped for longer than what nobody points to
 * is kept, while others clear such things away and are stopped as well: what a record points to must be there.
 * SLUICE_STORM_CONFIG: the config.json of another store; then only what clearing away stands on is tested, there.
 */
#include "tests/unit/storm.h"

#include "common/str.h"
#include "dataset/gc.h"
#include "dataset/record.h"

#include <poll.h>
#include <sys/prctl.h>

#define WORKERS 8
#define CLEANERS 2 /* clear away */
#define ALL (WORKERS + CLEANERS)
#define GRACE (160 * SLU_MS) /* an hour and seven days, shortened */
#define YOUNG (40 * SLU_MS)
#define CONTENTS 160

struct storm {
	struct unit_dir dir;
	int acks;
	pid_t pid[ALL];
	bool stopped[ALL], done[ALL];
	unsigned stops;
};

static struct storm storm;

/* After a failed assertion, too: nobody is left behind. */
static int calm(void **state)
{
	(void)state;
	for (int i = 0; i < ALL; i++) {
		if (storm.pid[i] > 0 && !storm.done[i]) {
			kill(storm.pid[i], SIGKILL);
			waitpid(storm.pid[i], NULL, 0);
		}
	}
	return 0;
}

/* Takes in who has come to its end.  False: nobody who registers is left. */
static bool reap(struct storm *t)
{
	bool left = false;

	for (int i = 0; i < WORKERS; i++) {
		int status;

		if (!t->done[i] && waitpid(t->pid[i], &status, WNOHANG) == t->pid[i]) {
			assert_int_equal(status, 0);
			t->done[i] = true;
		}
		left = left || !t->done[i];
	}
	return left;
}

/* Clears away what is old until it is killed. */
static void clean(const char *dir, int told)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	slu_registry_young = YOUNG;
	setenv("SLUICE_FAULT", "delete:0.2:delay=50ms", 1); /* between its last look and that */
	for (;;) {
		struct sluice *s = space_context(dir);
		struct json_t *out = NULL;
		struct slu_err e = {0};

		if (slu_gc(s, GRACE, false, &out, &e) < 0)
			die("gc", &e);
		for (size_t i = 0; i < slu_json_count(out); i++) {
			const char *what = slu_json_str(slu_json_at(out, i), "what");

			if ((slu_streq(what, "dataset") || slu_streq(what, "manifest")) &&
			    write(told, "x", 1) != 1)
				_exit(4);
		}
		slu_json_free(out);
		slu_context_free(s);
	}
}

/* Saves and registers, each content beside a neighbour. */
static void make(const char *dir, int worker)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	slu_registry_young = YOUNG;
	rng ^= (uint64_t)getpid();
	struct sluice *s = space_context(dir);

	for (int k = 0; k < CONTENTS; k++) {
		SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
		SLU_AUTO(slu_freep) char *version = NULL;
		struct slu_err e = {0};
		char id[16];

		if (k % WORKERS != worker && (k + 1) % WORKERS != worker)
			continue;
		run_name(k, id);
		d = space_dataset(s, id);
		if (slu_registry_save(s, d, &e) < 0)
			die("save", &e);
		if (rnd(3) == 0) /* stopped where it matters */
			poll(NULL, 0, (int)rnd(300));
		if (slu_registry_register(s,
					  &(struct slu_registration){.name = data_name(k),
								     .dataset_id = d->id,
								     .saved = d},
					  &version, &e) < 0)
			die("register", &e);
	}
	slu_context_free(s);
	_exit(0);
}

static void start_of(struct storm *t, int i)
{
	fflush(NULL);
	t->pid[i] = fork();
	assert_true(t->pid[i] >= 0);
	if (t->pid[i] == 0 && i < WORKERS)
		make(t->dir.path, i);
	if (t->pid[i] == 0)
		clean(t->dir.path, t->acks);
}

/* Somebody is stopped, somebody else may go on. */
static void stop_some(struct storm *t)
{
	int i = (int)rnd(ALL);

	if (t->done[i])
		return;
	kill(t->pid[i], t->stopped[i] ? SIGCONT : SIGSTOP);
	t->stopped[i] = !t->stopped[i];
	t->stops += t->stopped[i];
}

/* What each record points to can be read. */
static int check_content(const char *path)
{
	struct sluice *s = space_context(path);
	struct slu_err e = {0};
	int found = 0;

	for (int k = 0; k < NAMES; k++) {
		SLU_AUTO(slu_json_freep) struct json_t *all = NULL;

		assert_int_equal(slu_registry_versions(s, data_name(k), &all, &e), 0);
		for (size_t i = 0; i < slu_json_count(all); i++, found++) {
			SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
			const char *id = slu_json_str(slu_json_at(all, i), "dataset");

			if (slu_registry_by_id(s, id, &d, &e) < 0)
				fail_msg("%s@%zu: %s", data_name(k), i + 1, e.msg);
		}
	}
	check_index(s, (size_t)found);
	slu_context_free(s);
	return found;
}

static void old_content(const char *path)
{
	struct sluice *s = space_context(path);

	/* Some that nobody is going to register. */
	for (int k = 0; k < CONTENTS + 8; k++) {
		char id[16];

		run_name(k, id);
		free(space_saved(s, id));
	}
	slu_context_free(s);
}

static void test_cleared_away(void **state)
{
	struct storm *t = &storm;
	struct stat st;

	(void)state;
	*t = (struct storm){0};
	seed();
	workspace(&t->dir);
	in_child(t->dir.path, old_content);
	poll(NULL, 0, (int)(GRACE / SLU_MS)); /* until it is */
	t->acks = openat(t->dir.fd, "gone", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	for (int i = 0; i < ALL; i++)
		start_of(t, i);
	for (int64_t end = slu_now() + 3 * SLU_SEC; reap(t) && slu_now() < end;) {
		poll(NULL, 0, (int)rnd(25));
		stop_some(t);
	}
	for (int i = 0; i < ALL; i++)
		if (!t->done[i])
			kill(t->pid[i], SIGCONT);
	while (reap(t))
		poll(NULL, 0, 5);
	do /* until something was */
		assert_int_equal(fstat(t->acks, &st), 0);
	while (st.st_size == 0 && poll(NULL, 0, 5) == 0);
	/* Those that clear away do not end by themselves; what they began is done when they are gone. */
	for (int i = WORKERS; i < ALL; i++) {
		kill(t->pid[i], SIGTERM);
		waitpid(t->pid[i], NULL, 0);
		t->done[i] = true;
	}
	assert_int_equal(fstat(t->acks, &st), 0);
	close(t->acks);
	print_message("# %u stops, %lld cleared away\n", t->stops, (long long)st.st_size);
	assert_int_equal(check_content(t->dir.path), 2 * CONTENTS);
	assert_true(st.st_size > 0);
	unit_dir_done(&t->dir);
}

/* What was replaced meanwhile is not deleted, on any store: clearing away stands on it. */
static void delete_in_state(const char *path)
{
	struct sluice *s = space_context(path);
	struct slu_attr was, is;
	struct slu_registry g;
	struct slu_op op = {0};
	struct slu_err e = {0};

	assert_int_equal(slu_registry_open(s, &g, &e), 0);
	SLU_AUTO(slu_freep) char *file = slu_registry_path(&g, "gc/state");

	assert_int_equal(slu_store_put(g.store, file, "1", 1, SLU_OPF_DURABLE, NULL, &e), 0);
	assert_int_equal(slu_store_stat(g.store, file, &was, &e), 0);
	assert_int_equal(slu_store_put(g.store, file, "22", 2, SLU_OPF_DURABLE, NULL, &e), 0);
	assert_int_equal(slu_store_stat(g.store, file, &is, &e), 0);
	slu_op_delete(&op, file, 0);
	op.if_match = was.id;
	int r = slu_store_wait(g.store, &op, &e);

	if (r != -ESTALE && r != -ENOENT)
		fail_msg("deleted in another state: %d %s", r, e.msg);
	assert_int_equal(slu_store_stat(g.store, file, &is, &e), 0);
	slu_op_delete(&op, file, 0);
	op.if_match = is.id;
	if (slu_store_wait(g.store, &op, &e) < 0)
		fail_msg("not deleted in its state: %s", e.msg);
	assert_int_equal(slu_store_stat(g.store, file, &is, &e), -ENOENT);
	slu_op_delete(&op, file, 0);
	op.if_match = is.id;
	r = slu_store_wait(g.store, &op, &e);
	assert_true(r == -ESTALE || r == -ENOENT);
	slu_context_free(s);
}

static void test_delete_in_state(void **state)
{
	struct unit_dir dir;

	(void)state;
	workspace(&dir);
	if (getenv("SLUICE_STORM_CONFIG"))
		use_config(&dir, getenv("SLUICE_STORM_CONFIG"));
	in_child(dir.path, delete_in_state);
	unit_dir_done(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_cleared_away, calm),
		cmocka_unit_test(test_delete_in_state),
	};
	const struct CMUnitTest elsewhere[] = {cmocka_unit_test(test_delete_in_state)};

	if (getenv("SLUICE_STORM_CONFIG"))
		return cmocka_run_group_tests_name("registry-gc", elsewhere, NULL, NULL);
	return cmocka_run_group_tests_name("registry-gc", tests, NULL, NULL);
}
