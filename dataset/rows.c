/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting text into records and fields.  A record is looked at once all of it is there; as long as it is
 * not, the file is read on.  Quotes are lenient, as the original is: what follows a closing quote
 * belongs to the field, and a quote that is never closed ends with the record.
 */
#include "dataset/rows.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

struct cut {
	const char *p;
	size_t n, i;
	bool end; /* nothing comes behind p[n] */
	const char *delimiter;
	size_t ndelimiter;
	bool multi;
};

void slu_row_clear(struct slu_row *r)
{
	for (size_t i = 0; i < r->cells.n; i++)
		free(r->cells.p[i].text);
	r->cells.n = 0;
}

void slu_row_done(struct slu_row *r)
{
	slu_row_clear(r);
	free(r->cells.p);
	r->cells.p = NULL;
}

static bool at_delimiter(const struct cut *c)
{
	return c->n - c->i >= c->ndelimiter &&
	       memcmp(c->p + c->i, c->delimiter, c->ndelimiter) == 0;
}

/* What is in quotes, into b; c->i is behind the closing one.  false: the text ends first. */
static bool quoted(struct cut *c, struct slu_buf *b)
{
	for (c->i++; c->i < c->n; c->i++) {
		char x = c->p[c->i];

		if (x == '\n' && !c->multi)
			return true;
		if (x != '"') {
			slu_buf_ch(b, x);
			continue;
		}
		if (c->i + 1 < c->n && c->p[c->i + 1] == '"') {
			slu_buf_ch(b, '"');
			c->i++;
			continue;
		}
		c->i++;
		return c->i < c->n || c->end;
	}
	return c->end;
}

/* One field; c->i is at what ends it.  1; 0: the text ends first; -ENOMEM. */
static int field(struct cut *c, struct slu_row *row)
{
	struct slu_buf b = SLU_BUF(2ull * SLU_TEXT_RECORD_MAX);
	struct slu_cell cell = {.quoted = c->i < c->n && c->p[c->i] == '"'};

	if (cell.quoted && !quoted(c, &b)) {
		slu_buf_done(&b);
		return 0;
	}
	while (c->i < c->n && c->p[c->i] != '\n' && !at_delimiter(c))
		slu_buf_ch(&b, c->p[c->i++]);
	bool last = c->i == c->n || c->p[c->i] == '\n';

	if (last && b.len > 0 && b.p[b.len - 1] == '\r')
		b.p[--b.len] = '\0';
	cell.text = slu_buf_take(&b);
	if (!cell.text || !slu_vec_push(&row->cells, cell)) {
		free(cell.text);
		return -ENOMEM;
	}
	return 1;
}

/* One record: how many bytes it takes, 0: it is not all there; -ENOMEM. */
static long record(struct cut *c, struct slu_row *row)
{
	for (;;) {
		int r = field(c, row);

		if (r <= 0)
			return r;
		if (c->i == c->n)
			return c->end ? (long)c->i : 0;
		if (c->p[c->i] == '\n')
			return (long)c->i + 1;
		c->i += c->ndelimiter;
	}
}

static bool blank(const struct slu_row *row)
{
	return row->cells.n == 1 && !row->cells.p[0].quoted && !*row->cells.p[0].text;
}

int slu_row_next(struct slu_textfile *t, const char *delimiter, bool multi, struct slu_row *ret,
		 struct slu_err *e)
{
	for (;;) {
		struct cut c = {.p = t->text.p ? t->text.p + t->at : "",
				.n = t->text.len - t->at,
				.end = t->end,
				.delimiter = delimiter,
				.ndelimiter = strlen(delimiter),
				.multi = multi};

		slu_row_clear(ret);
		if (c.n == 0 && c.end)
			return 0;
		/* Without the end of a line nothing can be whole. */
		long used = c.n == 0 || (!c.end && !memchr(c.p, '\n', c.n)) ? 0 : record(&c, ret);

		if (used < 0)
			return slu_fail_oom(e);
		if (used == 0) {
			int r = slu_textfile_more(t, e);

			if (r < 0)
				return r;
			continue;
		}
		ret->line = t->line;
		slu_textfile_consume(t, (size_t)used);
		if (!blank(ret))
			return 1;
	}
}

/* The next line: *ret_n bytes at the front of the text, *ret_used with its end.  1, 0 at the end. */
static int line(struct slu_textfile *t, size_t *ret_n, size_t *ret_used, struct slu_err *e)
{
	for (;;) {
		size_t n = t->text.len - t->at;
		const char *p = t->text.p ? t->text.p + t->at : "", *nl = memchr(p, '\n', n);

		if (nl || (t->end && n > 0)) {
			*ret_n = nl ? (size_t)(nl - p) : n;
			*ret_used = *ret_n + (nl != NULL);
			return 1;
		}
		if (t->end)
			return 0;
		int r = slu_textfile_more(t, e);

		if (r < 0)
			return r;
	}
}

static int bad_line(const struct slu_textfile *t, const char *why, struct slu_err *e)
{
	return slu_fail(e, EBADMSG,
			"line %llu of '%s' is no JSON object (%s): mend it, or make the dataset "
			"with --option invalid_lines=drop",
			(unsigned long long)t->line, t->name, why);
}

int slu_json_row_next(struct slu_textfile *t, bool drop, uint64_t *ret_dropped, struct json_t **ret,
		      struct slu_err *e)
{
	size_t n, used;
	int r;

	while ((r = line(t, &n, &used, e)) == 1) {
		const char *p = t->text.p + t->at;
		struct slu_err why = {0};
		struct json_t *j = NULL;
		bool empty = true;

		for (size_t i = 0; i < n && empty; i++)
			empty = strchr(" \t\r", p[i]) != NULL && p[i];
		if (!empty && slu_json_parse(p, n, "line", &j, &why) == 0 &&
		    slu_json_is_object(j)) {
			slu_textfile_consume(t, used);
			*ret = j;
			return 1;
		}
		slu_json_free(j);
		if (!empty && !drop)
			return bad_line(t, why.msg[0] ? why.msg : "it is another value", e);
		*ret_dropped += !empty;
		slu_textfile_consume(t, used);
	}
	return r;
}
