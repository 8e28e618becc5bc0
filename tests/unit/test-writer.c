/* SPDX-License-Identifier: Apache-2.0 */
/* The writer: nothing visible before commit, one failure and it never is. */
#include "tests/unit/fs.h"

#include "fs/budget.h"
#include "fs/layers.h"
#include "fs/writer.h"

#include <dirent.h>

static int names(const struct fs_env *v)
{
	DIR *d = opendir(v->dir.path);
	struct dirent *e;
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += !slu_streq(e->d_name, ".") && !slu_streq(e->d_name, "..");
	closedir(d);
	return n;
}

/* Sizes around the block, written in pieces of odd sizes. */
static void all_sizes_arrive(void **state)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 100000, 409600};
	static const size_t pieces[] = {1, 7, 4096, 5000, 1 << 20};
	struct fs_env *v = *state;
	struct slu_attr a;
	struct slu_err e = {0};

	v->s->block = 4096;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t k = sizes[i] > 10000 ? 1 : 0; k < sizeof(pieces) / sizeof(pieces[0]);
		     k++) {
			struct slu_writer *w;
			char *text = unit_pattern(sizes[i]);

			assert_int_equal(slu_writer_new(v->s, "f", 0, NULL, &w, &e), 0);
			for (size_t off = 0; off < sizes[i]; off += pieces[k]) {
				size_t n = sizes[i] - off < pieces[k] ? sizes[i] - off : pieces[k];

				assert_int_equal(slu_writer_write(w, text + off, n, &e), 0);
			}
			assert_int_equal(slu_writer_commit(w, &a, &e), 0);
			assert_int_equal(a.size, sizes[i]);
			fs_expect(v->s, "f", text);
			assert_int_equal(slu_writer_commit(w, &a, &e), -EINVAL);
			assert_int_equal(slu_writer_write(w, "x", 1, &e), -EINVAL);
			slu_writer_free(w);
			free(text);
		}
	}
	assert_int_equal(names(v), 1);
}

static void nothing_shows_before_commit(void **state)
{
	struct fs_env *v = *state;
	char *text = unit_pattern(50000);
	struct slu_writer *w;
	struct slu_attr a;
	struct slu_err e = {0};

	v->s->block = 4096;
	fs_put(v->s, "f", "old");
	assert_int_equal(slu_writer_new(v->s, "f", SLU_OPF_DURABLE, NULL, &w, &e), 0);
	assert_int_equal(slu_writer_write(w, text, 50000, &e), 0);
	fs_expect(v->s, "f", "old");
	slu_writer_free(w);
	fs_expect(v->s, "f", "old");
	assert_int_equal(names(v), 1);
	assert_int_equal(slu_writer_new(v->s, "g", 0, NULL, &w, &e), 0);
	slu_writer_free(w);
	assert_int_equal(slu_store_stat(v->s, "g", &a, &e), -ENOENT);
	free(text);
	slu_writer_free(NULL);
}

static void conditions(void **state)
{
	struct fs_env *v = *state;
	char *text = unit_pattern(10000), id[SLU_ID_MAX];
	struct slu_writer *w;
	struct slu_err e = {0};

	v->s->block = 4096;
	fs_put(v->s, "f", "old");
	snprintf(id, sizeof(id), "%s", fs_stat(v->s, "f").id);
	assert_failed(slu_writer_new(v->s, "f", SLU_OPF_ABSENT, id, &w, &e), e, EINVAL, "'f'");
	for (int i = 0; i < 2; i++) { /* as one PUT, as blocks */
		size_t n = i ? 10000 : 10;

		assert_int_equal(slu_writer_new(v->s, "f", SLU_OPF_ABSENT, NULL, &w, &e), 0);
		assert_int_equal(slu_writer_write(w, text, n, &e), 0);
		assert_failed(slu_writer_commit(w, NULL, &e), e, EEXIST, "'f'");
		/* and it stays so */
		assert_failed(slu_writer_commit(w, NULL, &e), e, EEXIST, "'f'");
		assert_int_equal(slu_writer_write(w, text, 1, &e), -EEXIST);
		slu_writer_free(w);
		assert_int_equal(slu_writer_new(v->s, "f", 0, "1-1", &w, &e), 0);
		assert_int_equal(slu_writer_write(w, text, n, &e), 0);
		assert_failed(slu_writer_commit(w, NULL, &e), e, ESTALE, "'f'");
		slu_writer_free(w);
		fs_expect(v->s, "f", "old");
	}
	assert_int_equal(slu_writer_new(v->s, "f", 0, id, &w, &e), 0);
	memset(id, 'x', 3); /* it was copied */
	assert_int_equal(slu_writer_write(w, text, 10000, &e), 0);
	assert_int_equal(slu_writer_commit(w, NULL, &e), 0);
	slu_writer_free(w);
	fs_expect(v->s, "f", text);
	assert_int_equal(names(v), 1);
	free(text);
}

static void a_failed_block_is_for_ever(void **state)
{
	struct fs_env *v = *state;
	char *text = unit_pattern(200000);
	struct slu_writer *w;
	struct slu_attr a;
	struct slu_err e = {0};
	int r = 0;

	v->s->block = 4096;
	assert_int_equal(slu_faulty_push(&v->s, "put_block:#7:ENOSPC", NULL, &e), 0);
	assert_int_equal(slu_writer_new(v->s, "f", 0, NULL, &w, &e), 0);
	for (int i = 0; i < 40 && r == 0; i++)
		r = slu_writer_write(w, text + i * 5000, 5000, &e);
	assert_failed(slu_writer_commit(w, &a, &e), e, ENOSPC, "'f'");
	assert_failed(slu_writer_write(w, "x", 1, &e), e, ENOSPC, "'f'");
	slu_writer_free(w);
	assert_int_equal(slu_store_stat(v->s, "f", &a, &e), -ENOENT);
	assert_int_equal(names(v), 0);
	free(text);
}

static atomic_int under_way, most;

static int slow(struct fake *f, struct slu_op *op)
{
	int n = atomic_fetch_add(&under_way, 1) + 1, m = atomic_load(&most);

	(void)f;
	while (n > m && !atomic_compare_exchange_weak(&most, &m, n))
		;
	/* The first one is under way until there is a second, for a minute: `most` says if there is none. */
	for (int i = 0; i < 60000 && op->type == SLU_OP_PUT_BLOCK && atomic_load(&most) < 2; i++)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	nanosleep(&(struct timespec){0, 200000}, NULL);
	atomic_fetch_sub(&under_way, 1);
	if (op->type == SLU_OP_COMMIT)
		op->attr.size = op->size;
	return 0;
}

static void blocks_in_flight_are_bounded(void **state)
{
	struct fake f;
	struct slu_store *s = fake_init(&f, slow);
	char *text = unit_pattern(400000);
	struct slu_writer *w;
	struct slu_attr a;

	(void)state;
	assert_int_equal(slu_pool_new(16, &f.pool, NULL), 0);
	assert_int_equal(slu_writer_new(s, "f", 0, NULL, &w, NULL), 0);
	assert_int_equal(slu_writer_write(w, text, 400000, NULL), 0);
	assert_int_equal(slu_writer_commit(w, &a, NULL), 0);
	slu_writer_free(w);
	assert_in_range(most, 2, 9);
	slu_pool_free(f.pool);
	free(text);
}

/* A store that takes the bytes and says it has others. */
static int liar(struct fake *f, struct slu_op *op)
{
	(void)f;
	op->attr.size = op->size + op->len + 1;
	return 0;
}

static void the_size_is_checked(void **state)
{
	struct fake f;
	struct slu_store *s = fake_init(&f, liar);
	struct slu_writer *w;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_writer_new(s, "f", 0, NULL, &w, NULL), 0);
	assert_int_equal(slu_writer_write(w, "abc", 3, NULL), 0);
	assert_failed(slu_writer_commit(w, NULL, &e), e, EIO, "'f'");
	slu_writer_free(w);
}

/* Many writers at once draw on the budget for all but the block that each needs, and give all of it back. */
static void writers_draw_on_the_budget(void **state)
{
	struct fs_env *v = *state;
	struct slu_budget *b = slu_budget_process();
	struct slu_budget_gauges g;
	struct slu_writer *w[12];
	struct slu_err e = {0};
	char *text = unit_pattern(4096);

	v->s->block = 64 << 10;
	slu_budget_set_limit(b, 256 << 10);
	for (unsigned i = 0; i < 12; i++) {
		char name[8];

		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(slu_writer_new(v->s, name, 0, NULL, &w[i], &e), 0);
	}
	for (unsigned k = 0; k < 100; k++)
		for (unsigned i = 0; i < 12; i++)
			assert_int_equal(slu_writer_write(w[i], text, 4096, &e), 0);
	for (unsigned i = 0; i < 12; i++) {
		struct slu_attr a;

		assert_int_equal(slu_writer_commit(w[i], &a, &e), 0);
		assert_int_equal(a.size, 409600);
		slu_writer_free(w[i]);
	}
	slu_budget_read(b, &g);
	slu_budget_set_limit(b, 0);
	assert_int_equal(g.used, 0);
	assert_true(g.peak > 0 && g.peak <= 256 << 10);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(all_sizes_arrive),
		FS_TEST(nothing_shows_before_commit),
		FS_TEST(conditions),
		FS_TEST(writers_draw_on_the_budget),
		FS_TEST(a_failed_block_is_for_ever),
		cmocka_unit_test(blocks_in_flight_are_bounded),
		cmocka_unit_test(the_size_is_checked),
	};

	return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
