/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions of tables: JSON lines, Parquet and Delta (delimited text is in delimited.c), and the steps
 * over rows that follow.  All of it is kept for the engines that read rows; here it is only checked, so
 * that what is wrong is told when the dataset is made and not when it is used.
 */
#include "dataset/reading.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/definition_impl.h"

#include <errno.h>
#include <string.h>

enum kind { FLAG, TEXT, COUNT, ENCODING, INVALID_LINES, TIME };

struct option {
	const char *name;
	enum kind kind;
	const char *dflt; /* written out when it is not given; NULL: stays away */
};

static const struct option json_lines[] = {
	{"invalid_lines", INVALID_LINES, "error"}, {"encoding", ENCODING, "utf8"},
	{"include_path_column", FLAG, "false"},    {"path_column", TEXT, NULL},
	{"partition_size", COUNT, NULL},           {NULL, FLAG, NULL}};
static const struct option parquet[] = {
	{"include_path_column", FLAG, "false"}, {"path_column", TEXT, NULL}, {NULL, FLAG, NULL}};
static const struct option delta[] = {{"version_as_of", COUNT, NULL},
				      {"timestamp_as_of", TIME, NULL},
				      {"include_path_column", FLAG, "false"},
				      {"path_column", TEXT, NULL},
				      {NULL, FLAG, NULL}};

static const struct {
	const char *key, *name;
	const struct option *options; /* NULL: delimited.c */
} readings[] = {{"delimited", "read_delimited", NULL},
		{"json_lines", "read_json_lines", json_lines},
		{"parquet", "read_parquet", parquet},
		{"delta_lake", "read_delta_lake", delta}};

#define READINGS (sizeof readings / sizeof *readings)

static int check_known(const struct option *o, const struct json_t *in, const char *what,
		       struct slu_err *e)
{
	for (void *it = slu_json_iter(in); it; it = slu_json_next(in, it)) {
		const char *key = slu_json_iter_key(it), *near = NULL;
		size_t i = 0;

		for (; o[i].name && !slu_streq(o[i].name, key); i++)
			near = slu_nearer(key, near, o[i].name);
		if (!o[i].name)
			return slu_fail(e, EINVAL, "%s: unknown option '%s'%s%s%s", what, key,
					near ? "; did you mean '" : "", near ? near : "",
					near ? "'?" : "");
	}
	return 0;
}

static const char *wanted(enum kind k)
{
	switch (k) {
	case FLAG:
		return "true or false";
	case TEXT:
		return "a text";
	case COUNT:
		return "a whole number";
	case ENCODING:
		return "utf8, iso88591, latin1, ascii, utf16, utf32, utf8bom or windows1252";
	case INVALID_LINES:
		return "error or drop";
	case TIME:
		return "a time as RFC 3339 has it, such as 2024-01-31T08:00:00Z";
	}
	return "";
}

static bool fits(enum kind k, const struct json_t *v)
{
	const char *s = slu_json_string(v);
	int64_t t;

	switch (k) {
	case FLAG:
		return slu_json_is_bool(v);
	case TEXT:
		return s && *s;
	case COUNT:
		return slu_json_is_int(v) && slu_json_integer(v) >= 0;
	case ENCODING:
		return s && slu_delimited_charset(s);
	case INVALID_LINES:
		return s && (slu_streq(s, "error") || slu_streq(s, "drop"));
	case TIME:
		return s && slu_time_parse(s, &t);
	}
	return false;
}

static int set_option(struct json_t *out, const struct option *o, const struct json_t *in,
		      const char *what, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(in, o->name);
	int r = 0;

	if (v && !fits(o->kind, v))
		return slu_fail(e, EINVAL, "%s: '%s' has to be %s", what, o->name, wanted(o->kind));
	if (v)
		r = slu_json_set(out, o->name, slu_json_copy(v));
	else if (o->dflt && o->kind == FLAG)
		r = slu_json_set_bool(out, o->name, slu_streq(o->dflt, "true"));
	else
		r = slu_json_set_str(out, o->name, o->dflt);
	return r < 0 ? slu_fail_oom(e) : 0;
}

static int check_options(const struct option *o, const struct json_t *in, const char *what,
			 struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *out = slu_json_object();

	if (!out)
		return slu_fail_oom(e);
	if (in && !slu_json_is_object(in))
		return slu_fail(e, EINVAL, "%s has to be an object of options", what);
	int r = check_known(o, in, what, e);

	for (size_t i = 0; r == 0 && o[i].name; i++)
		r = set_option(out, &o[i], in, what, e);
	if (r == 0 && slu_json_get(out, "version_as_of") && slu_json_get(out, "timestamp_as_of"))
		return slu_fail(e, EINVAL,
				"%s: 'version_as_of' and 'timestamp_as_of' are two answers to one "
				"question: keep one",
				what);
	if (r == 0)
		*ret = slu_take(out);
	return r;
}

int slu_reading_check(const char *name, const struct json_t *in, const char *what,
		      struct json_t **ret, struct slu_err *e)
{
	for (size_t i = 0; i < READINGS; i++) {
		if (!slu_streq(readings[i].name, name))
			continue;
		return readings[i].options ? check_options(readings[i].options, in, what, ret, e)
					   : slu_delimited_check(in, what, ret, e);
	}
	*ret = NULL;
	return 0;
}

int slu_reading_of_spec(const struct json_t *spec, struct json_t **ret, struct slu_err *e)
{
	struct json_t *found = NULL;

	for (size_t i = 0; i < READINGS; i++) {
		const struct json_t *v = slu_json_get(spec, readings[i].key);
		SLU_AUTO(slu_freep) char *what = slu_asprintf("'%s'", readings[i].key);
		struct json_t *args = NULL;

		if (!v || slu_json_is_null(v) || (slu_json_is_bool(v) && !slu_json_true(v)))
			continue;
		int r = !what   ? slu_fail_oom(e)
			: found ? slu_fail(
					  e, EINVAL,
					  "the dataset is read in two ways: keep one of delimited, "
					  "json_lines, parquet, delta_lake")
				/* true: all defaults */
				: slu_reading_check(readings[i].name, slu_json_true(v) ? NULL : v,
						    what, &args, e);
		if (r == 0)
			found = slu_json_object();
		if (r == 0 && slu_json_set(found, readings[i].name, args) < 0)
			r = slu_fail_oom(e);
		if (r < 0) {
			slu_json_free(found);
			return r;
		}
	}
	*ret = found;
	return 0;
}

/* --- rows --- */

static int check_columns(const char *name, const struct json_t *v, const char *what,
			 struct slu_err *e)
{
	bool ok = slu_json_is_string(v) || slu_json_is_object(v);

	for (size_t i = 0; slu_json_is_array(v) && i < slu_json_count(v); i++) {
		ok = slu_json_is_string(slu_json_at(v, i));
		if (!ok)
			break;
	}
	return ok ? 0
		  : slu_fail(e, EINVAL,
			     "%s: '%s' wants the name of a column, a list of names, or a pattern",
			     what, name);
}

/* "int", or {"datetime": {"formats": [...]}} */
static int check_type(const struct json_t *v, const char *what, struct slu_err *e)
{
	static const char *const types[] = {"boolean", "bool",   "datetime",   "float",
					    "int",     "string", "stream_info"};
	const char *type = slu_json_string(v);

	if (slu_json_is_object(v) && slu_json_count(v) == 1)
		type = slu_json_iter_key(slu_json_iter(v));
	for (size_t i = 0; type && i < sizeof types / sizeof *types; i++)
		if (slu_streq(types[i], type))
			return 0;
	return slu_fail(e, EINVAL,
			"%s: the column type '%s' is not known; there are boolean, datetime, "
			"float, int, string, stream_info",
			what, type ? type : "");
}

static int check_convert(const struct json_t *args, const char *what, struct slu_err *e)
{
	if (!slu_json_is_array(args))
		return slu_fail(e, EINVAL,
				"%s: 'convert_column_types' wants a list of {columns, column_type}",
				what);
	for (size_t i = 0; i < slu_json_count(args); i++) {
		const struct json_t *one = slu_json_at(args, i);
		int r = check_columns("columns", slu_json_get(one, "columns"), what, e);

		if (r == 0)
			r = check_type(slu_json_get(one, "column_type"), what, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int slu_reading_check_rows(const char *name, const struct json_t *args, const char *what,
			   struct slu_err *e)
{
	if (slu_streq(name, "keep_columns") || slu_streq(name, "drop_columns"))
		return check_columns(name, args, what, e);
	if (slu_streq(name, "convert_column_types"))
		return check_convert(args, what, e);
	return 0;
}

const char *slu_reading_of(const struct json_t *doc, const struct json_t **ret_args)
{
	const struct json_t *all = slu_json_get(doc, "transformations");

	for (size_t i = 0; i < slu_json_count(all); i++) {
		const struct json_t *step = slu_json_at(all, i);
		void *it = slu_json_is_object(step) ? slu_json_iter(step) : NULL;
		const char *name = it ? slu_json_iter_key(it) : slu_json_string(step);

		if (name && slu_starts(name, "read_")) {
			*ret_args = it ? slu_json_iter_value(it) : NULL;
			return name;
		}
	}
	return NULL;
}

bool slu_reading_passes_over(const char *path)
{
	for (const char *s = path; s; s = strchr(s, '/')) {
		s += *s == '/';
		if (*s == '.' || (*s == '_' && !memchr(s, '=', strcspn(s, "/"))))
			return true;
	}
	return false;
}
