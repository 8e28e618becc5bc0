/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's file: a head, then records, little endian, appended by one process that holds the lock
 * of the folder.  A write that fails half-way is repeated at the same place, so that nothing whole comes
 * behind something torn.
 */
#include "fs/download_journal.h"

#include "common/fault.h"
#include "common/mem.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_NEW "journal-new"
#define HEAD "sluice download journal 1\n"
#define HELD_MAX 64        /* records */
#define HELD_BYTES 1048576 /* that they stand for */
#define ENTRIES_MAX (1ull << 27)
#define READ_RECORDS 4096

struct slu_dj {
	pthread_mutex_t lock;
	int dirfd, fd;
	uint64_t at; /* of the file, where held goes */
	uint64_t count, bytes;
	size_t n;
	uint8_t held[HELD_MAX * SLU_DJ_RECORD];
};

static void put(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void seal(uint8_t *p)
{
	put(p + SLU_DJ_RECORD - 4, slu_crc32c(0, p, SLU_DJ_RECORD - 4), 4);
}

static bool sealed(const uint8_t *p)
{
	return get(p + SLU_DJ_RECORD - 4, 4) == slu_crc32c(0, p, SLU_DJ_RECORD - 4);
}

static void pack(const struct slu_dj_entry *d, uint8_t *p)
{
	memset(p, 0, SLU_DJ_RECORD);
	memcpy(p, d->key, SLU_DJ_KEY);
	put(p + 16, d->n, 8);
	put(p + 24, d->unit, 4);
	put(p + 28, d->crc, 4);
	p[32] = d->kind;
	seal(p);
}

static bool unpack(const uint8_t *p, struct slu_dj_entry *d)
{
	memcpy(d->key, p, SLU_DJ_KEY);
	d->n = get(p + 16, 8);
	d->unit = (uint32_t)get(p + 24, 4);
	d->crc = (uint32_t)get(p + 28, 4);
	d->kind = p[32];
	d->live = false;
	return sealed(p) && (d->kind == SLU_DJ_WHOLE || (d->kind == SLU_DJ_CHUNK && d->unit > 0));
}

static int by_key(const void *a, const void *b)
{
	const struct slu_dj_entry *x = a, *y = b;
	int c = memcmp(x->key, y->key, SLU_DJ_KEY);

	if (c == 0)
		c = x->kind - y->kind;
	return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* Bytes that were read, fewer at the end. */
static ssize_t read_full(int fd, uint8_t *p, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = SLU_IO(read(fd, p + got, n - got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

/* Records until the first that is not whole; room is for all that the file can hold. */
static int read_records(int fd, struct slu_dj_entry *p, size_t room, size_t *ret_n)
{
	SLU_AUTO(slu_freep) uint8_t *buf = slu_malloc((size_t)READ_RECORDS * SLU_DJ_RECORD);
	size_t n = 0;

	if (!buf)
		return -ENOMEM;
	*ret_n = 0;
	ssize_t got = read_full(fd, buf, SLU_DJ_RECORD);

	if (got < 0)
		return (int)got;
	if (got < SLU_DJ_RECORD || !sealed(buf) || memcmp(buf, HEAD, strlen(HEAD)) != 0)
		return 0;
	for (;;) {
		got = read_full(fd, buf, (size_t)READ_RECORDS * SLU_DJ_RECORD);
		if (got < 0)
			return (int)got;
		for (ssize_t i = 0; i + SLU_DJ_RECORD <= got; i += SLU_DJ_RECORD) {
			if (n == room || !unpack(buf + i, &p[n])) {
				*ret_n = n;
				return 0;
			}
			n++;
		}
		if (got < READ_RECORDS * SLU_DJ_RECORD)
			break;
	}
	*ret_n = n;
	return 0;
}

int slu_dj_read(int dirfd, struct slu_dj_entry **ret, size_t *ret_n, struct slu_err *e)
{
	SLU_AUTO(slu_closep)
	int fd = SLU_IO(openat(dirfd, SLU_DJ_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
	SLU_AUTO(slu_freep) struct slu_dj_entry *p = NULL;
	struct stat st;
	size_t n = 0;
	int r;

	*ret = NULL;
	*ret_n = 0;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || SLU_IO(fstat(fd, &st)))
		return slu_fail_sys(e, errno, "cannot read the download's journal");
	uint64_t room = S_ISREG(st.st_mode) ? (uint64_t)st.st_size / SLU_DJ_RECORD : 0;

	if (room == 0)
		return 0;
	if (room > ENTRIES_MAX)
		room = ENTRIES_MAX;
	p = slu_reallocarray(NULL, (size_t)room, sizeof(*p));
	r = p ? read_records(fd, p, (size_t)room, &n) : -ENOMEM;
	if (r == -ENOMEM)
		return slu_fail_oom(e);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot read the download's journal");
	qsort(p, n, sizeof(*p), by_key);
	*ret = slu_take(p);
	*ret_n = n;
	return 0;
}

size_t slu_dj_find(const struct slu_dj_entry *p, size_t n, const uint8_t key[SLU_DJ_KEY],
		   size_t *ret_n)
{
	size_t lo = 0, hi = n, end;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (memcmp(p[mid].key, key, SLU_DJ_KEY) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (end = lo; end < n && !memcmp(p[end].key, key, SLU_DJ_KEY);)
		end++;
	*ret_n = end - lo;
	return lo;
}

int slu_dj_new(int dirfd, struct slu_dj **ret, struct slu_err *e)
{
	struct slu_dj *j = slu_new0(struct slu_dj);

	if (!j)
		return slu_fail_oom(e);
	j->dirfd = dirfd;
	j->fd = SLU_IO(openat(dirfd, NAME_NEW,
			      O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
	if (j->fd < 0) {
		int r = slu_fail_sys(e, errno, "cannot make the download's journal");

		free(j);
		return r;
	}
	pthread_mutex_init(&j->lock, NULL);
	memcpy(j->held, HEAD, strlen(HEAD));
	seal(j->held);
	j->n = 1;
	*ret = j;
	return 0;
}

/* Lock held. */
static int flush(struct slu_dj *j, struct slu_err *e)
{
	size_t len = j->n * SLU_DJ_RECORD;

	for (size_t n = 0; n < len;) {
		ssize_t r = SLU_IO(pwrite(j->fd, j->held + n, len - n, (off_t)(j->at + n)));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return slu_fail_sys(e, r ? errno : EIO,
					    "cannot write the download's journal");
		n += (size_t)r;
	}
	j->at += len;
	j->n = 0;
	j->bytes = 0;
	return 0;
}

int slu_dj_flush(struct slu_dj *j, struct slu_err *e)
{
	pthread_mutex_lock(&j->lock);
	int r = flush(j, e);
	pthread_mutex_unlock(&j->lock);
	return r;
}

int slu_dj_start(struct slu_dj *j, struct slu_err *e)
{
	int r = slu_dj_flush(j, e);

	if (r == 0 && SLU_IO(renameat(j->dirfd, NAME_NEW, j->dirfd, SLU_DJ_NAME)))
		r = slu_fail_sys(e, errno, "cannot begin the download's journal");
	return r;
}

int slu_dj_add(struct slu_dj *j, const struct slu_dj_entry *d, uint64_t bytes, struct slu_err *e)
{
	int r = 0;

	pthread_mutex_lock(&j->lock);
	if (j->n == HELD_MAX)
		r = flush(j, e);
	if (r == 0) {
		pack(d, j->held + j->n++ * SLU_DJ_RECORD);
		j->count++;
		j->bytes += bytes;
		if (j->bytes >= HELD_BYTES)
			r = flush(j, e);
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}

uint64_t slu_dj_count(struct slu_dj *j)
{
	pthread_mutex_lock(&j->lock);
	uint64_t n = j->count;
	pthread_mutex_unlock(&j->lock);
	return n;
}

void slu_dj_free(struct slu_dj *j)
{
	if (!j)
		return;
	close(j->fd);
	pthread_mutex_destroy(&j->lock);
	free(j);
}
