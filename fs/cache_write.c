/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling an entry of the disk cache, and checking the whole of one.  The order is all there is to it: first the
 * bytes, then their records.  A process that is killed leaves records of what is there; a machine that loses
 * power may keep records and lose bytes, which their CRC tells.  So nothing is ever synced.
 */
#include "fs/cache_impl.h"

#include "common/fault.h"
#include "common/log.h"
#include "common/mem.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#define GROUP 8 /* blocks that are hashed, then written: from the core's cache */
#define CHECK_BUF (1u << 20)
#define FILE_COST 4096 /* what a new entry takes beside its bytes */

static int write_at(int fd, const void *p, size_t n, uint64_t off)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k =
			SLU_IO(pwrite(fd, (const char *)p + done, n - done, (off_t)(off + done)));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EIO;
		done += (size_t)k;
	}
	return 0;
}

struct fill {
	struct slu_centry *e;
	uint64_t first; /* block of rec[0] and of p */
	size_t n;
	const char *p;
	struct slu_crec now[GROUP], was[GROUP];
};

static bool same(const struct slu_crec *a, const struct slu_crec *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static uint64_t bytes_of(const struct slu_centry *e, uint64_t first, uint64_t n)
{
	return (n - 1) * SLU_CACHE_BLOCK + slu_cblock_len(e, first + n - 1);
}

/* Blocks [i, z) of the group: bytes, then records. */
static int write_run(struct fill *f, size_t i, size_t z)
{
	struct slu_centry *e = f->e;
	uint64_t at = (f->first + i) * SLU_CACHE_BLOCK, n = bytes_of(e, f->first + i, z - i);

	if (!slu_cspace_take(e->c, n + sizeof(struct slu_crec) * (z - i))) {
		slu_cadd(&e->c->n.refused, n);
		return -ENOSPC;
	}
	int r = write_at(e->data, f->p + i * SLU_CACHE_BLOCK, (size_t)n, e->data_off + at);

	if (r == 0)
		r = write_at(e->map, &f->now[i], (z - i) * sizeof(f->now[0]),
			     e->head + (f->first + i) * sizeof(f->now[0]));
	if (r < 0) {
		slu_cadd(&e->c->n.refused, n);
		slu_cspace_failed(e->c, -r);
		return r;
	}
	slu_cadd(&e->c->n.written, n);
	/* Not those that were skipped: their bytes may be in a file that had this name before. */
	slu_centry_saw(e, f->first + i, z - i);
	return 0;
}

/* A block whose record says the same already stays as it is, unseen: nobody has looked at its bytes. */
static int write_group(struct fill *f)
{
	int r = slu_centry_recs(f->e, SLU_C_READ, f->first, f->n, f->was);

	for (size_t i = 0, at = 0; i < f->n; at += slu_cblock_len(f->e, f->first + i), i++)
		f->now[i] =
			slu_crec_make(f->e, f->first + i,
				      slu_crc32c(0, f->p + at, slu_cblock_len(f->e, f->first + i)));
	for (size_t i = 0, z; i < f->n && r == 0; i = z) {
		z = i + 1;
		if (same(&f->now[i], &f->was[i]))
			continue;
		while (z < f->n && !same(&f->now[z], &f->was[z]))
			z++;
		r = write_run(f, i, z);
		if (r == 0)
			slu_centry_saw(f->e, f->first + i, z - i);
	}
	return r;
}

void slu_centry_drop(struct slu_centry *e, uint64_t first, uint64_t n)
{
	static const struct slu_crec none[GROUP];

	for (uint64_t k; n; first += k, n -= k) {
		k = n < GROUP ? n : GROUP;
		if (write_at(e->map, none, (size_t)k * sizeof(none[0]),
			     e->head + first * sizeof(none[0])) < 0)
			return;
	}
}

#define SMALL_BLOCKS (SLU_CACHE_SMALL / SLU_CACHE_BLOCK)

/* All of a short file that is not there: false when it turns out to be. */
static bool write_new(struct slu_centry *e, const char *buf)
{
	struct slu_crec rec[SMALL_BLOCKS];
	static const char zeros[64];
	struct slu_chead head;
	size_t at = 0, whole = (size_t)(e->data_off + e->size);

	slu_chead_make(e, &head);
	for (uint64_t i = 0; i < e->nblocks; i++) {
		size_t n = slu_cblock_len(e, i);

		rec[i] = slu_crec_make(e, i, slu_crc32c(0, buf + at, n));
		at += n;
	}
	size_t nrec = (size_t)e->nblocks * sizeof(rec[0]);
	struct iovec v[] = {{&head, sizeof(head)},
			    {e->text, e->ntext},
			    {(char *)zeros, e->head - sizeof(head) - e->ntext},
			    {rec, nrec},
			    {(char *)zeros, (size_t)e->data_off - e->head - nrec},
			    {(char *)buf, (size_t)e->size}};

	if (!slu_cspace_take(e->c, whole + FILE_COST)) {
		slu_cadd(&e->c->n.refused, e->size);
		return true;
	}
	int r = slu_centry_create(e, v, 6, whole);

	if (r == 0)
		slu_cadd(&e->c->n.written, e->size);
	else if (r != -EEXIST)
		slu_cspace_failed(e->c, -r);
	return r != -EEXIST;
}

/* Blocks [first, z), of which buf has the bytes. */
static void write_blocks(struct slu_centry *e, uint64_t first, uint64_t z, const char *buf)
{
	SLU_AUTO(slu_freep) struct fill *f = slu_malloc(sizeof(*f));
	bool new = atomic_load(&e->map) < 0;
	int r = f ? 0 : -ENOMEM;

	if (r == 0 && new && !slu_cspace_take(e->c, FILE_COST)) {
		slu_cadd(&e->c->n.refused, bytes_of(e, first, z - first));
		r = -ENOSPC;
	}
	if (r == 0) {
		r = slu_centry_open(e, SLU_C_CREATE);
		if (r < 0)
			slu_cspace_failed(e->c, -r);
	}
	for (uint64_t i = first; r == 0 && i < z; i += f->n) {
		f->e = e;
		f->first = i;
		f->n = z - i < GROUP ? (size_t)(z - i) : GROUP;
		f->p = buf + (i - first) * SLU_CACHE_BLOCK;
		r = write_group(f);
	}
}

void slu_centry_write(struct slu_centry *e, uint64_t off, size_t len, const char *buf)
{
	uint64_t first = (off + SLU_CACHE_BLOCK - 1) / SLU_CACHE_BLOCK;
	uint64_t z = off + len == e->size ? e->nblocks : (off + len) / SLU_CACHE_BLOCK;
	const struct slu_cache_conf *conf = &e->c->conf;

	if (first >= z || slu_cspace_off(e->c))
		return;
	if (conf->max && (double)e->size > (double)conf->max * conf->prune_to) {
		slu_cadd(&e->c->n.refused, len);
		return; /* it would push out everything, and then itself */
	}
	if (e->small && atomic_load(&e->map) < 0 && z - first == e->nblocks && write_new(e, buf))
		return;
	write_blocks(e, first, z, buf + (first * SLU_CACHE_BLOCK - off));
	slu_centry_stamp(e);
}

/* --- all of it --- */

bool slu_centry_complete(struct slu_centry *e)
{
	struct slu_crec rec[GROUP];

	if (slu_centry_open(e, SLU_C_READ) < 0)
		return false;
	for (uint64_t i = 0; i < e->nblocks; i += GROUP) {
		size_t n = e->nblocks - i < GROUP ? (size_t)(e->nblocks - i) : GROUP;

		if (slu_centry_recs(e, SLU_C_READ, i, n, rec) < 0)
			return false;
		for (size_t k = 0; k < n; k++)
			if (!slu_crec_right(e, i + k, &rec[k]))
				return false;
	}
	return true;
}

/* What the mark of this boot is: it holds for these bytes in this file, as it was last written. */
static bool mark_of(struct slu_centry *e, uint64_t *ret)
{
	uint8_t sum[SLU_DIGEST_MAX];
	struct stat st;

	if (SLU_IO(fstat(e->data, &st)) < 0 || (uint64_t)st.st_size != e->size)
		return false;

	struct {
		uint8_t boot[32];
		uint64_t dev, ino, sec, nsec, size, seed;
	} what = {.dev = (uint64_t)st.st_dev,
		  .ino = (uint64_t)st.st_ino,
		  .sec = (uint64_t)st.st_mtim.tv_sec,
		  .nsec = (uint64_t)st.st_mtim.tv_nsec,
		  .size = e->size,
		  .seed = e->seed};

	memcpy(what.boot, e->c->boot, sizeof(what.boot));
	if (slu_digest(SLU_SHA256, &what, sizeof(what), sum) < 0)
		return false;
	memcpy(ret, sum, sizeof(*ret));
	return true;
}

bool slu_centry_checked(struct slu_centry *e)
{
	uint64_t want, got;

	return !e->small && mark_of(e, &want) &&
	       SLU_IO(pread(e->map, &got, sizeof(got), offsetof(struct slu_chead, checked))) ==
		       sizeof(got) &&
	       got == want;
}

static void set_mark(struct slu_centry *e)
{
	uint64_t mark;

	if (mark_of(e, &mark))
		write_at(e->map, &mark, sizeof(mark), offsetof(struct slu_chead, checked));
}

void slu_centry_stamp(struct slu_centry *e)
{
	bool all = false;

	pthread_mutex_lock(&e->lock);
	if (e->seen && !e->stamped && e->nseen == e->nblocks)
		all = e->stamped = true;
	pthread_mutex_unlock(&e->lock);
	if (all)
		set_mark(e);
}

bool slu_centry_check(struct slu_centry *e)
{
	SLU_AUTO(slu_freep) char *buf = NULL;
	struct slu_cspan miss;
	uint64_t before, after;

	if (e->small || !slu_centry_complete(e))
		return false;
	if (slu_centry_checked(e))
		return true;
	buf = slu_malloc(CHECK_BUF);
	if (!buf || !mark_of(e, &before))
		return false;
	for (uint64_t off = 0; off < e->size; off += CHECK_BUF) {
		size_t n = e->size - off < CHECK_BUF ? (size_t)(e->size - off) : CHECK_BUF;

		if (slu_centry_read(e, SLU_C_READ, off, n, buf, &miss) < 0 || miss.len)
			return false;
	}
	/* Whoever wrote into it meanwhile, those bytes were not checked. */
	if (!mark_of(e, &after) || after != before)
		return false;
	write_at(e->map, &before, sizeof(before), offsetof(struct slu_chead, checked));
	return slu_centry_checked(e);
}
