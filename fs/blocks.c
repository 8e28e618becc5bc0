/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lengths of blocks.  Those that grow do so in levels: a tenth of all blocks has the smallest length,
 * then each level has 6 % of the blocks and twice the length, the rest has the largest.  With Blob's
 * limits that is 8 MiB up to 39 GiB, 128 MiB at 500 GiB, and 92 TiB at the end, while a writer's
 * memory, some blocks, stays in proportion to what it has written.
 */
#include "fs/blocks.h"

#include "common/time.h"

#define UNIT_STEP (1u << 20)
#define LONG 4               /* long blocks: with fewer a file would not keep its lanes busy */
#define PLAIN_LEN (1u << 20) /* up to here the default of all ops is enough */
/* Bytes a second that are waited for: a dozen lanes share what may be a slow line, and one that is dead is
 * known by its stall. */
#define RATE (32u << 10)

static size_t smallest(const struct slu_store *s)
{
	return s->block ? s->block : UNIT_STEP;
}

/* One level: `n` blocks of `len`, the last level: UINT64_MAX of them. */
struct level {
	uint64_t n;
	size_t len;
};

static struct level first_level(const struct slu_store *s)
{
	return (struct level){s->blocks_max ? s->blocks_max / 10 : UINT64_MAX, smallest(s)};
}

static struct level next_level(const struct slu_store *s, struct level v)
{
	v.n = s->blocks_max * 6 / 100;
	v.len = v.len < s->block_max / 2 ? v.len * 2 : s->block_max;
	if (v.len == s->block_max)
		v.n = UINT64_MAX;
	return v;
}

size_t slu_blocks_unit(const struct slu_store *s, uint64_t size)
{
	uint64_t unit = smallest(s);

	if (s->block_long && size / s->block_long >= LONG)
		unit = s->block_long;
	if (!s->blocks_max || size / unit < s->blocks_max)
		return (size_t)unit;
	unit = size / s->blocks_max + !!(size % s->blocks_max);
	unit = unit > s->block_max ? unit : (unit + UNIT_STEP - 1) / UNIT_STEP * UNIT_STEP;
	return unit > s->block_max ? 0 : (size_t)unit;
}

unsigned slu_blocks_lanes(const struct slu_store *s, size_t unit)
{
	uint64_t bytes = (uint64_t)s->lanes * smallest(s);

	return unit > smallest(s) ? (unsigned)((bytes + unit - 1) / unit) : s->lanes;
}

uint64_t slu_blocks_start(const struct slu_store *s, size_t unit, uint64_t i)
{
	struct level v = first_level(s);
	uint64_t off = 0;

	if (unit)
		return unit * i;
	for (; i >= v.n; v = next_level(s, v)) {
		off += v.n * v.len;
		i -= v.n;
	}
	return off + i * v.len;
}

uint64_t slu_blocks_reach(const struct slu_store *s)
{
	return s->blocks_max ? slu_blocks_start(s, 0, s->blocks_max) : INT64_MAX;
}

size_t slu_blocks_len(const struct slu_store *s, size_t unit, uint64_t off)
{
	struct level v = first_level(s);

	if (unit)
		return unit;
	if (off >= slu_blocks_reach(s))
		return 0;
	for (; off / v.len >= v.n; v = next_level(s, v))
		off -= v.n * v.len;
	return v.len;
}

uint64_t slu_blocks_count(const struct slu_store *s, size_t unit, uint64_t size)
{
	struct level v = first_level(s);
	uint64_t n = 0;

	if (unit)
		return size / unit + !!(size % unit);
	for (; size / v.len >= v.n; v = next_level(s, v)) {
		n += v.n;
		size -= v.n * v.len;
	}
	return n + size / v.len + !!(size % v.len);
}

int64_t slu_blocks_deadline(size_t len)
{
	return len <= PLAIN_LEN ? 0
				: slu_deadline_in(60 * SLU_SEC + (int64_t)(len / RATE) * SLU_SEC);
}
