/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One batch of a Livy server, as the program of a step.  A thread sends and follows it; the first thread hears SIGTERM
 * and then deletes the batch, whatever the other one waits for.  livy-batch.json is written before the answer is used, so
 * that whoever finds the step dead can end the batch too.
 */
#include "job/livy.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"
#include "job/compute.h"
#include "job/session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REQUEST_MAX = 16 << 20, FIRST_MS = 200, MOST_MS = 5000, LOG_LINES = 10000 };

#define LOST (300 * SLU_SEC)      /* without an answer: given up */
#define CANCEL_WAIT_MS 2000       /* for the number of a batch that is being sent */
#define CANCEL_TIME (2 * SLU_SEC) /* to delete it: SIGKILL follows SIGTERM soon */
#define FORGET_TIME (4 * SLU_SEC)
#define LOOK (60 * SLU_SEC) /* for one whose answer was lost, before the step fails */
#define MAY_COME 600 /* s; a batch that was sent may still appear in the list of its server */
#define KILLED_BY_TERM (128 + SIGTERM)

struct run {
	struct sluice *s;
	const char *folder; /* the run's */
	int dir;            /* of it */
	char *compute;
	struct json_t *body;    /* of a batch; NULL: it is a session's step */
	struct json_t *session; /* else */
	struct slu_livy *livy;
	_Atomic int64_t id; /* -1: none yet */
	int done;           /* an eventfd: the thread has ended */
	struct slu_livy_log log;
	slu_livy_line_fn *fn;
	void *user;
	char *state; /* the one that was told */
	int64_t sent, news;
	int rc;
	struct slu_err e;
};

/* --- telling --- */

static void tell_line(void *user, int stream, const char *line)
{
	struct run *r = user;

	r->news = slu_now();
	r->fn(r->user, stream, line);
}

/* A line of our own, beside those of the driver. */
__attribute__((format(printf, 2, 3))) static void say(struct run *r, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	tell_line(r, 1, text);
}

static void tell_state(struct run *r, const char *state, enum slu_livy_state is)
{
	double seconds = (double)(slu_now() - r->sent) / SLU_SEC;

	if (r->state && slu_streq(r->state, state))
		return;
	if (is == SLU_LIVY_RUNS && !r->state)
		say(r, "livy: batch %" PRId64 ": %s", atomic_load(&r->id), state);
	else
		say(r, "livy: batch %" PRId64 ": %s after %.1f s", atomic_load(&r->id), state,
		    seconds);
	free(r->state);
	r->state = slu_strdup(state);
	r->news = slu_now();
}

static int read_log(struct run *r, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	char path[80];
	int rc;

	if (!slu_livy_has_log(r->livy))
		return 0;
	snprintf(path, sizeof(path), "/batches/%" PRId64 "/log?from=0&size=%d", atomic_load(&r->id),
		 LOG_LINES);
	rc = slu_livy_call(r->livy, "GET", path, NULL, &o, e);
	return rc < 0 ? rc : slu_livy_log_add(&r->log, slu_json_get(o, "log"), tell_line, r);
}

/* Synapse says in errorInfo what others have in the log. */
static void tell_errors(struct run *r, const struct json_t *o)
{
	const struct json_t *list = slu_json_get(o, "errorInfo");

	for (size_t i = 0; i < slu_json_count(list); i++) {
		const char *text = slu_json_str(slu_json_at(list, i), "message");

		if (text)
			tell_line(r, 1, text);
	}
}

/* --- sending --- */

/* The batch of that name.  -ESRCH: the server has none. */
static int find_named(struct slu_livy *l, const char *name, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = NULL;
	int rc = slu_livy_list(l, "/batches", &list, e);

	for (size_t i = 0; rc == 0 && i < slu_json_count(list); i++) {
		const char *other = slu_json_str(slu_json_at(list, i), "name");

		if (other && slu_streq(other, name)) {
			*ret = slu_json_ref(slu_json_at(list, i));
			return 0;
		}
	}
	return rc < 0 ? rc : -ESRCH;
}

/* Before it is sent and when its id is known. */
static int put_note(struct run *r, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL;
	int64_t id = atomic_load(&r->id);
	int rc;

	if (slu_json_set_str(o, "compute", r->compute) < 0 ||
	    slu_json_set_str(o, "name", slu_json_str(r->body, "name")) < 0 ||
	    (id >= 0 && slu_json_set_int(o, "id", id) < 0) ||
	    !(text = slu_json_text(o, SLU_JSON_COMPACT)))
		return slu_fail_oom(e);
	rc = slu_path_write_atomic(r->dir, SLU_LIVY_BATCH, text, strlen(text));
	return rc < 0 ? slu_fail_sys(e, -rc, "cannot write '" SLU_LIVY_BATCH "'") : 0;
}

/* A name of this try's own: by it the batch is found when the answer is lost, and a second try is another one. */
static int name_batch(struct run *r, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *name = NULL;
	char id[9];

	if (slu_random_id(id, 4) < 0)
		return slu_fail(e, EIO, "there is no randomness");
	name = slu_asprintf("%s-%s", slu_json_str(r->body, "name"), id);
	return name && slu_json_set_str(r->body, "name", name) == 0 ? 0 : slu_fail_oom(e);
}

static int drop(struct slu_livy *l, int64_t id, const char *name, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	char path[64];
	int rc;

	/* What cannot be asked whose it is may be another's. */
	snprintf(path, sizeof(path), "/batches/%" PRId64, id);
	rc = slu_livy_call(l, "GET", path, NULL, &o, e);
	if (rc == 0 && slu_livy_is_other(o, name))
		return 0;
	if (rc == 0)
		rc = slu_livy_call(l, "DELETE", path, NULL, NULL, e);
	return rc == -ENOENT ? 0 : rc;
}

/* One whose answer was lost.  -ESRCH: it is not there, or not yet. */
static int drop_named(struct slu_livy *l, const char *name, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	int rc = name ? find_named(l, name, &o, e) : -ESRCH;

	return rc < 0 ? rc : drop(l, slu_json_int(o, "id", -1), name, e);
}

/* One that a server may make although it did not say so: it is there at once, or a while later. */
static int await_named(struct run *r, const char *name, struct json_t **ret)
{
	const int64_t until = slu_deadline_in(LOOK);
	int rc;

	for (int ms = FIRST_MS;; ms = ms > MOST_MS / 2 ? MOST_MS : 2 * ms) {
		rc = find_named(r->livy, name, ret, NULL);
		if (rc == 0 || !(rc == -ESRCH || slu_livy_passes(rc)) || slu_expired(until))
			return rc;
		if (ms == FIRST_MS)
			say(r, "livy: no word of '%s', which is looked for", name);
		poll(NULL, 0, ms);
	}
}

/* Nobody knows whether the server has it when the answer did not come.  Then the note stays when it is not found: no
 * other try begins as long as this one may come. */
static int post_batch(struct run *r, struct json_t **ret, struct slu_err *e)
{
	const char *name = slu_json_str(r->body, "name");
	struct slu_err why = {0};
	int rc = slu_livy_call(r->livy, "POST", "/batches", r->body, ret, &why);

	if (rc == 0)
		return 0;
	if (rc != -ECONNRESET && rc != -ETIMEDOUT && rc != -EAGAIN) {
		unlinkat(r->dir, SLU_LIVY_BATCH, 0);
		return slu_fail(e, -rc, "%s", why.msg);
	}
	if (await_named(r, name, ret) == 0)
		return 0;
	return slu_fail(
		e, -rc,
		"%s; batch '%s' may run there, and `sluice job show` looks for it to delete it",
		why.msg, name);
}

static int send_batch(struct run *r, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	struct slu_err why = {0};
	int rc = name_batch(r, e);

	if (rc < 0 || (rc = put_note(r, e)) < 0 || (rc = post_batch(r, &o, e)) < 0)
		return rc;
	if (slu_json_int(o, "id", -1) < 0)
		return slu_fail(e, EPROTO, "compute '%s': '%s' answered without the id of a batch",
				r->compute, slu_livy_url(r->livy));
	atomic_store(&r->id, slu_json_int(o, "id", -1));
	r->sent = r->news = slu_now();
	say(r, "livy: batch %" PRId64 " of '%s' at %s", atomic_load(&r->id),
	    slu_json_str(r->body, "name"), slu_livy_url(r->livy));
	rc = put_note(r, e);
	if (rc < 0 && drop(r->livy, atomic_load(&r->id), slu_json_str(r->body, "name"), &why) < 0)
		say(r, "livy: batch %" PRId64 " may still run: %s", atomic_load(&r->id), why.msg);
	return rc;
}

/* --- following --- */

/* 1: it has ended, and how is in *ret. */
static int look(struct run *r, enum slu_livy_state *ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const char *state;
	char path[64];
	int rc;

	snprintf(path, sizeof(path), "/batches/%" PRId64 "%s", atomic_load(&r->id),
		 slu_livy_has_log(r->livy) ? "" : "?detailed=true");
	rc = slu_livy_call(r->livy, "GET", path, NULL, &o, e);
	if (rc == -ENOENT || (rc == 0 && slu_livy_is_other(o, slu_json_str(r->body, "name"))))
		return slu_fail(e, EIO,
				"batch %" PRId64 " of compute '%s' is no longer there: somebody "
				"deleted it, or the server was started anew",
				atomic_load(&r->id), r->compute);
	if (rc < 0)
		return rc;
	*ret = slu_livy_judge(o, &state);
	tell_state(r, state, *ret);
	rc = read_log(r, e);
	if (*ret != SLU_LIVY_DONE && *ret != SLU_LIVY_FAILED)
		return rc;
	tell_errors(r, o);
	return 1;
}

/* Often at first and when there is news, then seldom. */
static int pause_ms(const struct run *r)
{
	int64_t quiet = (slu_now() - r->news) / SLU_MS / 4;

	return quiet < FIRST_MS ? FIRST_MS : quiet > MOST_MS ? MOST_MS : (int)quiet;
}

static int follow(struct run *r, struct slu_err *e)
{
	enum slu_livy_state how = SLU_LIVY_WAITS;
	int64_t heard = slu_now();
	int rc;

	while ((rc = look(r, &how, e)) != 1) {
		if (rc == 0)
			heard = slu_now();
		else if (rc == -EIO || rc == -EACCES || slu_now() - heard > LOST)
			return rc;
		poll(NULL, 0, pause_ms(r));
	}
	unlinkat(r->dir, SLU_LIVY_BATCH, 0);
	if (how == SLU_LIVY_DONE)
		return 0;
	return slu_fail(e, ECHILD, "batch %" PRId64 " of compute '%s' ended as '%s'",
			atomic_load(&r->id), r->compute, r->state ? r->state : "failed");
}

static void *work(void *arg)
{
	const uint64_t one = 1;
	struct run *r = arg;

	r->rc = send_batch(r, &r->e);
	if (r->rc == 0)
		r->rc = follow(r, &r->e);
	if (write(r->done, &one, sizeof(one)) < 0)
		_exit(1);
	return NULL;
}

/* --- the whole --- */

/* What a note tells, of a batch or of a statement; within that time.  -ESRCH: a batch without an id is not there. */
static int end_it(struct sluice *s, const struct json_t *note, int64_t ns, struct slu_err *e)
{
	SLU_AUTO(slu_livy_freep) struct slu_livy *l = NULL;
	const char *compute = slu_json_str(note, "compute"), *name = slu_json_str(note, "name");
	int64_t session = slu_json_int(note, "session", -1), id = slu_json_int(note, "id", -1);
	struct slu_compute c = {0};
	int rc = slu_compute_find(s, compute ? compute : "", SLU_JOB_SPARK, &c, e);

	if (rc == 0)
		rc = c.livy ? slu_livy_open(s, compute, c.livy, &l, e)
			    : slu_fail(e, EINVAL, "compute '%s' is no Livy any more",
				       compute ? compute : "");
	slu_compute_done(&c);
	if (rc < 0)
		return rc;
	slu_livy_hurry(l, ns);
	if (session >= 0)
		return slu_livy_cancel_statement(l, session, name, id, e);
	return id >= 0 ? drop(l, id, name, e) : drop_named(l, name, e);
}

/* SIGTERM came.  The process ends here: its other thread waits for a server.  What cannot be ended now is left to
 * whoever finds the note. */
static void cancel(struct run *r)
{
	struct pollfd f = {.fd = r->done, .events = POLLIN};
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/" SLU_LIVY_BATCH, r->folder);
	SLU_AUTO(slu_json_freep) struct json_t *note = NULL;
	struct slu_err why = {0};
	int rc;

	for (int ms = 0; atomic_load(&r->id) < 0 && ms < CANCEL_WAIT_MS; ms += 50)
		if (poll(&f, 1, 50) > 0)
			break;
	rc = path ? slu_json_read_file(path, REQUEST_MAX, &note, NULL) : -ENOMEM;
	if (rc == 0)
		rc = end_it(r->s, note, CANCEL_TIME, &why);
	if (rc == 0)
		unlinkat(r->dir, SLU_LIVY_BATCH, 0);
	else if (*why.msg)
		say(r, "livy: the batch could not be deleted: %s", why.msg);
	_exit(KILLED_BY_TERM);
}

static int wait_for(struct run *r, int signals)
{
	for (;;) {
		struct pollfd f[2] = {{.fd = r->done, .events = POLLIN},
				      {.fd = signals, .events = POLLIN}};

		if (poll(f, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (f[1].revents)
			cancel(r);
		if (f[0].revents)
			return 0;
	}
}

static int read_request(struct run *r, const char *folder, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/" SLU_LIVY_REQUEST, folder);
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	struct slu_compute c = {0};
	int rc = path ? slu_json_read_file(path, REQUEST_MAX, &o, e) : slu_fail_oom(e);

	if (rc < 0)
		return rc;
	r->compute = slu_strdup(slu_json_str(o, "compute"));
	r->body = slu_json_ref(slu_json_get(o, "body"));
	r->session = slu_json_ref(slu_json_get(o, "session"));
	r->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r->done = eventfd(0, EFD_CLOEXEC);
	if (!r->compute || (!r->body && !r->session) || r->dir < 0 || r->done < 0)
		return slu_fail(e, EBADMSG, "'%s' is no request", path);
	rc = slu_compute_find(r->s, r->compute, SLU_JOB_SPARK, &c, e);
	if (rc == 0)
		rc = c.livy ? slu_livy_open(r->s, r->compute, c.livy, &r->livy, e)
			    : slu_fail(e, EINVAL, "compute '%s' is no Livy any more", r->compute);
	slu_compute_done(&c);
	return rc;
}

static void run_done(struct run *r)
{
	slu_livy_log_done(&r->log);
	slu_livy_free(r->livy);
	slu_json_free(r->body);
	slu_json_free(r->session);
	free(r->compute);
	free(r->state);
	slu_closep(&r->dir);
	slu_closep(&r->done);
}

static int run_in_session(struct run *r, const char *folder, int signals, struct slu_err *e)
{
	const struct slu_session_step st = {.s = r->s,
					    .livy = r->livy,
					    .folder = folder,
					    .compute = r->compute,
					    .session = r->session,
					    .signals = signals,
					    .fn = r->fn,
					    .user = r->user};

	return slu_session_run(&st, e);
}

int slu_livy_run(struct sluice *s, const char *folder, slu_livy_line_fn *fn, void *user,
		 struct slu_err *e)
{
	struct run r = {.s = s, .folder = folder, .fn = fn, .user = user, .dir = -1, .done = -1};
	SLU_AUTO(slu_closep) int signals = -1;
	pthread_t thread;
	sigset_t term;
	int rc;

	/* Before any thread is made, so that none takes it. */
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigaddset(&term, SIGINT);
	pthread_sigmask(SIG_BLOCK, &term, NULL);
	signals = signalfd(-1, &term, SFD_CLOEXEC);
	atomic_store(&r.id, -1);
	rc = signals < 0 ? slu_fail_sys(e, errno, "cannot hear signals")
			 : read_request(&r, folder, e);
	if (rc == 0 && r.session)
		rc = run_in_session(&r, folder, signals, e);
	else if (rc == 0 && pthread_create(&thread, NULL, work, &r) != 0)
		rc = slu_fail(e, EAGAIN, "cannot start a thread");
	else if (rc == 0) {
		wait_for(&r, signals);
		pthread_join(thread, NULL);
		rc = r.rc;
		if (rc < 0)
			slu_fail(e, -rc, "%s", r.e.msg);
	}
	run_done(&r);
	return rc;
}

static bool may_come(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && slu_wall() / SLU_SEC - st.st_mtim.tv_sec < MAY_COME;
}

void slu_livy_look_done(struct slu_livy_look *k)
{
	slu_json_free(slu_take(k->asked));
}

/* What a note tells, unless this look has waited for that server. */
static int end_in_look(struct sluice *s, const struct json_t *note, struct slu_livy_look *k,
		       struct slu_err *e)
{
	const char *compute = slu_json_str(note, "compute");
	const struct json_t *before = compute ? slu_json_get(k->asked, compute) : NULL;
	int rc;

	if (!k->until)
		k->until = slu_deadline_in(FORGET_TIME);
	if (before && (slu_expired(k->until) || !slu_json_bool(k->asked, compute, true)))
		return slu_fail(e, EAGAIN, "compute '%s' is away, or slow", compute);
	rc = end_it(s, note, FORGET_TIME, e);
	if (!k->asked)
		k->asked = slu_json_object();
	if (compute && slu_json_set_bool(k->asked, compute, !slu_livy_passes(rc)) < 0)
		return slu_fail_oom(e);
	return rc;
}

int slu_livy_forget(struct sluice *s, const char *folder, struct slu_livy_look *k,
		    struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/" SLU_LIVY_BATCH, folder);
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	int rc;

	if (!path)
		return slu_fail_oom(e);
	if (access(path, F_OK) < 0)
		return 0;
	rc = slu_json_read_file(path, REQUEST_MAX, &o, e);
	if (rc == 0)
		rc = k ? end_in_look(s, o, k, e) : end_it(s, o, FORGET_TIME, e);
	if (rc == -ESRCH) {
		if (may_come(path))
			return slu_fail(
				e, EAGAIN,
				"'%s' was sent to compute '%s', which did not answer, and is "
				"not in its list yet",
				slu_json_str(o, "name"), slu_json_str(o, "compute"));
		rc = 0;
	}
	if (rc == 0)
		unlink(path);
	return rc;
}
