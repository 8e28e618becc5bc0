/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the records of a run back to the job that made it, and which of its steps are to run.  Making runs
 * of it is launch.c's.
 */
#include "job/rerun.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "job/graph.h"
#include "job/settle.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void slu_rerun_done(struct slu_rerun *a)
{
	slu_job_free(a->job);
	for (size_t i = 0; a->from && i < a->n; i++)
		free(a->from[i]);
	free(a->from);
	free(a->of);
	*a = (struct slu_rerun){0};
}

/* --- the job --- */

static int copy_text(const struct json_t *doc, const char *key, char **ret)
{
	const char *text = slu_json_str(doc, key);

	*ret = slu_strdup(text);
	return !text || *ret ? 0 : -ENOMEM;
}

/* The base of ids that the file said, or of the run's own: what stands before its random part. */
static char *base_of(const struct slu_run *r)
{
	const char *base = slu_run_get(r, "job"), *cut = strrchr(r->id, '_');

	return base ? slu_strdup(base)
		    : slu_strndup(r->id, cut ? (size_t)(cut - r->id) : strlen(r->id));
}

static int read_head(const struct slu_run *r, struct slu_job *j, struct slu_err *e)
{
	const struct json_t *tags = slu_json_get(r->doc, "tags");
	const struct json_t *notes = slu_json_get(r->doc, "notes");
	const char *type = slu_run_get(r, "type");

	j->kind = !type || slu_streq(type, "command") ? SLU_JOB_COMMAND
		  : slu_streq(type, "spark")          ? SLU_JOB_SPARK
						      : SLU_JOB_PIPELINE;
	j->continue_on_failure =
		slu_json_bool(slu_json_get(r->doc, "spec"), "continue_on_step_failure", false);
	j->name = base_of(r);
	j->tags = tags ? slu_json_copy(tags) : NULL;
	if (slu_json_get(r->doc, "identity"))
		j->identity = slu_json_copy(slu_json_get(r->doc, "identity"));
	j->notes = notes ? slu_json_copy(notes) : slu_json_array();
	if (!j->name || !j->notes || (tags && !j->tags) ||
	    copy_text(r->doc, "display_name", &j->display_name) < 0 ||
	    copy_text(r->doc, "experiment", &j->experiment) < 0 ||
	    copy_text(r->doc, "description", &j->description) < 0)
		return slu_fail_oom(e);
	return 0;
}

/* People correct their code where it is; when it is gone, there is the copy that ran. */
static int find_code(const struct slu_run *r, struct slu_spec_step *st, struct slu_err *e)
{
	struct stat info;

	if (!st->code || stat(st->code, &info) == 0)
		return 0;
	free(st->code);
	st->code = slu_asprintf("%s/code", r->dir);
	return st->code ? 0 : slu_fail_oom(e);
}

struct reading {
	struct slu_rerun *a;
	char **last; /* of each step: the Completed run that it was, else NULL */
	size_t max;
};

static int add_step(void *user, struct slu_run *r, const char *step, struct slu_err *e)
{
	struct reading *rd = user;
	struct slu_job *j = rd->a->job;
	const char *status = slu_run_get(r, "status"), *from = slu_run_get(r, "reused_from");
	struct slu_spec_step *st;
	int rc;

	(void)step;
	if (j->nsteps == rd->max)
		return slu_fail(e, EBADMSG, "run '%s' has more steps than it says", r->id);
	st = &j->steps[j->nsteps];
	rc = slu_spec_step_from_json(slu_json_get(r->doc, "spec"), st, e);
	if (rc < 0)
		return slu_fail_more(e, "run '%s'", r->id);
	if (status && slu_streq(status, "Completed") &&
	    !(rd->last[j->nsteps] = slu_strdup(from ? from : r->id)))
		rc = slu_fail_oom(e);
	j->nsteps++;
	return rc < 0 ? rc : find_code(r, st, e);
}

static int read_steps(struct slu_run *r, struct reading *rd, struct slu_err *e)
{
	size_t n = slu_json_count(slu_json_get(r->doc, "children"));

	rd->max = n ? n : 1;
	rd->a->job->steps = slu_calloc(rd->max, sizeof(*rd->a->job->steps));
	rd->last = slu_calloc(rd->max + 1, sizeof(char *));
	if (!rd->a->job->steps || !rd->last)
		return slu_fail_oom(e);
	int rc = n ? slu_run_children(r, add_step, rd, e) : add_step(rd, r, NULL, e);

	if (rc == 0 && rd->a->job->nsteps != rd->max)
		return slu_fail(e, ENOENT, "steps of run '%s' were deleted", r->id);
	return rc;
}

/* --- which of them --- */

static int fail_unknown(const struct slu_job *j, const char *name, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_ERR_MSG);

	for (size_t i = 0; i < j->nsteps; i++)
		slu_buf_fmt(&b, "%s'%s'", i ? ", " : "", j->steps[i].name);
	return slu_fail(e, EINVAL, "there is no step '%s': its steps are %s", name,
			b.p ? b.p : "none");
}

/* The step, or one of the pipeline in the pipeline that has this name. */
static bool is_named(const char *step, const char *name)
{
	const char *rest = slu_after(step, name);

	return rest && (*rest == '\0' || *rest == '.');
}

static int mark_named(const struct slu_job *j, const struct json_t *steps, bool *run,
		      struct slu_err *e)
{
	for (size_t k = 0; k < slu_json_count(steps); k++) {
		const char *name = slu_json_string(slu_json_at(steps, k));
		bool known = false;

		for (size_t i = 0; name && i < j->nsteps; i++)
			if (is_named(j->steps[i].name, name))
				run[i] = known = true;
		if (!known)
			return fail_unknown(j, name ? name : "", e);
	}
	return 0;
}

/* Steps that were not run cannot be taken, and what needs a step that runs, runs. */
static int mark(const struct reading *rd, const struct json_t *steps, bool *run, struct slu_err *e)
{
	const struct slu_job *j = rd->a->job;
	SLU_AUTO(slu_graph_freep) struct slu_graph *g = NULL;
	bool any = false;
	int r = mark_named(j, steps, run, e);

	if (r == 0)
		r = slu_graph_new(j->steps, j->nsteps, &g, e);
	for (size_t at = 0; r == 0 && at < j->nsteps; at++) {
		size_t i = g->order[at];

		run[i] |= !rd->last[i] || j->kind != SLU_JOB_PIPELINE;
		for (size_t k = 0; k < g->nneeds[i]; k++)
			run[i] |= run[g->needs[i][k]];
		any |= run[i];
	}
	if (r == 0 && !any)
		return slu_fail(e, EINVAL,
				"every step of run '%s' Completed: name the ones to run again with "
				"--step",
				rd->a->of);
	return r;
}

static int choose(const struct reading *rd, const struct json_t *steps, struct slu_err *e)
{
	size_t n = rd->a->job->nsteps;
	SLU_AUTO(slu_freep) bool *run = slu_calloc(n + 1, sizeof(*run));
	int r = run ? mark(rd, steps, run, e) : slu_fail_oom(e);

	rd->a->from = slu_calloc(n + 1, sizeof(char *));
	if (!rd->a->from)
		return slu_fail_oom(e);
	rd->a->n = n;
	for (size_t i = 0; r == 0 && i < n; i++)
		if (!run[i])
			rd->a->from[i] = slu_take(rd->last[i]);
	return r;
}

/* --- both --- */

static int read_run(struct slu_run *r, const struct json_t *steps, struct slu_rerun *a,
		    struct slu_err *e)
{
	struct reading rd = {.a = a};
	int rc;

	a->of = slu_strdup(r->id);
	a->job = slu_new0(struct slu_job);
	if (!a->of || !a->job)
		return slu_fail_oom(e);
	if ((rc = read_head(r, a->job, e)) == 0 && (rc = read_steps(r, &rd, e)) == 0)
		rc = choose(&rd, steps, e);
	for (size_t i = 0; rd.last && i < rd.max; i++)
		free(rd.last[i]);
	free(rd.last);
	return rc;
}

int slu_rerun_read(struct sluice *s, const char *run, const struct json_t *steps,
		   struct slu_rerun *ret, struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	const char *status;
	int rc = slu_run_look(s, run, &r, &status, e);

	if (rc < 0)
		return rc;
	if (slu_run_get(r, "parent"))
		return slu_fail(e, EINVAL, "run '%s' is a step: `sluice job rerun %s --step %s`",
				run, slu_run_get(r, "parent"),
				slu_run_get(r, "step") ? slu_run_get(r, "step") : "NAME");
	if (!slu_run_is_end(status))
		return slu_fail(e, EBUSY, "run '%s' is %s: it is not over", run, status);
	return read_run(r, steps, ret, e);
}
