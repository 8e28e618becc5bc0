/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats and prefetch: what a mount does, and what it shall fetch next.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LITTLE                                                                                     \
	65536 /* bytes of which no ratio is told: what a mount reads for itself counts as fetched */
#define MOMENT 1000 /* ms between the two looks that a sentence is made of */

/* --- numbers of one mount --- */

static const struct json_t *part(const struct json_t *m, const char *name)
{
	return slu_json_get(slu_json_get(m, "stats"), name);
}

static int64_t counter(const struct json_t *m, const char *name)
{
	return slu_json_int(part(m, "counters"), name, 0);
}

static void show_kind(const struct json_t *m, const char *kind, const char *name)
{
	const struct json_t *k = slu_json_get(part(m, "kinds"), kind);

	if (!k)
		return;
	printf("  %-10s %-9s %10lld   p50 %9.3f ms   p99 %9.3f ms",
	       slu_starts(kind, "fuse") ? "program" : "store", name,
	       (long long)slu_json_int(k, "count", 0), (double)slu_json_int(k, "p50_us", 0) / 1000,
	       (double)slu_json_int(k, "p99_us", 0) / 1000);
	if (slu_json_int(k, "errors", 0))
		printf("   %lld failed", (long long)slu_json_int(k, "errors", 0));
	putchar('\n');
}

static void show_kinds(const struct json_t *m)
{
	const struct json_t *kinds = part(m, "kinds");

	for (void *it = slu_json_iter(kinds); it; it = slu_json_next(kinds, it)) {
		const char *kind = slu_json_iter_key(it), *name = strchr(kind, '_');

		show_kind(m, kind, name ? name + 1 : kind);
	}
}

static double share(int64_t n, int64_t of)
{
	return of > 0 ? 100.0 * (double)n / (double)of : 0;
}

static void show_bytes(const struct json_t *m, const struct json_t *before)
{
	int64_t asked = counter(m, "asked"), fetched = counter(m, "fetched");
	int64_t hits = counter(m, "hit_memory"), joined = counter(m, "hit_joined");
	int64_t cache = slu_json_int(slu_json_get(m, "cache"), "hit_bytes", 0);
	char a[16], f[16];

	render_size(a, (uint64_t)asked);
	render_size(f, (uint64_t)fetched);
	printf("  bytes      asked %s, fetched %s", a, f);
	if (asked > LITTLE)
		printf(" (%.2f of it)", (double)fetched / (double)asked);
	if (before) {
		double s = (double)(slu_json_int(slu_json_get(m, "stats"), "at_ms", 0) -
				    slu_json_int(slu_json_get(before, "stats"), "at_ms", 0)) /
			   1000;

		render_size(a, (uint64_t)((double)(asked - counter(before, "asked")) / s));
		render_size(f, (uint64_t)((double)(fetched - counter(before, "fetched")) / s));
		printf("; now %s/s, %s/s", a, f);
	}
	printf("\n  from       memory %.0f %%, already on its way %.0f %%, disk cache %.0f %% (beyond "
	       "the kernel's cache)\n",
	       share(hits, asked), share(joined, asked), share(cache, asked));
}

static void show_ahead(const struct json_t *m)
{
	const struct json_t *a = slu_json_get(m, "ahead");
	int64_t order = slu_json_int(a, "order", 0), learned = slu_json_int(a, "learned", 0);

	printf("  ahead      %lld files fetched before they were read, %lld read since, %lld not",
	       (long long)slu_json_int(a, "files", 0), (long long)slu_json_int(a, "hits", 0),
	       (long long)slu_json_int(a, "lost", 0));
	if (order)
		printf("; order: %lld of %lld read", (long long)slu_json_int(a, "order_read", 0),
		       (long long)order);
	if (learned)
		printf("; learned: %lld files", (long long)learned);
	putchar('\n');
}

static void show_written(const struct json_t *m)
{
	const struct json_t *s = slu_json_get(m, "stage");
	char w[16], t[16], b[16];

	if (!s)
		return;
	render_size(w, (uint64_t)counter(m, "written"));
	render_size(t, (uint64_t)counter(m, "streamed"));
	render_size(b, (uint64_t)slu_json_int(s, "bytes", 0));
	printf("  written    %s, of it %s sent before the close; %lld commits, %lld failed, %lld set "
	       "aside\n",
	       w, t, (long long)counter(m, "commits"), (long long)counter(m, "commits_bad"),
	       (long long)counter(m, "set_aside"));
	printf("  staged     %lld files, %s, of them %lld not in the store and %lld failed, %lld "
	       "links\n",
	       (long long)slu_json_int(s, "files", 0), b, (long long)slu_json_int(s, "dirty", 0),
	       (long long)slu_json_int(s, "failed", 0), (long long)slu_json_int(s, "links", 0));
}

static void show_trouble(const struct json_t *m)
{
	const struct json_t *errors = part(m, "errors");

	printf("  again      %lld tried again, %lld refused as busy, %lld asked twice (%lld won)\n",
	       (long long)counter(m, "retries"), (long long)counter(m, "throttled"),
	       (long long)counter(m, "hedges"), (long long)counter(m, "hedges_won"));
	if (!slu_json_count(errors))
		return;
	printf("  errors    ");
	for (void *it = slu_json_iter(errors); it; it = slu_json_next(errors, it))
		printf(" %s %lld", slu_json_iter_key(it),
		       (long long)slu_json_int(errors, slu_json_iter_key(it), 0));
	putchar('\n');
}

static void show_memory(const struct json_t *m)
{
	const struct json_t *b = part(m, "budget"), *g = part(m, "gauges");
	const struct json_t *queued = slu_json_get(g, "queued"),
			    *flight = slu_json_get(g, "flight");
	char used[16], limit[16], peak[16], rss[16];

	render_size(used, (uint64_t)slu_json_int(b, "used", 0));
	render_size(limit, (uint64_t)slu_json_int(b, "limit", 0));
	render_size(peak, (uint64_t)slu_json_int(b, "peak", 0));
	render_size(rss, (uint64_t)slu_json_int(part(m, "process"), "rss", 0));
	printf("  memory     %s of %s (at most %s so far), RSS %s\n", used, limit, peak, rss);
	printf("  requests   %lld at the store (at most %lld), %lld in the queue (at most %lld)\n",
	       (long long)slu_json_int(flight, "now", 0),
	       (long long)slu_json_int(flight, "peak", 0),
	       (long long)slu_json_int(queued, "now", 0),
	       (long long)slu_json_int(queued, "peak", 0));
}

static void show_head(const struct json_t *m)
{
	const struct json_t *o = slu_json_get(m, "mount");
	char size[16];

	render_name(stdout, slu_json_str(o, "where"));
	fputs("  ", stdout);
	render_name(stdout, slu_json_str(o, "source"));
	if (slu_json_get(m, "error")) {
		fputs("\n  ", stdout);
		render_name(stdout, slu_json_str(m, "error"));
		fputs("\n", stdout);
		return;
	}
	render_size(size, (uint64_t)slu_json_int(o, "bytes", 0));
	if (slu_json_bool(o, "live", false))
		fputs("  live", stdout);
	else
		printf("  %lld files, %s", (long long)slu_json_int(o, "files", 0), size);
	puts(slu_json_bool(o, "io_uring", false) ? ", over io_uring" : "");
}

/* The mount at the same place in the earlier answer. */
static const struct json_t *earlier(const struct json_t *list, const struct json_t *m)
{
	const char *where = slu_json_str(slu_json_get(m, "mount"), "where"), *other;

	for (size_t i = 0; where && i < slu_json_count(list); i++) {
		const struct json_t *one = slu_json_at(list, i);

		other = slu_json_str(slu_json_get(one, "mount"), "where");
		if (other && slu_streq(other, where) && slu_json_get(one, "stats"))
			return one;
	}
	return NULL;
}

static void show_table(const struct json_t *list, const struct json_t *before)
{
	for (size_t i = 0; i < slu_json_count(list); i++) {
		const struct json_t *m = slu_json_at(list, i);

		if (i)
			putchar('\n');
		show_head(m);
		if (slu_json_get(m, "error"))
			continue;
		show_kinds(m);
		show_bytes(m, earlier(before, m));
		show_ahead(m);
		show_written(m);
		show_trouble(m);
		show_memory(m);
		printf("  %s\n", slu_json_str(m, "verdict"));
	}
	if (!slu_json_count(list))
		puts("no mounts");
}

/* --- for Prometheus --- */

static void label(const struct json_t *m)
{
	const char *s = slu_json_str(slu_json_get(m, "mount"), "where");

	fputs("{mount=\"", stdout);
	for (; s && *s; s++) {
		if (*s == '\n') {
			fputs("\\n", stdout);
			continue;
		}
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

/* The group and the key of the numbers that it is made of. */
static const struct metric {
	const char *group, *key, *name, *type, *help;
} metrics[] = {
	{"counters", "asked", "asked_bytes_total", "counter", "that programs asked for"},
	{"counters", "answered", "answered_bytes_total", "counter", "that programs got"},
	{"counters", "hit_memory", "hit_memory_bytes_total", "counter", "that were in memory"},
	{"counters", "hit_joined", "hit_joined_bytes_total", "counter", "that were on their way"},
	{"counters", "hit_cache", "hit_cache_bytes_total", "counter", "from the disk cache"},
	{"counters", "fetched", "fetched_bytes_total", "counter", "that came from stores"},
	{"counters", "sent", "sent_bytes_total", "counter", "that went to stores"},
	{"counters", "retries", "retries_total", "counter", "requests that were sent again"},
	{"counters", "throttled", "throttled_total", "counter", "times a store was too busy"},
	{"counters", "hedges", "hedges_total", "counter", "requests that were sent twice"},
	{"counters", "hedges_won", "hedges_won_total", "counter", "where the second was faster"},
	{"counters", "prefetches", "prefetches_total", "counter", "files fetched before a read"},
	{"counters", "prefetch_hits", "prefetch_hits_total", "counter", "of those, read"},
	{"counters", "prefetch_lost", "prefetch_lost_total", "counter", "of those, dropped unread"},
	{"counters", "guess_stops", "guess_stops_total", "counter", "times guesses were wrong"},
	{"counters", "written", "written_bytes_total", "counter", "that programs wrote"},
	{"counters", "streamed", "streamed_bytes_total", "counter", "sent before the close"},
	{"counters", "commits", "commits_total", "counter", "written files that stores have"},
	{"counters", "commits_bad", "commits_bad_total", "counter", "commits that failed"},
	{"counters", "set_aside", "set_aside_total", "counter", "written files in kept/"},
	{"stage", "files", "staged_files", "gauge", "files that are being written"},
	{"stage", "bytes", "staged_bytes", "gauge", "of them, on local disk"},
	{"stage", "dirty", "staged_dirty_files", "gauge", "files that the store has not"},
	{"budget", "limit", "budget_limit_bytes", "gauge", "memory for data, at most"},
	{"budget", "used", "budget_used_bytes", "gauge", "of it, in use"},
	{"budget", "peak", "budget_peak_bytes", "gauge", "of it, the most so far"},
	{"gauges", "queued", "queued_requests", "gauge", "that wait"},
	{"gauges", "flight", "flight_requests", "gauge", "that are at stores"},
	{"process", "rss", "resident_memory_bytes", "gauge", "of the process that serves"},
};

static long long value_of(const struct json_t *m, const struct metric *x)
{
	const struct json_t *g = part(m, x->group);

	if (slu_streq(x->group, "stage"))
		return (long long)slu_json_int(slu_json_get(m, "stage"), x->key, 0);
	if (slu_streq(x->group, "gauges"))
		return (long long)slu_json_int(slu_json_get(g, x->key), "now", 0);
	return (long long)slu_json_int(g, x->key, 0);
}

static void head_of(const char *name, const char *type, const char *help)
{
	printf("# HELP sluice_%s %s\n# TYPE sluice_%s %s\n", name, help, name, type);
}

/* Also of mounts that do not answer. */
static void show_up(const struct json_t *list)
{
	head_of("up", "gauge", "1: the mount answers");
	for (size_t i = 0; i < slu_json_count(list); i++) {
		fputs("sluice_up", stdout);
		label(slu_json_at(list, i));
		printf("} %d\n", slu_json_get(slu_json_at(list, i), "stats") ? 1 : 0);
	}
}

static void show_metric(const struct json_t *list, const struct metric *x)
{
	head_of(x->name, x->type, x->help);
	for (size_t i = 0; i < slu_json_count(list); i++) {
		const struct json_t *m = slu_json_at(list, i);

		if (!slu_json_get(m, "stats"))
			continue;
		printf("sluice_%s", x->name);
		label(m);
		printf("} %lld\n", value_of(m, x));
	}
}

/* How many took at most so long: ends of buckets are among the keys. */
static long long up_to(const struct json_t *hist, int64_t end)
{
	long long sum = 0;

	for (void *it = slu_json_iter(hist); it; it = slu_json_next(hist, it)) {
		int64_t us;

		if (slu_i64(slu_json_iter_key(it), 0, INT64_MAX, &us) && us <= end)
			sum += (long long)slu_json_integer(slu_json_iter_value(it));
	}
	return sum;
}

/* The same buckets for all: 16 us, four times that, ... 67 s. */
static void one_histogram(const struct json_t *m, const char *kind, const struct json_t *k)
{
	const struct json_t *h = slu_json_get(k, "hist");

	for (int64_t us = 16; us < 100000000; us *= 4) {
		fputs("sluice_request_seconds_bucket", stdout);
		label(m);
		printf(",kind=\"%s\",le=\"%g\"} %lld\n", kind, (double)us / 1e6, up_to(h, us));
	}
	fputs("sluice_request_seconds_bucket", stdout);
	label(m);
	printf(",kind=\"%s\",le=\"+Inf\"} %lld\nsluice_request_seconds_sum", kind,
	       up_to(h, INT64_MAX));
	label(m);
	printf(",kind=\"%s\"} %.6f\nsluice_request_seconds_count", kind,
	       (double)slu_json_int(k, "us", 0) / 1e6);
	label(m);
	printf(",kind=\"%s\"} %lld\n", kind, up_to(h, INT64_MAX));
}

static void show_prometheus(const struct json_t *list)
{
	show_up(list);
	for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
		show_metric(list, &metrics[i]);
	head_of("request_seconds", "histogram", "of programs (fuse_) and to stores (store_)");
	for (size_t i = 0; i < slu_json_count(list); i++) {
		const struct json_t *m = slu_json_at(list, i), *kinds = part(m, "kinds");

		for (void *it = slu_json_iter(kinds); it; it = slu_json_next(kinds, it))
			one_histogram(m, slu_json_iter_key(it), slu_json_iter_value(it));
	}
}

/* --- the verb --- */

static int look(struct cli *c, const char *before, char **ret)
{
	struct sluice_error e = {0};
	int r = sluice_mount_stats(c->nargs ? c->args[0] : NULL, before, ret, &e);

	return r < 0 ? cli_fail(c, r, &e) : 0;
}

static int parse(struct cli *c, const char *text, struct json_t **ret)
{
	static const struct sluice_error none = {0};

	*ret = NULL;
	if (text && slu_json_parse(text, strlen(text), "numbers", ret, NULL))
		return cli_fail(c, -ENOMEM, &none);
	return 0;
}

static int no_answer(const struct cli *c)
{
	struct sluice_error e = {.code = ETIMEDOUT};

	snprintf(e.message, sizeof e.message,
		 "nobody answers for the mount '%s': `sluice unmount` clears a dead one away",
		 c->args[0]);
	return cli_fail(c, -e.code, &e);
}

static int show(struct cli *c, const char *text, const char *before)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = NULL, *old = NULL;
	int status = parse(c, text, &list);

	if (!status)
		status = parse(c, before, &old);
	if (status)
		return status;
	if (cli_has(c, "prometheus"))
		show_prometheus(list);
	else if (c->json || cli_has(c, "json"))
		puts(text);
	else
		show_table(list, old);
	/* who asks for one mount wants to know by the status whether it lives */
	if (c->nargs && slu_json_count(list) && !slu_json_get(slu_json_at(list, 0), "stats"))
		return no_answer(c);
	return 0;
}

static bool right_options(struct cli *c, int64_t *ret)
{
	const char *text = cli_get(c, "interval");

	if (cli_has(c, "prometheus") && (c->json || cli_has(c, "json"))) {
		cli_usage(c, "--json and --prometheus are two forms: give one of both");
		return false;
	}
	if (!text || (slu_duration(text, ret) && *ret >= 100 * SLU_MS && *ret <= 3600 * SLU_SEC))
		return true;
	cli_usage(c, "--interval wants a time from 100ms to 1h, not '%s'", text);
	return false;
}

/* A sentence about now needs two looks; programs get what was since the mount began, at once. */
int cmd_stats(struct cli *c)
{
	int64_t interval = MOMENT * SLU_MS;
	bool watch = cli_has(c, "watch");
	bool table = !c->json && !cli_has(c, "json") && !cli_has(c, "prometheus");
	char *text = NULL, *before = NULL;
	int status = right_options(c, &interval) ? 0 : CLI_USAGE;

	if (!status && (watch || table))
		status = look(c, NULL, &before);
	while (!status) {
		if (before)
			poll(NULL, 0, (int)(interval / SLU_MS));
		status = look(c, before, &text);
		if (status)
			break;
		if (watch && table && isatty(STDOUT_FILENO))
			fputs("\033[H\033[J", stdout);
		status = show(c, text, before);
		sluice_free(before);
		before = slu_take(text);
		if (!watch || fflush(stdout))
			break;
	}
	sluice_free(before);
	return status;
}

/* --- prefetch --- */

struct names {
	FILE *f;
	char *line;
	size_t size;
	int error; /* of reading them */
};

static const char *next_name(void *user)
{
	struct names *n = user;
	ssize_t len;

	do {
		len = getline(&n->line, &n->size, n->f);
		if (len > 0 && n->line[len - 1] == '\n')
			n->line[--len] = '\0';
	} while (len == 0);
	if (len < 0 && ferror(n->f))
		n->error = errno;
	return len > 0 ? n->line : NULL;
}

static int cannot_read(const struct cli *c, const char *order, int code)
{
	struct sluice_error e = {.code = code};

	snprintf(e.message, sizeof e.message, "cannot read '%s': %s", order, strerror(code));
	return cli_fail(c, -code, &e);
}

static int names_unknown(const struct cli *c, const struct json_t *j)
{
	struct sluice_error e = {.code = ENODATA}; /* exit status 1, as without json */

	snprintf(e.message, sizeof e.message, "%lld names are no files of the mount",
		 (long long)slu_json_int(j, "unknown", 0));
	return cli_fail(c, -e.code, &e);
}

static int tell_order(const struct cli *c, char *text)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	const struct json_t *names;

	if (slu_json_parse(text, strlen(text), "answer", &j, NULL))
		j = NULL;
	if (c->json || !j)
		puts(text);
	sluice_free(text);
	if (c->json || !j)
		return slu_json_int(j, "unknown", 0) ? names_unknown(c, j) : 0;
	names = slu_json_get(j, "unknown_names");
	printf("%lld files are fetched before they are read",
	       (long long)slu_json_int(j, "known", 0));
	if (slu_json_int(j, "twice", 0))
		printf(", %lld names came twice", (long long)slu_json_int(j, "twice", 0));
	putchar('\n');
	for (size_t i = 0; i < slu_json_count(names); i++) {
		fputs("sluice: no such file in the mount: '", stderr);
		render_name(stderr, slu_json_string(slu_json_at(names, i)));
		fputs("'\n", stderr);
	}
	if (slu_json_int(j, "unknown", 0) > (int64_t)slu_json_count(names))
		fprintf(stderr, "sluice: ... and %lld more names\n",
			(long long)(slu_json_int(j, "unknown", 0) -
				    (int64_t)slu_json_count(names)));
	return slu_json_int(j, "unknown", 0) ? 1 : 0;
}

int cmd_prefetch(struct cli *c)
{
	const char *order = cli_get(c, "order");
	struct names n = {.f = stdin};
	struct sluice_error e = {0};
	char *text = NULL;
	int r;

	if (!order == !cli_has(c, "drop"))
		return cli_usage(c, "prefetch wants either --order FILE or --drop");
	if (order && !slu_streq(order, "-")) {
		n.f = fopen(order, "re");
		if (!n.f)
			return cannot_read(c, order, errno);
	}
	r = sluice_mount_prefetch(c->args[0], order ? next_name : NULL, &n, order ? &text : NULL,
				  &e);
	if (n.f != stdin)
		fclose(n.f);
	free(n.line);
	if (r < 0)
		return cli_fail(c, r, &e);
	if (n.error) {
		sluice_free(text);
		return cannot_read(c, order, n.error);
	}
	return text ? tell_order(c, text) : 0;
}
