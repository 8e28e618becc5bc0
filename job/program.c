/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program of a step: started, fed into the logs, measured, ended, judged and, when it failed and may be
 * tried again, started once more.  The thread waits in poll(2) for the program's output, its end, a wish
 * to cancel, its time limit and the next measurement.
 */
#include "job/program.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/tail.h"
#include "common/time.h"
#include "dataset/outcome.h"
#include "job/alive.h"
#include "job/guard.h"
#include "job/livy.h"
#include "job/tee.h"
#include "job/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long output of a program that has ended may still be read. */
#define DRAIN (2 * SLU_SEC)
/* Measurements: soon at first, so that short programs have one, then seldom. */
#define SAMPLE_FIRST (30 * SLU_MS)
#define SAMPLE_MOST (2 * SLU_SEC)
/* Bytes at the end of stderr in which a traceback is looked for. */
enum { STDERR_END = 64 << 10 };

struct program {
	struct slu_step *st;
	struct slu_guard guard;
	struct slu_tee tee;
	int64_t limit;              /* of the whole run; 0: none */
	int64_t force;              /* when SIGTERM was not enough; 0: not asked to end yet */
	int64_t drain;              /* when reading output ends; 0: the program goes on */
	int64_t begun, next, every; /* of measurements */
	struct slu_usage used;
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

	at = soonest(at, p->next);
	int64_t left;

	if (!at)
		return -1;
	left = at - slu_now();
	/* Past its grace the end is near: look again soon. */
	return left <= 0 ? 100 : left / SLU_MS > 3600000 ? 3600000 : (int)(left / SLU_MS) + 1;
}

static void measure(struct program *p)
{
	if (p->guard.report < 0 || p->guard.guard <= 0) {
		p->next = 0;
	} else if (slu_expired(p->next)) {
		slu_usage_sample(&p->used, p->guard.guard);
		p->every = p->every < SAMPLE_MOST ? p->every * 2 : SAMPLE_MOST;
		p->next = slu_deadline_in(p->every);
	}
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
		measure(p);
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

/* The exception of the last traceback in the text, cut off where its line ends; NULL: there is none. */
static const char *find_exception(char *text)
{
	static const char begins[] = "Traceback (most recent call last):\n";
	const char *from = NULL, *p = text;

	while ((p = strstr(p, begins))) {
		p += sizeof(begins) - 1;
		from = p;
	}
	while (from && (*from == ' ' || *from == '\t')) { /* frames are indented */
		from = strchr(from, '\n');
		from += from != NULL;
	}
	if (!from || !*from || *from == '\n')
		return NULL;
	text[(size_t)(from - text) + strcspn(from, "\r\n")] = '\0';
	return from;
}

/* The last line, when it says that what was to be run is not there; NULL: it says something else. */
static const char *find_missing(char *text, int code)
{
	const char *line = slu_last_line(text, strlen(text));

	return *line && (code == 126 || code == 127 || strstr(line, ": can't open file '")) ? line
											    : NULL;
}

/* A Python program says in the end of its stderr why it failed, and so does a shell that finds no program. */
static int fail_status(const struct slu_run *r, int code, struct slu_err *e)
{
	SLU_AUTO(slu_closep)
	int fd = openat(r->fd, SLU_RUN_STDERR, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	SLU_AUTO(slu_freep) char *text = slu_calloc(1, STDERR_END + 1);
	const off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	const off_t from = size > STDERR_END ? size - STDERR_END : 0;
	const char *why = NULL, *missing = NULL;

	if (text && size > 0 && pread(fd, text, STDERR_END, from) > 0)
		why = find_exception(text);
	if (text && !why)
		why = missing = find_missing(text, code);
	return slu_fail(e, ECHILD, "the step ended with exit status %d%s%.300s%s", code,
			why ? ": " : "", why ? why : "",
			missing ? ": it has to be in the step's code folder, or installed" : "");
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
	return *ret_code ? fail_status(p->st->run, *ret_code, e) : 0;
}

/* What was read and written: by the kernel's sum where it may be seen, else as it was seen last. */
static void add_up(struct program *p)
{
	const struct slu_usage *sum = &p->guard.used;
	struct slu_usage u = *sum;

	u.memory = p->used.memory;
	u.read = sum->read ? sum->read : p->used.read;
	u.written = sum->written ? sum->written : p->used.written;
	u.wall = slu_now() - p->begun;
	p->used = u;
}

/* One try.  used: what it used, added. */
static int run_once(struct slu_step *st, int *ret_code, bool *ret_timed_out, struct slu_usage *used,
		    struct slu_err *e)
{
	struct program p = {.st = st, .guard = {.report = -1}, .every = SAMPLE_FIRST};
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
	p.begun = slu_now();
	p.next = slu_deadline_in(p.every);
	r = slu_guard_start(&o, &p.guard, e);
	slu_tee_given(&p.tee);
	if (r == 0) {
		program_loop(&p);
		slu_guard_end(&p.guard);
		slu_tee_pump(&p.tee, 0);
		slu_tee_pump(&p.tee, 1);
		r = judge(&p, ret_code, e);
		add_up(&p);
		slu_usage_add(used, &p.used);
	}
	slu_tee_close(&p.tee);
	*ret_timed_out = p.timed_out;
	return r;
}

/* --- another try --- */

static int note_attempt(struct slu_step *st, struct json_t *attempts, int code, const char *began,
			const struct slu_err *why)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	char now[SLU_TIME_LEN];
	int r;

	slu_time_fmt(now, slu_wall());
	r = slu_json_set_str(o, "started", began);
	r |= slu_json_set_str(o, "ended", now);
	if (code >= 0)
		r |= slu_json_set_int(o, "exit_code", code);
	if (why->msg[0])
		r |= slu_json_set_str(o, "reason", why->msg);
	if (r || slu_json_append(attempts, slu_take(o)) < 0)
		return -ENOMEM;
	return slu_run_set(st->run, "attempts", slu_json_copy(attempts), true, NULL);
}

/* What a try that failed wrote must not be taken for what the next one writes. */
static int clear_output(struct slu_task *t, struct slu_output *o, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *folder = slu_asprintf("outputs/%s", o->name);
	int r;

	if (!folder)
		return slu_fail_oom(e);
	if (o->mode != SLU_MODE_UPLOAD || o->at)
		return slu_output_again(t->s, o, e);
	r = slu_path_rmtree_mine(t->run->fd, folder);
	if (r == 0 || r == -ENOENT)
		r = slu_path_mkdirs(t->run->fd, folder, 0700);
	return r < 0 ? slu_fail_sys(e, -r, "cannot empty output '%s' for another try", o->name) : 0;
}

static int clear_outputs(struct slu_task *t, struct slu_err *e)
{
	int r = 0;

	for (size_t i = 0; i < t->spec.nout && r == 0; i++)
		if (t->out[i])
			r = clear_output(t, t->out[i], e);
	return r;
}

static bool in_a_line(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char last = '\n';

	return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

static void tell_retry(const struct slu_step *st, unsigned next, const struct slu_err *why)
{
	int fd = openat(st->run->fd, SLU_RUN_STDLOG,
			O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0)
		dprintf(fd, "%ssluice: %s; try %u of %u begins\n", in_a_line(fd) ? "\n" : "",
			why->msg, next, st->task.spec.retries + 1);
	slu_closep(&fd);
	slu_log(SLU_LOG_INFO, "job", "run '%s': %s; try %u of %u begins", st->run->id, why->msg,
		next, st->task.spec.retries + 1);
}

/* Two tries at once would write the same outputs.  how: the last one failed. */
static int end_batch(const struct slu_step *st, const struct slu_err *how, struct slu_err *e)
{
	struct slu_err why = {0};

	if (slu_livy_forget(st->run->s, st->run->dir, NULL, &why) == 0)
		return 0;
	return slu_fail(e, how->code ? how->code : EIO,
			"%s; there is no other try, since its batch may still run: %s", how->msg,
			why.msg);
}

static bool wanted_no_more(const struct slu_step *st)
{
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;

	return atomic_load(&st->reason) ||
	       slu_outcome_get(st->run->s, st->run->id, &outcome, NULL) == 0;
}

static int try_all(struct slu_step *st, struct slu_usage *used, int *ret_code, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *attempts = slu_json_array();
	char began[SLU_TIME_LEN];
	int r;

	for (unsigned i = 1;; i++) {
		struct slu_err why = {0};
		bool timed_out = false;

		slu_time_fmt(began, slu_wall());
		*ret_code = -1;
		r = run_once(st, ret_code, &timed_out, used, &why);
		if (st->task.spec.retries && note_attempt(st, attempts, *ret_code, began, &why) < 0)
			return slu_fail_oom(e);
		/* Only what ran can fare better another time. */
		if (r == 0 || i > st->task.spec.retries || (*ret_code < 0 && !timed_out) ||
		    wanted_no_more(st))
			return r < 0 ? slu_fail(e, -r, "%s", why.msg) : 0;
		r = end_batch(st, &why, e);
		if (r == 0)
			r = clear_outputs(&st->task, e);
		if (r < 0)
			return r;
		tell_retry(st, i + 1, &why);
	}
}

int slu_program_run(struct slu_step *st, int *ret_code, struct slu_err *e)
{
	struct slu_usage used = {0};
	int r = try_all(st, &used, ret_code, e);

	/* Saved with the next state. */
	if (slu_run_set(st->run, "usage", slu_usage_json(&used), false, NULL) < 0)
		slu_warn("job", "run '%s': what it used is not noted", st->run->id);
	return r;
}
