/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the graph and its order (Kahn's algorithm, always the first ready step in file order).  It
 * knows nothing of runs: the supervisor asks it what a step needs.
 */
#include "job/graph.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

void slu_graph_free(struct slu_graph *g)
{
	if (!g)
		return;
	for (size_t i = 0; g->needs && i < g->n; i++)
		free(g->needs[i]);
	free(g->needs);
	free(g->nneeds);
	free(g->order);
	free(g);
}

static size_t find_step(const struct slu_spec_step *steps, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (slu_streq(steps[i].name, name))
			return i;
	return SIZE_MAX;
}

static int fail_unknown(const struct slu_spec_step *steps, size_t n, const char *name,
			const char *where, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_ERR_MSG);

	for (size_t i = 0; i < n; i++)
		slu_buf_fmt(&b, "%s'%s'", i ? ", " : "", steps[i].name);
	return slu_fail(e, EINVAL, "%s: there is no step '%s' in this pipeline, which has %s",
			where ? where : "pipeline", name, b.p ? b.p : "none");
}

static bool has(const struct slu_graph *g, size_t i, size_t j)
{
	for (size_t k = 0; k < g->nneeds[i]; k++)
		if (g->needs[i][k] == j)
			return true;
	return false;
}

static int add_edge(struct slu_graph *g, const struct slu_spec_step *steps, size_t i,
		    const char *to, const char *where, struct slu_err *e)
{
	size_t j = find_step(steps, g->n, to);

	if (j == SIZE_MAX)
		return fail_unknown(steps, g->n, to, where, e);
	if (!has(g, i, j))
		g->needs[i][g->nneeds[i]++] = j;
	return 0;
}

static int add_edges(struct slu_graph *g, const struct slu_spec_step *steps, size_t i,
		     struct slu_err *e)
{
	const struct slu_spec_step *s = &steps[i];

	size_t nafter = slu_json_count(s->after);
	int r = 0;

	g->needs[i] = slu_calloc(s->nin + nafter + 1, sizeof(*g->needs[i]));
	if (!g->needs[i])
		return slu_fail_oom(e);
	for (size_t k = 0; k < s->nin && r == 0; k++)
		if (s->in[k].step)
			r = add_edge(g, steps, i, s->in[k].step, s->in[k].where, e);
	for (size_t k = 0; k < nafter && r == 0; k++)
		r = add_edge(g, steps, i, slu_json_string(slu_json_at(s->after, k)), s->where, e);
	return r;
}

/* Any cycle among the steps that are left: walk needs until a step comes up again. */
static int fail_cycle(const struct slu_graph *g, const struct slu_spec_step *steps,
		      const bool *done, struct slu_err *e)
{
	SLU_AUTO(slu_freep) size_t *seen = slu_calloc(g->n, sizeof(*seen));
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_ERR_MSG);
	size_t i = 0, at = 1;

	if (!seen)
		return slu_fail_oom(e);
	while (done[i])
		i++;
	for (; !seen[i]; at++) {
		size_t k = 0;

		seen[i] = at;
		while (done[g->needs[i][k]])
			k++;
		i = g->needs[i][k];
	}
	size_t first = i;
	do {
		size_t k = 0;

		slu_buf_fmt(&b, "'%s' needs ", steps[i].name);
		while (done[g->needs[i][k]])
			k++;
		i = g->needs[i][k];
	} while (i != first);
	slu_buf_fmt(&b, "'%s'", steps[first].name);
	return slu_fail(
		e, EINVAL,
		"%s: steps wait for one another: %s; remove one of these inputs (or 'depends_on')",
		steps[first].where ? steps[first].where : "pipeline", b.p ? b.p : "");
}

static bool ready(const struct slu_graph *g, size_t i, const bool *done)
{
	for (size_t k = 0; k < g->nneeds[i]; k++)
		if (!done[g->needs[i][k]])
			return false;
	return true;
}

static int sort(struct slu_graph *g, const struct slu_spec_step *steps, struct slu_err *e)
{
	SLU_AUTO(slu_freep) bool *done = slu_calloc(g->n + 1, sizeof(*done));

	if (!done)
		return slu_fail_oom(e);
	for (size_t at = 0; at < g->n; at++) {
		size_t i = 0;

		while (i < g->n && (done[i] || !ready(g, i, done)))
			i++;
		if (i == g->n)
			return fail_cycle(g, steps, done, e);
		done[i] = true;
		g->order[at] = i;
	}
	return 0;
}

int slu_graph_new(const struct slu_spec_step *steps, size_t n, struct slu_graph **ret,
		  struct slu_err *e)
{
	SLU_AUTO(slu_graph_freep) struct slu_graph *g = slu_new0(struct slu_graph);

	if (!g)
		return slu_fail_oom(e);
	g->n = n;
	g->order = slu_calloc(n + 1, sizeof(*g->order));
	g->needs = slu_calloc(n + 1, sizeof(*g->needs));
	g->nneeds = slu_calloc(n + 1, sizeof(*g->nneeds));
	if (!g->order || !g->needs || !g->nneeds)
		return slu_fail_oom(e);
	for (size_t i = 0; i < n; i++) {
		int r = add_edges(g, steps, i, e);

		if (r < 0)
			return r;
	}
	int r = sort(g, steps, e);
	if (r < 0)
		return r;
	*ret = slu_take(g);
	return 0;
}
