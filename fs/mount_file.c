/* SPDX-License-Identifier: Apache-2.0 */
/* The files behind READs (mount_file.h). */
#include "fs/mount_file.h"

#include "common/log.h"
#include "common/mem.h"
#include "fs/mount_live.h"
#include "fs/mount_told.h"

#include <errno.h>

int slu_mfile_find(struct slu_mount *m, fuse_ino_t ino, uint64_t *ret_at, uint64_t *ret_size)
{
	struct slu_mnode n;
	int r;

	if (m->live) {
		*ret_at = ino;
		return slu_mlive_file(m->live, ino, ret_size);
	}
	r = slu_mtree_get(m->nodes, ino, &n);
	if (r || n.dir)
		return r ? r : -EISDIR;
	*ret_at = n.at;
	*ret_size = n.size;
	return 0;
}

int slu_mfile_reader(struct slu_mount *m, struct slu_readers *rs, uint64_t at,
		     struct slu_reader **ret)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	char id[SLU_ID_MAX];
	uint64_t size = 0;
	int r;

	if (m->live) {
		r = slu_mlive_file(m->live, at, &size);
		if (!r)
			r = slu_mlive_locate(m->live, at, &path, id);
		return r ? r : slu_reader_new(rs, m->live->store, path, id, size, ret);
	}
	const struct slu_file *f = slu_manifest_at(m->t->manifest, at);
	struct slu_store *store;

	r = slu_tree_locate(m->t, at, &store, &path);
	return r ? r : slu_reader_new(rs, store, path, f->id, f->size, ret);
}

static void tell_failed(const char *path, uint64_t off, size_t len, const struct slu_err *e)
{
	slu_warn("mount", "'%s': bytes %llu to %llu could not be read: %s", path,
		 (unsigned long long)off, (unsigned long long)(off + len), e->msg);
}

void slu_mfile_tell(struct slu_mount *m, uint64_t at, uint64_t off, size_t len, int rc,
		    const struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	char id[SLU_ID_MAX] = "";

	if (!m->live) {
		const struct slu_file *f = slu_manifest_at(m->t->manifest, at);

		if (rc != -ESTALE)
			tell_failed(f->path, off, len, e);
		else
			slu_mtold_changed(f->path, f->id, e->msg);
		return;
	}
	(void)slu_mlive_locate(m->live, at, &path, id);
	if (rc != -ESTALE)
		tell_failed(path ? path : "", off, len, e);
	else
		slu_warn("mount",
			 "'%s' changed while a program had it open (it was %s): open it again",
			 path ? path : "", id);
}
