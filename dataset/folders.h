/* SPDX-License-Identifier: Apache-2.0 */
/* Folders at paths that the user or the configuration chose: links on the way are followed. */
#ifndef SLU_DATASET_FOLDERS_H
#define SLU_DATASET_FOLDERS_H

#include "common/err.h"

#include <sys/types.h>

/* mkdir -p of an absolute path; there already is fine. */
int slu_folders_make(const char *abs, mode_t mode, struct slu_err *e);

#endif
