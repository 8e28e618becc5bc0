/* SPDX-License-Identifier: Apache-2.0 */
/* The disk cache: what is kept, what is served, and that nothing wrong ever is. */
#include "tests/unit/cache.h"

#include "common/fault.h"
#include "common/log.h"

#define LONG (3 * MIB + 12345)

static void second_read_comes_from_disk(void **state)
{
	struct cache_env *v = *state;

	assert_int_equal(cache_read(v, "a/b", "e1", 100, 0, 100), 100);
	assert_int_equal(cache_read(v, "a/b", "e1", 100, 0, 100), 0);
	assert_int_equal(cache_read(v, "a/b", "e1", 100, 17, 20), 0);
	assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), LONG);
	assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), 0);
	assert_int_equal(cache_read(v, "long", "e1", LONG, 70000, 3), 0);
	assert_int_equal(cache_read(v, "long", "e1", LONG, LONG - 1, 1), 0);

	struct slu_cache_counts n;

	slu_cache_counted(v->c, &n);
	assert_int_equal(n.misses, 2);
	assert_int_equal(n.hits, 5);
	assert_int_equal(n.miss_bytes, LONG + 100);
	assert_int_equal(n.written, LONG + 100);
	assert_int_equal(n.queued, 0);
}

static void survives_a_new_process(void **state)
{
	struct cache_env *v = *state;

	cache_read(v, "s", "e1", 65536, 0, 65536);
	cache_read(v, "long", "e1", LONG, 0, LONG);
	cache_reopen(v);
	assert_int_equal(cache_read(v, "s", "e1", 65536, 0, 65536), 0);
	assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), 0);
}

static void only_what_is_missing_is_fetched(void **state)
{
	struct cache_env *v = *state;

	assert_int_equal(cache_read(v, "long", "e1", LONG, 0, MIB), MIB);
	assert_int_equal(cache_read(v, "long", "e1", LONG, 2 * MIB, LONG - 2 * MIB),
			 LONG - 2 * MIB);
	assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), MIB);
	assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), 0);
	/* Half blocks are not kept, so both ends are asked for again. */
	assert_int_equal(cache_read(v, "half", "e1", LONG, 1000, 64 * KIB), 64 * KIB);
	assert_int_equal(cache_read(v, "half", "e1", LONG, 1000, 64 * KIB), 64 * KIB);
}

static void another_state_is_another_entry(void **state)
{
	struct cache_env *v = *state;
	struct slu_op op;
	char buf[100];

	cache_read(v, "a", "e1", 100, 0, 100);
	assert_int_equal(cache_read(v, "a", "e2", 100, 0, 100), 100);
	assert_int_equal(cache_read(v, "a", "e1", 101, 0, 100), 100);
	assert_int_equal(cache_read(v, "b", "e1", 100, 0, 100), 100);
	assert_int_equal(cache_read(v, "a", "e1", 100, 0, 100), 0);
	/* Without a length or a pin nothing is kept and nothing is served. */
	for (int i = 0; i < 4; i++) {
		uint64_t before = v->asked;

		slu_op_read(&op, "a", 0, 100, buf, i & 1 ? "e1" : NULL);
		op.size = i & 1 ? 0 : 100;
		assert_int_equal(slu_store_wait(v->s, &op, NULL), 0);
		assert_int_equal(v->asked - before, 100);
	}
}

static void another_right_is_another_entry(void **state)
{
	struct cache_env *v = *state;

	cache_read(v, "a", "e1", 100, 0, 100);
	slu_store_free(v->s);
	cache_open(v, "https://a/c", "another key");
	assert_int_equal(cache_read(v, "a", "e1", 100, 0, 100), 100);
	slu_store_free(v->s);
	cache_open(v, "https://b/c", "key");
	assert_int_equal(cache_read(v, "a", "e1", 100, 0, 100), 100);
	slu_store_free(v->s);
	cache_open(v, "https://a/c", "key");
	assert_int_equal(cache_read(v, "a", "e1", 100, 0, 100), 0);
}

/* --- what is wrong is a miss --- */

static void flip(int fd, void *user)
{
	uint64_t *at = user;
	char c;

	assert_int_equal(pread(fd, &c, 1, (off_t)*at), 1);
	c ^= 0x10;
	assert_int_equal(pwrite(fd, &c, 1, (off_t)*at), 1);
}

/* Each byte of map and data of a short file: whatever is flipped, the bytes are right, and the entry is
 * mended. */
static void every_flip_of_a_short_file(void **state)
{
	struct cache_env *v = *state;
	struct stat st = {0};

	cache_read(v, "a", "e1", 100, 0, 100);
	for (uint64_t at = 0; at == 0 || at < (uint64_t)st.st_size; at++) {
		cache_reopen(v);
		assert_int_equal(cache_files(v, 's', flip, &at), 1);
		uint64_t asked = cache_read(v, "a", "e1", 100, 0, 100);

		if (asked) {
			assert_int_equal(asked, 100);
			assert_int_equal(cache_read(v, "a", "e1", 100, 0, 100), 0);
		}
		if (at == 0) {
			char path[512], hex[3];

			for (unsigned i = 0; i < SLU_CDIRS && !st.st_size; i++) {
				slu_cdir_name(i, hex);
				DIR *d = NULL;

				snprintf(path, sizeof(path), "%s/v1/%s", v->dir.path, hex);
				if (!(d = opendir(path)))
					continue;
				for (const struct dirent *f; (f = readdir(d));)
					if (f->d_name[0] != '.')
						fstatat(dirfd(d), f->d_name, &st, 0);
				closedir(d);
			}
			assert_true(st.st_size > 100);
		}
	}
}

static void flips_of_a_long_file(void **state)
{
	struct cache_env *v = *state;

	cache_read(v, "long", "e1", LONG, 0, LONG);
	for (uint64_t at = 5; at < LONG; at += 300007) {
		assert_int_equal(cache_files(v, 'd', flip, &at), 1);
		uint64_t n = at / SLU_CACHE_BLOCK == LONG / SLU_CACHE_BLOCK ? LONG % SLU_CACHE_BLOCK
									    : SLU_CACHE_BLOCK;

		assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), n);
		assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), 0);
	}
	/* Header and bytes: what is not looked at must not stay. */
	uint64_t in_head = 20, in_data = 700000;

	cache_files(v, 'm', flip, &in_head);
	cache_files(v, 'd', flip, &in_data);
	cache_reopen(v);
	assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), LONG);
	assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), 0);
	for (uint64_t at = 0; at < 64 + 8 * 50; at++) {
		assert_int_equal(cache_files(v, 'm', flip, &at), 1);
		if (at % 7 == 0)
			cache_reopen(v);
		cache_read(v, "long", "e1", LONG, 0, LONG);
	}
}

static void cut(int fd, void *user)
{
	assert_int_equal(ftruncate(fd, *(off_t *)user), 0);
}

static void cut_files_are_fetched_again(void **state)
{
	struct cache_env *v = *state;
	const char kinds[] = "mds";

	for (unsigned k = 0; k < 3; k++)
		for (off_t to = 0; to < 300; to += 37) {
			cache_read(v, "long", "e1", LONG, 0, LONG);
			cache_read(v, "short", "e1", 200, 0, 200);
			cache_reopen(v);
			cache_files(v, kinds[k], cut, &to);
			cache_read(v, "long", "e1", LONG, 0, LONG);
			cache_read(v, "short", "e1", 200, 0, 200);
			assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), 0);
			assert_int_equal(cache_read(v, "short", "e1", 200, 0, 200), 0);
		}
}

/* After a power failure the records may be there and the bytes not. */
static void zero(int fd, void *user)
{
	(void)user;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(ftruncate(fd, LONG), 0);
}

static void records_without_bytes(void **state)
{
	struct cache_env *v = *state;
	int fd = -1;

	cache_read(v, "long", "e1", LONG, 0, LONG);
	assert_int_equal(slu_cache_whole(v->s, "long", "e1", LONG, 0, &fd), 0);
	close(fd);
	cache_reopen(v);
	assert_int_equal(cache_files(v, 'd', zero, NULL), 1);
	assert_true(slu_cache_has(v->s, "long", "e1", LONG));
	assert_int_equal(slu_cache_whole(v->s, "long", "e1", LONG, 0, &fd), -ENODATA);
	assert_true(cache_read(v, "long", "e1", LONG, 0, LONG) > 0);
	assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), 0);
}

/* --- whole files --- */

static void a_whole_file_has_a_descriptor(void **state)
{
	struct cache_env *v = *state;
	char *buf = malloc(LONG), *want = malloc(LONG);
	struct stat st;
	int fd = -1;

	assert_int_equal(slu_cache_whole(v->s, "long", "e1", LONG, 0, &fd), -ENODATA);
	cache_read(v, "long", "e1", LONG, 0, LONG - 1);
	assert_int_equal(slu_cache_whole(v->s, "long", "e1", LONG, 0, &fd), -ENODATA);
	cache_read(v, "long", "e1", LONG, 0, LONG);
	/* All of it passed through this process, so it needs no further check. */
	assert_int_equal(slu_cache_whole(v->s, "long", "e1", LONG, SLU_CACHE_NOWAIT, &fd), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, LONG);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	cache_fill(want, LONG, "long", "e1", 0);
	slu_json_free(({
		struct json_t *o = NULL;
		assert_int_equal(slu_cache_clear(v->c, &o, NULL), 0);
		o;
	}));
	assert_int_equal(pread(fd, buf, LONG, 0), LONG); /* evicted, and open */
	assert_memory_equal(buf, want, LONG);
	close(fd);
	cache_reopen(v);
	assert_int_equal(slu_cache_whole(v->s, "long", "e1", LONG, 0, &fd), -ENODATA);
	free(buf);
	free(want);
}

static void a_check_lasts_until_the_boot_or_a_write(void **state)
{
	struct cache_env *v = *state;
	uint64_t at = 2 * MIB + 1;
	int fd = -1;

	cache_read(v, "long", "e1", LONG, 0, LONG);
	cache_reopen(v);
	assert_int_equal(slu_cache_whole(v->s, "long", "e1", LONG, SLU_CACHE_NOWAIT, &fd), 0);
	close(fd);
	memset(v->c->boot, 1, sizeof(v->c->boot));
	assert_int_equal(slu_cache_whole(v->s, "long", "e1", LONG, SLU_CACHE_NOWAIT, &fd), -EAGAIN);
	slu_cache_flush(v->c);
	assert_int_equal(slu_cache_whole(v->s, "long", "e1", LONG, SLU_CACHE_NOWAIT, &fd), 0);
	close(fd);
	memset(v->c->boot, 2, sizeof(v->c->boot));
	cache_files(v, 'd', flip, &at);
	assert_int_equal(slu_cache_whole(v->s, "long", "e1", LONG, 0, &fd), -ENODATA);
	assert_int_equal(cache_read(v, "long", "e1", LONG, 0, LONG), SLU_CACHE_BLOCK);
	assert_int_equal(slu_cache_whole(v->s, "long", "e1", LONG, 0, &fd), 0);
	close(fd);
	/* Short files are read instead. */
	cache_read(v, "short", "e1", 200, 0, 200);
	assert_int_equal(slu_cache_whole(v->s, "short", "e1", 200, 0, &fd), -ENODATA);
}

/* --- whatever the disk or the memory refuses, the bytes are right --- */

static void fails_at_every_call(void **state)
{
	struct cache_env *v = *state;

	slu_log_level(SLU_LOG_ERROR);
	for (int kind = 0; kind < _SLU_FAULT_MAX; kind++)
		for (long n = 1, left = 1; left; n++) {
			char path[24];

			snprintf(path, sizeof(path), "f%d-%ld", kind, n);
			v->c->off_until = 0; /* as if time had passed */
			slu_fault_arm(kind, n, n % 5 == 0);
			cache_try(v, path, 1000);
			cache_try(v, path, 1000);
			cache_try(v, path, (MIB + 77));
			cache_try(v, path, (MIB + 77));
			left = slu_fault_count(kind) >= n;
			slu_fault_arm(kind, 0, false);
			v->c->off_until = 0;
			cache_read(v, path, "e", 1000, 0, 1000);
			cache_read(v, path, "e", (MIB + 77), 0, (MIB + 77));
			assert_int_equal(cache_read(v, path, "e", 1000, 0, 1000), 0);
			assert_int_equal(cache_read(v, path, "e", (MIB + 77), 0, (MIB + 77)), 0);
			if (n % 8 == 0) {
				struct json_t *o = NULL;

				assert_int_equal(slu_cache_clear(v->c, &o, NULL), 0);
				slu_json_free(o);
			}
		}
	slu_log_level(SLU_LOG_WARNING);
}

/* --- the folder --- */

static void a_folder_of_others_is_refused(void **state)
{
	struct cache_env *v = *state;
	struct slu_cache *c = NULL;
	struct slu_err e = {0};

	assert_int_equal(chmod(v->dir.path, 0777), 0);
	assert_failed(slu_cache_open(&v->conf, &c, &e), e, EPERM, "chmod 700");
	assert_int_equal(chmod(v->dir.path, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(v->dir.path, 12345, 0), 0);
		assert_failed(slu_cache_open(&v->conf, &c, &e), e, EPERM, "another user");
		assert_int_equal(chown(v->dir.path, 0, 0), 0);
	}
	struct slu_cache_conf odd = v->conf;

	odd.max = 1000;
	assert_failed(slu_cache_open(&odd, &c, &e), e, EINVAL, "1 MiB");
	odd = v->conf;
	odd.prune_at = 0.5;
	odd.prune_to = 0.6;
	assert_failed(slu_cache_open(&odd, &c, &e), e, EINVAL, "shares");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CACHE_TEST(second_read_comes_from_disk),
		CACHE_TEST(survives_a_new_process),
		CACHE_TEST(only_what_is_missing_is_fetched),
		CACHE_TEST(another_state_is_another_entry),
		CACHE_TEST(another_right_is_another_entry),
		CACHE_TEST(every_flip_of_a_short_file),
		CACHE_TEST(flips_of_a_long_file),
		CACHE_TEST(cut_files_are_fetched_again),
		CACHE_TEST(records_without_bytes),
		CACHE_TEST(a_whole_file_has_a_descriptor),
		CACHE_TEST(a_check_lasts_until_the_boot_or_a_write),
		CACHE_TEST(fails_at_every_call),
		CACHE_TEST(a_folder_of_others_is_refused),
	};

	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
