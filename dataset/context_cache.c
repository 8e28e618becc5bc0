/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk cache of a context: whether it is wanted, and how a store is told from others on any node.  A local
 * folder is never cached.  The scope of a key holds by which right a store is read: what the entry says of its
 * credential, and of a secret that lies in the environment or in a file a digest, so that another key or another
 * SAS is another scope, while the same SAS with another time and signature is not.
 */
#include "dataset/context_impl.h"

#include "blob/identity.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/datastore.h"
#include "fs/cache.h"
#include "fs/settings.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>

#define SECRET_MAX 65536

/* --- is it wanted? --- */

static bool wanted(const struct slu_settings *set)
{
	if (!set->chosen[SLU_SET_cache])
		return set->cache;
	/* Who gives it a place or a size wants it. */
	return set->from[SLU_SET_cache_dir] != SLU_FROM_DEFAULT ||
	       set->from[SLU_SET_cache_size] != SLU_FROM_DEFAULT;
}

static int find_dir(const struct slu_settings *set, char **ret, struct slu_err *e)
{
	if (!set->chosen[SLU_SET_cache_dir] && set->cache_dir[0])
		return slu_path_absolute(set->cache_dir, ret, e);
	return slu_cache_default_dir(ret, e);
}

int slu_context_cache_conf(const struct slu_settings *set, bool existing, struct slu_cache **ret,
			   struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *dir = NULL;
	struct slu_cache_conf conf = {
		.existing = existing,
		.reserve = set->cache_reserve ? set->cache_reserve : 1,
		.prune_at = set->cache_prune_at,
		.prune_to = set->cache_prune_to,
		.write_queue = set->cache_queue,
		.threads = set->cache_threads,
	};
	int r = find_dir(set, &dir, e);

	if (r < 0)
		return r;
	conf.dir = dir;
	if (set->cache_size > 0)
		conf.max = (uint64_t)set->cache_size;
	else if (set->cache_size < 0 && (uint64_t)-set->cache_size > conf.reserve)
		conf.reserve = (uint64_t)-set->cache_size;
	return slu_cache_open(&conf, ret, e);
}

int slu_context_use_cache(struct sluice *s, const struct slu_settings *set, struct slu_err *e)
{
	int r = 0;

	if (!wanted(set))
		return 0;
	pthread_mutex_lock(&s->lock);
	if (!s->cache)
		r = slu_context_cache_conf(set, false, &s->cache, e);
	pthread_mutex_unlock(&s->lock);
	return r;
}

int slu_context_default_cache(struct sluice *s, struct slu_err *e)
{
	struct slu_settings set;
	int r = slu_settings_resolve('d', s->ws ? s->ws->config : NULL, NULL, &set, e);

	return r < 0 ? r : slu_context_use_cache(s, &set, e);
}

/* --- what tells a store from others --- */

static const char *or_none(const char *s)
{
	return s ? s : "";
}

/* By Hadoop's configuration it is whatever that says today. */
static const char *hdfs_name(const struct json_t *entry, const struct slu_store *store)
{
	const char *name = slu_json_str(entry, "nameservice");

	if (!name)
		name = slu_json_str(entry, "namenode");
	return name ? name : store->host;
}

static char *store_name(const struct json_t *entry, const struct slu_store *store)
{
	switch (slu_datastore_type(entry)) {
	case SLU_DATASTORE_AZURE_BLOB:
		return slu_asprintf("%s/%s", or_none(store->host),
				    or_none(slu_json_str(entry, "container_name")));
	case SLU_DATASTORE_AZURE_DATA_LAKE_GEN2:
		return slu_asprintf("%s/%s", or_none(store->host),
				    or_none(slu_json_str(entry, "filesystem")));
	case SLU_DATASTORE_HDFS:
		/* A fileId is of one file system, by whichever of its doors. */
		return slu_asprintf("hdfs://%s/%s", or_none(hdfs_name(entry, store)),
				    or_none(slu_json_str(entry, "path")));
	default:
		return NULL;
	}
}

/* Of a SAS: its time and signature, which change while the right stays. */
static bool is_passing(const char *part)
{
	static const char *const names[] = {"sig=", "st=", "se=", "skt=", "ske=", "sks=", "skv="};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (slu_starts(part, names[i]))
			return true;
	return false;
}

static int add_secret(struct slu_hasher *h, const char *text)
{
	int r = 0;

	if (*text == '?')
		text++;
	for (size_t n; *text && r == 0; text += n + (text[n] != '\0')) {
		n = strcspn(text, "&\r\n");
		if (!is_passing(text))
			r = slu_hasher_add(h, text, n);
	}
	return r;
}

/* A reference, and what it leads to now where that is at hand. */
static int add_reference(struct slu_hasher *h, const char *text, const char *dir)
{
	SLU_AUTO(slu_freep) char *copy = NULL;
	struct slu_cred cred;
	int r = slu_hasher_add(h, text, strlen(text) + 1);

	if (r < 0 || slu_cred_parse(text, "", &cred, NULL) < 0)
		return r;
	if (cred.kind == SLU_CRED_ENV) {
		const char *value = getenv(cred.arg);

		copy = value ? slu_strdup(value) : NULL;
	} else if (cred.kind == SLU_CRED_FILE) {
		SLU_AUTO(slu_freep)
		char *path = *cred.arg == '/' ? slu_strdup(cred.arg) : slu_path_join(dir, cred.arg);
		struct slu_buf b = SLU_BUF(SECRET_MAX);

		if (path && slu_buf_read_file(&b, path, NULL) == 0)
			copy = slu_buf_take(&b);
		slu_buf_done(&b);
	}
	if (copy) {
		size_t n = strlen(copy);

		r = add_secret(h, copy);
		explicit_bzero(copy, n);
	}
	return r;
}

/* Whatever of the entry says who we are. */
static int add_entry(struct slu_hasher *h, const struct json_t *entry, const char *dir)
{
	static const char *const keys[] = {"credential", "account_key", "sas_token",
					   "user",       "kerberos",    "doas"};
	const char *hadoop = getenv("HADOOP_USER_NAME");
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof keys / sizeof keys[0]; i++) {
		const struct json_t *v = slu_json_get(entry, keys[i]);
		SLU_AUTO(slu_freep) char *text = NULL;

		if (!v)
			continue;
		r = slu_hasher_add(h, keys[i], strlen(keys[i]) + 1);
		if (r == 0 && slu_json_is_string(v)) {
			r = add_reference(h, slu_json_string(v), dir);
		} else if (r == 0) {
			text = slu_json_text(v, SLU_JSON_CANONICAL);
			r = text ? slu_hasher_add(h, text, strlen(text) + 1) : -ENOMEM;
		}
	}
	if (r == 0 && hadoop && slu_datastore_type(entry) == SLU_DATASTORE_HDFS)
		r = slu_hasher_add(h, hadoop, strlen(hadoop) + 1);
	return r;
}

static int scope_of(const struct json_t *entry, const char *dir, char ret[33])
{
	SLU_AUTO(slu_hasher_freep) struct slu_hasher *h = NULL;
	const char *job = slu_identity_of_job(slu_json_get(entry, "credential"));
	uint8_t sum[SLU_DIGEST_MAX];
	int r = slu_hasher_new(SLU_SHA256, &h);

	if (r == 0)
		r = add_entry(h, entry, dir);
	if (r == 0 && job)
		r = slu_hasher_add(h, job, strlen(job) + 1);
	if (r == 0)
		r = slu_hasher_end(h, sum);
	if (r == 0)
		slu_hex(ret, sum, 16);
	return r;
}

/* --- the layer --- */

int slu_context_cached(struct sluice *s, const char *key, const struct json_t *entry,
		       struct slu_store **store, struct slu_hash *in, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *name = NULL;
	char scope[33] = "";
	int r = 0;

	if (!s->cache || slu_cache_of(*store) ||
	    (entry && slu_datastore_type(entry) == SLU_DATASTORE_LOCAL))
		return 0;
	name = entry ? store_name(entry, *store) : slu_strdup(key);
	if (entry)
		r = scope_of(entry, s->ws->dir, scope);
	if (!name || r < 0)
		return slu_fail_oom(e);
	r = slu_cache_push(store, s->cache, name, scope);
	if (r == -ENOTSUP)
		return 0;
	/* Its place in the table is there already, so this cannot fail. */
	if (r < 0 || !slu_hash_put(in, key, *store))
		return slu_fail_oom(e);
	return 0;
}
