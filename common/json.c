/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON values over jansson: getters and makers.  Reading is in json_parse.c, writing in
 * json_text.c; of jansson's own functions only those are used that survive a failed allocation.
 * Its allocations go through mem.h when nobody else has replaced its allocator; they are still
 * freed by free(), so values made before that stay valid.
 */
#include "common/json.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>

static __attribute__((constructor)) void set_alloc(void)
{
	json_malloc_t m;
	json_free_t f;

	json_get_alloc_funcs(&m, &f);
	if (m == malloc && f == free)
		json_set_alloc_funcs(slu_malloc, free);
}

/* jansson may outlive us when it was loaded before. */
static __attribute__((destructor)) void reset_alloc(void)
{
	json_malloc_t m;
	json_free_t f;

	json_get_alloc_funcs(&m, &f);
	if (m == slu_malloc)
		json_set_alloc_funcs(malloc, free);
}

int slu_json_read_file(const char *path, size_t max, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(max);
	int r = slu_buf_read_file(&b, path, e);

	return r < 0 ? r : slu_json_parse(b.p ? b.p : "", b.len, path, ret, e);
}

void slu_json_free(struct json_t *j)
{
	json_decref(j);
}

struct json_t *slu_json_ref(struct json_t *j)
{
	return json_incref(j);
}

/* jansson's own deep copy leaves out what it has no memory for.  Scalars never change, so the copy
 * shares them. */
struct json_t *slu_json_copy(const struct json_t *j)
{
	SLU_AUTO(slu_json_freep) struct json_t *copy = NULL;
	bool object = json_is_object(j);

	if (!object && !json_is_array(j))
		return json_incref((json_t *)j);
	copy = object ? json_object() : json_array();
	if (!copy)
		return NULL;
	for (void *it = slu_json_iter(j); it; it = slu_json_next(j, it)) {
		struct json_t *v = slu_json_copy(json_object_iter_value(it));

		if (json_object_set_new_nocheck(copy, json_object_iter_key(it), v) < 0)
			return NULL;
	}
	for (size_t i = 0; i < json_array_size(j); i++) {
		if (json_array_append_new(copy, slu_json_copy(json_array_get(j, i))) < 0)
			return NULL;
	}
	return slu_take(copy);
}

bool slu_json_is_object(const struct json_t *j)
{
	return json_is_object(j);
}

bool slu_json_is_array(const struct json_t *j)
{
	return json_is_array(j);
}

bool slu_json_is_string(const struct json_t *j)
{
	return json_is_string(j);
}

bool slu_json_is_null(const struct json_t *j)
{
	return json_is_null(j);
}

bool slu_json_is_bool(const struct json_t *j)
{
	return json_is_boolean(j);
}

bool slu_json_is_int(const struct json_t *j)
{
	return json_is_integer(j);
}

bool slu_json_is_real(const struct json_t *j)
{
	return json_is_real(j);
}

struct json_t *slu_json_get(const struct json_t *j, const char *key)
{
	return json_object_get(j, key);
}

const char *slu_json_str(const struct json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

int64_t slu_json_int(const struct json_t *j, const char *key, int64_t dflt)
{
	const json_t *v = json_object_get(j, key);

	return json_is_integer(v) ? json_integer_value(v) : dflt;
}

bool slu_json_bool(const struct json_t *j, const char *key, bool dflt)
{
	const json_t *v = json_object_get(j, key);

	return json_is_boolean(v) ? json_is_true(v) : dflt;
}

const char *slu_json_string(const struct json_t *j)
{
	return json_string_value(j);
}

int64_t slu_json_integer(const struct json_t *j)
{
	return json_integer_value(j);
}

double slu_json_number(const struct json_t *j)
{
	return json_number_value(j);
}

bool slu_json_true(const struct json_t *j)
{
	return json_is_true(j);
}

size_t slu_json_count(const struct json_t *j)
{
	return json_is_array(j) ? json_array_size(j) : json_object_size(j);
}

struct json_t *slu_json_at(const struct json_t *j, size_t i)
{
	return json_array_get(j, i);
}

bool slu_json_equal(const struct json_t *a, const struct json_t *b)
{
	return json_equal(a, b);
}

int slu_json_need_str(const struct json_t *j, const char *key, const char *what, const char **ret,
		      struct slu_err *e)
{
	const json_t *v = json_object_get(j, key);

	if (!v)
		return slu_fail(e, EINVAL, "'%s' needs the key '%s'", what, key);
	if (!json_is_string(v))
		return slu_fail(e, EINVAL, "'%s' key '%s' must be a string", what, key);
	*ret = json_string_value(v);
	return 0;
}

const char *slu_json_unknown_key(const struct json_t *o, const char *const *known)
{
	for (void *it = slu_json_iter(o); it; it = slu_json_next(o, it)) {
		const char *key = slu_json_iter_key(it);
		size_t i = 0;

		while (known[i] && !slu_streq(known[i], key))
			i++;
		if (!known[i])
			return key;
	}
	return NULL;
}

void *slu_json_iter(const struct json_t *j)
{
	return json_object_iter((json_t *)j);
}

void *slu_json_next(const struct json_t *j, void *it)
{
	return json_object_iter_next((json_t *)j, it);
}

const char *slu_json_iter_key(void *it)
{
	return json_object_iter_key(it);
}

struct json_t *slu_json_iter_value(void *it)
{
	return json_object_iter_value(it);
}

struct json_t *slu_json_object(void)
{
	return json_object();
}

struct json_t *slu_json_array(void)
{
	return json_array();
}

/* s as UTF-8: s itself, or a text in b with each bad byte as %XX.  NULL: no memory. */
static const char *as_utf8(const char *s, struct slu_buf *b)
{
	size_t n = strlen(s), i = 0, len;

	while (i < n && (len = slu_utf8_len(s + i, n - i)))
		i += len;
	if (i == n)
		return s;
	for (i = 0; i < n; i += len) {
		len = slu_utf8_len(s + i, n - i);
		if (len)
			slu_buf_add(b, s + i, len);
		else
			slu_url_encode(b, s + i, len = 1, NULL);
	}
	return slu_buf_err(b) ? NULL : b->p;
}

struct json_t *slu_json_new_str(const char *s)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SIZE_MAX);

	if (s)
		s = as_utf8(s, &b);
	return s ? json_string_nocheck(s) : NULL;
}

struct json_t *slu_json_new_int(int64_t v)
{
	return json_integer(v);
}

struct json_t *slu_json_new_real(double v)
{
	return json_real(v);
}

struct json_t *slu_json_new_bool(bool v)
{
	return json_boolean(v);
}

struct json_t *slu_json_new_null(void)
{
	return json_null();
}

int slu_json_set(struct json_t *o, const char *key, struct json_t *v)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SIZE_MAX);

	key = as_utf8(key, &b);
	if (!key) {
		json_decref(v);
		return -ENOMEM;
	}
	return json_object_set_new_nocheck(o, key, v) < 0 ? -ENOMEM : 0;
}

int slu_json_set_str(struct json_t *o, const char *key, const char *s)
{
	return s ? slu_json_set(o, key, slu_json_new_str(s)) : 0;
}

int slu_json_set_int(struct json_t *o, const char *key, int64_t v)
{
	return slu_json_set(o, key, json_integer(v));
}

int slu_json_set_bool(struct json_t *o, const char *key, bool v)
{
	return slu_json_set(o, key, json_boolean(v));
}

int slu_json_append(struct json_t *a, struct json_t *v)
{
	return json_array_append_new(a, v) < 0 ? -ENOMEM : 0;
}

void slu_json_del(struct json_t *o, const char *key)
{
	json_object_del(o, key);
}
