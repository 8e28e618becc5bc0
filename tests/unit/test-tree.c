/* SPDX-License-Identifier: Apache-2.0 */
/* Trees: where a file of a view lies. */
#include "tests/unit/fs.h"

#include "fs/tree.h"

static int nothing(struct fake *f, struct slu_op *op)
{
	(void)f;
	(void)op;
	return 0;
}

static struct slu_tree *make(struct slu_store *a, struct slu_store *b)
{
	struct slu_attr at = {.kind = SLU_KIND_FILE, .id = "i"};
	struct slu_tree *t = calloc(1, sizeof(*t));

	assert_int_equal(slu_manifest_new(&t->manifest), 0);
	assert_int_equal(slu_manifest_add_source(t->manifest, b ? "p" : "", "u"), 0);
	if (b)
		assert_int_equal(slu_manifest_add_source(t->manifest, "q", "v"), 0);
	assert_int_equal(slu_manifest_add(t->manifest, "p/x/y", &at), 0);
	if (b)
		assert_int_equal(slu_manifest_add(t->manifest, "q/z", &at), 0);
	assert_int_equal(slu_manifest_finish(t->manifest, NULL), 0);
	t->sources = calloc(2, sizeof(*t->sources));
	t->sources[0] = (struct slu_tree_source){.store = a, .base = strdup("base/dir")};
	t->sources[1] = (struct slu_tree_source){.store = b, .base = b ? strdup("") : NULL};
	return t;
}

static void locate(void **state)
{
	SLU_AUTO(slu_tree_freep) struct slu_tree *one = NULL, *two = NULL;
	struct fake f, g;
	struct slu_store *a = fake_init(&f, nothing), *b = fake_init(&g, nothing), *got;
	char *path;

	(void)state;
	one = make(a, NULL);
	two = make(a, b);
	assert_int_equal(slu_tree_locate(one, 0, &got, &path), 0);
	assert_ptr_equal(got, a);
	assert_string_equal(path, "base/dir/p/x/y");
	free(path);
	assert_int_equal(slu_tree_locate(two, 0, &got, &path), 0);
	assert_ptr_equal(got, a);
	assert_string_equal(path, "base/dir/x/y");
	free(path);
	assert_int_equal(slu_tree_locate(two, 1, &got, &path), 0);
	assert_ptr_equal(got, b);
	assert_string_equal(path, "z");
	free(path);
	slu_tree_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(locate)};

	return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
