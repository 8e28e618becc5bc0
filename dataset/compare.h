/* SPDX-License-Identifier: Apache-2.0 */
/* Two datasets, or a dataset and what the store has now, file by file. */
#ifndef SLU_DATASET_COMPARE_H
#define SLU_DATASET_COMPARE_H

#include "dataset/resolve.h"

enum slu_difference { SLU_SAME, SLU_ADDED, SLU_REMOVED, SLU_CHANGED };

/* before and after: NULL where the file is not there.  In the order of the paths.  Non-zero ends it. */
typedef int slu_difference_fn(void *user, enum slu_difference what, const struct slu_file *before,
			      const struct slu_file *after);

/* slu_sum_stands() of file i. */
bool slu_tree_sum_stands(const struct slu_tree *t, size_t i);

/* Files are paired by their paths in the view.  Two are the same when their sizes are and: they are one
 * file in one state; or their checksums are equal; or, where that tells nothing, their bytes, which are
 * read then, each in the state that was pinned (-ESTALE: that is gone, so nobody can tell). */
int slu_compare(struct sluice *s, const struct slu_tree *before, const struct slu_tree *after,
		slu_difference_fn *fn, void *user, struct slu_err *e);

/* Does the store still hold what d pins?  SLU_REMOVED and SLU_CHANGED: no; SLU_ADDED: the definition
 * would take this file too, now.  By listing where that is enough, else file by file; no data is read. */
int slu_compare_now(struct sluice *s, const struct slu_dataset *d, slu_difference_fn *fn,
		    void *user, struct slu_err *e);

#endif
