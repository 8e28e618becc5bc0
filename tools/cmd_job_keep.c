/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job: lists, and what is done with runs that are over.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS "run,type,status,created:time,ended:time,display_name"

/* The query of sluice_job_search(): caller frees.  archived: when no option says. */
static char *query(struct cli *c, const char *archived, int64_t limit)
{
	static const struct {
		const char *option, *key;
	} texts[] = {{"status", "status"},
		     {"parent", "parent"},
		     {"experiment", "experiment"},
		     {"older-than", "older_than"}};
	SLU_AUTO(slu_json_freep) struct json_t *q = slu_json_object();

	if (cli_has(c, "archived-only") || cli_has(c, "archived"))
		archived = "only";
	else if (cli_has(c, "include-archived"))
		archived = "yes";
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (slu_json_set_str(q, texts[i].key, cli_get(c, texts[i].option)) < 0)
			return NULL;
	if (slu_json_set_str(q, "archived", archived) < 0 ||
	    (limit && slu_json_set_int(q, "limit", limit) < 0))
		return NULL;
	return slu_json_text(q, SLU_JSON_COMPACT);
}

int cmd_job_list(struct cli *c)
{
	SLU_AUTO(slu_freep) char *q = NULL;
	struct sluice_error e = {0};
	int64_t limit = 0;
	char *text;

	if (!cli_int(c, "limit", 1, INT32_MAX, &limit))
		return CLI_USAGE;
	int status = cli_open(c, 0);

	if (status)
		return status;
	q = query(c, "no", limit);
	int r = q ? sluice_job_search(c->s, q, &text, &e) : -ENOMEM;

	if (r < 0)
		return cli_fail(c, r, &e);
	return render(c, text, cli_has(c, "parent") ? "step," COLUMNS : COLUMNS);
}

/* --- one run, or all that are old --- */

typedef int act_fn(struct sluice *s, const char *run, struct sluice_error *e);

/* Does it with each; what cannot be done with one keeps no other.  Exit status. */
static int act_on_all(struct cli *c, const struct json_t *runs, act_fn *act)
{
	SLU_AUTO(slu_json_freep) struct json_t *done = slu_json_array();
	bool dry = cli_has(c, "dry-run");
	int status = 0;

	for (size_t i = 0; i < slu_json_count(runs); i++) {
		struct json_t *run = slu_json_at(runs, i);
		const char *id = slu_json_str(run, "run");
		struct sluice_error e = {0};
		int r = dry || !id ? 0 : act(c->s, id, &e);

		if (r < 0)
			status = cli_fail(c, r, &e);
		else if (slu_json_append(done, slu_json_ref(run)) < 0)
			return sluice_exit_code(-ENOMEM);
	}
	char *text = slu_json_text(done, SLU_JSON_PRETTY);
	int rc = text ? render(c, text, COLUMNS) : sluice_exit_code(-ENOMEM);

	return status ? status : rc;
}

static int act_on_old(struct cli *c, const char *archived, act_fn *act)
{
	SLU_AUTO(slu_json_freep) struct json_t *runs = NULL;
	SLU_AUTO(slu_freep) char *q = query(c, archived, 0), *text = NULL;
	struct sluice_error e = {0};
	int r = q ? sluice_job_search(c->s, q, &text, &e) : -ENOMEM;

	if (r < 0)
		return cli_fail(c, r, &e);
	if (slu_json_parse(text, strlen(text), "the runs", &runs, NULL) < 0)
		return sluice_exit_code(-EBADMSG);
	return act_on_all(c, runs, act);
}

static int act_on(struct cli *c, const char *archived, act_fn *act)
{
	bool old = cli_has(c, "older-than");
	struct sluice_error e = {0};
	int r = 0;

	if (old == (c->nargs > 0))
		return cli_usage(c, "give runs, or --older-than TIME");
	if (!old && (cli_has(c, "status") || cli_has(c, "dry-run")))
		return cli_usage(c, "--status and --dry-run go with --older-than");
	int status = cli_open(c, 0);

	if (status)
		return status;
	if (old)
		return act_on_old(c, archived, act);
	for (int i = 0; i < c->nargs; i++) {
		r = act(c->s, c->args[i], &e);
		if (r < 0)
			status = cli_fail(c, r, &e);
	}
	return status;
}

int cmd_job_archive(struct cli *c)
{
	return act_on(c, "no", sluice_job_archive);
}

int cmd_job_delete(struct cli *c)
{
	return act_on(c, "yes", sluice_job_delete);
}

int cmd_job_restore(struct cli *c)
{
	struct sluice_error e = {0};
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_job_restore(c->s, c->args[0], &e);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}

/* --- fetching --- */

int cmd_job_download(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *set = slu_json_object();
	SLU_AUTO(slu_freep) char *settings = NULL, *made = NULL;
	const char *output = cli_get(c, "output-name");
	const char *dir = c->nargs > 1 ? c->args[1] : NULL;
	struct sluice_error e = {0};
	char *text;

	if (output && cli_has(c, "all"))
		return cli_usage(c, "--output-name is one output, --all is everything");
	int status = cli_open(c, 0);

	if (status)
		return status;
	if (slu_json_set_str(set, "output", output) < 0 ||
	    slu_json_set_bool(set, "all", cli_has(c, "all")) < 0 ||
	    !(settings = slu_json_text(set, SLU_JSON_COMPACT)) ||
	    (!dir && !(made = slu_asprintf("./%s", c->args[0]))))
		return sluice_exit_code(-ENOMEM);
	int r = sluice_job_download(c->s, c->args[0], dir ? dir : made, settings, &text, &e);
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, NULL);
}
