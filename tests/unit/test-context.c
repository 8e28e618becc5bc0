/* SPDX-License-Identifier: Apache-2.0 */
/* Stores by name and by path, where references lead, the root, and that nothing is made before it is
 * wanted. */
#include "dataset.h"

#include "common/json.h"
#include "dataset/context_impl.h"
#include "fs/walk.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>

static struct space w;

static int setup(void **state)
{
	(void)state;
	space_make(&w);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	space_done(&w);
	return 0;
}

/* config.json with this text behind the three keys, opened anew. */
static void reopen(const char *more)
{
	SLU_AUTO(slu_freep)
	char *text = slu_asprintf("{\"subscription_id\": \"S\", \"resource_group\": \"G\", "
				  "\"workspace_name\": \"W\"%s%s}",
				  *more ? ", " : "", more);

	space_write(&w, "config.json", text);
	slu_context_free(w.s);
	w.s = space_context(w.dir.path);
}

static int locate(const char *text, struct slu_store **ret, char **path, char **uri,
		  struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	int r = slu_context_parse(w.s, text, &u, e);

	return r < 0 ? r : slu_context_locate(w.s, u, ret, path, uri, e);
}

static unsigned threads(void)
{
	SLU_AUTO(slu_closedirp) DIR *d = opendir("/proc/self/task");
	unsigned n = 0;

	for (struct dirent *x; d && (x = readdir(d));)
		n += x->d_name[0] != '.';
	return n;
}

static void lazy(void **state)
{
	struct slu_store *store;
	unsigned before = threads();
	struct slu_err e = {0};

	(void)state;
	slu_context_free(w.s);
	w.s = space_context(w.dir.path);
	assert_true(slu_context_is_store(w.s, "workspaceblobstore"));
	assert_int_equal(threads(), before);
	assert_int_equal(slu_context_store(w.s, NULL, &store, &e), 0);
	/* the loop's, one of the pool's, a sanitizer's own: not one for each core */
	assert_true(threads() <= before + 3);
	assert_ptr_equal(slu_context_pool(w.s), slu_context_pool(w.s));
	assert_ptr_equal(slu_context_loops(w.s), slu_context_loops(w.s));
	assert_non_null(slu_context_pool(w.s));
}

static void by_name(void **state)
{
	struct slu_store *a, *b, *c;
	struct slu_attr attr;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_context_store(w.s, NULL, &a, &e), 0);
	assert_int_equal(slu_context_store(w.s, "workspaceblobstore", &b, &e), 0);
	assert_int_equal(slu_context_store(w.s, "WorkspaceBlobStore", &c, &e), 0);
	assert_ptr_equal(a, b);
	assert_ptr_equal(a, c);
	space_write(&w, STORE "/x/y.csv", "abc");
	assert_int_equal(slu_store_stat(a, "x/y.csv", &attr, &e), 0);
	assert_int_equal(attr.size, 3);
	assert_failed(slu_context_store(w.s, "nope", &a, &e), e, ENOENT, "'workspaceblobstore'");
	assert_contains(e.msg, "datastore create");
}

static void entries(void **state)
{
	struct slu_store *store;
	struct slu_err e = {0};

	(void)state;
	reopen("\"datastores\": {"
	       "\"blob\": {\"type\": \"azure_blob\", \"account_name\": \"acct\", "
	       "\"container_name\": \"cont\", \"credential\": \"az_cli\"},"
	       "\"bad\": {\"type\": \"local\"},"
	       "\"key\": {\"type\": \"azure_blob\", \"account_name\": \"acct\", "
	       "\"container_name\": \"cont\", \"account_key\": \"hunter2\"},"
	       "\"gone\": {\"type\": \"local\", \"path\": \"/nonexistent-sluice/x\"},"
	       "\"own\": {\"type\": \"local\", \"path\": \"data/own\"}}");
	/* nobody is asked before something is done with it */
	assert_int_equal(slu_context_store(w.s, "blob", &store, &e), 0);
	assert_failed(slu_context_store(w.s, "bad", &store, &e), e, EINVAL, "config.json");
	assert_failed(slu_context_store(w.s, "key", &store, &e), e, EINVAL, "env:NAME");
	assert_lacks(e.msg, "hunter2");
	/* an absolute folder is never made: its disk may not be mounted */
	assert_failed(slu_context_store(w.s, "gone", &store, &e), e, ENOENT, "'gone'");
	assert_int_equal(slu_context_store(w.s, "own", &store, &e), 0);
	assert_true(space_has(&w, "data/own"));
	reopen("");
	assert_failed(slu_context_store(w.s, NULL, &store, &e), e, ENOENT, "has none");
}

static void no_workspace(void **state)
{
	struct sluice *s = NULL;
	struct slu_store *store;
	const char *path;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_context_new(NULL, &s, &e), 0);
	assert_null(slu_context_workspace(s));
	assert_null(slu_context_default_store(s));
	assert_false(slu_context_is_store(s, "workspaceblobstore"));
	assert_failed(slu_context_need_workspace(s, &e), e, ENOENT, "sluice init");
	assert_failed(slu_context_store(s, NULL, &store, &e), e, ENOENT, "sluice init");
	assert_failed(slu_context_root(s, &store, &path, &e), e, ENOENT, "sluice init");
	assert_failed(slu_context_local_root(s, &path, &e), e, ENOENT, "sluice init");
	assert_int_equal(slu_context_local(s, w.dir.path, &store, &e), 0);
	slu_context_free(s);
}

static void datastore_places(void **state)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	SLU_AUTO(slu_freep) char *uri = NULL;
	SLU_AUTO(slu_freep) char *plain = NULL;
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	struct slu_store *a, *b;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_context_store(w.s, NULL, &b, &e), 0);
	assert_int_equal(locate("WORKSPACEBLOBSTORE:a/\\*.csv", &a, &path, &uri, &e), 0);
	assert_ptr_equal(a, b);
	assert_string_equal(path, "a/\\*.csv");
	assert_string_equal(uri, "azureml://datastores/workspaceblobstore/paths/a/%2A.csv");
	assert_int_equal(slu_context_parse(w.s, uri, &u, &e), 0);
	assert_int_equal(slu_context_locate_plain(w.s, u, &a, &plain, NULL, &e), 0);
	assert_string_equal(plain, "a/*.csv");
	free(slu_take(path));
	assert_failed(locate("azureml:titanic:1", &a, &path, NULL, &e), e, EINVAL,
		      "a path is needed");
	assert_failed(locate("abfss://c@a.dfs.core.windows.net/x", &a, &path, NULL, &e), e, ENOENT,
		      "abfss://");
	assert_failed(locate("azureml://datastores/nope/paths/x", &a, &path, NULL, &e), e, ENOENT,
		      "'nope'");
	assert_failed(locate("nope:x", &a, &path, NULL, &e), e, ENOENT, "datastore 'nope'");
}

static void scopes(void **state)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	SLU_AUTO(slu_freep) char *uri = NULL;
	struct slu_store *a;
	struct slu_err e = {0};

	(void)state;
	reopen("\"datastores\": {\"st\": {\"type\": \"local\", \"path\": \"st\"}}");
	assert_int_equal(locate("azureml://subscriptions/s/resourcegroups/g/workspaces/w/"
				"datastores/ST/paths/x",
				&a, &path, &uri, &e),
			 0);
	assert_string_equal(uri, "azureml://datastores/st/paths/x");
	free(slu_take(path));
	assert_failed(locate("azureml://subscriptions/s/resourcegroups/g/workspaces/other/"
			     "datastores/st/paths/x",
			     &a, &path, NULL, &e),
		      e, ENOENT, "'other'");
	assert_failed(locate("azureml://registries/r/datastores/st/paths/x", &a, &path, NULL, &e),
		      e, ENOTSUP, "registries");
}

/* text (relative to the workspace's folder) leads to `path` in the store rooted at `root`. */
static void local_place(const char *text, const char *root, const char *path)
{
	SLU_AUTO(slu_freep) char *full = slu_asprintf("%s/%s", w.dir.path, text);
	SLU_AUTO(slu_freep)
	char *folder = slu_asprintf("%s%s%s", w.dir.path, *root ? "/" : "", root);
	SLU_AUTO(slu_freep) char *is = NULL;
	struct slu_store *a, *b;
	struct slu_err e = {0};

	assert_int_equal(locate(full, &a, &is, NULL, &e), 0);
	assert_int_equal(slu_context_local(w.s, folder, &b, &e), 0);
	assert_ptr_equal(a, b);
	assert_string_equal(is, path);
}

static void local_places(void **state)
{
	SLU_AUTO(slu_freep) char *uri = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	SLU_AUTO(slu_freep) char *text = slu_asprintf("%s/d/x y/[0-9]*", w.dir.path);
	SLU_AUTO(slu_freep) char *want = slu_asprintf("file://%s/d/x%%20y/[0-9]*", w.dir.path);
	struct slu_store *a;
	struct slu_err e = {0};

	(void)state;
	space_write(&w, "d/sub/f.csv", "1");
	space_write(&w, "d/we[i]rd", "1");
	local_place("d", "d", "");
	local_place("d/", "d", "");
	local_place("d/sub/f.csv", "d/sub", "f.csv");
	local_place("d/sub/../sub/./f.csv", "d/sub", "f.csv");
	local_place("d/sub/*.csv", "d/sub", "*.csv");
	local_place("d/**/*.csv", "d", "**/*.csv");
	local_place("d/s*/f.csv", "d", "s*/f.csv");
	local_place("d/absent/x.csv", "d", "absent/x.csv");
	local_place("d/absent/*.csv", "d", "absent/*.csv");
	local_place("d/we\\[i\\]rd", "d", "we\\[i\\]rd");
	local_place("d/sub/f.csv/below", "d/sub", "f.csv/below");
	assert_int_equal(locate(text, &a, &path, &uri, &e), 0);
	assert_string_equal(uri, want);
	free(slu_take(path));
	assert_failed(locate("/tmp/*/../x", &a, &path, NULL, &e), e, EINVAL, "'..'");
}

/* What a link leads out to is not the folder's. */
static void links(void **state)
{
	SLU_AUTO(slu_freep) char *text = slu_asprintf("%s/d", w.dir.path);
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_store *a;
	struct slu_attr attr;
	struct slu_err e = {0};

	(void)state;
	space_write(&w, "d/in/f", "1");
	space_write(&w, "secret", "1");
	assert_int_equal(symlinkat("in/f", w.dir.fd, "d/inside"), 0);
	assert_int_equal(symlinkat("../secret", w.dir.fd, "d/outside"), 0);
	assert_int_equal(locate(text, &a, &path, NULL, &e), 0);
	assert_int_equal(slu_store_stat(a, "inside", &attr, &e), 0);
	assert_int_equal(slu_store_stat(a, "outside", &attr, &e), -EXDEV);
}

static void root(void **state)
{
	SLU_AUTO(slu_freep) char *want = slu_asprintf("%s/.sluice/root", w.dir.path);
	SLU_AUTO(slu_freep) char *deep = slu_asprintf("%s/st/reg/x", w.dir.path);
	struct slu_store *a, *b;
	const char *path;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_context_root(w.s, &a, &path, &e), 0);
	assert_string_equal(path, "");
	assert_int_equal(slu_store_put(a, "probe", "x", 1, SLU_OPF_ABSENT, NULL, &e), 0);
	assert_true(space_has(&w, ROOT "/probe"));
	assert_int_equal(slu_context_local_root(w.s, &path, &e), 0);
	assert_string_equal(path, want);
	/* absent: the default; in a datastore: its path */
	reopen("");
	assert_int_equal(slu_context_root(w.s, &a, &path, &e), 0);
	assert_int_equal(slu_context_local_root(w.s, &path, &e), 0);
	assert_string_equal(path, want);
	reopen("\"root\": \"st:reg/x\", \"datastores\": {\"st\": {\"type\": \"local\", \"path\": "
	       "\"st\"}}");
	assert_int_equal(slu_context_root(w.s, &a, &path, &e), 0);
	assert_int_equal(slu_context_store(w.s, "st", &b, &e), 0);
	assert_ptr_equal(a, b);
	assert_string_equal(path, "reg/x");
	assert_int_equal(slu_context_local_root(w.s, &path, &e), 0);
	assert_string_equal(path, deep);
	assert_true(space_has(&w, "st/reg/x"));
	reopen("\"root\": \"azureml:titanic:1\"");
	assert_failed(slu_context_root(w.s, &a, &path, &e), e, EINVAL, "\"root\"");
	reopen("\"root\": \"x/*\"");
	assert_failed(slu_context_root(w.s, &a, &path, &e), e, EINVAL, "\"root\"");
}

static void state_folder(void **state)
{
	SLU_AUTO(slu_freep) char *want = slu_asprintf("%s/state/sluice/", w.dir.path);
	SLU_AUTO(slu_freep) char *xdg = slu_asprintf("%s/state", w.dir.path);
	const char *path;
	struct slu_err e = {0};
	struct stat st;

	(void)state;
	setenv("XDG_STATE_HOME", xdg, 1);
	reopen("\"root\": \"blob:reg\", \"datastores\": {\"blob\": {\"type\": \"azure_blob\", "
	       "\"account_name\": \"acct\", \"container_name\": \"cont\"}}");
	assert_int_equal(slu_context_local_root(w.s, &path, &e), 0);
	unsetenv("XDG_STATE_HOME");
	assert_int_equal(strncmp(path, want, strlen(want)), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
}

static void program(void **state)
{
	SLU_AUTO(slu_freep) char *fake = slu_asprintf("%s/bin/sluice", w.dir.path);
	SLU_AUTO(slu_freep) char *bin = slu_asprintf("%s/bin", w.dir.path);
	SLU_AUTO(slu_freep) char *old = slu_strdup(getenv("PATH"));
	char *is = NULL;
	struct slu_err e = {0};

	(void)state;
	unsetenv("SLUICE_PROGRAM");
	space_write(&w, "bin/sluice", "#!/bin/sh\n");
	setenv("PATH", "/nonexistent-sluice:bin", 1);
	assert_failed(slu_context_program(&is, &e), e, ENOENT, "SLUICE_PROGRAM");
	setenv("PATH", bin, 1);
	assert_failed(slu_context_program(&is, &e), e, ENOENT, "not on PATH");
	assert_int_equal(chmod(fake, 0755), 0);
	assert_int_equal(slu_context_program(&is, &e), 0);
	assert_string_equal(is, fake);
	free(is);
	setenv("SLUICE_PROGRAM", "/nonexistent-sluice/x", 1);
	assert_failed(slu_context_program(&is, &e), e, ENOENT, "'/nonexistent-sluice/x'");
	setenv("SLUICE_PROGRAM", fake, 1);
	assert_int_equal(slu_context_program(&is, &e), 0);
	assert_string_equal(is, fake);
	free(is);
	unsetenv("SLUICE_PROGRAM");
	setenv("PATH", old, 1);
}

static void faults(void **state)
{
	struct slu_store *store;
	struct slu_attr attr;
	struct slu_err e = {0};

	(void)state;
	setenv("SLUICE_FAULT", "stat:1:EACCES", 1);
	reopen("\"datastores\": {\"st\": {\"type\": \"local\", \"path\": \"st\"}}");
	assert_int_equal(slu_context_store(w.s, "st", &store, &e), 0);
	assert_int_equal(slu_store_stat(store, "", &attr, &e), -EACCES);
	setenv("SLUICE_FAULT", "not a rule", 1);
	reopen("\"datastores\": {\"st\": {\"type\": \"local\", \"path\": \"st\"}}");
	assert_int_equal(slu_context_store(w.s, "st", &store, &e), -EINVAL);
	unsetenv("SLUICE_FAULT");
}

static void many_folders(void **state)
{
	struct slu_store *store, *first = NULL;
	struct slu_err e = {0};
	int r = 0, i;

	(void)state;
	for (i = 0; r == 0 && i < 600; i++) {
		SLU_AUTO(slu_freep) char *name = slu_asprintf("many/%d", i);
		SLU_AUTO(slu_freep) char *abs = slu_asprintf("%s/%s", w.dir.path, name);

		assert_int_equal(slu_path_mkdirs(w.dir.fd, name, 0755), 0);
		r = slu_context_local(w.s, abs, &store, &e);
		if (i == 0)
			first = store;
	}
	assert_failed(r, e, EMFILE, "datastore over their common folder");
	assert_true(i > 500);
	/* those that are open still are */
	SLU_AUTO(slu_freep) char *abs = slu_asprintf("%s/many/0", w.dir.path);
	assert_int_equal(slu_context_local(w.s, abs, &store, &e), 0);
	assert_ptr_equal(store, first);
}

static void *opener(void *arg)
{
	struct slu_store **ret = arg;
	const char *path;
	struct slu_store *r1;

	if (slu_context_store(w.s, NULL, &ret[0], NULL) < 0 ||
	    slu_context_local(w.s, w.dir.path, &ret[1], NULL) < 0 ||
	    slu_context_root(w.s, &r1, &path, NULL) < 0)
		return arg;
	ret[2] = r1;
	ret[3] = (void *)slu_context_pool(w.s);
	return NULL;
}

/* Eight threads at once get the same stores. */
static void threads_at_once(void **state)
{
	struct slu_store *got[8][4];
	pthread_t t[8];

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&t[i], NULL, opener, got[i]), 0);
	for (int i = 0; i < 8; i++) {
		void *bad;

		pthread_join(t[i], &bad);
		assert_null(bad);
		assert_memory_equal(got[i], got[0], sizeof(got[0]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lazy, setup, teardown),
		cmocka_unit_test_setup_teardown(by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(entries, setup, teardown),
		cmocka_unit_test_setup_teardown(no_workspace, setup, teardown),
		cmocka_unit_test_setup_teardown(datastore_places, setup, teardown),
		cmocka_unit_test_setup_teardown(scopes, setup, teardown),
		cmocka_unit_test_setup_teardown(local_places, setup, teardown),
		cmocka_unit_test_setup_teardown(links, setup, teardown),
		cmocka_unit_test_setup_teardown(root, setup, teardown),
		cmocka_unit_test_setup_teardown(state_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(program, setup, teardown),
		cmocka_unit_test_setup_teardown(faults, setup, teardown),
		cmocka_unit_test_setup_teardown(many_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(threads_at_once, setup, teardown),
	};

	return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}
