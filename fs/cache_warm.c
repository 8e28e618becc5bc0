/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warming the disk cache: lanes that read every file of a tree through the store's layer, whose write-behind does
 * the rest.  A file that is whole by its map is not read; what is there of others is not fetched again.
 */
#include "fs/cache.h"

#include "common/json.h"
#include "common/mem.h"
#include "fs/tree.h"

#include <errno.h>
#include <pthread.h>

#define LANES 16
#define CHUNK (1u << 20)
#define TELL_EVERY 64 /* chunks */

struct warm;

struct lane {
	struct warm *w;
	struct slu_op op;
	char *buf, *path;
	struct slu_store *store; /* of the file under way; NULL: none */
	const struct slu_file *file;
	uint64_t off;
};

struct warm {
	struct slu_tree *t;
	slu_cache_progress_fn *fn;
	void *user;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t cond;
	size_t next, running, chunks;
	uint64_t files, bytes;
	int rc;
	struct slu_err err;
};

static void fail(struct warm *w, int rc, const struct slu_err *e)
{
	pthread_mutex_lock(&w->lock);
	if (!w->rc) {
		w->rc = rc;
		w->err = *e;
	}
	pthread_mutex_unlock(&w->lock);
}

static void tell(struct warm *w, uint64_t files, uint64_t bytes)
{
	pthread_mutex_lock(&w->lock);
	w->files += files;
	w->bytes += bytes;
	w->chunks++;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

/* The next file that is not whole.  False: none is left, or it is over. */
static bool next_file(struct lane *l)
{
	struct warm *w = l->w;
	struct slu_err e = {0};

	for (;;) {
		size_t at;

		pthread_mutex_lock(&w->lock);
		at = w->rc ? SIZE_MAX : w->next++;
		pthread_mutex_unlock(&w->lock);
		if (at >= slu_manifest_count(w->t->manifest))
			return false;
		free(l->path);
		l->path = NULL;
		l->file = slu_manifest_at(w->t->manifest, at);
		l->off = 0;
		if (slu_tree_locate(w->t, at, &l->store, &l->path) < 0) {
			fail(w, slu_fail_oom(&e), &e);
			return false;
		}
		if (!slu_cache_of(l->store)) {
			fail(w,
			     slu_fail(
				     &e, ENOTSUP,
				     "'%s' lies in a store that is not cached: local folders are not",
				     l->file->path),
			     &e);
			return false;
		}
		if (l->file->size && !slu_cache_has(l->store, l->path, l->file->id, l->file->size))
			return true;
		tell(w, 1, l->file->size);
	}
}

static void lane_done(struct slu_op *op);

static void lane_next(struct lane *l)
{
	bool more = true;

	if (!l->store || l->off >= l->file->size)
		more = next_file(l);
	pthread_mutex_lock(&l->w->lock);
	more = more && !l->w->rc;
	if (!more && !--l->w->running)
		pthread_cond_signal(&l->w->cond);
	pthread_mutex_unlock(&l->w->lock);
	if (!more)
		return;
	uint64_t left = l->file->size - l->off;

	slu_op_read(&l->op, l->path, l->off, left < CHUNK ? (size_t)left : CHUNK, l->buf,
		    l->file->id);
	l->op.size = l->file->size;
	l->op.prio = 1; /* written from our buffer: what is told as done is on disk */
	l->op.done = lane_done;
	l->op.user = l;
	slu_store_submit(l->store, &l->op);
}

static void lane_done(struct slu_op *op)
{
	struct lane *l = op->user;

	if (op->rc < 0) {
		fail(l->w, op->rc, &op->err);
	} else {
		l->off += op->len;
		tell(l->w, l->off >= l->file->size, op->len);
	}
	lane_next(l);
}

static void wait_all(struct warm *w)
{
	pthread_mutex_lock(&w->lock);
	for (size_t told = 0; w->running;) {
		uint64_t files = w->files, bytes = w->bytes;

		if (w->fn && w->chunks - told >= TELL_EVERY) {
			told = w->chunks;
			pthread_mutex_unlock(&w->lock);
			int r = w->fn(w->user, files, bytes);

			pthread_mutex_lock(&w->lock);
			if (r && !w->rc)
				w->rc = slu_fail(&w->err, ECANCELED, "canceled");
			continue;
		}
		pthread_cond_wait(&w->cond, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	if (w->fn)
		w->fn(w->user, w->files, w->bytes);
}

static void run(struct warm *w, struct lane *lanes, size_t n)
{
	w->running = n;
	for (size_t i = 0; i < n; i++)
		lane_next(&lanes[i]);
	wait_all(w);
}

/* The caches of a tree's stores: all one, of the context. */
static struct slu_cache *cache_of(const struct slu_tree *t)
{
	return slu_manifest_sources(t->manifest) ? slu_cache_of(t->sources[0].store) : NULL;
}

/* What was read is not all there when there was no room, or when it had to go for what came later. */
static int count_lacking(const struct slu_tree *t, size_t *ret, struct slu_err *e)
{
	*ret = 0;
	for (size_t i = 0; i < slu_manifest_count(t->manifest); i++) {
		const struct slu_file *f = slu_manifest_at(t->manifest, i);
		SLU_AUTO(slu_freep) char *path = NULL;
		struct slu_store *s;

		if (slu_tree_locate(t, i, &s, &path) < 0)
			return slu_fail_oom(e);
		*ret += f->size && !slu_cache_has(s, path, f->id, f->size);
	}
	return 0;
}

static int result(struct warm *w, struct slu_cache *c, const struct slu_cache_counts *was,
		  struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	struct slu_cache_counts now = {0};
	size_t lacking;

	if (w->rc) {
		if (e)
			*e = w->err;
		return w->rc;
	}
	if (c)
		slu_cache_counted(c, &now);
	int r = count_lacking(w->t, &lacking, e);

	if (r < 0)
		return r;
	if (lacking)
		return slu_fail(
			e, ENOSPC,
			"%zu files did not fit into the cache '%s': give it more with --cache-size, or free "
			"space on its disk",
			lacking, slu_cache_where(c));
	if (!o || slu_json_set_int(o, "files", (int64_t)w->files) < 0 ||
	    slu_json_set_int(o, "bytes", (int64_t)w->bytes) < 0 ||
	    slu_json_set_int(o, "fetched_bytes", (int64_t)(now.miss_bytes - was->miss_bytes)) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
}

int slu_cache_warm(struct slu_tree *t, slu_cache_progress_fn *fn, void *user, struct json_t **ret,
		   struct slu_err *e)
{
	struct warm w = {.t = t, .fn = fn, .user = user};
	struct slu_cache *c = cache_of(t);
	struct slu_cache_counts was = {0};
	struct lane lanes[LANES] = {0};
	size_t n = 0;
	int r;

	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.cond, NULL);
	if (c)
		slu_cache_counted(c, &was);
	while (n < LANES && (lanes[n].buf = slu_malloc(CHUNK)))
		lanes[n++].w = &w;
	if (n) {
		run(&w, lanes, n);
		if (c)
			slu_cache_flush(c);
		r = result(&w, c, &was, ret, e);
	} else {
		r = slu_fail_oom(e);
	}
	for (size_t i = 0; i < n; i++) {
		free(lanes[i].buf);
		free(lanes[i].path);
	}
	pthread_cond_destroy(&w.cond);
	pthread_mutex_destroy(&w.lock);
	return r;
}
