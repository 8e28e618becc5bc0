/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cp, mv, mkdir, rm: what changes objects, wherever they are.
 */
#include "tools/cli.h"

#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct told {
	const struct cli *c;
	struct progress progress;
};

static int show_json(const char *path, const char *to, uint64_t size)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL;

	if (!o || slu_json_set_str(o, "path", path) < 0 || slu_json_set_str(o, "to", to) < 0 ||
	    slu_json_set_int(o, "size", (int64_t)size) < 0)
		return -ENOMEM;
	text = slu_json_text(o, SLU_JSON_COMPACT);
	return text ? puts(text) : -ENOMEM;
}

/* What failed while the rest went on, or what a dry run would do. */
static void tell(void *user, const char *path, const char *to, uint64_t size,
		 const struct sluice_error *error)
{
	struct told *t = user;

	if (error) {
		progress_failed(&t->progress, error);
		return;
	}
	if (t->c->json) {
		show_json(path, to, size);
		return;
	}
	render_name(stdout, path);
	if (to) {
		fputs(" -> ", stdout);
		render_name(stdout, to);
	}
	putchar('\n');
}

static int show_progress(void *user, const struct sluice_progress *n)
{
	return progress_show(&((struct told *)user)->progress, n);
}

static int collect(struct cli *c, const char *option, const char *key, struct json_t *o)
{
	SLU_AUTO(slu_json_freep) struct json_t *pairs = NULL;
	const char *pair;

	for (size_t i = 0; (pair = cli_nth(c, option, i)); i++) {
		if (!pairs && !(pairs = slu_json_object()))
			return sluice_exit_code(-ENOMEM);
		if (cli_pair(pairs, pair) < 0)
			return cli_usage(c, "--%s wants KEY=VALUE, not '%s'", option, pair);
	}
	if (pairs && slu_json_set(o, key, slu_take(pairs)) < 0)
		return sluice_exit_code(-ENOMEM);
	return 0;
}

/* The properties of what is written as JSON, NULL when none are given.  0 or the exit status. */
static int properties(struct cli *c, char **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int status = o ? 0 : sluice_exit_code(-ENOMEM);

	if (!status)
		status = collect(c, "metadata", "metadata", o);
	if (!status)
		status = collect(c, "tag", "tags", o);
	if (status)
		return status;
	if (slu_json_set_str(o, "content_type", cli_get(c, "content-type")) < 0 ||
	    slu_json_set_str(o, "tier", cli_get(c, "tier")) < 0)
		return sluice_exit_code(-ENOMEM);
	if (!cli_has(c, "metadata") && !cli_has(c, "tag") && !cli_has(c, "content-type") &&
	    !cli_has(c, "tier"))
		return 0;
	*ret = slu_json_text(o, SLU_JSON_COMPACT);
	return *ret ? 0 : sluice_exit_code(-ENOMEM);
}

static int show_totals(const struct cli *c, const struct sluice_copy_totals *n)
{
	/* a caller that closed the output wants the copy alone */
	bool closed = (fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY;

	if (!c->json || cli_has(c, "dry-run") || closed)
		return 0;
	return printf("{\"files\": %llu, \"bytes\": %llu, \"skipped\": %llu, \"failed\": %llu}\n",
		      (unsigned long long)n->files, (unsigned long long)n->bytes,
		      (unsigned long long)n->skipped, (unsigned long long)n->failed);
}

static unsigned copy_flags(const struct cli *c)
{
	return (cli_has(c, "recursive") ? SLUICE_RECURSIVE : 0) |
	       (cli_has(c, "overwrite") ? SLUICE_OVERWRITE : 0) |
	       (cli_has(c, "update") ? SLUICE_UPDATE : 0) |
	       (cli_has(c, "no-clobber") ? SLUICE_SKIP : 0) |
	       (cli_has(c, "no-sync") ? SLUICE_NO_SYNC : 0) |
	       (cli_has(c, "dry-run") ? SLUICE_DRY_RUN : 0);
}

int cmd_cp(struct cli *c)
{
	struct sluice_copy_options o = SLUICE_COPY_OPTIONS_INIT;
	SLU_AUTO(slu_freep) char *props = NULL;
	struct sluice_error e = {0};
	struct told t = {.c = c};
	struct sluice_copy_totals totals = {0};
	SLU_AUTO(slu_freep) const char **include = cli_all(c, "include");
	SLU_AUTO(slu_freep) const char **exclude = cli_all(c, "exclude");
	int64_t jobs = 0;

	if (cli_has(c, "overwrite") + cli_has(c, "update") + cli_has(c, "no-clobber") > 1)
		return cli_usage(c, "--overwrite, --update and --no-clobber exclude each other");
	if (cmd_cp_streams(c))
		return cmd_cp_stream(c);
	if (!cli_int(c, "jobs", 1, 1024, &jobs) || !cli_check(c, &o.check))
		return CLI_USAGE;
	int status = properties(c, &props);

	if (!status)
		status = cli_open(c, SLUICE_OPTIONAL);
	if (status)
		return status;
	o.flags = copy_flags(c);
	o.include = include;
	o.exclude = exclude;
	o.totals = &totals;
	o.jobs = (unsigned)jobs;
	o.properties_json = props;
	o.progress = show_progress;
	o.file = tell;
	o.user = &t;
	progress_begin(&t.progress, c, "copy");
	int r = sluice_copy(c->s, (const char *const *)c->args, (size_t)c->nargs - 1,
			    c->args[c->nargs - 1], &o, &e);

	progress_end(&t.progress);
	show_totals(c, &totals);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}

int cmd_mv(struct cli *c)
{
	struct sluice_error e = {0};
	int status = cli_open(c, SLUICE_OPTIONAL);
	int r = status ? 0
		       : sluice_move(c->s, c->args[0], c->args[1],
				     cli_has(c, "overwrite") ? SLUICE_OVERWRITE : 0, &e);

	return r < 0 ? cli_fail(c, r, &e) : status;
}

int cmd_mkdir(struct cli *c)
{
	int status = cli_open(c, SLUICE_OPTIONAL);

	for (int i = 0; status == 0 && i < c->nargs; i++) {
		struct sluice_error e = {0};
		int r = sluice_mkdir(c->s, c->args[i], &e);

		if (r < 0)
			status = cli_fail(c, r, &e);
	}
	return status;
}

/* All are tried; the status is that of the first that failed. */
int cmd_rm(struct cli *c)
{
	struct sluice_remove_options o = SLUICE_REMOVE_OPTIONS_INIT;
	SLU_AUTO(slu_freep) const char **include = cli_all(c, "include");
	SLU_AUTO(slu_freep) const char **exclude = cli_all(c, "exclude");
	int status = cli_open(c, SLUICE_OPTIONAL);

	int failed = 0;

	o.flags = (cli_has(c, "recursive") ? SLUICE_RECURSIVE : 0) |
		  (cli_has(c, "dry-run") ? SLUICE_DRY_RUN : 0);
	o.include = include;
	o.exclude = exclude;
	o.file = tell;
	for (int i = 0; status == 0 && i < c->nargs; i++) {
		struct sluice_error e = {0};
		struct told t = {.c = c, .progress.verbose = cli_has(c, "verbose")};

		o.user = &t;
		int r = sluice_remove(c->s, c->args[i], &o, &e);

		if (r < 0 && !(r == -ENOENT && cli_has(c, "force")) && (r = cli_fail(c, r, &e)) &&
		    !failed)
			failed = r;
	}
	return status ? status : failed;
}
