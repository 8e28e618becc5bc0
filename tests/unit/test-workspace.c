/* SPDX-License-Identifier: Apache-2.0 */
/* The search for a workspace, what is refused in one, making and saving it. */
#include "unit.h"

#include "common/json.h"
#include "common/mem.h"
#include "dataset/workspace.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct unit_dir dir;

static int setup(void **state)
{
	(void)state;
	unit_dir_make(&dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unit_dir_done(&dir);
	return 0;
}

static void put(const char *path, const char *text)
{
	const char *name;
	int fd = slu_path_parent(dir.fd, path, true, SLU_LINKS_NONE, &name);

	assert_true(fd >= 0);
	assert_int_equal(slu_path_write_atomic(fd, name, text, strlen(text)), 0);
	close(fd);
}

static void put_named(const char *path, const char *name)
{
	SLU_AUTO(slu_freep)
	char *text = slu_asprintf("{\"subscription_id\": \"s\", \"resource_group\": \"g\", "
				  "\"workspace_name\": \"%s\"}",
				  name);

	put(path, text);
}

/* The workspace found from the folder `from` is the one named `name`. */
static void expect(const char *from, const char *name, const char *home)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/%s", dir.path, from);
	SLU_AUTO(slu_freep) char *want = slu_asprintf("%s%s%s", dir.path, *home ? "/" : "", home);
	struct slu_err e = {0};

	if (slu_workspace_find(path, &w, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(w->name, name);
	assert_string_equal(w->dir, want);
	assert_int_equal(w->config_path[0], '/');
}

/* Each pair goes all the way up before the next one is tried. */
static void order(void **state)
{
	(void)state;
	assert_int_equal(slu_path_mkdirs(dir.fd, "a/b/c", 0755), 0);
	put_named("a/b/c/project.json", "six");
	expect("a/b/c", "six", "a/b/c");
	put_named("a/b/config.json", "five");
	expect("a/b/c", "five", "a/b");
	put_named("a/b/c/config.json", "five-near");
	expect("a/b/c", "five-near", "a/b/c");
	put_named("a/b/aml_config/project.json", "four");
	expect("a/b/c", "four", "a/b");
	put_named("a/aml_config/config.json", "three");
	expect("a/b/c", "three", "a");
	put_named("a/b/c/.azureml/project.json", "two");
	expect("a/b/c", "two", "a/b/c");
	put_named(".azureml/config.json", "one");
	expect("a/b/c", "one", "");
	expect("", "one", "");
	/* a file is used as it is */
	expect("a/b/config.json", "five", "a/b");
	expect("a/b/c/.azureml/project.json", "two", "a/b/c");
}

static void from_cwd(void **state)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	int old = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct slu_err e = {0};

	(void)state;
	put_named("x/config.json", "here");
	assert_int_equal(slu_path_mkdirs(dir.fd, "x/y", 0755), 0);
	assert_int_equal(fchdir(dir.fd), 0);
	assert_int_equal(chdir("x/y"), 0);
	assert_int_equal(slu_workspace_find(NULL, &w, &e), 0);
	assert_string_equal(w->name, "here");
	assert_int_equal(fchdir(old), 0);
	close(old);
}

static int find(const char *path, struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	SLU_AUTO(slu_freep) char *full = slu_asprintf("%s/%s", dir.path, path);

	return slu_workspace_find(full, &w, e);
}

static void refusals(void **state)
{
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_path_mkdirs(dir.fd, "empty", 0755), 0);
	/* (a config.json above the temporary folder would be found: none is expected) */
	assert_failed(find("empty", &e), e, ENOENT, "sluice init");
	assert_contains(e.msg, dir.path);
	assert_failed(find("absent", &e), e, ENOENT, "absent");
	put("config.json", "{\n  \"subscription_id\": \"s\",\n  \"oops\n}");
	assert_failed(find("", &e), e, EBADMSG, "config.json:3:");
	put("config.json", "[]");
	assert_failed(find("", &e), e, EINVAL, "JSON object");
	put("config.json", "{\"subscription_id\": \"s\", \"resource_group\": 3, "
			   "\"workspace_name\": \"w\"}");
	assert_failed(find("", &e), e, EINVAL, "\"resource_group\"");
	put("config.json", "{\"subscription_id\": \"s\", \"resource_group\": \"\", "
			   "\"workspace_name\": \"w\"}");
	assert_failed(find("", &e), e, EINVAL, "\"resource_group\"");
	put("config.json", "{\"subscription_id\": \"s\", \"resource_group\": \"g\", "
			   "\"workspace_name\": \"w\", \"datastores\": []}");
	assert_failed(find("", &e), e, EINVAL, "\"datastores\" has to be an object");
	put("config.json", "");
	assert_int_equal(find("", &e), -EBADMSG);
}

static void scope(void **state)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	struct slu_err e = {0};

	(void)state;
	put("config.json",
	    "{\"Scope\": \"/subscriptions/S/resourceGroups/R/providers/P/workspaces/W\"}");
	assert_int_equal(slu_workspace_find(dir.path, &w, &e), 0);
	assert_string_equal(w->subscription_id, "S");
	assert_string_equal(w->resource_group, "R");
	assert_string_equal(w->name, "W");
	put("config.json", "{\"Scope\": \"/subscriptions/S\"}");
	assert_failed(find("", &e), e, EINVAL, "Scope");
}

static void init(void **state)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	SLU_AUTO(slu_freep) char *at = slu_asprintf("%s/new/folder", dir.path);
	SLU_AUTO(slu_freep) char *config = NULL;
	char *again = NULL;
	struct slu_err e = {0};
	struct stat st;
	mode_t old = umask(077);

	(void)state;
	assert_int_equal(slu_workspace_init(at, NULL, &config, &e), 0);
	umask(old);
	assert_int_equal(stat(config, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(slu_workspace_find(at, &w, &e), 0);
	assert_string_equal(w->name, "folder");
	assert_string_equal(w->subscription_id, "local");
	assert_string_equal(w->resource_group, "local");
	assert_string_equal(slu_json_str(w->config, "root"), ".sluice/root");
	assert_string_equal(slu_json_str(w->config, "default_datastore"), "workspaceblobstore");
	struct json_t *blob =
		slu_json_get(slu_json_get(w->config, "datastores"), "workspaceblobstore");

	assert_string_equal(slu_json_str(blob, "type"), "local");
	assert_string_equal(slu_json_str(blob, "path"), ".sluice/workspaceblobstore");
	assert_int_equal(fstatat(dir.fd, "new/folder/.sluice/workspaceblobstore", &st, 0), 0);
	assert_failed(slu_workspace_init(at, "x", &again, &e), e, EEXIST, "exists already");
	assert_null(again);

	SLU_AUTO(slu_freep) char *other = slu_asprintf("%s/other", dir.path);

	put_named("other/.azureml/config.json", "shadow");
	assert_failed(slu_workspace_init(other, "x", &again, &e), e, EEXIST, ".azureml");
	assert_failed(slu_workspace_init(dir.path, "a\nb", &again, &e), e, EINVAL, "name");
	put("file", "x");
	SLU_AUTO(slu_freep) char *file = slu_asprintf("%s/file/x", dir.path);
	assert_failed(slu_workspace_init(file, "x", &again, &e), e, ENOTDIR, "file");
}

/* Nothing but config.json and .sluice is left behind. */
static void assert_tidy(const char *folder)
{
	SLU_AUTO(slu_closedirp) DIR *d = opendir(folder);
	struct dirent *x;

	assert_non_null(d);
	while ((x = readdir(d)))
		if (x->d_name[0] == '.' && strstr(x->d_name, "config"))
			fail_msg("%s was left behind", x->d_name);
}

static void save(void **state)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *a = NULL;
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *b = NULL;
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *c = NULL;
	SLU_AUTO(slu_freep) char *config = NULL;
	struct slu_err e = {0};
	struct stat st;

	(void)state;
	assert_int_equal(slu_workspace_init(dir.path, "w", &config, &e), 0);
	assert_int_equal(chmod(config, 0640), 0);
	assert_int_equal(slu_workspace_find(config, &a, &e), 0);
	assert_int_equal(slu_workspace_find(config, &b, &e), 0);
	assert_int_equal(slu_json_set_str(a->config, "default_datastore", "x"), 0);
	assert_int_equal(slu_workspace_save(a, &e), 0);
	assert_int_equal(slu_json_set_str(a->config, "default_compute", "y"), 0);
	assert_int_equal(slu_workspace_save(a, &e), 0);
	assert_failed(slu_workspace_save(b, &e), e, ESTALE, "changed by someone else");
	assert_int_equal(slu_workspace_find(config, &c, &e), 0);
	assert_string_equal(slu_json_str(c->config, "default_datastore"), "x");
	assert_string_equal(slu_json_str(c->config, "default_compute"), "y");
	assert_int_equal(stat(config, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_tidy(dir.path);
}

static void save_through_link(void **state)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	SLU_AUTO(slu_freep) char *config = NULL;
	struct slu_err e = {0};
	struct stat st;

	(void)state;
	assert_int_equal(slu_workspace_init(dir.path, "w", &config, &e), 0);
	assert_int_equal(renameat(dir.fd, "config.json", dir.fd, "real.json"), 0);
	assert_int_equal(symlinkat("real.json", dir.fd, "config.json"), 0);
	assert_int_equal(slu_workspace_find(dir.path, &w, &e), 0);
	assert_int_equal(slu_json_set_str(w->config, "default_compute", "z"), 0);
	assert_int_equal(slu_workspace_save(w, &e), 0);
	assert_int_equal(fstatat(dir.fd, "config.json", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISLNK(st.st_mode));
	slu_workspace_free(slu_take(w));
	assert_int_equal(slu_workspace_find(dir.path, &w, &e), 0);
	assert_string_equal(slu_json_str(w->config, "default_compute"), "z");
}

enum { WRITERS = 6, ROUNDS = 15 };

/* Adds its keys, beginning anew whenever another one was faster. */
static void *writer(void *arg)
{
	intptr_t id = (intptr_t)arg;

	for (int i = 0; i < ROUNDS;) {
		SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
		SLU_AUTO(slu_freep) char *key = slu_asprintf("key-%d-%d", (int)id, i);
		struct slu_err e = {0};

		if (slu_workspace_find(dir.path, &w, &e) < 0 ||
		    slu_json_set_int(w->config, key, i) < 0)
			return (void *)1;
		int r = slu_workspace_save(w, &e);

		if (r < 0 && r != -ESTALE)
			return (void *)1;
		i += r == 0;
	}
	return NULL;
}

/* Many writers at once: every change of each is there in the end. */
static void writers(void **state)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	SLU_AUTO(slu_freep) char *config = NULL;
	struct slu_err e = {0};
	pthread_t t[WRITERS];

	(void)state;
	assert_int_equal(slu_workspace_init(dir.path, "w", &config, &e), 0);
	for (intptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, writer, (void *)i), 0);
	for (int i = 0; i < WRITERS; i++) {
		void *rc = NULL;

		pthread_join(t[i], &rc);
		assert_null(rc);
	}
	assert_int_equal(slu_workspace_find(dir.path, &w, &e), 0);
	for (int i = 0; i < WRITERS; i++)
		for (int k = 0; k < ROUNDS; k++) {
			SLU_AUTO(slu_freep) char *key = slu_asprintf("key-%d-%d", i, k);

			assert_non_null(slu_json_get(w->config, key));
		}
	assert_tidy(dir.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(order, setup, teardown),
		cmocka_unit_test_setup_teardown(from_cwd, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(scope, setup, teardown),
		cmocka_unit_test_setup_teardown(init, setup, teardown),
		cmocka_unit_test_setup_teardown(save, setup, teardown),
		cmocka_unit_test_setup_teardown(save_through_link, setup, teardown),
		cmocka_unit_test_setup_teardown(writers, setup, teardown),
	};

	return cmocka_run_group_tests_name("workspace", tests, NULL, NULL);
}
