/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step as a statement in a session: a session of the same kind that is free is taken, else one is made; the entry
 * file is sent with its arguments and variables, and what it printed comes with its end.  SIGTERM ends the statement,
 * never the session.  livy-batch.json names the statement while it runs, as it does for a batch.
 */
#include "job/session.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_MS = 100, MOST_MS = 3000, CANCEL_TRIES = 20, CODE_MAX = 16 << 20 };

#define LOST (300 * SLU_SEC) /* without an answer: given up */
#define KILLED_BY_TERM (128 + SIGTERM)
#define MARK "sluice-step: "

/* What is sent before the step itself.  Each step has names of its own, and the session's variables, arguments and
 * streams back afterwards; its last output is one line of JSON. */
static const char wrapper[] =
	"def _sluice_step(o):\n"
	"    import base64, builtins, contextlib, io, json, linecache, os, sys, traceback\n"
	"    out, err, status, most = io.StringIO(), io.StringIO(), 0, 1 << 20\n"
	"    old, argv, name = dict(os.environ), sys.argv, o['file']\n"
	"    code = base64.b64decode(o['code'])\n"
	"    text = code.decode('utf-8', 'replace')\n"
	"    linecache.cache[name] = (len(text), None, text.splitlines(True), name)\n"
	"    mine = {'__name__': '__main__', '__file__': name, '__builtins__': builtins}\n"
	"    for k in ('spark', 'sc', 'sqlContext'):\n"
	"        if k in globals():\n"
	"            mine[k] = globals()[k]\n"
	"    try:\n"
	"        os.environ.update(o['env'])\n"
	"        sys.argv = [name, *o['args']]\n"
	"        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):\n"
	"            try:\n"
	"                exec(compile(code, name, 'exec'), mine)\n"
	"            except SystemExit as e:\n"
	"                status = 0 if e.code is None else e.code if isinstance(e.code, int) else 1\n"
	"                if e.code is not None and not isinstance(e.code, int):\n"
	"                    print(e.code, file=sys.stderr)\n"
	"            except BaseException as e:\n"
	"                status = 1\n"
	"                at = e.__traceback__\n"
	"                traceback.print_exception(type(e), e, at.tb_next or at)\n"
	"    finally:\n"
	"        os.environ.clear()\n"
	"        os.environ.update(old)\n"
	"        sys.argv = argv\n"
	"    cut = lambda s: s.getvalue()[-most:].encode('utf-8', 'replace').decode()\n"
	"    over = 'sc' in mine and getattr(mine['sc'], '_jsc', 0) is None\n"
	"    print('\\n" MARK
	"' + json.dumps({'out': cut(out), 'err': cut(err), 'status': status, 'over': over}))\n";

struct work {
	const struct slu_session_step *st;
	struct slu_session v;
	int dir; /* the run's folder */
	const char *run;
	int64_t statement; /* -1: none yet */
};

/* --- telling --- */

__attribute__((format(printf, 2, 3))) static void say(struct work *w, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	w->st->fn(w->st->user, 1, text);
}

static void tell_text(struct work *w, int stream, const char *text)
{
	while (text && *text) {
		size_t n = strcspn(text, "\n");
		SLU_AUTO(slu_freep) char *line = slu_strndup(text, n);

		if (line)
			w->st->fn(w->st->user, stream, line);
		text += n + (text[n] == '\n');
	}
}

static void tell_list(struct work *w, const struct json_t *lines)
{
	for (size_t i = 0; i < slu_json_count(lines); i++)
		tell_text(w, 1, slu_json_string(slu_json_at(lines, i)));
}

/* --- the note for whoever finds this program dead --- */

static int put_note(struct work *w, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL;
	int r;

	if (slu_json_set_str(o, "compute", w->st->compute) < 0 ||
	    slu_json_set_int(o, "session", slu_session_id(&w->v)) < 0 ||
	    slu_json_set_str(o, "name", w->v.name) < 0 ||
	    slu_json_set_int(o, "id", w->statement) < 0 ||
	    !(text = slu_json_text(o, SLU_JSON_COMPACT)))
		return slu_fail_oom(e);
	r = slu_path_write_atomic(w->dir, SLU_LIVY_BATCH, text, strlen(text));
	return r < 0 ? slu_fail_sys(e, -r, "cannot write '" SLU_LIVY_BATCH "'") : 0;
}

int slu_livy_cancel_statement(struct slu_livy *l, int64_t session, const char *name, int64_t id,
			      struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	char path[96];
	int r, n = snprintf(path, sizeof(path), "/sessions/%" PRId64, session);

	r = slu_livy_call(l, "GET", path, NULL, &o, e);
	if (r == 0 && slu_livy_is_other(o, name))
		return 0;
	snprintf(path + n, sizeof(path) - (size_t)n, "/statements/%" PRId64 "/cancel", id);
	if (r == 0)
		r = slu_livy_call(l, "POST", path, NULL, NULL, e);
	return r == -ENOENT ? 0 : r;
}

/* --- waiting --- */

static int ask(struct work *w, bool statement, struct json_t **ret, struct slu_err *e)
{
	char path[96];
	int n = snprintf(path, sizeof(path), "/sessions/%" PRId64, slu_session_id(&w->v));

	if (statement)
		snprintf(path + n, sizeof(path) - (size_t)n, "/statements/%" PRId64, w->statement);
	return slu_livy_call(w->st->livy, "GET", path, NULL, ret, e);
}

static bool is_done(const struct json_t *statement)
{
	const char *state = slu_json_str(statement, "state");

	return state && (slu_streq(state, "available") || slu_streq(state, "error") ||
			 slu_streq(state, "cancelled"));
}

/* SIGTERM came: the statement is ended and, if it goes at once, the session is free for the next. */
static void cancel(struct work *w)
{
	struct slu_err why = {0};
	bool done = false;

	if (w->statement >= 0 && slu_livy_cancel_statement(w->st->livy, slu_session_id(&w->v),
							   w->v.name, w->statement, &why) < 0)
		say(w, "livy: statement %" PRId64 " could not be canceled: %s", w->statement,
		    why.msg);
	for (int i = 0; i < CANCEL_TRIES && w->statement >= 0 && !done; i++) {
		SLU_AUTO(slu_json_freep) struct json_t *o = NULL;

		if (ask(w, true, &o, NULL) < 0)
			break;
		done = is_done(o);
		if (!done)
			poll(NULL, 0, FIRST_MS);
	}
	unlinkat(w->dir, SLU_LIVY_BATCH, 0);
	slu_session_save(&w->v, true, NULL);
	_exit(KILLED_BY_TERM);
}

/* Waits a while; longer the longer it has been quiet.  Ends here when the step is canceled. */
static void rest(struct work *w, int64_t since)
{
	struct pollfd f = {.fd = w->st->signals, .events = POLLIN};
	int64_t quiet = (slu_now() - since) / SLU_MS / 8;

	if (poll(&f, 1, quiet < FIRST_MS ? FIRST_MS : quiet > MOST_MS ? MOST_MS : (int)quiet) > 0)
		cancel(w);
}

/* state NULL: the server has it no more. */
static int died(struct work *w, const char *state, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	char path[80];

	snprintf(path, sizeof(path), "/sessions/%" PRId64 "/log?from=0&size=200",
		 slu_session_id(&w->v));
	if (state && slu_livy_has_log(w->st->livy) &&
	    slu_livy_call(w->st->livy, "GET", path, NULL, &o, NULL) == 0)
		tell_list(w, slu_json_get(o, "log"));
	slu_fail(e, ECHILD, "session %" PRId64 " of compute '%s' ended as '%s'",
		 slu_session_id(&w->v), w->st->compute, state ? state : "gone");
	slu_session_drop(&w->v, NULL);
	return -ECHILD;
}

/* Worth asking again, or for too long by now? */
static bool lost(int r, int64_t heard)
{
	return r == -EACCES || r == -EINVAL || slu_now() - heard > LOST;
}

/* Is the session alive?  1: and idle. */
static int check_session(struct work *w, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const char *state;
	int r = ask(w, false, &o, e);

	if (r == -ENOENT || (r == 0 && slu_livy_is_other(o, w->v.name)))
		return died(w, NULL, e);
	if (r < 0)
		return r;
	switch (slu_livy_judge(o, &state)) {
	case SLU_LIVY_WAITS:
		return 0;
	case SLU_LIVY_RUNS:
		return slu_streq(state, "idle");
	default:
		return died(w, state, e);
	}
}

static int wait_idle(struct work *w, struct slu_err *e)
{
	const int64_t begun = slu_now();
	int64_t heard = begun;
	int r;

	while ((r = check_session(w, e)) != 1) {
		if (r == 0)
			heard = slu_now();
		else if (r == -ECHILD || lost(r, heard))
			return r;
		rest(w, begun);
	}
	return 0;
}

/* --- a session --- */

/* Livy before 0.8 refuses a field that it does not know. */
static bool knows_ttl(struct slu_livy *l)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const char *v;
	uint64_t minor;

	if (slu_livy_call(l, "GET", "/version", NULL, &o, NULL) < 0 ||
	    !(v = slu_json_str(o, "version")))
		return false;
	SLU_AUTO(slu_freep)
	char *n = slu_starts(v, "0.") ? slu_strndup(v + 2, strcspn(v + 2, ".-")) : NULL;
	return !slu_starts(v, "0.") || (n && slu_u64(n, &minor) && minor >= 8);
}

static int fill_body(struct work *w, struct json_t *body)
{
	const int64_t life =
		slu_json_int(w->v.doc, "timeout", 0) + slu_json_int(w->v.doc, "grace", 0);
	char ttl[32];

	if (slu_json_set_str(body, "kind", "pyspark") < 0 ||
	    slu_json_set_str(body, "name", w->v.name) < 0)
		return -ENOMEM;
	/* Synapse, which has no log, has no heartbeat either. */
	if (!slu_livy_has_log(w->st->livy))
		return 0;
	if (slu_json_set_int(body, "heartbeatTimeoutInSecond", life) < 0)
		return -ENOMEM;
	snprintf(ttl, sizeof(ttl), "%" PRId64 "s", life);
	return knows_ttl(w->st->livy) ? slu_json_set_str(body, "ttl", ttl) : 0;
}

/* An answer that is lost is no second session: it has our name. */
static int ask_for_session(struct work *w, const struct json_t *body, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	struct slu_err why = {0};
	int r = slu_livy_call(w->st->livy, "POST", "/sessions", body, &o, &why);

	if (r == 0 && slu_json_set_int(w->v.doc, "id", slu_json_int(o, "id", -1)) < 0)
		return slu_fail_oom(e);
	if ((r == -ECONNRESET || r == -ETIMEDOUT || r == -EAGAIN) &&
	    slu_session_recover(&w->v, NULL) == 0)
		r = 0;
	if (r < 0) {
		slu_session_drop(&w->v, NULL); /* the record, when it was not made */
		return slu_fail(e, -r, "%s", why.msg);
	}
	if (slu_session_id(&w->v) < 0)
		return slu_fail(e, EPROTO, "compute '%s': '%s' answered without a session's id",
				w->st->compute, slu_livy_url(w->st->livy));
	return slu_session_save(&w->v, true, e);
}

static int make_session(struct work *w, struct slu_err *e)
{
	const struct json_t *q = w->st->session;
	SLU_AUTO(slu_json_freep) struct json_t *body = slu_json_copy(slu_json_get(q, "body"));
	const int64_t begun = slu_now();
	char text[32];
	int r = slu_session_add(w->st->s, w->st->livy, w->st->compute, slu_json_str(q, "key"),
				slu_json_int(q, "timeout", 0), slu_json_int(q, "grace", 0), &w->v,
				e);

	if (r < 0)
		return r;
	if (!body || fill_body(w, body) < 0 || slu_json_set_str(w->v.doc, "run", w->run) < 0)
		return slu_fail_oom(e);
	if ((r = ask_for_session(w, body, e)) < 0)
		return r;
	say(w, "livy: session %" PRId64 " '%s' at %s is made", slu_session_id(&w->v), w->v.name,
	    slu_livy_url(w->st->livy));
	if ((r = wait_idle(w, e)) < 0)
		return r;
	snprintf(text, sizeof(text), "%.1f s", (double)(slu_now() - begun) / SLU_SEC);
	say(w, "livy: cold start %s (session %" PRId64 ")", text, slu_session_id(&w->v));
	return slu_json_set_str(w->v.doc, "cold_start", text) < 0 ? slu_fail_oom(e) : 0;
}

static int get_session(struct work *w, struct slu_err *e)
{
	const int64_t begun = slu_now();
	const char *key = slu_json_str(w->st->session, "key");
	int r = slu_session_find(w->st->s, w->st->livy, w->st->compute, key, &w->v, e);
	int64_t idle;
	char path[80];

	if (r <= 0)
		return r < 0 ? r : make_session(w, e);
	idle = slu_wall() / SLU_SEC - slu_json_int(w->v.doc, "used", 0);
	if (slu_json_set_str(w->v.doc, "run", w->run) < 0)
		return slu_fail_oom(e);
	if ((r = slu_session_save(&w->v, true, e)) < 0)
		return r;
	if (!slu_livy_has_log(w->st->livy)) { /* Synapse counts by itself */
		snprintf(path, sizeof(path), "/sessions/%" PRId64 "/reset-timeout",
			 slu_session_id(&w->v));
		slu_livy_call(w->st->livy, "PUT", path, NULL, NULL, NULL);
	}
	if ((r = wait_idle(w, e)) < 0)
		return r;
	say(w, "livy: warm start %.1f s (session %" PRId64 ", idle for %" PRId64 " s)",
	    (double)(slu_now() - begun) / SLU_SEC, slu_session_id(&w->v), idle < 0 ? 0 : idle);
	return 0;
}

/* --- a statement --- */

/* The step as one value of Python: JSON in base64, so that nothing needs quoting. */
static int write_code(struct work *w, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(2 * CODE_MAX);
	const struct json_t *o = slu_json_get(w->st->session, "step");
	SLU_AUTO(slu_freep) char *text = slu_json_text(o, SLU_JSON_COMPACT);
	SLU_AUTO(slu_freep) char *code = text ? slu_base64(text, strlen(text)) : NULL;

	if (!code)
		return slu_fail_oom(e);
	slu_buf_fmt(&b, "# run %s\n%s", w->run, wrapper);
	slu_buf_str(&b, "import base64, json\n_sluice_step(json.loads(base64.b64decode('");
	slu_buf_str(&b, code);
	slu_buf_str(&b, "')))\n");
	*ret = slu_buf_take(&b);
	return *ret ? 0 : slu_fail(e, EFBIG, "the entry file is too large to be sent");
}

/* The statement whose answer was lost. */
static int find_statement(struct work *w, const char *code, struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const struct json_t *list;
	char path[80];

	snprintf(path, sizeof(path), "/sessions/%" PRId64 "/statements", slu_session_id(&w->v));
	if (slu_livy_call(w->st->livy, "GET", path, NULL, &o, NULL) < 0)
		return -EIO;
	list = slu_json_get(o, "statements");
	for (size_t i = slu_json_count(list); i-- > 0;) {
		const char *other = slu_json_str(slu_json_at(list, i), "code");

		if (other && slu_streq(other, code)) {
			*ret = slu_json_ref(slu_json_at(list, i));
			return 0;
		}
	}
	return -ENOENT;
}

static int send_statement(struct work *w, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *body = slu_json_object(), *o = NULL;
	SLU_AUTO(slu_freep) char *code = NULL;
	struct slu_err why = {0};
	char path[80];
	int r = write_code(w, &code, e);

	if (r < 0)
		return r;
	if (slu_json_set_str(body, "code", code) < 0 ||
	    slu_json_set_str(body, "kind", "pyspark") < 0)
		return slu_fail_oom(e);
	snprintf(path, sizeof(path), "/sessions/%" PRId64 "/statements", slu_session_id(&w->v));
	r = slu_livy_call(w->st->livy, "POST", path, body, &o, &why);
	if ((r == -ECONNRESET || r == -ETIMEDOUT || r == -EAGAIN) &&
	    find_statement(w, code, &o) == 0)
		r = 0;
	if (r < 0)
		return slu_fail(e, -r, "%s", why.msg);
	w->statement = slu_json_int(o, "id", -1);
	if (w->statement < 0)
		return slu_fail(e, EPROTO, "compute '%s': '%s' answered without a statement's id",
				w->st->compute, slu_livy_url(w->st->livy));
	return put_note(w, e);
}

/* What the step printed, and how it ended. */
static int read_result(struct work *w, const char *text, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const char *mark = NULL;
	size_t n = strlen(MARK);

	for (const char *p = text; (p = strstr(p, MARK)); p += n)
		mark = p + n;
	if (!mark || slu_json_parse(mark, strcspn(mark, "\n"), "the step's result", &o, NULL) < 0) {
		tell_text(w, 0, text);
		return slu_fail(e, EPROTO, "the statement ended without a result of the step");
	}
	tell_text(w, 0, slu_json_str(o, "out"));
	tell_text(w, 1, slu_json_str(o, "err"));
	if (slu_json_bool(o, "over", false)) {
		say(w, "livy: the step stopped Spark: session %" PRId64 " ends",
		    slu_session_id(&w->v));
		slu_session_drop(&w->v, NULL);
	}
	if (slu_json_int(o, "status", 1) == 0)
		return 0;
	return slu_fail(e, ECHILD,
			"statement %" PRId64 " in session %" PRId64
			" of compute '%s' ended with exit status %" PRId64,
			w->statement, slu_session_id(&w->v), w->st->compute,
			slu_json_int(o, "status", 1));
}

static int judge(struct work *w, const struct json_t *o, struct slu_err *e)
{
	const struct json_t *out = slu_json_get(o, "output");
	const char *status = slu_json_str(out, "status"), *name = slu_json_str(out, "ename");
	const char *value = slu_json_str(out, "evalue");

	if (status && slu_streq(status, "ok")) {
		const char *text = slu_json_str(slu_json_get(out, "data"), "text/plain");

		return read_result(w, text ? text : "", e);
	}
	tell_list(w, slu_json_get(out, "traceback"));
	return slu_fail(e, ECHILD,
			"statement %" PRId64 " in session %" PRId64
			" of compute '%s' ended as '%s'%s%s%s%.200s",
			w->statement, slu_session_id(&w->v), w->st->compute,
			slu_json_str(o, "state"), name ? ": " : "", name ? name : "",
			value ? ": " : "", value ? value : "");
}

/* After the server was started anew the number is another statement's: a step's begins with its run. */
static bool is_mine(const struct work *w, const struct json_t *o)
{
	const char *code = slu_json_str(o, "code"), *run;

	return !code || ((run = slu_after(code, "# run ")) && slu_starts(run, w->run) &&
			 run[strlen(w->run)] == '\n');
}

static int follow(struct work *w, struct slu_err *e)
{
	const int64_t begun = slu_now();
	int64_t heard = begun;

	for (;;) {
		SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
		int r = ask(w, true, &o, e);

		if (r == 0 && !is_mine(w, o))
			return died(w, NULL, e);
		if (r == 0 && is_done(o))
			return judge(w, o, e);
		if (r == 0 || r == -ENOENT)
			r = check_session(w, e);
		if (r >= 0)
			heard = slu_now();
		else if (r == -ECHILD || lost(r, heard))
			return r;
		rest(w, begun);
	}
}

static int work(struct work *w, struct slu_err *e)
{
	int r = get_session(w, e);

	if (r == 0)
		r = send_statement(w, e);
	if (r == 0)
		r = follow(w, e);
	unlinkat(w->dir, SLU_LIVY_BATCH, 0);
	return r;
}

int slu_session_run(const struct slu_session_step *st, struct slu_err *e)
{
	struct work w = {.st = st,
			 .v = {.dir = -1, .lock = -1},
			 .dir = open(st->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
			 .run = slu_path_base(st->folder),
			 .statement = -1};
	int r = w.dir < 0 ? slu_fail_sys(e, errno, "cannot open '%s'", st->folder) : work(&w, e);

	/* Also after a failure: the session is there for the next. */
	if (w.v.doc && slu_session_id(&w.v) >= 0 && slu_session_alive(&w.v)) {
		slu_json_set_int(w.v.doc, "steps", slu_json_int(w.v.doc, "steps", 0) + 1);
		if (slu_session_save(&w.v, true, NULL) < 0)
			say(&w, "livy: the record of session '%s' is not up to date", w.v.name);
	}
	slu_session_done(&w.v);
	slu_closep(&w.dir);
	return r;
}
