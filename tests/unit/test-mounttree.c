/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "common/time.h"
#include "fs/mount_tree.h"

#include <errno.h>

/* A manifest of these paths; sizes are their places, times 100 + place. */
static struct slu_manifest *manifest(const char *const *paths)
{
	struct slu_manifest *m;
	struct slu_err e = {0};

	assert_int_equal(slu_manifest_new(&m), 0);
	slu_manifest_add_source(m, "", "file:///x");
	for (int i = 0; paths[i]; i++) {
		struct slu_attr a = {.kind = SLU_KIND_FILE, .id = "i"};

		a.size = (uint64_t)i;
		a.mtime_ns = 100 + i;
		assert_int_equal(slu_manifest_add(m, paths[i], &a), 0);
	}
	if (slu_manifest_finish(m, &e))
		fail_msg("%s", e.msg);
	return m;
}

#define PATHS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct slu_mtree *tree(const struct slu_manifest *m)
{
	struct slu_mtree *t;

	assert_int_equal(slu_mtree_new(m, &t, NULL), 0);
	return t;
}

/* The number of a path, found part by part. */
static uint64_t walk(const struct slu_mtree *t, const char *path, struct slu_mnode *n)
{
	char copy[512], *rest = copy, *part;

	assert_int_equal(slu_mtree_get(t, SLU_MNODE_ROOT, n), 0);
	snprintf(copy, sizeof copy, "%s", path);
	while ((part = strsep(&rest, "/")))
		if (slu_mtree_lookup(t, n->ino, part, n))
			return 0;
	return n->ino;
}

/* "a b/ c " of a directory, from position pos. */
static void list(const struct slu_mtree *t, uint64_t ino, uint64_t pos, char *out, size_t size)
{
	struct slu_mdir d;
	struct slu_mnode n, again;
	const char *name;
	size_t len, at = 0;
	uint64_t next;

	out[0] = '\0';
	assert_int_equal(slu_mdir_open(t, ino, pos, &d), 0);
	assert_int_equal(d.ino, ino);
	while (slu_mdir_next(&d, &n, &name, &len, &next)) {
		at += (size_t)snprintf(out + at, size - at, "%.*s%s ", (int)len, name,
				       n.dir ? "/" : "");
		assert_int_equal(slu_mtree_get(t, n.ino, &again), 0);
		assert_int_equal(again.dir, n.dir);
		assert_int_equal(again.at, n.at);
	}
}

static void an_empty_manifest_is_a_root(void **state)
{
	struct slu_manifest *m = manifest(PATHS(NULL));
	struct slu_mtree *t = tree(m);
	struct slu_mnode n;
	char out[64];

	(void)state;
	assert_int_equal(slu_mtree_nodes(t), 1);
	assert_int_equal(slu_mtree_get(t, 1, &n), 0);
	assert_true(n.dir);
	assert_int_equal(n.subdirs, 0);
	assert_int_equal(slu_mtree_get(t, 2, &n), -ENOENT);
	assert_int_equal(slu_mtree_get(t, 0, &n), -ENOENT);
	assert_int_equal(slu_mtree_lookup(t, 1, "a", &n), -ENOENT);
	list(t, 1, 0, out, sizeof out);
	assert_string_equal(out, "");
	slu_mtree_free(t);
	slu_manifest_free(m);
}

/* "a.b" sorts before "a/x", "a0" after: names that share a beginning are where trees go wrong. */
static const char *const tricky[] = {"a-b",     "a.b", "a/b/c", "a/b/d/e/f", "a/b/d/g", "a/b0",
				     "a/c/c/c", "a0",  "a0b/a", "ab",        "z",       NULL};

static void numbers_follow_the_manifest(void **state)
{
	struct slu_manifest *m = manifest(tricky);
	struct slu_mtree *t = tree(m);
	struct slu_mnode n;
	const char *order[] = {"a-b",     "a.b",       "a",       "a/b",   "a/b/c", "a/b/d",
			       "a/b/d/e", "a/b/d/e/f", "a/b/d/g", "a/b0",  "a/c",   "a/c/c",
			       "a/c/c/c", "a0",        "a0b",     "a0b/a", "ab",    "z"};

	(void)state;
	assert_int_equal(slu_mtree_nodes(t), 1 + sizeof order / sizeof order[0]);
	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
		assert_int_equal(walk(t, order[i], &n), 2 + i);
		if (!n.dir)
			assert_string_equal(slu_manifest_at(m, n.at)->path, order[i]);
	}
	assert_int_equal(walk(t, "a", &n), 4);
	assert_int_equal(n.subdirs, 2);
	assert_int_equal(n.mtime_ns, 106);
	assert_int_equal(walk(t, "a/b/d", &n), 7);
	assert_int_equal(n.mtime_ns, 104);
	slu_mtree_free(t);
	slu_manifest_free(m);
}

static void what_is_not_there_is_not_found(void **state)
{
	struct slu_manifest *m = manifest(tricky);
	struct slu_mtree *t = tree(m);
	struct slu_mnode n;
	const char *absent[] = {"",           "A",  "a-", "a-bc", "a.",  "a/",    "a/b/", "b",
				"a/b/d/e/f/", "zz", ".",  "..",   "a0a", "a/c/b", "a/b00"};

	(void)state;
	for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
		if (walk(t, absent[i], &n))
			fail_msg("'%s' was found", absent[i]);
	assert_int_equal(slu_mtree_lookup(t, 2, "x", &n), -ENOTDIR);
	assert_int_equal(slu_mtree_lookup(t, 999, "x", &n), -ENOENT);
	assert_int_equal(slu_mtree_lookup(t, 1, "a/b", &n), -ENOENT);
	slu_mtree_free(t);
	slu_manifest_free(m);
}

static void listings_are_complete_from_any_position(void **state)
{
	struct slu_manifest *m = manifest(tricky);
	struct slu_mtree *t = tree(m);
	struct slu_mnode n;
	struct slu_mdir d;
	char all[256], part[256];

	(void)state;
	list(t, 1, 0, all, sizeof all);
	assert_string_equal(all, "a-b a.b a/ a0 a0b/ ab z ");
	list(t, walk(t, "a/b", &n), 0, all, sizeof all);
	assert_string_equal(all, "c d/ ");
	list(t, walk(t, "a", &n), 0, all, sizeof all);
	assert_string_equal(all, "b/ b0 c/ ");
	/* Any number at all, as seekdir may bring: the rest of a complete listing, never less. */
	list(t, 1, 0, all, sizeof all);
	for (uint64_t pos = 0; pos < 40; pos++) {
		list(t, 1, pos, part, sizeof part);
		assert_true(strlen(part) <= strlen(all));
		assert_string_equal(part, all + strlen(all) - strlen(part));
	}
	list(t, 1, 3, part, sizeof part);
	assert_string_equal(part, "a0 a0b/ ab z "); /* in the midst of "a": after it */
	assert_int_equal(slu_mdir_open(t, 2, 0, &d), -ENOTDIR);
	assert_int_equal(slu_mdir_open(t, 99, 0, &d), -ENOENT);
	slu_mtree_free(t);
	slu_manifest_free(m);
}

static void names_too_long_are_left_out(void **state)
{
	char longest[300], over[300], deep[600];

	memset(longest, 'l', 255);
	longest[255] = '\0';
	memset(over, 'm', 256);
	over[256] = '\0';
	snprintf(deep, sizeof deep, "%s/x", over);
	struct slu_manifest *m = manifest(PATHS("a", longest, over + 0, "z"));
	struct slu_mtree *t = tree(m);
	struct slu_mnode n;
	const char *first;
	char out[700], want[700];

	(void)state;
	assert_int_equal(slu_mtree_left_out(t, &first), 1);
	assert_string_equal(first, over);
	assert_int_not_equal(walk(t, longest, &n), 0);
	assert_int_equal(slu_mtree_lookup(t, 1, over, &n), -ENOENT);
	list(t, 1, 0, out, sizeof out);
	snprintf(want, sizeof want, "a %s z ", longest);
	assert_string_equal(out, want);
	slu_mtree_free(t);
	slu_manifest_free(m);

	m = manifest(PATHS("a", deep, "z"));
	t = tree(m);
	assert_int_equal(slu_mtree_left_out(t, &first), 1);
	list(t, 1, 0, out, sizeof out);
	assert_string_equal(out, "a z ");
	slu_mtree_free(t);
	slu_manifest_free(m);
}

/* A path from few letters, so that names are beginnings of one another; folders end in 'd', files in
 * 'f', so that none is both. */
static void random_path(unsigned *seed, char *out)
{
	const char *letters = "a-.0";
	unsigned depth = (unsigned)rand_r(seed) % 4;

	for (unsigned i = 0; i <= depth; i++) {
		for (unsigned k = (unsigned)rand_r(seed) % 3; k > 0; k--)
			*out++ = letters[rand_r(seed) % 4];
		*out++ = i < depth ? 'd' : 'f';
		if (i < depth)
			*out++ = '/';
	}
	*out = '\0';
}

static void agrees_with_the_manifest_at_random(void **state)
{
	unsigned seed = 7;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct slu_attr a = {.kind = SLU_KIND_FILE, .id = "i"};
		char paths[60][32];
		int n = 0;
		struct slu_manifest *m;

		assert_int_equal(slu_manifest_new(&m), 0);
		slu_manifest_add_source(m, "", "file:///x");
		while (n < 1 + round % 60) {
			int k = 0;

			random_path(&seed, paths[n]);
			while (strcmp(paths[k], paths[n]))
				k++;
			if (k == n)
				assert_int_equal(slu_manifest_add(m, paths[n++], &a), 0);
		}
		assert_int_equal(slu_manifest_finish(m, NULL), 0);
		struct slu_mtree *t = tree(m);
		struct slu_mnode node;
		uint64_t last = 1;

		for (int i = 0; i < n; i++) {
			uint64_t ino = walk(t, slu_manifest_at(m, (size_t)i)->path, &node);

			assert_true(ino > last);
			assert_false(node.dir);
			assert_int_equal(node.at, i);
			last = ino;
		}
		assert_int_equal(last, slu_mtree_nodes(t));
		slu_mtree_free(t);
		slu_manifest_free(m);
	}
}

/* A million files in ten thousand folders: numbered in well under the 300 ms that a mount has. */
static void a_million_files_are_quick(void **state)
{
	struct slu_manifest *m;
	struct slu_attr a = {.kind = SLU_KIND_FILE, .id = "abc-123"};
	struct slu_mtree *t;
	struct slu_mnode n;

	(void)state;
	assert_int_equal(slu_manifest_new(&m), 0);
	slu_manifest_add_source(m, "", "file:///x");
	for (int i = 0; i < 1000000; i++) {
		char path[64];

		snprintf(path, sizeof path, "data/folder-%05d/image-%06d.jpg", i / 100, i);
		a.size = (uint64_t)i;
		assert_int_equal(slu_manifest_add(m, path, &a), 0);
	}
	assert_int_equal(slu_manifest_finish(m, NULL), 0);
	int64_t begin = slu_now();

	t = tree(m);
	int64_t took = slu_now() - begin;

	/* Far beyond the goal, for slow machines and sanitizers; the benchmark has the number. */
	assert_true(took < 60 * SLU_SEC);
	print_message("numbered in %lld ms\n", (long long)(took / SLU_MS));
	assert_int_equal(slu_mtree_nodes(t), 1000000 + 10000 + 1 + 1);
	assert_int_equal(walk(t, "data/folder-09999/image-999999.jpg", &n), slu_mtree_nodes(t));
	assert_int_equal(n.size, 999999);
	slu_mtree_free(t);
	slu_manifest_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_manifest_is_a_root),
		cmocka_unit_test(numbers_follow_the_manifest),
		cmocka_unit_test(what_is_not_there_is_not_found),
		cmocka_unit_test(listings_are_complete_from_any_position),
		cmocka_unit_test(names_too_long_are_left_out),
		cmocka_unit_test(agrees_with_the_manifest_at_random),
		cmocka_unit_test(a_million_files_are_quick),
	};

	return cmocka_run_group_tests_name("mounttree", tests, NULL, NULL);
}
