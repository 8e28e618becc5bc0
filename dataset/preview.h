/* SPDX-License-Identifier: Apache-2.0 */
/* The first rows of a table, and what its columns seem to be. */
#ifndef SLU_DATASET_PREVIEW_H
#define SLU_DATASET_PREVIEW_H

#include "dataset/resolve.h"

#define SLU_PREVIEW_ROWS 10
#define SLU_PREVIEW_ROWS_MAX 100000
#define SLU_SCHEMA_ROWS 200

/* {"format", "columns": [names], "rows": [[texts, null, or JSON values]], "files": how many were
 * read, "bytes_read", "notes": [texts]}: as the definition says, or by the extension of the first file
 * where it says nothing; then files that Spark passes over are not read.  Columns: "Path", if that is asked for, those
 * of partition_format, those of the files.  Delimited text and JSON lines; -ENOTSUP for others.  No more is read than
 * these rows need.  schema: of files whose headers differ so many rows of each, as all have columns to tell. */
int slu_preview(struct sluice *s, const struct slu_dataset *d, uint64_t rows, bool schema,
		struct json_t **ret, struct slu_err *e);

/* Of a preview: [{"name", "type": boolean|int|float|datetime|string|object, "nulls"}], types as
 * azureml.md 1.6 infers them. */
int slu_schema(const struct slu_dataset *d, const struct json_t *preview, struct json_t **ret,
	       struct slu_err *e);

#endif
