/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: files that are written from a stream.  The blocks and their memory are fs/writer.c's.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "fs/writer.h"

#include <errno.h>

struct sluice_writer {
	struct slu_place place;
	struct slu_writer *w;
};

/* What can be known before the bytes come; the commit decides all the same. */
static int check_target(const struct slu_place *p, const char *ref, unsigned flags,
			struct slu_err *e)
{
	struct slu_attr a;
	int r;

	if (!p->store || p->glob || p->version)
		return slu_fail(e, EINVAL, "'%s' is no place to write to; name a path of a store",
				ref);
	if (p->folder || !p->path[0])
		return slu_fail(e, EISDIR, "'%s' is a folder; name the file to write", ref);
	r = slu_api_check_shown(p->path, e);
	if (r < 0)
		return r;
	r = slu_store_stat(p->store, p->path, &a, e);
	if (r < 0) {
		if (r == -ENOENT && e)
			*e = (struct slu_err){0};
		return r == -ENOENT ? 0 : r;
	}
	if (a.kind == SLU_KIND_DIR)
		return slu_fail(e, EISDIR, "'%s' is a folder; name the file to write", ref);
	if (!(flags & SLUICE_OVERWRITE))
		return slu_fail(e, EEXIST, "'%s' exists already; give --overwrite to replace it",
				ref);
	return 0;
}

int sluice_writer_open(struct sluice *s, const char *ref, unsigned flags,
		       struct sluice_writer **ret, struct sluice_error *e)
{
	struct sluice_writer *w = slu_new0(struct sluice_writer);
	struct slu_err er = {0};
	int r = w ? slu_api_check_place(s, ref, &er) : slu_fail_oom(&er);

	if (r == 0)
		r = slu_place_find(s, ref, &w->place, &er);
	if (r == 0)
		r = check_target(&w->place, ref, flags, &er);
	if (r == 0)
		r = slu_writer_new(w->place.store, w->place.path,
				   (flags & SLUICE_OVERWRITE ? 0 : SLU_OPF_ABSENT) |
					   (flags & SLUICE_NO_SYNC ? 0 : SLU_OPF_DURABLE),
				   NULL, &w->w, &er);
	if (r < 0)
		sluice_writer_free(w);
	else
		*ret = w;
	return slu_api_error(e, &er, r);
}

int sluice_writer_write(struct sluice_writer *w, const void *p, size_t n, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_writer_write(w->w, p, n, &er));
}

int sluice_writer_commit(struct sluice_writer *w, struct sluice_error *e)
{
	struct slu_err er = {0};
	struct slu_attr a;
	int r = slu_writer_commit(w->w, &a, &er);

	if (r == -EEXIST)
		r = slu_fail(
			&er, EEXIST,
			"'%s' was written by another meanwhile; give --overwrite to replace it",
			w->place.path);
	return slu_api_error(e, &er, r);
}

void sluice_writer_free(struct sluice_writer *w)
{
	if (!w)
		return;
	slu_writer_free(w->w);
	slu_place_done(&w->place);
	free(w);
}
