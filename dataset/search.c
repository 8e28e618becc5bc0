/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists and searches of versions, by the index (dataset/index.h); the versions of one name, when they are few, by
 * their records.  Only what is asked for is parsed.
 */
#include "dataset/facts.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/index.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

#define TEXT_MAX (2ull << 30)
#define FEW 64 /* versions whose records are read one by one */

static bool tags_match(const struct json_t *record, const struct json_t *want)
{
	const struct json_t *tags = slu_json_get(record, "tags");

	for (void *it = slu_json_iter(want); it; it = slu_json_next(want, it)) {
		const struct json_t *v = slu_json_iter_value(it);
		const struct json_t *is = slu_json_get(tags, slu_json_iter_key(it));

		if (!is || (!slu_json_is_null(v) && !slu_json_equal(is, v)))
			return false;
	}
	return true;
}

static bool shown(const struct slu_search *q, bool archived, bool unregistered)
{
	if (unregistered)
		return false;
	return q->archived_only ? archived : !archived || q->archived;
}

/* Where what is found goes: an array, or the text of one, which is a fraction of it in memory. */
struct found {
	struct json_t *array;
	struct slu_buf *text;
};

static int put_text(struct slu_buf *b, const struct json_t *record)
{
	SLU_AUTO(slu_freep) char *json = slu_json_text(record, SLU_JSON_COMPACT);

	if (!json)
		return -ENOMEM;
	slu_buf_str(b, b->len > 1 ? ",\n" : "\n");
	slu_buf_str(b, json);
	return slu_buf_err(b);
}

static int keep(const struct slu_search *q, struct json_t *record, struct found *to,
		struct slu_err *e)
{
	if (!shown(q, slu_json_bool(record, "archived", false),
		   slu_json_bool(record, "unregistered", false)) ||
	    !tags_match(record, q->tags))
		return 0;
	int r = to->text ? put_text(to->text, record)
			 : slu_json_append(to->array, slu_json_ref(record));

	if (r == -EMSGSIZE)
		return slu_fail(e, EMSGSIZE, "too much is found: name a dataset, or ask for less");
	return r < 0 ? slu_fail_oom(e) : 0;
}

/* --- by the index --- */

static int parse(const struct slu_index_entry *l, struct json_t **ret, struct slu_err *e)
{
	return slu_json_parse(l->json, strlen(l->json), "the index", ret, e);
}

static int keep_entry(const struct slu_search *q, const struct slu_index_entry *l, struct found *to,
		      struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;

	if (!shown(q, l->archived, l->unregistered))
		return 0;
	int r = parse(l, &record, e);

	return r < 0 ? r : keep(q, record, to, e);
}

/* The one created last, of those that are shown or of all; SIZE_MAX: there is none. */
static size_t created_last(const struct slu_index *x, size_t from, size_t n, bool all)
{
	char when[64] = "";
	size_t best = SIZE_MAX;

	for (size_t i = from; i < from + n; i++) {
		const struct slu_index_entry *l = slu_index_at(x, i);
		SLU_AUTO(slu_json_freep) struct json_t *record = NULL;

		if ((!all && (l->archived || l->unregistered)) || parse(l, &record, NULL) < 0)
			continue;
		const char *created = slu_json_str(record, "created");

		if (best != SIZE_MAX && (!created || strcmp(created, when) < 0))
			continue;
		best = i;
		snprintf(when, sizeof when, "%s", created ? created : "");
	}
	return best;
}

/* The newest of the n entries of a name, by the rule of registry_index.c; where that is hidden, as live.c has it. */
static size_t newest(const struct slu_index *x, size_t from, size_t n, bool hidden_too)
{
	size_t dense = 0, top = SIZE_MAX;

	while (dense < n && slu_index_at(x, from + dense)->number == dense + 1)
		dense++;
	size_t best = dense ? from + dense - 1 : created_last(x, from, n, true);

	if (best == SIZE_MAX || hidden_too)
		return best;
	if (!slu_index_at(x, best)->archived && !slu_index_at(x, best)->unregistered)
		return best;
	for (size_t i = from; i < from + n; i++) {
		const struct slu_index_entry *l = slu_index_at(x, i);

		if (l->number && !l->archived && !l->unregistered)
			top = i;
	}
	return top != SIZE_MAX ? top : created_last(x, from, n, false);
}

static int of_all(const struct slu_index *x, const struct slu_search *q, struct found *out,
		  struct slu_err *e)
{
	bool hidden_too = q->archived || q->archived_only;
	int r = 0;

	for (size_t i = 0, n; r == 0 && i < slu_index_count(x); i += n) {
		size_t at = slu_index_find(x, slu_index_at(x, i)->name, &n);

		if (q->all_versions) {
			for (size_t k = 0; r == 0 && k < n; k++)
				r = keep_entry(q, slu_index_at(x, at + k), out, e);
			continue;
		}
		size_t best = newest(x, at, n, hidden_too);

		if (best != SIZE_MAX)
			r = keep_entry(q, slu_index_at(x, best), out, e);
	}
	return r;
}

/* --- of one name --- */

static int count(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	size_t *n = user;

	(void)e;
	*n += attr->kind == SLU_KIND_DIR && slu_is_name(slu_path_base(path));
	return 0;
}

static int is_few(const struct slu_registry *g, const char *name, bool *ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_registry_path(g, "data/%s", name);
	size_t n = 0;
	int r = path ? slu_walk_dir(g->store, path, count, &n, e) : slu_fail_oom(e);

	*ret = n <= FEW;
	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

static int of_name(struct sluice *s, const struct slu_registry *g, const struct slu_search *q,
		   struct found *out, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;
	SLU_AUTO(slu_index_freep) struct slu_index *x = NULL;
	bool few = false;
	size_t n = 0, at = 0;
	int r = is_few(g, q->name, &few, e);

	if (r == 0 && few)
		r = slu_facts_versions(s, g, q->name, &all, e);
	else if (r == 0)
		r = slu_index_load(g, &x, e);
	if (r == 0 && x)
		at = slu_index_find(x, q->name, &n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = keep_entry(q, slu_index_at(x, at + i), out, e);
	for (size_t i = 0; r == 0 && i < slu_json_count(all); i++)
		r = keep(q, slu_json_at(all, i), out, e);
	return r;
}

static int search(struct sluice *s, const struct slu_search *q, struct found *out,
		  struct slu_err *e)
{
	SLU_AUTO(slu_index_freep) struct slu_index *x = NULL;
	struct slu_registry g;
	int r = q->name ? slu_record_name_check(q->name, e) : 0;

	if (r == 0)
		r = slu_registry_open(s, &g, e);
	if (r == 0 && q->name)
		r = of_name(s, &g, q, out, e);
	else if (r == 0)
		r = slu_index_load(&g, &x, e);
	return r == 0 && x ? of_all(x, q, out, e) : r;
}

int slu_registry_search(struct sluice *s, const struct slu_search *q, struct json_t **ret,
			struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *array = slu_json_array();
	int r = array ? search(s, q, &(struct found){.array = array}, e) : slu_fail_oom(e);

	if (r == 0)
		*ret = slu_take(array);
	return r;
}

int slu_registry_search_text(struct sluice *s, const struct slu_search *q, char **ret,
			     struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);

	slu_buf_ch(&b, '[');
	int r = search(s, q, &(struct found){.text = &b}, e);

	if (r < 0)
		return r;
	slu_buf_str(&b, b.len > 1 ? "\n]" : "]");

	char *text = slu_buf_err(&b) ? NULL : slu_buf_take(&b);

	if (!text)
		return slu_fail_oom(e);
	*ret = text;
	return 0;
}
