/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a context, for context*.c, and what else of it only definition and resolve need. */
#ifndef SLU_DATASET_CONTEXT_IMPL_H
#define SLU_DATASET_CONTEXT_IMPL_H

#include "common/hash.h"
#include "dataset/context.h"
#include "fs/op.h"

#include <pthread.h>

struct sluice {
	struct slu_workspace *ws; /* NULL: none */
	pthread_mutex_t lock;     /* all below; never held across submit() */
	struct slu_pool *pool;
	struct slu_loops *loops;
	struct slu_hash *stores;  /* key in config.json -> store */
	struct slu_hash *locals;  /* absolute folder, and which one -> store */
	struct slu_hash *webs;    /* origin of a URL -> store */
	struct slu_hash *windows; /* service -> its limit */
	struct slu_cache *cache;  /* NULL: none is wanted */
	struct slu_store *root;   /* borrowed from one of these */
	unsigned requests;        /* 0: as many as a service bears */
	unsigned tries;           /* of one request; 0: as the layer thinks best */
	bool keep_texts;          /* with a manifest of the registry: it will be saved as it is */
	char *root_path;
	char *local_root;
};

/* slu_uri_parse with the datastores of s. */
int slu_context_parse(struct sluice *s, const char *text, struct slu_uri **ret, struct slu_err *e);
/* The absolute folder of a local datastore; *ret NULL when it is of another type. */
int slu_context_store_folder(struct sluice *s, const char *name, char **ret, struct slu_err *e);
/* The store of a canonical URI that is no local path. */
int slu_context_open(struct sluice *s, const struct slu_uri *c, struct slu_store **ret,
		     struct slu_err *e);
/* -ENOENT that lists the known ones. */
int slu_context_unknown_store(struct sluice *s, const char *name, struct slu_err *e);
/* The one way to write a reference to an object: a datastore by its name in config.json and without
 * scope, a local path absolute.  No store is opened. */
int slu_context_canon(struct sluice *s, const struct slu_uri *u, struct slu_uri **ret,
		      struct slu_err *e);
/* File or folder?  c: canonical and no pattern.  -ENOENT: nothing there. */
int slu_context_kind(struct sluice *s, const struct slu_uri *c, enum slu_kind *ret,
		     struct slu_err *e);

/* Locked.  Puts the cache, when one is wanted, on top of a store kept in `in` under key.  entry: of the
 * datastore, NULL: a web server, whose origin key is. */
int slu_context_cached(struct sluice *s, const char *key, const struct json_t *entry,
		       struct slu_store **store, struct slu_hash *in, struct slu_err *e);

#endif
