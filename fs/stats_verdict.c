/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the numbers of a mount mean: the first rule that holds gives the sentence.  Rules go from what is
 * wrong (errors, refusals) by what is short (memory, CPU, the disk of the cache) to what is merely far
 * away.  Each works on the difference of two snapshots, or on all that was since the mount began; then
 * nothing is known of time, and rules that need it are left out.
 */
#include "fs/stats.h"

#include "common/json.h"

#include <stdio.h>
#include <string.h>

#define NEAR_US 1000 /* a store that answers so soon is no network away */

struct facts {
	double seconds; /* 0: not known */
	int64_t reads, read_us, read_errors, read_p50;
	int64_t asked, answered, hits, joined, fetched;
	int64_t store, store_us, store_p50, throttled, retries;
	int64_t cache_bytes, cpu_us, cores, waited, limit, used;
	int64_t queued, prefetches, lost;
	char error[32]; /* the most frequent */
};

static int64_t at(const struct json_t *j, const char *a, const char *b, const char *c)
{
	const struct json_t *o = slu_json_get(j, a);

	return c ? slu_json_int(slu_json_get(o, b), c, 0) : slu_json_int(o, b, 0);
}

static int64_t counter(const struct json_t *j, const char *name)
{
	return slu_json_int(slu_json_get(slu_json_get(j, "stats"), "counters"), name, 0);
}

static int64_t kind(const struct json_t *j, const char *name, const char *what)
{
	const struct json_t *kinds = slu_json_get(slu_json_get(j, "stats"), "kinds");

	return slu_json_int(slu_json_get(kinds, name), what, 0);
}

static void worst_error(const struct json_t *now, const struct json_t *before, struct facts *f)
{
	const struct json_t *errors = slu_json_get(slu_json_get(now, "stats"), "errors");
	const struct json_t *old = slu_json_get(slu_json_get(before, "stats"), "errors");
	int64_t most = 0;

	for (void *it = slu_json_iter(errors); it; it = slu_json_next(errors, it)) {
		const char *name = slu_json_iter_key(it);
		int64_t n = slu_json_int(errors, name, 0) - slu_json_int(old, name, 0);

		if (n <= most)
			continue;
		most = n;
		snprintf(f->error, sizeof f->error, "%s", name);
	}
}

/* The median of what came between the two, from their histograms. */
static int64_t median(const struct json_t *now, const struct json_t *before, const char *name)
{
	const struct json_t *kinds = slu_json_get(slu_json_get(now, "stats"), "kinds");
	const struct json_t *old = slu_json_get(slu_json_get(before, "stats"), "kinds");
	const struct json_t *h = slu_json_get(slu_json_get(kinds, name), "hist");
	const struct json_t *was = slu_json_get(slu_json_get(old, name), "hist");
	uint64_t counts[SLU_HIST_BUCKETS];

	for (unsigned i = 0; i < SLU_HIST_BUCKETS; i++) {
		char key[24];
		int64_t n;

		snprintf(key, sizeof key, "%lld", (long long)(slu_hist_end(i) / 1000));
		n = slu_json_int(h, key, 0) - slu_json_int(was, key, 0);
		counts[i] = n > 0 ? (uint64_t)n : 0;
	}
	return slu_hist_quantile(counts, 0.5) / 1000;
}

static void gather(const struct json_t *now, const struct json_t *old, struct facts *f)
{
	*f = (struct facts){
		.reads = kind(now, "fuse_read", "count") - kind(old, "fuse_read", "count"),
		.read_us = kind(now, "fuse_read", "us") - kind(old, "fuse_read", "us"),
		.read_errors = kind(now, "fuse_read", "errors") - kind(old, "fuse_read", "errors"),
		.read_p50 = median(now, old, "fuse_read"),
		.asked = counter(now, "asked") - counter(old, "asked"),
		.answered = counter(now, "answered") - counter(old, "answered"),
		.hits = counter(now, "hit_memory") - counter(old, "hit_memory"),
		.joined = counter(now, "hit_joined") - counter(old, "hit_joined"),
		.fetched = counter(now, "fetched") - counter(old, "fetched"),
		.throttled = counter(now, "throttled") - counter(old, "throttled"),
		.retries = counter(now, "retries") - counter(old, "retries"),
		.prefetches = counter(now, "prefetches") - counter(old, "prefetches"),
		.lost = counter(now, "prefetch_lost") - counter(old, "prefetch_lost"),
		.store = kind(now, "store_read", "count") - kind(old, "store_read", "count"),
		.store_us = kind(now, "store_read", "us") - kind(old, "store_read", "us"),
		.store_p50 = median(now, old, "store_read"),
		.cache_bytes =
			at(now, "cache", "hit_bytes", NULL) - at(old, "cache", "hit_bytes", NULL),
		.cpu_us = at(now, "stats", "process", "cpu_us") -
			  at(old, "stats", "process", "cpu_us"),
		.cores = at(now, "stats", "process", "cores"),
		.waited =
			at(now, "stats", "budget", "waited") - at(old, "stats", "budget", "waited"),
		.limit = at(now, "stats", "budget", "limit"),
		.used = at(now, "stats", "budget", "used"),
	};
	f->queued = slu_json_int(
		slu_json_get(slu_json_get(slu_json_get(now, "stats"), "gauges"), "queued"), "now",
		0);
	if (old)
		f->seconds = (double)(slu_json_int(slu_json_get(now, "stats"), "at_ms", 0) -
				      slu_json_int(slu_json_get(old, "stats"), "at_ms", 0)) /
			     1000;
	worst_error(now, old, f);
}

/* Requests that wait at the same time, on average (Little). */
static double at_once(const struct facts *f)
{
	return f->seconds > 0 ? (double)f->read_us / 1e6 / f->seconds : 0;
}

static double ms(int64_t us)
{
	return (double)us / 1000;
}

/* What is wrong. */
static bool say_trouble(const struct facts *f, char out[SLU_VERDICT])
{
	if (f->read_errors * 100 > f->reads) {
		snprintf(
			out, SLU_VERDICT,
			"Reads fail: %lld of %lld, mostly %s; the mount's log (--log) has the names.",
			(long long)f->read_errors, (long long)f->reads,
			f->error[0] ? f->error : "EIO");
		return true;
	}
	if (f->throttled >= 3 && f->throttled * 50 > f->store) {
		snprintf(out, SLU_VERDICT,
			 "The store throttles: it refused %lld of %lld requests; use fewer nodes "
			 "at once, a disk cache, or another account.",
			 (long long)f->throttled, (long long)f->store);
		return true;
	}
	if (f->retries >= 3 && f->retries * 20 > f->store) {
		snprintf(out, SLU_VERDICT,
			 "The network or the store is unsteady: %lld of %lld requests were sent "
			 "once more.",
			 (long long)f->retries, (long long)f->store);
		return true;
	}
	return false;
}

/* What is short on this machine. */
static bool say_short(const struct facts *f, char out[SLU_VERDICT])
{
	double busy = f->seconds > 0 && f->cores > 0
			      ? (double)f->cpu_us / 1e6 / f->seconds / (double)f->cores
			      : 0;

	if (busy > 0.8) {
		snprintf(out, SLU_VERDICT,
			 "The CPU of this machine: sluice uses %.0f %% of its %lld cores.",
			 100 * busy, (long long)f->cores);
		return true;
	}
	if (f->waited * 20 > f->reads && f->used * 10 >= f->limit * 7) {
		snprintf(out, SLU_VERDICT,
			 "The memory budget: %lld reads waited for room in %lld MiB; give it more "
			 "with --memory.",
			 (long long)f->waited, (long long)(f->limit >> 20));
		return true;
	}
	if (f->seconds > 0 && at_once(f) < 0.25) {
		snprintf(out, SLU_VERDICT,
			 "The reading program itself: it waited for sluice %.0f %% of the time.",
			 100 * at_once(f));
		return true;
	}
	if (f->cache_bytes * 2 > f->answered && f->read_p50 > 2000) {
		snprintf(
			out, SLU_VERDICT,
			"The disk of the cache: most bytes come from it, and half of the reads take "
			"%.1f ms or more.",
			ms(f->read_p50));
		return true;
	}
	return false;
}

/* What is merely far. */
static void say_far(const struct facts *f, char out[SLU_VERDICT])
{
	int64_t mean = f->reads ? f->asked / f->reads : 0;

	if (f->prefetches > 16 && f->lost * 2 > f->prefetches)
		snprintf(out, SLU_VERDICT,
			 "Wrong guesses: %lld of %lld files that were fetched ahead were not read; "
			 "hand over the order with sluice prefetch.",
			 (long long)f->lost, (long long)f->prefetches);
	else if (f->fetched > 2 * f->answered && mean < 65536)
		snprintf(out, SLU_VERDICT,
			 "Random reads that are too small: %lld KiB each, for which %.1f times as "
			 "much is fetched; read 64 KiB or more at once, or use a disk cache.",
			 (long long)mean >> 10, (double)f->fetched / (double)f->answered);
	else if (f->queued > 0)
		snprintf(out, SLU_VERDICT,
			 "The number of requests at once: %lld wait for room in the account's "
			 "window; each takes %.1f ms.",
			 (long long)f->queued, ms(f->store_p50));
	else if ((f->hits + f->joined) * 10 >= f->answered * 9)
		snprintf(out, SLU_VERDICT,
			 "Nothing much: nine bytes of ten were there, or on their way, before they "
			 "were asked for.");
	else if (!f->store)
		snprintf(out, SLU_VERDICT,
			 "Nothing much: no request went to the store; half of the reads take %.1f "
			 "ms or less.",
			 ms(f->read_p50));
	else if (f->store_p50 < NEAR_US)
		snprintf(
			out, SLU_VERDICT,
			"The store is near: half of its answers take %.1f ms or less, so what remains "
			"is its disk, copying, and how many programs read at once.",
			ms(f->store_p50));
	else
		snprintf(out, SLU_VERDICT,
			 "The latency of the store: half of its answers take %.1f ms or more%s.",
			 ms(f->store_p50),
			 mean <= 1 << 20 && f->prefetches == 0
				 ? "; more readers at once, or sluice prefetch with the order of "
				   "the files, hide that"
				 : "");
}

void slu_stats_verdict(const struct json_t *now, const struct json_t *before, char out[SLU_VERDICT])
{
	struct facts f;

	gather(now, before, &f);
	if (f.reads <= 0)
		snprintf(out, SLU_VERDICT,
			 "Idle: no program has read anything that the kernel did not have.");
	else if (!say_trouble(&f, out) && !say_short(&f, out))
		say_far(&f, out);
}
