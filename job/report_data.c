/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What surrounds a run in its report: where its data came from and what became of it, and the computes
 * and linked services of the workspace.  A lineage that cannot be read leaves its reason there.
 */
#include "job/report_impl.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/registry.h"
#include "dataset/workspace.h"

#include <errno.h>

enum { OUTPUTS_MAX = 50, LINES_MAX = 400, DEPTH_MAX = 16 };

struct tree {
	struct report *r;
	size_t lines;
};

static void put_pair(struct report *r, const char *label, const char *text)
{
	if (!text)
		return;
	slu_buf_fmt(r->b, " <span class=\"soft\">%s</span> ", label);
	rep_esc(r->b, text, REP_ALL);
}

static void put_node(struct tree *t, const struct json_t *node, unsigned depth)
{
	const struct json_t *inputs = slu_json_get(node, "inputs");
	const char *name = slu_json_str(node, "registered"), *v = slu_json_str(node, "version");
	struct report *r = t->r;

	if (t->lines++ >= LINES_MAX)
		return;
	slu_buf_str(r->b, "<li>");
	if (name) {
		slu_buf_str(r->b, "<b>");
		rep_esc(r->b, name, REP_ALL);
		slu_buf_ch(r->b, ':');
		rep_esc(r->b, v ? v : "", REP_ALL);
		slu_buf_str(r->b, "</b>");
	} else {
		rep_esc(r->b, slu_json_str(node, "ref") ? slu_json_str(node, "ref") : "", REP_ALL);
	}
	put_pair(r, "output", slu_json_str(node, "output"));
	put_pair(r, "of run", slu_json_str(node, "run"));
	put_pair(r, "dataset",
		 slu_json_str(node, "dataset") ? slu_json_str(node, "dataset")
					       : slu_json_str(node, "id"));
	put_pair(r, "made", slu_json_str(node, "created"));
	if (slu_json_count(inputs) && depth < DEPTH_MAX) {
		slu_buf_str(r->b, "<ul>");
		for (size_t i = 0; i < slu_json_count(inputs); i++)
			put_node(t, slu_json_at(inputs, i), depth + 1);
		slu_buf_str(r->b, "</ul>");
	}
	slu_buf_str(r->b, "</li>\n");
}

static void put_output(struct tree *t, const struct rep_step *st, const char *output)
{
	SLU_AUTO(slu_freep) char *ref = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *node = NULL;
	struct slu_err e = {0};

	ref = slu_asprintf("azureml://jobs/%s/outputs/%s", st->id, output);
	if (!ref) {
		t->r->b->err = ENOMEM;
		return;
	}
	slu_buf_str(t->r->b, "<ul>");
	if (slu_registry_lineage(t->r->s, ref, &node, &e) == 0) {
		put_node(t, node, 0);
	} else {
		slu_buf_str(t->r->b, "<li>");
		rep_esc(t->r->b, e.msg, REP_ALL);
		slu_buf_str(t->r->b, "</li>");
	}
	slu_buf_str(t->r->b, "</ul>\n");
}

/* Outputs that nothing in this run reads: from them all the others are reached. */
static bool is_read(const struct report *r, const char *step, const char *output)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct json_t *ins =
			slu_json_get(slu_json_get(r->steps[i].doc, "spec"), "inputs");

		for (size_t k = 0; k < slu_json_count(ins); k++) {
			const char *s = slu_json_str(slu_json_at(ins, k), "step");
			const char *o = slu_json_str(slu_json_at(ins, k), "output");

			if (s && o && slu_streq(s, step) && slu_streq(o, output))
				return true;
		}
	}
	return false;
}

void rep_lineage(struct report *r)
{
	struct tree t = {.r = r};
	size_t outputs = 0;

	rep_section(r, "lineage", "Lineage");
	for (size_t i = 0; i < r->n; i++) {
		const struct json_t *outs = slu_json_get(r->steps[i].doc, "outputs");

		for (void *it = slu_json_iter(outs); it; it = slu_json_next(outs, it)) {
			const char *name = slu_json_iter_key(it);

			if (slu_json_str(slu_json_iter_value(it), "dataset") &&
			    !is_read(r, r->steps[i].name, name) && outputs++ < OUTPUTS_MAX)
				put_output(&t, &r->steps[i], name);
		}
	}
	if (outputs == 0)
		slu_buf_str(r->b, "<p class=\"soft\">The run made no dataset.</p>\n");
	if (outputs > OUTPUTS_MAX || t.lines > LINES_MAX)
		slu_buf_str(r->b, "<p class=\"soft\">There is more: <code>sluice data "
				  "lineage</code> shows it.</p>\n");
}

static void put_entries(struct report *r, const char *title, const struct json_t *entries)
{
	if (slu_json_count(entries) == 0)
		return;
	slu_buf_fmt(r->b, "<h4>%s</h4>\n", title);
	for (void *it = slu_json_iter(entries); it; it = slu_json_next(entries, it)) {
		slu_buf_str(r->b, "<div class=\"wide\"><table>\n");
		rep_row(r, "name", slu_json_iter_key(it));
		rep_rows(r, "", slu_json_iter_value(it), 0);
		slu_buf_str(r->b, "</table></div>\n");
	}
}

void rep_computes(struct report *r)
{
	const struct json_t *config = slu_context_workspace(r->s)->config;
	const char *dflt = slu_json_str(config, "default_compute");

	rep_section(r, "computes", "Computes and linked services");
	slu_buf_str(r->b, "<p>Default compute: ");
	rep_esc(r->b, dflt ? dflt : "local", REP_ALL);
	slu_buf_str(r->b, "</p>\n");
	put_entries(r, "Computes", slu_json_get(config, "computes"));
	put_entries(r, "Linked services", slu_json_get(config, "linked_services"));
}
