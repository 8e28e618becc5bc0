/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requirements of pip as they are written in files, read into one list: files that they name (`-r`, `-c`) are taken in.
 */
#ifndef SLU_JOB_ENVIRONMENT_REQUIREMENTS_H
#define SLU_JOB_ENVIRONMENT_REQUIREMENTS_H

#include "common/err.h"
#include "common/json.h"

/* Where constraints.txt stands beside requirements.txt, one of these lines says so. */
#define SLU_CONSTRAINTS "constraints.txt"

struct slu_requirements {
	struct json_t *lines, *constraints; /* arrays of text; the caller's */
};

int slu_requirements_new(struct slu_requirements *q, struct slu_err *e);
void slu_requirements_done(struct slu_requirements *q);
/* A file; absolute, for what it names is found beside it.  -EINVAL: a line that cannot be had by another machine or on
 * another day, or that holds a secret. */
int slu_requirements_file(struct slu_requirements *q, const char *path, struct slu_err *e);
/* A list of such lines in a file of YAML, whose folder is dir. */
int slu_requirements_list(struct slu_requirements *q, const struct json_t *list, const char *dir,
			  struct slu_err *e);
/* Sets "constraints" of o, when there are any. */
int slu_requirements_put(const struct slu_requirements *q, struct json_t *o, struct slu_err *e);
/* A password in the record of a run would be read by everybody who may read the registry. */
bool slu_requirements_has_user(const char *text);

#endif
