/* SPDX-License-Identifier: Apache-2.0 */
/* Where the registry's objects lie, and reading one record: shared by the registry's files. */
#ifndef SLU_DATASET_RECORD_H
#define SLU_DATASET_RECORD_H

#include "dataset/registry.h"

#define SLU_REGISTRY_FORMAT 1
#define SLU_RECORD_MAX (16u << 20) /* bytes of a record, dataset or outcome */

/* The registry of a workspace; borrowed from the context. */
struct slu_registry {
	struct slu_store *store;
	const char *root;
};

int slu_registry_open(struct sluice *s, struct slu_registry *ret, struct slu_err *e);
/* root/<text>; caller frees; NULL: no memory. */
char *slu_registry_path(const struct slu_registry *g, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A JSON object with "format": 1.  Absent: -ENOENT; damaged: -EBADMSG; newer: -ENOTSUP.  `what` names
 * it in messages ("version '3' of 'titanic'"). */
int slu_registry_json(const struct slu_registry *g, const char *path, const char *what,
		      struct json_t **ret, struct slu_err *e);
/* datasets/<id>.json, its id checked for form only. */
int slu_registry_dataset_json(const struct slu_registry *g, const char *id, struct json_t **ret,
			      struct slu_err *e);

/* record.json of one version; its name and version must be those of its place.  -ENOENT: none. */
int slu_record_read(const struct slu_registry *g, const char *name, const char *version,
		    struct json_t **ret, struct slu_err *e);
char *slu_record_path(const struct slu_registry *g, const char *name, const char *version,
		      const char *file); /* data/<name>/<version>/<file> */
/* "17" -> 17; what is no plain positive number ("017", "v2", "0") -> 0. */
uint64_t slu_record_number(const char *version);
int slu_record_name_check(const char *name, struct slu_err *e);
int slu_record_version_check(const char *version, struct slu_err *e);
/* Derived objects; failures are of no consequence and go to the debug log. */
void slu_record_repair(const struct slu_registry *g, const struct json_t *record); /* MLTable */
void slu_record_hint(const struct slu_registry *g, const char *name, uint64_t version);

#endif
