/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file of a download on the disk's side: its part file, which is gone on with where the journal knows
 * of it, its chunks, its end.  Zeros that fill whole pieces are left out: a sparse file stays one.
 */
#include "fs/download.h"

#include "common/fault.h"
#include "common/mem.h"
#include "common/write.h"
#include "fs/download_record.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#define CHUNK_MIN (1u << 20)
#define NSEC 1000000000LL
#define PIECE ((size_t)64 << 10) /* of zeros, and of nothing less */
#define CHUNKS_MAX (1ull << 32)

void slu_dfile_free(struct slu_dfile *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	slu_download_ask_drop(f);
	slu_summer_done(&f->sum);
	if (f->nchunks > 1) {
		free(f->done);
		free(f->crcs);
	}
	free(f->path);
	free(f);
}

void slu_dfile_drop(const struct slu_download *d, struct slu_dfile *f)
{
	char part[SLU_DL_PART_NAME];

	if (!f)
		return;
	if (f->fresh && f->left == slu_download_file(d, f->at)->size) {
		slu_download_part_name(f->key, part);
		(void)unlinkat(d->partfd, part, 0);
	}
	slu_dfile_free(f);
}

size_t slu_dfile_chunk(const struct slu_download *d, const struct slu_store *store)
{
	size_t n = slu_store_can(store, SLU_CAP_INLINE_READ) ? CHUNK_MIN : store->block;

	if (n > d->lane_size)
		n = d->lane_size;
	return n < CHUNK_MIN && d->lane_size >= CHUNK_MIN ? CHUNK_MIN : n;
}

/* Room for what is known of each chunk. */
static int set_chunks(struct slu_dfile *f, uint64_t size, struct slu_err *e)
{
	f->nchunks = (size + f->chunk - 1) / f->chunk;
	f->done = &f->done1;
	f->crcs = &f->crcs1;
	if (f->nchunks <= 1)
		return 0;
	f->done = f->nchunks < CHUNKS_MAX ? slu_calloc((size_t)f->nchunks, 1) : NULL;
	f->crcs = f->done ? slu_calloc((size_t)f->nchunks, sizeof *f->crcs) : NULL;
	return f->crcs ? 0 : slu_fail_oom(e);
}

/* The CRC32C of what is in the part file; a hole at its end is not there yet. */
static int crc_of(const struct slu_dfile *f, uint64_t off, uint64_t len, char *buf, uint32_t *ret)
{
	uint32_t crc = 0;

	while (len) {
		size_t want = len < PIECE ? (size_t)len : PIECE;
		ssize_t r = SLU_IO(pread(f->fd, buf, want, (off_t)off));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0) {
			memset(buf, 0, want);
			r = (ssize_t)want;
		}
		crc = slu_crc32c(crc, buf, (size_t)r);
		off += (uint64_t)r;
		len -= (uint64_t)r;
	}
	*ret = crc;
	return 0;
}

/* A claim of several chunks of ours, which begins where one of them does: checked here, since the chunks
 * need CRCs of their own. */
static void claim_run(struct slu_dfile *f, uint64_t off, uint64_t len, uint32_t crc, char *buf)
{
	uint64_t first = off / f->chunk, n = (len + f->chunk - 1) / f->chunk;
	uint32_t all = 0;

	if (first + n > f->nchunks)
		return;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t rest = len - i * f->chunk;
		uint64_t part = rest < f->chunk ? rest : f->chunk;

		if (crc_of(f, off + i * f->chunk, part, buf, &f->crcs[first + i]))
			return;
		all = slu_crc32c_join(all, f->crcs[first + i], part);
	}
	if (all == crc)
		memset(f->done + first, SLU_DC_CLAIMED, (size_t)n);
}

static void claim(struct slu_dfile *f, const struct slu_dj_entry *d, uint64_t size, char *buf)
{
	uint64_t off = 0, len = size, i;

	if (d->kind == SLU_DJ_WHOLE && (d->unit || d->n != size))
		return;
	if (d->kind == SLU_DJ_CHUNK) {
		if (d->unit % f->chunk || __builtin_mul_overflow(d->n, d->unit, &off) ||
		    off >= size)
			return;
		len = size - off < d->unit ? size - off : d->unit;
	}
	i = off / f->chunk;
	if (len > f->chunk) {
		claim_run(f, off, len, d->crc, buf);
	} else if (i < f->nchunks) {
		f->done[i] = SLU_DC_CLAIMED;
		f->crcs[i] = d->crc;
	}
}

/* What the journal says is in the part file, in chunks as they were then, or in parts of them. */
static int take_claims(const struct slu_download *d, struct slu_dfile *f, uint64_t size,
		       struct slu_err *e)
{
	size_t n, at = slu_dj_find(d->old, d->old_n, f->key, &n);
	const struct slu_dj_entry *p = d->old + at;
	SLU_AUTO(slu_freep) char *buf = slu_malloc(PIECE);
	int r;

	if (!buf)
		return slu_fail_oom(e);
	if (n && p[0].kind == SLU_DJ_CHUNK) {
		size_t unit = p[0].unit;

		while (unit > d->lane_size && unit % 2 == 0)
			unit /= 2;
		if (unit <= d->lane_size)
			f->chunk = unit;
	}
	r = set_chunks(f, size, e);
	for (size_t i = 0; i < n && !r; i++)
		if (p[i].kind == SLU_DJ_CHUNK || n == 1)
			claim(f, &p[i], size, buf);
	return r;
}

/* Extents in one piece where chunks come in any order; and a full disk is known at once. */
static int make_room(const struct slu_download *d, struct slu_dfile *f, uint64_t size,
		     struct slu_err *e)
{
	struct statfs s;

	if (f->nchunks < 2 || !f->fresh)
		return 0;
	/* In memory it would only be cleared twice. */
	if (fstatfs(f->fd, &s) || s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC)
		return 0;
	if (fallocate(f->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) == 0) {
		f->room = true;
		/* A hole is punched only before the end. */
		if (SLU_IO(ftruncate(f->fd, (off_t)size)))
			return slu_fail_sys(e, errno, "cannot make '%s' in '%s'",
					    slu_download_file(d, f->at)->path, d->target);
		return 0;
	}
	if (errno == ENOSPC || errno == EDQUOT)
		return slu_fail_sys(e, errno, "no room for '%s' in '%s'",
				    slu_download_file(d, f->at)->path, d->target);
	return 0;
}

static int open_part(const struct slu_download *d, struct slu_dfile *f, struct slu_err *e)
{
	char part[SLU_DL_PART_NAME];

	f->fresh = d->known[f->at].state != SLU_DS_PART;
	slu_download_part_name(f->key, part);
	f->fd = SLU_IO(openat(d->partfd, part,
			      O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (f->fresh ? O_EXCL : 0),
			      0666));
	if (f->fd < 0)
		return slu_fail_sys(e, errno, "cannot make a file in '%s'", d->target);
	return 0;
}

/* Of a file whose bytes have to be fetched. */
static int prepare(struct slu_download *d, struct slu_dfile *f, uint64_t size, struct slu_err *e)
{
	int r = make_room(d, f, size, e);

	if (r || !size || !slu_store_can(f->store, SLU_CAP_BARE_READ))
		return r;
	return slu_download_ask(d, f, e);
}

int slu_dfile_open(struct slu_download *d, size_t at, struct slu_dfile **ret, struct slu_err *e)
{
	const struct slu_file *mf = slu_download_file(d, at);
	struct slu_dfile *f = slu_new0(struct slu_dfile);
	int r = 0;

	if (!f)
		return slu_fail_oom(e);
	f->at = at;
	f->fd = -1;
	f->left = mf->size;
	if (slu_download_key(d->t->manifest, at, f->key) < 0 ||
	    slu_tree_locate(d->t, at, &f->store, &f->path))
		r = slu_fail_oom(e);
	if (!r)
		r = open_part(d, f, e);
	if (!r) {
		f->chunk = slu_dfile_chunk(d, f->store);
		r = f->fresh ? set_chunks(f, mf->size, e) : take_claims(d, f, mf->size, e);
	}
	if (!r)
		r = slu_download_hash_begin(d, f, e);
	if (!r)
		slu_dfile_clone(d, f);
	if (!r && !f->cloned)
		r = prepare(d, f, mf->size, e);
	if (r) {
		slu_dfile_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

/* --- chunks --- */

static bool is_zero(const char *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Leaves n zeros out, or writes them where the disk cannot be told so. */
static int write_zeros(struct slu_dfile *f, const char *p, size_t n, uint64_t off)
{
	f->holes = true;
	if (f->fresh && !f->room)
		return 0;
	if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)n) == 0)
		return 0;
	return slu_pwrite_all(f->fd, p, n, off);
}

/* How many bytes from p on are zeros in whole pieces, or are not. */
static size_t run(const char *p, size_t n, bool zero)
{
	size_t at = 0;

	while (n - at >= PIECE && is_zero(p + at, PIECE) == zero)
		at += PIECE;
	return !zero && n - at < PIECE ? n : at;
}

int slu_dfile_write(struct slu_download *d, struct slu_dfile *f, const char *buf, uint64_t off,
		    size_t len, struct slu_err *e)
{
	struct slu_dj_entry one = {.kind = SLU_DJ_CHUNK,
				   .n = off / f->chunk,
				   .unit = (uint32_t)f->chunk,
				   .crc = slu_crc32c(0, buf, len)};
	int r = 0;

	for (size_t at = 0, n; at < len && !r; at += n) {
		n = run(buf + at, len - at, true);
		if (n) {
			r = write_zeros(f, buf + at, n, off + at);
		} else {
			n = run(buf + at, len - at, false);
			r = slu_pwrite_all(f->fd, buf + at, n, off + at);
		}
	}
	if (r)
		return slu_fail_sys(e, -r, "cannot write '%s' in '%s'",
				    slu_download_file(d, f->at)->path, d->target);
	f->crcs[one.n] = one.crc;
	/* Of one chunk the end of the file says all. */
	if (!d->journal || f->nchunks < 2)
		return 0;
	memcpy(one.key, f->key, sizeof one.key);
	return slu_dj_add(d->journal, &one, len, e);
}

bool slu_dfile_have(const struct slu_dfile *f, char *buf, uint64_t off, size_t len)
{
	for (size_t n = 0; n < len;) {
		ssize_t r = SLU_IO(pread(f->fd, buf + n, len - n, (off_t)(off + n)));

		if (r < 0 && errno == EINTR)
			continue;
		/* a hole at its end is not there yet */
		if (r == 0) {
			memset(buf + n, 0, len - n);
			break;
		}
		if (r < 0)
			return false;
		n += (size_t)r;
	}
	return slu_crc32c(0, buf, len) == f->crcs[off / f->chunk];
}

/* --- the end --- */

static uint32_t whole_crc(const struct slu_dfile *f, uint64_t size)
{
	uint32_t crc = f->nchunks ? f->crcs[0] : 0;

	for (uint64_t i = 1; i < f->nchunks; i++) {
		uint64_t left = size - i * f->chunk;

		crc = slu_crc32c_join(crc, f->crcs[i], left < f->chunk ? left : f->chunk);
	}
	return crc;
}

/* Its length where zeros at the end were left out or an earlier part was longer; its time. */
static int set_attrs(const struct slu_dfile *f, const struct slu_file *mf)
{
	int64_t rest = mf->mtime_ns % NSEC;
	struct timespec times[2];

	if (rest < 0)
		rest += NSEC;
	times[0] = times[1] = (struct timespec){(mf->mtime_ns - rest) / NSEC, rest};
	if ((f->holes || f->room || !f->fresh) && SLU_IO(ftruncate(f->fd, (off_t)mf->size)))
		return -errno;
	return SLU_IO(futimens(f->fd, times)) ? -errno : 0;
}

int slu_dfile_finish(struct slu_download *d, struct slu_dfile *f, struct slu_err *e)
{
	const struct slu_file *mf = slu_download_file(d, f->at);
	struct slu_dj_entry one = {
		.kind = SLU_DJ_WHOLE, .n = mf->size, .crc = whole_crc(f, mf->size)};
	char part[SLU_DL_PART_NAME];
	int r = slu_download_hash_end(d, f, one.crc, e);

	if (r == -EBADMSG || r == -ESTALE) { /* nothing of it may be gone on with */
		slu_download_part_name(f->key, part);
		(void)unlinkat(d->partfd, part, 0);
	}
	if (r)
		return r;
	r = set_attrs(f, mf);
	if (!r && SLU_IO(close(f->fd)))
		r = -errno;
	f->fd = -1;
	if (r)
		return slu_fail_sys(e, -r, "cannot write '%s' in '%s'", mf->path, d->target);
	d->known[f->at].crc = one.crc;
	d->known[f->at].has_crc = true;
	memcpy(one.key, f->key, sizeof one.key);
	return d->journal ? slu_dj_add(d->journal, &one, f->nchunks < 2 ? mf->size : 0, e) : 0;
}
