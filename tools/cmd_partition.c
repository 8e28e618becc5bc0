/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data partitions: files with the columns that their paths make.
 */
#include "tools/cli.h"

#include "common/mem.h"

#include <errno.h>
#include <string.h>

static int tell_json(void *user, const char *json)
{
	(void)user;
	return puts(json) < 0 ? EIO : 0;
}

/* dept=Sales date=2026-01-01T00:00:00Z  path */
static int tell_line(void *user, const char *json)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;

	(void)user;
	if (slu_json_parse(json, strlen(json), "a row", &o, NULL) < 0)
		return EIO;
	const struct json_t *columns = slu_json_get(o, "columns");

	for (void *it = slu_json_iter(columns); it; it = slu_json_next(columns, it)) {
		const char *value = slu_json_string(slu_json_iter_value(it));

		render_name(stdout, slu_json_iter_key(it));
		putchar('=');
		render_name(stdout, value ? value : "");
		putchar(' ');
	}
	putchar(' ');
	render_name(stdout, slu_json_str(o, "path"));
	return putchar('\n') < 0 ? EIO : 0;
}

int cmd_data_partitions(struct cli *c)
{
	SLU_AUTO(slu_freep) const char **where = cli_all(c, "where");
	struct sluice_error e = {0};
	int status = where ? cli_open(c, SLUICE_OPTIONAL) : sluice_exit_code(-ENOMEM);

	if (status)
		return status;
	int r = sluice_data_partitions(c->s, c->args[0], cli_get(c, "format"), where,
				       c->json ? tell_json : tell_line, NULL, &e);
	return r < 0 ? cli_fail(c, r, &e) : sluice_exit_code(-r);
}
