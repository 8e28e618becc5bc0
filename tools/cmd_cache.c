/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache stat, verify, clear, warm: the disk cache of this user on this node.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>

#define SETTINGS_MAX 4

struct set {
	const char *list[CLI_VALUES + SETTINGS_MAX];
	char *made[2];
};

static void set_done(struct set *s)
{
	free(s->made[0]);
	free(s->made[1]);
}

static bool set_collect(const struct cli *c, struct set *s)
{
	static const char *const own[] = {"cache-dir", "cache-size"};
	size_t n = 0;

	for (; n < CLI_VALUES && cli_nth(c, "set", n); n++)
		s->list[n] = cli_nth(c, "set", n);
	for (size_t i = 0; i < 2; i++) {
		if (!cli_has(c, own[i]))
			continue;
		s->made[i] = slu_asprintf("%s=%s", own[i], cli_get(c, own[i]));
		if (!s->made[i])
			return false;
		s->list[n++] = s->made[i];
	}
	return true;
}

typedef int manage_fn(struct sluice *s, const char *const *settings, char **ret_json,
		      struct sluice_error *e);

/* The lines that people read: bytes as sizes, the stores as a table behind them. */
static int show(const struct cli *c, char *text)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	SLU_AUTO(slu_freep) char *own = c->json ? NULL : text;
	const struct json_t *stores;

	if (c->json)
		return render(c, text, "");
	if (slu_json_parse(own, strlen(own), "the answer", &o, NULL) < 0)
		return 1;
	for (void *it = slu_json_iter(o); it; it = slu_json_next(o, it)) {
		const char *key = slu_json_iter_key(it);
		const struct json_t *v = slu_json_iter_value(it);
		const char *bytes = strstr(key, "bytes");
		char size[16];

		if (slu_json_is_array(v))
			continue;
		printf("%s: ", key);
		if (slu_json_is_string(v))
			render_name(stdout, slu_json_string(v));
		else if (slu_streq(key, "max_bytes") && slu_json_integer(v) == 0)
			fputs("no limit", stdout);
		else if (bytes)
			render_size(size, (uint64_t)slu_json_integer(v)), fputs(size, stdout);
		else
			printf("%lld", (long long)slu_json_integer(v));
		putchar('\n');
	}
	stores = slu_json_get(o, "stores");
	if (slu_json_count(stores) == 0)
		return 0;
	putchar('\n');
	return render(c, slu_json_text(stores, SLU_JSON_COMPACT),
		      "store,files,complete,bytes:size");
}

/* What a check found is told by the exit status too. */
static int judge(const struct cli *c, const struct json_t *found)
{
	long long blocks = slu_json_int(found, "bad_blocks", 0);
	long long files = slu_json_int(found, "dropped_files", 0);
	struct sluice_error e = {0};

	if (!blocks && !files)
		return 0;
	snprintf(
		e.message, sizeof e.message,
		"%lld blocks and %lld files in the disk cache were wrong, by a crash or by the disk: they "
		"are dropped, and fetched again when they are read",
		blocks, files);
	return cli_fail(c, -EBADMSG, &e);
}

static int manage(struct cli *c, manage_fn *fn)
{
	SLU_AUTO(set_done) struct set set = {0};
	struct sluice_error e = {0};
	char *text = NULL;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = set_collect(c, &set) ? fn(c->s, set.list, &text, &e) : -ENOMEM;

	if (r < 0)
		return cli_fail(c, r, &e);
	SLU_AUTO(slu_json_freep) struct json_t *found = NULL;

	if (slu_json_parse(text, strlen(text), "the answer", &found, NULL) < 0)
		found = NULL;
	status = show(c, text);
	return status ? status : judge(c, found);
}

int cmd_cache_stat(struct cli *c)
{
	return manage(c, sluice_cache_stat);
}

int cmd_cache_verify(struct cli *c)
{
	return manage(c, sluice_cache_verify);
}

int cmd_cache_clear(struct cli *c)
{
	return manage(c, sluice_cache_clear);
}

int cmd_cache_warm(struct cli *c)
{
	SLU_AUTO(set_done) struct set set = {0};
	struct sluice_error e = {0};
	char *text = NULL;
	struct progress p;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	if (!set_collect(c, &set))
		return cli_fail(c, -ENOMEM, &e);
	progress_begin(&p, c, "warm");
	int r = sluice_cache_warm(c->s, c->args[0], set.list, progress_show, &p, &text, &e);

	progress_end(&p);
	return r < 0 ? cli_fail(c, r, &e) : show(c, text);
}
