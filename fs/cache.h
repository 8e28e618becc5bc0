/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk cache: what was read of remote files, kept on a local disk of this node.  One folder a user;
 * mounts, downloads and the library share it at the same time and after a crash or a reboot.  It is a layer on
 * top of a store's stack: a READ that is pinned (if_match) and says how long the file is (op->size) is
 * looked up, what is missing is fetched and written behind.  An entry is keyed by store, path, identity,
 * length and credential scope, so other bytes of the same name are another entry.  Every block of 64 KiB is
 * checked by its CRC32C whenever it is read; what is torn, flipped or cut is a miss and fetched again.
 * The format and what may happen to it at any instant: docs/cache.md.  Any thread.
 */
#ifndef SLU_FS_CACHE_H
#define SLU_FS_CACHE_H

#include "common/cleanup.h"
#include "fs/store.h"

struct json_t;
struct slu_budget;
struct slu_cache;
struct slu_tree;

#define SLU_CACHE_BLOCK (64u << 10)
/* Shorter files are kept in one file each, with their map; longer ones as two, of which one holds nothing
 * but the bytes (slu_cache_whole). */
#define SLU_CACHE_SMALL (1u << 20)

struct slu_cache_conf {
	const char *dir;           /* absolute; made (0700) when absent */
	bool existing;             /* nothing is made: -ENOENT when no cache is there */
	uint64_t max;              /* bytes on disk; 0: only the reserve limits it */
	uint64_t reserve;          /* bytes of the file system that stay free; 0: 150 MB */
	double prune_at;           /* share of max at which the least recently used go; 0: 1.0 */
	double prune_to;           /* share of max that is left then; 0: 0.7 */
	uint64_t write_queue;      /* bytes in memory that wait to be written; 0: 512 MB */
	unsigned threads;          /* that look up and write; 0: by the cores */
	struct slu_budget *budget; /* that the queue draws on, too; NULL: the process's */
};

/* $SLUICE_CACHE_DIR, else $XDG_CACHE_HOME/sluice, else $HOME/.cache/sluice; caller frees. */
int slu_cache_default_dir(char **ret, struct slu_err *e);
/* Refused with the remedy: a folder that others own or may write or read (-EPERM), a network or FUSE file system
 * (-EXDEV), nonsense limits (-EINVAL).  Threads start when first needed. */
int slu_cache_open(const struct slu_cache_conf *conf, struct slu_cache **ret, struct slu_err *e);
/* After the stores that use it.  Writes what waits to be written. */
void slu_cache_free(struct slu_cache *c); /* NULL fine */
SLU_DEFINE_CLEANUP(struct slu_cache *, slu_cache_free, slu_cache_freep)
const char *slu_cache_where(const struct slu_cache *c);
/* Waits until nothing is left to be written. */
void slu_cache_flush(struct slu_cache *c);

/* Puts the layer on top of *s, which has to honour if_match.  store: what names the place on any node,
 * "https://account.../container"; scope: by which right it is read, never a secret itself.  Both are
 * copied.  0, -ENOMEM, or -ENOTSUP; then *s is as before. */
int slu_cache_push(struct slu_store **s, struct slu_cache *c, const char *store, const char *scope);
/* The cache of a stack, NULL: it has none. */
struct slu_cache *slu_cache_of(struct slu_store *s);

enum { SLU_CACHE_NOWAIT = 1u << 0 };
/* A read-only descriptor (the caller's) of exactly the file's bytes, from offset 0 to its end, when all of
 * them are in the cache of store s and were checked since this machine booted; for FUSE passthrough and for
 * reflinks.  They stay the same for as long as it is open, also when the entry is evicted.
 *   -ENODATA  no cache, not all of it is there, or shorter than SLU_CACHE_SMALL (read it instead)
 *   -EAGAIN   with SLU_CACHE_NOWAIT only: it is there but not checked yet; the check has been started
 * Without NOWAIT it may read the whole file once.  With it, it does a few system calls. */
int slu_cache_whole(struct slu_store *s, const char *path, const char *id, uint64_t size,
		    unsigned flags, int *ret_fd);
/* Is every block of that file there by its map?  Reads no data. */
bool slu_cache_has(struct slu_store *s, const char *path, const char *id, uint64_t size);

struct slu_cache_counts {
	uint64_t hits, hit_bytes;    /* reads, or parts of reads, that came from the disk */
	uint64_t misses, miss_bytes; /* those that were fetched */
	uint64_t written;            /* bytes of data that were written */
	uint64_t bad;                /* blocks whose CRC was wrong: fetched again */
	uint64_t evicted;            /* entries that this process removed for room */
	uint64_t refused;            /* bytes not written: no room, or an error of the disk */
	uint64_t queued;             /* bytes of memory that wait to be written now */
};
void slu_cache_counted(struct slu_cache *c, struct slu_cache_counts *ret);

/* --- management; each reads the whole folder --- */

/* {"dir", "files", "complete", "bytes", "max_bytes", "reserve_bytes", "free_bytes", "stores": [{"store",
 * "files", "complete", "bytes"}]}; bytes are of the disk.  The caller frees *ret. */
int slu_cache_stat(struct slu_cache *c, struct json_t **ret, struct slu_err *e);
/* Checks every block; what is wrong is dropped.  {"files", "blocks", "bytes", "bad_blocks",
 * "dropped_files", "leftover_files"}; leftovers are of processes that were killed, and no harm. */
int slu_cache_verify(struct slu_cache *c, struct json_t **ret, struct slu_err *e);
/* Removes every entry; open ones stay readable where they are open.  {"files", "bytes"}. */
int slu_cache_clear(struct slu_cache *c, struct json_t **ret, struct slu_err *e);
/* Reads every file of t that is not whole in the cache of its store.  Non-zero of fn cancels.  {"files",
 * "bytes": of t, "fetched_bytes"}.  -ENOSPC: not all of it fits; -ENOTSUP: a store has no cache.  Blocks. */
typedef int slu_cache_progress_fn(void *user, uint64_t files, uint64_t bytes);
int slu_cache_warm(struct slu_tree *t, slu_cache_progress_fn *fn, void *user, struct json_t **ret,
		   struct slu_err *e);

#endif
