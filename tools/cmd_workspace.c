/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init, workspace, doctor: what a workspace is and can do.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

int cmd_init(struct cli *c)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	struct sluice_error e;
	int r = sluice_init(c->nargs ? c->args[0] : ".", cli_get(c, "name"), &path, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	if (c->json) {
		SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

		if (!o || slu_json_set_str(o, "config", path) < 0)
			return sluice_exit_code(-ENOMEM);
		SLU_AUTO(slu_freep) char *text = slu_json_text(o, SLU_JSON_PRETTY);

		puts(text ? text : "");
		return 0;
	}
	printf("workspace made: %s\n", path);
	return 0;
}

int cmd_workspace_show(struct cli *c)
{
	struct sluice_error e;
	char *text;
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_workspace(c->s, &text, &e);
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, NULL);
}

/* What is only noted is not wrong. */
static bool found_wrong(const char *text)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = NULL;

	if (slu_json_parse(text, strlen(text), "the findings", &list, NULL) < 0)
		return true;
	for (size_t i = 0; i < slu_json_count(list); i++) {
		const char *level = slu_json_str(slu_json_at(list, i), "level");

		if (level && slu_streq(level, "wrong"))
			return true;
	}
	return false;
}

int cmd_doctor(struct cli *c)
{
	struct sluice_error e;
	char *text;
	int r = sluice_open(cli_get(c, "workspace"), SLUICE_OPTIONAL, &c->s, &e);

	/* A broken config.json must not keep the doctor away: the other checks still run. */
	if (r < 0) {
		fprintf(stderr, "sluice: %s\n", e.message);
		c->s = NULL;
	}
	int status = r < 0 ? sluice_exit_code(r) : 0;

	r = sluice_doctor(c->s, &text, &e);
	if (r < 0)
		return cli_fail(c, r, &e);
	status = status ? status : found_wrong(text) ? CLI_FOUND : 0;
	r = render(c, text, "check,level,detail,remedy");
	return status ? status : r;
}

#define GRACE_LEAST 7200.0 /* s; what is older than half of it is made young before it is used */

/* "7d", "90s": seconds in *ret. */
static bool parse_grace(const char *text, double *ret)
{
	static const struct {
		char unit;
		int64_t s;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	size_t n = strspn(text, "0123456789");
	SLU_AUTO(slu_freep) char *digits = slu_strndup(text, n);
	int64_t v;

	if (!digits || !slu_i64(digits, 0, 100000, &v))
		return false;
	for (size_t i = 0; i < 4; i++)
		if (text[n] == units[i].unit && !text[n + 1]) {
			*ret = (double)(v * units[i].s);
			return true;
		}
	return false;
}

/* How much of what gc found went, and what it leaves alone. */
static void tell_gc(const struct cli *c, const char *text)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	bool dry = cli_has(c, "dry-run");
	uint64_t n = 0, bytes = 0;
	char size[16];

	if (c->json || slu_json_parse(text, strlen(text), "the answer", &j, NULL) < 0)
		return;
	for (size_t i = 0; i < slu_json_count(j); i++) {
		const struct json_t *one = slu_json_at(j, i);

		if (dry || slu_json_bool(one, "removed", false)) {
			n++;
			bytes += (uint64_t)slu_json_int(one, "bytes", 0);
		}
	}
	render_size(size, bytes);
	fprintf(stderr,
		"%llu object%s (%s) %s from the registry; the data in datastores is not touched\n",
		(unsigned long long)n, n == 1 ? "" : "s", size, dry ? "would go" : "removed");
}

int cmd_gc(struct cli *c)
{
	const char *text = cli_get(c, "grace");
	double grace = 7 * 86400.0;
	struct sluice_error e;
	char *out, *runs;

	if (text && !parse_grace(text, &grace))
		return cli_usage(c, "--grace wants a time such as 7d, 12h, 30m or 90s, not '%s'",
				 text);
	if (grace < GRACE_LEAST)
		return cli_usage(c, "--grace is at least 2h: a writer that goes on must not lose "
				    "what it saved");
	int status = cli_open(c, 0);

	if (status)
		return status;
	/* Looking at runs declares the dead ones over: their claims are nobody's then. */
	int r = sluice_job_list(c->s, &runs, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	sluice_free(runs);
	/* The same of sessions on Livy servers; one that cannot be reached waits for another time. */
	if (!cli_has(c, "dry-run") && sluice_compute_sessions(c->s, NULL, &runs, &e) == 0)
		sluice_free(runs);
	r = sluice_gc(c->s, grace, cli_has(c, "dry-run") ? SLUICE_DRY_RUN : 0, &out, &e);
	if (r < 0)
		return cli_fail(c, r, &e);
	tell_gc(c, out);
	return render(c, out, "what,path,bytes:size,removed");
}
