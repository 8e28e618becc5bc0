/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data: finding versions, and what is said about them after they were made.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

static int no_memory(struct cli *c)
{
	struct sluice_error e = {.code = ENOMEM, .message = "out of memory"};

	return cli_fail(c, -ENOMEM, &e);
}

/* KEY=VALUE, or KEY for any value. */
static int wanted_tags(struct cli *c, struct json_t *q)
{
	struct json_t *tags = slu_json_object();
	const char *pair;
	int r = 0;

	for (size_t i = 0; r == 0 && (pair = cli_nth(c, "tag", i)); i++)
		r = strchr(pair, '=') ? cli_pair(tags, pair)
				      : slu_json_set(tags, pair, slu_json_new_null());
	return r == 0 ? slu_json_set(q, "tags", tags) : (slu_json_free(tags), r);
}

int cmd_data_list(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *q = slu_json_object();
	struct sluice_error e;
	char *text;
	int status = cli_open(c, 0);

	if (status)
		return status;
	if (slu_json_set_str(q, "name", c->nargs ? c->args[0] : NULL) < 0 ||
	    slu_json_set_bool(q, "all_versions", cli_has(c, "all-versions")) < 0 ||
	    slu_json_set_bool(q, "archived", cli_has(c, "include-archived")) < 0 ||
	    slu_json_set_bool(q, "archived_only", cli_has(c, "archived-only")) < 0 ||
	    wanted_tags(c, q) < 0)
		return no_memory(c);
	SLU_AUTO(slu_freep) char *json = slu_json_text(q, SLU_JSON_COMPACT);

	if (!json)
		return no_memory(c);
	int r = sluice_data_search(c->s, json, &text, &e);

	return r < 0 ? cli_fail(c, r, &e)
		     : render(c, text,
			      "name,version,type,files,bytes:size,created:time,run,tags,overwritten");
}

/* change is taken. */
static int update(struct cli *c, struct json_t *change)
{
	SLU_AUTO(slu_json_freep) struct json_t *own = change;
	struct sluice_error e;
	char *text;
	int status = cli_open(c, 0);

	if (status)
		return status;
	if (cli_has(c, "all") && slu_json_set_bool(change, "all", true) < 0)
		return no_memory(c);
	SLU_AUTO(slu_freep) char *json = slu_json_text(change, SLU_JSON_COMPACT);

	if (!json)
		return no_memory(c);
	int r = sluice_data_update(c->s, c->args[0], json, &text, &e);
	const char *columns = "name,version,description,tags,archived,unregistered";

	return r < 0 ? cli_fail(c, r, &e) : render(c, text, cli_has(c, "all") ? columns : NULL);
}

static int flag(struct cli *c, const char *key, bool value)
{
	struct json_t *change = slu_json_object();

	if (slu_json_set_bool(change, key, value) < 0) {
		slu_json_free(change);
		return no_memory(c);
	}
	return update(c, change);
}

int cmd_data_archive(struct cli *c)
{
	return flag(c, "archived", true);
}

int cmd_data_restore(struct cli *c)
{
	return flag(c, "archived", false);
}

int cmd_data_unregister(struct cli *c)
{
	return flag(c, "unregistered", true);
}

int cmd_data_update(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *change = slu_json_object();
	struct json_t *tags = slu_json_object(), *gone = slu_json_array();
	const char *text;
	int r = slu_json_set_str(change, "description", cli_get(c, "description"));

	for (size_t i = 0; r == 0 && (text = cli_nth(c, "tag", i)); i++) {
		r = cli_pair(tags, text);
		if (r == -EINVAL) {
			slu_json_free(tags);
			slu_json_free(gone);
			return cli_usage(c, "--tag wants KEY=VALUE, not '%s'", text);
		}
	}
	for (size_t i = 0; r == 0 && (text = cli_nth(c, "remove-tag", i)); i++)
		r = slu_json_append(gone, slu_json_new_str(text));
	if (r == 0 && slu_json_count(tags))
		r = slu_json_set(change, "tags", slu_json_ref(tags));
	if (r == 0 && slu_json_count(gone))
		r = slu_json_set(change, "remove_tags", slu_json_ref(gone));
	slu_json_free(tags);
	slu_json_free(gone);
	if (r < 0)
		return no_memory(c);
	if (slu_json_count(change) == 0)
		return cli_usage(c, "give --tag, --remove-tag or --description");
	return update(c, slu_take(change));
}

int cmd_data_history(struct cli *c)
{
	return cli_show(c, sluice_data_history, c->args[0], "fact,time:time,change");
}
