/* SPDX-License-Identifier: Apache-2.0 */
/* The read_... transformations: what each may say (azureml.md 1.6, 1.9), checked and completed. */
#ifndef SLU_DATASET_READING_H
#define SLU_DATASET_READING_H

#include "common/err.h"

#include <stdbool.h>

struct json_t;

/* The arguments of read_delimited, read_json_lines, read_parquet or read_delta_lake, checked, with every
 * default written out.  in: an object, or NULL for all defaults.  what: how messages name it.
 * *ret NULL: a reading that is not known here, which stays as it is. */
int slu_reading_check(const char *name, const struct json_t *in, const char *what,
		      struct json_t **ret, struct slu_err *e);
/* Of a spec: "delimited", "json_lines", "parquet", "delta_lake": an object of options or true.  *ret: the
 * transformation {"read_...": {...}}, NULL: none is asked for. */
int slu_reading_of_spec(const struct json_t *spec, struct json_t **ret, struct slu_err *e);
/* The steps that work on rows and are known, behind a reading: is this one right?  Others pass. */
int slu_reading_check_rows(const char *name, const struct json_t *args, const char *what,
			   struct slu_err *e);
/* The reading of a document: its name ("read_delimited") and arguments; NULL: none. */
const char *slu_reading_of(const struct json_t *doc, const struct json_t **ret_args);

/* Is a file with this path none of the table for Spark?  A name on the way begins with '.', or with '_' and
 * has no '=' in it. */
bool slu_reading_passes_over(const char *path);

#endif
