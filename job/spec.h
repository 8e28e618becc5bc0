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

struct slu_workspace;

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
	bool id;             /* the program gets the dataset's id; of Spark steps mode is HDFS */
	char *at;    /* path_on_compute: absolute, or in the code folder; NULL: sluice's choice */
	char *where; /* "file.yml:3:7", for messages when it runs */
	char *ref_where; /* where ref is written, perhaps of the pipeline's input; NULL: unknown; not kept in run.json */
};

struct slu_spec_output {
	char *name;
	char *type;         /* uri_file, uri_folder, mltable */
	enum slu_mode mode; /* UPLOAD, RW_MOUNT, DIRECT (command) or HDFS (spark); LINK */
	bool mode_given;    /* it was written */
	char *path;         /* destination, NULL: the default one */
	char *path_where;   /* as ref_where */
	char *register_as;  /* NULL: not registered */
	char *version;      /* NULL: the next */
	char *description;
	struct json_t *tags;
	bool allow_empty;
	bool overwrite;              /* UPLOAD: files of the same name are replaced */
	bool discard;                /* when the run fails, what it wrote is deleted */
	struct json_t *table;        /* as slu_output.table; NULL: none */
	char *at;                    /* path_on_compute, as of inputs */
	struct json_t *source_globs; /* UPLOAD: array of patterns; NULL: all files */
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
	char *name; /* in its pipeline, "OUTER.NAME" in a nested one; of a job alone its base name */
	char *display_name, *description;
	char *code; /* absolute folder or file, NULL: none */
	char *command;
	struct slu_spec_spark spark;
	struct json_t *env;         /* environment_variables: object of strings, or NULL */
	struct json_t *environment; /* environment.h; NULL: none */
	char *compute;              /* name, NULL: default */
	char *compute_where;        /* of it; not kept in run.json */
	char *environment_where;    /* the same */
	char *datastore;            /* of default destinations, NULL: the workspace's */
	uint64_t timeout;           /* seconds, 0: none */
	unsigned retries;           /* how often a program that failed is run again */
	struct json_t *after;       /* depends_on: array of step names; NULL: none */
	bool identity;              /* it says the job's; not kept in run.json */
	bool always_run;            /* is_deterministic: false: earlier runs are not reused */
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
	bool force_rerun;            /* nothing is reused in this run */
	struct json_t *identity;     /* a credential in place of "default"; NULL: none was said */
	bool identity_of_all;        /* the pipeline said it */
	struct slu_spec_step *steps; /* one when it is no pipeline */
	size_t nsteps;
	struct json_t *notes; /* array: what was accepted and has no effect here */
};

/* Reads and checks a job file.  overrides: {"inputs": {name: text or object}, "set": {key: text}} or
 * NULL; a key of "set" is a path such as settings.default_compute. */
int slu_job_read(const char *path, const struct json_t *overrides, struct slu_job **ret,
		 struct slu_err *e);
/* The same, with the "components" of a workspace for `component: azureml:NAME`.  w may be NULL. */
int slu_job_read_in(const struct slu_workspace *w, const char *path, const struct json_t *overrides,
		    struct slu_job **ret, struct slu_err *e);
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
