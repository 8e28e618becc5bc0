/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of exchanges share: a misbehaving server, loops, one exchange with its memory. */
#ifndef SLU_TESTS_UNIT_XFER_H
#define SLU_TESTS_UNIT_XFER_H

#include "tests/unit/unit.h"

#include "common/str.h"
#include "common/time.h"
#include "io/core.h"
#include "io/xfer.h"
#include "tests/lib/misbehave.h"

static struct httpd srv;
static struct slu_loops *loops;
static struct slu_loop *loop;

/* One exchange with its memory. */
struct job {
	struct slu_xfer x;
	char url[256];
	atomic_int dones;
};

static inline void job_init(struct job *j, const char *path)
{
	*j = (struct job){.x = {.method = "GET", .url = j->url, .total = SIZE}};
	snprintf(j->url, sizeof(j->url), "http://127.0.0.1:%u%s", srv.port, path);
}

static inline int get_range(struct job *j, const char *path, uint64_t off, size_t len)
{
	job_init(j, path);
	j->x.off = off;
	j->x.len = len;
	j->x.buf = len ? malloc(len) : NULL;
	if (len) {
		assert_non_null(j->x.buf);
		memset(j->x.buf, 0xee, len);
	}
	return slu_xfer_wait(loop, &j->x);
}

static inline void job_done(struct job *j)
{
	slu_xfer_done(&j->x);
	free(j->x.buf);
	j->x.buf = NULL;
}

static inline void check_bytes(const struct job *j)
{
	const unsigned char *p = j->x.buf;
	assert_int_equal(j->x.got, j->x.len);
	for (size_t i = 0; i < j->x.len; i++)
		if (p[i] != byte_at(j->x.off + i))
			fail_msg("byte %zu is wrong", i);
}

static inline void check_untouched(const struct job *j)
{
	const unsigned char *p = j->x.buf;
	assert_int_equal(j->x.got, 0);
	for (size_t i = 0; i < j->x.len; i++)
		if (p[i] != 0xee)
			fail_msg("byte %zu was written", i);
}

static inline int setup(void **state)
{
	(void)state;
	struct slu_loops_conf conf = {.threads = 2};
	httpd_start(&srv, misbehave);
	if (slu_loops_new(&conf, &loops, NULL) < 0)
		return -1;
	loop = slu_loops_pick(loops, "127.0.0.1", 0);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	slu_loops_free(loops);
	httpd_stop(&srv);
	return 0;
}

#endif
