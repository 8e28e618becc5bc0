/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spark steps through a real spark-submit.  Settings go into a properties file of mode 0600, never into
 * arguments; those of the installation's spark-defaults.conf come first, so that ours win.
 */
#include "job/task.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "dataset/spark_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { CONF_MAX = 1 << 20 };

#define CONF_FILE "spark.properties"
#define SHIPPED_PYTHON "./environment/bin/python"

struct spark {
	struct slu_task *t;
	char *home;   /* NULL: spark-submit finds it */
	char *submit; /* absolute path */
	char *python;
	bool local; /* the master is this machine */
	struct slu_jprops conf;
};

static void spark_done(struct spark *s)
{
	free(s->home);
	free(s->submit);
	free(s->python);
	slu_jprops_done(&s->conf);
}

/* --- finding spark-submit --- */

static char *in_home(const struct slu_task *t, const char *home)
{
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/bin/spark-submit", home);

	return path ? slu_compute_program(t, path) : NULL;
}

/* pyspark as pip installs it: <prefix>/bin/spark-submit, or only the package below lib/. */
static char *beside_python(struct spark *s)
{
	static const char *const forms[] = {"lib*/python3*/site-packages/pyspark",
					    "lib*/python3*/dist-packages/pyspark",
					    "local/lib/python3*/dist-packages/pyspark"};
	/* An environment changes packages, never the Spark (azureml.md 5.2). */
	const char *python = s->t->base_python ? s->t->base_python : s->python;
	const char *slash = strrchr(python, '/');
	SLU_AUTO(slu_freep) char *prefix = slu_strndup(python, (size_t)(slash - python));
	char *up = prefix ? strrchr(prefix, '/') : NULL;

	if (!up)
		return NULL;
	*up = '\0';
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		SLU_AUTO(slu_freep) char *pattern = slu_asprintf("%s/%s", prefix, forms[i]);
		char *found = NULL;
		glob_t g;

		if (!pattern || glob(pattern, 0, NULL, &g) != 0)
			continue;
		for (size_t k = 0; k < g.gl_pathc && !found; k++) {
			found = in_home(s->t, g.gl_pathv[k]);
			if (found)
				s->home = slu_strdup(g.gl_pathv[k]);
		}
		globfree(&g);
		if (found)
			return found;
	}
	return NULL;
}

static int find_python(struct spark *s, struct slu_err *e)
{
	const struct slu_task *t = s->t;
	const char *user = slu_env_get(t->env, "PYSPARK_PYTHON");

	if (t->compute.python) {
		s->python = slu_compute_program(t, t->compute.python);
		if (!s->python)
			return slu_fail(e, ENOENT,
					"compute '%s' has no Python at '%s'; correct \"python\" in "
					"config.json",
					t->compute.name, t->compute.python);
		return 0;
	}
	s->python = user ? slu_compute_program(t, user) : NULL;
	if (!s->python)
		s->python = slu_compute_program(t, "python3");
	return s->python ? 0
			 : slu_fail(e, ENOENT,
				    "there is no python3 on PATH, which Spark steps need; "
				    "install it, or name one as \"python\" of the compute");
}

static int find_submit(struct spark *s, struct slu_err *e)
{
	const struct slu_task *t = s->t;
	const char *home = t->compute.spark_home;
	const char *env = slu_env_get(t->env, "SPARK_HOME");

	if (home) {
		s->submit = in_home(t, home);
		if (!s->submit)
			return slu_fail(e, ENOENT,
					"compute '%s': there is no bin/spark-submit in its "
					"\"spark_home\", '%s'",
					t->compute.name, home);
	} else if (env && *env) {
		s->submit = in_home(t, env);
		home = env;
	}
	if (s->submit) {
		s->home = slu_strdup(home);
		return s->home ? 0 : slu_fail_oom(e);
	}
	s->submit = beside_python(s);
	if (!s->submit)
		s->submit = slu_compute_program(t, "spark-submit");
	return s->submit
		       ? 0
		       : slu_fail(e, ENOENT,
				  "there is no spark-submit: set SPARK_HOME, or \"spark_home\" of "
				  "compute '%s' in config.json, or install it with `%s -m pip "
				  "install pyspark`",
				  t->compute.name, s->python);
}

static int find_java(const struct slu_task *t, struct slu_err *e)
{
	const char *home = slu_env_get(t->env, "JAVA_HOME");
	SLU_AUTO(slu_freep) char *in = home && *home ? slu_asprintf("%s/bin/java", home) : NULL;
	SLU_AUTO(slu_freep) char *found = slu_compute_program(t, in ? in : "java");

	if (found)
		return 0;
	if (in)
		return slu_fail(e, ENOENT,
				"JAVA_HOME is '%s', which has no bin/java; Spark needs one", home);
	return slu_fail(e, ENOENT,
			"there is no java on PATH, which Spark needs; install a Java "
			"runtime (17), or set JAVA_HOME");
}

/* --- properties --- */

static int set(struct spark *s, const char *key, const char *value, struct slu_err *e)
{
	return slu_jprops_set(&s->conf, key, value) < 0 ? slu_fail_oom(e) : 0;
}

/* What the installation says counts more. */
static int set_default(struct spark *s, const char *key, const char *value, struct slu_err *e)
{
	return slu_jprops_get(&s->conf, key) ? 0 : set(s, key, value, e);
}

/* Files of the code folder by their absolute path, comma-joined, after what is there already. */
static int set_files(struct spark *s, const char *key, const struct json_t *list, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(CONF_MAX);
	const char *old = slu_jprops_get(&s->conf, key);

	if (slu_json_count(list) == 0)
		return 0;
	slu_buf_str(&b, old ? old : "");
	for (size_t i = 0; i < slu_json_count(list); i++) {
		const char *name = slu_json_string(slu_json_at(list, i));

		slu_buf_str(&b, b.len ? "," : "");
		if (name[0] != '/' && !strstr(name, "://"))
			slu_buf_fmt(&b, "%s/", s->t->cwd);
		slu_buf_str(&b, name);
	}
	return slu_buf_err(&b) ? slu_fail_oom(e) : set(s, key, b.p, e);
}

static int set_all(struct spark *s, const struct json_t *conf, struct slu_err *e)
{
	int r = 0;

	for (void *it = slu_json_iter(conf); it && r == 0; it = slu_json_next(conf, it))
		if (slu_json_string(slu_json_iter_value(it)))
			r = set(s, slu_json_iter_key(it), slu_json_string(slu_json_iter_value(it)),
				e);
	return r;
}

static int set_defaults(struct spark *s, struct slu_err *e)
{
	const struct slu_task *t = s->t;
	SLU_AUTO(slu_freep) char *tmp = slu_asprintf("%s/tmp", t->run->dir);
	int r = slu_path_mkdirs(t->run->fd, "tmp", 0700);

	if (r < 0 || !tmp)
		return slu_fail_sys(e, r < 0 ? -r : ENOMEM, "cannot make '%s/tmp'", t->run->dir);
	r = set(s, "spark.app.name", t->spec.display_name ? t->spec.display_name : t->spec.name, e);
	if (r == 0)
		r = set(s, "spark.master", t->compute.master, e);
	if (r == 0)
		r = set_default(s, "spark.ui.enabled", "false", e);
	if (r == 0)
		r = set_default(s, "spark.ui.showConsoleProgress", "false", e);
	if (r < 0 || !s->local)
		return r;
	if ((r = set_default(s, "spark.driver.host", "127.0.0.1", e)) == 0 &&
	    (r = set_default(s, "spark.driver.bindAddress", "127.0.0.1", e)) == 0)
		r = set_default(s, "spark.local.dir", tmp, e);
	return r;
}

typedef int view_fn(struct spark *s, const struct json_t *props, const char *uri,
		    struct slu_err *e);

static int add_view(struct spark *s, const struct json_t *props, const char *uri, struct slu_err *e)
{
	return slu_spark_view(&s->conf, props, uri, e);
}

static int add_secrets(struct spark *s, const struct json_t *props, const char *uri,
		       struct slu_err *e)
{
	(void)uri;
	return slu_spark_secrets(&s->conf, props, e);
}

/* What the user set in the job's or the installation's environment counts more. */
static int add_env(struct spark *s, const struct json_t *props, const char *uri, struct slu_err *e)
{
	const struct json_t *env = slu_json_get(props, "env");

	(void)uri;
	for (void *it = slu_json_iter(env); it; it = slu_json_next(env, it)) {
		const char *value = slu_json_string(slu_json_iter_value(it));

		if (value && !slu_env_get(s->t->env, slu_json_iter_key(it)) &&
		    slu_env_set(s->t->env, slu_json_iter_key(it), value) < 0)
			return slu_fail_oom(e);
	}
	return 0;
}

static int each_view(struct spark *s, view_fn *fn, struct slu_err *e)
{
	const struct slu_task *t = s->t;
	int r = 0;

	for (size_t i = 0; i < t->spec.nin && r == 0; i++)
		if (t->in[i] && t->in[i]->view)
			r = fn(s, t->in[i]->view->props, t->in[i]->view->where, e);
	for (size_t i = 0; i < t->spec.nout && r == 0; i++)
		if (t->out[i]->props)
			r = fn(s, t->out[i]->props, t->out[i]->value, e);
	return r;
}

/* The installation's own defaults: with a properties file spark-submit would not read them. */
static int add_installed(struct spark *s, struct slu_err *e)
{
	const char *dir = slu_env_get(s->t->env, "SPARK_CONF_DIR");
	SLU_AUTO(slu_freep) char *conf = s->home ? slu_asprintf("%s/conf", s->home) : NULL;

	if (!dir && s->home && !conf)
		return slu_fail_oom(e);
	return dir || conf ? slu_spark_site(&s->conf, dir ? dir : conf, e) : 0;
}

/* The committer then says nothing when it is done. */
static bool is_unmarked(const struct spark *s)
{
	const char *marks = slu_jprops_get(
		&s->conf, "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs");

	return marks && strcasecmp(marks, "false") == 0;
}

static int write_conf(struct spark *s, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4 * SLU_SPARK_CONF_MAX);
	int r;

	slu_jprops_write(&s->conf, &b);
	if (slu_buf_err(&b))
		return slu_fail_oom(e);
	r = slu_path_write_atomic(s->t->run->fd, CONF_FILE, b.p, b.len);
	explicit_bzero(b.p, b.len);
	return r < 0 ? slu_fail_sys(e, -r, "cannot write '%s/" CONF_FILE "'", s->t->run->dir) : 0;
}

/* A cluster unpacks the environment beside each of its Pythons. */
static int add_environment(struct spark *s, struct slu_err *e)
{
	const char *old = slu_jprops_get(&s->conf, "spark.archives");
	SLU_AUTO(slu_freep) char *all = NULL;
	int r;

	if (!s->t->environment.archive)
		return 0;
	all = slu_asprintf("%s%s%s#environment", old ? old : "", old ? "," : "",
			   s->t->environment.archive);
	r = all ? set(s, "spark.archives", all, e) : slu_fail_oom(e);
	if (r == 0)
		r = set_default(s, "spark.yarn.appMasterEnv.PYSPARK_PYTHON", SHIPPED_PYTHON, e);
	return r;
}

static int make_conf(struct spark *s, struct slu_err *e)
{
	const struct slu_spec_spark *sp = &s->t->spec.spark;
	int r;

	if ((r = add_installed(s, e)) < 0 || (r = set_defaults(s, e)) < 0 ||
	    (r = each_view(s, add_view, e)) < 0 || (r = set_all(s, s->t->compute.conf, e)) < 0 ||
	    (r = set_all(s, sp->conf, e)) < 0 ||
	    (r = set_files(s, "spark.submit.pyFiles", sp->py_files, e)) < 0 ||
	    (r = set_files(s, "spark.jars", sp->jars, e)) < 0 ||
	    (r = set_files(s, "spark.files", sp->files, e)) < 0 ||
	    (r = set_files(s, "spark.archives", sp->archives, e)) < 0 ||
	    (r = add_environment(s, e)) < 0 || (r = each_view(s, add_secrets, e)) < 0)
		return r;
	s->t->unmarked = is_unmarked(s);
	return write_conf(s, e);
}

/* --- environment and arguments --- */

static int make_env(struct spark *s, struct slu_err *e)
{
	struct slu_env *v = s->t->env;

	const char *python = s->t->environment.archive ? SHIPPED_PYTHON : s->python;

	if (slu_env_set(v, "PYSPARK_PYTHON", python) < 0 ||
	    slu_env_set(v, "PYSPARK_DRIVER_PYTHON", s->python) < 0 ||
	    (s->home && slu_env_set(v, "SPARK_HOME", s->home) < 0) ||
	    (s->local && slu_env_set(v, "SPARK_LOCAL_IP", "127.0.0.1") < 0))
		return slu_fail_oom(e);
	return each_view(s, add_env, e);
}

typedef SLU_VEC(char *) words_t;

static int push(words_t *w, const char *text)
{
	char *copy = slu_strdup(text);

	if (copy && slu_vec_push(w, copy))
		return 0;
	free(copy);
	return -ENOMEM;
}

static int push_args(struct spark *s, words_t *w, struct slu_err *e)
{
	const struct slu_subst vars = slu_task_subst(s->t);
	char **args = NULL;
	int r = 0;

	if (s->t->spec.spark.args)
		r = slu_subst_words(s->t->spec.spark.args, &vars, &args, e);
	for (size_t i = 0; args && args[i] && r == 0; i++)
		r = push(w, args[i]) < 0 ? slu_fail_oom(e) : 0;
	slu_words_free(args);
	return r;
}

static int make_argv(struct spark *s, words_t *w, struct slu_err *e)
{
	const struct slu_spec_spark *sp = &s->t->spec.spark;
	SLU_AUTO(slu_freep) char *conf = slu_asprintf("%s/" CONF_FILE, s->t->run->dir);
	SLU_AUTO(slu_freep) char *entry = slu_asprintf("%s/%s", s->t->cwd, sp->entry);

	if (!conf || !entry || push(w, s->submit) < 0 || push(w, "--master") < 0 ||
	    push(w, s->t->compute.master) < 0 || push(w, "--properties-file") < 0 ||
	    push(w, conf) < 0)
		return slu_fail_oom(e);
	if (sp->class_name && (push(w, "--class") < 0 || push(w, sp->class_name) < 0))
		return slu_fail_oom(e);
	if (push(w, entry) < 0)
		return slu_fail_oom(e);
	return push_args(s, w, e);
}

static int give_argv(struct slu_task *t, words_t *w, struct slu_err *e)
{
	if (!slu_vec_push(w, NULL))
		return slu_fail_oom(e);
	t->argv = w->p;
	*w = (words_t){0};
	return 0;
}

static int prepare(struct spark *s, struct slu_err *e)
{
	words_t w = {0};
	int r;

	s->local = slu_starts(s->t->compute.master, "local");
	if ((r = find_python(s, e)) < 0 || (r = find_submit(s, e)) < 0 ||
	    (r = find_java(s->t, e)) < 0 || (r = make_conf(s, e)) < 0 || (r = make_env(s, e)) < 0)
		return r;
	r = make_argv(s, &w, e);
	if (r == 0)
		r = give_argv(s->t, &w, e);
	for (size_t i = 0; i < w.n; i++)
		free(w.p[i]);
	free(w.p);
	return r;
}

int slu_compute_spark(struct slu_task *t, struct slu_err *e)
{
	struct spark s = {.t = t};
	int r = prepare(&s, e);

	spark_done(&s);
	return r;
}
