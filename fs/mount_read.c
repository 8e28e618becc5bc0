/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READ requests of a mount.  A request takes a slot and the reader of its file; whoever
 * claims the slot first answers: the data, the deadline, an interrupt, or the end of the mount.  The
 * others only clean up.  Slots are never freed before the mount is: an interrupt may still look at
 * one that has gone on to another request (libfuse calls it without our lock).
 *
 *   slot:  free -> starting -> open -> claimed (answered) -> free, when its read is done too
 *
 * It is in the due list from starting until claimed; refs: the read has one, whoever
 * answers late has another.
 *
 * The data is the reader's, and so is the memory for it: nothing here waits for either.  All fields are
 * guarded by `lock`, which is never held across a reply or a call into the reader.
 */
#include "common/log.h"
#include "common/mem.h"
#include "common/time.h"
#include "fs/ahead.h"
#include "fs/budget.h"
#include "fs/mount_file.h"
#include "fs/mount_live.h"

#include <errno.h>
#include <string.h>

#define IO_TIMEOUT (60 * SLU_SEC)
#define IDLE_NS (5 * SLU_SEC)
#define TICK_NS SLU_SEC
#define LOOK_NS                                                                                    \
	(SLU_SEC /                                                                                 \
	 4) /* that a direct read waits before anybody looks whether its program was killed */
#define KEPT_NS (60 * SLU_SEC)          /* unread, of an order that is being followed */
#define FILES_MAX (4 * SLU_AHEAD_FILES) /* readers kept */
#define HASH 1024
#define UNIT (64u << 10) /* of a reader's block */

struct file {
	uint64_t at; /* mount_file.h */
	unsigned users;
	uint8_t told; /* of a live mount: as told[] below */
	int64_t used;
	struct slu_reader *reader;
	struct file *chain, *older, *newer;
};

struct slot {
	struct slu_read rd;
	struct slu_mreads *rs;
	struct slot *next;        /* free list */
	struct slot *late;        /* a list that take_due() or take_direct() builds */
	struct slot *prev, *succ; /* due list, oldest first */
	fuse_req_t req;
	uint64_t unique; /* its number */
	pid_t direct;    /* the thread that reads past the page cache; 0: another kind of read */
	struct file *file;
	unsigned refs;
	bool starting; /* the time keeper keeps off */
	bool claimed;
	int64_t due;
};

struct slu_mreads {
	struct slu_mount *m;
	struct slu_readers *readers;
	int64_t timeout;
	pthread_mutex_t lock;
	pthread_cond_t quiet;
	struct slot *free, *due, *due_last;
	unsigned busy; /* slots not free */
	struct file *hash[HASH], *oldest, *newest;
	unsigned nfiles;
	uint8_t *told[2]; /* a bit a file: its change, another error, was logged */
	bool ticking, stopping;
	int64_t last; /* request */
};

/* --- files: lock held --- */

static void file_unlink(struct slu_mreads *rs, struct file *f)
{
	struct file **pp = &rs->hash[f->at % HASH];

	while (*pp != f)
		pp = &(*pp)->chain;
	*pp = f->chain;
	*(f->older ? &f->older->newer : &rs->oldest) = f->newer;
	*(f->newer ? &f->newer->older : &rs->newest) = f->older;
	rs->nfiles--;
}

static void file_link(struct slu_mreads *rs, struct file *f)
{
	f->chain = rs->hash[f->at % HASH];
	rs->hash[f->at % HASH] = f;
	f->older = rs->newest;
	f->newer = NULL;
	*(rs->newest ? &rs->newest->newer : &rs->oldest) = f;
	rs->newest = f;
	rs->nfiles++;
}

static struct file *file_find(struct slu_mreads *rs, uint64_t at, int64_t now)
{
	struct file *f = rs->hash[at % HASH];

	while (f && f->at != at)
		f = f->chain;
	if (!f)
		return NULL;
	if (f != rs->newest) {
		file_unlink(rs, f);
		file_link(rs, f);
	}
	f->users++;
	f->used = now;
	return f;
}

/* Takes out the files that nobody reads: all but `keep` of them, or those untouched since `before`. */
static struct file *files_take(struct slu_mreads *rs, unsigned keep, int64_t before)
{
	struct file *list = NULL;

	for (struct file *f = rs->oldest, *newer; f; f = newer) {
		newer = f->newer;
		if (rs->nfiles <= keep && f->used > before)
			break;
		if (f->users)
			continue;
		file_unlink(rs, f);
		f->chain = list;
		list = f;
	}
	return list;
}

static void files_free(struct file *f) /* no lock */
{
	while (f) {
		struct file *next = f->chain;

		slu_reader_unref(f->reader);
		free(f);
		f = next;
	}
}

/* The reader of file `at`, made when there is none; one user more.  No lock held. */
static int file_get(struct slu_mreads *rs, uint64_t at, struct file **ret)
{
	struct file *f, *twin, *old;
	int64_t now = slu_now();
	int r;

	pthread_mutex_lock(&rs->lock);
	rs->last = now;
	f = file_find(rs, at, now);
	pthread_mutex_unlock(&rs->lock);
	if (f) {
		*ret = f;
		return 0;
	}
	f = slu_new0(struct file);
	if (!f)
		return -ENOMEM;
	f->at = at;
	f->users = 1;
	f->used = now;
	r = slu_mfile_reader(rs->m, rs->readers, at, &f->reader);
	if (r) {
		free(f);
		return r;
	}
	pthread_mutex_lock(&rs->lock);
	twin = file_find(rs, at, now);
	if (!twin)
		file_link(rs, f);
	old = files_take(rs, FILES_MAX, INT64_MIN);
	pthread_mutex_unlock(&rs->lock);
	files_free(old);
	if (twin) {
		slu_reader_unref(f->reader);
		free(f);
	}
	*ret = twin ? twin : f;
	return 0;
}

/* --- slots and buffers: lock held --- */

static struct slot *slot_get(struct slu_mreads *rs)
{
	struct slot *s = rs->free;

	if (s) {
		rs->free = s->next;
	} else {
		s = slu_new0(struct slot);
		if (!s)
			return NULL;
		s->rs = rs;
	}
	rs->busy++;
	return s;
}

static void due_add(struct slu_mreads *rs, struct slot *s)
{
	s->succ = NULL;
	s->prev = rs->due_last;
	*(rs->due_last ? &rs->due_last->succ : &rs->due) = s;
	rs->due_last = s;
}

/* True: the caller, and nobody else, answers s->req. */
static bool claim(struct slot *s)
{
	struct slu_mreads *rs = s->rs;

	if (s->claimed)
		return false;
	s->claimed = true;
	*(s->prev ? &s->prev->succ : &rs->due) = s->succ;
	*(s->succ ? &s->succ->prev : &rs->due_last) = s->prev;
	return true;
}

static void slot_unref(struct slot *s)
{
	struct slu_mreads *rs = s->rs;

	if (--s->refs)
		return;
	if (s->file)
		s->file->users--;
	s->file = NULL;
	s->req = NULL;
	s->next = rs->free;
	rs->free = s;
	if (!--rs->busy)
		pthread_cond_broadcast(&rs->quiet);
}

/* --- answers: no lock held, slot claimed --- */

/* One line a file and kind of failure: a broken file is read in many pieces. */
static void tell(struct slu_mreads *rs, const struct slot *s, int rc, const struct slu_err *e)
{
	struct file *f = s->file;
	bool stale = rc == -ESTALE, first = false;
	uint8_t bit = (uint8_t)(1u << (f->at & 7)), **told = &rs->told[stale];

	pthread_mutex_lock(&rs->lock);
	if (rs->m->live) {
		first = !(f->told & (1u << stale));
		f->told |= (uint8_t)(1u << stale);
	} else if (*told ||
		   (*told = slu_calloc(slu_manifest_count(rs->m->t->manifest) / 8 + 1, 1))) {
		first = !((*told)[f->at / 8] & bit);
		(*told)[f->at / 8] |= bit;
	}
	pthread_mutex_unlock(&rs->lock);
	if (stale && rs->m->live)
		slu_mlive_changed(rs->m->live, f->at);
	if (first)
		slu_mfile_tell(rs->m, f->at, s->rd.off, s->rd.len, rc, e);
}

/* What a program that reads a file expects to see. */
static int errno_of(int rc)
{
	switch (rc) {
	case -ESTALE:
	case -ETIMEDOUT:
	case -EACCES:
	case -ENOMEM:
	case -EINTR:
		return -rc;
	default:
		return EIO;
	}
}

/* It is answered, with what rc says. */
static void count_answer(const struct slot *s, int64_t due, int rc)
{
	slu_stat_since(SLU_STAT_FUSE_READ, due - s->rs->timeout, rc);
	slu_stat_move(SLU_GAUGE_FUSE_READS, -1);
}

static void answer(struct slot *s)
{
	struct slu_read *rd = &s->rd;

	if (rd->rc) {
		tell(s->rs, s, rd->rc, &rd->err);
		fuse_reply_err(s->req, errno_of(rd->rc));
	} else if (!rd->niov) {
		fuse_reply_buf(s->req, NULL, 0);
	} else if (rd->niov == 1) {
		fuse_reply_buf(s->req, rd->iov[0].iov_base, rd->iov[0].iov_len);
	} else {
		fuse_reply_iov(s->req, rd->iov, rd->niov);
	}
	slu_minit_answered(s->rs->m, s->unique);
	if (!rd->rc)
		slu_stat_add(SLU_STAT_ANSWERED, rd->len);
	count_answer(s, s->due, rd->rc);
}

/* The read of a slot is over: gives it back. */
static void release(struct slot *s)
{
	struct slu_mreads *rs = s->rs;

	pthread_mutex_lock(&rs->lock);
	slot_unref(s);
	pthread_mutex_unlock(&rs->lock);
}

/* The slot whose read this thread is starting: done before that is over, if what it wants is there. */
static _Thread_local struct slot *starting;

static void read_done(struct slu_read *rd)
{
	struct slot *s = rd->user;
	struct slu_mreads *rs = s->rs;
	bool mine;

	if (starting == s)
		starting = NULL;
	pthread_mutex_lock(&rs->lock);
	mine = claim(s);
	pthread_mutex_unlock(&rs->lock);
	if (mine)
		answer(s);
	release(s);
}

/* libfuse: the reader was interrupted, or killed.  The slot may serve another request by now. */
static void interrupted(fuse_req_t req, void *slot)
{
	struct slot *s = slot;
	uint64_t unique;
	int64_t due;
	bool mine;

	if (slu_minit_early(req))
		return;
	pthread_mutex_lock(&s->rs->lock);
	mine = s->req == req && claim(s);
	due = s->due;
	unique = s->unique;
	pthread_mutex_unlock(&s->rs->lock);
	if (!mine)
		return;
	fuse_reply_err(req, EINTR);
	slu_minit_answered(s->rs->m, unique);
	count_answer(s, due, -EINTR);
}

/* Lock held. */
static void slot_open(struct slot *s, fuse_req_t req, struct file *f, size_t size, uint64_t off,
		      bool direct)
{
	struct slu_mreads *rs = s->rs;

	s->req = req;
	s->direct = direct ? fuse_req_ctx(req)->pid : 0;
	s->unique = slu_minit_defer();
	s->file = f;
	s->refs = 1;
	s->starting = true;
	s->claimed = false;
	s->due = slu_now() + rs->timeout;
	s->rd = (struct slu_read){.off = off,
				  .len = size,
				  /* The store gives up first: it knows why. */
				  .deadline = s->due - rs->timeout / 16,
				  .done = read_done,
				  .user = s};
	slu_stat_move(SLU_GAUGE_FUSE_READS, 1);
	due_add(rs, s);
}

/* True: the read can be started.  Else it was interrupted already. */
static bool slot_admit(struct slot *s)
{
	struct slu_mreads *rs = s->rs;
	bool start;

	pthread_mutex_lock(&rs->lock);
	s->starting = false;
	start = !s->claimed;
	if (!start)
		slot_unref(s);
	pthread_mutex_unlock(&rs->lock);
	return start;
}

void slu_mread(struct slu_mount *m, fuse_req_t req, fuse_ino_t ino, size_t size, uint64_t off,
	       const struct fuse_file_info *fi)
{
	struct slu_mreads *rs = m->reads;
	uint64_t at, length;
	struct slot *s = NULL;
	struct file *f;
	bool wake;
	int r = slu_mfile_find(m, ino, &at, &length);

	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	if (!size || off >= length) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	if (size > SLU_MREAD_MAX)
		size = SLU_MREAD_MAX;
	if (size > length - off)
		size = (size_t)(length - off);
	r = file_get(rs, at, &f);
	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	slu_stat_add(SLU_STAT_ASKED, size);
	pthread_mutex_lock(&rs->lock);
	s = slot_get(rs);
	if (s)
		slot_open(s, req, f, size, off, fi->flags & O_DIRECT);
	else
		f->users--;
	wake = !rs->ticking;
	rs->ticking = true;
	pthread_mutex_unlock(&rs->lock);
	if (wake)
		slu_mount_wake(m);
	if (!s) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	slu_minit_on_interrupt(req, interrupted, s);
	starting = s;
	if (slot_admit(s))
		slu_reader_read(f->reader, &s->rd);
	if (m->ahead)
		slu_ahead_read(m->ahead, (uint32_t)at, length, off, size, starting == s);
	starting = NULL;
}

uint64_t slu_mreads_prefetch(struct slu_mreads *rs, uint32_t at, uint64_t off, uint64_t len)
{
	struct file *f;
	uint64_t n;
	bool wake;

	if (file_get(rs, at, &f))
		return 0;
	n = slu_reader_prefetch(f->reader, off, len);
	pthread_mutex_lock(&rs->lock);
	f->users--;
	wake = !rs->ticking;
	rs->ticking = true;
	pthread_mutex_unlock(&rs->lock);
	if (wake)
		slu_mount_wake(rs->m);
	return n;
}

void slu_mreads_stats(struct slu_mreads *rs, struct slu_reader_stats *ret)
{
	slu_readers_get_stats(rs->readers, ret);
}

/* --- the time keeper --- */

/* Lock held.  Claims what is due (all of it, when `all`) and lists it. */
static struct slot *take_due(struct slu_mreads *rs, bool all)
{
	struct slot *list = NULL;
	int64_t now = slu_now();

	for (struct slot *s = rs->due, *succ; s && (all || s->due <= now); s = succ) {
		succ = s->succ;
		if (s->starting)
			continue;
		claim(s);
		s->refs++;
		s->late = list;
		list = s;
	}
	return list;
}

static void answer_late(struct slu_mreads *rs, struct slot *list, int rc, const char *why)
{
	while (list) {
		struct slot *s = list;
		struct slu_err e;

		list = s->late;
		if (why) {
			slu_fail(&e, -rc, "%s", why);
			tell(rs, s, rc, &e);
		}
		fuse_reply_err(s->req, -rc);
		slu_minit_answered(rs->m, s->unique);
		count_answer(s, s->due, rc);
		pthread_mutex_lock(&rs->lock);
		slot_unref(s);
		pthread_mutex_unlock(&rs->lock);
	}
}

/* Lock held.  Lists, without claiming them, the direct reads that have waited for a while. */
static struct slot *take_direct(struct slu_mreads *rs, int64_t now)
{
	struct slot *list = NULL;

	for (struct slot *s = rs->due; s && now - (s->due - rs->timeout) >= LOOK_NS; s = s->succ) {
		if (!s->direct || s->starting)
			continue;
		s->refs++;
		s->late = list;
		list = s;
	}
	return list;
}

/* No lock held.  Answers those whose program was killed, which nothing else lets go. */
static void answer_killed(struct slu_mreads *rs, struct slot *list)
{
	while (list) {
		struct slot *s = list;
		bool mine = slu_mkilled(s->direct);

		list = s->late;
		pthread_mutex_lock(&rs->lock);
		mine = mine && claim(s);
		pthread_mutex_unlock(&rs->lock);
		if (mine) {
			fuse_reply_err(s->req, EINTR);
			slu_minit_answered(rs->m, s->unique);
			count_answer(s, s->due, -EINTR);
		}
		release(s);
	}
}

int64_t slu_mreads_tick(struct slu_mreads *rs)
{
	struct file *old = NULL;
	struct slot *late, *direct;
	bool kept = rs->m->ahead && slu_ahead_keeps(rs->m->ahead), idle;
	int64_t now = slu_now(), old_ns = kept ? KEPT_NS : 2 * IDLE_NS, wait;

	pthread_mutex_lock(&rs->lock);
	late = take_due(rs, false);
	direct = take_direct(rs, now);
	idle = !rs->busy && !kept && now - rs->last >= IDLE_NS;
	if (idle) {
		old = files_take(rs, 0, INT64_MAX);
		rs->ticking = false;
	} else {
		old = files_take(rs, FILES_MAX, now - old_ns);
	}
	wait = rs->timeout / 4 < TICK_NS ? rs->timeout / 4 : TICK_NS;
	if (rs->due && rs->due->due - now < wait)
		wait = rs->due->due > now ? rs->due->due - now : 0;
	pthread_mutex_unlock(&rs->lock);
	files_free(old);
	answer_killed(rs, direct);
	for (size_t i = 0; i < slu_manifest_sources(rs->m->t->manifest); i++)
		slu_store_trim(rs->m->t->sources[i].store);
	if (late)
		answer_late(rs, late, -ETIMEDOUT, "the store did not answer within the time limit");
	slu_readers_trim(rs->readers, idle ? 0 : old_ns);
	return idle ? -1 : wait;
}

/* A block of other engines may be larger than ours can be. */
static void readers_conf(const struct slu_settings *set, struct slu_readers_conf *ret)
{
	uint64_t block = set->read_block < SLU_MREAD_MAX ? set->read_block : SLU_MREAD_MAX;

	ret->block = block ? (block < UNIT ? UNIT : block / UNIT * UNIT) : 0;
	ret->window_max = (uint64_t)set->read_ahead * (block ? set->read_block : SLU_MREAD_MAX);
	if (!set->read_ahead && !set->chosen[SLU_SET_read_ahead])
		ret->window_max = 1; /* none was asked for; 0 is no limit */
}

int slu_mreads_new(struct slu_mount *m, struct slu_mreads **ret)
{
	struct slu_mreads *rs = slu_new0(struct slu_mreads);
	struct slu_readers_conf conf = {0};
	pthread_condattr_t attr;
	int r;

	if (!rs)
		return -ENOMEM;
	if (m->o->budget && slu_budget_process())
		slu_budget_set_limit(slu_budget_process(), m->o->budget);
	readers_conf(m->set, &conf);
	r = slu_readers_new(&conf, &rs->readers);
	if (r) {
		free(rs);
		return r;
	}
	rs->m = m;
	rs->timeout = m->o->io_timeout > 0 ? m->o->io_timeout : IO_TIMEOUT;
	atomic_store(&m->link.share->limit, rs->timeout);
	pthread_mutex_init(&rs->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&rs->quiet, &attr);
	pthread_condattr_destroy(&attr);
	*ret = rs;
	return 0;
}

int slu_mreads_stop(struct slu_mreads *rs, int64_t deadline)
{
	struct timespec at = {.tv_sec = deadline / SLU_SEC, .tv_nsec = deadline % SLU_SEC};
	struct slot *open;
	int r = 0;

	pthread_mutex_lock(&rs->lock);
	open = take_due(rs, true);
	pthread_mutex_unlock(&rs->lock);
	answer_late(rs, open, -EIO, NULL);
	/* No worker, no new file: what is in the list stays there until it is taken out below. */
	for (struct file *f = rs->oldest; f; f = f->newer)
		slu_reader_cancel(f->reader);
	pthread_mutex_lock(&rs->lock);
	while (rs->busy && !r)
		r = pthread_cond_timedwait(&rs->quiet, &rs->lock, &at);
	struct file *all = files_take(rs, 0, INT64_MAX);

	pthread_mutex_unlock(&rs->lock);
	files_free(all);
	return slu_readers_drain(rs->readers, deadline);
}

void slu_mreads_free(struct slu_mreads *rs)
{
	if (!rs)
		return;
	slu_readers_free(rs->readers);
	while (rs->free) {
		struct slot *s = rs->free;

		rs->free = s->next;
		free(s);
	}
	free(rs->told[0]);
	free(rs->told[1]);
	pthread_cond_destroy(&rs->quiet);
	pthread_mutex_destroy(&rs->lock);
	free(rs);
}
