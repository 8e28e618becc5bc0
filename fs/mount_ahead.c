/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order ahead (ahead.h) of a mount: its files are those of the manifest, and what it has fetched lands
 * in the readers of this mount, so in the disk cache too where there is one.
 */
#include "fs/mount_impl.h"

#include "fs/ahead.h"

static uint64_t size_of(void *mount, uint32_t at)
{
	struct slu_mount *m = mount;

	return slu_manifest_at(m->t->manifest, at)->size;
}

static uint64_t fetch(void *mount, uint32_t at, uint64_t len)
{
	struct slu_mount *m = mount;

	return slu_mreads_prefetch(m->reads, at, 0, len);
}

int slu_mahead_new(struct slu_mount *m)
{
	struct slu_ahead_conf conf = {.files = (uint32_t)slu_manifest_count(m->t->manifest),
				      .size = size_of,
				      .fetch = fetch,
				      .user = m,
				      .no_guess = !m->set->order_ahead};

	return m->set->live ? 0 : slu_ahead_new(&conf, &m->ahead);
}
