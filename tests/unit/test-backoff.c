/* SPDX-License-Identifier: Apache-2.0 */
/* Delays between tries: their bounds, their spread, overflow; random numbers differ by thread. */
#include "common/time.h"
#include "io/backoff.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

static void bounds(void **state)
{
	(void)state;
	const struct slu_backoff b = {.base_ns = 100 * SLU_MS, .cap_ns = 20 * SLU_SEC};
	for (unsigned t = 0; t < 70; t++) {
		int64_t top = t < 8 ? (100 * SLU_MS) << t : 20 * SLU_SEC, low = INT64_MAX, high = 0;
		for (int i = 0; i < 2000; i++) {
			int64_t d = slu_backoff_delay(&b, t, 0);
			assert_true(d >= 0 && d <= top);
			low = d < low ? d : low;
			high = d > high ? d : high;
		}
		/* Full jitter: from nearly nothing to nearly all. */
		assert_true(low < top / 10 && high > top - top / 10);
	}
}

static void at_least(void **state)
{
	(void)state;
	const struct slu_backoff b = SLU_BACKOFF_DEFAULT;
	for (int i = 0; i < 1000; i++) {
		int64_t d = slu_backoff_delay(&b, 0, 5 * SLU_SEC);
		assert_true(d >= 5 * SLU_SEC && d <= 5 * SLU_SEC + b.base_ns);
		assert_true(slu_backoff_delay(&b, 3, -1) >= 0);
		assert_true(slu_backoff_delay(&b, 30, INT64_MAX) == INT64_MAX);
	}
}

static void extremes(void **state)
{
	(void)state;
	const struct slu_backoff zero = {0}, huge = {.base_ns = INT64_MAX, .cap_ns = INT64_MAX},
				 odd = {.base_ns = 9, .cap_ns = 5};
	for (unsigned t = 0; t < 100; t++) {
		assert_true(slu_backoff_delay(&zero, t, 0) == 0);
		assert_true(slu_backoff_delay(&huge, t, 0) >= 0);
		assert_true(slu_backoff_delay(&odd, t, 0) <= 5);
	}
	assert_true(slu_backoff_delay(&huge, 4000000000u, 0) >= 0);
}

static void *draw(void *arg)
{
	*(uint64_t *)arg = slu_random();
	return NULL;
}

static void threads_differ(void **state)
{
	(void)state;
	uint64_t v[9];
	pthread_t t[8];
	v[8] = slu_random();
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&t[i], NULL, draw, &v[i]), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 9; i++)
		for (int k = 0; k < i; k++)
			assert_true(v[i] != v[k]);
	assert_true(slu_random() != slu_random());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounds),
		cmocka_unit_test(at_least),
		cmocka_unit_test(extremes),
		cmocka_unit_test(threads_differ),
	};
	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
