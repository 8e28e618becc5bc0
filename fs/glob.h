/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns without braces, cut into parts: what a walk matches folder by folder.  The public face of
 * globs is walk.h. */
#ifndef SLU_FS_GLOB_H
#define SLU_FS_GLOB_H

#include <stdbool.h>
#include <stddef.h>

struct slu_err;

struct slu_glob_part {
	const char *p, *end;
	bool deep; /* `**` */
};

/* One alternative of the pattern, `{...}` expanded. */
struct slu_glob_alt {
	struct slu_glob_part *part;
	size_t n;
	char *text;
};

struct slu_glob {
	struct slu_glob_alt *alt;
	size_t n, cap;
};

int slu_glob_parse(const char *pattern, struct slu_glob *ret, struct slu_err *e);
void slu_glob_done(struct slu_glob *g);
/* Does one part of a pattern, which is not `**`, match one part of a path? */
bool slu_glob_part_match(const struct slu_glob_part *g, const char *name, size_t n);

#endif
