/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checksum of a file while it arrives.  MD5 has to see the bytes in their order, chunks come in any:
 * the lane whose chunk is the next one hashes it out of its buffer, and goes on with those behind it
 * that were written before, out of the page cache, while the other lanes fetch more.
 */
#include "fs/download.h"

#include "common/str.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PIECE (128u << 10)

int slu_download_hash_begin(const struct slu_download *d, struct slu_dfile *f, struct slu_err *e)
{
	const struct slu_file *mf = slu_manifest_at(d->t->manifest, f->at);

	if (d->o->check == SLU_CHECK_OFF || !slu_after(mf->sum, "md5:"))
		return 0;
	if (slu_hasher_new(SLU_MD5, &f->hasher) < 0)
		return slu_fail_oom(e);
	return 0;
}

/* Bytes that were written, in pieces that stay in the processor's own cache. */
static int hash_again(const struct slu_dfile *f, char *buf, uint64_t off, size_t len)
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
		if (slu_hasher_add(f->hasher, buf, (size_t)r) < 0)
			return -EIO;
		n += (size_t)r;
	}
	return 0;
}

/* May this lane hash the chunk at off? */
static bool begin(struct slu_download *d, struct slu_dfile *f, uint64_t off)
{
	bool mine;

	pthread_mutex_lock(&d->lock);
	f->done[off / f->chunk] = SLU_DC_WRITTEN;
	mine = f->hasher && !f->hashing && f->hashed == off;
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

int slu_download_hash(struct slu_download *d, struct slu_dfile *f, char *buf, uint64_t off,
		      size_t len, struct slu_err *e)
{
	const struct slu_file *mf = slu_manifest_at(d->t->manifest, f->at);
	int r;

	if (!begin(d, f, off))
		return 0;
	do {
		if (f->hashed == off) {
			r = slu_hasher_add(f->hasher, buf, len);
		} else {
			len = mf->size - f->hashed < f->chunk ? (size_t)(mf->size - f->hashed)
							      : f->chunk;
			r = hash_again(f, buf, f->hashed, len);
		}
		if (r < 0)
			return slu_fail_sys(e, -r, "cannot compute the checksum of '%s' in '%s'",
					    mf->path, d->target);
	} while (advance(d, f, len, mf->size));
	return 0;
}

int slu_download_hash_end(const struct slu_download *d, struct slu_dfile *f, struct slu_err *e)
{
	const struct slu_file *mf = slu_manifest_at(d->t->manifest, f->at);
	uint8_t digest[SLU_DIGEST_MAX];
	int r = 0;

	if (f->hasher && slu_hasher_end(f->hasher, digest) < 0)
		r = slu_fail(e, EIO, "cannot compute the checksum of '%s'", mf->path);
	if (r == 0)
		r = slu_check_md5(d->o->check, mf->path, mf->sum, f->hasher ? digest : NULL, e);
	slu_hasher_free(f->hasher);
	f->hasher = NULL;
	return r;
}
