/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many ranges of one blob at a time, by the Blob driver under its layers or by libcurl alone: the same threads,
 * buffers and connections.  Writes "SECONDS CPU PEAK-RSS-KIB" for tests/bench/blob.
 * usage: flights store|curl ENDPOINT CONTAINER NAME BLOB-SIZE IN-FLIGHT COUNT RANGE [CA-FILE]
 */
#include "blob/blob.h"
#include "common/json.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/layers.h"

#include <curl/curl.h>
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define THREADS_MAX 8

static const char *endpoint, *container, *name, *ca_file;
static uint64_t blob, in_flight, count, range;
static atomic_ullong begun, over;

/* Where the next range begins, false: there is none. */
static bool next_range(uint64_t *off)
{
	uint64_t i = atomic_fetch_add(&begun, 1);

	*off = i * 7919 % (blob / range) * range;
	return i < count;
}

/* --- by the driver --- */

static struct slu_store *store;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all = PTHREAD_COND_INITIALIZER;

static void again(struct slu_op *op)
{
	void *buf = op->buf;
	uint64_t off;

	if (op->rc < 0)
		errx(1, "%s", op->err.msg);
	if (atomic_fetch_add(&over, 1) + 1 == count) {
		pthread_mutex_lock(&lock);
		pthread_cond_signal(&all);
		pthread_mutex_unlock(&lock);
	}
	if (!next_range(&off))
		return;
	slu_op_read(op, name, off, (size_t)range, buf, NULL);
	op->done = again;
	slu_store_submit(store, op);
}

static void by_store(void)
{
	char text[1024], tail[512] = "";
	struct slu_limit_conf conf = {(unsigned)in_flight, (unsigned)in_flight};
	struct slu_op *op = calloc(in_flight, sizeof(*op));
	struct slu_window *window;
	struct slu_loops *loops;
	struct slu_pool *pool;
	struct json_t *entry;
	struct slu_err e;

	if (ca_file)
		snprintf(tail, sizeof(tail), ", \"ca_file\": \"%s\"", ca_file);
	snprintf(text, sizeof(text),
		 "{\"type\": \"azure_blob\", \"account_name\": \"devstoreaccount1\", "
		 "\"container_name\": \"%s\", \"endpoint\": \"%s\"%s}",
		 container, endpoint, tail);
	if (!op || slu_json_parse(text, strlen(text), "entry", &entry, &e) < 0 ||
	    slu_loops_new(NULL, &loops, &e) < 0 || slu_pool_new(2, &pool, &e) < 0 ||
	    slu_blob_new(entry, "/", loops, pool, &store, &e) < 0)
		errx(1, "%s", e.msg);
	if (slu_hedge_push(&store, NULL, loops) < 0 || slu_window_new(&conf, loops, &window) < 0 ||
	    slu_limit_push(&store, window) < 0 || slu_retry_push(&store, NULL, loops) < 0 ||
	    slu_trace_push(&store, "bench") < 0)
		errx(1, "no memory");
	atomic_fetch_add(&begun, in_flight);
	for (uint64_t i = 0; i < in_flight; i++) {
		uint64_t off = i * 7919 % (blob / range) * range;

		slu_op_read(&op[i], name, off, (size_t)range, malloc(range), NULL);
		op[i].done = again;
		slu_store_submit(store, &op[i]);
	}
	pthread_mutex_lock(&lock);
	while (atomic_load(&over) < count)
		pthread_cond_wait(&all, &lock);
	pthread_mutex_unlock(&lock);
}

/* --- by libcurl --- */

struct get {
	CURL *h;
	char *buf;
	size_t n;
};

static size_t take(char *p, size_t one, size_t n, void *arg)
{
	struct get *g = arg;

	(void)one;
	if (n > range - g->n)
		return 0;
	memcpy(g->buf + g->n, p, n);
	g->n += n;
	return n;
}

static bool ask(CURLM *m, struct get *g)
{
	char text[64];
	uint64_t off;

	if (!next_range(&off))
		return false;
	g->n = 0;
	snprintf(text, sizeof(text), "%llu-%llu", (unsigned long long)off,
		 (unsigned long long)(off + range - 1));
	curl_easy_setopt(g->h, CURLOPT_RANGE, text);
	curl_multi_add_handle(m, g->h);
	return true;
}

static void one_over(CURLM *m, const CURLMsg *msg)
{
	struct get *g = NULL;

	curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &g);
	if (msg->data.result != CURLE_OK || g->n != range)
		errx(1, "curl: %s", curl_easy_strerror(msg->data.result));
	curl_multi_remove_handle(m, g->h);
	atomic_fetch_add(&over, 1);
	ask(m, g);
}

static void *thread(void *arg)
{
	uint64_t n = *(uint64_t *)arg;
	struct get *get = calloc(n, sizeof(*get));
	CURLM *m = curl_multi_init();
	int running = 1, left;
	CURLMsg *msg;
	char url[1024];

	snprintf(url, sizeof(url), "%s/%s/%s", endpoint, container, name);
	for (uint64_t i = 0; i < n; i++) {
		get[i] = (struct get){curl_easy_init(), malloc(range), 0};
		curl_easy_setopt(get[i].h, CURLOPT_URL, url);
		curl_easy_setopt(get[i].h, CURLOPT_PRIVATE, &get[i]);
		curl_easy_setopt(get[i].h, CURLOPT_FAILONERROR, 1L);
		curl_easy_setopt(get[i].h, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(get[i].h, CURLOPT_WRITEFUNCTION, take);
		curl_easy_setopt(get[i].h, CURLOPT_WRITEDATA, &get[i]);
		curl_easy_setopt(get[i].h, CURLOPT_BUFFERSIZE,
				 range >= 128 << 10 ? 512L << 10 : 16L << 10);
		if (ca_file)
			curl_easy_setopt(get[i].h, CURLOPT_CAINFO, ca_file);
		ask(m, &get[i]);
	}
	while (running) {
		curl_multi_perform(m, &running);
		while ((msg = curl_multi_info_read(m, &left)))
			if (msg->msg == CURLMSG_DONE) {
				one_over(m, msg);
				running = 1;
			}
		if (running && atomic_load(&over) < count)
			curl_multi_poll(m, NULL, 0, 20, NULL);
		else if (atomic_load(&over) == count)
			running = 0;
	}
	return NULL;
}

static void by_curl(void)
{
	pthread_t t[THREADS_MAX];
	cpu_set_t set;
	uint64_t n, each;

	sched_getaffinity(0, sizeof(set), &set);
	n = (uint64_t)CPU_COUNT(&set);
	n = n > THREADS_MAX ? THREADS_MAX : n;
	each = in_flight / n ? in_flight / n : 1;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	for (uint64_t i = 0; i < n; i++)
		pthread_create(&t[i], NULL, thread, &each);
	for (uint64_t i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

int main(int argc, char **argv)
{
	struct rusage u;
	int64_t at;

	if (argc < 9 || !slu_size(argv[5], &blob) || !slu_u64(argv[6], &in_flight) ||
	    !slu_u64(argv[7], &count) || !slu_size(argv[8], &range) || !in_flight ||
	    in_flight > count || !range || range > blob)
		errx(2, "usage: flights store|curl ENDPOINT CONTAINER NAME BLOB-SIZE IN-FLIGHT "
			"COUNT RANGE [CA-FILE]");
	endpoint = argv[2];
	container = argv[3];
	name = argv[4];
	ca_file = argv[9];
	at = slu_now();
	if (slu_streq(argv[1], "store"))
		by_store();
	else
		by_curl();
	getrusage(RUSAGE_SELF, &u);
	printf("%.6f %.6f %ld\n", (double)(slu_now() - at) / 1e9,
	       (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6,
	       u.ru_maxrss);
	return 0;
}
