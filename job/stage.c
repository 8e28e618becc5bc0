/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Staging: what happens around a step's program.  Inputs become views, outputs are claimed; afterwards
 * views are closed and what was written is collected.  The program itself is step.c's.
 */
#include "job/task.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/gang.h"
#include "dataset/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { THREADS = 8 };

/* --- the task --- */

int slu_task_load(struct slu_task *t, struct slu_run *run, struct slu_err *e)
{
	int r = slu_spec_step_from_json(slu_json_get(run->doc, "spec"), &t->spec, e);

	t->s = run->s;
	t->run = run;
	if (r < 0)
		return slu_fail_more(e, "run '%s'", run->id);
	t->in = slu_calloc(t->spec.nin + 1, sizeof(struct slu_input *));
	t->out = slu_calloc(t->spec.nout + 1, sizeof(struct slu_output *));
	t->cwd = slu_asprintf("%s/code", run->dir);
	return t->in && t->out && t->cwd ? 0 : slu_fail_oom(e);
}

void slu_task_done(struct slu_task *t)
{
	for (size_t i = 0; t->in && i < t->spec.nin; i++)
		slu_input_free(t->in[i]);
	for (size_t i = 0; t->out && i < t->spec.nout; i++)
		slu_output_free(t->out[i]);
	free(t->in);
	free(t->out);
	slu_compute_done(&t->compute);
	slu_env_free(t->env);
	slu_words_free(t->argv);
	free(t->cwd);
	slu_spec_step_done(&t->spec);
	*t = (struct slu_task){0};
}

/* --- values --- */

static bool get_value(void *user, bool output, const char *name, struct slu_subst_value *ret)
{
	const struct slu_task *t = user;

	for (size_t i = 0; output && i < t->spec.nout; i++)
		if (slu_streq(t->spec.out[i].name, name)) {
			*ret = (struct slu_subst_value){t->out[i]->value, true};
			return true;
		}
	for (size_t i = 0; !output && i < t->spec.nin; i++)
		if (slu_streq(t->spec.in[i].name, name)) {
			*ret = (struct slu_subst_value){t->in[i] ? t->in[i]->value
								 : t->spec.in[i].literal,
							t->in[i] != NULL};
			return true;
		}
	return false;
}

struct slu_subst slu_task_subst(struct slu_task *t)
{
	return (struct slu_subst){.get = get_value, .user = t, .where = t->spec.where};
}

/* --- inputs --- */

struct opening {
	struct slu_task *t;
	char *place, *log;
};

/* A file was asked for by its type: then it must be one, also of a folder or a pattern, and its path is
 * the value. */
static int check_type(const struct slu_spec_input *spec, struct slu_input *in, struct slu_err *e)
{
	size_t n = slu_manifest_count(in->dataset->tree->manifest);

	if (!spec->type || !slu_streq(spec->type, "uri_file"))
		return 0;
	if (n != 1)
		return slu_fail(e, EINVAL,
				"input '%s' is a uri_file, but '%s' has %zu files: use uri_folder",
				in->name, in->ref, n);
	in->dataset->tree->single_file = true;
	return 0;
}

static int open_input(void *user, size_t i, struct slu_err *e)
{
	struct opening *o = user;
	struct slu_input *in = o->t->in[i];
	int r;

	if (!in)
		return 0;
	r = slu_resolve_ref(o->t->s, in->ref, &in->dataset, e);
	if (r < 0) {
		slu_fail_more(e, "input '%s'", in->name);
		return r;
	}
	r = check_type(&o->t->spec.in[i], in, e);
	if (r == 0) /* lineage names it by id and digest, so it has to be there */
		r = slu_registry_save(o->t->s, in->dataset, e);
	return r < 0 ? r : slu_input_open(o->t->s, in, o->place, false, o->log, e);
}

static int make_inputs(struct slu_task *t, slu_edge_fn *edge, void *user, struct slu_err *e)
{
	for (size_t i = 0; i < t->spec.nin; i++) {
		const struct slu_spec_input *spec = &t->spec.in[i];
		struct slu_input *in;

		if (!spec->ref && !spec->step)
			continue;
		in = t->in[i] = slu_new0(struct slu_input);
		if (!in)
			return slu_fail_oom(e);
		in->name = slu_strdup(spec->name);
		in->mode = spec->mode;
		in->ref = spec->step ? edge(user, spec->step, spec->output) : slu_strdup(spec->ref);
		if (!in->name || !in->ref)
			return slu_fail_oom(e);
	}
	return 0;
}

static int open_inputs(struct slu_task *t, struct slu_err *e)
{
	struct opening o = {.t = t};
	int r;

	o.place = slu_asprintf("%s/inputs", t->run->dir);
	o.log = slu_asprintf("%s/" SLU_RUN_DATA_LOG, t->run->dir);
	r = o.place && o.log ? slu_gang(t->spec.nin, THREADS, open_input, &o, e) : slu_fail_oom(e);
	free(o.place);
	free(o.log);
	return r;
}

/* --- outputs --- */

/* The name that `${{default_datastore}}` has, and where an output goes that says nothing. */
static int destination(struct slu_task *t, const struct slu_spec_output *spec, char **ret,
		       struct slu_err *e)
{
	static const char macro[] = "${{default_datastore}}";
	const char *store = t->spec.datastore ? t->spec.datastore : slu_context_default_store(t->s);
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64 << 10);
	const char *p = spec->path, *at;

	if (!p && !t->spec.datastore)
		return 0;
	if (!p) {
		SLU_AUTO(slu_freep)
		char *path = slu_asprintf("azureml/%s/%s", t->run->id, spec->name);

		*ret = path ? slu_uri_datastore(store, path) : NULL;
		return *ret ? 0 : slu_fail_oom(e);
	}
	for (; (at = strstr(p, macro)); p = at + strlen(macro)) {
		slu_buf_add(&b, p, (size_t)(at - p));
		slu_buf_str(&b, store);
	}
	slu_buf_str(&b, p);
	*ret = slu_buf_take(&b);
	return *ret ? 0 : slu_fail_oom(e);
}

static int open_output(struct slu_task *t, size_t i, const char *place, struct slu_err *e)
{
	const struct slu_spec_output *spec = &t->spec.out[i];
	struct slu_output *o = t->out[i] = slu_new0(struct slu_output);

	if (!o)
		return slu_fail_oom(e);
	o->name = slu_strdup(spec->name);
	o->mode = spec->mode;
	o->type = slu_strdup(spec->type ? spec->type : "uri_folder");
	o->allow_empty = spec->allow_empty;
	o->register_name = slu_strdup(spec->register_as);
	o->description = slu_strdup(spec->description);
	o->tags = spec->tags ? slu_json_ref(spec->tags) : NULL;
	if (!o->name || !o->type || (spec->register_as && !o->register_name))
		return slu_fail_oom(e);
	int r = destination(t, spec, &o->destination, e);
	return r < 0 ? r : slu_output_open(t->s, o, t->run->id, place, e);
}

static int open_outputs(struct slu_task *t, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *place = slu_asprintf("%s/outputs", t->run->dir);
	int r = place ? 0 : slu_fail_oom(e);

	for (size_t i = 0; i < t->spec.nout && r == 0; i++)
		r = open_output(t, i, place, e);
	return r;
}

/* --- an output must not lie in an input of the same run --- */

static bool inside(const char *outer, const char *path)
{
	size_t n = strlen(outer);

	while (n && outer[n - 1] == '/')
		n--;
	return strncmp(outer, path, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool overlaps(const struct slu_tree *tree, const char *out)
{
	const struct slu_manifest *m = tree->manifest;

	for (size_t i = 0; i < slu_manifest_sources(m); i++) {
		const char *uri = slu_manifest_source(m, i)->uri;

		if (!tree->single_file && inside(uri, out))
			return true;
		if (inside(out, uri))
			return true;
	}
	for (size_t i = 0; i < slu_manifest_count(m); i++) {
		const char *path;
		const struct slu_msource *src =
			slu_manifest_source(m, slu_manifest_locate(m, i, &path));
		SLU_AUTO(slu_freep) char *uri = NULL;

		if (!inside(src->uri, out)) /* then no file of it can be the output */
			continue;
		uri = slu_asprintf("%s/%s", src->uri, path);
		if (uri && inside(out, uri))
			return true;
	}
	return false;
}

static int check_overlap(const struct slu_task *t, struct slu_err *e)
{
	for (size_t i = 0; i < t->spec.nout; i++)
		for (size_t k = 0; k < t->spec.nin; k++)
			if (t->in[k] && overlaps(t->in[k]->dataset->tree, t->out[i]->uri))
				return slu_fail(
					e, EINVAL,
					"output '%s' would be written to '%s', where input '%s' "
					"is read from; choose another 'path'",
					t->out[i]->name, t->out[i]->uri, t->in[k]->name);
	return 0;
}

/* --- the record --- */

static struct json_t *give(struct json_t *o, int failed)
{
	if (!failed)
		return o;
	slu_json_free(o);
	return NULL;
}

/* How much a dataset is. */
static int put_size(struct json_t *o, const struct slu_dataset *d)
{
	const struct slu_manifest *m = d->tree->manifest;
	int r = slu_json_set_int(o, "files", (int64_t)slu_manifest_count(m));

	return r | slu_json_set_int(o, "bytes", (int64_t)slu_manifest_bytes(m));
}

static struct json_t *input_record(const struct slu_spec_input *spec, const struct slu_input *in)
{
	struct json_t *o = slu_json_object();
	int r = slu_json_set_str(o, "name", spec->name);

	if (!in)
		return give(o, r | slu_json_set_str(o, "value", spec->literal));
	r |= slu_json_set_str(o, "mode", slu_mode_name(in->mode));
	r |= slu_json_set_str(o, "ref", in->ref);
	r |= slu_json_set_str(o, "id", in->dataset->id);
	r |= slu_json_set_str(o, "manifest", in->dataset->digest);
	r |= slu_json_set_str(o, "dataset", in->dataset->name);
	r |= slu_json_set_str(o, "version", in->dataset->version);
	r |= put_size(o, in->dataset);
	r |= slu_json_set_str(o, "value", in->value);
	return give(o, r);
}

static struct json_t *output_record(const struct slu_output *out)
{
	const struct slu_dataset *d = out->dataset;
	struct json_t *o = slu_json_object();
	int r = slu_json_set_str(o, "mode", slu_mode_name(out->mode));

	r |= slu_json_set_str(o, "type", out->type);
	r |= slu_json_set_str(o, "uri", out->uri);
	r |= slu_json_set_str(o, "value", out->value);
	if (d) {
		r |= slu_json_set_str(o, "dataset", d->id);
		r |= slu_json_set_str(o, "manifest", d->digest);
		r |= put_size(o, d);
	}
	return give(o, r);
}

static int record(struct slu_task *t, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *in = slu_json_array(), *out = slu_json_object();

	if (!in || !out)
		return slu_fail_oom(e);
	for (size_t i = 0; i < t->spec.nin; i++)
		if (slu_json_append(in, input_record(&t->spec.in[i], t->in[i])) < 0)
			return slu_fail_oom(e);
	for (size_t i = 0; i < t->spec.nout; i++)
		if (slu_json_set(out, t->out[i]->name, output_record(t->out[i])) < 0)
			return slu_fail_oom(e);
	int r = slu_run_set(t->run, "inputs", slu_json_ref(in), false, e);
	return r < 0 ? r : slu_run_set(t->run, "outputs", slu_json_ref(out), true, e);
}

/* --- all of it --- */

static int make_code(struct slu_task *t, struct slu_err *e)
{
	int r = slu_path_mkdirs(t->run->fd, "code", 0700);

	return r < 0 ? slu_fail_sys(e, -r, "cannot make '%s'", t->cwd) : 0;
}

int slu_stage_open(struct slu_task *t, slu_edge_fn *edge, void *user, struct slu_err *e)
{
	int r;

	if ((r = make_code(t, e)) < 0 || (r = make_inputs(t, edge, user, e)) < 0 ||
	    (r = open_inputs(t, e)) < 0 || (r = open_outputs(t, e)) < 0 ||
	    (r = check_overlap(t, e)) < 0 || (r = record(t, e)) < 0 || (r = slu_env_fill(t, e)) < 0)
		return r;
	return slu_compute_prepare(t, e);
}

int slu_stage_close_inputs(struct slu_task *t, struct slu_err *e)
{
	struct slu_err why;
	int r = 0;

	for (size_t i = 0; t->in && i < t->spec.nin; i++) {
		if (!t->in[i])
			continue;
		int rc = slu_input_close(t->in[i], &why);
		if (rc < 0 && r == 0)
			r = slu_fail(e, -rc, "%s", why.msg);
	}
	slu_path_rmtree(t->run->fd, "inputs");
	slu_path_rmtree(t->run->fd, "tmp");
	unlinkat(t->run->fd, "spark.properties", 0);
	return r;
}

int slu_stage_collect(struct slu_task *t, struct slu_err *e)
{
	for (size_t i = 0; i < t->spec.nout; i++) {
		struct slu_output *o = t->out[i];
		bool spark = t->spec.kind == SLU_JOB_SPARK;
		int r = slu_output_collect(t->s, o, spark, e);

		if (r < 0)
			return r;
	}
	return record(t, e);
}

void slu_stage_close_outputs(struct slu_task *t, bool discard)
{
	for (size_t i = 0; t->out && i < t->spec.nout; i++) {
		struct slu_err why = {0};

		if (t->out[i] && slu_output_close(t->s, t->out[i], &why) < 0)
			slu_warn("job", "run '%s': %s", t->run->id, why.msg);
	}
	if (discard)
		slu_path_rmtree(t->run->fd, "outputs");
}

/* --- the outcome --- */

/* A version that was asked for by name must be free before the run can be called Completed. */
static int check_version(struct slu_task *t, const struct slu_spec_output *spec, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *taken = NULL;

	if (!spec->version ||
	    slu_registry_record(t->s, spec->register_as, spec->version, &taken, NULL) < 0)
		return 0;
	return slu_fail(e, EEXIST, "output '%s': version '%s' of '%s' exists already", spec->name,
			spec->version, spec->register_as);
}

/* What registration will need, all of it known before the run is called Completed. */
static struct json_t *register_outcome(const struct slu_output *o,
				       const struct slu_spec_output *spec)
{
	struct json_t *reg = slu_json_object();
	int r = slu_json_set_str(reg, "name", o->register_name);

	r |= slu_json_set_str(reg, "version", spec->version);
	r |= slu_json_set_str(reg, "description", o->description);
	if (o->tags)
		r |= slu_json_set(reg, "tags", slu_json_ref(o->tags));
	return give(reg, r);
}

static struct json_t *output_outcome(struct slu_task *t, size_t i, struct slu_err *e)
{
	const struct slu_output *o = t->out[i];
	const struct slu_spec_output *spec = &t->spec.out[i];
	struct json_t *j = slu_json_object();
	int r = slu_json_set_str(j, "dataset", o->dataset->id);
	uint64_t seen = 0;

	r |= slu_json_set_str(j, "manifest", o->dataset->digest);
	if (o->register_name) {
		r |= slu_registry_latest(t->s, o->register_name, &seen, e);
		r |= check_version(t, spec, e);
		r |= slu_json_set(j, "register", register_outcome(o, spec));
		r |= slu_json_set_int(j, "seen", (int64_t)seen);
	}
	return give(j, r);
}

static int inputs_outcome(const struct slu_task *t, struct json_t *list)
{
	for (size_t i = 0; i < t->spec.nin; i++) {
		const struct slu_input *in = t->in[i];
		SLU_AUTO(slu_json_freep) struct json_t *o = NULL;

		if (!in || !in->dataset)
			continue;
		o = slu_json_object();
		if (!o || slu_json_set_str(o, "name", in->name) < 0 ||
		    slu_json_set_str(o, "id", in->dataset->id) < 0 ||
		    slu_json_set_str(o, "ref", in->ref) < 0 ||
		    slu_json_set_str(o, "digest", in->dataset->digest) < 0 ||
		    slu_json_append(list, slu_take(o)) < 0)
			return -ENOMEM;
	}
	return 0;
}

int slu_stage_outcome(struct slu_task *t, struct json_t *outcome, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *in = slu_json_array();
	struct json_t *outputs = slu_json_get(outcome, "outputs");
	struct slu_err why = {0};

	if (!in || inputs_outcome(t, in) < 0 ||
	    slu_json_set(outcome, "inputs", slu_json_ref(in)) < 0)
		return slu_fail_oom(e);
	for (size_t i = 0; i < t->spec.nout; i++) {
		if (!t->out[i] || !t->out[i]->dataset)
			continue;
		struct json_t *o = output_outcome(t, i, &why);
		if (!o)
			return why.code ? slu_fail(e, why.code, "%s", why.msg) : slu_fail_oom(e);
		if (slu_json_set(outputs, t->out[i]->name, o) < 0)
			return slu_fail_oom(e);
	}
	return 0;
}
