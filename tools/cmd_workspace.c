/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init, workspace, doctor, datastore: what a workspace is and has.
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
	r = render(c, text, "check,ok,detail,remedy");
	return status ? status : r;
}

int cmd_datastore_create(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const char *pair, *type = cli_get(c, "type");
	struct sluice_error e;

	if (!o || slu_json_set_str(o, "type", type ? type : "local") < 0 ||
	    slu_json_set_str(o, "path", cli_get(c, "path")) < 0)
		return sluice_exit_code(-ENOMEM);
	for (size_t i = 0; (pair = cli_nth(c, "set", i)); i++)
		if (cli_pair(o, pair) < 0)
			return cli_usage(c, "--set wants KEY=VALUE, not '%s'", pair);
	SLU_AUTO(slu_freep) char *entry = slu_json_text(o, SLU_JSON_COMPACT);
	int status = cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_datastore_create(c->s, c->args[0], entry, cli_has(c, "replace"), &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	return cmd_datastore_show(c);
}

int cmd_datastore_list(struct cli *c)
{
	struct sluice_error e;
	char *text;
	int status = c->s ? 0 : cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_datastore_list(c->s, &text, &e);
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, "name,default,type,path");
}

int cmd_datastore_show(struct cli *c)
{
	struct sluice_error e;
	char *text;
	int status = c->s ? 0 : cli_open(c, 0);

	if (status)
		return status;
	int r = sluice_datastore_show(c->s, c->args[0], &text, &e);
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, NULL);
}
