/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people read: JSON answers as tables and lines.  Programs get the JSON itself.
 */
#include "tools/cli.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <string.h>

#define COLUMNS 12

void render_size(char out[16], uint64_t bytes)
{
	static const char unit[] = "BKMGTPE";
	double v = (double)bytes;
	int i = 0;

	while (v >= 1024 && i < 6) {
		v /= 1024;
		i++;
	}
	if (i == 0)
		snprintf(out, 16, "%lluB", (unsigned long long)bytes);
	else
		snprintf(out, 16, "%.1f%c", v, unit[i]);
}

void render_time(char out[24], int64_t wall_ns)
{
	char t[SLU_TIME_LEN];

	slu_time_fmt(t, wall_ns);
	snprintf(out, 24, "%.10s %.8s", t, t + 11);
}

void render_name(FILE *f, const char *s)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);

	slu_show(&b, s);
	fputs(b.p ? b.p : "", f);
}

struct column {
	char key[32];
	char kind; /* 't' time, 's' size, 0 as it is */
	size_t width;
};

static size_t parse_columns(const char *spec, struct column *col)
{
	size_t n = 0;

	while (spec && *spec && n < COLUMNS) {
		size_t len = strcspn(spec, ",");
		const char *colon = memchr(spec, ':', len);
		size_t klen = colon ? (size_t)(colon - spec) : len;

		snprintf(col[n].key, sizeof col[n].key, "%.*s", (int)klen, spec);
		col[n].kind = colon ? colon[1] : 0;
		col[n].width = klen;
		n++;
		spec += len;
		if (*spec == ',')
			spec++;
	}
	return n;
}

/* One value as text for a person.  Caller frees. */
static char *cell(const struct json_t *v, char kind)
{
	char small[32];
	const char *s = slu_json_string(v);

	if (!v || slu_json_is_null(v))
		return slu_strdup("");
	if (kind == 's') {
		render_size(small, (uint64_t)slu_json_integer(v));
		return slu_strdup(small);
	}
	if (kind == 't' && s && strlen(s) >= 19)
		return slu_asprintf("%.10s %.8s", s, s + 11);
	if (s) {
		struct slu_buf b = SLU_BUF(1 << 20);

		slu_show(&b, s);
		return slu_buf_take(&b);
	}
	if (slu_json_is_bool(v))
		return slu_strdup(slu_json_true(v) ? "yes" : "no");
	return slu_json_text(v, SLU_JSON_COMPACT);
}

/* A row of the table, written or only measured. */
static void row(const struct json_t *o, struct column *col, size_t n, bool write)
{
	size_t gap = 0; /* nothing is put behind the last cell */

	for (size_t i = 0; i < n; i++) {
		SLU_AUTO(slu_freep) char *text = cell(slu_json_get(o, col[i].key), col[i].kind);
		size_t len = text ? strlen(text) : 0;

		if (write && len)
			printf("%*s%s", (int)gap, "", text);
		else if (!write && len > col[i].width)
			col[i].width = len;
		gap = (len ? 0 : gap) + (len < col[i].width ? col[i].width - len : 0) + 2;
	}
	if (write)
		putchar('\n');
}

/* The end of the JSON value that begins at p. */
static const char *value_end(const char *p)
{
	int depth = 0;

	for (bool quoted = false; *p; p++) {
		if (*p == '\\' && quoted && p[1])
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && strchr("[{", *p))
			depth++;
		else if (!quoted && strchr("]}", *p) && depth-- == 0)
			return p;
		else if (!quoted && *p == ',' && depth == 0)
			return p;
	}
	return p;
}

/* The rows of an array one by one: there may be very many. */
static int each_row(const char *text, struct column *col, size_t n, bool write, struct slu_err *e)
{
	const char *p = text + strspn(text, " \n\t\r") + 1;

	for (;;) {
		SLU_AUTO(slu_json_freep) struct json_t *o = NULL;

		p += strspn(p, " \n\t\r,");
		if (!*p || *p == ']')
			return 0;
		const char *end = value_end(p);
		int r = slu_json_parse(p, (size_t)(end - p), "the answer", &o, e);

		if (r < 0)
			return r;
		row(o, col, n, write);
		p = end;
	}
}

static int table(const char *text, const char *columns, struct slu_err *e)
{
	struct column col[COLUMNS];
	size_t n = parse_columns(columns, col);
	int r = each_row(text, col, n, false, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		printf("%-*s%s", i + 1 < n ? (int)col[i].width : 0, col[i].key,
		       i + 1 < n ? "  " : "\n");
	return each_row(text, col, n, true, e);
}

/* An object as lines "key: value"; objects and arrays of objects inside it are indented. */
static void lines(const struct json_t *o, int indent)
{
	for (void *it = slu_json_iter(o); it; it = slu_json_next(o, it)) {
		const struct json_t *v = slu_json_iter_value(it);
		const struct json_t *first = slu_json_at(v, 0);

		printf("%*s%s:", indent, "", slu_json_iter_key(it));
		if (slu_json_is_object(v) && slu_json_count(v) > 0) {
			putchar('\n');
			lines(v, indent + 2);
		} else if (slu_json_is_array(v) && slu_json_is_object(first)) {
			putchar('\n');
			for (size_t i = 0; i < slu_json_count(v); i++) {
				printf("%*s-\n", indent + 2, "");
				lines(slu_json_at(v, i), indent + 4);
			}
		} else {
			SLU_AUTO(slu_freep) char *text = cell(v, 0);

			printf(" %s\n", text ? text : "");
		}
	}
}

int render(const struct cli *c, char *text, const char *columns)
{
	SLU_AUTO(slu_freep) char *own = text;
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;

	if (c->json) {
		puts(text);
		return 0;
	}
	struct slu_err e = {0};
	bool many = own[strspn(own, " \n\t\r")] == '[';
	int r = many ? table(own, columns, &e)
		     : slu_json_parse(own, strlen(own), "the answer", &j, &e);

	if (r < 0) {
		fprintf(stderr, "sluice: %s\n", e.msg);
		return sluice_exit_code(r);
	}
	if (!many)
		lines(j, 0);
	return 0;
}
