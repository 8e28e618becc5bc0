/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the columns of a preview seem to be, by the rules that Azure ML's engine follows (azureml.md 1.6):
 * the narrowest type that all values have, which are there; what the definition says about a column wins.
 */
#include "dataset/preview.h"

#include "common/json.h"
#include "common/str.h"
#include "dataset/partition.h"
#include "dataset/reading.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

enum { BOOLEAN = 1, INT = 2, FLOAT = 4, DATETIME = 8, STRING = 16, OBJECT = 32 };

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* "2024-01-31", with "T08:00:00" and more behind it. */
static bool is_date(const char *s)
{
	static const char shape[] = "dddd-dd-dd";

	for (size_t i = 0; shape[i]; i++)
		if (shape[i] == 'd' ? !isdigit((unsigned char)s[i]) : s[i] != shape[i])
			return false;
	return !s[10] || ((s[10] == 'T' || s[10] == ' ') && digits(s + 11) == 2 && s[13] == ':' &&
			  digits(s + 14) == 2);
}

static bool is_float(const char *s)
{
	size_t n;

	s += *s == '-' || *s == '+';
	if (!strcasecmp(s, "nan") || !strcasecmp(s, "inf"))
		return true;
	n = digits(s);
	s += n;
	if (*s == '.') {
		s++;
		n += digits(s);
		s += digits(s);
	}
	if (n == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		if (digits(s) == 0)
			return false;
		s += digits(s);
	}
	return !*s;
}

/* The types that a text may be of. */
static int of_text(const char *s)
{
	int64_t n;
	int is = STRING;

	s += strspn(s, " ");
	if (!strcasecmp(s, "true") || !strcasecmp(s, "false") || slu_streq(s, "0") ||
	    slu_streq(s, "1"))
		is |= BOOLEAN;
	if (slu_i64(s + (*s == '+'), INT64_MIN, INT64_MAX, &n))
		is |= INT;
	if (is_float(s))
		is |= FLOAT;
	if (is_date(s))
		is |= DATETIME;
	return is;
}

static int of_value(const struct json_t *v)
{
	if (slu_json_is_bool(v))
		return BOOLEAN;
	if (slu_json_is_int(v))
		return INT | FLOAT;
	if (slu_json_is_real(v))
		return FLOAT;
	if (slu_json_is_string(v))
		return STRING | (of_text(slu_json_string(v)) & DATETIME);
	return OBJECT;
}

static const char *narrowest(int is)
{
	return is & BOOLEAN    ? "boolean"
	       : is & INT      ? "int"
	       : is & FLOAT    ? "float"
	       : is & DATETIME ? "datetime"
	       : is & STRING   ? "string"
			       : "object";
}

/* Is the column one of those that "columns" names? */
static bool names(const struct json_t *columns, const char *name)
{
	const char *one = slu_json_string(columns);

	if (one)
		return slu_streq(one, name);
	for (size_t i = 0; slu_json_is_array(columns) && i < slu_json_count(columns); i++)
		if (slu_json_string(slu_json_at(columns, i)) &&
		    slu_streq(slu_json_string(slu_json_at(columns, i)), name))
			return true;
	return false;
}

/* What convert_column_types says of it; NULL: nothing. */
static const char *said(const struct slu_definition *d, const char *name)
{
	const struct json_t *all = slu_json_get(d->doc, "transformations");
	const char *type = NULL;

	for (size_t i = 0; i < slu_json_count(all); i++) {
		const struct json_t *list =
			slu_json_get(slu_json_at(all, i), "convert_column_types");

		for (size_t k = 0; k < slu_json_count(list); k++) {
			const struct json_t *one = slu_json_at(list, k);
			const struct json_t *t = slu_json_get(one, "column_type");

			if (names(slu_json_get(one, "columns"), name))
				type = slu_json_is_object(t) ? slu_json_iter_key(slu_json_iter(t))
							     : slu_json_string(t);
		}
	}
	return type;
}

/* path: the type of one that paths make, NULL: it is one of the files. */
static struct json_t *column(const struct slu_definition *d, const struct json_t *preview, size_t i,
			     bool text, bool infer, const char *path)
{
	const struct json_t *rows = slu_json_get(preview, "rows");
	const char *name = slu_json_string(slu_json_at(slu_json_get(preview, "columns"), i));
	const char *told = said(d, name), *type = told ? told : path;
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int is = BOOLEAN | INT | FLOAT | DATETIME | STRING | OBJECT;
	size_t nulls = 0;

	for (size_t r = 0; r < slu_json_count(rows); r++) {
		const struct json_t *v = slu_json_at(slu_json_at(rows, r), i);

		if (!v || slu_json_is_null(v))
			nulls++;
		else
			is &= text || path ? of_text(slu_json_string(v)) : of_value(v);
	}
	/* Nothing seen, or nothing in common: a text can be anything. */
	if (nulls == slu_json_count(rows) || is == 0 || (text && !infer))
		is = STRING;
	if (slu_json_set_str(o, "name", name) < 0 ||
	    slu_json_set_str(o, "type", type ? type : narrowest(is)) < 0 ||
	    slu_json_set_int(o, "nulls", (int64_t)nulls) < 0)
		return NULL;
	return slu_take(o);
}

/* The type of column i, if it is made of paths (azureml.md 1.5), else NULL.  first: where those are. */
static const char *type_of_path(const struct slu_partition *p, size_t i, size_t first)
{
	if (!p || i < first || i - first >= slu_partition_columns(p))
		return NULL;
	return slu_partition_is_time(p, i - first) ? "datetime" : "string";
}

int slu_schema(const struct slu_dataset *d, const struct json_t *preview, struct json_t **ret,
	       struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = slu_json_array();
	const struct json_t *args = NULL;
	const char *format = slu_json_str(preview, "format");
	const char *paths = slu_definition_partition(d->def);
	SLU_AUTO(slu_partition_freep) struct slu_partition *p = NULL;
	bool infer = true;

	if (paths && slu_partition_parse(paths, &p, e) < 0)
		return -EINVAL;
	if (slu_reading_of(d->def->doc, &args)) {
		const struct json_t *v = slu_json_get(args, "infer_column_types");

		infer = !v || !slu_json_is_bool(v) || slu_json_true(v);
	}
	size_t first = slu_json_bool(args, "include_path_column", false);

	for (size_t i = 0; i < slu_json_count(slu_json_get(preview, "columns")); i++)
		if (slu_json_append(all, column(d->def, preview, i, slu_streq(format, "delimited"),
						infer, type_of_path(p, i, first))) < 0)
			return slu_fail_oom(e);
	*ret = slu_take(all);
	return 0;
}
