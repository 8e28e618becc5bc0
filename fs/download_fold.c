/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets that do not tell upper from lower case: two files of a dataset would have one place there, and
 * the later would win.  Names are compared by single letters, as the C library knows them; what such a
 * file system takes for the same beyond that (forms of composed letters) is seen when the second file is
 * put in its place (download_commit.c).
 */
#include "fs/download.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#define UPPER ".SLUICE-PART-1"

/* The folder of parts is there already; is it there by another name too? */
bool slu_download_folds(const struct slu_download *d)
{
	struct stat a, b;

	return !fstat(d->partfd, &a) && !fstatat(d->dirfd, UPPER, &b, AT_SYMLINK_NOFOLLOW) &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* The next character of valid UTF-8, or a byte that is none. */
static wint_t next(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;
	unsigned more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
	wint_t c = more ? *p & (0x3fu >> more) : *p;

	for (unsigned i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			*s += 1;
			return 0x110000u + *p;
		}
		c = c << 6 | (p[i] & 0x3f);
	}
	*s += 1 + more;
	return c;
}

static int compare(const char *a, const char *b, locale_t letters)
{
	while (*a && *b) {
		wint_t x = next(&a), y = next(&b);

		if (x == y)
			continue;
		x = letters ? towlower_l(x, letters) : x < 0x80 ? towlower(x) : x;
		y = letters ? towlower_l(y, letters) : y < 0x80 ? towlower(y) : y;
		if (x != y)
			return x < y ? -1 : 1;
	}
	return (*a != 0) - (*b != 0);
}

struct named {
	const char *path;
	locale_t letters;
};

static int by_folded(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	return compare(x->path, y->path, x->letters);
}

int slu_download_fold(const struct slu_manifest *m, const char *target, struct slu_err *e)
{
	size_t n = slu_manifest_count(m);
	SLU_AUTO(slu_freep) struct named *all = slu_calloc(n + 1, sizeof *all);
	locale_t letters = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	int r = 0;

	if (!all)
		r = slu_fail_oom(e);
	for (size_t i = 0; i < n && !r; i++)
		all[i] = (struct named){slu_manifest_at(m, i)->path, letters};
	if (!r && n)
		qsort(all, n, sizeof *all, by_folded);
	for (size_t i = 1; i < n && !r; i++)
		if (!by_folded(&all[i - 1], &all[i]))
			r = slu_fail(
				e, EEXIST,
				"'%s' and '%s' are one name in '%s', which does not tell upper "
				"from lower case: choose another target, or use a mount",
				all[i - 1].path, all[i].path, target);
	if (letters)
		freelocale(letters);
	return r;
}
