/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a definition that choose among its files: take, skip, take_random_sample, sample,
 * filter, in the order in which they stand, before a read_... step if there is one.  They are kept in
 * the definition and worked out whenever it is resolved; the files come by in the order of their paths.
 *
 * Sampling: a file's number is the first 53 bits of SHA-256(seed in decimal, a zero byte, its path in the
 * view) as a fraction in [0, 1).  It is taken when that is in [lower bound, probability).  So equal seeds
 * give equal halves on every store, for ever, also when other files come and go.
 */
#ifndef SLU_DATASET_STEPS_H
#define SLU_DATASET_STEPS_H

#include "common/cleanup.h"
#include "common/err.h"
#include "fs/manifest.h"

#include <stdbool.h>

struct json_t;
struct slu_steps; /* a run of the steps: one thread, used once */

/* -EINVAL names the step that makes no sense.  *ret NULL: there are none. */
int slu_steps_new(const struct json_t *doc, const char *what, struct slu_steps **ret,
		  struct slu_err *e);
struct slu_steps *slu_steps_all(void); /* that take every file; NULL: no memory */
void slu_steps_free(struct slu_steps *st);
SLU_DEFINE_CLEANUP(struct slu_steps *, slu_steps_free, slu_steps_freep)
/* The next file: 1 it is in, 0 it is not, -errno.  path: in the view; full: in its store, for the columns
 * of partition_format. */
int slu_steps_takes(struct slu_steps *st, const char *path, const char *full,
		    const struct slu_attr *a, struct slu_err *e);
bool slu_steps_end(const struct slu_steps *st);     /* will no other file be in? */
bool slu_steps_ordered(const struct slu_steps *st); /* does the order of the files matter? */
/* The files of a finished manifest that are in; finished, and possibly empty. */
int slu_steps_manifest(struct slu_steps *st, const struct slu_manifest *m,
		       struct slu_manifest **ret, struct slu_err *e);

#endif
