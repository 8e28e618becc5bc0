/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph of a run as a picture: steps and what they read and register, in layers from above (each
 * below all that it needs), ordered so that few edges cross, by the means of their neighbours' places.
 * An edge over several layers goes through points of its own, so that it crosses no box.
 */
#include "job/report_impl.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/vec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BOX_W = 200, BOX_H = 44, DATA_H = 26, GAP_X = 26, GAP_Y = 46, MARGIN = 12 };
/* A graph wider than this is made smaller, so that it is seen as a whole. */
enum { FIT_WIDTH = 2400 };
enum { NAME = 24, SWEEPS = 6, POINTS_MAX = 20000, LAYERS_MAX = 2000 };

enum kind { STEP, SOURCE, MADE, POINT };

struct node {
	enum kind kind;
	size_t step;       /* STEP */
	const char *label; /* in a record */
	const char *more;  /* version, or NULL */
	size_t layer;
	size_t at; /* place in its layer */
	double want;
	int x, y, w, h;
};

struct edge {
	size_t from, to;
	size_t point; /* the first of its points, which follow one another */
	size_t npoints;
	const char *what; /* name of the input or output */
};

struct graph {
	const struct report *r;
	SLU_VEC(struct node) nodes;
	SLU_VEC(struct edge) edges;
	size_t **layers; /* node numbers, in order */
	size_t *counts;
	size_t nlayers;
};

static void graph_done(struct graph *g)
{
	for (size_t i = 0; g->layers && i < g->nlayers; i++)
		free(g->layers[i]);
	free(g->layers);
	free(g->counts);
	free(g->nodes.p);
	free(g->edges.p);
}

/* --- what is in it --- */

static size_t add_node(struct graph *g, enum kind kind, size_t step, const char *label,
		       const char *more)
{
	struct node n = {.kind = kind, .step = step, .label = label, .more = more};

	for (size_t i = g->r->n; kind != STEP && i < g->nodes.n; i++)
		if (g->nodes.p[i].kind == kind && slu_streq(g->nodes.p[i].label, label) &&
		    (!more || !g->nodes.p[i].more || slu_streq(g->nodes.p[i].more, more)))
			return i;
	return slu_vec_push(&g->nodes, n) ? g->nodes.n - 1 : SIZE_MAX;
}

static int add_edge(struct graph *g, size_t from, size_t to, const char *what)
{
	struct edge ed = {.from = from, .to = to, .what = what};

	if (from == SIZE_MAX || to == SIZE_MAX || !slu_vec_push(&g->edges, ed))
		return -ENOMEM;
	return 0;
}

static size_t find_step(const struct graph *g, const char *name)
{
	for (size_t i = 0; i < g->r->n; i++)
		if (slu_streq(g->r->steps[i].name, name))
			return i;
	return SIZE_MAX;
}

static const struct json_t *named(const struct json_t *list, const char *name)
{
	for (size_t i = 0; i < slu_json_count(list); i++) {
		const char *is = slu_json_str(slu_json_at(list, i), "name");

		if (is && slu_streq(is, name))
			return slu_json_at(list, i);
	}
	return NULL;
}

static int add_input(struct graph *g, size_t i, const struct json_t *in)
{
	const char *name = slu_json_str(in, "name"), *step = slu_json_str(in, "step");
	const char *path = slu_json_str(in, "path");
	const struct json_t *got =
		name ? named(slu_json_get(g->r->steps[i].doc, "inputs"), name) : NULL;
	const char *ref = slu_json_str(got, "ref"), *version = slu_json_str(got, "version");
	const char *dataset = version ? slu_json_str(got, "dataset") : NULL;
	size_t from = step ? find_step(g, step) : SIZE_MAX;

	if (from != SIZE_MAX)
		return add_edge(g, from, i, name ? name : "");
	if (!path && !ref)
		return 0;
	if (dataset)
		from = add_node(g, SOURCE, 0, dataset, version);
	else
		from = add_node(g, SOURCE, 0, ref ? ref : path, NULL);
	return add_edge(g, from, i, name ? name : "");
}

/* Order without data. */
static int add_after(struct graph *g, size_t i)
{
	const struct json_t *list =
		slu_json_get(slu_json_get(g->r->steps[i].doc, "spec"), "depends_on");

	for (size_t k = 0; k < slu_json_count(list); k++) {
		const char *name = slu_json_string(slu_json_at(list, k));
		size_t from = name ? find_step(g, name) : SIZE_MAX;

		if (from != SIZE_MAX && add_edge(g, from, i, "depends_on") < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_made(struct graph *g, size_t i)
{
	const struct json_t *outs = slu_json_get(g->r->steps[i].doc, "outputs");

	for (void *it = slu_json_iter(outs); it; it = slu_json_next(outs, it)) {
		const struct json_t *reg = slu_json_get(slu_json_iter_value(it), "registered");
		const char *name = slu_json_str(reg, "name"), *v = slu_json_str(reg, "version");

		if (name && add_edge(g, i, add_node(g, MADE, 0, name, v ? v : ""),
				     slu_json_iter_key(it)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int fill(struct graph *g)
{
	for (size_t i = 0; i < g->r->n; i++)
		if (add_node(g, STEP, i, g->r->steps[i].name, NULL) == SIZE_MAX)
			return -ENOMEM;
	for (size_t i = 0; i < g->r->n; i++) {
		const struct json_t *ins =
			slu_json_get(slu_json_get(g->r->steps[i].doc, "spec"), "inputs");

		for (size_t k = 0; k < slu_json_count(ins); k++)
			if (add_input(g, i, slu_json_at(ins, k)) < 0)
				return -ENOMEM;
		if (add_after(g, i) < 0 || add_made(g, i) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* --- layers --- */

/* Steps and what they make below all that they need; a damaged record with a cycle ends too. */
static void set_layers(struct graph *g)
{
	bool again = true;

	for (size_t round = 0; again && round < g->nodes.n && round < LAYERS_MAX; round++) {
		again = false;
		for (size_t i = 0; i < g->edges.n; i++) {
			const struct node *from = &g->nodes.p[g->edges.p[i].from];
			struct node *to = &g->nodes.p[g->edges.p[i].to];

			if (to->layer <= from->layer && to->layer < LAYERS_MAX) {
				to->layer = from->layer + 1;
				again = true;
			}
		}
	}
	/* What is only read stands right above its first reader. */
	for (size_t i = 0; i < g->nodes.n; i++) {
		size_t low = SIZE_MAX;

		for (size_t k = 0; g->nodes.p[i].kind == SOURCE && k < g->edges.n; k++)
			if (g->edges.p[k].from == i && g->nodes.p[g->edges.p[k].to].layer < low)
				low = g->nodes.p[g->edges.p[k].to].layer;
		if (low != SIZE_MAX && low > 0)
			g->nodes.p[i].layer = low - 1;
	}
}

static int add_points(struct graph *g)
{
	for (size_t i = 0; i < g->edges.n; i++) {
		size_t from = g->nodes.p[g->edges.p[i].from].layer;
		size_t to = g->nodes.p[g->edges.p[i].to].layer;

		if (to <= from + 1 || g->nodes.n + (to - from) > POINTS_MAX)
			continue;
		g->edges.p[i].point = g->nodes.n;
		g->edges.p[i].npoints = to - from - 1;
		for (size_t l = from + 1; l < to; l++) {
			struct node n = {.kind = POINT, .layer = l, .label = ""};

			if (!slu_vec_push(&g->nodes, n))
				return -ENOMEM;
		}
	}
	return 0;
}

static int make_layers(struct graph *g)
{
	for (size_t i = 0; i < g->nodes.n; i++)
		if (g->nodes.p[i].layer >= g->nlayers)
			g->nlayers = g->nodes.p[i].layer + 1;
	g->layers = slu_calloc(g->nlayers, sizeof(size_t *));
	g->counts = slu_calloc(g->nlayers, sizeof(size_t));
	if (!g->layers || !g->counts)
		return -ENOMEM;
	for (size_t i = 0; i < g->nodes.n; i++)
		g->counts[g->nodes.p[i].layer]++;
	for (size_t l = 0; l < g->nlayers; l++) {
		g->layers[l] = slu_calloc(g->counts[l] + 1, sizeof(size_t));
		if (!g->layers[l])
			return -ENOMEM;
		g->counts[l] = 0;
	}
	for (size_t i = 0; i < g->nodes.n; i++) {
		struct node *n = &g->nodes.p[i];

		n->at = g->counts[n->layer]++;
		g->layers[n->layer][n->at] = i;
	}
	return 0;
}

/* --- order within a layer --- */

struct want {
	double want;
	size_t node, at;
};

static int by_want(const void *a, const void *b)
{
	const struct want *x = a, *y = b;

	if (x->want < y->want || x->want > y->want)
		return x->want < y->want ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* The k-th link of an edge, which has npoints + 1. */
static void link_ends(const struct edge *ed, size_t k, size_t *up, size_t *down)
{
	*up = k == 0 ? ed->from : ed->point + k - 1;
	*down = k == ed->npoints ? ed->to : ed->point + k;
}

/* Each node's mean of its neighbours' places above (down: below) it. */
static void wants(struct graph *g, bool down, double *sum, size_t *count)
{
	for (size_t i = 0; i < g->nodes.n; i++) {
		sum[i] = 0;
		count[i] = 0;
	}
	for (size_t i = 0; i < g->edges.n; i++)
		for (size_t k = 0; k <= g->edges.p[i].npoints; k++) {
			size_t a, b;

			link_ends(&g->edges.p[i], k, &a, &b);
			size_t to = down ? a : b, from = down ? b : a;
			const struct node *n = &g->nodes.p[from];
			sum[to] += n->x + n->w / 2.0;
			count[to]++;
		}
	for (size_t i = 0; i < g->nodes.n; i++)
		g->nodes.p[i].want = count[i] ? sum[i] / (double)count[i]
					      : g->nodes.p[i].x + g->nodes.p[i].w / 2.0;
}

/* Places of a layer from left to right, each as near as may be to where it wants to be. */
static void put_layer(struct graph *g, size_t l)
{
	double off = 0;
	int right = 0;

	for (size_t k = 0; k < g->counts[l]; k++) {
		struct node *n = &g->nodes.p[g->layers[l][k]];
		int want = (int)n->want - n->w / 2;

		n->x = k == 0 || want > right ? want : right;
		right = n->x + n->w + GAP_X;
		off += (double)(want - n->x);
	}
	for (size_t k = 0; k < g->counts[l]; k++)
		g->nodes.p[g->layers[l][k]].x += (int)(off / (double)g->counts[l]);
}

static int sort_layer(struct graph *g, size_t l)
{
	SLU_AUTO(slu_freep) struct want *w = slu_calloc(g->counts[l] + 1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	for (size_t k = 0; k < g->counts[l]; k++)
		w[k] = (struct want){g->nodes.p[g->layers[l][k]].want, g->layers[l][k], k};
	qsort(w, g->counts[l], sizeof(*w), by_want);
	for (size_t k = 0; k < g->counts[l]; k++) {
		g->layers[l][k] = w[k].node;
		g->nodes.p[w[k].node].at = k;
	}
	put_layer(g, l);
	return 0;
}

static int arrange(struct graph *g)
{
	SLU_AUTO(slu_freep) double *sum = slu_calloc(g->nodes.n + 1, sizeof(*sum));
	SLU_AUTO(slu_freep) size_t *count = slu_calloc(g->nodes.n + 1, sizeof(*count));

	if (!sum || !count)
		return -ENOMEM;
	for (size_t l = 0; l < g->nlayers; l++)
		put_layer(g, l);
	for (size_t round = 0; round < SWEEPS; round++)
		for (size_t i = 0; i < g->nlayers; i++) {
			bool down = round % 2 == 1;

			/* Only the layer before has moved, but the sums are cheap enough for what is
			 * drawn: they are made anew for a round's first layer and small graphs. */
			if (i == 0 || g->nlayers * g->nodes.n < 1000000)
				wants(g, down, sum, count);
			if (sort_layer(g, down ? g->nlayers - 1 - i : i) < 0)
				return -ENOMEM;
		}
	return 0;
}

/* Sizes and rows; then everything is moved so that the leftmost has the margin.  Gives the extent. */
static void measure(struct graph *g)
{
	for (size_t i = 0; i < g->nodes.n; i++) {
		struct node *n = &g->nodes.p[i];

		n->w = n->kind == POINT ? 8 : BOX_W;
		n->h = n->kind == STEP ? BOX_H : n->kind == POINT ? 0 : DATA_H;
		n->y = MARGIN + (int)n->layer * (BOX_H + GAP_Y) + (BOX_H - n->h) / 2;
	}
}

static int shift(struct graph *g)
{
	int left = INT32_MAX, right = 0;

	for (size_t i = 0; i < g->nodes.n; i++)
		left = g->nodes.p[i].x < left ? g->nodes.p[i].x : left;
	for (size_t i = 0; i < g->nodes.n; i++) {
		struct node *n = &g->nodes.p[i];

		n->x += MARGIN - left;
		right = n->x + n->w > right ? n->x + n->w : right;
	}
	return right + MARGIN;
}

/* --- drawing --- */

static void put_edge(struct report *r, const struct graph *g, const struct edge *ed)
{
	const struct node *from = &g->nodes.p[ed->from], *to = &g->nodes.p[ed->to];
	int x = from->x + from->w / 2, y = from->y + from->h;

	slu_buf_fmt(r->b, "<path class=\"edge\" marker-end=\"url(#tip)\" d=\"M%d %d", x, y);
	for (size_t k = 0; k <= ed->npoints; k++) {
		const struct node *n = k == ed->npoints ? to : &g->nodes.p[ed->point + k];
		int tx = n->x + n->w / 2, ty = k == ed->npoints ? n->y - 2 : n->y;

		slu_buf_fmt(r->b, "C%d %d %d %d %d %d", x, (y + ty) / 2, tx, (y + ty) / 2, tx, ty);
		x = tx;
		y = ty;
	}
	slu_buf_str(r->b, "\"><title>");
	rep_esc(r->b, from->label, REP_ALL);
	slu_buf_str(r->b, " → ");
	rep_esc(r->b, to->label, REP_ALL);
	slu_buf_str(r->b, ": ");
	rep_esc(r->b, ed->what, REP_ALL);
	slu_buf_str(r->b, "</title></path>\n");
}

static void put_data(struct report *r, const struct node *n)
{
	slu_buf_fmt(r->b,
		    "<g><rect class=\"box b-data\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" "
		    "rx=\"13\"/><text x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
		    n->x, n->y, n->w, n->h, n->x + n->w / 2, n->y + 17);
	rep_short(r->b, n->label, NAME);
	if (n->more && *n->more)
		slu_buf_str(r->b, ":");
	if (n->more)
		rep_short(r->b, n->more, 5);
	slu_buf_str(r->b, "</text><title>");
	rep_esc(r->b, n->label, REP_ALL);
	slu_buf_str(r->b, "</title></g>\n");
}

static void put_step(struct report *r, const struct node *n)
{
	const struct rep_step *st = &r->steps[n->step];
	char took[REP_TEXT] = "";

	if (st->begin)
		rep_duration(took, (st->end ? st->end : r->now) - st->begin);
	slu_buf_fmt(r->b,
		    "<a href=\"#s%zu\"><rect class=\"box b-%s\" x=\"%d\" y=\"%d\" width=\"%d\" "
		    "height=\"%d\" rx=\"5\"/><text x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
		    n->step, rep_class(st->status), n->x, n->y, n->w, n->h, n->x + n->w / 2,
		    n->y + 18);
	rep_short(r->b, st->name, NAME);
	slu_buf_fmt(r->b, "</text><text class=\"soft\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
		    n->x + n->w / 2, n->y + 35);
	rep_esc(r->b, slu_json_str(st->doc, "reused_from") ? "reused" : st->status, REP_ALL);
	slu_buf_fmt(r->b, " %s</text><title>", took);
	rep_esc(r->b, st->name, REP_ALL);
	slu_buf_str(r->b, "</title></a>\n");
}

static void draw(struct report *r, const struct graph *g, int width)
{
	int height = 2 * MARGIN + (int)g->nlayers * (BOX_H + GAP_Y) - GAP_Y;

	slu_buf_fmt(r->b,
		    "<div class=\"wide\"><svg%s role=\"img\" aria-label=\"Graph\" width=\"%d\" "
		    "height=\"%d\" viewBox=\"0 0 %d %d\">\n<defs><marker id=\"tip\" "
		    "viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
		    "markerHeight=\"7\" orient=\"auto\"><path class=\"tip\" d=\"M0 0L8 4L0 8z\"/>"
		    "</marker></defs>\n",
		    width > FIT_WIDTH ? " class=\"fit\"" : "", width, height, width, height);
	for (size_t i = 0; i < g->edges.n; i++)
		put_edge(r, g, &g->edges.p[i]);
	for (size_t i = 0; i < g->nodes.n; i++)
		if (g->nodes.p[i].kind == STEP)
			put_step(r, &g->nodes.p[i]);
		else if (g->nodes.p[i].kind != POINT)
			put_data(r, &g->nodes.p[i]);
	slu_buf_str(r->b, "</svg></div>\n");
}

int rep_graph(struct report *r)
{
	struct graph g = {.r = r};
	int rc = fill(&g);

	if (rc == 0) {
		set_layers(&g);
		rc = add_points(&g);
	}
	if (rc == 0)
		rc = make_layers(&g);
	if (rc == 0) {
		measure(&g);
		rc = arrange(&g);
	}
	if (rc == 0)
		draw(r, &g, shift(&g));
	graph_done(&g);
	return rc;
}
