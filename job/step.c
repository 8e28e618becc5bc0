/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step, on a thread of the supervisor.  The thread waits in poll(2) for the program's output, its
 * end, a wish to cancel and its time limit; everything before and after may block.
 */
#include "job/step.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/outcome.h"
#include "job/broker.h"
#include "job/guard.h"
#include "job/settle.h"
#include "job/tee.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long output of a program that has ended may still be read. */
#define DRAIN (2 * SLU_SEC)
#define TOKEN_DAYS 30

int slu_step_init(struct slu_step *st, struct slu_run *run, bool own, struct slu_err *e)
{
	*st = (struct slu_step){.run = run, .own_run = own, .cancel_fd = -1, .done_fd = -1};
	st->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (st->cancel_fd < 0)
		return slu_fail_sys(e, errno, "cannot make an event descriptor");
	return slu_task_load(&st->task, run, e);
}

void slu_step_done(struct slu_step *st)
{
	slu_task_done(&st->task);
	slu_closep(&st->cancel_fd);
	if (st->own_run)
		slu_run_free(st->run);
}

void slu_step_cancel(struct slu_step *st, const char *reason)
{
	const uint64_t one = 1;
	const char *none = NULL;

	atomic_compare_exchange_strong(&st->reason, &none, reason);
	if (write(st->cancel_fd, &one, sizeof(one)) < 0)
		slu_debug("job", "run '%s' is being canceled already", st->run->id);
}

/* --- the program --- */

struct program {
	struct slu_step *st;
	struct slu_guard guard;
	struct slu_tee tee;
	int64_t limit; /* of the whole run; 0: none */
	int64_t force; /* when SIGTERM was not enough; 0: not asked to end yet */
	int64_t drain; /* when reading output ends; 0: the program goes on */
	bool told, timed_out;
};

static void ask_to_end(struct program *p)
{
	if (p->force)
		return;
	p->force = slu_deadline_in(SLU_STEP_GRACE);
	slu_guard_signal(&p->guard, SIGTERM);
}

static void check_times(struct program *p)
{
	if (p->limit && slu_expired(p->limit) && !p->force) {
		p->timed_out = true;
		ask_to_end(p);
	}
	if (p->force && slu_expired(p->force) && !p->guard.ended && p->guard.guard > 0) {
		kill(p->guard.guard, SIGTERM); /* the guard kills the whole tree */
		kill(p->guard.guard, SIGCONT); /* also when somebody has stopped it */
	}
}

/* Notes the process numbers, for people and for a cancel that finds the supervisor stopped. */
static void tell_pids(struct program *p)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	struct slu_run *r = p->st->run;
	struct slu_err why = {0};
	uint64_t start = 0;

	p->told = true;
	slu_proc_start(p->guard.guard, &start);
	if (!o || slu_json_set_int(o, "pid", p->guard.step) < 0 ||
	    slu_json_set_int(o, "guard", p->guard.guard) < 0 ||
	    slu_json_set_int(o, "guard_start", (int64_t)start) < 0 ||
	    slu_run_set(r, "process", slu_take(o), true, &why) < 0)
		slu_warn("job", "run '%s': %s", r->id, why.msg);
}

static int64_t soonest(int64_t a, int64_t b)
{
	return !a ? b : !b ? a : a < b ? a : b;
}

static int wait_ms(const struct program *p)
{
	int64_t at = soonest(soonest(p->force ? 0 : p->limit, p->drain), p->force);
	int64_t left;

	if (!at)
		return -1;
	left = at - slu_now();
	/* Past its grace the end is near: look again soon. */
	return left <= 0 ? 100 : left / SLU_MS > 3600000 ? 3600000 : (int)(left / SLU_MS) + 1;
}

static bool all_read(const struct program *p)
{
	return p->tee.from[0] < 0 && p->tee.from[1] < 0;
}

/* Until the program has ended and its output is read. */
static void program_loop(struct program *p)
{
	while (p->guard.report >= 0 || !all_read(p)) {
		struct pollfd f[4] = {{.fd = p->guard.report, .events = POLLIN},
				      {.fd = p->tee.from[0], .events = POLLIN},
				      {.fd = p->tee.from[1], .events = POLLIN},
				      {.fd = p->force ? -1 : p->st->cancel_fd, .events = POLLIN}};

		if (poll(f, 4, wait_ms(p)) < 0 && errno != EINTR)
			return;
		if (f[0].revents)
			slu_guard_news(&p->guard);
		if (p->guard.step && !p->told)
			tell_pids(p);
		slu_tee_pump(&p->tee, 0);
		slu_tee_pump(&p->tee, 1);
		if (f[3].revents)
			ask_to_end(p);
		check_times(p);
		if (p->guard.report < 0 && !p->drain)
			p->drain = slu_deadline_in(DRAIN);
		if (p->drain && slu_expired(p->drain))
			return;
	}
}

static const char *signal_name(int sig)
{
	static const struct {
		int sig;
		const char *name;
	} names[] = {{SIGKILL, "SIGKILL"}, {SIGTERM, "SIGTERM"}, {SIGSEGV, "SIGSEGV"},
		     {SIGABRT, "SIGABRT"}, {SIGINT, "SIGINT"},   {SIGHUP, "SIGHUP"},
		     {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},   {SIGILL, "SIGILL"},
		     {SIGPIPE, "SIGPIPE"}};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].sig == sig)
			return names[i].name;
	return "signal";
}

/* How it ended: exit code (-1: unknown), and why that is a failure. */
static int judge(const struct program *p, int *ret_code, struct slu_err *e)
{
	const struct slu_guard *g = &p->guard;

	*ret_code = -1;
	if (g->error)
		return slu_fail_sys(e, g->error, "cannot start '%s'", p->st->task.argv[0]);
	if (!g->ended)
		return slu_fail(e, ECHILD, "the step and the process that watches it were killed");
	if (WIFSIGNALED(g->status)) {
		*ret_code = 128 + WTERMSIG(g->status);
		if (p->timed_out)
			return slu_fail(e, ETIMEDOUT,
					"the step took longer than its limit of %llu s",
					(unsigned long long)p->st->task.spec.timeout);
		return slu_fail(e, ECHILD, "the step was killed by signal %d (%s)",
				WTERMSIG(g->status), signal_name(WTERMSIG(g->status)));
	}
	*ret_code = WEXITSTATUS(g->status);
	if (p->timed_out)
		return slu_fail(e, ETIMEDOUT, "the step took longer than its limit of %llu s",
				(unsigned long long)p->st->task.spec.timeout);
	if (*ret_code)
		return slu_fail(e, ECHILD, "the step ended with exit status %d", *ret_code);
	return 0;
}

static int run_program(struct slu_step *st, int *ret_code, struct slu_err *e)
{
	struct program p = {.st = st, .guard = {.report = -1}};
	struct slu_guard_opts o = {.argv = (const char *const *)st->task.argv,
				   .envp = slu_env_list(st->task.env),
				   .cwd = st->task.cwd,
				   .core = st->core};
	int r = slu_tee_open(&p.tee, st->run, e);

	if (r < 0)
		return r;
	if (st->task.spec.timeout)
		p.limit = slu_deadline_in((int64_t)st->task.spec.timeout * SLU_SEC);
	o.out = p.tee.give[0];
	o.err = p.tee.give[1];
	r = slu_guard_start(&o, &p.guard, e);
	slu_tee_given(&p.tee);
	if (r == 0) {
		program_loop(&p);
		slu_guard_end(&p.guard);
		slu_tee_pump(&p.tee, 0);
		slu_tee_pump(&p.tee, 1);
		r = judge(&p, ret_code, e);
	}
	slu_tee_close(&p.tee);
	return r;
}

/* --- around it --- */

static int broker_env(struct slu_step *st, const char *token, struct slu_err *e)
{
	SLU_AUTO(slu_freep)
	char *endpoint = slu_asprintf("unix:%s/" SLU_BROKER_SOCKET, st->run->dir);
	SLU_AUTO(slu_freep)
	char *expiry =
		slu_asprintf("%lld", (long long)(slu_wall() / SLU_SEC + TOKEN_DAYS * 86400LL));
	struct slu_env *v = st->task.env;

	if (!endpoint || !expiry || slu_env_set(v, "AZUREML_SERVICE_ENDPOINT", endpoint) < 0 ||
	    slu_env_set(v, "AZUREML_RUN_TOKEN", token) < 0 ||
	    slu_env_set(v, "AZUREML_RUN_TOKEN_EXPIRY", expiry) < 0)
		return slu_fail_oom(e);
	return 0;
}

/* Has somebody decided already how this run ends? */
static bool decided(const struct slu_step *st)
{
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;

	return slu_outcome_get(st->run->s, st->run->id, &outcome, NULL) == 0;
}

static int find_compute(struct slu_step *st, struct slu_err *e)
{
	struct slu_task *t = &st->task;
	int r = slu_compute_find(t->s, t->spec.compute, t->spec.kind, &t->compute, e);

	if (r < 0)
		return r;
	if (t->compute.fallback)
		slu_log(SLU_LOG_INFO, "job",
			"run '%s': compute '%s' is not in config.json, so '%s' runs it",
			st->run->id, t->spec.compute, t->compute.name);
	return slu_run_set(st->run, "compute", slu_json_new_str(t->compute.name), false, e);
}

static int work(struct slu_step *st, int *ret_code, struct slu_err *e)
{
	char token[SLU_BROKER_TOKEN];
	struct slu_broker *broker = NULL;
	int r;

	if ((r = slu_run_status(st->run, "Preparing", e)) < 0 || (r = find_compute(st, e)) < 0 ||
	    (r = slu_stage_open(&st->task, st->edge, st->user, e)) < 0)
		return r;
	if (atomic_load(&st->reason))
		return slu_fail(e, ECANCELED, "canceled");
	r = slu_broker_start(st->run, token, &broker, e);
	if (r == 0)
		r = broker_env(st, token, e);
	if (r == 0)
		r = slu_run_status(st->run, "Running", e);
	if (r == 0)
		r = run_program(st, ret_code, e);
	slu_broker_stop(broker);
	return r;
}

/* Inputs are closed in any case; outputs are collected when all went well and nobody decided before. */
static int finalize(struct slu_step *st, int r, struct slu_err *e)
{
	struct slu_err why = {0};
	int rc;

	slu_run_status(st->run, "Finalizing", NULL);
	rc = slu_stage_close_inputs(&st->task, &why);
	if (rc < 0)
		slu_warn("job", "run '%s': %s", st->run->id, why.msg);
	if (r < 0 || atomic_load(&st->reason))
		return r;
	if (decided(st))
		return slu_fail(e, ESTALE, "the run was decided by somebody else");
	return slu_stage_collect(&st->task, e);
}

static struct json_t *make_outcome(struct slu_step *st, int r, int code, struct slu_err *e)
{
	const char *reason = atomic_load(&st->reason);
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;

	st->end = reason ? SLU_STEP_CANCELED : r < 0 ? SLU_STEP_FAILED : SLU_STEP_COMPLETED;
	if (st->end == SLU_STEP_COMPLETED) {
		o = slu_outcome_new(st->run->id, "Completed", NULL, code, "supervisor");
		if (o && slu_stage_outcome(&st->task, o, e) == 0)
			return slu_take(o);
		st->end = SLU_STEP_FAILED;
		slu_json_free(slu_take(o));
	}
	snprintf(st->why, sizeof(st->why), "%s",
		 reason      ? reason
		 : e->msg[0] ? e->msg
			     : "out of memory");
	return slu_outcome_new(st->run->id, reason ? "Canceled" : "Failed", st->why, code,
			       "supervisor");
}

/* The outcome that stands is not ours. */
static void tell_lost(struct slu_step *st, const struct json_t *is)
{
	const char *status = slu_json_str(is, "status"), *by = slu_json_str(is, "by");
	const char *reason = slu_json_str(is, "reason");

	if (st->end == SLU_STEP_CANCELED && status && slu_streq(status, "Canceled"))
		return; /* `job cancel` puts it first */
	st->lost = true;
	st->end = status && slu_streq(status, "Canceled") ? SLU_STEP_CANCELED : SLU_STEP_FAILED;
	snprintf(st->why, sizeof(st->why), "declared %s by %s: %s", status ? status : "ended",
		 by ? by : "somebody", reason ? reason : "no reason given");
	slu_log(SLU_LOG_WARNING, "job",
		"run '%s' was %s before its supervisor was done; it registers nothing", st->run->id,
		st->why);
}

/* It is decided and the next reader registers; here it is said. */
static void tell_owed(struct slu_step *st, const struct slu_err *why)
{
	slu_log(SLU_LOG_ERROR, "job", "run '%s': %s; the next `job show` tries again", st->run->id,
		why->msg);
	slu_run_set(st->run, "registration_error", slu_json_new_str(why->msg), false, NULL);
}

static int decide(struct slu_step *st, struct json_t *outcome, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *is = NULL, *registered = NULL;
	struct slu_err why = {0};
	bool won = false;
	int r = slu_outcome_decide(st->run->s, st->run->id, outcome, &won, &is, e);

	if (r < 0)
		return r;
	if (!won)
		tell_lost(st, is);
	else if (slu_outcome_replay(st->run->s, st->run->id, &registered, &why) < 0)
		tell_owed(st, &why);
	return slu_run_finish(st->run, is, registered, e);
}

void slu_step_run(struct slu_step *st)
{
	const uint64_t one = 1;
	struct slu_err why = {0};
	int code = -1, r = work(st, &code, &why);

	r = finalize(st, r, &why);
	r = decide(st, make_outcome(st, r, code, &why), &why);
	if (r < 0) {
		st->end = SLU_STEP_FAILED;
		snprintf(st->why, sizeof(st->why), "%s", why.msg);
		slu_log(SLU_LOG_ERROR, "job", "run '%s': %s", st->run->id, why.msg);
	}
	slu_stage_close_outputs(&st->task, st->end == SLU_STEP_COMPLETED);
	if (slu_run_publish(st->run, &why) < 0)
		slu_warn("job", "run '%s': its logs stay here: %s", st->run->id, why.msg);
	atomic_store(&st->over, true);
	if (st->done_fd >= 0 && write(st->done_fd, &one, sizeof(one)) < 0)
		slu_warn("job", "run '%s': %s", st->run->id, strerror(errno));
}

void slu_step_skip(struct slu_step *st, const char *reason)
{
	struct slu_err why = {0};

	st->end = SLU_STEP_CANCELED;
	snprintf(st->why, sizeof(st->why), "%s", reason);
	if (decide(st, slu_outcome_new(st->run->id, "Canceled", reason, -1, "supervisor"), &why) <
	    0)
		slu_log(SLU_LOG_ERROR, "job", "run '%s': %s", st->run->id, why.msg);
}
