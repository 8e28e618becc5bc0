/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Spark part of a step: entry, files, properties.  The eight settings become Spark properties here;
 * how they reach a cluster is the compute's business.
 */
#include "job/spec_impl.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "job/environment.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define SYNAPSE_ENVIRONMENT "spark.synapse.library.python.env"

/* Flat settings and the property that each one is. */
static const struct {
	const char *key, *property;
} settings[] = {
	{"driver_cores", "spark.driver.cores"},
	{"driver_memory", "spark.driver.memory"},
	{"executor_cores", "spark.executor.cores"},
	{"executor_memory", "spark.executor.memory"},
	{"executor_instances", "spark.executor.instances"},
	{"num_executors", "spark.executor.instances"},
	{"dynamic_allocation_enabled", "spark.dynamicAllocation.enabled"},
	{"dynamic_allocation_min_executors", "spark.dynamicAllocation.minExecutors"},
	{"dynamic_allocation_max_executors", "spark.dynamicAllocation.maxExecutors"},
};

/* Spark wants true, not True. */
static char *conf_text(const struct json_t *v)
{
	return slu_json_is_bool(v) ? slu_strdup(slu_json_true(v) ? "true" : "false")
				   : spec_scalar(v);
}

static int set_conf(const struct spec_file *f, const struct json_t *o, const char *key,
		    const char *property, struct slu_spec_step *s, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = conf_text(slu_json_get(o, key));
	const char *old = slu_json_str(s->spark.conf, property);

	if (!text)
		return slu_yaml_fail(f->yaml, o, key, e, "'%s' is no plain value", key);
	if (old && !slu_streq(old, text))
		return slu_yaml_fail(f->yaml, o, key, e, "'%s' is given twice: '%s' and '%s'",
				     property, old, text);
	if (strpbrk(text, "\r\n"))
		return slu_yaml_fail(f->yaml, o, key, e, "'%s' has a line break", key);
	return slu_json_set_str(s->spark.conf, property, text) < 0 ? slu_fail_oom(e) : 0;
}

/* Synapse has the text of a conda file here. */
static int synapse_environment(const struct spec_file *f, const struct json_t *conf,
			       struct slu_spec_step *s, struct slu_err *e)
{
	const char *text = slu_json_str(conf, SYNAPSE_ENVIRONMENT);
	SLU_AUTO(slu_freep) char *where = spec_where(f, conf, SYNAPSE_ENVIRONMENT);
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object(), *env = slu_json_object();
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	struct slu_err why = {0};
	int r;

	if (s->environment || !text)
		return 0;
	if (!where || !o || !env)
		return slu_fail_oom(e);
	r = slu_yaml_parse(text, strlen(text), SYNAPSE_ENVIRONMENT, &y, &why);
	if (r == 0 && (slu_json_set(env, "conda_file", slu_json_copy(slu_yaml_root(y))) < 0 ||
		       slu_json_set(o, "environment", slu_json_ref(env)) < 0))
		return slu_fail_oom(e);
	if (r == 0)
		r = slu_environment_read(y, o, "environment", f->dir, &s->environment, &why);
	if (r < 0)
		return slu_yaml_fail(f->yaml, conf, SYNAPSE_ENVIRONMENT, e, "%s", why.msg);
	s->environment_where = slu_take(where);
	return 0;
}

static int read_conf(const struct spec_file *f, const struct json_t *o, struct slu_spec_step *s,
		     struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, "conf");
	int r = 0;

	if (!s->spark.conf && !(s->spark.conf = slu_json_object()))
		return slu_fail_oom(e);
	if (v && !slu_json_is_null(v) && !slu_json_is_object(v))
		return slu_yaml_fail(f->yaml, o, "conf", e, "'conf' is not a map of properties");
	for (void *it = slu_json_iter(v); it && r == 0; it = slu_json_next(v, it)) {
		const char *key = slu_json_iter_key(it);

		if (slu_streq(key, SYNAPSE_ENVIRONMENT)) {
			r = synapse_environment(f, v, s, e);
			continue;
		}
		if (!slu_starts(key, "spark."))
			return slu_yaml_fail(f->yaml, v, key, e,
					     "'%s' is no Spark property: these begin with 'spark.'",
					     key);
		r = set_conf(f, v, key, key, s, e);
	}
	for (size_t i = 0; i < sizeof settings / sizeof *settings && r == 0; i++)
		if (slu_json_get(o, settings[i].key))
			r = set_conf(f, o, settings[i].key, settings[i].property, s, e);
	return r;
}

static int conf_int(const struct slu_spec_step *s, const char *property, int64_t *ret)
{
	const char *text = slu_json_str(s->spark.conf, property);

	return !text ? 0 : slu_i64(text, 0, 1000000, ret) ? 1 : -1;
}

/* What is wrong with the numbers of a dynamic allocation, NULL: nothing. */
static const char *bad_range(const struct slu_spec_step *s)
{
	int64_t min = 0, max = 0, n = 0;

	if (conf_int(s, "spark.dynamicAllocation.minExecutors", &min) <= 0 ||
	    conf_int(s, "spark.dynamicAllocation.maxExecutors", &max) <= 0)
		return "dynamic allocation needs both minimum and maximum of executors, whole numbers";
	if (min < 1 || min > max)
		return "the minimum of executors is above 0 and at most the maximum";
	if (conf_int(s, "spark.executor.instances", &n) != 0 && (n < min || n > max))
		return "the number of executors is between minimum and maximum";
	return NULL;
}

/* The rules of dynamic allocation (azureml.md 5.2). */
static int check_allocation(const struct spec_file *f, const struct json_t *o,
			    const struct slu_spec_step *s, struct slu_err *e)
{
	const char *on = slu_json_str(s->spark.conf, "spark.dynamicAllocation.enabled");
	const char *bad = NULL;
	int64_t n;

	if (on && slu_streq(on, "true"))
		bad = bad_range(s);
	else if (slu_json_get(s->spark.conf, "spark.dynamicAllocation.minExecutors") ||
		 slu_json_get(s->spark.conf, "spark.dynamicAllocation.maxExecutors"))
		bad = "minimum and maximum of executors need "
		      "'spark.dynamicAllocation.enabled: true'";
	else if (conf_int(s, "spark.executor.instances", &n) < 0)
		bad = "the number of executors is a whole number";
	return bad ? slu_yaml_fail(f->yaml, o, "conf", e, "%s", bad) : 0;
}

/* A list of files, or one. */
static int read_list(const struct spec_file *f, const struct json_t *o, const char *key,
		     struct json_t **ret, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, key);

	if (!v || slu_json_is_null(v))
		return 0;
	SLU_AUTO(slu_json_freep) struct json_t *a = slu_json_array();
	if (!a)
		return slu_fail_oom(e);
	if (slu_json_is_string(v) && slu_json_append(a, slu_json_new_str(slu_json_string(v))) < 0)
		return slu_fail_oom(e);
	for (size_t i = 0; slu_json_is_array(v) && i < slu_json_count(v); i++) {
		const char *text = slu_json_string(slu_json_at(v, i));

		if (!text || !*text || strchr(text, ','))
			return slu_yaml_fail(f->yaml, v, NULL, e,
					     "'%s' is a list of file names without commas", key);
		if (slu_json_append(a, slu_json_new_str(text)) < 0)
			return slu_fail_oom(e);
	}
	if (!slu_json_is_array(v) && !slu_json_is_string(v))
		return slu_yaml_fail(f->yaml, o, key, e, "'%s' is not a list of files", key);
	*ret = slu_take(a);
	return 0;
}

static int check_in_code(const struct spec_file *f, const struct json_t *o, const char *key,
			 const struct slu_spec_step *s, const char *name, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	struct stat st;

	if (strstr(name, "://") || name[0] == '/')
		return 0;
	if (!s->code)
		return slu_yaml_fail(f->yaml, o, NULL, e,
				     "step '%s' has no 'code', the folder that '%s' is in", s->name,
				     name);
	path = slu_asprintf("%s/%s", s->code, name);
	if (!path)
		return slu_fail_oom(e);
	if (stat(path, &st) < 0)
		return slu_yaml_fail(f->yaml, o, key, e, "'%s' is not in the code folder '%s'",
				     name, s->code);
	return 0;
}

static int read_entry(const struct spec_file *f, const struct json_t *o, struct slu_spec_step *s,
		      struct slu_err *e)
{
	static const char *const keys[] = {"file", "class_name", "spark_job_entry_type", NULL};
	const struct json_t *v = slu_json_get(o, "entry");
	int r;

	if (!slu_json_is_object(v))
		return slu_yaml_fail(f->yaml, o, v ? "entry" : NULL, e,
				     "step '%s' has no 'entry' with a 'file'", s->name);
	if ((r = slu_yaml_known_keys(f->yaml, v, keys, e)) < 0 ||
	    (r = spec_text(f, v, "file", &s->spark.entry, e)) < 0 ||
	    (r = spec_text(f, v, "class_name", &s->spark.class_name, e)) < 0)
		return r;
	if (!s->spark.entry && s->spark.class_name && slu_json_count(s->spark.jars) > 0) {
		s->spark.entry = slu_strdup(slu_json_string(slu_json_at(s->spark.jars, 0)));
		if (!s->spark.entry)
			return slu_fail_oom(e);
	}
	if (!s->spark.entry)
		return slu_yaml_fail(f->yaml, o, "entry", e, "'entry' has no 'file'");
	if (slu_starts(s->spark.entry, "./"))
		memmove(s->spark.entry, s->spark.entry + 2, strlen(s->spark.entry) - 1);
	if (!slu_path_ok(s->spark.entry) || !*s->spark.entry || s->spark.entry[0] == '-')
		return slu_yaml_fail(f->yaml, v, "file", e,
				     "entry file '%s' is not a path inside the code folder",
				     s->spark.entry);
	return check_in_code(f, v, "file", s, s->spark.entry, e);
}

/* args: text, or a list of words. */
static int read_args(const struct spec_file *f, const struct json_t *o, struct slu_spec_step *s,
		     struct slu_err *e)
{
	return spec_text(f, o, "args", &s->spark.args, e);
}

int spec_spark(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
	       struct slu_spec_step *s, struct slu_err *e)
{
	const struct {
		const char *key;
		struct json_t **list;
	} lists[] = {{"py_files", &s->spark.py_files},
		     {"jars", &s->spark.jars},
		     {"files", &s->spark.files},
		     {"archives", &s->spark.archives}};
	int r = read_conf(f, o, s, e);

	(void)c;
	if (r == 0)
		r = check_allocation(f, o, s, e);
	for (size_t i = 0; i < sizeof lists / sizeof *lists && r == 0; i++) {
		r = read_list(f, o, lists[i].key, lists[i].list, e);
		for (size_t k = 0; r == 0 && k < slu_json_count(*lists[i].list); k++) {
			SLU_AUTO(slu_freep)
			char *name = slu_strdup(slu_json_string(slu_json_at(*lists[i].list, k)));

			if (!name)
				return slu_fail_oom(e);
			name[strcspn(name, "#")] = '\0'; /* archives: FILE#NAME */
			r = check_in_code(f, o, lists[i].key, s, name, e);
		}
	}
	if (r == 0)
		r = read_entry(f, o, s, e);
	return r < 0 ? r : read_args(f, o, s, e);
}
