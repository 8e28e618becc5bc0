/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a step's programs find installed: the `environment` of a job file, as Azure ML writes it.
 *
 *   {image: IMAGE, conda_file: FILE or {channels, dependencies}, name, version, ...}
 *   conda.yml, requirements.txt or environment.yml   a file, by what it holds
 *   [pandas==2.2, pyarrow]                           requirements of pip
 *   azureml:NAME[:VERSION | @LABEL]                  an entry of "environments" in config.json
 *
 * It is read into one form, {"name", "version", "image", "conda": {...}, "pip": [LINE, ...],
 * "constraints": [LINE, ...]}, or {"ref": NAME} that
 * slu_environment_resolve() looks up; every file it names is in it, so that nothing is read again later.
 * A plan says how it is had here; environment_build.c makes it.
 */
#ifndef SLU_JOB_ENVIRONMENT_H
#define SLU_JOB_ENVIRONMENT_H

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "common/yaml.h"

struct sluice;
struct slu_env;

/* o[key] of a YAML file whose folder is dir; absent: *ret is NULL.  Unknown keys, a file that is not there or that
 * says nothing usable, and secrets in a URL: an error with line and column. */
int slu_environment_read(const struct slu_yaml *y, const struct json_t *o, const char *key,
			 const char *dir, struct json_t **ret, struct slu_err *e);
/* A file of its own: an environment, a conda file or requirements. */
int slu_environment_read_file(const char *path, struct json_t **ret, struct slu_err *e);
/* The definition that is meant: of {"ref": NAME} the entry of config.json; NULL: there is none of that name. */
int slu_environment_resolve(struct sluice *s, const struct json_t *def, struct json_t **ret,
			    struct slu_err *e);
/* For messages: its name, image or kind.  Caller frees; NULL: no memory. */
char *slu_environment_title(const struct json_t *def);

enum slu_environment_kind {
	SLU_ENVIRONMENT_NONE, /* the Python of the compute, as it is */
	SLU_ENVIRONMENT_VENV,
	SLU_ENVIRONMENT_CONDA,
	SLU_ENVIRONMENT_CONTAINER
};

struct slu_environment_plan {
	enum slu_environment_kind kind;
	char *title;
	char *tool;           /* CONDA, CONTAINER: the program, absolute */
	char *image;          /* CONTAINER */
	char *python;         /* VENV: a version that is wanted, "3.10"; NULL: any */
	char *text;           /* VENV: requirements.txt; CONDA: environment.yml */
	char *constraints;    /* constraints.txt beside it, which text names; NULL: none */
	struct json_t *notes; /* array: what is had otherwise than it is written */
};

/* How a definition (resolved; NULL: none) is had on this machine.  spark: containers do not count.  env: whose PATH is
 * searched.  What cannot be had: -ENOTSUP naming the packages. */
int slu_environment_plan(const struct json_t *def, bool spark, const struct slu_env *env,
			 struct slu_environment_plan *ret, struct slu_err *e);
void slu_environment_plan_done(struct slu_environment_plan *p);
/* docker or podman, whichever answers; NULL: neither.  Absolute; caller frees.  Runs it. */
char *slu_environment_container_tool(const struct slu_env *env);
/* Is this a definition whose image would be left aside on this machine?  What --strict refuses. */
bool slu_environment_image_is_lost(const struct json_t *def, bool spark, const struct slu_env *env);

/* environment_conda.c: the requirement of pip that a conda dependency is, NULL in *ret: none is needed.  -ENOTSUP: no
 * Python package.  *ret_python: the version of a `python` dependency ("3.10"). */
int slu_conda_to_pip(const char *dependency, char **ret, char **ret_python, struct slu_err *e);

/* --- environment_build.c --- */

struct slu_environment_job {
	struct sluice *s;
	const struct slu_environment_plan *plan;
	struct slu_env *env;  /* of the programs; with AZUREML_RUN_ID */
	const char *base;     /* the interpreter that a venv is made of; absolute */
	const char *place;    /* a folder: builds there, for once; NULL: the cache */
	const char *log_path; /* what the programs say; NULL: beside it in the cache */
	int cancel;           /* readable: stop; -1: never */
	uint64_t limit;       /* seconds; 0: 900 */
	bool archive;         /* env.tar.gz too, for a cluster */
};

struct slu_environment {
	char *key;      /* 32 hex digits */
	char *prefix;   /* absolute */
	char *python;   /* prefix/bin/python */
	char *archive;  /* absolute; NULL: not asked for */
	double seconds; /* that building took; 0: it was there */
	int lock;       /* shared, while it is used; -1: none */
};

/* There already, or made now by one process while others wait for it.  The record environment.json is the commit: what
 * a killed builder left has none and is made anew.  -ETIMEDOUT, -ECANCELED; -ECHILD names the package or the last
 * error, and the log. */
int slu_environment_get(const struct slu_environment_job *j, struct slu_environment *ret,
			struct slu_err *e);
void slu_environment_done(struct slu_environment *v); /* gives the lock back, keeps the files */

uint64_t slu_environment_limit(void); /* $SLUICE_ENVIRONMENT_TIMEOUT, seconds; 0: not set */

/* environment_cache.c: the cache's folder, and what is in it: [{"key", "name", "python", "created", ...}]. */
int slu_environment_folder(char **ret, struct slu_err *e);
int slu_environment_list(struct json_t **ret, struct slu_err *e);
/* key: whole, the beginning of one, or a name that one has.  *ret: the record. */
int slu_environment_find(const char *key, struct json_t **ret, struct slu_err *e);
/* -EBUSY: a step uses it. */
int slu_environment_delete(const char *key, struct slu_err *e);

#endif
