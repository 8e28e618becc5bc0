/* SPDX-License-Identifier: Apache-2.0 */
/* Run records, who is alive, and what readers do about those who are not. */
#include "tests/unit/dataset.h"

#include "common/str.h"
#include "common/time.h"
#include "fs/walk.h"
#include "job/alive.h"
#include "job/run.h"
#include "job/settle.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static struct json_t *doc(const char *id, const char *status)
{
	struct json_t *o = slu_json_object();

	slu_json_set_int(o, "format", 1);
	slu_json_set_str(o, "run", id);
	slu_json_set_str(o, "root", id);
	slu_run_add_state(o, status, "2026-01-31T08:00:00.000000Z");
	return o;
}

/* A run that is there; with an output when `outputs`. */
static struct slu_run *make(struct space *w, const char *id, const char *status)
{
	struct slu_run *r = NULL;
	struct slu_err e = {0};

	if (slu_run_make(w->s, id, doc(id, status), &r, &e) < 0 || slu_run_commit(r, &e) < 0)
		fail_msg("%s", e.msg);
	return r;
}

static void test_ids(void **state)
{
	(void)state;
	assert_true(slu_run_id_ok("a_1.b-2"));
	assert_false(slu_run_id_ok(""));
	assert_false(slu_run_id_ok(".x"));
	assert_false(slu_run_id_ok("a/b"));
	assert_false(slu_run_id_ok("a b"));
	assert_false(slu_run_id_ok("$(x)"));
	SLU_AUTO(slu_freep) char *a = slu_run_new_id("job"), *b = slu_run_new_id("job");

	assert_true(slu_starts(a, "job_") && slu_run_id_ok(a) && strlen(a) == 14);
	assert_string_not_equal(a, b);
}

static void test_record(void **state)
{
	struct slu_run *r = NULL, *again = NULL;
	struct slu_err e = {0};
	struct space w;

	(void)state;
	space_make(&w);
	assert_int_equal(slu_run_make(w.s, "r1", doc("r1", "NotStarted"), &r, &e), 0);
	/* Not there before it is committed. */
	assert_failed(slu_run_open(w.s, "r1", &again, &e), e, ENOENT, "job list");
	assert_int_equal(slu_run_commit(r, &e), 0);
	assert_true(space_has(&w, ROOT "/runs/r1/logs/azureml/driver"));
	assert_int_equal(slu_run_status(r, "Running", &e), 0);
	assert_int_equal(slu_run_status(r, "Running", &e), 0);
	assert_int_equal(slu_run_set(r, "x", slu_json_new_int(3), true, &e), 0);
	assert_int_equal(slu_run_open(w.s, "r1", &again, &e), 0);
	assert_string_equal(slu_run_get(again, "status"), "Running");
	assert_int_equal(slu_json_count(slu_json_get(again->doc, "states")), 2);
	assert_int_equal(slu_json_int(again->doc, "x", 0), 3);
	slu_run_free(again);
	again = NULL;

	assert_failed(slu_run_make(w.s, "r1", doc("r1", "x"), &again, &e), e, EEXIST,
		      "'r1' already");
	assert_failed(slu_run_make(w.s, "a/b", doc("x", "x"), &again, &e), e, EINVAL, "no run id");
	assert_null(again);

	/* Two makers of one id: the second commit loses and takes nothing away. */
	struct slu_run *x = NULL, *y = NULL;

	assert_int_equal(slu_run_make(w.s, "r2", doc("r2", "NotStarted"), &x, &e), 0);
	assert_int_equal(slu_run_make(w.s, "r2", doc("r2", "Other"), &y, &e), 0);
	assert_int_equal(slu_run_commit(x, &e), 0);
	assert_failed(slu_run_commit(y, &e), e, EEXIST, "'r2' already");
	slu_run_discard(y);
	assert_int_equal(slu_run_reload(x, &e), 0);
	assert_string_equal(slu_run_get(x, "status"), "NotStarted");

	SLU_AUTO(slu_json_freep) struct json_t *ids = NULL;

	assert_int_equal(slu_run_ids(w.s, &ids, &e), 0);
	assert_int_equal(slu_json_count(ids), 2);
	slu_run_discard(x);
	assert_false(space_has(&w, ROOT "/runs/r2"));
	slu_run_free(x);
	slu_run_free(y);
	slu_run_free(r);
	space_done(&w);
}

static void test_damaged(void **state)
{
	struct slu_run *r = NULL;
	struct slu_err e = {0};
	struct space w;

	(void)state;
	space_make(&w);
	slu_run_free(make(&w, "r", "Running"));
	space_write(&w, ROOT "/runs/r/run.json", "{\"format\": ");
	assert_failed(slu_run_open(w.s, "r", &r, &e), e, EBADMSG, "run.json");
	space_write(&w, ROOT "/runs/r/run.json", "[]");
	assert_failed(slu_run_open(w.s, "r", &r, &e), e, EBADMSG, "run.json");
	space_write(&w, ROOT "/runs/r/run.json", "{\"format\": 1, \"run\": \"other\"}");
	assert_failed(slu_run_open(w.s, "r", &r, &e), e, EBADMSG, "run.json");
	space_write(&w, ROOT "/runs/r/run.json", "{\"format\": 2, \"run\": \"r\"}");
	assert_failed(slu_run_open(w.s, "r", &r, &e), e, ENOTSUP, "newer");
	assert_failed(slu_run_open(w.s, "none", &r, &e), e, ENOENT, "'none'");
	space_done(&w);
}

static void test_upload(void **state)
{
	struct slu_store *store = NULL;
	struct slu_err e = {0};
	struct space w;

	(void)state;
	space_make(&w);
	struct slu_run *r = make(&w, "r", "Running");

	space_write(&w, ROOT "/runs/r/logs/azureml/driver/stdout", "hello");
	space_write(&w, ROOT "/runs/r/user_logs/std_log.txt", "hello");
	assert_int_equal(symlinkat("/etc/passwd", r->fd, "logs/link"), 0);
	assert_int_equal(slu_context_store(w.s, NULL, &store, &e), 0);
	assert_int_equal(slu_run_upload(r, "logs", store, "to/r", &e), 0);
	SLU_AUTO(slu_freep) char *text = space_read(&w, STORE "/to/r/logs/azureml/driver/stdout");

	assert_string_equal(text, "hello");
	assert_false(space_has(&w, STORE "/to/r/logs/link"));
	assert_false(space_has(&w, STORE "/to/r/user_logs"));
	assert_int_equal(slu_run_publish(r, &e), 0); /* a local root: nothing to do */
	slu_run_free(r);
	space_done(&w);
}

/* --- alive --- */

static enum slu_life life(struct slu_run *r, struct slu_alive *ret)
{
	struct slu_alive a;
	struct slu_err e = {0};

	if (slu_alive_judge(r, &a, &e) < 0)
		fail_msg("%s", e.msg);
	if (ret)
		*ret = a;
	return a.life;
}

/* Makes the beat look that old. */
static void age(struct slu_run *r, int64_t ns)
{
	int64_t at = slu_wall() - ns;
	const struct timespec t = {at / SLU_SEC, at % SLU_SEC}, both[2] = {t, t};

	assert_int_equal(utimensat(r->fd, "alive.json", both, 0), 0);
}

static void test_alive(void **state)
{
	struct slu_err e = {0};
	struct slu_alive a;
	struct space w;

	(void)state;
	space_make(&w);
	unsetenv("SLUICE_DEAD_AFTER");
	struct slu_run *r = make(&w, "r", "Running");

	assert_int_equal(life(r, NULL), SLU_LIFE_DEAD); /* nobody ever had it */
	int lock = slu_alive_lock(r, &e);

	assert_true(lock >= 0);
	assert_int_equal(life(r, NULL), SLU_LIFE_ALIVE); /* it is being made */
	assert_int_equal(slu_alive_lock(r, &e), -EBUSY);
	assert_int_equal(slu_alive_write(r, getpid(), &e), 0);
	assert_int_equal(life(r, &a), SLU_LIFE_ALIVE);
	assert_true(a.same_host && a.pid == getpid());

	/* A late beat under a held lock is no death; a new one makes it well again. */
	age(r, 16 * SLU_SEC);
	assert_int_equal(life(r, NULL), SLU_LIFE_LATE);
	age(r, 3600 * SLU_SEC);
	assert_int_equal(life(r, NULL), SLU_LIFE_LATE);
	assert_int_equal(slu_alive_beat(r, &e), 0);
	assert_int_equal(life(r, NULL), SLU_LIFE_ALIVE);

	/* Handed down: the same open file, so the lock is still held when the first copy closes. */
	int copy = dup(lock);

	close(lock);
	assert_int_equal(life(r, NULL), SLU_LIFE_ALIVE);
	assert_true(slu_alive_adopt(r, copy));
	assert_true(fcntl(copy, F_GETFD) & FD_CLOEXEC);
	assert_false(slu_alive_adopt(r, 0));
	assert_false(slu_alive_adopt(r, -1));
	close(copy);
	assert_int_equal(life(r, NULL), SLU_LIFE_DEAD);
	slu_run_free(r);
	space_done(&w);
}

static void test_gone(void **state)
{
	struct slu_err e = {0};
	struct space w;
	uint64_t start = 0;

	(void)state;
	space_make(&w);
	struct slu_run *r = make(&w, "r", "Running");
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(slu_proc_start(pid, &start), 0);
	int fd = slu_proc_open(pid, start);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(slu_proc_open(pid, start + 1), -ESRCH);
	int lock = slu_alive_lock(r, &e);

	assert_int_equal(slu_alive_write(r, pid, &e), 0);
	assert_int_equal(life(r, NULL), SLU_LIFE_ALIVE);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* The lock is held by somebody it was handed to, but its owner is no more. */
	assert_int_equal(life(r, NULL), SLU_LIFE_DEAD);
	assert_int_equal(slu_proc_open(pid, start), -ESRCH);
	close(lock);
	slu_run_free(r);
	space_done(&w);
}

static void test_other_host(void **state)
{
	struct slu_err e = {0};
	struct slu_alive a;
	struct space w;

	(void)state;
	space_make(&w);
	struct slu_run *r = make(&w, "r", "Running");
	int lock = slu_alive_lock(r, &e);

	space_write(
		&w, ROOT "/runs/r/alive.json",
		"{\"host\": \"elsewhere\", \"boot\": \"x\", \"ns\": \"y\", \"pid\": 1, \"start\": 1}");
	assert_int_equal(life(r, &a), SLU_LIFE_ALIVE);
	assert_false(a.same_host);
	age(r, 30 * SLU_SEC);
	assert_int_equal(life(r, NULL), SLU_LIFE_LATE);
	age(r, 61 * SLU_SEC);
	assert_int_equal(life(r, NULL), SLU_LIFE_DEAD);
	setenv("SLUICE_DEAD_AFTER", "2m", 1);
	assert_int_equal(life(r, NULL), SLU_LIFE_LATE);
	setenv("SLUICE_DEAD_AFTER", "rubbish", 1);
	assert_int_equal(slu_alive_dead_after(), 60 * SLU_SEC);
	unsetenv("SLUICE_DEAD_AFTER");
	close(lock);
	slu_run_free(r);
	space_done(&w);
}

/* --- settling --- */

static void test_declared_dead(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL, *is = NULL;
	const char *status = NULL;
	struct slu_err e = {0};
	struct slu_run *r = NULL;
	struct space w;
	bool won = true;

	(void)state;
	space_make(&w);
	slu_run_free(make(&w, "r", "Running"));
	assert_int_equal(slu_run_look(w.s, "r", &r, &status, &e), 0);
	assert_string_equal(status, "Failed");
	assert_string_equal(slu_run_get(r, "reason"), "supervisor died");
	assert_int_equal(slu_outcome_get(w.s, "r", &o, &e), 0);
	assert_string_equal(slu_json_str(o, "by"), "watcher");

	/* What it writes when it goes on changes nothing. */
	assert_int_equal(slu_run_status(r, "Finalizing", &e), 0);
	assert_string_equal(slu_run_get(r, "status"), "Failed");

	/* Its outcome comes too late. */
	assert_int_equal(slu_outcome_decide(
				 w.s, "r", slu_outcome_new("r", "Completed", NULL, 0, "supervisor"),
				 &won, &is, &e),
			 0);
	assert_false(won);
	assert_true(slu_json_equal(o, is));
	slu_run_free(r);
	space_done(&w);
}

/* Decided as Completed, then nothing: any reader registers and writes it down, once. */
static void test_owed(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *versions = NULL;
	const char *status = NULL;
	struct slu_err e = {0};
	struct slu_run *r = NULL;
	struct space w;
	bool won;

	(void)state;
	space_make(&w);
	SLU_AUTO(free_id) char *id = space_saved(w.s, "out");
	SLU_AUTO(slu_json_freep) struct json_t *o = space_outcome("r", "Completed", id, "made", 0);
	SLU_AUTO(slu_json_freep) struct json_t *outputs = slu_json_object();

	slu_json_set(outputs, "out", slu_json_object());
	r = make(&w, "r", "Finalizing");
	assert_int_equal(slu_run_set(r, "outputs", slu_json_ref(outputs), true, &e), 0);
	slu_run_free(r);
	assert_int_equal(slu_outcome_put(w.s, "r", o, &won, NULL, &e), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(slu_run_look(w.s, "r", &r, &status, &e), 0);
		assert_string_equal(status, "Completed");
		const struct json_t *out = slu_json_get(slu_json_get(r->doc, "outputs"), "out");

		assert_string_equal(slu_json_str(out, "dataset"), id);
		assert_string_equal(slu_json_str(slu_json_get(out, "registered"), "version"), "1");
		assert_int_equal(slu_json_count(slu_json_get(r->doc, "states")), 2);
		slu_run_free(r);
	}
	assert_int_equal(slu_registry_versions(w.s, "made", &versions, &e), 0);
	assert_int_equal(slu_json_count(versions), 1);
	space_done(&w);
}

static void test_late(void **state)
{
	const char *status = NULL;
	struct slu_err e = {0};
	struct slu_run *seen = NULL;
	struct space w;
	bool won;

	(void)state;
	space_make(&w);
	struct slu_run *r = make(&w, "r", "Running");
	int lock = slu_alive_lock(r, &e);

	assert_int_equal(slu_alive_write(r, getpid(), &e), 0);
	age(r, 20 * SLU_SEC);
	assert_int_equal(slu_run_look(w.s, "r", &seen, &status, &e), 0);
	assert_string_equal(status, "NotResponding");
	assert_string_equal(slu_run_get(seen, "status"), "Running"); /* nobody writes for it */
	assert_false(space_has(&w, ROOT "/runs/r/outcome.json"));
	slu_run_free(seen);

	SLU_AUTO(slu_json_freep) struct json_t *is = NULL;

	assert_int_equal(
		slu_outcome_decide(w.s, "r",
				   slu_outcome_new("r", "Canceled", "by hand", -1, "cancel"), &won,
				   &is, &e),
		0);
	assert_int_equal(slu_run_look(w.s, "r", &seen, &status, &e), 0);
	assert_string_equal(status, "Canceled");
	slu_run_free(seen);
	close(lock);
	slu_run_free(r);
	space_done(&w);
}

/* A pipeline whose supervisor died: what its children had decided stands, the others fail. */
static void test_children(void **state)
{
	struct json_t *kids = slu_json_array(), *d;
	const char *status = NULL;
	struct slu_err e = {0};
	struct slu_run *r = NULL;
	struct space w;
	bool won;

	(void)state;
	space_make(&w);
	for (int i = 0; i < 2; i++) {
		struct json_t *kid = slu_json_object();

		slu_json_set_str(kid, "run", i ? "k1" : "k0");
		slu_json_set_str(kid, "step", i ? "second" : "first");
		slu_json_append(kids, kid);
		d = doc(i ? "k1" : "k0", "Running");
		slu_json_set_str(d, "root", "p");
		slu_json_set_str(d, "parent", "p");
		assert_int_equal(slu_run_make(w.s, i ? "k1" : "k0", d, &r, &e), 0);
		assert_int_equal(slu_run_commit(r, &e), 0);
		slu_run_free(r);
	}
	d = doc("p", "Running");
	slu_json_set(d, "children", kids);
	assert_int_equal(slu_run_make(w.s, "p", d, &r, &e), 0);
	assert_int_equal(slu_run_commit(r, &e), 0);
	slu_run_free(r);
	SLU_AUTO(slu_json_freep)
	struct json_t *o = slu_outcome_new("k0", "Completed", NULL, 0, "supervisor");

	assert_int_equal(slu_outcome_put(w.s, "k0", o, &won, NULL, &e), 0);
	/* Asked for a child, the whole run is settled. */
	assert_int_equal(slu_run_look(w.s, "k1", &r, &status, &e), 0);
	assert_string_equal(status, "Failed");
	slu_run_free(r);
	assert_int_equal(slu_run_look(w.s, "k0", &r, &status, &e), 0);
	assert_string_equal(status, "Completed");
	slu_run_free(r);
	assert_int_equal(slu_run_open(w.s, "p", &r, &e), 0);
	assert_string_equal(slu_run_get(r, "status"), "Failed");
	slu_run_free(r);
	space_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),        cmocka_unit_test(test_record),
		cmocka_unit_test(test_damaged),    cmocka_unit_test(test_upload),
		cmocka_unit_test(test_alive),      cmocka_unit_test(test_gone),
		cmocka_unit_test(test_other_host), cmocka_unit_test(test_declared_dead),
		cmocka_unit_test(test_owed),       cmocka_unit_test(test_late),
		cmocka_unit_test(test_children)};

	return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
