/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of open files of a mount (mount_opened.h): buckets of eight, no chains.  A file whose bucket
 * is full is open "loosely": counted, but not by name.  Does no I/O and knows no request.
 */
#include "fs/mount_opened.h"

#include "fs/mount_share.h"

#include <assert.h>
#include <stddef.h>

static_assert(sizeof(struct slu_mopened) <= SLU_MAREA_SIZE, "fits into its area");

static struct slu_mopened_file *bucket(struct slu_mopened *t, uint64_t ino)
{
	return t->file[(ino * 0x9e3779b97f4a7c15ull >> 32) % SLU_MOPENED_BUCKETS];
}

/* ino 0: a free place. */
static struct slu_mopened_file *find(struct slu_mopened *t, uint64_t in, uint64_t ino)
{
	struct slu_mopened_file *f = bucket(t, in);

	for (unsigned i = 0; i < SLU_MOPENED_WAYS; i++)
		if (f[i].ino == ino)
			return &f[i];
	return NULL;
}

enum slu_mway slu_mopened_again(struct slu_mopened *t, uint64_t ino, int32_t *ret_id)
{
	struct slu_mopened_file *f = find(t, ino, ino);

	if (!f)
		return 0;
	f->opens++;
	*ret_id = f->id;
	return f->id ? SLU_MWAY_PASSED : SLU_MWAY_CACHED;
}

bool slu_mopened_may_pass(const struct slu_mopened *t, uint64_t ino)
{
	return !t->loose && find((struct slu_mopened *)t, ino, 0);
}

enum slu_mway slu_mopened_first(struct slu_mopened *t, uint64_t ino, int32_t id)
{
	struct slu_mopened_file *f = find(t, ino, 0);

	if (!f || (id && t->loose)) {
		t->loose++;
		return SLU_MWAY_LOOSE;
	}
	f->opens = 1;
	f->id = id;
	f->ino = ino; /* last: from here on it is there */
	return id ? SLU_MWAY_PASSED : SLU_MWAY_CACHED;
}

int32_t slu_mopened_release(struct slu_mopened *t, uint64_t ino, enum slu_mway way)
{
	struct slu_mopened_file *f = find(t, ino, ino);
	int32_t id;

	if (way == SLU_MWAY_LOOSE && t->loose)
		t->loose--;
	if ((way != SLU_MWAY_CACHED && way != SLU_MWAY_PASSED) || !f)
		return 0;
	if (--f->opens)
		return 0;
	id = f->id;
	f->ino = 0;
	return id;
}
