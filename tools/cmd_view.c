/* SPDX-License-Identifier: Apache-2.0 */
/*
 * download, mount, unmount, hdfs: the three views.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <stdlib.h>

/* A duration option into ns; false after telling what is wrong. */
static bool get_time(struct cli *c, const char *name, int64_t *ret)
{
	const char *text = cli_get(c, name);

	if (!text || slu_duration(text, ret))
		return true;
	cli_usage(c, "--%s wants a time such as 30s or 500ms, not '%s'", name, text);
	return false;
}

/* Options that are settings by another name. */
static const char *const settings[] = {"allow-other", "attr-timeout", "cache",      "cache-dir",
				       "cache-size",  "gid",          "io-timeout", "jobs",
				       "live",        "memory",       "no-cache",   "open-mode",
				       "uid",         "umask",        "writable"};

struct set {
	const char *list[CLI_VALUES + 1]; /* "name=value" */
	char *made[sizeof settings / sizeof settings[0]];
};

static void set_done(struct set *s)
{
	for (size_t i = 0; i < sizeof s->made / sizeof s->made[0]; i++)
		free(s->made[i]);
}

/* All that the command line sets: options of their own win over --set. */
static bool set_collect(const struct cli *c, struct set *s)
{
	size_t n = 0;

	for (size_t i = 0; n < CLI_VALUES && cli_nth(c, "set", i); i++)
		s->list[n++] = cli_nth(c, "set", i);
	for (size_t i = 0; n < CLI_VALUES && i < sizeof settings / sizeof settings[0]; i++) {
		const char *text = cli_get(c, settings[i]);

		if (!text)
			continue;
		const char *off = slu_after(settings[i], "no-");

		s->made[i] = off ? slu_asprintf("%s=false", off)
				 : slu_asprintf("%s=%s", settings[i], *text ? text : "true");
		if (!s->made[i])
			return false;
		s->list[n++] = s->made[i];
	}
	return true;
}

static int out_of_memory(const struct cli *c)
{
	static const struct sluice_error none = {0};

	return cli_fail(c, -ENOMEM, &none);
}

static int show_settings(struct cli *c, const struct set *set)
{
	struct sluice_error e = {0};
	char *text;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_settings(c->s, c->verb->name, set->list, &text, &e);

	return r < 0 ? cli_fail(c, r, &e) : render(c, text, "name,value,origin,help");
}

int cmd_download(struct cli *c)
{
	SLU_AUTO(set_done) struct set set = {0};
	struct sluice_view_options o = SLUICE_VIEW_OPTIONS_INIT;
	struct sluice_error e = {0};
	struct sluice_download_totals totals = {0};
	struct sluice_view *v;
	struct progress p;

	if (!cli_check(c, &o.check) || !cli_download(c, &o))
		return CLI_USAGE;
	if (!set_collect(c, &set))
		return out_of_memory(c);
	if (cli_has(c, "show-settings"))
		return show_settings(c, &set);
	int status = cli_local(c, c->args[1]);

	if (!status)
		status = cli_open(c, SLUICE_OPTIONAL);
	if (status)
		return status;
	o.settings = set.list;
	o.progress = progress_show;
	o.file = cli_download_failed;
	o.totals = &totals;
	o.user = &p;
	progress_begin(&p, c, "download");
	int r = sluice_download(c->s, c->args[0], c->args[1], &o, &v, &e);

	progress_end(&p);
	cli_download_totals(c, &totals);
	if (r < 0)
		return cli_fail(c, r, &e);
	sluice_view_free(v);
	return 0;
}

/* This very command, for the process that serves: with what was given, in our own words. */
static int supervise(struct cli *c, int ready, int lifeline)
{
	size_t n = 0, max = c->nvalues + (size_t)c->nargs + 4;
	const char **argv = slu_calloc(max, sizeof *argv);
	struct sluice_error e = {0};
	bool made = argv;

	if (argv) {
		argv[n++] = "sluice";
		argv[n++] = c->verb->name;
	}
	for (size_t i = 0; made && i < c->nvalues; i++) {
		const struct cli_option *o = c->values[i].option;
		char *text;

		if (slu_streq(o->name, "ready-fd") || slu_streq(o->name, "lifeline-fd"))
			continue;
		text = slu_asprintf("--%s%s%s", o->name, o->arg ? "=" : "", c->values[i].text);
		made = text;
		if (made)
			argv[n++] = text;
	}
	size_t ours = n;
	int r = -ENOMEM;

	if (made) {
		argv[n++] = "--";
		for (int i = 0; i < c->nargs; i++)
			argv[n++] = c->args[i];
		r = sluice_mount_supervise(argv, ready, lifeline, &e);
	}
	for (size_t i = 2; i < ours; i++)
		free((void *)(uintptr_t)argv[i]);
	free(argv);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}

/* The supervisor says what went wrong. */
static int work(struct cli *c, const struct sluice_view_options *o, int worker)
{
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_mount_work(c->s, c->args[0], c->args[1], o, worker, NULL);

	if (r == -ETIMEDOUT)
		c->s = NULL; /* requests are still out: it cannot be closed */
	return slu_exit_code(r);
}

static int serve(struct cli *c, const struct sluice_view_options *o)
{
	struct sluice_error e = {0};
	int64_t ready = -1, lifeline = -1, worker = -1;

	if (!cli_int(c, "ready-fd", 0, 1 << 20, &ready) ||
	    !cli_int(c, "lifeline-fd", 0, 1 << 20, &lifeline) ||
	    !cli_int(c, "worker-fd", 0, 1 << 20, &worker))
		return CLI_USAGE;
	if (worker >= 0)
		return work(c, o, (int)worker);
	if (!cli_has(c, "no-supervisor"))
		return supervise(c, (int)ready, (int)lifeline);
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_mount_serve(c->s, c->args[0], c->args[1], o, (int)ready, (int)lifeline, &e);

	if (r == -ETIMEDOUT)
		c->s = NULL; /* requests are still out: it cannot be closed */
	return r < 0 ? cli_fail(c, r, &e) : 0;
}

static int upgrade(struct cli *c)
{
	struct sluice_error e = {0};

	if (c->nargs != 1)
		return cli_usage(c, "mount --upgrade wants one MOUNTPOINT");
	int r = sluice_mount_upgrade(c->args[0], &e);

	return r < 0 ? cli_fail(c, r, &e) : 0;
}

int cmd_mount(struct cli *c)
{
	SLU_AUTO(set_done) struct set set = {0};
	struct sluice_view_options o = SLUICE_VIEW_OPTIONS_INIT;
	struct sluice_error e = {0};
	struct sluice_view *v;

	if (cli_has(c, "upgrade"))
		return upgrade(c);
	if (c->nargs < 2 && !cli_has(c, "show-settings"))
		return cli_usage(c, "mount wants REF and MOUNTPOINT");
	if (!set_collect(c, &set))
		return out_of_memory(c);
	if (cli_has(c, "show-settings"))
		return show_settings(c, &set);
	o.settings = set.list;
	o.manifest = cli_get(c, "manifest");
	o.log = cli_get(c, "log");
	o.flags = cli_has(c, "no-supervisor") ? SLUICE_NO_SUPERVISOR : 0;
	if (slu_starts(c->args[1], "/dev/fd/") && !cli_has(c, "foreground"))
		return cli_usage(c, "'%s' is known to this very process only: add --foreground",
				 c->args[1]);
	int status = cli_local(c, c->args[1]);

	if (status)
		return status;
	if (cli_has(c, "foreground"))
		return serve(c, &o);
	status = cli_open(c, SLUICE_OPTIONAL);
	if (status)
		return status;
	int r = sluice_mount(c->s, c->args[0], c->args[1], &o, &v, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	sluice_view_free(v); /* without close: the mount stays */
	return 0;
}

int cmd_unmount(struct cli *c)
{
	int64_t timeout = -1;
	struct sluice_error e = {0};

	if (!get_time(c, "timeout", &timeout))
		return CLI_USAGE;
	int r = sluice_unmount(c->args[0], timeout, &e);

	return r < 0 ? cli_fail(c, r, &e) : 0;
}

int cmd_hdfs(struct cli *c)
{
	struct sluice_error e = {0};
	struct sluice_view *v;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_hdfs(c->s, c->args[0], &v, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	if (cli_has(c, "properties"))
		r = sluice_view_save(v, "spark", cli_get(c, "properties"), &e);
	if (r == 0 && cli_has(c, "core-site"))
		r = sluice_view_save(v, "hadoop", cli_get(c, "core-site"), &e);
	if (r == 0)
		puts(c->json ? sluice_view_properties(v) : sluice_view_where(v));
	sluice_view_free(v);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}
