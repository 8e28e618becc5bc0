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

#include "dataset/context.h"
#include "dataset/resolve.h"

/* Saves manifest and dataset (idempotent); fills d->id and d->digest. */
int slu_registry_save(struct sluice *s, struct slu_dataset *d, struct slu_err *e);
int slu_registry_manifest(struct sluice *s, const char *digest, struct slu_manifest **ret,
			  struct slu_err *e); /* the digest is checked */
int slu_registry_by_id(struct sluice *s, const char *id, struct slu_dataset **ret,
		       struct slu_err *e);

struct slu_registration {
	const char *name;
	const char *version;    /* NULL: the next integer */
	const char *dataset_id; /* saved before */
	const char *run,
		*output; /* the once key; a version with the same pair is this registration */
	uint64_t seen;   /* newest version known when the run's outcome was decided; 0: none */
	const char *description; /* may be NULL */
	const struct json_t *tags,
		*inputs;     /* may be NULL; inputs: lineage [{"name","id","ref","digest"}] */
	const char *created; /* RFC 3339: fixed by the outcome, so that replays write equal bytes */
};
/* Exactly once for (run, output): walks up from seen + 1, finds its own record or puts it at the first
 * absent version.  *ret_version: caller frees.  An explicit version that is taken: -EEXIST. */
int slu_registry_register(struct sluice *s, const struct slu_registration *r, char **ret_version,
			  struct slu_err *e);
/* version NULL or "latest": the newest.  -ENOENT names what exists. */
int slu_registry_record(struct sluice *s, const char *name, const char *version,
			struct json_t **ret, struct slu_err *e);
int slu_registry_latest(struct sluice *s, const char *name, uint64_t *ret,
			struct slu_err *e); /* 0: none */
/* Arrays of records. */
int slu_registry_names(struct sluice *s, struct json_t **ret,
		       struct slu_err *e); /* newest of each */
int slu_registry_versions(struct sluice *s, const char *name, struct json_t **ret,
			  struct slu_err *e);
int slu_registry_lineage(struct sluice *s, const char *ref, struct json_t **ret, struct slu_err *e);

#endif
