/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of stages, and what needs no store: reading and writing (stage.h).  A stage is freed when nobody
 * has got it and it is not in the set any more.
 */
#include "fs/stage_impl.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "common/write.h"
#include "fs/stats.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOOK_BYTES (16u << 20) /* so much more may be staged before the disk is looked at again */

/* --- the set --- */

static struct slu_stage **slot_of(struct slu_stages *t, uint64_t ino)
{
	return &t->slots[(ino ^ ino >> 32) % SLU_STAGE_HASH];
}

/* Lock of the set held. */
static struct slu_stage *find(struct slu_stages *t, uint64_t ino)
{
	struct slu_stage *s = *slot_of(t, ino);

	while (s && s->i.ino != ino)
		s = s->chain;
	return s;
}

struct slu_stage *slu_stage_make(struct slu_stages *t, uint64_t seq, const char *path)
{
	struct slu_stage *s = slu_new0(struct slu_stage);

	if (!s)
		return NULL;
	s->path = slu_strdup(path);
	if (!s->path) {
		free(s);
		return NULL;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	s->t = t;
	s->seq = seq;
	s->refs = 1;
	s->fd = -1;
	return s;
}

int slu_stage_list(struct slu_stages *t, struct slu_stage *s)
{
	struct slu_stage **slot = slot_of(t, s->i.ino);
	bool there;

	pthread_mutex_lock(&t->lock);
	there = s->i.ino && find(t, s->i.ino);
	if (!there) {
		s->chain = *slot;
		*slot = s;
		/* In the order of their numbers, which slu_stages_next() goes by; what is read from the disk
		 * comes in any. */
		for (s->prev = t->last; s->prev && s->prev->seq > s->seq;)
			s->prev = s->prev->prev;
		s->next = s->prev ? s->prev->next : t->first;
		*(s->prev ? &s->prev->next : &t->first) = s;
		*(s->next ? &s->next->prev : &t->last) = s;
		s->listed = true;
		s->refs++;
	}
	pthread_mutex_unlock(&t->lock);
	return there ? -EEXIST : 0;
}

/* Lock of the set held. */
static void unchain(struct slu_stages *t, struct slu_stage *s)
{
	struct slu_stage **pp = slot_of(t, s->i.ino);

	while (*pp != s)
		pp = &(*pp)->chain;
	*pp = s->chain;
}

void slu_stage_unlist(struct slu_stage *s)
{
	struct slu_stages *t = s->t;

	pthread_mutex_lock(&t->lock);
	if (s->listed) {
		unchain(t, s);
		*(s->prev ? &s->prev->next : &t->first) = s->next;
		*(s->next ? &s->next->prev : &t->last) = s->prev;
		s->listed = false;
		s->refs--; /* the caller has one */
	}
	pthread_mutex_unlock(&t->lock);
}

struct slu_stage *slu_stage_get(struct slu_stages *t, uint64_t ino)
{
	struct slu_stage *s;

	pthread_mutex_lock(&t->lock);
	s = find(t, ino);
	if (s)
		s->refs++;
	pthread_mutex_unlock(&t->lock);
	return s;
}

void slu_stage_put(struct slu_stage *s)
{
	bool last;

	if (!s)
		return;
	pthread_mutex_lock(&s->t->lock);
	last = !--s->refs;
	pthread_mutex_unlock(&s->t->lock);
	if (!last)
		return;
	slu_writer_free(s->writer);
	slu_closep(&s->fd);
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	free(s->path);
	free(s);
}

struct slu_stage *slu_stages_next(struct slu_stages *t, uint64_t *pos)
{
	struct slu_stage *s;

	pthread_mutex_lock(&t->lock);
	/* In the order of their numbers, so that one that goes meanwhile does no harm. */
	for (s = t->first; s && s->seq < *pos; s = s->next)
		;
	if (s) {
		s->refs++;
		*pos = s->seq + 1;
	}
	pthread_mutex_unlock(&t->lock);
	return s;
}

void slu_stage_number(struct slu_stage *s, uint64_t ino, uint64_t up)
{
	struct slu_stages *t = s->t;

	pthread_mutex_lock(&s->lock);
	pthread_mutex_lock(&t->lock);
	if (s->listed)
		unchain(t, s);
	s->i.ino = ino;
	s->i.up = up;
	if (s->listed) {
		struct slu_stage **slot = slot_of(t, ino);

		s->chain = *slot;
		*slot = s;
	}
	pthread_mutex_unlock(&t->lock);
	(void)slu_stage_record(s, false);
	pthread_mutex_unlock(&s->lock);
}

/* With wait, one after another: a program that writes goes on after a commit, not in it. */
void slu_stage_enter(struct slu_stage *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->busy)
		pthread_cond_wait(&s->idle, &s->lock);
	s->busy = true;
}

void slu_stage_leave(struct slu_stage *s)
{
	s->busy = false;
	pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

int slu_stages_charge(struct slu_stages *t, int64_t n)
{
	struct statvfs v;
	bool look;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	if (n > 0 && t->max && t->used + (uint64_t)n > t->max)
		r = -ENOSPC;
	t->unseen += n > 0 ? (uint64_t)n : 0;
	look = t->unseen > LOOK_BYTES;
	if (look)
		t->unseen = 0;
	if (!r)
		t->used += (uint64_t)n;
	pthread_mutex_unlock(&t->lock);
	if (!r && look && !fstatvfs(t->fd, &v) && v.f_bavail * v.f_frsize < t->reserve) {
		r = -ENOSPC;
		pthread_mutex_lock(&t->lock);
		t->used -= (uint64_t)n;
		t->unseen = LOOK_BYTES;
		pthread_mutex_unlock(&t->lock);
	}
	return r;
}

uint64_t slu_stages_used(struct slu_stages *t)
{
	uint64_t n;

	pthread_mutex_lock(&t->lock);
	n = t->used;
	pthread_mutex_unlock(&t->lock);
	return n;
}

/* --- one stage --- */

/* Neither on disk nor in the set. */
static struct slu_stage *begin(struct slu_stages *t, uint64_t ino, uint64_t up, const char *path)
{
	struct slu_stage *s;
	uint64_t seq;

	pthread_mutex_lock(&t->lock);
	seq = t->next_seq++;
	pthread_mutex_unlock(&t->lock);
	s = slu_stage_make(t, seq, path);
	if (!s)
		return NULL;
	s->i.ino = ino;
	s->i.up = up;
	s->i.mtime_ns = slu_wall();
	return s;
}

/* With `text` in its data file. */
static int put_on_disk(struct slu_stage *s, const char *text, struct slu_err *e)
{
	size_t n = strlen(text);
	int r = slu_stage_open_data(s, true);
	bool charged = false, there = false;

	if (!r && n) {
		r = slu_stages_charge(s->t, (int64_t)n);
		charged = !r;
	}
	if (!r && n)
		r = slu_pwrite_all(s->fd, text, n, 0);
	if (!r)
		r = slu_stage_record(s, s->i.type);
	if (!r) {
		r = slu_stage_list(s->t, s);
		there = r == -EEXIST;
	}
	if (r && charged)
		(void)slu_stages_charge(s->t, -(int64_t)n);
	if (r) {
		slu_stage_erase(s);
		if (there)
			return slu_fail(e, EEXIST, "'%s' is being written already", s->path);
		return slu_fail_sys(e, -r, "cannot stage '%s' in '%s'", s->path, s->t->where);
	}
	return 0;
}

int slu_stage_new(struct slu_stages *t, uint64_t ino, uint64_t up, const char *path,
		  const struct slu_attr *base, struct slu_stage **ret, struct slu_err *e)
{
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = begin(t, ino, up, path);
	int r;

	if (!s)
		return slu_fail_oom(e);
	s->i.fresh = s->i.filled = s->i.dirty = s->in_order = s->i.born = !base;
	if (base) {
		s->i.base = *base;
		s->i.size = base->size;
		s->i.mtime_ns = base->mtime_ns;
	}
	r = put_on_disk(s, "", e);
	if (!r)
		*ret = slu_take(s);
	return r;
}

int slu_stage_node(struct slu_stages *t, uint64_t ino, uint64_t up, const char *path, uint32_t type,
		   uint64_t device, const char *text, struct slu_stage **ret, struct slu_err *e)
{
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = begin(t, ino, up, path);
	int r;

	if (!s)
		return slu_fail_oom(e);
	s->i.fresh = s->i.filled = true;
	s->i.type = type;
	s->i.base.size = device;
	s->i.size = strlen(text);
	r = put_on_disk(s, text, e);
	if (!r)
		*ret = slu_take(s);
	return r;
}

uint64_t slu_stage_device(struct slu_stage *s)
{
	return s->i.base.size; /* as long as it is no file it never changes */
}

void slu_stage_info(struct slu_stage *s, struct slu_stage_info *ret)
{
	pthread_mutex_lock(&s->lock);
	*ret = s->i;
	pthread_mutex_unlock(&s->lock);
}

char *slu_stage_path(struct slu_stage *s)
{
	char *p;

	pthread_mutex_lock(&s->lock);
	p = slu_strdup(s->path);
	pthread_mutex_unlock(&s->lock);
	return p;
}

static bool inside(const char *path, const char *folder)
{
	const char *rest = slu_after(path, folder);

	return !*folder || (rest && *rest == '/');
}

bool slu_stages_any_in(struct slu_stages *t, const char *folder)
{
	uint64_t pos = 0;
	bool any = false;

	while (!any) {
		SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stages_next(t, &pos);

		if (!s)
			break;
		pthread_mutex_lock(&s->lock);
		any = !s->i.removed && inside(s->path, folder);
		pthread_mutex_unlock(&s->lock);
	}
	return any;
}

/* Lock taken when it gives 0: the bytes are here and nobody commits them. */
static int take(struct slu_stage *s, bool wait)
{
	int r = 0;

	if (wait) {
		r = slu_stage_fill(s, NULL);
		if (r)
			return r;
	}
	pthread_mutex_lock(&s->lock);
	while (s->busy && wait)
		pthread_cond_wait(&s->idle, &s->lock);
	r = s->i.failed ? s->i.failed : s->busy || !s->i.filled ? -EAGAIN : 0;
	if (r)
		pthread_mutex_unlock(&s->lock);
	return r;
}

/* Lock held.  The first change is written down before it is made. */
static int touch(struct slu_stage *s, uint64_t from)
{
	if (from < s->fed)
		s->in_order = false;
	if (!s->i.own_time)
		s->i.mtime_ns = slu_wall();
	s->i.told = s->suspect = false;
	if (s->i.dirty)
		return 0;
	s->i.dirty = true;
	return slu_stage_record(s, s->i.synced);
}

ssize_t slu_stage_write(struct slu_stage *s, uint64_t off, const void *p, size_t n, bool wait)
{
	ssize_t r = take(s, wait);

	if (r)
		return r;
	if (off > INT64_MAX - n) {
		pthread_mutex_unlock(&s->lock);
		return -EFBIG;
	}
	s->i.own_time = false;
	r = touch(s, off);
	if (!r && off + n > s->i.size)
		r = slu_stages_charge(s->t, (int64_t)(off + n - s->i.size));
	if (!r) {
		if (off + n > s->i.size)
			s->i.size = off + n;
		r = slu_pwrite_all(s->fd, p, n, off);
		r = r ? r : (ssize_t)n;
	}
	if (r < 0)
		slu_stage_fail(s, (int)r);
	else
		slu_stat_add(SLU_STAT_WRITTEN, (uint64_t)r);
	pthread_mutex_unlock(&s->lock);
	return r;
}

void slu_stage_spoil(struct slu_stage *s, int r)
{
	pthread_mutex_lock(&s->lock);
	slu_stage_fail(s, r);
	pthread_mutex_unlock(&s->lock);
}

ssize_t slu_stage_read(struct slu_stage *s, uint64_t off, void *p, size_t n, bool wait)
{
	size_t done = 0;
	ssize_t k = 0;
	int fd;

	if (wait) {
		int r = slu_stage_fill(s, NULL);

		if (r)
			return r;
	}
	pthread_mutex_lock(&s->lock);
	bool here = s->i.filled;
	uint64_t size = s->i.size;

	fd = s->fd; /* as long as we have the stage */
	pthread_mutex_unlock(&s->lock);
	if (!here)
		return -EAGAIN;
	if (off >= size)
		return 0;
	if (n > size - off)
		n = (size_t)(size - off);
	while (done < n) {
		k = pread(fd, (char *)p + done, n - done, (off_t)(off + done));
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		done += (size_t)k;
	}
	return k < 0 && !done ? -errno : (ssize_t)done;
}

/* Nothing of what is in the store is left, so it need not be here. */
static void empty(struct slu_stage *s, bool wait)
{
	pthread_mutex_lock(&s->lock);
	while (s->busy && wait)
		pthread_cond_wait(&s->idle, &s->lock);
	if (!s->busy && !s->i.filled && !s->i.failed) {
		s->i.filled = true;
		s->i.size = 0;
		s->in_order = true;
	}
	pthread_mutex_unlock(&s->lock);
}

int slu_stage_truncate(struct slu_stage *s, uint64_t size, bool wait)
{
	int r;

	if (size > INT64_MAX)
		return -EFBIG;
	if (!size)
		empty(s, wait);
	r = take(s, wait);
	if (r)
		return r;
	if (size == s->i.size && s->i.dirty) {
		pthread_mutex_unlock(&s->lock);
		return 0;
	}
	s->i.own_time = false;
	r = touch(s, size < s->i.size ? size : s->i.size);
	if (!r)
		r = slu_stages_charge(s->t, (int64_t)size - (int64_t)s->i.size);
	if (!r && ftruncate(s->fd, (off_t)size)) {
		r = -errno;
		(void)slu_stages_charge(s->t, (int64_t)s->i.size - (int64_t)size);
	}
	if (!r)
		s->i.size = size;
	if (!r && !size && !s->fed)
		s->in_order = true;
	if (r)
		slu_stage_fail(s, r);
	pthread_mutex_unlock(&s->lock);
	return r;
}

void slu_stage_time(struct slu_stage *s, int64_t mtime_ns)
{
	pthread_mutex_lock(&s->lock);
	s->i.mtime_ns = mtime_ns;
	s->i.own_time = true;
	pthread_mutex_unlock(&s->lock);
}

/* Lock held: the data that has to be on the disk, -1: none. */
static int to_sync(struct slu_stage *s)
{
	if (s->i.removed)
		return -1;
	/* What was committed before this is not yet where a power cut leaves it: it is committed once more. */
	if (s->i.loose && !s->i.dirty && !s->i.failed) {
		s->i.dirty = true;
		s->in_order = false;
	}
	return s->i.dirty ? s->fd : -1;
}

int slu_stage_sync(struct slu_stage *s, struct slu_err *e)
{
	int r, fd;

	pthread_mutex_lock(&s->lock);
	r = s->i.failed;
	fd = to_sync(s);
	pthread_mutex_unlock(&s->lock);
	if (!r && fd >= 0 && fdatasync(fd))
		r = -errno;
	pthread_mutex_lock(&s->lock);
	if (!r && fd >= 0 && s->i.dirty && !s->i.removed) {
		bool before = s->i.synced;

		s->i.synced = true;
		/* Once it says so it holds for all that is synced later. */
		r = before ? 0 : slu_stage_record(s, true);
	} else if (r && !s->i.failed) {
		slu_stage_fail(s, r); /* the kernel tells of a failed write-back only once */
	}
	if (r)
		slu_fail_sys(e, -r, "'%s' could not be written to '%s'", s->path, s->t->where);
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* --- life --- */

int slu_stages_open(const struct slu_stages_conf *conf, struct slu_stages **ret, struct slu_err *e)
{
	SLU_AUTO(slu_stages_freep) struct slu_stages *t = slu_new0(struct slu_stages);
	int r;

	if (!t)
		return slu_fail_oom(e);
	pthread_mutex_init(&t->lock, NULL);
	t->fd = t->report = -1;
	t->store = conf->store;
	t->max = conf->max;
	t->reserve = conf->reserve;
	t->unseen = LOOK_BYTES;
	t->next_seq = 1;
	t->base = slu_strdup(conf->base);
	if (!t->base)
		return slu_fail_oom(e);
	r = slu_stages_begin(t, conf, e);
	if (r)
		return r;
	*ret = slu_take(t);
	return 0;
}

void slu_stages_free(struct slu_stages *t)
{
	if (!t)
		return;
	while (t->first) {
		struct slu_stage *s = t->first;

		s->refs++;
		slu_stage_unlist(s);
		slu_stage_put(s);
	}
	slu_closep(&t->fd);
	slu_closep(&t->report);
	pthread_mutex_destroy(&t->lock);
	free(t->base);
	free(t->where);
	free(t);
}

int slu_stages_fd(const struct slu_stages *t)
{
	return t->fd;
}

const char *slu_stages_where(const struct slu_stages *t)
{
	return t->where;
}
