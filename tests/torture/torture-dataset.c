/* SPDX-License-Identifier: Apache-2.0 */
/*
 * References, workspaces, definitions and their resolving with the Nth allocation failing, N = 1.. until
 * none is hit any more; making and saving a workspace also with the Nth guarded system call.  What fails
 * says so with the right code; the sanitizer finds nothing left over; a config that was there is whole.
 */
#include "tests/unit/dataset.h"

#include "common/fault.h"
#include "common/json.h"
#include "dataset/resolve.h"

#include <errno.h>

enum { RUNS_MAX = 5000 };

static struct space w;

typedef int scenario(struct slu_err *e);

static int references(struct slu_err *e)
{
	static const char *const texts[] = {
		"azureml://subscriptions/S/resourcegroups/R/workspaces/W/datastores/b/paths/a%20b/*",
		"azureml://workspaces/W/data/t/versions/1",
		"azureml:x:1",
		"azureml://jobs/a/outputs/b/paths/c",
		"abfss://c@a.dfs.core.windows.net/x",
		"0a1b2c3d-0000-8000-8000-0123456789ab",
		"./y",
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(texts) / sizeof(texts[0]); i++) {
		SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
		SLU_AUTO(slu_freep) char *text = NULL;

		r = slu_uri_parse(texts[i], NULL, NULL, &u, e);
		text = r == 0 ? slu_uri_text(u) : NULL;
		if (r == 0 && !text)
			r = slu_fail_oom(e);
	}
	return r;
}

static int context(struct slu_err *e)
{
	SLU_AUTO(slu_context_freep) struct sluice *s = NULL;
	struct slu_workspace *ws = NULL;
	struct slu_store *store;
	const char *path;
	int r = slu_workspace_find(w.dir.path, &ws, e);

	if (r == 0)
		r = slu_context_new(ws, &s, e);
	if (r == 0)
		r = slu_context_store(s, NULL, &store, e);
	if (r == 0)
		r = slu_context_root(s, &store, &path, e);
	return r < 0 ? r : slu_context_local_root(s, &path, e);
}

static int define(const char *spec, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	SLU_AUTO(slu_definition_freep) struct slu_definition *d = NULL;
	SLU_AUTO(slu_tree_freep) struct slu_tree *t = NULL;
	int r = slu_json_parse(spec, strlen(spec), "spec", &j, e);

	if (r == 0)
		r = slu_definition_from_spec(w.s, j, &d, e);
	if (r == 0)
		r = slu_resolve_definition(w.s, d, &t, e);
	if (r == 0 && slu_manifest_count(t->manifest) != 2)
		fail_msg("%s: %zu files", spec, slu_manifest_count(t->manifest));
	return r;
}

static int paths(struct slu_err *e)
{
	return define("{\"paths\": [\"workspaceblobstore:d\", \"!*.tmp\", "
		      "\"workspaceblobstore:e/*.csv\"], \"delimited\": {\"delimiter\": \";\"}}",
		      e);
}

static int table(struct slu_err *e)
{
	return define("{\"path\": \"workspaceblobstore:t\", \"type\": \"mltable\"}", e);
}

static int part_of_job(struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	int r = slu_resolve_ref(w.s, "azureml://jobs/run_1/outputs/out/paths/sub", &d, e);

	if (r == 0 && slu_manifest_count(d->tree->manifest) != 1)
		fail_msg("%zu files", slu_manifest_count(d->tree->manifest));
	return r;
}

/* Nothing comes out but the error itself. */
static int missing(struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	int r = slu_resolve_ref(w.s, "workspaceblobstore:d/zz", &d, e);

	return r == -ENOENT ? 0 : r;
}

static int save(struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *ws = NULL;
	int r = slu_workspace_find(w.dir.path, &ws, e);

	if (r == 0)
		r = slu_json_set_str(ws->config, "default_compute", "x") < 0
			    ? slu_fail_oom(e)
			    : slu_workspace_save(ws, e);
	return r;
}

static int init(struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *config = NULL;
	char dir[128];

	snprintf(dir, sizeof(dir), "%s/new", w.dir.path);
	return slu_workspace_init(dir, "n", &config, e);
}

static void sweep(scenario *fn, enum slu_fault_kind kind, bool persistent)
{
	long n = 1;
	bool hit = true;

	for (; hit && n < RUNS_MAX; n++) {
		SLU_AUTO(slu_workspace_freep) struct slu_workspace *ws = NULL;
		struct slu_err e = {0};

		slu_fault_arm(kind, n, persistent);
		int r = fn(&e);

		hit = slu_fault_count(kind) >= n;
		slu_fault_arm(kind, 0, false);
		if (r < 0 && (!e.msg[0] || e.code != -r))
			fail_msg("%ld: %d without a word", n, r);
		if (r < 0 && kind == SLU_FAULT_MALLOC && r != -ENOMEM)
			fail_msg("%ld: no memory became %d: %s", n, r, e.msg);
		if (!hit && r < 0 && r != -EEXIST)
			fail_msg("%ld: %s", n, e.msg);
		/* whatever happened, the config is one */
		if (slu_workspace_find(w.dir.path, &ws, &e) < 0)
			fail_msg("%ld: %s", n, e.msg);
		if (fn == init)
			slu_path_rmtree(w.dir.fd, "new");
	}
	print_message("# %ld calls\n", n - 2);
	assert_true(n > 3 && n < RUNS_MAX);
}

static void mallocs(void **state)
{
	static scenario *const all[] = {references,  context, paths, table,
					part_of_job, missing, save,  init};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		sweep(all[i], SLU_FAULT_MALLOC, false);
		sweep(all[i], SLU_FAULT_MALLOC, true);
	}
}

static void calls(void **state)
{
	(void)state;
	sweep(save, SLU_FAULT_IO, false);
	sweep(save, SLU_FAULT_IO, true);
	sweep(init, SLU_FAULT_IO, false);
	sweep(init, SLU_FAULT_IO, true);
}

static int setup(void **state)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;
	struct slu_err e = {0};
	bool won;

	(void)state;
	space_make(&w);
	space_write(&w, STORE "/d/a.csv", "x");
	space_write(&w, STORE "/d/a.tmp", "x");
	space_write(&w, STORE "/e/a.csv", "x");
	space_write(&w, STORE "/f/a.csv", "x");
	space_write(&w, STORE "/f/sub/b.csv", "x");
	space_write(&w, STORE "/t/MLTable",
		    "paths:\n- folder: ../f\ntransformations:\n- read_delimited: {}\n");
	if (slu_resolve_ref(w.s, "workspaceblobstore:f", &d, &e) < 0 ||
	    slu_registry_save(w.s, d, &e) < 0)
		fail_msg("%s", e.msg);
	outcome = space_outcome("run_1", "Completed", d->id, "x", 0);
	return slu_outcome_put(w.s, "run_1", outcome, &won, NULL, &e);
}

static int teardown(void **state)
{
	(void)state;
	space_done(&w);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mallocs, setup, teardown),
		cmocka_unit_test_setup_teardown(calls, setup, teardown),
	};

	return cmocka_run_group_tests_name("torture-dataset", tests, NULL, NULL);
}
