/* SPDX-License-Identifier: Apache-2.0 */
/* Every spelling of a reference, what each means, its canonical text, and the refusals. */
#include "unit.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/str.h"
#include "fs/walk.h"

#include <dirent.h>
#include <errno.h>

#define LLVMFuzzerTestOneInput fuzz_uri
#include "tests/fuzz/fuzz-uri.c"
#undef LLVMFuzzerTestOneInput

#define LONG "azureml://subscriptions/S/resourcegroups/R/workspaces/W/"
#define ARM                                                                                        \
	"subscriptions/S/resourceGroups/R/providers/Microsoft.MachineLearningServices/workspaces/W/"

struct good {
	const char *text;
	enum slu_uri_kind kind;
	const char *name, *version, *path;
	const char *canonical; /* NULL: the text itself */
};

static const struct good goods[] = {
	/* datastores */
	{"azureml://datastores/blob/paths/a/b.csv", SLU_URI_DATASTORE, "blob", NULL, "a/b.csv",
	 NULL},
	{"azureml://datastores/blob", SLU_URI_DATASTORE, "blob", NULL, "",
	 "azureml://datastores/blob/paths"},
	{"azureml://datastores/blob/", SLU_URI_DATASTORE, "blob", NULL, "",
	 "azureml://datastores/blob/paths"},
	{"azureml://datastores/blob/paths", SLU_URI_DATASTORE, "blob", NULL, "", NULL},
	{"azureml://datastores/blob/paths/", SLU_URI_DATASTORE, "blob", NULL, "",
	 "azureml://datastores/blob/paths"},
	{"AzureML://DataStores/blob/Paths/A", SLU_URI_DATASTORE, "blob", NULL, "A",
	 "azureml://datastores/blob/paths/A"},
	{"azureml://datastores/b-l_o.b/paths//a///./b/../c/", SLU_URI_DATASTORE, "b-l_o.b", NULL,
	 "a/c", "azureml://datastores/b-l_o.b/paths/a/c"},
	{"azureml://datastores/blob/paths/a b", SLU_URI_DATASTORE, "blob", NULL, "a b",
	 "azureml://datastores/blob/paths/a%20b"},
	{"azureml://datastores/blob/paths/a%20b", SLU_URI_DATASTORE, "blob", NULL, "a b", NULL},
	{"azureml://datastores/blob/paths/%23%25%0A", SLU_URI_DATASTORE, "blob", NULL, "#%\n",
	 NULL},
	{"azureml://datastores/blob/paths/year=2020/a,b!@:x", SLU_URI_DATASTORE, "blob", NULL,
	 "year=2020/a,b!@:x", NULL},
	{"azureml://datastores/blob/paths/a%2Fb", SLU_URI_DATASTORE, "blob", NULL, "a/b",
	 "azureml://datastores/blob/paths/a/b"},
	{"azureml://datastores/blob/paths/\303\251", SLU_URI_DATASTORE, "blob", NULL, "\303\251",
	 "azureml://datastores/blob/paths/%C3%A9"},
	/* globs and literals */
	{"azureml://datastores/blob/paths/a/*.csv", SLU_URI_DATASTORE, "blob", NULL, "a/*.csv",
	 NULL},
	{"azureml://datastores/blob/paths/**/x?.{a,b}", SLU_URI_DATASTORE, "blob", NULL,
	 "**/x?.{a,b}", NULL},
	{"azureml://datastores/blob/paths/a%2A%3F", SLU_URI_DATASTORE, "blob", NULL, "a\\*\\?",
	 NULL},
	{"azureml://datastores/blob/paths/a\\*", SLU_URI_DATASTORE, "blob", NULL, "a\\*",
	 "azureml://datastores/blob/paths/a%2A"},
	{"azureml://datastores/blob/paths/%2a.csv", SLU_URI_DATASTORE, "blob", NULL, "\\*.csv",
	 "azureml://datastores/blob/paths/%2A.csv"},
	{"azureml://datastores/blob/paths/{a%2Cb,c}", SLU_URI_DATASTORE, "blob", NULL, "{a\\,b,c}",
	 NULL},
	{"azureml://datastores/blob/paths/a%2Cb", SLU_URI_DATASTORE, "blob", NULL, "a,b",
	 "azureml://datastores/blob/paths/a,b"},
	{"azureml://datastores/blob/paths/[%5D%2D]", SLU_URI_DATASTORE, "blob", NULL, "[\\]\\-]",
	 NULL},
	{"azureml://datastores/blob/paths/a]b}", SLU_URI_DATASTORE, "blob", NULL, "a\\]b\\}",
	 "azureml://datastores/blob/paths/a%5Db%7D"},
	{"azureml://datastores/blob/paths/a%5Cb", SLU_URI_DATASTORE, "blob", NULL, "a\\\\b", NULL},
	/* parts of datasets */
	{"t@1/a b/c", SLU_URI_DATA, "t", "1", "a b/c", "azureml://data/t/versions/1/paths/a%20b/c"},
	{"azureml:t:1/a/*.csv", SLU_URI_DATA, "t", "1", "a/*.csv",
	 "azureml://data/t/versions/1/paths/a/*.csv"},
	{"t@latest/a%20", SLU_URI_DATA, "t", NULL, "a%20",
	 "azureml://data/t/labels/latest/paths/a%2520"},
	{"azureml://data/t/versions/1/paths/a%20b", SLU_URI_DATA, "t", "1", "a b", NULL},
	/* long */
	{LONG "datastores/blob/paths/x", SLU_URI_DATASTORE, "blob", NULL, "x", NULL},
	{"azureml://" ARM "datastores/blob/paths/x", SLU_URI_DATASTORE, "blob", NULL, "x",
	 LONG "datastores/blob/paths/x"},
	{"azureml:/" ARM "datastores/blob", SLU_URI_DATASTORE, "blob", NULL, "",
	 LONG "datastores/blob/paths"},
	/* assets */
	{"azureml:titanic:3", SLU_URI_DATA, "titanic", "3", NULL, NULL},
	{"azureml:titanic@latest", SLU_URI_DATA, "titanic", NULL, NULL, NULL},
	{"azureml:titanic", SLU_URI_DATA, "titanic", NULL, NULL, "azureml:titanic@latest"},
	{"azureml:titanic:latest", SLU_URI_DATA, "titanic", NULL, NULL, "azureml:titanic@latest"},
	{"azureml://titanic:3", SLU_URI_DATA, "titanic", "3", NULL, "azureml:titanic:3"},
	{"azureml://titanic@latest", SLU_URI_DATA, "titanic", NULL, NULL, "azureml:titanic@latest"},
	{"titanic@2024-01-31", SLU_URI_DATA, "titanic", "2024-01-31", NULL,
	 "azureml:titanic:2024-01-31"},
	{"titanic@latest", SLU_URI_DATA, "titanic", NULL, NULL, "azureml:titanic@latest"},
	{LONG "data/titanic/versions/7", SLU_URI_DATA, "titanic", "7", NULL, NULL},
	{LONG "datasets/titanic/versions/7", SLU_URI_DATA, "titanic", "7", NULL,
	 LONG "data/titanic/versions/7"},
	{LONG "data/titanic/labels/latest", SLU_URI_DATA, "titanic", NULL, NULL, NULL},
	{LONG "data/titanic", SLU_URI_DATA, "titanic", NULL, NULL,
	 LONG "data/titanic/labels/latest"},
	{"azureml:/" ARM "data/titanic/versions/7", SLU_URI_DATA, "titanic", "7", NULL,
	 LONG "data/titanic/versions/7"},
	{"azureml://locations/L/workspaces/0-1/data/t/versions/1", SLU_URI_DATA, "t", "1", NULL,
	 NULL},
	{"azureml://registries/R/data/t/versions/1", SLU_URI_DATA, "t", "1", NULL, NULL},
	{"0A1B2C3D-0000-8000-8000-0123456789AB", SLU_URI_DATA_ID,
	 "0a1b2c3d-0000-8000-8000-0123456789ab", NULL, NULL,
	 "0a1b2c3d-0000-8000-8000-0123456789ab"},
	/* jobs */
	{"azureml://jobs/run_1/outputs/out", SLU_URI_JOB, "run_1", NULL, "",
	 "azureml://jobs/run_1/outputs/out/paths"},
	{"azureml://jobs/run_1/outputs/out/paths/a/*", SLU_URI_JOB, "run_1", NULL, "a/*", NULL},
	/* STORE:path is plain: no percent escapes */
	{"blob:a/b.csv", SLU_URI_DATASTORE, "blob", NULL, "a/b.csv",
	 "azureml://datastores/blob/paths/a/b.csv"},
	{"blob:", SLU_URI_DATASTORE, "blob", NULL, "", "azureml://datastores/blob/paths"},
	{"blob:/a", SLU_URI_DATASTORE, "blob", NULL, "a", "azureml://datastores/blob/paths/a"},
	{"blob:100%25", SLU_URI_DATASTORE, "blob", NULL, "100%25",
	 "azureml://datastores/blob/paths/100%2525"},
	{"blob:a:b", SLU_URI_DATASTORE, "blob", NULL, "a:b", "azureml://datastores/blob/paths/a:b"},
	{"store-2:\\[1\\].csv", SLU_URI_DATASTORE, "store-2", NULL, "\\[1\\].csv",
	 "azureml://datastores/store-2/paths/%5B1%5D.csv"},
	/* local */
	{"/data/x", SLU_URI_LOCAL, NULL, NULL, "/data/x", "file:///data/x"},
	{"/", SLU_URI_LOCAL, NULL, NULL, "/", "file:///"},
	{"/data//x/./y/", SLU_URI_LOCAL, NULL, NULL, "/data/x/y", "file:///data/x/y"},
	{"/data/../x", SLU_URI_LOCAL, NULL, NULL, "/data/../x", "file:///data/../x"},
	{"./x", SLU_URI_LOCAL, NULL, NULL, "x", NULL},
	{".", SLU_URI_LOCAL, NULL, NULL, ".", NULL},
	{"../x", SLU_URI_LOCAL, NULL, NULL, "../x", NULL},
	{".hidden", SLU_URI_LOCAL, NULL, NULL, ".hidden", NULL},
	{"./titanic@1", SLU_URI_LOCAL, NULL, NULL, "titanic@1", NULL},
	{"./blob:x", SLU_URI_LOCAL, NULL, NULL, "blob:x", NULL},
	{"dir/", SLU_URI_LOCAL, NULL, NULL, "dir", "./dir"},
	{"a\\*b", SLU_URI_WORD, NULL, NULL, "a\\*b", NULL},
	{"file:///a%20b/*.csv", SLU_URI_LOCAL, NULL, NULL, "/a b/*.csv", NULL},
	{"file://localhost/a", SLU_URI_LOCAL, NULL, NULL, "/a", "file:///a"},
	{"file:/a", SLU_URI_LOCAL, NULL, NULL, "/a", "file:///a"},
	{"FILE:///a", SLU_URI_LOCAL, NULL, NULL, "/a", "file:///a"},
	/* words */
	{"titanic", SLU_URI_WORD, NULL, NULL, "titanic", NULL},
	{"data/x.csv", SLU_URI_WORD, NULL, NULL, "data/x.csv", NULL},
	{"no-store:x", SLU_URI_WORD, NULL, NULL, "no-store:x", NULL},
	{"no-store:x/", SLU_URI_WORD, NULL, NULL, "no-store:x", "no-store:x"},
	{"no-store:x//y", SLU_URI_LOCAL, NULL, NULL, "no-store:x/y", "./no-store:x/y"},
	{"x/no-store:/", SLU_URI_LOCAL, NULL, NULL, "x/no-store:", "./x/no-store:"},
	{"*.csv", SLU_URI_WORD, NULL, NULL, "*.csv", NULL},
	/* storage */
	{"abfss://c-1@acct.DFS.core.windows.net/a%20b", SLU_URI_ABFS,
	 "c-1@acct.dfs.core.windows.net", NULL, "a b",
	 "abfss://c-1@acct.dfs.core.windows.net/a%20b"},
	{"wasbs://c@a.blob.core.windows.net", SLU_URI_WASB, "c@a.blob.core.windows.net", NULL, "",
	 NULL},
	{"WASB://$root@a.blob.core.windows.net/x", SLU_URI_WASB, "$root@a.blob.core.windows.net",
	 NULL, "x", "wasb://$root@a.blob.core.windows.net/x"},
	{"adl://s.azuredatalakestore.net/p", SLU_URI_ADL, "s.azuredatalakestore.net", NULL, "p",
	 NULL},
	{"https://a.blob.core.windows.net/c/p%3Fq", SLU_URI_HTTP, "a.blob.core.windows.net", NULL,
	 "c/p\\?q", NULL},
	{"hdfs://nn:8020/user/x", SLU_URI_HDFS, "nn:8020", NULL, "user/x", NULL},
	{"hdfs://[::1]:8020/x", SLU_URI_HDFS, "[::1]:8020", NULL, "x", NULL},
	{"hdfs:///x", SLU_URI_HDFS, "", NULL, "x", NULL},
};

static void assert_same(const char *text, const char *what, const char *is, const char *want)
{
	if (!is != !want || (is && !slu_streq(is, want)))
		fail_msg("%s: %s is '%s', not '%s'", text, what, is ? is : "(null)",
			 want ? want : "(null)");
}

static void spellings(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
		const struct good *g = &goods[i];
		SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
		SLU_AUTO(slu_freep) char *text = NULL;
		struct slu_err e = {0};

		if (slu_uri_parse(g->text, fuzz_is_store, NULL, &u, &e) < 0)
			fail_msg("%s: %s", g->text, e.msg);
		if (u->kind != g->kind)
			fail_msg("%s: kind %d, not %d", g->text, (int)u->kind, (int)g->kind);
		assert_same(g->text, "name", u->name, g->name);
		assert_same(g->text, "version", u->version, g->version);
		assert_same(g->text, "path", u->path, g->path);
		text = slu_uri_text(u);
		assert_same(g->text, "canonical text", text, g->canonical ? g->canonical : g->text);
		fuzz_uri((const uint8_t *)g->text, strlen(g->text));
	}
}

static void scopes(void **state)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_uri_freep) struct slu_uri *v = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_err e = {0};

	(void)state;
	text = slu_uri_datastore_long("S 1", "R/g", "W", "blob", "a*/b");
	assert_string_equal(text, "azureml://subscriptions/S%201/resourcegroups/R%2Fg/workspaces/W/"
				  "datastores/blob/paths/a%2A/b");
	assert_failed(slu_uri_parse(text, NULL, NULL, &u, &e), e, EINVAL, "'/'");
	free(text);
	text = slu_uri_datastore_long("S 1", "Rg", "W", "blob", "a*/b");
	assert_int_equal(slu_uri_parse(text, NULL, NULL, &u, &e), 0);
	assert_string_equal(u->subscription, "S 1");
	assert_string_equal(u->resource_group, "Rg");
	assert_string_equal(u->workspace, "W");
	assert_string_equal(u->path, "a\\*/b");
	assert_int_equal(slu_uri_parse("azureml://registries/R/data/t", NULL, NULL, &v, &e), 0);
	assert_string_equal(v->registry, "R");
}

struct wrong {
	const char *text, *says;
};

static const struct wrong wrongs[] = {
	{"", "empty"},
	{"azureml:", "names no dataset"},
	{"azureml://", "not whole"},
	{"azureml://datastores", "not whole"},
	{"azureml://:1", "names no dataset"},
	{"azureml:a b:1", "names no dataset"},
	{"azureml:t:", "version"},
	{"azureml:t:a b", "version"},
	{"azureml:t:..", "version"},
	{"azureml://datastores/", "missing"},
	{"azureml://datastores//paths/x", "missing"},
	{"azureml://datastores/a%20b/paths/x", "no name of a datastore"},
	{"azureml://datastores/../paths/x", "no name of a datastore"},
	{"azureml://datastores/blob/x", "'/paths/PATH' is expected"},
	{"azureml://datastores/blob/pathsx", "'/paths/PATH' is expected"},
	{"azureml://datastores/blob/paths/../x", "leaves its root"},
	{"azureml://datastores/blob/paths/a/%2e%2e/%2E./x", "leaves its root"},
	{"azureml://datastores/blob/paths/a%2f..%2f..%2fx", "leaves its root"},
	{"azureml://datastores/blob/paths/a%00b", "percent escape"},
	{"azureml://datastores/blob/paths/100%", "write '%' as '%25'"},
	{"azureml://datastores/blob/paths/%2", "percent escape"},
	{"azureml://datastores/blob/paths/%zz", "percent escape"},
	{"azureml://datastores/blob/paths/a[b", "["},
	{"azureml://datastores/blob/paths/a{b", "{"},
	{"azureml://datastores/blob/paths/a\\", "escapes nothing"},
	{"azureml://datastore/blob/paths/x", "no part of an azureml URI"},
	{"azureml://subscriptions/S/datastores/blob/paths/x", "no workspace"},
	{"azureml://workspaces/W/workspaces/V/datastores/b", "twice"},
	{"azureml://registries/R/workspaces/V/data/b", "both a registry and a workspace"},
	{"azureml://providers/X/workspaces/V/data/b", "provider"},
	{"azureml://workspaces/W/data/t/version/1", "'/versions/VERSION' is expected"},
	{"azureml://workspaces/W/data/t/versions/1/x", "'/paths/PATH' is expected"},
	{"azureml://workspaces/W/data/t/labels/newest", "only label"},
	{"azureml://jobs/j", "'outputs'"},
	{"azureml://jobs/j/inputs/o", "'/outputs/OUTPUT' is expected"},
	{"blob:../x", "leaves its root"},
	{"blob:a/../../x", "leaves its root"},
	{"blob:*/../x", "behind a wildcard"},
	{"blob:{a,b/../c}", "behind a wildcard"},
	{"/data/x*/..", "behind a wildcard"},
	{"file://host/x", "absolute path"},
	{"file://x", "absolute path"},
	{"s3://bucket/x", "'s3://' is no scheme"},
	{"abfss://acct.dfs.core.windows.net/x", "CONTAINER@"},
	{"abfss://c/d@acct/x", "CONTAINER@"},
	{"wasbs://c@/x", "host"},
	{"hdfs://nn:0/x", "host"},
	{"hdfs://nn:99999/x", "host"},
	{"hdfs://n n/x", "host"},
	{"https:///x", "host"},
	{"https://a.b/c?sv=1", "query"},
};

static void refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct slu_uri *u = NULL;
		struct slu_err e = {0};
		int r = slu_uri_parse(wrongs[i].text, fuzz_is_store, NULL, &u, &e);

		if (r != -EINVAL || u)
			fail_msg("%s was accepted", wrongs[i].text);
		if (!strstr(e.msg, wrongs[i].says))
			fail_msg("%s: '%s' is not in: %s", wrongs[i].text, wrongs[i].says, e.msg);
	}
}

static void secrets(void **state)
{
	static const char *const texts[] = {
		"https://user:hunter2@a.blob.core.windows.net/x",
		"https://a.blob.core.windows.net/x?sv=1&sig=hunter2",
		"abfss://c@a.dfs.core.windows.net/x?sig=hunter2",
		"hdfs://me:hunter2@nn/x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct slu_uri *u = NULL;
		struct slu_err e = {0};

		assert_int_equal(slu_uri_parse(texts[i], NULL, NULL, &u, &e), -EINVAL);
		assert_lacks(e.msg, "hunter2");
		assert_contains(e.msg, "credential reference");
	}

	struct slu_uri *u = NULL;
	struct slu_err e = {0};

	assert_int_equal(slu_uri_parse("wasbs://c@me:hunter2@h/x", NULL, NULL, &u, &e), -EINVAL);
	assert_lacks(e.msg, "hunter2");
}

static void states(void **state)
{
	static const struct {
		const char *text, *path, *state;
	} cases[] = {
		{"blob:a/f?versionid=2026-11-21T06:00:00.1234567Z", "a/f",
		 "versionid=2026-11-21T06:00:00.1234567Z"},
		{"azureml://datastores/blob/paths/a%20b?snapshot=2026-11-21T06:00:00Z", "a b",
		 "snapshot=2026-11-21T06:00:00Z"},
		{"blob:a/f\\?versionid=1", "a/f\\?versionid=1", NULL},
		{"azureml://datastores/blob/paths/f%3Fversionid=1", "f\\?versionid=1", NULL},
		{"blob:f?version=1", "f?version=1", NULL},
		{"blob:f?versionid=", "f?versionid=", NULL},
		{"blob:f?versionid=a/b", "f?versionid=a/b", NULL},
		{"/tmp/f?versionid=1", "/tmp/f?versionid=1", NULL},
	};
	struct slu_err e = {0};
	struct slu_uri *u;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		SLU_AUTO(slu_uri_freep) struct slu_uri *got = NULL, *again = NULL;
		SLU_AUTO(slu_freep) char *text = NULL;

		assert_int_equal(slu_uri_parse(cases[i].text, fuzz_is_store, NULL, &got, &e), 0);
		assert_string_equal(got->path, cases[i].path);
		assert_int_equal(!got->state, !cases[i].state);
		if (got->state)
			assert_string_equal(got->state, cases[i].state);
		text = slu_uri_text(got);
		assert_int_equal(slu_uri_parse(text, fuzz_is_store, NULL, &again, &e), 0);
		assert_int_equal(!again->state, !got->state);
	}
	assert_failed(slu_uri_parse("blob:*.csv?versionid=1", fuzz_is_store, NULL, &u, &e), e,
		      EINVAL, "one file");
}

static void too_long(void **state)
{
	char *text = malloc(20001);
	struct slu_uri *u = NULL;
	struct slu_err e = {0};

	(void)state;
	memset(text, 'a', 20000);
	text[20000] = '\0';
	assert_failed(slu_uri_parse(text, NULL, NULL, &u, &e), e, EINVAL, "longer");
	free(text);
}

/* Whatever bytes a file's name has, there is a URI that names exactly it. */
static void any_name(void **state)
{
	(void)state;
	for (int c = 1; c < 256; c++) {
		char name[8] = {'a', (char)c, 'b', (char)c, '\0'};
		SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
		SLU_AUTO(slu_uri_freep) struct slu_uri *v = NULL;
		SLU_AUTO(slu_freep) char *uri = slu_uri_datastore("blob", name);
		SLU_AUTO(slu_freep) char *escaped = slu_uri_escape(name);
		SLU_AUTO(slu_freep) char *typed = slu_asprintf("blob:%s", escaped);
		SLU_AUTO(slu_freep) char *plain = NULL;

		if (c == '/')
			continue;
		assert_int_equal(slu_uri_parse(uri, NULL, NULL, &u, NULL), 0);
		assert_false(slu_glob_is(u->path));
		plain = slu_glob_unescape(u->path, strlen(u->path));
		assert_string_equal(plain, name);
		assert_int_equal(slu_uri_parse(typed, fuzz_is_store, NULL, &v, NULL), 0);
		assert_string_equal(v->path, u->path);
	}
}

static uint64_t seed = 1;

static uint32_t next_random(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33);
}

/* A fixed sequence of small changes of every corpus file. */
static void replay_file(int dirfd, const char *name)
{
	static const char bytes[] = "/\\%*?[]{},!:@.2AaFf- \n\xff";
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 16);
	uint8_t work[4096];

	assert_int_equal(slu_buf_read_at(&b, dirfd, name), 0);
	assert_true(b.len < sizeof(work) - 16);
	fuzz_uri((const uint8_t *)b.p, b.len);
	for (int i = 0; i < 3000; i++) {
		size_t n = b.len;

		memcpy(work, b.p, n);
		for (uint32_t k = next_random() % 6 + 1; k > 0; k--) {
			size_t at = n ? next_random() % n : 0;
			uint8_t c = (uint8_t)bytes[next_random() % (sizeof(bytes) - 1)];

			if (next_random() % 3 == 0 && n) {
				memmove(work + at, work + at + 1, --n - at);
			} else {
				memmove(work + at + 1, work + at, n++ - at);
				work[at] = c;
			}
		}
		fuzz_uri(work, n);
	}
}

static void corpus(void **state)
{
	const char *slash = strrchr(__FILE__, '/');
	char path[4096];
	struct dirent *d;
	size_t n = 0;
	DIR *dir;

	(void)state;
	snprintf(path, sizeof(path), "%.*s/../corpus/uri", (int)(slash - __FILE__), __FILE__);
	dir = opendir(path);
	if (!dir)
		fail_msg("no corpus at %s", path);
	while ((d = readdir(dir)))
		if (d->d_name[0] != '.') {
			replay_file(dirfd(dir), d->d_name);
			n++;
		}
	closedir(dir);
	assert_true(n >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spellings), cmocka_unit_test(scopes),   cmocka_unit_test(refusals),
		cmocka_unit_test(secrets),   cmocka_unit_test(too_long), cmocka_unit_test(any_name),
		cmocka_unit_test(corpus),    cmocka_unit_test(states),
	};

	return cmocka_run_group_tests_name("uri", tests, NULL, NULL);
}
