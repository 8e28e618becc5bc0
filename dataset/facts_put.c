/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a fact: read the newest, work out what will hold, put the next number if it is absent.  Who
 * loses that race reads the winner's and works it out anew, so that no change is lost and each is
 * there once.  A random token tells an own fact from another's after a lost reply.
 */
#include "dataset/facts_impl.h"
#include "dataset/index.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>

#define TAG_MAX 512 /* bytes of a key or value */

/* --- is it a change? --- */

static int check_tags(const struct json_t *tags, struct slu_err *e)
{
	if (tags && !slu_json_is_object(tags))
		return slu_fail(e, EINVAL, "'tags' has to be an object of texts");
	for (void *it = slu_json_iter(tags); it; it = slu_json_next(tags, it)) {
		const char *k = slu_json_iter_key(it);
		const char *v = slu_json_string(slu_json_iter_value(it));

		if (!*k || strlen(k) > TAG_MAX)
			return slu_fail(e, EINVAL,
					"'%.40s' is no name of a tag: it has 1 to %d bytes", k,
					TAG_MAX);
		if (!v || strlen(v) > TAG_MAX)
			return slu_fail(e, EINVAL, "tag '%s' has to be a text of at most %d bytes",
					k, TAG_MAX);
	}
	return 0;
}

static int check_removed(const struct json_t *keys, const struct json_t *tags, struct slu_err *e)
{
	if (keys && !slu_json_is_array(keys))
		return slu_fail(e, EINVAL, "'remove_tags' has to be a list of names");
	for (size_t i = 0; i < slu_json_count(keys); i++) {
		const char *k = slu_json_string(slu_json_at(keys, i));

		if (!k)
			return slu_fail(e, EINVAL, "'remove_tags' has to be a list of names");
		if (slu_json_get(tags, k))
			return slu_fail(e, EINVAL, "tag '%s' is both set and removed: keep one", k);
	}
	return 0;
}

static int check_value(const char *key, const struct json_t *v, struct slu_err *e)
{
	static const char *const texts[] = {"description", "frozen", "overwritten"};
	static const char *const flags[] = {"archived", "unregistered"};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (slu_streq(key, texts[i]))
			return slu_json_is_string(v)
				       ? 0
				       : slu_fail(e, EINVAL, "'%s' has to be a text", key);
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		if (slu_streq(key, flags[i]))
			return slu_json_is_bool(v)
				       ? 0
				       : slu_fail(e, EINVAL, "'%s' has to be true or false", key);
	}
	if (slu_streq(key, "tags") || slu_streq(key, "remove_tags"))
		return 0;
	return slu_fail(e, EINVAL,
			"'%s' cannot be changed; what can is tags, remove_tags, description, "
			"archived, unregistered",
			key);
}

int slu_facts_check(const struct json_t *change, struct slu_err *e)
{
	const struct json_t *tags = slu_json_get(change, "tags");

	if (!slu_json_is_object(change) || slu_json_count(change) == 0)
		return slu_fail(e, EINVAL, "nothing to change was given");
	for (void *it = slu_json_iter(change); it; it = slu_json_next(change, it)) {
		int r = check_value(slu_json_iter_key(it), slu_json_iter_value(it), e);

		if (r < 0)
			return r;
	}
	if (slu_json_is_bool(slu_json_get(change, "unregistered")) &&
	    !slu_json_bool(change, "unregistered", true))
		return slu_fail(e, EINVAL,
				"an unregistered version does not come back: register its data "
				"again, as a new version");
	int r = check_tags(tags, e);

	return r < 0 ? r : check_removed(slu_json_get(change, "remove_tags"), tags, e);
}

/* --- what will hold --- */

/* The state that a record shows. */
static struct json_t *state_of(const struct json_t *record)
{
	static const char *const keys[] = {"description", "tags", "archived", "frozen",
					   "overwritten"};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const struct json_t *v = slu_json_get(record, keys[i]);

		if (v && slu_json_set(o, keys[i], slu_json_copy(v)) < 0)
			return NULL;
	}
	return o ? slu_take(o) : NULL;
}

static int change_tags(struct json_t *state, const struct json_t *change)
{
	const struct json_t *set = slu_json_get(change, "tags");
	const struct json_t *gone = slu_json_get(change, "remove_tags");
	struct json_t *tags = slu_json_get(state, "tags");

	if (!set && !gone)
		return 0;
	if (!slu_json_is_object(tags)) {
		if (slu_json_set(state, "tags", slu_json_object()) < 0)
			return -ENOMEM;
		tags = slu_json_get(state, "tags");
	}
	for (size_t i = 0; i < slu_json_count(gone); i++)
		slu_json_del(tags, slu_json_string(slu_json_at(gone, i)));
	for (void *it = slu_json_iter(set); it; it = slu_json_next(set, it))
		if (slu_json_set(tags, slu_json_iter_key(it),
				 slu_json_ref(slu_json_iter_value(it))) < 0)
			return -ENOMEM;
	if (slu_json_count(tags) == 0)
		slu_json_del(state, "tags");
	return 0;
}

static int change_flag(struct json_t *state, const struct json_t *change, const char *key)
{
	const struct json_t *v = slu_json_get(change, key);

	if (!v)
		return 0;
	slu_json_del(state, key);
	return slu_json_true(v) ? slu_json_set_bool(state, key, true) : 0;
}

static int change_state(struct json_t *state, const struct json_t *change)
{
	int r = change_tags(state, change);

	r = r < 0 ? r : change_flag(state, change, "archived");
	r = r < 0 ? r : change_flag(state, change, "unregistered");
	r = r < 0 ? r : slu_json_set_str(state, "description", slu_json_str(change, "description"));
	r = r < 0 ? r : slu_json_set_str(state, "frozen", slu_json_str(change, "frozen"));
	return r < 0 ? r
		     : slu_json_set_str(state, "overwritten", slu_json_str(change, "overwritten"));
}

/* --- the record of it --- */

static struct json_t *fact_json(const struct json_t *record, uint64_t n, const char *token,
				const char *now, const struct json_t *change, struct json_t *state)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (!o || slu_json_set_int(o, "format", SLU_REGISTRY_FORMAT) < 0 ||
	    slu_json_set_str(o, "name", slu_json_str(record, "name")) < 0 ||
	    slu_json_set_str(o, "version", slu_json_str(record, "version")) < 0 ||
	    slu_json_set_int(o, "fact", (int64_t)n) < 0 || slu_json_set_str(o, "time", now) < 0 ||
	    slu_json_set_str(o, "token", token) < 0 ||
	    slu_json_set(o, "change", slu_json_copy(change)) < 0 ||
	    slu_json_set(o, "state", slu_json_ref(state)) < 0)
		return NULL;
	return slu_take(o);
}

/* Fact n, unless another has it.  1: it is ours and *ret; 0: another's, or nothing to write. */
static int put_fact(const struct slu_registry *g, const struct json_t *record, uint64_t n,
		    const struct json_t *change, const char *token, struct json_t **ret,
		    struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *state = state_of(record);
	SLU_AUTO(slu_json_freep) struct json_t *before = state_of(record);
	SLU_AUTO(slu_json_freep) struct json_t *fact = NULL;
	char now[SLU_TIME_LEN];

	if (!state || !before || change_state(state, change) < 0)
		return slu_fail_oom(e);
	if (slu_json_equal(state, before))
		return 1;
	slu_time_fmt(now, slu_wall());
	fact = fact_json(record, n, token, now, change, state);
	SLU_AUTO(slu_freep) char *text = fact ? slu_json_text(fact, SLU_JSON_PRETTY) : NULL;
	SLU_AUTO(slu_freep)
	char *path = slu_registry_path(g, "facts/%s/%s/%llu.json", slu_json_str(record, "name"),
				       slu_json_str(record, "version"), (unsigned long long)n);

	if (!text || !path)
		return slu_fail_oom(e);
	int r = slu_index_put(g, slu_json_str(record, "name"), slu_json_str(record, "version"), n,
			      path, text, NULL, e);

	if (r == 0)
		*ret = slu_take(fact);
	return r < 0 ? r : r == 0;
}

static int gone(const struct json_t *record, struct slu_err *e)
{
	return slu_fail(e, ENOENT, "version '%s' of dataset '%s' was unregistered on %.10s",
			slu_json_str(record, "version"), slu_json_str(record, "name"),
			slu_json_str(record, "changed"));
}

int slu_facts_change(const struct slu_registry *g, struct json_t *record,
		     const struct json_t *change, struct slu_err *e)
{
	SLU_AUTO(slu_facts_map_freep) struct slu_facts_map *m = NULL;
	const char *name = slu_json_str(record, "name");
	const char *version = slu_json_str(record, "version");
	char token[33];
	int r = slu_facts_check(change, e);

	if (r == 0)
		r = slu_facts_list(g, name, version, &m, e);
	if (r < 0)
		return r;
	r = slu_random_id(token, 16);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot make an id");
	for (uint64_t n = slu_facts_newest(m, name, version);; n++) {
		SLU_AUTO(slu_json_freep) struct json_t *is = NULL, *mine = NULL;

		if (n > 0) {
			r = slu_facts_get(g, name, version, n, &is, e);
			if (r == 0)
				r = slu_facts_apply(record, is, e);
			if (r < 0)
				return r;
		}
		if (slu_json_bool(record, "unregistered", false))
			return gone(record, e);
		r = put_fact(g, record, n + 1, change, token, &mine, e);
		if (r < 0)
			return r;
		if (r == 1)
			return mine ? slu_facts_apply(record, mine, e) : 0;
	}
}
