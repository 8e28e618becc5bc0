/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data: what differs between two datasets, whether a version still holds, and freezing one.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

#define EXIT_DIFFERENT 1
#define EXIT_IO 8

struct shown {
	const struct cli *c;
	const char *const *words; /* by SLUICE_SAME ... */
	bool all;                 /* what is the same, too */
};

static int show_json(const char *word, const struct sluice_difference *d)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (slu_json_set_str(o, "what", word) < 0 || slu_json_set_str(o, "path", d->path) < 0 ||
	    (d->what != SLUICE_ADDED && slu_json_set_int(o, "before", (int64_t)d->before) < 0) ||
	    (d->what != SLUICE_REMOVED && slu_json_set_int(o, "after", (int64_t)d->after) < 0))
		return -ENOMEM;
	SLU_AUTO(slu_freep) char *text = slu_json_text(o, SLU_JSON_COMPACT);

	return text && puts(text) >= 0 ? 0 : -ENOMEM;
}

static int show(void *user, const struct sluice_difference *d)
{
	const struct shown *s = user;

	if (d->what == SLUICE_SAME && !s->all)
		return 0;
	if (s->c->json)
		return show_json(s->words[d->what], d);
	printf("%-8s ", s->words[d->what]);
	render_name(stdout, d->path);
	putchar('\n');
	return 0;
}

static int summary(const struct shown *s, const struct sluice_difference_totals *n)
{
	const uint64_t count[] = {n->same, n->added, n->removed, n->changed};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_json_freep) struct json_t *top = slu_json_object();

	if (!s->c->json) {
		printf("%llu %s, %llu %s, %llu %s, %llu %s\n", (unsigned long long)n->same,
		       s->words[SLUICE_SAME], (unsigned long long)n->added, s->words[SLUICE_ADDED],
		       (unsigned long long)n->removed, s->words[SLUICE_REMOVED],
		       (unsigned long long)n->changed, s->words[SLUICE_CHANGED]);
		return 0;
	}
	for (int i = 0; i < 4; i++)
		if (slu_json_set_int(o, s->words[i], (int64_t)count[i]) < 0)
			return -ENOMEM;
	if (slu_json_set(top, "summary", slu_json_ref(o)) < 0)
		return -ENOMEM;
	SLU_AUTO(slu_freep) char *text = slu_json_text(top, SLU_JSON_COMPACT);

	return text && puts(text) >= 0 ? 0 : -ENOMEM;
}

/* As diff(1): 1 means that they differ, so a failure is never 1. */
static int fail(struct cli *c, int r, const struct sluice_error *e)
{
	int status = cli_fail(c, r, e);

	return status == EXIT_DIFFERENT ? EXIT_IO : status;
}

int cmd_data_diff(struct cli *c)
{
	static const char *const words[] = {"same", "added", "removed", "changed"};
	struct shown s = {.c = c, .words = words, .all = cli_has(c, "all")};
	struct sluice_difference_totals n;
	struct sluice_error e = {0};
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status == EXIT_DIFFERENT ? EXIT_IO : status;
	int r = sluice_data_diff(c->s, c->args[0], c->args[1], show, &s, &n, &e);

	if (r == 0)
		r = summary(&s, &n);
	if (r < 0)
		return fail(c, r, &e);
	return n.added || n.removed || n.changed ? EXIT_DIFFERENT : 0;
}

int cmd_data_verify(struct cli *c)
{
	static const char *const words[] = {"held", "added", "missing", "changed"};
	struct shown s = {.c = c, .words = words, .all = cli_has(c, "all")};
	struct sluice_difference_totals n;
	struct sluice_error e = {0};
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_data_verify(c->s, c->args[0], show, &s, &n, &e);

	if (r == 0)
		r = summary(&s, &n);
	if (r < 0)
		return cli_fail(c, r, &e);
	if (!n.removed && !n.changed && !(n.added && cli_has(c, "exact")))
		return 0;
	e.code = ESTALE;
	snprintf(e.message, sizeof e.message,
		 "the store does not hold '%s' any more: %llu missing, %llu changed, %llu added; "
		 "register the data again, and freeze a version that has to stay",
		 c->args[0], (unsigned long long)n.removed, (unsigned long long)n.changed,
		 (unsigned long long)n.added);
	return cli_fail(c, -ESTALE, &e);
}

int cmd_data_freeze(struct cli *c)
{
	struct sluice_error e = {0};
	struct progress p;
	char *text;

	if (cli_has(c, "pin") && cli_get(c, "to"))
		return cli_usage(c, "--to is for a copy, and --pin makes none: give one of them");

	int status = cli_open(c, 0), r;

	if (status)
		return status;
	progress_begin(&p, c, c->args[0]);
	if (cli_has(c, "pin"))
		r = sluice_data_pin(c->s, c->args[0], &text, &e);
	else
		r = sluice_data_freeze(c->s, c->args[0], cli_get(c, "to"), progress_show, &p, &text,
				       &e);
	progress_end(&p);
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, NULL);
}

int cmd_data_register(struct cli *c)
{
	static const char *const plain[] = {"version", "description"};
	SLU_AUTO(slu_json_freep) struct json_t *spec = slu_json_object();
	struct json_t *tags = slu_json_object();
	struct sluice_error e = {0};
	const char *pair;
	char *text;
	int r = slu_json_set_str(spec, "name", c->args[0]);

	r = r < 0 ? r : slu_json_set_str(spec, "ref", c->args[1]);
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = slu_json_set_str(spec, plain[i], cli_get(c, plain[i]));
	for (size_t i = 0; r == 0 && (pair = cli_nth(c, "tag", i)); i++) {
		r = cli_pair(tags, pair);
		if (r == -EINVAL) {
			slu_json_free(tags);
			return cli_usage(c, "--tag wants KEY=VALUE, not '%s'", pair);
		}
	}
	if (r == 0 && slu_json_count(tags))
		r = slu_json_set(spec, "tags", slu_json_ref(tags));
	slu_json_free(tags);
	if (r == 0)
		r = slu_json_set_bool(spec, "create_new_version", cli_has(c, "create-new-version"));
	SLU_AUTO(slu_freep) char *json = r == 0 ? slu_json_text(spec, SLU_JSON_COMPACT) : NULL;

	if (!json)
		return sluice_exit_code(-ENOMEM);
	r = cli_open(c, 0);
	if (r)
		return r;
	r = sluice_data_register(c->s, json, &text, &e);
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, NULL);
}
