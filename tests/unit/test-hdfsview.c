/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/views.h"

#include "common/fault.h"
#include "common/json.h"
#include "fs/view.h"

/* The manifest: what of the store matches one of these (NULL-ended) names, or all. */
static struct slu_tree *pick(struct slu_store *s, const char *base, const char *const *names)
{
	struct slu_tree *t = views_tree(s);

	slu_manifest_free(t->manifest);
	assert_int_equal(slu_manifest_new(&t->manifest), 0);
	slu_manifest_add_source(t->manifest, "", "file:///x");
	for (; *names; names++) {
		char *path = slu_path_join(base, *names);
		struct slu_attr a = fs_stat(s, path);

		slu_manifest_add(t->manifest, *names, &a);
		free(path);
	}
	assert_int_equal(slu_manifest_finish(t->manifest, NULL), 0);
	free(t->sources[0].base);
	t->sources[0].base = strdup(base);
	return t;
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The URI without "file://" and the store's folder. */
static void expect(struct fs_env *v, struct slu_tree *t, const char *want)
{
	struct slu_err e = {0};
	struct slu_view *view = NULL;
	char full[8192];

	if (slu_hdfs_open(t, &view, &e))
		fail_msg("hdfs: %s", e.msg);
	snprintf(full, sizeof full, "file://%s%s", v->dir.path, want);
	assert_string_equal(view->where, full);
	assert_true(slu_json_is_object(slu_json_get(view->props, "conf")));
	assert_true(slu_json_is_object(slu_json_get(view->props, "secret_refs")));
	assert_int_equal(slu_view_wait(view, &e), 0);
	assert_int_equal(slu_view_close(view, &e), 0);
	slu_view_free(view);
	slu_tree_free(t);
}

static void a_whole_folder_is_its_uri(void **state)
{
	struct fs_env *v = *state;

	fs_put(v->s, "d/a.csv", "1");
	fs_put(v->s, "d/y=1/b.csv", "2");
	fs_put(v->s, "other", "3");
	expect(v, pick(v->s, "d", NAMES("a.csv", "y=1/b.csv")), "/d");
	expect(v, pick(v->s, "", NAMES("d/a.csv", "d/y=1/b.csv", "other")), "");
}

/* What Spark leaves out by itself does not make a folder less whole. */
static void names_that_spark_skips_do_not_count(void **state)
{
	struct fs_env *v = *state;

	fs_put(v->s, "d/a.csv", "1");
	fs_put(v->s, "d/_SUCCESS", "");
	fs_put(v->s, "d/.a.csv.crc", "x");
	fs_put(v->s, "d/_temporary/0/part", "x");
	fs_put(v->s, "d/part._COPYING_", "x");
	expect(v, pick(v->s, "d", NAMES("a.csv")), "/d");
	fs_put(v->s, "d/_y=2/b.csv", "x");
	expect(v, pick(v->s, "d", NAMES("a.csv")), "/d{/a.csv}");
}

static void one_file_is_its_uri(void **state)
{
	struct fs_env *v = *state;
	struct slu_tree *t;

	fs_put(v->s, "d/a.csv", "1");
	fs_put(v->s, "d/b.csv", "1");
	t = pick(v->s, "d", NAMES("b.csv"));
	t->single_file = true;
	expect(v, t, "/d/b.csv");
	expect(v, pick(v->s, "d", NAMES("b.csv")), "/d{/b.csv}");
}

static void part_of_a_folder_is_a_group(void **state)
{
	struct fs_env *v = *state;

	fs_put(v->s, "d/a.csv", "1");
	fs_put(v->s, "d/b.csv", "1");
	fs_put(v->s, "d/x/c.csv", "1");
	expect(v, pick(v->s, "d", NAMES("a.csv", "x/c.csv")), "/d{/a.csv,/x/c.csv}");
	/* All of a folder below, and nothing else of it: that folder. */
	expect(v, pick(v->s, "", NAMES("d/x/c.csv")), "/d/x");
	expect(v, pick(v->s, "", NAMES("d/a.csv", "d/x/c.csv")), "/d{/a.csv,/x/c.csv}");
}

/* The view of what `glob` found below "d". */
static void expect_glob(struct fs_env *v, const char *glob, struct slu_tree *t, const char *want)
{
	t->glob = strdup(glob);
	expect(v, t, want);
}

static void a_pattern_that_hadoop_knows_is_kept(void **state)
{
	struct fs_env *v = *state;

	fs_put(v->s, "d/a.csv", "1");
	fs_put(v->s, "d/b.csv", "1");
	fs_put(v->s, "d/c,{.txt", "1");
	fs_put(v->s, "d/x/c.csv", "1");
	fs_put(v->s, "d/x/y/z.csv/e.csv", "1");
	expect_glob(v, "*.csv", pick(v->s, "d", NAMES("a.csv", "b.csv")), "/d/*.csv");
	expect_glob(v, "[!b].csv", pick(v->s, "d", NAMES("a.csv")), "/d/[!b].csv");
	expect_glob(v, "c,\\{*", pick(v->s, "d", NAMES("c,{.txt")), "/d/c,\\{*");
	expect_glob(v, "{a.csv,c\\,\\{*}", pick(v->s, "d", NAMES("a.csv", "c,{.txt")),
		    "/d{/a.csv,/c\\\\\\,\\\\\\{*}");
	expect_glob(v, "**/?.csv", pick(v->s, "d", NAMES("a.csv", "b.csv", "x/c.csv")),
		    "/d{/a.csv,/b.csv,/x/c.csv}"); /* it matches the folder x/y/z.csv too */
	fs_put(v->s, "e/a.csv", "1");
	fs_put(v->s, "e/x/y/z.csv", "1");
	fs_put(v->s, "e/o", "1");
	expect_glob(v, "**/?.csv", pick(v->s, "e", NAMES("a.csv", "x/y/z.csv")),
		    "/e{/?.csv,/*/*/?.csv}");
}

static void a_pattern_that_means_more_to_hadoop_is_not_kept(void **state)
{
	struct fs_env *v = *state;

	fs_put(v->s, "d/a.csv", "1");
	fs_put(v->s, "d/b.csv", "1");
	fs_put(v->s, "d/x/c.csv", "1");
	/* A folder that it matches would be read, */
	expect_glob(v, "*", pick(v->s, "d", NAMES("a.csv", "b.csv")), "/d{/a.csv,/b.csv}");
	/* a file that two alternatives match would be read twice, */
	expect_glob(v, "{a,*}.csv", pick(v->s, "d", NAMES("a.csv", "b.csv")), "/d{/a.csv,/b.csv}");
	/* a regular expression reads this class otherwise, */
	expect_glob(v, "[a&&b].csv", pick(v->s, "d", NAMES("a.csv", "b.csv")), "/d{/a.csv,/b.csv}");
	/* and this file came later. */
	expect_glob(v, "?.csv", pick(v->s, "d", NAMES("a.csv")), "/d{/a.csv}");
}

static void columns_of_folders_are_kept(void **state)
{
	struct fs_env *v = *state;
	struct slu_view *view = NULL;
	struct slu_tree *t;
	char base[512];

	fs_put(v->s, "d/y=1/a.csv", "1");
	fs_put(v->s, "d/y=2/a.csv", "1");
	fs_put(v->s, "d/y=2/b.csv", "1");
	t = pick(v->s, "d", NAMES("y=1/a.csv", "y=2/b.csv"));
	assert_int_equal(slu_hdfs_open(t, &view, NULL), 0);
	snprintf(base, sizeof base, "file://%s/d", v->dir.path);
	assert_string_equal(slu_json_str(slu_json_get(view->props, "options"), "basePath"), base);
	slu_view_free(view);
	slu_tree_free(t);
	fs_put(v->s, "d/z=1/c.csv", "1");
	t = pick(v->s, "d", NAMES("y=1/a.csv", "z=1/c.csv"));
	assert_int_equal(slu_hdfs_open(t, &view, NULL), 0);
	assert_null(slu_json_str(slu_json_get(view->props, "options"), "basePath"));
	slu_view_free(view);
	slu_tree_free(t);
}

/* Hadoop reads {}[]*?\ as a pattern, and takes a second level away in a group with '/'. */
static void special_characters_are_escaped(void **state)
{
	struct fs_env *v = *state;

	fs_put(v->s, "d[1]/a{b}.csv", "1");
	fs_put(v->s, "d[1]/c,*?\\.csv", "1");
	fs_put(v->s, "d[1]/plain #%20 \xc3\xa9", "1");
	expect(v, pick(v->s, "d[1]", NAMES("a{b}.csv", "c,*?\\.csv", "plain #%20 \xc3\xa9")),
	       "/d\\[1\\]");
	expect(v, pick(v->s, "d[1]", NAMES("a{b}.csv", "c,*?\\.csv")),
	       "/d\\[1\\]{/a\\\\\\{b\\\\\\}.csv,/c\\\\\\,\\\\\\*\\\\\\?\\\\\\\\.csv}");
}

static void what_cannot_be_said_is_refused(void **state)
{
	struct fs_env *v = *state;
	struct slu_err e = {0};
	struct slu_view *view = NULL;
	struct slu_tree *t;
	char name[80];

	fs_put(v->s, "d/a:b", "1");
	fs_put(v->s, "d/c", "1");
	t = pick(v->s, "d", NAMES("a:b"));
	assert_failed(slu_hdfs_open(t, &view, &e), e, EINVAL, "has a ':'");
	slu_tree_free(t);
	t = views_tree(v->s);
	slu_manifest_free(t->manifest);
	slu_manifest_new(&t->manifest);
	slu_manifest_add_source(t->manifest, "", "file:///x");
	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof name, "m/%050d", i);
		fs_put(v->s, name, "1");
		struct slu_attr a = fs_stat(v->s, name);

		slu_manifest_add(t->manifest, name, &a);
	}
	fs_put(v->s, "m/other", "1");
	slu_manifest_finish(t->manifest, NULL);
	assert_failed(slu_hdfs_open(t, &view, &e), e, E2BIG, "do not fit");
	slu_manifest_free(t->manifest);
	slu_manifest_new(&t->manifest);
	slu_manifest_add_source(t->manifest, "", "file:///x");
	slu_manifest_finish(t->manifest, NULL);
	assert_failed(slu_hdfs_open(t, &view, &e), e, ENOENT, "no files");
	assert_null(view);
	slu_tree_free(t);
}

static void several_places_are_refused(void **state)
{
	struct fs_env *v = *state;
	struct slu_tree *t = views_tree(v->s);
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = 1, .id = "x"};
	struct slu_view *view = NULL;
	struct slu_err e = {0};

	slu_manifest_free(t->manifest);
	slu_manifest_new(&t->manifest);
	slu_manifest_add_source(t->manifest, "p", "file:///x");
	slu_manifest_add_source(t->manifest, "q", "file:///y");
	slu_manifest_add(t->manifest, "p/1", &a);
	slu_manifest_add(t->manifest, "q/1", &a);
	slu_manifest_finish(t->manifest, NULL);
	free(t->sources[0].base);
	free(t->sources);
	t->sources = calloc(2, sizeof *t->sources);
	t->sources[0] = (struct slu_tree_source){.store = v->s, .base = strdup("")};
	t->sources[1] = (struct slu_tree_source){.store = v->s, .base = strdup("")};
	assert_failed(slu_hdfs_open(t, &view, &e), e, EINVAL, "2 places");
	slu_tree_free(t);
}

static void a_changed_store_is_stale(void **state)
{
	struct fs_env *v = *state;
	struct slu_view *view = NULL;
	struct slu_err e = {0};
	struct slu_tree *t;

	fs_put(v->s, "d/a", "1");
	fs_put(v->s, "d/b", "1");
	fs_put(v->s, "d/c", "1");
	t = pick(v->s, "d", NAMES("a", "b", "c"));
	fs_put(v->s, "d/b", "22");
	assert_failed(slu_hdfs_open(t, &view, &e), e, ESTALE, "'d/b' changed");
	slu_store_delete(v->s, "d/b", 0, NULL);
	assert_failed(slu_hdfs_open(t, &view, &e), e, ESTALE, "'b' vanished");
	slu_tree_free(t);
	t = pick(v->s, "d", NAMES("a", "c"));
	slu_store_delete(v->s, "d/c", 0, NULL);
	assert_failed(slu_hdfs_open(t, &view, &e), e, ESTALE, "'c' vanished");
	slu_store_delete(v->s, "d", SLU_OPF_TREE, NULL);
	assert_failed(slu_hdfs_open(t, &view, &e), e, ESTALE, "'d' vanished");
	slu_tree_free(t);
	fs_put(v->s, "one", "1");
	t = pick(v->s, "", NAMES("one"));
	t->single_file = true;
	fs_put(v->s, "one", "22");
	assert_failed(slu_hdfs_open(t, &view, &e), e, ESTALE, "'one' changed");
	slu_store_delete(v->s, "one", 0, NULL);
	assert_failed(slu_hdfs_open(t, &view, &e), e, ESTALE, "'one' vanished");
	slu_tree_free(t);
	assert_null(view);
}

/* The Nth allocation fails, for every N. */
static void no_memory_is_an_error(void **state)
{
	struct fs_env *v = *state;
	struct slu_tree *t;
	struct slu_err e = {0};

	fs_put(v->s, "d/a.csv", "1");
	fs_put(v->s, "d/b.csv", "1");
	fs_put(v->s, "d/x/c.csv", "1");
	t = pick(v->s, "d", NAMES("a.csv", "x/c.csv"));
	t->glob = strdup("{a,**/c}.csv");
	for (long n = 1; n < 1000; n++) {
		struct slu_view *view = NULL;

		slu_fault_arm(SLU_FAULT_MALLOC, n, false);
		int r = slu_hdfs_open(t, &view, &e);
		bool clean = slu_fault_count(SLU_FAULT_MALLOC) < n;

		slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
		if (r)
			assert_int_equal(r, -ENOMEM);
		slu_view_free(view);
		if (clean) {
			assert_int_equal(r, 0);
			slu_tree_free(t);
			return;
		}
	}
	fail_msg("allocates without end");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(a_whole_folder_is_its_uri),
		FS_TEST(names_that_spark_skips_do_not_count),
		FS_TEST(one_file_is_its_uri),
		FS_TEST(part_of_a_folder_is_a_group),
		FS_TEST(a_pattern_that_hadoop_knows_is_kept),
		FS_TEST(a_pattern_that_means_more_to_hadoop_is_not_kept),
		FS_TEST(columns_of_folders_are_kept),
		FS_TEST(special_characters_are_escaped),
		FS_TEST(what_cannot_be_said_is_refused),
		FS_TEST(several_places_are_refused),
		FS_TEST(a_changed_store_is_stale),
		FS_TEST(no_memory_is_an_error),
	};

	return cmocka_run_group_tests_name("hdfsview", tests, NULL, NULL);
}
