/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry: files under the root, on whatever store that is (docs/registry.md has the formats).
 *
 *   manifests/<sha256>                 content-addressed, exists before what points to it
 *   datasets/<id>.json                 type, definition, manifest digest; content-addressed
 *   data/<name>/<version>/record.json  the commit: born by one put-if-absent with its full content
 *   data/<name>/<version>/MLTable      derived, repaired by whoever misses it
 *   data/<name>/latest                 derived hint: read it, then probe upward
 *
 * Automatic versions are dense integers from 1: the first absent record.  "Already exists" may be our
 * own lost reply: the content is compared before it is called a conflict.  Any thread, any process.
 */
#ifndef SLU_DATASET_REGISTRY_H
#define SLU_DATASET_REGISTRY_H

#include "common/time.h"
#include "dataset/context.h"
#include "dataset/resolve.h"

/* How old what is saved may be (ns) when something is put that points to it: far less than `sluice gc` waits for.  A
 * variable for tests alone. */
extern int64_t slu_registry_young;

/* Saves manifest and dataset (idempotent); fills d->id, d->digest and d->saved_ns. */
int slu_registry_save(struct sluice *s, struct slu_dataset *d, struct slu_err *e);
/* Something that points to d is there, written at store_ns by the clock of the store: where that, or now, is long after
 * d was saved, it may be on its way to be cleared away, and is made young. */
int slu_registry_save_again(struct sluice *s, struct slu_dataset *d, int64_t store_ns,
			    struct slu_err *e);
/* The content of datasets/<id>.json; NULL: no memory. */
struct json_t *slu_registry_dataset(const struct slu_dataset *d);
int slu_registry_manifest(struct sluice *s, const char *digest, struct slu_manifest **ret,
			  struct slu_err *e); /* the digest is checked */
int slu_registry_by_id(struct sluice *s, const char *id, struct slu_dataset **ret,
		       struct slu_err *e);

struct slu_registration {
	const char *name;
	const char *version;       /* NULL: the next integer */
	const char *dataset_id;    /* saved before */
	struct slu_dataset *saved; /* the same, when it was this process that saved it; else NULL */
	const char *run,
		*output; /* the once key; a version with the same pair is this registration */
	uint64_t seen;   /* newest version known when the run's outcome was decided; 0: none */
	bool looked;     /* without a run: seen is the newest that there was just now */
	const char *description; /* may be NULL */
	const struct json_t *tags,
		*inputs;     /* may be NULL; inputs: lineage [{"name","id","ref","digest"}] */
	const char *mltable; /* text of the MLTable beside it, NULL: made from the definition */
	struct json_t **ret_record; /* may be NULL: the record, the caller's, as it was put */
	const char *created; /* RFC 3339: fixed by the outcome, so that replays write equal bytes */
};
/* Exactly once for (run, output): walks up from seen + 1, finds its own record or puts it at the first
 * absent version.  *ret_version: caller frees.  An explicit version that is taken: -EEXIST. */
int slu_registry_register(struct sluice *s, const struct slu_registration *r, char **ret_version,
			  struct slu_err *e);
/* version NULL or "latest": the newest that is neither archived nor unregistered.  With what holds
 * now (dataset/facts.h).  -ENOENT names what exists, or says when it was unregistered. */
int slu_registry_record(struct sluice *s, const char *name, const char *version,
			struct json_t **ret, struct slu_err *e);
/* That of the newest, NULL: none is shown; *ret_number: the highest, shown or not, 0: none has a number. */
int slu_registry_newest(struct sluice *s, const char *name, struct json_t **ret,
			uint64_t *ret_number, struct slu_err *e);
/* The same as it was made, whatever became of it; version NULL or "latest": the highest number. */
int slu_registry_record_any(struct sluice *s, const char *name, const char *version,
			    struct json_t **ret, struct slu_err *e);
int slu_registry_latest(struct sluice *s, const char *name, uint64_t *ret,
			struct slu_err *e); /* 0: none */
/* Arrays of records, as they were made. */
int slu_registry_names(struct sluice *s, struct json_t **ret,
		       struct slu_err *e); /* newest of each */
int slu_registry_versions(struct sluice *s, const char *name, struct json_t **ret,
			  struct slu_err *e);
struct slu_search {
	const char *name;          /* NULL: all names */
	const struct json_t *tags; /* object of texts, null: any value; NULL: all */
	bool all_versions;         /* without a name: not only the newest of each */
	bool archived;             /* these too */
	bool archived_only;
};
/* Records with what holds now; unregistered versions are never among them.  *ret: array. */
int slu_registry_search(struct sluice *s, const struct slu_search *q, struct json_t **ret,
			struct slu_err *e);
/* The same as the text of a JSON array, a record on each line; caller frees. */
int slu_registry_search_text(struct sluice *s, const struct slu_search *q, char **ret,
			     struct slu_err *e);
int slu_registry_lineage(struct sluice *s, const char *ref, struct json_t **ret, struct slu_err *e);

#endif
