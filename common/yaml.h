/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML read into a JSON tree (libyaml; the only place that includes it).  YAML 1.2 core schema for
 * plain scalars (so `no` is a string), merge keys and tags refused, aliases allowed with a budget,
 * depth 64, duplicate keys refused.  Positions are kept so that messages say line and column.
 */
#ifndef SLU_COMMON_YAML_H
#define SLU_COMMON_YAML_H

#include "common/err.h"
#include "common/json.h"

struct slu_yaml; /* the tree and where each value stood */

/* Errors: -EBADMSG, "'job.yml:3:7': ...".  `what` is that file name and is copied. */
int slu_yaml_parse(const char *text, size_t n, const char *what, struct slu_yaml **ret,
		   struct slu_err *e);
int slu_yaml_read_file(const char *path, size_t max, struct slu_yaml **ret, struct slu_err *e);
void slu_yaml_free(struct slu_yaml *y);
SLU_DEFINE_CLEANUP(struct slu_yaml *, slu_yaml_free, slu_yaml_freep)
struct json_t *slu_yaml_root(const struct slu_yaml *y); /* borrowed */
/* Position of a value of this tree, 1-based; false when unknown (true, false and null have none of
 * their own: ask by key).  What an alias brought in stands where the alias stands. */
bool slu_yaml_where(const struct slu_yaml *y, const struct json_t *v, int *ret_line, int *ret_col);
/* slu_fail(e, EINVAL, "what:line:col: text") about value v; of key `key` in v when not NULL. */
int slu_yaml_fail(const struct slu_yaml *y, const struct json_t *v, const char *key,
		  struct slu_err *e, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Refuses keys of object v that are not in the NULL-ended list, naming the nearest known one. */
int slu_yaml_known_keys(const struct slu_yaml *y, const struct json_t *v, const char *const *known,
			struct slu_err *e);
/* Writes a JSON tree as YAML (block style, strings quoted where needed).  Caller frees. */
char *slu_yaml_text(const struct json_t *j);

#endif
