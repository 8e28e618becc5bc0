/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Previews: files in the order of the manifest, each from its beginning, until there are enough rows.
 * Texts stay as they are; steps over rows are not worked out here, and a note says so.
 */
#include "dataset/preview.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/fullpath.h"
#include "dataset/partition.h"
#include "dataset/reading.h"
#include "dataset/rows.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define FILES_MAX 100 /* without a row, before it is given up */
#define NOTES_MAX 20

enum header { SAME, FIRST, DIFFERENT, NONE };

struct preview {
	const struct slu_dataset *d;
	const char *format; /* "delimited", "json_lines" */
	const char *encoding, *delimiter;
	enum header header;
	bool multi, empty_as_string, drop, path;
	uint64_t limit, files, bytes, dropped, shorter, longer;
	uint64_t each; /* of files whose headers differ: rows of each of them, 0: of all together */
	bool named;    /* a header was read */
	bool guessed;  /* the definition does not say how it is read */
	SLU_VEC(char *) columns;
	size_t before; /* columns that are not in the files: Path, then those of partition_format */
	struct slu_partition *partition; /* NULL: none */
	struct slu_full_paths full;
	char **values; /* of the file that is read, for each column of partition */
	struct json_t *rows, *notes;
	struct slu_err *e;
};

static int note(struct preview *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	SLU_AUTO(slu_freep) char *text = slu_vasprintf(fmt, ap);
	va_end(ap);
	if (slu_json_count(p->notes) >= NOTES_MAX)
		return 0;
	if (!text || slu_json_append(p->notes, slu_json_new_str(text)) < 0)
		return slu_fail_oom(p->e);
	return 0;
}

/* --- how it is read --- */

static void delimited(struct preview *p, const struct json_t *args, const char *dflt)
{
	const char *header = slu_json_str(args, "header");
	const char *delimiter = slu_json_str(args, "delimiter");

	p->format = "delimited";
	p->delimiter = delimiter ? delimiter : dflt;
	p->header = !header || slu_streq(header, "all_files_same_headers") ? SAME
		    : slu_streq(header, "from_first_file")                 ? FIRST
		    : slu_streq(header, "no_header")                       ? NONE
									   : DIFFERENT;
	p->multi = slu_json_bool(args, "support_multi_line", false);
	p->empty_as_string = slu_json_bool(args, "empty_as_string", false);
}

static int not_text(struct preview *p, const char *format)
{
	return slu_fail(p->e, ENOTSUP,
			"'%s' data is not text: an engine shows it, such as "
			"pyarrow.parquet.read_schema() on a mount, or Spark",
			format);
}

/* Where nothing says what is read, what Spark passes over is not: _SUCCESS and the like. */
static bool is_read(const struct preview *p, const char *path)
{
	return !p->guessed || p->d->tree->single_file || !slu_reading_passes_over(path);
}

static int by_extension(struct preview *p)
{
	const struct slu_manifest *m = p->d->tree->manifest;
	size_t i = 0;

	p->guessed = true;
	while (i < slu_manifest_count(m) && !is_read(p, slu_manifest_at(m, i)->path))
		i++;
	if (i == slu_manifest_count(m))
		return slu_fail(p->e, EINVAL,
				"it does not say how it is read, and has only files that Spark "
				"passes over, such as '%s': make it a table (sluice data create "
				"--read=delimited)",
				i ? slu_manifest_at(m, 0)->path : "");

	const char *name = slu_manifest_at(m, i)->path;

	if (slu_ends(name, ".csv") || slu_ends(name, ".txt"))
		delimited(p, NULL, ",");
	else if (slu_ends(name, ".tsv"))
		delimited(p, NULL, "\t");
	else if (slu_ends(name, ".jsonl") || slu_ends(name, ".ndjson"))
		p->format = "json_lines";
	else if (slu_ends(name, ".parquet"))
		return not_text(p, "parquet");
	else
		return slu_fail(p->e, EINVAL,
				"'%s' does not say how it is read, and its name does not either: "
				"make it a table (sluice data create --read=delimited)",
				name);
	return 0;
}

static int find_format(struct preview *p)
{
	const struct json_t *args = NULL;
	const char *name = slu_reading_of(p->d->def->doc, &args);
	const char *encoding = slu_json_str(args, "encoding");
	const char *lines = slu_json_str(args, "invalid_lines");

	p->encoding = encoding ? encoding : "utf8";
	p->drop = lines && slu_streq(lines, "drop");
	p->path = slu_json_bool(args, "include_path_column", false);
	if (!name)
		return by_extension(p);
	if (slu_streq(name, "read_delimited")) {
		delimited(p, args, ",");
		return 0;
	}
	if (slu_streq(name, "read_json_lines")) {
		p->format = "json_lines";
		return 0;
	}
	return not_text(p, name + strlen("read_"));
}

/* --- columns --- */

static int add_column(struct preview *p, const char *name, size_t *ret)
{
	char *copy = slu_strdup(name);

	for (size_t i = 0; copy && i < p->before; i++)
		if (slu_streq(p->columns.p[i], name) &&
		    note(p,
			 "the files have a column '%s', as their paths do: engines take that of "
			 "the path",
			 name) < 0) {
			free(copy);
			return -ENOMEM;
		}
	if (!copy || !slu_vec_push(&p->columns, copy)) {
		free(copy);
		return slu_fail_oom(p->e);
	}
	if (ret)
		*ret = p->columns.n - 1;
	return 0;
}

/* Among those of the files. */
static size_t find_column(const struct preview *p, const char *name)
{
	size_t i = p->before;

	while (i < p->columns.n && !slu_streq(p->columns.p[i], name))
		i++;
	return i;
}

/* Columns up to the n-th, by number. */
static int number_columns(struct preview *p, size_t n)
{
	int r = 0;

	while (r == 0 && p->columns.n < n) {
		SLU_AUTO(slu_freep)
		char *name = slu_asprintf("Column%zu", p->columns.n + 1 - p->before);

		r = name ? add_column(p, name, NULL) : slu_fail_oom(p->e);
	}
	return r;
}

static int check_names(struct preview *p, const struct slu_row *row, const char *file)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < row->cells.n; i++) {
		const char *name = row->cells.p[i].text;

		if (!*name) {
			r = note(p,
				 "'%s': column %zu has no name in the header; engines will make "
				 "one up",
				 file, i + 1);
			continue;
		}
		for (size_t k = 0; k < i; k++)
			if (slu_streq(row->cells.p[k].text, name)) {
				r = note(p,
					 "'%s': the header has '%s' twice (columns %zu and %zu); "
					 "engines refuse or rename it: rename one in the file, or "
					 "read it with --header no_header",
					 file, name, k + 1, i + 1);
				break;
			}
	}
	return r;
}

/* --- rows --- */

static struct json_t *cell_value(const struct preview *p, const struct slu_cell *c)
{
	if (!*c->text && !c->quoted && !p->empty_as_string)
		return slu_json_new_null();
	return slu_json_new_str(c->text);
}

static int put_row(struct preview *p, struct json_t *row)
{
	return slu_json_append(p->rows, row) < 0 ? slu_fail_oom(p->e) : 0;
}

/* Where field i of a row stands; beyond the header it makes a column by its number. */
static int place(struct preview *p, size_t i, const size_t *map, size_t nmap, size_t *ret)
{
	if (!map) {
		*ret = p->before + i;
		return number_columns(p, p->before + i + 1);
	}
	if (i < nmap) {
		*ret = map[i];
		return 0;
	}
	SLU_AUTO(slu_freep) char *name = slu_asprintf("Column%zu", i + 1);

	if (!name)
		return slu_fail_oom(p->e);
	*ret = find_column(p, name);
	return *ret == p->columns.n ? add_column(p, name, ret) : 0;
}

/* Column i of those that are not in the files. */
static struct json_t *value_before(const struct preview *p, size_t i, const char *file)
{
	const char *value = p->path && i == 0 ? file : p->values[i - p->path];

	return value ? slu_json_new_str(value) : slu_json_new_null();
}

static struct json_t *make_row(const struct preview *p, const struct slu_row *row, const size_t *at,
			       const char *file)
{
	SLU_AUTO(slu_json_freep) struct json_t *out = slu_json_array();

	for (size_t i = 0; i < p->columns.n; i++) {
		const struct slu_cell *c = NULL;

		for (size_t k = row->cells.n; k-- > 0 && !c;)
			c = at[k] == i ? &row->cells.p[k] : NULL;
		if (slu_json_append(out, c               ? cell_value(p, c)
					 : i < p->before ? value_before(p, i, file)
							 : slu_json_new_null()) < 0)
			return NULL;
	}
	return slu_take(out);
}

/* map: where the fields of this file stand, NULL: as they come. */
static int add_row(struct preview *p, const struct slu_row *row, const char *file,
		   const size_t *map, size_t nmap)
{
	SLU_AUTO(slu_freep) size_t *at = slu_calloc(row->cells.n, sizeof(size_t));
	size_t n = row->cells.n, wide = map ? nmap : p->columns.n - p->before;
	int r = at ? 0 : slu_fail_oom(p->e);

	p->longer += wide && n > wide;
	p->shorter += n < wide;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = place(p, i, map, nmap, &at[i]);
	if (r < 0)
		return r;
	struct json_t *out = make_row(p, row, at, file);

	return out ? put_row(p, out) : slu_fail_oom(p->e);
}

/* The header of a file whose columns are told from those of others by name. */
static int map_header(struct preview *p, const struct slu_row *row, size_t **ret_map)
{
	SLU_AUTO(slu_freep) size_t *map = slu_calloc(row->cells.n + 1, sizeof(size_t));
	int r = 0;

	if (!map)
		return slu_fail_oom(p->e);
	for (size_t i = 0; r == 0 && i < row->cells.n; i++) {
		map[i] = find_column(p, row->cells.p[i].text);
		if (map[i] == p->columns.n)
			r = add_column(p, row->cells.p[i].text, &map[i]);
	}
	if (r == 0)
		*ret_map = slu_take(map);
	return r;
}

static int take_header(struct preview *p, const struct slu_row *row, const char *file)
{
	int r = check_names(p, row, file);

	for (size_t i = 0; r == 0 && i < row->cells.n; i++)
		r = add_column(p, row->cells.p[i].text, NULL);
	p->named = true;
	return r;
}

static int other_header(struct preview *p, const struct slu_row *row, const char *file)
{
	bool same = row->cells.n == p->columns.n - p->before;

	for (size_t i = 0; same && i < row->cells.n; i++)
		same = slu_streq(row->cells.p[i].text, p->columns.p[p->before + i]);
	return same ? 0
		    : note(p,
			   "'%s': its first row, which is passed over, is not the header of the "
			   "first file; if headers differ, say --header "
			   "all_files_different_headers, if there is none, from_first_file",
			   file);
}

static int delimited_rows(struct preview *p, struct slu_textfile *t)
{
	SLU_AUTO(slu_row_done) struct slu_row row = {0};
	SLU_AUTO(slu_freep) size_t *map = NULL;
	bool header =
		p->header == SAME || p->header == DIFFERENT || (p->header == FIRST && !p->named);
	size_t nmap = 0;
	int r = 1;

	while (slu_json_count(p->rows) < p->limit &&
	       (r = slu_row_next(t, p->delimiter, p->multi, &row, p->e)) == 1) {
		if (!header) {
			r = add_row(p, &row, t->name, map, nmap);
		} else if (p->header == DIFFERENT) {
			r = check_names(p, &row, t->name);
			nmap = row.cells.n;
			r = r < 0 ? r : map_header(p, &row, &map);
		} else {
			r = p->named ? other_header(p, &row, t->name)
				     : take_header(p, &row, t->name);
		}
		header = false;
		if (r < 0)
			return r;
	}
	return r < 0 ? r : 0;
}

static int json_rows(struct preview *p, struct slu_textfile *t)
{
	int r = 0;

	while (slu_json_count(p->rows) < p->limit) {
		SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
		SLU_AUTO(slu_json_freep) struct json_t *out = slu_json_array();

		r = slu_json_row_next(t, p->drop, &p->dropped, &o, p->e);
		if (r <= 0)
			return r;
		for (void *it = slu_json_iter(o); it; it = slu_json_next(o, it))
			if (find_column(p, slu_json_iter_key(it)) == p->columns.n &&
			    add_column(p, slu_json_iter_key(it), NULL) < 0)
				return -ENOMEM;
		for (size_t i = 0; i < p->columns.n; i++) {
			struct json_t *v = i < p->before ? value_before(p, i, t->name)
					   : slu_json_get(o, p->columns.p[i])
						   ? slu_json_ref(slu_json_get(o, p->columns.p[i]))
						   : slu_json_new_null();

			if (slu_json_append(out, v) < 0)
				return slu_fail_oom(p->e);
		}
		r = put_row(p, slu_take(out));
		if (r < 0)
			return r;
	}
	return 0;
}

static void forget_values(struct preview *p)
{
	for (size_t i = 0; p->partition && i < slu_partition_columns(p->partition); i++) {
		free(p->values[i]);
		p->values[i] = NULL;
	}
}

/* What the path of a file says. */
static int take_path(struct preview *p, const char *path)
{
	bool matched;

	if (!p->partition)
		return 0;
	SLU_AUTO(slu_freep) char *full = slu_full_path(&p->full, path);

	forget_values(p);
	return full && slu_partition_match(p->partition, full, p->values, &matched) == 0
		       ? 0
		       : slu_fail_oom(p->e);
}

static int one_file(struct preview *p, size_t i)
{
	SLU_AUTO(slu_textfile_close) struct slu_textfile t = {0};
	int r = take_path(p, slu_manifest_at(p->d->tree->manifest, i)->path);

	if (r == 0)
		r = slu_textfile_open(&t, p->d->tree, i, p->encoding, p->e);
	if (r == 0)
		r = slu_streq(p->format, "delimited") ? delimited_rows(p, &t) : json_rows(p, &t);
	p->files++;
	p->bytes += t.fetched;
	return r;
}

/* --- the answer --- */

static int told(struct preview *p)
{
	const struct json_t *all = slu_json_get(p->d->def->doc, "transformations");
	bool rows = false;
	int r = 0;

	if (p->shorter)
		r = note(p, "%llu rows have fewer fields than there are columns; null stands there",
			 (unsigned long long)p->shorter);
	if (r == 0 && p->longer)
		r = note(
			p,
			"%llu rows have more fields than the header; they are in Column<N>: is the "
			"delimiter right, and are fields that hold it in quotes?",
			(unsigned long long)p->longer);
	if (r == 0 && p->dropped)
		r = note(p, "%llu lines are no JSON objects and were dropped",
			 (unsigned long long)p->dropped);
	for (size_t i = 0; i < slu_json_count(all); i++) {
		const struct json_t *step = slu_json_at(all, i);
		void *it = slu_json_is_object(step) ? slu_json_iter(step) : NULL;
		const char *name = it ? slu_json_iter_key(it) : slu_json_string(step);

		if (rows && name && r == 0 && !slu_starts(name, "extract_columns"))
			r = note(p, "the step '%s' over rows is not worked out in a preview", name);
		rows |= name && slu_starts(name, "read_");
	}
	return r;
}

/* Rows from before a column was known end early. */
static int pad(struct preview *p)
{
	for (size_t i = 0; i < slu_json_count(p->rows); i++)
		while (slu_json_count(slu_json_at(p->rows, i)) < p->columns.n)
			if (slu_json_append(slu_json_at(p->rows, i), slu_json_new_null()) < 0)
				return slu_fail_oom(p->e);
	return 0;
}

static int answer(struct preview *p, struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object(), *names = slu_json_array();

	for (size_t i = 0; i < p->columns.n; i++)
		if (slu_json_append(names, slu_json_new_str(p->columns.p[i])) < 0)
			return slu_fail_oom(p->e);
	if (slu_json_set_str(o, "format", p->format) < 0 ||
	    slu_json_set(o, "columns", slu_json_ref(names)) < 0 ||
	    slu_json_set(o, "rows", slu_json_ref(p->rows)) < 0 ||
	    slu_json_set_int(o, "files", (int64_t)p->files) < 0 ||
	    slu_json_set_int(o, "bytes_read", (int64_t)p->bytes) < 0 ||
	    slu_json_set(o, "notes", slu_json_ref(p->notes)) < 0)
		return slu_fail_oom(p->e);
	*ret = slu_take(o);
	return 0;
}

static int read_files(struct preview *p)
{
	const struct slu_manifest *m = p->d->tree->manifest;
	int r = 0;

	for (size_t i = 0; r == 0 && i < slu_manifest_count(m) &&
			   slu_json_count(p->rows) < p->limit && p->files < FILES_MAX;
	     i++) {
		const struct slu_file *f = slu_manifest_at(m, i);

		if (f->size == 0 || !is_read(p, f->path))
			continue;
		r = one_file(p, i);
		if (p->each && p->header == DIFFERENT)
			p->limit = slu_json_count(p->rows) + p->each;
	}
	return r;
}

/* The columns that are not in the files. */
static int begin_columns(struct preview *p, struct sluice *s)
{
	const char *format = slu_definition_partition(p->d->def);
	int r = p->path ? add_column(p, "Path", NULL) : 0;

	if (r == 0 && format)
		r = slu_partition_parse(format, &p->partition, p->e);
	size_t n = r == 0 && p->partition ? slu_partition_columns(p->partition) : 0;

	if (n) {
		p->values = slu_calloc(n, sizeof(char *));
		r = p->values ? slu_full_paths_init(s, p->d->tree->manifest, &p->full, p->e)
			      : slu_fail_oom(p->e);
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_column(p, slu_partition_name(p->partition, i), NULL);
	p->before = p->columns.n;
	return r;
}

static int run(struct preview *p, struct sluice *s, struct json_t **ret)
{
	int r = find_format(p);

	if (r == 0)
		r = begin_columns(p, s);
	if (r == 0)
		r = read_files(p);
	if (r == 0 && p->files == FILES_MAX && slu_json_count(p->rows) < p->limit)
		r = note(p, "only the first %d files were looked at", FILES_MAX);
	if (r == 0)
		r = told(p);
	if (r == 0)
		r = pad(p);
	return r < 0 ? r : answer(p, ret);
}

int slu_preview(struct sluice *s, const struct slu_dataset *d, uint64_t rows, bool schema,
		struct json_t **ret, struct slu_err *e)
{
	struct slu_err own = {0};
	struct preview p = {.d = d,
			    .limit = rows,
			    .each = schema ? rows : 0,
			    .rows = slu_json_array(),
			    .notes = slu_json_array(),
			    .e = e ? e : &own};
	int r = p.rows && p.notes ? run(&p, s, ret) : slu_fail_oom(e);

	for (size_t i = 0; i < p.columns.n; i++)
		free(p.columns.p[i]);
	free(p.columns.p);
	if (p.values)
		forget_values(&p);
	free(p.values);
	slu_partition_free(p.partition);
	slu_full_paths_done(&p.full);
	slu_json_free(p.rows);
	slu_json_free(p.notes);
	return r;
}
