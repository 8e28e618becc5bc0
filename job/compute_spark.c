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

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>

enum { CONF_MAX = 1 << 20, SECRET_MAX = 64 << 10 };

#define CONF_FILE "spark.properties"

struct spark {
	struct slu_task *t;
	char *home;   /* NULL: spark-submit finds it */
	char *submit; /* absolute path */
	char *python;
	bool local; /* the master is this machine */
	struct json_t *conf;
	struct slu_buf file;
};

static void spark_done(struct spark *s)
{
	free(s->home);
	free(s->submit);
	free(s->python);
	slu_json_free(s->conf);
	if (s->file.p)
		explicit_bzero(s->file.p, s->file.len);
	slu_buf_done(&s->file);
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
	const char *slash = strrchr(s->python, '/');
	SLU_AUTO(slu_freep) char *prefix = slu_strndup(s->python, (size_t)(slash - s->python));
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

/* As java.util.Properties reads it back; the file is read as UTF-8. */
static void add_escaped(struct slu_buf *b, const char *s, bool key)
{
	bool first = true;

	for (; *s; s++, first = false) {
		if (*s == '\\' || (key && strchr(" :=#!\t", *s)) || (first && strchr(" \t#!", *s)))
			slu_buf_ch(b, '\\');
		if (*s == '\n' || *s == '\r')
			slu_buf_str(b, *s == '\n' ? "\\n" : "\\r");
		else
			slu_buf_ch(b, *s);
	}
}

static void add_property(struct spark *s, const char *key, const char *value)
{
	add_escaped(&s->file, key, true);
	slu_buf_ch(&s->file, '=');
	add_escaped(&s->file, value, false);
	slu_buf_ch(&s->file, '\n');
}

static int set(struct spark *s, const char *key, const char *value, struct slu_err *e)
{
	return slu_json_set_str(s->conf, key, value) < 0 ? slu_fail_oom(e) : 0;
}

/* Files of the code folder by their absolute path, comma-joined, after what is there already. */
static int set_files(struct spark *s, const char *key, const struct json_t *list, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(CONF_MAX);
	const char *old = slu_json_str(s->conf, key);

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
		r = set(s, "spark.ui.enabled", "false", e);
	if (r == 0)
		r = set(s, "spark.ui.showConsoleProgress", "false", e);
	if (r < 0 || !s->local)
		return r;
	if ((r = set(s, "spark.driver.host", "127.0.0.1", e)) == 0 &&
	    (r = set(s, "spark.driver.bindAddress", "127.0.0.1", e)) == 0)
		r = set(s, "spark.local.dir", tmp, e);
	return r;
}

/* The Hadoop properties that a view's store needs; secrets are looked up at the last moment and only go
 * into the file. */
static int read_secret(const char *property, const char *ref, struct slu_buf *b, struct slu_err *e)
{
	const char *name = slu_after(ref, "env:"), *path = slu_after(ref, "file:");
	const char *value = name ? getenv(name) : NULL;
	int r = 0;

	if (value)
		slu_buf_str(b, value);
	else if (path)
		r = slu_buf_read_at(b, AT_FDCWD, path);
	else
		return slu_fail(
			e, ENOENT, "the credential '%s' for '%s' %s", ref, property,
			name ? "is not in the environment"
			     : "is no env:NAME or file:PATH, which is what Spark steps take");
	while (r == 0 && b->len && strchr("\r\n", b->p[b->len - 1]))
		b->p[--b->len] = '\0';
	return r < 0 ? slu_fail_sys(e, -r, "cannot read the credential '%s'", ref) : 0;
}

static bool has_name(const char *list, const char *name, size_t n)
{
	for (size_t len; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		if (len == n && strncmp(list, name, n) == 0)
			return true;
	}
	return false;
}

/* Stores of two clusters, each of which names its own file systems: both have to be known. */
static int add_names(struct spark *s, const char *key, const char *value, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(CONF_MAX);
	const char *old = slu_json_str(s->conf, key);

	slu_buf_str(&b, old ? old : "");
	for (size_t n; *value; value += n + (value[n] == ',')) {
		n = strcspn(value, ",");
		if (!b.len || !has_name(b.p, value, n))
			slu_buf_fmt(&b, "%s%.*s", b.len ? "," : "", (int)n, value);
	}
	return slu_buf_err(&b) ? slu_fail_oom(e) : set(s, key, b.p ? b.p : "", e);
}

static int add_props(struct spark *s, const struct json_t *props, struct slu_err *e)
{
	const struct json_t *conf = slu_json_get(props, "conf");
	const struct json_t *refs = slu_json_get(props, "secret_refs");
	int r = 0;

	for (void *it = slu_json_iter(conf); it && r == 0; it = slu_json_next(conf, it)) {
		const char *value = slu_json_string(slu_json_iter_value(it));
		SLU_AUTO(slu_freep)
		char *key = slu_asprintf("spark.hadoop.%s", slu_json_iter_key(it));

		if (!key)
			r = slu_fail_oom(e);
		else if (slu_streq(slu_json_iter_key(it), "dfs.nameservices"))
			r = add_names(s, key, value ? value : "", e);
		else
			r = set(s, key, value ? value : "", e);
	}
	for (void *it = slu_json_iter(refs); it && r == 0; it = slu_json_next(refs, it)) {
		SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SECRET_MAX);
		SLU_AUTO(slu_freep)
		char *key = slu_asprintf("spark.hadoop.%s", slu_json_iter_key(it));
		const char *ref = slu_json_string(slu_json_iter_value(it));

		r = key ? read_secret(slu_json_iter_key(it), ref ? ref : "", &b, e)
			: slu_fail_oom(e);
		if (r == 0)
			add_property(s, key, b.p ? b.p : "");
		if (b.p)
			explicit_bzero(b.p, b.len);
	}
	return r;
}

static int add_views(struct spark *s, struct slu_err *e)
{
	const struct slu_task *t = s->t;
	int r = 0;

	for (size_t i = 0; i < t->spec.nin && r == 0; i++)
		if (t->in[i] && t->in[i]->view)
			r = add_props(s, t->in[i]->view->props, e);
	for (size_t i = 0; i < t->spec.nout && r == 0; i++)
		r = add_props(s, t->out[i]->props, e);
	return r;
}

/* The installation's own defaults: with a properties file spark-submit would not read them. */
static int add_installed(struct spark *s, struct slu_err *e)
{
	const char *dir = slu_env_get(s->t->env, "SPARK_CONF_DIR");
	SLU_AUTO(slu_freep) char *path = NULL;

	if (!dir && !s->home)
		return 0;
	path = dir ? slu_asprintf("%s/spark-defaults.conf", dir)
		   : slu_asprintf("%s/conf/spark-defaults.conf", s->home);
	if (!path)
		return slu_fail_oom(e);
	int r = slu_buf_read_at(&s->file, AT_FDCWD, path);
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return slu_fail_sys(e, -r, "cannot read '%s'", path);
	if (s->file.len)
		slu_buf_ch(&s->file, '\n');
	return 0;
}

static int make_conf(struct spark *s, struct slu_err *e)
{
	const struct slu_spec_spark *sp = &s->t->spec.spark;
	int r;

	s->conf = slu_json_object();
	if (!s->conf)
		return slu_fail_oom(e);
	if ((r = add_installed(s, e)) < 0 || (r = set_defaults(s, e)) < 0 ||
	    (r = add_views(s, e)) < 0 || (r = set_all(s, s->t->compute.conf, e)) < 0 ||
	    (r = set_all(s, sp->conf, e)) < 0 ||
	    (r = set_files(s, "spark.submit.pyFiles", sp->py_files, e)) < 0 ||
	    (r = set_files(s, "spark.jars", sp->jars, e)) < 0 ||
	    (r = set_files(s, "spark.files", sp->files, e)) < 0 ||
	    (r = set_files(s, "spark.archives", sp->archives, e)) < 0)
		return r;
	for (void *it = slu_json_iter(s->conf); it; it = slu_json_next(s->conf, it))
		add_property(s, slu_json_iter_key(it), slu_json_string(slu_json_iter_value(it)));
	if (slu_buf_err(&s->file))
		return slu_fail_oom(e);
	r = slu_path_write_atomic(s->t->run->fd, CONF_FILE, s->file.p, s->file.len);
	return r < 0 ? slu_fail_sys(e, -r, "cannot write '%s/" CONF_FILE "'", s->t->run->dir) : 0;
}

/* --- environment and arguments --- */

static int make_env(struct spark *s, struct slu_err *e)
{
	struct slu_env *v = s->t->env;

	if (slu_env_set(v, "PYSPARK_PYTHON", s->python) < 0 ||
	    slu_env_set(v, "PYSPARK_DRIVER_PYTHON", s->python) < 0 ||
	    (s->home && slu_env_set(v, "SPARK_HOME", s->home) < 0) ||
	    (s->local && slu_env_set(v, "SPARK_LOCAL_IP", "127.0.0.1") < 0))
		return slu_fail_oom(e);
	return 0;
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
	struct spark s = {.t = t, .file = SLU_BUF(CONF_MAX)};
	int r = prepare(&s, e);

	spark_done(&s);
	return r;
}
