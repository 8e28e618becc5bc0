/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making runs.  All folders are made under hidden names and get their own when they are complete, the
 * root's last and with its lock held: no reader ever sees a run without a supervisor or half of one.
 */
#include "job/launch.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"
#include "dataset/outcome.h"
#include "job/alive.h"
#include "job/compute.h"
#include "job/compute_session.h"
#include "job/rerun.h"
#include "job/run.h"
#include "job/snapshot.h"
#include "job/supervisor.h"
#include "job/task.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct launch {
	struct sluice *s;
	struct slu_job *job;
	struct slu_run *root;
	struct slu_run **children;     /* of a pipeline: one a step */
	const struct slu_rerun *again; /* what this makes again; NULL: nothing */
	int lock;
	char created[SLU_TIME_LEN];
};

/* --- records --- */

static int put(struct json_t *o, const char *key, const char *text)
{
	return text ? slu_json_set_str(o, key, text) : 0;
}

/* What every run.json has. */
static struct json_t *new_doc(const struct launch *l, const char *id, const char *root,
			      const char *type, const char *display)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const char *experiment = l->job->experiment ? l->job->experiment : "Default";

	if (!o || slu_json_set_int(o, "format", 1) < 0 || put(o, "run", id) < 0 ||
	    put(o, "type", type) < 0 || put(o, "display_name", display) < 0 ||
	    put(o, "experiment", experiment) < 0 || put(o, "job", l->job->name) < 0 ||
	    put(o, "root", root) < 0 || put(o, "created", l->created) < 0 ||
	    slu_run_add_state(o, "NotStarted", l->created) < 0)
		return NULL;
	return slu_take(o);
}

static struct json_t *step_doc(const struct launch *l, const char *id, const char *root,
			       const struct slu_spec_step *st)
{
	const char *display = st->display_name ? st->display_name
			      : l->job->kind == SLU_JOB_PIPELINE || !l->job->display_name
				      ? st->name
				      : l->job->display_name;
	SLU_AUTO(slu_json_freep)
	struct json_t *o = new_doc(l, id, root, slu_job_kind_name(st->kind), display);

	if (!o ||
	    (!slu_streq(id, root) && (put(o, "parent", root) < 0 || put(o, "step", st->name) < 0)))
		return NULL;
	if (slu_json_set(o, "spec", slu_spec_step_json(st)) < 0)
		return NULL;
	return slu_take(o);
}

static int add_head(struct json_t *o, const struct slu_job *j)
{
	if (put(o, "description", j->description) < 0 ||
	    (j->tags && slu_json_set(o, "tags", slu_json_ref(j->tags)) < 0) ||
	    (j->identity && slu_json_set(o, "identity", slu_json_ref(j->identity)) < 0))
		return -ENOMEM;
	return slu_json_set(o, "notes", slu_json_ref(j->notes));
}

static struct json_t *pipeline_doc(const struct launch *l, const char *id)
{
	SLU_AUTO(slu_json_freep)
	struct json_t *o = new_doc(l, id, id, "pipeline",
				   l->job->display_name ? l->job->display_name : l->job->name);
	SLU_AUTO(slu_json_freep) struct json_t *spec = slu_json_object(), *kids = slu_json_array();

	if (!o || !spec || !kids || put(spec, "type", "pipeline") < 0 ||
	    slu_json_set_bool(spec, "continue_on_step_failure", l->job->continue_on_failure) < 0 ||
	    slu_json_set_bool(spec, "force_rerun", l->job->force_rerun) < 0)
		return NULL;
	for (size_t i = 0; i < l->job->nsteps; i++) {
		SLU_AUTO(slu_json_freep) struct json_t *kid = slu_json_object();

		if (!kid || put(kid, "step", l->job->steps[i].name) < 0 ||
		    put(kid, "run", l->children[i]->id) < 0 ||
		    slu_json_append(kids, slu_take(kid)) < 0)
			return NULL;
	}
	if (slu_json_set(o, "spec", slu_json_ref(spec)) < 0 ||
	    slu_json_set(o, "children", slu_json_ref(kids)) < 0)
		return NULL;
	return slu_take(o);
}

/* --- folders --- */

static int take_code(struct launch *l, struct slu_run *r, const struct slu_spec_step *st,
		     struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	struct slu_snapshot info;
	const char *root;
	int rc = slu_context_local_root(l->s, &root, e);

	if (rc < 0 || !st->code)
		return rc;
	rc = slu_snapshot_take(st->code, r->fd, "code", root, &info, e);
	if (rc < 0)
		return rc;
	if (!o || put(o, "hash", info.hash) < 0 ||
	    slu_json_set_int(o, "files", (int64_t)info.files) < 0 ||
	    slu_json_set_int(o, "bytes", (int64_t)info.bytes) < 0 ||
	    (info.skipped && slu_json_set_int(o, "skipped", (int64_t)info.skipped) < 0) ||
	    slu_json_set(r->doc, "snapshot", slu_json_ref(o)) < 0)
		return slu_fail_oom(e);
	return 0;
}

/* Of a run that is made again: what a step takes, or that it runs whatever ran before. */
static int mark_again(const struct launch *l, size_t i, struct json_t *doc)
{
	if (!l->again)
		return 0;
	return l->again->from[i] ? put(doc, "take", l->again->from[i])
				 : slu_json_set_bool(doc, "rerun", true);
}

static int make_child(struct launch *l, size_t i, const char *root_id, struct slu_err *e)
{
	const struct slu_spec_step *st = &l->job->steps[i];
	SLU_AUTO(slu_freep) char *base = slu_strdup(st->name), *id = NULL;
	struct json_t *doc;
	int r;

	for (char *p = base; p && *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	id = base ? slu_run_new_id(base) : NULL;
	if (!id)
		return slu_fail_oom(e);
	doc = step_doc(l, id, root_id, st);
	if (!doc || mark_again(l, i, doc) < 0) {
		slu_json_free(doc);
		return slu_fail_oom(e);
	}
	r = slu_run_make(l->s, id, doc, &l->children[i], e);
	return r < 0 ? r : take_code(l, l->children[i], st, e);
}

static int make_children(struct launch *l, const char *root_id, struct slu_err *e)
{
	int r = 0;

	l->children = slu_calloc(l->job->nsteps, sizeof(struct slu_run *));
	if (!l->children)
		return slu_fail_oom(e);
	for (size_t i = 0; i < l->job->nsteps && r == 0; i++)
		r = make_child(l, i, root_id, e);
	return r;
}

static int make_root(struct launch *l, const char *id, struct slu_err *e)
{
	bool pipeline = l->job->kind == SLU_JOB_PIPELINE;
	struct json_t *doc;
	int r = pipeline ? make_children(l, id, e) : 0;

	if (r < 0)
		return r;
	doc = pipeline ? pipeline_doc(l, id) : step_doc(l, id, id, &l->job->steps[0]);
	if (!doc || add_head(doc, l->job) < 0 ||
	    (l->again && put(doc, "rerun_of", l->again->of) < 0)) {
		slu_json_free(doc);
		return slu_fail_oom(e);
	}
	r = slu_run_make(l->s, id, doc, &l->root, e);
	if (r == 0 && !pipeline)
		r = take_code(l, l->root, &l->job->steps[0], e);
	return r;
}

static int commit(struct launch *l, struct slu_err *e)
{
	int r = 0;

	l->lock = slu_alive_lock(l->root, e);
	if (l->lock < 0)
		return l->lock;
	r = slu_alive_write(l->root, 0, e);
	for (size_t i = 0; l->children && i < l->job->nsteps && r == 0; i++)
		r = slu_run_commit(l->children[i], e);
	return r < 0 ? r : slu_run_commit(l->root, e);
}

/* --- the supervisor's process --- */

struct spawn {
	const char *argv[8];
	const char *cwd;
	int null, log, lock, report;
};

/* In the forked child: system calls only.  A grandchild, so that nobody has to wait for it. */
static void spawn_child(const struct spawn *sp)
{
	const int fds[5] = {sp->null, sp->log, sp->log, sp->lock, sp->report};
	struct sigaction dflt = {.sa_handler = SIG_DFL};
	sigset_t none;
	int err;

	setsid();
	if (_Fork() != 0)
		_exit(0);
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dflt, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 0; i < 5; i++)
		if (dup2(fds[i], i) < 0)
			_exit(127);
	syscall(SYS_close_range, 5, ~0u, 0);
	fcntl(4, F_SETFD, FD_CLOEXEC);
	if (chdir(sp->cwd) == 0)
		execve(sp->argv[0], (char *const *)sp->argv, environ);
	err = errno;
	if (write(4, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

/* Copies above the five that the child gives out. */
static int lift(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 16);
}

static int spawn_wait(struct spawn *sp, int report_read, struct slu_err *e)
{
	int err = 0;
	pid_t pid = _Fork();

	if (pid == 0) {
		spawn_child(sp);
		_exit(127);
	}
	slu_closep(&sp->report);
	sp->report = -1;
	if (pid < 0)
		return slu_fail_sys(e, errno, "cannot start the supervisor");
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	/* End of file when the program has begun, its error when it could not. */
	while (read(report_read, &err, sizeof(err)) < 0 && errno == EINTR)
		;
	return err ? slu_fail_sys(e, err, "cannot run '%s'", sp->argv[0]) : 0;
}

static int spawn(struct launch *l, struct slu_err *e)
{
	const struct slu_workspace *w = slu_context_workspace(l->s);
	SLU_AUTO(slu_freep) char *program = NULL;
	SLU_AUTO(slu_closep) int null = -1, log = -1, rd = -1, wr = -1;
	int pipe_fds[2], r = slu_context_program(&program, e);

	if (r < 0)
		return r;
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	log = openat(l->root->fd, SLU_RUN_SUPERVISOR_LOG,
		     O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (null < 0 || log < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
		return slu_fail_sys(e, errno, "cannot prepare the supervisor of '%s'", l->root->id);
	rd = pipe_fds[0];
	wr = pipe_fds[1];
	struct spawn sp = {.argv = {program, "job", "supervise", "--workspace", w->config_path,
				    "--", l->root->id, NULL},
			   .cwd = w->dir,
			   .null = lift(null),
			   .log = lift(log),
			   .lock = lift(l->lock),
			   .report = lift(wr)};
	slu_closep(&wr);
	wr = -1;
	if (sp.null < 0 || sp.log < 0 || sp.lock < 0 || sp.report < 0)
		r = slu_fail_sys(e, errno, "cannot prepare the supervisor of '%s'", l->root->id);
	else
		r = spawn_wait(&sp, rd, e);
	slu_closep(&sp.null);
	slu_closep(&sp.log);
	slu_closep(&sp.lock);
	slu_closep(&sp.report);
	return r;
}

/* --- all of it --- */

static int choose_id(struct sluice *s, const struct slu_job *job, const struct json_t *settings,
		     char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;
	const char *name = slu_json_str(settings, "name");

	if (name && !slu_run_id_ok(name))
		return slu_fail(
			e, EINVAL,
			"'%s' cannot be the id of a run: letters, digits, '_', '.' and '-', at "
			"most 80",
			name);
	/* Of a run that was deleted its outcome stays: what it registered names it. */
	if (name && slu_outcome_get(s, name, &outcome, NULL) == 0)
		return slu_fail(e, EEXIST, "there was a run '%s': each id is used once", name);
	*ret = name ? slu_strdup(name) : slu_run_new_id(job->name);
	return *ret ? 0 : slu_fail_oom(e);
}

static void tell_notes(const struct slu_job *j)
{
	for (size_t i = 0; i < slu_json_count(j->notes); i++)
		slu_log(SLU_LOG_INFO, "job", "%s", slu_json_string(slu_json_at(j->notes, i)));
}

/* An unknown compute is no error, unless `strict`: people's files name clusters that are not here. */
static int note_compute(struct sluice *s, struct slu_job *j, const struct slu_spec_step *st,
			bool strict, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_compute c = {0};
	bool known = false;

	if (!st->compute || slu_compute_find(s, st->compute, st->kind, &c, NULL) < 0 ||
	    !c.fallback) {
		slu_compute_done(&c);
		return 0;
	}
	text = slu_asprintf("compute '%s' is not in config.json: '%s' runs its steps", st->compute,
			    c.name);
	slu_compute_done(&c);
	if (!text)
		return slu_fail_oom(e);
	if (strict)
		return slu_fail(e, EINVAL,
				"%s: compute '%s' is not in config.json: put \"computes\": "
				"{\"%s\": {\"type\": \"%s\"}} there",
				st->compute_where, st->compute, st->compute,
				st->kind == SLU_JOB_SPARK ? "spark" : "local");
	for (size_t k = 0; k < slu_json_count(j->notes); k++)
		known |= slu_streq(slu_json_string(slu_json_at(j->notes, k)), text);
	return !known && slu_json_append(j->notes, slu_json_new_str(text)) < 0 ? slu_fail_oom(e)
									       : 0;
}

/* What Spark steps ask for, in words, before anything is made or waits for it. */
static int note_sizes(struct sluice *s, struct slu_job *j, struct slu_err *e)
{
	for (size_t i = 0; i < j->nsteps; i++) {
		const struct slu_spec_step *st = &j->steps[i];
		SLU_AUTO(slu_freep) char *words = NULL, *text = NULL;
		struct slu_compute c = {0};
		int r = 0;

		if (slu_compute_find(s, st->compute, st->kind, &c, NULL) == 0)
			r = slu_compute_sizes(&c, st, &words, e);
		if (r == 0)
			r = slu_compute_session_step(&c, st, e);
		if (words)
			text = slu_asprintf("step '%s' on compute '%s': %s", st->name, c.name,
					    words);
		slu_compute_done(&c);
		if (r < 0)
			return slu_fail_more(e, "%s", st->where);
		if (words && (!text || slu_json_append(j->notes, slu_json_new_str(text)) < 0))
			return slu_fail_oom(e);
	}
	return 0;
}

/* As whom, and where that holds, so that nobody is surprised. */
static int note_identity(struct sluice *s, struct slu_job *j, struct slu_err *e)
{
	const struct json_t *all = slu_json_get(slu_context_workspace(s)->config, "datastores");
	SLU_AUTO(slu_buf_done) struct slu_buf names = SLU_BUF(1 << 16);
	SLU_AUTO(slu_freep) char *text = NULL;

	if (!j->identity)
		return 0;
	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it)) {
		const struct json_t *v = slu_json_get(slu_json_iter_value(it), "credential");
		const char *type =
			slu_json_string(v) ? slu_json_string(v) : slu_json_str(v, "type");

		if (type && slu_streq(type, "default"))
			slu_buf_fmt(&names, "%s'%s'", names.len ? ", " : "", slu_json_iter_key(it));
	}
	text = slu_asprintf("identity %s: %s%s; other datastores keep their own credentials",
			    slu_json_str(j->identity, "type"),
			    names.len ? "it opens datastore " : "no datastore has \"default\"",
			    names.len ? names.p : "");
	return text && slu_json_append(j->notes, slu_json_new_str(text)) == 0 ? 0 : slu_fail_oom(e);
}

static int read_and_check(struct sluice *s, const char *yaml_path, const struct json_t *settings,
			  struct slu_job **job, struct slu_err *e)
{
	bool strict = slu_json_bool(settings, "strict", false);
	int r = slu_job_read_in(slu_context_workspace(s), yaml_path, settings, job, e);

	if (r == 0)
		r = slu_launch_check(s, *job, e);
	for (size_t i = 0; r == 0 && i < (*job)->nsteps; i++)
		r = note_compute(s, *job, &(*job)->steps[i], strict, e);
	if (r == 0)
		r = note_sizes(s, *job, e);
	if (r == 0)
		r = note_identity(s, *job, e);
	return r < 0 ? r : slu_environment_settle(s, *job, strict, e);
}

static int add_step(struct json_t *list, const struct slu_spec_step *st)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (!o || put(o, "name", st->name) < 0 || put(o, "type", slu_job_kind_name(st->kind)) < 0 ||
	    put(o, "compute", st->compute) < 0)
		return -ENOMEM;
	return slu_json_append(list, slu_take(o));
}

int slu_launch_validate(struct sluice *s, const char *yaml_path, const struct json_t *settings,
			struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object(), *steps = slu_json_array();
	SLU_AUTO(slu_job_freep) struct slu_job *j = NULL;
	int r = slu_context_need_workspace(s, e);

	if (r == 0)
		r = read_and_check(s, yaml_path, settings, &j, e);
	if (r < 0)
		return r;
	r = steps ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < j->nsteps; i++)
		r = add_step(steps, &j->steps[i]);
	if (r < 0 || !o || put(o, "type", slu_job_kind_name(j->kind)) < 0 ||
	    slu_json_set(o, "steps", slu_json_ref(steps)) < 0 ||
	    slu_json_set(o, "notes", slu_json_ref(j->notes)) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
}

static void undo(struct launch *l)
{
	for (size_t i = 0; l->children && i < l->job->nsteps; i++)
		if (l->children[i])
			slu_run_discard(l->children[i]);
	if (l->root)
		slu_run_discard(l->root);
}

static void launch_done(struct launch *l)
{
	for (size_t i = 0; l->children && i < l->job->nsteps; i++)
		slu_run_free(l->children[i]);
	free(l->children);
	slu_run_free(l->root);
	slu_job_free(l->job);
	slu_closep(&l->lock);
}

/* From a job that was read and checked. */
static int launch(struct launch *l, const struct json_t *settings, char **ret_id, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *id = NULL;
	int r = choose_id(l->s, l->job, settings, &id, e);

	if (r < 0)
		return r;
	if (slu_json_bool(settings, "force_rerun", false))
		l->job->force_rerun = true;
	tell_notes(l->job);
	slu_run_sweep(l->s);
	slu_time_fmt(l->created, slu_wall());
	r = make_root(l, id, e);
	if (r == 0)
		r = commit(l, e);
	if (r == 0)
		r = spawn(l, e);
	if (r < 0)
		undo(l);
	else
		*ret_id = slu_take(id);
	return r;
}

int slu_launch(struct sluice *s, const char *yaml_path, const struct json_t *settings,
	       char **ret_id, struct slu_err *e)
{
	struct launch l = {.s = s, .lock = -1};
	int r = slu_context_need_workspace(s, e);

	if (r == 0)
		r = read_and_check(s, yaml_path, settings, &l.job, e);
	if (r == 0)
		r = launch(&l, settings, ret_id, e);
	launch_done(&l);
	return r;
}

int slu_launch_again(struct sluice *s, const char *run, const struct json_t *settings,
		     char **ret_id, struct slu_err *e)
{
	struct slu_rerun again = {0};
	struct launch l = {.s = s, .lock = -1, .again = &again};
	int r = slu_context_need_workspace(s, e);

	if (r == 0)
		r = slu_rerun_read(s, run, slu_json_get(settings, "steps"), &again, e);
	l.job = slu_take(again.job);
	if (r == 0)
		r = slu_launch_check(s, l.job, e);
	if (r == 0)
		r = launch(&l, settings, ret_id, e);
	launch_done(&l);
	slu_rerun_done(&again);
	return r;
}
