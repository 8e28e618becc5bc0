/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots in two passes: the sorted list of what to copy, checked against the limits, then the copies.
 * Everything goes through descriptors of the two folders, so no link can lead a copy elsewhere.
 */
#include "job/snapshot.h"

#include "common/cleanup.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "common/write.h"
#include "io/crypt.h"
#include "job/ignore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 64, CHUNK = 256 << 10 };

struct item {
	char *rel;
	mode_t mode;
	uint64_t size;
	bool link;
};

struct work {
	int from, to;
	const char *code;
	dev_t skip_dev; /* folder to leave out */
	ino_t skip_ino;
	struct slu_ignore *ignore;
	SLU_VEC(struct item) items;
	struct slu_snapshot info;
	struct slu_hasher *hash;
	char *chunk;
};

static void work_done(struct work *w)
{
	for (size_t i = 0; i < w->items.n; i++)
		free(w->items.p[i].rel);
	free(w->items.p);
	slu_ignore_free(w->ignore);
	slu_hasher_free(w->hash);
	free(w->chunk);
	slu_closep(&w->from);
	slu_closep(&w->to);
}

/* --- the list --- */

static int add_item(struct work *w, const char *rel, const struct stat *st, struct slu_err *e)
{
	struct item it = {
		.rel = slu_strdup(rel), .mode = st->st_mode, .link = S_ISLNK(st->st_mode)};

	it.size = it.link ? 0 : (uint64_t)st->st_size;
	if (!it.rel || !slu_vec_push(&w->items, it)) {
		free(it.rel);
		return slu_fail_oom(e);
	}
	w->info.files++;
	w->info.bytes += it.size;
	if (w->info.files > SLU_SNAPSHOT_FILES || w->info.bytes > SLU_SNAPSHOT_BYTES)
		return slu_fail(
			e, E2BIG,
			"code folder '%s' has more than %d files or %u MB; leave out what the "
			"job does not need with a '.amlignore' in it",
			w->code, SLU_SNAPSHOT_FILES, SLU_SNAPSHOT_BYTES >> 20);
	return 0;
}

/* Does a link end inside the folder, and will its copy end inside the copy? */
static bool link_ok(const struct work *w, const char *rel)
{
	char first;

	if (readlinkat(w->from, rel, &first, 1) != 1 || first == '/')
		return false;
	SLU_AUTO(slu_closep) int fd = slu_path_open(w->from, rel, O_PATH, 0, SLU_LINKS_BENEATH);

	return fd >= 0;
}

static int list_dir(struct work *w, int dirfd, const char *rel, int depth, struct slu_err *e);

static int list_entry(struct work *w, int dirfd, const char *name, const char *rel, int depth,
		      struct slu_err *e)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return slu_fail_sys(e, errno, "cannot read '%s/%s'", w->code, rel);
	if (slu_ignore_match(w->ignore, rel, S_ISDIR(st.st_mode)))
		return 0;
	if (S_ISDIR(st.st_mode)) {
		if (st.st_dev == w->skip_dev && st.st_ino == w->skip_ino)
			return 0;
		return list_dir(w, dirfd, rel, depth + 1, e);
	}
	if (!S_ISREG(st.st_mode) && !(S_ISLNK(st.st_mode) && link_ok(w, rel))) {
		w->info.skipped++;
		return 0;
	}
	return add_item(w, rel, &st, e);
}

static int list_dir(struct work *w, int dirfd, const char *rel, int depth, struct slu_err *e)
{
	const char *name = *rel ? slu_path_base(rel) : ".";
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	SLU_AUTO(slu_closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;
	int r = 0;

	if (!d) {
		int err = errno;

		slu_closep(&fd);
		return slu_fail_sys(e, err, "cannot list '%s/%s'", w->code, rel);
	}
	if (depth > DEPTH_MAX)
		return slu_fail(e, ELOOP, "code folder '%s' is more than %d folders deep", w->code,
				DEPTH_MAX);
	while (r == 0 && (errno = 0, ent = readdir(d))) {
		if (slu_streq(ent->d_name, ".") || slu_streq(ent->d_name, ".."))
			continue;
		SLU_AUTO(slu_freep) char *path = slu_path_join(rel, ent->d_name);

		r = path ? list_entry(w, fd, ent->d_name, path, depth, e) : slu_fail_oom(e);
	}
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->rel, ((const struct item *)b)->rel);
}

/* --- the copies --- */

static int hash_head(struct work *w, const struct item *it)
{
	uint8_t size[9];

	for (int i = 0; i < 8; i++)
		size[i] = (uint8_t)(it->size >> (8 * i));
	/* A program that may be run is another program. */
	size[8] = it->link ? 'l' : it->mode & 0100 ? 'x' : 'f';
	if (slu_hasher_add(w->hash, it->rel, strlen(it->rel) + 1) < 0)
		return -EIO;
	return slu_hasher_add(w->hash, size, sizeof(size));
}

static int copy_link(struct work *w, const struct item *it)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(w->from, it->rel, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (slu_hasher_add(w->hash, text, (size_t)n + 1) < 0) /* with its end: it has no length */
		return -EIO;
	return symlinkat(text, w->to, it->rel) < 0 ? -errno : 0;
}

static int copy_bytes(struct work *w, int in, int out, uint64_t left)
{
	while (left) {
		size_t want = left < CHUNK ? (size_t)left : CHUNK;
		ssize_t n = read(in, w->chunk, want);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ESTALE; /* shorter than it was listed */
		r = slu_hasher_add(w->hash, w->chunk, (size_t)n);
		if (r == 0)
			r = slu_write_all(out, w->chunk, (size_t)n);
		if (r < 0)
			return r;
		left -= (uint64_t)n;
	}
	return 0;
}

static int copy_file(struct work *w, const struct item *it)
{
	SLU_AUTO(slu_closep) int in = slu_path_open(w->from, it->rel, O_RDONLY, 0, SLU_LINKS_NONE);
	SLU_AUTO(slu_closep) int out = -1;
	int r;

	if (in < 0)
		return in;
	out = slu_path_open(w->to, it->rel, O_WRONLY | O_CREAT | O_EXCL, 0600, SLU_LINKS_NONE);
	if (out < 0)
		return out;
	r = copy_bytes(w, in, out, it->size);
	if (r == 0 && fchmod(out, 0600 | (it->mode & 0777 & ~022u)) < 0)
		r = -errno;
	return r;
}

static int copy_item(struct work *w, const struct item *it, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *dir = slu_path_dir(it->rel);
	int r = dir ? slu_path_mkdirs(w->to, dir, 0700) : -ENOMEM;

	if (r == 0)
		r = hash_head(w, it);
	if (r == 0)
		r = it->link ? copy_link(w, it) : copy_file(w, it);
	return r < 0 ? slu_fail_sys(e, -r, "cannot copy '%s/%s'", w->code, it->rel) : 0;
}

static int copy_items(struct work *w, struct slu_err *e)
{
	uint8_t sum[SLU_DIGEST_MAX];
	int r = slu_hasher_new(SLU_SHA256, &w->hash);

	w->chunk = slu_malloc(CHUNK);
	if (r < 0 || !w->chunk)
		return slu_fail_oom(e);
	for (size_t i = 0; i < w->items.n && r == 0; i++)
		r = copy_item(w, &w->items.p[i], e);
	if (r == 0 && slu_hasher_end(w->hash, sum) < 0)
		r = slu_fail(e, EIO, "cannot hash the code folder '%s'", w->code);
	if (r == 0)
		slu_hex(w->info.hash, sum, sizeof(sum));
	return r;
}

/* --- both --- */

/* The code is one file: its folder with nothing else of it. */
static int list_file(struct work *w, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *dir = slu_asprintf("%s", w->code);
	const char *base = slu_path_base(w->code);
	struct stat st;

	if (!dir)
		return slu_fail_oom(e);
	char *slash = strrchr(dir, '/');
	if (!slash)
		return slu_fail(e, EINVAL, "'%s' is not an absolute path", w->code);
	slash[slash == dir ? 1 : 0] = '\0';
	w->from = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->from < 0 || fstatat(w->from, base, &st, 0) < 0)
		return slu_fail_sys(e, errno, "cannot read '%s'", w->code);
	if (!S_ISREG(st.st_mode))
		return slu_fail(e, EINVAL, "code '%s' is neither a folder nor a file", w->code);
	return add_item(w, base, &st, e);
}

static int list_all(struct work *w, const char *without, struct slu_err *e)
{
	struct stat st;
	int r;

	w->from = open(w->code, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->from < 0 && errno == ENOTDIR)
		return list_file(w, e);
	if (w->from < 0)
		return slu_fail_sys(e, errno, "cannot open the code folder '%s'", w->code);
	if (without && stat(without, &st) == 0) {
		w->skip_dev = st.st_dev;
		w->skip_ino = st.st_ino;
	}
	r = slu_ignore_read(w->from, &w->ignore, e);
	if (r == 0)
		r = list_dir(w, w->from, "", 0, e);
	if (r == 0 && w->items.n)
		qsort(w->items.p, w->items.n, sizeof(*w->items.p), by_name);
	return r;
}

static int take(struct work *w, int dirfd, const char *name, const char *without, struct slu_err *e)
{
	int r = list_all(w, without, e);

	if (r < 0)
		return r;
	if (mkdirat(dirfd, name, 0700) < 0)
		return slu_fail_sys(e, errno, "cannot make '%s'", name);
	w->to = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->to < 0)
		return slu_fail_sys(e, errno, "cannot open '%s'", name);
	r = copy_items(w, e);
	if (r < 0)
		slu_path_rmtree_mine(dirfd, name);
	return r;
}

int slu_snapshot_take(const char *code, int dirfd, const char *name, const char *without,
		      struct slu_snapshot *ret, struct slu_err *e)
{
	struct work w = {.from = -1, .to = -1, .code = code};
	int r = take(&w, dirfd, name, without, e);

	if (r == 0)
		*ret = w.info;
	work_done(&w);
	return r;
}
