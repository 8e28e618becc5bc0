/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is on this file system already, whole in the disk cache or in a local store, is had by a
 * reflink: it takes no room and no writing.  It is read once all the same, for its checksums.  Where
 * there are no reflinks it is copied as any other: the checksums want its bytes in memory anyway, so
 * copy_file_range(2) would save nothing.
 */
#include "fs/download.h"

#include "common/fault.h"
#include "fs/cache.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#define CLONE_MIN (1u << 20)

/* A descriptor of just these bytes; *ret_again: whether it has to be asked for again afterwards. */
static int source(const struct slu_file *mf, struct slu_dfile *f, bool *ret_again)
{
	int fd, r = slu_cache_whole(f->store, f->path, mf->id, mf->size, 0, &fd);

	*ret_again = r < 0;
	if (r < 0)
		r = slu_store_descriptor(f->store, f->path, mf->id, &fd);
	return r < 0 ? r : fd;
}

void slu_dfile_clone(struct slu_download *d, struct slu_dfile *f)
{
	const struct slu_file *mf = slu_download_file(d, f->at);
	SLU_AUTO(slu_closep) int fd = -1, now = -1;
	bool again;

	if (!f->fresh || mf->size < CLONE_MIN || !mf->id[0] || atomic_load(&d->no_clone))
		return;
	fd = source(mf, f, &again);
	if (fd < 0)
		return;
	if (ioctl(f->fd, FICLONE, fd)) {
		/* of this target, or of where the sources are: it is not tried a million times */
		atomic_store(&d->no_clone, true);
		return;
	}
	f->cloned = !again || slu_store_descriptor(f->store, f->path, mf->id, &now) == 0;
	if (!f->cloned && ftruncate(f->fd, 0))
		f->holes = true; /* its end is cut when it is finished */
}

int slu_dfile_read_clone(struct slu_download *d, struct slu_dfile *f, char *buf, struct slu_err *e)
{
	const struct slu_file *mf = slu_download_file(d, f->at);
	size_t len;
	int r = 0;

	for (uint64_t off = 0; off < mf->size && !r; off += len) {
		len = mf->size - off < f->chunk ? (size_t)(mf->size - off) : f->chunk;
		for (size_t n = 0; n < len;) {
			ssize_t got = SLU_IO(pread(f->fd, buf + n, len - n, (off_t)(off + n)));

			if (got < 0 && errno == EINTR)
				continue;
			if (got <= 0)
				return slu_fail_sys(e, got ? errno : EIO,
						    "cannot read '%s' in '%s'", mf->path,
						    d->target);
			n += (size_t)got;
		}
		f->crcs[off / f->chunk] = slu_crc32c(0, buf, len);
		r = slu_download_hash(d, f, buf, off, len, e);
		pthread_mutex_lock(&d->lock);
		d->progress.bytes += len;
		d->totals.cloned += len;
		if (!r)
			r = d->rc; /* no more is wanted: what ended it is told already */
		pthread_mutex_unlock(&d->lock);
	}
	f->left = 0;
	return r;
}
