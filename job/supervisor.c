/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's main loop: starts steps when what they need is there, renews the beat, hears signals.
 * It waits in poll(2) only; each step runs on a thread of its own (step.c).
 *
 *   WAITING -> READY (all it needs is Completed) -> RUNNING -> ENDED
 *   WAITING or READY -> ENDED (Canceled) when a step it needs did not complete or the run is canceled
 */
#include "job/supervisor.h"

#include "blob/identity.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/outcome.h"
#include "job/graph.h"
#include "job/settle.h"
#include "job/step.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>

enum state { WAITING, READY, RUNNING, ENDED };

#define CANCELED "canceled"
#define DECIDED "the run was decided by somebody else"
/* How long steps may take to end before the process ends without them. */
#define TEARDOWN (60 * SLU_SEC)

struct member {
	struct slu_step step;
	enum state state;
	bool skipped;   /* it never ran */
	char *reason;   /* kept for slu_step_cancel */
	unsigned slots; /* of its compute */
	char *compute;
};

struct sup {
	struct sluice *s;
	struct slu_run *root;
	bool pipeline, go_on; /* go_on: continue_on_step_failure */
	bool force_rerun;
	struct member *m;
	size_t n, running, ended;
	struct slu_graph *graph;
	int lock, timer, done; /* done: an eventfd of the steps */
	int64_t last_beat, teardown;
	const char *cancel; /* why everything is to end; NULL: it is not */
	bool lost;
	struct rlimit core;
	char why[SLU_ERR_MSG];
};

/* --- signals: a handler writes into a pipe --- */

static int signal_pipe[2] = {-1, -1};

static void on_signal(int sig)
{
	int saved = errno;
	char c = (char)sig;

	if (write(signal_pipe[1], &c, 1) < 0)
		errno = saved;
	errno = saved;
}

static int catch_signals(struct slu_err *e)
{
	static const int sigs[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return slu_fail_sys(e, errno, "cannot make a pipe");
	for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
		sigaction(sigs[i], &sa, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	return 0;
}

static void forget_signals(void)
{
	static const int sigs[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction sa = {.sa_handler = SIG_DFL};

	for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
		sigaction(sigs[i], &sa, NULL);
	for (int i = 0; i < 2; i++) {
		slu_closep(&signal_pipe[i]);
		signal_pipe[i] = -1;
	}
}

/* --- loading --- */

static char *edge_ref(void *user, const char *step, const char *output)
{
	const struct sup *s = user;

	for (size_t i = 0; i < s->n; i++)
		if (slu_streq(s->m[i].step.task.spec.name, step))
			return slu_asprintf("azureml://jobs/%s/outputs/%s", s->m[i].step.run->id,
					    output);
	return NULL;
}

static int load_member(struct sup *s, struct slu_run *run, bool own, struct slu_err *e)
{
	struct member *m = &s->m[s->n++];
	struct slu_compute c = {0};
	int r = slu_step_init(&m->step, run, own, e);

	if (r < 0)
		return r;
	m->step.edge = edge_ref;
	m->step.reuse = !s->force_rerun && !slu_json_bool(run->doc, "rerun", false);
	m->step.user = s;
	m->step.done_fd = s->done;
	m->step.core = &s->core;
	/* A compute that is wrong is the step's own failure, told when it begins. */
	if (slu_compute_find(s->s, m->step.task.spec.compute, m->step.task.spec.kind, &c, NULL) < 0)
		return 0;
	m->slots = c.slots;
	m->compute = slu_take(c.name);
	slu_compute_done(&c);
	return 0;
}

static int load_children(struct sup *s, struct slu_err *e)
{
	const struct json_t *children = slu_json_get(s->root->doc, "children");
	int r = 0;

	for (size_t i = 0; i < slu_json_count(children) && r == 0; i++) {
		const char *id = slu_json_str(slu_json_at(children, i), "run");
		struct slu_run *run = NULL;

		r = slu_run_open(s->s, id ? id : "", &run, e);
		if (r == 0)
			r = load_member(s, run, true, e);
	}
	return r;
}

static int make_graph(struct sup *s, struct slu_err *e)
{
	SLU_AUTO(slu_freep) struct slu_spec_step *specs = slu_calloc(s->n + 1, sizeof(*specs));

	if (!specs)
		return slu_fail_oom(e);
	for (size_t i = 0; i < s->n; i++) /* borrowed: the graph keeps none of it */
		specs[i] = s->m[i].step.task.spec;
	return slu_graph_new(specs, s->n, &s->graph, e);
}

/* For the stores of this process, and for all that it starts. */
static int take_identity(const struct json_t *doc, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(doc, "identity");
	SLU_AUTO(slu_freep) char *text = v ? slu_json_text(v, SLU_JSON_COMPACT) : NULL;
	const char *client = slu_json_str(v, "client_id");

	if (!v)
		return 0;
	if (!text || setenv(SLU_IDENTITY_OF_JOB, text, 1) < 0 ||
	    (client && setenv("DEFAULT_IDENTITY_CLIENT_ID", client, 1) < 0))
		return slu_fail_oom(e);
	return 0;
}

static int load(struct sup *s, struct slu_err *e)
{
	const struct json_t *doc = s->root->doc;
	const char *type = slu_json_str(doc, "type");
	size_t n = slu_json_count(slu_json_get(doc, "children"));
	int r;

	s->pipeline = type && slu_streq(type, "pipeline");
	s->go_on = slu_json_bool(slu_json_get(doc, "spec"), "continue_on_step_failure", false);
	s->force_rerun = slu_json_bool(slu_json_get(doc, "spec"), "force_rerun", false);
	s->m = slu_calloc(n + 1, sizeof(*s->m));
	if (!s->m)
		return slu_fail_oom(e);
	r = take_identity(doc, e);
	if (r < 0)
		return r;
	r = s->pipeline ? load_children(s, e) : load_member(s, s->root, false, e);
	return r < 0 ? r : make_graph(s, e);
}

/* --- steps --- */

static void *step_main(void *arg)
{
	slu_step_run(arg);
	return NULL;
}

static unsigned running_on(const struct sup *s, const char *compute)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->m[i].state == RUNNING && s->m[i].compute &&
		    slu_streq(s->m[i].compute, compute))
			n++;
	return n;
}

static void skip(struct sup *s, struct member *m, const char *reason)
{
	slu_step_skip(&m->step, reason);
	m->skipped = true;
	m->state = ENDED;
	s->ended++;
}

static void start(struct sup *s, struct member *m)
{
	if (m->compute && running_on(s, m->compute) >= m->slots) {
		slu_run_status(m->step.run, "Queued", NULL);
		return;
	}
	if (pthread_create(&m->step.thread, NULL, step_main, &m->step) != 0) {
		snprintf(s->why, sizeof(s->why), "cannot start a thread");
		skip(s, m, "cannot start a thread");
		return;
	}
	m->state = RUNNING;
	s->running++;
	slu_log(SLU_LOG_INFO, "job", "step '%s' begins as run '%s'", m->step.task.spec.name,
		m->step.run->id);
}

/* The step that keeps i from ever running, or NULL; *ret_ready: all that it needs is there. */
static const struct member *blocker(const struct sup *s, size_t i, bool *ret_ready)
{
	*ret_ready = true;
	for (size_t k = 0; k < s->graph->nneeds[i]; k++) {
		const struct member *need = &s->m[s->graph->needs[i][k]];

		if (need->state != ENDED)
			*ret_ready = false;
		else if (need->step.end != SLU_STEP_COMPLETED)
			return need;
	}
	return NULL;
}

/* One pass in graph order: what is lost is skipped, what is ready starts. */
static void advance(struct sup *s)
{
	for (size_t at = 0; at < s->n; at++) {
		size_t i = s->graph->order[at];
		struct member *m = &s->m[i];
		const struct member *bad;
		bool ready;

		if (m->state != WAITING && m->state != READY)
			continue;
		bad = blocker(s, i, &ready);
		if (s->cancel) {
			skip(s, m, s->cancel);
		} else if (bad) {
			SLU_AUTO(slu_freep)
			char *text = slu_asprintf(
				"step '%s', which it needs, %s", bad->step.task.spec.name,
				bad->step.end == SLU_STEP_FAILED ? "failed" : "was canceled");

			skip(s, m, text ? text : "a step that it needs failed");
		} else if (ready) {
			m->state = READY;
			start(s, m);
		}
	}
}

static void cancel_all(struct sup *s, const char *reason)
{
	if (!s->cancel)
		s->cancel = reason;
	if (!s->teardown)
		s->teardown = slu_deadline_in(TEARDOWN);
	for (size_t i = 0; i < s->n; i++) {
		if (s->m[i].state != RUNNING)
			continue;
		slu_run_status(s->m[i].step.run, "CancelRequested", NULL);
		slu_step_cancel(&s->m[i].step, reason);
	}
}

/* A step has failed: its reason is the run's. */
static void note_failure(struct sup *s, struct member *m)
{
	if (!s->why[0])
		snprintf(s->why, sizeof(s->why), "step '%.64s' failed: %.500s",
			 m->step.task.spec.name, m->step.why);
	if (s->go_on || !s->pipeline || s->cancel)
		return;
	m->reason = slu_asprintf("step '%s' failed", m->step.task.spec.name);
	cancel_all(s, m->reason ? m->reason : "another step failed");
}

static void reap_steps(struct sup *s)
{
	uint64_t n;

	if (read(s->done, &n, sizeof(n)) < 0)
		return;
	for (size_t i = 0; i < s->n; i++) {
		struct member *m = &s->m[i];

		if (m->state != RUNNING || !atomic_load(&m->step.over))
			continue;
		pthread_join(m->step.thread, NULL);
		m->state = ENDED;
		s->running--;
		s->ended++;
		s->lost |= m->step.lost;
		slu_log(SLU_LOG_INFO, "job", "step '%s' ended: %s%s", m->step.task.spec.name,
			m->step.end == SLU_STEP_COMPLETED ? "Completed" : m->step.why,
			m->step.earlier.from ? ", an earlier run was taken" : "");
		if (m->step.end == SLU_STEP_FAILED)
			note_failure(s, m);
	}
}

/* --- time --- */

static int arm(struct sup *s, struct slu_err *e)
{
	int64_t every = slu_alive_beat_every();
	const struct timespec t = {every / SLU_SEC, every % SLU_SEC};
	const struct itimerspec it = {t, t};

	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->timer < 0 || timerfd_settime(s->timer, 0, &it, NULL) < 0)
		return slu_fail_sys(e, errno, "cannot make a timer");
	s->last_beat = slu_now();
	return 0;
}

/* After a pause somebody may have taken this process for dead and said so. */
static bool was_decided(struct sup *s)
{
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;

	return slu_outcome_get(s->s, s->root->id, &outcome, NULL) == 0;
}

static void beat(struct sup *s)
{
	int64_t now = slu_now(), gap = now - s->last_beat;
	struct slu_err why = {0};
	uint64_t n;

	if (read(s->timer, &n, sizeof(n)) < 0)
		return;
	if (gap > 3 * slu_alive_beat_every() && !s->cancel && was_decided(s)) {
		slu_log(SLU_LOG_WARNING, "job",
			"this supervisor of '%s' stood still for %lld ms and the run was decided "
			"meanwhile; it ends its steps and registers nothing",
			s->root->id, (long long)(gap / SLU_MS));
		cancel_all(s, DECIDED);
	}
	s->last_beat = now;
	if (slu_alive_beat(s->root, &why) < 0)
		slu_warn("job", "run '%s': %s", s->root->id, why.msg);
}

static void hear(struct sup *s)
{
	char sig;

	while (read(signal_pipe[0], &sig, 1) == 1) {
		if (s->cancel)
			continue;
		slu_log(SLU_LOG_INFO, "job", "signal %d: run '%s' is canceled", sig, s->root->id);
		if (s->pipeline)
			slu_run_status(s->root, "CancelRequested", NULL);
		cancel_all(s, CANCELED);
	}
}

/* --- the end --- */

static const char *verdict(const struct sup *s)
{
	if (s->cancel && (slu_streq(s->cancel, CANCELED) || slu_streq(s->cancel, DECIDED)))
		return "Canceled";
	for (size_t i = 0; i < s->n; i++)
		if (s->m[i].step.end != SLU_STEP_COMPLETED)
			return "Failed";
	return "Completed";
}

/* The pipeline's own outcome; a single step's was put by the step. */
static int end_pipeline(struct sup *s, const char **ret_status, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *is = NULL;
	const char *status = verdict(s);
	const char *why = slu_streq(status, "Completed") ? NULL : s->why[0] ? s->why : s->cancel;
	bool won = false;
	int r = slu_outcome_decide(s->s, s->root->id,
				   slu_outcome_new(s->root->id, status, why, -1, "supervisor"),
				   &won, &is, e);

	if (r < 0)
		return r;
	const char *stands = slu_json_str(is, "status");
	if (!won && !(stands && slu_streq(stands, "Canceled") && slu_streq(status, "Canceled") &&
		      !slu_streq(s->cancel, DECIDED)))
		s->lost = true;
	*ret_status = status;
	r = slu_run_finish(s->root, is, NULL, e);
	return r < 0 ? r : slu_run_publish(s->root, e);
}

static int result(struct sup *s, const char *status, struct slu_err *e)
{
	if (s->lost) {
		slu_log(SLU_LOG_WARNING, "job", "run '%s' ended for others before it ended here",
			s->root->id);
		return slu_fail(
			e, ESTALE,
			"run '%s' was declared ended while its supervisor stood still; this "
			"supervisor registered nothing",
			s->root->id);
	}
	slu_log(SLU_LOG_INFO, "job", "run '%s' is %s", s->root->id, status);
	if (slu_streq(status, "Completed"))
		return 0;
	if (slu_streq(status, "Canceled"))
		return slu_fail(e, ECANCELED, "run '%s' was canceled", s->root->id);
	return slu_fail(e, ECHILD, "run '%s' failed: %s", s->root->id,
			s->why[0] ? s->why : "a step did not complete");
}

static int finish(struct sup *s, struct slu_err *e)
{
	const char *status = NULL;
	int r = 0;

	if (s->pipeline)
		r = end_pipeline(s, &status, e);
	else
		status = s->m[0].step.end == SLU_STEP_COMPLETED  ? "Completed"
			 : s->m[0].step.end == SLU_STEP_CANCELED ? "Canceled"
								 : "Failed";
	if (!s->pipeline && s->m[0].step.why[0])
		snprintf(s->why, sizeof(s->why), "%s", s->m[0].step.why);
	return r < 0 ? r : result(s, status, e);
}

/* Steps hang in something that cannot be interrupted: the outcome stands (or is put by the next reader),
 * mounts and programs end with this process. */
static void give_up(struct sup *s)
{
	slu_log(SLU_LOG_ERROR, "job", "run '%s': %zu steps did not end in time; the process ends",
		s->root->id, s->running);
	_exit(slu_exit_code(-ETIMEDOUT));
}

static int wait_ms(const struct sup *s)
{
	int64_t left = s->teardown ? s->teardown - slu_now() : 0;

	return !s->teardown ? -1 : left <= 0 ? 0 : (int)(left / SLU_MS) + 1;
}

static void loop(struct sup *s)
{
	for (advance(s); s->ended < s->n; advance(s)) {
		struct pollfd f[3] = {{.fd = s->done, .events = POLLIN},
				      {.fd = s->timer, .events = POLLIN},
				      {.fd = signal_pipe[0], .events = POLLIN}};

		if (s->running) {
			if (poll(f, 3, wait_ms(s)) < 0 && errno != EINTR)
				return;
			if (f[2].revents)
				hear(s);
			if (f[1].revents)
				beat(s);
			if (f[0].revents)
				reap_steps(s);
			if (s->teardown && slu_expired(s->teardown) && s->running)
				give_up(s);
		}
	}
}

/* --- taking the run --- */

static int take_lock(struct sup *s, struct slu_err *e)
{
	if (slu_alive_adopt(s->root, SLU_SUPERVISOR_LOCK_FD)) {
		s->lock = SLU_SUPERVISOR_LOCK_FD;
		return 0;
	}
	/* A reader that looks just now holds it for a moment. */
	for (int i = 0;; i++) {
		s->lock = slu_alive_lock(s->root, e);
		if (s->lock >= 0)
			return 0;
		if (s->lock != -EBUSY || i == 20)
			return s->lock;
		poll(NULL, 0, 50);
	}
}

static int take_run(struct sup *s, const char *run, struct slu_err *e)
{
	const char *status;
	int r = slu_run_open(s->s, run, &s->root, e);

	if (r < 0)
		return r;
	if (slu_json_str(s->root->doc, "parent"))
		return slu_fail(e, EINVAL, "run '%s' is a step; supervise '%s'", run,
				slu_json_str(s->root->doc, "root"));
	r = take_lock(s, e);
	if (r == 0)
		r = slu_run_reload(s->root, e);
	if (r < 0)
		return r;
	status = slu_run_get(s->root, "status");
	if (!status || !slu_streq(status, "NotStarted"))
		return slu_fail(e, EINVAL, "run '%s' has begun before: it is %s", run,
				status ? status : "damaged");
	return slu_alive_write(s->root, getpid(), e);
}

static void no_core(struct sup *s)
{
	struct rlimit none;

	if (getrlimit(RLIMIT_CORE, &s->core) < 0)
		return;
	none = (struct rlimit){0, s->core.rlim_max};
	setrlimit(RLIMIT_CORE, &none);
	/* What credentials refer to may be in our environment: a step of the same user must not read it. */
	prctl(PR_SET_DUMPABLE, 0);
}

static int prepare(struct sup *s, struct slu_err *e)
{
	int r;

	no_core(s);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	s->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->done < 0)
		return slu_fail_sys(e, errno, "cannot make an event descriptor");
	if ((r = arm(s, e)) < 0 || (r = catch_signals(e)) < 0 || (r = load(s, e)) < 0)
		return r;
	/* A cancel that came before our process number was known could not send a signal. */
	if (was_decided(s))
		cancel_all(s, CANCELED);
	return s->pipeline ? slu_run_status(s->root, "Running", e) : 0;
}

/* The run cannot begin at all: that is how it ended. */
static void end_early(struct sup *s, const char *why)
{
	SLU_AUTO(slu_json_freep) struct json_t *is = NULL;
	bool won;

	if (slu_outcome_decide(s->s, s->root->id,
			       slu_outcome_new(s->root->id, "Failed", why, -1, "supervisor"), &won,
			       &is, NULL) == 0)
		slu_run_finish(s->root, is, NULL, NULL);
}

static int supervise(struct sup *s, const char *run, struct slu_err *e)
{
	int r = take_run(s, run, e);

	if (r < 0)
		return r;
	r = prepare(s, e);
	if (r < 0) {
		end_early(s, e->msg);
	} else {
		loop(s);
		r = finish(s, e);
	}
	forget_signals();
	return r;
}

static void sup_done(struct sup *s)
{
	for (size_t i = 0; i < s->n; i++) {
		slu_step_done(&s->m[i].step);
		free(s->m[i].reason);
		free(s->m[i].compute);
	}
	free(s->m);
	slu_graph_free(s->graph);
	slu_closep(&s->timer);
	slu_closep(&s->done);
	slu_run_free(s->root);
	slu_closep(&s->lock); /* last: from here on others may settle the run */
}

int slu_supervise(struct sluice *s, const char *run, struct slu_err *e)
{
	struct sup sup = {.s = s, .lock = -1, .timer = -1, .done = -1};
	struct slu_err why = {0};
	int r;

	if (!getenv("SLUICE_LOG"))
		slu_log_level(SLU_LOG_INFO);
	r = supervise(&sup, run, &why);
	sup_done(&sup);
	return r < 0 ? slu_fail(e, -r, "%s", why.msg) : 0;
}
