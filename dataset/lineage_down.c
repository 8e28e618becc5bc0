/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lineage downward: what was made from a version, and from that, and so on.  By the marks of uses.c:
 * one listing for each dataset on the way, never of the whole registry.  A mark is a hint; the record
 * or outcome says whether it is true.  Depth and size have limits, and a dataset on the way down is
 * not entered again.
 */
#include "dataset/lineage.h"
#include "dataset/outcome.h"
#include "dataset/uses.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/vec.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

struct marks {
	size_t strip;
	SLU_VEC(char *) p; /* "data/<name>/<version>", "runs/<run>" */
};

struct descent {
	struct sluice *s;
	struct slu_registry g;
	const char *way[SLU_LINEAGE_DEPTH]; /* ids of the datasets above */
	int depth;
	int nodes;
};

static void marks_done(struct marks *m)
{
	for (size_t i = 0; i < m->p.n; i++)
		free(m->p.p[i]);
	free(m->p.p);
}

static int add_mark(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	struct marks *m = user;
	char *copy = slu_strdup(path + m->strip);

	(void)attr;
	if (!copy || !slu_vec_push(&m->p, copy)) {
		free(copy);
		return slu_fail_oom(e);
	}
	return 0;
}

static int find_marks(const struct slu_registry *g, const char *id, struct marks *m,
		      struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_registry_path(g, "uses/%s", id);

	if (!path)
		return slu_fail_oom(e);
	m->strip = strlen(path) + 1;
	int r = slu_walk(g->store, path, add_mark, m, e);

	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

static int go_down(struct descent *c, struct json_t *node, const char *id, struct slu_err *e);

static int set_from(struct json_t *o, const struct json_t *from, const char *const *keys)
{
	for (; *keys; keys++) {
		struct json_t *v = slu_json_get(from, *keys);

		if (v && slu_json_set(o, *keys, slu_json_ref(v)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* A version that was made from dataset `id`; *ret_run: its run, borrowed by node. */
static int version_node(struct descent *c, struct json_t *list, char *mark, const char *id,
			struct slu_err *e)
{
	static const char *const keys[] = {"version", "dataset", "run", "output", "created", NULL};
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL, *node = slu_json_object();
	char *slash = strchr(mark, '/');

	if (!slash)
		return 0;
	*slash = '\0';
	int r = slu_record_read(&c->g, mark, slash + 1, &record, e);

	if (r == -ENOENT) /* whoever left the mark never came so far */
		return 0;
	if (r < 0)
		return r;
	const char *made = slu_json_str(record, "dataset");

	if (!slu_uses_has(slu_json_get(record, "inputs"), id))
		return 0; /* another one got that number */
	if (!node || slu_json_set_str(node, "registered", mark) < 0 ||
	    set_from(node, record, keys) < 0)
		return slu_fail_oom(e);
	c->nodes++;
	/* The same data under another name has the same users. */
	r = made && !slu_streq(made, id) ? go_down(c, node, made, e) : 0;
	return r < 0 ? r : slu_json_append(list, slu_take(node)) < 0 ? slu_fail_oom(e) : 0;
}

/* Is this output of the run in the list as a version? */
static bool listed(const struct json_t *list, const char *run, const char *output)
{
	for (size_t i = 0; i < slu_json_count(list); i++) {
		const char *r = slu_json_str(slu_json_at(list, i), "run");
		const char *o = slu_json_str(slu_json_at(list, i), "output");

		if (r && o && slu_streq(r, run) && slu_streq(o, output))
			return true;
	}
	return false;
}

static int output_node(struct descent *c, struct json_t *list, const struct json_t *outcome,
		       const char *output, const char *made, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *node = slu_json_object();

	if (!node || slu_json_set_str(node, "run", slu_json_str(outcome, "run")) < 0 ||
	    slu_json_set_str(node, "status", slu_json_str(outcome, "status")) < 0 ||
	    slu_json_set_str(node, "output", output) < 0 ||
	    slu_json_set_str(node, "dataset", made) < 0 ||
	    slu_json_set_str(node, "created", slu_json_str(outcome, "time")) < 0)
		return slu_fail_oom(e);
	c->nodes++;
	int r = made ? go_down(c, node, made, e) : 0;

	return r < 0 ? r : slu_json_append(list, slu_take(node)) < 0 ? slu_fail_oom(e) : 0;
}

/* A run that read dataset `id`: its outputs that are no versions, or itself when it made none. */
static int run_node(struct descent *c, struct json_t *list, const char *run, const char *id,
		    struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;
	int r = slu_outcome_get(c->s, run, &outcome, e);
	const struct json_t *outs = slu_json_get(outcome, "outputs");

	if (r == -ENOENT)
		return 0;
	if (r < 0 || !slu_uses_has(slu_json_get(outcome, "inputs"), id))
		return r;
	if (slu_json_count(outs) == 0)
		return output_node(c, list, outcome, NULL, NULL, e);
	for (void *it = slu_json_iter(outs); r == 0 && it; it = slu_json_next(outs, it)) {
		const char *output = slu_json_iter_key(it);

		if (!listed(list, run, output))
			r = output_node(c, list, outcome, output,
					slu_json_str(slu_json_iter_value(it), "dataset"), e);
	}
	return r;
}

static bool on_the_way(const struct descent *c, const char *id)
{
	for (int i = 0; i < c->depth; i++)
		if (slu_streq(c->way[i], id))
			return true;
	return false;
}

static int add_users(struct descent *c, struct json_t *list, const char *id, struct slu_err *e)
{
	SLU_AUTO(marks_done) struct marks m = {0};
	int r = find_marks(&c->g, id, &m, e);

	/* Versions stand before runs in the order of a walk, so that outputs can be told from them. */
	for (size_t i = 0; r == 0 && i < m.p.n && c->nodes < SLU_LINEAGE_NODES; i++) {
		char *mark = m.p.p[i];

		if (slu_starts(mark, "data/"))
			r = version_node(c, list, mark + 5, id, e);
		else if (slu_starts(mark, "runs/"))
			r = run_node(c, list, mark + 5, id, e);
	}
	return r;
}

static int go_down(struct descent *c, struct json_t *node, const char *id, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = slu_json_array();

	if (!list)
		return slu_fail_oom(e);
	if (on_the_way(c, id) || c->depth == SLU_LINEAGE_DEPTH || c->nodes >= SLU_LINEAGE_NODES)
		return slu_json_set_bool(node, "cut", true) < 0 ? slu_fail_oom(e) : 0;
	c->way[c->depth++] = id;
	int r = add_users(c, list, id, e);

	c->depth--;
	if (r == 0 && slu_json_count(list) > 0 && slu_json_set(node, "used_by", slu_take(list)) < 0)
		r = slu_fail_oom(e);
	return r;
}

/* The same bytes may have been read under another id: from a frozen copy. */
static int go_down_frozen(struct descent *c, struct json_t *node, const char *id,
			  const char *frozen, struct slu_err *e)
{
	struct json_t *list = slu_json_get(node, "used_by");

	if (!frozen || slu_streq(frozen, id))
		return 0;
	if (!list) {
		if (slu_json_set(node, "used_by", slu_json_array()) < 0)
			return slu_fail_oom(e);
		list = slu_json_get(node, "used_by");
	}
	c->way[c->depth++] = id;
	int r = add_users(c, list, frozen, e);

	c->depth--;
	return r;
}

int slu_lineage_down(struct sluice *s, const char *ref, const char *id, const char *frozen,
		     struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *node = slu_json_object();
	struct descent c = {.s = s};

	if (!node || slu_json_set_str(node, "ref", ref) < 0 ||
	    slu_json_set_str(node, "dataset", id) < 0)
		return slu_fail_oom(e);
	int r = slu_registry_open(s, &c.g, e);

	if (r == 0)
		r = go_down(&c, node, id, e);
	if (r == 0)
		r = go_down_frozen(&c, node, id, frozen, e);
	if (r == 0 && !slu_json_get(node, "used_by") &&
	    slu_json_set(node, "used_by", slu_json_array()) < 0)
		r = slu_fail_oom(e);
	if (r == 0)
		*ret = slu_take(node);
	return r;
}
