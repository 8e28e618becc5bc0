/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault counter.  One counter per kind; the counters are atomic, so the Nth call is well
 * defined also when several threads make calls, though which thread makes it is not.  What a
 * failing call looks like (NULL, EIO) is the business of the place that asks.
 */
#include "common/fault.h"
#include "common/str.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct counter {
	atomic_long nth; /* 0: not armed */
	atomic_long seen;
	atomic_bool persistent;
};

static struct counter counters[_SLU_FAULT_MAX];

bool slu_fault_on;

void slu_fault_arm(enum slu_fault_kind kind, long nth, bool persistent)
{
	bool any = false;

	atomic_store(&counters[kind].persistent, persistent);
	if (nth) /* disarming leaves the count to be read */
		atomic_store(&counters[kind].seen, 0);
	atomic_store(&counters[kind].nth, nth);
	for (int i = 0; i < _SLU_FAULT_MAX; i++)
		any |= atomic_load(&counters[i].nth) != 0;
	__atomic_store_n(&slu_fault_on, any, __ATOMIC_RELAXED);
}

long slu_fault_count(enum slu_fault_kind kind)
{
	return atomic_load(&counters[kind].seen);
}

bool slu_fault_hit(enum slu_fault_kind kind)
{
	struct counter *c = &counters[kind];
	long seen = atomic_fetch_add(&c->seen, 1) + 1;
	long nth = atomic_load(&c->nth);

	if (nth == 0)
		return false;
	return atomic_load(&c->persistent) ? seen >= nth : seen == nth;
}

/* "malloc:12" or "io:3+".  Anything else arms nothing: a typo shows as a test that finds no fault. */
static void arm_from(const char *word, size_t n)
{
	char text[32];
	bool persistent = false;
	enum slu_fault_kind kind;
	const char *number;
	uint64_t nth;

	if (n == 0 || n >= sizeof(text))
		return;
	memcpy(text, word, n);
	text[n] = '\0';
	if (text[n - 1] == '+') {
		persistent = true;
		text[n - 1] = '\0';
	}
	kind = SLU_FAULT_MALLOC;
	number = slu_after(text, "malloc:");
	if (!number) {
		kind = SLU_FAULT_IO;
		number = slu_after(text, "io:");
	}
	if (number && slu_u64(number, &nth) && nth <= INT32_MAX)
		slu_fault_arm(kind, (long)nth, persistent);
}

static __attribute__((constructor)) void arm_from_env(void)
{
	const char *s = getenv("SLUICE_FAIL");

	while (s && *s) {
		size_t n = strcspn(s, ",");

		arm_from(s, n);
		s += n;
		s += *s == ',';
	}
}
