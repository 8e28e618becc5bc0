/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people do with the disk cache: look at it, check it, empty it.  All of it works on the files alone, beside
 * whoever uses the cache at the time.
 */
#include "fs/cache_impl.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

struct part {
	uint64_t files, complete, bytes;
};

struct sum {
	struct slu_cache *c;
	struct slu_hash *stores; /* struct part */
	struct part all;
	uint64_t blocks, bad_blocks, dropped, leftover;
	char *buf;
	int rc;
};

static int add_part(struct sum *s, const char *store, uint64_t bytes, bool complete)
{
	struct part *p = slu_hash_get(s->stores, store);

	if (!p) {
		p = slu_new0(struct part);
		if (!p || !slu_hash_put(s->stores, store, p)) {
			free(p);
			return -ENOMEM;
		}
	}
	p->files++;
	p->bytes += bytes;
	p->complete += complete;
	return 0;
}

static int stat_one(void *user, const struct slu_cfile *f)
{
	SLU_AUTO(slu_freep) char *store = NULL;
	struct sum *s = user;
	struct slu_centry *e = slu_centry_of_file(s->c, f, &store);
	bool complete = e && slu_centry_complete(e);

	if (e)
		slu_centry_unref(e);
	s->all.bytes += f->bytes;
	s->all.files += e != NULL;
	s->all.complete += complete;
	return store ? add_part(s, store, f->bytes, complete) : 0;
}

static int set_part(struct json_t *o, const struct part *p)
{
	return slu_json_set_int(o, "files", (int64_t)p->files) < 0 ||
			       slu_json_set_int(o, "complete", (int64_t)p->complete) < 0 ||
			       slu_json_set_int(o, "bytes", (int64_t)p->bytes) < 0
		       ? -ENOMEM
		       : 0;
}

struct listing {
	struct json_t *all;
	int rc;
};

static void tell_store(const char *key, void *value, void *u)
{
	struct listing *l = u;
	struct json_t *o = slu_json_object();

	if (!o || slu_json_set_str(o, "store", key) < 0 || set_part(o, value) < 0) {
		slu_json_free(o);
		l->rc = -ENOMEM;
	} else if (slu_json_append(l->all, o) < 0) {
		l->rc = -ENOMEM;
	}
}

static uint64_t free_bytes(const struct slu_cache *c)
{
	struct statvfs fs;

	return fstatvfs(c->fd, &fs) < 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
}

static struct json_t *tell_stat(struct sum *s)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	struct listing l = {.all = slu_json_array()};

	if (l.all)
		slu_hash_each(s->stores, tell_store, &l);
	if (!o || !l.all || l.rc < 0 || slu_json_set_str(o, "dir", s->c->dir) < 0 ||
	    set_part(o, &s->all) < 0 ||
	    slu_json_set_int(o, "max_bytes", (int64_t)s->c->conf.max) < 0 ||
	    slu_json_set_int(o, "reserve_bytes", (int64_t)s->c->conf.reserve) < 0 ||
	    slu_json_set_int(o, "free_bytes", (int64_t)free_bytes(s->c)) < 0) {
		slu_json_free(l.all);
		return NULL;
	}
	return slu_json_set(o, "stores", l.all) < 0 ? NULL : slu_take(o);
}

int slu_cache_stat(struct slu_cache *c, struct json_t **ret, struct slu_err *e)
{
	struct sum s = {.c = c, .stores = slu_hash_new()};
	struct json_t *o = NULL;

	if (s.stores && slu_cache_scan(c, stat_one, &s) == 0)
		o = tell_stat(&s);
	if (s.stores)
		slu_hash_free(s.stores, free);
	if (!o)
		return slu_fail_oom(e);
	*ret = o;
	return 0;
}

/* --- verify --- */

static void verify_blocks(struct sum *s, struct slu_centry *e)
{
	for (uint64_t i = 0; i < e->nblocks; i++) {
		size_t n = slu_cblock_len(e, i);
		struct slu_cspan miss;
		struct slu_crec rec;

		slu_centry_recs(e, SLU_C_READ, i, 1, &rec);
		if (!slu_crec_right(e, i, &rec)) {
			/* What is neither a record nor nothing was torn or flipped. */
			if (rec.crc || rec.check) {
				s->bad_blocks++;
				slu_centry_drop(e, i, 1);
			}
			continue;
		}
		s->blocks++;
		s->all.bytes += n;
		slu_centry_read(e, SLU_C_READ, i * SLU_CACHE_BLOCK, n, s->buf, &miss);
		s->bad_blocks += miss.len > 0;
	}
}

/* A file that is no entry.  What a process leaves that is killed while it makes one, an empty map or bytes without
 * a map, is no harm. */
static void drop_file(struct sum *s, const struct slu_cfile *f, bool empty)
{
	struct stat st;

	if (fstatat(f->dirfd, f->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return; /* somebody else just removed it */
	if (slu_ends(f->name, ".d") || empty)
		s->leftover++;
	else
		s->dropped++;
	slu_cfile_remove(f);
}

static int verify_one(void *user, const struct slu_cfile *f)
{
	SLU_AUTO(slu_freep) char *store = NULL;
	struct sum *s = user;
	struct stat st;
	/* Somebody may be making it: what it was before counts. */
	bool empty = fstatat(f->dirfd, f->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !st.st_size;
	struct slu_centry *e = slu_centry_of_file(s->c, f, &store);

	if (!e) {
		drop_file(s, f, empty);
		return 0;
	}
	s->all.files++;
	verify_blocks(s, e);
	slu_centry_unref(e);
	return 0;
}

int slu_cache_verify(struct slu_cache *c, struct json_t **ret, struct slu_err *e)
{
	struct sum s = {.c = c, .buf = slu_malloc(SLU_CACHE_BLOCK)};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (s.buf)
		slu_cache_scan(c, verify_one, &s);
	if (!s.buf || !o || slu_json_set_int(o, "files", (int64_t)s.all.files) < 0 ||
	    slu_json_set_int(o, "blocks", (int64_t)s.blocks) < 0 ||
	    slu_json_set_int(o, "bytes", (int64_t)s.all.bytes) < 0 ||
	    slu_json_set_int(o, "bad_blocks", (int64_t)s.bad_blocks) < 0 ||
	    slu_json_set_int(o, "dropped_files", (int64_t)s.dropped) < 0 ||
	    slu_json_set_int(o, "leftover_files", (int64_t)s.leftover) < 0) {
		free(s.buf);
		return slu_fail_oom(e);
	}
	free(s.buf);
	*ret = slu_take(o);
	return 0;
}

/* --- clear --- */

static int clear_one(void *user, const struct slu_cfile *f)
{
	struct sum *s = user;

	slu_cfile_remove(f);
	s->all.files++;
	s->all.bytes += f->bytes;
	return 0;
}

int slu_cache_clear(struct slu_cache *c, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	struct sum s = {.c = c};

	slu_cache_scan(c, clear_one, &s);
	slu_centry_idle_free(c);
	slu_cspace_count(c);
	if (!o || slu_json_set_int(o, "files", (int64_t)s.all.files) < 0 ||
	    slu_json_set_int(o, "bytes", (int64_t)s.all.bytes) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
}
