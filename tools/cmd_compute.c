/* SPDX-License-Identifier: Apache-2.0 */
/* compute and linked-service: where steps run, and what leads there. */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

typedef int create_fn(struct sluice *s, const char *name, const char *entry_json, unsigned flags,
		      struct sluice_error *e);

/* --set conf.NAME=VALUE: a setting of Spark, whose values are texts. */
static int add_conf(struct json_t *o, const char *name, const char *value)
{
	struct json_t *conf = slu_json_get(o, "conf");

	if (!slu_json_is_object(conf)) {
		conf = slu_json_object();
		if (slu_json_set(o, "conf", conf) < 0)
			return -ENOMEM;
	}
	return slu_json_set_str(conf, name, value);
}

/* --set KEY=VALUE: numbers, true and false are what they look like. */
static int add_set(struct cli *c, struct json_t *o)
{
	const char *pair;

	for (size_t i = 0; (pair = cli_nth(c, "set", i)); i++) {
		const char *value = strchr(pair, '=');
		SLU_AUTO(slu_freep)
		char *key = value ? slu_strndup(pair, (size_t)(value - pair)) : NULL;
		int64_t n;
		int r;

		if (!key || value == pair)
			return cli_usage(c, "--set wants KEY=VALUE, not '%s'", pair);
		value++;
		if (slu_after(key, "conf."))
			r = add_conf(o, slu_after(key, "conf."), value);
		else if (slu_streq(value, "true") || slu_streq(value, "false"))
			r = slu_json_set_bool(o, key, *value == 't');
		else if (slu_i64(value, INT64_MIN, INT64_MAX, &n))
			r = slu_json_set_int(o, key, n);
		else
			r = slu_json_set_str(o, key, value);
		if (r < 0)
			return sluice_exit_code(-ENOMEM);
	}
	return 0;
}

static int create(struct cli *c, create_fn *call, cli_show_fn *then, const char *name,
		  struct json_t *entry)
{
	unsigned flags = cli_has(c, "replace") ? SLUICE_OVERWRITE : 0;
	SLU_AUTO(slu_freep) char *text = NULL;
	struct sluice_error e;
	int status = add_set(c, entry), r;

	if (status == 0)
		status = cli_open(c, 0);
	if (status)
		return status;
	text = slu_json_text(entry, SLU_JSON_COMPACT);
	r = call(c->s, name, text ? text : "", flags, &e);
	return r < 0 ? cli_fail(c, r, &e) : cli_show(c, then, name, NULL);
}

static int create_from_file(struct cli *c, const char *file)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	const struct json_t *notes;
	struct sluice_error e;
	const char *name;
	int r = sluice_compute_read(file, &text, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	if (slu_json_parse(text, strlen(text), file, &o, NULL) < 0)
		return sluice_exit_code(-ENOMEM);
	name = c->nargs ? c->args[0] : slu_json_str(o, "name");
	if (!name)
		return cli_usage(c, "'%s' has no name: give one", file);
	notes = slu_json_get(o, "notes");
	for (size_t i = 0; i < slu_json_count(notes); i++)
		fprintf(stderr, "sluice: compute '%s': %s\n", name,
			slu_json_string(slu_json_at(notes, i)));
	return create(c, sluice_compute_create, sluice_compute_show, name,
		      slu_json_get(o, "entry"));
}

int cmd_compute_create(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const char *type = cli_get(c, "type"), *file = cli_get(c, "file");

	if (file && type)
		return cli_usage(c, "--file says it all: --type has no place beside it");
	if (file)
		return create_from_file(c, file);
	if (!c->nargs)
		return cli_usage(c, "too few arguments: compute create wants NAME, or --file");
	if (slu_json_set_str(o, "type", type ? type : "local") < 0)
		return sluice_exit_code(-ENOMEM);
	return create(c, sluice_compute_create, sluice_compute_show, c->args[0], o);
}

int cmd_compute_attach(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const char *type = cli_get(c, "type"), *link = cli_get(c, "linked-service");
	const char *pool = cli_get(c, "pool");

	if (type && !slu_streq(type, "SynapseSpark") && !slu_streq(type, "synapsespark"))
		return cli_usage(c, "a pool is attached with type SynapseSpark, not '%s'", type);
	if (!link || !pool)
		return cli_usage(c, "compute attach wants --linked-service and --pool");
	if (slu_json_set_str(o, "type", "synapsespark") < 0 ||
	    slu_json_set_str(o, "linked_service", link) < 0 ||
	    slu_json_set_str(o, "pool", pool) < 0)
		return sluice_exit_code(-ENOMEM);
	return create(c, sluice_compute_create, sluice_compute_show, c->args[0], o);
}

int cmd_compute_list(struct cli *c)
{
	return cli_list(c, sluice_compute_list, "name,default,type,description");
}

int cmd_compute_show(struct cli *c)
{
	return cli_show(c, sluice_compute_show, c->args[0], NULL);
}

int cmd_compute_sessions(struct cli *c)
{
	return cli_show(c, sluice_compute_sessions, c->nargs ? c->args[0] : NULL,
			"compute,session,state,idle,ends:t,run,steps,cold_start");
}

int cmd_compute_stop(struct cli *c)
{
	struct sluice_error e;
	int64_t session = -1;
	int status;

	if (!cli_int(c, "session", 0, INT64_MAX, &session))
		return sluice_exit_code(-EINVAL);
	status = cli_open(c, 0);
	if (status)
		return status;
	int r = sluice_compute_stop(c->s, c->args[0], session, &e);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}

int cmd_compute_detach(struct cli *c)
{
	return cli_change(c, sluice_compute_detach);
}

int cmd_compute_delete(struct cli *c)
{
	return cli_change(c, sluice_compute_delete);
}

static int show_event(void *user, const char *event)
{
	struct cli *c = user;
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const char *reason;

	if (c->json) {
		puts(event);
		fflush(stdout);
		return 0;
	}
	if (slu_json_parse(event, strlen(event), "the event", &o, NULL) < 0)
		return 0;
	reason = slu_json_str(o, "reason");
	printf("%s%s%s\n", slu_json_str(o, "status"), reason ? ": " : "", reason ? reason : "");
	fflush(stdout);
	return 0;
}

int cmd_compute_wait(struct cli *c)
{
	struct sluice_error e = {0};
	int64_t seconds = 600;
	int status;

	if (!cli_int(c, "timeout", 0, 86400, &seconds))
		return sluice_exit_code(-EINVAL);
	status = cli_open(c, 0);
	if (status)
		return status;
	int r = sluice_compute_wait(c->s, c->args[0], (uint64_t)seconds, show_event, c, &e);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}

int cmd_linked_service_create(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	static const char *const options[] = {"subscription", "resource-group", "synapse-workspace",
					      "endpoint"};
	static const char *const keys[] = {"subscription_id", "resource_group", "workspace",
					   "endpoint"};

	if (slu_json_set_str(o, "type", "Synapse") < 0)
		return sluice_exit_code(-ENOMEM);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (slu_json_set_str(o, keys[i], cli_get(c, options[i])) < 0)
			return sluice_exit_code(-ENOMEM);
	return create(c, sluice_linked_service_create, sluice_linked_service_show, c->args[0], o);
}

int cmd_linked_service_list(struct cli *c)
{
	return cli_list(c, sluice_linked_service_list, "name,type,workspace,endpoint");
}

int cmd_linked_service_show(struct cli *c)
{
	return cli_show(c, sluice_linked_service_show, c->args[0], NULL);
}

int cmd_linked_service_unregister(struct cli *c)
{
	return cli_change(c, sluice_linked_service_unregister);
}
