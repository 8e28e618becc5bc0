/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Temporary files of blocks, see local_temp.h.  A sweep may come between the creation of a file and its
 * lock; the creator then finds its file without a name and begins again.
 */
#include "fs/local_temp.h"

#include "common/cleanup.h"
#include "common/fault.h"
#include "common/hash.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "fs/local_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>

#define SWEPT_MAX 4096 /* folders remembered */
#define AGAIN 16

struct slu_local_temps {
	pthread_mutex_t lock;
	struct slu_hash *open;  /* store path of the file -> descriptor + 1 */
	struct slu_hash *swept; /* folder -> 1 */
};

int slu_local_temps_new(struct slu_local_temps **ret)
{
	struct slu_local_temps *ts = slu_new0(struct slu_local_temps);

	if (!ts)
		return -ENOMEM;
	ts->open = slu_hash_new();
	ts->swept = slu_hash_new();
	if (!ts->open || !ts->swept) {
		slu_hash_free(ts->open, NULL);
		slu_hash_free(ts->swept, NULL);
		free(ts);
		return -ENOMEM;
	}
	pthread_mutex_init(&ts->lock, NULL);
	*ret = ts;
	return 0;
}

static void close_value(void *value)
{
	close((int)(intptr_t)value - 1);
}

void slu_local_temps_free(struct slu_local_temps *ts)
{
	if (!ts)
		return;
	slu_hash_free(ts->open, close_value);
	slu_hash_free(ts->swept, NULL);
	pthread_mutex_destroy(&ts->lock);
	free(ts);
}

/* Only names that this driver makes: a user's own `.sluice-notes` is not ours to remove. */
static bool is_ours(const char *name)
{
	const char *txn = slu_after(name, LOCAL_TEMP);
	size_t n = txn ? strspn(txn, "0123456789abcdef") : 0;

	return n == SLU_TXN_MAX - 1 && txn[n] == '\0';
}

static void remove_if_dead(int dir, const char *name)
{
	SLU_AUTO(slu_closep)
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    flock(fd, LOCK_EX | LOCK_NB) < 0)
		return;
	(void)unlinkat(dir, name, 0);
}

static void sweep(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SLU_AUTO(slu_closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		slu_closep(&fd);
		return;
	}
	while ((e = readdir(d)))
		if (is_ours(e->d_name))
			remove_if_dead(dir, e->d_name);
}

static void sweep_once(struct slu_local_temps *ts, int dir, const char *where)
{
	if (slu_hash_get(ts->swept, where) || slu_hash_count(ts->swept) >= SWEPT_MAX)
		return;
	if (slu_hash_put(ts->swept, where, ts))
		sweep(dir);
}

static int make(int dir, const char *name)
{
	struct stat st;

	for (int i = 0; i < AGAIN; i++) {
		SLU_AUTO(slu_closep)
		int fd = SLU_IO(
			openat(dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666));

		if (fd < 0)
			return -errno;
		/* A file system without locks has no sweeps either: they cannot lock. */
		while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
			;
		if (fstat(fd, &st) < 0)
			return -errno;
		if (st.st_nlink > 0)
			return slu_take_fd(fd);
	}
	return -EBUSY;
}

static int get_locked(struct slu_local_temps *ts, const char *key, int dir, const char *where,
		      const char *name)
{
	void *value = slu_hash_get(ts->open, key);

	if (value)
		return (int)(intptr_t)value - 1;
	sweep_once(ts, dir, where);

	int fd = make(dir, name);

	if (fd >= 0 && !slu_hash_put(ts->open, key, (void *)(intptr_t)(fd + 1))) {
		close(fd);
		return -ENOMEM;
	}
	return fd;
}

int slu_local_temps_get(struct slu_local_temps *ts, int dir, const char *where, const char *name)
{
	SLU_AUTO(slu_freep) char *key = slu_path_join(where, name);

	if (!key)
		return -ENOMEM;
	pthread_mutex_lock(&ts->lock);
	int fd = get_locked(ts, key, dir, where, name);

	pthread_mutex_unlock(&ts->lock);
	return fd;
}

int slu_local_temps_find(struct slu_local_temps *ts, const char *where, const char *name)
{
	SLU_AUTO(slu_freep) char *key = slu_path_join(where, name);

	if (!key)
		return -ENOMEM;
	pthread_mutex_lock(&ts->lock);
	void *value = slu_hash_get(ts->open, key);

	pthread_mutex_unlock(&ts->lock);
	return value ? (int)(intptr_t)value - 1 : -ENOENT;
}

void slu_local_temps_drop(struct slu_local_temps *ts, const char *where, const char *name)
{
	SLU_AUTO(slu_freep) char *key = slu_path_join(where, name);

	if (!key)
		return; /* it is closed with the store */
	pthread_mutex_lock(&ts->lock);
	void *value = slu_hash_del(ts->open, key);

	pthread_mutex_unlock(&ts->lock);
	if (value)
		close_value(value);
}
