/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs: modes, names, and what the program gets in each mode. */
#include "tests/unit/dataset.h"

#include "dataset/input.h"

#include <errno.h>

#define BASE "azureml://datastores/workspaceblobstore/paths/"

static void test_modes(void **state)
{
	static const char *const good[] = {"direct",     "download",      "ro_mount",
					   "hdfs",       "upload",        "rw_mount",
					   "eval_mount", "eval_download", "link"};
	struct slu_err e = {0};
	enum slu_mode m;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(slu_mode_parse(good[i], &m, &e), 0);
		assert_string_equal(slu_mode_name(m), good[i]);
	}
	assert_int_equal(slu_mode_parse("mount", &m, &e), 0);
	assert_string_equal(slu_mode_name(m), "ro_mount");
	assert_true(slu_mode_is_input(SLU_MODE_EVAL_MOUNT) &&
		    !slu_mode_is_input(SLU_MODE_RW_MOUNT));
	assert_failed(slu_mode_parse("Download", &m, &e), e, EINVAL, "no mode");
}

static void test_names(void **state)
{
	static const char *const good[] = {"titanic", "_x", "A1", "paths", "pathology"};
	static const char *const bad[] = {"",
					  "1a",
					  "a-b",
					  "a b",
					  "a\n",
					  "PATH",
					  "Path",
					  "home",
					  "ld_library_path",
					  "LD_PRELOAD",
					  "azureml_run_id",
					  "AZURE_ML_OUTPUT_x",
					  "sluice_log",
					  "ifs"};
	struct slu_err e = {0};

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(slu_input_name_check(good[i], &e), 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(slu_input_name_check(bad[i], &e), -EINVAL);
	assert_int_equal(slu_input_name_check(NULL, &e), -EINVAL);
}

static struct slu_input *make(struct space *w, const char *ref, enum slu_mode mode)
{
	struct slu_input *in = slu_new0(struct slu_input);
	struct slu_err e = {0};

	in->name = slu_strdup("in");
	in->mode = mode;
	in->ref = slu_strdup(ref);
	if (slu_resolve_ref(w->s, ref, &in->dataset, &e) < 0)
		fail_msg("resolve: %s", e.msg);
	return in;
}

static char *place(const struct space *w)
{
	static char p[128];

	snprintf(p, sizeof p, "%s/ins/deep", w->dir.path);
	return p;
}

static void fill(struct space *w)
{
	space_make(w);
	space_write(w, STORE "/f/a.csv", "a");
	space_write(w, STORE "/f/sub/b.csv", "bb");
}

static void open_as(struct space *w, const char *ref, enum slu_mode mode, bool id, const char *want)
{
	struct slu_input *in = make(w, ref, mode);
	struct slu_err e = {0};

	if (slu_input_open(w->s, in, place(w), id, NULL, &e) < 0)
		fail_msg("open: %s", e.msg);
	if (id)
		assert_string_equal(in->value, in->dataset->id);
	else
		assert_contains(in->value, want);
	assert_int_equal(slu_input_close(in, &e), 0);
	assert_int_equal(slu_input_close(in, &e), 0);
	slu_input_free(in);
}

static void test_direct(void **state)
{
	struct slu_dataset *d = NULL;
	struct space w;
	struct slu_err e = {0};

	(void)state;
	fill(&w);
	open_as(&w, "workspaceblobstore:f", SLU_MODE_DIRECT, false, BASE "f");
	open_as(&w, BASE "f/a.csv", SLU_MODE_DIRECT, false, BASE "f/a.csv");
	open_as(&w, BASE "f", SLU_MODE_DIRECT, true, NULL);
	open_as(&w, BASE "f", SLU_MODE_HDFS, true, NULL);
	/* The id leads to it. */
	struct slu_input *in = make(&w, BASE "f", SLU_MODE_DIRECT);

	assert_int_equal(slu_input_open(w.s, in, place(&w), true, NULL, &e), 0);
	assert_int_equal(slu_registry_by_id(w.s, in->value, &d, &e), 0);
	slu_dataset_free(d);
	slu_input_free(in);
	space_done(&w);
}

static void test_download(void **state)
{
	struct space w;
	struct slu_err e = {0};

	(void)state;
	fill(&w);
	open_as(&w, BASE "f", SLU_MODE_DOWNLOAD, false, "/ins/deep/in");
	SLU_AUTO(slu_freep) char *b = space_read(&w, "ins/deep/in/sub/b.csv");

	assert_string_equal(b, "bb");
	/* Not empty any more: nothing is mixed. */
	struct slu_input *in = make(&w, BASE "f", SLU_MODE_DOWNLOAD);

	assert_failed(slu_input_open(w.s, in, place(&w), false, NULL, &e), e, ENOTEMPTY,
		      "input 'in'");
	assert_null(in->view);
	slu_path_rmtree(w.dir.fd, "ins");
	/* One file: the value is the file. */
	slu_input_free(in);
	open_as(&w, BASE "f/a.csv", SLU_MODE_DOWNLOAD, false, "/ins/deep/in/a.csv");
	assert_true(space_has(&w, "ins/deep/in/a.csv"));

	in = make(&w, BASE "f", SLU_MODE_DOWNLOAD);
	assert_failed(slu_input_open(w.s, in, "relative", false, NULL, &e), e, EINVAL,
		      "absolute path");
	in->mode = SLU_MODE_UPLOAD;
	assert_failed(slu_input_open(w.s, in, place(&w), false, NULL, &e), e, EINVAL, "outputs");
	free(in->name);
	in->name = slu_strdup("PATH");
	assert_failed(slu_input_open(w.s, in, place(&w), false, NULL, &e), e, EINVAL, "PATH");
	slu_input_free(in);
	space_done(&w);
}

static void test_hdfs(void **state)
{
	struct space w;

	(void)state;
	fill(&w);
	open_as(&w, BASE "f", SLU_MODE_HDFS, false, "/workspaceblobstore/f");
	open_as(&w, BASE "f/a.csv", SLU_MODE_HDFS, false, "/workspaceblobstore/f/a.csv");
	space_done(&w);
}

/* The program that serves the mount is asked for exactly what was resolved.  A script stands in for it:
 * it notes its arguments and says why it does not mount. */
static void test_mount(void **state)
{
	struct space w;
	struct slu_err e = {0};
	char script[128], text[256];

	(void)state;
	fill(&w);
	snprintf(script, sizeof script, "%s/program", w.dir.path);
	snprintf(
		text, sizeof text,
		"#!/bin/sh\nprintf '%%s\\n' \"$@\" >%s/args\nprintf 'no mount today' >&3\nexit 1\n",
		w.dir.path);
	space_write(&w, "program", text);
	assert_int_equal(chmod(script, 0755), 0);
	assert_int_equal(setenv("SLUICE_PROGRAM", script, 1), 0);
	struct slu_input *in = make(&w, BASE "f/a.csv", SLU_MODE_MOUNT);

	assert_int_not_equal(slu_input_open(w.s, in, place(&w), false, NULL, &e), 0);
	assert_contains(e.msg, "no mount today");
	assert_contains(e.msg, "input 'in'");
	assert_null(in->view);
	SLU_AUTO(slu_freep) char *args = space_read(&w, "args");
	char want[512];

	snprintf(want, sizeof want,
		 "mount\n--foreground\n--ready-fd=3\n--lifeline-fd=4\n--workspace=%s/config.json\n"
		 "--manifest=%s\n--\n" BASE "f/a.csv\n%s/ins/deep/in\n",
		 w.dir.path, in->dataset->digest, w.dir.path);
	assert_string_equal(args, want);
	struct slu_manifest *m = NULL;

	assert_int_equal(slu_registry_manifest(w.s, in->dataset->digest, &m, &e), 0);
	slu_manifest_free(m);
	slu_input_free(in);
	unsetenv("SLUICE_PROGRAM");
	space_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),  cmocka_unit_test(test_names),
		cmocka_unit_test(test_direct), cmocka_unit_test(test_download),
		cmocka_unit_test(test_hdfs),   cmocka_unit_test(test_mount),
	};

	return cmocka_run_group_tests_name("input", tests, NULL, NULL);
}
