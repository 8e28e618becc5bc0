/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a long file is cut into the blocks of PUT_BLOCK.  A store takes a limited number of them, so their
 * length has to follow that of the file.  Known beforehand: one unit for all, by which every length
 * that the store holds can be had.  Not known: blocks that grow with the offset.  Both sides, who
 * sends the blocks and the driver that commits them, cut in the same way.
 */
#ifndef SLU_FS_BLOCKS_H
#define SLU_FS_BLOCKS_H

#include "fs/store.h"

/* The length of all blocks but the last of a file of `size` bytes; 0: no store of this kind holds it. */
size_t slu_blocks_unit(const struct slu_store *s, uint64_t size);
/* How many of them there may be under way, as store.h's lanes: about as many bytes, however long they are. */
unsigned slu_blocks_lanes(const struct slu_store *s, size_t unit);
/* The most bytes that a file may have whose length is not known beforehand. */
uint64_t slu_blocks_reach(const struct slu_store *s);
/* The length of the block that begins at off; unit 0: not known beforehand.  0: beyond the reach. */
size_t slu_blocks_len(const struct slu_store *s, size_t unit, uint64_t off);
/* Until when a block or range of `len` bytes may be on its way beside others: as any op, unless it is
 * large.  0: the default. */
int64_t slu_blocks_deadline(size_t len);
/* Where block i begins; no check of the reach. */
uint64_t slu_blocks_start(const struct slu_store *s, size_t unit, uint64_t i);
/* How many blocks a file of `size` bytes has. */
uint64_t slu_blocks_count(const struct slu_store *s, size_t unit, uint64_t size);

#endif
