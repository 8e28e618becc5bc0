/* SPDX-License-Identifier: Apache-2.0 */
/* A layer of one tree: what is asked of a file that its manifest pins to an earlier state is asked of that
 * state, so that no view has to know of versions. */
#ifndef SLU_FS_PINNED_H
#define SLU_FS_PINNED_H

#include "fs/manifest.h"
#include "fs/store.h"

/* For the files of one source of m, which lie below base.  store, m and base are borrowed and live longer.
 * -ENOTSUP: the store keeps no versions. */
int slu_pinned_new(struct slu_store *store, const struct slu_manifest *m, size_t source,
		   const char *base, struct slu_store **ret, struct slu_err *e);
void slu_pinned_free(struct slu_store *s); /* the layer alone; no op in flight; NULL fine */

#endif
