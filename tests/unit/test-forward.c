/* SPDX-License-Identifier: Apache-2.0 */
/* Reading forward: what is fetched before it is asked for, and when nothing is. */
#include "tests/unit/fs.h"

#include "fs/forward.h"

#define MIB (1u << 20)
#define SIZE (40ull * MIB + 123)

/* Of a byte: its place. */
static unsigned char at(uint64_t off)
{
	return (unsigned char)(off * 2654435761u >> 13);
}

static struct {
	struct fake f;
	struct slu_forward *w;
	pthread_mutex_t lock;
	uint64_t fetched, furthest, fail_from, longest;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int serve(struct fake *f, struct slu_op *op)
{
	int rc = 0;

	(void)f;
	assert_int_equal(op->type, SLU_OP_READ);
	assert_string_equal(op->if_match, "id");
	assert_true(op->off + op->len <= SIZE);
	pthread_mutex_lock(&t.lock);
	t.fetched += op->len;
	if (op->len > t.longest)
		t.longest = op->len;
	if (op->off + op->len > t.furthest)
		t.furthest = op->off + op->len;
	if (t.fail_from && op->off + op->len > t.fail_from)
		rc = slu_fail(&op->err, EIO, "'%s' broke", op->path);
	pthread_mutex_unlock(&t.lock);
	for (size_t i = 0; i < op->len; i++)
		((unsigned char *)op->buf)[i] = at(op->off + i);
	return rc;
}

/* One of the counters, which the store's threads change. */
static uint64_t told(const uint64_t *counter)
{
	uint64_t n;

	pthread_mutex_lock(&t.lock);
	n = *counter;
	pthread_mutex_unlock(&t.lock);
	return n;
}

static int setup_pieces(unsigned pieces)
{
	struct slu_forward_file file = {.path = "x", .id = "id", .size = SIZE};

	file.store = fake_init(&t.f, serve);
	t.f.s.caps &= ~(unsigned)SLU_CAP_INLINE_READ;
	t.f.s.block = 8 * MIB;
	t.f.s.pieces = pieces;
	t.fetched = t.furthest = t.fail_from = t.longest = 0;
	assert_int_equal(slu_pool_new(4, &t.f.pool, NULL), 0);
	return slu_forward_new(&file, &t.w);
}

static int setup(void **state)
{
	(void)state;
	return setup_pieces(0);
}

static int setup_few(void **state)
{
	(void)state;
	return setup_pieces(2);
}

static int teardown(void **state)
{
	(void)state;
	slu_forward_free(t.w);
	slu_pool_free(t.f.pool);
	return 0;
}

static void read_right(uint64_t off, size_t n)
{
	unsigned char *buf = malloc(n);
	struct slu_err e = {0};

	if (slu_forward_read(t.w, buf, n, off, &e) < 0)
		fail_msg("read of %zu at %llu: %s", n, (unsigned long long)off, e.msg);
	for (size_t i = 0; i < n; i++)
		if (buf[i] != at(off + i))
			fail_msg("byte %llu is another one", (unsigned long long)(off + i));
	free(buf);
}

static void all_in(size_t n)
{
	for (uint64_t off = 0; off < SIZE; off += n)
		read_right(off, off + n < SIZE ? n : (size_t)(SIZE - off));
}

static void forward_is_fetched_once_and_in_long_pieces(void **state)
{
	(void)state;
	all_in(100000);
	assert_int_equal(told(&t.fetched), SIZE);
	assert_true(atomic_load(&t.f.calls) < 40);
}

static void pieces_are_few_and_short(void **state)
{
	unsigned pieces = t.f.s.pieces ? t.f.s.pieces : 6;

	(void)state;
	for (uint64_t off = 0; off < 10 * MIB; off += MIB)
		read_right(off, MIB);
	assert_true(told(&t.furthest) <= 12 * MIB + pieces * 4 * MIB);
	all_in(100000);
	assert_int_equal(told(&t.longest), 4 * MIB);
}

static void reads_that_are_longer_than_a_piece(void **state)
{
	(void)state;
	all_in(11 * MIB);
	assert_int_equal(told(&t.fetched), SIZE);
}

static void a_jump_fetches_nothing_in_vain(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 30; i++)
		read_right((i * 7 % 39) * MIB, 512 << 10);
	assert_int_equal(told(&t.fetched), 30 * (512 << 10));
}

/* It forgets what it fetched, and reads right all the same. */
static void a_jump_after_a_stretch(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 10; i++)
		read_right(i * MIB, MIB);
	read_right(3 * MIB + 5, 1000);
	read_right(30 * MIB, 5000);
	for (uint64_t i = 20; i < 30; i++)
		read_right(i * MIB + 77, MIB);
}

/* As far ahead as was read, not further: a file of which only the beginning is wanted costs little. */
static void it_goes_as_far_ahead_as_it_came(void **state)
{
	(void)state;
	for (uint64_t off = 0; off < 3 * MIB; off += MIB / 2)
		read_right(off, MIB / 2);
	slu_forward_free(t.w);
	t.w = NULL;
	assert_true(told(&t.furthest) > 3 * MIB);
	assert_true(told(&t.furthest) <= 7 * MIB);
}

static void a_failure_is_told_where_it_is(void **state)
{
	unsigned char buf[100];
	struct slu_err e = {0};

	(void)state;
	t.fail_from = 30 * MIB;
	for (uint64_t i = 0; i < 20; i++)
		read_right(i * MIB, MIB);
	pthread_mutex_lock(&t.lock);
	t.fail_from = 1;
	pthread_mutex_unlock(&t.lock);
	assert_int_equal(slu_forward_read(t.w, buf, sizeof(buf), 39 * MIB, &e), -EIO);
	assert_string_equal(e.msg, "'x' broke");
	pthread_mutex_lock(&t.lock);
	t.fail_from = 0;
	pthread_mutex_unlock(&t.lock);
	read_right(20 * MIB, 2 * MIB);
}

static void *beside(void *arg)
{
	for (uint64_t i = 0; i < 10; i++)
		read_right((uint64_t)(uintptr_t)arg * 9 * MIB + i * 300000, 300000);
	return NULL;
}

static void several_at_once(void **state)
{
	pthread_t thread[4];

	(void)state;
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, beside, (void *)i);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define FEW(f) cmocka_unit_test_setup_teardown(f, setup_few, teardown)
	const struct CMUnitTest tests[] = {
		TEST(forward_is_fetched_once_and_in_long_pieces),
		TEST(reads_that_are_longer_than_a_piece),
		TEST(pieces_are_few_and_short),
		FEW(pieces_are_few_and_short),
		FEW(reads_that_are_longer_than_a_piece),
		FEW(a_jump_after_a_stretch),
		TEST(a_jump_fetches_nothing_in_vain),
		TEST(a_jump_after_a_stretch),
		TEST(it_goes_as_far_ahead_as_it_came),
		TEST(a_failure_is_told_where_it_is),
		TEST(several_at_once),
	};

	return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
