/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job: running job files and following runs.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "inputs.NAME=VALUE" and "inputs.NAME.path=VALUE" into inputs, any other KEY=VALUE into set.  0, -EINVAL, -ENOMEM. */
static int take_set(struct json_t *inputs, struct json_t *set, const char *pair)
{
	static const char path[] = ".path";
	const char *rest = slu_after(pair, "inputs."), *eq = strchr(pair, '=');
	size_t n = rest && eq > rest ? (size_t)(eq - rest) : 0;
	SLU_AUTO(slu_freep) char *name = NULL;

	if (n > strlen(path) && strncmp(eq - strlen(path), path, strlen(path)) == 0)
		n -= strlen(path);
	if (!n || memchr(rest, '.', n))
		return cli_pair(set, pair);
	name = slu_strndup(rest, n);
	return name ? slu_json_set_str(inputs, name, eq + 1) : -ENOMEM;
}

/* --set KEY=VALUE and --name into the settings of sluice_job_create().  Exit status or 0. */
static int settings(struct cli *c, char **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_json_freep) struct json_t *inputs = slu_json_object();
	SLU_AUTO(slu_json_freep) struct json_t *set = slu_json_object();
	const char *pair;

	for (size_t i = 0; (pair = cli_nth(c, "set", i)); i++) {
		int r = take_set(inputs, set, pair);

		if (r == -EINVAL)
			return cli_usage(
				c, "--set wants KEY=VALUE, such as inputs.NAME=VALUE, not '%s'",
				pair);
		if (r < 0)
			return sluice_exit_code(r);
	}
	if (cli_has(c, "force-rerun") && slu_json_set_bool(o, "force_rerun", true) < 0)
		return sluice_exit_code(-ENOMEM);
	if (slu_json_set(o, "inputs", slu_json_ref(inputs)) < 0 ||
	    slu_json_set(o, "set", slu_json_ref(set)) < 0 ||
	    (cli_has(c, "strict") && slu_json_set_bool(o, "strict", true) < 0) ||
	    slu_json_set_str(o, "name", cli_get(c, "name")) < 0)
		return sluice_exit_code(-ENOMEM);
	*ret = slu_json_text(o, SLU_JSON_COMPACT);
	return *ret ? 0 : sluice_exit_code(-ENOMEM);
}

/* What a program printed, a line at a time, with the step before it. */
static void show_output(const char *step, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (step)
			printf("%s ", step);
		fputs("| ", stdout);
		for (size_t at = 0; at < n;) {
			size_t k = strcspn(text + at, "\t\n");
			SLU_AUTO(slu_freep) char *part = slu_strndup(text + at, k);

			render_name(stdout, part ? part : "");
			at += k;
			if (at < n && text[at++] == '\t')
				putchar('\t');
		}
		putchar('\n');
		text += n + (text[n] == '\n');
	}
	fflush(stdout);
}

/* Where the output of a run that failed is. */
static void show_log(struct cli *c, const char *run)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;

	if (sluice_job_show(c->s, run, &text, NULL) < 0 ||
	    slu_json_parse(text, strlen(text), "the run", &j, NULL) < 0)
		return;
	const char *path = slu_json_str(slu_json_get(j, "logs"), "std_log");

	if (path)
		printf("    log: %s\n", path);
}

/* Why a step runs, or what it takes. */
static void show_lines(const struct json_t *lines)
{
	for (size_t i = 0; i < slu_json_count(lines); i++) {
		fputs("    ", stdout);
		render_name(stdout, slu_json_string(slu_json_at(lines, i)));
		putchar('\n');
	}
}

static void show_explain(struct cli *c, const char *run)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;

	if (sluice_job_show(c->s, run, &text, NULL) == 0 &&
	    slu_json_parse(text, strlen(text), "the run", &j, NULL) == 0)
		show_lines(slu_json_get(j, "explain"));
}

static void explain_run(const struct json_t *run, const char *name)
{
	const char *from = slu_json_str(run, "reused_from"), *status = slu_json_str(run, "status");

	render_name(stdout, name ? name : "run");
	printf(" (%s): %s%s\n", slu_json_str(run, "run"), status ? status : "",
	       from ? ", reused" : "");
	show_lines(slu_json_get(run, "explain"));
}

/* The steps of a pipeline, or the one run. */
static int explain_steps(struct cli *c, const char *text)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;

	if (slu_json_parse(text, strlen(text), "the run", &j, NULL) < 0)
		return sluice_exit_code(-EBADMSG);
	const struct json_t *children = slu_json_get(j, "children");

	for (size_t i = 0; i < slu_json_count(children); i++) {
		const struct json_t *child = slu_json_at(children, i);

		explain_run(child, slu_json_str(child, "step"));
	}
	if (!children)
		explain_run(j, slu_json_str(j, "step"));
	if (!children && !slu_json_get(j, "explain"))
		puts("    only steps of pipelines are reused");
	return cli_end(c, 0);
}

/* text is taken. */
static int explain_all(struct cli *c, char *text)
{
	int r;

	if (c->json)
		return render(c, text, NULL);
	r = explain_steps(c, text);
	free(text);
	return r;
}

static void show_after(const char *what, const char *text)
{
	if (!text)
		return;
	fputs(what, stdout);
	render_name(stdout, text);
}

/* "12:00:01  prep   Running" */
static void show_state(const struct json_t *j)
{
	const char *time = slu_json_str(j, "time"), *step = slu_json_str(j, "step");
	const char *status = slu_json_str(j, "status"), *run = slu_json_str(j, "run");
	const char *name = step ? step : run;

	printf("%.8s  %-12s %s", time && strlen(time) > 19 ? time + 11 : "", name ? name : "",
	       status ? status : "");
	if (step || !status ||
	    !slu_streq(status, "Failed")) /* of the run itself the error says it */
		show_after(": ", slu_json_str(j, "reason"));
	show_after(": reused from ", slu_json_str(j, "reused_from"));
	putchar('\n');
}

/* What people want to know with a state. */
static void show_more(struct cli *c, const struct json_t *j)
{
	const char *status = slu_json_str(j, "status"), *run = slu_json_str(j, "run");
	bool reused = slu_json_get(j, "reused_from");

	if (!run || !status)
		return;
	if (slu_streq(status, "Failed"))
		show_log(c, run);
	if (slu_json_get(j, "step") && cli_has(c, "explain") &&
	    (reused || slu_streq(status, "Running")))
		show_explain(c, run);
}

/* A line an event; JSON lines as they come. */
static int show_event(void *user, const char *event)
{
	struct cli *c = user;
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;

	if (c->json) {
		puts(event);
		fflush(stdout);
		return 0;
	}
	if (slu_json_parse(event, strlen(event), "the event", &j, NULL) < 0)
		return -EBADMSG;
	const char *output = slu_json_str(j, "output");

	if (output) {
		show_output(slu_json_str(j, "step"), output);
	} else {
		show_state(j);
		show_more(c, j);
	}
	fflush(stdout);
	return 0;
}

/* Ctrl-C ends the watching, not the run: say so. */
static char goes_on[512];

static void on_interrupt(int sig)
{
	ssize_t n = write(STDERR_FILENO, goes_on, strlen(goes_on));

	_exit(n < 0 ? 1 : 128 + sig);
}

static int watch(struct cli *c, const char *run)
{
	struct sigaction sa = {.sa_handler = on_interrupt};
	struct sluice_error e = {0};

	snprintf(
		goes_on, sizeof goes_on,
		"\nsluice: run '%s' goes on: `sluice job stream %s` follows it, `sluice job cancel %s` "
		"ends it\n",
		run, run, run);
	sigaction(SIGINT, &sa, NULL);
	int r = sluice_job_stream(c->s, run, show_event, c, &e);

	return r < 0 ? cli_fail(c, r, &e) : 0;
}

/* What the job file asks for and has no effect here. */
static void tell_notes(const struct json_t *j)
{
	const struct json_t *notes = slu_json_get(j, "notes");

	for (size_t i = 0; i < slu_json_count(notes); i++)
		fprintf(stderr, "note: %s\n", slu_json_string(slu_json_at(notes, i)));
}

static void show_notes(struct cli *c, const char *run)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;

	if (!c->json && sluice_job_show(c->s, run, &text, NULL) == 0 &&
	    slu_json_parse(text, strlen(text), "the run", &j, NULL) == 0)
		tell_notes(j);
}

/* FILE or --file FILE; NULL: none of them, or both. */
static const char *job_file(const struct cli *c)
{
	const char *given = cli_get(c, "file");

	if (given)
		return c->nargs ? NULL : given;
	return c->nargs ? c->args[0] : NULL;
}

int cmd_job_validate(struct cli *c)
{
	SLU_AUTO(slu_freep) char *json = NULL, *text = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	const char *file = job_file(c);
	struct sluice_error e = {0};

	if (!file)
		return cli_usage(c, "job validate wants one file: FILE, or --file FILE");
	int status = settings(c, &json);

	if (status == 0)
		status = cli_open(c, 0);
	if (status)
		return status;
	int r = sluice_job_validate(c->s, file, json, &text, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	if (c->json) {
		printf("%s\n", text);
		return 0;
	}
	if (slu_json_parse(text, strlen(text), "the answer", &j, NULL) < 0)
		return sluice_exit_code(-ENOMEM);
	tell_notes(j);
	size_t n = slu_json_count(slu_json_get(j, "steps"));
	printf("%s: a %s job of %zu step%s, right\n", file, slu_json_str(j, "type"), n,
	       n == 1 ? "" : "s");
	return 0;
}

/* A run that was just made: its id, and what comes of it when it is to be followed. */
static int made(struct cli *c, const char *run)
{
	if (c->json)
		printf("{\"run\": \"%s\"}\n", run);
	else
		printf("run %s\n", run);
	fflush(stdout);
	show_notes(c, run);
	return cli_has(c, "stream") || cli_has(c, "explain") ? watch(c, run) : 0;
}

int cmd_job_create(struct cli *c)
{
	SLU_AUTO(slu_freep) char *json = NULL, *run = NULL;
	const char *file = job_file(c);
	struct sluice_error e = {0};

	if (!file)
		return cli_usage(c, "job create wants one file: FILE, or --file FILE");
	int status = settings(c, &json);

	if (status == 0)
		status = cli_open(c, 0);
	if (status)
		return status;
	int r = sluice_job_create(c->s, file, json, &run, &e);

	return r < 0 ? cli_fail(c, r, &e) : made(c, run);
}

/* --step and --name into the settings of sluice_job_rerun(); NULL: no memory. */
static char *rerun_settings(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_json_freep) struct json_t *steps = slu_json_array();
	const char *step;

	for (size_t i = 0; (step = cli_nth(c, "step", i)); i++)
		if (slu_json_append(steps, slu_json_new_str(step)) < 0)
			return NULL;
	if (slu_json_set(o, "steps", slu_json_ref(steps)) < 0 ||
	    slu_json_set_str(o, "name", cli_get(c, "name")) < 0)
		return NULL;
	return slu_json_text(o, SLU_JSON_COMPACT);
}

int cmd_job_rerun(struct cli *c)
{
	SLU_AUTO(slu_freep) char *json = rerun_settings(c), *run = NULL;
	struct sluice_error e = {0};
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = json ? sluice_job_rerun(c->s, c->args[0], json, &run, &e) : -ENOMEM;

	return r < 0 ? cli_fail(c, r, &e) : made(c, run);
}

int cmd_job_show(struct cli *c)
{
	struct sluice_error e;
	char *text;
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_job_show(c->s, c->args[0], &text, &e);
	if (r == 0 && cli_has(c, "explain"))
		return explain_all(c, text);
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, NULL);
}

int cmd_job_stream(struct cli *c)
{
	int status = cli_open(c, 0);

	return status ? status : watch(c, c->args[0]);
}

/* Whole or not at all: a browser may be showing what was there. */
static int write_page(struct cli *c, const char *path, const char *html)
{
	SLU_AUTO(slu_freep) char *dir = slu_strdup(path);
	struct sluice_error e = {.code = ENOMEM, .message = "out of memory"};
	SLU_AUTO(slu_closep) int fd = -1;
	char *slash = dir ? strrchr(dir, '/') : NULL;
	int r = dir ? 0 : -ENOMEM;

	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	if (r == 0)
		fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0)
		r = fd < 0 ? -errno
			   : slu_path_write_atomic(fd, slu_path_base(path), html, strlen(html));
	if (r < 0 && r != -ENOMEM) {
		e.code = -r;
		snprintf(e.message, sizeof e.message, "cannot write '%s': %s", path, strerror(-r));
	}
	if (r < 0)
		return cli_fail(c, r, &e);
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL;
	if (slu_json_set_str(o, "file", path) == 0)
		text = slu_json_text(o, SLU_JSON_COMPACT);
	if (!text)
		return sluice_exit_code(-ENOMEM);
	if (c->json)
		puts(text);
	else
		printf("%s\n", path);
	return 0;
}

int cmd_job_report(struct cli *c)
{
	SLU_AUTO(slu_freep) char *html = NULL, *made = NULL;
	const char *file = cli_get(c, "file");
	struct sluice_error e = {0};
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_job_report(c->s, c->args[0], &html, &e);
	if (r < 0)
		return cli_fail(c, r, &e);
	if (file && slu_streq(file, "-")) {
		fputs(html, stdout);
		return 0;
	}
	made = file ? slu_strdup(file) : slu_asprintf("%s.html", c->args[0]);
	return made ? write_page(c, made, html) : sluice_exit_code(-ENOMEM);
}

int cmd_job_cancel(struct cli *c)
{
	struct sluice_error e = {0};
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_job_cancel(c->s, c->args[0], &e);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}

static void show_line(void *user, int stream, const char *line)
{
	FILE *f = stream ? stderr : stdout;

	(void)user;
	fprintf(f, "%s\n", line);
	fflush(f);
}

int cmd_job_batch(struct cli *c)
{
	struct sluice_error e = {0};
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_job_batch(c->s, c->args[0], show_line, NULL, &e);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}

int cmd_job_supervise(struct cli *c)
{
	struct sluice_error e = {0};
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_job_supervise(c->s, c->args[0], &e);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}
