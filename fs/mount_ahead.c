/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order ahead (ahead.h) of a mount: its files are those of the manifest, and what it has fetched lands
 * in the readers of this mount, so in the disk cache too where there is one.
 */
#include "fs/mount_impl.h"

#include "common/path.h"
#include "fs/ahead.h"

#include <string.h>

static uint64_t size_of(void *mount, uint32_t at)
{
	struct slu_mount *m = mount;

	return slu_manifest_at(m->t->manifest, at)->size;
}

static uint64_t fetch(void *mount, uint32_t at, uint64_t len)
{
	struct slu_mount *m = mount;
	const char *path;

	/* the kernel's own read-ahead, and what it keeps, are as good */
	if (slu_store_can(m->t->sources[slu_manifest_locate(m->t->manifest, at, &path)].store,
			  SLU_CAP_PREFETCH))
		return SLU_AHEAD_NEEDLESS;
	return slu_mreads_prefetch(m->reads, at, 0, len);
}

/* Files of a folder that come after one of a folder below it do not count. */
static bool first(void *mount, uint32_t at)
{
	struct slu_mount *m = mount;
	const char *mine = slu_manifest_at(m->t->manifest, at)->path, *prev;
	size_t n = (size_t)(slu_path_base(mine) - mine);

	if (!at)
		return true;
	prev = slu_manifest_at(m->t->manifest, at - 1)->path;
	return (size_t)(slu_path_base(prev) - prev) != n || memcmp(mine, prev, n) != 0;
}

int slu_mahead_new(struct slu_mount *m)
{
	struct slu_ahead_conf conf = {.files = (uint32_t)slu_manifest_count(m->t->manifest),
				      .size = size_of,
				      .fetch = fetch,
				      .first = first,
				      .user = m,
				      .no_guess = !m->set->order_ahead};

	return m->set->live ? 0 : slu_ahead_new(&conf, &m->ahead);
}
