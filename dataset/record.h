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

/* Does it say that it is about that version? */
bool slu_record_is_of(const struct json_t *j, const char *name, const char *version);
/* The same as slu_registry_json, and it has to be about that version.  path, what: NULL is no memory. */
int slu_registry_about(const struct slu_registry *g, const char *path, const char *what,
		       const char *name, const char *version, struct json_t **ret,
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
/* Of a file; as cheaply as the store can tell. */
int slu_registry_stat(const struct slu_registry *g, const char *path, struct slu_attr *ret,
		      struct slu_err *e);
/* Is the record of a version there?  0, -ENOENT.  As cheaply as the store can tell. */
int slu_record_there(const struct slu_registry *g, const char *name, const char *version,
		     struct slu_err *e);
/* The newest by number, as it was made, and its number; NULL and 0: none has one. */
int slu_record_newest(const struct slu_registry *g, const char *name, struct json_t **ret,
		      uint64_t *ret_number, struct slu_err *e);
/* The MLTable beside a record that was just made of this dataset. */
int slu_record_mltable(const struct slu_registry *g, const struct json_t *record,
		       const struct json_t *dataset);
/* bytes: of the record, 0 when it is not known. */
void slu_record_hint(const struct slu_registry *g, const char *name, uint64_t version,
		     size_t bytes);
/* 0: there is none that can be used. */
uint64_t slu_record_hint_read(const struct slu_registry *g, const char *name, size_t *ret_bytes);
/* The record of a version, of so many bytes, in one request; anything but 0: read it as usual. */
int slu_record_read_sized(const struct slu_registry *g, const char *name, const char *version,
			  size_t bytes, struct json_t **ret);

#endif
