/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers take one file after the other; the caller's thread tells of the progress.  Nothing is followed
 * that is a symbolic link.
 */
#include "fs/verify.h"

#include "common/fault.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/download_record.h"
#include "fs/summer.h"
#include "io/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define PIECE (1u << 20)
#define JOBS_MAX 64
#define TICK_NS (100 * SLU_MS)
#define OURS ".sluice-"

struct verify {
	const struct slu_manifest *m;
	int dirfd;
	const char *target;
	const struct slu_verify_opts *o;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t cond;
	size_t next;
	unsigned running;
	struct slu_verify_counts n;
	struct slu_progress progress;
	int rc;
	struct slu_err err;
};

struct worker {
	struct slu_work work;
	struct verify *v;
	char *buf;
};

/* What one file is like. */
struct verdict {
	bool bad;
	enum slu_verify_what what;
	bool unchecked;
	char why[160];
};

static void fail(struct verify *v, int r, const struct slu_err *e)
{
	pthread_mutex_lock(&v->lock);
	if (!v->rc) {
		v->rc = r;
		if (e)
			v->err = *e;
	}
	pthread_mutex_unlock(&v->lock);
}

static void __attribute__((format(printf, 3, 4)))
say(struct verdict *d, enum slu_verify_what what, const char *fmt, ...)
{
	va_list ap;

	d->bad = true;
	d->what = what;
	va_start(ap, fmt);
	vsnprintf(d->why, sizeof d->why, fmt, ap);
	va_end(ap);
}

/* The checksum of the whole file in the words of `want`; "" when it knows no such kind. */
static int sum_of(struct verify *v, int fd, char *buf, const char *want, char got[SLU_ID_MAX])
{
	SLU_AUTO(slu_summer_done) struct slu_summer s;
	int r = slu_summer_begin(&s, want);

	while (r == 0) {
		ssize_t n = SLU_IO(read(fd, buf, PIECE));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		r = slu_summer_add(&s, buf, (size_t)n);
		pthread_mutex_lock(&v->lock);
		v->progress.bytes += (uint64_t)n;
		bool stop = v->rc;

		pthread_mutex_unlock(&v->lock);
		if (stop)
			return -ECANCELED;
	}
	return r == 0 ? slu_summer_end(&s, got) : r;
}

static int read_whole(struct verify *v, size_t at, int fd, char *buf, struct verdict *ret)
{
	char want[SLU_ID_MAX], got[SLU_ID_MAX];
	int r;

	if (!v->o->sum)
		snprintf(want, sizeof want, "%s", slu_manifest_at(v->m, at)->sum);
	else if (!v->o->sum(v->o->user, at, want)) {
		say(ret, SLU_VERIFY_DIFFERENT, "it was downloaded before its source changed");
		return 0;
	}
	/* What is in memory says nothing of the disk. */
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	r = sum_of(v, fd, buf, want, got);
	if (r == -ENOMEM || r == -ECANCELED)
		return r;
	if (r)
		say(ret, SLU_VERIFY_UNREADABLE, "%s", strerror(-r));
	else if (!got[0])
		ret->unchecked = true;
	else if (!slu_streq(want, got))
		say(ret, SLU_VERIFY_DIFFERENT, "its checksum is %s, not %s", got, want);
	return 0;
}

static int look(struct verify *v, size_t at, char *buf, struct verdict *ret)
{
	const struct slu_file *f = slu_manifest_at(v->m, at);
	SLU_AUTO(slu_closep)
	int fd = slu_path_open(v->dirfd, f->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0,
			       SLU_LINKS_NONE);
	struct stat st;

	*ret = (struct verdict){0};
	if (fd == -ENOENT || fd == -ENOTDIR)
		say(ret, SLU_VERIFY_MISSING, "it is not there");
	else if (fd == -ELOOP)
		say(ret, SLU_VERIFY_DIFFERENT, "there is a symbolic link instead");
	else if (fd < 0)
		say(ret, SLU_VERIFY_UNREADABLE, "%s", strerror(-fd));
	else if (fstat(fd, &st))
		say(ret, SLU_VERIFY_UNREADABLE, "%s", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		say(ret, SLU_VERIFY_DIFFERENT, "it is no file");
	else if ((uint64_t)st.st_size != f->size)
		say(ret, SLU_VERIFY_DIFFERENT, "it has %llu bytes, not %llu",
		    (unsigned long long)st.st_size, (unsigned long long)f->size);
	else
		return read_whole(v, at, fd, buf, ret);
	return 0;
}

/* Lock held. */
static void found(struct verify *v, size_t at, const char *path, const struct verdict *d)
{
	uint64_t *counts[] = {&v->n.missing, &v->n.different, &v->n.extra, &v->n.unreadable};
	int r;

	++*counts[d->what];
	if (!v->o->found || v->rc)
		return;
	r = v->o->found(v->o->user, d->what, at, path, d->why);
	if (r) {
		v->rc = r;
		slu_fail_sys(&v->err, -r, "cannot tell of '%s'", path);
	}
}

static int one(struct verify *v, size_t at, char *buf)
{
	struct verdict d;
	int r = look(v, at, buf, &d);

	if (r)
		return r;
	pthread_mutex_lock(&v->lock);
	v->progress.files++;
	if (d.bad) {
		found(v, at, slu_manifest_at(v->m, at)->path, &d);
	} else {
		v->n.files++;
		v->n.bytes += slu_manifest_at(v->m, at)->size;
		v->n.unchecked += d.unchecked;
	}
	pthread_mutex_unlock(&v->lock);
	return 0;
}

/* The next file for a worker; false: there is none. */
static bool next(struct verify *v, size_t *ret)
{
	size_t n = slu_manifest_count(v->m), at;
	bool stop;

	do {
		pthread_mutex_lock(&v->lock);
		at = v->next;
		stop = v->rc || at >= n;
		v->next += !stop;
		pthread_mutex_unlock(&v->lock);
	} while (!stop && v->o->wanted && !v->o->wanted(v->o->user, at));
	*ret = at;
	return !stop;
}

static void work(struct slu_work *w)
{
	struct worker *k = (struct worker *)((char *)w - offsetof(struct worker, work));
	struct verify *v = k->v;
	struct slu_err e = {0};
	size_t at;
	int r = 0;

	while (!r && next(v, &at))
		r = one(v, at, k->buf);
	if (r) {
		slu_fail_sys(&e, -r, "cannot verify '%s'", v->target);
		fail(v, r, &e);
	}
	pthread_mutex_lock(&v->lock);
	v->running--;
	pthread_cond_broadcast(&v->cond);
	pthread_mutex_unlock(&v->lock);
}

/* Until all workers ended, telling how far they are. */
static void watch(struct verify *v)
{
	pthread_mutex_lock(&v->lock);
	while (v->running) {
		int64_t tick = slu_deadline_in(TICK_NS);
		struct timespec at = {.tv_sec = tick / SLU_SEC, .tv_nsec = tick % SLU_SEC};
		struct slu_progress p;

		if (pthread_cond_timedwait(&v->cond, &v->lock, &at) != ETIMEDOUT || !v->o->progress)
			continue;
		p = v->progress;
		pthread_mutex_unlock(&v->lock);
		bool stop = v->o->progress(v->o->user, &p);

		pthread_mutex_lock(&v->lock);
		if (stop && !v->rc)
			v->rc = slu_fail(&v->err, ECANCELED, "verifying '%s' was canceled",
					 v->target);
	}
	pthread_mutex_unlock(&v->lock);
}

/* --- what is there besides --- */

static int extra_in(struct verify *v, int fd, const char *path, struct slu_err *e);

static int extra(struct verify *v, int dirfd, const struct dirent *de, const char *path,
		 struct slu_err *e)
{
	int fd = -1;

	if (slu_manifest_find(v->m, path) != SIZE_MAX)
		return 0;
	if (de->d_type == DT_DIR || de->d_type == DT_UNKNOWN) {
		fd = openat(dirfd, de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno != ENOTDIR && errno != ELOOP && errno != ENOENT)
			return slu_fail_sys(e, errno, "cannot open '%s' in '%s'", path, v->target);
	}
	if (fd >= 0)
		return extra_in(v, fd, path, e);
	pthread_mutex_lock(&v->lock);
	found(v, SIZE_MAX, path,
	      &(struct verdict){.what = SLU_VERIFY_EXTRA, .why = "it does not belong there"});
	pthread_mutex_unlock(&v->lock);
	return v->rc;
}

/* fd is closed. */
static int extra_in(struct verify *v, int fd, const char *path, struct slu_err *e)
{
	SLU_AUTO(slu_closedirp) DIR *dir = fdopendir(fd);
	const struct dirent *de;
	int r = 0;

	if (!dir) {
		r = slu_fail_sys(e, errno, "cannot read '%s' in '%s'", path, v->target);
		close(fd);
		return r;
	}
	while (!r && (de = readdir(dir))) {
		if (slu_streq(de->d_name, ".") || slu_streq(de->d_name, "..") ||
		    (!*path && slu_starts(de->d_name, OURS)))
			continue;
		SLU_AUTO(slu_freep) char *whole = slu_path_join(path, de->d_name);

		r = whole ? extra(v, fd, de, whole, e) : slu_fail_oom(e);
	}
	return r;
}

static int run(struct verify *v, struct slu_pool *pool, struct worker *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		w[i].v = v;
		w[i].work.fn = work;
		w[i].buf = slu_malloc(PIECE);
		if (!w[i].buf)
			return slu_fail_oom(&v->err);
	}
	v->running = n;
	for (unsigned i = 0; i < n; i++)
		slu_pool_add(pool, &w[i].work);
	watch(v);
	if (!v->rc && v->o->extra) {
		int fd = openat(v->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int r = fd < 0 ? slu_fail_sys(&v->err, errno, "cannot read '%s'", v->target)
			       : extra_in(v, fd, "", &v->err);

		if (!v->rc)
			v->rc = r;
	}
	return v->rc;
}

static unsigned job_count(const struct slu_manifest *m, unsigned jobs)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (!jobs)
		jobs = cores > 0 ? (unsigned)cores : 1;
	if (jobs > JOBS_MAX)
		jobs = JOBS_MAX;
	if (jobs > slu_manifest_count(m))
		jobs = (unsigned)slu_manifest_count(m);
	return jobs;
}

int slu_verify(const struct slu_manifest *m, int dirfd, const char *target,
	       const struct slu_verify_opts *o, struct slu_pool *pool,
	       struct slu_verify_counts *ret, struct slu_err *e)
{
	unsigned n = job_count(m, o->jobs);
	struct worker *w = slu_calloc(n + 1, sizeof *w);
	struct verify v = {.m = m, .dirfd = dirfd, .target = target, .o = o};
	pthread_condattr_t attr;
	int r;

	if (!w)
		return slu_fail_oom(e);
	v.progress.files_total = slu_manifest_count(m);
	v.progress.bytes_total = slu_manifest_bytes(m);
	pthread_mutex_init(&v.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&v.cond, &attr);
	pthread_condattr_destroy(&attr);
	r = run(&v, pool, w, n);
	if (!r && o->progress)
		(void)o->progress(o->user, &v.progress);
	pthread_cond_destroy(&v.cond);
	pthread_mutex_destroy(&v.lock);
	for (unsigned i = 0; i < n; i++)
		free(w[i].buf);
	free(w);
	if (r && e)
		*e = v.err;
	if (!r)
		*ret = v.n;
	return r;
}
