/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checksum of a file while it arrives.  It has to see the bytes in their order, chunks come in any:
 * the lane whose chunk is the next one hashes it out of its buffer, and goes on with those behind it
 * that were written before, out of the page cache, while the other lanes fetch more.  What it has to be may become
 * known only meanwhile (download_sum.c).
 */
#include "fs/download.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE (128u << 10)

int slu_download_hash_begin(struct slu_download *d, struct slu_dfile *f, struct slu_err *e)
{
	const struct slu_file *mf = slu_manifest_at(d->t->manifest, f->at);

	f->d = d;
	f->crc64_on = d->o->check != SLU_CHECK_OFF && slu_starts(mf->sum, SLU_CRC64_SUM);
	if (!f->crc64_on && (d->o->check == SLU_CHECK_OFF || !slu_starts(mf->sum, "md5:")))
		return 0;
	snprintf(f->want, sizeof(f->want), "%s", mf->sum);
	if (f->crc64_on)
		return 0;
	return slu_summer_begin(&f->sum, f->want) < 0 ? slu_fail_oom(e) : 0;
}

/* Bytes that were written, in pieces that stay in the processor's own cache. */
static int hash_again(struct slu_dfile *f, char *buf, uint64_t off, size_t len)
{
	for (size_t n = 0; n < len;) {
		size_t want = len - n < PIECE ? len - n : PIECE;
		ssize_t r = pread(f->fd, buf, want, (off_t)(off + n));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		/* zeros at the end were left out, or a chunk before them is not there yet */
		if (r == 0) {
			memset(buf, 0, want);
			r = (ssize_t)want;
		}
		if (slu_summer_add(&f->sum, buf, (size_t)r) < 0)
			return -EIO;
		n += (size_t)r;
	}
	return 0;
}

/* The chunk at off is written.  May this lane hash what is next? */
static bool begin(struct slu_download *d, struct slu_dfile *f, uint64_t off, uint64_t size)
{
	bool mine;

	pthread_mutex_lock(&d->lock);
	f->done[off / f->chunk] = SLU_DC_WRITTEN;
	mine = slu_summer_on(&f->sum) && !f->hashing && f->hashed < size &&
	       f->done[f->hashed / f->chunk] == SLU_DC_WRITTEN;
	if (mine)
		f->hashing = true;
	pthread_mutex_unlock(&d->lock);
	return mine;
}

/* n more bytes are hashed.  Is there a chunk behind them? */
static bool advance(struct slu_download *d, struct slu_dfile *f, size_t n, uint64_t size)
{
	bool more;

	pthread_mutex_lock(&d->lock);
	f->hashed += n;
	more = f->hashed < size && f->done[f->hashed / f->chunk] == SLU_DC_WRITTEN && !d->rc;
	f->hashing = more;
	pthread_mutex_unlock(&d->lock);
	return more;
}

/* Chunks come in any order: each has its share in the CRC64 of all. */
static void add_share(struct slu_download *d, struct slu_dfile *f, uint64_t share)
{
	pthread_mutex_lock(&d->lock);
	f->crc64 ^= share;
	pthread_mutex_unlock(&d->lock);
}

int slu_download_hash(struct slu_download *d, struct slu_dfile *f, char *buf, uint64_t off,
		      size_t len, struct slu_err *e)
{
	const struct slu_file *mf = slu_manifest_at(d->t->manifest, f->at);
	bool held = true; /* buf has the chunk at off */
	int r;

	if (f->crc64_on)
		add_share(d, f, slu_crc64_join(slu_crc64(0, buf, len), 0, mf->size - off - len));
	if (!begin(d, f, off, mf->size))
		return 0;
	do {
		if (held && f->hashed == off) {
			r = slu_summer_add(&f->sum, buf, len);
		} else {
			len = mf->size - f->hashed < f->chunk ? (size_t)(mf->size - f->hashed)
							      : f->chunk;
			r = hash_again(f, buf, f->hashed, len);
			held = false;
		}
		if (r < 0)
			return slu_fail_sys(e, -r, "cannot compute the checksum of '%s' in '%s'",
					    mf->path, d->target);
	} while (advance(d, f, len, mf->size));
	return 0;
}

/* What was there before it was known what to compute. */
static int hash_rest(struct slu_dfile *f, uint64_t size)
{
	SLU_AUTO(slu_freep) char *buf = NULL;
	int r = 0;

	if (f->hashed >= size)
		return 0;
	buf = slu_malloc(PIECE);
	if (!buf)
		return -ENOMEM;
	for (size_t n; r == 0 && f->hashed < size; f->hashed += n) {
		n = size - f->hashed < PIECE ? (size_t)(size - f->hashed) : PIECE;
		r = hash_again(f, buf, f->hashed, n);
	}
	return r;
}

/* The store told it of the file as it is now: is that still the one that was read? */
static bool changed(const struct slu_dfile *f, const struct slu_file *mf)
{
	struct slu_attr now;
	int r;

	if (!f->asked || !mf->id[0])
		return false;
	r = slu_store_stat(f->store, f->path, &now, NULL);
	return r == -ENOENT || (r == 0 && !slu_streq(now.id, mf->id));
}

int slu_download_hash_end(const struct slu_download *d, struct slu_dfile *f, uint32_t crc,
			  struct slu_err *e)
{
	const struct slu_file *mf = slu_manifest_at(d->t->manifest, f->at);
	char got[SLU_ID_MAX] = "";
	int r = 0;

	if (slu_summer_on(&f->sum)) {
		r = hash_rest(f, mf->size);
		if (r == 0)
			r = slu_summer_end(&f->sum, got);
	} else if (slu_starts(f->want, SLU_CRC_SUM)) {
		snprintf(got, sizeof(got), SLU_CRC_SUM "%08x", crc);
	} else if (f->crc64_on) {
		slu_crc64_text(f->crc64, got);
	}
	slu_summer_done(&f->sum);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot compute the checksum of '%s'", mf->path);
	r = slu_check_kept(d->o->check, f->store, f->path, mf->version, mf->id, mf->path, f->want,
			   got, e);
	if (r == -EBADMSG && *got && changed(f, mf))
		return slu_fail(e, ESTALE,
				"'%s' has changed since it was resolved: " SLU_STALE_REMEDY,
				mf->path);
	return r;
}
