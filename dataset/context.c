/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The composition root: the only file that names drivers and stacks layers over them.  Stores, pool and
 * loops are made when first asked for and kept until the context is freed, so that whoever holds a
 * store pointer need not count.  Where references lead is in context_place.c.
 */
#include "dataset/context_impl.h"

#include "blob/blob.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/yaml.h"
#include "dataset/datastore.h"
#include "dataset/folders.h"
#include "dataset/open_hdfs.h"
#include "fs/cache.h"
#include "fs/layers.h"
#include "fs/local.h"
#include "io/loop.h"
#include "io/pool.h"
#include "web/web.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define LOCALS_MAX 512 /* folders that plain paths opened: each holds a descriptor */
#define DEFAULT_STORE "workspaceblobstore"

int slu_context_new(struct slu_workspace *ws, struct sluice **ret, struct slu_err *e)
{
	struct sluice *s = slu_new0(struct sluice);

	if (!s) {
		slu_workspace_free(ws);
		return slu_fail_oom(e);
	}
	s->ws = ws;
	pthread_mutex_init(&s->lock, NULL);
	s->stores = slu_hash_new();
	s->locals = slu_hash_new();
	s->webs = slu_hash_new();
	s->windows = slu_hash_new();
	if (!s->stores || !s->locals || !s->webs || !s->windows) {
		slu_context_free(s);
		return slu_fail_oom(e);
	}
	*ret = s;
	return 0;
}

static void free_store(void *store)
{
	slu_store_free(store);
}

static void free_window(void *window)
{
	slu_window_free(window);
}

void slu_context_free(struct sluice *s)
{
	if (!s)
		return;
	/* Stores first: their layers have timers on the loops and work in the pool. */
	if (s->stores)
		slu_hash_free(s->stores, free_store);
	if (s->locals)
		slu_hash_free(s->locals, free_store);
	if (s->webs)
		slu_hash_free(s->webs, free_store);
	slu_cache_free(s->cache);
	if (s->windows)
		slu_hash_free(s->windows, free_window);
	slu_loops_free(s->loops);
	slu_pool_free(s->pool);
	free(s->root_path);
	free(s->local_root);
	pthread_mutex_destroy(&s->lock);
	slu_workspace_free(s->ws);
	free(s);
}

struct slu_workspace *slu_context_workspace(struct sluice *s)
{
	return s->ws;
}

int slu_context_need_workspace(struct sluice *s, struct slu_err *e)
{
	if (s->ws)
		return 0;
	return slu_fail(e, ENOENT,
			"this needs a workspace and there is none here or above; make one with "
			"`sluice init`, or name one with --workspace");
}

/* --- pool and loops --- */

static const struct json_t *datastores(struct sluice *s)
{
	return s->ws ? slu_json_get(s->ws->config, "datastores") : NULL;
}

static int need_pool(struct sluice *s, struct slu_err *e)
{
	return s->pool ? 0 : slu_pool_new(0, &s->pool, e);
}

static int need_loops(struct sluice *s, struct slu_err *e)
{
	/* Local stores need timers only, remote ones connections: then as many threads as are useful. */
	struct slu_loops_conf conf = {.threads = slu_datastore_any_remote(datastores(s)) ? 0 : 1};

	return s->loops ? 0 : slu_loops_new(&conf, &s->loops, e);
}

struct slu_pool *slu_context_pool(struct sluice *s)
{
	pthread_mutex_lock(&s->lock);
	int r = need_pool(s, NULL);

	pthread_mutex_unlock(&s->lock);
	return r < 0 ? NULL : s->pool;
}

struct slu_loops *slu_context_loops(struct sluice *s)
{
	pthread_mutex_lock(&s->lock);
	int r = need_loops(s, NULL);

	pthread_mutex_unlock(&s->lock);
	return r < 0 ? NULL : s->loops;
}

void slu_context_requests(struct sluice *s, unsigned n, unsigned tries)
{
	pthread_mutex_lock(&s->lock);
	s->requests = n;
	s->tries = tries;
	pthread_mutex_unlock(&s->lock);
}

/* --- stores --- */

/* What the stores of one service share.  Locked. */
static int need_window(struct sluice *s, const char *host, struct slu_window **ret)
{
	struct slu_window *w = slu_hash_get(s->windows, host);

	if (!w) {
		const struct slu_limit_conf most = {s->requests < 16 ? s->requests : 16,
						    s->requests};

		if (slu_window_new(s->requests ? &most : NULL, s->loops, &w) < 0)
			return -ENOMEM;
		if (!slu_hash_put(s->windows, host, w)) {
			slu_window_free(w);
			return -ENOMEM;
		}
	}
	*ret = w;
	return 0;
}

/* The layers over a driver.  On failure *store is still the caller's.  Locked. */
static int stack(struct sluice *s, const char *name, struct slu_store **store, struct slu_err *e)
{
	const struct slu_retry_conf retry = {.tries = s->tries};
	struct slu_window *window;
	const char *faults = getenv("SLUICE_FAULT");

	if (faults && *faults) {
		int r = slu_faulty_push(store, faults, s->loops, e);

		if (r < 0)
			return r;
	}
	/* what answers without waiting has no tail to cut */
	if (!slu_store_can(*store, SLU_CAP_INLINE_READ) && !getenv("SLUICE_NO_HEDGE") &&
	    slu_hedge_push(store, NULL, s->loops) < 0)
		return slu_fail_oom(e);
	if (need_window(s, (*store)->host ? (*store)->host : name, &window) < 0 ||
	    slu_limit_push(store, window) < 0 || slu_retry_push(store, &retry, s->loops) < 0 ||
	    slu_trace_push(store, name) < 0)
		return slu_fail_oom(e);
	return 0;
}

/* The stack over a local folder, named and kept.  Locked. */
static int open_local(struct sluice *s, const char *name, const char *folder, const char *key,
		      struct slu_hash *in, struct slu_store **ret, struct slu_err *e)
{
	SLU_AUTO(slu_store_freep) struct slu_store *store = NULL;
	int r = need_pool(s, e);

	if (r == 0)
		r = need_loops(s, e);
	if (r == 0)
		r = slu_local_new(folder, false, s->pool, &store, e);
	if (r == 0)
		r = stack(s, name, &store, e);
	if (r < 0)
		return r;
	if (!slu_hash_put(in, key, store))
		return slu_fail_oom(e);
	*ret = slu_take(store);
	return 0;
}

/* Of a folder that was removed and made again, the old one is not meant. */
static char *local_key(const char *abs)
{
	struct stat st = {0};

	(void)stat(abs, &st);
	return slu_asprintf("%llx %llx %s", (unsigned long long)st.st_dev,
			    (unsigned long long)st.st_ino, abs);
}

int slu_context_local(struct sluice *s, const char *abs, struct slu_store **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *key = local_key(abs);
	int r = 0;

	if (!key)
		return slu_fail_oom(e);
	pthread_mutex_lock(&s->lock);
	struct slu_store *store = slu_hash_get(s->locals, key);

	if (!store && slu_hash_count(s->locals) >= LOCALS_MAX)
		r = slu_fail(e, EMFILE,
			     "'%s' would be the local folder number %d that this process opens; "
			     "make a datastore over their common folder instead",
			     abs, LOCALS_MAX + 1);
	else if (!store)
		r = open_local(s, abs, abs, key, s->locals, &store, e);
	pthread_mutex_unlock(&s->lock);
	if (r == 0)
		*ret = store;
	return r;
}

/* The stack over a web server, kept.  Locked. */
static int open_web(struct sluice *s, const char *origin, struct slu_store **ret, struct slu_err *e)
{
	SLU_AUTO(slu_store_freep) struct slu_store *store = NULL;
	int r = need_loops(s, e);

	if (r == 0)
		r = slu_web_new(origin, NULL, s->loops, &store, e);
	if (r == 0)
		r = stack(s, origin, &store, e);
	if (r < 0)
		return r;
	if (!slu_hash_put(s->webs, origin, store))
		return slu_fail_oom(e);
	*ret = slu_take(store);
	return 0;
}

int slu_context_open(struct sluice *s, const struct slu_uri *c, struct slu_store **ret,
		     struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *origin = NULL;
	struct slu_store *store;
	int r = 0;

	if (c->kind != SLU_URI_HTTP)
		return slu_context_store(s, c->name, ret, e);
	origin = slu_asprintf("%s://%s", c->scheme, c->name);
	if (!origin)
		return slu_fail_oom(e);
	pthread_mutex_lock(&s->lock);
	store = slu_hash_get(s->webs, origin);
	if (!store)
		r = open_web(s, origin, &store, e);
	if (r == 0)
		r = slu_context_cached(s, origin, NULL, &store, s->webs, e);
	pthread_mutex_unlock(&s->lock);
	if (r == 0)
		*ret = store;
	return r;
}

const char *slu_context_default_store(struct sluice *s)
{
	const char *name = s->ws ? slu_json_str(s->ws->config, "default_datastore") : NULL;

	if (!s->ws)
		return NULL;
	return name && *name ? name : DEFAULT_STORE;
}

bool slu_context_is_store(struct sluice *s, const char *name)
{
	return slu_datastore_find(datastores(s), name) != NULL;
}

int slu_context_unknown_store(struct sluice *s, const char *name, struct slu_err *e)
{
	if (!s->ws)
		return slu_fail(
			e, ENOENT,
			"'%s' is neither a local path nor a datastore: there is no workspace "
			"here; make one with `sluice init`",
			name);

	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(512);
	const struct json_t *all = datastores(s);

	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it))
		slu_buf_fmt(&b, "%s'%s'", b.len ? ", " : "", slu_json_iter_key(it));
	if (!b.len)
		return slu_fail(e, ENOENT,
				"datastore '%s' is not in '%s', which has none; add it with "
				"`sluice datastore create`",
				name, s->ws->config_path);
	return slu_fail(
		e, ENOENT,
		"datastore '%s' is not in '%s', which has %s; add it with `sluice datastore "
		"create`",
		name, s->ws->config_path, b.p);
}

/* What is wrong with an entry, with its line and column: JSON is YAML, whose reader keeps them. */
static int bad_entry(const struct slu_workspace *w, const char *key, struct slu_err *e)
{
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	const struct json_t *at = NULL;

	if (w->text && slu_yaml_parse(w->text, strlen(w->text), w->config_path, &y, NULL) == 0)
		at = slu_json_get(slu_json_get(slu_yaml_root(y), "datastores"), key);
	if (at) {
		int r = slu_datastore_check_at(key, at, y, at, e);

		if (r < 0)
			return r;
	}
	/* right after all: what failed before was for lack of memory */
	if (slu_datastore_check(key, slu_json_get(slu_json_get(w->config, "datastores"), key), e) >=
	    0)
		return slu_fail_oom(e);
	return slu_fail_more(e, "'%s'", w->config_path);
}

/* The entry of a datastore, checked; *ret_key: its name as config.json writes it. */
static int find_entry(struct sluice *s, const char *name, const char **ret_key,
		      const struct json_t **ret, struct slu_err *e)
{
	int r = slu_context_need_workspace(s, e);

	if (r < 0)
		return r;
	if (!name)
		name = slu_context_default_store(s);

	const char *key = slu_datastore_find(datastores(s), name);

	if (!key)
		return slu_context_unknown_store(s, name, e);
	const struct json_t *entry = slu_json_get(datastores(s), key);

	if (slu_datastore_check(key, entry, NULL) < 0)
		return bad_entry(s->ws, key, e);
	*ret_key = key;
	*ret = entry;
	return 0;
}

int slu_context_store_folder(struct sluice *s, const char *name, char **ret, struct slu_err *e)
{
	const struct json_t *entry = NULL;
	const char *key;
	int r = find_entry(s, name, &key, &entry, e);

	if (r < 0)
		return r;
	*ret = NULL;
	if (slu_datastore_type(entry) != SLU_DATASTORE_LOCAL)
		return 0;
	const char *path = slu_json_str(entry, "path");
	SLU_AUTO(slu_freep)
	char *full = *path == '/' ? slu_strdup(path) : slu_path_join(s->ws->dir, path);

	return full ? slu_path_absolute(full, ret, e) : slu_fail_oom(e);
}

/* The stack over a remote datastore, named and kept.  Locked. */
static int open_remote(struct sluice *s, const char *key, const struct json_t *entry,
		       struct slu_store **ret, struct slu_err *e)
{
	SLU_AUTO(slu_store_freep) struct slu_store *store = NULL;
	enum slu_datastore_type type = slu_datastore_type(entry);
	int r = need_pool(s, e);

	if (r == 0)
		r = need_loops(s, e);
	if (r < 0)
		return r;
	if (type == SLU_DATASTORE_HDFS)
		r = slu_open_hdfs(entry, s->ws->dir, s->loops, s->pool, &store, e);
	else
		r = slu_blob_new(entry, s->ws->dir, s->loops, s->pool, &store, e);
	if (r == 0)
		r = stack(s, key, &store, e);
	if (r < 0)
		return slu_fail_more(e, "datastore '%s'", key);
	if (!slu_hash_put(s->stores, key, store))
		return slu_fail_oom(e);
	*ret = slu_take(store);
	return 0;
}

/* Opens the datastore `key`.  Locked. */
static int open_store(struct sluice *s, const char *key, const struct json_t *entry,
		      struct slu_store **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *folder = NULL;
	int r = slu_context_store_folder(s, key, &folder, e);

	if (r < 0)
		return r;
	if (!folder)
		return open_remote(s, key, entry, ret, e);
	/* A relative folder is the workspace's own, so a checkout without it is fine; a disk that is not
	 * mounted must not be written beside. */
	if (*slu_json_str(entry, "path") != '/')
		r = slu_folders_make(folder, 0755, e);
	if (r == 0)
		r = open_local(s, key, folder, key, s->stores, ret, e);
	return r < 0 ? slu_fail_more(e, "datastore '%s'", key) : 0;
}

int slu_context_store(struct sluice *s, const char *name, struct slu_store **ret, struct slu_err *e)
{
	const struct json_t *entry = NULL;
	const char *key = NULL;
	int r = find_entry(s, name, &key, &entry, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	struct slu_store *store = slu_hash_get(s->stores, key);

	if (!store)
		r = open_store(s, key, entry, &store, e);
	if (r == 0)
		r = slu_context_cached(s, key, entry, &store, s->stores, e);
	pthread_mutex_unlock(&s->lock);
	if (r == 0)
		*ret = store;
	return r;
}
