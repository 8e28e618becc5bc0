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
#include "common/redact.h"
#include "common/str.h"
#include "dataset/gang.h"
#include "dataset/registry.h"
#include "job/livy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define TOLD_MAX 8192 /* bytes of a line in the log of a step */

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
	t->data_log = slu_asprintf("%s/" SLU_RUN_DATA_LOG, run->dir);
	return t->in && t->out && t->cwd && t->data_log ? 0 : slu_fail_oom(e);
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
	free(t->data_log);
	slu_environment_done(&t->environment);
	free(t->base_python);
	free(t->image);
	free(t->image_tool);
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
	char *inputs, *outputs; /* folders of theirs */
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

void slu_stage_tell(const struct slu_task *t, const char *text)
{
	char line[TOLD_MAX]; /* a name may hold a newline, and what looks like another line */
	int fd = openat(t->run->fd, SLU_RUN_STDLOG,
			O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	slu_safe_line(line, sizeof(line), text, strlen(text), false);
	if (fd >= 0)
		dprintf(fd, "sluice: %s\n", line);
	slu_closep(&fd);
	slu_warn("job", "run '%s': %s", t->run->id, text);
}

/* Nobody should have to find out from a program that does nothing. */
static void tell_empty(const struct slu_task *t, const struct slu_input *in)
{
	SLU_AUTO(slu_freep)
	char *text = slu_asprintf("input '%s' is empty: '%s' has no files", in->name, in->ref);

	if (text)
		slu_stage_tell(t, text);
}

/* Who reads the folder and not the version sees files of several runs. */
static void tell_beside(const struct slu_task *t, const struct slu_output *o)
{
	size_t n = o->before ? slu_manifest_count(o->before) : 0;
	SLU_AUTO(slu_freep) char *text = NULL;

	if (!n || slu_streq(o->type, "uri_file"))
		return;
	text = slu_asprintf(
		"output '%s': %zu %s in '%s' already; what this run writes is put beside, "
		"and the version has only that: write {run-id} into the path for a "
		"folder of its own",
		o->name, n, n > 1 ? "files are" : "file is", o->uri);
	if (text)
		slu_stage_tell(t, text);
}

static void tell_note(const struct slu_task *t, const struct slu_output *o)
{
	SLU_AUTO(slu_freep)
	char *text = o->note ? slu_asprintf("output '%s': %s", o->name, o->note) : NULL;

	if (text)
		slu_stage_tell(t, text);
}

static int resolve_input(void *user, size_t i, struct slu_err *e)
{
	struct opening *o = user;
	struct slu_input *in = o->t->in[i];
	int r;

	if (!in)
		return 0;
	r = slu_input_resolve(o->t->s, in, e);
	if (r < 0)
		return slu_fail_more(e, "input '%s'", in->name);
	if (!slu_manifest_count(in->dataset->tree->manifest))
		tell_empty(o->t, in);
	r = check_type(&o->t->spec.in[i], in, e);
	if (r == 0) /* lineage names it by id and digest, so it has to be there */
		r = slu_registry_save(o->t->s, in->dataset, e);
	return r;
}

static int open_input(void *user, size_t i, struct slu_err *e)
{
	struct opening *o = user;
	struct slu_input *in = o->t->in[i];

	return in ? slu_input_open(o->t->s, in, o->inputs, o->t->spec.in[i].id, o->t->data_log, e)
		  : 0;
}

/* In the folder that the step runs in, unless it is absolute. */
static char *on_compute(const struct slu_task *t, const char *at)
{
	return at[0] == '/' ? slu_strdup(at) : slu_path_join(t->cwd, at);
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
		if (spec->at && !(in->at = on_compute(t, spec->at)))
			return slu_fail_oom(e);
		in->ref = spec->step ? edge(user, spec->step, spec->output) : slu_strdup(spec->ref);
		if (!in->name || !in->ref)
			return slu_fail_oom(e);
	}
	return 0;
}

/* --- outputs --- */

int slu_stage_destination(struct sluice *s, const struct slu_spec_step *step,
			  const struct slu_spec_output *spec, const char *run, char **ret,
			  struct slu_err *e)
{
	static const char macro[] = "${{default_datastore}}";
	const char *store = step->datastore ? step->datastore : slu_context_default_store(s);
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64 << 10);
	const char *p = spec->path, *at;

	if (!p && !step->datastore)
		return 0;
	if (!p) {
		SLU_AUTO(slu_freep)
		char *path = slu_asprintf("azureml/%s/%s", run, spec->name);

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

static int open_output(void *user, size_t i, struct slu_err *e)
{
	struct opening *opening = user;
	struct slu_task *t = opening->t;
	const struct slu_spec_output *spec = &t->spec.out[i];
	struct slu_output *o = t->out[i] = slu_new0(struct slu_output);

	if (!o)
		return slu_fail_oom(e);
	o->name = slu_strdup(spec->name);
	o->mode = spec->mode;
	o->type = slu_strdup(spec->type ? spec->type : "uri_folder");
	o->allow_empty = spec->allow_empty;
	o->overwrite = spec->overwrite;
	o->table = spec->table ? slu_json_ref(spec->table) : NULL;
	o->source_globs = spec->source_globs ? slu_json_ref(spec->source_globs) : NULL;
	o->register_name = slu_strdup(spec->register_as);
	o->description = slu_strdup(spec->description);
	o->tags = spec->tags ? slu_json_ref(spec->tags) : NULL;
	o->log = t->data_log;
	o->at = spec->at ? on_compute(t, spec->at) : NULL;
	if (spec->at && !o->at)
		return slu_fail_oom(e);
	if (!o->name || !o->type || (spec->register_as && !o->register_name))
		return slu_fail_oom(e);
	int r = slu_stage_destination(t->s, &t->spec, spec, t->run->id, &o->destination, e);
	if (r == 0)
		r = slu_output_open(t->s, o, t->run->id, opening->outputs, e);
	if (r == 0)
		tell_beside(t, o);
	return r;
}

static int open_one(void *user, size_t i, struct slu_err *e)
{
	const struct opening *o = user;
	size_t n = o->t->spec.nin;

	return i < n ? open_input(user, i, e) : open_output(user, i - n, e);
}

/* Some at a time, inputs first: a mount is mostly waiting for. */
static int open_all(struct slu_task *t, struct slu_err *e)
{
	struct opening o = {.t = t,
			    .inputs = slu_asprintf("%s/inputs", t->run->dir),
			    .outputs = slu_asprintf("%s/outputs", t->run->dir)};
	int r = o.inputs && o.outputs
			? slu_gang(t->spec.nin + t->spec.nout, THREADS, open_one, &o, e)
			: slu_fail_oom(e);

	free(o.inputs);
	free(o.outputs);
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
			if (t->in[k] && t->out[i]->uri &&
			    overlaps(t->in[k]->dataset->tree, t->out[i]->uri))
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

int slu_stage_note_inputs(struct slu_task *t, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *in = slu_json_array();

	for (size_t i = 0; in && i < t->spec.nin; i++)
		if (slu_json_append(in, input_record(&t->spec.in[i], t->in[i])) < 0)
			return slu_fail_oom(e);
	return in ? slu_run_set(t->run, "inputs", slu_json_ref(in), false, e) : slu_fail_oom(e);
}

static int record(struct slu_task *t, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *out = slu_json_object();

	if (!out)
		return slu_fail_oom(e);
	for (size_t i = 0; i < t->spec.nout; i++)
		if (slu_json_set(out, t->out[i]->name, output_record(t->out[i])) < 0)
			return slu_fail_oom(e);
	int r = slu_stage_note_inputs(t, e);
	return r < 0 ? r : slu_run_set(t->run, "outputs", slu_json_ref(out), true, e);
}

/* --- all of it --- */

static int make_code(struct slu_task *t, struct slu_err *e)
{
	int r = slu_path_mkdirs(t->run->fd, "code", 0700);

	return r < 0 ? slu_fail_sys(e, -r, "cannot make '%s'", t->cwd) : 0;
}

int slu_stage_resolve(struct slu_task *t, slu_edge_fn *edge, void *user, struct slu_err *e)
{
	struct opening o = {.t = t};
	int r = make_inputs(t, edge, user, e);

	return r < 0 ? r : slu_gang(t->spec.nin, THREADS, resolve_input, &o, e);
}

int slu_stage_open(struct slu_task *t, struct slu_err *e)
{
	int r;

	if ((r = make_code(t, e)) < 0 || (r = open_all(t, e)) < 0 ||
	    (r = check_overlap(t, e)) < 0 || (r = record(t, e)) < 0 ||
	    (r = slu_env_fill(t, e)) < 0 || (r = slu_environment_open(t, e)) < 0)
		return r;
	return slu_compute_prepare(t, e);
}

/* A program that had to be killed, or gave up, has not ended its batch. */
static void forget_batch(const struct slu_task *t)
{
	struct slu_err why = {0};

	if (slu_livy_forget(t->s, t->run->dir, NULL, &why) < 0)
		slu_warn("job", "run '%s': its batch may still run: %s", t->run->id, why.msg);
}

int slu_stage_close_inputs(struct slu_task *t, struct slu_err *e)
{
	struct slu_err why = {0};
	int r = 0;

	for (size_t i = 0; t->in && i < t->spec.nin; i++) {
		if (!t->in[i])
			continue;
		int rc = slu_input_close(t->in[i], &why);
		if (rc < 0 && r == 0)
			r = slu_fail(e, -rc, "%s", why.msg);
	}
	slu_container_remove(t);
	/* Its programs have ended: whoever hears that the run is over may delete what it used. */
	slu_environment_done(&t->environment);
	forget_batch(t);
	slu_path_rmtree_mine(t->run->fd, "inputs");
	slu_path_rmtree_mine(t->run->fd, "tmp");
	unlinkat(t->run->fd, "spark.properties", 0);
	unlinkat(t->run->fd, SLU_LIVY_REQUEST, 0);
	return r;
}

static int unmount_output(void *user, size_t i, struct slu_err *e)
{
	struct slu_task *t = user;
	int r = t->out[i] ? slu_output_unmount(t->out[i], e) : 0;

	return r < 0 ? slu_fail_more(e, "output '%s'", t->out[i]->name) : 0;
}

int slu_stage_unmount_outputs(struct slu_task *t, struct slu_err *e)
{
	return t->out ? slu_gang(t->spec.nout, THREADS, unmount_output, t, e) : 0;
}

int slu_stage_collect(struct slu_task *t, struct slu_err *e)
{
	for (size_t i = 0; i < t->spec.nout; i++) {
		struct slu_output *o = t->out[i];
		bool spark = t->spec.kind == SLU_JOB_SPARK && !t->unmarked;
		int r = slu_output_collect(t->s, o, spark, e);

		if (r < 0)
			return r;
		tell_note(t, o);
	}
	return record(t, e);
}

void slu_stage_discard(struct slu_task *t)
{
	for (size_t i = 0; t->out && i < t->spec.nout; i++) {
		struct slu_err why = {0};
		size_t n = 0;

		if (!t->spec.out[i].discard || !t->out[i] || !t->out[i]->claim)
			continue;
		if (slu_output_discard(t->out[i], &n, &why) < 0)
			slu_warn("job", "run '%s': what it wrote stays: %s", t->run->id, why.msg);
		else if (n)
			slu_warn("job", "run '%s': %zu files were discarded from '%s'", t->run->id,
				 n, t->out[i]->uri);
	}
}

void slu_stage_close_outputs(struct slu_task *t, bool discard)
{
	for (size_t i = 0; t->out && i < t->spec.nout; i++) {
		struct slu_err why = {0};

		if (t->out[i] && slu_output_close(t->s, t->out[i], &why) < 0)
			slu_warn("job", "run '%s': %s", t->run->id, why.msg);
	}
	if (discard)
		slu_path_rmtree_mine(t->run->fd, "outputs");
}

/* --- the outcome --- */

/* A version that was asked for by name must be free before the run can be called Completed. */
static int check_version(struct slu_task *t, const struct slu_spec_output *spec, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *taken = NULL;

	if (!spec->version ||
	    slu_registry_record_any(t->s, spec->register_as, spec->version, &taken, NULL) < 0)
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
