/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the HDFS driver against the small WebHDFS of fakehdfs.h share. */
#ifndef SLU_TESTS_UNIT_HDFS_H
#define SLU_TESTS_UNIT_HDFS_H

#include "tests/unit/unit.h"

#include "fs/store.h"
#include "io/loop.h"
#include "tests/lib/fakehdfs.h"

static struct slu_loops *loops;
static struct slu_store *s;
static struct slu_err e;

static int teardown(void **state)
{
	(void)state;
	slu_store_free(s);
	s = NULL;
	slu_loops_free(loops);
	httpd_stop(&fake.srv);
	return 0;
}

static int put(const char *path, const char *text, unsigned flags)
{
	return slu_store_put(s, path, text, strlen(text), flags, NULL, &e);
}

static void assert_holds(const char *path, const char *want)
{
	char *got;
	size_t n;

	if (slu_store_get(s, path, 1 << 20, &got, &n, &e) < 0)
		fail_msg("get '%s': %s", path, e.msg);
	assert_int_equal(n, strlen(want));
	assert_memory_equal(got, want, n);
	free(got);
}

#endif
