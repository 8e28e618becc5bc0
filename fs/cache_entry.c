/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry of the disk cache: its names, its header, its records, and reading its blocks.  A record is read from
 * the map each time, so what other processes wrote is seen at once and nothing is kept per block.  What is not
 * exactly right is a miss; nothing here reports an error.
 */
#include "fs/cache_impl.h"

#include "common/fault.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define IDLE_MAX 64 /* entries kept open that nobody uses */
#define LOOK_NS SLU_SEC
#define TOUCH_NS (60 * SLU_SEC)
#define SEEN_MAX (8u << 20) /* blocks of a file that are told apart: 512 GiB */
#define AT_ONCE                                                                                    \
	4 /* blocks that are read before they are checked: they are in the core's cache then */
#define LOCAL 136 /* records on the stack: 8 MiB and two ends */

static const uint8_t magic[8] = {'s', 'l', 'u', 'c', 'a', 'c', 'h', '1'};

/* --- names --- */

static char *join_text(const char *const *part, size_t n, size_t *ret_len)
{
	size_t len = 0;
	char *text, *p;

	for (size_t i = 0; i < n; i++)
		len += strlen(part[i]) + 1;
	text = p = slu_malloc(len);
	for (size_t i = 0; text && i < n; i++) {
		size_t k = strlen(part[i]) + 1;

		memcpy(p, part[i], k);
		p += k;
	}
	*ret_len = len;
	return text;
}

static int set_name(struct slu_centry *e)
{
	uint8_t sum[SLU_DIGEST_MAX];
	char hex[41];
	SLU_AUTO(slu_hasher_freep) struct slu_hasher *h = NULL;
	uint64_t size = htole64(e->size);

	if (slu_hasher_new(SLU_SHA256, &h) < 0 || slu_hasher_add(h, e->text, e->ntext) < 0 ||
	    slu_hasher_add(h, &size, sizeof(size)) < 0 || slu_hasher_end(h, sum) < 0)
		return -EIO;
	slu_hex(hex, sum, 20);
	snprintf(e->name, sizeof(e->name), "%.2s/%s", hex, hex + 2);
	e->seed = slu_crc32c(0, sum, sizeof(sum));
	return 0;
}

static void entry_free(struct slu_centry *e)
{
	if (e->map >= 0)
		close(e->map);
	if (e->data >= 0 && !e->small)
		close(e->data);
	pthread_mutex_destroy(&e->lock);
	free(e->key);
	free(e->text);
	free(e->seen);
	free(e);
}

static struct slu_centry *entry_new(struct slu_cache *c, char *key, const char *const part[4],
				    uint64_t size)
{
	struct slu_centry *e = slu_new0(struct slu_centry);

	if (!e) {
		free(key);
		return NULL;
	}
	e->c = c;
	e->key = key;
	e->size = size;
	e->map = e->data = -1;
	e->small = size < SLU_CACHE_SMALL;
	e->nblocks = (size + SLU_CACHE_BLOCK - 1) / SLU_CACHE_BLOCK;
	pthread_mutex_init(&e->lock, NULL);
	e->text = join_text(part, 4, &e->ntext);
	e->head = (sizeof(struct slu_chead) + e->ntext + 7) & ~(size_t)7;
	if (e->small)
		e->data_off = (e->head + e->nblocks * sizeof(struct slu_crec) + 63) & ~63ull;
	else if (e->nblocks <= SEEN_MAX)
		e->seen = slu_calloc((size_t)(e->nblocks + 7) / 8, 1);
	if (!e->text || set_name(e) < 0) {
		entry_free(e);
		return NULL;
	}
	return e;
}

/* --- the table --- */

/* Cache lock held. */
static void unlist(struct slu_centry *e)
{
	struct slu_cache *c = e->c;

	*(e->older ? &e->older->newer : &c->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &c->newest) = e->older;
	e->older = e->newer = NULL;
	c->nidle--;
}

/* Cache lock held.  The next who asks gets another one, which looks anew. */
static void forget(struct slu_centry *e)
{
	if (!e->key)
		return;
	slu_hash_del(e->c->entries, e->key);
	free(slu_take(e->key));
}

struct slu_centry *slu_centry_get(struct slu_cache *c, uint64_t owner, const char *store,
				  const char *scope, const char *path, const char *id,
				  uint64_t size)
{
	char *key = slu_asprintf("%llu/%s/%llu/%s", (unsigned long long)owner, id,
				 (unsigned long long)size, path);
	struct slu_centry *e;

	if (!key)
		return NULL;
	pthread_mutex_lock(&c->lock);
	e = slu_hash_get(c->entries, key);
	if (e) {
		if (!e->refs++)
			unlist(e);
		free(key);
	} else {
		e = entry_new(c, key, (const char *const[]){store, scope, path, id}, size);
		if (e && !slu_hash_put(c->entries, key, e)) {
			entry_free(e);
			e = NULL;
		}
		if (e)
			e->refs = 1;
	}
	pthread_mutex_unlock(&c->lock);
	return e;
}

void slu_centry_unref(struct slu_centry *e)
{
	struct slu_cache *c = e->c;
	struct slu_centry *dead = NULL;

	pthread_mutex_lock(&c->lock);
	if (--e->refs == 0 && !e->key) {
		dead = e;
	} else if (e->refs == 0) {
		e->older = c->newest;
		*(c->newest ? &c->newest->newer : &c->oldest) = e;
		c->newest = e;
		if (++c->nidle > IDLE_MAX) {
			dead = c->oldest;
			unlist(dead);
			forget(dead);
		}
	}
	pthread_mutex_unlock(&c->lock);
	if (dead)
		entry_free(dead);
}

static bool is_gone(const struct slu_centry *e)
{
	struct stat st;

	return (e->map >= 0 && fstat(e->map, &st) == 0 && st.st_nlink == 0) ||
	       (e->data >= 0 && !e->small && fstat(e->data, &st) == 0 && st.st_nlink == 0);
}

/* Takes them out under the lock, closes them without it: the last close of a long file takes time. */
static void free_idle(struct slu_cache *c, bool all)
{
	struct slu_centry *dead = NULL;

	pthread_mutex_lock(&c->lock);
	for (struct slu_centry *e = c->oldest, *next; e; e = next) {
		next = e->newer;
		if (!all && !is_gone(e))
			continue;
		unlist(e);
		forget(e);
		e->newer = dead;
		dead = e;
	}
	pthread_mutex_unlock(&c->lock);
	while (dead) {
		struct slu_centry *e = dead;

		dead = e->newer;
		entry_free(e);
	}
}

void slu_centry_idle_free(struct slu_cache *c)
{
	free_idle(c, false);
}

void slu_centry_all_free(struct slu_cache *c)
{
	free_idle(c, true);
}

/* Now and then: is it still in the folder, and when was it last used? */
static void look_after(struct slu_centry *e)
{
	int64_t now = slu_now(), then = atomic_load(&e->looked);
	struct stat st;

	if (then && now - then < LOOK_NS)
		return;
	atomic_store(&e->looked, now);
	if (is_gone(e)) {
		pthread_mutex_lock(&e->c->lock);
		forget(e);
		pthread_mutex_unlock(&e->c->lock);
	} else if (fstat(e->map, &st) == 0 &&
		   slu_wall() - ((int64_t)st.st_mtim.tv_sec * SLU_SEC + st.st_mtim.tv_nsec) >
			   TOUCH_NS) {
		futimens(e->map, NULL);
	}
}

/* --- header and records --- */

void slu_chead_make(const struct slu_centry *e, struct slu_chead *ret)
{
	*ret = (struct slu_chead){
		.head = htole32((uint32_t)e->head),
		.block = htole32(SLU_CACHE_BLOCK),
		.size = htole64(e->size),
		.ntext = htole32((uint32_t)e->ntext),
	};
	memcpy(ret->magic, magic, sizeof(magic));
	uint32_t crc = slu_crc32c(0, ret, offsetof(struct slu_chead, checked));

	ret->crc = htole32(slu_crc32c(crc, e->text, e->ntext));
}

static uint32_t rec_check(const struct slu_centry *e, uint64_t block, uint32_t crc)
{
	uint64_t what[2] = {htole64(block), htole64(crc)};
	uint32_t check = slu_crc32c(e->seed, what, sizeof(what));

	return check ? check : 1;
}

bool slu_crec_right(const struct slu_centry *e, uint64_t block, const struct slu_crec *r)
{
	return r->check && le32toh(r->check) == rec_check(e, block, le32toh(r->crc));
}

struct slu_crec slu_crec_make(const struct slu_centry *e, uint64_t block, uint32_t crc)
{
	return (struct slu_crec){htole32(crc), htole32(rec_check(e, block, crc))};
}

/* All of it, or what there is: its length, -EAGAIN, or -errno. */
static ssize_t read_at(int fd, enum slu_cmode mode, void *buf, size_t n, uint64_t off)
{
	size_t got = 0;

	while (got < n) {
		struct iovec v = {(char *)buf + got, n - got};
		ssize_t k = SLU_IO(preadv2(fd, &v, 1, (off_t)(off + got),
					   mode == SLU_C_NOWAIT ? RWF_NOWAIT : 0));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return mode == SLU_C_NOWAIT ? -EAGAIN : -errno;
		if (k == 0)
			return mode == SLU_C_NOWAIT && got ? -EAGAIN : (ssize_t)got;
		got += (size_t)k;
	}
	return (ssize_t)got;
}

int slu_centry_recs(struct slu_centry *e, enum slu_cmode mode, uint64_t first, size_t n,
		    struct slu_crec *ret)
{
	ssize_t k = read_at(e->map, mode, ret, n * sizeof(*ret), e->head + first * sizeof(*ret));

	if (k == -EAGAIN)
		return -EAGAIN;
	if (k < 0)
		k = 0;
	memset((char *)ret + k, 0, n * sizeof(*ret) - (size_t)k);
	return 0;
}

/* The header has to be ours, the mark apart. */
static bool head_right(struct slu_centry *e, int map, enum slu_cmode mode, int *ret_again)
{
	struct slu_chead want, got;
	char text[1024];
	size_t at = 0;

	slu_chead_make(e, &want);
	ssize_t n = read_at(map, mode, &got, sizeof(got), 0);

	*ret_again = n == -EAGAIN;
	got.checked = 0;
	if (n != sizeof(got) || memcmp(&got, &want, sizeof(got)) != 0)
		return false;
	while (at < e->ntext) {
		size_t k = e->ntext - at < sizeof(text) ? e->ntext - at : sizeof(text);

		n = read_at(map, mode, text, k, sizeof(got) + at);
		*ret_again = n == -EAGAIN;
		if (n != (ssize_t)k || memcmp(text, e->text + at, k) != 0)
			return false;
		at += k;
	}
	return true;
}

/* n strings, each with its NUL, and nothing else. */
static bool split_text(const char *text, size_t len, const char *part[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t k = strnlen(text, len);

		if (k == len)
			return false;
		part[i] = text;
		text += k + 1;
		len -= k + 1;
	}
	return len == 0;
}

#define TEXT_MAX (64u << 10)

struct slu_centry *slu_centry_of_file(struct slu_cache *c, const struct slu_cfile *f,
				      char **ret_store)
{
	SLU_AUTO(slu_closep) int fd = openat(f->dirfd, f->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_centry *e = NULL;
	const char *part[4];
	struct slu_chead h;

	if (fd < 0 || read_at(fd, SLU_C_READ, &h, sizeof(h), 0) != sizeof(h) ||
	    memcmp(h.magic, magic, sizeof(magic)) != 0 || le32toh(h.ntext) > TEXT_MAX)
		return NULL;
	size_t n = le32toh(h.ntext);

	text = slu_malloc(n + 1);
	if (text && read_at(fd, SLU_C_READ, text, n, sizeof(h)) == (ssize_t)n &&
	    split_text(text, n, part, 4))
		e = slu_centry_get(c, 0, part[0], part[1], part[2], part[3], le64toh(h.size));
	if (!e)
		return NULL;
	/* Where it lies proves the key; opening it compares the rest of the header. */
	size_t stem = strlen(f->name) - 2;

	if (strlen(e->name + 3) != stem || memcmp(e->name + 3, f->name, stem) != 0 ||
	    slu_centry_open(e, SLU_C_READ) < 0) {
		slu_centry_unref(e);
		return NULL;
	}
	*ret_store = slu_strdup(part[0]);
	return e;
}

/* --- open --- */

static int open_one(struct slu_centry *e, char suffix, enum slu_cmode mode)
{
	char name[SLU_CNAME + 4];
	int fd;

	snprintf(name, sizeof(name), "%s.%c", e->name, suffix);
	if (mode == SLU_C_NOWAIT) {
		struct open_how how = {.flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC,
				       .resolve = RESOLVE_BENEATH | RESOLVE_CACHED};

		fd = (int)SLU_IO(syscall(SYS_openat2, e->c->fd, name, &how, sizeof(how)));
		return fd >= 0 ? fd : errno == ENOENT ? -ENOENT : -EAGAIN;
	}
	int flags = O_RDWR | O_NOFOLLOW | (mode >= SLU_C_CREATE ? O_CREAT : 0) |
		    (mode == SLU_C_NEW ? O_EXCL : 0);

	fd = SLU_IO(openat(e->c->fd, name, flags | O_CLOEXEC, 0600));
	if (fd < 0 && errno == ENOENT && mode >= SLU_C_CREATE) {
		char dir[3] = {e->name[0], e->name[1], '\0'};

		if (mkdirat(e->c->fd, dir, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = SLU_IO(openat(e->c->fd, name, flags | O_CLOEXEC, 0600));
	}
	return fd < 0 ? -errno : fd;
}

int slu_centry_create(struct slu_centry *e, struct iovec *v, int n, size_t len)
{
	int r = 0, fd = -1;

	pthread_mutex_lock(&e->lock);
	if (e->small && atomic_load(&e->map) < 0)
		fd = open_one(e, 's', SLU_C_NEW);
	if (fd >= 0) {
		/* Should it be cut off here: the header comes first, and the CRCs tell. */
		ssize_t k = SLU_IO(pwritev(fd, v, n, 0));

		r = k < 0 ? -errno : (size_t)k != len ? -ENOSPC : 0;
		atomic_store(&e->data, fd);
		atomic_store(&e->map, fd);
	}
	pthread_mutex_unlock(&e->lock);
	return fd < 0 ? -EEXIST : r;
}

/* Entry lock held.  A header that is not right: the entry begins anew, since records that nobody looked at would
 * keep wrong bytes from being written over. */
static int mend_locked(struct slu_centry *e, int map, int data)
{
	struct slu_chead head;
	struct stat st;
	int again;

	if (head_right(e, map, SLU_C_READ, &again))
		return 0; /* another process was at it */
	slu_chead_make(e, &head);
	struct iovec v[2] = {{&head, sizeof(head)}, {e->text, e->ntext}};

	if (SLU_IO(ftruncate(map, 0)) < 0)
		return -errno;
	if (SLU_IO(pwritev(map, v, 2, 0)) != (ssize_t)(sizeof(head) + e->ntext))
		return -EIO;
	if (!e->small &&
	    (SLU_IO(fstat(data, &st)) < 0 ||
	     ((uint64_t)st.st_size != e->size && SLU_IO(ftruncate(data, (off_t)e->size)) < 0)))
		return -errno;
	return 0;
}

static int mend(struct slu_centry *e, int map, int data)
{
	int64_t until = slu_deadline_in(SLU_CACHE_LOCK_NS);
	int r;

	while (flock(map, LOCK_EX | LOCK_NB) < 0)
		if (!slu_cache_lock_again(until))
			return -EBUSY;
	r = mend_locked(e, map, data);
	flock(map, LOCK_UN);
	return r;
}

/* Entry lock held. */
static int open_both(struct slu_centry *e, enum slu_cmode mode, int *map, int *data)
{
	int again, r = 0;

	*map = open_one(e, e->small ? 's' : 'm', mode);
	if (*map < 0)
		return *map;
	*data = e->small ? *map : open_one(e, 'd', mode);
	if (*data < 0)
		return *data;
	if (!head_right(e, *map, mode, &again))
		r = again ? -EAGAIN : mode == SLU_C_CREATE ? mend(e, *map, *data) : -ENOENT;
	return r;
}

int slu_centry_open(struct slu_centry *e, enum slu_cmode mode)
{
	int map = -1, data = -1, r = 0;

	if (atomic_load(&e->map) >= 0) {
		look_after(e);
		return 0;
	}
	if (mode == SLU_C_NOWAIT && pthread_mutex_trylock(&e->lock) != 0)
		return -EAGAIN;
	if (mode != SLU_C_NOWAIT)
		pthread_mutex_lock(&e->lock);
	if (atomic_load(&e->map) < 0) {
		r = open_both(e, mode, &map, &data);
		if (r == 0) {
			atomic_store(&e->data, data);
			atomic_store(&e->map, map);
		} else {
			if (data >= 0 && data != map)
				close(data);
			if (map >= 0)
				close(map);
		}
	}
	pthread_mutex_unlock(&e->lock);
	if (r == 0)
		look_after(e);
	return r;
}

/* --- read --- */

void slu_centry_saw(struct slu_centry *e, uint64_t first, uint64_t n)
{
	if (!e->seen)
		return;
	pthread_mutex_lock(&e->lock);
	for (uint64_t i = first; i < first + n; i++) {
		uint8_t bit = (uint8_t)(1u << (i & 7));

		e->nseen += !(e->seen[i / 8] & bit);
		e->seen[i / 8] |= bit;
	}
	pthread_mutex_unlock(&e->lock);
}

struct look {
	struct slu_centry *e;
	enum slu_cmode mode;
	uint64_t off, end; /* of the request */
	char *buf;         /* of off */
	uint64_t first;    /* block of rec[0] */
	struct slu_crec *rec;
};

/* The record of block i promised bytes that are not there.  It goes, here and in the map: they will be fetched
 * again, and have the same record. */
static void reject(struct look *l, uint64_t i)
{
	slu_cadd(&l->e->c->n.bad, 1);
	slu_centry_drop(l->e, i, 1);
	l->rec[i - l->first] = (struct slu_crec){0};
}

/* Is block i, whose bytes are here, right? */
static bool judge(struct look *l, uint64_t i, const char *p)
{
	if (slu_crc32c(0, p, slu_cblock_len(l->e, i)) == le32toh(l->rec[i - l->first].crc))
		return true;
	reject(l, i);
	return false;
}

/* A block of which the request wants a part. */
static int read_part(struct look *l, uint64_t i)
{
	uint64_t at = i * SLU_CACHE_BLOCK, from = at < l->off ? l->off : at;
	size_t n = slu_cblock_len(l->e, i);
	uint64_t to = at + n > l->end ? l->end : at + n;
	SLU_AUTO(slu_freep) char *whole = slu_malloc(n);
	ssize_t k = whole ? read_at(l->e->data, l->mode, whole, n, l->e->data_off + at) : -ENOMEM;

	if (k == -EAGAIN)
		return -EAGAIN;
	if (k != (ssize_t)n)
		reject(l, i);
	else if (judge(l, i, whole))
		memcpy(l->buf + (from - l->off), whole + (from - at), (size_t)(to - from));
	return 0;
}

/* Whole blocks [i, z) whose records are right. */
static int read_run(struct look *l, uint64_t i, uint64_t z)
{
	uint64_t at = i * SLU_CACHE_BLOCK;
	uint64_t n = (z - i - 1) * SLU_CACHE_BLOCK + slu_cblock_len(l->e, z - 1);
	char *p = l->buf + (at - l->off);
	ssize_t k = read_at(l->e->data, l->mode, p, (size_t)n, l->e->data_off + at);

	if (k == -EAGAIN)
		return -EAGAIN;
	for (; i < z; i++, p += SLU_CACHE_BLOCK) {
		if (k < 0 || (uint64_t)k < (i * SLU_CACHE_BLOCK - at) + slu_cblock_len(l->e, i))
			reject(l, i);
		else
			judge(l, i, p);
	}
	return 0;
}

static bool is_part(const struct look *l, uint64_t i)
{
	uint64_t at = i * SLU_CACHE_BLOCK;

	return at < l->off || at + slu_cblock_len(l->e, i) > l->end;
}

static int read_blocks(struct look *l, uint64_t last)
{
	int r = 0;

	for (uint64_t i = l->first, z; i <= last && r == 0; i = z) {
		z = i + 1;
		if (!slu_crec_right(l->e, i, &l->rec[i - l->first]))
			continue;
		if (is_part(l, i)) {
			r = read_part(l, i);
			continue;
		}
		while (z <= last && z - i < AT_ONCE &&
		       slu_crec_right(l->e, z, &l->rec[z - l->first]) && !is_part(l, z))
			z++;
		r = read_run(l, i, z);
	}
	return r;
}

/* From the first block that is not there to the last. */
static void find_miss(const struct look *l, uint64_t last, struct slu_cspan *miss)
{
	uint64_t i = l->first, z = last + 1, end;

	while (i <= last && l->rec[i - l->first].check)
		i++;
	while (z > i && l->rec[z - 1 - l->first].check)
		z--;
	*miss = (struct slu_cspan){0};
	if (i == z)
		return;
	end = (z - 1) * SLU_CACHE_BLOCK + slu_cblock_len(l->e, z - 1);
	miss->off = i * SLU_CACHE_BLOCK < l->off ? l->off : i * SLU_CACHE_BLOCK;
	miss->len = (end > l->end ? l->end : end) - miss->off;
}

int slu_centry_read(struct slu_centry *e, enum slu_cmode mode, uint64_t off, size_t len, char *buf,
		    struct slu_cspan *miss)
{
	struct look l = {e, mode, off, off + len, buf, off / SLU_CACHE_BLOCK, NULL};
	uint64_t last = (l.end - 1) / SLU_CACHE_BLOCK;
	size_t n = (size_t)(last - l.first + 1);
	struct slu_crec local[LOCAL];
	SLU_AUTO(slu_freep) struct slu_crec *more = NULL;
	int r = slu_centry_open(e, mode);

	if (r == -EAGAIN && mode == SLU_C_NOWAIT)
		return -EAGAIN;
	if (n > LOCAL)
		more = slu_reallocarray(NULL, n, sizeof(*more));
	l.rec = n > LOCAL ? more : local;
	*miss = (struct slu_cspan){off, len};
	if (r < 0 || !l.rec)
		return 0;
	r = slu_centry_recs(e, mode, l.first, n, l.rec);
	for (size_t i = 0; i < n; i++)
		if (!slu_crec_right(e, l.first + i, &l.rec[i]))
			l.rec[i] = (struct slu_crec){0};
	if (r == 0)
		r = read_blocks(&l, last);
	if (r < 0)
		return r;
	find_miss(&l, last, miss);
	if (!miss->len)
		slu_centry_saw(e, l.first, n);
	return 0;
}
