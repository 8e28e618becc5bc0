/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said about a version after it was made: tags, description, archived, unregistered, frozen.
 * Each change is a record of its own, facts/<name>/<version>/<n>.json, born by one put-if-absent and
 * never edited; it says what changed and what holds since then, so the newest one is all that a
 * reader needs, and all of them are the history.  Any thread, any process.
 */
#ifndef SLU_DATASET_FACTS_H
#define SLU_DATASET_FACTS_H

#include "dataset/record.h"

/* Which versions have facts, and the number of the newest of each: one listing. */
struct slu_facts_map;

/* Of one version, of all versions of a name (version NULL), or of all names (both NULL). */
int slu_facts_list(const struct slu_registry *g, const char *name, const char *version,
		   struct slu_facts_map **ret, struct slu_err *e);
void slu_facts_map_free(struct slu_facts_map *m);
SLU_DEFINE_CLEANUP(struct slu_facts_map *, slu_facts_map_free, slu_facts_map_freep)
/* 0: none.  version NULL: does any version of name have one? */
uint64_t slu_facts_newest(const struct slu_facts_map *m, const char *name, const char *version);
bool slu_facts_any(const struct slu_facts_map *m, const char *name);

/* Puts what holds now into a record that was read: "description", "tags", and where it is so
 * "archived": true, "unregistered": true, "frozen": dataset id, "overwritten": run; "facts": how many there are. */
int slu_facts_overlay(const struct slu_registry *g, const struct slu_facts_map *m,
		      struct json_t *record, struct slu_err *e);

/* All versions of a name, with what holds now. */
int slu_facts_versions(struct sluice *s, const struct slu_registry *g, const char *name,
		       struct json_t **ret, struct slu_err *e);

/* change: {"tags": {set}, "remove_tags": [...], "description", "archived", "unregistered": true,
 * "frozen", "overwritten"}, any of them; -EINVAL names what makes no sense.  record: as it was made; it has what
 * holds now afterwards.  What changes nothing writes nothing.  An unregistered version: -ENOENT. */
int slu_facts_change(const struct slu_registry *g, struct json_t *record,
		     const struct json_t *change, struct slu_err *e);
/* All facts of a version, the oldest first. */
int slu_facts_history(const struct slu_registry *g, const char *name, const char *version,
		      struct json_t **ret, struct slu_err *e);
/* Is this a change that slu_facts_change() understands? */
int slu_facts_check(const struct json_t *change, struct slu_err *e);

#endif
