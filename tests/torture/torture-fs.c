/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the Nth allocation, then the Nth I/O call, of every scenario over a local store fail, for N
 * from 1 until a run meets no failure any more; once with only that call failing, once with all
 * later ones too.  A run either succeeds with the right bytes or ends in the failure's code with a
 * message; no file is ever half there; no descriptor stays open; and it succeeds when tried again.
 */
#include "tests/unit/fs.h"

#include "common/buf.h"
#include "common/fault.h"
#include "common/json.h"
#include "fs/layers.h"
#include "fs/manifest.h"
#include "fs/walk.h"
#include "fs/writer.h"
#include "io/loop.h"

#include <dirent.h>

enum { RUNS_MAX = 5000, BIG = 30000 };

static struct slu_pool *pool;
static struct slu_loops *loops;
static char text[2][BIG + 1];

struct scenario {
	const char *name;
	int (*run)(const char *root, struct slu_err *e);
	unsigned min[_SLU_FAULT_MAX]; /* calls it must make at least, so that it tests at all */
};

static void require(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "# wrong: %s\n", what);
		abort();
	}
}

static int check_text(struct slu_store *s, const char *path, const char *want, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *got = NULL;
	size_t n;
	int r = slu_store_get(s, path, 1 << 20, &got, &n, e);

	if (r == 0)
		require(n == strlen(want) && memcmp(got, want, n) == 0, "other bytes");
	return r;
}

static int run_put(const char *root, struct slu_err *e)
{
	SLU_AUTO(slu_store_freep) struct slu_store *s = NULL;
	int r = slu_local_new(root, true, pool, &s, e);

	if (r == 0)
		r = slu_store_put(s, "d/e/f", text[0], BIG, SLU_OPF_DURABLE, NULL, e);
	if (r == 0)
		r = slu_store_put(s, "d/e/f", text[1], BIG, SLU_OPF_DURABLE, NULL, e);
	if (r == 0)
		r = check_text(s, "d/e/f", text[1], e);
	if (r == 0)
		r = slu_store_delete(s, "d/g", SLU_OPF_TREE, e);
	if (r == 0)
		r = slu_store_put(s, "d/g/h", text[0], BIG, SLU_OPF_ABSENT, NULL, e);
	return r == 0 ? check_text(s, "d/g/h", text[0], e) : r;
}

static int run_writer(const char *root, struct slu_err *e)
{
	SLU_AUTO(slu_store_freep) struct slu_store *s = NULL;
	SLU_AUTO(slu_writer_freep) struct slu_writer *w = NULL;
	int r = slu_local_new(root, true, pool, &s, e);

	if (r < 0)
		return r;
	s->block = 4096;
	r = slu_store_delete(s, "w", SLU_OPF_TREE, e);
	if (r == 0)
		r = slu_writer_new(s, "w/f", SLU_OPF_DURABLE | SLU_OPF_ABSENT, NULL, &w, e);
	for (int i = 0; i < 3 && r == 0; i++)
		r = slu_writer_write(w, text[0] + i * BIG / 3, BIG / 3, e);
	if (r == 0)
		r = slu_writer_commit(w, NULL, e);
	return r == 0 ? check_text(s, "w/f", text[0], e) : r;
}

static int count(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	(void)path;
	(void)a;
	(void)e;
	++*(int *)user;
	return 0;
}

static int run_walk(const char *root, struct slu_err *e)
{
	SLU_AUTO(slu_store_freep) struct slu_store *s = NULL;
	int all = 0, some = 0, few = 0, r = slu_local_new(root, true, pool, &s, e);
	char path[32];

	for (int i = 0; i < 12 && r == 0; i++) {
		snprintf(path, sizeof(path), "t/d%d/f%d.csv", i % 4, i);
		r = slu_store_put(s, path, "x", 1, 0, NULL, e);
	}
	if (r == 0)
		r = slu_walk(s, "t", count, &all, e);
	if (r == 0)
		r = slu_walk_glob(s, "t/**/{f1,f2}*.csv", count, &some, e);
	if (r == 0)
		r = slu_walk_dir(s, "t", count, &few, e);
	if (r == 0)
		require(all == 12 && some == 4 && few == 4, "files are missing");
	return r;
}

static int run_change(const char *root, struct slu_err *e)
{
	SLU_AUTO(slu_store_freep) struct slu_store *s = NULL;
	struct slu_op op;
	int r = slu_local_new(root, true, pool, &s, e);

	if (r == 0)
		r = slu_store_delete(s, "c", SLU_OPF_TREE, e);
	if (r == 0) {
		slu_op_mkdir(&op, "c/a/b");
		r = slu_store_wait(s, &op, e);
	}
	if (r == 0)
		r = slu_store_put(s, "c/a/b/f", text[1], BIG, 0, NULL, e);
	if (r == 0) {
		slu_op_rename(&op, "c/a/b/f", "c/new/g", SLU_OPF_ABSENT);
		r = slu_store_wait(s, &op, e);
	}
	if (r == 0)
		r = check_text(s, "c/new/g", text[1], e);
	if (r == 0)
		r = slu_store_delete(s, "c/new/g", 0, e);
	return r;
}

static int build(struct slu_manifest *m, struct slu_err *e)
{
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = 5, .id = "id", .sum = "md5:0"};
	int r = slu_manifest_add_source(m, "", "file:///somewhere");
	char path[64];

	for (int i = 0; i < 40 && r == 0; i++) {
		snprintf(path, sizeof(path), "dir %d/file-%d", i * 7 % 40, i);
		r = slu_manifest_add(m, path, &a);
	}
	if (r < 0)
		return slu_fail(e, -r, "cannot build a manifest");
	return slu_manifest_finish(m, e);
}

static int run_manifest(const char *root, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL, *back = NULL;
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
	char one[SLU_DIGEST_HEX], two[SLU_DIGEST_HEX];
	int r = slu_manifest_new(&m);

	(void)root;
	r = r < 0 ? slu_fail_oom(e) : build(m, e);
	if (r < 0)
		return r;
	r = slu_manifest_write(m, &b);
	if (r < 0)
		return slu_fail(e, -r, "cannot write the manifest");
	r = slu_manifest_parse(b.p, b.len, "m", &back, e);
	if (r < 0)
		return r;
	if (slu_manifest_digest(m, one) < 0 || slu_manifest_digest(back, two) < 0)
		return slu_fail(e, ENOMEM, "cannot digest the manifest");
	require(slu_streq(one, two), "another manifest came back");
	return 0;
}

/* The whole stack, with a store below that refuses now and then. */
static int run_stack(const char *root, struct slu_err *e)
{
	struct slu_retry_conf quick = {.base_ns = 1000, .cap_ns = 1000};
	SLU_AUTO(slu_window_freep) struct slu_window *window = NULL;
	SLU_AUTO(slu_store_freep) struct slu_store *s = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *stats = NULL;
	int r = slu_local_new(root, true, pool, &s, e);

	if (r == 0)
		r = slu_faulty_push(&s, "put:#1:EAGAIN,read:#1:EIO,stat:#1:delay=1ms", loops, e);
	if (r == 0 && (slu_window_new(NULL, loops, &window) < 0 || slu_limit_push(&s, window) < 0 ||
		       slu_retry_push(&s, &quick, loops) < 0 || slu_trace_push(&s, "t") < 0))
		r = slu_fail_oom(e);
	if (r == 0)
		r = slu_store_put(s, "s", text[0], BIG, 0, NULL, e);
	if (r == 0)
		r = check_text(s, "s", text[0], e);
	stats = r == 0 ? slu_trace_stats(s) : NULL;
	return r == 0 && !stats ? slu_fail_oom(e) : r;
}

static const struct scenario scenarios[] = {
	{"put", run_put, {5, 25}},           {"writer", run_writer, {10, 30}},
	{"walk", run_walk, {40, 60}},        {"change", run_change, {3, 15}},
	{"manifest", run_manifest, {10, 0}}, {"stack", run_stack, {8, 6}},
};

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Every file that is visible is whole. */
static void check_visible(const char *root)
{
	static const char *const paths[] = {"d/e/f", "d/g/h", "w/f", "c/a/b/f", "c/new/g", "s"};
	char path[256];

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct slu_buf b = SLU_BUF(1 << 20);

		snprintf(path, sizeof(path), "%s/%s", root, paths[i]);
		if (slu_buf_read_at(&b, AT_FDCWD, path) == 0)
			require(b.len == BIG && (memcmp(b.p, text[0], BIG) == 0 ||
						 memcmp(b.p, text[1], BIG) == 0),
				"a file is half there");
		slu_buf_done(&b);
	}
}

/* True: the Nth call was never made. */
static bool one_run(const struct scenario *sc, const char *root, enum slu_fault_kind kind, long nth,
		    bool persistent)
{
	struct slu_err e = {0};
	int fds = open_fds(), r;
	long made;

	slu_fault_arm(kind, nth, persistent);
	r = sc->run(root, &e);
	made = slu_fault_count(kind);
	slu_fault_arm(kind, 0, false);
	if (r < 0 && (made < nth || !e.msg[0] || e.code != -r)) {
		fprintf(stderr, "# %s: rc %d after %ld of %ld calls, '%s'\n", sc->name, r, made,
			nth, e.msg);
		abort();
	}
	require(open_fds() == fds, "a descriptor stayed open");
	check_visible(root);
	if (r < 0 && sc->run(root, &e) < 0) {
		fprintf(stderr, "# %s, call %ld: the second run failed too: %s\n", sc->name, nth,
			e.msg);
		abort();
	}
	if (made < nth)
		require(nth > (long)sc->min[kind], "a scenario does less than it should");
	return made < nth;
}

static void torture(void **state)
{
	struct unit_dir dir;

	(void)state;
	unit_dir_make(&dir);
	assert_int_equal(slu_pool_new(1, &pool, NULL), 0);
	assert_int_equal(slu_loops_new(&(struct slu_loops_conf){.threads = 1}, &loops, NULL), 0);
	memset(text[0], 'a', BIG);
	memset(text[1], 'b', BIG);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		struct slu_err e = {0};
		long total = 0;

		if (scenarios[i].run(dir.path, &e) < 0) /* starts what starts once */
			fail_msg("%s without a fault: %s", scenarios[i].name, e.msg);
		for (int kind = 0; kind < _SLU_FAULT_MAX; kind++) {
			for (int persistent = 0; persistent < 2; persistent++) {
				long nth = 1;

				while (!one_run(&scenarios[i], dir.path, kind, nth, persistent))
					require(++nth < RUNS_MAX, "no end");
				total += nth;
			}
		}
		print_message("# %s: %ld runs\n", scenarios[i].name, total);
	}
	slu_loops_free(loops);
	slu_pool_free(pool);
	unit_dir_done(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(torture)};

	return cmocka_run_group_tests_name("torture-fs", tests, NULL, NULL);
}
