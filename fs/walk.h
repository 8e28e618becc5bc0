/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings in one order on every store, and globs.  Order: bytes of the full path (as a flat object
 * store lists), so "a.b" comes before "a/x".  Patterns: `*` any run without '/', `**` as a whole part
 * any number of parts (also none; trailing: all files below), `?` one character, `[a-z]`, `[!a]` or
 * `[^a]`, `{x,y}`; `\` takes the next character literally.  Case matters; a leading '.' or '_' does not.
 */
#ifndef SLU_FS_WALK_H
#define SLU_FS_WALK_H

#include "fs/store.h"

/* path: full relative store path.  Non-zero return ends the walk and becomes its result. */
typedef int slu_walk_fn(void *user, const char *path, const struct slu_attr *attr,
			struct slu_err *e);

/* Every file at or below path: a file gives itself, a directory all files below (perhaps none).
 * Nothing there: -ENOENT.  Temporary names of our own (`.sluice-*`) are left out.  A link cycle is -ELOOP.  Blocks. */
int slu_walk(struct slu_store *s, const char *path, slu_walk_fn *fn, void *user, struct slu_err *e);
enum {
	SLU_WALK_WHOLE = 1u << 0,     /* a name that no path can say is -EPROTO, not left out */
	SLU_WALK_ANY_ORDER = 1u << 1, /* files come as found: faster, where listings are flat */
	SLU_WALK_NO_SUMS = 1u << 2,   /* checksums are not needed */
	SLU_WALK_QUIET = 1u << 3,     /* nothing is logged of names that are left out */
	SLU_WALK_SAY = 1u << 4,       /* when names were left out, the result is 1 instead of 0 */
	SLU_WALK_LENIENT =
		1u << 5 /* links that lead out of the store, nowhere or in a circle are left out */
};
/* The same with flags.  Names that no path can say ("a//b", "a/../b"; flat stores can have such) are
 * left out by the other walks, which log how many there were. */
int slu_walk_with(struct slu_store *s, const char *path, unsigned flags, slu_walk_fn *fn,
		  void *user, struct slu_err *e);
/* The direct children of a directory (both kinds), sorted by name; perhaps without checksums. */
int slu_walk_dir(struct slu_store *s, const char *path, slu_walk_fn *fn, void *user,
		 struct slu_err *e);
/* Every file that matches; pattern is a relative store path with wildcards.  None: -ENOENT. */
int slu_walk_glob(struct slu_store *s, const char *pattern, slu_walk_fn *fn, void *user,
		  struct slu_err *e);

bool slu_glob_is(const char *s);                            /* has an unescaped wildcard? */
int slu_glob_check(const char *pattern, struct slu_err *e); /* unbalanced [ or {, ...: -EINVAL */
bool slu_glob_match(const char *pattern, const char *path);
size_t slu_glob_prefix(const char *pattern); /* bytes of the literal folder part, without its '/' */
char *slu_glob_unescape(const char *pattern, size_t n); /* literal text of the first n bytes */

#endif
