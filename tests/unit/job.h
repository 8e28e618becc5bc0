/* SPDX-License-Identifier: Apache-2.0 */
/* What unit tests of job/ share: job files in a folder of their own. */
#ifndef SLU_TESTS_JOB_H
#define SLU_TESTS_JOB_H

#include "tests/unit/unit.h"

#include "common/mem.h"
#include "common/str.h"
#include "job/spec.h"

#include <errno.h>
#include <sys/stat.h>

static inline void job_write(const struct unit_dir *d, const char *path, const char *text)
{
	char part[256];

	for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
		snprintf(part, sizeof part, "%.*s", (int)(p - path), path);
		assert_true(mkdirat(d->fd, part, 0755) == 0 || errno == EEXIST);
	}
	int fd = openat(d->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Reads job.yml with this text. */
static inline int job_read(const struct unit_dir *d, const char *text, const struct json_t *over,
			   struct slu_job **ret, struct slu_err *e)
{
	char path[128];

	job_write(d, "job.yml", text);
	snprintf(path, sizeof path, "%s/job.yml", d->path);
	*e = (struct slu_err){0};
	return slu_job_read(path, over, ret, e);
}

#endif
