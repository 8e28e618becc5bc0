/* SPDX-License-Identifier: Apache-2.0 */
/* Put-if-absent with a certain answer: what outcomes, version records and claims are made of. */
#ifndef SLU_DATASET_ONCE_H
#define SLU_DATASET_ONCE_H

#include "fs/store.h"

/* Puts text at path, durably and whole, if nothing is there.  Returns
 *   0  the object is there with exactly these bytes (made now, or before a reply was lost);
 *   1  another object is there: *ret_other (may be NULL) is its text, the caller frees it;
 *   <0 nobody knows, or the store refused: calling again with the same text is safe.
 * Blocks.  Any thread. */
int slu_once_put(struct slu_store *st, const char *path, const char *text, size_t n,
		 char **ret_other, size_t *ret_other_len, struct slu_err *e);

/* The same; *ret_ns: when the object was written, by the store's clock, set when it is ours. */
int slu_once_put_at(struct slu_store *st, const char *path, const char *text, size_t n,
		    int64_t *ret_ns, struct slu_err *e);

/* Largest object that is read back for the comparison, bytes. */
#define SLU_ONCE_MAX (16u << 20)

#endif
