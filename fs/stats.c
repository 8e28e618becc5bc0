/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting.  Everything is one array of relaxed atomics: what is read together may be a few events
 * apart, which nobody who looks at a running process can tell.  What it means for the reader of the
 * numbers is said in stats_verdict.c.
 */
#include "fs/stats.h"

#include "common/json.h"
#include "fs/budget.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ERRNO_MAX 160

typedef atomic_uint_least64_t count_t;

struct took {
	count_t n, errors, us;
	count_t hist[SLU_HIST_BUCKETS];
};

struct numbers {
	count_t counters[SLU_STAT_COUNTERS];
	count_t errors[ERRNO_MAX];
	struct {
		atomic_int_least64_t now, peak;
	} gauges[SLU_GAUGES];
	struct took kinds[SLU_STAT_KINDS];
};
_Static_assert(sizeof(struct numbers) <= SLU_STATS_SIZE, "numbers have no room");

static struct numbers own;
static _Atomic(struct numbers *) where = &own;

static struct numbers *all(void)
{
	return atomic_load_explicit(&where, memory_order_relaxed);
}

static const char *const counter_names[SLU_STAT_COUNTERS] = {
	[SLU_STAT_ASKED] = "asked",
	[SLU_STAT_ANSWERED] = "answered",
	[SLU_STAT_HIT_MEMORY] = "hit_memory",
	[SLU_STAT_HIT_JOINED] = "hit_joined",
	[SLU_STAT_HIT_CACHE] = "hit_cache",
	[SLU_STAT_FETCHED] = "fetched",
	[SLU_STAT_SENT] = "sent",
	[SLU_STAT_RETRIES] = "retries",
	[SLU_STAT_THROTTLED] = "throttled",
	[SLU_STAT_HEDGES] = "hedges",
	[SLU_STAT_HEDGES_WON] = "hedges_won",
	[SLU_STAT_PREFETCHES] = "prefetches",
	[SLU_STAT_PREFETCH_HITS] = "prefetch_hits",
	[SLU_STAT_PREFETCH_LOST] = "prefetch_lost",
	[SLU_STAT_GUESS_STOPS] = "guess_stops",
	[SLU_STAT_WRITTEN] = "written",
	[SLU_STAT_STREAMED] = "streamed",
	[SLU_STAT_COMMITS] = "commits",
	[SLU_STAT_COMMITS_BAD] = "commits_bad",
	[SLU_STAT_SET_ASIDE] = "set_aside",
};

static const char *const gauge_names[SLU_GAUGES] = {
	[SLU_GAUGE_FUSE_READS] = "fuse_reads",
	[SLU_GAUGE_QUEUED] = "queued",
	[SLU_GAUGE_FLIGHT] = "flight",
};

static const char *const kind_names[SLU_STAT_KINDS] = {
	[SLU_STAT_FUSE_LOOKUP] = "fuse_lookup",
	[SLU_STAT_FUSE_GETATTR] = "fuse_getattr",
	[SLU_STAT_FUSE_OPEN] = "fuse_open",
	[SLU_STAT_FUSE_READ] = "fuse_read",
	[SLU_STAT_FUSE_READDIR] = "fuse_readdir",
	[SLU_STAT_FUSE_OTHER] = "fuse_other",
	[SLU_STAT_STORE + SLU_OP_STAT] = "store_stat",
	[SLU_STAT_STORE + SLU_OP_LIST] = "store_list",
	[SLU_STAT_STORE + SLU_OP_READ] = "store_read",
	[SLU_STAT_STORE + SLU_OP_PREFETCH] = "store_prefetch",
	[SLU_STAT_STORE + SLU_OP_PUT] = "store_put",
	[SLU_STAT_STORE + SLU_OP_PUT_BLOCK] = "store_put_block",
	[SLU_STAT_STORE + SLU_OP_COMMIT] = "store_commit",
	[SLU_STAT_STORE + SLU_OP_BLOCKS] = "store_blocks",
	[SLU_STAT_STORE + SLU_OP_ABORT] = "store_abort",
	[SLU_STAT_STORE + SLU_OP_DELETE] = "store_delete",
	[SLU_STAT_STORE + SLU_OP_RENAME] = "store_rename",
	[SLU_STAT_STORE + SLU_OP_MKDIR] = "store_mkdir",
	[SLU_STAT_STORE + SLU_OP_COPY] = "store_copy",
};

const char *slu_stat_name(enum slu_stat what)
{
	return counter_names[what];
}

const char *slu_stat_gauge_name(enum slu_stat_gauge what)
{
	return gauge_names[what];
}

const char *slu_stat_kind_name(enum slu_stat_kind kind)
{
	return kind_names[kind];
}

static void add(count_t *to, uint64_t n)
{
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static uint64_t get(count_t *from)
{
	return atomic_load_explicit(from, memory_order_relaxed);
}

void slu_stat_add(enum slu_stat what, uint64_t n)
{
	add(&all()->counters[what], n);
}

uint64_t slu_stat_get(enum slu_stat what)
{
	return get(&all()->counters[what]);
}

void slu_stat_move(enum slu_stat_gauge what, int n)
{
	int_least64_t now =
		atomic_fetch_add_explicit(&all()->gauges[what].now, n, memory_order_relaxed) + n;
	int_least64_t peak = atomic_load_explicit(&all()->gauges[what].peak, memory_order_relaxed);

	while (now > peak &&
	       !atomic_compare_exchange_weak_explicit(&all()->gauges[what].peak, &peak, now,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

void slu_stat_took(enum slu_stat_kind kind, int64_t ns, int rc)
{
	struct took *t = &all()->kinds[kind];

	add(&t->n, 1);
	add(&t->us, ns > 0 ? (uint64_t)ns / 1000 : 0);
	add(&t->hist[slu_hist_bucket(ns)], 1);
	if (rc >= 0)
		return;
	add(&t->errors, 1);
	add(&all()->errors[-rc < ERRNO_MAX ? -rc : 0], 1);
}

/* Buckets 0 to 3 are whole microseconds; from then on four to each doubling. */
unsigned slu_hist_bucket(int64_t ns)
{
	uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
	unsigned high, i;

	if (us < 4)
		return (unsigned)us;
	high = 63 - (unsigned)__builtin_clzll(us);
	i = (high - 1) * 4 + (unsigned)(us >> (high - 2) & 3);
	return i < SLU_HIST_BUCKETS ? i : SLU_HIST_BUCKETS - 1;
}

int64_t slu_hist_end(unsigned bucket)
{
	if (bucket < 4)
		return (bucket + 1) * 1000;
	return (int64_t)((bucket % 4 + 5ull) << (bucket / 4 - 1)) * 1000;
}

int64_t slu_hist_quantile(const uint64_t counts[SLU_HIST_BUCKETS], double part)
{
	uint64_t n = 0, below = 0;

	for (unsigned i = 0; i < SLU_HIST_BUCKETS; i++)
		n += counts[i];
	for (unsigned i = 0; n && i < SLU_HIST_BUCKETS; i++) {
		below += counts[i];
		if ((double)below >= part * (double)n)
			return slu_hist_end(i);
	}
	return 0;
}

/* --- as JSON --- */

static int set_new(struct json_t *o, const char *key, struct json_t **ret)
{
	*ret = slu_json_object();
	return slu_json_set(o, key, *ret);
}

static int set_counters(struct json_t *o)
{
	struct json_t *c;
	int r = set_new(o, "counters", &c);

	for (unsigned i = 0; !r && i < SLU_STAT_COUNTERS; i++)
		r = slu_json_set_int(c, counter_names[i], (int64_t)get(&all()->counters[i]));
	return r;
}

static int set_gauges(struct json_t *o)
{
	struct json_t *g, *one;
	int r = set_new(o, "gauges", &g);

	for (unsigned i = 0; !r && i < SLU_GAUGES; i++) {
		r = set_new(g, gauge_names[i], &one);
		if (!r)
			r = slu_json_set_int(one, "now", atomic_load(&all()->gauges[i].now));
		if (!r)
			r = slu_json_set_int(one, "peak", atomic_load(&all()->gauges[i].peak));
	}
	return r;
}

static int set_errors(struct json_t *o)
{
	struct json_t *c;
	int r = set_new(o, "errors", &c);

	for (int i = 0; !r && i < ERRNO_MAX; i++) {
		const char *name = i ? strerrorname_np(i) : NULL;
		uint64_t n = get(&all()->errors[i]);

		if (n)
			r = slu_json_set_int(c, name ? name : "other", (int64_t)n);
	}
	return r;
}

static int set_hist(struct json_t *o, const uint64_t counts[SLU_HIST_BUCKETS])
{
	struct json_t *h;
	char key[24];
	int r = set_new(o, "hist", &h);

	for (unsigned i = 0; !r && i < SLU_HIST_BUCKETS; i++) {
		snprintf(key, sizeof key, "%lld", (long long)(slu_hist_end(i) / 1000));
		if (counts[i])
			r = slu_json_set_int(h, key, (int64_t)counts[i]);
	}
	return r;
}

static int set_kind(struct json_t *kinds, enum slu_stat_kind k)
{
	struct took *t = &all()->kinds[k];
	uint64_t counts[SLU_HIST_BUCKETS];
	struct json_t *one;
	int r;

	if (!get(&t->n))
		return 0;
	for (unsigned i = 0; i < SLU_HIST_BUCKETS; i++)
		counts[i] = get(&t->hist[i]);
	r = set_new(kinds, kind_names[k], &one);
	if (!r)
		r = slu_json_set_int(one, "count", (int64_t)get(&t->n));
	if (!r)
		r = slu_json_set_int(one, "errors", (int64_t)get(&t->errors));
	if (!r)
		r = slu_json_set_int(one, "us", (int64_t)get(&t->us));
	if (!r)
		r = slu_json_set_int(one, "p50_us", slu_hist_quantile(counts, 0.5) / 1000);
	if (!r)
		r = slu_json_set_int(one, "p99_us", slu_hist_quantile(counts, 0.99) / 1000);
	return r ? r : set_hist(one, counts);
}

static int set_kinds(struct json_t *o)
{
	struct json_t *kinds;
	int r = set_new(o, "kinds", &kinds);

	for (unsigned i = 0; !r && i < SLU_STAT_KINDS; i++)
		r = set_kind(kinds, i);
	return r;
}

static int set_budget(struct json_t *o)
{
	struct slu_budget *b = slu_budget_process();
	struct slu_budget_gauges g = {0};
	uint64_t refused = 0, waited = 0;
	struct json_t *one;
	int r = set_new(o, "budget", &one);

	if (b)
		slu_budget_read(b, &g);
	for (unsigned i = 0; i < SLU_BUDGET_CLASSES; i++) {
		refused += g.refused[i];
		waited += g.waited[i];
	}
	if (!r)
		r = slu_json_set_int(one, "limit", (int64_t)g.limit);
	if (!r)
		r = slu_json_set_int(one, "used", (int64_t)g.used);
	if (!r)
		r = slu_json_set_int(one, "peak", (int64_t)g.peak);
	if (!r)
		r = slu_json_set_int(one, "refused", (int64_t)refused);
	if (!r)
		r = slu_json_set_int(one, "waited", (int64_t)waited);
	return r;
}

static uint64_t rss_bytes(void)
{
	unsigned long long total = 0, here = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &total, &here) != 2)
		here = 0;
	fclose(f);
	return here * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int set_process(struct json_t *o)
{
	struct json_t *one;
	struct rusage u;
	int64_t us = 0;
	int r = set_new(o, "process", &one);

	if (!getrusage(RUSAGE_SELF, &u))
		us = (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
		     u.ru_stime.tv_usec;
	if (!r)
		r = slu_json_set_int(one, "pid", getpid());
	if (!r)
		r = slu_json_set_int(one, "cpu_us", us);
	if (!r)
		r = slu_json_set_int(one, "rss", (int64_t)rss_bytes());
	if (!r)
		r = slu_json_set_int(one, "cores", sysconf(_SC_NPROCESSORS_ONLN));
	return r;
}

struct json_t *slu_stats_json(void)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (!o || set_counters(o) || set_gauges(o) || set_errors(o) || set_kinds(o) ||
	    set_budget(o) || set_process(o) || slu_json_set_int(o, "at_ms", slu_now() / SLU_MS))
		return NULL;
	return slu_take(o);
}

void slu_stats_reset(void)
{
	memset((void *)all(), 0, sizeof own);
}

void slu_stats_home(void *memory)
{
	struct numbers *old = all(), *new = memory ? memory : &own;
	count_t *from = (count_t *)old, *to = (count_t *)new;

	if (old == new)
		return;
	for (unsigned i = 0; memory && i < SLU_GAUGES; i++)
		atomic_store(&new->gauges[i].now, 0); /* of a process that is gone */
	if (!memory)
		memset((void *)&own, 0, sizeof own);
	for (size_t i = 0; i < sizeof own / sizeof *from; i++)
		add(&to[i], get(&from[i]));
	atomic_store(&where, new);
}
