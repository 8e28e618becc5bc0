/* SPDX-License-Identifier: Apache-2.0 */
/* Records of delimited text and of JSON lines (azureml.md 1.6). */
#ifndef SLU_DATASET_ROWS_H
#define SLU_DATASET_ROWS_H

#include "common/json.h"
#include "common/vec.h"
#include "dataset/textfile.h"

struct slu_cell {
	char *text;
	bool quoted; /* an empty one is a text then, and not nothing */
};

struct slu_row {
	SLU_VEC(struct slu_cell) cells;
	uint64_t line; /* where it began */
};

void slu_row_clear(struct slu_row *r); /* empty; memory of the cells is kept by none */
void slu_row_done(struct slu_row *r);

/* The next record that is not a blank line: 1, 0 at the end, -errno.  multi: quotes may hold the ends of
 * lines; else a line is a record, whatever its quotes say. */
int slu_row_next(struct slu_textfile *t, const char *delimiter, bool multi, struct slu_row *ret,
		 struct slu_err *e);
/* The next line that is a JSON object: 1 and *ret, 0 at the end, -errno.  drop: what is none is passed
 * over and counted in *ret_dropped; else -EBADMSG names file and line. */
int slu_json_row_next(struct slu_textfile *t, bool drop, uint64_t *ret_dropped, struct json_t **ret,
		      struct slu_err *e);

#endif
