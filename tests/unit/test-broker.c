/* SPDX-License-Identifier: Apache-2.0 */
/* The broker of a step: who is answered, what, and what is refused. */
#include "tests/unit/dataset.h"

#include "common/buf.h"
#include "common/str.h"
#include "dataset/broker_client.h"
#include "fs/view.h"
#include "include/sluice.h"
#include "job/broker.h"
#include "job/run.h"
#include "job/task.h"

#include <pthread.h>

struct served {
	struct space w;
	struct slu_run *run;
	struct slu_broker *broker;
	char token[SLU_BROKER_TOKEN];
	char endpoint[512];
};

static void serve(struct served *s)
{
	struct json_t *doc = slu_json_object();
	struct slu_err e = {0};

	space_make(&s->w);
	slu_json_set_str(doc, "run", "r");
	if (slu_run_make(s->w.s, "r", doc, &s->run, &e) < 0 || slu_run_commit(s->run, &e) < 0 ||
	    slu_broker_start(s->run, s->token, &s->broker, &e) < 0)
		fail_msg("%s", e.msg);
	snprintf(s->endpoint, sizeof s->endpoint, "unix:%s/" SLU_BROKER_SOCKET, s->run->dir);
	setenv("AZUREML_SERVICE_ENDPOINT", s->endpoint, 1);
	setenv("AZUREML_RUN_TOKEN", s->token, 1);
	space_write(&s->w, STORE "/in/f.csv", "a,b\n");
}

static void unserve(struct served *s)
{
	slu_broker_stop(s->broker);
	assert_false(space_has(&s->w, ROOT "/runs/r/" SLU_BROKER_SOCKET));
	unsetenv("AZUREML_SERVICE_ENDPOINT");
	unsetenv("AZUREML_RUN_TOKEN");
	slu_run_free(s->run);
	space_done(&s->w);
}

static void test_ping(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *a = NULL;
	struct slu_err e = {0};
	struct served s;
	struct stat st;

	(void)state;
	assert_false(slu_broker_here());
	serve(&s);
	assert_true(slu_broker_here());
	assert_true(slu_broker_for("d@1"));
	assert_false(slu_broker_for("./d") || slu_broker_for("/d") || slu_broker_for("file:///d"));
	assert_int_equal(slu_broker_call(slu_broker_request("ping", NULL, NULL), &a, &e), 0);
	assert_string_equal(slu_json_str(a, "run"), "r");
	assert_int_equal(fstatat(s.run->fd, SLU_BROKER_SOCKET, &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	unserve(&s);
}

static void refused(const char *op, const char *ref, const char *mode, int code, const char *why)
{
	struct json_t *a = NULL;
	struct slu_err e = {0};

	assert_failed(slu_broker_call(slu_broker_request(op, ref, mode), &a, &e), e, code, why);
	assert_null(a);
}

static void test_refused(void **state)
{
	struct served s;

	(void)state;
	serve(&s);
	refused("nosuch", "x", NULL, EINVAL, "no operation 'nosuch'");
	refused("show", NULL, NULL, EINVAL, "no 'ref'");
	refused("show", "azureml:nosuch:1", NULL, ENOENT, "nosuch");
	refused("open", "workspaceblobstore:no", "download", ENOENT, "no");
	refused("open", "workspaceblobstore:in", "sideways", EINVAL, "sideways");
	setenv("AZUREML_RUN_TOKEN", "0123", 1);
	refused("ping", NULL, NULL, EACCES, "token");
	s.token[0] = s.token[0] == 'a' ? 'b' : 'a';
	setenv("AZUREML_RUN_TOKEN", s.token, 1);
	refused("show", "x", NULL, EACCES, "token");
	setenv("AZUREML_SERVICE_ENDPOINT", "unix:/no/such/socket", 1);
	refused("ping", NULL, NULL, ENOENT, "/no/such/socket");
	unsetenv("AZUREML_RUN_TOKEN");
	refused("ping", NULL, NULL, ENOENT, "not inside a step");
	unserve(&s);
}

static void test_open(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *a = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_view *v = NULL;
	struct slu_err e = {0};
	struct served s;
	char path[600];

	(void)state;
	serve(&s);
	assert_int_equal(
		slu_broker_call(slu_broker_request("open", "workspaceblobstore:in", "download"), &a,
				&e),
		0);
	snprintf(path, sizeof path, "%s/f.csv", slu_json_str(a, "value"));
	assert_true(slu_starts(path, s.run->dir));
	assert_int_equal(access(path, R_OK), 0);

	assert_int_equal(slu_broker_view("workspaceblobstore:in", "hdfs", &v, &e), 0);
	assert_true(slu_starts(v->where, "file:///"));
	assert_non_null(slu_json_get(v->props, "conf"));
	assert_int_equal(slu_view_wait(v, &e), 0);
	assert_int_equal(slu_view_close(v, &e), 0);
	slu_view_free(v);
	unserve(&s);
}

static void test_show(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *a = NULL;
	struct slu_err e = {0};
	struct served s;

	(void)state;
	serve(&s);
	assert_int_equal(
		slu_broker_call(slu_broker_request("show", "workspaceblobstore:in/f.csv", NULL), &a,
				&e),
		0);
	assert_int_equal(slu_json_int(slu_json_get(a, "data"), "bytes", 0), 4);
	unserve(&s);
}

struct count {
	int n;
};

static int count_entry(void *user, const struct sluice_entry *entry)
{
	struct count *c = user;

	c->n += strcmp(entry->path, "f.csv") == 0 && entry->size == 4;
	return 0;
}

/* The library in a step that has no workspace around it. */
static void test_library(void **state)
{
	static const char spec[] = "{\"path\": \"workspaceblobstore:in\"}";
	SLU_AUTO(slu_json_freep) struct json_t *saved = NULL;
	struct sluice_error why = {0};
	struct count c = {0};
	struct sluice *in = NULL;
	struct sluice_view *v = NULL;
	struct slu_err e = {0};
	struct served s;
	char *text = NULL, *again = NULL, line[200];

	(void)state;
	serve(&s);
	assert_int_equal(sluice_open(NULL, SLUICE_OF_STEP, &in, &why), 0);
	assert_int_equal(sluice_workspace(in, &text, &why), 0);
	assert_contains(text, "workspaceblobstore");
	sluice_free(text);
	assert_int_equal(sluice_data_save(in, spec, &text, &why), 0);
	assert_int_equal(sluice_data_save(in, spec, &again, &why), 0);
	assert_string_equal(text, again);
	assert_int_equal(slu_json_parse(text, strlen(text), "saved", &saved, &e), 0);
	const char *id = slu_json_str(saved, "dataset");
	assert_non_null(id);
	sluice_free(text);
	sluice_free(again);
	assert_int_equal(sluice_list(in, id, SLUICE_RECURSIVE, count_entry, &c, &why), 0);
	assert_int_equal(c.n, 1);
	snprintf(line, sizeof line, "%s/copy", s.run->dir);
	assert_int_equal(sluice_download(in, id, line, NULL, &v, &why), 0);
	sluice_view_free(v);
	snprintf(line, sizeof line, "%s/copy/f.csv", s.run->dir);
	assert_int_equal(access(line, R_OK), 0);
	assert_int_equal(sluice_data_manifest(in, id, &text, &why), 0);
	assert_contains(text, "f.csv");
	sluice_free(text);
	snprintf(line, sizeof line, "{\"name\": \"made\", \"ref\": \"%s\"}", id);
	assert_int_equal(sluice_data_register(in, line, &text, &why), 0);
	sluice_free(text);
	assert_int_equal(sluice_data_search(in, "{}", &text, &why), 0);
	assert_contains(text, "made");
	sluice_free(text);
	assert_int_equal(sluice_data_save(in, "{\"name\": \"x\"}", &text, &why), -EINVAL);
	assert_contains(why.message, "register");
	assert_int_equal(sluice_data_save(in,
					  "{\"path\": \"workspaceblobstore:in\", "
					  "\"rows\": [{\"take\": 1}]}",
					  &text, &why),
			 -EINVAL);
	assert_contains(why.message, "table");
	sluice_close(in);
	unserve(&s);
}

/* Rubbish, a line without end and a line that is too long: the broker lives on. */
static void test_hostile(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *a = NULL;
	SLU_AUTO(slu_buf_done) struct slu_buf line = SLU_BUF(SLU_BROKER_LINE);
	static char big[2 * SLU_BROKER_LINE];
	struct slu_err e = {0};
	struct served s;

	(void)state;
	serve(&s);
	const char *path = s.endpoint + 5;
	int fd = slu_unix_socket(path, false);

	assert_true(fd >= 0);
	assert_int_equal(slu_line_write(fd, "not json"), 0);
	assert_int_equal(slu_line_read(fd, &line), 1);
	assert_contains(line.p, "\"ok\":false");
	assert_int_equal(slu_line_write(fd, "{\"token\": 5}"),
			 0); /* and the connection serves on */
	assert_int_equal(slu_line_read(fd, &line), 1);
	assert_contains(line.p, "token");
	close(fd);

	fd = slu_unix_socket(path, false);
	memset(big, 'x', sizeof big - 1);
	slu_line_write(fd, big);
	assert_true(slu_line_read(fd, &line) <= 0);
	close(fd);

	fd = slu_unix_socket(path, false);
	assert_int_equal(write(fd, "{\"op", 4), 4);
	close(fd);

	int held[40]; /* more than it serves at a time: the rest waits */

	for (int i = 0; i < 40; i++)
		held[i] = slu_unix_socket(path, false);
	for (int i = 0; i < 40; i++)
		if (held[i] >= 0)
			close(held[i]);
	for (int i = 0; i < 1000 && !a; i++)
		slu_broker_call(slu_broker_request("ping", NULL, NULL), &a, &e);
	assert_non_null(a);
	unserve(&s);
}

/* A folder deeper than a socket address is long. */
static void test_long_path(void **state)
{
	struct unit_dir d;
	char path[400], part[101];

	(void)state;
	unit_dir_make(&d);
	memset(part, 'd', 100);
	part[100] = '\0';
	assert_int_equal(mkdirat(d.fd, part, 0700), 0);
	snprintf(path, sizeof path, "%s/%s/sock", d.path, part);
	int l = slu_unix_socket(path, true);

	assert_true(l >= 0);
	assert_int_equal(slu_unix_socket(path, false), -ECONNREFUSED);
	close(l);
	unit_dir_done(&d);
}

struct caller {
	pthread_t thread;
	int rc;
};

static void *call(void *arg)
{
	struct caller *c = arg;
	struct slu_err e = {0};

	for (int i = 0; i < 20 && c->rc == 0; i++) {
		SLU_AUTO(slu_json_freep) struct json_t *a = NULL;

		c->rc = slu_broker_call(
			slu_broker_request("show", "workspaceblobstore:in/f.csv", NULL), &a, &e);
	}
	return NULL;
}

static void test_many(void **state)
{
	struct caller c[24] = {0};
	struct served s;

	(void)state;
	serve(&s);
	for (int i = 0; i < 24; i++)
		assert_int_equal(pthread_create(&c[i].thread, NULL, call, &c[i]), 0);
	for (int i = 0; i < 24; i++) {
		pthread_join(c[i].thread, NULL);
		assert_int_equal(c[i].rc, 0);
	}
	unserve(&s);
}

/* A step's environment has no credentials. */
static void test_env(void **state)
{
	SLU_AUTO(slu_env_freep) struct slu_env *v = NULL;
	struct slu_err e = {0};
	struct space w;
	char *config;

	(void)state;
	space_make(&w);
	slu_context_free(w.s);
	config = space_read(&w, "config.json");
	SLU_AUTO(slu_freep)
	char *more = slu_asprintf(
		"{\"datastores\": {\"b\": {\"type\": \"azure_blob\", \"account_name\": "
		"\"acct\", \"container_name\": \"ccc\", \"credential\": "
		"\"env:MY_KEY\"}}, %s",
		strchr(config, '{') + 1);

	free(config);
	/* "datastores" twice is refused: the first one, ours, stays. */
	char *second = strstr(strstr(more, "datastores") + 10, "\"datastores\"");

	if (second)
		memcpy(second, "\"dataStores\"", 12);
	space_write(&w, "config.json", more);
	w.s = space_context(w.dir.path);
	setenv("MY_KEY", "secret", 1);
	setenv("MY_KEY2", "fine", 1);
	setenv("SLUICE_SECRET", "secret", 1);
	setenv("AZURE_CLIENT_SECRET", "secret", 1);
	setenv("SLUICE_LOG", "info", 1);
	assert_int_equal(slu_env_new(w.s, &v, &e), 0);
	assert_null(slu_env_get(v, "MY_KEY"));
	assert_null(slu_env_get(v, "SLUICE_SECRET"));
	assert_null(slu_env_get(v, "AZURE_CLIENT_SECRET"));
	assert_string_equal(slu_env_get(v, "MY_KEY2"), "fine");
	assert_string_equal(slu_env_get(v, "SLUICE_LOG"), "info");
	assert_non_null(slu_env_get(v, "PATH"));
	assert_int_equal(slu_env_set(v, "MY_KEY2", "new"), 0);
	assert_int_equal(slu_env_set(v, "MY_KEY3", ""), 0);
	assert_string_equal(slu_env_get(v, "MY_KEY2"), "new");
	size_t n = 0;

	for (char *const *p = slu_env_list(v); *p; p++)
		n += slu_starts(*p, "MY_KEY");
	assert_int_equal(n, 2);
	space_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ping),    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_open),    cmocka_unit_test(test_show),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_long_path),
		cmocka_unit_test(test_many),    cmocka_unit_test(test_env),
		cmocka_unit_test(test_library)};

	return cmocka_run_group_tests_name("broker", tests, NULL, NULL);
}
