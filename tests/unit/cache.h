/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the disk cache share: a remote store whose bytes are a function of path, identity and
 * offset, with the cache on top in a folder of its own. */
#ifndef SLU_TESTS_CACHE_H
#define SLU_TESTS_CACHE_H

#include "tests/unit/fs.h"

#include "common/json.h"
#include "fs/cache_impl.h"

#include <sys/stat.h>

#define KIB 1024u
#define MIB (1024u * 1024)

struct cache_env {
	struct unit_dir dir;
	struct slu_cache_conf conf;
	struct slu_cache *c;
	struct fake f;
	struct slu_store *s;
	atomic_uint_least64_t asked; /* bytes that the store was asked for */
};

static inline void cache_fill(char *buf, size_t n, const char *path, const char *id, uint64_t off)
{
	uint64_t base = 1469598103934665603ull;

	for (const char *p = path; *p; p++)
		base = (base ^ (uint8_t)*p) * 1099511628211ull;
	for (const char *p = id; *p; p++)
		base = (base ^ (uint8_t)*p) * 1099511628211ull;
	for (size_t i = 0; i < n; i++) {
		uint64_t at = off + i;

		buf[i] = (char)((base ^ at >> 3) * 0x9e3779b97f4a7c15ull >> (8 * (at & 7)));
	}
}

static inline int cache_serve(struct fake *f, struct slu_op *op)
{
	struct cache_env *v = f->user;

	if (op->type != SLU_OP_READ)
		return -ENOTSUP;
	atomic_fetch_add(&v->asked, op->len);
	cache_fill(op->buf, op->len, op->path, op->if_match ? op->if_match : "", op->off);
	return 0;
}

static inline void cache_open(struct cache_env *v, const char *store, const char *scope)
{
	struct slu_err e = {0};

	v->conf.dir = v->dir.path;
	if (!v->c && slu_cache_open(&v->conf, &v->c, &e) < 0)
		fail_msg("%s", e.msg);
	v->s = fake_init(&v->f, cache_serve);
	v->f.user = v;
	assert_int_equal(slu_cache_push(&v->s, v->c, store, scope), 0);
}

static inline void cache_close(struct cache_env *v)
{
	slu_store_free(v->s);
	slu_cache_free(v->c);
	v->s = NULL;
	v->c = NULL;
}

/* As a process that starts anew. */
static inline void cache_reopen(struct cache_env *v)
{
	cache_close(v);
	cache_open(v, "https://a/c", "key");
}

static inline int cache_setup(void **state)
{
	struct cache_env *v = calloc(1, sizeof(*v));

	assert_non_null(v);
	unit_dir_make(&v->dir);
	cache_open(v, "https://a/c", "key");
	*state = v;
	return 0;
}

static inline int cache_teardown(void **state)
{
	struct cache_env *v = *state;

	cache_close(v);
	unit_dir_done(&v->dir);
	free(v);
	return 0;
}

#define CACHE_TEST(f) cmocka_unit_test_setup_teardown(f, cache_setup, cache_teardown)

/* A read whose bytes have to be right; returns how many of them the store was asked for. */
static inline uint64_t cache_read(struct cache_env *v, const char *path, const char *id,
				  uint64_t size, uint64_t off, size_t len)
{
	uint64_t before = v->asked;
	struct slu_err e = {0};
	char *buf = malloc(len), *want = malloc(len);
	struct slu_op op;

	assert_non_null(buf);
	assert_non_null(want);
	memset(buf, 0x5a, len);
	cache_fill(want, len, path, id, off);
	slu_op_read(&op, path, off, len, buf, id);
	op.size = size;
	if (slu_store_wait(v->s, &op, &e) < 0)
		fail_msg("read '%s': %s", path, e.msg);
	assert_memory_equal(buf, want, len);
	assert_true(op.off == off && op.len == len && op.buf == buf);
	free(buf);
	free(want);
	slu_cache_flush(v->c);
	return v->asked - before;
}

/* A read, right or not at all, without memory of the library's: faults may be armed. */
static inline void cache_try(struct cache_env *v, const char *path, uint64_t size)
{
	char *buf = calloc(1, size), *want = malloc(size);
	struct slu_op op;

	assert_non_null(buf);
	assert_non_null(want);
	cache_fill(want, size, path, "e", 0);
	slu_op_read(&op, path, 0, size, buf, "e");
	op.size = size;
	assert_int_equal(slu_store_wait(v->s, &op, NULL), 0);
	assert_memory_equal(buf, want, size);
	slu_cache_flush(v->c);
	free(buf);
	free(want);
}

/* Every file below DIR/v1 whose name ends so: fn(descriptor). */
static inline unsigned cache_files(struct cache_env *v, char kind, void (*fn)(int fd, void *user),
				   void *user)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLU_CDIRS; i++) {
		char name[3];
		const struct dirent *at;

		slu_cdir_name(i, name);
		int fd = openat(v->c->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = fd < 0 ? NULL : fdopendir(fd);

		while (d && (at = readdir(d))) {
			if (at->d_name[0] == '.' || at->d_name[strlen(at->d_name) - 1] != kind)
				continue;
			n++;
			int file = openat(fd, at->d_name, O_RDWR | O_CLOEXEC);

			assert_true(file >= 0);
			if (fn)
				fn(file, user);
			close(file);
		}
		if (d)
			closedir(d);
	}
	return n;
}

#endif
