/* SPDX-License-Identifier: Apache-2.0 */
/* Which files of a mount are open and how, and the decision who opens them. */
#include "tests/unit/views.h"

#include "fs/mount_open.h"

static struct slu_mopened *table(void **state)
{
	return *state;
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct slu_mopened));
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void a_file_keeps_its_way_until_its_last_release(void **state)
{
	struct slu_mopened *t = table(state);
	int32_t id = 0;

	assert_int_equal(slu_mopened_again(t, 7, &id), 0);
	assert_true(slu_mopened_may_pass(t, 7));
	assert_int_equal(slu_mopened_first(t, 7, 0), SLU_MWAY_CACHED);
	assert_int_equal(slu_mopened_first(t, 8, 31), SLU_MWAY_PASSED);
	assert_int_equal(slu_mopened_again(t, 7, &id), SLU_MWAY_CACHED);
	assert_int_equal(id, 0);
	assert_int_equal(slu_mopened_again(t, 8, &id), SLU_MWAY_PASSED);
	assert_int_equal(id, 31);
	assert_int_equal(slu_mopened_release(t, 7, SLU_MWAY_CACHED), 0);
	assert_int_equal(slu_mopened_release(t, 8, SLU_MWAY_PASSED), 0);
	assert_int_equal(slu_mopened_again(t, 7, &id), SLU_MWAY_CACHED);
	assert_int_equal(slu_mopened_release(t, 7, SLU_MWAY_CACHED), 0);
	assert_int_equal(slu_mopened_release(t, 7, SLU_MWAY_CACHED), 0);
	assert_int_equal(slu_mopened_again(t, 7, &id), 0);
	assert_int_equal(slu_mopened_release(t, 8, SLU_MWAY_PASSED), 31);
	assert_int_equal(slu_mopened_again(t, 8, &id), 0);
	/* The other way is free now. */
	assert_int_equal(slu_mopened_first(t, 7, 32), SLU_MWAY_PASSED);
}

static void a_release_of_what_is_not_open_is_nothing(void **state)
{
	struct slu_mopened *t = table(state);

	assert_int_equal(slu_mopened_release(t, 5, SLU_MWAY_PASSED), 0);
	assert_int_equal(slu_mopened_release(t, 5, SLU_MWAY_LOOSE), 0);
	assert_int_equal(slu_mopened_release(t, 5, SLU_MWAY_DIRECT), 0);
	assert_int_equal(t->loose, 0);
}

/* Far more files than places: each open has a way, and nothing begins to be passed through while one is
 * open that is not in the table. */
static void more_files_than_places(void **state)
{
	struct slu_mopened *t = table(state);
	uint64_t n = 3 * SLU_MOPENED_BUCKETS * SLU_MOPENED_WAYS;
	enum slu_mway *way = calloc(n + 1, sizeof *way);
	unsigned loose = 0;
	int32_t id;

	for (uint64_t i = 1; i <= n; i++) {
		way[i] = slu_mopened_first(t, i, 0);
		loose += way[i] == SLU_MWAY_LOOSE;
	}
	assert_true(loose >= n * 2 / 3 && loose < n);
	assert_int_equal(t->loose, loose);
	for (uint64_t i = 1; i <= n; i++)
		if (way[i] == SLU_MWAY_CACHED)
			assert_int_equal(slu_mopened_release(t, i, SLU_MWAY_CACHED), 0);
	/* A loose one has room now; it must not be passed through all the same. */
	for (uint64_t i = 1; i <= n; i++)
		assert_false(slu_mopened_may_pass(t, i));
	assert_int_equal(slu_mopened_first(t, 1, 9), SLU_MWAY_LOOSE);
	assert_int_equal(slu_mopened_release(t, 1, SLU_MWAY_LOOSE), 0);
	for (uint64_t i = 1; i <= n; i++)
		if (way[i] == SLU_MWAY_LOOSE)
			slu_mopened_release(t, i, SLU_MWAY_LOOSE);
	assert_int_equal(t->loose, 0);
	assert_int_equal(slu_mopened_first(t, 1, 9), SLU_MWAY_PASSED);
	assert_int_equal(slu_mopened_again(t, 1, &id), SLU_MWAY_PASSED);
	free(way);
}

/* --- the decision --- */

static void add_files(struct slu_manifest *m, const char *dir, unsigned n, uint64_t size)
{
	for (unsigned i = 0; i < n; i++) {
		struct slu_attr a = {.size = size, .kind = SLU_KIND_FILE, .id = "i"};
		char path[32];

		snprintf(path, sizeof path, "%s/%05u", dir, i);
		assert_int_equal(slu_manifest_add(m, path, &a), 0);
	}
}

struct tree {
	unsigned large, small; /* files of 8 MiB, of 10 KiB */
	const char *mode;
	bool live, cached;
};

static enum slu_mmode suggest(struct tree of)
{
	struct slu_settings set = *slu_settings_default();
	struct slu_err e = {0};
	struct slu_tree t = {0};

	set.live = of.live;
	if (of.mode)
		snprintf(set.open_mode, sizeof set.open_mode, "%s", of.mode);
	assert_int_equal(slu_manifest_new(&t.manifest), 0);
	assert_int_equal(slu_manifest_add_source(t.manifest, "", "file:///test"), 0);
	add_files(t.manifest, "large", of.large, 8 << 20);
	add_files(t.manifest, "small", of.small, 10 << 10);
	assert_int_equal(slu_manifest_finish(t.manifest, &e), 0);
	enum slu_mmode got = slu_mopens_suggest(&t, &set, of.cached);

	slu_manifest_free(t.manifest);
	return got;
}

static void few_large_files_are_passed_through(void **state)
{
	(void)state;
	assert_int_equal(suggest((struct tree){.large = 5, .cached = true}), SLU_MMODE_PASS);
	assert_int_equal(suggest((struct tree){.large = 5, .small = 100, .cached = true}),
			 SLU_MMODE_PASS);
}

static void many_small_files_are_opened_by_the_kernel(void **state)
{
	(void)state;
	assert_int_equal(suggest((struct tree){.small = 1000, .cached = true}), SLU_MMODE_KERNEL);
	assert_int_equal(suggest((struct tree){.large = 5, .small = 1000, .cached = true}),
			 SLU_MMODE_KERNEL);
}

static void without_a_cache_nothing_can_be_passed_through(void **state)
{
	(void)state;
	assert_int_equal(suggest((struct tree){.large = 5}), SLU_MMODE_KERNEL);
	assert_int_equal(suggest((struct tree){.large = 5, .live = true}), SLU_MMODE_ASKED);
}

static void what_is_asked_for_is_taken(void **state)
{
	(void)state;
	assert_int_equal(suggest((struct tree){.large = 5, .cached = true, .mode = "none"}),
			 SLU_MMODE_KERNEL);
	assert_int_equal(suggest((struct tree){.small = 9, .cached = true, .mode = "passthrough"}),
			 SLU_MMODE_PASS);
	assert_int_equal(suggest((struct tree){.small = 9, .mode = "direct"}), SLU_MMODE_DIRECT);
	/* Live: every open is a look at the store, so it has to come. */
	assert_int_equal(suggest((struct tree){.small = 9, .live = true, .mode = "none"}),
			 SLU_MMODE_ASKED);
	assert_int_equal(suggest((struct tree){.large = 9, .live = true, .cached = true}),
			 SLU_MMODE_ASKED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_file_keeps_its_way_until_its_last_release),
		T(a_release_of_what_is_not_open_is_nothing),
		T(more_files_than_places),
		T(few_large_files_are_passed_through),
		T(many_small_files_are_opened_by_the_kernel),
		T(without_a_cache_nothing_can_be_passed_through),
		T(what_is_asked_for_is_taken),
	};

	return cmocka_run_group_tests_name("mountopened", tests, NULL, NULL);
}
