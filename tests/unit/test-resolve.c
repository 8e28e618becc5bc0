/* SPDX-License-Identifier: Apache-2.0 */
/* References and definitions to trees: layout, globs, exclusions, what is not there, registered versions and
 * outputs of jobs that keep their manifest whatever the store holds now. */
#include "dataset.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/time.h"
#include "dataset/resolve.h"

#include <errno.h>
#include <inttypes.h>

static struct space w;

#define B "azureml://datastores/workspaceblobstore/paths"

static int setup(void **state)
{
	static const char *const files[] = {
		"d/a.csv", "d/b.csv",         "d/sub/c.csv", "d/sub/_tmp", "e/a.csv",
		"one.csv", "we*ird/x[1].csv", "y=1/m=1/p",   "y=1/m=2/p",  "y=2/m=1/p"};

	(void)state;
	space_make(&w);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		SLU_AUTO(slu_freep) char *path = slu_asprintf(STORE "/%s", files[i]);

		space_write(&w, path, files[i]);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	space_done(&w);
	return 0;
}

/* "path path ..." of a tree's manifest */
static char *names(const struct slu_tree *t)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(65536);

	for (size_t i = 0; i < slu_manifest_count(t->manifest); i++)
		slu_buf_fmt(&b, "%s%s", i ? " " : "", slu_manifest_at(t->manifest, i)->path);
	return slu_buf_take(&b);
}

/* Every file of the tree can be read where the tree says that it is. */
static void readable(const struct slu_tree *t)
{
	for (size_t i = 0; i < slu_manifest_count(t->manifest); i++) {
		const struct slu_file *f = slu_manifest_at(t->manifest, i);
		SLU_AUTO(slu_freep) char *path = NULL;
		struct slu_store *store;
		struct slu_attr a;
		struct slu_err e = {0};

		assert_int_equal(slu_tree_locate(t, i, &store, &path), 0);
		if (slu_store_stat(store, path, &a, &e) < 0)
			fail_msg("%s: %s", f->path, e.msg);
		assert_int_equal(a.size, f->size);
		assert_string_equal(a.id, f->id);
	}
}

static int resolve_spec(const char *spec, struct slu_tree **ret, struct slu_err *e)
{
	SLU_AUTO(slu_definition_freep) struct slu_definition *d = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	int r = slu_json_parse(spec, strlen(spec), "spec", &j, e);

	if (r == 0)
		r = slu_definition_from_spec(w.s, j, &d, e);
	return r < 0 ? r : slu_resolve_definition(w.s, d, ret, e);
}

/* paths: the JSON of "paths"; `files` is what the tree shows, `uri` its only source. */
static void expect(const char *paths, const char *files, const char *uri)
{
	SLU_AUTO(slu_freep) char *spec = slu_asprintf("{\"paths\": [%s]}", paths);
	SLU_AUTO(slu_tree_freep) struct slu_tree *t = NULL;
	SLU_AUTO(slu_freep) char *is = NULL;
	struct slu_err e = {0};

	if (resolve_spec(spec, &t, &e) < 0)
		fail_msg("%s: %s", paths, e.msg);
	is = names(t);
	assert_string_equal(is, files);
	if (uri) {
		assert_int_equal(slu_manifest_sources(t->manifest), 1);
		assert_string_equal(slu_manifest_source(t->manifest, 0)->prefix, "");
		assert_string_equal(slu_manifest_source(t->manifest, 0)->uri, uri);
	}
	readable(t);
}

#define S "workspaceblobstore:"

static void layout(void **state)
{
	(void)state;
	expect("\"" S "one.csv\"", "one.csv", B);
	expect("\"" S "d/sub/c.csv\"", "c.csv", B "/d/sub");
	expect("\"" S "d\"", "a.csv b.csv sub/_tmp sub/c.csv", B "/d");
	expect("\"" S "d/sub/*.csv\"", "c.csv", B "/d/sub");
	expect("\"" S "d/**/*.csv\"", "a.csv b.csv sub/c.csv", B "/d");
	expect("\"" S "y=*/m=1/p\"", "y=1/m=1/p y=2/m=1/p", B);
	expect("\"" S "y=1/m=[2-3]/*\"", "m=2/p", B "/y=1");
	expect("\"" S "{d,e}/a.csv\"", "d/a.csv e/a.csv", B);
	expect("\"" S "we\\\\*ird\"", "x[1].csv", B "/we%2Aird");
	expect("\"" S "we\\\\*ird/x\\\\[1].csv\"", "x[1].csv", B "/we%2Aird");
	/* several: relative to the common folder of the paths given, not of the files */
	expect("\"" S "d/a.csv\", \"" S "d/b.csv\"", "a.csv b.csv", B "/d");
	expect("\"" S "d/sub\", \"" S "e\"", "d/sub/_tmp d/sub/c.csv e/a.csv", B);
	expect("\"" S "y=1/m=1\", \"" S "y=1/m=2\"", "m=1/p m=2/p", B "/y=1");
	expect("\"" S "d\", \"" S "d/sub\"", "a.csv b.csv sub/_tmp sub/c.csv", B "/d");
	expect("\"" S "d/*.csv\", \"" S "d/a.csv\", \"" S "d/a.csv\"", "a.csv b.csv", B "/d");
	expect("\"" S "d/a.csv\", \"" S "one.csv\"", "d/a.csv one.csv", B);
}

static void single(void **state)
{
	static const struct {
		const char *paths;
		bool single;
	} cases[] = {{"\"" S "d/a.csv\"", true},
		     {"\"" S "e\"", false},
		     {"\"" S "e/*\"", false},
		     {"\"" S "e/a.csv\", \"" S "e/a.csv\"", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		SLU_AUTO(slu_freep) char *spec = slu_asprintf("{\"paths\": [%s]}", cases[i].paths);
		SLU_AUTO(slu_tree_freep) struct slu_tree *t = NULL;
		struct slu_err e = {0};

		assert_int_equal(resolve_spec(spec, &t, &e), 0);
		assert_int_equal(t->single_file, cases[i].single);
	}
}

static void several_stores(void **state)
{
	SLU_AUTO(slu_freep)
	char *config = slu_asprintf(
		"{\"subscription_id\": \"s\", \"resource_group\": \"g\", "
		"\"workspace_name\": \"w\", \"datastores\": {"
		"\"workspaceblobstore\": {\"type\": \"local\", \"path\": \"" STORE "\"},"
		"\"other\": {\"type\": \"local\", \"path\": \"other\"},"
		"\"local\": {\"type\": \"local\", \"path\": \"third\"}}}");
	SLU_AUTO(slu_freep)
	char *with_local = slu_asprintf("\"OTHER:x\", \"%s/plain/p\", \"%s/plain/q/r\"", w.dir.path,
					w.dir.path);
	SLU_AUTO(slu_freep) char *both = slu_asprintf("\"local:t\", \"%s/plain/p\"", w.dir.path);

	(void)state;
	space_write(&w, "config.json", config);
	space_write(&w, "other/x/1", "1");
	space_write(&w, "third/t", "1");
	space_write(&w, "plain/p", "1");
	space_write(&w, "plain/q/r", "1");
	slu_context_free(w.s);
	w.s = space_context(w.dir.path);
	/* <store>/<full path>; of local paths what is below their common folder */
	expect("\"" S "d/a.csv\", \"other:x\"", "other/x/1 workspaceblobstore/d/a.csv", NULL);
	expect(with_local, "local/p local/q/r other/x/1", NULL);
	expect(both, "local-files/p local/t", NULL);
}

static void local_paths(void **state)
{
	SLU_AUTO(slu_freep)
	char *two = slu_asprintf("\"%s/p/x/1\", \"%s/p/y\"", w.dir.path, w.dir.path);
	SLU_AUTO(slu_freep) char *glob = slu_asprintf("\"%s/p/**/[12]\"", w.dir.path);
	SLU_AUTO(slu_freep) char *odd = slu_asprintf("\"%s/p/[[]odd\"", w.dir.path);
	SLU_AUTO(slu_freep) char *uri = slu_asprintf("file://%s/p", w.dir.path);

	(void)state;
	space_write(&w, "p/x/1", "1");
	space_write(&w, "p/y/2", "1");
	space_write(&w, "p/[odd", "1");
	expect(two, "x/1 y/2", uri);
	expect(glob, "x/1 y/2", uri);
	expect(odd, "[odd", uri);
}

static void exclusions(void **state)
{
	struct slu_tree *t = NULL;
	struct slu_err e = {0};

	(void)state;
	expect("\"" S "d\", \"!**/_*\"", "a.csv b.csv sub/c.csv", B "/d");
	expect("\"" S "d\", \"!*.csv\"", "sub/_tmp sub/c.csv", B "/d");
	expect("\"" S "d\", \"!sub\"", "a.csv b.csv", B "/d");
	expect("\"" S "d\", \"!" S "d/sub\"", "a.csv b.csv", B "/d");
	expect("\"" S "d\", \"!" B "/d/*.csv\"", "sub/_tmp sub/c.csv", B "/d");
	expect("\"" S "d\", \"" S "e\", \"!a.csv\"", "d/b.csv d/sub/_tmp d/sub/c.csv", B);
	/* of other places: nothing */
	expect("\"" S "e\", \"!/nonexistent-sluice/*\"", "a.csv", B "/e");
	assert_failed(resolve_spec("{\"paths\": [\"" S "d\", \"!**\"]}", &t, &e), e, ENOENT,
		      "leave out all of the 4 files");
}

static void missing(void **state)
{
	static const struct {
		const char *path, *says[3];
	} cases[] = {
		{S "d/x.csv", {"'" B "/d/x.csv'", "'" B "/d'", "'a.csv', 'b.csv', 'sub/'"}},
		{S "d/sub/deep/x", {"'" B "/d/sub/deep/x'", "'" B "/d/sub' holds", "'c.csv'"}},
		{S "d/*.parquet", {"no file matches '" B "/d/*.parquet'", "'" B "/d'", "'a.csv'"}},
		{S "nix/*.csv", {"no file matches", "'" B "'", "and 2 more"}},
		{S "empty", {"'" B "/empty' holds no files", "", ""}},
		{S "empty/*", {"no file matches", "'" B "/empty' is empty", ""}},
		{S "d/s*", {"no file matches", "'sub/'", "it matches folders: put '/**' behind"}},
		{S "d/a.csv/x", {"'" B "/d/a.csv/x'", "", ""}},
	};

	(void)state;
	assert_int_equal(slu_path_mkdirs(w.dir.fd, STORE "/empty", 0755), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slu_dataset *d = NULL;
		struct slu_err e = {0};

		if (slu_resolve_ref(w.s, cases[i].path, &d, &e) != -ENOENT || d)
			fail_msg("%s: %s", cases[i].path, e.msg);
		for (int k = 0; k < 3; k++)
			assert_contains(e.msg, cases[i].says[k]);
	}
}

/* Links inside resolve; one that leaves is an error, not a file left out. */
static void links(void **state)
{
	struct slu_dataset *d = NULL;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(symlinkat("../d/a.csv", w.dir.fd, STORE "/e/inside"), 0);
	expect("\"" S "e\"", "a.csv inside", B "/e");
	assert_int_equal(symlinkat("/etc/hostname", w.dir.fd, STORE "/e/outside"), 0);
	assert_int_equal(slu_resolve_ref(w.s, S "e", &d, &e), -EXDEV);
	assert_contains(e.msg, B "/e");
	assert_contains(e.msg, "outside");
}

static void odd_names(void **state)
{
	SLU_AUTO(slu_freep) char *file = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_freep) char *is = NULL;
	char big[256];
	struct slu_err e = {0};

	(void)state;
	memset(big, 'n', 255);
	big[255] = '\0';
	file = slu_asprintf(STORE "/odd/%s", big);
	space_write(&w, file, "1");
	space_write(&w, STORE "/odd/a\nb", "1");
	space_write(&w, STORE "/odd/#?%", "1");
	space_write(&w, STORE "/odd/\303\251\377", "1");
	assert_int_equal(slu_resolve_ref(w.s, S "odd", &d, &e), 0);
	is = names(d->tree);
	assert_contains(is, "#?% a\nb ");
	assert_contains(is, "\303\251\377");
	readable(d->tree);
	slu_dataset_free(slu_take(d));
	/* each can be named */
	assert_int_equal(slu_resolve_ref(w.s, B "/odd/%23%3F%25", &d, &e), 0);
	assert_true(d->tree->single_file);
	assert_string_equal(slu_manifest_at(d->tree->manifest, 0)->path, "#?%");
	slu_dataset_free(slu_take(d));
	assert_int_equal(slu_resolve_ref(w.s, S "odd/#\\?%", &d, &e), 0);
	assert_int_equal(slu_manifest_count(d->tree->manifest), 1);
	slu_dataset_free(slu_take(d));
	assert_int_equal(slu_resolve_ref(w.s, S "odd/\303\251\377", &d, &e), 0);
	assert_string_equal(d->def->paths[0], B "/odd/%C3%A9%FF");
}

/* --- whole references --- */

static void ids(void **state)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *a = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *b = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *c = NULL;
	char id[37];
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_resolve_ref(w.s, S "d", &a, &e), 0);
	assert_int_equal(slu_resolve_ref(w.s, B "/x/../d/", &b, &e), 0);
	assert_string_equal(a->id, b->id);
	assert_string_equal(a->digest, b->digest);
	assert_null(a->name);
	assert_string_equal(a->def->type, "uri_folder");
	/* GUID, version 8, variant 10 */
	assert_int_equal(strlen(a->id), 36);
	assert_int_equal(a->id[14], '8');
	assert_non_null(strchr("89ab", a->id[19]));
	space_write(&w, STORE "/d/new.csv", "1");
	assert_int_equal(slu_resolve_ref(w.s, S "d", &c, &e), 0);
	assert_string_not_equal(a->id, c->id);
	assert_true(slu_json_equal(a->def->doc, c->def->doc));
	/* a fixed value: ids must never change with the program's version */
	SLU_AUTO(slu_definition_freep)
	struct slu_definition *d = space_definition("uri_folder", "folder", B "/d");
	assert_int_equal(
		slu_dataset_id(d,
			       "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852"
			       "b855",
			       id, &e),
		0);
	assert_string_equal(id, "d95276f1-6e6a-8cda-9c06-7b7f67a3335a");
}

static void registered(void **state)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *v = NULL;
	SLU_AUTO(slu_freep) char *version = NULL;
	SLU_AUTO(slu_freep) char *is = NULL;
	struct slu_err e = {0};
	char now[SLU_TIME_LEN];

	(void)state;
	slu_time_fmt(now, slu_wall());
	assert_int_equal(slu_resolve_ref(w.s, S "d", &d, &e), 0);
	assert_int_equal(slu_registry_save(w.s, d, &e), 0);
	struct slu_registration reg = {.name = "titanic", .dataset_id = d->id, .created = now};

	assert_int_equal(slu_registry_register(w.s, &reg, &version, &e), 0);
	assert_string_equal(version, "1");
	space_write(&w, STORE "/d/new.csv", "1");

	static const char *const refs[] = {"titanic", "titanic@1", "azureml:titanic:1",
					   "azureml:titanic@latest",
					   "azureml://subscriptions/local/resourcegroups/local/"
					   "workspaces/x/data/titanic/versions/1"};

	for (size_t i = 0; i < 4; i++) {
		if (slu_resolve_ref(w.s, refs[i], &v, &e) < 0)
			fail_msg("%s: %s", refs[i], e.msg);
		assert_string_equal(v->name, "titanic");
		assert_string_equal(v->version, "1");
		assert_string_equal(v->id, d->id);
		assert_string_equal(v->digest, d->digest);
		assert_non_null(v->record);
		free(slu_take(is));
		is = names(v->tree);
		assert_string_equal(is, "a.csv b.csv sub/_tmp sub/c.csv");
		readable(v->tree);
		slu_dataset_free(slu_take(v));
	}
	assert_failed(slu_resolve_ref(w.s, refs[4], &v, &e), e, ENOENT, "workspace 'x'");
	assert_int_equal(slu_resolve_ref(w.s, d->id, &v, &e), 0);
	assert_string_equal(v->id, d->id);
	slu_dataset_free(slu_take(v));
	assert_int_equal(slu_resolve_ref(w.s, "titanic@2", &v, &e), -ENOENT);
	assert_int_equal(slu_resolve_ref(w.s, "00000000-0000-8000-8000-000000000000", &v, &e),
			 -ENOENT);
}

/* A bare word is a registered dataset, else a local path. */
static void words(void **state)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *v = NULL;
	SLU_AUTO(slu_freep) char *uri = slu_asprintf("file://%s/word", w.dir.path);
	int old = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_resolve_ref(w.s, "word", &v, &e), -ENOENT);
	space_write(&w, "word/x", "1");
	assert_int_equal(fchdir(w.dir.fd), 0);
	assert_int_equal(slu_resolve_ref(w.s, "word", &v, &e), 0);
	assert_null(v->name);
	assert_string_equal(v->def->paths[0], uri);
	slu_dataset_free(slu_take(v));
	assert_int_equal(slu_resolve_ref(w.s, "word/x", &v, &e), 0);
	assert_true(v->tree->single_file);
	slu_dataset_free(slu_take(v));
	assert_failed(slu_resolve_ref(w.s, "word/y", &v, &e), e, ENOENT, "'x'");
	assert_failed(slu_resolve_ref(w.s, "nope:y", &v, &e), e, ENOENT, "datastore 'nope'");

	SLU_AUTO(slu_freep) char *id = space_saved(w.s, "elsewhere");
	SLU_AUTO(slu_freep) char *version = NULL;
	struct slu_registration reg = {
		.name = "word", .dataset_id = id, .created = "2026-01-31T08:00:00Z"};

	assert_int_equal(slu_registry_register(w.s, &reg, &version, &e), 0);
	assert_int_equal(slu_resolve_ref(w.s, "word", &v, &e), 0);
	assert_string_equal(v->name, "word");
	slu_dataset_free(slu_take(v));
	assert_int_equal(slu_resolve_ref(w.s, "./word", &v, &e), 0);
	assert_null(v->name);
	assert_int_equal(fchdir(old), 0);
	close(old);
}

static void job_part(const char *ref, const char *files, const char *uri, bool file)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_freep) char *is = NULL;
	struct slu_err e = {0};

	if (slu_resolve_ref(w.s, ref, &d, &e) < 0)
		fail_msg("%s: %s", ref, e.msg);
	is = names(d->tree);
	assert_string_equal(is, files);
	assert_string_equal(slu_manifest_source(d->tree->manifest, 0)->uri, uri);
	assert_int_equal(d->tree->single_file, file);
	assert_string_equal(d->def->type, file ? "uri_file" : "uri_folder");
	readable(d->tree);
}

/* What the job wrote, also when the folder holds more by now. */
static void jobs(void **state)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;
	struct slu_dataset *v = NULL;
	bool won;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_resolve_ref(w.s, S "d", &d, &e), 0);
	assert_int_equal(slu_registry_save(w.s, d, &e), 0);
	outcome = space_outcome("run_1", "Completed", d->id, "x", 0);
	assert_int_equal(slu_outcome_put(w.s, "run_1", outcome, &won, NULL, &e), 0);
	space_write(&w, STORE "/d/sub/new.csv", "1");
	job_part("azureml://jobs/run_1/outputs/out", "a.csv b.csv sub/_tmp sub/c.csv", B "/d",
		 false);
	job_part("azureml://jobs/run_1/outputs/out/paths/sub", "_tmp c.csv", B "/d/sub", false);
	job_part("azureml://jobs/run_1/outputs/out/paths/sub/c.csv", "c.csv", B "/d/sub", true);
	job_part("azureml://jobs/run_1/outputs/out/paths/**/*.csv", "a.csv b.csv sub/c.csv", B "/d",
		 false);
	assert_failed(slu_resolve_ref(w.s, "azureml://jobs/run_1/outputs/out/paths/x", &v, &e), e,
		      ENOENT, "'x'");
	assert_failed(slu_resolve_ref(w.s, "azureml://jobs/run_1/outputs/other", &v, &e), e, ENOENT,
		      "no output 'other'");
	assert_failed(slu_resolve_ref(w.s, "azureml://jobs/run_2/outputs/out", &v, &e), e, ENOENT,
		      "job 'run_2'");
	/* as the path of a dataset it is the place, as it is now */
	expect("\"azureml://jobs/run_1/outputs/out/paths/sub\"", "_tmp c.csv new.csv", B "/d/sub");
}

static void manifests(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(65536);
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	struct slu_manifest *m = NULL;
	struct slu_tree *t = NULL;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_resolve_ref(w.s, S "we\\*ird", &d, &e), 0);
	assert_int_equal(slu_manifest_write(d->tree->manifest, &b), 0);
	assert_int_equal(slu_manifest_parse(b.p, b.len, "m", &m, &e), 0);
	assert_int_equal(slu_resolve_manifest(w.s, m, &t, &e), 0);
	readable(t);
	slu_tree_free(t);
	t = NULL;
	assert_int_equal(slu_manifest_new(&m), 0);
	assert_int_equal(slu_manifest_add_source(m, "", "azureml://datastores/gone/paths/x"), 0);
	assert_int_equal(slu_manifest_finish(m, &e), 0);
	assert_failed(slu_resolve_manifest(w.s, m, &t, &e), e, ENOENT, "'gone'");
	assert_null(t);
}

static void without_workspace(void **state)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/" STORE "/d", w.dir.path);
	struct sluice *s = NULL;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_context_new(NULL, &s, &e), 0);
	assert_int_equal(slu_resolve_ref(s, path, &d, &e), 0);
	assert_int_equal(slu_manifest_count(d->tree->manifest), 4);
	slu_dataset_free(slu_take(d));
	assert_failed(slu_resolve_ref(s, "titanic@1", &d, &e), e, ENOENT, "sluice init");
	assert_failed(slu_resolve_ref(s, "azureml://datastores/x/paths/y", &d, &e), e, ENOENT,
		      "sluice init");
	assert_failed(slu_resolve_ref(s, "azureml://jobs/r/outputs/o", &d, &e), e, ENOENT,
		      "sluice init");
	slu_context_free(s);
}

/* Errors of the store come through, with the reference in front. */
static void store_errors(void **state)
{
	struct slu_dataset *d = NULL;
	struct slu_err e = {0};

	(void)state;
	setenv("SLUICE_FAULT", "list:1:EACCES", 1);
	slu_context_free(w.s);
	w.s = space_context(w.dir.path);
	assert_int_equal(slu_resolve_ref(w.s, S "d", &d, &e), -EACCES);
	unsetenv("SLUICE_FAULT");
	assert_contains(e.msg, B "/d");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(layout, setup, teardown),
		cmocka_unit_test_setup_teardown(single, setup, teardown),
		cmocka_unit_test_setup_teardown(several_stores, setup, teardown),
		cmocka_unit_test_setup_teardown(local_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(exclusions, setup, teardown),
		cmocka_unit_test_setup_teardown(missing, setup, teardown),
		cmocka_unit_test_setup_teardown(links, setup, teardown),
		cmocka_unit_test_setup_teardown(odd_names, setup, teardown),
		cmocka_unit_test_setup_teardown(ids, setup, teardown),
		cmocka_unit_test_setup_teardown(registered, setup, teardown),
		cmocka_unit_test_setup_teardown(words, setup, teardown),
		cmocka_unit_test_setup_teardown(jobs, setup, teardown),
		cmocka_unit_test_setup_teardown(manifests, setup, teardown),
		cmocka_unit_test_setup_teardown(without_workspace, setup, teardown),
		cmocka_unit_test_setup_teardown(store_errors, setup, teardown),
	};

	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
