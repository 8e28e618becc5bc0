/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files of a code folder a snapshot leaves out: the patterns of its `.amlignore`, else of its
 * `.gitignore`, as git reads them (only the file at the top; `!` brings back; the last match wins).
 * `.git` and `.sluice` are always left out.
 */
#ifndef SLU_JOB_IGNORE_H
#define SLU_JOB_IGNORE_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>

struct slu_ignore;

int slu_ignore_read(int dirfd, struct slu_ignore **ret, struct slu_err *e); /* no file: nothing */
int slu_ignore_parse(const char *text, struct slu_ignore **ret, struct slu_err *e);
void slu_ignore_free(struct slu_ignore *g);
SLU_DEFINE_CLEANUP(struct slu_ignore *, slu_ignore_free, slu_ignore_freep)
/* rel: path in the folder.  What lies in a folder that matches is out as well; callers do not descend. */
bool slu_ignore_match(const struct slu_ignore *g, const char *rel, bool is_dir);

#endif
