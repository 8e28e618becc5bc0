/* SPDX-License-Identifier: Apache-2.0 */
/* The earlier states that a store keeps of the files of a manifest. */
#ifndef SLU_DATASET_PIN_H
#define SLU_DATASET_PIN_H

#include "fs/tree.h"

/* The manifest of t with the version of each file, which is the one of that length and identity: the current one,
 * or one that was overwritten or removed since and is still kept.  -ENOTSUP: the store keeps none; -ESTALE: of
 * a file it keeps others, but not that one.  Blocks. */
int slu_pin_manifest(const struct slu_tree *t, struct slu_manifest **ret, struct slu_err *e);

#endif
