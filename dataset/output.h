/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A named output: a destination, the mode in which a program writes to it, and what becomes of it when
 * the run completed.  Order: data, per-file commit, manifest, verify, outcome, register.
 */
#ifndef SLU_DATASET_OUTPUT_H
#define SLU_DATASET_OUTPUT_H

#include "dataset/input.h"

struct slu_output {
	char *name;
	enum slu_mode mode; /* UPLOAD (a local folder, copied at the end) or HDFS/DIRECT (a URI) */
	char *type;         /* "uri_folder" or "uri_file" */
	char *destination;  /* reference, may hold placeholders; NULL: the default */
	bool allow_empty;
	bool overwrite;      /* UPLOAD: a file of the same name is replaced, else -EEXIST */
	char *register_name; /* NULL: not registered */
	char *description;
	struct json_t *tags;

	char *value;          /* what the program gets: path or URI */
	struct json_t *props; /* HDFS: as slu_view.props; else NULL */
	char *uri;            /* canonical datastore URI of the destination */
	struct slu_store *store;
	char *path;
	char *claim;                 /* path of the claim object while it is held, else NULL */
	struct slu_manifest *before; /* what was there when the run began */
	struct slu_dataset *dataset; /* after collect: what this run wrote */
};

/* Default destination: azureml://datastores/<default>/paths/azureml/<run>/<output>/ .  NULL: no
 * memory. */
char *slu_output_default(struct sluice *s, const char *run, const char *name);
/* Claims the destination (NULL: the default), records what is there, makes what the program needs.
 * Placeholders in it: {run-id}, {output-name}, ${{name}} (the run), ${{output_name}}; other braces are
 * -EINVAL.  Another run that still goes and writes there, above or below it: -EBUSY naming that run.
 * place: absolute local folder for UPLOAD.  On failure nothing stays claimed. */
int slu_output_open(struct sluice *s, struct slu_output *o, const char *run, const char *place,
		    struct slu_err *e);
/* After exit 0: uploads (UPLOAD), lists what the run wrote (new or changed since open), refuses
 * `_temporary`, leaves out `.crc` side files, requires of a Spark output (spark) that its commit has
 * finished (`_SUCCESS` of this run at or above each `part-` file, or a table log), checks that the store
 * still holds each file, saves manifest and dataset.  Empty: -ENODATA unless allow_empty. */
int slu_output_collect(struct sluice *s, struct slu_output *o, bool spark, struct slu_err *e);
/* Gives the claim back; data stays.  Idempotent.  A claim that nobody gives back ends when its run has
 * an outcome. */
int slu_output_close(struct sluice *s, struct slu_output *o, struct slu_err *e);
/* o and all it holds: made with slu_new0 and slu_strdup.  The claim is not given back by it. */
void slu_output_free(struct slu_output *o);

#endif
