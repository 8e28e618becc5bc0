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

#include "common/log.h"
#include "common/mem.h"
#include "fs/blocks.h"
#include "fs/budget.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#define CHUNK_MIN (1u << 20)
#define CHUNK_MAX (8u << 20)
#define MEMORY (128u << 20)
#define LANE_MIN (64u << 10)
#define JOBS_MAX 256
#define JOBS_DEFAULT_MAX 32
#define JOBS_LARGE 16 /* when most files have several chunks: enough, and larger chunks */
#define BATCH_FILES 1000
#define BATCH_BYTES (1ull << 30)
#define INLINE_LANES                                                                               \
	2 /* on one file, when reading it costs no waiting: writers would only collide */
#define WRITERS                                                                                    \
	3 /* of one file: the kernel lets one in at a time, and threads that wait there do nothing else */
#define LANE_PARKED 2
#define SMALL (1u << 20)
#define JOBS_SMALL 64 /* when files are small: a request and its answer are all there is to each */
#define SMALL_EACH (48u << 10) /* bytes that are as much work as the making of a file */
#define BAD_ROW_MAX 64         /* so many files fail one after another: so will the rest */

struct slu_lane {
	struct slu_work work;
	struct slu_op op;
	struct slu_download *d;
	struct slu_dfile *f;
	char *buf;
	uint64_t off;
	size_t len;     /* of the chunk; 0: none */
	bool claimed;   /* the journal has it in the part file */
	bool had;       /* and it was right */
	bool submitted; /* the chunk was asked for: op has the result once the lane runs again */
	bool in_flight; /* lock */
	bool turn;      /* to write */
	struct slu_dfile *ending; /* whose checksum is waited for */
	struct slu_lane *next;
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
	return slu_download_file(d, f->at);
}

/* --- files --- */

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
	d->bad_row = 0;
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
		if (!r) {
			d->progress.files += n;
			d->totals.files += n;
		}
		pthread_mutex_unlock(&d->lock);
	}
	return r;
}

/* Lock held.  A file of which nobody could fetch something. */
static int bad_add(struct slu_download *d, size_t at, int r, const struct slu_err *e)
{
	struct slu_dbad *bad = d->o->failed ? slu_new0(struct slu_dbad) : NULL;

	if (!d->totals.failed++)
		d->bad_first = *e;
	if (!d->rc && ++d->bad_row >= BAD_ROW_MAX) {
		d->rc = r;
		d->err = *e;
	}
	if (d->o->failed && !bad)
		return -ENOMEM;
	if (!bad)
		return 0;
	bad->at = at;
	bad->err = *e;
	*d->bad_tail = bad;
	d->bad_tail = &bad->next;
	return 0;
}

/* A file cannot be had; the others go on.  0, or what ends all. */
static int file_bad(struct slu_download *d, size_t at, int r, struct slu_err *e)
{
	bool gone = d->o->ignore_not_found && r == -ENOENT;

	if (gone)
		slu_warn("download", "'%s' is not there any more: left out",
			 slu_download_file(d, at)->path);
	pthread_mutex_lock(&d->lock);
	if (gone) {
		d->known[at].state = SLU_DS_GONE;
		d->totals.missing++;
		r = 0;
	} else {
		r = bad_add(d, at, r, e);
	}
	pthread_mutex_unlock(&d->lock);
	return r ? slu_fail_oom(e) : 0;
}

static int file_done(struct slu_lane *l, struct slu_dfile *f, struct slu_err *e)
{
	size_t at = f->at;
	int r;

	l->ending = f;
	if (slu_download_ask_wait(f, l))
		return LANE_PARKED;
	l->ending = NULL;
	r = slu_dfile_finish(l->d, f, e);
	if (r)
		slu_dfile_free(f);
	if (r == -EBADMSG || r == -ESTALE)
		return file_bad(l->d, at, r, e);
	return r ? r : file_batch(l->d, f, e);
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
	l->claimed = f->done[l->off / n] == SLU_DC_CLAIMED;
	l->had = false;
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
	int r = slu_dfile_open(d, at, &f, e);

	pthread_mutex_lock(&d->lock);
	if (r == 0 && f->left && !f->cloned) {
		f->lanes = 1;
		l->f = f;
		d->cur = f;
		take(l);
	}
	if (!--d->opening)
		pthread_cond_broadcast(&d->opened);
	pthread_mutex_unlock(&d->lock);
	if (r == 0 && f->cloned) {
		r = slu_dfile_read_clone(d, f, l->buf, e);
		if (r) {
			slu_dfile_free(f);
			return r;
		}
	}
	if (r == 0 && l->f != f)
		return file_done(l, f, e);
	return r ? r : 1;
}

/* Lock held.  To the next file that has to be fetched. */
static void skip_there(struct slu_download *d, size_t count)
{
	while (d->next < count && d->known[d->next].state != SLU_DS_FETCH &&
	       d->known[d->next].state != SLU_DS_PART)
		d->next++;
}

/* A chunk for a lane that has no file: 1, or 0 when there is nothing left to do, or -errno. */
static int find_work(struct slu_lane *l, struct slu_err *e)
{
	struct slu_download *d = l->d;
	size_t count = slu_manifest_count(d->t->manifest), at;
	int r;

	for (;;) {
		pthread_mutex_lock(&d->lock);
		skip_there(d, count);
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

/* Lock held.  The lane is through with its chunk: takes another of its file, or lets go of it. *ret: the
 * file when nobody has it any more. */
static bool next_chunk(struct slu_lane *l, struct slu_dfile **ret)
{
	struct slu_download *d = l->d;
	struct slu_dfile *f = l->f;

	*ret = NULL;
	l->len = 0;
	if (!d->rc && !f->failed && f->given < file_of(d, f)->size) {
		take(l);
		return true;
	}
	l->f = NULL;
	l->in_flight = false;
	if (f->failed && d->cur == f)
		d->cur = NULL;
	/* Others have the rest of it; after a failure perhaps nobody. */
	if (--f->lanes)
		return false;
	if (d->cur == f)
		d->cur = NULL;
	*ret = f;
	return false;
}

/* The chunk is written: accounts for it and takes the next of the same file.  1: it has one. */
static int chunk_done(struct slu_lane *l, struct slu_err *e)
{
	struct slu_download *d = l->d;
	struct slu_dfile *f = l->f, *last;
	bool more;

	pthread_mutex_lock(&d->lock);
	d->progress.bytes += l->len;
	if (l->had)
		d->totals.resumed += l->len;
	else
		d->totals.bytes += l->len;
	f->left -= l->len;
	more = next_chunk(l, &last);
	pthread_mutex_unlock(&d->lock);
	if (last && !last->left && !last->failed)
		return file_done(l, last, e);
	slu_dfile_drop(d, last);
	return more;
}

/* The chunk could not be had: so much for the file, in all lanes. */
static int chunk_bad(struct slu_lane *l, int r, struct slu_err *e)
{
	struct slu_download *d = l->d;
	struct slu_dfile *f = l->f, *last;
	size_t at = f->at;
	bool first;

	pthread_mutex_lock(&d->lock);
	first = !f->failed;
	f->failed = true;
	next_chunk(l, &last);
	pthread_mutex_unlock(&d->lock);
	slu_dfile_drop(d, last);
	return first ? file_bad(d, at, r, e) : 0;
}

static int chunk_failed(struct slu_lane *l, struct slu_err *e)
{
	const struct slu_file *mf = file_of(l->d, l->f);
	struct slu_attr now;
	int rc = l->op.rc;

	/* Some stores tell of what has vanished as of what has changed. */
	if (l->d->o->ignore_not_found && (rc == -ENOENT || rc == -ESTALE) &&
	    slu_store_stat(l->f->store, l->f->path, &now, NULL) == -ENOENT)
		return -ENOENT;
	if (!mf->version[0] && rc == -ENOENT && mf->id[0])
		return slu_fail(e, ESTALE, "'%s' is gone (%s): " SLU_STALE_REMEDY, mf->path,
				l->op.err.msg);
	*e = l->op.err;
	if (!e->code)
		return slu_fail_sys(e, -rc, "cannot download '%s'", mf->path);
	return slu_fail_more(e, "cannot download '%s'", mf->path);
}

static void lane_run(struct slu_work *w);

struct slu_work *slu_download_work(struct slu_lane *l)
{
	return &l->work;
}

/* Is what the lane has to do short, and mostly the making of files? */
static bool lane_small(const struct slu_lane *l)
{
	return !l->f || (l->f->nchunks < 2 && file_of(l->d, l->f)->size <= SMALL);
}

static void lane_more(struct slu_lane *l)
{
	if (lane_small(l))
		slu_few_add(&l->d->few, &l->work);
	else
		slu_pool_add(l->d->pool, &l->work);
}

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
		lane_more(l);
}

/* True: the result is there already.  False: the lane belongs to the completion from here on. */
static bool chunk_read(struct slu_lane *l)
{
	const struct slu_file *mf = file_of(l->d, l->f);
	struct slu_lane *outer = submitting;
	bool done;

	l->submitted = true;
	l->op.rc = 0;
	if (l->claimed && slu_dfile_have(l->f, l->buf, l->off, l->len)) {
		l->had = true;
		return true;
	}
	slu_op_read(&l->op, l->f->path, l->off, l->len, l->buf, mf->id[0] ? mf->id : NULL);
	l->op.size = mf->size;
	l->op.prio = 1;
	l->op.deadline = slu_blocks_deadline(l->len);
	l->op.done = chunk_read_done;
	l->op.user = l;
	submitting = l;
	slu_store_submit(l->f->store, &l->op);
	done = submitting != l;
	submitting = outer;
	return done;
}

/* May the lane write now?  If not, it belongs to the file's queue from here on. */
static bool write_begin(struct slu_lane *l)
{
	struct slu_download *d = l->d;
	struct slu_dfile *f = l->f;

	if (l->turn)
		return true;
	pthread_mutex_lock(&d->lock);
	l->turn = f->writing < WRITERS;
	if (l->turn) {
		f->writing++;
	} else {
		l->next = NULL;
		if (!f->queue)
			f->queue_tail = &f->queue;
		*f->queue_tail = l;
		f->queue_tail = &l->next;
	}
	bool mine = l->turn;

	pthread_mutex_unlock(&d->lock);
	return mine;
}

/* It wrote, or failed to: the next one's turn. */
static void write_end(struct slu_lane *l)
{
	struct slu_download *d = l->d;
	struct slu_dfile *f = l->f;
	struct slu_lane *next;

	l->turn = false;
	pthread_mutex_lock(&d->lock);
	next = f->queue;
	if (next) {
		f->queue = next->next;
		next->turn = true;
	} else {
		f->writing--;
	}
	pthread_mutex_unlock(&d->lock);
	if (next)
		slu_pool_add(d->pool, &next->work);
}

/* Of the chunk that was asked for.  1: there is a next one. */
static int chunk_result(struct slu_lane *l, struct slu_err *e)
{
	int r;

	if (l->op.rc) {
		l->submitted = false;
		r = chunk_failed(l, e);
		return r == -ECANCELED || r == -ENOMEM ? r : chunk_bad(l, r, e);
	}
	r = 0;
	if (!l->had) {
		if (!write_begin(l))
			return LANE_PARKED;
		r = slu_dfile_write(l->d, l->f, l->buf, l->off, l->len, e);
		write_end(l);
	}
	l->submitted = false;
	if (!r && l->op.unchecked && !l->had)
		r = slu_download_ask(l->d, l->f, e);
	if (!r)
		r = slu_download_hash(l->d, l->f, l->buf, l->off, l->len, e);
	return r ? r : chunk_done(l, e);
}

/* One step: what was read is written, and a new chunk is there (1), or nothing is left (0).  LANE_PARKED: the
 * lane is another's and must not be looked at. */
static int lane_step(struct slu_lane *l, struct slu_err *e)
{
	int r = 0;

	if (l->submitted)
		r = chunk_result(l, e);
	else if (l->ending)
		r = file_done(l, l->ending, e);
	if (r)
		return r;
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
	slu_dfile_drop(d, f);
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

	while ((r = lane_step(l, &e)) == 1) {
		if (!chunk_read(l))
			return;
		if (lane_small(l)) { /* others have been waiting */
			slu_few_add(&l->d->few, w);
			return;
		}
	}
	if (r == LANE_PARKED)
		return;
	if (r < 0)
		slu_download_fail(l->d, r, &e);
	lane_end(l);
}

static unsigned job_count(const struct slu_download *d)
{
	size_t files = d->todo;
	uint64_t chunks = d->todo_bytes / CHUNK_MIN + files;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = d->o->jobs;
	struct rlimit lim;

	if (!n) {
		n = 4 * (unsigned)(cores > 0 ? cores : 1);
		if (n > JOBS_DEFAULT_MAX)
			n = JOBS_DEFAULT_MAX;
		if (n > JOBS_LARGE && d->todo_bytes / CHUNK_MAX > files)
			n = JOBS_LARGE;
		if (d->todo_bytes / SMALL < files)
			n = JOBS_SMALL;
	}
	if (n > JOBS_MAX)
		n = JOBS_MAX;
	/* A lane has a part file, and what it reads; half of the descriptors are for all else. */
	if (!getrlimit(RLIMIT_NOFILE, &lim) && n > lim.rlim_cur / 8)
		n = lim.rlim_cur < 16 ? 1 : (unsigned)(lim.rlim_cur / 8);
	return chunks < n ? (unsigned)chunks : n;
}

unsigned slu_download_shape(struct slu_download *d)
{
	struct slu_budget *budget = slu_budget_process();
	uint64_t room = budget ? slu_budget_ceiling(budget, SLU_BUDGET_COPY) / 2 : MEMORY;
	unsigned n = job_count(d);
	size_t size = CHUNK_MAX;

	/* Half: mounts, listings and other downloads of this process want to go on too. */
	if (room > MEMORY)
		room = MEMORY;
	while (n > 1 && room / n < LANE_MIN)
		n--;
	if (n && size > room / n)
		size = (size_t)(room / n);
	d->lane_size = size < LANE_MIN ? LANE_MIN : size & ~(size_t)(LANE_MIN - 1);
	return n;
}

/* A lane's buffer; the first waits for its memory, others are done without when there is none. */
static int lane_buffer(struct slu_download *d, struct slu_lane *l, bool first, struct slu_err *e)
{
	struct slu_budget *budget = slu_budget_process();

	if (!budget)
		return slu_fail_oom(e);
	if (first)
		slu_budget_take(budget, SLU_BUDGET_COPY, d->lane_size);
	else if (!slu_budget_try(budget, SLU_BUDGET_COPY, d->lane_size))
		return 1;
	l->buf = slu_malloc(d->lane_size);
	if (l->buf)
		return 0;
	slu_budget_give(budget, SLU_BUDGET_COPY, d->lane_size);
	return slu_fail_oom(e);
}

/* Threads for small files: where they are very small one does best. */
static unsigned writers(const struct slu_download *d)
{
	bool sums = d->o->check != SLU_CHECK_OFF;
	uint64_t n = 1 + d->todo_bytes / d->todo / (sums ? SMALL_EACH / 2 : SMALL_EACH);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return n < (uint64_t)(cores > 0 ? cores : 1) ? (unsigned)n
						     : (unsigned)(cores > 0 ? cores : 1);
}

int slu_download_start(struct slu_download *d, struct slu_err *e)
{
	unsigned n = slu_download_shape(d), i;
	int r = 0;

	d->batch_tail = &d->batch;
	d->bad_tail = &d->bad;
	if (!n)
		return 0;
	d->lanes = slu_calloc(n, sizeof *d->lanes);
	if (!d->lanes)
		return slu_fail_oom(e);
	for (i = 0; i < n && !r; i++) {
		d->lanes[i].d = d;
		d->lanes[i].work.fn = lane_run;
		r = lane_buffer(d, &d->lanes[i], i == 0, e);
	}
	d->nlanes = r ? i - 1 : i;
	if (r < 0)
		return r;
	slu_few_init(&d->few, d->pool, writers(d), d->nlanes);
	d->running = d->nlanes;
	for (i = 0; i < d->nlanes; i++)
		slu_few_add(&d->few, &d->lanes[i].work);
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
	slu_download_ask_cancel(d);
}

void slu_download_lanes_free(struct slu_download *d)
{
	if (d->few.max)
		slu_few_done(&d->few);
	for (unsigned i = 0; i < d->nlanes; i++) {
		free(d->lanes[i].buf);
		slu_budget_give(slu_budget_process(), SLU_BUDGET_COPY, d->lane_size);
	}
	slu_download_asks_free(d);
	free(d->lanes);
	d->lanes = NULL;
	d->nlanes = 0;
}
