/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines.  A member of type pipeline is read with the bindings of its place, and its steps become
 * steps of the whole, named "MEMBER.STEP": what is independent runs side by side, however deep it
 * stands.  An edge to an output of such a member leads to the step within it that writes the output.
 */
#include "job/spec_impl.h"

#include "common/mem.h"
#include "common/str.h"
#include "job/graph.h"
#include "job/subst.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

enum { STEPS_MAX = 1000, DEPTH_MAX = 8, STEP_NAME_MAX = 64 };

static const char *const pipeline_keys[] = {"$schema",
					    "type",
					    "name",
					    "version",
					    "display_name",
					    "description",
					    "experiment_name",
					    "tags",
					    "properties",
					    "inputs",
					    "outputs",
					    "jobs",
					    "settings",
					    "compute",
					    "identity",
					    "services",
					    "limits",
					    "component",
					    "is_deterministic",
					    "id",
					    "status",
					    "comment",
					    "creation_context",
					    "log_files",
					    "parent_job_name",
					    "retry_settings",
					    NULL};

struct pipeline {
	struct slu_spec_step head; /* its inputs and outputs, as a step has them */
	char *compute, *datastore, *prefix;
	bool *bound;
};

static void pipeline_done(struct pipeline *p)
{
	slu_spec_step_done(&p->head);
	free(p->compute);
	free(p->datastore);
	free(p->prefix);
	free(p->bound);
}

/* --- what it says beside its steps --- */

int spec_compute(const struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		 const char *key, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_binding b;
	int r = spec_text(f, o, key, &text, e);

	if (r < 0 || !text)
		return r;
	for (size_t i = 0; slu_binding_parse(text, &b) && !*b.step && i < c->nparent_in; i++)
		if (slu_streq(c->parent_in[i].name, b.name) && c->parent_in[i].literal) {
			free(text);
			text = slu_strdup(c->parent_in[i].literal);
			if (!text)
				return slu_fail_oom(e);
		}
	if (slu_binding_is(text))
		return slu_yaml_fail(f->yaml, o, key, e,
				     "'%s' is no name: it is a value that the pipeline's inputs do "
				     "not have",
				     text);
	free(*ret);
	*ret = slu_take(text);
	return 0;
}

static int read_settings(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
			 struct pipeline *p, struct slu_err *e)
{
	static const char *const keys[] = {"default_compute", "default_datastore",
					   "continue_on_step_failure", "force_rerun", NULL};
	const struct json_t *v = slu_json_get(o, "settings");
	bool go_on = false, anew = false;
	int r = spec_compute(c, f, o, "compute", &p->compute, e);

	if (r < 0 || !v || slu_json_is_null(v))
		return r;
	if (!slu_json_is_object(v))
		return slu_yaml_fail(f->yaml, o, "settings", e, "'settings' is not a map");
	if ((r = slu_yaml_known_keys(f->yaml, v, keys, e)) < 0 ||
	    (r = spec_compute(c, f, v, "default_compute", &p->compute, e)) < 0 ||
	    (r = spec_text(f, v, "default_datastore", &p->datastore, e)) < 0 ||
	    (r = spec_flag(f, v, "continue_on_step_failure", &go_on, e)) < 0 ||
	    (r = spec_flag(f, v, "force_rerun", &anew, e)) < 0)
		return r;
	c->job->force_rerun |= anew;
	if (c->self && slu_json_get(v, "continue_on_step_failure"))
		return spec_note(c, f, v, "continue_on_step_failure",
				 "the outermost pipeline decides", e);
	if (!c->self)
		c->job->continue_on_failure = go_on;
	return 0;
}

static int read_frame(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		      struct slu_err *e)
{
	int r = c->self ? spec_nested_keys(f, o, e)
			: slu_yaml_known_keys(f->yaml, o, pipeline_keys, e);

	bool nested;

	if (r == 0)
		r = spec_note_idle(c, f, o, e);
	if (r == 0)
		r = spec_identity(c, f, o, c->self ? &nested : &c->job->identity_of_all, e);
	return r;
}

/* --- outputs of nested ones --- */

int spec_alias_add(const struct spec_ctx *c, const char *output, const char *to_output,
		   struct slu_err *e)
{
	struct spec_alias a;

	if (!c->self || !c->step)
		return 0;
	a = (struct spec_alias){slu_strdup(c->self), slu_strdup(output), slu_strdup(c->step),
				slu_strdup(to_output)};
	if (a.step && a.output && a.to_step && a.to_output && slu_vec_push(&c->nest->aliases, a))
		return 0;
	free(a.step);
	free(a.output);
	free(a.to_step);
	free(a.to_output);
	return slu_fail_oom(e);
}

static const struct spec_alias *find_alias(const struct spec_nest *n,
					   const struct slu_spec_input *in)
{
	for (size_t i = 0; i < n->aliases.n; i++)
		if (slu_streq(n->aliases.p[i].step, in->step) &&
		    slu_streq(n->aliases.p[i].output, in->output))
			return &n->aliases.p[i];
	return NULL;
}

static int follow(const struct spec_nest *n, struct slu_spec_input *in, struct slu_err *e)
{
	const struct spec_alias *a;

	for (unsigned depth = 0; in->step && depth <= DEPTH_MAX && (a = find_alias(n, in));
	     depth++) {
		char *step = slu_strdup(a->to_step), *output = slu_strdup(a->to_output);

		free(in->step);
		free(in->output);
		in->step = step;
		in->output = output;
		if (!step || !output)
			return slu_fail_oom(e);
	}
	return 0;
}

/* A pipeline that a step waits for is all its steps. */
static int spread_after(const struct slu_job *j, struct slu_spec_step *s, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = s->after ? slu_json_array() : NULL;

	if (!s->after)
		return 0;
	for (size_t i = 0; list && i < slu_json_count(s->after); i++) {
		const char *name = slu_json_string(slu_json_at(s->after, i));
		size_t len = strlen(name), found = 0;

		for (size_t k = 0; k < j->nsteps; k++) {
			const char *is = j->steps[k].name;

			if (strncmp(is, name, len) != 0 || is[len] != '.')
				continue;
			found++;
			if (slu_json_append(list, slu_json_new_str(is)) < 0)
				return slu_fail_oom(e);
		}
		if (!found && slu_json_append(list, slu_json_new_str(name)) < 0)
			return slu_fail_oom(e);
	}
	if (!list)
		return slu_fail_oom(e);
	slu_json_free(s->after);
	s->after = slu_take(list);
	return 0;
}

static void nest_done(struct spec_nest *n)
{
	for (size_t i = 0; i < n->aliases.n; i++) {
		free(n->aliases.p[i].step);
		free(n->aliases.p[i].output);
		free(n->aliases.p[i].to_step);
		free(n->aliases.p[i].to_output);
	}
	free(n->aliases.p);
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

static int check_bound(const struct pipeline *p, struct slu_err *e)
{
	for (size_t i = 0; i < p->head.nout; i++)
		if (!p->bound[i])
			return slu_fail(e, EINVAL,
					"%s: no step writes the pipeline's output '%s'; bind it: "
					"outputs: NAME: ${{parent.outputs.%s}}",
					p->head.out[i].where, p->head.out[i].name,
					p->head.out[i].name);
	return 0;
}

/* --- steps --- */

static bool step_name_ok(const char *s)
{
	return (isalpha((unsigned char)*s) || *s == '_') &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		       strlen(s);
}

static int parts(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		 const struct spec_file *cf, struct pipeline *p, struct slu_err *e);

static int nested(const struct spec_ctx *outer, const struct spec_file *f, const struct json_t *o,
		  const struct spec_file *cf, const char *name, struct slu_err *e)
{
	struct pipeline p = {.prefix = slu_asprintf("%s.", name)};
	SLU_AUTO(slu_json_freep)
	struct json_t *after = outer->after ? slu_json_copy(outer->after) : slu_json_array();
	struct spec_ctx c = *outer;
	int r = p.prefix && after ? spec_after(outer, f, o, after, e) : slu_fail_oom(e);

	c.self = name;
	c.after = after;
	c.depth++;
	if (r == 0 && c.depth > DEPTH_MAX)
		r = slu_yaml_fail(
			f->yaml, o, "component", e,
			"pipelines stand in pipelines more than %d deep: does one contain "
			"itself?",
			DEPTH_MAX);
	if (r == 0)
		r = parts(&c, f, o, cf, &p, e);
	pipeline_done(&p);
	return r;
}

static int push_step(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		     const struct spec_file *cf, const char *name, struct slu_err *e)
{
	struct slu_job *j = c->job;
	struct slu_spec_step *more;

	more = slu_reallocarray(j->steps, j->nsteps + 1, sizeof(*more));
	if (!more)
		return slu_fail_oom(e);
	j->steps = more;
	j->steps[j->nsteps] = (struct slu_spec_step){0};
	return spec_step(c, f, o, name, cf, &j->steps[j->nsteps++], e);
}

/* Is it a pipeline, by what it says or what its component is? */
static int read_member(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		       const char *name, struct slu_err *e)
{
	struct spec_file own = {0};
	const struct spec_file *cf = NULL;
	enum slu_job_kind kind = SLU_JOB_COMMAND;
	int r = spec_kind(f, o, true, &kind, e);

	if (r == 0 && ++c->nest->members > STEPS_MAX)
		r = slu_yaml_fail(f->yaml, o, NULL, e, "more than %d steps", STEPS_MAX);
	if (r == 0)
		r = spec_component(c, f, o, &own, &cf, e);
	if (r == 0 && cf)
		r = spec_kind(cf, spec_component_body(f, o, cf), true, &kind, e);
	c->step = name;
	if (r == 0)
		r = kind == SLU_JOB_PIPELINE ? nested(c, f, o, cf, name, e)
					     : push_step(c, f, o, cf, name, e);
	spec_file_done(&own);
	return r;
}

static int read_members(struct spec_ctx *c, const struct spec_file *f, const struct json_t *jobs,
			struct slu_err *e)
{
	int r = 0;

	for (void *it = slu_json_iter(jobs); it && r == 0; it = slu_json_next(jobs, it)) {
		const char *name = slu_json_iter_key(it);
		SLU_AUTO(slu_freep) char *whole = slu_asprintf("%s%s", c->prefix, name);

		if (!whole)
			return slu_fail_oom(e);
		if (!step_name_ok(name) || strlen(whole) > STEP_NAME_MAX)
			return slu_yaml_fail(f->yaml, jobs, name, e,
					     "'%s' is no step name: letters, digits, '_' and '-', "
					     "a letter first, at most %d with those of the "
					     "pipelines around it",
					     whole, STEP_NAME_MAX);
		if (!slu_json_is_object(slu_json_iter_value(it)))
			return slu_yaml_fail(f->yaml, jobs, name, e, "step '%s' is not a map",
					     name);
		r = read_member(c, f, slu_json_iter_value(it), whole, e);
		c->step = NULL;
	}
	return r;
}

static void bind_inputs(struct spec_ctx *c, const struct pipeline *p)
{
	c->parent_in = p->head.in;
	c->nparent_in = p->head.nin;
}

static void bind_frame(struct spec_ctx *c, const struct pipeline *p)
{
	bind_inputs(c, p);
	c->parent_out = p->head.out;
	c->nparent_out = p->head.nout;
	c->parent_out_bound = p->bound;
	c->in_pipeline = true;
	c->prefix = p->prefix ? p->prefix : "";
	if (p->compute)
		c->compute = spec_plain_name(p->compute);
	if (p->datastore)
		c->datastore = spec_plain_name(p->datastore);
}

/* The steps of o, or of its component. */
static int find_jobs(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		     const struct spec_file *cf, const struct json_t **ret, struct slu_err *e)
{
	const struct json_t *body = spec_component_body(f, o, cf);
	const struct json_t *jobs = slu_json_get(body ? body : o, "jobs");
	int r = read_frame(c, f, o, e);

	if (r == 0 && body)
		r = slu_yaml_known_keys(cf->yaml, body, pipeline_keys, e);
	if (r == 0 && body && slu_json_get(o, "jobs"))
		r = slu_yaml_fail(f->yaml, o, "jobs", e,
				  "'jobs' stands in the component, not beside it");
	if (r < 0)
		return r;
	if (!slu_json_is_object(jobs) || slu_json_count(jobs) == 0)
		return slu_yaml_fail((cf ? cf : f)->yaml, body ? body : o, jobs ? "jobs" : NULL, e,
				     "a pipeline has a map 'jobs' with at least one step");
	*ret = jobs;
	return 0;
}

/* A pipeline o, whose steps stand in it or in its component. */
static int parts(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		 const struct spec_file *cf, struct pipeline *p, struct slu_err *e)
{
	const struct json_t *body = spec_component_body(f, o, cf), *jobs = NULL;
	int r = find_jobs(c, f, o, cf, &jobs, e);

	if (r < 0)
		return r;
	if ((r = spec_inputs(c, f, o, cf, body, SLU_JOB_PIPELINE, &p->head, e)) < 0 ||
	    (r = spec_outputs(c, f, o, cf, body, SLU_JOB_PIPELINE, &p->head, e)) < 0)
		return r;
	/* The outermost has no parent: what its settings name are its own inputs. */
	if (!c->self)
		bind_inputs(c, p);
	if ((r = read_settings(c, f, o, p, e)) < 0)
		return r;
	p->bound = slu_calloc(p->head.nout + 1, sizeof(*p->bound));
	if (!p->bound)
		return slu_fail_oom(e);
	bind_frame(c, p);
	r = read_members(c, cf ? cf : f, jobs, e);
	return r < 0 ? r : check_bound(p, e);
}

static int whole_pipeline(struct spec_ctx *c, struct slu_err *e)
{
	const struct json_t *root = slu_yaml_root(c->file->yaml);
	const struct spec_file *cf = NULL;
	struct spec_file own = {0};
	struct pipeline p = {0};
	int r = spec_component(c, c->file, root, &own, &cf, e);

	if (r == 0)
		r = parts(c, c->file, root, cf, &p, e);
	pipeline_done(&p);
	spec_file_done(&own);
	return r;
}

int spec_pipeline(struct spec_ctx *c, struct slu_err *e)
{
	SLU_AUTO(slu_graph_freep) struct slu_graph *g = NULL;
	struct spec_nest nest = {0};
	struct slu_job *j = c->job;
	int r;

	c->nest = &nest;
	r = whole_pipeline(c, e);
	for (size_t i = 0; i < j->nsteps && r == 0; i++) {
		r = spread_after(j, &j->steps[i], e);
		for (size_t k = 0; k < j->steps[i].nin && r == 0; k++)
			r = follow(&nest, &j->steps[i].in[k], e);
	}
	c->nest = NULL;
	nest_done(&nest);
	if (r == 0)
		r = slu_graph_new(j->steps, j->nsteps, &g, e);
	return r < 0 ? r : check_edges(j, e);
}
