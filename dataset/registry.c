/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content-addressed part of the registry: manifests and datasets.  Each exists before anything
 * points to it, never changes, and is checked against its name when it is read.  Versions are in
 * registry_put.c (making one) and registry_index.c (finding one); docs/registry.md has the formats.
 */
#include "dataset/record.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/context_impl.h"
#include "dataset/gang.h"
#include "fs/writer.h"
#include "io/crypt.h"
#include "io/pool.h"

#include <errno.h>
#include <string.h>

/* A million files are about 150 MB. */
#define MANIFEST_MAX (2ull << 30)
#define KEEP_TRIES 5
/* Larger objects go through a writer, in blocks. */
#define PUT_MAX (4u << 20)

int64_t slu_registry_young = 3600 * SLU_SEC;

static void sha256_hex(const char *p, size_t n, char out[SLU_DIGEST_HEX])
{
	uint8_t md[SLU_DIGEST_MAX];

	if (slu_digest(SLU_SHA256, p, n, md) < 0)
		out[0] = '\0';
	else
		slu_hex(out, md, 32);
}

/* What is named by its content. */
struct content {
	char *path;
	char *text;                          /* NULL: */
	const struct slu_manifest *manifest; /* its text, which is never in memory as a whole */
	uint64_t n;
	struct slu_attr is;
	bool there;
};

struct writing {
	struct slu_writer *w;
	struct slu_err *e;
};

static int to_writer(void *user, const void *p, size_t n)
{
	struct writing *x = user;

	return slu_writer_write(x->w, p, n, x->e);
}

static int put_large(struct slu_store *st, const struct content *c, unsigned flags,
		     struct slu_attr *ret, struct slu_err *e)
{
	SLU_AUTO(slu_writer_freep) struct slu_writer *w = NULL;
	int r = slu_writer_new(st, c->path, flags, NULL, &w, e);

	if (r == 0 && c->text)
		r = slu_writer_write(w, c->text, c->n, e);
	else if (r == 0)
		r = slu_manifest_stream(c->manifest, to_writer, &(struct writing){w, e});
	return r < 0 ? r : slu_writer_commit(w, ret, e);
}

static int put_small(struct slu_store *st, const struct content *c, unsigned flags,
		     struct slu_attr *ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(PUT_MAX);

	if (c->text)
		return slu_store_put(st, c->path, c->text, c->n, flags, ret, e);
	int r = slu_manifest_write(c->manifest, &b);

	return r < 0 ? slu_fail_oom(e) : slu_store_put(st, c->path, b.p, b.len, flags, ret, e);
}

static int put(const struct slu_registry *g, struct content *c, unsigned flags, struct slu_err *e)
{
	bool large = c->n > PUT_MAX || c->n > g->store->max_put;
	struct slu_attr a = {0};
	int r = large ? put_large(g->store, c, flags, &a, e) : put_small(g->store, c, flags, &a, e);

	if (r == 0)
		c->is = a;
	return r;
}

/* An object of this name and length is this object. */
static int keep(const struct slu_registry *g, struct content *c, bool young, struct slu_err *e)
{
	for (unsigned tries = 0; !c->there; tries++) {
		int r = put(g, c, SLU_OPF_ABSENT | SLU_OPF_DURABLE, e);

		if (r == 0)
			return 0;
		/* Somebody else's same object, or our own after a lost reply. */
		int is = slu_registry_stat(g, c->path, &c->is, NULL);

		c->there = is == 0;
		/* One that was there, and was cleared away before it was looked at. */
		if (is < 0 && (is != -ENOENT || r != -EEXIST || tries == KEEP_TRIES))
			return r;
	}
	if (c->is.size != c->n)
		return slu_fail(e, EBADMSG,
				"'%s' in the registry is damaged: it has %llu bytes and not %llu; "
				"remove it and try again",
				c->path, (unsigned long long)c->is.size, (unsigned long long)c->n);
	/* `sluice gc` takes what is old and not pointed to: what is about to be is made young. */
	return young || slu_wall() - c->is.mtime_ns > slu_registry_young
		       ? put(g, c, SLU_OPF_DURABLE, e)
		       : 0;
}

struct hashed {
	struct slu_hasher *hash;
	uint64_t n;
};

static int to_hash(void *user, const void *p, size_t n)
{
	struct hashed *h = user;

	h->n += n;
	return slu_hasher_add(h->hash, p, n);
}

static int manifest_content(const struct slu_registry *g, const struct slu_manifest *m,
			    char ret_digest[SLU_DIGEST_HEX], struct content *ret, struct slu_err *e)
{
	SLU_AUTO(slu_hasher_freep) struct slu_hasher *hash = NULL;
	struct hashed h = {0};
	uint8_t sum[SLU_DIGEST_MAX];
	int r = slu_hasher_new(SLU_SHA256, &hash);

	h.hash = hash;
	if (r == 0)
		r = slu_manifest_stream(m, to_hash, &h);
	if (r == 0)
		r = h.n > MANIFEST_MAX ? -EMSGSIZE : slu_hasher_end(hash, sum);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot write a manifest of %zu files",
				    slu_manifest_count(m));
	slu_hex(ret_digest, sum, 32);
	ret->path = slu_registry_path(g, "manifests/%s", ret_digest);
	ret->manifest = m;
	ret->n = h.n;
	return ret->path ? 0 : slu_fail_oom(e);
}

struct json_t *slu_registry_dataset(const struct slu_dataset *d)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const struct slu_manifest *m = d->tree->manifest;

	if (!o || slu_json_set_int(o, "format", SLU_REGISTRY_FORMAT) < 0 ||
	    slu_json_set_str(o, "id", d->id) < 0 || slu_json_set_str(o, "type", d->def->type) < 0 ||
	    slu_json_set(o, "definition", slu_json_copy(d->def->doc)) < 0 ||
	    slu_json_set_str(o, "manifest", d->digest) < 0 ||
	    slu_json_set_int(o, "files", (int64_t)slu_manifest_count(m)) < 0 ||
	    slu_json_set_int(o, "bytes", (int64_t)slu_manifest_bytes(m)) < 0)
		return NULL;
	return slu_take(o);
}

static int dataset_content(const struct slu_registry *g, const struct slu_dataset *d,
			   struct content *ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_registry_dataset(d);

	/* Canonical: the same dataset has the same bytes, whoever saves it. */
	if (o)
		ret->text = slu_json_text(o, SLU_JSON_CANONICAL);
	ret->path = slu_registry_path(g, "datasets/%s.json", d->id);
	if (!ret->text || !ret->path)
		return slu_fail_oom(e);
	ret->n = strlen(ret->text);
	return 0;
}

struct saving {
	struct slu_registry g;
	struct content c[2]; /* the manifest, and the dataset that points to it */
};

static int look(void *user, size_t i, struct slu_err *e)
{
	struct saving *v = user;

	(void)e; /* whatever is wrong, who puts it will be told */
	v->c[i].there = slu_registry_stat(&v->g, v->c[i].path, &v->c[i].is, NULL) == 0;
	return 0;
}

static int save(struct saving *v, struct slu_dataset *d, bool young, struct slu_err *e)
{
	int64_t begun = slu_boot();
	int r = manifest_content(&v->g, d->tree->manifest, d->digest, &v->c[0], e);

	if (r == 0)
		r = slu_dataset_id(d->def, d->digest, d->id, e);
	if (r == 0)
		r = dataset_content(&v->g, d, &v->c[1], e);
	if (r == 0)
		r = slu_gang(2, 2, look, v, e);
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = keep(&v->g, &v->c[i], young, e);
	d->saved_at = begun;
	if (r == 0)
		d->saved_ns = v->c[0].is.mtime_ns < v->c[1].is.mtime_ns ? v->c[0].is.mtime_ns
									: v->c[1].is.mtime_ns;
	return r;
}

static int save_new(struct sluice *s, struct slu_dataset *d, bool young, struct slu_err *e)
{
	struct saving v = {0};
	int r = slu_registry_open(s, &v.g, e);

	if (r == 0)
		r = save(&v, d, young, e);
	for (size_t i = 0; i < 2; i++) {
		free(v.c[i].path);
		free(v.c[i].text);
	}
	return r;
}

int slu_registry_save(struct sluice *s, struct slu_dataset *d, struct slu_err *e)
{
	return save_new(s, d, false, e);
}

int slu_registry_save_again(struct sluice *s, struct slu_dataset *d, int64_t store_ns,
			    struct slu_err *e)
{
	/* When it was written and when it could be seen may lie apart: by how much at most the own clock tells. */
	int64_t late = store_ns - d->saved_ns + (slu_boot() - d->saved_at);

	return late > slu_registry_young ? save_new(s, d, true, e) : 0;
}

static bool is_digest(const char *s)
{
	return strlen(s) == SLU_DIGEST_HEX - 1 &&
	       strspn(s, "0123456789abcdef") == SLU_DIGEST_HEX - 1;
}

/* Hashing a text on another thread while this one parses it. */
struct hashing {
	struct slu_work work;
	const char *text;
	size_t n;
	char is[SLU_DIGEST_HEX];
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t cond;
	bool done;
};

static void hash_text(struct slu_work *w)
{
	struct hashing *h = (struct hashing *)((char *)w - offsetof(struct hashing, work));

	sha256_hex(h->text, h->n, h->is);
	pthread_mutex_lock(&h->lock);
	h->done = true;
	pthread_cond_signal(&h->cond);
	pthread_mutex_unlock(&h->lock);
}

/* The manifest of a text and, always, the digest of that. */
static int hash_and_parse(struct sluice *s, const char *text, size_t n, const char *what,
			  char ret_is[SLU_DIGEST_HEX], struct slu_manifest **ret, struct slu_err *e)
{
	struct hashing h = {.work.fn = hash_text, .text = text, .n = n};
	int r;

	pthread_mutex_init(&h.lock, NULL);
	pthread_cond_init(&h.cond, NULL);
	slu_pool_add(s->pool, &h.work);
	r = slu_manifest_parse(text, n, what, ret, e);
	if (slu_pool_cancel(s->pool, &h.work))
		hash_text(&h.work);
	pthread_mutex_lock(&h.lock);
	while (!h.done)
		pthread_cond_wait(&h.cond, &h.lock);
	pthread_mutex_unlock(&h.lock);
	pthread_cond_destroy(&h.cond);
	pthread_mutex_destroy(&h.lock);
	memcpy(ret_is, h.is, sizeof h.is);
	return r;
}

int slu_registry_manifest(struct sluice *s, const char *digest, struct slu_manifest **ret,
			  struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL;
	struct slu_err why = {0};
	SLU_AUTO(slu_freep) char *text = NULL;
	char is[SLU_DIGEST_HEX];
	struct slu_registry g;
	size_t n;

	if (!is_digest(digest))
		return slu_fail(e, EINVAL, "'%s' is no manifest digest (64 hex digits)", digest);
	int r = slu_registry_open(s, &g, e);

	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *path = slu_registry_path(&g, "manifests/%s", digest);

	if (!path)
		return slu_fail_oom(e);
	r = slu_store_get(g.store, path, MANIFEST_MAX, &text, &n, e);
	if (r == -ENOENT)
		return slu_fail(e, ENOENT, "the registry has no manifest '%s'", digest);
	if (r < 0)
		return r;
	r = hash_and_parse(s, text, n, path, is, &m, &why);
	if (!slu_streq(is, digest))
		return slu_fail(e, EBADMSG,
				"manifest '%s' in the registry is damaged: its SHA-256 is '%s'; "
				"register the data again",
				digest, is);
	if (r < 0) {
		if (e)
			*e = why;
		return r;
	}
	if (s->keep_texts)
		slu_manifest_keep_text(m, slu_take(text), n);
	*ret = slu_take(m);
	return 0;
}

/* A GUID in lower case; false: it is none. */
static bool guid(const char *text, char out[37])
{
	if (strlen(text) != 36)
		return false;
	for (int i = 0; i < 36; i++) {
		char c = text[i];
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (c >= 'A' && c <= 'F')
			c = (char)(c - 'A' + 'a');
		if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		out[i] = c;
	}
	out[36] = '\0';
	return true;
}

/* Definition and digest out of datasets/<id>.json, which must give that id again. */
static int dataset_load(const struct json_t *j, const char *id, struct slu_dataset *d,
			struct slu_err *e)
{
	const char *type = slu_json_str(j, "type"), *digest = slu_json_str(j, "manifest");
	char is[37];
	int r;

	if (!type || !digest || !is_digest(digest))
		return slu_fail(e, EBADMSG, "dataset '%s' in the registry is damaged", id);
	struct slu_err why = {0};

	r = slu_definition_from_doc(type, slu_json_get(j, "definition"), id, &d->def, &why);
	if (r < 0)
		return slu_fail(e, r == -ENOMEM ? ENOMEM : EBADMSG,
				"dataset '%s' in the registry is damaged: %s", id, why.msg);
	r = slu_dataset_id(d->def, digest, is, e);
	if (r < 0)
		return r;
	if (!slu_streq(is, id))
		return slu_fail(e, EBADMSG,
				"dataset '%s' in the registry is damaged: its content has the id "
				"'%s'; register the data again",
				id, is);
	memcpy(d->id, is, sizeof is);
	memcpy(d->digest, digest, SLU_DIGEST_HEX);
	return 0;
}

/* Made from the path of one file? */
static bool is_single(const struct slu_dataset *d)
{
	const struct json_t *paths = slu_json_get(d->def->doc, "paths");

	return slu_json_count(paths) == 1 && slu_json_str(slu_json_at(paths, 0), "file") &&
	       slu_manifest_count(d->tree->manifest) == 1;
}

int slu_registry_by_id(struct sluice *s, const char *id, struct slu_dataset **ret,
		       struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	struct slu_manifest *m = NULL;
	struct slu_registry g;
	char lower[37];

	if (!guid(id, lower))
		return slu_fail(e, EINVAL, "'%s' is no dataset id (a GUID)", id);
	int r = slu_registry_open(s, &g, e);

	if (r == 0)
		r = slu_registry_dataset_json(&g, lower, &j, e);
	if (r < 0)
		return r;
	d = slu_new0(struct slu_dataset);
	if (!d)
		return slu_fail_oom(e);
	r = dataset_load(j, lower, d, e);
	if (r == 0)
		r = slu_registry_manifest(s, d->digest, &m, e);
	if (r == 0)
		r = slu_resolve_manifest(s, m, &d->tree, e);
	if (r < 0)
		return r;
	d->tree->single_file = is_single(d);
	*ret = slu_take(d);
	return 0;
}
