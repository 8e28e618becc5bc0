/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spark steps by a Livy server, Synapse's included.  The code folder is copied to a place that the cluster reads
 * ("staging" of the compute, else the default datastore), the settings become a batch, and the step's program is this
 * very command, which sends the batch and follows it (livy_batch.c).  Livy puts settings into the arguments of a
 * process, so no secret is sent unless the compute says that it may.
 */
#include "job/task.h"

#include "common/buf.h"
#include "common/jprops.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/spark_conf.h"
#include "dataset/uri.h"
#include "job/compute_session.h"
#include "job/livy.h"
#include "job/upload.h"

#include <errno.h>
#include <string.h>

#define SYNAPSE_PATH "/livyApi/versions/2019-11-01-preview/sparkPools/"
#define SHIPPED_PYTHON "./environment/bin/python"

extern char **environ;

/* --- the entry --- */

/* Whose token is sent: the table of identities of a pool, as credentials (docs/compute.md). */
static int set_identity(const char *name, const struct json_t *entry, struct json_t *o,
			struct slu_err *e)
{
	const struct json_t *v = slu_json_get(entry, "identity");
	const char *type = slu_json_string(v) ? slu_json_string(v) : slu_json_str(v, "type");
	const char *client = slu_json_str(v, "client_id");
	SLU_AUTO(slu_json_freep) struct json_t *c = NULL;

	if (!type || slu_json_get(o, "credential"))
		return 0;
	if (slu_streq(type, "user_identity") || slu_streq(type, "user"))
		return slu_json_set_str(o, "credential", "az_cli") < 0 ? slu_fail_oom(e) : 0;
	if (slu_streq(type, "user_assigned") && !client)
		return slu_fail(
			e, EINVAL,
			"compute '%s': a user_assigned identity is named by its \"client_id\"",
			name);
	if (!slu_streq(type, "user_assigned") && !slu_streq(type, "system_assigned") &&
	    !slu_streq(type, "managed"))
		return slu_fail(e, ENOTSUP,
				"compute '%s': identity '%s' is none that a token can be had for: "
				"use system_assigned, user_assigned or user_identity",
				name, type);
	c = slu_json_object();
	if (slu_json_set_str(c, "type", "managed_identity") < 0 ||
	    slu_json_set_str(c, "client_id", client) < 0 ||
	    slu_json_set(o, "credential", slu_json_ref(c)) < 0)
		return slu_fail_oom(e);
	return 0;
}

/* What the linked service says and the entry does not. */
static int inherit(const struct json_t *service, struct json_t *o)
{
	static const char *const keys[] = {"auth",       "user",     "password",  "token",
					   "credential", "audience", "principal", "keytab",
					   "ca_file",    "log"};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const struct json_t *v = slu_json_get(service, keys[i]);

		if (v && !slu_json_get(o, keys[i]) &&
		    slu_json_set(o, keys[i], slu_json_copy(v)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* What Synapse is like when nobody says otherwise: no log, and our own identity to its own server. */
static int synapse_defaults(struct json_t *o, bool own_server)
{
	if (!slu_json_get(o, "log") && slu_json_set_bool(o, "log", false) < 0)
		return -ENOMEM;
	if (!own_server || slu_json_get(o, "credential") || slu_json_get(o, "auth") ||
	    slu_json_get(o, "token"))
		return 0;
	return slu_json_set_str(o, "credential", "default");
}

static int pool_url(const char *name, const struct json_t *service, const char *pool,
		    struct json_t *o, struct slu_err *e)
{
	const char *endpoint = slu_json_str(service, "endpoint"),
		   *api = slu_json_str(service, "api");
	const char *ws = slu_json_str(service, "workspace");
	bool plain = api && slu_streq(api, "livy");
	SLU_AUTO(slu_freep)
	char *base = endpoint ? slu_strdup(endpoint)
			      : slu_asprintf("https://%s.dev.azuresynapse.net", ws ? ws : "");
	SLU_AUTO(slu_freep) char *url = NULL;

	while (base && slu_ends(base, "/"))
		base[strlen(base) - 1] = '\0';
	if (!plain && !pool)
		return slu_fail(e, EINVAL, "compute '%s' has no \"pool\"", name);
	if (base)
		url = plain ? slu_strdup(base) : slu_asprintf("%s" SYNAPSE_PATH "%s", base, pool);
	if (!url || slu_json_set_str(o, "url", url) < 0 ||
	    (!plain && synapse_defaults(o, !endpoint) < 0))
		return slu_fail_oom(e);
	return 0;
}

/* /subscriptions/S/resourceGroups/G/providers/Microsoft.Synapse/workspaces/W/bigDataPools/P */
static int from_id(const char *name, const char *id, struct json_t *o, struct slu_err *e)
{
	const char *ws = strcasestr(id, "/workspaces/"), *pool = strcasestr(id, "/bigDataPools/");
	SLU_AUTO(slu_json_freep) struct json_t *service = slu_json_object();
	SLU_AUTO(slu_freep) char *ws_name = NULL, *pool_name = NULL;

	if (!ws || !pool || pool < ws)
		return slu_fail(e, EINVAL,
				"compute '%s': \"resource_id\" is no Spark pool "
				"(.../workspaces/WORKSPACE/bigDataPools/POOL)",
				name);
	ws += strlen("/workspaces/");
	pool += strlen("/bigDataPools/");
	ws_name = slu_strndup(ws, strcspn(ws, "/"));
	pool_name = slu_strndup(pool, strcspn(pool, "/"));
	if (!ws_name || !pool_name || slu_json_set_str(service, "workspace", ws_name) < 0)
		return slu_fail_oom(e);
	return pool_url(name, service, pool_name, o, e);
}

static int set_url(const char *name, const struct json_t *entry, const struct json_t *service,
		   struct json_t *o, struct slu_err *e)
{
	const char *id = slu_json_str(entry, "resource_id");

	if (service)
		return pool_url(name, service, slu_json_str(entry, "pool"), o, e);
	if (slu_json_str(entry, "url"))
		return 0;
	return id ? from_id(name, id, o, e)
		  : slu_fail(e, EINVAL,
			     "compute '%s' wants a \"url\", or a \"linked_service\" and a \"pool\"",
			     name);
}

int slu_compute_livy(const struct slu_workspace *w, const char *name, const struct json_t *entry,
		     struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_copy(entry);
	const char *link = slu_json_str(entry, "linked_service");
	const struct json_t *service = NULL;
	int r = slu_compute_session_check(name, entry, e);

	if (r < 0)
		return r;
	if (!o)
		return slu_fail_oom(e);
	if (link && w)
		service = slu_json_get(slu_json_get(w->config, "linked_services"), link);
	if (link && !service)
		return slu_fail(e, ENOENT,
				"compute '%s' names the linked service '%s', which is not in "
				"config.json; `sluice linked-service list` shows those that are",
				name, link);
	if (service && inherit(service, o) < 0)
		return slu_fail_oom(e);
	r = slu_livy_check_secrets("compute", name, o, e);
	if (r == 0)
		r = set_identity(name, entry, o, e);
	if (r == 0)
		r = set_url(name, entry, service, o, e);
	if (r == 0)
		*ret = slu_take(o);
	return r;
}

/* --- the batch --- */

struct batch {
	struct slu_task *t;
	struct slu_store *store; /* staging */
	char *base;              /* folder of this run in it */
	struct slu_jprops conf;
	struct json_t *body;
};

/* Where the cluster reads the code. */
static int find_staging(struct batch *b, struct slu_err *e)
{
	const char *staging = slu_json_str(b->t->compute.livy, "staging");
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	int r;

	if (!staging) {
		r = slu_context_store(b->t->s, NULL, &b->store, e);
	} else if ((r = slu_uri_parse(staging, NULL, NULL, &u, e)) == 0) {
		r = slu_context_locate_plain(b->t->s, u, &b->store, &path, NULL, e);
	}
	if (r < 0)
		return slu_fail_more(e, "the staging place of compute '%s'", b->t->compute.name);
	b->base = slu_asprintf("%s%sazureml/%s", path ? path : "", path && *path ? "/" : "",
			       b->t->run->id);
	return b->base ? 0 : slu_fail_oom(e);
}

/* The URI that Hadoop has for a file of the staged code; anything that is a URI already stays. */
static int staged(struct batch *b, const char *name, char **ret, struct slu_err *e)
{
	size_t n = strcspn(name, "#");
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/code/%.*s", b->base, (int)n, name);
	struct slu_hadoop h = {0};
	int r;

	if (strstr(name, "://")) {
		*ret = slu_strdup(name);
		return *ret ? 0 : slu_fail_oom(e);
	}
	r = path ? slu_store_hadoop(b->store, path, &h, e) : slu_fail_oom(e);
	if (r < 0)
		return r;
	*ret = slu_asprintf("%s%s", h.uri, name + n);
	slu_hadoop_done(&h);
	return *ret ? 0 : slu_fail_oom(e);
}

static int add_files(struct batch *b, const char *key, const struct json_t *list, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *out = slu_json_array();

	for (size_t i = 0; i < slu_json_count(list); i++) {
		SLU_AUTO(slu_freep) char *uri = NULL;
		const char *name = slu_json_string(slu_json_at(list, i));
		int r = name ? staged(b, name, &uri, e)
			     : slu_fail(e, EBADMSG, "'%s' of the step is no list of files", key);

		if (r < 0)
			return r;
		if (slu_json_append(out, slu_json_new_str(uri)) < 0)
			return slu_fail_oom(e);
	}
	return slu_json_count(out) && slu_json_set(b->body, key, slu_json_ref(out)) < 0
		       ? slu_fail_oom(e)
		       : 0;
}

static int add_args(struct batch *b, struct slu_err *e)
{
	const struct slu_subst vars = slu_task_subst(b->t);
	SLU_AUTO(slu_json_freep) struct json_t *out = slu_json_array();
	char **args = NULL;
	int r = 0;

	if (b->t->spec.spark.args)
		r = slu_subst_words(b->t->spec.spark.args, &vars, &args, e);
	for (size_t i = 0; args && args[i] && r == 0; i++)
		r = slu_json_append(out, slu_json_new_str(args[i])) < 0 ? slu_fail_oom(e) : 0;
	slu_words_free(args);
	if (r == 0 && slu_json_set(b->body, "args", slu_json_ref(out)) < 0)
		r = slu_fail_oom(e);
	return r;
}

/* The step's own variables, where a cluster takes them from; none that this process has, since those are its own. */
static int add_variables(struct batch *b, struct slu_err *e)
{
	static const char *const to[] = {"spark.yarn.appMasterEnv.", "spark.executorEnv."};

	if (slu_compute_in_session(&b->t->compute)) /* a session outlives the step */
		return 0;
	for (char *const *p = slu_env_list(b->t->env); *p; p++) {
		size_t n = strcspn(*p, "=");
		SLU_AUTO(slu_freep) char *name = slu_strndup(*p, n);

		if (!name)
			return slu_fail_oom(e);
		if (getenv(name) || slu_streq(name, "PATH") || slu_streq(name, "VIRTUAL_ENV"))
			continue;
		for (size_t i = 0; i < 2; i++) {
			SLU_AUTO(slu_freep) char *key = slu_asprintf("%s%s", to[i], name);

			if (!key || slu_jprops_set(&b->conf, key, *p + n + 1) < 0)
				return slu_fail_oom(e);
		}
	}
	return 0;
}

static int add_conf(struct batch *b, const struct json_t *conf, struct slu_err *e)
{
	for (void *it = slu_json_iter(conf); it; it = slu_json_next(conf, it)) {
		const char *text = slu_json_string(slu_json_iter_value(it));

		if (text && slu_jprops_set(&b->conf, slu_json_iter_key(it), text) < 0)
			return slu_fail_oom(e);
	}
	return 0;
}

static int add_view(struct batch *b, const struct json_t *props, const char *uri, struct slu_err *e)
{
	bool send = slu_json_bool(b->t->compute.livy, "send_secrets", false);
	int r = slu_spark_view(&b->conf, props, uri, e);

	/* "livy": where secrets would be seen; not sent. */
	if (r == 0 && !send && slu_jprops_set(&b->conf, "spark.master", "livy") < 0)
		r = slu_fail_oom(e);
	return r < 0 ? r : slu_spark_secrets(&b->conf, props, e);
}

static int add_views(struct batch *b, struct slu_err *e)
{
	const struct slu_task *t = b->t;
	SLU_AUTO(slu_json_freep) struct json_t *props = NULL;
	struct slu_hadoop h = {0};
	int r = slu_store_hadoop(b->store, b->base, &h, e);

	if (r < 0)
		return r;
	props = slu_hadoop_json(&h);
	r = props ? add_view(b, props, h.uri, e) : slu_fail_oom(e);
	slu_hadoop_done(&h);
	for (size_t i = 0; i < t->spec.nin && r == 0; i++)
		if (t->in[i] && t->in[i]->view)
			r = add_view(b, t->in[i]->view->props, t->in[i]->view->where, e);
	for (size_t i = 0; i < t->spec.nout && r == 0; i++)
		if (t->out[i]->props)
			r = add_view(b, t->out[i]->props, t->out[i]->value, e);
	return r;
}

/* Settings that Livy has words of its own for. */
static const struct {
	const char *property, *word;
	bool number;
} words[] = {
	{"spark.driver.memory", "driverMemory", false},
	{"spark.driver.cores", "driverCores", true},
	{"spark.executor.memory", "executorMemory", false},
	{"spark.executor.cores", "executorCores", true},
	{"spark.executor.instances", "numExecutors", true},
};

static int put_property(struct batch *b, struct json_t *conf, const struct slu_jprop *p)
{
	uint64_t n;

	if (slu_streq(p->key, "spark.master") || slu_streq(p->key, "spark.submit.deployMode"))
		return 0; /* the server's own */
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (!slu_streq(words[i].property, p->key))
			continue;
		if (!words[i].number)
			return slu_json_set_str(b->body, words[i].word, p->value);
		if (slu_u64(p->value, &n))
			return slu_json_set_int(b->body, words[i].word, (int64_t)n);
	}
	return slu_json_set_str(conf, p->key, p->value);
}

static int put_conf(struct batch *b, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *conf = slu_json_object();

	for (size_t i = 0; i < b->conf.all.n; i++)
		if (!conf || put_property(b, conf, &b->conf.all.p[i]) < 0)
			return slu_fail_oom(e);
	return slu_json_set(b->body, "conf", slu_json_ref(conf)) < 0 ? slu_fail_oom(e) : 0;
}

static int add_environment(struct batch *b, struct slu_err *e)
{
	const char *archive = b->t->environment.archive;
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/env.tar.gz", b->base), *name = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *list = NULL;
	struct slu_hadoop h = {0};
	int r;

	if (!archive)
		return 0;
	r = path ? slu_upload_file(archive, b->store, path, e) : slu_fail_oom(e);
	if (r < 0 || (r = slu_store_hadoop(b->store, path, &h, e)) < 0)
		return r;
	name = slu_asprintf("%s#environment", h.uri);
	slu_hadoop_done(&h);
	list = slu_json_get(b->body, "archives") ? slu_json_ref(slu_json_get(b->body, "archives"))
						 : slu_json_array();
	if (!name || slu_json_append(list, slu_json_new_str(name)) < 0 ||
	    slu_json_set(b->body, "archives", slu_json_ref(list)) < 0 ||
	    slu_jprops_set(&b->conf, "spark.yarn.appMasterEnv.PYSPARK_PYTHON", SHIPPED_PYTHON) <
		    0 ||
	    slu_jprops_set(&b->conf, "spark.executorEnv.PYSPARK_PYTHON", SHIPPED_PYTHON) < 0)
		return slu_fail_oom(e);
	return 0;
}

static int add_entry(struct batch *b, struct slu_err *e)
{
	const struct slu_spec_spark *sp = &b->t->spec.spark;
	const struct json_t *livy = b->t->compute.livy;
	SLU_AUTO(slu_freep) char *file = NULL;
	int r = staged(b, sp->entry, &file, e);

	if (r < 0)
		return r;
	if (slu_json_set_str(b->body, "file", file) < 0 ||
	    slu_json_set_str(b->body, "name", b->t->run->id) < 0 ||
	    slu_json_set_str(b->body, "className", sp->class_name) < 0 ||
	    slu_json_set_str(b->body, "proxyUser", slu_json_str(livy, "proxy_user")) < 0 ||
	    slu_json_set_str(b->body, "queue", slu_json_str(livy, "queue")) < 0)
		return slu_fail_oom(e);
	if ((r = add_args(b, e)) < 0 || (r = add_files(b, "pyFiles", sp->py_files, e)) < 0 ||
	    (r = add_files(b, "jars", sp->jars, e)) < 0 ||
	    (r = add_files(b, "files", sp->files, e)) < 0)
		return r;
	return add_files(b, "archives", sp->archives, e);
}

static int write_request(struct batch *b, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object(), *what = NULL;
	bool session = slu_compute_in_session(&b->t->compute);
	char *text = NULL;
	int r = session ? slu_compute_session(b->t, b->body, &what, e) : 0;

	if (r < 0)
		return r;
	if (!session)
		what = slu_json_ref(b->body);
	if (slu_json_set_str(o, "compute", b->t->compute.name) < 0 ||
	    slu_json_set(o, session ? "session" : "body", slu_json_ref(what)) < 0 ||
	    !(text = slu_json_text(o, SLU_JSON_PRETTY)))
		return slu_fail_oom(e);
	r = slu_path_write_atomic(b->t->run->fd, SLU_LIVY_REQUEST, text, strlen(text));
	explicit_bzero(text, strlen(text));
	free(text);
	return r < 0 ? slu_fail_sys(e, -r, "cannot write '%s/" SLU_LIVY_REQUEST "'", b->t->run->dir)
		     : 0;
}

static int make(struct batch *b, struct slu_err *e)
{
	struct slu_task *t = b->t;
	SLU_AUTO(slu_freep) char *code = NULL;
	const char *marks;
	int r;

	b->body = slu_json_object();
	if (!b->body)
		return slu_fail_oom(e);
	if ((r = find_staging(b, e)) < 0)
		return r;
	code = slu_asprintf("%s/code", b->base);
	if (!code)
		return slu_fail_oom(e);
	if ((r = slu_upload_tree(t->cwd, b->store, code, e)) < 0 || (r = add_entry(b, e)) < 0 ||
	    (r = add_variables(b, e)) < 0 || (r = add_views(b, e)) < 0 ||
	    (r = add_conf(b, t->compute.conf, e)) < 0 ||
	    (r = add_conf(b, t->spec.spark.conf, e)) < 0 || (r = add_environment(b, e)) < 0 ||
	    (r = put_conf(b, e)) < 0)
		return r;
	marks = slu_jprops_get(&b->conf,
			       "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs");
	t->unmarked = marks && slu_streq(marks, "false");
	return write_request(b, e);
}

/* The program is ours, and reads its credentials from where config.json says: also from this process's variables, which
 * no step sees otherwise. */
static int own_program(struct slu_task *t, struct slu_err *e)
{
	const struct slu_workspace *w = slu_context_workspace(t->s);
	const char *const rest[] = {"job",          "batch", "--workspace",
				    w->config_path, "--",    t->run->id};
	size_t n = sizeof rest / sizeof *rest;
	int r;

	t->argv = slu_calloc(n + 2, sizeof(*t->argv));
	if (!t->argv)
		return slu_fail_oom(e);
	if ((r = slu_context_program(&t->argv[0], e)) < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (!(t->argv[i + 1] = slu_strdup(rest[i])))
			return slu_fail_oom(e);
	for (char **p = environ; *p; p++) {
		size_t len = strcspn(*p, "=");
		SLU_AUTO(slu_freep) char *name = slu_strndup(*p, len);

		if (!name || ((*p)[len] && slu_env_set(t->env, name, *p + len + 1) < 0))
			return slu_fail_oom(e);
	}
	return slu_env_set(t->env, "AZUREML_RUN_ID", t->run->id) < 0 ? slu_fail_oom(e) : 0;
}

int slu_compute_batch(struct slu_task *t, struct slu_err *e)
{
	struct batch b = {.t = t};
	int r = make(&b, e);

	slu_jprops_done(&b.conf);
	slu_json_free(b.body);
	free(b.base);
	return r < 0 ? r : own_program(t, e);
}
