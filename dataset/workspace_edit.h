/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of config.json: made to what the file holds when it is written, so that two that change different entries at
 * once both stay. */
#ifndef SLU_DATASET_WORKSPACE_EDIT_H
#define SLU_DATASET_WORKSPACE_EDIT_H

#include "dataset/context.h"

/* Changes w->config; called again when somebody else was quicker. */
typedef int slu_workspace_edit_fn(struct slu_workspace *w, void *user, struct slu_err *e);

/* The workspace as its file is now; the caller frees it. */
int slu_workspace_fresh(struct sluice *s, struct slu_workspace **ret, struct slu_err *e);
/* fn and the writing of what it made, until nobody came between.  fn's failure is returned. */
int slu_workspace_edit(struct sluice *s, slu_workspace_edit_fn *fn, void *user, struct slu_err *e);

#endif
