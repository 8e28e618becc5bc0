/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job: running job files and following runs.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TAIL_BYTES 4096
#define TAIL_LINES 10

/* --set inputs.NAME=VALUE and --name into the settings of sluice_job_create().  Exit status or 0. */
static int settings(struct cli *c, char **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_json_freep) struct json_t *inputs = slu_json_object();
	const char *pair;

	for (size_t i = 0; (pair = cli_nth(c, "set", i)); i++) {
		const char *rest = slu_after(pair, "inputs.");
		int r = rest ? cli_pair(inputs, rest) : -EINVAL;

		if (r == -EINVAL)
			return cli_usage(c, "--set wants inputs.NAME=VALUE, not '%s'", pair);
		if (r < 0)
			return sluice_exit_code(r);
	}
	if (slu_json_set(o, "inputs", slu_json_ref(inputs)) < 0 ||
	    slu_json_set_str(o, "name", cli_get(c, "name")) < 0)
		return sluice_exit_code(-ENOMEM);
	*ret = slu_json_text(o, SLU_JSON_COMPACT);
	return *ret ? 0 : sluice_exit_code(-ENOMEM);
}

/* The last lines of a log, so that a failure need not be looked up. */
static void show_tail(const char *path)
{
	char buf[TAIL_BYTES + 1], *p = buf;
	FILE *f = fopen(path, "re");
	size_t n = 0, lines = 0;

	if (f && (fseek(f, -TAIL_BYTES, SEEK_END) == 0 || fseek(f, 0, SEEK_SET) == 0))
		n = fread(buf, 1, TAIL_BYTES, f);
	if (f)
		fclose(f);
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	for (size_t i = n; i > 0 && lines < TAIL_LINES; i--)
		if (buf[i - 1] == '\n' && ++lines == TAIL_LINES)
			p = buf + i;
	for (char *line; n > 0 && (line = strsep(&p, "\n"));) {
		fputs("    | ", stdout);
		render_name(stdout, line);
		putchar('\n');
	}
	printf("    log: %s\n", path);
}

/* Where the output of a run that failed is, and its end. */
static void show_log(struct cli *c, const char *run)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;

	if (sluice_job_show(c->s, run, &text, NULL) < 0 ||
	    slu_json_parse(text, strlen(text), "the run", &j, NULL) < 0)
		return;
	const char *path = slu_json_str(slu_json_get(j, "logs"), "std_log");

	if (path)
		show_tail(path);
}

/* "12:00:01  prep   Running" a line; JSON lines as they come. */
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
	const char *time = slu_json_str(j, "time"), *step = slu_json_str(j, "step");
	const char *status = slu_json_str(j, "status"), *reason = slu_json_str(j, "reason");
	const char *run = slu_json_str(j, "run");

	printf("%.8s  %-12s %s", time && strlen(time) > 19 ? time + 11 : "",
	       step  ? step
	       : run ? run
		     : "",
	       status ? status : "");
	if (reason) {
		fputs(": ", stdout);
		render_name(stdout, reason);
	}
	putchar('\n');
	if (run && status && slu_streq(status, "Failed"))
		show_log(c, run);
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
	int r = sluice_job_watch(c->s, run, show_event, c, &e);

	return r < 0 ? cli_fail(c, r, &e) : 0;
}

/* What the job file asks for and has no effect here. */
static void show_notes(struct cli *c, const char *run)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;

	if (c->json || sluice_job_show(c->s, run, &text, NULL) < 0 ||
	    slu_json_parse(text, strlen(text), "the run", &j, NULL) < 0)
		return;
	const struct json_t *notes = slu_json_get(j, "notes");

	for (size_t i = 0; i < slu_json_count(notes); i++)
		fprintf(stderr, "note: %s\n", slu_json_string(slu_json_at(notes, i)));
}

int cmd_job_create(struct cli *c)
{
	SLU_AUTO(slu_freep) char *json = NULL, *run = NULL;
	const char *file = cli_get(c, "file");
	struct sluice_error e = {0};

	if (!file)
		return cli_usage(c, "--file is missing");
	int status = settings(c, &json);

	if (status == 0)
		status = cli_open(c, 0);
	if (status)
		return status;
	int r = sluice_job_create(c->s, file, json, &run, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	if (c->json)
		printf("{\"run\": \"%s\"}\n", run);
	else
		printf("run %s\n", run);
	fflush(stdout);
	show_notes(c, run);
	return cli_has(c, "stream") ? watch(c, run) : 0;
}

int cmd_job_list(struct cli *c)
{
	struct sluice_error e;
	char *text;
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_job_list(c->s, &text, &e);
	return r < 0 ? cli_fail(c, r, &e)
		     : render(c, text, "run,type,status,created:time,ended:time,display_name");
}

int cmd_job_show(struct cli *c)
{
	struct sluice_error e;
	char *text;
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_job_show(c->s, c->args[0], &text, &e);
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, NULL);
}

int cmd_job_stream(struct cli *c)
{
	int status = cli_open(c, 0);

	return status ? status : watch(c, c->args[0]);
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

int cmd_job_supervise(struct cli *c)
{
	struct sluice_error e = {0};
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_job_supervise(c->s, c->args[0], &e);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}
