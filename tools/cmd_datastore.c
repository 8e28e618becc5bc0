/* SPDX-License-Identifier: Apache-2.0 */
/*
 * datastore: the places that a workspace knows by name.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

static unsigned flags_of(const struct cli *c)
{
	return (cli_has(c, "replace") ? SLUICE_OVERWRITE : 0) |
	       (cli_has(c, "skip-validation") ? SLUICE_NO_PROBE : 0);
}

/* --set KEY=VALUE; true and false are no texts. */
static int add_set(struct cli *c, struct json_t *o)
{
	const char *pair;

	for (size_t i = 0; (pair = cli_nth(c, "set", i)); i++) {
		const char *value = strchr(pair, '=');
		bool yes = value && slu_streq(value, "=true");

		if (cli_pair(o, pair) < 0)
			return cli_usage(c, "--set wants KEY=VALUE, not '%s'",
					 value == pair ? pair : "what has no '='");
		if (!yes && !slu_streq(value, "=false"))
			continue;
		SLU_AUTO(slu_freep) char *key = slu_strndup(pair, (size_t)(value - pair));

		if (!key || slu_json_set_bool(o, key, yes) < 0)
			return sluice_exit_code(-ENOMEM);
	}
	return 0;
}

/* What the file says of them; *ret is an array. */
static int read_file(struct cli *c, const char *file, const char *name, struct json_t **ret)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	struct sluice_error e;
	int r = sluice_datastore_read(file, name, &text, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	return slu_json_parse(text, strlen(text), file, ret, NULL) < 0 ? sluice_exit_code(-ENOMEM)
								       : 0;
}

static void tell_notes(const struct json_t *one)
{
	const struct json_t *notes = slu_json_get(one, "notes");

	for (size_t i = 0; i < slu_json_count(notes); i++)
		fprintf(stderr, "sluice: datastore '%s': %s\n", slu_json_str(one, "name"),
			slu_json_string(slu_json_at(notes, i)));
}

static int create_from_file(struct cli *c, const char *file)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = NULL;
	const char *name = c->nargs ? c->args[0] : NULL;
	struct sluice_error e;
	int status = read_file(c, file, name, &list);

	if (status)
		return status;
	if (slu_json_count(list) != 1)
		return cli_usage(c,
				 "'%s' holds %zu datastores: `sluice datastore import` takes a "
				 "list",
				 file, slu_json_count(list));
	const struct json_t *one = slu_json_at(list, 0);

	if (!slu_json_get(one, "entry")) /* a list of one that cannot be */
		return cli_usage(c, "datastore '%s': %s", slu_json_str(one, "name"),
				 slu_json_str(one, "skipped"));
	status = add_set(c, slu_json_get(one, "entry"));
	if (status == 0)
		status = cli_open(c, 0);
	if (status)
		return status;
	SLU_AUTO(slu_freep)
	char *entry = slu_json_text(slu_json_get(one, "entry"), SLU_JSON_COMPACT);
	int r = sluice_datastore_create(c->s, slu_json_str(one, "name"), entry ? entry : "",
					flags_of(c), &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	tell_notes(one);
	return cli_show(c, sluice_datastore_show, slu_json_str(one, "name"), NULL);
}

int cmd_datastore_create(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const char *type = cli_get(c, "type"), *file = cli_get(c, "file");
	struct sluice_error e;

	if (file && (type || cli_get(c, "path")))
		return cli_usage(c, "--file says it all: --type and --path have no place beside "
				    "it");
	if (file)
		return create_from_file(c, file);
	if (!c->nargs)
		return cli_usage(c, "too few arguments: datastore create wants NAME, or --file");
	if (!o || slu_json_set_str(o, "type", type ? type : "local") < 0 ||
	    slu_json_set_str(o, "path", cli_get(c, "path")) < 0)
		return sluice_exit_code(-ENOMEM);
	int status = add_set(c, o);

	if (status == 0)
		status = cli_open(c, 0);
	if (status)
		return status;
	SLU_AUTO(slu_freep) char *entry = slu_json_text(o, SLU_JSON_COMPACT);
	int r = sluice_datastore_create(c->s, c->args[0], entry ? entry : "", flags_of(c), &e);

	return r < 0 ? cli_fail(c, r, &e) : cli_show(c, sluice_datastore_show, c->args[0], NULL);
}

int cmd_datastore_update(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	struct sluice_error e;
	const char *key;
	int status = o ? add_set(c, o) : sluice_exit_code(-ENOMEM);

	for (size_t i = 0; status == 0 && (key = cli_nth(c, "unset", i)); i++)
		if (slu_json_set(o, key, slu_json_new_null()) < 0)
			status = sluice_exit_code(-ENOMEM);
	if (status == 0 && !slu_json_count(o))
		return cli_usage(c, "nothing is to change: give --set or --unset");
	if (status == 0)
		status = cli_open(c, 0);
	if (status)
		return status;
	SLU_AUTO(slu_freep) char *changes = slu_json_text(o, SLU_JSON_COMPACT);
	int r = sluice_datastore_update(c->s, c->args[0], changes ? changes : "", flags_of(c), &e);

	return r < 0 ? cli_fail(c, r, &e) : cli_show(c, sluice_datastore_show, c->args[0], NULL);
}

/* One of a list: what became of it. */
static struct json_t *import_one(struct cli *c, const struct json_t *one, int *status)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep) char *entry = NULL;
	const char *name = slu_json_str(one, "name"), *why = slu_json_str(one, "skipped");
	struct json_t *e_json = slu_json_get(one, "entry");
	struct sluice_error e = {0};
	int r = 0;

	if (!why) {
		entry = slu_json_text(e_json, SLU_JSON_COMPACT);
		r = sluice_datastore_create(c->s, name, entry ? entry : "", flags_of(c), &e);
		tell_notes(one);
	}
	if (r < 0 && *status == 0)
		*status = sluice_exit_code(r);
	if (!o || slu_json_set_str(o, "name", name) < 0 ||
	    slu_json_set_str(o, "type", slu_json_str(why ? one : e_json, "type")) < 0 ||
	    slu_json_set_str(o, "result",
			     why     ? "skipped"
			     : r < 0 ? "failed"
				     : "added") < 0 ||
	    slu_json_set_str(o, "detail",
			     why     ? why
			     : r < 0 ? e.message
				     : "") < 0)
		return NULL;
	return slu_take(o);
}

int cmd_datastore_import(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *out = slu_json_array();
	int status = read_file(c, c->args[0], NULL, &list), r;

	if (status == 0)
		status = cli_open(c, 0);
	if (status)
		return status;
	for (size_t i = 0; i < slu_json_count(list); i++)
		if (slu_json_append(out, import_one(c, slu_json_at(list, i), &status)) < 0)
			return sluice_exit_code(-ENOMEM);
	r = render(c, slu_json_text(out, SLU_JSON_PRETTY), "name,type,result,detail");
	return status ? status : r;
}

int cmd_datastore_list(struct cli *c)
{
	return cli_list(c, sluice_datastore_list, "name,default,type,place");
}

int cmd_datastore_show(struct cli *c)
{
	return cli_show(c, sluice_datastore_show, c->nargs ? c->args[0] : NULL, NULL);
}

int cmd_datastore_test(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = NULL;
	struct sluice_error e;
	char *text;
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_datastore_test(c->s, c->nargs ? c->args[0] : NULL, &text, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	r = slu_json_parse(text, strlen(text), "the answer", &list, NULL);
	/* Data that cannot be listed or read is of no use; that may not be written to, it is. */
	for (size_t i = 0; r == 0 && i < 2 && i < slu_json_count(list); i++)
		if (!slu_streq(slu_json_str(slu_json_at(list, i), "allowed"), "yes"))
			status = sluice_exit_code(-EACCES);
	r = render(c, text, "right,allowed,detail");
	return status ? status : r;
}

int cmd_datastore_set_default(struct cli *c)
{
	return cli_change(c, sluice_datastore_set_default);
}

int cmd_datastore_unregister(struct cli *c)
{
	return cli_change(c, sluice_datastore_unregister);
}
