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
#include "dataset/workspace.h"
#include "job/environment.h"
#include "job/subst.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* --- kind --- */

int spec_kind(const struct spec_file *f, const struct json_t *o, bool pipeline,
	      enum slu_job_kind *ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *type = NULL;
	int r = spec_word(f, o, "type", &type, e);

	if (r < 0)
		return r;
	if (!type)
		type = slu_strdup(slu_json_get(o, "jobs") ? "pipeline"
				  : slu_json_get(o, "entry") && !slu_json_get(o, "command")
					  ? "spark"
					  : "command");
	if (!type)
		return slu_fail_oom(e);
	for (enum slu_job_kind k = SLU_JOB_COMMAND; k <= SLU_JOB_PIPELINE; k++)
		if (slu_streq(type, slu_job_kind_name(k)) && (k != SLU_JOB_PIPELINE || pipeline)) {
			*ret = k;
			return 0;
		}
	return slu_yaml_fail(f->yaml, o, slu_json_get(o, "type") ? "type" : NULL, e,
			     "a step of type '%s' is not supported: use command, spark or pipeline",
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

/* Of a step before that of its component. */
static int read_environment(const struct spec_file *f, const struct json_t *o,
			    struct slu_spec_step *s, struct slu_err *e)
{
	struct json_t *def = NULL;
	int r = slu_environment_read(f->yaml, o, "environment", f->dir, &def, e);

	if (r < 0 || !def)
		return r;
	slu_json_free(s->environment);
	s->environment = def;
	free(s->environment_where);
	s->environment_where = spec_where(f, o, "environment");
	return s->environment_where ? 0 : slu_fail_oom(e);
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

/* As parallel steps of the schema have them. */
static int read_retries(const struct spec_file *f, const struct json_t *o, struct slu_spec_step *s,
			struct slu_err *e)
{
	static const char *const keys[] = {"max_retries", "timeout", NULL};
	const struct json_t *v = slu_json_get(o, "retry_settings");
	int r;

	if (!v || slu_json_is_null(v))
		return 0;
	if (!slu_json_is_object(v))
		return slu_yaml_fail(f->yaml, o, "retry_settings", e,
				     "'retry_settings' is not a map");
	r = slu_yaml_known_keys(f->yaml, v, keys, e);
	if (r < 0)
		return r;
	int64_t n = slu_json_int(v, "max_retries", slu_json_get(v, "max_retries") ? -1 : 0);
	if (n < 0 || n > 100)
		return slu_yaml_fail(f->yaml, v, "max_retries", e,
				     "'max_retries' is a number from 0 to 100");
	s->retries = (unsigned)n;
	if (!slu_json_get(v, "timeout"))
		return 0;
	n = slu_json_int(v, "timeout", -1);
	if (n <= 0 || n > 366LL * 86400)
		return slu_yaml_fail(f->yaml, v, "timeout", e,
				     "'timeout' is a number of seconds, at most a year");
	s->timeout = (uint64_t)n;
	return 0;
}

static int read_deterministic(const struct spec_file *f, const struct json_t *o,
			      struct slu_spec_step *s, struct slu_err *e)
{
	bool same = !s->always_run;
	int r = spec_flag(f, o, "is_deterministic", &same, e);

	s->always_run = !same;
	return r;
}

int spec_after(const struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
	       struct json_t *list, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, "depends_on");

	if (!v || slu_json_is_null(v))
		return 0;
	if (!slu_json_is_array(v) || !c->in_pipeline)
		return slu_yaml_fail(f->yaml, o, "depends_on", e,
				     "'depends_on' is a list of other steps of a pipeline");
	for (size_t i = 0; i < slu_json_count(v); i++) {
		const char *name = slu_json_string(slu_json_at(v, i));
		SLU_AUTO(slu_freep) char *whole = NULL;

		if (!name)
			return slu_yaml_fail(f->yaml, o, "depends_on", e,
					     "'depends_on' is a list of names of steps");
		whole = slu_asprintf("%s%s", c->prefix, name);
		if (!whole || slu_json_append(list, slu_json_new_str(whole)) < 0)
			return slu_fail_oom(e);
	}
	return 0;
}

/* Order without data: a list of steps, and those that the pipelines around it wait for. */
static int read_after(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		      struct slu_spec_step *s, struct slu_err *e)
{
	if (!slu_json_get(o, "depends_on") && (!slu_json_count(c->after) || s->after))
		return 0;
	if (!s->after)
		s->after = c->after ? slu_json_copy(c->after) : slu_json_array();
	return s->after ? spec_after(c, f, o, s->after, e) : slu_fail_oom(e);
}

static int read_compute(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
			struct slu_spec_step *s, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	int r = spec_compute(c, f, o, "compute", &text, e);

	if (r < 0)
		return r;
	const char *name = text ? text : c->compute;
	if (!name)
		return 0;
	free(s->compute);
	free(s->compute_where);
	s->compute = slu_strdup(spec_plain_name(name));
	s->compute_where = spec_where(f, o, text ? "compute" : NULL);
	return s->compute && s->compute_where ? 0 : slu_fail_oom(e);
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

/* What is the job's rather than the step's. */
static int read_frame(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		      struct slu_spec_step *s, struct slu_err *e)
{
	int r = spec_note_idle(c, f, o, e);

	return r < 0 ? r : spec_identity(c, f, o, &s->identity, e);
}

static int read_body(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		     struct slu_spec_step *s, struct slu_err *e)
{
	int r = spec_step_keys(f, o, s->kind, e);

	if (r == 0)
		r = read_frame(c, f, o, s, e);
	if (r == 0)
		r = read_code(f, o, s, e);
	if (r == 0)
		r = read_env(f, o, s, e);
	if (r == 0)
		r = read_environment(f, o, s, e);
	if (r == 0)
		r = spec_distribution(c, f, o, s, e);
	if (r == 0)
		r = read_limits(f, o, s, e);
	if (r == 0)
		r = read_retries(f, o, s, e);
	if (r == 0)
		r = read_deterministic(f, o, s, e);
	if (r == 0)
		r = read_after(c, f, o, s, e);
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
	int r = spec_override_keys(f, o, s->kind, e);

	if (r == 0)
		r = read_frame(c, f, o, s, e);
	if (r == 0)
		r = read_env(f, o, s, e);
	if (r == 0)
		r = read_environment(f, o, s, e);
	if (r == 0)
		r = read_limits(f, o, s, e);
	if (r == 0)
		r = read_retries(f, o, s, e);
	if (r == 0)
		r = read_deterministic(f, o, s, e);
	if (r == 0)
		r = read_after(c, f, o, s, e);
	if (r == 0)
		r = read_compute(c, f, o, s, e);
	if (r == 0)
		r = spec_text(f, o, "display_name", &s->display_name, e);
	return r;
}

/* The name in azureml://registries/R/components/NAME/..., or behind azureml:. */
static const char *component_name(const char *text, size_t *ret_len)
{
	const char *name = strstr(text, "/components/");

	name = name ? name + strlen("/components/") : spec_plain_name(text);
	*ret_len = strcspn(name, ":@/");
	return name;
}

/* azureml:NAME, azureml:NAME:VERSION, azureml:NAME@LABEL or one of a registry, of
 * "components" in config.json: *ret NULL when it is not there. */
static int registered(const struct spec_ctx *c, const char *text, char **ret, struct slu_err *e)
{
	const struct json_t *all =
		c->workspace ? slu_json_get(c->workspace->config, "components") : NULL;
	size_t len;
	const char *name = component_name(text, &len), *path;
	SLU_AUTO(slu_freep) char *bare = slu_strndup(name, len);

	if (!bare)
		return slu_fail_oom(e);
	path = slu_json_str(all, bare);
	if (!path)
		return 0;
	*ret = path[0] == '/' ? slu_strdup(path) : slu_asprintf("%s/%s", c->workspace->dir, path);
	return *ret ? 0 : slu_fail_oom(e);
}

static int component_path(const struct spec_ctx *c, const struct spec_file *f,
			  const struct json_t *o, const char *text, char **ret, struct slu_err *e)
{
	const char *rel = slu_after(text, "file:");
	int r = 0;

	rel = rel ? rel : text;
	if (slu_starts(rel, "azureml:")) {
		size_t len;
		const char *name = component_name(rel, &len);

		r = registered(c, rel, ret, e);
		if (r == 0 && !*ret)
			r = slu_yaml_fail(f->yaml, o, "component", e,
					  "component '%s' is not known here: put \"components\": "
					  "{\"%.*s\": \"FILE.yml\"} into config.json, or say "
					  "component: ./FILE.yml",
					  text, (int)len, name);
		return r;
	}
	if (strstr(rel, "://"))
		return slu_yaml_fail(f->yaml, o, "component", e,
				     "component '%s' is not a file: say component: ./FILE.yml",
				     text);
	if (slu_starts(rel, "./"))
		rel += 2;
	*ret = rel[0] == '/' ? slu_strdup(rel) : slu_asprintf("%s/%s", f->dir, rel);
	return *ret ? 0 : slu_fail_oom(e);
}

int spec_component(const struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		   struct spec_file *own, const struct spec_file **ret_cf, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, "component");
	SLU_AUTO(slu_freep) char *text = NULL, *path = NULL;
	struct slu_err why = {0};
	int r;

	*ret_cf = slu_json_is_object(v) ? f : NULL;
	if (!v || slu_json_is_object(v))
		return 0;
	r = spec_text(f, o, "component", &text, e);
	if (r == 0 && !text)
		r = slu_yaml_fail(f->yaml, o, "component", e, "'component' is not a file name");
	if (r == 0)
		r = component_path(c, f, o, text, &path, e);
	if (r < 0)
		return r;
	r = spec_file_open(path, own, &why);
	if (r < 0 && r != -EBADMSG)
		return slu_yaml_fail(f->yaml, o, "component", e, "%s", why.msg);
	if (r < 0)
		return slu_fail(e, -r, "%s", why.msg);
	if (!slu_json_is_object(slu_yaml_root(own->yaml)))
		return slu_yaml_fail(own->yaml, slu_yaml_root(own->yaml), NULL, e,
				     "a component is a map");
	*ret_cf = own;
	return 0;
}

const struct json_t *spec_component_body(const struct spec_file *f, const struct json_t *o,
					 const struct spec_file *cf)
{
	return !cf ? NULL : cf == f ? slu_json_get(o, "component") : slu_yaml_root(cf->yaml);
}

static int component_step(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
			  const struct spec_file *cf, struct slu_spec_step *s, struct slu_err *e)
{
	const struct json_t *body = spec_component_body(f, o, cf);
	enum slu_job_kind said;
	int r;

	if ((r = spec_kind(cf, body, false, &s->kind, e)) < 0)
		return r;
	if (slu_json_get(o, "type") && (r = spec_kind(f, o, true, &said, e)) < 0)
		return r;
	if (slu_json_get(o, "type") && said != s->kind)
		return slu_yaml_fail(f->yaml, o, "type", e, "the component is of type '%s'",
				     slu_job_kind_name(s->kind));
	if ((r = read_body(c, cf, body, s, e)) < 0 || (r = read_override(c, f, o, s, e)) < 0 ||
	    (r = spec_inputs(c, f, o, cf, body, s->kind, s, e)) < 0 ||
	    (r = spec_outputs(c, f, o, cf, body, s->kind, s, e)) < 0)
		return r;
	return spec_check_subst(cf, body, s, e);
}

int spec_step(struct spec_ctx *c, const struct spec_file *f, const struct json_t *obj,
	      const char *name, const struct spec_file *cf, struct slu_spec_step *s,
	      struct slu_err *e)
{
	int r;

	s->name = slu_strdup(name);
	s->where = spec_where(f, obj, NULL);
	s->datastore = slu_strdup(c->datastore);
	if (!s->name || !s->where || (c->datastore && !s->datastore))
		return slu_fail_oom(e);
	if (cf)
		r = component_step(c, f, obj, cf, s, e);
	else if ((r = spec_kind(f, obj, false, &s->kind, e)) == 0 &&
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
