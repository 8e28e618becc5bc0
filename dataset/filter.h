/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the files of an operand are meant: patterns of names to take and to leave out. */
#ifndef SLU_DATASET_FILTER_H
#define SLU_DATASET_FILTER_H

#include "common/err.h"

#include <stdbool.h>

struct slu_filter {
	const char *const *include, *const *exclude; /* NULL ends each; NULL: none given */
};

/* Patterns as fs/walk.h has them; -EINVAL names one that is none. */
int slu_filter_check(const struct slu_filter *f, struct slu_err *e);
bool slu_filter_any(const struct slu_filter *f); /* is there a pattern at all? */
/* rel: the path below the operand.  A pattern with '/' is matched against it, one without against its
 * last part.  What is left out is so even if it is to be taken. */
bool slu_filter_takes(const struct slu_filter *f, const char *rel);

#endif
