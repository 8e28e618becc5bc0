/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How delimited text is read (azureml.md 1.6, 1.9): the options of read_delimited checked and completed.  Reading itself is Spark's or Python's.
 */
#include "dataset/definition_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

static const char *const headers[] = {"all_files_same_headers", "from_first_file",
				      "all_files_different_headers", "no_header", NULL};

static const struct {
	const char *name, *spark;
} encodings[] = {
	{"utf8", "UTF-8"},        {"iso88591", "ISO-8859-1"},
	{"latin1", "ISO-8859-1"}, {"ascii", "US-ASCII"},
	{"utf16", "UTF-16"},      {"utf32", "UTF-32"},
	{"utf8bom", "UTF-8"},     {"windows1252", "windows-1252"},
};

#define NENCODINGS (sizeof(encodings) / sizeof(encodings[0]))

static const char *const known[] = {"delimiter",          "header",
				    "support_multi_line", "empty_as_string",
				    "encoding",           "include_path_column",
				    "infer_column_types", "path_column",
				    "partition_size",     NULL};

static int check_known(const struct json_t *in, const char *what, struct slu_err *e)
{
	const char *odd = slu_json_unknown_key(in, known);

	return !odd ? 0
		    : slu_fail(
			      e, EINVAL,
			      "%s: unknown option '%s'; known are delimiter, header, "
			      "support_multi_line, empty_as_string, encoding, include_path_column, "
			      "infer_column_types, path_column, partition_size",
			      what, odd);
}

/* Characters of UTF-8, SIZE_MAX for what is none. */
static size_t characters(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static int set_delimiter(struct json_t *out, const struct json_t *in, const char *what,
			 struct slu_err *e)
{
	const struct json_t *v = slu_json_get(in, "delimiter");
	const char *s = v ? slu_json_string(v) : ",";
	size_t n = s ? characters(s) : 0;

	if (n < 1 || n > 2)
		return slu_fail(e, EINVAL, "%s: 'delimiter' has to be one or two characters", what);
	if (strpbrk(s, "\r\n\""))
		return slu_fail(e, EINVAL,
				"%s: 'delimiter' cannot hold a quote or the end of a line", what);
	return slu_json_set_str(out, "delimiter", s) < 0 ? slu_fail_oom(e) : 0;
}

static int set_header(struct json_t *out, const struct json_t *in, const char *what,
		      struct slu_err *e)
{
	const struct json_t *v = slu_json_get(in, "header");
	const char *s = v ? slu_json_string(v) : headers[0];

	for (size_t i = 0; s && headers[i]; i++)
		if (slu_streq(headers[i], s))
			return slu_json_set_str(out, "header", s) < 0 ? slu_fail_oom(e) : 0;
	return slu_fail(e, EINVAL,
			"%s: 'header' has to be no_header, from_first_file, "
			"all_files_different_headers or all_files_same_headers",
			what);
}

static int set_encoding(struct json_t *out, const struct json_t *in, const char *what,
			struct slu_err *e)
{
	const struct json_t *v = slu_json_get(in, "encoding");
	const char *s = v ? slu_json_string(v) : "utf8";

	for (size_t i = 0; s && i < NENCODINGS; i++)
		if (slu_streq(encodings[i].name, s))
			return slu_json_set_str(out, "encoding", s) < 0 ? slu_fail_oom(e) : 0;
	return slu_fail(
		e, EINVAL,
		"%s: 'encoding' has to be utf8, iso88591, latin1, ascii, utf16, utf32, utf8bom "
		"or windows1252",
		what);
}

static int set_flag(struct json_t *out, const struct json_t *in, const char *key, bool dflt,
		    const char *what, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(in, key);

	if (v && !slu_json_is_bool(v))
		return slu_fail(e, EINVAL, "%s: '%s' has to be true or false", what, key);
	return slu_json_set_bool(out, key, v ? slu_json_true(v) : dflt) < 0 ? slu_fail_oom(e) : 0;
}

/* true, false, or {"sample_size", "column_type_overrides"} */
static int set_infer(struct json_t *out, const struct json_t *in, const char *what,
		     struct slu_err *e)
{
	const struct json_t *v = slu_json_get(in, "infer_column_types");

	if (!slu_json_is_object(v))
		return set_flag(out, in, "infer_column_types", true, what, e);
	for (void *it = slu_json_iter(v); it; it = slu_json_next(v, it)) {
		const char *key = slu_json_iter_key(it);
		const struct json_t *x = slu_json_iter_value(it);

		if (slu_streq(key, "sample_size") && slu_json_is_int(x) && slu_json_integer(x) > 0)
			continue;
		if (slu_streq(key, "column_type_overrides") &&
		    (slu_json_is_object(x) || slu_json_is_array(x)))
			continue;
		return slu_fail(
			e, EINVAL,
			"%s: 'infer_column_types' has to be true, false or {\"sample_size\": "
			"N > 0, \"column_type_overrides\": {...}}; '%s' is neither",
			what, key);
	}
	return slu_json_set(out, "infer_column_types", slu_json_copy(v)) < 0 ? slu_fail_oom(e) : 0;
}

/* What has no default is there only when it was given. */
static int set_extras(struct json_t *out, const struct json_t *in, const char *what,
		      struct slu_err *e)
{
	const struct json_t *column = slu_json_get(in, "path_column");
	const struct json_t *size = slu_json_get(in, "partition_size");

	if (column && (!slu_json_is_string(column) || !*slu_json_string(column)))
		return slu_fail(e, EINVAL, "%s: 'path_column' has to be the name of a column",
				what);
	if (size && (!slu_json_is_int(size) || slu_json_integer(size) <= 0))
		return slu_fail(e, EINVAL, "%s: 'partition_size' has to be a number of bytes",
				what);
	if ((column && slu_json_set(out, "path_column", slu_json_copy(column)) < 0) ||
	    (size && slu_json_set(out, "partition_size", slu_json_copy(size)) < 0))
		return slu_fail_oom(e);
	return 0;
}

int slu_delimited_check(const struct json_t *in, const char *what, struct json_t **ret,
			struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *out = slu_json_object();

	if (!out)
		return slu_fail_oom(e);
	if (in && !slu_json_is_object(in))
		return slu_fail(e, EINVAL, "%s has to be an object of options", what);
	int r = check_known(in, what, e);

	if (r == 0)
		r = set_delimiter(out, in, what, e);
	if (r == 0)
		r = set_header(out, in, what, e);
	if (r == 0)
		r = set_flag(out, in, "support_multi_line", false, what, e);
	if (r == 0)
		r = set_flag(out, in, "empty_as_string", false, what, e);
	if (r == 0)
		r = set_encoding(out, in, what, e);
	if (r == 0)
		r = set_flag(out, in, "include_path_column", false, what, e);
	if (r == 0)
		r = set_infer(out, in, what, e);
	if (r == 0)
		r = set_extras(out, in, what, e);
	if (r == 0)
		*ret = slu_take(out);
	return r;
}

const char *slu_delimited_charset(const char *encoding)
{
	for (size_t i = 0; i < NENCODINGS; i++)
		if (slu_streq(encodings[i].name, encoding))
			return encodings[i].spark;
	return NULL;
}
