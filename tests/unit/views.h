/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the views share: a tree over what a store holds, and files of known bytes. */
#ifndef SLU_TESTS_VIEWS_H
#define SLU_TESTS_VIEWS_H

#include "tests/unit/fs.h"

#include "fs/tree.h"
#include "fs/walk.h"

static inline int views_add(void *m, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	(void)e;
	return slu_manifest_add(m, path, a);
}

/* Manifest of all below the root of s; sources: one, at the root. */
static inline struct slu_tree *views_tree(struct slu_store *s)
{
	struct slu_tree *t = calloc(1, sizeof *t);
	struct slu_err e = {0};
	int r;

	assert_non_null(t);
	assert_int_equal(slu_manifest_new(&t->manifest), 0);
	assert_int_equal(slu_manifest_add_source(t->manifest, "", "file:///test"), 0);
	r = slu_walk(s, "", views_add, t->manifest, &e);
	if (r && r != -ENOENT)
		fail_msg("walk: %s", e.msg);
	r = slu_manifest_finish(t->manifest, &e);
	if (r)
		fail_msg("manifest: %s", e.msg);
	t->sources = calloc(1, sizeof *t->sources);
	assert_non_null(t->sources);
	t->sources[0].store = s;
	t->sources[0].base = strdup("");
	return t;
}

/* Byte i of every file that views_fill makes. */
static inline unsigned char views_byte(uint64_t i)
{
	return (unsigned char)((i * 2654435761u) >> 13);
}

static inline void views_fill(char *p, uint64_t off, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)views_byte(off + i);
}

static inline void views_check(const char *p, uint64_t off, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] != views_byte(off + i))
			fail_msg("byte %llu is wrong", (unsigned long long)(off + i));
}

/* A file of n known bytes; folders on the way are made. */
static inline void views_file(int dirfd, const char *path, size_t n)
{
	char *dir = slu_path_dir(path), *p = malloc(n + 1);
	int fd;

	assert_non_null(dir);
	assert_non_null(p);
	assert_int_equal(slu_path_mkdirs(dirfd, dir, 0755), 0);
	fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	views_fill(p, 0, n);
	assert_int_equal(write(fd, p, n), n);
	close(fd);
	free(p);
	free(dir);
}

#endif
