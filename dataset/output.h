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
	char *destination;  /* reference with {run-id}, {output-name} or ${{name}} replaced */
	bool allow_empty;
	char *register_name; /* NULL: not registered */
	char *description;
	struct json_t *tags;

	char *value; /* what the program gets: path or URI */
	char *uri;   /* canonical datastore URI of the destination */
	struct slu_store *store;
	char *path;
	char *claim;                 /* path of the claim object */
	struct slu_manifest *before; /* what was there when the run began; NULL: nothing */
	struct slu_dataset *dataset; /* after collect: what this run wrote */
};

/* Default destination: azureml://datastores/<default>/paths/azureml/<run>/<output>/ . */
char *slu_output_default(struct sluice *s, const char *run, const char *name);
/* Claims the destination by put-if-absent (a second run at once: -EBUSY naming the first), records what
 * is there, makes what the program needs.  place: absolute local folder for UPLOAD. */
int slu_output_open(struct sluice *s, struct slu_output *o, const char *run, const char *place,
		    struct slu_err *e);
/* After exit 0: uploads (UPLOAD), lists what the run wrote (new or changed since open), refuses
 * `_temporary`, leaves out `.crc` side files and markers, requires `_SUCCESS` of a Spark output
 * (spark), verifies each file against the store, saves manifest and dataset.  Empty: -ENODATA unless
 * allow_empty. */
int slu_output_collect(struct sluice *s, struct slu_output *o, bool spark, struct slu_err *e);
/* Gives the claim back; data stays.  Idempotent. */
int slu_output_close(struct sluice *s, struct slu_output *o, struct slu_err *e);
void slu_output_free(struct slu_output *o);
/* A claim whose run is over (outcome.json there, or its supervisor is dead) may be taken over. */

#endif
