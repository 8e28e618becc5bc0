/* SPDX-License-Identifier: Apache-2.0 */
/* Steps as run.json keeps them: what a supervisor works from, long after the job file changed. */
#include "job/spec_impl.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

/* --- writing: setters skip NULL, and what any of them could not do shows at the end --- */

static int put_ref(struct json_t *o, const char *key, struct json_t *v)
{
	return v ? slu_json_set(o, key, slu_json_ref(v)) : 0;
}

static struct json_t *give(struct json_t *o, int failed)
{
	if (!failed)
		return o;
	slu_json_free(o);
	return NULL;
}

static struct json_t *input_json(const struct slu_spec_input *in)
{
	struct json_t *o = slu_json_object();
	int r = slu_json_set_str(o, "name", in->name);

	r |= slu_json_set_str(o, "type", in->type);
	r |= slu_json_set_str(o, "value", in->literal);
	r |= slu_json_set_str(o, "path", in->ref);
	r |= slu_json_set_str(o, "step", in->step);
	r |= slu_json_set_str(o, "output", in->output);
	r |= slu_json_set_str(o, "path_on_compute", in->at);
	if (in->ref || in->step)
		r |= slu_json_set_str(o, "mode", slu_mode_name(in->mode));
	if (in->id)
		r |= slu_json_set_bool(o, "id", true);
	r |= slu_json_set_str(o, "where", in->where);
	return give(o, r);
}

static struct json_t *output_json(const struct slu_spec_output *out)
{
	struct json_t *o = slu_json_object();
	int r = slu_json_set_str(o, "name", out->name);

	r |= slu_json_set_str(o, "type", out->type);
	r |= slu_json_set_str(o, "mode", slu_mode_name(out->mode));
	r |= slu_json_set_str(o, "path", out->path);
	r |= slu_json_set_str(o, "path_on_compute", out->at);
	r |= slu_json_set_str(o, "register", out->register_as);
	r |= slu_json_set_str(o, "version", out->version);
	r |= slu_json_set_str(o, "description", out->description);
	r |= put_ref(o, "tags", out->tags);
	if (out->allow_empty)
		r |= slu_json_set_bool(o, "allow_empty", true);
	if (out->overwrite)
		r |= slu_json_set_bool(o, "overwrite", true);
	if (out->discard)
		r |= slu_json_set_str(o, "on_failure", "discard");
	r |= put_ref(o, "source_globs", out->source_globs);
	r |= put_ref(o, "table", out->table);
	r |= slu_json_set_str(o, "where", out->where);
	return give(o, r);
}

static struct json_t *spark_json(const struct slu_spec_spark *sp)
{
	struct json_t *o = slu_json_object();
	int r = slu_json_set_str(o, "entry", sp->entry);

	r |= slu_json_set_str(o, "class_name", sp->class_name);
	r |= slu_json_set_str(o, "args", sp->args);
	r |= put_ref(o, "py_files", sp->py_files);
	r |= put_ref(o, "jars", sp->jars);
	r |= put_ref(o, "files", sp->files);
	r |= put_ref(o, "archives", sp->archives);
	r |= put_ref(o, "conf", sp->conf);
	return give(o, r);
}

static int put_io(struct json_t *o, const struct slu_spec_step *s)
{
	SLU_AUTO(slu_json_freep) struct json_t *in = slu_json_array(), *out = slu_json_array();

	if (!in || !out)
		return -ENOMEM;
	for (size_t i = 0; i < s->nin; i++)
		if (slu_json_append(in, input_json(&s->in[i])) < 0)
			return -ENOMEM;
	for (size_t i = 0; i < s->nout; i++)
		if (slu_json_append(out, output_json(&s->out[i])) < 0)
			return -ENOMEM;
	if (slu_json_set(o, "inputs", slu_json_ref(in)) < 0)
		return -ENOMEM;
	return slu_json_set(o, "outputs", slu_json_ref(out));
}

struct json_t *slu_spec_step_json(const struct slu_spec_step *s)
{
	struct json_t *o = slu_json_object();
	int r = slu_json_set_str(o, "type", slu_job_kind_name(s->kind));

	r |= slu_json_set_str(o, "name", s->name);
	r |= slu_json_set_str(o, "display_name", s->display_name);
	r |= slu_json_set_str(o, "description", s->description);
	r |= slu_json_set_str(o, "code", s->code);
	r |= slu_json_set_str(o, "command", s->command);
	r |= slu_json_set_str(o, "compute", s->compute);
	r |= slu_json_set_str(o, "datastore", s->datastore);
	if (s->timeout)
		r |= slu_json_set_int(o, "timeout", (int64_t)s->timeout);
	if (s->retries)
		r |= slu_json_set_int(o, "retries", (int64_t)s->retries);
	if (s->always_run)
		r |= slu_json_set_bool(o, "always_run", true);
	r |= put_ref(o, "environment_variables", s->env);
	r |= put_ref(o, "environment", s->environment);
	r |= put_ref(o, "depends_on", s->after);
	if (s->kind == SLU_JOB_SPARK)
		r |= slu_json_set(o, "spark", spark_json(&s->spark));
	r |= put_io(o, s);
	r |= slu_json_set_str(o, "where", s->where);
	return give(o, r);
}

/* --- reading --- */

static int get(const struct json_t *o, const char *key, char **ret)
{
	const char *text = slu_json_str(o, key);

	if (!text)
		return 0;
	*ret = slu_strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static void get_ref(const struct json_t *o, const char *key, struct json_t **ret)
{
	struct json_t *v = slu_json_get(o, key);

	*ret = v ? slu_json_ref(v) : NULL;
}

static int get_mode(const struct json_t *o, enum slu_mode *ret, struct slu_err *e)
{
	const char *text = slu_json_str(o, "mode");

	return text ? slu_mode_parse(text, ret, e) : 0;
}

static int input_from(const struct json_t *o, struct slu_spec_input *in, struct slu_err *e)
{
	if (get(o, "name", &in->name) < 0 || get(o, "type", &in->type) < 0 ||
	    get(o, "value", &in->literal) < 0 || get(o, "path", &in->ref) < 0 ||
	    get(o, "step", &in->step) < 0 || get(o, "output", &in->output) < 0 ||
	    get(o, "path_on_compute", &in->at) < 0 || get(o, "where", &in->where) < 0)
		return slu_fail_oom(e);
	if (!in->name || !slu_is_ident(in->name))
		return slu_fail(e, EBADMSG, "a run record has an input without a name");
	in->id = slu_json_bool(o, "id", false);
	return get_mode(o, &in->mode, e);
}

static int output_from(const struct json_t *o, struct slu_spec_output *out, struct slu_err *e)
{
	if (get(o, "name", &out->name) < 0 || get(o, "type", &out->type) < 0 ||
	    get(o, "path", &out->path) < 0 || get(o, "path_on_compute", &out->at) < 0 ||
	    get(o, "register", &out->register_as) < 0 || get(o, "version", &out->version) < 0 ||
	    get(o, "description", &out->description) < 0 || get(o, "where", &out->where) < 0)
		return slu_fail_oom(e);
	if (!out->name || !slu_is_ident(out->name))
		return slu_fail(e, EBADMSG, "a run record has an output without a name");
	get_ref(o, "tags", &out->tags);
	get_ref(o, "source_globs", &out->source_globs);
	get_ref(o, "table", &out->table);
	out->allow_empty = slu_json_bool(o, "allow_empty", false);
	out->overwrite = slu_json_bool(o, "overwrite", false);
	out->discard = slu_json_get(o, "on_failure") != NULL;
	return get_mode(o, &out->mode, e);
}

static int spark_from(const struct json_t *o, struct slu_spec_spark *sp, struct slu_err *e)
{
	if (get(o, "entry", &sp->entry) < 0 || get(o, "class_name", &sp->class_name) < 0 ||
	    get(o, "args", &sp->args) < 0)
		return slu_fail_oom(e);
	get_ref(o, "py_files", &sp->py_files);
	get_ref(o, "jars", &sp->jars);
	get_ref(o, "files", &sp->files);
	get_ref(o, "archives", &sp->archives);
	get_ref(o, "conf", &sp->conf);
	return sp->entry ? 0 : slu_fail(e, EBADMSG, "a run record has a Spark step without entry");
}

static int io_from(const struct json_t *o, struct slu_spec_step *s, struct slu_err *e)
{
	const struct json_t *in = slu_json_get(o, "inputs"), *out = slu_json_get(o, "outputs");
	int r = 0;

	s->in = slu_calloc(slu_json_count(in) + 1, sizeof(*s->in));
	s->out = slu_calloc(slu_json_count(out) + 1, sizeof(*s->out));
	if (!s->in || !s->out)
		return slu_fail_oom(e);
	for (size_t i = 0; i < slu_json_count(in) && r == 0; i++)
		r = input_from(slu_json_at(in, i), &s->in[s->nin++], e);
	for (size_t i = 0; i < slu_json_count(out) && r == 0; i++)
		r = output_from(slu_json_at(out, i), &s->out[s->nout++], e);
	return r;
}

static int step_from(const struct json_t *o, struct slu_spec_step *s, struct slu_err *e)
{
	const char *type = slu_json_str(o, "type");
	int r;

	if (!type || (!slu_streq(type, "command") && !slu_streq(type, "spark")))
		return slu_fail(e, EBADMSG, "a run record has no step that this build runs");
	s->kind = slu_streq(type, "spark") ? SLU_JOB_SPARK : SLU_JOB_COMMAND;
	r = get(o, "name", &s->name);
	r |= get(o, "display_name", &s->display_name);
	r |= get(o, "description", &s->description);
	r |= get(o, "code", &s->code);
	r |= get(o, "command", &s->command);
	r |= get(o, "compute", &s->compute);
	r |= get(o, "datastore", &s->datastore);
	r |= get(o, "where", &s->where);
	if (r < 0)
		return slu_fail_oom(e);
	s->timeout = (uint64_t)slu_json_int(o, "timeout", 0);
	s->retries = (unsigned)slu_json_int(o, "retries", 0);
	s->always_run = slu_json_bool(o, "always_run", false);
	get_ref(o, "environment_variables", &s->env);
	get_ref(o, "environment", &s->environment);
	get_ref(o, "depends_on", &s->after);
	if (!s->name || (s->kind == SLU_JOB_COMMAND && !s->command))
		return slu_fail(e, EBADMSG, "a run record has a step without name or command");
	r = io_from(o, s, e);
	if (r == 0 && s->kind == SLU_JOB_SPARK)
		r = spark_from(slu_json_get(o, "spark"), &s->spark, e);
	return r;
}

int slu_spec_step_from_json(const struct json_t *j, struct slu_spec_step *ret, struct slu_err *e)
{
	struct slu_spec_step s = {0};
	int r = step_from(j, &s, e);

	if (r < 0)
		slu_spec_step_done(&s);
	else
		*ret = s;
	return r;
}
