/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compacted index: every version of every name with what holds of it now, in few objects, so that a list of a
 * hundred thousand names is not as many requests.  Derived: it may be deleted at any time, and whoever misses it makes
 * it again from the records.  It lacks nothing, because who puts a record or a fact notes that before, in index/new/;
 * a note without its record counts for nothing.  docs/registry.md has the formats.  Any thread, any process.
 */
#ifndef SLU_DATASET_INDEX_H
#define SLU_DATASET_INDEX_H

#include "dataset/record.h"

struct slu_index_entry {
	const char *name, *version;
	uint64_t number; /* of the version; 0: a name of its own choosing */
	uint64_t facts;  /* that are laid over the record */
	bool archived, unregistered;
	const char *json; /* the record with what holds now */
};

struct slu_index;

/* A record (fact 0) or a fact of that version is put at path, if nothing is there, after it was noted.  0 ours is
 * there, 1 another's.  *ret_ns (may be NULL): when, by the store's clock. */
int slu_index_put(const struct slu_registry *g, const char *name, const char *version,
		  uint64_t fact, const char *path, const char *text, int64_t *ret_ns,
		  struct slu_err *e);
/* Everything, read; compacts when many notes have gathered. */
int slu_index_load(const struct slu_registry *g, struct slu_index **ret, struct slu_err *e);
void slu_index_free(struct slu_index *x);
SLU_DEFINE_CLEANUP(struct slu_index *, slu_index_free, slu_index_freep)
/* Sorted by name; of one name numbers first and by value, then the others by bytes.  Each version once. */
size_t slu_index_count(const struct slu_index *x);
const struct slu_index_entry *slu_index_at(const struct slu_index *x, size_t i);
/* The entries of a name: the first, and *ret_n how many. */
size_t slu_index_find(const struct slu_index *x, const char *name, size_t *ret_n);
/* Compacts if many notes have gathered, without reading all of the index.  Failures are of no consequence. */
void slu_index_tidy(const struct slu_registry *g);
/* Makes it anew from the records alone. */
int slu_index_rebuild(const struct slu_registry *g, struct slu_err *e);

#endif
