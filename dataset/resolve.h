/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a reference or a definition to a tree.  Layout (azureml.md 2.4, one rule for mount and
 * download): one file: its name; one folder: relative to it; one pattern: relative to the folder part
 * before its first wildcard; several paths of one store: relative to the common folder of the given
 * paths; of several stores: <store>/<path>.  Two sources for one name: -EINVAL naming both.
 */
#ifndef SLU_DATASET_RESOLVE_H
#define SLU_DATASET_RESOLVE_H

#include "dataset/context.h"
#include "dataset/definition.h"
#include "fs/tree.h"

/* A dataset as it is used: resolved once. */
struct slu_dataset {
	char *name, *version; /* NULL when it is not a registered version */
	char id[37];          /* dataset id (GUID), lower case */
	struct slu_definition *def;
	struct slu_tree *tree;
	char digest[SLU_DIGEST_HEX]; /* of its manifest */
	struct json_t *record;       /* record.json of the version, or NULL */
	int64_t saved_ns; /* when what is older of it was written, by the store's clock */
	int64_t saved_at; /* slu_boot, before it was looked whether it is there */
};

void slu_dataset_free(struct slu_dataset *d);
SLU_DEFINE_CLEANUP(struct slu_dataset *, slu_dataset_free, slu_dataset_freep)

/* Lists the stores: the present files of a definition.  No file: -ENOENT naming the path. */
int slu_resolve_definition(struct sluice *s, const struct slu_definition *d, struct slu_tree **ret,
			   struct slu_err *e);
/* Opens the stores that a manifest's sources name.  Takes m. */
int slu_resolve_manifest(struct sluice *s, struct slu_manifest *m, struct slu_tree **ret,
			 struct slu_err *e);
/* Notes in the tree the pattern that its definition is, when it is a single one; for the hdfs view. */
int slu_resolve_pattern(struct sluice *s, struct slu_dataset *d, struct slu_err *e);
/* Any reference.  A registered version gives its recorded manifest (no listing); a path is resolved
 * now.  A bare word is a registered dataset, else a local path. */
int slu_resolve_ref(struct sluice *s, const char *ref, struct slu_dataset **ret, struct slu_err *e);
/* Of a reference that led nowhere (r): if it is NAME/PATH or NAME:PATH and NAME a registered dataset, the
 * message says how its files are named.  Returns r. */
int slu_resolve_hint(struct sluice *s, const char *ref, int r, struct slu_err *e);
/* GUID from SHA-256 of type, definition (canonical JSON) and manifest digest. */
int slu_dataset_id(const struct slu_definition *d, const char *digest, char ret[37],
		   struct slu_err *e);

#endif
