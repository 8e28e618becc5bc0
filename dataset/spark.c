/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A definition in the words of spark.read: format and options, and, honestly, where Spark reads otherwise
 * than Azure ML's engine does (docs/tables.md has the whole of it).  What no option can say is no
 * approximation but a reason.
 */
#include "dataset/definition_impl.h"
#include "dataset/reading.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

struct map {
	const struct slu_definition *d;
	const struct json_t *args;
	struct json_t *options, *differs;
	const char *format, *reason;
	int rc;
};

static void option(struct map *m, const char *key, const char *value)
{
	if (m->rc == 0)
		m->rc = slu_json_set_str(m->options, key, value);
}

static void differs(struct map *m, const char *text)
{
	if (m->rc == 0)
		m->rc = slu_json_append(m->differs, slu_json_new_str(text));
}

static bool is(const struct map *m, const char *key, const char *value)
{
	const char *v = slu_json_str(m->args, key);

	return v && slu_streq(v, value);
}

static const char *truth(bool v)
{
	return v ? "true" : "false";
}

/* Spark cuts lines at bytes: of text with wide characters it has to read whole files. */
static bool wide(const struct map *m)
{
	return is(m, "encoding", "utf16") || is(m, "encoding", "utf32");
}

static void encoding(struct map *m)
{
	const char *name = slu_json_str(m->args, "encoding");

	option(m, "encoding", slu_delimited_charset(name ? name : "utf8"));
}

static void map_delimited(struct map *m)
{
	const struct json_t *infer = slu_json_get(m->args, "infer_column_types");
	bool multi = slu_json_bool(m->args, "support_multi_line", false);

	m->format = "csv";
	/* Spark takes a header off every file or off none, and names columns once, by position. */
	if (is(m, "header", "from_first_file"))
		m->reason =
			"a header in the first file only: Spark takes one off every file or none";
	if (is(m, "header", "all_files_different_headers"))
		m->reason = "headers that differ: read the files one by one, and join them by "
			    "unionByName(allowMissingColumns=True)";
	option(m, "header", truth(!is(m, "header", "no_header")));
	option(m, "sep", slu_json_str(m->args, "delimiter"));
	encoding(m);
	option(m, "multiLine", truth(multi || wide(m)));
	option(m, "inferSchema", truth(slu_json_is_object(infer) || slu_json_true(infer)));
	option(m, "quote", "\"");
	option(m, "escape", "\"");
	if (is(m, "header", "no_header"))
		differs(m, "columns are named _c0, _c1, ... and not Column1, Column2, ...");
	if (wide(m) && !multi)
		differs(m, "multiLine is true, because Spark cuts lines at bytes: a quote may hold "
			   "the end of a line");
	if (slu_json_bool(m->args, "empty_as_string", false))
		differs(m, "an empty field is null: df.na.fill('') makes it a text");
	if (slu_json_is_object(infer))
		differs(m, "sample_size and column_type_overrides are not said: give a schema");
}

static void map_json(struct map *m)
{
	m->format = "json";
	option(m, "mode", is(m, "invalid_lines", "drop") ? "DROPMALFORMED" : "FAILFAST");
	encoding(m);
	if (!is(m, "encoding", "utf8") && !is(m, "encoding", "utf8bom"))
		option(m, "lineSep", "\n");
	differs(m, "columns come in the order of the alphabet, not of first sight");
}

static void map_delta(struct map *m)
{
	const struct json_t *version = slu_json_get(m->args, "version_as_of");
	SLU_AUTO(slu_freep) char *text = NULL;

	m->format = "delta";
	if (version) {
		text = slu_asprintf("%lld", (long long)slu_json_integer(version));
		if (!text)
			m->rc = -ENOMEM;
		option(m, "versionAsOf", text);
	}
	option(m, "timestampAsOf", slu_json_str(m->args, "timestamp_as_of"));
}

/* What stands in the transformations beside the reading. */
static void map_steps(struct map *m)
{
	const struct json_t *all = slu_json_get(m->d->doc, "transformations");
	bool rows = false;

	if (slu_json_bool(m->args, "include_path_column", false))
		differs(m, "no column of paths: withColumn('Path', input_file_name()) makes one");
	for (size_t i = 0; m->rc == 0 && i < slu_json_count(all); i++) {
		const struct json_t *step = slu_json_at(all, i);
		void *it = slu_json_is_object(step) ? slu_json_iter(step) : NULL;
		const char *name = it ? slu_json_iter_key(it) : slu_json_string(step);

		if (name && slu_starts(name, "read_")) {
			rows = true;
			continue;
		}
		if (!name || (!rows && !slu_starts(name, "extract_columns")))
			continue; /* the files are chosen before Spark sees them */
		SLU_AUTO(slu_freep)
		char *text = slu_asprintf("the step '%s' is for the program to do", name);

		if (!text)
			m->rc = -ENOMEM;
		else
			differs(m, text);
	}
}

static int answer(struct map *m, struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int r = slu_json_set_str(o, "format", m->format);

	if (r == 0)
		r = m->reason ? slu_json_set_str(o, "reason", m->reason)
			      : slu_json_set(o, "options", slu_json_ref(m->options));
	if (r == 0 && slu_json_count(m->differs))
		r = slu_json_set(o, "differs", slu_json_ref(m->differs));
	if (r == 0)
		*ret = slu_take(o);
	return r;
}

int slu_definition_spark(const struct slu_definition *d, struct json_t **ret)
{
	struct map m = {.d = d, .options = slu_json_object(), .differs = slu_json_array()};
	const char *name = slu_reading_of(d->doc, &m.args);

	if (!m.options || !m.differs)
		m.rc = -ENOMEM;
	else if (!name)
		m.rc = 0;
	else if (slu_streq(name, "read_delimited"))
		map_delimited(&m);
	else if (slu_streq(name, "read_json_lines"))
		map_json(&m);
	else if (slu_streq(name, "read_parquet"))
		m.format = "parquet";
	else if (slu_streq(name, "read_delta_lake"))
		map_delta(&m);
	if (m.format)
		map_steps(&m);
	*ret = NULL;
	if (m.rc == 0 && m.format)
		m.rc = answer(&m, ret);
	slu_json_free(m.options);
	slu_json_free(m.differs);
	return m.rc;
}
