/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns that choose among the files of an operand (--include, --exclude).
 */
#include "dataset/filter.h"

#include "common/path.h"
#include "fs/walk.h"

#include <string.h>

static int check(const char *const *pattern, struct slu_err *e)
{
	int r = 0;

	for (; r == 0 && pattern && *pattern; pattern++)
		r = slu_glob_check(*pattern, e);
	return r;
}

int slu_filter_check(const struct slu_filter *f, struct slu_err *e)
{
	int r = check(f->include, e);

	return r < 0 ? r : check(f->exclude, e);
}

bool slu_filter_any(const struct slu_filter *f)
{
	return (f->include && f->include[0]) || (f->exclude && f->exclude[0]);
}

static bool matches(const char *const *pattern, const char *rel)
{
	for (; pattern && *pattern; pattern++)
		if (slu_glob_match(*pattern, strchr(*pattern, '/') ? rel : slu_path_base(rel)))
			return true;
	return false;
}

bool slu_filter_takes(const struct slu_filter *f, const char *rel)
{
	if (f->include && f->include[0] && !matches(f->include, rel))
		return false;
	return !matches(f->exclude, rel);
}
