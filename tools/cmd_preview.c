/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data preview, data schema.
 */
#include "tools/cli.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

#define WIDTH_MAX 40

/* A value as it may be shown in a column. */
static char *cell(const struct json_t *v)
{
	struct slu_buf b = SLU_BUF(64u << 20);
	const char *s = slu_json_string(v);
	SLU_AUTO(slu_freep) char *text = NULL;

	if (!v || slu_json_is_null(v))
		return slu_strdup("null");
	if (!s)
		s = text = slu_json_text(v, SLU_JSON_COMPACT);
	slu_show(&b, s ? s : "");
	char *shown = slu_buf_take(&b);

	if (shown && strlen(shown) > WIDTH_MAX) {
		size_t n = WIDTH_MAX - 3;

		while (n > 0 && ((unsigned char)shown[n] & 0xc0) == 0x80)
			n--;
		memcpy(shown + n, "...", 4);
	}
	return shown;
}

static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static int print_rows(const struct json_t *rows, const size_t *wide, size_t n)
{
	for (size_t i = 0; i < slu_json_count(rows); i++)
		for (size_t k = 0; k < n; k++) {
			SLU_AUTO(slu_freep) char *s = cell(slu_json_at(slu_json_at(rows, i), k));

			if (!s)
				return -ENOMEM;
			fputs(s, stdout);
			for (size_t w = width(s); k + 1 < n && w < wide[k] + 2; w++)
				putchar(' ');
			if (k + 1 == n)
				putchar('\n');
		}
	return 0;
}

static int print_table(const struct json_t *j)
{
	const struct json_t *names = slu_json_get(j, "columns"), *rows = slu_json_get(j, "rows");
	size_t n = slu_json_count(names);
	SLU_AUTO(slu_freep) size_t *wide = slu_calloc(n + 1, sizeof(size_t));
	SLU_AUTO(slu_json_freep) struct json_t *head = slu_json_array();

	if (!wide || slu_json_append(head, slu_json_copy(names)) < 0)
		return -ENOMEM;
	for (size_t i = 0; i <= slu_json_count(rows); i++)
		for (size_t k = 0; k < n; k++) {
			const struct json_t *row =
				i ? slu_json_at(rows, i - 1) : slu_json_at(head, 0);
			SLU_AUTO(slu_freep) char *s = cell(slu_json_at(row, k));

			if (!s)
				return -ENOMEM;
			wide[k] = width(s) > wide[k] ? width(s) : wide[k];
		}
	int r = print_rows(head, wide, n);

	return r < 0 ? r : print_rows(rows, wide, n);
}

int cmd_data_preview(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	struct sluice_error e = {0};
	int64_t rows = 10;
	char *text;

	if (!cli_int(c, "rows", 1, 100000, &rows))
		return CLI_USAGE;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_data_preview(c->s, c->args[0], (uint64_t)rows, &text, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	if (c->json)
		return render(c, text, NULL);
	r = slu_json_parse(text, strlen(text), "preview", &j, NULL);
	sluice_free(text);
	if (r == 0)
		r = print_table(j);
	for (size_t i = 0; i < slu_json_count(slu_json_get(j, "notes")); i++)
		fprintf(stderr, "sluice: note: %s\n",
			slu_json_string(slu_json_at(slu_json_get(j, "notes"), i)));
	return r < 0 ? cli_fail(c, r, &e) : 0;
}

int cmd_data_schema(struct cli *c)
{
	struct sluice_error e = {0};
	char *text;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_data_schema(c->s, c->args[0], &text, &e);

	return r < 0 ? cli_fail(c, r, &e) : render(c, text, "name,type,nulls");
}
