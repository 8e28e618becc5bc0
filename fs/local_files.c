/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors open for reading, so that a READ need not open.  The key holds the identity that the
 * file had when it was opened: a file replaced since keeps serving the bytes that its readers are
 * pinned to, while readers of the new one get a descriptor of their own.  Whether a descriptor
 * still has its identity is for the reader to check; what that cannot show, a write after which the
 * time was set back, the ctime does.
 */
#include "fs/local_parts.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>

#define FILES_MAX 128
#define FILES_MIN 2

struct slu_local_file {
	int fd;
	struct stat st;                     /* when it was opened; fixed */
	int64_t used;                       /* asked for last */
	unsigned refs;                      /* the cache counts as one */
	bool cached;                        /* in the table and the list */
	struct slu_local_file *prev, *next; /* of the list, most recent first */
	char key[];
};

struct slu_local_files {
	pthread_mutex_t lock; /* guards all, also of each file */
	struct slu_hash *by_key;
	struct slu_local_file head; /* of the ring */
	size_t n, max;

	struct slu_work work; /* of the pool, while trimming */
	struct slu_pool *pool;
	int64_t idle;
	bool trimming;
	pthread_cond_t trimmed;
};

/* A quarter of the descriptors that this process may have: others need some too. */
static size_t files_max(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur / 4 >= FILES_MAX)
		return FILES_MAX;
	return lim.rlim_cur / 4 < FILES_MIN ? FILES_MIN : (size_t)lim.rlim_cur / 4;
}

int slu_local_files_new(struct slu_local_files **ret)
{
	struct slu_local_files *fs = slu_new0(struct slu_local_files);

	if (!fs)
		return -ENOMEM;
	fs->by_key = slu_hash_new();
	if (!fs->by_key) {
		free(fs);
		return -ENOMEM;
	}
	pthread_mutex_init(&fs->lock, NULL);
	pthread_cond_init(&fs->trimmed, NULL);
	fs->head.prev = fs->head.next = &fs->head;
	fs->max = files_max();
	*ret = fs;
	return 0;
}

static void unlink_file(struct slu_local_file *f)
{
	f->prev->next = f->next;
	f->next->prev = f->prev;
}

static void link_first(struct slu_local_files *fs, struct slu_local_file *f)
{
	f->prev = &fs->head;
	f->next = fs->head.next;
	f->prev->next = f->next->prev = f;
}

/* True: the last reference is gone and the caller closes, without the lock. */
static bool unref(struct slu_local_file *f)
{
	return --f->refs == 0;
}

static bool uncache(struct slu_local_files *fs, struct slu_local_file *f)
{
	if (!f->cached)
		return false;
	f->cached = false;
	slu_hash_del(fs->by_key, f->key);
	unlink_file(f);
	fs->n--;
	return unref(f);
}

static void destroy(struct slu_local_file *f)
{
	close(f->fd);
	free(f);
}

void slu_local_files_free(struct slu_local_files *fs)
{
	if (!fs)
		return;
	pthread_mutex_lock(&fs->lock);
	while (fs->trimming && !slu_pool_cancel(fs->pool, &fs->work))
		pthread_cond_wait(&fs->trimmed, &fs->lock);
	pthread_mutex_unlock(&fs->lock);
	while (fs->head.next != &fs->head) {
		struct slu_local_file *f = fs->head.next;

		if (uncache(fs, f))
			destroy(f);
	}
	slu_hash_free(fs->by_key, NULL);
	pthread_cond_destroy(&fs->trimmed);
	pthread_mutex_destroy(&fs->lock);
	free(fs);
}

struct slu_local_file *slu_local_files_get(struct slu_local_files *fs, const char *key)
{
	struct slu_local_file *f;

	pthread_mutex_lock(&fs->lock);
	f = slu_hash_get(fs->by_key, key);
	if (f) {
		f->refs++;
		f->used = slu_now();
		unlink_file(f);
		link_first(fs, f);
	}
	pthread_mutex_unlock(&fs->lock);
	return f;
}

struct slu_local_file *slu_local_files_add(struct slu_local_files *fs, const char *key, int fd)
{
	size_t n = strlen(key) + 1;
	struct slu_local_file *f = slu_malloc(sizeof(*f) + n), *old = NULL, *out = NULL;

	if (!f) {
		close(fd);
		return NULL;
	}
	*f = (struct slu_local_file){.fd = fd, .refs = 1, .used = slu_now()};
	if (fstat(fd, &f->st) < 0) {
		destroy(f);
		return NULL;
	}
	memcpy(f->key, key, n);
	pthread_mutex_lock(&fs->lock);
	old = slu_hash_get(fs->by_key, key);
	if (old && !uncache(fs, old))
		old = NULL;
	/* a table without memory costs speed, not the read */
	if (slu_hash_put(fs->by_key, key, f)) {
		f->cached = true;
		f->refs++;
		link_first(fs, f);
		fs->n++;
	}
	if (fs->n > fs->max) {
		out = fs->head.prev;
		if (!uncache(fs, out))
			out = NULL;
	}
	pthread_mutex_unlock(&fs->lock);
	if (old)
		destroy(old);
	if (out)
		destroy(out);
	return f;
}

void slu_local_files_drop(struct slu_local_files *fs, struct slu_local_file *f)
{
	pthread_mutex_lock(&fs->lock);
	uncache(fs, f); /* never the last: the caller has one */
	pthread_mutex_unlock(&fs->lock);
}

void slu_local_files_put(struct slu_local_files *fs, struct slu_local_file *f)
{
	bool last;

	pthread_mutex_lock(&fs->lock);
	last = unref(f);
	pthread_mutex_unlock(&fs->lock);
	if (last)
		destroy(f);
}

void slu_local_files_renamed(struct slu_local_files *fs, const char *path)
{
	struct slu_local_file *gone = NULL, *next;

	pthread_mutex_lock(&fs->lock);
	for (struct slu_local_file *f = fs->head.next; f != &fs->head; f = next) {
		const char *of = strchr(f->key, '/'); /* after the identity */

		next = f->next;
		if (!of || !slu_streq(of + 1, path) || !uncache(fs, f))
			continue;
		f->next = gone;
		gone = f;
	}
	pthread_mutex_unlock(&fs->lock);
	while (gone) {
		next = gone->next;
		destroy(gone);
		gone = next;
	}
}

/* --- what nobody can open any more --- */

/* Lock held.  Those that rest, least recently used first, each with a reference. */
static size_t resting(struct slu_local_files *fs, struct slu_local_file *ret[FILES_MAX])
{
	int64_t before = slu_now() - fs->idle;
	size_t n = 0;

	for (struct slu_local_file *f = fs->head.prev;
	     f != &fs->head && n < FILES_MAX && f->used <= before; f = f->prev) {
		if (f->refs > 1)
			continue;
		f->refs++;
		ret[n++] = f;
	}
	return n;
}

/* A network file system may make the fstat wait: on the pool, without the lock. */
static void trim(struct slu_work *w)
{
	struct slu_local_files *fs =
		(struct slu_local_files *)((char *)w - offsetof(struct slu_local_files, work));
	struct slu_local_file *f[FILES_MAX];
	size_t n;

	pthread_mutex_lock(&fs->lock);
	n = resting(fs, f);
	pthread_mutex_unlock(&fs->lock);
	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (!fstat(slu_local_file_fd(f[i]), &st) && !st.st_nlink)
			slu_local_files_drop(fs, f[i]);
		slu_local_files_put(fs, f[i]);
	}
	pthread_mutex_lock(&fs->lock);
	fs->trimming = false;
	pthread_cond_broadcast(&fs->trimmed);
	pthread_mutex_unlock(&fs->lock);
}

void slu_local_files_trim(struct slu_local_files *fs, struct slu_pool *pool, int64_t idle_ns)
{
	bool begin;

	pthread_mutex_lock(&fs->lock);
	begin = !fs->trimming && fs->head.prev != &fs->head;
	if (begin) {
		fs->trimming = true;
		fs->pool = pool;
		fs->idle = idle_ns;
		fs->work = (struct slu_work){.fn = trim, .low = true};
		slu_pool_add(pool, &fs->work);
	}
	pthread_mutex_unlock(&fs->lock);
}

int slu_local_file_fd(const struct slu_local_file *f)
{
	return f->fd;
}

bool slu_local_file_touched(const struct slu_local_file *f, const struct stat *now)
{
	return (f->st.st_ctim.tv_sec != now->st_ctim.tv_sec ||
		f->st.st_ctim.tv_nsec != now->st_ctim.tv_nsec) &&
	       f->st.st_nlink == now->st_nlink && f->st.st_mode == now->st_mode &&
	       f->st.st_uid == now->st_uid && f->st.st_gid == now->st_gid;
}
