/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inode table of a mount (mount_tree.h).  One pass over the sorted manifest finds the implied
 * directories in preorder; everything else is binary search in the two sorted arrays.  A directory
 * is known by its first file and the length of its path in that file's path.
 */
#include "fs/mount_tree.h"

#include "common/mem.h"
#include "common/vec.h"

#include <errno.h>
#include <string.h>

struct dir {
	uint32_t first, end; /* files below: [first, end) */
	uint32_t plen;       /* length of its path */
	uint32_t parent;
	uint32_t after; /* first directory that is not below */
	uint32_t subdirs;
	int64_t mtime_ns;
};

struct slu_mtree {
	const struct slu_manifest *m;
	struct dir *d; /* [0] is the root; preorder */
	uint32_t nd, nf;
	size_t left_out;
	const char *first_out;
};

/* The build: the open directories are the chain of parents from `cur`. */
struct build {
	struct slu_mtree *t;
	SLU_VEC(struct dir) d;
	uint32_t cur;
};

static void close_dir(struct build *b, uint32_t end)
{
	struct dir *d = &b->d.p[b->cur], *up = &b->d.p[d->parent];

	d->end = end;
	d->after = (uint32_t)b->d.n;
	if (up->mtime_ns < d->mtime_ns)
		up->mtime_ns = d->mtime_ns;
	b->cur = d->parent;
}

static void note_long(struct build *b, const char *path, size_t len)
{
	if (len <= SLU_MNAME_MAX)
		return;
	b->t->left_out++;
	if (!b->t->first_out)
		b->t->first_out = path;
}

static bool is_below(const struct dir *d, const char *dpath, const char *path)
{
	return !d->plen || (!strncmp(dpath, path, d->plen) && path[d->plen] == '/');
}

static int build_file(struct build *b, uint32_t i)
{
	const struct slu_file *f = slu_manifest_at(b->t->m, i);
	const char *name, *slash;

	while (!is_below(&b->d.p[b->cur], slu_manifest_at(b->t->m, b->d.p[b->cur].first)->path,
			 f->path))
		close_dir(b, i);
	name = f->path + b->d.p[b->cur].plen;
	if (b->cur)
		name++;
	for (; (slash = strchr(name, '/')); name = slash + 1) {
		struct dir d = {.first = i,
				.plen = (uint32_t)(slash - f->path),
				.parent = b->cur,
				.mtime_ns = INT64_MIN};

		if (b->d.n >= UINT32_MAX)
			return -EFBIG;
		note_long(b, f->path, (size_t)(slash - name));
		b->d.p[b->cur].subdirs++;
		b->cur = (uint32_t)b->d.n;
		if (!slu_vec_push(&b->d, d))
			return -ENOMEM;
	}
	note_long(b, f->path, strlen(name));
	if (b->d.p[b->cur].mtime_ns < f->mtime_ns)
		b->d.p[b->cur].mtime_ns = f->mtime_ns;
	return 0;
}

int slu_mtree_new(const struct slu_manifest *m, struct slu_mtree **ret, struct slu_err *e)
{
	size_t n = slu_manifest_count(m);
	struct build b = {.cur = 0};
	int r = 0;

	if (n >= UINT32_MAX / 2)
		return slu_fail(e, EFBIG,
				"%zu files are more than one mount can number; mount a "
				"part of the dataset",
				n);
	b.t = slu_new0(struct slu_mtree);
	if (!b.t)
		return slu_fail_oom(e);
	b.t->m = m;
	b.t->nf = (uint32_t)n;
	struct dir root = {.mtime_ns = n ? INT64_MIN : 0};

	if (!slu_vec_push(&b.d, root))
		r = -ENOMEM;
	for (uint32_t i = 0; i < b.t->nf && !r; i++)
		r = build_file(&b, i);
	if (r) {
		free(b.d.p);
		free(b.t);
		return slu_fail_sys(e, -r, "cannot number %zu files", n);
	}
	while (b.cur)
		close_dir(&b, b.t->nf);
	b.d.p[0].end = b.t->nf;
	b.d.p[0].after = (uint32_t)b.d.n;
	b.t->nd = (uint32_t)b.d.n;
	/* What doubling left over; on failure the larger array stays. */
	b.t->d = slu_reallocarray(b.d.p, b.d.n, sizeof *b.d.p);
	if (!b.t->d)
		b.t->d = b.d.p;
	*ret = b.t;
	return 0;
}

void slu_mtree_free(struct slu_mtree *t)
{
	if (!t)
		return;
	free(t->d);
	free(t);
}

uint64_t slu_mtree_nodes(const struct slu_mtree *t)
{
	return (uint64_t)t->nf + t->nd;
}

size_t slu_mtree_left_out(const struct slu_mtree *t, const char **ret_first)
{
	*ret_first = t->first_out;
	return t->left_out;
}

/* The root is 1; directory k > 0 has k - 1 directories and d[k].first files before it. */
static uint64_t dir_ino(const struct slu_mtree *t, uint32_t k)
{
	return k ? 2 + (uint64_t)t->d[k].first + (k - 1) : SLU_MNODE_ROOT;
}

/* Directories, without the root, whose first file is i or before. */
static uint32_t dirs_upto(const struct slu_mtree *t, uint32_t i)
{
	uint32_t lo = 1, hi = t->nd;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (t->d[mid].first <= i)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

static void fill_dir(const struct slu_mtree *t, uint32_t k, struct slu_mnode *ret)
{
	*ret = (struct slu_mnode){.ino = dir_ino(t, k),
				  .dir = true,
				  .at = k,
				  .subdirs = t->d[k].subdirs,
				  .mtime_ns = t->d[k].mtime_ns};
}

static void fill_file(const struct slu_mtree *t, uint32_t i, uint64_t ino, struct slu_mnode *ret)
{
	const struct slu_file *f = slu_manifest_at(t->m, i);

	*ret = (struct slu_mnode){.ino = ino, .at = i, .size = f->size, .mtime_ns = f->mtime_ns};
}

int slu_mtree_get(const struct slu_mtree *t, uint64_t ino, struct slu_mnode *ret)
{
	uint32_t lo = 0, hi = t->nd; /* last directory with a number <= ino */

	if (ino < SLU_MNODE_ROOT || ino > slu_mtree_nodes(t))
		return -ENOENT;
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (dir_ino(t, mid) <= ino)
			lo = mid;
		else
			hi = mid;
	}
	if (dir_ino(t, lo) == ino)
		fill_dir(t, lo, ret);
	else
		fill_file(t, (uint32_t)(ino - 2 - lo), ino, ret);
	return 0;
}

/* Compares the rest of file i's path, from `at`, with name followed by `end`. */
static int compare(const struct slu_mtree *t, uint32_t i, uint32_t at, const char *name, size_t n,
		   char end)
{
	const char *rest = slu_manifest_at(t->m, i)->path + at;
	int c = strncmp(rest, name, n);

	return c ? c : (int)(unsigned char)rest[n] - (int)(unsigned char)end;
}

/* First file of directory k whose path from `at` is not before name + end. */
static uint32_t lower(const struct slu_mtree *t, uint32_t k, uint32_t at, const char *name,
		      size_t n, char end)
{
	uint32_t lo = t->d[k].first, hi = t->d[k].end;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (compare(t, mid, at, name, n, end) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The directory whose first file is i and whose path is plen long: it is known to be there. */
static uint32_t dir_at(const struct slu_mtree *t, uint32_t i, uint32_t plen)
{
	uint32_t lo = 1, hi = t->nd;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct dir *d = &t->d[mid];

		if (d->first < i || (d->first == i && d->plen < plen))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int slu_mtree_lookup(const struct slu_mtree *t, uint64_t parent, const char *name,
		     struct slu_mnode *ret)
{
	struct slu_mnode p;
	size_t n = strlen(name);
	int r = slu_mtree_get(t, parent, &p);

	if (r)
		return r;
	if (!p.dir)
		return -ENOTDIR;
	if (!n || n > SLU_MNAME_MAX || strchr(name, '/'))
		return -ENOENT;
	uint32_t k = p.at, at = k ? t->d[k].plen + 1 : 0, i;

	i = lower(t, k, at, name, n, '/');
	if (i < t->d[k].end && !compare(t, i, at, name, n, '/')) {
		fill_dir(t, dir_at(t, i, at + (uint32_t)n), ret);
		return 0;
	}
	i = lower(t, k, at, name, n, '\0');
	if (i == t->d[k].end || compare(t, i, at, name, n, '\0'))
		return -ENOENT;
	fill_file(t, i, 2 + (uint64_t)i + dirs_upto(t, i), ret);
	return 0;
}

/* The first child of directory k that begins at file i or later: seekdir(3) takes any number. */
static uint32_t child_from(const struct slu_mtree *t, uint32_t k, uint32_t i)
{
	uint32_t at = k ? t->d[k].plen + 1 : 0;
	const char *name, *slash;

	if (i == t->d[k].first || i == t->d[k].end)
		return i;
	name = slu_manifest_at(t->m, i)->path + at;
	slash = strchr(name, '/');
	if (!slash)
		return i;
	uint32_t first = lower(t, k, at, name, (size_t)(slash - name), '/');

	return first == i ? i : t->d[dir_at(t, first, at + (uint32_t)(slash - name))].end;
}

int slu_mdir_open(const struct slu_mtree *t, uint64_t ino, uint64_t pos, struct slu_mdir *ret)
{
	struct slu_mnode n;
	int r = slu_mtree_get(t, ino, &n);

	if (r)
		return r;
	if (!n.dir)
		return -ENOTDIR;
	const struct dir *d = &t->d[n.at];

	if (pos > d->end - d->first)
		pos = d->end - d->first;
	*ret = (struct slu_mdir){.t = t,
				 .ino = ino,
				 .parent = dir_ino(t, d->parent),
				 .dir = n.at,
				 .pos = child_from(t, n.at, d->first + (uint32_t)pos)};
	/* The first directory at or after pos, below this one: right once, then kept right. */
	ret->hint = dir_at(t, ret->pos, n.at ? d->plen + 1 : 0);
	return 0;
}

bool slu_mdir_next(struct slu_mdir *d, struct slu_mnode *ret, const char **ret_name,
		   size_t *ret_len, uint64_t *ret_pos)
{
	const struct slu_mtree *t = d->t;
	const struct dir *me = &t->d[d->dir];

	while (d->pos < me->end) {
		uint32_t i = d->pos;
		const char *name = slu_manifest_at(t->m, i)->path + (d->dir ? me->plen + 1 : 0);
		const char *slash = strchr(name, '/');
		size_t len = slash ? (size_t)(slash - name) : strlen(name);

		if (slash) {
			fill_dir(t, d->hint, ret);
			d->pos = t->d[d->hint].end;
			d->hint = t->d[d->hint].after;
		} else {
			fill_file(t, i, 2 + (uint64_t)i + (d->hint - 1), ret);
			d->pos = i + 1;
		}
		if (len > SLU_MNAME_MAX)
			continue;
		*ret_name = name;
		*ret_len = len;
		*ret_pos = d->pos - me->first;
		return true;
	}
	return false;
}
