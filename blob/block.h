/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ids of the blocks of one transaction.  Those that are not committed have to be of one length in a
 * blob, whoever left them there: ours are 48 bytes, as those of most tools are, and where others lie,
 * as long as theirs.  Private to blob/.
 */
#ifndef SLU_BLOB_BLOCK_H
#define SLU_BLOB_BLOCK_H

#include "blob/list.h"
#include "fs/store.h"

#define SLU_BLOB_ID_LEN 48 /* bytes before base64 */
#define SLU_BLOB_ID_MIN 10 /* shorter ones could be somebody else's by chance */
#define SLU_BLOB_ID_MAX 64

#define SLU_BLOB_ID_STEP (1u << 20) /* blocks begin at multiples of it */

struct slu_call;

struct slu_blob_ids {
	const struct slu_store *s; /* of fs/blocks.h */
	const char *txn;
	size_t unit;  /* of the blocks, 0: they grew */
	unsigned len; /* of an id */
};

/* The id of the block at off, a multiple of 1 MiB, into out[SLU_BLOB_BLOCK_ID]; "": no memory. */
void slu_blob_block_id(const char *txn, uint64_t off, unsigned len, char *out);
/* The same of block i; user: struct slu_blob_ids (slu_blob_blocks_parse). */
void slu_blob_nth_id(void *user, uint64_t i, char *out);

/* Block ids may be up to 64 bytes before base64.  The request body that commits the n first blocks: caller
 * frees; NULL: no memory. */
char *slu_blob_block_list(const struct slu_blob_ids *ids, uint64_t n, size_t *ret_len);

#endif
