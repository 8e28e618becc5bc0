/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job file as a whole: reading it, overrides, the three kinds of jobs, and what all spec files share.
 */
#include "job/spec_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "job/graph.h"
#include "job/subst.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX_BYTES = 1 << 20, STEPS_MAX = 1000, NAME_MAX_BYTES = 40 };

/* --- shared helpers --- */

int spec_file_open(const char *path, struct spec_file *ret, struct slu_err *e)
{
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	SLU_AUTO(slu_freep) char *abs = NULL;
	int r = slu_yaml_read_file(path, FILE_MAX_BYTES, &y, e);

	if (r == 0)
		r = slu_path_absolute(path, &abs, e);
	if (r < 0)
		return r;
	char *slash = strrchr(abs, '/');
	slash[slash == abs ? 1 : 0] = '\0';
	ret->yaml = slu_take(y);
	ret->dir = slu_take(abs);
	return 0;
}

void spec_file_done(struct spec_file *f)
{
	slu_yaml_free(f->yaml);
	free(f->dir);
	*f = (struct spec_file){0};
}

char *spec_where(const struct spec_file *f, const struct json_t *o, const char *key)
{
	struct slu_err e = {0};
	char *end;

	slu_yaml_fail(f->yaml, o, key, &e, "%s", "@");
	end = strstr(e.msg, ": @");
	if (end)
		*end = '\0';
	return slu_strdup(e.msg);
}

int spec_text(const struct spec_file *f, const struct json_t *o, const char *key, char **ret,
	      struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, key);
	char *text;

	if (!v || slu_json_is_null(v))
		return 0;
	if (slu_json_is_array(v) || slu_json_is_object(v))
		return slu_yaml_fail(f->yaml, o, key, e, "'%s' is not text", key);
	text = spec_scalar(v);
	if (!text)
		return slu_fail_oom(e);
	free(*ret);
	*ret = text;
	return 0;
}

/* The shortest text that reads back as the same number. */
static char *real_text(double d)
{
	char out[40];

	if (!isfinite(d))
		return slu_strdup(isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
	for (int prec = 1; prec <= 17; prec++) {
		snprintf(out, sizeof(out), "%.*g", prec, d);
		if (strtod(out, NULL) == d)
			break;
	}
	return slu_asprintf("%s%s", out, strpbrk(out, ".e") ? "" : ".0");
}

char *spec_scalar(const struct json_t *v)
{
	if (slu_json_is_string(v))
		return slu_strdup(slu_json_string(v));
	if (slu_json_is_bool(v))
		return slu_strdup(slu_json_true(v) ? "True" : "False");
	if (slu_json_is_int(v))
		return slu_asprintf("%lld", (long long)slu_json_integer(v));
	if (!v || slu_json_is_null(v) || slu_json_is_array(v) || slu_json_is_object(v))
		return NULL;
	return real_text(slu_json_number(v));
}

int spec_note(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
	      const char *key, const char *why, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *at = spec_where(f, o, key), *text = NULL, *mark = NULL;

	mark = slu_asprintf(": '%s' has no effect here:", key);
	if (!at || !mark || !c->job->notes)
		return slu_fail_oom(e);
	for (size_t i = 0; i < slu_json_count(c->job->notes); i++)
		if (strstr(slu_json_string(slu_json_at(c->job->notes, i)), mark))
			return 0;
	text = slu_asprintf("%s%s %s", at, mark, why);
	if (!text || slu_json_append(c->job->notes, slu_json_new_str(text)) < 0)
		return slu_fail_oom(e);
	return 0;
}

const char *spec_plain_name(const char *text)
{
	const char *name = slu_after(text, "azureml:");

	return name ? name : text;
}

const char *slu_job_kind_name(enum slu_job_kind k)
{
	static const char *const names[] = {"command", "spark", "pipeline"};

	return names[k];
}

const struct slu_spec_input *slu_spec_find_input(const struct slu_spec_step *s, const char *name)
{
	for (size_t i = 0; i < s->nin; i++)
		if (slu_streq(s->in[i].name, name))
			return &s->in[i];
	return NULL;
}

const struct slu_spec_output *slu_spec_find_output(const struct slu_spec_step *s, const char *name)
{
	for (size_t i = 0; i < s->nout; i++)
		if (slu_streq(s->out[i].name, name))
			return &s->out[i];
	return NULL;
}

void slu_spec_step_done(struct slu_spec_step *s)
{
	for (size_t i = 0; i < s->nin; i++)
		spec_input_done(&s->in[i]);
	for (size_t i = 0; i < s->nout; i++)
		spec_output_done(&s->out[i]);
	free(s->in);
	free(s->out);
	free(s->name);
	free(s->display_name);
	free(s->description);
	free(s->code);
	free(s->command);
	free(s->spark.entry);
	free(s->spark.class_name);
	free(s->spark.args);
	slu_json_free(s->spark.py_files);
	slu_json_free(s->spark.jars);
	slu_json_free(s->spark.files);
	slu_json_free(s->spark.archives);
	slu_json_free(s->spark.conf);
	slu_json_free(s->env);
	free(s->compute);
	free(s->datastore);
	free(s->where);
	*s = (struct slu_spec_step){0};
}

void slu_job_free(struct slu_job *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->nsteps; i++)
		slu_spec_step_done(&j->steps[i]);
	free(j->steps);
	free(j->name);
	free(j->display_name);
	free(j->experiment);
	free(j->description);
	slu_json_free(j->tags);
	slu_json_free(j->notes);
	free(j);
}

/* --- the head of a job --- */

/* A part of run ids, and so of paths: [a-z0-9_-], no first '-'. */
static char *base_name(const char *text)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(NAME_MAX_BYTES + 1);

	for (; *text && b.len < NAME_MAX_BYTES; text++) {
		bool keep = isalnum((unsigned char)*text) || *text == '-' || *text == '_';

		if (keep && !(*text == '-' && b.len == 0))
			slu_buf_ch(&b, (char)tolower((unsigned char)*text));
		else if (b.len && b.p[b.len - 1] != '_')
			slu_buf_ch(&b, '_');
	}
	return b.len ? slu_buf_take(&b) : slu_strdup("run");
}

static char *file_stem(const char *path)
{
	const char *base = slu_path_base(path), *dot = strrchr(base, '.');

	return slu_strndup(base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}

static int read_head(struct spec_ctx *c, const char *path, struct slu_err *e)
{
	const struct spec_file *f = c->file;
	const struct json_t *o = slu_yaml_root(f->yaml), *tags = slu_json_get(o, "tags");
	SLU_AUTO(slu_freep) char *name = NULL;
	struct slu_job *j = c->job;
	int r;

	if ((r = spec_text(f, o, "name", &name, e)) < 0 ||
	    (r = spec_text(f, o, "display_name", &j->display_name, e)) < 0 ||
	    (r = spec_text(f, o, "experiment_name", &j->experiment, e)) < 0 ||
	    (r = spec_text(f, o, "description", &j->description, e)) < 0)
		return r;
	if (tags && !slu_json_is_null(tags) && !slu_json_is_object(tags))
		return slu_yaml_fail(f->yaml, o, "tags", e, "'tags' is not a map");
	if (tags && !(j->tags = slu_json_copy(tags)))
		return slu_fail_oom(e);
	if (!name && !(name = file_stem(path)))
		return slu_fail_oom(e);
	j->name = base_name(name);
	return j->name ? 0 : slu_fail_oom(e);
}

static int job_kind(const struct spec_file *f, enum slu_job_kind *ret, struct slu_err *e)
{
	const struct json_t *o = slu_yaml_root(f->yaml);
	SLU_AUTO(slu_freep) char *type = NULL;
	int r = spec_text(f, o, "type", &type, e);

	if (r < 0)
		return r;
	if (!type)
		*ret = slu_json_get(o, "jobs")    ? SLU_JOB_PIPELINE
		       : slu_json_get(o, "entry") ? SLU_JOB_SPARK
						  : SLU_JOB_COMMAND;
	else if (slu_streq(type, "pipeline"))
		*ret = SLU_JOB_PIPELINE;
	else if (slu_streq(type, "spark"))
		*ret = SLU_JOB_SPARK;
	else if (slu_streq(type, "command"))
		*ret = SLU_JOB_COMMAND;
	else
		return slu_yaml_fail(
			f->yaml, o, "type", e,
			"a job of type '%s' is not supported: use command, spark or pipeline",
			type);
	return 0;
}

/* --- overrides --- */

/* What a person typed stands for a path of the current folder, not of the file's. */
static int override_ref(const char *text, char **ret, struct slu_err *e)
{
	struct stat st;

	if (text[0] == '.' || (!strchr(text, ':') && text[0] != '/' && lstat(text, &st) == 0))
		return slu_path_absolute(text, ret, e);
	*ret = slu_strdup(text);
	return *ret ? 0 : slu_fail_oom(e);
}

static int override_one(struct json_t *inputs, const char *name, const struct json_t *v,
			struct slu_err *e)
{
	const struct json_t *old = slu_json_get(inputs, name);
	SLU_AUTO(slu_json_freep) struct json_t *obj = NULL;
	SLU_AUTO(slu_freep) char *text = NULL, *type = NULL;
	int r;

	if (!slu_json_is_string(v) || !slu_json_is_object(old))
		return slu_json_set(inputs, name, slu_json_copy(v)) < 0 ? slu_fail_oom(e) : 0;
	type = slu_strdup(slu_json_str(old, "type"));
	if (type && !slu_starts(type, "uri_") && !slu_streq(type, "mltable"))
		text = slu_strdup(slu_json_string(v));
	else if ((r = override_ref(slu_json_string(v), &text, e)) < 0)
		return r;
	obj = slu_json_copy(old);
	if (!obj || !text)
		return slu_fail_oom(e);
	bool data = !type || slu_starts(type, "uri_") || slu_streq(type, "mltable");
	if (slu_json_set_str(obj, data ? "path" : "value", text) < 0 ||
	    slu_json_set(inputs, name, slu_json_ref(obj)) < 0)
		return slu_fail_oom(e);
	return 0;
}

static int apply_overrides(const struct spec_file *f, const struct json_t *overrides,
			   struct slu_err *e)
{
	struct json_t *inputs = slu_json_get(slu_yaml_root(f->yaml), "inputs");
	const struct json_t *over = slu_json_get(overrides, "inputs");
	int r = 0;

	for (void *it = slu_json_iter(over); it && r == 0; it = slu_json_next(over, it)) {
		const char *name = slu_json_iter_key(it);

		if (!slu_json_get(inputs, name)) {
			SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(512);

			for (void *k = slu_json_iter(inputs); k; k = slu_json_next(inputs, k))
				slu_buf_fmt(&b, "%s'%s'", b.len ? ", " : "", slu_json_iter_key(k));
			return slu_fail(e, EINVAL, "the job has no input '%s' to set; it has %s",
					name, b.len ? b.p : "none");
		}
		r = override_one(inputs, name, slu_json_iter_value(it), e);
	}
	return r;
}

/* --- pipelines --- */

static const char *const pipeline_keys[] = {
	"$schema", "type",       "name",     "display_name", "description", "experiment_name",
	"tags",    "properties", "inputs",   "outputs",      "jobs",        "settings",
	"compute", "identity",   "services", "limits",       NULL};

struct pipeline {
	struct slu_spec_step head; /* its inputs and outputs, as a step has them */
	char *compute, *datastore;
	bool *bound;
};

static void pipeline_done(struct pipeline *p)
{
	slu_spec_step_done(&p->head);
	free(p->compute);
	free(p->datastore);
	free(p->bound);
}

static int read_settings(struct spec_ctx *c, struct pipeline *p, struct slu_err *e)
{
	static const char *const keys[] = {"default_compute", "default_datastore",
					   "continue_on_step_failure", "force_rerun", NULL};
	const struct spec_file *f = c->file;
	const struct json_t *o = slu_yaml_root(f->yaml), *v = slu_json_get(o, "settings");
	int r = spec_text(f, o, "compute", &p->compute, e);

	if (r < 0 || !v || slu_json_is_null(v))
		return r;
	if (!slu_json_is_object(v))
		return slu_yaml_fail(f->yaml, o, "settings", e, "'settings' is not a map");
	if ((r = slu_yaml_known_keys(f->yaml, v, keys, e)) < 0 ||
	    (r = spec_text(f, v, "default_compute", &p->compute, e)) < 0 ||
	    (r = spec_text(f, v, "default_datastore", &p->datastore, e)) < 0)
		return r;
	c->job->continue_on_failure = slu_json_bool(v, "continue_on_step_failure", false);
	if (slu_json_get(v, "force_rerun"))
		r = spec_note(c, f, v, "force_rerun", "every step runs every time", e);
	return r;
}

/* An edge must end at an output that is there. */
static int check_edges(const struct slu_job *j, struct slu_err *e)
{
	for (size_t i = 0; i < j->nsteps; i++)
		for (size_t k = 0; k < j->steps[i].nin; k++) {
			const struct slu_spec_input *in = &j->steps[i].in[k];

			for (size_t m = 0; in->step && m < j->nsteps; m++)
				if (slu_streq(j->steps[m].name, in->step) &&
				    !slu_spec_find_output(&j->steps[m], in->output))
					return slu_fail(e, EINVAL,
							"%s: step '%s' has no output '%s'",
							in->where, in->step, in->output);
		}
	return 0;
}

static bool step_name_ok(const char *s)
{
	return (isalpha((unsigned char)*s) || *s == '_') && strlen(s) <= 64 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		       strlen(s);
}

static int read_steps(struct spec_ctx *c, const struct json_t *jobs, struct slu_err *e)
{
	const struct spec_file *f = c->file;
	struct slu_job *j = c->job;

	j->steps = slu_calloc(slu_json_count(jobs), sizeof(*j->steps));
	if (!j->steps)
		return slu_fail_oom(e);
	for (void *it = slu_json_iter(jobs); it; it = slu_json_next(jobs, it)) {
		const char *name = slu_json_iter_key(it);

		if (!step_name_ok(name))
			return slu_yaml_fail(f->yaml, jobs, name, e,
					     "'%s' is no step name: letters, digits, '_' and '-', "
					     "a letter first",
					     name);
		if (!slu_json_is_object(slu_json_iter_value(it)))
			return slu_yaml_fail(f->yaml, jobs, name, e, "step '%s' is not a map",
					     name);
		int r = spec_step(c, f, slu_json_iter_value(it), name, &j->steps[j->nsteps++], e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_bound(struct spec_ctx *c, const struct pipeline *p, struct slu_err *e)
{
	for (size_t i = 0; i < p->head.nout; i++)
		if (!p->bound[i])
			return slu_fail(e, EINVAL,
					"%s: no step writes the pipeline's output '%s'; bind it: "
					"outputs: NAME: ${{parent.outputs.%s}}",
					p->head.out[i].where, p->head.out[i].name,
					p->head.out[i].name);
	(void)c;
	return 0;
}

static int pipeline_parts(struct spec_ctx *c, struct pipeline *p, struct slu_err *e)
{
	const struct spec_file *f = c->file;
	const struct json_t *o = slu_yaml_root(f->yaml), *jobs = slu_json_get(o, "jobs");
	int r;

	if ((r = slu_yaml_known_keys(f->yaml, o, pipeline_keys, e)) < 0 ||
	    (r = read_settings(c, p, e)) < 0)
		return r;
	if (!slu_json_is_object(jobs) || slu_json_count(jobs) == 0)
		return slu_yaml_fail(f->yaml, o, jobs ? "jobs" : NULL, e,
				     "a pipeline has a map 'jobs' with at least one step");
	if (slu_json_count(jobs) > STEPS_MAX)
		return slu_yaml_fail(f->yaml, o, "jobs", e, "more than %d steps", STEPS_MAX);
	if ((r = spec_inputs(c, f, o, NULL, NULL, SLU_JOB_PIPELINE, &p->head, e)) < 0 ||
	    (r = spec_outputs(c, f, o, NULL, NULL, SLU_JOB_PIPELINE, &p->head, e)) < 0)
		return r;
	p->bound = slu_calloc(p->head.nout + 1, sizeof(*p->bound));
	if (!p->bound)
		return slu_fail_oom(e);
	c->parent_in = p->head.in;
	c->nparent_in = p->head.nin;
	c->parent_out = p->head.out;
	c->nparent_out = p->head.nout;
	c->parent_out_bound = p->bound;
	c->in_pipeline = true;
	c->compute = p->compute ? spec_plain_name(p->compute) : NULL;
	c->datastore = p->datastore ? spec_plain_name(p->datastore) : NULL;
	r = read_steps(c, jobs, e);
	return r < 0 ? r : check_bound(c, p, e);
}

static int read_pipeline(struct spec_ctx *c, struct slu_err *e)
{
	struct pipeline p = {0};
	SLU_AUTO(slu_graph_freep) struct slu_graph *g = NULL;
	int r = pipeline_parts(c, &p, e);

	pipeline_done(&p);
	if (r == 0)
		r = slu_graph_new(c->job->steps, c->job->nsteps, &g, e);
	return r < 0 ? r : check_edges(c->job, e);
}

static int read_single(struct spec_ctx *c, struct slu_err *e)
{
	struct slu_job *j = c->job;

	j->steps = slu_new0(struct slu_spec_step);
	if (!j->steps)
		return slu_fail_oom(e);
	j->nsteps = 1;
	return spec_step(c, c->file, slu_yaml_root(c->file->yaml), j->name, &j->steps[0], e);
}

static int read_job(const char *path, const struct spec_file *f, const struct json_t *overrides,
		    struct slu_job *j, struct slu_err *e)
{
	struct spec_ctx c = {.job = j, .file = f};
	const struct json_t *root = slu_yaml_root(f->yaml);
	int r;

	if (!slu_json_is_object(root))
		return slu_yaml_fail(f->yaml, root, NULL, e, "a job file is a map with 'type'");
	if ((r = apply_overrides(f, overrides, e)) < 0 || (r = job_kind(f, &j->kind, e)) < 0 ||
	    (r = read_head(&c, path, e)) < 0)
		return r;
	return j->kind == SLU_JOB_PIPELINE ? read_pipeline(&c, e) : read_single(&c, e);
}

int slu_job_read(const char *path, const struct json_t *overrides, struct slu_job **ret,
		 struct slu_err *e)
{
	SLU_AUTO(slu_job_freep) struct slu_job *j = slu_new0(struct slu_job);
	struct spec_file f = {0};
	int r;

	if (!j || !(j->notes = slu_json_array()))
		return slu_fail_oom(e);
	r = spec_file_open(path, &f, e);
	if (r == 0)
		r = read_job(path, &f, overrides, j, e);
	spec_file_done(&f);
	if (r < 0)
		return r;
	*ret = slu_take(j);
	return 0;
}
