/* SPDX-License-Identifier: Apache-2.0 */
/* Files of this machine to a store, whole, for programs that run elsewhere. */
#ifndef SLU_JOB_UPLOAD_H
#define SLU_JOB_UPLOAD_H

#include "fs/store.h"

/* Links and what is neither file nor folder are left out. */
int slu_upload_tree(const char *folder, struct slu_store *store, const char *to, struct slu_err *e);
int slu_upload_file(const char *path, struct slu_store *store, const char *to, struct slu_err *e);

#endif
