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

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>

#define FILES_MAX 128
#define FILES_MIN 2

struct slu_local_file {
	int fd;
	struct stat st;                     /* when it was opened; fixed */
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
	while (fs->head.next != &fs->head) {
		struct slu_local_file *f = fs->head.next;

		if (uncache(fs, f))
			destroy(f);
	}
	slu_hash_free(fs->by_key, NULL);
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
	*f = (struct slu_local_file){.fd = fd, .refs = 1};
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
