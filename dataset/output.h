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
	/* UPLOAD (a local folder, copied at the end), RW_MOUNT (a mount of the destination), HDFS or DIRECT (a
	 * URI), LINK (a text file: what the program wrote there is the reference of its result). */
	enum slu_mode mode;
	char *type;        /* "uri_folder" or "uri_file", "mltable" (a folder) with a table */
	char *destination; /* reference, may hold placeholders; NULL: the default */
	bool allow_empty;
	bool overwrite; /* UPLOAD: a file of the same name is replaced, else -EEXIST */
	struct json_t
		*source_globs; /* UPLOAD: array of patterns, which files are taken; NULL: all */
	/* How its files are read, when it is a table: "delimited" and the like as in the spec of
	 * sluice_data_create(), "partition_format", "path_glob", "transformations" (behind the reading); NULL: it is none. */
	struct json_t *table;
	char *register_name; /* NULL: not registered */
	char *description;
	struct json_t *tags;
	char *at;        /* absolute folder for what is local; NULL: <place>/<name> */
	bool made;       /* `at` was not there before */
	const char *log; /* RW_MOUNT: where the mount's log goes; borrowed, NULL: nowhere */

	char *value;          /* what the program gets: path or URI */
	struct json_t *props; /* HDFS: as slu_view.props; else NULL */
	char *uri;            /* canonical datastore URI of the destination */
	struct slu_store *store;
	char *path;
	char *claim;                 /* path of the claim object while it is held, else NULL */
	struct slu_manifest *before; /* what was there when the run, or this try of it, began */
	struct slu_manifest *first;  /* the same at the first try; NULL: this is the first */
	struct slu_dataset *dataset; /* after collect: what this run wrote */
	struct slu_view *view;       /* RW_MOUNT: the mount, also when it was closed */
	char *stage;                 /* RW_MOUNT: where it stages */
	char *note;                  /* after collect: what the user should know; NULL: nothing */
};

/* Default destination: azureml://datastores/<default>/paths/azureml/<run>/<output>/ .  NULL: no
 * memory. */
char *slu_output_default(struct sluice *s, const char *run, const char *name);
/* Is it what slu_output.table may say?  -EINVAL. */
int slu_output_check_table(const struct json_t *table, struct slu_err *e);
/* Could an output of this name be written to `destination`, as far as can be said before run `run`: its
 * placeholders, its form, its datastore?  Nothing is looked up in a store.  -EINVAL, -ENOENT. */
int slu_output_check_place(struct sluice *s, const char *destination, const char *name,
			   const char *run, struct slu_err *e);
/* Claims the destination (NULL: the default), records what is there, makes what the program needs.
 * Placeholders in it: {run-id}, {output-name}, ${{name}} (the run), ${{output_name}}; other braces are
 * -EINVAL.  Another run that still goes and writes there, above or below it: -EBUSY naming that run.
 * place: absolute local folder for what is local: uploads, mounts, links.  On failure nothing stays
 * claimed. */
int slu_output_open(struct sluice *s, struct slu_output *o, const char *run, const char *place,
		    struct slu_err *e);
/* The program has ended: unmounts (RW_MOUNT; else nothing).  0: what was written through the mount is in the store,
 * all of it; else -errno with the list of what is not.  May be called again: it says the same. */
int slu_output_unmount(struct slu_output *o, struct slu_err *e);
/* After exit 0: unmounts (RW_MOUNT), uploads (UPLOAD), lists what the run wrote (new or changed since
 * open; of a mount what came through it, else -ESTALE when somebody else changed or removed that), refuses
 * `_temporary`, leaves out `.crc` side files and `_started_`, `_committed_`, requires of a Spark
 * output (spark) that its commit has finished (`_SUCCESS` or `_committed_` of this run at or above each `part-`
 * file, or a table log), checks that the store
 * still holds each file, saves manifest and dataset.  Empty: -ENODATA unless allow_empty. */
int slu_output_collect(struct sluice *s, struct slu_output *o, bool spark, struct slu_err *e);
/* Of a run that failed, while it holds its claim and nothing was decided: deletes the files at the destination
 * that were not there when it began.  *ret_files: how many. */
int slu_output_discard(struct slu_output *o, size_t *ret_files, struct slu_err *e);
/* After the program, while it holds its claim: of the files that lay there before the run, those that are changed or gone.  None:
 * *ret stays as it is; else {"output", "uri", "files", "names": some, "versions": ["NAME:VERSION"]}, the versions of
 * register_name that pin one of them, which have the fact `overwritten` from now on. */
int slu_output_replaced(struct sluice *s, const struct slu_output *o, const char *run,
			struct json_t **ret, struct slu_err *e);
/* Before another try of the program: as discard, and what is local begins anew. */
int slu_output_again(struct sluice *s, struct slu_output *o, struct slu_err *e);
/* Unmounts, gives the claim back; data stays.  Idempotent.  A claim that nobody gives back ends when its run has
 * an outcome. */
int slu_output_close(struct sluice *s, struct slu_output *o, struct slu_err *e);
/* o and all it holds: made with slu_new0 and slu_strdup.  The claim is not given back by it. */
void slu_output_free(struct slu_output *o);

#endif
