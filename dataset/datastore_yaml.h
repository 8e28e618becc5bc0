/* SPDX-License-Identifier: Apache-2.0 */
/* Datastores as Azure ML writes them, turned into entries of config.json. */
#ifndef SLU_DATASET_DATASTORE_YAML_H
#define SLU_DATASET_DATASTORE_YAML_H

#include "common/err.h"

struct json_t;

/* The file at path ("-": standard input): one datastore, as `az ml datastore create --file` takes it and
 * `az ml datastore show` prints it, or a list of them.  *ret: [{"name", "entry": {...}, "notes": [TEXT...]}],
 * and {"name", "type", "skipped": why} for a kind that holds no files that can be opened, in lists only (of one
 * datastore it is -ENOTSUP).  name: of the one datastore, instead of the file's; may be NULL.  Errors say line and
 * column.  Secrets are refused, and not shown. */
int slu_datastore_yaml(const char *path, const char *name, struct json_t **ret, struct slu_err *e);

#endif
