/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this process did: counters, gauges and latencies, for `sluice stats` and the bench.  One set a
 * process, nothing to set up; a count is one relaxed atomic addition.  Whoever knows a fact counts it
 * where it happens.  Any thread, also with locks held.
 */
#ifndef SLU_FS_STATS_H
#define SLU_FS_STATS_H

#include "common/time.h"
#include "fs/op.h"

#include <stddef.h>
#include <stdint.h>

struct json_t;

/* Things that have a latency.  The names (slu_stat_kind_name) are "fuse_read", "store_read", ... */
enum slu_stat_kind {
	SLU_STAT_FUSE_LOOKUP,
	SLU_STAT_FUSE_GETATTR,
	SLU_STAT_FUSE_OPEN,
	SLU_STAT_FUSE_READ, /* until it is answered, whoever answers */
	SLU_STAT_FUSE_READDIR,
	SLU_STAT_FUSE_OTHER,
	SLU_STAT_STORE, /* + enum slu_op_type: with the retries of the op */
	SLU_STAT_KINDS = SLU_STAT_STORE + _SLU_OP_MAX
};

enum slu_stat {
	SLU_STAT_ASKED,         /* bytes that programs asked a mount for, past the kernel's cache */
	SLU_STAT_ANSWERED,      /* bytes that it answered with */
	SLU_STAT_HIT_MEMORY,    /* of those, bytes that were in memory: read ahead or prefetched */
	SLU_STAT_HIT_JOINED,    /* bytes that were on their way already */
	SLU_STAT_HIT_CACHE,     /* bytes from the disk cache */
	SLU_STAT_FETCHED,       /* bytes that came from stores */
	SLU_STAT_SENT,          /* bytes that went to stores */
	SLU_STAT_RETRIES,       /* ops that went to the store once more */
	SLU_STAT_THROTTLED,     /* times that a store was too busy */
	SLU_STAT_HEDGES,        /* ops asked for twice */
	SLU_STAT_HEDGES_WON,    /* of those, where the second answer was the first to come */
	SLU_STAT_PREFETCHES,    /* files fetched before they were read, by guess or order */
	SLU_STAT_PREFETCH_HITS, /* of those, read afterwards */
	SLU_STAT_PREFETCH_LOST, /* of those, dropped unread */
	SLU_STAT_GUESS_STOPS,   /* times that wrong guesses ended the guessing */
	SLU_STAT_WRITTEN,       /* bytes that programs wrote into a mount */
	SLU_STAT_STREAMED,      /* bytes that were sent while their file was being written */
	SLU_STAT_COMMITS,       /* written files that stores have */
	SLU_STAT_COMMITS_BAD,   /* times that a store did not take one */
	SLU_STAT_SET_ASIDE,     /* written files whose bytes lie in kept/ */
	SLU_STAT_COUNTERS
};

/* What is now, with its peak. */
enum slu_stat_gauge {
	SLU_GAUGE_FUSE_READS, /* READs of programs that wait for an answer */
	SLU_GAUGE_QUEUED,     /* ops that wait for room in an account's window */
	SLU_GAUGE_FLIGHT,     /* ops at a store */
	SLU_GAUGES
};

void slu_stat_add(enum slu_stat what, uint64_t n);
uint64_t slu_stat_get(enum slu_stat what);
void slu_stat_move(enum slu_stat_gauge what, int n); /* +1 it began, -1 it ended */
/* It took ns; rc: 0 or -errno, counted by errno. */
void slu_stat_took(enum slu_stat_kind kind, int64_t ns, int rc);

static inline void slu_stat_since(enum slu_stat_kind kind, int64_t begun, int rc)
{
	slu_stat_took(kind, slu_now() - begun, rc);
}

const char *slu_stat_name(enum slu_stat what); /* "fetched" */
const char *slu_stat_gauge_name(enum slu_stat_gauge what);
const char *slu_stat_kind_name(enum slu_stat_kind kind);

/* --- latencies: a histogram, four buckets to each doubling of a microsecond (so within 25 %) --- */

#define SLU_HIST_BUCKETS 120 /* the last one begins beyond an hour */
unsigned slu_hist_bucket(int64_t ns);
int64_t slu_hist_end(unsigned bucket); /* ns: its values are below */
/* The value that `part` (0..1) of all samples do not exceed, as the end of its bucket; 0: no samples. */
int64_t slu_hist_quantile(const uint64_t counts[SLU_HIST_BUCKETS], double part);

/* All of it, and the process's budget, CPU time and memory:
 *   {"counters": {name: n}, "gauges": {name: {"now", "peak"}}, "errors": {"EIO": n},
 *    "kinds": {name: {"count", "errors", "us": total, "p50_us", "p99_us", "hist": {bucket: n}}},
 *    "budget": {"limit", "used", "peak", "refused", "waited"}, "process": {"pid", "cpu_us", "rss",
 *    "cores"}, "at_ms": monotonic}
 * Kinds that never happened are left out.  NULL: no memory. */
struct json_t *slu_stats_json(void);
/* Counts go to this memory (SLU_STATS_SIZE bytes, zero or as a process before this one left them) from now
 * on, with what was counted so far; NULL: to our own again, before the other goes. */
#define SLU_STATS_SIZE (24u << 10)
void slu_stats_home(void *memory);
/* Forgets everything, for tests: nothing else may count meanwhile. */
void slu_stats_reset(void);

/* --- stats_verdict.c --- */

/* One sentence that names what reading waits for, and the remedy.  now, before: what a mount answers to
 * "stats"; before NULL: since it began. */
#define SLU_VERDICT 256
void slu_stats_verdict(const struct json_t *now, const struct json_t *before,
		       char out[SLU_VERDICT]);

#endif
