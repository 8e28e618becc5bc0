/* SPDX-License-Identifier: Apache-2.0 */
/* The CRC64 that a long blob has among its metadata.  Private to blob/. */
#ifndef SLU_BLOB_SUM_H
#define SLU_BLOB_SUM_H

#include "blob/call.h"
#include "blob/list.h"

#define SLU_BLOB_SUM_META "sluice_crc64"

/* a->sum by the value of the metadata, where it has none, and the value is of a blob of this length. */
void slu_blob_kept_sum(struct slu_attr *a, const char *value);
/* Adds it to a commit, whose txn and total are known; c->crc64 has it afterwards. */
void slu_blob_keep_crc64(struct slu_call *c, uint64_t crc);
/* After a HEAD of the source of a copy: c->crc64 is what its metadata say, if that is of this sum and of the state that
 * is copied. */
void slu_blob_take_sum(struct slu_call *c, uint64_t crc);
/* After a HEAD that gave op->attr such a sum: empties it unless the blob is made of the blocks that it is of, and
 * finishes the call. */
void slu_blob_confirm_sum(struct slu_call *c);

#endif
