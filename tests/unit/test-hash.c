/* SPDX-License-Identifier: Apache-2.0 */
/* The string map, against a plain array as model. */
#include "tests/unit/unit.h"

#include "common/fault.h"
#include "common/hash.h"

static void put_get_replace_delete(void **state)
{
	struct slu_hash *h = slu_hash_new();
	int a, b;

	(void)state;
	assert_null(slu_hash_get(h, "x"));
	assert_null(slu_hash_del(h, "x"));
	assert_true(slu_hash_put(h, "x", &a));
	assert_true(slu_hash_put(h, "", &b));
	assert_ptr_equal(slu_hash_get(h, "x"), &a);
	assert_ptr_equal(slu_hash_get(h, ""), &b);
	assert_true(slu_hash_put(h, "x", &b));
	assert_int_equal(slu_hash_count(h), 2);
	assert_ptr_equal(slu_hash_del(h, "x"), &b);
	assert_null(slu_hash_get(h, "x"));
	assert_int_equal(slu_hash_count(h), 1);
	slu_hash_free(h, NULL);
	slu_hash_free(NULL, NULL);
}

static void keys_are_copied(void **state)
{
	struct slu_hash *h = slu_hash_new();
	char key[] = "key";

	(void)state;
	assert_true(slu_hash_put(h, key, h));
	key[0] = 'X';
	assert_ptr_equal(slu_hash_get(h, "key"), h);
	assert_null(slu_hash_get(h, key));
	slu_hash_free(h, NULL);
}

static void count_one(const char *key, void *value, void *u)
{
	assert_non_null(key);
	assert_non_null(value);
	++*(size_t *)u;
}

/* A fixed pseudo-random walk, so that a failure can be seen again. */
static void many_changes_agree_with_a_model(void **state)
{
	enum { KEYS = 700, STEPS = 60000 };
	static uintptr_t model[KEYS];
	struct slu_hash *h = slu_hash_new();
	uint32_t seed = 1;
	size_t count = 0, seen = 0;

	(void)state;
	for (int step = 1; step <= STEPS; step++) {
		char key[32];
		size_t k;

		seed = seed * 1664525u + 1013904223u;
		k = seed >> 8 & 0xffff;
		k %= KEYS;
		snprintf(key, sizeof(key), "some/key-%zu", k);
		assert_int_equal((uintptr_t)slu_hash_get(h, key), model[k]);
		if (seed >> 24 & 1) {
			assert_true(slu_hash_put(h, key, (void *)(uintptr_t)step));
			count += model[k] == 0;
			model[k] = (uintptr_t)step;
		} else {
			assert_int_equal((uintptr_t)slu_hash_del(h, key), model[k]);
			count -= model[k] != 0;
			model[k] = 0;
		}
		assert_int_equal(slu_hash_count(h), count);
	}
	slu_hash_each(h, count_one, &seen);
	assert_int_equal(seen, count);
	slu_hash_free(h, NULL);
}

static void values_can_be_freed(void **state)
{
	struct slu_hash *h = slu_hash_new();

	(void)state;
	assert_true(slu_hash_put(h, "a", malloc(10)));
	assert_true(slu_hash_put(h, "b", malloc(10)));
	slu_hash_free(h, free);
}

static void no_memory_changes_nothing(void **state)
{
	struct slu_hash *h = slu_hash_new();
	char key[16];
	size_t failed = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		snprintf(key, sizeof(key), "%d", i);
		for (long nth = 1;; nth++) {
			size_t before = slu_hash_count(h);
			bool ok;

			slu_fault_arm(SLU_FAULT_MALLOC, nth, false);
			ok = slu_hash_put(h, key, h);
			slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
			if (ok)
				break;
			failed++;
			assert_int_equal(slu_hash_count(h), before);
			assert_null(slu_hash_get(h, key));
		}
	}
	assert_true(failed >= 200);
	assert_int_equal(slu_hash_count(h), 200);
	slu_hash_free(h, NULL);
}

static void the_hash_depends_on_every_byte(void **state)
{
	char text[33] = {0};
	uint64_t h0;

	(void)state;
	for (size_t n = 0; n <= 32; n++) {
		h0 = slu_hash_bytes(text, n);
		assert_true(slu_hash_bytes(text, n) == h0);
		if (n < 32)
			assert_true(slu_hash_bytes(text, n + 1) != h0);
		for (size_t i = 0; i < n; i++) {
			text[i] = 1;
			assert_true(slu_hash_bytes(text, n) != h0);
			text[i] = 0;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_get_replace_delete),
		cmocka_unit_test(keys_are_copied),
		cmocka_unit_test(many_changes_agree_with_a_model),
		cmocka_unit_test(values_can_be_freed),
		cmocka_unit_test(no_memory_changes_nothing),
		cmocka_unit_test(the_hash_depends_on_every_byte),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
