/* SPDX-License-Identifier: Apache-2.0 */
/* From what users say to an MLTable document: types, canonical paths, options, files of others. */
#include "dataset.h"

#include "common/json.h"
#include "dataset/definition.h"

#include <errno.h>

static struct space w;

static int setup(void **state)
{
	(void)state;
	space_make(&w);
	space_write(&w, STORE "/d/a.csv", "x\n");
	space_write(&w, STORE "/d/b.csv", "x\n");
	space_write(&w, STORE "/one.csv", "x\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	space_done(&w);
	return 0;
}

static int define(const char *spec, struct slu_definition **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;

	if (slu_json_parse(spec, strlen(spec), "spec", &j, e) < 0)
		fail_msg("%s", e->msg);
	return slu_definition_from_spec(w.s, j, ret, e);
}

/* The canonical document of a spec, and its type. */
static void expect(const char *spec, const char *type, const char *doc)
{
	SLU_AUTO(slu_definition_freep) struct slu_definition *d = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_err e = {0};

	if (define(spec, &d, &e) < 0)
		fail_msg("%s: %s", spec, e.msg);
	assert_string_equal(d->type, type);
	text = slu_json_text(d->doc, SLU_JSON_CANONICAL);
	assert_string_equal(text, doc);
}

#define B "azureml://datastores/workspaceblobstore/paths"
#define DOC(paths) "{\"paths\":[" paths "],\"type\":\"mltable\"}"

static void types(void **state)
{
	(void)state;
	expect("{\"path\": \"workspaceblobstore:one.csv\"}", "uri_file",
	       DOC("{\"file\":\"" B "/one.csv\"}"));
	expect("{\"path\": \"WorkspaceBlobStore:d/\"}", "uri_folder",
	       DOC("{\"folder\":\"" B "/d\"}"));
	expect("{\"path\": \"workspaceblobstore:\"}", "uri_folder", DOC("{\"folder\":\"" B "\"}"));
	expect("{\"path\": \"workspaceblobstore:d/*.csv\"}", "uri_folder",
	       DOC("{\"pattern\":\"" B "/d/*.csv\"}"));
	expect("{\"paths\": [\"workspaceblobstore:d/a.csv\", {\"file\": "
	       "\"workspaceblobstore:one.csv\"}]}",
	       "uri_folder", DOC("{\"file\":\"" B "/d/a.csv\"},{\"file\":\"" B "/one.csv\"}"));
	expect("{\"paths\": [\"workspaceblobstore:d/a.csv\"], \"type\": \"uri_file\"}", "uri_file",
	       DOC("{\"file\":\"" B "/d/a.csv\"}"));
	expect("{\"paths\": [\"workspaceblobstore:d\", \"!*.tmp\", \"!workspaceblobstore:d/x\", "
	       "\"!titanic@1\", \"!tmp/\"]}",
	       "uri_folder",
	       DOC("{\"folder\":\"" B "/d\"},{\"pattern\":\"!*.tmp\"},{\"pattern\":\"!" B
		   "/d/x\"},{\"pattern\":\"!titanic@1\"},{\"pattern\":\"!tmp\"}"));
}

static void local_paths(void **state)
{
	SLU_AUTO(slu_freep) char *spec = slu_asprintf("{\"path\": \"%s/we?rd\"}", w.dir.path);
	SLU_AUTO(slu_freep)
	char *want = slu_asprintf(DOC("{\"pattern\":\"file://%s/we?rd\"}"), w.dir.path);
	SLU_AUTO(slu_freep)
	char *rel = slu_asprintf(DOC("{\"file\":\"file://%s/x%%20y.csv\"}"), w.dir.path);
	int old = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	expect(spec, "uri_folder", want);
	space_write(&w, "x y.csv", "1");
	assert_int_equal(fchdir(w.dir.fd), 0);
	expect("{\"path\": \"./x y.csv\"}", "uri_file", rel);
	expect("{\"path\": \"x y.csv\"}", "uri_file", rel);
	assert_int_equal(fchdir(old), 0);
	close(old);
}

#define DEFAULTS                                                                                   \
	"\"delimiter\":\",\",\"empty_as_string\":false,\"encoding\":\"utf8\","                     \
	"\"header\":\"all_files_same_headers\",\"include_path_column\":false,"                     \
	"\"infer_column_types\":true,\"support_multi_line\":false"

static void delimited(void **state)
{
	(void)state;
	expect("{\"path\": \"workspaceblobstore:one.csv\", \"delimited\": {}}", "mltable",
	       "{\"paths\":[{\"file\":\"" B
	       "/one.csv\"}],\"transformations\":[{\"read_delimited\":{" DEFAULTS
	       "}}],\"type\":\"mltable\"}");
	expect("{\"path\": \"workspaceblobstore:one.csv\", \"type\": \"mltable\", \"delimited\": true}",
	       "mltable",
	       "{\"paths\":[{\"file\":\"" B
	       "/one.csv\"}],\"transformations\":[{\"read_delimited\":{" DEFAULTS
	       "}}],\"type\":\"mltable\"}");
	expect("{\"path\": \"workspaceblobstore:d\", \"delimited\": {\"delimiter\": \"\\t\", "
	       "\"header\": \"no_header\", \"encoding\": \"windows1252\", \"infer_column_types\": "
	       "{\"sample_size\": 5}, \"path_column\": \"p\"}}",
	       "mltable",
	       "{\"paths\":[{\"folder\":\"" B "/d\"}],\"transformations\":[{\"read_delimited\":{"
	       "\"delimiter\":\"\\t\",\"empty_as_string\":false,\"encoding\":\"windows1252\","
	       "\"header\":\"no_header\",\"include_path_column\":false,\"infer_column_types\":{"
	       "\"sample_size\":5},\"path_column\":\"p\",\"support_multi_line\":false}}],"
	       "\"type\":\"mltable\"}");
	expect("{\"path\": \"workspaceblobstore:one.csv\", \"delimited\": false}", "uri_file",
	       DOC("{\"file\":\"" B "/one.csv\"}"));
}

static const struct {
	const char *spec, *says;
	int code;
} wrongs[] = {
	{"{}", "needs a 'path'", EINVAL},
	{"{\"path\": 3}", "needs a 'path'", EINVAL},
	{"{\"paths\": []}", "not empty", EINVAL},
	{"{\"paths\": [3]}", "path 1", EINVAL},
	{"{\"path\": \"x\", \"paths\": [\"y\"]}", "both", EINVAL},
	{"{\"path\": \"\"}", "empty", EINVAL},
	{"{\"path\": \"!x\"}", "exclusions", EINVAL},
	{"{\"paths\": [\"!x\"]}", "exclusions", EINVAL},
	{"{\"path\": \"azureml:titanic:1\"}", "is a dataset itself", EINVAL},
	{"{\"path\": \"workspaceblobstore:d/a[\"}", "[", EINVAL},
	{"{\"path\": \"workspaceblobstore:d/absent.csv\"}", "'a.csv', 'b.csv'", ENOENT},
	{"{\"path\": \"nope:d\"}", "'workspaceblobstore'", ENOENT},
	{"{\"path\": \"abfss://c@a.dfs.core.windows.net/x\"}", "datastore create", ENOENT},
	{"{\"path\": \"workspaceblobstore:d\", \"type\": \"folder\"}", "'folder'", EINVAL},
	{"{\"path\": \"workspaceblobstore:d\", \"type\": \"uri_file\"}", "is a folder", EINVAL},
	{"{\"path\": \"workspaceblobstore:one.csv\", \"type\": \"uri_folder\"}", "is a file",
	 EINVAL},
	{"{\"path\": \"workspaceblobstore:*.csv\", \"type\": \"uri_file\"}", "without wildcards",
	 EINVAL},
	{"{\"paths\": [\"workspaceblobstore:one.csv\", \"workspaceblobstore:one.csv\"], \"type\": "
	 "\"uri_file\"}",
	 "one path", EINVAL},
	{"{\"path\": \"workspaceblobstore:one.csv\", \"type\": \"mltable\"}", "MLTable file",
	 EINVAL},
	{"{\"path\": \"workspaceblobstore:d\", \"type\": \"mltable\"}", "holds no file 'MLTable'",
	 ENOENT},
	{"{\"path\": \"workspaceblobstore:d\", \"type\": \"uri_folder\", \"delimited\": {}}",
	 "type mltable", EINVAL},
#define D(options) "{\"path\": \"workspaceblobstore:d\", \"delimited\": " options "}"
	{D("3"), "object", EINVAL},
	{D("{\"separator\": \",\"}"), "'separator'", EINVAL},
	{D("{\"delimiter\": \"\"}"), "one or two", EINVAL},
	{D("{\"delimiter\": \"abc\"}"), "one or two", EINVAL},
	{D("{\"delimiter\": \"\\n\"}"), "end of a line", EINVAL},
	{D("{\"delimiter\": 1}"), "one or two", EINVAL},
	{D("{\"header\": \"yes\"}"), "no_header", EINVAL},
	{D("{\"header\": true}"), "no_header", EINVAL},
	{D("{\"encoding\": \"utf-8\"}"), "utf8", EINVAL},
	{D("{\"support_multi_line\": \"true\"}"), "true or false", EINVAL},
	{D("{\"infer_column_types\": 3}"), "true or false", EINVAL},
	{D("{\"infer_column_types\": {\"sample_size\": 0}}"), "sample_size", EINVAL},
	{D("{\"partition_size\": -1}"), "bytes", EINVAL},
	{D("{\"path_column\": \"\"}"), "column", EINVAL},
};

static void refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct slu_definition *d = NULL;
		struct slu_err e = {0};
		int r = define(wrongs[i].spec, &d, &e);

		if (r != -wrongs[i].code || d)
			fail_msg("%s gave %d: %s", wrongs[i].spec, r, e.msg);
		if (!strstr(e.msg, wrongs[i].says))
			fail_msg("%s: '%s' is not in: %s", wrongs[i].spec, wrongs[i].says, e.msg);
	}
}

static void mltable(void **state)
{
	(void)state;
	space_write(&w, STORE "/t/MLTable",
		    "$schema: https://example.org/MLTable.schema.json\n"
		    "type: mltable\n"
		    "paths:\n"
		    "  - file: ./a b.csv\n"
		    "  - pattern: sub/*.csv\n"
		    "  - folder: ../d\n"
		    "  - file: azureml://datastores/WorkspaceBlobStore/paths/one.csv\n"
		    "  - pattern: '!**/_*'\n"
		    "transformations:\n"
		    "  - read_delimited:\n"
		    "      delimiter: ';'\n"
		    "  - keep_columns: [a, b]\n"
		    "  - some_day: {x: 1}\n"
		    "traits: {timestamp_column: t}\n");
	space_write(&w, STORE "/t/a b.csv", "x\n");
	expect("{\"path\": \"workspaceblobstore:t\", \"type\": \"mltable\"}", "mltable",
	       "{\"$schema\":\"https://example.org/MLTable.schema.json\",\"paths\":["
	       "{\"file\":\"" B "/t/a%20b.csv\"},{\"pattern\":\"" B "/t/sub/*.csv\"},"
	       "{\"folder\":\"" B "/d\"},{\"file\":\"" B "/one.csv\"},{\"pattern\":\"!**/_*\"}],"
	       "\"traits\":{\"timestamp_column\":\"t\"},\"transformations\":[{\"read_delimited\":{"
	       "\"delimiter\":\";\",\"empty_as_string\":false,\"encoding\":\"utf8\","
	       "\"header\":\"all_files_same_headers\",\"include_path_column\":false,"
	       "\"infer_column_types\":true,\"support_multi_line\":false}},"
	       "{\"keep_columns\":[\"a\",\"b\"]},{\"some_day\":{\"x\":1}}],\"type\":\"mltable\"}");
}

static const struct {
	const char *text, *says;
	int code;
} tables[] = {
	{"paths: [\n", "MLTable:", EBADMSG},
	{"- a\n", "mapping", EINVAL},
	{"type: mltable\npahts: []\n", "/MLTable:2:1", EINVAL},
	{"type: mltable\n", "'paths'", EINVAL},
	{"paths: []\n", "paths", EINVAL},
	{"paths:\n  - file: x.csv\n", "/MLTable:2:5", ENOENT},
	{"paths:\n  - fil: ./x.csv\n", "/MLTable:2:5", EINVAL},
	{"paths:\n  - a.csv\n", "/MLTable:2:5", EINVAL},
	{"paths:\n  - file: ../../x.csv\n", "/MLTable:2:5", EINVAL},
	{"type: table\npaths:\n  - folder: .\n", "'mltable'", EINVAL},
	{"paths:\n  - folder: .\ntransformations: 3\n", "a list", EINVAL},
	{"paths:\n  - folder: .\ntransformations:\n  - read_delimited: {header: maybe}\n", "header",
	 EINVAL},
	{"paths:\n  - folder: .\ntransformations:\n  - read_delimited\n  - read_parquet\n",
	 "more than one read_", EINVAL},
};

static void bad_tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		struct slu_definition *d = NULL;
		struct slu_err e = {0};

		space_write(&w, STORE "/t/MLTable", tables[i].text);
		int r = define("{\"path\": \"workspaceblobstore:t\", \"type\": \"mltable\"}", &d,
			       &e);

		if (r != -tables[i].code || d)
			fail_msg("%s gave %d: %s", tables[i].text, r, e.msg);
		if (!strstr(e.msg, tables[i].says))
			fail_msg("%s: '%s' is not in: %s", tables[i].text, tables[i].says, e.msg);
	}
}

/* What was written is read back the same: registered definitions keep their ids. */
static void fixed_point(void **state)
{
	SLU_AUTO(slu_definition_freep) struct slu_definition *a = NULL;
	SLU_AUTO(slu_definition_freep) struct slu_definition *b = NULL;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(define("{\"path\": \"workspaceblobstore:d\", \"delimited\": {}}", &a, &e),
			 0);
	assert_int_equal(slu_definition_from_doc(a->type, a->doc, "x", &b, &e), 0);
	assert_true(slu_json_equal(a->doc, b->doc));
	assert_true(a->tabular && b->tabular);
	assert_int_equal(b->npaths, 1);
	assert_string_equal(b->paths[0], B "/d");
}

static void spark(void **state)
{
	SLU_AUTO(slu_definition_freep) struct slu_definition *d = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(define(D("{\"delimiter\": \"|\", \"header\": \"no_header\", \"encoding\": "
				  "\"latin1\", \"support_multi_line\": true, "
				  "\"infer_column_types\": false}"),
				&d, &e),
			 0);
	assert_int_equal(slu_definition_spark(d, &o), 0);
	assert_string_equal(slu_json_str(o, "format"), "csv");
	const struct json_t *options = slu_json_get(o, "options");

	assert_string_equal(slu_json_str(options, "header"), "false");
	assert_string_equal(slu_json_str(options, "sep"), "|");
	assert_string_equal(slu_json_str(options, "encoding"), "ISO-8859-1");
	assert_string_equal(slu_json_str(options, "multiLine"), "true");
	assert_string_equal(slu_json_str(options, "inferSchema"), "false");
	assert_int_equal(slu_json_count(slu_json_get(o, "differs")), 1);
	slu_definition_free(slu_take(d));
	slu_json_free(slu_take(o));
	assert_int_equal(define(D("{\"header\": \"from_first_file\"}"), &d, &e), 0);
	assert_int_equal(slu_definition_spark(d, &o), 0);
	assert_null(slu_json_get(o, "options"));
	assert_non_null(slu_json_str(o, "reason"));
	slu_definition_free(slu_take(d));
	slu_json_free(slu_take(o));
	assert_int_equal(define("{\"path\": \"workspaceblobstore:d\", \"json_lines\": "
				"{\"invalid_lines\": \"drop\", \"encoding\": \"utf16\"}}",
				&d, &e),
			 0);
	assert_int_equal(slu_definition_spark(d, &o), 0);
	assert_string_equal(slu_json_str(o, "format"), "json");
	options = slu_json_get(o, "options");
	assert_string_equal(slu_json_str(options, "mode"), "DROPMALFORMED");
	assert_string_equal(slu_json_str(options, "lineSep"), "\n");
	slu_definition_free(slu_take(d));
	slu_json_free(slu_take(o));
	assert_int_equal(define("{\"path\": \"workspaceblobstore:d\"}", &d, &e), 0);
	assert_int_equal(slu_definition_spark(d, &o), 0);
	assert_null(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(types, setup, teardown),
		cmocka_unit_test_setup_teardown(local_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(delimited, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(mltable, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(fixed_point, setup, teardown),
		cmocka_unit_test_setup_teardown(spark, setup, teardown),
	};

	return cmocka_run_group_tests_name("definition", tests, NULL, NULL);
}
