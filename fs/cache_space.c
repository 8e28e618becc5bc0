/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much the disk cache may take.  The file `use` holds the bytes in use, of all processes together; who wants to
 * write counts them there first, a piece at a time, so that a process that is killed leaves a number that is too
 * large, never too small.  It is found anew by looking at every file: by the first process that writes while no
 * other does, and whenever room is made.  Room is made by unlinking what was not used for longest; what is open
 * somewhere stays readable there.  Which those are is found in two passes with a histogram of ages, so that a
 * million entries take no memory.
 */
#include "fs/cache_impl.h"

#include "common/fault.h"
#include "common/log.h"
#include "common/time.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>

#define PIECE (16u << 20)
#define PIECE_LEAST (64u << 10)
#define OFF_NS (10 * SLU_SEC)
#define LOCK_PAUSE_MS 2

struct use {
	uint64_t bytes;
	uint32_t crc, zero;
};

int slu_cspace_open(struct slu_cache *c, struct slu_err *e)
{
	c->use_fd = openat(c->fd, "use", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (c->use_fd < 0)
		return slu_fail_sys(e, errno, "cannot write to the cache folder '%s/v1'", c->dir);
	return 0;
}

bool slu_cache_lock_again(int64_t until)
{
	int err = errno;

	if (err == EINTR)
		return true;
	if ((err != EAGAIN && err != EACCES) || slu_expired(until))
		return false;
	poll(NULL, 0, LOCK_PAUSE_MS);
	return true;
}

/* Between processes; the threads of one have the mutex. */
static int lock_use(struct slu_cache *c, short type)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET};
	int64_t until = slu_deadline_in(SLU_CACHE_LOCK_NS);

	while (fcntl(c->use_fd, F_OFD_SETLK, &l) < 0)
		if (!slu_cache_lock_again(until))
			return -EBUSY;
	return 0;
}

/* UINT64_MAX: nobody knows. */
static uint64_t get_use(struct slu_cache *c)
{
	struct use u;

	if (SLU_IO(pread(c->use_fd, &u, sizeof(u), 0)) != sizeof(u) ||
	    slu_crc32c(0, &u.bytes, sizeof(u.bytes)) != u.crc)
		return UINT64_MAX;
	return u.bytes;
}

static void set_use(struct slu_cache *c, uint64_t bytes)
{
	struct use u = {.bytes = bytes, .crc = slu_crc32c(0, &bytes, sizeof(bytes))};

	if (SLU_IO(pwrite(c->use_fd, &u, sizeof(u), 0)) != sizeof(u))
		slu_debug("cache", "cannot write '%s/v1/use': %s", c->dir, strerror(errno));
}

static void change_use(struct slu_cache *c, int64_t by)
{
	if (lock_use(c, F_WRLCK) < 0)
		return;
	uint64_t bytes = get_use(c);

	if (bytes != UINT64_MAX)
		set_use(c, by < 0 && bytes < (uint64_t)-by ? 0 : bytes + (uint64_t)by);
	lock_use(c, F_UNLCK);
}

void slu_cspace_close(struct slu_cache *c)
{
	if (c->use_fd < 0)
		return;
	if (c->credit)
		change_use(c, -(int64_t)c->credit);
	close(c->use_fd);
}

static bool disk_free(const struct slu_cache *c, uint64_t *ret)
{
	struct statvfs fs;

	if (SLU_IO(fstatvfs(c->fd, &fs)) < 0)
		return false;
	*ret = (uint64_t)fs.f_bavail * fs.f_frsize;
	return true;
}

/* --- looking at every file --- */

/* Four buckets to each doubling of an entry's age, in microseconds. */
#define AGES 256

struct ages {
	int64_t now;
	uint64_t total, bytes[AGES];
	/* the second pass */
	struct slu_cache *c;
	uint64_t want, freed; /* bytes */
	unsigned from;        /* ages that go */
};

static unsigned age_of(const struct ages *a, int64_t used_ns)
{
	uint64_t us = a->now > used_ns ? (uint64_t)(a->now - used_ns) / 1000 : 0;

	if (us < 4)
		return 0;
	unsigned high = 63 - (unsigned)__builtin_clzll(us);
	unsigned i = (high - 2) * 4 + (unsigned)(us >> (high - 2) & 3);

	return i < AGES ? i : AGES - 1;
}

static int count_one(void *user, const struct slu_cfile *f)
{
	struct ages *a = user;

	a->total += f->bytes;
	a->bytes[age_of(a, f->used_ns)] += f->bytes;
	return 0;
}

static int remove_one(void *user, const struct slu_cfile *f)
{
	struct ages *a = user;

	if (age_of(a, f->used_ns) < a->from)
		return 0;
	slu_cfile_remove(f);
	a->freed += f->bytes;
	slu_cadd(&a->c->n.evicted, 1);
	return a->freed >= a->want;
}

/* The least recently used go, `want` bytes of them. */
static void remove_oldest(struct ages *a)
{
	uint64_t sum = 0;

	for (a->from = AGES; a->from > 0 && sum < a->want;)
		sum += a->bytes[--a->from];
	/* The oldest whole ages first, so that the pass that ends early takes none that is younger. */
	unsigned last = a->from;

	a->from = last + 1;
	if (a->from < AGES)
		slu_cache_scan(a->c, remove_one, a);
	a->from = last;
	if (a->freed < a->want)
		slu_cache_scan(a->c, remove_one, a);
}

bool slu_cspace_off(struct slu_cache *c)
{
	int64_t until = __atomic_load_n(&c->off_until, __ATOMIC_RELAXED);

	return until && slu_now() < until;
}

static void turn_off(struct slu_cache *c, const char *why)
{
	bool first = !__atomic_exchange_n(&c->off_until, slu_now() + OFF_NS, __ATOMIC_RELAXED);

	slu_log(first ? SLU_LOG_WARNING : SLU_LOG_DEBUG, "cache",
		"the disk cache '%s' takes nothing for a while: %s; what is read comes from the store",
		c->dir, why);
}

/* --- room --- */

/* Who wants to write holds `use` locked; the first of all counts what is there.  Space lock held. */
static bool join(struct slu_cache *c)
{
	struct ages a = {.now = slu_wall(), .c = c};
	int64_t until = slu_deadline_in(SLU_CACHE_LOCK_NS);

	if (flock(c->use_fd, LOCK_EX | LOCK_NB) == 0) {
		slu_cache_scan(c, count_one, &a);
		set_use(c, a.total);
	}
	while (flock(c->use_fd, LOCK_SH | LOCK_NB) < 0)
		if (!slu_cache_lock_again(until))
			return false;
	c->joined = true;
	if (get_use(c) == UINT64_MAX) {
		a.total = 0;
		slu_cache_scan(c, count_one, &a);
		set_use(c, a.total);
	}
	return true;
}

static uint64_t limit_of(const struct slu_cache *c)
{
	return c->conf.max ? (uint64_t)((double)c->conf.max * c->conf.prune_at) : UINT64_MAX;
}

static bool fits(struct slu_cache *c, uint64_t use, uint64_t bytes)
{
	uint64_t left;

	return use <= limit_of(c) && bytes <= limit_of(c) - use && disk_free(c, &left) &&
	       left >= c->conf.reserve && left - c->conf.reserve >= bytes;
}

/* `use` is locked, so that others wait for the room too.  Returns the new use. */
static uint64_t make_room(struct slu_cache *c, uint64_t bytes)
{
	struct ages a = {.now = slu_wall(), .c = c};
	uint64_t left = 0, keep;

	slu_centry_idle_free(c);
	slu_cache_scan(c, count_one, &a);
	keep = c->conf.max ? (uint64_t)((double)c->conf.max * c->conf.prune_to) : UINT64_MAX;
	if (c->conf.max && a.total + bytes > limit_of(c))
		a.want = a.total > keep ? a.total - keep : 0;
	if (a.want < bytes && a.total + bytes > limit_of(c))
		a.want = bytes;
	/* What other programs took of the disk is to be had back from us, and a piece more. */
	if (disk_free(c, &left) && left < c->conf.reserve + bytes &&
	    a.want < c->conf.reserve + bytes - left + bytes)
		a.want = c->conf.reserve + bytes - left + bytes;
	if (a.want)
		remove_oldest(&a);
	slu_centry_idle_free(c);
	slu_debug("cache", "'%s': %llu bytes, %llu removed", c->dir, (unsigned long long)a.total,
		  (unsigned long long)a.freed);
	return a.total - (a.freed < a.total ? a.freed : a.total);
}

static uint64_t piece_of(const struct slu_cache *c, uint64_t bytes)
{
	uint64_t n = c->conf.max && c->conf.max / 16 < PIECE ? c->conf.max / 16 : PIECE;

	if (n < PIECE_LEAST)
		n = PIECE_LEAST;
	return n > bytes ? n : bytes;
}

/* Space lock held. */
static bool take_piece(struct slu_cache *c, uint64_t bytes)
{
	uint64_t piece = piece_of(c, bytes), use;
	bool ok;

	if ((!c->joined && !join(c)) || lock_use(c, F_WRLCK) < 0) {
		turn_off(c, "another process holds its lock");
		return false;
	}
	use = get_use(c);
	if (use == UINT64_MAX || !fits(c, use, piece))
		use = make_room(c, piece);
	ok = fits(c, use, piece);
	if (!ok && fits(c, use, bytes)) {
		piece = bytes;
		ok = true;
	}
	set_use(c, use + (ok ? piece : 0));
	lock_use(c, F_UNLCK);
	if (ok)
		c->credit += piece;
	return ok;
}

void slu_cspace_count(struct slu_cache *c)
{
	struct ages a = {.now = slu_wall(), .c = c};

	pthread_mutex_lock(&c->space);
	if (lock_use(c, F_WRLCK) == 0) {
		slu_cache_scan(c, count_one, &a);
		set_use(c, a.total + c->credit);
		lock_use(c, F_UNLCK);
	}
	pthread_mutex_unlock(&c->space);
}

void slu_cspace_failed(struct slu_cache *c, int err)
{
	turn_off(c, strerror(err));
}

bool slu_cspace_take(struct slu_cache *c, uint64_t bytes)
{
	bool ok;

	pthread_mutex_lock(&c->space);
	ok = !slu_cspace_off(c);
	if (ok && c->credit < bytes)
		ok = take_piece(c, bytes - c->credit);
	if (ok)
		c->credit -= bytes;
	pthread_mutex_unlock(&c->space);
	if (!ok && !slu_cspace_off(c))
		turn_off(c, "there is no room within its limits");
	return ok;
}
