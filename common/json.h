/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON: our reader and writer, jansson's values (json.c alone includes it).  `struct json_t` is jansson's
 * value; elsewhere it is opaque.  Reading has limits: size, depth 64, no duplicate keys, integers
 * within int64.  Getters return borrowed values; makers return new references (slu_json_free).
 */
#ifndef SLU_COMMON_JSON_H
#define SLU_COMMON_JSON_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

/* what: how messages name the document ("config.json").  Errors: -EBADMSG, "'config.json:3:7': ...". */
int slu_json_parse(const char *text, size_t n, const char *what, struct json_t **ret,
		   struct slu_err *e);
int slu_json_read_file(const char *path, size_t max, struct json_t **ret, struct slu_err *e);
void slu_json_free(struct json_t *j); /* drops one reference; NULL fine */
SLU_DEFINE_CLEANUP(struct json_t *, slu_json_free, slu_json_freep)
struct json_t *slu_json_ref(struct json_t *j);
struct json_t *slu_json_copy(const struct json_t *j); /* deep; NULL: no memory */

enum slu_json_style {
	SLU_JSON_COMPACT,   /* one line, keys as inserted */
	SLU_JSON_CANONICAL, /* one line, keys sorted: what is hashed */
	SLU_JSON_PRETTY     /* indented by 2, keys as inserted */
};
char *slu_json_text(const struct json_t *j,
		    enum slu_json_style style); /* caller frees; NULL: oom */

/* Types */
bool slu_json_is_object(const struct json_t *j);
bool slu_json_is_array(const struct json_t *j);
bool slu_json_is_string(const struct json_t *j);
bool slu_json_is_null(const struct json_t *j);
bool slu_json_is_bool(const struct json_t *j);
bool slu_json_is_int(const struct json_t *j);
bool slu_json_is_real(const struct json_t *j);

/* Borrowed values; NULL / 0 / false when absent or of another type.  j may be NULL. */
struct json_t *slu_json_get(const struct json_t *j, const char *key);
const char *slu_json_str(const struct json_t *j, const char *key);
int64_t slu_json_int(const struct json_t *j, const char *key, int64_t dflt);
bool slu_json_bool(const struct json_t *j, const char *key, bool dflt);
const char *slu_json_string(const struct json_t *j); /* of the value itself */
int64_t slu_json_integer(const struct json_t *j);
double slu_json_number(const struct json_t *j);
bool slu_json_true(const struct json_t *j);
size_t slu_json_count(const struct json_t *j); /* array or object */
struct json_t *slu_json_at(const struct json_t *j, size_t i);
bool slu_json_equal(const struct json_t *a, const struct json_t *b);
/* Required member of the type: -EINVAL with a message naming what and key. */
int slu_json_need_str(const struct json_t *j, const char *key, const char *what, const char **ret,
		      struct slu_err *e);

/* The first key of an object that is not in the list, which ends with NULL; NULL: all are known.  Borrowed. */
const char *slu_json_unknown_key(const struct json_t *o, const char *const *known);

/* for (void *it = slu_json_iter(o); it; it = slu_json_next(o, it)) */
void *slu_json_iter(const struct json_t *j);
void *slu_json_next(const struct json_t *j, void *it);
const char *slu_json_iter_key(void *it);
struct json_t *slu_json_iter_value(void *it);

/* Makers.  set/append take over the reference of v and accept v == NULL (then they fail), so that
 * calls nest; all return 0 or -ENOMEM.  A NULL string sets nothing. */
struct json_t *slu_json_object(void);
struct json_t *slu_json_array(void);
struct json_t *slu_json_new_str(const char *s); /* bytes that are not UTF-8 are percent-encoded */
struct json_t *slu_json_new_int(int64_t v);
struct json_t *slu_json_new_real(double v); /* NULL also for what is not finite */
struct json_t *slu_json_new_bool(bool v);
struct json_t *slu_json_new_null(void);
int slu_json_set(struct json_t *o, const char *key, struct json_t *v);
int slu_json_set_str(struct json_t *o, const char *key, const char *s);
int slu_json_set_int(struct json_t *o, const char *key, int64_t v);
int slu_json_set_bool(struct json_t *o, const char *key, bool v);
int slu_json_append(struct json_t *a, struct json_t *v);
void slu_json_del(struct json_t *o, const char *key);

#endif
