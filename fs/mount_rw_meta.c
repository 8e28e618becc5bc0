/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of what no store keeps (mount_rw_meta.h), and its log for the next worker: a memory file that the
 * supervisor keeps, records "WHAT MODE UID GID MTIME OF ATIME PATH NUL", of which the last one of a path counts; WHAT
 * 0: nothing is set.  When it has grown it is written anew.  Times of change are not in it.
 */
#include "fs/mount_rw_meta.h"

#include "common/buf.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENTRIES_MAX 1000000u
#define LOG_FIRST (1u << 20)
#define LOG_MAX (512u << 20)
#define PERMS 07777u
#define CHANGED 32u /* ctime_ns counts */

struct meta {
	unsigned what;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint64_t of;
	int64_t mtime_ns, atime_ns, ctime_ns;
};

struct slu_mmetas {
	const struct slu_mlink *link;
	pthread_mutex_t lock; /* what follows */
	struct slu_hash *h;
	int fd; /* the log; -1: nobody keeps it */
	size_t len, max;
};

static int64_t ns_of(const struct timespec *t)
{
	return t->tv_sec * SLU_SEC + t->tv_nsec;
}

static struct timespec time_of(int64_t ns)
{
	int64_t rest = ns % SLU_SEC;

	if (rest < 0)
		rest += SLU_SEC;
	return (struct timespec){.tv_sec = (ns - rest) / SLU_SEC, .tv_nsec = rest};
}

/* --- the log; lock held --- */

static void put(struct slu_buf *b, const char *path, const struct meta *m)
{
	slu_buf_fmt(b, "%u %u %u %u %lld %llu %lld %s", m->what & ~CHANGED, (unsigned)m->mode,
		    (unsigned)m->uid, (unsigned)m->gid, (long long)m->mtime_ns,
		    (unsigned long long)m->of, (long long)m->atime_ns, path);
	slu_buf_ch(b, '\0');
}

static void put_one(const char *path, void *meta, void *buf)
{
	const struct meta *m = meta;

	if (m->what & ~CHANGED)
		put(buf, path, m);
}

static void begin_anew(struct slu_mmetas *t)
{
	SLU_AUTO(slu_closep) int fd = memfd_create("sluice-meta", MFD_CLOEXEC);
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(LOG_MAX);

	slu_hash_each(t->h, put_one, &b);
	if (fd < 0 || slu_buf_err(&b) || !slu_buf_write_fd(&b, fd) ||
	    slu_mlink_keep(t->link, SLU_KEEP_META, fd)) {
		slu_debug("mount", "modes and times cannot be written down");
		return;
	}
	slu_closep(&t->fd);
	t->fd = slu_take_fd(fd);
	t->len = b.len;
	t->max = 4 * b.len > LOG_FIRST ? 4 * b.len : LOG_FIRST;
}

static void note(struct slu_mmetas *t, const char *path, const struct meta *m)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64u << 10);

	if (t->fd < 0)
		return;
	put(&b, path, m);
	if (!slu_buf_err(&b) && slu_buf_write_fd(&b, t->fd))
		t->len += b.len;
	if (t->len > t->max)
		begin_anew(t);
}

/* The next number of a record; false: there is none. */
static char *word(char **p)
{
	char *at = *p, *end = at ? strchr(at, ' ') : NULL;

	if (!end)
		return NULL;
	*end = '\0';
	*p = end + 1;
	return at;
}

static bool number(char **p, int64_t *ret)
{
	const char *at = word(p);

	return at && slu_i64(at, INT64_MIN, INT64_MAX, ret);
}

static struct meta *entry(struct slu_mmetas *t, const char *path)
{
	struct meta *m = slu_hash_get(t->h, path);

	if (m || slu_hash_count(t->h) >= ENTRIES_MAX)
		return m;
	m = slu_new0(struct meta);
	if (m && !slu_hash_put(t->h, path, m)) {
		free(m);
		m = NULL;
	}
	return m;
}

static void load(struct slu_mmetas *t, char *record)
{
	int64_t what, mode, uid, gid;
	struct meta m = {0}, *to;
	const char *of = NULL;

	if (!number(&record, &what) || !number(&record, &mode) || !number(&record, &uid) ||
	    !number(&record, &gid) || !number(&record, &m.mtime_ns) || !(of = word(&record)) ||
	    !slu_u64(of, &m.of) || !number(&record, &m.atime_ns))
		return;
	m.what = (unsigned)what;
	m.mode = (mode_t)mode;
	m.uid = (uid_t)uid;
	m.gid = (gid_t)gid;
	if (!m.what)
		free(slu_hash_del(t->h, record));
	else if ((to = entry(t, record)))
		*to = m;
}

static void read_log(struct slu_mmetas *t, int fd)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(LOG_MAX);

	if (lseek(fd, 0, SEEK_SET) < 0 || slu_buf_read_fd(&b, fd) < 0)
		return;
	for (char *p = b.p, *end; p && (end = memchr(p, '\0', (size_t)(b.p + b.len - p)));
	     p = end + 1)
		load(t, p);
}

/* --- the table --- */

void slu_mmeta_show(struct slu_mmetas *t, const char *path, uint64_t of, struct stat *st)
{
	pthread_mutex_lock(&t->lock);
	const struct meta *m = slu_hash_get(t->h, path);

	if (m) {
		if (m->what & SLU_MMETA_MODE)
			st->st_mode = (st->st_mode & S_IFMT) | m->mode;
		if (m->what & SLU_MMETA_UID)
			st->st_uid = m->uid;
		if (m->what & SLU_MMETA_GID)
			st->st_gid = m->gid;
		if ((m->what & SLU_MMETA_MTIME) && (S_ISDIR(st->st_mode) || (of && m->of == of)))
			st->st_mtim = time_of(m->mtime_ns);
		if (m->what & SLU_MMETA_ATIME)
			st->st_atim = time_of(m->atime_ns);
		if ((m->what & CHANGED) && m->ctime_ns > ns_of(&st->st_ctim))
			st->st_ctim = time_of(m->ctime_ns);
	}
	pthread_mutex_unlock(&t->lock);
}

void slu_mmeta_set(struct slu_mmetas *t, const char *path, const struct stat *st, unsigned what,
		   uint64_t of)
{
	pthread_mutex_lock(&t->lock);
	struct meta *m = entry(t, path);

	if (m) {
		if (what & SLU_MMETA_MODE)
			m->mode = st->st_mode & PERMS;
		if (what & SLU_MMETA_UID)
			m->uid = st->st_uid;
		if (what & SLU_MMETA_GID)
			m->gid = st->st_gid;
		if (what & SLU_MMETA_MTIME) {
			m->mtime_ns = ns_of(&st->st_mtim);
			m->of = of;
		}
		if (what & SLU_MMETA_ATIME)
			m->atime_ns = ns_of(&st->st_atim);
		m->what |= what;
		note(t, path, m);
	}
	pthread_mutex_unlock(&t->lock);
}

bool slu_mmeta_time(struct slu_mmetas *t, const char *path, uint64_t of, int64_t *ret)
{
	pthread_mutex_lock(&t->lock);
	const struct meta *m = slu_hash_get(t->h, path);
	bool set = m && (m->what & SLU_MMETA_MTIME) && m->of == of;

	if (set)
		*ret = m->mtime_ns;
	pthread_mutex_unlock(&t->lock);
	return set;
}

void slu_mmeta_touch(struct slu_mmetas *t, const char *path, bool content)
{
	pthread_mutex_lock(&t->lock);
	struct meta *m = entry(t, path);

	if (m) {
		m->ctime_ns = slu_wall();
		m->what |= CHANGED;
		if (content) {
			m->mtime_ns = m->ctime_ns;
			m->what |= SLU_MMETA_MTIME;
			note(t, path, m);
		}
	}
	pthread_mutex_unlock(&t->lock);
}

struct below {
	const char *folder;
	char **p;
	size_t n, cap;
	bool full;
};

static void collect(const char *path, void *meta, void *below)
{
	struct below *b = below;
	const char *rest = slu_after(path, b->folder);
	char *copy;

	(void)meta;
	if (!rest || *rest != '/' || b->full)
		return;
	copy = slu_strdup(path);
	if (!copy || !slu_vec_push(b, copy)) {
		free(copy);
		b->full = true;
	}
}

/* Lock held. */
static struct meta *rename_one(struct slu_mmetas *t, const char *from, const char *to)
{
	static const struct meta none;
	struct meta *m = slu_hash_del(t->h, from), *old = slu_hash_del(t->h, to);

	if (m && !slu_hash_put(t->h, to, m)) {
		free(m);
		m = NULL;
	}
	note(t, from, &none);
	if (m || old)
		note(t, to, m ? m : &none);
	free(old);
	return m;
}

void slu_mmeta_move(struct slu_mmetas *t, const char *from, const char *to, uint64_t was,
		    uint64_t now)
{
	struct below b = {.folder = from};
	struct meta *m;

	pthread_mutex_lock(&t->lock);
	m = rename_one(t, from, to);
	if (m && now && (m->what & SLU_MMETA_MTIME) && m->of == was) {
		m->of = now;
		note(t, to, m);
	}
	if (!was)
		slu_hash_each(t->h, collect, &b);
	for (size_t k = 0; k < b.n; k++) {
		SLU_AUTO(slu_freep)
		char *path = slu_asprintf("%s%s", to, b.p[k] + strlen(from));

		if (path)
			(void)rename_one(t, b.p[k], path);
		free(b.p[k]);
	}
	pthread_mutex_unlock(&t->lock);
	free(b.p);
}

void slu_mmeta_drop(struct slu_mmetas *t, const char *path)
{
	static const struct meta none;

	pthread_mutex_lock(&t->lock);
	struct meta *m = slu_hash_del(t->h, path);

	if (m)
		note(t, path, &none);
	pthread_mutex_unlock(&t->lock);
	free(m);
}

/* --- life --- */

int slu_mmetas_new(const struct slu_mlink *link, struct slu_mmetas **ret, struct slu_err *e)
{
	struct slu_mmetas *t = slu_new0(struct slu_mmetas);
	int before = slu_mlink_kept(link, SLU_KEEP_META);

	if (t)
		t->h = slu_hash_new();
	if (!t || !t->h) {
		free(t);
		return slu_fail_oom(e);
	}
	t->link = link;
	t->fd = -1;
	pthread_mutex_init(&t->lock, NULL);
	if (before >= 0)
		read_log(t, before);
	if (!slu_mlink_alone(link))
		begin_anew(t);
	*ret = t;
	return 0;
}

void slu_mmetas_free(struct slu_mmetas *t)
{
	if (!t)
		return;
	slu_hash_free(t->h, free);
	slu_closep(&t->fd);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
