/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: copies between any two places, file by file through reads that are pinned and a
 * writer that commits, so that each file appears whole or not at all.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"
#include "fs/walk.h"
#include "fs/writer.h"

#include <errno.h>
#include <string.h>

#define CHUNK (1u << 20)

struct item {
	struct slu_store *store;
	char *path; /* in store */
	char *rel;  /* below the destination */
	uint64_t size;
	char id[SLU_ID_MAX];
};

struct copy {
	struct slu_place src, dst;
	SLU_VEC(struct item) items;
	size_t strip;
	unsigned flags;
	char *buf;
	struct sluice_progress done;
	int64_t shown; /* when progress was last called */
	sluice_progress_fn *progress;
	void *user;
};

static void copy_done(struct copy *c)
{
	for (size_t i = 0; i < c->items.n; i++) {
		free(c->items.p[i].path);
		free(c->items.p[i].rel);
	}
	free(c->items.p);
	free(c->buf);
	slu_place_done(&c->src);
	slu_place_done(&c->dst);
}

static int add_item(struct copy *c, struct slu_store *store, const char *path, const char *rel,
		    uint64_t size, const char *id, struct slu_err *e)
{
	struct item it = {.store = store, .size = size};

	it.path = slu_strdup(path);
	it.rel = slu_strdup(rel);
	snprintf(it.id, sizeof it.id, "%s", id);
	if (!it.path || !it.rel || !slu_vec_push(&c->items, it)) {
		free(it.path);
		free(it.rel);
		return slu_fail_oom(e);
	}
	c->done.files_total++;
	c->done.bytes_total += size;
	return 0;
}

static int add_walked(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	struct copy *c = user;
	const char *rel = path + c->strip;

	while (*rel == '/')
		rel++;
	return add_item(c, c->src.store, path, rel, a->size, a->id, e);
}

static int add_dataset(struct copy *c, struct slu_err *e)
{
	const struct slu_tree *t = c->src.dataset->tree;

	for (size_t i = 0; i < slu_manifest_count(t->manifest); i++) {
		const struct slu_file *f = slu_manifest_at(t->manifest, i);
		SLU_AUTO(slu_freep) char *path = NULL;
		struct slu_store *store;

		if (slu_tree_locate(t, i, &store, &path) < 0)
			return slu_fail_oom(e);
		int r = add_item(c, store, path, f->path, f->size, f->id, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What is copied, and whether it is many files (then the destination is a folder). */
static int find_items(struct copy *c, const char *src, bool *ret_many, struct slu_err *e)
{
	struct slu_place *p = &c->src;
	struct slu_attr a;

	if (p->dataset) {
		*ret_many = !p->dataset->tree->single_file;
		return add_dataset(c, e);
	}
	if (p->glob) {
		*ret_many = true;
		c->strip = slu_glob_prefix(p->path);
		return slu_walk_glob(p->store, p->path, add_walked, c, e);
	}
	int r = slu_store_stat(p->store, p->path, &a, e);

	if (r < 0)
		return r;
	*ret_many = a.kind == SLU_KIND_DIR;
	if (a.kind == SLU_KIND_FILE)
		return add_item(c, p->store, p->path, slu_path_base(p->path), a.size, a.id, e);
	if (!(c->flags & SLUICE_RECURSIVE))
		return slu_fail(e, EISDIR, "'%s' is a folder; give --recursive to copy it", src);
	c->strip = strlen(p->path);
	return slu_walk(p->store, p->path, add_walked, c, e);
}

static int tell(struct copy *c, bool last)
{
	if (!c->progress || (!last && slu_now() - c->shown < 100 * SLU_MS))
		return 0;
	c->shown = slu_now();
	return c->progress(c->user, &c->done) ? -ECANCELED : 0;
}

static int copy_bytes(struct copy *c, const struct item *it, struct slu_writer *w,
		      struct slu_err *e)
{
	for (uint64_t off = 0; off < it->size;) {
		size_t n = it->size - off < CHUNK ? (size_t)(it->size - off) : CHUNK;
		struct slu_op op;

		slu_op_read(&op, it->path, off, n, c->buf, it->id[0] ? it->id : NULL);
		int r = slu_store_wait(it->store, &op, e);

		if (r == 0)
			r = slu_writer_write(w, c->buf, n, e);
		if (r < 0)
			return r;
		off += n;
		c->done.bytes += n;
		if (tell(c, false) < 0)
			return slu_fail(e, ECANCELED, "copy of '%s' canceled", it->path);
	}
	return 0;
}

static int copy_item(struct copy *c, const struct item *it, const char *to, struct slu_err *e)
{
	SLU_AUTO(slu_writer_freep) struct slu_writer *w = NULL;
	unsigned flags = (c->flags & SLUICE_OVERWRITE ? 0 : SLU_OPF_ABSENT) |
			 (c->flags & SLUICE_NO_SYNC ? 0 : SLU_OPF_DURABLE);
	int r = slu_writer_new(c->dst.store, to, flags, NULL, &w, e);

	if (r == 0)
		r = copy_bytes(c, it, w, e);
	if (r == 0)
		r = slu_writer_commit(w, NULL, e);
	if (r == -EEXIST)
		return slu_fail(e, EEXIST, "'%s' exists already; give --overwrite to replace it",
				to);
	c->done.files += r == 0;
	return r;
}

/* Stores keep unfinished writes under such names and list none of them: data there would be lost. */
static int check_shown(const char *to, struct slu_err *e)
{
	for (const char *s = to; s; s = strchr(s, '/')) {
		s += *s == '/';
		if (slu_starts(s, ".sluice-"))
			return slu_fail(
				e, EINVAL,
				"'%s': names that begin with '.sluice-' are those of unfinished "
				"writes and never listed; choose another name",
				to);
	}
	return 0;
}

/* Is the destination a folder that things go into? */
static int into_folder(struct copy *c, bool many, bool *ret, struct slu_err *e)
{
	struct slu_attr a;

	*ret = many || c->dst.folder || c->dst.path[0] == '\0';
	if (*ret)
		return 0;
	int r = slu_store_stat(c->dst.store, c->dst.path, &a, e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	*ret = a.kind == SLU_KIND_DIR;
	return 0;
}

static int run(struct copy *c, struct sluice *s, const char *src, const char *dst,
	       struct slu_err *e)
{
	bool many, folder;
	int r = slu_place_find(s, src, &c->src, e);

	if (r == 0)
		r = slu_place_find(s, dst, &c->dst, e);
	if (r < 0)
		return r;
	if (!c->dst.store || c->dst.glob)
		return slu_fail(e, EINVAL, "'%s' is no place to copy to; name a path of a store",
				dst);
	r = check_shown(c->dst.path, e);
	if (r < 0)
		return r;
	c->buf = slu_malloc(CHUNK);
	if (!c->buf)
		return slu_fail_oom(e);
	r = find_items(c, src, &many, e);
	if (r == 0)
		r = into_folder(c, many, &folder, e);
	for (size_t i = 0; r == 0 && i < c->items.n; i++) {
		SLU_AUTO(slu_freep)
		char *to = folder ? slu_path_join(c->dst.path, c->items.p[i].rel)
				  : slu_strdup(c->dst.path);

		r = to ? copy_item(c, &c->items.p[i], to, e) : slu_fail_oom(e);
	}
	(void)tell(c, true);
	return r;
}

int sluice_copy(struct sluice *s, const char *src, const char *dst, unsigned flags,
		sluice_progress_fn *progress, void *user, struct sluice_error *e)
{
	struct copy c = {.flags = flags, .progress = progress, .user = user};
	struct slu_err er = {0};
	int r = run(&c, s, src, dst, &er);

	copy_done(&c);
	return slu_api_error(e, &er, r);
}
