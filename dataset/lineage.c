/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lineage upward: a version's record names the inputs of the run that made it; where such an input is
 * itself a registered version or a run's output, its own inputs follow below it.  What uses a version
 * is told by lineage_down.c.  Records are immutable, but nothing stops a job from reading what an earlier
 * version of its own output was: depth and size have limits, and a node on the way up is not entered
 * again.
 */
#include "dataset/lineage.h"
#include "dataset/facts.h"
#include "dataset/outcome.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

struct climb {
	struct sluice *s;
	const char *way[SLU_LINEAGE_DEPTH]; /* keys of the nodes above this one */
	int depth;
	int nodes;
};

static bool is_store(void *user, const char *name)
{
	return slu_context_is_store(user, name);
}

static int set_from(struct json_t *o, const struct json_t *from, const char *const *keys)
{
	for (; *keys; keys++) {
		struct json_t *v = slu_json_get(from, *keys);

		if (v && slu_json_set(o, *keys, slu_json_copy(v)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int climb_inputs(struct climb *c, struct json_t *node, const char *key,
			const struct json_t *inputs, struct slu_err *e);

/* The run and the inputs of a record, into node. */
static int from_record(struct climb *c, struct json_t *node, const struct json_t *record,
		       struct slu_err *e)
{
	static const char *const keys[] = {"version", "dataset", "manifest", "run",
					   "output",  "created", NULL};
	SLU_AUTO(slu_freep)
	char *key = slu_asprintf("%s@%s", slu_json_str(record, "name"),
				 slu_json_str(record, "version"));

	if (!key || slu_json_set_str(node, "registered", slu_json_str(record, "name")) < 0 ||
	    set_from(node, record, keys) < 0)
		return slu_fail_oom(e);
	return climb_inputs(c, node, key, slu_json_get(record, "inputs"), e);
}

static int from_outcome(struct climb *c, struct json_t *node, const char *run, const char *output,
			struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	int r = slu_outcome_get(c->s, run, &o, e);

	if (r < 0)
		return r;
	const struct json_t *out = slu_json_get(slu_json_get(o, "outputs"), output);
	SLU_AUTO(slu_freep) char *key = slu_asprintf("jobs/%s/%s", run, output);

	if (!out)
		return slu_fail(e, ENOENT, "run '%s' has no output '%s'", run, output);
	if (!key || slu_json_set_str(node, "run", run) < 0 ||
	    slu_json_set_str(node, "output", output) < 0 ||
	    slu_json_set_str(node, "dataset", slu_json_str(out, "dataset")) < 0 ||
	    slu_json_set_str(node, "manifest", slu_json_str(out, "manifest")) < 0 ||
	    slu_json_set_str(node, "created", slu_json_str(o, "time")) < 0)
		return slu_fail_oom(e);
	return climb_inputs(c, node, key, slu_json_get(o, "inputs"), e);
}

/* Is it dataset `id`, or frozen as that? */
static bool is_dataset(const struct slu_registry *g, const struct slu_facts_map *facts,
		       const struct json_t *record, const char *id)
{
	SLU_AUTO(slu_json_freep) struct json_t *now = NULL;
	const char *is = slu_json_str(record, "dataset");

	if (is && slu_streq(is, id))
		return true;
	now = slu_json_copy(record);
	if (!now || slu_facts_overlay(g, facts, now, NULL) < 0)
		return false;
	is = slu_json_str(now, "frozen");
	return is && slu_streq(is, id);
}

/* "name" without a version was the newest when the run began: the newest one that is dataset `id`. */
static int version_of_id(struct sluice *s, const char *name, const char *id, struct json_t **ret,
			 struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;
	SLU_AUTO(slu_facts_map_freep) struct slu_facts_map *facts = NULL;
	struct slu_registry g;
	int r = slu_registry_open(s, &g, e);

	if (r == 0)
		r = slu_registry_versions(s, name, &all, e);
	if (r == 0)
		r = slu_facts_list(&g, name, NULL, &facts, e);
	if (r < 0)
		return r;
	for (size_t i = slu_json_count(all); i-- > 0;) {
		if (is_dataset(&g, facts, slu_json_at(all, i), id)) {
			*ret = slu_json_ref(slu_json_at(all, i));
			return 0;
		}
	}
	return slu_fail(e, ENOENT, "no version of dataset '%s' is dataset '%s'", name, id);
}

static int find_record(struct sluice *s, const struct slu_uri *u, const char *id,
		       struct json_t **ret, struct slu_err *e)
{
	bool fixed = u->version && !slu_streq(u->version, "latest");

	if (id && !fixed)
		return version_of_id(s, u->name, id, ret, e);
	return slu_registry_record_any(s, u->name, u->version, ret, e);
}

/* What a reference leads to, as far as the registry knows.  id: NULL for the one asked about. */
static int climb_ref(struct climb *c, struct json_t *node, const char *ref, const char *id,
		     struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;
	int r = slu_uri_parse(ref, is_store, c->s, &u, e);

	if (r < 0)
		return r;
	if (u->kind == SLU_URI_JOB && u->output)
		return from_outcome(c, node, u->name, u->output, e);
	if (u->kind == SLU_URI_WORD && slu_is_name(ref)) {
		free(u->name);
		u->name = slu_strdup(ref);
		if (!u->name)
			return slu_fail_oom(e);
	} else if (u->kind != SLU_URI_DATA || (u->path && *u->path)) {
		return slu_fail(e, EINVAL,
				"'%s' names no version: lineage is kept for registered versions "
				"(NAME@VERSION) and for outputs of runs",
				ref);
	}
	r = find_record(c->s, u, id, &record, e);
	return r < 0 ? r : from_record(c, node, record, e);
}

static bool on_the_way(const struct climb *c, const char *key)
{
	for (int i = 0; i < c->depth; i++)
		if (slu_streq(c->way[i], key))
			return true;
	return false;
}

static int climb_input(struct climb *c, struct json_t *list, const struct json_t *in,
		       struct slu_err *e)
{
	static const char *const keys[] = {"name", "ref", "id", "digest", "mode", NULL};
	const char *ref = slu_json_str(in, "ref");
	SLU_AUTO(slu_json_freep) struct json_t *node = slu_json_object();

	if (!node || set_from(node, in, keys) < 0)
		return slu_fail_oom(e);
	c->nodes++;
	int r = ref ? climb_ref(c, node, ref, slu_json_str(in, "id"), e) : 0;

	/* A path has no lineage, and what is gone has none any more. */
	if (r < 0 && r != -EINVAL && r != -ENOENT)
		return r;
	return slu_json_append(list, slu_take(node)) < 0 ? slu_fail_oom(e) : 0;
}

static int climb_inputs(struct climb *c, struct json_t *node, const char *key,
			const struct json_t *inputs, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = slu_json_array();
	int r = 0;

	if (!list)
		return slu_fail_oom(e);
	if (on_the_way(c, key) || c->depth == SLU_LINEAGE_DEPTH || c->nodes >= SLU_LINEAGE_NODES)
		return slu_json_set_bool(node, "cut", true) < 0 ? slu_fail_oom(e) : 0;
	c->way[c->depth++] = key;
	for (size_t i = 0; r == 0 && i < slu_json_count(inputs) && c->nodes < SLU_LINEAGE_NODES;
	     i++)
		r = climb_input(c, list, slu_json_at(inputs, i), e);
	c->depth--;
	if (r == 0 && slu_json_set(node, "inputs", slu_take(list)) < 0)
		r = slu_fail_oom(e);
	return r;
}

int slu_registry_lineage(struct sluice *s, const char *ref, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *node = slu_json_object();
	struct climb c = {.s = s};

	if (!node || slu_json_set_str(node, "ref", ref) < 0)
		return slu_fail_oom(e);
	int r = climb_ref(&c, node, ref, NULL, e);

	if (r == 0)
		*ret = slu_take(node);
	return r;
}
