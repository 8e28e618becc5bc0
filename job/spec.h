/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Job files: Azure ML CLI v2 YAML (command, spark, pipeline; components by file) read into plain
 * structs, wholly checked before anything is made.  Every message is "file.yml:LINE:COL: ...".
 * docs: spec/azureml.md 2 and 5.  Pure text and local files: nothing is resolved, no store is opened.
 */
#ifndef SLU_JOB_SPEC_H
#define SLU_JOB_SPEC_H

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "dataset/input.h"

#include <stddef.h>

enum slu_job_kind { SLU_JOB_COMMAND, SLU_JOB_SPARK, SLU_JOB_PIPELINE };

/* One input of a step: a literal, data from outside (ref), data of another step, or unset. */
struct slu_spec_input {
	char *name;
	char *type;          /* uri_file, uri_folder, mltable; of literals string, number, ... */
	char *literal;       /* the text of a literal value */
	char *ref;           /* a reference; local paths are absolute */
	char *step, *output; /* an edge: output of that step */
	enum slu_mode mode;  /* of data */
	bool mode_given;     /* it was written, or comes from the pipeline's input */
	char *where;         /* "file.yml:3:7", for messages when it runs */
};

struct slu_spec_output {
	char *name;
	char *type;         /* uri_file, uri_folder, mltable */
	enum slu_mode mode; /* UPLOAD, DIRECT (command) or HDFS (spark) */
	char *path;         /* destination, NULL: the default one */
	char *register_as;  /* NULL: not registered */
	char *version;      /* NULL: the next */
	char *description;
	struct json_t *tags;
	bool allow_empty;
	char *where;
};

struct slu_spec_spark {
	char *entry;      /* file in the code folder */
	char *class_name; /* NULL: a Python entry, or the jar's own main class */
	struct json_t *py_files, *jars, *files, *archives; /* arrays of strings, or NULL */
	struct json_t *conf;                               /* object: property -> text */
	char *args; /* not yet split or substituted; NULL: none */
};

struct slu_spec_step {
	enum slu_job_kind kind; /* COMMAND or SPARK */
	char *name;             /* in its pipeline; of a job alone its base name */
	char *display_name, *description;
	char *code; /* absolute folder or file, NULL: none */
	char *command;
	struct slu_spec_spark spark;
	struct json_t *env; /* environment_variables: object of strings, or NULL */
	char *compute;      /* name, NULL: default */
	char *datastore;    /* of default destinations, NULL: the workspace's */
	uint64_t timeout;   /* seconds, 0: none */
	struct slu_spec_input *in;
	size_t nin;
	struct slu_spec_output *out;
	size_t nout;
	char *where;
};

struct slu_job {
	enum slu_job_kind kind;
	char *name; /* base of run ids: [a-z0-9_-]+ */
	char *display_name, *experiment, *description;
	struct json_t *tags;
	bool continue_on_failure;
	struct slu_spec_step *steps; /* one when it is no pipeline */
	size_t nsteps;
	struct json_t *notes; /* array: what was accepted and has no effect here */
};

/* Reads and checks a job file.  overrides: {"inputs": {name: text or object}} or NULL. */
int slu_job_read(const char *path, const struct json_t *overrides, struct slu_job **ret,
		 struct slu_err *e);
void slu_job_free(struct slu_job *j);
SLU_DEFINE_CLEANUP(struct slu_job *, slu_job_free, slu_job_freep)

/* A step as run.json keeps it, and back.  The result of from_json is freed by slu_spec_step_done. */
struct json_t *slu_spec_step_json(const struct slu_spec_step *s); /* NULL: no memory */
int slu_spec_step_from_json(const struct json_t *j, struct slu_spec_step *ret, struct slu_err *e);
void slu_spec_step_done(struct slu_spec_step *s); /* frees the contents */

const char *slu_job_kind_name(enum slu_job_kind k); /* "command" */
const struct slu_spec_input *slu_spec_find_input(const struct slu_spec_step *s, const char *name);
const struct slu_spec_output *slu_spec_find_output(const struct slu_spec_step *s, const char *name);

#endif
