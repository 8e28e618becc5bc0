/* SPDX-License-Identifier: Apache-2.0 */
/* environment list, show, build, delete: what steps find installed, kept in the user's cache. */
#include "tools/cli.h"

#include "common/buf.h"
#include "common/mem.h"

#include <errno.h>
#include <string.h>

int cmd_environment_list(struct cli *c)
{
	struct sluice_error e;
	char *text;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_environment_list(c->s, &text, &e);
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, "key,name,kind,created,path");
}

/* For people: the lines of requirements in one. */
static int on_one_line(struct json_t *o)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
	const char *p = slu_json_str(o, "packages");

	while (p && *p) {
		size_t n = strcspn(p, "\n");

		if (n)
			slu_buf_fmt(&b, "%s%.*s", b.len ? ", " : "", (int)n, p);
		p += n + (p[n] == '\n');
	}
	if (slu_buf_err(&b) < 0)
		return -ENOMEM;
	return p ? slu_json_set_str(o, "packages", b.len ? b.p : "") : 0;
}

static int show_one(struct cli *c, char *text)
{
	SLU_AUTO(slu_freep) char *own = text;
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	char *plain;

	if (slu_json_parse(own, strlen(own), "the answer", &o, NULL) < 0 || on_one_line(o) < 0 ||
	    !(plain = slu_json_text(o, SLU_JSON_COMPACT)))
		return sluice_exit_code(-ENOMEM);
	return render(c, plain, NULL);
}

int cmd_environment_show(struct cli *c)
{
	struct sluice_error e;
	char *text;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_environment_show(c->s, c->args[0], &text, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	return c->json ? render(c, text, NULL) : show_one(c, text);
}

int cmd_environment_build(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	struct sluice_error e;
	char *text;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_environment_build(c->s, c->args[0], cli_get(c, "python"), &text, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	if (slu_json_parse(text, strlen(text), "the answer", &o, NULL) == 0)
		for (size_t i = 0; i < slu_json_count(slu_json_get(o, "notes")); i++)
			fprintf(stderr, "note: %s\n",
				slu_json_string(slu_json_at(slu_json_get(o, "notes"), i)));
	return render(c, text, NULL);
}

int cmd_environment_delete(struct cli *c)
{
	struct sluice_error e;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_environment_delete(c->s, c->args[0], &e);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}
