/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key of a step, the runs that have it, and whether one of them can be taken: it Completed, and the
 * stores still hold what it wrote, as its manifests say.  Nothing is decided here; step.c does.
 */
#include "job/reuse.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "dataset/compare.h"
#include "dataset/outcome.h"
#include "dataset/record.h"
#include "fs/walk.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>

/* How many runs of one key are looked at. */
enum { FORMAT = 1, LOOKED_AT = 8 };

/* --- parts --- */

static int put(struct json_t *o, const char *key, const struct json_t *v)
{
	return v ? slu_json_set(o, key, slu_json_copy(v)) : 0;
}

/* The spec without what is told apart or means nothing to the result. */
static struct json_t *rest_of(const struct json_t *spec)
{
	static const char *const out[] = {
		"where",   "display_name", "description",           "code",   "command", "compute",
		"timeout", "retries",      "environment_variables", "inputs", "outputs"};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_copy(spec);

	for (size_t i = 0; o && i < sizeof out / sizeof *out; i++)
		slu_json_del(o, out[i]);
	return slu_take(o);
}

/* Where data is given by its URI, the text itself is what the program sees. */
static bool by_uri(const struct slu_spec_input *in)
{
	return !in->step && (in->mode == SLU_MODE_DIRECT || in->mode == SLU_MODE_HDFS);
}

/* As the record's spec has it, but data by what it is instead of by where it is said to be. */
static struct json_t *input_part(const struct json_t *said, const struct slu_spec_input *spec,
				 const struct slu_input *in)
{
	static const char *const places[] = {"where", "name", "step", "output", "path"};
	SLU_AUTO(slu_json_freep) struct json_t *o = said ? slu_json_copy(said) : NULL;
	int r = o ? 0 : -ENOMEM;

	for (size_t i = 0; o && i < sizeof places / sizeof *places; i++)
		slu_json_del(o, places[i]);
	if (o && in) {
		r |= slu_json_set_str(o, "mode", slu_mode_name(spec->mode));
		r |= slu_json_set_str(o, "dataset", in->dataset->id);
		r |= slu_json_set_str(o, "manifest", in->dataset->digest);
		if (by_uri(spec))
			r |= slu_json_set_str(o, "path", spec->ref);
	}
	return r ? NULL : slu_take(o);
}

static int inputs_part(const struct slu_task *t, const struct json_t *spec, struct json_t *parts)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const struct json_t *said = slu_json_get(spec, "inputs");

	for (size_t i = 0; o && i < t->spec.nin; i++)
		if (slu_json_set(o, t->spec.in[i].name,
				 input_part(slu_json_at(said, i), &t->spec.in[i], t->in[i])) < 0)
			return -ENOMEM;
	return slu_json_set(parts, "inputs", slu_take(o));
}

/* Outputs as the record's spec has them, without the place in the file and what only describes. */
static int outputs_part(const struct json_t *spec, struct json_t *parts)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const struct json_t *list = slu_json_get(spec, "outputs");

	for (size_t i = 0; o && i < slu_json_count(list); i++) {
		SLU_AUTO(slu_json_freep) struct json_t *out = slu_json_copy(slu_json_at(list, i));
		const char *name = slu_json_str(out, "name");

		if (!out || !name)
			return -ENOMEM;
		slu_json_del(out, "where");
		slu_json_del(out, "description");
		slu_json_del(out, "tags");
		if (slu_json_set(o, name, slu_json_ref(out)) < 0)
			return -ENOMEM;
	}
	return slu_json_set(parts, "outputs", slu_take(o));
}

/* The entry of config.json: how many steps go at a time changes no result. */
static int compute_part(const struct slu_task *t, struct json_t *parts)
{
	const struct slu_workspace *w = slu_context_workspace(t->s);
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const struct json_t *is =
		slu_json_get(w ? slu_json_get(w->config, "computes") : NULL, t->compute.name);

	o = is ? slu_json_copy(is) : slu_json_object();
	if (!o || slu_json_set_str(o, "name", t->compute.name) < 0)
		return -ENOMEM;
	slu_json_del(o, "slots");
	return slu_json_set(parts, "compute", slu_take(o));
}

static int make_parts(const struct slu_task *t, struct json_t *parts)
{
	const struct json_t *spec = slu_json_get(t->run->doc, "spec");
	const struct json_t *code = slu_json_get(slu_json_get(t->run->doc, "snapshot"), "hash");
	int r = slu_json_set_int(parts, "format", FORMAT);

	r |= slu_json_set(parts, "step", rest_of(spec));
	r |= put(parts, "command", slu_json_get(spec, "command"));
	r |= put(parts, "environment_variables", slu_json_get(spec, "environment_variables"));
	r |= put(parts, "code", code);
	r |= compute_part(t, parts);
	r |= inputs_part(t, spec, parts);
	return r | outputs_part(spec, parts);
}

static int hash_text(const char *text, char ret[SLU_DIGEST_HEX])
{
	uint8_t sum[SLU_DIGEST_MAX];
	int r = slu_digest(SLU_SHA256, text, strlen(text), sum);

	if (r == 0)
		slu_hex(ret, sum, slu_digest_len(SLU_SHA256));
	return r;
}

int slu_reuse_parts(const struct slu_task *t, struct json_t **ret_parts,
		    char ret_key[SLU_DIGEST_HEX], struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *parts = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL;

	if (!parts || make_parts(t, parts) < 0 ||
	    !(text = slu_json_text(parts, SLU_JSON_CANONICAL)))
		return slu_fail_oom(e);
	if (hash_text(text, ret_key) < 0)
		return slu_fail(e, EIO, "cannot hash what step '%s' is", t->spec.name);
	*ret_parts = slu_take(parts);
	return 0;
}

/* --- the index --- */

/* Steps of one name in pipelines of one name are tellings of the same step. */
static int step_path(const struct slu_registry *g, const struct slu_task *t, char **ret)
{
	const char *experiment = slu_run_get(t->run, "experiment");
	const char *job = slu_run_get(t->run, "job");
	SLU_AUTO(slu_freep)
	char *text = slu_asprintf("%s\n%s\n%s", experiment ? experiment : "", job ? job : "",
				  t->spec.name);
	char sum[SLU_DIGEST_HEX];

	if (!text || hash_text(text, sum) < 0)
		return -ENOMEM;
	*ret = slu_registry_path(g, "reuse/steps/%s", sum);
	return *ret ? 0 : -ENOMEM;
}

struct candidate {
	char *run;
	int64_t time;
};

struct candidates {
	SLU_VEC(struct candidate) v;
};

static int add_candidate(void *user, const char *path, const struct slu_attr *attr,
			 struct slu_err *e)
{
	struct candidates *c = user;
	struct candidate k = {.time = attr->mtime_ns};

	if (attr->kind != SLU_KIND_FILE || !slu_run_id_ok(slu_path_base(path)))
		return 0;
	k.run = slu_strdup(slu_path_base(path));
	if (k.run && slu_vec_push(&c->v, k))
		return 0;
	free(k.run);
	return slu_fail_oom(e);
}

static int newest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return x->time != y->time ? (x->time < y->time ? 1 : -1) : strcmp(y->run, x->run);
}

static int list_candidates(const struct slu_registry *g, const char *key, struct candidates *c,
			   struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_registry_path(g, "reuse/keys/%s", key);
	int r = path ? slu_walk_dir(g->store, path, add_candidate, c, e) : slu_fail_oom(e);

	if (r < 0 && r != -ENOENT)
		return r;
	if (c->v.n)
		qsort(c->v.p, c->v.n, sizeof(*c->v.p), newest_first);
	return 0;
}

static void candidates_done(struct candidates *c)
{
	for (size_t i = 0; i < c->v.n; i++)
		free(c->v.p[i].run);
	free(c->v.p);
}

/* --- can a run be taken? --- */

static int say(struct slu_reuse *u, char *line)
{
	SLU_AUTO(slu_freep) char *own = line;

	if (!u->explain)
		u->explain = slu_json_array();
	return own ? slu_json_append(u->explain, slu_json_new_str(own)) : -ENOMEM;
}

struct change {
	char path[256];
	enum slu_difference what;
};

static int on_change(void *user, enum slu_difference what, const struct slu_file *before,
		     const struct slu_file *after)
{
	struct change *c = user;

	(void)after;
	if (what != SLU_REMOVED && what != SLU_CHANGED)
		return 0;
	snprintf(c->path, sizeof(c->path), "%s", before->path);
	c->what = what;
	return 1;
}

/* 0: the stores hold the dataset as it is pinned; else a sentence in e says what is not so. */
static int intact(struct sluice *s, const struct slu_dataset *d, const char *what, const char *name,
		  struct slu_err *e)
{
	struct change c = {.what = SLU_SAME};
	struct slu_err why = {0};
	int r = slu_manifest_count(d->tree->manifest) ? slu_compare_now(s, d, on_change, &c, &why)
						      : 0;

	if (r < 0)
		return slu_fail(e, ESTALE, "%s '%s' cannot be read: %s", what, name, why.msg);
	if (c.what == SLU_SAME)
		return 0;
	return slu_fail(e, ESTALE, "file '%s' of %s '%s' %s since", c.path, what, name,
			c.what == SLU_REMOVED ? "was deleted" : "was changed");
}

/* A version that its run registered must still be one: else whoever asked for it would miss it. */
static int still_registered(struct sluice *s, const struct json_t *out, struct slu_err *e)
{
	const struct json_t *reg = slu_json_get(out, "registered");
	const char *name = slu_json_str(reg, "name"), *version = slu_json_str(reg, "version");
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;

	return name && version ? slu_registry_record(s, name, version, &record, e) : 0;
}

static int check_outputs(struct sluice *s, const struct slu_run *r, const struct json_t *outcome,
			 struct slu_err *e)
{
	const struct json_t *outputs = slu_json_get(outcome, "outputs");
	const struct json_t *records = slu_json_get(r->doc, "outputs");
	int rc = 0;

	for (void *it = slu_json_iter(outputs); it && rc == 0; it = slu_json_next(outputs, it)) {
		SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
		const struct json_t *out = slu_json_iter_value(it);
		const char *name = slu_json_iter_key(it), *id = slu_json_str(out, "dataset");
		const struct json_t *record = slu_json_get(records, name);

		if (slu_json_get(out, "register") && !slu_json_get(record, "registered"))
			return slu_fail(e, EAGAIN, "its output '%s' is not registered yet", name);
		rc = id ? slu_registry_by_id(s, id, &d, e)
			: slu_fail(e, EBADMSG, "its output '%s' is not known", name);
		if (rc == 0)
			rc = intact(s, d, "its output", name, e);
		if (rc == 0)
			rc = still_registered(s, record, e);
	}
	return rc;
}

/* Inputs that were resolved by what was written down once: their files may have changed since. */
static int check_inputs(const struct slu_task *t, struct slu_err *e)
{
	for (size_t i = 0; i < t->spec.nin; i++) {
		const struct slu_input *in = t->in[i];

		if (!in || t->spec.in[i].step ||
		    (!in->dataset->name && !slu_starts(in->ref, "azureml://jobs/")))
			continue;
		int r = intact(t->s, in->dataset, "input", in->name, e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Takes the run into u, or says in e why not. */
static int take_run(const struct slu_task *t, const char *id, struct slu_reuse *u,
		    struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;
	int rc = slu_run_open(t->s, id, &r, e);

	if (rc == 0)
		rc = slu_outcome_get(t->s, id, &outcome, e);
	if (rc < 0)
		return rc;
	const char *status = slu_json_str(outcome, "status");
	const struct json_t *outputs = slu_json_get(r->doc, "outputs");

	if (!status || !slu_streq(status, "Completed"))
		return slu_fail(e, EINVAL, "it is %s", status ? status : "not over");
	rc = check_outputs(t->s, r, outcome, e);
	if (rc < 0)
		return rc;
	u->outputs = outputs ? slu_json_copy(outputs) : slu_json_object();
	u->from = slu_strdup(id);
	if (!u->outputs || !u->from)
		return slu_fail_oom(e);
	u->outcome = slu_take(outcome);
	return 0;
}

static int try_run(const struct slu_task *t, const char *id, struct slu_reuse *u, struct slu_err *e)
{
	struct slu_err why = {0};
	int r = take_run(t, id, u, &why);

	if (r == -ENOMEM)
		return slu_fail_oom(e);
	if (r < 0 && say(u, slu_asprintf("run '%s' is not taken: %s", id, why.msg)) < 0)
		return slu_fail_oom(e);
	if (r == 0 && say(u, slu_asprintf("the outputs of run '%s' are taken", id)) < 0)
		return slu_fail_oom(e);
	return 0;
}

/* --- why there is none --- */

static int newest_of_step(const struct slu_task *t, char **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_registry g;
	const char *run;
	int r = slu_registry_open(t->s, &g, NULL);

	if (r < 0 || (r = step_path(&g, t, &path)) < 0)
		return r;
	r = slu_registry_json(&g, path, "the hint of a step", &o, NULL);
	run = r == 0 ? slu_json_str(o, "run") : NULL;
	if (!run || !slu_run_id_ok(run))
		return -ENOENT;
	*ret = slu_strdup(run);
	return *ret ? 0 : -ENOMEM;
}

static int explain(const struct slu_task *t, struct slu_reuse *u, struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	const struct json_t *before;

	if (u->from || slu_json_count(u->explain))
		return 0;
	if (newest_of_step(t, &u->compared) < 0 || slu_run_open(t->s, u->compared, &r, NULL) < 0 ||
	    !(before = slu_json_get(slu_json_get(r->doc, "reuse"), "parts"))) {
		free(slu_take(u->compared));
		return say(u, slu_strdup("no earlier run of this step Completed")) < 0
			       ? slu_fail_oom(e)
			       : 0;
	}
	if (!u->explain && !(u->explain = slu_json_array()))
		return slu_fail_oom(e);
	int rc = slu_reuse_differences(t->s, before, u->parts, u->explain, e);

	if (rc == 0 && !slu_json_count(u->explain) &&
	    say(u, slu_asprintf("run '%s' is the same step, but is not offered", u->compared)) < 0)
		return slu_fail_oom(e);
	return rc;
}

static int find(const struct slu_task *t, struct slu_reuse *u, struct slu_err *e)
{
	struct candidates c = {0};
	struct slu_registry g;
	struct slu_err why = {0};
	int r = slu_registry_open(t->s, &g, e);

	if (r == 0)
		r = list_candidates(&g, u->key, &c, e);
	if (r == 0 && c.v.n && check_inputs(t, &why) < 0) {
		if (say(u, slu_strdup(why.msg)) < 0)
			r = slu_fail_oom(e);
		candidates_done(&c);
		return r;
	}
	for (size_t i = 0; r == 0 && !u->from && i < c.v.n && i < LOOKED_AT; i++)
		r = try_run(t, c.v.p[i].run, u, e);
	candidates_done(&c);
	return r;
}

int slu_reuse_find(const struct slu_task *t, bool look, const char *only, struct slu_reuse *ret,
		   struct slu_err *e)
{
	int r = slu_reuse_parts(t, &ret->parts, ret->key, e);

	if (r == 0 && only)
		r = try_run(t, only, ret, e);
	else if (r == 0 && look)
		r = find(t, ret, e);
	if (r < 0 || ret->from)
		return r;
	if (look)
		return explain(t, ret, e);
	return say(ret, slu_strdup(t->spec.always_run ? "it says 'is_deterministic: false'"
						      : "it was asked to run")) < 0
		       ? slu_fail_oom(e)
		       : 0;
}

void slu_reuse_done(struct slu_reuse *u)
{
	slu_json_free(u->parts);
	slu_json_free(u->outcome);
	slu_json_free(u->outputs);
	slu_json_free(u->explain);
	free(u->from);
	free(u->compared);
	*u = (struct slu_reuse){0};
}

struct json_t *slu_reuse_record(const struct slu_reuse *u)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int r = slu_json_set_str(o, "key", u->key);

	r |= slu_json_set_str(o, "from", u->from);
	r |= slu_json_set_str(o, "compared_with", u->compared);
	r |= put(o, "explain", u->explain);
	r |= put(o, "parts", u->parts);
	return r ? NULL : slu_take(o);
}

/* --- offering --- */

static int put_run(const struct slu_registry *g, const char *path, const char *run,
		   struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL;

	if (!path || slu_json_set_int(o, "format", SLU_REGISTRY_FORMAT) < 0 ||
	    slu_json_set_str(o, "run", run) < 0 || !(text = slu_json_text(o, SLU_JSON_PRETTY)))
		return slu_fail_oom(e);
	return slu_store_put(g->store, path, text, strlen(text), 0, NULL, e);
}

void slu_reuse_offer(const struct slu_task *t, const struct slu_reuse *u)
{
	SLU_AUTO(slu_freep) char *path = NULL, *step = NULL;
	struct slu_registry g;
	struct slu_err why = {0};
	int r = slu_registry_open(t->s, &g, &why);

	if (r == 0 && step_path(&g, t, &step) < 0)
		r = slu_fail_oom(&why);
	if (r == 0) {
		path = slu_registry_path(&g, "reuse/keys/%s/%s", u->key, t->run->id);
		r = put_run(&g, path, t->run->id, &why);
	}
	if (r == 0)
		r = put_run(&g, step, t->run->id, &why);
	if (r < 0)
		slu_warn("job", "run '%s' cannot be reused: %s", t->run->id, why.msg);
}

void slu_reuse_forget(struct sluice *s, const struct json_t *doc)
{
	const char *key = slu_json_str(slu_json_get(doc, "reuse"), "key");
	const char *run = slu_json_str(doc, "run");
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_registry g;

	if (!key || !run || !slu_is_name(key) || slu_registry_open(s, &g, NULL) < 0)
		return;
	path = slu_registry_path(&g, "reuse/keys/%s/%s", key, run);
	if (path)
		slu_store_delete(g.store, path, 0, NULL);
}
