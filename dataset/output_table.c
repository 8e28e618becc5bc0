/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An output that is registered as a table: how its files are read is said in the job file with the words of
 * `sluice data create` ("delimited", "json_lines", "parquet", "delta_lake", "partition_format"); "path_glob" says
 * which of them, "transformations" what becomes of its rows and columns.  What readers of tables skip (`_x`, `.x`) is no file of it.
 */
#include "dataset/output_parts.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/partition.h"
#include "dataset/reading.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

#define GLOB "path_glob"
#define FORMAT "partition_format"
#define STEPS "transformations"

/* Puts the steps of the table behind those of doc: they see what was read. */
static int add_steps(struct json_t *doc, const struct json_t *steps)
{
	struct json_t *all = slu_json_get(doc, STEPS);

	for (size_t i = 0; i < slu_json_count(steps); i++)
		if (slu_json_append(all, slu_json_copy(slu_json_at(steps, i))) < 0)
			return -ENOMEM;
	return 0;
}

static int check_step(const struct json_t *step, struct slu_err *e)
{
	static const char *const names[] = {"keep_columns", "drop_columns", "convert_column_types",
					    "take",         "skip",         "take_random_sample",
					    "sample",       "filter",       "select_partitions"};
	void *it =
		slu_json_is_object(step) && slu_json_count(step) == 1 ? slu_json_iter(step) : NULL;
	const char *name = it ? slu_json_iter_key(it) : "an entry that is none";
	const struct json_t *args = it ? slu_json_iter_value(it) : NULL;
	size_t i = 0, n = sizeof names / sizeof *names;

	if (slu_starts(name, "read_"))
		return slu_fail(e, EINVAL, "'" STEPS "': how it is read is said beside them");
	while (i < n && !slu_streq(name, names[i]))
		i++;
	if (i == n)
		return slu_fail(
			e, EINVAL,
			"'" STEPS "' has '%s': there are keep_columns, drop_columns, "
			"convert_column_types, take, skip, take_random_sample, sample, filter and "
			"select_partitions",
			name);
	if (i < 2 && !slu_json_is_string(args) && !slu_json_is_array(args) &&
	    !slu_json_is_object(args))
		return slu_fail(e, EINVAL, "'%s' wants a name, or a list of names", name);
	return 0;
}

static int check_steps(const struct json_t *steps, const struct json_t *reading, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *doc = NULL;
	SLU_AUTO(slu_definition_freep) struct slu_definition *d = NULL;
	SLU_AUTO(slu_freep) char *read = NULL, *text = NULL;

	if (!slu_json_is_array(steps))
		return slu_fail(e, EINVAL,
				"'" STEPS "' is a list, such as [{keep_columns: [a, b]}]");
	for (size_t i = 0; i < slu_json_count(steps); i++) {
		int r = check_step(slu_json_at(steps, i), e);

		if (r < 0)
			return r;
	}
	read = slu_json_text(reading, 0);
	text = read ? slu_asprintf(
			      "{\"type\": \"mltable\", \"paths\": [{\"folder\": \"file:///x\"}], "
			      "\"" STEPS "\": [%s]}",
			      read)
		    : NULL;
	if (!text)
		return slu_fail_oom(e);
	int r = slu_json_parse(text, strlen(text), "an output", &doc, e);

	if (r == 0 && add_steps(doc, steps) < 0)
		r = slu_fail_oom(e);
	return r < 0 ? r : slu_definition_from_doc("mltable", doc, "the output", &d, e);
}

int slu_output_check_table(const struct json_t *table, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *reading = NULL;
	SLU_AUTO(slu_partition_freep) struct slu_partition *p = NULL;
	const char *glob = slu_json_str(table, GLOB), *format = slu_json_str(table, FORMAT);
	int r = slu_reading_of_spec(table, &reading, e);

	if (r == 0 && !reading)
		r = slu_fail(e, EINVAL,
			     "'" GLOB "' and '" FORMAT "' are of tables: say how the files are "
			     "read ('delimited', 'json_lines', 'parquet' or 'delta_lake')");
	if (r == 0 &&
	    ((slu_json_get(table, GLOB) && !glob) || (slu_json_get(table, FORMAT) && !format)))
		r = slu_fail(e, EINVAL, "'" GLOB "' and '" FORMAT "' are texts");
	if (r == 0 && glob)
		r = slu_glob_check(glob, e);
	if (r == 0 && format)
		r = slu_partition_parse(format, &p, e);
	if (r == 0 && slu_json_get(table, STEPS))
		r = check_steps(slu_json_get(table, STEPS), reading, e);
	return r;
}

/* The log of a Delta table is part of it. */
static bool is_of_table(void *user, const struct slu_file *f)
{
	const struct json_t *table = user;
	const char *glob = slu_json_str(table, GLOB);

	if (slu_json_get(table, "delta_lake"))
		return true;
	return !slu_reading_passes_over(f->path) && (!glob || slu_glob_match(glob, f->path));
}

int slu_output_table_files(const struct slu_output *o, struct slu_manifest **m, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *rest = NULL;
	int r = slu_manifest_choose(*m, is_of_table, o->table, &rest, e);

	if (r == 0 && !slu_manifest_count(rest) && slu_manifest_count(*m) && !o->allow_empty)
		r = slu_fail(e, ENODATA,
			     "none of the %zu files that this run wrote to '%s', such as '%s', is "
			     "of the table by its name and \"" GLOB "\"",
			     slu_manifest_count(*m), o->uri, slu_manifest_at(*m, 0)->path);
	if (r == 0) {
		slu_manifest_free(*m);
		*m = slu_take(rest);
	}
	return r;
}

int slu_output_table_definition(struct sluice *s, const struct slu_output *o,
				struct slu_definition **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *spec = slu_json_copy(o->table), *doc = NULL;
	SLU_AUTO(slu_definition_freep) struct slu_definition *d = NULL;
	const struct json_t *steps = slu_json_get(o->table, STEPS);
	const char *glob = slu_json_str(o->table, GLOB);
	SLU_AUTO(slu_freep)
	char *path = glob ? slu_asprintf("%s/%s", o->uri, glob) : slu_strdup(o->uri);

	if (!spec || !path || slu_json_set_str(spec, "path", path) < 0)
		return slu_fail_oom(e);
	slu_json_del(spec, GLOB);
	slu_json_del(spec, STEPS);
	int r = slu_definition_from_spec(s, spec, &d, e);

	if (r < 0 || !slu_json_count(steps)) {
		if (r == 0)
			*ret = slu_take(d);
		return r;
	}
	doc = slu_json_copy(d->doc);
	if (!doc || add_steps(doc, steps) < 0)
		return slu_fail_oom(e);
	return slu_definition_from_doc(d->type, doc, o->uri, ret, e);
}
