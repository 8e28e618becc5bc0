/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dataset is made of, as an MLTable document (azureml.md 1.9), so that both systems can read
 * each other's: {"type": "mltable", "paths": [{"file"|"folder"|"pattern": URI}], "transformations":
 * [...]}.  A file dataset has no read_* transformation; a tabular one has read_delimited with every
 * option written out.  Immutable once made.
 */
#ifndef SLU_DATASET_DEFINITION_H
#define SLU_DATASET_DEFINITION_H

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"

#include <stdbool.h>
#include <stddef.h>

struct slu_definition {
	char *type; /* "uri_file", "uri_folder" or "mltable" */
	bool tabular;
	struct json_t *doc; /* the MLTable document */
	size_t npaths;
	char **paths; /* references, canonical */
};

struct sluice;

/* From the spec of sluice_data_create(): path(s), type, "delimited".  Type absent: uri_file when the one
 * path is a file, mltable when delimited, else uri_folder.  A folder that holds an MLTable file given as
 * type mltable is read from it.  Everything is validated here. */
int slu_definition_from_spec(struct sluice *s, const struct json_t *spec,
			     struct slu_definition **ret, struct slu_err *e);
int slu_definition_from_doc(const char *type, struct json_t *doc, const char *what,
			    struct slu_definition **ret, struct slu_err *e); /* doc is copied */
void slu_definition_free(struct slu_definition *d);
SLU_DEFINE_CLEANUP(struct slu_definition *, slu_definition_free, slu_definition_freep)
/* Options for spark.read.csv that read as the definition says ({"header": "true", "sep": ...}).  NULL: it
 * is not delimited text, or Spark has no options for it (a header in the first file only). */
struct json_t *slu_definition_spark_options(const struct slu_definition *d);

#endif
