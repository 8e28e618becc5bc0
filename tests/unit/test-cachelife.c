/* SPDX-License-Identifier: Apache-2.0 */
/* The disk cache among others: limits, eviction, several users at once, management. */
#include "tests/unit/cache.h"

#include "common/log.h"
#include "fs/budget.h"
#include "fs/tree.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#define FILE_LEN (200 * KIB)

static void name_of(char out[24], unsigned i)
{
	snprintf(out, 24, "f%u", i);
}

static uint64_t used(struct cache_env *v)
{
	struct json_t *o = NULL;

	assert_int_equal(slu_cache_stat(v->c, &o, NULL), 0);
	uint64_t n = (uint64_t)slu_json_int(o, "bytes", -1);

	slu_json_free(o);
	return n;
}

static void stays_within_its_size(void **state)
{
	struct cache_env *v = *state;
	char name[24];

	v->conf.max = 4 * MIB;
	cache_reopen(v);
	for (unsigned i = 0; i < 60; i++) {
		name_of(name, i);
		cache_read(v, name, "e", FILE_LEN, 0, FILE_LEN);
		assert_true(used(v) <= 4 * MIB);
	}
	assert_true(used(v) > 2 * MIB);
	struct slu_cache_counts n;

	slu_cache_counted(v->c, &n);
	assert_true(n.evicted > 30);
	assert_int_equal(n.refused, 0);
	/* The last is there, the first is not. */
	assert_int_equal(cache_read(v, "f59", "e", FILE_LEN, 0, FILE_LEN), 0);
	assert_int_equal(cache_read(v, "f0", "e", FILE_LEN, 0, FILE_LEN), FILE_LEN);
}

static void age(int fd, void *user)
{
	struct timespec t[2] = {{.tv_sec = *(time_t *)user}, {.tv_sec = *(time_t *)user}};

	assert_int_equal(futimens(fd, t), 0);
}

static void the_least_recently_used_goes(void **state)
{
	struct cache_env *v = *state;
	time_t old = 1000000000;
	char name[24];

	v->conf.max = 4 * MIB;
	cache_reopen(v);
	for (unsigned i = 0; i < 10; i++) {
		name_of(name, i);
		cache_read(v, name, "e", FILE_LEN, 0, FILE_LEN);
	}
	cache_files(v, 's', age, &old);
	cache_reopen(v); /* to be used again it has to be opened or a minute to pass */
	cache_read(v, "f3", "e", FILE_LEN, 0, 10);
	unsigned i = 10;

	for (struct slu_cache_counts n = {0}; !n.evicted; slu_cache_counted(v->c, &n)) {
		name_of(name, i++);
		cache_read(v, name, "e", FILE_LEN, 0, FILE_LEN);
	}
	assert_int_equal(cache_read(v, "f3", "e", FILE_LEN, 0, FILE_LEN), 0);
	while (i-- > 10) {
		name_of(name, i);
		assert_int_equal(cache_read(v, name, "e", FILE_LEN, 0, FILE_LEN), 0);
	}
}

static void too_long_for_it_is_not_kept(void **state)
{
	struct cache_env *v = *state;

	v->conf.max = 2 * MIB;
	cache_reopen(v);
	cache_read(v, "small", "e", 1000, 0, 1000);
	cache_read(v, "long", "e", 3 * MIB, 0, 3 * MIB);
	assert_int_equal(cache_read(v, "small", "e", 1000, 0, 1000), 0);
	assert_int_equal(cache_read(v, "long", "e", 3 * MIB, 0, 3 * MIB), 3 * MIB);
}

static void a_reserve_that_is_not_there_stops_it(void **state)
{
	struct cache_env *v = *state;

	v->conf.reserve = 1ull << 60;
	cache_reopen(v);
	slu_log_level(SLU_LOG_ERROR);
	assert_int_equal(cache_read(v, "a", "e", 1000, 0, 1000), 1000);
	assert_int_equal(cache_read(v, "a", "e", 1000, 0, 1000), 1000);
	slu_log_level(SLU_LOG_WARNING);
	struct slu_cache_counts n;

	slu_cache_counted(v->c, &n);
	assert_int_equal(n.written, 0);
	assert_int_equal(n.refused, 2000);
}

/* What a process that was killed had counted, and a wrong number, are corrected by the next. */
static void the_count_is_right_after_a_crash(void **state)
{
	struct cache_env *v = *state;
	uint64_t odd[2] = {1ull << 50, 0};

	cache_read(v, "a", "e", FILE_LEN, 0, FILE_LEN);
	cache_close(v);
	cache_open(v, "https://a/c", "key");
	assert_int_equal(pwrite(v->c->use_fd, odd, sizeof(odd), 0), sizeof(odd));
	v->conf.max = 4 * MIB;
	cache_reopen(v);
	cache_read(v, "b", "e", FILE_LEN, 0, FILE_LEN);
	assert_int_equal(cache_read(v, "a", "e", FILE_LEN, 0, FILE_LEN), 0);
	assert_int_equal(cache_read(v, "b", "e", FILE_LEN, 0, FILE_LEN), 0);
	uint64_t counted[2], real = used(v);

	cache_close(v);
	cache_open(v, "https://a/c", "key");
	assert_int_equal(pread(v->c->use_fd, counted, sizeof(counted), 0), sizeof(counted));
	assert_true(counted[0] >= real && counted[0] < real + 64 * KIB);
}

/* --- several at once --- */

#define STORM_FILES 24
#define STORM_READS 400

struct storm {
	struct cache_env *v;
	unsigned seed;
};

static void storm_file(unsigned i, char name[24], uint64_t *size)
{
	name_of(name, i);
	*size = i % 3 ? 70000 + i * 1000 : MIB + i * 70000;
}

/* No cmocka in threads and children: it returns what went wrong. */
static void *storm_thread(void *arg)
{
	struct storm *t = arg;
	char *buf = malloc(2 * MIB), *want = malloc(2 * MIB);
	long bad = 0;

	for (unsigned i = 0; i < STORM_READS; i++) {
		uint64_t size, off;
		struct slu_op op;
		char name[24];
		size_t len;

		storm_file((unsigned)rand_r(&t->seed) % STORM_FILES, name, &size);
		off = (uint64_t)rand_r(&t->seed) % size;
		if (i & 1)
			off &= ~(uint64_t)(SLU_CACHE_BLOCK - 1);
		len = (size_t)(size - off);
		if (len > 300000)
			len = 300000;
		slu_op_read(&op, name, off, len, buf, "e");
		op.size = size;
		cache_fill(want, len, name, "e", off);
		if (slu_store_wait(t->v->s, &op, NULL) < 0 || memcmp(buf, want, len) != 0)
			bad++;
	}
	free(buf);
	free(want);
	return (void *)bad;
}

static long storm(struct cache_env *v, unsigned seed)
{
	struct storm t[4];
	pthread_t id[4];
	long bad = 0;

	for (unsigned i = 0; i < 4; i++) {
		t[i] = (struct storm){v, seed + i};
		if (pthread_create(&id[i], NULL, storm_thread, &t[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < 4; i++) {
		void *r;

		pthread_join(id[i], &r);
		bad += (long)r;
	}
	return bad;
}

/* Threads of one process, with evictions while others read. */
static void threads_and_evictions(void **state)
{
	struct cache_env *v = *state;

	v->conf.max = 6 * MIB;
	cache_reopen(v);
	assert_int_equal(storm(v, 1), 0);
	struct slu_cache_counts n;

	slu_cache_counted(v->c, &n);
	assert_int_equal(n.bad, 0);
	assert_true(n.evicted > 0 && n.hits > 0);
}

/* Processes that share it: some are killed on the way, none ever reads a wrong byte. */
static void processes_share_it(void **state)
{
	struct cache_env *v = *state;
	pid_t child[4];

	v->conf.max = 8 * MIB;
	cache_close(v);
	for (unsigned i = 0; i < 4; i++) {
		child[i] = fork();
		assert_true(child[i] >= 0);
		if (child[i] == 0) {
			cache_open(v, "https://a/c", "key");
			_exit(storm(v, 100 * i) == 0 ? 0 : 1);
		}
	}
	kill(child[3], SIGKILL);
	for (unsigned i = 0; i < 4; i++) {
		int status;

		assert_int_equal(waitpid(child[i], &status, 0), child[i]);
		assert_int_equal(status, i == 3 && WIFSIGNALED(status) ? SIGKILL : 0);
	}
	cache_open(v, "https://a/c", "key");
	struct json_t *o = NULL;

	assert_int_equal(slu_cache_verify(v->c, &o, NULL), 0);
	assert_int_equal(slu_json_int(o, "bad_blocks", -1), 0);
	assert_int_equal(slu_json_int(o, "dropped_files", -1), 0);
	assert_true(slu_json_int(o, "blocks", 0) > 0);
	slu_json_free(o);
}

static atomic_int left;

static void one_came(struct slu_op *op)
{
	if (op->rc == 0)
		atomic_fetch_sub(&left, 1);
}

static void asynchronous_reads(void **state)
{
	struct cache_env *v = *state;
	enum { N = 40 };
	static struct slu_op op[N];
	static char buf[N][100000];

	assert_int_equal(slu_pool_new(2, &v->f.pool, NULL), 0);
	for (int round = 0; round < 3; round++) {
		atomic_store(&left, N);
		for (int i = 0; i < N; i++) {
			slu_op_read(&op[i], i % 2 ? "a" : "b", (uint64_t)(i / 2) * 64 * KIB, 65536,
				    buf[i], "e");
			op[i].size = (uint64_t)N / 2 * 64 * KIB;
			op[i].prio = (uint8_t)(i % 3);
			op[i].done = one_came;
			slu_store_submit(v->s, &op[i]);
		}
		while (atomic_load(&left) > 0)
			sched_yield();
		slu_cache_flush(v->c);
		for (int i = 0; i < N; i++) {
			static char want[65536];

			cache_fill(want, sizeof(want), i % 2 ? "a" : "b", "e",
				   (uint64_t)(i / 2) * 64 * KIB);
			assert_memory_equal(buf[i], want, sizeof(want));
		}
	}
	assert_int_equal(v->asked, N * 65536);
	slu_pool_free(v->f.pool);
}

/* Without memory for a copy it is written before the read ends. */
static void without_memory_all_is_kept(void **state)
{
	struct cache_env *v = *state;
	struct slu_budget *b = NULL;

	assert_int_equal(slu_budget_new(SLU_BUDGET_MIN, &b), 0);
	slu_budget_take(b, SLU_BUDGET_DEMAND, SLU_BUDGET_MIN);
	v->conf.budget = b;
	cache_reopen(v);
	cache_read(v, "a", "e", FILE_LEN, 0, FILE_LEN);
	assert_int_equal(cache_read(v, "a", "e", FILE_LEN, 0, FILE_LEN), 0);
	cache_close(v);
	slu_budget_give(b, SLU_BUDGET_DEMAND, SLU_BUDGET_MIN);
	slu_budget_free(b);
	v->conf.budget = NULL;
	cache_open(v, "https://a/c", "key");
}

/* --- management --- */

static void flip_one(int fd, void *user)
{
	char c = 0;
	off_t at = *(off_t *)user;

	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 1;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
}

static void stat_verify_clear(void **state)
{
	struct cache_env *v = *state;
	struct json_t *o = NULL;
	off_t in_data = 2 * MIB, in_head = 3;

	cache_read(v, "a", "e", 1000, 0, 1000);
	cache_read(v, "half", "e", 4 * MIB, 0, 2 * MIB);
	cache_read(v, "long", "e", 3 * MIB, 0, 3 * MIB);
	assert_int_equal(slu_cache_stat(v->c, &o, NULL), 0);
	assert_int_equal(slu_json_int(o, "files", -1), 3);
	assert_int_equal(slu_json_int(o, "complete", -1), 2);
	assert_true(slu_json_int(o, "bytes", -1) >= 5 * MIB);
	assert_int_equal(slu_json_int(o, "reserve_bytes", -1), 150000000);
	const struct json_t *one = slu_json_at(slu_json_get(o, "stores"), 0);

	assert_string_equal(slu_json_str(one, "store"), "https://a/c");
	assert_int_equal(slu_json_int(one, "files", -1), 3);
	slu_json_free(o);

	assert_int_equal(slu_cache_verify(v->c, &o, NULL), 0);
	assert_int_equal(slu_json_int(o, "files", -1), 3);
	assert_int_equal(slu_json_int(o, "blocks", -1), 1 + 32 + 48);
	assert_int_equal(slu_json_int(o, "bytes", -1), 5 * MIB + 1000);
	assert_int_equal(slu_json_int(o, "bad_blocks", -1), 0);
	slu_json_free(o);

	/* Of "half" that is a hole's zero, which nobody promised anything of. */
	assert_int_equal(cache_files(v, 'd', flip_one, &in_data), 2);
	assert_int_equal(cache_files(v, 's', flip_one, &in_head), 1);
	cache_reopen(v);
	assert_int_equal(slu_cache_verify(v->c, &o, NULL), 0);
	assert_int_equal(slu_json_int(o, "bad_blocks", -1), 1);
	assert_int_equal(slu_json_int(o, "dropped_files", -1), 1);
	slu_json_free(o);
	assert_int_equal(slu_cache_verify(v->c, &o, NULL), 0);
	assert_int_equal(slu_json_int(o, "bad_blocks", -1), 0);
	slu_json_free(o);
	assert_int_equal(cache_read(v, "long", "e", 3 * MIB, 0, 3 * MIB), SLU_CACHE_BLOCK);

	assert_int_equal(slu_cache_clear(v->c, &o, NULL), 0);
	assert_int_equal(slu_json_int(o, "files", -1), 2);
	slu_json_free(o);
	assert_int_equal(used(v), 0);
	assert_int_equal(cache_read(v, "long", "e", 3 * MIB, 0, 3 * MIB), 3 * MIB);
}

static void warming(void **state)
{
	struct cache_env *v = *state;
	struct slu_tree t = {0};
	struct slu_tree_source source = {.store = v->s, .base = (char *)""};
	struct slu_attr a = {.kind = SLU_KIND_FILE, .id = "e"};
	struct slu_err e = {0};
	struct json_t *o = NULL;
	uint64_t all = 0;
	char name[24];

	t.sources = &source;
	assert_int_equal(slu_manifest_new(&t.manifest), 0);
	assert_int_equal(slu_manifest_add_source(t.manifest, "", "azureml://datastores/d/paths/"),
			 0);
	for (unsigned i = 0; i < 40; i++) {
		name_of(name, i);
		a.size = i * 100003;
		all += a.size;
		assert_int_equal(slu_manifest_add(t.manifest, name, &a), 0);
	}
	assert_int_equal(slu_manifest_finish(t.manifest, &e), 0);
	cache_read(v, "f39", "e", 39 * 100003, 0, MIB);
	uint64_t before = v->asked;

	assert_int_equal(slu_cache_warm(&t, NULL, NULL, &o, &e), 0);
	assert_int_equal(slu_json_int(o, "files", -1), 40);
	assert_int_equal(slu_json_int(o, "bytes", -1), all);
	assert_int_equal(slu_json_int(o, "fetched_bytes", -1), all - MIB);
	assert_int_equal(v->asked - before, all - MIB);
	slu_json_free(o);
	assert_int_equal(slu_cache_warm(&t, NULL, NULL, &o, &e), 0);
	assert_int_equal(slu_json_int(o, "fetched_bytes", -1), 0);
	slu_json_free(o);

	assert_int_equal(slu_cache_clear(v->c, &o, &e), 0);
	slu_json_free(o);
	v->conf.max = 5 * MIB; /* each file fits, all do not */
	cache_reopen(v);
	source.store = v->s;
	slu_log_level(SLU_LOG_ERROR);
	assert_failed(slu_cache_warm(&t, NULL, NULL, &o, &e), e, ENOSPC, "--cache-size");
	slu_log_level(SLU_LOG_WARNING);
	slu_manifest_free(t.manifest);
}

/* Whoever is stopped while he has the lock of the folder does not stop others. */
static void a_lock_that_is_not_given_back(void **state)
{
	struct cache_env *v = *state;
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = openat(v->c->fd, "use", O_RDWR | O_CLOEXEC);
	struct json_t *o = NULL;

	alarm(240); /* it would be for ever */
	slu_log_level(SLU_LOG_ERROR);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &l), 0);
	assert_int_equal(cache_read(v, "f", "e", FILE_LEN, 0, FILE_LEN), FILE_LEN);
	assert_int_equal(cache_read(v, "f", "e", FILE_LEN, 0, FILE_LEN), FILE_LEN);
	assert_int_equal(slu_cache_clear(v->c, &o, NULL), 0);
	slu_json_free(o);
	close(fd);
	fd = openat(v->c->fd, "use", O_RDWR | O_CLOEXEC);
	cache_close(v);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	cache_open(v, "https://a/c", "key");
	assert_int_equal(cache_read(v, "f", "e", FILE_LEN, 0, FILE_LEN), FILE_LEN);
	close(fd);
	cache_reopen(v);
	assert_int_equal(cache_read(v, "f", "e", FILE_LEN, 0, FILE_LEN), FILE_LEN);
	assert_int_equal(cache_read(v, "f", "e", FILE_LEN, 0, FILE_LEN), 0);
	slu_log_level(SLU_LOG_WARNING);
	alarm(0);
}

static atomic_bool cleared;

static void *fill_and_clear(void *user)
{
	struct cache_env *v = user;
	struct json_t *o = NULL;
	char name[24];

	for (unsigned i = 0; i < 200; i++) {
		for (unsigned k = 0; k < 8; k++) {
			name_of(name, k);
			cache_read(v, name, "e", FILE_LEN * (1 + k), 0, FILE_LEN * (1 + k));
		}
		assert_int_equal(slu_cache_clear(v->c, &o, NULL), 0);
		slu_json_free(o);
	}
	atomic_store(&cleared, true);
	return NULL;
}

/* What comes and goes beside a check is not called wrong by it. */
static void a_check_beside_others(void **state)
{
	struct cache_env *v = *state;
	struct slu_cache *other = NULL;
	pthread_t t;

	assert_int_equal(slu_cache_open(&v->conf, &other, NULL), 0);
	assert_int_equal(pthread_create(&t, NULL, fill_and_clear, v), 0);
	while (!atomic_load(&cleared)) {
		struct json_t *o = NULL;

		assert_int_equal(slu_cache_verify(other, &o, NULL), 0);
		assert_int_equal(slu_json_int(o, "dropped_files", -1), 0);
		slu_json_free(o);
	}
	pthread_join(t, NULL);
	slu_cache_free(other);
}

static void unlink_data(struct cache_env *v, const struct slu_centry *e)
{
	char name[SLU_CNAME + 4];

	snprintf(name, sizeof(name), "%s.d", e->name);
	assert_int_equal(unlinkat(v->c->fd, name, 0), 0);
}

/* Room is made in two steps, and somebody else makes the entry anew between them: what he says of his bytes is
 * not true of ours. */
static void records_of_another_file_of_bytes(void **state)
{
	struct cache_env *v = *state;
	const uint64_t len = 2 * MIB;
	struct slu_cache *other = NULL;
	char *buf = malloc(len);
	int fd = -1;

	cache_fill(buf, len, "f", "e", 0);
	assert_int_equal(slu_cache_open(&v->conf, &other, NULL), 0);
	struct slu_centry *a = slu_centry_get(other, 0, "https://a/c", "key", "f", "e", len);
	struct slu_centry *b = slu_centry_get(v->c, 0, "https://a/c", "key", "f", "e", len);

	slu_centry_write(a, 0, 64 * KIB, buf);
	unlink_data(v, a);
	assert_int_equal(slu_centry_open(b, SLU_C_CREATE), 0);
	slu_centry_write(a, 0, len / 2, buf); /* into what has no name any more */
	slu_centry_write(b, 0, len, buf);
	assert_false(slu_centry_checked(b));
	assert_false(slu_centry_check(b));
	slu_centry_unref(a);
	slu_centry_unref(b);
	slu_cache_free(other);
	assert_int_equal(cache_read(v, "f", "e", len, 0, len), len / 2);
	assert_int_equal(cache_read(v, "f", "e", len, 0, len), 0);
	assert_int_equal(slu_cache_whole(v->s, "f", "e", len, 0, &fd), 0);
	assert_int_equal(pread(fd, buf, 1, 0), 1);
	close(fd);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CACHE_TEST(stays_within_its_size),
		CACHE_TEST(the_least_recently_used_goes),
		CACHE_TEST(too_long_for_it_is_not_kept),
		CACHE_TEST(a_reserve_that_is_not_there_stops_it),
		CACHE_TEST(the_count_is_right_after_a_crash),
		CACHE_TEST(threads_and_evictions),
		CACHE_TEST(processes_share_it),
		CACHE_TEST(asynchronous_reads),
		CACHE_TEST(without_memory_all_is_kept),
		CACHE_TEST(stat_verify_clear),
		CACHE_TEST(warming),
		CACHE_TEST(a_lock_that_is_not_given_back),
		CACHE_TEST(a_check_beside_others),
		CACHE_TEST(records_of_another_file_of_bytes),
	};

	return cmocka_run_group_tests_name("cachelife", tests, NULL, NULL);
}
