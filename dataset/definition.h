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
	char *text;         /* the file it was read from, with canonical paths; NULL: none */
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
/* Does it take only some of the files that its paths name, by steps? */
bool slu_definition_chooses(const struct slu_definition *d);
/* Takes those steps out of a document: 0 or -ENOMEM. */
int slu_definition_drop_steps(struct json_t *doc);
/* Its partition_format (dataset/partition.h), borrowed; NULL: none. */
const char *slu_definition_partition(const struct slu_definition *d);
/* How spark.read reads it: {"format": "csv", "options": {...}, "differs": [texts]}; "reason" instead of
 * options: no options of Spark say that.  *ret NULL: it is no table, or of a kind that is not known.
 * 0 or -ENOMEM. */
int slu_definition_spark(const struct slu_definition *d, struct json_t **ret);

#endif
