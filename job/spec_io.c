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

static const char *const input_keys[] = {"type",     "path",        "mode",      "default",
					 "optional", "description", "value",     "min",
					 "max",      "enum",        "datastore", NULL};
static const char *const output_keys[] = {"type",        "path", "mode",        "name", "version",
					  "description", "tags", "allow_empty", NULL};
static const char *const data_types[] = {"uri_file", "uri_folder", "mltable", NULL};
static const char *const literal_types[] = {"string", "number", "integer", "boolean", "enum", NULL};

void spec_input_done(struct slu_spec_input *in)
{
	free(in->name);
	free(in->type);
	free(in->literal);
	free(in->ref);
	free(in->step);
	free(in->output);
	free(in->where);
}

void spec_output_done(struct slu_spec_output *o)
{
	free(o->name);
	free(o->type);
	free(o->path);
	free(o->register_as);
	free(o->version);
	free(o->description);
	free(o->where);
	slu_json_free(o->tags);
}

static bool in_list(const char *const *list, const char *s)
{
	for (; *list; list++)
		if (slu_streq(*list, s))
			return true;
	return false;
}

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

static int input_mode(const struct spec_file *f, const struct json_t *v, enum slu_job_kind kind,
		      struct slu_spec_input *in, struct slu_err *e)
{
	const char *text = slu_json_str(v, "mode");
	struct slu_err why = {0};

	if (!text) {
		if (slu_json_get(v, "mode"))
			return slu_yaml_fail(f->yaml, v, "mode", e, "'mode' is not text");
		return 0;
	}
	if (slu_mode_parse(text, &in->mode, &why) < 0 || in->mode == SLU_MODE_UPLOAD)
		return slu_yaml_fail(f->yaml, v, "mode", e,
				     "mode '%s' is not one that inputs have here: use ro_mount, "
				     "download, direct or hdfs",
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

static int output_mode(const struct spec_file *f, const struct json_t *v, enum slu_job_kind kind,
		       struct slu_spec_output *o, struct slu_err *e)
{
	const char *text = slu_json_str(v, "mode");

	if (!text)
		return 0;
	if (slu_streq(text, "rw_mount") || slu_streq(text, "mount"))
		return slu_yaml_fail(f->yaml, v, "mode", e,
				     "mode '%s' of outputs is not supported yet: use %s", text,
				     kind == SLU_JOB_SPARK ? "direct" : "upload");
	if (kind == SLU_JOB_SPARK && !slu_streq(text, "direct") && !slu_streq(text, "hdfs"))
		return slu_yaml_fail(
			f->yaml, v, "mode", e,
			"a Spark job writes its outputs itself: mode is 'direct', not '%s'", text);
	if (slu_streq(text, "upload"))
		o->mode = SLU_MODE_UPLOAD;
	else if (kind == SLU_JOB_SPARK || slu_streq(text, "hdfs"))
		o->mode = SLU_MODE_HDFS;
	else if (slu_streq(text, "direct"))
		o->mode = SLU_MODE_DIRECT;
	else
		return slu_yaml_fail(
			f->yaml, v, "mode", e,
			"mode '%s' is not one that outputs have: use upload, direct or hdfs", text);
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
	    (r = copy_text(&in->ref, p->ref, e)) < 0)
		return r;
	if (!in->type && (r = copy_text(&in->type, p->type, e)) < 0)
		return r;
	if (!in->mode_given && p->mode_given) {
		in->mode = p->mode;
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

	if (!slu_binding_is(text))
		return spec_ref(f, text, &in->ref, e);
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
	in->step = slu_strdup(b.step);
	in->output = slu_strdup(b.name);
	return in->step && in->output ? 0 : slu_fail_oom(e);
}

static int input_type(const struct spec_file *f, const struct json_t *v, struct slu_spec_input *in,
		      struct slu_err *e)
{
	int r = in->type ? 0 : spec_text(f, v, "type", &in->type, e);

	if (r < 0 || !in->type || in_list(data_types, in->type) || in_list(literal_types, in->type))
		return r;
	return slu_yaml_fail(f->yaml, v, "type", e,
			     "type '%s' is not supported: use uri_file, uri_folder or mltable",
			     in->type);
}

static bool is_literal(const struct slu_spec_input *in)
{
	return in->type && in_list(literal_types, in->type);
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
		r = input_type(f, v, in, e);
	if (r == 0)
		r = input_mode(f, v, kind, in, e);
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
	if (!is_literal(in))
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
	bool data = in->type && in_list(data_types, in->type);
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

static int check_literal(const struct spec_file *f, const struct json_t *values, const char *key,
			 const struct slu_spec_input *in, struct slu_err *e)
{
	int64_t n;

	if (!in->literal || !in->type)
		return 0;
	if (in_list(data_types, in->type))
		return slu_yaml_fail(f->yaml, values, key, e,
				     "input '%s' is data (%s): give it a path", key, in->type);
	if (slu_streq(in->type, "integer") && !slu_i64(in->literal, INT64_MIN, INT64_MAX, &n))
		return slu_yaml_fail(f->yaml, values, key, e, "input '%s': '%s' is no integer", key,
				     in->literal);
	return 0;
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
	if (!given) {
		r = input_object(c, cf, decl, kind, in, e);
		if (r == 0 && !has_value(in) && !slu_json_bool(decl, "optional", false))
			r = slu_yaml_fail(f->yaml, values, NULL, e,
					  "the component's input '%s' gets no value", name);
		return r;
	}
	r = slu_yaml_known_keys(cf->yaml, decl, input_keys, e);
	if (r == 0)
		r = input_type(cf, decl, in, e);
	if (r == 0)
		r = input_mode(cf, decl, kind, in, e);
	if (r == 0)
		r = input_value(c, f, values, name, kind, in, e);
	return r < 0 ? r : check_literal(f, values, name, in, e);
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
			r = check_literal(f, values, name, in, e);
		if (r < 0)
			return r;
		if (!has_value(in) && kind != SLU_JOB_PIPELINE &&
		    !slu_json_bool(v, "optional", false))
			return slu_yaml_fail(f->yaml, values, name, e,
					     "input '%s' has no value: give it a 'path'", name);
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
	} texts[] = {{&out->path, p->path},
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
	if (out->mode == SLU_MODE_MOUNT)
		out->mode = p->mode;
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
	return inherit_output(&c->parent_out[i], out, e);
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
	o->allow_empty |= slu_json_bool(v, "allow_empty", false);
	return 0;
}

static bool is_output_type(const char *type)
{
	return !type || slu_streq(type, "uri_folder") || slu_streq(type, "uri_file");
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
	    (!o->type && (r = spec_text(f, v, "type", &o->type, e)) < 0) ||
	    (r = output_mode(f, v, kind, o, e)) < 0 || (r = output_register(f, v, o, e)) < 0 ||
	    (r = spec_text(f, v, "path", &path, e)) < 0)
		return r;
	if (!is_output_type(o->type))
		return slu_yaml_fail(
			f->yaml, v, "type", e,
			"type '%s' of an output is not supported: use uri_folder or uri_file",
			o->type);
	if (!path)
		return 0;
	if (slu_binding_is(path))
		return bind_output(c, f, v, "path", path, o, e);
	return spec_ref(f, path, &o->path, e);
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
	/* SLU_MODE_MOUNT, which no output can have, stands for "not said". */
	*o = (struct slu_spec_output){.name = slu_strdup(name),
				      .mode = SLU_MODE_MOUNT,
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
	if (o->mode == SLU_MODE_MOUNT)
		o->mode = kind == SLU_JOB_SPARK ? SLU_MODE_HDFS : SLU_MODE_UPLOAD;
	if (kind == SLU_JOB_SPARK)
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
