/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inputs and outputs of steps: literals, data, `${{parent...}}` bindings, what a component declares.
 * Modes are settled here; whether data exists is seen later.
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

static const char *const input_keys[] = {
	"type", "path", "mode", "default",   "optional",        "description", "value",
	"min",  "max",  "enum", "datastore", "path_on_compute", NULL};
static const char *const output_keys[] = {"type",
					  "path",
					  "mode",
					  "name",
					  "version",
					  "description",
					  "tags",
					  "allow_empty",
					  "overwrite",
					  "source_globs",
					  "on_failure",
					  "delimited",
					  "json_lines",
					  "parquet",
					  "delta_lake",
					  "partition_format",
					  "path_glob",
					  "path_on_compute",
					  "transformations",
					  NULL};

/* --- references --- */

static bool exists_in(const char *dir, const char *rel)
{
	SLU_AUTO(slu_freep) char *p = slu_asprintf("%s/%s", dir, rel);
	struct stat st;

	return p && lstat(p, &st) == 0;
}

/* Would a person mean a file of this folder?  `./x` and `../x` always; a bare word if it is there. */
static bool is_relative(const struct spec_file *f, const char *text)
{
	size_t lit = strcspn(text, "*?[{");
	SLU_AUTO(slu_freep) char *head = NULL;

	if (slu_starts(text, "./") || slu_starts(text, "../") || slu_streq(text, ".") ||
	    slu_streq(text, ".."))
		return true;
	if (text[0] == '/' || strchr(text, ':'))
		return false;
	if (text[lit])
		while (lit && text[lit - 1] != '/')
			lit--;
	head = slu_strndup(text, lit);
	return head && *head && exists_in(f->dir, head);
}

int spec_ref(const struct spec_file *f, const char *text, char **ret, struct slu_err *e)
{
	const char *rel = slu_after(text, "file:");
	SLU_AUTO(slu_freep) char *joined = NULL;

	if (!rel || rel[0] == '/')
		rel = text;
	if (!is_relative(f, rel)) {
		*ret = slu_strdup(text);
		return *ret ? 0 : slu_fail_oom(e);
	}
	joined = slu_asprintf("%s/%s", f->dir, rel);
	return joined ? slu_path_absolute(joined, ret, e) : slu_fail_oom(e);
}

/* --- modes --- */

static int input_mode(struct spec_ctx *c, const struct spec_file *f, const struct json_t *v,
		      enum slu_job_kind kind, struct slu_spec_input *in, struct slu_err *e)
{
	const char *text = slu_json_str(v, "mode");
	struct slu_err why = {0};

	if (!text) {
		if (slu_json_get(v, "mode"))
			return slu_yaml_fail(f->yaml, v, "mode", e, "'mode' is not text");
		return 0;
	}
	if (slu_streq(text, "rw_mount") && kind != SLU_JOB_SPARK) {
		in->mode = SLU_MODE_MOUNT;
		in->mode_given = true;
		return spec_note(c, f, v, "mode",
				 "an input is mounted to be read: what would write into it fails",
				 e);
	}
	in->id = slu_streq(text, "id");
	in->mode = SLU_MODE_DIRECT;
	if (!in->id && (slu_mode_parse(text, &in->mode, &why) < 0 || !slu_mode_is_input(in->mode)))
		return slu_yaml_fail(f->yaml, v, "mode", e,
				     "mode '%s' is not one that inputs have here: use ro_mount, "
				     "download, direct, hdfs, eval_mount, eval_download or id",
				     text);
	if ((in->mode == SLU_MODE_EVAL_MOUNT || in->mode == SLU_MODE_EVAL_DOWNLOAD) &&
	    !(in->type && slu_streq(in->type, "mltable")))
		return slu_yaml_fail(
			f->yaml, v, "mode", e,
			"mode '%s' gives the files that a table yields: it is of inputs "
			"with 'type: mltable'; use ro_mount or download",
			text);
	in->mode_given = true;
	if (kind != SLU_JOB_SPARK)
		return 0;
	if (in->mode != SLU_MODE_DIRECT && in->mode != SLU_MODE_HDFS)
		return slu_yaml_fail(
			f->yaml, v, "mode", e,
			"a Spark job reads its inputs itself: mode is 'direct', not '%s'", text);
	in->mode = SLU_MODE_HDFS;
	return 0;
}

/* `direct` of Spark is what Hadoop writes to. */
static bool output_mode_of(const char *text, enum slu_job_kind kind, enum slu_mode *ret)
{
	if (slu_streq(text, "mount"))
		text = "rw_mount";
	if (slu_mode_parse(text, ret, NULL) < 0)
		return false;
	if (kind == SLU_JOB_SPARK && *ret == SLU_MODE_DIRECT)
		*ret = SLU_MODE_HDFS;
	return *ret == SLU_MODE_DIRECT || *ret == SLU_MODE_HDFS || !slu_mode_is_input(*ret);
}

static int output_mode(const struct spec_file *f, const struct json_t *v, enum slu_job_kind kind,
		       struct slu_spec_output *o, struct slu_err *e)
{
	const char *text = slu_json_str(v, "mode");

	if (!text)
		return 0;
	if (!output_mode_of(text, kind, &o->mode))
		return slu_yaml_fail(
			f->yaml, v, "mode", e,
			"mode '%s' is not one that outputs have: use rw_mount, upload, "
			"direct, hdfs or link",
			text);
	if (kind == SLU_JOB_SPARK && o->mode != SLU_MODE_HDFS && o->mode != SLU_MODE_LINK)
		return slu_yaml_fail(
			f->yaml, v, "mode", e,
			"a Spark job writes its outputs itself: mode is 'direct', not '%s'", text);
	o->mode_given = true;
	return 0;
}

/* --- inputs --- */

static int copy_text(char **to, const char *from, struct slu_err *e)
{
	free(*to);
	*to = slu_strdup(from);
	return *to || !from ? 0 : slu_fail_oom(e);
}

static const struct slu_spec_input *parent_input(const struct spec_ctx *c, const char *name)
{
	for (size_t i = 0; i < c->nparent_in; i++)
		if (slu_streq(c->parent_in[i].name, name))
			return &c->parent_in[i];
	return NULL;
}

static int bind_parent_input(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
			     const char *key, const struct slu_binding *b,
			     struct slu_spec_input *in, struct slu_err *e)
{
	const struct slu_spec_input *p = parent_input(c, b->name);
	int r;

	if (!p)
		return slu_yaml_fail(f->yaml, o, key, e, "the pipeline has no input '%s'", b->name);
	if ((r = copy_text(&in->literal, p->literal, e)) < 0 ||
	    (r = copy_text(&in->ref, p->ref, e)) < 0 ||
	    (r = copy_text(&in->ref_where, p->ref_where, e)) < 0 ||
	    (r = copy_text(&in->step, p->step, e)) < 0 ||
	    (r = copy_text(&in->output, p->output, e)) < 0)
		return r;
	if (!in->type && (r = copy_text(&in->type, p->type, e)) < 0)
		return r;
	if (!in->mode_given && p->mode_given) {
		in->mode = p->mode;
		in->id = p->id;
		in->mode_given = true;
	}
	return 0;
}

/* text is the value, or the path, of an input. */
static int bind_input(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		      const char *key, const char *text, struct slu_spec_input *in,
		      struct slu_err *e)
{
	struct slu_binding b;

	if (!slu_binding_is(text)) {
		int r = spec_ref(f, text, &in->ref, e);
		return r < 0 ? r : spec_place(f, o, key, &in->ref_where, e);
	}
	if (!slu_binding_parse(text, &b) || (!*b.step && b.output) || (*b.step && !b.output))
		return slu_yaml_fail(f->yaml, o, key, e,
				     "'%s' is no binding of an input; these are: "
				     "${{parent.inputs.NAME}}, ${{parent.jobs.STEP.outputs.NAME}}",
				     text);
	if (!c->in_pipeline)
		return slu_yaml_fail(f->yaml, o, key, e,
				     "'%s' stands outside a pipeline; give a path or a value",
				     text);
	if (!*b.step)
		return bind_parent_input(c, f, o, key, &b, in, e);
	in->step = slu_asprintf("%s%s", c->prefix, b.step);
	in->output = slu_strdup(b.name);
	return in->step && in->output ? 0 : slu_fail_oom(e);
}

/* Models are folders of data here, and what was called a path is one too. */
static int plain_type(struct spec_ctx *c, const struct spec_file *f, const struct json_t *v,
		      char **type, struct slu_err *e)
{
	static const char *const folders[] = {"custom_model", "mlflow_model", "triton_model",
					      "path", NULL};

	if (!*type || !spec_in_list(folders, *type))
		return 0;
	if (!slu_streq(*type, "path") &&
	    spec_note(c, f, v, "type", "a model is data as any other, of type uri_folder", e) < 0)
		return slu_fail_oom(e);
	return copy_text(type, "uri_folder", e);
}

static int input_type(struct spec_ctx *c, const struct spec_file *f, const struct json_t *v,
		      struct slu_spec_input *in, struct slu_err *e)
{
	bool optional;
	int r = spec_flag(f, v, "optional", &optional, e);

	if (r == 0 && !in->type)
		r = spec_word(f, v, "type", &in->type, e);
	if (r < 0 || !in->type || spec_in_list(spec_data_types, in->type) ||
	    spec_in_list(spec_value_types, in->type))
		return r < 0 ? r : plain_type(c, f, v, &in->type, e);
	return slu_yaml_fail(f->yaml, v, "type", e,
			     "type '%s' is not supported: use uri_file, uri_folder, mltable, "
			     "string, number, integer or boolean",
			     in->type);
}

static bool is_literal(const struct slu_spec_input *in)
{
	return in->type && spec_in_list(spec_value_types, in->type);
}

/* An input written as an object. */
static int input_object(struct spec_ctx *c, const struct spec_file *f, const struct json_t *v,
			enum slu_job_kind kind, struct slu_spec_input *in, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	const struct json_t *dflt;
	const char *key = slu_json_get(v, "value") ? "value" : "default";
	int r = slu_yaml_known_keys(f->yaml, v, input_keys, e);

	if (r == 0)
		r = input_type(c, f, v, in, e);
	if (r == 0)
		r = input_mode(c, f, v, kind, in, e);
	if (r == 0)
		r = spec_at(f, v,
			    in->mode_given &&
				    (in->mode == SLU_MODE_DIRECT || in->mode == SLU_MODE_HDFS),
			    &in->at, e);
	if (r == 0)
		r = spec_text(f, v, "path", &path, e);
	if (r < 0)
		return r;
	if (path)
		return bind_input(c, f, v, "path", path, in, e);
	dflt = slu_json_get(v, key);
	if (!dflt || slu_json_is_null(dflt))
		return 0;
	SLU_AUTO(slu_freep) char *text = spec_scalar(dflt);
	if (!text)
		return slu_yaml_fail(f->yaml, v, key, e, "'%s' is no plain value", key);
	if (!is_literal(in) || slu_binding_is(text))
		return bind_input(c, f, v, key, text, in, e);
	return copy_text(&in->literal, text, e);
}

/* The value of key in `values`: a scalar, a binding or an object. */
static int input_value(struct spec_ctx *c, const struct spec_file *f, const struct json_t *values,
		       const char *key, enum slu_job_kind kind, struct slu_spec_input *in,
		       struct slu_err *e)
{
	const struct json_t *v = slu_json_get(values, key);
	SLU_AUTO(slu_freep) char *text = NULL;

	if (slu_json_is_object(v))
		return input_object(c, f, v, kind, in, e);
	if (slu_json_is_null(v))
		return 0;
	text = spec_scalar(v);
	if (!text)
		return slu_yaml_fail(f->yaml, values, key, e,
				     "input '%s' is a list; give a value, or an object with 'path'",
				     key);
	bool data = in->type && spec_in_list(spec_data_types, in->type);
	if (slu_json_is_string(v) && (data || slu_binding_is(text)))
		return bind_input(c, f, values, key, text, in, e);
	return copy_text(&in->literal, text, e);
}

static void input_defaults(struct slu_spec_input *in, enum slu_job_kind kind)
{
	if (kind == SLU_JOB_SPARK)
		in->mode = SLU_MODE_HDFS;
	else if (!in->mode_given)
		in->mode = SLU_MODE_MOUNT;
}

static bool has_value(const struct slu_spec_input *in)
{
	return in->literal || in->ref || in->step;
}

/* Begins in[ret->nin++]. */
static int new_input(const struct spec_file *f, const struct json_t *map, const char *name,
		     struct slu_spec_step *s, struct slu_spec_input **ret, struct slu_err *e)
{
	struct slu_spec_input *in = &s->in[s->nin];
	struct slu_err why = {0};

	if (slu_input_name_check(name, &why) < 0)
		return slu_yaml_fail(f->yaml, map, name, e, "%s", why.msg);
	*in = (struct slu_spec_input){.name = slu_strdup(name), .where = spec_where(f, map, name)};
	s->nin++;
	if (!in->name || !in->where)
		return slu_fail_oom(e);
	*ret = in;
	return 0;
}

/* Of one that is bound to an input of the pipeline, that is where the value is missing. */
static int no_value(const struct spec_file *f, const struct json_t *values, const char *name,
		    struct slu_err *e)
{
	const char *text = slu_json_str(values, name);
	struct slu_binding b;

	if (text && slu_binding_parse(text, &b) && !*b.step && !b.output)
		return slu_yaml_fail(
			f->yaml, values, name, e,
			"input '%s' gets no value, as the pipeline's input '%s' has none: "
			"give that one a 'path' or a value",
			name, b.name);
	return slu_yaml_fail(f->yaml, values, name, e, "input '%s' has no value: give it a 'path'",
			     name);
}

static int given_input(struct spec_ctx *c, const struct spec_file *f, const struct json_t *values,
		       const struct spec_file *cf, const struct json_t *decl, const char *name,
		       enum slu_job_kind kind, struct slu_spec_input *in, struct slu_err *e)
{
	int r = slu_yaml_known_keys(cf->yaml, decl, input_keys, e);

	if (r == 0)
		r = input_type(c, cf, decl, in, e);
	if (r == 0)
		r = input_mode(c, cf, decl, kind, in, e);
	if (r == 0)
		r = input_value(c, f, values, name, kind, in, e);
	if (r < 0)
		return r;
	if (kind != SLU_JOB_PIPELINE && !has_value(in) && !slu_json_bool(decl, "optional", false))
		return no_value(f, values, name, e);
	return spec_check_value(f, values, name, cf, decl, in, e);
}

/* An input that a component declares; its value stands in the step, else it has a default. */
static int declared_input(struct spec_ctx *c, const struct spec_file *f,
			  const struct json_t *values, const struct spec_file *cf,
			  const struct json_t *decls, const char *name, enum slu_job_kind kind,
			  struct slu_spec_step *s, struct slu_err *e)
{
	const struct json_t *decl = slu_json_get(decls, name);
	bool given = slu_json_get(values, name) && !slu_json_is_null(slu_json_get(values, name));
	struct slu_spec_input *in;
	int r = new_input(given ? f : cf, given ? values : decls, name, s, &in, e);

	if (r < 0)
		return r;
	if (!slu_json_is_object(decl))
		return slu_yaml_fail(cf->yaml, decls, name, e, "input '%s' has no 'type'", name);
	if (given)
		return given_input(c, f, values, cf, decl, name, kind, in, e);
	r = input_object(c, cf, decl, kind, in, e);
	if (r == 0 && !has_value(in) && !slu_json_bool(decl, "optional", false))
		r = slu_yaml_fail(f->yaml, values, NULL, e,
				  "the component's input '%s' gets no value", name);
	return r;
}

static int check_declared(const struct spec_file *f, const struct json_t *values,
			  const struct json_t *decls, const char *what, struct slu_err *e)
{
	for (void *it = slu_json_iter(values); it; it = slu_json_next(values, it))
		if (!slu_json_get(decls, slu_json_iter_key(it)))
			return slu_yaml_fail(f->yaml, values, slu_json_iter_key(it), e,
					     "the component has no %s '%s'", what,
					     slu_json_iter_key(it));
	return 0;
}

static int need_map(const struct spec_file *f, const struct json_t *o, const char *key,
		    const struct json_t **ret, struct slu_err *e)
{
	const struct json_t *v = o ? slu_json_get(o, key) : NULL;

	if (v && !slu_json_is_null(v) && !slu_json_is_object(v))
		return slu_yaml_fail(f->yaml, o, key, e, "'%s' is not a map of names", key);
	*ret = slu_json_is_object(v) ? v : NULL;
	return 0;
}

/* Inputs of an inline step: each has its value. */
static int inline_inputs(struct spec_ctx *c, const struct spec_file *f, const struct json_t *values,
			 enum slu_job_kind kind, struct slu_spec_step *s, struct slu_err *e)
{
	for (void *it = slu_json_iter(values); it; it = slu_json_next(values, it)) {
		const char *name = slu_json_iter_key(it);
		const struct json_t *v = slu_json_iter_value(it);
		struct slu_spec_input *in;
		int r = new_input(f, values, name, s, &in, e);

		if (r == 0)
			r = input_value(c, f, values, name, kind, in, e);
		if (r == 0)
			r = spec_check_value(f, values, name, NULL, NULL, in, e);
		if (r < 0)
			return r;
		if (!has_value(in) && kind != SLU_JOB_PIPELINE &&
		    !slu_json_bool(v, "optional", false))
			return no_value(f, values, name, e);
	}
	return 0;
}

int spec_inputs(struct spec_ctx *c, const struct spec_file *f, const struct json_t *step,
		const struct spec_file *cf, const struct json_t *component, enum slu_job_kind kind,
		struct slu_spec_step *s, struct slu_err *e)
{
	const struct json_t *values, *decls = NULL;
	int r = need_map(f, step, "inputs", &values, e);

	if (r == 0 && component)
		r = need_map(cf, component, "inputs", &decls, e);
	if (r < 0)
		return r;
	s->in = slu_calloc(slu_json_count(values) + slu_json_count(decls) + 1, sizeof(*s->in));
	if (!s->in)
		return slu_fail_oom(e);
	if (!component)
		r = inline_inputs(c, f, values, kind, s, e);
	else
		r = check_declared(f, values, decls, "input", e);
	for (void *it = slu_json_iter(decls); it && r == 0; it = slu_json_next(decls, it))
		r = declared_input(c, f, values ? values : step, cf, decls, slu_json_iter_key(it),
				   kind, s, e);
	for (size_t i = 0; i < s->nin && kind != SLU_JOB_PIPELINE; i++)
		input_defaults(&s->in[i], kind);
	return r;
}

/* --- outputs --- */

/* What the step did not say itself comes from the pipeline's output. */
static int inherit_output(const struct slu_spec_output *p, struct slu_spec_output *out,
			  struct slu_err *e)
{
	const struct {
		char **to;
		const char *from;
	} texts[] = {{&out->path_where, out->path ? NULL : p->path_where},
		     {&out->path, p->path},
		     {&out->register_as, p->register_as},
		     {&out->version, p->version},
		     {&out->description, p->description},
		     {&out->type, p->type}};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		int r = *texts[i].to ? 0 : copy_text(texts[i].to, texts[i].from, e);

		if (r < 0)
			return r;
	}
	if (!out->tags && p->tags)
		out->tags = slu_json_ref(p->tags);
	out->allow_empty |= p->allow_empty;
	out->overwrite |= p->overwrite;
	out->discard |= p->discard;
	if (!out->source_globs && p->source_globs)
		out->source_globs = slu_json_ref(p->source_globs);
	if (!out->table && p->table)
		out->table = slu_json_ref(p->table);
	if (!out->mode_given && p->mode_given) {
		out->mode = p->mode;
		out->mode_given = true;
	}
	return 0;
}

static int bind_output(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		       const char *key, const char *text, struct slu_spec_output *out,
		       struct slu_err *e)
{
	struct slu_binding b;
	size_t i = 0;

	if (!slu_binding_parse(text, &b) || *b.step || !b.output)
		return slu_yaml_fail(
			f->yaml, o, key, e,
			"'%s' is no binding of an output; that is ${{parent.outputs.NAME}}", text);
	while (i < c->nparent_out && !slu_streq(c->parent_out[i].name, b.name))
		i++;
	if (i == c->nparent_out)
		return slu_yaml_fail(f->yaml, o, key, e, "the pipeline has no output '%s'", b.name);
	if (c->parent_out_bound[i])
		return slu_yaml_fail(f->yaml, o, key, e,
				     "output '%s' of the pipeline is bound to two steps", b.name);
	c->parent_out_bound[i] = true;
	int r = inherit_output(&c->parent_out[i], out, e);
	return r < 0 ? r : spec_alias_add(c, b.name, out->name, e);
}

static int output_version(const struct spec_file *f, const struct json_t *v,
			  struct slu_spec_output *o, struct slu_err *e)
{
	const struct json_t *version = slu_json_get(v, "version");

	if (version && !slu_json_is_null(version)) {
		free(o->version);
		o->version = spec_scalar(version);
		if (!o->version)
			return slu_yaml_fail(f->yaml, v, "version", e,
					     "'version' is no plain value");
	}
	if (o->version && !slu_is_name(o->version))
		return slu_yaml_fail(f->yaml, v, "version", e, "'%s' is no version", o->version);
	if (o->version && !o->register_as)
		return slu_yaml_fail(f->yaml, v, "version", e,
				     "a version needs the 'name' that it is of");
	return 0;
}

static int output_register(const struct spec_file *f, const struct json_t *v,
			   struct slu_spec_output *o, struct slu_err *e)
{
	const struct json_t *tags = slu_json_get(v, "tags");
	int r = spec_text(f, v, "name", &o->register_as, e);

	if (r == 0)
		r = spec_text(f, v, "description", &o->description, e);
	if (r < 0)
		return r;
	if (o->register_as && !slu_is_name(o->register_as))
		return slu_yaml_fail(f->yaml, v, "name", e,
				     "'%s' is no dataset name: letters, digits, '_', '.' and '-'",
				     o->register_as);
	r = output_version(f, v, o, e);
	if (r < 0)
		return r;
	if (tags && !slu_json_is_object(tags))
		return slu_yaml_fail(f->yaml, v, "tags", e, "'tags' is not a map");
	if (tags) {
		slu_json_free(o->tags);
		o->tags = slu_json_copy(tags);
		if (!o->tags)
			return slu_fail_oom(e);
	}
	return spec_flag(f, v, "allow_empty", &o->allow_empty, e);
}

static int output_type(struct spec_ctx *c, const struct spec_file *f, const struct json_t *v,
		       struct slu_spec_output *o, struct slu_err *e)
{
	int r = o->type ? 0 : spec_word(f, v, "type", &o->type, e);
	const char *type;

	if (r == 0)
		r = plain_type(c, f, v, &o->type, e);
	type = o->type;
	if (r == 0 && type && !o->table && slu_streq(type, "mltable")) {
		r = spec_note(c, f, v, "type",
			      "without 'delimited', 'parquet' or the like the output is the "
			      "folder that is written, of type uri_folder",
			      e);
		return r < 0 ? r : copy_text(&o->type, "uri_folder", e);
	}
	if (r < 0 || !type || (o->table && slu_streq(type, "mltable")) ||
	    slu_streq(type, "uri_folder") || slu_streq(type, "uri_file"))
		return r;
	return slu_yaml_fail(f->yaml, v, "type", e,
			     "type '%s' of an output is not supported: use uri_folder or uri_file",
			     type);
}

/* An output's object; a component declares type and mode, the step may say more. */
static int output_object(struct spec_ctx *c, const struct spec_file *f, const struct json_t *map,
			 const char *name, enum slu_job_kind kind, struct slu_spec_output *o,
			 struct slu_err *e)
{
	const struct json_t *v = slu_json_get(map, name);
	SLU_AUTO(slu_freep) char *path = NULL;
	int r;

	if (!v || slu_json_is_null(v))
		return 0;
	if (slu_json_is_string(v))
		return bind_output(c, f, map, name, slu_json_string(v), o, e);
	if (!slu_json_is_object(v))
		return slu_yaml_fail(
			f->yaml, map, name, e,
			"output '%s' is neither an object nor ${{parent.outputs.NAME}}", name);
	if ((r = slu_yaml_known_keys(f->yaml, v, output_keys, e)) < 0 ||
	    (r = output_mode(f, v, kind, o, e)) < 0 || (r = output_register(f, v, o, e)) < 0 ||
	    (r = spec_output_policy(f, v, kind, o, e)) < 0 ||
	    (r = output_type(c, f, v, o, e)) < 0 || (r = spec_text(f, v, "path", &path, e)) < 0)
		return r;
	if (!path)
		return 0;
	if (slu_binding_is(path))
		return bind_output(c, f, v, "path", path, o, e);
	r = spec_ref(f, path, &o->path, e);
	return r < 0 ? r : spec_place(f, v, "path", &o->path_where, e);
}

static int one_output(struct spec_ctx *c, const struct spec_file *f, const struct json_t *values,
		      const struct spec_file *cf, const struct json_t *decls, const char *name,
		      enum slu_job_kind kind, struct slu_spec_step *s, struct slu_err *e)
{
	struct slu_spec_output *o = &s->out[s->nout];
	const struct json_t *at = slu_json_get(values, name) ? values : decls;
	struct slu_err why = {0};
	int r;

	if (slu_input_name_check(name, &why) < 0)
		return slu_yaml_fail((at == values ? f : cf)->yaml, at, name, e, "%s", why.msg);
	*o = (struct slu_spec_output){.name = slu_strdup(name),
				      .where = spec_where(at == values ? f : cf, at, name)};
	s->nout++;
	if (!o->name || !o->where)
		return slu_fail_oom(e);
	/* What the step says wins over what the component says. */
	r = decls ? output_object(c, cf, decls, name, kind, o, e) : 0;
	if (r == 0)
		r = output_object(c, f, values, name, kind, o, e);
	if (r < 0 || kind == SLU_JOB_PIPELINE)
		return r;
	if (!o->mode_given)
		o->mode = SLU_MODE_UPLOAD;
	if (kind == SLU_JOB_SPARK && o->mode != SLU_MODE_LINK)
		o->mode = SLU_MODE_HDFS;
	return o->type ? 0 : copy_text(&o->type, "uri_folder", e);
}

int spec_outputs(struct spec_ctx *c, const struct spec_file *f, const struct json_t *step,
		 const struct spec_file *cf, const struct json_t *component, enum slu_job_kind kind,
		 struct slu_spec_step *s, struct slu_err *e)
{
	const struct json_t *values, *decls = NULL;
	int r = need_map(f, step, "outputs", &values, e);

	if (r == 0 && component)
		r = need_map(cf, component, "outputs", &decls, e);
	if (r == 0 && component)
		r = check_declared(f, values, decls, "output", e);
	if (r < 0)
		return r;
	s->out = slu_calloc(slu_json_count(values) + slu_json_count(decls) + 1, sizeof(*s->out));
	if (!s->out)
		return slu_fail_oom(e);
	const struct json_t *names = component ? decls : values;
	for (void *it = slu_json_iter(names); it && r == 0; it = slu_json_next(names, it))
		r = one_output(c, f, values, cf, decls, slu_json_iter_key(it), kind, s, e);
	return r;
}
