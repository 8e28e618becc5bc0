/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step, on a thread of the supervisor: what comes before and after its program (program.c), which may
 * block, and how it ended.
 */
#include "job/step.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/outcome.h"
#include "job/broker.h"
#include "job/program.h"
#include "job/settle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TOKEN_DAYS 30

int slu_step_init(struct slu_step *st, struct slu_run *run, bool own, struct slu_err *e)
{
	*st = (struct slu_step){.run = run, .own_run = own, .cancel_fd = -1, .done_fd = -1};
	st->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (st->cancel_fd < 0)
		return slu_fail_sys(e, errno, "cannot make an event descriptor");
	st->task.cancel_fd = st->cancel_fd;
	return slu_task_load(&st->task, run, e);
}

void slu_step_done(struct slu_step *st)
{
	slu_task_done(&st->task);
	slu_reuse_done(&st->earlier);
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

/* For who looks into the log of a step that did not run. */
static void tell_reader(const struct slu_step *st)
{
	int fd = openat(st->run->fd, SLU_RUN_STDLOG,
			O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	dprintf(fd, "sluice: not run: the outputs of run '%s' are taken, its logs are there\n",
		st->earlier.from);
	close(fd);
}

/* Only steps of pipelines are looked for, as in Azure ML: a job by itself is asked for to be run. */
static int look_back(struct slu_step *st, struct slu_err *e)
{
	const char *only = slu_run_get(st->run, "take");
	struct json_t *record;
	int r;

	if (!slu_run_get(st->run, "parent"))
		return 0;
	r = slu_reuse_find(&st->task, st->reuse && !st->task.spec.always_run, only, &st->earlier,
			   e);
	record = r == 0 ? slu_reuse_record(&st->earlier) : NULL;
	if (r < 0 || (r = slu_run_set(st->run, "reuse", record, false, e)) < 0 || !st->earlier.from)
		return r;
	if ((r = slu_stage_note_inputs(&st->task, e)) < 0 ||
	    (r = slu_run_set(st->run, "outputs", slu_json_ref(st->earlier.outputs), false, e)) < 0)
		return r;
	tell_reader(st);
	return slu_run_set(st->run, "reused_from", slu_json_new_str(st->earlier.from), true, e);
}

/* What the earlier run put, without what it registered: that is done. */
static int reused_outcome(struct slu_step *st, struct json_t *o, struct slu_err *e)
{
	const struct json_t *outputs = slu_json_get(st->earlier.outcome, "outputs");
	const struct json_t *code = slu_json_get(st->earlier.outcome, "exit_code");
	struct json_t *to = slu_json_get(o, "outputs");

	if (slu_json_set_str(o, "reused_from", st->earlier.from) < 0 ||
	    (code && slu_json_set(o, "exit_code", slu_json_copy(code)) < 0))
		return slu_fail_oom(e);
	for (void *it = slu_json_iter(outputs); it; it = slu_json_next(outputs, it)) {
		SLU_AUTO(slu_json_freep)
		struct json_t *out = slu_json_copy(slu_json_iter_value(it));

		if (!out)
			return slu_fail_oom(e);
		slu_json_del(out, "register");
		slu_json_del(out, "seen");
		if (slu_json_set(to, slu_json_iter_key(it), slu_json_ref(out)) < 0)
			return slu_fail_oom(e);
	}
	return slu_stage_outcome(&st->task, o, e); /* its inputs; it has no outputs open */
}

static int work(struct slu_step *st, int *ret_code, struct slu_err *e)
{
	char token[SLU_BROKER_TOKEN];
	struct slu_broker *broker = NULL;
	int r;

	if ((r = slu_run_status(st->run, "Preparing", e)) < 0 || (r = find_compute(st, e)) < 0 ||
	    (r = slu_stage_resolve(&st->task, st->edge, st->user, e)) < 0 ||
	    (r = look_back(st, e)) < 0 || st->earlier.from ||
	    (r = slu_stage_open(&st->task, e)) < 0)
		return r;
	if (atomic_load(&st->reason))
		return slu_fail(e, ECANCELED, "canceled");
	r = slu_broker_start(st->run, token, &broker, e);
	if (r == 0)
		r = broker_env(st, token, e);
	if (r == 0)
		r = slu_run_status(st->run, "Running", e);
	if (r == 0)
		r = slu_program_run(st, ret_code, e);
	slu_broker_stop(broker);
	return r;
}

/* Inputs are closed in any case; outputs are collected when all went well and nobody decided before. */
static int finalize(struct slu_step *st, int r, struct slu_err *e)
{
	struct slu_err why = {0};
	int rc;

	if (st->earlier.from)
		return r;
	slu_run_status(st->run, "Finalizing", NULL);
	slu_stage_note_io(&st->task);
	rc = slu_stage_close_inputs(&st->task, &why);
	if (rc < 0)
		slu_warn("job", "run '%s': %s", st->run->id, why.msg);
	rc = slu_stage_unmount_outputs(&st->task, &why);
	if (r < 0 || atomic_load(&st->reason))
		return r;
	if (rc < 0)
		return slu_fail(e, -rc, "%s", why.msg);
	if (decided(st))
		return slu_fail(e, ESTALE, "the run was decided by somebody else");
	rc = slu_stage_check_changed(&st->task, e);
	return rc < 0 ? rc : slu_stage_collect(&st->task, e);
}

/* o (taken) with what the step overwrote. */
static struct json_t *with_overwritten(const struct slu_step *st, struct json_t *o)
{
	const struct json_t *what = slu_json_get(st->run->doc, "overwritten");

	if (o && what && slu_json_set(o, "overwritten", slu_json_copy(what)) < 0) {
		slu_json_free(o);
		return NULL;
	}
	return o;
}

static struct json_t *make_outcome(struct slu_step *st, int r, int code, struct slu_err *e)
{
	const char *reason = atomic_load(&st->reason);
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;

	st->end = reason ? SLU_STEP_CANCELED : r < 0 ? SLU_STEP_FAILED : SLU_STEP_COMPLETED;
	if (st->end == SLU_STEP_COMPLETED) {
		o = slu_outcome_new(st->run->id, "Completed", NULL, code, "supervisor");
		if (o && (st->earlier.from ? reused_outcome(st, o, e)
					   : slu_stage_outcome(&st->task, o, e)) == 0)
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

	if (r == 0 && !won)
		tell_lost(st, is);
	else if (r == 0 && slu_outcome_replay(st->run->s, st->run->id, &registered, &why) < 0)
		tell_owed(st, &why);
	/* Before the record says that the run is over: who reads that finds folders and destinations free. */
	slu_stage_close_outputs(&st->task, r == 0 && st->end == SLU_STEP_COMPLETED);
	if (r < 0)
		return r;
	r = slu_run_finish(st->run, is, registered, e);
	if (r == 0 && st->end == SLU_STEP_COMPLETED && st->earlier.parts && !st->earlier.from)
		slu_reuse_offer(&st->task, &st->earlier);
	return r;
}

void slu_step_run(struct slu_step *st)
{
	const uint64_t one = 1;
	struct slu_err why = {0};
	int code = -1, r = work(st, &code, &why);

	if (r < 0 && code > 0)
		slu_stage_note_changed(&st->task, &why);
	r = finalize(st, r, &why);
	if (!st->earlier.from)
		slu_stage_note_overwritten(&st->task);
	if ((r < 0 || atomic_load(&st->reason)) && !decided(st))
		slu_stage_discard(&st->task);
	r = decide(st, with_overwritten(st, make_outcome(st, r, code, &why)), &why);
	if (r < 0) {
		st->end = SLU_STEP_FAILED;
		snprintf(st->why, sizeof(st->why), "%s", why.msg);
		slu_log(SLU_LOG_ERROR, "job", "run '%s': %s", st->run->id, why.msg);
	}
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
