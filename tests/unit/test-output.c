/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs: where they go, who may write there, and what a run is said to have written. */
#include "tests/unit/dataset.h"

#include "dataset/claim.h"
#include "dataset/output.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define BASE "azureml://datastores/workspaceblobstore/paths/"

static struct slu_output *make(enum slu_mode mode, const char *destination)
{
	struct slu_output *o = slu_new0(struct slu_output);

	o->name = slu_strdup("out");
	o->mode = mode;
	o->type = slu_strdup("uri_folder");
	o->destination = slu_strdup(destination);
	return o;
}

static char *place(const struct space *w)
{
	static char p[128];

	snprintf(p, sizeof p, "%s/outs", w->dir.path);
	return p;
}

static struct slu_output *opened(struct space *w, enum slu_mode mode, const char *destination,
				 const char *run)
{
	struct slu_output *o = make(mode, destination);
	struct slu_err e = {0};

	if (slu_output_open(w->s, o, run, place(w), &e) < 0)
		fail_msg("open: %s", e.msg);
	return o;
}

static void closed(struct space *w, struct slu_output *o)
{
	struct slu_err e = {0};

	assert_int_equal(slu_output_close(w->s, o, &e), 0);
	assert_int_equal(slu_output_close(w->s, o, &e), 0);
	slu_output_free(o);
}

static void assert_files(const struct slu_output *o, const char *const *want)
{
	const struct slu_manifest *m = o->dataset->tree->manifest;
	size_t n = 0;

	for (; want[n] && n < slu_manifest_count(m); n++)
		assert_string_equal(slu_manifest_at(m, n)->path, want[n]);
	assert_int_equal(slu_manifest_count(m), n);
	assert_null(want[n]);
}

static void test_destination(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *says;
	} bad[] = {
		{BASE "a/{run}", EINVAL, "{run-id}"},
		{BASE "a/{run-id", EINVAL, "braces"},
		{BASE "a/${{inputs.x}}", EINVAL, "braces"},
		{BASE "a/*", EINVAL, "pattern"},
		{BASE, EINVAL, "whole datastore"},
		{"azureml://datastores/nope/paths/a", ENOENT, "nope"},
		{"titanic", EINVAL, "no place"},
		{"azureml:titanic:1", EINVAL, "no place"},
		{"abfss://f@a.dfs.core.windows.net/x", ENOENT, "datastore create"},
	};
	struct space w;
	struct slu_err e = {0};
	struct slu_output *o;

	(void)state;
	space_make(&w);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		o = make(SLU_MODE_DIRECT, bad[i].text);
		int r = slu_output_open(w.s, o, "run1", place(&w), &e);

		assert_failed(r, e, bad[i].code, bad[i].says);
		assert_contains(e.msg, "output 'out'");
		assert_null(o->claim);
		slu_output_free(o);
	}
	o = opened(&w, SLU_MODE_DIRECT, BASE "x/{run-id}/{output-name}/", "run1");
	assert_string_equal(o->value, BASE "x/run1/out");
	closed(&w, o);
	o = opened(&w, SLU_MODE_DIRECT, BASE "${{name}}-${{output_name}}", "run1");
	assert_string_equal(o->value, BASE "run1-out");
	closed(&w, o);
	o = opened(&w, SLU_MODE_HDFS, NULL, "run1");
	assert_string_equal(o->uri, BASE "azureml/run1/out");
	assert_contains(o->value, "file://");
	assert_contains(o->value, "/workspaceblobstore/azureml/run1/out");
	assert_non_null(o->props);
	closed(&w, o);
	SLU_AUTO(slu_freep) char *dflt = slu_output_default(w.s, "r", "n");

	assert_string_equal(dflt, BASE "azureml/r/n/");

	o = make(SLU_MODE_MOUNT, NULL);
	assert_failed(slu_output_open(w.s, o, "r", place(&w), &e), e, ENOTSUP, "upload");
	slu_output_free(o);
	o = make(SLU_MODE_UPLOAD, NULL);
	free(o->type);
	o->type = slu_strdup("mltable");
	assert_failed(slu_output_open(w.s, o, "r", place(&w), &e), e, EINVAL, "uri_folder");
	assert_failed(slu_output_open(w.s, o, "../r", place(&w), &e), e, EINVAL, "run id");
	slu_output_free(o);
	space_done(&w);
}

static void test_claims(void **state)
{
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	struct slu_output *a = opened(&w, SLU_MODE_DIRECT, BASE "d/e", "run1");
	static const char *const clash[] = {BASE "d/e", BASE "d/e/", BASE "d", BASE "d/e/f/g"};
	struct slu_output *o;

	for (size_t i = 0; i < sizeof clash / sizeof *clash; i++) {
		o = make(SLU_MODE_DIRECT, clash[i]);
		assert_failed(slu_output_open(w.s, o, "run2", place(&w), &e), e, EBUSY,
			      "run 'run1'");
		assert_null(o->claim);
		slu_output_free(o);
	}
	/* By another name of the same place. */
	char local[128];

	snprintf(local, sizeof local, "%s/" STORE "/d/e", w.dir.path);
	o = make(SLU_MODE_DIRECT, local);
	assert_failed(slu_output_open(w.s, o, "run2", place(&w), &e), e, EBUSY, "run 'run1'");
	slu_output_free(o);

	/* Another output of the same run, there. */
	o = make(SLU_MODE_DIRECT, BASE "d/e");
	free(o->name);
	o->name = slu_strdup("second");
	assert_failed(slu_output_open(w.s, o, "run1", place(&w), &e), e, EINVAL,
		      "'out' and 'second'");
	slu_output_free(o);

	/* Beside it, with a common beginning. */
	closed(&w, opened(&w, SLU_MODE_DIRECT, BASE "d/e2", "run2"));
	closed(&w, opened(&w, SLU_MODE_DIRECT, BASE "d/f", "run2"));

	closed(&w, a);
	closed(&w, opened(&w, SLU_MODE_DIRECT, BASE "d", "run2"));
	space_done(&w);
}

static void test_claim_over(void **state)
{
	struct space w;
	struct slu_err e = {0};
	bool won;

	(void)state;
	space_make(&w);
	struct slu_output *a = opened(&w, SLU_MODE_DIRECT, BASE "d", "run1"), *b, *c;
	SLU_AUTO(slu_json_freep) struct json_t *end = space_outcome("run1", "Failed", "x", "t", 0);

	/* run1 is declared dead, run2 begins; run1's supervisor goes on and closes. */
	assert_int_equal(slu_outcome_put(w.s, "run1", end, &won, NULL, &e), 0);
	b = opened(&w, SLU_MODE_DIRECT, BASE "d", "run2");
	assert_int_equal(slu_output_close(w.s, a, &e), 0);
	c = make(SLU_MODE_DIRECT, BASE "d");
	assert_failed(slu_output_open(w.s, c, "run3", place(&w), &e), e, EBUSY, "run 'run2'");
	/* It can open nothing any more. */
	assert_failed(slu_output_open(w.s, c, "run1", place(&w), &e), e, ESTALE, "is over");
	slu_output_free(c);
	slu_output_free(a);
	closed(&w, b);
	space_write(&w, ROOT "/claims/x.json", "{\"format\": 1}");
	c = make(SLU_MODE_DIRECT, BASE "d");
	assert_failed(slu_output_open(w.s, c, "run3", place(&w), &e), e, EBADMSG, "claims/x.json");
	slu_output_free(c);
	space_done(&w);
}

struct fight {
	struct sluice *s;
	atomic_int holders, worst, wins;
	atomic_int ids;
};

static void *fighter(void *arg)
{
	struct fight *f = arg;
	char run[16];

	snprintf(run, sizeof run, "run%d", atomic_fetch_add(&f->ids, 1));
	for (int i = 0; i < 20; i++) {
		struct slu_err e = {0};
		char *claim = NULL;
		/* Above or below, by turns: they exclude each other all the same. */
		const char *at = i % 2 ? "file:///p" : "file:///p/q";
		int r = slu_claim_take(f->s, run, "out", at, at, &claim, &e);

		if (r < 0) {
			assert_int_equal(r, -EBUSY);
			continue;
		}
		int n = atomic_fetch_add(&f->holders, 1) + 1;

		if (n > atomic_load(&f->worst))
			atomic_store(&f->worst, n);
		atomic_fetch_add(&f->wins, 1);
		sched_yield();
		atomic_fetch_sub(&f->holders, 1);
		assert_int_equal(slu_claim_drop(f->s, claim, &e), 0);
		free(claim);
	}
	return NULL;
}

static void test_claim_fight(void **state)
{
	struct fight f = {0};
	pthread_t t[6];
	struct space w;

	(void)state;
	space_make(&w);
	f.s = w.s;
	for (int i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&t[i], NULL, fighter, &f), 0);
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(f.worst, 1);
	assert_true(f.wins > 0);
	space_done(&w);
}

static void test_upload(void **state)
{
	static const char *const want[] = {"a.txt", "sub/b.bin", "sub/empty", NULL};
	struct space w;
	struct slu_err e = {0};
	char big[256];

	(void)state;
	space_make(&w);
	struct slu_output *o = opened(&w, SLU_MODE_UPLOAD, BASE "up", "run1");

	snprintf(big, sizeof big, "%s/outs/out", w.dir.path);
	assert_string_equal(o->value, big);
	/* Nothing was written. */
	assert_failed(slu_output_collect(w.s, o, false, &e), e, ENODATA, "allow_empty");
	space_write(&w, "outs/out/a.txt", "hello");
	space_write(&w, "outs/out/sub/empty", "");
	space_write(&w, "outs/out/sub/b.bin", "x");
	int fd = openat(w.dir.fd, "outs/out/sub/b.bin", O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, "end", 3, 9 << 20), 3);
	close(fd);
	if (slu_output_collect(w.s, o, false, &e) < 0)
		fail_msg("collect: %s", e.msg);
	assert_files(o, want);
	assert_int_equal(slu_manifest_bytes(o->dataset->tree->manifest), 5 + (9 << 20) + 3);
	SLU_AUTO(slu_freep) char *text = space_read(&w, STORE "/up/a.txt");

	assert_string_equal(text, "hello");
	snprintf(big, sizeof big, "cmp -s %s/outs/out/sub/b.bin %s/" STORE "/up/sub/b.bin",
		 w.dir.path, w.dir.path);
	assert_int_equal(system(big), 0);

	/* Saved: it can be registered. */
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;

	assert_int_equal(slu_registry_by_id(w.s, o->dataset->id, &d, &e), 0);
	assert_string_equal(d->def->type, "uri_folder");
	closed(&w, o);

	/* Again to the same place: found before anything is copied. */
	o = opened(&w, SLU_MODE_UPLOAD, BASE "up", "run2");
	space_write(&w, "outs/out/0new.txt", "new");
	space_write(&w, "outs/out/a.txt", "changed");
	assert_failed(slu_output_collect(w.s, o, false, &e), e, EEXIST, "'a.txt'");
	assert_false(space_has(&w, STORE "/up/0new.txt"));
	o->overwrite = true;
	assert_int_equal(slu_output_collect(w.s, o, false, &e), 0);
	SLU_AUTO(slu_freep) char *now = space_read(&w, STORE "/up/a.txt");

	assert_string_equal(now, "changed");
	closed(&w, o);
	space_done(&w);
}

static void test_upload_some(void **state)
{
	static const char *const want[] = {"a.csv", "sub/b.csv", NULL};
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	struct slu_output *o = opened(&w, SLU_MODE_UPLOAD, BASE "up", "run1");

	o->source_globs = slu_json_array();
	slu_json_append(o->source_globs, slu_json_new_str("*.csv"));
	slu_json_append(o->source_globs, slu_json_new_str("sub/**"));
	space_write(&w, "outs/out/a.csv", "a");
	space_write(&w, "outs/out/a.txt", "a");
	space_write(&w, "outs/out/sub/b.csv", "b");
	space_write(&w, "outs/out/sub/.b.csv.crc", "crc");
	space_write(&w, "outs/out/x/c.csv", "c");
	if (slu_output_collect(w.s, o, false, &e) < 0)
		fail_msg("collect: %s", e.msg);
	assert_files(o, want);
	assert_false(space_has(&w, STORE "/up/a.txt"));
	closed(&w, o);

	o = opened(&w, SLU_MODE_UPLOAD, BASE "up2", "run2");
	space_write(&w, "outs/out/_temporary/0/part-1", "1");
	assert_failed(slu_output_collect(w.s, o, false, &e), e, EBADMSG, "_temporary/0/part-1");
	assert_false(space_has(&w, STORE "/up2/a.csv"));
	closed(&w, o);
	space_done(&w);
}

static void test_upload_links(void **state)
{
	static const char *const want[] = {"a.txt", "link.txt", NULL};
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	struct slu_output *o = opened(&w, SLU_MODE_UPLOAD, BASE "up", "run1");

	space_write(&w, "outs/out/a.txt", "hello");
	assert_int_equal(symlinkat("a.txt", w.dir.fd, "outs/out/link.txt"), 0);
	assert_int_equal(slu_output_collect(w.s, o, false, &e), 0);
	assert_files(o, want);
	closed(&w, o);

	o = opened(&w, SLU_MODE_UPLOAD, BASE "up2", "run1");
	assert_int_equal(symlinkat("/etc/passwd", w.dir.fd, "outs/out/out.txt"), 0);
	assert_int_equal(slu_output_collect(w.s, o, false, &e), -EXDEV);
	assert_contains(e.msg, "out.txt");
	assert_false(space_has(&w, STORE "/up2/out.txt"));
	closed(&w, o);
	space_done(&w);
}

static void test_upload_file(void **state)
{
	static const char *const want[] = {"model.bin", NULL};
	struct space w;
	struct slu_err e = {0};
	char path[128];

	(void)state;
	space_make(&w);
	struct slu_output *o = make(SLU_MODE_UPLOAD, BASE "m/model.bin");

	free(o->type);
	o->type = slu_strdup("uri_file");
	assert_int_equal(slu_output_open(w.s, o, "run1", place(&w), &e), 0);
	snprintf(path, sizeof path, "%s/outs/out/model.bin", w.dir.path);
	assert_string_equal(o->value, path);
	assert_failed(slu_output_collect(w.s, o, false, &e), e, ENODATA, "model.bin");
	space_write(&w, "outs/out/model.bin", "weights");
	space_write(&w, "outs/out/beside", "not asked for");
	if (slu_output_collect(w.s, o, false, &e) < 0)
		fail_msg("collect: %s", e.msg);
	assert_files(o, want);
	assert_true(o->dataset->tree->single_file);
	SLU_AUTO(slu_freep) char *text = space_read(&w, STORE "/m/model.bin");

	assert_string_equal(text, "weights");
	assert_false(space_has(&w, STORE "/m/beside"));
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;

	assert_int_equal(slu_registry_by_id(w.s, o->dataset->id, &d, &e), 0);
	assert_true(d->tree->single_file);
	SLU_AUTO(slu_freep) char *at = NULL;
	struct slu_store *st;
	struct slu_attr a;

	assert_int_equal(slu_tree_locate(d->tree, 0, &st, &at), 0);
	assert_int_equal(slu_store_stat(st, at, &a, &e), 0);
	assert_int_equal(a.size, 7);
	closed(&w, o);

	/* The program made a folder of it. */
	o = make(SLU_MODE_UPLOAD, BASE "n/f");
	free(o->type);
	o->type = slu_strdup("uri_file");
	assert_int_equal(slu_output_open(w.s, o, "run2", place(&w), &e), 0);
	space_write(&w, "outs/out/f/x", "x");
	assert_failed(slu_output_collect(w.s, o, false, &e), e, EISDIR, "uri_folder");
	closed(&w, o);
	space_done(&w);
}

static void test_append(void **state)
{
	static const char *const want[] = {"old.csv", "part-2.csv", NULL};
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	space_write(&w, STORE "/t/old.csv", "1");
	space_write(&w, STORE "/t/part-1.csv", "1");
	struct slu_output *o = opened(&w, SLU_MODE_HDFS, BASE "t", "run1");

	assert_failed(slu_output_collect(w.s, o, false, &e), e, ENODATA, "where 2 lay before");
	space_write(&w, STORE "/t/part-2.csv", "22");
	space_write(&w, STORE "/t/.part-2.csv.crc", "crc");
	space_write(&w, STORE "/t/old.csv", "12");
	assert_int_equal(slu_output_collect(w.s, o, false, &e), 0);
	assert_files(o, want);
	closed(&w, o);
	space_done(&w);
}

static int collect_spark(struct space *w, const char *const *files, const char *const *want,
			 struct slu_err *e)
{
	struct slu_output *o = opened(w, SLU_MODE_HDFS, BASE "s", "run1");

	for (int i = 0; files[i]; i++) {
		char path[128];

		snprintf(path, sizeof path, STORE "/s/%s", files[i]);
		space_write(w, path, "x");
	}
	int r = slu_output_collect(w->s, o, true, e);

	if (r == 0)
		assert_files(o, want);
	closed(w, o);
	slu_path_rmtree(w->dir.fd, STORE "/s");
	return r;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_spark(void **state)
{
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	assert_int_equal(
		collect_spark(&w,
			      LIST("part-0.csv", ".part-0.csv.crc", "_SUCCESS", "._SUCCESS.crc"),
			      LIST("_SUCCESS", "part-0.csv"), &e),
		0);
	/* Partitions, below the one mark; and two saves into two folders. */
	assert_int_equal(collect_spark(&w, LIST("_SUCCESS", "p=0/part-0.csv", "p=1/q=2/part-0.csv"),
				       LIST("_SUCCESS", "p=0/part-0.csv", "p=1/q=2/part-0.csv"),
				       &e),
			 0);
	assert_int_equal(
		collect_spark(
			&w, LIST("a/_SUCCESS", "a/part-0", "b/_SUCCESS", "b/part-0", "notes.json"),
			LIST("a/_SUCCESS", "a/part-0", "b/_SUCCESS", "b/part-0", "notes.json"), &e),
		0);
	assert_int_equal(collect_spark(&w, LIST("_delta_log/0.json", "part-0.parquet"),
				       LIST("_delta_log/0.json", "part-0.parquet"), &e),
			 0);

	assert_int_equal(collect_spark(&w, LIST("part-0.csv"), NULL, &e), -EBADMSG);
	assert_contains(e.msg, "_SUCCESS");
	assert_int_equal(collect_spark(&w, LIST("a/_SUCCESS", "a/part-0", "b/part-0"), NULL, &e),
			 -EBADMSG);
	assert_contains(e.msg, "'b/part-0'");
	assert_int_equal(collect_spark(&w, LIST("a/_SUCCESS", "ab/part-0"), NULL, &e), -EBADMSG);
	assert_int_equal(collect_spark(&w, LIST("_SUCCESS", "part-0", "_temporary/0/task_1/part-1"),
				       NULL, &e),
			 -EBADMSG);
	assert_contains(e.msg, "_temporary");
	assert_int_equal(collect_spark(&w, LIST(".spark-staging-1/part-1"), NULL, &e), -EBADMSG);
	/* A mark alone is no data. */
	assert_int_equal(collect_spark(&w, LIST("_SUCCESS"), NULL, &e), -ENODATA);
	space_done(&w);
}

static void test_spark_lists(void **state)
{
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	/* All of them are told, up to a point. */
	assert_failed(collect_spark(&w, LIST("a/part-0", "a/part-1", "b/part-0"), NULL, &e), e,
		      EBADMSG, "'a/part-0', 'a/part-1', 'b/part-0' at");
	assert_failed(collect_spark(&w,
				    LIST("_temporary/1", "_temporary/2", "_temporary/3",
					 "_temporary/4", "_temporary/5", "_temporary/6"),
				    NULL, &e),
		      e, EBADMSG, "and 1 more are left");
	/* Databricks' protocol: in each folder; its marks are no data. */
	assert_int_equal(collect_spark(&w,
				       LIST("_started_1", "_committed_1", "part-0",
					    "p=1/_started_1", "p=1/_committed_1", "p=1/part-0"),
				       LIST("p=1/part-0", "part-0"), &e),
			 0);
	assert_failed(collect_spark(&w, LIST("_SUCCESS", "p=1/_started_2", "p=1/part-0"), NULL, &e),
		      e, EBADMSG, "'p=1/_started_2' is left");
	/* Somebody's own file, which is no side file. */
	assert_int_equal(collect_spark(&w, LIST("_SUCCESS", "part-0", ".notes.crc"),
				       LIST(".notes.crc", "_SUCCESS", "part-0"), &e),
			 0);
	space_done(&w);
}

/* An old mark does not vouch for a new file; what an old crash left is not ours. */
static void test_spark_again(void **state)
{
	static const char *const want[] = {"_SUCCESS", "part-1.csv", NULL};
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	space_write(&w, STORE "/s/part-0.csv", "1");
	space_write(&w, STORE "/s/_SUCCESS", "");
	space_write(&w, STORE "/s/_temporary/0/part-9", "1");
	struct slu_output *o = opened(&w, SLU_MODE_HDFS, BASE "s", "run1");

	space_write(&w, STORE "/s/part-1.csv", "1");
	assert_failed(slu_output_collect(w.s, o, true, &e), e, EBADMSG, "part-1.csv");
	unlinkat(w.dir.fd, STORE "/s/_SUCCESS", 0);
	space_write(&w, STORE "/s/_SUCCESS", "");
	assert_int_equal(slu_output_collect(w.s, o, true, &e), 0);
	assert_files(o, want);
	closed(&w, o);
	space_done(&w);
}

static void test_empty(void **state)
{
	static const char *const none[] = {NULL};
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	struct slu_output *o = opened(&w, SLU_MODE_DIRECT, BASE "none", "run1");

	assert_failed(slu_output_collect(w.s, o, false, &e), e, ENODATA, "output 'out'");
	o->allow_empty = true;
	assert_int_equal(slu_output_collect(w.s, o, false, &e), 0);
	assert_files(o, none);
	closed(&w, o);

	/* A file where a folder is to be. */
	space_write(&w, STORE "/file", "1");
	o = make(SLU_MODE_DIRECT, BASE "file");
	assert_failed(slu_output_open(w.s, o, "run1", place(&w), &e), e, ENOTDIR, "uri_file");
	slu_output_free(o);
	space_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_destination), cmocka_unit_test(test_claims),
		cmocka_unit_test(test_claim_over),  cmocka_unit_test(test_claim_fight),
		cmocka_unit_test(test_upload),      cmocka_unit_test(test_upload_links),
		cmocka_unit_test(test_upload_file), cmocka_unit_test(test_append),
		cmocka_unit_test(test_upload_some), cmocka_unit_test(test_spark),
		cmocka_unit_test(test_spark_lists), cmocka_unit_test(test_spark_again),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
