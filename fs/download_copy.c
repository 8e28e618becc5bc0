/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying: lanes.  A lane has a buffer and one chunk of one file at a time; it reads the chunk from
 * the store, writes it, and takes the next: of its own file while there is one, of a large file that
 * others work on, or of a new file.  Reads are asynchronous, so that no pool thread waits for a
 * store that may need the pool itself; writes run in the pool.
 *
 * A lane is run by one thread at a time: the pool runs it, it submits a read, and either that is done
 * inside submit and the lane goes on, or the completion puts it back into the pool.
 */
#include "fs/download.h"

#include "common/mem.h"
#include "common/str.h"
#include "fs/blocks.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define CHUNK_MIN (1u << 20)
#define CHUNK_MAX (8u << 20)
#define MEMORY (128u << 20)
#define JOBS_MAX 256
#define JOBS_DEFAULT_MAX 32
#define JOBS_LARGE 16 /* when most files have several chunks: enough, and larger chunks */
#define BATCH_FILES 1000
#define BATCH_BYTES (1ull << 30)
#define INLINE_LANES                                                                               \
	2 /* on one file, when reading it costs no waiting: writers would only collide */
#define NSEC 1000000000LL

struct slu_lane {
	struct slu_work work;
	struct slu_op op;
	struct slu_download *d;
	struct slu_dfile *f;
	char *buf;
	uint64_t off;
	size_t len;     /* of the chunk; 0: none */
	bool submitted; /* the chunk was asked for: op has the result once the lane runs again */
	bool in_flight; /* lock */
};

/* The lane this thread is submitting a read of. */
static _Thread_local struct slu_lane *submitting;

void slu_download_fail(struct slu_download *d, int rc, const struct slu_err *e)
{
	pthread_mutex_lock(&d->lock);
	if (!d->rc) {
		d->rc = rc;
		d->err = *e;
	}
	pthread_cond_broadcast(&d->cond);
	pthread_mutex_unlock(&d->lock);
}

static const struct slu_file *file_of(const struct slu_download *d, const struct slu_dfile *f)
{
	return slu_manifest_at(d->t->manifest, f->at);
}

static size_t chunk_size(const struct slu_download *d, const struct slu_dfile *f)
{
	size_t n = slu_store_can(f->store, SLU_CAP_INLINE_READ) ? CHUNK_MIN : f->store->block;
	size_t max = MEMORY / d->nlanes;

	if (max > CHUNK_MAX)
		max = CHUNK_MAX;
	if (n < CHUNK_MIN)
		n = CHUNK_MIN;
	return n < max ? n : max;
}

/* --- files --- */

/* Opens the store's side and the part file of entry `at`. */
static int file_open(struct slu_download *d, size_t at, struct slu_dfile **ret, struct slu_err *e)
{
	struct slu_dfile *f = slu_new0(struct slu_dfile);
	char part[24];
	int r;

	if (!f)
		return slu_fail_oom(e);
	f->at = at;
	f->fd = -1;
	f->left = slu_manifest_at(d->t->manifest, at)->size;
	if (slu_tree_locate(d->t, at, &f->store, &f->path)) {
		slu_dfile_free(f);
		return slu_fail_oom(e);
	}
	f->chunk = chunk_size(d, f);
	r = slu_download_hash_begin(d, f, e);
	if (r) {
		slu_dfile_free(f);
		return r;
	}
	slu_download_part_name(at, part);
	f->fd = openat(d->partfd, part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (f->fd < 0) {
		r = slu_fail_sys(e, errno, "cannot make a file in '%s'", d->target);

		slu_dfile_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

/* All bytes are there: checks, times, and off to the batch.  Closes it. */
static int file_finish(struct slu_download *d, struct slu_dfile *f, struct slu_err *e)
{
	const struct slu_file *mf = file_of(d, f);
	int64_t rest = mf->mtime_ns % NSEC;
	struct timespec times[2];
	struct stat st;
	int r;

	if (rest < 0)
		rest += NSEC;
	times[0] = times[1] = (struct timespec){(mf->mtime_ns - rest) / NSEC, rest};
	if (fstat(f->fd, &st) || (uint64_t)st.st_size != mf->size)
		return slu_fail(e, EIO, "'%s' did not get its %llu bytes in '%s'", mf->path,
				(unsigned long long)mf->size, d->target);
	r = slu_download_hash_end(d, f, e);
	if (r)
		return r;
	if (futimens(f->fd, times))
		return slu_fail_sys(e, errno, "cannot set the time of '%s' in '%s'", mf->path,
				    d->target);
	r = close(f->fd);
	f->fd = -1;
	return r ? slu_fail_sys(e, errno, "cannot write '%s' in '%s'", mf->path, d->target) : 0;
}

/* Puts a finished file into the batch, and makes the batch visible when it is full. */
static int file_batch(struct slu_download *d, struct slu_dfile *f, struct slu_err *e)
{
	struct slu_dfile *batch = NULL;
	size_t n = 0;
	int r = 0;

	pthread_mutex_lock(&d->lock);
	*d->batch_tail = f;
	d->batch_tail = &f->next;
	d->batch_n++;
	d->batch_bytes += file_of(d, f)->size;
	if (!d->committing && !d->rc &&
	    (d->batch_n >= BATCH_FILES || d->batch_bytes >= BATCH_BYTES)) {
		batch = d->batch;
		n = d->batch_n;
		d->batch = NULL;
		d->batch_tail = &d->batch;
		d->batch_n = 0;
		d->batch_bytes = 0;
		d->committing = true;
	}
	pthread_mutex_unlock(&d->lock);
	if (batch) {
		r = slu_download_commit(d, batch, e);
		pthread_mutex_lock(&d->lock);
		d->committing = false;
		if (!r)
			d->progress.files += n;
		pthread_mutex_unlock(&d->lock);
	}
	return r;
}

static int file_done(struct slu_lane *l, struct slu_dfile *f, struct slu_err *e)
{
	int r = file_finish(l->d, f, e);

	if (r) {
		slu_dfile_free(f);
		return r;
	}
	return file_batch(l->d, f, e);
}

/* --- chunks --- */

/* Lock held.  The next chunk of l->f. */
static void take(struct slu_lane *l)
{
	struct slu_download *d = l->d;
	struct slu_dfile *f = l->f;
	uint64_t size = file_of(d, f)->size;
	size_t n = f->chunk;

	l->off = f->given;
	l->len = size - f->given < n ? (size_t)(size - f->given) : n;
	f->given += l->len;
	l->in_flight = true;
	if (f->given < size)
		return;
	if (d->cur == f)
		d->cur = NULL;
}

/* Lock held.  Joins a large file that others work on. */
static bool join(struct slu_lane *l, bool last)
{
	struct slu_download *d = l->d;
	struct slu_dfile *f = d->cur;

	if (!f ||
	    (!last && slu_store_can(f->store, SLU_CAP_INLINE_READ) && f->lanes >= INLINE_LANES))
		return false;
	f->lanes++;
	l->f = f;
	take(l);
	return true;
}

/* Opens a new file for the lane: 1 with a chunk, 0 when it was empty and is done. */
static int begin_file(struct slu_lane *l, size_t at, struct slu_err *e)
{
	struct slu_download *d = l->d;
	struct slu_dfile *f = NULL;
	int r = file_open(d, at, &f, e);

	pthread_mutex_lock(&d->lock);
	if (r == 0 && f->left) {
		f->lanes = 1;
		l->f = f;
		d->cur = f;
		take(l);
	}
	if (!--d->opening)
		pthread_cond_broadcast(&d->opened);
	pthread_mutex_unlock(&d->lock);
	if (r == 0 && l->f != f)
		return file_done(l, f, e);
	return r ? r : 1;
}

/* A chunk for a lane that has no file: 1, or 0 when there is nothing left to do, or -errno. */
static int find_work(struct slu_lane *l, struct slu_err *e)
{
	struct slu_download *d = l->d;
	size_t count = slu_manifest_count(d->t->manifest), at;
	int r;

	for (;;) {
		pthread_mutex_lock(&d->lock);
		/* What is being opened may be large enough to be joined. */
		while (!d->rc && d->next >= count && !d->cur && d->opening)
			pthread_cond_wait(&d->opened, &d->lock);
		r = d->rc ? 0 : -1;
		at = d->next;
		if (r && join(l, at >= count))
			r = 1;
		else if (r && at >= count)
			r = 0;
		else if (r) {
			d->next++;
			d->opening++;
		}
		pthread_mutex_unlock(&d->lock);
		if (r >= 0)
			return r;
		r = begin_file(l, at, e);
		if (r)
			return r;
	}
}

/* The chunk is written: accounts for it and takes the next of the same file.  1: it has one. */
static int chunk_done(struct slu_lane *l, struct slu_err *e)
{
	struct slu_download *d = l->d;
	struct slu_dfile *f = l->f, *finished = NULL, *orphan = NULL;
	bool more = false;

	pthread_mutex_lock(&d->lock);
	d->progress.bytes += l->len;
	f->left -= l->len;
	l->len = 0;
	if (!d->rc && f->given < file_of(d, f)->size) {
		take(l);
		more = true;
	} else if (!f->left) {
		l->f = NULL;
		finished = f;
	} else {
		/* Others have the rest of it; after a failure perhaps nobody. */
		l->f = NULL;
		if (!--f->lanes)
			orphan = f;
		if (orphan && d->cur == f)
			d->cur = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	slu_dfile_free(orphan);
	if (finished)
		return file_done(l, finished, e);
	return more;
}

static int chunk_write(struct slu_lane *l, struct slu_err *e)
{
	for (size_t n = 0; n < l->len;) {
		ssize_t r = pwrite(l->f->fd, l->buf + n, l->len - n, (off_t)(l->off + n));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return slu_fail_sys(e, r ? errno : EIO, "cannot write '%s' in '%s'",
					    file_of(l->d, l->f)->path, l->d->target);
		n += (size_t)r;
	}
	return 0;
}

static int chunk_failed(struct slu_lane *l, struct slu_err *e)
{
	const struct slu_file *mf = file_of(l->d, l->f);
	int rc = l->op.rc;

	if (rc == -ESTALE || (rc == -ENOENT && mf->id[0]))
		return slu_fail(e, ESTALE,
				"'%s' changed after the dataset was resolved (it was %s): "
				"%s; resolve it again",
				mf->path, mf->id, l->op.err.msg);
	*e = l->op.err;
	if (!e->code)
		return slu_fail_sys(e, -rc, "cannot download '%s'", mf->path);
	return slu_fail_more(e, "cannot download '%s'", mf->path);
}

static void lane_run(struct slu_work *w);

static void chunk_read_done(struct slu_op *op)
{
	struct slu_lane *l = op->user;
	struct slu_download *d = l->d;

	pthread_mutex_lock(&d->lock);
	l->in_flight = false;
	pthread_mutex_unlock(&d->lock);
	if (submitting == l)
		submitting = NULL;
	else
		slu_pool_add(d->pool, &l->work);
}

/* True: the result is there already.  False: the lane belongs to the completion from here on. */
static bool chunk_read(struct slu_lane *l)
{
	const struct slu_file *mf = file_of(l->d, l->f);
	struct slu_lane *outer = submitting;
	bool done;

	slu_op_read(&l->op, l->f->path, l->off, l->len, l->buf, mf->id[0] ? mf->id : NULL);
	l->op.size = mf->size;
	l->op.prio = 1;
	l->op.deadline = slu_blocks_deadline(l->len);
	l->op.done = chunk_read_done;
	l->op.user = l;
	l->submitted = true;
	submitting = l;
	slu_store_submit(l->f->store, &l->op);
	done = submitting != l;
	submitting = outer;
	return done;
}

/* One step: what was read is written, and a new chunk is there (1), or nothing is left (0). */
static int lane_step(struct slu_lane *l, struct slu_err *e)
{
	int r;

	if (l->submitted) {
		l->submitted = false;
		r = l->op.rc ? chunk_failed(l, e) : chunk_write(l, e);
		if (!r)
			r = slu_download_hash(l->d, l->f, l->buf, l->off, l->len, e);
		if (r)
			return r;
		r = chunk_done(l, e);
		if (r)
			return r;
	}
	return l->f ? 0 : find_work(l, e);
}

/* Nothing left for it, or a failure: lets go of its file. */
static void lane_end(struct slu_lane *l)
{
	struct slu_download *d = l->d;
	struct slu_dfile *f = l->f;

	pthread_mutex_lock(&d->lock);
	l->in_flight = false;
	if (f) {
		if (d->cur == f)
			d->cur = NULL;
		if (--f->lanes)
			f = NULL;
	}
	l->f = NULL;
	pthread_mutex_unlock(&d->lock);
	slu_dfile_free(f);
	pthread_mutex_lock(&d->lock);
	d->running--;
	pthread_cond_broadcast(&d->cond);
	pthread_mutex_unlock(&d->lock);
}

static void lane_run(struct slu_work *w)
{
	struct slu_lane *l = (struct slu_lane *)((char *)w - offsetof(struct slu_lane, work));
	struct slu_err e = {0};
	int r;

	while ((r = lane_step(l, &e)) == 1)
		if (!chunk_read(l))
			return;
	if (r < 0)
		slu_download_fail(l->d, r, &e);
	lane_end(l);
}

static unsigned job_count(const struct slu_download *d)
{
	size_t files = slu_manifest_count(d->t->manifest);
	uint64_t chunks = slu_manifest_bytes(d->t->manifest) / CHUNK_MIN + files;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = d->o->jobs;
	struct rlimit lim;

	if (!n) {
		n = 4 * (unsigned)(cores > 0 ? cores : 1);
		if (n > JOBS_DEFAULT_MAX)
			n = JOBS_DEFAULT_MAX;
		if (n > JOBS_LARGE && slu_manifest_bytes(d->t->manifest) / CHUNK_MAX > files)
			n = JOBS_LARGE;
	}
	if (n > JOBS_MAX)
		n = JOBS_MAX;
	/* A lane has a part file, and what it reads; half of the descriptors are for all else. */
	if (!getrlimit(RLIMIT_NOFILE, &lim) && n > lim.rlim_cur / 8)
		n = lim.rlim_cur < 16 ? 1 : (unsigned)(lim.rlim_cur / 8);
	return chunks < n ? (unsigned)chunks : n;
}

int slu_download_start(struct slu_download *d, struct slu_err *e)
{
	unsigned n = job_count(d);
	size_t size = CHUNK_MAX;

	d->batch_tail = &d->batch;
	if (!n)
		return 0;
	d->lanes = slu_calloc(n, sizeof *d->lanes);
	if (!d->lanes)
		return slu_fail_oom(e);
	d->nlanes = n;
	if (size > MEMORY / n)
		size = MEMORY / n;
	for (unsigned i = 0; i < n; i++) {
		struct slu_lane *l = &d->lanes[i];

		l->d = d;
		l->work.fn = lane_run;
		l->buf = slu_malloc(size);
		if (!l->buf)
			return slu_fail_oom(e);
	}
	d->running = n;
	for (unsigned i = 0; i < n; i++)
		slu_pool_add(d->pool, &d->lanes[i].work);
	return 0;
}

void slu_download_cancel(struct slu_download *d)
{
	for (unsigned i = 0; i < d->nlanes; i++) {
		struct slu_lane *l = &d->lanes[i];
		struct slu_store *s;

		pthread_mutex_lock(&d->lock);
		s = l->in_flight && l->f ? l->f->store : NULL;
		pthread_mutex_unlock(&d->lock);
		if (s)
			slu_store_cancel(s, &l->op);
	}
}

void slu_download_lanes_free(struct slu_download *d)
{
	for (unsigned i = 0; i < d->nlanes; i++)
		free(d->lanes[i].buf);
	free(d->lanes);
	d->lanes = NULL;
	d->nlanes = 0;
}
