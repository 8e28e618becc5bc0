/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run's report as a whole: reads the records once, so that all parts speak of one moment, and puts the
 * parts one after the other.  It changes nothing but what any reader settles.
 */
#include "job/report.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/api.h"
#include "dataset/workspace.h"
#include "job/report_impl.h"
#include "job/settle.h"

#include <errno.h>
#include <stdio.h>

enum { LOG_MAX = 256 << 10, LOG_MIN = 4 << 10, LOGS_TOTAL = 24 << 20, LOGS_A_STEP = 3 };

/* --- reading --- */

static int64_t state_time(const struct json_t *doc, bool last)
{
	const struct json_t *states = slu_json_get(doc, "states");
	size_t n = slu_json_count(states);
	int64_t t = 0;

	for (size_t i = 0; i < n; i++) {
		const struct json_t *o = slu_json_at(states, i);
		const char *status = slu_json_str(o, "status"), *time = slu_json_str(o, "time");
		bool waits =
			!status || slu_streq(status, "NotStarted") || slu_streq(status, "Queued");

		if (!time || (!last && waits))
			continue;
		if (slu_time_parse(time, &t) && !last)
			return t;
	}
	return last ? t : 0;
}

static int fill_step(struct rep_step *st, const struct slu_run *run, const char *name,
		     const char *status)
{
	st->name = slu_strdup(name);
	st->id = slu_strdup(run->id);
	st->doc = slu_json_ref(run->doc);
	if (!st->name || !st->id)
		return -ENOMEM;
	st->status = status ? status : slu_json_str(st->doc, "status");
	if (!st->status)
		st->status = "NotStarted";
	st->begin = state_time(st->doc, false);
	if (slu_run_is_end(st->status))
		st->end = state_time(st->doc, true);
	return 0;
}

static int add_step(void *user, struct slu_run *child, const char *step, struct slu_err *e)
{
	struct report *r = user;

	return fill_step(&r->steps[r->n++], child, step, NULL) < 0 ? slu_fail_oom(e) : 0;
}

static int read_steps(struct report *r, struct slu_err *e)
{
	const struct json_t *kids = slu_json_get(r->root->doc, "children");
	const char *step = slu_run_get(r->root, "step");

	r->steps = slu_calloc(slu_json_count(kids) + 1, sizeof(*r->steps));
	if (!r->steps)
		return slu_fail_oom(e);
	if (kids)
		return slu_run_children(r->root, add_step, r, e);
	r->n = 1;
	return fill_step(&r->steps[0], r->root, step ? step : r->root->id, r->status) < 0
		       ? slu_fail_oom(e)
		       : 0;
}

static void report_done(struct report *r)
{
	for (size_t i = 0; r->steps && i < r->n; i++) {
		free(r->steps[i].name);
		free(r->steps[i].id);
		slu_json_free(r->steps[i].doc);
	}
	free(r->steps);
	slu_run_free(r->root);
}

/* --- writing --- */

static const char *title(const struct report *r)
{
	const char *name = slu_run_get(r->root, "display_name");

	return name ? name : r->root->id;
}

static void put_time(struct report *r, const char *label, int64_t begin, int64_t end)
{
	char text[REP_TEXT];

	if (!begin)
		return;
	rep_duration(text, (end ? end : r->now) - begin);
	rep_row(r, label, text);
}

static void put_head(struct report *r)
{
	const struct json_t *doc = r->root->doc, *notes = slu_json_get(doc, "notes");
	const char *reason = slu_json_str(doc, "reason");

	slu_buf_str(r->b, "<h1>");
	rep_esc(r->b, title(r), REP_ALL);
	slu_buf_str(r->b, " ");
	rep_badge(r, r->status);
	slu_buf_str(r->b, "</h1>\n");
	if (reason) {
		slu_buf_str(r->b, "<div class=\"why\">");
		rep_esc(r->b, reason, REP_ALL);
		slu_buf_str(r->b, "</div>\n");
	}
	slu_buf_str(r->b, "<div class=\"wide\"><table>\n");
	rep_row(r, "run", r->root->id);
	rep_row(r, "type", slu_json_str(doc, "type"));
	rep_row(r, "pipeline", slu_json_str(doc, "parent"));
	rep_row(r, "workspace", slu_context_workspace(r->s)->name);
	rep_row(r, "experiment", slu_json_str(doc, "experiment"));
	rep_row(r, "description", slu_json_str(doc, "description"));
	rep_rows(r, "tag", slu_json_get(doc, "tags"), 0);
	rep_row(r, "created", slu_json_str(doc, "created"));
	rep_row(r, "ended", slu_json_str(doc, "ended"));
	put_time(r, "took", state_time(doc, false),
		 slu_run_is_end(r->status) ? state_time(doc, true) : 0);
	slu_buf_str(r->b, "</table></div>\n");
	for (size_t i = 0; i < slu_json_count(notes); i++) {
		const char *note = slu_json_string(slu_json_at(notes, i));

		slu_buf_str(r->b, i ? "<br>" : "<p class=\"soft\">");
		rep_esc(r->b, note ? note : "", REP_ALL);
	}
	if (slu_json_count(notes))
		slu_buf_str(r->b, "</p>\n");
}

static void put_exit(struct report *r, const struct json_t *doc)
{
	const struct json_t *code = slu_json_get(doc, "exit_code");
	char text[REP_TEXT] = "";

	if (slu_json_is_int(code))
		snprintf(text, sizeof text, "%lld", (long long)slu_json_integer(code));
	rep_cell(r, text);
}

static void put_list(struct report *r)
{
	char took[REP_TEXT];

	rep_section(r, "steps", "Steps");
	slu_buf_str(r->b, "<div class=\"wide\"><table>\n<tr><th>step</th><th>status</th>"
			  "<th>exit code</th><th>took</th><th>compute</th><th>reason</th></tr>\n");
	for (size_t i = 0; i < r->n; i++) {
		const struct rep_step *st = &r->steps[i];

		slu_buf_fmt(r->b, "<tr><td><a href=\"#s%zu\">", i);
		rep_esc(r->b, st->name, REP_ALL);
		slu_buf_str(r->b, "</a></td><td>");
		rep_badge(r, st->status);
		slu_buf_str(r->b, "</td>");
		put_exit(r, st->doc);
		rep_duration(took, (st->end ? st->end : r->now) - st->begin);
		rep_cell(r, st->begin ? took : NULL);
		rep_cell(r, slu_json_str(st->doc, "compute"));
		rep_cell(r, slu_json_str(st->doc, "reason"));
		slu_buf_str(r->b, "</tr>\n");
	}
	slu_buf_str(r->b, "</table></div>\n");
}

static int put_all(struct report *r)
{
	int rc;

	rep_begin(r, title(r));
	put_head(r);
	rep_section(r, "graph", "Graph");
	rc = rep_graph(r);
	rep_section(r, "time", "Time");
	rep_timeline(r);
	put_list(r);
	for (size_t i = 0; i < r->n; i++)
		rep_step(r, i);
	rep_lineage(r);
	rep_computes(r);
	rep_section(r, "supervisor", "Supervisor");
	rep_log(r, r->root, SLU_RUN_SUPERVISOR_LOG);
	rep_end(r);
	return rc;
}

static int write_report(struct report *r, const char *run_id, struct slu_err *e)
{
	int rc = slu_run_look(r->s, run_id, &r->root, &r->status, e);

	if (rc == 0)
		rc = read_steps(r, e);
	if (rc < 0)
		return rc;
	r->now = slu_wall();
	r->log_room = LOGS_TOTAL / (r->n * LOGS_A_STEP);
	r->log_room = r->log_room > LOG_MAX ? LOG_MAX : r->log_room;
	r->log_room = r->log_room < LOG_MIN ? LOG_MIN : r->log_room;
	rc = put_all(r);
	if (rc == 0)
		rc = slu_buf_err(r->b);
	if (rc == -EMSGSIZE)
		return slu_fail(e, EFBIG, "the report of run '%s' would exceed %u MiB", run_id,
				SLU_REPORT_MAX >> 20);
	return rc < 0 ? slu_fail_oom(e) : 0;
}

int slu_report(struct sluice *s, const char *run_id, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_REPORT_MAX);
	struct report r = {.s = s, .b = &b};
	int rc = write_report(&r, run_id, e);

	report_done(&r);
	if (rc < 0)
		return rc;
	*ret = slu_buf_take(&b);
	return *ret ? 0 : slu_fail_oom(e);
}

int sluice_job_report(struct sluice *s, const char *run_id, char **ret_html, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_report(s, run_id, ret_html, &er));
}
