/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan and verify, and what download (cmd_view.c) has in common with them.
 */
#include "tools/cli.h"

#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Azure ML writes them FAIL_ON_FILE_CONFLICT. */
static bool same_policy(const char *name, const char *text)
{
	for (; *name && *text; name++, text++) {
		char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;

		if (*name != (c == '-' ? '_' : c))
			return false;
	}
	return *name == *text;
}

static bool get_policy(struct cli *c, int *ret)
{
	static const char *const names[] = {"fail", "fail_on_file_conflict", "merge_with_overwrite",
					    "append", "replace"};
	const char *text = cli_get(c, "policy");

	if (!text)
		return true;
	for (int i = 0; i < 5; i++)
		if (same_policy(names[i], text)) {
			*ret = i;
			if (!cli_has(c, "overwrite") || i == SLUICE_POLICY_MERGE)
				return true;
			cli_usage(c,
				  "--overwrite is --policy=merge_with_overwrite: give one of both");
			return false;
		}
	cli_usage(c,
		  "--policy wants fail, fail_on_file_conflict, merge_with_overwrite, append or "
		  "replace, not '%s'",
		  text);
	return false;
}

bool cli_download(struct cli *c, struct sluice_view_options *o)
{
	o->flags = (cli_has(c, "overwrite") ? SLUICE_OVERWRITE : 0) |
		   (cli_has(c, "no-sync") ? SLUICE_NO_SYNC : 0) |
		   (cli_has(c, "rehash") ? SLUICE_REHASH : 0) |
		   (cli_has(c, "no-record") ? SLUICE_NO_RECORD : 0) |
		   (cli_has(c, "ignore-not-found") ? SLUICE_IGNORE_NOT_FOUND : 0) |
		   (cli_has(c, "no-probe") ? SLUICE_NO_PROBE : 0);
	return get_policy(c, &o->policy);
}

void cli_download_failed(void *user, const char *path, const char *to, uint64_t size,
			 const struct sluice_error *error)
{
	(void)path, (void)to, (void)size;
	progress_failed(user, error);
}

static void say_totals(const struct sluice_download_totals *n)
{
	char fetched[16], resumed[16];

	render_size(fetched, n->bytes);
	render_size(resumed, n->resumed);
	fprintf(stderr,
		"%llu files written (%s fetched, %s of an earlier download), %llu were there, %llu "
		"kept, %llu missing, %llu failed\n",
		(unsigned long long)n->files, fetched, resumed, (unsigned long long)n->there,
		(unsigned long long)n->kept, (unsigned long long)n->missing,
		(unsigned long long)n->failed);
}

void cli_download_totals(const struct cli *c, const struct sluice_download_totals *n)
{
	/* a caller that closed the output wants the files alone */
	bool closed = (fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY;

	if (!c->json && cli_has(c, "verbose"))
		say_totals(n);
	if (!c->json || closed)
		return;
	printf("{\"files\": %llu, \"bytes\": %llu, \"resumed\": %llu, \"there\": %llu, "
	       "\"kept\": %llu, \"missing\": %llu, \"failed\": %llu, \"cloned\": %llu}\n",
	       (unsigned long long)n->files, (unsigned long long)n->bytes,
	       (unsigned long long)n->resumed, (unsigned long long)n->there,
	       (unsigned long long)n->kept, (unsigned long long)n->missing,
	       (unsigned long long)n->failed, (unsigned long long)n->cloned);
}

/* --- plan --- */

static uint64_t number(const struct json_t *o, const char *key)
{
	return (uint64_t)slu_json_int(o, key, 0);
}

static void say_files(const char *what, uint64_t files, uint64_t bytes)
{
	char size[16];

	render_size(size, bytes);
	printf("%-10s %llu files, %s\n", what, (unsigned long long)files, size);
}

static void say_time(uint64_t ms)
{
	if (ms < 100)
		printf("%-10s less than 0.1 s", "time");
	else
		printf("%-10s about %.1f s", "time", (double)ms / 1000);
}

static void say_plan(const struct json_t *o)
{
	uint64_t n = number(o, "probe_requests");
	const char *refused = slu_json_str(o, "refused");
	char size[16];

	say_files("dataset", number(o, "files"), number(o, "bytes"));
	if (number(o, "there_files"))
		say_files("there", number(o, "there_files"), number(o, "there_bytes"));
	if (number(o, "kept_files"))
		printf("%-10s %llu files\n", "kept", (unsigned long long)number(o, "kept_files"));
	if (number(o, "removals"))
		printf("%-10s %llu files and folders that are there\n", "to remove",
		       (unsigned long long)number(o, "removals"));
	if (number(o, "resumed_bytes")) {
		render_size(size, number(o, "resumed_bytes"));
		printf("%-10s %s of a download that did not end\n", "resumed", size);
	}
	say_files("to fetch", number(o, "fetch_files"), number(o, "fetch_bytes"));
	printf("%-10s %llu\n", "requests", (unsigned long long)number(o, "requests"));
	if (n) {
		render_size(size, number(o, "probe_bytes"));
		say_time(number(o, "estimate_ms"));
		printf(", if all go as %llu that were tried (%s in ", (unsigned long long)n, size);
		if (number(o, "probe_ms"))
			printf("%llu ms)\n", (unsigned long long)number(o, "probe_ms"));
		else
			puts("less than 1 ms)");
	}
	if (refused)
		printf("%-10s %s\n", "refused", refused);
}

static int parse(char *text, struct json_t **ret)
{
	SLU_AUTO(slu_freep) char *own = text;
	struct slu_err e = {0};
	int r = slu_json_parse(own, strlen(own), "the answer", ret, &e);

	if (r < 0)
		fprintf(stderr, "sluice: %s\n", e.msg);
	return r < 0 ? sluice_exit_code(r) : 0;
}

int cmd_plan(struct cli *c)
{
	struct sluice_view_options o = SLUICE_VIEW_OPTIONS_INIT;
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	struct sluice_error e = {0};
	int64_t jobs = 0;
	char *text;

	if (!cli_int(c, "jobs", 1, 1024, &jobs) || !cli_download(c, &o))
		return CLI_USAGE;
	int status = cli_local(c, c->nargs > 1 ? c->args[1] : NULL);

	if (!status)
		status = cli_open(c, SLUICE_OPTIONAL);
	if (status)
		return status;
	o.jobs = (unsigned)jobs;
	int r = sluice_plan(c->s, c->args[0], c->nargs > 1 ? c->args[1] : NULL, &o, &text, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	if (c->json)
		return render(c, text, NULL);
	status = parse(text, &j);
	if (!status)
		say_plan(j);
	return status;
}

/* --- verify --- */

static int by_path(const void *a, const void *b)
{
	const struct json_t *const *x = a, *const *y = b;

	return strcmp(slu_json_str(*x, "path"), slu_json_str(*y, "path"));
}

/* Files are read side by side: what was found comes in any order. */
static void say_findings(const struct json_t *found)
{
	size_t n = slu_json_count(found);
	SLU_AUTO(slu_freep) const struct json_t **all = slu_calloc(n + 1, sizeof *all);

	for (size_t i = 0; all && i < n; i++)
		all[i] = slu_json_at(found, i);
	if (all && n)
		qsort(all, n, sizeof *all, by_path);
	for (size_t i = 0; i < n; i++) {
		const struct json_t *o = all ? all[i] : slu_json_at(found, i);

		printf("%-10s  ", slu_json_str(o, "what"));
		render_name(stdout, slu_json_str(o, "path"));
		printf("  (%s)\n", slu_json_str(o, "why"));
	}
}

static void say_found(const struct json_t *j)
{
	const struct json_t *found = slu_json_get(j, "found");
	uint64_t unchecked = number(j, "unchecked");
	char size[16];

	say_findings(found);
	render_size(size, number(j, "bytes"));
	printf("%llu files, %s are right; %llu missing, %llu different, %llu extra, %llu unreadable\n",
	       (unsigned long long)number(j, "files"), size,
	       (unsigned long long)number(j, "missing"), (unsigned long long)number(j, "different"),
	       (unsigned long long)number(j, "extra"), (unsigned long long)number(j, "unreadable"));
	if (unchecked)
		printf("%llu of them have no known checksum: their lengths were compared\n",
		       (unsigned long long)unchecked);
}

static int found_wrong(const struct cli *c, const struct json_t *j)
{
	const char *ref = c->nargs > 1 ? c->args[1] : NULL;
	uint64_t wrong = number(j, "missing") + number(j, "different") + number(j, "unreadable");
	struct sluice_error e = {.code = ESTALE};

	snprintf(e.message, sizeof e.message,
		 "'%s' is not what %s%s%s: %llu right, %llu wrong, %llu extra; %s", c->args[0],
		 ref ? "'" : "was downloaded", ref ? ref : "", ref ? "' has" : "",
		 (unsigned long long)number(j, "files"), (unsigned long long)wrong,
		 (unsigned long long)number(j, "extra"),
		 wrong ? "download again with --overwrite --rehash"
		       : "remove what is extra, or download with --policy=replace");
	return cli_fail(c, -ESTALE, &e);
}

int cmd_verify(struct cli *c)
{
	struct sluice_view_options o = SLUICE_VIEW_OPTIONS_INIT;
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;

	struct sluice_error e = {0};
	struct progress p;
	int64_t jobs = 0;
	char *text;

	if (!cli_int(c, "jobs", 1, 1024, &jobs))
		return CLI_USAGE;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	o.jobs = (unsigned)jobs;
	o.progress = progress_show;
	o.user = &p;
	progress_begin(&p, c, "verify");
	int r = sluice_verify(c->s, c->args[0], c->nargs > 1 ? c->args[1] : NULL, &o, &text, &e);

	progress_end(&p);
	if (r < 0)
		return cli_fail(c, r, &e);
	if (c->json)
		puts(text);
	status = parse(text, &j);
	if (status)
		return status;
	if (!c->json)
		say_found(j);
	if (slu_json_true(slu_json_get(j, "same")))
		return 0;
	return found_wrong(c, j);
}
