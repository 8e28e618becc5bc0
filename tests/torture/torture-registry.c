/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run's life in dataset/ (resolve, claim, upload, collect, save, outcome, register, list, lineage)
 * again and again, with the Nth allocation or guarded system call failing, N = 1.. until none is hit
 * any more.  What fails says so; doing it all again without faults then gives exactly one version;
 * the sanitizer finds nothing left over.  I/O fails once only: what reads is tried again by itself.
 * Where all later allocations fail too, every seventh N will do.
 */
#include "tests/unit/dataset.h"

#include "common/fault.h"
#include "dataset/output.h"

#include <errno.h>

enum { RUNS_MAX = 20000 };

static int collect(struct space *w, struct slu_output *o, struct slu_err *e)
{
	char place[128];

	snprintf(place, sizeof place, "%s/outs", w->dir.path);
	int r = slu_output_open(w->s, o, "run1", place, e);

	if (r < 0)
		return r;
	space_write(w, "outs/out/a.txt", "hello");
	space_write(w, "outs/out/sub/b.txt", "world");
	return slu_output_collect(w->s, o, false, e);
}

/* Did space_outcome() itself meet the fault? */
static bool whole(const struct json_t *o)
{
	const struct json_t *out = slu_json_get(slu_json_get(o, "outputs"), "out");

	return slu_json_count(o) == 6 && slu_json_count(out) == 3 &&
	       slu_json_str(slu_json_get(out, "register"), "name");
}

static int decide(struct space *w, const struct slu_output *o, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep)
	struct json_t *done = NULL, *outcome = NULL, *all = NULL, *up = NULL;
	uint64_t seen;
	bool won;

	outcome = space_outcome("run1", "Completed", o->dataset->id, "t", 0);
	if (!whole(outcome))
		return slu_fail_oom(e);
	int r = slu_registry_latest(w->s, "t", &seen, e);

	if (r == 0)
		r = slu_outcome_put(w->s, "run1", outcome, &won, NULL, e);
	if (r == 0 && !won) {
		fprintf(stderr, "# the outcome was lost to nobody\n");
		abort();
	}
	if (r == 0)
		r = slu_outcome_replay(w->s, "run1", &done, e);
	if (r == 0)
		r = slu_registry_versions(w->s, "t", &all, e);
	return r < 0 ? r : slu_registry_lineage(w->s, "t@1", &up, e);
}

static void free_output(struct slu_output **o)
{
	slu_output_free(*o);
}

static int life(struct space *w, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(free_output) struct slu_output *o = calloc(1, sizeof *o);
	int r;

	o->name = strdup("out");
	o->mode = SLU_MODE_UPLOAD;
	o->destination = strdup("azureml://datastores/workspaceblobstore/paths/up/{run-id}");
	o->overwrite = true;
	r = slu_resolve_ref(w->s, "workspaceblobstore:f", &d, e);
	if (r == 0)
		r = slu_registry_save(w->s, d, e);
	if (r == 0)
		r = collect(w, o, e);
	if (r == 0)
		r = decide(w, o, e);
	int c = slu_output_close(w->s, o, r < 0 ? NULL : e);

	return r < 0 ? r : c;
}

/* What the next supervisor does: a run that is decided is only registered. */
static int again(struct space *w, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	int r = slu_outcome_get(w->s, "run1", &o, e);

	return r == -ENOENT ? life(w, e) : r < 0 ? r : slu_outcome_replay(w->s, "run1", NULL, e);
}

static void check(struct space *w)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	struct slu_err e = {0};

	assert_int_equal(slu_registry_versions(w->s, "t", &all, &e), 0);
	assert_int_equal(slu_json_count(all), 1);
	const char *id = slu_json_str(slu_json_at(all, 0), "dataset");

	assert_int_equal(slu_registry_by_id(w->s, id, &d, &e), 0);
	assert_int_equal(slu_manifest_count(d->tree->manifest), 2);
}

/* One life with the nth call failing; false when none failed. */
static bool once(enum slu_fault_kind kind, long nth, bool persistent)
{
	struct slu_err e = {0};
	struct space w;

	space_make(&w);
	space_write(&w, ".sluice/workspaceblobstore/f/x.csv", "x");
	slu_fault_arm(kind, nth, persistent);
	int r = life(&w, &e);
	bool hit = slu_fault_count(kind) >= nth;

	slu_fault_arm(kind, 0, false);
	if (r < 0 && !e.msg[0])
		fail_msg("%ld: %d without a word", nth, r);
	if (r < 0 && kind == SLU_FAULT_MALLOC && r != -ENOMEM)
		fail_msg("%ld: no memory became %d: %s", nth, r, e.msg);
	if (r < 0 && !hit)
		fail_msg("%ld: %s", nth, e.msg);
	r = again(&w, &e);
	if (r < 0)
		fail_msg("%ld: again: %s", nth, e.msg);
	check(&w);
	space_done(&w);
	return hit;
}

static void sweep(enum slu_fault_kind kind, bool persistent, long step, long at_least)
{
	long n = 1;

	while (n < RUNS_MAX && once(kind, n, persistent))
		n += step;
	print_message("# %ld calls\n", n - 1);
	assert_true(n > at_least);
	assert_true(n < RUNS_MAX);
}

static void each_malloc(void **state)
{
	(void)state;
	sweep(SLU_FAULT_MALLOC, false, 1, 300);
}

static void each_malloc_on(void **state)
{
	(void)state;
	sweep(SLU_FAULT_MALLOC, true, 7, 300);
}

static void each_io(void **state)
{
	(void)state;
	sweep(SLU_FAULT_IO, false, 1, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_malloc),
		cmocka_unit_test(each_malloc_on),
		cmocka_unit_test(each_io),
	};

	return cmocka_run_group_tests_name("torture-registry", tests, NULL, NULL);
}
