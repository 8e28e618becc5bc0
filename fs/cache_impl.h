/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the disk cache: cache.c (the layer), cache_dir.c (the folder), cache_entry.c (one file: open and read),
 * cache_write.c (one file: write and check), cache_space.c (how much there may be), cache_manage.c and
 * cache_warm.c.  Format and reasons: docs/cache.md.
 *
 *   DIR/v1/use           bytes in use, by all processes; locked shared while a process writes
 *   DIR/v1/ab/<38>.s     short file: map, then data
 *   DIR/v1/ab/<38>.m .d  long file: map; data, nothing else
 *
 * Nothing that is written depends on when or by whom: the same key and the same bytes give the same header,
 * records and data.  So several processes write one entry without a lock, and a write is harmless where the
 * same was written before.
 */
#ifndef SLU_FS_CACHE_IMPL_H
#define SLU_FS_CACHE_IMPL_H

#include "common/hash.h"
#include "fs/cache.h"
#include "io/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define SLU_CNAME 48 /* "ab/<38 hex>.m" and NUL */

/* What a map begins with; little endian. */
struct slu_chead {
	uint8_t magic[8];
	uint32_t head;  /* bytes before the records */
	uint32_t block; /* SLU_CACHE_BLOCK */
	uint64_t size;  /* of the file */
	uint32_t ntext; /* of the key: store, scope, path, identity, each with its NUL */
	uint32_t zero;
	uint64_t checked; /* mark of the boot in which all was checked; not part of the CRC */
	uint8_t zeros[20];
	uint32_t crc; /* of the bytes before `checked` and of the key */
};

/* One for each block; all zero: not there. */
struct slu_crec {
	uint32_t crc; /* CRC32C of the block's bytes */
	uint32_t
		check; /* of key, number of the block and crc: a record that is torn, or of another place,
			 * is none */
};

struct slu_cache {
	char *dir;
	int fd; /* of DIR/v1 */
	struct slu_cache_conf conf;
	uint8_t boot[32]; /* digest of the boot's id */
	struct slu_pool *pool;

	pthread_mutex_t lock; /* entries and the queue */
	pthread_cond_t idle;
	struct slu_hash *entries;           /* key -> struct slu_centry */
	struct slu_centry *oldest, *newest; /* that nobody uses */
	unsigned nidle;
	uint64_t queued;  /* bytes of copies that wait */
	unsigned pending; /* works in the pool */

	pthread_mutex_t space; /* what follows; held over file I/O */
	int use_fd;
	bool joined;       /* holds its lock */
	uint64_t credit;   /* bytes that are counted in `use` and not written yet */
	int64_t off_until; /* nothing is written before: the disk is full or failed */

	struct {
		atomic_uint_least64_t hits, hit_bytes, misses, miss_bytes, written, bad, evicted,
			refused;
	} n;
};

/* One entry as this process has it.  Its descriptors are opened late and then stay. */
struct slu_centry {
	struct slu_cache *c;
	char *key;            /* in the table; NULL: not in it any more */
	char name[SLU_CNAME]; /* without suffix */
	char *text;           /* of the header */
	size_t ntext, head;
	uint32_t seed; /* of the records' checks */
	uint64_t size, nblocks, data_off;
	bool small;
	unsigned refs; /* cache lock, as the list */
	struct slu_centry *older, *newer;

	atomic_int map, data; /* -1: not open */
	pthread_mutex_t lock; /* opening, and what follows */
	uint8_t *seen;        /* blocks that this process wrote or checked; long files only */
	uint64_t nseen;
	bool stamped;
	atomic_int_least64_t looked; /* when it was last seen to be in the folder, and touched */
};

static inline void slu_cadd(atomic_uint_least64_t *to, uint64_t n)
{
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

/* --- cache_dir.c --- */

#define SLU_CDIRS 256
void slu_cdir_name(unsigned i, char out[3]);
/* A file of the scan; bytes of the disk.  An entry of two files is told once. */
struct slu_cfile {
	int dirfd;
	const char *name; /* in dirfd: "<38>.s", ".m", or ".d" of which there is no map */
	uint64_t bytes;
	int64_t used_ns; /* wall clock */
};
/* Every entry; fn's non-zero ends it and is returned. */
int slu_cache_scan(struct slu_cache *c, int (*fn)(void *user, const struct slu_cfile *f),
		   void *user);
/* Removes it; the map goes first, so that data without a map is all that a crash leaves. */
void slu_cfile_remove(const struct slu_cfile *f);

/* --- cache_entry.c --- */

/* With a reference; NULL: no memory.  owner: number of the layer, 0: none. */
struct slu_centry *slu_centry_get(struct slu_cache *c, uint64_t owner, const char *store,
				  const char *scope, const char *path, const char *id,
				  uint64_t size);
void slu_centry_unref(struct slu_centry *e);
/* The entry that a map (name in dirfd, of folder "ab") says it is, with a reference; NULL: it is none, or torn.
 * *ret_store: what it is of, the caller frees. */
struct slu_centry *slu_centry_of_file(struct slu_cache *c, const struct slu_cfile *f,
				      char **ret_store);
void slu_centry_idle_free(
	struct slu_cache *c); /* those that nobody uses and that are out of the folder */
void slu_centry_all_free(struct slu_cache *c);

enum slu_cmode {
	SLU_C_NOWAIT, /* -EAGAIN where a disk would have to be waited for */
	SLU_C_READ,
	SLU_C_CREATE,
	SLU_C_NEW /* inside: must not be there */
};
/* 0; -ENOENT: nothing (right) there. */
int slu_centry_open(struct slu_centry *e, enum slu_cmode mode);

struct iovec;
/* A short file that is not there yet, whole, in one write.  -EEXIST: it is there, or no short one. */
int slu_centry_create(struct slu_centry *e, struct iovec *v, int n, size_t len);

/* The part that is missing; len 0: nothing. */
struct slu_cspan {
	uint64_t off;
	uint64_t len;
};
/* Fills buf with what is there and right, miss is one span around all that is not.  0, or -EAGAIN with
 * NOWAIT (buf is rubbish then); everything else that goes wrong is a miss. */
int slu_centry_read(struct slu_centry *e, enum slu_cmode mode, uint64_t off, size_t len, char *buf,
		    struct slu_cspan *miss);
bool slu_crec_right(const struct slu_centry *e, uint64_t block, const struct slu_crec *r);
struct slu_crec slu_crec_make(const struct slu_centry *e, uint64_t block, uint32_t crc);
int slu_centry_recs(struct slu_centry *e, enum slu_cmode mode, uint64_t first, size_t n,
		    struct slu_crec *ret);
void slu_chead_make(const struct slu_centry *e, struct slu_chead *ret);
static inline size_t slu_cblock_len(const struct slu_centry *e, uint64_t block)
{
	uint64_t left = e->size - block * SLU_CACHE_BLOCK;

	return left < SLU_CACHE_BLOCK ? (size_t)left : SLU_CACHE_BLOCK;
}
/* Blocks of e that this process knows to be right. */
void slu_centry_saw(struct slu_centry *e, uint64_t first, uint64_t n);

/* --- cache_write.c; may wait for the disk --- */

/* Keeps the whole blocks of the range that are not there yet. */
void slu_centry_write(struct slu_centry *e, uint64_t off, size_t len, const char *buf);
bool slu_centry_complete(struct slu_centry *e); /* by its records */
bool slu_centry_checked(struct slu_centry *e);  /* has the mark of this boot */
/* Reads all of it; true: it is right, and now has the mark. */
bool slu_centry_check(struct slu_centry *e);
void slu_centry_stamp(struct slu_centry *e); /* when all was seen */

/* Their records say that nothing is there. */
void slu_centry_drop(struct slu_centry *e, uint64_t first, uint64_t n);

/* --- cache_space.c --- */

/* How long another process may have a lock: it may be stopped meanwhile, and nobody stops with it. */
#define SLU_CACHE_LOCK_NS (2 * SLU_SEC)
/* A lock was refused with errno: waits a moment.  False: that was all, or it failed. */
bool slu_cache_lock_again(int64_t until);

int slu_cspace_open(struct slu_cache *c, struct slu_err *e);
void slu_cspace_close(struct slu_cache *c);
void slu_cspace_count(struct slu_cache *c); /* after entries were removed: what is in use? */
/* May `bytes` more be written?  Makes room when it has to.  False: no. */
bool slu_cspace_take(struct slu_cache *c, uint64_t bytes);
void slu_cspace_failed(struct slu_cache *c,
		       int err); /* a write did: nothing is written for a while */
bool slu_cspace_off(struct slu_cache *c);

/* --- cache.c --- */

/* The work is counted, so that the cache is not freed under it. */
void slu_cache_begin(struct slu_cache *c, uint64_t bytes);
void slu_cache_end(struct slu_cache *c, uint64_t bytes);

#endif
