/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching: read the records, tell what is new, wait for a change.  The records are the truth; what
 * wakes the wait is only a hint, and a second is the longest that a missed one costs.  What programs print
 * is told before the state that ends them (watch_log.c).
 */
#include "job/watch.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"
#include "job/settle.h"
#include "job/watch_log.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { POLL_MS = 1000, SLOW_MS = 200 };

/* A record that is watched, with how many of its states were told. */
struct seen {
	char *id, *step;
	size_t told;
	struct slu_watch_log log;
};

struct event {
	struct json_t *o;
	const char *time; /* in o */
	const char *run, *status;
	size_t serial;
};

struct watch {
	struct sluice *s;
	const char *run;
	slu_watch_fn *fn;
	void *user;
	bool output;
	SLU_VEC(struct seen) seen;
	SLU_VEC(struct event) events;
	int notify, proc;
	char *status; /* at the last look */
	char *reason;
};

static void forget_events(struct watch *w)
{
	for (size_t i = 0; i < w->events.n; i++)
		slu_json_free(w->events.p[i].o);
	w->events.n = 0;
}

static void watch_done(struct watch *w)
{
	forget_events(w);
	free(w->events.p);
	for (size_t i = 0; i < w->seen.n; i++) {
		free(w->seen.p[i].id);
		free(w->seen.p[i].step);
		slu_watch_log_done(&w->seen.p[i].log);
	}
	free(w->seen.p);
	free(w->status);
	free(w->reason);
	slu_closep(&w->notify);
	slu_closep(&w->proc);
}

/* --- collecting --- */

static struct seen *find_seen(struct watch *w, const struct slu_run *r, const char *step)
{
	struct seen s = {.log = SLU_WATCH_LOG};

	for (size_t i = 0; i < w->seen.n; i++)
		if (slu_streq(w->seen.p[i].id, r->id))
			return &w->seen.p[i];
	s.id = slu_strdup(r->id);
	s.step = slu_strdup(step);
	if (!s.id || (step && !s.step) || !slu_vec_push(&w->seen, s)) {
		free(s.id);
		free(s.step);
		return NULL;
	}
	if (w->notify >= 0 && r->fd >= 0)
		inotify_add_watch(w->notify, r->dir, IN_MOVED_TO | IN_CREATE);
	if (w->output)
		slu_watch_log_open(&w->seen.p[w->seen.n - 1].log, r, w->notify);
	return &w->seen.p[w->seen.n - 1];
}

static int add_event(struct watch *w, const struct slu_run *r, const char *step, const char *status,
		     const char *time)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const char *reason = slu_run_get(r, "reason");
	const char *from = slu_run_get(r, "reused_from");
	const struct json_t *code = slu_json_get(r->doc, "exit_code");
	struct event ev;

	if (!o || slu_json_set_str(o, "run", r->id) < 0 ||
	    (step && slu_json_set_str(o, "step", step) < 0) ||
	    slu_json_set_str(o, "status", status) < 0 || slu_json_set_str(o, "time", time) < 0)
		return -ENOMEM;
	if (slu_run_is_end(status) &&
	    ((reason && slu_json_set_str(o, "reason", reason) < 0) ||
	     (from && slu_json_set_str(o, "reused_from", from) < 0) ||
	     (slu_json_is_int(code) && slu_json_set(o, "exit_code", slu_json_copy(code)) < 0)))
		return -ENOMEM;
	ev = (struct event){o, slu_json_str(o, "time"), slu_json_str(o, "run"),
			    slu_json_str(o, "status"), w->events.n};
	if (!slu_vec_push(&w->events, ev))
		return -ENOMEM;
	slu_take(o);
	return 0;
}

static int collect(struct watch *w, struct slu_run *r, const char *step, struct slu_err *e)
{
	const struct json_t *states = slu_json_get(r->doc, "states");
	struct seen *s = find_seen(w, r, step);

	if (!s)
		return slu_fail_oom(e);
	for (; s->told < slu_json_count(states); s->told++) {
		const struct json_t *o = slu_json_at(states, s->told);
		const char *status = slu_json_str(o, "status"), *time = slu_json_str(o, "time");

		if (status && time && add_event(w, r, step, status, time) < 0)
			return slu_fail_oom(e);
	}
	return 0;
}

static int collect_child(void *user, struct slu_run *child, const char *step, struct slu_err *e)
{
	return collect(user, child, step, e);
}

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;
	int c = strcmp(x->time, y->time);

	return c ? c : x->serial < y->serial ? -1 : 1;
}

/* {"run", "step"?, "output"} for all that is new.  ended: also a line without an end. */
static int tell_output(struct watch *w, struct seen *s, bool ended)
{
	struct json_t *text;
	int r = 0;

	while (r == 0 && (text = slu_watch_log_next(&s->log, ended))) {
		SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

		if (slu_json_set(o, "output", text) < 0 || slu_json_set_str(o, "run", s->id) < 0 ||
		    (s->step && slu_json_set_str(o, "step", s->step) < 0))
			return -ENOMEM;
		r = w->fn(w->user, o);
	}
	return r;
}

static int tell_all_output(struct watch *w)
{
	int r = 0;

	for (size_t i = 0; i < w->seen.n && r == 0 && w->output; i++)
		r = tell_output(w, &w->seen.p[i], false);
	return r;
}

/* Before it is said that a program has ended, what it printed. */
static int tell_event(struct watch *w, const struct event *ev)
{
	static const char *const early[] = {"NotStarted", "Queued", "Preparing", "Running"};
	bool before = !ev->status || !ev->run || !w->output;
	int r = 0;

	for (size_t i = 0; i < sizeof early / sizeof *early && !before; i++)
		before = slu_streq(early[i], ev->status);
	for (size_t i = 0; i < w->seen.n && !before && r == 0; i++)
		if (slu_streq(w->seen.p[i].id, ev->run))
			r = tell_output(w, &w->seen.p[i], true);
	return r ? r : w->fn(w->user, ev->o);
}

static int tell(struct watch *w)
{
	int r = 0;

	if (w->events.n)
		qsort(w->events.p, w->events.n, sizeof(*w->events.p), by_time);
	for (size_t i = 0; i < w->events.n && r == 0 && w->fn; i++)
		r = tell_event(w, &w->events.p[i]);
	forget_events(w);
	return r ? r : tell_all_output(w);
}

/* A status that is in no record: the supervisor does not respond. */
static int tell_overlay(struct watch *w, struct slu_run *r, const char *status, struct slu_err *e)
{
	char now[SLU_TIME_LEN];

	if (w->status && slu_streq(w->status, status))
		return 0;
	slu_time_fmt(now, slu_wall());
	return add_event(w, r, slu_run_get(r, "step"), status, now) < 0 ? slu_fail_oom(e) : 0;
}

/* --- waiting --- */

static void follow_process(struct watch *w, struct slu_run *r)
{
	struct slu_alive a = {0};

	if (w->proc >= 0 || slu_alive_judge(r, &a, NULL) < 0 || !a.same_host || a.pid <= 0)
		return;
	w->proc = slu_proc_open(a.pid, a.start);
	if (w->proc < 0)
		w->proc = -1;
}

/* Did anything change but logs? */
static bool records_changed(struct watch *w)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool changed = false;
	ssize_t n;

	while ((n = read(w->notify, buf, sizeof(buf))) > 0)
		for (const char *p = buf; p < buf + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)p;

			changed |= (ev->mask & IN_MODIFY) == 0;
			p += sizeof(*ev) + ev->len;
		}
	if (n == 0 || errno == EAGAIN || errno == EINTR)
		return changed;
	slu_closep(&w->notify);
	w->notify = -1;
	return true;
}

/* 0: look at the records again; else fn's result. */
static int wait_change(struct watch *w)
{
	int64_t until = slu_deadline_in(POLL_MS * SLU_MS);
	int r = 0;

	while (r == 0) {
		struct pollfd f[2] = {{.fd = w->notify, .events = POLLIN},
				      {.fd = w->proc, .events = POLLIN}};
		int64_t left = (until - slu_now()) / SLU_MS;

		/* The process may be gone a moment before its lock is. */
		if (left <= 0 || poll(f, 2, f[1].fd < 0 && f[0].fd < 0 ? SLOW_MS : (int)left) <= 0)
			return 0;
		if (f[1].revents) {
			slu_closep(&w->proc);
			w->proc = -1;
			return 0;
		}
		if (f[0].revents && records_changed(w))
			return 0;
		r = tell_all_output(w);
	}
	return r;
}

/* --- both --- */

static int remember(struct watch *w, struct slu_run *r, const char *status, struct slu_err *e)
{
	const char *reason = slu_run_get(r, "reason");

	free(w->status);
	free(w->reason);
	w->status = slu_strdup(status);
	w->reason = slu_strdup(reason);
	return w->status && (!reason || w->reason) ? 0 : slu_fail_oom(e);
}

/* 0: go on; 1: it is over; else fn's result or an error. */
static int look(struct watch *w, struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	const char *status = NULL;
	int rc = slu_run_look(w->s, w->run, &r, &status, e);

	if (rc < 0)
		return rc;
	if ((rc = slu_run_children(r, collect_child, w, e)) < 0 ||
	    (rc = collect(w, r, slu_run_get(r, "step"), e)) < 0)
		return rc;
	if (status != slu_run_get(r, "status") && (rc = tell_overlay(w, r, status, e)) < 0)
		return rc;
	if ((rc = remember(w, r, status, e)) < 0 || (rc = tell(w)) != 0)
		return rc;
	if (!slu_run_is_end(status))
		follow_process(w, r);
	return slu_run_is_end(status) ? 1 : 0;
}

static int result(const struct watch *w, struct slu_err *e)
{
	if (slu_streq(w->status, "Completed"))
		return 0;
	if (slu_streq(w->status, "Canceled"))
		return slu_fail(e, ECANCELED, "run '%s' was canceled", w->run);
	return slu_fail(e, ECHILD, "run '%s' failed: %s", w->run,
			w->reason ? w->reason : "no reason is known");
}

int slu_watch(struct sluice *s, const char *run, bool output, slu_watch_fn *fn, void *user,
	      struct slu_err *e)
{
	struct watch w = {.s = s,
			  .run = run,
			  .fn = fn,
			  .user = user,
			  .output = output && fn,
			  .notify = -1,
			  .proc = -1};
	int rc;

	w.notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	while ((rc = look(&w, e)) == 0 && (rc = wait_change(&w)) == 0)
		;
	if (rc == 1)
		rc = result(&w, e);
	watch_done(&w);
	return rc;
}
