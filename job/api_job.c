/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jobs part of the public API: run records as JSON, and the calls that make, follow and end runs.
 */
#include "job/launch.h"
#include "job/livy.h"
#include "job/settle.h"
#include "job/supervisor.h"
#include "job/watch.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/api.h"
#include "dataset/outcome.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- create --- */

static int read_settings(const char *text, struct json_t **ret, struct slu_err *e)
{
	int r = text ? slu_json_parse(text, strlen(text), "settings", ret, e) : 0;

	if (r == 0 && *ret && !slu_json_is_object(*ret))
		r = slu_fail(e, EINVAL, "settings: an object is wanted");
	return r;
}

static int job_rerun(struct sluice *s, const char *run, const char *settings_json, char **ret,
		     struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *settings = NULL;
	int r = read_settings(settings_json, &settings, e);

	return r < 0 ? r : slu_launch_again(s, run, settings, ret, e);
}

int sluice_job_rerun(struct sluice *s, const char *run_id, const char *settings_json,
		     char **ret_run_id, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, job_rerun(s, run_id, settings_json, ret_run_id, &er));
}

static int job_create(struct sluice *s, const char *yaml_path, const char *settings_json,
		      char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *settings = NULL;
	int r = read_settings(settings_json, &settings, e);

	return r < 0 ? r : slu_launch(s, yaml_path, settings, ret, e);
}

int sluice_job_create(struct sluice *s, const char *yaml_path, const char *settings_json,
		      char **ret_run_id, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, job_create(s, yaml_path, settings_json, ret_run_id, &er));
}

int sluice_job_validate(struct sluice *s, const char *yaml_path, const char *settings_json,
			char **ret_json, struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *settings = NULL;
	struct json_t *j = NULL;
	struct slu_err er = {0};
	int r = read_settings(settings_json, &settings, &er);

	if (r == 0)
		r = slu_launch_validate(s, yaml_path, settings, &j, &er);
	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

/* --- show --- */

static int copy(struct json_t *to, const struct json_t *from, const char *key)
{
	const struct json_t *v = slu_json_get(from, key);

	return v ? slu_json_set(to, key, slu_json_copy(v)) : 0;
}

static const char *started(const struct json_t *doc)
{
	const struct json_t *states = slu_json_get(doc, "states");

	for (size_t i = 0; i < slu_json_count(states); i++) {
		const char *status = slu_json_str(slu_json_at(states, i), "status");

		if (status && !slu_streq(status, "NotStarted") && !slu_streq(status, "Queued"))
			return slu_json_str(slu_json_at(states, i), "time");
	}
	return NULL;
}

/* Why a step ran, or what it took instead. */
static int copy_explain(struct json_t *to, const struct json_t *doc)
{
	return copy(to, slu_json_get(doc, "reuse"), "explain");
}

/* A child as its parent shows it. */
static int add_child(void *user, struct slu_run *child, const char *step, struct slu_err *e)
{
	static const char *const keys[] = {"type",      "status",  "created",
					   "ended",     "reason",  "compute",
					   "exit_code", "outputs", "reused_from"};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const char *began = started(child->doc);

	if (!o || copy_explain(o, child->doc) < 0 || slu_json_set_str(o, "step", step) < 0 ||
	    slu_json_set_str(o, "run", child->id) < 0 ||
	    (began && slu_json_set_str(o, "started", began) < 0))
		return slu_fail_oom(e);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (copy(o, child->doc, keys[i]) < 0)
			return slu_fail_oom(e);
	return slu_json_append(user, slu_take(o)) < 0 ? slu_fail_oom(e) : 0;
}

static int add_logs(struct json_t *o, const struct slu_run *r)
{
	static const struct {
		const char *key, *file;
	} logs[] = {{"stdout", SLU_RUN_STDOUT},
		    {"stderr", SLU_RUN_STDERR},
		    {"std_log", SLU_RUN_STDLOG},
		    {"supervisor", SLU_RUN_SUPERVISOR_LOG}};
	SLU_AUTO(slu_json_freep) struct json_t *l = slu_json_object();

	if (!l || slu_json_set_str(o, "directory", r->dir) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof logs / sizeof *logs; i++) {
		SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/%s", r->dir, logs[i].file);

		if (!path)
			return -ENOMEM;
		if (access(path, F_OK) == 0 && slu_json_set_str(l, logs[i].key, path) < 0)
			return -ENOMEM;
	}
	return slu_json_set(o, "logs", slu_json_ref(l));
}

static int job_show(struct sluice *s, const char *id, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL, *kids = slu_json_array();
	const char *status, *began;
	int rc = slu_run_look(s, id, &r, &status, e);

	if (rc < 0)
		return rc;
	o = slu_json_copy(r->doc);
	began = started(r->doc);
	if (!o || !kids || slu_json_set_str(o, "status", status) < 0 ||
	    (began && slu_json_set_str(o, "started", began) < 0) || add_logs(o, r) < 0 ||
	    copy_explain(o, r->doc) < 0)
		return slu_fail_oom(e);
	slu_json_del(slu_json_get(o, "reuse"), "parts");
	rc = slu_run_children(r, add_child, kids, e);
	if (rc < 0)
		return rc;
	if (slu_json_get(o, "children") && slu_json_set(o, "children", slu_json_ref(kids)) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
}

int sluice_job_show(struct sluice *s, const char *run_id, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;
	int r = job_show(s, run_id, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

/* --- watch --- */

struct bridge {
	sluice_event_fn *fn;
	void *user;
};

static int tell(void *user, const struct json_t *event)
{
	const struct bridge *b = user;
	SLU_AUTO(slu_freep) char *text = slu_json_text(event, SLU_JSON_COMPACT);

	return text ? b->fn(b->user, text) : -ENOMEM;
}

int sluice_job_watch(struct sluice *s, const char *run_id, sluice_event_fn *fn, void *user,
		     struct sluice_error *e)
{
	struct bridge b = {fn, user};
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_watch(s, run_id, false, fn ? tell : NULL, &b, &er));
}

int sluice_job_stream(struct sluice *s, const char *run_id, sluice_event_fn *fn, void *user,
		      struct sluice_error *e)
{
	struct bridge b = {fn, user};
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_watch(s, run_id, true, fn ? tell : NULL, &b, &er));
}

/* --- cancel --- */

#define BY_HAND "canceled by `sluice job cancel`"

static int cancel_outcome(struct slu_run *r, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *is = NULL;
	bool won;

	return slu_outcome_decide(r->s, r->id,
				  slu_outcome_new(r->id, "Canceled", BY_HAND, -1, "cancel"), &won,
				  &is, e);
}

static void signal_process(int64_t pid, int64_t start, int sig)
{
	SLU_AUTO(slu_closep) int fd = pid > 0 ? slu_proc_open((pid_t)pid, (uint64_t)start) : -1;

	if (fd >= 0)
		syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
}

/* A supervisor that does not respond cannot end its steps; their guards can. */
static void end_step(const struct slu_run *r)
{
	const struct json_t *p = slu_json_get(r->doc, "process");

	signal_process(slu_json_int(p, "guard", 0), slu_json_int(p, "guard_start", 0), SIGTERM);
}

struct canceling {
	bool late;
};

static int cancel_child(void *user, struct slu_run *child, const char *step, struct slu_err *e)
{
	const struct canceling *c = user;
	int r = slu_run_is_end(slu_run_get(child, "status")) ? 0 : cancel_outcome(child, e);

	(void)step;
	if (c->late)
		end_step(child);
	return r;
}

/* Decided first, then told: whatever the supervisor does from here on, it cannot register. */
static int job_cancel(struct sluice *s, const char *id, struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	struct slu_alive a = {.life = SLU_LIFE_DEAD};
	struct canceling c;
	const char *status;
	int rc = slu_run_look(s, id, &r, &status, e);

	if (rc < 0)
		return rc;
	if (slu_run_get(r, "parent"))
		return slu_fail(e, EINVAL, "run '%s' is a step: cancel its pipeline, '%s'", id,
				slu_run_get(r, "parent"));
	if (slu_run_is_end(status))
		return slu_streq(status, "Canceled")
			       ? 0
			       : slu_fail(e, EINVAL, "run '%s' is %s already", id, status);
	rc = cancel_outcome(r, e);
	if (rc == 0)
		rc = slu_alive_judge(r, &a, e);
	c.late = a.life == SLU_LIFE_LATE && a.same_host;
	if (rc == 0)
		rc = slu_run_children(r, cancel_child, &c, e);
	if (rc < 0)
		return rc;
	if (c.late)
		end_step(r);
	if (a.same_host)
		signal_process(a.pid, (int64_t)a.start, SIGTERM);
	return 0;
}

int sluice_job_cancel(struct sluice *s, const char *run_id, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, job_cancel(s, run_id, &er));
}

/* --- supervise --- */

static int job_batch(struct sluice *s, const char *run_id, sluice_line_fn *fn, void *user,
		     struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *run = NULL;
	int r = slu_run_open(s, run_id, &run, e);

	return r < 0 ? r : slu_livy_run(s, run->dir, fn, user, e);
}

int sluice_job_batch(struct sluice *s, const char *run_id, sluice_line_fn *fn, void *user,
		     struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, job_batch(s, run_id, fn, user, &er));
}

int sluice_job_supervise(struct sluice *s, const char *run_id, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_supervise(s, run_id, &er));
}
