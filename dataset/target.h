/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of inputs and outputs on this machine (azureml.md 2.3: path_on_compute). */
#ifndef SLU_DATASET_TARGET_H
#define SLU_DATASET_TARGET_H

#include "common/err.h"

#include <stdbool.h>

/* at NULL: <place>/<name>, its folder made, itself not.  Else at, absolute: with the folders above it made; what is
 * in it is -ENOTEMPTY; *ret_made: it was not there.  Caller frees *ret. */
int slu_target_make(const char *place, const char *name, const char *at, bool *ret_made, char **ret,
		    struct slu_err *e);
/* Removes what is in at, and at when it was made.  Nothing that is mounted. */
void slu_target_clear(const char *at, bool made);

#endif
