/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of one step, whether it stands in a pipeline, in a component file or alone: what runs, with
 * which code, environment and compute.  Inputs and outputs are read by spec_io.c.
 */
#include "job/spec_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "job/subst.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const char *const step_keys[] = {"$schema",
					"type",
					"name",
					"version",
					"display_name",
					"description",
					"experiment_name",
					"tags",
					"properties",
					"code",
					"environment",
					"environment_variables",
					"inputs",
					"outputs",
					"compute",
					"component",
					"resources",
					"limits",
					"identity",
					"services",
					"is_deterministic",
					"queue_settings",
					"job_tier",
					"command",
					"distribution",
					"entry",
					"py_files",
					"jars",
					"files",
					"archives",
					"conf",
					"args",
					"driver_cores",
					"driver_memory",
					"executor_cores",
					"executor_memory",
					"executor_instances",
					"num_executors",
					"dynamic_allocation_enabled",
					"dynamic_allocation_min_executors",
					"dynamic_allocation_max_executors",
					NULL};

/* Keys of the public schema that say nothing that runs here differently. */
static const struct {
	const char *key, *why;
} idle_keys[] = {
	{"environment", "a step runs with the Python of its compute"},
	{"resources", "a step takes what its compute has"},
	{"identity", "stores are opened with the credentials of their datastore"},
	{"services", "no service is started beside a step"},
	{"queue_settings", "there is no queue of jobs"},
	{"job_tier", "there is no queue of jobs"},
	{"properties", "nothing reads them"},
};

static int note_idle(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		     struct slu_err *e)
{
	int r = 0;

	for (size_t i = 0; i < sizeof idle_keys / sizeof *idle_keys && r == 0; i++)
		if (slu_json_get(o, idle_keys[i].key))
			r = spec_note(c, f, o, idle_keys[i].key, idle_keys[i].why, e);
	return r;
}

/* --- kind --- */

static int step_kind(const struct spec_file *f, const struct json_t *o, enum slu_job_kind *ret,
		     struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *type = NULL;
	int r = spec_text(f, o, "type", &type, e);

	if (r < 0)
		return r;
	if (!type)
		type = slu_strdup(slu_json_get(o, "entry") ? "spark" : "command");
	if (!type)
		return slu_fail_oom(e);
	if (slu_streq(type, "command") || slu_streq(type, "spark")) {
		*ret = slu_streq(type, "spark") ? SLU_JOB_SPARK : SLU_JOB_COMMAND;
		return 0;
	}
	return slu_yaml_fail(f->yaml, o, "type", e,
			     "a step of type '%s' is not supported: "
			     "use command or spark",
			     type);
}

/* --- code --- */

static int read_code(const struct spec_file *f, const struct json_t *o, struct slu_spec_step *s,
		     struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL, *joined = NULL;
	struct stat st;
	int r = spec_text(f, o, "code", &text, e);

	if (r < 0 || !text)
		return r;
	if (strstr(text, "://") || slu_starts(text, "azureml:") || slu_starts(text, "git+"))
		return slu_yaml_fail(f->yaml, o, "code", e,
				     "code '%s' is not a local folder, which is what runs here",
				     text);
	joined = text[0] == '/' ? slu_strdup(text) : slu_asprintf("%s/%s", f->dir, text);
	if (!joined)
		return slu_fail_oom(e);
	r = slu_path_absolute(joined, &s->code, e);
	if (r < 0)
		return r;
	if (stat(s->code, &st) < 0)
		return slu_yaml_fail(f->yaml, o, "code", e, "code '%s' cannot be read: %s", s->code,
				     strerror(errno));
	return 0;
}

/* --- environment variables, limits --- */

static int read_env(const struct spec_file *f, const struct json_t *o, struct slu_spec_step *s,
		    struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, "environment_variables");

	if (!v || slu_json_is_null(v))
		return 0;
	if (!slu_json_is_object(v))
		return slu_yaml_fail(f->yaml, o, "environment_variables", e,
				     "'environment_variables' is not a map");
	if (!s->env && !(s->env = slu_json_object()))
		return slu_fail_oom(e);
	for (void *it = slu_json_iter(v); it; it = slu_json_next(v, it)) {
		const char *key = slu_json_iter_key(it);
		SLU_AUTO(slu_freep) char *text = spec_scalar(slu_json_iter_value(it));

		if (!*key || strchr(key, '='))
			return slu_yaml_fail(f->yaml, v, key, e, "'%s' cannot be a variable", key);
		if (!text)
			return slu_yaml_fail(f->yaml, v, key, e, "variable '%s' is no text", key);
		if (slu_json_set_str(s->env, key, text) < 0)
			return slu_fail_oom(e);
	}
	return 0;
}

static int read_limits(const struct spec_file *f, const struct json_t *o, struct slu_spec_step *s,
		       struct slu_err *e)
{
	static const char *const keys[] = {"timeout", "trial_timeout", "max_total_trials",
					   "max_concurrent_trials", NULL};
	const struct json_t *v = slu_json_get(o, "limits");

	if (!v || slu_json_is_null(v))
		return 0;
	if (!slu_json_is_object(v))
		return slu_yaml_fail(f->yaml, o, "limits", e, "'limits' is not a map");
	int r = slu_yaml_known_keys(f->yaml, v, keys, e);
	if (r < 0 || !slu_json_get(v, "timeout"))
		return r;
	int64_t n = slu_json_int(v, "timeout", -1);
	if (n <= 0 || n > 366LL * 86400)
		return slu_yaml_fail(f->yaml, v, "timeout", e,
				     "'timeout' is a number of seconds, at most a year");
	s->timeout = (uint64_t)n;
	return 0;
}

static int read_compute(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
			struct slu_spec_step *s, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	int r = spec_text(f, o, "compute", &text, e);

	if (r < 0)
		return r;
	const char *name = text ? text : c->compute;
	if (!name)
		return 0;
	free(s->compute);
	s->compute = slu_strdup(spec_plain_name(name));
	return s->compute ? 0 : slu_fail_oom(e);
}

/* --- the two kinds --- */

static int read_command(const struct spec_file *f, const struct json_t *o, struct slu_spec_step *s,
			struct slu_err *e)
{
	int r = spec_text(f, o, "command", &s->command, e);

	if (r < 0)
		return r;
	if (!s->command || !s->command[strspn(s->command, " \t\r\n")])
		return slu_yaml_fail(f->yaml, o, s->command ? "command" : NULL, e,
				     "step '%s' has no 'command'", s->name);
	return 0;
}

static int read_body(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		     struct slu_spec_step *s, struct slu_err *e)
{
	int r = slu_yaml_known_keys(f->yaml, o, step_keys, e);

	if (r == 0)
		r = note_idle(c, f, o, e);
	if (r == 0 && slu_json_get(o, "distribution") &&
	    !slu_json_is_null(slu_json_get(o, "distribution")))
		r = slu_yaml_fail(f->yaml, o, "distribution", e,
				  "'distribution' is not supported: a command runs as one process");
	if (r == 0)
		r = read_code(f, o, s, e);
	if (r == 0)
		r = read_env(f, o, s, e);
	if (r == 0)
		r = read_limits(f, o, s, e);
	if (r == 0)
		r = read_compute(c, f, o, s, e);
	if (r == 0)
		r = spec_text(f, o, "description", &s->description, e);
	if (r == 0)
		r = spec_text(f, o, "display_name", &s->display_name, e);
	if (r < 0)
		return r;
	return s->kind == SLU_JOB_SPARK ? spec_spark(c, f, o, s, e) : read_command(f, o, s, e);
}

/* --- components --- */

/* What a step that names a component may say itself. */
static int read_override(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
			 struct slu_spec_step *s, struct slu_err *e)
{
	static const char *const keys[] = {"type",           "name",
					   "display_name",   "description",
					   "tags",           "component",
					   "inputs",         "outputs",
					   "compute",        "environment_variables",
					   "environment",    "resources",
					   "limits",         "identity",
					   "services",       "properties",
					   "queue_settings", "job_tier",
					   "conf",           NULL};
	int r = slu_yaml_known_keys(f->yaml, o, keys, e);

	if (r == 0)
		r = note_idle(c, f, o, e);
	if (r == 0)
		r = read_env(f, o, s, e);
	if (r == 0)
		r = read_limits(f, o, s, e);
	if (r == 0)
		r = read_compute(c, f, o, s, e);
	if (r == 0)
		r = spec_text(f, o, "display_name", &s->display_name, e);
	return r;
}

static int open_component(const struct spec_file *f, const struct json_t *o, struct spec_file *ret,
			  struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL, *path = NULL;
	const char *rel;
	int r = spec_text(f, o, "component", &text, e);

	if (r < 0)
		return r;
	if (!text)
		return slu_yaml_fail(f->yaml, o, "component", e, "'component' is not a file name");
	rel = slu_after(text, "file:");
	rel = rel ? rel : text;
	if (strstr(rel, "://") || slu_starts(rel, "azureml:"))
		return slu_yaml_fail(f->yaml, o, "component", e,
				     "component '%s' is not a file, which is what works here: "
				     "component: ./FILE.yml",
				     text);
	path = rel[0] == '/' ? slu_strdup(rel) : slu_asprintf("%s/%s", f->dir, rel);
	if (!path)
		return slu_fail_oom(e);
	struct slu_err why = {0};
	r = spec_file_open(path, ret, &why);
	if (r < 0 && r != -EBADMSG)
		return slu_yaml_fail(f->yaml, o, "component", e, "%s", why.msg);
	return r < 0 ? slu_fail(e, -r, "%s", why.msg) : 0;
}

static int component_step(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
			  const struct spec_file *cf, struct slu_spec_step *s, struct slu_err *e)
{
	const struct json_t *body = slu_yaml_root(cf->yaml);
	int r;

	if (!slu_json_is_object(body))
		return slu_yaml_fail(cf->yaml, body, NULL, e, "a component is a map");
	if ((r = step_kind(cf, body, &s->kind, e)) < 0 || (r = read_body(c, cf, body, s, e)) < 0 ||
	    (r = read_override(c, f, o, s, e)) < 0)
		return r;
	if ((r = spec_inputs(c, f, o, cf, body, s->kind, s, e)) < 0 ||
	    (r = spec_outputs(c, f, o, cf, body, s->kind, s, e)) < 0)
		return r;
	return spec_check_subst(cf, body, s, e);
}

static int via_component(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
			 struct slu_spec_step *s, struct slu_err *e)
{
	struct spec_file cf = {0};
	int r = open_component(f, o, &cf, e);

	if (r == 0)
		r = component_step(c, f, o, &cf, s, e);
	spec_file_done(&cf);
	return r;
}

int spec_step(struct spec_ctx *c, const struct spec_file *f, const struct json_t *obj,
	      const char *name, struct slu_spec_step *s, struct slu_err *e)
{
	const struct json_t *comp = slu_json_get(obj, "component");
	int r;

	s->name = slu_strdup(name);
	s->where = spec_where(f, obj, NULL);
	s->datastore = slu_strdup(c->datastore);
	if (!s->name || !s->where || (c->datastore && !s->datastore))
		return slu_fail_oom(e);
	if (slu_json_is_object(comp)) /* an inline component */
		r = slu_yaml_fail(f->yaml, obj, "component", e,
				  "a component stands in a file of its own: component: ./FILE.yml");
	else if (comp)
		r = via_component(c, f, obj, s, e);
	else if ((r = step_kind(f, obj, &s->kind, e)) == 0 &&
		 (r = read_body(c, f, obj, s, e)) == 0 &&
		 (r = spec_inputs(c, f, obj, NULL, NULL, s->kind, s, e)) == 0 &&
		 (r = spec_outputs(c, f, obj, NULL, NULL, s->kind, s, e)) == 0)
		r = spec_check_subst(f, obj, s, e);
	return r;
}

/* --- substitutions --- */

static bool get_name(void *user, bool output, const char *name, struct slu_subst_value *ret)
{
	const struct slu_spec_step *s = user;
	const struct slu_spec_input *in = output ? NULL : slu_spec_find_input(s, name);

	if (output ? !slu_spec_find_output(s, name) : !in)
		return false;
	/* The place is what is checked, so any plain text will do. */
	*ret = (struct slu_subst_value){"x", true};
	if (in && !in->literal && !in->ref && !in->step)
		ret->text = NULL;
	return true;
}

static char *known_names(void *user, bool output)
{
	const struct slu_spec_step *s = user;
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1024);

	for (size_t i = 0; i < (output ? s->nout : s->nin); i++)
		slu_buf_fmt(&b, "%s'%s'", i ? ", " : "", output ? s->out[i].name : s->in[i].name);
	return slu_buf_take(&b);
}

static int check_env(const struct slu_spec_step *s, const struct slu_subst *v, struct slu_err *e)
{
	int r = 0;

	for (void *it = slu_json_iter(s->env); it && r == 0; it = slu_json_next(s->env, it)) {
		SLU_AUTO(slu_freep) char *out = NULL;

		r = slu_subst(slu_json_string(slu_json_iter_value(it)), SLU_SUBST_PLAIN, v, &out,
			      e);
	}
	return r;
}

int spec_check_subst(const struct spec_file *f, const struct json_t *o,
		     const struct slu_spec_step *s, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *at = spec_where(f, o, s->command ? "command" : "args");
	SLU_AUTO(slu_freep) char *at_env = spec_where(f, o, "environment_variables");
	SLU_AUTO(slu_freep) char *out = NULL;
	struct slu_subst v = {get_name, known_names, (void *)s, at};
	char **words = NULL;
	int r = at && at_env ? 0 : slu_fail_oom(e);

	if (r == 0 && s->command)
		r = slu_subst(s->command, SLU_SUBST_SHELL, &v, &out, e);
	if (r == 0 && s->spark.args)
		r = slu_subst_words(s->spark.args, &v, &words, e);
	slu_words_free(words);
	v.where = at_env;
	return r < 0 ? r : check_env(s, &v, e);
}
