/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a stage and the store: filling it with what is there, sending blocks while it is written, and the
 * commit.  What was sent early is a convenience only: the data file has all of it, so whatever goes wrong
 * with it, the commit sends the file anew.
 */
#include "fs/stage_impl.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "fs/stats.h"

#include <errno.h>
#include <string.h>

#define PIECE (1u << 20)
#define SUMMED (256u << 10)
#define BLOCK (4u << 20) /* when a store names no size */

static char *store_path(const struct slu_stage *s)
{
	return slu_path_join(s->t->base, s->path);
}

/* --- filling --- */

static int read_store(struct slu_stages *t, const char *path, const char *id, uint64_t off,
		      size_t n, void *buf, struct slu_err *e)
{
	struct slu_op op;

	slu_op_read(&op, path, off, n, buf, id);
	return slu_store_wait(t->store, &op, e);
}

static int put_bytes(int fd, const char *p, size_t n, uint64_t off)
{
	while (n) {
		ssize_t k = pwrite(fd, p, n, (off_t)off);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k ? -errno : -EIO;
		p += k;
		n -= (size_t)k;
		off += (uint64_t)k;
	}
	return 0;
}

/* The bytes of the state that the stage began with, into its data file. */
static int fetch(struct slu_stage *s, const char *path, uint64_t size, const char *id,
		 struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *buf = slu_malloc(BLOCK);
	int r = buf ? 0 : slu_fail_oom(e);

	for (uint64_t off = 0; !r && off < size;) {
		size_t n = size - off < BLOCK ? (size_t)(size - off) : BLOCK;

		r = read_store(s->t, path, id, off, n, buf, e);
		if (!r) {
			r = put_bytes(s->fd, buf, n, off);
			if (r)
				r = slu_fail_sys(e, -r, "cannot stage '%s' in '%s'", path,
						 s->t->where);
		}
		off += n;
	}
	return r;
}

int slu_stage_fill(struct slu_stage *s, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	char id[SLU_ID_MAX];
	uint64_t size;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	bool here = s->i.filled || s->i.failed;

	r = s->i.failed;
	pthread_mutex_unlock(&s->lock);
	if (here)
		return r;
	slu_stage_enter(s);
	here = s->i.filled;
	size = s->i.base.size;
	memcpy(id, s->i.base.id, sizeof id);
	path = store_path(s);
	pthread_mutex_unlock(&s->lock);
	if (!here) {
		r = path ? slu_stages_charge(s->t, (int64_t)size) : -ENOMEM;
		if (!r) {
			r = fetch(s, path, size, id, e);
			if (r)
				(void)slu_stages_charge(s->t, -(int64_t)size);
		} else {
			r = slu_fail_sys(e, -r, "cannot stage '%s', %llu bytes", s->path,
					 (unsigned long long)size);
		}
	}
	pthread_mutex_lock(&s->lock);
	if (!here && !r) {
		s->i.filled = true;
		r = slu_stage_record(s, s->i.synced);
	}
	slu_stage_leave(s);
	return r;
}

/* --- sending --- */

/* Gives the writer what is in the data file from s->fed to `to`.  path: for messages, as s->path may change. */
static int feed(struct slu_stage *s, struct slu_writer *w, const char *path, uint64_t to,
		struct slu_err *e)
{
	int r = 0;

	while (!r && s->fed < to) {
		uint64_t off;
		void *room;
		size_t n;
		ssize_t k;

		r = slu_writer_room(w, &room, &n, e);
		if (r)
			break;
		if (n > to - s->fed)
			n = (size_t)(to - s->fed);
		if (n > SUMMED) /* the writer sums them up: out of the cache */
			n = SUMMED;
		/* Who writes there from now on knows that it may have been sent. */
		pthread_mutex_lock(&s->lock);
		off = s->fed;
		s->fed += n;
		pthread_mutex_unlock(&s->lock);
		do
			k = pread(s->fd, room, n, (off_t)off);
		while (k < 0 && errno == EINTR);
		if (k != (ssize_t)n)
			r = slu_fail_sys(e, k < 0 ? errno : EIO,
					 "cannot read what is staged of '%s'", path);
		else
			slu_writer_added(w, n);
	}
	return r;
}

static int writer_new(struct slu_stage *s, const char *path, bool fresh, const char *id,
		      unsigned flags, struct slu_writer **ret, struct slu_err *e)
{
	return slu_writer_new(s->t->store, path, flags | (fresh ? SLU_OPF_ABSENT : 0),
			      fresh ? NULL : id, ret, e);
}

static size_t block_of(const struct slu_stages *t)
{
	return t->store->block ? t->store->block : BLOCK;
}

bool slu_stage_wants_stream(struct slu_stage *s)
{
	bool wants;

	pthread_mutex_lock(&s->lock);
	wants = s->in_order && !s->asked && !s->streaming && !s->busy && !s->i.failed &&
		!s->i.removed && s->i.size >= s->fed + block_of(s->t);
	s->asked |= wants;
	pthread_mutex_unlock(&s->lock);
	return wants;
}

void slu_stage_stream(struct slu_stage *s)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_err e = {0};
	uint64_t to;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	s->asked = false;
	if (s->busy || s->streaming || !s->in_order) {
		pthread_mutex_unlock(&s->lock);
		return;
	}
	/* Writes go on meanwhile: only a commit waits for it. */
	s->streaming = true;
	to = s->i.size;
	path = store_path(s);
	if (!s->writer)
		r = path ? writer_new(s, path, s->i.fresh, s->i.base.id, 0, &s->writer, &e)
			 : -ENOMEM;
	pthread_mutex_unlock(&s->lock);
	if (!r) {
		uint64_t from = s->fed;

		r = feed(s, s->writer, path, to, &e);
		slu_stat_add(SLU_STAT_STREAMED, s->fed - from);
	}
	if (r)
		slu_debug("stage", "'%s' is not sent while it is written: %s", path ? path : "",
			  e.msg);
	pthread_mutex_lock(&s->lock);
	if (r)
		s->in_order = false;
	s->streaming = false;
	pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

/* --- the commit --- */

/* Is that what the store has?  *ret: what it has. */
static bool same_there(struct slu_stage *s, const char *path, uint64_t size, struct slu_attr *ret)
{
	SLU_AUTO(slu_freep) char *theirs = slu_malloc(PIECE);
	SLU_AUTO(slu_freep) char *ours = slu_malloc(PIECE);

	if (!theirs || !ours || slu_store_stat(s->t->store, path, ret, NULL) ||
	    ret->kind != SLU_KIND_FILE || ret->size != size)
		return false;
	for (uint64_t off = 0; off < size;) {
		size_t n = size - off < PIECE ? (size_t)(size - off) : PIECE;

		if (read_store(s->t, path, ret->id, off, n, theirs, NULL) ||
		    pread(s->fd, ours, n, (off_t)off) != (ssize_t)n || memcmp(ours, theirs, n) != 0)
			return false;
		off += n;
	}
	return true;
}

struct attempt {
	char *path;
	bool fresh;
	char id[SLU_ID_MAX];
	unsigned flags;
	uint64_t size;
	bool met; /* the store had the same bytes: by our commit, or by somebody else's */
};

/* With what was sent already, or all of it. */
static int try_commit(struct slu_stage *s, const struct attempt *a, bool anew, struct slu_attr *ret,
		      struct slu_err *e)
{
	struct slu_writer *w = s->writer;
	int r = 0;

	if (anew && w) {
		slu_writer_free(w);
		s->writer = w = NULL;
	}
	if (!w) {
		s->fed = 0;
		r = writer_new(s, a->path, a->fresh, a->id, a->flags, &w, e);
		s->writer = r ? NULL : w;
	}
	if (!r)
		r = feed(s, w, a->path, a->size, e);
	if (!r)
		r = slu_writer_commit(w, ret, e);
	slu_writer_free(s->writer);
	s->writer = NULL;
	return r;
}

static int send_all(struct slu_stage *s, struct attempt *a, bool streamed, struct slu_attr *ret,
		    struct slu_err *e)
{
	bool early = streamed && s->writer && !(a->flags & SLU_OPF_DURABLE);
	int r = try_commit(s, a, !early, ret, e);

	/* What was sent early may have been lost since; that is no reason to fail. */
	if (r && early && r != -ESTALE && r != -EEXIST)
		r = try_commit(s, a, true, ret, e);
	/* A commit of ours whose answer nobody heard, or of the process before. */
	a->met = (r == -ESTALE || r == -EEXIST) && same_there(s, a->path, a->size, ret);
	if (a->met)
		r = 0;
	if (r == -ESTALE || r == -EEXIST)
		r = slu_fail(e, ESTALE,
			     "'%s' was written by somebody else meanwhile: what was to be written "
			     "here is not; write it again",
			     a->path);
	return r;
}

/* Lock held: the store has it.  met: perhaps not by us. */
static void committed(struct slu_stage *s, const struct slu_attr *now, bool met)
{
	bool synced = s->i.synced;

	s->i.base = *now;
	s->i.loose = !synced && slu_store_can(s->t->store, SLU_CAP_LOOSE);
	s->i.fresh = s->i.dirty = s->i.synced = s->i.killed = false;
	s->i.born = s->i.born && !now->size && !met;
	/* A shell closes the first descriptor of what it lets programs write to: that commits nothing, and then
	 * all of it comes. */
	s->in_order = !s->i.size;
	s->fed = 0;
	if (!s->i.own_time)
		s->i.mtime_ns = now->mtime_ns;
	/* Before the record: who goes on after a crash in between commits it again, and tells it again. */
	slu_stages_wrote(s->t, s->path, now->id);
	(void)slu_stage_record(s, synced);
	if (!s->suspect)
		slu_stages_have(s->t, s->path);
}

/* Lock held: it has not. */
static void refused(struct slu_stage *s, int r, const char *why)
{
	if (r == -ESTALE)
		slu_stage_fail(s, r);
	else if (!s->i.failed && !s->i.removed)
		slu_stages_lost(s->t, s->path, why);
}

int slu_stage_commit(struct slu_stage *s, struct slu_err *e)
{
	struct slu_attr now = {0};
	struct attempt a = {0};
	struct slu_err why = {0};
	bool streamed, due;
	int r;

	slu_stage_enter(s);
	while (s->streaming)
		pthread_cond_wait(&s->idle, &s->lock);
	r = s->i.failed;
	due = !r && s->i.dirty && !s->i.removed;
	a.fresh = s->i.fresh;
	a.flags = s->i.synced ? SLU_OPF_DURABLE : 0;
	a.size = s->i.size;
	memcpy(a.id, s->i.base.id, sizeof a.id);
	streamed = s->in_order;
	a.path = store_path(s);
	pthread_mutex_unlock(&s->lock);
	if (r)
		slu_fail_sys(&why, -r, "'%s' could not be written before", s->path);
	if (due)
		r = a.path ? send_all(s, &a, streamed, &now, &why) : slu_fail_oom(&why);
	pthread_mutex_lock(&s->lock);
	if (due)
		slu_stat_add(r ? SLU_STAT_COMMITS_BAD : SLU_STAT_COMMITS, 1);
	if (due && !r)
		committed(s, &now, a.met);
	else if (r)
		refused(s, r, why.msg);
	s->i.told = r;
	slu_stage_leave(s);
	free(a.path);
	if (r && e)
		*e = why;
	return r;
}

/* --- what is not to be --- */

bool slu_stage_is_left(const struct slu_stage *s)
{
	return s->i.born && !s->i.fresh && !s->i.removed &&
	       (s->i.failed || (s->i.killed && s->i.dirty && !s->i.synced));
}

bool slu_stage_lingers(struct slu_stage *s)
{
	bool left;

	pthread_mutex_lock(&s->lock);
	left = slu_stage_is_left(s);
	pthread_mutex_unlock(&s->lock);
	return left;
}

/* Only that very file: who wrote another one there keeps it. */
static int delete_own(const struct slu_stages *t, const char *path, const char *id,
		      struct slu_err *e)
{
	struct slu_op op;

	slu_op_delete(&op, path, 0);
	op.if_match = id;
	return slu_store_wait(t->store, &op, e);
}

/* A close of a copy of its descriptor has committed it when it was empty still. */
void slu_stage_take_back(struct slu_stage *s)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	char id[SLU_ID_MAX];
	struct slu_err e = {0};
	int r = -ENOMEM;

	slu_stage_enter(s);
	if (!slu_stage_is_left(s)) {
		slu_stage_leave(s);
		return;
	}
	memcpy(id, s->i.base.id, sizeof id);
	path = store_path(s);
	pthread_mutex_unlock(&s->lock);
	if (path)
		r = delete_own(s->t, path, id, &e);
	if (r && r != -ENOENT)
		slu_warn("stage", "'%s' is empty and stays so: %s", path ? path : "", e.msg);
	pthread_mutex_lock(&s->lock);
	s->i.born = false;
	if (!r || r == -ENOENT) {
		s->i.fresh = true;
		s->i.base = (struct slu_attr){.kind = SLU_KIND_FILE};
		slu_stages_gone(s->t, s->path);
		(void)slu_stage_record(s, s->i.synced);
	}
	slu_stage_leave(s);
}
