/* SPDX-License-Identifier: Apache-2.0 */
/* Walks of a large flat store: pages of a thousand, several listings at a time, cut at its folders. */
#include "tests/unit/fs.h"

#include "fs/budget.h"
#include "fs/walk.h"

#include <pthread.h>

#define LARGE_PAGE 1000

struct large {
	char **name; /* sorted */
	size_t n;
	atomic_int cuts; /* listings of folders */
	bool meet;       /* listings below the first folder wait until two are there */
	pthread_mutex_t lock;
	pthread_cond_t met;
	int now, most; /* such listings at a time */
};
#define LARGE ((struct large){.lock = PTHREAD_MUTEX_INITIALIZER, .met = PTHREAD_COND_INITIALIZER})

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void large_file(struct large *t, const char *folder, const char *name)
{
	t->name = realloc(t->name, (t->n + 1) * sizeof(*t->name));
	assert_non_null(t->name);
	assert_true(asprintf(&t->name[t->n++], "%s%s", folder, name) > 0);
}

static void large_add(struct large *t, const char *folder, unsigned n)
{
	char file[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "f%05u", i);
		large_file(t, folder, file);
	}
}

/* The first name that is not before text. */
static size_t large_at(const struct large *t, const char *text)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (strcmp(t->name[mid], text) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Markers are the names that pages begin with. */
static void large_list(const struct large *t, struct slu_op *op)
{
	static const struct slu_attr file = {.kind = SLU_KIND_FILE, .id = "i"},
				     dir = {.kind = SLU_KIND_DIR};
	char prefix[256];
	size_t n = (size_t)snprintf(prefix, sizeof(prefix), "%s%s%s", op->path,
				    *op->path ? "/" : "", op->start ? op->start : "");
	size_t base = strlen(op->path) + (*op->path != '\0'), i, k = 0;

	for (i = large_at(t, op->marker ? op->marker : prefix);
	     i < t->n && strncmp(t->name[i], prefix, n) == 0 && k < LARGE_PAGE; k++) {
		const char *rel = t->name[i] + base;
		size_t len = strcspn(rel, "/");

		if (op->flags & SLU_OPF_RECURSIVE || !rel[len]) {
			assert_int_equal(slu_list_add(op->list, rel, strlen(rel), &file), 0);
			i++;
			continue;
		}
		assert_int_equal(slu_list_add(op->list, rel, len, &dir), 0);
		while (i < t->n && strncmp(t->name[i], prefix, n) == 0 &&
		       strncmp(t->name[i] + base, rel, len + 1) == 0)
			i++;
	}
	if (i < t->n && strncmp(t->name[i], prefix, n) == 0)
		op->list->next = strdup(t->name[i]);
}

/* The time is for a walk that never does two: then `most` says so. */
static void large_meet(struct large *t)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 100;
	pthread_mutex_lock(&t->lock);
	if (++t->now > t->most)
		t->most = t->now;
	pthread_cond_broadcast(&t->met);
	while (t->most < 2 && pthread_cond_timedwait(&t->met, &t->lock, &end) == 0)
		;
	t->now--;
	pthread_mutex_unlock(&t->lock);
}

static int large_op(struct fake *f, struct slu_op *op)
{
	struct large *t = f->user;

	if (op->type != SLU_OP_LIST) {
		op->attr = (struct slu_attr){.kind = SLU_KIND_DIR};
		return 0;
	}
	if (!(op->flags & SLU_OPF_RECURSIVE))
		atomic_fetch_add(&t->cuts, 1);
	else if (t->meet && *op->path)
		large_meet(t);
	large_list(t, op);
	return 0;
}

struct tally {
	const struct large *t;
	size_t n;
	uint8_t *seen;
	bool sorted;
	const char *last;
};

static int count_one(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	struct tally *y = user;
	size_t i = large_at(y->t, path);

	(void)a;
	(void)e;
	if (i == y->t->n || strcmp(y->t->name[i], path) != 0)
		fail_msg("'%s' is not there", path);
	if (y->seen[i]++)
		fail_msg("'%s' came twice", path);
	y->sorted = y->sorted && (!y->last || strcmp(y->last, path) < 0);
	y->last = y->t->name[i];
	y->n++;
	return 0;
}

static void walk_large(struct slu_store *st, const struct large *t, unsigned flags)
{
	struct tally y = {.t = t, .seen = calloc(t->n, 1), .sorted = true};
	struct slu_err e = {0};

	if (slu_walk_with(st, "", flags, count_one, &y, &e) != 0)
		fail_msg("%s", e.msg);
	assert_int_equal(y.n, t->n);
	assert_true(y.sorted || flags & SLU_WALK_ANY_ORDER);
	free(y.seen);
}

/* Folders in folders at random, of all sizes, with names that sort around '/'. */
static void large_grow(struct large *t, const char *folder, unsigned *seed, int depth)
{
	static const char *const names[] = {"a", "a b", "a-", "a.", "a0", "\xc3\xa4", "b", "z%41"};
	static const size_t sizes[] = {0, 1, 3, 700, 2500};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[256];

		if (rand_r(seed) % 3 == 0)
			continue;
		snprintf(path, sizeof(path), "%s%s/", folder, names[i]);
		large_add(t, path, sizes[rand_r(seed) % 5]);
		if (rand_r(seed) % 4 == 0) /* a file beside the folder of its name */
			large_file(t, folder, names[i]);
		if (depth && rand_r(seed) % 2)
			large_grow(t, path, seed, depth - 1);
	}
}

static void large_done(struct large *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->name[i]);
	free(t->name);
}

static void large_listings_lose_and_double_nothing(void **state)
{
	int cuts = 0;

	(void)state;
	for (unsigned seed = 1; seed <= 12; seed++) {
		struct large t = LARGE;
		struct fake f;
		struct slu_store *st = fake_init(&f, large_op);
		unsigned at = seed;

		assert_int_equal(slu_pool_new(4, &f.pool, NULL), 0);
		f.user = &t;
		large_grow(&t, "", &at, 2);
		qsort(t.name, t.n, sizeof(*t.name), by_text);
		walk_large(st, &t, 0);
		walk_large(st, &t, SLU_WALK_ANY_ORDER);
		cuts += t.cuts;
		slu_pool_free(f.pool);
		large_done(&t);
	}
	assert_in_range(cuts, 20, 10000);
}

static void listings_of_large_folders_go_on_at_the_same_time(void **state)
{
	struct large t = LARGE;
	struct fake f;
	struct slu_store *st = fake_init(&f, large_op);
	char folder[32];
	int calls;

	(void)state;
	assert_int_equal(slu_pool_new(4, &f.pool, NULL), 0);
	f.user = &t;
	t.meet = true;
	for (int i = 0; i < 30; i++) {
		snprintf(folder, sizeof(folder), "top/d%02d/", i);
		large_add(&t, folder, 3000);
	}
	walk_large(st, &t, 0);
	assert_in_range(t.most, 2, 8);
	assert_in_range(t.cuts, 1, 3);
	assert_in_range(f.calls, 90, 150); /* 90 pages when nothing is cut */
	large_done(&t);
	/* of small folders the pages are read one after the other */
	t = LARGE;
	for (int i = 0; i < 1000; i++) {
		snprintf(folder, sizeof(folder), "d%03d/", i);
		large_add(&t, folder, 5);
	}
	calls = f.calls;
	walk_large(st, &t, 0);
	assert_int_equal(t.cuts, 0);
	assert_int_equal(f.calls - calls, 1 + 5);
	slu_pool_free(f.pool);
	large_done(&t);
}

/* Pages are drawn on the budget: fewer at a time where it is small, one where there is none left. */
static void pages_are_drawn_on_the_budget(void **state)
{
	struct slu_budget *b = slu_budget_process();
	uint64_t was = slu_budget_limit(b);
	struct large t = LARGE;
	struct slu_budget_gauges g;
	struct fake f;
	struct slu_store *st = fake_init(&f, large_op);
	char folder[32];

	(void)state;
	assert_int_equal(slu_pool_new(4, &f.pool, NULL), 0);
	f.user = &t;
	for (int i = 0; i < 30; i++) {
		snprintf(folder, sizeof(folder), "top/d%02d/", i);
		large_add(&t, folder, 3000);
	}
	slu_budget_set_limit(b, SLU_BUDGET_MIN);
	walk_large(st, &t, SLU_WALK_ANY_ORDER);
	slu_budget_read(b, &g);
	assert_int_equal(g.by[SLU_BUDGET_LIST], 0);
	assert_in_range(g.peak_by[SLU_BUDGET_LIST], 4u << 20, SLU_BUDGET_MIN / 8 * 7);
	assert_true(g.refused[SLU_BUDGET_LIST] > 0);
	slu_budget_take(b, SLU_BUDGET_DEMAND, SLU_BUDGET_MIN);
	walk_large(st, &t, 0);
	slu_budget_give(b, SLU_BUDGET_DEMAND, SLU_BUDGET_MIN);
	slu_budget_read(b, &g);
	assert_int_equal(g.by[SLU_BUDGET_LIST], 0);
	slu_budget_set_limit(b, was);
	slu_pool_free(f.pool);
	large_done(&t);
}

static int stop_at_once(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	(void)user;
	(void)path;
	(void)a;
	(void)e;
	return 77;
}

static void patterns_ask_for_what_names_begin_with(void **state)
{
	struct large t = LARGE;
	struct fake f;
	struct slu_store *st = fake_init(&f, large_op);
	struct tally y = {.t = &t};

	(void)state;
	f.user = &t;
	for (int i = 0; i < 20; i++) {
		char folder[32];

		snprintf(folder, sizeof(folder), "y/d%02d/", i);
		large_add(&t, folder, 999);
	}
	y.seen = calloc(t.n, 1);
	assert_int_equal(slu_walk_glob(st, "y/d1[37]/**/f0000[01]", count_one, &y, NULL), 0);
	assert_int_equal(y.n, 4);
	assert_true(y.seen[large_at(&t, "y/d13/f00000")] && y.seen[large_at(&t, "y/d17/f00001")]);
	assert_in_range(f.calls, 1, 15); /* ten folders of twenty */
	memset(y.seen, 0, t.n);
	assert_int_equal(slu_walk_glob(st, "y/d1[37]/f00000", count_one, &y, NULL), 0);
	assert_int_equal(y.n, 6);
	free(y.seen);
	assert_int_equal(slu_walk(st, "", stop_at_once, NULL, NULL), 77);
	large_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_drawn_on_the_budget), /* first: peaks stay */
		cmocka_unit_test(large_listings_lose_and_double_nothing),
		cmocka_unit_test(listings_of_large_folders_go_on_at_the_same_time),
		cmocka_unit_test(patterns_ask_for_what_names_begin_with),
	};

	return cmocka_run_group_tests_name("walk-large", tests, NULL, NULL);
}
