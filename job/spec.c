/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job file as a whole: reading it, overrides, the three kinds of jobs, and what all spec files share.
 */
#include "job/spec_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "job/subst.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX_BYTES = 1 << 20, NAME_MAX_BYTES = 40 };

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

int spec_word(const struct spec_file *f, const struct json_t *o, const char *key, char **ret,
	      struct slu_err *e)
{
	int r = spec_text(f, o, key, ret, e);

	for (char *p = r == 0 ? *ret : NULL; p && *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return r;
}

int spec_flag(const struct spec_file *f, const struct json_t *o, const char *key, bool *ret,
	      struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, key);

	if (!v || slu_json_is_null(v))
		return 0;
	if (!slu_json_is_bool(v))
		return slu_yaml_fail(f->yaml, o, key, e, "'%s' is true or false", key);
	*ret = slu_json_true(v);
	return 0;
}

int spec_place(const struct spec_file *f, const struct json_t *o, const char *key, char **ret,
	       struct slu_err *e)
{
	int line, column;

	free(*ret);
	*ret = NULL;
	if (!slu_yaml_where(f->yaml, o, &line, &column))
		return 0;
	*ret = spec_where(f, o, key);
	return *ret ? 0 : slu_fail_oom(e);
}

/* The shortest text that reads back as the same number. */
static char *real_text(double d)
{
	locale_t own, before;
	char out[40];

	if (!isfinite(d))
		return slu_strdup(isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
	before = spec_numbers_begin(&own);
	for (int prec = 1; prec <= 17; prec++) {
		snprintf(out, sizeof(out), "%.*g", prec, d);
		if (strtod(out, NULL) == d)
			break;
	}
	spec_numbers_end(before, own);
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

void spec_input_done(struct slu_spec_input *in)
{
	free(in->name);
	free(in->type);
	free(in->literal);
	free(in->ref);
	free(in->step);
	free(in->output);
	free(in->at);
	free(in->where);
	free(in->ref_where);
}

void spec_output_done(struct slu_spec_output *o)
{
	free(o->name);
	free(o->type);
	free(o->path);
	free(o->register_as);
	free(o->version);
	free(o->description);
	free(o->at);
	free(o->where);
	free(o->path_where);
	slu_json_free(o->tags);
	slu_json_free(o->source_globs);
	slu_json_free(o->table);
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
	slu_json_free(s->environment);
	slu_json_free(s->after);
	free(s->compute);
	free(s->compute_where);
	free(s->environment_where);
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
	slu_json_free(j->identity);
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

/* What the file is instead, when that is known. */
static int other_kind(const struct spec_file *f, const struct json_t *o, const char *type,
		      struct slu_err *e)
{
	static const char *const stores[] = {
		"azure_blob", "azure_data_lake_gen2", "azure_file", "local", "hdfs", NULL};

	static const char *const computes[] = {"amlcompute",   "computeinstance", "kubernetes",
					       "synapsespark", "virtualmachine",  NULL};

	if (spec_in_list(computes, type))
		return slu_yaml_fail(f->yaml, o, "type", e,
				     "this is a compute, not a job: `sluice compute create --file` "
				     "reads it");
	if (spec_in_list(spec_data_types, type))
		return slu_yaml_fail(f->yaml, o, "type", e,
				     "this is a data asset, not a job: `sluice data create --file` "
				     "reads it");
	if (spec_in_list(stores, type))
		return slu_yaml_fail(f->yaml, o, "type", e,
				     "this is a datastore, not a job: `sluice datastore create "
				     "--file` reads it");
	return slu_yaml_fail(f->yaml, o, "type", e,
			     "a job of type '%s' is not supported: use command, spark or pipeline",
			     type);
}

static int job_kind(const struct spec_file *f, enum slu_job_kind *ret, struct slu_err *e)
{
	const struct json_t *o = slu_yaml_root(f->yaml);
	SLU_AUTO(slu_freep) char *type = NULL;
	int r = spec_word(f, o, "type", &type, e);

	if (r < 0)
		return r;
	if (!type)
		*ret = slu_json_get(o, "jobs")                                   ? SLU_JOB_PIPELINE
		       : slu_json_get(o, "entry") && !slu_json_get(o, "command") ? SLU_JOB_SPARK
										 : SLU_JOB_COMMAND;
	else if (slu_streq(type, "pipeline"))
		*ret = SLU_JOB_PIPELINE;
	else if (slu_streq(type, "spark"))
		*ret = SLU_JOB_SPARK;
	else if (slu_streq(type, "command"))
		*ret = SLU_JOB_COMMAND;
	else
		return other_kind(f, o, type, e);
	return 0;
}

/* --- all of it --- */

static int read_single(struct spec_ctx *c, struct slu_err *e)
{
	const struct json_t *root = slu_yaml_root(c->file->yaml);
	const struct spec_file *cf = NULL;
	struct spec_file own = {0};
	struct slu_job *j = c->job;
	int r;

	j->steps = slu_new0(struct slu_spec_step);
	if (!j->steps)
		return slu_fail_oom(e);
	j->nsteps = 1;
	r = spec_component(c, c->file, root, &own, &cf, e);
	if (r == 0)
		r = spec_step(c, c->file, root, j->name, cf, &j->steps[0], e);
	spec_file_done(&own);
	return r;
}

static int read_job(const char *path, const struct spec_file *f, const struct json_t *overrides,
		    const struct slu_workspace *w, struct slu_job *j, struct slu_err *e)
{
	struct spec_ctx c = {.job = j, .file = f, .workspace = w, .prefix = ""};
	const struct json_t *root = slu_yaml_root(f->yaml);
	int r;

	if (!slu_json_is_object(root))
		return slu_yaml_fail(f->yaml, root, NULL, e, "a job file is a map with 'type'");
	if ((r = spec_override(f, overrides, e)) < 0 || (r = job_kind(f, &j->kind, e)) < 0 ||
	    (r = read_head(&c, path, e)) < 0)
		return r;
	return j->kind == SLU_JOB_PIPELINE ? spec_pipeline(&c, e) : read_single(&c, e);
}

int slu_job_read(const char *path, const struct json_t *overrides, struct slu_job **ret,
		 struct slu_err *e)
{
	return slu_job_read_in(NULL, path, overrides, ret, e);
}

int slu_job_read_in(const struct slu_workspace *w, const char *path, const struct json_t *overrides,
		    struct slu_job **ret, struct slu_err *e)
{
	SLU_AUTO(slu_job_freep) struct slu_job *j = slu_new0(struct slu_job);
	struct spec_file f = {0};
	int r;

	if (!j || !(j->notes = slu_json_array()))
		return slu_fail_oom(e);
	r = spec_file_open(path, &f, e);
	if (r == 0)
		r = read_job(path, &f, overrides, w, j, e);
	spec_file_done(&f);
	if (r == 0)
		r = spec_identity_check(j, e);
	if (r < 0)
		return r;
	*ret = slu_take(j);
	return 0;
}
