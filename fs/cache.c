/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache layer.  A read is looked up at once, in the thread that submitted it, when that takes no waiting for
 * the disk, else in the cache's own pool.  What is missing is one span of it, which goes down in the same op; the
 * bytes that came are written behind from a copy when a program waits for them, else (read-ahead, or no memory for
 * a copy) from the caller's buffer before the op ends.  So memory is bounded, and all that was fetched is kept.
 * Nothing here fails an op: whatever goes wrong with the disk, the store is asked.
 */
#include "fs/cache_impl.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/budget.h"
#include "fs/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define INLINE_MAX (1u << 20) /* longer reads, and read-ahead, are looked up in the pool */

struct layer {
	struct slu_store s;
	struct slu_cache *c;
	uint64_t number; /* no other layer of this process ever has it */
	char *store, *scope;
};

/* One read on its way through the layer. */
struct pass {
	struct slu_work work;
	struct layer *l;
	struct slu_centry *e;
	struct slu_op *op;
	uint64_t off; /* as the caller asked */
	size_t len;
	char *buf;
};

/* A copy that waits to be written. */
struct later {
	struct slu_work work;
	struct slu_centry *e;
	uint64_t off;
	size_t len;
	char data[];
};

/* --- the queue --- */

void slu_cache_begin(struct slu_cache *c, uint64_t bytes)
{
	pthread_mutex_lock(&c->lock);
	c->pending++;
	c->queued += bytes;
	pthread_mutex_unlock(&c->lock);
}

void slu_cache_end(struct slu_cache *c, uint64_t bytes)
{
	pthread_mutex_lock(&c->lock);
	c->queued -= bytes;
	if (!--c->pending)
		pthread_cond_broadcast(&c->idle);
	pthread_mutex_unlock(&c->lock);
}

void slu_cache_flush(struct slu_cache *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->pending)
		pthread_cond_wait(&c->idle, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void slu_cache_free(struct slu_cache *c)
{
	if (!c)
		return;
	slu_cache_flush(c);
	slu_pool_free(c->pool);
	if (c->entries)
		slu_centry_all_free(c);
	slu_cspace_close(c);
	if (c->entries)
		slu_hash_free(c->entries, NULL);
	if (c->fd >= 0)
		close(c->fd);
	pthread_cond_destroy(&c->idle);
	pthread_mutex_destroy(&c->space);
	pthread_mutex_destroy(&c->lock);
	free(c->dir);
	free(c);
}

/* --- the way back: what was fetched --- */

static void write_later(struct slu_work *w)
{
	struct later *t = (struct later *)((char *)w - offsetof(struct later, work));
	struct slu_cache *c = t->e->c;
	uint64_t n = t->len;

	slu_centry_write(t->e, t->off, t->len, t->data);
	slu_centry_unref(t->e);
	free(t);
	slu_budget_give(c->conf.budget, SLU_BUDGET_CACHE, n);
	slu_cache_end(c, n);
}

/* The part of a span that can be kept: whole blocks. */
static bool whole_blocks(const struct slu_centry *e, uint64_t off, size_t len, uint64_t *ret_off,
			 size_t *ret_len)
{
	uint64_t a = (off + SLU_CACHE_BLOCK - 1) & ~(uint64_t)(SLU_CACHE_BLOCK - 1);
	uint64_t z =
		off + len == e->size ? e->size : (off + len) & ~(uint64_t)(SLU_CACHE_BLOCK - 1);

	if (a >= z)
		return false;
	*ret_off = a;
	*ret_len = (size_t)(z - a);
	return true;
}

/* True: a copy is on its way to the disk, and has taken over the entry's reference. */
static bool copy_later(struct pass *p, uint64_t off, size_t len, const char *from)
{
	struct slu_cache *c = p->l->c;
	struct later *t;
	bool room;

	if (!slu_budget_try(c->conf.budget, SLU_BUDGET_CACHE, len))
		return false;
	pthread_mutex_lock(&c->lock);
	room = len <= c->conf.write_queue && c->queued <= c->conf.write_queue - len;
	if (room) {
		c->queued += len;
		c->pending++;
	}
	pthread_mutex_unlock(&c->lock);
	t = room ? slu_malloc(sizeof(*t) + len) : NULL;
	if (!t) {
		slu_budget_give(c->conf.budget, SLU_BUDGET_CACHE, len);
		if (room)
			slu_cache_end(c, len);
		return false;
	}
	t->work = (struct slu_work){.fn = write_later, .low = true};
	t->e = p->e;
	t->off = off;
	t->len = len;
	memcpy(t->data, from, len);
	slu_pool_add(c->pool, &t->work);
	return true;
}

/* The op goes back to the caller. */
static void give_back(struct pass *p, bool keep_entry)
{
	struct slu_op *op = p->op;

	if (!keep_entry)
		slu_centry_unref(p->e);
	free(p);
	op->done(op);
}

static void write_now(struct slu_work *w)
{
	struct pass *p = (struct pass *)((char *)w - offsetof(struct pass, work));
	struct slu_cache *c = p->l->c;

	slu_centry_write(p->e, p->off, p->len, p->buf);
	give_back(p, false);
	slu_cache_end(c, 0);
}

static void fetched(struct slu_op *op)
{
	struct pass *p = slu_op_pop(op);
	uint64_t off = op->off, at;
	size_t len = op->len, n;
	const char *from = op->buf;

	op->off = p->off;
	op->len = p->len;
	op->buf = p->buf;
	if (op->rc < 0 || !whole_blocks(p->e, off, len, &at, &n)) {
		give_back(p, false);
		return;
	}
	if (slu_cspace_off(p->l->c)) {
		slu_cadd(&p->l->c->n.refused, n);
		give_back(p, false);
		return;
	}
	from += at - off;
	if (op->prio == 0 && copy_later(p, at, n, from)) {
		give_back(p, true);
		return;
	}
	p->off = at;
	p->len = n;
	p->buf = (char *)from;
	p->work = (struct slu_work){.fn = write_now};
	slu_cache_begin(p->l->c, 0);
	slu_pool_add(p->l->c->pool, &p->work);
}

/* --- the way down --- */

static void count_hit(struct pass *p, uint64_t n)
{
	slu_cadd(&p->l->c->n.hit_bytes, n);
	slu_stat_add(SLU_STAT_HIT_CACHE, n);
}

static void fetch(struct pass *p, const struct slu_cspan *miss)
{
	struct slu_op *op = p->op;

	slu_cadd(&p->l->c->n.misses, 1);
	slu_cadd(&p->l->c->n.miss_bytes, miss->len);
	if (miss->len < p->len)
		count_hit(p, p->len - miss->len);
	op->off = miss->off;
	op->len = (size_t)miss->len;
	op->buf = p->buf + (miss->off - p->off);
	slu_op_push(op, fetched, p);
	slu_store_submit(p->l->s.below, op);
}

/* False: it would have to wait. */
static bool look_up(struct pass *p, enum slu_cmode mode)
{
	struct slu_cspan miss;
	struct slu_op *op = p->op;

	if (slu_centry_read(p->e, mode, p->off, p->len, p->buf, &miss) < 0)
		return false;
	if (miss.len) {
		fetch(p, &miss);
		return true;
	}
	slu_cadd(&p->l->c->n.hits, 1);
	count_hit(p, p->len);
	if (mode != SLU_C_NOWAIT)
		slu_centry_stamp(p->e);
	slu_centry_unref(p->e);
	free(p);
	slu_op_finish(op, 0);
	return true;
}

static void look_later(struct slu_work *w)
{
	struct pass *p = (struct pass *)((char *)w - offsetof(struct pass, work));
	struct slu_cache *c = p->l->c;
	struct slu_op *op = p->op;

	if (slu_op_canceled(op) || slu_expired(op->deadline)) {
		int code = slu_op_canceled(op) ? ECANCELED : ETIMEDOUT;

		slu_centry_unref(p->e);
		free(p);
		slu_fail(&op->err, code, "cannot read '%s': %s", op->path,
			 code == ECANCELED ? "canceled" : "the disk cache did not answer in time");
		slu_op_finish(op, -code);
	} else {
		look_up(p, SLU_C_READ);
	}
	slu_cache_end(c, 0);
}

static bool is_ours(const struct slu_op *op)
{
	return op->type == SLU_OP_READ && op->size && op->if_match && *op->if_match && op->len &&
	       op->off < op->size && op->len <= op->size - op->off;
}

static void cache_submit(struct slu_store *s, struct slu_op *op)
{
	struct layer *l = (struct layer *)s;
	struct pass *p = is_ours(op) ? slu_new0(struct pass) : NULL;

	if (p)
		p->e = slu_centry_get(l->c, l->number, l->store, l->scope, op->path, op->if_match,
				      op->size);
	if (!p || !p->e) {
		free(p);
		slu_store_submit(s->below, op);
		return;
	}
	p->l = l;
	p->op = op;
	p->off = op->off;
	p->len = op->len;
	p->buf = op->buf;
	if (slu_op_waited(op)) {
		look_up(p, SLU_C_READ);
		return;
	}
	if (op->prio == 0 && op->len <= INLINE_MAX && look_up(p, SLU_C_NOWAIT))
		return;
	p->work = (struct slu_work){.fn = look_later, .low = op->prio > 0};
	slu_cache_begin(l->c, 0);
	slu_pool_add(l->c->pool, &p->work);
}

static void cache_free(struct slu_store *s)
{
	struct layer *l = (struct layer *)s;

	free(l->store);
	free(l->scope);
	free(l);
}

static const struct slu_store_ops cache_ops = {
	.name = "cache", .submit = cache_submit, .free = cache_free};

static atomic_uint_least64_t layers;

int slu_cache_push(struct slu_store **s, struct slu_cache *c, const char *store, const char *scope)
{
	struct layer *l;

	if (!slu_store_can(*s, SLU_CAP_COND_READ))
		return -ENOTSUP;
	l = slu_new0(struct layer);
	if (!l)
		return -ENOMEM;
	l->store = slu_strdup(store);
	l->scope = slu_strdup(scope);
	if (!l->store || !l->scope) {
		cache_free(&l->s);
		return -ENOMEM;
	}
	l->c = c;
	l->number = 1 + atomic_fetch_add(&layers, 1);
	l->s = **s;
	l->s.ops = &cache_ops;
	l->s.below = *s;
	*s = &l->s;
	return 0;
}

static struct layer *layer_of(struct slu_store *s)
{
	while (s && s->ops != &cache_ops)
		s = s->below;
	return (struct layer *)s;
}

struct slu_cache *slu_cache_of(struct slu_store *s)
{
	struct layer *l = layer_of(s);

	return l ? l->c : NULL;
}

/* --- whole files --- */

static struct slu_centry *entry_of(struct slu_store *s, const char *path, const char *id,
				   uint64_t size)
{
	struct layer *l = layer_of(s);

	return l && id && *id && size
		       ? slu_centry_get(l->c, l->number, l->store, l->scope, path, id, size)
		       : NULL;
}

bool slu_cache_has(struct slu_store *s, const char *path, const char *id, uint64_t size)
{
	struct slu_centry *e = entry_of(s, path, id, size);
	bool has = e && slu_centry_complete(e);

	if (e)
		slu_centry_unref(e);
	return has;
}

struct check {
	struct slu_work work;
	struct slu_centry *e;
};

static void check_later(struct slu_work *w)
{
	struct check *k = (struct check *)((char *)w - offsetof(struct check, work));
	struct slu_cache *c = k->e->c;

	slu_centry_check(k->e);
	slu_centry_unref(k->e);
	free(k);
	slu_cache_end(c, 0);
}

/* Takes the reference when it returns true. */
static bool start_check(struct slu_centry *e)
{
	struct check *k = slu_new0(struct check);

	if (!k)
		return false;
	k->work = (struct slu_work){.fn = check_later, .low = true};
	k->e = e;
	slu_cache_begin(e->c, 0);
	slu_pool_add(e->c->pool, &k->work);
	return true;
}

/* The same inode as the entry's, read-only. */
static int open_data(struct slu_centry *e)
{
	char name[SLU_CNAME + 4];
	struct stat a, b;

	snprintf(name, sizeof(name), "%s.d", e->name);
	SLU_AUTO(slu_closep) int fd = openat(e->c->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &a) < 0 || fstat(e->data, &b) < 0 || a.st_ino != b.st_ino ||
	    a.st_dev != b.st_dev)
		return -ENODATA;
	return slu_take_fd(fd);
}

static int whole(struct slu_centry *e, unsigned flags, bool *taken)
{
	if (slu_centry_open(e, SLU_C_READ) < 0)
		return -ENODATA;
	if (!slu_centry_checked(e)) {
		if (!(flags & SLU_CACHE_NOWAIT))
			return slu_centry_check(e) ? open_data(e) : -ENODATA;
		if (!slu_centry_complete(e))
			return -ENODATA;
		*taken = start_check(e);
		return *taken ? -EAGAIN : -ENODATA;
	}
	return open_data(e);
}

int slu_cache_whole(struct slu_store *s, const char *path, const char *id, uint64_t size,
		    unsigned flags, int *ret_fd)
{
	struct slu_centry *e = size < SLU_CACHE_SMALL ? NULL : entry_of(s, path, id, size);
	bool taken = false;
	int fd = e ? whole(e, flags, &taken) : -ENODATA;

	if (e && !taken)
		slu_centry_unref(e);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

void slu_cache_counted(struct slu_cache *c, struct slu_cache_counts *ret)
{
	*ret = (struct slu_cache_counts){
		.hits = c->n.hits,
		.hit_bytes = c->n.hit_bytes,
		.misses = c->n.misses,
		.miss_bytes = c->n.miss_bytes,
		.written = c->n.written,
		.bad = c->n.bad,
		.evicted = c->n.evicted,
		.refused = c->n.refused,
	};
	pthread_mutex_lock(&c->lock);
	ret->queued = c->queued;
	pthread_mutex_unlock(&c->lock);
}
