/* SPDX-License-Identifier: Apache-2.0 */
/*
 * partition_format (azureml.md 1.5): columns out of the paths of files, "/{Department}/{Date:yyyy/MM/dd}/data.csv".
 *
 *   {name}             one or more characters that are no '.', '/' or '\'
 *   {name:yyyy/MM/dd}  a time of these parts, in any order: yyyy, which there has to be, MM, dd, HH, mm, ss, each with
 *                      all its digits; at most one column is such, and it is the last
 *   *                  as little of anything as will do
 *   {{ }}              the braces themselves
 *
 * All else stands for itself.  The format is looked for in the whole path of a file and reaches to its end.  A key that
 * is there again matches again and makes no column.  Pure text.
 */
#ifndef SLU_DATASET_PARTITION_H
#define SLU_DATASET_PARTITION_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

struct slu_partition;

/* -EINVAL says what is wrong with the format. */
int slu_partition_parse(const char *format, struct slu_partition **ret, struct slu_err *e);
void slu_partition_free(struct slu_partition *p);
SLU_DEFINE_CLEANUP(struct slu_partition *, slu_partition_free, slu_partition_freep)
size_t slu_partition_columns(const struct slu_partition *p);
const char *slu_partition_name(const struct slu_partition *p, size_t column);
bool slu_partition_is_time(const struct slu_partition *p, size_t column);
/* The values of a file's path, one for each column: texts that the caller frees, a time as
 * "2026-01-31T08:00:00Z".  NULL where there is none: in all of them when the path does not match (then false), in
 * that of the time when it is none of the calendar.  -ENOMEM. */
int slu_partition_match(const struct slu_partition *p, const char *path, char **values,
			bool *ret_matched);

#endif
