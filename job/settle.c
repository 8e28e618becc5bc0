/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settling: declaring dead, registering what is owed, writing it into run.json.  The lock of a dead
 * supervisor is free, so nobody else writes the record; two readers write the same.
 */
#include "job/settle.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/outcome.h"
#include "job/livy.h"
#include "job/orphans.h"
#include "job/task.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define INPUTS_TIME (5 * SLU_SEC)

/* --- outcomes --- */

struct json_t *slu_outcome_new(const char *run, const char *status, const char *reason,
			       int exit_code, const char *by)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	char now[SLU_TIME_LEN];

	slu_time_fmt(now, slu_wall());
	if (!o || slu_json_set_int(o, "format", 1) < 0 || slu_json_set_str(o, "run", run) < 0 ||
	    slu_json_set_str(o, "status", status) < 0 ||
	    (reason && slu_json_set_str(o, "reason", reason) < 0) ||
	    slu_json_set(o, "exit_code",
			 exit_code < 0 ? slu_json_new_null() : slu_json_new_int(exit_code)) < 0 ||
	    slu_json_set_str(o, "time", now) < 0 || slu_json_set_str(o, "by", by) < 0 ||
	    slu_json_set(o, "outputs", slu_json_object()) < 0)
		return NULL;
	return slu_take(o);
}

int slu_outcome_decide(struct sluice *s, const char *run, struct json_t *outcome, bool *ret_won,
		       struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *own = outcome;

	if (!own)
		return slu_fail_oom(e);
	return slu_outcome_put(s, run, own, ret_won, ret, e);
}

/* --- the record --- */

static int finish_outputs(struct json_t *doc, const struct json_t *registered)
{
	struct json_t *outputs = slu_json_get(doc, "outputs");

	for (void *it = slu_json_iter(registered); it; it = slu_json_next(registered, it)) {
		struct json_t *o = slu_json_get(outputs, slu_json_iter_key(it));

		if (slu_json_is_object(o) &&
		    slu_json_set(o, "registered", slu_json_copy(slu_json_iter_value(it))) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int copy_key(struct json_t *doc, const struct json_t *outcome, const char *from,
		    const char *to)
{
	const struct json_t *v = slu_json_get(outcome, from);

	return v ? slu_json_set(doc, to, slu_json_copy(v)) : 0;
}

/* The outputs of a Completed run that its supervisor had no time to write down. */
static int add_outputs(struct json_t *doc, const struct json_t *outcome)
{
	const struct json_t *from = slu_json_get(outcome, "outputs");
	struct json_t *outputs = slu_json_get(doc, "outputs");

	for (void *it = slu_json_iter(from); it && outputs; it = slu_json_next(from, it)) {
		struct json_t *o = slu_json_get(outputs, slu_json_iter_key(it));
		const struct json_t *v = slu_json_iter_value(it);

		if (!slu_json_is_object(o))
			continue;
		if (copy_key(o, v, "dataset", "dataset") < 0 ||
		    copy_key(o, v, "manifest", "manifest") < 0)
			return -ENOMEM;
	}
	return 0;
}

/* The time of a state that follows what is there: an outcome may be older than states that were
 * written before it was known. */
static const char *not_before(const struct json_t *doc, const char *time)
{
	const struct json_t *states = slu_json_get(doc, "states");
	size_t n = slu_json_count(states);
	const char *last = n ? slu_json_str(slu_json_at(states, n - 1), "time") : NULL;

	return !time || (last && strcmp(last, time) > 0) ? last : time;
}

static int apply(struct json_t *doc, const struct json_t *outcome, const struct json_t *registered)
{
	const char *status = slu_json_str(outcome, "status"), *old = slu_json_str(doc, "status");
	const char *time = not_before(doc, slu_json_str(outcome, "time"));

	if (!old || !slu_streq(old, status)) {
		if (slu_run_add_state(doc, status, time ? time : "") < 0)
			return -ENOMEM;
	}
	if (copy_key(doc, outcome, "reason", "reason") < 0 ||
	    copy_key(doc, outcome, "exit_code", "exit_code") < 0 ||
	    copy_key(doc, outcome, "reused_from", "reused_from") < 0 ||
	    copy_key(doc, outcome, "time", "ended") < 0 || copy_key(doc, outcome, "by", "by") < 0 ||
	    add_outputs(doc, outcome) < 0)
		return -ENOMEM;
	return finish_outputs(doc, registered);
}

int slu_run_finish(struct slu_run *r, const struct json_t *outcome, const struct json_t *registered,
		   struct slu_err *e)
{
	int rc;

	if (!slu_run_is_end(slu_json_str(outcome, "status")))
		return slu_fail(e, EBADMSG, "the outcome of run '%s' is damaged", r->id);
	pthread_mutex_lock(&r->lock);
	rc = apply(r->doc, outcome, registered) < 0 ? slu_fail_oom(e) : slu_run_save(r, e);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

int slu_run_children(const struct slu_run *r,
		     int (*fn)(void *user, struct slu_run *child, const char *step,
			       struct slu_err *e),
		     void *user, struct slu_err *e)
{
	const struct json_t *children = slu_json_get(r->doc, "children");
	int rc = 0;

	for (size_t i = 0; i < slu_json_count(children) && rc == 0; i++) {
		SLU_AUTO(slu_run_freep) struct slu_run *child = NULL;
		const char *id = slu_json_str(slu_json_at(children, i), "run");
		const char *step = slu_json_str(slu_json_at(children, i), "step");

		rc = slu_run_open(r->s, id ? id : "", &child, e);
		if (rc == -ENOENT) /* its pipeline is being deleted */
			rc = 0;
		else if (rc == 0)
			rc = fn(user, child, step ? step : "", e);
	}
	return rc;
}

/* --- declaring dead --- */

/* A server that was away, or slow, when the run ended may know of its batch now. */
static void forget_batch(const struct slu_run *r, struct slu_livy_look *k)
{
	struct slu_err why = {0};

	if (r->fd >= 0 && slu_livy_forget(r->s, r->dir, k, &why) < 0)
		slu_warn(
			"job",
			"run '%s': its batch may still run, which is looked for again by `sluice job "
			"show`: %s",
			r->id, why.msg);
}

/* What a dead supervisor leaves that takes room or is secret: staged inputs, the settings of Spark.  Its processes
 * and mounts end with it, as long as those that see to that were not killed as well. */
static void sweep(const struct slu_run *r, const struct slu_alive *a, struct slu_livy_look *k)
{
	int64_t deadline = slu_deadline_in(INPUTS_TIME);

	if (r->fd < 0)
		return;
	if (a->here)
		slu_container_forget(r);
	/* A mount that was on its way when its supervisor died may come now, and go when it hears of that. */
	do {
		if (a->here)
			slu_orphans_unmount(r);
	} while (slu_path_rmtree_mine(r->fd, "inputs") == -EBUSY && a->here &&
		 !slu_expired(deadline) && poll(NULL, 0, 20) == 0);
	forget_batch(r, k);
	unlinkat(r->fd, "spark.properties", 0);
	unlinkat(r->fd, SLU_LIVY_REQUEST, 0);
}

static void tell_owed(struct slu_run *r, const struct slu_err *why)
{
	slu_warn("job", "run '%s' is Completed, but: %s", r->id, why->msg);
}

/* A reader that may not write, or has no room to, still knows how the run ended. */
static int write_down(struct slu_run *r, const struct json_t *outcome,
		      const struct json_t *registered, struct slu_err *e)
{
	struct slu_err why = {0};
	int rc = slu_run_finish(r, outcome, registered, &why);

	if (rc == -EBADMSG || rc == -ENOMEM)
		return slu_fail(e, -rc, "%s", why.msg);
	if (rc < 0)
		slu_warn("job", "run '%s' is %s, but its record does not say so: %s", r->id,
			 slu_run_get(r, "status"), why.msg);
	return 0;
}

static int settle_one(struct slu_run *r, const struct slu_alive *a, struct slu_livy_look *k,
		      struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL, *registered = NULL;
	struct slu_err why = {0};
	bool won = false;
	int rc;

	if (slu_run_is_end(slu_run_get(r, "status")))
		return 0;
	/* Before anything is said, so that nobody writes any more when it is. */
	if (a->here && slu_json_get(r->doc, "process"))
		slu_orphans_kill(r);
	rc = slu_outcome_get(r->s, r->id, &outcome, e);
	if (rc == -ENOENT)
		rc = slu_outcome_decide(r->s, r->id,
					slu_outcome_new(r->id, "Failed", a->why, -1, "watcher"),
					&won, &outcome, e);
	if (rc == 0 && slu_outcome_replay(r->s, r->id, &registered, &why) < 0)
		tell_owed(r, &why);
	if (rc == 0)
		rc = write_down(r, outcome, registered, e);
	if (rc == 0 && won)
		slu_log(SLU_LOG_INFO, "job", "run '%s' is declared Failed: %s", r->id, a->why);
	sweep(r, a, k);
	return rc;
}

struct dead {
	struct slu_alive *a;
	struct slu_livy_look livy;
};

static int settle_child(void *user, struct slu_run *child, const char *step, struct slu_err *e)
{
	struct dead *d = user;

	(void)step;
	return settle_one(child, d->a, &d->livy, e);
}

int slu_run_settle(struct slu_run *root, struct slu_alive *ret_alive, struct slu_err *e)
{
	struct slu_alive a;
	struct dead d = {.a = &a};
	int rc;

	if (slu_run_is_end(slu_run_get(root, "status")))
		return 0;
	rc = slu_alive_judge(root, &a, e);
	if (rc < 0)
		return rc;
	if (a.life == SLU_LIFE_DEAD) {
		/* It may have ended well between our reading of the record and of the lock. */
		rc = slu_run_reload(root, e);
		if (rc == 0)
			rc = slu_run_children(root, settle_child, &d, e);
		if (rc == 0)
			rc = settle_one(root, &a, &d.livy, e);
		slu_livy_look_done(&d.livy);
	}
	if (rc == 0 && ret_alive)
		*ret_alive = a;
	return rc;
}

/* What a run that is over still owes.  k: the end of its batch; NULL: that was tried just now.  Of a Completed one, registering:
 * it is repeated, since a crash (or a hand) may have undone it after the record was written. */
static void owe(struct slu_run *r, struct slu_livy_look *k)
{
	SLU_AUTO(slu_json_freep) struct json_t *registered = NULL;
	const char *status = slu_run_get(r, "status");
	struct slu_err why = {0};

	if (k && slu_run_is_end(status))
		forget_batch(r, k);
	if (status && slu_streq(status, "Completed") &&
	    slu_outcome_replay(r->s, r->id, &registered, &why) < 0)
		tell_owed(r, &why);
}

static int owe_child(void *user, struct slu_run *child, const char *step, struct slu_err *e)
{
	(void)step;
	(void)e;
	owe(child, user);
	return 0;
}

/* --- looking --- */

/* The status of a run whose supervisor is late: decided, it is that; else it does not respond. */
const char *slu_run_late_status(struct slu_run *r)
{
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;
	const char *status;

	if (slu_outcome_get(r->s, r->id, &outcome, NULL) < 0)
		return "NotResponding";
	status = slu_json_str(outcome, "status");
	return !status                          ? "NotResponding"
	       : slu_streq(status, "Completed") ? "Completed"
	       : slu_streq(status, "Failed")    ? "Failed"
						: "Canceled";
}

int slu_run_look(struct sluice *s, const char *id, struct slu_run **ret, const char **ret_status,
		 struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL, *root = NULL;
	struct slu_alive a = {.life = SLU_LIFE_ALIVE};
	struct slu_livy_look k = {0};
	int rc = slu_run_open(s, id, &r, e);
	const char *root_id;

	if (rc < 0)
		return rc;
	root_id = slu_run_get(r, "root");
	if (root_id && !slu_streq(root_id, r->id)) {
		rc = slu_run_open(s, root_id, &root, e);
		if (rc == 0)
			rc = slu_run_settle(root, &a, e);
		if (rc == 0)
			rc = slu_run_reload(r, e);
	} else {
		rc = slu_run_settle(r, &a, e);
	}
	if (rc == 0)
		rc = slu_run_children(r, owe_child, a.life == SLU_LIFE_DEAD ? NULL : &k, e);
	if (rc == 0)
		owe(r, a.life == SLU_LIFE_DEAD ? NULL : &k);
	slu_livy_look_done(&k);
	if (rc < 0)
		return rc;
	*ret_status = slu_run_get(r, "status");
	if (a.life == SLU_LIFE_LATE && !slu_run_is_end(*ret_status))
		*ret_status = slu_run_late_status(r);
	*ret = slu_take(r);
	return 0;
}
