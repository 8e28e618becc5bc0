/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: the files of a dataset with the columns that their paths make (dataset/partition.h), and conditions
 * on those.  The path that is matched is the whole one, from the root of the store or of the local file system.
 */
#include "dataset/api.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/vec.h"
#include "dataset/fullpath.h"
#include "dataset/partition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum compare { EQUAL, UNEQUAL, LESS, AT_MOST, MORE, AT_LEAST };

struct condition {
	size_t column;
	enum compare op;
	const char *value; /* in the text of the caller */
};

struct asking {
	struct slu_dataset *dataset;
	struct slu_partition *format;
	SLU_VEC(struct condition) where;
	struct slu_full_paths full;
	char **values;
	struct slu_err *e;
};

static void asking_done(struct asking *a)
{
	slu_dataset_free(a->dataset);
	slu_partition_free(a->format);
	slu_full_paths_done(&a->full);
	free(a->where.p);
	free(a->values);
}

/* --- conditions --- */

static int no_column(struct asking *a, const char *name)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);

	for (size_t i = 0; i < slu_partition_columns(a->format); i++)
		slu_buf_fmt(&b, "%s'%s'", i ? ", " : "", slu_partition_name(a->format, i));
	return slu_fail(a->e, EINVAL, "the paths make no column '%s', but %s", name,
			b.p ? b.p : "none");
}

static int add_condition(struct asking *a, const char *text)
{
	static const struct {
		const char *text;
		enum compare op;
	} ops[] = {{"!=", UNEQUAL}, {"<=", AT_MOST}, {">=", AT_LEAST},
		   {"=", EQUAL},    {"<", LESS},     {">", MORE}};
	size_t n = strcspn(text, "=!<>"), i = 0;
	SLU_AUTO(slu_freep) char *name = slu_strndup(text, n);
	struct condition c = {0};

	if (!name)
		return slu_fail_oom(a->e);
	while (i < 6 && !slu_starts(text + n, ops[i].text))
		i++;
	if (n == 0 || i == 6)
		return slu_fail(
			a->e, EINVAL,
			"'%s' is no condition: COLUMN=VALUE, also with !=, <, <=, >, >=", text);
	c.op = ops[i].op;
	c.value = text + n + strlen(ops[i].text);
	while (c.column < slu_partition_columns(a->format) &&
	       !slu_streq(slu_partition_name(a->format, c.column), name))
		c.column++;
	if (c.column == slu_partition_columns(a->format))
		return no_column(a, name);
	return slu_vec_push(&a->where, c) ? 0 : slu_fail_oom(a->e);
}

/* <0, 0, >0 */
static int compare(const char *is, const char *want, bool time)
{
	int64_t x, y;

	/* "2026-01" is all of that month */
	if (time)
		return strncmp(is, want, strlen(want));
	if (slu_i64(is, INT64_MIN, INT64_MAX, &x) && slu_i64(want, INT64_MIN, INT64_MAX, &y))
		return x < y ? -1 : x > y;
	return strcmp(is, want);
}

/* Nothing is known of a file whose path does not match: no condition holds for it. */
static bool holds(const struct asking *a, const struct condition *c)
{
	const char *is = a->values[c->column];

	if (!is)
		return false;
	int k = compare(is, c->value, slu_partition_is_time(a->format, c->column));

	switch (c->op) {
	case EQUAL:
		return k == 0;
	case UNEQUAL:
		return k != 0;
	case LESS:
		return k < 0;
	case AT_MOST:
		return k <= 0;
	case MORE:
		return k > 0;
	default:
		return k >= 0;
	}
}

/* --- files --- */

static char *row(const struct asking *a, const struct slu_file *f)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	struct json_t *columns = slu_json_object();
	int r = columns ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < slu_partition_columns(a->format); i++)
		r = slu_json_set(columns, slu_partition_name(a->format, i),
				 a->values[i] ? slu_json_new_str(a->values[i])
					      : slu_json_new_null());
	if (r == 0 && slu_json_set_str(o, "path", f->path) == 0 &&
	    slu_json_set_int(o, "size", (int64_t)f->size) == 0)
		r = slu_json_set(o, "columns", slu_take(columns));
	slu_json_free(columns);
	return r == 0 ? slu_json_text(o, SLU_JSON_COMPACT) : NULL;
}

static int tell_file(struct asking *a, const struct slu_file *f, sluice_row_fn *fn, void *user)
{
	SLU_AUTO(slu_freep) char *full = slu_full_path(&a->full, f->path);
	SLU_AUTO(slu_freep) char *text = NULL;
	bool matched, take = true;
	int r = full ? slu_partition_match(a->format, full, a->values, &matched) : -ENOMEM;

	if (r < 0)
		return slu_fail_oom(a->e);
	for (size_t i = 0; take && i < a->where.n; i++)
		take = holds(a, &a->where.p[i]);
	if (take)
		text = row(a, f);
	for (size_t i = 0; i < slu_partition_columns(a->format); i++)
		free(a->values[i]);
	if (!take)
		return 0;
	return text ? fn(user, text) : slu_fail_oom(a->e);
}

static int partitions(struct sluice *s, struct asking *a, const char *ref, const char *format,
		      const char *const *where)
{
	int r = slu_resolve_ref(s, ref, &a->dataset, a->e);

	if (r < 0)
		return r;
	if (!format)
		format = slu_definition_partition(a->dataset->def);
	if (!format)
		return slu_fail(a->e, EINVAL,
				"'%s' has no partition_format: give one with --format", ref);
	r = slu_partition_parse(format, &a->format, a->e);
	if (r < 0)
		return r;
	a->values = slu_calloc(slu_partition_columns(a->format) + 1, sizeof(char *));
	if (!a->values)
		return slu_fail_oom(a->e);
	for (; r == 0 && where && *where; where++)
		r = add_condition(a, *where);
	return r < 0 ? r : slu_full_paths_init(s, a->dataset->tree->manifest, &a->full, a->e);
}

int sluice_data_partitions(struct sluice *s, const char *ref, const char *format,
			   const char *const *where, sluice_row_fn *fn, void *user,
			   struct sluice_error *e)
{
	struct slu_err er = {0};
	struct asking a = {.e = &er};
	int r = partitions(s, &a, ref, format, where);
	const struct slu_manifest *m = r == 0 ? a.dataset->tree->manifest : NULL;

	for (size_t i = 0; r == 0 && i < slu_manifest_count(m); i++)
		r = tell_file(&a, slu_manifest_at(m, i), fn, user);
	asking_done(&a);
	return r > 0 ? r : slu_api_error(e, &er, r);
}
