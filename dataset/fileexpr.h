/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The expression of a filter step over files: what Azure ML's Python writes as
 * `file_metadata('Size') > 1000` or `col('year') == '2024'`, as text.
 *
 *   or, |, ||   and, &, &&   not, ~, !   == = != < <= > >=   ( )
 *   a column: NAME, col('NAME'), file_metadata('NAME'); of texts .startswith('x') .endswith('x')
 *   .contains('x'); literals: 12, 1.5, 'text', "text", True, False, datetime(2024, 1, 31[, h, m, s])
 *
 * Columns: Size (bytes; a text such as '10MiB' too), LastModifiedTime (a time; a text such as
 * '2024-01-31' or RFC 3339 too), Extension (with its dot, as it is), Path (in the view), CanSeek
 * (true), and those that the caller knows.  Immutable once made; any thread.
 */
#ifndef SLU_DATASET_FILEEXPR_H
#define SLU_DATASET_FILEEXPR_H

#include "common/cleanup.h"
#include "common/err.h"
#include "fs/op.h"

#include <stdbool.h>

enum slu_value_kind {
	SLU_VALUE_NULL,
	SLU_VALUE_BOOL,
	SLU_VALUE_NUMBER,
	SLU_VALUE_TEXT,
	SLU_VALUE_TIME
};

struct slu_value {
	enum slu_value_kind kind;
	bool truth;
	double number;
	int64_t time_ns;
	const char *text; /* as long as what it came from */
	size_t len;
};

struct slu_fileexpr;

/* Which other columns there are.  kind: what its values are.  False: no such column. */
typedef bool slu_column_fn(void *user, const char *name, enum slu_value_kind *ret_kind);
/* The value of such a column for the file at hand; SLU_VALUE_NULL: it has none. */
typedef void slu_cell_fn(void *user, const char *name, struct slu_value *ret);

/* column may be NULL.  -EINVAL says where and what is wrong. */
int slu_fileexpr_new(const char *text, slu_column_fn *column, void *user, struct slu_fileexpr **ret,
		     struct slu_err *e);
void slu_fileexpr_free(struct slu_fileexpr *x);
SLU_DEFINE_CLEANUP(struct slu_fileexpr *, slu_fileexpr_free, slu_fileexpr_freep)
/* A comparison with a value that is not there is false, != true. */
bool slu_fileexpr_takes(const struct slu_fileexpr *x, const char *path, const struct slu_attr *a,
			slu_cell_fn *cell, void *user);

#endif
